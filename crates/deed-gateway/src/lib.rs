//! MCP in the middle: every message is decided on and recorded before it is forwarded.
//!
//! # A message, from top to bottom
//!
//! 1. [`relay`] takes it from the client's stream; `message` cuts it open and refuses what two parsers could read
//!    differently (D13); `method` says what it is.
//! 2. `door` makes an [`Intent`] of it: who, which tool, which arguments, in which trace.
//! 3. [`Recorder::intend`] brings that to a [`DecisionPoint`], in this process or in the one that holds the store.
//!    It asks policy, records intent and decision, and answers once that is durable.
//! 4. [`RecordedIntent`] is the answer that lets it through. Only with one is anything forwarded (D1).
//! 5. The server's answer passes at once; `ending` tells how it ended, and `conclusions` has that recorded (D11).
//!
//! What cannot be recorded is not done: the client hears why.

mod allowance;
mod approvals;
mod catalog;
mod conclusions;
mod door;
mod ending;
pub mod fuzzing;
mod guard;
pub mod http;
mod intent;
mod lines;
mod listing;
mod mask;
mod message;
mod method;
mod names;
mod onward;
mod point;
pub mod proxy;
mod recorder;
mod refusal;
pub mod relay;
mod request;
mod restore;
mod run;
mod secrets;
pub mod stdio;
mod strict;
mod suspensions;
mod sweep;
mod tasks;
mod term;
mod trace;
mod write;

pub use allowance::Allowance;
pub use approvals::{NOT_IN_TIME, Replied, Reply, ReplyError, Waiting};
pub use catalog::HeldTool;
pub use door::{Caller, Door};
pub use ending::BY_CLIENT;
pub use intent::{
    Answer, Conclusion, Intent, Listed, Listing, Missed, NO_SERVER, Place, Refused, Shown, Suspension, Who,
};
pub use message::{Id, Malformed, Message};
pub use onward::{Onward, UpstreamToken};
pub use point::{DecisionPoint, EndError, InForce, Published, is_ours};
pub use recorder::{
    ANSWERED_WITHIN, INTENTS, LISTINGS, Nowhere, OUTCOMES, RecordedIntent, Recorder, Road, Unavailable,
    Verdict, WAITS, Wait,
    remote::{Asked, Line, Patience, RUNS, Remote, RunAsked, RunEnded, RunTold, RunWait},
};
pub use refusal::{DENIED, UNAVAILABLE, UPSTREAM};
pub use run::{RUN, Released, Run, Signature, fresh_span};
pub use suspensions::{RESOURCE as SUSPENSIONS, Stopped, suspended};
pub use sweep::Sweep;
pub use term::{Term, TermEnd};
pub use trace::traceparent;
