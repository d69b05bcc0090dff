//! Passwords of accounts in SQL.

use super::{
    name::Class,
    shape::{Found, is_word, run},
    text::{End, before},
    value::secret,
};

/// The password whose statement begins at byte `at`.
pub(super) fn at(text: &str, at: usize) -> Option<Found> {
    match text.as_bytes()[at] {
        b'i' | b'I' => identified(text, at),
        b's' | b'S' => set_password(text, at),
        _ => None,
    }
}

/// Whether SQL about an account goes on at byte `at`: `ALTER USER ann WITH`, `CREATE ROLE app`.
pub(super) fn is_account(text: &str, at: usize) -> bool {
    let words =
        || before(text, at).split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let any = |known: &[&str]| words().any(|word| known.iter().any(|known| word.eq_ignore_ascii_case(known)));
    let nearest = words().next_back().unwrap_or_default();
    ["with", "encrypted"].iter().any(|word| nearest.eq_ignore_ascii_case(word))
        || any(&["grant"])
        || (any(&["create", "alter"]) && any(&["user", "role", "login", "group"]))
}

/// The password of `CREATE USER ann IDENTIFIED BY '…'`, at its keyword.
fn identified(text: &str, at: usize) -> Option<Found> {
    let mut words = Words::at(text, at, "identified")?;
    let keyword = &text[at..words.end];
    if !(keyword == "IDENTIFIED" || is_account(text, at)) {
        return None;
    }
    let mut word = words.next().1;
    if word == "with" {
        // What checks it: `mysql_native_password`.
        words.next();
        word = words.next().1;
    }
    if !matches!(&*word, "by" | "as") {
        return None;
    }
    let (mut start, word) = words.next();
    if matches!(&*word, "password" | "values") {
        start = words.next().0;
    }
    let is_quoted = matches!(text.as_bytes().get(start)?, b'\'' | b'"');
    if !is_quoted && word == "random" { None } else { value(text, start) }
}

/// The password of `SET PASSWORD FOR 'ann'@'%' = PASSWORD('…')`, at its keyword.
fn set_password(text: &str, at: usize) -> Option<Found> {
    /// So far behind the keyword it may stand: what is between names an account.
    const FURTHEST: usize = 200;
    let mut words = Words::at(text, at, "set")?;
    if words.next().1 != "password" {
        return None;
    }
    let (mut start, word) = words.next();
    if word == "for" {
        let behind = &text[words.end..text.floor_char_boundary((words.end + FURTHEST).min(text.len()))];
        let account = &behind[..run(behind, |b| !matches!(b, b'\n' | b';'))];
        start = words.end + account.find('=').or_else(|| account.to_ascii_lowercase().find(" to "))?;
    } else if !text[start..].starts_with('=') {
        return None;
    }
    words.end = start + usize::from(text[start..].starts_with('='));
    // `TO`, and a function that hashes it.
    for _ in 0..3 {
        let word = words.next();
        if word.1.is_empty() {
            let is_quoted = matches!(text.as_bytes().get(word.0)?, b'\'' | b'"');
            return if is_quoted { value(text, word.0) } else { None };
        }
        words.end += run(&text[words.end..], |b| b == b'(');
    }
    None
}

/// Where the text of a literal starts that begins at byte `at`, and what ends it: `'…'`, `E'…'`, `N'…'`.
pub(super) fn literal(text: &str, at: usize) -> Option<(usize, End)> {
    let prefix = text.as_bytes().get(at).filter(|b| matches!(b, b'E' | b'e' | b'N' | b'n'));
    let start = at + usize::from(prefix.is_some());
    let quote = *text.as_bytes().get(start).filter(|b| matches!(b, b'\'' | b'"'))?;
    let escapes = matches!(prefix, Some(b'E' | b'e'));
    Some((start + 1, if escapes { End::Escaped(quote) } else { End::Sql(quote) }))
}

/// The password that begins at `start`, in quotes or bare.
fn value(text: &str, start: usize) -> Option<Found> {
    let (start, end) = literal(text, start).unwrap_or((start, End::Bare));
    secret(start, end.find(&text[start..]), Class::Password)
}

/// The words of a statement.
struct Words<'t> {
    text: &'t str,
    /// Where the last one ends.
    end: usize,
}

impl<'t> Words<'t> {
    /// Those behind `keyword`, which has to begin at byte `at`.
    fn at(text: &'t str, at: usize, keyword: &str) -> Option<Self> {
        let starts_word = at == 0 || !is_word(text.as_bytes()[at - 1]);
        let is_keyword = text.get(at..at + keyword.len())?.eq_ignore_ascii_case(keyword);
        (starts_word && is_keyword).then_some(Words { text, end: at + keyword.len() })
    }

    /// Where the next one starts, and the word in lower case; it is empty where something else stands.
    fn next(&mut self) -> (usize, String) {
        let start = self.end + run(&self.text[self.end..], |b| b.is_ascii_whitespace());
        self.end = start + run(&self.text[start..], |b| b.is_ascii_alphanumeric() || b == b'_');
        (start, self.text[start..self.end].to_ascii_lowercase())
    }
}
