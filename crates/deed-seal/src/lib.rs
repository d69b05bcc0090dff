//! What makes a record evidence, and what an auditor has to trust to check it.
//!
//! | module | speaks |
//! |---|---|
//! | [`hash`], [`merkle`] | RFC 6962 / RFC 9162 Merkle trees: roots, inclusion, consistency, subtrees |
//! | [`tile`] | C2SP tlog-tiles: tile and entry bundle paths and bytes |
//! | [`note`], [`checkpoint`] | C2SP signed-note, tlog-checkpoint, tlog-cosignature |
//! | [`proof`] | C2SP tlog-proof files |
//! | [`sd`] | RFC 9901 disclosures |
//! | [`verify`] | the verification of a whole static log |
//!
//! Everything here is pure: no I/O, no clock, no randomness, no async. Bytes, times and salts come in
//! as arguments, so that every answer can be had again from the same input.
//!
//! ```
//! use deed_seal::hash::leaf_hash;
//! use deed_seal::merkle::{self, Frontier, HashReader};
//! use deed_seal::hash::Hash;
//!
//! struct Leaves(Vec<Hash>);
//! impl HashReader for Leaves {
//!     type Error = std::convert::Infallible;
//!     fn read(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
//!         let (start, width) = ((index << level) as usize, 1 << level);
//!         let mut subtree = Frontier::new();
//!         self.0[start..start + width].iter().for_each(|leaf| subtree.push(*leaf));
//!         Ok(subtree.root())
//!     }
//! }
//!
//! let leaves = Leaves([b"one", b"two", b"six"].map(|entry| leaf_hash(entry)).to_vec());
//! let root = merkle::root_of(3, &leaves)?;
//! let proof = merkle::inclusion_proof(1, 3, &leaves)?;
//! merkle::verify_inclusion(&leaf_hash(b"two"), 1, 3, &proof, &root)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checkpoint;
pub mod hash;
mod lanes;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod sd;
pub mod tile;
pub mod verify;
