//! The texts that a result is made of, those in another coding among them.

use serde_json::{Map, Number, Value};

use super::{
    BLOCKED,
    coded::{self, Coded, Shows},
};

/// A piece of what is said.
pub(super) enum Piece<'t> {
    /// A text that is no JSON.
    Text(&'t str),
    /// Texts that follow one another, as one.
    Joined(&'t str),
    /// What a member is called.
    Name(&'t str),
    Number(&'t Number),
    /// JSON that stands in a text.
    Json(&'t mut Value),
    /// What cannot be looked into: a picture, sound, other bytes.
    Opaque,
}

/// Whether `is` of any piece of `value`, JSON within texts `depth` deep among them; what lies deeper is opaque.
/// Of other codings, `bytes` are looked into, and what is beyond them is opaque.
pub(super) fn any(value: &Value, depth: usize, bytes: usize, is: &mut dyn FnMut(Piece<'_>) -> bool) -> bool {
    Look { is, left: bytes }.value(value, depth)
}

/// Looks at every piece, in every way that it may be read.
struct Look<'i> {
    is: &'i mut dyn FnMut(Piece<'_>) -> bool,
    /// Bytes that may still be read in another way.
    left: usize,
}

impl Look<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> bool {
        match value {
            Value::String(text) => self.text(text, depth),
            Value::Number(number) => (self.is)(Piece::Number(number)),
            Value::Array(items) => {
                items.iter().any(|item| self.value(item, depth)) || self.joined(items, depth)
            }
            Value::Object(members) => members.iter().any(|(name, value)| {
                (self.is)(Piece::Name(name))
                    || match bytes(members, name) {
                        None => self.value(value, depth),
                        Some(Bytes::Shown) => (self.is)(Piece::Opaque),
                        Some(Bytes::Blob(bytes)) => match coded::decoded(bytes).filter(|_| depth > 0) {
                            Some(text) => self.text(&text, depth - 1),
                            None => (self.is)(Piece::Opaque),
                        },
                    }
            }),
            _ => false,
        }
    }

    fn text(&mut self, text: &str, depth: usize) -> bool {
        match structure(text) {
            Some(_) if depth == 0 => (self.is)(Piece::Opaque),
            Some(mut inner) => (self.is)(Piece::Json(&mut inner)) || self.value(&inner, depth - 1),
            None => (self.is)(Piece::Text(text)) || self.readings(text, depth),
        }
    }

    /// What the texts of `items` say as one: they may be pieces of it. JSON stands for itself.
    fn joined(&mut self, items: &[Value], depth: usize) -> bool {
        let mut texts: Vec<&str> = items.iter().filter_map(text_of).filter(|text| *text != BLOCKED).collect();
        if texts.len() > 1 {
            texts.retain(|text| is_prose(text, depth));
        }
        texts.len() > 1 && ["", " "].iter().any(|between| (self.is)(Piece::Joined(&texts.join(between))))
    }

    /// What a text says in another coding, in it or as a whole. Where that is no more than a part of it, nothing is cut from it,
    /// and so it is taken for prose, whatever it is.
    fn readings(&mut self, text: &str, depth: usize) -> bool {
        coded::each(text, &mut |shows| {
            let (Shows::Whole(inner) | Shows::Part(inner)) = shows else { return (self.is)(Piece::Opaque) };
            let Some(left) = self.left.checked_sub(inner.len()).filter(|_| depth > 0) else {
                return (self.is)(Piece::Opaque);
            };
            self.left = left;
            match shows {
                Shows::Whole(_) => self.text(inner, depth - 1),
                _ => (self.is)(Piece::Text(inner)) || self.readings(inner, depth - 1),
            }
        })
    }
}

/// The text that an item has as MCP has it, or is; not where that is no more than a number, of which any follow one another.
fn text_of(item: &Value) -> Option<&str> {
    let within = || ["content", "resource"].iter().find_map(|name| item.get(name)?.get("text"));
    match item {
        Value::String(text) => text.contains(char::is_alphabetic).then_some(text),
        _ => item.get("text").or_else(within)?.as_str(),
    }
}

/// Whether it is no JSON, nor that in base64.
fn is_prose(text: &str, depth: usize) -> bool {
    structure(text).is_none()
        && Coded::read(text).filter(|_| depth > 0).is_none_or(|coded| is_prose(&coded.text, depth - 1))
}

/// Calls `change` with every text of `value`, however deep; what it makes of one stands in its place.
pub(super) fn each(value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, change)),
        Value::Object(members) => members.iter_mut().for_each(|(_, value)| each(value, change)),
        _ => {}
    }
}

/// What a text is that is JSON with members or items; `None` of prose.
pub(super) fn structure(text: &str) -> Option<Value> {
    // Most texts begin otherwise, and are not read for it.
    let begins = text.trim_ascii_start().starts_with(['{', '[']);
    begins.then(|| serde_json::from_str(text).ok()).flatten()
}

/// Base64 where MCP has such.
enum Bytes<'m> {
    /// The `blob` of a resource.
    Blob(&'m str),
    /// The `data` of a picture or of sound: nobody can tell what it shows, not even where it is text.
    Shown,
}

fn bytes<'m>(members: &'m Map<String, Value>, name: &str) -> Option<Bytes<'m>> {
    let text = members.get(name)?.as_str()?;
    match name {
        "blob" if members.contains_key("uri") => Some(Bytes::Blob(text)),
        "data" if members.get("type").is_some_and(|kind| kind == "image" || kind == "audio") => {
            Some(Bytes::Shown)
        }
        _ => None,
    }
}
