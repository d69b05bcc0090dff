//! Writing JSON by hand where a whole tree of values would cost too much.

use std::{borrow::Cow, fmt::Write as _};

use deed_record::{Disclose, Kind, Submission, Text, Timestamp};
use sha2::{Digest, Sha256};

/// Appends `text` as a JSON string (RFC 8259, section 7).
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        // Each of these bytes is a character of its own, so the cuts fall between characters.
        out.push_str(&text[copied..at]);
        out.push_str(escaped);
        if escaped.is_empty() {
            push_display(out, format_args!("\\u{byte:04x}"));
        }
        copied = at + 1;
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

/// Appends `,` unless `out` ends where a list or an object begins, then `"name":`.
pub(crate) fn push_name(out: &mut String, name: &str) {
    push_comma(out);
    push_string(out, name);
    out.push(':');
}

/// Appends `,` unless `out` is empty or ends where a list or an object begins.
pub(crate) fn push_comma(out: &mut String) {
    if !out.is_empty() && !out.ends_with(['{', '[']) {
        out.push(',');
    }
}

/// Appends what `value` displays as.
pub(crate) fn push_display(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a `String` cannot fail.
    let _infallible = write!(out, "{value}");
}

/// The record's JSON: `submission`, which discloses nothing itself, and the members `disclose`.
///
/// The payload is copied in as it is: reading it into values and writing them again would cost more
/// than the whole mapping, and could change its bytes.
pub(crate) fn record(submission: &Submission<'_>, disclose: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(disclose.len() + 768);
    serde_json::to_writer(&mut out, submission).map_err(|error| error.to_string())?;
    out.pop();
    out.extend_from_slice(b",\"disclose\":{");
    out.extend_from_slice(disclose.as_bytes());
    out.extend_from_slice(b"}}");
    String::from_utf8(out).map_err(|error| error.to_string())
}

/// A record that says nothing yet but what it is about and when.
pub(crate) fn empty(kind: Kind, time: Timestamp) -> Submission<'static> {
    Submission {
        action: None,
        approvals: None,
        artifact: None,
        basis: None,
        chain: None,
        credential: None,
        decision: None,
        disclose: Disclose::default(),
        effects: None,
        environment: None,
        exception: None,
        executor: None,
        grant: None,
        id: None,
        initiator: None,
        kind,
        operation: None,
        outcome: None,
        parent_span_id: None,
        permission: None,
        personal: None,
        request: None,
        resource: None,
        retention: None,
        session: None,
        source: None,
        span_id: None,
        step_type: None,
        supersedes: None,
        task: None,
        tenant: None,
        terms: None,
        time,
        tool: None,
        trace_id: None,
    }
}

/// The longest text that goes into a sealed record as it is, in bytes: a leaf holds 65,535.
const LONGEST: usize = 1024;

/// `value` as a member of a record. What is too long for one is cut, and its digest put behind it, so
/// that different texts stay different; the whole stands in the event.
pub(crate) fn text<'a>(value: impl Into<Cow<'a, str>>) -> Text<'a> {
    let value = value.into();
    if value.len() <= LONGEST {
        return Text(value);
    }
    let end = (0..=LONGEST - 80).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
    let mut cut = value[..end].to_owned();
    cut.push_str("…sha256:");
    push_hex(&mut cut, &Sha256::digest(value.as_bytes()));
    Text(Cow::Owned(cut))
}

/// Appends `bytes` as lower-case hex digits.
pub(crate) fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// What `value` is, for "expected …, found …"; never its content, which may be a secret (D9).
pub(crate) fn kind_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

/// serde's message without the value it stumbled over: that may be a secret (D9).
pub(crate) fn error_text(error: &serde_json::Error) -> String {
    let message = error.to_string();
    for what in ["invalid type: ", "invalid value: ", "unknown variant "] {
        if let Some(rest) = message.strip_prefix(what)
            && let Some(at) = rest.rfind(", expected ")
        {
            return format!("{}something else{}", what, &rest[at..]);
        }
    }
    // What else a type's own reader says may quote the input; a missing field is quoted from the type.
    if error.is_data() && message.contains(['`', '"', '\'']) && !message.starts_with("missing field") {
        return format!("not of the expected form at line {} column {}", error.line(), error.column());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_texts_stay_different() {
        let (a, b) = ("ä".repeat(2000), format!("{}b", "ä".repeat(2000)));
        let (cut_a, cut_b) = (text(a.as_str()), text(b.as_str()));
        assert!(cut_a.len() <= LONGEST && cut_b.len() <= LONGEST);
        assert_ne!(cut_a, cut_b);
        assert_eq!(&*text("short"), "short");
    }

    proptest! {
        #[test]
        fn strings_read_back(value in any::<String>()) {
            let mut out = String::new();
            push_string(&mut out, &value);
            prop_assert_eq!(serde_json::from_str::<String>(&out).ok(), Some(value));
        }
    }
}
