//! What errors show of what somebody sent.

use std::{borrow::Cow, ops::Range};

use super::{shape::is_base64, text, value::looks_random};

/// `text`, in which a secret is only counted: an error may repeat a name that somebody sent, and what stands where a name
/// belongs may be a token.
///
/// INVARIANT D9: looked for are what is known by its name or shape, and long runs that only a machine writes.
pub fn hidden(text: &str) -> Cow<'_, str> {
    let mut found: Vec<Range<usize>> = text::find(text).into_iter().map(|found| found.range).collect();
    let mut start = 0;
    let ends = |c: char| c == '/' || !u8::try_from(c).is_ok_and(is_base64);
    for run in text.split_inclusive(ends) {
        let word = run.trim_end_matches(ends);
        let range = start..start + word.len();
        // A fingerprint is no secret.
        if looks_random(word) && !text[..start].ends_with(':') {
            found.push(range);
        }
        start += run.len();
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| range.start);
    let (mut shown, mut at) = (String::new(), 0);
    for Range { start, end } in found {
        if start < at {
            continue;
        }
        let count = text[start..end].chars().count();
        let (before, behind) = (&text[at..start], &text[end..]);
        let quoted = before.ends_with('`') && behind.starts_with('`');
        shown.push_str(if quoted { &before[..before.len() - 1] } else { before });
        shown.push_str(&format!("a text of {count} characters"));
        at = if quoted { end + 1 } else { end };
    }
    shown.push_str(&text[at..]);
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_in_an_error_is_only_counted() {
        let token = ["ghp", "_16C7e42F292c6912E7710c838347Ae178B4a"].concat();
        let (count, plain) = ("a text of 40 characters", "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b");
        for token in [token.as_str(), plain] {
            assert_eq!(
                hidden(&format!("nobody is known as `{token}`, sorry")),
                format!("nobody is known as {count}, sorry")
            );
            assert_eq!(
                hidden(&format!("nothing is at `/v1/{token}`")),
                format!("nothing is at `/v1/{count}`")
            );
            assert_eq!(hidden(&format!("{token} {token}")), format!("{count} {count}"));
        }
        for text in [
            "nobody is known as `aws:arn:aws:iam::111122223333:role/release` in tenant `default`",
            "nothing is at `/v1/caf\u{e9}`; `/openapi.json` lists what there is",
            "no record `0193a7b0-0000-7000-8000-0000000000a1`",
            "it is sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "query string: unknown field `tokn`, expected one of `trace`, `token`",
            "",
        ] {
            assert!(matches!(hidden(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
