//! The JSON of `interfaces.md`: every key present, nothing renamed.

use deed_record::Kind;
use deed_review::{Explanation, Trace, action_row};
use serde_json::{Value, json};

use crate::{
    store::{Store, id, record},
    story::{ACTION, ann, changed, etl, story},
};

fn keys<'a>(value: &Value, expected: impl IntoIterator<Item = &'a str>) {
    for key in expected {
        assert!(value.get(key).is_some(), "`{key}` is missing in {value:#}");
    }
}

fn explained(records: &[Value]) -> Value {
    let answer = Store::of(records).explain(ACTION);
    let value = serde_json::to_value(&answer).expect("serialises");
    // The command line reads it back.
    assert_eq!(serde_json::from_value::<Explanation>(value.clone()).expect("reads back"), answer);
    value
}

fn shape(answer: &Value) {
    keys(
        answer,
        [
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
        ],
    );
    keys(
        &answer["action"],
        [
            "id",
            "kind",
            "time",
            "recorded",
            "trace_id",
            "tool",
            "operation",
            "permission",
            "resource",
            "basis",
            "source",
        ],
    );
    keys(&answer["initiator"], ["key", "type", "name", "edge"]);
    keys(&answer["executor"], ["key", "type", "name", "instance", "vendor", "owner", "sponsor", "edge"]);
    keys(&answer["outcome"], ["status", "code", "duration_ms"]);
    keys(&answer["verdict"], ["attribution", "authority", "scope", "class"]);
    for part in ["attribution", "authority", "scope"] {
        keys(&answer["verdict"][part], ["value", "reasons"]);
    }
    keys(&answer["evidence"], ["log", "index", "leaf_hash", "checkpoint_size", "records"]);
    for record in answer["evidence"]["records"].as_array().expect("a list") {
        keys(record, ["id", "kind", "log", "index", "leaf_hash"]);
    }
    for finding in answer["findings"].as_array().expect("a list") {
        keys(finding, ["rule", "severity", "reason", "controls"]);
    }
}

#[test]
fn everything_known() {
    let records = changed(
        ACTION,
        json!({
            "chain": [{ "principal": ann(), "credential": "jti-1", "scope": ["db:*"] }],
            "decision": { "effect": "allow", "policies": ["all"], "policy_set": "sha256:aa" },
            "tool": { "name": "psql" },
            "permission": "db:drop",
        }),
    );
    let answer = explained(&records);
    shape(&answer);
    keys(&answer["chain"][0], ["principal", "credential", "delegation", "scope", "edge"]);
    keys(&answer["decision"], ["effect", "policy_set", "policies", "errors", "obligations"]);
    for part in [&answer["request"], &answer["approvals"][0], &answer["grant"], &answer["credential"]] {
        keys(part, ["edge"]);
    }
    keys(&answer["request"], ["time"]);
    keys(&answer["grant"], ["time", "expires"]);
    keys(&answer["credential"], ["issued", "expires"]);
    assert_eq!(answer["findings"][0]["rule"], "outside-scope");
    assert_eq!(answer["verdict"]["class"], "control_failure");
    assert_eq!(answer["disclosable"], json!(["event"]));
    assert_eq!(answer["initiator"]["type"], "human");
    assert_eq!(
        answer["outcome"],
        json!({
            "status": "success", "code": null, "duration_ms": 182, "time": "2026-11-01T10:20:00.000000Z",
            "compensates": null, "retry_of": null, "edge": "asserted", "how": "postgres:orders-1", "records": [id(ACTION)],
            "undone_by": [], "retried_by": [],
            "said": [{ "id": id(ACTION), "time": "2026-11-01T10:20:00.000000Z", "status": "success", "code": null }],
        })
    );
}

#[test]
fn nothing_known() {
    let answer = explained(&[record(ACTION, Kind::Observation, "10:00", "app:1", json!({}))]);
    shape(&answer);
    for null in ["request", "grant", "credential", "decision"] {
        assert_eq!(answer[null], Value::Null, "{null}");
    }
    for who in ["initiator", "executor"] {
        assert_eq!(
            (&answer[who]["key"], &answer[who]["type"], &answer[who]["edge"]),
            (&Value::Null, &json!("unknown"), &json!("missing"))
        );
    }
    assert_eq!(
        (&answer["approvals"], &answer["chain"], &answer["findings"]),
        (&json!([]), &json!([]), &json!([]))
    );
    assert_eq!(answer["verdict"]["attribution"]["value"], "none");
    assert_eq!(answer["verdict"]["authority"]["value"], "unverified");
    assert_eq!(answer["outcome"]["status"], "unknown");
}

#[test]
fn steps_and_rows() {
    let store = Store::of(&story());
    let trace = store.trace(None);
    let value = serde_json::to_value(&trace).expect("serialises");
    assert_eq!(serde_json::from_value::<Trace>(value.clone()).expect("reads back"), trace);
    keys(&value, ["trace_id", "steps", "gaps"]);
    keys(
        &value["steps"][0],
        [
            "id",
            "kind",
            "step_type",
            "parent",
            "time",
            "basis",
            "executor",
            "credential",
            "decision",
            "outcome",
        ],
    );
    let row = action_row(&store, &store.found(ACTION)).expect("readable");
    let row = serde_json::to_value(row).expect("serialises");
    keys(&row, ["id", "time", "initiator", "executor", "tool", "operation", "resource", "effect", "status"]);
    assert_eq!(row["executor"], etl()["key"]);
    assert_eq!(row["status"], "success");
}
