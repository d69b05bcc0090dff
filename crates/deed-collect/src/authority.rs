//! What collectors say in the same words: who somebody is, and what an event changed in authority.

use deed_record::{
    Change, Credential, EffectSent, Kind, Principal, PrincipalType, RecordId, Resource, TermsSent, Text,
};
use sha2::{Digest, Sha256};

use crate::json;

/// Somebody by key, `system:native-id`; of an unknown one nothing but the type is known.
pub(crate) fn principal(kind: PrincipalType, key: Option<String>, name: Option<&str>) -> Principal<'static> {
    Principal {
        instance: None,
        key: key.map(json::text),
        name: name.map(|name| json::text(name.to_owned())),
        kind,
        vendor: None,
    }
}

/// Somebody of whom nothing is known.
pub(crate) fn nobody() -> Principal<'static> {
    principal(PrincipalType::Unknown, None, None)
}

/// A person who acts directly has also asked.
pub(crate) fn asked(executor: &Principal<'static>) -> Option<Principal<'static>> {
    (executor.kind == PrincipalType::Human && executor.key.is_some()).then(|| executor.clone())
}

/// Owned text of a record.
pub(crate) fn text(value: impl Into<String>) -> Text<'static> {
    json::text(value.into())
}

/// Whether `value` may stand in a sealed record, where nobody could ever take it out: it names no person.
pub(crate) fn is_impersonal(value: &str) -> bool {
    !value.contains('@') && !value.contains("%40")
}

/// `uri` up to the segment that is a person's address, such as the name of a user: a URI is sealed as it is.
pub(crate) fn without_address(uri: &str) -> &str {
    let is_address = |segment: &str| {
        let (name, domain) =
            segment.rsplit_once('@').or_else(|| segment.rsplit_once("%40")).unwrap_or_default();
        let top = domain.rsplit_once('.').map_or("", |(_, top)| top);
        let is_domain = top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic());
        !name.is_empty() && is_domain && !domain.ends_with(".gserviceaccount.com")
    };
    let mut at = 0;
    for segment in uri.split_inclusive(['/', ':']) {
        if is_address(segment.trim_end_matches(['/', ':'])) {
            return &uri[..at];
        }
        at += segment.len();
    }
    uri
}

/// A resource of which nothing but its URI and type is known.
pub(crate) fn resource(uri: String, kind: &str) -> Resource<'static> {
    Resource { classification: None, kind: Some(text(kind)), uri: json::text(uri) }
}

/// A credential by the id its issuer has for it.
pub(crate) fn credential(kind: &str, id: Option<&str>, issuer: &str) -> Credential<'static> {
    Credential {
        id: id.filter(|id| !id.is_empty()).map(text),
        issuer: Some(text(issuer)),
        kind: Some(text(kind)),
        ..Credential::default()
    }
}

/// One change of authority of `kind`.
pub(crate) fn effect(kind: Kind, terms: TermsSent<'static>) -> EffectSent<'static> {
    EffectSent { credential: None, kind, resource: None, terms: Some(terms) }
}

/// A change of a credential.
pub(crate) fn of_credential(
    change: Change,
    credential: Credential<'static>,
    subject: Option<Principal<'static>>,
) -> EffectSent<'static> {
    let expires = credential.expires;
    let terms = TermsSent { change: Some(change), expires, subject, ..TermsSent::default() };
    EffectSent { credential: Some(credential), ..effect(Kind::Credential, terms) }
}

/// An account that came, went, was stopped or let on again.
pub(crate) fn of_principal(change: Change, subject: Principal<'static>) -> EffectSent<'static> {
    effect(
        Kind::Principal,
        TermsSent { change: Some(change), subject: Some(subject), ..TermsSent::default() },
    )
}

/// The id under which records name a request of another system, made of that system's own id for it: the
/// record of the request, its answers and what was given on it all name it in `request`.
pub(crate) fn request_id(system: &str, id: &str) -> RecordId {
    let mut hash = Sha256::new();
    for part in ["request", system, id] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    RecordId::v8(&hash.finalize().into())
}
