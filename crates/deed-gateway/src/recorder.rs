//! The only road to an upstream.

pub(crate) mod remote;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deed_ledger::{AppendError, now};
use deed_record::{RecordId, Ruling, Timestamp};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::{
    door::Caller,
    intent::{Answer, Conclusion, Intent, Listing, Missed, Shown},
    point::DecisionPoint,
    tasks::Task,
};

/// Nothing can be recorded, so that nothing may be done.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("recorder unavailable: {why}")]
pub struct Unavailable {
    why: String,
}

impl Unavailable {
    /// `why` says what is wrong.
    pub fn new(why: impl Into<String>) -> Self {
        Unavailable { why: why.into() }
    }

    /// What is wrong.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl From<AppendError> for Unavailable {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable(why) => Unavailable { why },
            other => Unavailable { why: other.to_string() },
        }
    }
}

/// That an intent is durably recorded and was let through. Forwarding takes one.
///
/// INVARIANT D1: it has no other makers than [`Recorder`] and, for commands, [`Remote`](remote::Remote), and they make it from the
/// answer of a decision point alone, which comes after the record is durable: in the log, or in the spool of a tier that may go
/// on against one. The answer says which.
#[derive(Debug)]
pub struct RecordedIntent {
    answer: Box<Answer>,
}

impl RecordedIntent {
    /// The record.
    pub fn id(&self) -> RecordId {
        self.answer.id
    }

    /// What was decided.
    pub fn answer(&self) -> &Answer {
        &self.answer
    }
}

/// What became of an intent.
#[derive(Debug)]
pub enum Verdict {
    /// It may be done.
    Go(RecordedIntent),
    /// It may not; or not before a human has answered.
    Stop(Answer),
}

/// How a decision point elsewhere is reached: the socket of whoever holds the store.
pub trait Road: Send + Sync + 'static {
    /// Sends `body` to `path` and gives the answer's body.
    ///
    /// # Errors
    /// There was no answer, or it was a refusal.
    fn post(
        &self,
        path: &'static str,
        body: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<u8>, Unavailable>> + Send;
}

/// The road of those whose decision point is in their own process: there is none.
#[derive(Debug)]
pub enum Nowhere {}

impl Road for Nowhere {
    async fn post(&self, _: &'static str, _: Vec<u8>) -> Result<Vec<u8>, Unavailable> {
        match *self {}
    }
}

/// The path of [`Recorder::intend`] at a decision point elsewhere.
pub const INTENTS: &str = "/v1/intents";
/// The path of [`Recorder::wait`] at a decision point elsewhere.
pub const WAITS: &str = "/v1/waits";
/// How long one question to a decision point elsewhere may wait: connections that say nothing are cut.
const ONE_WAIT: Duration = Duration::from_secs(2);

/// How long a decision point elsewhere may take to record an intent, in microseconds: less than any road waits for its answer
/// ([`ANSWERED_WITHIN`]), so that what was given up is not recorded as let through.
const GOOD_FOR: i64 = 2_500_000;
/// How long a road waits for an answer.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(3);

/// What is asked at [`WAITS`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// The answer that must be approved first.
    pub answer: Answer,
    /// How long to wait, in seconds.
    pub seconds: u64,
}

/// The path of [`Recorder::catalog`] at a decision point elsewhere.
pub const LISTINGS: &str = "/v1/listings";
/// The path of [`Recorder::conclude`] at a decision point elsewhere.
pub const OUTCOMES: &str = "/v1/outcomes";
/// So many outcomes at most are on their way to a decision point elsewhere.
const AT_A_TIME: usize = 32;

/// A way to a decision point. Clones share it.
pub struct Recorder<R> {
    way: Way<R>,
    /// What was not done since something was recorded last.
    missed: Arc<Mutex<Option<Missed>>>,
}

enum Way<R> {
    /// In this process, for one tenant.
    Here(Arc<DecisionPoint>, Arc<str>),
    /// Elsewhere.
    There(Arc<R>),
}

impl<R> Clone for Recorder<R> {
    fn clone(&self) -> Self {
        let way = match &self.way {
            Way::Here(point, tenant) => Way::Here(point.clone(), tenant.clone()),
            Way::There(road) => Way::There(road.clone()),
        };
        Recorder { way, missed: self.missed.clone() }
    }
}

impl Recorder<Nowhere> {
    /// Returns once somebody who has a part in `intent` is suspended.
    pub(crate) async fn suspended(&self, intent: &Intent) {
        let Way::Here(point, tenant) = &self.way else { return std::future::pending().await };
        let mut changes = point.suspensions();
        loop {
            if point.is_stopped(intent, tenant) {
                return;
            }
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What a tool of `server` was when it was approved; `None` where nobody has seen it, or that cannot be read now.
    pub(crate) async fn definition(&self, server: &str, name: &str) -> Option<Box<RawValue>> {
        let Way::Here(point, tenant) = &self.way else { return None };
        point.definition(tenant, server, name).await.ok().flatten()
    }

    /// The decision point of this process, for `tenant`.
    pub fn here(point: Arc<DecisionPoint>, tenant: &str) -> Self {
        Recorder { way: Way::Here(point, tenant.into()), missed: Arc::default() }
    }
}

impl<R: Road> Recorder<R> {
    /// A decision point elsewhere.
    pub fn there(road: R) -> Self {
        Recorder { way: Way::There(Arc::new(road)), missed: Arc::default() }
    }

    fn missed(&self) -> MutexGuard<'_, Option<Missed>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that something was not done, so that the gap is recorded once that is possible again.
    fn miss(&self, why: &Unavailable) {
        let now = now();
        let mut missed = self.missed();
        let missed = missed.get_or_insert_with(|| Missed {
            from: now,
            to: now,
            count: 0,
            spooled: 0,
            why: String::new(),
        });
        missed.to = now;
        missed.count += 1;
        missed.why.clone_from(&why.why);
    }

    /// Puts back what could not be told.
    fn keep(&self, told: Option<Missed>) {
        let Some(told) = told else { return };
        let mut missed = self.missed();
        *missed = Some(match missed.take() {
            Some(since) => Missed { from: told.from, count: told.count + since.count, ..since },
            None => told,
        });
    }

    /// Has `intent` decided on and recorded.
    ///
    /// # Errors
    /// It could not be recorded; nothing may be done.
    pub async fn intend(&self, intent: &Intent) -> Result<Verdict, Unavailable> {
        let told = self.missed().take();
        let until = match &self.way {
            Way::Here(..) => None,
            Way::There(_) => Some(Timestamp(now().0 + GOOD_FOR)),
        };
        let changed = (told.is_some() || until.is_some()).then(|| Intent {
            missed: told.clone(),
            until,
            ..intent.clone()
        });
        let intent = changed.as_ref().unwrap_or(intent);
        let answer: Result<Answer, Unavailable> = match &self.way {
            Way::Here(point, tenant) => point.intend(intent, tenant).await,
            Way::There(road) => ask(&**road, INTENTS, intent).await,
        };
        let answer = answer.inspect_err(|why| {
            self.keep(told.clone());
            self.miss(why);
        })?;
        if answer.id != intent.id {
            return Err(Unavailable::new("the answer is about another intent"));
        }
        if answer.spooled.is_some() {
            // The gap is not over.
            self.keep(told);
        }
        Ok(match answer.effect {
            Ruling::Allow => Verdict::Go(RecordedIntent { answer: Box::new(answer) }),
            Ruling::Deny | Ruling::StepUp => Verdict::Stop(answer),
        })
    }

    /// The tasks `ids` of `server`, as far as the log of this process knows them: `None` of each that is not `caller`'s.
    pub(crate) async fn tasks(
        &self,
        server: &str,
        ids: Vec<String>,
        caller: &Caller,
    ) -> Vec<(String, Option<Task>)> {
        let Way::Here(point, tenant) = &self.way else { return Vec::new() };
        let found = point.tasks(tenant, server, ids, caller).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, server, "the log does not say whose a task is");
            Vec::new()
        })
    }

    /// Waits for a human to answer what `waits` says must be approved, but no longer than `patience`.
    ///
    /// # Errors
    /// What was answered could not be recorded; nothing may be done.
    pub async fn wait(&self, waits: &Answer, patience: Duration) -> Result<Verdict, Unavailable> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let answer: Answer = match &self.way {
                Way::Here(point, _) => point.wait(waits, left).await?,
                Way::There(road) => {
                    let seconds = whole_seconds(left, ONE_WAIT).await;
                    ask(&**road, WAITS, &Wait { answer: waits.clone(), seconds }).await?
                }
            };
            if answer.id != waits.id {
                return Err(Unavailable::new("the answer is about another intent"));
            }
            match answer.effect {
                Ruling::Allow => return Ok(Verdict::Go(RecordedIntent { answer: Box::new(answer) })),
                Ruling::StepUp if Instant::now() < until => {}
                Ruling::Deny | Ruling::StepUp => return Ok(Verdict::Stop(answer)),
            }
        }
    }

    /// Notes what a server offers, and asks what of it the caller may see.
    ///
    /// # Errors
    /// What is new could not be recorded.
    pub async fn catalog(&self, listing: &Listing) -> Result<Shown, Unavailable> {
        match &self.way {
            Way::Here(point, tenant) => point.catalog(listing, tenant).await,
            Way::There(road) => ask(&**road, LISTINGS, listing).await,
        }
    }

    /// Records how an action ended.
    ///
    /// # Errors
    /// It could not be recorded.
    pub async fn conclude(&self, conclusion: &Conclusion) -> Result<(), Unavailable> {
        self.conclude_all(std::slice::from_ref(conclusion)).await
    }

    /// Records how actions ended.
    ///
    /// # Errors
    /// Not all of them could be recorded; here, none was.
    pub(crate) async fn conclude_all(&self, conclusions: &[Conclusion]) -> Result<(), Unavailable> {
        match &self.way {
            Way::Here(point, tenant) => point.conclude(conclusions, tenant).await,
            Way::There(road) => {
                for some in conclusions.chunks(AT_A_TIME) {
                    let told: Vec<_> = some.iter().map(|one| ask::<()>(&**road, OUTCOMES, one)).collect();
                    try_join_all(told).await?;
                }
                Ok(())
            }
        }
    }
}

/// How many seconds to wait in one question, of those that are `left` and no more than `most`. What is less than a second is
/// waited for here, for a question has whole ones: so nothing of it is lost.
async fn whole_seconds(left: Duration, most: Duration) -> u64 {
    const ONE: Duration = Duration::from_secs(1);
    if left < ONE {
        tokio::time::sleep(left).await;
    }
    left.min(most).as_secs()
}

async fn ask<T: DeserializeOwned>(
    road: &impl Road,
    path: &'static str,
    question: &impl Serialize,
) -> Result<T, Unavailable> {
    let body = serde_json::to_vec(question).map_err(|error| Unavailable::new(error.to_string()))?;
    let answer = road.post(path, body).await?;
    serde_json::from_slice(&answer).map_err(|error| {
        Unavailable::new(format!("the answer of the decision point cannot be read: {error}"))
    })
}
