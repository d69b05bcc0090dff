//! Deed's own signature under tokens: keys, their rotation, and what they signed.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use deed_record::Timestamp;
use serde_json::{Value, json};

use crate::{
    claims::Claims,
    error::VerifyError,
    exchange::Grant,
    jwk::{Algorithm, PublicKey},
    jwks::KeySet,
    jwt::Unverified,
    terms::Terms,
    text::{Fingerprint, Secret, base64url},
    unix,
};

/// Why a signing key cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IssueError {
    /// The bytes are no private key.
    #[error("the private key is malformed; expected a 32-byte Ed25519 seed or PKCS #8 of a P-256 key")]
    Malformed,
    /// The key is in use already.
    #[error("the signing key is known already; rotate to a new one")]
    Known,
    /// A key cannot start to sign before the last one did.
    #[error("the new signing key would sign before the current one does")]
    Earlier,
    /// The signature could not be made.
    #[error("failed to sign: no key signs at that time, or the system gives no random bytes")]
    Sign,
}

/// A private key that signs tokens. Its `kid` is its RFC 7638 thumbprint.
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
    kid: String,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// An Ed25519 key (`EdDSA`) of its seed.
    ///
    /// # Errors
    /// The seed is no 32 bytes.
    pub fn ed25519(seed: &[u8]) -> Result<Self, IssueError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| IssueError::Malformed)?;
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref()) });
        SigningKey::of(Pair::Ed25519(pair), &jwk)
    }

    /// A P-256 key (`ES256`), PKCS #8 in DER.
    ///
    /// # Errors
    /// It is no such key.
    pub fn es256(pkcs8: &[u8]) -> Result<Self, IssueError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        let pair = pair.map_err(|_| IssueError::Malformed)?;
        let point = pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": base64url(x), "y": base64url(y) });
        SigningKey::of(Pair::P256(pair), &jwk)
    }

    fn of(pair: Pair, jwk: &Value) -> Result<Self, IssueError> {
        let public = PublicKey::from_value(jwk).map_err(|_| IssueError::Malformed)?;
        let kid = public.thumbprint().to_string();
        Ok(SigningKey { pair, public, kid })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// `alg` of what it signs.
    pub fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Ed25519(_) => Algorithm::EdDsa,
            Pair::P256(_) => Algorithm::Es256,
        }
    }

    /// A JWS over `claims`, with `typ` and further header parameters: for proofs and assertions of
    /// clients, and for what [`Issuer`] issues.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn sign(&self, typ: &str, more: &[(&str, Value)], claims: &Value) -> Result<String, IssueError> {
        let mut header = json!({ "alg": self.algorithm().name(), "typ": typ });
        for (name, value) in more {
            header[*name] = value.clone();
        }
        let mut token = base64url(header.to_string().as_bytes());
        token.push('.');
        token.push_str(&base64url(claims.to_string().as_bytes()));
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(token.as_bytes()),
            Pair::P256(pair) => pair.sign(&SystemRandom::new(), token.as_bytes()),
        };
        let signature = signature.map_err(|_| IssueError::Sign)?;
        token.push('.');
        token.push_str(&base64url(signature.as_ref()));
        Ok(token)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The token service as an issuer: its name and its keys.
///
/// Keys come and go without an interruption: a new key is published before it signs, and an old one
/// verifies until the last token that it signed has expired.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    keys: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    key: SigningKey,
    /// When it starts to sign, in seconds.
    from: i64,
    /// When the next one signs instead; the newest key has no end.
    stops: Option<i64>,
    /// When it verifies no more.
    until: Option<i64>,
}

impl Issuer {
    /// An issuer `url` (RFC 8414, section 2) whose `key` signs from now on.
    pub fn new(url: &str, key: SigningKey) -> Self {
        Issuer { url: url.to_owned(), keys: vec![Held { key, from: i64::MIN, stops: None, until: None }] }
    }

    /// `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Publishes `key`, which signs from `from` on. What the key before it signed is believed for
    /// `longest` seconds more, the longest life of a token.
    ///
    /// # Errors
    /// The key is known, or an even newer key signs before it would.
    pub fn rotate(&mut self, key: SigningKey, from: Timestamp, longest: i64) -> Result<(), IssueError> {
        let from = unix(from);
        if self.keys.iter().any(|held| held.key.kid == key.kid) {
            return Err(IssueError::Known);
        }
        if let Some(last) = self.keys.last_mut() {
            if from < last.from {
                return Err(IssueError::Earlier);
            }
            last.stops.get_or_insert(from);
            last.until.get_or_insert(from.saturating_add(longest.max(0)));
        }
        self.keys.push(Held { key, from, stops: None, until: None });
        Ok(())
    }

    /// Takes a key back at once, for it is no secret any more: nothing it signed is believed. Returns
    /// whether it was there. If it was the one that signs, nothing is signed until [`Issuer::rotate`].
    pub fn withdraw(&mut self, kid: &str, now: Timestamp) -> bool {
        let Some(at) = self.keys.iter().position(|held| held.key.kid == kid) else { return false };
        let withdrawn = self.keys.remove(at);
        // One that was only to come takes nothing with it.
        if withdrawn.from > unix(now)
            && at == self.keys.len()
            && let Some(last) = self.keys.last_mut()
        {
            (last.stops, last.until) = (None, None);
        }
        true
    }

    /// Drops keys that verify nothing any more.
    pub fn forget(&mut self, now: Timestamp) {
        self.keys.retain(|held| held.until.is_none_or(|until| until > unix(now)));
    }

    /// The public keys at that time, as a JWKS (RFC 7517): those that verify, and those to come.
    pub fn jwks(&self, now: Timestamp) -> Value {
        let current = self.keys.iter().filter(|held| held.until.is_none_or(|until| until > unix(now)));
        json!({ "keys": current.map(|held| held.key.public.to_jwk()).collect::<Vec<_>>() })
    }

    /// The access token of a grant (RFC 9068).
    ///
    /// # Errors
    /// No key signs at the time of the grant.
    pub fn sign(&self, grant: &Grant) -> Result<Secret, IssueError> {
        let terms = grant.terms();
        self.sign_claims("at+jwt", terms.issued, &terms.to_claims(&self.url))
    }

    pub(crate) fn sign_claims(&self, typ: &str, at: i64, claims: &Value) -> Result<Secret, IssueError> {
        let signs = |held: &&Held| held.from <= at && held.stops.is_none_or(|stops| at < stops);
        let held = self.keys.iter().rev().find(signs).ok_or(IssueError::Sign)?;
        let kid = json!(held.key.kid);
        held.key.sign(typ, &[("kid", kid)], claims).map(Secret::new)
    }

    /// Verifies an access token of this issuer, wherever it may be shown. For the token service itself;
    /// a resource asks [`Issuer::verify_for`].
    ///
    /// Whether it was revoked is asked of [`crate::State`].
    ///
    /// # Errors
    /// It is not this issuer's, not an access token, malformed, expired or not valid yet.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<OwnToken, VerifyError> {
        self.verify_parsed(Unverified::parse(token)?, Fingerprint::of(token), unix(now))
    }

    /// Verifies an access token that was shown to `resource` (RFC 9068, section 4; RFC 8707).
    ///
    /// # Errors
    /// As [`Issuer::verify`]; or it was issued for other resources.
    pub fn verify_for(&self, token: &str, resource: &str, now: Timestamp) -> Result<OwnToken, VerifyError> {
        let own = self.verify(token, now)?;
        own.terms
            .audience
            .contains(resource)
            .then_some(own)
            .ok_or(VerifyError::Audience { expected: "the resource that it is shown to" })
    }

    pub(crate) fn verify_parsed(
        &self,
        token: Unverified<'_>,
        fingerprint: Fingerprint,
        now: i64,
    ) -> Result<OwnToken, VerifyError> {
        token.require_type(&[Some("at+jwt")], "at+jwt")?;
        let claims = self.verify_claims(token, now)?;
        let terms = Terms::from_claims(&claims)?;
        Ok(OwnToken { terms, fingerprint })
    }

    /// Claims of anything of this issuer that is valid now; the caller checks `typ`.
    pub(crate) fn verify_claims(&self, token: Unverified<'_>, now: i64) -> Result<Claims, VerifyError> {
        let kid = token.kid()?.ok_or(VerifyError::Header("kid"))?;
        let current = |held: &&Held| held.until.is_none_or(|until| until > now);
        let held = self.keys.iter().filter(current).find(|held| held.key.kid == kid);
        let held = held.ok_or(VerifyError::Signature)?;
        if !token.is_signed_by(&held.key.public) {
            return Err(VerifyError::Signature);
        }
        let claims = Claims(token.claims);
        if claims.text("iss")? != self.url {
            return Err(VerifyError::Issuer);
        }
        claims.check_times(now, 0)?;
        Ok(claims)
    }

    /// The keys as others see them, such as a second verifier in a test.
    pub fn keys(&self) -> KeySet {
        KeySet::of(self.keys.iter().map(|held| held.key.public.clone()).collect())
    }
}

/// An access token of Deed whose signature and times were verified.
#[derive(Clone, PartialEq, Debug)]
pub struct OwnToken {
    terms: Terms,
    fingerprint: Fingerprint,
}

impl OwnToken {
    /// What it says.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// What it is known by besides its `jti`.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}
