//! Selective disclosure (RFC 9901): salted commitments in a sealed record, and the disclosures that open
//! them. Dropping a disclosure redacts its value and leaves every seal as it was (INVARIANT D4).
//!
//! A disclosure is committed to as the bytes that came: nothing is ever canonicalised.

use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::lanes::hash_all;

/// The name of the claim that holds the digests of disclosable members.
pub const SD: &str = "_sd";

/// The name of the claim that names the hash algorithm, at the top level only.
pub const SD_ALG: &str = "_sd_alg";

/// The only member of the object that stands for a disclosable array element.
pub const ELEMENT: &str = "...";

/// How deep a payload with its disclosures put in may nest.
pub const MAX_DEPTH: usize = 128;

/// The JSON of the disclosure of an object member, `["salt","name",value]`, with `value_json` as it is.
///
/// `salt_b64url` should be 128 random bits or more, fresh for each disclosure (RFC 9901, section 9.3).
/// `value_json` must be one JSON value.
pub fn disclosure_json(salt_b64url: &str, name: &str, value_json: &[u8]) -> Vec<u8> {
    let mut json = Vec::with_capacity(salt_b64url.len() + name.len() + value_json.len() + 8);
    write_disclosure_json(&mut json, salt_b64url, name, value_json);
    json
}

/// Appends what [`disclosure_json`] returns to `json`.
pub fn write_disclosure_json(json: &mut Vec<u8>, salt_b64url: &str, name: &str, value_json: &[u8]) {
    json.push(b'[');
    push_json_string(json, salt_b64url);
    json.push(b',');
    push_json_string(json, name);
    json.push(b',');
    json.extend_from_slice(value_json);
    json.push(b']');
}

/// The JSON of the disclosure of an array element, `["salt",value]`; see [`disclosure_json`].
pub fn element_disclosure_json(salt_b64url: &str, value_json: &[u8]) -> Vec<u8> {
    let mut json = Vec::with_capacity(salt_b64url.len() + value_json.len() + 5);
    json.push(b'[');
    push_json_string(&mut json, salt_b64url);
    json.push(b',');
    json.extend_from_slice(value_json);
    json.push(b']');
    json
}

/// The digest of a disclosure given as JSON: SHA-256 of the ASCII bytes of its base64url form
/// (RFC 9901, section 4.2.3).
pub fn digest_of_json(json: &[u8]) -> [u8; 32] {
    const CHUNK: usize = 768; // a multiple of 3, so that only the last chunk ends in mid-group
    let mut text = [0; CHUNK / 3 * 4];
    let mut hasher = Sha256::new();
    for chunk in json.chunks(CHUNK) {
        #[expect(clippy::unwrap_used, reason = "`text` holds the base64 of CHUNK bytes")]
        let length = URL_SAFE_NO_PAD.encode_slice(chunk, &mut text).unwrap();
        hasher.update(&text[..length]);
    }
    hasher.finalize().into()
}

/// As [`digest_of_json`] of each of `jsons`, faster for many of them at a time.
pub fn digests_of_json<T: AsRef<[u8]>>(jsons: &[T]) -> Vec<[u8; 32]> {
    let mut text = String::with_capacity(jsons.iter().map(|json| json.as_ref().len() * 4 / 3 + 3).sum());
    let ends: Vec<usize> = jsons
        .iter()
        .map(|json| {
            URL_SAFE_NO_PAD.encode_string(json, &mut text);
            text.len()
        })
        .collect();
    let starts = std::iter::once(0).chain(ends.iter().copied());
    let texts: Vec<&str> = starts.zip(&ends).map(|(start, end)| &text[start..*end]).collect();
    hash_all(None, &texts).into_iter().map(|hash| hash.0).collect()
}

/// A digest as it stands in `_sd`: base64url without padding.
pub fn digest_text(digest: &[u8; 32]) -> [u8; 43] {
    let mut text = [0; 43];
    #[expect(clippy::unwrap_used, reason = "32 bytes are 43 characters of base64")]
    URL_SAFE_NO_PAD.encode_slice(digest, &mut text).unwrap();
    text
}

/// A disclosure: the salted value that a digest commits to.
#[derive(Debug, Clone)]
pub struct Disclosure {
    json: Vec<u8>,
    salt: String,
    name: Option<String>,
    value: Box<RawValue>,
}

impl Disclosure {
    /// A disclosure from its JSON bytes.
    ///
    /// # Errors
    /// [`SdError::Disclosure`] unless they are `[salt, name, value]` or `[salt, value]` with strings for
    /// salt and name.
    pub fn from_json(json: impl Into<Vec<u8>>) -> Result<Self, SdError> {
        let json = json.into();
        let parts: Vec<&RawValue> = serde_json::from_slice(&json).map_err(|_| SdError::Disclosure)?;
        let string = |raw: &RawValue| serde_json::from_str(raw.get()).map_err(|_| SdError::Disclosure);
        let (salt, name, value) = match parts[..] {
            [salt, value] => (string(salt)?, None, value.to_owned()),
            [salt, name, value] => (string(salt)?, Some(string(name)?), value.to_owned()),
            _ => return Err(SdError::Disclosure),
        };
        Ok(Self { json, salt, name, value })
    }

    /// A disclosure from its base64url form, as it stands in an SD-JWT.
    ///
    /// # Errors
    /// [`SdError::Disclosure`] if it is none.
    pub fn parse(encoded: &str) -> Result<Self, SdError> {
        Self::from_json(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| SdError::Disclosure)?)
    }

    /// The JSON bytes, as they came.
    pub fn json(&self) -> &[u8] {
        &self.json
    }

    /// The base64url form.
    pub fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.json)
    }

    /// What commits to it; see [`digest_of_json`].
    pub fn digest(&self) -> [u8; 32] {
        digest_of_json(&self.json)
    }

    /// The salt.
    pub fn salt(&self) -> &str {
        &self.salt
    }

    /// The name of the member; `None` for an array element.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The JSON of the value, as it came.
    pub fn value_json(&self) -> &str {
        self.value.get()
    }
}

/// A payload with its disclosures put in place and all that is not disclosed left out, as a verifier
/// hands it on (RFC 9901, section 7.1, step 3 to 5).
///
/// Values are read as `serde_json` reads them; where the very bytes matter, such as for numbers beyond
/// 64 bits, take [`Disclosure::value_json`].
///
/// # Errors
/// [`SdError`] in every case that the RFC rejects; also where a payload nests over [`MAX_DEPTH`] deep, or
/// uses `_sd`, `_sd_alg` or `...` in a way that the RFC does not know.
pub fn unpack(payload: &Value, disclosures: &[Disclosure]) -> Result<Value, SdError> {
    let members = payload.as_object().ok_or(SdError::NotAnObject)?;
    match members.get(SD_ALG) {
        None => {}
        Some(Value::String(algorithm)) if algorithm == "sha-256" => {}
        Some(algorithm) => return Err(SdError::Algorithm(algorithm.to_string())),
    }
    let mut unpacking = Unpacking { unused: HashMap::with_capacity(disclosures.len()), seen: HashSet::new() };
    for disclosure in disclosures {
        if unpacking.unused.insert(disclosure.digest(), disclosure).is_some() {
            return Err(SdError::DuplicateDisclosure(show(&disclosure.digest())));
        }
    }
    let unpacked = unpacking.object(members, 0)?;
    match unpacking.unused.keys().min() {
        Some(digest) => Err(SdError::Unreferenced(show(digest))),
        None => Ok(Value::Object(unpacked)),
    }
}

/// The parts of an SD-JWT in compact serialisation: `<JWT>~<disclosure>~…~` or the same followed by a
/// key binding JWT (RFC 9901, section 4). Nothing but the split is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compact<'a> {
    /// The issuer-signed JWT.
    pub jwt: &'a str,
    /// Base64url disclosures, see [`Disclosure::parse`].
    pub disclosures: Vec<&'a str>,
    /// The key binding JWT.
    pub key_binding: Option<&'a str>,
    /// Everything through the last `~`: what the `sd_hash` of a key binding JWT covers.
    pub bound: &'a str,
}

impl<'a> Compact<'a> {
    /// Splits `text`.
    ///
    /// # Errors
    /// [`SdError::Compact`] if there is no `~` or a part but the last is empty.
    pub fn split(text: &'a str) -> Result<Self, SdError> {
        let (before, key_binding) = text.rsplit_once('~').ok_or(SdError::Compact)?;
        let mut parts = before.split('~');
        if parts.clone().any(str::is_empty) {
            return Err(SdError::Compact);
        }
        let jwt = parts.next().ok_or(SdError::Compact)?;
        Ok(Self {
            jwt,
            disclosures: parts.collect(),
            key_binding: Some(key_binding).filter(|jwt| !jwt.is_empty()),
            bound: &text[..=before.len()],
        })
    }
}

/// Why a disclosure, or a payload with disclosures, is refused.
///
/// Values never appear in it, names and digests do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SdError {
    /// Neither `[salt, name, value]` nor `[salt, value]`, or not base64url of it.
    #[error("a disclosure is not `[salt, name, value]` or `[salt, value]`")]
    Disclosure,
    /// No SD-JWT in compact serialisation.
    #[error("not `<JWT>~<disclosure>~…~`")]
    Compact,
    /// Only an object can hold disclosable claims.
    #[error("the payload is not an object")]
    NotAnObject,
    /// Digests of a kind that is not checked here.
    #[error("`_sd_alg` is {0}, understood is `sha-256`")]
    Algorithm(String),
    /// `_sd` is not an array of strings.
    #[error("`_sd` is not an array of strings")]
    SdClaim,
    /// `...` outside an array, with other members, or not a string; or `_sd_alg` below the top level.
    #[error("`{0}` stands where only a claim may")]
    Reserved(&'static str),
    /// The same disclosure was given twice.
    #[error("two disclosures have the digest `{0}`")]
    DuplicateDisclosure(String),
    /// A digest occurs more than once in the payload, disclosures included.
    #[error("digest `{0}` occurs more than once")]
    DuplicateDigest(String),
    /// No digest in the payload, or in a disclosure that is part of it, commits to a disclosure.
    #[error("nothing commits to the disclosure with digest `{0}`")]
    Unreferenced(String),
    /// A disclosure of an array element is referenced in `_sd`, or one of a member in an array.
    #[error("the disclosure with digest `{0}` is of the wrong kind for its place (member or array element)")]
    WrongKind(String),
    /// A disclosed name that no claim can have.
    #[error("a disclosure has the name `{0}`, which no claim can have")]
    Name(String),
    /// A disclosed name that its object already has.
    #[error("a disclosure has the name `{0}`, which its object already has")]
    NameTaken(String),
    /// A value that is JSON but cannot be held: nested too deep, a number out of range, half a surrogate pair.
    #[error(
        "the value of the disclosure with digest `{0}` nests too deep, or holds a number or a character that cannot be represented"
    )]
    Unreadable(String),
    /// Nested over [`MAX_DEPTH`] deep.
    #[error("the payload nests more than {MAX_DEPTH} deep")]
    TooDeep,
}

/// The way through a payload.
struct Unpacking<'a> {
    /// Disclosures whose digest has not occurred yet.
    unused: HashMap<[u8; 32], &'a Disclosure>,
    /// Digests that have.
    seen: HashSet<String>,
}

impl<'a> Unpacking<'a> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<Value, SdError> {
        if depth > MAX_DEPTH {
            return Err(SdError::TooDeep);
        }
        match value {
            Value::Object(members) => self.object(members, depth).map(Value::Object),
            Value::Array(elements) => self.array(elements, depth).map(Value::Array),
            scalar => Ok(scalar.clone()),
        }
    }

    fn object(&mut self, members: &Map<String, Value>, depth: usize) -> Result<Map<String, Value>, SdError> {
        let mut claims = Map::new();
        for (name, value) in members {
            match name.as_str() {
                SD => {}
                SD_ALG if depth == 0 => {}
                SD_ALG => return Err(SdError::Reserved(SD_ALG)),
                ELEMENT => return Err(SdError::Reserved(ELEMENT)),
                _ => {
                    claims.insert(name.clone(), self.value(value, depth + 1)?);
                }
            }
        }
        let digests = match members.get(SD) {
            None => return Ok(claims),
            Some(Value::Array(digests)) => digests,
            Some(_) => return Err(SdError::SdClaim),
        };
        for digest in digests {
            let digest = digest.as_str().ok_or(SdError::SdClaim)?;
            let Some(disclosure) = self.disclosed(digest)? else { continue };
            let name = disclosure.name().ok_or_else(|| SdError::WrongKind(digest.to_owned()))?;
            if [SD, SD_ALG, ELEMENT].contains(&name) {
                return Err(SdError::Name(name.to_owned()));
            }
            if claims.contains_key(name) {
                return Err(SdError::NameTaken(name.to_owned()));
            }
            let value = self.value(&read_value(disclosure)?, depth + 1)?;
            claims.insert(name.to_owned(), value);
        }
        Ok(claims)
    }

    fn array(&mut self, elements: &[Value], depth: usize) -> Result<Vec<Value>, SdError> {
        let mut claims = Vec::with_capacity(elements.len());
        for element in elements {
            let digest = match element {
                Value::Object(members) if members.contains_key(ELEMENT) => match members.get(ELEMENT) {
                    Some(Value::String(digest)) if members.len() == 1 => digest,
                    _ => return Err(SdError::Reserved(ELEMENT)),
                },
                claim => {
                    claims.push(self.value(claim, depth + 1)?);
                    continue;
                }
            };
            let Some(disclosure) = self.disclosed(digest)? else { continue };
            if disclosure.name().is_some() {
                return Err(SdError::WrongKind(digest.to_owned()));
            }
            claims.push(self.value(&read_value(disclosure)?, depth + 1)?);
        }
        Ok(claims)
    }

    /// The disclosure that `digest` commits to, if it was given; `digest` must not have occurred before.
    fn disclosed(&mut self, digest: &str) -> Result<Option<&'a Disclosure>, SdError> {
        if !self.seen.insert(digest.to_owned()) {
            return Err(SdError::DuplicateDigest(digest.to_owned()));
        }
        // Anything that is no SHA-256 value cannot be that of a disclosure: a decoy.
        let mut bytes = [0; 33];
        let Ok(32) = URL_SAFE_NO_PAD.decode_slice(digest, &mut bytes) else { return Ok(None) };
        Ok(self.unused.remove(&bytes[..32]))
    }
}

fn read_value(disclosure: &Disclosure) -> Result<Value, SdError> {
    // It was read before, as text: what fails now is not its form.
    serde_json::from_str(disclosure.value_json()).map_err(|_| SdError::Unreadable(show(&disclosure.digest())))
}

fn show(digest: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(digest)
}

fn push_json_string(json: &mut Vec<u8>, text: &str) {
    #[expect(clippy::unwrap_used, reason = "neither a string nor a vector refuses to be written")]
    serde_json::to_writer(json, text).unwrap();
}
