//! Folding one record into the state, and one state into another.

use deed_record::{Account, Answer, Basis, Change, Credential, Kind, Party, Skeleton, Terms};

use crate::strings::Sym;

use super::{
    State,
    entry::{
        AccountEntry, ChangeEntry, CredentialEntry, GrantEntry, Holder, LinkEntry, Place, Rank, Role, change,
    },
    keys::{CredentialKey, GrantKey, Mark},
};

/// What Deed itself saw, in counts by system.
const DEED: &str = "deed";

/// One record on its way into the state.
#[derive(Clone, Copy)]
struct Said<'r> {
    record: &'r Skeleton<'r>,
    mark: Mark,
    rank: Rank,
    tenant: Sym,
    system: Sym,
    /// It is an action of its own, no part of another one.
    acts: bool,
}

impl State {
    /// Takes in what `record` says.
    pub fn fold(&mut self, record: &Skeleton<'_>) {
        self.records += 1;
        let system = match (record.basis, &record.source) {
            (Basis::Enforced, _) => DEED,
            (_, Some(source)) => &source.system,
            (_, None) => &record.submitter,
        };
        let said = Said {
            record,
            mark: Mark::of(record),
            rank: match record.basis {
                Basis::Enforced => Rank::Enforced,
                Basis::Imported => Rank::Logged,
                Basis::Reported => Rank::Told,
            },
            tenant: self.strings.sym(&record.tenant),
            system: self.strings.sym(system),
            acts: record.kind.is_action()
                && record.kind != Kind::Outcome
                && record.action.is_none_or(|action| action == record.id),
        };
        self.people(said);
        self.links(said);
        self.uses(said);
        self.changes(said);
    }

    /// Everybody whom it names.
    fn people(&mut self, said: Said<'_>) {
        let record = said.record;
        for party in record.parties() {
            let Some(account) = party.account else { continue };
            let new = || AccountEntry::new(said.tenant, said.mark);
            if let Some(entry) = self.accounts.entry(account, new) {
                entry.tenant = self.strings.least(entry.tenant, said.tenant);
                entry.see(party.kind, said.rank, said.mark);
            }
        }
        if !said.acts {
            return;
        }
        let environment = self.strings.sym(record.environment.as_deref().unwrap_or_default());
        let place = Place { system: said.system, environment, initiated: 0, executed: 0 };
        for (party, place) in [
            (&record.initiator, Place { initiated: 1, ..place }),
            (&record.executor, Place { executed: 1, ..place }),
        ] {
            let Some(account) = party.as_ref().and_then(|party| party.account) else { continue };
            if let Some(entry) = self.accounts.entry(account, || AccountEntry::new(said.tenant, said.mark)) {
                entry.count(place, &self.strings);
            }
        }
    }

    /// Who acted for whom: each of the chain for the one before.
    fn links(&mut self, said: Said<'_>) {
        let record = said.record;
        if !said.acts {
            return;
        }
        let hops = record.chain.iter().flatten().map(|hop| &hop.principal);
        let line = record.initiator.iter().chain(hops).chain(&record.executor);
        let mut before: Option<Account> = None;
        for account in line.map(|party| party.account) {
            if let (Some(from), Some(to)) = (before, account)
                && from != to
            {
                self.link(
                    (from, to),
                    LinkEntry { rank: said.rank, count: 1, first: said.mark, last: said.mark },
                );
            }
            // Who acted for somebody unknown acted for nobody that can be named.
            before = account;
        }
    }

    fn link(&mut self, pair: (Account, Account), said: LinkEntry) {
        let mut new = false;
        let start = LinkEntry { count: 0, ..said };
        let entry = self.links.entry(pair, || {
            new = true;
            start
        });
        if let Some(entry) = entry {
            entry.merge(&said);
            if new {
                self.index.links.entry(pair.0).or_default().push(pair);
                self.index.links.entry(pair.1).or_default().push(pair);
            }
        }
    }

    /// Credentials and grants that it was done with.
    fn uses(&mut self, said: Said<'_>) {
        let record = said.record;
        if !record.kind.is_action() {
            return;
        }
        let uses = u64::from(said.acts);
        let executor = record.executor.as_ref().and_then(|party| party.account);
        if let Some(credential) = &record.credential
            && let Some(key) = self.described(said, credential)
        {
            self.used(said, key, executor, uses);
            if let Some(upstream) = &credential.upstream {
                let onward = CredentialKey::of(&record.tenant, upstream);
                self.used(said, onward, executor, uses);
                self.derived(said, onward, key);
            }
        }
        for hop in record.chain.iter().flatten() {
            if let Some(name) = &hop.credential {
                let key = CredentialKey::of(&record.tenant, name);
                self.used(said, key, hop.principal.account, uses);
            }
        }
        if let Some(grant) = record.grant
            && said.acts
            && let Some(entry) =
                self.grants.entry(GrantKey::of_record(grant), || GrantEntry::new(said.tenant))
        {
            entry.tenant = self.strings.least(entry.tenant, said.tenant);
            entry.use_at(said.mark, 1);
        }
    }

    fn used(&mut self, said: Said<'_>, key: CredentialKey, account: Option<Account>, uses: u64) {
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant)) {
            entry.use_at(said.mark, uses);
        }
        self.held(said, key, account, Role::Used);
    }

    /// Requests, grants and credentials that it changes, itself or by what it tells of.
    fn changes(&mut self, said: Said<'_>) {
        let record = said.record;
        // A grant or credential that was asked for and refused changed nothing.
        let refused = record.terms.as_ref().is_some_and(|terms| terms.answer == Some(Answer::Refused));
        match record.kind {
            Kind::Credential if !refused => {
                self.credential_changed(said, record.credential.as_ref(), record.terms.as_ref());
            }
            Kind::Grant => {
                let terms = record.terms.as_ref();
                let after =
                    terms.and_then(|terms| terms.change).is_some_and(|change| change != Change::Issued);
                // A grant that names another relies on it, unless it says what became of it.
                let key = GrantKey::of_record(record.grant.filter(|_| after).unwrap_or(record.id));
                self.grant_changed(said, key, terms, Change::Issued);
            }
            _ => {}
        }
        for effect in record.effects.iter().flatten() {
            match effect.kind {
                Kind::Credential => {
                    self.credential_changed(said, effect.credential.as_ref(), effect.terms.as_ref());
                }
                Kind::Grant => {
                    let key = GrantKey::of_effect(&record.tenant, effect);
                    self.grant_changed(said, key, effect.terms.as_ref(), Change::Altered);
                }
                _ => {}
            }
        }
    }

    fn credential_changed(
        &mut self,
        said: Said<'_>,
        credential: Option<&Credential<'_>>,
        terms: Option<&Terms<'_>>,
    ) {
        let Some(credential) = credential else { return };
        let Some(key) = self.described(said, credential) else { return };
        let of = |party: Option<&Party<'_>>| party.and_then(|party| party.account);
        let happened = terms.and_then(|terms| terms.change).unwrap_or(Change::Altered);
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant)) {
            change(&mut entry.changes, said.change(happened));
            if let Some(expires) = terms.and_then(|terms| terms.expires) {
                entry.expires = entry.expires.max(expires);
            }
        }
        if !matches!(happened, Change::Issued | Change::Renewed | Change::Rotated) {
            return;
        }
        let by = of(terms.and_then(|terms| terms.by.as_ref())).or_else(|| of(said.record.executor.as_ref()));
        self.held(said, key, by, Role::Asked);
        self.held(said, key, of(terms.and_then(|terms| terms.subject.as_ref())), Role::Given);
        // What was issued with a credential came from it, where the issuer does not say better.
        if credential.parent.is_none()
            && !said.record.kind.is_authority()
            && let Some(with) = said.record.credential.as_ref().and_then(|with| with.names().next())
        {
            self.derived(said, key, CredentialKey::of(&said.record.tenant, with));
        }
    }

    /// Takes in what `credential` is; its first name, under which it is filed.
    fn described(&mut self, said: Said<'_>, credential: &Credential<'_>) -> Option<CredentialKey> {
        let tenant = &said.record.tenant;
        let mut names = credential.names();
        let key = CredentialKey::of(tenant, names.next()?);
        let kind = credential.kind.as_deref().map_or(Sym::default(), |kind| self.strings.sym(kind));
        let issuer = credential.issuer.as_deref().map_or(Sym::default(), |issuer| self.strings.sym(issuer));
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant)) {
            entry.kind = self.strings.least(entry.kind, kind);
            entry.issuer = self.strings.least(entry.issuer, issuer);
            entry.expires = credential.expires.map_or(entry.expires, |expires| entry.expires.max(expires));
        }
        for name in names {
            let other = CredentialKey::of(tenant, name);
            for (one, also) in [(key, other), (other, key)] {
                if one != also
                    && let Some(entry) = self.credentials.entry(one, || CredentialEntry::new(said.tenant))
                {
                    entry.known_as(also);
                }
            }
        }
        if let Some(parent) = &credential.parent {
            self.derived(said, key, CredentialKey::of(tenant, parent));
        }
        Some(key)
    }

    fn derived(&mut self, said: Said<'_>, key: CredentialKey, parent: CredentialKey) {
        if key == parent {
            return;
        }
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant)) {
            let before = entry.parent;
            entry.derive(said.rank, parent);
            if before.map(|(_, key)| key) != entry.parent.map(|(_, key)| key) {
                self.index.children.entry(parent).or_default().push(key);
            }
        }
    }

    fn held(&mut self, said: Said<'_>, key: CredentialKey, account: Option<Account>, role: Role) {
        let Some(account) = account else { return };
        let holder = Holder { account, role, rank: said.rank, system: said.system, first: said.mark };
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant))
            && entry.hold(holder, &self.strings)
        {
            self.index.credentials.entry(account).or_default().push(key);
        }
    }

    fn grant_changed(&mut self, said: Said<'_>, key: GrantKey, terms: Option<&Terms<'_>>, otherwise: Change) {
        let Some(entry) = self.grants.entry(key, || GrantEntry::new(said.tenant)) else { return };
        let happened = terms.and_then(|terms| terms.change).unwrap_or(otherwise);
        change(&mut entry.changes, said.change(happened));
        entry.expires =
            terms.and_then(|terms| terms.expires).map_or(entry.expires, |end| entry.expires.max(end));
        entry.tenant = self.strings.least(entry.tenant, said.tenant);
        let before = entry.subject;
        entry.to(terms.and_then(|terms| terms.subject.as_ref()).and_then(|party| party.account));
        if let Some(subject) = entry.subject.filter(|subject| before != Some(*subject)) {
            self.index.grants.entry(subject).or_default().push(key);
        }
    }

    /// Takes in everything that `other` knows: as if the records of both had been folded here. No record may
    /// have been folded into both.
    pub fn merge(&mut self, other: &State) {
        let syms: Vec<Sym> = other.strings.words().iter().map(|word| self.strings.sym(word)).collect();
        let sym = |sym: Sym| syms.get(sym.0 as usize).copied().unwrap_or_default();
        self.records += other.records;
        self.accounts.raise(other.accounts.level());
        self.credentials.raise(other.credentials.level());
        self.grants.raise(other.grants.level());
        self.links.raise(other.links.level());
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
                entry.merge(theirs);
            }
        }
        for (pair, theirs) in other.links.iter() {
            if let Some(entry) = self.links.entry(*pair, || LinkEntry { count: 0, ..*theirs }) {
                entry.merge(theirs);
            }
        }
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

impl Said<'_> {
    fn change(&self, change: Change) -> ChangeEntry {
        ChangeEntry { change, rank: self.rank, count: 1, first: self.mark, last: self.mark.0 }
    }
}
