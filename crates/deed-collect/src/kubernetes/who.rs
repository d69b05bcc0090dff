//! Who called, with what, and in whose name.

use deed_record::{ChainHop, Credential, Principal, PrincipalType};
use serde_json::Value;

use super::call::Call;
use crate::{
    cloudtrail::identity as aws,
    json,
    shared::{self, own, text, texts},
};

/// Everybody that an event names, and what they showed.
pub(super) struct Parties {
    pub(super) chain: Vec<ChainHop<'static>>,
    pub(super) credential: Option<Credential<'static>>,
    pub(super) executor: Principal<'static>,
    pub(super) impersonated: Option<Principal<'static>>,
}

pub(super) fn parties(call: &Call<'_>) -> Parties {
    let mut chain: Vec<_> = call.delegation.iter().map(|account| hop(user(call, account), None)).collect();
    // On Amazon's clusters the caller is somebody of IAM, and CloudTrail tells how they came by their key.
    let arn = extra(call.user, "canonicalArn").or_else(|| extra(call.user, "arn"));
    let key = extra(call.user, "accessKeyId").map(aws::access_key);
    if let Some(arn) = arn {
        let role = aws::role_of_session(arn);
        let arn = role.as_deref().unwrap_or(arn);
        let session = extra(call.user, "sessionName").filter(|name| !aws::is_personal_name(Some(arn), name));
        let principal = Principal {
            instance: session.map(own),
            ..aws::of_arn(arn, aws::type_of_arn(arn), arn.rsplit('/').next())
        };
        chain.push(hop(principal, key.as_ref().and_then(|key| key.id.clone())));
    }
    let pod = extra(call.user, "authentication.kubernetes.io/pod-name");
    let executor = match call.user_name {
        Some(name) => Principal { instance: pod.map(own), ..user(call, name) },
        None => shared::principal(PrincipalType::Unknown, None, None),
    };
    Parties {
        chain,
        credential: shown(call).or(key),
        executor,
        // The caller gave that name: it tells with whose rights the call was made, and not who asked for it.
        impersonated: call.acted_as.map(|name| user(call, name)),
    }
}

/// A user of the cluster. Where a name belongs to somebody by the API's own rules the type says so.
pub(super) fn user(call: &Call<'_>, name: &str) -> Principal<'static> {
    shared::principal(type_of(name), Some(call.key(name)), Some(name))
}

fn type_of(name: &str) -> PrincipalType {
    match name {
        "system:anonymous" | "system:unauthenticated" => PrincipalType::Unknown,
        name if name.starts_with("system:serviceaccount:") || name.ends_with(".gserviceaccount.com") => {
            PrincipalType::ServiceAccount
        }
        // Nodes and the control plane.
        name if name.starts_with("system:") || name.starts_with("eks:") => PrincipalType::Workload,
        _ => PrincipalType::Unknown,
    }
}

/// The service account that the call was about.
pub(super) fn service_account(call: &Call<'_>, namespace: &str, name: &str) -> Principal<'static> {
    user(call, &format!("system:serviceaccount:{namespace}:{name}"))
}

/// A member of `subjects` of a role binding.
pub(super) fn subject(call: &Call<'_>, subject: &Value) -> Option<Principal<'static>> {
    let name = text(subject, &["name"])?;
    let namespace = text(subject, &["namespace"]).or_else(|| call.object?.namespace);
    Some(match (text(subject, &["kind"]), namespace) {
        (Some("ServiceAccount"), Some(namespace)) => service_account(call, namespace, name),
        (Some("Group"), _) => {
            shared::principal(PrincipalType::Unknown, Some(call.key(&format!("group/{name}"))), Some(name))
        }
        _ => user(call, name),
    })
}

/// What the caller showed, as the API server itself names it.
fn shown(call: &Call<'_>) -> Option<Credential<'static>> {
    named(extra(call.user, "authentication.kubernetes.io/credential-id")?)
}

/// `JTI=…` of a token, `X509SHA256=…` of a certificate.
pub(super) fn named(id: &str) -> Option<Credential<'static>> {
    let of = |kind: &'static str| Credential { kind: Some(kind.into()), ..Credential::default() };
    let (sort, value) = id.split_once('=').filter(|(_, value)| !value.is_empty())?;
    match sort {
        "JTI" => Some(Credential { jti: Some(own(value)), ..of("bearer") }),
        "X509SHA256" if value.len() == 64 && value.bytes().all(|b| b.is_ascii_hexdigit()) => {
            Some(Credential {
                fingerprint: Some(json::text(format!("sha256:{}", value.to_ascii_lowercase()))),
                ..of("x509")
            })
        }
        _ => None,
    }
}

fn hop(principal: Principal<'static>, credential: Option<deed_record::Text<'static>>) -> ChainHop<'static> {
    ChainHop { credential, delegation: None, principal, scope: Vec::new() }
}

/// The first value of an extra that the authenticator attached.
fn extra<'v>(user: Option<&'v Value>, name: &str) -> Option<&'v str> {
    let extra = user?.get("extra")?;
    texts(extra, &[name]).next().or_else(|| text(extra, &[name]))
}
