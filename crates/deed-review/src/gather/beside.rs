//! Intents at the gateway that no record of the action names, and that fit what another system logged.

use std::collections::BTreeMap;

use deed_record::{Account, Basis, Credential, Kind, Party, Ruling, Skeleton, Timestamp};

use super::{Family, MOST_NAMING, Reader, calls, place::Place};
use crate::{Declared, Evidence, ExplainError, Found, case::Beside};

/// How far the clocks of two systems may be apart, in microseconds: five minutes, as token verifiers allow.
pub(crate) const SKEW: i64 = 5 * 60 * 1_000_000;

/// How long after its intent a call may still be at work elsewhere, in microseconds: an hour.
pub(super) const AT_WORK: i64 = 60 * 60 * 1_000_000;

/// How long a call may wait for a human before it is done, in microseconds: an answer is taken for an hour, and used within a
/// quarter of an hour.
pub(super) const HELD: i64 = 75 * 60 * 1_000_000;

/// How far what is done may be from the call that it is of, or from its end, in microseconds.
pub(crate) const CALL: i64 = AT_WORK + HELD + SKEW;

/// Looks beside the action of `family`.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
    declared: &BTreeMap<Account, Declared>,
) -> Result<Beside, ExplainError<E::Error>> {
    let mut beside = Beside::default();
    let Some(head) = reader.head(family).cloned() else {
        return Ok(beside);
    };
    let governed = head.basis == Basis::Imported && is_governed(&head, declared);
    let in_trace = match head.trace_id.filter(|_| governed) {
        Some(trace) => reader.evidence.by_trace(trace, MOST_NAMING).map_err(ExplainError::Evidence)?,
        None => Vec::new(),
    };
    beside.cut |= in_trace.len() >= MOST_NAMING;
    if governed {
        let place = Place::of(&head, &in_trace);
        let may_be = |rec: &Skeleton<'_>| fits(rec, head.time) && place.may_be_of(rec);
        for name in head.credential.iter().flat_map(Credential::names) {
            let found = reader.evidence.by_call(&head.tenant, name, MOST_NAMING);
            let found = found.map_err(ExplainError::Evidence)?;
            beside.cut |= found.len() >= MOST_NAMING;
            for at in chosen(reader, found, &head, |rec| may_be(rec) && showed(rec, name))? {
                beside.intents.insert(reader.records[at].is.id);
            }
        }
        for at in chosen(reader, in_trace, &head, may_be)? {
            let theirs = account(reader.records[at].is.executor.as_ref());
            if same_principal(reader, &head, theirs, declared)? {
                beside.intents.insert(reader.records[at].is.id);
            }
        }
        // A trace that it is in would tell.
        if beside.intents.is_empty()
            && head.trace_id.is_none()
            && let Some(acting) = account(head.executor.as_ref())
        {
            let accounts = reader.evidence.every_account(&head.tenant, acting);
            let accounts = accounts.map_err(ExplainError::Evidence)?;
            beside.possible = calls::look(reader, &head, &place, &accounts)?;
        }
    }
    Ok(beside)
}

/// Keeps the records of `found` that `is_one` holds for.
fn chosen<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    found: Vec<Found>,
    head: &Skeleton<'_>,
    is_one: impl Fn(&Skeleton<'_>) -> bool,
) -> Result<Vec<usize>, ExplainError<E::Error>> {
    let mut kept = Vec::new();
    for found in found {
        if found.sealed.skeleton().is_ok_and(|rec| rec.tenant == head.tenant && is_one(&rec)) {
            kept.extend(reader.keep(found)?);
        }
    }
    Ok(kept)
}

/// Whether the inventory says of whoever acted that they act through Deed alone.
fn is_governed(head: &Skeleton<'_>, declared: &BTreeMap<Account, Declared>) -> bool {
    let acting = account(head.executor.as_ref());
    acting.and_then(|account| declared.get(&account)).is_some_and(|declared| declared.governed)
}

/// Whether `rec` is an intent that Deed recorded, and may be what was at work at `moment`.
pub(super) fn fits(rec: &Skeleton<'_>, moment: Timestamp) -> bool {
    let since = moment.0 - rec.time.0;
    is_call(rec) && (-SKEW..=AT_WORK + waited(rec)).contains(&since)
}

/// How long after the intent `rec` what it announces may begin.
pub(super) fn waited(rec: &Skeleton<'_>) -> i64 {
    let held = rec.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::StepUp);
    if held { HELD } else { 0 }
}

/// Whether `rec` announces a call that Deed decided on.
pub(super) fn is_call(rec: &Skeleton<'_>) -> bool {
    rec.kind == Kind::Intent && rec.basis == Basis::Enforced
}

/// Whether the call that `rec` announces showed the credential called `name`.
fn showed(rec: &Skeleton<'_>, name: &str) -> bool {
    let shown = rec.credential.as_ref();
    shown.is_some_and(|shown| match shown.upstream.as_deref() {
        Some(upstream) => upstream == name,
        None => shown.names().any(|other| other == name),
    })
}

fn account(party: Option<&Party<'_>>) -> Option<Account> {
    party.and_then(|party| party.account)
}

/// Whether whoever acted in `head` is, by account or by the inventory, who has the account `other`.
fn same_principal<E: Evidence>(
    reader: &Reader<'_, '_, E>,
    head: &Skeleton<'_>,
    other: Option<Account>,
    declared: &BTreeMap<Account, Declared>,
) -> Result<bool, ExplainError<E::Error>> {
    let (Some(acting), Some(other)) = (account(head.executor.as_ref()), other) else { return Ok(false) };
    if acting == other {
        return Ok(true);
    }
    let Some(acting) = declared.get(&acting) else { return Ok(false) };
    let other = reader.evidence.declared(&head.tenant, other).map_err(ExplainError::Evidence)?;
    Ok(other.is_some_and(|other| other.key == acting.key))
}
