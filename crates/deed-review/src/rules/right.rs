//! By what right it was done, and whether it was asked for, decided, approved and ended as it should.

use deed_record::{Answer, Basis, Kind, Ruling, Status};

use super::{Rule, grave};
use crate::{
    approvals::Worth,
    explanation::Finding,
    verdict::Links,
    words::{Scope, Severity, moment},
};

pub(super) const DONE_ALTHOUGH_DENIED: Rule = Rule {
    name: "done-although-denied",
    means: "it was denied, its request was refused, or a human was to approve it and none did, and it was done all the same",
    remedy: "find the way it took; make the door that denied it the only one",
    controls: &["PR.AA-05", "AC-3"],
};
pub(crate) const DENIED_THEN_DONE: Rule = Rule {
    name: "denied-then-done",
    means: "whoever did it had been denied it less than a day before, and did it on another way, or gave themselves the right",
    remedy: "close the way it took; ask whoever did it why (`deed explain` of the denied one says who asked)",
    controls: &["PR.AA-05", "AC-3", "DE.CM-09", "ASI03"],
};
pub(crate) const BYPASS: Rule = Rule {
    name: "bypass",
    means: "somebody who is to act through Deed alone acted elsewhere, and no intent at the gateway fits",
    remedy: "take away the credential that works without the gateway; look at what else it was used for (`deed blast`)",
    controls: &["PR.AA-05", "AC-3", "SP 800-207 tenet 6", "ASI03"],
};
pub(crate) const ACTION_WITHOUT_GRANT: Rule = Rule {
    name: "action-without-grant",
    means: "a source whose log is complete for grants knows of no right to it",
    remedy: "grant it, bounded and approved, or take away what let it happen",
    controls: &["PR.AA-05", "AC-6", "NHI5:2025"],
};
pub(crate) const GRANT_WITHOUT_APPROVAL: Rule = Rule {
    name: "grant-without-approval",
    means: "a right was given and used, and the source that logs every answer to its request knows of none that counts",
    remedy: "have somebody else approve it, or take the grant back",
    controls: &["PR.AA-05", "AC-2"],
};
pub(super) const SELF_APPROVAL: Rule = Rule {
    name: "self-approval",
    means: "an approval was given by who asked, acts or receives the right",
    remedy: "have somebody else approve it; keep who asks out of the approving group",
    controls: &["PR.AA-05", "AC-5"],
};
pub(super) const APPROVAL_AFTER_ACT: Rule = Rule {
    name: "approval-after-act",
    means: "an approval was given only after the action, and none before it counts",
    remedy: "ask why it could happen before; have policy step up to a human first",
    controls: &["PR.AA-05"],
};
pub(super) const APPROVER_WITHOUT_AUTHORITY: Rule = Rule {
    name: "approver-without-authority",
    means: "it was approved by somebody who is none of those that may approve what is done there",
    remedy: "have one of them approve it; keep everybody else out of the approving group",
    controls: &["PR.AA-05", "AC-5", "CM-3"],
};
pub(super) const OUTSIDE_SCOPE: Rule = Rule {
    name: "outside-scope",
    means: "what was used is not among what the credential holds or the grant gives",
    remedy: "narrow what the system accepts, or grant what is needed",
    controls: &["NHI5:2025", "PR.AA-05", "AC-6(9)"],
};
pub(super) const INTENT_WITHOUT_OUTCOME: Rule = Rule {
    name: "intent-without-outcome",
    means: "it was let through, and nobody can tell how it ended",
    remedy: "ask the system behind what it did at that time",
    controls: &["DE.AE-03", "AU-12"],
};

pub(super) fn findings(links: &Links<'_>, found: &mut Vec<Finding>) {
    if let Some(why) = links.refused()
        && links.took_effect() == Some(true)
    {
        found.push(DONE_ALTHOUGH_DENIED.finding(Severity::High, format!("{why}; it was done all the same")));
    }
    if let Some(denied) = links.case.beside.denied.and_then(|id| links.case.get(id)) {
        let decision = denied.is.decision.as_ref().map(|decision| decision.effect);
        let who = denied.said_by();
        let what = match decision {
            Some(Ruling::StepUp) => format!("a human refused it, asked by {who}"),
            _ => format!("{who} denied it"),
        };
        let own = links.case.head().is.impersonated().is_none();
        let since = if own { "" } else { ", in a name that whoever acted gave" };
        let at = moment(denied.is.time);
        let reason = format!("{what} at {at} (record {}), and it was done since{since}", denied.is.id);
        found.push(DENIED_THEN_DONE.finding(Severity::High, reason));
    }
    if let Some(denied) = links.case.beside.likely_denied.call.and_then(|id| links.case.get(id)) {
        let what = denied.is.acted_upon();
        let what = what.map_or_else(|| "a call".to_owned(), |what| format!("`{what}`"));
        let reason = format!(
            "Deed denied {what} at {} (record {}), and what is called the same was done elsewhere within minutes; the call does \
             not say what it was of",
            moment(denied.is.time),
            denied.is.id
        );
        found.push(DENIED_THEN_DONE.finding(Severity::Medium, reason));
    }
    if let Some(why) = links.bypassed() {
        found.push(BYPASS.finding(grave(links), why));
    }
    if let Some((rule, why)) = links.unapproved() {
        found.push(rule.finding(grave(links), why));
    }
    approvals(links, found);
    if links.reach.part.value == Scope::Out {
        let what = match (links.reach.beyond_credential, links.reach.beyond_grant) {
            (true, true) => "it reached beyond both the credential and the grant",
            (true, false) => "it reached beyond what the credential holds",
            (false, _) => "it reached beyond what was granted",
        };
        found.push(OUTSIDE_SCOPE.finding(grave(links), what.to_owned()));
    }
    // INVARIANT D11: `unknown` is said, never left open; what has no word on its end yet may still be at work.
    let head = &links.case.head().is;
    let said = links.ended.stands.map(|(_, outcome)| outcome.status);
    if head.kind == Kind::Intent && head.basis == Basis::Enforced && said == Some(Status::Unknown) {
        let reason = "it was let through, and its end is not known".to_owned();
        found.push(INTENT_WITHOUT_OUTCOME.finding(Severity::Low, reason));
    }
}

fn approvals(links: &Links<'_>, found: &mut Vec<Finding>) {
    // By which right it was done is inferred where none is named: how that was approved is no finding about the action.
    let answers = || links.rights.answers.iter().filter(|answer| answer.named);
    let approved = !asks_or_answers(links);
    let own = answers().find(|answer| matches!(answer.worth, Worth::ByWhoAsked | Worth::ByWhoActs));
    if let Some(answer) = own.filter(|_| approved) {
        let who = if answer.worth == Worth::ByWhoAsked { "who asked" } else { "who acted" };
        found.push(SELF_APPROVAL.finding(Severity::High, format!("an approval was given by {who}")));
    }
    // By the inventory: an approval that would count, were it somebody else's.
    let other = answers().find(|answer| answer.worth == Worth::NoAuthority);
    let counts = answers().any(|answer| answer.worth == Worth::Counts);
    if let (Some(answer), Some(controlled), false) = (other, &links.case.controlled, counts) {
        let declared = answer.by.and_then(|by| links.case.declared(by));
        let who = declared.map_or("somebody".to_owned(), |declared| format!("`{}`", declared.key));
        let reason = format!(
            "{who} approved it, who is none of the approvers of `{}` ({})",
            controlled.matches,
            answer.claim.rec.said_by()
        );
        found.push(APPROVER_WITHOUT_AUTHORITY.finding(Severity::High, reason));
    }
    let in_time = answers().any(|answer| answer.worth == Worth::Counts);
    let late = answers().find(|answer| answer.worth == Worth::Late);
    // What was held or refused, and not done, has no time after it.
    let done = links.ended.status() != Status::Denied && !links.was_stopped();
    if let Some(answer) = late.filter(|_| approved && !in_time && done) {
        debug_assert_eq!(answer.claim.terms.and_then(|terms| terms.answer), Some(Answer::Approved));
        let reason = "an approval was given only after the action, and none before it counts";
        found.push(APPROVAL_AFTER_ACT.finding(Severity::Medium, reason.to_owned()));
    }
}

/// Whether it only asks for a right, or answers who asked: nobody approves that first.
fn asks_or_answers(links: &Links<'_>) -> bool {
    let effects = links.case.of_action().flat_map(|rec| rec.is.effects.iter().flatten());
    let mut kinds = effects.map(|effect| effect.kind);
    kinds.any(|kind| matches!(kind, Kind::Request | Kind::Approval))
}
