//! What was taken as a whole from whoever acted, as the log says that tells of the action.

use std::collections::BTreeMap;

use deed_record::{
    Account, Basis, Change, Effect, Party, PrincipalType, RecordId, Skeleton, Timestamp, Withdrawal,
    Withdrawn, tells_of,
};

use crate::{
    case::{PUBLIC, Rec},
    verb::Verb,
    verdict::Links,
    words::moment,
};

/// Something was taken, and not given back before the action.
#[derive(Clone, Copy)]
pub(crate) struct Taken<'c> {
    /// The record that says so.
    pub(crate) rec: &'c Rec<'c>,
    sort: Sort,
    /// It was taken from whoever it was done for: a token that they had given acts on.
    from_asker: bool,
    /// Nothing tells with what it was done.
    unshown: bool,
}

/// How long tokens hold that were given before, of systems that look at the account only when they give one.
const TOKEN_LIFETIME: i64 = 60 * 60 * 1_000_000;

/// What was taken, the one that says most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Account,
    Rights,
    Credentials,
}

/// Of two words of one time, that which gives back holds.
type When = (Timestamp, bool, RecordId);

/// What was taken from whoever acted, or for whom they did. What one system takes is of its own accounts, and ends nothing
/// elsewhere; a signal tells others of just that account.
pub(crate) fn of<'c>(links: &Links<'c>) -> Option<Taken<'c>> {
    let head = &links.case.head().is;
    let account = |party: &Option<Party<'_>>| party.as_ref()?.account;
    let (acting, asking) = (account(&head.executor), account(&head.initiator));
    let of = |account: Account| from(links, account).filter(|_| head.basis == Basis::Imported);
    let asking = asking.filter(|asking| acting != Some(*asking));
    let from_asker = || of(asking?).map(|taken| Taken { from_asker: true, ..taken });
    let taken = acting.and_then(of).or_else(from_asker)?;
    // Whoever clears up after somebody uses nothing of theirs.
    let by_what_is_left = taken.from_asker || taken.sort == Sort::Rights && taken.unshown;
    (!(by_what_is_left && clears_up(head))).then_some(taken)
}

/// Whether all that `rec` changes is to end what its own parties had, or had let an application do.
fn clears_up(rec: &Skeleton<'_>) -> bool {
    let own = |subject: &Party<'_>| {
        let mut parties = [&rec.executor, &rec.initiator].into_iter().flatten();
        subject.kind == PrincipalType::ThirdParty || parties.any(|party| party.account == subject.account)
    };
    let ends = |effect: &Effect<'_>| {
        let terms = effect.terms.as_ref();
        let change = terms.and_then(|terms| terms.change);
        matches!(change, Some(Change::Revoked | Change::Expired))
            && terms.and_then(|terms| terms.subject.as_ref()).is_none_or(own)
    };
    let mut effects = rec.effects.iter().flatten().peekable();
    effects.peek().is_some() && effects.all(ends)
}

fn from<'c>(links: &Links<'c>, account: Account) -> Option<Taken<'c>> {
    let case = links.case;
    let here = case.head().voice();
    // A lock may be lifted by its name alone.
    let is_lifted = |rec: &Rec<'_>| {
        let lock = rec.is.locks();
        let since = |later: &Rec<'_>| rec.is.time < later.is.time && later.is.time < case.time();
        let lifts = |later: &Rec<'_>| later.is.lifts() == lock && later.voice() == rec.voice();
        lock.is_some() && case.records.iter().any(|later| since(later) && lifts(later))
    };
    let told_before =
        |rec: &&Rec<'_>| rec.is.time < case.time() && tells_of(rec.voice(), here) && !is_lifted(rec);
    let mut newest: BTreeMap<Sort, (When, &'c Rec<'c>, Withdrawal<'c>)> = BTreeMap::new();
    for rec in case.records.iter().filter(told_before) {
        for withdrawal in rec.is.withdrawals().filter(|withdrawal| withdrawal.account == account) {
            // Rights are those in one system.
            if withdrawal.of == Withdrawn::Rights && rec.voice() != here {
                continue;
            }
            let Some(sort) = bears(links, withdrawal.of) else { continue };
            let when = (rec.is.time, !withdrawal.is_taken(), rec.is.id);
            if newest.get(&sort).is_none_or(|(known, ..)| *known < when) {
                newest.insert(sort, (when, rec, withdrawal));
            }
        }
    }
    let holds =
        |taken: &Withdrawal<'_>| taken.is_taken() && taken.until.is_none_or(|until| case.time() < until);
    let mut taken = newest.into_iter().filter(|(_, (.., withdrawal))| holds(withdrawal));
    let used = links.lineage.used.and_then(|(_, credential)| credential.names().next());
    let unshown = used.is_none();
    taken.next().map(|(sort, (_, rec, _))| Taken { rec, sort, from_asker: false, unshown })
}

/// What of it was withdrawn, where the action was done with that.
fn bears(links: &Links<'_>, of: Withdrawn<'_>) -> Option<Sort> {
    let used = links.lineage.used.map(|(_, credential)| credential);
    match of {
        Withdrawn::Account => Some(Sort::Account),
        // What is open to everybody needs no right: a credential was shown to use one, or it was done where one is needed.
        Withdrawn::Rights => {
            let head = &links.case.head().is;
            let shown = used.is_some_and(|used| used.names().next().is_some());
            ((shown || head.resource.is_some()) && !is_public(head)).then_some(Sort::Rights)
        }
        Withdrawn::Credentials { .. } => {
            let used = used?;
            let issued = links.lineage.own().into_iter().flat_map(|own| own.issued_before(links.case.time()));
            let issued = issued.map(|claim| claim.time()).chain(used.issued).min();
            of.has(used.kind.as_deref(), issued).then_some(Sort::Credentials)
        }
    }
}

/// Whether it is what anybody may do in a public place: read there, or hand in something that is its own.
fn is_public(rec: &Skeleton<'_>) -> bool {
    let public = rec.resource.as_ref().and_then(|resource| resource.classification.as_deref());
    public == Some(PUBLIC)
        && rec.effects.iter().flatten().next().is_none()
        && matches!(Verb::of(rec), Some(Verb::Read | Verb::Create))
}

impl<'c> Taken<'c> {
    /// When, and the record that says so, where it ended the credential that was used: all rights in one system are no
    /// matter of it.
    pub(crate) fn end_of_credential(self) -> Option<&'c Rec<'c>> {
        (self.sort != Sort::Rights && !self.from_asker).then_some(self.rec)
    }

    /// Whether it may be an after-effect of what was let before, rather than a use of what is gone.
    pub(crate) fn may_be_late(self, time: Timestamp) -> bool {
        let lately = self.from_asker && time.0 - self.rec.is.time.0 <= TOKEN_LIFETIME;
        lately || self.sort == Sort::Rights && self.unshown
    }

    /// In words.
    pub(crate) fn words(self, time: Timestamp) -> String {
        let who = if self.from_asker { "whoever it was done for" } else { "whoever acted" };
        let what = match self.sort {
            Sort::Account => format!("{who} was removed, suspended or locked"),
            Sort::Rights => format!("all rights of {who} were taken away"),
            Sort::Credentials => "credentials of this type, made as early, were revoked".to_owned(),
        };
        let late = match self.may_be_late(time) {
            true if self.from_asker => "; a token that they had given may hold for an hour more",
            true => "; nothing tells with what it was done",
            false => "",
        };
        format!("{what} at {}, before the action ({}){late}", moment(self.rec.is.time), self.rec.said_by())
    }
}
