//! Folding one state into another.

use crate::strings::Sym;

use super::{
    State,
    entry::{AccountEntry, CredentialEntry},
    given::{GrantEntry, LinkEntry, SourceEntry, ThingEntry, TriedEntry},
};

impl State {
    /// Takes in everything that `other` knows: as if the records of both had been folded here. No record may
    /// have been folded into both.
    pub fn merge(&mut self, other: &State) {
        let syms: Vec<Sym> = other.strings.words().iter().map(|word| self.strings.sym(word)).collect();
        let sym = |sym: Sym| syms.get(sym.0 as usize).copied().unwrap_or_default();
        self.records += other.records;
        self.accounts.raise(other.accounts.level());
        self.credentials.raise(other.credentials.level());
        self.grants.raise(other.grants.level());
        self.things.raise(other.things.level());
        self.links.raise(other.links.level());
        self.sources.raise(other.sources.level());
        for (account, theirs) in other.accounts.iter() {
            let new = || AccountEntry::new(sym(theirs.tenant), theirs.first);
            if let Some(entry) = self.accounts.entry(*account, new) {
                entry.tenant = self.strings.least(entry.tenant, sym(theirs.tenant));
                entry.merge(theirs, &self.strings, &sym);
            }
        }
        for (key, theirs) in other.credentials.iter() {
            if let Some(entry) = self.credentials.entry(*key, || CredentialEntry::new(sym(theirs.tenant))) {
                entry.merge(theirs, &self.strings, &sym);
            }
        }
        for (key, theirs) in other.grants.iter() {
            if let Some(entry) = self.grants.entry(*key, || GrantEntry::new(sym(theirs.tenant))) {
                entry.tenant = self.strings.least(entry.tenant, sym(theirs.tenant));
                entry.merge(theirs, &self.strings, &sym);
            }
        }
        for (key, theirs) in other.things.iter() {
            if let Some(entry) = self.things.entry(*key, ThingEntry::default) {
                theirs.told.iter().for_each(|word| entry.at(*word));
            }
        }
        for (pair, theirs) in other.links.iter() {
            if let Some(entry) = self.links.entry(*pair, || LinkEntry { count: 0, ..*theirs }) {
                entry.merge(theirs);
            }
        }
        for (key, theirs) in other.sources.iter() {
            let theirs = SourceEntry { tenant: sym(theirs.tenant), system: sym(theirs.system), ..*theirs };
            let start = SourceEntry { records: 0, gaps: 0, ..theirs };
            if let Some(entry) = self.sources.entry(*key, || start) {
                entry.merge(&theirs);
            }
        }
        for (key, theirs) in other.tried.iter() {
            let theirs = TriedEntry { tenant: sym(theirs.tenant), ..theirs.clone() };
            self.tried.add(*key, theirs, TriedEntry::merge);
        }
        self.tried.more |= other.tried.more;
        self.index_again();
    }

    /// Builds what is derived from the entries.
    pub(super) fn index_again(&mut self) {
        let mut index = super::Index::default();
        for (key, entry) in self.credentials.iter() {
            let mut last = None;
            for holder in &entry.holders {
                if last.replace(holder.account) != Some(holder.account) {
                    index.credentials.entry(holder.account).or_default().push(*key);
                }
            }
            if let Some((_, parent)) = entry.parent {
                index.children.entry(parent).or_default().push(*key);
            }
        }
        for (key, entry) in self.grants.iter() {
            if let Some(subject) = entry.subject {
                index.grants.entry(subject).or_default().push(*key);
            }
        }
        for (pair, _) in self.links.iter() {
            index.links.entry(pair.0).or_default().push(*pair);
            index.links.entry(pair.1).or_default().push(*pair);
        }
        self.index = index;
    }
}
