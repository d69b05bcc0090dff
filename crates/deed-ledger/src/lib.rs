//! The only writer of a store: journal, sequencer, packs, disclosures, look-up index.
//!
//! # From a record to a leaf
//!
//! 1. [`Ledger::begin`] *seals* on the sender's thread: secrets out, names to accounts, payloads to
//!    commitments and an encrypted blob (`sealer`).
//! 2. The *sequencer* gives leaf index and time, writes one frame of all that waits to the journal,
//!    syncs it, and only then answers (`sequencer`, `journal`).
//! 3. Durable leaves are in the *tail*, in memory (`tail`), until 65,536 of them become a *pack*, its
//!    disclosures and its index run, each written once (`background`, `pack`, `vault`, `index`).
//! 4. A *checkpoint* over what is durable is signed within a second (`signing`).
//!
//! Reading (`tree`) finds a leaf in the tail or in a pack, wherever it is at the time.
//!
//! # Failing
//!
//! An error either refuses one request ([`AppendError`]) or stops writing altogether (a failed sync, a
//! log that does not continue what it signed): then reading goes on, every append is refused with the
//! reason, and [`Ledger::health`] says it.

mod append;
mod background;
mod blob;
mod data_keys;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod index;
mod journal;
mod key;
mod key_epochs;
mod keys;
mod ledger;
mod lock;
mod noted;
mod open;
mod pack;
mod sealer;
mod sequencer;
mod shared;
mod signing;
mod snapshot;
mod spool;
pub mod store;
mod tail;
mod tenants;
mod tree;
mod vault;
pub mod verify;

pub use append::{AppendError, Receipt, Sender};
pub use blob::{BlobError, Opened};
pub use health::{Check, Counters, Health};
pub use index::{IndexError, RebuiltIndex};
pub use journal::{JournalDamage, JournalError};
pub use key::{Key, day, hour};
pub use keys::KeyError;
pub use ledger::{Ledger, LedgerError, Pending};
pub use open::{OpenError, Options};
pub use pack::PackError;
pub use sealer::{Name, fresh_id};
pub use sequencer::Pace;
pub use signing::{SignedCheckpoint, now};
pub use snapshot::{Readers, Snapshot};
pub use spool::{Part, Spool, SpoolError, SpoolOptions, SpoolState, Spooled, Told};
pub use vault::VaultError;

/// Leaves of one pack: a full level-1 tile of tiles.
pub const PACK_LEAVES: u64 = 65_536;

/// What is looked up while records are sealed: seeded at random, so that nobody can choose keys that fall together.
type Table<K, V> = std::collections::HashMap<K, V, foldhash::fast::RandomState>;
