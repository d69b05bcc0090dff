//! Traces: every step in order, as a tree, and what is missing.

use deed_record::{Kind, Status};
use deed_review::{GapKind, Trace};
use serde_json::{Value, json};

use crate::{
    store::{Store, TRACE, at, id, record, with},
    story::{ann, bob, etl},
};

fn span(n: u64) -> String {
    format!("{n:016x}")
}

/// A step of the trace with its own span, below the span `parent`.
fn step(n: u64, kind: Kind, time: &str, parent: u64, more: Value) -> Value {
    let mut own = json!({ "trace_id": TRACE, "span_id": span(n), "executor": etl() });
    if parent > 0 {
        own["parent_span_id"] = json!(span(parent));
    }
    let own = record(n, kind, "10:00", "agent", own);
    with(&with(&own, json!({ "time": format!("2026-11-01T{time}Z") })), more)
}

/// T4: an agent opens a ticket, fetches a secret, calls an API.
pub(crate) fn agent() -> Vec<Value> {
    let done = json!({ "status": "success", "duration_ms": 12 });
    vec![
        step(
            1,
            Kind::Task,
            "10:00:00",
            0,
            json!({ "initiator": ann(), "task": "rotate the orders password" }),
        ),
        step(2, Kind::Step, "10:00:01", 1, json!({ "step_type": "reasoning", "operation": "chat gpt-5" })),
        step(
            3,
            Kind::Intent,
            "10:00:02",
            1,
            json!({
                "step_type": "tool", "tool": { "server": "tickets", "name": "create" }, "resource": { "uri": "ticket:/4711" },
                "decision": { "effect": "allow", "policies": ["all"] },
            }),
        ),
        record(
            4,
            Kind::Outcome,
            "10:01",
            "agent",
            json!({ "action": id(3), "executor": etl(), "outcome": done.clone() }),
        ),
        step(
            5,
            Kind::Intent,
            "10:00:04",
            1,
            json!({
                "step_type": "tool", "tool": { "server": "vault", "name": "read" }, "decision": { "effect": "step_up", "policies": ["secrets"] },
            }),
        ),
        record(
            6,
            Kind::Approval,
            "10:02",
            "deed",
            json!({ "action": id(5), "terms": { "answer": "approved", "by": bob() } }),
        ),
        step(
            7,
            Kind::Step,
            "10:00:05",
            5,
            json!({ "step_type": "policy_check", "operation": "vault policy read", "outcome": done.clone() }),
        ),
        step(
            8,
            Kind::Observation,
            "10:00:06",
            9,
            json!({ "step_type": "retry", "operation": "PUT /orders", "outcome": { "status": "failure", "code": "503" } }),
        ),
        record(
            10,
            Kind::Outcome,
            "10:03",
            "agent",
            json!({ "action": id(99), "executor": etl(), "trace_id": TRACE, "outcome": done }),
        ),
        record(11, Kind::Gap, "10:04", "deed", json!({ "trace_id": TRACE })),
    ]
}

fn gaps(trace: &Trace) -> Vec<(GapKind, Option<u64>)> {
    let number = |id: deed_record::RecordId| u64::from(id.0[15]);
    trace.gaps.iter().map(|gap| (gap.kind, gap.step.map(number))).collect()
}

#[test]
fn steps_come_in_order_and_outcomes_belong_to_them() {
    let trace = Store::of(&agent()).trace(None);
    let steps: Vec<_> = trace.steps.iter().map(|step| (step.id, step.parent, step.depth)).collect();
    let expected = [
        (1, None, 0),
        (2, Some(1), 1),
        (3, Some(1), 1),
        (5, Some(1), 1),
        (7, Some(5), 2),
        (8, None, 0),
        (6, Some(5), 2),
        (10, None, 0),
        (11, None, 0),
    ];
    assert_eq!(
        steps,
        expected.map(|(n, parent, depth): (u64, Option<u64>, usize)| (id(n), parent.map(id), depth))
    );
    let ended =
        |n: u64| trace.steps.iter().find(|step| step.id == id(n)).and_then(|step| step.outcome.as_ref());
    // Neither the outcome nor the approval carries the trace's id; both are found by the action they name.
    assert_eq!(ended(3).map(|outcome| (outcome.id, outcome.status)), Some((id(4), Status::Success)));
    assert_eq!(ended(5), None);
}

#[test]
fn what_is_missing_is_listed() {
    let mut records = agent();
    assert_eq!(
        gaps(&Store::of(&records).trace(None)),
        [
            (GapKind::NoOutcome, Some(5)),
            (GapKind::NoParent, Some(8)),
            (GapKind::NoAction, Some(10)),
            (GapKind::Recorded, Some(11)),
        ]
    );
    records.retain(|record| record["id"] != json!(id(6)) && record["id"] != json!(id(4)));
    let found = gaps(&Store::of(&records).trace(None));
    assert!(
        found.contains(&(GapKind::NoOutcome, Some(3))) && found.contains(&(GapKind::NoAnswer, Some(5))),
        "{found:?}"
    );
}

#[test]
fn parents_in_a_circle_end() {
    let records = [
        step(1, Kind::Step, "10:00:00", 3, json!({})),
        step(2, Kind::Step, "10:00:01", 1, json!({})),
        step(3, Kind::Step, "10:00:02", 2, json!({})),
        step(4, Kind::Step, "10:00:03", 4, json!({})),
        step(5, Kind::Step, "10:00:04", 2, json!({})),
    ];
    let trace = Store::of(&records).trace(None);
    assert_eq!(gaps(&trace), [(GapKind::Circle, Some(1))]);
    let depths: Vec<usize> = trace.steps.iter().map(|step| step.depth).collect();
    assert_eq!(depths, [0, 1, 2, 0, 2]);
}

#[test]
fn tenants_stand_apart() {
    let mut records = agent();
    records.push(with(&step(20, Kind::Step, "10:00:01", 1, json!({})), json!({ "tenant": "evil" })));
    records.push(with(
        &record(
            21,
            Kind::Outcome,
            "10:01",
            "evil",
            json!({ "action": id(5), "executor": etl(), "outcome": { "status": "success" } }),
        ),
        json!({ "tenant": "evil" }),
    ));
    let store = Store::of(&records);
    let ours = store.trace(Some("acme"));
    assert_eq!(ours, Store::of(&agent()).trace(None));
    let theirs = store.trace(Some("evil"));
    assert_eq!((theirs.steps.len(), theirs.steps[0].parent), (1, None));
    // Both together, each by itself.
    let both = store.trace(None);
    assert_eq!(
        both.steps.iter().filter(|step| step.tenant == "evil").map(|step| step.parent).collect::<Vec<_>>(),
        [None]
    );
    assert!(gaps(&both).contains(&(GapKind::NoOutcome, Some(5))));
    let nothing = deed_review::trace(&store, TRACE.parse().expect("valid"), Some("third")).expect("readable");
    assert!(nothing.is_none());
}

#[test]
fn a_deep_trace_is_no_trouble() {
    let records: Vec<Value> = (1..3000)
        .map(|n| {
            let mut step = record(
                n,
                Kind::Step,
                "10:00",
                "agent",
                json!({ "trace_id": TRACE, "span_id": span(n), "time": at("10:00") }),
            );
            if n > 1 {
                step["parent_span_id"] = json!(span(n - 1));
            }
            step
        })
        .collect();
    let trace = Store::of(&records).trace(None);
    assert_eq!(trace.steps.last().map(|step| step.depth), Some(2998));
    let text = deed_review::render::trace(&trace, deed_review::render::Style::default());
    assert!(text.lines().all(|line| line.chars().count() <= deed_review::render::WIDTH));
}

#[test]
fn one_call_that_is_told_twice_is_one_step_and_ends_as_its_run() {
    let told = |n: u64, more: Value| {
        let own = json!({ "source": { "system": "otlp:agent", "event_id": "call/1" }, "executor": etl() });
        with(&with(&step(n, Kind::Observation, "10:00:01", 0, json!({})), own), more)
    };
    let begun = step(1, Kind::Task, "10:00:00", 0, json!({}));
    let call =
        |more| with(&told(2, json!({ "parent_span_id": span(1), "outcome": { "status": "unknown" } })), more);
    // A log record has no span; it was written in that of the call.
    let log = |more| with(&told(3, json!({ "span_id": null, "parent_span_id": span(2) })), more);
    let run = |action: u64| {
        let more = json!({ "action": id(action), "outcome": { "status": "failure" } });
        step(4, Kind::Observation, "10:00:02", 2, more)
    };
    for (first, records) in [
        (2, [begun.clone(), call(json!({})), log(json!({ "action": id(2) })), run(2)]),
        (3, [begun.clone(), call(json!({ "action": id(3) })), log(json!({})), run(3)]),
    ] {
        let store = Store::of(&records);
        let trace = store.trace(None);
        let steps: Vec<_> = trace.steps.iter().map(|step| (step.id, step.parent, step.depth)).collect();
        assert_eq!(steps, [(id(1), None, 0), (id(first), Some(id(1)), 1), (id(4), Some(id(first)), 2)]);
        assert_eq!(gaps(&trace), []);
        let ended = trace.steps[1].outcome.as_ref().map(|outcome| (outcome.id, outcome.status));
        assert_eq!(ended, Some((id(4), Status::Failure)));
        // So say the list and the explanation, whichever of the records is asked for.
        let row = deed_review::action_row(&store, &store.found(first)).expect("readable");
        assert_eq!(row.status, Some(Status::Failure));
        for asked in [2, 3, 4] {
            let answer = store.explain(asked);
            assert_eq!((answer.action.id, answer.outcome.status), (id(first), Status::Failure));
            assert_eq!(answer.action.conflicts, []);
        }
    }
}

#[test]
fn of_several_answers_about_one_call_the_last_stands() {
    let call = step(1, Kind::Observation, "10:00:05", 0, json!({ "outcome": { "status": "success" } }));
    let answer = |n: u64, time: &str, effect: &str| {
        let decision = json!({ "effect": effect, "policies": ["User"] });
        step(
            n,
            Kind::Step,
            time,
            0,
            json!({ "action": id(1), "step_type": "policy_check", "decision": decision }),
        )
    };
    let denied = "done-although-denied";
    for (answers, expected) in [
        (vec![answer(2, "10:00:01", "deny")], vec![denied]),
        (vec![answer(2, "10:00:01", "deny"), answer(3, "10:00:02", "allow")], vec![]),
        (vec![answer(2, "10:00:01", "allow"), answer(3, "10:00:02", "deny")], vec![denied]),
    ] {
        let records = [vec![call.clone()], answers].concat();
        let found = Store::of(&records).explain(1).findings;
        let rules: Vec<_> =
            found.iter().map(|finding| &*finding.rule).filter(|rule| *rule == denied).collect();
        assert_eq!(rules, expected);
    }
}
