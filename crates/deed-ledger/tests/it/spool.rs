//! Records that wait in a spool, and what becomes of them.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use deed_ledger::{AppendError, Ledger, Part, Sender, Spool, SpoolError, SpoolOptions, Told, fuzzing};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::support::{crash_image, open};

/// A store, and a spool elsewhere.
struct Both {
    folder: TempDir,
    ledger: Ledger,
}

const SMALL: u64 = 64 << 10;

impl Both {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let ledger = open(&folder.path().join("store"));
        // Keys are made by what is recorded first.
        ledger.append(intent(0, "").as_bytes(), &sender()).expect("recorded");
        Both { folder, ledger }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    fn file(&self, number: u64) -> PathBuf {
        self.path().join(format!("{number:06}.spool"))
    }

    fn spool(&self) -> Spool {
        Spool::open(self.ledger.clone(), options(&self.path())).expect("a spool")
    }

    /// The numbers of the intents in the log, in order, and whether each was spooled.
    fn recorded(&self) -> Vec<(u64, bool)> {
        let sealed = (0..self.ledger.size()).map(|leaf| self.ledger.leaf(leaf).expect("a leaf"));
        sealed
            .filter_map(|sealed| {
                let record = sealed.skeleton().expect("a record");
                assert!(record.spooled.is_none_or(|spooled| spooled <= record.recorded));
                let task = record.task.as_deref()?.parse().expect("a number");
                Some((task, record.spooled.is_some()))
            })
            .collect()
    }
}

fn options(folder: &Path) -> SpoolOptions {
    SpoolOptions { folder: folder.to_owned(), max_bytes: SMALL, max_age: Duration::from_secs(3600) }
}

fn sender() -> Sender {
    Sender { tenant: Some("default".into()), name: "deed:mcp/files".into(), ours: true }
}

/// Intent `n`, with as much in it as `payload`.
fn intent(n: u64, payload: &str) -> String {
    format!(
        r#"{{"kind":"intent","id":"{:08x}-0000-7000-8000-000000000000","time":"2026-11-20T10:00:00Z","task":"{n}","executor":{{"key":"agent:a","type":"agent","name":"Alpha"}},"disclose":{{"arguments":{{"text":"{payload}","password":"hunter2hunter2"}}}}}}"#,
        n + 1
    )
}

fn put(spool: &Spool, n: u64) {
    let spooled = spool.append(intent(n, "hello").as_bytes(), &sender(), Part::Intent, "test").expect("room");
    assert!(spooled.time().0 > 0);
}

fn nothing(_: &[deed_record::Skeleton<'_>]) -> Told {
    Told::new()
}

fn refused(spool: &Spool, n: u64) -> String {
    let refused = spool.append(intent(n, "").as_bytes(), &sender(), Part::Intent, "test");
    match refused.expect_err("nothing is taken") {
        AppendError::Unavailable(why) => why,
        other => panic!("{other}"),
    }
}

#[test]
fn what_waits_is_sealed_in_order_once_and_says_so() {
    let both = Both::new();
    let spool = both.spool();
    assert!(spool.is_idle());
    (1..=3).for_each(|n| put(&spool, n));
    let state = spool.state();
    assert_eq!((state.records, state.spooled, state.sealed), (3, 3, 0));
    assert!(state.bytes > 0 && state.oldest.is_some() && state.problems.is_empty(), "{state:?}");
    assert_eq!(both.recorded(), [(0, false)]);
    assert_eq!(spool.drain(&nothing), Ok(3));
    assert_eq!(both.recorded(), [(0, false), (1, true), (2, true), (3, true)]);
    // It was sealed as anything else: secrets as fingerprints, names and payloads under the store's keys.
    let names = both.ledger.names(2).expect("names");
    assert_eq!(names[0].1.name.as_deref(), Some("Alpha"));
    let said: Vec<String> = both
        .ledger
        .disclosures(2)
        .expect("disclosures")
        .iter()
        .map(|one| String::from_utf8_lossy(&one.json).into_owned())
        .collect();
    assert!(said.iter().any(|said| said.contains("hello")), "{said:?}");
    assert!(!said.concat().contains("hunter2"), "{said:?}");
    let state = spool.state();
    assert_eq!((state.records, state.bytes, state.oldest, state.sealed), (0, 0, None, 3));
    assert_eq!(spool.drain(&nothing), Ok(0));
    put(&spool, 4);
    assert_eq!(spool.drain(&nothing), Ok(1));
    assert_eq!(both.recorded().len(), 5);
}

#[test]
fn no_secret_and_no_payload_can_be_read_in_the_spool() {
    let both = Both::new();
    let spool = both.spool();
    put(&spool, 1);
    let bytes = fs::read(both.file(1)).expect("a file");
    for word in ["hunter2", "hello", "Alpha", "agent:a"] {
        assert!(memchr_find(&bytes, word.as_bytes()).is_none(), "{word}");
    }
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode(&both.path()), mode(&both.file(1))), (0o700, 0o600));
}

fn memchr_find(bytes: &[u8], word: &[u8]) -> Option<usize> {
    bytes.windows(word.len()).position(|window| window == word)
}

#[test]
fn a_crash_anywhere_adds_nothing_twice_and_loses_nothing() {
    let both = Both::new();
    let spool = both.spool();
    (1..=5).for_each(|n| put(&spool, n));
    let image = both.folder.path().join("image");
    // In the log, and the file was not removed yet.
    crash_image(&both.path(), &image);
    assert_eq!(spool.drain(&nothing), Ok(5));
    drop(spool);
    crash_image(&image, &both.path());
    let spool = both.spool();
    assert_eq!(spool.state().records, 5);
    put(&spool, 6);
    assert_eq!(spool.drain(&nothing), Ok(6));
    assert_eq!(both.recorded().len(), 7, "{:?}", both.recorded());
    // Some of it in the log: by an append that was given up too early, in the same words.
    put(&spool, 7);
    both.ledger.append(intent(7, "hello").as_bytes(), &sender()).expect("recorded");
    assert_eq!(spool.drain(&nothing), Ok(1));
    assert_eq!(both.recorded().last(), Some(&(7, false)));
    assert!(spool.state().problems.is_empty());
}

#[test]
fn what_was_cut_short_was_never_acknowledged() {
    let both = Both::new();
    let spool = both.spool();
    put(&spool, 1);
    let whole = fs::metadata(both.file(1)).expect("a file").len();
    put(&spool, 2);
    drop(spool);
    let file = fs::OpenOptions::new().write(true).open(both.file(1)).expect("a file");
    file.set_len(whole + 60).expect("cut");
    let spool = both.spool();
    assert_eq!(spool.drain(&nothing), Ok(1));
    assert_eq!(both.recorded(), [(0, false), (1, true)]);
    assert!(spool.state().problems.is_empty() && !both.file(1).exists());
}

#[test]
fn what_is_damaged_is_named_and_the_rest_is_kept() {
    let both = Both::new();
    let spool = both.spool();
    let mut ends = Vec::new();
    for n in 1..=3 {
        put(&spool, n);
        ends.push(fs::metadata(both.file(1)).expect("a file").len());
    }
    drop(spool);
    let mut bytes = fs::read(both.file(1)).expect("a file");
    bytes[ends[0] as usize + 50] ^= 1;
    fs::write(both.file(1), &bytes).expect("written");
    let spool = both.spool();
    assert_eq!(spool.drain(&nothing), Ok(2));
    assert_eq!(both.recorded(), [(0, false), (1, true), (3, true)]);
    let problems = spool.state().problems;
    assert!(problems.len() == 1 && problems[0].contains("000001.damaged"), "{problems:?}");
    // It takes records still, under another number, and says what is wrong until somebody has looked.
    put(&spool, 4);
    assert!(both.file(2).exists());
    assert_eq!(spool.drain(&nothing), Ok(1));
    fs::remove_file(both.path().join("000001.damaged")).expect("moved away");
    assert!(spool.state().problems.is_empty());
}

#[test]
fn what_somebody_else_recorded_under_the_same_id_sets_it_aside() {
    let both = Both::new();
    let spool = both.spool();
    (1..=2).for_each(|n| put(&spool, n));
    both.ledger.append(intent(1, "something else").as_bytes(), &sender()).expect("recorded");
    assert_eq!(spool.drain(&nothing), Ok(1));
    assert_eq!(both.recorded(), [(0, false), (1, false), (2, true)]);
    assert!(spool.state().problems[0].contains("000001.damaged"));
}

#[test]
fn what_is_told_of_a_file_is_told_once() {
    let both = Both::new();
    let spool = both.spool();
    put(&spool, 1);
    let tell = |records: &[deed_record::Skeleton<'_>]| -> Told {
        let body = format!(
            r#"{{"kind":"gap","id":"0193a700-0001-8000-8000-000000000001","time":"2026-11-20T10:00:00Z","basis":"enforced","disclose":{{"count":{}}}}}"#,
            records.len()
        );
        vec![(body.into_bytes(), sender())]
    };
    let image = both.folder.path().join("image");
    crash_image(&both.path(), &image);
    assert_eq!(spool.drain(&tell), Ok(1));
    drop(spool);
    crash_image(&image, &both.path());
    assert_eq!(both.spool().drain(&tell), Ok(1));
    assert_eq!(both.ledger.size(), 3);
}

#[test]
fn full_is_full_and_room_is_kept_for_outcomes() {
    let both = Both::new();
    let spool = both.spool();
    let big = "x".repeat(6000);
    let put = |n: u64, part| spool.append(intent(n, &big).as_bytes(), &sender(), part, "test");
    let taken = (1..100).take_while(|n| put(*n, Part::Intent).is_ok()).count() as u64;
    let why = put(60, Part::Intent).expect_err("full").to_string();
    assert!(why.contains("it is full") && why.contains(both.path().to_str().expect("a path")), "{why}");
    assert!(taken > 3);
    assert!(put(61, Part::Outcome).is_ok(), "there is room for what it leads to");
    while put(70 + spool.state().records, Part::Outcome).is_ok() {}
    assert!(spool.state().bytes <= SMALL);
    let sealed = spool.drain(&nothing).expect("the log takes it");
    assert!(sealed > taken);
    assert!(put(200, Part::Intent).is_ok(), "there is room again");
}

#[test]
fn too_old_is_too_old_but_outcomes_are_taken() {
    let both = Both::new();
    let old = SpoolOptions { max_age: Duration::from_secs(1), ..options(&both.path()) };
    let spool = Spool::open(both.ledger.clone(), old).expect("a spool");
    put(&spool, 1);
    std::thread::sleep(Duration::from_millis(1100));
    let why = refused(&spool, 2);
    assert!(why.contains("in use for") && why.contains(both.path().to_str().expect("a path")), "{why}");
    assert_eq!(spool.state().problems.len(), 1);
    assert!(spool.append(intent(3, "").as_bytes(), &sender(), Part::Outcome, "test").is_ok());
    assert_eq!(spool.drain(&nothing), Ok(2));
    put(&spool, 2);
}

#[test]
fn halted_it_takes_nothing_until_something_is_recorded() {
    let both = Both::new();
    let spool = both.spool();
    spool.halt("a suspension could not be recorded");
    assert!(refused(&spool, 1).contains("a suspension could not be recorded"));
    both.ledger.append(intent(2, "").as_bytes(), &sender()).expect("recorded");
    put(&spool, 1);
}

#[test]
fn what_needs_a_new_key_is_not_taken() {
    let both = Both::new();
    let spool = both.spool();
    let of = |tenant: &str, record: &str| {
        let sender = Sender { tenant: Some(tenant.into()), ..sender() };
        spool
            .append(record.as_bytes(), &sender, Part::Intent, "test")
            .expect_err("a key is missing")
            .to_string()
    };
    assert!(of("acme", &intent(1, "")).contains("the tenant has no key yet"));
    let ann = intent(2, "")
        .replace(r#""executor""#, r#""initiator":{"key":"human:ann","type":"human"},"executor""#);
    assert!(of("default", &ann).contains("has no key yet"));
    let nameless = intent(3, "").replace(r#""id":"00000004-0000-7000-8000-000000000000","#, "");
    assert!(of("default", &nameless).contains("without an id"));
    assert!(spool.is_idle() && both.ledger.size() == 1);
}

#[test]
fn a_folder_that_makes_no_sense_is_refused() {
    let both = Both::new();
    let open = |folder: &Path| Spool::open(both.ledger.clone(), options(folder)).err().map(|e| e.to_string());
    let store = both.folder.path().join("store");
    let says = |folder: &Path, word: &str| {
        let why = open(folder).unwrap_or_else(|| panic!("{} was taken", folder.display()));
        assert!(why.contains(word), "{why}");
    };
    says(&store.join("spool"), "lie one in the other");
    assert!(!store.join("spool").exists(), "nothing stays behind");
    says(&store, "lie one in the other");
    says(both.folder.path(), "lie one in the other");
    let link = both.folder.path().join("link");
    std::os::unix::fs::symlink(&store, &link).expect("a link");
    says(&link.join("spool"), "lie one in the other");
    let wide = both.folder.path().join("wide");
    fs::create_dir(&wide).expect("a folder");
    fs::set_permissions(&wide, fs::Permissions::from_mode(0o755)).expect("open");
    says(&wide, "chmod 700");
    let file = both.folder.path().join("file");
    fs::write(&file, "").expect("a file");
    says(&file, "failed to use the spool");
    let spool = both.spool();
    says(&both.path(), "used by another process");
    drop(spool);
    assert!(open(&both.path()).is_none());
}

#[test]
fn records_of_another_log_are_not_taken_for_ones_own() {
    let both = Both::new();
    put(&both.spool(), 1);
    let other = open(&both.folder.path().join("other"));
    match Spool::open(other, options(&both.path())) {
        Err(SpoolError::OtherLog(file, _)) => assert!(file.ends_with("000001.spool")),
        other => panic!("{:?}", other.err()),
    }
}

#[test]
fn nothing_goes_on_where_the_spool_is_gone() {
    let both = Both::new();
    let spool = both.spool();
    put(&spool, 1);
    fs::remove_dir_all(both.path()).expect("removed");
    assert!(refused(&spool, 2).contains("failed to write"));
    assert!(refused(&spool, 3).contains("failed to write"), "it stays so");
    let both = Both::new();
    let spool = both.spool();
    fs::rename(both.path(), both.folder.path().join("elsewhere")).expect("moved");
    fs::create_dir(both.path()).expect("another");
    assert!(refused(&spool, 1).contains("another folder"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Of frames one of which was changed or cut anywhere, all others are read, and the place is named.
    #[test]
    fn one_fault_costs_one_frame(
        leaves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..80), 1..6),
        place in any::<proptest::sample::Index>(),
        bit in 0..8u8,
        cuts in any::<bool>(),
    ) {
        let mut bytes = fuzzing::spool_header("log", 3);
        let mut ends = vec![bytes.len()];
        for (first, leaf) in leaves.iter().enumerate() {
            let frame = fuzzing::Frame {
                first: first as u64,
                leaves: vec![(leaf.clone(), b"blob".to_vec())],
                names: Vec::new(),
            };
            bytes.extend(fuzzing::encode_frame(&frame, 3));
            ends.push(bytes.len());
        }
        let whole = fuzzing::spool_file(&bytes, 3);
        prop_assert_eq!((whole.frames.len(), whole.torn, whole.damaged.len()), (leaves.len(), None, 0));
        let at = ends[0] + place.index(bytes.len() - ends[0]);
        let hit = ends.iter().rposition(|end| *end <= at).expect("a frame");
        if cuts {
            let found = fuzzing::spool_file(&bytes[..at], 3);
            prop_assert_eq!((found.frames.len(), found.damaged.len()), (hit, 0));
            prop_assert_eq!(found.torn, (at > ends[hit]).then_some(ends[hit] as u64));
        } else {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let found = fuzzing::spool_file(&changed, 3);
            let starts: Vec<u64> = found.frames.iter().map(|(at, _)| *at).collect();
            let others = ends[..leaves.len()].iter().enumerate().filter(|(n, _)| *n != hit);
            let others: Vec<u64> = others.map(|(_, at)| *at as u64).collect();
            // A changed byte of the padding costs nothing.
            if found.frames.len() == leaves.len() {
                prop_assert!(found.damaged.is_empty());
            } else {
                prop_assert_eq!(starts, others);
                let named: Vec<u64> = found.damaged.iter().copied().chain(found.torn).collect();
                prop_assert!(named.contains(&(ends[hit] as u64)), "{:?}", named);
            }
        }
    }
}
