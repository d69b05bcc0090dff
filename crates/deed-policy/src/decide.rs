//! From what the policies say to the decision.

use std::collections::{BTreeSet, HashMap};

use deed_record::Ruling;
use serde_json::value::RawValue;

use crate::{
    annotations::Meaning,
    decided::{Approver, Decided, Obligations, Tier},
    engine::Opinion,
    request::Request,
    seen::Seen,
    set::Known,
};

/// Concludes, in this order: an error denies; a forbid that nobody lifts denies; without a permit nothing is
/// allowed; a forbid that a human may lift asks for one, unless one has approved; else it is allowed.
pub(crate) fn conclude(
    opinion: Opinion,
    request: &Request<'_>,
    known: &HashMap<String, Known>,
    policy_set: &str,
    starter: bool,
) -> Decided {
    let approved = request.context.approval.is_some();
    let step_ups = if approved { &[][..] } else { &opinion.step_ups };
    let seen = seen(&opinion, request, policy_set);
    let (mut obligations, mut approvers) = (Obligations::default(), Vec::new());
    let (effect, policies, reason);
    // INVARIANT D13: Cedar leaves a policy out that it cannot evaluate, were it the forbid that counts.
    if let Some(error) = opinion.errors.first() {
        (effect, policies, reason) = (Ruling::Deny, Vec::new(), format!("denied because {error}"));
    } else if !opinion.forbids.is_empty() {
        let all = opinion.forbids.iter().chain(step_ups).cloned();
        reason = format!("{} it", says(&opinion.forbids, "forbids", "forbid"));
        (effect, policies) = (Ruling::Deny, sorted(all));
    } else if opinion.permits.is_empty() {
        reason = "no policy allows it".to_owned();
        (effect, policies) = (Ruling::Deny, sorted(step_ups.iter().cloned()));
    } else if !step_ups.is_empty() {
        approvers = asked(step_ups, known);
        reason = format!("{} for approval by {}", says(step_ups, "asks", "ask"), names(&approvers));
        (effect, policies) = (Ruling::StepUp, sorted(step_ups.iter().cloned()));
    } else {
        obligations = joined(&opinion.permits, known);
        reason = match (starter, opinion.step_ups.is_empty()) {
            (true, _) => "the built-in starter policy allows everything".to_owned(),
            (false, true) => format!("{} it", says(&opinion.permits, "allows", "allow")),
            (false, false) => {
                format!("{} it, and it was approved", says(&opinion.permits, "allows", "allow"))
            }
        };
        (effect, policies) = (Ruling::Allow, sorted(opinion.permits.into_iter()));
    }
    Decided { effect, policies, errors: opinion.errors, obligations, approvers, seen, reason }
}

fn seen(opinion: &Opinion, request: &Request<'_>, policy_set: &str) -> String {
    let arguments: &RawValue = serde_json::from_str(&opinion.arguments).unwrap_or(RawValue::NULL);
    let seen = Seen::new(request, arguments, policy_set, opinion.refused.clone());
    // Texts, numbers and lists of them: there is nothing in it that could not be written.
    serde_json::to_string(&seen).unwrap_or_default()
}

fn joined(permits: &[String], known: &HashMap<String, Known>) -> Obligations {
    let (mut all, mut most) = (BTreeSet::new(), None);
    let mut are_low = !permits.is_empty();
    for permit in permits {
        let Some(Known { meaning: Meaning::Permit { mask, capture, tier }, .. }) = known.get(permit) else {
            are_low = false;
            continue;
        };
        all.extend(mask.iter().cloned());
        most = most.max(*capture);
        are_low &= *tier == Some(Tier::Low);
    }
    Obligations { mask: all.into_iter().collect(), capture: most, tier: are_low.then_some(Tier::Low) }
}

fn asked(step_ups: &[String], known: &HashMap<String, Known>) -> Vec<Approver> {
    let of = |id: &String| match &known.get(id)?.meaning {
        Meaning::StepUp(approver) => Some(approver.clone()),
        Meaning::Permit { .. } | Meaning::Forbid => None,
    };
    step_ups.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect()
}

fn names(approvers: &[Approver]) -> String {
    let name = |approver: &Approver| match approver {
        Approver::Group(group) => format!("`{group}`"),
        Approver::SelfApproval => "whoever asked".to_owned(),
        Approver::Anybody => "somebody else".to_owned(),
    };
    approvers.iter().map(name).collect::<Vec<_>>().join(" and ")
}

/// `policy `a` allows`, `policies `a` and `b` allow`.
fn says(policies: &[String], one: &str, several: &str) -> String {
    match policies {
        [policy] => format!("policy `{policy}` {one}"),
        policies => format!("policies `{}` {several}", policies.join("`, `")),
    }
}

fn sorted(policies: impl Iterator<Item = String>) -> Vec<String> {
    policies.collect::<BTreeSet<_>>().into_iter().collect()
}
