//! Everything that records say about who is who, folded one record at a time.

mod dump;
mod entry;
mod fold;
mod keys;

use std::collections::HashMap;

use deed_record::{Account, Change, PrincipalType, RecordId, Timestamp};

use crate::{bounded::Bounded, strings::Strings};

pub use dump::BadDump;
pub(crate) use entry::{AccountEntry, CredentialEntry, Holder};
pub use entry::{Rank, Role};
pub use keys::{CredentialKey, GrantKey};

use entry::{GrantEntry, LinkEntry};

/// How much is kept. What is beyond is left out by key, the same keys whatever came first; what was left out is
/// said by [`State::left_out`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Accounts; about 400 bytes each.
    pub accounts: usize,
    /// Names of credentials; about 700 bytes each.
    pub credentials: usize,
    /// Grants; about 250 bytes each.
    pub grants: usize,
    /// Pairs of accounts of which one acted for the other; about 150 bytes each.
    pub links: usize,
}

impl Default for Bounds {
    /// 262,144 accounts, 1,048,576 credentials, 262,144 grants and as many pairs: about 1 GB where all is full.
    fn default() -> Self {
        Bounds { accounts: 1 << 18, credentials: 1 << 20, grants: 1 << 18, links: 1 << 18 }
    }
}

/// What the records that were folded say about identities. A pure function of the set of those records: any
/// order, and any split into parts that are merged, gives the same (INVARIANT D6).
///
/// Only skeletons are looked at, so that redaction changes nothing (INVARIANT D14). An observation that a later
/// one corrects must not be folded; who folds knows which those are.
#[derive(Clone, Debug)]
pub struct State {
    strings: Strings,
    accounts: Bounded<Account, AccountEntry>,
    credentials: Bounded<CredentialKey, CredentialEntry>,
    grants: Bounded<GrantKey, GrantEntry>,
    links: Bounded<(Account, Account), LinkEntry>,
    /// Credentials that an account had to do with, and grants that it was given: derived, in no dump.
    index: Index,
    records: u64,
}

#[derive(Clone, Debug, Default)]
struct Index {
    credentials: HashMap<Account, Vec<CredentialKey>>,
    grants: HashMap<Account, Vec<GrantKey>>,
    /// Whom an account acted for, or who acted for it.
    links: HashMap<Account, Vec<(Account, Account)>>,
    children: HashMap<CredentialKey, Vec<CredentialKey>>,
}

/// How many entries there are of each sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// Accounts.
    pub accounts: u64,
    /// Names of credentials.
    pub credentials: u64,
    /// Grants.
    pub grants: u64,
    /// Pairs of accounts.
    pub links: u64,
}

/// What is known of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountFacts {
    /// What it is; `unknown` also where records give it several types.
    pub kind: PrincipalType,
    /// Every type that it was given, where those are several.
    pub kinds: Vec<PrincipalType>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// The first record that names it.
    pub first_record: RecordId,
    /// The last one.
    pub last_record: RecordId,
    /// Actions that it asked for.
    pub initiated: u64,
    /// Actions that it did.
    pub executed: u64,
    /// The same by system and environment, by name.
    pub places: Vec<PlaceFacts>,
}

/// Actions of one account in one system and environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceFacts {
    /// The system whose log tells; `deed` where Deed itself does; else who sent the record.
    pub system: String,
    /// The environment; empty where records say none.
    pub environment: String,
    /// Actions that it asked for.
    pub initiated: u64,
    /// Actions that it did.
    pub executed: u64,
}

/// What is known of a credential, under all the names that belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialFacts {
    /// One of its names, the least.
    pub key: CredentialKey,
    /// `bearer`, `access_key`, …
    pub kind: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// What it was derived from.
    pub parent: Option<CredentialKey>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Actions that were done with it.
    pub uses: u64,
    /// The first of them.
    pub first_used: Option<(Timestamp, RecordId)>,
    /// The last of them.
    pub last_used: Option<(Timestamp, RecordId)>,
    /// What became of it.
    pub changes: Vec<ChangeFacts>,
    /// Who had to do with it.
    pub holders: Vec<HolderFacts>,
    /// More accounts had to do with it than are listed.
    pub more_holders: bool,
}

/// What became of a credential or a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangeFacts {
    /// What happened to it.
    pub change: Change,
    /// How good the word is.
    pub rank: Rank,
    /// How often it was said.
    pub count: u32,
    /// When it happened first.
    pub first: Timestamp,
    /// When it happened last.
    pub last: Timestamp,
    /// The first record that says so.
    pub record: RecordId,
}

/// An account that had to do with a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HolderFacts {
    /// The account.
    pub account: Account,
    /// What it had to do with it.
    pub role: Role,
    /// How good the word is.
    pub rank: Rank,
    /// Whose word it is.
    pub system: String,
    /// The first record that says so.
    pub record: RecordId,
}

/// What is known of a grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantFacts {
    /// The grant.
    pub key: GrantKey,
    /// To whom it was given.
    pub subject: Option<Account>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Actions that name it.
    pub uses: u64,
    /// The last of them.
    pub last_used: Option<(Timestamp, RecordId)>,
    /// What became of it.
    pub changes: Vec<ChangeFacts>,
}

/// One account acted for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkFacts {
    /// For whom.
    pub from: Account,
    /// Who acted.
    pub to: Account,
    /// How good the best word is.
    pub rank: Rank,
    /// Actions.
    pub count: u64,
    /// The first of them.
    pub first: (Timestamp, RecordId),
    /// The last of them.
    pub last: (Timestamp, RecordId),
}

/// What stands of a credential or a grant at a moment, by event time alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// It was given, and nothing says that it ended.
    Active,
    /// Its time was over.
    Expired,
    /// It was replaced by another.
    Rotated,
    /// It was taken away.
    Revoked,
    /// No record tells that it was given, nor that it ended.
    Unknown,
}

impl Standing {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::Active => "active",
            Standing::Expired => "expired",
            Standing::Rotated => "rotated",
            Standing::Revoked => "revoked",
            Standing::Unknown => "unknown",
        }
    }

    /// What stands at `now` of something that became of `changes` and ends at `expires`.
    ///
    /// Bad news counts whoever brings it; only a later word at least as firm takes it back.
    pub fn at(now: Timestamp, changes: &[ChangeFacts], expires: Option<Timestamp>) -> Self {
        let ended = |change: Change| {
            changes.iter().filter(|entry| entry.change == change && entry.first <= now).any(|end| {
                !changes.iter().any(|begin| {
                    matches!(begin.change, Change::Issued | Change::Renewed)
                        && begin.last <= now
                        && begin.last > end.last
                        && (begin.rank > Rank::Told || end.rank == Rank::Told)
                })
            })
        };
        if ended(Change::Revoked) {
            Standing::Revoked
        } else if ended(Change::Expired) || expires.is_some_and(|expires| expires <= now) {
            Standing::Expired
        } else if ended(Change::Rotated) {
            Standing::Rotated
        } else if changes.iter().any(|entry| entry.change != Change::Requested && entry.first <= now) {
            Standing::Active
        } else {
            Standing::Unknown
        }
    }
}

impl Default for State {
    fn default() -> Self {
        State::new(Bounds::default())
    }
}

impl State {
    /// Knows nothing yet, and will never hold more than `bounds`.
    pub fn new(bounds: Bounds) -> Self {
        State {
            strings: Strings::default(),
            accounts: Bounded::new(bounds.accounts),
            credentials: Bounded::new(bounds.credentials),
            grants: Bounded::new(bounds.grants),
            links: Bounded::new(bounds.links),
            index: Index::default(),
            records: 0,
        }
    }

    /// Records that were folded.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// How much there is.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            accounts: self.accounts.len() as u64,
            credentials: self.credentials.len() as u64,
            grants: self.grants.len() as u64,
            links: self.links.len() as u64,
        }
    }

    /// What there was no room for, in words; empty where everything is here.
    pub fn left_out(&self) -> Vec<String> {
        let levels = [
            ("accounts", self.accounts.level()),
            ("credentials", self.credentials.level()),
            ("grants", self.grants.level()),
            ("pairs of accounts", self.links.level()),
        ];
        let over = levels.into_iter().filter(|(_, level)| *level > 0);
        over.map(|(what, level)| format!("there are more {what} than are kept: one in {} is", 1_u64 << level))
            .collect()
    }

    /// What is known of `account`.
    pub fn account(&self, account: Account) -> Option<AccountFacts> {
        let entry = self.accounts.get(&account)?;
        let kinds: Vec<PrincipalType> =
            entry.types().filter(|kind| *kind != PrincipalType::Unknown).collect();
        Some(AccountFacts {
            kind: entry.kind().unwrap_or(PrincipalType::Unknown),
            kinds: if kinds.len() > 1 { kinds } else { Vec::new() },
            first_seen: entry.first.0,
            last_seen: entry.last.0,
            first_record: entry.first.id(),
            last_record: entry.last.id(),
            initiated: entry.initiated,
            executed: entry.executed,
            places: entry
                .places
                .iter()
                .map(|place| PlaceFacts {
                    system: self.strings.word(place.system).to_owned(),
                    environment: self.strings.word(place.environment).to_owned(),
                    initiated: place.initiated,
                    executed: place.executed,
                })
                .collect(),
        })
    }

    /// The tenant that `account` is of.
    pub fn tenant_of(&self, account: Account) -> Option<&str> {
        self.accounts.get(&account).map(|entry| self.strings.word(entry.tenant))
    }

    /// Every account, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = Account> {
        self.accounts.iter().map(|(account, _)| *account)
    }

    /// The names of credentials that `account` had to do with, in order, each once.
    pub fn credentials_of(&self, account: Account) -> Vec<CredentialKey> {
        let mut keys = self.index.credentials.get(&account).cloned().unwrap_or_default();
        // What there was no room for is gone, and of too many holders the last.
        keys.retain(|key| {
            self.credentials.get(key).is_some_and(|entry| entry.holders.iter().any(|h| h.account == account))
        });
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// What is known of the credential of that name, and of every name that it also goes by.
    pub fn credential(&self, key: CredentialKey) -> Option<CredentialFacts> {
        let mut names = vec![key];
        let mut all: Option<CredentialEntry> = None;
        let mut at = 0;
        while let Some(name) = names.get(at).copied() {
            at += 1;
            let Some(entry) = self.credentials.get(&name) else { continue };
            names.extend(entry.also.iter().filter(|also| !names.contains(also)).copied().collect::<Vec<_>>());
            match &mut all {
                None => all = Some(entry.clone()),
                Some(all) => all.merge(entry, &self.strings, &|sym| sym),
            }
            if names.len() > entry::MOST_HOLDERS {
                break;
            }
        }
        let entry = all?;
        let word = |sym| Some(self.strings.word(sym)).filter(|word| !word.is_empty()).map(str::to_owned);
        Some(CredentialFacts {
            key: names.into_iter().min().unwrap_or(key),
            kind: word(entry.kind),
            issuer: word(entry.issuer),
            parent: entry.parent.map(|(_, parent)| parent),
            expires: Some(entry.expires).filter(|expires| expires.0 != 0),
            uses: entry.uses,
            first_used: entry.first_used.map(|mark| (mark.0, mark.1)),
            last_used: entry.last_used.map(|mark| (mark.0, mark.1)),
            changes: facts(&entry.changes),
            holders: entry.holders.iter().map(|holder| self.holder(holder)).collect(),
            more_holders: entry.more_holders,
        })
    }

    /// Whether the credential of that name was only ever one account's, so that it joins nobody.
    pub(crate) fn is_of_one(&self, key: CredentialKey) -> bool {
        self.credentials.get(&key).is_some_and(|entry| {
            let holders = entry.holders.iter().filter(|holder| holder.role != Role::Asked);
            let mut accounts = holders.map(|holder| holder.account);
            let first = accounts.next();
            entry.also.is_empty() && accounts.all(|account| Some(account) == first)
        })
    }

    fn holder(&self, holder: &Holder) -> HolderFacts {
        HolderFacts {
            account: holder.account,
            role: holder.role,
            rank: holder.rank,
            system: self.strings.word(holder.system).to_owned(),
            record: holder.first.id(),
        }
    }

    /// Credentials that were derived from the one of that name, in order.
    pub fn children(&self, key: CredentialKey) -> Vec<CredentialKey> {
        let mut keys = self.index.children.get(&key).cloned().unwrap_or_default();
        keys.retain(|child| {
            self.credentials
                .get(child)
                .is_some_and(|entry| entry.parent.is_some_and(|(_, parent)| parent == key))
        });
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Grants to `account`, in order.
    pub fn grants_of(&self, account: Account) -> Vec<GrantFacts> {
        let mut keys = self.index.grants.get(&account).cloned().unwrap_or_default();
        keys.sort_unstable();
        keys.dedup();
        let grants = keys.into_iter().filter_map(|key| Some((key, self.grants.get(&key)?)));
        grants
            .filter(|(_, entry)| entry.subject == Some(account))
            .map(|(key, entry)| GrantFacts {
                key,
                subject: entry.subject,
                expires: Some(entry.expires).filter(|expires| expires.0 != 0),
                uses: entry.uses,
                last_used: entry.last_used.map(|mark| (mark.0, mark.1)),
                changes: facts(&entry.changes),
            })
            .collect()
    }

    /// For whom `account` acted, and who acted for it, in order.
    pub fn links_of(&self, account: Account) -> Vec<LinkFacts> {
        let mut pairs = self.index.links.get(&account).cloned().unwrap_or_default();
        pairs.sort_unstable();
        pairs.dedup();
        let links = pairs.into_iter().filter_map(|pair| Some((pair, self.links.get(&pair)?)));
        links
            .map(|((from, to), entry)| LinkFacts {
                from,
                to,
                rank: entry.rank,
                count: entry.count,
                first: (entry.first.0, entry.first.1),
                last: (entry.last.0, entry.last.1),
            })
            .collect()
    }
}

fn facts(changes: &[entry::ChangeEntry]) -> Vec<ChangeFacts> {
    let facts = changes.iter().map(|entry| ChangeFacts {
        change: entry.change,
        rank: entry.rank,
        count: entry.count,
        first: entry.first.0,
        last: entry.last,
        record: entry.first.id(),
    });
    facts.collect()
}
