//! Other systems' logs and OpenTelemetry, mapped to records as a client would send them.
//!
//! A collector reads what another system wrote and gives the JSON of one record for each event
//! ([`deed_record::Submission`]). It seals nothing and takes out no secret: the ledger does both when
//! the record is appended. What an event says goes into the record as it says it; what it does not
//! say is left out, never guessed. The event itself is kept whole under `disclose.event`.
//!
//! - [`records`] reads a whole file of one [`Source`]: what `deed import` does.
//! - [`cloudtrail`], [`kubernetes`], [`vault`], [`github`], [`okta`], [`entra`], [`teleport`], [`ssf`] and [`otlp`] map
//!   single events and requests.
//! - [`Mapping`] maps events of systems that Deed does not know, by a file.
//! - [`input`] cuts JSON input of any shape into events, however large, broken or compressed it is.
//! - [`source`] tells sources apart and names files that are no logs.
//!
//! No clock, no network, no files: everything is read from what is handed in. The mapping tables
//! stand in `docs/collectors.md`.

mod authority;
pub mod cloudtrail;
pub mod entra;
pub mod github;
pub mod input;
mod json;
pub mod kubernetes;
mod loose;
mod mapping;
pub mod okta;
pub mod otlp;
mod parse;
mod read;
mod shared;
pub mod source;
pub mod ssf;
pub mod teleport;
pub mod vault;

pub use mapping::{Mapping, MappingError};
pub use read::{LARGEST_EXPORT, records};
pub use source::Source;

/// A record made from one event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// JSON of one record, for `POST /v1/records` or the ledger's `append`.
    pub record: String,
    /// Line of the input on which the event starts, from 1; 0 where the input has no lines.
    pub line: u64,
}

/// An event that could not be read or mapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejected {
    /// Line of the input on which the event starts, from 1; 0 where the input has no lines.
    pub line: u64,
    /// What was expected and what was found; completes "line 3, …".
    pub error: String,
}
