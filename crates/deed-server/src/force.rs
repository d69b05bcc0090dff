//! What is in force: the policy set that was published last, and the inventory.
//!
//! The policy set in force is the one of the newest `policy` record: the log holds its files as disclosures, so
//! that nothing beside the log says what decides.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use deed_gateway::{InForce, is_ours};
use deed_identity::{Inventory, InventoryError};
use deed_ledger::{AppendError, BlobError, Key, Ledger, LedgerError, Receipt, Sender, now};
use deed_policy::{LoadError, PolicySet};
use deed_record::{Kind, RecordId, Sealed};
use serde_json::{Value, json, value::RawValue};

/// The resource that `policy` records are about.
const POLICY_SET: &str = "deed:policy-set";
/// Whose policies are in force for all tenants, and whose the records are of those who are bound to none.
pub(crate) const TENANT: &str = "default";

/// By what `policy` records are found.
const KEY: Key<'static> = Key::Resource { tenant: TENANT, uri: POLICY_SET };

/// Why it is not known what is in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForceError {
    /// The inventory is wrong.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The log cannot be read.
    #[error("failed to read which policy set is in force: {0}")]
    Ledger(#[from] LedgerError),
    /// The policy set that was published last is not what was published.
    #[error(
        "the policy set in force (leaf {leaf}) cannot be used: {why}; publish one again: deed policy publish DIR"
    )]
    Broken {
        /// Its record.
        leaf: u64,
        /// What is wrong.
        why: String,
    },
}

/// Why a policy set was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It is no good.
    #[error(transparent)]
    Wrong(#[from] LoadError),
    /// It could not be recorded.
    #[error(transparent)]
    Unrecorded(#[from] AppendError),
}

/// Reads what is in force.
///
/// # Errors
/// See [`ForceError`].
pub(crate) fn load(ledger: &Ledger, dir: &Path) -> Result<InForce, ForceError> {
    let inventory = Arc::new(Inventory::load(dir)?);
    let ledger = ledger.clone();
    // A set that cannot be used keeps nobody from reading the log, nor from publishing another.
    // INVARIANT D13: until then everything is denied.
    let read = move || published(&ledger).unwrap_or_else(|error| PolicySet::unusable(error.to_string()));
    Ok(InForce { inventory, ..InForce::of(read) })
}

fn published(ledger: &Ledger) -> Result<PolicySet, ForceError> {
    match find(ledger, |_| true)? {
        Some(leaf) => read(ledger, leaf),
        None => Ok(PolicySet::starter()),
    }
}

/// The policy set of that digest, if it was ever published.
fn of_digest(ledger: &Ledger, digest: &str) -> Result<Option<PolicySet>, ForceError> {
    let starter = PolicySet::starter();
    if starter.digest() == digest {
        return Ok(Some(starter));
    }
    let leaf = find(ledger, |sealed| digest_of(sealed).as_deref() == Some(digest))?;
    leaf.map(|leaf| read(ledger, leaf)).transpose()
}

/// The newest record of a policy set that is `wanted`. Others may write about policy sets, and publish none by it.
fn find(ledger: &Ledger, wanted: impl Fn(&Sealed) -> bool) -> Result<Option<u64>, LedgerError> {
    let mut before = None;
    loop {
        let Some(leaf) = ledger.lookup(&KEY, 1, before)?.first().copied() else { return Ok(None) };
        let sealed = ledger.leaf(leaf)?;
        let is_policy = sealed.skeleton().is_ok_and(|record| record.kind == Kind::Policy && is_ours(&record));
        if is_policy && wanted(&sealed) {
            return Ok(Some(leaf));
        }
        before = Some(leaf);
    }
}

fn digest_of(sealed: &Sealed) -> Option<String> {
    sealed.skeleton().ok()?.artifact?.digest.map(|digest| digest.to_string())
}

/// The policy set that is recorded in `leaf`.
fn read(ledger: &Ledger, leaf: u64) -> Result<PolicySet, ForceError> {
    let broken = |why: String| ForceError::Broken { leaf, why };
    let digest = digest_of(&ledger.leaf(leaf)?);
    let mut files = BTreeMap::new();
    for opened in ledger.disclosures(leaf)? {
        let (_, name, text): (Value, String, String) =
            serde_json::from_slice(&opened.json).map_err(|error| broken(error.to_string()))?;
        files.insert(name, text);
    }
    let set = PolicySet::of_files(files).map_err(|error| broken(error.to_string()))?;
    match digest {
        Some(digest) if digest == set.digest() => Ok(set),
        _ => Err(broken("its files are not those of its digest".into())),
    }
}

/// A decision, as it was recorded and as it comes out again.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Replayed {
    /// Whether both are the same; `None` where it cannot be derived again.
    pub same: Option<bool>,
    /// As it was recorded.
    pub recorded: Value,
    /// As it comes out again.
    pub replayed: Option<Value>,
    /// Why it cannot be derived again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Derives the decision of record `id` again; `None` where no such record of `tenant` holds a decision.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn replay(
    ledger: &Ledger,
    id: RecordId,
    tenant: Option<&str>,
) -> Result<Option<Replayed>, ForceError> {
    let Some(leaf) = ledger.lookup(&Key::Id(id), 1, None)?.first().copied() else { return Ok(None) };
    let sealed = ledger.leaf(leaf)?;
    let broken = |why: String| ForceError::Broken { leaf, why };
    let record = sealed.skeleton().map_err(|error| broken(error.to_string()))?;
    let of_tenant = tenant.is_none_or(|tenant| tenant == &*record.tenant);
    let Some(decision) = record.decision.filter(|_| of_tenant) else { return Ok(None) };
    let recorded = json!({
        "effect": decision.effect, "policies": decision.policies, "obligations": decision.obligations, "errors": decision.errors,
    });
    let cannot = |why: &str| {
        let (recorded, why) = (recorded.clone(), Some(why.to_owned()));
        Ok(Some(Replayed { same: None, recorded, replayed: None, why }))
    };
    let Some(digest) = decision.policy_set else {
        return cannot("no policy set decided, the gateway itself did");
    };
    let Some(set) = of_digest(ledger, &digest)? else {
        return cannot("the policy set that decided was never published here");
    };
    let Some(seen) = seen(ledger, leaf)? else {
        return cannot("what the decision saw was redacted, or is not kept here");
    };
    let Ok(decided) = set.replay(&seen) else {
        return cannot(
            "what the decision saw is not whole: a secret was taken out of it, or it was redacted",
        );
    };
    let replayed = json!({
        "effect": decided.effect, "policies": decided.policies, "obligations": decided.obligations.to_texts(), "errors": decided.errors,
    });
    let (same, replayed) = (Some(recorded == replayed), Some(replayed));
    Ok(Some(Replayed { same, recorded, replayed, why: None }))
}

/// What a decision saw: the members of `context`, put together again.
fn seen(ledger: &Ledger, leaf: u64) -> Result<Option<String>, ForceError> {
    let opened = match ledger.disclosures(leaf) {
        Err(LedgerError::Blob(BlobError::NoKey)) => return Ok(None),
        opened => opened?,
    };
    let mut members = Vec::new();
    for opened in opened.iter().filter(|opened| opened.group.as_deref() == Some("context")) {
        let (_, name, value): (Value, String, Box<RawValue>) = serde_json::from_slice(&opened.json)
            .map_err(|error| ForceError::Broken { leaf, why: error.to_string() })?;
        members.push(format!("{}:{}", Value::from(name), value.get()));
    }
    Ok(if members.is_empty() { None } else { Some(format!("{{{}}}", members.join(","))) })
}

/// Records the policy set of `files`; the set and its record. It is for the caller to put it into force.
///
/// # Errors
/// See [`PublishError`]; nothing is in force that was not before.
pub(crate) fn publish(
    ledger: &Ledger,
    files: BTreeMap<String, String>,
    by: &str,
) -> Result<(PolicySet, Receipt), PublishError> {
    let set = PolicySet::of_files(files)?;
    set.without_secrets()?;
    let record = json!({
        "kind": "policy",
        "time": now(),
        "basis": "enforced",
        "operation": "policy publish",
        "initiator": { "type": "human", "key": by },
        "resource": { "uri": POLICY_SET, "type": "policy_set" },
        "artifact": { "name": "policy set", "digest": set.digest() },
        "disclose": { "files": set.files() },
    });
    let sender = Sender { tenant: Some(TENANT.into()), name: "deed:policy".into(), ours: true };
    let receipts = ledger.begin(record.to_string().as_bytes(), &sender)?.wait()?;
    let receipt =
        receipts.into_iter().next().ok_or_else(|| AppendError::Unavailable("no receipt".into()))??;
    match published(ledger) {
        Ok(kept) if kept.digest() == set.digest() => Ok((set, receipt)),
        Ok(_) => Err(AppendError::Unavailable("another set was published at the same moment".into()).into()),
        Err(error) => Err(AppendError::Unavailable(error.to_string()).into()),
    }
}
