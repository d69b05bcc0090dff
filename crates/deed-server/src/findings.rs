//! Findings about every action, kept up with the log as it grows, off the path of whoever appends.
//!
//! One thread follows the log, behind the one that folds identities: each record is screened, and what may deserve a
//! look is judged (`deed_review::review`). What deserves a look about identities is found when somebody asks
//! (`identities`). While nobody asks it works a part of its time at most (`following`); whoever asks has it
//! go on without a pause, and waits. What was found is kept in the store now and then, and thrown away where the
//! inventory says something else than when it was found.

mod fresh;
mod identities;
mod list;
mod settle;
mod snapshot;
#[cfg(feature = "sql")]
mod table;
mod told;

use std::{
    io,
    ops::{ControlFlow, Range},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use deed_ledger::{Check, Key, Ledger, LedgerError, PACK_LEAVES, Readers, day};
use deed_record::{Account, RecordId, Skeleton, Timestamp, Tried};
use deed_review::{
    ExplainError, IdentityFinding,
    review::{Affected, Flagged, Look, Review},
};
use deed_seal::hash::Hash;

use crate::{
    evidence::LedgerEvidence,
    following::{Desk, Late},
    identity::{Followed, Identities, IdentityError},
    joins::Joins,
    tuning::{Hiding, Tunings},
};

pub(crate) use list::{Everything, FindingQuery, identity_row, list};
pub use list::{FindingList, FindingRow};
#[cfg(feature = "sql")]
pub(crate) use table::Table;
pub(crate) use told::Told;

use fresh::{Fresh, News};
pub(crate) use identities::Standing;

/// Leaves that are screened while answers wait.
const BATCH: u64 = 1024;
/// How long to wait for identities to be folded as far as the log goes.
const FOLDED: Duration = Duration::from_secs(60);

/// Follows the log for one store. Stops when dropped.
pub(crate) struct Findings {
    kept: Arc<Kept>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What was found, and how far.
#[derive(Default)]
pub(crate) struct Reviewed {
    pub(crate) review: Review,
    /// Leaves that were screened.
    pub(crate) leaves: u64,
    /// Digest of the inventory that it was found by.
    inventory: String,
}

struct Kept {
    ledger: Ledger,
    origin: Arc<str>,
    joins: Arc<Joins>,
    identities: Arc<Identities>,
    tunings: Arc<Tunings>,
    reviewed: RwLock<Reviewed>,
    /// What was found about identities, the last time that somebody asked.
    found: Mutex<Option<Arc<Standing>>>,
    /// What was found since somebody looked.
    fresh: Mutex<Fresh>,
    /// Held by whoever reviews.
    working: Mutex<Working>,
    desk: Desk,
}

#[derive(Default)]
struct Working {
    loaded: bool,
    /// Leaves of what the store has.
    saved: u64,
}

/// Why nobody can be told what deserves a look now.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// It takes longer than the caller waits.
    #[error("findings are reviewed up to leaf {at} of {of}; ask again in a moment")]
    Behind {
        /// Leaves that are reviewed.
        at: u64,
        /// Leaves there are.
        of: u64,
    },
    /// The log cannot be reviewed.
    #[error("findings cannot be reviewed: {0}")]
    Failed(String),
    /// What identities are cannot be told.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A record cannot be judged.
    #[error(transparent)]
    Judging(#[from] ExplainError<LedgerError>),
    /// The store cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What reviewing everything again came to.
pub(crate) struct Again {
    pub(crate) leaves: u64,
    pub(crate) actions: u64,
    pub(crate) digest: String,
    pub(crate) same: bool,
    pub(crate) problem: Option<String>,
}

impl Findings {
    /// Follows `ledger`, `percent` hundredths of a core's time at most while nobody asks.
    pub(crate) fn open(
        ledger: Ledger,
        joins: Arc<Joins>,
        identities: Arc<Identities>,
        tunings: Arc<Tunings>,
        percent: u8,
    ) -> io::Result<Self> {
        let kept = Arc::new(Kept {
            origin: ledger.origin().into(),
            ledger,
            joins,
            identities,
            tunings,
            reviewed: RwLock::default(),
            found: Mutex::default(),
            fresh: Mutex::default(),
            working: Mutex::default(),
            desk: Desk::new(percent),
        });
        let following = kept.clone();
        let thread = thread::Builder::new().name("findings".into()).spawn(move || following.follow())?;
        Ok(Findings { kept, thread: Mutex::new(Some(thread)) })
    }

    /// Everything that is in the log by now, reviewed.
    ///
    /// # Errors
    /// It takes longer than `patience`, or cannot be done.
    pub(crate) fn now(&self, patience: Duration) -> Result<RwLockReadGuard<'_, Reviewed>, ReviewError> {
        let kept = &self.kept;
        let wanted = kept.ledger.size();
        let inventory = kept.joins.inventory_digest();
        let look = || {
            let reviewed = kept.read();
            let settled = reviewed.leaves >= wanted && !reviewed.review.is_unsettled();
            if settled && reviewed.inventory == inventory { Ok(reviewed) } else { Err(reviewed.leaves) }
        };
        kept.desk.until(wanted, patience, look).map_err(|late| match late {
            Late::Behind(at) => ReviewError::Behind { at, of: wanted },
            Late::Failed(why) => ReviewError::Failed(why),
        })
    }

    /// What was found of each of `actions`, and how many leaves are reviewed: all, unless that takes longer than `patience`.
    pub(crate) fn of(
        &self,
        actions: impl Iterator<Item = RecordId>,
        patience: Duration,
    ) -> (Vec<(RecordId, Flagged)>, u64) {
        let reviewed = self.now(patience).unwrap_or_else(|_| self.kept.read());
        let flagged = actions.filter_map(|id| Some((id, reviewed.review.of(id)?.clone()))).collect();
        (flagged, reviewed.leaves)
    }

    /// What deserves a look about the identities in `followed`, each with its tenant.
    ///
    /// # Errors
    /// A tenant's key cannot be read.
    pub(crate) fn about_identities(
        &self,
        followed: &Followed,
    ) -> Result<Arc<Vec<(String, IdentityFinding)>>, LedgerError> {
        Ok(self.standing(followed)?.findings.clone())
    }

    /// The same at an earlier moment, as far as what is kept tells.
    ///
    /// # Errors
    /// A tenant's key cannot be read.
    pub(crate) fn about_identities_at(
        &self,
        followed: &Followed,
        at: Timestamp,
    ) -> Result<Vec<(String, IdentityFinding)>, LedgerError> {
        let kept = &self.kept;
        identities::found_at(&kept.ledger, &kept.joins, &kept.tunings, followed, at)
    }

    /// The same as now, and since when.
    ///
    /// # Errors
    /// A tenant's key cannot be read.
    pub(crate) fn standing(&self, followed: &Followed) -> Result<Arc<Standing>, LedgerError> {
        let kept = &self.kept;
        let mut found = lock(&kept.found);
        if let Some(found) = found.as_ref().filter(|found| found.is_good(&kept.joins, followed)) {
            return Ok(found.clone());
        }
        let before = found.as_deref();
        let fresh = Standing::look(&kept.ledger, &kept.joins, &kept.tunings, followed, before)?;
        Ok(found.insert(Arc::new(fresh)).clone())
    }

    /// The same as of lately, for whoever is told of it as it arises: looked at once a minute and a twentieth of the time at
    /// most. `None` while identities are not folded.
    pub(crate) fn standing_lately(&self) -> Option<Arc<Standing>> {
        let kept = &self.kept;
        if let Some(found) = lock(&kept.found).as_ref().filter(|found| found.is_lately()) {
            return Some(found.clone());
        }
        let followed = kept.identities.as_it_is();
        let behind = kept.ledger.size().saturating_sub(followed.leaves);
        if followed.is_stale() || followed.leaves == 0 || behind > BATCH {
            return None;
        }
        match self.standing(&followed) {
            Ok(standing) => Some(standing),
            Err(error) => {
                tracing::warn!(%error, "what deserves a look about identities is not known now");
                None
            }
        }
    }

    /// Whether `rule` makes a finding of action `id`, as far as that is reviewed.
    pub(crate) fn is_found(&self, id: RecordId, rule: &str) -> bool {
        let reviewed = self.kept.read();
        reviewed.review.of(id).is_some_and(|flagged| flagged.findings.iter().any(|found| found.rule == rule))
    }

    /// Which findings are suppressed now; those about identities are known by what is `followed`.
    pub(crate) fn hiding<'h>(&'h self, followed: Option<&'h Followed>) -> Hiding<'h> {
        let state = followed.map(|followed| &followed.state);
        Hiding::new(&self.kept.ledger, &self.kept.joins, &self.kept.tunings, state)
    }

    /// The actions of which something was found since this was asked last; all that have findings at first.
    pub(crate) fn news(&self) -> Vec<(RecordId, Flagged)> {
        let news = lock(&self.kept.fresh).take();
        let reviewed = self.kept.read();
        let clone = |(id, flagged): (RecordId, &Flagged)| (id, flagged.clone());
        match news {
            News::All => reviewed.review.flagged().map(clone).collect(),
            News::Of(actions) => {
                actions.into_iter().filter_map(|id| Some(clone((id, reviewed.review.of(id)?)))).collect()
            }
        }
    }

    /// Reviews everything from the first leaf up to leaf `to`, and compares (INVARIANT D5). Identities are folded that far, and
    /// may be of more.
    ///
    /// # Errors
    /// The log cannot be read, or a record in it.
    pub(crate) fn again(&self, to: u64) -> Result<Again, ReviewError> {
        let kept = &self.kept;
        let mut working = lock(&kept.working);
        let problem = kept.load(&mut working);
        let to = to.max(kept.read().leaves);
        kept.review(to)?;
        let (before, size) = (digest(&kept.read().review), kept.ledger.size());
        kept.begin_anew();
        kept.review(to)?;
        let reviewed = kept.read();
        let digest = digest(&reviewed.review);
        // What came meanwhile may have found more.
        let same = before == digest || kept.ledger.size() > size;
        let actions = reviewed.review.len() as u64;
        let leaves = reviewed.leaves;
        drop(reviewed);
        kept.save(&mut working);
        Ok(Again { leaves, actions, digest, same: same && problem.is_none(), problem })
    }

    /// Whether the log can be followed.
    pub(crate) fn health(&self) -> Check {
        if let Some(trouble) = self.kept.desk.trouble() {
            return Check { name: "findings", ok: false, detail: trouble };
        }
        let reviewed = self.kept.read();
        let (at, of) = (reviewed.leaves, self.kept.ledger.size());
        let detail = match at < of {
            // A short process has hardly begun when it is asked.
            true => {
                format!("{at} of {of} records reviewed by now; whoever asks for findings waits for the rest")
            }
            false => {
                format!("{at} of {of} records reviewed; actions with findings: {}", reviewed.review.len())
            }
        };
        Check { name: "findings", ok: true, detail }
    }

    /// Stops following, and keeps what was found where that is worth it.
    pub(crate) fn close(&self) {
        self.kept.desk.stop();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that reviews findings panicked");
        }
    }
}

impl Drop for Findings {
    fn drop(&mut self) {
        self.close();
    }
}

impl Kept {
    fn follow(&self) {
        let turn = |hurried: bool| {
            let mut working = lock(&self.working);
            drop(self.load(&mut working));
            let turned = self.catch_up(if hurried { u64::MAX } else { BATCH * 4 });
            if turned.as_ref().is_ok_and(|behind| !behind) {
                self.save_if_due(&mut working);
            }
            turned
        };
        let left = || self.ledger.size().saturating_sub(self.read().leaves);
        self.desk.follow("reviewing findings", turn, left, |wanted| {
            let reviewed = self.read();
            wanted <= reviewed.leaves && !reviewed.review.is_unsettled()
        });
        let mut working = lock(&self.working);
        if working.loaded && self.read().leaves >= working.saved + PACK_LEAVES {
            self.save(&mut working);
        }
    }

    /// Takes up what the store has; what was there and could not be used.
    fn load(&self, working: &mut Working) -> Option<String> {
        if working.loaded {
            return None;
        }
        working.loaded = true;
        match snapshot::load(&self.ledger) {
            Some(reviewed) => {
                working.saved = reviewed.leaves;
                *self.write() = reviewed;
                // Whoever looked before this saw nothing of it.
                lock(&self.fresh).note_all();
                None
            }
            None => self
                .ledger
                .store()
                .size(snapshot::PATH)
                .is_ok()
                .then(|| format!("`{}` could not be used", snapshot::PATH)),
        }
    }

    /// Reviews what came since, `most` leaves at most; whether there is more.
    fn catch_up(&self, most: u64) -> Result<bool, ReviewError> {
        if self.read().inventory != self.joins.inventory_digest() {
            self.begin_anew();
        }
        let hurried = most == u64::MAX;
        let readers = if hurried { Readers::Two } else { Readers::One };
        let mut left = most;
        loop {
            self.settle(readers)?;
            let from = self.read().leaves;
            if from >= self.ledger.size() || left == 0 || self.desk.is_stopping() {
                return Ok(from < self.ledger.size() || self.read().review.is_unsettled());
            }
            // While nobody waits, nobody is made to hurry either.
            let folded = if hurried { self.identities.now(FOLDED)? } else { self.identities.as_it_is() };
            let to = folded.leaves.min(from + BATCH.min(left));
            if folded.is_stale() || to <= from {
                return Ok(true);
            }
            self.screen(from..to, readers, &folded)?;
            left -= to - from;
        }
    }

    /// Reviews up to leaf `to` by what is folded, beside whoever folds it again.
    fn review(&self, to: u64) -> Result<(), ReviewError> {
        if self.read().inventory != self.joins.inventory_digest() {
            self.begin_anew();
        }
        loop {
            self.settle(Readers::Two)?;
            let from = self.read().leaves;
            if from >= to || self.desk.is_stopping() {
                return Ok(());
            }
            let folded = self.identities.as_it_is();
            self.screen(from..to.min(from + BATCH), Readers::Two, &folded)?;
        }
    }

    /// Another inventory may find something else in any record.
    fn begin_anew(&self) {
        *self.write() = Reviewed { inventory: self.joins.inventory_digest(), ..Reviewed::default() };
    }

    /// Sees every record of `range`.
    fn screen(&self, range: Range<u64>, readers: Readers, folded: &Followed) -> Result<(), LedgerError> {
        let known = self.joins.now(&self.ledger);
        let mut reviewed = self.write();
        self.ledger.snapshot().records(range, readers, &mut |index, record| {
            reviewed.review.see(record, &folded.state, &known);
            reviewed.leaves = index + 1;
            Ok(())
        })
    }

    /// Keeps what was found once the log has grown by a quarter.
    fn save_if_due(&self, working: &mut Working) {
        if self.read().leaves >= working.saved + (working.saved / 4).max(PACK_LEAVES) {
            self.save(working);
        }
    }

    fn save(&self, working: &mut Working) {
        let reviewed = self.read();
        match snapshot::save(&self.ledger, &reviewed) {
            Ok(()) => working.saved = reviewed.leaves,
            // Found again at the next opening: slower, never wrong.
            Err(error) => tracing::warn!(%error, "what was found was not kept"),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Reviewed> {
        self.reviewed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Reviewed> {
        self.reviewed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Affected for LedgerEvidence<'_> {
    fn every(&self, look: &Look, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), LedgerError> {
        let mut each = |key: &Key<'_>| {
            self.ledger().lookup_each(key, None, &mut |_, record| {
                visit(record);
                ControlFlow::Continue(())
            })
        };
        match look {
            Look::Action(id) | Look::Beside(id) | Look::Denied(id) | Look::Tool(id) | Look::Right(id) => {
                each(&Key::Id(*id))
            }
            Look::Credential { tenant, name } => each(&Key::Credential { tenant, name }),
            Look::Trace(trace) => each(&Key::Trace(*trace)),
            Look::Relying(id) => {
                each(&Key::Id(*id))?;
                each(&Key::Ref(*id))?;
                each(&Key::Reliance(*id))
            }
        }
    }

    fn called(
        &self,
        tenant: &str,
        server: &str,
        name: &str,
        visit: &mut dyn FnMut(&Skeleton<'_>),
    ) -> Result<(), LedgerError> {
        self.ledger().lookup_each(&Key::Called { tenant, server, name }, None, &mut |_, record| {
            visit(record);
            ControlFlow::Continue(())
        })
    }

    fn acted(&self, account: Account, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), LedgerError> {
        self.ledger().lookup_each(&Key::Executor(account), None, &mut |_, record| {
            visit(record);
            ControlFlow::Continue(())
        })
    }

    fn asked(&self, account: Account, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), LedgerError> {
        self.ledger().lookup_each(&Key::Initiator(account), None, &mut |_, record| {
            visit(record);
            ControlFlow::Continue(())
        })
    }

    fn done(
        &self,
        account: Account,
        uri: &str,
        time: Timestamp,
        visit: &mut dyn FnMut(&Skeleton<'_>),
    ) -> Result<(), LedgerError> {
        let key = Key::Tried { tried: Tried::Done, account, uri, day: day(time) };
        self.ledger().lookup_each(&key, None, &mut |_, record| {
            visit(record);
            ControlFlow::Continue(())
        })
    }
}

fn digest(review: &Review) -> String {
    review.findings().map(|found| Hash::of(&found).to_string()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
