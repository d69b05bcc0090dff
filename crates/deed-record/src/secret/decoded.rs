//! Strings of JSON without their escapes.

use std::borrow::Cow;

/// What a JSON string's inside stands for.
pub(super) struct Decoded<'j> {
    pub(super) text: Cow<'j, str>,
    /// For each byte of `text`, and its end, where in the JSON it comes from; empty where both are the
    /// same.
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
