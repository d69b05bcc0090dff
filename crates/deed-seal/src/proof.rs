//! Offline proofs that an entry is in a log: `.tlog-proof` files (C2SP tlog-proof, `@v1`).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{Checkpoint, CheckpointError, parse_decimal};
use crate::hash::{Hash, HashError, leaf_hash};
use crate::merkle::{ProofError, verify_inclusion};
use crate::note::{MAX_NOTE, VerifierKey};

const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// No tree of less than 2^64 leaves has a longer way from leaf to root.
const MAX_HASHES: usize = 64;

/// An inclusion proof with the checkpoint it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    /// Anything, for the application; **not** authenticated.
    pub extra: Option<Vec<u8>>,
    /// Where in the log the entry is, from 0.
    pub index: u64,
    /// The siblings from the leaf up.
    pub hashes: Vec<Hash>,
    /// The signed note, verbatim.
    pub checkpoint: String,
}

/// What a [`TlogProof`] proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved<'k> {
    /// The head of the log that holds the entry.
    pub checkpoint: Checkpoint,
    /// The keys, of those given, that signed the checkpoint.
    pub keys: Vec<&'k VerifierKey>,
}

impl TlogProof {
    /// Reads a proof; nothing is verified yet.
    ///
    /// # Errors
    /// [`TlogProofError`] naming what is wrong with the form.
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogProofError> {
        if bytes.len() > 2 * MAX_NOTE {
            return Err(TlogProofError::TooLong);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| TlogProofError::NotUtf8)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::NoCheckpoint)?;
        let mut lines = head.split('\n').enumerate().map(|(number, line)| (number + 1, line)).peekable();
        if lines.next_if(|(_, line)| *line == HEADER).is_none() {
            return Err(TlogProofError::Header);
        }
        let extra = match lines.next_if(|(_, line)| line.starts_with("extra ")) {
            Some((number, line)) => Some(
                decode_extra(line).ok_or(TlogProofError::Line { number, expected: "`extra` and base64" })?,
            ),
            None => None,
        };
        let wrong = |number| TlogProofError::Line { number, expected: "`index` and a decimal number" };
        let (number, line) = lines.next().ok_or(wrong(if extra.is_some() { 3 } else { 2 }))?;
        let index = line.strip_prefix("index ").and_then(parse_decimal).ok_or(wrong(number))?;
        let mut hashes = Vec::new();
        for (number, line) in lines {
            if hashes.len() == MAX_HASHES {
                return Err(TlogProofError::TooManyHashes);
            }
            hashes.push(Hash::from_base64(line).map_err(|error| TlogProofError::Hash { number, error })?);
        }
        Ok(Self { extra, index, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// Verifies that `entry` is in a log whose head one of `keys` signed. Whether the
    /// [origin](Checkpoint::origin) is the right one, and whether enough of the right keys signed, is for
    /// the caller to decide.
    ///
    /// # Errors
    /// [`TlogProofError`] if it is not proved.
    pub fn verify<'k>(&self, entry: &[u8], keys: &'k [VerifierKey]) -> Result<Proved<'k>, TlogProofError> {
        self.verify_leaf(&leaf_hash(entry), keys)
    }

    /// As [`verify`](Self::verify), for an entry of which only the [`leaf_hash`] is known.
    ///
    /// # Errors
    /// [`TlogProofError`] if it is not proved.
    pub fn verify_leaf<'k>(
        &self,
        leaf: &Hash,
        keys: &'k [VerifierKey],
    ) -> Result<Proved<'k>, TlogProofError> {
        let (checkpoint, note) = Checkpoint::open_unverified(self.checkpoint.as_bytes())?;
        let keys = note.verify(keys).map_err(CheckpointError::Note)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.hashes, &checkpoint.root)?;
        Ok(Proved { checkpoint, keys })
    }
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlogProofError {
    /// More bytes than any proof needs.
    #[error("the proof has more than {} bytes", 2 * MAX_NOTE)]
    TooLong,
    /// The bytes are no UTF-8.
    #[error("the proof is not UTF-8")]
    NotUtf8,
    /// Another format, or another version.
    #[error("the first line is not `{HEADER}`")]
    Header,
    /// No empty line with the checkpoint after it.
    #[error("no checkpoint follows after an empty line")]
    NoCheckpoint,
    /// A line is not what it should be.
    #[error("line {number} should be {expected}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// A line is no hash.
    #[error("line {number}: {error}")]
    Hash {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        error: HashError,
    },
    /// More hashes than a tree has levels.
    #[error("more than {MAX_HASHES} hashes")]
    TooManyHashes,
    /// The checkpoint is none, or is not trusted.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead from the entry to the checkpoint.
    #[error("the entry is not proved to be in the log: {0}")]
    Inclusion(#[from] ProofError),
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", STANDARD.encode(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for TlogProof {
    type Err = TlogProofError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes())
    }
}

fn decode_extra(line: &str) -> Option<Vec<u8>> {
    STANDARD.decode(line.strip_prefix("extra ")?).ok()
}
