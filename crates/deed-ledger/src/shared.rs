//! What the threads of a ledger share.

use std::{
    sync::{
        Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};

use crate::{
    index::Index,
    keys::Keys,
    sequencer::Queue,
    signing::{CheckpointSigner, SignedCheckpoint},
    tree::Log,
};

pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) index: Index,
    pub(crate) keys: Keys,
    pub(crate) signer: CheckpointSigner,
    pub(crate) queue: Queue,
    pub(crate) checkpoint: RwLock<Option<Arc<SignedCheckpoint>>>,
    pub(crate) counters: Atomics,
    pub(crate) closing: AtomicBool,
    /// The signer has signed all there is, and waits to be told of more.
    pub(crate) signer_waits: AtomicBool,
    /// Why nothing is written any more, once that is so.
    failed: OnceLock<String>,
    /// Since when the disk has been asked to keep what is being written, while it is.
    writing: Mutex<Option<Instant>>,
    /// Why the last attempt to write a pack did not work.
    packing: Mutex<Option<String>>,
    /// Held by whoever signs, one at a time: as long as the disk takes.
    pub(crate) signing: Mutex<()>,
    /// Why nothing could be signed the last time.
    pub(crate) unsigned: Mutex<Option<String>>,
    changed: (Mutex<u64>, Condvar),
}

/// Counted since the ledger was opened.
#[derive(Default)]
pub(crate) struct Atomics {
    pub(crate) records: AtomicU64,
    pub(crate) commits: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) unheard: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) packs: AtomicU64,
    pub(crate) lookups: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        log: Log,
        index: Index,
        keys: Keys,
        signer: CheckpointSigner,
        checkpoint: Option<SignedCheckpoint>,
    ) -> Self {
        Shared {
            log,
            index,
            keys,
            signer,
            queue: Queue::default(),
            checkpoint: RwLock::new(checkpoint.map(Arc::new)),
            counters: Atomics::default(),
            closing: AtomicBool::new(false),
            signer_waits: AtomicBool::new(false),
            failed: OnceLock::new(),
            writing: Mutex::new(None),
            packing: Mutex::new(None),
            signing: Mutex::default(),
            unsigned: Mutex::default(),
            changed: (Mutex::new(0), Condvar::new()),
        }
    }

    /// Stops writing for good; the first reason stays.
    pub(crate) fn fail(&self, why: &str) {
        if self.failed.set(why.to_owned()).is_ok() {
            tracing::error!(why, "the ledger takes no more records");
        }
        self.notify();
    }

    pub(crate) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// What `write` gives, which asks the disk to keep something; meanwhile [`Shared::writing_since`] says since when.
    pub(crate) fn writing<T>(&self, write: impl FnOnce() -> T) -> T {
        let set = |since| *self.writing.lock().unwrap_or_else(PoisonError::into_inner) = since;
        set(Some(Instant::now()));
        let written = write();
        set(None);
        written
    }

    pub(crate) fn writing_since(&self) -> Option<Instant> {
        *self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn packing_error(&self) -> Option<String> {
        self.packing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_packing_error(&self, error: Option<String>) {
        *self.packing.lock().unwrap_or_else(PoisonError::into_inner) = error;
    }

    /// Tells the other threads that something changed: there is something to sign or to pack, a pack is in
    /// the store, a checkpoint was signed.
    pub(crate) fn notify(&self) {
        *self.changed.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.1.notify_all();
    }

    /// Waits until `done` holds, looking again whenever something changes; whether it holds in the end.
    pub(crate) fn wait_until(&self, patience: Duration, done: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + patience;
        let mut changes = self.changed.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if done() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            changes = self.changed.1.wait_timeout(changes, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
