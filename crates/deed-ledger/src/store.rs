//! The one door to storage. Everything but the journal, the keys and the lock goes through [`Store`].

mod local;
pub(crate) use local::{PRIVATE, make_folder, open_plain};
mod memory;
#[cfg(test)]
pub(crate) mod sim;

use std::{io, ops::Range};

pub use local::LocalStore;
pub use memory::MemoryStore;

/// Named, mostly write-once objects: a local folder, or a bucket.
///
/// Names are relative, parts separated by `/`. Contract, whatever the implementation:
/// - what `create`, `replace` or `delete` did is durable when it returns `Ok`, and visible to every
///   later call from any thread;
/// - when one of them fails, the object is either as before or as asked, never between;
/// - `create` never overwrites, so that two writers cannot both succeed.
///
/// Nothing here retries: the caller knows whether that is safe.
pub trait Store: Send + Sync + 'static {
    /// Makes a new object out of `parts`, one after another.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one of that name.
    fn create(&self, path: &str, parts: &[&[u8]]) -> Result<(), StoreError>;

    /// Makes or replaces an object, atomically.
    ///
    /// # Errors
    /// The storage failed.
    fn replace(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError>;

    /// A whole object.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn read(&self, path: &str) -> Result<Vec<u8>, StoreError>;

    /// The bytes of `range`, all of them.
    ///
    /// # Errors
    /// [`StoreError::Missing`], or [`StoreError::Short`] if the object ends before the range does.
    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Vec<u8>, StoreError>;

    /// A whole object; of one that is longer than `most` bytes the first `most` and one, so that whoever reads it sees that.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn read_at_most(&self, path: &str, most: u64) -> Result<Vec<u8>, StoreError> {
        match self.size(path)? {
            size if size > most => self.read_range(path, 0..most + 1),
            _ => self.read(path),
        }
    }

    /// An object's size in bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`].
    fn size(&self, path: &str) -> Result<u64, StoreError>;

    /// Every object whose name begins with `prefix`, sorted by name.
    ///
    /// # Errors
    /// The storage failed.
    fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError>;

    /// Removes an object; removing what is not there is no error.
    ///
    /// # Errors
    /// The storage failed.
    fn delete(&self, path: &str) -> Result<(), StoreError>;
}

/// An object as [`Store::list`] sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Object {
    /// Its name.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is one of that name already.
    #[error("`{0}` exists already")]
    Exists(String),
    /// There is none of that name.
    #[error("`{0}` is missing")]
    Missing(String),
    /// It ends too early.
    #[error("`{path}` ends at byte {size}, before byte {wanted}")]
    Short {
        /// The object.
        path: String,
        /// Where it ends.
        size: u64,
        /// How far the reader wanted to go.
        wanted: u64,
    },
    /// The storage itself failed.
    #[error("failed to {doing} `{path}`: {source}")]
    Io {
        /// What was tried: `read`, `write`, `sync`, …
        doing: &'static str,
        /// The object.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

impl StoreError {
    fn io(doing: &'static str, path: &str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| StoreError::Io { doing, path, source }
    }

    /// Whether the object is simply not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, StoreError::Missing(_))
    }
}
