//! Who asked, who acted, and everybody between.

use deed_record::{Kind, PrincipalType};
use deed_review::{
    Attribution, Edge,
    render::{self, Style},
};
use serde_json::{Value, json};

use crate::{
    order::placeless,
    store::{Store, at, id, record, with},
    story::{ACTION, GRANT, ISSUE, REQUEST, ann, bob, changed, etl, story},
};

#[test]
fn a_person_who_acts_is_also_who_asked() {
    let direct = changed(ACTION, json!({ "initiator": null, "executor": ann() }));
    let answer = Store::of(&direct).explain(ACTION);
    assert_eq!((answer.initiator.key.as_deref(), answer.initiator.edge), (Some("okta:ann"), Edge::Asserted));
    assert!(answer.initiator.how.contains("directly"), "{}", answer.initiator.how);
    // Nobody else is: not a machine, not a person without a name.
    for executor in [etl(), json!({ "type": "human" })] {
        let answer =
            Store::of(&changed(ACTION, json!({ "initiator": null, "executor": executor }))).explain(ACTION);
        assert_eq!(
            (answer.initiator.key, answer.initiator.kind, answer.initiator.edge),
            (None, PrincipalType::Unknown, Edge::Missing)
        );
    }
}

#[test]
fn parts_of_attribution() {
    let of = |more| Store::of(&changed(ACTION, more)).explain(ACTION).verdict.attribution.value;
    assert_eq!(of(json!({})), Attribution::Complete);
    assert_eq!(of(json!({ "initiator": null })), Attribution::Partial);
    assert_eq!(of(json!({ "executor": { "type": "agent" } })), Attribution::Partial);
    assert_eq!(of(json!({ "executor": { "type": "unknown", "key": "x" } })), Attribution::Partial);
    assert_eq!(of(json!({ "initiator": null, "executor": { "type": "unknown" } })), Attribution::None);
    assert_eq!(of(json!({ "chain": [{ "principal": { "type": "agent" } }] })), Attribution::Partial);
}

#[test]
fn two_systems_corroborate_and_one_does_not() {
    let belongs = |n: u64, by: &str, who| {
        record(n, Kind::Observation, "10:20", by, json!({ "action": id(ACTION), "executor": who }))
    };
    let with_also = |by: &str, who| {
        let mut records = story();
        records.push(belongs(20, by, who));
        Store::of(&records).explain(ACTION)
    };
    assert_eq!(with_also("k8s:eu", etl()).executor.edge, Edge::Corroborated);
    assert_eq!(with_also("postgres:orders-1", etl()).executor.edge, Edge::Asserted);
    // Another account may be the same one under another name: said, not judged.
    let answer = with_also("k8s:eu", bob());
    assert_eq!((answer.executor.key.as_deref(), answer.executor.edge), (Some("k8s:sa/etl"), Edge::Asserted));
    assert_eq!(answer.verdict.attribution.value, Attribution::Partial);
    let reasons = answer.verdict.attribution.reasons.join("; ");
    assert!(reasons.contains(&id(20).to_string()), "{reasons}");
}

#[test]
fn proven_is_what_deed_issued() {
    let intent = record(
        ACTION,
        Kind::Intent,
        "10:20",
        "deed",
        json!({
            "executor": etl(), "initiator": ann(), "credential": { "jti": "t1" }, "decision": { "effect": "allow", "policies": ["all"] },
        }),
    );
    let issue = |by: &str, who| {
        let terms = json!({ "change": "issued", "subject": who });
        record(
            1,
            Kind::Credential,
            "10:00",
            by,
            json!({ "initiator": ann(), "credential": { "jti": "t1" }, "terms": terms }),
        )
    };
    let answer = Store::of(&[intent.clone(), issue("deed", etl())]).explain(ACTION);
    let credential = answer.credential.expect("a credential").edge;
    let decision = answer.decision.expect("decided").edge;
    assert_eq!([answer.executor.edge, answer.initiator.edge, credential, decision], [Edge::Proven; 4]);
    // The gateway saw who connected, which is not to have issued who it is.
    assert_eq!(
        Store::of(&[intent.clone(), issue("idp:1", etl())]).explain(ACTION).executor.edge,
        Edge::Asserted
    );
    assert_eq!(Store::of(&[intent, issue("deed", bob())]).explain(ACTION).executor.edge, Edge::Asserted);
}

#[test]
fn hops_are_as_sure_as_their_delegations() {
    let planner = json!({ "key": "agent:planner", "type": "agent" });
    let delegation = |by: &str, to| {
        record(20, Kind::Grant, "10:00", by, json!({ "terms": { "subject": to, "by": ann() } }))
    };
    let hop = json!({ "principal": planner.clone(), "credential": "jti-1", "delegation": id(20), "scope": ["db:*"] });
    let chained = changed(ACTION, json!({ "chain": [hop] }));
    let edge = |delegation| {
        let mut records = chained.clone();
        records.extend(delegation);
        let hop = Store::of(&records).explain(ACTION).chain.remove(0);
        assert_eq!(
            (hop.principal.key.as_deref(), hop.scope),
            (Some("agent:planner"), vec!["db:*".to_owned()])
        );
        (hop.edge, hop.how)
    };
    assert_eq!(edge(Some(delegation("deed", planner.clone()))).0, Edge::Proven);
    assert_eq!(edge(Some(delegation("broker:1", planner.clone()))).0, Edge::Corroborated);
    assert_eq!(edge(Some(delegation("postgres:orders-1", planner.clone()))).0, Edge::Asserted);
    let (by_another, how) = edge(Some(delegation("broker:1", bob())));
    assert!(by_another == Edge::Asserted && how.contains("names somebody else"), "{how}");
    let (lost, how) = edge(None);
    assert!(lost == Edge::Asserted && how.contains("not in this log"), "{how}");
}

#[test]
fn a_correction_of_the_same_event_stands_for_it() {
    let again = |n: u64, version: u64, who| {
        let source = json!({ "system": "postgres:orders-1", "event_id": "e5", "collector": format!("postgres/{version}") });
        with(&story()[4], json!({ "id": id(n), "supersedes": id(ACTION), "executor": who, "source": source }))
    };
    let mut records = story();
    records.extend([again(21, 10, bob()), again(20, 9, ann())]);
    let store = Store::of(&records);
    let answer = store.explain(ACTION);
    assert_eq!((answer.action.id, answer.executor.key.as_deref()), (id(21), Some("jira:bob")));
    assert_eq!(answer.action.supersedes, [ACTION, 20].map(id));
    assert_eq!(answer, store.explain(20));
    assert_eq!(answer, store.explain(21));
    // Another source's record, or a party's, corrects nothing.
    for more in [
        json!({ "source": { "system": "postgres:orders-2", "event_id": "e5" } }),
        json!({ "basis": "reported" }),
    ] {
        let mut records = story();
        records.push(with(&again(20, 9, bob()), more));
        assert_eq!(Store::of(&records).explain(ACTION).executor.key.as_deref(), Some("k8s:sa/etl"));
    }
}

#[test]
fn the_same_event_told_differently_is_said() {
    let mut records = story();
    records.push(with(&story()[4], json!({ "id": id(20), "conflicts_with": id(ACTION), "executor": bob() })));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(answer.action.conflicts, [id(20)]);
    assert_eq!(answer.verdict.attribution.value, Attribution::Partial);
    let other = Store::of(&records).explain(20);
    assert_eq!((other.action.id, &other.action.conflicts), (id(20), &vec![id(ACTION)]));
    for (answer, other) in [(answer, id(20)), (other, id(ACTION))] {
        let screen = render::explain(&answer, Style::default());
        assert!(screen.contains("conflicts") && screen.contains(&other.to_string()), "{screen}");
    }
}

#[test]
fn an_intent_takes_who_acted_from_what_was_seen_of_it() {
    let intent = record(ACTION, Kind::Intent, "10:20", "agent", json!({}));
    let seen = record(
        20,
        Kind::Observation,
        "10:21",
        "k8s:eu",
        json!({ "action": id(ACTION), "executor": etl(), "time": at("10:21") }),
    );
    let answer = Store::of(&[intent, seen]).explain(ACTION);
    assert_eq!((answer.executor.key.as_deref(), answer.executor.edge), (Some("k8s:sa/etl"), Edge::Asserted));
    assert_eq!(answer.executor.records, [id(20)]);
}

#[test]
fn a_service_that_issues_has_not_asked() {
    let vault = json!({ "key": "vault:prod", "type": "workload" });
    let of = |request: serde_json::Value| {
        let mut records = changed(ACTION, json!({ "initiator": null, "grant": id(GRANT) }));
        for record in &mut records {
            if [id(GRANT), id(ISSUE)].iter().any(|id| record["id"] == json!(id)) {
                *record = with(record, json!({ "executor": vault }));
            }
        }
        records[0] = with(&records[0], request);
        Store::of(&records).explain(ACTION)
    };
    // Whoever asked for the right, as the request says that the grant names.
    let answer = of(json!({ "initiator": ann() }));
    assert_eq!(answer.initiator.key.as_deref(), Some("okta:ann"));
    assert_eq!((answer.initiator.edge, answer.initiator.records), (Edge::Asserted, vec![id(REQUEST)]));
    assert_eq!(answer.verdict.attribution.value, Attribution::Complete);
    // Where that is not known, nobody.
    let answer = of(json!({ "initiator": null, "executor": vault }));
    assert_eq!((answer.initiator.key, answer.initiator.edge), (None, Edge::Missing));
    assert_eq!(answer.verdict.attribution.value, Attribution::Partial);
}

#[test]
fn who_had_it_issued_has_asked_unless_that_is_the_service() {
    let issue = |n: u64, clock: &str, who, name: &str, parent: Option<&str>| {
        let credential = json!({ "id": name, "parent": parent });
        let more = json!({ "executor": who, "credential": credential, "terms": { "change": "issued" } });
        record(n, Kind::Credential, clock, "sts:1", more)
    };
    let used = json!({ "executor": etl(), "credential": { "id": "k2" } });
    let act = record(9, Kind::Observation, "10:20", "app:api", used);
    let sts = json!({ "key": "sts:1", "type": "workload" });
    let asked = |records: &[serde_json::Value]| Store::of(records).explain(9).initiator.key;
    let agent = json!({ "key": "agent:bot", "type": "agent" });
    assert_eq!(asked(&[issue(1, "09:00", ann(), "k2", None), act.clone()]).as_deref(), Some("okta:ann"));
    assert_eq!(asked(&[issue(1, "09:00", agent, "k2", None), act.clone()]).as_deref(), Some("agent:bot"));
    assert_eq!(asked(&[issue(1, "09:00", sts.clone(), "k2", None), act.clone()]), None);
    // It stands further up.
    let derived = issue(2, "09:10", sts, "k2", Some("k1"));
    assert_eq!(asked(&[issue(1, "09:00", ann(), "k1", None), derived, act]).as_deref(), Some("okta:ann"));
}

#[test]
fn records_of_one_event_that_disagree_on_who_asked_leave_it_missing() {
    let belongs = |n: u64, kind, by: &str, who| {
        record(n, kind, "10:20", by, json!({ "action": id(ACTION), "executor": etl(), "initiator": who }))
    };
    let of = |inventory: bool, also: serde_json::Value| {
        let mut records = story();
        records.push(also);
        let mut store = Store::of(&records);
        if inventory {
            store.declare("Ann", &["okta:ann", "jira:bob"]);
        }
        store.explain(ACTION)
    };
    let told = [
        belongs(20, Kind::Observation, "postgres:orders-1", bob()),
        belongs(20, Kind::Observation, "k8s:eu", bob()),
        belongs(20, Kind::Outcome, "k8s:eu", bob()),
    ];
    for also in told {
        let answer = of(false, also.clone());
        assert_eq!((answer.initiator.key.as_deref(), answer.initiator.edge), (None, Edge::Missing));
        assert_eq!(answer.verdict.attribution.value, Attribution::Partial);
        assert!(answer.missing.iter().any(|missing| missing.link == "initiator"), "{:?}", answer.missing);
        // Whichever of them asked: neither approves it.
        assert!(answer.approvals.iter().all(|approval| !approval.counts), "{:?}", answer.approvals);
        // Two names of one person do not disagree.
        let answer = of(true, also);
        assert_eq!(answer.initiator.key.as_deref(), Some("okta:ann"));
        assert_eq!(answer.verdict.attribution.value, Attribution::Complete);
    }
    // A party's word disputes no log.
    let answer = of(false, belongs(20, Kind::Outcome, "somebody", bob()));
    assert_eq!(answer.initiator.key.as_deref(), Some("okta:ann"));
    assert_eq!(answer.verdict.attribution.value, Attribution::Complete);
}

#[test]
fn the_inventory_says_what_somebody_is() {
    let used = json!({ "executor": { "key": "kubernetes:ann", "type": "unknown" } });
    let act = [record(ACTION, Kind::Observation, "10:20", "kubernetes:eu", used)];
    let mut store = Store::of(&act);
    assert_eq!(store.explain(ACTION).executor.kind, PrincipalType::Unknown);
    store.declare("Ann", &["corp:ann", "kubernetes:ann"]);
    let answer = store.explain(ACTION);
    assert_eq!(
        (answer.executor.kind, answer.executor.principal.as_deref()),
        (PrincipalType::Human, Some("corp:ann"))
    );
    // A person who acts directly is both.
    assert_eq!((answer.initiator.kind, answer.initiator.edge), (PrincipalType::Human, Edge::Asserted));
    assert_eq!(answer.verdict.attribution.value, Attribution::Complete);
}

#[test]
fn who_asked_for_what_is_taken_back_has_not_asked_for_that() {
    let somebody = |key: &str| json!({ "key": key, "type": "unknown" });
    let (ann, bea) = (json!({ "key": "teleport:ann", "type": "human" }), somebody("teleport:bea"));
    let asked = json!({ "kind": "request", "terms": { "change": "requested", "by": ann, "subject": ann } });
    let told = |n: u64, clock: &str, who: &Value, effect: Value| {
        let more = json!({ "executor": who, "request": id(77), "effects": [effect] });
        record(n, Kind::Observation, clock, "teleport:tp", more)
    };
    let answer = |effect: Value| {
        let records = [told(1, "09:00", &ann, asked.clone()), told(ACTION, "10:20", &bea, effect)];
        Store::of(&records).explain(ACTION)
    };
    let used = answer(json!({ "kind": "policy", "terms": { "change": "altered" } }));
    assert_eq!(used.initiator.key.as_deref(), Some("teleport:ann"));
    for kind in ["grant", "request"] {
        let ended = answer(json!({ "kind": kind, "terms": { "change": "revoked" } }));
        assert_eq!((ended.initiator.key, ended.request.is_none()), (None, true), "{kind}");
    }
}

/// The action of a service with the credential `with`, and nothing else.
fn acts(with: &Value) -> Value {
    let service = json!({ "key": "aws:svc", "type": "service_account" });
    record(
        ACTION,
        Kind::Observation,
        "10:20",
        "cloudtrail:2",
        json!({ "executor": service, "credential": with }),
    )
}

/// Somebody has the credential `made` issued, as a log tells.
fn issued(n: u64, by: &str, who: &Value, with: Option<&str>, made: &Value) -> Value {
    let shown = with.map(|name| json!({ "id": name }));
    let effect = json!({ "kind": "credential", "credential": made, "terms": { "change": "issued" } });
    let more = json!({ "executor": who, "credential": shown, "effects": [effect] });
    let more: Value = more
        .as_object()
        .expect("an object")
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect::<serde_json::Map<_, _>>()
        .into();
    record(n, Kind::Observation, "10:10", by, more)
}

#[test]
fn of_two_accounts_that_log_one_issue_the_one_that_asked_knows_who() {
    let session = json!({ "id": "ASIA1", "type": "temporary_key" });
    let stranger = json!({ "key": "aws:AIDA1", "type": "unknown" });
    let asking = issued(20, "cloudtrail:1", &ann(), Some("ASIA0"), &session);
    let asked = |by| issued(21, by, &stranger, None, &session);
    let who = |records: &[Value]| Store::of(records).explain(ACTION).initiator.key;
    let both = [asking.clone(), asked("cloudtrail:2"), acts(&session)];
    let reversed: Vec<Value> = both.iter().rev().cloned().collect();
    assert_eq!((who(&both).as_deref(), who(&reversed).as_deref()), (Some("okta:ann"), Some("okta:ann")));
    // One log that says two things of it says nothing.
    assert_eq!(who(&[asking, asked("cloudtrail:1"), acts(&session)]), None);
}

#[test]
fn what_somebody_is_the_inventory_tells_a_judge_as_it_tells_a_reader() {
    let unknown = json!({ "key": "aws:user/bot", "type": "unknown" });
    let mut store = Store::of(&changed(ACTION, json!({ "executor": unknown })));
    let judged = |store: &Store| {
        let known = deed_review::judge(store, id(ACTION)).expect("readable").expect("an action");
        (known.attributed.actor, known.verdict.attribution.value)
    };
    assert_eq!(judged(&store), (false, Attribution::Partial));
    store.inventory("[[principal]]\ntype = \"agent\"\naliases = [\"aws:user/bot\"]\n");
    assert_eq!(judged(&store), (true, Attribution::Complete));
}

/// A step of the trace with its own span, below the span `parent`.
fn span(n: u64, kind: Kind, parent: Option<u64>, more: Value) -> Value {
    let name = |n: u64| format!("00f067aa0ba9{n:04x}");
    let own = json!({ "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": name(n),
                      "parent_span_id": parent.map(name) });
    with(&record(n, kind, "10:20", "agent-sdk", own), more)
}

#[test]
fn who_asked_is_carried_down_a_trace() {
    let agent = json!({ "key": "otlp:shop/assistant", "type": "agent" });
    let user = |key: &str| json!({ "key": key, "type": "human" });
    let told = |more: &[Value]| {
        let call =
            json!({ "executor": { "key": "otlp:shop", "type": "workload" }, "operation": "execute_tool" });
        let mut records = vec![
            span(3, Kind::Observation, Some(2), call),
            span(2, Kind::Step, Some(1), json!({ "executor": agent })),
        ];
        records.extend_from_slice(more);
        let answer = placeless(Store::of(&records).explain(3));
        records.reverse();
        assert_eq!(answer, placeless(Store::of(&records).explain(3)));
        answer
    };
    let root =
        |more| span(1, Kind::Task, None, with(&json!({ "initiator": user("enduser:shop/ann") }), more));
    let answer = told(&[root(json!({}))]);
    assert_eq!(answer.initiator.key.as_deref(), Some("enduser:shop/ann"));
    assert_eq!((answer.initiator.kind, answer.initiator.edge), (PrincipalType::Human, Edge::Inferred));
    // Who acted above is nobody's business here; what shows it is among the evidence, the span between too.
    assert_eq!((answer.executor.key.as_deref(), answer.chain.len()), (Some("otlp:shop"), 0));
    let evidence: Vec<_> = answer.evidence.records.iter().map(|record| record.id).collect();
    assert_eq!(evidence, [1, 2, 3].map(id));
    assert_eq!(answer.verdict.attribution.value, Attribution::Complete);
    let reasons = answer.verdict.attribution.reasons.join("; ");
    assert!(reasons.contains(&format!("inferred from record {}", id(1))), "{reasons}");
    // What the action itself says goes before it, and so does whoever is nearer.
    let nearer = with(
        &span(4, Kind::Step, Some(1), json!({ "initiator": user("enduser:shop/bob") })),
        json!({ "span_id": span(2, Kind::Step, None, json!({}))["span_id"] }),
    );
    assert_eq!(told(&[root(json!({})), nearer]).initiator.key.as_deref(), Some("enduser:shop/bob"));
    // No other trace, no other tenant, and not from a span that is in two places.
    let elsewhere =
        span(4, Kind::Step, Some(7), json!({ "span_id": span(2, Kind::Step, None, json!({}))["span_id"] }));
    for more in [
        vec![root(json!({ "trace_id": "4bf92f3577b34da6a3ce929d0e0e4737" }))],
        vec![root(json!({ "tenant": "globex" }))],
        vec![root(json!({})), elsewhere],
        vec![root(json!({ "initiator": { "type": "human" } }))],
    ] {
        let initiator = told(&more).initiator;
        assert_eq!((initiator.key, initiator.edge), (None, Edge::Missing), "{more:?}");
    }
    // Of two who are named there neither is taken, unless the inventory has both as one.
    let also = json!({ "initiator": user("okta:ann"), "span_id": root(json!({}))["span_id"] });
    let two = [root(json!({})), span(5, Kind::Step, None, also)];
    let answer = told(&two);
    assert_eq!(answer.initiator.edge, Edge::Missing);
    assert!(answer.initiator.how.contains("disagree"), "{}", answer.initiator.how);
    let call = span(3, Kind::Observation, Some(1), json!({ "executor": agent }));
    let mut store = Store::of(&[&two[..], &[call]].concat());
    store.declare("Ann", &["enduser:shop/ann", "okta:ann"]);
    let initiator = store.explain(3).initiator;
    assert_eq!((initiator.name.as_deref(), initiator.edge), (Some("Ann"), Edge::Inferred));
    // Of a trace of which not all is read nothing is taken.
    let many: Vec<Value> =
        (10..1100).map(|n| span(n, Kind::Step, Some(1), json!({}))).chain([root(json!({}))]).collect();
    let answer = told(&many);
    assert_eq!(answer.initiator.edge, Edge::Missing);
    assert!(answer.initiator.how.contains("more records than are read"), "{}", answer.initiator.how);
}

#[test]
fn in_whose_name_it_was_done_is_said_and_is_nobody_who_asked() {
    let dana = json!({ "key": "kubernetes:dana", "type": "human", "name": "dana" });
    let given = json!({ "initiator": null, "terms": { "role": "impersonation", "subject": dana } });
    let store = Store::of(&changed(ACTION, given));
    let answer = store.explain(ACTION);
    assert_eq!((answer.initiator.key.as_deref(), answer.initiator.edge), (None, Edge::Missing));
    let named = answer.executor.impersonated.as_ref().and_then(|who| who.key.as_deref());
    assert_eq!((answer.executor.key.as_deref(), named), (Some("k8s:sa/etl"), Some("kubernetes:dana")));
    assert_eq!(answer.verdict.attribution.value, Attribution::Partial);
    let text = deed_review::render::explain(&answer, deed_review::render::Style::default());
    assert!(text.contains("dana") && text.contains("impersonated"), "{text}");
}

/// What was done with one credential, in the logs of two systems: `asked` in the one, nobody in the other.
fn of_session(kind: &str, asked: Value) -> (Vec<Value>, u64) {
    let key = json!({ "id": "ASIA1", "type": kind });
    let role = json!({ "key": "aws:role/sso", "type": "service_account" });
    let hop = json!([{ "principal": role, "credential": "ASIA1" }]);
    let records = vec![
        record(
            1,
            Kind::Observation,
            "10:00",
            "cloudtrail:1",
            json!({ "executor": role, "initiator": asked, "credential": key }),
        ),
        record(
            2,
            Kind::Observation,
            "10:20",
            "kubernetes:eu",
            json!({ "executor": { "key": "kubernetes:eu/sso", "type": "unknown" }, "chain": hop, "credential": key }),
        ),
    ];
    (records, 2)
}

#[test]
fn who_is_named_with_a_session_in_one_log_asked_for_what_another_log_has_of_it() {
    for turned in [false, true] {
        let (mut records, action) = of_session("temporary_key", ann());
        if turned {
            records.reverse();
        }
        let answer = Store::of(&records).explain(action);
        let asked = &answer.initiator;
        assert_eq!((asked.key.as_deref(), asked.edge), (Some("okta:ann"), Edge::Inferred), "{}", asked.how);
        assert!(asked.how.contains("same credential"), "{}", asked.how);
        assert!(asked.records.contains(&id(1)), "{asked:?}");
    }
    let missing = |records: &[Value]| Store::of(records).explain(2).initiator.edge == Edge::Missing;
    // A key that stays is used for this one and that, and a service is asked for its own call alone.
    assert!(missing(&of_session("access_key", ann()).0));
    let service = json!({ "key": "aws:cloudformation.amazonaws.com", "type": "workload" });
    assert!(missing(&of_session("temporary_key", service).0));
    // Several are at odds.
    let (mut records, _) = of_session("temporary_key", ann());
    let other = json!({ "initiator": bob(), "credential": { "id": "ASIA1", "type": "temporary_key" } });
    records.push(record(3, Kind::Observation, "10:10", "cloudtrail:1", other));
    assert!(missing(&records));
}
