//! Secrets that stand percent-encoded in a text (RFC 3986, and forms of HTML): in addresses, above all in the
//! command lines that Kubernetes is sent, `?command=sh&command=-c&command=PGPASSWORD%3D…`.

use super::{
    decoded::Decoded,
    json::whole,
    name::{Class, class},
    shape::Found,
    text,
};

/// `found` in `text`, and what is found once more where it is decoded, up to `times`: an address may hold another.
pub(super) fn add(text: &str, mut found: Vec<Found>, times: usize) -> Vec<Found> {
    let mut at = 0;
    let plain = found.len();
    for run in text.split(ends_run) {
        if run.contains(['%', '+', '&']) {
            in_run(run, at, times, &mut found);
        }
        at += run.len() + 1;
    }
    if found.len() == plain { found } else { in_order(found) }
}

/// No address goes on behind these; each is one byte.
fn ends_run(c: char) -> bool {
    c.is_ascii_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>')
}

fn in_run(run: &str, mut at: usize, times: usize, found: &mut Vec<Found>) {
    // What the value before, under the same name, says of the next one, as in a list: `--password`.
    let mut before: Option<(&str, Class)> = None;
    for part in run.split(['?', '&']) {
        let named = part.split_once('=');
        let decoded = Decoded::percent(part, named.is_some());
        let (name, value) = named.unwrap_or(("", part));
        let value = Decoded::percent(value, true);
        let flagged = before.filter(|(of, _)| *of == name).map(|(_, class)| whole(&value.text, class));
        match flagged.filter(|secrets| !secrets.is_empty()) {
            Some(secrets) => {
                let start = at + part.len() - value.raw(value.text.len());
                found.extend(secrets.into_iter().map(|secret| in_place(secret, &value, start)));
            }
            // What is not encoded was looked through already.
            None if decoded.text != part => {
                let secrets = text::within(&decoded.text, times - 1);
                found.extend(secrets.into_iter().map(|secret| in_place(secret, &decoded, at)));
            }
            None => {}
        }
        let flag = Some(&*value.text).filter(|value| value.starts_with('-') && !value.contains(' '));
        before = flag.and_then(class).filter(|_| !name.is_empty()).map(|class| (name, class));
        at += part.len() + 1;
    }
}

/// `secret` of a decoded text where it stands encoded, `at` bytes on.
fn in_place(secret: Found, decoded: &Decoded<'_>, at: usize) -> Found {
    let plain = secret.decoded.unwrap_or_else(|| decoded.text[secret.range.clone()].to_owned());
    let range = at + decoded.raw(secret.range.start)..at + decoded.raw(secret.range.end);
    Found { range, guessable: secret.guessable, decoded: Some(plain) }
}

/// In order, those that overlap as one.
fn in_order(mut found: Vec<Found>) -> Vec<Found> {
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
