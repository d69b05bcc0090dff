//! Security events of Shared Signals transmitters: verified, and recorded before they are acknowledged.
//!
//! They are pushed (RFC 8935, `api::ssf`) or asked for (RFC 8936, `poll`). What an event comes to is `deed-collect`'s to
//! say, whether its transmitter made it `deed-token`'s; this room has the keys at hand and the ledger.

mod poll;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use deed_collect::ssf::{Signal, signal};
use deed_gateway::{Suspension, Who};
use deed_ledger::{AppendError, Check, LedgerError, Pending, Sender};
use deed_record::{PrincipalType, Timestamp};
use deed_seal::hash::Hash;
use deed_token::{KeySet, VerifyError, set::Claimed};
use http::{HeaderMap, HeaderValue, header};
use tokio::{sync::watch, task::spawn_blocking, time::timeout};

use crate::{
    auth::{SHORTEST_TOKEN, is_same},
    engine::Engine,
    fetch::{self, Fetcher, Kept},
    force::TENANT,
    settings::{Delivery, KeySource, SsfTransmitter},
};

/// The transmitters of the settings.
#[derive(Default)]
pub(crate) struct Signals(BTreeMap<String, Arc<Transmitter>>);

/// One of them.
pub(crate) struct Transmitter {
    name: String,
    is: SsfTransmitter,
    /// What it shows, or is shown: header values, the first one the newest.
    shown: Vec<HeaderValue>,
    keys: RwLock<Arc<KeySet>>,
    kept: Kept,
    fetcher: Fetcher,
    engine: Engine,
    state: Mutex<SignalState>,
}

/// What came, since the start.
#[derive(Clone, Debug, Default)]
pub(crate) struct SignalState {
    /// Events that were acknowledged, those that came again among them.
    pub(crate) taken: u64,
    /// Those of a type that the mapping does not know.
    pub(crate) unknown: u64,
    /// What was refused for good.
    pub(crate) refused: u64,
    /// Polls, or events, that came to nothing for now.
    pub(crate) failed: u64,
    /// The last event that was taken.
    last: Option<Timestamp>,
    /// Why the last thing went wrong, while nothing went well since.
    trouble: Option<String>,
}

/// Why an event is not acknowledged.
#[derive(Debug)]
pub(crate) enum Refused {
    /// For good, with an error code of RFC 8935, section 2.4.
    Wrong(&'static str, String),
    /// For now: it is to be sent again.
    Later(String),
}

impl Refused {
    fn request(why: impl Into<String>) -> Self {
        Refused::Wrong("invalid_request", why.into())
    }
}

impl From<VerifyError> for Refused {
    fn from(error: VerifyError) -> Self {
        let code = match error {
            VerifyError::Issuer => "invalid_issuer",
            VerifyError::Audience { .. } => "invalid_audience",
            VerifyError::Algorithm | VerifyError::Signature => "invalid_key",
            _ => "invalid_request",
        };
        Refused::Wrong(code, error.to_string())
    }
}

impl Signals {
    /// Those of the settings, with their secrets and the keys that stand in files.
    ///
    /// # Errors
    /// Which one cannot be listened to, and why.
    pub(crate) fn open(engine: &Engine) -> Result<Self, String> {
        let open = |(name, is): (&String, &SsfTransmitter)| {
            let opened =
                Transmitter::open(engine, name, is).map_err(|why| format!("`[ssf.{name}]`: {why}"))?;
            Ok((name.clone(), Arc::new(opened)))
        };
        engine.settings().ssf.iter().map(open).collect::<Result<_, _>>().map(Signals)
    }

    /// Asks those that are polled for events, until the server is `stopping`.
    ///
    /// # Errors
    /// The system's roots of trust cannot be read.
    pub(crate) fn poll(&self, stopping: &watch::Receiver<bool>) -> Result<(), String> {
        for transmitter in self.0.values() {
            let Delivery::Poll(url) = transmitter.is.delivery.clone() else { continue };
            let sender = fetch::sender().map_err(|error| error.to_string())?;
            let (transmitter, mut stopping) = (transmitter.clone(), stopping.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = poll::run(&transmitter, &url, &sender) => {}
                    _ = stopping.wait_for(|stop| *stop) => {}
                }
            });
        }
        Ok(())
    }

    /// The transmitter `name`, if it pushes.
    pub(crate) fn pushing(&self, name: &str) -> Option<&Arc<Transmitter>> {
        self.0.get(name).filter(|transmitter| transmitter.is.delivery == Delivery::Push)
    }

    /// What came of each.
    pub(crate) fn states(&self) -> Vec<(String, SignalState)> {
        self.0.iter().map(|(name, transmitter)| (name.clone(), transmitter.state())).collect()
    }

    /// Whether events come; `None` where none are expected.
    pub(crate) fn health(&self) -> Option<Check> {
        let states = self.states();
        let ok = states.iter().all(|(_, state)| state.trouble.is_none());
        let one = |(name, state): &(String, SignalState)| {
            let last = state.last.map_or_else(|| "none yet".to_owned(), |time| format!("the last of {time}"));
            let trouble = state.trouble.as_ref().map(|why| format!("; {why}")).unwrap_or_default();
            format!("{name}: {} taken, {last}, {} refused{trouble}", state.taken, state.refused)
        };
        let detail = states.iter().map(one).collect::<Vec<_>>().join("; ");
        (!states.is_empty()).then_some(Check { name: "ssf", ok, detail })
    }
}

impl Transmitter {
    fn open(engine: &Engine, name: &str, is: &SsfTransmitter) -> Result<Self, String> {
        let dir = engine.ledger().dir();
        let kept = Kept::default();
        let keys = match &is.keys {
            KeySource::File(file) => {
                let text = text(&dir.join(file))?;
                let keys = KeySet::parse(&text).map_err(|why| format!("`{}`: {why}", file.display()))?;
                kept.note(&keys);
                keys
            }
            _ => KeySet::default(),
        };
        Ok(Transmitter {
            name: name.to_owned(),
            shown: shown(is, dir)?,
            keys: RwLock::new(Arc::new(keys)),
            kept,
            fetcher: Fetcher::new(),
            engine: engine.clone(),
            state: Mutex::default(),
            is: is.clone(),
        })
    }

    /// Whether a request is its own: it shows the value that was agreed upon.
    pub(crate) fn is_shown(&self, headers: &HeaderMap) -> bool {
        // INVARIANT D13: of two, two readers could take another one.
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return false };
        let hash = |value: &HeaderValue| Hash::of(value.as_bytes()).0;
        let sent = hash(value);
        // Every value is looked at, whole: the time it takes tells nothing.
        self.shown.iter().fold(false, |found, known| is_same(&hash(known), &sent) | found)
    }

    /// Takes one SET: returns when it is durable.
    ///
    /// # Errors
    /// It is not acknowledged, and why.
    pub(crate) async fn take(self: &Arc<Self>, token: Vec<u8>) -> Result<(), Refused> {
        let signal = self.noted(self.verified(token).await)?;
        self.noted(self.record(signal).await)
    }

    /// `done`, counted.
    fn noted<T>(&self, done: Result<T, Refused>) -> Result<T, Refused> {
        self.change(|state| match &done {
            Ok(_) => state.trouble = None,
            Err(Refused::Wrong(code, why)) => {
                state.refused += 1;
                state.trouble = Some(format!("an event was refused, {code}: {why}"));
            }
            Err(Refused::Later(why)) => {
                state.failed += 1;
                state.trouble = Some(why.clone());
            }
        });
        done
    }

    /// What the SET in `token` comes to, once its transmitter is known to have made it for us.
    async fn verified(self: &Arc<Self>, token: Vec<u8>) -> Result<Signal, Refused> {
        let token = String::from_utf8(token).map_err(|_| Refused::request("the SET is no UTF-8"))?;
        let token = token.trim().to_owned();
        let kid = Claimed::parse(&token, &self.is.issuer, &self.is.audience)?.kid().map(str::to_owned);
        let whose = format!("the keys of transmitter `{}`", self.is.issuer);
        let refreshed = self.kept.refresh(kid.as_deref(), &whose, self.fetch_keys()).await;
        refreshed.map_err(Refused::Later)?;
        let transmitter = self.clone();
        let work = move || {
            let keys = transmitter.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
            let claimed = Claimed::parse(&token, &transmitter.is.issuer, &transmitter.is.audience)?;
            let set = claimed.verify(&keys)?;
            signal(&set.claims, transmitter.is.system.as_deref()).map_err(Refused::request)
        };
        spawn_blocking(work).await.map_err(|error| Refused::Later(error.to_string()))?
    }

    /// Records a signal, after what it stops was stopped.
    async fn record(&self, signal: Signal) -> Result<(), Refused> {
        let patience = self.engine.settings().limits.append;
        let later = |error: AppendError| match error {
            AppendError::Refused(why) => Refused::request(why.to_string()),
            error => Refused::Later(error.to_string()),
        };
        let tenant = self.is.tenant.clone().unwrap_or_else(|| TENANT.to_owned());
        if self.is.enforce && !signal.stops.is_empty() {
            self.stop(&signal, &tenant).await.map_err(Refused::Later)?;
        }
        // Nobody else is called so: an event that came from here was verified.
        let sender = Sender { tenant: Some(tenant), name: format!("deed:ssf/{}", self.name), ours: false };
        let (ledger, record) = (self.engine.ledger().clone(), signal.record);
        let appended = timeout(patience, async {
            let begun = spawn_blocking(move || ledger.begin(record.as_bytes(), &sender)).await;
            let pending: Pending = begun.map_err(|error| AppendError::Unavailable(error.to_string()))??;
            pending.await?.into_iter().collect::<Result<Vec<_>, _>>()
        });
        let slow = |_| Refused::Later(format!("no answer from the disk within {} s", patience.as_secs()));
        // INVARIANT D2: acknowledged is what is durable.
        appended.await.map_err(slow)?.map_err(later)?;
        self.change(|state| {
            state.taken += 1;
            state.unknown += u64::from(!signal.is_known);
            state.last = state.last.max(Some(signal.time));
        });
        Ok(())
    }

    /// Stops whom and what `signal` wants stopped, unless it was heard before: somebody may have decided otherwise since.
    /// A crash in between has it stopped again, and never forgotten.
    async fn stop(&self, signal: &Signal, tenant: &str) -> Result<(), String> {
        let (system, event) = &signal.source;
        let broken = |error: LedgerError| error.to_string();
        if self.engine.ledger().has_event(tenant, system, event).map_err(broken)? {
            return Ok(());
        }
        let by = Who { kind: PrincipalType::Workload, key: Some(system.clone()), name: None, instance: None };
        for stop in &signal.stops {
            let said = Suspension {
                what: stop.what.clone(),
                credential: stop.is_credential,
                suspended: stop.stops,
                by: by.clone(),
                reason: Some(signal.operation.clone()),
            };
            // Everywhere: suspensions of this tenant hold for all.
            self.engine.decisions().suspend(&said, TENANT).await.map_err(|error| error.to_string())?;
        }
        if let Some(tokens) = self.engine.tokens() {
            tokens.look_again();
        }
        Ok(())
    }

    /// Reads its keys.
    async fn fetch_keys(&self) -> Result<(), String> {
        let text = match &self.is.keys {
            KeySource::File(file) => {
                let path = self.engine.ledger().dir().join(file);
                let read = spawn_blocking(move || text(&path)).await;
                read.map_err(|error| error.to_string())??
            }
            KeySource::Url(url) => self.fetcher.get(url).await?,
            _ => {
                let issuer = &self.is.issuer;
                let url = self.fetcher.discover(&configuration(issuer), issuer).await?;
                self.fetcher.get(&url).await?
            }
        };
        let keys = KeySet::parse(&text).map_err(|error| error.to_string())?;
        self.kept.note(&keys);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }

    fn state(&self) -> SignalState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut SignalState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("failed to read `{}`: {error}", path.display()))
}

/// The values of `Authorization`, one a line: a whole value where it has a space, else a bearer token (RFC 6750).
fn shown(is: &SsfTransmitter, dir: &Path) -> Result<Vec<HeaderValue>, String> {
    let (text, from) = is.token.read(dir)?;
    let value = |line: &str| {
        let whole = if line.contains(' ') { line.to_owned() } else { format!("Bearer {line}") };
        let fits = whole.len() >= SHORTEST_TOKEN;
        let mut value = HeaderValue::from_str(&whole).ok().filter(|_| fits)?;
        value.set_sensitive(true);
        Some(value)
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let values: Option<Vec<HeaderValue>> = lines.map(value).collect();
    values.filter(|values| !values.is_empty()).ok_or_else(|| {
        format!(
            "the token in `{from}`: expected at least {SHORTEST_TOKEN} characters of ASCII, one token a line"
        )
    })
}

/// Where the transmitter describes itself: the name goes between host and path (SSF 1.0, section 7.2.1).
fn configuration(issuer: &str) -> String {
    let path = issuer.find("://").and_then(|at| issuer[at + 3..].find('/').map(|path| at + 3 + path));
    let (host, path) = issuer.split_at(path.unwrap_or(issuer.len()));
    format!("{host}/.well-known/ssf-configuration{}", path.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transmitter_with_a_path_describes_itself_below_its_host() {
        for (issuer, url) in [
            ("https://tr.example", "https://tr.example/.well-known/ssf-configuration"),
            ("https://tr.example/", "https://tr.example/.well-known/ssf-configuration"),
            ("https://tr.example/a/1/", "https://tr.example/.well-known/ssf-configuration/a/1"),
        ] {
            assert_eq!(configuration(issuer), url);
        }
    }
}
