//! Reading records as they are sent.

use serde::{
    Deserializer as _,
    de::{SeqAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};
use serde_path_to_error::Segment;

use crate::{
    Kind, RecordError, Submission,
    error::{is_plain_name, shown_name},
};

/// The records of a request body: a JSON array, or one record after another (NDJSON).
///
/// Only cuts the input; each piece is the exact text of one record.
///
/// # Errors
/// Not UTF-8, not JSON: names the record and the byte or column.
pub fn split_records(body: &[u8]) -> Result<Vec<&str>, RecordError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        let lines = body[..at].iter().filter(|byte| **byte == b'\n').count();
        let index = if body.trim_ascii_start().starts_with(b"[") { 0 } else { lines };
        RecordError::new("", format!("byte {at} is not UTF-8; records are JSON in UTF-8")).at(index)
    })?;
    let mut records = Vec::new();
    if text.trim_ascii_start().starts_with('[') {
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = reader.deserialize_seq(Items(&mut records)).and_then(|()| reader.end());
        return match read {
            Ok(()) => Ok(records),
            Err(error) => Err(RecordError::new("", reason(&error)).at(records.len())),
        };
    }
    for item in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let item = item.map_err(|e| RecordError::new("", reason(&e)).at(records.len()))?;
        records.push(item.get());
    }
    Ok(records)
}

/// As [`split_records`], without reading anything: the lines of `body`, where each of them may be a record.
///
/// Whether they are is for their reader to say. What several lines make together is then no record, but
/// each line alone that is one is what [`split_records`] would have cut.
pub fn split_lines(body: &[u8]) -> Option<Vec<&str>> {
    let text = std::str::from_utf8(body).ok()?;
    let lines = text.split('\n').map(str::trim_ascii).filter(|line| !line.is_empty());
    lines.map(|line| (line.starts_with('{') && line.ends_with('}')).then_some(line)).collect()
}

/// Collects the items of an array, and keeps those before a fault.
struct Items<'r, 't>(&'r mut Vec<&'t str>);

impl<'t> Visitor<'t> for Items<'_, 't> {
    type Value = ();
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }
    fn visit_seq<A: SeqAccess<'t>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(item) = items.next_element::<&RawValue>()? {
            self.0.push(item.get());
        }
        Ok(())
    }
}

/// Reads and checks the text of one record, as [`split_records`] cut it.
///
/// `ours` is true only for what Deed itself writes; see [`Submission::check`].
///
/// # Errors
/// Names the member and what was expected there.
pub fn parse_one(text: &str, ours: bool) -> Result<Submission<'_>, RecordError> {
    let submission: Submission<'_> =
        serde_json::from_str(text).map_err(|error| said_to(ours, explain_record(text, &error)))?;
    submission.check(ours)?;
    Ok(submission)
}

/// Reads a whole body; every record must be good.
///
/// # Errors
/// That of the first record that is not.
pub fn parse_records(body: &[u8], ours: bool) -> Result<Vec<Submission<'_>>, RecordError> {
    split_records(body)?
        .into_iter()
        .enumerate()
        .map(|(index, text)| parse_one(text, ours).map_err(|e| e.at(index)))
        .collect()
}

/// The same error, which names no kind to somebody else that only Deed itself may write.
fn said_to(ours: bool, error: RecordError) -> RecordError {
    if ours || error.field != "kind" {
        return error;
    }
    let not_theirs = Kind::ALL.iter().filter(|kind| kind.is_ours());
    let message = not_theirs.fold(error.message, |text, kind| text.replace(&format!(", `{kind}`"), ""));
    RecordError { message, ..error }
}

/// The fast path does not track where it is; only a record that failed is read again with care.
fn explain_record(text: &str, first: &serde_json::Error) -> RecordError {
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, Submission<'_>>(&mut reader) {
        Err(error) => {
            let (path, inner) = (shown_path(error.path()), error.inner());
            let message = without_position(inner);
            let quoted = |what: &str| Some(message.strip_prefix(what)?.split_once('`')?.0);
            if let Some(member) = quoted("missing field `") {
                return RecordError::new(member_of(&path, member), missing(&path, member));
            }
            if let Some(member) = quoted("duplicate field `") {
                return RecordError::new(member_of(&path, member), "stands twice");
            }
            if let Some((name, known)) = unknown(&message) {
                let (parent, what) = match is_plain_name(name) {
                    true => (path.as_str(), String::new()),
                    false => {
                        (path.rsplit_once('.').map_or("", |path| path.0), format!(" {}", shown_name(name)))
                    }
                };
                return RecordError::new(
                    parent,
                    format!("unknown member{what}; {}", suggestion(name, known)),
                );
            }
            RecordError::new(path, reason(inner))
        }
        // What follows the record.
        Ok(_) => RecordError::new("", reason(first)),
    }
}

/// A place as `a.b[0]`. Names under `disclose` are the sender's: one that is no plain name is `*` (D9).
fn shown_path(path: &serde_path_to_error::Path) -> String {
    let mut shown = String::new();
    for segment in path.iter() {
        if !shown.is_empty() && !matches!(segment, Segment::Seq { .. }) {
            shown.push('.');
        }
        match segment {
            Segment::Seq { index } => shown.push_str(&format!("[{index}]")),
            Segment::Map { key } if is_plain_name(key) => shown.push_str(key),
            Segment::Enum { variant } => shown.push_str(variant),
            Segment::Map { .. } | Segment::Unknown => shown.push('*'),
        }
    }
    shown
}

fn member_of(path: &str, member: &str) -> String {
    if path.is_empty() { member.to_owned() } else { format!("{path}.{member}") }
}

/// What a member that is missing from the object at `path` says, and what to send.
fn missing(path: &str, member: &str) -> String {
    let says = match member {
        "kind" if path.is_empty() => "every record says what it is about, such as `observation`",
        "kind" => "an effect says what was changed, such as `grant`",
        "time" => "every record says when it happened, such as 2026-11-20T10:00:00Z",
        "type" => "everybody has one, `unknown` where nobody knows",
        "principal" => "a hop says who, `{\"type\":\"unknown\"}` where nobody knows",
        "status" => "an outcome has one, `unknown` where nobody knows",
        "effect" => "a decision is `allow`, `deny` or `step_up`",
        "system" => "a source says which system it is, such as `cloudtrail:111122223333`",
        "uri" => "a resource has one, such as `db:orders/invoices`",
        "name" => "a tool or an artifact is known by it",
        _ => "`deed schema` says what belongs there",
    };
    format!("missing; {says}")
}

/// The name of an unknown member, and serde's list of those that are known.
fn unknown(message: &str) -> Option<(&str, &str)> {
    message.strip_prefix("unknown field `")?.rsplit_once("`, expected ")
}

/// serde's message in the words of somebody who reads JSON, and without the value it stumbled over:
/// that may be a secret (INVARIANT D9).
pub(crate) fn reason(error: &serde_json::Error) -> String {
    if !matches!(error.classify(), Category::Data) {
        return format!("not JSON: {error}");
    }
    let message = without_position(error);
    if let Some(rest) = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: "))
        && let Some((value, expected)) = rest.rsplit_once(", expected ")
    {
        let expected = if expected == "a sequence" { "an array" } else { expected };
        return format!("expected {expected}, found {}", sort_of(value));
    }
    if let Some((name, known)) = unknown(&message) {
        return format!("unknown member {}; {}", shown_name(name), suggestion(name, known));
    }
    if let Some(name) = message.strip_prefix("duplicate field `") {
        return format!("the member `{name} stands twice");
    }
    message
}

/// serde_json adds the position of what it read; a path says it better.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    message.strip_suffix(&position).map(str::to_owned).unwrap_or(message)
}

/// What sort of value serde's description is of.
fn sort_of(value: &str) -> &'static str {
    match value.split(' ').next() {
        Some("string") => "a string",
        Some("integer" | "floating" | "number") => "a number",
        Some("boolean") => "a boolean",
        Some("map") => "an object",
        Some("sequence") => "an array",
        Some("null") => "null",
        _ => "something else",
    }
}

/// The member that `name` may have been meant for. `known` is serde's list: names between backticks.
fn suggestion(name: &str, known: &str) -> String {
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        _ if known.len() <= 12 => format!("known are `{}`", known.join("`, `")),
        _ => "payloads belong under `disclose`, and `deed schema` lists the members".to_owned(),
    }
}

/// The one of `known` that `name` may have been meant for.
pub fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let near = known.map(|known| (distance(name, known), known)).min();
    near.filter(|(far, _)| *far <= most_apart(name)).map(|(_, known)| known)
}

/// How far apart two words may be of which one was meant for the other: nearly any two short words are alike.
fn most_apart(name: &str) -> usize {
    match name.len() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    }
}

/// Levenshtein distance; 99 for what is far apart in length anyway.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 2 {
        return 99;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
