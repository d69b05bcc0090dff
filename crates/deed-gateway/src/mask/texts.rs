//! The texts that a result is made of, those in another coding among them.

use serde_json::{Map, Value};

use super::coded::{self, Coded, Shows};

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
            Value::Array(items) => items.iter().any(|item| self.value(item, depth)),
            Value::Object(members) => members.iter().any(|(name, value)| {
                (self.is)(Piece::Name(name))
                    || match bytes(members, name) {
                        None => self.value(value, depth),
                        Some(Bytes::Shown) => (self.is)(Piece::Opaque),
                        Some(Bytes::Blob(bytes)) => match coded::decoded(bytes) {
                            Some(text) => self.text(&text, depth),
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
            Some(inner) => self.value(&inner, depth - 1),
            None => (self.is)(Piece::Text(text)) || self.readings(text, depth),
        }
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

/// Calls `change` with every text of `value`, however deep; what it makes of one stands in its place. JSON that is in base64 as a
/// whole is given as it reads, and put back in base64.
pub(super) fn each(value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => match Coded::read(text).filter(|coded| structure(&coded.text).is_some()) {
            None => change(text),
            Some(coded) => {
                let mut inner = coded.text.clone();
                change(&mut inner);
                if inner != coded.text {
                    *text = coded.with(&inner);
                }
            }
        },
        Value::Array(items) => items.iter_mut().for_each(|item| each(item, change)),
        Value::Object(members) => members.iter_mut().for_each(|(_, value)| each(value, change)),
        _ => {}
    }
}

/// What a text is that is JSON with members or items; `None` of prose.
pub(super) fn structure(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok().filter(|inner| inner.is_object() || inner.is_array())
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
