//! What an event changed in authority. A type that is not listed here changes nothing; adding it needs a new version of
//! the mapping.

use deed_record::{Change, Credential, EffectSent, Principal, Timestamp};

use super::{Event, subject::Subject};
use crate::authority::{self, of_credential, of_principal};

pub(super) fn effects(event: Event<'_>, subject: &Subject, time: Timestamp) -> Vec<EffectSent<'static>> {
    let accounts = |change| subject.accounts.iter().map(|who| of_principal(change, who.clone())).collect();
    match (event.family, event.name) {
        (Some("caep"), "session-revoked") | (Some("risc"), "sessions-revoked") => {
            held(Change::Revoked, session(event, subject), subject)
        }
        (Some("caep"), "session-established") => established(event, subject, time),
        (Some("caep"), "token-claims-change") => held(Change::Altered, token(event, subject), subject),
        (Some("caep"), "credential-change") => credential_change(event, subject, time),
        (Some("oauth"), "token-revoked" | "tokens-revoked") => {
            held(Change::Revoked, token(event, subject), subject)
        }
        (Some("risc"), "account-disabled" | "account-purged") => accounts(Change::Revoked),
        (Some("risc"), "account-enabled") => accounts(Change::Renewed),
        (Some("risc"), "identifier-changed" | "identifier-recycled") => accounts(Change::Altered),
        _ => Vec::new(),
    }
}

/// The change of a credential: of the one that is named, else of all that whoever the event is about has of that sort.
fn held(change: Change, credential: Credential<'static>, subject: &Subject) -> Vec<EffectSent<'static>> {
    let is_named = credential.names().next().is_some();
    let of = |who: Option<&Principal<'static>>| of_credential(change, credential.clone(), who.cloned());
    match &*subject.accounts {
        [] if is_named => vec![of(None)],
        [first, ..] if is_named => vec![of(Some(first))],
        all => all.iter().map(|who| of(Some(who))).collect(),
    }
}

/// The session, or the token that stands for it.
fn session(event: Event<'_>, subject: &Subject) -> Credential<'static> {
    let named = || authority::credential("session", subject.session.as_deref(), &event.home());
    subject.token.clone().unwrap_or_else(named)
}

fn token(event: Event<'_>, subject: &Subject) -> Credential<'static> {
    subject.token.clone().unwrap_or_else(|| authority::credential("token", None, &event.home()))
}

/// A session that is not named by itself is known by the one that it belongs to, if by any.
fn established(event: Event<'_>, subject: &Subject, time: Timestamp) -> Vec<EffectSent<'static>> {
    let outer = event.is.text(&["ext_id"]).filter(|id| authority::is_impersonal(id));
    let mut session = session(event, subject);
    if session.names().next().is_none() {
        session.id = outer.map(authority::text);
    }
    if session.names().next().is_none() {
        return Vec::new();
    }
    session.issued = Some(time);
    held(Change::Issued, session, subject)
}

fn credential_change(event: Event<'_>, subject: &Subject, time: Timestamp) -> Vec<EffectSent<'static>> {
    let Some(kind) = event.is.text(&["credential_type"]) else { return Vec::new() };
    let change = match (event.is.text(&["change_type"]), kind) {
        (Some("create"), _) => Change::Issued,
        (Some("revoke" | "delete"), _) => Change::Revoked,
        // What there is only one of is replaced by what it is changed to.
        (Some("update"), "password" | "pin" | "x509") => Change::Rotated,
        (Some("update"), _) => Change::Altered,
        _ => return Vec::new(),
    };
    let credential = Credential {
        issued: (change == Change::Issued).then_some(time),
        ..subject.token.clone().unwrap_or_else(|| certificate(event, kind))
    };
    held(change, credential, subject)
}

/// A credential of that sort. Serial numbers of certificates are unique for one issuer only (RFC 5280, section 4.1.2.2).
fn certificate(event: Event<'_>, kind: &str) -> Credential<'static> {
    let serial = event.is.text(&["x509_issuer"]).zip(event.is.text(&["x509_serial"]));
    let id = serial.map(|(issuer, serial)| format!("{issuer}#{serial}"));
    let id = id.as_deref().filter(|id| authority::is_impersonal(id));
    authority::credential(kind, id, &event.home())
}
