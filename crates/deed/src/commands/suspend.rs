//! `deed suspend`, `deed resume`: stop somebody or something wherever Deed enforces, or let it go on.

use deed_gateway::Suspension;
use serde_json::Value;

use crate::{
    access::{Access, Need},
    cli::{Global, Suspend},
    client::Request,
    exit::{Failure, Outcome},
    output::{Output, clean, note},
    values,
};

pub(crate) async fn run(global: &Global, suspended: bool, suspend: Suspend, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let said = Suspension {
        // A digest is no principal, whatever else is said.
        credential: suspend.credential || suspend.what.starts_with("sha256:"),
        what: suspend.what,
        suspended,
        by: suspend.by.unwrap_or_else(values::system_who),
        reason: suspend.reason,
    };
    let is_credential = said.credential;
    let body = serde_json::to_vec(&said).map_err(|error| Failure::new(error.to_string()))?;
    let answer = access.call(&Request::post("/v1/suspensions", "application/json", body).urgently()).await;
    let answer = access.finish(answer.and_then(|answer| answer.json::<Value>())).await;
    let (doing, done) = if suspended { ("suspend", "suspended") } else { ("resume", "resumed") };
    let answer = answer.map_err(|failure| failure.doing(doing))?;
    if answer["before"] == suspended {
        note(match suspended {
            true => "it was suspended already; what was said now is recorded beside that",
            false => "nothing was suspended by that name; that it may go on is recorded all the same",
        });
    }
    if answer["known"] == false {
        note(match is_credential {
            true => {
                "no record knows a credential of that name yet; it holds for one that comes by exactly that"
            }
            false => {
                "no record and no inventory knows that name yet; it holds for whoever comes by it, and for a credential of that name with --credential"
            }
        });
    }
    if output.json {
        return output.document(&answer);
    }
    let mut names = answer[done].as_array().into_iter().flatten().filter_map(Value::as_str);
    names.try_for_each(|name| output.print(&format!("{done}  {}\n", clean(name))))
}
