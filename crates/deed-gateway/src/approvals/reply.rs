//! What a human answers to a step-up, and whether it counts.

use std::{fmt, iter::once};

use deed_identity::{Inventory, principal_name};
use deed_ledger::AppendError;
use deed_policy::Approver;
use deed_record::RecordId;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::StepUp;
use crate::{intent::Who, names::is_same};

/// A human's answer to a step-up.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// The step-up or the tool that it answers. A message that is signed apart from its address must say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RecordId>,
    /// Whether it may be done.
    pub approved: bool,
    /// Who says so: somebody with a `key`, or with a `name`, whose key is then `TYPE:NAME`; or that as a text.
    #[serde(deserialize_with = "answered_by")]
    pub by: Who,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Reads who answers: somebody who is named.
fn answered_by<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Who, D::Error> {
    let who = said_by(deserializer)?;
    match who.key {
        Some(_) => Ok(who),
        None => Err(de::Error::custom("`by`: expected a `key` or a `name`; nobody says who answers")),
    }
}

/// Reads who says something. Whoever has no key is known as `TYPE:NAME`.
pub(crate) fn said_by<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Who, D::Error> {
    struct By;
    impl<'de> Visitor<'de> for By {
        type Value = Who;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("who says so, as `{\"type\": \"human\", \"name\": \"ann\"}` or `\"human:ann\"`")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Who, E> {
            text.parse().map_err(|why| E::custom(format!("`by`: {why}")))
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Who, A::Error> {
            Who::deserialize(MapAccessDeserializer::new(map))
        }
    }
    let wrong = |why: String| de::Error::custom(format!("`by`: {why}"));
    let who = deserializer.deserialize_any(By)?;
    let is_there = |text: &&str| !text.is_empty();
    let named = who.name.as_deref().filter(is_there).map(|name| format!("{}:{name}", who.kind));
    let key = who.key.filter(|key| !key.is_empty()).or(named);
    let key = key.map(|key| principal_name(&key).into_owned());
    Who { key, ..who }.visible().map_err(wrong)
}

/// An answer that is recorded, and counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Replied {
    /// The record of the approval.
    pub record: RecordId,
    /// Whether somebody waits for it just now, and goes on. Else the same call, made again in time, is let through. `None` for a
    /// tool, for which nobody waits.
    pub waits: Option<bool>,
}

/// Why an answer to a step-up does not count.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReplyError {
    /// There is nothing to answer.
    #[error(
        "nothing of the id `{0}` waits for an approval; it was answered or called off, has expired, or never waited: deed approvals"
    )]
    Unknown(RecordId),
    /// Whoever answers must not.
    #[error("{0}")]
    NotTheirs(String),
    /// It could not be recorded, and so does not count.
    #[error(transparent)]
    Unavailable(#[from] crate::recorder::Unavailable),
}

impl From<AppendError> for ReplyError {
    fn from(error: AppendError) -> Self {
        ReplyError::Unavailable(error.into())
    }
}

/// Whether `by` may answer `step_up`.
///
/// # Errors
/// Why not, in a sentence.
pub(crate) fn may_answer(step_up: &StepUp, by: &Who, inventory: &Inventory) -> Result<(), ReplyError> {
    let refuse = |why: String| Err(ReplyError::NotTheirs(why));
    let Some(key) = by.key.as_deref().filter(|key| !key.is_empty()) else {
        return refuse(
            "nobody says who answers; say it with `by`, or on the command line with --as human:NAME".into(),
        );
    };
    if by.kind != deed_record::PrincipalType::Human {
        return refuse(format!("a human must answer, and `{key}` is none"));
    }
    let has_part = has_part(step_up, by, inventory);
    for approver in &step_up.approvers {
        match approver {
            Approver::SelfApproval => {}
            Approver::Anybody | Approver::Group(_) if has_part => {
                return refuse(format!(
                    "`{key}` asked for it or would execute it; somebody else must answer (`by`; on the command line --as human:NAME)"
                ));
            }
            Approver::Group(group) => {
                let is_in =
                    inventory.principal(key).is_some_and(|principal| principal.groups.contains(group));
                if !is_in {
                    return refuse(format!(
                        "somebody of the group `{group}` must answer, and the inventory does not put `{key}` into it"
                    ));
                }
            }
            Approver::Anybody => {}
        }
    }
    Ok(())
}

/// Whether `by` is whoever asked for `step_up` or would execute it.
pub(crate) fn has_part(step_up: &StepUp, by: &Who, inventory: &Inventory) -> bool {
    let place = &step_up.intent.place;
    once(&place.executor).chain(&place.initiator).any(|who| is_same(inventory, by, who))
}
