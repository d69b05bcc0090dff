//! How deep a policy may go.
//!
//! Cedar reads, checks and drops what is nested by calling itself, with large frames, and has no limit of its own:
//! some hundred brackets end the process. So depth is bounded before anything is read, and reading has a stack that
//! suffices for it.

use std::thread;

use crate::problem::{Place, Problem};

/// Most brackets around anything.
const MOST_BRACKETS: usize = 32;

/// Most operators in one policy: a chain of them is nested as deep as it is long, also when it is evaluated.
const MOST_OPERATORS: usize = 400;

/// Virtual memory; what is not used is never there.
const STACK: usize = 256 << 20;

/// What is nested too deeply in a file of policies.
pub(crate) fn of_policies(place: Place<'_>) -> Option<Problem> {
    check(place, b"([{", b")]}", MOST_OPERATORS)
}

/// What is nested too deeply in a schema.
pub(crate) fn of_schema(place: Place<'_>) -> Option<Problem> {
    check(place, b"([{<", b")]}>", usize::MAX)
}

/// Runs what reads policies on a stack of its own.
pub(crate) fn on_large_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let builder = thread::Builder::new().name("policies".to_owned()).stack_size(STACK);
        let running =
            builder.spawn_scoped(scope, run).map_err(|error| format!("no thread can be started: {error}"))?;
        running.join().map_err(|_| "reading the policies panicked".to_owned())
    })
}

fn check(place: Place<'_>, open: &[u8], close: &[u8], most_operators: usize) -> Option<Problem> {
    let bytes = place.text.as_bytes();
    let (mut depth, mut operators, mut at) = (0usize, 0usize, 0usize);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_text(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len() - at);
            }
            b';' => operators = 0,
            _ if open.contains(&byte) => {
                depth += 1;
                operators += 1;
            }
            _ if close.contains(&byte) => depth = depth.saturating_sub(1),
            b'.' | b'&' | b'|' | b'+' | b'-' | b'*' | b'!' | b'<' | b'>' | b'=' => {
                operators += 1;
                at += usize::from(matches!(bytes.get(at + 1), Some(b'&' | b'|' | b'=')));
            }
            b' ' | b'\t' | b'\n' | b'\r' if is_word_operator(&bytes[at + 1..]) => operators += 1,
            _ => {}
        }
        if depth > MOST_BRACKETS {
            let message = format!("more than {MOST_BRACKETS} brackets within each other");
            return Some(place.problem(at, None, message).with_help("write it flat"));
        }
        if operators > most_operators {
            let message = format!("more than {MOST_OPERATORS} operators in one policy");
            return Some(place.problem(at, None, message).with_help("make several policies of it"));
        }
        at += 1;
    }
    None
}

/// Whether a text starts with an operator that is a word.
fn is_word_operator(bytes: &[u8]) -> bool {
    [&b"if"[..], b"has", b"like", b"in", b"is"].into_iter().any(|word| {
        let after = bytes.strip_prefix(word).and_then(|rest| rest.first());
        after.is_some_and(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
    })
}

/// The byte of the quotation mark that closes a text, or the last there is.
fn end_of_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}
