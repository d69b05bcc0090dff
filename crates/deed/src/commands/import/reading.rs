//! The reading half: files to batches of records, on a thread of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use deed_collect::{Source, records, source};
use tokio::sync::mpsc::Sender;

use super::{Place, RejectedEvent};
use crate::{
    inputs::{self, Found},
    record_id,
    stop::Stop,
    values::SourceChoice,
};

/// Records of one batch, and bytes of one batch: whichever is reached first.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 2 << 20;

/// What the reading half has to say.
pub(super) enum Read {
    /// Records to be sent.
    Batch(Batch),
    /// An event that is none, or a file that cannot be read.
    Rejected(RejectedEvent),
    /// A name that is no log, and why.
    Skipped(PathBuf, &'static str),
    /// A file was begun; which system wrote it, where that is known.
    File(Option<Source>),
}

/// Records that are sent together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    bytes: usize,
}

/// One record and where it comes from.
pub(super) struct Record {
    pub(super) place: Place,
    pub(super) text: String,
}

impl Batch {
    pub(super) fn texts(&self) -> Vec<&str> {
        self.records.iter().map(|record| record.text.as_str()).collect()
    }
}

/// Reads everything below `paths` and hands it over, until nobody listens any more.
pub(super) fn read_all(choice: SourceChoice, paths: &[PathBuf], stop: &Stop, found: &Sender<Read>) {
    let mut reader = Reader { choice, stop, found, batch: Batch::default() };
    let all = inputs::walk(paths, &mut |found| match found {
        _ if stop.is_asked() => false,
        Found::File(path) => reader.file(&path),
        Found::Skipped(path, why) => reader.say(Read::Skipped(path, why)),
        Found::Failed(path, error) => {
            let unreadable = format!("cannot be read: {error}");
            reader.say(Read::File(None)) && reader.reject(&Arc::from(inputs::name_of(&path)), 0, unreadable)
        }
    });
    if all {
        reader.flush();
    }
}

struct Reader<'a> {
    choice: SourceChoice,
    stop: &'a Stop,
    found: &'a Sender<Read>,
    batch: Batch,
}

impl Reader<'_> {
    /// Reads one file; whether to go on.
    fn file(&mut self, path: &Path) -> bool {
        let name: Arc<str> = inputs::name_of(path).into();
        let (head, whole) = match inputs::open(path) {
            Ok(opened) => opened,
            Err(error) => {
                return self.say(Read::File(None))
                    && self.reject(&name, 0, format!("cannot be read: {error}"));
            }
        };
        let source = match self.choice {
            SourceChoice::Named(source) => Some(source),
            SourceChoice::Auto => source::guess(&head, &path.to_string_lossy()),
        };
        if !self.say(Read::File(source)) {
            return false;
        }
        let Some(source) = source else {
            // An empty file holds no event that could be missed.
            let empty = head.is_empty();
            return empty
                || self.reject(
                    &name,
                    0,
                    "nothing tells which system wrote it; name the source instead of `auto`".to_owned(),
                );
        };
        for event in records(source, whole) {
            let going = match event {
                Ok(mapped) => {
                    self.record(source, Place { file: name.clone(), line: mapped.line }, mapped.record)
                }
                Err(rejected) => self.reject(&name, rejected.line, rejected.error),
            };
            if !going || self.stop.is_asked() {
                return false;
            }
        }
        true
    }

    fn record(&mut self, source: Source, place: Place, text: String) -> bool {
        let text = match source {
            // What has no id gets the one of its text: importing it again adds nothing (INVARIANT D12).
            Source::Deed => match record_id::with_id(&text, || Ok(record_id::of_text(&text))) {
                Ok(with_id) => with_id.into_owned(),
                Err(_) => text,
            },
            _ => text,
        };
        self.batch.bytes += text.len();
        self.batch.records.push(Record { place, text });
        self.batch.records.len() < BATCH_RECORDS && self.batch.bytes < BATCH_BYTES || self.flush()
    }

    fn reject(&self, file: &Arc<str>, line: u64, error: String) -> bool {
        self.say(Read::Rejected(RejectedEvent { place: Place { file: file.clone(), line }, error }))
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        batch.records.is_empty() || self.say(Read::Batch(batch))
    }

    fn say(&self, read: Read) -> bool {
        self.found.blocking_send(read).is_ok()
    }
}
