//! Who acted and who asked.

use deed_record::{Principal, PrincipalType};

use super::{Event, SYSTEM, known, type_of};
use crate::{
    authority::{self, nobody, principal},
    loose::Loose,
};

/// Who acted. An account whose API token made the call may be a person's or a program's.
pub(super) fn actor(event: Event<'_>) -> Principal<'static> {
    let actor = event.0.at(&["actor"]);
    let executor = of(actor).unwrap_or_else(nobody);
    match event.token() {
        Some(_) if executor.kind == PrincipalType::Human => {
            Principal { kind: PrincipalType::Unknown, ..executor }
        }
        _ => executor,
    }
}

/// Who asked: the user for whom an application gets a token, else a person who acts directly.
pub(super) fn initiator(event: Event<'_>, executor: &Principal<'static>) -> Option<Principal<'static>> {
    if executor.kind == PrincipalType::Workload && event.kind().starts_with("app.oauth2.") {
        return event.target(&["User"]).and_then(of);
    }
    authority::asked(executor)
}

/// Somebody that an actor or a target names. An address is nobody.
pub(super) fn of(named: Loose<'_>) -> Option<Principal<'static>> {
    let kind = named.text(&["type"]).unwrap_or_default();
    let id = known(named.text(&["id"]))?;
    if kind == "IP address" {
        return None;
    }
    let name = known(named.any(&["displayName", "alternateId"]));
    Some(principal(type_of(kind), Some(format!("{SYSTEM}:{id}")), name))
}
