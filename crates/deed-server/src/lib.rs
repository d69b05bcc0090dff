//! The HTTP API, the OTLP receivers, the log as C2SP tlog-tiles, health and metrics.
//!
//! An [`Engine`] is a store that this process holds, and everything that answers from it; [`serve`]
//! puts it on the network and on the Unix socket in its data directory. The command line uses the same
//! engine, so that an answer does not depend on the way it was asked for.
//!
//! # A request
//!
//! 1. `serve::connection` accepts it; the *gate* (`auth`) says who sent it, or refuses.
//! 2. A handler (`api`, `otlp`) asks for a right by the type of its argument (`auth::Writing`, …).
//! 3. Parsing, sealing and reading run on bounded pools (`app`); waiting for the disk costs no thread.
//!
//! Endpoints and errors are described in `docs/api.md` and `openapi.json`.

mod api;
mod app;
mod auth;
mod body;
mod engine;
mod evidence;
mod fetch;
pub mod find;
mod findings;
mod following;
mod force;
mod identity;
mod inventory;
mod joins;
mod keys;
mod mcp;
mod metrics;
mod ocsf;
mod otlp;
mod patterns;
mod problem;
mod reports;
mod routes;
mod runs;
mod serve;
pub mod settings;
mod ssf;
mod strangers;
mod tokens;
mod tuning;
mod webhook;

pub use engine::{AskError, Engine, EngineError, EngineOptions, RebuildError, Rebuilt};
pub use evidence::LedgerEvidence;
pub use findings::{FindingList, FindingRow, ReviewError};
pub use force::{ForceError, PublishError, Replayed};
pub use identity::{
    Blast, BlastChange, BlastCredential, BlastReview, BlastRow, BlastTally, Bypass, ChangeRow, IdentityError,
    LiftedRow, PrincipalAnswer, SuspensionRow,
};
pub use problem::{Kind as ProblemKind, Problem};
pub use serve::{Addresses, ServeError, ServeOptions, Server, serve};
pub use tokens::{SigningError, TokensError};
pub use tuning::{
    EndSent, SuppressionEnd, SuppressionList, SuppressionRow, SuppressionSent, ThresholdRow,
    ThresholdsInForce, ThresholdsSent,
};
