//! What was taken as a whole from whoever acted, as the log says that tells of the action.

use std::collections::BTreeMap;

use deed_record::{Basis, RecordId, Skeleton, Timestamp, Withdrawal, Withdrawn};

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
}

/// What was taken, the one that says most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Account,
    Rights,
    Credentials,
}

/// Of two words of one time, that which gives back holds.
type When = (Timestamp, bool, RecordId);

/// What was taken from whoever acted. What one system takes is of its own account, and ends nothing elsewhere.
pub(crate) fn of<'c>(links: &Links<'c>) -> Option<Taken<'c>> {
    let case = links.case;
    let head = case.head();
    let acting = head.is.executor.as_ref()?.account.filter(|_| head.is.basis == Basis::Imported)?;
    let told_before = |rec: &&Rec<'_>| rec.is.time < case.time() && rec.voice() == head.voice();
    let mut newest: BTreeMap<Sort, (When, &'c Rec<'c>, Withdrawal<'c>)> = BTreeMap::new();
    for rec in case.records.iter().filter(told_before) {
        for withdrawal in rec.is.withdrawals().filter(|withdrawal| withdrawal.account == acting) {
            let Some(sort) = bears(links, withdrawal.of) else { continue };
            let when = (rec.is.time, !withdrawal.taken, rec.is.id);
            if newest.get(&sort).is_none_or(|(known, ..)| *known < when) {
                newest.insert(sort, (when, rec, withdrawal));
            }
        }
    }
    let holds = |taken: &Withdrawal<'_>| taken.taken && taken.until.is_none_or(|until| case.time() < until);
    let mut taken = newest.into_iter().filter(|(_, (.., withdrawal))| holds(withdrawal));
    taken.next().map(|(sort, (_, rec, _))| Taken { rec, sort })
}

/// What of it was withdrawn, where the action was done with that.
fn bears(links: &Links<'_>, of: Withdrawn<'_>) -> Option<Sort> {
    let used = links.lineage.used.map(|(_, credential)| credential);
    match of {
        Withdrawn::Account => Some(Sort::Account),
        // What is open to everybody needs no right: a credential was shown to use one.
        Withdrawn::Rights if is_public(&links.case.head().is) => None,
        Withdrawn::Rights => used?.names().next().map(|_| Sort::Rights),
        Withdrawn::Credentials { kind, before } => {
            let used = used.filter(|used| used.kind.as_deref() == Some(kind))?;
            let issued = links.lineage.own().into_iter().flat_map(|own| own.issued_before(links.case.time()));
            let issued = issued.map(|claim| claim.time()).min();
            used.issued.or(issued).filter(|issued| *issued < before).map(|_| Sort::Credentials)
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

impl Taken<'_> {
    /// In words.
    pub(crate) fn words(self) -> String {
        let what = match self.sort {
            Sort::Account => "whoever acted was removed, suspended or locked",
            Sort::Rights => "all rights of whoever acted were taken away",
            Sort::Credentials => "credentials of this type, made as early, were revoked",
        };
        format!("{what} at {}, before the action ({})", moment(self.rec.is.time), self.rec.said_by())
    }
}
