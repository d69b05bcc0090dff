//! Audit events of the directory.

use deed_record::{Outcome, Resource, Status, Timestamp};

use super::{Event, SYSTEM, Said, effects, party, role};
use crate::{
    authority::{self, nobody},
    loose::Loose,
};

pub(super) fn said(event: Event<'_>, time: Timestamp) -> Said {
    let (user, app) = party::initiated_by(event);
    let (executor, initiator) = match (user, app) {
        // The application did it for the user.
        (user, Some(app)) => (app, user),
        (Some(user), None) => (user.clone(), Some(user)),
        (None, None) => (nobody(), None),
    };
    let outcome = outcome(event);
    let succeeded = outcome.as_ref().is_none_or(|outcome| outcome.status == Status::Success);
    let audit = Audit { event, operation: operation(event).unwrap_or_default() };
    Said {
        chain: Vec::new(),
        credential: None,
        decision: None,
        effects: if succeeded {
            effects::effects(audit, &executor, initiator.as_ref(), time)
        } else {
            Vec::new()
        },
        executor,
        initiator,
        operation: if audit.operation.is_empty() { "audit" } else { audit.operation }.to_owned(),
        outcome,
        permission: None,
        request: role::request(audit),
        resource: resource(event),
    }
}

/// An audit event and what was done.
#[derive(Clone, Copy)]
pub(super) struct Audit<'v> {
    pub(super) event: Event<'v>,
    pub(super) operation: &'v str,
}

impl<'v> Audit<'v> {
    pub(super) fn targets(self) -> impl Iterator<Item = Loose<'v>> + Clone + use<'v> {
        self.event.is.list(&["targetResources"])
    }

    /// The first target of one of these types.
    pub(super) fn target(self, types: &[&str]) -> Option<Loose<'v>> {
        types.iter().find_map(|kind| self.targets().find(|target| target.text(&["type"]) == Some(kind)))
    }

    /// Old and new value of a modified property of any target.
    pub(super) fn modified(self, name: &str) -> Option<(&'v str, &'v str)> {
        let is_it = |property: &Loose<'_>| property.text(&["displayName"]) == Some(name);
        let property = self.targets().flat_map(|target| target.list(&["modifiedProperties"])).find(is_it)?;
        let value = |name: &str| property.text(&[name]).unwrap_or_default();
        Some((value("oldValue"), value("newValue")))
    }

    /// The new value of a modified property; the old one of something that was taken away. Values are JSON
    /// in a string, most often a string in quotes.
    pub(super) fn property(self, name: &str) -> Option<String> {
        let (old, new) = self.modified(name)?;
        plain(new).or_else(|| plain(old))
    }

    /// A value of `additionalDetails`.
    pub(super) fn detail(self, name: &str) -> Option<&'v str> {
        let details = self.event.is.list(&["additionalDetails"]);
        details.into_iter().find(|detail| detail.text(&["key"]) == Some(name))?.text(&["value"])
    }
}

fn plain(value: &str) -> Option<String> {
    let inner = match serde_json::from_str(value) {
        Ok(serde_json::Value::String(inner)) => inner,
        Ok(serde_json::Value::Null) => return None,
        _ => value.to_owned(),
    };
    let trimmed = inner.trim_matches(['"', ' ']);
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// What was done, without the spaces (of every sort) that some names end with.
fn operation(event: Event<'_>) -> Option<&str> {
    let named = |of: Loose<'_>| of.any(&["activityDisplayName", "operationName"]).is_some();
    let said = if named(event.is) { event.is } else { event.outer };
    said.any(&["activityDisplayName", "operationName"]).map(str::trim)
}

fn outcome(event: Event<'_>) -> Option<Outcome<'static>> {
    let result = event.is.text(&["result"]).or_else(|| event.outer.text(&["result"]))?;
    let status = match result.to_ascii_lowercase().as_str() {
        "success" => Status::Success,
        "failure" => Status::Failure,
        "timeout" => Status::TimedOut,
        _ => Status::Unknown,
    };
    Some(Outcome::of(status))
}

/// What was acted upon: a target that is no person, else the person.
fn resource(event: Event<'_>) -> Option<Resource<'static>> {
    let mut targets = event.is.list(&["targetResources"]);
    let is_person = |target: &Loose<'_>| target.text(&["type"]) == Some("User");
    let first = targets.clone().find(|target| !is_person(target) && of_target(*target).is_some());
    first.or_else(|| targets.next()).and_then(of_target)
}

/// `entra:ServicePrincipal/GUID`.
pub(super) fn of_target(target: Loose<'_>) -> Option<Resource<'static>> {
    let kind = target.text(&["type"]).filter(|kind| *kind != "Request")?;
    let id = party::id(target, &["id"]).filter(|id| authority::is_impersonal(id))?;
    Some(authority::resource(format!("{SYSTEM}:{kind}/{id}"), kind))
}
