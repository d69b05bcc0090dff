//! One process, and who of its clients hears what it writes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncBufRead,
    sync::{Notify, mpsc},
    time::{sleep_until, timeout},
};

use super::wire::{self, Names};
use crate::{
    guard::Permit,
    lines::{Line, Lines},
    message::{self, Id, Message},
    method, refusal,
    relay::{Forward, LONGEST, answered_id, unread_answer},
};

/// Messages that wait for one client to read them.
const QUEUE: usize = 64;
/// How long one client may keep what others wait for from being read.
const SLOWEST: Duration = Duration::from_secs(2);
/// Requests without an answer at a time.
const MOST_PENDING: usize = 4096;
/// How long the server may go on to write about a request that was called off.
const ECHO: Duration = Duration::from_secs(5);
/// The notification by which a server tells how far a request is.
const PROGRESS: &str = "notifications/progress";
/// The notification by which it logs.
const LOG: &str = "notifications/message";

/// Whose process it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sort {
    /// One session's (2025-11-25).
    Session,
    /// Everybody's: requests know nothing of each other (2026-07-28).
    Shared,
}

/// What a client hears.
#[derive(Debug)]
pub(super) enum Piece {
    /// Something on the way to the answer.
    Message(String),
    /// The answer.
    Answer(String),
    /// It has answered, and nobody can read what: in a word why.
    Unread(&'static str),
    /// No more, and that is no failure.
    End,
}

/// Why a request was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The process has ended.
    Over,
    /// Too many have no answer.
    Full,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Process {
    sort: Sort,
    /// Gone once nothing is sent any more: then its standard input is closed.
    to_server: Mutex<Option<mpsc::Sender<Forward>>>,
    table: Mutex<Table>,
    ending: Notify,
}

#[derive(Debug)]
struct Table {
    /// The id of the request that was sent last, as the server knows it.
    last: i64,
    routes: BTreeMap<i64, Route>,
    /// The stream on which a session hears what belongs to no request.
    listener: Option<mpsc::Sender<Piece>>,
    /// What came while nobody listened.
    queued: VecDeque<String>,
    used: Instant,
    /// When a request that wanted to hear the log was called off last.
    called_off: Option<Instant>,
    has_answered: bool,
    is_over: bool,
}

/// A request without an answer.
#[derive(Debug)]
struct Route {
    id: Id,
    /// Its progress token, as the client wrote it.
    token: Option<String>,
    wants_log: bool,
    out: mpsc::Sender<Piece>,
}

impl Process {
    pub(super) fn new(sort: Sort) -> (Arc<Self>, mpsc::Receiver<Forward>) {
        let (to_server, forwards) = mpsc::channel(QUEUE);
        let table = Table {
            last: 0,
            routes: BTreeMap::new(),
            listener: None,
            queued: VecDeque::new(),
            used: Instant::now(),
            called_off: None,
            has_answered: false,
            is_over: false,
        };
        let process = Process {
            sort,
            to_server: Mutex::new(Some(to_server)),
            table: Mutex::new(table),
            ending: Notify::new(),
        };
        (Arc::new(process), forwards)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sender(&self) -> Option<mpsc::Sender<Forward>> {
        self.to_server.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends the request `text` by right of `permit`; what the server says of it comes piece by piece.
    pub(super) async fn ask(self: &Arc<Self>, permit: Permit, text: &str, id: Id) -> Result<Pieces, Unsent> {
        let names = Names::of(text);
        let is_shared = self.sort == Sort::Shared;
        let (out, pieces) = mpsc::channel(QUEUE);
        let token = names.wants_progress().map(str::to_owned);
        let route = Route { id, token, wants_log: names.wants_log(), out };
        let wire = self.table().begin(route)?;
        let pieces = Pieces { pieces, process: self.clone(), wire };
        let text = wire::on_one_line(&names.outward(text, wire, is_shared));
        match self.send(text, permit).await {
            true => Ok(pieces),
            false => Err(Unsent::Over),
        }
    }

    /// Sends what no answer follows; whether the server can still hear it.
    pub(super) async fn tell(&self, permit: Permit, text: &str) -> bool {
        self.table().used = Instant::now();
        self.send(wire::on_one_line(text), permit).await
    }

    /// Sends `text`, by which the client calls request `id` off. Of what has no answer to wait for the server hears
    /// nothing.
    pub(super) async fn call_off(&self, permit: Permit, text: &str, id: &Id) -> bool {
        let Some((wire, route)) = self.table().call_off(|_, route| route.id == *id) else {
            return !self.is_over();
        };
        let text = Names::of(text).cancels(text, wire);
        let is_sent = self.tell(permit, &text).await;
        self.deliver(&route.out, Piece::End).await;
        is_sent
    }

    async fn send(&self, text: String, by: Permit) -> bool {
        let Some(sender) = self.sender() else { return false };
        sender.send(Forward { text, by }).await.is_ok()
    }

    /// What belongs to no request, from now on. Whoever listened before hears no more.
    pub(super) fn listen(&self) -> Option<mpsc::Receiver<Piece>> {
        let (listener, pieces) = mpsc::channel(QUEUE);
        let mut table = self.table();
        if table.is_over {
            return None;
        }
        table.used = Instant::now();
        for text in table.queued.drain(..) {
            // INVARIANT: no more are queued than a listener has room for.
            if listener.try_send(Piece::Message(text)).is_err() {
                break;
            }
        }
        table.listener = Some(listener);
        Some(pieces)
    }

    pub(super) fn is_over(&self) -> bool {
        self.table().is_over
    }

    pub(super) fn has_answered(&self) -> bool {
        self.table().has_answered
    }

    /// Since when nobody has used it; `None` while somebody does, or listens.
    pub(super) fn unused(&self) -> Option<Instant> {
        let table = self.table();
        let listens = table.listener.as_ref().is_some_and(|listener| !listener.is_closed());
        (table.routes.is_empty() && !listens).then_some(table.used)
    }

    /// Asks it to end.
    pub(super) fn end(&self) {
        self.ending.notify_one();
    }

    /// Returns once it was asked to end.
    pub(super) async fn is_asked_to_end(&self) {
        self.ending.notified().await;
    }

    /// Returns once nobody has used it for `idle`.
    pub(super) async fn is_idle(&self, idle: Duration) {
        loop {
            let since = self.unused().unwrap_or_else(Instant::now);
            if since.elapsed() >= idle {
                return;
            }
            sleep_until((since + idle).into()).await;
        }
    }

    /// It has ended: nothing is sent any more, and nobody is answered.
    pub(super) fn is_ended(&self) {
        drop(self.to_server.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut table = self.table();
        table.is_over = true;
        table.routes.clear();
        table.listener = None;
    }

    /// Hands on what the server writes, until it ends.
    pub(super) async fn read(&self, stdout: impl AsyncBufRead + Unpin) {
        let mut lines = Lines::new(stdout, LONGEST);
        loop {
            match lines.next().await {
                Ok(Some(Line::Whole(line))) => self.hear(&line).await,
                Ok(Some(Line::TooLong { bytes, edges })) => self.too_long(bytes, &edges).await,
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "what a server writes cannot be read");
                    return;
                }
            }
        }
    }

    async fn hear(&self, line: &[u8]) {
        let text = str::from_utf8(line).unwrap_or_default();
        match Message::read(line) {
            Err(malformed) => {
                tracing::warn!(why = malformed.why, "what a server wrote is no message and was dropped");
                self.fail(unread_answer(line), refusal::MALFORMED).await;
            }
            Ok(Message::Response { id, .. }) => self.answer(text, id).await,
            Ok(Message::Notification { method, .. }) => self.notify(text, &method).await,
            Ok(Message::Request { id, method, .. }) => match self.sort {
                Sort::Session => self.say(text.to_owned()).await,
                Sort::Shared => {
                    tracing::warn!(method = &*method, "since 2026-07-28 servers ask nothing: it was dropped");
                    self.refuse(&id);
                }
            },
        }
    }

    async fn answer(&self, text: &str, id: Option<Id>) {
        let Some(Id::Number(wire)) = id else { return };
        let Some(route) = self.table().answered(wire) else { return };
        let answer = Names::of(text).answers(text, &route.id);
        self.deliver(&route.out, Piece::Answer(answer)).await;
    }

    /// A notification belongs to one client, or to none.
    async fn notify(&self, text: &str, method: &str) {
        let names = Names::of(text);
        if (method, self.sort) == (method::CANCELLED, Sort::Shared) {
            return self.end_subscription(names.request()).await;
        }
        let found = match (method, self.sort) {
            (PROGRESS, Sort::Shared) => self.of_progress(text, &names),
            (PROGRESS, Sort::Session) => {
                let out = names.progress().and_then(|token| self.table().of_token(token));
                out.map(|out| (out, text.to_owned()))
            }
            (LOG, Sort::Shared) => self.table().only_listener_to_log().map(|out| (out, text.to_owned())),
            _ => self.of_subscription(text, &names),
        };
        match (found, self.sort) {
            (Some((out, text)), _) => self.deliver(&out, Piece::Message(text)).await,
            (None, Sort::Session) => self.say(text.to_owned()).await,
            (None, Sort::Shared) => {
                tracing::debug!(method, "a server does not say whom it tells this: it was dropped");
            }
        }
    }

    /// The server ends a subscription by calling off the request that began it.
    async fn end_subscription(&self, request: Option<Id>) {
        let Some(Id::Number(wire)) = request else { return };
        let route = self.table().routes.remove(&wire);
        if let Some(route) = route {
            self.deliver(&route.out, Piece::End).await;
        }
    }

    /// Whose progress `text` tells, and what they hear of it.
    fn of_progress(&self, text: &str, names: &Names<'_>) -> Option<(mpsc::Sender<Piece>, String)> {
        let wire = names.progress()?.parse().ok()?;
        let (_, out, token) = self.table().route(wire)?;
        Some((out, names.tells_progress(text, &token?)))
    }

    /// Whose subscription `text` belongs to, and what they hear of it.
    fn of_subscription(&self, text: &str, names: &Names<'_>) -> Option<(mpsc::Sender<Piece>, String)> {
        let Some(Id::Number(wire)) = names.subscription() else { return None };
        let (id, out, _) = self.table().route(wire)?;
        Some((out, names.belongs_to(text, &id)))
    }

    /// Something for the client of a session that belongs to no request by name: on the stream of whatever it waits
    /// for, else on the one it opened for this, else once it opens one.
    async fn say(&self, text: String) {
        let out = {
            let mut table = self.table();
            let youngest = table.routes.values().next_back().map(|route| route.out.clone());
            let listener = || table.listener.clone().filter(|listener| !listener.is_closed());
            match youngest.or_else(listener) {
                Some(out) => out,
                None if table.queued.len() < QUEUE => return table.queued.push_back(text),
                None => return tracing::warn!("nobody listens to what a server says: it was dropped"),
            }
        };
        self.deliver(&out, Piece::Message(text)).await;
    }

    async fn too_long(&self, bytes: u64, edges: &[Vec<u8>; 2]) {
        tracing::warn!(bytes, "a message of a server is too long and was dropped");
        self.fail(edges.iter().find_map(|edge| answered_id(edge)), refusal::TOO_LONG).await;
    }

    /// What request `id` came to cannot be told its client.
    async fn fail(&self, id: Option<Id>, why: &'static str) {
        let Some(Id::Number(wire)) = id else { return };
        let Some(route) = self.table().answered(wire) else { return };
        self.deliver(&route.out, Piece::Unread(why)).await;
    }

    /// Answers a request of the server that nobody is asked.
    fn refuse(&self, id: &Id) {
        let text = message::error(
            Some(id),
            refusal::METHOD_NOT_FOUND,
            "clients answer nothing since 2026-07-28",
            None,
        );
        let sent = self.sender().map(|sender| sender.try_send(Forward { text, by: Permit::Answer }).is_ok());
        if sent != Some(true) {
            tracing::warn!("a server is not told that its request is not passed on: it reads nothing");
        }
    }

    /// Whoever does not read keeps others from hearing theirs for a moment, and then hears no more.
    async fn deliver(&self, out: &mpsc::Sender<Piece>, piece: Piece) {
        let Err(mpsc::error::TrySendError::Full(piece)) = out.try_send(piece) else { return };
        if timeout(SLOWEST, out.send(piece)).await.is_err() {
            tracing::warn!("a client does not read what a server answers: it hears no more of it");
            let mut table = self.table();
            table.routes.retain(|_, route| !route.out.same_channel(out));
            table.listener.take_if(|listener| listener.same_channel(out));
        }
    }
}

impl Table {
    fn begin(&mut self, route: Route) -> Result<i64, Unsent> {
        match () {
            () if self.is_over => Err(Unsent::Over),
            () if self.routes.len() >= MOST_PENDING => Err(Unsent::Full),
            () => {
                self.last += 1;
                self.used = Instant::now();
                self.routes.insert(self.last, route);
                Ok(self.last)
            }
        }
    }

    fn answered(&mut self, wire: i64) -> Option<Route> {
        self.has_answered = true;
        self.used = Instant::now();
        self.routes.remove(&wire)
    }

    fn call_off(&mut self, which: impl Fn(i64, &Route) -> bool) -> Option<(i64, Route)> {
        let wire = self.routes.iter().find(|(wire, route)| which(**wire, route)).map(|(wire, _)| *wire)?;
        let route = self.routes.remove(&wire)?;
        self.used = Instant::now();
        if route.wants_log {
            self.called_off = Some(Instant::now());
        }
        Some((wire, route))
    }

    fn route(&self, wire: i64) -> Option<(Id, mpsc::Sender<Piece>, Option<String>)> {
        let Route { id, token, out, .. } = self.routes.get(&wire)?;
        Some((id.clone(), out.clone(), token.clone()))
    }

    fn of_token(&self, token: &str) -> Option<mpsc::Sender<Piece>> {
        let is_it = |route: &&Route| route.token.as_deref().is_some_and(|own| wire::is_same(own, token));
        self.routes.values().find(is_it).map(|route| route.out.clone())
    }

    /// Log messages name no request. Where one alone wants to hear them, they are about that one; else nobody
    /// hears what may be another's.
    fn only_listener_to_log(&self) -> Option<mpsc::Sender<Piece>> {
        let mut want = self.routes.values().filter(|route| route.wants_log);
        let (only, other) = (want.next()?, want.next());
        let echoes = self.called_off.is_some_and(|when| when.elapsed() < ECHO);
        (other.is_none() && !echoes).then(|| only.out.clone())
    }
}

/// What the server says of one request. Dropped before its answer, it calls the request off.
pub(super) struct Pieces {
    pieces: mpsc::Receiver<Piece>,
    process: Arc<Process>,
    wire: i64,
}

impl Pieces {
    /// The next; `None` where the server ended, or the client was too slow.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        self.pieces.recv().await
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if self.process.table().call_off(|wire, _| wire == self.wire).is_none() {
            return;
        }
        let Some(sender) = self.process.sender() else { return };
        let off = Forward { text: wire::cancelled(self.wire), by: Permit::Notice };
        if sender.try_send(off).is_err() {
            tracing::warn!("a server is not told that nobody waits for an answer: it reads nothing");
        }
    }
}
