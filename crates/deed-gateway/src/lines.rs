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

/// The next line that is not empty; `None` at the end. A last line that nothing ends is one too.
///
/// # Errors
/// The stream broke.
pub(crate) async fn next(stream: &mut (impl AsyncBufRead + Unpin), limit: usize) -> io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut length: u64 = 0;
    let mut end_of_it = Vec::new();
    loop {
        let bytes = stream.fill_buf().await?;
        let at_end = bytes.is_empty();
        let end = memchr::memchr(b'\n', bytes);
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        length += piece.len() as u64;
        if length <= limit as u64 {
            line.extend_from_slice(piece);
        } else {
            line.truncate(EDGE);
            end_of_it.extend_from_slice(&piece[piece.len().saturating_sub(EDGE)..]);
            end_of_it.drain(..end_of_it.len().saturating_sub(EDGE));
        }
        let taken = piece.len() + usize::from(end.is_some());
        stream.consume(taken);
        if end.is_none() && !at_end {
            continue;
        }
        if length > limit as u64 {
            return Ok(Some(Line::TooLong { bytes: length, edges: [line, end_of_it] }));
        }
        if !line.trim_ascii().is_empty() {
            return Ok(Some(Line::Whole(line.trim_ascii().to_vec())));
        }
        if at_end {
            return Ok(None);
        }
        line.clear();
        length = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_bounded() {
        let mut stream = tokio::io::BufReader::with_capacity(4, &b"one\r\n\n  \nlonger than that\ntwo"[..]);
        let mut found = Vec::new();
        while let Some(line) = next(&mut stream, 5).await.expect("a stream") {
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
}
