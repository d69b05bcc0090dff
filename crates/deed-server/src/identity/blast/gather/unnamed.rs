//! What else whoever acted did in the same systems since then, and nobody tells with what: it may be of what is followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Basis, Timestamp};

use super::{ChangedAt, Gatherer, call::names_none, is_head, system};

/// Records of whoever acted that are looked at.
const MOST_LOOKED_AT: usize = 100_000;

/// Actions that name no credential.
#[derive(Default)]
pub(in super::super) struct Unnamed {
    pub(in super::super) actions: u64,
    /// Those that changed authority, in the order of time.
    pub(in super::super) changes: Vec<ChangedAt>,
}

/// Where somebody acted with what is followed, and since when.
struct Acted {
    since: Timestamp,
    systems: BTreeSet<u32>,
}

impl Gatherer<'_> {
    /// Counts them once everything is followed.
    pub(super) fn look_for_unnamed(&mut self) -> Result<(), LedgerError> {
        let users: BTreeSet<Account> =
            self.found.credentials.iter().flat_map(|known| known.users.keys().copied()).collect();
        let mut acted: BTreeMap<Account, Acted> = BTreeMap::new();
        for hit in self.found.hits.iter().filter(|hit| hit.basis == Basis::Imported) {
            let Some(account) = hit.executor.filter(|account| users.contains(account)) else { continue };
            let entry = acted.entry(account).or_insert(Acted { since: hit.time, systems: BTreeSet::new() });
            entry.since = entry.since.min(hit.time);
            entry.systems.insert(hit.system);
        }
        let (mut unnamed, mut left) = (Unnamed::default(), MOST_LOOKED_AT);
        for (account, Acted { since, systems }) in acted {
            let systems: BTreeSet<&str> =
                systems.iter().filter_map(|number| self.found.texts.word(*number)).collect();
            self.evidence.ledger().lookup_each(&Key::Executor(account), None, &mut |leaf, record| {
                if left == 0 {
                    return ControlFlow::Break(());
                }
                left -= 1;
                let is_it = record.time >= since
                    && record.basis == Basis::Imported
                    && systems.contains(system(record))
                    && names_none(record)
                    && is_head(record)
                    && !self.seen.contains_key(&leaf);
                if is_it && self.evidence.shows(record) {
                    unnamed.actions += 1;
                    if record.effects.iter().flatten().next().is_some() {
                        unnamed.changes.push(ChangedAt { time: record.time, id: record.id, leaf });
                    }
                }
                ControlFlow::Continue(())
            })?;
        }
        if left == 0 {
            self.found.cut.insert(
                "more than 100,000 records of who acted: what names no credential is not all counted",
            );
        }
        unnamed.changes.sort_unstable_by_key(|change| (change.time, change.id));
        self.found.unnamed = unnamed;
        Ok(())
    }
}
