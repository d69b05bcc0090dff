//! `deed mcp` with a spool: the store goes away, the process is killed, the store comes back.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use super::{Session, effects, policies, text_of};
use crate::support::{Home, record};

const POLICIES: &str = r#"
@id("write") @tier("low") permit (principal, action, resource == Deed::Tool::"files/write");
@id("wipe") permit (principal, action, resource == Deed::Tool::"files/wipe");
"#;

fn home(settings: &str) -> Home {
    let home = Home::new();
    let spool = home.path("spool");
    home.write("store/deed.toml", format!("[spool]\nfolder = \"{}\"\n{settings}", spool.display()));
    let folder = policies(&home, POLICIES);
    home.run(["policy", "publish", &folder]).good();
    home
}

fn rows(home: &Home, sql: &str) -> Vec<Value> {
    home.run(["sql", "--json", sql]).good().json_lines()
}

/// INVARIANT D1: killed at any moment of an outage, no more was done than was durable, in the log or in the spool; and
/// of what was durable nothing is lost, and nothing there twice.
#[test]
fn killed_with_a_spool_in_use_no_effect_is_without_its_record() {
    let home = home("");
    for round in 0..3 {
        let mut session = Session::start(&home, &[]);
        // Tools and callers are known by then.
        for tool in ["write", "wipe"] {
            session.call(tool, "/before");
        }
        fs::rename(home.store(), home.path("elsewhere")).unwrap();
        for _ in 0..40 {
            for tool in ["write", "wipe"] {
                session.send("tools/call", json!({ "name": tool, "arguments": { "path": "/away" } }));
            }
        }
        // Somewhere among them.
        for _ in 0..10 + 15 * round {
            session.hear();
        }
        session.child.kill().unwrap();
        session.child.wait().unwrap();
        fs::rename(home.path("elsewhere"), home.store()).unwrap();
    }
    let sql = "SELECT id, tool_name FROM records WHERE kind = 'intent' AND tool_name IS NOT NULL";
    let intents = rows(&home, sql);
    let ids: BTreeSet<&str> = intents.iter().filter_map(|row| row["id"].as_str()).collect();
    assert_eq!(ids.len(), intents.len(), "nothing is there twice");
    let effects = effects(&home);
    let done = |effect: &str| effects.iter().filter(|done| done.as_str() == effect).count();
    let writes = intents.iter().filter(|row| row["tool_name"] == "write").count();
    assert!(done("write /away") > 0, "the tier `low` went on: {effects:?}");
    assert!(done("write /before") + done("write /away") <= writes, "{effects:?} of {writes} intents");
    assert_eq!((done("wipe /before"), done("wipe /away")), (3, 0), "nothing else did");
    assert!(fs::read_dir(home.path("spool")).unwrap().all(|file| file.unwrap().file_name() == "lock"));
    home.run(["verify"]).good();

    let spooled = intents.iter().find_map(|row| {
        let id = row["id"].as_str().unwrap();
        let answer = home.run(["explain", id, "--json"]).good().json();
        answer["action"]["spooled"].is_string().then(|| id.to_owned())
    });
    let shown = home.run(["explain", &spooled.expect("one of them waited in the spool")]).good().out;
    assert!(shown.contains("s after the act, from the spool"), "{shown}");
    let doctor = home.run(["doctor", "--json"]).json();
    let checks = doctor["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["name"] == "spool" && check["ok"] == true), "{doctor}");
}

#[test]
fn a_full_spool_refuses_and_names_itself() {
    let home = home("max_bytes = 65536\n");
    let mut session = Session::start(&home, &[]);
    session.call("write", "/before");
    fs::rename(home.store(), home.path("elsewhere")).unwrap();
    let refusal =
        (0..200).map(|_| session.call("write", "/away")).find(|answer| answer["result"]["isError"] == true);
    let refusal = refusal.expect("it is bounded");
    let text = text_of(&refusal);
    assert!(text.starts_with("Not done: the recorder cannot write"), "{text}");
    assert!(text.contains("it is full") && text.contains(home.path("spool").to_str().unwrap()), "{text}");
    let done = effects(&home).len();
    assert!(done > 1, "some went on before");
    session.child.kill().unwrap();
    session.child.wait().unwrap();
    fs::rename(home.path("elsewhere"), home.store()).unwrap();
    let sql = "SELECT count(*) AS n FROM records WHERE kind = 'intent' AND tool_name = 'write'";
    assert!(rows(&home, sql)[0]["n"].as_u64().unwrap() >= done as u64);
}

#[test]
fn settings_that_make_no_sense_are_named_at_the_start() {
    for (settings, word) in [
        ("[spool]\nfolder = \"spool\"\n", "expected a whole path"),
        ("[spool]\nfolder = \"/nonexistent/../spool\"\n", "expected a whole path"),
        ("[spool]\nfolder = \"/spool\"\nmax_bytes = 1\n", "expected 65536"),
        ("[spool]\nmax_seconds = 5\n", "folder"),
        ("[spool]\nfolder = \"STORE/spool\"\n", "lie one in the other"),
    ] {
        let home = Home::new();
        let text = settings.replace("STORE", home.store().to_str().unwrap());
        home.write("store/deed.toml", text);
        home.run_with_input(["append", "-"], record(1).as_bytes()).bad(1, &[word]);
    }
}
