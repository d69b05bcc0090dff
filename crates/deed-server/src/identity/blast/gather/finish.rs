//! Putting in order what was gathered, so that nothing depends on what was found first.

use std::{collections::HashSet, mem};

use deed_ledger::LedgerError;
use deed_record::RecordId;

use super::{super::paths::Node, Beside, Gathered, Gatherer, Known, Made};

impl Gatherer<'_> {
    /// Puts everything in order, the same whichever was found first; how many leaves told of it.
    pub(super) fn finish(mut self) -> Result<(usize, Gathered), LedgerError> {
        self.put_in_order();
        let passwords = self.take_nameless()?;
        let nearest = self.paths.shortest(self.found.credentials.len(), self.found.made.len());
        for (at, known) in self.found.credentials.iter_mut().enumerate() {
            known.depth = nearest.depth(Node::Credential(at));
            known.parent = nearest.parent(at);
        }
        let with = |at: usize| (Some(at), nearest.depth(Node::Credential(at)));
        for (at, hit) in self.found.hits.iter_mut().enumerate() {
            let beside = self.beside.get(&at).and_then(|beside| beside.first().copied());
            (hit.credential, hit.depth) = match (hit.credential, beside) {
                (Some(at), _) | (None, Some(Beside::Upstream(at))) => with(at),
                (None, Some(Beside::Made(at))) => {
                    (passwords.get(&at).copied(), nearest.depth(Node::Made(at)))
                }
                (None, Some(Beside::HandedOn(at))) => {
                    hit.handed_on = true;
                    let (credential, depth) = with(at);
                    (credential, depth + 1)
                }
                (None, None) => (None, 0),
            };
        }
        let found = &mut self.found;
        // Corrected readings of an event give way to the one that corrects them.
        let corrected: HashSet<RecordId> =
            found.hits.iter().filter(|hit| hit.event != 0).filter_map(|hit| hit.supersedes).collect();
        found.hits.retain(|hit| !corrected.contains(&hit.id));
        found.changes.retain(|change| !corrected.contains(&change.id));
        // A further view of an action that is here itself is no other action.
        let ids: HashSet<RecordId> = found.hits.iter().map(|hit| hit.id).collect();
        found.hits.retain(|hit| hit.part_of.is_none_or(|action| !ids.contains(&action)));
        found.hits.sort_unstable_by_key(|hit| (hit.time, hit.id));
        found.changes.sort_unstable_by_key(|change| (change.time, change.id));
        found.changes.dedup_by_key(|change| change.id);
        let told = found.hits.len()
            + found
                .credentials
                .iter()
                .filter(|known| known.issued.is_some() || !known.ended.is_empty() || known.kind.is_some())
                .count();
        Ok((told, self.found))
    }

    /// Numbers credentials by their names, and those who were made by what they are, rather than as they were found.
    fn put_in_order(&mut self) {
        let credentials = mem::take(&mut self.found.credentials);
        let count = credentials.len();
        let mut standing: Vec<(usize, Known)> =
            credentials.into_iter().enumerate().filter(|(at, _)| !self.same.contains_key(at)).collect();
        standing.sort_by(|(at, one), (other_at, other)| {
            (*at != 0, &one.names).cmp(&(*other_at != 0, &other.names))
        });
        let mut of_standing = vec![0; count];
        for (new, (old, _)) in standing.iter().enumerate() {
            of_standing[*old] = new;
        }
        let numbers: Vec<usize> = (0..count).map(|at| of_standing[self.one(at)]).collect();
        // What is done with a password goes before what else its holder did.
        let mut made: Vec<(usize, Made)> = mem::take(&mut self.found.made).into_iter().enumerate().collect();
        made.sort_by_key(|(_, made)| (!made.by_password, *made));
        let mut of_made = vec![0; made.len()];
        for (new, (old, _)) in made.iter().enumerate() {
            of_made[*old] = new;
        }
        let found = &mut self.found;
        found.credentials = standing.into_iter().map(|(_, known)| known).collect();
        found.made = made.into_iter().map(|(_, made)| made).collect();
        found.hits.iter_mut().for_each(|hit| hit.credential = hit.credential.map(|at| numbers[at]));
        found.at_deed = found.at_deed.iter().map(|at| numbers[*at]).collect();
        self.paths.renumber(&numbers, &of_made);
        for beside in self.beside.values_mut() {
            let anew = beside.iter().map(|beside| match beside {
                Beside::Upstream(at) => Beside::Upstream(numbers[*at]),
                Beside::Made(at) => Beside::Made(of_made[*at]),
                Beside::HandedOn(at) => Beside::HandedOn(numbers[*at]),
            });
            *beside = anew.collect();
        }
        for issue in self.nameless.values_mut() {
            issue.with = issue.with.iter().map(|at| numbers[*at]).collect();
        }
    }
}
