//! `deed explain`: who asked, who acted, by what right, what happened.

use deed_record::RecordId;
use deed_review::{Explanation, render};
use serde_json::Value;

use crate::{
    access::{Access, Need},
    cli::{Explain, Global},
    client::Request,
    exit::{Failure, Outcome},
    hint::Hint,
    output::Output,
};

pub(crate) async fn run(global: &Global, explain: Explain, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let answer = access.finish(answer(&access, explain.id).await).await;
    let answer = answer.map_err(|failure| failure.doing(format!("explain `{}`", explain.id)))?;
    if output.json {
        return output.document(&answer);
    }
    output.print(&render::explain(&read(answer)?, Hint::of(global).style(output, explain.verbose)))
}

/// The explanation of the action that record `id` belongs to, as the API gives it.
///
/// # Errors
/// There is no such record, or it belongs to no action.
pub(crate) async fn answer(access: &Access, id: RecordId) -> Result<Value, Failure> {
    access.call(&Request::get(format!("/v1/actions/{id}/explain"))).await?.json()
}

/// Reads an explanation.
///
/// # Errors
/// It is of another version of the API.
pub(crate) fn read(answer: Value) -> Result<Explanation, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::new("the server's explanation is not understood")
            .detail(error.to_string())
            .detail("--json prints it as it came")
    })
}
