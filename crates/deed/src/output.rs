//! Writing to people and to programs.

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

use deed_review::render::Style;
use serde::Serialize;

use crate::exit::{Code, Failure, Outcome};

/// Where answers go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// For programs: JSON instead of text.
    pub(crate) json: bool,
    colour: bool,
    /// Columns of the screen.
    pub(crate) width: usize,
}

impl Output {
    /// Colour only on a terminal that shows it, and never against `NO_COLOR` (no-color.org).
    pub(crate) fn new(json: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Output { json, colour: !refused && io::stdout().is_terminal(), width: columns() }
    }

    /// How `deed_review::render` is to write.
    pub(crate) fn style(self) -> Style<'static> {
        Style { colour: self.colour, width: self.width, ..Style::default() }
    }

    /// `text` in bold, where there is colour.
    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(text, "1")
    }

    /// `text` in the colour of what is right.
    pub(crate) fn good(self, text: &str) -> String {
        self.paint(text, "32")
    }

    /// `text` in the colour of what is wrong.
    pub(crate) fn bad(self, text: &str) -> String {
        self.paint(text, "31")
    }

    /// `text` in the colour of what is not known.
    pub(crate) fn doubtful(self, text: &str) -> String {
        self.paint(text, "33")
    }

    fn paint(self, text: &str, code: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Prints `text` as it is.
    ///
    /// # Errors
    /// Standard output cannot be written. That nobody reads on is none.
    pub(crate) fn print(self, text: &str) -> Outcome {
        self.bytes(text.as_bytes())
    }

    /// Prints `bytes` as they are.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub(crate) fn bytes(self, bytes: &[u8]) -> Outcome {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => Ok(()),
            // Whoever reads has had enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::new("failed to write to standard output").detail(error.to_string())),
        }
    }

    /// Prints one JSON document, indented for people who look at it all the same.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub(crate) fn document(self, value: &impl Serialize) -> Outcome {
        let mut text =
            serde_json::to_string_pretty(value).map_err(|error| Failure::new(error.to_string()))?;
        text.push('\n');
        self.print(&text)
    }

    /// Prints one JSON document on a line of its own.
    ///
    /// # Errors
    /// As [`Output::print`].
    pub(crate) fn line(self, value: &impl Serialize) -> Outcome {
        let mut text = serde_json::to_string(value).map_err(|error| Failure::new(error.to_string()))?;
        text.push('\n');
        self.print(&text)
    }
}

/// Columns of the screen: what `$COLUMNS` says, else the terminal, else as many as a screen is taken to have.
fn columns() -> usize {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse::<usize>().ok());
    let shown = || {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col))
    };
    said.filter(|columns| *columns > 0)
        .or_else(|| shown().filter(|columns| *columns > 0))
        .unwrap_or(deed_review::render::WIDTH)
        .clamp(40, 400)
}

/// Tells the user something beside the answer, on standard error.
pub(crate) fn note(text: &str) {
    // That nobody listens on standard error is no reason to stop.
    drop(writeln!(io::stderr(), "{text}"));
}

/// Says on standard error why it failed.
pub(crate) fn report(failure: &Failure) {
    if !failure.is_silent() {
        note(&format!("error: {failure}"));
    }
}

/// `text` with everything escaped that a terminal would act upon instead of showing it.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let active = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
    };
    if !text.chars().any(active) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 8), |mut out, c| {
        if active(c) {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
        out
    }))
}

/// `number` with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// A word of a command line, quoted for a POSIX shell where it must be.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    if matches!(clean(word), Cow::Owned(_)) {
        // What a terminal would act upon is written as its bytes.
        let byte = |byte: u8| match byte {
            b'\'' | b'\\' => format!("\\{}", char::from(byte)),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("\\x{byte:02x}"),
        };
        return format!("$'{}'", word.bytes().map(byte).collect::<String>());
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// `text` in lines of at most `most` characters, broken at spaces.
pub(crate) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + word.chars().count() <= most => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A line of at most `most` columns, colours not counted; what does not fit goes on below, indented.
pub(crate) fn fold(line: &str, most: usize) -> String {
    const INDENT: usize = 5;
    let mut out = String::with_capacity(line.len() + 8);
    let mut at = 0;
    for (number, word) in line.split(' ').enumerate() {
        let columns = shown_columns(word);
        if number > 0 && at > INDENT && at + 1 + columns > most {
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', INDENT));
            at = INDENT;
        } else if number > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += columns;
    }
    out
}

/// Characters of `text` that are seen: all but ANSI colours.
fn shown_columns(text: &str) -> usize {
    let mut hidden = false;
    let seen = text.chars().filter(|c| {
        hidden |= *c == '\u{1b}';
        let seen = !hidden;
        hidden &= *c != 'm';
        seen
    });
    seen.count()
}

/// `bytes` as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ends with `code` after the answer was printed.
pub(crate) fn ended(code: Option<Code>) -> Outcome {
    code.map_or(Ok(()), |code| Err(Failure::silent(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_reaches_a_terminal() {
        assert_eq!(clean("a\u{1b}[31mb\r\n"), "a\\u{1b}[31mb\\r\\n");
        assert_eq!(clean("x\u{202e}y"), "x\\u{202e}y");
        assert!(matches!(clean("naïve 東京"), Cow::Borrowed(_)));
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("a much-too-long-word b", 5), ["a", "much-too-long-word", "b"]);
    }

    #[test]
    fn lines_are_folded_and_colours_take_no_room() {
        assert_eq!(fold("   one   two three", 18), "   one   two three");
        assert_eq!(fold("   one   two three", 14), "   one   two\n     three");
        assert_eq!(fold("   one \u{1b}[31mtwo\u{1b}[0m", 10), "   one \u{1b}[31mtwo\u{1b}[0m");
    }

    #[test]
    fn shell_words_stay_one_word_and_harmless() {
        assert_eq!(shell_word("hint/s"), "hint/s");
        assert_eq!(shell_word("my store"), "'my store'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        assert_eq!(shell_word("a\u{1b}'b"), "$'a\\x1b\\'b'");
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 70_112, 1_234_567].map(grouped),
            ["0", "999", "1,000", "70,112", "1,234,567"]
        );
    }
}
