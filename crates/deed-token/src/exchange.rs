//! Token exchange (RFC 8693): from a subject and an actor to a grant that is never wider than its parent.
//!
//! INVARIANT D7, kept here:
//!
//! | | first token, from somebody else's | hand-off, from one of ours | renewal, from one of ours |
//! |---|---|---|---|
//! | scope | within the subject token's (where it is honoured), the issuer's and the agent's ceiling | within the parent's and the next agent's ceiling | same as hand-off |
//! | audience | what the policy allows the tenant, and the ceilings | within the parent's, and all of the first | same as hand-off |
//! | details | within the subject token's and the ceilings | within the parent's | same as hand-off |
//! | life | not beyond the subject token | not beyond the parent | not beyond what the parent was renewable to |
//! | hops | the policy's depth; none where the subject token has `may_act` | one less | no more |
//! | binding | by the proof that comes with it | bound if the parent is | to the parent's key if it is bound |

use deed_record::Timestamp;
use serde_json::{Value, json};

mod base;
mod error;

use self::base::Base;
pub use self::error::ExchangeError;
use crate::{
    dpop::Proof,
    issue::Issuer,
    policy::Policy,
    replay::Once,
    request::Request,
    state::{Event, Issued, State},
    terms::{Relation, Terms},
    text::{Fingerprint, Secret},
    trust::Trust,
    unix,
    verify::{Actor, Source, Subject, TokenType},
};

/// What may be issued. Made by [`exchange`] and [`upstream`](crate::upstream()) alone.
#[derive(Clone, PartialEq, Debug)]
pub struct Grant {
    terms: Terms,
    credentials: Vec<Fingerprint>,
    /// `jti` of the subject's token, where that is somebody else's and has one.
    shown: Option<String>,
}

impl Grant {
    pub(crate) fn new(terms: Terms, credentials: Vec<Fingerprint>, shown: Option<String>) -> Self {
        Grant { terms, credentials, shown }
    }

    /// What the token will say.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What was shown for it: the subject's token, and the actor's credential.
    pub fn credentials(&self) -> &[Fingerprint] {
        &self.credentials
    }

    /// `jti` of the subject's token, where that is somebody else's and has one.
    pub fn shown(&self) -> Option<&str> {
        self.shown.as_deref()
    }

    /// What [`State`] must be told, after it is durable and before the token leaves.
    pub fn event(&self) -> Event {
        let terms = &self.terms;
        let issued = Issued {
            jti: terms.jti.clone(),
            parent: terms.parent.clone(),
            relation: terms.relation,
            tenant: terms.tenant.clone(),
            subject: terms.subject.clone(),
            actors: terms.chain.iter().map(|hop| hop.key.clone()).collect(),
            credentials: self.credentials.clone(),
            shown: self.shown.clone(),
            issued: terms.issued,
            expires: terms.expires,
            not_after: terms.not_after,
        };
        match terms.relation {
            Relation::Renewal => Event::Renewed(issued),
            Relation::Root | Relation::HandOff | Relation::Upstream => Event::Issued(issued),
        }
    }

    /// The answer to the client (RFC 8693, section 2.2.1), to be sent with `Cache-Control: no-store`.
    pub fn response(&self, token: &Secret) -> Value {
        let terms = &self.terms;
        let mut response = json!({
            "access_token": token.expose(),
            "issued_token_type": TokenType::AccessToken.uri(),
            "token_type": if terms.bound_to.is_some() { "DPoP" } else { "Bearer" },
            "expires_in": terms.expires - terms.issued,
            "scope": terms.scope,
        });
        if !terms.details.is_empty() {
            response["authorization_details"] = json!(terms.details);
        }
        response
    }
}

/// Verifies the tokens of a request: on whose behalf, and who asks.
///
/// Without `client_assertion` and `actor_token` the subject token must itself be an agent's or workload's
/// credential: it then acts for itself.
///
/// # Errors
/// A token is not believed, or they name different clients.
pub fn authenticate(
    request: &Request,
    trust: &Trust,
    issuer: &Issuer,
    now: Timestamp,
    once: &dyn Once,
) -> Result<(Subject, Actor), Unproven> {
    let verified = |token: &Option<Secret>| {
        let actor = token.as_ref().map(|token| trust.actor(token.expose(), now, once));
        actor.transpose().map_err(ExchangeError::Actor)
    };
    let itself = request.client_assertion.is_none() && request.actor_token.is_none();
    let (subject, actor) = if itself {
        let actor = trust.actor(request.subject_token.expose(), now, once);
        let actor = actor.map_err(|_| ExchangeError::NoActor)?;
        (Subject::itself(&actor), actor)
    } else {
        // INVARIANT D7: whoever is put into the chain is who authenticated itself.
        let actor = match (verified(&request.client_assertion)?, verified(&request.actor_token)?) {
            (Some(client), Some(actor)) if client.principal != actor.principal => {
                return Err(ExchangeError::OtherActor.into());
            }
            (client, actor) => client.or(actor).ok_or(ExchangeError::NoActor)?,
        };
        let token = request.subject_token.expose();
        let subject = trust.subject(token, request.subject_token_type, issuer, now);
        match subject {
            Ok(subject) => (subject, actor),
            Err(error) => {
                return Err(Unproven { error: ExchangeError::Subject(error), actor: Some(Box::new(actor)) });
            }
        }
    };
    match &request.client_id {
        Some(id) if *id != actor.principal.key => Err(ExchangeError::OtherActor.into()),
        _ => Ok((subject, actor)),
    }
}

/// Why a request says not, or not truly, on whose behalf and who asks.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct Unproven {
    /// What is wrong.
    pub error: ExchangeError,
    /// Who asks, where that is known all the same.
    pub actor: Option<Box<Actor>>,
}

impl From<ExchangeError> for Unproven {
    fn from(error: ExchangeError) -> Self {
        Unproven { error, actor: None }
    }
}

impl From<Unproven> for ExchangeError {
    fn from(unproven: Unproven) -> Self {
        unproven.error
    }
}

/// What is shown for a token, all of it verified.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// On whose behalf.
    pub subject: &'a Subject,
    /// Who acts.
    pub actor: &'a Actor,
    /// That the request came from whoever holds a key.
    pub proof: Option<&'a Proof>,
}

/// Decides what a request gets. `jti` is the id of the new token: random, and never used before.
///
/// # Errors
/// Nothing is granted, for the reason that the error says; it is never less in silence.
pub fn exchange(
    request: &Request,
    evidence: Evidence<'_>,
    policy: &Policy,
    state: &State,
    now: Timestamp,
    jti: &str,
) -> Result<Grant, ExchangeError> {
    if request.requested != TokenType::AccessToken {
        return Err(ExchangeError::Transaction);
    }
    let Evidence { subject, actor, proof } = evidence;
    admit(subject, actor, state)?;
    let base = match &subject.0 {
        Source::Outside(outside) => Base::outside(outside, actor, proof, policy, unix(now))?,
        Source::Itself(itself) => Base::itself(itself, policy, unix(now)),
        Source::Own(own) => Base::own(own, actor, proof, policy, state, now)?,
    };
    let terms = base.terms(request, evidence, policy, unix(now), jti)?;
    if !terms.fits() {
        return Err(ExchangeError::ResultTooLarge);
    }
    // INVARIANT D7: checked on the finished terms once more, by other code.
    if subject.own().is_some_and(|own| !terms.is_within(own.terms())) {
        return Err(ExchangeError::Wider);
    }
    let shown = subject.jti().filter(|_| subject.own().is_none()).map(str::to_owned);
    Ok(Grant::new(terms, vec![subject.fingerprint(), actor.credential], shown))
}

/// Whether subject and actor may be seen together at all.
pub(crate) fn admit(subject: &Subject, actor: &Actor, state: &State) -> Result<(), ExchangeError> {
    // INVARIANT D7: what a system behind was shown is good for nothing else.
    if subject.own().is_some_and(|own| own.terms().relation == Relation::Upstream) {
        return Err(ExchangeError::NotHanded);
    }
    if subject.tenant() != actor.principal.tenant {
        return Err(ExchangeError::Tenant);
    }
    let chain = subject.chain().iter().map(|hop| hop.key.as_str());
    for key in [subject.key(), &actor.principal.key].into_iter().chain(chain) {
        if state.is_principal_suspended(key) {
            return Err(ExchangeError::Suspended(key.to_owned()));
        }
    }
    for credential in [subject.fingerprint(), actor.credential, actor.shown] {
        if state.is_credential_suspended(credential) {
            return Err(ExchangeError::Suspended(credential.to_string()));
        }
    }
    Ok(())
}
