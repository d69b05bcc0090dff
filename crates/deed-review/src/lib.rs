//! What the records say about one action: who asked, who acted, by what right, what was decided, what
//! happened, and how each of these is known.
//!
//! Everything here is a pure function of [`Evidence`]: no I/O of its own, no clock, no randomness. The
//! answer does not depend on the order in which records arrived (D6), on leaf indexes, or on anything
//! that can be redacted (D14); names only label it. What no record says is `missing`, never guessed.
//!
//! Two steps make an answer. *Gathering* reads, within a bound, every record that may bear on the
//! action. *Judging* then looks at that set alone. The rules are written down in `docs/explain.md`.

mod approvals;
mod authority;
mod case;
mod claim;
mod class;
mod credential;
mod decided;
mod evidence;
mod explain;
pub mod explanation;
mod gather;
mod given;
mod held;
mod identities;
mod judge;
mod led_to;
mod names;
pub mod ocsf;
mod outcome;
mod parts;
pub mod patterns;
pub mod render;
pub mod report;
pub mod review;
mod row;
mod rules;
mod scope;
mod shown;
mod trace;
pub mod tuning;
mod verb;
mod verdict;
mod view;
mod warrant;
mod weigh;
mod who;
mod withdrawn;
mod words;

pub use case::corrects;
pub use evidence::{Checkpoint, Controlled, Declared, Evidence, ExplainError, Found, Name};
pub use explain::explain;
pub use explanation::Explanation;
pub use gather::{MOST_NAMING, MOST_RECORDS};
pub use identities::{
    Directory, IDENTITY_RULES, IdentityFinding, Subject, Threshold, Thresholds, identity_findings,
    is_standing,
};
pub use judge::{Judged, judge};
pub use led_to::{Beginning, Came, LedTo, led_to};
pub use row::{ActionRow, action_row};
pub use rules::{NEVER_APPROVED, RULES, Rule};
pub use trace::{Gap, MOST_STEPS, Step, StepDecision, StepOutcome, Trace, trace};
pub use words::{Attribution, Authority, Class, Edge, GapKind, Scope, Severity};

/// Every rule: those about one action, then those about identities.
pub fn every_rule() -> impl Iterator<Item = &'static Rule> {
    RULES.iter().chain(IDENTITY_RULES)
}
