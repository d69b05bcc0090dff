//! What somebody used, and by how many instances, devices and tasks.

use deed_record::{Account, Timestamp};
use sha2::{Digest, Sha256};

use crate::strings::{Strings, Sym};

use super::keys::Mark;

/// Permissions, tools and operations that are counted apart for one account.
pub(crate) const MOST_USED: usize = 32;
/// Instances, devices and tasks, of each, that are kept of one account or credential.
pub(crate) const MOST_SEEN: usize = 8;

/// What names that which was used.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum UsedAs {
    /// The record says which permission.
    Permission,
    /// It says no permission, but which tool.
    Tool,
    /// It says neither, but which operation.
    Operation,
}

/// What tells apart those who share an account or a credential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SeenBy {
    /// Instances of whoever acted: one run of an agent, one pod.
    Instance,
    /// Devices, as pseudonyms.
    Device,
    /// Tasks.
    Task,
}

impl SeenBy {
    /// Each of them.
    pub const ALL: &[SeenBy] = &[SeenBy::Instance, SeenBy::Device, SeenBy::Task];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            SeenBy::Instance => "instance",
            SeenBy::Device => "device",
            SeenBy::Task => "task",
        }
    }
}

/// Something that was used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    pub(crate) what: Sym,
    pub(crate) named_as: UsedAs,
    pub(crate) count: u32,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
}

impl Used {
    fn merge(&mut self, other: &Used) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// Whether there is room for `word` among `kept`, which are in the order of their words. Of too many the least are
/// kept, and those were never dropped: their counts hold whatever came first.
pub(crate) fn has_room(kept: &[Used], word: (&str, UsedAs), strings: &Strings) -> bool {
    kept.len() < MOST_USED || kept.last().is_some_and(|last| word <= (strings.word(last.what), last.named_as))
}

/// Adds what was used; whether something had to go for it.
pub(crate) fn add(kept: &mut Box<[Used]>, used: Used, strings: &Strings) -> bool {
    let same = |other: &&mut Used| other.what == used.what && other.named_as == used.named_as;
    if let Some(known) = kept.iter_mut().find(same) {
        known.merge(&used);
        return false;
    }
    let name = |used: &Used| (strings.word(used.what), used.named_as);
    let mut all = std::mem::take(kept).into_vec();
    let at = all.partition_point(|other| name(other) < name(&used));
    all.insert(at, used);
    let over = all.len() > MOST_USED;
    all.truncate(MOST_USED);
    *kept = all.into_boxed_slice();
    over
}

/// An instance, a device or a task, by a digest: there are too many names to keep each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) by: SeenBy,
    pub(crate) digest: [u8; 7],
    pub(crate) first: Mark,
    pub(crate) last: Timestamp,
}

impl Seen {
    /// `name`, as `account` shows it: instances of two agents are two, whatever they are called.
    pub(crate) fn of(by: SeenBy, account: Option<Account>, name: &[u8], mark: Mark) -> Self {
        let account = account.filter(|_| by == SeenBy::Instance).map_or([0; 16], |account| account.0);
        let mut hasher = Sha256::new();
        hasher.update(account);
        hasher.update(name);
        let mut digest = [0; 7];
        digest.copy_from_slice(&hasher.finalize()[..7]);
        Seen { by, digest, first: mark, last: mark.0 }
    }
}

/// Those of one account or credential, in order; of too many of a sort the least digests.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllSeen {
    pub(crate) kept: Box<[Seen]>,
    /// A bit for each sort of which there are more.
    pub(crate) more: u8,
}

impl AllSeen {
    pub(crate) fn add(&mut self, seen: Seen) {
        let name = |seen: &Seen| (seen.by, seen.digest);
        match self.kept.binary_search_by_key(&name(&seen), name) {
            Ok(at) => {
                let known = &mut self.kept[at];
                known.first = known.first.min(seen.first);
                known.last = known.last.max(seen.last);
            }
            Err(at) => {
                let start = self.kept.partition_point(|other| other.by < seen.by);
                let end = self.kept.partition_point(|other| other.by <= seen.by);
                let full = end - start == MOST_SEEN;
                if full {
                    self.more |= 1 << seen.by as u8;
                }
                if full && at == end {
                    return;
                }
                let mut kept = std::mem::take(&mut self.kept).into_vec();
                kept.insert(at, seen);
                if full {
                    kept.remove(end);
                }
                self.kept = kept.into_boxed_slice();
            }
        }
    }

    /// Most accounts and credentials show none: what is not there takes no room.
    pub(crate) fn merge(one: &mut Option<Box<AllSeen>>, other: Option<&AllSeen>) {
        if let Some(other) = other {
            let one = one.get_or_insert_default();
            other.kept.iter().for_each(|seen| one.add(*seen));
            one.more |= other.more;
        }
    }

    pub(crate) fn of(&self, by: SeenBy) -> impl Iterator<Item = &Seen> {
        self.kept.iter().filter(move |seen| seen.by == by)
    }

    pub(crate) fn is_more(&self, by: SeenBy) -> bool {
        self.more & (1 << by as u8) != 0
    }
}
