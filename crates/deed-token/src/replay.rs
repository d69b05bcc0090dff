//! What may be used once: `jti`s of proofs and assertions, remembered until they have expired.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Mutex,
};

use crate::{error::VerifyError, text::sha256};

/// Whoever remembers what was used. Implemented for a [`Mutex`] around a [`ReplaySet`], which is held for
/// the look-up alone and not while signatures are verified.
pub trait Once {
    /// Notes that `id` of `issuer` is used at `now`, to be remembered until after `until`; in seconds.
    ///
    /// # Errors
    /// [`VerifyError::Replayed`] if it was used, [`VerifyError::Full`] if it cannot be remembered.
    fn once(&self, issuer: &str, id: &str, until: i64, now: i64) -> Result<(), VerifyError>;
}

impl Once for Mutex<ReplaySet> {
    fn once(&self, issuer: &str, id: &str, until: i64, now: i64) -> Result<(), VerifyError> {
        // Whoever panicked with it left it whole: it is changed in single steps.
        self.lock().unwrap_or_else(std::sync::PoisonError::into_inner).once(issuer, id, until, now)
    }
}

/// What was used, bounded in time and memory: some 100 bytes each.
///
/// It never forgets one for another: when full it refuses, for whoever fills it could otherwise use an
/// older one again.
#[derive(Clone, Debug)]
pub struct ReplaySet {
    most: usize,
    seen: HashSet<[u8; 16]>,
    /// By the time at which each may be forgotten.
    ends: BTreeSet<(i64, [u8; 16])>,
}

impl ReplaySet {
    /// For at most `most` at a time.
    pub fn new(most: usize) -> Self {
        ReplaySet { most, seen: HashSet::new(), ends: BTreeSet::new() }
    }

    /// As [`Once::once`].
    ///
    /// # Errors
    /// As there.
    pub fn once(&mut self, issuer: &str, id: &str, until: i64, now: i64) -> Result<(), VerifyError> {
        self.forget(now);
        // The length of the issuer keeps `ab` + `c` apart from `a` + `bc`. 128 bits of a hash cannot be
        // made to collide on purpose with one that somebody else will use.
        let named = format!("{} {issuer} {id}", issuer.len());
        let mut key = [0; 16];
        key.copy_from_slice(&sha256(named.as_bytes())[..16]);
        if self.seen.contains(&key) {
            return Err(VerifyError::Replayed);
        }
        if self.seen.len() >= self.most {
            return Err(VerifyError::Full);
        }
        self.seen.insert(key);
        self.ends.insert((until, key));
        Ok(())
    }

    /// Forgets what has expired.
    fn forget(&mut self, now: i64) {
        while let Some(first) = self.ends.first().copied().filter(|(until, _)| *until < now) {
            self.ends.remove(&first);
            self.seen.remove(&first.1);
        }
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_when_full_and_forgets_only_what_expired() {
        let mut set = ReplaySet::new(2);
        assert_eq!(set.once("a", "1", 10, 0), Ok(()));
        assert_eq!(set.once("a", "1", 10, 0), Err(VerifyError::Replayed));
        assert_eq!(set.once("b", "1", 20, 0), Ok(()));
        assert_eq!(set.once("a", "2", 20, 0), Err(VerifyError::Full));
        assert_eq!(set.once("a", "1", 10, 10), Err(VerifyError::Replayed));
        assert_eq!(set.once("a", "2", 20, 11), Ok(()));
        assert_eq!(set.len(), 2);
        assert_eq!(set.once("b", "1", 20, 20), Err(VerifyError::Replayed));
    }

    #[test]
    fn issuers_do_not_share_ids() {
        let mut set = ReplaySet::new(9);
        assert_eq!(set.once("a", "b c", 1, 0), Ok(()));
        assert_eq!(set.once("a b", "c", 1, 0), Ok(()));
    }
}
