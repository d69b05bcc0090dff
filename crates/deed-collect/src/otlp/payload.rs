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
use crate::json::{push_comma, push_display, push_name, push_string};

/// Appends the members of `disclose` that the attributes give.
pub(super) fn push_attributes(out: &mut String, seen: &Seen<'_>, deed: Deed, attributes: &[KeyValue]) {
    let (arguments, result) = (seen.value(Slot::Arguments), seen.value(Slot::Result));
    let (input, output) = (seen.value(Slot::Input), seen.value(Slot::Output));
    // What goes into a tool are its arguments, whatever the convention calls it.
    let is_call = matches!(deed, Deed::Tool | Deed::Change);
    let (arguments, input) = if is_call { (arguments.or(input), None) } else { (arguments, input) };
    let (result, output) = if is_call { (result.or(output), None) } else { (result, output) };
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
pub(super) fn push_members(out: &mut String, name: &str, value: Option<&Value>) {
    match value {
        None => {}
        Some(Value::StringValue(text)) if is_splittable(text) => {
            push_name(out, name);
            out.push_str(text.trim());
        }
        Some(Value::KvlistValue(list)) => {
            push_name(out, name);
            let mut object = String::new();
            push_object(&mut object, &list.values, 0);
            // In an array it is committed to whole.
            let whole = !is_splittable(&object);
            out.push_str(if whole { "[" } else { "" });
            out.push_str(&object);
            out.push_str(if whole { "]" } else { "" });
        }
        value => push_whole(out, name, value),
    }
}

/// A payload that is shown or redacted as one.
pub(super) fn push_whole(out: &mut String, name: &str, value: Option<&Value>) {
    match value {
        None => {}
        Some(Value::StringValue(text)) if text.trim_start().starts_with('[') && is_json(text) => {
            push_name(out, name);
            out.push_str(text.trim());
        }
        Some(Value::KvlistValue(list)) => {
            push_name(out, name);
            out.push('[');
            push_object(out, &list.values, 0);
            out.push(']');
        }
        Some(value) => {
            push_name(out, name);
            push_plain(out, value, 0);
        }
    }
}

/// What the first generations spread over numbered attributes (`gen_ai.prompt.0.content`): one list
/// that holds one object of all of them.
fn push_indexed(out: &mut String, name: &str, attributes: &[KeyValue], prefixes: &[&str]) {
    let Some(prefix) = prefixes.iter().find(|prefix| attributes.iter().any(|a| a.key.starts_with(**prefix)))
    else {
        return;
    };
    push_name(out, name);
    out.push_str("[{");
    for attribute in attributes {
        if let Some(rest) = attribute.key.strip_prefix(prefix)
            && let Some(value) = attribute.value.as_ref().and_then(|value| value.value.as_ref())
        {
            push_name(out, rest);
            push_plain(out, value, 0);
        }
    }
    out.push_str("}]");
}

/// Attributes as one plain JSON object.
pub(super) fn push_object(out: &mut String, attributes: &[KeyValue], depth: usize) {
    out.push('{');
    for attribute in attributes {
        push_name(out, &attribute.key);
        match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(value) => push_plain(out, value, depth + 1),
            None => out.push_str("null"),
        }
    }
    out.push('}');
}

/// A value as plain JSON. It nests no deeper than the event could be written.
fn push_plain(out: &mut String, value: &Value, depth: usize) {
    /// Beyond this readers of JSON disagree on whole numbers (RFC 8259, section 6).
    const SAFE: u64 = 1 << 53;
    match value {
        Value::StringValue(text) => push_string(out, text),
        Value::BoolValue(flag) => push_display(out, flag),
        Value::IntValue(number) if number.unsigned_abs() <= SAFE => push_display(out, number),
        Value::IntValue(number) => push_display(out, format_args!("\"{number}\"")),
        Value::DoubleValue(number) => event::push_double(out, *number),
        Value::ArrayValue(list) => {
            out.push('[');
            for item in &list.values {
                push_comma(out);
                match &item.value {
                    Some(value) => push_plain(out, value, depth + 1),
                    None => out.push_str("null"),
                }
            }
            out.push(']');
        }
        Value::KvlistValue(list) => push_object(out, &list.values, depth),
        Value::BytesValue(bytes) => push_string(out, &event::base64(bytes)),
        Value::StringValueStrindex(index) => push_display(out, index),
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
    let mut depth = 0_usize;
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > 100 {
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
        let mut out = String::new();
        push_members(&mut out, "a", Some(&Value::StringValue(text.to_owned())));
        out
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
