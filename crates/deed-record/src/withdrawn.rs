//! What was taken from somebody as a whole, or given back, as the log of another system tells: by this records are looked
//! up, as by what [`Skeleton::tried`] tells.

use crate::{Account, Basis, Change, Credential, Kind, Resource, Skeleton, Terms, Timestamp};

/// Something was taken from somebody as a whole, or given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Withdrawal<'r> {
    /// From whom.
    pub account: Account,
    /// What.
    pub of: Withdrawn<'r>,
    /// Whether it was taken (`revoked`), let go on (`renewed`), or given anew (`issued`).
    pub change: Change,
    /// When that ends by itself, as a lock may.
    pub until: Option<Timestamp>,
}

/// What can be taken as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Withdrawn<'r> {
    /// The account itself: it was removed, suspended or locked.
    Account,
    /// All rights in the system whose log tells, such as a membership of an organisation.
    Rights,
    /// Credentials of one type that were made before a time.
    Credentials {
        /// The type.
        kind: &'r str,
        /// The first time of making that it does not touch.
        before: Timestamp,
    },
}

impl Withdrawal<'_> {
    /// Whether it was taken, rather than given back.
    pub fn is_taken(&self) -> bool {
        self.change == Change::Revoked
    }
}

impl Withdrawn<'_> {
    /// Whether a credential of type `kind`, made at `issued`, is among the [`Credentials`](Withdrawn::Credentials).
    pub fn has(self, kind: Option<&str>, issued: Option<Timestamp>) -> bool {
        match self {
            Withdrawn::Credentials { kind: of, before } => {
                kind == Some(of) && issued.is_some_and(|issued| issued < before)
            }
            Withdrawn::Account | Withdrawn::Rights => false,
        }
    }
}

/// Whether both may be names of one system: `entra`, where a log does not say which, may be `entra:TENANT`.
fn may_be_one(one: &str, other: &str) -> bool {
    let within = |whole: &str, part: &str| whole.strip_prefix(part).is_some_and(|rest| rest.starts_with(':'));
    one == other || within(one, other) || within(other, one)
}

/// The systems of Shared Signals: whoever has an account tells others what became of it.
const SIGNALS: &str = "ssf:";

/// Whether what `teller` says was taken from an account is taken where `system` logs what that account does: both may be
/// names of one system, or it is a signal about that account.
pub fn tells_of(teller: &str, system: &str) -> bool {
    may_be_one(teller, system) || teller.starts_with(SIGNALS)
}

/// The type of a resource that stops somebody as long as it is there.
const LOCK: &str = "lock";

/// What a record says of authority.
type Said<'r, 'a> = (Kind, Option<&'r Terms<'a>>, Option<&'r Credential<'a>>, Option<&'r Resource<'a>>);

impl Skeleton<'_> {
    /// What the log of another system says was taken from somebody as a whole, or given back. Nobody's own word takes
    /// anything, and what Deed stops at its own doors it stops itself ([`Skeleton::stops`]).
    pub fn withdrawals(&self) -> impl Iterator<Item = Withdrawal<'_>> {
        let own = (self.kind, self.terms.as_ref(), self.credential.as_ref(), self.resource.as_ref());
        let effects = self.effects.iter().flatten().map(|effect| {
            (effect.kind, effect.terms.as_ref(), effect.credential.as_ref(), effect.resource.as_ref())
        });
        let logged = std::iter::once(own).chain(effects).filter(|_| self.basis == Basis::Imported);
        logged.filter_map(|said| self.withdrawal(said))
    }

    /// The lock, by its URI, that another system's log says was put on somebody.
    pub fn locks(&self) -> Option<&str> {
        let lock = self.resource.as_ref().filter(|resource| resource.kind.as_deref() == Some(LOCK))?;
        let takes = |taken: &Withdrawal<'_>| taken.of == Withdrawn::Account && taken.is_taken();
        self.withdrawals().any(|withdrawal| takes(&withdrawal)).then_some(&*lock.uri)
    }

    /// The lock, by its URI, that another system's log says was lifted, without a word on whom it was put on.
    pub fn lifts(&self) -> Option<&str> {
        let lifted = |effect: &&crate::Effect<'_>| {
            let terms = effect.terms.as_ref();
            effect.kind == Kind::Principal
                && terms.is_some_and(|terms| terms.change == Some(Change::Renewed) && terms.subject.is_none())
        };
        let mut effects = self.effects.iter().flatten().filter(|_| self.basis == Basis::Imported);
        let lock = effects.find(lifted)?.resource.as_ref()?;
        (lock.kind.as_deref() == Some(LOCK)).then_some(&*lock.uri)
    }

    fn withdrawal<'r>(&'r self, (kind, terms, credential, resource): Said<'r, '_>) -> Option<Withdrawal<'r>> {
        let terms = terms?;
        let account = terms.subject.as_ref()?.account?;
        let change = terms.change?;
        let (taken, given) = match change {
            Change::Revoked => (true, false),
            Change::Issued | Change::Renewed => (false, true),
            _ => return None,
        };
        let of = match kind {
            Kind::Principal => Withdrawn::Account,
            // Without role and scope it is all that they had there, and there is everywhere.
            Kind::Grant => {
                let system = self.source.as_ref().map(|source| &*source.system);
                let everywhere = system.is_some() && resource.map(|resource| &*resource.uri) == system;
                let all = everywhere && terms.role.is_none() && terms.scopes.is_empty();
                (given || all).then_some(Withdrawn::Rights)?
            }
            Kind::Credential => {
                let credential = credential.filter(|credential| credential.names().next().is_none())?;
                let renewed = change == Change::Renewed;
                let kind = credential.kind.as_deref().filter(|_| taken || renewed)?;
                Withdrawn::Credentials { kind, before: terms.not_before.unwrap_or(self.time) }
            }
            _ => return None,
        };
        Some(Withdrawal { account, of, change, until: terms.expires.filter(|_| taken) })
    }
}
