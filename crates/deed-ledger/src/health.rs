//! How the ledger is doing, in words and in numbers.

use std::{
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use deed_record::Timestamp;
use serde::Serialize;

use crate::{Ledger, sequencer::MOST_WAITING, signing::now};

/// How far a clock may be behind the last record before somebody is told, in microseconds: steps of time synchronisation are
/// smaller.
const CLOCK_STEP: i64 = 5_000_000;

/// How long the disk may take to keep what was written before nothing counts as recorded any more: half of what a sender waits.
pub(crate) const SLOW: Duration = Duration::from_secs(5);

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
        self.health_at(Instant::now())
    }

    pub(crate) fn health_at(&self, now: Instant) -> Health {
        let shared = self.shared();
        let mut checks = Vec::new();
        let waited = shared.writing_since().map(|since| now.saturating_duration_since(since));
        checks.push(match (shared.failure(), waited.filter(|waited| *waited >= SLOW)) {
            (None, None) => {
                Check { name: "journal", ok: true, detail: format!("{} leaves durable", self.size()) }
            }
            (None, Some(waited)) => Check {
                name: "journal",
                ok: false,
                detail: format!(
                    "the disk has not answered for {} s; records wait, and are taken once it does",
                    waited.as_secs()
                ),
            },
            (Some(why), _) => Check {
                name: "journal",
                ok: false,
                detail: format!("{why}; nothing more is recorded until the store is opened again"),
            },
        });
        // Descriptors stay good when the folder below them is taken away: the name is what counts.
        checks.push(match self.moved() {
            None => Check { name: "folder", ok: true, detail: self.dir().display().to_string() },
            Some(why) => Check {
                name: "folder",
                ok: false,
                detail: format!("{why}, and nothing is recorded; stop, and put it back"),
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
        let unsigned = shared.unsigned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let signed = self.checkpoint().map_or(0, |signed| signed.size);
        checks.push(match unsigned {
            None => Check {
                name: "checkpoint",
                ok: true,
                detail: format!("signed at {signed} of {} leaves", self.size()),
            },
            Some(why) => Check { name: "checkpoint", ok: false, detail: why },
        });
        Health { ok: checks.iter().all(|check| check.ok), checks }
    }

    /// Whether the clock was set, and is not behind the last record: the time of records stands still until it has caught up.
    /// They are taken all the same.
    pub fn clock(&self) -> Check {
        /// 2026-11-01T00:00:00Z, before this program was made: a clock that is behind it was never set.
        const MADE: Timestamp = Timestamp(1_793_491_200_000_000);
        let (now, last) = (now(), Timestamp(self.shared().log.with_tail(|tail| tail.last_recorded)));
        let (unset, behind) = (now < MADE, last.0 - now.0 > CLOCK_STEP);
        let detail = match (unset, behind) {
            (false, false) => now.to_string(),
            (true, false) => format!("{now} is before this program was made: set the clock"),
            (_, true) => format!(
                "it is {now}, and the last record was made at {last}, as the clock was ahead then or is behind now: until then every record says {last}; set the clock if it is wrong"
            ),
        };
        Check { name: "clock", ok: !unset && !behind, detail }
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
