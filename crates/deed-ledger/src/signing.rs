//! Signing checkpoints: at most a second behind the last acknowledgement, never ahead of the journal,
//! never inconsistent with the one before.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::signature::{KeyPair, ML_DSA_44_SIGNING, PqdsaKeyPair};
use deed_record::Timestamp;
use deed_seal::{
    checkpoint::{Checkpoint, CosignedTree},
    hash::Hash,
    merkle::{consistency_proof, verify_consistency},
    note::{Ed25519Signer, KeyType, MAX_NOTE, Note, Signer, VerifierKey, timestamped},
};

use crate::{
    LedgerError,
    keys::{self, Keys},
    store::Store,
    tree::Log,
};

/// The latest checkpoint of a log.
pub(crate) const CHECKPOINT: &str = "log/checkpoint";
/// Earlier checkpoints that are kept: one for each pack, by size.
pub(crate) const KEPT: &str = "log/checkpoints/";

/// A checkpoint with its signatures.
#[derive(Clone, Debug)]
pub struct SignedCheckpoint {
    /// The signed note, as C2SP tlog-checkpoint has it.
    pub note: String,
    /// Leaves it covers.
    pub size: u64,
    /// Root of the tree over them.
    pub root: Hash,
    /// When it was signed.
    pub time: Timestamp,
}

/// Signs with both keys of a log: Ed25519, which every verifier knows, and ML-DSA-44.
pub(crate) struct CheckpointSigner {
    ed25519: Ed25519Signer,
    ml_dsa: MlDsaSigner,
    origin: Arc<str>,
}

impl CheckpointSigner {
    pub(crate) fn open(keys: &Keys, origin: &Arc<str>) -> Result<Self, LedgerError> {
        let broken = |what: &str| LedgerError::Broken(format!("the signing keys cannot be used: {what}"));
        let seed = keys.seed(keys::ED25519)?;
        let ed25519 = Ed25519Signer::new(origin, &seed).map_err(|e| broken(&e.to_string()))?;
        let seed = keys.seed(keys::ML_DSA)?;
        let key = PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, &*seed)
            .map_err(|_| broken("ML-DSA-44 seed refused"))?;
        let verifier = VerifierKey::new(origin, KeyType::MlDsa44, key.public_key().as_ref())
            .map_err(|e| broken(&e.to_string()))?;
        Ok(CheckpointSigner { ed25519, ml_dsa: MlDsaSigner { key, verifier }, origin: origin.clone() })
    }

    pub(crate) fn verifier_keys(&self) -> Vec<VerifierKey> {
        vec![self.ed25519.verifier_key(), self.ml_dsa.verifier_key()]
    }

    /// Signs the tree of `log` at `size` leaves, all durable, and stores it.
    pub(crate) fn sign(
        &self,
        log: &Log,
        size: u64,
        before: Option<&SignedCheckpoint>,
    ) -> Result<SignedCheckpoint, LedgerError> {
        let root = log.root(size)?;
        if let Some(before) = before {
            // INVARIANT D3: checked against what was signed, not against what we believe we signed.
            let proof = consistency_proof(before.size, size, log)?;
            verify_consistency(before.size, size, &proof, &before.root, &root).map_err(|e| {
                LedgerError::Broken(format!(
                    "the log at {size} leaves does not continue the checkpoint signed at {}: {e}",
                    before.size
                ))
            })?;
        }
        let checkpoint = Checkpoint::new(&*self.origin, size, root);
        let note = Note::sign(checkpoint.to_text(), &[&self.ed25519, &self.ml_dsa])
            .map_err(|e| LedgerError::Broken(format!("signing failed: {e}")))?
            .to_string();
        log.store.replace(CHECKPOINT, note.as_bytes())?;
        Ok(SignedCheckpoint { note, size, root, time: now() })
    }

    /// The checkpoint in the store, if its signatures hold.
    pub(crate) fn stored(&self, store: &dyn Store) -> Result<Option<SignedCheckpoint>, LedgerError> {
        self.read(store, CHECKPOINT)
    }

    /// The checkpoint over most leaves of those that are kept for good, if its signatures hold.
    pub(crate) fn last_kept(&self, store: &dyn Store) -> Result<Option<SignedCheckpoint>, LedgerError> {
        // Their names are of one length: the last has the largest number.
        match store.list(KEPT)?.pop() {
            Some(object) => self.read(store, &object.path),
            None => Ok(None),
        }
    }

    fn read(&self, store: &dyn Store, path: &str) -> Result<Option<SignedCheckpoint>, LedgerError> {
        let bytes = match store.read_at_most(path, MAX_NOTE as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let keys = self.verifier_keys();
        let open = |keys: &[VerifierKey]| {
            Checkpoint::open(&bytes, keys)
                .map_err(|e| LedgerError::Broken(format!("`{path}` does not verify: {e}")))
        };
        let (checkpoint, note) = open(&keys)?;
        // To others one good signature is enough; here a key that was changed must not sign on unnoticed.
        for key in &keys {
            open(std::slice::from_ref(key))?;
        }
        let text = note.to_string();
        Ok(Some(SignedCheckpoint { note: text, size: checkpoint.size, root: checkpoint.root, time: now() }))
    }
}

/// Where a checkpoint that is kept for good is stored.
pub(crate) fn kept_path(size: u64) -> String {
    format!("{KEPT}{size:020}")
}

struct MlDsaSigner {
    key: PqdsaKeyPair,
    verifier: VerifierKey,
}

impl Signer for MlDsaSigner {
    fn name(&self) -> &str {
        self.verifier.name()
    }

    fn key_id(&self) -> [u8; 4] {
        self.verifier.key_id()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        // `Note::sign` checks the result: what cannot be signed comes out as a refused note.
        let sign = || -> Option<Vec<u8>> {
            let text = std::str::from_utf8(message).ok()?;
            let message = CosignedTree::of_note(text, seconds).ok()?.message(self.name()).ok()?;
            let mut signature = vec![0; ML_DSA_44_SIGNING.signature_len()];
            let length = self.key.sign(&message, &mut signature).ok()?;
            signature.truncate(length);
            Some(timestamped(seconds, &signature))
        };
        sign().unwrap_or_default()
    }

    fn verifier_key(&self) -> VerifierKey {
        self.verifier.clone()
    }
}

/// The time by the clock of this machine.
pub fn now() -> Timestamp {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros() as i64);
    Timestamp(micros)
}
