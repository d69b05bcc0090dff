//! Which class and activity a record is. The table stands in `docs/ocsf.md`.

use deed_record::{Answer, Change, Kind, PrincipalType, Skeleton, Terms};

use crate::verb::Verb;

/// A class of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Class {
    pub(super) uid: u32,
    pub(super) name: &'static str,
    pub(super) category: (u32, &'static str),
}

const IAM: (u32, &str) = (3, "Identity & Access Management");
const APPLICATION: (u32, &str) = (6, "Application Activity");

pub(super) const API: Class = Class { uid: 6003, name: "API Activity", category: APPLICATION };
pub(super) const ERROR: Class = Class { uid: 6008, name: "Application Error", category: APPLICATION };
const ACCOUNT_CHANGE: Class = Class { uid: 3001, name: "Account Change", category: IAM };
const AUTHENTICATION: Class = Class { uid: 3002, name: "Authentication", category: IAM };
const AUTHORIZE_SESSION: Class = Class { uid: 3003, name: "Authorize Session", category: IAM };
const ENTITY_MANAGEMENT: Class = Class { uid: 3004, name: "Entity Management", category: IAM };
const USER_ACCESS: Class = Class { uid: 3005, name: "User Access Management", category: IAM };
pub(super) const FINDING: Class = Class { uid: 2004, name: "Detection Finding", category: (2, "Findings") };

/// Number and name of what was done, within a class.
pub(super) type Activity = (u32, &'static str);

pub(super) const CREATE: Activity = (1, "Create");
const READ: Activity = (2, "Read");
const UPDATE: Activity = (3, "Update");
const DELETE: Activity = (4, "Delete");

/// What `record` is.
pub(super) fn of(record: &Skeleton<'_>) -> (Class, Activity) {
    if let Some((kind, credential, terms)) = changed(record) {
        return authority(kind, credential, terms, record);
    }
    match record.kind {
        Kind::Access => (API, READ),
        Kind::Gap => (ERROR, (1, "General Error")),
        Kind::Redaction => (ENTITY_MANAGEMENT, DELETE),
        Kind::Review => (ENTITY_MANAGEMENT, (99, "Review")),
        _ => (API, verb(record)),
    }
}

/// The change of authority that `record` is about: its own, else the first of its effects.
pub(super) fn changed<'r>(
    record: &'r Skeleton<'_>,
) -> Option<(Kind, Option<&'r deed_record::Credential<'r>>, Option<&'r Terms<'r>>)> {
    if record.kind.is_authority() {
        return Some((record.kind, record.credential.as_ref(), record.terms.as_ref()));
    }
    let effect = record.effects.iter().flatten().next()?;
    Some((effect.kind, effect.credential.as_ref(), effect.terms.as_ref()))
}

fn authority(
    kind: Kind,
    credential: Option<&deed_record::Credential<'_>>,
    terms: Option<&Terms<'_>>,
    record: &Skeleton<'_>,
) -> (Class, Activity) {
    let change = terms.and_then(|terms| terms.change);
    let is = credential.and_then(|credential| credential.kind.as_deref()).unwrap_or_default();
    match (kind, change) {
        (Kind::Credential, Some(Change::Used)) => (AUTHENTICATION, (1, "Logon")),
        (Kind::Credential, Some(Change::Issued)) if is == "session" => (AUTHENTICATION, (1, "Logon")),
        (Kind::Credential, Some(Change::Revoked | Change::Expired)) if is == "session" => {
            (AUTHENTICATION, (2, "Logoff"))
        }
        (Kind::Credential, Some(Change::Rotated)) if is == "password" => {
            (ACCOUNT_CHANGE, (3, "Password Change"))
        }
        (Kind::Credential, Some(Change::Issued)) if is == "mfa" => {
            (ACCOUNT_CHANGE, (10, "MFA Factor Enable"))
        }
        (Kind::Credential, Some(Change::Revoked)) if is == "mfa" => {
            (ACCOUNT_CHANGE, (11, "MFA Factor Disable"))
        }
        (Kind::Grant, Some(Change::Issued | Change::Renewed | Change::Altered) | None) => {
            (AUTHORIZE_SESSION, (1, "Assign Privileges"))
        }
        (Kind::Grant, Some(Change::Revoked | Change::Expired)) => (USER_ACCESS, (2, "Revoke Privileges")),
        (Kind::Principal, _) => {
            let subject = terms.and_then(|terms| terms.subject.as_ref()).or(record.executor.as_ref());
            match subject.map(|subject| subject.kind) {
                Some(PrincipalType::Agent | PrincipalType::Workload | PrincipalType::ThirdParty) => {
                    (ENTITY_MANAGEMENT, of_entity(change))
                }
                _ => (ACCOUNT_CHANGE, of_account(change)),
            }
        }
        (Kind::Approval | Kind::Tool, _) if terms.is_some_and(|terms| terms.answer.is_some()) => {
            let approved = terms.and_then(|terms| terms.answer) == Some(Answer::Approved);
            (ENTITY_MANAGEMENT, (99, if approved { "Approve" } else { "Refuse" }))
        }
        (Kind::Request, None) => (ENTITY_MANAGEMENT, of_entity(Some(Change::Requested))),
        (Kind::Exception | Kind::Policy, None) => (ENTITY_MANAGEMENT, CREATE),
        _ => (ENTITY_MANAGEMENT, of_entity(change)),
    }
}

fn of_entity(change: Option<Change>) -> Activity {
    match change {
        None => (0, "Unknown"),
        Some(Change::Requested) => (99, "Request"),
        Some(Change::Issued) => CREATE,
        Some(Change::Used) => READ,
        Some(Change::Renewed | Change::Rotated | Change::Altered) => UPDATE,
        Some(Change::Revoked) => DELETE,
        Some(Change::Expired) => (11, "Deactivate"),
    }
}

fn of_account(change: Option<Change>) -> Activity {
    match change {
        None => (0, "Unknown"),
        Some(Change::Issued) => CREATE,
        Some(Change::Renewed) => (2, "Enable"),
        // That an account is gone for ever is nothing that a record says.
        Some(Change::Revoked | Change::Expired) => (5, "Disable"),
        Some(Change::Requested) => (99, "Request"),
        Some(Change::Used) => (99, "Use"),
        Some(Change::Rotated | Change::Altered) => (99, "Change"),
    }
}

fn verb(record: &Skeleton<'_>) -> Activity {
    match Verb::of(record) {
        Some(Verb::Read) => READ,
        Some(Verb::Create) => CREATE,
        Some(Verb::Update) => UPDATE,
        Some(Verb::Delete) => DELETE,
        None if record.tool.is_none() && record.operation.is_none() && record.permission.is_none() => {
            (0, "Unknown")
        }
        None => (99, "Other"),
    }
}
