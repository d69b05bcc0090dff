//! What may be given at most, and what a request gets of it.

use std::collections::BTreeSet;

use deed_record::Timestamp;

use crate::{
    details::Details,
    dpop::{Proof, check_binding},
    exchange::{Evidence, ExchangeError},
    issue::OwnToken,
    policy::Policy,
    principal::Hop,
    request::Request,
    scope::Scope,
    state::State,
    terms::{Relation, Terms},
    text::shown,
    trust::Ceiling,
    unix,
    verify::{Actor, Outside},
};

/// What may be given at most, before the request is looked at.
pub(super) struct Base {
    parent: Terms,
    /// `None` where every target of the policy may be.
    audience: Option<BTreeSet<String>>,
    /// Further limits.
    ceilings: Vec<Ceiling>,
    /// Whether `authorization_details` are limited by ceilings alone, for the subject's token has none.
    open_details: bool,
    /// No token lives longer.
    end: i64,
}

impl Base {
    /// The first token on behalf of the subject of a trusted issuer.
    pub(super) fn outside(
        outside: &Outside,
        actor: &Actor,
        proof: Option<&Proof>,
        policy: &Policy,
        now: i64,
    ) -> Result<Self, ExchangeError> {
        let issuer = &outside.issuer;
        let name = actor.name_at(&issuer.url);
        if issuer.binds_client && (name.is_none() || name != outside.client.as_deref()) {
            return Err(ExchangeError::Client);
        }
        if let Some(may_act) = &outside.may_act {
            // Without `iss` the name is the issuer's for it, or ours.
            let named = match may_act.iss.as_deref() {
                Some(iss) if iss == issuer.url => name == Some(&may_act.sub),
                Some(_) => false,
                None => name == Some(&may_act.sub) || actor.principal.key == may_act.sub,
            };
            if !named {
                return Err(ExchangeError::MayAct);
            }
        } else {
            // A token that is bound to a key is believed from its holder, or from whom it names.
            check_binding(outside.bound_to, proof)?;
        }
        let mut chain = vec![hop(actor)];
        chain.extend(outside.chain.iter().cloned());
        let hops = match &outside.may_act {
            Some(_) => 0,
            None => usize::from(policy.deepest).saturating_sub(chain.len()),
        };
        let end = outside.expires.min(now.saturating_add(policy.longest_grant));
        let mut base = Base::root(&outside.principal.key, actor, outside.scope(), end);
        base.parent.subject_kind = outside.principal.kind;
        base.open_details = outside.details.is_none() && issuer.ceiling.details.is_some();
        base.parent.details = outside.details.clone().unwrap_or_default();
        base.parent.claimed_act = outside.claimed_act.clone();
        base.parent.chain = chain;
        base.parent.hops = u8::try_from(hops).unwrap_or(u8::MAX);
        base.ceilings.push(issuer.ceiling.clone());
        base.ceilings.extend(actor.ceilings().cloned());
        Ok(base)
    }

    /// The first token of an agent or workload that nobody asked.
    pub(super) fn itself(actor: &Actor, policy: &Policy, now: i64) -> Self {
        let scopes = actor.ceilings().filter_map(|ceiling| ceiling.scope.clone());
        let scope = scopes.reduce(|scope, other| scope.and(&other)).unwrap_or_default();
        let end = actor.expires.min(now.saturating_add(policy.longest_grant));
        let mut base = Base::root(&actor.principal.key, actor, scope, end);
        base.parent.subject_kind = actor.principal.kind;
        base.parent.hops = policy.deepest;
        base.open_details = actor.ceilings().any(|ceiling| ceiling.details.is_some());
        base.ceilings.extend(actor.ceilings().cloned());
        base
    }

    fn root(subject: &str, actor: &Actor, scope: Scope, end: i64) -> Self {
        let parent = Terms {
            jti: String::new(),
            subject: subject.to_owned(),
            subject_kind: actor.principal.kind,
            chain: Vec::new(),
            tenant: actor.principal.tenant.clone(),
            client: actor.principal.key.clone(),
            audience: BTreeSet::new(),
            scope,
            details: Details::default(),
            issued: 0,
            expires: end,
            not_after: end,
            bound_to: None,
            parent: None,
            relation: Relation::Root,
            hops: 0,
            may_act: None,
            task: None,
            claimed_act: None,
        };
        Base { parent, audience: None, ceilings: Vec::new(), open_details: false, end }
    }

    /// A further token from one of ours.
    pub(super) fn own(
        own: &OwnToken,
        actor: &Actor,
        proof: Option<&Proof>,
        policy: &Policy,
        state: &State,
        now: Timestamp,
    ) -> Result<Self, ExchangeError> {
        let token = own.terms();
        state.check(&token.jti, now)?;
        let mut parent = token.clone();
        parent.parent = Some(token.jti.clone());
        let end = if token.actor() == actor.principal.key {
            check_binding(token.bound_to, proof)?;
            parent.relation = Relation::Renewal;
            token.not_after
        } else {
            token.names(&actor.principal.key)?;
            let hops = token.hops.checked_sub(1).ok_or(ExchangeError::Depth(token.chain.len()))?;
            if token.bound_to.is_some() && proof.is_none() {
                return Err(ExchangeError::NoProof);
            }
            parent.relation = Relation::HandOff;
            parent.hops = hops;
            parent.chain.insert(0, hop(actor));
            token.expires
        };
        let end = end.min(unix(now).saturating_add(policy.longest_grant));
        let ceilings = actor.ceilings().cloned().collect();
        Ok(Base { audience: Some(token.audience.clone()), ceilings, open_details: false, end, parent })
    }

    /// What the request gets of it.
    pub(super) fn terms(
        self,
        request: &Request,
        evidence: Evidence<'_>,
        policy: &Policy,
        now: i64,
        jti: &str,
    ) -> Result<Terms, ExchangeError> {
        let bound_to = evidence.proof.map(Proof::thumbprint);
        if policy.requires_proof && bound_to.is_none() {
            return Err(ExchangeError::NoProof);
        }
        if self.parent.chain.len() > usize::from(policy.deepest) {
            return Err(ExchangeError::Depth(self.parent.chain.len()));
        }
        let hops = self.parent.hops.min(request.hops.unwrap_or(u8::MAX));
        if request.may_act.is_some() && hops == 0 {
            return Err(ExchangeError::Depth(self.parent.chain.len()));
        }
        let task = self.parent.task(request.task.as_ref())?;
        let audience = self.audience(request, policy)?;
        let scope = self.scope(request)?;
        let details = self.details(request)?;
        if scope.is_empty() && details.is_empty() {
            return Err(ExchangeError::Nothing);
        }
        let life = policy.longest.min(request.lifetime.unwrap_or(i64::MAX));
        let expires = self.end.min(now.saturating_add(life));
        if expires <= now {
            return Err(ExchangeError::LIFETIME);
        }
        Ok(Terms {
            jti: jti.to_owned(),
            client: evidence.actor.principal.key.clone(),
            audience,
            scope,
            details,
            issued: now,
            expires,
            not_after: self.end,
            bound_to,
            hops,
            may_act: request.may_act.clone(),
            task,
            ..self.parent
        })
    }

    fn audience(&self, request: &Request, policy: &Policy) -> Result<BTreeSet<String>, ExchangeError> {
        let asked = match (&self.audience, request.targets.is_empty()) {
            (_, false) => &request.targets,
            (Some(audience), true) => audience,
            (None, true) => return Err(ExchangeError::NoTarget),
        };
        let ceilings = || self.ceilings.iter().filter_map(|ceiling| ceiling.audience.as_ref());
        for target in asked {
            let fits = self.audience.as_ref().is_none_or(|audience| audience.contains(target))
                && policy.reaches(&self.parent.tenant, target)
                && ceilings().all(|audience| audience.contains(target));
            if !fits {
                return Err(ExchangeError::Target(shown(target)));
            }
        }
        Ok(asked.clone())
    }

    /// The scope that was asked for, or all of what may be.
    fn scope(&self, request: &Request) -> Result<Scope, ExchangeError> {
        let scopes = self.ceilings.iter().filter_map(|ceiling| ceiling.scope.as_ref());
        let most = scopes.fold(self.parent.scope.clone(), |most, scope| most.and(scope));
        match &request.scope {
            Some(asked) if !asked.is_within(&most) => {
                let more = asked.words().find(|word| !most.contains(word));
                Err(ExchangeError::Scope(shown(more.unwrap_or_default())))
            }
            Some(asked) => Ok(asked.clone()),
            None => Ok(most),
        }
    }

    /// The details that were asked for, or those of the parent.
    fn details(&self, request: &Request) -> Result<Details, ExchangeError> {
        let asked = request.details.as_ref().unwrap_or(&self.parent.details);
        // Where the subject's token has none, an operator's ceiling must say what there may be.
        let within_parent = self.open_details || asked.is_within(&self.parent.details);
        let ceilings = || self.ceilings.iter().filter_map(|ceiling| ceiling.details.as_ref());
        let within_ceilings = asked.is_empty() || ceilings().all(|ceiling| asked.is_within(ceiling));
        (within_parent && within_ceilings).then(|| asked.clone()).ok_or(ExchangeError::Details)
    }
}

fn hop(actor: &Actor) -> Hop {
    Hop { key: actor.principal.key.clone(), kind: actor.principal.kind }
}
