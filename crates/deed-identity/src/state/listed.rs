//! Everything that there is, in the order of keys.

use std::collections::HashSet;

use deed_record::Account;

use crate::{
    joins::{Declarations, Joined},
    state::{AccountEntry, CredentialFacts, CredentialKey, GrantFacts, SourceFacts, State, TriedFacts},
};

impl State {
    /// Every principal of `tenant` that a record names, each once, in the order of its least account.
    pub fn principals<'s>(
        &'s self,
        tenant: &str,
        declared: &'s dyn Declarations,
    ) -> impl Iterator<Item = Joined> + 's {
        let of_tenant = |entry: &AccountEntry| self.strings.word(entry.tenant) == tenant;
        let all = self.accounts.iter().filter(|(_, entry)| of_tenant(entry));
        let mut accounts: Vec<Account> = all.map(|(account, _)| *account).collect();
        accounts.sort_unstable();
        let mut told: HashSet<Account> = HashSet::new();
        accounts.into_iter().filter_map(move |account| {
            if told.contains(&account) {
                return None;
            }
            let joined = self.principal(account, declared);
            told.extend(joined.members.iter().map(|member| member.account));
            Some(joined)
        })
    }

    /// Every credential of `tenant`, each once under all its names, in the order of its least name.
    pub fn credentials<'s>(&'s self, tenant: &'s str) -> impl Iterator<Item = CredentialFacts> + 's {
        let is_least = |key: CredentialKey| {
            let mut others = self.names_of(key).into_iter().filter(move |other| *other < key);
            !others.any(|other| self.credentials.get(&other).is_some())
        };
        let all = self.credentials.sorted().into_iter();
        all.filter(move |(_, entry)| self.strings.word(entry.tenant) == tenant)
            .filter(move |(key, entry)| entry.also.is_empty() || is_least(**key))
            .filter_map(|(key, _)| self.credential(*key))
    }

    /// Every grant of `tenant`, in the order of keys.
    pub fn grants<'s>(&'s self, tenant: &'s str) -> impl Iterator<Item = GrantFacts> + 's {
        let all = self.grants.sorted().into_iter().map(|(key, entry)| self.grant_facts(*key, entry));
        all.filter(move |facts| facts.tenant == tenant)
    }

    /// Every system that `tenant` has records of, by name.
    pub fn sources(&self, tenant: &str) -> Vec<SourceFacts> {
        let all = self.sources.sorted().into_iter().map(|(_, entry)| SourceFacts {
            tenant: self.strings.word(entry.tenant).to_owned(),
            system: self.strings.word(entry.system).to_owned(),
            rank: entry.rank,
            records: entry.records,
            first: (entry.first.0, entry.first.1),
            last: (entry.last.0, entry.last.1),
            gaps: entry.gaps,
            last_gap: entry.last_gap.map(|mark| (mark.0, mark.1)),
        });
        let mut sources: Vec<SourceFacts> = all.filter(|source| source.tenant == tenant).collect();
        sources.sort_by(|one, other| one.system.cmp(&other.system));
        sources
    }

    /// What was tried in vain, the oldest first.
    pub fn tried<'s>(&'s self, tenant: &'s str) -> impl Iterator<Item = TriedFacts> + 's {
        let all = self.tried.iter().filter(move |(_, entry)| self.strings.word(entry.tenant) == tenant);
        all.map(|(_, entry)| TriedFacts {
            tenant: self.strings.word(entry.tenant).to_owned(),
            account: entry.account,
            what: entry.what.to_string(),
            resource: Some(entry.resource.to_string()).filter(|resource| !resource.is_empty()),
            // Most agents tell of one call twice: that it was not permitted, and that it was not done.
            denied: entry.denied.max(entry.checked).into(),
            failed: entry.failed.into(),
            first: (entry.first.0, entry.first.1),
            last: (entry.last.0, entry.last.1),
        })
    }

    /// Every tenant, by name.
    pub fn tenants(&self) -> Vec<String> {
        let mut tenants: Vec<String> =
            self.sources.iter().map(|(_, entry)| self.strings.word(entry.tenant).to_owned()).collect();
        tenants.sort_unstable();
        tenants.dedup();
        tenants
    }
}
