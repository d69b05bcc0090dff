//! A store of one object, most of which may be zeros that nobody has to write.

use std::ops::Range;

use deed_ledger::store::{Object, Store, StoreError};

/// `head`, then `zeros` zero bytes, then `tail`, under one name.
pub(crate) struct Holed {
    pub(crate) path: String,
    pub(crate) head: Vec<u8>,
    pub(crate) zeros: u64,
    pub(crate) tail: Vec<u8>,
}

impl Holed {
    fn len(&self) -> u64 {
        self.head.len() as u64 + self.zeros + self.tail.len() as u64
    }

    fn byte(&self, at: u64) -> u8 {
        let behind = at.checked_sub(self.head.len() as u64 + self.zeros);
        let byte = match behind {
            Some(at) => self.tail.get(at as usize),
            None => self.head.get(at as usize),
        };
        byte.copied().unwrap_or(0)
    }
}

impl Store for Holed {
    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let size = self.size(path)?;
        if range.end > size {
            return Err(StoreError::Short { path: path.to_owned(), size, wanted: range.end });
        }
        let (from, to) = (range.start as usize, range.end as usize);
        if let Some(bytes) = self.head.get(from..to) {
            return Ok(bytes.to_vec());
        }
        Ok(range.map(|at| self.byte(at)).collect())
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, StoreError> {
        self.read_range(path, 0..self.len())
    }

    fn size(&self, path: &str) -> Result<u64, StoreError> {
        if path == self.path { Ok(self.len()) } else { Err(StoreError::Missing(path.to_owned())) }
    }

    fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        let object = Object { path: self.path.clone(), size: self.len() };
        Ok(if self.path.starts_with(prefix) { vec![object] } else { Vec::new() })
    }

    fn create(&self, path: &str, _: &[&[u8]]) -> Result<(), StoreError> {
        Err(StoreError::Exists(path.to_owned()))
    }

    fn replace(&self, path: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::Exists(path.to_owned()))
    }

    fn delete(&self, path: &str) -> Result<(), StoreError> {
        Err(StoreError::Exists(path.to_owned()))
    }
}

/// Puts `value` at `at`, where there is room.
pub(crate) fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// The little-endian number at `at`, 0 beyond the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// The little-endian number at `at`, 0 beyond the end.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
}
