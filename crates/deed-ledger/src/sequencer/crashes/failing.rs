//! What a running ledger does when storage fails, one failure at a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deed_seal::hash::leaf_hash;

use super::{run, sender, text_of};
use crate::{
    AppendError, Ledger, PACK_LEAVES,
    health::SLOW,
    journal::sim::{Faults, SimDisk},
    sequencer::MOST_WAITING,
    store::sim::SimStore,
};

struct Running {
    disk: SimDisk,
    store: Arc<SimStore>,
    ledger: Ledger,
    _dir: tempfile::TempDir,
}

fn start() -> Running {
    let disk = SimDisk::new(1);
    let store = Arc::new(SimStore::new(disk.clone(), 2));
    let dir = tempfile::tempdir().expect("folder");
    let ledger = run(dir.path(), &store, &disk).expect("opens");
    Running { disk, store, ledger, _dir: dir }
}

impl Running {
    fn append(&self, record: usize) -> Result<u64, AppendError> {
        self.ledger.append(text_of(record).as_bytes(), &sender()).map(|receipts| receipts[0].index)
    }

    fn is_well(&self, check: &str) -> bool {
        self.ledger.health().checks.iter().any(|other| other.name == check && other.ok)
    }

    fn again(self) -> Running {
        let Running { disk, store, ledger, .. } = self;
        ledger.close().expect("closed");
        let dir = tempfile::tempdir().expect("folder");
        let ledger = run(dir.path(), &store, &disk).expect("opens");
        Running { disk, store, ledger, _dir: dir }
    }
}

#[test]
fn after_a_failed_sync_nothing_is_recorded_until_the_store_is_opened_again() {
    let running = start();
    assert_eq!(running.append(0), Ok(0));
    running.disk.set_faults(Faults { sync: 1000, ..Faults::default() });
    let refused = running.append(2).expect_err("not durable").to_string();
    assert!(refused.contains("failed to sync `journal/"), "{refused}");
    running.disk.set_faults(Faults::default());
    assert!(matches!(running.append(4), Err(AppendError::Unavailable(_))), "a later sync proves nothing");
    assert!(!running.is_well("journal"));
    assert!(running.ledger.leaf(0).is_ok(), "it reads on");
    // Whether the refused one was kept is open until then: sent again, it is there once.
    let running = running.again();
    let place = running.append(2).expect("recorded");
    assert_eq!((place, running.append(2), running.append(4)), (1, Ok(1), Ok(2)));
}

#[test]
fn a_disk_that_does_not_answer_is_told_of_until_it_does() {
    let running = start();
    assert_eq!(running.append(0), Ok(0));
    let is_told = |ledger: &Ledger| {
        let late = ledger.health_at(Instant::now() + SLOW);
        late.checks.iter().any(|check| {
            check.name == "journal" && !check.ok && check.detail.contains("has not answered for 5 s")
        })
    };
    assert!(!is_told(&running.ledger), "nothing is asked of it");
    let hanging = running.disk.hang();
    std::thread::scope(|scope| {
        let appending = scope.spawn(|| running.append(2));
        while !is_told(&running.ledger) {
            assert!(!appending.is_finished(), "recorded without a disk");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(running.is_well("journal"), "it may take a moment");
        drop(hanging);
        assert_eq!(appending.join().expect("no panic"), Ok(1));
    });
    assert!(!is_told(&running.ledger) && running.is_well("journal"));
}

#[test]
fn without_room_for_another_journal_file_appends_are_refused_until_there_is() {
    let running = start();
    running.disk.set_faults(Faults { room: 1000, ..Faults::default() });
    let refused = running.append(0).expect_err("no room").to_string();
    assert!(refused.contains("make room in the journal"), "{refused}");
    running.disk.set_faults(Faults::default());
    assert_eq!(running.append(0), Ok(0));
    assert!(running.is_well("journal"));
}

#[test]
fn a_store_on_a_full_disk_is_opened_and_read() {
    let running = start();
    assert_eq!(running.append(0), Ok(0));
    // What is signed needs no room when it is closed.
    assert!(running.ledger.wait_signed(0, Duration::from_secs(10)));
    running.disk.set_faults(Faults { room: 1000, ..Faults::default() });
    // The keys in memory know of more data keys than are written down.
    let running = running.again();
    assert!(running.ledger.leaf(0).is_ok());
    running.disk.set_faults(Faults::default());
    assert_eq!(running.append(2), Ok(1));
}

#[test]
fn when_packs_cannot_be_written_appends_wait_and_are_refused_until_they_can() {
    let running = start();
    assert_eq!(running.append(0), Ok(0));
    running.disk.set_faults(Faults { room: 1000, ..Faults::default() });
    let shared = running.ledger.shared();
    {
        let leaf = running.ledger.leaf(0).expect("there").leaf;
        let mut tail = shared.log.tail.write().expect("whole");
        for _ in 1..MOST_WAITING as u64 * PACK_LEAVES {
            tail.push(&leaf, leaf_hash(&leaf), &[], &[]).expect("taken");
        }
    }
    shared.notify();
    let refused = running.append(2).expect_err("no room").to_string();
    assert!(refused.contains("packs cannot be written"), "{refused}");
    assert!(!running.is_well("packs"));
    running.disk.set_faults(Faults::default());
    let all = MOST_WAITING as u64 * PACK_LEAVES;
    assert!(shared.wait_until(Duration::from_secs(600), || running.ledger.snapshot().packed() == all));
    assert_eq!(running.append(2), Ok(all));
    assert!(running.is_well("packs"));
}

#[test]
fn a_clock_that_was_set_back_does_not_set_the_log_back() {
    let running = start();
    assert_eq!(running.append(0), Ok(0));
    assert!(running.ledger.clock().ok);
    let recorded = |running: &Running, index: u64| {
        running.ledger.leaf(index).expect("there").skeleton().expect("a record").recorded.0
    };
    // As if the clock had been an hour ahead.
    let ahead = recorded(&running, 0) + 3_600_000_000;
    running.ledger.shared().log.tail.write().expect("whole").last_recorded = ahead;
    assert_eq!(running.append(2), Ok(1));
    assert_eq!(recorded(&running, 1), ahead);
    let running = running.again();
    assert_eq!(running.append(4), Ok(2));
    assert_eq!(recorded(&running, 2), ahead);
    assert!(!running.ledger.clock().ok);
}
