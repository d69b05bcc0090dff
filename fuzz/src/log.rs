//! A whole static log, as its files say it is.

use std::{convert::Infallible, num::NonZeroUsize};

use deed_seal::{
    hash::leaf_hashes,
    merkle::Frontier,
    tile::{TilePath, bundle_entries},
    verify::{Against, Tiles, verify},
};

/// A checkpoint, a tile and an entry bundle, each of the first two after its length (two bytes).
pub fn log(data: &[u8]) {
    let (checkpoint, rest) = piece(data);
    let (tile, bundle) = piece(rest);
    let files = Files { checkpoint, tile, bundle };
    let against = Against { threads: Some(NonZeroUsize::MIN), ..Against::default() };
    let report = verify(&files, &against);
    assert!(report.problems.len() <= 12_000, "a checkpoint may claim any size");
    if report.verified() != Some(true) {
        return;
    }
    // What passes is what can be computed from the entries alone.
    let head = report.checkpoint.expect("a verified log has a head");
    let entries = if head.size == 0 { Vec::new() } else { bundle_entries(bundle).expect("a bundle") };
    let mut tree = Frontier::new();
    tree.extend(&leaf_hashes(&entries));
    assert_eq!((tree.size(), tree.root()), (head.size, head.root));
}

fn piece(data: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = data.split_first_chunk() else { return (&[], &[]) };
    rest.split_at(rest.len().min(u16::from_be_bytes(*length).into()))
}

/// The files of a log that has one tile.
struct Files<'a> {
    checkpoint: &'a [u8],
    tile: &'a [u8],
    bundle: &'a [u8],
}

impl Tiles for Files<'_> {
    type Error = Infallible;

    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(match path {
            TilePath::Hashes { level: 0, index: 0, .. } => Some(self.tile.to_vec()),
            TilePath::Entries { index: 0, .. } => Some(self.bundle.to_vec()),
            _ => None,
        })
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(Some(self.checkpoint.to_vec()))
    }
}
