//! How the action ended.

use std::{cmp::Reverse, collections::BTreeMap};

use deed_record::{Basis, Outcome, RecordId, Status, Timestamp};

use crate::{
    case::{Case, Rec},
    credential::agreed,
    words::Edge,
};

/// A later action that says it undid this one, or tried it again.
pub(crate) struct Later<'c> {
    pub(crate) rec: &'c Rec<'c>,
    pub(crate) action: RecordId,
    pub(crate) status: Status,
    pub(crate) edge: Edge,
    pub(crate) how: String,
}

/// How it ended, and everything that was said about it.
pub(crate) struct Ended<'c> {
    /// What stands; `None` where nothing was said.
    pub(crate) stands: Option<(&'c Rec<'c>, &'c Outcome<'c>)>,
    /// By event time.
    pub(crate) said: Vec<(&'c Rec<'c>, &'c Outcome<'c>)>,
    pub(crate) edge: Edge,
    pub(crate) how: String,
    /// When it was first known to have ended, by the clock of whoever tells of the action itself.
    pub(crate) time: Option<Timestamp>,
    /// By event time.
    pub(crate) undone_by: Vec<Later<'c>>,
    pub(crate) retried_by: Vec<Later<'c>>,
}

impl<'c> Ended<'c> {
    /// How the action of `case` ended.
    pub(crate) fn of(case: &'c Case<'c>) -> Self {
        let mut said: Vec<(&Rec<'c>, &Outcome<'c>)> = case
            .of_action()
            .chain(case.told())
            .filter_map(|rec| rec.is.outcome.as_ref().map(|outcome| (rec, outcome)))
            .collect();
        said.sort_by_key(|(rec, _)| (rec.is.time, rec.is.id));
        let known =
            |said: &&(&Rec<'c>, &Outcome<'c>)| said.1.status != Status::Unknown && !case.is_told(said.0);
        let time = said.iter().find(known).map(|(rec, _)| rec.is.time);
        let undone_by = later(case, |outcome| outcome.compensates);
        let retried_by = later(case, |outcome| outcome.retry_of);
        let Some((rec, outcome)) = of_call_or_parts(case, &said) else {
            let how = "no record says how it ended".to_owned();
            return Ended { stands: None, said, edge: Edge::Missing, how, time, undone_by, retried_by };
        };
        let agreeing: Vec<&Rec<'c>> =
            said.iter().filter(|(_, other)| other.status == outcome.status).map(|(rec, _)| *rec).collect();
        let (edge, mut how) = agreed(&agreeing);
        // What another system logged of the same call is a second word on it.
        let told = agreeing.iter().any(|rec| case.is_told(rec));
        let edge = if rec.is.basis == Basis::Enforced && !told { Edge::Proven } else { edge };
        let mut otherwise: Vec<String> = Vec::new();
        for (other, ending) in &said {
            if ending.status != outcome.status && ending.status != Status::Unknown {
                let of_part = if case.is_of_part(other) { " of a part" } else { "" };
                let says = format!("; {} says `{}`{of_part}", other.said_by(), ending.status);
                if !otherwise.contains(&says) {
                    otherwise.push(says);
                }
            }
        }
        how.extend(otherwise);
        Ended { stands: Some((rec, outcome)), said, edge, how, time, undone_by, retried_by }
    }

    /// The status that stands.
    pub(crate) fn status(&self) -> Status {
        self.stands.map_or(Status::Unknown, |(_, outcome)| outcome.status)
    }
}

/// Ends of other actions that `names` one of the ids which the action of `case` goes by; one for each action.
fn later<'c>(case: &'c Case<'c>, names: impl Fn(&Outcome<'c>) -> Option<RecordId>) -> Vec<Later<'c>> {
    let mut found: BTreeMap<RecordId, Vec<(&'c Rec<'c>, &'c Outcome<'c>)>> = BTreeMap::new();
    for rec in &case.records {
        let outcome = rec.is.outcome.as_ref().filter(|outcome| {
            rec.is.kind.is_action() && names(outcome).is_some_and(|id| case.family.contains(&id))
        });
        let action = rec.is.action.unwrap_or(rec.is.id);
        if let Some(outcome) = outcome.filter(|_| !case.family.contains(&action)) {
            found.entry(action).or_default().push((rec, outcome));
        }
    }
    let mut all: Vec<Later<'c>> = found
        .into_iter()
        .filter_map(|(action, said)| {
            let (rec, outcome) = standing(&said)?;
            let edge = if rec.is.basis == Basis::Enforced { Edge::Proven } else { Edge::Asserted };
            Some(Later { rec, action, status: outcome.status, edge, how: rec.said_by() })
        })
        .collect();
    all.sort_by_key(|later| (later.rec.is.time, later.action));
    all
}

/// Which word on how the action of `case` ended stands. Parts of it tell where nobody knows the end of the whole: then of
/// those the one that succeeded, for that took effect.
fn of_call_or_parts<'c>(
    case: &Case<'c>,
    said: &[(&'c Rec<'c>, &'c Outcome<'c>)],
) -> Option<(&'c Rec<'c>, &'c Outcome<'c>)> {
    let (parts, whole): (Vec<_>, Vec<_>) = said.iter().copied().partition(|(rec, _)| case.is_of_part(rec));
    let done: Vec<_> =
        parts.iter().copied().filter(|(_, outcome)| outcome.status == Status::Success).collect();
    let of_whole = standing(&whole);
    let known = of_whole.filter(|(_, outcome)| outcome.status != Status::Unknown);
    known.or_else(|| standing(&done)).or_else(|| standing(said))
}

/// Which of several words on how an action ended stands: a real outcome before `unknown` (D11), a firm
/// one before a party's word, a later one before an earlier.
pub(crate) fn standing<'r, 'c>(
    said: &[(&'r Rec<'c>, &'r Outcome<'c>)],
) -> Option<(&'r Rec<'c>, &'r Outcome<'c>)> {
    let weight = |(rec, outcome): &(&Rec<'c>, &Outcome<'c>)| {
        (outcome.status == Status::Unknown, !rec.firm(), Reverse((rec.is.time, rec.is.id)))
    };
    said.iter().min_by_key(|said| weight(said)).copied()
}
