//! A Secret of Kubernetes in YAML, of which JSON is a part: everything under its `data` and `stringData` is a secret.

use super::{
    name::Class,
    shape::{Found, is_word, run},
    value::{is_guessable, is_secret},
};

/// Whether what follows `kind` says that it is a Secret.
fn says_secret(behind: &str) -> bool {
    behind_quotes(behind).strip_prefix(':').is_some_and(is_secret_kind)
}

/// Whether what follows `kind:` says so.
fn is_secret_kind(behind: &str) -> bool {
    let name = behind_quotes(behind);
    name[..run(name, is_word)].eq_ignore_ascii_case("secret")
}

/// What follows quotes and spaces.
fn behind_quotes(text: &str) -> &str {
    text.trim_start_matches([' ', '"', '\'', '\\'])
}

/// The values of the Secrets among the documents in `text`, in order.
pub(super) fn values(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    if !text.match_indices("kind").any(|(at, _)| says_secret(&text[at + 4..])) {
        return found;
    }
    let lines: Vec<Line<'_>> = lines(text);
    for document in lines.split(|line| line.text.starts_with("---")) {
        let is_secret = |entry: Entry<'_>| entry.name == "kind" && is_secret_kind(entry.value);
        if document.iter().any(|line| entries(line.text).any(is_secret)) {
            values_of(document, text, &mut found);
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

/// A name, with what stands behind its colon.
struct Entry<'t> {
    name: &'t str,
    value: &'t str,
}

impl<'t> Entry<'t> {
    /// The one that `text` begins with.
    fn at(text: &'t str) -> Option<Self> {
        let name = behind_quotes(text);
        let length = run(name, is_word);
        let value = behind_quotes(&name[length..]).strip_prefix(':')?.trim_start_matches(' ');
        Some(Entry { name: &name[..length], value })
    }

    /// Whether everything in it is a secret of the Secret around it.
    fn is_data(&self) -> bool {
        matches!(self.name, "data" | "stringData")
    }
}

/// What a line begins with, and what stands in flow style, `{name: value, …}`, in it.
fn entries(line: &str) -> impl Iterator<Item = Entry<'_>> {
    let inner = line.match_indices(['{', ',']).map(|(at, _)| at + 1);
    std::iter::once(0).chain(inner).filter_map(|at| Entry::at(&line[at..]))
}

fn values_of(document: &[Line<'_>], text: &str, found: &mut Vec<Found>) {
    let end = document.last().map_or(0, |last| last.at + last.text.len());
    // The indentation of `data:`, and of the name whose value goes over several lines.
    let (mut data, mut block): (Option<usize>, Option<usize>) = (None, None);
    // Where what was read in flow style ends.
    let mut read = 0;
    for line in document.iter().filter(|line| !line.text.is_empty()) {
        if line.at < read {
            continue;
        }
        if data.is_some_and(|indent| line.indent <= indent) {
            (data, block) = (None, None);
        }
        if data.is_none() {
            for entry in entries(line.text).filter(Entry::is_data) {
                let at = line.at + line.text.len() - entry.value.len();
                // Two braces are a template's.
                if entry.value.starts_with('{') && !entry.value.starts_with("{{") && at >= read {
                    read = at + flow(&text[at..end], at, found);
                } else if entry.value.is_empty() || entry.value.starts_with('#') {
                    data = Some(line.indent);
                }
            }
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

/// Takes the values of the mapping in flow style that `text` begins with, which stands at byte `at`; how long it is.
fn flow(text: &str, at: usize, found: &mut Vec<Found>) -> usize {
    let (mut depth, mut end) = (0_usize, 0);
    while let Some(byte) = text.as_bytes().get(end) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => {}
            b'#' => end += run(&text[end + 1..], |b| b != b'\n'),
            _ => {
                let scalar = Scalar::of(&text[end..]);
                if !is_name(&text[end + scalar.whole..]) {
                    take(at + end + scalar.before, scalar.inner, found);
                }
                end += scalar.whole;
                continue;
            }
        }
        end += 1;
        if depth == 0 {
            break;
        }
    }
    end
}

/// Whether a value stands behind what ends before `rest`.
fn is_name(rest: &str) -> bool {
    rest.trim_ascii_start().starts_with(':')
}

/// A name or a value in flow style.
struct Scalar<'t> {
    /// How long its opening quote is, behind backslashes in a text within a text.
    before: usize,
    inner: &'t str,
    /// How long it is, with its quotes.
    whole: usize,
}

impl<'t> Scalar<'t> {
    fn of(text: &'t str) -> Self {
        /// Of a text in a text in a text.
        const MOST_ESCAPES: usize = 7;
        let escapes = run(text, |b| b == b'\\');
        match text.as_bytes().get(escapes) {
            Some(b'"' | b'\'') if escapes <= MOST_ESCAPES => Scalar::quoted(text, escapes),
            _ => Scalar::plain(text),
        }
    }

    /// To the quote that `text` begins with behind its `escapes`; to the end of the line, where none closes it.
    fn quoted(text: &'t str, escapes: usize) -> Self {
        let before = escapes + 1;
        let (quote, rest) = (&text[escapes..before], &text[before..]);
        let closes = |at: &usize| {
            let backslashes = rest[..*at].bytes().rev().take_while(|b| *b == b'\\').count();
            if escapes == 0 { quote == "'" || backslashes % 2 == 0 } else { backslashes == escapes }
        };
        match rest.match_indices(quote).map(|(at, _)| at).find(closes) {
            Some(at) => Scalar { before, inner: &rest[..at - escapes], whole: before + at + 1 },
            None => {
                let inner = &rest[..run(rest, |b| b != b'\n')];
                Scalar { before, inner, whole: before + inner.len() }
            }
        }
    }

    /// To what separates names and values; a colon does so before a space.
    fn plain(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let ends = |at: &usize| match bytes[*at] {
            b',' | b'{' | b'}' | b'[' | b']' | b'\n' => true,
            b':' => matches!(bytes.get(at + 1), None | Some(b' ' | b'\n' | b'"' | b'\'' | b'{' | b'[')),
            _ => false,
        };
        let whole = (0..bytes.len()).find(ends).unwrap_or(bytes.len());
        Scalar { before: 0, inner: text[..whole].trim_ascii_end(), whole }
    }
}

fn take(at: usize, value: &str, found: &mut Vec<Found>) {
    if !value.is_empty() && is_secret(value, Class::Password) {
        let guessable = is_guessable(value, Class::Password);
        found.push(Found::at(at..at + value.len(), guessable));
    }
}
