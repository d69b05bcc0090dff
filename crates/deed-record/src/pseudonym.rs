//! The keyed hashes that stand for names and personal values.

use crate::{Account, Alias, Pseudonym};

/// A tenant's keyed hash. Implemented by whoever holds the tenant's pseudonym key.
///
/// Every call hashes its parts each preceded by its length, so that no two lists of parts give the
/// same input.
pub trait Pseudonyms {
    /// HMAC-SHA-256 over `parts` under the tenant's pseudonym key.
    fn keyed(&self, parts: &[&[u8]]) -> [u8; 32];

    /// The account that stands for `alias`.
    fn account(&self, alias: Alias<'_>) -> Account {
        Account(first_half(self.keyed(&[b"account", alias.system.as_bytes(), alias.native.as_bytes()])))
    }

    /// The pseudonym that stands for `value`, a personal value of sort `what` (`address`, `device`).
    fn pseudonym(&self, what: &str, value: &str) -> Pseudonym {
        Pseudonym(first_half(self.keyed(&[b"personal", what.as_bytes(), value.as_bytes()])))
    }
}

fn first_half(digest: [u8; 32]) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&digest[..16]);
    half
}
