//! Actors: JWT-SVIDs and client assertions.

use deed_record::PrincipalType;

use crate::{
    error::VerifyError,
    jwk::Algorithm,
    jwt::Unverified,
    principal::{Principal, trust_domain},
    replay::Once,
    text::Fingerprint,
    trust::Trust,
    verify::Actor,
};

/// Seconds by which the clock of an agent may be ahead.
const MOST_SKEW: i64 = 5;

impl Trust {
    /// JWT-SVID (SPIFFE JWT-SVID, sections 2 to 5).
    pub(super) fn by_svid(
        &self,
        token: Unverified<'_>,
        id: &str,
        fingerprint: Fingerprint,
        now: i64,
    ) -> Result<Actor, VerifyError> {
        // Section 2.1: RS, ES and PS alone, for EdDSA is none of them.
        const ALLOWED: [Algorithm; 8] = [
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
            Algorithm::Ps256,
            Algorithm::Ps384,
            Algorithm::Ps512,
            Algorithm::Es256,
            Algorithm::Es384,
        ];
        let domain = trust_domain(id).ok_or(VerifyError::SpiffeId)?;
        let domain = self.domains.get(domain).ok_or(VerifyError::Issuer)?.clone();
        if token.header.keys().any(|name| !matches!(name.as_str(), "alg" | "kid" | "typ")) {
            return Err(VerifyError::Header("other than `alg`, `kid` and `typ`"));
        }
        token.require_type(&[None, Some("jwt"), Some("jose")], "JWT or JOSE")?;
        let (claims, _) = token.verify(&domain.bundle.jwt, &ALLOWED)?;
        let expires = claims.check_times(now, 0)?;
        if claims.audience()?.is_disjoint(&self.audiences) {
            return Err(VerifyError::Audience {
                expected: "the issuer URL of this server, or its token endpoint",
            });
        }
        let agent = self.by_spiffe.get(id).cloned();
        let (key, kind, tenant) = match &agent {
            Some(agent) => (agent.key(), agent.kind, agent.tenant.clone()),
            None => (id.to_owned(), PrincipalType::Workload, domain.tenant.clone()),
        };
        Ok(Actor {
            principal: Principal { key, kind, tenant },
            credential: fingerprint,
            shown: fingerprint,
            expires,
            spiffe: Some(id.to_owned()),
            agent,
            domain: Some(domain),
        })
    }

    /// Client assertion (RFC 7523, section 3) of a registered agent.
    pub(super) fn by_assertion(
        &self,
        token: Unverified<'_>,
        sub: &str,
        fingerprint: Fingerprint,
        now: i64,
        once: &dyn Once,
    ) -> Result<Actor, VerifyError> {
        /// An assertion is made for one request.
        const LONGEST: i64 = 300;
        const TYPES: [Option<&str>; 3] = [None, Some("jwt"), Some("client-authentication+jwt")];
        let agent = self.agents.get(sub).ok_or(VerifyError::Issuer)?.clone();
        token.require_type(&TYPES, "JWT or client-authentication+jwt")?;
        let (claims, thumbprint) = token.verify(&agent.keys, &Algorithm::ALL)?;
        if claims.text("iss")? != sub {
            return Err(VerifyError::Issuer);
        }
        let exp = claims.check_times(now, MOST_SKEW)?;
        if exp > now + LONGEST {
            return Err(VerifyError::TooLong(LONGEST));
        }
        // Exactly one: an assertion that is also meant for others can be used here by them.
        let audience = claims.audience()?;
        if audience.len() != 1 || audience.is_disjoint(&self.audiences) {
            return Err(VerifyError::Audience {
                expected: "the issuer URL of this server or its token endpoint, and nothing besides",
            });
        }
        once.once(&format!("assertion {sub}"), claims.text("jti")?, exp, now)?;
        Ok(Actor {
            principal: Principal { key: agent.key(), kind: agent.kind, tenant: agent.tenant.clone() },
            credential: Fingerprint(thumbprint.0),
            shown: fingerprint,
            expires: exp,
            spiffe: None,
            agent: Some(agent),
            domain: None,
        })
    }
}
