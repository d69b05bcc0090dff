//! Whether a value is a secret, and whether somebody could find it by trying.

use std::borrow::Cow;

use super::{
    name::Class,
    shape::{self, Found},
};

/// Whether `value`, under a name of `class`, is a secret.
pub(super) fn is_secret(value: &str, class: Class) -> bool {
    if is_fingerprint(value) || is_mask(value) || is_reference(value) {
        return false;
    }
    match class {
        Class::Password => true,
        Class::Short => !is_path(value),
        Class::Code => {
            let member = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
            value.len() <= 12 && digits(value) >= 3 && value.bytes().all(member)
        }
        Class::Token => looks_made(value) || is_basic(value),
        Class::Header => value.len() >= 8 && (digits(value) > 0 || value.contains('=')),
        // The word `MOV` is a mnemonic too.
        Class::Phrase => value.split_whitespace().count() >= 3,
        Class::AppRole => is_uuid(value),
    }
}

/// Whether somebody could find `value` by trying, where it stands under a name of `class`.
///
/// A password is always taken for one that a person chose, unless a vendor's mark says otherwise; so
/// the same token gets the same fingerprint wherever it stands.
pub(super) fn is_guessable(value: &str, class: Class) -> bool {
    !(shape::is_token(value) || (class == Class::Token && is_unguessable(value)))
}

/// Whether nobody could find `value` by trying, so that its bare SHA-256 gives nothing away.
///
/// Only what machines write is believed, and base64 of a text is as good as that text.
pub(super) fn is_unguessable(value: &str) -> bool {
    looks_random(value)
        && text_of(value).is_none_or(|text| {
            let mut words = text.split(|c: char| !u8::try_from(c).is_ok_and(shape::is_base64));
            words.any(|word| shape::is_token(word) || is_unguessable(word))
        })
}

/// Whether `value` is long, of one alphabet, its sorts of characters well mixed.
pub(super) fn looks_random(value: &str) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() < 32 || !bytes.iter().all(|b| shape::is_base64(*b)) {
        return false;
    }
    let mut seen = [false; 128];
    bytes.iter().for_each(|b| seen[usize::from(b & 127)] = true);
    let distinct = seen.iter().filter(|s| **s).count();
    let sort = |b: u8| (b.is_ascii_digit(), b.is_ascii_uppercase(), b.is_ascii_lowercase());
    let changes = bytes.windows(2).filter(|pair| sort(pair[0]) != sort(pair[1])).count();
    let letters = |is: fn(&u8) -> bool| bytes.iter().any(is);
    let mixed = letters(u8::is_ascii_lowercase) && letters(u8::is_ascii_uppercase);
    let hex = bytes.iter().all(u8::is_ascii_hexdigit) && !mixed;
    let enough = if hex { distinct >= 8 } else { mixed && distinct >= 18 };
    enough && digits(value) > 0 && changes * 3 >= bytes.len()
}

/// A fingerprint that stands in a secret's place already.
pub(super) fn is_fingerprint(value: &str) -> bool {
    value.len() == fingerprint_length(value)
}

/// How many bytes of `text` from its start are a fingerprint.
pub(super) fn fingerprint_length(text: &str) -> usize {
    const DIGITS: usize = 64;
    for prefix in ["sha256:", "hmac-sha256:"] {
        if let Some(digits) = text.strip_prefix(prefix)
            && shape::run(digits, |b| b.is_ascii_hexdigit()) >= DIGITS
        {
            return prefix.len() + DIGITS;
        }
    }
    0
}

/// `value` as it would be without the secrets that were taken out of it: what is left is judged.
pub(super) fn without_fingerprints(value: &str) -> Cow<'_, str> {
    if !value.contains("sha256:") {
        return Cow::Borrowed(value);
    }
    let mut left = String::new();
    let mut at = 0;
    while let Some(next) = value[at..].chars().next() {
        match fingerprint_length(&value[at..]) {
            0 => {
                left.push(next);
                at += next.len_utf8();
            }
            length => at += length,
        }
    }
    Cow::Owned(left)
}

/// Nothing, or what systems write where a secret was.
fn is_mask(value: &str) -> bool {
    const WORDS: &[&str] = &[
        "null",
        "none",
        "true",
        "false",
        "undefined",
        "redacted",
        "[redacted]",
        "<redacted>",
        "(redacted)",
        "hidden",
        "masked",
        "[filtered]",
        "hidden_due_to_security_reasons",
    ];
    value.chars().all(|c| matches!(c, '*' | '•' | 'x' | 'X' | '.' | '-' | ' '))
        || (value.len() <= 32 && WORDS.contains(&&*value.to_ascii_lowercase()))
}

/// `value`, which begins at byte `at` of a text, where it is a secret of that class.
pub(super) fn secret(at: usize, value: &str, class: Class) -> Option<Found> {
    (!value.is_empty() && is_secret(value, class))
        .then(|| Found::at(at..at + value.len(), is_guessable(value, class)))
}

/// The name of a secret, or of where it is kept.
fn is_reference(value: &str) -> bool {
    let wrapped = |open: &str, close: &str| value.starts_with(open) && value.ends_with(close);
    let upper = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let words =
        |text: &str| text.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-' | b' ' | b'.'));
    value.starts_with("arn:")
        || value.starts_with("op://")
        || value.starts_with("vault:")
        || wrapped("${", "}")
        || wrapped("$(", ")")
        || wrapped("{{", "}}")
        || (wrapped("<", ">") && words(&value[1..value.len().max(2) - 1]))
        || (wrapped("%", "%") && value.len() > 2 && words(&value[1..value.len() - 1]))
        || value.strip_prefix('$').is_some_and(upper)
}

/// Long enough, without spaces, and no word: what may be a token.
fn looks_made(value: &str) -> bool {
    let no_token =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '{' | '}' | '<' | '>' | '(' | ')' | '"');
    let access_key_id = (value.starts_with("AKIA") || value.starts_with("ASIA")) && value.len() == 20;
    let mixed =
        value.bytes().any(|b| b.is_ascii_lowercase()) && value.bytes().any(|b| b.is_ascii_uppercase());
    value.len() >= 8
        && !value.contains(no_token)
        && !value.contains("://")
        && !access_key_id
        && !is_path(value)
        && (digits(value) > 0 || value.len() >= 20 || (mixed && value.len() >= 12))
}

/// The text that `value` is in base64 or base64url.
fn text_of(value: &str) -> Option<String> {
    let text = String::from_utf8(decoded(value)?).ok()?;
    let is_text = !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace());
    is_text.then_some(text)
}

/// `user:password` in base64, as in `Basic` credentials and Docker's configuration.
pub(super) fn is_basic(value: &str) -> bool {
    let is_plain = value.trim_end_matches('=').len() >= 6 && !value.contains(['-', '_']);
    let is_pair = |bytes: Vec<u8>| bytes.contains(&b':') && !bytes.iter().any(u8::is_ascii_control);
    is_plain && decoded(value).is_some_and(is_pair)
}

/// What `value` is in base64 or base64url; a digit too many says nothing.
fn decoded(value: &str) -> Option<Vec<u8>> {
    let digits = value.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(digits.len());
    for group in digits.chunks(4) {
        if !group.iter().all(|b| b.is_ascii_alphanumeric() || b"+/-_".contains(b)) {
            return None;
        }
        bytes.extend_from_slice(&bits(group).to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

/// What up to four digits of base64 stand for, in the lower three bytes.
fn bits(group: &[u8]) -> u32 {
    group.iter().fold(0, |bits, digit| bits << 6 | sextet(*digit)) << (6 * (4 - group.len()))
}

fn sextet(digit: u8) -> u32 {
    u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    })
}

fn is_uuid(value: &str) -> bool {
    let parts = value.split('-').map(|part| (part.len(), part.bytes().all(|b| b.is_ascii_hexdigit())));
    parts.eq([8, 4, 4, 4, 12].map(|length| (length, true)))
}

fn is_path(value: &str) -> bool {
    let absolute = value.starts_with(['/', '~', '.']) || value.get(1..3) == Some(":\\");
    absolute && !looks_random(value)
}

fn digits(value: &str) -> usize {
    value.bytes().filter(u8::is_ascii_digit).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_choose_is_guessable() {
        for value in [
            "hunter2",
            "correct horse battery staple",
            "correcthorsebatterystaplecorrecthorse",
            "Summer2024Summer2024Summer2024Summer2024",
            "C0rr3ctH0rs3B4tt3ryS74pl3",
            "11111111111111111111111111111111",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "P4ssw0rdP4ssw0rdP4ssw0rdP4ssw0rdP4ssw0rd",
            "this-is-my-very-long-secret-key-for-2024",
            "abababababababababababababababab",
            "cm9vdDpyb290",
            "0123456789012345678901234567890123456789",
            "",
            // `deployer:Summer2026!Acme`, in base64 and in base64 of that.
            "ZGVwbG95ZXI6U3VtbWVyMjAyNiFBY21l",
            "WkdWd2JHOTVaWEk2VTNWdGJXVnlNakF5TmlGQlkyMWw=",
            // {"username":"ann","password":"Summer2026"}, as Docker's identity stands in a header.
            "eyJ1c2VybmFtZSI6ImFubiIsInBhc3N3b3JkIjoiU3VtbWVyMjAyNiJ9",
        ] {
            assert!(!is_unguessable(value), "{value}");
        }
    }

    #[test]
    fn what_machines_make_is_not() {
        for value in [
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzKq3vPd9aB",
            "9f86d081884c7d659a2feaa0c55ad015",
            "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b",
            "tGzv3JOkF0XG5Qx2TlKWIAtGzv3JOkF0XG5Qx2Tl",
            // `deployer:` and a token that a machine made.
            "ZGVwbG95ZXI6OWY4NmQwODE4ODRjN2Q2NTlhMmZlYWEwYzU1YWQwMTU=",
            "ZGVwbG95ZXI6Z2hwXzAxMjM0NTY3ODlhYmNkZWZnaGlqQUJDREVGR0hJSjAxMjM=",
        ] {
            assert!(is_unguessable(value), "{value}");
        }
    }

    #[test]
    fn basic_credentials_hold_a_colon() {
        for (value, expected) in [
            ("cm9vdDpyb290", true),
            ("QWxhZGRpbjpvcGVuIHNlc2FtZQ==", true),
            ("dTpw", false),
            ("dXNlcjpw", true),
            ("authentication", false),
            ("Authorization", false),
            ("Information", false),
            ("cm9vdA==", false),
        ] {
            assert_eq!(is_basic(value), expected, "{value}");
        }
    }
}
