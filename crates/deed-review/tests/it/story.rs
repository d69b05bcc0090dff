//! I9: a service account asks for database access by ticket, gets a scoped role, and later changes a
//! schema; whole, and with each piece missing.

use deed_record::Kind;
use deed_review::{Attribution, Authority, Class, Edge, Scope, led_to};
use serde_json::{Value, json};

use crate::store::{Store, TRACE, at, id, record, with};

pub(crate) const REQUEST: u64 = 1;
pub(crate) const APPROVAL: u64 = 2;
pub(crate) const GRANT: u64 = 3;
pub(crate) const ISSUE: u64 = 4;
pub(crate) const ACTION: u64 = 5;

pub(crate) fn etl() -> Value {
    json!({ "key": "k8s:sa/etl", "type": "service_account", "name": "etl" })
}

pub(crate) fn ann() -> Value {
    json!({ "key": "okta:ann", "type": "human", "name": "Ann" })
}

pub(crate) fn bob() -> Value {
    json!({ "key": "jira:bob", "type": "human", "name": "Bob" })
}

/// Request, approval, grant, credential, action: each by the system that knows it.
pub(crate) fn story() -> Vec<Value> {
    vec![
        record(
            REQUEST,
            Kind::Request,
            "09:00",
            "jira:acme",
            json!({
                "initiator": etl(),
                "terms": { "subject": etl(), "role": "orders-ddl", "scopes": ["db:schema:alter"] },
                "resource": { "uri": "db:orders" },
            }),
        ),
        record(
            APPROVAL,
            Kind::Approval,
            "09:20",
            "jira:acme",
            json!({
                "request": id(REQUEST), "terms": { "answer": "approved", "by": bob() },
            }),
        ),
        record(
            GRANT,
            Kind::Grant,
            "09:25",
            "vault:prod",
            json!({
                "request": id(REQUEST), "approvals": [id(APPROVAL)],
                "terms": { "change": "issued", "subject": etl(), "role": "orders-ddl",
                           "scopes": ["db:schema:*"], "expires": at("12:00") },
                "resource": { "uri": "db:orders/*" },
            }),
        ),
        record(
            ISSUE,
            Kind::Credential,
            "10:00",
            "vault:prod",
            json!({
                "grant": id(GRANT), "terms": { "change": "issued", "subject": etl() },
                "credential": { "id": "lease-77", "type": "database_user", "issuer": "vault", "scopes": ["db:schema:*"],
                                "issued": at("10:00"), "expires": at("11:00") },
            }),
        ),
        record(
            ACTION,
            Kind::Observation,
            "10:20",
            "postgres:orders-1",
            json!({
                "initiator": ann(), "executor": etl(), "credential": { "id": "lease-77" },
                "operation": "ALTER TABLE", "permission": "db:schema:alter",
                "resource": { "uri": "db:orders/public.invoices", "type": "table", "classification": "restricted" },
                "outcome": { "status": "success", "duration_ms": 182 },
                "trace_id": TRACE, "disclosable": ["event"],
            }),
        ),
    ]
}

/// The story without these records.
pub(crate) fn without(gone: &[u64]) -> Vec<Value> {
    let gone: Vec<Value> = gone.iter().map(|n| json!(id(*n))).collect();
    story().into_iter().filter(|record| !gone.contains(&record["id"])).collect()
}

/// The story with members of one record replaced.
pub(crate) fn changed(n: u64, more: Value) -> Vec<Value> {
    let change = |record: Value| {
        if record["id"] == json!(id(n)) { with(&record, more.clone()) } else { record }
    };
    story().into_iter().map(change).collect()
}

fn missing(records: &[Value]) -> Vec<String> {
    Store::of(records).explain(ACTION).missing.into_iter().map(|missing| missing.link).collect()
}

#[test]
fn the_whole_chain_is_joined_and_authorised() {
    let store = Store::of(&story());
    let answer = store.explain(ACTION);
    assert_eq!(answer.verdict.class, Class::Authorised, "{:#?}", answer.verdict);
    assert_eq!(answer.verdict.attribution.value, Attribution::Complete);
    assert_eq!(answer.verdict.authority.value, Authority::Approved);
    assert_eq!(answer.verdict.scope.value, Scope::In);
    assert_eq!(answer.initiator.key.as_deref(), Some("okta:ann"));
    assert_eq!(answer.executor.key.as_deref(), Some("k8s:sa/etl"));
    assert_eq!((answer.initiator.edge, answer.executor.edge), (Edge::Asserted, Edge::Asserted));
    assert_eq!(
        answer.request.as_ref().map(|request| (request.id, request.edge)),
        Some((id(REQUEST), Edge::Asserted))
    );
    let approval = &answer.approvals[0];
    assert!(approval.counts && answer.approvals.len() == 1 && approval.id == id(APPROVAL));
    assert_eq!(approval.by.as_ref().and_then(|by| by.key.as_deref()), Some("jira:bob"));
    // Nothing names the grant but the issue of the credential: a credential's id joins them.
    assert_eq!(answer.grant.as_ref().map(|grant| (grant.id, grant.edge)), Some((id(GRANT), Edge::Inferred)));
    let with = answer.credential.as_ref().expect("a credential");
    assert_eq!(with.expires, Some(at("11:00").parse().expect("valid")));
    assert_eq!(with.scopes, ["db:schema:*"]);
    assert_eq!(answer.findings, []);
    assert_eq!(
        answer.evidence.records.iter().map(|record| record.id).collect::<Vec<_>>(),
        [1, 2, 3, 4, 5].map(id)
    );
    let gone: Vec<&str> = answer.missing.iter().map(|missing| &*missing.link).collect();
    assert_eq!(gone, ["decision"]);
}

#[test]
fn any_record_of_the_action_gives_the_same_answer() {
    let mut records = story();
    let belongs = json!({ "action": id(ACTION), "executor": etl() });
    records.push(record(
        6,
        Kind::Outcome,
        "10:21",
        "postgres:orders-1",
        with(&belongs, json!({ "outcome": { "status": "success" } })),
    ));
    records.push(record(
        7,
        Kind::Approval,
        "10:10",
        "jira:acme",
        json!({ "action": id(ACTION), "terms": { "answer": "approved", "by": bob() } }),
    ));
    records.push(record(8, Kind::Observation, "10:20", "k8s:eu", belongs.clone()));
    // Of a record of a record of the action.
    records.push(record(
        9,
        Kind::Outcome,
        "10:22",
        "k8s:eu",
        json!({ "action": id(8), "executor": etl(), "outcome": { "status": "success" } }),
    ));
    let store = Store::of(&records);
    for n in [6, 7, 8, 9] {
        assert_eq!(store.explain(n), store.explain(ACTION), "{n}");
    }
    assert_eq!(store.explain(ACTION).executor.edge, Edge::Corroborated);
}

#[test]
fn a_record_of_no_action_says_so() {
    let store = Store::of(&story());
    assert!(store.try_explain(77).expect("readable").is_none());
    let error = store.try_explain(GRANT).expect_err("a grant is no action").to_string();
    assert!(error.contains("`grant`") && error.contains("deed find"), "{error}");
    let lost = record(6, Kind::Approval, "09:00", "jira:acme", json!({ "action": id(66) }));
    let error = Store::of(&[lost]).try_explain(6).expect_err("its action is not here").to_string();
    assert!(error.contains(&id(66).to_string()), "{error}");
}

#[test]
fn an_outcome_whose_action_is_lost_stands_alone() {
    let lost = record(
        6,
        Kind::Outcome,
        "10:00",
        "agent",
        json!({ "action": id(66), "executor": etl(), "outcome": { "status": "failure" } }),
    );
    let answer = Store::of(&[lost]).explain(6);
    assert_eq!(answer.action.kind, Kind::Outcome);
    assert_eq!(answer.executor.key.as_deref(), Some("k8s:sa/etl"));
}

#[test]
fn each_missing_piece_is_named_and_nothing_is_guessed() {
    // Without its issue, nothing joins the credential with a grant, nor whoever acted with one that is somebody else's.
    let others = |record: Value| match record["id"] == json!(id(GRANT)) {
        true => with(
            &record,
            json!({ "terms": { "change": "issued", "subject": bob(), "scopes": ["db:schema:*"] } }),
        ),
        false => record,
    };
    let unjoined: Vec<Value> = without(&[ISSUE]).into_iter().map(others).collect();
    assert_eq!(missing(&unjoined), ["request", "approvals", "grant", "decision"]);
    assert_eq!(missing(&without(&[GRANT])), ["request", "approvals", "grant", "decision"]);
    assert_eq!(missing(&without(&[APPROVAL])), ["approvals", "decision"]);
    assert_eq!(missing(&without(&[REQUEST])), ["request", "decision"]);
    let nobody = changed(
        ACTION,
        json!({ "initiator": null, "executor": { "type": "unknown" }, "outcome": null, "credential": null }),
    );
    assert_eq!(
        missing(&nobody),
        ["initiator", "executor", "request", "approvals", "grant", "credential", "decision", "outcome"]
    );
    for records in [unjoined, without(&[GRANT]), without(&[APPROVAL])] {
        let verdict = Store::of(&records).explain(ACTION).verdict;
        assert_eq!((verdict.authority.value, verdict.class), (Authority::Unverified, Class::Unverified));
    }
}

#[test]
fn a_right_of_whoever_acted_is_joined_both_ways() {
    let records = without(&[ISSUE]);
    let answer = Store::of(&records).explain(ACTION);
    let grant = answer.grant.as_ref().expect("a grant");
    assert_eq!((grant.id, grant.edge), (id(GRANT), Edge::Inferred));
    assert!(grant.how.contains("given to whoever acted"), "{}", grant.how);
    assert_eq!(answer.request.as_ref().map(|request| request.edge), Some(Edge::Inferred));
    assert_eq!(answer.verdict.class, Class::Authorised, "{:#?}", answer.verdict);
    let led = led_to(&Store::of(&records), id(GRANT)).expect("readable").expect("a record");
    assert_eq!(
        led.actions.iter().map(|came| (came.id, came.edge)).collect::<Vec<_>>(),
        [(id(ACTION), Edge::Inferred)]
    );
    // Taken back by what it was, not by its id, and before the action: neither shows the other.
    let mut taken = records;
    let back = json!({ "change": "revoked", "subject": etl(), "scopes": ["db:schema:*"] });
    let back = json!({ "effects": [{ "kind": "grant", "terms": back }] });
    taken.push(record(30, Kind::Observation, "10:10", "iam:1", back));
    assert_eq!(Store::of(&taken).explain(ACTION).grant, None);
    assert!(led_to(&Store::of(&taken), id(GRANT)).expect("readable").expect("a record").actions.is_empty());
}

#[test]
fn what_is_named_and_not_there_is_said() {
    let answer =
        Store::of(&changed(ACTION, json!({ "grant": id(90), "request": id(91), "approvals": [id(92)] })))
            .explain(ACTION);
    // The credential's issue still leads to a grant and its request.
    assert_eq!(answer.grant.map(|grant| grant.id), Some(id(GRANT)));
    // Which is not the one that the action names.
    assert_eq!(answer.verdict.authority.value, Authority::Unverified);
    assert!(answer.verdict.authority.reasons[0].contains(&id(90).to_string()));
    assert_eq!(answer.request.map(|request| request.id), Some(id(REQUEST)));
    let approvals = answer.missing.iter().find(|missing| missing.link == "approvals").expect("named");
    assert!(approvals.reason.contains(&id(92).to_string()), "{}", approvals.reason);
}

#[test]
fn names_label_an_answer_and_never_decide_it() {
    let mut store = Store::of(&story());
    let before = store.explain(ACTION);
    store.erase_names();
    let after = store.explain(ACTION);
    // INVARIANT D14
    assert_eq!(
        (&before.verdict, &before.findings, &before.missing),
        (&after.verdict, &after.findings, &after.missing)
    );
    assert_eq!(after.executor.key, after.executor.account.map(|account| account.to_string()));
    assert_eq!(after.executor.name, None);
    assert_eq!(before.grant.map(|grant| grant.how), after.grant.map(|grant| grant.how));
}
