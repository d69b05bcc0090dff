//! Calls made with a token that Deed issued: the right is the token, with all that it came from.

use deed_record::{Kind, Status};
use deed_review::{
    Authority, Class, Edge, Explanation, Scope,
    explanation::Relation,
    render::{self, Style},
};
use serde_json::{Value, json};

use crate::{
    store::{Store, at, id, record, with},
    story::{ACTION, bob},
    text::expect,
};

const SIGN_IN: &str = "sha256:24817e35767a2803c7c821e1f904c194fe72cbe83ac5e029120e6c3e3ecd957d";
const FIRST: u64 = 50;
const HANDED: u64 = 51;
const OUTCOME: u64 = 6;

fn ann() -> Value {
    json!({ "key": "oidc:idp.example/ann", "type": "human" })
}

fn assistant() -> Value {
    json!({ "key": "agent:assistant", "type": "agent" })
}

fn clerk() -> Value {
    json!({ "key": "agent:clerk", "type": "agent" })
}

fn credential(n: u64, parent: &str, scopes: Value) -> Value {
    json!({
        "jti": id(n), "fingerprint": format!("sha256:{n:064x}"), "issuer": "https://deed.example", "type": "bearer",
        "parent": parent, "scopes": scopes, "issued": at("10:00"), "expires": at("10:30"),
    })
}

/// What the token service writes when it issues a token.
fn issue(n: u64, clock: &str, change: &str, whose: Value, credential: Value) -> Value {
    record(
        n,
        Kind::Credential,
        clock,
        "deed",
        json!({
            "submitter": "deed:token", "initiator": ann(), "executor": whose.clone(), "credential": credential,
            "resource": { "uri": "https://deed.example/mcp/tickets" },
            "terms": { "change": change, "subject": whose, "not_before": at(clock), "expires": at("10:30") },
        }),
    )
}

/// Ann signs in; her assistant gets a token, and hands it on to the clerk, who calls a tool.
fn call() -> Vec<Value> {
    let first = credential(FIRST, SIGN_IN, json!(["tickets:read", "tickets:write"]));
    let handed = credential(HANDED, &id(FIRST).to_string(), json!(["tickets:write"]));
    let hop = json!([{ "principal": assistant() }]);
    vec![
        issue(FIRST, "10:00", "issued", assistant(), first),
        with(&issue(HANDED, "10:05", "issued", clerk(), handed.clone()), json!({ "chain": hop })),
        record(
            ACTION,
            Kind::Intent,
            "10:20",
            "deed",
            json!({
                "submitter": "deed:mcp/tickets", "initiator": ann(), "executor": clerk(), "chain": hop,
                "credential": handed, "grant": id(HANDED), "operation": "tools/call",
                "tool": { "server": "tickets", "name": "create" },
                "decision": { "effect": "allow", "engine": "cedar-policy/4", "policies": ["writers"],
                              "policy_set": format!("sha256:3f2a91c4{:056x}", 0) },
            }),
        ),
        record(
            OUTCOME,
            Kind::Outcome,
            "10:20",
            "deed",
            json!({
                "submitter": "deed:mcp/tickets", "executor": clerk(), "action": id(ACTION),
                "outcome": { "status": "success", "duration_ms": 3 },
            }),
        ),
    ]
}

/// The call with members of one of its records replaced.
fn but(n: u64, more: Value) -> Vec<Value> {
    let change = |record: Value| {
        if record["id"] == json!(id(n)) { with(&record, more.clone()) } else { record }
    };
    call().into_iter().map(change).collect()
}

fn decided(decision: Value) -> Value {
    json!({ "decision": decision })
}

fn explained(records: &[Value]) -> Explanation {
    Store::of(records).explain(ACTION)
}

fn reason(answer: &Explanation) -> &str {
    &answer.verdict.authority.reasons[0]
}

#[test]
fn the_token_is_the_grant_up_to_what_the_person_showed() {
    let answer = explained(&call());
    let grant = answer.grant.as_ref().expect("the token");
    assert_eq!((grant.id, grant.kind, grant.edge), (id(HANDED), Kind::Credential, Edge::Proven));
    assert_eq!(grant.relation, Some(Relation::HandOff));
    assert_eq!(grant.scopes, ["tickets:write"]);
    assert_eq!(grant.expires, Some(at("10:30").parse().expect("valid")));
    assert_eq!(grant.resource.as_ref().map(|at| &*at.uri), Some("https://deed.example/mcp/tickets"));
    let key = |who: &Option<deed_review::explanation::Who>| who.as_ref().and_then(|who| who.key.clone());
    assert_eq!(key(&grant.by).as_deref(), Some("agent:assistant"));
    assert_eq!(key(&grant.subject).as_deref(), Some("agent:clerk"));
    let [token, sign_in] = &grant.parents[..] else { panic!("{:?}", grant.parents) };
    assert_eq!((token.record, key(&token.subject).as_deref()), (Some(id(FIRST)), Some("agent:assistant")));
    assert_eq!(token.scopes, ["tickets:read", "tickets:write"]);
    assert_eq!((sign_in.record, &*sign_in.credential), (None, SIGN_IN));
    assert_eq!(key(&sign_in.subject).as_deref(), Some("oidc:idp.example/ann"));
    // Whoever stood between had the token above.
    let hop = &answer.chain[0];
    assert_eq!((hop.edge, hop.delegation), (Edge::Proven, Some(id(FIRST))));
    assert_eq!((answer.initiator.edge, answer.executor.edge), (Edge::Proven, Edge::Proven));
    let links: Vec<&str> = answer.missing.iter().map(|missing| &*missing.link).collect();
    assert_eq!(links, ["request"]);
    let read: Vec<_> = answer.evidence.records.iter().map(|record| record.id).collect();
    assert!(read.contains(&id(FIRST)) && read.contains(&id(HANDED)), "{read:?}");
}

#[test]
fn a_policy_that_allowed_it_is_the_right_and_is_named() {
    // No scope of the token names the method: policy asked for the one that it has.
    let answer = explained(&call());
    let verdict = &answer.verdict;
    assert_eq!(
        (verdict.authority.value, verdict.scope.value, verdict.class),
        (Authority::Approved, Scope::In, Class::Authorised)
    );
    for word in ["`writers`", "3f2a91c4", "Deed issued 10:05", "10:30"] {
        assert!(reason(&answer).contains(word), "{}", reason(&answer));
    }
    assert!(verdict.scope.reasons[0].contains("`writers`"), "{:?}", verdict.scope);
}

#[test]
fn the_screen_has_the_whole_chain() {
    let mut store = Store::of(&call());
    store.declare("Ann Meyer", &["human:ann", "oidc:idp.example/ann"]);
    expect("explain-token", &render::explain(&store.explain(ACTION), Style::default()));
}

#[test]
fn a_record_that_is_not_there_is_missing() {
    let gone =
        |n: u64| -> Vec<Value> { call().into_iter().filter(|record| record["id"] != json!(id(n))).collect() };
    let answer = explained(&gone(HANDED));
    assert!(answer.grant.is_none());
    let missing = answer.missing.iter().find(|missing| missing.link == "grant").expect("named");
    assert!(missing.reason.contains(&id(HANDED).to_string()), "{}", missing.reason);
    assert_eq!(answer.verdict.class, Class::Unverified);
    assert_eq!(answer.executor.edge, Edge::Asserted);
    // Of the one before it only the name is left, and the person is not reached.
    let answer = explained(&gone(FIRST));
    let grant = answer.grant.as_ref().expect("the token");
    assert!(grant.parents.iter().all(|parent| parent.record.is_none()), "{:?}", grant.parents);
    assert_eq!(answer.chain[0].delegation, None);
}

#[test]
fn only_what_the_token_service_wrote_gives_a_right() {
    // The same record, by somebody who may not say so.
    for by in [json!({ "submitter": "deed:run" }), json!({ "basis": "reported", "submitter": "deed:token" })]
    {
        let answer = explained(&but(HANDED, by));
        assert!(answer.grant.is_none(), "{:?}", answer.grant);
        let missing = answer.missing.iter().find(|missing| missing.link == "grant").expect("named");
        assert!(missing.reason.contains("is no grant"), "{}", missing.reason);
    }
    // A token that was not the one that was shown.
    let other = credential(77, SIGN_IN, json!(["tickets:write"]));
    let answer = explained(&but(ACTION, json!({ "credential": other })));
    assert_eq!(answer.verdict.class, Class::Unverified, "{:?}", answer.verdict);
    // Nor one that somebody else holds.
    let answer = explained(&but(HANDED, json!({ "terms": { "change": "issued", "subject": bob() } })));
    assert_eq!(answer.verdict.class, Class::Unverified, "{:?}", answer.verdict);
}

#[test]
fn a_renewal_is_a_token_of_its_own() {
    let renewed = credential(HANDED, &id(FIRST).to_string(), json!(["tickets:write"]));
    let mut records = call();
    records[1] = issue(HANDED, "10:05", "renewed", assistant(), renewed);
    records[2] = with(&records[2], json!({ "executor": assistant(), "chain": null }));
    let answer = explained(&records);
    let grant = answer.grant.as_ref().expect("the token");
    assert_eq!(grant.relation, Some(Relation::Renewal));
    assert_eq!((answer.executor.edge, answer.verdict.class), (Edge::Proven, Class::Authorised));
}

#[test]
fn revoked_before_revoked_after_and_suspended() {
    let change = |n: u64, clock: &str, token: u64, more: Value| {
        let base = json!({ "submitter": "deed:token", "credential": { "jti": id(token) }, "terms": { "change": "revoked" } });
        record(n, Kind::Credential, clock, "deed", with(&base, more))
    };
    // Deed revokes with a token whatever was made from it.
    for token in [FIRST, HANDED] {
        let mut records = call();
        records.push(change(70, "10:10", token, json!({})));
        let answer = explained(&records);
        assert_eq!(
            (answer.verdict.authority.value, answer.verdict.class),
            (Authority::Revoked, Class::ControlFailure)
        );
    }
    let mut records = call();
    records.push(change(
        70,
        "10:25",
        HANDED,
        json!({ "operation": "suspend", "submitter": "deed:suspension" }),
    ));
    let answer = explained(&records);
    assert_eq!(answer.verdict.class, Class::Authorised);
    let with = answer.credential.expect("a credential");
    assert!(with.how.contains("suspended only afterwards, 10:25"), "{}", with.how);
    assert_eq!(with.revoked, None);
}

#[test]
fn the_starter_set_decides_nothing() {
    let starter = json!({ "effect": "allow", "policies": ["starter"], "policy_set": "sha256:00" });
    let answer = explained(&but(ACTION, decided(starter)));
    assert_eq!(
        (answer.verdict.authority.value, answer.verdict.class),
        (Authority::Unverified, Class::Unverified)
    );
    assert!(reason(&answer).contains("starter"), "{}", reason(&answer));
}

#[test]
fn what_was_only_claimed_gets_no_right_from_a_policy() {
    let answer = explained(&but(ACTION, json!({ "credential": null, "grant": null, "chain": null })));
    assert_eq!((answer.executor.edge, answer.verdict.class), (Edge::Asserted, Class::Unverified));
    assert!(reason(&answer).contains("not proven"), "{}", reason(&answer));
    assert!(answer.executor.how.contains("no credential proves it"), "{}", answer.executor.how);
    // An application that asks and enforces by itself: its word.
    let reported = but(ACTION, json!({ "basis": "reported", "submitter": "deed:authzen/shop" }));
    let answer = explained(&reported);
    assert_eq!(answer.verdict.class, Class::Unverified, "{:?}", answer.verdict);
    assert!(reason(&answer).contains("`shop` kept to it"), "{}", reason(&answer));
    let decision = answer.decision.expect("decided");
    assert_eq!((decision.edge, decision.how.contains("asked by shop")), (Edge::Proven, true));
}

#[test]
fn a_credential_that_the_gateway_verified_proves_who_acts() {
    let outside = json!({ "fingerprint": SIGN_IN, "issuer": "https://idp.example", "type": "bearer", "expires": at("10:40") });
    let shown = json!({ "credential": outside, "grant": null, "chain": null });
    let answer = explained(&but(ACTION, shown.clone()));
    assert_eq!((answer.executor.edge, answer.verdict.class), (Edge::Proven, Class::Authorised));
    assert!(reason(&answer).contains("Deed verified"), "{}", reason(&answer));
    let late = with(&shown, json!({ "time": at("10:41") }));
    assert_eq!(explained(&but(ACTION, late)).verdict.authority.value, Authority::Expired);
}

#[test]
fn a_denial_is_told_as_one() {
    let denied = json!({ "effect": "deny", "policies": ["no-creates"], "policy_set": "sha256:00" });
    let mut records = but(ACTION, decided(denied));
    records[3] = with(&records[3], json!({ "outcome": { "status": "denied", "code": "policy" } }));
    let answer = explained(&records);
    assert_eq!(
        (answer.verdict.authority.value, answer.verdict.class),
        (Authority::Unverified, Class::Unverified)
    );
    assert!(reason(&answer).contains("`no-creates` denied it"), "{}", reason(&answer));
    let text = render::explain(&answer, Style::default());
    assert!(text.lines().any(|line| line.starts_with("REFUSED: ")), "{text}");
    // An application that asked, was told no, and did it.
    let mut records = but(
        ACTION,
        json!({
            "basis": "reported", "submitter": "deed:authzen/shop",
            "decision": { "effect": "deny", "policies": ["no-creates"], "policy_set": "sha256:00" },
        }),
    );
    records[3] = with(&records[3], json!({ "basis": "reported", "submitter": "shop" }));
    let answer = explained(&records);
    assert_eq!(answer.verdict.class, Class::ControlFailure);
    assert_eq!(answer.findings[0].rule, "done-although-denied");
    assert_eq!(explained(&records[..3]).outcome.status, Status::Unknown);
    assert_eq!(explained(&records[..3]).verdict.class, Class::Unverified);
}

#[test]
fn what_a_human_let_through_is_decided_again() {
    let asked = json!({ "effect": "step_up", "policies": ["ask-first"], "policy_set": "sha256:00" });
    let again = json!({ "effect": "allow", "policies": ["writers"], "policy_set": "sha256:00" });
    let mut records = but(ACTION, decided(asked));
    records.push(record(
        7,
        Kind::Step,
        "10:21",
        "deed",
        json!({ "action": id(ACTION), "executor": clerk(), "approvals": [id(8)], "decision": again }),
    ));
    let waiting = explained(&records[..3]);
    assert!(reason(&waiting).contains("`ask-first` asks for a human"), "{}", reason(&waiting));
    let approval = |by: Value| json!({ "action": id(ACTION), "terms": { "answer": "approved", "by": by } });
    let mut approved = records.clone();
    approved[3] = with(&approved[3], json!({ "time": at("10:22") }));
    approved.push(record(8, Kind::Approval, "10:21", "deed", approval(bob())));
    let answer = explained(&approved);
    assert_eq!(answer.verdict.class, Class::Authorised, "{:?}", answer.verdict);
    let then = answer.decision.as_ref().and_then(|decision| decision.then.as_ref()).expect("decided again");
    assert_eq!(then.policies, ["writers"]);
    let text = render::explain(&answer, Style::default());
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("after a human was asked (ask-first)"), "{text}");
    // Whoever asked may not be the one who approves, whatever policy says.
    approved[5] = record(8, Kind::Approval, "10:21", "deed", approval(ann()));
    assert_eq!(explained(&approved).verdict.class, Class::Unverified);
}

#[test]
fn an_approval_of_the_same_call_made_before_counts() {
    let mut records = but(ACTION, json!({ "approvals": [id(8)] }));
    records.push(record(
        8,
        Kind::Approval,
        "10:10",
        "deed",
        json!({ "action": id(99), "terms": { "answer": "approved", "by": bob() } }),
    ));
    let answer = explained(&records);
    assert!(answer.approvals[0].counts, "{}", answer.approvals[0].how);
    assert_eq!(answer.verdict.class, Class::Authorised);
    // Not where somebody else says so.
    records[4] = with(&records[4], json!({ "basis": "reported", "submitter": "clerk" }));
    assert!(!explained(&records).approvals[0].counts);
}

#[test]
fn whom_the_inventory_joins_is_one() {
    let asked = json!({ "effect": "step_up", "policies": ["ask-first"], "policy_set": "sha256:00" });
    let mut records = but(ACTION, decided(asked));
    let by = json!({ "key": "human:ann", "type": "human" });
    records.push(record(
        8,
        Kind::Approval,
        "10:20",
        "deed",
        json!({ "action": id(ACTION), "terms": { "answer": "approved", "by": by } }),
    ));
    let mut store = Store::of(&records);
    assert!(store.explain(ACTION).approvals[0].counts);
    store.declare("Ann Meyer", &["human:ann", "oidc:idp.example/ann"]);
    let answer = store.explain(ACTION);
    assert!(!answer.approvals[0].counts, "{}", answer.approvals[0].how);
    assert!(answer.findings.iter().any(|finding| finding.rule == "self-approval"), "{:?}", answer.findings);
    assert_eq!(answer.initiator.name.as_deref(), Some("Ann Meyer"));
    assert_eq!(answer.initiator.principal.as_deref(), Some("human:ann"));
    assert_eq!(answer.initiator.key.as_deref(), Some("oidc:idp.example/ann"));
    let text = render::explain(&answer, Style { verbose: true, ..Style::default() });
    assert!(text.contains("key oidc:idp.example/ann, of human:ann by the inventory"), "{text}");
    // Who answers for whoever acted stands in the inventory alone.
    store.declare("Clerk", &["agent:clerk"]);
    assert_eq!(store.explain(ACTION).executor.owner.as_deref(), Some("human:olga"));
}

#[test]
fn what_undid_it_is_said_and_cannot_hide_it() {
    let undo = |n: u64, by: &str, status: &str| {
        let outcome = json!({ "status": status, "compensates": id(ACTION) });
        record(
            n,
            Kind::Outcome,
            "11:00",
            by,
            json!({ "action": id(n + 100), "executor": clerk(), "outcome": outcome }),
        )
    };
    let mut records = call();
    records.push(undo(20, "deed", "success"));
    records.push(undo(21, "clerk", "failure"));
    let again = json!({ "status": "success", "retry_of": id(ACTION) });
    records.push(record(
        22,
        Kind::Observation,
        "11:30",
        "app:1",
        json!({ "executor": clerk(), "outcome": again }),
    ));
    let answer = explained(&records);
    let undone: Vec<_> = answer.outcome.undone_by.iter().map(|later| (later.action, later.edge)).collect();
    assert_eq!(undone, [(id(120), Edge::Proven), (id(121), Edge::Asserted)]);
    assert_eq!(answer.outcome.retried_by[0].action, id(22));
    assert_eq!((answer.outcome.status, answer.verdict.class), (Status::Success, Class::Authorised));
    let text = render::explain(&answer, Style::default());
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains(&format!("undone 11:00 by {}", id(120))), "{text}");
    assert!(flat.contains("which ended: failure, reported by clerk"), "{text}");
    // Whatever names it, only so much is read.
    let mut records = call();
    records.extend((200..400).map(|n| undo(n, "clerk", "success")));
    let store = Store::of(&records);
    let answer = store.explain(ACTION);
    assert!(store.handed_out.get() < 100, "{}", store.handed_out.get());
    assert_eq!((answer.evidence.complete, answer.verdict.class), (true, Class::Authorised));
}
