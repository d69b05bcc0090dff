//! What a call changed in authority: tokens, leases, secrets, policies, roles and entities.
//!
//! Only what succeeded changed anything, and only the response says so.

use deed_record::{Change, Credential, EffectSent, Kind, PrincipalType, Text};
use serde_json::Value;

use super::{
    entry::Entry,
    who::{self, after},
};
use crate::{
    cloudtrail::identity as aws,
    json,
    shared::{self, at, credential_effect, fingerprint, grant_effect, other_effect, own, text},
};

/// The effects of `entry`; `None` where there are none.
pub(super) fn effects(entry: &Entry<'_>) -> Option<Vec<EffectSent<'static>>> {
    if !entry.succeeded() {
        return None;
    }
    let found = [
        token(entry),
        wrapped(entry),
        lease(entry),
        leased_key(entry),
        ended(entry),
        kept(entry),
        rule(entry),
        entity(entry),
    ];
    let found: Vec<_> = found.into_iter().flatten().collect();
    (!found.is_empty()).then_some(found)
}

/// The token that was shown, as another one names its parent. A login shows none: what stands in `auth` of
/// its answer is what it gave.
fn parent(entry: &Entry<'_>, given: Option<&Credential<'_>>) -> Option<Text<'static>> {
    let own = who::credential(entry)?;
    let own = own.fingerprint.or(own.id)?;
    given.is_none_or(|given| given.names().all(|name| *name != *own)).then_some(own)
}

/// A login, a token made from another one, or one that lives longer.
fn token(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let auth = at(entry.value, &["response", "auth"])?;
    let token = who::token(Some(auth))?;
    let renewed = entry.path().starts_with("auth/token/renew");
    let ttl = auth.get("token_ttl").and_then(Value::as_i64).filter(|ttl| *ttl > 0);
    let since = token.issued.filter(|_| !renewed).unwrap_or(entry.time);
    let token = Credential {
        expires: ttl.and_then(|ttl| after(since, ttl)),
        issued: token.issued.or_else(|| (!renewed).then_some(entry.time)),
        parent: parent(entry, Some(&token)).filter(|_| !renewed && !is_orphan(entry, auth)),
        ..token
    };
    let change = if renewed { Change::Renewed } else { Change::Issued };
    Some(credential_effect(change, token, who::of(Some(auth)), None))
}

/// Whether it lives on when the token ends that it was made with.
fn is_orphan(entry: &Entry<'_>, auth: &Value) -> bool {
    let says = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
    says(auth.get("orphan"))
        || says(at(entry.value, &["request", "data", "no_parent"]))
        || entry.path() == "auth/token/create-orphan"
}

/// A token that opens an answer once. No other token is its parent.
fn wrapped(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let wrap = at(entry.value, &["response", "wrap_info"])?;
    let token = Credential {
        expires: wrap.get("ttl").and_then(Value::as_i64).and_then(|ttl| after(entry.time, ttl)),
        fingerprint: text(wrap, &["token"]).and_then(fingerprint),
        id: text(wrap, &["accessor"]).map(who::accessor),
        issued: Some(entry.time),
        kind: Some("wrapping_token".into()),
        ..Credential::default()
    };
    token.names().next()?;
    Some(credential_effect(Change::Issued, token, None, entry.resource()))
}

/// What an engine made for the caller and takes back when the lease ends.
fn lease(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let renewed = ["sys/leases/renew", "sys/renew"].iter().any(|path| entry.path().starts_with(path));
    let id = text(entry.value, &["response", "secret", "lease_id"]);
    let change = if renewed { Change::Renewed } else { Change::Issued };
    let id = id.or_else(|| entry.asked("lease_id").filter(|_| renewed))?;
    let made =
        account(entry).or_else(|| fingerprint(access_key(entry)?)).filter(|_| change == Change::Issued);
    // Whoever had an account made in another system acts there under its name, and is not that account.
    let subject = made.is_none().then(|| who::executor(entry));
    let lease = named("lease", id);
    let lease = Credential {
        fingerprint: lease.fingerprint.or(made),
        issued: (change == Change::Issued).then_some(entry.time),
        parent: parent(entry, None).filter(|_| change == Change::Issued),
        ..lease
    };
    Some(credential_effect(change, lease, subject, entry.resource()))
}

/// The account that an engine made for one caller alone (`database/creds/ROLE`): a digest of its name, by which the log of the
/// system knows it again where it was made. An HMAC of it is of this device alone.
fn account(entry: &Entry<'_>) -> Option<Text<'static>> {
    let (above, _) = entry.path().rsplit_once('/')?;
    let name = entry.answered("username").filter(|name| !name.starts_with("hmac-"))?;
    fingerprint(name).filter(|_| above.ends_with("/creds"))
}

/// The key of AWS that an engine made for one caller alone (`aws/creds/ROLE`, `aws/sts/ROLE`), by its id.
fn access_key<'v>(entry: &Entry<'v>) -> Option<&'v str> {
    let (above, _) = entry.path().rsplit_once('/')?;
    let made = above.ends_with("/creds") || above.ends_with("/sts");
    entry.answered("access_key").filter(|id| made && !id.starts_with("hmac-"))
}

/// The same key as the log of AWS knows it. It and its lease are one credential, which both go by the digest of its id.
fn leased_key(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let id = access_key(entry)?;
    let key = Credential {
        fingerprint: fingerprint(id),
        issued: Some(entry.time),
        parent: parent(entry, None),
        ..aws::access_key(id)
    };
    Some(credential_effect(Change::Issued, key, None, entry.resource()))
}

/// By the system's name for it, which may be hashed.
fn named(kind: &'static str, id: &str) -> Credential<'static> {
    let hashed = fingerprint(id).filter(|_| id.starts_with("hmac-"));
    let id = hashed.is_none().then(|| own(id));
    Credential { fingerprint: hashed, id, kind: Some(kind.into()), ..Credential::default() }
}

/// A token or lease that was taken back.
fn ended(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let path = entry.path();
    let credential = match path {
        "auth/token/revoke-self" => who::credential(entry)?,
        "auth/token/revoke-accessor" => Credential {
            id: Some(who::accessor(entry.asked("accessor")?)),
            kind: Some("vault_token".into()),
            ..Credential::default()
        },
        "auth/token/revoke" | "auth/token/revoke-orphan" => Credential {
            fingerprint: Some(entry.asked("token").and_then(fingerprint)?),
            kind: Some("vault_token".into()),
            ..Credential::default()
        },
        _ => {
            let of_lease =
                ["sys/leases/revoke-prefix", "sys/leases/revoke-force", "sys/leases/revoke", "sys/revoke"];
            let rest = of_lease.iter().find_map(|known| path.strip_prefix(known))?;
            let id =
                entry.asked("lease_id").or_else(|| rest.strip_prefix('/').filter(|id| !id.is_empty()))?;
            named("lease", id)
        }
    };
    Some(credential_effect(Change::Revoked, credential, None, None))
}

/// What Vault keeps: secrets, keys, passwords of others, and their rotation; ids and certificates it gives out.
fn kept(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let path = entry.path();
    let last = path.rsplit('/').next().unwrap_or_default();
    let secret = |path: &str| Credential {
        id: Some(json::text(entry.uri(path))),
        kind: Some("secret".into()),
        ..Credential::default()
    };
    let issued = |change: Change| (change != Change::Revoked).then_some(entry.time);
    let (change, credential) = if entry.is_write() && is_rotation(path) {
        (Change::Rotated, secret(path))
    } else if entry.is_write() && path.starts_with("auth/") && last == "secret-id" {
        let id = entry.answered("secret_id_accessor").map(|id| named("secret_id", id));
        (Change::Issued, id?)
    } else if entry.is_write() && entry.engine() == Some("pki") && is_issue(path) {
        let certificate = entry.answered("serial_number").map(|serial| named("x509", serial));
        (Change::Issued, certificate?)
    } else if matches!(entry.engine(), Some("kv" | "generic" | "cubbyhole")) && !path.contains("/metadata/") {
        let change = match entry.request("operation") {
            Some("create") => Change::Issued,
            Some("update" | "patch") if last == "undelete" => return None,
            Some("update" | "patch") => Change::Rotated,
            Some("delete") => Change::Revoked,
            _ => return None,
        };
        (change, secret(path))
    } else {
        return None;
    };
    let credential = Credential { issued: issued(change), ..credential };
    Some(credential_effect(change, credential, None, entry.resource()))
}

/// `transit/keys/K/rotate`, `database/rotate-role/R`, `database/rotate-root/D`, `aws/config/rotate-root`,
/// `sys/rotate`: one part of the path says so.
fn is_rotation(path: &str) -> bool {
    path.split('/').skip(1).any(|part| matches!(part, "rotate" | "rotate-role" | "rotate-root"))
}

/// `pki/issue/ROLE`, `pki/sign/ROLE`.
fn is_issue(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "issue" | "sign" | "sign-verbatim"))
}

/// An entity that was deleted, disabled or let go on: by its id, for that of its name the log need not tell.
fn entity(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let id = entry.path().strip_prefix("identity/entity/id/")?;
    let disabled = at(entry.value, &["request", "data", "disabled"]).and_then(Value::as_bool);
    let change = match disabled {
        _ if entry.is_delete() => Change::Revoked,
        Some(disabled) if entry.is_write() => {
            if disabled {
                Change::Revoked
            } else {
                Change::Renewed
            }
        }
        _ => return None,
    };
    let whole = Some(id).filter(|id| !id.is_empty() && !id.contains('/'))?;
    let key = format!("vault:entity/{whole}");
    let subject = shared::principal(PrincipalType::Unknown, Some(key), None);
    Some(other_effect(Kind::Principal, change, Some(subject), None))
}

/// Policies, and roles of the ways to log in: what they give was changed for everybody who has them.
fn rule(entry: &Entry<'_>) -> Option<EffectSent<'static>> {
    let path = entry.path();
    let change = match () {
        () if entry.is_write() => Change::Altered,
        () if entry.is_delete() => Change::Revoked,
        () => return None,
    };
    let policy = ["sys/policies/acl/", "sys/policy/"].iter().find_map(|known| path.strip_prefix(known));
    if let Some(name) = policy.filter(|name| !name.is_empty()) {
        return Some(grant_effect(change, None, None, vec![own(name)], entry.resource()));
    }
    // `auth/MOUNT/role/NAME`, and nothing below it.
    let (_, role) = path.strip_prefix("auth/")?.split_once("/role/")?;
    let role = Some(role).filter(|role| !role.is_empty() && !role.contains('/'))?;
    Some(grant_effect(change, None, Some(format!("vault:role/{role}")), Vec::new(), entry.resource()))
}
