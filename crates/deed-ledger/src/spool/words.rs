//! What a spool is told, and what it says.

use std::{io, path::PathBuf, time::Duration};

use deed_record::Timestamp;

/// Where records wait, and how much of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpoolOptions {
    /// The folder: not in the data directory, and best on another disk. It is made if it is not there.
    pub folder: PathBuf,
    /// What waits takes no more bytes than this.
    pub max_bytes: u64,
    /// How old the oldest of it may become before no more actions are taken.
    pub max_age: Duration,
}

/// What is put into the spool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// What is about to be done. A quarter of the room is kept for what it leads to.
    Intent,
    /// How that ended: it is taken however old the oldest is, for it is done already.
    Outcome,
}

/// That a record is durable in the spool. Only [`Spool::append`](crate::Spool::append) makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spooled {
    time: Timestamp,
}

impl Spooled {
    pub(super) fn at(time: Timestamp) -> Self {
        Spooled { time }
    }

    /// When it was put there, as its record says.
    pub fn time(&self) -> Timestamp {
        self.time
    }
}

/// What waits in the spool.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SpoolState {
    /// Records that wait.
    pub records: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// When the first of them was put there.
    pub oldest: Option<Timestamp>,
    /// Records that were put there since the spool was opened.
    pub spooled: u64,
    /// Records of it that are in the log since then.
    pub sealed: u64,
    /// Why it takes nothing, or what is wrong with it: each names the place.
    pub problems: Vec<String>,
}

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder cannot be used.
    #[error("failed to use the spool `{folder}`: {source}")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It goes away together with the store.
    #[error(
        "the spool `{0}` and the data directory lie one in the other; name a folder elsewhere, best on another disk"
    )]
    Inside(PathBuf),
    /// Others than its owner may use it.
    #[error("the spool `{0}` is open to others than its owner: chmod 700 `{0}`")]
    Open(PathBuf),
    /// Another process uses it.
    #[error("the spool `{0}` is used by another process ({1}); each store needs a spool of its own")]
    Held(PathBuf, String),
    /// What waits in it was sealed for another log.
    #[error(
        "`{0}` holds records of another log than `{1}`; open that one's store with this spool, or name another folder"
    )]
    OtherLog(PathBuf, String),
}
