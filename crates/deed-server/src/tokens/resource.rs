//! The resource side: who stands behind a request to an MCP server, and how a client is sent to sign in.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use deed_gateway::{Term, TermEnd, Who};
use deed_ledger::now;
use deed_record::{Credential, PrincipalType, RecordId, Text, Timestamp};
use deed_token::{
    Comer, Details, ErrorCode, Fingerprint, OwnToken, Scope, Secret, Subject, Terms, TokenType, VerifyError,
    dpop::{ProofError, check_binding},
    metadata::ProtectedResource,
    principal::{Hop, oidc_key},
    state::Inactive,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{json, value::RawValue};
use tokio::time::sleep;

use super::{Tokens, peek::Peeked, proof_in};
use crate::problem::RETRY_AFTER;

/// Who stands behind a request: what a token says that was issued for this resource, holds now, and came
/// with the proof that it needs.
#[derive(Clone, Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "what policies need of it stands in the credential"))]
pub(crate) struct Presented {
    /// On whose behalf; `None` where the executor acts for itself.
    pub(crate) initiator: Option<Who>,
    /// Who acts.
    pub(crate) executor: Who,
    /// The actors between them, the first of them first.
    pub(crate) chain: Vec<Who>,
    /// The token, as records have it (`deed_record::Credential`): never the token itself (INVARIANT D9).
    pub(crate) credential: Box<RawValue>,
    /// Whose.
    pub(crate) tenant: String,
    /// What it allows; nothing where the issuer says nothing of scopes.
    pub(crate) scope: Scope,
    /// What it allows beside its scope (RFC 9396).
    pub(crate) details: Details,
    /// What it is for, as the client said when it was issued.
    pub(crate) task: Option<String>,
    /// The record of its issue, where Deed issued it.
    pub(crate) grant: Option<RecordId>,
    /// Every name of it and of all that it was made from: ids, fingerprints. Whatever is suspended of them
    /// stops it.
    pub(crate) lineage: Vec<String>,
    /// When it expires.
    pub(crate) expires: Timestamp,
    /// What servers behind may be shown of it.
    pub(crate) comer: Comer,
}

/// Why a request is not let through, and what its client can do about it (RFC 6750, section 3; RFC 9449,
/// section 7.1; RFC 9728, section 5.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Challenge {
    status: StatusCode,
    error: Option<&'static str>,
    why: String,
    /// The scope that would be enough.
    scope: Option<String>,
    /// URL of the metadata of the resource.
    document: String,
    /// Whether a proof is needed, or was wrong.
    proof: bool,
}

impl Challenge {
    /// No token was shown.
    pub(crate) fn absent(resource: &str) -> Self {
        let why = "send `Authorization: Bearer` (or `DPoP`) and an access token for this resource";
        Challenge { error: None, ..Challenge::new(resource, StatusCode::UNAUTHORIZED, "", why) }
    }

    /// The token does not hold here: malformed, for another resource, expired, revoked, suspended.
    pub(crate) fn invalid(resource: &str, why: impl Into<String>) -> Self {
        Challenge::new(resource, StatusCode::UNAUTHORIZED, "invalid_token", why)
    }

    /// The proof of possession is missing or wrong.
    pub(crate) fn proof(resource: &str, why: impl Into<String>) -> Self {
        let error = ErrorCode::InvalidDpopProof.as_str();
        Challenge { proof: true, ..Challenge::new(resource, StatusCode::UNAUTHORIZED, error, why) }
    }

    /// The request itself cannot be understood: two tokens, say.
    pub(crate) fn malformed(resource: &str, why: impl Into<String>) -> Self {
        Challenge::new(resource, StatusCode::BAD_REQUEST, "invalid_request", why)
    }

    /// The token holds, but what is asked takes more than it allows: `scope`.
    pub(crate) fn scope(resource: &str, scope: &str) -> Self {
        let why = format!("it takes the scope `{scope}`");
        let challenge = Challenge::new(resource, StatusCode::FORBIDDEN, "insufficient_scope", why);
        Challenge { scope: Some(scope.to_owned()), ..challenge }
    }

    /// It cannot be known now whether the token holds.
    pub(crate) fn unavailable(resource: &str, why: impl Into<String>) -> Self {
        let error = ErrorCode::TemporarilyUnavailable.as_str();
        Challenge::new(resource, StatusCode::SERVICE_UNAVAILABLE, error, why)
    }

    fn new(resource: &str, status: StatusCode, error: &'static str, why: impl Into<String>) -> Self {
        let document = metadata_url(resource).unwrap_or_default();
        Challenge { status, error: Some(error), why: why.into(), scope: None, document, proof: false }
    }

    /// The HTTP status: 401, 403 for too little scope, 400, 503.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The OAuth error code; `None` where no token was shown.
    pub(crate) fn error(&self) -> Option<&'static str> {
        self.error
    }

    /// What is wrong, without a value of the token (INVARIANT D9).
    pub(crate) fn why(&self) -> &str {
        &self.why
    }

    /// What goes with the status: `WWW-Authenticate`, or when to come again.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
            return headers;
        }
        // `Bearer` first: there are clients that look at the first one alone. Of a proof it says nothing (RFC 9449, section 7.1).
        let error = self.error.filter(|_| !self.proof);
        let bearer = ProtectedResource::challenge(&self.document, error, self.scope.as_deref());
        let dpop = self.proof.then(|| ProtectedResource::proof_challenge(&self.document, self.error));
        for text in std::iter::once(bearer).chain(dpop) {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.append(header::WWW_AUTHENTICATE, value);
            }
        }
        headers
    }
}

impl IntoResponse for Challenge {
    fn into_response(self) -> Response {
        let mut headers = self.headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let error = self.error.unwrap_or("invalid_token");
        let body = json!({ "error": error, "error_description": self.why }).to_string();
        (self.status, headers, body).into_response()
    }
}

/// Where the metadata of `resource` is (RFC 9728, section 3.1); `None` if it is no `http` URL.
fn metadata_url(resource: &str) -> Option<String> {
    let path = ProtectedResource::path(resource)?;
    let start = resource.find("://")? + 3;
    let end = resource[start..].find('/').map_or(resource.len(), |slash| start + slash);
    Some(format!("{}{path}", &resource[..end]))
}

impl Tokens {
    /// The resource that the MCP server `server` is (RFC 8707): `aud` of tokens for it.
    pub(crate) fn resource_of(&self, server: &str) -> String {
        format!("{}/mcp/{server}", self.settings.issuer)
    }

    /// Verifies the token of a request to `resource`: one of Deed's own, or an access token of a trusted
    /// OIDC issuer. `url` is that of the request as the client sees it, for the proof of possession.
    ///
    /// INVARIANT D7: a token for another audience is refused, and none is passed on.
    ///
    /// # Errors
    /// How the client is answered.
    pub(crate) async fn verify(
        self: &Arc<Self>,
        headers: &HeaderMap,
        method: &Method,
        url: &str,
        resource: &str,
    ) -> Result<Presented, Challenge> {
        let shown = Shown::of(headers, resource)?;
        if self.ready().await.is_err() {
            return Err(Challenge::unavailable(resource, "the log cannot be read"));
        }
        let prepared = self.trusted.prepare(shown.token.expose()).await;
        prepared.map_err(|why| Challenge::unavailable(resource, why))?;
        let (method, url, at) = (method.as_str().to_owned(), url.to_owned(), resource.to_owned());
        let verified = self.work(move |tokens| tokens.believe(&shown, &method, &url, &at, now())).await;
        verified.unwrap_or_else(|| Err(Challenge::unavailable(resource, "the server is stopping")))
    }

    /// How long what was `presented` holds.
    pub(crate) fn term(self: &Arc<Self>, presented: &Presented) -> Term {
        let (tokens, expires) = (self.clone(), presented.expires);
        let own = presented.grant.map(|grant| grant.to_string());
        Term::new(move || {
            let (tokens, own) = (tokens.clone(), own.clone());
            Box::pin(async move {
                let left = u64::try_from(expires.0 - now().0).unwrap_or_default();
                let over = sleep(Duration::from_micros(left));
                let revoked = tokens.revoked(own.as_deref());
                tokio::select! {
                    () = over => TermEnd::Expired,
                    () = revoked => TermEnd::Revoked,
                }
            })
        })
    }

    /// Returns once the token `jti` of ours is revoked, or one that it was made from.
    async fn revoked(&self, jti: Option<&str>) {
        let Some(jti) = jti else { return std::future::pending().await };
        let mut changes = self.book.changes();
        while self.book.state().check(jti, now()) != Err(Inactive::Revoked) {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn believe(
        &self,
        shown: &Shown,
        method: &str,
        url: &str,
        resource: &str,
        now: Timestamp,
    ) -> Result<Presented, Challenge> {
        let token = shown.token.expose();
        let invalid = |error: VerifyError| Challenge::invalid(resource, error.to_string());
        let issuer = Peeked::of(token).iss.ok_or_else(|| invalid(VerifyError::Missing("iss")))?;
        let (presented, bound_to) = if issuer == self.settings.issuer {
            let own = self.signing.issuer().verify_for(token, resource, now).map_err(invalid)?;
            self.holds(own.terms(), own.fingerprint(), now).map_err(|error| match error {
                Lapsed::Inactive(why) => Challenge::invalid(resource, why),
                Lapsed::Unknown(why) => Challenge::unavailable(resource, why),
            })?;
            (self.of_own(&own), own.terms().bound_to)
        } else {
            let trust = self.trusted.now().at_resource(&issuer, resource);
            let trust = trust.ok_or_else(|| invalid(VerifyError::Issuer))?;
            let subject = trust.subject(token, TokenType::AccessToken, &self.signing.issuer(), now);
            let subject = subject.map_err(invalid)?;
            let presented = self.of_outside(&issuer, &subject);
            self.refuse_stopped(&presented, resource)?;
            (presented, subject.bound_to())
        };
        if shown.is_bound != bound_to.is_some() || self.settings.policy.requires_proof && bound_to.is_none() {
            let why = "a token that is bound to a key is shown as `Authorization: DPoP`, with a proof; any other as `Bearer`";
            return Err(Challenge::proof(resource, why));
        }
        if bound_to.is_some() {
            let wrong = |error: ProofError| Challenge::proof(resource, error.to_string());
            let proof = shown.proof.as_deref().ok_or_else(|| wrong(ProofError::Absent))?;
            let proof = self.proof(proof, method, url, Some(token), now).map_err(wrong)?;
            check_binding(bound_to, Some(&proof)).map_err(wrong)?;
        }
        Ok(presented)
    }

    /// Whether a token of ours holds: neither it nor anything it was made from was revoked, and nobody and
    /// nothing in it is suspended.
    pub(super) fn holds(
        &self,
        terms: &Terms,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Result<(), Lapsed> {
        self.book.state().check(&terms.jti, now).map_err(|why| Lapsed::Inactive(why.to_string()))?;
        let mut names = self.book.lineage(&terms.jti);
        names.push(fingerprint.to_string());
        self.refuse_held(terms, &names)
    }

    /// Refuses what somebody of the chain is suspended for, or one of the credentials `names`.
    pub(super) fn refuse_held(&self, terms: &Terms, names: &[String]) -> Result<(), Lapsed> {
        let chain = terms.chain.iter().map(|hop| hop.key.as_str());
        let principals: Vec<&str> = [terms.subject.as_str()].into_iter().chain(chain).collect();
        let names = names.iter().map(String::as_str);
        let found = self.stops.find(&self.ledger, &terms.tenant, principals, names);
        match found.map_err(|error| Lapsed::Unknown(error.to_string()))? {
            Some(_) => Err(Lapsed::Inactive(Inactive::Suspended.to_string())),
            None => Ok(()),
        }
    }

    fn refuse_stopped(&self, presented: &Presented, resource: &str) -> Result<(), Challenge> {
        let keys = presented.initiator.iter().chain([&presented.executor]).chain(&presented.chain);
        let keys: Vec<&str> = keys.filter_map(|who| who.key.as_deref()).collect();
        let names = presented.lineage.iter().map(String::as_str);
        let found = self.stops.find(&self.ledger, &presented.tenant, keys, names);
        match found.map_err(|error| Challenge::unavailable(resource, error.to_string()))? {
            Some(_) => Err(Challenge::invalid(resource, Inactive::Suspended.to_string())),
            None => Ok(()),
        }
    }

    fn of_own(&self, own: &OwnToken) -> Presented {
        let terms = own.terms();
        let fingerprint = own.fingerprint().to_string();
        let mut lineage = self.book.lineage(&terms.jti);
        lineage.push(fingerprint.clone());
        // Whoever acts for nobody is the executor alone.
        let initiator = (!terms.chain.is_empty()).then(|| who(&terms.subject, terms.subject_kind));
        let between = terms.chain.iter().skip(1).rev().map(|hop| who(&hop.key, hop.kind));
        let credential = Credential {
            expires: Some(seconds(terms.expires)),
            fingerprint: Some(fingerprint.into()),
            issued: Some(seconds(terms.issued)),
            issuer: Some(self.settings.issuer.as_str().into()),
            jti: Some(terms.jti.as_str().into()),
            parent: terms.parent.as_deref().map(Text::from),
            scopes: terms.scope.words().map(Text::from).collect(),
            kind: Some(Text::from(if terms.bound_to.is_some() { "dpop" } else { "bearer" })),
            ..Credential::default()
        };
        Presented {
            initiator,
            executor: who(terms.actor(), terms.actor_kind()),
            chain: between.collect(),
            credential: json_of(&credential),
            tenant: terms.tenant.clone(),
            scope: terms.scope.clone(),
            details: terms.details.clone(),
            task: terms.task.clone(),
            grant: terms.jti.parse().ok(),
            lineage,
            expires: seconds(terms.expires),
            comer: Comer::own(own),
        }
    }

    /// A person's token that their client shows by itself: the client acts.
    fn of_outside(&self, issuer: &str, subject: &Subject) -> Presented {
        let fingerprint = subject.fingerprint().to_string();
        let person = who(subject.key(), subject.kind());
        let acting = subject.client().map(|client| match self.trusted.client(issuer, client) {
            Some(agent) => agent.clone(),
            // The issuer says which client, and nobody what it is.
            None => {
                Who { name: Some(client.to_owned()), ..who(&oidc_key(issuer, client), PrincipalType::Agent) }
            }
        });
        let (initiator, executor) = match (subject.kind(), acting) {
            // A program that signed in for itself.
            (PrincipalType::Human, Some(agent)) => (Some(person), agent),
            (PrincipalType::Human, None) => (Some(person), Who::unknown()),
            (_, Some(agent)) if agent.name.is_none() => (None, agent),
            (_, _) => (None, person),
        };
        let scope = subject.scope();
        let hops = subject.chain().iter().cloned();
        let actor = executor.key.clone().filter(|_| initiator.is_some());
        let actors = actor.map(|key| Hop { key, kind: executor.kind }).into_iter().chain(hops).collect();
        let first = initiator.as_ref().unwrap_or(&executor);
        let first = Hop { key: first.key.clone().unwrap_or_default(), kind: first.kind };
        let comer = Comer::other(first, actors, subject.tenant()).showing(
            subject.fingerprint(),
            scope.clone(),
            subject.details(),
            subject.expires(),
        );
        let comer = comer.known_as(subject.jti());
        let credential = Credential {
            expires: Some(seconds(subject.expires())),
            fingerprint: Some(fingerprint.as_str().into()),
            issuer: Some(issuer.into()),
            jti: subject.jti().map(Text::from),
            scopes: scope.words().map(Text::from).collect(),
            kind: Some(Text::from(if subject.bound_to().is_some() { "dpop" } else { "bearer" })),
            ..Credential::default()
        };
        Presented {
            initiator,
            executor,
            chain: subject.chain().iter().rev().map(|hop| who(&hop.key, hop.kind)).collect(),
            credential: json_of(&credential),
            tenant: subject.tenant().to_owned(),
            scope: scope.clone(),
            details: subject.details(),
            task: None,
            grant: None,
            lineage: subject.jti().map(str::to_owned).into_iter().chain([fingerprint]).collect(),
            expires: seconds(subject.expires()),
            comer,
        }
    }
}

/// Why a token of ours does not hold.
pub(super) enum Lapsed {
    Inactive(String),
    /// It cannot be told.
    Unknown(String),
}

/// A token as it was shown.
struct Shown {
    token: Secret,
    /// By the scheme `DPoP`.
    is_bound: bool,
    proof: Option<String>,
}

impl Shown {
    fn of(headers: &HeaderMap, resource: &str) -> Result<Self, Challenge> {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or_else(|| Challenge::absent(resource))?;
        if values.next().is_some() {
            return Err(Challenge::malformed(resource, "`Authorization` is there twice"));
        }
        let split = value.to_str().ok().and_then(|value| value.split_once(' '));
        let (scheme, token) =
            split.ok_or_else(|| Challenge::malformed(resource, "`Authorization` holds no token"))?;
        let is_bound = scheme.eq_ignore_ascii_case("dpop");
        if !is_bound && !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Challenge::absent(resource));
        }
        let proof = proof_in(headers).map_err(|error| Challenge::proof(resource, error.to_string()))?;
        Ok(Shown { token: Secret::new(token.trim().to_owned()), is_bound, proof: proof.map(str::to_owned) })
    }
}

fn who(key: &str, kind: PrincipalType) -> Who {
    Who { kind, key: Some(key.to_owned()), name: None, instance: None }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000_000))
}

fn json_of(credential: &Credential<'_>) -> Box<RawValue> {
    // A structure of texts and times is always JSON.
    serde_json::value::to_raw_value(credential).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
