//! Reading the log: leaves, tiles and tree hashes, from packs or from the tail, wherever they are now.

use std::{
    collections::HashMap,
    hash::Hash as StdHash,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use deed_seal::{
    hash::Hash,
    merkle::HashReader,
    tile::{TILE_WIDTH, TilePath, bundle_encode, tile_hashes, tile_root},
};

use crate::{
    LedgerError, PACK_LEAVES,
    pack::{Bundle, Pack, PackError},
    store::Store,
    tail::Tail,
    vault::Vault,
};

/// Everything that reads.
pub(crate) struct Log {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) origin: Arc<str>,
    pub(crate) tail: RwLock<Tail>,
    /// The root of each pack.
    pub(crate) roots: RwLock<Vec<Hash>>,
    packs: Recent<u64, Arc<Pack>>,
    /// By pack and frame: what is unpacked to read single leaves.
    frames: Recent<(u64, usize), Arc<Bundle>>,
    bundles: Recent<u64, Arc<Bundle>>,
    tiles: Recent<(u8, u64), Arc<Vec<Hash>>>,
    vaults: Recent<u64, Arc<Vault>>,
}

impl Log {
    pub(crate) fn new(store: Arc<dyn Store>, origin: Arc<str>, tail: Tail, roots: Vec<Hash>) -> Self {
        Log {
            store,
            origin,
            tail: RwLock::new(tail),
            roots: RwLock::new(roots),
            packs: Recent::new(1024),
            frames: Recent::new(512),
            bundles: Recent::new(32),
            tiles: Recent::new(256),
            vaults: Recent::new(16),
        }
    }

    pub(crate) fn with_tail<T>(&self, read: impl FnOnce(&Tail) -> T) -> T {
        read(&self.tail.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn size(&self) -> u64 {
        self.with_tail(Tail::size)
    }

    fn pack_count(&self) -> u64 {
        self.roots.read().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    pub(crate) fn pack(&self, number: u64) -> Result<Arc<Pack>, LedgerError> {
        self.packs.get_or(number, || Ok(Arc::new(Pack::open(&*self.store, number, &self.origin)?)))
    }

    pub(crate) fn vault(&self, number: u64) -> Result<Arc<Vault>, LedgerError> {
        self.vaults.get_or(number, || Ok(Arc::new(Vault::open(&*self.store, number)?)))
    }

    /// Entry bundle `number`, whole or as far as it is filled.
    pub(crate) fn bundle(&self, number: u64) -> Result<Arc<Bundle>, LedgerError> {
        if let Some(bundle) = self.with_tail(|tail| tail.bundle(number)) {
            return Ok(bundle);
        }
        if number / 256 >= self.pack_count() {
            return Err(LedgerError::NotFound(format!("entry bundle {number}")));
        }
        self.bundles.get_or(number, || {
            let pack = self.pack(number / 256)?;
            let bytes = pack.bundle(&*self.store, (number % 256) as usize)?;
            let damaged = |what| PackError::Damaged { path: pack.path().to_owned(), at: 0, what };
            let bundle =
                Bundle::parse(bytes).map_err(|what| damaged(format!("entry bundle {number}: {what}")))?;
            if bundle.len() as u64 != TILE_WIDTH {
                return Err(damaged(format!("entry bundle {number} has {} entries", bundle.len())).into());
            }
            Ok(Arc::new(bundle))
        })
    }

    /// The exact bytes of leaf `index`.
    pub(crate) fn leaf(&self, index: u64) -> Result<Arc<[u8]>, LedgerError> {
        let missing = || LedgerError::NotFound(format!("leaf {index}"));
        if let Some(leaf) = self.with_tail(|tail| tail.leaf(index).map(Arc::from)) {
            return Ok(leaf);
        }
        let number = index / PACK_LEAVES;
        if number >= self.pack_count() {
            return Err(missing());
        }
        let (pack, at) = (self.pack(number)?, (index % PACK_LEAVES) as usize);
        let (frame, within) = (at / pack.frame_leaves(), at % pack.frame_leaves());
        let leaves = self
            .frames
            .get_or((number, frame), || Ok::<_, LedgerError>(Arc::new(pack.frame(&*self.store, frame)?)))?;
        leaves.leaf(within).map(Arc::from).ok_or_else(missing)
    }

    /// The hashes of tile `index` of `level`, as many as there are.
    fn tile_hashes(&self, level: u8, index: u64) -> Result<Arc<Vec<Hash>>, LedgerError> {
        match level {
            0 => {
                let in_tail = self.with_tail(|tail| {
                    let hashes = tail.hashes(index / 256)?;
                    let from = ((index % 256) * TILE_WIDTH) as usize;
                    let to = hashes.len().min(from + TILE_WIDTH as usize);
                    Some(hashes.get(from..to).map(<[Hash]>::to_vec).unwrap_or_default())
                });
                match in_tail {
                    Some(hashes) => Ok(Arc::new(hashes)),
                    None => self.packed_tile(0, index, index / 256, |pack| {
                        pack.tile_0(&*self.store, (index % 256) as usize)
                    }),
                }
            }
            1 => {
                let in_tail = self.with_tail(|tail| tail.tile_roots(index).map(<[Hash]>::to_vec));
                match in_tail {
                    Some(hashes) => Ok(Arc::new(hashes)),
                    None => self.packed_tile(1, index, index, |pack| pack.tile_1(&*self.store)),
                }
            }
            _ => {
                // Above the packs everything is made of their roots.
                let span = 1_u64 << (8 * u32::from(level - 2)).min(63);
                let first = index.saturating_mul(TILE_WIDTH).saturating_mul(span);
                let end =
                    first.saturating_add(TILE_WIDTH.saturating_mul(span)).min(self.size() / PACK_LEAVES);
                let roots: Vec<Hash> =
                    (first..end).map(|number| self.pack_root(number)).collect::<Result<_, _>>()?;
                Ok(Arc::new(roots.chunks_exact(span as usize).map(tile_root).collect()))
            }
        }
    }

    /// The root of complete pack `number`, in the store or still in memory.
    fn pack_root(&self, number: u64) -> Result<Hash, LedgerError> {
        let known = self.roots.read().unwrap_or_else(PoisonError::into_inner).get(number as usize).copied();
        match known {
            Some(root) => Ok(root),
            None => Ok(tile_root(&self.tile_hashes(1, number)?)),
        }
    }

    fn packed_tile(
        &self,
        level: u8,
        index: u64,
        number: u64,
        read: impl FnOnce(&Pack) -> Result<Vec<u8>, PackError>,
    ) -> Result<Arc<Vec<Hash>>, LedgerError> {
        if number >= self.pack_count() {
            return Err(LedgerError::NotFound(format!("tile {level}/{index}")));
        }
        self.tiles.get_or((level, index), || {
            let pack = self.pack(number)?;
            let bytes = read(&pack)?;
            let hashes = tile_hashes(&bytes).map_err(|e| PackError::Damaged {
                path: pack.path().to_owned(),
                at: 0,
                what: e.to_string(),
            })?;
            Ok(Arc::new(hashes))
        })
    }

    /// What C2SP tlog-tiles serves at `path`.
    pub(crate) fn serve(&self, path: &TilePath) -> Result<Vec<u8>, LedgerError> {
        let missing = || LedgerError::NotFound(path.to_string());
        let width = usize::from(path.width());
        match *path {
            TilePath::Hashes { level, index, .. } => {
                let hashes = self.tile_hashes(level, index)?;
                let hashes = hashes.get(..width).ok_or_else(missing)?;
                Ok(hashes.iter().flat_map(|hash| hash.0).collect())
            }
            TilePath::Entries { index, .. } => {
                let bundle = self.bundle(index)?;
                if bundle.len() < width {
                    return Err(missing());
                }
                if bundle.len() == width {
                    return Ok(bundle.bytes.clone());
                }
                bundle_encode(bundle.leaves().take(width)).map_err(|e| LedgerError::Broken(e.to_string()))
            }
        }
    }

    /// The tree at `size` leaves, which must be there.
    pub(crate) fn root(&self, size: u64) -> Result<Hash, LedgerError> {
        deed_seal::merkle::root_of(size, self)
    }
}

impl HashReader for &Log {
    type Error = LedgerError;

    fn read(&self, level: u8, index: u64) -> Result<Hash, LedgerError> {
        let (tile_level, within) = (level / 8, level % 8);
        let width = TILE_WIDTH >> within;
        let tile = self.tile_hashes(tile_level, index / width)?;
        let from = ((index % width) << within) as usize;
        let hashes = tile
            .get(from..from + (1 << within))
            .ok_or_else(|| LedgerError::NotFound(format!("tree node {level}/{index}")))?;
        Ok(tile_root(hashes))
    }
}

/// The values used last, so many at most.
struct Recent<K, V> {
    most: usize,
    kept: Mutex<Kept<K, V>>,
}

/// Each value with when it was last used, and the clock that tells.
type Kept<K, V> = (u64, HashMap<K, (u64, V)>);

impl<K: Eq + StdHash + Copy, V: Clone> Recent<K, V> {
    fn new(most: usize) -> Self {
        Recent { most, kept: Mutex::new((0, HashMap::with_capacity(most + 1))) }
    }

    fn get_or<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<V, E> {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            let (clock, values) = &mut *kept;
            *clock += 1;
            if let Some((used, value)) = values.get_mut(&key) {
                *used = *clock;
                return Ok(value.clone());
            }
        }
        let value = make()?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (clock, values) = &mut *kept;
        values.insert(key, (*clock, value.clone()));
        if values.len() > self.most
            && let Some(oldest) = values.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            values.remove(&oldest);
        }
        Ok(value)
    }
}
