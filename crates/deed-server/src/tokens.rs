//! The token service (P3): delegated credentials issued, attenuated, renewed and revoked, and what the MCP
//! door asks about those that are shown to it.
//!
//! What a request gets is decided in `deed-token`, which knows neither network nor files nor clock; this room
//! gives it those. `docs/tokens.md` says what clients see.
//!
//! # A request for a token
//!
//! 1. `exchange` takes it from `api::oauth`; `trusted` has the keys at hand of whoever issued what was sent.
//! 2. On the blocking pool: who asks and for whom is verified, what was used before or is suspended (`stops`) is
//!    refused, `deed-token` decides, `signing` signs.
//! 3. The record is durable before anything leaves (INVARIANT D1). Then `book` knows the token, and only then does
//!    the client have it. What cannot be recorded is not issued; what is refused is recorded too.
//!
//! `clients` does the same for revocation and introspection, `resource` for whoever is shown a token, `upstream` for
//! what servers behind the gateway are shown instead.

mod book;
mod clients;
mod exchange;
mod peek;
mod pem;
mod resource;
mod signing;
mod stops;
#[cfg(test)]
mod tests;
mod trusted;
mod upstream;

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use deed_ledger::{AppendError, Ledger, LedgerError, Sender, now};
use deed_record::{Submission, Timestamp};
use deed_token::{
    Expected, Proof, ReplaySet, Secret, VerifyError, Workload,
    dpop::ProofError,
    metadata::{AuthorizationServer, ProtectedResource},
};
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

pub(crate) use self::clients::Asking;
pub(crate) use self::exchange::Reply;
pub(crate) use self::resource::{Challenge, Presented};
pub use self::signing::SigningError;
pub(crate) use self::upstream::{Kept, NotShown};
use self::{book::Book, peek::Peeked, signing::Signing, stops::Stops, trusted::Trusted};
use crate::{settings::TokenSettings, strangers::Strangers};

/// How far the time of a proof of possession may lie from now, in seconds.
const WINDOW: i64 = 60;
/// The longest life of a client assertion (RFC 7523) that is accepted, in seconds.
const LONGEST_ASSERTION: f64 = 300.0;
/// One-time tokens that are remembered: each until it has expired, which is soon.
const MOST_USED: usize = 200_000;
/// The header of a proof of possession (RFC 9449, section 4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// Why the token service does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokensError {
    /// Whom it is to believe cannot be read.
    #[error("`deed.toml`, line {line}: {message}")]
    Settings {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Its keys are not to be had.
    #[error(transparent)]
    Signing(#[from] SigningError),
    /// The log cannot be read.
    #[error("failed to read the log: {0}")]
    Ledger(#[from] LedgerError),
}

/// Why a token is not believed; without a part of it (D9).
pub(crate) enum Unbelieved {
    /// It is wrong, or holds no more.
    Wrong(String),
    /// It cannot be told now.
    Unknown(String),
}

/// The token service of one store.
pub(crate) struct Tokens {
    ledger: Ledger,
    settings: TokenSettings,
    /// URL of `POST /oauth/token`.
    endpoint: String,
    signing: Signing,
    trusted: Trusted,
    book: Book,
    stops: Stops,
    used: Mutex<ReplaySet>,
    /// What was used until then is not remembered: the time of the last record before this process.
    forgotten: Option<Timestamp>,
    /// Signatures are verified and made on as many threads as there are cores.
    turns: Semaphore,
    strangers: Strangers,
    /// How long a record may take to be durable.
    patience: Duration,
}

impl Tokens {
    /// The token service of the store in `dir`.
    ///
    /// # Errors
    /// See [`TokensError`].
    pub(crate) fn open(
        ledger: Ledger,
        dir: &Path,
        settings: &TokenSettings,
        patience: Duration,
    ) -> Result<Self, TokensError> {
        let last = ledger.size().checked_sub(1);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Tokens {
            endpoint: format!("{}/oauth/token", settings.issuer),
            signing: Signing::open(dir, &settings.issuer, settings.rotation, now())?,
            trusted: Trusted::open(dir, settings)?,
            book: Book::default(),
            stops: Stops::default(),
            used: Mutex::new(ReplaySet::new(MOST_USED)),
            forgotten: last.map(|last| book::recorded(&ledger, last)).transpose()?,
            turns: Semaphore::new(cores),
            strangers: Strangers::default(),
            settings: settings.clone(),
            patience,
            ledger,
        })
    }

    /// Which workload shows `token`: one of a trusted issuer's, meant for Deed.
    ///
    /// # Errors
    /// It is not one that is believed, now, here, and why; without a part of it (D9).
    pub(crate) async fn workload(&self, token: &str) -> Result<Workload, String> {
        self.trusted.prepare(token).await?;
        self.trusted.now().workload(token, now()).map_err(|error| error.to_string())
    }

    /// As [`Tokens::workload`], of somebody on another machine.
    ///
    /// # Errors
    /// See [`Unbelieved`].
    pub(crate) async fn remote_workload(self: &Arc<Self>, token: Secret) -> Result<Workload, Unbelieved> {
        self.trusted.prepare(token.expose()).await.map_err(Unbelieved::Unknown)?;
        let verified = self.work(move |tokens| tokens.trusted.now().workload(token.expose(), now())).await;
        let stopping = || Unbelieved::Unknown("the server is stopping".to_owned());
        verified.ok_or_else(stopping)?.map_err(|error| Unbelieved::Wrong(error.to_string()))
    }

    /// The public keys that sign tokens, as a JWKS: those that verify, and the next.
    pub(crate) fn jwks(&self) -> Value {
        self.turn();
        self.signing.issuer().jwks(now())
    }

    /// What clients read to find their way (RFC 8414).
    pub(crate) fn metadata(&self) -> AuthorizationServer {
        AuthorizationServer::new(&self.settings.issuer)
    }

    /// What clients of the MCP server `server` read (RFC 9728): it takes tokens of the trusted issuers, where
    /// people sign in, and of Deed.
    pub(crate) fn resource_metadata(&self, server: &str) -> ProtectedResource {
        let own = &self.settings.issuer;
        let mut document = ProtectedResource::new(&self.resource_of(server), own);
        document.authorization_servers = self.trusted.issuers();
        document.authorization_servers.push(own.clone());
        document.resource_name = Some(server.to_owned());
        document.dpop_bound_access_tokens_required = self.settings.policy.requires_proof;
        document
    }

    /// Something was suspended, or goes on: heeded from the next question on.
    pub(crate) fn look_again(&self) {
        self.stops.look_again();
    }

    /// Keys that cannot be turned are as they were: those that are there go on signing.
    fn turn(&self) {
        if let Err(error) = self.signing.turn(now()) {
            tracing::error!(%error, "the next key of the token service is not published");
        }
    }

    /// Whether `token`, which may be used once, was perhaps used before this process began.
    fn is_forgotten(&self, token: &str) -> bool {
        self.forgotten.is_some_and(|time| Peeked::of(token).may_be_of(time, LONGEST_ASSERTION))
    }

    /// Verifies a proof of possession, and uses it up.
    fn proof(
        &self,
        proof: &str,
        method: &str,
        uri: &str,
        token: Option<&str>,
        now: Timestamp,
    ) -> Result<Proof, ProofError> {
        let expected = Expected { method, uri, token, nonce: None, window: WINDOW };
        let verified = Proof::verify(proof, expected, now, &self.used)?;
        // Of one that is wrong in itself, that is what its client can mend.
        if self.is_forgotten(proof) { Err(VerifyError::Replayed.into()) } else { Ok(verified) }
    }

    /// Records what the service did; returns when that is durable.
    async fn append(&self, record: &Submission<'_>) -> Result<(), AppendError> {
        let tenant = record.tenant.as_deref().unwrap_or(crate::force::TENANT).to_owned();
        let body = serde_json::to_vec(record).map_err(|error| AppendError::Unavailable(error.to_string()))?;
        let sender = Sender { tenant: Some(tenant), name: book::SUBMITTER.to_owned(), ours: true };
        let appended = timeout(self.patience, async {
            let pending = match self.ledger.begin_at_once(&body, &sender)? {
                Some(pending) => pending,
                None => {
                    let ledger = self.ledger.clone();
                    let begun = spawn_blocking(move || ledger.begin(&body, &sender)).await;
                    begun.map_err(|error| AppendError::Unavailable(error.to_string()))??
                }
            };
            pending.await?.into_iter().collect::<Result<Vec<_>, _>>()
        });
        match appended.await {
            Ok(receipts) => receipts.map(drop),
            Err(_) => Err(AppendError::Unavailable(format!(
                "no answer from the disk within {} s",
                self.patience.as_secs()
            ))),
        }
    }

    /// Has `work`, which verifies or signs, done on the blocking pool; `None` when the server stops.
    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Tokens) -> T + Send + 'static,
    ) -> Option<T> {
        let turn = self.turns.acquire().await.ok()?;
        let tokens = self.clone();
        let done = spawn_blocking(move || work(&tokens)).await;
        drop(turn);
        done.inspect_err(|error| tracing::error!(%error, "the work on a token broke off")).ok()
    }
}

/// The proof of possession of a request, if it has one.
///
/// # Errors
/// There is more than one (RFC 9449, section 4.3), or it is no text.
pub(crate) fn proof_in(headers: &HeaderMap) -> Result<Option<&str>, ProofError> {
    let mut proofs = headers.get_all(DPOP).iter();
    match (proofs.next(), proofs.next()) {
        (None, _) => Ok(None),
        (Some(proof), None) => {
            proof.to_str().map(Some).map_err(|_| ProofError::Token(VerifyError::NotCompact))
        }
        (Some(_), Some(_)) => Err(ProofError::Token(VerifyError::NotCompact)),
    }
}
