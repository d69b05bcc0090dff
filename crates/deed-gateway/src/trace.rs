//! W3C Trace Context in `_meta` (MCP, SEP-414): honoured where the client sends it, made where it does not.

use deed_record::{SpanId, TraceId};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::message::{edited, even_null};

/// What a client says of its trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Claimed {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
}

/// `traceparent` in `params._meta`, if it is one.
pub(crate) fn claimed(params: Option<&RawValue>) -> Option<Claimed> {
    #[derive(Deserialize)]
    struct Params {
        #[serde(default, rename = "_meta")]
        meta: Option<Meta>,
    }
    #[derive(Deserialize)]
    struct Meta {
        #[serde(default)]
        traceparent: Option<String>,
    }
    let params: Params = serde_json::from_str(params?.get()).ok()?;
    parse(&params.meta?.traceparent?)
}

/// The trace and the span of a `traceparent`, if it is one (W3C Trace Context, section 3.2).
pub fn traceparent(text: &str) -> Option<(TraceId, SpanId)> {
    parse(text).map(|claimed| (claimed.trace, claimed.span))
}

/// Reads a `traceparent` (W3C Trace Context, section 3.2).
pub(crate) fn parse(text: &str) -> Option<Claimed> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex =
        |text: &str| text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'));
    // Later versions may add parts; version 00 has none.
    if !is_hex(version) || version == "ff" || !is_hex(flags) || (version == "00" && parts.next().is_some()) {
        return None;
    }
    Some(Claimed { trace: trace.parse().ok()?, span: span.parse().ok()? })
}

/// `text`, a request with these `params`, with a `traceparent` in `params._meta`, in place of one that is none. Everything
/// else stays as it is, byte for byte.
pub(crate) fn with_trace(text: &str, params: Option<&RawValue>, trace: TraceId, span: SpanId) -> String {
    let value = format!("\"00-{trace}-{span}-01\"");
    let member = format!("\"traceparent\":{value}");
    let Some(params) = params.map(RawValue::get) else {
        // INVARIANT: a message begins with a brace, and this one has members.
        let begin = text.find('{').map_or(0, |at| at + 1);
        return edited(text, vec![(&text[begin..begin], format!("\"params\":{{\"_meta\":{{{member}}}}},"))]);
    };
    let edit = match meta_of(params) {
        Some(meta) if meta.starts_with('{') => match traceparent_of(meta) {
            Some(none) => (none, value),
            None => (&meta[1..1], joined(&member, &meta[1..])),
        },
        Some(null @ "null") => (null, format!("{{{member}}}")),
        // Whatever it is instead of an object is for the server to refuse.
        Some(_) => return text.to_owned(),
        None => (&params[1..1], joined(&format!("\"_meta\":{{{member}}}"), &params[1..])),
    };
    edited(text, vec![edit])
}

/// `member` as the first of an object, of which `rest` follows.
fn joined(member: &str, rest: &str) -> String {
    let comma = if rest.trim_ascii_start().starts_with('}') { "" } else { "," };
    format!("{member}{comma}")
}

/// The text of `_meta` within `params`.
fn meta_of(params: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow, default, rename = "_meta", deserialize_with = "even_null")]
        meta: Option<&'a RawValue>,
    }
    serde_json::from_str::<Params<'_>>(params).ok()?.meta.map(RawValue::get)
}

/// The text of `traceparent` within `meta`, whatever it is.
fn traceparent_of(meta: &str) -> Option<&str> {
    #[derive(Deserialize)]
    struct Meta<'a> {
        #[serde(borrow, default, deserialize_with = "even_null")]
        traceparent: Option<&'a RawValue>,
    }
    serde_json::from_str::<Meta<'_>>(meta).ok()?.traceparent.map(RawValue::get)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Message;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    fn params(text: &str) -> Option<&RawValue> {
        match Message::read(text.as_bytes()) {
            Ok(Message::Request { params, .. }) => params,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_trace_is_put_in_and_read_again() {
        for (before, after) in [
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m"}"#,
                r#"{"params":{"_meta":{@}},"jsonrpc":"2.0","id":1,"method":"m"}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{ }}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{@} }}"#,
            ),
            (
                r#"{"params":{"name":"a","arguments":{"_meta":1}},"jsonrpc":"2.0","id":1,"method":"m"}"#,
                r#"{"params":{"_meta":{@},"name":"a","arguments":{"_meta":1}},"jsonrpc":"2.0","id":1,"method":"m"}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"ä","_meta":{"progressToken":7}}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"ä","_meta":{@,"progressToken":7}}}"#,
            ),
            // What is no traceparent gives way: two of one name would be read in two ways.
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"a":1, "traceparent" : 5 }}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"a":1, "traceparent" : "00-#-01" }}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"traceparent":null}}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{@}}}"#,
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":null,"name":"a"}}"#,
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{@},"name":"a"}}"#,
            ),
        ] {
            let (trace, span) = (TRACE.parse().expect("an id"), SPAN.parse().expect("an id"));
            let with = with_trace(before, params(before), trace, span);
            let after = after.replace('@', &format!("\"traceparent\":\"00-{TRACE}-{SPAN}-01\""));
            assert_eq!(with, after.replace('#', &format!("{TRACE}-{SPAN}")));
            assert_eq!(claimed(params(&with)), Some(Claimed { trace, span }));
        }
    }

    #[test]
    fn what_is_no_traceparent_is_none() {
        for wrong in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert!(parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes").is_some());
    }
}
