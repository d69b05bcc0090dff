//! What became of what somebody tried, and who was given a right, as far as one record tells: by this records are looked
//! up, and so what they tell must be the same for whoever asks.

use std::borrow::Cow;

use crate::{
    Account, Answer, Basis, Change, Kind, Party, Resource, Ruling, Skeleton, Status, Terms, Withdrawn,
};

/// What became of something that was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tried {
    /// A decision did not let it through, or it ended as `denied`.
    Denied,
    /// A decision let it through: it may be done.
    Allowed,
    /// It was seen to succeed.
    Done,
}

/// Whose right a record gives or changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Right<'r> {
    /// Somebody's.
    To(Account),
    /// That of whoever comes to this resource.
    On(&'r str),
    /// That of everybody in this system who has what was changed: a policy, a role, the membership of a group.
    In(&'r str),
}

/// The role of whoever acts in another's name, which they gave themselves.
pub const IMPERSONATION: &str = "impersonation";

impl Skeleton<'_> {
    /// In whose name, and with whose rights, it was done, where whoever acted gave that name themselves and was let: it
    /// tells nothing of who asked.
    pub fn impersonated(&self) -> Option<&Party<'_>> {
        let terms = self.terms.as_ref().filter(|_| self.kind.is_action())?;
        terms.subject.as_ref().filter(|_| terms.role.as_deref() == Some(IMPERSONATION))
    }

    /// What became of what this record tells of, who tried it and on what; `None` where it does not tell all of that.
    pub fn tried(&self) -> Option<(Tried, Account, Cow<'_, str>)> {
        let account = self.executor.as_ref()?.account?;
        let uri = self.acted_upon()?;
        let observed = matches!(self.kind, Kind::Observation | Kind::Step);
        let status = self.outcome.as_ref().map(|outcome| outcome.status).filter(|_| observed);
        let ruling = self.decision.as_ref().map(|decision| decision.effect);
        let tried = match (ruling, status) {
            (Some(Ruling::Allow), _) if self.kind == Kind::Intent => Tried::Allowed,
            (Some(Ruling::Deny | Ruling::StepUp), _) if observed || self.kind == Kind::Intent => {
                Tried::Denied
            }
            (_, Some(Status::Denied)) => Tried::Denied,
            (_, Some(Status::Success)) => Tried::Done,
            _ => return None,
        };
        Some((tried, account, uri))
    }

    /// What it acted upon, by the name that an inventory has for it: its resource, else the tool that was called, as
    /// `mcp:SERVER/TOOL`.
    pub fn acted_upon(&self) -> Option<Cow<'_, str>> {
        if let Some(resource) = &self.resource {
            return Some(Cow::Borrowed(&resource.uri));
        }
        let tool = self.tool.as_ref()?;
        Some(Cow::Owned(format!("mcp:{}/{}", tool.server.as_deref()?, tool.name)))
    }

    /// The server and the name of the tool that was called, as somebody else than Deed tells of it.
    pub fn called(&self) -> Option<(&str, &str)> {
        let acts = matches!(self.kind, Kind::Intent | Kind::Observation | Kind::Step);
        let tool = self.tool.as_ref().filter(|_| acts && self.basis != Basis::Enforced)?;
        Some((tool.server.as_deref()?, &*tool.name))
    }

    /// Who made a call that Deed decided on, by any door; of any other record nobody.
    pub fn calling(&self) -> Option<Account> {
        let decided = self.kind == Kind::Intent && self.basis == Basis::Enforced && self.decision.is_some();
        self.executor.as_ref().filter(|_| decided)?.account
    }

    /// Every name of the credential with which a call was made that Deed decided on, as shown to Deed and behind it; of
    /// any other record none.
    pub fn shown(&self) -> impl Iterator<Item = &str> {
        let decided = self.kind == Kind::Intent && self.basis == Basis::Enforced;
        let shown = self.credential.iter().filter(move |_| decided);
        shown.flat_map(|shown| shown.names().chain(shown.upstream.as_deref()))
    }

    /// Whom Deed stops at its own doors by this record (`true`), or lets go on.
    pub fn stops(&self) -> Option<(Account, bool)> {
        let terms = self.terms.as_ref().filter(|_| self.kind == Kind::Principal)?;
        let stops = match terms.change.filter(|_| self.basis == Basis::Enforced)? {
            Change::Revoked => true,
            Change::Renewed => false,
            _ => return None,
        };
        Some((terms.subject.as_ref()?.account?, stops))
    }

    /// Whose rights it tells of: to whom a grant is given, of whom one is changed or taken away; who is stopped by Deed,
    /// or let go on; from whom another system took something as a whole, or gave it back.
    pub fn entitles(&self) -> impl Iterator<Item = Account> {
        let own = (self.kind, self.terms.as_ref());
        let effects = self.effects.iter().flatten().map(|effect| (effect.kind, effect.terms.as_ref()));
        let grants = std::iter::once(own).chain(effects).filter(|(kind, _)| *kind == Kind::Grant);
        let given = grants.filter_map(|(_, terms)| terms?.subject.as_ref()?.account);
        let withdrawn = self.withdrawals().filter(|withdrawal| withdrawal.of != Withdrawn::Rights);
        let withdrawn = withdrawn.map(|withdrawal| withdrawal.account);
        given.chain(self.stops().map(|(account, _)| account)).chain(withdrawn)
    }

    /// Rights that it gives or changes: grants, approvals and exceptions that another system logged or Deed enforced, for
    /// nobody's own word gives one. What is taken away counts, too: it may have been what forbade something.
    pub fn gives(&self) -> impl Iterator<Item = Right<'_>> {
        self.given().flat_map(|(kind, terms, resource)| {
            let account = subject(terms);
            let open = kind == Kind::Grant && account.is_none();
            let shared = terms.filter(|terms| open && (terms.role.is_some() || !terms.scopes.is_empty()));
            let system = self.source.as_ref().map(|source| Right::In(&source.system));
            let on = resource.filter(|_| account.is_none()).map(|resource| Right::On(&resource.uri));
            [account.map(Right::To), on, system.filter(|_| shared.is_some())].into_iter().flatten()
        })
    }

    /// Resources on which it gives a right, and does not say to whom: whoever acts there may have it.
    pub fn opens(&self) -> impl Iterator<Item = &str> {
        let given = self.given().filter(|(kind, terms, _)| {
            let revoked = terms.is_some_and(|terms| terms.change == Some(Change::Revoked));
            *kind == Kind::Grant && !revoked && subject(*terms).is_none()
        });
        given.filter_map(|(_, _, resource)| resource.map(|resource| &*resource.uri))
    }

    fn given(&self) -> impl Iterator<Item = (Kind, Option<&Terms<'_>>, Option<&Resource<'_>>)> {
        let own = (self.kind, self.terms.as_ref(), self.resource.as_ref());
        let effects = self.effects.iter().flatten();
        let effects = effects.map(|effect| (effect.kind, effect.terms.as_ref(), effect.resource.as_ref()));
        let all = std::iter::once(own).chain(effects);
        all.filter(|(kind, terms, _)| self.basis != Basis::Reported && is_given(*kind, *terms))
    }
}

/// Whose right it is, where that is said.
fn subject(terms: Option<&Terms<'_>>) -> Option<Account> {
    terms?.subject.as_ref()?.account
}

fn is_given(kind: Kind, terms: Option<&Terms<'_>>) -> bool {
    let (change, answer) = (terms.and_then(|terms| terms.change), terms.and_then(|terms| terms.answer));
    let gives = matches!(change, None | Some(Change::Issued | Change::Renewed | Change::Altered));
    match kind {
        Kind::Grant => gives || change == Some(Change::Revoked),
        Kind::Exception => gives,
        Kind::Approval => gives && answer == Some(Answer::Approved),
        _ => false,
    }
}
