//! How many data keys there are, written down beside the log: `log/data-keys`.
//!
//! As with tenants ([`crate::tenants`]): a backup of the keys that is older than a person lacks theirs, the payloads of their
//! records stay closed, and another key would be made in its place. Data keys only become more, so that keys of which there
//! are fewer than are written here are of an earlier time.
//!
//! It is written after a checkpoint, by the thread that signs: recording never waits for it. A stop in between only leaves a
//! smaller number, which is made up for when the store is opened.

use deed_seal::hash::Hash;

use crate::{keys::KeyError, store::Store};

/// Where the number is: a line `deed-data-keys/1 DIGEST`, of the rest in SHA-256, and a line with the number.
pub(crate) const PATH: &str = "log/data-keys";

const HEAD: &str = "deed-data-keys/1 ";

/// The number in `store`; 0 where none was written.
///
/// # Errors
/// It cannot be read, or is no such number.
pub(crate) fn read(store: &dyn Store) -> Result<u64, KeyError> {
    let text = match store.read(PATH) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let number = || {
        let (digest, line) = str::from_utf8(&text).ok()?.strip_prefix(HEAD)?.split_once('\n')?;
        let is_whole = digest == Hash::of(line.as_bytes()).to_string();
        line.strip_suffix('\n').filter(|_| is_whole)?.parse().ok()
    };
    number().ok_or(KeyError::DataKeys)
}

/// Writes `number` down, durably.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(store: &dyn Store, number: u64) -> Result<(), KeyError> {
    let line = format!("{number}\n");
    Ok(store.replace(PATH, format!("{HEAD}{}\n{line}", Hash::of(line.as_bytes())).as_bytes())?)
}
