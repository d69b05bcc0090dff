//! A map that keeps the entries with the greatest keys, and the same ones whatever came in which order.

use std::collections::BTreeMap;

/// Entries by keys that begin with a time. Of more than `most` the oldest go: what is kept was never dropped in
/// between, since more of what is newer only ever comes in addition (INVARIANT D6).
#[derive(Clone, Debug)]
pub(crate) struct Newest<K, V> {
    kept: BTreeMap<K, V>,
    most: usize,
    /// Something was dropped.
    pub(crate) more: bool,
}

impl<K: Ord + Copy, V> Newest<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Newest { kept: BTreeMap::new(), most: most.max(1), more: false }
    }

    /// Adds `value`, by `merge` where the key has one already.
    pub(crate) fn add(&mut self, key: K, value: V, merge: impl FnOnce(&mut V, V)) {
        if let Some(known) = self.kept.get_mut(&key) {
            merge(known, value);
            return;
        }
        self.kept.insert(key, value);
        if self.kept.len() > self.most {
            self.kept.pop_first();
            self.more = true;
        }
    }

    /// Every entry, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}
