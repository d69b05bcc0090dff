//! `deed findings`: what deserves a look, as the log grows, as the inventory changes, and after a restart.

use serde_json::{Value, json};

use crate::support::Home;

const KEY: &str = "AKIAEXAMPLE";

/// Event `number` of CloudTrail.
fn logged(number: u64, time: &str, more: Value) -> String {
    let mut record = json!({
        "kind": "observation", "basis": "imported", "environment": "prod",
        "source": { "system": "cloudtrail:1", "event_id": format!("event-{number}") },
        "time": format!("2026-11-20T{time}Z"), "outcome": { "status": "success" },
        "executor": { "key": "aws:user/etl", "type": "service_account" },
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record.to_string() + "\n"
}

fn used(number: u64, time: &str) -> String {
    logged(
        number,
        time,
        json!({ "credential": { "id": KEY }, "operation": "s3:GetObject", "permission": "s3:GetObject" }),
    )
}

fn revoked(number: u64, time: &str) -> String {
    let effect =
        json!({ "kind": "credential", "credential": { "id": KEY }, "terms": { "change": "revoked" } });
    let by = json!({ "key": "aws:user/ann", "type": "human" });
    logged(number, time, json!({ "operation": "iam:DeleteAccessKey", "executor": by, "effects": [effect] }))
}

fn append(home: &Home, records: &[String]) {
    home.run_with_input(["append", "-"], records.concat().as_bytes()).good();
}

fn findings(home: &Home, more: &[&str]) -> Vec<Value> {
    home.run([&["findings", "--json"], more].concat()).good().json_lines()
}

#[test]
fn a_revocation_that_comes_late_marks_what_was_done_after_it() {
    let home = Home::new();
    append(&home, &[used(1, "10:00:00"), used(2, "12:00:00"), used(3, "13:00:00")]);
    assert!(findings(&home, &[]).is_empty());
    append(&home, &[revoked(4, "11:00:00")]);
    let found = findings(&home, &[]);
    let times: Vec<&str> = found.iter().map(|row| row["time"].as_str().unwrap()).collect();
    assert_eq!(times, ["2026-11-20T13:00:00.000000Z", "2026-11-20T12:00:00.000000Z"]);
    for row in &found {
        assert_eq!(
            (&row["rule"], &row["severity"]),
            (&"used-after-revocation".into(), &"high".into()),
            "{row}"
        );
        assert_eq!((&row["principal"], &row["tenant"]), (&"aws:user/etl".into(), &"default".into()), "{row}");
        assert!(row["reason"].as_str().unwrap().contains("revoked at 2026-11-20 11:00:00Z"), "{row}");
        assert!(!row["controls"].as_array().unwrap().is_empty(), "{row}");
        // The same as `explain` says of that action.
        let told = home.run(["explain", row["action_id"].as_str().unwrap(), "--json"]).good().json();
        assert_eq!(told["findings"][0]["reason"], row["reason"]);
    }
    let text = home.run(["findings"]).good().out;
    assert!(text.contains("2 findings") && text.contains("used-after-revocation"), "{text}");
    let query = "SELECT f.rule, a.operation, f.severity, f.controls FROM findings f JOIN actions a ON a.id = f.action_id
                 ORDER BY f.time DESC";
    let rows = home.run(["sql", query, "--json"]).good().json_lines();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(
        (&rows[0]["rule"], &rows[0]["operation"], &rows[0]["controls"]),
        (&"used-after-revocation".into(), &"s3:GetObject".into(), &found[0]["controls"])
    );
    let rebuilt = home.run(["rebuild", "--json"]).good().json();
    let part = rebuilt["rebuilt"].as_array().unwrap().iter().find(|part| part["name"] == "findings").unwrap();
    assert_eq!((&part["same"], &part["items"]), (&true.into(), &2.into()), "{rebuilt:#}");
    assert_eq!(findings(&home, &[]), found);
}

#[test]
fn a_name_out_of_a_record_is_one_harmless_word_of_what_is_suggested() {
    let home = Home::new();
    let by = |number: u64, who: &str| {
        let who = json!({ "key": who, "type": "service_account" });
        logged(number, "12:00:00", json!({ "credential": { "id": KEY }, "executor": who }))
    };
    append(&home, &[by(1, "svc:$(touch a);b"), by(2, "svc:$(touch a);c")]);
    for (screen, suggested) in [
        (&["findings"][..], "principal 'svc:$(touch a);"),
        (&["principal", "svc:$(touch a);b"], "find --principal 'svc:$(touch a);b'"),
    ] {
        let text = home.run(screen).good().out;
        assert!(text.contains(suggested), "{text}");
    }
}

#[test]
fn what_is_suggested_about_another_tenant_looks_in_that_tenant() {
    let home = Home::new();
    let by = |number: u64, who: &str| {
        let who = json!({ "key": who, "type": "service_account" });
        logged(number, "12:00:00", json!({ "tenant": "acme", "credential": { "id": KEY }, "executor": who }))
    };
    append(&home, &[by(1, "svc:a"), by(2, "svc:b")]);
    for screen in [&["findings"][..], &["findings", "--tenant", "acme"]] {
        let text = home.run(screen).good().out;
        assert!(text.contains(", tenant acme\n"), "{text}");
        let next = text.lines().find_map(|line| line.strip_prefix("  next  ")).unwrap();
        let principal = next.split_whitespace().nth(2).unwrap();
        assert!(next.ends_with(&format!("principal {principal} --tenant acme")), "{next}");
        home.run(["principal", principal, "--tenant", "acme"]).good();
    }
    let text = home.run(["principal", "svc:a", "--tenant", "acme"]).good().out;
    assert!(text.contains("find --principal svc:a --tenant acme"), "{text}");
    // Deed's doors are of the tenant `default`: there is nothing to suspend at them.
    let text = home.run(["blast", KEY, "--tenant", "acme"]).good().out;
    assert!(text.contains(&format!("find --credential {KEY} --tenant acme")), "{text}");
    assert!(!text.contains("suspend"), "{text}");
}

#[test]
fn what_is_asked_for_is_what_is_listed() {
    let home = Home::new();
    append(&home, &[used(1, "12:00:00"), revoked(2, "11:00:00"), used(3, "13:00:00")]);
    let of = |more: &[&str]| findings(&home, more).len();
    assert_eq!(of(&["--rule", "used-after-revocation"]), 2);
    assert_eq!(of(&["--rule", "outside-scope"]), 0);
    assert_eq!(of(&["--severity", "high"]), 2);
    assert_eq!(of(&["--since", "2026-11-20T12:30:00Z"]), 1);
    assert_eq!(of(&["--until", "2026-11-20T12:30:00Z"]), 1);
    assert_eq!(of(&["--limit", "1"]), 1);
    assert_eq!(of(&["--principal", "aws:user/etl"]), 2);
    assert_eq!(of(&["--principal", "aws:user/ann"]), 0);
    assert_eq!(of(&["--tenant", "acme"]), 0);
    // Nothing of somebody who is misspelt, or of no time at all, is no clean bill.
    for screen in [&["findings", "--principal"][..], &["patterns", "--principal"], &["find", "--executor"]] {
        let nobody = |more: &[&str]| home.run([screen, &["aws:user/elt"], more].concat());
        nobody(&[]).bad(3, &["nobody is known as `aws:user/elt`", "deed find"]);
        nobody(&["--json"]).bad(3, &["nobody is known"]);
        let span = ["--since", "2026-11-21", "--until", "2026-11-20"];
        home.run([&screen[..1], &span].concat()).bad(2, &["--since names the earlier time"]);
    }
    home.run(["find", "--tool", "nope"]).bad(3, &["`nope`", "SERVER/NAME"]);
    assert!(home.run(["find", "--tool", "files/nope", "--json"]).good().out.is_empty());
    home.run(["principal", "nobody"]).bad(3, &["deed find"]);
    home.run(["blast", "nothing"]).bad(3, &["deed principal KEY"]);
    home.run(["explain", "01930000-0000-7000-8000-00000000000f"]).bad(3, &["deed find lists actions"]);
    home.run(["findings", "--rule", "no-such-rule"]).bad(2, &["no-such-rule", "used-after-revocation"]);
    let rules = home.run(["findings", "--rules", "--json"]).good().json_lines();
    let bypass = rules.iter().find(|rule| rule["rule"] == "bypass").unwrap();
    assert!(bypass["remedy"].is_string(), "{bypass}");
    assert_eq!(bypass["severity"], "high, medium", "{bypass}");
    assert!(bypass["evidence"].as_str().unwrap().starts_with("the principal is `governed`"), "{bypass}");
}

#[test]
fn the_inventory_decides_what_goes_past_deed() {
    let home = Home::new();
    append(&home, &[used(1, "12:00:00")]);
    assert!(findings(&home, &[]).is_empty());
    let governed = "[[principal]]\nkey = \"etl\"\ntype = \"service_account\"\naliases = [\"aws:user/etl\"]\n";
    std::fs::write(home.store().join("inventory.toml"), format!("{governed}governed = true\n")).unwrap();
    let found = findings(&home, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["rule"], &found[0]["principal"]), (&"bypass".into(), &"etl".into()));
    assert_eq!(findings(&home, &["--principal", "etl"]).len(), 1);
    // Taken back, nothing is left of it.
    std::fs::write(home.store().join("inventory.toml"), governed).unwrap();
    assert!(findings(&home, &[]).is_empty());
}

#[test]
fn what_was_denied_and_done_elsewhere_is_found_whichever_comes_first() {
    let home = Home::new();
    let tried = |number: u64, time: &str, system: &str, who: &str, status: &str| {
        let record = json!({
            "source": { "system": system, "event_id": format!("event-{number}") },
            "executor": { "key": who, "type": "agent" }, "resource": { "uri": "db:orders/cards" },
            "outcome": { "status": status },
        });
        logged(number, time, record)
    };
    let same = "[[principal]]\nkey = \"bot\"\ntype = \"agent\"\naliases = [\"app:bot\", \"pg:bot\"]\n";
    append(&home, &[tried(1, "10:20:00", "postgres:1", "pg:bot", "success")]);
    std::fs::write(home.store().join("inventory.toml"), same).unwrap();
    assert!(findings(&home, &[]).is_empty());
    // The denial is imported later, from another system and under another name.
    append(&home, &[tried(2, "10:00:00", "app:1", "app:bot", "denied")]);
    let found = findings(&home, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["rule"], &found[0]["principal"]), (&"denied-then-done".into(), &"bot".into()));
    assert!(found[0]["reason"].as_str().unwrap().contains("app:1 denied it at 2026-11-20 10:00:00Z"));
    append(&home, &[tried(3, "10:30:00", "postgres:1", "pg:bot", "success")]);
    assert_eq!(findings(&home, &[]).len(), 2);
    // That a right was given meanwhile is imported last: between the denial and what was done second.
    let subject = json!({ "key": "pg:bot", "type": "agent" });
    let given = json!({ "kind": "grant", "terms": { "change": "issued", "subject": subject } });
    let by = json!({ "key": "iam:ann", "type": "human" });
    append(&home, &[logged(4, "10:25:00", json!({ "executor": by, "effects": [given] }))]);
    let found = findings(&home, &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["time"], "2026-11-20T10:20:00.000000Z");
    let rebuilt = home.run(["rebuild", "--json"]).good().json();
    let part = rebuilt["rebuilt"].as_array().unwrap().iter().find(|part| part["name"] == "findings").unwrap();
    assert_eq!((&part["same"], &part["items"]), (&true.into(), &1.into()), "{rebuilt:#}");
}

#[test]
fn the_inventory_says_who_may_approve_and_when() {
    let home = Home::new();
    let cards = json!({ "uri": "db:orders/cards" });
    let asked = json!({ "id": "0193a700-0001-7000-8000-000000000001", "kind": "request", "outcome": null, "resource": cards });
    let answered = json!({
        "id": "0193a700-0002-7000-8000-000000000002", "kind": "approval", "outcome": null, "executor": null,
        "request": asked["id"], "terms": { "answer": "approved", "by": { "key": "jira:bob", "type": "human" } },
    });
    let given = json!({
        "id": "0193a700-0003-7000-8000-000000000003", "kind": "grant", "outcome": null, "request": asked["id"],
        "executor": null,
        "terms": { "change": "issued", "subject": { "key": "aws:user/etl", "type": "service_account" } },
    });
    let done = json!({ "operation": "DROP TABLE", "grant": given["id"], "resource": cards });
    append(
        &home,
        &[
            logged(1, "09:00:00", asked),
            logged(2, "09:10:00", answered),
            logged(3, "09:20:00", given),
            logged(4, "10:00:00", done),
        ],
    );
    let rules = |inventory: &str| {
        std::fs::write(home.store().join("inventory.toml"), inventory).unwrap();
        let found = findings(&home, &[]);
        let rules: Vec<String> = found.iter().map(|row| row["rule"].as_str().unwrap().to_owned()).collect();
        (rules, found.first().map(|row| row["reason"].as_str().unwrap().to_owned()))
    };
    let resource = |more: &str| format!("[[resource]]\nmatch = \"db:orders/*\"\n{more}\n");
    assert_eq!(rules("").0, [""; 0]);
    let (found, reason) = rules(&resource("approvers = [\"jira:carol\"]"));
    assert_eq!(found, ["approver-without-authority"]);
    assert!(reason.unwrap().contains("none of the approvers of `db:orders/*`"));
    assert_eq!(rules(&resource("approvers = [\"jira:carol\", \"jira:bob\"]")).0, [""; 0]);
    // A Friday.
    let (found, reason) = rules(&resource("change_windows = [\"Sat 22:00-02:00\"]"));
    assert_eq!(found, ["outside-change-window"]);
    assert!(reason.unwrap().contains("`Sat 22:00-02:00` (UTC), and was at 2026-11-20 10:00:00Z"));
    assert_eq!(rules(&resource("change_windows = [\"Fri 09:00-11:00\"]")).0, [""; 0]);
}

#[test]
fn a_server_keeps_up_with_what_comes_in() {
    let home = Home::new();
    let serving = home.serve(&[]);
    append(&home, &[used(1, "12:00:00")]);
    assert!(findings(&home, &[]).is_empty());
    append(&home, &[revoked(2, "11:00:00")]);
    assert_eq!(findings(&home, &[]).len(), 1);
    let health = home.run(["doctor", "--json"]).json();
    let check =
        health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "findings").unwrap();
    assert!(check["detail"].as_str().unwrap().contains("actions with findings: 1"), "{check}");
    serving.kill();
    // What was not kept is found again.
    assert_eq!(findings(&home, &[]).len(), 1);
}

#[test]
fn an_identity_is_looked_at_over_time() {
    let home = Home::new();
    let ann = json!({ "key": "aws:user/ann", "type": "human" });
    let made = |day: &str, event: u64, effect: Value| {
        let record = json!({ "time": day, "executor": ann, "operation": "iam:Create", "effects": [effect] });
        logged(event, "00:00:00", record)
    };
    let etl = json!({ "key": "aws:user/etl", "type": "service_account" });
    let key = json!({ "id": KEY, "type": "access_key" });
    let acts = |event: u64, who: Value| {
        let record = json!({
            "time": "2026-07-01T09:00:00Z", "executor": who, "credential": key, "operation": "s3:GetObject",
        });
        logged(event, "00:00:00", record)
    };
    let administrator = json!({ "kind": "grant", "terms": { "change": "issued", "scopes": ["AdministratorAccess"], "subject": etl } });
    let issued =
        json!({ "kind": "credential", "credential": key, "terms": { "change": "issued", "subject": etl } });
    append(
        &home,
        &[
            acts(1, etl.clone()),
            acts(2, json!({ "key": "aws:user/other", "type": "service_account" })),
            made("2026-01-01T09:00:00Z", 3, issued),
            made("2026-01-02T09:00:00Z", 4, administrator),
        ],
    );
    let found = findings(&home, &[]);
    let of = |rule: &str| {
        let row = found.iter().find(|row| row["rule"] == rule);
        row.unwrap_or_else(|| panic!("{rule} in {found:#?}"))
    };
    let shared = of("shared-account");
    assert_eq!((&shared["subject"], &shared["severity"]), (&KEY.into(), &"high".into()));
    let mut others: Vec<&str> =
        shared["others"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    others.sort_unstable();
    assert_eq!(others, ["aws:user/etl", "aws:user/other"]);
    let old = of("long-lived-static-key");
    assert_eq!((&old["subject"], &old["principal"]), (&KEY.into(), &"aws:user/etl".into()));
    assert!(old["reason"].as_str().unwrap().contains("181 days after it was made"), "{old}");
    let standing = of("standing-privilege");
    // The record that gave it, which is the grant too.
    assert_eq!(
        (&standing["subject"], &standing["principal"]),
        (&standing["action_id"], &"aws:user/etl".into())
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert_eq!(findings(&home, &["--rule", "standing-privilege"]).len(), 1);
    assert_eq!(findings(&home, &["--principal", "aws:user/ann"]).len(), 0);
    assert_eq!(findings(&home, &["--principal", "aws:user/other"]).len(), 1);
    assert_eq!(findings(&home, &["--since", "2026-06-01"]).len(), 2);
    let text = home.run(["findings"]).good().out;
    for said in ["about   AKIAEXAMPLE", "by      aws:user/", "record  ", "principal aws:user/"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let rows = home.run(["sql", "SELECT rule FROM findings ORDER BY rule", "--json"]).good().json_lines();
    let rules: Vec<&str> = rows.iter().filter_map(|row| row["rule"].as_str()).collect();
    assert_eq!(rules, ["long-lived-static-key", "shared-account", "standing-privilege"]);
    // Taken away, it is over.
    append(&home, &[revoked(5, "11:00:00")]);
    assert!(findings(&home, &["--rule", "long-lived-static-key"]).is_empty());
}
