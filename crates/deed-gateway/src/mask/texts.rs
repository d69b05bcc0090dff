//! The texts that a result is made of, those in base64 among them.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Map, Value};

/// A piece of what is said.
#[derive(Clone, Copy)]
pub(super) enum Piece<'t> {
    /// A text that is no JSON.
    Text(&'t str),
    /// What a member is called.
    Name(&'t str),
    /// What cannot be looked into: a picture, sound, other bytes.
    Opaque,
}

/// Whether `is` of any piece of `value`, JSON within texts `depth` deep among them; what lies deeper is opaque.
pub(super) fn any(value: &Value, depth: usize, is: &mut dyn FnMut(Piece<'_>) -> bool) -> bool {
    match value {
        Value::String(text) => in_text(text, depth, is),
        Value::Array(items) => items.iter().any(|item| any(item, depth, is)),
        Value::Object(members) => members.iter().any(|(name, value)| {
            is(Piece::Name(name))
                || match bytes(members, name) {
                    None => any(value, depth, is),
                    Some(bytes) => match decoded(bytes) {
                        Some(text) => in_text(&text, depth, is),
                        None => is(Piece::Opaque),
                    },
                }
        }),
        _ => false,
    }
}

fn in_text(text: &str, depth: usize, is: &mut dyn FnMut(Piece<'_>) -> bool) -> bool {
    match structure(text) {
        Some(_) if depth == 0 => is(Piece::Opaque),
        Some(inner) => any(&inner, depth - 1, is),
        None => is(Piece::Text(text)),
    }
}

/// Calls `change` with every text of `value`, however deep; what it makes of one stands in its place.
pub(super) fn each(value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, change)),
        Value::Object(members) => {
            let in_base64: Vec<String> =
                members.keys().filter(|name| bytes(members, name).is_some()).cloned().collect();
            for (name, value) in members {
                match value.as_str().filter(|_| in_base64.contains(name)).and_then(decoded) {
                    None => each(value, change),
                    Some(before) => {
                        let mut text = before.clone();
                        change(&mut text);
                        if text != before {
                            *value = Value::from(encoded(&text));
                        }
                    }
                }
            }
        }
        _ => {}
    }
}

/// What a text is that is JSON with members or items; `None` of prose.
pub(super) fn structure(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok().filter(|inner| inner.is_object() || inner.is_array())
}

/// The base64 in member `name`, where MCP has such: the `blob` of a resource, the `data` of a picture or of sound.
fn bytes<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    let is_encoded = match name {
        "blob" => members.contains_key("uri"),
        "data" => members.get("type").is_some_and(|kind| kind == "image" || kind == "audio"),
        _ => false,
    };
    members.get(name)?.as_str().filter(|_| is_encoded)
}

fn decoded(bytes: &str) -> Option<String> {
    String::from_utf8(BASE64_STANDARD.decode(bytes).ok()?).ok()
}

pub(super) fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}
