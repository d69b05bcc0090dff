//! Introspection (RFC 7662) and who may revoke (RFC 7009).

use deed_record::Timestamp;
use serde_json::{Value, json};

use crate::{
    issue::{Issuer, OwnToken},
    state::{Event, State},
    terms::Terms,
    verify::Actor,
};

/// What the introspection endpoint answers about a token. One that does not hold, for whatever reason, is
/// `{"active": false}` and nothing else (RFC 7662, section 2.2).
pub fn introspection(issuer: &Issuer, token: &str, state: &State, now: Timestamp) -> Value {
    match issuer.verify(token, now) {
        Ok(own) if state.is_active(&own.terms().jti, now) => describe(issuer, &own),
        _ => json!({ "active": false }),
    }
}

fn describe(issuer: &Issuer, own: &OwnToken) -> Value {
    let terms = own.terms();
    let mut answer = terms.to_claims(issuer.url());
    answer["active"] = json!(true);
    answer["token_type"] = json!(if terms.bound_to.is_some() { "DPoP" } else { "Bearer" });
    answer
}

impl Terms {
    /// Whether `actor` may revoke the token: it is, or was before it was handed on, the actor's.
    pub fn may_be_revoked_by(&self, actor: &Actor) -> bool {
        let key = &actor.principal().key;
        let has_had_it = self.subject == *key || self.chain.iter().any(|hop| hop.key == *key);
        self.tenant == actor.principal().tenant && has_had_it
    }

    /// The revocation of the token, and thereby of all that was made from it.
    pub fn revocation(&self) -> Event {
        Event::Revoked { jti: self.jti.clone(), not_after: self.not_after }
    }
}
