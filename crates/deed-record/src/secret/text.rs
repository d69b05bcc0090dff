//! Secrets in a plain text: command lines, environments, headers, logs, code.

use super::{
    hint,
    name::{Class, class},
    shape::{self, Found, is_word, run},
    value::{fingerprint_length, is_guessable, is_secret},
};

/// Where in `text` secrets stand, in order, not overlapping.
pub(super) fn find(text: &str) -> Vec<Found> {
    if hint::may_hold_secret(text) { search(text) } else { Vec::new() }
}

/// As [`find`], without asking first whether there is any.
pub(super) fn search(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let curl = text.find("curl");
    let mut at = 0;
    while at < text.len() {
        if !text.is_char_boundary(at) {
            at += 1;
            continue;
        }
        let secret = shape::at(text, at)
            .or_else(|| assigned(text, at))
            .or_else(|| curl.filter(|curl| *curl < at).and_then(|_| curl_user(text, at)));
        match secret {
            Some(secret) => {
                at = secret.range.end;
                found.push(secret);
            }
            None => at += 1,
        }
    }
    found
}

/// So much of a value decides whether it is a secret: a text full of names must not cost its square.
const EXAMINED: usize = 512;

/// The secret of `NAME=value`, `"name": 'value'`, `--name value` or `<name>value</name>`, where a name
/// of a secret begins at byte `at`.
fn assigned(text: &str, at: usize) -> Option<Found> {
    let bytes = text.as_bytes();
    if !bytes[at].is_ascii_alphabetic() || !starts_name(bytes, at) {
        return None;
    }
    let name = &text[at..at + run(&text[at..], is_word)];
    let class = match class(name) {
        Some(class) => class,
        // A shared access signature of Azure.
        None if text[at..].starts_with("sig=") && at > 0 && matches!(bytes[at - 1], b'?' | b'&') => {
            Class::Token
        }
        None => return None,
    };
    let Assignment { start, end, colon } = assignment(text, at, name, class)?;
    let rest = &text[start..];
    let examined = end.find(&rest[..rest.floor_char_boundary(EXAMINED)]);
    let (start, value) = match class {
        Class::Header => without_scheme(start, examined),
        _ => (start, examined),
    };
    // The token behind `Bearer` is found on its own, and keeps its scheme.
    if fingerprint_length(value) > 0 || shape::is_scheme(examined) || !is_secret(value, class) {
        return None;
    }
    let quoted = matches!(end, End::Quote(_) | End::Tag);
    let believed = quoted
        || match class {
            Class::Short | Class::Code if colon => false,
            Class::Password if colon && is_prose(value, &text[start + value.len()..]) => false,
            Class::Header => true,
            _ => !is_code(value, name),
        };
    believed.then(|| {
        let stop = text.len() - rest.len() + end.find(rest).len();
        Found { range: start..stop, guessable: is_guessable(&text[start..stop], class) }
    })
}

/// A name begins here: at a word's start, or behind the dashes of a flag.
fn starts_name(bytes: &[u8], at: usize) -> bool {
    let dashes = bytes[..at].iter().rev().take_while(|b| **b == b'-').count();
    let before = at - dashes;
    before == 0 || !is_word(bytes[before - 1])
}

/// A name with something that gives it a value.
struct Assignment {
    /// Where the value starts.
    start: usize,
    end: End,
    /// Whether it may be prose: `name: value`.
    colon: bool,
}

fn assignment(text: &str, at: usize, name: &str, class: Class) -> Option<Assignment> {
    let bytes = text.as_bytes();
    let skip = |from: usize, members: &[u8]| from + run(&text[from..], |b| members.contains(&b));
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let closed = skip(at + name.len(), b"\"'\\]");
    let mark = skip(closed, b" ");
    let behind = match bytes.get(mark)? {
        b'>' if matches!(before, Some(b'<' | b':')) => {
            return Some(Assignment { start: mark + 1, end: End::Tag, colon: false });
        }
        b'=' => skip(mark, b"=>"),
        // Behind a colon it is a part of a longer name: `arn:aws:secretsmanager:…:secret:prod/db`.
        b':' if before != Some(b':') => skip(mark, b":="),
        // `- name: DB_PASSWORD` and on the next line `value: …`.
        b'\n' => {
            let value = skip(mark, b" \n");
            text[value..].starts_with("value:").then_some(value + 6)?
        }
        next if before == Some(b'-') && mark > closed && *next != b'-' => mark,
        _ => return None,
    };
    let opening = skip(behind, b" ");
    let start = skip(opening, b"\"'`\\");
    let end = match bytes[opening..start].last() {
        Some(b'\\') | None if class == Class::Header => End::Line,
        Some(b'\\') | None => End::Bare,
        Some(quote) => End::Quote(*quote),
    };
    Some(Assignment { start, end, colon: bytes[mark] == b':' })
}

/// What ends a value.
#[derive(Clone, Copy)]
enum End {
    Quote(u8),
    Line,
    Tag,
    Bare,
}

impl End {
    /// The value that `rest` begins with.
    fn find(self, rest: &str) -> &str {
        let until = |ends: &[u8]| &rest[..run(rest, |b| !ends.contains(&b))];
        match self {
            End::Quote(quote) => until(&[quote, b'\n']).trim_end_matches('\\'),
            End::Line => until(b"\"'\n\r").trim_end_matches(['\\', ' ']),
            End::Tag => until(b"<"),
            End::Bare => {
                let value = until(b" \t\n\r&;\"'`<>");
                // `user=ann,password=hunter2,host=db`: the next name ends it.
                let next = value.match_indices(',').map(|(at, _)| at).find(|comma| {
                    let name = run(&value[comma + 1..], is_word);
                    name > 0 && matches!(value.as_bytes().get(comma + 1 + name), Some(b'=' | b':'))
                });
                // Nor does what closes a call or a list around it belong to it.
                value[..next.unwrap_or(value.len())].trim_end_matches([',', ')', '}', ']', '\\'])
            }
        }
    }
}

/// The credentials of a header behind the name of their scheme, and where they start.
pub(super) fn without_scheme(start: usize, value: &str) -> (usize, &str) {
    let scheme = run(value, |b| b.is_ascii_alphabetic());
    let spaces = run(&value[scheme..], |b| b == b' ');
    let skipped = if scheme > 0 && spaces > 0 { scheme + spaces } else { 0 };
    (start + skipped, &value[skipped..])
}

/// `password: must be at least eight letters`, `password: string`.
fn is_prose(value: &str, after: &str) -> bool {
    const TYPES: &[&str] = &["str", "string", "text", "optional", "required", "bytes", "any"];
    let word = value.trim_end_matches(['.', '?', '!', ',', '…']);
    let goes_on =
        after.strip_prefix([' ', ',']).is_some_and(|rest| rest.trim_start().starts_with(char::is_alphabetic));
    word.chars().all(char::is_alphabetic) && (goes_on || TYPES.contains(&&*word.to_ascii_lowercase()))
}

/// A name or a call of a program that fetches the secret: `os.environ`, `get_password()`, `password`.
fn is_code(value: &str, name: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && part.bytes().all(is_word)
    };
    let dotted = value.contains('.')
        && value.split('.').all(is_name)
        && value.bytes().filter(u8::is_ascii_digit).count() < 3;
    value.contains(['(', '[']) || dotted || value.eq_ignore_ascii_case(name)
}

/// The password of `curl -u user:password`.
fn curl_user(text: &str, at: usize) -> Option<Found> {
    let rest = text[at..].strip_prefix(" -u ").or_else(|| text[at..].strip_prefix(" --user "))?;
    let rest = rest.trim_start_matches(['"', '\'', ' ']);
    let pair = &rest[..run(rest, |b| !matches!(b, b' ' | b'"' | b'\'' | b'\n'))];
    let (user, password) = pair.split_once(':')?;
    if fingerprint_length(password) > 0 || !is_secret(password, Class::Password) {
        return None;
    }
    let start = text.len() - rest.len() + user.len() + 1;
    Some(Found { range: start..start + password.len(), guessable: is_guessable(password, Class::Password) })
}
