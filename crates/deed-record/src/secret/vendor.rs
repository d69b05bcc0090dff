//! Tokens that machines make, known by how they begin or by what stands in them.

use super::shape::{Found, is_base64, is_word, run};

/// Characters of a token.
#[derive(Clone, Copy)]
pub(super) enum Alphabet {
    /// Decimal digits.
    Digits,
    /// Hex digits, lower case.
    Hex,
    /// Capitals and digits.
    Upper,
    /// Base32, lower case.
    Base32,
    /// Letters and digits.
    Plain,
    /// And `-` and `_`.
    Url,
    /// And all of base64, `.` and `~`.
    Base64,
}

use Alphabet::{Base32, Base64, Digits, Hex, Plain, Upper, Url};

impl Alphabet {
    /// How many bytes of `text` from its start are of it.
    fn run(self, text: &str) -> usize {
        match self {
            Digits => run(text, |b| b.is_ascii_digit()),
            Hex => run(text, |b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            Upper => run(text, |b| b.is_ascii_uppercase() || b.is_ascii_digit()),
            Base32 => run(text, |b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)),
            Plain => run(text, |b| b.is_ascii_alphanumeric()),
            Url => run(text, is_word),
            Base64 => run(text, is_base64),
        }
    }
}

/// A vendor's token: a prefix, then at least so many characters of an alphabet.
struct Vendor(&'static str, usize, Alphabet);

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
    Vendor("p8e-", 32, Plain),
    Vendor("cmVmdGtuOjAx", 40, Plain),
    Vendor("ABSK", 100, Base64),
    Vendor("bedrock-api-key-", 40, Base64),
    Vendor("CLOJARS_", 50, Plain),
    Vendor("dor_v1_", 40, Plain),
    Vendor("dnkey-", 60, Url),
    Vendor("duffel_live_", 40, Url),
    Vendor("duffel_test_", 40, Url),
    Vendor("EZAK", 54, Plain),
    Vendor("EZTK", 54, Plain),
    Vendor("EAA", 100, Plain),
    Vendor("FLWSECK-", 32, Url),
    Vendor("FLWSECK_TEST-", 32, Url),
    Vendor("fio-u-", 60, Url),
    Vendor("glffct-", 18, Url),
    Vendor("glimt-", 18, Url),
    Vendor("GR1348941", 20, Url),
    Vendor("eyJrIjoi", 60, Base64),
    Vendor("NRII-", 24, Url),
    Vendor("NRIQ-", 24, Url),
    Vendor("NRRA-", 24, Plain),
    Vendor("oy2", 43, Plain),
    Vendor("sha256~", 40, Url),
    Vendor("tk-us-", 48, Url),
    Vendor("xsmtpsib-", 60, Url),
    Vendor("sntrya_", 40, Plain),
    Vendor("shippo_live_", 40, Plain),
    Vendor("shippo_test_", 40, Plain),
    Vendor("shppa_", 24, Plain),
    Vendor("xoxo-", 16, Url),
    Vendor("hooks.slack.com/workflows/", 24, Base64),
    Vendor("hooks.slack.com/triggers/", 24, Base64),
    Vendor("discordapp.com/api/webhooks/", 40, Base64),
    Vendor("discord.com/api/v10/webhooks/", 40, Base64),
    Vendor("sq0csp-", 40, Url),
    Vendor("sq0atp-", 22, Url),
    Vendor("tfp_", 40, Base64),
    Vendor("api_org_", 30, Plain),
    Vendor("ico-", 32, Plain),
    Vendor("AVNS_", 16, Url),
    Vendor("aio_", 28, Plain),
    Vendor("dp.scim.", 40, Plain),
    Vendor("dp.audit.", 40, Plain),
    Vendor("fo1_", 40, Url),
    Vendor("waka_", 36, Url),
    Vendor("sl.u.", 100, Url),
    Vendor("5Aep861", 60, Base64),
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

/// A part of a token.
pub(super) enum Part {
    /// What stands there in every one.
    Is(&'static str),
    /// From so many to so many characters of an alphabet.
    Of(Alphabet, usize, usize),
    /// A UUID in lower case.
    Uuid,
}

use Part::{Is, Of, Uuid};

/// Tokens of several parts, one of them the same in all.
pub(super) const COMPOSED: &[&[Part]] = &[
    // Airtable.
    &[Is("pat"), Of(Plain, 14, 14), Is("."), Of(Hex, 64, 64)],
    // Keys of Azure of the form that Microsoft has all its services issue, Azure DevOps among them.
    &[Of(Plain, 52, 52), Is("JQQJ9"), Of(Plain, 27, 27)],
    // A session of Salesforce, behind the id of an organisation.
    &[Is("00D"), Of(Plain, 12, 15), Is("!"), Of(Base64, 40, 400)],
    // The secret key of a 1Password account.
    &[
        Is("A3-"),
        Of(Upper, 6, 6),
        Is("-"),
        Of(Upper, 11, 11),
        Is("-"),
        Of(Upper, 5, 5),
        Is("-"),
        Of(Upper, 5, 5),
        Is("-"),
        Of(Upper, 5, 5),
    ],
    &[
        Is("A3-"),
        Of(Upper, 6, 6),
        Is("-"),
        Of(Upper, 6, 6),
        Is("-"),
        Of(Upper, 5, 5),
        Is("-"),
        Of(Upper, 5, 5),
        Is("-"),
        Of(Upper, 5, 5),
        Is("-"),
        Of(Upper, 5, 5),
    ],
    // Harness.
    &[Is("pat."), Of(Url, 22, 22), Is("."), Of(Hex, 24, 24), Is("."), Of(Plain, 20, 20)],
    &[Is("sat."), Of(Url, 22, 22), Is("."), Of(Hex, 24, 24), Is("."), Of(Plain, 20, 20)],
    // Octopus Deploy.
    &[Is("API-"), Of(Upper, 26, 30)],
    // Mailgun and Mailchimp.
    &[Is("key-"), Of(Hex, 32, 32)],
    &[Of(Hex, 32, 32), Is("-us"), Of(Digits, 1, 2)],
    // LaunchDarkly.
    &[Is("sdk-"), Uuid],
];

/// Tokens that nothing stands in that is the same in all: known in a text that also holds one of these words.
pub(super) const SPOKEN_OF: &[(&[&str], &[Part])] = &[
    // A bot of Discord: its id in base64, the time, and what proves both.
    (&["discord", "bot "], &[Of(Plain, 23, 28), Is("."), Of(Url, 6, 6), Is("."), Of(Url, 27, 45)]),
    // Azure DevOps, as it issued them to the middle of 2024.
    (&["dev.azure.com", "visualstudio.com", "devops"], &[Of(Base32, 52, 52)]),
];

/// How many bytes `text` begins with that are a token made of `parts`.
pub(super) fn composed(text: &str, parts: &[Part]) -> Option<usize> {
    let mut end = 0;
    for part in parts {
        let rest = &text[end..];
        end += match part {
            Is(same) => rest.starts_with(same).then_some(same.len())?,
            Of(alphabet, least, most) => {
                let length = alphabet.run(&rest[..rest.floor_char_boundary(*most)]);
                (length >= *least).then_some(length)?
            }
            Uuid => uuid(rest)?,
        };
    }
    text.as_bytes().get(end).is_none_or(|b| !is_word(*b)).then_some(end)
}

fn uuid(text: &str) -> Option<usize> {
    const LENGTH: usize = 36;
    let parts = text.get(..LENGTH)?.split('-').map(|part| (part.len(), Hex.run(part)));
    parts.eq([8, 4, 4, 4, 12].map(|length| (length, length))).then_some(LENGTH)
}

/// What stands in every token made of `parts`.
pub(super) fn sign(parts: &'static [Part]) -> &'static str {
    parts.iter().find_map(|part| if let Is(same) = part { Some(*same) } else { None }).unwrap_or_default()
}

/// Whether `rest`, behind the [`sign`] of `parts`, can go on as they do.
pub(super) fn goes_on(rest: &[u8], parts: &[Part]) -> bool {
    let run = |alphabet: Alphabet, most: usize| {
        let head = &rest[..rest.len().min(most)];
        let ascii = head.iter().position(|b| !b.is_ascii()).unwrap_or(head.len());
        str::from_utf8(&head[..ascii]).map_or(0, |head| alphabet.run(head))
    };
    let mut behind = parts.iter().skip_while(|part| !matches!(part, Is(_))).skip(1);
    match (behind.next(), behind.next()) {
        (Some(Of(alphabet, least, most)), next) => {
            let length = run(*alphabet, *most);
            let joined = |same: &str| match rest.get(length) {
                // It may be encoded.
                Some(b'%') => true,
                sign => sign == same.as_bytes().first(),
            };
            length >= *least && !matches!(next, Some(Is(same)) if !joined(same))
        }
        (Some(Uuid), _) => run(Hex, 8) == 8,
        _ => true,
    }
}

/// Tokens in `text` of what it speaks of, in order.
pub(super) fn spoken_of(text: &str) -> Vec<Found> {
    let lower = text.to_ascii_lowercase();
    let speaks = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let shapes: Vec<_> =
        SPOKEN_OF.iter().filter(|(words, _)| speaks(words)).map(|(_, parts)| *parts).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while !shapes.is_empty() && at < text.len() {
        let word = run(&text[at..], is_word);
        if let Some(length) =
            shapes.iter().find_map(|parts| composed(&text[at..], parts)).filter(|_| word > 0)
        {
            found.push(Found::at(at..at + length, false));
        }
        at += word.max(1);
        at = text.ceil_char_boundary(at);
    }
    found
}

/// How many bytes `rest` begins with that are a token of a vendor, or one of several parts.
pub(super) fn token(rest: &str) -> Option<usize> {
    vendor(rest).or_else(|| COMPOSED.iter().find_map(|parts| composed(rest, parts)))
}

fn vendor(rest: &str) -> Option<usize> {
    VENDORS.iter().find_map(|Vendor(prefix, least, alphabet)| {
        let body = rest.strip_prefix(prefix)?;
        let length = alphabet.run(body);
        (length >= *least && (*prefix != "sk-" || has_random_run(&body[..length])))
            .then_some(prefix.len() + length)
    })
}

/// Tells `sk-proj-…` from the name of a style (`sk-loading-indicator-wrapper`).
fn has_random_run(body: &str) -> bool {
    body.split(['-', '_']).any(|part| part.len() >= 16 && part.bytes().any(|b| b.is_ascii_digit()))
}
