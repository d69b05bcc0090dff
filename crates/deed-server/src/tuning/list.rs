//! What is suppressed, by whom and how much that hides; which thresholds are in force.

use std::collections::BTreeMap;

use deed_ledger::{BlobError, Ledger, LedgerError, Sender, now};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::{
    Threshold, Thresholds,
    tuning::{Matter, Standing, Suppression},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    Hiding, Tunings,
    hiding::called,
    write::{TuneError, leaf_of},
};
use crate::joins::Joins;

/// Every suppression there ever was.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuppressionList {
    /// The newest first.
    pub suppressions: Vec<SuppressionRow>,
    /// Records of the log that this is from.
    pub records: u64,
}

/// One suppression.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuppressionRow {
    /// Its record.
    pub id: RecordId,
    /// Whose.
    pub tenant: String,
    /// The rule.
    pub rule: String,
    /// About them.
    pub principal: Option<String>,
    /// About this credential.
    pub credential: Option<String>,
    /// About what was done to it.
    pub resource: Option<String>,
    /// About this action, or shown by this record.
    pub action: Option<RecordId>,
    /// `in_force`, `ended` or `expired`.
    pub state: String,
    /// Findings that it covers now; 0 where it is over.
    pub hides: u64,
    /// Since when.
    pub granted: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who granted it.
    pub by: Option<String>,
    /// Why; `null` unless it was asked for, and where it was erased.
    pub reason: Option<String>,
    /// How it ended before its time.
    pub ended: Option<SuppressionEnd>,
}

/// The end of a suppression before its time.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SuppressionEnd {
    /// When.
    pub time: Timestamp,
    /// Who ended it.
    pub by: Option<String>,
    /// Its record.
    pub record: RecordId,
    /// Why, as of the suppression.
    pub reason: Option<String>,
}

/// What counts as long, and as often.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ThresholdsInForce {
    /// Whose.
    pub tenant: String,
    /// Each by its name.
    pub thresholds: BTreeMap<String, ThresholdRow>,
    /// The record that says so; `null` where all are as they are by default.
    pub record: Option<RecordId>,
    /// Since when.
    pub set: Option<Timestamp>,
    /// Who set them.
    pub by: Option<String>,
}

/// One threshold.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ThresholdRow {
    /// What is in force.
    pub value: u32,
    /// What is by default.
    pub default: u32,
}

/// The suppressions of `tenant`, each with how many of `matters` it covers.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn suppressions(
    ledger: &Ledger,
    joins: &Joins,
    tunings: &Tunings,
    tenant: &str,
    hiding: &Hiding<'_>,
    matters: &[Matter<'_>],
) -> Result<Vec<SuppressionRow>, LedgerError> {
    let tuning = tunings.of(ledger, tenant)?;
    let mut rows = Vec::new();
    for (given, standing) in tuning.suppressions(hiding.at()) {
        let mut hides = 0;
        if standing == Standing::InForce {
            for matter in matters {
                hides += u64::from(hiding.covers(tenant, given, matter)?);
            }
        }
        let name = |account: Option<Account>, id| {
            account.map(|account| called(ledger, joins, tenant, account, id)).transpose()
        };
        let ended = match standing {
            Standing::Ended(end) => Some(SuppressionEnd {
                time: end.at,
                by: name(end.by, end.record)?,
                record: end.record,
                reason: None,
            }),
            _ => None,
        };
        let Suppression { id, covers, from, until, by } = given;
        rows.push(SuppressionRow {
            id: *id,
            tenant: tenant.to_owned(),
            rule: covers.rule.clone(),
            principal: name(covers.principal, *id)?,
            credential: covers.credential.clone(),
            resource: covers.resource.clone(),
            action: covers.action,
            state: state_of(standing).to_owned(),
            hides,
            granted: *from,
            until: *until,
            by: name(*by, *id)?,
            reason: None,
            ended,
        });
    }
    rows.sort_by_key(|row| std::cmp::Reverse((row.granted, row.id)));
    Ok(rows)
}

fn state_of(standing: Standing) -> &'static str {
    match standing {
        Standing::InForce => "in_force",
        Standing::Ended(_) => "ended",
        Standing::Expired => "expired",
    }
}

/// Puts the reasons into `rows`, for `by` to see.
///
/// INVARIANT D10: that they are read is recorded before they are shown.
///
/// # Errors
/// That cannot be recorded, or the log cannot be read.
pub(crate) fn reasons(
    ledger: &Ledger,
    tenant: &str,
    rows: &mut [SuppressionRow],
    by: &str,
) -> Result<(), TuneError> {
    let ids = rows
        .iter()
        .flat_map(|row| std::iter::once(row.id).chain(row.ended.iter().map(|end| end.record)))
        .collect();
    note_reading(ledger, tenant, ids, "deed:findings", by)?;
    for row in rows {
        row.reason = reason(ledger, row.id)?;
        if let Some(end) = &mut row.ended {
            end.reason = reason(ledger, end.record)?;
        }
    }
    Ok(())
}

/// Records that `by` reads the reasons that records `ids` disclose; `sender` is the part of Deed that shows them.
///
/// # Errors
/// That cannot be recorded.
pub(crate) fn note_reading(
    ledger: &Ledger,
    tenant: &str,
    ids: Vec<RecordId>,
    sender: &str,
    by: &str,
) -> Result<(), TuneError> {
    if ids.is_empty() {
        return Ok(());
    }
    let read: Vec<Value> = ids
        .iter()
        .map(|id| {
            let uri = format!("deed:disclosure/{id}/reason");
            json!({
                "kind": "access", "time": now(), "basis": "enforced", "operation": "payload", "action": id,
                "initiator": { "type": "human", "key": by },
                "resource": { "uri": uri, "type": "disclosure" },
            })
        })
        .collect();
    let sender = Sender { tenant: Some(tenant.into()), name: sender.into(), ours: true };
    let appended = ledger.begin(Value::from(read).to_string().as_bytes(), &sender)?.wait()?;
    appended.into_iter().try_for_each(|one| one.map(drop))?;
    Ok(())
}

/// The reason that record `id` discloses; `None` where it was erased.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn reason(ledger: &Ledger, id: RecordId) -> Result<Option<String>, LedgerError> {
    let Some(leaf) = leaf_of(ledger, id)? else { return Ok(None) };
    let opened = match ledger.disclosures(leaf) {
        Err(LedgerError::Blob(BlobError::NoKey)) => return Ok(None),
        opened => opened?,
    };
    let reason = opened.into_iter().find(|opened| opened.group.is_none() && opened.name == "reason");
    let read =
        reason.and_then(|opened| serde_json::from_slice::<(String, String, String)>(&opened.json).ok());
    Ok(read.map(|(_, _, text)| text))
}

/// The thresholds in force for `tenant`.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn thresholds(
    ledger: &Ledger,
    joins: &Joins,
    tunings: &Tunings,
    tenant: &str,
) -> Result<ThresholdsInForce, LedgerError> {
    let tuning = tunings.of(ledger, tenant)?;
    let (in_force, default) = (tuning.thresholds(), Thresholds::default());
    let row = |name: &Threshold| {
        let row = ThresholdRow { value: name.of(&in_force), default: name.of(&default) };
        (name.as_str().to_owned(), row)
    };
    let tuned = tuning.tuned();
    let by = tuned.and_then(|tuned| Some((tuned.by?, tuned.record)));
    Ok(ThresholdsInForce {
        tenant: tenant.to_owned(),
        thresholds: Threshold::ALL.iter().map(row).collect(),
        record: tuned.map(|tuned| tuned.record),
        set: tuned.map(|tuned| tuned.at),
        by: by.map(|(account, id)| called(ledger, joins, tenant, account, id)).transpose()?,
    })
}
