//! Calls at the gateway that may be what another system logged, where nothing that it logs could tell.

use std::collections::BTreeSet;

use deed_record::{Account, Basis, Kind, RecordId, Ruling, Skeleton, Status, Timestamp};

use super::{
    Family, Reader,
    beside::{AT_WORK, HELD, SKEW, fits},
    counterpart::ends,
    place::Place,
};
use crate::{
    Evidence, ExplainError, Found,
    case::{LikelyDenied, PossibleCall},
    verb::{Verb, changes},
};

/// Calls of one account in one hour of which all are looked at; of more nothing is concluded.
pub(super) const MOST_CALLS: usize = 4096;

/// An hour, in microseconds: calls are found by it.
const HOUR: i64 = 60 * 60 * 1_000_000;

/// The call of one of `accounts` under way nearest to the act of `head` that may be what it is of, although neither trace
/// nor credential can tell.
///
/// INVARIANT D6: which it is depends on the calls and on how they ended alone.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    head: &Skeleton<'_>,
    place: &Place,
    accounts: &[Account],
) -> Result<PossibleCall, ExplainError<E::Error>> {
    let evidence = reader.evidence;
    let mut possible = PossibleCall::default();
    let own = hour(head.time.0);
    let mut hours: Vec<i64> = (hour(head.time.0 - AT_WORK - HELD)..=hour(head.time.0 + SKEW)).collect();
    hours.sort_by_key(|hour| (hour - own).abs());
    for hour in hours {
        let mut near: Vec<(u64, Found)> = Vec::new();
        for account in accounts {
            let found = evidence.calls(*account, Timestamp(hour * HOUR), MOST_CALLS);
            let found = found.map_err(ExplainError::Evidence)?;
            possible.cut |= found.len() >= MOST_CALLS;
            near.extend(found.into_iter().filter_map(|found| {
                let call = found.sealed.skeleton().ok()?;
                let may_be = call.tenant == head.tenant
                    && fits(&call, head.time)
                    && place.may_be_of(&call)
                    && may_cause(&call, head);
                let apart = head.time.0.abs_diff(call.time.0);
                may_be.then_some((apart, found))
            }));
        }
        near.sort_by_key(|(apart, found)| (*apart, found.sealed.skeleton().ok().map(|call| call.id)));
        for (_, found) in near {
            let Ok(call) = found.sealed.skeleton() else { continue };
            let ends = ends(evidence, &call)?;
            let last =
                ends.iter().filter(|(_, status)| *status != Status::Denied).map(|(time, _)| *time).max();
            let refused = !ends.is_empty() && last.is_none();
            if refused || last.is_some_and(|last| head.time.0 - last.0 > SKEW) {
                continue;
            }
            let (id, open) = (call.id, ends.is_empty());
            if reader.keep(found)?.is_some() {
                return Ok(PossibleCall { call: Some(id), open, ..possible });
            }
        }
    }
    Ok(possible)
}

/// The last call of whoever did what `family` tells of that Deed denied them within minutes before it, that names no thing, and
/// that by its name does the same: under another of their names, and where no call that was let through may be it.
pub(super) fn denied<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
) -> Result<LikelyDenied, ExplainError<E::Error>> {
    let Some(head) = reader.head(family).filter(|head| may_elude(head)).cloned() else {
        return Ok(LikelyDenied::default());
    };
    let Some(acting) = head.executor.as_ref().and_then(|party| party.account) else {
        return Ok(LikelyDenied::default());
    };
    let evidence = reader.evidence;
    let accounts = evidence.every_account(&head.tenant, acting).map_err(ExplainError::Evidence)?;
    let mut last: Option<(Timestamp, RecordId, Found)> = None;
    for account in accounts.iter().filter(|account| **account != acting) {
        for hour in [hour(head.time.0 - SKEW), hour(head.time.0)].into_iter().collect::<BTreeSet<_>>() {
            let found = evidence.calls(*account, Timestamp(hour * HOUR), MOST_CALLS);
            for found in found.map_err(ExplainError::Evidence)? {
                let Ok(call) = found.sealed.skeleton() else { continue };
                let place = (call.time, call.id);
                let near = (0..=SKEW).contains(&(head.time.0 - call.time.0)) && call.tenant == head.tenant;
                let same = may_be_eluded(&call) && Verb::of(&call) == Verb::of(&head);
                if near && same && last.as_ref().is_none_or(|last| (last.0, last.1) < place) {
                    last = Some((place.0, place.1, found));
                }
            }
        }
    }
    let Some((_, id, found)) = last else { return Ok(LikelyDenied::default()) };
    let place = Place::of(&head, &[]);
    let possible = look(reader, &head, &place, &accounts)?;
    if possible.is_any() {
        return Ok(LikelyDenied { call: None, unless: possible });
    }
    let call = reader.keep(found)?.map(|_| id);
    Ok(LikelyDenied { call, unless: possible })
}

/// Whether it is what somebody may do in another system once Deed denied them a call: it changed something there.
pub(crate) fn may_elude(act: &Skeleton<'_>) -> bool {
    let done = act.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Success);
    act.kind == Kind::Observation && act.basis == Basis::Imported && done && changes(act) == Some(true)
}

/// Whether it is a call that Deed denied, which would have changed something and does not say what.
pub(crate) fn may_be_eluded(call: &Skeleton<'_>) -> bool {
    let denied = call.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::Deny);
    denied && call.calling().is_some() && call.resource.is_none() && changes(call) == Some(true)
}

fn hour(time: i64) -> i64 {
    time.div_euclid(HOUR)
}

/// Whether what `call` announces can have led to `act`, as far as both tell: where both name what would show it, a
/// credential, it does not; reading changes nothing; and what names one thing of a system is not of another there.
fn may_cause(call: &Skeleton<'_>, act: &Skeleton<'_>) -> bool {
    let onward = call.credential.as_ref().is_some_and(|shown| shown.upstream.is_some());
    let used = act.credential.as_ref().is_some_and(|used| used.names().next().is_some());
    let reads = changes(call) == Some(false) && changes(act) == Some(true);
    let decided = call.decision.as_ref().is_some_and(|decision| decision.effect != Ruling::Deny);
    let ruled_out = onward && used || reads || is_elsewhere(call, act);
    decided && !ruled_out
}

/// Whether both name things of one system, neither of which is in the other.
fn is_elsewhere(call: &Skeleton<'_>, act: &Skeleton<'_>) -> bool {
    let uri = |rec: &Skeleton<'_>| rec.resource.as_ref().map(|resource| resource.uri.to_string());
    let (Some(ours), Some(theirs)) = (uri(call), uri(act)) else { return false };
    let system = |uri: &str| uri.split_once(':').map(|(system, _)| system.to_owned());
    let within = |whole: &str, part: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with('/'));
    system(&ours) == system(&theirs) && ours != theirs && !within(&ours, &theirs) && !within(&theirs, &ours)
}
