//! What came of a request, an approval, a grant or a credential: the chain of I1, walked from its beginning.

mod walk;

use deed_record::{Kind, RecordId, Status, Timestamp};
use serde::{Deserialize, Serialize};

use crate::words::Edge;

pub use walk::led_to;

/// Records that one walk reads, at most.
pub(crate) const MOST_WALKED: usize = 10_000;

/// Everything that is known to have come of one record, each once, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LedTo {
    /// What was asked about.
    pub record: Beginning,
    /// The request that it answers or rests on, where it is none itself.
    pub request: Option<RecordId>,
    /// Answers.
    pub approvals: Vec<Came>,
    /// Rights that were given.
    pub grants: Vec<Came>,
    /// Credentials that were issued, or derived from others.
    pub credentials: Vec<Came>,
    /// What was done; of a call that two systems tell of, Deed's id of it.
    pub actions: Vec<Came>,
    /// Whether everything was read; `false` where a look-up was cut.
    pub complete: bool,
}

/// What was asked about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Beginning {
    /// The record.
    pub id: RecordId,
    /// What it is about.
    pub kind: Kind,
    /// When it happened.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: String,
    /// What it says, in a few words.
    pub what: String,
    /// Who asked, gave or holds it.
    pub who: Option<String>,
}

/// One record that came of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Came {
    /// The record; of an action, the action.
    pub id: RecordId,
    /// What it is about.
    pub kind: Kind,
    /// When it happened.
    pub time: Timestamp,
    /// What it says, in a few words: a role, a credential's name, an operation and a resource.
    pub what: String,
    /// Who answered, received, holds or acted.
    pub who: Option<String>,
    /// How an action ended, as its own record says.
    pub status: Option<Status>,
    /// How well it is known that it came of `from`.
    pub edge: Edge,
    /// How that is known.
    pub how: String,
    /// The record before it.
    pub from: RecordId,
}
