//! Disclosures against their digests, index runs and rows against the leaves: all in one pass over the
//! packs, while the log hashes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use deed_seal::{
    tile::bundle_entries,
    verify::{Look, ProblemKind, Unchecked},
};

use super::{
    Leaves, RowsCheck, RowsReport, StoreReport, cores, problem,
    records::{Found, PackCheck, Reader, Sum},
};
use crate::{
    PACK_LEAVES,
    index::{self, Run},
    keys::Keys,
    vault,
};

/// Leaves of the journal that a thread takes at a time.
const TAIL_PART: usize = 1024;

/// What is checked of a store besides its log.
pub(super) struct Derived<'d> {
    leaves: &'d Leaves,
    keys: Option<&'d Keys>,
    rows: Option<Box<dyn RowsCheck + 'd>>,
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    found: Found,
    /// For each pack whose leaves could all be read: what its index run must hold.
    sums: BTreeMap<u64, Sum>,
    looked_at: BTreeSet<u64>,
    /// Index runs that were compared.
    runs: u64,
}

/// Time of all threads together.
#[derive(Clone, Copy, Default)]
pub(super) struct Took {
    /// Reading records, disclosures and index.
    pub(super) disclosures: Duration,
    /// Rows.
    pub(super) rows: Duration,
}

impl<'d> Derived<'d> {
    pub(super) fn new(
        leaves: &'d Leaves,
        keys: Option<&'d Keys>,
        rows: Option<Box<dyn RowsCheck + 'd>>,
    ) -> Self {
        Derived { leaves, keys, rows, all: Mutex::default() }
    }

    /// Checks pack `number` as its bundles come; none if there is no such pack.
    pub(super) fn pack(&self, number: u64) -> Option<Box<dyn Look + '_>> {
        self.leaves.packs().get(&number)?;
        let check = PackCheck::new(self.leaves, self.keys, number, self.rows.as_deref());
        Some(Box::new(Looking { derived: self, check }))
    }

    /// How long it took so far.
    pub(super) fn took(&self) -> Took {
        self.all().found.took
    }

    /// Checks what the log did not come to, and the index.
    pub(super) fn finish(self, report: &mut StoreReport) -> RowsReport {
        let looked_at = std::mem::take(&mut self.all().looked_at);
        let rest: Vec<u64> =
            self.leaves.packs().keys().copied().filter(|number| !looked_at.contains(number)).collect();
        side_by_side(rest.len(), |at| self.read_pack(rest[at]));
        let started = Instant::now();
        let tail = self.leaves.tail();
        side_by_side(tail.len().div_ceil(TAIL_PART), |part| self.tail(part * TAIL_PART));
        let runs = self.runs(report);
        side_by_side(runs.len(), |at| self.run(&runs[at]));
        let threads = u32::try_from(cores()).unwrap_or(1);
        let took = self.took();
        report.disclosures = took.disclosures / threads + started.elapsed();
        report.rows = took.rows / threads;

        let mut all = self.all.into_inner().unwrap_or_else(PoisonError::into_inner);
        let found = &mut all.found;
        found.problems.sort_by(|a, b| (&a.place, &a.what).cmp(&(&b.place, &b.what)));
        report.problems.append(&mut found.problems);
        report.checked.disclosures = found.disclosures;
        report.checked.runs = all.runs;
        report.locked = found.locked;
        if found.locked > 0 {
            report.unchecked.push(Unchecked {
                place: vault::FOLDER.to_owned(),
                why: format!(
                    "the disclosures of {} records have no data key here: {}",
                    found.locked,
                    if report.without_keys {
                        "this is a copy without `keys/`"
                    } else {
                        "erased, or lost with the newest of `keys/`"
                    },
                ),
            });
        }
        self.rows.map(RowsCheck::end).unwrap_or_default()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pack that the checkpoint does not cover, or that could not be reached for too many problems.
    fn read_pack(&self, number: u64) {
        let Some(bundles) = self.leaves.bundles(number) else { return };
        let Some(mut look) = self.pack(number) else { return };
        for (bundle, first) in bundles.zip((number * PACK_LEAVES..).step_by(256)) {
            let Ok(bundle) = bundle else { continue };
            let Ok(entries) = bundle_entries(&bundle) else { continue };
            look.bundle(first, &entries);
        }
        look.end();
    }

    /// Leaves of the journal from `from` on.
    fn tail(&self, from: usize) {
        let tail = self.leaves.tail();
        let part = &tail[from..tail.len().min(from + TAIL_PART)];
        let mut found = Found::default();
        let leaves: Vec<_> =
            part.iter().map(|entry| (entry.leaf.as_slice(), Some(entry.blob.as_slice()))).collect();
        let first = self.leaves.packed() + from as u64;
        Reader { path: "journal", kept: true, keys: self.keys, found: &mut found }.read(first, &leaves);
        self.all().found.append(found);
    }

    /// The runs that can be compared.
    fn runs(&self, report: &mut StoreReport) -> Vec<String> {
        let (leaves, mut all) = (self.leaves, self.all());
        let Ok(objects) = leaves.store().list(&format!("{}/", index::FOLDER)) else { return Vec::new() };
        let packs = leaves.packs().len() as u64;
        let (mut covered, mut runs) = (0, Vec::new());
        for object in objects {
            let Some(range) = index::packs_of(&object.path).filter(|range| range.end <= packs) else {
                continue;
            };
            covered = covered.max(range.end);
            if range.clone().all(|number| all.sums.contains_key(&number)) {
                runs.push(object.path);
            } else {
                let why = "some of the leaves it is made of cannot be read".to_owned();
                report.unchecked.push(Unchecked { place: object.path, why });
            }
        }
        if covered < packs {
            all.found.problems.push(problem(
                ProblemKind::Unverified,
                index::FOLDER,
                format!("no index run covers packs {covered} and later; build it again with `deed rebuild`"),
            ));
        }
        runs
    }

    /// A run holds exactly the entries that its packs' leaves give.
    fn run(&self, path: &str) {
        let Some(packs) = index::packs_of(path) else { return };
        let store = &**self.leaves.store();
        let mut expected = Sum::default();
        self.all().sums.range(packs.clone()).for_each(|(_, sum)| expected.merge(*sum));
        let first = packs.start * PACK_LEAVES;
        let mut sum = Sum::default();
        let mut read = || -> Result<(), index::IndexError> {
            let run = Run::open(store, path)?;
            let bytes = store.read(path)?;
            run.each_entry(&bytes, &mut |(hash, offset)| sum.add(hash, first + u64::from(offset)))
        };
        let what = match read() {
            // Merged away while we looked.
            Err(index::IndexError::Store(error)) if error.is_missing() => return,
            Err(error) => Some(error.to_string()),
            Ok(()) if sum != expected => Some(format!(
                "it does not hold what leaves {first} to {} give; build it again with `deed rebuild`",
                packs.end * PACK_LEAVES - 1
            )),
            Ok(()) => None,
        };
        let mut all = self.all();
        all.runs += 1;
        all.found.problems.extend(what.map(|what| problem(ProblemKind::Violated, path, what)));
    }
}

/// One pack.
struct Looking<'d> {
    derived: &'d Derived<'d>,
    check: PackCheck<'d>,
}

impl Look for Looking<'_> {
    fn bundle(&mut self, first: u64, entries: &[&[u8]]) {
        // What does not match its checksum is shown to find the leaf. Nothing is held against it.
        if !self.derived.leaves.is_damaged(first / 256) {
            self.check.bundle(first, entries);
        }
    }

    fn end(self: Box<Self>) {
        let (number, sum, found) = self.check.end();
        let mut all = self.derived.all();
        all.found.append(found);
        all.sums.extend(sum.map(|sum| (number, sum)));
        all.looked_at.insert(number);
    }
}

/// Does `work` for each number below `count`, on all cores.
fn side_by_side(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            match next.fetch_add(1, Ordering::Relaxed) {
                at if at < count => work(at),
                _ => return,
            }
        }
    };
    let threads = cores().min(count);
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(run)));
        run();
    });
}
