//! Tiles and entry bundles of a static log (C2SP tlog-tiles): their paths, their bytes, and a
//! [`HashReader`] over them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::str::FromStr;

use crate::hash::{Hash, node_hashes};
use crate::merkle::HashReader;

/// Hashes in a full tile, entries in a full bundle.
pub const TILE_WIDTH: u64 = 256;

/// Levels of the tree within one tile: 2^8 = 256.
pub const TILE_HEIGHT: u8 = 8;

/// The longest entry a bundle can hold, in bytes: its length is a `u16`.
pub const MAX_ENTRY: usize = u16::MAX as usize;

/// The name of a tile or entry bundle below a log's prefix.
///
/// Prints and parses as `tile/0/x001/234`, `tile/1/000.p/17`, `tile/entries/000.p/5`. Parsing takes only
/// the one form that printing gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TilePath {
    /// Hashes of subtrees of 256^`level` leaves.
    Hashes {
        /// 0 (leaf hashes) to 63.
        level: u8,
        /// Place of the tile on its level, from 0.
        index: u64,
        /// Number of hashes, 1 to 256 (full).
        width: u16,
    },
    /// The log entries whose hashes are in the level-0 tile with the same index and width.
    Entries {
        /// Place of the bundle, from 0.
        index: u64,
        /// Number of entries, 1 to 256 (full).
        width: u16,
    },
}

impl TilePath {
    /// The tile `index` of `level` in a tree of `size` leaves; `None` if the tree has none there.
    pub fn hashes(level: u8, index: u64, size: u64) -> Option<Self> {
        let width = width(level, index, size)?;
        Some(Self::Hashes { level, index, width })
    }

    /// The entry bundle `index` of a log of `size` leaves; `None` if the log has none there.
    pub fn entries(index: u64, size: u64) -> Option<Self> {
        let width = width(0, index, size)?;
        Some(Self::Entries { index, width })
    }

    /// Every tile and bundle of a log of `size` leaves, the bundles first, then level by level.
    pub fn all(size: u64) -> impl Iterator<Item = Self> {
        let bundles = (0..size.div_ceil(TILE_WIDTH)).filter_map(move |index| Self::entries(index, size));
        let levels = (0..8).flat_map(move |level| {
            let tiles = (size >> (TILE_HEIGHT * level)).div_ceil(TILE_WIDTH);
            (0..tiles).filter_map(move |index| Self::hashes(level, index, size))
        });
        bundles.chain(levels)
    }

    /// Number of hashes or entries, 1 to 256.
    pub fn width(&self) -> u16 {
        let (Self::Hashes { width, .. } | Self::Entries { width, .. }) = self;
        *width
    }

    /// The most bytes that it has: 32 for each hash, [`MAX_ENTRY`] and their length for each entry.
    pub fn max_len(&self) -> usize {
        match self {
            Self::Hashes { width, .. } => usize::from(*width) * 32,
            Self::Entries { width, .. } => usize::from(*width) * (2 + MAX_ENTRY),
        }
    }

    /// Whether fewer than 256 hashes or entries are in it.
    pub fn is_partial(&self) -> bool {
        u64::from(self.width()) < TILE_WIDTH
    }

    /// The same tile or bundle once it is full.
    #[must_use]
    pub fn full(self) -> Self {
        self.with_width(TILE_WIDTH as u16)
    }

    /// The same tile or bundle with another number of hashes or entries.
    #[must_use]
    pub fn with_width(self, width: u16) -> Self {
        match self {
            Self::Hashes { level, index, .. } => Self::Hashes { level, index, width },
            Self::Entries { index, .. } => Self::Entries { index, width },
        }
    }
}

/// The number of hashes in tile `index` of `level` in a tree of `size` leaves; `None` where there is no tile.
pub fn width(level: u8, index: u64, size: u64) -> Option<u16> {
    let hashes = size.checked_shr(u32::from(level) * u32::from(TILE_HEIGHT)).unwrap_or(0);
    match hashes.checked_sub(index.checked_mul(TILE_WIDTH)?)? {
        0 => None,
        rest => Some(rest.min(TILE_WIDTH) as u16),
    }
}

/// Writes entries as a bundle: each after its length as a big-endian `u16`.
///
/// # Errors
/// [`EntryTooLong`] if an entry exceeds [`MAX_ENTRY`].
pub fn bundle_encode<'a>(entries: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, EntryTooLong> {
    let mut bundle = Vec::new();
    for (place, entry) in entries.into_iter().enumerate() {
        bundle_push(&mut bundle, entry).map_err(|error| EntryTooLong { place, ..error })?;
    }
    Ok(bundle)
}

/// Appends one more entry to `bundle`.
///
/// # Errors
/// [`EntryTooLong`] if it exceeds [`MAX_ENTRY`]; its place is then 0.
pub fn bundle_push(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), EntryTooLong> {
    let length = u16::try_from(entry.len()).map_err(|_| EntryTooLong { place: 0, length: entry.len() })?;
    bundle.reserve(2 + entry.len());
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The entries of a bundle, in order.
///
/// # Errors
/// [`BundleError`] if a length or an entry is cut off, or if there are more than 256 entries.
pub fn bundle_entries(bytes: &[u8]) -> Result<Vec<&[u8]>, BundleError> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let error = |reason| BundleError { place: entries.len(), offset: bytes.len() - rest.len(), reason };
        if entries.len() as u64 == TILE_WIDTH {
            return Err(error(BundleReason::TooMany));
        }
        let (length, tail) = rest.split_first_chunk().ok_or_else(|| error(BundleReason::CutLength))?;
        let length = u16::from_be_bytes(*length);
        let (entry, tail) = tail
            .split_at_checked(usize::from(length))
            .ok_or_else(|| error(BundleReason::CutEntry { length, found: tail.len() }))?;
        entries.push(entry);
        rest = tail;
    }
    Ok(entries)
}

/// The hashes that the bytes of a tile hold.
///
/// # Errors
/// [`TileError`] unless there are 1 to 256 whole hashes.
pub fn tile_hashes(bytes: &[u8]) -> Result<Vec<Hash>, TileError> {
    match bytes.as_chunks::<32>() {
        (hashes, []) if (1..=TILE_WIDTH as usize).contains(&hashes.len()) => {
            Ok(hashes.iter().copied().map(Hash).collect())
        }
        _ => Err(TileError { length: bytes.len() }),
    }
}

/// The root of the complete subtree over `hashes`, of a full tile or of any power of two.
///
/// # Panics
/// If the number of hashes is not a power of two.
pub fn tile_root(hashes: &[Hash]) -> Hash {
    assert!(hashes.len().is_power_of_two(), "{} hashes form no complete subtree", hashes.len());
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        level = node_hashes(&level);
    }
    level[0]
}

/// The hashes of a tree read from its tiles: of any level, those between tile levels recomputed.
///
/// Each tile is read once and kept, so make one for each proof or few, not for a server's lifetime.
pub struct TileTree<S> {
    size: u64,
    source: S,
    tiles: RefCell<BTreeMap<(u8, u64), Vec<Hash>>>,
}

impl<S, B, E> TileTree<S>
where
    S: Fn(u8, u64, u16) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    /// The tree of `size` leaves whose tiles `source` gives for (level, index, width).
    pub fn new(size: u64, source: S) -> Self {
        Self { size, source, tiles: RefCell::default() }
    }

    fn load(&self, level: u8, index: u64) -> Result<Vec<Hash>, TileTreeError<E>> {
        let width = width(level, index, self.size).ok_or(TileTreeError::Outside { size: self.size })?;
        let bytes = (self.source)(level, index, width).map_err(TileTreeError::Source)?;
        match tile_hashes(bytes.as_ref()) {
            Ok(hashes) if hashes.len() == usize::from(width) => Ok(hashes),
            _ => Err(TileTreeError::Malformed {
                path: TilePath::Hashes { level, index, width },
                length: bytes.as_ref().len(),
            }),
        }
    }
}

impl<S, B, E> HashReader for TileTree<S>
where
    S: Fn(u8, u64, u16) -> Result<B, E>,
    B: AsRef<[u8]>,
{
    type Error = TileTreeError<E>;

    fn read(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let outside = TileTreeError::Outside { size: self.size };
        let (tile_level, within) = (level / TILE_HEIGHT, level % TILE_HEIGHT);
        // The subtree's 2^within hashes lie in one tile, for 2^within divides 256.
        let per_tile = TILE_WIDTH >> within;
        let tile = (tile_level, index / per_tile);
        let first = ((index % per_tile) as usize) << within;
        let mut tiles = self.tiles.borrow_mut();
        let hashes = match tiles.entry(tile) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(self.load(tile.0, tile.1)?),
        };
        hashes.get(first..first + (1 << within)).map(tile_root).ok_or(outside)
    }
}

/// An entry is too long for a bundle, and so for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {place} has {length} bytes, at most {MAX_ENTRY} fit in a log entry")]
pub struct EntryTooLong {
    /// The entry's place among those given, from 0.
    pub place: usize,
    /// Its length in bytes.
    pub length: usize,
}

/// Where and why bytes are no entry bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("entry {place}, at byte {offset}, {reason}")]
pub struct BundleError {
    /// The entry's place in the bundle, from 0.
    pub place: usize,
    /// Where its length starts.
    pub offset: usize,
    /// What is wrong with it.
    pub reason: BundleReason,
}

/// What is wrong with an entry of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleReason {
    /// One byte is left where a length should be.
    #[error("has its length cut off")]
    CutLength,
    /// The bytes end before the entry does.
    #[error("should have {length} bytes, {found} are left")]
    CutEntry {
        /// What the length says.
        length: u16,
        /// How many bytes follow it.
        found: usize,
    },
    /// A bundle holds 256 entries at most.
    #[error("is one more than the {TILE_WIDTH} that a bundle holds")]
    TooMany,
}

/// Bytes are no tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tile has 1 to 256 hashes of 32 bytes, found {length} bytes")]
pub struct TileError {
    /// Their number.
    pub length: usize,
}

/// Why a hash could not be read from tiles.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TileTreeError<E> {
    /// The source of tiles failed.
    #[error("{0}")]
    Source(E),
    /// A tile does not have the length that its width asks for.
    #[error("`{path}` has {length} bytes, not 32 for each hash")]
    Malformed {
        /// Which tile.
        path: TilePath,
        /// Its length in bytes.
        length: usize,
    },
    /// The subtree is not complete within the tree.
    #[error("the tree of {size} leaves has no such subtree")]
    Outside {
        /// The tree's size.
        size: u64,
    },
}

/// A text is not the path of a tile or bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the path of a tile or entry bundle")]
pub struct TilePathError(String);

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, width) = match self {
            Self::Hashes { level, index, width } => {
                write!(f, "tile/{level}/")?;
                (*index, *width)
            }
            Self::Entries { index, width } => {
                f.write_str("tile/entries/")?;
                (*index, *width)
            }
        };
        // Groups of three digits, all but the last marked with `x`.
        let mut group = 1;
        while index / group >= 1000 {
            group *= 1000;
        }
        while group > 1 {
            write!(f, "x{:03}/", index / group % 1000)?;
            group /= 1000;
        }
        write!(f, "{:03}", index % 1000)?;
        if u64::from(width) < TILE_WIDTH {
            write!(f, ".p/{width}")?;
        }
        Ok(())
    }
}

impl FromStr for TilePath {
    type Err = TilePathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_path(text)
            .filter(|path| path.to_string() == text) // leading zeros, needless groups, a width of 256
            .ok_or_else(|| TilePathError(text.chars().take(80).collect()))
    }
}

fn parse_path(text: &str) -> Option<TilePath> {
    let (level, rest) = text.strip_prefix("tile/")?.split_once('/')?;
    let (index, width) = match rest.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|width| (1..=255).contains(width))?),
        None => (rest, TILE_WIDTH as u16),
    };
    let mut number = 0_u64;
    for group in index.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    match level {
        "entries" => Some(TilePath::Entries { index: number, width }),
        _ => {
            let level = level.parse().ok().filter(|level| *level <= 63)?;
            Some(TilePath::Hashes { level, index: number, width })
        }
    }
}
