//! Every step of an execution, as a tree (T1, T2, T3), and what it lacks (T10).

mod tree;

use std::collections::{BTreeMap, BTreeSet};

use deed_record::{Answer, Basis, Kind, RecordId, Ruling, SpanId, Status, StepType, Timestamp, TraceId};
use serde::{Deserialize, Serialize};

use tree::Steps;

use crate::{
    Evidence, ExplainError, Found,
    case::{Rec, Shelf, Standing, corrects},
    explanation::{Counterpart, Resource, Tool, Who},
    gather::{Search, may_be_seen},
    judge::span_of,
    names::Names,
    view,
    words::GapKind,
};

/// Most records of one trace that are read.
pub const MOST_STEPS: usize = 10_000;

/// Most steps whose outcome or answer is looked for outside the trace.
const MOST_SOUGHT: usize = 1000;

/// Most calls of which it is looked for what other systems logged.
const MOST_TOLD: usize = 256;

/// Most records that one such look-up may bring.
const MOST_NAMING: usize = 64;

/// Every step of an execution and what is missing from it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The trace.
    pub trace_id: TraceId,
    /// In the order of event time, a parent before its children where the times are equal.
    pub steps: Vec<Step>,
    /// What is missing.
    pub gaps: Vec<Gap>,
}

/// One step. An outcome is not a step of its own but the end of another.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The record.
    pub id: RecordId,
    /// What it is about.
    pub kind: Kind,
    /// What sort of step it is (T9).
    pub step_type: Option<StepType>,
    /// The step that it is part of: the action it names, else that of its parent span.
    pub parent: Option<RecordId>,
    /// Steps above it.
    pub depth: usize,
    /// When it happened, as the source says.
    pub time: Timestamp,
    /// How it is known.
    pub basis: Basis,
    /// The system that says so: the source of an imported record, else its sender.
    pub source: String,
    /// Whose it is.
    pub tenant: String,
    /// Its span.
    pub span_id: Option<SpanId>,
    /// The span that it is part of.
    pub parent_span_id: Option<SpanId>,
    /// Its session.
    pub session: Option<String>,
    /// Its task.
    pub task: Option<String>,
    /// Who asked.
    pub initiator: Option<Who>,
    /// Who acted; of an answer, who gave it.
    pub executor: Option<Who>,
    /// What it was done with: fingerprint, issuer's id or jti.
    pub credential: Option<String>,
    /// The tool that was called.
    pub tool: Option<Tool>,
    /// The operation.
    pub operation: Option<String>,
    /// The permission that was used.
    pub permission: Option<String>,
    /// What was acted upon.
    pub resource: Option<Resource>,
    /// What a policy decided.
    pub decision: Option<StepDecision>,
    /// Of an approval: yes or no.
    pub answer: Option<Answer>,
    /// How it ended.
    pub outcome: Option<StepOutcome>,
    /// What other systems logged of the same call.
    #[serde(default)]
    pub counterparts: Vec<Counterpart>,
}

/// What a policy decided about a step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepDecision {
    /// The decision.
    pub effect: Ruling,
    /// Policies that determined it.
    pub policies: Vec<String>,
    /// Digest of the policy set.
    pub policy_set: Option<String>,
}

/// How a step ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepOutcome {
    /// The record that says so: the step's own, or its outcome.
    pub id: RecordId,
    /// How.
    pub status: Status,
    /// The system's own code.
    pub code: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// The action that it tried again.
    pub retry_of: Option<RecordId>,
    /// The action that it undid.
    pub compensates: Option<RecordId>,
}

/// Something that the trace lacks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gap {
    /// What sort of gap.
    pub kind: GapKind,
    /// The step beside it.
    pub step: Option<RecordId>,
    /// When it was, where that is known.
    pub time: Option<Timestamp>,
    /// In words.
    pub reason: String,
}

/// The trace `id`; `None` where no record carries it.
///
/// With a `tenant`, only its records. Without, those of all tenants that used the same trace id: each
/// step says whose it is, and none is ever joined with another tenant's.
///
/// # Errors
/// The evidence cannot be read.
pub fn trace<E: Evidence>(
    evidence: &E,
    id: TraceId,
    tenant: Option<&str>,
) -> Result<Option<Trace>, ExplainError<E::Error>> {
    let found = evidence.by_trace(id, MOST_STEPS).map_err(ExplainError::Evidence)?;
    let cut = found.len() >= MOST_STEPS;
    let shelf = Shelf::new(found.len() + MOST_SOUGHT);
    let mut records = Records { shelf: &shelf, known: BTreeSet::new(), all: Vec::new() };
    for found in found {
        records.keep::<E::Error>(found, |rec| tenant.is_none_or(|tenant| tenant == &*rec.is.tenant))?;
    }
    if records.all.is_empty() {
        return Ok(None);
    }
    let mut gaps = Vec::new();
    if cut {
        gaps.push(gap(
            GapKind::Cut,
            None,
            format!("the trace has more than {MOST_STEPS} records; only so many were read"),
        ));
    }
    // An outcome or an answer need not carry the trace id: it names its action.
    let sought = records.all.iter().filter(|rec| seeks_more(&rec.is));
    let sought: Vec<(String, RecordId)> = sought.map(|rec| (rec.is.tenant.to_string(), rec.is.id)).collect();
    if sought.len() > MOST_SOUGHT {
        gaps.push(gap(
            GapKind::Cut,
            None,
            format!("the ends of only {MOST_SOUGHT} of {} steps were looked for", sought.len()),
        ));
    }
    for (tenant, id) in sought.into_iter().take(MOST_SOUGHT) {
        for found in evidence.by_ref(id, MOST_NAMING).map_err(ExplainError::Evidence)? {
            records.keep::<E::Error>(found, |rec| rec.is.action == Some(id) && *rec.is.tenant == *tenant)?;
        }
    }
    let told = told(evidence, &mut records, &mut gaps)?;
    let records = records.standing();
    let names = Names::of(evidence, &records)?;
    let (steps, more) = Steps::of(&records, told).finish(&names);
    gaps.extend(more);
    Ok(Some(Trace { trace_id: id, steps, gaps }))
}

/// What other systems logged of calls of a trace: they are told of at the call.
#[derive(Default)]
struct Told {
    /// Of a record, the call that it tells of.
    calls: BTreeMap<RecordId, RecordId>,
    /// Of a call, all that may tell of it.
    counterparts: BTreeMap<RecordId, Vec<Counterpart>>,
}

/// What other systems logged of the calls among `records`; those that are not of the trace join it.
fn told<E: Evidence>(
    evidence: &E,
    records: &mut Records<'_>,
    gaps: &mut Vec<Gap>,
) -> Result<Told, ExplainError<E::Error>> {
    let parents: BTreeSet<_> = records
        .all
        .iter()
        .filter(|rec| may_be_seen(&rec.is))
        .filter_map(|rec| rec.is.parent_span_id)
        .collect();
    let onward = |rec: &Rec<'_>| rec.is.credential.as_ref().is_some_and(|shown| shown.upstream.is_some());
    let calls = records
        .all
        .iter()
        .filter(|rec| span_of(&rec.is).is_some_and(|(_, span)| parents.contains(&span) || onward(rec)));
    let mut calls: Vec<(Timestamp, RecordId, deed_record::Skeleton<'_>)> =
        calls.map(|rec| (rec.is.time, rec.is.id, rec.is.clone())).collect();
    calls.sort_by_key(|(time, id, _)| (*time, *id));
    if calls.len() > MOST_TOLD {
        let reason =
            format!("what other systems logged of only {MOST_TOLD} of {} calls was looked for", calls.len());
        gaps.push(gap(GapKind::Cut, None, reason));
    }
    let (mut search, mut told) = (Search::new(evidence), Told::default());
    for (_, id, call) in calls.into_iter().take(MOST_TOLD) {
        let found = search.sightings(&call)?;
        // Parts of a call are steps below it.
        let whole: Vec<Counterpart> =
            found.told.iter().map(view::counterpart).filter(|other| !other.part).collect();
        if !whole.is_empty() {
            told.counterparts.insert(id, whole);
        }
        for (_, found) in found.joined.into_iter().filter(|(standing, _)| *standing != Standing::Part) {
            told.calls.insert(Rec::read(&found)?.is.id, id);
            records.keep::<E::Error>(found, |_| true)?;
        }
    }
    Ok(told)
}

fn seeks_more(rec: &deed_record::Skeleton<'_>) -> bool {
    let open = rec.outcome.as_ref().is_none_or(|outcome| outcome.status == Status::Unknown);
    rec.kind == Kind::Intent && open
        || rec.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::StepUp)
}

fn gap(kind: GapKind, rec: Option<&Rec<'_>>, reason: impl Into<String>) -> Gap {
    Gap { kind, step: rec.map(|rec| rec.is.id), time: rec.map(|rec| rec.is.time), reason: reason.into() }
}

/// The records of a trace as they are read.
struct Records<'c> {
    shelf: &'c Shelf,
    known: BTreeSet<RecordId>,
    all: Vec<Rec<'c>>,
}

impl<'c> Records<'c> {
    /// Keeps a record that `belongs`, while there is room.
    fn keep<E>(&mut self, found: Found, belongs: impl Fn(&Rec<'_>) -> bool) -> Result<(), ExplainError<E>> {
        let Some(found) = self.shelf.keep(found) else {
            return Ok(());
        };
        let rec = Rec::read(found)?;
        if belongs(&rec) && self.known.insert(rec.is.id) {
            self.all.push(rec);
        }
        Ok(())
    }

    /// By event time, without readings that were corrected.
    fn standing(self) -> Vec<Rec<'c>> {
        let mut all = self.all;
        let by_id: BTreeMap<RecordId, &Rec<'_>> = all.iter().map(|rec| (rec.is.id, rec)).collect();
        let corrected: BTreeSet<RecordId> = all
            .iter()
            .filter_map(|rec| by_id.get(&rec.is.supersedes?).filter(|earlier| corrects(&rec.is, &earlier.is)))
            .map(|earlier| earlier.is.id)
            .collect();
        all.retain(|rec| !corrected.contains(&rec.is.id));
        all.sort_by_key(|rec| (rec.is.time, rec.is.id));
        all
    }
}
