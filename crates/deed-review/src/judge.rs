//! The judgement on one action, as lists, findings and reports need it: without names or payloads.

use std::collections::BTreeSet;

use deed_record::{Account, Basis, Kind, PrincipalType, RecordId, Skeleton, SpanId, Timestamp, TraceId};

use crate::{
    Evidence, ExplainError,
    case::{Case, Shelf},
    explanation::{Finding, Verdict},
    gather::{MOST_RECORDS, gather, may_be_seen, may_inherit},
    report::Attributed,
    verdict::Links,
    weigh::weigh,
    who::Somebody,
    words::Edge,
};

/// What an action was judged to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The action.
    pub action: RecordId,
    /// Other ids that it goes by: of readings that were corrected, and of records that belong to it.
    pub also: Vec<RecordId>,
    /// When it happened.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: String,
    /// Who asked.
    pub initiator: Option<Account>,
    /// Who acted.
    pub executor: Option<Account>,
    /// What the credential that was used is called.
    pub credentials: Vec<String>,
    /// What was acted upon.
    pub resource: Option<String>,
    /// Which links of it are known.
    pub attributed: Attributed,
    /// Of a call that Deed decided on, its place in its trace: what another system logs of it says so.
    pub span: Option<(TraceId, SpanId)>,
    /// The token that Deed showed the system behind in it.
    pub onward: Option<String>,
    /// Of what another system logged, its trace and what the credential and the one above it are called: by these a call
    /// that it tells of is known.
    pub seen: Option<(Option<TraceId>, Vec<String>)>,
    /// The trace in which a span above it may tell who asked, where it does not tell itself and something that is found
    /// may depend on that.
    pub below: Option<TraceId>,
    /// The spans above it by which it is known of which task it is, or that it is of none.
    pub passed: Vec<(TraceId, SpanId)>,
    /// A call that it may be of, as long as nothing tells that one has ended: then it may prove to be of none.
    pub waits_for: Option<RecordId>,
    /// By what right.
    pub verdict: Verdict,
    /// What deserves a look.
    pub findings: Vec<Finding>,
}

/// Judges the action that record `id` belongs to; `None` where there is no such record, or it is part of no action.
///
/// # Errors
/// The evidence cannot be read.
pub fn judge<E: Evidence>(evidence: &E, id: RecordId) -> Result<Option<Judged>, ExplainError<E::Error>> {
    let shelf = Shelf::new(MOST_RECORDS);
    let case = match gather(evidence, &shelf, id) {
        Ok(Some(case)) => case,
        Ok(None) | Err(ExplainError::NoAction { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let links = Links::of(&case);
    let head = &case.head().is;
    let told = case.told.iter().copied().chain(case.told().map(|rec| rec.is.id));
    let also = case.family.iter().copied().chain(case.of_action().map(|rec| rec.is.id)).chain(told);
    let (verdict, findings) = weigh(evidence, &links)?;
    let asks_who_asked = !findings.is_empty()
        || !links.rights.answers.is_empty()
        || head.exception.is_some()
        || case.of_action().any(|rec| rec.is.chain.is_some());
    let also: BTreeSet<RecordId> =
        also.chain(case.superseded.iter().copied()).filter(|id| *id != head.id).collect();
    Ok(Some(Judged {
        action: head.id,
        also: also.into_iter().collect(),
        time: head.time,
        tenant: head.tenant.to_string(),
        initiator: links.people.initiator.account(),
        span: span_of(head),
        seen: may_be_seen(head).then(|| (head.trace_id, with_parent(head))),
        below: head.trace_id.filter(|_| may_inherit(head) && asks_who_asked),
        passed: head.trace_id.into_iter().flat_map(|trace| passed(&case, trace)).collect(),
        waits_for: case.beside.waits_for(),
        onward: head.credential.as_ref().and_then(|shown| shown.upstream.as_deref()).map(str::to_owned),
        executor: links.people.executor.account(),
        credentials: credentials_of(head),
        resource: head.resource.as_ref().map(|resource| resource.uri.to_string()),
        attributed: Attributed {
            requester: is_known(&links, &links.people.initiator),
            actor: is_known(&links, &links.people.executor),
            credential: links.lineage.edge != Edge::Missing,
        },
        verdict,
        findings,
    }))
}

fn passed(case: &Case<'_>, trace: TraceId) -> impl Iterator<Item = (TraceId, SpanId)> {
    case.beside.passed.iter().map(move |span| (trace, *span))
}

/// What the credential that a record shows is called.
fn credentials_of(rec: &Skeleton<'_>) -> Vec<String> {
    rec.credential.iter().flat_map(|used| used.names().map(str::to_owned)).collect()
}

/// The same, and what the one is called that it was derived from.
fn with_parent(rec: &Skeleton<'_>) -> Vec<String> {
    let parent = rec.credential.as_ref().and_then(|used| used.parent.as_deref());
    credentials_of(rec).into_iter().chain(parent.map(str::to_owned)).collect()
}

/// Whether it is known who it was, and what they are: as the inventory says, else as records do.
fn is_known(links: &Links<'_>, somebody: &Somebody<'_>) -> bool {
    let typed = somebody.party.is_some_and(|party| links.case.kind(party) != PrincipalType::Unknown);
    somebody.edge != Edge::Missing && typed
}

/// The trace and the span of a call that Deed decided on.
pub(crate) fn span_of(rec: &Skeleton<'_>) -> Option<(TraceId, SpanId)> {
    let call = rec.kind == Kind::Intent && rec.basis == Basis::Enforced;
    rec.trace_id.zip(rec.span_id).filter(|_| call)
}
