//! Signed notes (C2SP signed-note v1.0.0): text with the signatures of named keys.
//!
//! Four kinds of signature are understood ([`KeyType`]); those of other kinds are carried along and, as
//! the specification demands, ignored.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use ml_dsa::MlDsa44;
use ml_dsa::signature::Verifier as _;
use sha2::{Digest as _, Sha256};

use crate::checkpoint::CosignedTree;

/// The longest note that is read, in bytes: enough for 64 signatures of 5 kB and a long text.
pub const MAX_NOTE: usize = 1 << 20;

/// The most signatures a note may carry; the specification asks verifiers to accept at least 16.
pub const MAX_SIGNATURES: usize = 64;

const SIGNATURE_MARK: &str = "\u{2014} "; // em dash, space

/// A text and its signatures. Do not use the text before [`verify`](Note::verify) vouched for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Ends with a newline, which is part of what is signed.
    pub text: String,
    /// At least one.
    pub signatures: Vec<Signature>,
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The key's name.
    pub name: String,
    /// Which of the keys of that name; see [`key_id`].
    pub key_id: [u8; 4],
    /// What follows the key id: the signature, after a timestamp where the key's type has one.
    pub bytes: Vec<u8>,
}

/// What can sign notes. Implementations hold the secret key; nothing here ever asks for it.
pub trait Signer {
    /// The key's name, as it stands in the signature line.
    fn name(&self) -> &str;

    /// The key's id: that of [`verifier_key`](Self::verifier_key).
    fn key_id(&self) -> [u8; 4];

    /// What follows the key id in the signature line, for the note with text `message`.
    ///
    /// For [`KeyType::Ed25519`] that is the signature of `message` itself. The two kinds of cosignature
    /// sign another message, made by [`cosignature_v1_message`] or
    /// [`CosignedTree::of_note`](crate::checkpoint::CosignedTree::of_note), and put the timestamp before
    /// the signature ([`timestamped`]). A signer that cannot sign returns nothing: [`Note::sign`] checks
    /// what it gets.
    fn sign(&self, message: &[u8]) -> Vec<u8>;

    /// The public key.
    fn verifier_key(&self) -> VerifierKey;
}

impl Note {
    /// Signs `text` with each of `signers`, in their order, and checks each signature.
    ///
    /// # Errors
    /// [`NoteError`] if the text is no note text, there is no signer or too many, or a signature fails
    /// its own key.
    pub fn sign(text: impl Into<String>, signers: &[&dyn Signer]) -> Result<Self, NoteError> {
        let text = text.into();
        check_text(&text)?;
        if signers.is_empty() {
            return Err(NoteError::NoSignature);
        }
        if signers.len() > MAX_SIGNATURES {
            return Err(NoteError::TooManySignatures);
        }
        let signatures = signers.iter().map(|signer| {
            let key = signer.verifier_key();
            let bytes = signer.sign(text.as_bytes());
            let signature = Signature { name: key.name.clone(), key_id: key.id, bytes };
            // A fault in signing must not become a checkpoint that nobody can verify.
            key.verify(&text, &signature)?;
            Ok(signature)
        });
        let signatures = signatures.collect::<Result<_, NoteError>>()?;
        Ok(Self { text, signatures })
    }

    /// Reads a signed note.
    ///
    /// # Errors
    /// [`NoteError`] naming what is wrong with the form; no signature is verified yet.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::TooLong);
        }
        let whole = std::str::from_utf8(bytes).map_err(|_| NoteError::NotUtf8)?;
        check_characters(whole)?;
        // The text is separated from the signatures by the last empty line.
        let split = whole.rfind("\n\n").ok_or(NoteError::NoSignature)?;
        let (text, lines) = (&whole[..=split], &whole[split + 2..]);
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoSignature)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(line.parse()?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Verifies the signatures of `keys` and says which of them signed, each once, in the order of the
    /// note. Signatures of other keys are ignored.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] if any signature of a known key fails, whatever others say;
    /// [`NoteError::NoKnownKey`] if none of the keys signed.
    pub fn verify<'k>(&self, keys: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            for key in keys.iter().filter(|key| key.made(signature)) {
                key.verify(&self.text, signature)?;
                if !verified.contains(&key) {
                    verified.push(key);
                }
            }
        }
        if verified.is_empty() { Err(NoteError::NoKnownKey) } else { Ok(verified) }
    }
}

/// The kinds of signature that can be verified here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    /// 0x01: Ed25519 over the note text (C2SP signed-note).
    Ed25519,
    /// 0x04: timestamped Ed25519 cosignature of a checkpoint (C2SP tlog-cosignature, `cosignature/v1`).
    CosignatureV1,
    /// 0x06: timestamped ML-DSA-44 cosignature of a checkpoint or subtree (C2SP tlog-cosignature,
    /// `subtree/v1`). A log that signs its own checkpoints with ML-DSA-44 uses the same.
    MlDsa44,
}

impl KeyType {
    /// The signature type identifier byte of C2SP signed-note.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
            Self::MlDsa44 => 0x06,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureV1, Self::MlDsa44].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A public key with its name: what a note is verified with. As text, a *vkey*
/// (`name+hex(key id)+base64(type ‖ public key)`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    kind: KeyType,
    public_key: Vec<u8>,
}

impl VerifierKey {
    /// A key from its parts; `public_key` is 32 bytes (Ed25519) or 1,312 (ML-DSA-44).
    ///
    /// # Errors
    /// [`NoteError`] if the name or the public key cannot be one.
    pub fn new(name: &str, kind: KeyType, public_key: &[u8]) -> Result<Self, NoteError> {
        check_name(name)?;
        let usable = match kind {
            KeyType::Ed25519 | KeyType::CosignatureV1 => ed25519_key(public_key).is_some(),
            KeyType::MlDsa44 => public_key.len() == ML_DSA_44_KEY,
        };
        if !usable {
            return Err(NoteError::BadKey { name: name.to_owned() });
        }
        let id = key_id(name, kind.byte(), public_key);
        Ok(Self { name: name.to_owned(), id, kind, public_key: public_key.to_vec() })
    }

    /// The key's name; usually its log's origin or its witness's address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id; see [`key_id`].
    pub fn key_id(&self) -> [u8; 4] {
        self.id
    }

    /// How it signs.
    pub fn kind(&self) -> KeyType {
        self.kind
    }

    /// The public key: 32 bytes (Ed25519) or 1,312 (ML-DSA-44).
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// Whether `signature` claims to be by this key.
    pub fn made(&self, signature: &Signature) -> bool {
        self.name == signature.name && self.id == signature.key_id
    }

    /// Verifies one signature by this key over the note text `text`.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] if it fails.
    pub fn verify(&self, text: &str, signature: &Signature) -> Result<(), NoteError> {
        let valid = match self.kind {
            KeyType::Ed25519 => self.verify_ed25519(text.as_bytes(), &signature.bytes),
            KeyType::CosignatureV1 => timestamp_of(&signature.bytes).is_some_and(|(timestamp, bytes)| {
                self.verify_ed25519(&cosignature_v1_message(timestamp, text), bytes)
            }),
            KeyType::MlDsa44 => timestamp_of(&signature.bytes).is_some_and(|(timestamp, bytes)| {
                CosignedTree::of_note(text, timestamp).is_ok_and(|tree| self.verify_ml_dsa(&tree, bytes))
            }),
        };
        if valid && self.made(signature) {
            Ok(())
        } else {
            Err(NoteError::BadSignature { name: self.name.clone() })
        }
    }

    /// Verifies a subtree cosignature by this ML-DSA-44 key: `signature` is timestamp ‖ ML-DSA-44
    /// signature, as a witness's `sign-subtree` answers. The tree's timestamp must be the signature's.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`] if it fails or the key is of another type.
    pub fn verify_subtree(&self, tree: &CosignedTree, signature: &[u8]) -> Result<(), NoteError> {
        let valid = self.kind == KeyType::MlDsa44
            && timestamp_of(signature).is_some_and(|(timestamp, bytes)| {
                timestamp == tree.timestamp && self.verify_ml_dsa(tree, bytes)
            });
        if valid { Ok(()) } else { Err(NoteError::BadSignature { name: self.name.clone() }) }
    }

    /// When a signature by this key was made, in seconds since 1970, if its type says. Trust it only after
    /// the note was verified. ML-DSA-44 signers may say 0, which means nothing.
    pub fn timestamp(&self, signature: &Signature) -> Option<u64> {
        match self.kind {
            KeyType::Ed25519 => None,
            KeyType::CosignatureV1 | KeyType::MlDsa44 => timestamp_of(&signature.bytes).map(|(time, _)| time),
        }
    }

    fn verify_ed25519(&self, message: &[u8], signature: &[u8]) -> bool {
        // Strict: no small-order points, so that one signature never fits two keys or two messages.
        ed25519_key(&self.public_key)
            .zip(ed25519_dalek::Signature::from_slice(signature).ok())
            .is_some_and(|(key, signature)| key.verify_strict(message, &signature).is_ok())
    }

    fn verify_ml_dsa(&self, tree: &CosignedTree, signature: &[u8]) -> bool {
        let key =
            self.public_key.as_slice().try_into().map(|key| ml_dsa::VerifyingKey::<MlDsa44>::decode(&key));
        key.ok()
            .zip(ml_dsa::Signature::<MlDsa44>::try_from(signature).ok())
            .zip(tree.message(&self.name).ok())
            .is_some_and(|((key, signature), message)| key.verify(&message, &signature).is_ok())
    }
}

/// Signs note texts with an Ed25519 key ([`KeyType::Ed25519`]).
pub struct Ed25519Signer {
    key: ed25519_dalek::SigningKey,
    public: VerifierKey,
}

impl Ed25519Signer {
    /// The signer called `name` with the RFC 8032 secret key `seed`.
    ///
    /// # Errors
    /// [`NoteError::BadName`] if `name` cannot be a key name.
    pub fn new(name: &str, seed: &[u8; 32]) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let public = VerifierKey::new(name, KeyType::Ed25519, key.verifying_key().as_bytes())?;
        Ok(Self { key, public })
    }
}

impl Signer for Ed25519Signer {
    fn name(&self) -> &str {
        &self.public.name
    }

    fn key_id(&self) -> [u8; 4] {
        self.public.id
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).to_bytes().to_vec()
    }

    fn verifier_key(&self) -> VerifierKey {
        self.public.clone()
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({})", self.public) // INVARIANT D9: never the secret key
    }
}

/// The id of a key: the first four bytes of SHA-256(name ‖ 0x0A ‖ type ‖ public key).
pub fn key_id(name: &str, type_byte: u8, public_key: &[u8]) -> [u8; 4] {
    let hasher = Sha256::new().chain_update(name).chain_update([b'\n', type_byte]).chain_update(public_key);
    let digest: [u8; 32] = hasher.finalize().into();
    [digest[0], digest[1], digest[2], digest[3]]
}

/// What a `cosignature/v1` signs: a header, the time in seconds since 1970, the whole checkpoint text
/// (C2SP tlog-cosignature, *Ed25519 signed message*).
pub fn cosignature_v1_message(timestamp: u64, text: &str) -> Vec<u8> {
    format!("cosignature/v1\ntime {timestamp}\n{text}").into_bytes()
}

/// The body of a cosignature: the time in seconds since 1970, big-endian, before the signature
/// (C2SP tlog-cosignature, `timestamped_signature`).
pub fn timestamped(timestamp: u64, signature: &[u8]) -> Vec<u8> {
    [&timestamp.to_be_bytes(), signature].concat()
}

/// Why a note is refused, or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// More than [`MAX_NOTE`] bytes.
    #[error("the note has more than {MAX_NOTE} bytes")]
    TooLong,
    /// The bytes are no UTF-8.
    #[error("the note is not UTF-8")]
    NotUtf8,
    /// A control character other than newline.
    #[error("the note has control character {0:#04x}")]
    ControlCharacter(u8),
    /// The text to be signed does not end with a newline.
    #[error("the text does not end with a newline")]
    NoFinalNewline,
    /// No signature lines after a blank line, or the last is cut off.
    #[error("the note has no signature lines, or the last does not end with a newline")]
    NoSignature,
    /// More than [`MAX_SIGNATURES`].
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// A line after the blank line is no signature line.
    #[error("`{0}` is not a signature line (`\u{2014} name base64`)")]
    SignatureLine(String),
    /// A name that is empty or holds a space, a plus or a control character.
    #[error("`{0}` cannot name a key: a name is not empty and holds no space and no `+`")]
    BadName(String),
    /// A text that is no vkey.
    #[error("`{0}` is not a verifier key (`name+key id+base64`)")]
    VkeySyntax(String),
    /// A vkey of a type that is not understood here.
    #[error("the key of `{name}` has type {kind:#04x}; understood are 0x01, 0x04 and 0x06")]
    UnknownKeyType {
        /// The key's name.
        name: String,
        /// The signature type identifier byte.
        kind: u8,
    },
    /// The key id in a vkey is not that of its key.
    #[error("the key id of `{name}` does not belong to its public key; compare it with the original")]
    WrongKeyId {
        /// The key's name.
        name: String,
    },
    /// Bytes that are no public key of their type.
    #[error("the public key of `{name}` is no valid key of its type")]
    BadKey {
        /// The key's name.
        name: String,
    },
    /// None of the given keys signed the note.
    #[error("none of the given keys signed the note")]
    NoKnownKey,
    /// A signature by a known key does not fit text and key.
    #[error("the signature by `{name}` does not verify")]
    BadSignature {
        /// The key's name.
        name: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| writeln!(f, "{signature}"))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id, self.bytes.as_slice()].concat();
        write!(f, "{SIGNATURE_MARK}{} {}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for Signature {
    type Err = NoteError;

    /// Reads one signature line without its newline.
    fn from_str(line: &str) -> Result<Self, Self::Err> {
        let error = || NoteError::SignatureLine(line.chars().take(80).collect());
        let (name, encoded) =
            line.strip_prefix(SIGNATURE_MARK).and_then(|rest| rest.split_once(' ')).ok_or_else(error)?;
        check_name(name)?;
        let decoded = STANDARD.decode(encoded).map_err(|_| error())?;
        match decoded.split_first_chunk() {
            Some((key_id, bytes)) if !bytes.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: *key_id, bytes: bytes.to_vec() })
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let material = [&[self.kind.byte()], self.public_key.as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, u32::from_be_bytes(self.id), STANDARD.encode(material))
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    /// Reads a vkey; surrounding space is not part of it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NoteError::VkeySyntax(text.chars().take(80).collect());
        // The base64 may itself hold `+`, names may not.
        let [name, id, material] = text.splitn(3, '+').collect::<Vec<_>>()[..] else { return Err(error()) };
        check_name(name)?;
        let material = STANDARD.decode(material).map_err(|_| error())?;
        let (&kind, public_key) = material.split_first().ok_or_else(error)?;
        let kind = KeyType::from_byte(kind)
            .ok_or_else(|| NoteError::UnknownKeyType { name: name.to_owned(), kind })?;
        let key = Self::new(name, kind, public_key)?;
        if format!("{:08x}", u32::from_be_bytes(key.id)) == id {
            Ok(key)
        } else {
            Err(NoteError::WrongKeyId { name: name.to_owned() })
        }
    }
}

/// Length of an ML-DSA-44 public key in bytes (FIPS 204, table 2).
const ML_DSA_44_KEY: usize = 1312;

fn ed25519_key(bytes: &[u8]) -> Option<ed25519_dalek::VerifyingKey> {
    let bytes = bytes.try_into().ok()?;
    ed25519_dalek::VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())
}

/// Splits a cosignature's body into its timestamp, at most 2^63 - 1, and the signature.
fn timestamp_of(body: &[u8]) -> Option<(u64, &[u8])> {
    let (timestamp, signature) = body.split_first_chunk()?;
    let timestamp = u64::from_be_bytes(*timestamp);
    i64::try_from(timestamp).ok().map(|_| (timestamp, signature))
}

fn check_text(text: &str) -> Result<(), NoteError> {
    check_characters(text)?;
    if text.ends_with('\n') { Ok(()) } else { Err(NoteError::NoFinalNewline) }
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    match text.bytes().find(|byte| *byte < 0x20 && *byte != b'\n') {
        Some(byte) => Err(NoteError::ControlCharacter(byte)),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let forbidden = |c: char| c.is_whitespace() || c == '+' || c < '\u{20}';
    if name.is_empty() || name.contains(forbidden) {
        Err(NoteError::BadName(name.chars().take(80).collect()))
    } else {
        Ok(())
    }
}
