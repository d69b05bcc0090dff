//! Records of which each stands alone: one that cannot be taken, or that is no JSON, keeps no other out.

use std::sync::Arc;

use deed_ledger::{AppendError, Receipt};
use deed_record::{
    Basis, RecordError, RecordId, Sealed, Skeleton, Source, Submission, parse_one, split_records,
};
use deed_review::Evidence as _;
use deed_seal::hash::Hash;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{refused, told};
use crate::{
    app::App,
    auth::Caller,
    body::Received,
    engine::Engine,
    evidence::parse,
    problem::{Kind, Problem},
};

/// What became of one record: its receipt, or an object with the member `error`.
pub(super) enum Answer {
    Recorded(Receipt),
    Refused(Box<Problem>),
}

impl Serialize for Answer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Refused<'a> {
            error: &'a Problem,
        }
        match self {
            Answer::Recorded(receipt) => receipt.serialize(serializer),
            Answer::Refused(error) => Refused { error }.serialize(serializer),
        }
    }
}

/// Seals what can be taken of `received`. With `again`, events that are there already and were read by an
/// older mapping are then corrected.
pub(super) async fn append(
    app: &App,
    caller: &Arc<Caller>,
    received: Received,
    again: bool,
) -> Result<Vec<Answer>, Problem> {
    let sender = caller.sender.clone();
    let (sealed, (faults, texts)) = app
        .record(app.seal(false, move |ledger| {
            let body = received.plain()?;
            let pieces = pieces(&body).map_err(|error| refused(error.into(), &body))?;
            let mut faults = Vec::with_capacity(pieces.len());
            let mut good = Vec::with_capacity(pieces.len());
            for piece in pieces {
                match piece {
                    Ok(text) => {
                        faults.push(None);
                        good.push(text.to_owned());
                    }
                    Err(error) => faults.push(Some(error)),
                }
            }
            let texts = if again { good.clone() } else { Vec::new() };
            Ok::<_, Problem>((ledger.begin_each(good, &sender)?, (faults, texts)))
        }))
        .await?;
    let mut sealed = sealed.into_iter();
    let mut answers = Vec::with_capacity(faults.len());
    // Where each of those that were sealed stands among all.
    let mut places = Vec::with_capacity(sealed.len());
    for (index, fault) in faults.into_iter().enumerate() {
        if let Some(fault) = fault {
            let problem = Problem::new(Kind::NotJson, fault.at(index).to_string());
            answers.push(Answer::Refused(Box::new(problem.at(index))));
            continue;
        }
        places.push(index);
        answers.push(match sealed.next() {
            Some(Ok(receipt)) => Answer::Recorded(receipt),
            Some(Err(error)) => Answer::Refused(Box::new(told(app, caller, error.at(index)).await)),
            None => return Err(AppendError::Unavailable("no answer from the ledger".into()).into()),
        });
    }
    if again {
        correct(app, caller, places.into_iter().zip(texts), &mut answers).await?;
    }
    Ok(answers)
}

// === Cutting ===

/// The text of one record, or why there is none.
type Piece<'b> = Result<&'b str, RecordError>;

/// The records of a body. Where it is no array, a line that is no JSON is one of them.
fn pieces(body: &[u8]) -> Result<Vec<Piece<'_>>, RecordError> {
    match split_records(body) {
        Ok(records) => return Ok(records.into_iter().map(Ok).collect()),
        // Where a list is broken, nothing tells where its next record begins.
        Err(error) if body.trim_ascii_start().starts_with(b"[") => return Err(error),
        Err(_) => {}
    }
    let mut lines = Lines::of(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body));
    let mut pieces = Vec::new();
    while lines.next_into(&mut pieces) {}
    Ok(pieces)
}

/// A body of which some line is no JSON.
struct Lines<'b> {
    rest: &'b [u8],
    /// A record may go on over lines. What was read for nothing to find its end counts, and when this is
    /// used up each line is taken for itself: else every line could be read again for each one before it.
    budget: usize,
}

impl<'b> Lines<'b> {
    fn of(body: &'b [u8]) -> Self {
        Lines { rest: body, budget: body.len().saturating_mul(4) }
    }

    /// Takes the records that begin on the next line; `false` at the end. One that is broken ends with its
    /// line, and takes the others of that line with it.
    fn next_into(&mut self, pieces: &mut Vec<Piece<'b>>) -> bool {
        self.rest = self.rest.trim_ascii_start();
        if self.rest.is_empty() {
            return false;
        }
        let rest = self.rest;
        let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let within = if self.budget == 0 { &rest[..line] } else { rest };
        let before = pieces.len();
        let mut values = serde_json::Deserializer::from_slice(within).into_iter::<&RawValue>();
        loop {
            match values.next() {
                Some(Ok(record)) => pieces.push(Ok(record.get())),
                None => {
                    self.rest = &rest[within.len()..];
                    return true;
                }
                Some(Err(error)) => {
                    self.budget = self.budget.saturating_sub(up_to(within, &error));
                    pieces.truncate(before);
                    pieces.push(Err(broken(&rest[..line], &error)));
                    self.rest = &rest[line..];
                    return true;
                }
            }
            let end = values.byte_offset();
            let blank = within[end..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            if within.get(end + blank) == Some(&b'\n') {
                self.rest = &rest[end + blank..];
                return true;
            }
        }
    }
}

/// What is wrong with a line that is no JSON. Nothing of it is shown (INVARIANT D9).
fn broken(line: &[u8], error: &serde_json::Error) -> RecordError {
    let what = match std::str::from_utf8(line) {
        Ok(_) => format!("not JSON: {error}"),
        Err(error) => {
            format!("byte {} of its line is not UTF-8; records are JSON in UTF-8", error.valid_up_to())
        }
    };
    RecordError::new("", what)
}

/// How much of `bytes` was read before `error`.
fn up_to(bytes: &[u8], error: &serde_json::Error) -> usize {
    let lines_before = error.line().saturating_sub(1);
    let start = match lines_before.checked_sub(1) {
        None => 0,
        Some(last) => {
            let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
            ends.map(|(at, _)| at + 1).nth(last).unwrap_or(bytes.len())
        }
    };
    (start + error.column()).min(bytes.len()).max(1)
}

// === Correcting ===

/// Most corrections of corrections, and records that name one, that are looked at.
const MOST: usize = 64;

/// Puts the receipts of corrections in the place of those of duplicates that an older mapping made.
async fn correct(
    app: &App,
    caller: &Arc<Caller>,
    texts: impl Iterator<Item = (usize, String)>,
    answers: &mut [Answer],
) -> Result<(), Problem> {
    let there: Vec<(usize, Receipt, String)> = texts
        .filter_map(|(index, text)| match &answers[index] {
            Answer::Recorded(receipt) if receipt.duplicate => Some((index, receipt.clone(), text)),
            _ => None,
        })
        .collect();
    let submitter = caller.sender.name.clone();
    let corrections = app
        .ask(move |engine| {
            let corrections = there.into_iter().map(|(index, receipt, text)| {
                Ok(correction(engine, &receipt, &text, &submitter)?.map(|text| (index, text)))
            });
            corrections.filter_map(Result::transpose).collect::<Result<Vec<_>, Problem>>()
        })
        .await?;
    if corrections.is_empty() {
        return Ok(());
    }
    let (places, texts): (Vec<usize>, Vec<String>) = corrections.into_iter().unzip();
    let sender = caller.sender.clone();
    let begun = app.seal(false, move |ledger| Ok::<_, AppendError>((ledger.begin_each(texts, &sender)?, ())));
    let (corrected, ()) = app.record(begun).await?;
    for (index, result) in places.into_iter().zip(corrected) {
        answers[index] = match result {
            Ok(receipt) => Answer::Recorded(receipt),
            Err(error) => Answer::Refused(Box::new(told(app, caller, error.at(index)).await)),
        };
    }
    Ok(())
}

/// The record in `text` as a correction of the one at `first`, or of what has corrected that since; `None`
/// where it says nothing that is newer.
fn correction(
    engine: &Engine,
    first: &Receipt,
    text: &str,
    submitter: &str,
) -> Result<Option<String>, Problem> {
    let Ok(sent) = parse_one(text, false) else { return Ok(None) };
    let (Some(source), None, None) = (&sent.source, sent.id, sent.supersedes) else { return Ok(None) };
    let mut leaf = engine.ledger().leaf(first.index)?;
    for _ in 0..MOST {
        leaf = match standing(engine, &leaf, &sent, source, submitter)? {
            Standing::Newer => return Ok(None),
            Standing::Corrected(later) => later,
            Standing::Older(id, collector) => {
                let named = format!("deed again\n{id}\n{collector}");
                let new = RecordId::v8(&Hash::of(named.as_bytes()).0);
                let at = text.find('{').map_or(0, |brace| brace + 1);
                let members = format!(r#""id":"{new}","supersedes":"{id}","#);
                return Ok(Some(format!("{}{members}{}", &text[..at], &text[at..])));
            }
        };
    }
    Ok(None)
}

/// How a reading of an event stands to another one.
enum Standing {
    /// It is as new, or nothing that may be corrected.
    Newer,
    /// It was corrected since.
    Corrected(Sealed),
    /// The other one corrects it: its id, and the mapping that does.
    Older(RecordId, String),
}

/// How the reading in `leaf` stands to `sent`.
fn standing(
    engine: &Engine,
    leaf: &Sealed,
    sent: &Submission<'_>,
    source: &Source<'_>,
    submitter: &str,
) -> Result<Standing, Problem> {
    let before = parse(leaf)?;
    // What `deed-review` would not take for a correction is none.
    let basis = sent.basis.unwrap_or(Basis::Reported);
    let may = before.kind == sent.kind
        && before.basis == basis
        && (basis == Basis::Imported || *before.submitter == *submitter);
    let Some(collector) = source.collector.as_deref().filter(|_| may && is_newer(source, &before)) else {
        return Ok(Standing::Newer);
    };
    for found in engine.evidence(None).by_ref(before.id, MOST)? {
        let record = parse(&found.sealed)?;
        let is_correction = record.supersedes == Some(before.id)
            && record.tenant == before.tenant
            && record.source.as_ref().is_some_and(|by| is_of(by, source));
        drop(record);
        if is_correction {
            return Ok(Standing::Corrected(found.sealed));
        }
    }
    Ok(Standing::Older(before.id, collector.to_owned()))
}

/// Whether both speak of the same event.
fn is_of(one: &Source<'_>, other: &Source<'_>) -> bool {
    one.system == other.system && one.event_id == other.event_id
}

/// Whether `source` was read by a later version of the mapping that made `standing`.
fn is_newer(source: &Source<'_>, standing: &Skeleton<'_>) -> bool {
    fn mapping<'s>(source: &'s Source<'_>) -> Option<(&'s str, u64)> {
        let (name, version) = source.collector.as_deref()?.rsplit_once('/')?;
        Some((name, version.parse().ok()?))
    }
    let before = standing.source.as_ref().filter(|before| is_of(before, source)).and_then(mapping);
    matches!((mapping(source), before), (Some((name, new)), Some((same, old))) if name == same && new > old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(body: &[u8]) -> Vec<String> {
        let pieces = pieces(body).unwrap();
        pieces.into_iter().map(|piece| piece.map_or_else(|error| error.message, str::to_owned)).collect()
    }

    #[test]
    fn a_broken_line_is_one_record() {
        // The first words of what is said of a broken one.
        let cut = |body: &[u8]| {
            cut(body).into_iter().map(|text| text.split(": ").next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let bad = "not JSON";
        assert_eq!(cut(b"{\"a\":1}\n{oops\n{\"b\":2}\n"), [r#"{"a":1}"#, bad, r#"{"b":2}"#]);
        assert_eq!(cut(b"\n{\n \"a\":1\n}\r\n\nnoise\n{} {}"), ["{\n \"a\":1\n}", bad, "{}", "{}"]);
        assert_eq!(cut(b"{} trailing\n{}"), [bad, "{}"]);
        assert_eq!(cut(b"{}\n{\"a\":"), ["{}", bad]);
        let not_utf8 = cut(b"{}\n\"\xff\"\n{}");
        assert!(not_utf8.len() == 3 && not_utf8[1].contains("not UTF-8"), "{not_utf8:?}");
        assert!(pieces(b"[{},").is_err());
        assert!(cut(b" \n").is_empty());
    }
}
