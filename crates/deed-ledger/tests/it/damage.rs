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
    assert!(matches!(reopen(dir.path()), Err(OpenError::RolledBack { have: 0, signed: 150, .. })));
}

#[test]
fn leaves_that_were_signed_and_cannot_be_read_are_named_with_their_place() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    let path = journal(dir.path());
    let mut bytes = fs::read(&path).expect("read");
    let last = memchr_last(&bytes, b"DFRM");
    bytes[last + 500] ^= 4;
    fs::write(&path, &bytes).expect("written");
    let refused = reopen(dir.path()).expect_err("signed leaves are gone");
    assert!(refused.is_violation() && !refused.is_missing(), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("100 leaves") && said.contains(&format!("byte {last} of `journal/")), "{said}");
    assert!(fs::read(&path).expect("read") == bytes, "what is left of them was written over");
}

fn memchr_last(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).rposition(|window| window == what).expect("there")
}

/// What no checkpoint covers may be a frame that was cut short. The next goes where it began.
#[test]
fn a_frame_cut_short_is_written_over_and_nothing_of_it_comes_back() {
    let dir = tempfile::tempdir().expect("folder");
    filled(dir.path());
    let checkpoint = dir.path().join("log/checkpoint");
    let signed = fs::read(&checkpoint).expect("read");
    let ledger = open(dir.path());
    append(&ledger, &observations(150, 40));
    ledger.close().expect("closed");
    let path = journal(dir.path());
    let mut bytes = fs::read(&path).expect("read");
    let last = memchr_last(&bytes, b"DFRM");
    bytes[last + 9_000] ^= 1;
    fs::write(&path, &bytes).expect("written");
    fs::write(&checkpoint, signed).expect("written");

    // Who only looks changes nothing.
    assert_eq!(reopen(dir.path()).expect("opens"), 150);
    assert!(fs::read(&path).expect("read") == bytes, "changed by a look");
    let ledger = open(dir.path());
    assert_eq!(append(&ledger, &observations(500, 1))[0].index, 150);
    ledger.close().expect("closed");
    let now = fs::read(&path).expect("read");
    let next = memchr_last(&now, b"DFRM");
    assert_eq!(next, last, "it goes on in the same file");
    let end = next + 40 + u32::from_le_bytes(now[next + 4..next + 8].try_into().expect("four")) as usize;
    assert!(now[end..].iter().all(|byte| *byte == 0), "something is left behind it");
    assert_eq!(reopen(dir.path()).expect("opens"), 151);
    assert_eq!(fs::read_dir(dir.path().join("journal")).expect("listed").count(), 1);
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
fn a_store_that_would_not_open_again_takes_no_more_records() {
    for folder in ["keys", "log"] {
        let dir = tempfile::tempdir().expect("folder");
        let ledger = open(dir.path());
        append(&ledger, &observations(0, 5));
        let (kept, aside) = (dir.path().join(folder), dir.path().join("aside"));
        fs::rename(&kept, &aside).expect("moved");
        // Another one of its name is not it.
        for is_made_anew in [false, true] {
            if is_made_anew {
                fs::create_dir_all(&kept).expect("made");
            }
            let error = ledger
                .append(observations(5, 1).as_bytes(), &crate::support::sender())
                .expect_err("nothing is recorded without it");
            let said = format!("`{}` is not the folder that was opened any more", kept.display());
            assert!(error.to_string().contains(&said), "{error}");
            let health = ledger.health();
            assert!(
                health.checks.iter().any(|check| !check.ok && check.detail.contains(&said)),
                "{health:?}"
            );
        }
        fs::remove_dir_all(&kept).expect("removed");
        fs::rename(&aside, &kept).expect("moved back");
        append(&ledger, &observations(5, 1));
        drop(ledger);
        assert_eq!(reopen(dir.path()).expect("opens"), 6, "{folder}");
    }
}

#[test]
fn a_store_that_was_moved_away_does_not_begin_anew_in_its_old_place() {
    let dir = tempfile::tempdir().expect("folder");
    let (store, aside) = (dir.path().join("store"), dir.path().join("aside"));
    let ledger = open(&store);
    append(&ledger, &observations(0, 5));
    fs::rename(&store, &aside).expect("moved");
    // What is to be packed and signed before the end has no place.
    drop(ledger);
    assert!(!store.exists(), "something was written where the store was");
    fs::rename(&aside, &store).expect("moved back");
    assert_eq!(reopen(&store).expect("opens"), 5);
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
