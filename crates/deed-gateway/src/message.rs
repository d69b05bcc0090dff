//! One JSON-RPC message (MCP, base protocol), cut open without being changed: what is forwarded is the very
//! text that was decided on.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use deed_record::Text;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::strict;

/// A message.
#[derive(Clone, Debug)]
pub enum Message<'a> {
    /// Asks for something; an answer of the same id follows.
    Request {
        /// Its id.
        id: Id,
        /// What it asks for.
        method: Cow<'a, str>,
        /// The exact text of its parameters, an object.
        params: Option<&'a RawValue>,
    },
    /// Says something; no answer follows.
    Notification {
        /// What it says.
        method: Cow<'a, str>,
        /// The exact text of its parameters, an object.
        params: Option<&'a RawValue>,
    },
    /// Answers a request.
    Response {
        /// The request's id; `None` where the request could not be read.
        id: Option<Id>,
        /// The exact text of the result, or of the error.
        outcome: Result<&'a RawValue, &'a RawValue>,
    },
}

/// The id of a request: a string or an integer, never null (MCP, base protocol).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Id {
    /// An integer.
    Number(i64),
    /// A string.
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(number) => write!(f, "{number}"),
            Id::Text(text) => f.write_str(&quoted(text)),
        }
    }
}

/// Why a text is no message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{why}")]
pub struct Malformed {
    /// JSON-RPC error code: -32700 for what is no JSON, -32600 for what is no message.
    pub code: i64,
    /// What is wrong, and what was expected; no value of the message (D9).
    pub why: String,
    /// The id of the request it may have been.
    pub id: Option<Id>,
}

const PARSE_ERROR: i64 = -32700;
const INVALID_REQUEST: i64 = -32600;

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Text<'a>>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "even_null")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// The value as it stands, where an `Option` alone would take `null` for no member at all: a request of id
/// `null` is a notification to one reader and a request to another.
pub(crate) fn even_null<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// It is not JSON in UTF-8, no JSON-RPC message, a batch, or could be read in two ways (INVARIANT D13).
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let wrong = |code, why: String| Malformed { code, why, id: None };
        let text = std::str::from_utf8(bytes)
            .map_err(|error| wrong(PARSE_ERROR, format!("byte {} is not UTF-8", error.valid_up_to())))?;
        if text.trim_ascii_start().starts_with('[') {
            return Err(wrong(INVALID_REQUEST, "a batch; send one message at a time".into()));
        }
        strict::check(text).map_err(|error| match error.classify() {
            // Its message ends in the place; what it says before shows no value.
            serde_json::error::Category::Data => wrong(INVALID_REQUEST, error.to_string()),
            _ => wrong(PARSE_ERROR, format!("not JSON: {error}")),
        })?;
        let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|_| {
            wrong(
                INVALID_REQUEST,
                "no JSON-RPC message: expected an object with `method`, or with `result` or `error`".into(),
            )
        })?;
        envelope.open()
    }
}

impl<'a> Envelope<'a> {
    fn open(self) -> Result<Message<'a>, Malformed> {
        let is_error = self.method.is_none() && self.error.is_some();
        let id: Option<Id> = match self.id {
            None => None,
            // An error about what could not be read.
            Some(raw) if raw.get() == "null" && is_error => None,
            Some(raw) => Some(serde_json::from_str(raw.get()).map_err(|_| Malformed {
                code: INVALID_REQUEST,
                why: "`id`: expected a string or an integer".into(),
                id: None,
            })?),
        };
        let wrong = |why: &str| Malformed { code: INVALID_REQUEST, why: why.into(), id: id.clone() };
        if self.jsonrpc.as_deref() != Some("2.0") {
            return Err(wrong("`jsonrpc`: expected \"2.0\""));
        }
        let is_answer = self.result.is_some() || self.error.is_some();
        match (self.method, is_answer) {
            (Some(_), true) => Err(wrong("both a request and an answer")),
            (Some(Text(method)), false) => {
                if self.params.is_some_and(|params| !params.get().starts_with('{')) {
                    return Err(wrong("`params`: expected an object"));
                }
                Ok(match id {
                    Some(id) => Message::Request { id, method, params: self.params },
                    None => Message::Notification { method, params: self.params },
                })
            }
            (None, false) => Err(wrong("neither `method` nor `result` nor `error`")),
            (None, true) => match (self.result, self.error) {
                (Some(result), None) if id.is_some() => Ok(Message::Response { id, outcome: Ok(result) }),
                (None, Some(error)) => Ok(Message::Response { id, outcome: Err(error) }),
                (Some(_), None) => Err(wrong("`id` is missing")),
                _ => Err(wrong("both `result` and `error`")),
            },
        }
    }
}

/// A JSON-RPC error as an answer to request `id`, on one line.
pub(crate) fn error(id: Option<&Id>, code: i64, message: &str, data: Option<&str>) -> String {
    let id = id.map_or("null".into(), ToString::to_string);
    let data = data.map(|data| format!(",\"data\":{data}")).unwrap_or_default();
    format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{}{data}}}}}",
        quoted(message)
    )
}

/// The text that the member `value` is; `None` where there is none, or it is none.
///
/// INVARIANT D13: each member is read by itself. One that nobody asked about makes no other unreadable.
pub(crate) fn text_of<'a>(value: Option<&'a RawValue>) -> Option<Text<'a>> {
    serde_json::from_str(value?.get()).ok()
}

/// Whether `text` may have a member of that name: but by escapes, names are written in one way.
pub(crate) fn may_hold(text: &RawValue, name: &str) -> bool {
    let holds = |piece: &[u8]| memchr::memmem::find(text.get().as_bytes(), piece).is_some();
    holds(name.as_bytes()) || holds(b"\\u")
}

/// The parameters of the request that `text` is, if it is one.
pub(crate) fn params_of(text: &str) -> Option<&RawValue> {
    match Message::read(text.as_bytes()) {
        Ok(Message::Request { params, .. }) => params,
        _ => None,
    }
}

/// The answer `cut`, where anything was cut out of `text`, with its result or error; else `text` with `outcome`.
pub(crate) fn or_cut<'t>(
    text: &'t str,
    outcome: Result<&'t RawValue, &'t RawValue>,
    cut: Option<&'t str>,
) -> (&'t str, Result<&'t RawValue, &'t RawValue>) {
    match cut.map(|cut| (cut, Message::read(cut.as_bytes()))) {
        Some((cut, Ok(Message::Response { outcome, .. }))) => (cut, outcome),
        _ => (text, outcome),
    }
}

/// The message `text` under another id; `None` where it has none.
pub(crate) fn with_id(text: &str, id: &Id) -> Option<String> {
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    Some(edited(text, vec![(envelope.id?.get(), id.to_string())]))
}

/// `text` with other words in place of some of its pieces, and else as it is, byte for byte. The pieces are slices of
/// `text` that do not overlap.
pub(crate) fn edited(text: &str, mut edits: Vec<(&str, String)>) -> String {
    let start_of = |piece: &str| piece.as_ptr() as usize - text.as_ptr() as usize;
    edits.sort_by_key(|(piece, _)| start_of(piece));
    let mut edited = String::with_capacity(text.len() + 32);
    let mut copied = 0;
    for (piece, with) in edits {
        let start = start_of(piece);
        edited.push_str(&text[copied..start]);
        edited.push_str(&with);
        copied = start + piece.len();
    }
    edited.push_str(&text[copied..]);
    edited
}

/// The message `text` without members that JSON-RPC does not know: nobody looks into those.
pub(crate) fn alone(text: String) -> String {
    const KNOWN: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
    let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(&text) else { return text };
    if members.keys().all(|name| KNOWN.contains(&name.as_str())) {
        return text;
    }
    let known = KNOWN.iter().filter_map(|name| Some(format!("\"{name}\":{}", members.get(*name)?)));
    format!("{{{}}}", known.collect::<Vec<_>>().join(","))
}

/// The code of the error that `text` is, if it is one.
pub(crate) fn error_code(text: &str) -> Option<i64> {
    #[derive(Deserialize)]
    struct Answer {
        error: Error,
    }
    #[derive(Deserialize)]
    struct Error {
        code: i64,
    }
    serde_json::from_str::<Answer>(text).ok().map(|answer| answer.error.code)
}

/// A result as an answer to request `id`, on one line.
pub(crate) fn result(id: &Id, result: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}")
}

/// `text` as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_is() {
        let read = |text: &'static str| Message::read(text.as_bytes());
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"x":1}}"#),
            Ok(Message::Request { id: Id::Text(_), params: Some(params), .. }) if params.get() == r#"{"x":1}"#
        ));
        assert!(matches!(read(r#"{"jsonrpc":"2.0","method":"m"}"#), Ok(Message::Notification { .. })));
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#),
            Ok(Message::Response { id: Some(Id::Number(7)), outcome: Ok(_) })
        ));
        assert!(matches!(
            read(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#),
            Ok(Message::Response { id: None, outcome: Err(_) })
        ));
    }

    #[test]
    fn data_may_have_names_that_differ_in_case() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"env":{"http_proxy":"a","HTTP_PROXY":"b"}}}}"#;
        assert!(Message::read(text.as_bytes()).is_ok());
        let text = r#"{"jsonrpc":"2.0","id":1,"result":{"Name":1,"name":2}}"#;
        assert!(Message::read(text.as_bytes()).is_ok());
    }

    #[test]
    fn another_id_changes_nothing_else() {
        let text = r#"{ "params":{"id":7}, "id" : "a" ,"jsonrpc":"2.0","method":"m"}"#;
        let with = with_id(text, &Id::Number(12)).expect("it has one");
        assert_eq!(with, r#"{ "params":{"id":7}, "id" : 12 ,"jsonrpc":"2.0","method":"m"}"#);
        assert_eq!(with_id(r#"{"jsonrpc":"2.0","method":"m"}"#, &Id::Number(1)), None);
    }

    #[test]
    fn refuses_what_two_could_read_differently() {
        for (text, code) in [
            ("", PARSE_ERROR),
            ("{", PARSE_ERROR),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"m"}]"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","method":"n"}"#, INVALID_REQUEST),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","n\u0061me":"b"}}"#,
                INVALID_REQUEST,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","Params":{}}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","paramſ":{}}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","Name":"b"}}"#, INVALID_REQUEST),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","ARGUMENTS":{}}}"#,
                INVALID_REQUEST,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"amount":9,"Amount":500}}}"#,
                INVALID_REQUEST,
            ),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[1]}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1}"#, INVALID_REQUEST),
            (r#""text""#, INVALID_REQUEST),
        ] {
            assert_eq!(
                Message::read(text.as_bytes()).map_err(|wrong| wrong.code).err(),
                Some(code),
                "{text}"
            );
        }
        assert_eq!(Message::read(b"\xff{}").map_err(|wrong| wrong.code).err(), Some(PARSE_ERROR));
    }
}
