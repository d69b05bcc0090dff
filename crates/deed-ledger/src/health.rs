//! How the ledger is doing, in words and in numbers.

use std::sync::{PoisonError, atomic::Ordering};

use deed_record::Timestamp;
use serde::Serialize;

use crate::{Ledger, sequencer::MOST_WAITING, signing::now};

/// How far a clock may be behind the last record before somebody is told, in microseconds: steps of time synchronisation are
/// smaller.
const CLOCK_STEP: i64 = 5_000_000;

/// Whether the ledger works, and if not, why.
#[derive(Clone, Debug, Serialize)]
pub struct Health {
    /// All checks are good.
    pub ok: bool,
    /// Each check.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was seen, and what to do.
    pub detail: String,
}

/// Numbers for the metrics: since the ledger was opened, but for sizes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counters {
    /// Leaves in the log.
    pub size: u64,
    /// Leaves in packs.
    pub packed: u64,
    /// Leaves covered by the latest checkpoint.
    pub signed: u64,
    /// Records that became leaves.
    pub records: u64,
    /// Journal commits.
    pub commits: u64,
    /// Requests or records that were refused.
    pub refused: u64,
    /// Records that were there before.
    pub duplicates: u64,
    /// Checkpoints signed.
    pub checkpoints: u64,
    /// Packs written.
    pub packs: u64,
    /// Look-ups.
    pub lookups: u64,
    /// Batches that wait for the sequencer.
    pub queued: u64,
}

impl Ledger {
    /// Whether recording, packing and signing work.
    pub fn health(&self) -> Health {
        let shared = self.shared();
        let mut checks = Vec::new();
        checks.push(match shared.failure() {
            None if !self.is_in_place() => Check {
                name: "journal",
                ok: false,
                detail: format!("`{}` is not the folder that was opened any more", self.dir().display()),
            },
            None => Check { name: "journal", ok: true, detail: format!("{} leaves durable", self.size()) },
            Some(why) => Check {
                name: "journal",
                ok: false,
                detail: format!("{why}; nothing more is recorded until the store is opened again"),
            },
        });
        let waiting = shared.log.with_tail(|tail| tail.waiting());
        checks.push(match shared.packing_error() {
            None => Check {
                name: "packs",
                ok: waiting < MOST_WAITING,
                detail: format!("{waiting} waiting to be written"),
            },
            Some(why) => Check {
                name: "packs",
                ok: false,
                detail: format!("{why}; {waiting} waiting, trying again every second"),
            },
        });
        let signing = shared.signing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let signed = self.checkpoint().map_or(0, |signed| signed.size);
        checks.push(match signing {
            None => Check {
                name: "checkpoint",
                ok: true,
                detail: format!("signed at {signed} of {} leaves", self.size()),
            },
            Some(why) => Check { name: "checkpoint", ok: false, detail: why },
        });
        Health { ok: checks.iter().all(|check| check.ok), checks }
    }

    /// Whether the clock is behind the last record: the time of records stands still until it has caught up. They are taken
    /// all the same.
    pub fn clock(&self) -> Check {
        let (now, last) = (now(), Timestamp(self.shared().log.with_tail(|tail| tail.last_recorded)));
        let ok = last.0 - now.0 <= CLOCK_STEP;
        let detail = match ok {
            true => now.to_string(),
            false => format!(
                "it is {now}, and the last record was made at {last}, as the clock was ahead then or is behind now: until then every record says {last}; set the clock if it is wrong"
            ),
        };
        Check { name: "clock", ok, detail }
    }

    /// Numbers for the metrics.
    pub fn counters(&self) -> Counters {
        let shared = self.shared();
        let counters = &shared.counters;
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            size: self.size(),
            packed: shared.log.with_tail(|tail| tail.first()),
            signed: self.checkpoint().map_or(0, |signed| signed.size),
            records: get(&counters.records),
            commits: get(&counters.commits),
            refused: get(&counters.refused),
            duplicates: get(&counters.duplicates),
            checkpoints: get(&counters.checkpoints),
            packs: get(&counters.packs),
            lookups: get(&counters.lookups),
            queued: get(&shared.queue.depth),
        }
    }
}
