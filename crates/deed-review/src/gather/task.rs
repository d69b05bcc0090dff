//! The task that an action is part of: by its name, else by the spans above it in its trace.

use std::collections::BTreeSet;

use deed_record::{Kind, RecordId, Skeleton, SpanId};

use super::{Family, Reader, above::MOST_ABOVE, counterpart::MOST_IN_TRACE, spans::Spans};
use crate::{Evidence, ExplainError, Found};

/// The tasks that an action may be part of, of those that say what they mean to do.
#[derive(Default)]
pub(super) struct OfTask {
    pub(super) tasks: BTreeSet<RecordId>,
    /// The spans by which that is known, or is not, for what stands in them may come later.
    pub(super) passed: BTreeSet<SpanId>,
}

/// The task of the action of `family`: one of the name that it says, in its trace; else the nearest span above it that is a
/// task, or says of which one it is. A task that says nothing of what it means to do is part of the one above it.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
) -> Result<OfTask, ExplainError<E::Error>> {
    let mut of = OfTask::default();
    let placed = |head: &&Skeleton<'_>| head.task.is_some() || head.parent_span_id.is_some();
    let Some(head) = reader.head(family).filter(placed).cloned() else { return Ok(of) };
    let Some(trace) = head.trace_id else { return Ok(of) };
    let found = reader.in_trace(trace)?;
    if found.len() >= MOST_IN_TRACE {
        return Ok(of);
    }
    let spans = Spans::of(&found, family, &head);
    let tasks = || spans.all().filter(|(rec, _)| rec.kind == Kind::Task);
    if !tasks().any(|(rec, _)| says(rec)) {
        return Ok(of);
    }
    let named = |name: Option<&str>| -> Vec<(&Skeleton<'_>, &Found)> {
        tasks().filter(|(rec, _)| name.is_some() && rec.task.as_deref() == name).collect()
    };
    let mut found = named(head.task.as_deref());
    let mut above = head.parent_span_id;
    while !found.iter().any(|(rec, _)| says(rec))
        && let Some(span) = above
        && of.passed.len() < MOST_ABOVE
        && of.passed.insert(span)
    {
        let here: Vec<_> = spans.at(span).collect();
        found = here.iter().filter(|(rec, _)| rec.kind == Kind::Task).copied().collect();
        if !found.iter().any(|(rec, _)| says(rec)) {
            found = here.iter().flat_map(|(rec, _)| named(rec.task.as_deref())).collect();
        }
        above = spans.above(span);
    }
    if found.iter().any(|(rec, _)| says(rec)) {
        for (_, found) in found {
            let kept = reader.keep(found.clone())?;
            of.tasks.extend(kept.map(|at| reader.records[at].is.id));
        }
    }
    Ok(of)
}

/// Whether a task says what it means to do.
pub(crate) fn says(task: &Skeleton<'_>) -> bool {
    task.kind == Kind::Task && task.terms.as_ref().is_some_and(|terms| !terms.scopes.is_empty())
}
