//! Server-sent events (WHATWG HTML, 9.2), one at a time and byte for byte as they came, but for what nobody reads: it could say
//! anything.

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;

use super::upstream::Lost;
use crate::refusal;

/// What events are called that clients know.
const KNOWN: [&[u8]; 4] = [b"message", b"endpoint", b"ping", b"error"];

/// Digits of milliseconds, of about a day.
const LONGEST_RETRY: usize = 8;

/// An event, or a comment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Event {
    /// Its bytes, with the empty line that ends it; without comments and what else no client reads.
    pub(super) raw: Bytes,
    /// What it carries; `None` where that is nothing.
    pub(super) data: Option<Vec<u8>>,
    /// Its id, from which the stream can be taken up again.
    pub(super) id: Option<String>,
}

impl Event {
    /// Its id as clients take it: the last, where there are several.
    pub(super) fn last_id(&self) -> Option<&str> {
        let ids = fields(&self.raw).filter(|(name, _)| *name == b"id");
        str::from_utf8(ids.last()?.1).ok()
    }

    /// The same without its id.
    pub(super) fn without_id(self) -> Self {
        let raw = rewritten(&self.raw, |line| if field(line).0 == b"id" { b":" } else { line });
        Event { raw: raw.into(), id: None, ..self }
    }
}

/// Why there are no more events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Broken {
    /// An event is longer than any message may be, or nobody can read it: in a word why.
    Unread(&'static str),
    /// The connection broke.
    Connection,
    /// The server ended.
    Server,
}

/// Of what a body is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Of {
    /// Events, as the standard has them.
    #[default]
    Blocks,
    /// Lines, each a message.
    Lines,
}

/// The events of a body.
pub(super) struct Events<B> {
    body: B,
    cut: Cutter,
}

impl<B: Body<Data = Bytes, Error = Lost> + Unpin> Events<B> {
    pub(super) fn new(body: B, of: Of, longest: usize) -> Self {
        Events { body, cut: Cutter { longest, of, ..Cutter::default() } }
    }

    /// An event that carries `data`.
    pub(super) fn of_data(&self, data: &str) -> Bytes {
        self.with_data(&Event { raw: Bytes::new(), data: None, id: None }, data)
    }

    /// `event` with other data, and else as it was.
    pub(super) fn with_data(&self, event: &Event, data: &str) -> Bytes {
        match self.cut.of {
            Of::Blocks => with_data(event, data),
            Of::Lines => format!("{data}\n").into(),
        }
    }

    /// The next event; `None` at the end. Nothing is lost when this is not waited for to the end.
    pub(super) async fn next(&mut self) -> Option<Result<Event, Broken>> {
        loop {
            if let Some(event) = self.cut.event() {
                return Some(Ok(event));
            }
            if self.cut.is_too_long() {
                return Some(Err(Broken::Unread(refusal::TOO_LONG)));
            }
            let Some(frame) = self.body.frame().await else { return self.cut.rest().map(Ok) };
            match frame {
                Ok(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.cut.buffer.extend_from_slice(data);
                    }
                }
                Err(Lost::Connection) => return Some(Err(Broken::Connection)),
                Err(Lost::Server) => return Some(Err(Broken::Server)),
                Err(Lost::Unread(why)) => return Some(Err(Broken::Unread(why))),
            }
        }
    }
}

/// An event that carries `data`, on its own.
pub(crate) fn event_of(data: &str) -> Bytes {
    with_data(&Event { raw: Bytes::new(), data: None, id: None }, data)
}

/// Cuts bytes into events.
#[derive(Default)]
pub(super) struct Cutter {
    buffer: Vec<u8>,
    /// Where the line begins that is being looked for the end of.
    line: usize,
    /// Up to where it was looked for.
    seen: usize,
    longest: usize,
    of: Of,
}

impl Cutter {
    fn is_too_long(&self) -> bool {
        self.buffer.len() > self.longest
    }

    /// What the end of the body ends: a line. An event would need an empty one.
    fn rest(&mut self) -> Option<Event> {
        let rest = std::mem::take(&mut self.buffer);
        (self.of == Of::Lines && !rest.trim_ascii().is_empty()).then(|| line(rest))
    }

    /// The first whole event. An event that the end of the stream cuts off is none.
    fn event(&mut self) -> Option<Event> {
        loop {
            let Some(found) = memchr::memchr2(b'\n', b'\r', &self.buffer[self.seen..]) else {
                self.seen = self.buffer.len();
                return None;
            };
            let end = self.seen + found;
            let next = match (self.buffer[end], self.buffer.get(end + 1)) {
                (b'\r', Some(b'\n')) => end + 2,
                // Whether a line feed follows is not known yet; after an empty line it makes no difference.
                (b'\r', None) if end > self.line => {
                    self.seen = end;
                    return None;
                }
                _ => end + 1,
            };
            let is_end = end == self.line || self.of == Of::Lines;
            (self.line, self.seen) = (next, next);
            if is_end {
                let rest = self.buffer.split_off(next);
                let raw = std::mem::replace(&mut self.buffer, rest);
                (self.line, self.seen) = (0, 0);
                return Some(match self.of {
                    Of::Blocks => read(raw),
                    Of::Lines => line(raw),
                });
            }
        }
    }
}

fn line(raw: Vec<u8>) -> Event {
    let data = Some(raw.trim_ascii().to_vec()).filter(|data| !data.is_empty());
    Event { raw: raw.into(), data, id: None }
}

fn read(raw: Vec<u8>) -> Event {
    let raw = readable(raw.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&raw));
    let mut data: Option<Vec<u8>> = None;
    let mut id: Option<String> = None;
    for (name, value) in fields(&raw) {
        match name {
            b"data" => match &mut data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => data = Some(value.to_vec()),
            },
            // Clients take the last one; whatever any of them says is looked at.
            b"id" => *id.get_or_insert_default() += &String::from_utf8_lossy(value),
            _ => {}
        }
    }
    Event { raw: raw.into(), data: data.filter(|data| !data.is_empty()), id }
}

/// Names and values of an event's lines.
fn fields(raw: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(raw).map(field)
}

fn field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(colon) => {
            let value = &line[colon + 1..];
            (&line[..colon], value.strip_prefix(b" ").unwrap_or(value))
        }
        None => (line, &line[..0]),
    }
}

/// An event whose lines that no client reads are empty comments, and a name that none knows is another.
fn readable(raw: &[u8]) -> Vec<u8> {
    rewritten(raw, |line| match field(line) {
        (b"data" | b"id", _) => line,
        (b"retry", value) if value.len() <= LONGEST_RETRY && value.iter().all(u8::is_ascii_digit) => line,
        (b"event", value) if KNOWN.contains(&value) => line,
        (b"event", _) => b"event: other",
        _ => b":",
    })
}

/// An event with what `change` makes of its lines, each ended as it was.
fn rewritten(raw: &[u8], change: impl Fn(&[u8]) -> &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    for piece in raw.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = piece.strip_suffix(b"\n").or_else(|| piece.strip_suffix(b"\r")).unwrap_or(piece);
        if !line.is_empty() {
            text.extend_from_slice(change(line));
        }
        text.extend_from_slice(&piece[line.len()..]);
    }
    text
}

fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    raw.split(|byte| matches!(byte, b'\n' | b'\r')).filter(|line| !line.is_empty())
}

fn with_data(event: &Event, data: &str) -> Bytes {
    let mut text = Vec::with_capacity(data.len() + 64);
    for line in lines(&event.raw).filter(|line| !line.starts_with(b"data:") && *line != b"data") {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    // Outside of strings a line break is white space, and in them it is escaped.
    for line in data.split(['\n', '\r']) {
        text.extend_from_slice(b"data: ");
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }
    text.push(b'\n');
    text.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Event> {
        let mut cutter = Cutter { longest: usize::MAX, ..Cutter::default() };
        let mut events = Vec::new();
        for piece in pieces {
            cutter.buffer.extend_from_slice(piece);
            while let Some(event) = cutter.event() {
                events.push(event);
            }
        }
        events
    }

    #[test]
    fn lines_end_by_a_carriage_return_too() {
        let events = cut(&[b"data: a\r", b"\r", b"\ndata: b\r\rdata: c\r"]);
        let data: Vec<_> = events.iter().filter_map(|event| event.data.as_deref()).collect();
        assert_eq!(data, [&b"a"[..], b"b"]);
        let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.to_vec()).collect();
        assert_eq!(raw, b"data: a\r\r\ndata: b\r\r");
    }

    #[test]
    fn reads_what_servers_write() {
        let text = b": hello\n\nid: 7\nretry: 5\ndata:\n\nevent: message\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:x\r\rdata: cut off\n";
        let events = cut(&[text]);
        let data: Vec<_> =
            events.iter().map(|event| event.data.as_deref().map(String::from_utf8_lossy)).collect();
        assert_eq!(data, [None, None, Some("{\"a\":\n1}".into()), Some("x".into())]);
        assert_eq!(events[0].raw, ":\n\n");
        assert!(events[1].id.is_some() && events[2].id.is_none());
        assert_eq!(with_data(&events[2], "{}"), "event: message\ndata: {}\n\n");
    }

    #[test]
    fn what_no_client_reads_is_not_passed_on() {
        let text = "\u{feff}: 555-0199\nevent: 555-0199\r\nretry: 5\nretry: x\n555: 0199\nid: 1\ndata: a\n\nevent:ping\n\n";
        let events = cut(&[text.as_bytes()]);
        assert_eq!(events[0].raw, ":\nevent: other\r\nretry: 5\n:\n:\nid: 1\ndata: a\n\n");
        assert_eq!((events[0].data.as_deref(), events[0].id.as_deref()), (Some(&b"a"[..]), Some("1")));
        assert_eq!(events[0].clone().without_id().raw, ":\nevent: other\r\nretry: 5\n:\n:\n:\ndata: a\n\n");
        assert_eq!(events[1].raw, "event:ping\n\n");
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_does_not_matter(
            lines in prop::collection::vec("(data: [a-z:]{0,6}|id: 1|:c|)(\n|\r\n)", 0..12),
            at in any::<prop::sample::Index>(),
        ) {
            let text = lines.concat();
            let at = if text.is_empty() { 0 } else { at.index(text.len()) };
            let (one, two) = text.as_bytes().split_at(at);
            let whole = cut(&[text.as_bytes()]);
            let apart = cut(&[one, two]);
            let said = |events: &[Event]| -> Vec<(Vec<u8>, Option<String>)> {
                events.iter().filter_map(|event| Some((event.data.clone()?, event.id.clone()))).collect()
            };
            prop_assert_eq!(said(&apart), said(&whole));
            let raw = |events: &[Event]| events.iter().flat_map(|event| event.raw.to_vec()).collect::<Vec<u8>>();
            prop_assert!(readable(text.as_bytes()).starts_with(&raw(&whole)) && raw(&apart).starts_with(&raw(&whole)));
        }
    }
}
