//! Whether it was done where, with what, and for what it was meant to be.

use std::collections::BTreeSet;

use deed_record::{Basis, Party};

use super::{Rule, grave};
use crate::{
    Declared,
    case::PUBLIC,
    claim::Claim,
    explanation::Finding,
    scope::matches,
    verdict::Links,
    words::{Edge, Severity, moment},
};

pub(super) const ENVIRONMENT_CROSSING: Rule = Rule {
    name: "environment-crossing",
    means: "somebody, or a credential, that belongs to one environment acted in another",
    remedy: "use identities and credentials of their own in each environment",
    controls: &["NHI8:2025", "PR.IR-01", "AC-4"],
};
pub(super) const OUTSIDE_CONTRACT: Rule = Rule {
    name: "outside-contract",
    means: "a third party asked, acted or handed on outside what it was engaged for, or after that had ended",
    remedy: "take away what reaches beyond the contract; ask the vendor",
    controls: &["NHI3:2025", "GV.SC-07", "AC-20"],
};
pub(super) const BEYOND_CLEARANCE: Rule = Rule {
    name: "beyond-clearance",
    means: "somebody acted upon what is classified beyond what they, or whoever they acted for, are cleared for",
    remedy: "take away what lets them reach it; have policy deny or step up by `resource.classification`",
    controls: &["PR.AA-05", "AC-3", "AC-6"],
};
pub(super) const OUTSIDE_TASK: Rule = Rule {
    name: "outside-task",
    means: "the task had said what it would do, and this is not among it",
    remedy: "read the trace from the task on (`deed trace`): was the agent misled?",
    controls: &["ASI01", "DE.CM-09", "AC-6"],
};
pub(super) const TOOL_CHANGED: Rule = Rule {
    name: "tool-changed",
    means: "the definition of the tool had changed since it was approved, and the call was held",
    remedy: "look at the difference, then approve or remove the tool (`deed approvals`)",
    controls: &["ASI04", "ID.RA-09", "CM-3"],
};

pub(super) const TOOL_NOT_APPROVED: Rule = Rule {
    name: "tool-not-approved",
    means: "a tool was called whose definition had changed, and nobody had approved that",
    remedy: "look at the difference (`deed approvals`); have the tool called through the gateway, which holds such calls",
    controls: &["ASI04", "ID.RA-09", "CM-3"],
};

pub(super) const RESTRICTED_FIELD_READ: Rule = Rule {
    name: "restricted-field-read",
    means: "fields that the inventory calls restricted were given out, and no human had approved it",
    remedy: "have policy mask them (`@mask`), or ask a human first (`@effect(\"step_up\")`)",
    controls: &["PR.AA-05", "AC-4", "AC-6"],
};

/// The code by which the gateway says that a tool's definition changed.
pub(crate) const CHANGED: &str = "tool_changed";

pub(super) fn findings(links: &Links<'_>, found: &mut Vec<Finding>) {
    found.extend(crossing(links).map(|reason| ENVIRONMENT_CROSSING.finding(Severity::Medium, reason)));
    found.extend(beyond_contract(links).map(|reason| OUTSIDE_CONTRACT.finding(grave(links), reason)));
    found.extend(beyond_clearance(links).map(|reason| BEYOND_CLEARANCE.finding(grave(links), reason)));
    found.extend(beyond_task(links).map(|reason| OUTSIDE_TASK.finding(grave(links), reason)));
    found.extend(not_approved(links).map(|reason| TOOL_NOT_APPROVED.finding(Severity::Medium, reason)));
    found.extend(restricted(links).map(|reason| RESTRICTED_FIELD_READ.finding(Severity::High, reason)));
    let codes = links.ended.said.iter().filter_map(|(_, outcome)| outcome.code.as_deref());
    if codes.into_iter().any(|code| code == CHANGED) {
        let reason = "the definition of the tool changed since it was approved".to_owned();
        found.push(TOOL_CHANGED.finding(Severity::Medium, reason));
    }
}

/// Why the tool that was called was not the one that is approved.
fn not_approved(links: &Links<'_>) -> Option<String> {
    let held = links.case.get(links.case.beside.held_tool?)?;
    let tool = held.is.tool.as_ref().filter(|_| links.took_effect() != Some(false))?;
    let server = tool.server.as_deref().unwrap_or_default();
    Some(format!(
        "the definition of `{server}/{}` had changed at {} (record {}), and nobody had approved it",
        tool.name,
        moment(held.is.time),
        held.is.id
    ))
}

/// Which restricted fields were given out, as somebody tells who is no party to it. The gateway names those alone that
/// were restricted when it decided; what others name is held against the inventory.
fn restricted(links: &Links<'_>) -> Option<String> {
    if links.is_let_as_it_is() {
        return None;
    }
    let declared = links.case.controlled.iter().flat_map(|controlled| &controlled.restricted_fields);
    let declared: BTreeSet<&str> = declared.map(|field| &**field).collect();
    let mut given: BTreeSet<&str> = BTreeSet::new();
    let mut told_by: BTreeSet<String> = BTreeSet::new();
    for (rec, outcome) in links.ended.said.iter().filter(|(rec, _)| rec.firm()) {
        for field in outcome.fields.iter().map(|field| &**field) {
            if rec.is.basis == Basis::Enforced || declared.contains(field) {
                given.insert(field);
                told_by.insert(rec.said_by());
            }
        }
    }
    let (given, told_by): (Vec<&str>, Vec<String>) =
        (given.into_iter().collect(), told_by.into_iter().collect());
    (!given.is_empty()).then(|| {
        format!(
            "`{}` was given out, as {} tells, and nobody had approved that",
            given.join("`, `"),
            told_by.join(" and ")
        )
    })
}

fn crossing(links: &Links<'_>) -> Option<String> {
    let here = links.case.of_action().find_map(|rec| rec.is.environment.as_deref())?;
    let acting = links.people.executor.party.and_then(|party| links.case.declared(party));
    if let Some(acting) = acting
        && !acting.environments.is_empty()
        && !acting.environments.iter().any(|theirs| theirs == here)
    {
        return Some(format!(
            "`{}` belongs to `{}`, and acted in `{here}`",
            acting.key,
            acting.environments.join("`, `")
        ));
    }
    let own = links.lineage.own()?;
    let made: BTreeSet<&str> = own
        .issued_before(links.case.time())
        .filter(|claim| claim.rec.firm())
        .filter_map(|claim: &Claim<'_>| claim.rec.is.environment.as_deref())
        .collect();
    // Issued in several, it belongs to none of them.
    let only = made.first().filter(|made_in| made.len() == 1 && **made_in != here)?;
    Some(format!("the credential was issued in `{only}`, and used in `{here}`"))
}

/// Who asked, where that is said. Who had the credential issued need not have asked for this.
fn asking<'c>(links: &Links<'c>) -> Option<&'c Party<'c>> {
    let initiator = &links.people.initiator;
    initiator.party.filter(|_| initiator.edge != Edge::Inferred)
}

fn beyond_contract(links: &Links<'_>) -> Option<String> {
    let people = &links.people;
    let told = people.executor.party.into_iter().chain(asking(links)).map(|party| (party, None));
    let between = people.chain.iter().filter(|hop| hop.edge != Edge::Inferred);
    let told = told.chain(between.map(|hop| (hop.party, None)));
    // Whoever opened a session, and with that another, did what was done in it.
    let asked = people.initiator.party.filter(|_| people.initiator.by_session);
    let asked = asked.map(|party| (party, Some(&*people.initiator.how)));
    let opened = people.chain.iter().filter(|hop| hop.by_session);
    let opened = opened.map(|hop| (hop.party, Some(&*hop.how))).chain(asked);
    told.chain(opened).find_map(|(party, how)| {
        let reason = beyond_contract_of(links, links.case.declared(party)?)?;
        Some(how.map_or_else(|| reason.clone(), |how| format!("{reason}; inferred: they {how}")))
    })
}

fn beyond_contract_of(links: &Links<'_>, acting: &Declared) -> Option<String> {
    let contract = acting.contract.as_ref()?;
    let who = acting.vendor.as_deref().unwrap_or(&acting.key);
    if let Some(end) = contract.until.filter(|end| links.case.time() >= *end) {
        return Some(format!("the contract with `{who}` had ended at {}", moment(end)));
    }
    let covers =
        |bounds: &[String], used: &str| bounds.is_empty() || bounds.iter().any(|bound| matches(bound, used));
    let permission = links.case.of_action().find_map(|rec| rec.is.permission.as_deref());
    if let Some(used) = permission.filter(|used| !covers(&contract.scopes, used)) {
        return Some(format!("`{used}` is not among what the contract with `{who}` covers"));
    }
    let resource = links.case.of_action().find_map(|rec| rec.is.resource.as_ref());
    let beyond = resource.filter(|used| !covers(&contract.resources, &used.uri))?;
    Some(format!("`{}` is not among what the contract with `{who}` covers", beyond.uri))
}

fn beyond_clearance(links: &Links<'_>) -> Option<String> {
    let case = links.case;
    let sealed = case.head().is.resource.as_ref().filter(|_| case.head().firm());
    let sealed = sealed.and_then(|resource| resource.classification.as_deref());
    let declared = case.controlled.as_ref().and_then(|controlled| controlled.classification.as_deref());
    let classified = declared.or(sealed).filter(|classified| *classified != PUBLIC)?;
    let parties = [asking(links), links.people.executor.party];
    let uncleared = |who: &&Declared| {
        !who.clearance.is_empty() && !who.clearance.iter().any(|cleared| cleared == classified)
    };
    let who = parties.into_iter().flatten().filter_map(|party| case.declared(party)).find(uncleared)?;
    Some(format!(
        "what was acted upon is `{classified}`, and `{}` is cleared for `{}`",
        who.key,
        who.clearance.join("`, `")
    ))
}

fn beyond_task(links: &Links<'_>) -> Option<String> {
    let case = links.case;
    let mut tasks = case.beside.tasks.iter().filter_map(|id| case.get(*id));
    // Two tasks of one name in one trace: which of them it is part of is not known.
    let task = tasks.next().filter(|_| tasks.next().is_none())?;
    let meant = &task.is.terms.as_ref()?.scopes;
    let tool = case.of_action().find_map(|rec| rec.is.tool.as_ref());
    let tool = tool.map(|tool| match &tool.server {
        Some(server) => format!("{server}/{}", tool.name),
        None => tool.name.to_string(),
    });
    let permission = case.of_action().find_map(|rec| rec.is.permission.as_deref()).map(str::to_owned);
    let used: Vec<String> = tool.into_iter().chain(permission).collect();
    let first = used.first()?;
    let within = used.iter().any(|used| meant.iter().any(|scope| matches(scope, used)));
    let named = case.head().is.task.is_some() && case.head().is.task == task.is.task;
    let which = if named { "the task" } else { "the task that it stands under in its trace" };
    (!within)
        .then(|| format!("{which} said what it would do, and `{first}` is not among it ({})", task.said_by()))
}
