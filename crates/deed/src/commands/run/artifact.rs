//! What a command releases: its digest, and whether its signature is that of the key that was named.

use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    digest::{Context, Digest, SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use deed_gateway::{Released, Signature};

use crate::{exit::Failure, output::hex};

/// Keys and signatures are shorter than this.
const MOST_SMALL: u64 = 64 << 10;
/// An Ed25519 signature is over the file itself, which is then read into memory.
const MOST_ED25519: u64 = 1 << 30;

/// A file whose content must stay as it is.
pub(super) struct Artifact {
    path: PathBuf,
    pub(super) released: Released,
}

impl Artifact {
    /// Reads `path`, and checks the signature in the first of `signed` with the key in the second.
    ///
    /// # Errors
    /// A file cannot be read, or the key is none. A signature that is wrong is no error here: policy decides.
    pub(super) fn read(path: &Path, signed: Option<(&Path, &Path)>) -> Result<Self, Failure> {
        let digest = digest_of(path)?;
        let (signature, signer) = match signed {
            None => (Signature::None, None),
            Some((signature, key)) => {
                let der = public_key(key)?;
                let signer = sha256(&digest_bytes(&der));
                let verified = verifies(path, &digest, &small(signature)?, &der, key)?;
                (if verified { Signature::Verified } else { Signature::Invalid }, Some(signer))
            }
        };
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let released = Released { name, digest: sha256(&digest), signature, signer };
        Ok(Artifact { path: path.to_owned(), released })
    }

    /// Whether the file still holds what was decided on.
    pub(super) fn is_same(&self) -> bool {
        digest_of(&self.path).is_ok_and(|digest| sha256(&digest) == self.released.digest)
    }
}

fn sha256(digest: &Digest) -> String {
    format!("sha256:{}", hex(digest.as_ref()))
}

fn digest_bytes(bytes: &[u8]) -> Digest {
    digest(&SHA256, bytes)
}

fn failed(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::new(format!("failed to read `{}`", path.display())).detail(why.to_string())
}

fn digest_of(path: &Path) -> Result<Digest, Failure> {
    let mut file = File::open(path).map_err(|error| failed(path, error))?;
    let mut hash = Context::new(&SHA256);
    let mut chunk = vec![0; 1 << 20];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hash.finish()),
            Ok(read) => hash.update(&chunk[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(path, error)),
        }
    }
}

fn at_most(path: &Path, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(path, error))?;
    file.take(most + 1).read_to_end(&mut bytes).map_err(|error| failed(path, error))?;
    match bytes.len() as u64 > most {
        true => Err(failed(path, format!("it is larger than {most} bytes"))),
        false => Ok(bytes),
    }
}

fn small(path: &Path) -> Result<Vec<u8>, Failure> {
    at_most(path, MOST_SMALL)
}

/// The SubjectPublicKeyInfo of a PEM file (RFC 7468, section 13), in DER.
fn public_key(path: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = || failed(path, "expected one public key in PEM: -----BEGIN PUBLIC KEY-----");
    let text = String::from_utf8(small(path)?).map_err(|_| wrong())?;
    let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----").ok_or_else(wrong)?;
    let (inside, rest) = rest.split_once("-----END PUBLIC KEY-----").ok_or_else(wrong)?;
    if rest.contains("-----BEGIN") {
        return Err(wrong());
    }
    let digits: String = inside.split_ascii_whitespace().collect();
    STANDARD.decode(digits).map_err(|_| wrong())
}

/// Whether `signature`, in base64 or as it is, is that of the key over the file.
fn verifies(path: &Path, digest: &Digest, signature: &[u8], der: &[u8], key: &Path) -> Result<bool, Failure> {
    let text = std::str::from_utf8(signature).ok();
    let decoded =
        text.and_then(|text| STANDARD.decode(text.split_ascii_whitespace().collect::<String>()).ok());
    let forms = || decoded.iter().map(Vec::as_slice).chain([signature]);
    if let Ok(key) = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, der) {
        return Ok(forms().any(|signature| key.verify_digest_sig(digest, signature).is_ok()));
    }
    let ed25519 = ParsedPublicKey::new(&ED25519, der);
    let parsed = ed25519.map_err(|_| failed(key, "expected an EC key on P-256, or an Ed25519 key"))?;
    let message = at_most(path, MOST_ED25519)?;
    // What was read twice must be one thing.
    let is_same = digest_bytes(&message).as_ref() == digest.as_ref();
    Ok(is_same && forms().any(|signature| parsed.verify_sig(&message, signature).is_ok()))
}
