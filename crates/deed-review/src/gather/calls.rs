//! Calls at the gateway that may be what another system logged, where nothing that it logs could tell.

use deed_record::{Account, Ruling, Skeleton, Status, Timestamp};

use super::{
    Reader,
    beside::{AT_WORK, HELD, SKEW, fits},
    counterpart::ends,
    place::Place,
};
use crate::{Evidence, ExplainError, Found, case::PossibleCall, verb::changes};

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
    let hour = |time: i64| time.div_euclid(HOUR);
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

/// Whether what `call` announces can have led to `act`, as far as both tell: where both name what would show it, a
/// credential, it does not; reading changes nothing; and what names one thing of a system is not of another there.
fn may_cause(call: &Skeleton<'_>, act: &Skeleton<'_>) -> bool {
    let onward = call.credential.as_ref().is_some_and(|shown| shown.upstream.is_some());
    let used = act.credential.as_ref().is_some_and(|used| used.names().next().is_some());
    let reads = changes(call) == Some(false) && changes(act) == Some(true);
    let decided = call.decision.as_ref().is_some_and(|decision| decision.effect != Ruling::Deny);
    decided && !(onward && used) && !reads && !is_elsewhere(call, act)
}

/// Whether both name things of one system, neither of which is in the other.
fn is_elsewhere(call: &Skeleton<'_>, act: &Skeleton<'_>) -> bool {
    let uri = |rec: &Skeleton<'_>| rec.resource.as_ref().map(|resource| resource.uri.to_string());
    let (Some(ours), Some(theirs)) = (uri(call), uri(act)) else { return false };
    let system = |uri: &str| uri.split_once(':').map(|(system, _)| system.to_owned());
    let within = |whole: &str, part: &str| part.strip_prefix(whole).is_some_and(|rest| rest.starts_with('/'));
    system(&ours) == system(&theirs) && ours != theirs && !within(&ours, &theirs) && !within(&theirs, &ours)
}
