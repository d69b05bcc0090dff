//! What secrets look like.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::AhoCorasick;

/// Member names (lower case, without `-`, `_`, `.` and spaces) whose string is a secret.
const NAMES: &[&str] = &[
    "accesstoken", "apikey", "apitoken", "appsecret", "assertion", "authorization", "authtoken",
    "bearertoken", "clientassertion", "clientsecret", "clienttoken", "connectionstring", "cookie",
    "credentialsecret", "csrftoken", "dbpassword", "encryptionkey", "githubtoken", "idtoken",
    "masteruserpassword", "mfasecret", "newpassword", "oauthtoken", "oldpassword", "passphrase",
    "passwd", "password", "pgpassword", "privatekey", "privatekeymaterial", "proxyauthorization",
    "pwd", "refreshtoken", "secret", "secretaccesskey", "secretbinary", "secretkey", "secretstring",
    "secrettoken", "secretvalue", "securitytoken", "servicepassword", "sessioncookie", "sessionkey",
    "sessiontoken", "setcookie", "sharedsecret", "signingkey", "signingsecret", "slacktoken", "token",
    "usertoken", "vaulttoken", "webhooksecret", "xamzsecuritytoken", "xapikey", "xauthtoken",
    "awssecretaccesskey", "awssessiontoken", "keymaterial", "plaintext", "passworddata", "subjecttoken",
    "actortoken", "xvaulttoken",
];

/// Whether a string under `name` is a secret.
pub(super) fn is_secret_name(name: &str) -> bool {
    if name.len() > 64 {
        return false;
    }
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | '.' | ' '))
        .flat_map(char::to_lowercase)
        .collect();
    NAMES.contains(&plain.as_str())
}

/// What may begin a secret or its name. One pass over the input for these decides, for nearly every
/// record, that there is nothing to look for.
static HINTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let hints = PREFIXES.iter().map(|shape| shape.prefix).chain([
        "secret", "passw", "passphrase", "pwd", "token", "apikey", "api_key", "api-key", "authorization",
        "cookie", "private", "assertion", "encryption", "signing", "plaintext", "keymaterial",
        "key_material", "sessionkey", "session_key", "session-key", "connectionstring",
        "connection_string", "bearer", "basic ", "-----begin", "://", "eyj", "\\u",
        "mfa", "x-api", "x_api", "api key", "api.key",
    ]);
    AhoCorasick::builder().ascii_case_insensitive(true).build(hints).ok()
});

/// Whether `text` may hold a secret; false is certain.
pub(super) fn may_hold_secret(text: &str) -> bool {
    // Without the automaton every record takes the slow road: right, only slower.
    HINTS.as_ref().is_none_or(|hints| hints.is_match(text))
}

/// A vendor's token: a prefix, then at least `min` characters of its alphabet.
struct Prefix {
    prefix: &'static str,
    min: usize,
}

const fn prefix(prefix: &'static str, min: usize) -> Prefix {
    Prefix { prefix, min }
}

const PREFIXES: &[Prefix] = &[
    prefix("ghp_", 30), prefix("gho_", 30), prefix("ghu_", 30), prefix("ghs_", 30), prefix("ghr_", 30),
    prefix("github_pat_", 30), prefix("glpat-", 18), prefix("xoxb-", 16), prefix("xoxp-", 16),
    prefix("xoxa-", 16), prefix("xoxr-", 16), prefix("xoxs-", 16), prefix("xapp-", 16),
    prefix("sk-", 20), prefix("sk_live_", 16), prefix("sk_test_", 16), prefix("rk_live_", 16),
    prefix("AIza", 30), prefix("ya29.", 20), prefix("hvs.", 20), prefix("hvb.", 20), prefix("npm_", 30),
    prefix("pypi-", 40), prefix("dop_v1_", 40), prefix("SG.", 40), prefix("shpat_", 24),
    prefix("whsec_", 20), prefix("AGE-SECRET-KEY-1", 30), prefix("IQoJb3JpZ2lu", 40),
    prefix("FwoGZXIvYXdz", 40), prefix("atlasv1.", 30), prefix("lin_api_", 24), prefix("ATATT", 40),
];

/// Where in `text` secrets stand, in order, not overlapping.
pub(super) fn find(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match secret_at(text, at) {
            Some(range) => {
                at = range.end;
                found.push(range);
            }
            None => at += 1,
        }
    }
    found
}

/// The secret whose tell-tale begins at byte `at`.
fn secret_at(text: &str, at: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if !text.is_char_boundary(at) {
        return None;
    }
    let rest = &text[at..];
    let starts_word = at == 0 || !is_token(bytes[at - 1]);
    match bytes[at] {
        b'B' | b'b' if starts_word => scheme(rest).map(|r| at + r.start..at + r.end),
        b'-' if rest.starts_with("-----BEGIN ") => private_key(rest).map(|end| at..at + end),
        b':' => password_in_url(text, at),
        b'e' if starts_word && rest.starts_with("eyJ") => jwt(rest).map(|end| at..at + end),
        b'a'..=b'z' | b'A'..=b'Z' if starts_word => assignment(rest)
            .map(|r| at + r.start..at + r.end)
            .or_else(|| vendor_token(rest).map(|end| at..at + end)),
        _ => None,
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn run(text: &str, member: impl Fn(u8) -> bool) -> usize {
    text.bytes().position(|b| !member(b)).unwrap_or(text.len())
}

const fn is_base64ish(byte: u8) -> bool {
    is_token(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'=')
}

/// `Bearer` and `Basic` credentials (RFC 6750, RFC 7617).
fn scheme(rest: &str) -> Option<Range<usize>> {
    let name = if rest.get(..7).is_some_and(|s| s.eq_ignore_ascii_case("bearer ")) {
        7
    } else if rest.get(..6).is_some_and(|s| s.eq_ignore_ascii_case("basic ")) {
        6
    } else {
        return None;
    };
    let spaces = run(&rest[name..], |b| b == b' ');
    let start = name + spaces;
    let length = run(&rest[start..], is_base64ish);
    // Shorter runs are words of a sentence ("basic authentication", "bearer of news").
    let long_enough = length >= 20
        || (length >= 8 && rest[start..start + length].bytes().any(|b| b.is_ascii_digit() || b == b'='));
    let already = rest[start..].starts_with("sha256:") || rest[start..].starts_with("sha256");
    (long_enough && !already).then_some(start..start + length)
}

fn private_key(rest: &str) -> Option<usize> {
    let head = rest.get(..64.min(rest.len())).unwrap_or(rest);
    if !head.contains("PRIVATE KEY") {
        return None;
    }
    let Some(end) = rest.find("-----END ") else { return Some(rest.len()) };
    let tail = &rest[end + 9..];
    Some(end + 9 + tail.find("-----").map_or(tail.len(), |dashes| dashes + 5))
}

/// The password of `scheme://user:password@host`, from the colon of `://`.
fn password_in_url(text: &str, at: usize) -> Option<Range<usize>> {
    let authority = text[at..].strip_prefix("://")?;
    let authority = &authority[..run(authority, |b| !matches!(b, b'/' | b'?' | b'#' | b' ' | b'"' | b'\''))];
    let userinfo = &authority[..authority.rfind('@')?];
    let colon = userinfo.find(':')?;
    let start = at + 3 + colon + 1;
    let end = at + 3 + userinfo.len();
    (end > start && !text[start..end].starts_with("hmac-sha256:") && !text[start..end].starts_with("sha256:"))
        .then_some(start..end)
}

/// A JWT or JWE in compact form (RFC 7519): at least two dots, each part base64url.
fn jwt(rest: &str) -> Option<usize> {
    let length = run(rest, |b| is_token(b) || b == b'.');
    let parts: Vec<&str> = rest[..length].split('.').collect();
    (parts.len() >= 3 && parts[0].len() >= 10 && parts[1].len() >= 10).then_some(length)
}

fn vendor_token(rest: &str) -> Option<usize> {
    PREFIXES.iter().find_map(|shape| {
        let body = rest.strip_prefix(shape.prefix)?;
        let length = run(body, is_base64ish);
        (length >= shape.min).then_some(shape.prefix.len() + length)
    })
}

/// `NAME=value` and `NAME: value` where the name is a secret's: environments, command lines, headers.
fn assignment(rest: &str) -> Option<Range<usize>> {
    let name = run(rest, is_token);
    if !(3..=64).contains(&name) || !is_secret_name(&rest[..name]) {
        return None;
    }
    let after = &rest[name..];
    let mark = after.find(['=', ':']).filter(|at| after[..*at].bytes().all(|b| b == b' '))?;
    let spaces = run(&after[mark + 1..], |b| matches!(b, b' ' | b'"' | b'\''));
    let start = name + mark + 1 + spaces;
    let value = &rest[start..];
    // `Authorization: Bearer …` keeps its scheme; the token is found behind it.
    if scheme(value).is_some() || value.starts_with("sha256:") || value.starts_with("hmac-sha256:") {
        return None;
    }
    let length = run(value, |b| !matches!(b, b' ' | b'"' | b'\'' | b'&' | b';' | b',' | b'\n' | b'\r' | b'\t' | b'}' | b')'));
    (length >= 4).then_some(start..start + length)
}
