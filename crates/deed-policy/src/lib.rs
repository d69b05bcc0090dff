//! Decisions: may this one do that to this, under these circumstances?
//!
//! Policies are written in [Cedar](https://www.cedarpolicy.com) and read once, into a [`PolicySet`]: everything
//! that can be wrong with them is found then, by strict validation. A [`Request`] is then answered by a
//! [`Decided`]: allow, deny, or step up to a human, with the policies that determined it, what must be done
//! besides, and all that it depended on, so that it can be derived again.
//!
//! What Cedar would let pass is closed here (D13): a policy that cannot be evaluated denies, and so does an
//! argument that cannot be taken for what a policy takes it for, or has its name in another letter case.
//!
//! No I/O but reading a folder, no clock, no randomness. What users write is described in `docs/policy.md`.

mod annotations;
mod arguments;
mod cases;
mod decide;
mod decided;
mod engine;
mod facts;
mod index;
mod infer;
mod nesting;
mod problem;
mod read;
mod request;
mod schema;
mod secrets;
mod seen;
mod set;
mod types;
mod vocabulary;

pub use arguments::folded;
pub use cases::{Case, CaseResult, cases};
pub use decided::{Approver, Capture, Decided, Obligations, ReplayError, Tier};
pub use problem::{LoadError, Problem};
pub use request::{ApprovalFacts, CredentialFacts, Facts, Request, Target, UNCLASSIFIED, Who};
pub use schema::schema;
pub use set::{ENGINE, PolicySet};
