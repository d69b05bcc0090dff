//! What records say about identities, folded from the log as it grows, off the path of whoever appends.
//!
//! One thread follows the log. While nobody asks it works a part of its time at most (`following`), and not at all in a process
//! that is done at once; whoever asks has it go on without a pause, and waits. What was folded is kept in the store
//! now and then (`snapshot`), so that opening a store of millions of records folds the newest only.

mod blast;
mod declared;
mod nameless;
mod names;
mod principal;
mod snapshot;
mod suspended;

use std::{
    collections::HashSet,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    thread::{self, JoinHandle},
    time::Duration,
};

use deed_identity::{Bounds, State};
use deed_ledger::{Check, Key, Ledger, LedgerError, PACK_LEAVES, Readers, Snapshot};
use deed_record::{RecordId, Skeleton};
use deed_review::corrects;

use crate::{
    evidence::parse,
    following::{Desk, Late},
};

pub(crate) use blast::{Asked, BlastQuery, blast};
pub use blast::{
    Blast, BlastCredential, BlastReview, BlastRow, Bypass, Changed as BlastChange, Tally as BlastTally,
};
pub(crate) use declared::DeclaredIn;
pub(crate) use names::credential_names;
pub(crate) use names::{Names, shown_name};
pub(crate) use principal::GrantRow;
pub(crate) use principal::principal;
pub use principal::{ChangeRow, PrincipalAnswer};
pub(crate) use snapshot::last_leaf;
pub(crate) use suspended::suspension_reasons;
pub use suspended::{LiftedRow, SuspensionRow};

/// Leaves that are folded while answers wait.
const BATCH: u64 = 1024;

/// Follows the log for one store. Stops when dropped.
pub(crate) struct Identities {
    kept: Arc<Kept>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What was folded, and how far.
#[derive(Default)]
pub(crate) struct Followed {
    pub(crate) state: State,
    /// Leaves that are in it.
    pub(crate) leaves: u64,
    /// Observations that a later one corrects: they are in no state.
    superseded: HashSet<RecordId>,
    /// One of those is in this state still: it is folded again before anybody is answered from it.
    stale: bool,
}

impl Followed {
    /// Whether something is in it that was corrected since.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }
}

struct Kept {
    ledger: Ledger,
    followed: RwLock<Followed>,
    /// Held by whoever folds.
    folding: Mutex<Folding>,
    desk: Desk,
}

#[derive(Default)]
struct Folding {
    loaded: bool,
    /// Leaves of the snapshot in the store.
    saved: u64,
    /// What was in the store and could not be used.
    problem: Option<String>,
}

/// Why nobody can be told about identities now.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// It takes longer than the caller waits.
    #[error("identities are folded up to leaf {at} of {of}; ask again in a moment")]
    Behind {
        /// Leaves that are folded.
        at: u64,
        /// Leaves there are.
        of: u64,
    },
    /// The log cannot be folded.
    #[error("identities cannot be folded: {0}")]
    Failed(String),
    /// The store cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What folding everything again came to.
pub(crate) struct Refolded {
    pub(crate) leaves: u64,
    pub(crate) entries: u64,
    pub(crate) digest: String,
    pub(crate) same: bool,
    pub(crate) problem: Option<String>,
}

impl Identities {
    /// Follows `ledger`, `percent` hundredths of a core's time at most while nobody asks.
    pub(crate) fn open(ledger: Ledger, percent: u8) -> io::Result<Self> {
        let kept = Arc::new(Kept {
            ledger,
            followed: RwLock::default(),
            folding: Mutex::default(),
            desk: Desk::new(percent),
        });
        let following = kept.clone();
        let thread = thread::Builder::new().name("identities".into()).spawn(move || following.follow())?;
        Ok(Identities { kept, thread: Mutex::new(Some(thread)) })
    }

    /// Everything that is in the log by now, folded.
    ///
    /// # Errors
    /// It takes longer than `patience`, or cannot be done.
    pub(crate) fn now(&self, patience: Duration) -> Result<RwLockReadGuard<'_, Followed>, IdentityError> {
        let kept = &self.kept;
        let wanted = kept.ledger.size();
        let look = || {
            let followed = kept.read();
            let ready = followed.leaves >= wanted && !followed.stale;
            if ready { Ok(followed) } else { Err(followed.leaves) }
        };
        kept.desk.until(wanted, patience, look).map_err(|late| match late {
            Late::Behind(at) => IdentityError::Behind { at, of: wanted },
            Late::Failed(why) => IdentityError::Failed(why),
        })
    }

    /// What is folded by now, without waiting for anything.
    pub(crate) fn as_it_is(&self) -> RwLockReadGuard<'_, Followed> {
        self.kept.read()
    }

    /// Folds what came by now, however long that takes; how many leaves that is.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn come(&self) -> Result<u64, LedgerError> {
        let mut folding = lock(&self.kept.folding);
        self.kept.load(&mut folding);
        self.kept.catch_up(&mut folding, None)?;
        Ok(self.kept.read().leaves)
    }

    /// Folds everything from the first leaf on, and compares (INVARIANT D5).
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn refold(&self) -> Result<Refolded, LedgerError> {
        let kept = &self.kept;
        let mut folding = lock(&kept.folding);
        kept.load(&mut folding);
        let problem = folding.problem.take();
        kept.catch_up(&mut folding, None)?;
        let (before, leaves) = {
            let followed = kept.read();
            (followed.state.digest(), followed.leaves)
        };
        // In one thread, for what else is derived again has the other.
        let mut fresh = kept.fold_part(HashSet::new(), 0..leaves)?;
        if fresh.stale {
            fresh = kept.fold_part(std::mem::take(&mut fresh.superseded), 0..leaves)?;
        }
        let digest = fresh.state.digest();
        let sizes = fresh.state.sizes();
        let entries = sizes.accounts + sizes.credentials + sizes.grants + sizes.links;
        *kept.write() = fresh;
        kept.save(&mut folding);
        Ok(Refolded { leaves, entries, same: before == digest && problem.is_none(), digest, problem })
    }

    /// Whether the log can be followed.
    pub(crate) fn health(&self) -> Check {
        if let Some(trouble) = self.kept.desk.trouble() {
            return Check { name: "identities", ok: false, detail: trouble };
        }
        let followed = self.kept.read();
        let sizes = followed.state.sizes();
        let (at, of) = (followed.leaves, self.kept.ledger.size());
        let mut detail = match at < of {
            // A short process has hardly begun when it is asked.
            true => format!("{at} of {of} records folded by now; whoever asks waits for the rest"),
            false => format!(
                "{at} of {of} records folded: {} accounts, {} credentials, {} grants",
                sizes.accounts, sizes.credentials, sizes.grants
            ),
        };
        let left_out = followed.state.left_out();
        left_out.iter().for_each(|what| detail.push_str(&format!("; {what}")));
        Check { name: "identities", ok: true, detail }
    }

    /// Stops following, and keeps what was folded where that is worth it.
    pub(crate) fn close(&self) {
        self.kept.desk.stop();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that folds identities panicked");
        }
    }
}

impl Drop for Identities {
    fn drop(&mut self) {
        self.close();
    }
}

impl Kept {
    fn follow(&self) {
        let turn = |hurried: bool| {
            let mut folding = lock(&self.folding);
            self.load(&mut folding);
            let turned = self.catch_up(&mut folding, if hurried { None } else { Some(BATCH * 4) });
            if turned.as_ref().is_ok_and(|behind| !behind) {
                self.save_if_due(&mut folding);
            }
            turned
        };
        let left = || self.ledger.size().saturating_sub(self.read().leaves);
        self.desk.follow("folding identities", turn, left, |wanted| wanted <= self.read().leaves);
        let mut folding = lock(&self.folding);
        if folding.loaded && self.read().leaves >= folding.saved + PACK_LEAVES {
            self.save(&mut folding);
        }
    }

    /// Takes up what the store has.
    fn load(&self, folding: &mut Folding) {
        if folding.loaded {
            return;
        }
        folding.loaded = true;
        if let Some(followed) = snapshot::load(&self.ledger, Bounds::default()) {
            folding.saved = followed.leaves;
            *self.write() = followed;
        } else if self.ledger.store().size(snapshot::PATH).is_ok() {
            folding.problem = Some(format!("`{}` could not be used", snapshot::PATH));
        }
    }

    /// Folds what came since, `limit` leaves at most; whether there is more.
    fn catch_up(&self, _: &mut Folding, limit: Option<u64>) -> Result<bool, LedgerError> {
        let mut left = limit.unwrap_or(u64::MAX);
        loop {
            let snapshot = self.ledger.snapshot();
            let from = self.read().leaves;
            if from < snapshot.size() {
                if left == 0 || self.desk.is_stopping() {
                    return Ok(true);
                }
                let to = snapshot.size().min(from + BATCH.min(left));
                let mut followed = self.write();
                self.fold(&snapshot, from..to, &mut followed)?;
                left -= to - from;
                continue;
            }
            let followed = self.read();
            if !followed.stale {
                return Ok(false);
            }
            // What was corrected is in it: all of it again, without.
            let (superseded, leaves) = (followed.superseded.clone(), followed.leaves);
            drop(followed);
            let fresh = self.fold_all(superseded, leaves)?;
            if fresh.leaves < leaves {
                return Ok(true);
            }
            *self.write() = fresh;
        }
    }

    /// Everything below leaf `to`, without what is known to be corrected: both halves at once, then put together
    /// (INVARIANT D6).
    fn fold_all(&self, superseded: HashSet<RecordId>, to: u64) -> Result<Followed, LedgerError> {
        let half = to / 2 - to / 2 % PACK_LEAVES;
        let known = superseded.clone();
        let (first, second) = thread::scope(|scope| {
            let folding = thread::Builder::new()
                .name("folding".into())
                .spawn_scoped(scope, || self.fold_part(superseded, 0..half))
                .map_err(|error| LedgerError::Broken(format!("no thread to fold in: {error}")))?;
            let second = self.fold_part(known, half..to);
            let first = folding.join().map_err(|_| LedgerError::Broken("folding panicked".into()))?;
            Ok::<_, LedgerError>((first?, second?))
        })?;
        if first.leaves < half {
            return Ok(first);
        }
        let (mut all, further) =
            if first.state.records() < second.state.records() { (second, first) } else { (first, second) };
        all.state.merge(&further.state);
        all.leaves = all.leaves.max(further.leaves);
        all.superseded.extend(further.superseded);
        all.stale |= further.stale;
        Ok(all)
    }

    /// The leaves of `range`, as far as there is time.
    fn fold_part(&self, superseded: HashSet<RecordId>, range: Range<u64>) -> Result<Followed, LedgerError> {
        let snapshot = self.ledger.snapshot();
        let mut fresh = Followed { superseded, leaves: range.start, ..Followed::default() };
        while fresh.leaves < range.end && !self.desk.is_stopping() {
            let batch = fresh.leaves..range.end.min(fresh.leaves + BATCH);
            self.fold(&snapshot, batch, &mut fresh)?;
        }
        Ok(fresh)
    }

    fn fold(&self, snapshot: &Snapshot, range: Range<u64>, into: &mut Followed) -> Result<(), LedgerError> {
        snapshot.records(range, Readers::One, &mut |index, record| {
            self.fold_one(record, into)?;
            into.leaves = index + 1;
            Ok(())
        })
    }

    fn fold_one(&self, record: &Skeleton<'_>, into: &mut Followed) -> Result<(), LedgerError> {
        if let Some(earlier) = record.supersedes
            && !into.superseded.contains(&earlier)
            && self.is_correction(record, earlier)?
        {
            into.superseded.insert(earlier);
            into.stale = true;
        }
        if !into.superseded.contains(&record.id) {
            into.state.fold(record);
        }
        Ok(())
    }

    /// Whether `later` may correct the record that it says it supersedes.
    fn is_correction(&self, later: &Skeleton<'_>, earlier: RecordId) -> Result<bool, LedgerError> {
        let Some(index) = self.ledger.lookup(&Key::Id(earlier), 1, None)?.first().copied() else {
            return Ok(false);
        };
        let sealed = self.ledger.leaf(index)?;
        Ok(corrects(later, &parse(&sealed)?))
    }

    /// Keeps what was folded once it has grown by a quarter: all that is ever written stays a small multiple of
    /// what is kept.
    fn save_if_due(&self, folding: &mut Folding) {
        let leaves = self.read().leaves;
        if leaves >= folding.saved + (folding.saved / 4).max(PACK_LEAVES) {
            self.save(folding);
        }
    }

    fn save(&self, folding: &mut Folding) {
        let followed = self.read();
        match snapshot::save(&self.ledger, &followed) {
            Ok(()) => folding.saved = followed.leaves,
            // Folded again at the next opening: slower, never wrong.
            Err(error) => tracing::warn!(%error, "what was folded of identities was not kept"),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Followed> {
        self.followed.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Followed> {
        self.followed.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
