//! What whoever acted held, beside the rights that records name.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeSet};

use deed_identity::Coverage;
use deed_record::{Account, Basis, Kind, RecordId, Skeleton, with_and_without_path};

use super::{Family, MOST_ALIKE, MOST_NAMING, Reader};
use crate::{
    Evidence, ExplainError, Found,
    claim::subject,
    held::{Held, given_by},
    scope::Bearing,
};

/// Rights of whoever acted, as far as they were read.
#[derive(Default)]
pub(super) struct Entitled {
    /// What gave those that cover the action, the newest first.
    pub(super) covering: BTreeSet<RecordId>,
    /// There were too many to read all.
    pub(super) cut: bool,
    /// Whoever comes may have a right on what was acted upon: something was given there, and no record says to whom.
    pub(super) open: bool,
}

/// Keeps what tells of rights of whoever acted in the action of `family`, under any of their names.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
) -> Result<Entitled, ExplainError<E::Error>> {
    let mut entitled = Entitled::default();
    let Some(mut head) = reader.head(family).cloned() else { return Ok(entitled) };
    head.time = reader.released(family).unwrap_or(head.time);
    let Some(acting) = head.executor.as_ref().and_then(|party| party.account) else { return Ok(entitled) };
    let accounts = reader.evidence.every_account(&head.tenant, acting).map_err(ExplainError::Evidence)?;
    let mut left = MOST_NAMING;
    for account in accounts {
        let found = reader.evidence.by_entitled(account, left).map_err(ExplainError::Evidence)?;
        left -= found.len().min(left);
        for found in found {
            if found.sealed.skeleton().is_ok_and(|rec| rec.time <= head.time) {
                reader.keep(found)?;
            }
        }
    }
    entitled.cut = left == 0;
    let asking = head.initiator.as_ref().and_then(|party| party.account).filter(|asking| *asking != acting);
    if let Some(asking) = asking.filter(|_| head.basis == Basis::Imported) {
        withdrawals(reader, &head, asking)?;
    }
    entitled.cut |= removals(reader, &head, acting)?;
    lifted_locks(reader, &head)?;
    entitled.open = is_open(reader, family, &head)?;
    // An inventory makes nobody the one to whom a right was given.
    let claims = || reader.records.iter().flat_map(|rec| rec.claims(Kind::Grant));
    let theirs = claims().filter(|claim| subject(claim) == Some(acting));
    let held = theirs.filter_map(|claim| Held::at(head.time, claim, claims()));
    let covering = held.filter(|held| held.bears(&head) == Bearing::Covers).map(|held| held.claim.rec);
    let mut covering: Vec<_> = covering.map(|rec| (!rec.firm(), Reverse(rec.is.time), rec.is.id)).collect();
    covering.sort_unstable();
    entitled.covering = covering.into_iter().map(|(.., id)| id).take(MOST_ALIKE).collect();
    Ok(entitled)
}

/// Whether a right had been given on what `head` acted upon, or on a thing that it is in, without a word on to whom; asked
/// only where silence on rights would prove something.
fn is_open<E: Evidence>(
    reader: &Reader<'_, '_, E>,
    family: &Family,
    head: &Skeleton<'_>,
) -> Result<bool, ExplainError<E::Error>> {
    let Some((resource, source)) = head.resource.as_ref().zip(head.source.as_ref()) else { return Ok(false) };
    let complete = reader.evidence.complete_for(Coverage::Grants).map_err(ExplainError::Evidence)?;
    if !complete.iter().any(|system| *system == *source.system) {
        return Ok(false);
    }
    for uri in above(&resource.uri).take(MOST_ALIKE) {
        let found =
            reader.evidence.opened(&head.tenant, &uri, MOST_NAMING).map_err(ExplainError::Evidence)?;
        let given = |rec: &Skeleton<'_>| rec.time <= head.time && !family.ids.contains(&rec.id);
        if found.len() >= MOST_NAMING
            || found.iter().any(|found| found.sealed.skeleton().is_ok_and(|rec| given(&rec)))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `uri`, and what it is in: the bucket of an object, say. A role of IAM is named with its path or without it.
fn above(uri: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let within = std::iter::successors(Some(uri), |uri| Some(uri.rsplit_once('/')?.0));
    with_and_without_path(uri).chain(within.skip(1).map(Cow::Borrowed))
}

/// Keeps what tells of something that was taken as a whole from whoever the action was done for.
fn withdrawals<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    head: &Skeleton<'_>,
    asking: Account,
) -> Result<(), ExplainError<E::Error>> {
    let found = reader.evidence.by_entitled(asking, MOST_NAMING).map_err(ExplainError::Evidence)?;
    keep(reader, head, found, |rec| rec.withdrawals().any(|withdrawal| withdrawal.account == asking))
}

/// Keeps what tells that a lock was lifted which had been put on somebody of the action.
fn lifted_locks<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    head: &Skeleton<'_>,
) -> Result<(), ExplainError<E::Error>> {
    let locks: BTreeSet<String> =
        reader.records.iter().filter_map(|rec| rec.is.locks()).map(str::to_owned).collect();
    for lock in locks.iter().take(MOST_ALIKE) {
        let found = reader.evidence.by_resource(&head.tenant, lock, MOST_NAMING);
        keep(reader, head, found.map_err(ExplainError::Evidence)?, |rec| rec.lifts().is_some())?;
    }
    Ok(())
}

/// Keeps what tells that something was removed by which `acting` had a right; whether that may not be all.
fn removals<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    head: &Skeleton<'_>,
    acting: Account,
) -> Result<bool, ExplainError<E::Error>> {
    let given = reader.records.iter().flat_map(|rec| rec.claims(Kind::Grant));
    let given = given.filter(|claim| subject(claim) == Some(acting));
    let things: BTreeSet<String> = given.filter_map(|claim| given_by(&claim)).map(str::to_owned).collect();
    let mut cut = things.len() > MOST_ALIKE;
    for thing in things.iter().take(MOST_ALIKE) {
        let found = reader.evidence.by_resource(&head.tenant, thing, MOST_NAMING);
        let found = found.map_err(ExplainError::Evidence)?;
        cut |= found.len() >= MOST_NAMING;
        keep(reader, head, found, |rec| {
            rec.effects.iter().flatten().any(|effect| effect.kind == Kind::Grant)
        })?;
    }
    Ok(cut)
}

/// Keeps those of `found` that were told by the time of the action, and of which `tells` holds.
fn keep<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    head: &Skeleton<'_>,
    found: Vec<Found>,
    tells: impl Fn(&Skeleton<'_>) -> bool,
) -> Result<(), ExplainError<E::Error>> {
    for found in found {
        if found.sealed.skeleton().is_ok_and(|rec| rec.time <= head.time && tells(&rec)) {
            reader.keep(found)?;
        }
    }
    Ok(())
}
