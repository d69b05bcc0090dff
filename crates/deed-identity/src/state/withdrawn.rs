//! What logs say was taken from an account as a whole, and what that ends of what it was given.

use deed_record::{Account, Change, Timestamp, Withdrawn, tells_of};

use crate::strings::{Strings, Sym};

use super::{
    ChangeFacts, Role, State,
    entry::{AccountEntry, CredentialEntry, Rank},
    facts::CredentialFacts,
    fold::Said,
    given::{GrantEntry, Word},
    keys::Mark,
};

/// What is kept of one account, by what was taken and whose log tells.
const MOST_WITHDRAWN: usize = 16;

/// What was taken, and let go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WithdrawnEntry {
    pub(crate) sort: Sort,
    /// The system whose log tells.
    pub(crate) system: Sym,
    /// Of credentials, their type; else the empty word.
    pub(crate) kind: Sym,
    pub(crate) taken: Option<Taken>,
    /// When it was last let go on.
    pub(crate) renewed: Option<Mark>,
}

/// As [`Withdrawn`] has it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Sort {
    Account,
    Rights,
    Credentials,
}

/// When it was last taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Taken {
    pub(crate) mark: Mark,
    /// Of credentials, the first time of making that it does not touch.
    pub(crate) before: Timestamp,
    /// It ends by itself, as a lock may.
    pub(crate) for_a_time: bool,
}

impl State {
    /// Takes in what `said` takes from somebody as a whole, or lets go on.
    pub(super) fn withdraws(&mut self, said: Said<'_>) {
        for withdrawal in said.record.withdrawals() {
            // What one record takes and gives is replaced.
            let mut others = said.record.withdrawals().filter(|other| !other.is_taken());
            if withdrawal.is_taken()
                && others.any(|other| (other.account, other.of) == (withdrawal.account, withdrawal.of))
            {
                continue;
            }
            let mut entry = WithdrawnEntry {
                sort: Sort::Account,
                system: said.system,
                kind: Sym::default(),
                taken: None,
                renewed: None,
            };
            let mut before = said.mark.0;
            match withdrawal.of {
                Withdrawn::Account => {}
                Withdrawn::Rights => entry.sort = Sort::Rights,
                Withdrawn::Credentials { kind, before: then } => {
                    (entry.sort, entry.kind, before) = (Sort::Credentials, self.strings.sym(kind), then);
                }
            }
            match withdrawal.change {
                Change::Revoked => {
                    let for_a_time = withdrawal.until.is_some();
                    entry.taken = Some(Taken { mark: said.mark, before, for_a_time });
                }
                Change::Renewed => entry.renewed = Some(said.mark),
                // What is given anew gives nothing back of what was given before.
                _ => continue,
            }
            let new = || AccountEntry::new(said.tenant, said.mark);
            if let Some(account) = self.accounts.entry(withdrawal.account, new) {
                account.withdraw(entry, &self.strings);
            }
        }
    }

    /// The end of a grant by what was taken from whom it was given to: the account itself, or all that it had in the system
    /// that gave it.
    pub(super) fn ended_with(&self, grant: &GrantEntry) -> Option<ChangeFacts> {
        let given = grant.last_given()?;
        let given_in = grant.given.map(|(_, system)| system);
        let ends = |entry: &WithdrawnEntry, taken: &Taken| {
            let here =
                entry.sort == Sort::Account || entry.sort == Sort::Rights && given_in == Some(entry.system);
            here && taken.mark.0 > given
        };
        self.taken_from(grant.subject?, ends).map(Taken::told)
    }

    /// The end of a credential by what was taken from everybody who holds it: the account itself, or credentials of this
    /// type that were made as early.
    pub(super) fn ended_with_holder(
        &self,
        entry: &CredentialEntry,
        facts: &CredentialFacts,
    ) -> Option<ChangeFacts> {
        let role = |role: Role| entry.holders.iter().filter(move |holder| holder.role == role);
        let given = role(Role::Given).next().is_some();
        let those = || role(if given { Role::Given } else { Role::Used });
        let (kind, issued) = (facts.kind.as_deref(), facts.first_issued());
        let taken = those().map(|holder| {
            let ends = |entry: &WithdrawnEntry, taken: &Taken| {
                let here = self.strings.word(entry.system);
                let seen = those()
                    .filter(|other| other.account == holder.account)
                    .any(|other| tells_of(here, self.strings.word(other.system)));
                seen && match entry.sort {
                    Sort::Account => issued.is_none_or(|issued| issued < taken.mark.0),
                    Sort::Rights => false,
                    Sort::Credentials => {
                        let of = self.strings.word(entry.kind);
                        Withdrawn::Credentials { kind: of, before: taken.before }.has(kind, issued)
                    }
                }
            };
            self.taken_from(holder.account, ends)
        });
        let all: Option<Vec<Taken>> = taken.collect();
        all.filter(|_| !entry.more_holders)?.into_iter().max().map(Taken::told)
    }

    /// When the last of the locks on an account was lifted by its name; `None` where one is there still, or where something
    /// else took the account since.
    pub(super) fn unlocked(&self, entry: &AccountEntry) -> Option<Mark> {
        let put = entry.locks.last()?.put;
        let of_account = entry.withdrawn.iter().filter(|other| other.sort == Sort::Account);
        if of_account.filter_map(|other| other.taken).any(|taken| taken.mark > put) {
            return None;
        }
        let lifted =
            entry.locks.iter().map(|lock| Some(self.things.get(&lock.thing)?.after(lock.put.0)?.mark));
        lifted.collect::<Option<Vec<Mark>>>()?.into_iter().max()
    }

    /// What was last taken from `account` and not let go on since, of that which `ends` something.
    fn taken_from(&self, account: Account, ends: impl Fn(&WithdrawnEntry, &Taken) -> bool) -> Option<Taken> {
        let account = self.accounts.get(&account)?;
        let unlocked = self.unlocked(account);
        let stands = account.withdrawn.iter().filter_map(|entry| {
            let taken = entry.taken.filter(|taken| !taken.for_a_time && ends(entry, taken))?;
            let renewed = entry.renewed.max(unlocked.filter(|_| entry.sort == Sort::Account));
            renewed.is_none_or(|renewed| renewed.0 < taken.mark.0).then_some(taken)
        });
        stands.max()
    }
}

impl Taken {
    fn told(self) -> ChangeFacts {
        Word { mark: self.mark, change: Change::Revoked, rank: Rank::Logged }.told()
    }
}

impl AccountEntry {
    /// Adds what was taken or let go on; of too many the least by name are kept.
    pub(super) fn withdraw(&mut self, entry: WithdrawnEntry, strings: &Strings) {
        let name = |entry: &WithdrawnEntry| {
            (entry.sort, strings.word(entry.system).to_owned(), strings.word(entry.kind).to_owned())
        };
        match self.withdrawn.binary_search_by_key(&name(&entry), name) {
            Ok(at) => {
                let known = &mut self.withdrawn[at];
                known.taken = known.taken.max(entry.taken);
                known.renewed = known.renewed.max(entry.renewed);
            }
            Err(at) => {
                let mut all = std::mem::take(&mut self.withdrawn).into_vec();
                all.insert(at, entry);
                all.truncate(MOST_WITHDRAWN);
                self.withdrawn = all.into_boxed_slice();
            }
        }
    }
}
