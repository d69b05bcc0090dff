//! Which actions have findings that nobody has looked at since: what there is to send.

use std::collections::BTreeSet;

use deed_record::RecordId;

/// Actions that are kept apart; beyond that, everything is looked at again.
const MOST: usize = 10_000;

/// Nothing is kept until somebody watches.
#[derive(Default)]
pub(super) struct Fresh {
    watched: bool,
    actions: BTreeSet<RecordId>,
    all: bool,
}

/// What to look at.
pub(super) enum News {
    /// Every action with findings.
    All,
    /// These.
    Of(BTreeSet<RecordId>),
}

impl Fresh {
    /// Action `id` was judged, and something was found.
    pub(super) fn note(&mut self, id: RecordId) {
        if self.watched && !self.all {
            self.actions.insert(id);
            self.all = self.actions.len() > MOST;
        }
    }

    /// What was found in an earlier time was taken up: nobody has looked at any of it.
    pub(super) fn note_all(&mut self) {
        self.all = true;
    }

    /// What came since the last time; everything the first time.
    pub(super) fn take(&mut self) -> News {
        let first = !std::mem::replace(&mut self.watched, true);
        let actions = std::mem::take(&mut self.actions);
        if first || std::mem::take(&mut self.all) { News::All } else { News::Of(actions) }
    }
}
