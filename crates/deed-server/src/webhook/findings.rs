//! Sending findings as they arise: at least once, under an id that stays the same, off the path of whoever appends.
//!
//! What waits is not a queue but what was found and not sent: it needs no room, and a restart goes on where the last
//! durable line of `findings::Told` is. A receiver that is away is tried again at growing intervals, and nothing is
//! lost meanwhile; a message that it refuses is tried a few times, then set aside and counted. What is suppressed is
//! held back, and sent once it is not, if it still is a finding.

mod message;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deed_ledger::{Check, Key, LedgerError};
use deed_record::Timestamp;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use super::{
    Webhook,
    post::{Post, Unsent},
};
use crate::{engine::Engine, findings::Told, settings::FindingsWebhook};

use message::{Item, Message};

/// How often it is looked whether something was found.
const PAUSE: Duration = Duration::from_secs(1);
/// How long to leave a receiver that is away: the first time, and at most.
const AWAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));
/// How often a message that is refused is tried.
const TRIES: u32 = 5;
/// How long the first start waits for the review of what was there, each time.
const REVIEWING: Duration = Duration::from_secs(60);

/// How sending goes.
#[derive(Clone, Default)]
pub(crate) struct Delivery(Arc<Mutex<DeliveryState>>);

/// The same at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeliveryState {
    /// Sent since the start.
    pub(crate) delivered: u64,
    /// Tries that failed.
    pub(crate) failed: u64,
    /// Set aside, for they were refused again and again.
    pub(crate) refused: u64,
    /// Found and not sent yet.
    pub(crate) waiting: u64,
    /// Held back while they are suppressed.
    held: u64,
    /// Why the last try failed, while nothing was sent since.
    trouble: Option<String>,
}

impl Delivery {
    /// How it goes now.
    pub(crate) fn state(&self) -> DeliveryState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether findings reach their receiver.
    pub(crate) fn health(&self) -> Check {
        let DeliveryState { delivered, refused, waiting, held, trouble, .. } = self.state();
        let mut counts = format!("{delivered} findings sent, {waiting} wait, {refused} set aside");
        if held > 0 {
            counts.push_str(&format!(", {held} suppressed"));
        }
        match trouble {
            Some(why) => {
                Check { name: "webhook", ok: false, detail: format!("{counts}; the last try: {why}") }
            }
            None => Check { name: "webhook", ok: true, detail: counts },
        }
    }

    fn change(&self, change: impl FnOnce(&mut DeliveryState)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Sends what `engine` finds, until it is `stopping`.
///
/// # Errors
/// The secret or the system's roots of trust cannot be read.
pub(crate) fn deliver(
    engine: Engine,
    settings: FindingsWebhook,
    mut stopping: watch::Receiver<bool>,
) -> Result<Delivery, String> {
    let webhook = Arc::new(Webhook::open(&settings.secret, engine.ledger().dir())?);
    let post = Post::new(webhook, settings.url.clone()).map_err(|error| error.to_string())?;
    let delivery = Delivery::default();
    let (waiting, held) = (BTreeMap::new(), BTreeMap::new());
    let sending =
        Sending { engine, settings, post, delivery: delivery.clone(), waiting, held, looked: Timestamp(0) };
    tokio::spawn(async move {
        tokio::select! {
            () = sending.run() => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    });
    Ok(delivery)
}

/// Findings by the time of what they are about, and by what they are called.
type Items = BTreeMap<(Timestamp, String), Item>;

struct Sending {
    engine: Engine,
    settings: FindingsWebhook,
    post: Post,
    delivery: Delivery,
    waiting: Items,
    /// What is suppressed.
    held: Items,
    /// When that was found about identities which was taken in last.
    looked: Timestamp,
}

impl Sending {
    async fn run(mut self) {
        let mut told = loop {
            match self.begin().await {
                Ok(told) => break told,
                Err(why) => {
                    self.failed(&why);
                    sleep(AWAY.1).await;
                }
            }
        };
        let mut tries: HashMap<String, u32> = HashMap::new();
        let mut away = AWAY.0;
        loop {
            self.look(&told).await;
            while let Some((key, item)) = self.waiting.pop_first() {
                let body = match self.message(&item).await {
                    Message::Body(body) => body,
                    Message::Suppressed => {
                        self.held.insert(key, item);
                        continue;
                    }
                    Message::Gone => continue,
                };
                let name = &key.1;
                match self.post.send(&format!("finding_{}", name.replace(' ', "_")), body).await {
                    Ok(()) => {
                        away = AWAY.0;
                        tries.remove(name);
                        self.keep(&mut told, name);
                        self.delivery.change(|state| {
                            state.delivered += 1;
                            state.trouble = None;
                        });
                    }
                    Err(Unsent::Refused(why)) => {
                        self.failed(&why);
                        let tried = tries.entry(name.clone()).or_default();
                        *tried += 1;
                        if *tried >= TRIES {
                            tracing::warn!(finding = name, %why, "a finding is not sent any more");
                            tries.remove(name);
                            self.keep(&mut told, name);
                            self.delivery.change(|state| state.refused += 1);
                        } else {
                            self.waiting.insert(key, item);
                            sleep(AWAY.0 * (1 << *tried)).await;
                        }
                    }
                    Err(Unsent::Away(why)) => {
                        self.failed(&why);
                        self.waiting.insert(key, item);
                        self.count();
                        sleep(away).await;
                        away = (away * 2).min(AWAY.1);
                        self.look(&told).await;
                    }
                }
                self.count();
            }
            self.count();
            sleep(PAUSE).await;
        }
    }

    /// What was sent before. At the first start everything that was recorded before it counts as sent, unless the
    /// settings want it too.
    async fn begin(&self) -> Result<Told, String> {
        let (engine, backfill) = (self.engine.clone(), self.settings.backfill);
        let begun = spawn_blocking(move || {
            let dir = engine.ledger().dir();
            let failed = |error: std::io::Error| format!("failed to keep which findings were sent: {error}");
            if let Some(told) = Told::open(dir).map_err(failed)? {
                return Ok(told);
            }
            if backfill {
                return Told::begin(dir, Vec::new()).map_err(failed);
            }
            let size = engine.ledger().size();
            let found = engine.flagged(REVIEWING).map_err(|error| error.to_string())?;
            let mut known = Vec::new();
            for (id, flagged) in found {
                let index = engine.ledger().lookup(&Key::Id(id), 1, None);
                let index = index.map_err(|error: LedgerError| error.to_string())?;
                if index.first().is_some_and(|index| *index < size) {
                    let items = flagged.findings.iter().map(|found| Item::of_action(id, &flagged, found));
                    known.extend(items.map(|item| item.name()));
                }
            }
            let standing = engine.standing(REVIEWING).map_err(|error| error.to_string())?;
            let standing = standing.findings.iter();
            known.extend(standing.map(|(tenant, found)| Item::of_identity(tenant, found).name()));
            Told::begin(dir, known).map_err(failed)
        });
        begun.await.map_err(|error| error.to_string())?
    }

    /// Takes in what was found since the last look, and what is suppressed no more.
    async fn look(&mut self, told: &Told) {
        let (engine, held) = (self.engine.clone(), std::mem::take(&mut self.held));
        let looked = spawn_blocking(move || {
            let news = engine.newly_flagged();
            let standing = engine.standing_lately();
            let (held, free) = message::sift(&engine, held);
            (news, standing, held, free)
        });
        let Ok((news, standing, held, free)) = looked.await else { return };
        self.held = held;
        self.waiting.extend(free);
        for (id, flagged) in news {
            let items = flagged.findings.iter().map(|found| Item::of_action(id, &flagged, found));
            items.for_each(|item| self.take(told, item));
        }
        if let Some(standing) = standing.filter(|standing| standing.at != self.looked) {
            self.looked = standing.at;
            // What stands no more, or is shown better by another record, is not what waits any more.
            self.waiting.retain(|_, item| !item.is_of_identity());
            self.held.retain(|_, item| !item.is_of_identity());
            for (tenant, found) in standing.findings.iter() {
                self.take(told, Item::of_identity(tenant, found));
            }
        }
        self.count();
    }

    fn take(&mut self, told: &Told, item: Item) {
        let name = item.name();
        if item.finding().severity >= self.settings.min_severity && !told.has(&name) {
            let key = (item.time(), name);
            self.held.remove(&key);
            self.waiting.insert(key, item);
        }
    }

    fn keep(&self, told: &mut Told, name: &str) {
        if let Err(error) = told.add(name) {
            tracing::warn!(%error, "a finding that was sent is sent again after a restart");
        }
    }

    fn failed(&self, why: &str) {
        self.delivery.change(|state| {
            state.failed += 1;
            state.trouble = Some(why.to_owned());
        });
    }

    fn count(&self) {
        let (waiting, held) = (self.waiting.len() as u64, self.held.len() as u64);
        self.delivery.change(|state| {
            state.waiting = waiting;
            state.held = held;
        });
    }

    /// What is said of a finding.
    async fn message(&self, item: &Item) -> Message {
        let (engine, names, format) = (self.engine.clone(), self.settings.names, self.settings.format);
        let item = item.clone();
        let written = spawn_blocking(move || message::write(&engine, &item, format, names));
        written.await.unwrap_or(Message::Gone)
    }
}
