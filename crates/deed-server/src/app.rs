//! What all requests share: the engine, the limits, and bounded pools for work that is no waiting.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deed_ledger::{AppendError, Ledger, Pending, Receipt};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::{JoinError, spawn_blocking},
    time::timeout,
};

use crate::{
    auth::Gate,
    engine::Engine,
    mcp::Gateway,
    metrics::Metrics,
    problem::{Kind, Problem},
    settings::Limits,
    ssf::Signals,
    strangers::Strangers,
    webhook::{Delivery, Webhook},
};

/// Request bodies that are being received take no more memory than this together, in bytes, unless one
/// alone may be larger.
const BODIES: usize = 256 << 20;
/// Small requests that wait for their keys at a time.
const MOST_WAITING: usize = 64;
/// What memory for bodies is counted in.
const BODY_UNIT: usize = 64 << 10;

/// What became of each record of a request.
pub(crate) type Answers = Vec<Result<Receipt, AppendError>>;

/// See the module.
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) gate: Gate,
    pub(crate) gateway: Gateway,
    /// By which people elsewhere answer what waits, where there is one.
    pub(crate) webhook: Option<Arc<Webhook>>,
    /// How sending findings goes, where they are sent.
    pub(crate) delivery: Option<Delivery>,
    /// Who sends security events.
    pub(crate) signals: Signals,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// Whose commands are refused on record.
    pub(crate) strangers: Strangers,
    /// Becomes true when the server stops: answers that go on end then.
    pub(crate) stopping: watch::Receiver<bool>,
    /// Requests that are being parsed and sealed: more at a time than cores only costs memory.
    sealing: Arc<Semaphore>,
    /// Small requests for which keys have to be made first: they wait for the disk, and share one sync.
    waiting: Arc<Semaphore>,
    asking: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(
        engine: Engine,
        gate: Gate,
        gateway: Gateway,
        webhook: Option<Arc<Webhook>>,
        delivery: Option<Delivery>,
        signals: Signals,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let limits = engine.settings().limits;
        App {
            gate,
            gateway,
            webhook,
            delivery,
            signals,
            limits,
            metrics: Metrics::default(),
            strangers: Strangers::default(),
            stopping,
            sealing: Arc::new(Semaphore::new(cores * 2)),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
            asking: Arc::new(Semaphore::new(cores * 4)),
            bodies: Arc::new(Semaphore::new(BODIES.max(limits.body_bytes) / BODY_UNIT)),
            engine,
        }
    }

    /// Waits until what `begun` hands to the ledger is durable. Requests that wait together share one
    /// commit.
    ///
    /// # Errors
    /// Those of `begun`; [`AppendError::Unavailable`] when the time is up. What was handed over may then
    /// still be recorded.
    pub(crate) async fn record<T, E: From<AppendError>>(
        &self,
        begun: impl Future<Output = Result<(Pending, T), E>>,
    ) -> Result<(Answers, T), E> {
        let started = Instant::now();
        let patience = self.limits.append;
        let recorded = timeout(patience, async {
            let (pending, with) = begun.await?;
            Ok((pending.await?, with))
        });
        let answer = match recorded.await {
            Ok(answer) => answer,
            Err(_) => Err(unavailable(&format!(
                "no answer from the disk within {} s; the records may still be taken, sending them again under the same ids is safe",
                patience.as_secs()
            ))
            .into()),
        };
        if answer.is_ok() {
            self.metrics.recorded(started.elapsed());
        }
        answer
    }

    /// Has `seal` run on the blocking pool; `small` is what would not be there but for the waiting.
    ///
    /// # Errors
    /// Those of `seal`; [`AppendError::Unavailable`] when the server stops.
    pub(crate) async fn seal<T, E>(
        &self,
        small: bool,
        seal: impl FnOnce(&Ledger) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<AppendError> + Send + 'static,
    {
        let stopping = |_| unavailable("the server is stopping");
        let turns = if small { &self.waiting } else { &self.sealing };
        let permit = turns.clone().acquire_owned().await.map_err(stopping)?;
        let ledger = self.engine.ledger().clone();
        let sealed = spawn_blocking(move || {
            let sealed = seal(&ledger);
            drop(permit);
            sealed
        });
        sealed.await.map_err(|error| unavailable(&died(&error)))?
    }

    /// Has `ask` run on the blocking pool.
    ///
    /// # Errors
    /// Those of `ask`, or [`Kind::Busy`] when the time is up.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Engine) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let busy = |_| Problem::new(Kind::Busy, "no answer in time; ask for less, or again later");
        let answer = timeout(self.limits.read, async {
            let stopping = |_| Problem::new(Kind::Busy, "the server is stopping");
            let permit = self.asking.clone().acquire_owned().await.map_err(stopping)?;
            let engine = self.engine.clone();
            let answer = spawn_blocking(move || {
                let answer = ask(&engine);
                drop(permit);
                answer
            });
            answer.await.map_err(|error| Problem::new(Kind::Internal, died(&error)))?
        });
        answer.await.map_err(busy)?
    }

    /// Has `work` done to its end, whether or not whoever asked for it still waits: what is recorded holds.
    ///
    /// # Errors
    /// [`Kind::Internal`] where it broke off.
    pub(crate) async fn settle<T: Send + 'static>(
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        tokio::spawn(work).await.map_err(|error| Problem::new(Kind::Internal, died(&error)))
    }

    /// Room for a body of at most `bytes`; waits while others take it all.
    pub(crate) async fn room(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Problem> {
        let busy = || Problem::new(Kind::Busy, "too many requests are being received at once");
        let units = u32::try_from(bytes.div_ceil(BODY_UNIT).max(1)).unwrap_or(u32::MAX);
        let room = timeout(PATIENCE, self.bodies.clone().acquire_many_owned(units)).await;
        room.map_err(|_| busy())?.map_err(|_| busy())
    }
}

/// How long a request waits for room.
const PATIENCE: Duration = Duration::from_secs(10);

fn unavailable(why: &str) -> AppendError {
    AppendError::Unavailable(why.to_owned())
}

fn died(error: &JoinError) -> String {
    format!("the work on the request broke off: {error}")
}
