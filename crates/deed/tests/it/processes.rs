//! Many processes on one store.

use std::{
    collections::BTreeSet,
    process::{Child, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::support::{Home, finish, record};

const PROCESSES: u64 = 10;
const RECORDS: u64 = 200;

fn append(home: &Home, number: u64) -> Child {
    let all: String = (0..RECORDS).map(|at| record(number * RECORDS + at) + "\n").collect();
    let file = home.write(&format!("{number}.ndjson"), all);
    home.command(["append", "--json", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Ten processes append at once; whoever holds the store is killed.
#[test]
fn ten_processes_share_a_store_and_survive_its_holder() {
    let home = Home::new();
    home.run_with_input(["append", "-"], record(u64::MAX).as_bytes()).good();
    let mut children: Vec<Child> = (0..PROCESSES).map(|number| append(&home, number)).collect();
    let holder = holder(&home, &children);
    if let Some(at) = holder {
        children[at].kill().unwrap();
    }
    let ran: Vec<_> = children.into_iter().map(finish_any).collect();
    let mut acknowledged = BTreeSet::new();
    let mut done = 0;
    for (at, ran) in ran.into_iter().enumerate() {
        if ran.code != 0 {
            assert_eq!(Some(at), holder, "only the one that was killed failed: {ran:?}");
            continue;
        }
        done += 1;
        for receipt in ran.json()["receipts"].as_array().unwrap() {
            let new = acknowledged
                .insert((receipt["id"].as_str().unwrap().to_owned(), receipt["index"].as_u64().unwrap()));
            assert!(new, "two receipts for one record: {receipt}");
        }
    }
    assert!(done >= PROCESSES - 1, "{done}");
    check(&home, &acknowledged, done);
}

/// Every acknowledged record is there, once, and nothing that nobody sent.
fn check(home: &Home, acknowledged: &BTreeSet<(String, u64)>, done: u64) {
    let found = home.run(["find", "--json", "--limit", "100000"]).good().json_lines();
    let ids: BTreeSet<&str> = found.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), found.len(), "a record stands twice");
    for (id, _) in acknowledged {
        assert!(ids.contains(id.as_str()), "acknowledged record {id} is gone");
    }
    let indexes: BTreeSet<u64> = acknowledged.iter().map(|(_, index)| *index).collect();
    assert_eq!(indexes.len(), acknowledged.len(), "two records on one leaf");
    // The one that was killed may have recorded some of its own.
    let size = home.run(["verify", "--json"]).good().json()["size"].as_u64().unwrap();
    assert_eq!(size, found.len() as u64);
    // The first record made the store.
    assert!((done * RECORDS + 1..=PROCESSES * RECORDS + 1).contains(&size), "{size}");
    assert_eq!(acknowledged.len() as u64, done * RECORDS);
}

/// Which of `children` holds the store, once one does: the lock says so.
fn holder(home: &Home, children: &[Child]) -> Option<usize> {
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        let text = std::fs::read_to_string(home.store().join("lock")).unwrap_or_default();
        let process = text.trim().strip_prefix("process ").and_then(|id| id.parse::<u32>().ok());
        if let Some(at) = children.iter().position(|child| Some(child.id()) == process) {
            // In the middle of its work, if it can be hit there.
            sleep(Duration::from_millis(60));
            return Some(at);
        }
        sleep(Duration::from_millis(1));
    }
    None
}

fn finish_any(child: Child) -> crate::support::Ran {
    finish(child.wait_with_output().unwrap())
}
