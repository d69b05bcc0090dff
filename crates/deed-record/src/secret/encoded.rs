//! Secrets that stand percent-encoded in a text (RFC 3986, and forms of HTML): in addresses, above all in the
//! command lines that Kubernetes is sent, `?command=sh&command=-c&command=PGPASSWORD%3D…`.

use super::{
    decoded::Decoded,
    json::{self, whole},
    name::{Class, class},
    program,
    shape::{Found, in_order},
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

fn in_run(run: &str, at: usize, times: usize, found: &mut Vec<Found>) {
    let parameters = parameters(run, at);
    let words: Vec<&str> = parameters.iter().map(|parameter| &*parameter.value.text).collect();
    let mut taken = Vec::new();
    // Values under one name are a list.
    for list in parameters.chunk_by(|a, b| !a.name.is_empty() && a.name == b.name) {
        let first = taken.len();
        taken.resize(first + list.len(), None);
        for (nth, part) in program::secrets(&words[first..first + list.len()]) {
            taken[first + nth] = Some(part);
        }
    }
    // What the value before, under the same name, says of the next one: `--password`.
    let mut before: Option<(&str, Class)> = None;
    for (parameter, taken) in parameters.iter().zip(taken) {
        let Parameter { at, part, name, value } = parameter;
        let decoded = Decoded::percent(part, !name.is_empty());
        let flagged = before.filter(|(of, _)| of == name).map(|(_, class)| whole(&value.text, class));
        let taken = taken.map(|range| json::taken(&value.text, range));
        let secrets: Vec<Found> = flagged.into_iter().chain(taken).flatten().collect();
        if !secrets.is_empty() {
            let start = at + part.len() - value.raw(value.text.len());
            found.extend(secrets.into_iter().map(|secret| in_place(secret, value, start)));
        } else if decoded.text != *part {
            // What is not encoded was looked through already.
            let secrets = text::within(&decoded.text, times - 1);
            found.extend(secrets.into_iter().map(|secret| in_place(secret, &decoded, *at)));
        }
        let flag = Some(&*value.text).filter(|value| value.starts_with('-') && !value.contains(' '));
        before = flag.and_then(class).filter(|_| !name.is_empty()).map(|class| (*name, class));
    }
}

/// A part of an address or a form: `name=value`, or only a value.
struct Parameter<'r> {
    /// Where it begins.
    at: usize,
    part: &'r str,
    name: &'r str,
    value: Decoded<'r>,
}

fn parameters(run: &str, mut at: usize) -> Vec<Parameter<'_>> {
    let mut all = Vec::new();
    for part in run.split(['?', '&']) {
        let (name, value) = part.split_once('=').unwrap_or(("", part));
        all.push(Parameter { at, part, name, value: Decoded::percent(value, true) });
        at += part.len() + 1;
    }
    all
}

/// `secret` of a decoded text where it stands encoded, `at` bytes on.
fn in_place(secret: Found, decoded: &Decoded<'_>, at: usize) -> Found {
    let plain = secret.decoded.unwrap_or_else(|| decoded.text[secret.range.clone()].to_owned());
    let range = at + decoded.raw(secret.range.start)..at + decoded.raw(secret.range.end);
    Found { range, guessable: secret.guessable, decoded: Some(plain) }
}
