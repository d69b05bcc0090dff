//! What an event changed in authority.
//!
//! Only what succeeded changed anything. An event that is not listed here has no effects; adding it needs a
//! new version of the mapping.

use deed_record::{
    Answer, Change, Credential, EffectSent, Kind, Principal, PrincipalType, Status, TermsSent, Text,
    Timestamp,
};

use super::{
    Event, SYSTEM,
    outcome::outcome,
    party::{self, actor, named},
    resource,
};
use crate::{
    authority::{self, of_credential, of_principal, text},
    loose::Loose,
};

pub(super) fn effects(event: Event<'_>, time: Timestamp) -> Vec<EffectSent<'static>> {
    if outcome(event).is_some_and(|outcome| outcome.status != Status::Success) {
        return Vec::new();
    }
    if event.kind() == "cert.create" {
        return certificate(event, time);
    }
    let effect = access_request(event)
        .or_else(|| account(event))
        .or_else(|| role(event))
        .or_else(|| lock(event))
        .or_else(|| held(event, time));
    effect.into_iter().collect()
}

/// A certificate, and the right that was given for a time where it was issued on an access request.
fn certificate(event: Event<'_>, time: Timestamp) -> Vec<EffectSent<'static>> {
    let identity = event.0.at(&["identity"]);
    let holder = identity.text(&["user"]).map(|name| party::holder(event, identity, name));
    let expires = identity.time(&["expires"]);
    let roles: Vec<_> = identity.texts(&["roles"]).map(text).collect();
    let kind = match event.0.text(&["cert_type"]) {
        Some(kind) => format!("{kind}_certificate"),
        None => "certificate".to_owned(),
    };
    // An instance of a bot lives through all its certificates: when it began, none of them tells.
    let instance = identity.text(&["bot_instance_id"]);
    let change = if instance.is_some() { Change::Renewed } else { Change::Issued };
    let credential = Credential {
        expires,
        issued: instance.is_none().then_some(time),
        scopes: roles,
        ..authority::credential(&kind, instance, event.cluster().unwrap_or(SYSTEM))
    };
    let mut effects = vec![of_credential(change, credential, holder.clone())];
    // Which of its roles were asked for, the request says.
    if identity.texts(&["access_requests"]).next().is_some() {
        let terms =
            TermsSent { change: Some(Change::Issued), expires, subject: holder, ..TermsSent::default() };
        effects.push(authority::effect(Kind::Grant, terms));
    }
    effects
}

/// One role is what is asked for; several are as many scopes.
fn role_or_scopes(mut roles: Vec<Text<'static>>) -> (Option<Text<'static>>, Vec<Text<'static>>) {
    match roles.len() {
        1 => (roles.pop(), Vec::new()),
        _ => (None, roles),
    }
}

/// Requests for access, and the answers to them.
fn access_request(event: Event<'_>) -> Option<EffectSent<'static>> {
    let word = event.kind().strip_prefix("access_request.")?;
    let is = event.0;
    let by = || actor(event);
    let (role, scopes) = role_or_scopes(is.texts(&["roles"]).map(text).collect());
    let terms = TermsSent {
        expires: is.time(&["expires"]).or_else(|| is.time(&["max_duration"])),
        role,
        scopes,
        ..TermsSent::default()
    };
    let answer = |state: Option<&str>| match state {
        Some("APPROVED" | "PROMOTED") => Some(Answer::Approved),
        Some("DENIED") => Some(Answer::Refused),
        _ => None,
    };
    let (kind, terms) = match word {
        "create" => {
            (Kind::Request, TermsSent { change: Some(Change::Requested), by: by(), subject: by(), ..terms })
        }
        "review" => {
            let reviewer = is.text(&["reviewer"]).map(|name| named(event, PrincipalType::Unknown, name));
            let answer = answer(is.text(&["proposed_state"]));
            (Kind::Approval, TermsSent { answer, by: reviewer.or_else(by), ..terms })
        }
        "update" => {
            let by_name = is.any(&["delegator", "updated_by"]);
            let by = by_name.map(|name| named(event, PrincipalType::Unknown, name)).or_else(by);
            (Kind::Approval, TermsSent { answer: Some(answer(is.text(&["state"]))?), by, ..terms })
        }
        "expire" => (Kind::Request, TermsSent { change: Some(Change::Expired), ..terms }),
        "delete" => (Kind::Request, TermsSent { change: Some(Change::Revoked), by: by(), ..terms }),
        _ => return None,
    };
    Some(EffectSent { resource: resource::resource(event), ..authority::effect(kind, terms) })
}

/// Users and bots that came or went, and what they may be.
fn account(event: Event<'_>) -> Option<EffectSent<'static>> {
    let name = event.0.text(&["name"]);
    let (kind, change) = match event.kind() {
        "user.create" | "user.created" => (PrincipalType::Unknown, Change::Issued),
        "user.update" => (PrincipalType::Unknown, Change::Altered),
        "user.delete" => (PrincipalType::Unknown, Change::Revoked),
        "bot.create" => (PrincipalType::Workload, Change::Issued),
        "bot.update" => (PrincipalType::Workload, Change::Altered),
        "bot.delete" => (PrincipalType::Workload, Change::Revoked),
        _ => return None,
    };
    // The user that a bot acts as.
    let key = match kind {
        PrincipalType::Workload => format!("bot-{}", name?.trim_start_matches("bot-")),
        _ => name?.to_owned(),
    };
    let mut effect = of_principal(change, named(event, kind, &key));
    if let Some(terms) = &mut effect.terms {
        terms.scopes = event.0.texts(&["roles"]).map(text).collect();
        terms.by = actor(event);
    }
    Some(effect)
}

/// Roles, and who is on an access list.
fn role(event: Event<'_>) -> Option<EffectSent<'static>> {
    let change = match event.kind().rsplit_once('.')?.1 {
        "create" | "created" => Change::Issued,
        "update" | "updated" => Change::Altered,
        "delete" | "deleted" => Change::Revoked,
        _ => return None,
    };
    let terms = TermsSent { by: actor(event), change: Some(change), ..TermsSent::default() };
    let (subject, role) = match event.kind().rsplit_once('.')?.0 {
        "role" => (None, event.0.text(&["name"])?),
        "access_list.member" => {
            let member = event.0.list(&["members"]).next().or(Some(event.0))?;
            let member = member.any(&["member_name", "name"])?;
            (Some(named(event, PrincipalType::Unknown, member)), event.0.text(&["access_list_name"])?)
        }
        _ => return None,
    };
    let resource = resource::resource(event);
    let terms = TermsSent { role: Some(text(role)), subject, ..terms };
    Some(EffectSent { resource, ..authority::effect(Kind::Grant, terms) })
}

/// Locks: they stop a user, an instance of a bot, a role or what was given on an access request, until they
/// end or are taken away.
fn lock(event: Event<'_>) -> Option<EffectSent<'static>> {
    let change = match event.kind() {
        "lock.created" | "lock.updated" => Change::Revoked,
        "lock.deleted" => Change::Renewed,
        _ => return None,
    };
    let target = event.0.at(&["target"]);
    let terms = TermsSent {
        by: actor(event),
        change: Some(change),
        expires: event.0.time(&["expires"]),
        ..TermsSent::default()
    };
    let subject = locked(event, target);
    if let Some(subject) = subject {
        return Some(authority::effect(Kind::Principal, TermsSent { subject: Some(subject), ..terms }));
    }
    let role = target.text(&["role"]);
    if change == Change::Renewed && event.0.get(&["target"]).is_none() {
        // Older versions say only which lock it was.
        let lock = resource::resource(event)?;
        return Some(EffectSent { resource: Some(lock), ..authority::effect(Kind::Principal, terms) });
    }
    if role.is_none() && target.text(&["access_request"]).is_none() {
        return None;
    }
    Some(authority::effect(Kind::Grant, TermsSent { role: role.map(text), ..terms }))
}

fn locked(event: Event<'_>, target: Loose<'_>) -> Option<Principal<'static>> {
    if let Some(user) = target.text(&["user"]) {
        return Some(named(event, PrincipalType::Unknown, user));
    }
    let instance = target.text(&["bot_instance_id"])?;
    Some(Principal {
        instance: Some(text(instance)),
        ..authority::principal(PrincipalType::Workload, None, None)
    })
}

/// Second factors, passwords, tokens to join with, and SPIFFE identities.
fn held(event: Event<'_>, time: Timestamp) -> Option<EffectSent<'static>> {
    let is = event.0;
    let issuer = event.cluster().unwrap_or(SYSTEM);
    let of = |kind: &str, id: Option<&str>| authority::credential(kind, id, issuer);
    let (change, credential) = match event.kind() {
        "mfa.add" => (Change::Issued, of("mfa", is.text(&["mfa_device_uuid"]))),
        "mfa.delete" => (Change::Revoked, of("mfa", is.text(&["mfa_device_uuid"]))),
        "user.password_change" => (Change::Rotated, of("password", None)),
        "reset_password_token.create" => (Change::Issued, of("reset_password_token", None)),
        // The name of such a token is the token.
        "join_token.create" => (Change::Issued, of("join_token", None)),
        "spiffe.svid.issued" => {
            let kind = match is.text(&["svid_type"]) {
                Some("jwt") => "jwt-svid",
                _ => "x509-svid",
            };
            let jti = is.text(&["jti"]).map(text);
            (Change::Issued, Credential { jti, ..of(kind, is.text(&["serial_number"])) })
        }
        _ => return None,
    };
    let issued = matches!(change, Change::Issued | Change::Rotated).then_some(time);
    let subject = match event.kind() {
        "spiffe.svid.issued" => is
            .text(&["spiffe_id"])
            .map(|id| authority::principal(PrincipalType::Workload, Some(id.to_owned()), None)),
        "join_token.create" => None,
        "reset_password_token.create" => {
            is.text(&["name"]).map(|name| named(event, PrincipalType::Unknown, name))
        }
        _ => actor(event),
    };
    Some(of_credential(change, Credential { issued, ..credential }, subject))
}
