//! Sessions (MCP 2025-11-25), and what in each has no answer yet.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use http::HeaderValue;
use tokio::sync::Notify;

use super::streams::{Place, Sent, Streams};
use crate::{
    door::{Caller, Door},
    guard::Pending,
    message::Id,
    method,
};

/// Sessions of a server at a time; the one that was silent longest makes room.
const MOST: usize = 16_384;
/// Requests of a session without an answer at a time.
const MOST_PENDING: usize = 4096;

/// What has no answer yet: of one session, or of one request that belongs to none.
#[derive(Default)]
pub(super) struct Calls {
    tables: Mutex<Tables>,
}

/// An id that a request took, which is decided on; free again once this is dropped.
pub(super) struct Taken {
    calls: Arc<Calls>,
    id: Id,
    off: Arc<Off>,
}

impl Taken {
    /// Returns once the client has called it off.
    pub(super) async fn is_called_off(&self) {
        self.off.told.notified().await;
    }
}

/// Whether the client has called a request off while it was decided on, or a human was waited for.
#[derive(Default)]
struct Off {
    is_off: AtomicBool,
    told: Notify,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.calls.tables().deciding.remove(&self.id);
    }
}

#[derive(Default)]
struct Tables {
    /// Ids of what the client asks, and what is decided on.
    deciding: HashMap<Id, Arc<Off>>,
    /// What the client asked.
    pending: HashMap<Id, Pending>,
    /// What the server asked.
    asked: HashMap<Id, Pending>,
    /// What was ever kept from the caller of anything.
    masked: BTreeSet<String>,
    /// What can be taken up again.
    streams: Streams,
}

impl Calls {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `id` for a request that is asked now. Two of one id could not be told apart in the answers, nor what
    /// is kept from the caller of one from that of the other: so it is taken before anything is decided.
    ///
    /// # Errors
    /// It may not be asked now.
    pub(super) fn take_id(self: &Arc<Self>, id: &Id) -> Result<Taken, &'static str> {
        let mut tables = self.tables();
        if tables.pending.contains_key(id) || tables.deciding.contains_key(id) {
            return Err("a request of this id has no answer yet");
        }
        if tables.pending.len() + tables.deciding.len() >= MOST_PENDING {
            return Err("too many requests have no answer yet");
        }
        let off = Arc::<Off>::default();
        tables.deciding.insert(id.clone(), off.clone());
        drop(tables);
        Ok(Taken { calls: self.clone(), id: id.clone(), off })
    }

    /// It was decided on, and is sent.
    ///
    /// # Errors
    /// It was called off meanwhile, and is not to be sent.
    pub(super) fn begin(&self, taken: Taken, pending: Pending) -> Result<Arc<Sent>, Box<Pending>> {
        let sent = Sent::new(taken.id.clone(), &pending);
        let mut tables = self.tables();
        let is_off = taken.off.is_off.load(Ordering::Relaxed);
        if !is_off {
            tables.masked.extend(pending.mask.iter().cloned());
            tables.pending.insert(taken.id.clone(), pending);
            drop(tables);
            return Ok(sent);
        }
        drop(tables);
        Err(Box::new(pending))
    }

    /// The client calls the request of that id off; whether it is still decided on, so that the server has not heard of it.
    pub(super) fn call_off(&self, id: &Id) -> bool {
        let tables = self.tables();
        let Some(off) = tables.deciding.get(id) else { return false };
        off.is_off.store(true, Ordering::Relaxed);
        off.told.notify_one();
        true
    }

    /// The request of that id, which stays without an answer.
    pub(super) fn look(&self, id: &Id) -> Option<Pending> {
        self.tables().pending.get(id).cloned()
    }

    /// What is kept from the caller of what has no answer yet.
    pub(super) fn masked(&self) -> BTreeSet<String> {
        Pending::masked(self.tables().pending.values())
    }

    /// What was ever kept from the caller of anything.
    pub(super) fn ever_masked(&self) -> BTreeSet<String> {
        self.tables().masked.clone()
    }

    /// Whether the request of that id waits for whatever may happen.
    pub(super) fn listens(&self, id: &Id) -> bool {
        self.tables().pending.get(id).is_some_and(|pending| pending.intent.method == method::LISTEN)
    }

    /// The request of that id, whichever it is, which is answered or called off now.
    pub(super) fn take_any(&self, id: &Id) -> Option<Pending> {
        self.tables().pending.remove(id)
    }

    /// That very request, which is answered now: another one of its id is none of its.
    pub(super) fn take(&self, sent: &Sent) -> Option<Pending> {
        let mut tables = self.tables();
        if is_pending(&tables.pending, sent) { tables.pending.remove(&sent.id) } else { None }
    }

    /// Notes where `event` stands.
    pub(super) fn note_event(&self, event: &str, place: Place) {
        let mut tables = self.tables();
        let Tables { streams, pending, .. } = &mut *tables;
        streams.note(event, place, |sent| is_pending(pending, sent));
    }

    /// Where `event` stands; `None` where nobody heard it in this session, or too long ago.
    pub(super) fn place(&self, event: &str) -> Option<Place> {
        self.tables().streams.place(event)
    }

    /// Whether the server asked something under that id, and was not answered yet.
    pub(super) fn is_asked(&self, id: &Id) -> bool {
        self.tables().asked.contains_key(id)
    }

    pub(super) fn server_asked(&self, id: Id, pending: Pending) {
        self.tables().asked.insert(id, pending);
    }

    /// What the server asked under that id, which the client answers now.
    pub(super) fn take_asked(&self, id: &Id) -> Option<Pending> {
        self.tables().asked.remove(id)
    }

    /// Everything without an answer.
    pub(super) fn abandon(&self) -> Vec<Pending> {
        let mut tables = self.tables();
        let pending: Vec<_> = tables.pending.drain().map(|(_, pending)| pending).collect();
        pending.into_iter().chain(tables.asked.drain().map(|(_, asked)| asked)).collect()
    }
}

/// Whether `sent` has no answer yet, and not another request of its id.
fn is_pending(pending: &HashMap<Id, Pending>, sent: &Sent) -> bool {
    pending.get(&sent.id).is_some_and(|pending| pending.intent.id == sent.pending.intent.id)
}

/// A session that a server began.
pub(super) struct Session {
    /// As the server calls it.
    pub(super) id: HeaderValue,
    pub(super) door: Door,
    pub(super) calls: Arc<Calls>,
    used: Mutex<Instant>,
}

/// The sessions of a server.
#[derive(Default)]
pub(super) struct Sessions {
    all: Mutex<HashMap<HeaderValue, Arc<Session>>>,
}

impl Sessions {
    fn all(&self) -> MutexGuard<'_, HashMap<HeaderValue, Arc<Session>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session `id`, where it is `caller`'s: nobody goes on with somebody else's.
    pub(super) fn of(&self, id: &HeaderValue, caller: &Caller) -> Option<Arc<Session>> {
        let session = self.all().get(id).filter(|session| session.door.caller().is_like(caller)).cloned()?;
        *session.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Some(session)
    }

    /// Notes a session that was begun; what another had to make room for is abandoned.
    pub(super) fn begin(&self, id: HeaderValue, door: Door, calls: Arc<Calls>) -> Option<Arc<Session>> {
        let session = Session { id: id.clone(), door, calls, used: Mutex::new(Instant::now()) };
        let mut all = self.all();
        let used = |session: &Session| *session.used.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = (all.len() >= MOST)
            .then(|| all.iter().min_by_key(|(_, session)| used(session)).map(|(id, _)| id.clone()))
            .flatten();
        let gone = silent.and_then(|id| all.remove(&id));
        all.insert(id, Arc::new(session)).or(gone)
    }

    /// The session is over.
    pub(super) fn end(&self, id: &HeaderValue) -> Option<Arc<Session>> {
        self.all().remove(id)
    }
}
