//! What this machine can do with these records without a server: the ledger as a library.

use std::{
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use deed_ledger::{Ledger, Options, Sender};
use deed_query::Tables;

use crate::{ingest::BATCH, records};

/// Records a second through parsing, canonical bytes, digests, leaf, journal, pack, index and Parquet, called
/// from threads enough for every core, bodies made beforehand; the last pack's Parquet is waited for.
pub(crate) fn run(dir: &Path, count: u64) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> {
    let ledger = Ledger::open(dir, Options::default())?;
    let tables = Tables::open(ledger.clone(), deed_query::Options::default())?;
    let sender = Sender { tenant: None, name: "bench".into(), ours: false };
    let bodies: Vec<String> = (0..40).map(|n| records::body(n * BATCH, BATCH)).collect();
    let next = AtomicU64::new(0);
    let started = Instant::now();
    std::thread::scope(|scope| -> crate::Outcome {
        let workers: Vec<_> = (0..std::thread::available_parallelism()?.get() * 2)
            .map(|_| {
                scope.spawn(|| -> crate::Outcome {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n * BATCH >= count {
                            return Ok(());
                        }
                        ledger.append(bodies[n as usize % bodies.len()].as_bytes(), &sender)?;
                    }
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a worker died")?)
    })?;
    let complete = ledger.size() / deed_ledger::PACK_LEAVES;
    while tables.lag().packs < complete || tables.lag().behind > 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let rate = ledger.size() as f64 / started.elapsed().as_secs_f64();
    tables.close();
    ledger.close()?;
    Ok(rate)
}
