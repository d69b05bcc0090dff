//! A store is checked from its files; every kind of damage is found and named.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use deed_ledger::{
    Ledger, Options, PACK_LEAVES,
    verify::{StoreReport, VerifyError, VerifyOptions, verify_store},
};
use deed_seal::verify::{Kept, ProblemKind};

use crate::support::{append, crash_image, observations, open};

const TOTAL: u64 = PACK_LEAVES + 300;

/// A closed store of one pack and a tail, made once.
fn packed() -> &'static Path {
    static STORE: OnceLock<tempfile::TempDir> = OnceLock::new();
    STORE
        .get_or_init(|| {
            let dir = tempfile::tempdir().expect("folder");
            let ledger = open(dir.path());
            for from in (0..TOTAL).step_by(4096) {
                append(&ledger, &observations(from, 4096.min(TOTAL - from)));
            }
            while ledger.snapshot().packed() < PACK_LEAVES {
                std::thread::sleep(Duration::from_millis(20));
            }
            ledger.close().expect("closed");
            dir
        })
        .path()
}

fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("folder");
    crash_image(packed(), dir.path());
    dir
}

fn check(dir: &Path) -> StoreReport {
    verify_store(dir, &VerifyOptions::default()).expect("a store")
}

/// A closed store of `count` leaves.
fn closed(count: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(&ledger, &observations(0, count));
    ledger.close().expect("closed");
    dir
}

#[test]
fn a_good_store_verifies_and_every_file_is_accounted_for() {
    let report = check(packed());
    assert_eq!(report.verified(), Some(true), "{:#?}", report.problems);
    assert_eq!((report.checked.leaves, report.checked.packs, report.checked.disclosures), (TOTAL, 1, TOTAL));
    assert_eq!(report.checked.runs, 1);
    assert!(report.checked.checkpoints >= 2);
    assert_eq!(report.size, Some(TOTAL));
    assert_eq!(report.signed_by.len(), 2, "both signatures: {:?}", report.signed_by);
    assert!(!report.kept_elsewhere);
    let unchecked: Vec<&str> = report.unchecked.iter().map(|u| u.place.as_str()).collect();
    // What stands behind the last frame of a journal file.
    let (journal, others): (Vec<&str>, Vec<&str>) =
        unchecked.into_iter().partition(|place| place.starts_with("journal/"));
    assert!(!journal.is_empty());
    assert_eq!(
        others,
        [
            "keys/ed25519.seed",
            "keys/keys.redb",
            "keys/ml-dsa-44.seed",
            "keys/origin",
            "lock",
            "log/data-keys",
            "log/tenants"
        ]
    );
}

#[test]
fn what_leads_elsewhere_is_no_file_of_a_store() {
    let dir = closed(3);
    let aside = tempfile::tempdir().expect("folder");
    fs::copy(dir.path().join("log/checkpoint"), aside.path().join("kept")).expect("copied");
    for (name, target) in [
        ("packs/000010.pack", "kept"),
        ("log/checkpoints/00000000000000000003", "kept"),
        ("journal/00000000000000000009.journal", "kept"),
        ("index/elsewhere", "nowhere"),
    ] {
        let link = dir.path().join(name);
        std::os::unix::fs::symlink(aside.path().join(target), &link).expect("linked");
        let report = check(dir.path());
        assert_eq!(report.verified(), Some(false), "{name}");
        assert!(
            report.problems.iter().any(|problem| problem.place == name),
            "{name}: {:#?}",
            report.problems
        );
        fs::remove_file(&link).expect("removed");
    }
    assert_eq!(check(dir.path()).verified(), Some(true));
}

#[test]
fn leaves_that_nothing_signed_speaks_for_are_named() {
    let (dir, image) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    let options = Options { checkpoint_interval: Duration::from_secs(3600), ..Options::default() };
    let ledger = Ledger::open(dir.path(), options).expect("opened");
    append(&ledger, &observations(0, 3));
    assert!(ledger.wait_signed(2, Duration::from_secs(60)), "signed at once");
    append(&ledger, &observations(3, 2));
    crash_image(dir.path(), image.path());
    let report = check(image.path());
    assert_eq!((report.verified(), report.size), (Some(true), Some(3)), "{:#?}", report.problems);
    let named =
        report.unchecked.iter().find(|unchecked| unchecked.place == "journal").map(|found| &*found.why);
    assert!(
        named.is_some_and(|why| why.starts_with("leaves 3 to 4 are not under a checkpoint")),
        "{named:?}"
    );
    ledger.close().expect("closed");
}

#[test]
fn a_flipped_bit_in_any_file_of_evidence_is_found_there() {
    let report = |path: &str, at: &dyn Fn(usize) -> usize| {
        let dir = copy();
        let file = dir.path().join(path);
        let mut bytes = fs::read(&file).expect("read");
        let at = at(bytes.len());
        bytes[at] ^= 1;
        fs::write(&file, bytes).expect("written");
        check(dir.path())
    };
    let kept = fs::read_dir(packed().join("log/checkpoints"))
        .expect("listed")
        .next()
        .expect("one")
        .expect("read")
        .file_name();
    let kept = format!("log/checkpoints/{}", kept.to_string_lossy());
    type Place = fn(usize) -> usize;
    let cases: &[(&str, Place)] = &[
        ("packs/000000.pack", |_| 3),
        ("packs/000000.pack", |_| 20),
        ("packs/000000.pack", |_| 5000),
        ("packs/000000.pack", |len| len / 2),
        ("packs/000000.pack", |len| len - 48 - 3080 - 8192 + 77),
        ("packs/000000.pack", |len| len - 48 - 1000),
        ("packs/000000.pack", |len| len - 30),
        ("disclosures/000000.disclosures", |_| 2),
        ("disclosures/000000.disclosures", |_| 3000),
        ("disclosures/000000.disclosures", |len| len / 2),
        ("disclosures/000000.disclosures", |len| len - 1),
        ("index/000000-000000.run", |_| 9),
        ("index/000000-000000.run", |len| len / 2),
        ("index/000000-000000.run", |len| len - 2),
        ("log/checkpoint", |_| 30),
        ("log/checkpoint", |len| len / 2),
        (&kept, |_| 30),
    ];
    for (path, at) in cases {
        let found = report(path, at);
        assert_eq!(found.verified(), Some(false), "{path}: {:#?}", found.problems);
        let named = found.problems.iter().any(|p| p.place.contains(path) && p.kind == ProblemKind::Violated);
        assert!(named, "{path} is not named: {:#?}", found.problems);
    }
}

#[test]
fn a_flipped_leaf_names_the_leaf() {
    let dir = copy();
    let file = dir.path().join("disclosures/000000.disclosures");
    let mut bytes = fs::read(&file).expect("read");
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    fs::write(&file, bytes).expect("written");
    let report = check(dir.path());
    assert!(report.problems[0].what.contains(&format!("leaf {}", PACK_LEAVES - 1)), "{:?}", report.problems);
}

#[test]
fn what_is_missing_is_unverified_and_never_a_pass() {
    for path in ["disclosures/000000.disclosures", "index/000000-000000.run"] {
        let dir = copy();
        fs::remove_file(dir.path().join(path)).expect("removed");
        let report = check(dir.path());
        assert_eq!(report.verified(), None, "{path}: {:#?}", report.problems);
    }
    for path in ["packs/000000.pack", "log/checkpoint"] {
        let dir = copy();
        fs::remove_file(dir.path().join(path)).expect("removed");
        let report = check(dir.path());
        assert_ne!(report.verified(), Some(true), "{path}: {:#?}", report.problems);
    }
}

#[test]
fn an_only_pack_that_is_missing_is_named_and_is_no_violation() {
    let dir = copy();
    fs::remove_file(dir.path().join("packs/000000.pack")).expect("removed");
    // As when it was used again for later leaves.
    fs::remove_file(dir.path().join("journal/0000.journal")).expect("removed");
    let report = check(dir.path());
    assert_eq!(report.verified(), None, "{:#?}", report.problems);
    let places: Vec<&str> = report.problems.iter().map(|problem| problem.place.as_str()).collect();
    assert!(places.contains(&"packs/000000.pack"), "{places:?}");
    assert!(!places.iter().any(|place| place.starts_with("journal")), "{places:?}");
    assert!(!places.iter().any(|place| place.contains("tile/0")), "each of its tiles: {places:?}");
    // Opening it says the same.
    let refused = Ledger::open(dir.path(), Options::default()).err().expect("refused");
    assert!(refused.is_missing() && !refused.is_violation(), "{refused}");
    assert!(refused.to_string().contains("packs/000000.pack"), "{refused}");
}

#[test]
fn a_copy_of_a_journal_file_is_named() {
    let dir = closed(20);
    let journal = dir.path().join("journal");
    fs::copy(journal.join("0000.journal"), journal.join("0099.journal")).expect("copied");
    let report = check(dir.path());
    let [problem, ..] = &report.problems[..] else { panic!("none") };
    assert_eq!((problem.kind, problem.place.as_str()), (ProblemKind::Violated, "journal/0099.journal"));
    assert!(problem.what.contains("a copy of `0000.journal`"), "{}", problem.what);
}

#[test]
fn damaged_keys_are_the_same_to_verify_and_to_open() {
    let whole = closed(20);
    for length in [0, 5000] {
        let dir = tempfile::tempdir().expect("folder");
        crash_image(whole.path(), dir.path());
        let keys = fs::OpenOptions::new().write(true).open(dir.path().join("keys/keys.redb")).expect("there");
        keys.set_len(length).expect("cut");
        let report = check(dir.path());
        assert_eq!(report.verified(), Some(false), "{length}: {:#?}", report.problems);
        let places: Vec<&str> = report.problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["keys/keys.redb"], "{length}");
        let refused = Ledger::open(dir.path(), Options::default()).err().expect("refused");
        assert!(refused.is_violation(), "{length}: {refused}");
    }
}

#[test]
fn a_kept_checkpoint_that_is_gone_or_called_otherwise_is_found() {
    let dir = copy();
    let folder = dir.path().join("log/checkpoints");
    let kept = fs::read_dir(&folder).expect("read").next().expect("one is kept").expect("read").path();
    let other = folder.join(format!("{:020}", TOTAL + 1));
    fs::rename(&kept, &other).expect("renamed");
    let report = check(dir.path());
    assert_eq!(report.verified(), Some(false), "{:#?}", report.problems);
    assert!(report.problems.iter().any(|problem| problem.place.ends_with(&format!("{:020}", TOTAL + 1))));

    // A stop just then may have left it out, so it is only said; opening the store makes good for it.
    fs::remove_file(&other).expect("removed");
    let said = |report: &StoreReport| report.unchecked.iter().any(|u| u.place == "log/checkpoints");
    let report = check(dir.path());
    assert!(said(&report), "{:#?}", report.unchecked);
    open(dir.path()).close().expect("closed");
    let report = check(dir.path());
    assert_eq!(report.verified(), Some(true), "{:#?}", report.problems);
    assert!(!said(&report), "{:#?}", report.unchecked);
}

#[test]
fn a_file_that_is_neither_checked_nor_known_is_a_problem() {
    for path in ["packs/extra.txt", "disclosures/000007.disclosures", "index/000007-000009.run"] {
        let dir = copy();
        fs::write(dir.path().join(path), "hello").expect("written");
        let report = check(dir.path());
        assert_eq!(report.verified(), Some(false));
        assert_eq!(report.problems[0].place, path);
    }
}

/// One made ahead of need, or damaged: nobody is told that something in it was checked.
#[test]
fn a_journal_file_of_which_no_frame_can_be_told_is_not_called_checked() {
    let dir = copy();
    fs::write(dir.path().join("journal/0099.journal"), "hello").expect("written");
    let report = check(dir.path());
    assert_eq!(report.verified(), Some(true), "{:#?}", report.problems);
    let says = |words: &str| {
        let all = report.unchecked.iter().filter(|unchecked| unchecked.why.contains(words));
        all.map(|unchecked| unchecked.place.as_str()).collect::<Vec<_>>()
    };
    assert!(says("no frame of it can be told").contains(&"journal/0099.journal"));
    assert!(!says("its frames are checked").contains(&"journal/0099.journal"));
}

#[test]
fn a_file_that_the_settings_name_is_theirs() {
    let dir = copy();
    fs::write(dir.path().join("webhook.secret"), "hello").expect("written");
    assert_eq!(check(dir.path()).verified(), Some(false));
    fs::write(dir.path().join("deed.toml"), "[approvals]\nsecret_file = \"webhook.secret\"\n")
        .expect("written");
    let report = check(dir.path());
    assert_eq!(report.verified(), Some(true), "{:#?}", report.problems);
    assert!(report.unchecked.iter().any(|unchecked| unchecked.place == "webhook.secret"));
}

#[test]
fn a_checkpoint_kept_elsewhere_catches_a_rollback_of_everything() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(&ledger, &observations(0, 10));
    ledger.clone().close().expect("closed");
    drop(ledger);
    let old = tempfile::tempdir().expect("folder");
    crash_image(dir.path(), old.path());
    let ledger = open(dir.path());
    append(&ledger, &observations(10, 10));
    ledger.clone().close().expect("closed");
    let kept =
        Kept { name: "kept".into(), note: ledger.checkpoint().expect("signed").note.clone().into_bytes() };
    let against = |dir: &Path| {
        verify_store(dir, &VerifyOptions { since: vec![kept.clone()], ..VerifyOptions::default() })
            .expect("a store")
    };
    let report = against(dir.path());
    assert_eq!((report.verified(), report.kept_elsewhere), (Some(true), true), "{:?}", report.problems);
    assert_ne!(against(old.path()).verified(), Some(true), "a rolled back store passes");
    // Another key than the one that was kept.
    let stranger = open(tempfile::tempdir().expect("folder").path()).verifier_keys();
    let keys = stranger.iter().map(|vkey| vkey.parse().expect("a vkey")).collect();
    let report =
        verify_store(dir.path(), &VerifyOptions { keys, ..VerifyOptions::default() }).expect("a store");
    assert_ne!(report.verified(), Some(true), "a stranger's key passes");
}

#[test]
fn a_store_in_use_verifies() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    let receipts = append(&ledger, &observations(0, 500));
    assert!(ledger.wait_signed(receipts[499].index, Duration::from_secs(5)));
    let report = check(dir.path());
    assert_eq!(report.verified(), Some(true), "{:?}", report.problems);
    assert_eq!(report.checked.leaves, 500);
}

#[test]
fn no_store_is_no_success() {
    let dir = tempfile::tempdir().expect("folder");
    let empty: PathBuf = dir.path().join("nothing");
    assert!(matches!(verify_store(&empty, &VerifyOptions::default()), Err(VerifyError::NoStore(_))));
}

#[test]
fn a_flipped_bit_in_the_journal_is_a_violation_with_its_place() {
    let dir = tempfile::tempdir().expect("folder");
    let ledger = open(dir.path());
    append(&ledger, &observations(0, 20));
    append(&ledger, &observations(20, 20));
    ledger.close().expect("closed");
    let journal = dir.path().join("journal/0000.journal");
    let good = fs::read(&journal).expect("read");
    let frames: Vec<usize> = good
        .windows(4)
        .enumerate()
        .filter(|(at, w)| at % 8 == 0 && *w == b"DFRM")
        .map(|(at, _)| at)
        .collect();
    for at in frames.iter().flat_map(|frame| [frame + 1, frame + 10, frame + 700]) {
        let mut bad = good.clone();
        bad[at] ^= 16;
        fs::write(&journal, &bad).expect("written");
        let report = check(dir.path());
        assert_eq!(report.verified(), Some(false), "byte {at}: {:?}", report.problems);
        assert!(report.problems.iter().any(|p| p.place.starts_with("journal")), "{:?}", report.problems);
    }
    // Cut off or emptied, it is missing: no violation, and no pass.
    fs::write(&journal, &good[..frames[1]]).expect("written");
    assert_eq!(check(dir.path()).verified(), None);
}

#[test]
fn the_index_is_built_again_and_compared() {
    let dir = copy();
    let open = || deed_ledger::Ledger::open(dir.path(), deed_ledger::Options::default()).expect("opens");
    let ledger = open();
    let rebuilt = ledger.rebuild_index().expect("rebuilt");
    assert!(rebuilt.same && rebuilt.runs > 0, "{rebuilt:?}");
    let run = std::fs::read_dir(dir.path().join("index")).expect("listed").next().expect("a run");
    let run = run.expect("a run").path();
    let mut bytes = std::fs::read(&run).expect("read");
    // In the buckets: nobody notices before somebody asks for what is there.
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(&run, bytes).expect("written");
    let mended = ledger.rebuild_index().expect("rebuilt");
    assert!(!mended.same);
    assert_eq!(mended.digest, rebuilt.digest);
    ledger.close().expect("closes");
    assert_eq!(check(dir.path()).verified(), Some(true));
}
