//! Writing JSON by hand where a whole tree of values would cost too much.

use std::{borrow::Cow, io::Write as _};

use deed_record::{Submission, Text};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// JSON text in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Json(Vec<u8>);

impl Json {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Json(Vec::with_capacity(bytes))
    }

    /// Forgets what was written and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends `json` as it is.
    #[inline]
    pub(crate) fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// Appends other text as it is.
    pub(crate) fn append(&mut self, json: &Json) {
        self.0.extend_from_slice(&json.0);
    }

    /// Appends `,` unless the text is empty or ends where a list or an object begins.
    #[inline]
    pub(crate) fn comma(&mut self) {
        if !matches!(self.0.last(), None | Some(b'{' | b'[')) {
            self.0.push(b',');
        }
    }

    /// Appends `"name":`, after a comma where one is due. `name` holds nothing to escape.
    #[inline]
    pub(crate) fn name(&mut self, name: &'static str) {
        self.comma();
        self.0.push(b'"');
        self.raw(name);
        self.raw("\":");
    }

    /// Appends `"key":`, after a comma where one is due.
    pub(crate) fn key(&mut self, key: &str) {
        self.comma();
        self.string(key);
        self.0.push(b':');
    }

    /// Appends what `value` displays as.
    pub(crate) fn display(&mut self, value: impl std::fmt::Display) {
        // Writing to memory cannot fail.
        let _infallible = write!(self.0, "{value}");
    }

    /// Appends `bytes` as lower-case hex digits.
    pub(crate) fn hex(&mut self, bytes: &[u8]) {
        self.0.extend(bytes.iter().flat_map(|byte| hex_digits(*byte)));
    }

    /// Appends `text` as a JSON string (RFC 8259, section 7).
    pub(crate) fn string(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.0.reserve(bytes.len() + bytes.len() / 8 + 16);
        self.0.push(b'"');
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            if is_plain(*word) {
                self.0.extend_from_slice(word);
            } else {
                self.escaped(*word);
            }
        }
        self.one_by_one(rest);
        self.0.push(b'"');
    }

    /// Appends eight bytes of a string, some of them escaped, without a branch for each: text that holds
    /// JSON is full of them.
    fn escaped(&mut self, word: [u8; 8]) {
        let mut out = [0; 16];
        let mut length = 0;
        for (at, byte) in word.into_iter().enumerate() {
            let letter = ESCAPES[usize::from(byte)];
            if letter == b'u' {
                self.0.extend_from_slice(&out[..length]);
                return self.one_by_one(&word[at..]);
            }
            out[length & 15] = b'\\';
            length += usize::from(letter != 0);
            out[length & 15] = if letter == 0 { byte } else { letter };
            length += 1;
        }
        // A copy of fixed size is much quicker than one of just so many bytes.
        let end = self.0.len() + length;
        self.0.extend_from_slice(&out);
        self.0.truncate(end);
    }

    fn one_by_one(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match ESCAPES[usize::from(*byte)] {
                0 => self.0.push(*byte),
                b'u' => {
                    self.0.extend_from_slice(b"\\u00");
                    self.0.extend_from_slice(&hex_digits(*byte));
                }
                letter => self.0.extend_from_slice(&[b'\\', letter]),
            }
        }
    }
}

/// What stands behind the backslash for a byte that must be escaped, `u` for those that have no letter
/// of their own; 0 for all others. Bytes of longer characters are above all that are escaped.
static ESCAPES: [u8; 256] = {
    let mut table = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = b'u';
        control += 1;
    }
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table
};

/// Whether none of eight bytes needs escaping: all at once, for this is where most of the time goes.
const fn is_plain(word: [u8; 8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(word);
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    // The highest bit of a byte that is below 0x20, or zero; bytes of 0x80 and above are left out.
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    (control | is_quote | is_backslash) & HIGH == 0
}

fn hex_digits(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

/// `bytes` as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| hex_digits(*byte)).map(char::from).collect()
}

/// The record's JSON: `submission`, which discloses nothing itself, and the members `disclose`.
///
/// The payload is copied in as it is: reading it into values and writing them again would cost more
/// than the whole mapping, and could change its bytes.
pub(crate) fn record(submission: &Submission<'_>, disclose: &Json) -> Result<String, String> {
    with_disclosures(submission, disclose)
}

/// As [`record()`], of members that are put together elsewhere: an object that is not empty.
pub(crate) fn with_disclosures(members: &impl Serialize, disclose: &Json) -> Result<String, String> {
    let mut out = Vec::with_capacity(disclose.0.len() + 1024);
    serde_json::to_writer(&mut out, members).map_err(|error| error.to_string())?;
    out.pop();
    out.extend_from_slice(b",\"disclose\":{");
    out.extend_from_slice(&disclose.0);
    out.extend_from_slice(b"}}");
    String::from_utf8(out).map_err(|error| error.to_string())
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
    let digest = hex(&Sha256::digest(value.as_bytes()));
    Text(Cow::Owned(format!("{}…sha256:{digest}", &value[..end])))
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
        fn strings_read_back(value in "(\\PC|[\\x00-\\x7f]|ä){0,40}") {
            let mut out = Json::default();
            out.string(&value);
            prop_assert_eq!(serde_json::from_slice::<String>(out.as_bytes()).ok(), Some(value));
        }
    }
}
