//! What was found, kept between two openings of a store: derived, versioned, and thrown away when in doubt.

use deed_ledger::{Ledger, store::StoreError};
use deed_review::review::Review;
use deed_seal::hash::Hash;

use super::Reviewed;
use crate::identity::last_leaf;

/// The object in the store.
pub(super) const PATH: &str = "findings/state";
const MAGIC: &[u8; 16] = b"deedfindings/15\n";

/// Reads what was kept, if it is of this very log.
pub(super) fn load(ledger: &Ledger) -> Option<Reviewed> {
    let bytes = match ledger.store().read(PATH) {
        Ok(bytes) => bytes,
        Err(error) => {
            if !error.is_missing() {
                tracing::warn!(%error, "findings are reviewed again");
            }
            return None;
        }
    };
    let read = read(ledger, &bytes);
    if read.is_none() {
        tracing::warn!("`{PATH}` is not of this version and log; findings are reviewed again");
    }
    read
}

fn read(ledger: &Ledger, bytes: &[u8]) -> Option<Reviewed> {
    let (digest, rest) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if Hash::of(rest).0 != *digest {
        return None;
    }
    let (leaves, rest) = rest.split_first_chunk::<8>()?;
    let leaves = u64::from_be_bytes(*leaves);
    let (last, rest) = rest.split_at_checked(32)?;
    // The log is the truth: a store that was put back from a backup may be another one.
    if leaves > ledger.size() || last_leaf(ledger, leaves)? != *last {
        return None;
    }
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let inventory = std::str::from_utf8(&rest[..end]).ok()?.to_owned();
    let review = Review::read(&rest[end + 1..]).ok()?;
    Some(Reviewed { review, leaves, inventory })
}

/// Keeps what was found.
///
/// # Errors
/// The store cannot be written.
pub(super) fn save(ledger: &Ledger, reviewed: &Reviewed) -> Result<(), StoreError> {
    let (Some(last), Ok(review)) = (last_leaf(ledger, reviewed.leaves), reviewed.review.dump()) else {
        return Ok(());
    };
    let leaves = reviewed.leaves.to_be_bytes();
    let rest = [&leaves[..], &last, reviewed.inventory.as_bytes(), b"\n", &review].concat();
    let bytes = [&MAGIC[..], &Hash::of(&rest).0, &rest].concat();
    ledger.store().replace(PATH, &bytes)
}
