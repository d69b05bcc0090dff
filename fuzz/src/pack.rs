//! Packs, and the disclosures beside them.

use deed_ledger::fuzzing;
use deed_seal::{hash::Hash, tile::tile_root};

use crate::files::{Holed, put, u32_at, u64_at};

const HEADER: usize = 64;
const BUNDLES: usize = 256;
const TABLE: usize = BUNDLES * 12 + 8;
const ENDING: usize = TABLE + 48;
/// 256 tiles of leaf hashes and the one above, all zeros here.
const TILES: u64 = 257 * 8192;
/// More than a few bundles tell nothing new, and each may unpack to 17 MB.
const BUNDLES_READ: usize = 4;

/// A pack without its tiles: header, packed bundles, offset table, trailer. The first byte says what is
/// put right: 1 the fixed parts and their checksum, 2 the checksums of bundles, 4 the offset of the tiles.
pub fn pack(data: &[u8]) {
    let Some((&mode, bytes)) = data.split_first() else { return };
    let mut head = bytes.to_vec();
    let mut tail = head.split_off(head.len().saturating_sub(ENDING));
    if tail.len() == ENDING && head.len() >= HEADER {
        repair(mode, &mut head, &mut tail);
    }
    let store = Holed { path: "packs/000000.pack".to_owned(), head, zeros: TILES, tail };
    let Ok(bundles) = fuzzing::pack(&store, 0, BUNDLES_READ) else { return };
    assert!(mode & 1 == 1, "a checksum that nobody put right holds");
    for leaves in bundles.into_iter().flatten() {
        assert!(leaves.len() <= 256 && leaves.iter().all(|leaf| leaf.len() <= 65_535));
    }
}

fn repair(mode: u8, head: &mut [u8], tail: &mut [u8]) {
    if mode & 4 != 0 {
        put(tail, BUNDLES * 12, &(head.len() as u64).to_le_bytes());
    }
    if mode & 2 != 0 {
        for at in 0..BUNDLES_READ {
            let (from, to) = (u64_at(tail, at * 12) as usize, u64_at(tail, (at + 1) * 12) as usize);
            if let Some(bundle) = head.get(from..to) {
                put(tail, at * 12 + 8, &crc32c::crc32c(bundle).to_le_bytes());
            }
        }
    }
    if mode & 1 != 0 {
        put(head, 0, b"deedpack");
        put(head, 8, &[1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        put(head, 56, &[0; 8]);
        put(tail, TABLE, &tile_root(&[Hash([0; 32]); BUNDLES]).0);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&tail[..TABLE]), &head[..HEADER]);
        put(tail, TABLE + 40, &crc.to_le_bytes());
        put(tail, TABLE + 44, b"pack");
    }
}

const LEAVES: usize = 65_536;
const TABLE_OF_BLOBS: usize = LEAVES * 4;

/// Disclosures at rest: the first byte as for a pack (1: header and checksum are put right), how many
/// ends follow, these ends, then header, names and blobs. The other leaves have no disclosures.
pub fn vault(data: &[u8]) {
    let [mode, ends, rest @ ..] = data else { return };
    let (ends, rest) = rest.split_at(rest.len().min(usize::from(*ends) * 4));
    let (header, behind) = rest.split_at(rest.len().min(32));
    let mut head = header.to_vec();
    head.extend_from_slice(ends.as_chunks::<4>().0.as_flattened());
    let last = ends.as_chunks::<4>().0.last().copied().unwrap_or_default();
    if head.len() >= 32 {
        while head.len() < 32 + TABLE_OF_BLOBS {
            head.extend_from_slice(&last);
        }
    }
    head.extend_from_slice(behind);
    if mode & 1 != 0 {
        put(&mut head, 0, b"deeddisc");
        put(&mut head, 12, &[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let named = u32_at(&head, 8) as usize;
        if let Some(tables) = head.get(32..32 + TABLE_OF_BLOBS + named) {
            let crc = crc32c::crc32c(tables);
            put(&mut head, 28, &crc.to_le_bytes());
        }
    }
    let size = head.len();
    let store = Holed { path: "disclosures/000000.disclosures".to_owned(), head, zeros: 0, tail: Vec::new() };
    if let Ok((names, blobs)) = fuzzing::disclosures(&store, 0, 0..3) {
        let sum: usize =
            names.iter().map(|(_, name)| 20 + name.len()).chain(blobs.iter().map(Vec::len)).sum();
        assert!(sum <= size, "what is read stands in the file");
    }
}
