//! JSON input of any shape, cut into events.
//!
//! Logs come as JSON arrays, as objects around one list (`{"Records":[…]}`), as one event a line, or as
//! one pretty-printed event after another; compressed or not; complete, cut off in the middle or with
//! a line that somebody's disk has eaten. [`json_events`] gives every event that is there, one at a
//! time, and says on which line one was not.

mod gzip;
mod scan;

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read},
};

use serde::de::IgnoredAny;

use crate::Rejected;
use gzip::Gzip;
use scan::{Fed, Scan};

/// An event larger than this, in bytes, is rejected.
pub const LARGEST_EVENT: usize = 16 * 1024 * 1024;

/// The members whose list is the events, where nothing is known of the events: delivery files and downloads of
/// CloudTrail hold `Records`, its `lookup-events` holds `Events`; an `EventList` of Kubernetes holds `items`; Microsoft
/// Graph answers with `value`, Azure delivers `records`.
const WRAPPERS: &[&str] = &["Records", "Events", "items", "value", "records"];

const NOT_UTF_8: &str =
    "expected JSON in UTF-8, found UTF-16 (`iconv -f UTF-16 -t UTF-8` makes UTF-8 of it) or binary data";

/// `reader`, decompressed where it begins like gzip (RFC 1952), several members in a row included.
///
/// Memory stays bounded whatever it expands to. An error of `reader` or of the compressed data comes
/// from the reader that is returned.
pub fn open<'a>(mut reader: impl Read + 'a) -> Box<dyn BufRead + 'a> {
    const BUFFER: usize = 64 * 1024;
    // One read of a file fills it, so that whoever looks at the first bytes sees many.
    let mut head = vec![0; BUFFER];
    let mut filled = 0;
    while filled < 2 {
        match reader.read(&mut head[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Box::new(BufReader::new(Failed(Some(error)))),
        }
    }
    head.truncate(filled);
    let is_gzip = head.starts_with(&[0x1f, 0x8b]);
    let whole = io::Cursor::new(head).chain(reader);
    if is_gzip {
        let plain = Gzip::new(BufReader::with_capacity(BUFFER, whole));
        Box::new(BufReader::with_capacity(BUFFER, plain))
    } else {
        Box::new(BufReader::with_capacity(BUFFER, whole))
    }
}

/// A reader that fails with `error`: what stands for the rest of an input of which the beginning was read.
pub fn failing(error: io::Error) -> impl Read {
    Failed(Some(error))
}

/// The events of `reader`, each with the line it starts on and its exact text, which is an object.
///
/// At most one event of at most [`LARGEST_EVENT`] bytes is held. What cannot be read is one
/// [`Rejected`] each, and reading goes on with the next event that can be found; where the input ends
/// or fails in the middle of an event, that is the last thing said.
pub fn json_events<R: BufRead>(reader: R) -> JsonEvents<R> {
    json_events_up_to(reader, LARGEST_EVENT)
}

/// As [`json_events`], with another limit than [`LARGEST_EVENT`], in bytes.
pub fn json_events_up_to<R: BufRead>(reader: R, largest: usize) -> JsonEvents<R> {
    JsonEvents {
        reader,
        again: Vec::new(),
        again_at: 0,
        line: 1,
        margin: Some(Vec::new()),
        place: Place::Top,
        wrappers: WRAPPERS,
        own: Vec::new(),
        largest,
        is_any_depth: false,
        over: false,
    }
}

/// See [`json_events`].
#[derive(Debug)]
pub struct JsonEvents<R> {
    reader: R,
    /// Bytes that were taken for part of an event and turned out not to be; read before `reader`.
    again: Vec<u8>,
    again_at: usize,
    /// Line of the next byte.
    line: u64,
    /// The white space before the next byte on its line; `None` where something else stands there.
    margin: Option<Vec<u8>>,
    place: Place,
    wrappers: &'static [&'static str],
    /// Members by which an event is known, whatever lists it has.
    own: Vec<String>,
    largest: usize,
    is_any_depth: bool,
    over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Between values.
    Top,
    /// In a list of events.
    List,
    /// In the list inside an object around it.
    Wrapped,
}

/// How taking an event ended.
enum Taken {
    Event(String),
    /// It was no event but an object around a list of them.
    Wrapper,
}

impl<R: BufRead> Iterator for JsonEvents<R> {
    type Item = Result<(u64, String), Rejected>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over {
            if let Some(found) = self.advance().transpose() {
                return Some(found);
            }
        }
        None
    }
}

impl<R: BufRead> JsonEvents<R> {
    /// The same, where whoever takes an event says itself what of it nests too deep.
    pub(crate) fn of_any_depth(self) -> Self {
        JsonEvents { is_any_depth: true, ..self }
    }

    /// The same, where only the list of a member that is called one of `names` is a list of events: any other is an
    /// event's own.
    #[must_use]
    pub fn listed_under(self, names: &'static [&'static str]) -> Self {
        JsonEvents { wrappers: names, ..self }
    }

    /// The same, where an object that has one of the members `names` is an event, whatever lists it has. It is held
    /// whole until that is known, up to the limit.
    #[must_use]
    pub(crate) fn known_by(self, names: Vec<String>) -> Self {
        JsonEvents { own: names, ..self }
    }

    /// Takes one thing from the input: an event, or what stands between events.
    fn advance(&mut self) -> Result<Option<(u64, String)>, Rejected> {
        let Some(byte) = self.skip_spaces()? else {
            self.over = true;
            return match self.place {
                Place::Top => Ok(None),
                _ => Err(rejected(self.line, "the input ends in the middle of a list of events")),
            };
        };
        match (byte, self.place) {
            (b'{', _) => {
                let line = self.line;
                match self.event()? {
                    Taken::Event(text) => return Ok(Some((line, text))),
                    Taken::Wrapper => self.place = Place::Wrapped,
                }
            }
            (b'[', Place::Top) => {
                self.consume(1);
                self.place = Place::List;
            }
            (b',', Place::List | Place::Wrapped) => self.consume(1),
            (b']', Place::List) => {
                self.consume(1);
                self.place = Place::Top;
            }
            (b']', Place::Wrapped) => {
                self.consume(1);
                self.place = Place::Top;
                self.skip_value(Scan::after_member())?;
            }
            (b'[' | b'"', Place::List | Place::Wrapped) => {
                let line = self.line;
                self.skip_value(Scan::default())?;
                let found = if byte == b'"' { "a string" } else { "a list" };
                return Err(rejected(line, format!("expected an object, found {found}")));
            }
            (b'-' | b'0'..=b'9' | b'a'..=b'z', Place::List | Place::Wrapped) => {
                let line = self.line;
                self.skip_until(|byte| matches!(byte, b',' | b']' | b'}' | b'\n'))?;
                return Err(rejected(line, "expected an object, found a plain value"));
            }
            // What a file system leaves of a line that it had not written when the power went: the next event
            // may stand right behind it.
            (0, _) => {
                let line = self.line;
                self.skip_until(|byte| byte != 0)?;
                return Err(rejected(line, NOT_UTF_8));
            }
            _ => return Err(self.skip_junk(byte)?),
        }
        Ok(None)
    }

    /// Takes an object. It is held whole, up to the limit.
    fn event(&mut self) -> Result<Taken, Rejected> {
        // Outside of a list the next event begins a line of its own, whatever stood before this one.
        let margin = self.margin.clone().or_else(|| (self.place == Place::Top).then(Vec::new));
        let line = self.line;
        let largest = self.largest;
        let mut scan = Scan::default();
        let mut text = Vec::new();
        let mut too_large = false;
        // Where the list begins, if this is an object around one.
        let mut list = None;
        loop {
            // A failure is one rejection: of the event that it cut off.
            let buffer = self.buffer().map_err(|error| Rejected { line, ..error })?;
            if buffer.is_empty() {
                if let Some(at) = list {
                    return Ok(self.wrapper(text, at, line));
                }
                if too_large || scan.too_deep || !self.find_again(&mut text, line, margin.as_deref()) {
                    self.over = true;
                }
                return Err(rejected(line, "the input ends in the middle of an event"));
            }
            let fed = scan.feed(buffer);
            let taken = match fed {
                Fed::All => buffer.len(),
                Fed::End(n) | Fed::List(n) | Fed::Broken(n, _) => n,
            };
            if text.len() + taken > largest {
                if let Some(at) = list {
                    return Ok(self.wrapper(text, at, line));
                }
                too_large = true;
                text = Vec::new();
            }
            if !too_large {
                text.extend_from_slice(&buffer[..taken]);
            }
            self.consume(taken);
            if let (Fed::Broken(..) | Fed::End(_), Some(at)) = (&fed, list)
                && !self.has_own(&text)
            {
                return Ok(self.wrapper(text, at, line));
            }
            match fed {
                Fed::All => {}
                Fed::List(_) => {
                    if self.place == Place::Top && !too_large && is_wrapper(&text, self.wrappers) {
                        if self.own.is_empty() {
                            return Ok(Taken::Wrapper);
                        }
                        list = list.or(Some(text.len()).filter(|_| !self.names_own(&text)));
                    }
                }
                Fed::Broken(_, why) => {
                    // UTF-16 without a mark at its beginning.
                    let is_wide = text.starts_with(b"{\0");
                    if too_large || scan.too_deep || !self.find_again(&mut text, line, margin.as_deref()) {
                        self.skip_to_margin(margin.as_deref())?;
                    }
                    let rest = if self.over { "; nothing behind it can be told apart" } else { "" };
                    let why = if is_wide { NOT_UTF_8.to_owned() } else { format!("not JSON: {why}") };
                    return Err(rejected(line, why + &self.lines_of(line) + rest));
                }
                Fed::End(_) if too_large => {
                    return Err(rejected(line, format!("the event is larger than {largest} bytes")));
                }
                Fed::End(_) if scan.too_deep && !self.is_any_depth => {
                    return Err(rejected(line, format!("the event nests deeper than {}", scan::DEEPEST)));
                }
                Fed::End(_) => {
                    return String::from_utf8(text).map(Taken::Event).map_err(|error| {
                        let at = error.utf8_error().valid_up_to();
                        let mend = "where it is Latin-1, `iconv -f ISO-8859-1 -t UTF-8` makes UTF-8 of it";
                        rejected(line, format!("byte {at} of the event is not UTF-8; {mend}"))
                    });
                }
            }
        }
    }

    /// Whether the object `text` has a member by which an event is known.
    fn has_own(&self, text: &[u8]) -> bool {
        let members: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_slice(text);
        members.is_ok_and(|members| self.own.iter().any(|name| members.contains_key(name)))
    }

    /// Whether what was read of an object names such a member.
    fn names_own(&self, text: &[u8]) -> bool {
        self.own.iter().any(|name| {
            let quoted = format!("\"{name}\"").into_bytes();
            text.windows(quoted.len()).any(|window| window == quoted)
        })
    }

    /// Only an object around a list, which begins `at` bytes into `text` and is read again from there.
    fn wrapper(&mut self, mut text: Vec<u8>, at: usize, line: u64) -> Taken {
        self.back_to(&mut text, at, line);
        self.margin = None;
        Taken::Wrapper
    }

    /// Has everything behind the first `at` bytes of `text`, which began on `line`, read again.
    fn back_to(&mut self, text: &mut Vec<u8>, at: usize, line: u64) {
        let back = text.len() - at;
        if self.again.is_empty() {
            self.again = text.split_off(at);
            self.again_at = 0;
        } else {
            // `again` is let go once it is read, so that all of the event came out of it.
            self.again_at = self.again_at.saturating_sub(back);
            text.truncate(at);
        }
        self.line = line + newlines(text);
    }

    /// After an event that began on `line` behind `margin` broke off: the next event begins most
    /// likely on a line that looks the same. Where one such is among the bytes already taken, they are
    /// read again from there.
    fn find_again(&mut self, text: &mut Vec<u8>, line: u64, margin: Option<&[u8]>) -> bool {
        let Some(margin) = margin else { return false };
        let begins = |at: &usize| text[*at] == b'\n' && self.begins_event(&text[at + 1..], margin);
        let Some(at) = (0..text.len()).find(begins) else { return false };
        self.back_to(text, at + 1, line);
        self.margin = Some(Vec::new());
        true
    }

    /// Whether `line` begins with what an event stands behind that comes after one behind `margin`. Outside of a list it may
    /// be less: what is a part of an event is indented further than it.
    fn begins_event(&self, line: &[u8], margin: &[u8]) -> bool {
        let spaces = line.iter().take_while(|b| matches!(b, b' ' | b'\t')).count();
        let same = if self.place == Place::Top {
            margin.starts_with(&line[..spaces])
        } else {
            line[..spaces] == *margin
        };
        same && line.get(spaces) == Some(&b'{')
    }

    /// Says which lines were taken for the rest of what began on `line` and broke off, now that the next event was looked for.
    fn lines_of(&self, line: u64) -> String {
        let last = self.line - u64::from(self.margin.is_some());
        match last.saturating_sub(line) {
            0 => String::new(),
            1 => format!("; line {last} is taken for the rest of it"),
            _ => format!("; lines {} to {last} are taken for the rest of it", line + 1),
        }
    }

    /// Passes over whole lines up to one that begins with `margin` and `{`, or as [`JsonEvents::begins_event`] says.
    fn skip_to_margin(&mut self, margin: Option<&[u8]>) -> Result<(), Rejected> {
        let Some(margin) = margin else {
            // Events that share their lines with others: nothing says where the next one begins.
            self.over = true;
            return Ok(());
        };
        loop {
            match self.skip_spaces()? {
                None => return Ok(()),
                Some(b'{')
                    if self
                        .margin
                        .as_deref()
                        .is_some_and(|own| self.begins_event(&[own, b"{"].concat(), margin)) =>
                {
                    return Ok(());
                }
                Some(_) => self.skip_until(|byte| byte == b'\n')?,
            }
        }
    }

    /// What is no JSON: passes over the rest of its line.
    fn skip_junk(&mut self, byte: u8) -> Result<Rejected, Rejected> {
        let line = self.line;
        self.place = Place::Top;
        if matches!(byte, 0xfe | 0xff) {
            self.over = self.is_wide()?;
            self.skip_until(|byte| byte == b'\n')?;
            return Ok(rejected(line, NOT_UTF_8));
        }
        self.skip_until(|byte| byte == b'\n')?;
        let found = match byte {
            b'-' | b'0'..=b'9' => "a number".to_owned(),
            b'"' => "a string".to_owned(),
            b'!'..=b'~' => format!("`{}`", char::from(byte)),
            _ => format!("the byte 0x{byte:02x}"),
        };
        Ok(rejected(line, format!("expected a JSON object, found {found}")))
    }

    /// Whether the input begins here, in UTF-16: a byte order mark, and every other byte of what follows is zero. A line
    /// that begins with such bytes is only a broken one.
    fn is_wide(&mut self) -> Result<bool, Rejected> {
        let begins = self.line == 1 && self.margin.as_ref().is_some_and(Vec::is_empty);
        let mut head = Vec::new();
        while begins
            && head.len() < 4
            && let Some(byte) = self.buffer()?.first().copied().filter(|byte| *byte != b'\n')
        {
            head.push(byte);
            self.consume(1);
        }
        Ok(matches!(head[..], [0xff, 0xfe, _, 0] | [0xfe, 0xff, 0, _]))
    }

    /// Passes over a value, or the rest of one.
    fn skip_value(&mut self, mut scan: Scan) -> Result<(), Rejected> {
        let line = self.line;
        loop {
            let buffer = self.buffer()?;
            if buffer.is_empty() {
                self.over = true;
                return Err(rejected(line, "the input ends in the middle of a value"));
            }
            let fed = scan.feed(buffer);
            let taken = match fed {
                Fed::All => buffer.len(),
                Fed::End(n) | Fed::List(n) | Fed::Broken(n, _) => n,
            };
            self.consume(taken);
            match fed {
                Fed::All | Fed::List(_) => {}
                Fed::End(_) => return Ok(()),
                Fed::Broken(_, why) => {
                    self.place = Place::Top;
                    self.skip_to_margin(Some(b""))?;
                    return Err(rejected(line, format!("not JSON: {why}{}", self.lines_of(line))));
                }
            }
        }
    }

    /// Passes over white space and byte order marks; the next byte, which is not taken.
    fn skip_spaces(&mut self) -> Result<Option<u8>, Rejected> {
        loop {
            let buffer = self.buffer()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            let spaces = buffer
                .iter()
                // U+FEFF in UTF-8, and the record separator of RFC 7464.
                .position(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf | 0x1e));
            let found = spaces.map(|at| buffer[at]);
            let taken = spaces.unwrap_or(buffer.len());
            self.consume(taken);
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    /// Passes over bytes up to one that `stop` knows, which is not taken.
    fn skip_until(&mut self, stop: impl Fn(u8) -> bool) -> Result<(), Rejected> {
        loop {
            let buffer = self.buffer()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let at = buffer.iter().position(|byte| stop(*byte));
            let taken = at.unwrap_or(buffer.len());
            self.consume(taken);
            if at.is_some() {
                return Ok(());
            }
        }
    }

    /// Bytes that come next; none at the end. After an error nothing more is read.
    fn buffer(&mut self) -> Result<&[u8], Rejected> {
        if self.again_at < self.again.len() {
            return Ok(&self.again[self.again_at..]);
        }
        while let Err(error) = self.reader.fill_buf() {
            if error.kind() != io::ErrorKind::Interrupted {
                self.over = true;
                return Err(rejected(self.line, format!("cannot be read on: {error}")));
            }
        }
        let line = self.line;
        self.reader.fill_buf().map_err(|error| rejected(line, format!("cannot be read on: {error}")))
    }

    /// Takes `n` bytes of what [`JsonEvents::buffer`] gave.
    fn consume(&mut self, n: usize) {
        if n == 0 {
            return;
        }
        let from_again = self.again_at < self.again.len();
        let taken = if from_again {
            &self.again[self.again_at..self.again_at + n]
        } else {
            // `fill_buf` gave at least `n` bytes a moment ago and gives the same ones until they are taken.
            match self.reader.fill_buf() {
                Ok(buffer) => &buffer[..n.min(buffer.len())],
                Err(_) => &[],
            }
        };
        self.line += newlines(taken);
        self.margin = margin_after(self.margin.take(), taken);
        if from_again {
            self.again_at += n;
            if self.again_at == self.again.len() {
                (self.again, self.again_at) = (Vec::new(), 0);
            }
        } else {
            self.reader.consume(n);
        }
    }
}

fn rejected(line: u64, error: impl Into<String>) -> Rejected {
    Rejected { line, error: error.into() }
}

/// Whether `text`, which ends where a list begins, says before it that it is one of `names`.
fn is_wrapper(text: &[u8], names: &[&str]) -> bool {
    let before = text.strip_suffix(b"[").and_then(|before| before.trim_ascii_end().strip_suffix(b":"));
    let quoted = before.and_then(|before| before.trim_ascii_end().strip_suffix(b"\""));
    quoted.is_some_and(|text| {
        let name = |name: &&str| text.strip_suffix(name.as_bytes()).is_some_and(|rest| rest.ends_with(b"\""));
        names.iter().any(name)
    })
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// The white space before the next byte on its line, once `taken` was read after `margin`.
fn margin_after(margin: Option<Vec<u8>>, taken: &[u8]) -> Option<Vec<u8>> {
    /// More white space than this before an event is no margin that the next one would share.
    const WIDEST: usize = 256;
    let line = taken.iter().rposition(|byte| *byte == b'\n').map(|at| &taken[at + 1..]);
    let mut margin = if line.is_some() { Vec::new() } else { margin? };
    let more = line.unwrap_or(taken);
    let more = more.strip_prefix(b"\xef\xbb\xbf").unwrap_or(more);
    if margin.len() + more.len() > WIDEST || !more.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
        return None;
    }
    margin.extend_from_slice(more);
    Some(margin)
}

/// A reader that could not even begin.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}
