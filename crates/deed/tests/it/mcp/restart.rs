//! Step-ups when whoever holds the store is killed: what waited still waits, and what was approved is good once.

use serde_json::{Value, json};

use super::{ASK_FIRST, Session, effects, policies, text_of};
use crate::support::Home;

const PEOPLE: [&str; 6] = ["--wait", "0", "--as", "agent:release-bot", "--for", "human:ann"];

fn home() -> Home {
    let home = Home::new();
    home.run(["policy", "publish", &policies(&home, ASK_FIRST)]).good();
    home
}

/// Makes calls, hears what is said to each, and is killed.
fn calls(home: &Home, arguments: &[Value]) -> Vec<String> {
    let mut session = Session::start(home, &PEOPLE);
    let said = arguments
        .iter()
        .map(|arguments| {
            text_of(&session.ask("tools/call", json!({ "name": "wipe", "arguments": arguments }))).to_owned()
        })
        .collect();
    session.child.kill().unwrap();
    session.child.wait().unwrap();
    said
}

fn held(said: &[String]) -> Vec<bool> {
    said.iter().map(|said| said.starts_with("Held")).collect()
}

fn waiting(home: &Home) -> Vec<Value> {
    home.run(["approvals", "--json"]).good().json()["approvals"].as_array().unwrap().clone()
}

fn id(waits: &Value) -> &str {
    waits["id"].as_str().unwrap()
}

#[test]
fn what_waited_still_waits_and_its_approval_is_good_once() {
    let home = home();
    let (a, b) = (json!({ "path": "/a" }), json!({ "path": "/b" }));
    assert_eq!(held(&calls(&home, std::slice::from_ref(&a))), [true]);
    let waits = waiting(&home);
    assert_eq!((waits.len(), &waits[0]["arguments"]), (1, &a));
    assert_eq!((&waits[0]["target"], &waits[0]["policies"][0]), (&"files/wipe".into(), &"ask-first".into()));
    // It is still to be somebody else.
    assert_eq!(home.run(["approve", id(&waits[0]), "--as", "human:ann"]).code, 6);
    home.run(["approve", id(&waits[0]), "--as", "human:bob", "--reason", "CHG-12"]).good();
    assert!(waiting(&home).is_empty());
    assert_eq!(held(&calls(&home, &[b, a.clone(), a.clone()])), [true, false, true]);
    assert_eq!(held(&calls(&home, &[a])), [true], "it was used, and never is again");
    assert_eq!(effects(&home), ["wipe /a"]);
    let used = "SELECT count(*) AS n FROM records WHERE kind = 'approval'";
    assert!(home.run(["sql", "--json", used]).good().out.contains("\"n\":1"));
    home.run(["verify"]).good();
}

#[test]
fn what_was_refused_stays_refused() {
    let home = home();
    let a = json!({ "path": "/a" });
    calls(&home, std::slice::from_ref(&a));
    home.run(["refuse", id(&waiting(&home)[0]), "--as", "human:bob", "--reason", "freeze"]).good();
    assert!(waiting(&home).is_empty());
    assert_eq!(held(&calls(&home, &[a])), [true]);
    assert_eq!(waiting(&home).len(), 1, "another one");
    assert!(effects(&home).is_empty());
}

#[test]
fn an_approval_is_for_the_very_arguments_of_which_no_secret_is_kept() {
    let home = home();
    let with = |password: &str| json!({ "path": "/a", "password": password });
    calls(&home, &[with("correct-horse-4711")]);
    let waits = waiting(&home);
    assert!(!waits[0].to_string().contains("correct-horse"), "{waits:?}");
    home.run(["approve", id(&waits[0]), "--as", "human:bob"]).good();
    let said = calls(&home, &[with("correct-horse-4712"), with("correct-horse-4711")]);
    assert_eq!(held(&said), [true, false]);
    assert_eq!(effects(&home), ["wipe /a"]);
}

#[test]
fn an_approval_is_not_good_once_others_must_approve() {
    let home = home();
    let a = json!({ "path": "/a" });
    calls(&home, std::slice::from_ref(&a));
    home.run(["approve", id(&waiting(&home)[0]), "--as", "human:bob"]).good();
    let others = ASK_FIRST.replace("@effect(\"step_up\")", "@effect(\"step_up\") @approver(\"dba\")");
    home.run(["policy", "publish", &policies(&home, &others)]).good();
    assert_eq!(held(&calls(&home, std::slice::from_ref(&a))), [true]);
    home.run(["policy", "publish", &policies(&home, ASK_FIRST)]).good();
    // Those that asked ask again.
    assert_eq!(held(&calls(&home, &[a])), [false]);
}
