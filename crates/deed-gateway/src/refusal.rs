//! What a client hears instead of an answer. It says who refused and why, where that is recorded, and what to do.

use deed_record::Ruling;
use serde_json::value::RawValue;

use crate::{
    guard::Stopped,
    intent::{Answer, Intent},
    message::{self, Id},
    method::{self, TOOL_CALL},
    recorder::Unavailable,
    relay::LONGEST,
    tasks,
    term::TermEnd,
};

/// JSON-RPC error code: policy refused. Outside of what JSON-RPC and MCP reserve (MCP, error codes).
pub const DENIED: i64 = -31403;
/// JSON-RPC error code: nothing can be recorded, so nothing was done.
pub const UNAVAILABLE: i64 = -31503;
/// JSON-RPC error code: nobody knows the method.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
/// JSON-RPC error code: the parameters cannot be used.
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// JSON-RPC error code: no request, or not one that can be taken now.
pub(crate) const INVALID_REQUEST: i64 = -32600;
/// JSON-RPC error code: the server gave no answer that can be passed on.
pub const UPSTREAM: i64 = -31502;

/// What `intent` is about, for a sentence: `files/wipe`.
fn target(intent: &Intent) -> String {
    match (&intent.name, &intent.uri) {
        (Some(name), _) => format!("{}/{name}", intent.server),
        (None, Some(uri)) => uri.clone(),
        (None, None) => format!("{} of {}", intent.method, intent.server),
    }
}

/// Policy refused request `id`, or wants a human to answer first.
pub(crate) fn denied(id: &Id, intent: &Intent, answer: &Answer, params: Option<&RawValue>) -> String {
    let target = target(intent);
    let by = answer.policies.iter().map(|policy| format!("`{policy}`")).collect::<Vec<_>>().join(", ");
    let set = answer.policy_set.as_deref().and_then(|digest| digest.get(7..15)).unwrap_or_default();
    let by = match (by.is_empty(), set.is_empty()) {
        (false, false) => format!(" by policy {by} (set {set})"),
        (true, false) => format!(" (policy set {set})"),
        _ => String::new(),
    };
    let text = match answer.effect {
        Ruling::StepUp => format!(
            "Held{by}: a human must approve {target} first. {}\nRecorded as {}. To approve it, then call again: deed approve {} --reason \"…\"",
            answer.reason, answer.id, answer.id
        ),
        _ => format!("Refused{by}: {target} was not called. {}\nRecorded as {}.", answer.reason, answer.id),
    };
    let data = format!(
        "{{\"action_id\":\"{}\",\"effect\":\"{}\",\"policies\":{}}}",
        answer.id,
        answer.effect,
        serde_json::Value::from(answer.policies.clone())
    );
    said(id, &intent.method, params, DENIED, &text, Some(&data))
}

/// The `answer` to `intent` holds what policy keeps from its caller, where it cannot be cut out.
pub(crate) fn withheld(id: &Id, intent: &Intent, answer: &RawValue) -> String {
    let text = format!(
        "Withheld: {} answered, and the answer may hold a field that policy keeps from you, where it cannot be cut.\nRecorded as {}.",
        target(intent),
        intent.id
    );
    if intent.method != TOOL_CALL || tasks::is_task(answer) {
        return message::error(Some(id), DENIED, &text, None);
    }
    // The parameters are gone by now: the answer tells the era too.
    let is_modern = memchr::memmem::find(answer.get().as_bytes(), b"\"resultType\"").is_some();
    failed(id, &text, None, is_modern)
}

/// What an answer is that is no message, in a word.
pub(crate) const MALFORMED: &str = "malformed";
/// What an answer is that is longer than [`LONGEST`], in a word.
pub(crate) const TOO_LONG: &str = "too_long";

/// What a client hears of an answer that nobody can read, by such a word: the server may have done what was asked.
pub(crate) fn unread(why: &str) -> String {
    match why {
        TOO_LONG => format!("the server's answer is longer than {LONGEST} bytes; what it did is not known"),
        _ => "the server's answer is no MCP message; what it did is not known".into(),
    }
}

/// What a client hears of a call that was under way when it was stopped, for the reason `why` in a word.
pub(crate) fn stopped(why: &str) -> String {
    let why = match why {
        "suspended" => "somebody or something that has a part in it was suspended",
        "revoked" => TermEnd::Revoked.told(),
        _ => TermEnd::Expired.told(),
    };
    format!("stopped: {why}; what the server did is not known")
}

/// What a server hears of its own request `id`, which was not passed on.
pub(crate) fn server_asked(id: &Id, method: &str, why: &Stopped) -> String {
    let (code, why) = match why {
        Stopped::Refused(answer) => (DENIED, answer.reason.clone()),
        Stopped::Unrecorded(why) => (UNAVAILABLE, why.to_string()),
    };
    tracing::warn!(why, method, "a request of the server was not passed on");
    match method::is_server_request(method) {
        true => message::error(Some(id), code, &why, None),
        false => message::error(Some(id), METHOD_NOT_FOUND, "nobody here knows this method", None),
    }
}

/// What a server hears whose request `id` may hold what is kept from the caller.
pub(crate) fn kept_back(id: &Id) -> String {
    message::error(
        Some(id),
        DENIED,
        "not passed on: it may hold a field that policy keeps from the caller, or is of another caller's task",
        None,
    )
}

/// `intent` could not be recorded.
pub(crate) fn unavailable(
    id: &Id,
    intent: Option<&Intent>,
    method: &str,
    why: &Unavailable,
    params: Option<&RawValue>,
) -> String {
    let what = intent.map_or_else(|| method.to_owned(), target);
    let text = format!("Not done: the recorder cannot write ({}). Nothing was sent to {what}.", why.why());
    said(id, method, params, UNAVAILABLE, &text, None)
}

/// A tool's caller is an agent that reads results; whoever asks for anything else, a task among it, gets an error.
fn said(
    id: &Id,
    method: &str,
    params: Option<&RawValue>,
    code: i64,
    text: &str,
    data: Option<&str>,
) -> String {
    if method != TOOL_CALL || method::becomes_task(params) {
        return message::error(Some(id), code, text, data);
    }
    failed(id, text, data, is_modern(params))
}

/// A tool's result that says it failed.
fn failed(id: &Id, text: &str, data: Option<&str>, is_modern: bool) -> String {
    let complete = if is_modern { "\"resultType\":\"complete\"," } else { "" };
    let meta = data.map(|data| format!(",\"_meta\":{{\"deed.dev/refusal\":{data}}}")).unwrap_or_default();
    message::result(
        id,
        &format!(
            "{{{complete}\"content\":[{{\"type\":\"text\",\"text\":{}}}],\"isError\":true{meta}}}",
            message::quoted(text)
        ),
    )
}

/// Whether a request is of 2026-07-28 or later: it says its version itself.
fn is_modern(params: Option<&RawValue>) -> bool {
    params.is_some_and(|params| {
        memchr::memmem::find(params.get().as_bytes(), b"\"io.modelcontextprotocol/protocolVersion\"")
            .is_some()
    })
}
