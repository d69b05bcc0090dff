//! A Secret of Kubernetes in YAML: everything under its `data` and `stringData` is a secret.

use super::{
    name::Class,
    shape::{Found, is_word, run},
    value::{is_guessable, is_secret},
};

/// Whether what follows `kind:` says that it is a Secret.
pub(super) fn is_secret_kind(behind: &[u8]) -> bool {
    const KIND: &[u8] = b"secret";
    let quotes = behind.iter().take_while(|b| matches!(b, b' ' | b'"' | b'\'' | b'\\')).count();
    let name = &behind[quotes..];
    name.len() >= KIND.len()
        && name[..KIND.len()].eq_ignore_ascii_case(KIND)
        && !name.get(KIND.len()).is_some_and(|b| is_word(*b))
}

/// The values of the Secrets among the documents in `text`, in order.
pub(super) fn values(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let is_kind = |at: usize| is_secret_kind(&text.as_bytes()[at + 5..]);
    if !text.match_indices("kind:").any(|(at, _)| is_kind(at)) {
        return found;
    }
    let lines: Vec<Line<'_>> = lines(text);
    for document in lines.split(|line| line.text.starts_with("---")) {
        let is_secret = |line: &Line<'_>| {
            line.text.strip_prefix("kind:").is_some_and(|behind| is_secret_kind(behind.as_bytes()))
        };
        if document.iter().any(is_secret) {
            values_of(document, &mut found);
        }
    }
    found
}

/// A line of YAML without what is around it.
struct Line<'t> {
    /// Where its text starts.
    at: usize,
    /// How far it is indented, the dash of a list counted.
    indent: usize,
    text: &'t str,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut at = 0;
    let mut all = Vec::new();
    for line in text.split('\n') {
        let spaces = run(line, |b| b == b' ');
        let indent = if line[spaces..].starts_with("- ") { spaces + 2 } else { spaces };
        all.push(Line { at: at + indent, indent, text: line[indent..].trim_ascii_end() });
        at += line.len() + 1;
    }
    all
}

fn values_of(document: &[Line<'_>], found: &mut Vec<Found>) {
    // The indentation of `data:`, and of the name whose value goes over several lines.
    let (mut data, mut block): (Option<usize>, Option<usize>) = (None, None);
    for line in document.iter().filter(|line| !line.text.is_empty()) {
        if data.is_some_and(|indent| line.indent <= indent) {
            (data, block) = (None, None);
        }
        if data.is_none() {
            data = matches!(line.text, "data:" | "stringData:").then_some(line.indent);
            continue;
        }
        if block.is_some_and(|indent| line.indent > indent) {
            take(line.at, line.text, found);
            continue;
        }
        let Some((name, value)) = line.text.split_once(':').filter(|_| !line.text.starts_with('#')) else {
            continue;
        };
        let spaces = run(value, |b| b == b' ');
        let (at, value) = (line.at + name.len() + 1 + spaces, &value[spaces..]);
        block = (value.is_empty() || value.starts_with(['|', '>'])).then_some(line.indent);
        if block.is_none() {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            match quote.and_then(|quote| value[1..].rsplit_once(quote)) {
                Some((inner, _)) => take(at + 1, inner, found),
                None => take(at, value, found),
            }
        }
    }
}

fn take(at: usize, value: &str, found: &mut Vec<Found>) {
    if !value.is_empty() && is_secret(value, Class::Password) {
        let guessable = is_guessable(value, Class::Password);
        found.push(Found::at(at..at + value.len(), guessable));
    }
}
