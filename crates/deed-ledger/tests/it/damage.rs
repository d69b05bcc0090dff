//! Damage is refused or reported with its place, never healed in silence.

use std::{fs, path::Path};

use deed_ledger::{Ledger, OpenError, Options};

use crate::support::{append, observations, open};

fn filled(dir: &Path) {
    let ledger = open(dir);
    append(&ledger, &observations(0, 50));
    append(&ledger, &observations(50, 50));
    append(&ledger, &observations(100, 50));
    ledger.close().expect("closed");
}

fn journal(dir: &Path) -> std::path::PathBuf {
    // The file in use is the one with a frame in it.
    fs::read_dir(dir.join("journal"))
        .expect("listed")
        .map(|entry| entry.expect("read").path())
        .find(|path| fs::read(path).expect("read")[4096..4100] == *b"DFRM")
        .expect("a journal with frames")
}

fn reopen(dir: &Path) -> Result<u64, OpenError> {
    Ledger::open(dir, Options { journal_file_bytes: 16 << 20, ..Options::default() })
        .map(|ledger| ledger.size())
}

#[test]
fn a_flipped_bit_in_the_journal_is_named() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    let path = journal(dir.path());
    let good = fs::read(&path).expect("read");
    // First frame, its header, second frame, last frame.
    let frames: Vec<usize> = good
        .windows(4)
        .enumerate()
        .filter(|(at, w)| at % 8 == 0 && *w == b"DFRM")
        .map(|(at, _)| at)
        .collect();
    assert_eq!(frames.len(), 3);
    for at in [frames[0] + 9, frames[0] + 200, frames[1] + 300, frames[2] + 30, frames[2] + 500] {
        let mut bad = good.clone();
        bad[at] ^= 4;
        fs::write(&path, &bad).expect("written");
        let error = reopen(dir.path()).expect_err("damage goes unnoticed");
        let text = error.to_string();
        assert!(text.contains("journal") || text.contains("rolled back"), "byte {at}: {text}");
    }
    fs::write(&path, &good).expect("written");
    assert_eq!(reopen(dir.path()).expect("good again"), 150);
}

#[test]
fn a_truncated_or_emptied_journal_is_a_rollback() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    let path = journal(dir.path());
    let good = fs::read(&path).expect("read");
    for length in [0, 28, 4096, 6000, 4096 + 20_000] {
        fs::write(&path, &good[..length]).expect("written");
        let error = reopen(dir.path()).expect_err("lost leaves go unnoticed");
        assert!(matches!(error, OpenError::RolledBack { signed: 150, .. }), "{length}: {error}");
    }
    fs::remove_file(&path).expect("removed");
    assert!(matches!(reopen(dir.path()), Err(OpenError::RolledBack { have: 0, signed: 150 })));
}

#[test]
fn a_changed_checkpoint_is_refused() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    let path = dir.path().join("log/checkpoint");
    let good = fs::read_to_string(&path).expect("read");
    fs::write(&path, good.replacen("\n150\n", "\n149\n", 1)).expect("written");
    assert!(reopen(dir.path()).expect_err("refused").to_string().contains("does not verify"));
    fs::write(&path, "").expect("written");
    reopen(dir.path()).expect_err("refused");
    fs::write(&path, good).expect("written");
    reopen(dir.path()).expect("good again");
}

#[test]
fn a_deleted_store_takes_no_more_records() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(&ledger, &observations(0, 5));
    // A file may be made in it while it is being removed.
    while fs::remove_dir_all(dir.path()).is_err() {}
    let error = ledger
        .append(observations(5, 1).as_bytes(), &crate::support::sender())
        .expect_err("nobody could find it again");
    assert!(error.to_string().contains("recorder unavailable"), "{error}");
    assert!(!ledger.health().ok);
}

#[test]
fn old_frames_of_a_recycled_file_are_not_taken_for_new_ones() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    // A file that is used again, its header renewed, its old frames still behind it.
    let path = journal(dir.path());
    let mut bytes = fs::read(&path).expect("read");
    bytes[8..16].copy_from_slice(&99_u64.to_le_bytes());
    bytes[16..24].copy_from_slice(&150_u64.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..24]);
    bytes[24..28].copy_from_slice(&crc.to_le_bytes());
    fs::write(dir.path().join("journal/0099.journal"), &bytes).expect("written");
    assert_eq!(reopen(dir.path()).expect("opens"), 150);
}
