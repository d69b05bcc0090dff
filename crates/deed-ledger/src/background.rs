//! The two threads behind the sequencer: one moves complete packs into the store, one signs.

use std::{
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    LedgerError, PACK_LEAVES, pack,
    shared::Shared,
    signing::{SignedCheckpoint, kept_path},
    store::{Store, StoreError},
    tail::PackInMemory,
    vault,
};

/// How long a failed write to the store waits before it is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Moves complete packs into the store until the ledger closes.
pub(crate) fn pack_forever(shared: &Shared) {
    loop {
        shared.wait_until(Duration::from_secs(3600), || {
            shared.closing.load(Ordering::Acquire) || oldest(shared).is_some()
        });
        let Some(full) = oldest(shared) else {
            if shared.closing.load(Ordering::Acquire) {
                return;
            }
            continue;
        };
        match store_pack(shared, &full) {
            Ok(()) => {
                shared.set_packing_error(None);
                shared.counters.packs.fetch_add(1, Ordering::Relaxed);
                shared.notify();
                if let Err(error) = shared.index.merge() {
                    tracing::warn!(%error, "index runs stay unmerged: look-ups are slower, nothing else");
                }
            }
            Err(error) => {
                // The leaves are safe in the journal; only room runs out (see `MOST_WAITING`).
                tracing::error!(%error, pack = full.number, "failed to store a pack; trying again");
                shared.set_packing_error(Some(error.to_string()));
                let closing = shared.wait_until(PAUSE, || shared.closing.load(Ordering::Acquire));
                if closing {
                    return;
                }
            }
        }
    }
}

fn oldest(shared: &Shared) -> Option<Arc<PackInMemory>> {
    shared.log.with_tail(|tail| tail.oldest_full())
}

/// Writes disclosures, then index, then the pack itself: with the pack everything is there. What an
/// interrupted attempt left is overwritten with the same bytes.
fn store_pack(shared: &Shared, full: &PackInMemory) -> Result<(), LedgerError> {
    let log = &shared.log;
    let store = &*log.store;
    let blobs: Vec<&[u8]> = (0..PACK_LEAVES as usize).map(|at| full.blob(at).unwrap_or_default()).collect();
    let names: Vec<_> = full.names.iter().map(|(account, blob)| (*account, blob.as_slice())).collect();
    store.replace(&vault::path_of(full.number), &vault::encode(full.number, &blobs, &names).concat())?;
    shared.index.add(full.number, &mut full.entries.clone())?;

    let encoded = pack::encode(full.number, &log.origin, &full.bundles, &full.hashes)
        .map_err(|e| LedgerError::Broken(format!("compressing pack {} failed: {e}", full.number)))?;
    let parts: Vec<&[u8]> = encoded.parts.iter().map(Vec::as_slice).collect();
    match store.create(&pack::path_of(full.number), &parts) {
        Ok(()) => {}
        Err(StoreError::Exists(path)) => {
            // An attempt before this one made it, but may have failed to make it durable. Anything else
            // of that name is an enemy's, or another writer's.
            let bytes = parts.concat();
            if store.read(&path)? != bytes {
                return Err(LedgerError::Broken(format!("`{path}` exists with other content")));
            }
            store.replace(&path, &bytes)?;
        }
        Err(error) => return Err(error.into()),
    }
    log.roots.write().unwrap_or_else(PoisonError::into_inner).push(encoded.root);
    log.tail.write().unwrap_or_else(PoisonError::into_inner).drop_oldest();
    Ok(())
}

/// Signs a checkpoint soon after the log has grown, until the ledger closes.
pub(crate) fn sign_forever(shared: &Shared, interval: Duration) {
    let mut last = Instant::now().checked_sub(interval).unwrap_or_else(Instant::now);
    loop {
        let closing = || shared.closing.load(Ordering::Acquire);
        // Set before the size is looked at, so that a leaf that comes after that finds it set.
        shared.signer_waits.store(true, Ordering::Release);
        shared.wait_until(Duration::from_secs(3600), || closing() || shared.log.size() > signed_size(shared));
        shared.signer_waits.store(false, Ordering::Release);
        // Not at once after the last one: a busy log is signed once an interval.
        let rest = interval.saturating_sub(last.elapsed());
        if !rest.is_zero() {
            shared.wait_until(rest, closing);
        }
        if closing() {
            return;
        }
        last = Instant::now();
        sign_now(shared);
    }
}

/// Signs what is durable now, if it is more than what was signed. Signing never stops recording: a
/// failure shows in the health report until it is mended.
pub(crate) fn sign_now(shared: &Shared) {
    // One at a time: a smaller checkpoint must never replace a larger one (D3).
    let signing = shared.signing.lock().unwrap_or_else(PoisonError::into_inner);
    let size = shared.log.size();
    let before = shared.checkpoint.read().unwrap_or_else(PoisonError::into_inner).clone();
    if before.as_ref().is_some_and(|before| before.size >= size) {
        return;
    }
    let result = shared.signer.sign(&shared.log, size, before.as_deref()).and_then(|signed| {
        keep_a_pack(&*shared.log.store, &signed, before.as_deref())?;
        Ok(signed)
    });
    let problem = match result {
        Ok(signed) => {
            *shared.checkpoint.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(signed));
            shared.counters.checkpoints.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = shared.keys.note_data_keys(&*shared.log.store) {
                tracing::warn!(%error, "how many data keys there are is written down with the next checkpoint");
            }
            None
        }
        Err(error) => {
            tracing::error!(%error, size, "failed to sign a checkpoint");
            if let LedgerError::Broken(why) = &error {
                // A log that does not continue what it signed must not grow further.
                shared.fail(why);
                shared.queue.close(why);
            }
            Some(error.to_string())
        }
    };
    *shared.unsigned.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    drop(signing);
    shared.notify();
}

/// The first checkpoint over each pack is kept for good, so that a later rewriting of history meets
/// one it contradicts.
pub(crate) fn keep_a_pack(
    store: &dyn Store,
    signed: &SignedCheckpoint,
    before: Option<&SignedCheckpoint>,
) -> Result<(), LedgerError> {
    let packs_before = before.map_or(0, |before| before.size / PACK_LEAVES);
    if signed.size / PACK_LEAVES > packs_before {
        match store.create(&kept_path(signed.size), &[signed.note.as_bytes()]) {
            Ok(()) | Err(StoreError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn signed_size(shared: &Shared) -> u64 {
    shared.checkpoint.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |signed| signed.size)
}
