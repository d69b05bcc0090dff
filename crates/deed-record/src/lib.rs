//! The vocabulary of Deed.
//!
//! A record is met in two forms. A [`Submission`] is what a client, a collector or the gateway
//! sends: names in clear, payloads under `disclose`. A [`Skeleton`] is what is sealed: canonical
//! JSON (RFC 8785) that is never redacted, in which people and machines are keyed hashes
//! ([`Account`]) and payloads are commitments (RFC 9901). The ledger turns the first into the second.
//!
//! Nothing here does I/O, reads a clock or draws randomness.

mod account;
mod canonical;
mod digest;
mod disclose;
mod error;
mod hex;
mod id;
mod kind;
mod object;
mod parts;
mod pseudonym;
mod read;
pub mod schema;
pub mod secret;
mod skeleton;
mod submission;
mod text;
mod time;
mod tried;
mod withdrawn;
mod written;

pub use account::{Account, Alias, Pseudonym, oidc_key, with_and_without_path, without_path};
pub use disclose::{Disclosable, Disclose, WHOLE};
pub use error::RecordError;
pub use id::RecordId;
pub use kind::{Answer, Basis, Change, Kind, PrincipalType, Ruling, Status, StepType};
pub use parts::{
    Artifact, Credential, Decision, Outcome, Resource, SecretSeen, Source, SpanId, Tool, TraceId,
};
pub use pseudonym::Pseudonyms;
pub use read::{nearest, parse_one, parse_records, split_lines, split_records};
pub use skeleton::{
    Commitments, Digests, Effect, Hop, Party, Personal, RECORDED_PLACEHOLDER, Sealed, Skeleton, Terms,
    Utf16Ordered, V,
};
pub use submission::{ChainHop, EffectSent, PersonalSent, Principal, Submission, TermsSent, is_label};
pub use text::Text;
pub use time::Timestamp;
pub use tried::{IMPERSONATION, Right, Tried};
pub use withdrawn::{Withdrawal, Withdrawn, tells_of};
pub use written::Written;
