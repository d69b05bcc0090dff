//! The closed vocabularies of an answer, each an enum whose text form is its JSON form, and how times
//! are written.

use deed_record::Timestamp;
use serde::{Deserialize, Serialize};

/// A time for people: `2026-11-20 10:00:00Z`, with a fraction only where there is one.
pub(crate) fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    let (date, clock) = text.trim_end_matches('Z').split_at(10);
    let clock = clock.trim_start_matches('T').trim_end_matches('0').trim_end_matches('.');
    // Trimming zeros may have eaten into `10:00:00` itself.
    let clock = if clock.len() < 8 { &text[11..19] } else { clock };
    format!("{date} {clock}Z")
}

/// The same, as short as it can be beside a time that is written out: `10:00` on the day of `other`.
pub(crate) fn beside(time: Timestamp, other: Timestamp) -> String {
    let (text, other) = (moment(time), moment(other));
    match text[11..].trim_end_matches('Z') {
        _ if text[..10] != other[..10] => text,
        clock => clock.strip_suffix(":00").filter(|clock| clock.len() == 5).unwrap_or(clock).to_owned(),
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),* }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The text form.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How well a link of the chain is known, weakest first.
    Edge {
        /// Nothing says so.
        Missing = "missing",
        /// A join learned from evidence.
        Inferred = "inferred",
        /// One system, or the sender, says so.
        Asserted = "asserted",
        /// Two independent systems say so.
        Corroborated = "corroborated",
        /// Deed itself issued or decided it.
        Proven = "proven",
    }
}

words! {
    /// Whether it is known who asked and who acted.
    Attribution {
        /// Both, and everybody between them.
        Complete = "complete",
        /// Some of them.
        Partial = "partial",
        /// Neither.
        None = "none",
    }
}

words! {
    /// By what right it was done.
    Authority {
        /// A right was in force and somebody else had approved it.
        Approved = "approved",
        /// A source that is complete for it knows of no right, or of no approval.
        Unapproved = "unapproved",
        /// The right or the credential had ended.
        Expired = "expired",
        /// The right or the credential had been taken away.
        Revoked = "revoked",
        /// It went past the gateway.
        Bypassed = "bypassed",
        /// The records do not say enough: neither a pass nor a violation.
        Unverified = "unverified",
    }
}

words! {
    /// Whether it stayed within what was held and granted.
    Scope {
        /// It did.
        In = "in",
        /// It did not.
        Out = "out",
        /// The records do not say enough.
        Unverified = "unverified",
    }
}

words! {
    /// What the verdict amounts to (G3); the decision table is in `docs/explain.md`.
    Class {
        /// Approved, in scope, and known whose it was.
        Authorised = "authorised",
        /// Something that should have stopped it did not.
        ControlFailure = "control_failure",
        /// A right that was real was used for more than it was given for.
        Abuse = "abuse",
        /// The records do not say enough.
        Unverified = "unverified",
    }
}

words! {
    /// How much a finding matters.
    Severity {
        /// Worth knowing.
        Low = "low",
        /// Worth a look.
        Medium = "medium",
        /// Worth a look now.
        High = "high",
    }
}

words! {
    /// What a trace lacks (T10).
    GapKind {
        /// An intent whose end nobody tells.
        NoOutcome = "no_outcome",
        /// An outcome whose action is not recorded.
        NoAction = "no_action",
        /// A step that names a parent span which is not recorded.
        NoParent = "no_parent",
        /// A human was to answer and no answer is recorded.
        NoAnswer = "no_answer",
        /// Steps that name each other as parents.
        Circle = "circle",
        /// Deed itself recorded that something is missing.
        Recorded = "recorded",
        /// There is more than was read.
        Cut = "cut",
    }
}
