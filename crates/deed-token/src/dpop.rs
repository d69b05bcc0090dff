//! Proofs of possession (RFC 9449): a token works only for whoever holds a key.

use deed_record::Timestamp;
use serde_json::Value;

use crate::{
    claims::Claims,
    error::VerifyError,
    jwk::{Algorithm, KeyError, PublicKey, Thumbprint},
    jwt::Unverified,
    replay::Once,
    text::{base64url, sha256},
    unix,
};

/// What a proof must be for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The method of the request (`htm`), such as `POST`.
    pub method: &'a str,
    /// Its URI (`htu`); query and fragment do not count.
    pub uri: &'a str,
    /// The access token that is shown with it; the proof must then name its hash (`ath`).
    pub token: Option<&'a str>,
    /// The nonce that was given to the client, if one was (section 8).
    pub nonce: Option<&'a str>,
    /// How far `iat` may lie from now, before or after, in seconds.
    pub window: i64,
}

/// Why a proof was refused. The OAuth error code is `invalid_dpop_proof`, or `use_dpop_nonce` for
/// [`ProofError::Nonce`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// As a JWT.
    #[error("DPoP proof: {0}")]
    Token(#[from] VerifyError),
    /// `jwk` in its header.
    #[error("DPoP proof: {0}")]
    Key(#[from] KeyError),
    /// `htm` or `htu` is another request's.
    #[error("DPoP proof: `{0}` is that of another request")]
    Request(&'static str),
    /// `iat` is too far from now.
    #[error("DPoP proof: `iat` is not within {0} s of the server's clock")]
    Time(i64),
    /// `ath` is missing, or another token's.
    #[error("DPoP proof: `ath` is not the hash of the access token")]
    TokenHash,
    /// The nonce is missing or not the one that was given.
    #[error("DPoP proof: `nonce` is not the one that the server gave")]
    Nonce,
    /// The token is bound to another key.
    #[error("the token is bound to another key than that of the DPoP proof")]
    OtherKey,
    /// The token is bound, and there is no proof.
    #[error("the token is bound to a key; send a DPoP proof by it")]
    Absent,
}

/// A proof that was verified, and used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Proof {
    thumbprint: Thumbprint,
}

impl Proof {
    /// Verifies a proof (section 4.3) and notes it in `once`.
    ///
    /// # Errors
    /// It is malformed, for another request, key, token or time, or was used before.
    pub fn verify(
        proof: &str,
        expected: Expected<'_>,
        now: Timestamp,
        once: &dyn Once,
    ) -> Result<Proof, ProofError> {
        let now = unix(now);
        let unverified = Unverified::parse(proof)?;
        unverified.require_type(&[Some("dpop+jwt")], "dpop+jwt")?;
        if !ACCEPTED.contains(&unverified.algorithm) {
            return Err(VerifyError::Algorithm.into());
        }
        let jwk = unverified.header.get("jwk").ok_or(VerifyError::Header("jwk"))?;
        let key = PublicKey::from_value(jwk)?;
        if !unverified.is_signed_by(&key) {
            return Err(VerifyError::Signature.into());
        }
        let claims = Claims(unverified.claims);
        if claims.text("htm")? != expected.method {
            return Err(ProofError::Request("htm"));
        }
        let htu = normal(claims.text("htu")?).ok_or(VerifyError::Claim("htu"))?;
        if Some(htu) != normal(expected.uri) {
            return Err(ProofError::Request("htu"));
        }
        let iat = claims.time("iat")?.ok_or(VerifyError::Missing("iat"))?;
        if iat < now - expected.window || iat > now + expected.window {
            return Err(ProofError::Time(expected.window));
        }
        // Section 4.2 knows neither; where they stand they hold.
        if claims.time("exp")?.is_some_and(|exp| exp <= now) {
            return Err(VerifyError::Expired.into());
        }
        if claims.time("nbf")?.is_some_and(|nbf| nbf > now + expected.window) {
            return Err(VerifyError::NotYetValid.into());
        }
        if let Some(token) = expected.token {
            let hash = base64url(&sha256(token.as_bytes()));
            if claims.0.get("ath").and_then(Value::as_str) != Some(hash.as_str()) {
                return Err(ProofError::TokenHash);
            }
        }
        if expected.nonce.is_some() && claims.optional_text("nonce")? != expected.nonce {
            return Err(ProofError::Nonce);
        }
        let thumbprint = key.thumbprint();
        let jti = claims.text("jti")?;
        // Last, so that nobody without a key fills the memory.
        once.once(&format!("dpop {thumbprint}"), jti, iat + expected.window, now)?;
        Ok(Proof { thumbprint })
    }

    /// The key that made it (`jkt`).
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }
}

/// Whether a token bound to `jkt`, if it is bound, comes with the proof that it needs.
///
/// # Errors
/// The proof is missing or by another key.
pub fn check_binding(jkt: Option<Thumbprint>, proof: Option<&Proof>) -> Result<(), ProofError> {
    match (jkt, proof) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(ProofError::Absent),
        (Some(jkt), Some(proof)) if jkt == proof.thumbprint => Ok(()),
        (Some(_), Some(_)) => Err(ProofError::OtherKey),
    }
}

/// Algorithms of proofs: those whose keys are small enough to be sent with each request, and RSA.
pub const ACCEPTED: [Algorithm; 5] =
    [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Es384, Algorithm::Ps256, Algorithm::Rs256];

/// Scheme and host in lower case, no default port, no empty path, no query or fragment (RFC 3986,
/// sections 6.2.2 and 6.2.3); the path as it is, but for the case of `%xx` and escapes that need not be.
fn normal(uri: &str) -> Option<String> {
    let uri = &uri[..uri.find(['?', '#']).unwrap_or(uri.len())];
    let (scheme, rest) = uri.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let authority = authority.to_ascii_lowercase();
    if authority.is_empty() || authority.contains(['@', '\\', ' ']) {
        return None;
    }
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let path = if path.is_empty() { "/" } else { path };
    Some(format!("{scheme}://{authority}{}", unescaped(path)?))
}

fn unescaped(path: &str) -> Option<String> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let byte = u8::from_str_radix(digits, 16).ok()?;
        out.push_str(before);
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.extend(['%'].into_iter().chain(digits.to_ascii_uppercase().chars())),
        }
        rest = &after[2..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn uris_are_compared_as_rfc_3986_says() {
        let same = |a: &str, b: &str| normal(a).is_some() && normal(a) == normal(b);
        assert!(same("HTTPS://Server.Example:443/token?x#y", "https://server.example/token"));
        assert!(same("https://server.example", "https://server.example/"));
        assert!(same("https://server.example/%7euser%2f", "https://server.example/~user%2F"));
        assert!(!same("https://server.example/Token", "https://server.example/token"));
        assert!(!same("http://server.example/", "https://server.example/"));
        assert!(!same("https://server.example:80/", "https://server.example/"));
        assert!(!same("https://server.example/token/", "https://server.example/token"));
        for bad in ["", "/token", "ftp://a/", "https://", "https://a@b/", "https://a/%2", "https://a/%zz"] {
            assert_eq!(normal(bad), None, "{bad}");
        }
    }
}
