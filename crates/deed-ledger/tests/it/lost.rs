//! A store that was used and lacks a part is refused as it is: nothing is made in its place.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use deed_ledger::{
    Ledger, OpenError, Options,
    verify::{VerifyOptions, verify_store},
};

use crate::support::{append, observations, open};

const PARTS: [&str; 4] = ["keys/origin", "keys/ed25519.seed", "keys/ml-dsa-44.seed", "keys/keys.redb"];

fn filled() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(&ledger, &observations(0, 20));
    append(&ledger, &observations(20, 9));
    ledger.close().expect("closed");
    dir
}

/// Every file and folder, with its bytes; but who holds the store is written whatever comes of it.
fn all(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("listed") {
        let path = entry.expect("read").path();
        if path.is_dir() {
            found.extend(all(&path));
            found.insert(path, None);
        } else if !path.ends_with("lock") {
            let bytes = fs::read(&path).expect("read");
            found.insert(path, Some(bytes));
        }
    }
    found
}

/// The store is refused for what is missing, twice, and left as it is.
#[track_caller]
fn refused(dir: &Path, says: &str) {
    let before = all(dir);
    for _ in 0..2 {
        let error = Ledger::open(dir, Options::default()).map(|_| ()).expect_err("healed in silence");
        let said = error.to_string();
        assert!(error.is_missing() && !error.is_violation(), "{error:?}");
        assert!(said.contains(says) && said.contains("restore") && said.contains("backup"), "{said}");
        let now = all(dir);
        let changed: Vec<_> = now.iter().filter(|(path, bytes)| before.get(*path) != Some(*bytes)).collect();
        assert!(
            changed.is_empty() && now.len() == before.len(),
            "written before it was refused: {changed:?}"
        );
    }
    let report = verify_store(dir, &VerifyOptions::default()).expect("a store");
    // A copy of the evidence without any key still proves itself.
    assert!(report.verified() != Some(true) || !dir.join("keys").is_dir(), "it passes for whole");
    assert!(all(dir) == before, "written by looking");
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("removed");
}

#[test]
fn a_store_without_one_of_its_keys_is_refused_until_it_is_back() {
    let dir = filled();
    for part in PARTS {
        let path = dir.path().join(part);
        let good = fs::read(&path).expect("read");
        remove(&path);
        refused(dir.path(), part);
        fs::write(&path, good).expect("written");
    }
    let ledger = open(dir.path());
    assert_eq!((ledger.size(), ledger.names(3).expect("names").len()), (29, 2));
}

#[test]
fn a_store_without_its_checkpoint_is_refused() {
    let dir = filled();
    let checkpoint = dir.path().join("log/checkpoint");
    let good = fs::read(&checkpoint).expect("read");
    remove(&checkpoint);
    refused(dir.path(), "log/checkpoint");
    // Nor are leaves dropped that it would have told of.
    let journal = dir.path().join("journal/0000.journal");
    let whole = fs::read(&journal).expect("read");
    let last = whole.windows(4).rposition(|window| window == b"DFRM").expect("a frame");
    let mut bad = whole.clone();
    bad[last + 300] ^= 1;
    fs::write(&journal, bad).expect("written");
    refused(dir.path(), "log/checkpoint");
    fs::write(&journal, whole).expect("written");
    fs::write(&checkpoint, good).expect("written");
    assert_eq!(open(dir.path()).size(), 29);
}

#[test]
fn whatever_else_is_gone_with_it_what_is_left_tells() {
    let cases: &[(&[&str], &str)] = &[
        (&["keys"], "keys/origin"),
        (&["keys", "journal"], "keys/origin"),
        (&["keys", "log"], "log/checkpoint"),
        (&["log", "journal"], "keys/keys.redb"),
        (&["log", "keys/keys.redb"], "log/checkpoint"),
    ];
    for (parts, says) in cases {
        let dir = filled();
        parts.iter().for_each(|part| remove(&dir.path().join(part)));
        refused(dir.path(), says);
    }
}

#[test]
fn a_kept_checkpoint_over_more_than_there_is_tells_of_a_rollback() {
    let dir = filled();
    let image = tempfile::tempdir().expect("folder");
    crate::support::crash_image(dir.path(), image.path());
    let ledger = open(dir.path());
    append(&ledger, &observations(29, 1));
    ledger.close().expect("closed");
    let later = fs::read(dir.path().join("log/checkpoint")).expect("read");
    fs::write(image.path().join("log/checkpoints/00000000000000000030"), later).expect("written");
    let error = Ledger::open(image.path(), Options::default()).map(|_| ()).expect_err("rolled back");
    assert!(matches!(error, OpenError::RolledBack { have: 29, signed: 30, .. }), "{error}");
}

/// The checkpoint over nothing comes before the first record: a store that has none was never used.
#[test]
fn a_store_is_signed_before_anything_is_recorded() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    assert_eq!(ledger.checkpoint().expect("signed").size, 0);
    assert!(dir.path().join("log/checkpoint").exists());
    ledger.close().expect("closed");
    let report = verify_store(dir.path(), &VerifyOptions::default()).expect("a store");
    assert_eq!((report.verified(), report.size), (Some(true), Some(0)), "{:?}", report.problems);
    // Its maker was killed before it came to that, or to less.
    for part in ["log/checkpoint", "keys/ml-dsa-44.seed", "keys/origin", "keys"] {
        remove(&dir.path().join(part));
        if part != "log/checkpoint" {
            remove(&dir.path().join("log/checkpoint"));
        }
        open(dir.path()).close().expect("closed");
    }
    assert_eq!(append(&open(dir.path()), &observations(0, 1))[0].index, 0);
}

/// A bit that is not what it was, in every page of the database of keys: it is named, or is in no use.
#[test]
fn a_damaged_key_database_is_named() {
    let dir = filled();
    let path = dir.path().join("keys/keys.redb");
    let good = fs::read(&path).expect("read");
    let mut named = 0;
    for at in (0..good.len()).step_by(4096).flat_map(|page| [page, page + 2, page + 40]) {
        if good[at - at % 4096..].iter().take(4096).all(|byte| *byte == 0) {
            continue;
        }
        let mut bad = good.clone();
        bad[at] ^= 2;
        fs::write(&path, &bad).expect("written");
        match Ledger::open(dir.path(), Options::default()) {
            Err(error) => {
                assert!(error.is_violation() && error.to_string().contains("keys.redb"), "{at}: {error}");
                assert!(fs::read(&path).expect("read") == bad, "byte {at} was healed");
                named += 1;
            }
            Ok(ledger) => {
                assert_eq!(ledger.names(3).expect("names").len(), 2, "byte {at}");
                ledger.close().expect("closed");
            }
        }
    }
    assert!(named > 3, "{named} pages are in use");
    fs::write(&path, &good).expect("written");
    open(dir.path());
}

/// Records of tenants `names`, one of each.
fn of_tenants(ledger: &Ledger, names: &[&str]) {
    for name in names {
        append(
            ledger,
            &observations(0, 1).replace("{\"kind\"", &format!("{{\"tenant\":\"{name}\",\"kind\"")),
        );
    }
}

/// Keys that are older than a tenant would make everybody in it somebody else.
#[test]
fn keys_of_an_earlier_time_are_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    of_tenants(&ledger, &["acme"]);
    ledger.close().expect("closed");
    let keys = dir.path().join("keys/keys.redb");
    let earlier = fs::read(&keys).expect("read");
    let ledger = open(dir.path());
    of_tenants(&ledger, &["acme", "beta"]);
    ledger.close().expect("closed");
    let now = fs::read(&keys).expect("read");

    fs::write(&keys, &earlier).expect("written");
    refused(dir.path(), "lacks the key of tenant `beta`");
    fs::write(&keys, &now).expect("written");
    of_tenants(&open(dir.path()), &["beta"]);
}

/// Keys that are older than a person lack theirs: what was sealed with it stays closed, and nobody would be told.
#[test]
fn keys_older_than_a_person_are_refused() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(&ledger, &observations(0, 1));
    ledger.close().expect("closed");
    let (keys, number) = (dir.path().join("keys/keys.redb"), dir.path().join("log/data-keys"));
    let earlier = fs::read(&keys).expect("read");
    let before = fs::read_to_string(&number).expect("there");
    let ledger = open(dir.path());
    append(&ledger, &observations(1, 1));
    ledger.close().expect("closed");
    let (now, noted) = (fs::read(&keys).expect("read"), fs::read_to_string(&number).expect("there"));
    assert_ne!(noted, before);

    fs::write(&keys, &earlier).expect("written");
    refused(dir.path(), "it is of an earlier time");
    let report = verify_store(dir.path(), &VerifyOptions::default()).expect("a store");
    assert_eq!(report.verified(), None);
    assert!(
        report.problems.iter().any(|problem| problem.place == "keys/keys.redb"),
        "{:#?}",
        report.problems
    );
    // The newest keys open it; so does giving up what the others had sealed.
    fs::write(&keys, &now).expect("written");
    open(dir.path()).close().expect("closed");
    fs::write(&keys, &earlier).expect("written");
    fs::remove_file(&number).expect("removed");
    open(dir.path()).close().expect("closed");
    assert_eq!(fs::read_to_string(&number).expect("made"), before);
    for bad in ["", &before[1..], &before[..before.len() - 1], &before.replace('\n', "\n1")] {
        fs::write(&number, bad).expect("written");
        let error = Ledger::open(dir.path(), Options::default()).map(|_| ()).expect_err("no number");
        assert!(error.is_violation() && error.to_string().contains("log/data-keys"), "{error}");
    }
}

/// Where somebody accepts that data keys are lost, what was sealed with them stays closed, and nothing else comes of it: also
/// not once those whose keys they were act again.
#[test]
fn lost_data_keys_only_close_what_they_sealed() {
    let dir = tempfile::tempdir().expect("folder");
    let by = |ledger: &Ledger, who: &str| {
        let record = r#"{"kind":"observation","time":"2026-11-20T10:00:00Z","executor":{"key":"corp:WHO","type":"human","name":"WHO"},"operation":"op","disclose":{"arguments":{"by":"WHO"}}}"#;
        append(ledger, &record.replace("WHO", who));
    };
    let (keys, number) = (dir.path().join("keys/keys.redb"), dir.path().join("log/data-keys"));
    let ledger = open(dir.path());
    by(&ledger, "anna");
    ledger.close().expect("closed");
    let earlier = fs::read(&keys).expect("read");
    // Twice: the second time the keys made after the first loss are lost as well.
    for lost in 1..=2 {
        let ledger = open(dir.path());
        by(&ledger, "bert");
        ledger.close().expect("closed");
        fs::write(&keys, &earlier).expect("written");
        refused(dir.path(), "it is of an earlier time");
        fs::remove_file(&number).expect("removed");
        let ledger = open(dir.path());
        by(&ledger, "bert");
        by(&ledger, "anna");
        for leaf in 0..ledger.size() {
            let opened = ledger.disclosures(leaf);
            let is_lost = (1..=3 * lost - 2).contains(&leaf);
            assert_eq!(opened.is_err(), is_lost, "leaf {leaf} after loss {lost}: {opened:?}");
        }
        ledger.close().expect("closed");
        let report = verify_store(dir.path(), &VerifyOptions::default()).expect("a store");
        assert_eq!(report.problems, [], "after loss {lost}");
    }
    let epochs = dir.path().join("log/key-epochs");
    let good = fs::read_to_string(&epochs).expect("there");
    for bad in ["", &good[1..], &good[..good.len() - 1], &good.replace('\n', "\n1")] {
        fs::write(&epochs, bad).expect("written");
        let error = Ledger::open(dir.path(), Options::default()).map(|_| ()).expect_err("no epochs");
        assert!(error.is_violation() && error.to_string().contains("log/key-epochs"), "{error}");
        let report = verify_store(dir.path(), &VerifyOptions::default()).expect("a store");
        assert_eq!(report.verified(), Some(false));
        assert!(
            report.problems.iter().all(|problem| problem.place == "log/key-epochs"),
            "{:#?}",
            report.problems
        );
    }
}

#[test]
fn keys_of_another_store_are_refused() {
    let dir = filled();
    let other = filled();
    let keys = dir.path().join("keys/keys.redb");
    let own = fs::read(&keys).expect("read");
    fs::copy(other.path().join("keys/keys.redb"), &keys).expect("copied");
    let error = Ledger::open(dir.path(), Options::default()).map(|_| ()).expect_err("taken for its own");
    assert!(error.is_violation() && error.to_string().contains("another key of tenant `default`"), "{error}");
    let report = verify_store(dir.path(), &VerifyOptions::default()).expect("a store");
    assert_eq!(report.verified(), Some(false));
    assert!(
        report.problems.iter().any(|problem| problem.place == "keys/keys.redb"),
        "{:#?}",
        report.problems
    );
    fs::write(&keys, &own).expect("written");
    open(dir.path());
}

/// A stop between making the key of a tenant and listing it, or a store from before there was a list.
#[test]
fn the_list_of_tenants_is_made_up_for() {
    let dir = filled();
    let list = dir.path().join("log/tenants");
    let good = fs::read(&list).expect("there");
    fs::remove_file(&list).expect("removed");
    open(dir.path()).close().expect("closed");
    assert_eq!(fs::read(&list).expect("made"), good);
    for bad in [&good[1..], &good[..good.len() - 1], &[good.as_slice(), b"\n"].concat()] {
        fs::write(&list, bad).expect("written");
        let error = Ledger::open(dir.path(), Options::default()).map(|_| ()).expect_err("no list");
        assert!(error.is_violation() && error.to_string().contains("log/tenants"), "{error}");
    }
}
