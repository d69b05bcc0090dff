//! `deed demo`.

use crate::support::Home;

#[test]
fn plays_to_the_end_and_leaves_a_good_store() {
    let home = Home::new();
    let ran = home.run(["demo"]).good();
    for word in [
        "triage",
        "LeaveOrganization",
        "christophe",
        "Ann Meyer",
        "Dana Okafor",
        "ALTER TABLE",
        "does not add up",
        "ABUSE",
        "verified",
        "kept out",
        "caught",
    ] {
        assert!(ran.out.contains(word), "`{word}` is not told: {}", ran.out);
    }
    let narrow = crate::support::finish(home.command(["demo"]).env("COLUMNS", "60").output().unwrap()).good();
    for (width, out) in [(100, &ran.out), (60, &narrow.out)] {
        for line in out.lines().filter(|line| !line.contains('/')) {
            assert!(line.chars().count() <= width, "{line}\n{out}");
        }
    }
    assert!(!ran.out.contains("  next "), "what is next is said once, for this store: {}", ran.out);
    assert!(ran.err.is_empty(), "{}", ran.err);
    // What it says to try next works on this very store.
    let next = ran.out.split("Look around in this store").nth(1).unwrap();
    let tried: Vec<&str> = next
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("/") || line.starts_with("deed "))
        .collect();
    assert!(tried.len() >= 5, "{}", ran.out);
    let store = home.path("share/deed-demo");
    for line in tried {
        let command = line.split('#').next().unwrap();
        let arguments: Vec<&str> = command.split_whitespace().skip(1).collect();
        let mut command = home.command(&arguments);
        crate::support::finish(command.env("DEED_DATA", &store).output().unwrap()).good();
    }
    assert!(!store.join("deed.sock").exists(), "nothing runs any more");
    // Again: a fresh store in place of the old one.
    home.run(["demo", "--once"]).good();
}

#[test]
fn tells_programs_what_it_played() {
    let home = Home::new();
    let data = home.path("chosen");
    let answer = home.run(["demo", "--once", "--json", "--data", data.to_str().unwrap()]).good().json();
    assert_eq!(answer["data"], data.to_str().unwrap());
    assert_eq!(answer["verified"], true);
    assert!(!answer["caught"].as_array().unwrap().is_empty());
    let stories = answer["stories"].as_array().unwrap();
    assert_eq!(stories.len(), 3);
    for story in stories {
        assert!(
            story["name"].is_string() && story["action_id"].is_string() && story.get("trace_id").is_some(),
            "{story}"
        );
        home.run(["explain", "--data", data.to_str().unwrap(), story["action_id"].as_str().unwrap()]).good();
    }
    // Never over something else.
    home.run(["demo", "--data", data.to_str().unwrap()]).bad(1, &["not empty"]);
    home.write("share/deed-demo/letters.txt", "dear");
    home.run(["demo"]).bad(1, &["something else", "--data DIR"]);
    assert!(home.path("share/deed-demo/letters.txt").exists());
    home.run(["demo", "--server", "http://127.0.0.1:1"]).bad(2, &["--data"]);
}
