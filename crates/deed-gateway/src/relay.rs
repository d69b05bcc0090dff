//! A connection over two streams of lines, as stdio is: one message a line, many requests under way at once.
//!
//! What the client sends is decided on side by side and forwarded in order: no server sees a later message
//! before an earlier one. Answers pass at once; how a request ended is recorded behind them.

mod client;
mod server;

use std::{
    collections::{HashMap, HashSet},
    future::{Future, pending},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use deed_record::Status;
use tokio::{
    io::{AsyncBufRead, AsyncWrite, AsyncWriteExt},
    sync::{Notify, mpsc, watch},
    time::timeout,
};

use crate::{
    conclusions::Conclusions,
    door::Door,
    ending::CONNECTION_ENDED,
    guard::{Guard, Pending, Permit},
    message::Id,
    recorder::{Recorder, Road},
};

pub(crate) use server::{answered_id, unread_answer};

/// The longest message, in bytes.
pub const LONGEST: usize = 64 << 20;
/// Messages that wait to be written.
const QUEUE: usize = 64;
/// How long the last outcomes may take to be recorded when a connection ends.
const CLOSING: Duration = Duration::from_secs(5);

/// What a server may be sent. Nothing else goes there (INVARIANT D1).
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) text: String,
    pub(crate) by: Permit,
}

impl Forward {
    /// The text, on its way. The permit is used up.
    pub(crate) fn let_go(self) -> String {
        self.by.use_up();
        self.text
    }
}

/// A request that is being decided on.
#[derive(Default)]
struct Deciding {
    /// Whether the client no longer wants it.
    is_off: bool,
    /// Told of that, where it waits for a human.
    waits: Arc<Notify>,
}

/// A client and a server, with a door between them.
pub struct Relay<R: Road> {
    guard: Guard<R>,
    conclusions: Arc<Conclusions>,
    /// What the client asked.
    pending: Mutex<HashMap<Id, Pending>>,
    /// Requests that are being decided on.
    deciding: Mutex<HashMap<Id, Deciding>>,
    /// Ids of what was called off, and what the server may answer all the same.
    called_off: Mutex<HashSet<Id>>,
    /// What the server asked.
    asked: Mutex<HashMap<Id, Pending>>,
    /// Whether the connection ends.
    ending: watch::Sender<bool>,
}

impl<R: Road> Relay<R> {
    /// A relay through `door`, recording by `recorder`; what a human must approve waits for `patience`.
    pub fn new(door: Door, recorder: Recorder<R>, patience: Duration) -> Arc<Self> {
        let conclusions = Arc::new(Conclusions::new(recorder.clone()));
        Arc::new(Relay {
            guard: Guard::new(door, recorder, conclusions.clone(), patience),
            conclusions,
            pending: Mutex::default(),
            deciding: Mutex::default(),
            called_off: Mutex::default(),
            asked: Mutex::default(),
            ending: watch::Sender::new(false),
        })
    }

    /// Relays until either side ends, or `stop` says that it is to end now; the client's end closes `server_in`, whose server
    /// then may still answer.
    ///
    /// # Errors
    /// A stream broke.
    pub async fn run(
        self: Arc<Self>,
        client_in: impl AsyncBufRead + Unpin + Send + 'static,
        client_out: impl AsyncWrite + Unpin + Send + 'static,
        server_out: impl AsyncBufRead + Unpin + Send,
        server_in: impl AsyncWrite + Unpin + Send + 'static,
        stop: impl Future<Output = ()> + Send,
    ) -> io::Result<()> {
        let (to_client, replies) = mpsc::channel::<String>(QUEUE);
        let (to_server, forwards) = mpsc::channel::<Forward>(QUEUE);
        let writing = tokio::spawn(write_all(replies, client_out, |text| text));
        let forwarding = tokio::spawn(write_all(forwards, server_in, Forward::let_go));
        // Whoever answers the server for the client does not keep the way to it open.
        let back = to_server.downgrade();
        let mut reading = tokio::spawn(self.clone().read_client(client_in, to_client.clone(), to_server));
        let stopping = async {
            stop.await;
            self.ending.send_replace(true);
            pending().await
        };
        // The server's end is the end: whatever was asked stays without an answer.
        let answered = tokio::select! {
            answered = self.read_server(server_out, to_client, back) => answered,
            never = stopping => never,
        };
        self.ending.send_replace(true);
        forwarding.abort();
        // INVARIANT D11: what is being decided on is called off, and what waits for a human.
        if timeout(CLOSING, &mut reading).await.is_err() {
            reading.abort();
        }
        self.abandon().await;
        // The client may be gone, and then it is not told.
        drop(timeout(CLOSING, writing).await);
        self.conclusions.finish(CLOSING).await;
        answered
    }

    /// Once the connection ends.
    async fn ends(&self) {
        // The sender lives in `self`.
        drop(self.ending.subscribe().wait_for(|ends| *ends).await);
    }

    fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }

    /// The connection ended: nobody knows what became of what was asked.
    async fn abandon(&self) {
        for table in [&self.pending, &self.asked] {
            let unanswered = std::mem::take(&mut *lock(table));
            for pending in unanswered.into_values() {
                self.guard.end(&pending, Status::Unknown, Some(CONNECTION_ENDED.into()), None).await;
            }
        }
    }
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(table: &Mutex<HashMap<Id, Pending>>, id: &Id) -> Option<Pending> {
    lock(table).remove(id)
}

/// Writes what comes, a line each.
pub(crate) async fn write_all<T>(
    mut messages: mpsc::Receiver<T>,
    mut stream: impl AsyncWrite + Unpin,
    text: fn(T) -> String,
) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        let mut line = text(message);
        line.push('\n');
        stream.write_all(line.as_bytes()).await?;
        if messages.is_empty() {
            stream.flush().await?;
        }
    }
    stream.shutdown().await
}
