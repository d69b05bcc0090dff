//! The program as its callers meet it: exit codes, what it says, what it links.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use deed_seal::checkpoint::Checkpoint;
use deed_seal::hash::{Hash, leaf_hash};
use deed_seal::merkle::Frontier;
use deed_seal::note::{Ed25519Signer, Note, Signer as _};
use deed_seal::tile::{TilePath, bundle_encode, tile_root};
use serde_json::{Value, json};
use tempfile::TempDir;

const TESSERA: &str = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx";

/// What a run gave.
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_deed-verify"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A folder with `log/`, a log of `size` entries, and `key`, its public key.
fn log(size: u64) -> TempDir {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("log");
    let leaves: Vec<_> = (0..size).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect();
    let mut levels = vec![leaves];
    while levels[levels.len() - 1].len() >= 256 {
        let below = &levels[levels.len() - 1];
        levels.push(below.as_chunks::<256>().0.iter().map(|hashes| tile_root(hashes)).collect());
    }
    for path in TilePath::all(size) {
        let bytes = match path {
            TilePath::Hashes { level, index, width } => {
                let start = index as usize * 256;
                let hashes = &levels[usize::from(level)][start..start + usize::from(width)];
                hashes.iter().flat_map(|hash| hash.0).collect()
            }
            TilePath::Entries { index, width } => {
                let entries: Vec<_> =
                    (index * 256..).take(width.into()).map(|i| format!("entry {i}").into_bytes()).collect();
                bundle_encode(entries.iter().map(Vec::as_slice)).unwrap()
            }
        };
        write(&root.join(path.to_string()), &bytes);
    }
    write(&root.join("checkpoint"), checkpoint(size, &levels[0]).as_bytes());
    write(&folder.path().join("key"), format!("{}\n", signer().verifier_key()).as_bytes());
    folder
}

fn signer() -> Ed25519Signer {
    Ed25519Signer::new("example.com/log", &[7; 32]).unwrap()
}

fn checkpoint(size: u64, leaves: &[Hash]) -> String {
    let mut tree = Frontier::new();
    leaves[..size as usize].iter().for_each(|leaf| tree.push(*leaf));
    let checkpoint = Checkpoint::new("example.com/log", size, tree.root());
    Note::sign(checkpoint.to_text(), &[&signer()]).unwrap().to_string()
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn flip(path: &Path, byte: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

#[test]
fn a_whole_log_is_verified_with_its_key() {
    let folder = log(600);
    let run = run(folder.path(), &["log", "--vkey", "key"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let root = run.out.lines().find_map(|line| line.strip_prefix("  root       ")).unwrap();
    let expected = format!(
        "\
VERIFIED  log

  log        example.com/log, 600 leaves
  root       {root}
  checked    600 leaves, 7 files, 1 checkpoint
  found      0 violated, 0 unverified
  signed by  example.com/log
"
    );
    assert_eq!(run.out, expected);
}

#[test]
fn without_a_key_it_says_self_consistent_only() {
    let folder = log(3);
    let run1 = run(folder.path(), &["log"]);
    assert_eq!(run1.code, 0);
    let root = run1.out.lines().find_map(|line| line.strip_prefix("  root       ")).unwrap();
    let expected = format!(
        "\
SELF-CONSISTENT ONLY  log

  log        example.com/log, 3 leaves
  root       {root}
  checked    3 leaves, 2 files, 1 checkpoint
  found      0 violated, 0 unverified
  signed by  nobody that is known here: self-consistent only, no key kept elsewhere vouches for it
  unchecked  checkpoint: its signatures were not checked, for no key was given: nothing vouches that `example.com/log` signed it
  what now   get the log's key from someone else: deed-verify log --vkey FILE
"
    );
    assert_eq!(run1.out, expected);
    assert_eq!(run(folder.path(), &["log", "--json"]).json()["self_consistent_only"], true);
}

#[test]
fn a_signature_that_nobody_checked_is_named_and_one_that_is_none_is_wrong() {
    let folder = log(3);
    let path = folder.path().join("log/checkpoint");
    let good = fs::read_to_string(&path).unwrap();
    let signature = good.lines().last().unwrap().to_owned();
    // Well formed, by nobody: without a key it cannot be told from a good one, and that is said.
    let forged =
        good.replace(&signature, "\u{2014} example.com/log 33d7b49hR2FyYmFnZSBhbmQgbm90aGluZyBlbHNl");
    fs::write(&path, &forged).unwrap();
    let answer = run(folder.path(), &["log", "--json"]).json();
    assert_eq!((&answer["verified"], &answer["self_consistent_only"]), (&json!(true), &json!(true)));
    assert_eq!(answer["unchecked"][0]["where"], "checkpoint");
    assert!(answer["unchecked"][0]["why"].as_str().unwrap().contains("not checked"), "{answer}");
    assert_eq!(run(folder.path(), &["log", "--vkey", "key"]).code, 5);
    // No base64, no key id, no mark: no signature at all.
    for line in ["\u{2014} example.com/log !!!!", "\u{2014} example.com/log AAA=", "example.com/log AAAAAAAA"]
    {
        fs::write(&path, good.replace(&signature, line)).unwrap();
        let run = run(folder.path(), &["log", "--json"]);
        assert_eq!(run.code, 4, "{line}: {}", run.out);
        assert_eq!(run.json()["problems"][0]["where"], "checkpoint");
    }
}

#[test]
fn names_of_files_move_no_cursor() {
    let folder = log(3);
    write(&folder.path().join("log/\u{1b}[2J"), b"");
    let run = run(folder.path(), &["log"]);
    assert!(!run.out.contains('\u{1b}') && run.out.contains("[2J"), "{:?}", run.out);
}

#[test]
fn a_flipped_byte_is_named_with_file_and_leaf() {
    let folder = log(600);
    flip(&folder.path().join("log/tile/entries/001"), 5);
    let run1 = run(folder.path(), &["log", "--vkey", "key"]);
    assert_eq!(run1.code, 4);
    let root = run1.out.lines().find_map(|line| line.strip_prefix("  root       ")).unwrap();
    let expected = format!(
        "\
VIOLATED  log
  tile/entries/001: leaf 256: the entry does not have the hash in `tile/0/001`, with which the tile above agrees

  log        example.com/log, 600 leaves
  root       {root}
  checked    600 leaves, 7 files, 1 checkpoint
  found      1 violated, 0 unverified
  signed by  example.com/log
  what now   keep this copy untouched, compare with a backup: deed-verify BACKUP --since log/checkpoint
"
    );
    assert_eq!(run1.out, expected);
    let answer = run(folder.path(), &["--json", "--vkey=key", "log"]).json();
    assert_eq!(answer["verified"], false);
    assert_eq!(answer["problems"][0]["where"], "tile/entries/001");
    assert_eq!(answer["problems"][0]["kind"], "violated");
}

#[test]
fn any_flipped_byte_is_violated_and_any_missing_file_unverified() {
    let folder = log(260);
    let root = folder.path().join("log");
    for file in files_below(&root) {
        let bytes = fs::read(&file).unwrap();
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        for byte in [0, bytes.len() / 2, bytes.len() - 1] {
            flip(&file, byte);
            let run = run(folder.path(), &["log", "--vkey", "key", "--json"]);
            // A signature with another key id is one by a stranger: none by the given key is there.
            let by_stranger = name == "checkpoint" && byte == bytes.len() / 2;
            assert_eq!(run.code, if by_stranger { 5 } else { 4 }, "{name}, byte {byte}");
            assert!(run.out.contains(&name));
            fs::write(&file, &bytes).unwrap();
        }
        fs::remove_file(&file).unwrap();
        let run = run(folder.path(), &["log", "--vkey", "key", "--json"]);
        assert_eq!(run.code, 5, "{name}");
        let answer = run.json();
        assert_eq!(answer["verified"], Value::Null);
        assert_eq!(answer["problems"][0]["where"], name);
        fs::write(&file, &bytes).unwrap();
    }
    assert_eq!(run(folder.path(), &["log", "--vkey", "key"]).code, 0);
}

#[test]
fn missing_things_are_told_apart_from_wrong_ones() {
    let folder = log(3);
    fs::remove_file(folder.path().join("log/tile/entries/000.p/3")).unwrap();
    let run1 = run(folder.path(), &["log"]);
    assert_eq!(run1.code, 5);
    assert!(
        run1.out.starts_with("UNVERIFIED  log\n  tile/entries/000.p/3: unverified: is missing\n"),
        "{}",
        run1.out
    );
    assert!(run1.out.ends_with("fetch what is missing again, from another copy if need be\n"));
    // An empty folder holds nothing that could be verified.
    fs::create_dir(folder.path().join("empty")).unwrap();
    let run2 = run(folder.path(), &["empty"]);
    assert_eq!(run2.code, 5);
    assert!(run2.out.contains("checkpoint: unverified: is missing"));
}

#[test]
fn every_file_of_the_folder_is_accounted_for() {
    let folder = log(600);
    let root = folder.path().join("log");
    let leaves: Vec<_> = (0..600).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect();
    write(&root.join("notes/README"), b"hello");
    write(&root.join("tile/0/003"), &[1; 8192]);
    write(&root.join("tile/0/3"), b"no tile");
    write(&root.join("checkpoint.300"), checkpoint(300, &leaves).as_bytes());
    write(&root.join("tile/0/001.p/44"), &fs::read(root.join("tile/0/001")).unwrap()[..44 * 32]);
    let run1 = run(folder.path(), &["log", "--vkey", "key", "--json"]);
    assert_eq!(run1.code, 0, "{}", run1.out);
    let answer = run1.json();
    assert_eq!(answer["checked"]["checkpoints"], 2);
    assert_eq!(
        answer["unchecked"],
        json!([
            { "where": "tile/0/003", "why": "belongs to leaves beyond the 600 of the checkpoint" },
            { "where": "notes/README", "why": "not part of a static log" },
            { "where": "tile/0/3", "why": "not part of a static log" },
        ])
    );
    flip(&root.join("tile/0/001.p/44"), 100);
    assert_eq!(run(folder.path(), &["log", "--vkey", "key"]).code, 4);
    flip(&root.join("tile/0/001.p/44"), 100);
    write(&root.join("checkpoint.300"), checkpoint(300, &leaves[300..]).as_bytes());
    let run2 = run(folder.path(), &["log"]);
    assert_eq!(run2.code, 4);
    assert!(run2.out.contains("checkpoint.300: the log does not continue it"), "{}", run2.out);
}

/// A pipe is not waited for, and what a link leads to is no part of the folder.
#[test]
#[cfg(unix)]
fn what_is_no_plain_file_of_the_folder_is_named() {
    let folder = log(3);
    let root = folder.path().join("log");
    let elsewhere = folder.path().join("elsewhere");
    let link = |from: &str| {
        fs::rename(root.join(from), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join(from)).unwrap();
    };
    let pipe = |from: &str| {
        fs::rename(root.join(from), &elsewhere).unwrap();
        assert!(Command::new("mkfifo").arg(root.join(from)).status().unwrap().success());
    };
    for from in ["tile/0/000.p/3", "tile/entries/000.p/3", "tile/0", "checkpoint"] {
        for (make, is) in [(&link as &dyn Fn(&str), "a symbolic link"), (&pipe, "no plain file")] {
            make(from);
            let run = run(folder.path(), &["log", "--vkey", "key", "--json"]);
            assert_eq!(run.code, 5, "{from} is {is}: {}", run.out);
            let problem = &run.json()["problems"][0];
            let part = from.rsplit('/').next().unwrap();
            assert!(problem["where"].as_str().unwrap().starts_with(from), "{problem}");
            assert_eq!(problem["what"], format!("cannot be read: `{part}` is {is}"));
            fs::remove_file(root.join(from)).unwrap();
            fs::rename(&elsewhere, root.join(from)).unwrap();
        }
    }
    // Beside the log it is no problem, and is named.
    fs::copy(root.join("checkpoint"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, root.join("checkpoint.old")).unwrap();
    assert!(Command::new("mkfifo").arg(root.join("notes")).status().unwrap().success());
    let run = run(folder.path(), &["log", "--vkey", "key", "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    assert_eq!(
        run.json()["unchecked"],
        json!([
            { "where": "checkpoint.old", "why": "cannot be read: `checkpoint.old` is a symbolic link" },
            { "where": "notes", "why": "not part of a static log" },
        ])
    );
}

/// A sparse file may be longer than memory.
#[test]
fn a_file_longer_than_it_can_be_is_wrong_and_not_read_to_its_end() {
    let folder = log(300);
    for (name, says) in [
        ("tile/0/000", "is longer than the 8192 bytes that it can have"),
        ("tile/entries/001.p/44", "is longer than the 2883628 bytes that it can have"),
        ("checkpoint", "the note has more than 1048576 bytes"),
    ] {
        let path = folder.path().join("log").join(name);
        let good = fs::read(&path).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let run = run(folder.path(), &["log", "--vkey", "key", "--json"]);
        assert_eq!(run.code, 4, "{name}: {}", run.out);
        let problem = &run.json()["problems"][0];
        assert_eq!((&problem["where"], &problem["what"]), (&json!(name), &json!(says)));
        fs::write(&path, good).unwrap();
    }
}

#[test]
fn a_signature_that_no_given_key_could_check_is_named() {
    let folder = log(3);
    let path = folder.path().join("log/checkpoint");
    let witness = Ed25519Signer::new("example.com/witness", &[9; 32]).unwrap();
    let checkpoint = Checkpoint::open_unverified(&fs::read(&path).unwrap()).unwrap().0;
    let note = Note::sign(checkpoint.to_text(), &[&signer(), &witness]).unwrap();
    write(&path, note.to_string().as_bytes());
    let answer = run(folder.path(), &["log", "--vkey", "key", "--json"]).json();
    assert_eq!(answer["verified"], true);
    assert_eq!(answer["unchecked"][0]["where"], "checkpoint");
    assert!(answer["unchecked"][0]["why"].as_str().unwrap().contains("`example.com/witness`"), "{answer}");
    let both = ["log", "--json", "--vkey", "key", "--vkey", &witness.verifier_key().to_string()];
    assert_eq!(run(folder.path(), &both).json()["unchecked"], json!([]));
}

#[test]
fn kept_checkpoints_and_keys_are_held_against_it() {
    let folder = log(600);
    let leaves: Vec<_> = (0..700).map(|i| leaf_hash(format!("entry {i}").as_bytes())).collect();
    write(&folder.path().join("old"), checkpoint(300, &leaves).as_bytes());
    write(&folder.path().join("newer"), checkpoint(700, &leaves).as_bytes());
    write(&folder.path().join("forked"), checkpoint(300, &leaves[1..]).as_bytes());
    let code = |arguments: &[&str]| run(folder.path(), &[&["log"], arguments].concat()).code;
    assert_eq!(code(&["--vkey", "key", "--since", "old"]), 0);
    assert_eq!(code(&["--since", "old"]), 0);
    assert_eq!(code(&["--since", "newer"]), 4);
    assert_eq!(code(&["--since", "forked"]), 4);
    assert_eq!(code(&["--vkey", TESSERA]), 5);
    assert_eq!(code(&["--vkey", "key", "--vkey", TESSERA]), 0);
    // A key that is another's: the name is right, the key is not.
    let impostor = Ed25519Signer::new("example.com/log", &[1; 32]).unwrap().verifier_key();
    write(&folder.path().join("impostor"), impostor.to_string().as_bytes());
    assert_eq!(code(&["--vkey", "impostor"]), 5);
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let folder = log(3);
    write(&folder.path().join("garbage"), b"no key\n");
    write(&folder.path().join("blank"), b"\n\n");
    for (arguments, code, message) in [
        (&[] as &[&str], 2, "error: which folder is to be verified?"),
        (&["log", "log"], 2, "error: one folder at a time, `log` is too many"),
        (&["log", "--frobnicate"], 2, "error: unknown option `--frobnicate`"),
        (&["log", "--json=yes"], 2, "error: unknown option `--json=yes`"),
        (&["log", "--vkey"], 2, "error: --vkey needs a value"),
        (&["log", "--since"], 2, "error: --since needs a value"),
        (&["nowhere"], 1, "error: cannot open `nowhere`: "),
        (&["log", "--vkey", "nowhere"], 1, "error: cannot read `nowhere`: "),
        (&["log", "--vkey", "garbage"], 1, "error: `garbage`, line 1: `no key` is not a verifier key"),
        (&["log", "--vkey", "blank"], 1, "error: `blank` holds no key"),
        (&["log", "--since", "garbage"], 1, "error: `garbage`: the note has no signature lines"),
        (&["log", "--since", "nowhere"], 1, "error: cannot read `nowhere`: "),
    ] {
        let run = run(folder.path(), arguments);
        assert_eq!((run.code, run.out.as_str()), (code, ""), "{arguments:?}");
        assert!(run.err.starts_with(message), "{arguments:?}: {}", run.err);
        assert_eq!(run.err.contains("usage: deed-verify DIR"), code == 2);
    }
}

#[test]
fn help_and_version_are_told() {
    let help = run(Path::new("."), &["--help"]);
    assert_eq!(help.code, 0);
    for option in ["DIR", "--vkey FILE", "--since CHECKPOINT", "--json", "--version", "exit code"] {
        assert!(help.out.contains(option), "{option}");
    }
    assert!(help.out.lines().all(|line| line.len() <= 100));
    let version = run(Path::new("."), &["-V"]);
    assert_eq!(version.out, format!("deed-verify {}\n", env!("CARGO_PKG_VERSION")));
}

/// A log that Deed did not make.
#[test]
fn tessera_s_log_is_verified() {
    let Some(root) = std::env::var_os("DEED_VECTORS") else {
        eprintln!("skipped: DEED_VECTORS does not name the folder of the public vectors");
        return;
    };
    let run = run(&Path::new(&root).join("tessera-log"), &[".", "--vkey", TESSERA, "--json"]);
    assert_eq!(run.code, 0, "{}", run.out);
    let answer = run.json();
    assert_eq!((&answer["verified"], &answer["size"]), (&json!(true), &json!(15)));
    assert_eq!(
        answer["checked"],
        json!({ "leaves": 15, "files": 58, "checkpoints": 17, "packs": 0, "disclosures": 0, "rows": 0 })
    );
}

/// An auditor has to trust what is linked: fewer than forty crates, build-time ones included.
#[test]
fn few_crates_are_linked() {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "-p", "deed-verify", "--prefix", "none", "-e", "normal", "--no-dedupe"])
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<_> = listed.lines().filter(|line| !line.is_empty()).collect();
    assert!((2..40).contains(&crates.len()), "{} crates: {crates:#?}", crates.len());
    for heavy in ["tokio", "hyper", "aws-lc-rs", "deed-record", "deed-ledger"] {
        assert!(!crates.iter().any(|name| name.starts_with(heavy)), "{heavy}");
    }
}
