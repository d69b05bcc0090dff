//! Taking secrets out of JSON text without touching anything else.

use std::borrow::Cow;

use super::shape;
use crate::RecordError;

/// How fingerprints are made. Implemented by whoever holds the tenant's pseudonym key.
pub trait Fingerprints {
    /// `sha256:` and 64 hex digits, for a secret too long to guess.
    fn of_token(&self, secret: &[u8]) -> String;
    /// `hmac-sha256:` and 64 hex digits under the tenant's key, for one that may be guessed.
    fn of_password(&self, secret: &[u8]) -> String;
}

/// What was found and what is left.
#[derive(Debug, PartialEq, Eq)]
pub struct Excised<'a> {
    /// The text without secrets: the input itself where there were none.
    pub text: Cow<'a, str>,
    /// Dotted path and fingerprint of each.
    pub seen: Vec<(String, String)>,
}

/// Objects and arrays nest no deeper than this in a record.
const DEEPEST: usize = 128;

/// The JSON text `json` with every secret replaced by its fingerprint.
///
/// All other bytes stay as they are, spaces and number forms included.
///
/// # Errors
/// Not JSON, or nested deeper than 128.
pub fn excise<'a>(json: &'a str, fingerprints: &dyn Fingerprints) -> Result<Excised<'a>, RecordError> {
    if !shape::may_hold_secret(json) {
        return Ok(Excised { text: Cow::Borrowed(json), seen: Vec::new() });
    }
    let mut walk = Walk { json, at: 0, copied: 0, out: String::new(), seen: Vec::new(), path: Vec::new(), fingerprints };
    walk.value(None)?;
    Ok(walk.finish())
}

struct Walk<'a, 'f> {
    json: &'a str,
    /// Next byte to read.
    at: usize,
    /// Everything before this is in `out`, or need not be.
    copied: usize,
    out: String,
    seen: Vec<(String, String)>,
    path: Vec<String>,
    fingerprints: &'f dyn Fingerprints,
}

impl<'a> Walk<'a, '_> {
    fn finish(mut self) -> Excised<'a> {
        if self.copied == 0 {
            return Excised { text: Cow::Borrowed(self.json), seen: self.seen };
        }
        self.out.push_str(&self.json[self.copied..]);
        Excised { text: Cow::Owned(self.out), seen: self.seen }
    }

    fn value(&mut self, name: Option<&str>) -> Result<(), RecordError> {
        if self.path.len() > DEEPEST {
            return self.refuse("nested deeper than 128");
        }
        self.spaces();
        match self.peek() {
            Some(b'{') => self.object(),
            Some(b'[') => self.array(name),
            Some(b'"') => self.text_value(name),
            Some(_) => self.scalar(name),
            None => self.refuse("ends in the middle of a value"),
        }
    }

    fn object(&mut self) -> Result<(), RecordError> {
        self.at += 1;
        self.spaces();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.spaces();
            let (from, to) = self.string()?;
            let name = decode(&self.json[from..to]).into_owned();
            self.replace_in_name(from, to, &name);
            self.spaces();
            if !self.eat(b':') {
                return self.refuse("expected `:`");
            }
            self.path.push(name.clone());
            self.value(Some(&name))?;
            self.path.pop();
            self.spaces();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return self.refuse("expected `,` or `}`");
            }
        }
    }

    /// Items of an array stand under the array's name: `"cookies": ["…"]` is caught by value only,
    /// `"password": ["…"]` by name too.
    fn array(&mut self, name: Option<&str>) -> Result<(), RecordError> {
        self.at += 1;
        self.spaces();
        if self.eat(b']') {
            return Ok(());
        }
        for index in 0.. {
            self.path.push(index.to_string());
            self.value(name)?;
            self.path.pop();
            self.spaces();
            if self.eat(b']') {
                break;
            }
            if !self.eat(b',') {
                return self.refuse("expected `,` or `]`");
            }
        }
        Ok(())
    }

    fn text_value(&mut self, name: Option<&str>) -> Result<(), RecordError> {
        let (from, to) = self.string()?;
        let raw = &self.json[from..to];
        let value = decode(raw);
        if let Some(clean) = self.clean(&value, name) {
            self.replace(from, to, &clean);
        }
        Ok(())
    }

    /// The string without its secrets; `None` where there are none.
    fn clean(&mut self, value: &str, name: Option<&str>) -> Option<String> {
        if name.is_some_and(shape::is_secret_name) && is_plausible(value) {
            // `Authorization: Bearer …` is a token, and keeps its scheme.
            if shape::find(value).is_empty() {
                return Some(self.note(value, Guess::Possible));
            }
        }
        if let Some(clean) = self.clean_embedded(value) {
            return Some(clean);
        }
        let found = shape::find(value);
        if found.is_empty() {
            return None;
        }
        let mut out = String::with_capacity(value.len());
        let mut done = 0;
        for range in found {
            out.push_str(&value[done..range.start]);
            let secret = &value[range.clone()];
            // A password in a URL or an assignment may be short; tokens are not.
            let guess = if secret.len() >= 20 { Guess::Hopeless } else { Guess::Possible };
            let mark = self.note(secret, guess);
            out.push_str(&mark);
            done = range.end;
        }
        out.push_str(&value[done..]);
        Some(out)
    }

    /// A string that is itself JSON: tool arguments, policies, nested messages.
    fn clean_embedded(&mut self, value: &str) -> Option<String> {
        let trimmed = value.trim_start();
        if !(trimmed.starts_with('{') || trimmed.starts_with('[')) || self.path.len() >= DEEPEST {
            return None;
        }
        let mut inner = Walk {
            json: value,
            at: 0,
            copied: 0,
            out: String::new(),
            seen: Vec::new(),
            path: self.path.clone(),
            fingerprints: self.fingerprints,
        };
        inner.value(None).ok()?;
        inner.spaces();
        if inner.at != value.len() || inner.copied == 0 {
            return None;
        }
        let clean = inner.finish();
        self.seen.extend(clean.seen);
        Some(clean.text.into_owned())
    }

    fn scalar(&mut self, name: Option<&str>) -> Result<(), RecordError> {
        let from = self.at;
        let bytes = self.json.as_bytes();
        while self.at < bytes.len() && !matches!(bytes[self.at], b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        let text = &self.json[from..self.at];
        if serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
            return self.refuse("expected a value");
        }
        // A PIN or a numeric password.
        let number = text.bytes().all(|b| b.is_ascii_digit());
        if number && text.len() >= 4 && name.is_some_and(|n| shape::is_secret_name(n) && !n.to_ascii_lowercase().contains("token")) {
            let mark = self.note(text, Guess::Possible);
            self.out.push_str(&self.json[self.copied..from]);
            self.out.push('"');
            self.out.push_str(&mark);
            self.out.push('"');
            self.copied = self.at;
        }
        Ok(())
    }

    /// A secret used as a member's name (a map keyed by token).
    fn replace_in_name(&mut self, from: usize, to: usize, name: &str) {
        let found = shape::find(name);
        if found.is_empty() {
            return;
        }
        let mut clean = String::new();
        let mut done = 0;
        for range in found {
            clean.push_str(&name[done..range.start]);
            let mark = self.note(&name[range.clone()], Guess::Hopeless);
            clean.push_str(&mark);
            done = range.end;
        }
        clean.push_str(&name[done..]);
        self.replace(from, to, &clean);
    }

    fn note(&mut self, secret: &str, guess: Guess) -> String {
        let fingerprint = match guess {
            Guess::Hopeless => self.fingerprints.of_token(secret.as_bytes()),
            Guess::Possible if secret.len() >= 32 => self.fingerprints.of_token(secret.as_bytes()),
            Guess::Possible => self.fingerprints.of_password(secret.as_bytes()),
        };
        self.seen.push((self.path.join("."), fingerprint.clone()));
        fingerprint
    }

    /// Puts `clean`, escaped, in place of the string between `from` and `to` (quotes excluded).
    fn replace(&mut self, from: usize, to: usize, clean: &str) {
        self.out.push_str(&self.json[self.copied..from]);
        let quoted = serde_json::Value::from(clean).to_string();
        self.out.push_str(&quoted[1..quoted.len() - 1]);
        self.copied = to;
    }

    /// Passes over a string; where its inside begins and ends.
    fn string(&mut self) -> Result<(usize, usize), RecordError> {
        if !self.eat(b'"') {
            return self.refuse("expected a string");
        }
        let from = self.at;
        let bytes = self.json.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok((from, self.at - 1));
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = bytes.len();
        self.refuse("ends in the middle of a string")
    }

    fn spaces(&mut self) {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.at += usize::from(hit);
        hit
    }

    fn refuse<T>(&self, message: &str) -> Result<T, RecordError> {
        Err(RecordError::new(self.path.join("."), format!("byte {}: {message}", self.at)))
    }
}

/// Whether somebody could find the secret by trying.
enum Guess {
    Possible,
    Hopeless,
}

/// Not a secret: nothing, a fingerprint already, a mask, a reference.
fn is_plausible(value: &str) -> bool {
    const NOT: &[&str] = &["sha256:", "hmac-sha256:", "acct:", "arn:aws:", "HIDDEN_DUE_TO_SECURITY_REASONS"];
    value.len() >= 4
        && !NOT.iter().any(|prefix| value.starts_with(prefix))
        && !value.chars().all(|c| matches!(c, '*' | '•' | 'x' | 'X' | '.' | '-'))
        && !["null", "none", "true", "false", "redacted", "[redacted]", "<redacted>"].contains(&value.to_ascii_lowercase().as_str())
}

/// The string a JSON string's inside stands for; bad escapes are left as they stand.
fn decode(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    serde_json::from_str::<String>(&format!("\"{raw}\"")).map_or(Cow::Borrowed(raw), Cow::Owned)
}
