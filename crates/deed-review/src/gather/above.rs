//! Who asked further up: of a span that names nobody, the nearest one above it in its trace that does.

use std::collections::BTreeSet;

use deed_record::{Basis, RecordId, Skeleton};

use super::{Family, Reader, counterpart::MOST_IN_TRACE, spans::Spans};
use crate::{Evidence, ExplainError, Found, case::Above};

/// Spans above one that are gone through.
pub(super) const MOST_ABOVE: usize = 64;

/// Whether `rec` itself tells who asked only by where it stands in its trace, if at all.
pub(crate) fn may_inherit(rec: &Skeleton<'_>) -> bool {
    rec.basis == Basis::Reported
        && rec.trace_id.is_some()
        && rec.parent_span_id.is_some()
        && rec.initiator.as_ref().and_then(|party| party.account).is_none()
}

/// Keeps the records of the nearest span above the action of `family` that names somebody else than who acted, and one
/// of each span between. Only where the action names nobody: most do, or are no spans, and cost nothing here.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
) -> Result<Above, ExplainError<E::Error>> {
    let Some(head) = reader.head(family).filter(|head| may_inherit(head)).cloned() else {
        return Ok(Above::default());
    };
    let own = reader.of_action(family);
    let told = family.told.iter().filter_map(|id| reader.ids.get(id)).copied();
    let asking = |rec: &Skeleton<'_>| rec.initiator.as_ref().and_then(|party| party.account);
    let (Some(trace), false) =
        (head.trace_id, own.into_iter().chain(told).any(|at| asking(&reader.records[at].is).is_some()))
    else {
        return Ok(Above::default());
    };
    let found = reader.in_trace(trace)?;
    if found.len() >= MOST_IN_TRACE {
        return Ok(Above { cut: true, ..Above::default() });
    }
    let acting = head.executor.as_ref().and_then(|party| party.account);
    let spans = Spans::of(&found, family, &head);
    let mut passed = head.span_id.into_iter().collect::<BTreeSet<_>>();
    let mut between: Vec<&Found> = Vec::new();
    let mut above = head.parent_span_id;
    while let Some(span) = above.filter(|span| passed.insert(*span)) {
        if between.len() == MOST_ABOVE {
            return Ok(Above { cut: true, ..Above::default() });
        }
        let here = || spans.at(span);
        let naming = here().filter(|(rec, _)| asking(rec).is_some_and(|asking| Some(asking) != acting));
        let naming: Vec<&Found> = naming.map(|(_, found)| found).collect();
        if !naming.is_empty() {
            let asking = kept(reader, &naming)?;
            return Ok(Above { asking, between: kept(reader, &between)?, cut: false });
        }
        above = spans.above(span);
        between.extend(here().min_by_key(|(rec, _)| rec.id).map(|(_, found)| found));
    }
    Ok(Above::default())
}

fn kept<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    found: &[&Found],
) -> Result<BTreeSet<RecordId>, ExplainError<E::Error>> {
    let mut ids = BTreeSet::new();
    for found in found {
        let at = reader.keep((*found).clone())?;
        ids.extend(at.map(|at| reader.records[at].is.id));
    }
    Ok(ids)
}
