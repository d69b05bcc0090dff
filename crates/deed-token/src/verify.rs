//! From a token that was shown to somebody who is known: subjects and actors.
//!
//! Both can be made here only: whoever holds one holds what was verified.

mod actor;
mod outside;
mod workload;

use std::sync::Arc;

use deed_record::{PrincipalType, Timestamp};
use serde_json::Value;

use self::outside::outside;
pub use self::workload::Workload;
use crate::{
    claims::MayAct,
    details::Details,
    error::VerifyError,
    issue::{Issuer, OwnToken},
    jwk::Thumbprint,
    jwt::Unverified,
    principal::{Hop, Principal},
    replay::Once,
    scope::Scope,
    text::Fingerprint,
    trust::{Agent, Ceiling, OidcIssuer, Trust, TrustDomain},
    unix,
};

/// What a client says its token is (RFC 8693, section 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TokenType {
    /// `urn:ietf:params:oauth:token-type:access_token`
    AccessToken,
    /// `urn:ietf:params:oauth:token-type:id_token`
    IdToken,
    /// `urn:ietf:params:oauth:token-type:jwt`
    Jwt,
    /// `urn:ietf:params:oauth:token-type:txn_token`
    TxnToken,
}

impl TokenType {
    /// The URI.
    pub const fn uri(self) -> &'static str {
        match self {
            TokenType::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            TokenType::IdToken => "urn:ietf:params:oauth:token-type:id_token",
            TokenType::Jwt => "urn:ietf:params:oauth:token-type:jwt",
            TokenType::TxnToken => "urn:ietf:params:oauth:token-type:txn_token",
        }
    }

    /// The type of that URI.
    pub fn from_uri(uri: &str) -> Option<Self> {
        use TokenType::{AccessToken, IdToken, Jwt, TxnToken};
        [AccessToken, IdToken, Jwt, TxnToken].into_iter().find(|kind| kind.uri() == uri)
    }
}

/// On whose behalf something is asked, verified.
#[derive(Clone, Debug)]
pub struct Subject(pub(crate) Source);

#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// A token of somebody else.
    Outside(Box<Outside>),
    /// A token of this service.
    Own(Box<OwnToken>),
    /// The actor acts for itself.
    Itself(Box<Actor>),
}

/// What a token of an OIDC issuer says.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub(crate) principal: Principal,
    pub(crate) issuer: Arc<OidcIssuer>,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) jti: Option<String>,
    pub(crate) expires: i64,
    pub(crate) scope: Option<Scope>,
    pub(crate) details: Option<Details>,
    pub(crate) bound_to: Option<Thumbprint>,
    pub(crate) may_act: Option<MayAct>,
    /// Of an issuer whose chains are trusted.
    pub(crate) chain: Vec<Hop>,
    /// Of any other.
    pub(crate) claimed_act: Option<Value>,
    pub(crate) client: Option<String>,
}

impl Outside {
    /// Nothing unless somebody said what: the token, or the operator for its issuer.
    pub(crate) fn scope(&self) -> Scope {
        let honoured = self.scope.as_ref().filter(|_| self.issuer.honours_scope);
        match (honoured, &self.issuer.ceiling.scope) {
            (Some(scope), Some(ceiling)) => scope.and(ceiling),
            (Some(scope), None) | (None, Some(scope)) => scope.clone(),
            (None, None) => Scope::default(),
        }
    }
}

impl Subject {
    /// An agent or workload that acts for itself, nobody having asked.
    pub fn itself(actor: &Actor) -> Self {
        Subject(Source::Itself(Box::new(actor.clone())))
    }

    /// [`Principal::key`].
    pub fn key(&self) -> &str {
        match &self.0 {
            Source::Outside(outside) => &outside.principal.key,
            Source::Own(own) => &own.terms().subject,
            Source::Itself(actor) => &actor.principal.key,
        }
    }

    /// What it is.
    pub fn kind(&self) -> PrincipalType {
        match &self.0 {
            Source::Outside(outside) => outside.principal.kind,
            Source::Own(own) => own.terms().subject_kind,
            Source::Itself(actor) => actor.principal.kind,
        }
    }

    /// Who acts for it already, as far as that is believed, the current actor first.
    pub fn chain(&self) -> &[Hop] {
        match &self.0 {
            Source::Outside(outside) => &outside.chain,
            Source::Own(own) => &own.terms().chain,
            Source::Itself(_) => &[],
        }
    }

    /// Whose.
    pub fn tenant(&self) -> &str {
        match &self.0 {
            Source::Outside(outside) => &outside.principal.tenant,
            Source::Own(own) => &own.terms().tenant,
            Source::Itself(actor) => &actor.principal.tenant,
        }
    }

    /// What it is known by in records.
    pub fn fingerprint(&self) -> Fingerprint {
        match &self.0 {
            Source::Outside(outside) => outside.fingerprint,
            Source::Own(own) => own.fingerprint(),
            Source::Itself(actor) => actor.credential,
        }
    }

    /// `jti`, where there is one: what else it can be suspended by.
    pub fn jti(&self) -> Option<&str> {
        match &self.0 {
            Source::Outside(outside) => outside.jti.as_deref(),
            Source::Own(own) => Some(&own.terms().jti),
            Source::Itself(_) => None,
        }
    }

    /// When what was shown expires, in seconds.
    pub fn expires(&self) -> i64 {
        match &self.0 {
            Source::Outside(outside) => outside.expires,
            Source::Own(own) => own.terms().expires,
            Source::Itself(actor) => actor.expires,
        }
    }

    /// What it may be used for: of a token of another issuer, as far as its issuer may say so.
    pub fn scope(&self) -> Scope {
        match &self.0 {
            Source::Outside(outside) => outside.scope(),
            Source::Own(own) => own.terms().scope.clone(),
            Source::Itself(_) => Scope::default(),
        }
    }

    /// `authorization_details` of it.
    pub fn details(&self) -> Details {
        match &self.0 {
            Source::Outside(outside) => outside.details.clone().unwrap_or_default(),
            Source::Own(own) => own.terms().details.clone(),
            Source::Itself(_) => Details::default(),
        }
    }

    /// The client it was issued to (`azp`, `client_id`), as its issuer calls it.
    pub fn client(&self) -> Option<&str> {
        match &self.0 {
            Source::Outside(outside) => outside.client.as_deref(),
            Source::Own(own) => Some(&own.terms().client),
            Source::Itself(_) => None,
        }
    }

    /// The only key whose proofs make it valid.
    pub fn bound_to(&self) -> Option<Thumbprint> {
        match &self.0 {
            Source::Outside(outside) => outside.bound_to,
            Source::Own(own) => own.terms().bound_to,
            Source::Itself(_) => None,
        }
    }

    /// The token of this service, if it is one.
    pub fn own(&self) -> Option<&OwnToken> {
        match &self.0 {
            Source::Own(own) => Some(own),
            _ => None,
        }
    }
}

/// Who acts: a client that authenticated itself.
#[derive(Clone, Debug)]
pub struct Actor {
    pub(crate) principal: Principal,
    pub(crate) credential: Fingerprint,
    pub(crate) shown: Fingerprint,
    pub(crate) expires: i64,
    pub(crate) spiffe: Option<String>,
    pub(crate) agent: Option<Arc<Agent>>,
    pub(crate) domain: Option<Arc<TrustDomain>>,
}

impl Actor {
    /// Who it is.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// What it can be suspended by: the thumbprint of the registered key, or the hash of the SVID.
    pub fn credential(&self) -> Fingerprint {
        self.credential
    }

    /// Hash of the token that was shown.
    pub fn fingerprint(&self) -> Fingerprint {
        self.shown
    }

    /// The SPIFFE ID it was known by, if it was.
    pub fn spiffe(&self) -> Option<&str> {
        self.spiffe.as_deref()
    }

    /// What it is called at an issuer.
    pub(crate) fn name_at(&self, issuer: &str) -> Option<&str> {
        self.agent.as_ref()?.names.get(issuer).map(String::as_str)
    }

    pub(crate) fn ceilings(&self) -> impl Iterator<Item = &Ceiling> {
        let agent = self.agent.as_deref().map(|agent| &agent.ceiling);
        agent.into_iter().chain(self.domain.as_deref().map(|domain| &domain.ceiling))
    }
}

impl Trust {
    /// Verifies a `subject_token`: one of a trusted issuer's, or of this service (`own`).
    ///
    /// # Errors
    /// It is not one that is believed, now, here, as what it is said to be.
    pub fn subject(
        &self,
        token: &str,
        kind: TokenType,
        own: &Issuer,
        now: Timestamp,
    ) -> Result<Subject, VerifyError> {
        let unverified = Unverified::parse(token)?;
        let fingerprint = Fingerprint::of(token);
        let iss = unverified.claims.get("iss").and_then(Value::as_str);
        let iss = iss.ok_or(VerifyError::Missing("iss"))?;
        if iss == own.url() {
            if kind == TokenType::IdToken || kind == TokenType::TxnToken {
                return Err(VerifyError::Type { expected: "an access token" });
            }
            let own = own.verify_parsed(unverified, fingerprint, unix(now))?;
            return Ok(Subject(Source::Own(Box::new(own))));
        }
        let issuer = self.issuers.get(iss).ok_or(VerifyError::Issuer)?.clone();
        let outside = outside(unverified, &issuer, kind, fingerprint, unix(now))?;
        Ok(Subject(Source::Outside(Box::new(outside))))
    }

    /// Verifies an `actor_token` or client assertion: a JWT-SVID, or an assertion by a registered key
    /// (RFC 7523), which `once` notes as used.
    ///
    /// Tokens of this service are no authentication: they say on whose behalf, not who shows them.
    ///
    /// # Errors
    /// It is not one that is believed, now, here.
    pub fn actor(&self, token: &str, now: Timestamp, once: &dyn Once) -> Result<Actor, VerifyError> {
        let unverified = Unverified::parse(token)?;
        let fingerprint = Fingerprint::of(token);
        let sub = unverified.claims.get("sub").and_then(Value::as_str);
        let sub = sub.ok_or(VerifyError::Missing("sub"))?.to_owned();
        if sub.starts_with("spiffe://") {
            self.by_svid(unverified, &sub, fingerprint, unix(now))
        } else {
            self.by_assertion(unverified, &sub, fingerprint, unix(now), once)
        }
    }
}
