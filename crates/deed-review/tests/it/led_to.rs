//! I1, walked from its beginning: what came of a request, an approval, a grant and a credential.

use deed_record::Kind;
use deed_review::{
    Came, Edge, LedTo, led_to,
    render::{self, Style},
};
use serde_json::{Value, json};

use crate::{
    store::{Store, at, id, record, with},
    story::{ACTION, APPROVAL, GRANT, ISSUE, REQUEST, etl, story},
};

fn of(store: &Store, n: u64) -> LedTo {
    led_to(store, id(n)).expect("readable").expect("a record")
}

fn numbers(all: &[Came]) -> Vec<u64> {
    all.iter().map(|came| (1..100).find(|n| id(*n) == came.id).expect("of the story")).collect()
}

#[test]
fn labels_are_whole_and_columns_stand_where_they_stand() {
    let led = of(&Store::of(&story()), REQUEST);
    for width in [60, 100] {
        let text = render::led_to(&led, Style { width, ..Style::default() });
        let edge = |label: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{label} ")));
            line.and_then(|line| line.find("asserted")).unwrap_or_else(|| panic!("{label}: {text}"))
        };
        assert_eq!(edge("with"), edge("grant"), "{text}");
    }
}

#[test]
fn from_the_ticket_to_what_was_done() {
    let store = Store::of(&story());
    for asked in [REQUEST, APPROVAL] {
        let led = of(&store, asked);
        assert_eq!(numbers(&led.grants), [GRANT], "{asked}");
        assert_eq!(numbers(&led.credentials), [ISSUE], "{asked}");
        assert_eq!(numbers(&led.actions), [ACTION], "{asked}");
        assert!(led.complete);
    }
    let led = of(&store, REQUEST);
    assert_eq!(numbers(&led.approvals), [APPROVAL]);
    assert_eq!(led.record.who.as_deref(), Some("k8s:sa/etl"));
    let led = of(&store, GRANT);
    assert_eq!((led.request, numbers(&led.actions)), (Some(id(REQUEST)), vec![ACTION]));
    assert_eq!(numbers(&of(&store, ISSUE).actions), [ACTION]);
    // The other way round, explain has them all.
    let answer = store.explain(ACTION);
    assert_eq!(answer.request.map(|request| request.id), Some(id(REQUEST)));
}

#[test]
fn what_nobody_names_is_inferred_from_the_grant_s_own_bounds() {
    let used = |n: u64, more: Value| {
        let act = record(n, Kind::Observation, "10:30", "postgres:orders", json!({ "executor": etl() }));
        with(&act, more)
    };
    let mut records: Vec<Value> = story()
        .into_iter()
        .filter(|record| record["id"] != json!(id(ACTION)) && record["id"] != json!(id(ISSUE)))
        .collect();
    let within = json!({ "permission": "db:schema:alter", "resource": { "uri": "db:orders/x" } });
    records.push(used(20, within.clone()));
    records.push(used(21, json!({ "permission": "db:rows:delete", "resource": { "uri": "db:orders/x" } })));
    records.push(with(&used(22, within.clone()), json!({ "time": at("08:00") })));
    records.push(with(
        &used(23, within),
        json!({ "executor": { "key": "k8s:sa/other", "type": "service_account" } }),
    ));
    let led = of(&Store::of(&records), REQUEST);
    assert_eq!(numbers(&led.actions), [20], "{:?}", led.actions);
    assert_eq!((led.actions[0].edge, led.actions[0].from), (Edge::Inferred, id(GRANT)));
}

#[test]
fn what_a_record_says_is_known_better_than_what_is_concluded() {
    let within =
        json!({ "executor": etl(), "permission": "db:schema:alter", "resource": { "uri": "db:orders/x" } });
    let act = |n, more: Value| {
        with(&record(n, Kind::Observation, "10:30", "postgres:orders", within.clone()), more)
    };
    let mut records: Vec<Value> =
        story().into_iter().filter(|record| record["id"] != json!(id(ACTION))).collect();
    // Done by whom the grant was given to, within it; two of them name it besides, one as Deed decided it.
    records.push(act(20, json!({ "grant": id(GRANT) })));
    records.push(act(21, json!({ "grant": id(GRANT), "basis": "enforced" })));
    records.push(act(22, json!({})));
    let led = of(&Store::of(&records), GRANT);
    let edges: Vec<Edge> = led.actions.iter().map(|came| came.edge).collect();
    assert_eq!(
        (numbers(&led.actions), edges),
        (vec![20, 21, 22], vec![Edge::Asserted, Edge::Proven, Edge::Inferred])
    );
    assert!(led.actions[0].how.starts_with(&format!("it names {}", id(GRANT))), "{:?}", led.actions[0]);
}

#[test]
fn it_does_not_depend_on_order() {
    let mut records = story();
    let led = of(&Store::of(&records), REQUEST);
    records.reverse();
    assert_eq!(of(&Store::of(&records), REQUEST), led);
}
