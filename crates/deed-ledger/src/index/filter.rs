//! Which keys a run does not hold, said without reading it: a Bloom filter whose bits for one key stand in one cache line.
//!
//! Whoever sends records with names of their own asks for each whether it came before (D12), and whoever judges an action
//! asks for much that may have been said of it. Nearly nothing of that is there, and each run would be read to learn it.

use crate::key::is_id;

/// Bits for each id: one id in a hundred that is not there is looked for all the same.
const ID_BITS: u64 = 10;
/// Bits for each other key: one in ten is looked for all the same.
const KEY_BITS: u64 = 5;
/// Bits that an id sets, and any other key.
const ID_SET: u32 = 6;
const KEY_SET: u32 = 3;
/// Bytes of a block: a cache line.
pub(super) const BLOCK: usize = 64;
const BLOCK_BITS: u32 = BLOCK as u32 * 8;

/// A filter over the keys of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Filter(Vec<[u64; BLOCK / 8]>);

impl Filter {
    /// An empty one, for so many ids and so many other keys.
    pub(super) fn with_room(ids: u64, others: u64) -> Self {
        Filter(vec![[0; BLOCK / 8]; Filter::blocks(ids, others)])
    }

    /// How many blocks they take.
    pub(super) fn blocks(ids: u64, others: u64) -> usize {
        let bits = ids.saturating_mul(ID_BITS).saturating_add(others.saturating_mul(KEY_BITS));
        usize::try_from(bits.div_ceil(u64::from(BLOCK_BITS))).unwrap_or(usize::MAX)
    }

    /// Reads what [`Filter::bytes`] gave.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
        let block = |block: &[u8]| std::array::from_fn(|at| word(&block[at * 8..at * 8 + 8]));
        Filter(bytes.chunks_exact(BLOCK).map(block).collect())
    }

    pub(super) fn bytes(&self) -> impl Iterator<Item = u8> {
        self.0.iter().flatten().flat_map(|word| word.to_le_bytes())
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        self.0.len() * BLOCK
    }

    pub(super) fn add(&mut self, hash: u64) {
        if let Some((block, bits)) = self.place(hash) {
            let block = &mut self.0[block];
            bits.for_each(|bit| block[bit / 64] |= 1 << (bit % 64));
        }
    }

    /// Whether the key may be there; if not, it is not.
    pub(super) fn may_hold(&self, hash: u64) -> bool {
        let Some((block, mut bits)) = self.place(hash) else { return false };
        let block = &self.0[block];
        bits.all(|bit| block[bit / 64] >> (bit % 64) & 1 == 1)
    }

    /// The block of a key and its bits there; none in an empty filter.
    fn place(&self, hash: u64) -> Option<(usize, impl Iterator<Item = usize> + use<>)> {
        // Runs are sorted by these hashes, and a key's bucket takes their upper bits: mixed anew, any will do.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let block = ((mixed >> 32) * self.0.len() as u64) >> 32;
        let bits = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let each = BLOCK_BITS.trailing_zeros();
        let set = if is_id(hash) { ID_SET } else { KEY_SET };
        let bits = (1..=set).map(move |at| (bits >> (64 - at * each)) as usize % BLOCK_BITS as usize);
        (!self.0.is_empty()).then_some((block as usize, bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_added_may_be_there(keys in prop::collection::vec(0_u64..1 << 48, 0..3000)) {
            let ids = keys.iter().filter(|key| is_id(**key)).count() as u64;
            let mut filter = Filter::with_room(ids, keys.len() as u64 - ids);
            keys.iter().for_each(|key| filter.add(*key));
            prop_assert!(keys.iter().all(|key| filter.may_hold(*key)));
            let bytes: Vec<u8> = filter.bytes().collect();
            prop_assert_eq!(bytes.len(), filter.size());
            prop_assert_eq!(Filter::parse(&bytes), filter);
        }
    }

    #[test]
    fn of_what_was_not_added_little_seems_to_be_there() {
        let key = |n: u64| n.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 16;
        let (id, other) = (|n| key(n) | 1, |n| key(n) & !1);
        let mut filter = Filter::with_room(65_536, 262_144);
        (0..65_536).for_each(|n| filter.add(id(n)));
        (0..262_144).for_each(|n| filter.add(other(n)));
        let strangers = 1_000_000..1_100_000;
        let ids = strangers.clone().filter(|n| filter.may_hold(id(*n))).count();
        assert!(ids < 2_500, "{ids} of 100,000");
        let others = strangers.filter(|n| filter.may_hold(other(*n))).count();
        assert!(others < 15_000, "{others} of 100,000");
    }
}
