//! Sixteen runs into one.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc};

use super::{Entry, IndexError, Run, encode, run::Entries};
use crate::{PACK_LEAVES, store::Store};

/// The bytes of the run over all packs of `runs`, which are side by side.
///
/// The runs are held in memory as they stand, some 5 MB for a pack, and read side by side.
pub(super) fn merge(store: &dyn Store, runs: &[Arc<Run>]) -> Result<Vec<u8>, IndexError> {
    let first = runs[0].packs.start;
    let mut bytes = Vec::with_capacity(runs.len());
    for run in runs {
        let read = store.read(&run.path)?;
        run.each_entry(&read, &mut |_| {})?;
        bytes.push(read);
    }
    let lists = runs.iter().zip(&bytes).map(|(run, bytes)| {
        let shift = ((run.packs.start - first) * PACK_LEAVES) as u32;
        (run.entries(bytes), shift)
    });
    let packs = first..runs[runs.len() - 1].packs.end;
    Ok(encode(packs, Merged::new(lists.collect())))
}

/// Sorted lists as one sorted list; what each adds to its leaves stands with it.
#[derive(Clone)]
struct Merged<'b> {
    lists: Vec<(Entries<'b>, u32)>,
    next: BinaryHeap<Reverse<(Entry, usize)>>,
}

impl<'b> Merged<'b> {
    fn new(lists: Vec<(Entries<'b>, u32)>) -> Self {
        let mut merged = Merged { next: BinaryHeap::with_capacity(lists.len()), lists };
        for list in 0..merged.lists.len() {
            let first = merged.first_of(list);
            merged.next.extend(first.map(Reverse));
        }
        merged
    }

    /// Takes the first entry of a list.
    fn first_of(&mut self, list: usize) -> Option<(Entry, usize)> {
        let (entries, shift) = &mut self.lists[list];
        entries.next().map(|(hash, offset)| ((hash, offset + *shift), list))
    }
}

impl Iterator for Merged<'_> {
    type Item = Entry;
    fn next(&mut self) -> Option<Entry> {
        let list = self.next.peek()?.0.1;
        match self.first_of(list) {
            Some(following) => {
                let mut first = self.next.peek_mut()?;
                Some(std::mem::replace(&mut *first, Reverse(following)).0.0)
            }
            None => self.next.pop().map(|first| first.0.0),
        }
    }
}
