//! `deed report`: what it says of records, in every form, and that its figures add up.

use serde_json::{Value, json};

use crate::support::Home;

const INVENTORY: &str = r#"
[[principal]]
key = "etl"
type = "service_account"
aliases = ["aws:user/etl"]
owner = "human:ann"

[[principal]]
key = "initech"
type = "third_party"
aliases = ["aws:user/initech"]
vendor = "Initech"
contract = { scopes = ["tickets:*"] }

[[source]]
system = "cloudtrail:1"
complete_for = ["actions"]
"#;

const NAMES: [&str; 7] =
    ["visibility", "recertification", "standing", "shared", "third-party", "agents", "controls"];

fn logged(number: u64, time: &str, more: Value) -> String {
    let mut record = json!({
        "kind": "observation", "basis": "imported",
        "source": { "system": "cloudtrail:1", "event_id": format!("event-{number}") },
        "time": format!("2026-11-{time}Z"), "outcome": { "status": "success" },
        "executor": { "key": "aws:user/etl", "type": "service_account" },
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record.to_string() + "\n"
}

fn granted(number: u64, to: &str, scopes: &[&str]) -> String {
    let subject = json!({ "key": to, "type": "service_account" });
    let effect =
        json!({ "kind": "grant", "terms": { "change": "issued", "subject": subject, "scopes": scopes } });
    let by = json!({ "key": "aws:user/ann", "type": "human" });
    logged(
        number,
        "01T08:00:00",
        json!({ "operation": "PutUserPolicy", "executor": by, "effects": [effect] }),
    )
}

fn agent(number: u64, for_whom: &str, effect: &str) -> String {
    json!({
        "kind": "intent", "time": format!("2026-11-20T12:00:{number:02}Z"),
        "initiator": { "key": for_whom, "type": "human" },
        "executor": { "key": "agent:<b>bot\u{1b}[31m", "type": "agent", "instance": format!("run-{number}") },
        "tool": { "server": "files", "name": "read" }, "operation": "tools/call",
        "decision": { "effect": effect },
    })
    .to_string()
        + "\n"
}

fn home() -> Home {
    let home = Home::new();
    home.write("store/inventory.toml", INVENTORY);
    let key = json!({ "id": "AKIA1", "type": "access_key" });
    let used = |number, time, permission: &str, more: Value| {
        let mut record = json!({ "permission": permission, "operation": permission, "credential": key });
        more.as_object().unwrap().iter().for_each(|(name, value)| record[name] = value.clone());
        logged(number, time, record)
    };
    let by_initech =
        json!({ "executor": { "key": "aws:user/initech", "type": "third_party" }, "credential": null });
    let records = [
        granted(1, "aws:user/etl", &["s3:GetObject", "s3:PutObject"]),
        granted(2, "aws:user/etl", &["sqs:SendMessage"]),
        used(3, "20T10:00:00", "s3:GetObject", json!({ "personal": { "device": "one" } })),
        used(4, "20T10:01:00", "s3:GetObject", json!({ "personal": { "device": "two" } })),
        used(5, "20T10:02:00", "tickets:read", by_initech.clone()),
        used(6, "20T10:03:00", "s3:GetObject", by_initech),
        agent(7, "human:ann", "allow"),
        agent(8, "human:ann", "deny"),
        agent(9, "human:bob", "allow"),
    ];
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
    home
}

fn report(home: &Home, arguments: &[&str]) -> Value {
    home.run([&["report"], arguments, &["--json"]].concat()).good().json()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

#[test]
fn each_report_comes_in_each_form_and_nothing_in_it_acts() {
    let home = home();
    for name in NAMES {
        let told = report(&home, &[name]);
        assert_eq!(told["report"], name);
        assert_eq!(number(&told["covered"]["records"]), 9, "{told:#}");
        let text = home.run(["report", name]).good();
        assert!(!text.out.contains('\u{1b}') && text.out.contains("9 records"), "{}", text.out);
        assert!(text.err.contains(&format!("report {name} --format html -o {name}.html")), "{}", text.err);
        let file = home.path(&format!("{name}.html"));
        home.run(["report", name, "--format", "html", "-o", file.to_str().unwrap()]).good();
        let html = std::fs::read_to_string(&file).unwrap();
        assert!(html.starts_with("<!doctype html>") && html.ends_with("</html>\n"));
        assert!(!html.contains("<b>bot") && !html.contains("<script") && !html.contains('\u{1b}'), "{html}");
    }
    home.run(["report", "agents", "--change", "7d"]).bad(2, &["--change"]);
    home.run(["report", "nothing"]).bad(2, &["visibility"]);
}

#[test]
fn visibility_adds_up_and_says_what_is_missing() {
    let home = home();
    let told = report(&home, &["visibility"]);
    assert_eq!((number(&told["actions"]), number(&told["judged"])), (9, 9), "{told:#}");
    let parts: u64 =
        told["combinations"].as_array().unwrap().iter().map(|part| number(&part["actions"])).sum();
    assert_eq!(parts, 9);
    let systems = told["systems"].as_array().unwrap();
    assert_eq!(systems.iter().map(|system| number(&system["actions"])).sum::<u64>(), 9);
    let logged = systems.iter().find(|system| system["system"] == "cloudtrail:1").unwrap();
    // Two of them name the person who acted, who is thereby who asked.
    assert_eq!(number(&logged["missing"]["requester"]), 4, "{told:#}");
    assert_eq!(number(&told["missing"]["authority"]), 9 - number(&told["attributable"]), "{told:#}");
    let types = told["by_type"].as_array().unwrap();
    assert_eq!(types.iter().map(|of| number(&of["identities"])).sum::<u64>(), number(&told["identities"]));
    // What did not happen in that time is not in it.
    let none = report(&home, &["visibility", "--until", "2026-10-01"]);
    assert_eq!((number(&none["actions"]), number(&none["identities"])), (0, 0), "{none:#}");
}

#[test]
fn recertification_suggests_only_what_the_sources_prove() {
    let home = home();
    let told = report(&home, &["recertification"]);
    assert_eq!(told["grants"], json!({ "keep": 0, "narrow": 1, "remove": 1, "unverified": 0 }), "{told:#}");
    let etl = &told["identities"][0];
    assert_eq!((&etl["identity"]["key"], &etl["identity"]["owner"]), (&"etl".into(), &"human:ann".into()));
    assert_eq!(etl["grants"][0]["suggestion"], "remove", "{told:#}");
    assert_eq!(etl["grants"][1]["narrow_to"], json!(["s3:GetObject"]), "{told:#}");
    assert_eq!(etl["grants"][1]["by"], "aws:user/ann", "{told:#}");
    // Where nothing is declared complete, silence proves nothing.
    home.write(
        "store/inventory.toml",
        INVENTORY.replace("complete_for = [\"actions\"]", "complete_for = [\"grants\"]"),
    );
    let told = report(&home, &["recertification"]);
    assert_eq!(told["grants"], json!({ "keep": 0, "narrow": 0, "remove": 0, "unverified": 2 }), "{told:#}");
    assert!(
        told["identities"][0]["grants"][0]["reason"].as_str().unwrap().contains("silence proves nothing")
    );
}

#[test]
fn standing_and_shared_tell_what_does_not_end_and_who_stands_behind() {
    let home = home();
    let told = report(&home, &["standing"]);
    assert_eq!(told["grants"], json!({ "time_bound": 0, "standing": 2 }), "{told:#}");
    assert_eq!(told["credentials"], json!({ "time_bound": 0, "standing": 1 }), "{told:#}");
    let ages = told["ages"].as_array().unwrap();
    assert_eq!(ages.iter().map(|age| number(&age["used"]) + number(&age["unused"])).sum::<u64>(), 3);
    let told = report(&home, &["shared"]);
    let key = &told["credentials"][0];
    assert_eq!((&key["what"], &key["devices"]["seen"]), (&"AKIA1".into(), &2.into()), "{told:#}");
    assert!(!key["incomplete"].as_array().unwrap().is_empty(), "{told:#}");
}

#[test]
fn nobody_is_behind_an_account_by_issuing_what_it_uses() {
    let home = Home::new();
    let job = json!({ "key": "k8s:job", "type": "workload" });
    let issued = |number: u64, by: &str| {
        let terms = json!({ "change": "issued", "subject": job });
        let by = json!({ "key": by, "type": "workload" });
        let key = json!({ "id": format!("lease-{number}"), "type": "database_user" });
        logged(
            number,
            "20T10:00:00",
            json!({ "kind": "credential", "outcome": null, "executor": by, "credential": key, "terms": terms }),
        )
    };
    let used = logged(
        3,
        "20T10:05:00",
        json!({ "executor": job, "credential": { "id": "lease-1" }, "initiator": { "key": "corp:ann", "type": "human" } }),
    );
    let records = [issued(1, "vault:prod"), issued(2, "pki:prod"), used];
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
    let told = report(&home, &["shared"]);
    assert_eq!((number(&told["accounts_total"]), number(&told["accounts_active"])), (0, 1), "{told:#}");
}

#[test]
fn standing_tells_nothing_of_what_came_later() {
    let home = home();
    let until = |time: &str| report(&home, &["standing", "--until", time]);
    let before = until("2026-11-20T10:00:00Z");
    assert_eq!(before["credentials"], json!({ "time_bound": 0, "standing": 0 }), "{before:#}");
    let between = until("2026-11-20T10:01:00Z");
    assert_eq!(between["credentials"], json!({ "time_bound": 0, "standing": 1 }), "{between:#}");
    let rights =
        between["identities"].as_array().unwrap().iter().flat_map(|of| of["rights"].as_array().unwrap());
    let key = rights.into_iter().find(|right| right["kind"] == "credential").unwrap();
    assert_eq!(
        (&key["uses"], &key["last_used"]),
        (&1.into(), &"2026-11-20T10:00:00.000000Z".into()),
        "{key}"
    );
    assert!(between["left_out"][0].as_str().unwrap().contains("covered, 1 in all"), "{between:#}");
}

#[test]
fn third_parties_agents_and_controls_are_told_apart_and_add_up() {
    let home = home();
    let told = report(&home, &["third-party"]);
    assert_eq!(told["activity"], json!({ "third_party": 2, "own": 7, "unknown": 0 }), "{told:#}");
    let party = &told["parties"][0];
    assert_eq!(
        (&party["vendor"], &party["within"], &party["outside"]),
        (&"Initech".into(), &1.into(), &1.into())
    );
    let told = report(&home, &["agents"]);
    let agent = &told["agents"][0];
    assert_eq!(
        agent["decisions"],
        json!({ "allowed": 2, "denied": 1, "stepped_up": 0, "undecided": 0 }),
        "{told:#}"
    );
    assert_eq!((number(&agent["actions"]), number(&agent["instances_total"])), (3, 3));
    assert_eq!(agent["acted_for"][0], json!({ "principal": "human:ann", "actions": 2 }), "{told:#}");
    assert_eq!(agent["tools"][0]["what"], "files/read");
    let told = report(&home, &["controls", "--change", "2026-11-20T11:00:00Z"]);
    assert_eq!(told["actions"], json!({ "total": 9, "before": 6, "after": 3 }), "{told:#}");
    let supplier =
        told["controls"].as_array().unwrap().iter().find(|control| control["id"] == "GV.SC-07").unwrap();
    assert_eq!(
        (&supplier["status"], &supplier["findings"]["before"]),
        (&"failing".into(), &1.into()),
        "{told:#}"
    );
}

#[test]
fn what_a_vendor_has_another_do_is_the_vendors() {
    let home = Home::new();
    home.write("store/inventory.toml", INVENTORY);
    let initech = json!({ "key": "aws:user/initech", "type": "third_party" });
    let umbrella = json!({ "key": "aws:user/umbrella", "type": "service_account", "vendor": "Umbrella" });
    let records = [
        logged(
            1,
            "20T10:00:00",
            json!({ "initiator": initech, "operation": "GetObject", "permission": "s3:GetObject" }),
        ),
        logged(
            2,
            "20T10:01:00",
            json!({ "initiator": umbrella, "operation": "PutObject", "permission": "s3:PutObject" }),
        ),
        // Who is engaged and acts is who did it, whoever asked.
        logged(
            3,
            "20T10:02:00",
            json!({ "initiator": umbrella, "executor": initech, "operation": "GetObject" }),
        ),
        logged(4, "20T10:03:00", json!({ "operation": "GetObject", "permission": "s3:GetObject" })),
    ];
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
    let told = report(&home, &["third-party"]);
    assert_eq!(told["activity"], json!({ "third_party": 3, "own": 1, "unknown": 0 }), "{told:#}");
    let of = |vendor: &str| {
        let mut parties = told["parties"].as_array().unwrap().iter();
        let party = parties
            .find(|party| party["vendor"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(vendor)));
        let party = party.unwrap_or_else(|| panic!("{vendor}: {told:#}"));
        (party["calls"].as_u64().unwrap(), party["through"].as_u64().unwrap())
    };
    assert_eq!((of("initech"), of("umbrella")), ((2, 1), (1, 1)), "{told:#}");
}

#[test]
fn what_a_vendor_does_in_a_session_that_it_opened_is_the_vendors() {
    let home = Home::new();
    home.write("store/inventory.toml", INVENTORY);
    let initech = json!({ "key": "aws:user/initech", "type": "third_party" });
    let etl = json!({ "key": "aws:user/etl", "type": "service_account" });
    let session = json!({ "id": "ASIA'2", "type": "temporary_key" });
    let issued = json!([{ "kind": "credential", "credential": session, "terms": { "change": "issued", "subject": etl } }]);
    let records = [
        logged(
            1,
            "20T10:00:00",
            json!({ "executor": initech, "operation": "sts:AssumeRole", "effects": issued }),
        ),
        logged(
            2,
            "20T10:01:00",
            json!({ "operation": "GetObject", "permission": "s3:GetObject", "credential": session }),
        ),
        logged(3, "20T10:02:00", json!({ "operation": "GetObject", "permission": "s3:GetObject" })),
    ];
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
    let told = report(&home, &["third-party"]);
    assert_eq!(told["activity"], json!({ "third_party": 2, "own": 1, "unknown": 0 }), "{told:#}");
    let party = &told["parties"][0];
    assert_eq!((&party["calls"], &party["through"], &party["outside"]), (&2.into(), &1.into(), &1.into()));
}
