//! Packs: the evidence, one write-once object for each 65,536 leaves.
//!
//! ```text
//! header 64, little-endian: "deedpack", version u32, frames u32, first leaf u64, SHA-256 of the origin
//! 256 entry bundles (C2SP tlog-tiles), each cut into 8 zstd frames of 32 leaves
//! 256 level-0 tiles, 8,192 bytes each       (tile/0/…)
//! the level-1 tile, 8,192 bytes             (tile/1/…; pack n is tile 1/n)
//! offset table: for each frame its offset u64 and the CRC-32C of its bytes u32, then the end u64
//! trailer 48: root of the pack 32, table offset u64, CRC-32C of table and header u32, "pack"
//! ```
//! The exact leaf bytes come back from a bundle; the tiles prove them. Checksums only say where a
//! disk lied: what counts is the tree.
//!
//! A frame is what has to be unpacked to read one leaf: cut into eight, packs are a twelfth larger, and leaves here and
//! there are read several times as fast. Packs of version 1, whose bundles are one frame each, are read as ever.

use std::{cell::RefCell, ops::Range};

use deed_seal::{
    hash::Hash,
    tile::{TILE_WIDTH, bundle_push, tile_hashes, tile_root},
};
use zstd::bulk::Decompressor;

use crate::{
    PACK_LEAVES,
    store::{Store, StoreError},
};

const MAGIC: &[u8; 8] = b"deedpack";
const VERSION: u32 = 2;
const HEADER: usize = 64;
const BUNDLES: usize = 256;
const TILE_BYTES: u64 = TILE_WIDTH * 32;
/// Frames of one bundle.
const CUT: usize = 8;
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
pub(crate) fn path_of(number: u64) -> String {
    format!("{FOLDER}/{number:06}.pack")
}

/// The number of the pack at `path`; a file whose leaves would have no index is none.
pub(crate) fn number_of(path: &str) -> Option<u64> {
    let number: u64 = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".pack")?.parse().ok()?;
    (path_of(number) == path && number < u64::MAX / PACK_LEAVES).then_some(number)
}

/// A pack's bytes, in parts to be written one after another.
pub(crate) struct Encoded {
    pub(crate) parts: Vec<Vec<u8>>,
    pub(crate) root: Hash,
}

/// Makes a pack of 65,536 leaves, given as 256 entry bundles and their leaf hashes.
pub(crate) fn encode(
    number: u64,
    origin: &str,
    bundles: &[std::sync::Arc<Bundle>],
    hashes: &[Hash],
) -> std::io::Result<Encoded> {
    encode_as(VERSION, number, origin, bundles, hashes)
}

fn encode_as(
    version: u32,
    number: u64,
    origin: &str,
    bundles: &[std::sync::Arc<Bundle>],
    hashes: &[Hash],
) -> std::io::Result<Encoded> {
    let cut = cut_of(version);
    let mut header = vec![0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    header[12..16].copy_from_slice(&((BUNDLES * cut) as u32).to_le_bytes());
    header[16..24].copy_from_slice(&(number * PACK_LEAVES).to_le_bytes());
    header[24..56].copy_from_slice(&Hash::of(origin.as_bytes()).0);

    let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
    let mut body = Vec::new();
    let mut table = Vec::with_capacity(table_size(cut));
    for part in bundles.iter().flat_map(|bundle| bundle.parts(cut)) {
        let frame = compressor.compress(part)?;
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

/// Frames of a bundle in packs of `version`.
fn cut_of(version: u32) -> usize {
    if version == 1 { 1 } else { CUT }
}

/// Bytes of the offset table where bundles are cut into so many frames.
fn table_size(cut: usize) -> usize {
    BUNDLES * cut * 12 + 8
}

/// An open pack: its offset table; the rest stays in the store.
#[derive(Debug)]
pub(crate) struct Pack {
    path: String,
    number: u64,
    root: Hash,
    /// Frames of one bundle.
    cut: usize,
    /// Where each frame begins, and the end of the last: which is where the tiles begin.
    starts: Vec<u64>,
    /// The checksum of each frame.
    sums: Vec<u32>,
}

impl Pack {
    /// Opens pack `number`.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub(crate) fn open(store: &dyn Store, number: u64, origin: &str) -> Result<Self, PackError> {
        let (pack, of) = Pack::open_of(store, number)?;
        if of != Hash::of(origin.as_bytes()) {
            return Err(PackError::Damaged {
                path: pack.path,
                at: 24,
                what: "it is a pack of another log".into(),
            });
        }
        Ok(pack)
    }

    /// Opens pack `number` of whatever log.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub(crate) fn open_any_origin(store: &dyn Store, number: u64) -> Result<Self, PackError> {
        Ok(Pack::open_of(store, number)?.0)
    }

    /// The pack, and the hash of the origin it is of.
    fn open_of(store: &dyn Store, number: u64) -> Result<(Self, Hash), PackError> {
        let path = path_of(number);
        let size = store.size(&path)?;
        let damaged =
            |at: u64, what: &str| PackError::Damaged { path: path.clone(), at, what: what.to_owned() };
        let too_early = || damaged(size, "it ends too early");
        if size < HEADER as u64 {
            return Err(too_early());
        }
        let header = store.read_range(&path, 0..HEADER as u64)?;
        // Whether it says so rightly shows below.
        let version = if header[8..12] == 1_u32.to_le_bytes() { 1 } else { VERSION };
        let cut = cut_of(version);
        let ending_at = size.checked_sub((table_size(cut) + TRAILER) as u64).ok_or_else(too_early)?;
        let ending = store.read_range(&path, ending_at..size)?;
        let (table, trailer) = ending.split_at(table_size(cut));
        let crc = crc32c::crc32c_append(crc32c::crc32c(table), &header);
        if &trailer[44..] != b"pack" || trailer[40..44] != crc.to_le_bytes() {
            return Err(damaged(ending_at, "header and offset table do not match their checksum"));
        }
        let mut expected = header.clone();
        expected[..8].copy_from_slice(MAGIC);
        expected[8..12].copy_from_slice(&version.to_le_bytes());
        expected[12..16].copy_from_slice(&((BUNDLES * cut) as u32).to_le_bytes());
        expected[16..24].copy_from_slice(&(number * PACK_LEAVES).to_le_bytes());
        if header != expected {
            return Err(damaged(0, "it is not the pack of that number"));
        }
        let u64_at = |at: usize| {
            table.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(u64::MAX, u64::from_le_bytes)
        };
        let u32_at =
            |at: usize| table.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let frames = BUNDLES * cut;
        let starts: Vec<u64> = (0..=frames).map(|n| u64_at(n * 12)).collect();
        let sums: Vec<u32> = (0..frames).map(|n| u32_at(n * 12 + 8)).collect();
        let tiles = starts[frames];
        if !starts.is_sorted()
            || starts[0] != HEADER as u64
            || tiles.checked_add((BUNDLES as u64 + 1) * TILE_BYTES) != Some(ending_at)
        {
            return Err(damaged(ending_at, "the offset table makes no sense"));
        }
        let root = Hash::from_slice(&trailer[..32]).ok_or_else(|| damaged(size, "no root"))?;
        let of = Hash::from_slice(&header[24..56]).ok_or_else(|| damaged(24, "no origin"))?;
        // The root is covered by no checksum: it is made of the level-1 tile.
        if tile_root(
            &tile_hashes(&store.read_range(&path, ending_at - TILE_BYTES..ending_at)?)
                .map_err(|e| damaged(ending_at - TILE_BYTES, &e.to_string()))?,
        ) != root
        {
            return Err(damaged(ending_at - TILE_BYTES, "the level-1 tile does not give the pack's root"));
        }
        Ok((Pack { path, number, root, cut, starts, sums }, of))
    }

    /// Root of its 65,536 leaves, as written in the pack.
    pub(crate) fn root(&self) -> Hash {
        self.root
    }

    /// Its object.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Entry bundle `at` (0 to 255) as C2SP has it.
    ///
    /// # Errors
    /// Damaged.
    pub(crate) fn bundle(&self, store: &dyn Store, at: usize) -> Result<Vec<u8>, PackError> {
        let frames = self.frames_of(at);
        let from = self.starts[frames.start];
        let packed = store.read_range(&self.path, from..self.starts[frames.end])?;
        // Leaves that are all different pack to a quarter.
        let mut bundle = Vec::with_capacity(4 * packed.len());
        for frame in frames {
            let (start, end) = (self.starts[frame] - from, self.starts[frame + 1] - from);
            self.unpack(frame, &packed[start as usize..end as usize], &mut bundle)?;
        }
        Ok(bundle)
    }

    /// Frame `number`: leaf `n` of the pack is in frame `n / frame_leaves`.
    ///
    /// # Errors
    /// Damaged.
    pub(crate) fn frame(&self, store: &dyn Store, number: usize) -> Result<Bundle, PackError> {
        let packed = store.read_range(&self.path, self.starts[number]..self.starts[number + 1])?;
        let damaged =
            |what: String| PackError::Damaged { path: self.path.clone(), at: self.starts[number], what };
        let mut unpacked = Vec::new();
        self.unpack(number, &packed, &mut unpacked)?;
        let leaves = Bundle::parse(unpacked).map_err(damaged)?;
        if leaves.len() != self.frame_leaves() {
            return Err(damaged(format!("frame {number} has {} entries", leaves.len())));
        }
        Ok(leaves)
    }

    /// Leaves of one frame.
    pub(crate) fn frame_leaves(&self) -> usize {
        TILE_WIDTH as usize / self.cut
    }

    fn frames_of(&self, bundle: usize) -> Range<usize> {
        bundle * self.cut..(bundle + 1) * self.cut
    }

    /// Appends what is in frame `frame`.
    fn unpack(&self, frame: usize, packed: &[u8], to: &mut Vec<u8>) -> Result<(), PackError> {
        let bundle = self.number * BUNDLES as u64 + (frame / self.cut) as u64;
        let damaged = |what: String| PackError::Damaged {
            path: self.path.clone(),
            at: self.starts[frame],
            what: format!("entry bundle {bundle} {what}"),
        };
        if crc32c::crc32c(packed) != self.sums[frame] {
            return Err(damaged("does not match its checksum".into()));
        }
        unpack(packed, to).map_err(|e| damaged(format!("does not unpack: {e}")))
    }

    /// What is left of a bundle whose checksum fails, for naming the leaf that was changed.
    pub(crate) fn damaged_bundle(&self, store: &dyn Store, at: usize) -> Option<Vec<u8>> {
        let mut bundle = Vec::new();
        for frame in self.frames_of(at) {
            let packed = store.read_range(&self.path, self.starts[frame]..self.starts[frame + 1]).ok()?;
            unpack(&packed, &mut bundle).ok()?;
        }
        Some(bundle)
    }

    /// Level-0 tile `at` (0 to 255).
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn tile_0(&self, store: &dyn Store, at: usize) -> Result<Vec<u8>, PackError> {
        let from = self.starts[BUNDLES * self.cut] + at as u64 * TILE_BYTES;
        Ok(store.read_range(&self.path, from..from + TILE_BYTES)?)
    }

    /// The level-1 tile.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn tile_1(&self, store: &dyn Store) -> Result<Vec<u8>, PackError> {
        self.tile_0(store, BUNDLES)
    }
}

/// Appends what is in `frame`.
fn unpack(frame: &[u8], to: &mut Vec<u8>) -> std::io::Result<()> {
    // No bundle is larger than 256 entries of the greatest length: a bomb stops there.
    const LARGEST: usize = TILE_WIDTH as usize * (2 + 65_535);
    thread_local! {
        static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    // A frame says how long it is; if that is a lie it does not unpack.
    let said = zstd::zstd_safe::get_frame_content_size(frame).ok().flatten();
    let size = said.and_then(|size| usize::try_from(size).ok()).unwrap_or(LARGEST).min(LARGEST);
    UNPACKER.with_borrow_mut(|unpacker| {
        let unpacker = match unpacker {
            Some(unpacker) => unpacker,
            none => none.insert(Decompressor::new()?),
        };
        let before = to.len();
        to.resize(before + size, 0);
        let unpacked = unpacker.decompress_to_buffer(frame, &mut to[before..]);
        to.truncate(before + unpacked.as_ref().copied().unwrap_or(0));
        unpacked.map(drop)
    })
}

/// A bundle of leaves in memory, in C2SP form, with where each begins.
#[derive(Debug, Clone, Default)]
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
        let start = self.bytes.len() as u32 + 2;
        bundle_push(&mut self.bytes, leaf)?;
        self.starts.push(start);
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

    /// Its bytes, in `cut` parts of as many leaves each.
    fn parts(&self, cut: usize) -> impl Iterator<Item = &[u8]> {
        let each = self.len().div_ceil(cut);
        let start = move |part: usize| {
            self.starts.get(part * each).map_or(self.bytes.len(), |start| *start as usize - 2)
        };
        (0..cut).map(move |part| &self.bytes[start(part)..start(part + 1)])
    }

    pub(crate) fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|at| self.leaf(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_of_every_version_give_the_same_leaves() {
        let leaf = |n: u64| format!("leaf {n}, {}", "x".repeat((n % 97) as usize)).into_bytes();
        let mut bundles = Vec::new();
        for bundle in 0..BUNDLES as u64 {
            let mut made = Bundle::new();
            (0..TILE_WIDTH).for_each(|n| made.push(&leaf(bundle * TILE_WIDTH + n)).unwrap());
            bundles.push(std::sync::Arc::new(made));
        }
        let leaves: Vec<Vec<u8>> = (0..PACK_LEAVES).map(leaf).collect();
        let hashes = deed_seal::hash::leaf_hashes(&leaves);
        for version in [1, VERSION] {
            let dir = tempfile::tempdir().unwrap();
            let store = crate::store::LocalStore::open(dir.path(), &[FOLDER]).unwrap();
            let encoded = encode_as(version, 0, "here", &bundles, &hashes).unwrap();
            let parts: Vec<&[u8]> = encoded.parts.iter().map(Vec::as_slice).collect();
            store.create(&path_of(0), &parts).unwrap();
            let pack = Pack::open(&store, 0, "here").unwrap();
            assert_eq!(pack.root(), encoded.root);
            assert_eq!(pack.frame_leaves(), if version == 1 { 256 } else { 32 });
            for at in [0, 7, 255] {
                assert_eq!(pack.bundle(&store, at).unwrap(), bundles[at].bytes, "version {version}");
            }
            for at in [0, 31, 32, 65_535] {
                let frame = pack.frame(&store, at / pack.frame_leaves()).unwrap();
                assert_eq!(frame.leaf(at % pack.frame_leaves()).unwrap(), leaves[at], "version {version}");
            }
        }
    }

    #[test]
    fn the_name_of_a_pack_gives_its_number() {
        for number in [0, 7, 999_999, 1_000_000, u64::MAX / PACK_LEAVES - 1] {
            assert_eq!(number_of(&path_of(number)), Some(number));
        }
        for name in ["packs/7.pack", "packs/0000007.pack", "packs/+00007.pack", "packs/000007", "000007.pack"]
        {
            assert_eq!(number_of(name), None, "{name}");
        }
        assert_eq!(number_of(&path_of(u64::MAX / PACK_LEAVES)), None);
        assert_eq!(number_of(&path_of(u64::MAX)), None);
    }
}
