//! Which step is part of which.

use std::collections::{BTreeMap, BTreeSet};

use deed_record::{Kind, RecordId, Ruling, SpanId, Status};

use super::{Gap, Step, StepDecision, StepOutcome, Told, gap};
use crate::{
    case::Rec,
    names::Names,
    outcome::standing,
    view::{resource, tool},
    words::GapKind,
};

/// The tree of a trace.
pub(super) struct Steps<'r, 'c> {
    /// By event time.
    steps: Vec<&'r Rec<'c>>,
    /// Outcomes of steps, by the step's place.
    outcomes: BTreeMap<usize, Vec<&'r Rec<'c>>>,
    parents: Vec<Option<usize>>,
    gaps: Vec<Gap>,
    told: Told,
}

impl<'r, 'c> Steps<'r, 'c> {
    /// Orders `records` into a tree.
    pub(super) fn of(records: &'r [Rec<'c>], told: Told) -> Self {
        let places = |records: &[&'r Rec<'c>]| -> BTreeMap<(&'r str, RecordId), usize> {
            records.iter().enumerate().map(|(at, rec)| ((&*rec.is.tenant, rec.is.id), at)).collect()
        };
        let all_at = places(&records.iter().collect::<Vec<_>>());
        let is_again = |rec: &Rec<'_>| {
            let action = rec.is.action.and_then(|action| all_at.get(&(&*rec.is.tenant, action)));
            action.is_some_and(|at| is_same_event(rec, &records[*at]))
        };
        // What another system logged of a call, or the same one in other words, is no step beside it, and may tell how it
        // ended.
        let ends = |rec: &Rec<'_>| {
            rec.is.kind == Kind::Outcome || told.calls.contains_key(&rec.is.id) || is_again(rec)
        };
        let (ends, others): (Vec<_>, Vec<_>) = records.iter().partition(|rec| ends(rec));
        let others_at = places(&others);
        let ended = |rec: &Rec<'_>| told.calls.get(&rec.is.id).copied().or(rec.is.action);
        let (ends, orphans): (Vec<_>, Vec<_>) = ends.into_iter().partition(|rec| {
            ended(rec).is_some_and(|action| others_at.contains_key(&(&*rec.is.tenant, action)))
        });
        let ends: Vec<_> = ends.into_iter().map(|rec| (rec, ended(rec))).collect();
        let mut this =
            Steps { steps: others, outcomes: BTreeMap::new(), parents: Vec::new(), gaps: Vec::new(), told };
        for orphan in orphans.iter().filter(|rec| rec.is.kind == Kind::Outcome) {
            this.gaps.push(gap(GapKind::NoAction, Some(orphan), "this outcome's action is not in the trace"));
        }
        this.steps.extend(orphans);
        this.steps.sort_by_key(|rec| (rec.is.time, rec.is.id));
        let at = places(&this.steps);
        let mut spans: BTreeMap<(&str, SpanId), usize> = BTreeMap::new();
        for (end, action) in ends {
            if let Some(step) = action.and_then(|action| at.get(&(&*end.is.tenant, action))) {
                this.outcomes.entry(*step).or_default().push(end);
                // What it did on the way is part of the call.
                if end.is.kind != Kind::Outcome
                    && let Some(span) = end.is.span_id
                {
                    spans.entry((&*end.is.tenant, span)).or_insert(*step);
                }
            }
        }
        // A part of an action is a step below it, and tells how that ended.
        for rec in this.steps.iter().copied().filter(|rec| rec.is.kind == Kind::Observation) {
            let action = rec.is.action.and_then(|action| at.get(&(&*rec.is.tenant, action)));
            if let Some(step) = action.filter(|step| this.steps[**step].is.id != rec.is.id) {
                this.outcomes.entry(*step).or_default().push(rec);
            }
        }
        this.find_parents(&at, spans);
        this.break_circles();
        this
    }

    fn find_parents<'a>(
        &mut self,
        at: &BTreeMap<(&str, RecordId), usize>,
        told: BTreeMap<(&'a str, SpanId), usize>,
    ) where
        'r: 'a,
    {
        let mut spans: BTreeMap<(&'a str, SpanId), usize> = BTreeMap::new();
        for (place, rec) in self.steps.iter().enumerate().filter(|(_, rec)| rec.is.kind.is_action()) {
            if let Some(span) = rec.is.span_id {
                spans.entry((&*rec.is.tenant, span)).or_insert(place);
            }
        }
        for (span, place) in told {
            spans.entry(span).or_insert(place);
        }
        let mut unrecorded: BTreeSet<(&str, SpanId)> = BTreeSet::new();
        for (place, rec) in self.steps.iter().enumerate() {
            let tenant = &*rec.is.tenant;
            let action = rec.is.action.map(|action| self.told.calls.get(&action).copied().unwrap_or(action));
            let of_action = action.and_then(|action| at.get(&(tenant, action)));
            // What tells of the step in other words may know better what it is part of.
            let told =
                self.outcomes.get(&place).into_iter().flatten().filter(|told| is_same_event(told, rec));
            let above = std::iter::once(rec).chain(told).filter_map(|rec| rec.is.parent_span_id);
            let above = above.map(|span| (span, spans.get(&(tenant, span))));
            let of_span = above
                .filter(|(_, parent)| *parent != Some(&place))
                .min_by_key(|(_, parent)| parent.is_none());
            let parent = of_action
                .or(of_span.and_then(|(_, parent)| parent))
                .copied()
                .filter(|parent| *parent != place);
            self.parents.push(parent);
            if let (None, Some((span, None))) = (parent, of_span)
                && unrecorded.insert((tenant, span))
            {
                self.gaps.push(gap(
                    GapKind::NoParent,
                    Some(rec),
                    format!("the step around it, span {span}, is not recorded"),
                ));
            }
        }
    }

    /// Steps that name each other as parents: the earliest of them stands alone.
    fn break_circles(&mut self) {
        /// Whether a step's way up is known to end.
        #[derive(Clone, Copy, PartialEq)]
        enum Way {
            Unknown,
            Here,
            Ends,
        }
        let mut ways = vec![Way::Unknown; self.steps.len()];
        for start in 0..self.steps.len() {
            let mut path = Vec::new();
            let mut at = Some(start);
            while let Some(place) = at
                && ways[place] == Way::Unknown
            {
                ways[place] = Way::Here;
                path.push(place);
                at = self.parents[place];
            }
            if let Some(place) = at.filter(|place| ways[*place] == Way::Here) {
                let circle = path.iter().copied().skip_while(|step| *step != place);
                // Steps are sorted by time: the smallest place is the earliest.
                let first = circle.min().unwrap_or(place);
                self.parents[first] = None;
                self.gaps.push(gap(
                    GapKind::Circle,
                    Some(self.steps[first]),
                    "this step and those above it name each other as parents",
                ));
            }
            path.into_iter().for_each(|place| ways[place] = Way::Ends);
        }
    }

    /// The steps in order, and what is missing among them.
    pub(super) fn finish(mut self, names: &Names) -> (Vec<Step>, Vec<Gap>) {
        let answered: BTreeSet<RecordId> = self
            .steps
            .iter()
            .filter(|rec| rec.is.kind == Kind::Approval)
            .filter_map(|rec| rec.is.action)
            .collect();
        let mut steps: Vec<Step> = Vec::with_capacity(self.steps.len());
        for (place, rec) in self.steps.iter().enumerate() {
            let step = self.step(place, names);
            let ruling = step.decision.as_ref().map(|decision| decision.effect);
            let open = step.outcome.as_ref().is_none_or(|outcome| outcome.status == Status::Unknown);
            if rec.is.kind == Kind::Intent && open && ruling != Some(Ruling::Deny) {
                self.gaps.push(gap(GapKind::NoOutcome, Some(rec), "no record says how this ended"));
            }
            if ruling == Some(Ruling::StepUp) && !answered.contains(&rec.is.id) {
                self.gaps.push(gap(
                    GapKind::NoAnswer,
                    Some(rec),
                    "a human was to answer, and no answer is recorded",
                ));
            }
            if rec.is.kind == Kind::Gap {
                self.gaps.push(gap(
                    GapKind::Recorded,
                    Some(rec),
                    "Deed recorded here that something is missing",
                ));
            }
            steps.push(step);
        }
        steps.sort_by_key(|step| (step.time, step.depth, step.id));
        self.gaps.sort_by_key(|gap| (gap.time, gap.step, gap.kind));
        (steps, self.gaps)
    }

    fn step(&self, place: usize, names: &Names) -> Step {
        let rec = self.steps[place];
        let is = &rec.is;
        let ends = self.outcomes.get(&place).into_iter().flatten().copied();
        let said: Vec<_> = std::iter::once(rec)
            .chain(ends)
            .filter_map(|rec| Some((rec, rec.is.outcome.as_ref()?)))
            .collect();
        let text = |text: &Option<deed_record::Text<'_>>| text.as_ref().map(|text| text.to_string());
        let by = is.terms.as_ref().and_then(|terms| terms.by.as_ref()).filter(|_| !is.kind.is_action());
        Step {
            id: is.id,
            kind: is.kind,
            step_type: is.step_type,
            parent: self.parents[place].map(|parent| self.steps[parent].is.id),
            depth: std::iter::successors(self.parents[place], |parent| self.parents[*parent]).count(),
            time: is.time,
            basis: is.basis,
            source: rec.voice().to_owned(),
            tenant: is.tenant.to_string(),
            span_id: is.span_id,
            parent_span_id: is.parent_span_id,
            session: text(&is.session),
            task: text(&is.task),
            initiator: is.initiator.as_ref().map(|party| names.who(party)),
            executor: is.executor.as_ref().or(by).map(|party| names.who(party)),
            credential: is
                .credential
                .as_ref()
                .and_then(|credential| credential.names().next())
                .map(str::to_owned),
            tool: is.tool.as_ref().map(tool),
            operation: text(&is.operation),
            permission: text(&is.permission),
            resource: is.resource.as_ref().map(resource),
            decision: is.decision.as_ref().map(|decision| StepDecision {
                effect: decision.effect,
                policies: decision.policies.iter().map(|policy| policy.to_string()).collect(),
                policy_set: text(&decision.policy_set),
            }),
            answer: is.terms.as_ref().and_then(|terms| terms.answer),
            outcome: standing(&said).map(|(rec, outcome)| StepOutcome {
                id: rec.is.id,
                status: outcome.status,
                code: text(&outcome.code),
                duration_ms: outcome.duration_ms,
                retry_of: outcome.retry_of,
                compensates: outcome.compensates,
            }),
            counterparts: self.told.counterparts.get(&is.id).cloned().unwrap_or_default(),
        }
    }
}

/// Whether both tell of the same event of the same source.
fn is_same_event(one: &Rec<'_>, other: &Rec<'_>) -> bool {
    let (Some(ours), Some(theirs)) = (&one.is.source, &other.is.source) else { return false };
    let event = (&*ours.system, ours.event_id.as_deref());
    one.is.id != other.is.id && event.1.is_some() && event == (&*theirs.system, theirs.event_id.as_deref())
}
