//! `deed append`: records in Deed's own JSON.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use deed_record::{parse_one, split_records};
use serde_json::json;

use crate::{
    access::{Access, Need},
    cli::{Append, Global},
    commands::records::{Receipt, send_all},
    exit::{Failure, Outcome},
    inputs::{is_stdin, name_of},
    output::{Output, count},
    record_id,
};

/// Records of one request, and bytes of one request: whichever is reached first.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// Receipts that people are shown.
const SHOWN: usize = 10;

pub(crate) async fn run(global: &Global, append: Append, output: Output) -> Outcome {
    let name = name_of(&append.file);
    let failed = |failure: Failure| failure.doing(format!("append `{name}`"));
    let records = Records::read(&append.file).map_err(failed)?;
    let access = Access::open(global, Need::Make)?;
    let receipts = access.finish(records.send(&access).await).await.map_err(failed)?;
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
}

impl Records {
    /// Reads and checks a file.
    fn read(path: &Path) -> Result<Self, Failure> {
        let body = read(path).map_err(|error| Failure::new(error.to_string()))?;
        let nothing = "nothing was recorded";
        let split = split_records(&body).map_err(|error| Failure::new(error.to_string()).detail(nothing))?;
        let mut records =
            Records { texts: Vec::with_capacity(split.len()), lines: Vec::with_capacity(split.len()) };
        // Where a record stands is known by where its text lies in the whole.
        let (mut line, mut counted) = (1, 0);
        for text in split {
            let at = text.as_ptr() as usize - body.as_ptr() as usize;
            line += body[counted..at].iter().filter(|byte| **byte == b'\n').count();
            counted = at;
            let with_id = record_id::with_id(text, record_id::fresh)?;
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
    async fn send(&self, access: &Access) -> Result<Vec<Receipt>, Failure> {
        let mut receipts: Vec<Receipt> = Vec::with_capacity(self.texts.len());
        while receipts.len() < self.texts.len() {
            let from = receipts.len();
            let batch = &self.texts[from..from + self.batch(from)];
            let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
            let kept = match from {
                0 => "nothing was recorded".to_owned(),
                from => format!(
                    "{} before it recorded; sending the file again records the rest",
                    count(from as u64, "record")
                ),
            };
            match send_all(access, &batch).await.map_err(|failure| failure.detail(kept.clone()))? {
                Ok(taken) if taken.len() == batch.len() => receipts.extend(taken),
                Ok(taken) => {
                    return Err(Failure::new(format!(
                        "the server answered for {} of {} records",
                        taken.len(),
                        batch.len()
                    )));
                }
                Err(refusal) => {
                    let last = self.lines.get(from + batch.len() - 1).copied().unwrap_or(0);
                    let kept = match refusal.is_conflict() {
                        true if batch.len() > 1 => format!("the others up to line {last} are recorded"),
                        _ => kept,
                    };
                    let line = refusal.index.and_then(|index| self.lines.get(from + index));
                    return Err(match line {
                        Some(line) => Failure::new(format!("line {line}, {}", refusal.error)).detail(kept),
                        None => refusal.failure.detail(kept),
                    });
                }
            }
        }
        Ok(receipts)
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
