//! `POST /oauth/revoke` and `/oauth/introspect`: RFC 7009, RFC 7662.

use std::{collections::BTreeMap, sync::Arc};

use deed_ledger::now;
use deed_record::PrincipalType;
use deed_token::{
    Actor, ExchangeError, Principal, Terms, VerifyError, form, introspection, record,
    request::{JWT_BEARER_ASSERTION, JWT_SPIFFE_ASSERTION},
    state::Inactive,
};
use serde_json::{Value, json};

use super::{
    Tokens,
    exchange::{Failed, Refused, Reply},
};

/// Who asks, where that is known without a client assertion.
#[derive(Clone, Debug)]
pub(crate) enum Asking {
    /// Nobody who is known otherwise.
    Anybody,
    /// Somebody who may read the records of a tenant, or of all.
    Reader(Option<String>),
    /// Whoever owns the store, by the name that the system gives them.
    Owner(String),
}

/// A request of a client about a token.
struct About {
    token: String,
    assertion: Option<String>,
    client: Option<String>,
}

impl About {
    fn parse(body: &str) -> Result<Self, ExchangeError> {
        let mut parameters = BTreeMap::new();
        for (name, value) in form::pairs(body).ok_or(ExchangeError::Form)? {
            // INVARIANT D13: no parameter twice (RFC 6749, section 3.2).
            if !value.is_empty() && parameters.insert(name, value).is_some() {
                return Err(ExchangeError::Twice);
            }
        }
        let assertion = parameters.remove("client_assertion");
        let kind = parameters.remove("client_assertion_type");
        let known = matches!(kind.as_deref(), Some(JWT_BEARER_ASSERTION | JWT_SPIFFE_ASSERTION));
        if assertion.is_some() != known {
            return Err(ExchangeError::Parameter("client_assertion_type"));
        }
        let client = parameters.remove("client_id");
        let token = parameters.remove("token").ok_or(ExchangeError::Parameter("token"))?;
        Ok(About { token, assertion, client })
    }
}

impl Tokens {
    /// Revokes a token, and with it all that was made from it (RFC 7009).
    pub(crate) async fn revoke(self: &Arc<Self>, form: String, asking: Asking) -> Reply {
        match self.try_revoke(form, asking).await {
            Ok(()) => Reply::ok(json!({})),
            Err(Failed::Refused(refused)) => self.refuse(*refused).await,
            Err(Failed::Unavailable(why)) => Reply::unavailable(&why),
        }
    }

    async fn try_revoke(self: &Arc<Self>, form: String, asking: Asking) -> Result<(), Failed> {
        self.ready().await?;
        let about = About::parse(&form)?;
        let actor = self.client(&about).await?;
        let by = match (&actor, asking) {
            (Some(actor), _) => actor.principal().clone(),
            (None, Asking::Owner(name)) => {
                Principal { key: name, kind: PrincipalType::Unknown, tenant: crate::force::TENANT.to_owned() }
            }
            (None, _) => return Err(ExchangeError::NoActor.into()),
        };
        // What is no token, or holds no more, is revoked already (section 2.2).
        let Ok(own) = self.signing.issuer().verify(&about.token, now()) else { return Ok(()) };
        let terms: &Terms = own.terms();
        if let Err(Inactive::Revoked | Inactive::Unknown) = self.book.state().check(&terms.jti, now()) {
            return Ok(());
        }
        if let Some(actor) = actor.filter(|actor| !terms.may_be_revoked_by(actor)) {
            let error = ExchangeError::NotHanded;
            return Err(Failed::Refused(Box::new(Refused { error, subject: None, actor: Some(actor) })));
        }
        let record = record::revocation(terms, &self.signing.issuer(), &by, now());
        self.append(&record).await.map_err(|error| Failed::Unavailable(error.to_string()))?;
        self.book.apply(&terms.revocation(), now());
        Ok(())
    }

    /// Says what a token is, to whoever may know (RFC 7662).
    pub(crate) async fn introspect(self: &Arc<Self>, form: String, asking: Asking) -> Reply {
        match self.try_introspect(form, asking).await {
            Ok(answer) => Reply::ok(answer),
            Err(Failed::Refused(refused)) => self.refuse(*refused).await,
            Err(Failed::Unavailable(why)) => Reply::unavailable(&why),
        }
    }

    async fn try_introspect(self: &Arc<Self>, form: String, asking: Asking) -> Result<Value, Failed> {
        self.ready().await?;
        let about = About::parse(&form)?;
        let tenant = match (self.client(&about).await?, asking) {
            (Some(actor), _) => Some(actor.principal().tenant.clone()),
            (None, Asking::Owner(_)) => None,
            (None, Asking::Reader(tenant)) => tenant,
            (None, Asking::Anybody) => return Err(ExchangeError::NoActor.into()),
        };
        let inactive = || json!({ "active": false });
        let now = now();
        let described = self
            .work(move |tokens| {
                let own = tokens.signing.issuer().verify(&about.token, now).ok();
                // Another tenant's token is none that anybody knows here.
                let own = own.filter(|own| tenant.is_none_or(|tenant| tenant == own.terms().tenant))?;
                tokens.holds(own.terms(), own.fingerprint(), now).ok()?;
                let answer = introspection(&tokens.signing.issuer(), &about.token, &tokens.book.state(), now);
                Some(answer)
            })
            .await;
        let described = described.ok_or_else(|| Failed::Unavailable("the server is stopping".to_owned()))?;
        Ok(described.unwrap_or_else(inactive))
    }

    /// The client that authenticated itself, if it tried.
    async fn client(self: &Arc<Self>, about: &About) -> Result<Option<Actor>, Failed> {
        let Some(assertion) = about.assertion.clone() else { return Ok(None) };
        self.trusted.prepare(&assertion).await.map_err(Failed::Unavailable)?;
        let verified = self.work(move |tokens| {
            tokens.refuse_forgotten(&assertion)?;
            tokens.trusted.now().actor(&assertion, now(), &tokens.used).map_err(ExchangeError::Actor)
        });
        let actor = verified.await.unwrap_or(Err(ExchangeError::Actor(VerifyError::Full)))?;
        match &about.client {
            Some(client) if *client != actor.principal().key => Err(ExchangeError::OtherActor.into()),
            _ => Ok(Some(actor)),
        }
    }
}
