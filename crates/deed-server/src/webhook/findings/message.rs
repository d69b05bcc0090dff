//! What is said of a finding.

use bytes::Bytes;
use deed_record::{RecordId, Timestamp};
use deed_review::{IdentityFinding, every_rule, explanation::Finding, ocsf, review::Flagged, tuning::Matter};
use serde_json::{Value, json};

use super::Items;
use crate::{engine::Engine, settings::FindingFormat};

/// A finding.
#[derive(Clone)]
pub(super) enum Item {
    /// About an action.
    Action(RecordId, Box<Flagged>, Finding),
    /// About an identity of a tenant.
    Identity(String, Box<IdentityFinding>),
}

/// What is to be done about one.
pub(super) enum Message {
    /// This is to be sent.
    Body(Bytes),
    /// It is suppressed now.
    Suppressed,
    /// It is none any more.
    Gone,
}

impl Item {
    pub(super) fn of_action(id: RecordId, flagged: &Flagged, finding: &Finding) -> Self {
        Item::Action(id, Box::new(flagged.clone()), finding.clone())
    }

    pub(super) fn of_identity(tenant: &str, found: &IdentityFinding) -> Self {
        Item::Identity(tenant.to_owned(), Box::new(found.clone()))
    }

    pub(super) fn is_of_identity(&self) -> bool {
        matches!(self, Item::Identity(..))
    }

    /// What it is called, the same for as long as it is the same.
    pub(super) fn name(&self) -> String {
        match self {
            Item::Action(id, _, finding) => format!("{id} {}", finding.rule),
            Item::Identity(tenant, found) => format!("{} {}", found.finding.rule, found.key(tenant)),
        }
    }

    pub(super) fn finding(&self) -> &Finding {
        match self {
            Item::Action(_, _, finding) => finding,
            Item::Identity(_, found) => &found.finding,
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        match self {
            Item::Action(_, flagged, _) => flagged.time,
            Item::Identity(_, found) => found.time,
        }
    }

    fn tenant(&self) -> &str {
        match self {
            Item::Action(_, flagged, _) => &flagged.tenant,
            Item::Identity(tenant, _) => tenant,
        }
    }

    fn matter(&self) -> Matter<'_> {
        match self {
            Item::Action(id, flagged, finding) => flagged.matter(*id, finding),
            Item::Identity(_, found) => found.matter(),
        }
    }
}

/// Those of `held` that are suppressed still, and those that are to be sent.
pub(super) fn sift(engine: &Engine, held: Items) -> (Items, Items) {
    if held.is_empty() {
        return (held, Items::new());
    }
    let (held, mut free) = engine.hiding_now(|hiding| {
        // Of what cannot be told now nothing is sent.
        let is_free = |item: &Item| hiding.of(item.tenant(), &item.matter()).is_ok_and(|by| by.is_none());
        held.into_iter().partition::<Items, _>(|(_, item)| !is_free(item))
    });
    free.retain(|_, item| match item {
        Item::Action(id, _, finding) => engine.is_found(*id, &finding.rule),
        Item::Identity(..) => true,
    });
    (held, free)
}

/// What is said of `item`; who it is about is an account, unless `names` are wanted.
pub(super) fn write(engine: &Engine, item: &Item, format: FindingFormat, names: bool) -> Message {
    match engine.hiding_now(|hiding| hiding.of(item.tenant(), &item.matter())) {
        Ok(None) => {}
        // Of what cannot be told now nothing is sent: it is looked at again.
        Ok(Some(_)) | Err(_) => return Message::Suppressed,
    }
    let written = match (item, format) {
        (Item::Action(id, flagged, finding), FindingFormat::Deed) => {
            Some(plain(engine, *id, flagged, finding, names))
        }
        (Item::Action(id, _, finding), FindingFormat::Ocsf) => {
            let told = ocsf::tell(&engine.evidence(None), *id, &engine.checkpoint(), names);
            let events = told.ok().flatten().map(|told| told.findings).unwrap_or_default();
            events.into_iter().find(|event| event["finding_info"]["title"] == *finding.rule)
        }
        (Item::Identity(tenant, found), FindingFormat::Deed) => identity(engine, tenant, found, names),
        (Item::Identity(tenant, found), FindingFormat::Ocsf) => {
            engine.tell_identity(tenant, found, names).ok().flatten()
        }
    };
    written.map_or(Message::Gone, |message| Message::Body(Bytes::from(message.to_string())))
}

/// As `GET /v1/findings` has it.
fn plain(engine: &Engine, id: RecordId, flagged: &Flagged, finding: &Finding, names: bool) -> Value {
    let named = || {
        let executor = engine.explain(id, None).ok()??.executor;
        executor.principal.or(executor.key)
    };
    let principal = match names {
        true => named(),
        false => flagged.executor.map(|account| account.to_string()),
    };
    created(
        flagged.time,
        json!({
            "rule": finding.rule, "severity": finding.severity, "action_id": id, "time": flagged.time,
            "tenant": flagged.tenant, "principal": principal, "reason": finding.reason,
            "remedy": remedy(finding), "controls": finding.controls,
        }),
    )
}

/// The same of an identity.
fn identity(engine: &Engine, tenant: &str, found: &IdentityFinding, names: bool) -> Option<Value> {
    let row = engine.identity_row(tenant, found).ok()?;
    let (principal, others) = match names {
        true => (row.principal, row.others),
        false => (
            found.account.map(|account| account.to_string()),
            found.others.iter().map(ToString::to_string).collect(),
        ),
    };
    let finding = &found.finding;
    Some(created(
        found.time,
        json!({
            "rule": finding.rule, "severity": finding.severity, "action_id": found.record, "time": found.time,
            "tenant": tenant, "principal": principal, "subject": row.subject, "others": others,
            "reason": finding.reason, "remedy": remedy(finding), "controls": finding.controls,
        }),
    ))
}

fn created(time: Timestamp, data: Value) -> Value {
    json!({ "type": "finding.created", "timestamp": time, "data": data })
}

fn remedy(finding: &Finding) -> Option<&'static str> {
    every_rule().find(|rule| rule.name == finding.rule).map(|rule| rule.remedy)
}
