//! What was handed on: it can only narrow, ends with what it came from, and keeps who asked (I10, I11).

use deed_record::{Basis, Hop, Skeleton, Text};

use super::{Rule, grave};
use crate::{
    explanation::Finding,
    scope::matches,
    verdict::Links,
    words::{Edge, Severity, moment},
};

pub(super) const DELEGATION_WIDENED: Rule = Rule {
    name: "delegation-widened",
    means: "somebody handed on more than they held",
    remedy: "have hand-offs issued by a service that narrows them, such as Deed's; take back what is too wide",
    controls: &["NHI5:2025", "PR.AA-05", "AC-6", "ASI03"],
};
pub(super) const DELEGATION_OUTLIVED_PARENT: Rule = Rule {
    name: "delegation-outlived-parent",
    means: "a credential was used after the one that it was derived from had been revoked, or had ended",
    remedy: "revoke what was derived together with what it came from",
    controls: &["NHI1:2025", "PR.AA-01", "IA-5"],
};
pub(super) const DELEGATION_LOST_REQUESTER: Rule = Rule {
    name: "delegation-lost-requester",
    means: "it was handed on from one to another, and who asked first is not recorded",
    remedy: "carry `sub` and `act` in delegated tokens (RFC 8693), or the initiator in what is reported",
    controls: &["PR.AA-03", "AU-3", "ASI03"],
};

pub(super) fn findings(links: &Links<'_>, found: &mut Vec<Finding>) {
    found.extend(
        widened_hop(links)
            .or_else(|| widened_credential(links))
            .map(|reason| DELEGATION_WIDENED.finding(grave(links), reason)),
    );
    found.extend(
        outlived(links).map(|(severity, reason)| DELEGATION_OUTLIVED_PARENT.finding(severity, reason)),
    );
    let handed_on = links.case.of_action().any(|rec| is_handed_on(&rec.is));
    let initiator = &links.people.initiator;
    if handed_on && initiator.edge == Edge::Missing && initiator.disputed.is_empty() {
        let reason = "it was handed on, and no record says who asked first".to_owned();
        found.push(DELEGATION_LOST_REQUESTER.finding(Severity::Medium, reason));
    }
}

/// Whether `rec` names somebody between. Whose very credential was shown is who acted, by the name that another system has
/// for them: a node or a person that logs in to a cluster with a role.
pub(crate) fn is_handed_on(rec: &Skeleton<'_>) -> bool {
    let shown = |name: &str| rec.credential.iter().flat_map(|used| used.names()).any(|own| own == name);
    let is_own = |hop: &Hop<'_>| hop.credential.as_deref().is_some_and(shown);
    rec.chain.iter().flatten().any(|hop| rec.basis != Basis::Imported || !is_own(hop))
}

/// A hop whose scope the hop before it did not have.
fn widened_hop(links: &Links<'_>) -> Option<String> {
    let said = links.people.chain.iter().map(|hop| &hop.scope).filter(|scope| !scope.is_empty());
    let mut above: Option<&Vec<String>> = None;
    for scope in said {
        let beyond =
            above.and_then(|above| scope.iter().find(|one| !above.iter().any(|held| matches(held, one))));
        if let Some(beyond) = beyond {
            return Some(format!("`{beyond}` was handed on by somebody who did not hold it"));
        }
        above = Some(scope);
    }
    let (_, held) = links.lineage.scopes()?;
    beyond(held, above?).map(|scope| format!("the credential holds `{scope}`, which was not handed on"))
}

/// A credential that holds more than the one it was derived from.
fn widened_credential(links: &Links<'_>) -> Option<String> {
    let levels = links.lineage.levels.windows(2).take(links.lineage.parents().count());
    levels.filter(|pair| !pair[1].standing.scopes.is_empty()).find_map(|pair| {
        let above: Vec<String> = pair[1].standing.scopes.iter().map(ToString::to_string).collect();
        let scope = beyond(pair[0].standing.scopes, &above)?;
        Some(format!("a credential holds `{scope}`, and the one that it was derived from does not"))
    })
}

fn beyond<'s>(held: &'s [Text<'_>], above: &[String]) -> Option<&'s str> {
    held.iter().map(|scope| &**scope).find(|scope| !above.iter().any(|wider| matches(wider, scope)))
}

/// Why the credential should have ended before the action, with what it came from. What was taken away was to end with all
/// that came from it; what merely ended by itself ends no session that was opened for longer, in most systems.
fn outlived(links: &Links<'_>) -> Option<(Severity, String)> {
    // A token of Deed's ends with any that it was made from, and is called revoked itself.
    let above = || links.lineage.parents().filter(|_| !links.lineage.is_of_ours());
    let revoked = above().find_map(|level| level.standing.revoked.filter(|claim| !claim.is_of_it_alone()));
    if let Some(claim) = revoked {
        let reason = format!(
            "a credential that it was derived from was {} at {}, before the action ({})",
            claim.taken_away(),
            moment(claim.time()),
            claim.rec.said_by()
        );
        return Some((grave(links), reason));
    }
    above().find_map(|level| {
        let standing = &level.standing;
        let over = standing.revoked.is_none() && standing.is_over(links.case.time());
        let end = standing.ended.map(|claim| claim.time()).or(standing.expires).filter(|_| over)?;
        let reason = format!(
            "a credential that it was derived from had ended by itself at {}, before the action",
            moment(end)
        );
        Some((Severity::Low, reason))
    })
}
