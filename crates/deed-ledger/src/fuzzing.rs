//! Doors to the readers of a store's files, for the fuzz targets in `fuzz/` and for nobody else: no part
//! of what this crate promises.
//!
//! The readers are private on purpose, and a whole store around each input (a pack has 65,536 leaves)
//! would make a target a thousand times slower.

use std::{ops::Range, path::Path, sync::Arc};

use crate::{
    BlobError, IndexError, JournalDamage, Opened, PackError, VaultError, blob,
    index::{self, Index, Run},
    journal::{self, FrameBuilder},
    pack::{Bundle, Pack},
    spool,
    store::Store,
    vault::Vault,
};

/// A frame of the journal: the index of its first leaf, leaves with their sealed disclosures, accounts
/// with their sealed names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Index of its first leaf.
    pub first: u64,
    /// Leaves with their sealed disclosures.
    pub leaves: Vec<(Vec<u8>, Vec<u8>)>,
    /// Accounts with their sealed names.
    pub names: Vec<([u8; 16], Vec<u8>)>,
}

/// The frames with leaves at or above `packed` of the journal in `dir`.
///
/// # Errors
/// Damage that a crash cannot explain.
pub fn frames(dir: &Path, packed: u64) -> Result<Vec<Frame>, JournalDamage> {
    let frames = journal::read_only(dir, packed)?.frames;
    Ok(frames.into_iter().map(plain).collect())
}

fn plain(frame: journal::Frame) -> Frame {
    Frame {
        first: frame.first,
        leaves: frame.entries.into_iter().map(|entry| (entry.leaf, entry.blob)).collect(),
        names: frame.names.into_iter().map(|name| (name.account, name.blob)).collect(),
    }
}

/// The bytes of `frame` in a file of `generation`.
pub fn encode_frame(frame: &Frame, generation: u64) -> Vec<u8> {
    let mut builder = FrameBuilder::new();
    builder.start(frame.first);
    frame.leaves.iter().for_each(|(leaf, blob)| builder.leaf(leaf, blob));
    frame.names.iter().for_each(|(account, blob)| builder.name(account, blob));
    builder.finish(generation).to_vec()
}

/// What stands in a file of the spool.
#[derive(Debug)]
pub struct SpoolFile {
    /// Digest of the name of the log it is for, where the header says so.
    pub origin: Option<[u8; 32]>,
    /// Whole frames, each with the byte where it begins.
    pub frames: Vec<(u64, Frame)>,
    /// Where a frame that was cut short begins.
    pub torn: Option<u64>,
    /// Bytes that no crash explains.
    pub damaged: Vec<u64>,
}

/// Reads file `number` of a spool.
pub fn spool_file(bytes: &[u8], number: u64) -> SpoolFile {
    let spool::Scanned { origin, frames, torn, damaged } = spool::scan(bytes, number);
    SpoolFile {
        origin,
        frames: frames.into_iter().map(|(at, frame)| (at, plain(frame))).collect(),
        torn,
        damaged: damaged.into_iter().map(|(at, _)| at).collect(),
    }
}

/// The first bytes of file `number` of a spool for `log`.
pub fn spool_header(log: &str, number: u64) -> Vec<u8> {
    spool::header(log, number).to_vec()
}

/// The leaves of one entry bundle.
pub type BundleLeaves = Vec<Vec<u8>>;

/// Opens pack `number` and reads its first `most` entry bundles, each as the leaves in it; then tiles.
///
/// # Errors
/// The pack does not open. A bundle that does not read is an error in its place.
pub fn pack(
    store: &dyn Store,
    number: u64,
    most: usize,
) -> Result<Vec<Result<BundleLeaves, PackError>>, PackError> {
    let pack = Pack::open_any_origin(store, number)?;
    let bundles = (0..most).map(|at| {
        let leaves = |bytes| {
            let bundle = Bundle::parse(bytes).unwrap_or_else(|_| Bundle::new());
            bundle.leaves().map(<[u8]>::to_vec).collect()
        };
        pack.damaged_bundle(store, at);
        pack.bundle(store, at).map(leaves)
    });
    let bundles = bundles.collect();
    pack.tile_0(store, 255)?;
    pack.tile_1(store)?;
    Ok(bundles)
}

/// The accounts and sealed names in the disclosures of pack `number`, and the sealed disclosures of the
/// leaves at `places`.
///
/// # Errors
/// They do not open.
#[expect(clippy::type_complexity, reason = "two lists, named above")]
pub fn disclosures(
    store: &dyn Store,
    number: u64,
    places: Range<usize>,
) -> Result<(Vec<([u8; 16], Vec<u8>)>, Vec<Vec<u8>>), VaultError> {
    let vault = Vault::open(store, number)?;
    let (start, piece) = vault.blobs(store, places.start, places.end)?;
    let mut blobs = Vec::new();
    for at in places {
        let blob = vault.blob(store, at)?;
        assert_eq!(vault.cut(at, start, &piece), Some(&blob[..]), "a blob is the same alone and in a piece");
        blobs.push(blob);
    }
    Ok((vault.names, blobs))
}

/// The disclosures of one record, from the bytes that its blob holds sealed.
///
/// # Errors
/// They make no sense.
pub fn opened(plain: &[u8]) -> Result<Vec<Opened>, BlobError> {
    blob::disclosures(plain)
}

/// What an index run begins with.
pub const RUN: &[u8; 8] = index::MAGIC;

/// Every entry of the index run at `path`: a key's hash and an offset from the first leaf.
///
/// # Errors
/// Any byte that is not what was written.
pub fn run(store: &dyn Store, path: &str) -> Result<Vec<(u64, u32)>, IndexError> {
    let run = Run::open(store, path)?;
    let mut entries = Vec::new();
    run.each_entry(&store.read(path)?, &mut |entry| entries.push(entry))?;
    Ok(entries)
}

/// The leaves that `hash`, of 48 bits, leads to in the index run at `path`.
///
/// # Errors
/// The bytes that were read are not what was written.
pub fn look_up(store: &dyn Store, path: &str, hash: u64) -> Result<Vec<u32>, IndexError> {
    Run::open(store, path)?.leaves(store, hash)
}

/// The bytes of an index run over `packs` with `entries`, which are sorted.
pub fn encode_run(packs: Range<u64>, entries: &[(u64, u32)]) -> Vec<u8> {
    index::encode(packs, entries.iter().copied())
}

/// Opens the index of a store with so many packs and merges its runs.
///
/// # Errors
/// The store failed, or a run is not what was written.
pub fn merge_runs(store: Arc<dyn Store>, packs: u64) -> Result<(), IndexError> {
    Index::open(store, packs)?.0.merge()
}
