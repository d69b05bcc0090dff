//! Who somebody is, by object id.

use deed_record::{Principal, PrincipalType};

use super::{Event, SYSTEM};
use crate::{authority::principal, loose::Loose};

/// The id at `path`. Where there is none, Microsoft writes one of zeros.
pub(super) fn id<'v>(of: Loose<'v>, path: &[&str]) -> Option<&'v str> {
    of.text(path).filter(|id| !id.starts_with("00000000-0000-0000-0000-000000000000"))
}

/// Somebody by object id.
pub(super) fn of_object(kind: PrincipalType, id: &str, name: Option<&str>) -> Principal<'static> {
    principal(kind, Some(format!("{SYSTEM}:{id}")), name)
}

/// An application by its client id: what stands in tokens, the same in every directory.
pub(super) fn of_app(kind: PrincipalType, id: &str, name: Option<&str>) -> Principal<'static> {
    principal(kind, Some(format!("{SYSTEM}:app/{id}")), name)
}

/// The user of a sign-in.
pub(super) fn user(event: Event<'_>) -> Option<Principal<'static>> {
    let id = id(event.is, &["userId"])?;
    let name = event.is.any(&["userDisplayName", "userPrincipalName"]);
    Some(of_object(PrincipalType::Human, id, name))
}

/// The service principal of a sign-in or call, else the application by its client id.
pub(super) fn service(event: Event<'_>) -> Option<Principal<'static>> {
    let kind = PrincipalType::Workload;
    let name = event.is.any(&["servicePrincipalName", "appDisplayName"]);
    let found = match id(event.is, &["servicePrincipalId"]) {
        Some(id) => of_object(kind, id, name),
        None => of_app(kind, id(event.is, &["appId"])?, name),
    };
    let instance = event.is.text(&["managedServiceIdentity", "associatedResourceId"]);
    Some(Principal { instance: instance.map(crate::authority::text), vendor: vendor(event), ..found })
}

/// The directory that owns the application, where it is another one than the event's.
fn vendor(event: Event<'_>) -> Option<deed_record::Text<'static>> {
    let owner = event.is.text(&["appOwnerTenantId"])?;
    let here = event.tenant().or_else(|| event.is.text(&["resourceTenantId"]))?;
    (owner != here).then(|| crate::authority::text(format!("{SYSTEM}:{owner}")))
}

/// Who an audit event says began it, as a user and as an application: both where one acts for the other.
pub(super) fn initiated_by(event: Event<'_>) -> (Option<Principal<'static>>, Option<Principal<'static>>) {
    let by = event.is.at(&["initiatedBy"]);
    let user = id(by, &["user", "id"]).map(|id| {
        let name = by.at(&["user"]).any(&["displayName", "userPrincipalName"]);
        of_object(PrincipalType::Human, id, name)
    });
    let app = by.at(&["app"]);
    let name = app.any(&["displayName", "servicePrincipalName"]);
    let kind = agent_or(app, PrincipalType::Workload);
    let app = match (id(app, &["servicePrincipalId"]), id(app, &["appId"])) {
        (Some(id), _) => Some(of_object(kind, id, name)),
        (None, Some(id)) => Some(of_app(kind, id, name)),
        // Services of Microsoft's own are named only.
        (None, None) => name.map(|name| of_app(PrincipalType::Workload, name, Some(name))),
    };
    (user, app)
}

/// Somebody that a target names.
pub(super) fn of_target(target: Loose<'_>) -> Option<Principal<'static>> {
    let id = id(target, &["id"])?;
    let name = target.any(&["displayName", "userPrincipalName"]);
    let kind = match target.text(&["type"]).unwrap_or_default() {
        "User" => PrincipalType::Human,
        "ServicePrincipal" | "Application" | "ManagedIdentity" => PrincipalType::Workload,
        kind if kind.starts_with("Agent") => PrincipalType::Agent,
        _ => PrincipalType::Unknown,
    };
    Some(of_object(agent_or(target, kind), id, name))
}

/// [`PrincipalType::Agent`] where `agentType` says so.
fn agent_or(named: Loose<'_>, kind: PrincipalType) -> PrincipalType {
    let said = named.text(&["agentType"]).or_else(|| named.text(&["agent", "agentType"]));
    if said.is_some_and(is_agentic) { PrincipalType::Agent } else { kind }
}

/// Whether `agentType` or `agentSubjectType` says that somebody is an agent.
pub(super) fn is_agentic(kind: &str) -> bool {
    !matches!(kind, "" | "none" | "notAgentic" | "unknownFutureValue")
}
