//! Whether the credential was the right one, and valid.

use deed_identity::is_static_type;
use deed_record::{Change, Party, PrincipalType};

use super::{Rule, grave};
use crate::{
    claim::Claim,
    explanation::Finding,
    gather::SKEW,
    verdict::{Links, was_suspended},
    withdrawn::{self, Taken},
    words::{Severity, moment},
};

pub(super) const USED_AFTER_REVOCATION: Rule = Rule {
    name: "used-after-revocation",
    means: "the credential, the grant, or the account of whoever acted, had been taken away before it was used",
    remedy: "find where revocation is not enforced; look at everything it did since (`deed blast`)",
    controls: &["NHI1:2025", "PR.AA-01", "IA-5"],
};
pub(super) const USED_AFTER_EXPIRY: Rule = Rule {
    name: "used-after-expiry",
    means: "the credential, or the grant, had ended before it was used",
    remedy: "find where the end is not enforced",
    controls: &["NHI7:2025", "PR.AA-01", "IA-5"],
};
pub(super) const USED_AFTER_ROTATION: Rule = Rule {
    name: "used-after-rotation",
    means: "the credential had been replaced, and the old one was used",
    remedy: "point the job at the new one, then revoke the old one",
    controls: &["NHI7:2025", "PR.AA-01", "IA-5"],
};
pub(super) const ACTED_WHILE_SUSPENDED: Rule = Rule {
    name: "acted-while-suspended",
    means: "whoever acted had been suspended here, and it was done all the same",
    remedy: "stop them where they act, too: take away what they did it with (`deed blast`)",
    controls: &["NHI1:2025", "PR.AA-05", "AC-2(3)"],
};
pub(super) const USED_BEFORE_ISSUE: Rule = Rule {
    name: "used-before-issue",
    means: "the credential was used before its issuer says that it was made",
    remedy: "compare the clocks of both systems; if they agree, treat the credential as forged",
    controls: &["PR.AA-01", "IA-5"],
};
pub(super) const HUMAN_WITH_MACHINE_CREDENTIAL: Rule = Rule {
    name: "human-with-machine-credential",
    means: "a person acted with a credential that was issued to a machine",
    remedy: "give the person a way of their own; rotate the machine's credential",
    controls: &["NHI10:2025", "PR.AA-01", "IA-2"],
};
pub(super) const CREDENTIAL_OF_ANOTHER: Rule = Rule {
    name: "credential-of-another",
    means: "somebody acted with a credential that was issued to another principal of the inventory",
    remedy: "find how it came to them; rotate it",
    controls: &["NHI9:2025", "PR.AA-01", "IA-2"],
};

pub(super) fn findings(links: &Links<'_>, found: &mut Vec<Finding>) {
    let (revoked, expired) = (links.revoked(), links.expired());
    if let Some(suspension) = links.suspended() {
        let reason = format!("{}; record {}", was_suspended(suspension), suspension.is.id);
        found.push(ACTED_WHILE_SUSPENDED.finding(grave(links), reason));
    }
    if !revoked.is_empty() {
        let late = |taken: Taken<'_>| taken.may_be_late(links.case.time());
        let only_late = revoked.len() == 1 && withdrawn::of(links).is_some_and(late);
        let severity = if only_late { Severity::Low } else { grave(links) };
        found.push(USED_AFTER_REVOCATION.finding(severity, revoked.join("; ")));
    }
    if !expired.is_empty() {
        found.push(USED_AFTER_EXPIRY.finding(grave(links), expired.join("; ")));
    }
    if revoked.is_empty() && expired.is_empty() {
        found.extend(rotated(links));
    }
    found.extend(before_issue(links));
    found.extend(of_another(links));
}

fn rotated(links: &Links<'_>) -> Option<Finding> {
    let own = links.lineage.own().filter(|own| own.standing.rotated.is_some())?;
    let before = own.claims.iter().filter(|claim| claim.time() < links.case.time());
    let claim = before
        .filter(|claim| claim.change() == Some(Change::Rotated))
        .find(|claim| is_of_the_old(links, claim))?;
    let reason = format!(
        "the credential was replaced at {}, and the old one was used ({})",
        moment(claim.time()),
        claim.rec.said_by()
    );
    Some(USED_AFTER_ROTATION.finding(Severity::Medium, reason))
}

/// Whether what was used is known to be what was replaced by the rotation that `claim` tells of: a fingerprint is of one
/// secret, and an id may outlast it.
fn is_of_the_old(links: &Links<'_>, claim: &Claim<'_>) -> bool {
    let replaced = claim.credential;
    // Made anew under the same names.
    let anew = replaced.and_then(|credential| credential.issued).is_some_and(|issued| issued >= claim.time());
    let used = links.lineage.used.and_then(|(_, credential)| credential.fingerprint.as_deref());
    let theirs = replaced.and_then(|credential| credential.fingerprint.as_deref()).filter(|_| !anew);
    match (used, theirs) {
        (None, _) => !anew,
        (Some(used), Some(theirs)) => used == theirs,
        (Some(_), None) => {
            let first = links.case.beside.first_seen.and_then(|id| links.case.get(id));
            first.is_some_and(|first| first.is.time < claim.time())
        }
    }
}

fn before_issue(links: &Links<'_>) -> Option<Finding> {
    let own = links.lineage.own()?;
    let made = own.claims.iter().filter(|claim| claim.issues());
    let first = made.clone().min_by_key(|claim| claim.time())?;
    let firm = made.filter(|claim| claim.rec.firm()).count() > 0;
    // A renewal says nothing of when it was first made, nor does an issue that another word precedes.
    let earliest = own.claims.iter().map(Claim::time).min()? == first.time();
    // It was shown when it was asked for, however long a human took to let it go on.
    if !firm || !earliest || first.time().0 - links.case.head().is.time.0 <= SKEW {
        return None;
    }
    let reason =
        format!("the credential was made only at {} ({})", moment(first.time()), first.rec.said_by());
    Some(USED_BEFORE_ISSUE.finding(grave(links), reason))
}

fn of_another(links: &Links<'_>) -> Option<Finding> {
    let case = links.case;
    let acting = links.people.executor.party?;
    let own = links.lineage.own()?;
    let issued = own.issued_before(case.time()).filter(|claim| claim.rec.firm()).last()?;
    let holder = issued.terms.and_then(|terms| terms.subject.as_ref())?;
    if case.is_same(acting.account?, holder.account?) {
        return None;
    }
    // Whoever had a session issued to act through another is who acts through it.
    let kept = issued.credential.and_then(|credential| credential.kind.as_deref()).map(is_static_type);
    let asking = [&issued.rec.is.initiator, &issued.rec.is.executor].into_iter().flatten();
    let own = |party: &Party<'_>| party.account.zip(acting.account).is_some_and(|(a, b)| case.is_same(a, b));
    if kept == Some(false) && asking.into_iter().any(own) {
        return None;
    }
    let said_by = issued.rec.said_by();
    match (case.kind(acting), case.kind(holder)) {
        (
            PrincipalType::Human,
            holder @ (PrincipalType::Agent | PrincipalType::Workload | PrincipalType::ServiceAccount),
        ) => {
            let reason = format!(
                "a person used a credential that was issued to a machine, of type `{holder}` ({said_by})"
            );
            Some(HUMAN_WITH_MACHINE_CREDENTIAL.finding(Severity::High, reason))
        }
        _ => {
            // Systems call one principal by many names: only the inventory knows that two are two.
            let (acting, holder) = (case.declared(acting)?, case.declared(holder)?);
            let reason =
                format!("`{}` used a credential that was issued to `{}` ({said_by})", acting.key, holder.key);
            Some(CREDENTIAL_OF_ANOTHER.finding(grave(links), reason))
        }
    }
}
