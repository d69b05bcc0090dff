//! Paths, bundles, and trees read from tiles.

use std::collections::BTreeSet;

use deed_seal::hash::Hash;
use deed_seal::merkle::{self, HashReader as _};
use deed_seal::tile::{self, *};
use proptest::prelude::*;

use crate::support::*;

#[test]
fn paths_print_and_parse() {
    let hashes = |level, index, width| TilePath::Hashes { level, index, width };
    let entries = |index, width| TilePath::Entries { index, width };
    for (path, text) in [
        (hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (hashes(0, 1_234, 5), "tile/0/x001/234.p/5"),
        (hashes(1, 0, 17), "tile/1/000.p/17"),
        (hashes(63, 999, 255), "tile/63/999.p/255"),
        (hashes(0, 1_000, 256), "tile/0/x001/000"),
        (hashes(0, u64::MAX, 256), "tile/0/x018/x446/x744/x073/x709/x551/615"),
        (entries(0, 256), "tile/entries/000"),
        (entries(1_000_000, 1), "tile/entries/x001/x000/000.p/1"),
    ] {
        assert_eq!(path.to_string(), text);
        assert_eq!(text.parse(), Ok(path));
    }
    for bad in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/64/000",
        "tile/+1/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/x00/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/+01",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/05",
        "tile/0/000.p/+5",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/000 ",
        "tile/Entries/000",
        "tile/0/x18/x446/x744/x073/x709/x551/616",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "checkpoint",
        "tile/0/xx01/000",
        "tile/0/0x1",
        "tile/0/٠٠٠",
        "tile/0/000.p/5.p/5",
    ] {
        let error = bad.parse::<TilePath>().unwrap_err().to_string();
        assert!(error.contains("is not the path"), "{bad}: {error}");
    }
}

/// The examples of C2SP tlog-tiles.
#[test]
fn widths_are_as_specified() {
    let paths: Vec<_> = TilePath::all(70_000).collect();
    let count = |level| {
        paths.iter().filter(|path| matches!(path, TilePath::Hashes { level: l, .. } if *l == level)).count()
    };
    assert_eq!([count(0), count(1), count(2), count(3)], [274, 2, 1, 0]);
    let partial: Vec<_> = paths.iter().filter(|path| path.is_partial()).map(TilePath::to_string).collect();
    assert_eq!(partial, ["tile/entries/273.p/112", "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    let of_256: Vec<_> = TilePath::all(256).map(|path| path.to_string()).collect();
    assert_eq!(of_256, ["tile/entries/000", "tile/0/000", "tile/1/000.p/1"]);
    assert_eq!(TilePath::all(0).count(), 0);

    assert_eq!(tile::width(0, u64::MAX, u64::MAX), None);
    assert_eq!(tile::width(8, 0, u64::MAX), None);
    assert_eq!(tile::width(7, 0, u64::MAX), Some(255));
    let path = TilePath::hashes(1, 1, 70_000).unwrap();
    assert_eq!(path.full().to_string(), "tile/1/001");
    assert_eq!(path.with_width(3).to_string(), "tile/1/001.p/3");
    assert_eq!(path.width(), 17);
}

#[test]
fn bundles_keep_every_byte() {
    let long = vec![7; 65_535];
    let entries: [&[u8]; 4] = [b"one", b"", &long, b"\0\xff"];
    let bundle = bundle_encode(entries).unwrap();
    assert_eq!(bundle.len(), 4 * 2 + 3 + 65_535 + 2);
    assert_eq!(bundle[..5], *b"\0\x03one");
    assert_eq!(bundle_entries(&bundle).unwrap(), entries);
    assert_eq!(bundle_entries(&[]).unwrap(), [b""; 0]);

    let error = bundle_encode([&b"a"[..], &vec![0; 65_536]]).unwrap_err();
    assert_eq!(error.to_string(), "entry 1 has 65536 bytes, at most 65535 fit in a log entry");
}

#[test]
fn broken_bundles_name_the_place() {
    let error = |bytes: &[u8]| bundle_entries(bytes).unwrap_err().to_string();
    assert_eq!(error(b"\0"), "entry 0, at byte 0, has its length cut off");
    assert_eq!(error(b"\0\x01a\0"), "entry 1, at byte 3, has its length cut off");
    assert_eq!(error(b"\0\x01a\0\x05bc"), "entry 1, at byte 3, should have 5 bytes, 2 are left");
    assert_eq!(error(&[0; 257 * 2]), "entry 256, at byte 512, is one more than the 256 that a bundle holds");
    assert_eq!(bundle_entries(&[0; 256 * 2]).unwrap().len(), 256);
}

#[test]
fn tile_hashes_are_whole() {
    assert_eq!(tile_hashes(&[3; 64]).unwrap(), [Hash([3; 32]); 2]);
    assert_eq!(tile_hashes(&[3; 8192]).unwrap().len(), 256);
    for length in [0, 1, 31, 33, 8191, 8193, 8224] {
        tile_hashes(&vec![3; length]).unwrap_err();
    }
    for width in [1, 2, 64, 256, 1024] {
        let leaves = leaves(width);
        assert_eq!(tile_root(&leaves), naive_root(&leaves));
    }
}

#[test]
fn trees_are_read_from_tiles() {
    for size in [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000] {
        let tree = Tree::new(leaves(size));
        let size = size as u64;
        let asked = std::cell::RefCell::new(Vec::new());
        let source = |level, index, width| {
            asked.borrow_mut().push(TilePath::Hashes { level, index, width });
            Ok::<_, std::convert::Infallible>(tree.tile(level, index, width))
        };
        assert_eq!(
            merkle::root_of(size, TileTree::new(size, source)).unwrap(),
            merkle::root_of(size, &tree).unwrap()
        );
        for index in
            [0, 1, size / 3, size / 2, size.saturating_sub(257), size - 1].into_iter().filter(|i| *i < size)
        {
            let from_tiles = TileTree::new(size, source);
            let proof = merkle::inclusion_proof(index, size, &from_tiles).unwrap();
            assert_eq!(proof, merkle::inclusion_proof(index, size, &tree).unwrap());
            let proof = merkle::consistency_proof(index, size, &from_tiles).unwrap();
            assert_eq!(proof, merkle::consistency_proof(index, size, &tree).unwrap());
        }
        // Only tiles that a tree of this size has were asked for.
        let all: BTreeSet<_> = TilePath::all(size).collect();
        assert!(asked.borrow().iter().all(|path| all.contains(path)));
    }
}

#[test]
fn tile_trees_refuse_what_is_not_there() {
    let tree = Tree::new(leaves(300));
    let read = |level, index| {
        TileTree::new(300, |level, index, width| Ok::<_, String>(tree.tile(level, index, width)))
            .read(level, index)
    };
    assert_eq!(read(8, 0).unwrap(), tree.read(8, 0).unwrap());
    for (level, index) in [(0, 300), (9, 0), (8, 1), (3, 37), (70, 0), (0, u64::MAX), (255, u64::MAX)] {
        assert!(matches!(read(level, index), Err(TileTreeError::Outside { size: 300 })), "{level} {index}");
    }
    let short = TileTree::new(300, |_, _, _| Ok::<_, String>(vec![0; 40]));
    assert_eq!(short.read(0, 0).unwrap_err().to_string(), "`tile/0/000` has 40 bytes, not 32 for each hash");
    let broken = TileTree::new(300, |_, _, _| Err::<Vec<u8>, _>("disk on fire".to_owned()));
    assert_eq!(broken.read(0, 0).unwrap_err().to_string(), "disk on fire");
}

proptest! {
    #[test]
    fn any_path_survives(level in 0_u8..=63, index: u64, width in 1_u16..=256, entries: bool) {
        let path = if entries { TilePath::Entries { index, width } } else { TilePath::Hashes { level, index, width } };
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn any_bundle_survives(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..=256)) {
        let bundle = bundle_encode(entries.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(bundle_entries(&bundle).unwrap(), entries);
    }
}
