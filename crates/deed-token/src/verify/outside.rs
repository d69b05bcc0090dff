//! Subjects of OIDC issuers.

use std::{collections::BTreeSet, sync::Arc};

use deed_record::{PrincipalType, is_label};
use serde_json::Value;

use crate::{
    claims::Claims,
    error::VerifyError,
    json::Object,
    jwt::Unverified,
    principal::{Hop, Principal, oidc_key},
    text::Fingerprint,
    trust::{OidcIssuer, TenantOf},
    verify::{Outside, TokenType},
};

/// A token of an OIDC issuer (OpenID Connect Core, section 3.1.3.7; RFC 9068, section 4).
pub(super) fn outside(
    token: Unverified<'_>,
    issuer: &Arc<OidcIssuer>,
    kind: TokenType,
    fingerprint: Fingerprint,
    now: i64,
) -> Result<Outside, VerifyError> {
    // INVARIANT D13: what is no access or ID token is taken for neither (RFC 8725, section 3.11).
    match kind {
        TokenType::IdToken => token.require_type(&[None, Some("jwt")], "JWT")?,
        TokenType::AccessToken | TokenType::Jwt => {
            token.require_type(&[None, Some("jwt"), Some("at+jwt")], "JWT or at+jwt")?;
        }
        TokenType::TxnToken => return Err(VerifyError::Type { expected: "an access or ID token" }),
    }
    let (claims, _) = token.verify(&issuer.keys, &issuer.algorithms)?;
    // Logout and security event tokens of issuers that give no `typ`.
    if claims.0.contains_key("events") {
        return Err(VerifyError::Type { expected: "an access or ID token, no event" });
    }
    let expires = claims.check_times(now, issuer.leeway)?;
    if expires > now + issuer.longest {
        return Err(VerifyError::TooLong(issuer.longest));
    }
    if claims.audience()?.is_disjoint(&issuer.audiences) {
        return Err(VerifyError::Audience {
            expected: "one of the `audiences` that this server has for its issuer (`[[issuer]]`)",
        });
    }
    let lacks = |(name, value): &(&String, &String)| {
        claims.0.get(*name).and_then(Value::as_str) != Some(value.as_str())
    };
    if let Some((name, _)) = issuer.demands.iter().find(lacks) {
        return Err(VerifyError::Demanded(name.clone()));
    }
    let client = client(&claims, issuer)?;
    // OpenID Connect Core, section 2: at most 255 characters.
    let sub = claims.text("sub").map(str::to_owned)?;
    if sub.len() > 255 {
        return Err(VerifyError::Claim("sub"));
    }
    // I3: a program that signed in for itself is no person.
    let kind = match client.as_deref() == Some(sub.as_str()) {
        true => PrincipalType::ServiceAccount,
        false => PrincipalType::Human,
    };
    let (chain, claimed_act) = acts(&claims.0, issuer)?;
    Ok(Outside {
        principal: Principal { key: oidc_key(&issuer.url, &sub), kind, tenant: tenant(&claims, issuer)? },
        issuer: issuer.clone(),
        fingerprint,
        jti: claims.optional_text("jti")?.map(str::to_owned),
        expires,
        scope: claims.scope()?,
        details: claims.details()?,
        bound_to: claims.confirmation()?,
        may_act: claims.may_act()?,
        chain,
        claimed_act,
        client,
    })
}

/// `azp` of an ID token, `client_id` of an access token.
fn client(claims: &Claims, issuer: &OidcIssuer) -> Result<Option<String>, VerifyError> {
    let client = match (claims.optional_text("azp")?, claims.optional_text("client_id")?) {
        (Some(azp), Some(client)) if azp != client => return Err(VerifyError::Claim("azp")),
        (azp, client) => azp.or(client),
    };
    let accepted = |clients: &BTreeSet<String>| client.is_some_and(|client| clients.contains(client));
    if issuer.clients.as_ref().is_some_and(|clients| !accepted(clients)) {
        return Err(VerifyError::Client);
    }
    Ok(client.map(str::to_owned))
}

fn tenant(claims: &Claims, issuer: &OidcIssuer) -> Result<String, VerifyError> {
    match &issuer.tenant {
        TenantOf::Fixed(tenant) => Ok(tenant.clone()),
        TenantOf::Claim(name) => {
            let tenant = claims.0.get(name).and_then(Value::as_str).filter(|tenant| is_label(tenant));
            tenant.map(str::to_owned).ok_or_else(|| VerifyError::Tenant(name.clone()))
        }
    }
}

/// `act`: the chain, where the issuer is trusted with it; else what is claimed.
fn acts(claims: &Object, issuer: &OidcIssuer) -> Result<(Vec<Hop>, Option<Value>), VerifyError> {
    const MOST_HOPS: usize = 16;
    let Some(act) = claims.get("act") else { return Ok((Vec::new(), None)) };
    let mut chain = Vec::new();
    let mut next = Some(act);
    while let Some(act) = next {
        let text = |name: &str| act.get(name).map(|value| value.as_str().ok_or(VerifyError::Claim("act")));
        let sub = text("sub").ok_or(VerifyError::Claim("act"))??;
        let iss = text("iss").transpose()?.unwrap_or(&issuer.url);
        if chain.len() == MOST_HOPS || sub.is_empty() || sub.len() > 255 || iss.len() > 512 {
            return Err(VerifyError::Claim("act"));
        }
        // Nobody but the issuer's own subjects: it cannot put ours, or another issuer's, into a chain.
        let key = match iss == issuer.url {
            true => oidc_key(iss, sub),
            false => oidc_key(&issuer.url, &format!("{iss} {sub}")),
        };
        chain.push(Hop { key, kind: PrincipalType::Unknown });
        next = act.get("act");
    }
    Ok(if issuer.trusts_act { (chain, None) } else { (Vec::new(), Some(act.clone())) })
}
