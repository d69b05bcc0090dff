//! What was folded, kept between two openings of a store: derived, versioned, and thrown away when in doubt.

use std::collections::HashSet;

use deed_identity::{Bounds, State};
use deed_ledger::{Ledger, store::StoreError};
use deed_record::RecordId;
use deed_seal::hash::{Hash, leaf_hash};

use super::Followed;

/// The object in the store.
pub(super) const PATH: &str = "identity/state";
const MAGIC: &[u8; 16] = b"deed-folded/1\n\0\0";

/// Reads what was kept, if it is of this very log.
pub(super) fn load(ledger: &Ledger, bounds: Bounds) -> Option<Followed> {
    let bytes = match ledger.store().read(PATH) {
        Ok(bytes) => bytes,
        Err(error) => {
            if !error.is_missing() {
                tracing::warn!(%error, "what was folded of identities is folded again");
            }
            return None;
        }
    };
    let read = read(ledger, &bytes, bounds);
    if read.is_none() {
        tracing::warn!("`{PATH}` is not of this version and log; identities are folded again");
    }
    read
}

fn read(ledger: &Ledger, bytes: &[u8], bounds: Bounds) -> Option<Followed> {
    let (digest, rest) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    if Hash::of(rest).0 != *digest {
        return None;
    }
    let (leaves, rest) = number(rest)?;
    let (last, rest) = rest.split_at_checked(32)?;
    let (origin, rest) = number(rest)?;
    let (origin, rest) = rest.split_at_checked(usize::try_from(origin).ok()?)?;
    let (count, rest) = number(rest)?;
    let (ids, dump) = rest.split_at_checked(usize::try_from(count).ok()?.checked_mul(16)?)?;
    // The log is the truth: a store that was put back from a backup may be another one.
    let same = origin == ledger.origin().as_bytes()
        && leaves <= ledger.size()
        && last_leaf(ledger, leaves)? == *last;
    let superseded: HashSet<RecordId> =
        ids.chunks_exact(16).filter_map(|id| Some(RecordId(id.try_into().ok()?))).collect();
    let state = State::read(dump, bounds).ok().filter(|_| same)?;
    Some(Followed { state, leaves, superseded, stale: false })
}

/// Keeps what was folded.
///
/// # Errors
/// The store cannot be written, or the log cannot be read.
pub(super) fn save(ledger: &Ledger, followed: &Followed) -> Result<(), StoreError> {
    let Some(last) = last_leaf(ledger, followed.leaves) else { return Ok(()) };
    let mut rest = Vec::new();
    rest.extend_from_slice(&followed.leaves.to_be_bytes());
    rest.extend_from_slice(&last);
    rest.extend_from_slice(&(ledger.origin().len() as u64).to_be_bytes());
    rest.extend_from_slice(ledger.origin().as_bytes());
    let mut ids: Vec<&RecordId> = followed.superseded.iter().collect();
    ids.sort_unstable();
    rest.extend_from_slice(&(ids.len() as u64).to_be_bytes());
    ids.iter().for_each(|id| rest.extend_from_slice(&id.0));
    rest.extend_from_slice(&followed.state.dump());
    let bytes = [&MAGIC[..], &Hash::of(&rest).0, &rest].concat();
    ledger.store().replace(PATH, &bytes)
}

/// The hash of the last leaf below `leaves`; zeros where there is none.
pub(crate) fn last_leaf(ledger: &Ledger, leaves: u64) -> Option<[u8; 32]> {
    let Some(last) = leaves.checked_sub(1) else { return Some([0; 32]) };
    ledger.leaf(last).ok().map(|sealed| leaf_hash(&sealed.leaf).0)
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}
