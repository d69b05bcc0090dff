//! `deed append`: records in Deed's own JSON.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use deed_record::{RecordId, parse_one, split_records};
use serde_json::json;

use crate::{
    access::{Access, Need},
    cli::{Append, Global},
    commands::records::{Receipt, Refusal, send_all},
    exit::{Failure, Outcome},
    hint::Hint,
    inputs::{is_stdin, name_of},
    output::{Output, count, shell_word},
    record_id::{self, Sending},
    stop::Stop,
};

/// Records of one request, and bytes of one request: whichever is reached first.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Receipts that people are shown.
const SHOWN: usize = 10;

pub(crate) async fn run(global: &Global, append: Append, output: Output, stop: &Stop) -> Outcome {
    let name = name_of(&append.file);
    let failed = |failure: Failure| failure.doing(format!("append `{name}`"));
    let sending = append.retry.map_or_else(record_id::fresh, Ok)?;
    let mut records = Records::read(&append.file, sending).map_err(failed)?;
    records.are_retried = append.retry.is_some();
    let access = Access::open(global, Need::Make)?;
    let mut receipts = Vec::with_capacity(records.texts.len());
    let sent = tokio::select! {
        sent = records.send(&access, &mut receipts) => sent,
        () = stop.asked() => Err(Ended { failure: Failure::new("interrupted"), rest: Rest::Open }),
    };
    let sent = sent.map_err(|ended| {
        let with_ids = if records.are_named { String::new() } else { format!(" --retry {sending}") };
        let again = format!("append {}{with_ids}", shell_word(&append.file.to_string_lossy()));
        ended.told(&records, receipts.len(), &Hint::of(global).deed(&again))
    });
    access.finish(sent).await.map_err(failed)?;
    if output.json {
        return output.document(&json!({ "receipts": receipts }));
    }
    output.print(&text(&receipts))
}

/// Records that may be sent, each with an id.
struct Records {
    texts: Vec<String>,
    /// The line each of them begins on, from 1.
    lines: Vec<usize>,
    /// Whether each of them, or its source, had named it already.
    are_named: bool,
    /// Whether they were sent before.
    are_retried: bool,
}

/// Why not all records are known to be recorded.
struct Ended {
    failure: Failure,
    rest: Rest,
}

/// What became of the records that have no receipt.
enum Rest {
    /// None of them is recorded.
    Unrecorded,
    /// Those up to this line are recorded, but for the one that is meant.
    RecordedTo(usize),
    /// Whether those of the batch that was under way are recorded is not known.
    Open,
}

impl Ended {
    /// What a person is told: what is recorded, of `recorded` with a receipt and the others, and that the command `again` adds
    /// what is missing.
    fn told(self, records: &Records, recorded: usize, again: &str) -> Failure {
        let so_far = format!("{} before it recorded", count(recorded as u64, "record"));
        let line = records.lines.get(recorded).copied().unwrap_or(0);
        let kept = match (self.rest, recorded) {
            (Rest::Unrecorded, 0) if !records.are_retried => {
                return self.failure.detail("nothing was recorded");
            }
            (Rest::Unrecorded, 0) => "nothing more was recorded".to_owned(),
            (Rest::Unrecorded, _) => so_far,
            (Rest::RecordedTo(line), _) => format!("the others up to line {line} are recorded"),
            (Rest::Open, 0) => "whether any of it was recorded is open".to_owned(),
            (Rest::Open, _) => format!("{so_far}; whether any from line {line} on were is open"),
        };
        self.failure.detail(kept).detail(format!("`{again}` records what is missing, and nothing twice"))
    }
}

impl Records {
    /// Reads and checks a file, and names what has no name as records of `sending`.
    fn read(path: &Path, sending: RecordId) -> Result<Self, Failure> {
        let body = read(path).map_err(|error| Failure::new(error.to_string()))?;
        let nothing = "nothing was recorded";
        let split = split_records(&body).map_err(|error| Failure::new(error.to_string()).detail(nothing))?;
        let mut records = Records {
            texts: Vec::with_capacity(split.len()),
            lines: Vec::with_capacity(split.len()),
            are_named: true,
            are_retried: false,
        };
        let mut sending = Sending::new(sending);
        // Where a record stands is known by where its text lies in the whole.
        let (mut line, mut counted) = (1, 0);
        for text in split {
            let at = text.as_ptr() as usize - body.as_ptr() as usize;
            line += body[counted..at].iter().filter(|byte| **byte == b'\n').count();
            counted = at;
            let with_id = record_id::with_id(text, || {
                records.are_named = false;
                Ok(sending.id(text))
            })?;
            if let Err(error) = parse_one(&with_id, false) {
                let field =
                    if error.field.is_empty() { String::new() } else { format!(", field `{}`", error.field) };
                return Err(Failure::new(format!("line {line}{field}: {}", error.message)).detail(nothing));
            }
            records.texts.push(with_id.into_owned());
            records.lines.push(line);
        }
        if records.texts.is_empty() { Err(Failure::new("it holds no record")) } else { Ok(records) }
    }

    /// Sends them in batches, each of which is taken whole or not at all.
    async fn send(&self, access: &Access, receipts: &mut Vec<Receipt>) -> Result<(), Ended> {
        while receipts.len() < self.texts.len() {
            let from = receipts.len();
            let batch = &self.texts[from..from + self.batch(from)];
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            let answer = send_all(access, &batch).await.map_err(|failure| Ended {
                rest: if failure.is_unsent() { Rest::Unrecorded } else { Rest::Open },
                failure,
            })?;
            match answer {
                Ok(taken) if taken.len() == batch.len() => receipts.extend(taken),
                Ok(taken) => {
                    let what = format!("the server answered for {} of {} records", taken.len(), batch.len());
                    return Err(Ended { failure: Failure::new(what), rest: Rest::Open });
                }
                Err(refusal) => return Err(self.refused(refusal, from, batch.len())),
            }
        }
        Ok(())
    }

    /// What the refusal of a batch of `batch` records means, the first of which is the record `from`.
    fn refused(&self, refusal: Refusal, from: usize, batch: usize) -> Ended {
        let last = self.lines.get(from + batch - 1).copied().unwrap_or(0);
        let rest = match refusal.is_conflict() {
            _ if refusal.is_open() => Rest::Open,
            true if batch > 1 => Rest::RecordedTo(last),
            _ => Rest::Unrecorded,
        };
        let line = refusal.index.and_then(|index| self.lines.get(from + index));
        let failure = match line {
            Some(line) => Failure::new(format!("line {line}, {}", refusal.error)),
            None => refusal.failure,
        };
        Ended { failure, rest }
    }

    /// How many records from `from` on go into one request.
    fn batch(&self, from: usize) -> usize {
        let mut bytes = 0;
        let fits = self.texts[from..].iter().take(BATCH_RECORDS).take_while(|text| {
            bytes += text.len() + 1;
            bytes <= BATCH_BYTES
        });
        fits.count().max(1)
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !is_stdin(path) {
        return fs::read(path);
    }
    let mut body = Vec::new();
    io::stdin().lock().read_to_end(&mut body)?;
    Ok(body)
}

fn text(receipts: &[Receipt]) -> String {
    let mut text = String::new();
    for receipt in receipts.iter().take(SHOWN) {
        let before = if receipt.duplicate { "  (there before)" } else { "" };
        text.push_str(&format!("leaf {}  {}{before}\n", receipt.index, receipt.id));
    }
    if receipts.len() > SHOWN {
        text.push_str(&format!("and {} more; --json has them all\n", receipts.len() - SHOWN));
    }
    let duplicates = receipts.iter().filter(|receipt| receipt.duplicate).count();
    let recorded = count((receipts.len() - duplicates) as u64, "record");
    let before = if duplicates > 0 { format!(", {duplicates} there before") } else { String::new() };
    text.push_str(&format!(
        "{recorded} recorded in `{}`{before}\n",
        receipts.first().map_or("", |receipt| &receipt.log)
    ));
    text
}
