//! Strings of JSON without their escapes, and addresses without theirs.

use std::borrow::Cow;

/// What a JSON string's inside, or a part of an address, stands for.
pub(super) struct Decoded<'j> {
    pub(super) text: Cow<'j, str>,
    /// For each byte of `text`, and its end, where in the original it comes from; empty where both are
    /// the same.
    from: Vec<usize>,
}

impl<'j> Decoded<'j> {
    /// Lone surrogates and bad escapes stand for U+FFFD: nothing must hide behind them.
    pub(super) fn new(json: &'j str) -> Self {
        if !json.contains('\\') {
            return Decoded { text: Cow::Borrowed(json), from: Vec::new() };
        }
        let mut text = String::with_capacity(json.len());
        let mut from = Vec::with_capacity(json.len() + 1);
        let mut rest = json;
        while let Some(first) = rest.chars().next() {
            let (c, length) = if first == '\\' { unescape(rest) } else { (first, first.len_utf8()) };
            from.resize(from.len() + c.len_utf8(), json.len() - rest.len());
            text.push(c);
            rest = &rest[length..];
        }
        from.push(json.len());
        Decoded { text: Cow::Owned(text), from }
    }

    /// Of a percent-encoded text. Bytes that are no UTF-8 stand for U+FFFD.
    pub(super) fn percent(encoded: &'j str, plus_is_space: bool) -> Self {
        let is_plain = |c: char| c != '%' && !(plus_is_space && c == '+');
        if encoded.chars().all(is_plain) {
            return Decoded { text: Cow::Borrowed(encoded), from: Vec::new() };
        }
        let (mut bytes, mut starts) = (Vec::with_capacity(encoded.len()), Vec::with_capacity(encoded.len()));
        let mut at = 0;
        while let Some(byte) = encoded.as_bytes().get(at) {
            let hex = encoded.get(at + 1..at + 3).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
            let escaped = hex.filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
            bytes.push(escaped.unwrap_or(if plus_is_space && *byte == b'+' { b' ' } else { *byte }));
            starts.push(at);
            at += if escaped.is_some() { 3 } else { 1 };
        }
        let mut text = String::with_capacity(bytes.len());
        let mut from = Vec::with_capacity(bytes.len() + 1);
        let mut starts = starts.into_iter();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            from.extend(starts.by_ref().take(chunk.valid().len()));
            if let Some(first) = starts.by_ref().take(chunk.invalid().len()).min() {
                text.push(char::REPLACEMENT_CHARACTER);
                from.resize(text.len(), first);
            }
        }
        from.push(encoded.len());
        Decoded { text: Cow::Owned(text), from }
    }

    /// Where byte `at` of the text comes from.
    pub(super) fn raw(&self, at: usize) -> usize {
        if self.from.is_empty() { at } else { self.from[at] }
    }
}

/// The character of the escape that `text` begins with, and how many bytes it takes.
fn unescape(text: &str) -> (char, usize) {
    let unit = |at: usize| text.get(at..at + 4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
    let c = match text[1..].chars().next() {
        Some('u') => {
            let low = if text.get(6..8) == Some("\\u") { unit(8) } else { None };
            return match (unit(2), low) {
                (Some(high @ 0xd800..0xdc00), Some(low @ 0xdc00..0xe000)) => {
                    let code = 0x1_0000 + (u32::from(high - 0xd800) << 10 | u32::from(low - 0xdc00));
                    (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
                }
                (Some(code), _) => (char::from_u32(code.into()).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
                (None, _) => (char::REPLACEMENT_CHARACTER, 2),
            };
        }
        Some('b') => '\u{8}',
        Some('f') => '\u{c}',
        Some('n') => '\n',
        Some('r') => '\r',
        Some('t') => '\t',
        Some(c @ ('"' | '\\' | '/')) => c,
        Some(other) => return (char::REPLACEMENT_CHARACTER, 1 + other.len_utf8()),
        None => return (char::REPLACEMENT_CHARACTER, 1),
    };
    (c, 2)
}
