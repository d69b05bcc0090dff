//! What an audit event changed in authority.
//!
//! Only what succeeded changed anything. An operation that is not listed here has no effects; adding it
//! needs a new version of the mapping. Operations are told by their names, which Entra words without a rule.

use deed_record::{Change, Credential, EffectSent, Kind, Principal, PrincipalType, TermsSent, Timestamp};

use super::{
    SYSTEM,
    audit::{Audit, of_target},
    keys, party, role,
};
use crate::authority::{self, of_credential, of_principal};

pub(super) fn effects(
    audit: Audit<'_>,
    executor: &Principal<'static>,
    initiator: Option<&Principal<'static>>,
    time: Timestamp,
) -> Vec<EffectSent<'static>> {
    let keys = keys::effects(audit, time);
    if !keys.is_empty() {
        return keys;
    }
    let by = initiator.or(Some(executor)).filter(|by| by.key.is_some()).cloned();
    let effect = role::effect(audit, by)
        .or_else(|| held(audit, time))
        .or_else(|| account(audit))
        .or_else(|| policy(audit));
    effect.into_iter().collect()
}

/// Passwords, second factors and sessions of users.
fn held(audit: Audit<'_>, time: Timestamp) -> Option<EffectSent<'static>> {
    let (change, kind) = match audit.operation {
        "Reset password (by admin)"
        | "Reset password (self-service)"
        | "Reset user password"
        | "Change password (self-service)"
        | "Change user password" => (Change::Rotated, "password"),
        "User registered security info"
        | "User registered all required security info"
        | "Admin registered security info" => (Change::Issued, "mfa"),
        "User changed default security info" | "User updated security info" => (Change::Altered, "mfa"),
        "User deleted security info" | "Admin deleted security info" | "Disable Strong Authentication" => {
            (Change::Revoked, "mfa")
        }
        "Update StsRefreshTokenValidFrom Timestamp" | "Revoke sign in sessions" => {
            (Change::Revoked, "session")
        }
        _ => return None,
    };
    let credential = Credential {
        issued: matches!(change, Change::Issued | Change::Rotated).then_some(time),
        ..authority::credential(kind, None, SYSTEM)
    };
    Some(of_credential(change, credential, audit.target(&["User"]).and_then(party::of_target)))
}

/// What can come, go and be stopped, by the words of operations, the longer ones first.
const ACCOUNTS: &[(&str, PrincipalType)] = &[
    ("agent identity blueprint principal", PrincipalType::Workload),
    ("agent identity blueprint", PrincipalType::Workload),
    ("agent identity", PrincipalType::Agent),
    ("agent user", PrincipalType::Agent),
    ("agentic application", PrincipalType::Agent),
    ("service principal", PrincipalType::Workload),
    ("managed identity", PrincipalType::Workload),
    ("application", PrincipalType::Workload),
    ("external user", PrincipalType::Human),
    ("account", PrincipalType::Human),
    ("user", PrincipalType::Human),
];

/// Accounts that came, went, were stopped or let on again.
fn account(audit: Audit<'_>) -> Option<EffectSent<'static>> {
    let operation = audit.operation.to_ascii_lowercase();
    let (verb, what) = [
        "hard delete ",
        "add ",
        "create ",
        "invite ",
        "delete ",
        "remove ",
        "disable ",
        "enable ",
        "restore ",
        "update ",
    ]
    .iter()
    .find_map(|verb| Some((*verb, operation.strip_prefix(verb)?)))?;
    let (_, kind) = ACCOUNTS.iter().find(|(name, _)| *name == what)?;
    let change = match verb {
        "add " | "create " | "invite " => Change::Issued,
        "enable " | "restore " => Change::Renewed,
        "update " => match audit.property("AccountEnabled")?.trim_matches(['[', ']']) {
            "true" | "True" => Change::Renewed,
            "false" | "False" => Change::Revoked,
            _ => return None,
        },
        _ => Change::Revoked,
    };
    let target = audit.targets().next()?;
    let subject = party::of_target(target)?;
    Some(of_principal(change, Principal { kind: *kind, ..subject }))
}

/// Policies: conditional access, authentication methods, federation.
fn policy(audit: Audit<'_>) -> Option<EffectSent<'static>> {
    let operation = audit.operation.to_ascii_lowercase();
    let is_policy = operation.contains("policy") || operation.contains("federation settings");
    let change = match operation.split(' ').next().unwrap_or_default() {
        _ if !is_policy => return None,
        "add" | "added" | "create" => Change::Issued,
        "delete" | "deleted" | "remove" => Change::Revoked,
        _ => Change::Altered,
    };
    Some(EffectSent {
        resource: audit.targets().next().and_then(of_target),
        ..authority::effect(Kind::Policy, TermsSent { change: Some(change), ..TermsSent::default() })
    })
}
