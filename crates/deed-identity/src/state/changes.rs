//! What a record changes in authority: credentials, grants, and who is there.

use deed_record::{Answer, Change, Credential, Effect, Kind, Party, Resource, Skeleton, Terms, Withdrawal};

use crate::strings::{Strings, Sym};

use super::{
    State,
    entry::{AccountEntry, ChangeEntry, CredentialEntry, Lock, Rank, Role, change},
    facts::is_end,
    fold::Said,
    given::{Gives, GrantEntry, MOST_SCOPES, ThingEntry, Word},
    keys::{CredentialKey, GrantKey},
};

impl State {
    /// Requests, grants and credentials that it changes, itself or by what it tells of.
    pub(super) fn changes(&mut self, said: Said<'_>) {
        let record = said.record;
        self.locks(said);
        // A grant or credential that was asked for and refused changed nothing.
        let refused = record.terms.as_ref().is_some_and(|terms| terms.answer == Some(Answer::Refused));
        match record.kind {
            Kind::Credential if !refused => {
                self.credential_changed(said, record.credential.as_ref(), record.terms.as_ref());
            }
            Kind::Grant => {
                let terms = record.terms.as_ref();
                let change = terms.and_then(|terms| terms.change);
                let after = change.is_some_and(|change| change != Change::Issued);
                let resource = record.resource.as_ref();
                let key = match record.grant {
                    // A grant that names another relies on it, unless it says what became of it.
                    Some(named) if after => GrantKey::of_record(named),
                    None if change.is_some_and(is_end) => GrantKey::of_terms(&record.tenant, terms, resource),
                    _ => GrantKey::of_record(record.id),
                };
                self.grant_changed(said, key, terms, resource, Change::Issued);
                self.takes_back(said, terms, resource);
            }
            Kind::Principal => self.principal_changed(said, record.terms.as_ref()),
            _ => {}
        }
        for effect in record.effects.iter().flatten() {
            match effect.kind {
                Kind::Credential => {
                    self.credential_changed(said, effect.credential.as_ref(), effect.terms.as_ref());
                }
                Kind::Grant => {
                    let key = GrantKey::of_effect(&record.tenant, effect);
                    if !is_told_anew(record, effect) {
                        let resource = effect.resource.as_ref();
                        self.grant_changed(said, key, effect.terms.as_ref(), resource, Change::Altered);
                        self.takes_back(said, effect.terms.as_ref(), resource);
                    }
                    self.thing_changed(said, key, effect);
                }
                Kind::Principal => self.principal_changed(said, effect.terms.as_ref()),
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
        // The record of whoever issues credentials is by them: they asked for none of those that they issue.
        let asked = if said.record.kind.is_authority() && said.rank != Rank::Enforced {
            of(said.record.initiator.as_ref())
        } else {
            of(terms.and_then(|terms| terms.by.as_ref())).or_else(|| of(said.record.executor.as_ref()))
        };
        self.held(said, key, asked, Role::Asked);
        self.held(said, key, of(terms.and_then(|terms| terms.subject.as_ref())), Role::Given);
        // What was issued with a credential came from it, where the issuer does not say better.
        if credential.parent.is_none()
            && !said.record.kind.is_authority()
            && let Some(with) = said.record.credential.as_ref().and_then(|with| with.names().next())
        {
            self.derived(said, key, CredentialKey::of(&said.record.tenant, with));
        }
    }

    fn grant_changed(
        &mut self,
        said: Said<'_>,
        key: GrantKey,
        terms: Option<&Terms<'_>>,
        resource: Option<&Resource<'_>>,
        otherwise: Change,
    ) {
        let Some(entry) = self.grants.entry(key, || GrantEntry::new(said.tenant)) else { return };
        let happened = terms.and_then(|terms| terms.change).unwrap_or(otherwise);
        change(&mut entry.changes, said.change(happened));
        if happened == Change::Issued {
            entry.given(said.mark, if said.rank == Rank::Logged { said.system } else { Sym::default() });
        }
        entry.expires =
            terms.and_then(|terms| terms.expires).map_or(entry.expires, |end| entry.expires.max(end));
        entry.tenant = self.strings.least(entry.tenant, said.tenant);
        if happened != Change::Used && !is_end(happened) {
            if let Some(gives) = said.gives(terms, resource, &mut self.strings) {
                entry.gives(gives, &self.strings);
            }
            entry.request = entry.request.max(said.record.request.map(|request| (said.mark, request)));
            entry.names_approval |= said.record.approvals.as_ref().is_some_and(|named| !named.is_empty());
        }
        let before = entry.subject;
        entry.to(terms.and_then(|terms| terms.subject.as_ref()).and_then(|party| party.account));
        if let Some(subject) = entry.subject.filter(|subject| before != Some(*subject)) {
            self.index.grants.entry(subject).or_default().push(key);
        }
    }

    /// A right was given by a thing of its own, or such a thing was removed, or told anew whom it gives rights to.
    fn thing_changed(&mut self, said: Said<'_>, key: GrantKey, effect: &Effect<'_>) {
        let Some(resource) = effect.resource.as_ref().filter(|_| said.rank == Rank::Logged) else { return };
        let record = said.record;
        let thing = |uri: &str| GrantKey::of_thing(&record.tenant, self.strings.word(said.system), uri);
        let terms = effect.terms.as_ref();
        if terms.is_some_and(|terms| terms.subject.is_some()) {
            let by = record.resource.as_ref().filter(|by| *by.uri != *resource.uri).map(|by| thing(&by.uri));
            if let Some(entry) = self.grants.entry(key, || GrantEntry::new(said.tenant)) {
                entry.by(by);
            }
            return;
        }
        let removed = terms.is_some_and(|terms| terms.change == Some(Change::Revoked));
        if removed || is_told_anew(record, effect) {
            self.thing_told(thing(&resource.uri), said, Change::Revoked);
        }
    }

    pub(super) fn thing_told(&mut self, thing: GrantKey, said: Said<'_>, change: Change) {
        if let Some(entry) = self.things.entry(thing, ThingEntry::default) {
            entry.at(Word { mark: said.mark, change, rank: said.rank });
        }
    }

    /// A lock was put on somebody, or lifted without a word on whom it was on.
    fn locks(&mut self, said: Said<'_>) {
        let record = said.record;
        let system = self.strings.word(said.system);
        let thing = |uri: &str| GrantKey::of_thing(&record.tenant, system, uri);
        let (put, lifted) = (record.locks().map(thing), record.lifts().map(thing));
        if let Some(lock) = lifted {
            self.thing_told(lock, said, Change::Renewed);
        }
        let Some(thing) = put else { return };
        for withdrawal in record.withdrawals().filter(Withdrawal::is_taken) {
            let new = || AccountEntry::new(said.tenant, said.mark);
            if let Some(entry) = self.accounts.entry(withdrawal.account, new) {
                entry.lock(Lock { put: said.mark, thing });
            }
        }
    }

    /// Somebody was made, altered, suspended or removed.
    fn principal_changed(&mut self, said: Said<'_>, terms: Option<&Terms<'_>>) {
        let Some(account) = terms.and_then(|terms| terms.subject.as_ref()).and_then(|party| party.account)
        else {
            return;
        };
        let happened = terms.and_then(|terms| terms.change).unwrap_or(Change::Altered);
        if let Some(entry) = self.accounts.entry(account, || AccountEntry::new(said.tenant, said.mark)) {
            change(&mut entry.changes, said.change(happened));
        }
    }
}

/// Whether `effect` says of a thing that it gives a right to those whom `record` lists, and to nobody else any more.
fn is_told_anew(record: &Skeleton<'_>, effect: &Effect<'_>) -> bool {
    let subject = |effect: &Effect<'_>| effect.terms.as_ref().is_some_and(|terms| terms.subject.is_some());
    let altered = effect.terms.as_ref().is_some_and(|terms| terms.change == Some(Change::Altered));
    let mut all = record.effects.iter().flatten().filter(|effect| effect.kind == Kind::Grant);
    altered && !subject(effect) && all.any(subject)
}

/// Puts `scopes` in order, each once, and leaves out those for which there is no room; whether there are such.
pub(super) fn keep_least(scopes: &mut Vec<&str>) -> bool {
    scopes.sort_unstable();
    scopes.dedup();
    let more = scopes.len() > MOST_SCOPES;
    scopes.truncate(MOST_SCOPES);
    more
}

impl Said<'_> {
    fn change(&self, change: Change) -> ChangeEntry {
        ChangeEntry { change, rank: self.rank, count: 1, first: self.mark, last: self.mark.0 }
    }

    /// What a grant gives, where this record tells.
    fn gives(
        &self,
        terms: Option<&Terms<'_>>,
        resource: Option<&Resource<'_>>,
        strings: &mut Strings,
    ) -> Option<Gives> {
        let role = terms.and_then(|terms| terms.role.as_deref()).unwrap_or_default();
        let resource = resource.map_or("", |resource| &*resource.uri);
        let mut scopes: Vec<&str> =
            terms.iter().flat_map(|terms| &terms.scopes).map(|scope| &**scope).collect();
        if role.is_empty() && resource.is_empty() && scopes.is_empty() {
            return None;
        }
        let more_scopes = keep_least(&mut scopes);
        let by = terms.and_then(|terms| terms.by.as_ref()).or(self.record.executor.as_ref());
        Some(Gives {
            said: self.mark,
            by: by.and_then(|party| party.account),
            role: strings.sym(role),
            resource: strings.sym(resource),
            scopes: scopes.into_iter().map(|scope| strings.sym(scope)).collect(),
            more_scopes,
        })
    }
}
