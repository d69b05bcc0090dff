//! Texts that say something in another coding: base64 and `data:` URIs; escapes are in [`super::escapes`].

use std::borrow::Cow;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE},
};
use memchr::memmem;

use super::escapes;

/// Shorter runs of letters and digits are words, and show nothing that is worth a look in base64.
const SHORTEST: usize = 12;
/// Shorter pieces of text between other bytes are there by chance.
const TELLING: usize = 8;
/// Bytes that are no text are taken for ids, digests and signatures where they are shorter than this in base64.
const LONGEST_ID: usize = 1024;
/// What stands before the body of a `data:` URI is not longer, in bytes.
const LONGEST_TYPE: usize = 256;
/// How files begin in which anything may be shown.
const FILES: [&[u8]; 12] = [
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"%PDF",
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
    b"\x28\xb5\x2f\xfd",
    b"\xfd7zXZ",
    b"OggS",
];

/// Either alphabet, once it is that of [`plain`], with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What stands in a text.
pub(super) enum Shows<'t> {
    /// A text, which is all that it says.
    Whole(&'t str),
    /// A text in it.
    Part(&'t str),
    /// Bytes that may show anything.
    Bytes,
}

/// Whether `is` of anything that `text` shows in another coding.
pub(super) fn each(text: &str, is: &mut dyn FnMut(Shows<'_>) -> bool) -> bool {
    if let Some(escaped) = escapes::read(text)
        && is(Shows::Part(&escaped))
    {
        return true;
    }
    if let Some(coded) = Coded::read(text) {
        return is(if is_shown(coded.head) { Shows::Bytes } else { Shows::Whole(&coded.text) });
    }
    // As a whole, line breaks are none of it; in prose, they end a word.
    let whole = (!text.contains(' ')).then(|| text.replace(['\r', '\n'], ""));
    let text = whole.as_deref().unwrap_or(text);
    let mut start = 0;
    for run in text.split(|c: char| !is_of_base64(c)) {
        start += text[start..].find(run).unwrap_or_default();
        let head = &text[..start];
        start += run.len();
        if run.len() < SHORTEST {
            continue;
        }
        let is_file = head.ends_with(";base64,");
        if is_file && is_shown(head) && is(Shows::Bytes) || in_run(run, is_file, is) {
            return true;
        }
    }
    false
}

/// Whether the `data:` URI that `head` ends in is of a picture, sound or a film: nobody can tell what it shows, not even where it
/// is text.
fn is_shown(head: &str) -> bool {
    let end = &head.as_bytes()[head.len().saturating_sub(LONGEST_TYPE)..];
    let kind = memmem::rfind(end, b"data:").map(|at| &end[at + b"data:".len()..]);
    kind.is_some_and(|kind| {
        ["image/", "audio/", "video/"].iter().any(|shown| kind.starts_with(shown.as_bytes()))
    })
}

/// Whether `is` of anything that a run of base64 shows, from whichever of its letters that begins.
fn in_run(run: &str, is_file: bool, is: &mut dyn FnMut(Shows<'_>) -> bool) -> bool {
    let run = plain(run);
    let is_hex = run.bytes().all(|byte| byte.is_ascii_hexdigit());
    for skip in 0..4 {
        let Some(bytes) = run.get(skip..).and_then(lenient) else { continue };
        let is_text = std::str::from_utf8(&bytes).is_ok();
        let is_long = is_file || run.len() >= LONGEST_ID && !is_hex && is_mixed(&run);
        if skip == 0 && !is_text && (is_long || FILES.iter().any(|head| bytes.starts_with(head))) {
            return is(Shows::Bytes);
        }
        for chunk in bytes.utf8_chunks() {
            let pieces = chunk.valid().split(|c: char| c.is_control() && !c.is_whitespace());
            for piece in pieces.filter(|piece| piece.len() >= TELLING) {
                if is(Shows::Part(piece)) {
                    return true;
                }
            }
        }
    }
    false
}

/// A text that as a whole is another text in base64.
pub(super) struct Coded<'t> {
    /// What stands before it: of a `data:` URI, all to the comma.
    head: &'t str,
    is_url_safe: bool,
    is_padded: bool,
    /// What it says.
    pub(super) text: String,
}

impl<'t> Coded<'t> {
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let text = text.trim();
        let comma = text.strip_prefix("data:").and_then(|_| text.find(";base64,"));
        let (head, body) = text.split_at(comma.map_or(0, |at| at + ";base64,".len()));
        if body.len() < SHORTEST {
            return None;
        }
        let is_url_safe = body.contains(['-', '_']);
        let is_padded =
            body.ends_with('=') || body.bytes().filter(|byte| !byte.is_ascii_whitespace()).count() % 4 == 0;
        Some(Coded { head, is_url_safe, is_padded, text: decoded(body)? })
    }

    /// What it says now, as it was coded.
    pub(super) fn written(&self) -> String {
        let mut body = match self.is_url_safe {
            true => BASE64_URL_SAFE.encode(&self.text),
            false => BASE64_STANDARD.encode(&self.text),
        };
        if !self.is_padded {
            body.truncate(body.trim_end_matches('=').len());
        }
        format!("{}{body}", self.head)
    }
}

/// The text that `body` is in base64, of either alphabet, broken into lines or not.
pub(super) fn decoded(body: &str) -> Option<String> {
    if !body.chars().all(|c| is_of_base64(c) || matches!(c, '=' | '\r' | '\n')) {
        return None;
    }
    let body = body.replace(['\r', '\n'], "");
    let body = body.trim_end_matches('=');
    String::from_utf8(LENIENT.decode(plain(body).as_bytes()).ok()?).ok()
}

fn lenient(run: &str) -> Option<Vec<u8>> {
    let whole = run.len() - usize::from(run.len() % 4 == 1);
    LENIENT.decode(&run[..whole]).ok()
}

fn is_of_base64(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_')
}

/// `run` in the standard alphabet.
fn plain(run: &str) -> Cow<'_, str> {
    match run.contains(['-', '_']) {
        true => Cow::Owned(run.replace('-', "+").replace('_', "/")),
        false => Cow::Borrowed(run),
    }
}

/// Whether letters of both cases and digits stand in it, as in what is no path and no word.
fn is_mixed(run: &str) -> bool {
    let has = |is: fn(&u8) -> bool| run.as_bytes().iter().any(is);
    has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit)
}
