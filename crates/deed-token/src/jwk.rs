//! Public keys as JSON (RFC 7517, RFC 7518 section 6, RFC 8037) and their names (RFC 7638).

use std::fmt;

use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use crate::{
    json::Object,
    text::{base64url, from_base64url, is_name, sha256},
};

/// A signature algorithm that is accepted. There is no `none`, and nothing with shared secrets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519: `EdDSA` (RFC 8037), read also by its newer name `Ed25519` (RFC 9864).
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Algorithm; 9] = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];

    /// The value of `alg`.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::Rs256 => "RS256",
            Algorithm::Rs384 => "RS384",
            Algorithm::Rs512 => "RS512",
            Algorithm::Ps256 => "PS256",
            Algorithm::Ps384 => "PS384",
            Algorithm::Ps512 => "PS512",
            Algorithm::Es256 => "ES256",
            Algorithm::Es384 => "ES384",
            Algorithm::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name; `None` where it is unknown or not accepted.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "Ed25519" => Some(Algorithm::EdDsa),
            _ => Algorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name),
        }
    }
}

/// RFC 7638 thumbprint of a key: SHA-256, in text base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint(pub [u8; 32]);

impl Thumbprint {
    /// Reads the text form; `None` if it is not 32 bytes of base64url.
    pub fn parse(text: &str) -> Option<Self> {
        from_base64url(text)?.try_into().ok().map(Thumbprint)
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&base64url(&self.0))
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Thumbprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Thumbprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Thumbprint::parse(&text).ok_or_else(|| serde::de::Error::custom("expected 32 bytes of base64url"))
    }
}

/// Why a key cannot be used. Inside a set such a key is left out (RFC 7517, section 5).
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no object.
    #[error("expected a JWK, an object with `kty`")]
    NotAnObject,
    /// Whoever published it must make a new one.
    #[error("the JWK has the private member `{0}`; replace the key, it is no secret any more")]
    Private(&'static str),
    /// Of another type or curve.
    #[error("unsupported type of key; expected RSA, EC on P-256 or P-384, or OKP Ed25519")]
    Unsupported,
    /// Not for signatures, or for an algorithm that is not accepted or not the key's.
    #[error("the JWK is not for verifying signatures: see its `use`, `key_ops` and `alg`")]
    NotForVerifying,
    /// A member is missing or wrong.
    #[error("member `{0}` of the JWK is missing or wrong")]
    Member(&'static str),
    /// No point on the curve, too small, or otherwise no key.
    #[error("the JWK is no valid public key of its type (RSA: 2048 to 8192 bits)")]
    Invalid,
}

/// A public key with the algorithms it may be used with.
#[derive(Clone)]
pub struct PublicKey {
    kid: Option<String>,
    usage: Option<String>,
    thumbprint: Thumbprint,
    /// The members that make it, as RFC 7638 has them.
    required: String,
    verifiers: Vec<(Algorithm, ParsedPublicKey)>,
}

impl PublicKey {
    /// Reads a JWK.
    ///
    /// # Errors
    /// It holds private members, or is of no supported type, not for signatures, or malformed.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        crate::json::object(text.as_bytes())
            .map_err(|_| KeyError::NotAnObject)
            .and_then(|object| PublicKey::from_object(&object))
    }

    pub(crate) fn from_value(value: &Value) -> Result<Self, KeyError> {
        value.as_object().ok_or(KeyError::NotAnObject).and_then(PublicKey::from_object)
    }

    pub(crate) fn from_object(jwk: &Object) -> Result<Self, KeyError> {
        const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
        if let Some(private) = PRIVATE.into_iter().find(|name| jwk.contains_key(*name)) {
            return Err(KeyError::Private(private));
        }
        let (required, mut verifiers) = material(jwk)?;
        if let Some(operations) = jwk.get("key_ops") {
            let verifies = |operations: &Vec<Value>| operations.iter().any(|name| name == "verify");
            if !operations.as_array().is_some_and(verifies) {
                return Err(KeyError::NotForVerifying);
            }
        }
        if let Some(alg) = text_member(jwk, "alg")? {
            let only = Algorithm::from_name(alg);
            verifiers.retain(|(algorithm, _)| Some(*algorithm) == only);
        }
        if verifiers.is_empty() {
            return Err(KeyError::NotForVerifying);
        }
        let kid = text_member(jwk, "kid")?.map(str::to_owned);
        if kid.as_deref().is_some_and(|kid| !is_name(kid)) {
            return Err(KeyError::Member("kid"));
        }
        Ok(PublicKey {
            kid,
            usage: text_member(jwk, "use")?.map(str::to_owned),
            thumbprint: Thumbprint(sha256(required.as_bytes())),
            required,
            verifiers,
        })
    }

    /// `kid`.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// `use`.
    pub fn usage(&self) -> Option<&str> {
        self.usage.as_deref()
    }

    /// RFC 7638.
    pub fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// What it may be used with.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> + '_ {
        self.verifiers.iter().map(|(algorithm, _)| *algorithm)
    }

    /// Whether `signature` is this key's over `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verifier = self.verifiers.iter().find(|(known, _)| *known == algorithm);
        verifier.is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }

    /// As a JWK for publishing, its `kid` the thumbprint where it has none.
    pub fn to_jwk(&self) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.required).unwrap_or_default();
        jwk["kid"] = json!(self.kid.clone().unwrap_or_else(|| self.thumbprint.to_string()));
        jwk["use"] = json!(self.usage.as_deref().unwrap_or("sig"));
        if let [(algorithm, _)] = self.verifiers.as_slice() {
            jwk["alg"] = json!(algorithm.name());
        }
        jwk
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("kid", &self.kid).field("thumbprint", &self.thumbprint).finish()
    }
}

type Material = (String, Vec<(Algorithm, ParsedPublicKey)>);

/// The required members in the order of RFC 7638, and a verifier for each algorithm.
fn material(jwk: &Object) -> Result<Material, KeyError> {
    let kty = text_member(jwk, "kty")?.ok_or(KeyError::Member("kty"))?;
    let crv = text_member(jwk, "crv")?;
    match (kty, crv) {
        ("RSA", _) => rsa(jwk),
        ("EC", Some("P-256")) => ec(jwk, "P-256", 32, Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED),
        ("EC", Some("P-384")) => ec(jwk, "P-384", 48, Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED),
        ("OKP", Some("Ed25519")) => {
            let (x, bytes) = coordinate(jwk, "x", 32)?;
            let key = ParsedPublicKey::new(&signature::ED25519, bytes).map_err(|_| KeyError::Invalid)?;
            let required = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
            Ok((required, vec![(Algorithm::EdDsa, key)]))
        }
        _ => Err(KeyError::Unsupported),
    }
}

fn rsa(jwk: &Object) -> Result<Material, KeyError> {
    const WAYS: [(Algorithm, &RsaParameters); 6] = [
        (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
    ];
    let (n_text, n) = bytes_member(jwk, "n")?;
    let (e_text, e) = bytes_member(jwk, "e")?;
    // The size is checked by aws-lc only when a signature comes.
    let bits = n.len() * 8 - n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(KeyError::Invalid);
    }
    let components = RsaPublicKeyComponents { n, e };
    let verifiers = WAYS.into_iter().map(|(algorithm, parameters)| {
        let key = components.to_parsed_public_key(parameters).map_err(|_| KeyError::Invalid)?;
        Ok((algorithm, key))
    });
    let required = format!(r#"{{"e":"{e_text}","kty":"RSA","n":"{n_text}"}}"#);
    Ok((required, verifiers.collect::<Result<_, KeyError>>()?))
}

fn ec(
    jwk: &Object,
    crv: &str,
    width: usize,
    algorithm: Algorithm,
    verifier: &'static dyn signature::VerificationAlgorithm,
) -> Result<Material, KeyError> {
    let (x_text, x) = coordinate(jwk, "x", width)?;
    let (y_text, y) = coordinate(jwk, "y", width)?;
    // SEC 1, section 2.3.3: an uncompressed point. aws-lc checks that it lies on the curve.
    let point = [&[4], x.as_slice(), &y].concat();
    let key = ParsedPublicKey::new(verifier, point).map_err(|_| KeyError::Invalid)?;
    let required = format!(r#"{{"crv":"{crv}","kty":"EC","x":"{x_text}","y":"{y_text}"}}"#);
    Ok((required, vec![(algorithm, key)]))
}

fn coordinate<'a>(jwk: &'a Object, name: &'static str, width: usize) -> Result<(&'a str, Vec<u8>), KeyError> {
    bytes_member(jwk, name).and_then(|(text, bytes)| match bytes.len() == width {
        true => Ok((text, bytes)),
        false => Err(KeyError::Member(name)),
    })
}

fn bytes_member<'a>(jwk: &'a Object, name: &'static str) -> Result<(&'a str, Vec<u8>), KeyError> {
    let text = text_member(jwk, name)?.ok_or(KeyError::Member(name))?;
    from_base64url(text).map(|bytes| (text, bytes)).ok_or(KeyError::Member(name))
}

fn text_member<'a>(jwk: &'a Object, name: &'static str) -> Result<Option<&'a str>, KeyError> {
    jwk.get(name).map(|value| value.as_str().ok_or(KeyError::Member(name))).transpose()
}
