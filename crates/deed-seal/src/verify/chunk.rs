//! The work that threads share: 65,536 leaves with the tiles over them, and then the levels above.

use std::collections::{BTreeMap, BTreeSet};

use crate::hash::{Hash, leaf_hashes};
use crate::merkle::Frontier;
use crate::tile::{self, TILE_WIDTH, TilePath};

use super::{Look, Report, Tiles};

/// The leaves under one level-1 tile.
pub(super) const CHUNK: u64 = TILE_WIDTH * TILE_WIDTH;

/// What was found in one chunk.
pub(super) struct Chunk {
    pub(super) report: Report,
    /// `Some` if the chunk is full; the root in it is `None` if hashes are missing.
    pub(super) root: Option<Option<Hash>>,
    /// For each size that is asked for and ends within the chunk: its part of the chunk.
    pub(super) marks: BTreeMap<u64, Option<Frontier>>,
    /// If the log ends in a bundle that disagrees with its tile.
    pub(super) tail: Option<Tail>,
}

/// The last, partial bundle of a log where its entries do not have the hashes in its tile.
pub(super) struct Tail {
    pub(super) entries: TilePath,
    pub(super) tile: TilePath,
    /// The first leaf of the bundle.
    pub(super) start: u64,
    /// Which leaves, in words.
    pub(super) leaves: String,
    hashes: Vec<Hash>,
    /// The chunk before the bundle.
    before: Option<Frontier>,
    sizes: Vec<u64>,
}

impl Tail {
    /// The marks within the bundle as they are if its tile is right.
    pub(super) fn marks_from_tile(&self) -> BTreeMap<u64, Option<Frontier>> {
        let Some(before) = &self.before else { return BTreeMap::new() };
        let marks =
            self.sizes.iter().map(|size| (*size, Some(extend(before, self.start, &self.hashes, *size))));
        marks.collect()
    }
}

impl Chunk {
    /// Recomputes chunk `number` of a log of `size` leaves.
    pub(super) fn verify<T: Tiles>(
        tiles: &T,
        number: u64,
        size: u64,
        sizes: &BTreeSet<u64>,
        mut look: Option<Box<dyn Look + '_>>,
    ) -> Self {
        let (start, end) = (number * CHUNK, size.min(number.saturating_add(1).saturating_mul(CHUNK)));
        let mut report = Report::default();
        let mut reader = Reader { tiles, report: &mut report };
        let above = TilePath::hashes(1, number, size);
        let claimed = above.and_then(|path| reader.hashes(&path));
        let (mut tree, mut marks, mut tail) = (Some(Frontier::new()), BTreeMap::new(), None);

        for index in start / TILE_WIDTH..end.div_ceil(TILE_WIDTH) {
            let first = index * TILE_WIDTH;
            let last = end.min(first.saturating_add(TILE_WIDTH));
            let sizes = sizes.range(first + 1..=last).filter(|size| !size.is_multiple_of(CHUNK));
            let mut bundle = Bundle::read(&mut reader, index, size, &mut look);
            if last - first == TILE_WIDTH {
                let place = (index % TILE_WIDTH) as usize;
                let claimed = claimed.as_ref().and_then(|hashes| hashes.get(place)).copied();
                let computed = bundle.settle(&mut reader, claimed);
                let root = above.and_then(|above| reader.settle(&above, place, computed, claimed));
                for size in sizes {
                    let part = tree.as_ref().zip(bundle.hashes());
                    let part = part.map(|(tree, hashes)| extend(tree, first, hashes, *size));
                    marks.insert(*size, part);
                }
                match (&mut tree, root) {
                    (Some(tree), Some(root)) => tree.push_full_tile(root, TILE_WIDTH),
                    _ => tree = None,
                }
            } else {
                let sizes: Vec<u64> = sizes.copied().collect();
                for size in &sizes {
                    let part = tree.as_ref().zip(bundle.hashes());
                    marks.insert(*size, part.map(|(tree, hashes)| extend(tree, first, hashes, *size)));
                }
                tail = bundle.into_tail(tree.clone(), sizes);
            }
        }
        if let Some(look) = look {
            look.end();
        }
        let root = (end - start == CHUNK).then(|| tree.map(|tree| tree.root()));
        Self { report, root, marks, tail }
    }
}

/// Checks the tiles of level 2 and up against `roots`, the roots of the full chunks, and gives these back
/// with those that could not be computed taken from the tiles.
pub(super) fn verify_upper_levels<T: Tiles>(
    tiles: &T,
    roots: Vec<Option<Hash>>,
    report: &mut Report,
) -> Vec<Option<Hash>> {
    let mut reader = Reader { tiles, report };
    let mut settle_level = |level: u8, below: &[Option<Hash>]| {
        let mut settled = Vec::with_capacity(below.len());
        for (index, group) in below.chunks(TILE_WIDTH as usize).enumerate() {
            let path = TilePath::Hashes { level, index: index as u64, width: group.len() as u16 };
            let claimed = reader.hashes(&path);
            settled.extend(group.iter().enumerate().map(|(place, computed)| {
                let claimed = claimed.as_ref().map(|hashes| hashes[place]);
                reader.settle(&path, place, *computed, claimed)
            }));
        }
        settled
    };
    let roots = settle_level(2, &roots);
    let (mut level, mut settled) = (2, roots.clone());
    while settled.len() as u64 >= TILE_WIDTH {
        level += 1;
        let full = settled.as_chunks::<{ TILE_WIDTH as usize }>().0.iter();
        let above: Vec<_> = full
            .map(|group| {
                group.iter().copied().collect::<Option<Vec<Hash>>>().map(|hashes| tile::tile_root(&hashes))
            })
            .collect();
        settled = settle_level(level, &above);
    }
    roots
}

/// An entry bundle beside the level-0 tile that should hold its hashes.
struct Bundle {
    entries: TilePath,
    tile: TilePath,
    start: u64,
    from_entries: Option<Vec<Hash>>,
    from_tile: Option<Vec<Hash>>,
    /// Whether the hashes in the tile are to be believed rather than those of the entries.
    believe_tile: bool,
}

impl Bundle {
    fn read<'l, T: Tiles>(
        reader: &mut Reader<'_, T>,
        index: u64,
        size: u64,
        look: &mut Option<Box<dyn Look + 'l>>,
    ) -> Self {
        let width = tile::width(0, index, size).unwrap_or(0);
        let (entries, tile) =
            (TilePath::Entries { index, width }, TilePath::Hashes { level: 0, index, width });
        let start = index * TILE_WIDTH;
        let from_entries = reader.leaf_hashes(&entries, start, look);
        let from_tile = reader.hashes(&tile);
        Self { entries, tile, start, believe_tile: from_entries.is_none(), from_entries, from_tile }
    }

    /// The hashes of the leaves, as far as known.
    fn hashes(&self) -> Option<&Vec<Hash>> {
        if self.believe_tile { self.from_tile.as_ref() } else { self.from_entries.as_ref() }
    }

    /// The root of a full bundle. Where entries and tile disagree, the tile above, which holds `claimed`,
    /// says which is wrong.
    fn settle<T: Tiles>(&mut self, reader: &mut Reader<'_, T>, claimed: Option<Hash>) -> Option<Hash> {
        let root = tile::tile_root(self.hashes()?);
        let Some(leaves) = self.differing_leaves() else { return Some(root) };
        let root_of_tile = self.from_tile.as_deref().map(tile::tile_root);
        if claimed == Some(root) {
            let what = format!("{leaves}: not the hash of the entry, with which the tile above agrees");
            reader.report.violated(self.tile.to_string(), what);
            return Some(root);
        }
        self.believe_tile = claimed.is_some() && claimed == root_of_tile;
        let agrees = if self.believe_tile { ", with which the tile above agrees" } else { "" };
        let what = format!("{leaves}: the entry does not have the hash in `{}`{agrees}", self.tile);
        reader.report.violated(self.entries.to_string(), what);
        if self.believe_tile { root_of_tile } else { Some(root) }
    }

    fn into_tail(self, before: Option<Frontier>, sizes: Vec<u64>) -> Option<Tail> {
        let leaves = self.differing_leaves()?;
        let Self { entries, tile, start, from_tile, .. } = self;
        Some(Tail { entries, tile, start, leaves, hashes: from_tile?, before, sizes })
    }

    /// The leaves whose entries do not have the hashes in the tile, in words; `None` if there are none.
    fn differing_leaves(&self) -> Option<String> {
        let pairs = self.from_entries.as_ref()?.iter().zip(self.from_tile.as_ref()?);
        let mut differing =
            (self.start..).zip(pairs).filter(|(_, (entry, tile))| entry != tile).map(|(leaf, _)| leaf);
        let first = differing.next()?;
        let more: Vec<u64> = differing.collect();
        Some(match more[..] {
            [] => format!("leaf {first}"),
            [second] => format!("leaves {first} and {second}"),
            [second, .., last] => {
                format!("leaves {first}, {second} and {} more up to {last}", more.len() - 1)
            }
        })
    }
}

/// Reads files and puts down what is wrong with them.
pub(super) struct Reader<'a, T> {
    pub(super) tiles: &'a T,
    pub(super) report: &'a mut Report,
}

impl<T: Tiles> Reader<'_, T> {
    /// The bytes of a file.
    pub(super) fn read(&mut self, path: &TilePath) -> Option<Vec<u8>> {
        match self.tiles.get(path) {
            Ok(Some(bytes)) => return self.within(path, bytes),
            Ok(None) => self.report.unverified(path.to_string(), "is missing"),
            Err(error) => self.report.unverified(path.to_string(), format!("cannot be read: {error}")),
        }
        None
    }

    /// `bytes`, unless there are more than the file `path` can have.
    fn within(&mut self, path: &TilePath, bytes: Vec<u8>) -> Option<Vec<u8>> {
        self.report.files += 1;
        if bytes.len() <= path.max_len() {
            return Some(bytes);
        }
        let what = format!("is longer than the {} bytes that it can have", path.max_len());
        self.report.violated(path.to_string(), what);
        None
    }

    /// The hash at `place` of the tile `path`, which holds `claimed`, where `computed` is the root of the
    /// tile below. What was computed is believed.
    fn settle(
        &mut self,
        path: &TilePath,
        place: usize,
        computed: Option<Hash>,
        claimed: Option<Hash>,
    ) -> Option<Hash> {
        if let (Some(computed), Some(claimed), TilePath::Hashes { level, index, .. }) =
            (computed, claimed, *path)
            && computed != claimed
        {
            let (index, width) = (index * TILE_WIDTH + place as u64, TILE_WIDTH as u16);
            let below = TilePath::Hashes { level: level - 1, index, width };
            self.report.violated(path.to_string(), format!("hash {place}: not the root of `{below}`"));
        }
        computed.or(claimed)
    }

    fn hashes(&mut self, path: &TilePath) -> Option<Vec<Hash>> {
        let (bytes, file) = self.read_or_full(path)?;
        match tile::tile_hashes(&bytes) {
            Ok(mut hashes) if hashes.len() == usize::from(file.width()) => {
                hashes.truncate(usize::from(path.width()));
                return Some(hashes);
            }
            Ok(hashes) => {
                let what = format!("has {} hashes instead of {}", hashes.len(), file.width());
                self.report.violated(file.to_string(), what);
            }
            Err(error) => self.report.violated(file.to_string(), error.to_string()),
        }
        None
    }

    fn leaf_hashes(
        &mut self,
        path: &TilePath,
        start: u64,
        look: &mut Option<Box<dyn Look + '_>>,
    ) -> Option<Vec<Hash>> {
        let (bytes, file) = self.read_or_full(path)?;
        match tile::bundle_entries(&bytes) {
            Ok(entries) if entries.len() == usize::from(file.width()) => {
                let hashes = leaf_hashes(&entries[..usize::from(path.width())]);
                self.report.leaves += hashes.len() as u64;
                if let Some(look) = look {
                    look.bundle(start, &entries);
                }
                return Some(hashes);
            }
            Ok(entries) => {
                let what =
                    format!("has {} entries instead of {}, from leaf {start}", entries.len(), file.width());
                self.report.violated(file.to_string(), what);
            }
            Err(error) => {
                let leaf = start + error.place as u64;
                self.report.violated(file.to_string(), format!("leaf {leaf}: {error}"));
            }
        }
        None
    }

    /// The bytes of a partial tile or, if the log has grown and dropped it, of the full one.
    fn read_or_full(&mut self, path: &TilePath) -> Option<(Vec<u8>, TilePath)> {
        if path.is_partial()
            && let (Ok(None), Ok(Some(bytes))) = (self.tiles.get(path), self.tiles.get(&path.full()))
        {
            let full = path.full();
            return self.within(&full, bytes).map(|bytes| (bytes, full));
        }
        self.read(path).map(|bytes| (bytes, *path))
    }
}

/// `tree`, which ends before leaf `first`, continued by `hashes` up to `size` leaves of the whole log.
fn extend(tree: &Frontier, first: u64, hashes: &[Hash], size: u64) -> Frontier {
    let mut tree = tree.clone();
    tree.extend(&hashes[..hashes.len().min((size - first) as usize)]);
    tree
}
