//! Security event tokens (RFC 8417) of Shared Signals transmitters: who made one, and whether for us.

use serde_json::Value;

use crate::{
    claims::Claims, error::VerifyError, jwk::Algorithm, jwks::KeySet, jwt::Unverified, text::from_base64url,
};

/// What a SET may be signed with: RSA of at least 2048 bits, as the interoperability profile of CAEP has it, or what is
/// as strong.
const ALGORITHMS: [Algorithm; 4] = [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];

/// A SET that says it is of one transmitter and for one receiver, before its signature was looked at.
pub struct Claimed<'a> {
    token: Unverified<'a>,
    text: &'a str,
    kid: Option<String>,
}

/// A SET that its transmitter signed for us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set {
    /// `jti`, by which its transmitter knows it.
    pub jti: String,
    /// Its claims, to the byte as they were signed.
    pub claims: String,
}

impl<'a> Claimed<'a> {
    /// Takes a token apart that `issuer` may have sent to `audience`.
    ///
    /// # Errors
    /// It is no SET (SSF 1.0, section 4.1.1: `typ` says so), not of that issuer, not for that audience, or signed with
    /// what is not accepted.
    pub fn parse(text: &'a str, issuer: &str, audience: &str) -> Result<Self, VerifyError> {
        let token = Unverified::parse(text)?;
        // INVARIANT D13: no other token is taken for a SET, nor a SET for another (RFC 8417, section 4).
        token.require_type(&[Some("secevent+jwt")], "secevent+jwt")?;
        if !ALGORITHMS.contains(&token.algorithm) {
            return Err(VerifyError::Algorithm);
        }
        if token.claims.get("iss").and_then(Value::as_str) != Some(issuer) {
            return Err(VerifyError::Issuer);
        }
        if !Claims(token.claims.clone()).audience()?.contains(audience) {
            return Err(VerifyError::Audience { expected: "the audience that was agreed upon" });
        }
        let kid = token.kid()?.map(str::to_owned);
        Ok(Claimed { token, text, kid })
    }

    /// The key that it says it was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The SET, once a key of `keys` is found that made the signature. A SET does not expire: neither `exp` nor `sub`
    /// has a meaning in one (SSF 1.0, section 4.1).
    ///
    /// # Errors
    /// None did, or it has no `jti`.
    pub fn verify(self, keys: &KeySet) -> Result<Set, VerifyError> {
        let payload = self.text.split('.').nth(1).and_then(from_base64url).ok_or(VerifyError::NotCompact)?;
        let claims = String::from_utf8(payload).map_err(|_| VerifyError::NotCompact)?;
        let (verified, _) = self.token.verify(keys, &ALGORITHMS)?;
        Ok(Set { jti: verified.text("jti")?.to_owned(), claims })
    }
}
