//! Which call what another system logged can be of.

use std::collections::BTreeSet;

use deed_record::{Ruling, Skeleton, SpanId, TraceId};

use crate::{Found, case::voice_of};

/// Where an action stands among the records of its trace.
pub(super) struct Place {
    trace: Option<TraceId>,
    tool: Option<String>,
    /// The spans above it, as far as they are recorded.
    above: BTreeSet<SpanId>,
    /// Spans that the same system names above what else it logged.
    told: BTreeSet<SpanId>,
}

impl Place {
    pub(super) fn of(head: &Skeleton<'_>, in_trace: &[Found]) -> Self {
        let records = in_trace.iter().filter_map(|found| found.sealed.skeleton().ok());
        let records: Vec<Skeleton<'_>> = records.filter(|rec| rec.tenant == head.tenant).collect();
        let mut above = BTreeSet::new();
        let mut todo: Vec<SpanId> = head.parent_span_id.into_iter().collect();
        while let Some(span) = todo.pop() {
            if above.insert(span) {
                let own = records.iter().filter(|rec| rec.span_id == Some(span));
                todo.extend(own.filter_map(|rec| rec.parent_span_id));
            }
        }
        let same = records.iter().filter(|rec| rec.id != head.id && voice_of(rec) == voice_of(head));
        let told = same.filter_map(|rec| rec.parent_span_id).collect();
        Place { trace: head.trace_id, tool: tool(head), above, told }
    }

    /// Whether the call that `intent` announces may be the one that the action is of.
    pub(super) fn may_be_of(&self, intent: &Skeleton<'_>) -> bool {
        let denied = intent.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::Deny);
        let other_tool = self.tool.is_some() && tool(intent).is_some() && self.tool != tool(intent);
        let span = intent.span_id.filter(|_| intent.trace_id == self.trace);
        // A system that names a call's span names it above all that it logs of the call.
        let elsewhere = span.is_some_and(|span| match self.above.is_empty() {
            true => self.told.contains(&span),
            false => !self.above.contains(&span),
        });
        !denied && !other_tool && !elsewhere
    }
}

fn tool(rec: &Skeleton<'_>) -> Option<String> {
    rec.tool.as_ref().map(|tool| tool.name.to_string())
}
