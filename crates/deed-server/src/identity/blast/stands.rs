//! What stands of a credential: whether it ended, whether it worked all the same, and whose it is.

use std::collections::BTreeSet;

use deed_identity::{Declarations, Standing};
use deed_ledger::{LedgerError, now};
use deed_record::{Change, Kind, Status, Timestamp};
use deed_review::report::second;

use super::{
    gather::{Hit, Known},
    tell::Teller,
};
use crate::identity::DeclaredIn;

/// Actions with a credential that ended, of which the end is looked up.
const MOST_LOOKED_UP: usize = 100;
/// Accounts that are told of where it is not known whose a credential is.
const MOST_HOLDERS: usize = 8;

const SUSPENDED: &str = "it is suspended at Deed's own doors, and nothing says that its issuer revoked it";
const REPLACED: &str = "it was replaced, and nothing says that it ended";

/// What stands of a credential now, by event time.
pub(super) fn standing(known: &Known) -> Standing {
    let said = |change: Change| ends(known).any(|(_, said)| said == change);
    if said(Change::Revoked) {
        Standing::Revoked
    } else if said(Change::Expired) || known.expires.is_some_and(|expires| expires <= now()) {
        Standing::Expired
    } else if said(Change::Rotated) {
        Standing::Rotated
    } else if known.begun.is_some() {
        Standing::Active
    } else {
        Standing::Unknown
    }
}

/// What was said of its end and not taken back since, oldest first.
fn ends(known: &Known) -> impl Iterator<Item = (Timestamp, Change)> {
    known.ended.iter().copied().filter(|(time, _)| known.begun.is_none_or(|begun| begun <= *time))
}

/// When it ended, and the first moment after that. What was replaced by another one may work on.
fn end(known: &Known) -> Option<(Timestamp, Timestamp)> {
    let said = ends(known).find(|(_, change)| *change != Change::Rotated).map(|(time, _)| time);
    let expired = known.expires.filter(|expires| *expires <= now()).map(|expires| (expires, expires));
    said.map(after).into_iter().chain(expired).min()
}

/// A time, and the first moment after it.
fn after(time: Timestamp) -> (Timestamp, Timestamp) {
    (time, Timestamp(time.0 + 1))
}

impl Teller<'_> {
    /// Whether a credential with these uses, in the order of time, is to be revoked; of one that was ended, replaced or
    /// suspended, why.
    pub(super) fn to_revoke(
        &self,
        known: &Known,
        uses: &[&Hit],
    ) -> Result<(bool, Option<String>), LedgerError> {
        let standing = standing(known);
        let replaced = ends(known).find(|(_, change)| *change == Change::Rotated).map(|(time, _)| time);
        let Some((since, first)) = end(known).or(replaced.map(after)) else {
            let suspended = known.suspended.is_some_and(|(_, stops)| stops);
            return Ok((true, suspended.then(|| SUSPENDED.to_owned())));
        };
        let worked = self.worked_from(uses, first)?;
        let ended = format!("{} {}", standing.as_str(), second(since));
        let why = worked.map(|time| format!("it worked {}, although it was {ended}", second(time)));
        Ok(match standing {
            // What takes the place of a password ends it.
            Standing::Rotated if !known.is_password() => (true, why.or(Some(REPLACED.to_owned()))),
            _ => (why.is_some(), why),
        })
    }

    /// When something was last done with a credential at or after `first`, with success.
    fn worked_from(&self, uses: &[&Hit], first: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let mut looked_up = 0;
        let later = uses.iter().rev().take_while(|hit| hit.time >= first);
        for hit in later.filter(|hit| !hit.handed_on) {
            let mut status = hit.status;
            if status.is_none() && hit.kind == Kind::Intent && looked_up < MOST_LOOKED_UP {
                looked_up += 1;
                status = self.ended(hit.id)?;
            }
            if status == Some(Status::Success) {
                return Ok(Some(hit.time));
            }
        }
        Ok(None)
    }

    /// Whose a credential may be: to whom it was issued, else who used it; one of each principal, by name.
    pub(super) fn holders(
        &mut self,
        known: &Known,
        declared: &DeclaredIn,
    ) -> Result<Vec<String>, LedgerError> {
        let those = if known.subjects.is_empty() { &known.users } else { &known.subjects };
        let mut principals = BTreeSet::new();
        let mut named = BTreeSet::new();
        for (account, leaf) in those {
            if declared.of(*account).is_none_or(|principal| principals.insert(principal)) {
                named.insert(self.called(*account, *leaf)?);
            }
        }
        Ok(named.into_iter().take(MOST_HOLDERS).collect())
    }
}
