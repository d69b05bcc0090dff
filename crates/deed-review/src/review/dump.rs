//! What was found, as bytes: to be kept between two openings of a store, and compared.

use std::collections::{BTreeMap, BTreeSet};

use deed_identity::CredentialKey;
use deed_record::{Account, RecordId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Bounds, Digest, Flagged, Look, Review};

/// Everything of a review, in one order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Dump {
    flagged: BTreeMap<RecordId, Flagged>,
    held: BTreeSet<RecordId>,
    awaited: BTreeSet<RecordId>,
    tasks: BTreeSet<Digest>,
    passed: BTreeSet<Digest>,
    unmatched: BTreeSet<Digest>,
    open: BTreeSet<Digest>,
    denied: BTreeSet<Digest>,
    stopped: BTreeMap<Account, Timestamp>,
    done: BTreeMap<u16, Timestamp>,
    eluding: BTreeSet<(Timestamp, RecordId)>,
    past: BTreeSet<(Timestamp, RecordId)>,
    waiting: BTreeMap<RecordId, BTreeSet<RecordId>>,
    tools: Vec<(Digest, Definitions)>,
    bounds: Vec<(Digest, Bounds)>,
    used: BTreeSet<u64>,
    referred: BTreeSet<u64>,
    looks: BTreeSet<Look>,
}

/// When definitions of a tool were seen, and whether each waited to be approved.
type Definitions = Vec<(Timestamp, RecordId, bool)>;

impl Review {
    /// All of it as JSON, the same for the same review; nothing that was taken may be under way.
    ///
    /// # Errors
    /// None that is known: there is nothing in it that JSON has no form for.
    pub fn dump(&self) -> serde_json::Result<Vec<u8>> {
        let mut bounds: Vec<(Digest, Bounds)> =
            self.bounds.iter().map(|(key, bounds)| (key.to_bytes(), *bounds)).collect();
        bounds.sort_unstable_by_key(|(key, _)| *key);
        serde_json::to_vec(&Dump {
            flagged: self.flagged.clone(),
            held: self.held.iter().copied().collect(),
            awaited: self.awaited.iter().copied().collect(),
            tasks: self.tasks.iter().copied().collect(),
            passed: self.passed.iter().copied().collect(),
            unmatched: self.unmatched.iter().copied().collect(),
            open: self.open.iter().copied().collect(),
            denied: self.denied.iter().copied().collect(),
            stopped: self.stopped.clone(),
            done: self.done.clone(),
            eluding: self.eluding.clone(),
            past: self.past.clone(),
            waiting: self.waiting.clone(),
            tools: self
                .tools
                .iter()
                .map(|(key, seen)| {
                    (*key, seen.iter().map(|((time, id), waits)| (*time, *id, *waits)).collect())
                })
                .collect(),
            bounds,
            used: self.used.iter().copied().collect(),
            referred: self.referred.iter().copied().collect(),
            looks: self.looks.clone(),
        })
    }

    /// What [`Review::dump`] wrote.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &[u8]) -> serde_json::Result<Self> {
        let dump: Dump = serde_json::from_slice(bytes)?;
        let bounds = dump.bounds.into_iter().map(|(key, bounds)| (CredentialKey::from_bytes(key), bounds));
        let mut review = Review {
            flagged: BTreeMap::new(),
            ungranted: BTreeMap::new(),
            held: dump.held.into_iter().collect(),
            awaited: dump.awaited.into_iter().collect(),
            tasks: dump.tasks.into_iter().collect(),
            passed: dump.passed.into_iter().collect(),
            unmatched: dump.unmatched.into_iter().collect(),
            open: dump.open.into_iter().collect(),
            denied: dump.denied.into_iter().collect(),
            stopped: dump.stopped,
            done: dump.done,
            eluding: dump.eluding,
            past: dump.past,
            waiting: dump.waiting,
            tools: dump
                .tools
                .into_iter()
                .map(|(key, seen)| {
                    (key, seen.into_iter().map(|(time, id, waits)| ((time, id), waits)).collect())
                })
                .collect(),
            bounds: bounds.collect(),
            used: dump.used.into_iter().collect(),
            referred: dump.referred.into_iter().collect(),
            looks: dump.looks,
            taken: 0,
            crossed: false,
        };
        dump.flagged.into_iter().for_each(|(id, flagged)| review.flag(id, flagged));
        Ok(review)
    }

    /// The findings alone, as JSON: what a review that began anew must come to as well (INVARIANT D5).
    ///
    /// # Errors
    /// As [`Review::dump`].
    pub fn findings(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self.flagged)
    }
}
