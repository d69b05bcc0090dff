//! What is known of one account or credential.
//!
//! Every operation here gives the same whatever came first: sums, least and greatest, the least so many of a
//! list. That alone makes the whole state independent of order (INVARIANT D6).

use deed_record::{Account, Change, PrincipalType, RecordId, Timestamp};

use crate::strings::{Strings, Sym};

use super::{
    keys::{CredentialKey, GrantKey, Mark},
    turns::{self, Turn},
    used::{self, AllSeen, Used},
    withdrawn::WithdrawnEntry,
};

/// Systems and environments that are counted apart for one account; what is beyond is in the sums alone.
pub(crate) const MOST_PLACES: usize = 64;
/// Accounts that are kept of those that one credential was given to, used by or asked for by.
pub(crate) const MOST_HOLDERS: usize = 8;

/// How good a word is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rank {
    /// Only the one who sent the record says so.
    Told,
    /// Another system's log says so.
    Logged,
    /// Deed itself decided, issued or verified it.
    Enforced,
}

/// What is known of one account.
#[derive(Clone, Debug)]
pub(crate) struct AccountEntry {
    pub(crate) tenant: Sym,
    /// A bit for each type that a log or Deed itself gave it.
    pub(crate) firm_types: u8,
    /// A bit for each type that senders gave it.
    pub(crate) told_types: u8,
    pub(crate) first: Mark,
    pub(crate) last: Mark,
    pub(crate) initiated: u64,
    pub(crate) executed: u64,
    /// Outcomes that say it was denied.
    pub(crate) denied: u64,
    /// Outcomes that say it failed or took too long.
    pub(crate) failed: u64,
    pub(crate) last_acted: Option<Mark>,
    /// The last of them that was neither denied nor failed, as its record says.
    pub(crate) last_done: Option<Mark>,
    pub(crate) places: Vec<Place>,
    pub(crate) used: Box<[Used]>,
    pub(crate) more_used: bool,
    pub(crate) seen: Option<Box<AllSeen>>,
    pub(crate) changes: Box<[ChangeEntry]>,
    /// What was taken from it as a whole.
    pub(crate) withdrawn: Box<[WithdrawnEntry]>,
    /// Locks that were put on it, the newest.
    pub(crate) locks: Box<[Lock]>,
    /// When a right of it was last taken back by what the right was.
    pub(crate) taken_back: Option<Mark>,
}

/// A lock that was put on an account.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Lock {
    pub(crate) put: Mark,
    pub(crate) thing: GrantKey,
}

/// Locks that are kept of one account.
const MOST_LOCKS: usize = 8;

/// Actions in one system and environment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) system: Sym,
    pub(crate) environment: Sym,
    pub(crate) initiated: u64,
    pub(crate) executed: u64,
}

/// What is known of one credential, by one of its names.
#[derive(Clone, Debug)]
pub(crate) struct CredentialEntry {
    pub(crate) tenant: Sym,
    pub(crate) kind: Sym,
    pub(crate) issuer: Sym,
    /// The credential it was derived from, and how good the word is.
    pub(crate) parent: Option<(Rank, CredentialKey)>,
    /// When it was made, as those who name it say; the earliest, 0 where nobody says.
    pub(crate) issued: Timestamp,
    /// When it ends, as said last of all; 0 where nobody says.
    pub(crate) expires: Timestamp,
    pub(crate) uses: u64,
    pub(crate) first_used: Option<Mark>,
    pub(crate) last_used: Option<Mark>,
    pub(crate) changes: Box<[ChangeEntry]>,
    pub(crate) holders: Box<[Holder]>,
    /// More accounts had to do with it than are kept.
    pub(crate) more_holders: bool,
    /// Other names of the same.
    pub(crate) also: Box<[CredentialKey]>,
    pub(crate) seen: Option<Box<AllSeen>>,
    /// The newest uses that logs tell of, by minute and address.
    pub(crate) turns: Box<[Turn]>,
}

/// What became of a credential or a grant, as often as it was said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ChangeEntry {
    pub(crate) change: Change,
    pub(crate) rank: Rank,
    pub(crate) count: u32,
    pub(crate) first: Mark,
    pub(crate) last: Timestamp,
}

/// What an account had to do with a credential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Role {
    /// It had the credential issued.
    Asked,
    /// It was issued to it.
    Given,
    /// It acted with it.
    Used,
}

/// An account that had to do with a credential, as one system saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    pub(crate) account: Account,
    pub(crate) role: Role,
    pub(crate) rank: Rank,
    pub(crate) system: Sym,
    /// The first record that says so.
    pub(crate) first: Mark,
}

impl AccountEntry {
    pub(crate) fn new(tenant: Sym, mark: Mark) -> Self {
        AccountEntry {
            tenant,
            firm_types: 0,
            told_types: 0,
            first: mark,
            last: mark,
            initiated: 0,
            executed: 0,
            denied: 0,
            failed: 0,
            last_acted: None,
            last_done: None,
            places: Vec::new(),
            used: Box::default(),
            more_used: false,
            seen: None,
            changes: Box::default(),
            withdrawn: Box::default(),
            locks: Box::default(),
            taken_back: None,
        }
    }

    /// Adds a lock that was put on it; of too many the newest are kept.
    pub(crate) fn lock(&mut self, lock: Lock) {
        keep_greatest(&mut self.locks, lock, MOST_LOCKS);
    }

    pub(crate) fn see(&mut self, kind: PrincipalType, rank: Rank, mark: Mark) {
        let types = if rank == Rank::Told { &mut self.told_types } else { &mut self.firm_types };
        *types |= bit(kind);
        self.first = self.first.min(mark);
        self.last = self.last.max(mark);
    }

    pub(crate) fn acted(&mut self, mark: Mark, in_vain: bool) {
        self.last_acted = self.last_acted.max(Some(mark));
        self.last_done = self.last_done.max(Some(mark).filter(|_| !in_vain));
    }

    pub(crate) fn used(&mut self, used: Used, strings: &Strings) {
        self.more_used |= used::add(&mut self.used, used, strings);
    }

    /// Counts what was done in one place. Of too many places the least by name are kept: they were never dropped.
    pub(crate) fn count(&mut self, place: Place, strings: &Strings) {
        self.initiated += place.initiated;
        self.executed += place.executed;
        self.place(place, strings);
    }

    fn place(&mut self, place: Place, strings: &Strings) {
        let name = |place: &Place| (strings.word(place.system), strings.word(place.environment));
        // Most accounts are seen in one or two places.
        let same =
            |other: &&mut Place| other.system == place.system && other.environment == place.environment;
        if let Some(known) = self.places.iter_mut().find(same) {
            known.initiated += place.initiated;
            known.executed += place.executed;
            return;
        }
        let at = self.places.partition_point(|other| name(other) < name(&place));
        self.places.insert(at, place);
        self.places.truncate(MOST_PLACES);
    }

    pub(crate) fn merge(&mut self, other: &AccountEntry, strings: &Strings, sym: &dyn Fn(Sym) -> Sym) {
        self.firm_types |= other.firm_types;
        self.told_types |= other.told_types;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.initiated += other.initiated;
        self.executed += other.executed;
        self.denied += other.denied;
        self.failed += other.failed;
        self.last_acted = self.last_acted.max(other.last_acted);
        self.last_done = self.last_done.max(other.last_done);
        self.more_used |= other.more_used;
        other.used.iter().for_each(|used| self.used(Used { what: sym(used.what), ..*used }, strings));
        AllSeen::merge(&mut self.seen, other.seen.as_deref());
        other.changes.iter().for_each(|entry| change(&mut self.changes, *entry));
        for entry in &other.withdrawn {
            let entry = WithdrawnEntry { system: sym(entry.system), kind: sym(entry.kind), ..*entry };
            self.withdraw(entry, strings);
        }
        other.locks.iter().for_each(|lock| self.lock(*lock));
        self.taken_back = self.taken_back.max(other.taken_back);
        for place in &other.places {
            let place = Place { system: sym(place.system), environment: sym(place.environment), ..*place };
            self.place(place, strings);
        }
    }

    /// What it is: as a log or Deed says, else as senders say; `Err` where they say several things.
    pub(crate) fn kind(&self) -> Result<PrincipalType, ()> {
        let unknown = bit(PrincipalType::Unknown);
        let (firm, told) = (self.firm_types & !unknown, self.told_types & !unknown);
        let types = if firm == 0 { told } else { firm };
        let mut known = PrincipalType::ALL.iter().filter(|kind| types & bit(**kind) != 0);
        match (known.next(), known.next()) {
            (None, _) => Ok(PrincipalType::Unknown),
            (Some(kind), None) => Ok(*kind),
            (Some(_), Some(_)) => Err(()),
        }
    }

    /// What it is; unknown also where it is said to be several things.
    pub(crate) fn only_kind(&self) -> PrincipalType {
        self.kind().unwrap_or(PrincipalType::Unknown)
    }

    /// Every type it was given, firm or not.
    pub(crate) fn types(&self) -> impl Iterator<Item = PrincipalType> + '_ {
        let types = if self.firm_types & !bit(PrincipalType::Unknown) == 0 {
            self.told_types
        } else {
            self.firm_types
        };
        PrincipalType::ALL.iter().copied().filter(move |kind| types & bit(*kind) != 0)
    }

    /// The types that it was given, where they are several.
    pub(crate) fn contradicting(&self) -> Vec<PrincipalType> {
        let kinds: Vec<PrincipalType> = self.types().filter(|kind| *kind != PrincipalType::Unknown).collect();
        if kinds.len() > 1 { kinds } else { Vec::new() }
    }
}

fn bit(kind: PrincipalType) -> u8 {
    1 << (kind as u8)
}

impl CredentialEntry {
    pub(crate) fn new(tenant: Sym) -> Self {
        CredentialEntry {
            tenant,
            kind: Sym::default(),
            issuer: Sym::default(),
            parent: None,
            issued: Timestamp(0),
            expires: Timestamp(0),
            uses: 0,
            first_used: None,
            last_used: None,
            changes: Box::default(),
            holders: Box::default(),
            more_holders: false,
            also: Box::default(),
            seen: None,
            turns: Box::default(),
        }
    }

    /// The best word on the parent; of equally good ones the least.
    pub(crate) fn derive(&mut self, rank: Rank, parent: CredentialKey) {
        let better = |(old, key): &(Rank, CredentialKey)| {
            (rank, std::cmp::Reverse(parent)) > (*old, std::cmp::Reverse(*key))
        };
        if self.parent.as_ref().is_none_or(better) {
            self.parent = Some((rank, parent));
        }
    }

    pub(crate) fn made_at(&mut self, issued: Timestamp) {
        let said = [self.issued, issued].into_iter().filter(|said| said.0 != 0);
        self.issued = said.min().unwrap_or_default();
    }

    pub(crate) fn use_at(&mut self, mark: Mark, uses: u64) {
        self.uses += uses;
        self.first_used = Some(self.first_used.map_or(mark, |first| first.min(mark)));
        self.last_used = Some(self.last_used.map_or(mark, |last| last.max(mark)));
    }

    /// Adds a holder; whether the account was none before. Of too many accounts the least are kept.
    pub(crate) fn hold(&mut self, holder: Holder, strings: &Strings) -> bool {
        let name = |holder: &Holder| {
            (holder.account, holder.role, strings.word(holder.system).to_owned(), holder.rank)
        };
        let same = |other: &&mut Holder| {
            (other.account, other.role, other.system, other.rank)
                == (holder.account, holder.role, holder.system, holder.rank)
        };
        if let Some(known) = self.holders.iter_mut().find(same) {
            known.first = known.first.min(holder.first);
            return false;
        }
        let new = self.holders.iter().all(|known| known.account != holder.account);
        let mut holders = std::mem::take(&mut self.holders).into_vec();
        let at = holders.partition_point(|other| name(other) < name(&holder));
        holders.insert(at, holder);
        if holders.len() > MOST_HOLDERS {
            holders.truncate(MOST_HOLDERS);
            self.more_holders = true;
        }
        self.holders = holders.into_boxed_slice();
        new && self.holders.iter().any(|known| known.account == holder.account)
    }

    pub(crate) fn known_as(&mut self, other: CredentialKey) {
        if let Err(at) = self.also.binary_search(&other) {
            let mut also = std::mem::take(&mut self.also).into_vec();
            also.insert(at, other);
            also.truncate(MOST_HOLDERS);
            self.also = also.into_boxed_slice();
        }
    }

    pub(crate) fn merge(&mut self, other: &CredentialEntry, strings: &Strings, sym: &dyn Fn(Sym) -> Sym) {
        self.kind = strings.least(self.kind, sym(other.kind));
        self.issuer = strings.least(self.issuer, sym(other.issuer));
        if let Some((rank, parent)) = other.parent {
            self.derive(rank, parent);
        }
        self.made_at(other.issued);
        self.expires = self.expires.max(other.expires);
        if let Some(first) = other.first_used {
            self.use_at(first, other.uses);
        }
        if let Some(last) = other.last_used {
            self.use_at(last, 0);
        }
        AllSeen::merge(&mut self.seen, other.seen.as_deref());
        other.changes.iter().for_each(|entry| change(&mut self.changes, *entry));
        for holder in &other.holders {
            self.hold(Holder { system: sym(holder.system), ..*holder }, strings);
        }
        self.more_holders |= other.more_holders;
        other.turns.iter().for_each(|turn| turns::add(&mut self.turns, *turn));
        other.also.iter().for_each(|also| self.known_as(*also));
    }
}

/// Adds what became of something.
pub(crate) fn change(changes: &mut Box<[ChangeEntry]>, entry: ChangeEntry) {
    let name = |entry: &ChangeEntry| (entry.change, entry.rank);
    match changes.binary_search_by_key(&name(&entry), name) {
        Ok(at) => {
            let known = &mut changes[at];
            known.count += entry.count;
            known.first = known.first.min(entry.first);
            known.last = known.last.max(entry.last);
        }
        Err(at) => {
            let mut all = std::mem::take(changes).into_vec();
            all.insert(at, entry);
            *changes = all.into_boxed_slice();
        }
    }
}

impl Mark {
    /// The record.
    pub(crate) fn id(self) -> RecordId {
        self.1
    }
}

/// Adds `new` in its place, once; of more than `most` the greatest are kept, whichever came first (INVARIANT D6).
pub(super) fn keep_greatest<T: Ord + Copy>(kept: &mut Box<[T]>, new: T, most: usize) {
    let Err(at) = kept.binary_search(&new) else { return };
    if kept.len() >= most && at == 0 {
        return;
    }
    let mut all = std::mem::take(kept).into_vec();
    all.insert(at, new);
    let over = all.len().saturating_sub(most);
    *kept = all.split_off(over).into_boxed_slice();
}
