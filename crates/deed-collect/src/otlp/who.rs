//! Who did it, who asked, and where it came from.

use std::borrow::Cow;

use deed_record::{Principal, PrincipalType, Source};

use super::{
    MAPPING,
    attributes::{Seen, Slot},
};
use crate::json;

/// What OpenTelemetry calls a service that nobody named; SDKs put `:` and their process behind it.
const UNNAMED: &str = "unknown_service";

/// `namespace/name` of the service, else [`UNNAMED`].
pub(super) fn service<'a>(seen: &Seen<'a>) -> Cow<'a, str> {
    let name = seen.text(Slot::ServiceName).unwrap_or(Cow::Borrowed(UNNAMED));
    match seen.text(Slot::ServiceNamespace) {
        Some(namespace) => Cow::Owned(format!("{namespace}/{name}")),
        None => name,
    }
}

/// Where an item comes from: the service, and the item's id in it. The same item sent again has the
/// same id, so that it adds nothing (D12).
pub(super) fn source<'a>(service: &str, event_id: String) -> Source<'a> {
    Source {
        collector: Some(MAPPING.into()),
        event_id: Some(json::text(event_id)),
        system: json::text(format!("otlp:{service}")),
    }
}

/// Who acted: the agent that is named, else the service. `is_agent` says that what was done is an
/// agent's to do.
pub(super) fn executor<'a>(seen: &Seen<'a>, service: &str, is_agent: bool) -> Principal<'a> {
    let (id, name) = (seen.text(Slot::AgentId), seen.text(Slot::AgentName));
    let agent = id.or_else(|| name.clone());
    let is_named = !service.starts_with(UNNAMED);
    let key = match &agent {
        Some(agent) => Some(format!("otlp:{service}/{agent}")),
        None => is_named.then(|| format!("otlp:{service}")),
    };
    let name = name.or_else(|| seen.text(Slot::ServiceName).filter(|_| is_named && agent.is_none()));
    Principal {
        instance: seen.text(Slot::Instance).map(json::text),
        key: key.map(json::text),
        name: name.map(json::text),
        kind: if agent.is_some() || is_agent { PrincipalType::Agent } else { PrincipalType::Unknown },
        vendor: None,
    }
}

/// Somebody of whom nothing is known.
pub(super) fn nobody() -> Principal<'static> {
    Principal { instance: None, key: None, name: None, kind: PrincipalType::Unknown, vendor: None }
}

/// Who asked: the user the application had, by the application's own name for them. An end user may
/// be a program, so that the type stays unknown.
pub(super) fn initiator<'a>(seen: &Seen<'a>, service: &str) -> Option<Principal<'a>> {
    let id = seen.text(Slot::UserId)?;
    let key = if service.starts_with(UNNAMED) {
        format!("enduser:{id}")
    } else {
        format!("enduser:{service}/{id}")
    };
    Some(Principal {
        key: Some(json::text(key)),
        name: seen.text(Slot::UserName).map(json::text),
        ..nobody()
    })
}
