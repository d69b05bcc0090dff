//! Checkpoints (C2SP tlog-checkpoint v1.0.0): the signed head of a log, and what cosigners say of it
//! (C2SP tlog-cosignature v1.1.0-rc.1).
//!
//! A log signs the text of a checkpoint with Ed25519 (note signature type 0x01). With ML-DSA-44 (type
//! 0x06) it does **not** sign the text: the ML-DSA-44 signature of a log is a cosignature by the log
//! itself. Its signature line holds `u64 timestamp ‖ signature[2420]`, and the signed message is
//!
//! ```text
//! struct {
//!     uint8  label[12] = "subtree/v1\n\0";
//!     opaque cosigner_name<1..2^8-1>;     the key name, as in the signature line
//!     uint64 timestamp;                   the same as before the signature; seconds since 1970, may be 0
//!     opaque log_origin<1..2^8-1>;        the first line of the checkpoint
//!     uint64 start = 0;
//!     uint64 end;                         the size of the tree
//!     uint8  hash[32];                    the root
//! } cosigned_message;
//! ```
//!
//! big-endian, with one length byte before each name, signed by pure ML-DSA-44 with an empty context.
//! Extension lines are not covered. [`CosignedTree`] makes that message.

use std::fmt;
use std::str::FromStr;

use crate::hash::{Hash, HashError};
use crate::note::{Note, NoteError, VerifierKey};

/// The head of a log: the text of a checkpoint note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log: a line that is not empty, usually a URL without scheme.
    pub origin: String,
    /// Number of leaves.
    pub size: u64,
    /// Root of the tree of these leaves.
    pub root: Hash,
    /// Further lines, none of them empty. Not recommended: nobody audits them.
    pub extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of a log without extension lines.
    pub fn new(origin: impl Into<String>, size: u64, root: Hash) -> Self {
        Self { origin: origin.into(), size, root, extensions: Vec::new() }
    }

    /// The note text: origin, size, root, extensions, a line each.
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// Reads a note text. The signatures are another matter: see [`open`](Self::open).
    ///
    /// # Errors
    /// [`CheckpointError`] naming the line that is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let lines = text.strip_suffix('\n').ok_or(CheckpointError::NoFinalNewline)?;
        let mut lines = lines.split('\n');
        let mut next = || lines.next().ok_or(CheckpointError::TooFewLines);
        let (origin, size, root) = (next()?, next()?, next()?);
        if origin.is_empty() {
            return Err(CheckpointError::EmptyLine { line: 1 });
        }
        let size =
            parse_decimal(size).ok_or_else(|| CheckpointError::Size(size.chars().take(40).collect()))?;
        let root = Hash::from_base64(root).map_err(CheckpointError::Root)?;
        let extensions: Vec<String> = lines.map(str::to_owned).collect();
        if let Some(empty) = extensions.iter().position(String::is_empty) {
            return Err(CheckpointError::EmptyLine { line: empty + 4 });
        }
        Ok(Self { origin: origin.to_owned(), size, root, extensions })
    }

    /// Reads a signed checkpoint and verifies it with `keys`: see [`Note::verify`].
    ///
    /// # Errors
    /// [`CheckpointError`] if it is no checkpoint, a known key's signature fails or no key signed.
    pub fn open(note: &[u8], keys: &[VerifierKey]) -> Result<(Self, Note), CheckpointError> {
        let (checkpoint, note) = Self::open_unverified(note)?;
        note.verify(keys)?;
        Ok((checkpoint, note))
    }

    /// Reads a signed checkpoint without verifying who signed it.
    ///
    /// # Errors
    /// [`CheckpointError`] if it is no checkpoint.
    pub fn open_unverified(note: &[u8]) -> Result<(Self, Note), CheckpointError> {
        let note = Note::parse(note)?;
        Ok((Self::parse(&note.text)?, note))
    }
}

/// What an ML-DSA-44 cosignature is about: the leaves `[start, end)` of a log, and their root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignedTree {
    /// When, in seconds since 1970; 0 says nothing, and must be 0 where `start` is not.
    pub timestamp: u64,
    /// The origin of the log's checkpoints.
    pub origin: String,
    /// The first leaf; 0 for a checkpoint.
    pub start: u64,
    /// One more than the last leaf; the size for a checkpoint.
    pub end: u64,
    /// The root of the subtree or tree.
    pub hash: Hash,
}

impl CosignedTree {
    /// What a cosigner says of the checkpoint with note text `text` at `timestamp`.
    ///
    /// # Errors
    /// [`CheckpointError`] if the text is no checkpoint.
    pub fn of_note(text: &str, timestamp: u64) -> Result<Self, CheckpointError> {
        let Checkpoint { origin, size, root, .. } = Checkpoint::parse(text)?;
        Ok(Self { timestamp, origin, start: 0, end: size, hash: root })
    }

    /// The message that the cosigner called `cosigner` signs: `cosigned_message`, see the
    /// [module](self).
    ///
    /// # Errors
    /// [`CheckpointError::Cosigned`] if a name is empty or over 255 bytes, a timestamp above 2^63 - 1, or
    /// there is one for a subtree that does not start at 0.
    pub fn message(&self, cosigner: &str) -> Result<Vec<u8>, CheckpointError> {
        let length = |name: &str| match u8::try_from(name.len()) {
            Ok(length @ 1..) => Ok(length),
            _ => Err(CheckpointError::Cosigned("a name has 1 to 255 bytes")),
        };
        if i64::try_from(self.timestamp).is_err() {
            return Err(CheckpointError::Cosigned("a timestamp is at most 2^63 - 1"));
        }
        if self.start != 0 && self.timestamp != 0 {
            return Err(CheckpointError::Cosigned("a subtree that does not start at 0 has timestamp 0"));
        }
        let mut message = b"subtree/v1\n\0".to_vec();
        message.push(length(cosigner)?);
        message.extend_from_slice(cosigner.as_bytes());
        message.extend_from_slice(&self.timestamp.to_be_bytes());
        message.push(length(&self.origin)?);
        message.extend_from_slice(self.origin.as_bytes());
        message.extend_from_slice(&self.start.to_be_bytes());
        message.extend_from_slice(&self.end.to_be_bytes());
        message.extend_from_slice(&self.hash.0);
        Ok(message)
    }
}

/// Why a text or a note is no checkpoint, or is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It is no note, or a signature fails.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text is cut off.
    #[error("the checkpoint does not end with a newline")]
    NoFinalNewline,
    /// Fewer than the three lines that every checkpoint has.
    #[error("a checkpoint has at least three lines: origin, size and root")]
    TooFewLines,
    /// No line may be empty.
    #[error("line {line} of the checkpoint is empty")]
    EmptyLine {
        /// Counted from 1.
        line: usize,
    },
    /// The second line is no number of leaves.
    #[error("line 2 of the checkpoint should be a decimal size, found `{0}`")]
    Size(String),
    /// The third line is no root.
    #[error("line 3 of the checkpoint: {0}")]
    Root(HashError),
    /// No message can say this.
    #[error("cannot be cosigned: {0}")]
    Cosigned(&'static str),
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, self.root.to_base64())?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// A decimal number as C2SP writes it: digits only, no leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}
