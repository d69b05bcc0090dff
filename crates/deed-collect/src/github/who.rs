//! Who acted, through what, and with which token.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use deed_record::{Credential, Principal, PrincipalType};

use super::event::Event;
use crate::{json, shared};

/// Who asked and who acted: the same, unless an application acts for the actor.
pub(super) fn parties(event: &Event<'_>) -> (Option<Principal<'static>>, Principal<'static>) {
    let actor = match event.text("actor") {
        Some(login) => user(login, event.flag("actor_is_bot")),
        None => shared::principal(PrincipalType::Unknown, None, None),
    };
    match application(event) {
        Some(application) if actor.key.is_some() => (Some(actor), application),
        Some(application) => (None, application),
        None => (None, actor),
    }
}

/// An account by its login. Whether a person or a program uses it, only its being a bot tells.
pub(super) fn user(login: &str, is_bot: Option<bool>) -> Principal<'static> {
    let kind = match is_bot {
        Some(true) => PrincipalType::Workload,
        None if login.ends_with("[bot]") => PrincipalType::Workload,
        _ => PrincipalType::Unknown,
    };
    shared::principal(kind, Some(format!("github:{login}")), Some(login))
}

/// The OAuth or GitHub App that acted for the actor, where the token is one of those and the event names it.
fn application(event: &Event<'_>) -> Option<Principal<'static>> {
    let access = event.text("programmatic_access_type")?.to_ascii_lowercase();
    if !(access.contains("user-to-server") || access.contains("oauth")) || event.is_about_an_application() {
        return None;
    }
    named_application(event)
}

/// The OAuth or GitHub App that the event names.
pub(super) fn named_application(event: &Event<'_>) -> Option<Principal<'static>> {
    let id = event.word("oauth_application_id").or_else(|| event.word("application_client_id"))?;
    let name = event.text("oauth_application_name").or_else(|| event.text("application_name"));
    Some(shared::principal(PrincipalType::ThirdParty, Some(format!("github:apps/{id}")), name))
}

/// The token or key that was shown. Where the event is about a token, only a digest tells of the one that was shown.
pub(super) fn credential(event: &Event<'_>) -> Option<Credential<'static>> {
    let shown_key = event.text("deploy_key_fingerprint").filter(|_| !event.is_about_a_key());
    let fingerprint = event.text("hashed_token").and_then(fingerprint);
    let fingerprint = fingerprint.or_else(|| shown_key.and_then(openssh_fingerprint));
    let about_another = event.is_about_a_token();
    if about_another && fingerprint.is_none() {
        return None;
    }
    let id = event.word("token_id").filter(|id| id != "0" && !about_another);
    let id = id.map(|id| json::text(token(&id)));
    let kind = event.text("programmatic_access_type").map(sort).or(shown_key.map(|_| "deploy_key"));
    if fingerprint.is_none() && id.is_none() && kind.is_none() {
        return None;
    }
    Some(Credential {
        fingerprint: fingerprint.map(json::text),
        id,
        issuer: Some("github.com".into()),
        kind: Some(kind.unwrap_or("bearer").into()),
        scopes: shared::some(event.list("token_scopes").into_iter()),
        ..Credential::default()
    })
}

/// A small number is no name by itself: other systems number their tokens too.
pub(super) fn token(id: &str) -> String {
    format!("github:token/{id}")
}

/// What OpenSSH writes of a key, `SHA256:` and base64 without its end, as Deed writes a fingerprint.
pub(super) fn openssh_fingerprint(written: &str) -> Option<String> {
    let digest = STANDARD_NO_PAD.decode(written.strip_prefix("SHA256:")?.trim_end_matches('=')).ok()?;
    (digest.len() == 32).then(|| format!("sha256:{}", json::hex(&digest)))
}

/// Standard base64 of the raw SHA-256 of a token, as Deed writes the fingerprint of the same token.
fn fingerprint(hashed: &str) -> Option<String> {
    let digest = STANDARD.decode(hashed).ok().filter(|digest| digest.len() == 32)?;
    Some(format!("sha256:{}", json::hex(&digest)))
}

fn sort(access: &str) -> &'static str {
    let access = access.to_ascii_lowercase().replace('_', " ");
    let has = |word: &str| access.contains(word);
    if has("fine-grained") {
        "fine_grained_personal_access_token"
    } else if has("personal access token") {
        "personal_access_token"
    } else if has("oauth") {
        "oauth_token"
    } else if has("user-to-server") {
        "github_app_user_token"
    } else if has("github app") {
        "github_app_token"
    } else if has("deploy key") {
        "deploy_key"
    } else if has("ssh") {
        "ssh_key"
    } else {
        "bearer"
    }
}
