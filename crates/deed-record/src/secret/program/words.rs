//! The words of command lines in any text: a shell's, quoted and nested, in lists of code, and YAML.

use std::ops::Range;

/// Texts in texts are looked through so deep.
const DEEPEST: usize = 4;

/// Programs that write what they are told in their command line.
const ECHOES: &[&str] = &["echo", "printf"];

/// Programs that write what they read, at most in another form.
const FILTERS: &[&str] = &["base64", "fold", "head", "rev", "tail", "tee", "tr", "xxd"];

/// What a shell would run, or a text that only looks so.
pub(super) struct Command<'t> {
    pub(super) words: Vec<Word<'t>>,
    /// What `echo` writes to it, also through others, or a string is piped into it.
    pub(super) piped: Option<Word<'t>>,
}

/// A word, without the quotes around all of it.
#[derive(Clone, Copy)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    /// Where it begins.
    at: usize,
    quoted: bool,
}

impl<'t> Word<'t> {
    /// What `range` of it stands for, and where: without quotes of its own.
    pub(super) fn value(&self, range: Range<usize>) -> (usize, &'t str) {
        let value = &self.text[range.clone()];
        let inner = quoted(value).filter(|(_, end)| *end == value.len()).map(|(inner, _)| inner);
        match inner {
            Some(inner) => (self.at + range.start + inner.start, &value[inner]),
            None => (self.at + range.start, value),
        }
    }
}

/// The commands in `text`.
pub(super) fn commands(text: &str) -> Vec<Command<'_>> {
    let mut reader = Reader { commands: Vec::new(), words: Vec::new(), piped: None };
    reader.read(text, 0, DEEPEST);
    reader.commands
}

struct Reader<'t> {
    commands: Vec<Command<'t>>,
    /// Of the command that is being read.
    words: Vec<Word<'t>>,
    piped: Option<Word<'t>>,
}

impl<'t> Reader<'t> {
    /// Reads `text`, which begins at byte `from` of all.
    fn read(&mut self, text: &'t str, from: usize, deep: usize) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'\n' => {
                    if !is_item(&text[at + 1..]) {
                        self.end(false);
                    }
                    at += 1;
                }
                b'\\' if goes_on(&text[at + 1..]) => at += if bytes[at + 1] == b'\n' { 2 } else { 3 },
                b'|' => {
                    self.end(bytes.get(at + 1) != Some(&b'|'));
                    at += 1 + usize::from(bytes.get(at + 1) == Some(&b'|'));
                }
                b if is_end(*b) => {
                    self.end(false);
                    at += 1;
                }
                b if is_between(*b) => at += 1,
                _ => {
                    let end = at + word(&text[at..]);
                    self.word(&text[at..end], from + at, deep);
                    at = end;
                }
            }
        }
        self.end(false);
    }

    fn word(&mut self, raw: &'t str, at: usize, deep: usize) {
        let whole = quoted(raw).filter(|(_, end)| *end == raw.len()).map(|(inner, _)| inner);
        let (text, start) = match whole.clone() {
            Some(inner) => (&raw[inner.clone()], at + inner.start),
            None => (raw, at),
        };
        self.nested(raw, at, deep);
        if text != "-" {
            self.words.push(Word { text, at: start, quoted: whole.is_some() });
        }
    }

    /// Reads what is quoted in the word `raw` and may be a command itself: `bash -c "mysql -pX"`.
    fn nested(&mut self, raw: &'t str, from: usize, deep: usize) {
        let mut at = 0;
        while deep > 0 && at < raw.len() {
            let Some((inner, length)) = quoted(&raw[at..]) else {
                at += first_length(&raw[at..]);
                continue;
            };
            let inner = at + inner.start..at + inner.end;
            if raw[inner.clone()].contains(|c: char| c.is_ascii_whitespace()) {
                let mut inside = Reader { commands: Vec::new(), words: Vec::new(), piped: None };
                inside.read(&raw[inner.clone()], from + inner.start, deep - 1);
                self.commands.append(&mut inside.commands);
            }
            at += length;
        }
    }

    /// Here a command ends, and the next one reads what it writes where it is `piped`.
    fn end(&mut self, piped: bool) {
        let words = std::mem::take(&mut self.words);
        let written = match &words[..] {
            [only] if only.quoted => Some(*only),
            [before @ .., last] if before.iter().any(|word| is_one_of(ECHOES, word)) => Some(*last),
            [filter, ..] if is_one_of(FILTERS, filter) => self.piped,
            _ => None,
        };
        let reads = std::mem::replace(&mut self.piped, written.filter(|_| piped)).or_else(|| here(&words));
        if !words.is_empty() {
            self.commands.push(Command { words, piped: reads });
        }
    }
}

/// Whether `word` calls one of `programs`.
fn is_one_of(programs: &[&str], word: &Word<'_>) -> bool {
    programs.contains(&super::name(word.text))
}

/// The string that a command with `words` is given to read: `<<< X`.
fn here<'t>(words: &[Word<'t>]) -> Option<Word<'t>> {
    const SIGN: &str = "<<<";
    let (nth, pasted) =
        words.iter().enumerate().find_map(|(nth, word)| Some((nth, word.text.strip_prefix(SIGN)?)))?;
    match pasted {
        "" => words.get(nth + 1).copied(),
        text => Some(Word { text, at: words[nth].at + SIGN.len(), quoted: false }),
    }
}

/// Whether the line that `text` begins with is an item of a list in YAML, and a single word.
fn is_item(text: &str) -> bool {
    let item = text.trim_start_matches(' ').strip_prefix("- ");
    item.and_then(|item| item.lines().next()).is_some_and(|item| {
        let item = item.trim();
        quoted(item).map_or(!item.contains(' '), |(_, length)| length == item.len())
    })
}

/// How long the first character of `text` is.
fn first_length(text: &str) -> usize {
    text.chars().next().map_or(1, char::len_utf8)
}

/// A line goes on behind a backslash.
fn goes_on(rest: &str) -> bool {
    rest.starts_with('\n') || rest.starts_with("\r\n")
}

/// A command ends here.
fn is_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b';' | b'|' | b'&' | b'(' | b')' | b'`')
}

/// What is between words, in lists too.
fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b'[' | b']' | b'{' | b'}')
}

/// How long the word is that `text` begins with.
fn word(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if let Some((_, length)) = quoted(&text[at..]) {
            at += length;
            // The item of a list ends with its quote.
            if matches!(bytes.get(at), Some(b',' | b']' | b'}')) {
                return at;
            }
            continue;
        }
        match byte {
            b'\\' if goes_on(&text[at + 1..]) => return at,
            b'\\' => at = (at + 1 + first_length(&text[at + 1..])).min(text.len()),
            b if b.is_ascii_whitespace() || is_end(*b) => return at,
            _ => at += first_length(&text[at..]),
        }
    }
    text.len()
}

/// What is in the quotes that `text` begins with, escaped or not, and how long all of it is. They close in the same line.
pub(super) fn quoted(text: &str) -> Option<(Range<usize>, usize)> {
    /// Nobody escapes an escape of an escape further.
    const MOST_ESCAPES: usize = 7;
    let slashes = |text: &[u8]| text.iter().take_while(|b| **b == b'\\').count();
    let bytes = text.as_bytes();
    let escapes = bytes.iter().take(MOST_ESCAPES + 1).take_while(|b| **b == b'\\').count();
    let quote = *bytes.get(escapes).filter(|b| matches!(b, b'"' | b'\''))?;
    let start = escapes + 1;
    let mut at = start;
    while let Some(byte) = bytes.get(at).filter(|b| **b != b'\n') {
        let escaped = slashes(&bytes[at..]);
        let end = at + escaped;
        if bytes.get(end) == Some(&quote) {
            match escaped {
                _ if escaped == escapes => return Some((start..at, end + 1)),
                // A shell knows no escapes there.
                _ if escapes == 0 && quote == b'\'' => return Some((start..end, end + 1)),
                // The end of what is around it.
                0 => return None,
                _ => {}
            }
        }
        at = if *byte == b'\\' { end + 1 } else { at + 1 };
    }
    None
}
