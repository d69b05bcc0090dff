//! Append-only Merkle trees as RFC 6962 and RFC 9162 define them: roots, inclusion and consistency
//! proofs, and the same for subtrees (draft-ietf-plants-merkle-tree-certs, section 4; used by C2SP
//! tlog-cosignature and tlog-mirror).
//!
//! Proof makers ask a [`HashReader`] for the hashes of complete subtrees and panic on a range that no
//! tree has, as a slice does. Verifiers take anything and never panic.

use crate::hash::{Hash, node_hash};
use crate::tile::tile_root;

/// A growing tree, kept as the roots of its complete subtrees only: one hash for each bit set in its size.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// From the left (largest) to the right (smallest).
    peaks: Vec<Hash>,
}

impl Frontier {
    /// A tree without leaves.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one leaf hash.
    ///
    /// # Panics
    /// If the tree already has 2^64 - 1 leaves.
    pub fn push(&mut self, leaf: Hash) {
        self.push_subtree(leaf, 0);
    }

    /// Appends many leaf hashes, faster than one by one.
    ///
    /// # Panics
    /// If the tree would have 2^64 leaves.
    pub fn extend(&mut self, leaves: &[Hash]) {
        let mut rest = leaves;
        while !rest.is_empty() {
            // The largest complete subtree that fits here.
            let fits = 1 << self.size.trailing_zeros().min(rest.len().ilog2());
            let (subtree, after) = rest.split_at(fits);
            self.push_full_tile(tile_root(subtree), fits as u64);
            rest = after;
        }
    }

    /// Appends a complete subtree of `leaves` leaves (a power of two) with root `tile_root`.
    ///
    /// # Panics
    /// If `leaves` is not a power of two or the tree's size is not a multiple of it (such a subtree is no
    /// node of the tree), or if the tree would have 2^64 leaves.
    pub fn push_full_tile(&mut self, tile_root: Hash, leaves: u64) {
        assert!(
            leaves.is_power_of_two() && self.size.is_multiple_of(leaves),
            "a subtree of {leaves} leaves does not fit at leaf {}",
            self.size
        );
        self.push_subtree(tile_root, leaves.trailing_zeros());
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root; of an empty tree [`Hash::EMPTY`].
    pub fn root(&self) -> Hash {
        fold_peaks(&self.peaks)
    }

    /// The complete subtrees that the tree consists of, from left to right: their numbers of leaves and
    /// their roots. Pushing them in turn on an empty frontier gives this one again.
    pub fn peaks(&self) -> impl Iterator<Item = (u64, Hash)> {
        let bits = (0..u64::BITS).rev().filter(|bit| self.size >> bit & 1 == 1);
        bits.map(|bit| 1 << bit).zip(self.peaks.iter().copied())
    }

    fn push_subtree(&mut self, mut root: Hash, mut level: u32) {
        assert!(self.size.checked_add(1 << level).is_some(), "a tree has fewer than 2^64 leaves");
        while self.size >> level & 1 == 1 {
            // INVARIANT (local): there is one peak for each bit set in `size`, so there is one to pop.
            let Some(left) = self.peaks.pop() else { break };
            root = node_hash(&left, &root);
            self.size -= 1 << level;
            level += 1;
        }
        self.peaks.push(root);
        self.size += 1 << level;
    }
}

/// Where the hashes of a tree come from: memory, tiles, a store.
pub trait HashReader {
    /// Why a hash could not be read.
    type Error;

    /// The root of the complete subtree of `2^level` leaves that starts at leaf `index << level`. Only
    /// subtrees that lie wholly within the tree are asked for; the answer must not change as it grows.
    fn read(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<R: HashReader + ?Sized> HashReader for &R {
    type Error = R::Error;

    fn read(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        (**self).read(level, index)
    }
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// What the reader says.
pub fn root_of<R: HashReader>(size: u64, reader: R) -> Result<Hash, R::Error> {
    subtree_root(0, size, reader)
}

/// The root of the subtree over the leaves `[start, end)`.
///
/// # Errors
/// What the reader says.
///
/// # Panics
/// If the range is [no subtree](is_subtree).
pub fn subtree_root<R: HashReader>(start: u64, end: u64, reader: R) -> Result<Hash, R::Error> {
    assert_subtree(start, end);
    range_root(start, end, &reader)
}

/// The proof that leaf `index` is in the tree of the first `size` leaves: the siblings from the leaf up
/// (RFC 6962, section 2.1.1).
///
/// # Errors
/// What the reader says.
///
/// # Panics
/// If `index` is not below `size`.
pub fn inclusion_proof<R: HashReader>(index: u64, size: u64, reader: R) -> Result<Vec<Hash>, R::Error> {
    subtree_inclusion_proof(index, 0, size, reader)
}

/// The proof that leaf `index` is in the subtree `[start, end)`, from the leaf up.
///
/// # Errors
/// What the reader says.
///
/// # Panics
/// If the range is [no subtree](is_subtree) or does not hold `index`.
pub fn subtree_inclusion_proof<R: HashReader>(
    index: u64,
    start: u64,
    end: u64,
    reader: R,
) -> Result<Vec<Hash>, R::Error> {
    assert_subtree(start, end);
    assert!(start <= index && index < end, "leaf {index} is not in [{start}, {end})");
    let (mut start, mut end, mut proof) = (start, end, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(range_root(middle, end, &reader)?);
            end = middle;
        } else {
            proof.push(range_root(start, middle, &reader)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of the first `new` leaves continues the one of the first `old` (RFC 6962,
/// section 2.1.2). Empty if `old` is 0 or equals `new`.
///
/// # Errors
/// What the reader says.
///
/// # Panics
/// If `old` is above `new`.
pub fn consistency_proof<R: HashReader>(old: u64, new: u64, reader: R) -> Result<Vec<Hash>, R::Error> {
    subtree_consistency_proof(0, old, new, reader)
}

/// The proof that the subtree `[start, end)` is part of the tree of the first `size` leaves. Empty if the
/// subtree is.
///
/// # Errors
/// What the reader says.
///
/// # Panics
/// If the range is [no subtree](is_subtree) or ends beyond `size`.
pub fn subtree_consistency_proof<R: HashReader>(
    start: u64,
    end: u64,
    size: u64,
    reader: R,
) -> Result<Vec<Hash>, R::Error> {
    assert_subtree(start, end);
    assert!(end <= size, "[{start}, {end}) is not within {size} leaves");
    let mut proof = Vec::new();
    if start == end {
        return Ok(proof);
    }
    // Down from the root to the node that holds exactly the rest of the subtree. Once the way splits the
    // subtree, the verifier no longer has that node's hash and needs it.
    let (mut wanted, mut low, mut high, mut known) = (start, 0, size, true);
    while (low, high) != (wanted, end) {
        let middle = low + split(high - low);
        if end <= middle {
            proof.push(range_root(middle, high, &reader)?);
            high = middle;
        } else {
            proof.push(range_root(low, middle, &reader)?);
            if wanted < middle {
                (wanted, known) = (middle, false);
            }
            low = middle;
        }
    }
    if !known {
        proof.push(range_root(low, high, &reader)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that a leaf with hash `leaf` is at `index` in the tree of `size` leaves with `root`
/// (RFC 9162, section 2.1.3.2).
///
/// # Errors
/// [`ProofError`] if it is not proved.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    verify_subtree_inclusion(leaf, index, 0, size, proof, root)
}

/// Checks that a leaf with hash `leaf` is at `index` in the subtree `[start, end)` with root
/// `subtree_root`.
///
/// # Errors
/// [`ProofError`] if it is not proved.
pub fn verify_subtree_inclusion(
    leaf: &Hash,
    index: u64,
    start: u64,
    end: u64,
    proof: &[Hash],
    subtree_root: &Hash,
) -> Result<(), ProofError> {
    if !is_subtree(start, end) {
        return Err(ProofError::NoSubtree { start, end });
    }
    if index < start || index >= end {
        return Err(ProofError::IndexOutOfRange { index, start, end });
    }
    let (mut node, mut last) = (index - start, end - start - 1);
    let mut root = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            root = node_hash(sibling, &root);
            // A last node without a sibling moves up unchanged, as often as it has none.
            while node & 1 == 0 && node != 0 {
                (node, last) = (node >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, sibling);
        }
        (node, last) = (node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::TooShort);
    }
    expect_root(&root, subtree_root)
}

/// Checks that the tree of `new` leaves with `new_root` continues the one of `old` leaves with
/// `old_root` (RFC 9162, section 2.1.4.2). An empty tree is continued by any.
///
/// # Errors
/// [`ProofError`] if it is not proved.
pub fn verify_consistency(
    old: u64,
    new: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), ProofError> {
    if old == new && old_root != new_root {
        return Err(ProofError::WrongRoot { computed: *old_root, expected: *new_root });
    }
    verify_subtree_consistency(0, old, new, proof, old_root, new_root)
}

/// Checks that the subtree `[start, end)` with root `subtree_root` is part of the tree of `size` leaves
/// with `root` (draft-ietf-plants-merkle-tree-certs, section 4.4.3).
///
/// # Errors
/// [`ProofError`] if it is not proved.
pub fn verify_subtree_consistency(
    start: u64,
    end: u64,
    size: u64,
    proof: &[Hash],
    subtree_root: &Hash,
    root: &Hash,
) -> Result<(), ProofError> {
    if !is_subtree(start, end) {
        return Err(ProofError::NoSubtree { start, end });
    }
    if end > size {
        return Err(ProofError::Shrunk { old: end, new: size });
    }
    if start == end {
        return if proof.is_empty() {
            expect_root(subtree_root, &Hash::EMPTY)
        } else {
            Err(ProofError::TooLong)
        };
    }
    // The first and last node of the subtree and the last of the tree, on the level reached so far.
    let (mut first, mut node, mut last) = (start, end - 1, size - 1);
    if end == size {
        while first != node {
            (first, node, last) = (first >> 1, node >> 1, last >> 1);
        }
    } else {
        while first != node && node & 1 == 1 {
            (first, node, last) = (first >> 1, node >> 1, last >> 1);
        }
    }
    let (seed, rest) = if first == node {
        (subtree_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::TooShort)?
    };
    let (mut old, mut new) = (*seed, *seed);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::TooLong);
        }
        if node & 1 == 1 || node == last {
            if first < node {
                old = node_hash(sibling, &old);
            }
            new = node_hash(sibling, &new);
            while node & 1 == 0 && node != 0 {
                (first, node, last) = (first >> 1, node >> 1, last >> 1);
            }
        } else {
            new = node_hash(&new, sibling);
        }
        (first, node, last) = (first >> 1, node >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::TooShort);
    }
    expect_root(&old, subtree_root)?;
    expect_root(&new, root)
}

/// Whether the leaves `[start, end)` form a subtree: `start` is a multiple of the least power of two that
/// is not below their number (draft-ietf-plants-merkle-tree-certs, section 4.1). The empty range is one.
pub fn is_subtree(start: u64, end: u64) -> bool {
    // Above 2^63 leaves there is no such power in 64 bits, and only a subtree that starts at 0.
    end.checked_sub(start).is_some_and(|width| {
        width.checked_next_power_of_two().map_or(start == 0, |w| start.is_multiple_of(w))
    })
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf is outside the tree or subtree.
    #[error("leaf {index} is not among the leaves {start} to {end} (exclusive)")]
    IndexOutOfRange {
        /// The leaf.
        index: u64,
        /// The first leaf there is.
        start: u64,
        /// One more than the last.
        end: u64,
    },
    /// The range of leaves is no subtree of any tree.
    #[error("the leaves {start} to {end} (exclusive) form no subtree")]
    NoSubtree {
        /// The first leaf.
        start: u64,
        /// One more than the last.
        end: u64,
    },
    /// The later tree is smaller than the earlier one.
    #[error("a tree of {new} leaves cannot continue one of {old}")]
    Shrunk {
        /// Leaves of the earlier tree, or the end of the subtree.
        old: u64,
        /// Leaves of the later tree.
        new: u64,
    },
    /// Hashes are missing.
    #[error("the proof has too few hashes")]
    TooShort,
    /// There are more hashes than levels.
    #[error("the proof has too many hashes")]
    TooLong,
    /// The proof leads to another root.
    #[error("the proof leads to root {computed}, not to {expected}")]
    WrongRoot {
        /// Where the proof leads.
        computed: Hash,
        /// The root that was to be met.
        expected: Hash,
    },
}

/// The root over complete subtrees given from left to right, each smaller than the one before.
fn fold_peaks(peaks: &[Hash]) -> Hash {
    let mut peaks = peaks.iter().rev();
    peaks.next().map_or(Hash::EMPTY, |last| peaks.fold(*last, |right, left| node_hash(left, &right)))
}

/// As [`subtree_root`], for a range that is known to be a subtree.
fn range_root<R: HashReader>(start: u64, end: u64, reader: &R) -> Result<Hash, R::Error> {
    let (mut start, mut peaks) = (start, Vec::new());
    while start < end {
        let level = (end - start).ilog2();
        peaks.push(reader.read(level as u8, start >> level)?);
        start += 1 << level;
    }
    Ok(fold_peaks(&peaks))
}

/// The largest power of two below `width`, which is at least 2: where RFC 6962 splits a tree.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

fn assert_subtree(start: u64, end: u64) {
    assert!(is_subtree(start, end), "[{start}, {end}) is no subtree");
}

fn expect_root(computed: &Hash, expected: &Hash) -> Result<(), ProofError> {
    if computed == expected {
        Ok(())
    } else {
        Err(ProofError::WrongRoot { computed: *computed, expected: *expected })
    }
}
