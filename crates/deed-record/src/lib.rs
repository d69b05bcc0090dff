//! The vocabulary of Deed.
//!
//! A record is met in two forms. A [`Submission`] is what a client, a collector or the gateway
//! sends: names in clear, payloads under `disclose`. A [`Skeleton`] is what is sealed: canonical
//! JSON (RFC 8785) that is never redacted, in which people and machines are keyed hashes
//! ([`Account`]) and payloads are commitments (RFC 9901). The ledger turns the first into the second.
//!
//! Nothing here does I/O, reads a clock or draws randomness.

mod account;
mod disclose;
mod error;
mod id;
mod kind;
mod parts;
mod pseudonym;
pub mod schema;
pub mod secret;
mod skeleton;
mod submission;
mod text;
mod time;

pub use account::{Account, Alias, Pseudonym};
pub use disclose::{Disclosable, Disclose, WHOLE};
pub use error::RecordError;
pub use id::RecordId;
pub use kind::{Answer, Basis, Change, Kind, PrincipalType, Ruling, Status, StepType};
pub use parts::{
    Artifact, Credential, Decision, Outcome, Resource, SecretSeen, Source, SpanId, Tool, TraceId,
};
pub use pseudonym::Pseudonyms;
pub use skeleton::{
    Commitments, Digests, Effect, Hop, Party, Personal, Sealed, Skeleton, Terms, Utf16Ordered, V, RECORDED_PLACEHOLDER,
};
pub use submission::{
    parse_one, parse_records, split_records, ChainHop, EffectSent, PersonalSent, Principal,
    Submission, TermsSent,
};
pub use text::Text;
pub use time::Timestamp;
