//! Taking secrets out of JSON text without touching anything else.

use std::{borrow::Cow, ops::Range};

use super::{hint, json::Walk};
use crate::RecordError;

/// How fingerprints are made. Implemented by whoever holds the tenant's pseudonym key.
pub trait Fingerprints {
    /// `sha256:` and 64 hex digits, for a secret too long to guess.
    fn of_token(&self, secret: &[u8]) -> String;
    /// `hmac-sha256:` and 64 hex digits under the tenant's key, for one that may be guessed.
    fn of_password(&self, secret: &[u8]) -> String;
}

/// Fingerprints that only say where there would be one.
#[cfg(test)]
pub(super) struct Marks;

#[cfg(test)]
impl Fingerprints for Marks {
    fn of_token(&self, _: &[u8]) -> String {
        "sha256:".to_owned()
    }
    fn of_password(&self, _: &[u8]) -> String {
        "hmac-sha256:".to_owned()
    }
}

/// What was found and what is left.
#[derive(Debug, PartialEq, Eq)]
pub struct Excised<'a> {
    /// The text without secrets: the input itself where there were none.
    pub text: Cow<'a, str>,
    /// Where each stood, as a dotted path, and its fingerprint. Names that are no plain words are
    /// written `*`: a path is sealed for ever, and a name may be personal or a secret itself.
    pub seen: Vec<(String, String)>,
}

/// The JSON text `json` with every secret replaced by its fingerprint.
///
/// All other bytes stay as they are, spaces and escapes included. Doing it again changes nothing.
///
/// # Errors
/// Not one JSON value, or nested deeper than 128. (A text in which nothing hints at a secret is not
/// looked at further, and never refused.)
pub fn excise<'a>(json: &'a str, fingerprints: &dyn Fingerprints) -> Result<Excised<'a>, RecordError> {
    if !hint::may_hold_secret(json) {
        return Ok(Excised { text: Cow::Borrowed(json), seen: Vec::new() });
    }
    let mut seen = Vec::new();
    let edits = Walk::whole(json, fingerprints, &mut seen)?;
    Ok(Excised { text: apply(json, &edits), seen })
}

/// A piece of JSON text and what goes in its place.
#[derive(Debug)]
pub(super) struct Edit {
    /// Where the piece is.
    pub(super) range: Range<usize>,
    /// What stands there from now on, escaped as its place needs.
    pub(super) with: String,
}

/// `json` after `edits`, which are in order and do not overlap.
fn apply<'a>(json: &'a str, edits: &[Edit]) -> Cow<'a, str> {
    if edits.is_empty() {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + edits.len() * 80);
    let mut copied = 0;
    for Edit { range, with } in edits {
        out.push_str(&json[copied..range.start]);
        out.push_str(with);
        copied = range.end;
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}
