//! What is bounded stays bounded and says so; tenants never mix.

use deed_record::Kind;
use deed_review::{Authority, Edge, MOST_NAMING, MOST_RECORDS};
use serde_json::{Value, json};

use crate::{
    store::{Store, id, record, with},
    story::{ACTION, APPROVAL, GRANT, REQUEST, ann, bob, etl, story},
};

#[test]
fn ten_thousand_approvals() {
    let mut records = story();
    for n in 0..10_000 {
        let who = json!({ "key": format!("jira:user-{n}"), "type": "human" });
        records.push(record(
            1000 + n,
            Kind::Approval,
            "09:30",
            "jira:acme",
            json!({
                "action": id(ACTION), "request": id(REQUEST), "terms": { "answer": "approved", "by": who },
            }),
        ));
    }
    let store = Store::of(&records);
    let answer = store.explain(ACTION);
    assert!(store.handed_out.get() < MOST_RECORDS);
    assert!(answer.approvals.len() <= 2 * MOST_NAMING);
    assert!(!answer.evidence.complete);
    assert_eq!(answer.verdict.authority.value, Authority::Unverified);
    assert!(
        answer.verdict.authority.reasons.iter().any(|reason| reason.contains("not all were read")),
        "{:?}",
        answer.verdict
    );
    let text = deed_review::render::explain(&answer, deed_review::render::Style::default());
    assert!(text.lines().count() < 40, "{text}");
}

#[test]
fn records_that_name_each_other_in_circles_end() {
    let observed = |n: u64, action: u64| {
        record(n, Kind::Observation, "10:00", "app:1", json!({ "executor": etl(), "action": id(action) }))
    };
    let records = [observed(1, 2), observed(2, 3), observed(3, 1)];
    let store = Store::of(&records);
    assert_eq!(store.explain(1), store.explain(2));
    assert_eq!(store.explain(1), store.explain(3));
    assert_eq!(Store::of(&[observed(1, 1)]).explain(1).action.id, id(1));
    let corrected = |n: u64, other: u64| {
        record(n, Kind::Observation, "10:00", "app", json!({ "executor": etl(), "supersedes": id(other) }))
    };
    let store = Store::of(&[corrected(1, 2), corrected(2, 1)]);
    assert_eq!(store.explain(1), store.explain(2));
    let grant = |n: u64, request: u64, grant: u64| {
        record(
            n,
            Kind::Grant,
            "09:00",
            "app:1",
            json!({ "request": id(request), "grant": id(grant), "approvals": [id(n)] }),
        )
    };
    let mut records = vec![grant(10, 11, 12), grant(12, 13, 10)];
    records.push(record(11, Kind::Request, "08:00", "app:1", json!({ "request": id(13), "grant": id(12) })));
    records.push(record(13, Kind::Request, "08:00", "app:1", json!({ "request": id(11), "grant": id(10) })));
    records.push(record(
        ACTION,
        Kind::Observation,
        "10:00",
        "app:1",
        json!({ "executor": etl(), "grant": id(10) }),
    ));
    assert_eq!(Store::of(&records).explain(ACTION).grant.map(|grant| grant.id), Some(id(10)));
}

#[test]
fn many_rights_are_followed_so_far_and_no_further() {
    let mut records = story();
    // Grants of requests of grants, a thousand long and a thousand wide.
    for n in 0..1000 {
        records.push(record(
            2000 + n,
            Kind::Grant,
            "09:00",
            "app:1",
            json!({ "request": id(3000 + n), "grant": id(GRANT) }),
        ));
        records.push(record(3000 + n, Kind::Request, "08:00", "app:1", json!({})));
        records.push(record(4000 + n, Kind::Grant, "09:00", "app:1", json!({ "request": id(REQUEST) })));
    }
    let store = Store::of(&records);
    let answer = store.explain(ACTION);
    assert!(!answer.evidence.complete);
    assert!(store.handed_out.get() < 2 * MOST_RECORDS, "{}", store.handed_out.get());
    assert_eq!(answer.verdict.authority.value, Authority::Unverified);
}

#[test]
fn tenants_never_mix() {
    let evil = |record: Value| with(&record, json!({ "tenant": "evil" }));
    let mut records = story();
    let plain = Store::of(&records).explain(ACTION);
    records.push(evil(record(
        20,
        Kind::Outcome,
        "10:21",
        "evil",
        json!({ "action": id(ACTION), "executor": bob(), "outcome": { "status": "failure" } }),
    )));
    records.push(evil(record(
        21,
        Kind::Observation,
        "10:20",
        "evil:1",
        json!({ "action": id(ACTION), "executor": etl(), "initiator": bob() }),
    )));
    records.push(evil(record(
        22,
        Kind::Credential,
        "10:10",
        "evil:1",
        json!({ "credential": { "id": "lease-77" }, "terms": { "change": "revoked" } }),
    )));
    records.push(evil(record(
        23,
        Kind::Grant,
        "10:10",
        "evil:1",
        json!({ "grant": id(GRANT), "terms": { "change": "revoked" } }),
    )));
    records.push(evil(record(
        24,
        Kind::Approval,
        "10:10",
        "evil:1",
        json!({ "request": id(REQUEST), "terms": { "answer": "refused", "by": ann() } }),
    )));
    records
        .push(evil(with(&story()[4], json!({ "id": id(25), "supersedes": id(ACTION), "executor": bob() }))));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(answer.verdict, plain.verdict);
    assert_eq!(answer.evidence.records.len(), plain.evidence.records.len());
    assert_eq!(answer.outcome, plain.outcome);
    // What another tenant names of ours it does not get to see.
    let error = Store::of(&records).try_explain(24).expect_err("no action of theirs").to_string();
    assert!(error.contains("`approval`"), "{error}");
    let outcome = Store::of(&records).explain(20);
    assert_eq!((outcome.action.id, &*outcome.action.tenant), (id(20), "evil"));
    let theirs = record(
        30,
        Kind::Observation,
        "10:20",
        "evil:1",
        json!({ "executor": etl(), "grant": id(GRANT), "approvals": [id(APPROVAL)] }),
    );
    records.push(evil(theirs));
    let theirs = Store::of(&records).explain(30);
    assert_eq!((theirs.grant, theirs.approvals.len(), theirs.initiator.edge), (None, 0, Edge::Missing));
    let reason =
        theirs.missing.iter().find(|missing| missing.link == "grant").map(|missing| &*missing.reason);
    assert!(reason.is_some_and(|reason| reason.contains("not in this log")), "{reason:?}");
}

#[test]
fn a_damaged_leaf_is_named() {
    let store = Store::of(&story());
    let mut found = store.found(ACTION);
    found.sealed.leaf = (*b"{\"v\":1}").into();
    let error = deed_review::action_row(&store, &found).expect_err("no record").to_string();
    assert!(error.contains("leaf 4 of `deed.example/log`") && error.contains("deed verify"), "{error}");
}
