//! `deed export --tiles`, `deed keys`, `deed schema`, `deed doctor`, `deed completions`.

use std::fs;

use crate::support::{Home, record};

#[test]
fn a_log_is_written_out_and_brought_up_to_date() {
    let home = Home::new();
    home.run(["export", "--tiles", "tiles"]).bad(3, &["there is no store"]);
    let all: String = (0..300).map(|number| record(number) + "\n").collect();
    home.run_with_input(["append", "-"], all.as_bytes()).good();
    let export = |json: &[&str]| home.run([&["export", "--tiles", "public/log"], json].concat());
    let written = export(&["--json"]).good().json();
    assert_eq!((&written["size"], &written["kept"]), (&300.into(), &0.into()));
    home.run(["verify", "public/log"]).good();
    home.run_with_input(["append", "-"], record(300).as_bytes()).good();
    let again = export(&["--json"]).good().json();
    assert_eq!(again["size"], 301);
    // Full tiles never change; the checkpoint and what is partial are new.
    assert!(again["kept"].as_u64().unwrap() >= 2, "{again}");
    assert!(export(&[]).good().out.contains("deed verify public/log"));
    home.run(["verify", "public/log"]).good();

    home.write("full/notes.txt", "hello");
    home.run(["export", "--tiles", "full"]).bad(1, &["failed to export", "something else", "empty folder"]);
    let other = Home::new();
    other.run_with_input(["append", "-"], record(1).as_bytes()).good();
    other.run(["export", "--tiles", home.path("public/log").to_str().unwrap()]).bad(1, &["another log"]);
}

#[test]
fn keys_are_printed_for_people_and_programs() {
    let home = Home::new();
    home.run(["keys"]).bad(3, &["there is no store"]);
    home.run_with_input(["append", "-"], record(1).as_bytes()).good();
    let keys = home.run(["keys", "--json"]).good().json();
    assert!(keys["origin"].as_str().unwrap().starts_with("deed-"));
    let vkeys: Vec<&str> =
        keys["vkeys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    assert_eq!(vkeys.len(), 2);
    assert!(keys["jwks"]["keys"].as_array().unwrap().iter().any(|key| key["crv"] == "Ed25519"));
    assert_eq!(home.run(["keys"]).good().out.lines().collect::<Vec<_>>(), vkeys);
}

#[test]
fn the_schema_is_json() {
    let schema = Home::new().run(["schema"]).good().json();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"), "{schema}");
}

#[test]
fn the_doctor_says_what_needs_attention() {
    let home = Home::new();
    home.run(["doctor"]).bad(3, &["there is no store"]);
    home.run_with_input(["append", "-"], record(1).as_bytes()).good();
    let health = home.run(["doctor", "--json"]).good().json();
    assert_eq!(health["ok"], true);
    let names: Vec<&str> =
        health["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in ["journal", "checkpoint", "disk", "keys", "clock"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(home.run(["doctor"]).good().out.contains("all is well"));
}

#[test]
fn shells_are_completed() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(home.run(["completions", shell]).good().out.contains("explain"), "{shell}");
    }
    assert_eq!(home.run(["completions", "cmd"]).code, 2);
    assert!(fs::read_dir(home.path("")).unwrap().next().is_none(), "nothing was made");
}
