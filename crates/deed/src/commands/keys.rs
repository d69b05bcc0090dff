//! `deed keys`: the public keys of the log.

use serde_json::Value;

use crate::{
    access::{Access, Need},
    cli::Global,
    client::Request,
    exit::{Failure, Outcome},
    output::Output,
};

pub(crate) async fn run(global: &Global, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let answer = access.call(&Request::get("/v1/keys")).await.and_then(|response| response.json::<Value>());
    let answer = access.finish(answer).await.map_err(|failure| failure.doing("get the public keys"))?;
    if output.json {
        return output.document(&answer);
    }
    let vkeys = answer["vkeys"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lines: String = vkeys.map(|vkey| format!("{vkey}\n")).collect();
    if lines.is_empty() { Err(Failure::new("the server names no key")) } else { output.print(&lines) }
}
