//! A trace as a tree.

use std::collections::BTreeMap;

use deed_record::{RecordId, Ruling, Status};

use super::{
    Style,
    page::{Page, Paint},
    phrases::{done_to, spoken, who},
    text::{name, width},
};
use crate::{
    Step, Trace,
    words::{beside, moment},
};

/// Deeper steps are drawn at this depth.
const DEEPEST: usize = 12;

/// Every step below the one it is part of, in the order of time, then what is missing.
pub fn trace(trace: &Trace, style: Style<'_>) -> String {
    let mut page = Page::wide(style);
    let (Some(first), Some(last)) = (trace.steps.first(), trace.steps.last()) else {
        return page.finish();
    };
    let count = |count: usize, one: &str| {
        if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
    };
    let gaps = if trace.gaps.is_empty() { "no gaps".to_owned() } else { count(trace.gaps.len(), "gap") };
    page.headline(
        &format!("trace {}", trace.trace_id),
        &format!(
            "{}, {gaps}, {} to {}",
            count(trace.steps.len(), "step"),
            moment(first.time),
            beside(last.time, first.time)
        ),
    );
    let mut below: BTreeMap<Option<RecordId>, Vec<&Step>> = BTreeMap::new();
    for step in &trace.steps {
        below.entry(step.parent).or_default().push(step);
    }
    let mut tenants: Vec<&str> = trace.steps.iter().map(|step| &*step.tenant).collect();
    tenants.sort_unstable();
    tenants.dedup();
    for tenant in &tenants {
        page.blank();
        if tenants.len() > 1 {
            page.line(0, &[(&format!("tenant {tenant}"), page.width(), Paint::Strong)]);
        }
        let roots: Vec<&Step> =
            below.get(&None).into_iter().flatten().copied().filter(|step| step.tenant == **tenant).collect();
        branch(&mut page, &below, &roots, style);
    }
    if !trace.gaps.is_empty() {
        page.blank();
        for (at, gap) in trace.gaps.iter().enumerate() {
            let step = gap.step.map(|id| format!(" ({id})")).unwrap_or_default();
            let when = gap.time.map(|time| format!("{} ", beside(time, first.time))).unwrap_or_default();
            page.free(if at == 0 { "missing" } else { "" }, &format!("{when}{}{step}", gap.reason));
        }
    }
    if style.program.is_empty() {
        return page.finish();
    }
    page.blank();
    // What most deserves a look: the last thing that did not simply succeed, else the last.
    let done = |step: &&Step| step.outcome.as_ref().is_some_and(|outcome| outcome.status == Status::Success);
    let acts = || trace.steps.iter().filter(|step| step.kind.is_action());
    let telling =
        acts().rev().find(|step| !done(step) && step.outcome.is_some()).or_else(|| acts().next_back());
    let mut next: Vec<String> =
        telling.map(|step| style.suggest(&format!("explain {}", step.id))).into_iter().collect();
    next.push(style.suggest(&format!("find --trace {}", trace.trace_id)));
    page.words("next", &next);
    page.finish()
}

/// Draws `roots` and everything below them, without recursion: a trace may be deep.
fn branch(
    page: &mut Page,
    below: &BTreeMap<Option<RecordId>, Vec<&Step>>,
    roots: &[&Step],
    style: Style<'_>,
) {
    let mut todo: Vec<(&Step, Vec<bool>)> = roots.iter().rev().map(|step| (*step, Vec::new())).collect();
    while let Some((step, open)) = todo.pop() {
        line(page, step, &rails(&open), style);
        let children = below.get(&Some(step.id)).map_or(&[][..], Vec::as_slice);
        for (from_last, child) in children.iter().rev().enumerate() {
            let mut open = open.clone();
            if open.len() < DEEPEST {
                open.push(from_last > 0);
            }
            todo.push((child, open));
        }
    }
}

/// The lines that join a step to those above it; `open` says at which depths more is to come.
fn rails(open: &[bool]) -> String {
    let Some((last, above)) = open.split_last() else {
        return String::new();
    };
    let above: String = above.iter().map(|more| if *more { "│ " } else { "  " }).collect();
    above + if *last { "├ " } else { "└ " }
}

fn line(page: &mut Page, step: &Step, rails: &str, style: Style<'_>) {
    let Columns { time, sort: sorts, what: whats, who: whos, end: ends } = Columns::of(page.width());
    let sort = step.step_type.map_or(step.kind.as_str(), |sort| sort.as_str());
    let (end, paint) = ending(step);
    // Where there is no room for both, how it ended says more than what was decided.
    let end = if end.len() > ends { end.rsplit(", ").next().unwrap_or(&end) } else { &end };
    page.line(
        0,
        &[
            (&step.time.to_string()[11..10 + time], time, Paint::Faint),
            (&spoken(sort), sorts, Paint::Plain),
            (&what(step, rails, whats), whats, Paint::Strong),
            (&step.executor.as_ref().map_or("-".to_owned(), who), whos, Paint::Plain),
            // The last one needs no space behind it.
            (end, ends + 1, paint),
        ],
    );
    if style.verbose {
        let asked = step.initiator.as_ref().map(|asked| format!(", for {}", who(asked))).unwrap_or_default();
        let with = step.credential.as_ref().map(|with| format!(", with {with}")).unwrap_or_default();
        page.behind(&format!("{} ({}, {} by {}{asked}{with})", step.id, step.kind, step.basis, step.source));
        for other in &step.counterparts {
            let also = if other.joined { "also told by" } else { "perhaps told by" };
            page.behind(&format!("{also} {}: {} ({})", other.system, other.record, other.how));
        }
    }
}

/// How wide the columns of a step are.
struct Columns {
    time: usize,
    sort: usize,
    what: usize,
    who: usize,
    end: usize,
}

impl Columns {
    /// What a narrow screen has no room for is left out, the least telling first.
    fn of(width: usize) -> Self {
        let time = if width >= 90 { 13 } else { 9 };
        let sort = if width >= 80 { 14 } else { 0 };
        let end = if width >= 80 { 20 } else { 10 };
        let who = match width {
            100.. => 14 + (width - 100) / 3,
            60.. => 14,
            _ => 0,
        };
        Columns { time, sort, what: width - time - sort - who - end, who, end }
    }
}

/// What was done, to what, behind the lines that join it to those above.
fn what(step: &Step, rails: &str, columns: usize) -> String {
    let tool = step.tool.as_ref().map(|tool| match &tool.server {
        Some(server) => format!("{server}/{}", tool.name),
        None => tool.name.clone(),
    });
    let what = tool.or_else(|| step.operation.clone()).or_else(|| step.task.clone());
    let what = what.unwrap_or_else(|| spoken(step.kind.as_str()));
    match &step.resource {
        Some(resource) => {
            let room = columns.saturating_sub(1 + width(rails));
            format!("{rails}{}", done_to(&name(&what), &name(&resource.uri), room))
        }
        None => format!("{rails}{}", name(&what)),
    }
}

/// What was decided, and how it ended.
fn ending(step: &Step) -> (String, Paint) {
    let decided = step.decision.as_ref().map(|decision| match decision.effect {
        Ruling::Allow => ("allowed", Paint::Good),
        Ruling::Deny => ("denied", Paint::Bad),
        Ruling::StepUp => ("step up", Paint::Doubtful),
    });
    let ended = step.outcome.as_ref().map(|outcome| {
        let paint = if outcome.status == Status::Success { Paint::Good } else { Paint::Bad };
        (spoken(outcome.status.as_str()), paint)
    });
    let ended = ended.or(step.answer.map(|answer| (answer.as_str().to_owned(), Paint::Plain)));
    match (decided, ended) {
        (Some((decided, _)), Some((ended, paint))) if decided != ended => {
            (format!("{decided}, {ended}"), paint)
        }
        (_, Some(ended)) => ended,
        (Some((decided, paint)), None) => (decided.to_owned(), paint),
        (None, None) => ("-".to_owned(), Paint::Faint),
    }
}
