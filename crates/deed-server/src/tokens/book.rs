//! What holds: which tokens were issued and revoked, read from the log when it is asked for first.
//!
//! The log is the only place where that is kept. No token lives longer than [`HORIZON`], so that no more of it
//! is read. A token whose record cannot be read any more, for somebody was erased, is not known and so does
//! not hold.

use std::{
    borrow::Cow,
    collections::HashSet,
    ops::ControlFlow,
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use deed_ledger::{Ledger, LedgerError, Snapshot, now};
use deed_record::{Change, Disclosable, Kind, Skeleton, Submission, Text, Timestamp};
use deed_token::{State, state::Event};
use memchr::memmem;
use serde_json::{Value, value::RawValue};
use tokio::sync::{OnceCell, watch};

/// Who writes the records of the token service.
pub(super) const SUBMITTER: &str = "deed:token";
/// The same, as it stands in a sealed record.
const SEALED_SUBMITTER: &[u8] = b"\"submitter\":\"deed:token\"";
/// What a record of an issued token discloses: the event that [`State`] is told.
const EVENT: &str = "event";
/// Nothing that was issued earlier holds, in microseconds: the longest life that settings allow, with an hour
/// to spare.
const HORIZON: i64 = 25 * 3600 * 1_000_000;

/// Which tokens hold.
#[derive(Default)]
pub(super) struct Book {
    state: RwLock<State>,
    loaded: OnceCell<()>,
    /// Counts what was revoked, for those that were shown it before.
    revoked: watch::Sender<u64>,
}

impl Book {
    /// Reads the log, once.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn load(&self, ledger: &Ledger) -> Result<(), LedgerError> {
        let read = || async {
            let ledger = ledger.clone();
            let read = tokio::task::spawn_blocking(move || read(&ledger, now())).await;
            let state = read.map_err(|error| LedgerError::Broken(error.to_string()))??;
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
            Ok(())
        };
        self.loaded.get_or_try_init(read).await.copied()
    }

    /// What holds now; after [`Book::load`].
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what is durably recorded.
    pub(super) fn apply(&self, event: &Event, now: Timestamp) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.apply(event);
        state.forget(now);
        drop(state);
        if matches!(event, Event::Revoked { .. }) {
            self.revoked.send_modify(|revoked| *revoked += 1);
        }
    }

    /// Changes whenever a token is revoked.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.revoked.subscribe()
    }

    /// Every name of a token and of all that it was made from: `jti`s, also of what was shown, and its fingerprints.
    pub(super) fn lineage(&self, jti: &str) -> Vec<String> {
        let state = self.state();
        let (mut names, mut seen) = (Vec::new(), HashSet::new());
        let mut next = Some(jti);
        while let Some(jti) = next.filter(|jti| seen.insert((*jti).to_owned())) {
            names.push(jti.to_owned());
            let Some(issued) = state.issued(jti) else { break };
            names.extend(issued.credentials.iter().map(ToString::to_string));
            names.extend(issued.shown.clone());
            next = issued.parent.as_deref();
        }
        names
    }
}

/// Adds to the record of an issued token what [`Book::load`] reads again.
pub(super) fn keep(record: &mut Submission<'static>, event: &Event) {
    let event = serde_json::to_string(event).unwrap_or_else(|_| "null".to_owned());
    record.disclose.0.push((Text::from(EVENT), Disclosable::Whole(Cow::Owned(event))));
}

fn read(ledger: &Ledger, now: Timestamp) -> Result<State, LedgerError> {
    let snapshot = ledger.snapshot();
    let start = first_since(ledger, &snapshot, Timestamp(now.0 - HORIZON))?;
    let mut ours = Vec::new();
    snapshot.scan(start..snapshot.size(), &mut |leaf, bytes| {
        if memmem::find(bytes, SEALED_SUBMITTER).is_some()
            && let Ok(record) = Skeleton::parse(bytes)
            && &*record.submitter == SUBMITTER
            && record.kind == Kind::Credential
        {
            let change = record.terms.and_then(|terms| terms.change);
            let jti = record.credential.and_then(|credential| credential.jti);
            ours.push((leaf, change, jti.map(|jti| jti.to_string()), record.recorded));
        }
        ControlFlow::Continue(())
    })?;
    let mut state = State::new();
    for (leaf, change, jti, recorded) in ours {
        match (change, jti) {
            (Some(Change::Issued | Change::Renewed), _) => {
                if let Some(event) = issued(ledger, leaf) {
                    state.apply(&event);
                }
            }
            (Some(Change::Revoked), Some(jti)) => {
                let not_after = (recorded.0 + HORIZON) / 1_000_000;
                state.apply(&Event::Revoked { jti, not_after });
            }
            _ => {}
        }
    }
    state.forget(now);
    Ok(state)
}

/// The first leaf that was recorded at `time` or later: times never decrease along a log.
fn first_since(ledger: &Ledger, snapshot: &Snapshot, time: Timestamp) -> Result<u64, LedgerError> {
    let (mut low, mut high) = (0, snapshot.size());
    while low < high {
        let middle = low + (high - low) / 2;
        if recorded(ledger, middle)? < time { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// When leaf `index` was recorded.
///
/// # Errors
/// It cannot be read.
pub(super) fn recorded(ledger: &Ledger, index: u64) -> Result<Timestamp, LedgerError> {
    let sealed = ledger.leaf(index)?;
    let record = sealed.skeleton();
    record
        .map(|record| record.recorded)
        .map_err(|error| LedgerError::Broken(format!("leaf {index} is no record: {error}")))
}

/// The event of an issued token; `None` where it was erased, or is none that this program knows.
fn issued(ledger: &Ledger, leaf: u64) -> Option<Event> {
    let disclosures = ledger.disclosures(leaf).inspect_err(|error| {
        tracing::warn!(%error, leaf, "a token holds no more: what it is cannot be read");
    });
    let opened = disclosures.ok()?;
    let event = opened.iter().find(|opened| opened.group.is_none() && opened.name == EVENT)?;
    let (_, _, event): (Value, String, Box<RawValue>) = serde_json::from_slice(&event.json).ok()?;
    serde_json::from_str(event.get()).ok()
}
