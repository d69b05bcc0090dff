//! `POST /oauth/token`: from what was sent to a token, its record first.

use std::sync::Arc;

use deed_ledger::{fresh_id, now};
use deed_record::{Submission, Timestamp};
use deed_token::{
    Actor, ErrorCode, Evidence, ExchangeError, Request, Subject, TokenType, Unproven, VerifyError,
    authenticate, dpop::ProofError, exchange, record, state::Event, transaction,
};
use http::StatusCode;
use serde_json::Value;

use super::{Tokens, book};

/// What an OAuth endpoint answers. It may hold a token, so that it is not to be kept by anybody.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
}

impl Reply {
    pub(super) fn ok(body: Value) -> Self {
        Reply { status: StatusCode::OK, body }
    }

    pub(super) fn error(code: ErrorCode, why: &str) -> Self {
        let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Reply { status, body: code.body(why) }
    }

    /// Nothing is wrong with the request, and nothing was done.
    pub(super) fn unavailable(why: &str) -> Self {
        Reply::error(ErrorCode::TemporarilyUnavailable, why)
    }
}

/// A token that was signed, and has not left.
struct Signed {
    record: Submission<'static>,
    /// What holds from then on; transaction tokens are gone before anybody could revoke them.
    event: Option<Event>,
    answer: Value,
}

/// Why there is no token.
pub(super) enum Failed {
    Refused(Box<Refused>),
    Unavailable(String),
}

/// What is refused, with as much as was verified by then.
pub(super) struct Refused {
    pub(super) error: ExchangeError,
    pub(super) subject: Option<Subject>,
    pub(super) actor: Option<Actor>,
}

impl From<Unproven> for Failed {
    fn from(Unproven { error, actor }: Unproven) -> Self {
        Failed::Refused(Box::new(Refused { error, subject: None, actor: actor.map(|actor| *actor) }))
    }
}

impl From<ExchangeError> for Failed {
    fn from(error: ExchangeError) -> Self {
        Failed::Refused(Box::new(Refused { error, subject: None, actor: None }))
    }
}

impl Tokens {
    /// Exchanges what `form` holds for a token (RFC 8693); `proof` is the header `DPoP`.
    pub(crate) async fn exchange(
        self: &Arc<Self>,
        form: String,
        proof: Result<Option<String>, ProofError>,
    ) -> Reply {
        match self.issue(form, proof).await {
            Ok(answer) => Reply::ok(answer),
            Err(Failed::Refused(refused)) => self.refuse(*refused).await,
            Err(Failed::Unavailable(why)) => Reply::unavailable(&why),
        }
    }

    async fn issue(
        self: &Arc<Self>,
        form: String,
        proof: Result<Option<String>, ProofError>,
    ) -> Result<Value, Failed> {
        self.ready().await?;
        let request = Request::parse(&form)?;
        let proof = proof.map_err(ExchangeError::Proof)?;
        let shown = [&request.client_assertion, &request.actor_token, &Some(request.subject_token.clone())];
        for token in shown.into_iter().flatten() {
            self.trusted.prepare(token.expose()).await.map_err(Failed::Unavailable)?;
        }
        let signed = self.work(move |tokens| tokens.decide(&request, proof.as_deref(), now())).await;
        let signed = signed.ok_or_else(|| Failed::Unavailable("the server is stopping".to_owned()))??;
        // INVARIANT D1: no token leaves before its record is durable. One whose record came too late is known
        // to nobody.
        self.append(&signed.record).await.map_err(|error| Failed::Unavailable(error.to_string()))?;
        if let Some(event) = &signed.event {
            self.book.apply(event, now());
        }
        Ok(signed.answer)
    }

    /// Knows what holds.
    pub(super) async fn ready(&self) -> Result<(), Failed> {
        let loaded = self.book.load(&self.ledger).await;
        loaded.map_err(|error| {
            tracing::error!(%error, "the log cannot be read");
            Failed::Unavailable("the log cannot be read".to_owned())
        })
    }

    fn decide(&self, request: &Request, proof: Option<&str>, now: Timestamp) -> Result<Signed, Failed> {
        self.turn();
        let shown = [&request.client_assertion, &request.actor_token];
        let itself = shown.iter().all(|token| token.is_none()).then_some(&request.subject_token);
        for token in shown.into_iter().flatten().chain(itself) {
            self.refuse_forgotten(token.expose())?;
        }
        let issuer = self.signing.issuer();
        let (subject, actor) = authenticate(request, &self.trusted.now(), &issuer, now, &self.used)?;
        let refused = |error: ExchangeError| {
            let (subject, actor) = (Some(subject.clone()), Some(actor.clone()));
            Failed::Refused(Box::new(Refused { error, subject, actor }))
        };
        let proof = proof.map(|proof| self.proof(proof, "POST", &self.endpoint, None, now)).transpose();
        let proof = proof.map_err(|error| refused(error.into()))?;
        self.refuse_suspended(&subject, &actor)?.map_or(Ok(()), |error| Err(refused(error)))?;

        let id = fresh_id().map_err(|error| Failed::Unavailable(error.to_string()))?;
        let unsigned = |error: deed_token::issue::IssueError| Failed::Unavailable(error.to_string());
        let evidence = Evidence { subject: &subject, actor: &actor, proof: proof.as_ref() };
        let (policy, state) = (&self.settings.policy, self.book.state());
        let mut signed = if request.requested == TokenType::TxnToken {
            let granted = transaction(request, evidence, policy, &state, now, &id.to_string());
            let granted = granted.map_err(refused)?;
            let token = issuer.sign_transaction(&granted).map_err(unsigned)?;
            let record = granted.record(&issuer, &token, &subject, &actor);
            Signed { record, event: None, answer: granted.response(&token) }
        } else {
            // The id of a token is that of its record.
            let granted = exchange(request, evidence, policy, &state, now, &id.to_string());
            let granted = granted.map_err(refused)?;
            let token = issuer.sign(&granted).map_err(unsigned)?;
            let (mut record, event) = (granted.record(&issuer, &token), granted.event());
            book::keep(&mut record, &event);
            Signed { record, event: Some(event), answer: granted.response(&token) }
        };
        signed.record.id = Some(id);
        Ok(signed)
    }

    /// Refuses an assertion that may have been used before this process began. A JWT-SVID may be shown again.
    pub(super) fn refuse_forgotten(&self, token: &str) -> Result<(), ExchangeError> {
        let is_svid = super::Peeked::of(token).sub.is_some_and(|sub| sub.starts_with("spiffe://"));
        match !is_svid && self.is_forgotten(token) {
            true => Err(ExchangeError::Actor(VerifyError::Replayed)),
            false => Ok(()),
        }
    }

    fn refuse_suspended(&self, subject: &Subject, actor: &Actor) -> Result<Option<ExchangeError>, Failed> {
        let chain = subject.chain().iter().map(|hop| hop.key.as_str());
        let principals: Vec<&str> =
            [subject.key(), &actor.principal().key].into_iter().chain(chain).collect();
        let shown = [subject.fingerprint(), actor.credential(), actor.fingerprint()];
        let mut credentials: Vec<String> = shown.iter().map(ToString::to_string).collect();
        credentials.extend(subject.jti().map(str::to_owned));
        credentials.extend(subject.own().into_iter().flat_map(|own| self.book.lineage(&own.terms().jti)));
        let credentials = credentials.iter().map(String::as_str);
        let found = self.stops.find(&self.ledger, subject.tenant(), principals, credentials);
        let found = found.map_err(|error| Failed::Unavailable(error.to_string()))?;
        Ok(found.map(ExchangeError::Suspended))
    }

    /// Answers a refusal, which is recorded first.
    pub(super) async fn refuse(&self, refused: Refused) -> Reply {
        let Refused { error, subject, actor } = refused;
        // Whoever is nobody cannot fill the disk: nothing is decided for so many.
        if actor.is_none() && !self.strangers.admit() {
            return Reply::unavailable("too many requests by unknown clients at once; try again");
        }
        let record = record::refusal(&error, subject.as_ref(), actor.as_ref(), now());
        match self.append(&record).await {
            Ok(()) => Reply::error(error.code(), &error.to_string()),
            Err(unavailable) => Reply::unavailable(&unavailable.to_string()),
        }
    }
}
