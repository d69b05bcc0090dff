//! What secrets look like, whatever they stand under.

use std::ops::Range;

use super::value::{fingerprint_length, is_basic, is_unguessable};

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

/// Characters of a vendor's token.
#[derive(Clone, Copy)]
enum Alphabet {
    /// Letters and digits.
    Plain,
    /// And `-` and `_`.
    Url,
    /// And all of base64, `.` and `~`.
    Base64,
}

/// A vendor's token: a prefix, then at least so many characters of an alphabet.
struct Vendor(&'static str, usize, Alphabet);

use Alphabet::{Base64, Plain, Url};

const VENDORS: &[Vendor] = &[
    Vendor("ghp_", 30, Plain),
    Vendor("gho_", 30, Plain),
    Vendor("ghu_", 30, Plain),
    Vendor("ghs_", 30, Plain),
    Vendor("ghr_", 30, Plain),
    Vendor("github_pat_", 30, Url),
    Vendor("glpat-", 18, Url),
    Vendor("gldt-", 18, Url),
    Vendor("glrt-", 18, Url),
    Vendor("xoxb-", 16, Url),
    Vendor("xoxp-", 16, Url),
    Vendor("xoxa-", 16, Url),
    Vendor("xoxr-", 16, Url),
    Vendor("xoxs-", 16, Url),
    Vendor("xoxe-", 16, Url),
    Vendor("xapp-", 16, Url),
    Vendor("hooks.slack.com/services/", 24, Base64),
    Vendor("discord.com/api/webhooks/", 40, Base64),
    Vendor("sk-", 20, Url),
    Vendor("sk_live_", 16, Plain),
    Vendor("sk_test_", 16, Plain),
    Vendor("rk_live_", 16, Plain),
    Vendor("rk_test_", 16, Plain),
    Vendor("whsec_", 20, Base64),
    Vendor("AIza", 30, Url),
    Vendor("ya29.", 20, Base64),
    Vendor("1//0", 30, Url),
    Vendor("GOCSPX-", 20, Url),
    Vendor("hvs.", 20, Url),
    Vendor("hvb.", 20, Url),
    Vendor("hvr.", 20, Url),
    Vendor("npm_", 34, Plain),
    Vendor("pypi-", 40, Url),
    Vendor("rubygems_", 40, Plain),
    Vendor("xai-", 40, Plain),
    Vendor("ntn_", 40, Plain),
    Vendor("figd_", 36, Url),
    Vendor("pplx-", 40, Plain),
    Vendor("PMAK-", 50, Url),
    Vendor("NRAK-", 24, Plain),
    Vendor("glc_", 40, Base64),
    Vendor("sb_secret_", 24, Url),
    Vendor("HRKU-", 30, Url),
    Vendor("dckr_pat_", 20, Url),
    Vendor("dop_v1_", 40, Plain),
    Vendor("doo_v1_", 40, Plain),
    Vendor("SG.", 40, Base64),
    Vendor("shpat_", 24, Plain),
    Vendor("shpss_", 24, Plain),
    Vendor("shpca_", 24, Plain),
    Vendor("hf_", 30, Plain),
    Vendor("gsk_", 40, Plain),
    Vendor("r8_", 34, Plain),
    Vendor("dapi", 32, Plain),
    Vendor("glsa_", 30, Url),
    Vendor("sntrys_", 40, Base64),
    Vendor("tskey-", 20, Url),
    Vendor("sbp_", 40, Plain),
    Vendor("pscale_tkn_", 30, Url),
    Vendor("lin_api_", 24, Plain),
    Vendor("ATATT", 40, Base64),
    Vendor("ATCTT", 40, Base64),
    Vendor("atlasv1.", 30, Base64),
    Vendor("AGE-SECRET-KEY-1", 30, Plain),
    Vendor("IQoJb3JpZ2lu", 40, Base64),
    Vendor("FwoGZXIvYXdz", 40, Base64),
    Vendor("FQoGZXIvYXdz", 40, Base64),
    Vendor("AQoDYXdz", 40, Base64),
    Vendor("gloas-", 40, Plain),
    Vendor("glptt-", 30, Plain),
    Vendor("glcbt-", 18, Url),
    Vendor("glft-", 18, Url),
    Vendor("glsoat-", 18, Url),
    Vendor("glagent-", 18, Url),
    Vendor("dckr_oat_", 20, Url),
    Vendor("sntryu_", 40, Plain),
    Vendor("xoxd-", 24, Base64),
    Vendor("sk-lf-", 32, Url),
    Vendor("lsv2_pt_", 32, Url),
    Vendor("lsv2_sk_", 32, Url),
    Vendor("pcsk_", 40, Url),
    Vendor("nvapi-", 40, Url),
    Vendor("tvly-", 20, Url),
    Vendor("e2b_", 36, Plain),
    Vendor("fc-", 32, Plain),
    Vendor("csk-", 40, Plain),
    Vendor("dp.pt.", 40, Plain),
    Vendor("dp.st.", 40, Base64),
    Vendor("dp.sa.", 40, Plain),
    Vendor("dp.ct.", 40, Plain),
    Vendor("ops_eyJ", 40, Base64),
    Vendor("pul-", 40, Plain),
    Vendor("nfp_", 36, Plain),
    Vendor("fm2_", 60, Base64),
    Vendor("pscale_pw_", 30, Url),
    Vendor("pscale_oauth_", 30, Url),
    Vendor("napi_", 40, Plain),
    Vendor("secret_", 40, Plain),
    Vendor("dt0c01.", 40, Base64),
    Vendor("dt0s01.", 40, Base64),
    Vendor("phx_", 40, Plain),
    Vendor("CCIPAT_", 40, Url),
    Vendor("CCIPRJ_", 40, Url),
    Vendor("bkua_", 40, Plain),
    Vendor("squ_", 40, Plain),
    Vendor("sqp_", 40, Plain),
    Vendor("sqa_", 40, Plain),
    Vendor("CFPAT-", 40, Url),
    Vendor("ATBB", 28, Plain),
    Vendor("sl.", 100, Url),
    Vendor("access-production-", 36, Url),
    Vendor("access-sandbox-", 36, Url),
    Vendor("hcaik_", 50, Plain),
    Vendor("pat-na1-", 36, Url),
    Vendor("pat-eu1-", 36, Url),
    Vendor("xkeysib-", 60, Url),
    Vendor("sk.eyJ", 40, Base64),
    Vendor("sgp_", 40, Url),
    Vendor("pnu_", 36, Plain),
    Vendor("rdme_", 60, Plain),
    Vendor("AKCp", 60, Plain),
    Vendor("secret-token:", 16, Base64),
];

/// How a vendor's token begins.
pub(super) const PREFIXES: [&str; VENDORS.len()] = {
    let mut prefixes = [""; VENDORS.len()];
    let mut at = 0;
    while at < VENDORS.len() {
        prefixes[at] = VENDORS[at].0;
        at += 1;
    }
    prefixes
};

/// The secret whose shape begins at byte `at` of `text`.
pub(super) fn at(text: &str, at: usize) -> Option<Found> {
    let rest = &text[at..];
    let starts_word = at == 0 || !is_word(text.as_bytes()[at - 1]);
    let found = match rest.as_bytes().first()? {
        b':' => return password_in_url(text, at).or_else(|| telegram(text, at)),
        b'-' => private_key(rest).map(certain),
        b'B' | b'b' if starts_word => scheme(rest),
        b'e' if starts_word => jwt(rest),
        _ => None,
    };
    let found = found
        .or_else(|| if starts_word { vendor(rest).map(certain) } else { None })
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
    let colon = authority[..end].find(':')? + 1;
    password(text, at + 3 + colon..at + 3 + end)
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

fn vendor(rest: &str) -> Option<usize> {
    VENDORS.iter().find_map(|Vendor(prefix, least, alphabet)| {
        let body = rest.strip_prefix(prefix)?;
        let length = match alphabet {
            Plain => run(body, |b| b.is_ascii_alphanumeric()),
            Url => run(body, is_word),
            Base64 => run(body, is_base64),
        };
        (length >= *least && (*prefix != "sk-" || has_random_run(&body[..length])))
            .then_some(prefix.len() + length)
    })
}

/// Tells `sk-proj-…` from the name of a style (`sk-loading-indicator-wrapper`).
fn has_random_run(body: &str) -> bool {
    body.split(['-', '_']).any(|part| part.len() >= 16 && part.bytes().any(|b| b.is_ascii_digit()))
}
