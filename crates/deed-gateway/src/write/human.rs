//! The records of what humans see, approve, refuse and stop.

use std::borrow::Cow;

use deed_identity::principal_name;
use deed_record::{
    Answer, Change, Credential, Disclosable, Kind, Principal, PrincipalType, RecordId, Resource, StepType,
    TermsSent, Text, Timestamp, Tool, Written,
};

use super::{decision, denied, placed, principal, record};
use crate::{
    approvals::{Reply, StepUp},
    catalog::{self, HeldTool},
    intent::Suspension,
    message::quoted,
    request::Ruled,
    suspensions,
};

/// The record of who sees the arguments of a step-up.
pub(crate) fn access<'a>(step_up: &StepUp, viewer: &'a str, now: Timestamp) -> Written<'a> {
    let uri = format!("deed:disclosure/{}/arguments", step_up.intent.id);
    let mut access = record(Kind::Access, now);
    access.action = Some(step_up.intent.id);
    access.operation = Some(Text::from("payload"));
    access.executor = Some(Principal {
        instance: None,
        key: Some(Text::from(viewer)),
        name: None,
        kind: PrincipalType::Unknown,
        vendor: None,
    });
    access.resource =
        Some(Resource { classification: None, kind: Some(Text::from("disclosure")), uri: Text::from(uri) });
    Written::new(access)
}

/// The record of an answer to a step-up.
pub(crate) fn approval<'a>(
    step_up: &'a StepUp,
    reply: &'a Reply,
    id: RecordId,
    own: bool,
    now: Timestamp,
) -> Written<'a> {
    let mut record = placed(Kind::Approval, &step_up.intent.place, now);
    record.id = Some(id);
    record.action = Some(step_up.intent.id);
    record.executor = None;
    record.initiator = Some(principal(&reply.by));
    record.operation = Some(Text::from(if own { "self-approval" } else { "approval" }));
    let answer = if reply.approved { Answer::Approved } else { Answer::Refused };
    record.terms =
        Some(TermsSent { answer: Some(answer), by: Some(principal(&reply.by)), ..TermsSent::default() });
    if let Some(reason) = &reply.reason {
        record.disclose.0.push((Text::from("reason"), Disclosable::Whole(Cow::Owned(quoted(reason)))));
    }
    Written::new(record)
}

/// The record of an answer to what a tool has become; with it, where it is approved, that of what it is now.
pub(crate) fn tool_approval<'a>(
    held: &'a HeldTool,
    reply: &'a Reply,
    id: RecordId,
    issued: RecordId,
    now: Timestamp,
) -> Vec<Written<'a>> {
    let answer = if reply.approved { Answer::Approved } else { Answer::Refused };
    let terms = |change| {
        Some(TermsSent {
            answer: Some(answer),
            by: Some(principal(&reply.by)),
            change,
            ..TermsSent::default()
        })
    };
    let mut approval = record(Kind::Approval, now);
    approval.id = Some(id);
    approval.request = Some(held.id);
    approval.initiator = Some(principal(&reply.by));
    approval.operation = Some(Text::from("tool approval"));
    approval.terms = terms(None);
    if let Some(reason) = &reply.reason {
        approval.disclose.0.push((Text::from("reason"), Disclosable::Whole(Cow::Owned(quoted(reason)))));
    }
    let mut written = vec![Written::new(approval)];
    if !reply.approved {
        return written;
    }
    let uri = catalog::resource(&held.server, &held.name);
    let definition = held.is.as_ref().map(|definition| format!("[{}]", definition.get()));
    let mut tool = record(Kind::Tool, now);
    tool.id = Some(issued);
    tool.approvals = Some(vec![id]);
    tool.tool = Some(Tool {
        digest: Some(Text::from(&*held.digest)),
        name: Text::from(&*held.name),
        server: Some(Text::from(&*held.server)),
        version: None,
    });
    tool.resource =
        Some(Resource { classification: None, kind: Some(Text::from("tool")), uri: Text::from(uri) });
    tool.terms = terms(Some(Change::Issued));
    if let Some(definition) = definition {
        tool.disclose.0.push((Text::from("definition"), Disclosable::Whole(Cow::Owned(definition))));
    }
    written.push(Written::new(tool));
    written
}

/// The record of a suspension, or of its end.
pub(crate) fn suspension<'a>(said: &'a Suspension, name: &'a str, now: Timestamp) -> Written<'a> {
    let kind = if said.credential { Kind::Credential } else { Kind::Principal };
    let mut suspension = record(kind, now);
    suspension.operation =
        Some(Text::from(if said.suspended { suspensions::SUSPEND } else { suspensions::RESUME }));
    suspension.initiator = Some(principal(&said.by));
    suspension.resource = Some(Resource {
        classification: None,
        kind: Some(Text::from("suspension")),
        uri: Text::from(suspensions::RESOURCE),
    });
    // Evidence like any other: what was suspended had no right from here on.
    let change = if said.suspended { Change::Revoked } else { Change::Renewed };
    let subject = Principal {
        instance: None,
        key: Some(Text::from(name)),
        name: None,
        kind: principal_name(name)
            .split(':')
            .next()
            .and_then(|kind| kind.parse().ok())
            .unwrap_or(PrincipalType::Unknown),
        vendor: None,
    };
    suspension.terms = Some(TermsSent {
        by: Some(principal(&said.by)),
        change: Some(change),
        subject: (!said.credential).then_some(subject),
        ..TermsSent::default()
    });
    if said.credential {
        let is_digest = name.starts_with("sha256:");
        suspension.credential = Some(Credential {
            fingerprint: is_digest.then(|| Text::from(name)),
            id: (!is_digest).then(|| Text::from(name)),
            ..Credential::default()
        });
    }
    if let Some(reason) = &said.reason {
        suspension.disclose.0.push((Text::from("reason"), Disclosable::Whole(Cow::Owned(quoted(reason)))));
    }
    Written::new(suspension)
}

/// The outcome of a step-up that was not approved.
pub(crate) fn lapsed<'a>(step_up: &'a StepUp, id: RecordId, code: &'a str, now: Timestamp) -> Written<'a> {
    denied(&step_up.intent, id, Text::from(code), now)
}

/// The record of a decision that was made again, with an approval at hand.
pub(crate) fn cleared<'a>(
    step_up: &'a StepUp,
    id: RecordId,
    approval: RecordId,
    ruled: &'a Ruled,
    now: Timestamp,
) -> Written<'a> {
    let mut record = placed(Kind::Step, &step_up.intent.place, now);
    record.id = Some(id);
    record.action = Some(step_up.intent.id);
    record.approvals = Some(vec![approval]);
    record.operation = Some(Text::from(step_up.intent.operation()));
    record.step_type = Some(StepType::PolicyCheck);
    record.decision = decision(None, Some(ruled));
    record.disclose.0.push((Text::from("context"), Disclosable::Whole(Cow::Borrowed(&ruled.decided.seen))));
    Written::new(record)
}
