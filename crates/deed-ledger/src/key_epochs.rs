//! When data keys were lost, written down beside the log: `log/key-epochs`.
//!
//! A data key is named after whom it concerns. Where it was lost, and its loss was accepted, another one must not take its
//! name: what was sealed under the first would look tampered with. So a loss begins an epoch, and data keys made from then
//! on have names of their own; what is left of the others keeps opening what it sealed.

use deed_seal::hash::Hash;

use crate::{
    keys::{KeyError, random},
    store::Store,
};

/// Where the epochs are: a line `deed-key-epochs/1 DIGEST`, of the rest in SHA-256, and a line for each, the newest last.
pub(crate) const PATH: &str = "log/key-epochs";

const HEAD: &str = "deed-key-epochs/1 ";

/// What an epoch is told by.
pub(crate) type Epoch = [u8; 16];

/// The epochs in `store` after the first, which has no name; none where no data key was ever lost.
///
/// # Errors
/// They cannot be read, or are not what was written.
pub(crate) fn read(store: &dyn Store) -> Result<Vec<Epoch>, KeyError> {
    let text = match store.read(PATH) {
        Ok(text) => text,
        Err(error) if error.is_missing() => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let epoch = |line: &str| {
        let digits = Some(line).filter(|line| line.len() == 32)?;
        Some(u128::from_str_radix(digits, 16).ok()?.to_be_bytes())
    };
    let epochs = || -> Option<Vec<Epoch>> {
        let (digest, lines) = str::from_utf8(&text).ok()?.strip_prefix(HEAD)?.split_once('\n')?;
        let is_whole = digest == Hash::of(lines.as_bytes()).to_string();
        lines
            .lines()
            .filter(|_| is_whole)
            .map(epoch)
            .collect::<Option<Vec<_>>>()
            .filter(|all| !all.is_empty())
    };
    epochs().ok_or(KeyError::Epochs)
}

/// Begins another after `epochs`, durably.
///
/// # Errors
/// It cannot be written.
pub(crate) fn begin(store: &dyn Store, mut epochs: Vec<Epoch>) -> Result<Vec<Epoch>, KeyError> {
    epochs.push(random()?);
    let lines: String =
        epochs.iter().map(|epoch| format!("{:032x}\n", u128::from_be_bytes(*epoch))).collect();
    store.replace(PATH, format!("{HEAD}{}\n{lines}", Hash::of(lines.as_bytes())).as_bytes())?;
    Ok(epochs)
}
