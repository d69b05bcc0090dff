//! What of a span or log record goes under a name of its own in `disclose`.

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};

use super::{
    attributes::{Seen, Slot},
    convention::Deed,
    event,
};
use crate::json::Json;

/// Appends the members of `disclose` that the attributes give.
pub(super) fn push_attributes(out: &mut Json, seen: &Seen<'_>, deed: Deed, attributes: &[KeyValue]) {
    let (arguments, result) = (seen.value(Slot::Arguments), seen.value(Slot::Result));
    let (input, output) = (seen.value(Slot::Input), seen.value(Slot::Output));
    // What goes into a tool are its arguments, whatever the convention calls it.
    let is_call = matches!(deed, Deed::Tool | Deed::Change);
    let (arguments, input) = if is_call { (arguments.or(input), None) } else { (arguments, input) };
    let (result, output) = if is_call { (result.or(output), None) } else { (result, output) };
    if is_call || deed == Deed::Check {
        push_whole(out, "call_id", seen.value(Slot::CallId));
    }
    push_members(out, "arguments", arguments);
    push_members(out, "result", result);
    push_whole(out, "prompt", input);
    push_whole(out, "output", output);
    push_whole(out, "instructions", seen.value(Slot::Instructions));
    push_whole(out, "query", seen.value(Slot::Query));
    push_whole(out, "documents", seen.value(Slot::Documents));
    if input.is_none() && !is_call {
        push_indexed(out, "prompt", attributes, &["gen_ai.prompt.", "llm.prompts.", "llm.input_messages."]);
    }
    if output.is_none() && !is_call {
        push_indexed(
            out,
            "output",
            attributes,
            &["gen_ai.completion.", "llm.completions.", "llm.output_messages."],
        );
    }
}

/// A payload whose parts may be shown or redacted one by one: an object stays an object, also where
/// it came as the text of one.
pub(super) fn push_members(out: &mut Json, name: &'static str, value: Option<&Value>) {
    match value {
        None => {}
        Some(Value::StringValue(text)) if is_splittable(text) => {
            out.name(name);
            out.raw(text.trim());
        }
        Some(Value::KvlistValue(list)) => {
            out.name(name);
            let mut object = Json::default();
            push_object(&mut object, &list.values);
            match std::str::from_utf8(object.as_bytes()) {
                Ok(text) if is_splittable(text) => out.raw(text),
                // In an array it is committed to whole.
                text => {
                    out.raw("[");
                    out.raw(text.unwrap_or("null"));
                    out.raw("]");
                }
            }
        }
        value => push_whole(out, name, value),
    }
}

/// As [`push_members`], of JSON that is there as text.
pub(crate) fn push_text_members(out: &mut Json, name: &'static str, text: &str) {
    push_members(out, name, Some(&Value::StringValue(text.to_owned())));
}

/// A payload that is shown or redacted as one.
pub(super) fn push_whole(out: &mut Json, name: &'static str, value: Option<&Value>) {
    match value {
        None => {}
        Some(Value::StringValue(text)) if text.trim_start().starts_with('[') && is_json(text) => {
            out.name(name);
            out.raw(text.trim());
        }
        Some(Value::KvlistValue(list)) => {
            out.name(name);
            out.raw("[");
            push_object(out, &list.values);
            out.raw("]");
        }
        Some(value) => {
            out.name(name);
            push_plain(out, value);
        }
    }
}

/// What the first generations spread over numbered attributes (`gen_ai.prompt.0.content`): one list
/// that holds one object of all of them.
fn push_indexed(out: &mut Json, name: &'static str, attributes: &[KeyValue], prefixes: &[&str]) {
    let Some(prefix) = prefixes.iter().find(|prefix| attributes.iter().any(|a| a.key.starts_with(**prefix)))
    else {
        return;
    };
    out.name(name);
    out.raw("[{");
    for attribute in attributes {
        if let Some(rest) = attribute.key.strip_prefix(prefix)
            && let Some(value) = attribute.value.as_ref().and_then(|value| value.value.as_ref())
        {
            out.key(rest);
            push_plain(out, value);
        }
    }
    out.raw("}]");
}

/// Attributes as one plain JSON object.
pub(super) fn push_object(out: &mut Json, attributes: &[KeyValue]) {
    out.raw("{");
    for attribute in attributes {
        out.key(&attribute.key);
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(value) => push_plain(out, value),
            None => out.raw("null"),
        }
    }
    out.raw("}");
}

/// A value as plain JSON. It nests no deeper than the event could be written.
fn push_plain(out: &mut Json, value: &Value) {
    /// Beyond this readers of JSON disagree on whole numbers (RFC 8259, section 6).
    const SAFE: u64 = 1 << 53;
    match value {
        Value::StringValue(text) => out.string(text),
        Value::BoolValue(flag) => out.display(flag),
        Value::IntValue(number) if number.unsigned_abs() <= SAFE => out.display(number),
        Value::IntValue(number) => out.display(format_args!("\"{number}\"")),
        Value::DoubleValue(number) => event::push_double(out, *number),
        Value::ArrayValue(list) => {
            out.raw("[");
            for item in &list.values {
                out.comma();
                match &item.value {
                    Some(value) => push_plain(out, value),
                    None => out.raw("null"),
                }
            }
            out.raw("]");
        }
        Value::KvlistValue(list) => push_object(out, &list.values),
        Value::BytesValue(bytes) => out.string(&event::base64(bytes)),
        Value::StringValueStrindex(index) => out.display(index),
    }
}

/// Whether `text` is one JSON value that a record can hold as it is.
fn is_json(text: &str) -> bool {
    is_shallow(text) && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Whether `text` is an object whose first-level members can be committed to one by one.
fn is_splittable(text: &str) -> bool {
    text.trim_start().starts_with('{') && is_shallow(text) && serde_json::from_str::<Splittable>(text).is_ok()
}

/// Whether `text`, if it is JSON, leaves room for the record around it (128 levels in all).
fn is_shallow(text: &str) -> bool {
    const DEEPEST: usize = 100;
    // Few brackets cannot nest deep; counting them is quick.
    if text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= DEEPEST {
        return true;
    }
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > DEEPEST {
                    return false;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// An object as `disclose` takes it apart: not empty, of few members, whose names are unique and free.
struct Splittable;

impl<'de> Deserialize<'de> for Splittable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Each member takes 46 bytes of the sealed record.
        const MOST: usize = 128;
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Splittable;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Splittable, A::Error> {
                let mut names: Vec<String> = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if names.len() == MOST || name == "_sd" || name == "..." || names.contains(&name) {
                        return Err(A::Error::custom("cannot be taken apart"));
                    }
                    names.push(name);
                    map.next_value::<IgnoredAny>()?;
                }
                Ok(Splittable)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(text: &str) -> String {
        let mut out = Json::default();
        push_members(&mut out, "a", Some(&Value::StringValue(text.to_owned())));
        String::from_utf8(out.as_bytes().to_vec()).expect("UTF-8")
    }

    #[test]
    fn objects_stay_objects_where_they_can() {
        assert_eq!(member(r#" {"x": 1.0, "y":[{}]} "#), r#""a":{"x": 1.0, "y":[{}]}"#);
        assert_eq!(member(r#"[1, {"x":2}]"#), r#""a":[1, {"x":2}]"#);
        for text in [r#"{"x":1,"x":2}"#, r#"{"_sd":1}"#, r#"{"...":1}"#, "{", "5", "null", r#"{"x":1} y"#] {
            assert_eq!(member(text), format!("\"a\":{}", serde_json::Value::from(text)), "{text}");
        }
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(120), "]".repeat(120));
        assert!(member(&deep).starts_with("\"a\":\"{"));
        let wide = format!("{{{}}}", (0..200).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        assert!(member(&wide).starts_with("\"a\":\"{"));
    }
}
