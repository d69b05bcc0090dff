//! What secrets look like, whatever they stand under.

use std::ops::Range;

use super::{
    value::{fingerprint_length, is_basic, is_unguessable},
    vendor,
};

/// A secret in a text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// Where it stands.
    pub(super) range: Range<usize>,
    /// Whether somebody could find it by trying.
    pub(super) guessable: bool,
    /// The secret itself, where what stands there only stands for it.
    pub(super) decoded: Option<String>,
}

impl Found {
    pub(super) fn at(range: Range<usize>, guessable: bool) -> Self {
        Found { range, guessable, decoded: None }
    }
}

/// In order, those that overlap as one.
pub(super) fn in_order(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by_key(|found| found.range.start);
    found.dedup_by(|next, first| {
        let overlaps = next.range.start < first.range.end;
        if overlaps && next.range.end > first.range.end {
            first.range.end = next.range.end;
            (first.guessable, first.decoded) = (true, None);
        }
        overlaps
    });
    found
}

/// The secret whose shape begins at byte `at` of `text`.
pub(super) fn at(text: &str, at: usize) -> Option<Found> {
    let rest = &text[at..];
    let starts_word = at == 0 || !is_word(text.as_bytes()[at - 1]);
    let found = match rest.as_bytes().first()? {
        b':' => return password_in_url(text, at).or_else(|| telegram(text, at)),
        b'-' => private_key(rest).map(certain),
        b'B' | b'b' if starts_word => scheme(rest),
        b'e' if starts_word => jwt(rest),
        b'J' | b'j' if starts_word => password_of_oracle(rest),
        _ => None,
    };
    let found = found
        .or_else(|| if starts_word { vendor::token(rest).map(certain) } else { None })
        .or_else(|| azure(text, at).map(certain))?;
    Some(Found::at(at + found.range.start..at + found.range.end, found.guessable))
}

/// Whether the whole of `text` is one token of a shape that only machines make.
pub(super) fn is_token(text: &str) -> bool {
    at(text, 0).is_some_and(|found| found.range == (0..text.len()) && !found.guessable)
}

/// Whether `rest` begins with something that `Bearer` or `Basic` lets in.
pub(super) fn is_scheme(rest: &str) -> bool {
    scheme(rest).is_some()
}

fn certain(length: usize) -> Found {
    Found::at(0..length, false)
}

/// Letters, digits and what joins them to a name.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// The alphabets of base64 and base64url, with what tokens have besides.
pub(super) const fn is_base64(byte: u8) -> bool {
    is_word(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

/// How many bytes of `text` from its start are members.
pub(super) fn run(text: &str, member: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|b| !member(b)).unwrap_or(text.len())
}

/// `Bearer` and `Basic` credentials (RFC 6750, RFC 7617).
fn scheme(rest: &str) -> Option<Found> {
    let named = |name: &str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let (basic, name) = match () {
        () if named("bearer") => (false, 6),
        () if named("basic") => (true, 5),
        () => return None,
    };
    let start = name + run(&rest[name..], |b| matches!(b, b' ' | b'\t'));
    if start == name || fingerprint_length(&rest[start..]) > 0 {
        return None;
    }
    let length = run(&rest[start..], is_base64);
    let token = &rest[start..start + length];
    // Shorter runs are words of a sentence ("basic authentication", "bearer of news").
    let is_token = length >= 20 || (length >= 8 && token.bytes().any(|b| b.is_ascii_digit() || b == b'='));
    let found = if basic { is_basic(token) || is_padded(token) } else { is_token };
    // Basic credentials are a password that anybody can read.
    let guessable = basic || !(is_unguessable(token) || self::is_token(token));
    found.then(|| Found::at(start..start + length, guessable))
}

/// Base64 of bytes that may be no text, which no word of a sentence looks like.
fn is_padded(token: &str) -> bool {
    let has = |sort: fn(&u8) -> bool| token.as_bytes().iter().any(sort);
    let is_whole = token.len() >= 12 && token.len().is_multiple_of(4);
    is_whole && has(u8::is_ascii_digit) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase)
}

/// PEM (RFC 7468), to its end or that of the text.
fn private_key(rest: &str) -> Option<usize> {
    let label = rest.strip_prefix("-----BEGIN ")?;
    let label = &label[..run(label, |b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ').min(60)];
    if !label.contains("PRIVATE KEY") {
        return None;
    }
    let Some(end) = rest.find("-----END ") else { return Some(rest.len()) };
    let tail = &rest[end + 9..];
    Some(end + 9 + tail.find("-----").map_or(tail.len(), |dashes| dashes + 5))
}

/// The password of `scheme://user:password@host`, from the colon of `://`.
fn password_in_url(text: &str, at: usize) -> Option<Found> {
    let authority = text[at..].strip_prefix("://")?;
    let authority =
        &authority[..run(authority, |b| !matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'\'' | b'\n'))];
    let end = authority.rfind('@')?;
    // A token that was taken out of it.
    if fingerprint_length(authority) == end {
        return None;
    }
    let colon = authority[..end].find(':')? + 1;
    password(text, at + 3 + colon..at + 3 + end)
}

/// The password of `jdbc:oracle:thin:user/password@host`.
fn password_of_oracle(rest: &str) -> Option<Found> {
    const DRIVER: &str = "jdbc:oracle:";
    rest.get(..DRIVER.len()).filter(|start| start.eq_ignore_ascii_case(DRIVER))?;
    let address = &rest[..run(rest, |b| !matches!(b, b' ' | b'"' | b'\'' | b'\n' | b'<' | b'>'))];
    let (user, _) = address[DRIVER.len()..].split_once('/').filter(|(user, _)| !user.contains('@'))?;
    let start = DRIVER.len() + user.len() + 1;
    let end = start + address[start..].rfind('@')?;
    password(rest, start..end)
}

/// The password of `user:password@host` at `range`, unless something else stands for it.
fn password(text: &str, range: Range<usize>) -> Option<Found> {
    let password = &text[range.clone()];
    if password.is_empty() || fingerprint_length(password) > 0 || password.starts_with(['$', '{', '<', '*']) {
        return None;
    }
    let guessable = !is_token(password);
    Some(Found::at(range, guessable))
}

/// The token of a bot of Telegram, `123456789:AA…`, from its colon: the number is the bot's name.
fn telegram(text: &str, at: usize) -> Option<Found> {
    const LENGTH: usize = 35;
    let token = text[at..].strip_prefix(":AA").map(|_| &text.as_bytes()[at + 1..])?;
    let number = text.as_bytes()[..at].iter().rev().take(11).take_while(|b| b.is_ascii_digit()).count();
    let length = token.iter().take(LENGTH + 1).take_while(|b| is_word(**b)).count();
    let is_token = (8..=10).contains(&number) && length == LENGTH;
    is_token.then(|| Found::at(at + 1..at + 1 + LENGTH, false))
}

/// The secret of an application of Azure (Entra ID): three characters, a digit, `Q~`, and 31 to 34 more.
fn azure(text: &str, at: usize) -> Option<usize> {
    let bytes = &text.as_bytes()[at..];
    let member = |b: u8| is_word(b) || matches!(b, b'.' | b'~');
    if bytes.get(4..6) != Some(b"Q~") || !bytes[3].is_ascii_digit() || !bytes[..3].iter().all(|b| member(*b))
    {
        return None;
    }
    if at.checked_sub(1).is_some_and(|before| member(text.as_bytes()[before])) {
        return None;
    }
    let length = bytes.iter().take(41).take_while(|b| member(**b)).count();
    (37..=40).contains(&length).then_some(length)
}

/// A JWT or JWE in compact form (RFC 7519): three to five parts of base64url.
fn jwt(rest: &str) -> Option<Found> {
    if !rest.starts_with("eyJ") {
        return None;
    }
    let (mut end, mut parts, mut last) = (0, 0, 0);
    while parts < 5 {
        last = run(&rest[end..], is_word);
        // No header is shorter; an encrypted key may be empty.
        if parts == 0 && last < 10 {
            return None;
        }
        parts += 1;
        end += last;
        if parts == 5 || !rest[end..].starts_with('.') {
            break;
        }
        end += 1;
    }
    // Without a signature it is a text that may be guessed.
    (parts >= 3 && end >= 30).then(|| Found::at(0..end, last < 20))
}
