//! What an event says was changed in authority: tokens, keys, members, applications, secrets, protections,
//! approvals.

use deed_record::{
    Answer, Change, Credential, EffectSent, Kind, Principal, PrincipalType, RecordId, TermsSent, Text,
};

use super::{
    event::Event,
    who::{named_application, openssh_fingerprint, token, user},
};
use crate::{
    authority, json,
    shared::{self, credential_effect, grant_effect, other_effect, own},
};

/// The effects of `event`; `None` where there are none.
pub(super) fn effects(event: &Event<'_>) -> Option<Vec<EffectSent<'static>>> {
    let (family, what) = event.action.rsplit_once('.')?;
    let effect = credential(event, family, what)
        .or_else(|| secret(event, family, what))
        .or_else(|| member(event, family, what))
        .or_else(|| application(event, family, what))
        .or_else(|| protection(event, family, what))
        .or_else(|| asked(event))
        .or_else(|| approval(event))?;
    let beside = granted(event).or_else(|| asked_for_token(event));
    Some(replaced(event, &effect).into_iter().chain([effect]).chain(beside).collect())
}

/// Who has one role in a place has no other there: where one is given anew, all that they had ends.
fn replaced(event: &Event<'_>, effect: &EffectSent<'static>) -> Option<EffectSent<'static>> {
    let terms = effect.terms.as_ref().filter(|_| is_update_of_role(event))?;
    Some(grant_effect(Change::Revoked, terms.subject.clone(), None, Vec::new(), event.resource()))
}

fn is_update_of_role(event: &Event<'_>) -> bool {
    let update = event.action.ends_with(".update_member")
        || event.action.ends_with(".update_member_repository_permission")
        || event.action.ends_with(".update_repository_permission");
    update && role(event).is_some()
}

fn role<'v>(event: &Event<'v>) -> Option<&'v str> {
    event.text("permission").or_else(|| event.text("role")).or_else(|| event.text("new_role"))
}

/// The word of somebody else that a token of a member's may be used in the organisation.
fn granted(event: &Event<'_>) -> Option<EffectSent<'static>> {
    asker(event)?;
    Some(answered(event, Answer::Approved, Vec::new()))
}

/// A token that waits for somebody's word.
fn asked_for_token(event: &Event<'_>) -> Option<EffectSent<'static>> {
    let waits = event.action == "personal_access_token.request_created";
    waits.then(|| other_effect(Kind::Request, Change::Requested, about(event), event.resource()))
}

/// Whoever made the token that somebody else let be used: they asked for it.
pub(super) fn asker(event: &Event<'_>) -> Option<Principal<'static>> {
    let granted = event.action == "personal_access_token.access_granted";
    about(event).filter(|_| granted && event.text("user") != event.text("actor"))
}

/// Personal access tokens, OAuth tokens, SSH and deploy keys, and what of them single sign-on lets in.
fn credential(event: &Event<'_>, family: &str, what: &str) -> Option<EffectSent<'static>> {
    let (kind, id) = match family {
        "personal_access_token" => {
            let id = event.word("token_id").or_else(|| event.word("user_programmatic_access_id"));
            ("fine_grained_personal_access_token", id.map(|id| token(&id)))
        }
        "oauth_access" => {
            let id = event.word("token_id").or_else(|| event.word("oauth_access_id"));
            ("oauth_token", id.map(|id| token(&id)))
        }
        "public_key" | "deploy_key" => {
            let deploys = family == "deploy_key" || event.repository().is_some();
            let id = event.word("public_key_id").or_else(|| event.word("key_id"));
            let id = id.or_else(|| event.key_fingerprint().map(str::to_owned));
            (if deploys { "deploy_key" } else { "ssh_key" }, id.map(|id| format!("github:key/{id}")))
        }
        "org_credential_authorization" => ("sso_authorization", event.word("token_id").map(|id| token(&id))),
        _ => return None,
    };
    let change = match what {
        "create" | "access_granted" | "grant" | "generate" => Change::Issued,
        "request_created" | "request" => Change::Requested,
        "regenerate" | "credential_regenerated" => Change::Rotated,
        "update" | "verify" => Change::Altered,
        "destroy" | "delete" | "revoke" | "access_revoked" | "deauthorize" | "unverify" => Change::Revoked,
        _ => return None,
    };
    let of_key = matches!(family, "public_key" | "deploy_key").then(|| event.key_fingerprint()).flatten();
    let credential = Credential {
        fingerprint: of_key.and_then(openssh_fingerprint).map(json::text),
        id: id.map(json::text),
        issued: matches!(change, Change::Issued | Change::Rotated).then_some(event.time),
        issuer: Some("github.com".into()),
        kind: Some(kind.into()),
        ..Credential::default()
    };
    // An OAuth token is its application's, which acts with it for the user.
    let application = (family == "oauth_access").then(|| named_application(event)).flatten();
    Some(credential_effect(change, credential, application.or_else(|| about(event)), event.resource()))
}

/// `org.create_actions_secret`, `repo.update_actions_secret`, `environment.remove_actions_secret`, …
fn secret(event: &Event<'_>, _family: &str, what: &str) -> Option<EffectSent<'static>> {
    let (verb, rest) = what.split_once('_')?;
    if !rest.ends_with("_secret") {
        return None;
    }
    let change = match verb {
        "create" => Change::Issued,
        "update" => Change::Rotated,
        "remove" | "delete" | "destroy" => Change::Revoked,
        _ => return None,
    };
    let place = event.resource()?;
    let name = event.text("key").or_else(|| event.text("secret_name")).or_else(|| event.text("name"));
    let store = rest.strip_suffix("_secret").unwrap_or(rest);
    let secret = Credential {
        id: name.map(|name| json::text(format!("{}/{store}/secrets/{name}", &*place.uri))),
        issued: (change != Change::Revoked).then_some(event.time),
        kind: Some("secret".into()),
        ..Credential::default()
    };
    Some(credential_effect(change, secret, None, Some(place)))
}

/// Members of organisations, teams, repositories and enterprises, and what they may do.
fn member(event: &Event<'_>, family: &str, what: &str) -> Option<EffectSent<'static>> {
    if !matches!(
        family,
        "org"
            | "team"
            | "repo"
            | "business"
            | "organization_role"
            | "organization_moderators"
            | "enterprise_team"
    ) {
        return None;
    }
    let change = match what {
        "add_member"
        | "add_user"
        | "add_admin"
        | "add_outside_collaborator"
        | "add_billing_manager"
        | "add_repository"
        | "assign" => Change::Issued,
        "restore_member" => Change::Renewed,
        "invite_member" | "invite_admin" | "invite_user" | "request_access" => Change::Requested,
        "update_member"
        | "update_member_repository_permission"
        | "update_repository_permission"
        | "change_parent_team"
        | "promote_maintainer"
        | "demote_maintainer" => Change::Altered,
        "remove_member"
        | "remove_user"
        | "remove_admin"
        | "remove_outside_collaborator"
        | "remove_billing_manager"
        | "remove_repository"
        | "revoke" => Change::Revoked,
        _ => return None,
    };
    // A repository given to a team is the team's right.
    let subject = match (family, what) {
        ("team", "add_repository" | "remove_repository" | "update_repository_permission") => {
            event.text("team").map(|team| {
                shared::principal(PrincipalType::Unknown, Some(format!("github:teams/{team}")), Some(team))
            })
        }
        _ => about(event),
    };
    let change = if is_update_of_role(event) { Change::Issued } else { change };
    // Who is one may be a member besides.
    let billing = what.ends_with("_billing_manager").then_some("billing_manager");
    let role = role(event).or(billing).map(str::to_owned);
    Some(grant_effect(change, subject, role, Vec::new(), event.resource()))
}

/// Applications of others: what they were let do.
fn application(event: &Event<'_>, family: &str, what: &str) -> Option<EffectSent<'static>> {
    let change = match (family, what) {
        ("integration_installation", "create" | "repositories_added") => Change::Issued,
        ("integration_installation", "destroy" | "repositories_removed" | "suspend") => Change::Revoked,
        ("integration_installation", "version_updated" | "unsuspend") => Change::Altered,
        ("integration_installation_request", "create") => Change::Requested,
        ("oauth_authorization", "create") => Change::Issued,
        ("oauth_authorization", "update") => Change::Altered,
        ("oauth_authorization", "destroy") => Change::Revoked,
        ("org", "oauth_app_access_approved") => Change::Issued,
        ("org", "oauth_app_access_requested") => Change::Requested,
        ("org", "oauth_app_access_denied" | "oauth_app_access_blocked") => Change::Revoked,
        _ => return None,
    };
    let name = ["oauth_application_name", "integration", "application_name", "name"];
    let name = name.into_iter().find_map(|field| event.text(field));
    let id = ["oauth_application_id", "integration_id", "application_client_id"];
    let id = id.into_iter().find_map(|field| event.word(field)).or_else(|| name.map(str::to_owned));
    let subject =
        id.map(|id| shared::principal(PrincipalType::ThirdParty, Some(format!("github:apps/{id}")), name));
    Some(grant_effect(change, subject, None, Vec::new(), event.resource()))
}

/// Rules that a change must pass: branch protection, rulesets, environments.
fn protection(event: &Event<'_>, family: &str, what: &str) -> Option<EffectSent<'static>> {
    let known = matches!(family, "protected_branch" | "repository_ruleset" | "environment" | "org_ruleset");
    let change = match what {
        _ if !known => return None,
        "create" => Change::Issued,
        "destroy" | "delete" => Change::Revoked,
        // Somebody with the right to went past the rule once; the rule stands.
        "policy_override" | "rejected_ref_update" => return None,
        what if what.starts_with("update") || what.starts_with("add_") || what.starts_with("remove_") => {
            Change::Altered
        }
        _ => return None,
    };
    Some(other_effect(Kind::Policy, change, None, event.resource()))
}

/// The token that is to be let in, as a request of whoever made it; else the run that an event is about: whoever starts it asks for what it does, an answer to a deployment names the
/// run and no job of it, and a run that succeeded did what was let through. What did not succeed need not have come to
/// where it waits.
pub(super) fn request(event: &Event<'_>) -> Option<RecordId> {
    if matches!(
        event.action,
        "personal_access_token.request_created" | "personal_access_token.access_granted"
    ) {
        let token = event.word("token_id").or_else(|| event.word("user_programmatic_access_id"))?;
        return Some(authority::request_id(&event.system(), &format!("personal_access_token/{token}")));
    }
    let is_told = match event.action {
        "workflows.created_workflow_run"
        | "workflows.rerun_workflow_run"
        | "workflows.approve_workflow_job"
        | "workflows.reject_workflow_job" => true,
        "workflows.completed_workflow_run" => event.text("conclusion") == Some("success"),
        _ => false,
    };
    let run = event.word("workflow_run_id").filter(|_| is_told)?;
    Some(authority::request_id(&event.system(), &format!("workflow_run/{run}")))
}

/// A run that was started, or started again: whoever does so asks for what it does then.
fn asked(event: &Event<'_>) -> Option<EffectSent<'static>> {
    let change = match event.action {
        "workflows.created_workflow_run" if is_again(event) => Change::Renewed,
        "workflows.created_workflow_run" => Change::Requested,
        "workflows.rerun_workflow_run" => Change::Renewed,
        _ => return None,
    };
    event.word("workflow_run_id")?;
    let by = event.text("actor").map(|login| user(login, event.flag("actor_is_bot")));
    let terms = TermsSent { by, change: Some(change), ..TermsSent::default() };
    Some(EffectSent { credential: None, kind: Kind::Request, resource: event.resource(), terms: Some(terms) })
}

/// Whether it tells of a second attempt of a run, or a later one.
fn is_again(event: &Event<'_>) -> bool {
    event.word("run_attempt").is_some_and(|attempt| attempt != "1")
}

/// A deployment that waited for somebody's word.
fn approval(event: &Event<'_>) -> Option<EffectSent<'static>> {
    let answer = match event.action {
        "workflows.approve_workflow_job" => Answer::Approved,
        "workflows.reject_workflow_job" => Answer::Refused,
        _ => return None,
    };
    let scopes = event.environment().map(|name| own(&format!("deploy:{name}")));
    Some(answered(event, answer, scopes.into_iter().collect()))
}

fn answered(event: &Event<'_>, answer: Answer, scopes: Vec<Text<'static>>) -> EffectSent<'static> {
    let by = event.text("actor").map(|login| user(login, event.flag("actor_is_bot")));
    EffectSent {
        credential: None,
        kind: Kind::Approval,
        resource: event.resource(),
        terms: Some(TermsSent { answer: Some(answer), by, scopes, ..TermsSent::default() }),
    }
}

/// Whom an event is about, where that is not the actor.
fn about(event: &Event<'_>) -> Option<Principal<'static>> {
    event.text("user").or_else(|| event.text("invitee")).map(|login| user(login, None))
}
