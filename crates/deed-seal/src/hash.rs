//! The hash of a Merkle tree, and how leaves and nodes are hashed (RFC 6962, section 2.1).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::lanes::hash_all;

/// A SHA-256 value: of a leaf, of a node, or the root of a tree.
///
/// Prints as 64 lower-case hexadecimal digits; C2SP formats carry it as [base64](Hash::to_base64).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of a tree without leaves: SHA-256 of nothing (RFC 6962, section 2.1).
    pub const EMPTY: Self = Self([
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
        0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
    ]);

    /// SHA-256 of `bytes`, without any prefix.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Standard base64 with padding (RFC 4648, section 4), 44 characters.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads what [`to_base64`](Self::to_base64) writes, and nothing else.
    ///
    /// # Errors
    /// [`HashError`] if `text` is not the one base64 form of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, HashError> {
        let mut bytes = [0; 33]; // one more than fits, so that a longer value is seen as such
        match STANDARD.decode_slice(text, &mut bytes) {
            Ok(32) => Ok(Self(std::array::from_fn(|i| bytes[i]))),
            _ => Err(HashError::Base64(text.chars().take(64).collect())),
        }
    }

    /// The hash in a 32-byte slice; `None` if the length differs.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

/// The hash of a leaf holding `entry`: SHA-256(0x00 ‖ entry).
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x00]);
    hasher.update(entry);
    Hash(hasher.finalize().into())
}

/// The hash of the node above `left` and `right`: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut message = [0x01; 65];
    message[1..33].copy_from_slice(&left.0);
    message[33..].copy_from_slice(&right.0);
    Hash(Sha256::digest(message).into())
}

/// As [`Hash::of`] each of `messages`, faster for many of them at a time.
pub fn hashes<T: AsRef<[u8]>>(messages: &[T]) -> Vec<Hash> {
    hash_all(None, messages)
}

/// As [`leaf_hash`] of each of `entries`, faster for many of them at a time.
pub fn leaf_hashes<T: AsRef<[u8]>>(entries: &[T]) -> Vec<Hash> {
    hash_all(Some(0x00), entries)
}

/// The level above `hashes`: the [`node_hash`] of each pair of neighbours, without a last one that has none.
pub fn node_hashes(hashes: &[Hash]) -> Vec<Hash> {
    let pairs = hashes.as_chunks().0.iter().map(|[left, right]| {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&left.0);
        pair[32..].copy_from_slice(&right.0);
        pair
    });
    hash_all(Some(0x01), &pairs.collect::<Vec<_>>())
}

/// Why a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// Not 64 lower-case hexadecimal digits.
    #[error("expected 64 lower-case hexadecimal digits, found `{0}`")]
    Hex(String),
    /// Not the base64 form of 32 bytes.
    #[error("expected the base64 of a 32-byte hash, found `{0}`")]
    Base64(String),
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(DIGITS[usize::from(byte >> 4)].into());
            text.push(DIGITS[usize::from(byte & 15)].into());
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl FromStr for Hash {
    type Err = HashError;

    /// Reads 64 lower-case hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || HashError::Hex(text.chars().take(80).collect());
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(error()),
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(error()) };
        let pairs: &[[u8; 2]; 32] = pairs.try_into().map_err(|_| error())?;
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Ok(Self(bytes))
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<[u8; 32]> for Hash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}
