//! Files cut into events: rows of CSV, objects of JSON.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::VecDeque,
    io::{self, BufRead, Read},
    rc::Rc,
};

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Value, value::RawValue};

use crate::{
    LARGEST_EXPORT, Rejected,
    input::{self, LARGEST_EVENT},
    json::{self, Json},
    loose::Loose,
    parse,
};

/// The form of a system's files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Rows of values.
    Csv {
        delimiter: u8,
        /// Names of the columns; where there are none the first row has them.
        columns: Option<Vec<String>>,
    },
    /// Objects: one a line, one after another or in a list.
    Json {
        /// Path of the list that holds them.
        at: Option<String>,
    },
}

/// One event.
pub(super) struct Row {
    pub(super) line: u64,
    /// Of CSV, the line that it ends on.
    last: u64,
    /// The event as JSON: of CSV an object of its columns.
    pub(super) text: String,
    pub(super) value: Value,
}

impl Row {
    /// `error` of it, and how far it goes: a quote that nobody closed makes one row of many lines.
    pub(super) fn refused(&self, error: String) -> Rejected {
        refused(self.line, self.last, error)
    }
}

fn refused(line: u64, last: u64, error: String) -> Rejected {
    let rest =
        if last > line { format!("; the row goes on to line {last}, in quotes") } else { String::new() };
    Rejected { line, error: error + &rest }
}

type Rows<'a> = Box<dyn Iterator<Item = Result<Row, Rejected>> + 'a>;

/// The events of a file. One that is JSON is known by `own`, the paths of which it must have one.
pub(super) fn events<'a>(form: &'a Form, own: &[String], reader: Box<dyn BufRead + 'a>) -> Rows<'a> {
    match form {
        Form::Csv { delimiter, columns } => Box::new(Sheet::new(reader, *delimiter, columns.as_deref())),
        Form::Json { at: None } => {
            let first = |path: &String| path.split('.').next().unwrap_or_default().to_owned();
            let own = own.iter().flat_map(|path| [path.clone(), first(path)]).collect();
            Box::new(input::json_events(reader).known_by(own).map(|event| {
                let (line, text) = event?;
                row(line, text)
            }))
        }
        Form::Json { at: Some(path) } => document(reader, path),
    }
}

fn row(line: u64, text: String) -> Result<Row, Rejected> {
    match parse::value(&text) {
        Ok(value) => Ok(Row { line, last: line, text, value }),
        Err(error) => Err(Rejected { line, error }),
    }
}

/// The plain values at `path`: one, or those of a list.
pub(super) fn all<'v>(row: Loose<'v>, path: &str) -> Vec<Cow<'v, str>> {
    let Some(value) = find(row.0, path) else { return Vec::new() };
    let plain = |value: &'v Value| Loose(value).plain(&[]);
    match value {
        Value::Array(items) => items.iter().filter_map(plain).collect(),
        value => plain(value).into_iter().collect(),
    }
}

/// What stands at `path`: a member of that very name, else what its parts lead to; a number is a place in a
/// list.
fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    path.split('.').try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        value => value.get(part),
    })
}

// === CSV ===

/// The rows of a CSV file (RFC 4180; any delimiter).
struct Sheet<'a> {
    reader: csv::Reader<Bounded<Box<dyn BufRead + 'a>>>,
    seen: Rc<RefCell<Seen>>,
    columns: Option<Vec<String>>,
    over: bool,
}

impl<'a> Sheet<'a> {
    fn new(reader: Box<dyn BufRead + 'a>, delimiter: u8, columns: Option<&[String]>) -> Self {
        let seen = Rc::<RefCell<Seen>>::default();
        let reader = Bounded { reader, seen: seen.clone() };
        let reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(reader);
        Sheet { reader, seen, columns: columns.map(<[String]>::to_vec), over: false }
    }

    /// The next row that is not empty, and its first and last line.
    fn read(&mut self) -> Option<Result<(u64, u64, ByteRecord), Rejected>> {
        let mut record = ByteRecord::new();
        // Of CRLF the row before has taken the first half.
        let line = self.seen.borrow_mut().line(self.reader.position().byte() + 1);
        self.seen.borrow_mut().taken = 0;
        match self.reader.read_byte_record(&mut record) {
            Ok(true) => {
                let mut seen = self.seen.borrow_mut();
                // What ends the row is none of it; the last one of a file may have no end.
                let end = self.reader.position().byte() - u64::from(!seen.ended);
                let last = seen.line(end);
                let within = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
                // A quote that nobody closed takes in the end of the file, behind which there is no line.
                let open = seen.ended && record.as_slice().ends_with(b"\n");
                Some(Ok((last.saturating_sub(within), last - u64::from(open), record)))
            }
            Ok(false) => None,
            Err(error) => {
                self.over = true;
                Some(Err(Rejected { line, error: format!("cannot be read on: {error}") }))
            }
        }
    }

    /// The names of the columns: the first row where the mapping does not say them.
    fn header(&mut self) -> Option<Rejected> {
        let (line, _, record) = match self.read()? {
            Ok(read) => read,
            Err(rejected) => return Some(rejected),
        };
        let names: Result<Vec<String>, _> = record
            .iter()
            .map(|name| {
                String::from_utf8(name.to_vec())
                    .map(|name| name.trim().trim_start_matches('\u{feff}').to_owned())
            })
            .collect();
        let problem = match &names {
            Err(_) => Some("the names of the columns are not UTF-8".to_owned()),
            Ok(names) => {
                let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
                twice.map(|(at, _)| format!("column {} has the name of another one", at + 1))
            }
        };
        match (names, problem) {
            (Ok(names), None) => {
                self.columns = Some(names);
                None
            }
            (_, problem) => {
                self.over = true;
                Some(Rejected { line, error: problem.unwrap_or_default() })
            }
        }
    }

    fn row(columns: &[String], line: u64, record: &ByteRecord) -> Result<Row, Rejected> {
        let refuse = |error: String| Err(Rejected { line, error });
        if record.len() != columns.len() {
            return refuse(format!("expected {} values, found {}", columns.len(), record.len()));
        }
        let mut text = Json::with_capacity(record.as_slice().len() + 64);
        text.raw("{");
        for (name, value) in columns.iter().zip(record) {
            let Ok(value) = std::str::from_utf8(value) else {
                return refuse(format!("field `{name}`: not UTF-8"));
            };
            text.key(name);
            text.string(value);
        }
        text.raw("}");
        match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => row(line, text.to_owned()),
            Err(_) => refuse("not UTF-8".to_owned()),
        }
    }
}

impl Iterator for Sheet<'_> {
    type Item = Result<Row, Rejected>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.columns.is_none()
            && !self.over
            && let Some(rejected) = self.header()
        {
            self.over = true;
            return Some(Err(rejected));
        }
        if self.over {
            return None;
        }
        let (line, last, record) = match self.read()? {
            Ok(read) => read,
            Err(rejected) => return Some(Err(rejected)),
        };
        let row = Sheet::row(self.columns.as_deref().unwrap_or_default(), line, &record);
        Some(
            row.map(|row| Row { last, ..row }).map_err(|Rejected { line, error }| refused(line, last, error)),
        )
    }
}

/// A reader that fails where one row takes more than [`LARGEST_EVENT`] bytes: a quote that is never closed
/// would otherwise hold the rest of the file.
struct Bounded<R> {
    reader: R,
    seen: Rc<RefCell<Seen>>,
}

/// What was read of a file. Where a row stands is counted here: the parser's own count knows no CRLF.
#[derive(Default)]
struct Seen {
    /// Bytes since the last row was asked for.
    taken: usize,
    bytes: u64,
    /// There are no more.
    ended: bool,
    /// Line breaks that were counted, and where those stand that are to come.
    lines: u64,
    breaks: VecDeque<u64>,
}

impl Seen {
    /// The line of the byte at `end`, which is no less than the last one that was asked about.
    fn line(&mut self, end: u64) -> u64 {
        while self.breaks.front().is_some_and(|at| *at < end) {
            self.breaks.pop_front();
            self.lines += 1;
        }
        self.lines + 1
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut seen = self.seen.borrow_mut();
        let seen = &mut *seen;
        if seen.taken > LARGEST_EVENT {
            return Err(io::Error::other(format!("the row is larger than {LARGEST_EVENT} bytes")));
        }
        let read = self.reader.read(buffer)?;
        let from = seen.bytes;
        let breaks = buffer.iter().take(read).enumerate().filter(|(_, byte)| **byte == b'\n');
        seen.breaks.extend(breaks.map(|(at, _)| from + at as u64));
        seen.bytes += read as u64;
        seen.taken += read;
        seen.ended = read == 0;
        Ok(read)
    }
}

// === JSON ===

/// The events in the list at `path` of one document.
fn document<'a>(reader: impl BufRead + 'a, path: &str) -> Rows<'a> {
    let mut text = String::new();
    let refuse = |error: String| -> Rows<'a> { Box::new(std::iter::once(Err(Rejected { line: 0, error }))) };
    match reader.take(LARGEST_EXPORT as u64 + 1).read_to_string(&mut text) {
        Err(error) => return refuse(format!("cannot be read on: {error}")),
        Ok(read) if read > LARGEST_EXPORT => {
            return refuse(format!("the document is larger than {LARGEST_EXPORT} bytes"));
        }
        Ok(_) => {}
    }
    let text = text.trim_start_matches('\u{feff}');
    match items(text, path) {
        Ok(items) => {
            let mut rows = Vec::with_capacity(items.len());
            let (mut line, mut seen) = (1, text.as_ptr() as usize);
            for item in items {
                // Where it stands in the text: the lines before it are counted once.
                let at = item.get().as_ptr() as usize;
                let before = &text.as_bytes()[seen - text.as_ptr() as usize..at - text.as_ptr() as usize];
                line += before.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
                seen = at;
                rows.push(if item.get().starts_with('{') {
                    row(line, item.get().to_owned())
                } else {
                    Err(Rejected { line, error: "expected an object".to_owned() })
                });
            }
            Box::new(rows.into_iter())
        }
        Err(error) => refuse(error),
    }
}

fn items<'t>(text: &'t str, path: &str) -> Result<Vec<&'t RawValue>, String> {
    let not_json = |error: serde_json::Error| format!("not JSON: {}", json::error_text(&error));
    let mut here: &RawValue = serde_json::from_str(text).map_err(not_json)?;
    for part in path.split('.') {
        let members: std::collections::BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(here.get()).map_err(|_| format!("field `{path}`: missing"))?;
        here = members.get(part).copied().ok_or_else(|| format!("field `{path}`: missing"))?;
    }
    serde_json::from_str(here.get()).map_err(|_| format!("field `{path}`: expected a list"))
}
