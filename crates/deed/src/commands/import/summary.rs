//! What became of an import, told as it goes on and at its end.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde_json::json;

use super::{RejectedEvent, reading::Batch};
use crate::{
    commands::records::Sent,
    exit::Outcome,
    hint::Hint,
    inputs::{is_stdin, name_of},
    output::{Output, clean, count, grouped, shell_word},
};

/// Lines of one kind that people are shown.
const SHOWN: usize = 10;

/// Counts, and enough to name what was not taken.
pub(super) struct Summary {
    /// The arguments that say what is read.
    asked: String,
    output: Output,
    files: u64,
    recorded: u64,
    duplicates: u64,
    rejected: u64,
    skipped: Vec<(PathBuf, &'static str)>,
    /// Files of each source.
    sources: BTreeMap<String, u64>,
    /// What people are shown. For programs each rejection is printed as it comes: there may be millions.
    first_rejected: Vec<String>,
}

impl Summary {
    /// Begins the answer. `asked` are the arguments that say what is read.
    pub(super) fn begin(source: &str, asked: String, output: Output) -> Result<Self, crate::exit::Failure> {
        if output.json {
            output.print(&format!("{{\"source\":{},\"rejected\":[", json!(source)))?;
        }
        Ok(Summary {
            asked,
            output,
            files: 0,
            recorded: 0,
            duplicates: 0,
            rejected: 0,
            skipped: Vec::new(),
            sources: BTreeMap::new(),
            first_rejected: Vec::new(),
        })
    }

    /// A file was begun.
    pub(super) fn file(&mut self, system: Option<String>) {
        self.files += 1;
        if let Some(system) = system {
            *self.sources.entry(system).or_default() += 1;
        }
    }

    /// A name was passed over.
    pub(super) fn skipped(&mut self, path: PathBuf, why: &'static str) {
        self.skipped.push((path, why));
    }

    /// A batch was answered.
    pub(super) fn sent(&mut self, batch: &Batch, sent: Vec<Sent>) -> Outcome {
        for (record, sent) in batch.records.iter().zip(sent) {
            match sent {
                Sent::Recorded(receipt) if receipt.duplicate => self.duplicates += 1,
                Sent::Recorded(_) => self.recorded += 1,
                Sent::Refused(error) => {
                    self.rejected(RejectedEvent { place: record.place.clone(), error })?
                }
            }
        }
        Ok(())
    }

    /// An event was not taken.
    pub(super) fn rejected(&mut self, event: RejectedEvent) -> Outcome {
        let RejectedEvent { place, error } = event;
        self.rejected += 1;
        if self.output.json {
            let comma = if self.rejected > 1 { "," } else { "" };
            let line = (place.line > 0).then_some(place.line);
            return self.output.print(&format!(
                "{comma}\n  {}",
                json!({ "file": &*place.file, "line": line, "error": error })
            ));
        }
        if self.first_rejected.len() < SHOWN {
            let line = if place.line > 0 { format!(", line {}", place.line) } else { String::new() };
            self.first_rejected.push(format!("{}{line}: {error}", place.file));
        }
        Ok(())
    }

    /// Events that are in the log now.
    pub(super) fn accepted(&self) -> u64 {
        self.recorded + self.duplicates
    }

    fn events(&self) -> u64 {
        self.accepted() + self.rejected
    }

    /// Where it has got to.
    pub(super) fn line(&self) -> String {
        format!(
            "{} from {}, {} rejected",
            count(self.events(), "event"),
            count(self.files, "file"),
            grouped(self.rejected)
        )
    }

    /// Ends the answer. `cut` says that not everything was read.
    pub(super) fn finish(&mut self, took: Duration, paths: &[PathBuf], hint: &Hint, cut: bool) -> Outcome {
        if self.output.json { self.finish_json(took, cut) } else { self.finish_text(took, paths, hint) }
    }

    /// The command that lists everything that was rejected: what was taken is found again and adds nothing.
    fn all_of_it(&self, paths: &[PathBuf], hint: &Hint) -> String {
        const MOST: usize = 20;
        if paths.len() > MOST {
            return "the same command with --json | jq .rejected".to_owned();
        }
        let words: Vec<String> = paths.iter().map(|path| shell_word(&path.to_string_lossy())).collect();
        let again = hint.deed(&format!("import {} {}", self.asked, words.join(" ")));
        let from = if paths.iter().any(|path| is_stdin(path)) { "the same input | " } else { "" };
        format!("{from}{again} --json | jq .rejected")
    }

    fn finish_json(&self, took: Duration, cut: bool) -> Outcome {
        let skipped: Vec<_> = self.skipped.iter().map(|(path, _)| name_of(path)).collect();
        let rest = json!({
            "files": self.files,
            "sources": self.sources,
            "skipped": skipped,
            "events": self.events(),
            "recorded": self.recorded,
            "duplicates": self.duplicates,
            "complete": !cut,
            "seconds": (took.as_secs_f64() * 1000.0).round() / 1000.0,
        });
        let end = if self.rejected > 0 { "\n]," } else { "]," };
        let rest = rest.to_string();
        self.output.print(&format!("{end}{}\n", rest.trim_start_matches('{')))
    }

    fn finish_text(&self, took: Duration, paths: &[PathBuf], hint: &Hint) -> Outcome {
        let seconds = took.as_secs_f64();
        let mut text = format!(
            "{} from {} in {seconds:.1} s: {} recorded, {} there before, {} rejected\n",
            count(self.events(), "event"),
            count(self.files, "file"),
            grouped(self.recorded),
            grouped(self.duplicates),
            grouped(self.rejected),
        );
        let lines = |text: &mut String, label: &str, all: u64, shown: &mut dyn Iterator<Item = String>| {
            let mut label = label;
            let mut told = 0;
            for line in shown.take(SHOWN) {
                text.push_str(&format!("  {label:<10}{}\n", clean(&line)));
                label = "";
                told += 1;
            }
            if all > told {
                text.push_str(&format!("  {:<10}and {} more\n", "", grouped(all - told)));
            }
        };
        lines(&mut text, "rejected", self.rejected, &mut self.first_rejected.iter().cloned());
        lines(
            &mut text,
            "skipped",
            self.skipped.len() as u64,
            &mut self.skipped.iter().map(|(path, why)| format!("{}: {why}", path.display())),
        );
        if self.rejected > 0 {
            text.push_str(&format!("  {:<10}{}\n", "all of it", self.all_of_it(paths, hint)));
        } else if self.accepted() > 0 {
            text.push_str(&format!("  {:<10}{}    {}\n", "next", hint.deed("find"), hint.deed("verify")));
        }
        match (self.accepted(), self.rejected) {
            (0, 0) => text.push_str("nothing was recorded: there is no event in it\n"),
            (0, _) => text.push_str("nothing was recorded: no event could be read\n"),
            _ => {}
        }
        self.output.print(&text)
    }
}
