//! The end of the log, in memory: every durable leaf that is not in a pack yet.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use deed_seal::{
    hash::Hash,
    tile::{TILE_WIDTH, tile_root},
};

use crate::{PACK_LEAVES, index, pack::Bundle};

/// Leaves of one pack, from its first on.
#[derive(Default)]
pub(crate) struct PackInMemory {
    pub(crate) number: u64,
    /// Full bundles, and the one that is being filled.
    pub(crate) bundles: Vec<Arc<Bundle>>,
    open: Bundle,
    pub(crate) hashes: Vec<Hash>,
    /// The root over each full tile of `hashes`.
    pub(crate) tile_roots: Vec<Hash>,
    blobs: Vec<u8>,
    blob_ends: Vec<usize>,
    pub(crate) names: Vec<([u8; 16], Vec<u8>)>,
    named: HashSet<[u8; 16]>,
    pub(crate) entries: Vec<index::Entry>,
    /// For each key its latest entry, and for each entry the one before it: a list through `entries`.
    latest: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    before: Vec<u32>,
}

const NONE: u32 = u32::MAX;

/// Keys are hashes already.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        // Index hashes keep 48 bits; the table wants its tag in the upper ones.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |all, byte| all << 8 | u64::from(*byte));
    }
    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl PackInMemory {
    fn new(number: u64) -> Self {
        PackInMemory { number, ..PackInMemory::default() }
    }

    /// The one after this, with room for as much: a table that grows is copied while readers wait.
    fn following(&self) -> Self {
        PackInMemory {
            number: self.number + 1,
            bundles: Vec::with_capacity(self.bundles.len()),
            hashes: Vec::with_capacity(self.hashes.len()),
            tile_roots: Vec::with_capacity(self.tile_roots.len()),
            blobs: Vec::with_capacity(self.blobs.len()),
            blob_ends: Vec::with_capacity(self.blob_ends.len()),
            entries: Vec::with_capacity(self.entries.len()),
            latest: HashMap::with_capacity_and_hasher(self.latest.len(), BuildHasherDefault::default()),
            before: Vec::with_capacity(self.before.len()),
            ..PackInMemory::default()
        }
    }

    fn len(&self) -> u64 {
        self.hashes.len() as u64
    }

    fn push(
        &mut self,
        leaf: &[u8],
        hash: Hash,
        blob: &[u8],
        keys: &[u64],
    ) -> Result<(), deed_seal::tile::EntryTooLong> {
        self.open.push(leaf)?;
        let offset = self.hashes.len() as u32;
        self.hashes.push(hash);
        self.blobs.extend_from_slice(blob);
        self.blob_ends.push(self.blobs.len());
        for key in keys {
            let at = self.entries.len() as u32;
            self.before.push(self.latest.insert(*key, at).unwrap_or(NONE));
            self.entries.push((*key, offset));
        }
        if self.open.len() as u64 == TILE_WIDTH {
            self.bundles.push(Arc::new(std::mem::replace(&mut self.open, Bundle::new())));
            self.tile_roots.push(tile_root(&self.hashes[self.hashes.len() - TILE_WIDTH as usize..]));
        }
        Ok(())
    }

    fn name(&mut self, account: [u8; 16], blob: &[u8]) {
        if self.named.insert(account) {
            self.names.push((account, blob.to_vec()));
        }
    }

    fn bundle(&self, at: usize) -> Option<Arc<Bundle>> {
        match self.bundles.get(at) {
            Some(bundle) => Some(bundle.clone()),
            None if at == self.bundles.len() && self.open.len() > 0 => Some(Arc::new(self.open.clone())),
            None => None,
        }
    }

    fn leaf(&self, at: usize) -> Option<&[u8]> {
        let width = TILE_WIDTH as usize;
        self.bundles
            .get(at / width)
            .map_or(&self.open, |bundle| bundle)
            .leaf(at % width)
            .filter(|_| at < self.hashes.len())
    }

    pub(crate) fn blob(&self, at: usize) -> Option<&[u8]> {
        let end = *self.blob_ends.get(at)?;
        let start = at.checked_sub(1).map_or(0, |before| self.blob_ends[before]);
        self.blobs.get(start..end)
    }

    /// Leaves that `hash` leads to, as offsets, latest first.
    fn leaves(&self, hash: u64) -> impl Iterator<Item = u32> {
        let start = self.latest.get(&hash).copied();
        std::iter::successors(start, |at| Some(self.before[*at as usize]).filter(|before| *before != NONE))
            .map(|at| self.entries[at as usize].1)
    }
}

/// Every durable leaf that is not in a pack.
pub(crate) struct Tail {
    /// Packs that are complete but not in the store yet, oldest first.
    full: VecDeque<Arc<PackInMemory>>,
    open: PackInMemory,
    /// Microseconds; `recorded` of the last leaf.
    pub(crate) last_recorded: i64,
}

impl Tail {
    /// A tail that goes on after `packs` packs.
    pub(crate) fn new(packs: u64, last_recorded: i64) -> Self {
        Tail { full: VecDeque::new(), open: PackInMemory::new(packs), last_recorded }
    }

    /// Index of its first leaf: those below are in packs.
    pub(crate) fn first(&self) -> u64 {
        self.full.front().map_or(self.open.number, |pack| pack.number) * PACK_LEAVES
    }

    /// Leaves in the log.
    pub(crate) fn size(&self) -> u64 {
        self.open.number * PACK_LEAVES + self.open.len()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.full.len()
    }

    /// Adds a durable leaf.
    pub(crate) fn push(
        &mut self,
        leaf: &[u8],
        hash: Hash,
        blob: &[u8],
        keys: &[u64],
    ) -> Result<(), deed_seal::tile::EntryTooLong> {
        self.open.push(leaf, hash, blob, keys)?;
        if self.open.len() == PACK_LEAVES {
            let next = self.open.following();
            self.full.push_back(Arc::new(std::mem::replace(&mut self.open, next)));
        }
        Ok(())
    }

    /// Notes what an account is called; kept once a pack.
    pub(crate) fn name(&mut self, account: [u8; 16], blob: &[u8]) {
        self.open.name(account, blob);
    }

    /// The oldest complete pack that is not in the store yet.
    pub(crate) fn oldest_full(&self) -> Option<Arc<PackInMemory>> {
        self.full.front().cloned()
    }

    /// Forgets the oldest complete pack: it is in the store.
    pub(crate) fn drop_oldest(&mut self) {
        self.full.pop_front();
    }

    fn pack(&self, number: u64) -> Option<&PackInMemory> {
        if number == self.open.number {
            return Some(&self.open);
        }
        let first = self.full.front()?.number;
        let at = usize::try_from(number.checked_sub(first)?).ok()?;
        self.full.get(at).map(|pack| &**pack)
    }

    /// Entry bundle `number` of the log, whole or as far as it is filled.
    pub(crate) fn bundle(&self, number: u64) -> Option<Arc<Bundle>> {
        self.pack(number / 256)?.bundle((number % 256) as usize)
    }

    /// Leaf `index` of the log.
    pub(crate) fn leaf(&self, index: u64) -> Option<&[u8]> {
        self.pack(index / PACK_LEAVES)?.leaf((index % PACK_LEAVES) as usize)
    }

    /// Leaf hashes of pack `number`, as many as there are.
    pub(crate) fn hashes(&self, number: u64) -> Option<&[Hash]> {
        self.pack(number).map(|pack| pack.hashes.as_slice())
    }

    /// Roots of the full tiles of pack `number`.
    pub(crate) fn tile_roots(&self, number: u64) -> Option<&[Hash]> {
        self.pack(number).map(|pack| pack.tile_roots.as_slice())
    }

    /// The sealed disclosures of leaf `index`.
    pub(crate) fn blob(&self, index: u64) -> Option<Vec<u8>> {
        self.pack(index / PACK_LEAVES)?.blob((index % PACK_LEAVES) as usize).map(<[u8]>::to_vec)
    }

    /// The sealed names noted beside leaf `index`.
    pub(crate) fn names(&self, index: u64) -> Option<&[([u8; 16], Vec<u8>)]> {
        self.pack(index / PACK_LEAVES).map(|pack| pack.names.as_slice())
    }

    /// Candidate leaves for `hash`, newest first.
    pub(crate) fn candidates(&self, hash: u64) -> Vec<u64> {
        let of = |pack: &PackInMemory| {
            pack.leaves(hash).map(|offset| pack.number * PACK_LEAVES + u64::from(offset)).collect::<Vec<_>>()
        };
        let mut found = of(&self.open);
        for pack in self.full.iter().rev() {
            found.extend(of(pack));
        }
        found.dedup();
        found
    }
}
