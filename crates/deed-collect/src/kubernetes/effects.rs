//! What a call changed in authority: tokens, role bindings, service accounts, secrets.
//!
//! Only what succeeded changed anything, and only the last stage of a call says so.

use deed_record::{Change, Credential, EffectSent, Kind};
use serde_json::Value;

use super::{
    call::{Call, Object},
    who,
};
use crate::shared::{self, credential_effect, grant_effect, other_effect, text};

/// The effects of `call`; `None` where there are none.
pub(super) fn effects(call: &Call<'_>) -> Option<Vec<EffectSent<'static>>> {
    let object = call.object.as_ref().filter(|_| call.succeeded() && !call.is_rehearsal())?;
    let verb = call.verb?;
    let effects = match (object.group, object.resource, object.subresource) {
        (None, "serviceaccounts", Some("token")) if verb == "create" => vec![token(call, object)],
        (None, "serviceaccounts", None) => {
            // What is applied may be made by that: the answer is then 201.
            let code = call.ended.as_ref().and_then(|ended| ended.code.as_deref());
            let made = code == Some(CREATED);
            account(call, object, if made { Change::Issued } else { change(verb)? })?
        }
        (None, "secrets", None) => secret(call, change(verb)?),
        (Some(RBAC), "rolebindings" | "clusterrolebindings", None) => binding(call, object, change(verb)?),
        (Some(RBAC), "roles" | "clusterroles", None) => role(call, object, change(verb)?)?,
        (Some("certificates.k8s.io"), "certificatesigningrequests", None) if verb == "create" => {
            let asked = Credential { kind: Some("x509".into()), ..Credential::default() };
            let subject = call.user_name.map(|name| who::user(call, name));
            vec![credential_effect(Change::Requested, asked, subject, call.whole())]
        }
        _ => return None,
    };
    (!effects.is_empty()).then_some(effects)
}

/// The status of an answer by which something was made (RFC 9110).
const CREATED: &str = "201";
const RBAC: &str = "rbac.authorization.k8s.io";

fn change(verb: &str) -> Option<Change> {
    match verb {
        "create" => Some(Change::Issued),
        "update" | "patch" => Some(Change::Altered),
        "delete" => Some(Change::Revoked),
        _ => None,
    }
}

/// A token for a service account (TokenRequest). The token itself stands in the answer, if at all, and its
/// name in an annotation. It lives as long as what it is bound to, whatever becomes of what it was asked for with.
fn token(call: &Call<'_>, object: &Object<'_>) -> EffectSent<'static> {
    let id = call
        .annotations
        .and_then(|all| text(all, &["authentication.kubernetes.io/issued-credential-id"]))
        .and_then(who::named);
    let expires = call.response.and_then(|answer| text(answer, &["status", "expirationTimestamp"]));
    let token = Credential {
        expires: expires.and_then(|at| shared::time("expirationTimestamp", at).ok()),
        issued: Some(call.time),
        ..id.unwrap_or(Credential { kind: Some("bearer".into()), ..Credential::default() })
    };
    let subject = object.namespace.zip(object.name);
    let subject = subject.map(|(namespace, name)| who::service_account(call, namespace, name));
    credential_effect(Change::Issued, token, subject, None)
}

fn account(call: &Call<'_>, object: &Object<'_>, change: Change) -> Option<Vec<EffectSent<'static>>> {
    let (namespace, name) = object.namespace.zip(object.name).filter(|_| change != Change::Altered)?;
    let subject = who::service_account(call, namespace, name);
    Some(vec![other_effect(Kind::Principal, change, Some(subject), None)])
}

fn secret(call: &Call<'_>, change: Change) -> Vec<EffectSent<'static>> {
    // What a Secret holds may be replaced, its labels too: the event of a low level does not say which.
    let change = if change == Change::Altered { Change::Rotated } else { change };
    let Some(whole) = call.whole().filter(|_| call.object.is_some_and(|object| object.name.is_some())) else {
        return Vec::new();
    };
    let secret = Credential {
        id: Some(whole.uri.clone()),
        issued: (change != Change::Revoked).then_some(call.time),
        kind: Some("secret".into()),
        ..Credential::default()
    };
    vec![credential_effect(change, secret, None, Some(whole))]
}

/// One grant for each member of a role binding; one without a member where the event does not list them. Of a change that lists
/// all who have it since, one without a member behind those of the members: nobody else has it any more.
fn binding(call: &Call<'_>, object: &Object<'_>, change: Change) -> Vec<EffectSent<'static>> {
    let bound = [call.response, call.request].into_iter().flatten();
    let bound = bound.into_iter().find(|object| object.get("roleRef").is_some());
    let role = bound.and_then(|object| {
        let name = text(object, &["roleRef", "name"])?;
        Some(call.key(&format!("{}/{name}", text(object, &["roleRef", "kind"]).unwrap_or("Role"))))
    });
    // What the role allows is bound to the namespace.
    let reach = match object.namespace {
        Some(namespace) => call.key(&format!("namespaces/{namespace}/*")),
        None => call.key("*"),
    };
    let reach = || Some(shared::resource(reach.clone(), None));
    let all = bound.and_then(|object| object.get("subjects")).and_then(Value::as_array);
    let subjects: Vec<_> = all.into_iter().flatten().filter_map(|one| who::subject(call, one)).collect();
    let of_nobody = |change| grant_effect(change, None, role.clone(), Vec::new(), call.whole());
    if subjects.is_empty() {
        // The whole of it, and nobody in it.
        let emptied = bound.is_some() && all.is_none_or(Vec::is_empty) && change == Change::Altered;
        return vec![of_nobody(if emptied { Change::Revoked } else { change })];
    }
    let is_all = all.is_some_and(|all| all.len() == subjects.len()) && subjects.len() < MOST_SUBJECTS;
    let anew = (change == Change::Altered && is_all).then(|| of_nobody(change));
    let grant = |subject| grant_effect(change, Some(subject), role.clone(), Vec::new(), reach());
    subjects.into_iter().take(MOST_SUBJECTS).map(grant).chain(anew).collect()
}

/// A record's sealed part holds no more; the event lists them all.
const MOST_SUBJECTS: usize = 24;

/// What a role allows was changed, for everybody who has it. A new one gives nobody anything yet.
fn role(call: &Call<'_>, object: &Object<'_>, change: Change) -> Option<Vec<EffectSent<'static>>> {
    let kind = if object.resource == "roles" { "Role" } else { "ClusterRole" };
    let name = object.name.filter(|_| change != Change::Issued)?;
    let role = call.key(&format!("{kind}/{name}"));
    Some(vec![grant_effect(change, None, Some(role), Vec::new(), call.whole())])
}
