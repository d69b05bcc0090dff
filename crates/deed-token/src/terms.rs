//! What a token of Deed says: its claims, written and read in one place.

use std::collections::BTreeSet;

use deed_record::PrincipalType;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json as object};

use crate::{
    claims::{Claims, MayAct},
    details::Details,
    error::VerifyError,
    exchange::ExchangeError,
    json,
    jwk::Thumbprint,
    jwt::LARGEST_TOKEN,
    principal::Hop,
    scope::Scope,
};

/// How a token came from its parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// It has none: made from somebody else's token, or from an agent's own credential.
    Root,
    /// The same actor has it again, later or narrower.
    Renewal,
    /// Another actor has it now.
    HandOff,
    /// A system behind Deed is shown it instead. See [`crate::upstream`](mod@crate::upstream).
    Upstream,
}

/// What a token of Deed says. All times in seconds since the epoch.
#[derive(Clone, PartialEq, Debug)]
pub struct Terms {
    /// `jti`: what it is known by. No secret.
    pub jti: String,
    /// `sub`: for whom, as [`crate::Principal::key`].
    pub subject: String,
    /// What the subject is.
    pub subject_kind: PrincipalType,
    /// `act`: who acts, the current actor first. Empty where the subject acts itself.
    pub chain: Vec<Hop>,
    /// `deed.tenant`: whose.
    pub tenant: String,
    /// `client_id`: to whom it was issued; the current actor.
    pub client: String,
    /// `aud`: where it may be shown.
    pub audience: BTreeSet<String>,
    /// `scope`.
    pub scope: Scope,
    /// `authorization_details`.
    pub details: Details,
    /// `iat` and `nbf`.
    pub issued: i64,
    /// `exp`.
    pub expires: i64,
    /// `deed.not_after`: no renewal of it lives longer.
    pub not_after: i64,
    /// `cnf.jkt`: the only key whose proofs make it valid.
    pub bound_to: Option<Thumbprint>,
    /// `deed.parent`: `jti` of the token of Deed it was made from.
    pub parent: Option<String>,
    /// `deed.relation`.
    pub relation: Relation,
    /// `deed.hops`: how often it may still be handed on.
    pub hops: u8,
    /// `may_act`: who it may be handed to.
    pub may_act: Option<String>,
    /// `deed.task`: what it is for, as the client said.
    pub task: Option<String>,
    /// `deed.claimed_act`: an `act` of the subject token from an issuer whose chains are not trusted.
    /// Claimed, never proven.
    pub claimed_act: Option<Value>,
}

impl Terms {
    /// Whether it may be handed to `agent`, who does not have it: where it says whom, to nobody else.
    pub(crate) fn names(&self, agent: &str) -> Result<(), ExchangeError> {
        match &self.may_act {
            Some(named) if named == agent => Ok(()),
            Some(_) => Err(ExchangeError::MayAct),
            None if self.audience.contains(agent) => Ok(()),
            None => Err(ExchangeError::NotHanded),
        }
    }

    /// What a token is for that is made from it at a request which says `asked`.
    pub(crate) fn task(&self, asked: Option<&String>) -> Result<Option<String>, ExchangeError> {
        match (&self.task, asked) {
            (Some(task), Some(asked)) if task != asked => Err(ExchangeError::Task),
            (task, asked) => Ok(task.as_ref().or(asked).cloned()),
        }
    }

    /// Who acts: the outermost actor, or the subject itself.
    pub fn actor(&self) -> &str {
        self.chain.first().map_or(&self.subject, |hop| &hop.key)
    }

    /// What the actor is.
    pub fn actor_kind(&self) -> PrincipalType {
        self.chain.first().map_or(self.subject_kind, |hop| hop.kind)
    }

    /// Whether a token that says this is small and shallow enough to be read again.
    pub(crate) fn fits(&self) -> bool {
        /// For header, issuer and signature; base64url makes four characters of three bytes.
        const AROUND: usize = 1024;
        let claims = self.to_claims("");
        json::is_shallow(&claims) && claims.to_string().len() * 4 / 3 + AROUND <= LARGEST_TOKEN
    }

    /// Whether these terms allow nothing that `parent` does not.
    ///
    /// INVARIANT D7: scope, audience, details, tenant, subject, sender constraint, hops and time. A
    /// hand-off ends with its parent; a renewal ends with what its parent could be renewed to. What a system behind
    /// is shown is for another audience, for Deed itself shows it, and needs no proof of its holder: it can be
    /// exchanged for nothing.
    pub fn is_within(&self, parent: &Terms) -> bool {
        let end = match self.relation {
            Relation::HandOff | Relation::Upstream => parent.expires,
            Relation::Renewal | Relation::Root => parent.not_after,
        };
        let hop = usize::from(self.relation == Relation::HandOff);
        let is_shown_by_deed = self.relation == Relation::Upstream && self.hops == 0;
        self.scope.is_within(&parent.scope)
            && (is_shown_by_deed || self.audience.is_subset(&parent.audience))
            && self.details.is_within(&parent.details)
            && self.tenant == parent.tenant
            && (&self.subject, self.subject_kind) == (&parent.subject, parent.subject_kind)
            && self.expires <= self.not_after
            && self.not_after <= end
            && usize::from(self.hops) + hop <= usize::from(parent.hops)
            && self.chain.get(hop..) == Some(parent.chain.as_slice())
            && (is_shown_by_deed || parent.bound_to.is_none() || self.bound_to.is_some())
            && self.claimed_act == parent.claimed_act
    }

    /// The claims of an access token (RFC 9068) of `issuer`.
    pub(crate) fn to_claims(&self, issuer: &str) -> Value {
        let mut claims = object!({
            "iss": issuer,
            "sub": self.subject,
            "aud": self.audience,
            "client_id": self.client,
            "scope": self.scope,
            "iat": self.issued,
            "nbf": self.issued,
            "exp": self.expires,
            "jti": self.jti,
            "deed": Private {
                tenant: self.tenant.clone(),
                parent: self.parent.clone(),
                relation: self.relation,
                depth: self.chain.len(),
                hops: self.hops,
                not_after: self.not_after,
                initiator_type: self.subject_kind,
                executor_type: self.actor_kind(),
                task: self.task.clone(),
                claimed_act: self.claimed_act.clone(),
            },
        });
        if let Some(act) = self.act() {
            claims["act"] = act;
        }
        if !self.details.is_empty() {
            claims["authorization_details"] = object!(self.details);
        }
        if let Some(jkt) = self.bound_to {
            claims["cnf"] = object!({ "jkt": jkt });
        }
        if let Some(sub) = &self.may_act {
            claims["may_act"] = object!({ "sub": sub });
        }
        claims
    }

    /// `act`: nested, the current actor outermost (RFC 8693, section 4.1).
    pub fn act(&self) -> Option<Value> {
        self.chain.iter().rev().fold(None, |inner, hop| {
            let mut act = object!({ "sub": hop.key, "deed_type": hop.kind });
            if let Some(inner) = inner {
                act["act"] = inner;
            }
            Some(act)
        })
    }

    /// The inverse of [`Terms::to_claims`], for claims that this service signed.
    pub(crate) fn from_claims(claims: &Claims) -> Result<Self, VerifyError> {
        let private = claims.0.get("deed").ok_or(VerifyError::Missing("deed"))?;
        let private = Private::deserialize(private).map_err(|_| VerifyError::Claim("deed"))?;
        let chain = chain(claims.0.get("act")).ok_or(VerifyError::Claim("act"))?;
        let text = |name| claims.text(name).map(str::to_owned);
        let time = |name| claims.time(name)?.ok_or(VerifyError::Missing(name));
        if chain.len() != private.depth {
            return Err(VerifyError::Claim("act"));
        }
        Ok(Terms {
            jti: text("jti")?,
            subject: text("sub")?,
            subject_kind: private.initiator_type,
            chain,
            tenant: private.tenant,
            client: text("client_id")?,
            audience: claims.audience()?,
            scope: claims.scope()?.ok_or(VerifyError::Missing("scope"))?,
            details: claims.details()?.unwrap_or_default(),
            issued: time("iat")?,
            expires: time("exp")?,
            not_after: private.not_after,
            bound_to: claims.confirmation()?,
            parent: private.parent,
            relation: private.relation,
            hops: private.hops,
            may_act: claims.may_act()?.map(|MayAct { sub, .. }| sub),
            task: private.task,
            claimed_act: private.claimed_act,
        })
    }
}

/// The claims of ours, in one object of their own.
#[derive(Serialize, Deserialize)]
struct Private {
    tenant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    relation: Relation,
    depth: usize,
    hops: u8,
    not_after: i64,
    initiator_type: PrincipalType,
    executor_type: PrincipalType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claimed_act: Option<Value>,
}

/// The hops of an `act` of ours, outermost first.
fn chain(mut act: Option<&Value>) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    while let Some(value) = act {
        hops.push(Hop {
            key: value.get("sub")?.as_str()?.to_owned(),
            kind: PrincipalType::deserialize(value.get("deed_type")?).ok()?,
        });
        act = value.get("act");
    }
    Some(hops)
}
