//! What began in a trace, by where it stands there.

use std::collections::BTreeSet;

use deed_record::{Kind, RecordId, Skeleton, SpanId};

use super::Family;
use crate::{Found, case::corrects};

/// What began in the tenant of an action among the records of its trace, but for the action itself and for readings that were
/// corrected.
pub(super) struct Spans<'f>(Vec<(Skeleton<'f>, &'f Found)>);

impl<'f> Spans<'f> {
    /// What began beside the action of `family`, among `found`.
    pub(super) fn of(found: &'f [Found], family: &Family, head: &Skeleton<'_>) -> Self {
        let read = found.iter().filter_map(|found| Some((found.sealed.skeleton().ok()?, found)));
        let is_other = |rec: &Skeleton<'_>| rec.tenant == head.tenant && !family.ids.contains(&rec.id);
        let is_span = |rec: &Skeleton<'_>| rec.kind.is_action() && rec.kind != Kind::Outcome;
        let mut spans: Vec<_> = read.filter(|(rec, _)| is_other(rec) && is_span(rec)).collect();
        let corrected = |later: &Skeleton<'_>| {
            let earlier = spans.iter().find(|(earlier, _)| Some(earlier.id) == later.supersedes);
            earlier.filter(|(earlier, _)| corrects(later, earlier)).map(|(earlier, _)| earlier.id)
        };
        let corrected: BTreeSet<RecordId> = spans.iter().filter_map(|(later, _)| corrected(later)).collect();
        spans.retain(|(rec, _)| !corrected.contains(&rec.id));
        Spans(spans)
    }

    /// All of it.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Skeleton<'f>, &'f Found)> {
        self.0.iter().map(|(rec, found)| (rec, *found))
    }

    /// The records of one span.
    pub(super) fn at(&self, span: SpanId) -> impl Iterator<Item = (&Skeleton<'f>, &'f Found)> {
        self.all().filter(move |(rec, _)| rec.span_id == Some(span))
    }

    /// The span that `span` is part of: one that is said to be in two places is in neither.
    pub(super) fn above(&self, span: SpanId) -> Option<SpanId> {
        let mut parents: BTreeSet<_> = self.at(span).filter_map(|(rec, _)| rec.parent_span_id).collect();
        parents.pop_first().filter(|_| parents.is_empty())
    }
}
