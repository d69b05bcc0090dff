//! Tiles, entry bundles and their names.

use std::convert::Infallible;

use deed_seal::{
    hash::Hash,
    merkle::{self, Frontier},
    tile::{TilePath, TileTree, bundle_encode, bundle_entries, tile_hashes},
};

/// The bytes of a tile, of an entry bundle, or the name of either.
pub fn tile(data: &[u8]) {
    if let Ok(entries) = bundle_entries(data) {
        assert!(entries.len() <= 256);
        assert_eq!(bundle_encode(entries).as_deref(), Ok(data));
    }
    if let Ok(hashes) = tile_hashes(data) {
        as_a_tree(data, &hashes);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
        assert!((1..=256).contains(&path.width()));
        assert_eq!(path.full().with_width(path.width()), path);
    }
    if let Ok(hash) = text.parse::<Hash>() {
        assert_eq!(hash.to_string(), text);
    }
    if let Ok(hash) = Hash::from_base64(text) {
        assert_eq!(hash.to_base64(), text);
    }
}

/// A tile of leaf hashes is a small log: its root, and the proofs from it, are those of its leaves.
fn as_a_tree(bytes: &[u8], hashes: &[Hash]) {
    let size = hashes.len() as u64;
    let tree = TileTree::new(size, |_, _, _| Ok::<_, Infallible>(bytes));
    let mut leaves = Frontier::new();
    leaves.extend(hashes);
    let root = merkle::root_of(size, &tree).expect("the tile holds the tree");
    assert_eq!(root, leaves.root());
    let index = u64::from(bytes[0]) % size;
    let proof = merkle::inclusion_proof(index, size, &tree).expect("the tile holds the tree");
    let leaf = &hashes[index as usize];
    assert_eq!(merkle::verify_inclusion(leaf, index, size, &proof, &root), Ok(()));
    assert!(size == 1 || merkle::verify_inclusion(leaf, index, size, &proof[1..], &root).is_err());
}
