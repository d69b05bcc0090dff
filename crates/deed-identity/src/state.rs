//! Everything that records say about who is who, folded one record at a time.

mod changes;
mod dump;
mod entry;
mod facts;
mod fold;
mod given;
mod keys;
mod listed;
mod merge;
mod taken;
mod turns;
mod used;
mod users;
mod view;
mod withdrawn;

use std::collections::{HashMap, HashSet};

use deed_record::{Account, Change, RecordId, Timestamp};

use crate::{bounded::Bounded, newest::Newest, strings::Strings};

pub use dump::BadDump;
pub(crate) use entry::{AccountEntry, CredentialEntry, Holder};
pub use entry::{Rank, Role};
pub use facts::{
    AccountFacts, ChangeFacts, CredentialFacts, GrantFacts, HolderFacts, LinkFacts, PlaceFacts, SeenFacts,
    Sizes, SourceFacts, Standing, TriedFacts, UsedFacts, is_static_type,
};
pub use keys::{CredentialKey, GrantKey};
pub use turns::{Address, InTurns};
pub use used::{SeenBy, UsedAs};
pub use view::CredentialView;

use given::{GrantEntry, LinkEntry, SourceEntry, ThingEntry, TriedEntry, Word};
use keys::{SourceKey, TriedKey};

/// How much is kept. What is beyond is left out by key, the same keys whatever came first; what was left out is
/// said by [`State::left_out`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Accounts; about 400 bytes each.
    pub accounts: usize,
    /// Names of credentials; about 900 bytes each.
    pub credentials: usize,
    /// Grants; about 250 bytes each.
    pub grants: usize,
    /// Pairs of accounts of which one acted for the other; about 150 bytes each.
    pub links: usize,
    /// Systems whose records are told apart; about 200 bytes each.
    pub sources: usize,
    /// What was tried in vain, by who tried, what, on what and in which ten minutes; the newest, 500 bytes each at most.
    pub tried: usize,
}

impl Default for Bounds {
    /// 262,144 accounts, 1,048,576 credentials, 262,144 grants and as many pairs, 4,096 systems: about 1.2 GB where
    /// all is full.
    fn default() -> Self {
        Bounds {
            accounts: 1 << 18,
            credentials: 1 << 20,
            grants: 1 << 18,
            links: 1 << 18,
            sources: 1 << 12,
            tried: 1 << 14,
        }
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
    /// Things that give rights, and were removed or told anew; locks that were lifted.
    things: Bounded<GrantKey, ThingEntry>,
    links: Bounded<(Account, Account), LinkEntry>,
    sources: Bounded<SourceKey, SourceEntry>,
    tried: Newest<TriedKey, TriedEntry>,
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
            things: Bounded::new(bounds.grants),
            links: Bounded::new(bounds.links),
            sources: Bounded::new(bounds.sources),
            tried: Newest::new(bounds.tried),
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
            ("things that gave rights and were changed", self.things.level()),
            ("pairs of accounts", self.links.level()),
            ("systems", self.sources.level()),
        ];
        let over = levels.into_iter().filter(|(_, level)| *level > 0);
        let left = over.map(|(what, level)| {
            format!("there are more {what} than are kept: one in {} is", 1_u64 << level)
        });
        let older = self.tried.more.then(|| "of what was tried in vain only the newest is kept".to_owned());
        left.chain(older).collect()
    }

    /// What is known of `account`.
    pub fn account(&self, account: Account) -> Option<AccountFacts> {
        let entry = self.accounts.get(&account)?;
        Some(AccountFacts {
            kind: entry.only_kind(),
            kinds: entry.contradicting(),
            first_seen: entry.first.0,
            last_seen: entry.last.0,
            first_record: entry.first.id(),
            last_record: entry.last.id(),
            initiated: entry.initiated,
            executed: entry.executed,
            denied: entry.denied,
            failed: entry.failed,
            last_acted: entry.last_acted.map(|mark| (mark.0, mark.1)),
            last_done: entry.last_done.map(|mark| (mark.0, mark.1)),
            used: entry
                .used
                .iter()
                .map(|used| UsedFacts {
                    what: self.strings.word(used.what).to_owned(),
                    named_as: used.named_as,
                    count: used.count.into(),
                    first: used.first,
                    last: used.last,
                })
                .collect(),
            more_used: entry.more_used,
            seen: seen(entry.seen.as_deref()),
            changes: self.became(entry),
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

    /// What became of an account: also that it was let go on where a lock was lifted by its name.
    fn became(&self, entry: &AccountEntry) -> Vec<ChangeFacts> {
        let unlocked = self
            .unlocked(entry)
            .map(|mark| Word { mark, change: Change::Renewed, rank: Rank::Logged }.told());
        facts(&entry.changes).into_iter().chain(unlocked).collect()
    }

    /// What is kept of `account`, without making it readable.
    pub(crate) fn entry(&self, account: Account) -> Option<&AccountEntry> {
        self.accounts.get(&account)
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
        let mut names = self.names_of(key);
        names.sort_unstable();
        let mut all: Option<CredentialEntry> = None;
        for entry in names.iter().filter_map(|name| self.credentials.get(name)) {
            match &mut all {
                None => all = Some(entry.clone()),
                Some(all) => all.merge(entry, &self.strings, &|sym| sym),
            }
        }
        let entry = all?;
        let word = |sym| Some(self.strings.word(sym)).filter(|word| !word.is_empty()).map(str::to_owned);
        let mut facts = CredentialFacts {
            key: names.first().copied().unwrap_or(key),
            names,
            tenant: self.strings.word(entry.tenant).to_owned(),
            kind: word(entry.kind),
            issuer: word(entry.issuer),
            parent: entry.parent.map(|(_, parent)| parent),
            issued: Some(entry.issued).filter(|issued| issued.0 != 0),
            expires: Some(entry.expires).filter(|expires| expires.0 != 0),
            uses: entry.uses,
            first_used: entry.first_used.map(|mark| (mark.0, mark.1)),
            last_used: entry.last_used.map(|mark| (mark.0, mark.1)),
            changes: facts(&entry.changes),
            holders: entry.holders.iter().map(|holder| self.holder(holder)).collect(),
            more_holders: entry.more_holders,
            seen: seen(entry.seen.as_deref()),
            in_turns: turns::in_turns(&entry.turns),
            withdrawn: None,
        };
        facts.withdrawn = self.ended_with_holder(&entry, &facts);
        facts.changes.extend(facts.withdrawn);
        Some(facts)
    }

    /// Every name of the credential that goes by `key`, that one first.
    pub fn names_of(&self, key: CredentialKey) -> Vec<CredentialKey> {
        let mut names = vec![key];
        let mut at = 0;
        while let Some(name) = names.get(at).copied()
            && names.len() <= entry::MOST_HOLDERS
        {
            at += 1;
            let also = self.credentials.get(&name).map_or(&[][..], |entry| &entry.also);
            names.extend(also.iter().filter(|also| !names.contains(also)).copied().collect::<Vec<_>>());
        }
        names
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

    /// What is known of a grant.
    pub fn grant(&self, key: GrantKey) -> Option<GrantFacts> {
        self.grants.get(&key).map(|entry| self.grant_facts(key, entry))
    }

    /// Grants to `account`, in order. What tells only that one of them was taken back is none of its own.
    pub fn grants_of(&self, account: Account) -> Vec<GrantFacts> {
        let mut keys = self.index.grants.get(&account).cloned().unwrap_or_default();
        keys.sort_unstable();
        keys.dedup();
        let grants = keys.into_iter().filter_map(|key| Some((key, self.grants.get(&key)?)));
        let theirs = grants.filter(|(_, entry)| entry.subject == Some(account));
        let mut all: Vec<GrantFacts> = theirs.map(|(key, entry)| self.grant_facts(key, entry)).collect();
        let given = all.iter().filter(|grant| !grant.only_ended());
        let ends = given.flat_map(|grant| &grant.changes).filter(|entry| entry.ends());
        let ends: HashSet<RecordId> = ends.map(|entry| entry.record).collect();
        all.retain(|grant| {
            !grant.only_ended() || !grant.changes.iter().all(|entry| ends.contains(&entry.record))
        });
        all
    }

    fn grant_facts(&self, key: GrantKey, entry: &GrantEntry) -> GrantFacts {
        let word = |sym| Some(self.strings.word(sym)).filter(|word| !word.is_empty()).map(str::to_owned);
        let gives = entry.gives.as_deref();
        let mut changes = facts(&entry.changes);
        let thing = entry.thing.and_then(|thing| self.things.get(&thing));
        let taken = thing.and_then(|thing| thing.after(entry.last_given()?));
        changes.extend(taken.map(Word::told));
        changes.extend(self.taken_back(entry));
        changes.extend(self.ended_with(entry));
        let scopes = gives.iter().flat_map(|gives| &gives.scopes);
        GrantFacts {
            key,
            tenant: self.strings.word(entry.tenant).to_owned(),
            subject: entry.subject,
            by: gives.and_then(|gives| gives.by),
            role: gives.and_then(|gives| word(gives.role)),
            scopes: scopes.map(|scope| self.strings.word(*scope).to_owned()).collect(),
            more_scopes: gives.is_some_and(|gives| gives.more_scopes),
            resource: gives.and_then(|gives| word(gives.resource)),
            names_request: entry.request.is_some(),
            names_approval: entry.names_approval,
            given_in: entry.given.and_then(|(_, system)| word(system)),
            expires: Some(entry.expires).filter(|expires| expires.0 != 0),
            uses: entry.uses,
            first_used: entry.first_used.map(|mark| (mark.0, mark.1)),
            last_used: entry.last_used.map(|mark| (mark.0, mark.1)),
            changes,
        }
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

fn seen(all: Option<&used::AllSeen>) -> Vec<SeenFacts> {
    let Some(all) = all else { return Vec::new() };
    let facts = |by: SeenBy| {
        let each: Vec<(Timestamp, Timestamp, RecordId)> =
            all.of(by).map(|seen| (seen.first.0, seen.last, seen.first.id())).collect();
        SeenFacts { by, each, more: all.is_more(by) }
    };
    SeenBy::ALL.iter().map(|by| facts(*by)).filter(|facts| !facts.each.is_empty()).collect()
}
