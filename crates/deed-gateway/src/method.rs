//! The methods of MCP, and what each means for the record: both eras, 2026-07-28 and 2025-11-25.

use deed_record::StepType;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::message::Id;

/// What a request of the client is, to Deed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Policy decides on it: a call, a reading, a prompt.
    Decided,
    /// Recorded, and let through: listings, subscriptions, the life of the connection.
    Recorded,
}

/// What policy decides on.
pub(crate) const TOOL_CALL: &str = "tools/call";
/// As above.
pub(crate) const RESOURCE_READ: &str = "resources/read";
/// As above.
pub(crate) const PROMPT_GET: &str = "prompts/get";
/// The list that is filtered to what the caller may use, and whose definitions are pinned.
pub(crate) const TOOL_LIST: &str = "tools/list";
/// The list of tasks, in which nobody is shown others'.
pub(crate) const TASK_LIST: &str = "tasks/list";
/// How the notifications begin in which a server tells how a task is: `notifications/tasks/status` (2025-11-25), and
/// `notifications/tasks` (2026-07-28, the tasks extension).
pub(crate) const TASK_NOTICE: &str = "notifications/tasks";
/// Waits for whatever changes at the server, for as long as the client likes.
pub(crate) const LISTEN: &str = "subscriptions/listen";
/// The client no longer wants an answer.
pub(crate) const CANCELLED: &str = "notifications/cancelled";

/// Requests that clients send. Others are denied: nobody knows what they would do.
const REQUESTS: &[(&str, Class)] = &[
    (TOOL_CALL, Class::Decided),
    (RESOURCE_READ, Class::Decided),
    (PROMPT_GET, Class::Decided),
    ("initialize", Class::Recorded),
    ("server/discover", Class::Recorded),
    ("ping", Class::Recorded),
    (TOOL_LIST, Class::Recorded),
    ("resources/list", Class::Recorded),
    ("resources/templates/list", Class::Recorded),
    ("resources/subscribe", Class::Recorded),
    ("resources/unsubscribe", Class::Recorded),
    ("prompts/list", Class::Recorded),
    ("completion/complete", Class::Recorded),
    ("logging/setLevel", Class::Recorded),
    (LISTEN, Class::Recorded),
    ("tasks/get", Class::Recorded),
    ("tasks/result", Class::Recorded),
    (TASK_LIST, Class::Recorded),
    ("tasks/update", Class::Recorded),
    ("tasks/cancel", Class::Recorded),
];

/// Notifications that clients send. They ask for nothing by themselves, so that they pass without a record of
/// their own; a cancellation becomes the outcome of what it cancels.
const FROM_CLIENT: &[&str] =
    &["notifications/initialized", CANCELLED, "notifications/progress", "notifications/roots/list_changed"];

/// Requests that servers send to clients, before 2026-07-28.
const FROM_SERVER: &[&str] = &["sampling/createMessage", "elicitation/create", "roots/list", "ping"];

/// What the request `method` of a client is; `None` where nobody knows.
pub(crate) fn class(method: &str) -> Option<Class> {
    REQUESTS.iter().find(|(known, _)| *known == method).map(|(_, class)| *class)
}

/// Whether `method` is a notification that clients send.
pub(crate) fn is_client_notification(method: &str) -> bool {
    FROM_CLIENT.contains(&method)
}

/// Whether `method` is a request that servers send to clients.
pub(crate) fn is_server_request(method: &str) -> bool {
    FROM_SERVER.contains(&method)
}

/// Whether the answer to the request `method` may hold what a call that became a task came to.
pub(crate) fn is_of_task(method: &str) -> bool {
    method.starts_with("tasks/")
}

/// Whether the request `method` names one task, by its `taskId`.
pub(crate) fn names_task(method: &str) -> bool {
    is_of_task(method) && method != TASK_LIST
}

/// Whether a call with these parameters asks for a task (MCP 2025-11-25, Tasks): a result of the tool is no answer to it.
pub(crate) fn becomes_task(params: Option<&RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Asks {
        #[serde(default)]
        task: Option<IgnoredAny>,
    }
    let asks = params.and_then(|params| serde_json::from_str::<Asks>(params.get()).ok());
    asks.is_some_and(|asks| asks.task.is_some())
}

/// What [`CANCELLED`] cancels.
pub(crate) fn cancelled_id(params: &RawValue) -> Option<Id> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled {
        request_id: Id,
    }
    serde_json::from_str::<Cancelled>(params.get()).ok().map(|cancelled| cancelled.request_id)
}

/// What is wrong with the parameters of the request `method`, where it depends on them who may ask for it.
///
/// INVARIANT D13: a name that is no text is none to Deed, and may be one to a server in a language of loose types.
pub(crate) fn wrong(method: &str, params: Option<&RawValue>) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow, default)]
        name: Option<&'a RawValue>,
        #[serde(borrow, default)]
        uri: Option<&'a RawValue>,
        #[serde(borrow, default)]
        arguments: Option<&'a RawValue>,
        #[serde(borrow, default, rename = "taskId")]
        task: Option<&'a RawValue>,
    }
    let named: Option<Named<'_>> = params.and_then(|params| serde_json::from_str(params.get()).ok());
    let is_text = |value: Option<&RawValue>| value.is_some_and(|value| value.get().starts_with('"'));
    let is_object = |value: &RawValue| value.get().starts_with('{');
    let (name, uri, arguments, task) =
        named.map_or((None, None, None, None), |named| (named.name, named.uri, named.arguments, named.task));
    match method {
        TOOL_CALL | PROMPT_GET if !is_text(name) => Some("`params.name`: expected a string"),
        TOOL_CALL | PROMPT_GET if !arguments.is_none_or(is_object) => {
            Some("`params.arguments`: expected an object")
        }
        RESOURCE_READ if !is_text(uri) => Some("`params.uri`: expected a string"),
        _ if names_task(method) && !is_text(task) => Some("`params.taskId`: expected a string"),
        _ => None,
    }
}

/// What sort of step it is, where it is one.
pub(crate) fn step_type(method: &str) -> Option<StepType> {
    match method {
        TOOL_CALL => Some(StepType::Tool),
        RESOURCE_READ | PROMPT_GET => Some(StepType::DataRead),
        "sampling/createMessage" => Some(StepType::Reasoning),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_policy_goes_by_is_what_it_must_be() {
        let wrong = |method: &str, params: &str| {
            wrong(method, Some(&RawValue::from_string(params.to_owned()).expect("JSON"))).is_some()
        };
        for params in [
            "{}",
            r#"{"name":["delete"]}"#,
            r#"{"name":5}"#,
            r#"{"name":null}"#,
            r#"{"name":{}}"#,
            r#"{"name":"a","arguments":[1]}"#,
            r#"{"name":"a","arguments":"x"}"#,
        ] {
            assert!(wrong(TOOL_CALL, params) && wrong(PROMPT_GET, params), "{params}");
        }
        for params in [r#"{"name":"a"}"#, r#"{"name":"a","arguments":null}"#, r#"{"name":"","arguments":{}}"#]
        {
            assert!(!wrong(TOOL_CALL, params), "{params}");
        }
        assert!(
            wrong(RESOURCE_READ, r#"{"uri":["file:///a"]}"#)
                && !wrong(RESOURCE_READ, r#"{"uri":"file:///a"}"#)
        );
        for params in ["{}", r#"{"taskId":["a"]}"#, r#"{"taskId":7,"task":{"taskId":"a"}}"#] {
            assert!(wrong("tasks/get", params) && wrong("tasks/update", params), "{params}");
        }
        assert!(!wrong("tasks/cancel", r#"{"taskId":"a"}"#) && !wrong(TASK_LIST, "{}"));
        assert!(!wrong("resources/subscribe", "{}") && super::wrong("ping", None).is_none());
        assert!(super::wrong(TOOL_CALL, None).is_some());
    }
}
