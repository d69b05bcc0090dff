//! A disk that fails as disks do, in memory and decided by a seed.
//!
//! Of each file there is what a reader sees and what a power cut leaves. Written sectors reach the disk
//! when they like, in any order, whole or torn at any byte; only a sync that succeeds makes them durable.
//! After one that failed, a sector may be on the disk, wait still, be gone, or be seen for a while but
//! never be written: no later sync brings it back. Names that were not synced may appear or vanish.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::disk::{Disk, DiskFile};

const SECTOR: usize = 512;

/// Random numbers out of a seed (SplitMix64).
#[derive(Clone)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Whether something happens that happens so often in a thousand times.
    pub(crate) fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }
}

/// How often what fails, in a thousand times.
#[derive(Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Reading: EIO.
    pub(crate) read: u64,
    /// Writing in place: EIO or ENOSPC, some of it done.
    pub(crate) write: u64,
    /// Making a file, or making it longer: ENOSPC.
    pub(crate) room: u64,
    /// Syncing: EIO.
    pub(crate) sync: u64,
    /// Writing: less than was asked for, or EINTR.
    pub(crate) short: u64,
}

/// Shared by whoever uses it; a journal that is dropped leaves it as a killed process does.
#[derive(Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

struct State {
    rng: Rng,
    faults: Faults,
    files: Vec<Inode>,
    /// Names that a reader sees, and those that a power cut leaves.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Operations until the power is cut; 0: it is.
    power: Option<u64>,
}

#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    disk: Vec<u8>,
    /// Sectors that a sync has to write.
    dirty: BTreeSet<usize>,
}

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        SimDisk(Arc::new(Mutex::new(State {
            rng: Rng(seed),
            faults: Faults::default(),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            power: None,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// Cuts the power in the middle of the operation that comes after so many.
    pub(crate) fn cut_power_after(&self, operations: u64) {
        self.state().power = Some(operations);
    }

    /// Answers nobody until what is returned is dropped.
    pub(crate) fn hang(&self) -> impl Drop {
        self.state()
    }

    pub(crate) fn faults(&self) -> Faults {
        self.state().faults
    }

    pub(crate) fn is_off(&self) -> bool {
        self.state().power == Some(0)
    }

    /// What is left when the power is back.
    pub(crate) fn crash(&self) {
        let State { rng, files, names, durable_names, power, .. } = &mut *self.state();
        *power = None;
        for file in files {
            let length = match rng.below(3) {
                0 => file.disk.len(),
                1 => file.seen.len(),
                _ => file.disk.len() + rng.below((file.seen.len() - file.disk.len()) as u64 + 1) as usize,
            };
            file.disk.resize(file.seen.len(), 0);
            for sector in std::mem::take(&mut file.dirty) {
                let (from, to) = file.span(sector);
                let cut = from + rng.below((to - from) as u64 + 1) as usize;
                let (from, to) = match rng.below(6) {
                    0 | 1 => (from, to),
                    2 | 3 => (from, from),
                    4 => (from, cut),
                    _ => (cut, to),
                };
                file.disk[from..to].copy_from_slice(&file.seen[from..to]);
            }
            file.disk.truncate(length);
            file.seen = file.disk.clone();
        }
        let either: BTreeMap<String, usize> =
            names.iter().chain(&*durable_names).map(|(name, file)| (name.clone(), *file)).collect();
        durable_names.retain(|name, _| names.contains_key(name) || rng.chance(500));
        for (name, file) in either {
            if names.contains_key(&name) && rng.chance(500) {
                durable_names.insert(name, file);
            }
        }
        *names = durable_names.clone();
    }

    /// What another process finds after this one was killed: all that was written, but the system may
    /// have forgotten what it could not write.
    pub(crate) fn kill(&self) {
        let State { rng, files, power, .. } = &mut *self.state();
        *power = None;
        for file in files {
            for sector in 0..file.disk.len() / SECTOR {
                if !file.dirty.contains(&sector) && rng.chance(500) {
                    let (from, to) = (sector * SECTOR, (sector + 1) * SECTOR);
                    file.seen[from..to].copy_from_slice(&file.disk[from..to]);
                }
            }
        }
    }
}

impl Inode {
    fn span(&self, sector: usize) -> (usize, usize) {
        (sector * SECTOR, ((sector + 1) * SECTOR).min(self.seen.len()))
    }

    fn write(&mut self, bytes: &[u8], at: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        self.seen.resize(self.seen.len().max(end), 0);
        self.seen[at..end].copy_from_slice(bytes);
        self.dirty.extend(at / SECTOR..=(end - 1) / SECTOR);
    }

    fn flush(&mut self, sector: usize) {
        let (from, to) = self.span(sector);
        // Bytes beyond the length come with it: a sector is lost as a whole or not.
        if to <= self.disk.len() {
            self.disk[from..to].copy_from_slice(&self.seen[from..to]);
            self.dirty.remove(&sector);
        }
    }

    fn sync(&mut self) {
        self.disk.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let (from, to) = self.span(sector);
            self.disk[from..to].copy_from_slice(&self.seen[from..to]);
        }
    }

    fn fail_to_sync(&mut self, rng: &mut Rng) {
        for sector in self.dirty.clone() {
            let (from, to) = self.span(sector);
            match rng.below(4) {
                0 => self.flush(sector),
                1 => {}
                _ if to > self.disk.len() => {}
                2 => drop(self.dirty.remove(&sector)),
                _ => {
                    self.seen[from..to].copy_from_slice(&self.disk[from..to]);
                    self.dirty.remove(&sector);
                }
            }
        }
    }
}

fn error(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "simulated")
}

impl State {
    /// Counts an operation; whether the power is cut in the middle of it.
    fn step(&mut self) -> io::Result<bool> {
        match &mut self.power {
            None => Ok(false),
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(*left == 0)
            }
        }
    }

    /// An operation that is done or not.
    fn step_whole(&mut self) -> io::Result<()> {
        if self.step()? && self.rng.chance(500) {
            Err(io::Error::other("the power went off"))
        } else {
            Ok(())
        }
    }

    fn fails(&mut self, per_mille: u64, kind: io::ErrorKind) -> io::Result<()> {
        if self.rng.chance(per_mille) { Err(error(kind)) } else { Ok(()) }
    }

    fn find(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| error(io::ErrorKind::NotFound))
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.step_whole()?;
        let read = state.faults.read;
        state.fails(read, io::ErrorKind::Other)?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, _write: bool) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step_whole()?;
        Ok(Box::new(SimFile { disk: self.clone(), inode: state.find(name)? }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step_whole()?;
        if state.names.contains_key(name) {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        let room = state.faults.room;
        state.fails(room, io::ErrorKind::StorageFull)?;
        let inode = state.files.len();
        state.files.push(Inode::default());
        state.names.insert(name.to_owned(), inode);
        Ok(Box::new(SimFile { disk: self.clone(), inode }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step_whole()?;
        state.find(name)?;
        state.names.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step_whole()?;
        let sync = state.faults.sync;
        state.fails(sync, io::ErrorKind::Other)?;
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.step_whole()?;
        Ok(state.files[self.inode].seen.len() as u64)
    }

    fn allocate(&self, _bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step_whole()?;
        let room = state.faults.room;
        state.fails(room, io::ErrorKind::StorageFull)
    }

    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.step_whole()?;
        let faults = state.faults;
        state.fails(faults.read, io::ErrorKind::Other)?;
        state.fails(faults.short, io::ErrorKind::Interrupted)?;
        let seen = &state.files[self.inode].seen;
        let from = seen.len().min(at as usize);
        let length = bytes.len().min(seen.len() - from);
        bytes[..length].copy_from_slice(&seen[from..from + length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        let cut = state.step()?;
        let State { rng, faults, files, .. } = &mut *state;
        let file = &mut files[self.inode];
        let some = rng.below(bytes.len() as u64 + 1) as usize;
        let grows = at as usize + bytes.len() > file.seen.len();
        let failure = if cut {
            Some(io::ErrorKind::Other)
        } else if grows && rng.chance(faults.room) {
            Some(io::ErrorKind::StorageFull)
        } else if rng.chance(faults.write) {
            Some(if rng.chance(500) { io::ErrorKind::StorageFull } else { io::ErrorKind::Other })
        } else {
            None
        };
        if failure.is_none() && rng.chance(faults.short / 2) {
            return Err(error(io::ErrorKind::Interrupted));
        }
        let short = failure.is_some() || rng.chance(faults.short);
        let written = if short { some } else { bytes.len() };
        file.write(&bytes[..written], at as usize);
        // The system writes what it likes, when it likes.
        let early: Vec<usize> = file.dirty.iter().copied().filter(|_| rng.chance(30)).collect();
        early.into_iter().for_each(|sector| file.flush(sector));
        match failure {
            Some(kind) => Err(error(kind)),
            None if written == 0 && !bytes.is_empty() => Err(error(io::ErrorKind::Interrupted)),
            None => Ok(written),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let cut = state.step()?;
        let State { rng, faults, files, .. } = &mut *state;
        let file = &mut files[self.inode];
        if cut {
            // The rest of it is decided by `crash`.
            return Err(io::Error::other("the power went off"));
        }
        if rng.chance(faults.sync) {
            file.fail_to_sync(rng);
            return Err(error(io::ErrorKind::Other));
        }
        file.sync();
        Ok(())
    }

    fn has_name(&self) -> io::Result<bool> {
        let mut state = self.disk.state();
        state.step_whole()?;
        Ok(state.names.values().any(|inode| *inode == self.inode))
    }
}
