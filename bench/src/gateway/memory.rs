//! Memory over many calls.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{load::drive, target::Target};
use crate::server::Server;

/// Connections that call.
const CONNECTIONS: usize = 64;
/// The first sample is after this share of all calls.
const SETTLED: u64 = 10;
/// Between two samples.
const PAUSE: Duration = Duration::from_millis(250);

/// How much was resident, in bytes.
pub(super) struct Memory {
    /// After how many calls, and how much.
    pub(super) samples: Vec<(u64, u64)>,
    pub(super) calls: u64,
    pub(super) took: Duration,
}

impl Memory {
    /// After a tenth of the calls.
    pub(super) fn first(&self) -> Option<(u64, u64)> {
        self.samples.iter().find(|(calls, _)| *calls >= self.calls / SETTLED).copied()
    }

    /// The median of the samples within `from` and `to` tenths of the calls.
    pub(super) fn within(&self, from: u64, to: u64) -> Option<u64> {
        let range = self.calls / 10 * from..=self.calls / 10 * to;
        let mut all: Vec<u64> =
            self.samples.iter().filter(|(calls, _)| range.contains(calls)).map(|(_, bytes)| *bytes).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }

    /// The most.
    pub(super) fn most(&self) -> Option<u64> {
        self.samples.iter().map(|(_, bytes)| *bytes).max()
    }
}

/// Calls `target`, which is `deed`, so many times.
pub(super) async fn watch(
    deed: &Server,
    target: &Target,
    calls: u64,
) -> Result<Option<Memory>, Box<dyn Error + Send + Sync>> {
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let driving = tokio::spawn({
        let (target, done) = (target.clone(), done.clone());
        async move { drive(&target, CONNECTIONS, calls, done).await }
    });
    let mut samples = Vec::new();
    let mut tenth = 0;
    while !driving.is_finished() {
        let now = done.load(Ordering::Relaxed).min(calls) * 10 / calls;
        if now > tenth {
            tenth = now;
            eprintln!("memory: {tenth}0 % of {calls} calls");
        }
        if let Some(bytes) = deed.memory() {
            samples.push((done.load(Ordering::Relaxed).min(calls), bytes));
        }
        tokio::time::sleep(PAUSE).await;
    }
    driving.await??;
    Ok(Some(Memory { samples, calls, took: started.elapsed() }))
}
