//! A store that lost a part, or was damaged, as every command meets it.

use std::fs;

use crate::support::{Home, record};

#[test]
fn what_is_lost_is_named_by_who_only_looks_and_never_made_again() {
    for (part, name) in [
        ("keys", "keys/origin"),
        ("keys/keys.redb", "keys/keys.redb"),
        ("keys/ed25519.seed", "keys/ed25519.seed"),
        ("log/checkpoint", "log/checkpoint"),
    ] {
        let home = Home::with_migration();
        let path = home.store().join(part);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        home.run(["find"]).bad(5, &[name, "restore", "backup"]);
        home.run_with_input(["append", "-"], record(1).as_bytes()).bad(5, &[name]);
        assert!(!path.exists(), "{part} was made again");
        // A copy of the evidence without any key still proves itself.
        assert_eq!(home.run(["verify"]).code, if part == "keys" { 0 } else { 5 }, "{part}");
    }
}

#[test]
fn a_damaged_key_database_is_refused_without_a_panic() {
    let home = Home::with_migration();
    let path = home.store().join("keys/keys.redb");
    let good = fs::read(&path).unwrap();
    let mut refused = 0;
    for page in (4096..good.len()).step_by(4096).filter(|page| good[*page] != 0) {
        let mut bad = good.clone();
        bad[page] ^= 1;
        fs::write(&path, &bad).unwrap();
        let ran = home.run(["find"]);
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        if ran.code != 0 {
            // Where the damage brings back what it held before, keys are missing from it.
            let code = ran.code;
            assert!(matches!(code, 4 | 5), "{ran:?}");
            ran.bad(code, &["keys/keys.redb", "backup"]);
            assert!(matches!(home.run(["verify"]).code, 4 | 5));
            refused += 1;
        }
    }
    assert!(refused > 0, "no page is in use");
}

#[test]
fn many_short_commands_need_one_small_journal_file() {
    let home = Home::new();
    for at in 0..6 {
        home.run_with_input(["append", "-"], record(at).as_bytes()).good();
    }
    let files = fs::read_dir(home.store().join("journal")).unwrap();
    let sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes, [4 << 20]);
}
