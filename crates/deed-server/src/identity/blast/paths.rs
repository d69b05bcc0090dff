//! What came from what: how far everything is from the credential that was asked for, and what it came from, the same in
//! whatever order it was found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use deed_record::{RecordId, Timestamp};

/// A credential or a principal that was made, by its number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Credential(usize),
    Made(usize),
}

/// Every step from one to the next.
#[derive(Default)]
pub(super) struct Paths {
    /// To a credential from the one that it came from, with the first record that says so.
    came: BTreeMap<(usize, usize), (Timestamp, RecordId)>,
    /// To a principal from the credential with which it was made.
    made: BTreeSet<(usize, usize)>,
    /// From a principal that was made to a credential with which it acted.
    acted: BTreeSet<(usize, usize)>,
}

impl Paths {
    pub(super) fn came(&mut self, at: usize, parent: usize, said: (Timestamp, RecordId)) {
        let first = self.came.entry((at, parent)).or_insert(said);
        *first = said.min(*first);
    }

    pub(super) fn made(&mut self, made: usize, with: usize) {
        self.made.insert((made, with));
    }

    pub(super) fn acted(&mut self, made: usize, with: usize) {
        self.acted.insert((made, with));
    }

    /// What a principal that was made acted with.
    pub(super) fn acted_with(&self, made: usize) -> Vec<usize> {
        self.acted.range((made, 0)..=(made, usize::MAX)).map(|(_, with)| *with).collect()
    }

    /// Puts other numbers in place of those of credentials and of principals that were made.
    pub(super) fn renumber(&mut self, credentials: &[usize], made: &[usize]) {
        let Paths { came, made: with, acted } = std::mem::take(self);
        for ((at, parent), said) in came {
            self.came(credentials[at], credentials[parent], said);
        }
        with.into_iter().for_each(|(at, by)| self.made(made[at], credentials[by]));
        acted.into_iter().for_each(|(at, with)| self.acted(made[at], credentials[with]));
    }

    /// The shortest way from the first credential to each of so many credentials and principals.
    pub(super) fn shortest(&self, credentials: usize, made: usize) -> Nearest {
        let mut next: Vec<Vec<(usize, u32)>> = vec![Vec::new(); credentials + made];
        self.came.keys().for_each(|(at, parent)| next[*parent].push((*at, 1)));
        self.made.iter().for_each(|(at, with)| next[*with].push((credentials + at, 1)));
        self.acted.iter().for_each(|(at, with)| next[credentials + at].push((*with, 0)));
        let mut depths = vec![u32::MAX; credentials + made];
        let mut todo = VecDeque::from([(0, 0)]);
        while let Some((at, depth)) = todo.pop_front() {
            if depth >= depths[at] {
                continue;
            }
            depths[at] = depth;
            for (to, step) in &next[at] {
                // Of steps that lead no further away all that follows is as near.
                if *step == 0 { todo.push_front((*to, depth)) } else { todo.push_back((*to, depth + 1)) }
            }
        }
        // The first one came from nothing that is followed. Of several that one came from the nearest is told, then the
        // first by its record.
        let mut parents: Vec<Option<(u32, Timestamp, RecordId, usize)>> = vec![None; credentials];
        for ((at, parent), (time, id)) in
            self.came.iter().filter(|((at, parent), _)| *at != 0 && at != parent)
        {
            let told = (depths[*parent], *time, *id, *parent);
            parents[*at] = Some(parents[*at].map_or(told, |other| other.min(told)));
        }
        Nearest { credentials, depths, parents: parents.into_iter().map(|told| Some(told?.3)).collect() }
    }
}

/// How far everything is, and what it came from.
pub(super) struct Nearest {
    credentials: usize,
    depths: Vec<u32>,
    parents: Vec<Option<usize>>,
}

impl Nearest {
    /// Steps from the first credential.
    pub(super) fn depth(&self, of: Node) -> u32 {
        let at = match of {
            Node::Credential(at) => at,
            Node::Made(at) => self.credentials + at,
        };
        self.depths.get(at).copied().filter(|depth| *depth != u32::MAX).unwrap_or_default()
    }

    /// The credential that credential `at` came from.
    pub(super) fn parent(&self, at: usize) -> Option<usize> {
        self.parents.get(at).copied().flatten()
    }
}
