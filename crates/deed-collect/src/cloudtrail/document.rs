//! What a policy document says, as far as it decides what an event changed.

use deed_record::Timestamp;
use serde_json::Value;

use super::{event::Event, time};

/// The policy document of a request; `None` where it has none that can be read.
pub(super) fn asked(event: &Event) -> Option<Value> {
    event.asked("policyDocument").and_then(|text| serde_json::from_str(text).ok())
}

/// Whether everything in it denies.
pub(super) fn denies(document: &Value) -> bool {
    let mut all = statements(document).peekable();
    all.peek().is_some() && all.all(is_denial)
}

/// Whether a policy of AWS's own is known to deny, and to allow nothing.
pub(super) fn only_denies(arn: &str) -> bool {
    let (owner, name) = arn.rsplit_once('/').unwrap_or_default();
    let is_aws = owner.ends_with(":iam::aws:policy");
    is_aws && (name == "AWSDenyAll" || name.starts_with("AWSCompromisedKeyQuarantine"))
}

/// The time before which it denies everything to every session; `None` where it does not.
pub(super) fn denied_before(document: &Value) -> Option<Timestamp> {
    let whole = |statement: &&Value| {
        is_denial(statement) && is_any(statement.get("Action")) && is_any(statement.get("Resource"))
    };
    let before = statements(document).filter(whole).filter_map(|statement| {
        let condition = statement.get("Condition")?.as_object().filter(|all| all.len() == 1)?;
        let limits = condition.get("DateLessThan")?.as_object().filter(|all| all.len() == 1)?;
        let limit = limits.get("aws:TokenIssueTime")?;
        time::inside_event(limit.as_str().or_else(|| limit.get(0)?.as_str())?)
    });
    before.max()
}

fn statements(document: &Value) -> impl Iterator<Item = &Value> {
    let all = document.get("Statement");
    all.into_iter().flat_map(|all| all.as_array().map_or(std::slice::from_ref(all), |all| all))
}

fn is_denial(statement: &Value) -> bool {
    statement.get("Effect").and_then(Value::as_str) == Some("Deny")
}

/// Whether it is `*`, alone or in a list.
fn is_any(value: Option<&Value>) -> bool {
    value.is_some_and(|value| {
        value == "*" || value.as_array().is_some_and(|all| all.iter().any(|one| one == "*"))
    })
}
