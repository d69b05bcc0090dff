//! Rights that were taken back by what they were: logs of other systems know no ids of grants.

use deed_record::{Resource, Terms};

use crate::strings::Strings;

use super::{
    ChangeFacts, State,
    changes::keep_least,
    entry::AccountEntry,
    facts::is_end,
    fold::Said,
    given::{GrantEntry, Word},
    keys::GrantKey,
};

/// On which request something was taken back: on none that is named, or on any.
const NONE: &[u8] = b"";
const ANY: &[u8] = b"any";

impl State {
    /// Takes in that a right was taken back of which is said whose it was, and what, as far as that is said.
    pub(super) fn takes_back(
        &mut self,
        said: Said<'_>,
        terms: Option<&Terms<'_>>,
        resource: Option<&Resource<'_>>,
    ) {
        // What names the grant is said of that one alone.
        let Some(terms) = terms.filter(|_| said.record.grant.is_none()) else { return };
        let Some(change) = terms.change.filter(|change| is_end(*change)) else { return };
        let Some(subject) = terms.subject.as_ref().and_then(|party| party.account) else { return };
        if let Some(entry) = self.accounts.entry(subject, || AccountEntry::new(said.tenant, said.mark)) {
            entry.taken_back = entry.taken_back.max(Some(said.mark));
        }
        let role = Strings::cut(terms.role.as_deref().unwrap_or_default());
        let uri = Strings::cut(resource.map_or("", |resource| &*resource.uri));
        let mut scopes: Vec<&str> = terms.scopes.iter().map(|scope| &**scope).collect();
        keep_least(&mut scopes);
        scopes.iter_mut().for_each(|scope| *scope = Strings::cut(scope));
        let requests: &[&[u8]] = match &said.record.request {
            Some(request) => &[&request.0, ANY],
            None => &[NONE],
        };
        for request in requests {
            self.thing_told(GrantKey::of_taken(subject, request, role, uri, &scopes), said, change);
        }
    }

    /// The end of a grant by the first word after it was given that says to whom it was given and what it was, where none
    /// says so of the grant itself.
    pub(super) fn taken_back(&self, grant: &GrantEntry) -> Option<ChangeFacts> {
        let (subject, given) = (grant.subject?, grant.last_given()?);
        let since = |entry: &AccountEntry| entry.taken_back.is_some_and(|mark| mark.0 > given);
        let ended = grant.changes.iter().any(|entry| is_end(entry.change) && entry.last > given);
        if ended || !self.accounts.get(&subject).is_none_or(since) {
            return None;
        }
        let gives = grant.gives.as_deref();
        let word = |sym| self.strings.word(sym);
        let role = gives.map_or("", |gives| word(gives.role));
        let uri = gives.map_or("", |gives| word(gives.resource));
        let scopes: Vec<&str> =
            gives.iter().flat_map(|gives| &gives.scopes).map(|scope| word(*scope)).collect();
        // What was given on one request is not taken back on another.
        let request = grant.request.as_ref().map_or(ANY, |(_, request)| &request.0);
        let mut first: Option<Word> = None;
        for request in [NONE, request] {
            for (role, uri) in [("", ""), (role, ""), ("", uri), (role, uri)] {
                for scopes in [&[][..], &scopes] {
                    let key = GrantKey::of_taken(subject, request, role, uri, scopes);
                    let word = self.things.get(&key).and_then(|thing| thing.after(given));
                    first = first.into_iter().chain(word).min();
                }
            }
        }
        first.map(Word::told)
    }
}
