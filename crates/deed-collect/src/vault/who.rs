//! Who called, and with which token.

use deed_record::{Credential, Principal, PrincipalType, Timestamp};
use serde_json::Value;

use super::entry::Entry;
use crate::shared::{self, at, fingerprint, own, text, texts};

/// The account behind the token that was shown. A login has none before it is answered.
pub(super) fn executor(entry: &Entry<'_>) -> Principal<'static> {
    of(entry.value.get("auth"))
        .or_else(|| of(at(entry.value, &["response", "auth"])))
        .unwrap_or_else(|| shared::principal(PrincipalType::Unknown, None, None))
}

/// Whom an authentication is of: the entity where there is one, else by what the method calls them.
pub(super) fn of(auth: Option<&Value>) -> Option<Principal<'static>> {
    let auth = auth?;
    let name = text(auth, &["display_name"]);
    let key = match (text(auth, &["entity_id"]), name) {
        (Some(entity), _) => format!("vault:entity/{entity}"),
        // What Vault calls every token that nobody gave a name: only its accessor tells one from another.
        (None, Some("token")) => format!("vault:token/{}", text(auth, &["accessor"])?),
        (None, Some(name)) => format!("vault:{name}"),
        (None, None) => return None,
    };
    // Only methods that are made for programs tell; a name and password may be either's.
    let has = |name: &str| text(auth, &["metadata", name]).is_some();
    let kind = if has("service_account_name") || has("role_name") && name == Some("approle") {
        PrincipalType::ServiceAccount
    } else {
        PrincipalType::Unknown
    };
    Some(shared::principal(kind, Some(key), name))
}

/// The token that was shown; of a login the one that it gave.
pub(super) fn credential(entry: &Entry<'_>) -> Option<Credential<'static>> {
    let auth = entry.value.get("auth");
    token(auth).or_else(|| {
        // Without an `auth` of its own the request still has the hashes of what was shown.
        let request = entry.value.get("request")?;
        if_named(Credential {
            fingerprint: text(request, &["client_token"]).and_then(fingerprint),
            id: text(request, &["client_token_accessor"]).map(accessor),
            kind: Some(KIND.into()),
            ..Credential::default()
        })
    })
}

fn if_named(credential: Credential<'static>) -> Option<Credential<'static>> {
    let is_named = credential.names().next().is_some();
    is_named.then_some(credential)
}

const KIND: &str = "vault_token";

/// The token of an authentication.
pub(super) fn token(auth: Option<&Value>) -> Option<Credential<'static>> {
    let auth = auth?;
    let issued = text(auth, &["token_issue_time"]).and_then(|at| shared::time("token_issue_time", at).ok());
    // When it ends it says only where it is given out or renewed: `token_ttl` is what it was given at first.
    if_named(Credential {
        fingerprint: text(auth, &["client_token"]).and_then(fingerprint),
        id: text(auth, &["accessor"]).map(accessor),
        issued,
        kind: Some(KIND.into()),
        scopes: shared::some(texts(auth, &["policies"])),
        ..Credential::default()
    })
}

/// `seconds` after `time`, where an event can happen then.
pub(super) fn after(time: Timestamp, seconds: i64) -> Option<Timestamp> {
    let micros = seconds.checked_mul(1_000_000)?.checked_add(time.0)?;
    Some(Timestamp(micros)).filter(|time| time.is_of_event())
}

/// An accessor names a token and opens nothing. It is hashed too, unless the device was told not to.
pub(super) fn accessor(accessor: &str) -> deed_record::Text<'static> {
    own(accessor)
}
