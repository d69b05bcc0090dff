//! `deed verify`: what is good, and what was done to it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::Home;

#[test]
fn a_good_store_is_self_consistent() {
    let home = Home::with_migration();
    let report = home.run(["verify", "--json"]).good().json();
    assert_eq!(report["verified"], true);
    assert_eq!(report["self_consistent_only"], true);
    assert_eq!(report["size"], 9);
    assert_eq!(report["checked"]["leaves"], 9);
    assert!(report["checked"]["disclosures"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["problems"], serde_json::json!([]));
    assert_eq!(report["root"].as_str().unwrap().len(), 64);
    let text = home.run(["verify"]).good().out;
    assert!(text.starts_with("SELF-CONSISTENT ONLY") && text.contains("deed keys"), "{text}");
    // The same by name.
    home.run(["verify", home.store().to_str().unwrap()]).good();
}

#[test]
fn what_was_kept_elsewhere_is_held_against_it() {
    let home = Home::with_migration();
    let keys = home.write("deed.vkey", home.run(["keys"]).good().out);
    let kept = home.write("kept", fs::read(home.store().join("log/checkpoint")).unwrap());
    home.run_with_input(["append", "-"], crate::support::record(1).as_bytes()).good();
    let (keys, kept) = (keys.to_str().unwrap(), kept.to_str().unwrap());
    let report = home.run(["verify", "--json", "--vkey", keys, "--since", kept]).good().json();
    assert_eq!(
        (&report["verified"], &report["self_consistent_only"], &report["size"]),
        (&true.into(), &false.into(), &10.into())
    );
    assert!(home.run(["verify", "--vkey", keys]).good().out.starts_with("VERIFIED"));
    // A log made anew has other keys and another history.
    let other = Home::with_migration();
    other.run(["verify", "--vkey", keys]).bad_or_unverified();
    assert_eq!(other.run(["verify", "--since", kept]).code, 4);
    home.run(["verify", "--vkey", "nowhere"]).bad(1, &["failed to read the keys in `nowhere`"]);
    home.run(["verify", "--since", keys]).bad(1, &["failed to read the checkpoint"]);
    // With the right keys at hand the store's own damaged ones are told as well: nothing can go on with them.
    let seed = home.store().join("keys/ed25519.seed");
    let mut damaged = fs::read(&seed).unwrap();
    damaged[10] = if damaged[10] == b'1' { b'2' } else { b'1' };
    fs::write(&seed, damaged).unwrap();
    let told = home.run(["verify", "--vkey", keys]);
    assert!(told.code == 4 && told.out.contains("a seed is not what it was"), "{told:#?}");
}

impl crate::support::Ran {
    #[track_caller]
    fn bad_or_unverified(self) {
        assert!(matches!(self.code, 4 | 5), "{self:#?}");
    }
}

#[test]
fn a_flipped_byte_is_caught_wherever_it_is() {
    let home = Home::with_migration();
    // In a leaf, in a disclosure, in the checkpoint.
    let leaf = b"schema:alter".as_slice();
    let journal = fs::read_dir(home.store().join("journal"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| has(path, leaf))
        .unwrap();
    for (path, needle) in [(journal, leaf), (home.store().join("log/checkpoint"), b"9\n".as_slice())] {
        let good = fs::read(&path).unwrap();
        let at = good.windows(needle.len()).position(|window| window == needle).unwrap();
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, bad).unwrap();
        let ran = home.run(["verify", "--json"]);
        assert_eq!(ran.code, 4, "{}: {ran:?}", path.display());
        let report = ran.json();
        assert_eq!(report["verified"], false);
        assert!(!report["problems"].as_array().unwrap().is_empty(), "{report}");
        let text = home.run(["verify"]);
        assert!(
            text.out.starts_with("VIOLATED") && text.out.contains("keep this copy untouched"),
            "{text:?}"
        );
        fs::write(&path, good).unwrap();
    }
    home.run(["verify"]).good();
}

fn has(path: &Path, needle: &[u8]) -> bool {
    fs::read(path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
}

#[test]
fn what_is_missing_never_passes() {
    let home = Home::with_migration();
    let nowhere: PathBuf = home.path("nowhere");
    home.run(["verify", nowhere.to_str().unwrap()]).bad(3, &["nowhere", "no such folder"]);
    Home::new().run(["verify"]).bad(3, &["deed import auto PATH"]);
    fs::create_dir(&nowhere).unwrap();
    assert_eq!(home.run(["verify", nowhere.to_str().unwrap()]).code, 5);
    fs::remove_file(home.store().join("log/checkpoint")).unwrap();
    assert_eq!(home.run(["verify"]).code, 5);
    // A file that nobody knows is no good sign.
    let home = Home::with_migration();
    home.write("store/log/notes.txt", "hello");
    let ran = home.run(["verify"]);
    assert!(ran.code == 4 && ran.out.contains("log/notes.txt"), "{ran:?}");
}

/// What nobody can open is no problem of the log, and no reader of the first line takes it for checked.
#[test]
fn the_first_line_says_which_payloads_were_not_checked() {
    let record = |person: &str| {
        format!(
            r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","initiator":{{"key":"{person}","type":"human"}},"executor":{{"key":"a","type":"agent"}},"disclose":{{"arguments":{{"n":1}}}}}}"#
        )
    };
    let home = Home::new();
    home.run_with_input(["append", "-"], record("ann").as_bytes()).good();
    let keys = home.store().join("keys/keys.redb");
    let earlier = fs::read(&keys).unwrap();
    assert_eq!(home.run(["verify", "--json"]).good().json()["payloads_unchecked"], 0);
    for person in ["bob", "carol"] {
        home.run_with_input(["append", "-"], record(person).as_bytes()).good();
    }
    // Keys of an earlier time are missing some: said by whatever opens the store, with what to do.
    let now = fs::read(&keys).unwrap();
    fs::write(&keys, &earlier).unwrap();
    home.run(["find"]).bad(5, &["keys/keys.redb", "earlier time", "restore the newest backup"]);
    let told = home.run(["doctor"]);
    assert!(told.code == 5 && told.out.contains("keys/keys.redb"), "{told:#?}");
    let told = home.run(["verify"]);
    assert!(told.code == 5 && told.out.contains("keys/keys.redb"), "{told:#?}");
    // Where there are no others, their payloads are given up.
    fs::remove_file(home.store().join("log/data-keys")).unwrap();
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let told = home.run(["verify"]).good().out;
    assert!(
        first(&told).ends_with(
            "but for the payloads of 2 records, erased or without their key: they were not checked"
        ),
        "{told}"
    );
    assert_eq!(home.run(["verify", "--json"]).good().json()["payloads_unchecked"], 2);
    fs::write(&keys, &now).unwrap();
    assert!(!first(&home.run(["verify"]).good().out).contains("payloads"));
    fs::remove_dir_all(home.store().join("keys")).unwrap();
    let told = home.run(["verify"]).good().out;
    assert!(first(&told).ends_with("without `keys/` the payloads of 3 records were not checked"), "{told}");
}

#[test]
fn servers_and_folders_of_tiles_are_verified_too() {
    let home = Home::with_migration();
    let keys = home.write("deed.vkey", home.run(["keys"]).good().out);
    let serving = home.serve(&[]);
    let report =
        home.run(["verify", "--json", &serving.url(), "--vkey", keys.to_str().unwrap()]).good().json();
    assert_eq!(
        (&report["verified"], &report["size"], &report["self_consistent_only"]),
        (&true.into(), &9.into(), &false.into())
    );
    home.run(["verify", "--server", &serving.url()]).good();
    assert_eq!(serving.stop(), 0);
    home.run(["verify", "http://127.0.0.1:1"]).bad(7, &["failed to read the log", "127.0.0.1:1"]);
    home.run(["verify", "ftp://deed.example"]).bad(2, &["https://"]);

    home.run(["export", "--tiles", "tiles"]).good();
    let text = home.run(["verify", "tiles"]).good().out;
    assert!(text.contains("SELF-CONSISTENT ONLY") && text.contains("no signature was checked"), "{text}");
    let report = home.run(["verify", "--json", "tiles"]).good().json();
    assert_eq!(report["self_consistent_only"], true);
    assert_eq!(report["unchecked"][0]["where"], "checkpoint");
    let known = home.run(["verify", "--json", "tiles", "--vkey", keys.to_str().unwrap()]).good().json();
    assert_eq!(known["unchecked"], serde_json::json!([]));
    // A signature that is none.
    let checkpoint = home.path("tiles/checkpoint");
    let good = fs::read_to_string(&checkpoint).unwrap();
    fs::write(&checkpoint, format!("{}\n\n\u{2014} x AAA=\n", good.split("\n\n").next().unwrap())).unwrap();
    assert_eq!(home.run(["verify", "tiles"]).code, 4);
    fs::write(&checkpoint, good).unwrap();
    let bundle = home.path("tiles/tile/entries/000.p/9");
    let mut bytes = fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let ran = home.run(["verify", "tiles"]);
    assert!(ran.code == 4 && ran.out.contains("tile/entries/000.p/9"), "{ran:?}");
    fs::remove_file(bundle).unwrap();
    assert_eq!(home.run(["verify", "tiles"]).code, 5);
}

#[test]
fn what_is_derived_is_derived_again() {
    let home = Home::with_migration();
    let answer = home.run(["rebuild", "--json"]).good().json();
    assert_eq!(answer["same"], true, "{answer}");
    assert!(answer["rebuilt"].as_array().unwrap().iter().any(|part| part["name"] == "index"));
    assert!(home.run(["rebuild"]).good().out.starts_with("same"));
    home.run(["verify"]).good();
    home.run(["rebuild", "--data", "nowhere"]).bad(3, &["there is no store"]);
}

#[test]
fn a_server_that_asks_for_a_token_says_where_it_is_given() {
    let home = Home::with_migration();
    home.write(
        "store/deed.toml",
        "[[token]]\nname = \"ci\"\nhash = \"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\"\nrights = [\"read\"]\n",
    );
    let arguments = ["serve", "--json", "--listen", "0.0.0.0:0", "--otlp-grpc", "off", "--otlp-http", "off"];
    let serving = crate::support::serve(&mut home.command(arguments));
    let url = format!("http://127.0.0.1:{}", serving.http.unwrap().port());
    home.run(["verify", &url]).bad(1, &["failed to read the log", &url, "token", "$DEED_TOKEN"]);
    assert_eq!(serving.stop(), 0);
}
