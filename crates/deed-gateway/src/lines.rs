//! Lines of a stream, none longer than a limit: one JSON-RPC message each (MCP, stdio transport).

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// A line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Its bytes, without what ends it.
    Whole(Vec<u8>),
    /// It was longer than the limit, and is passed over.
    TooLong {
        /// How long it was, in bytes.
        bytes: u64,
        /// How it began, and how it ended.
        edges: [Vec<u8>; 2],
    },
}

/// How much is kept of either end of a line that is too long, in bytes.
const EDGE: usize = 256;

/// The lines of a stream.
pub(crate) struct Lines<S> {
    stream: S,
    /// The longest line that is kept whole, in bytes.
    limit: usize,
    begun: Begun,
}

/// A line that is not at its end.
#[derive(Default)]
struct Begun {
    kept: Vec<u8>,
    /// In bytes.
    length: u64,
    /// Of one that is too long, its last bytes.
    end: Vec<u8>,
}

impl<S: AsyncBufRead + Unpin> Lines<S> {
    pub(crate) fn new(stream: S, limit: usize) -> Self {
        Lines { stream, limit, begun: Begun::default() }
    }

    /// The next line that is not empty; `None` at the end. A last line that nothing ends is one too. Whoever stops waiting
    /// loses nothing: what was read of a line is kept for the next to ask.
    ///
    /// # Errors
    /// The stream broke.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let bytes = self.stream.fill_buf().await?;
            let at_end = bytes.is_empty();
            let end = memchr::memchr(b'\n', bytes);
            let piece = &bytes[..end.unwrap_or(bytes.len())];
            self.begun.add(piece, self.limit);
            let taken = piece.len() + usize::from(end.is_some());
            self.stream.consume(taken);
            if end.is_none() && !at_end {
                continue;
            }
            let Begun { kept, length, end } = std::mem::take(&mut self.begun);
            if length > self.limit as u64 {
                return Ok(Some(Line::TooLong { bytes: length, edges: [kept, end] }));
            }
            if !kept.trim_ascii().is_empty() {
                return Ok(Some(Line::Whole(kept.trim_ascii().to_vec())));
            }
            if at_end {
                return Ok(None);
            }
        }
    }
}

impl Begun {
    fn add(&mut self, piece: &[u8], limit: usize) {
        self.length += piece.len() as u64;
        if self.length <= limit as u64 {
            self.kept.extend_from_slice(piece);
            return;
        }
        self.kept.truncate(EDGE);
        self.end.extend_from_slice(&piece[piece.len().saturating_sub(EDGE)..]);
        self.end.drain(..self.end.len().saturating_sub(EDGE));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn lines_are_bounded() {
        let stream = tokio::io::BufReader::with_capacity(4, &b"one\r\n\n  \nlonger than that\ntwo"[..]);
        let mut lines = Lines::new(stream, 5);
        let mut found = Vec::new();
        while let Some(line) = lines.next().await.expect("a stream") {
            found.push(line);
        }
        let [Line::Whole(one), Line::TooLong { bytes: 16, edges: [head, tail] }, Line::Whole(two)] =
            &found[..]
        else {
            panic!("{found:?}");
        };
        assert_eq!((&one[..], &two[..]), (&b"one"[..], &b"two"[..]));
        let long = b"longer than that";
        assert!(long.starts_with(head) && long.ends_with(tail) && head.len() + tail.len() == long.len());
    }

    #[tokio::test]
    async fn whoever_stops_waiting_loses_nothing_of_a_line() {
        let (mut far, near) = tokio::io::duplex(64);
        let mut lines = Lines::new(tokio::io::BufReader::new(near), 64);
        for piece in ["a li", "ne in ", "pieces\n"] {
            assert!(lines.next().now_or_never().is_none());
            far.write_all(piece.as_bytes()).await.expect("room");
        }
        assert_eq!(lines.next().await.expect("a stream"), Some(Line::Whole(b"a line in pieces".to_vec())));
    }
}
