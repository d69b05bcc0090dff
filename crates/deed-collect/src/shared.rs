//! What the collectors of JSON events have in common.

use deed_record::{
    Basis, Change, Credential, EffectSent, Kind, Principal, PrincipalType, Resource, Source, Submission,
    TermsSent, Text, Timestamp, WHOLE,
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{authority, cloudtrail, json};

/// What stands at `path`.
pub(crate) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

/// The string at `path`, where it is one and not empty.
pub(crate) fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path)?.as_str().filter(|text| !text.is_empty())
}

/// The string or whole number at `path`, as text: many systems write ids as either.
pub(crate) fn word(value: &Value, path: &[&str]) -> Option<String> {
    match at(value, path)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

/// The strings of the list at `path`.
pub(crate) fn texts<'v>(value: &'v Value, path: &[&str]) -> impl Iterator<Item = &'v str> {
    let list = at(value, path).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).filter(|text| !text.is_empty())
}

/// `text` as a member of a record.
pub(crate) fn own(text: &str) -> Text<'static> {
    json::text(text.to_owned())
}

/// As many of `texts` as have room in a sealed record beside everything else; the event has them all.
pub(crate) fn some<'v>(texts: impl Iterator<Item = &'v str>) -> Vec<Text<'static>> {
    const ROOM: usize = 8192;
    let mut room = ROOM;
    let fits = |text: &&str| {
        let left = room.checked_sub(text.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    texts.take_while(fits).map(own).collect()
}

/// The time that `text` holds: RFC 3339, or without a zone, which means UTC.
///
/// # Errors
/// None that an event can have had. The error names `field` and completes "line 3, …".
pub(crate) fn time(field: &str, text: &str) -> Result<Timestamp, String> {
    in_range(field, cloudtrail::time::of_event(text).map_err(|error| format!("field `{field}`: {error}"))?)
}

/// `time`, where an event can have had it.
pub(crate) fn in_range(field: &str, time: Timestamp) -> Result<Timestamp, String> {
    if time.is_of_event() {
        Ok(time)
    } else {
        Err(format!("field `{field}`: expected a time from 1970 to 2199, found `{time}`"))
    }
}

/// What names an event that has no id of its own: a digest of its text, so that the same event is one.
pub(crate) fn digest_id(event: &str) -> String {
    format!("sha256:{}", json::hex(&Sha256::digest(event.trim().as_bytes())))
}

/// What tells a secret, or a name that was made up at random, from any other: its SHA-256; of an HMAC that stands in its
/// place, that. Whatever is short could be guessed, and has none.
///
/// INVARIANT D9: never the secret.
pub(crate) fn fingerprint(secret: &str) -> Option<Text<'static>> {
    let digits = secret.strip_prefix("hmac-sha256:");
    if digits.is_some_and(|digits| digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Some(own(secret));
    }
    let digest = || json::hex(&Sha256::digest(secret.as_bytes()));
    (secret.len() >= 20).then(|| json::text(format!("sha256:{}", digest())))
}

pub(crate) fn principal(kind: PrincipalType, key: Option<String>, name: Option<&str>) -> Principal<'static> {
    Principal { instance: None, key: key.map(json::text), name: name.map(own), kind, vendor: None }
}

/// An observation that `system` logged under `event_id`, and nothing more yet.
pub(crate) fn observed(
    time: Timestamp,
    collector: &'static str,
    system: String,
    event_id: String,
) -> Submission<'static> {
    Submission {
        basis: Some(Basis::Imported),
        source: Some(Source {
            collector: Some(collector.into()),
            event_id: Some(json::text(event_id)),
            system: json::text(system),
        }),
        ..Submission::new(Kind::Observation, time)
    }
}

/// The record's JSON, with the event as it came.
pub(crate) fn record(submission: &Submission<'_>, event: &str) -> Result<String, String> {
    let mut disclose = json::Json::with_capacity(event.len() + 16);
    disclose.name(WHOLE);
    disclose.raw(event);
    json::record(submission, &disclose)
}

/// A credential came, changed or went.
pub(crate) fn credential_effect(
    change: Change,
    credential: Credential<'static>,
    subject: Option<Principal<'static>>,
    resource: Option<Resource<'static>>,
) -> EffectSent<'static> {
    let expires = credential.expires.filter(|_| matches!(change, Change::Issued | Change::Renewed));
    let terms = TermsSent { change: Some(change), expires, subject, ..TermsSent::default() };
    EffectSent { credential: Some(credential), kind: Kind::Credential, resource, terms: Some(terms) }
}

/// Somebody got a right or lost it, or what it allows was changed.
pub(crate) fn grant_effect(
    change: Change,
    subject: Option<Principal<'static>>,
    role: Option<String>,
    scopes: Vec<Text<'static>>,
    resource: Option<Resource<'static>>,
) -> EffectSent<'static> {
    let role = role.map(json::text);
    let terms = TermsSent { change: Some(change), role, scopes, subject, ..TermsSent::default() };
    EffectSent { credential: None, kind: Kind::Grant, resource, terms: Some(terms) }
}

/// Something of `kind` was changed that is neither a credential nor a right.
pub(crate) fn other_effect(
    kind: Kind,
    change: Change,
    subject: Option<Principal<'static>>,
    resource: Option<Resource<'static>>,
) -> EffectSent<'static> {
    let terms = TermsSent { change: Some(change), subject, ..TermsSent::default() };
    EffectSent { credential: None, kind, resource, terms: Some(terms) }
}

/// Something acted upon, of which nobody said how it is classified.
pub(crate) fn resource(uri: String, kind: Option<&str>) -> Resource<'static> {
    Resource { classification: None, kind: kind.map(own), uri: own(authority::without_address(&uri)) }
}
