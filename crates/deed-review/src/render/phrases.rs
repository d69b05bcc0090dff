//! Turns of phrase.

use deed_record::{Status, Timestamp};

use super::text::{fit, name, width};
use crate::{
    explanation::{Action, Outcome, Who},
    words::beside,
};

/// The code of what was answered by asking for input (MCP, multi round-trip requests).
pub(super) const INPUT_REQUIRED: &str = "input_required";

/// What was done, in a few words.
pub(super) fn title(action: &Action) -> String {
    let tool = action.tool.as_ref().map(|tool| match &tool.server {
        Some(server) => format!("{server}/{}", tool.name),
        None => tool.name.clone(),
    });
    let step = action.step_type.map(|step| step.as_str().replace('_', " "));
    let what = tool.or_else(|| action.operation.clone()).or_else(|| action.task.clone()).or(step);
    let what = what.unwrap_or_else(|| action.kind.as_str().to_owned());
    match &action.resource {
        Some(resource) => format!("{}  {}", name(&what), name(&resource.uri)),
        None => name(&what).into_owned(),
    }
}

/// What was done and to what, both clean, in at most `room` columns: each is cut in its middle only where
/// it takes more than its share, two thirds for what was done.
pub(super) fn done_to(what: &str, about: &str, room: usize) -> String {
    const LEAST: usize = 4;
    let (long, wide) = (width(what), width(about));
    let both = room.saturating_sub(1);
    if long + wide <= both {
        return format!("{what} {about}");
    }
    let kept = if wide <= both / 3 { both - wide } else { long.min(both - both / 3) };
    if both - kept < LEAST {
        return fit(what, room).into_owned();
    }
    format!("{} {}", fit(what, kept), fit(about, both - kept))
}

/// How it ended, in a few words.
pub(super) fn ending(outcome: &Outcome) -> String {
    let code = outcome.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let after = outcome.duration_ms.map(|ms| format!(" after {ms} ms")).unwrap_or_default();
    let within = outcome.duration_ms.map(|ms| format!(" in {ms} ms")).unwrap_or_default();
    match outcome.status {
        Status::Success if outcome.code.as_deref() == Some(INPUT_REQUIRED) => {
            format!("asked for input{within}")
        }
        Status::Success => format!("succeeded{within}"),
        Status::Failure => format!("failed{code}{after}"),
        Status::Denied => format!("was denied{code}"),
        Status::Cancelled => format!("was cancelled{after}"),
        Status::TimedOut => format!("timed out{after}"),
        Status::RolledBack => format!("was rolled back{after}"),
        Status::Unknown => "how it ended is not known".to_owned(),
    }
}

pub(super) fn said_before(outcome: &Outcome) -> String {
    let at: Timestamp = outcome.time.unwrap_or_default();
    let said = outcome.said.iter().filter(|said| said.status != outcome.status);
    said.map(|said| format!("{} {}", spoken(said.status.as_str()), beside(said.time, at)))
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) fn asked_for(role: Option<&str>, scopes: &[String]) -> String {
    match (role, scopes) {
        (Some(role), _) => format!("role {role}"),
        (None, []) => "-".to_owned(),
        (None, scopes) => scopes.join(", "),
    }
}

pub(super) fn who(who: &Who) -> String {
    called(who.name.as_deref(), who.key.as_deref())
}

/// What people call somebody, else the key.
pub(super) fn called(name: Option<&str>, key: Option<&str>) -> String {
    name.or(key).unwrap_or("-").to_owned()
}

/// A word of a vocabulary as people write it.
pub(super) fn spoken(word: &str) -> String {
    word.replace('_', " ")
}
