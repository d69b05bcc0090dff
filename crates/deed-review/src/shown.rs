//! By what right, as an answer shows it: requests, approvals, grants, credentials.

use deed_record::{Answer, Change, Kind, RecordId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    parts::{Resource, Who},
    words::Edge,
};

/// A request for a right.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Request {
    /// The record.
    pub id: RecordId,
    /// When it was made.
    pub time: Timestamp,
    /// Who asked for it.
    pub by: Option<Who>,
    /// For whom.
    pub subject: Option<Who>,
    /// For which role.
    pub role: Option<String>,
    /// For which scopes.
    pub scopes: Vec<String>,
    /// For which resource.
    pub resource: Option<Resource>,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// How well the link is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// An answer to a request, or to the action itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Approval {
    /// The record.
    pub id: RecordId,
    /// When it was given.
    pub time: Timestamp,
    /// Who gave it.
    pub by: Option<Who>,
    /// Yes or no.
    pub answer: Option<Answer>,
    /// The request that it answers.
    pub request: Option<RecordId>,
    /// The action that it answers.
    pub action: Option<RecordId>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Whether it approves this action: given in time, for this, by somebody else.
    pub counts: bool,
    /// How well the link is known.
    pub edge: Edge,
    /// How it is known, and why it does not count.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// A right: a grant, or a token that Deed issued.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// The record.
    pub id: RecordId,
    /// `grant`, or `credential` where it is a token that Deed issued; of an observed call, `observation`.
    #[serde(default = "a_grant")]
    pub kind: Kind,
    /// How a token came to be.
    pub relation: Option<Relation>,
    /// When it was given.
    pub time: Timestamp,
    /// Who gave it.
    pub by: Option<Who>,
    /// To whom.
    pub subject: Option<Who>,
    /// The role.
    pub role: Option<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The resource that it is bound to.
    pub resource: Option<Resource>,
    /// When it begins.
    pub not_before: Option<Timestamp>,
    /// When it ends; `null` means that it stands.
    pub expires: Option<Timestamp>,
    /// When it was taken away, as far as that bears on the action.
    pub revoked: Option<Timestamp>,
    /// The request that it answers.
    pub request: Option<RecordId>,
    /// What a token was derived from: the one before it, the one before that, up to what the person showed.
    #[serde(default)]
    pub parents: Vec<Parent>,
    /// How well the link is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// What a grant is where a server of an earlier version does not say.
const fn a_grant() -> Kind {
    Kind::Grant
}

/// How a token of Deed's came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It was given for what somebody showed that Deed had not issued.
    First,
    /// The one before it was handed on to somebody else.
    HandOff,
    /// The one before it was renewed by whoever had it.
    Renewal,
}

/// A credential that a token was derived from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Parent {
    /// Its jti, issuer's id or fingerprint.
    pub credential: String,
    /// The record by which Deed issued it; `null` of what it did not issue.
    pub record: Option<RecordId>,
    /// Whose it was.
    pub subject: Option<Who>,
    /// The scopes that it held, where Deed issued it.
    pub scopes: Vec<String>,
    /// When Deed issued it.
    pub issued: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was taken away, as far as that bears on the action.
    pub revoked: Option<Timestamp>,
    /// How well that is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
}

/// What the action was done with, by anything but its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Credential {
    /// Digest of the secret.
    pub fingerprint: Option<String>,
    /// The issuing system's own identifier.
    pub id: Option<String>,
    /// JWT id.
    pub jti: Option<String>,
    /// `bearer`, `temporary_key`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// Scopes that it held at the time.
    pub scopes: Vec<String>,
    /// When it was issued.
    pub issued: Option<Timestamp>,
    /// When it ends, as known at the time of the action.
    pub expires: Option<Timestamp>,
    /// When it was taken away, as far as that bears on the action.
    pub revoked: Option<Timestamp>,
    /// When it was last replaced by another before the action, which then used the old one.
    pub rotated: Option<Timestamp>,
    /// The credential that it was derived from.
    pub parent: Option<String>,
    /// That one, the one before it, and so on.
    pub parents: Vec<String>,
    /// What was shown in its place to the system behind.
    #[serde(default)]
    pub upstream: Option<String>,
    /// What became of it, oldest first.
    pub lifecycle: Vec<LifecycleEvent>,
    /// How well the link is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// Something that happened to a credential.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LifecycleEvent {
    /// When.
    pub time: Timestamp,
    /// What; `null` where the record only describes it.
    pub change: Option<Change>,
    /// The record that says so.
    pub record: RecordId,
}
