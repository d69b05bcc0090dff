//! What servers behind the gateway are shown: a token for each caller, issued when it is needed first, and kept while
//! it holds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use deed_gateway::UpstreamToken;
use deed_ledger::{fresh_id, now};
use deed_record::{Submission, Timestamp};
use deed_token::{
    Comer, ExchangeError, Fingerprint, Secret, Terms, Upstream,
    state::{Event, Inactive},
    upstream,
};
use http::HeaderValue;

use super::{Tokens, book, exchange::Failed, resource::Lapsed};

/// Callers whose tokens are kept. For one more, all are issued anew when they are needed.
const MOST: usize = 10_000;
/// How much longer than a call may wait a token should hold, in seconds.
const TO_SPARE: i64 = 15;

/// The tokens for one server, by the caller that they are for.
pub(crate) struct Kept {
    upstream: Upstream,
    /// How long a token should still hold when a call begins, in seconds.
    spare: i64,
    slots: Mutex<HashMap<String, Slot>>,
}

/// Whoever comes second waits for the token that the first one has issued.
type Slot = Arc<tokio::sync::Mutex<Option<Arc<Issued>>>>;

struct Issued {
    terms: Terms,
    fingerprint: Fingerprint,
    header: HeaderValue,
    /// Until when another call may begin with it, in seconds.
    usable: i64,
}

/// Why a server is shown nothing.
pub(crate) enum NotShown {
    /// Nothing may be shown: how whoever came is told.
    Refused(ExchangeError),
    /// It cannot be known, or cannot be recorded.
    Unavailable(String),
}

impl Kept {
    /// The tokens for a server that takes `upstream`, where a call may wait for a human as long as `wait`.
    pub(crate) fn new(upstream: Upstream, wait: Duration) -> Self {
        let wait = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        Kept { upstream, spare: wait.saturating_add(TO_SPARE), slots: Mutex::default() }
    }

    /// The scope that it takes.
    pub(crate) fn scope(&self) -> String {
        self.upstream.scope.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    fn slot(&self, key: String) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MOST && !slots.contains_key(&key) {
            let now = seconds(now());
            let is_of_use = |issued: &Option<Arc<Issued>>| issued.as_ref().is_some_and(|it| it.usable > now);
            // What is locked is about to be of use.
            slots.retain(|_, slot| slot.try_lock().map_or(true, |issued| is_of_use(&issued)));
            if slots.len() >= MOST {
                slots.clear();
            }
        }
        slots.entry(key).or_default().clone()
    }
}

/// A token that was signed, and has not been shown.
struct Signed {
    token: Secret,
    terms: Terms,
    record: Submission<'static>,
    event: Event,
}

impl Tokens {
    /// The token that the server of `kept` hears for `comer`: the one that is kept, or another one, which is recorded
    /// first.
    ///
    /// # Errors
    /// See [`NotShown`].
    pub(crate) async fn show(self: &Arc<Self>, kept: &Kept, comer: Comer) -> Result<UpstreamToken, NotShown> {
        // Whoever waits for another one's token waits no longer than for a record.
        let shown = tokio::time::timeout(self.patience, self.keep_or_issue(kept, comer)).await;
        shown.unwrap_or_else(|_| {
            let patience = self.patience.as_millis();
            Err(NotShown::Unavailable(format!("no token within {patience} ms")))
        })
    }

    async fn keep_or_issue(self: &Arc<Self>, kept: &Kept, comer: Comer) -> Result<UpstreamToken, NotShown> {
        self.ready().await.map_err(|failed| match failed {
            Failed::Unavailable(why) => NotShown::Unavailable(why),
            Failed::Refused(refused) => NotShown::Refused(refused.error),
        })?;
        let slot = kept.slot(comer.key());
        let mut slot = slot.lock().await;
        let issued = match &*slot {
            Some(issued) if self.is_usable(issued)? => issued.clone(),
            _ => slot.insert(self.issue_for(kept, comer).await?).clone(),
        };
        let (tokens, id, header) = (self.clone(), issued.terms.jti.clone(), issued.header.clone());
        let holds = move || tokens.holds(&issued.terms, issued.fingerprint, now()).is_ok();
        Ok(UpstreamToken::new(id, header, holds))
    }

    /// Whether a token that is kept serves for another call: what was revoked or suspended does not, nor does anything
    /// that was made from it.
    fn is_usable(&self, issued: &Issued) -> Result<bool, NotShown> {
        let now = now();
        match self.holds(&issued.terms, issued.fingerprint, now) {
            Ok(()) => Ok(issued.usable > seconds(now)),
            Err(Lapsed::Inactive(_)) => Ok(false),
            Err(Lapsed::Unknown(why)) => Err(NotShown::Unavailable(why)),
        }
    }

    async fn issue_for(self: &Arc<Self>, kept: &Kept, comer: Comer) -> Result<Arc<Issued>, NotShown> {
        let (setting, longest) = (kept.upstream.clone(), comer.expires());
        let signed = self.work(move |tokens| tokens.sign_for(&setting, &comer, now())).await;
        let signed = signed.ok_or_else(|| NotShown::Unavailable("the server is stopping".to_owned()))??;
        let Signed { token, terms, record, event } = signed;
        // INVARIANT D1: nothing is shown before its record is durable.
        self.append(&record).await.map_err(|error| NotShown::Unavailable(error.to_string()))?;
        self.book.apply(&event, now());
        let header = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let header = header.map_err(|error| NotShown::Unavailable(error.to_string()))?;
        // Where what the caller showed ends with it, another one would hold no longer.
        let spare =
            if terms.expires < longest { kept.spare.min((terms.expires - terms.issued) / 2) } else { 0 };
        let usable = terms.expires - spare;
        Ok(Arc::new(Issued { fingerprint: Fingerprint::of(token.expose()), header, usable, terms }))
    }

    fn sign_for(&self, setting: &Upstream, comer: &Comer, now: Timestamp) -> Result<Signed, NotShown> {
        self.turn();
        let unavailable = |why: String| NotShown::Unavailable(why);
        let id = fresh_id().map_err(|error| unavailable(error.to_string()))?;
        let (policy, state) = (&self.settings.policy, self.book.state());
        let granted = upstream(comer, setting, policy, &state, now, &id.to_string());
        let granted = granted.map_err(NotShown::Refused)?;
        drop(state);
        let terms = granted.terms();
        let mut names: Vec<String> = granted.credentials().iter().map(ToString::to_string).collect();
        names.extend(granted.shown().map(str::to_owned));
        names.extend(terms.parent.iter().flat_map(|parent| self.book.lineage(parent)));
        self.refuse_held(terms, &names).map_err(|lapsed| match lapsed {
            Lapsed::Inactive(_) => NotShown::Refused(Inactive::Suspended.into()),
            Lapsed::Unknown(why) => unavailable(why),
        })?;
        let issuer = self.signing.issuer();
        let token = issuer.sign(&granted).map_err(|error| unavailable(error.to_string()))?;
        let (mut record, event) = (granted.record(&issuer, &token), granted.event());
        book::keep(&mut record, &event);
        // The id of a token is that of its record.
        record.id = Some(id);
        Ok(Signed { token, terms: granted.terms().clone(), record, event })
    }
}

fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}
