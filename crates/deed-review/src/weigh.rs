//! What an action amounts to, with what other systems logged of the same call.

use crate::{
    Evidence, ExplainError,
    case::Shelf,
    explanation::{Finding, Verdict},
    gather::{MOST_RECORDS, gather_alone},
    rules::{findings, is_answered},
    verdict::Links,
    words::{Authority, Class, Scope},
};

/// The verdict and the findings.
///
/// What another system logged of the same call is judged by itself as well, by the credential and the rights that it
/// was done with there: that one door was held well cures nothing that went wrong behind it. Only that nothing of
/// Deed's stood behind it is answered by the call.
pub(crate) fn weigh<E: Evidence>(
    evidence: &E,
    links: &Links<'_>,
) -> Result<(Verdict, Vec<Finding>), ExplainError<E::Error>> {
    let (mut verdict, mut found) = (links.verdict(), findings(links));
    let joined = links.case.counterparts.iter().filter(|other| other.standing.is_joined());
    for other in joined {
        let shelf = Shelf::new(MOST_RECORDS);
        let Some(alone) = gather_alone(evidence, &shelf, other.record)? else { continue };
        let alone = Links::of(&alone);
        for finding in findings(&alone) {
            let answered = is_answered(&finding.rule, links);
            if !answered && !found.iter().any(|known| known.rule == finding.rule) {
                found.push(finding);
            }
        }
        let theirs = alone.verdict();
        // What was let through before goes on.
        let ends = alone.revoked().len() + alone.expired().len();
        let suspended = alone.suspended().is_some() && ends == 0;
        let ended = matches!(theirs.authority.value, Authority::Revoked | Authority::Expired) && !suspended;
        let overrun = theirs.scope.value == Scope::Out;
        let worse = matches!(theirs.class, Class::ControlFailure | Class::Abuse);
        if worse && (ended || overrun) && !matches!(verdict.class, Class::ControlFailure | Class::Abuse) {
            let authority = if ended { theirs.authority } else { verdict.authority };
            let scope = if overrun { theirs.scope } else { verdict.scope };
            let attribution = verdict.attribution;
            let (class, class_reason) = (theirs.class, theirs.class_reason);
            verdict = Verdict { attribution, authority, scope, class, class_reason };
        }
    }
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    Ok((verdict, found))
}
