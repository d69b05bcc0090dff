//! Walking through JSON text in search of secrets.

mod ahead;

use std::{fmt, ops::Range};

use super::{
    decoded::Decoded,
    excise::{Edit, Fingerprints},
    kept::{Keeps, Part, is_path_of_secret},
    name::{Class, class, class_within, describes},
    program,
    shape::{Found, in_order},
    text,
    value::{fingerprint_length, is_guessable, is_secret},
};
use crate::{RecordError, disclose::DEEPEST};

/// Names of members that hold what another one names.
const HOLDERS: &[&str] = &["value", "parametervalue", "headervalue", "stringvalue", "val"];

/// Names of members that hold the arguments of what a member beside them runs.
const ARGUMENTS: &[&str] = &["args", "arguments", "argv", "parameters"];

/// One reading of one JSON text.
pub(super) struct Walk<'j, 'w> {
    json: &'j str,
    /// Next byte to read.
    at: usize,
    edits: Vec<Edit>,
    /// Path and fingerprint of each secret.
    seen: &'w mut Vec<(String, String)>,
    fingerprints: &'w dyn Fingerprints,
}

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    /// The container around it, and what it is called there.
    parent: Option<(&'p Place<'p>, Step<'p>)>,
    depth: usize,
    /// What its name says of it.
    class: Option<Class>,
    /// Whether that goes for everything in it.
    all: bool,
    /// What its name says of the members of an object there, but for those that describe it.
    within: Option<Class>,
    /// Whether everything under a `data` there is a secret: a part of a store's log of what it keeps.
    kept: bool,
    /// From where to where in it a program takes a secret: see [`program`].
    taken: Option<(usize, usize)>,
    /// The words of the command that has its arguments there.
    run_by: &'p [String],
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Name(&'p str),
    Index(usize),
}

impl<'j, 'w> Walk<'j, 'w> {
    /// The edits that take the secrets out of `json`.
    pub(super) fn whole(
        json: &'j str,
        fingerprints: &'w dyn Fingerprints,
        seen: &'w mut Vec<(String, String)>,
    ) -> Result<Vec<Edit>, RecordError> {
        Walk { json, at: 0, edits: Vec::new(), seen, fingerprints }.read(&Place::ROOT)
    }

    fn read(mut self, place: &Place<'_>) -> Result<Vec<Edit>, RecordError> {
        self.value(place)?;
        self.spaces();
        if self.at < self.json.len() {
            return self.refuse(place, "expected the end of the record");
        }
        Ok(self.edits)
    }

    fn value(&mut self, place: &Place<'_>) -> Result<(), RecordError> {
        self.spaces();
        match self.peek() {
            Some(b'{' | b'[') if place.depth == DEEPEST => self.refuse(place, "nested deeper than 128"),
            Some(b'{') => self.object(place),
            Some(b'[') => self.array(place),
            Some(b'"') => self.text(place),
            Some(_) => self.scalar(place),
            None => self.refuse(place, "ends in the middle of a value"),
        }
    }

    fn object(&mut self, place: &Place<'_>) -> Result<(), RecordError> {
        self.at += 1;
        let start = self.at;
        // What looking ahead found, once it was needed.
        let (mut labelled, mut keeps, mut runs) = (None, None, None);
        self.spaces();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.spaces();
            let (from, to) = self.string(place)?;
            let name = Decoded::new(&self.json[from..to]);
            let mut inner = place.inside(Step::Name(&name.text));
            self.take_out(&inner, text::find(&name.text), &name, from);
            self.spaces();
            if !self.eat(b':') {
                return self.refuse(place, "expected `:`");
            }
            let holds = is_one_of(&name.text, HOLDERS);
            if holds {
                inner.taken = place.taken;
            }
            if is_one_of(&name.text, ARGUMENTS) && self.json[self.at..].trim_ascii_start().starts_with('[') {
                inner.run_by = runs.get_or_insert_with(|| self.command(start)).as_slice();
            }
            let label = if holds { *labelled.get_or_insert_with(|| self.label(start)) } else { None };
            if let Some(class) = class(&name.text) {
                let within = class_within(&name.text, class);
                inner = Place { class: Some(class), all: false, within, ..inner };
            } else if label.is_some() {
                inner = Place { class: label, all: true, ..inner };
            } else if holds && place.class.is_some() {
                // `{"token":{"value":"…"}}`
                inner = Place { class: place.within.or(place.class), all: true, ..inner };
            } else if place.within.is_some() && !describes(&name.text) && self.holds_text() {
                // `{"secret":{"db":"…"}}`, `{"Cookie":{"sid":"…"}}`
                inner = Place { class: place.within, within: place.within, ..inner };
            }
            if let Some(part) = Part::named(&name.text) {
                let keeps = *keeps.get_or_insert_with(|| self.keeps(start));
                let changed = || self.member(start, &["path"]).is_some_and(|path| is_path_of_secret(&path));
                match part {
                    // What Vault keeps in its second version has its own `data` in the one of the call.
                    Part::Data if keeps == Keeps::Vault && self.has_member("data") => inner.kept = true,
                    Part::Data if place.kept || matches!(keeps, Keeps::Secret | Keeps::Vault) => {
                        inner = Place { class: Some(Class::Password), all: true, ..inner };
                    }
                    // A JSON Patch (RFC 6902).
                    Part::Value if place.kept && changed() => {
                        inner = Place { class: Some(Class::Password), all: true, ..inner };
                    }
                    Part::Around if keeps == Keeps::Around => inner.kept = true,
                    _ => {}
                }
            }
            self.value(&inner)?;
            self.spaces();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return self.refuse(place, "expected `,` or `}`");
            }
        }
    }

    /// Items of an array stand under the array's name, and those of a command line under the flag
    /// before them: `["--password", "…"]`, `["X-Api-Key", "…"]`.
    fn array(&mut self, place: &Place<'_>) -> Result<(), RecordError> {
        self.at += 1;
        self.spaces();
        if self.eat(b']') {
            return Ok(());
        }
        let mut before: Option<Class> = None;
        let runs = place.run_by.iter().any(|word| program::is_named(word));
        let mut taken = runs.then(|| self.taken(place.run_by, self.at, 0));
        for index in 0.. {
            self.spaces();
            let from = self.at;
            let mut inner = place.inside(Step::Index(index));
            inner.all = place.all;
            inner.within = place.within;
            inner.class = place.class.or(before);
            let part = taken.iter().flatten().find(|(at, _)| *at == index);
            inner.taken = part.map(|(_, part)| (part.start, part.end));
            self.value(&inner)?;
            let item = argument(&self.json[from..self.at]);
            if taken.is_none() && item.is_some_and(program::is_named) {
                taken = Some(self.taken(&[], from, index));
            }
            before = item.and_then(|name| {
                let class = class(name).filter(|_| !name.contains(' '))?;
                (name.starts_with('-') || class == Class::Token || class == Class::Header).then_some(class)
            });
            self.spaces();
            if self.eat(b']') {
                break;
            }
            if !self.eat(b',') {
                return self.refuse(place, "expected `,` or `]`");
            }
        }
        Ok(())
    }

    fn text(&mut self, place: &Place<'_>) -> Result<(), RecordError> {
        let (from, to) = self.string(place)?;
        let value = Decoded::new(&self.json[from..to]);
        let found = match place.class {
            Some(class) if class != Class::Token && class != Class::Header => whole(&value.text, class),
            _ => Vec::new(),
        };
        if found.is_empty() && self.embedded(place, &value, from) {
            return Ok(());
        }
        let mut found = if found.is_empty() { text::find(&value.text) } else { found };
        if let Some((start, end)) = place.taken {
            found.extend(taken(&value.text, start..end));
            found = in_order(found);
        }
        // `Authorization: Bearer …` is a token, and keeps its scheme: what is left besides decides
        // whether all of it is the secret.
        let found = match place.class {
            Some(class @ (Class::Token | Class::Header))
                if !whole(&left_over(&value.text, &found), class).is_empty() =>
            {
                vec![all_of(&value.text, class)]
            }
            _ => found,
        };
        self.take_out(place, found, &value, from);
        Ok(())
    }

    /// A string that is itself JSON: tool arguments, policies, nested messages. Whether it is.
    fn embedded(&mut self, place: &Place<'_>, value: &Decoded<'_>, from: usize) -> bool {
        if place.depth == DEEPEST || !value.text.trim_start().starts_with(['{', '[', '"']) {
            return false;
        }
        let already = self.seen.len();
        let walk = Walk {
            json: &value.text,
            at: 0,
            edits: Vec::new(),
            seen: self.seen,
            fingerprints: self.fingerprints,
        };
        let Ok(edits) = walk.read(&Place { depth: place.depth + 1, ..*place }) else {
            self.seen.truncate(already);
            return false;
        };
        self.edits.extend(edits.into_iter().map(|edit| Edit {
            range: from + value.raw(edit.range.start)..from + value.raw(edit.range.end),
            with: escaped(&edit.with),
        }));
        true
    }

    fn scalar(&mut self, place: &Place<'_>) -> Result<(), RecordError> {
        let from = self.at;
        let rest = &self.json.as_bytes()[from..];
        self.at += rest
            .iter()
            .take_while(|b| !matches!(b, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
            .count();
        let scalar = &self.json[from..self.at];
        if serde_json::from_str::<&serde_json::value::RawValue>(scalar).is_err() {
            self.at = from;
            return self.refuse(place, "expected a value");
        }
        // A PIN, or a password of digits only.
        let number = scalar.len() >= 3 && scalar.bytes().all(|b| b.is_ascii_digit());
        if number
            && let Some(class @ (Class::Password | Class::Code)) = place.class
            && is_secret(scalar, class)
        {
            let with = format!("\"{}\"", self.note(place, scalar, true));
            self.edits.push(Edit { range: from..self.at, with });
        }
        Ok(())
    }

    /// Puts fingerprints in place of what was found in a string that starts at `from`.
    fn take_out(&mut self, place: &Place<'_>, found: Vec<Found>, value: &Decoded<'_>, from: usize) {
        for Found { range, guessable, decoded } in found {
            let secret = decoded.as_deref().unwrap_or(&value.text[range.clone()]);
            let with = self.note(place, secret, guessable);
            self.edits.push(Edit { range: from + value.raw(range.start)..from + value.raw(range.end), with });
        }
    }

    /// Remembers a secret; its fingerprint as it stands in a string.
    fn note(&mut self, place: &Place<'_>, secret: &str, guessable: bool) -> String {
        let secret = secret.as_bytes();
        let fingerprint = if guessable {
            self.fingerprints.of_password(secret)
        } else {
            self.fingerprints.of_token(secret)
        };
        let with = escaped(&fingerprint);
        self.seen.push((place.to_string(), fingerprint));
        with
    }

    /// Passes over a string; where its inside begins and ends.
    fn string(&mut self, place: &Place<'_>) -> Result<(usize, usize), RecordError> {
        if !self.eat(b'"') {
            return self.refuse(place, "expected a string");
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
        self.refuse(place, "ends in the middle of a string")
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

    fn refuse<T>(&self, place: &Place<'_>, message: &str) -> Result<T, RecordError> {
        Err(RecordError::new(place.to_string(), format!("not JSON: {message} at byte {}", self.at)))
    }
}

/// An item of a command line as it stands in JSON: `"--password"`, and in OpenTelemetry's lists
/// `{"stringValue":"--password"}`.
fn argument(item: &str) -> Option<&str> {
    let text = match item.strip_prefix('{') {
        Some(object) => {
            let (name, value) = object.strip_suffix('}')?.split_once(':')?;
            matches!(name.trim(), r#""stringValue""# | r#""string_value""#).then_some(value.trim())?
        }
        None => item,
    };
    text.strip_prefix('"')?.strip_suffix('"')
}

/// What a program takes for a secret, which is at `range` of an item of its command line.
pub(super) fn taken(item: &str, range: Range<usize>) -> Vec<Found> {
    let secret = item.get(range.clone()).filter(|secret| program::judge(secret));
    secret.map(|secret| Found::at(range, is_guessable(secret, Class::Password))).into_iter().collect()
}

/// The value itself, where it is a secret.
pub(super) fn whole(value: &str, class: Class) -> Vec<Found> {
    let found = all_of(value, class);
    if is_secret(&value[found.range.clone()], class) { vec![found] } else { Vec::new() }
}

/// The value itself, without the name of a scheme.
fn all_of(value: &str, class: Class) -> Found {
    let (start, secret) = if class == Class::Header { text::without_scheme(0, value) } else { (0, value) };
    Found::at(start..value.len(), is_guessable(secret, class))
}

/// `value` without what was found in it and without fingerprints: the same before secrets are taken out
/// and after.
fn left_over(value: &str, found: &[Found]) -> String {
    let mut left = String::new();
    let mut at = 0;
    let mut found = found.iter().peekable();
    while let Some(next) = value[at..].chars().next() {
        let secret = found.next_if(|found| found.range.start <= at).map_or(0, |found| found.range.len());
        match secret.max(fingerprint_length(&value[at..])) {
            0 => {
                left.push(next);
                at += next.len_utf8();
            }
            length => at += length,
        }
    }
    left
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// `text` as it stands in a JSON string.
fn escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

impl<'p> Place<'p> {
    const ROOT: Place<'static> = Place {
        parent: None,
        depth: 0,
        class: None,
        all: false,
        within: None,
        kept: false,
        taken: None,
        run_by: &[],
    };

    fn inside(&'p self, step: Step<'p>) -> Place<'p> {
        let class = if self.all { self.class } else { None };
        let (depth, all, kept) = (self.depth + 1, self.all, self.kept);
        Place { parent: Some((self, step)), depth, class, all, within: None, kept, taken: None, run_by: &[] }
    }
}

/// A dotted path, for people and for ever: see [`Excised::seen`](super::Excised::seen).
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((parent, step)) = self.parent else { return Ok(()) };
        parent.fmt(f)?;
        match step {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Name(name) => {
                let dot = if parent.parent.is_some() { "." } else { "" };
                write!(f, "{dot}{}", if is_plain(name) { name } else { "*" })
            }
        }
    }
}

/// A name that a programmer chose, and no person's or token's.
fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let digits = name.bytes().filter(u8::is_ascii_digit).count();
    (1..=40).contains(&name.len()) && digits <= 4 && name.bytes().all(plain) && text::find(name).is_empty()
}
