//! Packs: the evidence, one write-once object for each 65,536 leaves.
//!
//! ```text
//! header 64, little-endian: "deedpack", version u32, bundles u32, first leaf u64, SHA-256 of the origin
//! 256 entry bundles (C2SP tlog-tiles), each a zstd frame
//! 256 level-0 tiles, 8,192 bytes each       (tile/0/…)
//! the level-1 tile, 8,192 bytes             (tile/1/…; pack n is tile 1/n)
//! offset table: for each bundle its offset u64 and the CRC-32C of its bytes u32, then the end u64
//! trailer 48: root of the pack 32, table offset u64, CRC-32C of table and header u32, "pack"
//! ```
//! The exact leaf bytes come back from a bundle; the tiles prove them. Checksums only say where a
//! disk lied: what counts is the tree.

use std::ops::Range;

use deed_seal::{
    hash::{Hash, leaf_hash},
    tile::{TILE_WIDTH, bundle_encode, tile_root},
};

use crate::{
    PACK_LEAVES,
    store::{Store, StoreError},
};

const MAGIC: &[u8; 8] = b"deedpack";
const VERSION: u32 = 1;
const HEADER: usize = 64;
const BUNDLES: usize = 256;
const TILE_BYTES: u64 = TILE_WIDTH * 32;
const TABLE: usize = BUNDLES * 12 + 8;
const TRAILER: usize = 48;
/// Level 1: faster than it is small; higher levels gain a tenth and cost three times the time.
const ZSTD_LEVEL: i32 = 1;
pub(crate) const FOLDER: &str = "packs";

/// Why a pack does not give what it should.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its bytes are not what was written.
    #[error("`{path}` is damaged at byte {at}: {what}")]
    Damaged {
        /// The object.
        path: String,
        /// Where in it.
        at: u64,
        /// What is wrong.
        what: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The object that holds pack `number`.
pub fn path_of(number: u64) -> String {
    format!("{FOLDER}/{number:06}.pack")
}

/// The number of the pack at `path`.
pub(crate) fn number_of(path: &str) -> Option<u64> {
    let number = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".pack")?.parse().ok()?;
    (path_of(number) == path).then_some(number)
}

/// A pack's bytes, in parts to be written one after another.
pub(crate) struct Encoded {
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) root: Hash,
}

/// Makes a pack of 65,536 leaves, given as 256 entry bundles and their leaf hashes.
pub(crate) fn encode(number: u64, origin: &str, bundles: &[std::sync::Arc<Bundle>], hashes: &[Hash]) -> std::io::Result<Encoded> {
    let mut header = vec![0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&(BUNDLES as u32).to_le_bytes());
    header[16..24].copy_from_slice(&(number * PACK_LEAVES).to_le_bytes());
    header[24..56].copy_from_slice(&Hash::of(origin.as_bytes()).0);

    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    let mut body = Vec::new();
    let mut table = Vec::with_capacity(TABLE);
    for bundle in bundles {
        let frame = compressor.compress(&bundle.bytes)?;
        table.extend_from_slice(&((HEADER + body.len()) as u64).to_le_bytes());
        table.extend_from_slice(&crc32c::crc32c(&frame).to_le_bytes());
        body.extend_from_slice(&frame);
    }
    table.extend_from_slice(&((HEADER + body.len()) as u64).to_le_bytes());

    let level_1: Vec<Hash> = hashes.chunks(TILE_WIDTH as usize).map(tile_root).collect();
    let root = tile_root(&level_1);
    let tiles: Vec<u8> = hashes.iter().chain(&level_1).flat_map(|hash| hash.0).collect();

    let table_at = (HEADER + body.len() + tiles.len()) as u64;
    let crc = crc32c::crc32c_append(crc32c::crc32c(&table), &header);
    let mut trailer = Vec::with_capacity(TRAILER);
    trailer.extend_from_slice(&root.0);
    trailer.extend_from_slice(&table_at.to_le_bytes());
    trailer.extend_from_slice(&crc.to_le_bytes());
    trailer.extend_from_slice(b"pack");
    Ok(Encoded { parts: vec![header, body, tiles, table, trailer], root })
}

/// An open pack: its offset table; the rest stays in the store.
#[derive(Debug)]
pub struct Pack {
    path: String,
    number: u64,
    root: Hash,
    /// Offset and checksum of each bundle.
    bundles: Vec<(Range<u64>, u32)>,
    tiles: u64,
    size: u64,
}

impl Pack {
    /// Opens pack `number`.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn open(store: &dyn Store, number: u64, origin: &str) -> Result<Self, PackError> {
        let path = path_of(number);
        let size = store.size(&path)?;
        let damaged = |at: u64, what: &str| PackError::Damaged { path: path.clone(), at, what: what.to_owned() };
        if size < (HEADER + TABLE + TRAILER) as u64 {
            return Err(damaged(size, "it ends too early"));
        }
        let header = store.read_range(&path, 0..HEADER as u64)?;
        let ending_at = size - (TABLE + TRAILER) as u64;
        let ending = store.read_range(&path, ending_at..size)?;
        let (table, trailer) = ending.split_at(TABLE);
        let crc = crc32c::crc32c_append(crc32c::crc32c(table), &header);
        if &trailer[44..] != b"pack" || trailer[40..44] != crc.to_le_bytes() {
            return Err(damaged(ending_at, "header and offset table do not match their checksum"));
        }
        let mut expected = header.clone();
        expected[..8].copy_from_slice(MAGIC);
        expected[8..12].copy_from_slice(&VERSION.to_le_bytes());
        expected[12..16].copy_from_slice(&(BUNDLES as u32).to_le_bytes());
        expected[16..24].copy_from_slice(&(number * PACK_LEAVES).to_le_bytes());
        expected[24..56].copy_from_slice(&Hash::of(origin.as_bytes()).0);
        if header != expected {
            return Err(damaged(0, "it is not this pack of this log"));
        }
        let u64_at = |at: usize| table.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes);
        let u32_at = |at: usize| table.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let bundles: Vec<_> = (0..BUNDLES).map(|n| (u64_at(n * 12)..u64_at((n + 1) * 12), u32_at(n * 12 + 8))).collect();
        let tiles = u64_at(BUNDLES * 12);
        let ordered = bundles.iter().all(|(range, _)| range.start <= range.end) && bundles[0].0.start == HEADER as u64;
        if !ordered || tiles.checked_add((BUNDLES as u64 + 1) * TILE_BYTES) != Some(ending_at) {
            return Err(damaged(ending_at, "the offset table makes no sense"));
        }
        let root = Hash::from_slice(&trailer[..32]).ok_or_else(|| damaged(size, "no root"))?;
        // The root is the one thing the checksum does not cover: it is made of the level-1 tile.
        let pack = Pack { path, number, root, bundles, tiles, size };
        Ok(pack)
    }

    /// Root of its 65,536 leaves, as written in the pack.
    pub fn root(&self) -> Hash {
        self.root
    }

    /// Its object.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its size in bytes, and how much of that is entry bundles.
    pub fn sizes(&self) -> (u64, u64) {
        (self.size, self.tiles - HEADER as u64)
    }

    /// Entry bundle `at` (0 to 255) as C2SP has it.
    ///
    /// # Errors
    /// Damaged.
    pub fn bundle(&self, store: &dyn Store, at: usize) -> Result<Vec<u8>, PackError> {
        let (range, crc) = &self.bundles[at];
        let damaged = |what: String| PackError::Damaged { path: self.path.clone(), at: range.start, what };
        let frame = store.read_range(&self.path, range.clone())?;
        if crc32c::crc32c(&frame) != *crc {
            return Err(damaged(format!("entry bundle {} does not match its checksum", self.number * 256 + at as u64)));
        }
        // No bundle is larger than 256 entries of the greatest length: a bomb stops there.
        let limit = TILE_WIDTH as usize * (2 + 65_535);
        zstd::bulk::decompress(&frame, limit)
            .map_err(|e| damaged(format!("entry bundle {} does not unpack: {e}", self.number * 256 + at as u64)))
    }

    /// Level-0 tile `at` (0 to 255).
    ///
    /// # Errors
    /// The store failed.
    pub fn tile_0(&self, store: &dyn Store, at: usize) -> Result<Vec<u8>, PackError> {
        let from = self.tiles + at as u64 * TILE_BYTES;
        Ok(store.read_range(&self.path, from..from + TILE_BYTES)?)
    }

    /// The level-1 tile.
    ///
    /// # Errors
    /// The store failed.
    pub fn tile_1(&self, store: &dyn Store) -> Result<Vec<u8>, PackError> {
        self.tile_0(store, BUNDLES)
    }
}

/// A bundle of leaves in memory, in C2SP form, with where each begins.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    pub(crate) bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Bundle {
    pub(crate) fn new() -> Self {
        Bundle { bytes: Vec::new(), starts: Vec::new() }
    }

    /// Reads the C2SP form.
    pub(crate) fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let mut starts = Vec::with_capacity(256);
        let mut at = 0;
        for entry in deed_seal::tile::bundle_entries(&bytes).map_err(|e| e.to_string())? {
            starts.push(at as u32 + 2);
            at += 2 + entry.len();
        }
        Ok(Bundle { bytes, starts })
    }

    pub(crate) fn push(&mut self, leaf: &[u8]) -> Result<(), deed_seal::tile::EntryTooLong> {
        let encoded = bundle_encode([leaf])?;
        self.starts.push(self.bytes.len() as u32 + 2);
        self.bytes.extend_from_slice(&encoded);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn leaf(&self, at: usize) -> Option<&[u8]> {
        let from = *self.starts.get(at)? as usize;
        let to = self.starts.get(at + 1).map_or(self.bytes.len(), |next| *next as usize - 2);
        self.bytes.get(from..to)
    }

    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.leaf(at))
    }

    pub(crate) fn hashes(&self) -> Vec<Hash> {
        self.leaves().map(leaf_hash).collect()
    }
}
