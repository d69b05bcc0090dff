//! Who made the call: `userIdentity`.

use deed_record::{ChainHop, Credential, Principal, PrincipalType, without_path};

use super::{event::Event, time};
use crate::json;

/// Everybody an event names in `userIdentity`, and the key they used.
pub(super) struct Parties {
    pub(super) chain: Vec<ChainHop<'static>>,
    pub(super) credential: Option<Credential<'static>>,
    pub(super) executor: Principal<'static>,
    pub(super) initiator: Option<Principal<'static>>,
    pub(super) session: Option<String>,
}

pub(super) fn parties(event: &Event) -> Parties {
    let initiator = initiator(event);
    let executor = executor(event);
    let mut chain = Vec::new();
    // A federated user holds a part of the rights of the IAM user who asked for the token.
    if event.text(&["userIdentity", "type"]) == Some("FederatedUser")
        && let Some(arn) = issuer(event, "arn")
    {
        chain.push(hop(of_arn(arn, type_of_arn(arn), issuer(event, "userName"))));
    }
    // The service that made the call with somebody's rights stands between, where it is known who stands before it. It
    // never is who asked: whether somebody called it, or it opened the session itself, no event says.
    if let Some(service) = invoked_by(event)
        && (initiator.is_some() || !chain.is_empty())
        && ![initiator.as_ref(), Some(&executor)].into_iter().flatten().any(|known| known.key == service.key)
    {
        chain.push(hop(service));
    }
    Parties { chain, credential: credential(event), executor, initiator, session: session(event) }
}

/// Somebody in system `aws`, by ARN without the path: requests name users, roles and groups without it.
pub(crate) fn of_arn(arn: &str, kind: PrincipalType, name: Option<&str>) -> Principal<'static> {
    let key = format!("aws:{arn}");
    let key = without_path(&key).unwrap_or(key);
    principal(kind, Some(key), name)
}

/// The type that an ARN alone tells: a role is an account that people and programs act through.
pub(crate) fn type_of_arn(arn: &str) -> PrincipalType {
    if arn.contains(":role/") { PrincipalType::ServiceAccount } else { PrincipalType::Unknown }
}

fn principal(kind: PrincipalType, key: Option<String>, name: Option<&str>) -> Principal<'static> {
    Principal {
        instance: None,
        key: key.map(json::text),
        name: name.map(|name| json::text(name.to_owned())),
        kind,
        vendor: None,
    }
}

fn hop(principal: Principal<'static>) -> ChainHop<'static> {
    ChainHop { credential: None, delegation: None, principal, scope: Vec::new() }
}

/// Who acted. The type says no more than the event does: an IAM user may be a person's or a program's.
pub(super) fn executor(event: &Event) -> Principal<'static> {
    let identity = |name: &str| event.text(&["userIdentity", name]);
    let name = identity("userName");
    match identity("type") {
        Some("AssumedRole" | "Role") => {
            let Some(arn) = role_arn(event) else { return by_what_is_there(event) };
            let name = issuer(event, "userName").or(name);
            let instance = session_name(event).filter(|name| !is_personal(event, name));
            Principal {
                instance: instance.map(|name| json::text(name.to_owned())),
                ..of_arn(&arn, PrincipalType::ServiceAccount, name)
            }
        }
        Some("AWSService") => invoked_by(event).unwrap_or_else(|| by_what_is_there(event)),
        Some("IdentityCenterUser") => on_behalf_of(event).unwrap_or_else(|| by_what_is_there(event)),
        Some("WebIdentityUser") => match (identity("identityProvider"), name) {
            (Some(provider), Some(subject)) => of_web(provider, subject),
            _ => by_what_is_there(event),
        },
        Some("SAMLUser") if event.asked("roleArn").is_some_and(is_identity_center_role) => {
            // Identity Center opens the session, and names it after the user.
            let user = event.asked("roleSessionName").or(name);
            user.map_or_else(|| by_what_is_there(event), of_identity_center)
        }
        Some("SAMLUser") => match (identity("identityProvider"), name) {
            (Some(provider), Some(subject)) => {
                principal(PrincipalType::Unknown, Some(format!("saml:{provider}/{subject}")), name)
            }
            _ => by_what_is_there(event),
        },
        _ => by_what_is_there(event),
    }
}

/// The root of an account, of which `target` is the number or the ARN.
pub(super) fn root(event: &Event, target: &str) -> Principal<'static> {
    let arn = match target.starts_with("arn:") {
        true => target.to_owned(),
        false => format!("arn:{}:iam::{target}:root", event.partition()),
    };
    of_arn(&arn, PrincipalType::Unknown, None)
}

/// By its own name, else by the service's.
fn by_what_is_there(event: &Event) -> Principal<'static> {
    let named = || principal(PrincipalType::Unknown, None, event.text(&["userIdentity", "userName"]));
    own(event).or_else(|| invoked_by(event)).unwrap_or_else(named)
}

/// By the ARN, else by the id of whatever it is in its account.
fn own(event: &Event) -> Option<Principal<'static>> {
    let identity = |name: &str| event.text(&["userIdentity", name]);
    if let Some(arn) = identity("arn") {
        return Some(of_arn(arn, type_of_arn(arn), identity("userName")));
    }
    // `AROA…:session`: the part before the colon is the principal's.
    let id = identity("principalId")?;
    let (id, session) = id.split_once(':').map_or((id, None), |(id, session)| (id, Some(session)));
    let instance = session.filter(|name| !is_personal(event, name)).map(|name| json::text(name.to_owned()));
    Some(Principal {
        instance,
        ..principal(PrincipalType::Unknown, Some(format!("aws:{id}")), identity("userName"))
    })
}

/// The role of an assumed-role session.
fn role_arn(event: &Event) -> Option<String> {
    if let Some(arn) = issuer(event, "arn") {
        return Some(arn.to_owned());
    }
    role_of_session(event.text(&["userIdentity", "arn"])?)
}

/// `arn:aws:sts::1:assumed-role/NAME/SESSION` → `arn:aws:iam::1:role/NAME`; a role's own ARN as it is.
pub(crate) fn role_of_session(arn: &str) -> Option<String> {
    if arn.contains(":role/") {
        return Some(arn.to_owned());
    }
    let (head, tail) = arn.split_once(":assumed-role/")?;
    let name = tail.split('/').next().filter(|name| !name.is_empty())?;
    let mut parts = head.split(':');
    let (partition, account) = (parts.nth(1)?, parts.nth(2)?);
    Some(format!("arn:{partition}:iam::{account}:role/{name}"))
}

fn issuer<'e>(event: &'e Event, name: &str) -> Option<&'e str> {
    event.text(&["userIdentity", "sessionContext", "sessionIssuer", name])
}

/// The session's name, which whoever opened it chose.
fn session_name(event: &Event) -> Option<&str> {
    let principal = event.text(&["userIdentity", "principalId"]).and_then(|id| id.split_once(':'));
    principal
        .map(|(_, name)| name)
        .or_else(|| {
            let (_, tail) = event.text(&["userIdentity", "arn"])?.split_once(":assumed-role/")?;
            tail.split_once('/').map(|(_, name)| name)
        })
        .filter(|name| !name.is_empty())
}

fn is_personal(event: &Event, name: &str) -> bool {
    is_personal_name(issuer(event, "arn"), name)
}

/// Whether `name`, of a session of `role`, is a person's: it may not stand in a sealed record, where
/// nobody could ever take it out.
pub(crate) fn is_personal_name(role: Option<&str>, name: &str) -> bool {
    name.contains('@') || role.is_some_and(is_identity_center_role)
}

/// The path that IAM keeps for the roles of IAM Identity Center, which alone may assume them.
fn is_identity_center_role(arn: &str) -> bool {
    arn.contains(":role/aws-reserved/sso.amazonaws.com/")
}

/// Who asked, where the event says so; never guessed from a session's name.
fn initiator(event: &Event) -> Option<Principal<'static>> {
    let kind = event.text(&["userIdentity", "type"]);
    if let Some(somebody) = delegate(event).or_else(|| on_behalf_of(event)) {
        return Some(somebody);
    }
    if let Some(source) = event.text(&["userIdentity", "sessionContext", "sourceIdentity"]) {
        // Set when the first session was opened, and the same through every role assumed since.
        return Some(principal(
            PrincipalType::Unknown,
            Some(format!("aws:source-identity/{source}")),
            Some(source),
        ));
    }
    let web = ["userIdentity", "sessionContext", "webIdFederationData"];
    if let Some(provider) = event.text(&[&web[..], &["federatedProvider"]].concat())
        && let Some(attributes) = event.get(&[&web[..], &["attributes"]].concat()).and_then(|a| a.as_object())
        && let Some(subject) =
            attributes.iter().find(|(name, _)| name.ends_with(":sub")).and_then(|(_, v)| v.as_str())
    {
        return Some(of_web(provider, subject));
    }
    // The console says from whom it switched to a role.
    if let Some(arn) =
        event.text(&["additionalEventData", "SwitchFrom"]).filter(|arn| arn.starts_with("arn:"))
    {
        let arn = role_of_session(arn).unwrap_or_else(|| arn.to_owned());
        return Some(of_arn(&arn, type_of_arn(&arn), None));
    }
    if kind == Some("AssumedRole")
        && issuer(event, "arn").is_some_and(is_identity_center_role)
        && let Some(user) = session_name(event)
    {
        // Identity Center names the session after the user.
        return Some(of_identity_center(user));
    }
    match kind? {
        "AssumedRole" => issuer(event, "arn").and_then(service_of_role).map(of_service),
        // A service has a user's rights only for a call of that user's: by a forward access session, or as the console.
        "IAMUser" | "Root" if !is_assumed_root(event) => invoked_by(event).and_then(|_| own(event)),
        _ => None,
    }
}

/// The service that alone may assume the service-linked role of this ARN.
fn service_of_role(arn: &str) -> Option<&str> {
    let (_, path) = arn.split_once(":role/aws-service-role/")?;
    path.split_once('/').map(|(service, _)| service)
}

/// Whether somebody else opened this session of a root user (`sts:AssumeRoot`).
fn is_assumed_root(event: &Event) -> bool {
    event.get(&["userIdentity", "sessionContext", "assumedRoot"]).is_some()
}

/// The account of the provider of a product that acts with rights which were delegated to it for a time.
fn delegate(event: &Event) -> Option<Principal<'static>> {
    let account = event.text(&["userIdentity", "invokedByDelegate", "accountId"])?;
    let key = format!("aws:{account}");
    let vendor = Some(json::text(key.clone()));
    Some(Principal { vendor, ..principal(PrincipalType::ThirdParty, Some(key), None) })
}

/// A user of IAM Identity Center by name.
fn of_identity_center(user: &str) -> Principal<'static> {
    principal(PrincipalType::Human, Some(format!("identity-center:{user}")), Some(user))
}

/// The user of IAM Identity Center for whom a service or an application acts.
fn on_behalf_of(event: &Event) -> Option<Principal<'static>> {
    let user = event.text(&["userIdentity", "onBehalfOf", "userId"])?;
    let store = event.text(&["userIdentity", "onBehalfOf", "identityStoreArn"]);
    let store = store.and_then(|arn| arn.rsplit('/').next());
    let key = match store {
        Some(store) => format!("identity-center:{store}/{user}"),
        None => format!("identity-center:{user}"),
    };
    Some(principal(PrincipalType::Human, Some(key), None))
}

/// The AWS service that made the call.
fn invoked_by(event: &Event) -> Option<Principal<'static>> {
    event.text(&["userIdentity", "invokedBy"]).map(of_service)
}

fn of_service(service: &str) -> Principal<'static> {
    principal(PrincipalType::Workload, Some(format!("aws:{service}")), Some(service))
}

/// A subject of an OpenID Connect issuer, by the issuer's address: `oidc:ISSUER/SUBJECT`.
pub(super) fn of_web(provider: &str, subject: &str) -> Principal<'static> {
    let issuer = provider.split_once(":oidc-provider/").map_or(provider, |(_, issuer)| issuer);
    let kind = if subject.starts_with("system:serviceaccount:") {
        PrincipalType::ServiceAccount
    } else if issuer == "token.actions.githubusercontent.com" || subject.starts_with("spiffe://") {
        PrincipalType::Workload
    } else {
        PrincipalType::Unknown
    };
    principal(kind, Some(format!("oidc:{issuer}/{subject}")), Some(subject))
}

/// The key or other credential that was used.
fn credential(event: &Event) -> Option<Credential<'static>> {
    if let Some(key) = event.text(&["userIdentity", "accessKeyId"]) {
        let issued = event.text(&["userIdentity", "sessionContext", "attributes", "creationDate"]);
        return Some(Credential { issued: issued.and_then(time::inside_event), ..access_key(key) });
    }
    let id = event.text(&["userIdentity", "credentialId"])?;
    Some(Credential {
        id: Some(json::text(id.to_owned())),
        issuer: Some("sso.amazonaws.com".into()),
        kind: Some("bearer".into()),
        ..Credential::default()
    })
}

/// An access key by its id, whose first letters say what sort of key it is.
pub(crate) fn access_key(id: &str) -> Credential<'static> {
    let (kind, issuer) = match id.get(..4) {
        Some("AKIA") => (Some("access_key"), Some("iam.amazonaws.com")),
        Some("ASIA") => (Some("temporary_key"), Some("sts.amazonaws.com")),
        Some("ABIA") => (Some("bearer"), Some("sts.amazonaws.com")),
        _ => (None, None),
    };
    Credential {
        id: Some(json::text(id.to_owned())),
        issuer: issuer.map(Into::into),
        kind: kind.map(Into::into),
        ..Credential::default()
    }
}

/// The session: the role's id and the session's name, as `principalId` has it; the id and the time it
/// was opened, where there is no name or it is a person's; else what ties the copies of one event in
/// several accounts together.
fn session(event: &Event) -> Option<String> {
    if let Some(principal) = event.text(&["userIdentity", "principalId"]) {
        let (id, name) = principal.split_once(':').map_or((principal, None), |(id, name)| (id, Some(name)));
        if name.is_some_and(|name| !is_personal(event, name)) {
            return Some(principal.to_owned());
        }
        if let Some(opened) = event.text(&["userIdentity", "sessionContext", "attributes", "creationDate"]) {
            return Some(format!("{id}:{opened}"));
        }
    }
    event.text(&["sharedEventID"]).map(str::to_owned)
}
