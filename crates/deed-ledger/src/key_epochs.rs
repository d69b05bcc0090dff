//! When data keys were lost, written down beside the log: `log/key-epochs`.
//!
//! A data key is named after whom it concerns. Where it was lost, and its loss was accepted, another one must not take its
//! name: what was sealed under the first would look tampered with. So a loss begins an epoch, and data keys made from then
//! on have names of their own; what is left of the others keeps opening what it sealed.

use crate::{
    keys::{KeyError, random},
    noted::Noted,
    store::Store,
};

/// Where the epochs are.
pub(crate) const PATH: &str = "log/key-epochs";

/// A line for each, the newest last.
const NOTED: Noted = Noted { path: PATH, head: "deed-key-epochs/1", what: "the list" };

/// What an epoch is told by.
pub(crate) type Epoch = [u8; 16];

/// The epochs in `store` after the first, which has no name; none where no data key was ever lost.
///
/// # Errors
/// They cannot be read, or are not what was written.
pub(crate) fn read(store: &dyn Store) -> Result<Vec<Epoch>, KeyError> {
    let epoch = |line: &str| {
        let digits = Some(line).filter(|line| line.len() == 32)?;
        Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
    };
    let all =
        |lines: &str| lines.lines().map(epoch).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty());
    Ok(NOTED.read(store, all)?.unwrap_or_default())
}

/// Begins another after `epochs`, durably.
///
/// # Errors
/// It cannot be written.
pub(crate) fn begin(store: &dyn Store, mut epochs: Vec<Epoch>) -> Result<Vec<Epoch>, KeyError> {
    epochs.push(random()?);
    let lines: String =
        epochs.iter().map(|epoch| format!("{:032x}\n", u128::from_be_bytes(*epoch))).collect();
    NOTED.write(store, &lines)?;
    Ok(epochs)
}
