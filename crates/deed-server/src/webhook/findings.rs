//! Sending findings as they arise: at least once, under an id that stays the same, off the path of whoever appends.
//!
//! What waits is not a queue but what was found and not sent: it needs no room, and a restart goes on where the last
//! durable line of `findings::Told` is. A receiver that is away is tried again at growing intervals, and nothing is
//! lost meanwhile; a message that it refuses is tried a few times, then set aside and counted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use deed_ledger::{Check, Key, LedgerError};
use deed_record::{RecordId, Timestamp};
use deed_review::{RULES, explanation::Finding, ocsf, review::Flagged};
use serde_json::{Value, json};
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

use super::{
    Webhook,
    post::{Post, Unsent},
};
use crate::{
    engine::Engine,
    findings::Told,
    settings::{FindingFormat, FindingsWebhook},
};

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
        let DeliveryState { delivered, refused, waiting, trouble, .. } = self.state();
        let counts = format!("{delivered} findings sent, {waiting} wait, {refused} set aside");
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
    let sending = Sending { engine, settings, post, delivery: delivery.clone(), waiting: BTreeMap::new() };
    tokio::spawn(async move {
        tokio::select! {
            () = sending.run() => {}
            _ = stopping.wait_for(|stop| *stop) => {}
        }
    });
    Ok(delivery)
}

/// A finding: by the time of its action, the action, and the rule.
type One = (Timestamp, RecordId, String);

struct Sending {
    engine: Engine,
    settings: FindingsWebhook,
    post: Post,
    delivery: Delivery,
    waiting: BTreeMap<One, (Flagged, Finding)>,
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
        let mut tries: HashMap<(RecordId, String), u32> = HashMap::new();
        let mut away = AWAY.0;
        loop {
            self.look(&told).await;
            while let Some(((time, id, rule), (flagged, finding))) = self.waiting.pop_first() {
                let key = (time, id, rule);
                let message = self.message(key.1, &flagged, &finding).await;
                let Some(body) = message else { continue };
                match self.post.send(&format!("finding_{}_{}", key.1, key.2), body).await {
                    Ok(()) => {
                        away = AWAY.0;
                        tries.remove(&(key.1, key.2.clone()));
                        self.keep(&mut told, &key);
                        self.delivery.change(|state| {
                            state.delivered += 1;
                            state.trouble = None;
                        });
                    }
                    Err(Unsent::Refused(why)) => {
                        self.failed(&why);
                        let tried = tries.entry((key.1, key.2.clone())).or_default();
                        *tried += 1;
                        if *tried >= TRIES {
                            tracing::warn!(action = %key.1, rule = key.2, %why, "a finding is not sent any more");
                            tries.remove(&(key.1, key.2.clone()));
                            self.keep(&mut told, &key);
                            self.delivery.change(|state| state.refused += 1);
                        } else {
                            self.waiting.insert(key, (flagged, finding));
                            sleep(AWAY.0 * (1 << *tried)).await;
                        }
                    }
                    Err(Unsent::Away(why)) => {
                        self.failed(&why);
                        self.waiting.insert(key, (flagged, finding));
                        self.count();
                        sleep(away).await;
                        away = (away * 2).min(AWAY.1);
                        self.look(&told).await;
                    }
                }
                self.count();
            }
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
                return Told::begin(dir, &[]).map_err(failed);
            }
            let size = engine.ledger().size();
            let found = engine.flagged(REVIEWING).map_err(|error| error.to_string())?;
            let mut known = Vec::new();
            for (id, flagged) in found {
                let index = engine.ledger().lookup(&Key::Id(id), 1, None);
                let index = index.map_err(|error: LedgerError| error.to_string())?;
                if index.first().is_some_and(|index| *index < size) {
                    known.extend(flagged.findings.into_iter().map(|finding| (id, finding.rule)));
                }
            }
            Told::begin(dir, &known).map_err(failed)
        });
        begun.await.map_err(|error| error.to_string())?
    }

    /// Takes in what was found since the last look.
    async fn look(&mut self, told: &Told) {
        let engine = self.engine.clone();
        let Ok(found) = spawn_blocking(move || engine.newly_flagged()).await else { return };
        for (id, flagged) in found {
            for finding in &flagged.findings {
                if finding.severity >= self.settings.min_severity && !told.has(id, &finding.rule) {
                    let one = (flagged.time, id, finding.rule.clone());
                    self.waiting.insert(one, (flagged.clone(), finding.clone()));
                }
            }
        }
        self.count();
    }

    fn keep(&self, told: &mut Told, (_, id, rule): &One) {
        if let Err(error) = told.add(*id, rule) {
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
        let waiting = self.waiting.len() as u64;
        self.delivery.change(|state| state.waiting = waiting);
    }

    /// What is said of a finding; `None` where it is none any more.
    async fn message(&self, id: RecordId, flagged: &Flagged, finding: &Finding) -> Option<Bytes> {
        let (engine, names, format) = (self.engine.clone(), self.settings.names, self.settings.format);
        let (flagged, finding) = (flagged.clone(), finding.clone());
        let written = spawn_blocking(move || match format {
            FindingFormat::Deed => plain(&engine, id, &flagged, &finding, names),
            FindingFormat::Ocsf => {
                let told = ocsf::tell(&engine.evidence(None), id, &engine.checkpoint(), names);
                let findings = told.ok()??.findings;
                findings.into_iter().find(|event| event["finding_info"]["title"] == *finding.rule)
            }
        });
        let message = written.await.ok()??;
        Some(Bytes::from(message.to_string()))
    }
}

/// As `GET /v1/findings` has it; who acted is an account, unless names are wanted.
fn plain(engine: &Engine, id: RecordId, flagged: &Flagged, finding: &Finding, names: bool) -> Option<Value> {
    let named = || {
        let executor = engine.explain(id, None).ok()??.executor;
        executor.principal.or(executor.key)
    };
    let principal = match names {
        true => named(),
        false => flagged.executor.map(|account| account.to_string()),
    };
    let remedy = RULES.iter().find(|rule| rule.name == finding.rule).map(|rule| rule.remedy);
    let data = json!({
        "rule": finding.rule, "severity": finding.severity, "action_id": id, "time": flagged.time,
        "tenant": flagged.tenant, "principal": principal, "reason": finding.reason, "remedy": remedy,
        "controls": finding.controls,
    });
    Some(json!({ "type": "finding.created", "timestamp": flagged.time, "data": data }))
}
