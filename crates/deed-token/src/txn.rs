//! Transaction tokens (draft-ietf-oauth-transaction-tokens-10), where the policy turns them on.
//!
//! A transaction token carries, within one trust domain, for whom and for what a call is made. It is no
//! access token, can be exchanged for nothing, and is gone within seconds.

use deed_record::Timestamp;
use serde_json::{Value, json};

use crate::{
    dpop::{Proof, check_binding},
    error::VerifyError,
    exchange::{Evidence, ExchangeError, admit},
    issue::{IssueError, Issuer},
    jwt::Unverified,
    policy::Policy,
    request::Request,
    scope::Scope,
    state::State,
    terms::Terms,
    text::{Secret, shown},
    unix,
    verify::TokenType,
};

/// `typ` of a transaction token.
const TYPE: &str = "txntoken+jwt";

/// A transaction token that may be issued. Made by [`transaction`] alone.
#[derive(Clone, PartialEq, Debug)]
pub struct Transaction {
    claims: Value,
    issued: i64,
    expires: i64,
    scope: Scope,
    parent: String,
}

impl Transaction {
    /// `txn`.
    pub fn id(&self) -> &str {
        self.claims["txn"].as_str().unwrap_or_default()
    }

    /// `jti` of the access token it was made from.
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// `deed.task`: what it is for, as the client said.
    pub fn task(&self) -> Option<&str> {
        self.claims["deed"]["task"].as_str()
    }

    /// `scope`.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// `iat`, in seconds.
    pub fn issued(&self) -> i64 {
        self.issued
    }

    /// `exp`, in seconds.
    pub fn expires(&self) -> i64 {
        self.expires
    }

    /// Its claims, for the record.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// The answer to the client (section 8.2 of the draft).
    pub fn response(&self, token: &Secret) -> Value {
        json!({
            "access_token": token.expose(),
            "issued_token_type": TokenType::TxnToken.uri(),
            "token_type": "N_A",
            "expires_in": self.expires - self.issued,
        })
    }
}

/// Decides on a transaction token for a request whose subject is a token of this service, and whose actor
/// is that token's current actor, or one that `may_act` names or, where it names nobody, `aud`. `txn` is its id, random.
///
/// # Errors
/// Transaction tokens are off, or it would be wider than the access token.
pub fn transaction(
    request: &Request,
    evidence: Evidence<'_>,
    policy: &Policy,
    state: &State,
    now: Timestamp,
    txn: &str,
) -> Result<Transaction, ExchangeError> {
    let settings = policy.transactions.as_ref().ok_or(ExchangeError::Transaction)?;
    let Evidence { subject, actor, proof } = evidence;
    let own = subject.own().filter(|_| request.requested == TokenType::TxnToken);
    let terms = own.ok_or(ExchangeError::Transaction)?.terms();
    admit(subject, actor, state)?;
    state.check(&terms.jti, now)?;
    may_use(terms, &actor.principal.key, proof)?;
    // The trust domain is the only audience there is.
    if request.targets.iter().any(|target| *target != settings.trust_domain) {
        return Err(ExchangeError::Transaction);
    }
    let scope = request.scope.as_ref().unwrap_or(&terms.scope);
    // INVARIANT D7: the scope is within the access token's, and so is the life.
    if let Some(more) = scope.words().find(|word| !terms.scope.contains(word)) {
        return Err(ExchangeError::Scope(shown(more)));
    }
    let task = terms.task(request.task.as_ref())?;
    let issued = unix(now);
    let life = settings.longest.min(request.lifetime.unwrap_or(i64::MAX));
    let expires = terms.expires.min(issued.saturating_add(life));
    if expires <= issued {
        return Err(ExchangeError::LIFETIME);
    }
    let mut claims = json!({
        "aud": settings.trust_domain,
        "exp": expires,
        "iat": issued,
        "req_wl": actor.spiffe.as_deref().unwrap_or(&actor.principal.key),
        "scope": scope,
        "sub": terms.subject,
        "txn": txn,
        "deed": { "tenant": terms.tenant, "parent": terms.jti },
    });
    for (name, value) in [("act", terms.act()), ("tctx", request.transaction.clone())] {
        if let Some(value) = value {
            claims[name] = value;
        }
    }
    if let Some(context) = &request.context {
        claims["rctx"] = context.clone();
    }
    if let Some(task) = task {
        claims["deed"]["task"] = json!(task);
    }
    Ok(Transaction { claims, issued, expires, scope: scope.clone(), parent: terms.jti.clone() })
}

fn may_use(terms: &Terms, actor: &str, proof: Option<&Proof>) -> Result<(), ExchangeError> {
    if terms.actor() == actor {
        return Ok(check_binding(terms.bound_to, proof)?);
    }
    terms.names(actor)
}

impl Issuer {
    /// Signs a transaction token.
    ///
    /// # Errors
    /// As [`Issuer::sign`].
    pub fn sign_transaction(&self, transaction: &Transaction) -> Result<Secret, IssueError> {
        let mut claims = transaction.claims.clone();
        claims["iss"] = json!(self.url());
        self.sign_claims(TYPE, transaction.issued, &claims)
    }

    /// The claims of a transaction token of this issuer that is valid now in `trust_domain`.
    ///
    /// # Errors
    /// It is not.
    pub fn verify_transaction(
        &self,
        token: &str,
        trust_domain: &str,
        now: Timestamp,
    ) -> Result<Value, VerifyError> {
        let token = Unverified::parse(token)?;
        token.require_type(&[Some(TYPE)], TYPE)?;
        let claims = self.verify_claims(token, unix(now))?;
        let audience = claims.audience()?;
        if audience.len() != 1 || !audience.contains(trust_domain) {
            return Err(VerifyError::Audience { expected: "the trust domain of this server" });
        }
        Ok(Value::Object(claims.0))
    }
}
