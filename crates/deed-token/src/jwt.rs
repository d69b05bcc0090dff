//! Compact JWS as JWTs use it (RFC 7515, RFC 7519, RFC 8725), before anything in it is believed.

use serde_json::Value;

use crate::{
    claims::Claims,
    error::VerifyError,
    json::{self, Object},
    jwk::{Algorithm, PublicKey, Thumbprint},
    jwks::KeySet,
    text::{from_base64url, is_name},
};

/// Tokens larger than this are refused before they are read, in bytes.
pub const LARGEST_TOKEN: usize = 16 * 1024;

/// A JWT whose signature was not looked at.
pub(crate) struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    pub(crate) algorithm: Algorithm,
    pub(crate) header: Object,
    /// Only to choose by whom it might have been issued.
    pub(crate) claims: Object,
}

impl<'a> Unverified<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// It is too large, no JWT, ambiguous, encrypted, or has critical extensions or an algorithm that is
    /// not accepted.
    pub(crate) fn parse(token: &'a str) -> Result<Self, VerifyError> {
        if token.len() > LARGEST_TOKEN {
            return Err(VerifyError::TooLarge);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(VerifyError::NotCompact)?;
        let (header, payload) = signed.split_once('.').ok_or(VerifyError::NotCompact)?;
        let header = part("header", header)?;
        // RFC 7515, section 4.1.11: no extension is understood here. `b64` would need `crit`.
        for name in ["crit", "enc", "zip", "b64"] {
            if header.contains_key(name) {
                return Err(VerifyError::Header(name));
            }
        }
        let algorithm = header.get("alg").and_then(Value::as_str).and_then(Algorithm::from_name);
        Ok(Unverified {
            signed,
            signature: from_base64url(signature).ok_or(VerifyError::NotCompact)?,
            algorithm: algorithm.ok_or(VerifyError::Algorithm)?,
            claims: part("payload", payload)?,
            header,
        })
    }

    /// `kid`.
    ///
    /// # Errors
    /// It is no short text.
    pub(crate) fn kid(&self) -> Result<Option<&str>, VerifyError> {
        let kid = self.header.get("kid").map(|kid| kid.as_str().filter(|kid| is_name(kid)));
        kid.map(|kid| kid.ok_or(VerifyError::Header("kid"))).transpose()
    }

    /// Whether `typ` is one of `types`, which are in lower case; `None` among them is its absence.
    pub(crate) fn require_type(
        &self,
        types: &[Option<&str>],
        expected: &'static str,
    ) -> Result<(), VerifyError> {
        let found = match self.header.get("typ") {
            None => None,
            Some(Value::String(typ)) => Some(typ.to_ascii_lowercase()),
            Some(_) => return Err(VerifyError::Header("typ")),
        };
        // RFC 7515, section 4.1.9: `application/` may be left out.
        let short = found.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
        types.contains(&short).then_some(()).ok_or(VerifyError::Type { expected })
    }

    /// The claims, once a key of `keys` is found that made the signature.
    ///
    /// # Errors
    /// None did, or the algorithm is not one of `allowed`.
    pub(crate) fn verify(
        self,
        keys: &KeySet,
        allowed: &[Algorithm],
    ) -> Result<(Claims, Thumbprint), VerifyError> {
        if !allowed.contains(&self.algorithm) {
            return Err(VerifyError::Algorithm);
        }
        let kid = self.kid()?;
        let key = keys.find(self.algorithm, kid, self.signed.as_bytes(), &self.signature);
        let thumbprint = key.ok_or(VerifyError::Signature)?.thumbprint();
        Ok((Claims(self.claims), thumbprint))
    }

    /// Whether `key` made the signature.
    pub(crate) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.algorithm, self.signed.as_bytes(), &self.signature)
    }
}

fn part(part: &'static str, text: &str) -> Result<Object, VerifyError> {
    let bytes = from_base64url(text).ok_or(VerifyError::NotCompact)?;
    json::object(&bytes).map_err(|error| VerifyError::Json { part, what: error.to_string() })
}
