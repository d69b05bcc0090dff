//! What is left after a stop of any kind.

use std::time::Duration;

use deed_ledger::{Key, Ledger, OpenError, Options, PACK_LEAVES};
use deed_record::TraceId;
use deed_seal::{checkpoint::Checkpoint, note::VerifierKey};

use crate::support::{append, crash_image, observations, open};

#[test]
fn a_crash_loses_nothing_acknowledged() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let mut acknowledged = Vec::new();
    for round in 0..20 {
        acknowledged.extend(append(&ledger, &observations(round * 50, 50)));
        let image = tempfile::tempdir().expect("folder");
        crash_image(dir.path(), image.path());
        let again = open(image.path());
        assert_eq!(again.size(), acknowledged.len() as u64, "round {round}");
        for receipt in acknowledged.iter().step_by(37) {
            assert_eq!(again.lookup(&Key::Id(receipt.id), 1, None).expect("looked"), [receipt.index]);
            assert_eq!(
                again.leaf(receipt.index).expect("there").leaf,
                ledger.leaf(receipt.index).expect("there").leaf
            );
        }
        // And it goes on from there.
        assert_eq!(append(&again, &observations(9000, 1))[0].index, acknowledged.len() as u64);
    }
}

/// A command opens the store, appends a record and lets go, again and again.
#[test]
fn many_short_processes_need_one_small_journal_file() {
    let dir = tempfile::tempdir().expect("folder");
    for round in 0..22 {
        let ledger = Ledger::open(dir.path(), Options::default()).expect("opens");
        assert_eq!(append(&ledger, &observations(round, 1))[0].index, round);
        ledger.close().expect("closed");
    }
    let files = std::fs::read_dir(dir.path().join("journal")).expect("listed");
    let sizes: Vec<u64> = files.map(|file| file.expect("read").metadata().expect("measured").len()).collect();
    assert_eq!(sizes, [4 << 20]);
    let report = deed_ledger::verify::verify_store(dir.path(), &Default::default()).expect("a store");
    assert_eq!((report.verified(), report.checked.leaves), (Some(true), 22), "{:?}", report.problems);
}

/// Across the ends of files, the small first ones and those that are used again.
#[test]
fn processes_go_on_across_the_ends_of_files() {
    let dir = tempfile::tempdir().expect("folder");
    let mut size = 0;
    for round in 0..26 {
        let ledger = open(dir.path());
        assert_eq!(ledger.size(), size, "round {round}");
        append(&ledger, &observations(size, 3000));
        size += 3000;
        while ledger.snapshot().packed() + PACK_LEAVES <= size {
            std::thread::sleep(Duration::from_millis(20));
        }
        ledger.close().expect("closed");
    }
    let files = std::fs::read_dir(dir.path().join("journal")).expect("listed").count();
    // Of 65,536 leaves at most, the one in use and two spare ones.
    assert!(files <= 9, "{files} files");
    let report = deed_ledger::verify::verify_store(dir.path(), &Default::default()).expect("a store");
    assert_eq!((report.verified(), report.checked.leaves), (Some(true), size), "{:?}", report.problems);
}

#[test]
fn packs_are_written_and_everything_is_found_across_them() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let total = PACK_LEAVES + 300;
    let mut first = None;
    for from in (0..total).step_by(4096) {
        let receipts = append(&ledger, &observations(from, 4096.min(total - from)));
        first.get_or_insert(receipts[0].clone());
    }
    assert_eq!(ledger.size(), total);
    let packed = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        ledger.snapshot().packed() == PACK_LEAVES
    });
    assert!(packed, "{:?}", ledger.health());
    let in_memory = ledger.leaf(7).expect("there").leaf;
    let first = first.expect("some");
    assert_eq!(ledger.lookup(&Key::Id(first.id), 1, None).expect("looked"), [0]);
    let mut trace = [0; 16];
    trace[12..].copy_from_slice(&13_000_u32.to_be_bytes());
    assert_eq!(ledger.lookup(&Key::Trace(TraceId(trace)), 10, None).expect("looked").len(), 5);
    let ann = ledger.account("default", "h-3").expect("key").expect("tenant");
    let newest = ledger.lookup(&Key::Initiator(ann), 100, None).expect("looked");
    assert!(
        newest.is_sorted_by(|a, b| a > b)
            && newest.len() == 100
            && newest[0] > PACK_LEAVES
            && newest[99] < PACK_LEAVES,
        "{newest:?}"
    );
    assert_eq!(ledger.disclosures(5).expect("open").len(), 1);
    assert_eq!(ledger.names(5).expect("names").len(), 2);
    ledger.clone().close().expect("closed");
    drop(ledger);

    let again = open(dir.path());
    assert_eq!((again.size(), again.snapshot().packed()), (total, PACK_LEAVES));
    assert_eq!(again.leaf(7).expect("there").leaf, in_memory);
    assert_eq!(again.lookup(&Key::Id(first.id), 1, None).expect("looked"), [0]);
    let signed = again.checkpoint().expect("signed");
    assert_eq!(signed.size, total);
    // The index is derived: without it the store opens just so.
    again.clone().close().expect("closed");
    drop(again);
    std::fs::remove_dir_all(dir.path().join("index")).expect("removed");
    let again = open(dir.path());
    assert_eq!(again.lookup(&Key::Id(first.id), 1, None).expect("looked"), [0]);
    assert_eq!(again.lookup(&Key::Initiator(ann), 100, None).expect("looked"), newest);
}

#[test]
fn checkpoints_verify_with_both_keys_and_follow_each_other() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let keys: Vec<VerifierKey> =
        ledger.verifier_keys().iter().map(|vkey| vkey.parse().expect("a vkey")).collect();
    assert_eq!(keys.len(), 2);
    let mut before: Option<Checkpoint> = None;
    for round in 0..5 {
        let receipts = append(&ledger, &observations(round * 10, 10));
        assert!(ledger.wait_signed(receipts[9].index, Duration::from_secs(1)), "not signed within a second");
        let signed = ledger.checkpoint().expect("signed");
        for key in &keys {
            let (checkpoint, _) =
                Checkpoint::open(signed.note.as_bytes(), std::slice::from_ref(key)).expect("verifies");
            if let Some(before) = &before {
                let proof = ledger.consistency(before.size, checkpoint.size).expect("a proof");
                deed_seal::merkle::verify_consistency(
                    before.size,
                    checkpoint.size,
                    &proof,
                    &before.root,
                    &checkpoint.root,
                )
                .expect("consistent");
            }
            let proof = ledger.inclusion(3, checkpoint.size).expect("a proof");
            let leaf = deed_seal::hash::leaf_hash(&ledger.leaf(3).expect("there").leaf);
            deed_seal::merkle::verify_inclusion(&leaf, 3, checkpoint.size, &proof, &checkpoint.root)
                .expect("included");
            before = Some(checkpoint);
        }
    }
}

#[test]
fn a_store_has_one_holder() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    match Ledger::open(dir.path(), Options::default()) {
        Err(OpenError::Held(holder)) => assert!(holder.contains("process"), "{holder}"),
        other => panic!("two holders: {:?}", other.map(|_| ())),
    }
    ledger.close().expect("closed");
    open(dir.path());
}

#[test]
fn closing_signs_everything_and_refuses_the_rest() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(&ledger, &observations(0, 3));
    ledger.clone().close().expect("closed");
    assert_eq!(ledger.checkpoint().expect("signed").size, 3);
    assert!(ledger.append(observations(3, 1).as_bytes(), &crate::support::sender()).is_err());
}
