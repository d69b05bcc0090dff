//! The worked policies of `examples/policies`: checked, tested, and their pages played.

use std::{fs, path::PathBuf, process::Command};

use deed_token::SigningKey;
use serde_json::json;

use crate::{
    run_identity::seconds,
    support::{Home, examples, finish},
};

fn folders() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        fs::read_dir(examples().join("policies")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(all.len() >= 2, "{all:?}");
    all
}

#[test]
fn worked_policies_are_good_and_decide_as_they_say() {
    let home = Home::new();
    for folder in folders() {
        let dir = folder.to_str().unwrap();
        home.run(["policy", "check", dir]).good();
        let tested = home.run(["policy", "test", dir, "--json"]).good().json();
        assert!(tested["cases"].as_array().unwrap().len() >= 15, "{dir}");
    }
}

/// The first block of commands on each page does what it says, in a shell that stops at the first failure.
#[test]
fn pages_of_worked_policies_can_be_played() {
    for folder in folders() {
        let page = fs::read_to_string(folder.join("README.md")).unwrap();
        let lines = page.lines().skip_while(|line| !line.starts_with("    "));
        let script: String = lines
            .take_while(|line| line.starts_with("    "))
            .map(|line| format!("{}\n", line.trim_start()))
            .collect();
        assert!(script.matches("deed run").count() >= 3, "{script}");
        let home = Home::new();
        let program = PathBuf::from(env!("CARGO_BIN_EXE_deed"));
        let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-euc", &script]).current_dir(examples().join("..")).env("PATH", path);
        shell.env_remove("DEED_SERVER").env_remove("DEED_ID_TOKEN").env("TMPDIR", home.path(""));
        let ran = finish(shell.output().unwrap()).good();
        assert!(!ran.out.contains("rotated") && !ran.out.contains("taken"), "{ran:?}");
    }
}

/// Whatever the time is: the job with its token is let rotate, or waits for the window's owners.
#[test]
fn the_rotation_job_is_known_by_its_token() {
    const ISSUER: &str = "https://token.actions.githubusercontent.com";
    let home = Home::new();
    let folder = examples().join("policies/vault-rotation");
    fs::create_dir_all(home.store()).unwrap();
    fs::copy(folder.join("inventory.toml"), home.store().join("inventory.toml")).unwrap();
    home.run(["policy", "publish", folder.to_str().unwrap()]).good();
    let key = SigningKey::ed25519(&[7; 32]).unwrap();
    home.write("jwks.json", json!({ "keys": [key.public().to_jwk()] }).to_string());
    let decided = |lifetime: u64| {
        let claims = json!({
            "iss": ISSUER, "aud": "deed-prod", "sub": "repo:acme/vault-rotation:ref:refs/heads/main",
            "iat": seconds() - 60, "exp": seconds() + lifetime, "repository": "acme/vault-rotation",
        });
        home.write("token", key.sign("JWT", &[], &claims).unwrap());
        let resource = "vault:database/rotate-root/orders";
        let flags = ["--issuer", ISSUER, "--issuer-jwks", "jwks.json", "--audience", "deed-prod"];
        let run = ["run", "--action", "rotate", "--resource", resource, "--id-token", "token", "--wait", "0"];
        home.run([&run[..], &flags, &["--", "true"]].concat());
        let found = home.run(["find", "--resource", resource, "--json", "--limit", "1"]).good().json_lines();
        let explained = home.run(["explain", found[0]["id"].as_str().unwrap(), "--json"]).good().json();
        assert_eq!(explained["executor"]["edge"], "proven");
        explained["decision"]["policies"].clone()
    };
    let good = decided(600);
    assert!([json!(["rotation-rotates"]), json!(["outside-the-rotation-window"])].contains(&good), "{good}");
    let long = decided(7200);
    assert!(long.as_array().unwrap().contains(&json!("short-lived-credential-only")), "{long}");
}
