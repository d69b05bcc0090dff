//! Replays the corpus and changes to it, always the same ones.
//!
//! A failure names the file and the change, and leaves the bytes where `fuzz/run TARGET FILE` finds them.

mod mutation;

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
};

use deed_fuzz::TARGETS;
use mutation::Random;

/// Bytes that the changed inputs of one target have together, more or less: a few seconds in all.
const WORK: usize = 1_200_000;

fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let read = |entry: std::io::Result<fs::DirEntry>| -> std::io::Result<(String, Vec<u8>)> {
        let entry = entry?;
        Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
    };
    let files = fs::read_dir(&folder).and_then(|entries| entries.map(read).collect());
    let mut files: Vec<_> = files.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files.sort();
    files
}

fn replay(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let files = corpus(target);
    assert!(!files.is_empty(), "the corpus of `{target}` is empty");
    let try_it = |bytes: &[u8], what: &str| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(bytes))) {
            let kept = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-failed"));
            fs::write(&kept, bytes).expect("a file");
            eprintln!("`{target}` fails for {what}; the bytes are in {}", kept.display());
            resume_unwind(panic);
        }
    };
    for (name, bytes) in &files {
        try_it(bytes, name);
    }
    for (at, (name, bytes)) in files.iter().enumerate() {
        let changes = (WORK / files.len() / (bytes.len() + 500)).clamp(4, 2000);
        for change in 0..changes {
            let mut random = Random::new(target, name, change);
            let other = &files[(at + 1 + random.below(files.len())) % files.len()].1;
            try_it(&mutation::changed(bytes, other, &mut random), &format!("{name}, change {change}"));
        }
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)) })*

        #[test]
        fn every_target_is_replayed_and_can_be_searched() {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
            for name in names {
                let program = folder.join("fuzz_targets").join(format!("{name}.rs"));
                let text = fs::read_to_string(&program).unwrap_or_else(|error| panic!("{}: {error}", program.display()));
                assert!(text.contains(&format!("deed_fuzz::{name}(")), "{}", program.display());
            }
        }
    };
}

targets! {
    cloudtrail disclosure entra github index journal kubernetes log mapping mcp note okta otlp_json otlp_protobuf pack proof
    record secret skeleton spool ssf teleport tile vault vault_audit
}

#[test]
fn the_corpus_stays_small() {
    let mut sum = 0;
    for (target, _) in TARGETS {
        for (name, bytes) in corpus(target) {
            assert!(bytes.len() <= 64 * 1024, "corpus/{target}/{name} has {} bytes", bytes.len());
            sum += bytes.len();
        }
    }
    assert!(sum <= 300 * 1024, "the corpus has {sum} bytes");
}
