//! What is sealed when a token is issued, renewed, refused or revoked: records of kind `credential`.
//!
//! They are Deed's own (`enforced`) and go to the ledger as such. The token itself is in none of them
//! (INVARIANT D9): `jti`, fingerprint, and whom it is for.

use deed_record::{
    Answer, Basis, ChainHop, Change, Credential, Kind, Outcome, Principal as Party, PrincipalType, Resource,
    Status, Submission, TermsSent, Text, Timestamp,
};

use crate::{
    exchange::{ExchangeError, Grant},
    issue::Issuer,
    principal::{Hop, Principal},
    terms::{Relation, Terms},
    text::{Fingerprint, Secret},
    txn::Transaction,
    verify::{Actor, Subject},
};

impl Grant {
    /// The record of the token that was made of it. It is to be durable before the token leaves.
    pub fn record(&self, issuer: &Issuer, token: &Secret) -> Submission<'static> {
        let terms = self.terms();
        let change = match terms.relation {
            Relation::Renewal => Change::Renewed,
            Relation::Root | Relation::HandOff | Relation::Upstream => Change::Issued,
        };
        let mut record = of_token(terms, issuer, change, seconds(terms.issued));
        if let Some(credential) = &mut record.credential {
            credential.fingerprint = Some(Fingerprint::of(token.expose()).to_string().into());
            // The first one comes from somebody else's, which is known by its hash.
            let outside = self.credentials().first().map(|outside| outside.to_string().into());
            credential.parent = terms.parent.clone().map(Text::from).or(outside);
        }
        record
    }
}

impl Transaction {
    /// The record of the token that was made of it; as [`Grant::record`].
    pub fn record(
        &self,
        issuer: &Issuer,
        token: &Secret,
        subject: &Subject,
        actor: &Actor,
    ) -> Submission<'static> {
        let actor = actor.principal();
        let (issued, expires) = (seconds(self.issued()), seconds(self.expires()));
        let mut record = empty(issued);
        record.initiator = Some(party(subject.key(), subject.kind()));
        record.executor = Some(party(&actor.key, actor.kind));
        record.tenant = Some(actor.tenant.clone().into());
        record.task = self.task().map(|task| task.to_owned().into());
        record.credential = Some(Credential {
            expires: Some(expires),
            fingerprint: Some(Fingerprint::of(token.expose()).to_string().into()),
            issued: Some(issued),
            issuer: Some(issuer.url().to_owned().into()),
            jti: Some(self.id().to_owned().into()),
            parent: Some(self.parent().to_owned().into()),
            scopes: self.scope().words().map(|word| word.to_owned().into()).collect(),
            kind: Some("txn_token".into()),
            ..Credential::default()
        });
        record.terms = Some(TermsSent {
            change: Some(Change::Issued),
            expires: Some(expires),
            not_before: Some(issued),
            subject: Some(party(&actor.key, actor.kind)),
            ..TermsSent::default()
        });
        record
    }
}

/// The record of a revocation. What was made from the token is revoked with it, and has no record of its
/// own.
pub fn revocation(terms: &Terms, issuer: &Issuer, by: &Principal, now: Timestamp) -> Submission<'static> {
    let mut record = of_token(terms, issuer, Change::Revoked, now);
    if let Some(sent) = &mut record.terms {
        sent.by = Some(party(&by.key, by.kind));
    }
    record
}

/// The record of an exchange that was refused, with as much as was verified by then. The reason is the
/// OAuth error code; what the client sent is in none of it.
pub fn refusal(
    error: &ExchangeError,
    subject: Option<&Subject>,
    actor: Option<&Actor>,
    now: Timestamp,
) -> Submission<'static> {
    let unknown =
        || Party { instance: None, key: None, name: None, kind: PrincipalType::Unknown, vendor: None };
    let executor = actor.map(|actor| party(&actor.principal.key, actor.principal.kind));
    let tenant = actor.map(|actor| actor.principal.tenant.clone());
    let mut record = empty(now);
    record.executor = Some(executor.unwrap_or_else(unknown));
    record.initiator = subject.map(|subject| party(subject.key(), subject.kind()));
    record.tenant = tenant.map(Text::from);
    record.credential = Some(Credential {
        kind: Some("access_token".into()),
        parent: subject.map(|subject| subject.fingerprint().to_string().into()),
        ..Credential::default()
    });
    record.outcome =
        Some(Outcome { code: Some(error.code().as_str().into()), ..Outcome::of(Status::Denied) });
    record.terms = Some(TermsSent {
        answer: Some(Answer::Refused),
        change: Some(Change::Requested),
        ..TermsSent::default()
    });
    record
}

fn of_token(terms: &Terms, issuer: &Issuer, change: Change, time: Timestamp) -> Submission<'static> {
    let scopes: Vec<Text<'static>> = terms.scope.words().map(|word| word.to_owned().into()).collect();
    let kind = if terms.bound_to.is_some() { "dpop" } else { "bearer" };
    let mut record = empty(time);
    record.initiator = Some(party(&terms.subject, terms.subject_kind));
    record.executor = Some(party(terms.actor(), terms.actor_kind()));
    record.chain = between(terms);
    record.tenant = Some(terms.tenant.clone().into());
    record.task = terms.task.clone().map(Text::from);
    record.credential = Some(Credential {
        expires: Some(seconds(terms.expires)),
        issued: Some(seconds(terms.issued)),
        issuer: Some(issuer.url().to_owned().into()),
        jti: Some(terms.jti.clone().into()),
        parent: terms.parent.clone().map(Text::from),
        scopes,
        kind: Some(kind.into()),
        ..Credential::default()
    });
    // One resource is what it is for; several are in the token.
    if let (1, Some(only)) = (terms.audience.len(), terms.audience.first()) {
        record.resource = Some(Resource { uri: only.clone().into(), ..Resource::default() });
    }
    record.terms = Some(TermsSent {
        change: Some(change),
        expires: Some(seconds(terms.expires)),
        not_before: Some(seconds(terms.issued)),
        subject: Some(party(terms.actor(), terms.actor_kind())),
        ..TermsSent::default()
    });
    record
}

/// The actors between who asked and who acts, the first of them first.
fn between(terms: &Terms) -> Option<Vec<ChainHop<'static>>> {
    let hop = |hop: &Hop| ChainHop {
        credential: None,
        delegation: None,
        principal: party(&hop.key, hop.kind),
        scope: Vec::new(),
    };
    let inner = terms.chain.get(1..).filter(|inner| !inner.is_empty());
    inner.map(|inner| inner.iter().rev().map(hop).collect())
}

fn party(key: &str, kind: PrincipalType) -> Party<'static> {
    Party { instance: None, key: Some(key.to_owned().into()), name: None, kind, vendor: None }
}

fn seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds.saturating_mul(1_000_000))
}

/// A record of what this service did with a credential.
fn empty(time: Timestamp) -> Submission<'static> {
    Submission { basis: Some(Basis::Enforced), ..Submission::new(Kind::Credential, time) }
}
