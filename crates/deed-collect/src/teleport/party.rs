//! Who acted and who asked.

use deed_record::{ChainHop, Credential, Principal, PrincipalType};

use super::{Event, SYSTEM};
use crate::{
    authority::{self, nobody, principal, text},
    loose::Loose,
};

pub(super) struct Parties {
    pub(super) chain: Vec<ChainHop<'static>>,
    pub(super) credential: Option<Credential<'static>>,
    pub(super) executor: Principal<'static>,
    pub(super) initiator: Option<Principal<'static>>,
}

pub(super) fn parties(event: Event<'_>) -> Parties {
    let user = actor(event).unwrap_or_else(nobody);
    let impersonator = event
        .0
        .text(&["impersonator"])
        .or_else(|| event.0.text(&["identity", "impersonator"]))
        .map(|name| named(event, PrincipalType::Unknown, name))
        .filter(|impersonator| impersonator.key != user.key);
    let credential = credential(event);
    // What comes over MCP is a program's doing, whoever signed in for it; which program, nobody says.
    if event.mcp_method().is_some() && user.kind != PrincipalType::Workload && user.key.is_some() {
        let executor = Principal {
            instance: event.0.text(&["sid"]).map(text),
            ..principal(PrincipalType::Agent, None, None)
        };
        return Parties { chain: hops(impersonator), credential, executor, initiator: Some(user) };
    }
    let initiator = match impersonator {
        Some(impersonator) => Some(impersonator),
        None => authority::asked(&user),
    };
    Parties { chain: Vec::new(), credential, executor: user, initiator }
}

fn hops(principal: Option<Principal<'static>>) -> Vec<ChainHop<'static>> {
    let hop = |principal| ChainHop { credential: None, delegation: None, principal, scope: Vec::new() };
    principal.into_iter().map(hop).collect()
}

/// Who the event says did it. A review names its reviewer, a certificate whom it is for, and no other user.
pub(super) fn actor(event: Event<'_>) -> Option<Principal<'static>> {
    let identity = event.0.at(&["identity"]);
    if let Some(name) = event.0.any(&["user", "updated_by", "reviewer"]) {
        return Some(Principal {
            instance: event.0.text(&["bot_instance_id"]).map(text),
            ..named(event, kind_of(event.0), name)
        });
    }
    identity.text(&["user"]).map(|name| holder(event, identity, name))
}

/// Whom a certificate is for.
pub(super) fn holder(event: Event<'_>, identity: Loose<'_>, name: &str) -> Principal<'static> {
    let instance = identity.text(&["bot_instance_id"]).map(text);
    Principal { instance, ..named(event, kind_of(identity), name) }
}

/// What `user_kind` says, a number or its name; a bot is one too where only its name is there.
fn kind_of(of: Loose<'_>) -> PrincipalType {
    match of.plain(&["user_kind"]).as_deref() {
        Some("1" | "USER_KIND_HUMAN" | "human") => PrincipalType::Human,
        Some("2" | "USER_KIND_BOT" | "bot") => PrincipalType::Workload,
        Some("3" | "USER_KIND_SYSTEM" | "system") => PrincipalType::Workload,
        _ if of.text(&["bot_name"]).is_some() => PrincipalType::Workload,
        _ => PrincipalType::Unknown,
    }
}

/// A user by name, in the cluster that knows them: `teleport:example.com/ann`.
pub(super) fn named(event: Event<'_>, kind: PrincipalType, name: &str) -> Principal<'static> {
    let key = match event.0.any(&["user_cluster_name", "cluster_name"]) {
        Some(cluster) => format!("{SYSTEM}:{cluster}/{name}"),
        None => format!("{SYSTEM}:{name}"),
    };
    principal(kind, Some(key), Some(name))
}

/// What the user showed: Teleport logs certificates when it issues them and names none when they are used,
/// except those that say of which instance of a bot they are.
fn credential(event: Event<'_>) -> Option<Credential<'static>> {
    let instance = event.0.text(&["bot_instance_id"])?;
    Some(authority::credential("certificate", Some(instance), event.cluster().unwrap_or(SYSTEM)))
}
