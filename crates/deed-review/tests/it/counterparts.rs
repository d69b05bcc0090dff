//! One call as Deed and the system behind tell of it (I1, I7): one action, corroborated; never two that merely fit.

use deed_record::{Kind, Status};
use deed_review::{Authority, Class, Edge, Explanation};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::store::{Store, TRACE, at, id, record, with};

const TOKEN: u64 = 1;
const CALL: u64 = 2;
const OUTCOME: u64 = 3;
const SEEN: u64 = 4;
const ISSUE: u64 = 5;

fn agent() -> Value {
    json!({ "key": "agent:clerk", "type": "agent" })
}

fn ann() -> Value {
    json!({ "key": "okta:ann", "type": "human" })
}

/// A call through the gateway, which shows a token of Deed's onward, and how it ended.
fn call() -> Vec<Value> {
    let policy = json!({ "effect": "allow", "engine": "cedar", "policies": ["writers"],
                         "policy_set": format!("sha256:3f2a91c4{:056x}", 0) });
    vec![
        record(
            TOKEN,
            Kind::Credential,
            "10:00",
            "deed",
            json!({ "submitter": "deed:token", "initiator": ann(), "executor": agent(),
                    "credential": { "jti": "up", "fingerprint": format!("sha256:{:064x}", 7), "issuer": "deed",
                                    "expires": at("11:00") },
                    "terms": { "change": "issued", "subject": agent() } }),
        ),
        record(
            CALL,
            Kind::Intent,
            "10:20",
            "deed",
            json!({ "submitter": "deed:mcp/store", "initiator": ann(), "executor": agent(), "trace_id": TRACE,
                    "span_id": "53995c3f42cd8ad8", "operation": "tools/call", "decision": policy,
                    "credential": { "jti": "shown", "upstream": "up" },
                    "tool": { "server": "store", "name": "DeleteBucket" } }),
        ),
        record(
            OUTCOME,
            Kind::Outcome,
            "10:21",
            "deed",
            json!({ "submitter": "deed:mcp/store", "executor": agent(), "action": id(CALL),
                    "trace_id": TRACE, "span_id": "53995c3f42cd8ad8",
                    "outcome": { "status": "success", "duration_ms": 182 } }),
        ),
    ]
}

/// What the system behind logged, tied to the call as `tie` says.
fn seen(n: u64, by: &str, tie: Value) -> Value {
    let more =
        json!({ "executor": agent(), "operation": "DeleteBucket", "outcome": { "status": "success" } });
    with(&record(n, Kind::Observation, "10:20", by, more), tie)
}

fn by_span() -> Value {
    json!({ "trace_id": TRACE, "span_id": "00f067aa0ba902b7", "parent_span_id": "53995c3f42cd8ad8" })
}

fn by_token() -> Value {
    json!({ "credential": { "jti": "up" } })
}

fn told(more: &[Value]) -> Store {
    Store::of(&[call(), more.to_vec()].concat())
}

fn joined(answer: &Explanation) -> Vec<u64> {
    let joined = answer.counterparts.iter().filter(|other| other.joined);
    let number = |other: &deed_review::explanation::Counterpart| {
        (1..100).find(|n| id(*n) == other.record).expect("a record of the story")
    };
    joined.map(number).collect()
}

#[test]
fn either_id_leads_to_the_one_action_corroborated() {
    // By the span, the token, its digest, a key that was made with it.
    let digest = json!({ "credential": { "fingerprint": format!("sha256:{:064x}", 7) } });
    let key = json!({ "credential": { "id": "ASIA1" } });
    let issue = record(
        ISSUE,
        Kind::Observation,
        "10:20",
        "cloudtrail:1",
        json!({ "operation": "AssumeRoleWithWebIdentity", "credential": { "jti": "up" },
                "effects": [{ "kind": "credential", "credential": { "id": "ASIA1" },
                              "terms": { "change": "issued" } }] }),
    );
    for (tie, more) in [(by_span(), None), (by_token(), None), (digest, None), (key, Some(issue))] {
        let mut records = vec![seen(SEEN, "cloudtrail:1", tie.clone())];
        records.extend(more);
        let store = told(&records);
        let answer = store.explain(SEEN);
        assert_eq!(answer, store.explain(CALL), "{tie}");
        assert_eq!(answer.action.id, id(CALL), "{tie}");
        assert_eq!(joined(&answer), [SEEN], "{tie}");
        assert_eq!(answer.counterparts[0].edge, Edge::Corroborated);
        assert_eq!((answer.outcome.status, answer.outcome.edge), (Status::Success, Edge::Corroborated));
        assert_eq!(answer.decision.as_ref().map(|decision| decision.edge), Some(Edge::Proven));
        assert_eq!(answer.executor.edge, Edge::Corroborated, "{:?}", answer.executor);
        assert!(answer.evidence.records.iter().any(|record| record.id == id(SEEN)), "{tie}");
    }
}

#[test]
fn of_two_that_fit_neither_is_taken() {
    // Two events of one system for one call.
    let store = told(&[seen(SEEN, "cloudtrail:1", by_token()), seen(6, "cloudtrail:1", by_token())]);
    let answer = store.explain(CALL);
    assert!(joined(&answer).is_empty());
    assert_eq!(answer.counterparts.len(), 2);
    assert!(answer.counterparts.iter().all(|other| other.edge == Edge::Missing));
    assert!(answer.counterparts[0].how.starts_with("ambiguous: 2"), "{}", answer.counterparts[0].how);
    let other = store.explain(SEEN);
    assert_eq!(other.action.id, id(SEEN));
    assert!(other.counterparts[0].how.starts_with("ambiguous"), "{:?}", other.counterparts);
    // Two calls for one event.
    let again = with(&call()[1], json!({ "id": id(20), "span_id": "53995c3f42cd8ad9" }));
    let store = told(&[again, seen(SEEN, "cloudtrail:1", by_token())]);
    assert_eq!(store.explain(SEEN).action.id, id(SEEN));
    assert!(joined(&store.explain(CALL)).is_empty() && joined(&store.explain(20)).is_empty());
    // The span tells them apart.
    let again = with(&call()[1], json!({ "id": id(20), "span_id": "53995c3f42cd8ad9" }));
    let store = told(&[again, seen(SEEN, "cloudtrail:1", by_span())]);
    assert_eq!(store.explain(SEEN).action.id, id(CALL));
    // And so does the name of what was called.
    let other = with(&call()[1], json!({ "id": id(20), "tool": { "server": "store", "name": "PutObject" } }));
    let store = told(&[other, seen(SEEN, "cloudtrail:1", by_token())]);
    assert_eq!(store.explain(SEEN).action.id, id(CALL));
}

#[test]
fn all_that_the_calls_own_span_stands_above_is_the_call() {
    let part = |n: u64, operation: &str, status: &str| {
        let more = json!({ "trace_id": TRACE, "span_id": format!("00f067aa0ba9{n:04x}"),
                           "parent_span_id": "53995c3f42cd8ad8", "operation": operation,
                           "executor": { "key": "aws:role/deploy", "type": "service_account" },
                           "resource": { "uri": "arn:aws:ecs:web" }, "outcome": { "status": status } });
        seen(n, "cloudtrail:1", more)
    };
    let parts =
        [part(SEEN, "ecs:RegisterTaskDefinition", "success"), part(6, "ecs:UpdateService", "failure")];
    let store = told(&parts);
    let answer = store.explain(CALL);
    assert_eq!(joined(&answer), [SEEN, 6]);
    for other in &answer.counterparts {
        assert!(other.part && other.joined && other.edge == Edge::Corroborated, "{other:?}");
    }
    assert_eq!(answer.counterparts[1].operation.as_deref(), Some("ecs:UpdateService"));
    assert_eq!(answer.counterparts[1].resource.as_deref(), Some("arn:aws:ecs:web"));
    // Each has the call's requester and decision.
    for asked in [SEEN, 6] {
        assert_eq!(store.explain(asked), answer);
    }
    assert_eq!(answer.initiator.key.as_deref(), Some("okta:ann"));
    assert_eq!(answer.decision.as_ref().map(|decision| decision.edge), Some(Edge::Proven));
    // What became of a part became not of the call.
    assert_eq!(answer.outcome.status, Status::Success);
    assert!(answer.outcome.how.contains("cloudtrail:1 says `failure` of a part"), "{}", answer.outcome.how);
    assert_eq!(answer.outcome.said.iter().map(|said| said.id).collect::<Vec<_>>(), [id(OUTCOME)]);
    let reasons = answer.verdict.attribution.reasons.join("; ");
    assert_eq!(reasons.matches("names another account").count(), 1, "{reasons}");
    let text = deed_review::render::explain(&answer, deed_review::render::Style::default());
    assert_eq!(text.matches("led to").count(), 2, "{text}");
    assert!(text.contains("ecs:UpdateService"), "{text}");
    // They are steps of their own, below it.
    let trace = store.trace(None);
    let steps: Vec<_> = trace.steps.iter().map(|step| (step.id, step.parent)).collect();
    assert_eq!(steps, [(id(CALL), None), (id(SEEN), Some(id(CALL))), (id(6), Some(id(CALL)))]);
    assert!(trace.steps[0].counterparts.is_empty());
    // Two calls of one span: which of them it is a part of is not known.
    let again = with(&call()[1], json!({ "id": id(20) }));
    let store = told(&[parts.to_vec(), vec![again]].concat());
    assert!(joined(&store.explain(CALL)).is_empty() && joined(&store.explain(SEEN)).is_empty());
}

#[test]
fn where_nobody_knows_the_end_it_took_effect_where_a_part_did() {
    let part = |n: u64, status: &str| {
        with(&seen(n, "cloudtrail:1", by_span()), json!({ "outcome": { "status": status } }))
    };
    let denied = json!({ "decision": { "effect": "deny", "engine": "cedar", "policies": ["no-wipe"],
                                       "policy_set": format!("sha256:{:064x}", 7) } });
    let intent = with(&call()[1], denied);
    for (statuses, took_effect) in
        [(["success", "failure"], true), (["failure", "success"], true), (["failure", "failure"], false)]
    {
        let store = Store::of(&[intent.clone(), part(SEEN, statuses[0]), part(6, statuses[1])]);
        let answer = store.explain(6);
        assert_eq!(answer.action.id, id(CALL));
        let found = answer.findings.iter().any(|finding| finding.rule == "done-although-denied");
        assert_eq!(found, took_effect, "{statuses:?}");
    }
}

#[test]
fn of_many_parts_the_first_are_listed_and_the_others_counted() {
    let parts: Vec<Value> = (100..200)
        .map(|n| {
            let span = json!({ "trace_id": TRACE, "span_id": format!("00f067aa0ba9{n:04x}"),
                               "parent_span_id": "53995c3f42cd8ad8" });
            seen(n, "cloudtrail:1", span)
        })
        .collect();
    let answer = told(&parts).explain(150);
    assert_eq!((answer.action.id, answer.counterparts.len(), answer.more_counterparts), (id(CALL), 64, 36));
    assert!(answer.counterparts.iter().all(|other| other.part));
    let text = deed_review::render::explain(&answer, deed_review::render::Style::default());
    assert!(text.contains("92 more records of other systems"), "{text}");
}

#[test]
fn two_systems_may_tell_of_one_call() {
    let store = told(&[seen(SEEN, "cloudtrail:1", by_token()), seen(6, "tickets-server", by_span())]);
    assert_eq!(joined(&store.explain(CALL)), [SEEN, 6]);
    assert_eq!(store.explain(6).action.id, id(CALL));
}

#[test]
fn the_same_key_and_call_within_minutes_is_inferred_and_stays_apart() {
    let call = vec![with(
        &call()[1],
        json!({ "credential": { "id": "AKIA1" }, "resource": { "uri": "arn:aws:s3:::ledger" } }),
    )];
    let alike = json!({ "credential": { "id": "AKIA1" }, "resource": { "uri": "arn:aws:s3:::ledger" } });
    let store = Store::of(&[call.clone(), vec![seen(SEEN, "cloudtrail:1", alike.clone())]].concat());
    for (asked, other) in [(CALL, SEEN), (SEEN, CALL)] {
        let answer = store.explain(asked);
        assert_eq!(answer.action.id, id(asked));
        let [counterpart] = &answer.counterparts[..] else { panic!("{:?}", answer.counterparts) };
        assert_eq!(
            (counterpart.record, counterpart.edge, counterpart.joined),
            (id(other), Edge::Inferred, false)
        );
    }
    // Another resource, or hours later, is nothing.
    for more in [json!({ "resource": { "uri": "arn:aws:s3:::other" } }), json!({ "time": at("11:40") })] {
        let seen = with(&seen(SEEN, "cloudtrail:1", alike.clone()), more);
        let store = Store::of(&[call.clone(), vec![seen]].concat());
        assert!(store.explain(CALL).counterparts.is_empty());
    }
}

#[test]
fn what_they_disagree_on_is_said() {
    let differs = json!({ "executor": { "key": "aws:role/other", "type": "service_account" },
                          "outcome": { "status": "failure" } });
    let store = told(&[with(&seen(SEEN, "cloudtrail:1", by_token()), differs)]);
    let answer = store.explain(CALL);
    assert_eq!(joined(&answer), [SEEN]);
    assert_eq!(answer.outcome.status, Status::Success);
    assert!(answer.outcome.how.contains("cloudtrail:1 says `failure`"), "{}", answer.outcome.how);
    let reasons = answer.verdict.attribution.reasons.join("; ");
    assert!(reasons.contains("(cloudtrail:1) names another account"), "{reasons}");
    // By the inventory it is the same one.
    let mut store = told(&[with(
        &seen(SEEN, "cloudtrail:1", by_token()),
        json!({ "executor": { "key": "aws:role/clerk", "type": "service_account" } }),
    )]);
    store.declare("Clerk", &["agent:clerk", "aws:role/clerk"]);
    assert_eq!(store.explain(CALL).executor.edge, Edge::Corroborated);
}

#[test]
fn an_end_that_nobody_knew_is_told_by_the_system_behind() {
    let mut records = call();
    records[2] = with(&records[2], json!({ "outcome": { "status": "unknown" } }));
    assert!(Store::of(&records).explain(CALL).findings.iter().any(|f| f.rule == "intent-without-outcome"));
    records.push(seen(SEEN, "cloudtrail:1", by_token()));
    let answer = Store::of(&records).explain(CALL);
    assert_eq!((answer.outcome.status, answer.outcome.edge), (Status::Success, Edge::Asserted));
    assert!(answer.findings.is_empty(), "{:?}", answer.findings);
}

#[test]
fn a_door_that_was_held_cures_nothing_behind_it() {
    // The key that was used behind had been revoked.
    let issue = record(
        ISSUE,
        Kind::Observation,
        "10:20",
        "cloudtrail:1",
        json!({ "operation": "AssumeRoleWithWebIdentity", "credential": { "jti": "up" },
                "effects": [{ "kind": "credential", "credential": { "id": "ASIA1" },
                              "terms": { "change": "issued" } }] }),
    );
    let revoked = record(
        6,
        Kind::Credential,
        "10:19",
        "cloudtrail:1",
        json!({ "credential": { "id": "ASIA1" }, "terms": { "change": "revoked" } }),
    );
    let issue = with(&issue, json!({ "time": at("10:15") }));
    let key = json!({ "credential": { "id": "ASIA1" } });
    let store = told(&[issue, revoked, seen(SEEN, "cloudtrail:1", key)]);
    let answer = store.explain(CALL);
    assert_eq!(joined(&answer), [SEEN]);
    assert_eq!(answer.verdict.authority.value, Authority::Revoked);
    assert_eq!(answer.verdict.class, Class::ControlFailure);
    assert!(answer.findings.iter().any(|finding| finding.rule == "used-after-revocation"));
}

#[test]
fn a_trace_shows_it_once_with_what_it_did_on_the_way_below_it() {
    let below = record(
        6,
        Kind::Step,
        "10:20",
        "store-server",
        json!({ "trace_id": TRACE, "span_id": "00f067aa0ba902b8", "parent_span_id": "00f067aa0ba902b7" }),
    );
    let store = told(&[seen(SEEN, "store-server", by_span()), below, seen(7, "cloudtrail:1", by_token())]);
    let trace = store.trace(None);
    let steps: Vec<_> = trace.steps.iter().map(|step| (step.id, step.parent)).collect();
    assert_eq!(steps, [(id(CALL), None), (id(6), Some(id(CALL)))]);
    let told: Vec<_> = trace.steps[0].counterparts.iter().map(|other| other.record).collect();
    assert_eq!(told, [id(SEEN), id(7)]);
    assert!(trace.gaps.is_empty(), "{:?}", trace.gaps);
}

#[test]
fn whom_the_credential_was_issued_to_is_shown_beside_and_decides_nothing() {
    let issue = record(
        ISSUE,
        Kind::Credential,
        "10:00",
        "vault:prod",
        json!({ "credential": { "id": "lease-1" },
                "terms": { "change": "issued", "subject": { "key": "k8s:sa/etl", "type": "service_account" } } }),
    );
    let used = json!({ "credential": { "id": "lease-1" }, "executor": { "key": "postgres:etl", "type": "unknown" } });
    let used = with(&seen(SEEN, "postgres:orders", json!({})), used);
    let answer = Store::of(&[issue.clone(), used.clone()]).explain(SEEN);
    let [also] = &answer.executor.also[..] else { panic!("{:?}", answer.executor) };
    assert_eq!((also.principal.key.as_deref(), also.edge), (Some("k8s:sa/etl"), Edge::Inferred));
    assert_eq!((answer.executor.key.as_deref(), &also.records[..]), (Some("postgres:etl"), &[id(ISSUE)][..]));
    // Not to a person, not where it was issued to several, not by anybody's mere word.
    let person = json!({ "executor": { "key": "postgres:etl", "type": "human" } });
    let other = json!({ "id": id(6), "terms": { "change": "issued", "subject": { "key": "k8s:sa/b", "type": "service_account" } } });
    for records in [
        vec![issue.clone(), with(&used, person)],
        vec![issue.clone(), with(&issue, other), used.clone()],
        vec![with(&issue, json!({ "basis": "reported", "source": null })), used],
    ] {
        assert!(Store::of(&records).explain(SEEN).executor.also.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// INVARIANT D6: what is one action does not depend on the order of arrival, nor on which id is asked for.
    #[test]
    fn joins_do_not_depend_on_order(
        order in Just((0..9usize).collect::<Vec<_>>()).prop_shuffle(),
        kept in 1usize..10,
    ) {
        let again = with(&call()[1], json!({ "id": id(20), "span_id": "53995c3f42cd8ad9", "time": at("10:22") }));
        let records = [
            call(),
            vec![again, seen(SEEN, "cloudtrail:1", by_token()), seen(6, "store-server", by_span()),
                 seen(7, "github:acme", by_token()), with(&seen(8, "store-server", by_token()), json!({ "time": at("10:23") })),
                 seen(9, "store-server", by_span())],
        ].concat();
        let arrived: Vec<Value> = order.iter().take(kept).map(|at| records[*at].clone()).collect();
        let mut sorted = arrived.clone();
        sorted.sort_by_key(|record| record["id"].to_string());
        let (store, other) = (Store::of(&arrived), Store::of(&sorted));
        for asked in [CALL, SEEN, 6, 7, 8, 9, 20] {
            let (Ok(Some(one)), Ok(Some(two))) = (store.try_explain(asked), other.try_explain(asked)) else { continue };
            prop_assert_eq!(&one.counterparts, &two.counterparts);
            prop_assert_eq!((&one.action.id, &one.verdict, &one.findings), (&two.action.id, &two.verdict, &two.findings));
            // Whatever is joined is joined from its own side as well.
            for counterpart in one.counterparts.iter().filter(|other| other.joined) {
                let back = (1..100).find(|n| id(*n) == counterpart.record).expect("known");
                prop_assert_eq!(store.explain(back).action.id, one.action.id);
            }
        }
    }
}

#[test]
fn a_call_that_may_be_the_cause_leaves_it_unverified() {
    let agent = |key: &str, kind: &str| json!({ "key": key, "type": kind });
    let call = json!({
        "executor": agent("agent:ops", "agent"), "operation": "tools/call",
        "tool": { "server": "kubectl", "name": "get" },
        "decision": { "effect": "allow", "policies": ["p"], "policy_set": "sha256:1", "engine": "cedar" },
    });
    let ended = json!({
        "action": id(1), "executor": agent("agent:ops", "agent"), "outcome": { "status": "success" },
    });
    let act = json!({
        "executor": agent("kubernetes:sa/ops", "service_account"), "operation": "get deployments.apps",
        "credential": { "id": "jti-1" }, "outcome": { "status": "success" },
    });
    let mut store = Store::of(&[
        record(1, Kind::Intent, "10:19", "deed", call),
        record(2, Kind::Outcome, "10:19", "deed", ended),
        record(9, Kind::Observation, "10:20", "kubernetes:prod", act),
    ]);
    store.inventory(
        "[[principal]]\nkey = \"ops\"\ntype = \"agent\"\naliases = [\"agent:ops\", \"kubernetes:sa/ops\"]\ngoverned = true",
    );
    let answer = store.explain(9);
    assert_eq!(answer.verdict.authority.value, Authority::Unverified, "{:#?}", answer.verdict);
    let why = answer.verdict.authority.reasons.join("; ");
    assert!(why.contains("`ops` is to act through Deed alone") && why.contains(&id(1).to_string()), "{why}");
    assert!(why.contains("`mcp:kubectl/get`"), "{why}");
    assert_eq!(answer.findings, []);
    // Twenty minutes later none of theirs was under way.
    let later = record(
        10,
        Kind::Observation,
        "10:40",
        "kubernetes:prod",
        json!({ "executor": agent("kubernetes:sa/ops", "service_account"), "operation": "get deployments.apps" }),
    );
    store.add(&later);
    assert_eq!(store.explain(10).verdict.authority.value, Authority::Bypassed);
}
