//! Every leaf is a row, exactly once, wherever it is.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use crate::support::{House, small};

/// What must hold at any size.
fn holds(house: &House, size: i64) {
    assert_eq!(house.number("SELECT count(*) FROM records"), size);
    assert_eq!(house.number("SELECT count(id) FROM records WHERE kind = 'observation'"), size);
    assert_eq!(house.number("SELECT coalesce(sum(leaf_index), 0) FROM records"), size * (size - 1) / 2);
    assert_eq!(house.number("SELECT count(DISTINCT leaf_index) FROM records"), size);
}

#[test]
fn an_empty_ledger_has_tables_without_rows() {
    let house = House::new();
    holds(&house, 0);
    for table in [
        "actions",
        "authority",
        "credentials",
        "grants",
        "approvals",
        "delegations",
        "principals",
        "aliases",
        "findings",
    ] {
        assert_eq!(house.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
        assert_eq!(house.ask(&format!("SELECT * FROM {table}")).len(), 0, "{table}");
    }
}

#[test]
fn rows_are_exact_around_a_pack() {
    let house = House::new();
    house.append(&small(0));
    holds(&house, 1);
    house.fill(1, 65_534);
    holds(&house, 65_535);

    // Seen at once, however long the tail is.
    let started = Instant::now();
    house.append(&small(65_535));
    assert_eq!(house.number("SELECT count(*) FROM records"), 65_536);
    let took = started.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");

    house.wait_for_parquet(1);
    assert_eq!(house.tables.manifest().rows, 65_536);
    holds(&house, 65_536);
    house.append(&small(65_536));
    holds(&house, 65_537);
    let (first, last) = (house.ask("SELECT leaf_index, duration_ms, executor_type FROM records WHERE leaf_index IN (0, 65535, 65536) ORDER BY 1"), 65_536);
    assert_eq!(first.len(), 3);
    assert_eq!(first[2], [last.to_string(), last.to_string(), "agent".into()]);

    // The same after a start from files.
    let house = house.again(Default::default());
    holds(&house, 65_537);
    assert!(house.tables.health().ok, "{}", house.tables.health().detail);
}

#[test]
fn a_query_sees_one_size_while_others_append() {
    let house = House::new();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            house.fill(0, 20_000);
            done.store(true, Ordering::Release);
        });
        let mut last = 0;
        while !done.load(Ordering::Acquire) {
            let row = &house.ask("SELECT count(*), count(DISTINCT leaf_index), coalesce(max(leaf_index) + 1, 0) FROM records a")[0];
            assert_eq!(row[0], row[1]);
            assert_eq!(row[0], row[2]);
            let twice = house.ask("SELECT (SELECT count(*) FROM records) AS a, (SELECT count(id) FROM records) AS b, (SELECT count(*) FROM actions) AS c");
            assert_eq!(twice[0][0], twice[0][1]);
            assert_eq!(twice[0][0], twice[0][2]);
            let size = row[0].parse::<u64>().expect("a number");
            assert!(size >= last);
            last = size;
        }
    });
    assert_eq!(house.number("SELECT count(*) FROM records"), 20_000);
}
