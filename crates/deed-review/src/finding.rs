//! What deserves a look: rules that follow from the verdict alone.
//!
//! Each rule is described in `docs/explain.md`, with why it bears on its controls.

use deed_record::Answer;

use crate::{
    approvals::Worth,
    explanation::Finding,
    verdict::Links,
    words::{Scope, Severity},
};

/// A rule by which findings are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// The controls that it bears on (G6).
    pub controls: &'static [&'static str],
}

/// Every rule.
pub const RULES: [Rule; 6] = [
    DONE_ALTHOUGH_DENIED,
    USED_AFTER_REVOCATION,
    USED_AFTER_EXPIRY,
    OUTSIDE_SCOPE,
    SELF_APPROVAL,
    APPROVAL_AFTER_ACT,
];

const DONE_ALTHOUGH_DENIED: Rule = Rule { name: "done-although-denied", controls: &["PR.AA-05", "AC-3"] };

const USED_AFTER_REVOCATION: Rule =
    Rule { name: "used-after-revocation", controls: &["NHI1:2025", "PR.AA-01", "IA-5"] };
const USED_AFTER_EXPIRY: Rule =
    Rule { name: "used-after-expiry", controls: &["NHI7:2025", "PR.AA-01", "IA-5"] };
const OUTSIDE_SCOPE: Rule = Rule { name: "outside-scope", controls: &["NHI5:2025", "PR.AA-05", "AC-6(9)"] };
const SELF_APPROVAL: Rule = Rule { name: "self-approval", controls: &["PR.AA-05"] };
const APPROVAL_AFTER_ACT: Rule = Rule { name: "approval-after-act", controls: &["PR.AA-05"] };

/// What the links show.
pub(crate) fn findings(links: &Links<'_>) -> Vec<Finding> {
    // A violation that was stopped is worth a look; one that was not, or may not have been, a look now.
    let grave = if links.took_effect() == Some(false) { Severity::Medium } else { Severity::High };
    let mut findings = Vec::new();
    if let Some(why) = links.refused()
        && links.took_effect() == Some(true)
    {
        findings
            .push(DONE_ALTHOUGH_DENIED.finding(Severity::High, format!("{why}; it was done all the same")));
    }
    let revoked = links.revoked();
    if !revoked.is_empty() {
        findings.push(USED_AFTER_REVOCATION.finding(grave, revoked.join("; ")));
    }
    let expired = links.expired();
    if !expired.is_empty() {
        findings.push(USED_AFTER_EXPIRY.finding(grave, expired.join("; ")));
    }
    if links.reach.part.value == Scope::Out {
        let what = match (links.reach.beyond_credential, links.reach.beyond_grant) {
            (true, true) => "it reached beyond both the credential and the grant",
            (true, false) => "it reached beyond what the credential holds",
            (false, _) => "it reached beyond what was granted",
        };
        findings.push(OUTSIDE_SCOPE.finding(grave, what.to_owned()));
    }
    let answers = &links.rights.answers;
    let own = answers.iter().find(|answer| matches!(answer.worth, Worth::ByWhoAsked | Worth::ByWhoActs));
    if let Some(answer) = own {
        let who = if answer.worth == Worth::ByWhoAsked { "who asked" } else { "who acted" };
        findings.push(SELF_APPROVAL.finding(Severity::High, format!("an approval was given by {who}")));
    }
    let in_time = answers.iter().any(|answer| answer.worth == Worth::Counts);
    let late = answers.iter().find(|answer| answer.worth == Worth::Late);
    if let Some(answer) = late.filter(|_| !in_time) {
        debug_assert_eq!(answer.claim.terms.and_then(|terms| terms.answer), Some(Answer::Approved));
        let reason = "an approval was given only after the action, and none before it counts";
        findings.push(APPROVAL_AFTER_ACT.finding(Severity::Medium, reason.to_owned()));
    }
    findings
}

impl Rule {
    fn finding(&self, severity: Severity, reason: String) -> Finding {
        let controls = self.controls.iter().map(|control| (*control).to_owned()).collect();
        Finding { rule: self.name.to_owned(), severity, reason, controls }
    }
}
