//! Calls of which the same log tells more, under their id: what was done on them names no credential.

use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Basis, Credential, RecordId, Skeleton};

use super::{Gatherer, Todo, is_head, system};

/// Calls of which more is looked for.
const MOST_CALLS: usize = 100_000;

/// A call that was made with a credential.
pub(super) struct Call {
    with: usize,
    id: RecordId,
    session: String,
    system: String,
    executor: Account,
}

impl Gatherer<'_> {
    /// Takes a call with credential `with` that is a session by itself: what else its log has of that session is of it.
    pub(super) fn calls(&mut self, with: usize, leaf: u64, record: &Skeleton<'_>, executor: Account) {
        let event = record.source.as_ref().and_then(|source| source.event_id.as_deref());
        let Some(session) = record.session.as_deref().filter(|session| event == Some(session)) else {
            return;
        };
        if record.basis != Basis::Imported || self.calls.contains(&leaf) {
            return;
        }
        if self.calls.len() >= MOST_CALLS {
            self.found
                .cut
                .insert("more than 100,000 calls: what else was logged of the rest is not looked for");
            return;
        }
        self.calls.insert(leaf);
        let (session, system) = (session.to_owned(), system(record).to_owned());
        self.todo.push_back(Todo::Call(Call { with, id: record.id, session, system, executor }));
    }

    /// Takes what else its log tells of a call: it was done with the same credential, and is no action of its own.
    pub(super) fn follow_call(&mut self, call: &Call) -> Result<(), LedgerError> {
        let key = Key::Session { tenant: self.tenant, session: &call.session };
        let ledger = self.evidence.ledger();
        ledger.lookup_each(&key, None, &mut |leaf, record| {
            let by = record.executor.as_ref().and_then(|party| party.account);
            let is_of_it = record.basis == Basis::Imported
                && system(record) == call.system
                && by == Some(call.executor)
                && names_none(record);
            if is_of_it && is_head(record) && self.evidence.shows(record) {
                let with = self.one(call.with);
                let hit = self.hit(leaf, record, Some(with));
                self.found.hits[hit].part_of = Some(call.id);
                self.rest(with, leaf, record);
            }
            self.go_on()
        })
    }
}

/// Whether nothing tells with which credential it was done.
pub(super) fn names_none(record: &Skeleton<'_>) -> bool {
    record.credential.iter().flat_map(Credential::names).next().is_none()
}
