//! Sixteen runs into one.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{Entry, IndexError, Run, encode};
use crate::{PACK_LEAVES, store::Store};

/// The bytes of the run over all packs of `runs`, which are side by side.
///
/// Decodes each run into 12 bytes an entry: sixteen packs of seven keys a record take about 88 MB while
/// they are merged; wider merges are rarer by their width.
pub(super) fn merge(store: &dyn Store, runs: &[Arc<Run>]) -> Result<Vec<u8>, IndexError> {
    let first = runs[0].packs.start;
    let mut lists: Vec<Vec<Entry>> = Vec::with_capacity(runs.len());
    for run in runs {
        let bytes = store.read(&run.path)?;
        let shift = ((run.packs.start - first) * PACK_LEAVES) as u32;
        // An entry takes a byte at least: a wrong number must not ask for more memory than there is.
        let mut list = Vec::with_capacity(bytes.len().min(run.entries as usize));
        run.each_entry(&bytes, &mut |(hash, offset)| list.push((hash, offset + shift)))?;
        lists.push(list);
    }
    let packs = first..runs[runs.len() - 1].packs.end;
    Ok(encode(packs, Merged::new(&lists)))
}

/// Sorted lists as one sorted list.
#[derive(Clone)]
struct Merged<'l> {
    lists: &'l [Vec<Entry>],
    next: BinaryHeap<Reverse<(Entry, usize, usize)>>,
}

impl<'l> Merged<'l> {
    fn new(lists: &'l [Vec<Entry>]) -> Self {
        let next = lists
            .iter()
            .enumerate()
            .filter_map(|(list, entries)| Some(Reverse((*entries.first()?, list, 0))))
            .collect();
        Merged { lists, next }
    }
}

impl Iterator for Merged<'_> {
    type Item = Entry;
    fn next(&mut self) -> Option<Entry> {
        let Reverse((entry, list, at)) = self.next.pop()?;
        if let Some(following) = self.lists[list].get(at + 1) {
            self.next.push(Reverse((*following, list, at + 1)));
        }
        Some(entry)
    }
}
