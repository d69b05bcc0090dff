//! How a request ended, as its answer tells.

use std::borrow::Cow;

use deed_record::Status;
use deed_seal::hash::Hash;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::{
    message::{may_hold, text_of},
    method,
};

/// The code of what the client called off, or no longer waits for.
pub const BY_CLIENT: &str = "client";
/// The code of what the connection's end left without an end of its own.
pub(crate) const CONNECTION_ENDED: &str = "connection_ended";

/// What a result says that asks for input (MCP, multi round-trip requests), and the code of a call that ended so: it was
/// answered, and did not come to its end.
pub(crate) const INPUT_REQUIRED: &str = "input_required";

/// Results longer than this, in bytes, are kept as length and digest.
const LONGEST_KEPT: usize = 1 << 20;

/// How it ended: status, and the server's own code.
pub(crate) fn of(outcome: Result<&RawValue, &RawValue>) -> (Status, Option<String>) {
    match outcome {
        Ok(result) => of_result(result),
        Err(error) => {
            #[derive(Deserialize)]
            struct Code {
                code: i64,
            }
            let code = serde_json::from_str::<Code>(error.get()).ok().map(|error| error.code.to_string());
            (Status::Failure, code)
        }
    }
}

/// As [`of`], for the answer to a request of `method`: that a request about a task was answered is no word on what the task came
/// to, which the code says.
pub(crate) fn of_request(method: &str, outcome: Result<&RawValue, &RawValue>) -> (Status, Option<String>) {
    match of(outcome) {
        (Status::Cancelled, code) if method::is_of_task(method) => {
            (Status::Success, code.or(Some("task_cancelled".into())))
        }
        (_, code) if outcome.is_ok() && method::is_of_task(method) => (Status::Success, code),
        ended => ended,
    }
}

/// Whether `result` may ask for input.
pub(crate) fn asks_for_input(result: &RawValue) -> bool {
    may_hold(result, "inputRequests")
}

/// As [`of_request`], for the text of a result.
pub(crate) fn of_text(method: &str, result: &str) -> (Status, Option<String>) {
    serde_json::from_str(result).map_or((Status::Unknown, None), |result| of_request(method, Ok(result)))
}

/// HTTP and JSON-RPC may both say that all is well, and the tool may have failed: `isError`, in a result or in
/// that of a completed task.
fn of_result(result: &RawValue) -> (Status, Option<String>) {
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Facts<'a> {
        #[serde(borrow)]
        is_error: Option<&'a RawValue>,
        #[serde(borrow)]
        result_type: Option<&'a RawValue>,
        #[serde(borrow)]
        status: Option<&'a RawValue>,
        #[serde(borrow)]
        result: Option<&'a RawValue>,
    }
    let Ok(facts) = serde_json::from_str::<Facts<'_>>(result.get()) else { return (Status::Success, None) };
    let code = |code: &str| Some(code.to_owned());
    if facts.is_error.is_some_and(|is_error| is_error.get() == "true") {
        return (Status::Failure, code("is_error"));
    }
    let (result_type, status) = (text_of(facts.result_type), text_of(facts.status));
    match (result_type.as_deref(), status.as_deref()) {
        (Some(INPUT_REQUIRED), _) => (Status::Success, code(INPUT_REQUIRED)),
        (Some("task"), Some(status)) => (Status::Success, Some(format!("task_{status}"))),
        (_, Some("completed")) => match facts.result.map(of_result) {
            Some((Status::Failure, why)) => (Status::Failure, why),
            _ => (Status::Success, None),
        },
        (_, Some("failed")) => (Status::Failure, code("task_failed")),
        (_, Some("cancelled")) => (Status::Cancelled, None),
        _ => (Status::Success, None),
    }
}

/// What is kept of a payload: itself, or how long it was and its digest.
pub(crate) fn kept(payload: &RawValue, whole: bool) -> Cow<'_, RawValue> {
    if whole && payload.get().len() <= LONGEST_KEPT {
        return Cow::Borrowed(payload);
    }
    let text = format!(
        "{{\"bytes\":{},\"sha256\":\"{}\"}}",
        payload.get().len(),
        Hash::of(payload.get().as_bytes())
    );
    // INVARIANT: a number and hex digits are JSON.
    RawValue::from_string(text).or_else(|_| to_raw_value(&())).map_or(Cow::Borrowed(payload), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_however_they_are_said() {
        let ended = |text: &str| of(Ok(&RawValue::from_string(text.into()).expect("JSON")));
        for (text, status, code) in [
            (r#"{"content":[]}"#, Status::Success, None),
            (r#"{"content":[],"isError":false}"#, Status::Success, None),
            (r#"{"isError":true,"content":[]}"#, Status::Failure, Some("is_error")),
            (r#"{"resultType":"input_required"}"#, Status::Success, Some("input_required")),
            (r#"{"status":"completed","result":{"isError":true}}"#, Status::Failure, Some("is_error")),
            (r#"{"status":"completed","result":{"isError":false}}"#, Status::Success, None),
            (r#"{"status":"failed"}"#, Status::Failure, Some("task_failed")),
            (r#"{"status":7}"#, Status::Success, None),
            (r#"{"isError":true,"status":7}"#, Status::Failure, Some("is_error")),
            (r#"{"isError":null,"status":"failed"}"#, Status::Failure, Some("task_failed")),
        ] {
            assert_eq!(ended(text), (status, code.map(str::to_owned)), "{text}");
        }
        let error = RawValue::from_string(r#"{"code":-32602,"message":"x"}"#.into()).expect("JSON");
        assert_eq!(of(Err(&error)), (Status::Failure, Some("-32602".into())));
    }
}
