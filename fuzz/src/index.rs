//! Runs of the look-up index.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use deed_ledger::{
    fuzzing,
    store::{MemoryStore, Store},
};

use crate::files::{put, u32_at, u64_at};

const HEADER: usize = 64;
const HASH: u64 = (1 << 48) - 1;

/// A run, after a byte that says whether (1) its checksums are put right.
pub fn index(data: &[u8]) {
    let Some((&mode, run)) = data.split_first() else { return };
    let mut bytes = run.to_vec();
    if mode & 1 != 0 {
        repair(&mut bytes);
    }
    let packs = u64_at(&bytes, 8)..u64_at(&bytes, 16);
    let store = Arc::new(MemoryStore::default());
    let path = path_of(&packs);
    store.replace(&path, &bytes).expect("stored");
    let hash = u64_at(&bytes, HEADER) & HASH;
    let found = fuzzing::look_up(&*store, &path, hash);
    let Ok(entries) = fuzzing::run(&*store, &path) else { return };

    assert!(entries.is_sorted_by(|a, b| a < b), "entries rise");
    let leaves = (packs.end - packs.start).saturating_mul(65_536);
    assert!(entries.iter().all(|(hash, leaf)| *hash <= HASH && u64::from(*leaf) < leaves));
    let expected: Vec<u32> = entries.iter().filter(|entry| entry.0 == hash).map(|entry| entry.1).collect();
    assert_eq!(found.expect("a run that reads whole answers"), expected);
    // Written again, the same is read.
    store.replace(&path, &fuzzing::encode_run(packs.clone(), &entries)).expect("stored");
    assert_eq!(fuzzing::run(&*store, &path).expect("what is written can be read"), entries);
    if packs.end - packs.start == 1 {
        merge(&bytes, &entries);
    }
}

/// Sixteen such runs side by side, made one.
fn merge(bytes: &[u8], entries: &[(u64, u32)]) {
    let store = Arc::new(MemoryStore::default());
    let mut expected = BTreeSet::new();
    for pack in 0..16_u64 {
        let mut bytes = bytes.to_vec();
        put(&mut bytes, 8, &pack.to_le_bytes());
        put(&mut bytes, 16, &(pack + 1).to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        put(&mut bytes, 60, &crc.to_le_bytes());
        store.replace(&path_of(&(pack..pack + 1)), &bytes).expect("stored");
        expected.extend(entries.iter().map(|(hash, leaf)| (*hash, pack as u32 * 65_536 + leaf)));
    }
    fuzzing::merge_runs(store.clone(), 16).expect("runs that read whole merge");
    let merged = fuzzing::run(&*store, &path_of(&(0..16))).expect("a merged run");
    assert!(merged.into_iter().eq(expected), "a merged run holds what its parts held");
}

fn path_of(packs: &Range<u64>) -> String {
    format!("index/{:06}-{:06}.run", packs.start, packs.end.wrapping_sub(1))
}

/// Puts the checksums of header, directory, buckets and filter right, where they are.
fn repair(bytes: &mut [u8]) {
    put(bytes, 0, fuzzing::RUN);
    let directory = u64_at(bytes, 48) as usize;
    let buckets = 1_usize << u32_at(bytes, 40).min(8);
    for bucket in 0..buckets {
        let Some(entry) = directory.checked_add(bucket * 8).filter(|at| *at < bytes.len()) else { break };
        let (from, to) = (u32_at(bytes, entry) as usize, u32_at(bytes, entry + 8) as usize);
        if let Some(bucket) = bytes.get(from..to) {
            let crc = crc32c::crc32c(bucket);
            put(bytes, entry + 4, &crc.to_le_bytes());
        }
    }
    let (table, filter) = (directory.saturating_add(buckets * 8 + 4), bytes.len().saturating_sub(4));
    for (from, to) in [(directory, table), (table.saturating_add(4), filter)] {
        if let Some(part) = bytes.get(from..to) {
            let crc = crc32c::crc32c(part);
            put(bytes, to, &crc.to_le_bytes());
        }
    }
    if let Some(header) = bytes.get(..60) {
        let crc = crc32c::crc32c(header);
        put(bytes, 60, &crc.to_le_bytes());
    }
}
