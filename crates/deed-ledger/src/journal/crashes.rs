//! The journal against a disk that fails: whatever happens, what was acknowledged is read again, in its
//! place and once, and nothing else is.
//!
//! `DEED_SIM_ROUNDS` says how many seeds are run, `DEED_SIM_SEED` runs one again.

use std::{collections::BTreeMap, panic, sync::Arc};

use super::{
    Entry, Frame, FrameBuilder, Journal, JournalDamage, JournalError, SpareMaker,
    disk::Disk,
    frame::NameEntry,
    recover,
    sim::{Faults, Rng, SimDisk},
};

/// Runs `one` with many seeds, and says which one it failed with.
pub(crate) fn each_seed(rounds: u64, one: impl Fn(u64) + panic::RefUnwindSafe) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match number("DEED_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DEED_SIM_ROUNDS").unwrap_or(rounds),
    };
    for seed in seeds {
        if let Err(why) = panic::catch_unwind(|| one(seed)) {
            eprintln!("failed with DEED_SIM_SEED={seed}");
            panic::resume_unwind(why);
        }
    }
}

#[test]
fn what_was_acknowledged_is_read_again_and_nothing_else() {
    each_seed(400, |seed| {
        let mut world = World::new(seed, 16 << 10, false);
        for _ in 0..150 {
            world.step();
        }
        world.disk.set_faults(Faults::default());
        world.stop();
    });
}

/// Each start goes on where the one before ended, over what a cut left there: no record is lost, and there
/// are no more files than are filled.
#[test]
fn many_short_processes_fill_few_files() {
    const FILE: u64 = 128 << 10;
    // The header, and room that the next frame was too large for.
    const UNUSED: u64 = 16 << 10;
    each_seed(60, |seed| {
        let mut world = World::new(seed, FILE, true);
        for _ in 0..120 {
            for _ in 0..world.rng.below(4) {
                if world.rng.chance(100) {
                    world.disk.cut_power_after(1 + world.rng.below(12));
                }
                world.commit();
                world.make_spare();
            }
            world.release();
            world.stop();
        }
        world.disk.cut_power_after(u64::MAX);
        let written: u64 = world.frames.values().map(|frame| builder_of(frame).len() as u64).sum();
        let files = world.disk.list().expect("listed").len() as u64;
        // The last, a spare one, and what a cut left unfinished or brought back.
        assert!(files <= 4 + written / (FILE - UNUSED), "{files} files for {written} bytes");
    });
}

struct World {
    rng: Rng,
    disk: SimDisk,
    file_bytes: u64,
    /// Its processes live for a few frames, on a disk that loses its power and nothing else.
    brief: bool,
    journal: Option<Journal>,
    makers: Vec<SpareMaker>,
    /// By first leaf: acknowledged, or read once.
    frames: BTreeMap<u64, Frame>,
    next: u64,
    packed: u64,
    /// Begun since the journal was opened, and refused.
    attempts: Vec<Frame>,
    faults: Faults,
}

impl World {
    fn new(seed: u64, file_bytes: u64, brief: bool) -> Self {
        let mut rng = Rng(seed);
        let disk = SimDisk::new(rng.next());
        let mut world = World {
            faults: faults(&mut rng),
            rng,
            disk,
            file_bytes,
            brief,
            journal: None,
            makers: Vec::new(),
            frames: BTreeMap::new(),
            next: 0,
            packed: 0,
            attempts: Vec::new(),
        };
        world.open();
        world
    }

    fn step(&mut self) {
        match self.rng.below(20) {
            0..12 => self.commit(),
            12 | 13 => self.release(),
            14 => self.makers.extend(self.journal.as_mut().map(Journal::spare_maker)),
            15 | 16 => self.make_spare(),
            17 => {
                let full = if self.rng.chance(300) { 1000 } else { 0 };
                self.disk.set_faults(Faults { room: full, ..self.faults });
            }
            18 if self.rng.chance(300) => self.disk.cut_power_after(1 + self.rng.below(40)),
            19 if self.rng.chance(200) => self.stop(),
            _ => {}
        }
        if self.disk.is_off() {
            self.stop();
        }
    }

    fn commit(&mut self) {
        let frame = self.frame();
        let mut builder = builder_of(&frame);
        let Some(journal) = &mut self.journal else { return };
        let was_broken = journal.broken.is_some();
        match journal.commit(&mut builder) {
            Ok(()) => {
                assert!(!was_broken, "a broken journal took a frame");
                self.next = frame.end();
                self.frames.insert(frame.first, frame);
            }
            Err(JournalError::NoRoom(_)) => assert!(!was_broken, "a broken journal looked for room"),
            Err(JournalError::Broken(_)) => {
                assert!(journal.broken.is_some(), "forgot that it is broken");
                self.attempts.push(frame);
            }
        }
        if self.journal.as_ref().is_some_and(|journal| journal.broken.is_some()) && self.rng.chance(300) {
            self.stop();
        }
    }

    /// A frame nobody has seen before.
    fn frame(&mut self) -> Frame {
        let rng = &mut self.rng;
        let mut bytes = |most: u64| {
            let length = if rng.chance(100) { most } else { rng.below(most / 4) };
            let mut bytes: Vec<u8> = (0..length).map(|_| rng.next() as u8).collect();
            if rng.chance(50) {
                bytes.extend_from_slice(b"DFRM....DFRM....DFRM....");
            }
            bytes
        };
        let count = 1 + bytes(20).len() % 5;
        let entries = (0..count).map(|_| Entry { leaf: bytes(1500), blob: bytes(600) }).collect();
        let names = match bytes(8).len() {
            0 => vec![NameEntry { account: [7; 16], blob: bytes(100) }],
            _ => Vec::new(),
        };
        Frame { first: self.next, entries, names }
    }

    fn release(&mut self) {
        if !self.brief && self.rng.chance(600) {
            self.packed += self.rng.below(self.next - self.packed + 1);
        }
        if let Some(journal) = &mut self.journal {
            journal.release(self.packed);
        }
    }

    fn make_spare(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let maker = match self.makers.pop() {
            Some(maker) => maker,
            None if journal.wants_spare() => journal.spare_maker(),
            None => return,
        };
        if let Ok(spare) = maker.make() {
            journal.add_spare(spare);
        }
    }

    /// The process ends, or the power: then it begins again.
    fn stop(&mut self) {
        self.journal = None;
        self.makers.clear();
        self.end_of_process();
        self.open();
    }

    /// The power is cut, or only the process killed.
    fn end_of_process(&mut self) {
        if self.rng.chance(500) { self.disk.crash() } else { self.disk.kill() }
    }

    fn open(&mut self) {
        self.faults = if self.brief { Faults::default() } else { faults(&mut self.rng) };
        if !self.brief && self.rng.chance(100) {
            self.file_bytes = (14 + 2 * self.rng.below(10)) << 10;
        }
        loop {
            self.disk.set_faults(self.faults);
            if self.rng.chance(100) {
                self.disk.cut_power_after(1 + self.rng.below(30));
            }
            let opened = Journal::open(Arc::new(self.disk.clone()), self.file_bytes, self.packed);
            let settled = opened.and_then(|mut recovered| {
                recovered.journal.settle()?;
                Ok(recovered)
            });
            match settled {
                Ok(recovered) => {
                    self.check(recovered.frames);
                    self.journal = Some(recovered.journal);
                    break;
                }
                Err(JournalDamage::Io { .. }) if self.disk.is_off() => self.end_of_process(),
                Err(JournalDamage::Io { .. }) => self.faults = faults(&mut self.rng),
                Err(error) => panic!("a stop looks like damage: {error}"),
            }
        }
        // Who only looks sees no damage either.
        match recover::read(&self.disk, self.packed, false) {
            Ok(_) | Err(JournalDamage::Io { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// What was read is what was acknowledged, and at most one frame that was begun after it.
    fn check(&mut self, frames: Vec<Frame>) {
        let mut end = self.packed;
        for frame in frames {
            assert!(frame.first <= end, "leaves {end} to {} are gone", frame.first);
            end = frame.end();
            match self.frames.get(&frame.first) {
                Some(known) => assert!(*known == frame, "leaf {} and later are others", frame.first),
                None => {
                    assert_eq!(frame.first, self.next, "a frame from nowhere");
                    assert!(self.attempts.contains(&frame), "a frame that nobody wrote at {}", frame.first);
                    self.next = frame.end();
                    self.frames.insert(frame.first, frame);
                }
            }
        }
        assert_eq!(end, self.next, "leaves at the end are gone");
        self.attempts.clear();
    }
}

fn builder_of(frame: &Frame) -> FrameBuilder {
    let mut builder = FrameBuilder::new();
    builder.start(frame.first);
    frame.entries.iter().for_each(|entry| builder.leaf(&entry.leaf, &entry.blob));
    frame.names.iter().for_each(|name| builder.name(&name.account, &name.blob));
    builder
}

/// What fails, and how often, until the next start.
pub(crate) fn faults(rng: &mut Rng) -> Faults {
    if rng.chance(300) {
        return Faults::default();
    }
    let mut often = |most: u64| if rng.chance(500) { 0 } else { rng.below(most) };
    Faults { read: often(50), write: often(60), room: often(300), sync: often(200), short: often(300) }
}
