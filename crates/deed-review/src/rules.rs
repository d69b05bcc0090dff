//! What deserves a look: rules about one action, each a pure function of the links that its records carry.
//!
//! A rule makes a finding only where the evidence for it is there; what is not known makes none, and stays
//! *unverified* in the verdict. The catalogue is `docs/findings.md`.

mod credential;
mod delegation;
mod place;
mod right;
mod window;

pub(crate) use delegation::is_handed_on;
pub(crate) use place::CHANGED;
pub(crate) use right::{ACTION_WITHOUT_GRANT, BYPASS, DENIED_THEN_DONE, GRANT_WITHOUT_APPROVAL};

use crate::{explanation::Finding, verdict::Links, words::Severity};

/// A rule by which findings are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it means, in a line.
    pub means: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// The controls that it bears on (G6).
    pub controls: &'static [&'static str],
}

/// Rules that find what nobody had given the right to, or what nobody had approved.
pub const NEVER_APPROVED: &[Rule] = &[
    right::DONE_ALTHOUGH_DENIED,
    right::DENIED_THEN_DONE,
    right::BYPASS,
    right::ACTION_WITHOUT_GRANT,
    right::GRANT_WITHOUT_APPROVAL,
];

/// Every rule about one action, in the order of the catalogue.
pub const RULES: &[Rule] = &[
    right::DONE_ALTHOUGH_DENIED,
    right::DENIED_THEN_DONE,
    right::BYPASS,
    right::ACTION_WITHOUT_GRANT,
    right::GRANT_WITHOUT_APPROVAL,
    right::SELF_APPROVAL,
    right::APPROVAL_AFTER_ACT,
    right::APPROVER_WITHOUT_AUTHORITY,
    right::OUTSIDE_SCOPE,
    right::INTENT_WITHOUT_OUTCOME,
    credential::USED_AFTER_REVOCATION,
    credential::USED_AFTER_EXPIRY,
    credential::USED_AFTER_ROTATION,
    credential::ACTED_WHILE_SUSPENDED,
    credential::USED_BEFORE_ISSUE,
    credential::HUMAN_WITH_MACHINE_CREDENTIAL,
    credential::CREDENTIAL_OF_ANOTHER,
    delegation::DELEGATION_WIDENED,
    delegation::DELEGATION_OUTLIVED_PARENT,
    delegation::DELEGATION_LOST_REQUESTER,
    place::ENVIRONMENT_CROSSING,
    window::OUTSIDE_CHANGE_WINDOW,
    place::OUTSIDE_CONTRACT,
    place::BEYOND_CLEARANCE,
    place::OUTSIDE_TASK,
    place::TOOL_CHANGED,
    place::TOOL_NOT_APPROVED,
    place::RESTRICTED_FIELD_READ,
];

/// Rules about what another system logged that say nothing where Deed is known to have decided on the call.
const DECIDED_BY_DEED: &[&str] = &[
    right::BYPASS.name,
    right::DENIED_THEN_DONE.name,
    credential::ACTED_WHILE_SUSPENDED.name,
    place::TOOL_NOT_APPROVED.name,
    right::ACTION_WITHOUT_GRANT.name,
    right::GRANT_WITHOUT_APPROVAL.name,
    delegation::DELEGATION_LOST_REQUESTER.name,
];

/// Whether what `rule` finds of another system's record is answered by the call that Deed let through.
pub(crate) fn is_answered(rule: &str, call: &Links<'_>) -> bool {
    DECIDED_BY_DEED.contains(&rule) || rule == window::OUTSIDE_CHANGE_WINDOW.name && call.is_let_as_it_is()
}

/// What the links show, the gravest first.
pub(crate) fn findings(links: &Links<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    credential::findings(links, &mut findings);
    right::findings(links, &mut findings);
    delegation::findings(links, &mut findings);
    place::findings(links, &mut findings);
    window::findings(links, &mut findings);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// How grave a violation is: one that was stopped is worth a look; one that was not, or may not have been, a look now.
fn grave(links: &Links<'_>) -> Severity {
    if links.took_effect() == Some(false) { Severity::Medium } else { Severity::High }
}

impl Rule {
    pub(crate) fn finding(&self, severity: Severity, reason: String) -> Finding {
        let controls = self.controls.iter().map(|control| (*control).to_owned()).collect();
        Finding { rule: self.name.to_owned(), severity, reason, controls, suppressed: None }
    }
}
