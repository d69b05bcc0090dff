//! What an event changed in authority.
//!
//! Only what succeeded changed anything. An event type that is not listed here has no effects; adding it
//! needs a new version of the mapping.

use deed_record::{
    Answer, Change, Credential, EffectSent, Kind, Principal, RecordId, Resource, TermsSent, Timestamp,
};

use super::{Event, SYSTEM, known, of_target, party, words};
use crate::{
    authority::{self, of_credential, of_principal, text},
    loose::Loose,
};

/// The targets that a right can be a right to.
const GROUPS: &[&str] = &["UserGroup", "AppInstance", "AppGroup"];
const APPS: &[&str] = &["AppInstance", "PublicClientApp", "OAuth2Client", "ServiceApp"];
const PEOPLE: &[&str] = &["User", "AppUser"];

pub(super) fn effects(event: Event<'_>, time: Timestamp) -> Vec<EffectSent<'static>> {
    if !event.succeeded() {
        return Vec::new();
    }
    let kind = event.kind();
    if kind.contains(".token.grant") || kind.contains(".token.revoke") {
        return tokens(event, time);
    }
    let effect = held(event, time)
        .or_else(|| membership(event))
        .or_else(|| privilege(event))
        .or_else(|| account(event))
        .or_else(|| access_request(event))
        .or_else(|| policy(event));
    effect.into_iter().collect()
}

/// The request that an event of an access request is about.
pub(super) fn request(event: Event<'_>) -> Option<RecordId> {
    let kind = event.kind();
    if !kind.starts_with("access.request.") && !kind.starts_with("app.access_request.") {
        return None;
    }
    let request = event.targets().find(|target| {
        target.text(&["type"]).is_some_and(|kind| kind.to_ascii_lowercase().ends_with("request"))
    })?;
    Some(authority::request_id(SYSTEM, known(request.text(&["id"]))?))
}

/// One effect for each token that an authorisation server gave out or took back.
fn tokens(event: Event<'_>, time: Timestamp) -> Vec<EffectSent<'static>> {
    let given = event.kind().contains(".token.grant");
    let change = if given { Change::Issued } else { Change::Revoked };
    let scopes = event.debug("grantedScopes").map(words).unwrap_or_default();
    let subject = event.target(APPS).and_then(party::of).unwrap_or_else(|| party::actor(event));
    let is_token = |target: &Loose<'_>| {
        target.text(&["type"]).is_some_and(|kind| kind.to_ascii_lowercase().contains("token"))
    };
    let of_token = |target: Loose<'_>| {
        let kind = target.text(&["type"]).unwrap_or("token").to_ascii_lowercase().replace(' ', "_");
        let credential = Credential {
            issued: given.then_some(time),
            scopes: scopes.clone(),
            ..authority::credential(&kind, known(target.text(&["id"])), SYSTEM)
        };
        of_credential(change, credential, Some(subject.clone()))
    };
    event.targets().filter(is_token).map(of_token).collect()
}

/// API tokens, sessions, passwords, second factors, secrets and keys of applications.
fn held(event: Event<'_>, time: Timestamp) -> Option<EffectSent<'static>> {
    let actor = || party::actor(event);
    let person = || event.target(PEOPLE).and_then(party::of).unwrap_or_else(actor);
    let app = || event.target(APPS).and_then(party::of);
    let token = || known(event.target(&["Token", "APIToken", "ApiToken"])?.text(&["id"]));
    let (change, kind, id, subject) = match event.kind() {
        "system.api_token.create" => (Change::Issued, "api_token", token(), Some(actor())),
        "system.api_token.enable" => (Change::Renewed, "api_token", token(), None),
        "system.api_token.update" => (Change::Altered, "api_token", token(), None),
        "system.api_token.revoke" | "system.api_token.disable" => {
            (Change::Revoked, "api_token", token(), None)
        }
        // One session, of which nothing is said where it is not told which.
        "user.session.start" => (Change::Issued, "session", Some(event.signed_in()?), Some(actor())),
        "user.session.end" => (Change::Revoked, "session", Some(event.signed_in()?), Some(actor())),
        "user.session.expire" => (Change::Expired, "session", Some(event.signed_in()?), Some(actor())),
        // All sessions of a user.
        "user.session.clear" => (Change::Revoked, "session", None, Some(person())),
        "user.account.update_password" | "user.account.reset_password" | "user.account.expire_password" => {
            (Change::Rotated, "password", None, Some(person()))
        }
        "application.user_membership.change_password" => (Change::Rotated, "password", None, Some(person())),
        "user.mfa.factor.activate" | "system.mfa.factor.activate" => {
            (Change::Issued, "mfa", None, Some(person()))
        }
        "user.mfa.factor.unsuspend" => (Change::Renewed, "mfa", None, Some(person())),
        "user.mfa.factor.update" => (Change::Altered, "mfa", None, Some(person())),
        "user.mfa.factor.deactivate"
        | "user.mfa.factor.reset_all"
        | "user.mfa.factor.suspend"
        | "system.mfa.factor.deactivate" => (Change::Revoked, "mfa", None, Some(person())),
        "app.keys.generate" | "app.keys.clone" => (Change::Issued, "signing_key", None, app()),
        "app.keys.rotate" | "app.oauth2.as.key.rollover" | "app.oauth2.key.rollover" => {
            (Change::Rotated, "signing_key", None, app())
        }
        kind => {
            let change = lifecycle(kind.strip_prefix("app.oauth2.credentials.lifecycle.")?)?;
            let key = event.targets().find(|target| {
                target.text(&["type"]).is_some_and(|kind| !APPS.contains(&kind) && !PEOPLE.contains(&kind))
            });
            let is_key = key.and_then(|key| key.text(&["type"])).is_some_and(|kind| {
                let kind = kind.to_ascii_lowercase();
                kind.contains("jwk") || kind.contains("key")
            });
            let id = key.and_then(|key| known(key.text(&["id"])));
            (change, if is_key { "jwk" } else { "client_secret" }, id, app())
        }
    };
    let credential = Credential {
        issued: matches!(change, Change::Issued | Change::Rotated).then_some(time),
        ..authority::credential(kind, id, SYSTEM)
    };
    Some(of_credential(change, credential, subject))
}

/// Who may use an application or is in a group.
fn membership(event: Event<'_>) -> Option<EffectSent<'static>> {
    let (what, change) = event.kind().rsplit_once('.')?;
    let change = match change {
        "add" | "restore" => Change::Issued,
        "update" => Change::Altered,
        "remove" | "revoke" | "deprovision" => Change::Revoked,
        _ => return None,
    };
    let (subject, right) = match what {
        "application.user_membership" => (event.target(PEOPLE_FIRST), event.target(&["AppInstance"])),
        "group.user_membership" => (event.target(PEOPLE_FIRST), event.target(&["UserGroup"])),
        "group.application_assignment" => (event.target(&["UserGroup"]), event.target(&["AppInstance"])),
        _ => return None,
    };
    let right = right.and_then(of_target);
    grant(change, subject.and_then(party::of), right, Vec::new())
}

/// A user's account in an application stands beside the user; the user is who gets the right.
const PEOPLE_FIRST: &[&str] = &["User", "AppUser", "PublicClientApp"];

/// Roles of administrators, scopes of applications, consent, and support that acts as somebody.
fn privilege(event: Event<'_>) -> Option<EffectSent<'static>> {
    let kind = event.kind();
    let (what, change) = kind.rsplit_once('.')?;
    let change = match change {
        "grant" | "add" | "create" => Change::Issued,
        "revoke" | "delete" | "remove" => Change::Revoked,
        "extend" => Change::Renewed,
        "update" => Change::Altered,
        _ => return None,
    };
    let scopes =
        |names: &[&str]| names.iter().find_map(|name| event.debug(name)).map(words).unwrap_or_default();
    let privileges = || scopes(&["privilegeGranted", "privilegeRevoked", "role", "scopes", "grantedScopes"]);
    let subject = |types: &[&str]| event.target(types).and_then(party::of);
    match what {
        "user.account.privilege" => grant(change, subject(PEOPLE), None, privileges()),
        "group.privilege" => grant(change, subject(&["UserGroup"]), None, privileges()),
        "app.oauth2.client.privilege" => grant(change, subject(APPS), None, privileges()),
        "app.oauth2.consent" | "app.oauth2.as.consent" | "app.oauth2.admin.consent" => {
            grant(change, subject(APPS), None, privileges())
        }
        "user.session.impersonation" => {
            let mut effect = grant(change, None, None, Vec::new())?;
            if let Some(terms) = &mut effect.terms {
                terms.role = Some("impersonation".into());
                terms.by = Some(party::actor(event));
            }
            Some(effect)
        }
        "iam.resourceset.bindings" => {
            let role = event.target(&["CustomRole", "Role", "ROLE"]).and_then(of_target);
            let subject = subject(&["User", "UserGroup", "PublicClientApp"]);
            grant(change, subject, role, Vec::new())
        }
        // What everybody who has the role may do.
        "iam.role" | "iam.role.permissions" | "iam.role.permission.conditions" | "iam.resourceset" => {
            let change =
                if what == "iam.role" || what == "iam.resourceset" { change } else { Change::Altered };
            grant(change, None, event.targets().find_map(of_target), Vec::new())
        }
        _ => None,
    }
}

fn grant(
    change: Change,
    subject: Option<Principal<'static>>,
    right: Option<Resource<'static>>,
    scopes: Vec<deed_record::Text<'static>>,
) -> Option<EffectSent<'static>> {
    let role = right.as_ref().filter(|right| {
        let kind = right.kind.as_deref().unwrap_or_default();
        GROUPS.contains(&kind) || kind.to_ascii_lowercase().contains("role")
    });
    let role = role.map(|right| right.uri.clone());
    let terms = TermsSent { change: Some(change), role, scopes, subject, ..TermsSent::default() };
    Some(EffectSent { resource: right, ..authority::effect(Kind::Grant, terms) })
}

/// Users, applications and clients that came, went or were stopped.
fn account(event: Event<'_>) -> Option<EffectSent<'static>> {
    let kind = event.kind();
    let (types, change) = match kind {
        // It keeps them from signing in for a while; what they are signed in to goes on.
        "user.account.lock" | "user.account.unlock" | "user.account.unlock_by_admin" => {
            (PEOPLE, Change::Altered)
        }
        _ => {
            let (types, rest) = [
                ("user.lifecycle.", PEOPLE),
                ("application.lifecycle.", APPS),
                ("app.oauth2.client.lifecycle.", APPS),
            ]
            .into_iter()
            .find_map(|(prefix, types)| Some((types, kind.strip_prefix(prefix)?)))?;
            (types, lifecycle(rest)?)
        }
    };
    let subject = event.target(types).and_then(party::of).or_else(|| {
        // A user who does it alone is named as actor only.
        (types == PEOPLE).then(|| party::actor(event)).filter(|actor| actor.key.is_some())
    })?;
    Some(of_principal(change, subject))
}

fn lifecycle(word: &str) -> Option<Change> {
    Some(match word {
        "create" => Change::Issued,
        "activate" | "reactivate" | "unsuspend" | "unlock" => Change::Renewed,
        "update" => Change::Altered,
        "deactivate" | "suspend" | "delete" | "delete.completed" | "delete.initiate" => Change::Revoked,
        _ => return None,
    })
}

/// Requests for access and the answers to them, of Identity Governance and of self service.
fn access_request(event: Event<'_>) -> Option<EffectSent<'static>> {
    let person = || event.target(&["User"]).and_then(party::of);
    let right = event.target(GROUPS).and_then(of_target);
    let by = Some(party::actor(event)).filter(|by| by.key.is_some());
    let said = || {
        let said = ["resolution", "decision", "requestStatus", "status", "result"]
            .iter()
            .find_map(|name| event.debug(name))?;
        let said = said.to_ascii_uppercase();
        match () {
            () if said.starts_with("APPROVE") => Some(Answer::Approved),
            () if ["DENIED", "DENY", "REJECT"].iter().any(|no| said.starts_with(no)) => Some(Answer::Refused),
            () => None,
        }
    };
    let (kind, terms) = match event.kind() {
        "access.request.create" | "app.access_request.request" => (
            Kind::Request,
            TermsSent {
                change: Some(Change::Requested),
                subject: person().or(by.clone()),
                by,
                ..TermsSent::default()
            },
        ),
        "access.request.resolve" => {
            (Kind::Approval, TermsSent { answer: said(), by, subject: person(), ..TermsSent::default() })
        }
        "app.access_request.approver.approve" => (
            Kind::Approval,
            TermsSent { answer: Some(Answer::Approved), by, subject: person(), ..TermsSent::default() },
        ),
        "app.access_request.approver.deny" | "app.access_request.deny" => (
            Kind::Approval,
            TermsSent { answer: Some(Answer::Refused), by, subject: person(), ..TermsSent::default() },
        ),
        "app.access_request.grant" => (
            Kind::Grant,
            TermsSent { change: Some(Change::Issued), subject: person(), ..TermsSent::default() },
        ),
        "access.request.expire" | "app.access_request.expire" => (
            Kind::Request,
            TermsSent { change: Some(Change::Expired), subject: person(), ..TermsSent::default() },
        ),
        "access.request.cancel" | "access.request.delete" | "app.access_request.delete" => (
            Kind::Request,
            TermsSent { change: Some(Change::Revoked), subject: person(), ..TermsSent::default() },
        ),
        _ => return None,
    };
    let role = right.as_ref().map(|right| right.uri.clone());
    Some(EffectSent { resource: right, ..authority::effect(kind, TermsSent { role, ..terms }) })
}

/// Policies and their rules.
fn policy(event: Event<'_>) -> Option<EffectSent<'static>> {
    let word = ["policy.lifecycle.", "policy.rule."].iter().find_map(|p| event.kind().strip_prefix(p))?;
    let change = match word {
        "add" => Change::Issued,
        "invalidate" => Change::Revoked,
        word => lifecycle(word)?,
    };
    let rule = event.targets().find(|target| target.text(&["type"]).is_some_and(|k| k.starts_with("Policy")));
    let terms = TermsSent {
        change: Some(change),
        scopes: rule.and_then(|rule| rule.text(&["id"])).map(text).into_iter().collect(),
        ..TermsSent::default()
    };
    Some(EffectSent { resource: rule.and_then(of_target), ..authority::effect(Kind::Policy, terms) })
}
