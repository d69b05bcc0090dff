//! Suppressing findings and setting thresholds: each is a record, durable before it counts.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use deed_gateway::Who;
use deed_ledger::{AppendError, Key, Ledger, LedgerError, Receipt, Sender, now};
use deed_record::{Account, PrincipalType, RecordId, Timestamp, nearest};
use deed_review::{
    Threshold, Thresholds, every_rule,
    tuning::{Covers, RESOURCE, Standing},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Tunings;
use crate::joins::Joins;

/// Nobody suppresses for longer: who still means it says so again.
const LONGEST: i64 = 366 * 24 * 3_600_000_000;
/// Bytes of a reason.
const LONGEST_REASON: usize = 4096;
/// Bytes of what a suppression covers.
const LONGEST_TEXT: usize = 2048;
/// Suppressions of a tenant that are in force at a time.
const MOST: usize = 1000;

/// Held by whoever changes what is in force.
static CHANGING: Mutex<()> = Mutex::new(());

/// Findings to suppress: those of a rule for which all else holds that is said.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuppressionSent {
    /// The rule.
    pub rule: String,
    /// About them: a key or alias.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// About a credential: fingerprint, the issuer's id or jti.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// About what was done to it; a text that ends in `*` covers whatever begins as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// About this action, or shown by this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RecordId>,
    /// Why.
    pub reason: String,
    /// The first moment at which it is over.
    pub until: Timestamp,
    /// Who grants it; else whoever the connection is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
}

/// The end of a suppression before its time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndSent {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who ends it; else whoever the connection is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
}

/// Thresholds that are to be in force.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdsSent {
    /// Those that are not as they are by default, by name.
    pub thresholds: BTreeMap<String, u32>,
    /// Why.
    pub reason: String,
    /// Only over what this record says, or over the defaults where it is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<RecordId>,
    /// Who sets them; else whoever the connection is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Who>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TuneError {
    /// What was sent cannot be.
    #[error("field `{0}`: {1}")]
    Wrong(&'static str, String),
    /// There is no such suppression.
    #[error("no suppression `{0}` is in force; `deed findings suppressed` lists them")]
    Unknown(RecordId),
    /// What is in force is not what whoever changes it had read.
    #[error("the thresholds were set again meanwhile: look at them, and set them over that")]
    Changed,
    /// It could not be recorded.
    #[error(transparent)]
    Unrecorded(#[from] AppendError),
    /// The log cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Records that findings of `tenant` are suppressed.
///
/// # Errors
/// See [`TuneError`]; nothing is suppressed.
pub(crate) fn suppress(
    ledger: &Ledger,
    joins: &Joins,
    tunings: &Tunings,
    tenant: &str,
    sent: &SuppressionSent,
    by: &Who,
) -> Result<Receipt, TuneError> {
    let wrong = |field, why: String| Err(TuneError::Wrong(field, why));
    if !every_rule().any(|rule| rule.name == sent.rule) {
        let known: Vec<&str> = every_rule().map(|rule| rule.name).collect();
        let hint = match nearest(&sent.rule, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known are {}", known.join(", ")),
        };
        return wrong("rule", format!("there is no `{}`; {hint}", sent.rule.escape_debug()));
    }
    let texts =
        [("principal", &sent.principal), ("credential", &sent.credential), ("resource", &sent.resource)];
    for (field, text) in texts {
        if text.as_ref().is_some_and(|text| text.trim().is_empty() || text.len() > LONGEST_TEXT) {
            return wrong(field, format!("expected 1 to {LONGEST_TEXT} bytes of text"));
        }
    }
    check_reason(&sent.reason)?;
    let at = now();
    if sent.until <= at {
        return wrong("until", format!("expected a time to come, found {}", sent.until));
    }
    if sent.until.0 - at.0 > LONGEST {
        let latest = Timestamp(at.0 + LONGEST);
        return wrong(
            "until",
            format!("expected a year at most, that is until {latest}, found {}", sent.until),
        );
    }
    let subject = match &sent.principal {
        Some(key) => Some(json!({ "key": key, "type": kind_of(ledger, joins, tenant, key)? })),
        None => None,
    };
    let covers = Covers {
        rule: sent.rule.clone(),
        principal: None,
        credential: sent.credential.clone(),
        resource: sent.resource.clone(),
        action: sent.action,
    };
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let tuning = tunings.of(ledger, tenant)?;
    let in_force = tuning.suppressions(at).filter(|(_, standing)| *standing == Standing::InForce);
    if in_force.count() >= MOST {
        return wrong("rule", format!("{MOST} suppressions are in force; end some, or cover more with one"));
    }
    let terms = json!({
        "change": "issued", "by": by, "subject": subject, "scopes": covers.scopes(), "expires": sent.until,
    });
    let record = json!({
        "kind": "exception", "time": at, "basis": "enforced", "operation": "findings suppress",
        "initiator": by, "resource": about(), "terms": terms, "disclose": { "reason": sent.reason },
    });
    append(ledger, tenant, &record)
}

/// Records that suppression `id` of `tenant` ends.
///
/// # Errors
/// See [`TuneError`]; it is in force as it was.
pub(crate) fn unsuppress(
    ledger: &Ledger,
    tunings: &Tunings,
    tenant: &str,
    id: RecordId,
    sent: &EndSent,
    by: &Who,
) -> Result<Receipt, TuneError> {
    if let Some(reason) = &sent.reason {
        check_reason(reason)?;
    }
    let at = now();
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let tuning = tunings.of(ledger, tenant)?;
    if !tuning.suppression(id, at).is_some_and(|(_, standing)| standing == Standing::InForce) {
        return Err(TuneError::Unknown(id));
    }
    let mut record = json!({
        "kind": "exception", "time": at, "basis": "enforced", "operation": "findings unsuppress",
        "initiator": by, "resource": about(), "exception": id,
        "terms": { "change": "revoked", "by": by },
    });
    if let Some(reason) = &sent.reason {
        record["disclose"] = json!({ "reason": reason });
    }
    append(ledger, tenant, &record)
}

/// Records the thresholds that are in force for `tenant` from now on: the defaults, but for those that are sent.
///
/// # Errors
/// See [`TuneError`]; what was in force still is.
pub(crate) fn tune(
    ledger: &Ledger,
    tunings: &Tunings,
    tenant: &str,
    sent: &ThresholdsSent,
    by: &Who,
) -> Result<Receipt, TuneError> {
    let mut all = Thresholds::default();
    for (name, value) in &sent.thresholds {
        let Some(threshold) = Threshold::named(name) else {
            let known: Vec<&str> = Threshold::ALL.iter().map(|threshold| threshold.as_str()).collect();
            let why = format!("there is no `{}`; known are {}", name.escape_debug(), known.join(", "));
            return Err(TuneError::Wrong("thresholds", why));
        };
        let range = threshold.range();
        if !range.contains(value) {
            let why = format!("`{threshold}`: expected {} to {}, found {value}", range.start(), range.end());
            return Err(TuneError::Wrong("thresholds", why));
        }
        threshold.set(&mut all, *value);
    }
    check_reason(&sent.reason)?;
    let _alone = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let tuning = tunings.of(ledger, tenant)?;
    let before = tuning.tuned();
    if sent.over.is_some() && sent.over != before.map(|tuned| tuned.record) {
        return Err(TuneError::Changed);
    }
    // What is sealed is the whole of it, defaults and all: a later version may have others.
    let values = Threshold::ALL.iter().map(|threshold| format!("{threshold}={}", threshold.of(&all)));
    let scopes: Vec<String> = values.collect();
    // Two in the same microsecond are still one after the other.
    let time = now().max(before.map_or(Timestamp(0), |tuned| Timestamp(tuned.at.0 + 1)));
    let record = json!({
        "kind": "policy", "time": time, "basis": "enforced", "operation": "findings tune",
        "initiator": by, "resource": about(), "terms": { "by": by, "scopes": scopes },
        "disclose": { "reason": sent.reason },
    });
    append(ledger, tenant, &record)
}

fn about() -> Value {
    json!({ "uri": RESOURCE, "type": "findings" })
}

fn check_reason(reason: &str) -> Result<(), TuneError> {
    match reason.trim().is_empty() || reason.len() > LONGEST_REASON {
        true => Err(TuneError::Wrong("reason", format!("expected 1 to {LONGEST_REASON} bytes of text"))),
        false => Ok(()),
    }
}

/// What somebody is: as the inventory says, else as an alias such as `agent:release-bot` does.
fn kind_of(ledger: &Ledger, joins: &Joins, tenant: &str, key: &str) -> Result<PrincipalType, LedgerError> {
    let account: Option<Account> = ledger.account(tenant, key)?;
    let declared = account.map(|account| joins.declared(ledger, tenant, account)).transpose()?.flatten();
    let said = || key.split_once(':').and_then(|(kind, _)| kind.parse().ok());
    Ok(declared.map(|declared| declared.kind).or_else(said).unwrap_or(PrincipalType::Unknown))
}

fn append(ledger: &Ledger, tenant: &str, record: &Value) -> Result<Receipt, TuneError> {
    let sender = Sender { tenant: Some(tenant.into()), name: "deed:findings".into(), ours: true };
    let receipts = ledger.begin(record.to_string().as_bytes(), &sender)?.wait()?;
    let receipt = receipts.into_iter().next();
    Ok(receipt.ok_or_else(|| AppendError::Unavailable("no receipt".into()))??)
}

/// The leaf of record `id`.
pub(super) fn leaf_of(ledger: &Ledger, id: RecordId) -> Result<Option<u64>, LedgerError> {
    Ok(ledger.lookup(&Key::Id(id), 1, None)?.first().copied())
}
