//! Damage to every kind of file, and sizes at which the tree changes its shape.

use std::{fs, path::Path, sync::OnceLock, time::Duration};

use deed_ledger::{
    Ledger, Options, PACK_LEAVES,
    verify::{VerifyOptions, verify_store},
};
use deed_seal::{
    hash::leaf_hash,
    merkle::{verify_consistency, verify_inclusion},
};

use crate::support::{append, observations, open};

const SIZES: [u64; 8] = [0, 1, 255, 256, 257, PACK_LEAVES - 1, PACK_LEAVES, PACK_LEAVES + 1];

/// A closed store of one pack and one leaf, signed at each of [`SIZES`].
fn packed() -> &'static Path {
    static STORE: OnceLock<tempfile::TempDir> = OnceLock::new();
    STORE.get_or_init(grown).path()
}

/// A closed store of three hundred leaves, all in the journal.
fn small() -> &'static Path {
    static STORE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let fill = || {
        let dir = tempfile::tempdir().expect("folder");
        let ledger = open(dir.path());
        (0..3).for_each(|round| drop(append(&ledger, &observations(round * 100, 100))));
        ledger.close().expect("closed");
        dir
    };
    STORE.get_or_init(fill).path()
}

/// Grows a store from size to size; at each it is closed, checked from its files and opened again.
fn grown() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("folder");
    let mut roots = Vec::new();
    for size in SIZES {
        let ledger = open(dir.path());
        while ledger.size() < size {
            let from = ledger.size();
            append(&ledger, &observations(from, 4096.min(size - from)));
        }
        while ledger.snapshot().packed() + PACK_LEAVES <= size {
            std::thread::sleep(Duration::from_millis(20));
        }
        ledger.close().expect("closed");

        let ledger = open(dir.path());
        assert_eq!(ledger.size(), size);
        if let Some(signed) = ledger.checkpoint() {
            assert_eq!(signed.size, size);
            roots.push((size, signed.root));
            let report = verify_store(dir.path(), &VerifyOptions::default()).expect("a store");
            assert_eq!(report.verified(), Some(true), "{size}: {:#?}", report.problems);
            assert_eq!((report.size, report.checked.leaves), (Some(size), size));
        } else {
            assert_eq!(size, 0, "not signed");
        }
        // Of no leaves there is nothing to prove.
        for (old, root) in roots.iter().filter(|(old, _)| *old > 0) {
            let (_, new_root) = roots[roots.len() - 1];
            let proof = ledger.consistency(*old, size).expect("a proof");
            verify_consistency(*old, size, &proof, root, &new_root).expect("consistent");
            for index in [0, old - 1, old / 2] {
                let proof = ledger.inclusion(index, *old).expect("a proof");
                let leaf = leaf_hash(&ledger.leaf(index).expect("there").leaf);
                verify_inclusion(&leaf, index, *old, &proof, root).expect("included");
            }
        }
    }
    dir
}

#[test]
fn proofs_hold_at_and_between_the_edges_of_tiles_and_packs() {
    let report = verify_store(packed(), &VerifyOptions::default()).expect("a store");
    assert_eq!(report.size, SIZES.last().copied());
}

/// The files of a store that mean something.
fn files(of: &Path, folders: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(of.join(folder)).expect("listed") {
            let entry = entry.expect("read");
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            // A journal file that waits to be used means nothing yet.
            let spare = *folder == "journal" && fs::read(entry.path()).expect("read")[4096..4100] != *b"DFRM";
            if entry.file_type().expect("typed").is_file() && !spare {
                found.push(path);
            }
        }
    }
    assert!(found.len() >= folders.len(), "{found:?}");
    found
}

/// A copy of a store in which the file at `path` holds `bytes`.
fn with(store: &Path, path: &str, bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("folder");
    link(store, dir.path());
    let file = dir.path().join(path);
    fs::remove_file(&file).expect("removed");
    fs::write(&file, bytes).expect("written");
    dir
}

/// Large files are not changed in place but for journals, and these only where they are used.
fn link(of: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(of).expect("listed") {
        let entry = entry.expect("read");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let meta = entry.metadata().expect("measured");
        if meta.is_dir() {
            link(&from, &to);
        } else if meta.len() > 4 << 20 {
            fs::hard_link(from, to).expect("linked");
        } else {
            fs::copy(from, to).expect("copied");
        }
    }
}

/// Where damage shows: in the words of who refused, or of the report.
fn noticed(dir: &Path) -> Option<String> {
    let report = verify_store(dir, &VerifyOptions::default());
    let opened = Ledger::open(dir, Options { journal_file_bytes: 16 << 20, ..Options::default() });
    let mut said = String::new();
    match report {
        Err(error) => said += &error.to_string(),
        Ok(report) if report.verified() == Some(true) => {}
        Ok(report) => report
            .problems
            .iter()
            .for_each(|problem| said += &format!("{}: {}\n", problem.place, problem.what)),
    }
    if let Err(error) = opened {
        said += &error.to_string();
    }
    (!said.is_empty()).then_some(said)
}

#[test]
fn a_file_cut_short_is_noticed_whatever_it_is() {
    let all = [
        (packed(), files(packed(), &["packs", "disclosures", "index", "log/checkpoints"])),
        (small(), files(small(), &["journal", "keys", "log"])),
    ];
    for (store, path) in all.iter().flat_map(|(store, paths)| paths.iter().map(move |path| (store, path))) {
        let bytes = fs::read(store.join(path)).expect("read");
        // Behind its frames a journal file has nothing to lose.
        let lengths =
            if path.ends_with(".journal") { vec![0, 20, 4096, 4200] } else { vec![0, bytes.len() - 2] };
        for cut in lengths {
            let dir = with(store, path, &bytes[..cut]);
            let said =
                noticed(dir.path()).unwrap_or_else(|| panic!("`{path}` of {cut} bytes goes unnoticed"));
            assert!(names(&said, path), "`{path}` of {cut} bytes is not named: {said}");
        }
    }
}

/// Flipped bits in packs and what belongs to them are in `verify.rs`.
#[test]
fn a_flipped_bit_is_noticed_whatever_the_file() {
    for path in files(small(), &["journal", "keys", "log"]) {
        let bytes = fs::read(small().join(&path)).expect("read");
        for places in places(&path, &bytes) {
            let mut bad = bytes.clone();
            places.iter().for_each(|at| bad[*at] ^= 1);
            let dir = with(small(), &path, &bad);
            let said =
                noticed(dir.path()).unwrap_or_else(|| panic!("bytes {places:?} of `{path}` go unnoticed"));
            assert!(names(&said, &path), "bytes {places:?} of `{path}` are not named: {said}");
        }
    }
}

#[test]
fn what_the_lock_file_says_does_not_matter() {
    for said in ["", "process 1", "\u{0}\u{0}"] {
        let dir = with(small(), "lock", said.as_bytes());
        assert_eq!(noticed(dir.path()), None);
    }
}

/// Bytes of the file that mean something, to be changed one after another, or some together.
fn places(path: &str, bytes: &[u8]) -> Vec<Vec<usize>> {
    let length = bytes.len();
    let one_by_one = |places: &[usize]| places.iter().map(|at| vec![*at]).collect();
    match path.rsplit('/').next().unwrap_or_default() {
        // Header, first frame's header, its payload.
        name if name.ends_with(".journal") => one_by_one(&[1, 10, 18, 26, 4096, 4106, 4126, 4200]),
        // Where the tenant's key is, and where it was before: which page is in use is not known here.
        "keys.redb" => {
            let tenants: Vec<usize> =
                (0..length - 7).filter(|at| bytes[*at..].starts_with(b"default")).collect();
            assert!(!tenants.is_empty(), "no tenant has a key");
            [1, 20]
                .iter()
                .map(|offset| tenants.iter().map(|at| at + offset).collect())
                .chain([vec![0]])
                .collect()
        }
        name if name.ends_with(".seed") || name == "origin" => one_by_one(&[0, 5]),
        _ => one_by_one(&[0, 20, length / 3, length / 2, length - 2]),
    }
}

/// Whether who reads this knows where to look.
fn names(said: &str, path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = path.split('/').next().unwrap_or(path);
    match folder {
        // Another name or key of the log shows where it was used; leaves that are missing, in their count.
        "keys" => said.contains(name) || said.contains("does not verify") || said.contains("another log"),
        "journal" => said.contains(name) || said.contains("rolled back"),
        _ => said.contains(name),
    }
}
