//! A store that fails now and then, for tests.

use std::{
    io,
    ops::Range,
    sync::{Mutex, PoisonError},
};

use super::{MemoryStore, Object, Store, StoreError};
use crate::journal::sim::{Rng, SimDisk};

/// Objects that are kept as [`Store`] promises, but for the attempts that fail: these are done, or not.
pub(crate) struct SimStore {
    objects: MemoryStore,
    disk: SimDisk,
    rng: Mutex<Rng>,
}

impl SimStore {
    /// A store that is lost when `disk` loses its power.
    pub(crate) fn new(disk: SimDisk, seed: u64) -> Self {
        SimStore { objects: MemoryStore::default(), disk, rng: Mutex::new(Rng(seed)) }
    }

    fn change(&self, path: &str, run: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let failed = || StoreError::Io {
            doing: "write",
            path: path.to_owned(),
            source: io::Error::other("simulated"),
        };
        if self.disk.is_off() {
            return Err(failed());
        }
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        if rng.chance(self.disk.faults().room) {
            if rng.chance(500) {
                run()?;
            }
            return Err(failed());
        }
        run()
    }
}

impl Store for SimStore {
    fn create(&self, path: &str, parts: &[&[u8]]) -> Result<(), StoreError> {
        self.change(path, || self.objects.create(path, parts))
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.change(path, || self.objects.replace(path, bytes))
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.objects.read(path)
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.objects.read_range(path, range)
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        self.objects.size(path)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        self.objects.list(prefix)
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.change(path, || self.objects.delete(path))
    }
}
