//! Reading JSON as programs write it that cut texts by UTF-16 units: with half a surrogate pair at the end.
//!
//! Such a half is an escape (`\ud83d`) that stands for no character, and readers of Rust's strings refuse all around it.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::json;

/// What `text` holds; U+FFFD stands where half a surrogate pair does. What is taken over as it stands, such as the event
/// itself, keeps it.
pub(crate) fn value<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let read = serde_json::from_str(text).or_else(|error| match mended(text.as_bytes()) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(error),
    });
    read.map_err(|error| format!("not JSON: {}", json::error_text(&error)))
}

/// As [`value()`], of an event, which must be an object.
pub(crate) fn object(text: &str) -> Result<Value, String> {
    let value: Value = value(text)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(format!("expected an object, found {}", json::kind_of(&value)))
    }
}

/// `json` with U+FFFD, which takes as many bytes, for each half of a surrogate pair without the other; `None` where there is
/// none.
pub(crate) fn mended(json: &[u8]) -> Option<Vec<u8>> {
    let unit = |at: usize| {
        let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut mended: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(next) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += next;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => 12,
            (Some(0xd800..0xe000), _) => {
                mended.get_or_insert_with(|| json.to_vec())[at..at + 6].copy_from_slice(b"\\ufffd");
                6
            }
            (Some(_), _) => 6,
            (None, _) => 2,
        };
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_halves_are_mended() {
        for (text, expected) in [
            (r#""a\ud83d""#, Some("a\u{fffd}")),
            (r#""\ude00\ud83d\ude00\ud83d!""#, Some("\u{fffd}😀\u{fffd}!")),
            (r#""\ud83d\ud83d\ude00""#, Some("\u{fffd}😀")),
            (r#""\\ud83d\\""#, Some("\\ud83d\\")),
            (r#""\n\u00e4\uD83D\uDE00""#, Some("\nä😀")),
            (r#""\ud83d\q""#, None),
            (r#""\ud83"#, None),
            (r#""\u"#, None),
        ] {
            assert_eq!(value::<String>(text).ok().as_deref(), expected, "{text}");
        }
        assert_eq!(mended(br#"{"a":"\ud83d\ude00\\ud83d"}"#), None);
    }
}
