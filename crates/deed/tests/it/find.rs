//! `deed find`, `deed explain`, `deed trace`.

use crate::support::{Home, ODD, TRACE, examples, record};

#[test]
fn finds_by_every_filter() {
    let home = Home::with_migration();
    let find = |arguments: &[&str]| home.run([&["find", "--json"], arguments].concat()).good().json_lines();
    assert_eq!(find(&[]).len(), 5);
    for (filter, count) in [
        (&["--trace", TRACE][..], 5),
        (&["--executor", "k8s:prod/orders/orders-migrator"], 5),
        (&["--initiator", "jira:ann.meyer"], 1),
        (&["--principal", "jira:ann.meyer"], 1),
        (&["--credential", "v-k8s-orders-mig-7Qx2Lw"], 4),
        (&["--resource", "postgres://orders-db/orders/public/customers"], 1),
        (&["--status", "failure"], 1),
        (&["--effect", "deny"], 0),
        (&["--tool", "tickets/create"], 0),
        (&["--since", "2026-11-20T09:12:47Z"], 2),
        (&["--until", "2026-11-20T09:12:31Z"], 1),
        (&["--text", "create index"], 2),
        (&["--tenant", "other"], 0),
        (&["--limit", "2"], 2),
    ] {
        assert_eq!(find(filter).len(), count, "{filter:?}");
    }
    let row = &find(&["--text", "copy to"])[0];
    assert_eq!(row["id"], ODD);
    for member in ["time", "initiator", "executor", "tool", "operation", "resource", "effect", "status"] {
        assert!(row.get(member).is_some(), "{member}: {row}");
    }
    assert_eq!(row["operation"], "COPY TO");
    let text = home.run(["find"]).good();
    assert!(text.out.contains("orders-migrator") && text.out.contains(ODD), "{text:?}");
    assert!(
        home.run(["find", "--status", "denied"]).good().err.contains("no action"),
        "says that there is none"
    );
}

#[test]
fn an_empty_name_is_wrong_usage() {
    let home = Home::with_migration();
    for arguments in [
        &["principal", ""][..],
        &["blast", " "],
        &["suspend", ""],
        &["find", "--executor", ""],
        &["find", "--resource", ""],
        &["findings", "--principal", ""],
    ] {
        home.run(arguments).bad(2, &["invalid value", "it is empty"]);
    }
}

#[test]
fn goes_through_all_pages() {
    let home = Home::new();
    let all: String = (0..1500).map(|number| record(number) + "\n").collect();
    home.run_with_input(["append", "-"], all.as_bytes()).good();
    assert_eq!(home.run(["find", "--json", "--limit", "100000"]).good().json_lines().len(), 1500);
    assert_eq!(home.run(["find", "--json", "--limit", "1200"]).good().json_lines().len(), 1200);
}

#[test]
fn explains_with_every_member() {
    let home = Home::with_migration();
    let answer = home.run(["explain", "--json", ODD]).good().json();
    for member in [
        "action",
        "initiator",
        "executor",
        "chain",
        "request",
        "approvals",
        "grant",
        "credential",
        "decision",
        "outcome",
        "verdict",
        "findings",
        "disclosable",
        "evidence",
    ] {
        assert!(answer.get(member).is_some(), "{member}");
    }
    assert_eq!(answer["verdict"]["scope"]["value"], "out");
    assert_eq!(answer["verdict"]["class"], "abuse");
    assert_eq!(answer["initiator"]["key"], "jira:ann.meyer");
    assert!(answer["disclosable"].as_array().unwrap().contains(&"statement.sql".into()), "{answer}");
    let text = home.run(["explain", ODD]).good().out;
    assert!(text.contains("ABUSE") && text.contains("Ann Meyer") && text.contains("deed trace"), "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    let verbose = home.run(["explain", "-v", ODD]).good().out;
    assert!(verbose.len() > text.len() && verbose.contains("leaf hash"), "{verbose}");
    // The statement itself is a payload: nothing of it shows.
    assert!(!verbose.contains("iban"), "{verbose}");
}

#[test]
fn says_what_is_not_there() {
    let home = Home::with_migration();
    let unknown = "019f92a4-7c00-7000-8000-00000000ffff";
    home.run(["explain", unknown]).bad(3, &["failed to explain", unknown, "no record"]);
    home.run(["trace", "00000000000000000000000000000001"])
        .bad(3, &["failed to show trace", "00000000000000000000000000000001"]);
    // A request is no action: what came of it is told.
    let led = home.run(["explain", "--json", "019f92a4-7c00-7000-8000-000000000001"]).good().json();
    assert_eq!(led["record"]["kind"], "request", "{led:#}");
}

#[test]
fn shows_a_trace_as_a_tree() {
    let home = Home::with_migration();
    let trace = home.run(["trace", "--json", TRACE]).good().json();
    assert_eq!(trace["trace_id"], TRACE);
    let steps = trace["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 5);
    for member in ["id", "kind", "step_type", "parent", "time", "basis"] {
        assert!(steps[4].get(member).is_some(), "{member}");
    }
    assert_eq!(steps[4]["parent"], steps[0]["id"]);
    assert!(trace["gaps"].is_array());
    let text = home.run(["trace", TRACE]).good().out;
    assert!(text.contains("├ ALTER"), "{text}");
    assert!(home.run(["trace", "-v", &TRACE.to_uppercase()]).good().out.contains(ODD), "in either case");
}

#[test]
fn fits_the_screen() {
    let home = Home::with_migration();
    let trail = examples().join("cloudtrail");
    home.run(["import", "cloudtrail", trail.to_str().unwrap()]).good();
    for (columns, width) in
        [(None, 100), (Some("60"), 60), (Some("40"), 40), (Some("200"), 200), (Some("?"), 100)]
    {
        for arguments in [&["find"][..], &["trace", TRACE], &["explain", ODD], &["trace", "-v", TRACE]] {
            let mut command = home.command(arguments);
            if let Some(columns) = columns {
                command.env("COLUMNS", columns);
            }
            let out = crate::support::finish(command.output().unwrap()).good().out;
            // Commands to be pasted stay whole.
            for line in out.lines().filter(|line| !line.contains("deed ")) {
                assert!(line.chars().count() <= width, "{columns:?}: {line}\n{out}");
            }
            assert!(arguments != ["find"] || out.contains(ODD), "{out}");
        }
    }
}

#[test]
fn wrong_usage_is_2() {
    let home = Home::new();
    for wrong in [
        &["explain", "not-an-id"][..],
        &["explain"],
        &["trace", "4bf92f"],
        &["find", "--status", "fine"],
        &["find", "--since", "yesterday"],
        &["find", "--limit", "0"],
        &["import", "windows", "x"],
        &["frobnicate"],
        &["find", "--data", "a", "--server", "http://localhost:1"],
        &["serve", "--listen", "7400"],
        &[],
    ] {
        let ran = home.run(wrong);
        assert_eq!(ran.code, 2, "{wrong:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{wrong:?}");
    }
}
