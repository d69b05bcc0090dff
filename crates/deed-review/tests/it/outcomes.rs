//! How an action ended, where several records say something about it.

use deed_record::{Kind, Status};
use deed_review::{Edge, action_row};
use serde_json::{Value, json};

use crate::{
    store::{Store, id, record},
    story::etl,
};

fn intent() -> Value {
    record(
        1,
        Kind::Intent,
        "10:00",
        "gateway",
        json!({ "executor": etl(), "tool": { "server": "files", "name": "wipe" } }),
    )
}

fn outcome(n: u64, clock: &str, by: &str, status: &str) -> Value {
    record(
        n,
        Kind::Outcome,
        clock,
        by,
        json!({ "action": id(1), "executor": etl(), "outcome": { "status": status } }),
    )
}

#[test]
fn a_real_outcome_supersedes_unknown_and_both_stay() {
    // Whichever comes or happens first.
    for (unknown, real) in [("10:01", "10:02"), ("10:02", "10:01")] {
        let records =
            [intent(), outcome(2, unknown, "gateway", "unknown"), outcome(3, real, "gateway", "failure")];
        let answer = Store::of(&records).explain(1);
        assert_eq!((answer.outcome.status, answer.outcome.edge), (Status::Failure, Edge::Asserted));
        assert_eq!(answer.outcome.said.len(), 2);
        assert_eq!(answer.outcome.records, [id(3)]);
        assert_eq!(answer.evidence.records.len(), 3);
    }
}

#[test]
fn what_nobody_tells_is_missing_and_never_null() {
    let answer = Store::of(&[intent()]).explain(1);
    assert_eq!((answer.outcome.status, answer.outcome.edge), (Status::Unknown, Edge::Missing));
    assert!(answer.missing.iter().any(|missing| missing.link == "outcome"));
    // A recorded `unknown` is known to be unknown.
    let answer = Store::of(&[intent(), outcome(2, "10:01", "gateway", "unknown")]).explain(1);
    assert_eq!((answer.outcome.status, answer.outcome.edge), (Status::Unknown, Edge::Asserted));
}

#[test]
fn a_system_goes_before_a_party() {
    let records =
        [intent(), outcome(2, "10:05", "gateway", "success"), outcome(3, "10:04", "files:1", "failure")];
    let answer = Store::of(&records).explain(1);
    assert_eq!(answer.outcome.status, Status::Failure);
    assert!(answer.outcome.how.contains("`success`"), "{}", answer.outcome.how);
    let agreeing =
        [intent(), outcome(2, "10:05", "gateway", "success"), outcome(3, "10:04", "files:1", "success")];
    assert_eq!(Store::of(&agreeing).explain(1).outcome.edge, Edge::Corroborated);
}

#[test]
fn a_row_tells_the_same_end() {
    let mut records =
        vec![intent(), outcome(2, "10:02", "gateway", "unknown"), outcome(3, "10:01", "gateway", "failure")];
    let store = Store::of(&records);
    let row = action_row(&store, &store.found(1)).expect("readable");
    assert_eq!(
        (row.status, row.executor.as_deref(), row.tool.as_deref()),
        (Some(Status::Failure), Some("k8s:sa/etl"), Some("files/wipe"))
    );
    records.truncate(1);
    let store = Store::of(&records);
    assert_eq!(action_row(&store, &store.found(1)).expect("readable").status, None);
    // Another tenant's outcome is none.
    records.push(crate::store::with(&outcome(2, "10:01", "gateway", "success"), json!({ "tenant": "evil" })));
    let store = Store::of(&records);
    assert_eq!(action_row(&store, &store.found(1)).expect("readable").status, None);
}
