//! Sets of keys: what an issuer publishes (RFC 7517, section 5), and SPIFFE bundles.

use serde_json::Value;

use crate::{
    json,
    jwk::{Algorithm, KeyError, PublicKey},
};

/// A set with more keys than this is refused: nobody publishes so many.
const MOST_KEYS: usize = 64;

/// A set larger than this is refused, in bytes.
const LARGEST: usize = 512 * 1024;

/// Why a set of keys cannot be used.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not JSON, or a member twice.
    #[error("the JWKS is no strict JSON: {0}")]
    Json(String),
    /// `keys` is missing or no array.
    #[error("the JWKS has no array `keys`")]
    NoKeys,
    /// A member of a SPIFFE bundle is of the wrong type.
    #[error("member `{0}` of the SPIFFE bundle is no whole number")]
    Member(&'static str),
    /// Too much.
    #[error("the JWKS has more than 64 keys or 512 KiB")]
    TooLarge,
}

/// The keys of one issuer.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<PublicKey>,
    left_out: Vec<(usize, KeyError)>,
}

impl KeySet {
    /// Of keys that are known already, such as a registered agent's.
    pub fn of(keys: Vec<PublicKey>) -> Self {
        KeySet { keys, left_out: Vec::new() }
    }

    /// Reads a JWKS document. Keys that cannot be used for verifying are left out.
    ///
    /// # Errors
    /// It is no JWKS.
    pub fn parse(text: &str) -> Result<Self, KeySetError> {
        let (_, keys) = document(text)?;
        Ok(KeySet::select(&keys, |usage| matches!(usage, None | Some("sig"))))
    }

    fn select(keys: &[Value], usable: impl Fn(Option<&str>) -> bool) -> Self {
        let mut set = KeySet::default();
        for (at, jwk) in keys.iter().enumerate() {
            match PublicKey::from_value(jwk) {
                Ok(key) if usable(key.usage()) => set.keys.push(key),
                Ok(_) => set.left_out.push((at, KeyError::NotForVerifying)),
                Err(error) => set.left_out.push((at, error)),
            }
        }
        set
    }

    /// The keys that can be used.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// Which keys were left out, by their place from 0, and why. For an operator to see.
    pub fn left_out(&self) -> &[(usize, KeyError)] {
        &self.left_out
    }

    /// The key that made `signature`; `None` where none of the fitting ones did.
    ///
    /// A token without `kid` is tried against few keys only, so that it costs no more than others.
    pub(crate) fn find(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Option<&PublicKey> {
        const MOST_TRIED: usize = 4;
        let named = |key: &&PublicKey| kid.is_none() || key.kid() == kid;
        self.keys
            .iter()
            .filter(named)
            .filter(|key| key.algorithms().any(|known| known == algorithm))
            .take(MOST_TRIED)
            .find(|key| key.verifies(algorithm, message, signature))
    }
}

/// The keys of a SPIFFE trust domain (SPIFFE Trust Domain and Bundle, section 4).
///
/// An empty bundle is valid: it revokes everything.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// Keys with `use` `jwt-svid`.
    pub jwt: KeySet,
    /// `spiffe_sequence`: grows with each change.
    pub sequence: Option<u64>,
    /// `spiffe_refresh_hint`: how often to ask again, in seconds.
    pub refresh_hint: Option<u64>,
}

impl Bundle {
    /// Reads a bundle. Keys for other uses or of unknown types are left out.
    ///
    /// # Errors
    /// It is no bundle.
    pub fn parse(text: &str) -> Result<Self, KeySetError> {
        let (document, keys) = document(text)?;
        let number = |name: &'static str| {
            let value = document.get(name);
            value.map(|value| value.as_u64().ok_or(KeySetError::Member(name))).transpose()
        };
        let mut jwt = KeySet::select(&keys, |usage| usage == Some("jwt-svid"));
        // Section 4.2.3: a JWT-SVID key has a `kid`.
        jwt.keys.retain(|key| key.kid().is_some());
        Ok(Bundle { jwt, sequence: number("spiffe_sequence")?, refresh_hint: number("spiffe_refresh_hint")? })
    }
}

fn document(text: &str) -> Result<(json::Object, Vec<Value>), KeySetError> {
    if text.len() > LARGEST {
        return Err(KeySetError::TooLarge);
    }
    let mut document = json::object(text.as_bytes()).map_err(|error| KeySetError::Json(error.to_string()))?;
    match document.remove("keys") {
        Some(Value::Array(keys)) if keys.len() <= MOST_KEYS => Ok((document, keys)),
        Some(Value::Array(_)) => Err(KeySetError::TooLarge),
        _ => Err(KeySetError::NoKeys),
    }
}
