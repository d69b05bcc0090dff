//! A map that never holds more than so many entries, and holds the same ones whatever came in which order.

use std::{collections::HashMap, hash::Hash};

use foldhash::fast::RandomState;

/// What entries are filed under: a key whose first bytes are as good as random.
pub(crate) trait Uniform: Copy + Eq + Hash + Ord {
    /// Its first bits.
    fn bits(&self) -> u64;
}

/// Entries by key. When there are more than `most`, only keys that begin with one more zero bit are kept: which
/// ones those are depends on the keys alone, so that any order and any split keep the same (INVARIANT D6), and
/// what is kept was never dropped in between.
#[derive(Clone, Debug)]
pub(crate) struct Bounded<K, V> {
    /// Seeded at random: nobody can choose keys that fall together.
    kept: HashMap<K, V, RandomState>,
    most: usize,
    /// Zero bits that a key must begin with.
    level: u32,
}

impl<K: Uniform, V> Bounded<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Bounded { kept: HashMap::default(), most: most.max(1), level: 0 }
    }

    /// The entry of `key`, made by `new` where there is none; `None` where it is not among those that are kept.
    pub(crate) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        if !self.keeps(&key) {
            return None;
        }
        if self.kept.len() == self.most && !self.kept.contains_key(&key) {
            self.kept.insert(key, new());
            while self.kept.len() > self.most {
                self.raise(self.level + 1);
            }
            return self.kept.get_mut(&key);
        }
        Some(self.kept.entry(key).or_insert_with(new))
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.kept.get(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// One in `2^level` keys is kept.
    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    /// Keeps no more than a map of that level would.
    pub(crate) fn raise(&mut self, level: u32) {
        if level > self.level {
            self.level = level;
            self.kept.retain(|key, _| key.bits().leading_zeros() >= level);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.kept.iter()
    }

    /// Every entry, in the order of keys.
    pub(crate) fn sorted(&self) -> Vec<(&K, &V)> {
        let mut all: Vec<(&K, &V)> = self.kept.iter().collect();
        all.sort_unstable_by_key(|(key, _)| **key);
        all
    }

    fn keeps(&self, key: &K) -> bool {
        key.bits().leading_zeros() >= self.level
    }
}
