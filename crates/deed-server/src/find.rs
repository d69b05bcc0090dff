//! Listing actions: by the index where a filter names an indexed key, else newest first.
//!
//! A search ends when the page is full, when everything was looked at, or when its time is up; the
//! page says which.

mod wanted;

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use deed_ledger::{Key, LedgerError};
use deed_record::{Ruling, Skeleton, Status, Timestamp, TraceId};
use deed_review::{ActionRow, ExplainError, action_row};
use serde::{Deserialize, Serialize};

use crate::{engine::AskError, evidence::LedgerEvidence};

pub(crate) use wanted::Wanted;

/// Actions of a page, unless asked for otherwise.
pub const DEFAULT_LIMIT: usize = 100;
/// Most actions of a page.
pub const MOST_ACTIONS: usize = 1000;
/// How long one search goes on.
const PATIENCE: Duration = Duration::from_secs(2);
/// Leaf indexes that are asked of the index at a time.
const STRIDE: usize = 256;

/// Which actions are wanted. What is left out does not matter.
///
/// Names of people, credentials and resources mean something only within a tenant: where one is given
/// and no tenant is, it is taken in `default`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// The trace it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceId>,
    /// Who asked: a key as it was sent, or an account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<String>,
    /// Who acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Who had any part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// Fingerprint, issuer's id or jti of the credential it was done with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
    /// The tool: `server/name`, or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// URI of the resource, as sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What a policy decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Ruling>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// It happened then or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// It happened before that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Stands in its operation, permission, tool, resource, session, task, environment, source or
    /// code, in either case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Most actions of the page, up to [`MOST_ACTIONS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Goes on where a page stopped: its `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

impl Filter {
    /// Whose actions are wanted, where that is said or needed.
    fn tenant(&self) -> Option<&str> {
        let named = [&self.initiator, &self.executor, &self.principal, &self.credential, &self.resource];
        self.tenant.as_deref().or(named.iter().any(|name| name.is_some()).then_some("default"))
    }
}

/// Actions, newest first by the time they were recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The actions.
    pub actions: Vec<ActionRow>,
    /// `before` of the next page; `null` where everything was looked at.
    pub next: Option<u64>,
    /// Why it stopped before everything was looked at: `limit` or `time`.
    pub stopped: Option<Stopped>,
    /// Records that were looked at.
    pub searched: u64,
}

/// Why a search stopped early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stopped {
    /// The page is full.
    Limit,
    /// Its time was up.
    Time,
}

/// One page of the actions that `filter` wants.
pub(crate) fn find(evidence: &LedgerEvidence<'_>, filter: &Filter) -> Result<Page, AskError> {
    let Some(wanted) = Wanted::of(evidence, filter)? else {
        // The tenant never recorded anything, so nobody is called that.
        return Ok(Page { actions: Vec::new(), next: None, stopped: None, searched: 0 });
    };
    let mut search = Search {
        evidence,
        filter,
        wanted,
        limit: filter.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_ACTIONS),
        end: Instant::now() + PATIENCE,
        page: Page { actions: Vec::new(), next: None, stopped: None, searched: 0 },
    };
    let keys = search.wanted.keys();
    if keys.is_empty() {
        search.scan()?
    } else {
        search.follow(&keys)?
    }
    Ok(search.page)
}

struct Search<'s> {
    evidence: &'s LedgerEvidence<'s>,
    filter: &'s Filter,
    wanted: Wanted<'s>,
    limit: usize,
    end: Instant,
    page: Page,
}

impl<'s> Search<'s> {
    /// Looks at what the index knows of `keys`, newest first.
    fn follow(&mut self, keys: &[Key<'_>]) -> Result<(), AskError> {
        let mut before = self.filter.before;
        loop {
            let mut indexes = Vec::new();
            // A key that gave as many as were asked for may have more below its last one.
            let mut known_down_to = 0;
            for key in keys {
                let found =
                    self.evidence.ledger().lookup(key, STRIDE, before).map_err(ExplainError::Evidence)?;
                if found.len() == STRIDE {
                    known_down_to = found.last().copied().unwrap_or(0).max(known_down_to);
                }
                indexes.extend(found);
            }
            indexes.sort_unstable_by(|a, b| b.cmp(a));
            indexes.dedup();
            for index in indexes.into_iter().filter(|index| *index >= known_down_to) {
                let leaf = self.evidence.ledger().leaf(index).map_err(ExplainError::Evidence)?.leaf;
                if self.look(index, &leaf)?.is_break() {
                    return Ok(());
                }
            }
            if known_down_to == 0 {
                return Ok(());
            }
            before = Some(known_down_to);
        }
    }

    /// Looks at every record, newest first, an entry bundle at a time.
    fn scan(&mut self) -> Result<(), AskError> {
        let snapshot = self.evidence.ledger().snapshot();
        let mut end = self.filter.before.unwrap_or(u64::MAX).min(snapshot.size());
        let mut leaves: Vec<(u64, Vec<u8>)> = Vec::new();
        while end > 0 {
            let start = (end - 1) / STRIDE as u64 * STRIDE as u64;
            leaves.clear();
            snapshot
                .scan(start..end, &mut |index, leaf| {
                    leaves.push((index, leaf.to_vec()));
                    ControlFlow::Continue(())
                })
                .map_err(ExplainError::Evidence)?;
            for (index, leaf) in leaves.iter().rev() {
                if self.look(*index, leaf)?.is_break() {
                    return Ok(());
                }
            }
            end = start;
        }
        Ok(())
    }

    /// Takes a record in if it is wanted; breaks when the search is over.
    fn look(&mut self, index: u64, leaf: &[u8]) -> Result<ControlFlow<()>, AskError> {
        let over = if self.page.actions.len() == self.limit {
            Some(Stopped::Limit)
        } else if Instant::now() >= self.end {
            Some(Stopped::Time)
        } else {
            None
        };
        if over.is_some() {
            self.page.stopped = over;
            self.page.next = Some(index + 1);
            return Ok(ControlFlow::Break(()));
        }
        self.page.searched += 1;
        let record = Skeleton::parse(leaf).map_err(|e| {
            ExplainError::Evidence(LedgerError::Broken(format!("leaf {index} is no record: {e}")))
        })?;
        if !self.evidence.shows(&record)
            || !self.wanted.has(&record)
            || !self.wanted.is_action(&record).map_err(ExplainError::Evidence)?
        {
            return Ok(ControlFlow::Continue(()));
        }
        let found = self.evidence.found(index).map_err(ExplainError::Evidence)?;
        let row = action_row(self.evidence, &found)?;
        if self.filter.status.is_none_or(|status| row.status == Some(status)) {
            self.page.actions.push(row);
        }
        Ok(ControlFlow::Continue(()))
    }
}
