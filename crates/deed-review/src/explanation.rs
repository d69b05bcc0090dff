//! The answer about one action, as `deed explain --json` prints it and as the command line reads it back.
//!
//! Members are added, never renamed or dropped. Every member is always present; `null` is what nobody
//! said. `how` says in words how a link is known or why it is missing, `records` by which records.
//! Neither `how` nor any reason holds a name that can be erased.

use deed_record::{
    Account, Basis, Kind, PrincipalType, Pseudonym, RecordId, Ruling, SpanId, Status, StepType, Timestamp,
    TraceId,
};
use serde::{Deserialize, Serialize};

use crate::words::{Attribution, Authority, Class, Edge, Scope, Severity};
pub use crate::{
    parts::{Artifact, Resource, Source, Tool, Who},
    shown::{Approval, Credential, Grant, LifecycleEvent, Parent, Relation, Request},
};

/// Most records of other systems that are listed; how many more there are is said.
pub const MOST_COUNTERPARTS: usize = 64;

/// Who asked, who acted, by what right, what was decided, what happened, and how each link is known (G1).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// What was done.
    pub action: Action,
    /// Who asked.
    pub initiator: Initiator,
    /// Who acted.
    pub executor: Executor,
    /// Everybody between them, from the initiator's side.
    pub chain: Vec<Hop>,
    /// The request that it relies on.
    pub request: Option<Request>,
    /// The answers to that request, and to the action itself, oldest first.
    pub approvals: Vec<Approval>,
    /// The right that it relies on.
    pub grant: Option<Grant>,
    /// What it was done with.
    pub credential: Option<Credential>,
    /// What a policy decided.
    pub decision: Option<Decision>,
    /// How it ended; `unknown` with edge `missing` where nothing says so.
    pub outcome: Outcome,
    /// Records of other systems that tell of the same call, or may: of what Deed let through, what the system behind
    /// logged; of what it logged, what Deed let through. Oldest first.
    ///
    /// At most [`MOST_COUNTERPARTS`].
    #[serde(default)]
    pub counterparts: Vec<Counterpart>,
    /// How many more there are.
    #[serde(default)]
    pub more_counterparts: usize,
    /// What all this amounts to.
    pub verdict: Verdict,
    /// What deserves a look.
    pub findings: Vec<Finding>,
    /// Every link that no record gives, and why.
    pub missing: Vec<Missing>,
    /// Names of the fields that may be asked for; never their values.
    pub disclosable: Vec<String>,
    /// The sealed records behind the answer.
    pub evidence: EvidenceList,
}

/// What was done, as the record that the explanation is about says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Action {
    /// The intent's id, or the observation's where there was no intent.
    pub id: RecordId,
    /// `intent`, `observation`, `task` or `step`.
    pub kind: Kind,
    /// What sort of step it was.
    pub step_type: Option<StepType>,
    /// When it happened, as the source says.
    pub time: Timestamp,
    /// When Deed took it.
    pub recorded: Timestamp,
    /// When it was put into the spool, where the log could not take it at the time.
    #[serde(default)]
    pub spooled: Option<Timestamp>,
    /// Whose it is.
    pub tenant: String,
    /// `prod`, `test`, …
    pub environment: Option<String>,
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// Its span.
    pub span_id: Option<SpanId>,
    /// The span that it is part of.
    pub parent_span_id: Option<SpanId>,
    /// Its session.
    pub session: Option<String>,
    /// Its task.
    pub task: Option<String>,
    /// The tool that was called.
    pub tool: Option<Tool>,
    /// The operation.
    pub operation: Option<String>,
    /// The permission that was used.
    pub permission: Option<String>,
    /// What was acted upon.
    pub resource: Option<Resource>,
    /// What was released.
    pub artifact: Option<Artifact>,
    /// The network address that it came from.
    pub address: Option<Pseudonym>,
    /// The device that it came from.
    pub device: Option<Pseudonym>,
    /// How it is known.
    pub basis: Basis,
    /// Where an imported event comes from.
    pub source: Option<Source>,
    /// Who sent the record.
    pub submitter: String,
    /// Earlier readings of the same event, which this one corrects.
    pub supersedes: Vec<RecordId>,
    /// Records of the same event whose original bytes are others.
    pub conflicts: Vec<RecordId>,
}

/// Who asked. Never `null`: unknown has neither key nor account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Initiator {
    /// As in [`Who`].
    pub key: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// What people call it.
    pub name: Option<String>,
    /// As in [`Who`].
    pub principal: Option<String>,
    /// The account, as sealed.
    pub account: Option<Account>,
    /// How well that is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// Who acted. Never `null`: unknown has neither key nor account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Executor {
    /// As in [`Who`].
    pub key: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// What people call it.
    pub name: Option<String>,
    /// As in [`Who`].
    pub principal: Option<String>,
    /// The account, as sealed.
    pub account: Option<Account>,
    /// Which of its many: a run, a pod, a process.
    pub instance: Option<String>,
    /// The organisation that runs it, where it is not ours.
    pub vendor: Option<String>,
    /// Who owns it; comes from the inventory.
    pub owner: Option<String>,
    /// The human who answers for it; comes from the inventory.
    pub sponsor: Option<String>,
    /// Whom the credential was issued to, where that is another account: what another system calls the same somebody,
    /// as far as this action shows. It bears on no verdict.
    #[serde(default)]
    pub also: Vec<Also>,
    /// In whose name it acted, with whose rights, where it gave that name itself and was let. Who asked that does not tell.
    #[serde(default)]
    pub impersonated: Option<Who>,
    /// How well that is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// Another account of somebody, as a credential shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Also {
    /// Who.
    pub principal: Who,
    /// `inferred`; `proven` where Deed itself issued the credential and let it act.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// One hop between initiator and executor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hop {
    /// Who.
    pub principal: Who,
    /// The credential that this hop acted with.
    pub credential: Option<String>,
    /// The record by which it was given its part.
    pub delegation: Option<RecordId>,
    /// Scopes that it held.
    pub scope: Vec<String>,
    /// How well that is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// What a policy decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Decision {
    /// The decision.
    pub effect: Ruling,
    /// Digest of the policy set.
    pub policy_set: Option<String>,
    /// Policies that determined it.
    pub policies: Vec<String>,
    /// Evaluation errors.
    pub errors: Vec<String>,
    /// What must be done besides.
    pub obligations: Vec<String>,
    /// Version of the engine.
    pub engine: Option<String>,
    /// What was decided again once a human had answered.
    pub then: Option<Again>,
    /// How well it is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// What was decided again once a human had answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Again {
    /// When.
    pub time: Timestamp,
    /// The decision.
    pub effect: Ruling,
    /// Digest of the policy set.
    pub policy_set: Option<String>,
    /// Policies that determined it.
    pub policies: Vec<String>,
    /// The record.
    pub record: RecordId,
}

/// How the action ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// How.
    pub status: Status,
    /// The system's own code.
    pub code: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// When that was said.
    pub time: Option<Timestamp>,
    /// The action that this one undid.
    pub compensates: Option<RecordId>,
    /// The action that this one tried again.
    pub retry_of: Option<RecordId>,
    /// Later actions that undid this one, oldest first.
    #[serde(default)]
    pub undone_by: Vec<Later>,
    /// Later actions that tried it again, oldest first.
    #[serde(default)]
    pub retried_by: Vec<Later>,
    /// Everything that was said about it, oldest first; a real outcome supersedes `unknown`, both stay.
    pub said: Vec<Ending>,
    /// How well it is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// By which records.
    pub records: Vec<RecordId>,
}

/// A later action that says it undid this one, or tried it again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Later {
    /// That action.
    pub action: RecordId,
    /// When it ended.
    pub time: Timestamp,
    /// How it ended.
    pub status: Status,
    /// How well that is known.
    pub edge: Edge,
    /// How it is known.
    pub how: String,
    /// The record that says so.
    pub record: RecordId,
}

/// What one record says about how the action ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// The record.
    pub id: RecordId,
    /// When.
    pub time: Timestamp,
    /// How.
    pub status: Status,
    /// The system's own code.
    pub code: Option<String>,
}

/// A record that tells of the same call in another system's log, or in Deed's, or may.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counterpart {
    /// The record.
    pub record: RecordId,
    /// What it is.
    pub kind: Kind,
    /// When it says that it was.
    pub time: Timestamp,
    /// Whose word it is.
    pub system: String,
    /// The tool or the operation that it tells of.
    #[serde(default)]
    pub operation: Option<String>,
    /// What it says was acted upon.
    #[serde(default)]
    pub resource: Option<String>,
    /// How it says that it ended.
    pub status: Option<Status>,
    /// Whether both are one action, told by both.
    pub joined: bool,
    /// Whether it tells of one of several things that the call did behind Deed, rather than of the call as a whole.
    #[serde(default)]
    pub part: bool,
    /// `corroborated` where both are one action; `inferred` where nothing else fits, and what ties them is no proof;
    /// `missing` where several fit.
    pub edge: Edge,
    /// What ties them, or why that does not tell.
    pub how: String,
}

/// What it amounts to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether it is known who asked and who acted.
    pub attribution: Part<Attribution>,
    /// By what right it was done.
    pub authority: Part<Authority>,
    /// Whether it stayed within what was held and granted.
    pub scope: Part<Scope>,
    /// All three in one word.
    pub class: Class,
    /// Why that word, in one sentence.
    pub class_reason: String,
}

/// One part of a verdict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part<T> {
    /// The verdict.
    pub value: T,
    /// Why, without leaf indexes and without names that can be erased.
    pub reasons: Vec<String>,
}

/// Something that deserves a look.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// The rule, see `docs/explain.md`.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// Why, in one sentence.
    pub reason: String,
    /// Controls that it bears on (G6).
    pub controls: Vec<String>,
    /// By what it is suppressed, while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppressed>,
}

/// By what a finding is left out of lists and streams: somebody granted that, for a time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Suppressed {
    /// The record of it.
    pub record: RecordId,
    /// Until when.
    pub until: Timestamp,
    /// Who granted it, by name where it is known.
    pub by: Option<String>,
}

/// A link that no record gives.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Missing {
    /// The member of the explanation.
    pub link: String,
    /// Why it is missing.
    pub reason: String,
}

/// The sealed records behind the answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EvidenceList {
    /// Origin of the log that holds the action.
    pub log: String,
    /// The action's leaf.
    pub index: u64,
    /// The action's leaf hash, in hex.
    pub leaf_hash: String,
    /// Leaves that the newest signed checkpoint covers.
    pub checkpoint_size: u64,
    /// When that checkpoint was signed.
    pub checkpoint_time: Option<Timestamp>,
    /// Whether everything that bears on the action was read; `false` where a look-up was cut.
    pub complete: bool,
    /// Every record that the answer rests on, oldest first.
    pub records: Vec<EvidenceRecord>,
}

/// One sealed record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// Its id.
    pub id: RecordId,
    /// What it is about.
    pub kind: Kind,
    /// Origin of its log.
    pub log: String,
    /// Its leaf.
    pub index: u64,
    /// Its leaf hash, in hex.
    pub leaf_hash: String,
}
