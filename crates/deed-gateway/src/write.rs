//! The records that intents and their ends become.

pub(crate) mod human;

use std::borrow::Cow;

use deed_policy::{Capture, ENGINE, Obligations, Tier};
use deed_record::{
    Artifact, Basis, ChainHop, Change, Credential, Decision, Disclosable, Kind, Outcome, Principal,
    PrincipalType, RecordId, Resource, Ruling, Skeleton, Source, Status, StepType, Submission, TermsSent,
    Text, Timestamp, Tool, Written,
};
use deed_seal::hash::Hash;
use serde_json::value::RawValue;

use crate::{
    approvals::NOT_IN_TIME,
    catalog::{self, News},
    intent::{Conclusion, Intent, Listed, Listing, Missed, Place, Refused, Who},
    method::{PROMPT_GET, TOOL_CALL, TOOL_LIST, step_type},
    request::Ruled,
    run::Signature,
};

/// The record of `intent`; `step_up` is what an approval of it is bound to.
pub(crate) fn intent<'a>(
    intent: &'a Intent,
    ruled: Option<&'a Ruled>,
    approval: Option<RecordId>,
    step_up: Option<&'a str>,
    now: Timestamp,
) -> Written<'a> {
    let mut record = placed(Kind::Intent, &intent.place, now);
    record.id = Some(intent.id);
    record.basis = Some(basis(intent));
    record.task = intent.task.as_deref().map(Text::from);
    record.grant = intent.grant;
    record.operation = Some(Text::from(intent.operation()));
    record.step_type = step(intent);
    record.artifact = artifact(intent);
    record.tool = called(intent);
    record.resource = intent.uri.as_deref().map(resource);
    record.decision = decision(intent.refused.as_ref(), ruled);
    record.credential = credential(intent, record.decision.as_ref());
    record.approvals = approval.map(|approval| vec![approval]);
    if let Some(arguments) = &intent.arguments {
        record.disclose.0.push((Text::from("arguments"), whole(arguments)));
    }
    if let Some(ruled) = ruled {
        record
            .disclose
            .0
            .push((Text::from("context"), Disclosable::Whole(Cow::Borrowed(&ruled.decided.seen))));
    }
    if let Some(step_up) = step_up {
        record.disclose.0.push((Text::from("step_up"), Disclosable::Whole(Cow::Borrowed(step_up))));
    }
    Written::new(record)
}

/// The record of a credential whose signature was verified. The same for the same one: it is recorded once.
pub(crate) fn shown<'a>(intent: &'a Intent, tenant: &'a str, now: Timestamp) -> Option<Written<'a>> {
    let credential = intent.credential()?;
    let fingerprint = credential.fingerprint.clone()?;
    let mut record = record(Kind::Credential, credential.issued.unwrap_or(now));
    record.tenant = Some(Text::from(tenant));
    let name = format!("deed credential {tenant} {fingerprint}");
    record.id = credential.issued.map(|_| derived(&name));
    record.operation = Some(Text::from("verified"));
    let subject = Principal { instance: None, name: None, ..principal(&intent.place.executor) };
    record.terms = Some(TermsSent {
        change: Some(Change::Issued),
        expires: credential.expires,
        subject: Some(subject),
        ..TermsSent::default()
    });
    record.credential = Some(credential);
    Some(Written::new(record))
}

/// The record of what was not done while nothing could be recorded; told again, it is that record.
pub(crate) fn gap(missed: &Missed, server: &str, now: Timestamp) -> Written<'static> {
    let Missed { from, to, count, why, .. } = missed;
    let mut gap = gap_of(missed, format!("mcp:{server}"), now);
    gap.id = Some(derived(&format!("deed gap {} {} {count} {why}", from.0, to.0)));
    Written::new(gap)
}

/// The record of what was done meanwhile, and waited in the spool: `first` is the first of it. The same each time.
pub(crate) fn spool_gap<'a>(missed: &Missed, first: RecordId, tenant: &'a str) -> Written<'a> {
    let mut gap = gap_of(missed, "deed:spool".to_owned(), missed.to);
    gap.id = Some(derived(&format!("deed spool {first}")));
    gap.tenant = Some(Text::from(tenant));
    Written::new(gap)
}

fn gap_of<'a>(missed: &Missed, system: String, now: Timestamp) -> Submission<'a> {
    let detail = serde_json::to_string(missed).unwrap_or_else(|_| "null".into());
    let mut gap = record(Kind::Gap, now);
    gap.operation = Some(Text::from("recorder unavailable"));
    gap.source =
        Some(Source { collector: Some(Text::from("gateway/1")), event_id: None, system: Text::from(system) });
    gap.disclose.0.push((Text::from("detail"), Disclosable::Whole(Cow::Owned(detail))));
    gap
}

/// The end of an intent that nobody else ended, from what its own record says.
pub(crate) fn ended<'a>(open: &Skeleton<'a>, status: Status, now: Timestamp) -> Written<'a> {
    let code = if status == Status::Unknown { "no_outcome" } else { NOT_IN_TIME };
    let mut outcome = record(Kind::Outcome, now);
    outcome.basis = Some(open.basis);
    outcome.action = Some(open.id);
    outcome.operation = open.operation.clone();
    outcome.executor =
        Some(Principal { instance: None, key: None, name: None, kind: PrincipalType::Unknown, vendor: None });
    outcome.session = open.session.clone();
    outcome.trace_id = open.trace_id;
    outcome.span_id = open.span_id;
    outcome.parent_span_id = open.parent_span_id;
    outcome.outcome = Some(Outcome { code: Some(Text::from(code)), ..Outcome::of(status) });
    Written::new(outcome)
}

/// The outcome of an intent that was denied: asked again, it is that record.
pub(crate) fn denial<'a>(intent: &'a Intent, ruled: Option<&Ruled>, now: Timestamp) -> Written<'a> {
    let code = match (&intent.refused, ruled) {
        (Some(refused), _) => Text::from(&*refused.code),
        (None, Some(_)) => Text::from("policy"),
        (None, None) => Text::from("gateway"),
    };
    denied(intent, derived(&format!("deed denial {}", intent.id)), code, now)
}

fn denied<'a>(intent: &'a Intent, id: RecordId, code: Text<'a>, now: Timestamp) -> Written<'a> {
    let mut record = placed(Kind::Outcome, &intent.place, now);
    record.id = Some(id);
    record.basis = Some(basis(intent));
    record.action = Some(intent.id);
    record.operation = Some(Text::from(intent.operation()));
    record.outcome = Some(Outcome { code: Some(code), ..Outcome::of(Status::Denied) });
    Written::new(record)
}

/// The record of how an action ended.
pub(crate) fn outcome(conclusion: &Conclusion) -> Written<'_> {
    let mut record = placed(Kind::Outcome, &conclusion.place, conclusion.time);
    record.id = conclusion.id;
    record.action = Some(conclusion.action);
    record.operation = Some(Text::from(&*conclusion.method));
    // What was tried in vain is counted by what it was, without looking for the intent.
    if matches!(conclusion.status, Status::Failure | Status::TimedOut) {
        record.tool = called_as(&conclusion.server, &conclusion.method, conclusion.name.as_deref());
        record.resource = conclusion.uri.as_deref().map(resource);
    }
    if let Some(task) = &conclusion.task {
        let kind = Some(Text::from("task"));
        record.resource = Some(Resource { kind, ..resource(task) });
    }
    record.outcome = Some(Outcome {
        code: conclusion.code.as_deref().map(Text::from),
        compensates: conclusion.compensates,
        duration_ms: conclusion.duration_ms,
        fields: conclusion.fields.iter().map(|field| Text::from(&**field)).collect(),
        retry_of: None,
        status: conclusion.status,
    });
    if let Some(result) = &conclusion.result {
        record.disclose.0.push((Text::from("result"), whole(result)));
    }
    Written::new(record)
}

/// The record of a tool whose definition is new.
pub(crate) fn tool<'a>(
    listing: &'a Listing,
    listed: &'a Listed,
    new: News,
    id: RecordId,
    now: Timestamp,
) -> Written<'a> {
    let uri = catalog::resource(&listing.server, &listed.name);
    let definition = format!("[{}]", listed.definition.get());
    let mut record = placed(Kind::Tool, &listing.place, now);
    record.id = Some(id);
    record.span_id = None;
    record.operation = Some(Text::from(TOOL_LIST));
    record.tool = Some(Tool {
        digest: Some(Text::from(&*listed.digest)),
        name: Text::from(&*listed.name),
        server: Some(Text::from(&*listing.server)),
        version: None,
    });
    record.resource =
        Some(Resource { classification: None, kind: Some(Text::from("tool")), uri: Text::from(uri) });
    let change = match new {
        News::First => Change::Issued,
        News::Changed => Change::Altered,
        News::Back => Change::Renewed,
    };
    record.terms = Some(TermsSent { change: Some(change), ..TermsSent::default() });
    record.disclose.0.push((Text::from("definition"), Disclosable::Whole(Cow::Owned(definition))));
    Written::new(record)
}

/// What must be done besides, as records say it: `capture:summary`, `mask:result.tax_id`.
pub(crate) fn obligations_of(decision: Option<&Decision<'_>>) -> Obligations {
    let mut obligations = Obligations::default();
    for obligation in decision.iter().flat_map(|decision| &decision.obligations) {
        match obligation.split_once(':') {
            Some(("mask", path)) => obligations.mask.push(path.to_owned()),
            Some(("capture", "summary")) => obligations.capture = Some(Capture::Summary),
            Some(("capture", "full")) => obligations.capture = Some(Capture::Full),
            Some(("tier", "low")) => obligations.tier = Some(Tier::Low),
            _ => {}
        }
    }
    obligations
}

fn decision<'a>(refused: Option<&'a Refused>, ruled: Option<&'a Ruled>) -> Option<Decision<'a>> {
    if let Some(refused) = refused {
        return Some(Decision {
            effect: Ruling::Deny,
            engine: None,
            errors: vec![Text::from(&*refused.why)],
            obligations: Vec::new(),
            policies: Vec::new(),
            policy_set: None,
        });
    }
    let Ruled { decided, policy_set, .. } = ruled?;
    Some(Decision {
        effect: decided.effect,
        engine: Some(Text::from(ENGINE)),
        errors: decided.errors.iter().map(|error| Text::from(&**error)).collect(),
        obligations: decided.obligations.to_texts().into_iter().map(Text::from).collect(),
        policies: decided.policies.iter().map(|policy| Text::from(&**policy)).collect(),
        policy_set: Some(Text::from(&**policy_set)),
    })
}

/// What was shown, and what went onward in its place; of what is denied, nothing does.
fn credential<'a>(intent: &'a Intent, decision: Option<&Decision<'_>>) -> Option<Credential<'a>> {
    let is_denied = decision.is_some_and(|decision| decision.effect == Ruling::Deny);
    let shown = intent.credential();
    match intent.upstream.as_deref().filter(|_| !is_denied) {
        Some(upstream) => {
            Some(Credential { upstream: Some(Text::from(upstream)), ..shown.unwrap_or_default() })
        }
        None => shown,
    }
}

fn step(intent: &Intent) -> Option<StepType> {
    match &intent.run {
        Some(run) if run.compensates.is_some() => Some(StepType::Rollback),
        Some(_) => Some(StepType::Tool),
        None => step_type(&intent.method),
    }
}

/// What a command releases; its signer only where the signature is theirs.
fn artifact(intent: &Intent) -> Option<Artifact<'_>> {
    let released = intent.run.as_ref()?.artifact.as_ref()?;
    let signer = released.signer.as_deref().filter(|_| released.signature == Signature::Verified);
    Some(Artifact {
        digest: Some(Text::from(&*released.digest)),
        name: Text::from(&*released.name),
        signer: signer.map(Text::from),
    })
}

fn called(intent: &Intent) -> Option<Tool<'_>> {
    let digest = intent.definition.as_deref().map(Text::from);
    let tool = called_as(&intent.server, &intent.method, intent.name.as_deref())?;
    Some(Tool { digest, ..tool })
}

/// The tool, or the prompt, of that name where `method` is for one.
fn called_as<'a>(server: &'a str, method: &str, name: Option<&'a str>) -> Option<Tool<'a>> {
    let name = name.filter(|_| matches!(method, TOOL_CALL | PROMPT_GET))?;
    Some(Tool { digest: None, name: Text::from(name), server: Some(Text::from(server)), version: None })
}

fn resource(uri: &str) -> Resource<'_> {
    Resource { classification: None, kind: None, uri: Text::from(uri) }
}

/// A record that says where and who.
fn placed(kind: Kind, place: &Place, time: Timestamp) -> Submission<'_> {
    let hop =
        |who| ChainHop { credential: None, delegation: None, principal: principal(who), scope: Vec::new() };
    Submission {
        chain: Some(place.chain.iter().map(hop).collect::<Vec<_>>()).filter(|chain| !chain.is_empty()),
        executor: Some(principal(&place.executor)),
        initiator: place.initiator.as_ref().map(principal),
        parent_span_id: place.parent_span_id,
        session: place.session.as_deref().map(Text::from),
        span_id: Some(place.span_id),
        trace_id: Some(place.trace_id),
        ..record(kind, time)
    }
}

/// Where Deed does not stand in the way itself, what is done is the application's word.
fn basis(intent: &Intent) -> Basis {
    if intent.reported_by.is_some() { Basis::Reported } else { Basis::Enforced }
}

/// The id of the one record that `name` says what it is of.
fn derived(name: &str) -> RecordId {
    RecordId::v8(&Hash::of(name.as_bytes()).0)
}

/// A record of what Deed did itself, for the tenant that it is appended for.
fn record<'a>(kind: Kind, time: Timestamp) -> Submission<'a> {
    Submission { basis: Some(Basis::Enforced), ..Submission::new(kind, time) }
}

fn principal(who: &Who) -> Principal<'_> {
    let key = who.key.as_deref().filter(|key| !key.is_empty()).map(Text::from);
    Principal {
        instance: who.instance.as_deref().map(Text::from),
        // A name is kept with the key, and needs one.
        name: who.name.as_deref().filter(|_| key.is_some()).map(Text::from),
        kind: if key.is_some() { who.kind } else { PrincipalType::Unknown },
        key,
        vendor: None,
    }
}

fn whole(text: &RawValue) -> Disclosable<'_> {
    Disclosable::Whole(Cow::Borrowed(text.get()))
}
