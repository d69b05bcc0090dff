//! What is noted of keys beside the log: small texts, each told from a damaged one by its digest.
//!
//! The first line is `HEAD DIGEST`, of the rest in SHA-256.

use deed_seal::hash::Hash;

use crate::{keys::KeyError, store::Store};

/// A text of a fixed place and form.
pub(crate) struct Noted {
    /// Where it is.
    pub(crate) path: &'static str,
    /// What it begins with: form and version.
    pub(crate) head: &'static str,
    /// What it is, in words.
    pub(crate) what: &'static str,
}

impl Noted {
    /// What `parse` makes of its lines in `store`; `None` where there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub(crate) fn read<T>(
        &self,
        store: &dyn Store,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, KeyError> {
        let text = match store.read(self.path) {
            Ok(text) => text,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let noted = || {
            let (head, lines) = str::from_utf8(&text).ok()?.split_once('\n')?;
            let digest = head.strip_prefix(self.head)?.strip_prefix(' ')?;
            let is_whole = digest == Hash::of(lines.as_bytes()).to_string();
            is_whole.then(|| parse(lines))?
        };
        noted().map(Some).ok_or(KeyError::Noted { file: self.path, what: self.what })
    }

    /// Writes `lines` in its place in `store`, durably.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, store: &dyn Store, lines: &str) -> Result<(), KeyError> {
        let text = format!("{} {}\n{lines}", self.head, Hash::of(lines.as_bytes()));
        Ok(store.replace(self.path, text.as_bytes())?)
    }
}
