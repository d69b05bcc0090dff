//! `deed findings suppress` and `tune`: granted, for a time, on record, for one tenant.

use serde_json::{Value, json};

use crate::support::Home;

const KEY: &str = "AKIAEXAMPLE";

/// An act of `who` with a key that was revoked before, of `tenant`.
fn acted(number: u64, who: &str, tenant: &str, resource: &str) -> String {
    let record = json!({
        "kind": "observation", "basis": "imported", "tenant": tenant,
        "source": { "system": "cloudtrail:1", "event_id": format!("event-{number}") },
        "time": format!("2026-11-20T12:00:{number:02}Z"), "outcome": { "status": "success" },
        "executor": { "key": who, "type": "service_account" }, "credential": { "id": KEY },
        "operation": "s3:GetObject", "resource": { "uri": resource, "type": "object" },
    });
    record.to_string() + "\n"
}

fn revoked(tenant: &str) -> String {
    let effect =
        json!({ "kind": "credential", "credential": { "id": KEY }, "terms": { "change": "revoked" } });
    let record = json!({
        "kind": "observation", "basis": "imported", "tenant": tenant,
        "source": { "system": "cloudtrail:1", "event_id": format!("revoked-{tenant}") },
        "time": "2026-11-20T11:00:00Z", "executor": { "key": "aws:user/ann", "type": "human" },
        "operation": "iam:DeleteAccessKey", "effects": [effect],
    });
    record.to_string() + "\n"
}

/// Two acts of etl and one of ci after a revocation, and one of etl in another tenant.
fn home() -> Home {
    let home = Home::new();
    let records = [
        revoked("default"),
        revoked("acme"),
        acted(1, "aws:user/etl", "default", "s3:prod/a"),
        acted(2, "aws:user/etl", "default", "s3:staging/b"),
        acted(3, "aws:user/ci", "default", "s3:prod/c"),
        acted(4, "aws:user/etl", "acme", "s3:prod/a"),
    ];
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
    home
}

fn count(home: &Home, more: &[&str]) -> usize {
    home.run([&["findings", "--rule", "used-after-revocation", "--json"], more].concat())
        .good()
        .json_lines()
        .len()
}

fn suppress(home: &Home, more: &[&str]) -> String {
    let asked = ["findings", "suppress", "used-after-revocation", "--reason", "Known", "--json"];
    let until = if more.contains(&"--until") { &[][..] } else { &["--until", "30d"][..] };
    let done = home.run([&asked, until, more].concat()).good().json();
    done["id"].as_str().unwrap().to_owned()
}

fn controls(home: &Home) -> (Value, Value) {
    let report = home.run(["report", "controls", "--format", "json"]).good().json();
    let all = report["controls"].as_array().unwrap();
    let control = all.iter().find(|control| control["id"] == "NHI1:2025").unwrap();
    (control["findings"]["total"].clone(), control["suppressed"]["total"].clone())
}

/// Tasks that stand out among those like them.
fn odd(home: &Home) -> u64 {
    let patterns = home.run(["patterns", "--json"]).good().json_lines();
    patterns.iter().filter_map(|pattern| pattern["odd_total"].as_u64()).sum()
}

#[test]
fn what_is_suppressed_leaves_lists_and_counts_and_nothing_else() {
    let home = home();
    assert_eq!(count(&home, &[]), 4);
    let before = controls(&home);
    assert_eq!(odd(&home), 4);
    let id = suppress(&home, &["--principal", "aws:user/etl", "--as", "human:ann"]);
    assert_eq!(count(&home, &[]), 2, "another tenant keeps its own");
    assert_eq!(count(&home, &["--tenant", "acme"]), 1);
    assert_eq!(odd(&home), 2);
    let shown = home
        .run(["findings", "--suppressed", "--rule", "used-after-revocation", "--json"])
        .good()
        .json_lines();
    let hidden: Vec<&Value> = shown.iter().filter(|row| row["suppressed"].is_object()).collect();
    assert_eq!((shown.len(), hidden.len()), (4, 2), "{shown:#?}");
    assert_eq!(
        (&hidden[0]["suppressed"]["record"], &hidden[0]["suppressed"]["by"]),
        (&id.as_str().into(), &"human:ann".into())
    );
    let told = home.run(["findings"]).good();
    assert!(
        told.err.contains("2 suppressed: ") && told.err.contains("findings --suppressed"),
        "{}",
        told.err
    );
    // Evidence stays what it is: the finding is explained, and marked; so is the verdict.
    let action = hidden[0]["action_id"].as_str().unwrap();
    let explained = home.run(["explain", action, "--json"]).good().json();
    assert_eq!(explained["verdict"]["class"], "control_failure");
    assert_eq!(explained["findings"][0]["suppressed"]["record"], id.as_str());
    let text = home.run(["explain", action]).good().out;
    assert!(text.contains("suppressed until 20") && text.contains("human:ann ("), "{text}");
    let query = "SELECT suppressed_by, count(*) AS n FROM findings WHERE tenant = 'default' AND rule = 'used-after-revocation' GROUP BY 1 ORDER BY 2";
    let rows = home.run(["sql", query, "--json"]).good().json_lines();
    assert_eq!(
        (&rows[0]["n"], &rows[1]["n"], &rows[1]["suppressed_by"]),
        (&1.into(), &2.into(), &id.as_str().into())
    );
    let events = |more: &[&str]| {
        let asked = [&["export", "--format", "ocsf", "--findings", "--json"], more].concat();
        home.run(asked).good().json_lines()
    };
    let of_rule = |events: &[Value], status: u64| {
        let found = |event: &&Value| event["finding_info"]["title"] == "used-after-revocation";
        events.iter().filter(found).filter(|event| event["status_id"] == status).count()
    };
    assert_eq!((of_rule(&events(&[]), 1), of_rule(&events(&[]), 3)), (2, 0));
    assert_eq!(of_rule(&events(&["--suppressed"]), 3), 2);
    // Counted apart.
    let (found, suppressed) = controls(&home);
    assert_eq!(before.1, 0);
    assert_eq!((found.as_u64().unwrap() + 2, suppressed), (before.0.as_u64().unwrap(), 2.into()));
    // The log says so, and cannot be made to say otherwise; it survives everything that is derived.
    assert_eq!(home.run(["rebuild", "--json"]).good().json()["same"], true);
    assert_eq!(count(&home, &[]), 2);
    let query = format!("SELECT kind, basis, operation, initiator_type FROM records WHERE id = '{id}'");
    let row = home.run(["sql", &query, "--json"]).good().json();
    let sealed = json!({ "kind": "exception", "basis": "enforced", "operation": "findings suppress", "initiator_type": "human" });
    assert_eq!(row, sealed);
}

#[test]
fn a_suppression_is_listed_and_ends() {
    let home = home();
    let one = suppress(&home, &["--resource", "s3:staging/*"]);
    let two = suppress(&home, &["--credential", KEY, "--principal", "aws:user/ci"]);
    assert_eq!(count(&home, &["--tenant", "default"]), 1);
    let listed = home.run(["findings", "suppressed", "--json"]).good().json_lines();
    let hides: Vec<(&Value, &Value)> = listed.iter().map(|row| (&row["id"], &row["hides"])).collect();
    assert_eq!(hides, [(&two.as_str().into(), &1.into()), (&one.as_str().into(), &1.into())]);
    assert_eq!((&listed[0]["principal"], &listed[0]["reason"]), (&"aws:user/ci".into(), &Value::Null));
    // Reasons are payloads: that they are read is on record (D10).
    let reads = "SELECT count(*) AS n FROM records WHERE kind = 'access'";
    assert_eq!(home.run(["sql", reads, "--json"]).good().json()["n"], 0);
    let listed = home.run(["findings", "suppressed", "--reasons", "--json"]).good().json_lines();
    assert_eq!(listed[0]["reason"], "Known");
    assert_eq!(home.run(["sql", reads, "--json"]).good().json()["n"], 2);
    // Ended by somebody.
    home.run(["findings", "unsuppress", &one, "--reason", "Mended", "--as", "human:bob"]).good();
    assert_eq!(count(&home, &["--tenant", "default"]), 2);
    home.run(["findings", "unsuppress", &one]).bad(3, &["no suppression", &one]);
    let all = home.run(["findings", "suppressed", "--all", "--reasons", "--json"]).good().json_lines();
    let ended = all.iter().find(|row| row["id"] == one.as_str()).unwrap();
    assert_eq!((&ended["state"], &ended["hides"]), (&"ended".into(), &0.into()));
    assert_eq!((&ended["ended"]["by"], &ended["ended"]["reason"]), (&"human:bob".into(), &"Mended".into()));
    let text = home.run(["findings", "suppressed", "--all"]).good().out;
    assert!(text.contains("hides 1 finding") && text.contains("by human:bob"), "{text}");
    // Over when its time is: soon enough to see it.
    home.run(["findings", "unsuppress", &two]).good();
    suppress(&home, &["--until", "20s", "--principal", "aws:user/ci"]);
    assert_eq!(count(&home, &["--tenant", "default"]), 2);
    while count(&home, &["--tenant", "default"]) < 3 {
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let all = home.run(["findings", "suppressed", "--all", "--json"]).good().json_lines();
    assert_eq!(all.iter().filter(|row| row["state"] == "expired").count(), 1, "{all:#?}");
}

#[test]
fn names_of_one_principal_are_covered_together() {
    let home = home();
    let declared = "[[principal]]\nkey = \"loader\"\ntype = \"service_account\"\naliases = [\"aws:user/etl\", \"aws:user/ci\"]\n";
    std::fs::write(home.store().join("inventory.toml"), declared).unwrap();
    let listed = |more: &[&str]| count(&home, &[&["--tenant", "default"], more].concat());
    assert_eq!(listed(&[]), 3);
    let id = suppress(&home, &["--principal", "aws:user/ci"]);
    assert_eq!(listed(&[]), 0);
    home.run(["findings", "unsuppress", &id]).good();
    let action = &home.run(["findings", "--tenant", "default", "--json"]).good().json_lines()[0]["action_id"];
    suppress(&home, &["--action", action.as_str().unwrap()]);
    assert_eq!(listed(&[]), 2);
}

#[test]
fn bad_suppressions_are_refused_and_nobody_else_writes_one() {
    let home = home();
    let refused = |more: &[&str], said: &[&str]| {
        let asked = [&["findings", "suppress"], more].concat();
        home.run(asked).bad(1, said);
    };
    refused(
        &["used-after-revokation", "--reason", "x", "--until", "1d"],
        &["did you mean `used-after-revocation`?"],
    );
    home.run(["findings", "suppress", "bypass", "--reason", " ", "--until", "1d"])
        .bad(2, &["--reason", "empty"]);
    refused(&["bypass", "--reason", "x", "--until", "2020-01-01"], &["field `until`", "a time to come"]);
    refused(&["bypass", "--reason", "x", "--until", "2099-01-01"], &["field `until`", "a year at most"]);
    home.run(["findings", "suppress", "bypass", "--reason", "x", "--until", "1d", "--resource", ""])
        .bad(2, &["--resource", "empty"]);
    home.run(["findings", "suppress", "bypass", "--until", "1d"]).bad(2, &["--reason"]);
    home.run(["findings", "suppress", "bypass", "--reason", "x"]).bad(2, &["--until"]);
    home.run(["findings", "unsuppress", "0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4"]).bad(3, &["no suppression"]);
    // A record that somebody else sends says nothing about findings.
    let forged = json!({
        "kind": "exception", "time": "2026-11-20T12:00:00Z", "operation": "findings suppress",
        "resource": { "uri": "deed:findings", "type": "findings" },
        "terms": { "change": "issued", "scopes": ["finding:used-after-revocation"], "expires": "2099-01-01T00:00:00Z" },
    });
    home.run_with_input(["append", "-"], forged.to_string().as_bytes()).good();
    assert_eq!(count(&home, &[]), 4);
    assert!(home.run(["findings", "suppressed", "--all", "--json"]).good().json_lines().is_empty());
    // A secret in a reason is taken out of it before it is sealed (D9).
    let secret = "ghp_aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3z0A";
    let reason = format!("rotate {secret}");
    home.run(["findings", "suppress", "bypass", "--until", "1d", "--reason", &reason]).good();
    let listed = home.run(["findings", "suppressed", "--reasons", "--json"]).good().json_lines();
    let kept = listed[0]["reason"].as_str().unwrap();
    assert!(kept.starts_with("rotate sha256:") && !kept.contains(secret), "{kept}");
}

#[test]
fn thresholds_are_a_tenants_own_and_on_record() {
    let home = Home::new();
    let made = |event: &str, time: &str, effects: Value, more: Value| {
        let mut record = json!({
            "kind": "observation", "basis": "imported", "source": { "system": "cloudtrail:1", "event_id": event },
            "time": time, "executor": { "key": "aws:user/ann", "type": "human" }, "operation": "iam:Create",
            "effects": effects,
        });
        for (name, value) in more.as_object().unwrap() {
            record[name] = value.clone();
        }
        record.to_string() + "\n"
    };
    let etl = json!({ "key": "aws:user/etl", "type": "service_account" });
    let key = json!({ "id": KEY, "type": "access_key" });
    let issued =
        json!([{ "kind": "credential", "credential": key, "terms": { "change": "issued", "subject": etl } }]);
    let records = [
        made("a", "2026-01-01T00:00:00Z", issued, json!({})),
        made("b", "2026-07-01T00:00:00Z", json!([]), json!({ "executor": etl, "credential": key })),
    ];
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
    let found = |home: &Home| {
        home.run(["findings", "--rule", "long-lived-static-key", "--json"]).good().json_lines().len()
    };
    assert_eq!(found(&home), 1);
    let tune = |more: &[&str]| home.run([&["findings", "tune", "--json"], more].concat()).good().json();
    let by_default = tune(&[]);
    assert_eq!(by_default["thresholds"]["static-key-days"], json!({ "value": 90, "default": 90 }));
    assert_eq!(by_default["record"], Value::Null);
    // Half a year and a day is longer than the key was in use.
    let set = tune(&["--static-key-days", "182", "--reason", "Agreed", "--as", "human:ann"]);
    assert_eq!(
        (&set["thresholds"]["static-key-days"]["value"], &set["by"]),
        (&182.into(), &"human:ann".into())
    );
    assert_eq!(found(&home), 0);
    tune(&["--tenant", "acme", "--static-key-days", "1", "--reason", "Theirs"]);
    assert_eq!(found(&home), 0, "another tenant's are another tenant's");
    let more = tune(&["--storm-tries", "20", "--reason", "Agreed"]);
    assert_eq!(more["thresholds"]["static-key-days"]["value"], 182, "what is not named stays");
    assert_eq!(home.run(["rebuild", "--json"]).good().json()["same"], true);
    assert_eq!(found(&home), 0);
    tune(&["--reset", "static-key-days", "--reason", "Done"]);
    assert_eq!(found(&home), 1);
    let text = home.run(["findings", "tune"]).good().out;
    assert!(
        text.contains("storm-tries") && text.contains("10 by default") && text.contains("recorded as"),
        "{text}"
    );
    let query = "SELECT count(*) AS n FROM records WHERE kind = 'policy' AND operation = 'findings tune' AND basis = 'enforced'";
    assert_eq!(home.run(["sql", query, "--json"]).good().json()["n"], 4);
    home.run(["findings", "tune", "--storm-tries", "1", "--reason", "x"])
        .bad(1, &["storm-tries", "2 to 1000000"]);
    home.run(["findings", "tune", "--storm-tries", "5"]).bad(2, &["--reason"]);
}
