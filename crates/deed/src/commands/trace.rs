//! `deed trace`: every step, as a tree.

use deed_record::TraceId;
use deed_review::render;
use serde_json::Value;

use crate::{
    access::{Access, Need},
    cli::{Global, Trace},
    client::Request,
    exit::{Failure, Outcome},
    hint::Hint,
    output::Output,
};

pub(crate) async fn run(global: &Global, trace: Trace, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let answer = access.finish(answer(&access, trace.id).await).await;
    let answer = answer.map_err(|failure| failure.doing(format!("show trace `{}`", trace.id)))?;
    if output.json {
        return output.document(&answer);
    }
    output.print(&render::trace(&read(answer)?, Hint::of(global).style(output, trace.verbose)))
}

/// The trace, as the API gives it.
///
/// # Errors
/// There is no such trace.
pub(crate) async fn answer(access: &Access, id: TraceId) -> Result<Value, Failure> {
    access.call(&Request::get(format!("/v1/traces/{id}"))).await?.json()
}

/// Reads a trace.
///
/// # Errors
/// It is of another version of the API.
pub(crate) fn read(answer: Value) -> Result<deed_review::Trace, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::new("the server's trace is not understood")
            .detail(error.to_string())
            .detail("--json prints it as it came")
    })
}
