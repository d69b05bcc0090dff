//! The answers to a request or to the action, and what each is worth.

use std::collections::BTreeSet;

use deed_record::{
    Account, Answer, Basis, Change, Effect, Kind, Party, PrincipalType, RecordId, Ruling, Timestamp,
};

use crate::{
    authority::{Asked, Given},
    case::{Case, Rec},
    claim::Claim,
    outcome::Ended,
    who::People,
    words::{Edge, beside},
};

/// An answer to a request or to the action.
pub(crate) struct Answered<'c> {
    pub(crate) claim: Claim<'c>,
    pub(crate) by: Option<&'c Party<'c>>,
    pub(crate) worth: Worth,
    /// Whether it is more than one party's word.
    pub(crate) firm: bool,
    /// Whether it bears on the action by what records name, and not only by a right that whoever acted held.
    pub(crate) named: bool,
    pub(crate) edge: Edge,
}

/// What an answer is worth to the action.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Worth {
    Counts,
    Silent,
    Refused,
    OtherTarget,
    Anonymous,
    ByMachine,
    Late,
    UnderWay,
    Ended,
    Withdrawn,
    ByWhoAsked,
    ByWhoActs,
    NoAuthority,
}

impl Worth {
    /// Why an answer does not count.
    pub(crate) const fn why(self) -> Option<&'static str> {
        match self {
            Worth::Counts | Worth::Refused => None,
            Worth::Silent => Some("says neither yes nor no"),
            Worth::OtherTarget => Some("answers something else"),
            Worth::Anonymous => Some("does not say who gave it"),
            Worth::ByMachine => Some("given by a machine"),
            Worth::Late => Some("given only after the action"),
            Worth::UnderWay => Some("given after the intent; whether before the act is not known"),
            Worth::Ended => Some("had ended before the action"),
            Worth::Withdrawn => Some("taken back before the action"),
            Worth::ByWhoAsked => Some("given by who asked"),
            Worth::ByWhoActs => Some("given by who acted"),
            Worth::NoAuthority => Some("given by somebody who may not approve it"),
        }
    }
}

/// The answers that bear on the action of `case`, by event time.
pub(crate) fn answers<'c>(
    case: &'c Case<'c>,
    people: &People<'c>,
    ended: &Ended<'c>,
    request: Option<&Asked<'c>>,
    grant: Option<&Given<'c>>,
) -> Vec<Answered<'c>> {
    let moment = case.time();
    let target = Target::of(case, request, grant);
    let (named_request, named_grant) =
        (request.filter(|request| request.named), grant.filter(|grant| grant.named));
    let named_target = Target::of(case, named_request, named_grant);
    let named = |claim: &Claim<'_>| named_target.is_named_by(claim) || named_target.names(claim);
    // What the action itself answers is what it did, not what it relies on.
    let is_own = |rec: &Rec<'_>| {
        rec.is.kind == Kind::Observation && case.of_action().any(|own| own.is.id == rec.is.id)
    };
    let of_another = |claim: &Claim<'_>| {
        request.is_some_and(|request| {
            claim.rec.is.request == Some(request.id) && !request.is_answered_at(case, claim.time())
        })
    };
    let related: Vec<Claim<'c>> = case
        .records
        .iter()
        .filter(|rec| !is_own(rec))
        .flat_map(|rec| rec.claims(Kind::Approval))
        .filter(|claim| target.is_named_by(claim) || target.names(claim))
        .filter(|claim| !of_another(claim))
        .collect();
    // What an intent announces happens at some time before its outcome; what was observed, at its time.
    let head = &case.head().is;
    let done = if head.kind == Kind::Intent { ended.time.unwrap_or(Timestamp(i64::MAX)) } else { moment };
    // Deed held it back until a human answered.
    let held = head.basis == Basis::Enforced
        && head.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::StepUp);
    let withdrawn = |claim: &Claim<'c>| {
        // By the same person, later but still before the action.
        related.iter().any(|later| {
            let takes_back = matches!(later.change(), Some(Change::Revoked | Change::Expired))
                || answer(later) == Some(Answer::Refused);
            let this_one = later.rec.is.approvals.iter().flatten().any(|id| *id == claim.rec.is.id);
            let same = this_one
                || approver(later).is_some()
                    && approver(later) == approver(claim)
                    && same_target(later, claim);
            takes_back
                && same
                && later.time() > claim.time()
                && later.time() <= if held && case.released.is_none() { done } else { moment }
        })
    };
    let asking = |request: Option<&Asked<'c>>, grant: Option<&Given<'c>>| -> BTreeSet<Account> {
        request
            .into_iter()
            .flat_map(|request| {
                request.askers().chain(request.claim.terms.and_then(|terms| terms.subject.as_ref()))
            })
            .chain(grant.and_then(|grant| grant.claim.terms).and_then(|terms| terms.subject.as_ref()))
            .filter_map(|party| party.account)
            .collect()
    };
    let (asked_for_named, asked_for) = (asking(named_request, named_grant), asking(request, grant));
    // INVARIANT D8: someone who neither asked nor executes. What only gives others what was asked for is done by whoever
    // it was, and nothing is done with it yet.
    let gives = |claim: &Claim<'_>, by| only_gives(case, request, claim, by);
    let acts = |claim: &Claim<'_>, by| {
        people.executor.account().is_some_and(|acts| case.is_same(acts, by)) && !gives(claim, by)
    };
    let asked = |claim: &Claim<'_>, by| {
        let who_asked = if named(claim) { &asked_for_named } else { &asked_for };
        let mut had_it_done =
            people.initiator.account().into_iter().chain(people.initiator.disputed.iter().copied());
        who_asked.iter().any(|asked| case.is_same(*asked, by))
            || had_it_done.any(|asked| case.is_same(asked, by)) && !gives(claim, by)
    };
    let approvers = case.controlled.as_ref().and_then(|controlled| controlled.approvers.as_ref());
    let worth = |claim: &Claim<'c>| match (answer(claim), approver(claim)) {
        (None, _) => Worth::Silent,
        _ if !target.is_named_by(claim) => Worth::OtherTarget,
        (Some(Answer::Refused), _) => Worth::Refused,
        (_, None) => Worth::Anonymous,
        _ if claim.time() > done => Worth::Late,
        _ if claim.time() > moment && !(held && claim.rec.is.basis == Basis::Enforced) => Worth::UnderWay,
        (_, Some(by)) if acts(claim, by) => Worth::ByWhoActs,
        (_, Some(by)) if asked(claim, by) => Worth::ByWhoAsked,
        _ if approving(claim).is_some_and(|by| is_machine(case, by)) => Worth::ByMachine,
        _ if withdrawn(claim) => Worth::Withdrawn,
        _ if claim.terms.and_then(|terms| terms.expires).is_some_and(|end| end <= moment) => Worth::Ended,
        (_, Some(by)) if approvers.is_some_and(|approvers| !approvers.contains(&by)) => Worth::NoAuthority,
        _ => Worth::Counts,
    };
    let answered = |claim: &Claim<'c>| {
        let also = related.iter().any(|other| {
            other.rec.voice() != claim.rec.voice()
                && answer(other) == answer(claim)
                && approver(other).is_some()
                && approver(other) == approver(claim)
                && same_target(other, claim)
        });
        let edge = match claim.rec.is.basis {
            Basis::Enforced => Edge::Proven,
            _ if also => Edge::Corroborated,
            _ => Edge::Asserted,
        };
        Answered {
            claim: *claim,
            by: approving(claim),
            worth: worth(claim),
            firm: claim.rec.firm() || also,
            named: named(claim),
            edge,
        }
    };
    related
        .iter()
        .filter(|claim| !matches!(claim.change(), Some(Change::Revoked | Change::Expired)))
        .map(answered)
        .collect()
}

impl Answered<'_> {
    /// In words, for one line.
    pub(crate) fn how(&self, moment: Timestamp) -> String {
        let said_by = self.claim.rec.said_by();
        let when = beside(self.claim.time(), moment);
        match self.worth.why() {
            Some(why) => format!("{when}; does not count: {why}; {said_by}"),
            None => format!("{when}; {said_by}"),
        }
    }
}

/// What an answer must be about to bear on the action.
struct Target<'c> {
    family: &'c BTreeSet<RecordId>,
    /// The request whose answer carries the action: the grant's, else the action's own.
    request: Option<RecordId>,
    grant: Option<RecordId>,
    /// Approvals that the action, its grant or its request name.
    named: BTreeSet<RecordId>,
    /// Those of them on which Deed let the action through: they were for the same call, made before.
    relied_on: BTreeSet<RecordId>,
}

impl<'c> Target<'c> {
    fn of(case: &'c Case<'c>, request: Option<&Asked<'c>>, grant: Option<&Given<'c>>) -> Self {
        let of_grant = grant.map(|grant| &grant.claim.rec.is);
        let of_request = request.map(|request| &request.claim.rec.is);
        let naming = case.of_action().map(|rec| &rec.is).chain(of_grant).chain(of_request);
        let head = &case.head().is;
        let of_head = head.approvals.as_ref().filter(|_| head.basis == Basis::Enforced);
        Target {
            family: &case.family,
            request: match grant {
                // A token may stand beside a request, and answers none.
                Some(grant) if grant.named && !grant.is_token() => grant.claim.rec.is.request,
                Some(grant) if !grant.named => request.map(|request| request.id),
                Some(grant) => grant.claim.rec.is.request.or(request.map(|request| request.id)),
                None => request.map(|request| request.id),
            },
            grant: of_grant.map(|grant| grant.id),
            relied_on: of_head.into_iter().flatten().copied().collect(),
            named: naming.flat_map(|rec| rec.approvals.iter().flatten().copied()).collect(),
        }
    }

    /// Whether the answer is about the action, or about the request that carries it.
    fn is_named_by(&self, claim: &Claim<'_>) -> bool {
        let rec = &claim.rec.is;
        let action = rec.action.is_some_and(|id| self.family.contains(&id));
        let request = rec.request.is_some() && rec.request == self.request;
        let grant = rec.grant.is_some() && rec.grant == self.grant;
        let unsaid = rec.action.is_none() && rec.request.is_none() && self.named.contains(&rec.id);
        let relied_on = rec.basis == Basis::Enforced && self.relied_on.contains(&rec.id);
        action || request || grant || unsaid || relied_on
    }

    /// Whether the action or what it relies on names the answer.
    fn names(&self, claim: &Claim<'_>) -> bool {
        self.named.contains(&claim.rec.is.id)
    }
}

/// Whether all that the action changes is to give, on the request that `claim` answers, something to others than `by`.
fn only_gives(case: &Case<'_>, request: Option<&Asked<'_>>, claim: &Claim<'_>, by: Account) -> bool {
    let answered = &claim.rec.is;
    let of_it = |rec: &Rec<'_>| rec.is.request.is_some() && rec.is.request == answered.request;
    if answered.action.is_some() || !case.of_action().any(of_it) {
        return false;
    }
    let effects = || case.of_action().flat_map(|rec| rec.is.effects.iter().flatten());
    let to_another = |effect: &Effect<'_>| {
        let to = effect.terms.as_ref().and_then(|terms| terms.subject.as_ref());
        let to = to.and_then(|party| party.account).map(|to| !case.is_same(to, by));
        match effect.kind {
            Kind::Approval => true,
            // Given to whoever asked, where nothing else is said.
            Kind::Grant => to.unwrap_or(request.is_some()),
            _ => to.unwrap_or(false),
        }
    };
    effects().any(|effect| effect.kind == Kind::Grant) && effects().all(to_another)
}

fn answer(claim: &Claim<'_>) -> Option<Answer> {
    claim.terms.and_then(|terms| terms.answer)
}

fn approving<'c>(claim: &Claim<'c>) -> Option<&'c Party<'c>> {
    let by = claim.terms.and_then(|terms| terms.by.as_ref());
    let rec = &claim.rec.is;
    [by, rec.executor.as_ref(), rec.initiator.as_ref()]
        .into_iter()
        .flatten()
        .find(|party| party.account.is_some())
}

/// Whether it is no person, as the inventory says, else the record.
fn is_machine(case: &Case<'_>, party: &Party<'_>) -> bool {
    matches!(case.kind(party), PrincipalType::Agent | PrincipalType::Workload | PrincipalType::ServiceAccount)
}

fn approver(claim: &Claim<'_>) -> Option<Account> {
    approving(claim).and_then(|party| party.account)
}

fn same_target(one: &Claim<'_>, other: &Claim<'_>) -> bool {
    let (one, other) = (&one.rec.is, &other.rec.is);
    one.request.is_some() && one.request == other.request
        || one.action.is_some() && one.action == other.action
}
