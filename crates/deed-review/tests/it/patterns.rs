//! G7: thousands of like tasks as patterns, and the odd ones out.

use std::{collections::BTreeMap, convert::Infallible};

use deed_record::{Account, Kind, RecordId, Skeleton, Status};
use deed_review::patterns::{Naming, PatternList, Patterns, Wanted, Why};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::store::{Store, id, record, with};

const WRITER: &str = "agent:writer";

/// A task of two actions: it reads a document and writes a ticket.
fn task(n: u64, status: &str) -> Vec<Value> {
    let trace = format!("{n:032x}");
    let who = json!({ "key": WRITER, "type": "agent" });
    let step = |at: u64, tool: &str, uri: String, status: &str| {
        record(
            n * 10 + at,
            Kind::Intent,
            &format!("{:02}:{:02}", n / 60 % 24, n % 60),
            "deed",
            json!({ "trace_id": trace, "executor": who, "tool": { "server": "s", "name": tool },
                    "resource": { "uri": uri }, "decision": { "effect": "allow" },
                    "outcome": { "status": status } }),
        )
    };
    vec![
        step(0, "read", format!("kb://docs/{n}"), "success"),
        step(1, "write", format!("ticket:/{n}"), status),
    ]
}

fn told(records: &[Value], bounds: Option<(usize, usize)>, flagged: &[(u64, &str)]) -> PatternList {
    let store = Store::of(records);
    let mut patterns = Patterns::of(Wanted::default());
    if let Some((tasks, actions)) = bounds {
        patterns = patterns.bounded(tasks, actions);
    }
    for at in records {
        let number: RecordId = at["id"].as_str().expect("an id").parse().expect("valid");
        let found = deed_review::Evidence::by_id(&store, number).expect("readable").expect("there");
        let skeleton: Skeleton<'_> = found.sealed.skeleton().expect("readable");
        patterns.see(&skeleton);
    }
    let flagged: BTreeMap<RecordId, Vec<String>> =
        flagged.iter().map(|(n, rule)| (id(*n), vec![(*rule).to_owned()])).collect();
    patterns.tell(100, &mut Writer, &flagged).expect("told")
}

/// Knows one account.
struct Writer;

impl Naming for Writer {
    type Error = Infallible;

    fn declared(&mut self, _tenant: &str, _account: Account) -> Result<Option<String>, Infallible> {
        Ok(None)
    }

    fn called(&mut self, _tenant: &str, account: Account, _record: RecordId) -> Result<String, Infallible> {
        let is_writer = account == crate::store::account(WRITER);
        Ok(if is_writer { WRITER } else { "somebody" }.to_owned())
    }
}

#[test]
fn like_tasks_are_one_line_and_the_odd_ones_stand_out() {
    let mut records: Vec<Value> = (1..=120).flat_map(|n| task(n, "success")).collect();
    records.extend(task(121, "failure"));
    let list = told(&records, None, &[(501, "outside-scope")]);
    let [pattern] = &list.patterns[..] else { panic!("{list:?}") };
    assert_eq!((pattern.count, pattern.actions, list.one_in), (121, 242, 1));
    assert_eq!(pattern.pattern, "agent:writer: s/read kb://docs/… (allow); s/write ticket:/… (allow)");
    assert_eq!(pattern.outcomes, BTreeMap::from([("failure".to_owned(), 1), ("success".to_owned(), 120)]));
    assert!(pattern.first < pattern.last);
    let odd: Vec<_> = pattern.odd.iter().map(|odd| (odd.action_id, &odd.why[..])).collect();
    assert_eq!(odd.len(), 2, "{odd:?}");
    assert_eq!(odd[0], (id(501), &[Why::Finding("outside-scope".to_owned())][..]));
    assert_eq!(odd[1], (id(1210), &[Why::Outcome(Status::Failure)][..]));
    // Who always does the same does something else once; a task grows beyond all others.
    let delete = json!({ "id": id(9001), "trace_id": format!("{:032x}", 900), "tool": { "server": "s", "name": "wipe" } });
    records.push(with(&records[0], delete));
    for n in 0..10 {
        records.push(with(&records[0], json!({ "id": id(5000 + n) })));
    }
    let list = told(&records, None, &[]);
    assert_eq!(list.total, 2);
    assert!(list.patterns[1].rare && list.patterns[1].pattern.contains("s/wipe"), "{list:?}");
    assert!(list.patterns[0].odd.iter().any(|odd| odd.why == [Why::Size(12)]), "{:?}", list.patterns[0].odd);
}

#[test]
fn what_is_hardly_ever_done_comes_before_what_many_do_once() {
    let mut records: Vec<Value> = (1..=150).flat_map(|n| task(n, "success")).collect();
    let once = |n: u64, who: &str, tool: &str| {
        let executor = json!({ "key": who, "type": "agent" });
        let more = json!({ "id": id(n), "trace_id": format!("{n:032x}"), "executor": executor,
                           "tool": { "server": "s", "name": tool }, "resource": null });
        with(&records[0], more)
    };
    let mut all: Vec<Value> = (0..200).map(|n| once(20_000 + n, &format!("agent:{n}"), "a")).collect();
    all.push(once(30_000, WRITER, "wipe"));
    // The same sort of job under names that were drawn.
    all.extend((0..50u64).map(|n| {
        let drawn = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        once(40_000 + n, "agent:jobs", &format!("job-0{drawn:06x}"))
    }));
    records.extend(all);
    let list = told(&records, None, &[]);
    let at = |part: &str| list.patterns.iter().position(|pattern| pattern.pattern.contains(part));
    assert_eq!((at("s/read"), at("s/job-#"), at("s/wipe")), (Some(0), Some(1), Some(2)), "{list:?}");
    assert_eq!((list.patterns[1].count, list.total), (50, 203));
    assert!(list.patterns[2].rare);
}

#[test]
fn how_it_ended_may_be_said_apart() {
    let ending = record(
        2,
        Kind::Outcome,
        "10:01",
        "deed",
        json!({ "action": id(1), "outcome": { "status": "denied" } }),
    );
    let act = record(1, Kind::Intent, "10:00", "deed", json!({ "operation": "tools/call" }));
    for records in [[act.clone(), ending.clone()], [ending, act]] {
        let list = told(&records, None, &[]);
        assert_eq!(list.patterns[0].outcomes, BTreeMap::from([("denied".to_owned(), 1)]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// INVARIANT D6, with all of it kept and with most of it left out.
    #[test]
    fn patterns_do_not_depend_on_order(
        order in Just((0..80usize).collect::<Vec<_>>()).prop_shuffle(),
        most in 3usize..60,
    ) {
        let records: Vec<Value> =
            (1..=40).flat_map(|n| task(n, if n % 7 == 0 { "failure" } else { "success" })).collect();
        let shuffled: Vec<Value> = order.iter().map(|at| records[*at].clone()).collect();
        for bounds in [None, Some((most, 1000)), Some((1000, most))] {
            let list = told(&records, bounds, &[(73, "outside-scope")]);
            prop_assert_eq!(&list, &told(&shuffled, bounds, &[(73, "outside-scope")]));
            prop_assert!(bounds.is_none() == (list.one_in == 1 && list.tasks == 40) || list.one_in > 1 || most >= 40);
        }
    }
}
