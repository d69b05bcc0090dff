//! The verification of whole logs: what is wrong and what is missing, each by name.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use deed_seal::checkpoint::Checkpoint;
use deed_seal::hash::Hash;
use deed_seal::note::{Ed25519Signer, Note, Signer as _, VerifierKey};
use deed_seal::tile::TilePath;
use deed_seal::verify::*;

use crate::support::*;

fn keys() -> [VerifierKey; 1] {
    [log_signer().verifier_key()]
}

fn kept(size: u64) -> Kept {
    Kept { name: format!("kept.{size}"), note: signed_checkpoint(size).into_bytes() }
}

fn check(log: &Log) -> Report {
    verify(log, &Against { keys: &keys(), ..Against::default() })
}

/// `where: what` of all problems, those of the given kind only.
fn problems(report: &Report, kind: ProblemKind) -> Vec<String> {
    assert!(report.problems.iter().all(|problem| problem.kind == kind), "{:#?}", report.problems);
    report.problems.iter().map(|problem| format!("{}: {}", problem.place, problem.what)).collect()
}

fn flip(log: &mut Log, path: &str, byte: usize) {
    log.files.get_mut(&path.parse::<TilePath>().unwrap()).unwrap()[byte] ^= 1;
}

#[test]
fn whole_logs_verify() {
    for size in [0, 1, 2, 255, 256, 257, 512, 65_535, 65_536, 65_537, 131_072 + 300] {
        for threads in [1, 3] {
            let log = Log::new(size);
            let sizes = [0, 1, 255, 256, 300, 512, 65_535, 65_536, 65_537, 131_072, 131_100];
            let since: Vec<_> = sizes.into_iter().filter(|old| *old <= size).map(kept).collect();
            let seen = AtomicU64::new(0);
            let progress = |leaves| {
                seen.fetch_add(leaves, Ordering::Relaxed);
            };
            let report = verify(
                &log,
                &Against {
                    keys: &keys(),
                    since: &since,
                    threads: NonZeroUsize::new(threads),
                    progress: Some(&progress),
                    ..Against::default()
                },
            );
            assert_eq!(report.problems, [], "{size} leaves");
            assert_eq!(report.verified(), Some(true));
            assert_eq!((report.leaves, report.files), (size, log.files.len() as u64));
            assert_eq!(report.checkpoints, since.len() as u64 + 1);
            assert_eq!((report.signed_by, seen.into_inner()), (vec!["example.com/log".to_owned()], size));
        }
    }
}

#[test]
fn any_flipped_byte_is_found_and_its_file_named() {
    let log = Log::new(600);
    for (path, bytes) in &log.files {
        for byte in (0..bytes.len()).step_by(61).chain([bytes.len() - 1]) {
            let mut log = log.clone();
            flip(&mut log, &path.to_string(), byte);
            let report = check(&log);
            assert_eq!(report.verified(), Some(false), "{path} byte {byte}");
            assert!(
                report.problems.iter().any(|problem| problem.place == path.to_string()),
                "{:#?}",
                report.problems
            );
            assert!(report.problems.iter().all(|problem| problem.kind == ProblemKind::Violated));
        }
    }
    let note = log.checkpoint.clone().unwrap();
    for byte in 0..note.len() {
        let mut log = log.clone();
        log.checkpoint.as_mut().unwrap()[byte] ^= 1;
        let verified = check(&log).verified();
        // A changed name or key id makes the signature one by an unknown key: missing rather than wrong.
        assert_ne!(verified, Some(true), "byte {byte}");
    }
}

#[test]
fn any_missing_file_is_named_and_is_no_violation() {
    for size in [600, 66_000] {
        let log = Log::new(size);
        for path in log.files.keys().filter(|path| path.is_partial() || path.to_string().ends_with("000")) {
            let mut log = log.clone();
            log.files.remove(path);
            let report = check(&log);
            assert_eq!(problems(&report, ProblemKind::Unverified), [format!("{path}: is missing")]);
            assert_eq!(report.verified(), None);
        }
    }
    let mut log = Log::new(600);
    log.files.clear();
    let report = check(&log);
    let found = problems(&report, ProblemKind::Unverified);
    assert_eq!(found.len(), 3 + 3 + 1 + 1);
    assert_eq!(found[7], "checkpoint: its root cannot be recomputed, hashes are missing");
    log.checkpoint = None;
    let report = check(&log);
    assert_eq!(report.verified(), None);
    assert_eq!(report.problems[0].place, "checkpoint");
}

#[test]
fn the_tile_above_says_which_of_two_files_is_wrong() {
    let log = Log::new(600);
    let violated = |path, byte| {
        let mut log = log.clone();
        flip(&mut log, path, byte);
        problems(&check(&log), ProblemKind::Violated)
    };
    assert_eq!(
        violated("tile/entries/001", 5),
        [
            "tile/entries/001: leaf 256: the entry does not have the hash in `tile/0/001`, with which the tile above agrees"
        ]
    );
    assert_eq!(
        violated("tile/0/001", 3 * 32),
        ["tile/0/001: leaf 259: not the hash of the entry, with which the tile above agrees"]
    );
    assert_eq!(violated("tile/1/000.p/2", 40), ["tile/1/000.p/2: hash 1: not the root of `tile/0/001`"]);
    // In the last bundle the checkpoint decides.
    assert_eq!(
        violated("tile/entries/002.p/88", 9),
        [
            "tile/entries/002.p/88: leaf 512: the entry does not have the hash in `tile/0/002.p/88`, with which the checkpoint agrees"
        ]
    );
    assert_eq!(
        violated("tile/0/002.p/88", 32),
        ["tile/0/002.p/88: leaf 513: not the hash of the entry, with which the checkpoint agrees"]
    );
    // A length that no longer fits.
    let found = violated("tile/entries/000", 1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("tile/entries/000: leaf "), "{found:?}");
}

#[test]
fn higher_tiles_are_checked() {
    let log = Log::new(66_000);
    let violated = |path, byte| {
        let mut log = log.clone();
        flip(&mut log, path, byte);
        problems(&check(&log), ProblemKind::Violated)
    };
    assert_eq!(violated("tile/2/000.p/1", 0), ["tile/2/000.p/1: hash 0: not the root of `tile/1/000`"]);
    assert_eq!(violated("tile/1/000", 255 * 32), ["tile/1/000: hash 255: not the root of `tile/0/255`"]);
    assert_eq!(violated("tile/1/001.p/1", 0), ["tile/1/001.p/1: hash 0: not the root of `tile/0/256`"]);
}

#[test]
fn a_log_rewritten_in_all_files_does_not_fit_its_checkpoint() {
    let mut log = Log::new(600);
    log.files = Log::new(601).files;
    log.checkpoint = Some(sign(&Checkpoint::new("example.com/log", 601, root(600))).into_bytes());
    let found = problems(&check(&log), ProblemKind::Violated);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("checkpoint: the log's files lead to root "), "{found:?}");
}

#[test]
fn entries_and_tile_that_agree_with_nothing_are_both_reported() {
    let mut log = Log::new(600);
    flip(&mut log, "tile/entries/002.p/88", 9);
    flip(&mut log, "tile/0/002.p/88", 40);
    let found = problems(&check(&log), ProblemKind::Violated);
    assert_eq!(
        found[0],
        "tile/entries/002.p/88: leaves 512 and 513: the entry does not have the hash in `tile/0/002.p/88`"
    );
    assert!(found[1].starts_with("checkpoint: the log's files lead to root"), "{found:?}");
    let mut log = Log::new(600);
    for hash in 0..5 {
        flip(&mut log, "tile/0/000", hash * 32);
    }
    let found = problems(&check(&log), ProblemKind::Violated);
    assert!(found[0].contains("leaves 0, 1 and 3 more up to 4"), "{found:?}");
}

#[test]
fn wrong_lengths_are_violations() {
    let log = Log::new(600);
    for (path, cut, what) in [
        ("tile/0/000", 8160, "has 255 hashes instead of 256"),
        ("tile/0/000", 8161, "a tile has 1 to 256 hashes of 32 bytes, found 8161 bytes"),
        ("tile/0/000", 0, "a tile has 1 to 256 hashes of 32 bytes, found 0 bytes"),
        ("tile/entries/000", 0, "has 0 entries instead of 256, from leaf 0"),
        ("tile/entries/001", 11, "has 1 entries instead of 256, from leaf 256"),
        ("tile/entries/001", 12, "leaf 257: entry 1, at byte 11, has its length cut off"),
    ] {
        let mut log = log.clone();
        log.files.get_mut(&path.parse::<TilePath>().unwrap()).unwrap().truncate(cut);
        assert_eq!(problems(&check(&log), ProblemKind::Violated), [format!("{path}: {what}")]);
    }
    for (path, most) in [("tile/0/000", 8192), ("tile/0/002.p/88", 2816), ("tile/entries/000", 16_777_472)] {
        let mut log = log.clone();
        log.files.get_mut(&path.parse::<TilePath>().unwrap()).unwrap().resize(most + 1, 0);
        let what = format!("{path}: is longer than the {most} bytes that it can have");
        assert_eq!(problems(&check(&log), ProblemKind::Violated), [what]);
    }
    let mut log = log;
    log.files.get_mut(&"tile/entries/002.p/88".parse().unwrap()).unwrap().extend(b"\0\x01x");
    let found = problems(&check(&log), ProblemKind::Violated);
    assert_eq!(found, ["tile/entries/002.p/88: has 89 entries instead of 88, from leaf 512"]);
}

#[test]
fn a_partial_tile_may_have_given_way_to_the_full_one() {
    let mut log = Log::new(600);
    let later = Log::new(1000);
    for path in ["tile/entries/002", "tile/0/002"] {
        let path: TilePath = path.parse().unwrap();
        log.files.remove(&path.with_width(88));
        log.files.insert(path, later.files[&path].clone());
    }
    assert_eq!(check(&log).verified(), Some(true));
    flip(&mut log, "tile/entries/002", 5);
    assert_eq!(check(&log).verified(), Some(false));
}

#[test]
fn files_beside_the_tree_are_compared_or_named() {
    let mut log = Log::new(600);
    for (size, names) in [
        (520, ["tile/entries/002.p/8", "tile/0/002.p/8"]),
        (700, ["tile/entries/002.p/188", "tile/0/002.p/188"]),
    ] {
        let other = Log::new(size);
        for path in names.map(|name| name.parse::<TilePath>().unwrap()) {
            log.files.insert(path, other.files[&path].clone());
        }
    }
    let expected = Log::new(600);
    let also: Vec<_> = log.files.keys().filter(|path| !expected.files.contains_key(path)).copied().collect();
    let against = Against { also: &also, ..Against::default() };
    let report = verify(&log, &against);
    assert_eq!(report.verified(), Some(true));
    assert!(report.is_self_consistent_only());
    let unchecked: Vec<_> = report.unchecked.iter().map(|file| file.place.as_str()).collect();
    // No key was given, so that nobody's signature is checked.
    assert_eq!(unchecked, ["checkpoint", "tile/0/002.p/188", "tile/entries/002.p/188"]);
    for path in ["tile/entries/002.p/8", "tile/0/002.p/8"] {
        let mut log = log.clone();
        flip(&mut log, path, 20);
        let found = problems(&verify(&log, &against), ProblemKind::Violated);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with(path) && found[0].contains("which replaced it"), "{found:?}");
    }
    log.files.remove(&"tile/0/002.p/8".parse().unwrap());
    assert_eq!(problems(&verify(&log, &against), ProblemKind::Unverified), ["tile/0/002.p/8: is missing"]);
}

#[test]
fn keys_decide_who_vouches() {
    let log = Log::new(3);
    let stranger = Ed25519Signer::new("example.com/stranger", &[1; 32]).unwrap().verifier_key();
    let impostor = Ed25519Signer::new("example.com/log", &[1; 32]).unwrap().verifier_key();
    for wrong in [stranger.clone(), impostor] {
        let report = verify(&log, &Against { keys: &[wrong], ..Against::default() });
        let found = problems(&report, ProblemKind::Unverified);
        assert_eq!(found, ["checkpoint: none of the given keys signed it, only example.com/log"]);
        assert_eq!(report.verified(), None);
    }
    let both = [stranger, log_signer().verifier_key()];
    let report = verify(&log, &Against { keys: &both, ..Against::default() });
    assert_eq!((report.verified(), report.signed_by.len()), (Some(true), 1));
    assert_eq!(report.unchecked[0].place, "example.com/stranger");
    let report = verify(&log, &Against::default());
    assert_eq!((report.verified(), report.is_self_consistent_only()), (Some(true), true));

    // A signature that no given key could check is named, on whichever checkpoint it is.
    let witness = Ed25519Signer::new("example.com/witness", &[2; 32]).unwrap();
    let cosigned = |size| {
        let checkpoint = Checkpoint::new("example.com/log", size, root(size));
        Note::sign(checkpoint.to_text(), &[&log_signer(), &witness]).unwrap().to_string().into_bytes()
    };
    let seen = Log { checkpoint: Some(cosigned(3)), ..log.clone() };
    let since = [Kept { name: "kept".to_owned(), note: cosigned(2) }];
    let report = verify(&seen, &Against { keys: &keys(), since: &since, ..Against::default() });
    assert_eq!(report.verified(), Some(true));
    let id = u32::from_be_bytes(witness.key_id());
    let why = format!(
        "a signature of `example.com/witness` (key id {id:08x}) was not checked: that key was not given"
    );
    let named = |place: &str| Unchecked { place: place.to_owned(), why: why.clone() };
    assert_eq!(report.unchecked, [named("checkpoint"), named("kept")]);

    let mut broken = log;
    let note = String::from_utf8(broken.checkpoint.take().unwrap()).unwrap();
    broken.checkpoint = Some(note.replace("\n3\n", "\n4\n").into_bytes());
    let report = check(&broken);
    assert_eq!(report.problems[0].what, "the signature by `example.com/log` does not verify");
    assert_eq!(report.verified(), Some(false));
}

#[test]
fn kept_checkpoints_must_be_continued() {
    let log = Log::new(600);
    let against = |since: &[Kept]| verify(&log, &Against { keys: &keys(), since, ..Against::default() });
    let note =
        |checkpoint: &Checkpoint| Kept { name: "kept".to_owned(), note: sign(checkpoint).into_bytes() };
    assert_eq!(
        against(&[kept(0), kept(1), kept(256), kept(511), kept(599), kept(600)]).verified(),
        Some(true)
    );

    let found = problems(&against(&[kept(601)]), ProblemKind::Violated);
    assert_eq!(found, ["kept.601: has 601 leaves, the log has only 600 now"]);
    for size in [0, 1, 256, 300, 600] {
        let forked = note(&Checkpoint::new("example.com/log", size, Hash::of(b"fork")));
        let found = problems(&against(&[forked]), ProblemKind::Violated);
        assert!(
            found[0].starts_with(&format!("kept: the log does not continue it: its first {size} leaves")),
            "{found:?}"
        );
    }
    let found =
        problems(&against(&[note(&Checkpoint::new("example.com/other", 1, root(1)))]), ProblemKind::Violated);
    assert_eq!(found, ["kept: is of the log `example.com/other`, this one is `example.com/log`"]);
    let found = problems(
        &against(&[Kept { name: "kept".to_owned(), note: b"gibberish".to_vec() }]),
        ProblemKind::Violated,
    );
    assert!(found[0].starts_with("kept: "), "{found:?}");

    // What is missing cannot be compared with.
    let mut holed = log.clone();
    for path in ["tile/entries/001", "tile/0/001"] {
        holed.files.remove(&path.parse().unwrap());
    }
    let report =
        verify(&holed, &Against { keys: &keys(), since: &[kept(300), kept(256)], ..Against::default() });
    let found = problems(&report, ProblemKind::Unverified);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!(found[2], "kept.300: its root cannot be recomputed, hashes are missing");
}

#[test]
fn an_empty_log_has_the_empty_root() {
    let mut log = Log::new(0);
    assert_eq!(check(&log).verified(), Some(true));
    log.checkpoint = Some(sign(&Checkpoint::new("example.com/log", 0, Hash::of(b"x"))).into_bytes());
    assert_eq!(check(&log).verified(), Some(false));
}

/// A checkpoint may claim any size: the work ends long before it does.
#[test]
fn a_size_out_of_all_proportion_is_given_up() {
    for size in [1 << 40, u64::MAX] {
        let mut log = Log::new(3);
        log.checkpoint = Some(sign(&Checkpoint::new("example.com/log", size, root(3))).into_bytes());
        let report = check(&log);
        assert_eq!(report.verified(), None);
        assert!(report.problems.len() < 20_000);
        assert!(report.problems.iter().any(|problem| problem.what.contains("was not looked at")));
    }
}

/// Fails at a file of choice.
struct Broken(Log, &'static str);

impl Tiles for Broken {
    type Error = String;

    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, String> {
        if path.to_string() == self.1 {
            Err("input/output error".to_owned())
        } else {
            Ok(self.0.files.get(path).cloned())
        }
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, String> {
        if self.1 == "checkpoint" {
            Err("input/output error".to_owned())
        } else {
            Ok(self.0.checkpoint.clone())
        }
    }
}

#[test]
fn what_cannot_be_read_is_not_wrong() {
    for path in ["tile/entries/000", "tile/0/002.p/88", "tile/1/000.p/2", "checkpoint"] {
        let report = verify(&Broken(Log::new(600), path), &Against::default());
        let found = problems(&report, ProblemKind::Unverified);
        assert_eq!(found, [format!("{path}: cannot be read: input/output error")]);
        assert_eq!(report.verified(), None);
    }
}

#[test]
fn the_answer_is_told_as_json() {
    let mut log = Log::new(600);
    let answer = check(&log).to_json();
    assert_eq!(answer["verified"], true);
    assert_eq!(answer["size"], 600);
    assert_eq!(answer["root"], root(600).to_string());
    assert_eq!(answer["checked"]["leaves"], 600);
    assert_eq!(answer["problems"], serde_json::json!([]));
    log.files.remove(&"tile/0/000".parse().unwrap());
    let answer = check(&log).to_json();
    assert_eq!(answer["verified"], serde_json::Value::Null);
    assert_eq!(
        answer["problems"],
        serde_json::json!([{ "where": "tile/0/000", "what": "is missing", "kind": "unverified" }])
    );
}
