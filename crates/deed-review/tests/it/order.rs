//! INVARIANT D6: verdicts do not depend on the order in which records arrive.

use deed_record::Kind;
use deed_review::{Explanation, Trace};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    store::{Store, TRACE, at, id, record, with},
    story::{ACTION, APPROVAL, GRANT, REQUEST, ann, bob, etl, story},
};

/// The story with nearly everything that can happen around it.
pub(crate) fn busy() -> Vec<Value> {
    let mut records = story();
    let dora = json!({ "key": "jira:dora", "type": "human" });
    let answer = |n: u64, clock: &str, by: &str, who: &Value, answer: &str| {
        record(
            n,
            Kind::Approval,
            clock,
            by,
            json!({ "request": id(REQUEST), "terms": { "answer": answer, "by": who } }),
        )
    };
    let credential = |n: u64, clock: &str, by: &str, more: Value, change: &str| {
        let credential = with(&json!({ "id": "lease-77" }), more);
        record(
            n,
            Kind::Credential,
            clock,
            by,
            json!({ "credential": credential, "terms": { "change": change } }),
        )
    };
    records.extend([
        answer(20, "09:20", "chat-bot", &bob(), "approved"),
        answer(21, "09:21", "jira:acme", &dora, "refused"),
        answer(22, "09:21", "jira:acme", &etl(), "approved"),
        credential(23, "10:05", "vault:prod", json!({ "expires": at("10:10") }), "renewed"),
        credential(24, "10:05", "vault:prod", json!({ "expires": at("10:50") }), "renewed"),
        credential(25, "10:06", "etl-job", json!({ "scopes": ["*"] }), "altered"),
        credential(26, "10:07", "vault:prod", json!({}), "rotated"),
        record(27, Kind::Grant, "09:25", "iam:1", json!({ "request": id(REQUEST), "terms": { "subject": etl(), "scopes": ["db:*"] } })),
        record(28, Kind::Grant, "10:00", "vault:prod", json!({ "grant": id(GRANT), "terms": { "change": "altered", "scopes": ["db:schema:alter"] } })),
        record(29, Kind::Outcome, "10:21", "agent", json!({ "action": id(ACTION), "executor": etl(), "outcome": { "status": "unknown" }, "trace_id": TRACE })),
        record(30, Kind::Observation, "10:20", "k8s:eu", json!({ "action": id(ACTION), "executor": etl(), "initiator": bob(), "outcome": { "status": "failure" }, "trace_id": TRACE })),
        with(&story()[4], json!({ "id": id(31), "supersedes": id(ACTION), "source": { "system": "postgres:orders-1", "event_id": "e5", "collector": "postgres/2" } })),
        with(&story()[4], json!({ "id": id(32), "supersedes": id(ACTION), "source": { "system": "postgres:orders-1", "event_id": "e5", "collector": "postgres/2" }, "operation": "DROP TABLE" })),
        with(&story()[4], json!({ "id": id(33), "conflicts_with": id(ACTION), "executor": ann() })),
        with(&story()[3], json!({ "id": id(34), "source": { "system": "cloudtrail:1" }, "initiator": bob() })),
        record(35, Kind::Approval, "09:22", "jira:acme", json!({ "request": id(REQUEST), "approvals": [id(APPROVAL)], "terms": { "change": "revoked" } })),
    ]);
    records
}

/// What is the same wherever the records stand in the log.
pub(crate) fn placeless(mut answer: Explanation) -> Explanation {
    answer.evidence.index = 0;
    answer.evidence.records.iter_mut().for_each(|record| record.index = 0);
    answer
}

fn of(records: &[Value], n: u64) -> (Explanation, Trace) {
    let store = Store::of(records);
    (placeless(store.explain(n)), store.trace(None))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn shuffles(records in Just(busy()).prop_shuffle(), asked in prop::sample::select(vec![ACTION, 29, 30, 31, 32])) {
        let (expected, trace) = of(&busy(), ACTION);
        let (found, its_trace) = of(&records, asked);
        prop_assert_eq!(found, expected);
        prop_assert_eq!(its_trace, trace);
    }

    #[test]
    fn with_any_part_of_the_evidence(
        (mut records, reversed) in (prop::sample::subsequence(busy(), 0..busy().len()), any::<bool>())
    ) {
        if !records.iter().any(|record| record["id"] == json!(id(ACTION))) {
            records.push(story().remove(4));
        }
        let expected = of(&records, ACTION);
        if reversed { records.reverse(); } else { records.rotate_left(1); }
        prop_assert_eq!(of(&records, ACTION), expected);
    }
}

#[test]
fn reasons_never_name_a_place_in_the_log() {
    let records = busy();
    let shifted: Vec<Value> = (500..900)
        .map(|n| record(n, Kind::Observation, "08:00", "noise:1", json!({})))
        .chain(records.clone())
        .collect();
    assert_eq!(of(&shifted, ACTION).0.verdict, of(&records, ACTION).0.verdict);
}
