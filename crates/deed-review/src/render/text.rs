//! Making foreign text safe to print, and measuring it.

use std::borrow::Cow;

/// `text` with everything escaped that a terminal would act upon instead of showing: control
/// characters, marks that reorder or hide what stands around them, and line separators.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_active) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_active(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A name, clean, with what nobody sees in it escaped too: blanks at its ends, blanks that are no plain ones, and what shows
/// nothing. Two names that differ read differently.
pub(crate) fn name(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        c != ' ' && c.is_whitespace() && !is_active(c)
            || matches!(c, '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0080}'..='\u{e0fff}')
    };
    if !text.starts_with(' ') && !text.ends_with(' ') && !text.chars().any(is_hidden) {
        return clean(text);
    }
    let (from, to) = (text.len() - text.trim_start_matches(' ').len(), text.trim_end_matches(' ').len());
    let mut out = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        match c {
            ' ' if at < from || at >= to => out.extend(c.escape_unicode()),
            c if is_hidden(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(clean(&out).into_owned())
}

fn is_active(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns that clean text takes, near enough: wide scripts take two, combining marks none.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

const fn columns(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{fe20}'..='\u{fe2f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{303e}'
        | '\u{3041}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// Clean text cut in its middle to at most `most` columns; its end tells more than its middle.
pub(crate) fn fit(text: &str, most: usize) -> Cow<'_, str> {
    if width(text) <= most {
        return Cow::Borrowed(text);
    }
    let head = beginning(text, most.saturating_sub(1) / 3);
    let room = most.saturating_sub(1 + width(head));
    let mut tail = text.len();
    let mut taken = 0;
    for (at, c) in text.char_indices().rev() {
        taken += columns(c);
        if taken > room {
            break;
        }
        tail = at;
    }
    Cow::Owned(format!("{head}…{}", &text[tail..]))
}

/// The longest beginning of `text` of at most `most` columns.
fn beginning(text: &str, most: usize) -> &str {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += columns(c);
        if taken > most {
            return &text[..at];
        }
    }
    text
}

/// Clean text in lines of at most `most` columns, broken at spaces; a longer word is broken where it must.
pub(crate) fn wrap(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for mut word in text.split(' ').filter(|word| !word.is_empty()) {
        if !line.is_empty() && width(&line) + 1 + width(word) > most {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        while width(word) > most {
            let head = beginning(word, most.max(2));
            lines.push(head.to_owned());
            word = &word[head.len()..];
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// A word of a command line, quoted for a POSIX shell where it must be; `None` where it cannot be shown,
/// or nobody would want it to be.
pub(crate) fn shell_word(word: &str) -> Option<String> {
    const LONGEST: usize = 200;
    if word.is_empty() || word.len() > LONGEST || clean(word) != word {
        return None;
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if word.chars().all(plain) && !word.starts_with('-') {
        return Some(word.to_owned());
    }
    Some(format!("'{}'", word.replace('\'', "'\\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_active_is_left() {
        assert_eq!(clean("a\u{1b}[31mred\u{7}\u{9b}2J\r\nb"), "a\\u{1b}[31mred\\u{7}\\u{9b}2J\\u{d}\\nb");
        assert_eq!(clean("user\u{202e}txt.exe"), "user\\u{202e}txt.exe");
        assert!(matches!(clean("naïve 東京"), Cow::Borrowed(_)));
    }

    #[test]
    fn names_that_differ_read_differently() {
        for (text, shown) in [
            ("files/delete ", "files/delete\\u{20}"),
            ("  delete", "\\u{20}\\u{20}delete"),
            ("de\u{a0}lete", "de\\u{a0}lete"),
            ("delete\u{3164}", "delete\\u{3164}"),
            ("delete\u{200b}\n", "delete\\u{200b}\\n"),
            (" ", "\\u{20}"),
            ("two words", "two words"),
        ] {
            assert_eq!(name(text), shown, "{text:?}");
        }
    }

    #[test]
    fn fitting_keeps_the_end() {
        assert_eq!(fit("short", 18), "short");
        assert_eq!(fit("arn:aws:iam::111122223333:role/release", 18), "arn:a…role/release");
        assert_eq!(width(&fit("東京東京東京東京東京", 9)), 9);
    }

    #[test]
    fn wrapping_loses_nothing() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn shell_words_are_one_word() {
        assert_eq!(shell_word("AKIA01").as_deref(), Some("AKIA01"));
        assert_eq!(shell_word("a b'c; rm").as_deref(), Some("'a b'\\''c; rm'"));
        assert_eq!(shell_word("--until").as_deref(), Some("'--until'"));
        assert_eq!(shell_word("a\u{1b}b"), None);
    }
}
