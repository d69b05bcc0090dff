//! Records as events of the Open Cybersecurity Schema Framework (OCSF 1.8.0, G6).
//!
//! One event an action, with what the explanation says of it; one Detection Finding for each finding; one event for
//! each record about authority that belongs to no action. `docs/ocsf.md` has the mapping. What OCSF has no place for
//! stands under `unmapped`.
//!
//! People and machines are accounts as sealed. What they are called stands in an event only where the caller asks for
//! names; payloads never do (D10).

mod class;
mod finding;
mod parts;

use deed_record::{Party, RecordId, Skeleton};
use serde_json::{Map, Value, json};

use crate::{
    Checkpoint, Evidence, ExplainError, Explanation, Found, IdentityFinding, case::Rec, explain,
    explanation::Who, names::Names,
};

/// The version of the schema.
pub const VERSION: &str = "1.8.0";

/// `status_id` of a finding that is suppressed.
pub const SUPPRESSED: u64 = 3;

/// What the exporter is called, and which version it is.
pub(crate) const PRODUCT: (&str, &str) = ("Deed", env!("CARGO_PKG_VERSION"));

/// An action, or a record about authority, as events.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// What was done.
    pub event: Value,
    /// What deserves a look about it: events of the class Detection Finding.
    pub findings: Vec<Value>,
}

/// The action that record `id` belongs to as events, or the record alone where it belongs to none; `None` where
/// there is no such record. With `names`, people and machines by what they are called, too.
///
/// # Errors
/// The evidence cannot be read.
pub fn tell<E: Evidence>(
    evidence: &E,
    id: RecordId,
    at: &Checkpoint,
    names: bool,
) -> Result<Option<Told>, ExplainError<E::Error>> {
    let (told_of, answer) = match explain(evidence, id, at) {
        Ok(None) => return Ok(None),
        Ok(Some(answer)) => (answer.action.id, Some(answer)),
        Err(ExplainError::NoAction { id, .. }) => (id, None),
        Err(error) => return Err(error),
    };
    event_of(evidence, told_of, answer, names)
}

/// Record `id` alone as an event, whatever it belongs to; `None` where there is no such record.
///
/// # Errors
/// The evidence cannot be read.
pub fn tell_record<E: Evidence>(
    evidence: &E,
    id: RecordId,
    names: bool,
) -> Result<Option<Told>, ExplainError<E::Error>> {
    event_of(evidence, id, None, names)
}

/// What a finding about an identity of `tenant` is as an event of the class Detection Finding; `None` where the record that
/// shows it best is not there. With `names`, who it is about by what `called` says.
///
/// # Errors
/// The evidence cannot be read.
pub fn tell_identity<E: Evidence>(
    evidence: &E,
    tenant: &str,
    found: &IdentityFinding,
    called: &Called,
    names: bool,
) -> Result<Option<Value>, ExplainError<E::Error>> {
    let Some(shown) = evidence.by_id(found.record).map_err(ExplainError::Evidence)? else { return Ok(None) };
    let record = shown.sealed.skeleton().map_err(|error| ExplainError::Unreadable {
        log: shown.log.clone(),
        index: shown.sealed.index,
        error,
    })?;
    let telling = Telling { record: &record, found: &shown, answer: None, called: Names::default(), names };
    Ok(Some(tidy(telling.identity_finding(tenant, found, called))))
}

/// What whom and what a finding about an identity is about is called.
#[derive(Clone, Debug, Default)]
pub struct Called {
    /// Whom it is about; left out of an event without names.
    pub principal: Option<String>,
    /// The credential, or the first record of the grant.
    pub subject: Option<String>,
}

fn event_of<E: Evidence>(
    evidence: &E,
    id: RecordId,
    answer: Option<Explanation>,
    names: bool,
) -> Result<Option<Told>, ExplainError<E::Error>> {
    let Some(found) = evidence.by_id(id).map_err(ExplainError::Evidence)? else { return Ok(None) };
    let record = found.sealed.skeleton().map_err(|error| ExplainError::Unreadable {
        log: found.log.clone(),
        index: found.sealed.index,
        error,
    })?;
    let called = match names {
        true => Names::of(evidence, [&Rec { found: &found, is: record.clone() }])?,
        false => Names::default(),
    };
    let telling = Telling { record: &record, found: &found, answer: answer.as_ref(), called, names };
    let findings = answer.iter().flat_map(|answer| &answer.findings);
    Ok(Some(Told {
        event: tidy(telling.event()),
        findings: findings.map(|finding| tidy(telling.finding(finding))).collect(),
    }))
}

/// What an event is made of.
struct Telling<'t> {
    record: &'t Skeleton<'t>,
    found: &'t Found,
    /// Where it is an action.
    answer: Option<&'t Explanation>,
    called: Names,
    names: bool,
}

impl Telling<'_> {
    fn event(&self) -> Value {
        let record = self.record;
        let (class, activity) = class::of(record);
        let mut event = json!({
            "activity_id": activity.0, "activity_name": activity.1,
            "class_uid": class.uid, "class_name": class.name,
            "category_uid": class.category.0, "category_name": class.category.1,
            "type_uid": class.uid * 100 + activity.0, "type_name": format!("{}: {}", class.name, activity.1),
            "time": parts::millis(record.time),
            "severity_id": 1, "severity": "Informational",
            "message": self.message(),
            "metadata": self.metadata(record.id.to_string(), class.uid == class::API.uid),
            "raw_data_hash": { "algorithm_id": 99, "algorithm": "RFC 6962 leaf, SHA-256", "value": self.leaf_hash() },
            "raw_data_size": self.found.sealed.leaf.len(),
            "enrichments": self.enrichments(),
            "unmapped": self.unmapped(),
        });
        self.ended(&mut event);
        self.decided(&mut event);
        if class.uid == class::ERROR.uid {
            return event;
        }
        event["actor"] = self.actor();
        event["src_endpoint"] = self.src_endpoint();
        match class.uid {
            6003 => {
                event["api"] = self.api();
                event["resources"] = json!([self.resource()]);
                event["trace"] = self.trace();
            }
            3001 => event["user"] = self.about(),
            3002 => {
                event["user"] = self.about();
                event["service"] = self.service();
                event["session"] = self.session();
            }
            3003 => {
                event["user"] = self.about();
                event["privileges"] = self.privileges();
                event["session"] = self.session();
            }
            3005 => {
                event["user"] = self.about();
                event["privileges"] = self.privileges();
                event["resources"] = json!([self.resource()]);
            }
            _ => event["entity"] = self.entity(),
        }
        event
    }

    /// What was done and how it ended, in a line without names.
    fn message(&self) -> String {
        let what = self.operation().unwrap_or_else(|| self.record.kind.to_string());
        let on = self.record.resource.as_ref().map(|on| format!(" on {}", on.uri)).unwrap_or_default();
        match self.answer {
            Some(answer) => format!("{what}{on}: {}", answer.outcome.status),
            None => format!("{what}{on}"),
        }
    }

    /// Everybody as an explanation names them.
    fn who(&self, party: &Party<'_>) -> Who {
        self.called.who(party)
    }
}

/// Without members that say nothing.
fn tidy(value: Value) -> Value {
    fn says(value: &Value) -> bool {
        match value {
            Value::Null => false,
            Value::Array(list) => !list.is_empty(),
            Value::Object(members) => !members.is_empty(),
            _ => true,
        }
    }
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(name, value)| (name, tidy(value)));
            Value::Object(members.filter(|(_, value)| says(value)).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(tidy).filter(says).collect()),
        plain => plain,
    }
}
