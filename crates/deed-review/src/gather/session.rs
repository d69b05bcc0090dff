//! Who is behind a session: of what another system logged without saying who asked, what else was done with the same
//! temporary credential, and names a person.

use std::collections::{BTreeMap, BTreeSet};

use deed_record::{Account, Basis, Credential, Kind, PrincipalType, RecordId, Skeleton};

use super::{Family, MOST_NAMING, Reader};
use crate::{Evidence, ExplainError, Found, case::corrects, rules::is_handed_on};

/// Several who are named are at odds with one another: of more nothing further follows.
const MOST_NAMED: usize = 4;

/// Keeps, of each who is named with the credential of `family` elsewhere, the nearest record in time that says so. A service
/// that calls with somebody's session is named as the one who asked for that call alone, and is left aside.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
    credentials: &[BTreeSet<String>],
) -> Result<Vec<RecordId>, ExplainError<E::Error>> {
    let Some(head) = reader.head(family).filter(|head| may_be_named(head)).cloned() else {
        return Ok(Vec::new());
    };
    let own = reader.of_action(family);
    let told = family.told.iter().filter_map(|id| reader.ids.get(id)).copied();
    if own.into_iter().chain(told).any(|at| asking(&reader.records[at].is).is_some()) {
        return Ok(Vec::new());
    }
    let mut found: Vec<Found> = Vec::new();
    for name in credentials.first().into_iter().flatten() {
        let used = reader.evidence.by_use(&head.tenant, name, MOST_NAMING);
        found.extend(used.map_err(ExplainError::Evidence)?);
    }
    let read: Vec<(Skeleton<'_>, &Found)> =
        found.iter().filter_map(|found| Some((found.sealed.skeleton().ok()?, found))).collect();
    let corrected = |rec: &Skeleton<'_>| {
        read.iter().any(|(later, _)| later.supersedes == Some(rec.id) && corrects(later, rec))
    };
    let of_session = |rec: &Skeleton<'_>| {
        let shown = rec.credential.iter().flat_map(Credential::names);
        let mut shown = shown.filter(|name| credentials.first().is_some_and(|names| names.contains(*name)));
        rec.tenant == head.tenant
            && rec.kind == Kind::Observation
            && rec.basis == Basis::Imported
            && shown.next().is_some()
    };
    let mut named: BTreeMap<Account, (u64, RecordId, &Found)> = BTreeMap::new();
    for (rec, found) in read.iter().filter(|(rec, _)| of_session(rec) && !corrected(rec)) {
        let Some(account) = asking(rec) else { continue };
        let near = (rec.time.0.abs_diff(head.time.0), rec.id, *found);
        let nearest = named.entry(account).or_insert(near);
        if (near.0, near.1) < (nearest.0, nearest.1) {
            *nearest = near;
        }
    }
    let mut named: Vec<(u64, RecordId, &Found)> = named.into_values().collect();
    named.sort_by_key(|(apart, id, _)| (*apart, *id));
    let mut kept = Vec::new();
    for (_, id, found) in named.into_iter().take(MOST_NAMED) {
        kept.extend(reader.keep(found.clone())?.map(|_| id));
    }
    Ok(kept)
}

/// Whether it was done in a session that was opened in another system, by whom that knows (a hop with the very credential
/// that was shown), and the record leaves open who that is.
fn may_be_named(rec: &Skeleton<'_>) -> bool {
    let kind = rec.credential.as_ref().and_then(|used| used.kind.as_deref());
    rec.kind == Kind::Observation
        && rec.basis == Basis::Imported
        && kind.is_some_and(|kind| !deed_identity::is_static_type(kind))
        && asking(rec).is_none()
        && rec.chain.as_ref().is_some_and(|hops| !hops.is_empty())
        && !is_handed_on(rec)
}

/// Who is named as having asked, and is no service.
fn asking(rec: &Skeleton<'_>) -> Option<Account> {
    rec.initiator.as_ref().filter(|party| party.kind != PrincipalType::Workload)?.account
}
