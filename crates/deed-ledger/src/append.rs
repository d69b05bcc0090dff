//! What senders hand over and what they get back.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use deed_record::{RecordError, RecordId};
use futures::channel::oneshot;
use serde::Serialize;

use crate::{LedgerError, keys::KeyError, sequencer::Placements};

/// Who sends: authenticated before anything is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The tenant its token is bound to; `None` leaves the choice to the record.
    pub tenant: Option<String>,
    /// What is sealed as `submitter`.
    pub name: String,
    /// Whether it is Deed itself, which alone may claim `enforced` and write `policy`, `access`, ….
    pub ours: bool,
}

/// Where a record stands in the log. Given only for what is durable (D2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The record's id.
    pub id: RecordId,
    /// The log's origin.
    #[serde(serialize_with = "as_text")]
    pub log: Arc<str>,
    /// Its leaf index.
    pub index: u64,
    /// Whether it was there before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
}

fn as_text<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

/// Why a record was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// It is not a record, or not one this sender may write.
    #[error(transparent)]
    Refused(#[from] RecordError),
    /// The same id stands for other content.
    #[error(
        "record {index}: id `{id}` was recorded at leaf {first} with other content; send it under another id"
    )]
    Conflict {
        /// Position in what was sent.
        index: usize,
        /// The id.
        id: RecordId,
        /// Where the other record stands.
        first: u64,
    },
    /// The sender is bound to another tenant.
    #[error("record {index}: the sender is bound to tenant `{bound}`, the record names `{asked}`")]
    Tenant {
        /// Position in what was sent.
        index: usize,
        /// The sender's tenant.
        bound: String,
        /// The record's.
        asked: String,
    },
    /// Nothing can be recorded now; nothing was.
    #[error("recorder unavailable: {0}")]
    Unavailable(String),
}

impl AppendError {
    /// The same error for the record at `position`.
    #[must_use]
    pub fn at(self, position: usize) -> Self {
        match self {
            AppendError::Refused(error) => AppendError::Refused(error.at(position)),
            AppendError::Conflict { id, first, .. } => AppendError::Conflict { index: position, id, first },
            AppendError::Tenant { bound, asked, .. } => AppendError::Tenant { index: position, bound, asked },
            AppendError::Unavailable(why) => AppendError::Unavailable(why),
        }
    }
}

impl From<LedgerError> for AppendError {
    fn from(error: LedgerError) -> Self {
        AppendError::Unavailable(error.to_string())
    }
}

impl From<KeyError> for AppendError {
    fn from(error: KeyError) -> Self {
        AppendError::Unavailable(error.to_string())
    }
}

/// What became of one record at the sequencer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placed {
    /// A new leaf.
    New(u64),
    /// It was there, as the record of that id: another than its own where senders name one event differently.
    Duplicate(u64, RecordId),
    /// The id was there with other content.
    Conflict(u64, RecordId),
}

impl Placed {
    /// The id of the record that was there.
    pub(crate) fn earlier(self) -> Option<RecordId> {
        match self {
            Placed::New(_) => None,
            Placed::Duplicate(_, id) | Placed::Conflict(_, id) => Some(id),
        }
    }
}

/// An append under way: resolves when it is durable.
pub(crate) struct Placing(pub(crate) oneshot::Receiver<Placements>);

impl Future for Placing {
    type Output = Placements;
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| {
            answer.unwrap_or_else(|_| Placements {
                placed: Vec::new(),
                then: Some(AppendError::Unavailable("the ledger was closed".into())),
            })
        })
    }
}
