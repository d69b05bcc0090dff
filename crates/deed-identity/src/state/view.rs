//! What is known of a credential, looked at where it is kept: for whoever looks at one for each of millions of records.

use deed_record::{Account, Change, Timestamp};

use super::{CredentialEntry, CredentialKey, Rank, Role, State};

/// What is known of a credential by one of its names.
#[derive(Clone, Copy, Debug)]
pub struct CredentialView<'s>(&'s CredentialEntry);

impl State {
    /// The credential that goes by `key`, by each of its names; what [`State::credential`] puts together.
    pub fn views_of(&self, key: CredentialKey) -> impl Iterator<Item = CredentialView<'_>> {
        self.names_of(key).into_iter().filter_map(|name| self.credentials.get(&name)).map(CredentialView)
    }
}

impl<'s> CredentialView<'s> {
    /// Accounts that had to do with it, as far as they are kept.
    pub fn holders(self) -> impl Iterator<Item = (Account, Role)> + use<'s> {
        self.0.holders.iter().map(|holder| (holder.account, holder.role))
    }

    /// Whether there were more of those.
    pub fn more_holders(self) -> bool {
        self.0.more_holders
    }

    /// What became of it, and when somebody said so of the earliest time.
    pub fn changes(self) -> impl Iterator<Item = (Change, Timestamp)> + use<'s> {
        self.0.changes.iter().map(|entry| (entry.change, entry.first.0))
    }

    /// When somebody said last that this became of it.
    pub fn last(self, change: Change) -> Option<Timestamp> {
        self.0.changes.iter().filter(|entry| entry.change == change).map(|entry| entry.last).max()
    }

    /// What it was derived from, and how good the word is.
    pub fn parent(self) -> Option<(Rank, CredentialKey)> {
        self.0.parent
    }
}
