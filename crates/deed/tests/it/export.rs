//! `deed export`, `deed keys`, `deed schema`, `deed doctor`, `deed completions`.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use serde_json::Value;

use crate::support::{Home, ODD, TRACE, record, signal};

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

/// What was once shown of a log is not replaced by another history of it (D3).
#[test]
fn a_fork_is_not_written_over_what_is_there() {
    let home = Home::new();
    let append = |home: &Home, store: &str, numbers: std::ops::Range<u64>| {
        let records: String = numbers.map(|number| record(number) + "\n").collect();
        home.run_with_input(["append", "--data", store, "-"], records.as_bytes()).good();
    };
    append(&home, "one", 0..3);
    let copied = std::process::Command::new("cp")
        .args(["-a", "one", "other"])
        .current_dir(home.path(""))
        .status()
        .unwrap();
    assert!(copied.success());
    append(&home, "one", 3..300);
    let export = |store: &str| home.run(["export", "--data", store, "--tiles", "mirror"]);
    export("one").good();
    let shown = fs::read(home.path("mirror/checkpoint")).unwrap();
    // As long as the one that is there, and longer.
    for numbers in [1003..1300, 1300..1400] {
        append(&home, "other", numbers);
        export("other").bad(1, &["failed to export", "300 leaves that this log does not continue"]);
        assert_eq!(fs::read(home.path("mirror/checkpoint")).unwrap(), shown);
        home.run(["verify", "mirror"]).good();
    }
    append(&home, "one", 300..600);
    export("one").good();
    home.run(["verify", "mirror"]).good();

    // What an export left that was cut short is taken up by the same log alone, and nothing of another comes into it.
    fs::rename(home.path("mirror/checkpoint"), home.path("mirror/checkpoint.next")).unwrap();
    fs::remove_file(home.path("mirror/tile/0/000")).unwrap();
    append(&home, "other", 1400..1700);
    export("other").bad(1, &["failed to export", "600 leaves that this log does not continue"]);
    export("one").good();
    assert!(!home.path("mirror/checkpoint.next").exists());
    home.run(["verify", "mirror"]).good();

    // Tiles that no checkpoint vouches for may be anyone's.
    fs::remove_file(home.path("mirror/checkpoint")).unwrap();
    for store in ["one", "other"] {
        export(store).bad(1, &["something else", "empty folder"]);
    }
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

#[test]
fn events_leave_in_the_order_of_the_log_and_without_names() {
    let home = Home::with_migration();
    home.run(["export"]).bad(2, &["--format"]);
    home.run(["export", "--format", "csv"]).bad(2, &["ocsf"]);
    let events = home.run(["export", "--format", "ocsf"]).good().json_lines();
    let sequence: Vec<i64> =
        events.iter().map(|event| event["metadata"]["sequence"].as_i64().unwrap()).collect();
    assert!(sequence.is_sorted() && events.len() > 5, "{sequence:?}");
    let findings: Vec<_> = events.iter().filter(|event| event["class_uid"] == 2004).collect();
    let alone = home.run(["export", "--format", "ocsf", "--findings"]).good().json_lines();
    assert_eq!(findings, alone.iter().collect::<Vec<_>>());
    assert!(!alone.is_empty());

    let one = home.run(["export", ODD, "--format", "ocsf"]).good();
    assert_eq!(one.json_lines()[0]["metadata"]["uid"], ODD);
    let name =
        home.run(["explain", ODD, "--json"]).good().json()["executor"]["key"].as_str().unwrap().to_owned();
    assert!(!one.out.contains(&name), "{name} in {}", one.out);
    assert!(home.run(["export", ODD, "--format", "ocsf", "--names"]).good().out.contains(&name));
    home.run(["export", "019f92a4-7c00-7000-8000-00000000ffff", "--format", "ocsf"]).bad(3, &["no record"]);

    let of_trace = home.run(["export", "--format", "ocsf", "--trace", TRACE]).good().json_lines();
    assert!(
        of_trace.iter().all(|event| event["metadata"]["correlation_uid"] == TRACE) && !of_trace.is_empty()
    );
    let wrote = home.run(["export", "--format", "ocsf", "-o", "all.ndjson", "--json"]).good().json();
    assert_eq!(wrote["records"], events.len());
    let file = fs::read_to_string(home.path("all.ndjson")).unwrap();
    assert_eq!((file.lines().count(), wrote["size"].as_u64()), (events.len(), Some(file.len() as u64)));
}

#[test]
fn whoever_follows_hears_of_an_action_and_of_its_end() {
    let home = Home::new();
    let serving = home.serve(&[]);
    let mut following =
        home.command(["export", "--format", "ocsf", "--follow"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let intent = r#"{"kind":"intent","id":"019f92a4-7c00-7000-8000-0000000000aa","time":"2026-11-20T10:00:00Z",
        "executor":{"type":"agent","key":"agent:a"},"operation":"tools/call"}"#;
    home.run_with_input(["append", "-"], intent.replace('\n', " ").as_bytes()).good();
    let begun = next();
    assert_eq!((&begun["status_id"], &begun["metadata"]["sequence"]), (&0.into(), &0.into()), "{begun}");
    let outcome = r#"{"kind":"outcome","time":"2026-11-20T10:00:01Z","action":"019f92a4-7c00-7000-8000-0000000000aa",
        "executor":{"type":"agent","key":"agent:a"},"outcome":{"status":"success"}}"#;
    home.run_with_input(["append", "-"], outcome.replace('\n', " ").as_bytes()).good();
    let ended = next();
    assert_eq!(
        (&ended["status_id"], &ended["metadata"]["uid"]),
        (&1.into(), &begun["metadata"]["uid"]),
        "{ended}"
    );
    // Whoever comes later hears of it once, as it ended.
    let events = home.run(["export", "--format", "ocsf"]).good().json_lines();
    // Only more of the log may be signed by then.
    let unsigned = |mut event: Value| {
        event["unmapped"]["integrity"].as_object_mut().unwrap().remove("checkpoint_size");
        event
    };
    assert_eq!(events.into_iter().map(unsigned).collect::<Vec<_>>(), [unsigned(ended)]);
    signal(&following, "INT");
    assert_eq!(following.wait().unwrap().code(), Some(0));
    assert_eq!(serving.stop(), 0);
}
