//! Whether it was done when it may be.

use deed_record::{Kind, Timestamp};

use super::Rule;
use crate::{
    approvals::Worth,
    explanation::Finding,
    scope::matches,
    verb::changes,
    verdict::Links,
    warrant::WarrantKind,
    words::{Severity, moment},
};

pub(super) const OUTSIDE_CHANGE_WINDOW: Rule = Rule {
    name: "outside-change-window",
    means: "something was changed at a time at which it is not to be",
    remedy: "ask why it could not wait; have policy step up to a human outside the window",
    controls: &["CM-3"],
};

pub(super) fn findings(links: &Links<'_>, found: &mut Vec<Finding>) {
    found.extend(outside(links).map(|reason| OUTSIDE_CHANGE_WINDOW.finding(Severity::Medium, reason)));
}

fn outside(links: &Links<'_>) -> Option<String> {
    let case = links.case;
    let controlled = case.controlled.as_ref().filter(|controlled| !controlled.change_windows.is_empty())?;
    let head = &case.head().is;
    if changes(head) != Some(true) || links.took_effect() != Some(true) {
        return None;
    }
    // What an intent announces is done when it ends.
    let done = if head.kind == Kind::Intent { links.ended.time? } else { head.time };
    let windows = &controlled.change_windows;
    if windows.iter().any(|window| window.covers(done)) || links.is_let_as_it_is() || is_excepted(links, done)
    {
        return None;
    }
    const SHOWN: usize = 3;
    let mut shown: Vec<String> =
        windows.iter().take(SHOWN).map(|window| format!("`{}`", window.as_str())).collect();
    if windows.len() > SHOWN {
        shown.push(format!("{} more windows", windows.len() - SHOWN));
    }
    Some(format!(
        "`{}` may be changed in {} (UTC), and was at {}",
        controlled.matches,
        shown.join(", "),
        moment(done)
    ))
}

impl Links<'_> {
    /// Whether somebody who may, approved this very action, whenever it is done.
    pub(crate) fn is_let_as_it_is(&self) -> bool {
        let by_human = self.warrant.as_ref().is_ok_and(|warrant| warrant.kind == WarrantKind::Human);
        by_human
            || self.rights.answers.iter().any(|answer| {
                let names = answer.claim.rec.is.action.is_some_and(|id| self.case.family.contains(&id));
                names && answer.firm && answer.worth == Worth::Counts
            })
    }
}

/// Whether the action relies on an exception that held at `done`, for whoever acted and what was acted upon.
fn is_excepted(links: &Links<'_>, done: Timestamp) -> bool {
    let case = links.case;
    let head = &case.head().is;
    let Some(exception) = head.exception.and_then(|id| case.get(id)) else { return false };
    let (given, terms) = (&exception.is, exception.is.terms.as_ref());
    let acting = links.people.accounts();
    let is_theirs = |account| acting.iter().any(|theirs| case.is_same(*theirs, account));
    let subject = terms.and_then(|terms| terms.subject.as_ref()).and_then(|party| party.account);
    let by = terms.and_then(|terms| terms.by.as_ref()).and_then(|party| party.account);
    let from = terms.and_then(|terms| terms.not_before).unwrap_or(given.time);
    given.kind == Kind::Exception
        && exception.firm()
        && from.max(given.time) <= done
        && terms.and_then(|terms| terms.expires).is_none_or(|end| done < end)
        && subject.is_none_or(is_theirs)
        && by.is_some_and(|by| !is_theirs(by))
        && given
            .resource
            .as_ref()
            .is_none_or(|bound| head.resource.as_ref().is_some_and(|used| matches(&bound.uri, &used.uri)))
        && given
            .permission
            .as_deref()
            .is_none_or(|bound| head.permission.as_deref().is_some_and(|used| matches(bound, used)))
}
