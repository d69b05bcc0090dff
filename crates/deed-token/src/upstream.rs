//! Tokens for the systems behind Deed: what they are shown instead of what a caller shows to Deed.
//!
//! MCP forbids a gateway to pass a caller's token on. Each system behind gets one of its own, which says for whom and
//! who acts, and which nobody but that system takes.

use std::collections::BTreeSet;

use deed_record::Timestamp;

use crate::{
    details::Details,
    exchange::{ExchangeError, Grant},
    issue::OwnToken,
    policy::Policy,
    principal::Hop,
    scope::Scope,
    state::{Inactive, State},
    terms::{Relation, Terms},
    text::Fingerprint,
    unix,
};

/// What an operator has a system behind be shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Upstream {
    /// `aud`: what the system calls itself (RFC 8707).
    pub audience: String,
    /// The most that its tokens allow; `None` is whatever the caller may.
    pub scope: Option<Scope>,
    /// Their longest life, in seconds.
    pub longest: i64,
}

/// Somebody who comes to Deed: for whom and who acts, and the most that may be shown onward of what they have.
#[derive(Clone, PartialEq, Debug)]
pub struct Comer {
    most: Terms,
    /// Whether `most` says what the scope is; nobody has shown a token where it does not.
    has_scope: bool,
    credentials: Vec<Fingerprint>,
    /// `jti` of what was shown, where that is somebody else's and has one.
    shown: Option<String>,
}

impl Comer {
    /// Whoever shows a token of Deed.
    pub fn own(token: &OwnToken) -> Self {
        let credentials = vec![token.fingerprint()];
        Comer { most: token.terms().clone(), has_scope: true, credentials, shown: None }
    }

    /// Whoever shows no token of Deed: `subject`, for whom `actors` act, the current one first. Where nothing was
    /// shown, the settings alone say what may be done.
    pub fn other(subject: Hop, actors: Vec<Hop>, tenant: &str) -> Self {
        let client = actors.first().map_or(&subject.key, |hop| &hop.key).clone();
        let most = Terms {
            jti: String::new(),
            subject: subject.key,
            subject_kind: subject.kind,
            chain: actors,
            tenant: tenant.to_owned(),
            client,
            audience: BTreeSet::new(),
            scope: Scope::default(),
            details: Details::default(),
            issued: 0,
            expires: i64::MAX,
            not_after: i64::MAX,
            bound_to: None,
            parent: None,
            relation: Relation::Root,
            hops: 0,
            may_act: None,
            task: None,
            claimed_act: None,
        };
        Comer { most, has_scope: false, credentials: Vec::new(), shown: None }
    }

    /// The same, who showed a token of somebody else that allows `scope` and `details` until `expires`, in seconds.
    #[must_use]
    pub fn showing(mut self, token: Fingerprint, scope: Scope, details: Details, expires: i64) -> Self {
        (self.most.scope, self.most.details) = (scope, details);
        (self.most.expires, self.most.not_after) = (expires, expires);
        Comer { has_scope: true, credentials: vec![token], ..self }
    }

    /// The same, of whose token that is the `jti`.
    #[must_use]
    pub fn known_as(self, jti: Option<&str>) -> Self {
        Comer { shown: jti.map(str::to_owned), ..self }
    }

    /// Whose.
    pub fn tenant(&self) -> &str {
        &self.most.tenant
    }

    /// When what was shown ends, in seconds.
    pub fn expires(&self) -> i64 {
        self.most.expires
    }

    /// By what one that comes again is known: the token that was shown, else who it is.
    pub fn key(&self) -> String {
        let Terms { tenant, jti, subject, .. } = &self.most;
        match self.credentials.first() {
            Some(shown) => format!("{tenant} {shown} {jti}"),
            None => format!("{tenant} {:?} {:?}", self.most.actor(), subject),
        }
    }
}

/// Decides what `upstream` is shown for `comer`. `jti` is the id of the new token: random, and never used before.
///
/// INVARIANT D7: no wider than what was shown to Deed, and no wider than the settings say; for that system alone;
/// no longer than what was shown. It can be exchanged for nothing.
///
/// # Errors
/// Nothing may be shown, for the reason that the error says.
pub fn upstream(
    comer: &Comer,
    upstream: &Upstream,
    policy: &Policy,
    state: &State,
    now: Timestamp,
    jti: &str,
) -> Result<Grant, ExchangeError> {
    let parent = &comer.most;
    let is_ours = !parent.jti.is_empty();
    if is_ours {
        state.check(&parent.jti, now)?;
    }
    let scope = match (comer.has_scope, &upstream.scope) {
        (true, Some(most)) => parent.scope.and(most),
        (true, None) => parent.scope.clone(),
        (false, most) => most.clone().unwrap_or_default(),
    };
    if scope.is_empty() && parent.details.is_empty() {
        return Err(ExchangeError::Nothing);
    }
    let now = unix(now);
    let expires = parent.expires.min(now.saturating_add(upstream.longest.min(policy.longest)));
    if expires <= now {
        return Err(Inactive::Expired.into());
    }
    let most =
        Terms { scope: if comer.has_scope { parent.scope.clone() } else { scope.clone() }, ..parent.clone() };
    let terms = Terms {
        jti: jti.to_owned(),
        client: parent.actor().to_owned(),
        audience: BTreeSet::from([upstream.audience.clone()]),
        scope,
        issued: now,
        expires,
        not_after: expires,
        bound_to: None,
        parent: is_ours.then(|| parent.jti.clone()),
        relation: Relation::Upstream,
        hops: 0,
        may_act: None,
        ..parent.clone()
    };
    if !terms.fits() {
        return Err(ExchangeError::ResultTooLarge);
    }
    // INVARIANT D7: checked on the finished terms once more, by other code.
    if !terms.is_within(&most) {
        return Err(ExchangeError::Wider);
    }
    Ok(Grant::new(terms, comer.credentials.clone(), comer.shown.clone()))
}
