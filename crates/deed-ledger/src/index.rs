//! The look-up index: which leaves a key leads to.
//!
//! Written once a pack as a sorted run; the runs of sixteen neighbouring packs are merged into one of a
//! million leaves, so that a look-up in a history of N million leaves reads some N + 16 small pieces; that of an id which
//! is not there reads next to none.
//! Nothing is ever updated in place. The index is derived: what is missing is built from the packs again, and every hit
//! is held against the leaf itself.

mod filter;
mod merge;
mod run;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use deed_seal::hash::Hash;

pub(crate) use run::{Entry, MAGIC, Run, encode, packs_of};

use crate::{
    LedgerError, PACK_LEAVES,
    store::{Store, StoreError},
};

/// The runs of so many packs are merged into one.
const FAN_IN: u64 = 16;
pub(crate) const FOLDER: &str = "index";
/// What the newest runs keep in memory to be asked quickly, up to this: that of some thirty million records. Older runs are
/// read.
const GUIDE_BYTES: usize = 128 << 20;

/// Why the index cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// A run's bytes are not what was written.
    #[error("index run `{path}` is damaged at byte {at}; build it again with `deed rebuild`")]
    Damaged {
        /// The object.
        path: String,
        /// Where in it.
        at: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All runs of one store.
pub(crate) struct Index {
    store: Arc<dyn Store>,
    /// By first pack; together they cover packs from 0 on without gap or overlap.
    runs: RwLock<BTreeMap<u64, Arc<Run>>>,
    /// Held while runs are written or deleted.
    writing: Mutex<()>,
}

/// What [`Ledger::rebuild_index`](crate::Ledger::rebuild_index) did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RebuiltIndex {
    /// Packs whose leaves were read again.
    pub packs: u64,
    /// Runs that were written.
    pub runs: u64,
    /// SHA-256 over all runs, in hex: the same leaves give the same.
    pub digest: String,
    /// Whether every run was there before, byte for byte (D5).
    pub same: bool,
}

impl Index {
    /// Opens the runs that cover packs `0..packs`; returns the packs that no run covers.
    ///
    /// A merged run makes those it was made of superfluous: they are deleted.
    pub(crate) fn open(store: Arc<dyn Store>, packs: u64) -> Result<(Self, Vec<u64>), IndexError> {
        let mut found: Vec<(Range<u64>, String)> = store
            .list(&format!("{FOLDER}/"))?
            .into_iter()
            .filter_map(|object| Some((packs_of(&object.path)?, object.path)))
            .collect();
        // The widest first: it holds all that the narrower ones within it do.
        found.sort_by_key(|(packs, _)| (packs.start, std::cmp::Reverse(packs.end)));
        let mut runs = BTreeMap::new();
        let mut covered = 0;
        let mut missing = Vec::new();
        for (range, path) in found {
            if range.end > packs || range.start < covered {
                store.delete(&path)?;
                continue;
            }
            match Run::open(&*store, &path) {
                Ok(run) => {
                    missing.extend(covered..range.start);
                    covered = range.end;
                    runs.insert(range.start, Arc::new(run));
                }
                Err(IndexError::Damaged { path, at }) => {
                    tracing::warn!(path, at, "a damaged index run is built again");
                    store.delete(&path)?;
                }
                Err(error) => return Err(error),
            }
        }
        missing.extend(covered..packs);
        let_go(&mut runs, GUIDE_BYTES);
        Ok((Index { store, runs: RwLock::new(runs), writing: Mutex::default() }, missing))
    }

    /// Adds the run of one pack; `entries` are sorted here. The same entries give the same bytes.
    pub(crate) fn add(&self, pack: u64, entries: &mut [Entry]) -> Result<(), IndexError> {
        entries.sort_unstable();
        let packs = pack..pack + 1;
        let bytes = encode(packs.clone(), entries.iter().copied());
        let _writing = self.writing();
        self.put(&packs, &bytes)
    }

    /// Writes every run again from what `entries` gives for each pack.
    pub(crate) fn rebuild(
        &self,
        entries: &dyn Fn(u64) -> Result<Vec<Entry>, LedgerError>,
    ) -> Result<RebuiltIndex, LedgerError> {
        let _writing = self.writing();
        let (mut digests, mut packs, mut same) = (Vec::new(), 0, true);
        let runs = self.all();
        for run in &runs {
            let mut all = Vec::new();
            for pack in run.packs.clone() {
                let shift = ((pack - run.packs.start) * PACK_LEAVES) as u32;
                all.extend(entries(pack)?.into_iter().map(|(hash, offset)| (hash, offset + shift)));
                packs += 1;
            }
            all.sort_unstable();
            let bytes = encode(run.packs.clone(), all.into_iter());
            // What cannot be read is not what it should be.
            same &= self.store.read(&run.path).is_ok_and(|before| before == bytes);
            digests.extend_from_slice(&Hash::of(&bytes).0);
            self.put(&run.packs, &bytes)?;
        }
        Ok(RebuiltIndex { packs, runs: runs.len() as u64, digest: Hash::of(&digests).to_string(), same })
    }

    fn writing(&self) -> impl Drop + '_ {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, packs: &Range<u64>, bytes: &[u8]) -> Result<(), IndexError> {
        let path = run::path_of(packs);
        self.store.replace(&path, bytes)?;
        let run = Arc::new(Run::open(&*self.store, &path)?);
        let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
        runs.insert(packs.start, run);
        let_go(&mut runs, GUIDE_BYTES);
        Ok(())
    }

    /// Merges where sixteen runs of one size stand side by side, until nothing is left to merge.
    pub(crate) fn merge(&self) -> Result<(), IndexError> {
        let _writing = self.writing();
        while let Some(group) = self.next_group() {
            let range = group[0].packs.start..group[group.len() - 1].packs.end;
            let path = run::path_of(&range);
            let bytes = merge::merge(&*self.store, &group)?;
            self.store.replace(&path, &bytes)?;
            let merged = Arc::new(Run::open(&*self.store, &path)?);
            let mut runs = self.runs.write().unwrap_or_else(PoisonError::into_inner);
            for run in &group {
                runs.remove(&run.packs.start);
            }
            runs.insert(range.start, merged);
            drop(runs);
            for run in &group {
                self.store.delete(&run.path)?;
            }
        }
        Ok(())
    }

    fn next_group(&self) -> Option<Vec<Arc<Run>>> {
        let runs = self.all();
        let alike: Vec<&Arc<Run>> = runs.iter().filter(|run| run.packs.end - run.packs.start == 1).collect();
        for group in alike.windows(FAN_IN as usize) {
            let side_by_side = group.windows(2).all(|pair| pair[0].packs.end == pair[1].packs.start);
            if group[0].packs.start % FAN_IN == 0 && side_by_side {
                return Some(group.iter().map(|run| Arc::clone(run)).collect());
            }
        }
        None
    }

    /// Every run, in the order of packs.
    pub(crate) fn all(&self) -> Vec<Arc<Run>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Candidate leaves for `hash` below `before`, newest first; `each` says whether to go on.
    pub(crate) fn candidates(
        &self,
        hash: u64,
        before: u64,
        each: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), IndexError> {
        for run in self.all().into_iter().rev() {
            let first = run.packs.start * PACK_LEAVES;
            if first >= before || !run.may_hold(hash) {
                continue;
            }
            // A run may be merged away while it is being read: its merged form has the same entries.
            let leaves = match run.leaves(&*self.store, hash) {
                Err(IndexError::Store(StoreError::Missing(_))) => return self.candidates(hash, before, each),
                leaves => leaves?,
            };
            for leaf in
                leaves.into_iter().rev().map(|offset| first + u64::from(offset)).filter(|leaf| *leaf < before)
            {
                if !each(leaf) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Lets go of what the oldest runs keep in memory where all take more than `most` bytes.
fn let_go(runs: &mut BTreeMap<u64, Arc<Run>>, most: usize) {
    let mut left = most;
    for run in runs.values_mut().rev() {
        match left.checked_sub(run.guide_size()) {
            Some(rest) => left = rest,
            None => *run = Arc::new(run.without_guide()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    /// The id of leaf `n`, as a key.
    fn id(n: u64) -> u64 {
        (n.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 16) | 1
    }

    fn found(index: &Index, hash: u64) -> Vec<u64> {
        let mut found = Vec::new();
        let mut each = |leaf| {
            found.push(leaf);
            true
        };
        index.candidates(hash, u64::MAX, &mut each).expect("reads");
        found
    }

    #[test]
    fn ids_are_found_with_and_without_guides_and_after_merging() {
        let store = Arc::new(MemoryStore::default());
        let (index, _) = Index::open(store.clone(), 0).expect("opens");
        for pack in 0..FAN_IN + 1 {
            let mut entries: Vec<Entry> = (0..300_u32).map(|n| (id(pack * 300 + u64::from(n)), n)).collect();
            entries.push((42, 7));
            index.add(pack, &mut entries).expect("written");
        }
        let hold = |index: &Index| {
            for pack in 0..FAN_IN + 1 {
                assert_eq!(found(index, id(pack * 300 + 299)), [pack * PACK_LEAVES + 299]);
            }
            assert_eq!(found(index, 42).len() as u64, FAN_IN + 1);
            assert!(found(index, id(1 << 40)).is_empty());
        };
        hold(&index);
        index.merge().expect("merges");
        assert_eq!(index.all().len(), 2);
        hold(&index);
        let_go(&mut index.runs.write().unwrap(), 0);
        assert!(index.all().iter().all(|run| run.guide_size() == 0));
        hold(&index);
        let (again, missing) = Index::open(store, FAN_IN + 1).expect("opens");
        assert!(missing.is_empty());
        assert!(again.all().iter().all(|run| run.guide_size() > 0));
        hold(&again);
    }

    #[test]
    fn the_oldest_guides_go_first() {
        let store = Arc::new(MemoryStore::default());
        let (index, _) = Index::open(store, 0).expect("opens");
        (0..3).for_each(|pack| index.add(pack, &mut [(id(pack), 0)]).expect("written"));
        let mut runs = index.runs.write().unwrap();
        let two = 2 * runs[&0].guide_size();
        let_go(&mut runs, two);
        let kept: Vec<bool> = runs.values().map(|run| run.guide_size() > 0).collect();
        assert_eq!(kept, [false, true, true]);
    }
}
