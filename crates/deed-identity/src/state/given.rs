//! What is known of one grant, hand-over or source, and of what was tried in vain.

use deed_record::{Account, Change, RecordId, Timestamp};

use crate::strings::{Strings, Sym};

use super::{
    entry::{ChangeEntry, Rank, change, keep_greatest},
    facts::ChangeFacts,
    keys::{GrantKey, Mark},
};

/// Scopes that are kept of one grant.
pub(crate) const MOST_SCOPES: usize = 32;

/// What is known of one grant.
#[derive(Clone, Debug)]
pub(crate) struct GrantEntry {
    pub(crate) tenant: Sym,
    pub(crate) subject: Option<Account>,
    pub(crate) expires: Timestamp,
    pub(crate) uses: u64,
    pub(crate) first_used: Option<Mark>,
    pub(crate) last_used: Option<Mark>,
    pub(crate) changes: Box<[ChangeEntry]>,
    /// What it gives, as the last record that tells says.
    pub(crate) gives: Option<Box<Gives>>,
    /// The request that the last record names which gave it and names one.
    pub(crate) request: Option<(Mark, RecordId)>,
    pub(crate) names_approval: bool,
    /// The thing by which it was given, the least of several.
    pub(crate) thing: Option<GrantKey>,
    /// The first record that gave it, and the system whose log that is; the empty word where it is no log's.
    pub(crate) given: Option<(Mark, Sym)>,
}

/// What a grant gives.
#[derive(Clone, Debug)]
pub(crate) struct Gives {
    pub(crate) said: Mark,
    pub(crate) by: Option<Account>,
    pub(crate) role: Sym,
    pub(crate) resource: Sym,
    /// In the order of their words; the least of too many.
    pub(crate) scopes: Box<[Sym]>,
    pub(crate) more_scopes: bool,
}

/// What the records of one system come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceEntry {
    pub(crate) tenant: Sym,
    pub(crate) system: Sym,
    pub(crate) rank: Rank,
    pub(crate) records: u64,
    pub(crate) first: Mark,
    pub(crate) last: Mark,
    /// Records that say something is missing.
    pub(crate) gaps: u64,
    pub(crate) last_gap: Option<Mark>,
}

/// One account acted for another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkEntry {
    pub(crate) rank: Rank,
    pub(crate) count: u64,
    pub(crate) first: Mark,
    pub(crate) last: Mark,
}

/// Something that one account tried in vain within one stretch of time.
#[derive(Clone, Debug)]
pub(crate) struct TriedEntry {
    pub(crate) tenant: Sym,
    pub(crate) account: Account,
    /// The tool, permission or operation, cut; not among the words, for there may be very many.
    pub(crate) what: Box<str>,
    /// What it was tried on; empty where records do not say.
    pub(crate) resource: Box<str>,
    pub(crate) denied: u32,
    /// Denials that a check of its own tells of: the act that was denied may be told of, too.
    pub(crate) checked: u32,
    pub(crate) failed: u32,
    pub(crate) first: Mark,
    pub(crate) last: Mark,
}

impl TriedEntry {
    pub(crate) fn merge(&mut self, other: TriedEntry) {
        self.denied = self.denied.saturating_add(other.denied);
        self.checked = self.checked.saturating_add(other.checked);
        self.failed = self.failed.saturating_add(other.failed);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl GrantEntry {
    pub(crate) fn new(tenant: Sym) -> Self {
        GrantEntry {
            tenant,
            subject: None,
            expires: Timestamp(0),
            uses: 0,
            first_used: None,
            last_used: None,
            changes: Box::default(),
            gives: None,
            request: None,
            names_approval: false,
            thing: None,
            given: None,
        }
    }

    pub(crate) fn by(&mut self, thing: Option<GrantKey>) {
        self.thing = [self.thing, thing].into_iter().flatten().min();
    }

    /// When it was last given, or told of among those that stand.
    pub(crate) fn last_given(&self) -> Option<Timestamp> {
        let gives =
            |entry: &&ChangeEntry| matches!(entry.change, Change::Issued | Change::Renewed | Change::Altered);
        self.changes.iter().filter(gives).map(|entry| entry.last).max()
    }

    pub(crate) fn to(&mut self, subject: Option<Account>) {
        self.subject = match (self.subject, subject) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }

    pub(crate) fn given(&mut self, mark: Mark, system: Sym) {
        if self.given.is_none_or(|(known, _)| mark < known) {
            self.given = Some((mark, system));
        }
    }

    pub(crate) fn use_at(&mut self, mark: Mark, uses: u64) {
        self.uses += uses;
        self.first_used = Some(self.first_used.map_or(mark, |first| first.min(mark)));
        self.last_used = Some(self.last_used.map_or(mark, |last| last.max(mark)));
    }

    /// The last word on what it gives; of one moment and record, the greatest by its words.
    pub(crate) fn gives(&mut self, gives: Gives, strings: &Strings) {
        let order = |gives: &Gives| {
            let scopes = gives.scopes.iter().map(|scope| strings.word(*scope));
            let scopes: Vec<&str> = scopes.collect();
            (gives.said, gives.by, strings.word(gives.role), strings.word(gives.resource), scopes)
        };
        if self.gives.as_deref().is_none_or(|known| {
            gives.said > known.said || (gives.said == known.said && order(&gives) > order(known))
        }) {
            self.gives = Some(Box::new(gives));
        }
    }

    pub(crate) fn merge(&mut self, other: &GrantEntry, strings: &Strings, sym: &dyn Fn(Sym) -> Sym) {
        self.to(other.subject);
        self.expires = self.expires.max(other.expires);
        if let Some(first) = other.first_used {
            self.use_at(first, other.uses);
        }
        if let Some(last) = other.last_used {
            self.use_at(last, 0);
        }
        self.request = self.request.max(other.request);
        self.names_approval |= other.names_approval;
        self.by(other.thing);
        if let Some((mark, system)) = other.given {
            self.given(mark, sym(system));
        }
        if let Some(gives) = &other.gives {
            let scopes = gives.scopes.iter().map(|scope| sym(*scope)).collect();
            let gives = Gives { role: sym(gives.role), resource: sym(gives.resource), scopes, ..**gives };
            self.gives(gives, strings);
        }
        other.changes.iter().for_each(|entry| change(&mut self.changes, *entry));
    }
}

/// Times that are kept of one thing.
const MOST_TIMES: usize = 8;

/// When a thing that gives rights was removed, or told anew whom it gives them to; when a right was taken back by what it
/// was; when a lock was lifted: the newest words, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThingEntry {
    pub(crate) told: Box<[Word]>,
}

/// What one record says became of something.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Word {
    pub(crate) mark: Mark,
    pub(crate) change: Change,
    pub(crate) rank: Rank,
}

impl ThingEntry {
    pub(crate) fn at(&mut self, word: Word) {
        keep_greatest(&mut self.told, word, MOST_TIMES);
    }

    /// The first of them after `given`.
    pub(crate) fn after(&self, given: Timestamp) -> Option<Word> {
        self.told.iter().copied().find(|word| word.mark.0 > given)
    }
}

impl Word {
    pub(crate) fn told(self) -> ChangeFacts {
        let Word { mark, change, rank } = self;
        ChangeFacts { change, rank, count: 1, first: mark.0, last: mark.0, record: mark.id() }
    }
}

impl SourceEntry {
    pub(crate) fn merge(&mut self, other: &SourceEntry) {
        self.rank = self.rank.max(other.rank);
        self.records += other.records;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.gaps += other.gaps;
        self.last_gap = self.last_gap.max(other.last_gap);
    }
}

impl LinkEntry {
    pub(crate) fn merge(&mut self, other: &LinkEntry) {
        self.rank = self.rank.max(other.rank);
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}
