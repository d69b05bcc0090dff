//! Approvals that count and those that do not.

use deed_record::Kind;
use deed_review::{Authority, Class, Edge, Explanation};
use serde_json::{Value, json};

use crate::{
    store::{Store, at, id, record, with},
    story::{ACTION, APPROVAL, GRANT, REQUEST, ann, bob, changed, etl, story, without},
};

fn explained(records: &[Value]) -> Explanation {
    Store::of(records).explain(ACTION)
}

fn rules(answer: &Explanation) -> Vec<&str> {
    answer.findings.iter().map(|finding| &*finding.rule).collect()
}

fn not_counting(answer: &Explanation, why: &str) {
    let approval = &answer.approvals[0];
    assert!(!approval.counts && approval.how.contains(why), "{}", approval.how);
    assert_eq!(answer.verdict.authority.value, Authority::Unverified, "{:?}", answer.verdict);
    assert!(
        answer.verdict.authority.reasons.iter().any(|reason| reason.contains(why)),
        "{:?}",
        answer.verdict
    );
}

#[test]
fn who_asked_or_acted_approves_nothing() {
    let terms = |by: Value| json!({ "terms": { "answer": "approved", "by": by } });
    for by in [etl(), ann()] {
        let answer = explained(&changed(APPROVAL, terms(by)));
        not_counting(&answer, "does not count");
        assert_eq!(rules(&answer), ["self-approval"]);
    }
    let carl = json!({ "key": "jira:carl", "type": "human" });
    let mut records = changed(REQUEST, json!({ "terms": { "by": carl.clone(), "subject": etl() } }));
    records[1] = record(
        APPROVAL,
        Kind::Approval,
        "09:20",
        "jira:acme",
        json!({ "request": id(REQUEST), "terms": { "answer": "approved", "by": carl } }),
    );
    let answer = explained(&records);
    not_counting(&answer, "given by who asked");
    assert_eq!(rules(&answer), ["self-approval"]);
}

#[test]
fn a_machine_approves_nothing() {
    let bot = |kind: &str| json!({ "key": "agent:bobs-bot", "type": kind });
    let approved = |by: Value| changed(APPROVAL, json!({ "terms": { "answer": "approved", "by": by } }));
    for kind in ["agent", "workload", "service_account"] {
        not_counting(&explained(&approved(bot(kind))), "given by a machine");
    }
    // What an account is, the inventory knows best.
    let mut store = Store::of(&approved(bot("unknown")));
    assert_eq!(store.explain(ACTION).verdict.class, Class::Authorised);
    store.inventory("[[principal]]\ntype = \"agent\"\nowner = \"bob\"\naliases = [\"agent:bobs-bot\"]");
    not_counting(&store.explain(ACTION), "given by a machine");
}

#[test]
fn an_approval_after_the_act_is_none() {
    let answer = explained(&changed(APPROVAL, json!({ "time": at("10:21") })));
    not_counting(&answer, "only after the action");
    assert_eq!(rules(&answer), ["approval-after-act"]);
}

#[test]
fn unfit_approvals_do_not_count() {
    let terms = |terms: Value| changed(APPROVAL, json!({ "terms": terms }));
    not_counting(&explained(&terms(json!({ "by": bob() }))), "neither yes nor no");
    not_counting(&explained(&terms(json!({ "answer": "approved" }))), "does not say who");
    not_counting(
        &explained(&terms(json!({ "answer": "approved", "by": bob(), "expires": at("10:00") }))),
        "had ended",
    );
    not_counting(&explained(&changed(APPROVAL, json!({ "request": id(55) }))), "something else");
}

#[test]
fn a_refusal_stands_until_it_is_taken_back() {
    let refusal = |n: u64, clock: &str, answer: &str| {
        let dora = json!({ "key": "jira:dora", "type": "human" });
        record(
            n,
            Kind::Approval,
            clock,
            "jira:acme",
            json!({ "request": id(REQUEST), "terms": { "answer": answer, "by": dora } }),
        )
    };
    let mut records = story();
    records.push(refusal(20, "09:30", "refused"));
    let answer = explained(&records);
    assert_eq!(answer.verdict.authority.value, Authority::Unverified);
    assert!(answer.verdict.authority.reasons[0].contains("refuses"), "{:?}", answer.verdict);
    records.push(refusal(21, "09:40", "approved"));
    assert_eq!(explained(&records).verdict.authority.value, Authority::Approved);
    // After the act it changes nothing.
    let mut records = story();
    records.push(refusal(20, "10:30", "refused"));
    assert_eq!(explained(&records).verdict.authority.value, Authority::Approved);
}

#[test]
fn an_approver_may_think_again() {
    let after = |more: Value| {
        let mut records = story();
        let more = json!({ "request": id(REQUEST), "terms": more });
        records.push(record(20, Kind::Approval, "09:40", "jira:acme", more));
        explained(&records)
    };
    not_counting(&after(json!({ "change": "revoked", "by": bob() })), "taken back");
    // Whoever refuses it says more than that they no longer approve.
    let refused = after(json!({ "answer": "refused", "by": bob() }));
    assert_eq!(refused.verdict.authority.value, Authority::Unapproved);
    assert_eq!(refused.verdict.class, Class::ControlFailure);
    assert!(refused.findings.iter().any(|finding| finding.rule == "done-although-denied"));
}

#[test]
fn a_word_of_the_party_alone_lifts_nothing() {
    let reported = json!({ "basis": "reported", "submitter": "ticket-bot", "source": null });
    for (n, what) in [(APPROVAL, "the approval is only reported"), (GRANT, "the grant is only reported")] {
        let answer = explained(&changed(n, reported.clone()));
        assert_eq!(answer.verdict.authority.value, Authority::Unverified);
        assert!(answer.verdict.authority.reasons[0].contains(what), "{:?}", answer.verdict);
        assert_eq!(answer.verdict.class, Class::Unverified);
    }
    // Unless another system says the same.
    let mut records = changed(APPROVAL, reported);
    let again = json!({ "request": id(REQUEST), "terms": { "answer": "approved", "by": bob() } });
    records.push(record(20, Kind::Approval, "09:21", "mail-bot", again));
    let answer = explained(&records);
    assert_eq!(answer.verdict.authority.value, Authority::Approved, "{:?}", answer.verdict);
    assert_eq!(answer.approvals[0].edge, Edge::Corroborated);
}

#[test]
fn saying_it_twice_does_not_corroborate() {
    let mut records =
        changed(APPROVAL, json!({ "basis": "reported", "submitter": "ticket-bot", "source": null }));
    let again = json!({ "request": id(REQUEST), "terms": { "answer": "approved", "by": bob() } });
    records.push(record(20, Kind::Approval, "09:21", "ticket-bot", again));
    assert_eq!(explained(&records).verdict.authority.value, Authority::Unverified);
}

#[test]
fn a_grant_must_be_for_those_who_act() {
    let other = json!({ "key": "k8s:sa/other", "type": "service_account" });
    let mut records = changed(GRANT, json!({ "terms": { "subject": other, "scopes": ["db:schema:*"] } }));
    let answer = explained(&records);
    assert!(
        answer.verdict.authority.reasons[0].contains("not known to be for anybody"),
        "{:?}",
        answer.verdict
    );
    // Saying to nobody is enough only where the issuer of the credential names the grant.
    records[2] = record(
        GRANT,
        Kind::Grant,
        "09:25",
        "vault:prod",
        json!({ "request": id(REQUEST), "terms": { "scopes": ["db:schema:*"] } }),
    );
    assert_eq!(explained(&records).verdict.authority.value, Authority::Approved);
    let mut records = without(&[crate::story::ISSUE, GRANT]);
    records.push(record(
        GRANT,
        Kind::Grant,
        "09:25",
        "vault:prod",
        json!({ "request": id(REQUEST), "terms": { "scopes": ["db:schema:*"] } }),
    ));
    records[2] = crate::store::with(&records[2], json!({ "grant": id(GRANT) }));
    let answer = explained(&records);
    assert_eq!(answer.grant.as_ref().map(|grant| grant.edge), Some(Edge::Asserted));
    assert_eq!(answer.verdict.authority.value, Authority::Unverified);
}

#[test]
fn a_grant_after_the_act_is_none() {
    let answer = explained(&changed(GRANT, json!({ "time": at("10:30") })));
    assert_eq!(answer.verdict.authority.value, Authority::Unverified);
    assert!(answer.verdict.authority.reasons[0].contains("began only after"), "{:?}", answer.verdict);
}

#[test]
fn a_step_up_that_deed_recorded_needs_no_grant() {
    let step_up = json!({ "executor": etl(), "initiator": ann(), "decision": { "effect": "step_up" } });
    let action = record(ACTION, Kind::Intent, "10:20", "deed", step_up);
    let approval = |by: &str| {
        record(
            APPROVAL,
            Kind::Approval,
            "10:25",
            by,
            json!({ "action": id(ACTION), "terms": { "answer": "approved", "by": bob() } }),
        )
    };
    let answer = explained(&[action.clone(), approval("deed")]);
    assert_eq!(answer.verdict.authority.value, Authority::Approved, "{:?}", answer.verdict);
    assert_eq!(answer.approvals[0].edge, Edge::Proven);
    // Anybody else's word binds to no arguments.
    let answer = explained(&[action.clone(), approval("jira:acme")]);
    not_counting(&answer, "whether before the act is not known");
    assert_eq!(rules(&answer), [""; 0]);
    let done = |clock| {
        record(
            6,
            Kind::Outcome,
            clock,
            "deed",
            json!({ "action": id(ACTION), "executor": etl(), "outcome": { "status": "success" } }),
        )
    };
    assert_eq!(
        explained(&[action.clone(), approval("deed"), done("10:26")]).verdict.authority.value,
        Authority::Approved
    );
    let answer = explained(&[action, approval("deed"), done("10:24")]);
    not_counting(&answer, "only after the action");
    assert_eq!(answer.verdict.class, Class::ControlFailure);
    assert_eq!(rules(&answer), ["done-although-denied", "approval-after-act"]);
}

#[test]
fn two_systems_corroborate_a_grant() {
    let reported = json!({ "basis": "reported", "submitter": "ticket-bot", "source": null });
    let mut records = changed(GRANT, reported);
    let terms = json!({ "change": "issued", "subject": etl(), "role": "orders-ddl", "scopes": ["db:schema:*"], "expires": at("12:00") });
    let same = json!({ "request": id(REQUEST), "terms": terms, "resource": { "uri": "db:orders/*" } });
    records.push(record(20, Kind::Grant, "09:26", "iam-bot", same.clone()));
    assert_eq!(explained(&records).verdict.authority.value, Authority::Approved);
    // A wider one is not the same.
    let wider = crate::store::with(&same, json!({ "resource": { "uri": "*" } }));
    *records.last_mut().expect("added") = record(20, Kind::Grant, "09:26", "iam-bot", wider);
    assert_eq!(explained(&records).verdict.authority.value, Authority::Unverified);
}

#[test]
fn what_was_not_asked_for_was_not_approved() {
    let terms = |more: Value| with(&json!({ "subject": etl(), "role": "orders-ddl" }), more);
    let other_scope = changed(REQUEST, json!({ "terms": terms(json!({ "scopes": ["db:read"] })) }));
    let other_role = changed(REQUEST, json!({ "terms": terms(json!({ "role": "reader" })) }));
    for records in [other_scope, other_role] {
        let verdict = explained(&records).verdict;
        assert_eq!(verdict.authority.value, Authority::Unverified, "{verdict:?}");
        assert!(verdict.authority.reasons[0].contains("asks for"), "{verdict:?}");
    }
}

#[test]
fn what_relies_on_a_grant_does_not_change_it() {
    let other = json!({ "key": "k8s:sa/other", "type": "service_account" });
    // A narrower grant to somebody else, and a call that takes another grant away, both under this one.
    let terms =
        json!({ "change": "issued", "subject": other, "scopes": ["db:read"], "expires": at("10:05") });
    let mut records = story();
    records.push(record(
        20,
        Kind::Grant,
        "10:01",
        "vault:prod",
        json!({ "grant": id(GRANT), "terms": terms }),
    ));
    let call = |n: u64, subject: &Value| {
        let effects = json!([{ "kind": "grant", "terms": { "change": "revoked", "subject": subject } }]);
        record(n, Kind::Observation, "10:05", "vault:prod", json!({ "grant": id(GRANT), "effects": effects }))
    };
    records.push(call(21, &other));
    let answer = explained(&records);
    assert_eq!(answer.verdict.class, Class::Authorised, "{:?}", answer.verdict);
    records.push(call(22, &etl()));
    assert_eq!(explained(&records).verdict.authority.value, Authority::Revoked);
}

/// Other systems' events have ids of their own; what they tell of one request shares an id for it.
#[test]
fn requests_are_found_by_the_id_that_events_share() {
    const ASKED: u64 = 901;
    const ANSWERED: u64 = 902;
    let request = json!(id(900).to_string());
    let is = |record: &Value, n: u64| record["id"] == id(n).to_string().as_str();
    let event = |at_id, time: &str, executor: Value, effect: Value| {
        let more = json!({ "request": request, "executor": executor, "effects": [effect] });
        record(at_id, Kind::Observation, time, "jira:acme", more)
    };
    let asked =
        json!({ "kind": "request", "terms": { "change": "requested", "by": ann(), "subject": etl() } });
    let answered = json!({ "kind": "approval", "terms": { "answer": "approved", "by": bob() } });
    let mut records = story();
    records.retain(|record| !is(record, REQUEST) && !is(record, APPROVAL));
    for record in &mut records {
        if is(record, GRANT) || is(record, ACTION) {
            record["request"] = request.clone();
            record.as_object_mut().expect("an object").remove("approvals");
        }
    }
    records.push(event(ASKED, "09:00", ann(), asked));
    records.push(event(ANSWERED, "09:20", bob(), answered));
    let answer = explained(&records);
    assert!(answer.request.is_some(), "{answer:?}");
    assert!(answer.approvals[0].counts, "{}", answer.approvals[0].how);
    assert!(rules(&answer).is_empty(), "{:?}", rules(&answer));
    // To approve is no action that needs its own approval, nor one that its approver approves.
    let answer = Store::of(&records).explain(ANSWERED);
    assert!(answer.request.is_some() && answer.approvals.is_empty(), "{answer:?}");
    assert!(rules(&answer).is_empty(), "{:?}", rules(&answer));
}

#[test]
fn asking_and_answering_is_done_by_nothing_that_came_of_it() {
    const ASKED: u64 = 40;
    const ANSWERED: u64 = 41;
    let effect = |kind: &str, terms: Value| json!([{ "kind": kind, "terms": terms }]);
    let observed = |n: u64, clock: &str, who: Value, effects: Value| {
        let more = json!({ "executor": who, "request": id(7), "effects": effects });
        record(n, Kind::Observation, clock, "teleport:tp", more)
    };
    let granted = json!({ "change": "issued", "subject": ann(), "role": "dba" });
    let records = [
        observed(ASKED, "09:00", ann(), effect("request", json!({ "change": "requested", "by": ann() }))),
        observed(ANSWERED, "09:05", bob(), effect("approval", json!({ "answer": "approved", "by": bob() }))),
        observed(42, "09:06", bob(), effect("grant", granted)),
        record(
            ACTION,
            Kind::Observation,
            "10:20",
            "teleport:tp",
            json!({ "executor": ann(), "request": id(7) }),
        ),
    ];
    let store = Store::of(&records);
    for n in [ASKED, ANSWERED] {
        let answer = store.explain(n);
        assert!(answer.grant.is_none() && answer.approvals.is_empty(), "{answer:?}");
        assert_eq!(answer.request.is_some(), n == ANSWERED, "what is answered");
    }
    // Of the request itself no request is missing.
    assert!(store.explain(ASKED).missing.iter().all(|missing| missing.link != "request"));
    assert_eq!(
        store.explain(ANSWERED).initiator.key.as_deref(),
        Some("jira:bob"),
        "nobody else asked for the answer"
    );
    // What is done on it is done by it.
    let done = store.explain(ACTION);
    assert!(done.grant.is_some() && done.request.is_some() && done.approvals[0].counts, "{done:?}");
}
