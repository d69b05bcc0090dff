//! How many data keys there are, written down beside the log: `log/data-keys`.
//!
//! As with tenants ([`crate::tenants`]): a backup of the keys that is older than a person lacks theirs, the payloads of their
//! records stay closed, and another key would be made in its place. Data keys only become more, so that keys of which there
//! are fewer than are written here are of an earlier time.
//!
//! It is written after a checkpoint, by the thread that signs: recording never waits for it. A stop in between only leaves a
//! smaller number, which is made up for when the store is opened.

use crate::{keys::KeyError, noted::Noted, store::Store};

/// Where the number is.
pub(crate) const PATH: &str = "log/data-keys";

/// A line with the number.
const NOTED: Noted = Noted { path: PATH, head: "deed-data-keys/1", what: "the number" };

/// The number in `store`; 0 where none was written.
///
/// # Errors
/// It cannot be read, or is no such number.
pub(crate) fn read(store: &dyn Store) -> Result<u64, KeyError> {
    let number = NOTED.read(store, |line| line.strip_suffix('\n')?.parse().ok())?;
    Ok(number.unwrap_or_default())
}

/// Writes `number` down, durably.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(store: &dyn Store, number: u64) -> Result<(), KeyError> {
    NOTED.write(store, &format!("{number}\n"))
}
