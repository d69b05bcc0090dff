//! What people read, word for word. `DEED_UPDATE_EXPECTED=1` writes the files anew, for a review by eye.

use std::path::Path;

use deed_record::Kind;
use deed_review::{
    ActionRow, Severity, action_row,
    explanation::Finding,
    render::{self, Style, WIDTH},
};
use serde_json::{Value, json};

use crate::{
    store::{Store, TRACE, at, id, record, with},
    story::{ACTION, APPROVAL, GRANT, ISSUE, ann, changed, etl, story, without},
    traces::agent,
};

pub(crate) fn expect(name: &str, text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "too wide: {line}");
    }
    for line in text.lines() {
        assert_eq!(line.trim_end(), line);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/expected").join(format!("{name}.txt"));
    if std::env::var_os("DEED_UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, text).expect("writable");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{} differs; see the head of this file", path.display());
}

fn explained(name: &str, records: &[Value], style: Style<'_>) {
    expect(name, &render::explain(&Store::of(records).explain(ACTION), style));
}

const PLAIN: Style<'_> = Style { colour: false, verbose: false, width: WIDTH, program: "deed", place: "" };

#[test]
fn authorised() {
    explained("explain-authorised", &story(), PLAIN);
    explained("explain-authorised-verbose", &story(), Style { verbose: true, ..PLAIN });
}

#[test]
fn little_is_known() {
    explained("explain-little", &[with(&without(&[])[4], json!({ "initiator": null }))], PLAIN);
    explained("explain-nothing", &[record(ACTION, Kind::Observation, "10:00", "app:1", json!({}))], PLAIN);
}

#[test]
fn control_failure() {
    let mut records = changed(APPROVAL, json!({ "terms": { "answer": "approved", "by": etl() } }));
    records.push(record(
        20,
        Kind::Credential,
        "10:10",
        "vault:prod",
        json!({ "credential": { "id": "lease-77" }, "terms": { "change": "revoked" } }),
    ));
    explained("explain-control-failure", &records, PLAIN);
}

#[test]
fn abuse() {
    let terms = json!({ "subject": etl(), "role": "orders-ddl", "scopes": ["db:read", "db:list"] });
    explained("explain-abuse", &changed(GRANT, json!({ "terms": terms })), PLAIN);
}

#[test]
fn an_agent_behind_the_gateway() {
    let records = [
        record(
            ACTION,
            Kind::Intent,
            "10:20",
            "deed",
            json!({
                "initiator": ann(), "executor": { "key": "agent:release-bot", "type": "agent", "instance": "run-88", "vendor": "Initech" },
                "chain": [{ "principal": { "key": "agent:planner", "type": "agent" }, "credential": "txn-9", "delegation": id(44), "scope": ["files:*"] }],
                "environment": "prod", "credential": { "jti": "tok-31", "type": "bearer", "scopes": ["files:wipe"], "expires": at("10:25") },
                "tool": { "server": "files", "name": "wipe" }, "operation": "tools/call", "permission": "files:wipe",
                "resource": { "uri": "file:/srv/release" }, "trace_id": TRACE,
                "decision": { "effect": "step_up", "policies": ["no-wipe"], "policy_set": "sha256:3f2a91c4", "obligations": ["approval:security"] },
                "disclosable": ["arguments.path", "arguments.force"],
            }),
        ),
        record(
            APPROVAL,
            Kind::Approval,
            "10:20",
            "deed",
            json!({ "action": id(ACTION), "terms": { "answer": "approved", "by": { "key": "okta:sec", "type": "human", "name": "Sam" } } }),
        ),
        record(
            6,
            Kind::Outcome,
            "10:21",
            "deed",
            json!({ "action": id(ACTION), "executor": { "key": "agent:release-bot", "type": "agent" }, "outcome": { "status": "unknown" } }),
        ),
        record(
            7,
            Kind::Outcome,
            "10:22",
            "deed",
            json!({ "action": id(ACTION), "executor": { "key": "agent:release-bot", "type": "agent" }, "outcome": { "status": "failure", "code": "EPERM", "duration_ms": 41 }, "disclosable": ["result"] }),
        ),
    ];
    explained("explain-gateway", &records, PLAIN);
}

#[test]
fn hostile_text_moves_no_cursor() {
    let evil = "\u{1b}[2J\u{1b}[31mAUTHORISED\r\n\u{202e}gnp.exe\u{9b}1m";
    let records = changed(
        ACTION,
        json!({
            "executor": { "key": format!("k8s:{evil}"), "type": "agent", "name": evil, "instance": evil, "vendor": evil },
            "operation": evil, "permission": evil, "resource": { "uri": evil }, "credential": { "id": evil, "type": evil, "scopes": [evil] },
            "outcome": { "status": "failure", "code": evil }, "source": { "system": evil, "event_id": evil }, "disclosable": [evil],
            "decision": { "effect": "deny", "policies": [evil], "policy_set": evil, "errors": [evil] },
        }),
    );
    let store = Store::of(&records);
    let answer = store.explain(ACTION);
    let row = action_row(&store, &store.found(ACTION)).expect("readable");
    let texts = [
        (render::explain(&answer, Style { verbose: true, ..PLAIN }), WIDTH),
        (render::trace(&store.trace(None), Style { verbose: true, ..PLAIN }), WIDTH),
        (render::rows(&[row], PLAIN), WIDTH),
    ];
    for (text, widest) in texts {
        assert!(
            text.chars().all(|c| c == '\n' || !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}')),
            "{text:?}"
        );
        assert!(text.lines().all(|line| line.chars().count() <= widest), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("AUTHORISED")), "{text}");
    }
}

#[test]
fn colour_only_repeats_what_words_say() {
    let answer = Store::of(&without(&[ISSUE])).explain(ACTION);
    let coloured = render::explain(&answer, Style { colour: true, ..PLAIN });
    assert!(coloured.contains("\u{1b}["));
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some(at) = rest.find('\u{1b}') {
        bare.push_str(&rest[..at]);
        rest = &rest[at + rest[at..].find('m').expect("a whole sequence") + 1..];
    }
    bare.push_str(rest);
    assert_eq!(bare, render::explain(&answer, PLAIN));
}

#[test]
fn a_trace() {
    let trace = Store::of(&agent()).trace(None);
    expect("trace", &render::trace(&trace, PLAIN));
    expect("trace-verbose", &render::trace(&trace, Style { verbose: true, ..PLAIN }));
}

#[test]
fn a_list() {
    let mut records = story();
    records.extend(agent().into_iter().take(3).map(|record| {
        let n =
            0x30 + u64::from(record["id"].as_str().and_then(|id| id.bytes().last()).unwrap_or(b'0') - b'0');
        with(&record, json!({ "id": id(n) }))
    }));
    records.push(with(
        &story()[4],
        json!({ "id": id(0x40), "time": "2026-11-02T00:00:01Z", "outcome": { "status": "denied" } }),
    ));
    let store = Store::of(&records);
    let rows: Vec<ActionRow> = [0x40, ACTION, 0x33, 0x31]
        .iter()
        .map(|n| action_row(&store, &store.found(*n)).expect("readable"))
        .collect();
    expect("find", &render::rows(&rows, PLAIN));
    expect("find-narrow", &render::rows(&rows, Style { width: 60, ..PLAIN }));
    assert_eq!(render::rows(&[], PLAIN), "");
}

/// The longest thing of each sort: an ARN, a key with a path, an operation with a long name.
fn wide() -> Store {
    let role =
        "aws:arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-central-1/release-manager";
    let act = with(
        &story()[4],
        json!({
            "executor": { "key": role, "type": "service_account", "name": "a-name-that-nobody-would-give-to-a-role" },
            "operation": "organizations:EnableAWSServiceAccessForOrganization",
            "resource": { "uri": "arn:aws:dynamodb:eu-central-1:111122223333:table/orders/index/by-customer" },
            "trace_id": TRACE,
        }),
    );
    let mut records = story();
    records[4] = act;
    Store::of(&records)
}

#[test]
fn every_screen_fits_its_width_and_cuts_no_id() {
    let store = wide();
    let (mut answer, trace) = (store.explain(ACTION), store.trace(None));
    // A rule's name is an id: `deed findings --rule` takes it.
    let rule = "human-with-machine-credential".to_owned();
    let (reason, controls) = ("a person used it".to_owned(), vec!["IA-2".to_owned()]);
    let severity = Severity::High;
    answer.findings.push(Finding { rule, severity, reason, controls, suppressed: None });
    let row = action_row(&store, &store.found(ACTION)).expect("readable");
    for width in [40, 60, 80, 100, 140, 200] {
        let style = Style { width, ..PLAIN };
        let list = render::rows(std::slice::from_ref(&row), style);
        assert!(list.contains(&row.id.to_string()), "{list}");
        let explained = render::explain(&answer, style);
        assert!(explained.contains("human-with-machine-credential"), "{width}: {explained}");
        for text in [list, explained, render::trace(&trace, style)] {
            for line in text.lines().filter(|line| !line.contains("deed ")) {
                assert!(line.chars().count() <= width, "{width}: {line}\n{text}");
            }
        }
    }
    // Where there is room, nothing is cut.
    let list = render::rows(std::slice::from_ref(&row), Style { width: 240, ..PLAIN });
    assert!(list.contains("by-customer") && !list.contains('…'), "{list}");
    // What tells most is left: the operation, and the end of what it was done to.
    let list = render::rows(&[row], PLAIN);
    assert!(list.contains("organ") && list.contains("tomer"), "{list}");
}

#[test]
fn what_is_suggested_leads_to_the_same_store() {
    let store = Store::of(&story());
    let style = Style { place: " --data 'my store'", ..PLAIN };
    let text = render::explain(&store.explain(ACTION), style);
    let suggested: Vec<&str> =
        text.split("deed ").skip(1).map(|rest| rest.lines().next().unwrap_or("")).collect();
    assert!(!suggested.is_empty(), "{text}");
    assert!(suggested.iter().all(|command| command.trim_end().ends_with(" --data 'my store'")), "{text}");
    assert!(!render::explain(&store.explain(ACTION), Style { program: "", ..PLAIN }).contains("next"));
}
