//! `deed explain`: who asked, who acted, by what right, what happened.

use deed_record::RecordId;
use deed_review::{Explanation, render};
use serde_json::Value;

use crate::{
    access::{Access, Need},
    cli::{Explain, Global},
    client::Request,
    exit::{Code, Failure, Outcome},
    hint::Hint,
    output::Output,
};

pub(crate) async fn run(global: &Global, explain: Explain, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let said = access.finish(ask(&access, &explain).await).await;
    let hint = Hint::of(global);
    let lists = || format!("{} lists actions with their ids", hint.deed("find"));
    let said =
        said.map_err(|failure| failure.where_unknown(lists).doing(format!("explain `{}`", explain.id)))?;
    let style = hint.style(output, explain.verbose);
    match said {
        Said::Chain(answer) if !output.json => output.print(&render::explain(&read(answer)?, style)),
        Said::LedTo(answer) if !output.json => output.print(&render::led_to(&understood(answer)?, style)),
        Said::Chain(answer) | Said::LedTo(answer) => output.document(&answer),
    }
}

/// What is said of a record: of an action its chain, of a right what came of it.
enum Said {
    Chain(Value),
    LedTo(Value),
}

async fn ask(access: &Access, explain: &Explain) -> Result<Said, Failure> {
    let led_to = async || {
        let path = format!("/v1/records/{}/led-to", explain.id);
        access.call(&Request::get(path)).await?.json().map(Said::LedTo)
    };
    if explain.led_to {
        return led_to().await;
    }
    match answer(access, explain.id).await {
        Ok(answer) => Ok(Said::Chain(answer)),
        // Requests, grants and the like are part of no action: what came of them is what there is to tell.
        Err(refused) if refused.is(Code::NotFound) => led_to().await.map_err(|_| refused),
        Err(failure) => Err(failure),
    }
}

fn understood<T: serde::de::DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::new("the server's explanation is not understood")
            .detail(error.to_string())
            .detail("--json prints it as it came")
    })
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
    understood(answer)
}
