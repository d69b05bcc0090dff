//! The reading half: files to batches of records, on a thread of its own.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use deed_collect::{Mapped, Mapping, Rejected, Source, records, source};
use tokio::sync::mpsc::Sender;

use super::{RejectedEvent, Spot};
use crate::{
    cli::Import,
    exit::Failure,
    inputs::{self, Found},
    record_id,
    stop::Stop,
    values::{SourceChoice, SourceName},
};

/// Records of one batch, and bytes of one batch: whichever is reached first.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 2 << 20;

/// How files are read.
#[derive(Clone)]
pub(super) enum Reads {
    /// As each of them looks.
    Auto,
    As(Source),
    By(Arc<Mapping>),
}

impl Reads {
    /// What was asked for. With a mapping file all that is named are paths, which go to where paths stand.
    ///
    /// # Errors
    /// Neither a source nor a mapping is named, or the mapping file cannot be read; it says the line.
    pub(super) fn of(import: &mut Import) -> Result<Reads, Failure> {
        let Some(file) = &import.mapping else {
            return match &import.source {
                SourceChoice::Auto => Ok(Reads::Auto),
                SourceChoice::Named(source) => Ok(Reads::As(*source)),
                SourceChoice::Path(_) => {
                    let names: Vec<&str> = SourceName::all().collect();
                    Err(Failure::usage(format!("`{}` is no source", import.source.as_str()))
                        .detail(format!("expected one of {}, or a mapping file", names.join(", "))))
                }
            };
        };
        let failed = || Failure::new(format!("failed to read the mapping file `{}`", file.display()));
        let text = std::fs::read_to_string(file).map_err(|error| failed().detail(error.to_string()))?;
        let mapping = Mapping::parse(&text).map_err(|error| failed().detail(error.to_string()))?;
        import.paths.insert(0, PathBuf::from(&*import.source.as_str()));
        Ok(Reads::By(Arc::new(mapping)))
    }

    /// What it is called: a source, `auto`, the system of a mapping.
    pub(super) fn name(&self) -> &str {
        match self {
            Reads::Auto => "auto",
            Reads::As(source) => source.as_str(),
            Reads::By(mapping) => mapping.system(),
        }
    }
}

/// What the reading half has to say.
pub(super) enum Read {
    /// Records to be sent.
    Batch(Batch),
    /// An event that is none, or a file that cannot be read.
    Rejected(RejectedEvent),
    /// A name that is no log, and why.
    Skipped(PathBuf, &'static str),
    /// A file was begun; which system wrote it, where that is known.
    File(Option<String>),
}

/// Records that are sent together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    bytes: usize,
}

/// One record and where it comes from.
pub(super) struct Record {
    pub(super) place: Spot,
    pub(super) text: String,
}

impl Batch {
    /// Adds a record; whether the batch is full then.
    pub(super) fn add(&mut self, place: Spot, text: String) -> bool {
        self.bytes += text.len();
        self.records.push(Record { place, text });
        self.records.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES
    }

    pub(super) fn texts(&self) -> Vec<&str> {
        self.records.iter().map(|record| record.text.as_str()).collect()
    }
}

/// `record` of `source` with an id to know it by.
pub(super) fn named(source: Source, record: String) -> String {
    match source {
        // What has no id gets the one of its text: importing it again adds nothing (INVARIANT D12).
        Source::Deed => match record_id::with_id(&record, || Ok(record_id::of_text(&record))) {
            Ok(with_id) => with_id.into_owned(),
            Err(_) => record,
        },
        _ => record,
    }
}

/// Reads everything below `paths` and hands it over, until nobody listens any more.
pub(super) fn read_all(reads: Reads, paths: &[PathBuf], stop: &Stop, found: &Sender<Read>) {
    let mut reader = Reader { reads, stop, found, batch: Batch::default() };
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
    reads: Reads,
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
        if !matches!(self.reads, Reads::By(_))
            && let Some(why) = source::no_events(&head)
        {
            return self.say(Read::Skipped(path.to_owned(), why));
        }
        let reads = match self.reads.clone() {
            Reads::Auto => source::guess(&head, &path.to_string_lossy()).map(Reads::As),
            known => Some(known),
        };
        if !self.say(Read::File(reads.as_ref().map(|reads| reads.name().to_owned()))) {
            return false;
        }
        match &reads {
            Some(Reads::As(source)) => {
                let looks = source::guess(&head, &path.to_string_lossy()).filter(|other| other != source);
                self.events(Some(*source), looks, &name, records(*source, whole))
            }
            Some(Reads::By(mapping)) => self.events(None, None, &name, mapping.records(whole)),
            // An empty file holds no event that could be missed.
            Some(Reads::Auto) | None => {
                head.is_empty()
                    || self.reject(
                        &name,
                        0,
                        "nothing tells which system wrote it; name the source instead of `auto`".to_owned(),
                    )
            }
        }
    }

    /// Takes the events of one file, which looks like one of another system, `looks`, if any; whether to go on.
    fn events(
        &mut self,
        source: Option<Source>,
        looks: Option<Source>,
        name: &Arc<str>,
        events: impl Iterator<Item = Result<Mapped, Rejected>>,
    ) -> bool {
        // That is said once, and of a file that begins with what is no event.
        let mut looks = looks;
        for event in events {
            let looks = looks.take();
            let going = match event {
                Ok(mapped) => {
                    let text = match source {
                        Some(source) => named(source, mapped.record),
                        None => mapped.record,
                    };
                    self.record(Spot { file: name.clone(), line: mapped.line }, text)
                }
                Err(Rejected { line, error }) => {
                    let other = looks.map(|other| format!("; the file looks like one of `{other}`"));
                    self.reject(name, line, error + &other.unwrap_or_default())
                }
            };
            if !going || self.stop.is_asked() {
                return false;
            }
        }
        true
    }

    fn record(&mut self, place: Spot, text: String) -> bool {
        !self.batch.add(place, text) || self.flush()
    }

    fn reject(&self, file: &Arc<str>, line: u64, error: String) -> bool {
        self.say(Read::Rejected(RejectedEvent { place: Spot { file: file.clone(), line }, error }))
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::take(&mut self.batch);
        batch.records.is_empty() || self.say(Read::Batch(batch))
    }

    fn say(&self, read: Read) -> bool {
        self.found.blocking_send(read).is_ok()
    }
}
