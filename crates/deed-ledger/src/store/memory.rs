//! A store in memory, for tests and for measuring without a disk.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Object, Store, StoreError};

/// Objects in memory; gone with the value.
#[derive(Debug, Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<String, Arc<Vec<u8>>>>,
}

impl MemoryStore {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Vec<u8>>>> {
        // Each change is one map operation: a panic elsewhere leaves the map whole.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn object(&self, path: &str) -> Result<Arc<Vec<u8>>, StoreError> {
        self.objects().get(path).cloned().ok_or_else(|| StoreError::Missing(path.to_owned()))
    }
}

impl Store for MemoryStore {
    fn create(&self, path: &str, parts: &[&[u8]]) -> Result<(), StoreError> {
        let mut objects = self.objects();
        if objects.contains_key(path) {
            return Err(StoreError::Exists(path.to_owned()));
        }
        objects.insert(path.to_owned(), Arc::new(parts.concat()));
        Ok(())
    }

    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.objects().insert(path.to_owned(), Arc::new(bytes.to_vec()));
        Ok(())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        Ok(self.object(path)?.to_vec())
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let object = self.object(path)?;
        let short =
            || StoreError::Short { path: path.to_owned(), size: object.len() as u64, wanted: range.end };
        let from = usize::try_from(range.start).map_err(|_| short())?;
        let to = usize::try_from(range.end).map_err(|_| short())?;
        object.get(from..to).map(<[u8]>::to_vec).ok_or_else(short)
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        Ok(self.object(path)?.len() as u64)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        Ok(self
            .objects()
            .iter()
            .filter(|(path, _)| path.starts_with(prefix))
            .map(|(path, bytes)| Object { path: path.clone(), size: bytes.len() as u64 })
            .collect())
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        self.objects().remove(path);
        Ok(())
    }
}
