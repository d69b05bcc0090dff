//! What was decided, and whether the decision by itself gives the right to act.

use deed_record::{Basis, Decision, Kind, Ruling};

use crate::{
    case::{Case, Rec},
    words::Edge,
};

/// The only policy of the set that is in force until one is published: it allows everything.
const STARTER: &str = "starter";

/// What was decided about an action.
pub(crate) struct Decided<'c> {
    /// What the action's own record says, else the first record that says anything; of a party's words the last.
    pub(crate) first: Option<(&'c Rec<'c>, &'c Decision<'c>)>,
    /// What Deed decided again once a human had answered.
    pub(crate) then: Option<(&'c Rec<'c>, &'c Decision<'c>)>,
}

impl<'c> Decided<'c> {
    /// What the records of `case` say was decided.
    pub(crate) fn of(case: &'c Case<'c>) -> Self {
        let mut all: Vec<_> =
            case.of_action().filter_map(|rec| Some((rec, rec.is.decision.as_ref()?))).collect();
        // Somebody may be asked twice about one call: of what parties say beside it the last word stands.
        let is_beside = |rec: &Rec<'_>| rec.is.id != case.head && rec.is.basis == Basis::Reported;
        if all.first().is_some_and(|(rec, _)| is_beside(rec))
            && let Some(last) = all.iter().rposition(|(rec, _)| is_beside(rec))
        {
            all.swap(0, last);
        }
        let mut all = all.into_iter();
        let first = all.next();
        let asked = first
            .filter(|(rec, decision)| rec.is.basis == Basis::Enforced && decision.effect == Ruling::StepUp);
        // Nobody else's word decides again what Deed decided.
        let again = all.filter(|(rec, _)| rec.is.basis == Basis::Enforced);
        let then = asked.and_then(|_| again.max_by_key(|(rec, _)| (rec.is.time, rec.is.id)));
        Decided { first, then }
    }

    /// What stands of it.
    pub(crate) fn last(&self) -> Option<(&'c Rec<'c>, &'c Decision<'c>)> {
        self.then.or(self.first)
    }

    /// What stands, where Deed was in the path and decided.
    pub(crate) fn enforced(&self) -> Option<&'c Decision<'c>> {
        self.last().filter(|(rec, _)| rec.is.basis == Basis::Enforced).map(|(_, decision)| decision)
    }

    pub(crate) fn effect(&self) -> Option<Ruling> {
        self.last().map(|(_, decision)| decision.effect)
    }

    /// Whether a human was to answer.
    pub(crate) fn asked_a_human(&self) -> bool {
        self.first.is_some_and(|(_, decision)| decision.effect == Ruling::StepUp)
    }

    /// Whether Deed decided without a human, and so needs no approval: by a policy that was published, or by a denial.
    pub(crate) fn needs_nobody(&self) -> bool {
        let denied = self.enforced().is_some_and(|decision| decision.effect == Ruling::Deny);
        (denied || self.allows()) && !self.asked_a_human()
    }

    /// Why it was not let through, in words; `None` where it was.
    pub(crate) fn refusal(&self) -> Option<String> {
        let (rec, decision) = self.last()?;
        let is_ours = rec.is.basis == Basis::Enforced;
        let policies = policies(decision);
        match (decision.effect, decision.policies.is_empty()) {
            (Ruling::Allow, _) => None,
            (Ruling::Deny, false) => Some(format!("{policies} denied it")),
            (Ruling::Deny, true) => Some(
                match (decision.engine.is_none(), decision.errors.is_empty()) {
                    (true, _) if is_ours => "it was refused before policy was asked",
                    (true, _) => "it was denied, and no record says by what",
                    (false, true) => "no policy allows it",
                    (false, false) => "policy could not be evaluated, and so denied it",
                }
                .to_owned(),
            ),
            (Ruling::StepUp, _) => {
                Some(format!("{policies} asks for a human, and none is known to have approved it"))
            }
        }
    }

    /// Whether policy allowed it, other than by allowing everything.
    pub(crate) fn allows(&self) -> bool {
        self.enforced().is_some_and(|decision| {
            decision.effect == Ruling::Allow && decision.policy_set.is_some() && !is_starter(decision)
        })
    }

    /// What allowed it, in words.
    pub(crate) fn allowing(&self) -> Option<String> {
        let decision = self.enforced().filter(|_| self.allows())?;
        let set = decision.policy_set.as_deref().map(|set| format!(" (set {})", short(set)));
        Some(format!("{}{} allowed it", policies(decision), set.unwrap_or_default()))
    }

    /// Why a decision to allow gives no right by itself, given how well `executor` is known.
    pub(crate) fn why_no_right(&self, executor: Edge) -> Option<String> {
        if let Some((rec, decision)) = self.last()
            && decision.effect == Ruling::Allow
            && let Some(asker) = asked_by(rec)
        {
            let policies = policies(decision);
            return Some(format!(
                "{policies} allowed it; that `{asker}` kept to it, and who acted, is its own word"
            ));
        }
        let decision = self.enforced().filter(|decision| decision.effect == Ruling::Allow)?;
        if !self.allows() {
            return Some(
                "no policy set was published: the starter set allows everything, and so decides nothing"
                    .to_owned(),
            );
        }
        (executor != Edge::Proven).then(|| {
            format!("{} allowed it to whoever it was said to be: who acted is not proven", policies(decision))
        })
    }
}

/// The application that asked Deed for the decision in `rec`, and enforces it by itself (AuthZEN).
pub(crate) fn asked_by<'r>(rec: &'r Rec<'_>) -> Option<&'r str> {
    // Nobody else may have a name that begins with `deed:`.
    rec.is.submitter.strip_prefix("deed:authzen/").filter(|_| rec.is.kind == Kind::Intent)
}

fn is_starter(decision: &Decision<'_>) -> bool {
    matches!(&decision.policies[..], [only] if **only == *STARTER)
}

fn policies(decision: &Decision<'_>) -> String {
    const SHOWN: usize = 3;
    let mut words: Vec<String> =
        decision.policies.iter().take(SHOWN).map(|policy| format!("`{policy}`")).collect();
    match decision.policies.len() {
        0 => return "policy".to_owned(),
        1 => return format!("policy {}", words.remove(0)),
        many if many > SHOWN => words.push(format!("{} more", many - SHOWN)),
        _ => {}
    }
    format!("policies {}", words.join(", "))
}

/// Enough of a digest to tell it from others.
pub(crate) fn short(digest: &str) -> &str {
    digest.strip_prefix("sha256:").and_then(|hex| hex.get(..8)).unwrap_or(digest)
}
