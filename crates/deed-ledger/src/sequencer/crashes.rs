//! Sequencer, journal and opening against a disk that fails and is cut off: every receipt stays true.
//!
//! `DEED_SIM_ROUNDS` says how many seeds are run, `DEED_SIM_SEED` runs one again.

mod failing;

use std::{
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};

use deed_record::{Skeleton, split_records};
use deed_seal::hash::Hash;
use futures::channel::oneshot;

use super::{Job, Pace, Placements, Sequencer};
use crate::{
    AppendError, JournalDamage, Ledger, LedgerError, OpenError, Options, Sender,
    append::Placed,
    background,
    journal::{
        crashes::{each_seed, faults},
        sim::{Faults, Rng, SimDisk},
    },
    keys::{KeyError, Keys},
    lock::Lock,
    open::{self, open_on},
    sealer::{Sealer, Wait},
    shared::Shared,
    store::{StoreError, sim::SimStore},
};

#[test]
fn every_receipt_stays_true() {
    each_seed(30, |seed| {
        let mut world = World::new(seed);
        for _ in 0..100 {
            world.step();
        }
        world.disk.set_faults(Faults::default());
        world.stop();
    });
}

struct World {
    rng: Rng,
    disk: SimDisk,
    store: Arc<SimStore>,
    running: Option<(Arc<Shared>, Sequencer)>,
    /// Of the one that ran before: opening them takes longer than everything else.
    keys: Option<Keys>,
    /// For each record that was ever sent, where it is.
    places: Vec<Option<u64>>,
    /// Size and root of every checkpoint that was signed.
    signed: Vec<(u64, Hash)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng(seed);
        let disk = SimDisk::new(rng.next());
        let store = Arc::new(SimStore::new(disk.clone(), rng.next()));
        let mut world =
            World { rng, disk, store, running: None, keys: None, places: Vec::new(), signed: Vec::new() };
        world.open();
        world
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..12 => self.append(),
            12..15 => self.sign(),
            15 | 16 => self.make_spare(),
            17 if self.rng.chance(300) => self.disk.cut_power_after(1 + self.rng.below(60)),
            18 if self.rng.chance(200) => self.stop(),
            _ => self.disk.set_faults(faults(&mut self.rng)),
        }
        if self.disk.is_off() {
            self.stop();
        }
    }

    fn append(&mut self) {
        let Some((shared, mut sequencer)) = self.running.take() else { return };
        let sent: Vec<Vec<usize>> = (0..1 + self.rng.below(3))
            .map(|_| (0..1 + self.rng.below(4)).map(|_| self.record()).collect())
            .collect();
        let mut jobs: Vec<Job> = sent.iter().map(|records| job_of(&shared, records)).collect();
        let had_failed = shared.failure().is_some();
        for (records, answer) in sent.iter().zip(sequencer.place(&mut jobs)) {
            let Placements { placed, then } = answer;
            assert!(!had_failed || placed.is_empty(), "a record was taken after a failed sync");
            let refused = records.len() - placed.len();
            assert_eq!(refused > 0, then.is_some(), "{refused} of {}: {then:?}", records.len());
            assert!(refused == 0 || placed.is_empty() || !whole(records), "a part of what is whole");
            for (record, placed) in records.iter().zip(placed) {
                match (placed, &mut self.places[*record]) {
                    (Placed::New(index), place @ None) => *place = Some(index),
                    (Placed::Duplicate(index, _), place) => {
                        assert_eq!(*place, Some(index), "record {record}")
                    }
                    (placed, place) => panic!("record {record} at {place:?} was placed as {placed:?}"),
                }
            }
        }
        self.running = Some((shared, sequencer));
        if self.running.as_ref().is_some_and(|(shared, _)| shared.failure().is_some()) && self.rng.chance(300)
        {
            self.stop();
        }
    }

    /// A record: new, or one that was sent before and has a name.
    fn record(&mut self) -> usize {
        let sent = self.places.len() as u64;
        if sent > 1 && self.rng.chance(250) {
            return self.rng.below(sent / 2) as usize * 2;
        }
        self.places.push(None);
        sent as usize
    }

    fn sign(&mut self) {
        let Some((shared, _)) = &self.running else { return };
        let failed = shared.failure().is_some();
        background::sign_now(shared);
        assert_eq!(failed, shared.failure().is_some(), "{:?}", shared.failure());
        let signed = shared.checkpoint.read().expect("whole").clone();
        if let Some(signed) = signed
            && self.signed.last().is_none_or(|(size, _)| *size < signed.size)
        {
            self.signed.push((signed.size, signed.root));
        }
    }

    fn make_spare(&mut self) {
        let Some((_, sequencer)) = &mut self.running else { return };
        if let Ok(spare) = sequencer.journal.spare_maker().make() {
            sequencer.journal.add_spare(spare);
        }
    }

    /// The power is cut, or only the process killed: then it begins again.
    fn stop(&mut self) {
        if let Some((shared, sequencer)) = self.running.take() {
            drop(sequencer);
            self.keys = Arc::into_inner(shared).map(|shared| shared.keys);
        }
        if self.rng.chance(500) {
            self.disk.crash()
        } else {
            self.disk.kill()
        }
        self.open();
    }

    fn open(&mut self) {
        loop {
            self.disk.set_faults(faults(&mut self.rng));
            let keys = self.keys.take().unwrap_or_else(keys);
            match open_on(keys, self.store.clone(), Arc::new(self.disk.clone()), &options()) {
                Ok((shared, journal)) => {
                    let shared = Arc::new(shared);
                    check(&shared, &mut self.places, &self.signed);
                    let sequencer = Sequencer::new(shared.clone(), journal);
                    self.running = Some((shared, sequencer));
                    return;
                }
                Err(error) if is_io(&error) => {}
                Err(error) => panic!("a stop looks like damage: {error}"),
            }
        }
    }
}

/// The disk fails, or the store: then the first checkpoint cannot be signed.
fn is_io(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Journal(JournalDamage::Io { .. })
            | OpenError::Ledger(LedgerError::Store(StoreError::Io { .. }))
            | OpenError::Keys(KeyError::TenantList(StoreError::Io { .. }))
    )
}

/// Every record that has a place is there, none is anywhere else, and the tree goes on from each
/// checkpoint that was signed.
fn check(shared: &Shared, places: &mut [Option<u64>], signed: &[(u64, Hash)]) {
    let mut recorded = 0;
    for index in 0..shared.log.size() {
        let leaf = shared.log.leaf(index).expect("there");
        let skeleton = Skeleton::parse(&leaf).expect("a record");
        let record: usize =
            skeleton.operation.as_deref().and_then(|operation| operation.parse().ok()).expect("one of ours");
        let place = places[record].get_or_insert(index);
        assert_eq!(*place, index, "record {record} stands elsewhere, or twice");
        assert!(recorded <= skeleton.recorded.0, "time goes back at leaf {index}");
        recorded = skeleton.recorded.0;
    }
    let placed = places.iter().flatten().count() as u64;
    assert_eq!(placed, shared.log.size(), "records that were acknowledged are gone");
    for (size, root) in signed {
        assert_eq!(shared.log.root(*size).expect("a root"), *root, "the checkpoint at {size}");
    }
}

fn options() -> Options {
    Options {
        journal_file_bytes: 40 << 10,
        checkpoint_interval: Duration::from_millis(1),
        ..Options::default()
    }
}

/// The keys of one store, in memory; all that the records here need are in it.
fn keys() -> Keys {
    static STORE: OnceLock<tempfile::TempDir> = OnceLock::new();
    let store = STORE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("folder");
        let ledger = Ledger::open(dir.path(), options()).expect("opens");
        (0..6).for_each(|record| drop(ledger.append(text_of(record).as_bytes(), &sender()).expect("taken")));
        ledger.close().expect("closed");
        dir
    });
    Keys::open_existing(store.path(), Some(&[])).expect("keys")
}

fn sender() -> Sender {
    Sender { tenant: None, name: "test".into(), ours: false }
}

/// Every other record is named by its sender.
fn text_of(record: usize) -> String {
    let id = if record.is_multiple_of(2) {
        format!(r#""id":"0193a7c0-0000-7000-8000-{record:012x}","#)
    } else {
        String::new()
    };
    format!(
        r#"{{{id}"kind":"observation","time":"2026-11-20T10:00:00Z","initiator":{{"key":"h-{}","type":"human"}},"executor":{{"key":"a","type":"agent"}},"operation":"{record}","disclose":{{"arguments":{{"text":"{}"}}}}}}"#,
        record % 3,
        "x".repeat(record * 37 % 900)
    )
}

/// Every other batch is one that must not be parted.
fn whole(records: &[usize]) -> bool {
    records.len().is_multiple_of(2)
}

fn job_of(shared: &Shared, records: &[usize]) -> Job {
    let body: String = records.iter().map(|record| text_of(*record)).collect();
    let batch = Sealer { keys: &shared.keys, sender: &sender(), spooled: None }
        .seal_all(&split_records(body.as_bytes()).expect("read"), Wait::Yes)
        .expect("sealed")
        .expect("waited");
    Job { batch, searched: 0, whole: whole(records), pace: Pace::Hurried, reply: oneshot::channel().0 }
}

/// The same through a whole ledger, its threads and several senders: not the same twice, so a seed only
/// says where to begin.
#[test]
fn every_receipt_of_a_running_ledger_stays_true() {
    each_seed(6, |seed| {
        let mut rng = Rng(seed);
        let disk = SimDisk::new(rng.next());
        let store = Arc::new(SimStore::new(disk.clone(), rng.next()));
        let mut places = Vec::new();
        for _ in 0..4 {
            let ledger = loop {
                if rng.chance(500) {
                    disk.crash()
                } else {
                    disk.kill()
                }
                let dir = tempfile::tempdir().expect("folder");
                match run(dir.path(), &store, &disk) {
                    Ok(ledger) => break ledger,
                    Err(error) if is_io(&error) => {}
                    Err(error) => panic!("a stop looks like damage: {error}"),
                }
            };
            check(ledger.shared(), &mut places, &[]);
            disk.set_faults(faults(&mut rng));
            disk.cut_power_after(1 + rng.below(400));
            let first = places.len();
            places.resize(first + 300, None);
            send_all(&ledger, first, &mut places[first..]);
            // What was acknowledged is all there, whatever it was that stopped the rest.
            ledger.close().map_or_else(drop_error, drop);
        }
    });
}

fn drop_error(error: crate::LedgerError) {
    // The last checkpoint cannot be signed on a disk without power.
    assert!(!error.to_string().contains("continue"), "{error}");
}

fn run(dir: &Path, store: &Arc<SimStore>, disk: &SimDisk) -> Result<Ledger, OpenError> {
    let Ok(lock) = Lock::take(dir) else { panic!("the lock is free") };
    let (shared, journal) = open_on(keys(), store.clone(), Arc::new(disk.clone()), &options())?;
    Ledger::start(dir, open::Opened { shared, journal, lock }, options().checkpoint_interval)
}

/// Three senders send what there is, until they hear that nothing is recorded any more.
fn send_all(ledger: &Ledger, first: usize, places: &mut [Option<u64>]) {
    std::thread::scope(|scope| {
        for (chunk, part) in places.chunks_mut(100).enumerate() {
            scope.spawn(move || {
                for (at, place) in part.iter_mut().enumerate() {
                    let record = first + chunk * 100 + at;
                    match ledger.append(text_of(record).as_bytes(), &sender()) {
                        Ok(receipts) => *place = Some(receipts[0].index),
                        Err(AppendError::Unavailable(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
}
