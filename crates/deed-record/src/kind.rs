//! The closed vocabularies of a record. Each is an enum whose text form is its sealed form.

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

use crate::error::found;

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &[$name] = &[$($name::$variant),*];

            /// The sealed text.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok($name::$variant),)*
                    _ => Err(format!("expected {}, {}", one_of(&[$($text),*]), found(text))),
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        // By hand, for serde's derived reader also takes `{"task": null}` for `"task"`.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Word;
                impl Visitor<'_> for Word {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(&one_of(&[$($text),*]))
                    }
                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Word)
            }
        }
    };
}

fn one_of(words: &[&str]) -> String {
    format!("one of `{}`", words.join("`, `"))
}

vocabulary! {
    /// What a record is about.
    Kind {
        /// An agent or job was given something to do.
        Task = "task",
        /// One step of an execution, as the one who takes it reports it.
        Step = "step",
        /// An action that is about to happen; its outcome is a record of its own.
        Intent = "intent",
        /// How an action ended.
        Outcome = "outcome",
        /// An action that was seen after it happened.
        Observation = "observation",
        /// Who somebody is.
        Principal = "principal",
        /// Somebody asked for a right.
        Request = "request",
        /// Somebody answered a request, or a step-up.
        Approval = "approval",
        /// A right was given.
        Grant = "grant",
        /// A credential was issued, renewed, rotated or revoked.
        Credential = "credential",
        /// A policy set was put into force.
        Policy = "policy",
        /// A tool's definition was pinned, approved or changed.
        Tool = "tool",
        /// A reviewer judged an action.
        Review = "review",
        /// An exception from a rule was granted for a time.
        Exception = "exception",
        /// A disclosure was destroyed.
        Redaction = "redaction",
        /// A payload was read.
        Access = "access",
        /// Something that should have been recorded was not.
        Gap = "gap",
    }
}

impl Kind {
    /// Whether it describes an action, so that somebody must have executed it.
    pub const fn is_action(self) -> bool {
        matches!(self, Kind::Task | Kind::Step | Kind::Intent | Kind::Outcome | Kind::Observation)
    }

    /// Whether it can be changed by an event: what stands in [`EffectSent::kind`](crate::EffectSent).
    pub const fn is_authority(self) -> bool {
        matches!(
            self,
            Kind::Principal
                | Kind::Request
                | Kind::Approval
                | Kind::Grant
                | Kind::Credential
                | Kind::Policy
                | Kind::Tool
                | Kind::Exception
        )
    }

    /// Whether only Deed itself may write it.
    pub const fn is_ours(self) -> bool {
        matches!(self, Kind::Policy | Kind::Redaction | Kind::Access | Kind::Gap)
    }
}

vocabulary! {
    /// How it is known.
    Basis {
        /// Deed stood in the path: nothing happened without this record.
        Enforced = "enforced",
        /// The one who acts says so.
        Reported = "reported",
        /// Another system's log says so.
        Imported = "imported",
    }
}

vocabulary! {
    /// What somebody is (I3).
    PrincipalType {
        /// A person.
        Human = "human",
        /// An AI agent.
        Agent = "agent",
        /// A workload with an identity of its own.
        Workload = "workload",
        /// An account that programs share or run under.
        ServiceAccount = "service_account",
        /// Another organisation's integration.
        ThirdParty = "third_party",
        /// Nobody has said yet.
        Unknown = "unknown",
    }
}

vocabulary! {
    /// What sort of step it is (T9).
    StepType {
        /// The model thought or answered.
        Reasoning = "reasoning",
        /// Something was read.
        DataRead = "data_read",
        /// A policy was consulted.
        PolicyCheck = "policy_check",
        /// A tool was called.
        Tool = "tool",
        /// An earlier step was tried again.
        Retry = "retry",
        /// An earlier step was undone.
        Rollback = "rollback",
        /// A security system noticed something.
        SecurityEvent = "security_event",
    }
}

vocabulary! {
    /// How an action ended.
    Status {
        /// It did what it should.
        Success = "success",
        /// It was tried and did not work.
        Failure = "failure",
        /// It was not let through.
        Denied = "denied",
        /// It was called off.
        Cancelled = "cancelled",
        /// It did not end in time.
        TimedOut = "timed_out",
        /// It was undone.
        RolledBack = "rolled_back",
        /// Nobody knows (D11).
        Unknown = "unknown",
    }
}

vocabulary! {
    /// What a policy decided.
    Ruling {
        /// Let through.
        Allow = "allow",
        /// Stopped.
        Deny = "deny",
        /// A human must answer first.
        StepUp = "step_up",
    }
}

vocabulary! {
    /// How a request was answered.
    Answer {
        /// Yes.
        Approved = "approved",
        /// No.
        Refused = "refused",
    }
}

vocabulary! {
    /// What happened to an authority: a credential, a grant, a request, a membership, a tool.
    Change {
        /// It was asked for.
        Requested = "requested",
        /// It came into being: a credential was minted, a grant given, an account made.
        Issued = "issued",
        /// It was presented.
        Used = "used",
        /// Its time was extended.
        Renewed = "renewed",
        /// It was replaced by another.
        Rotated = "rotated",
        /// What it allows was changed.
        Altered = "altered",
        /// It was taken away.
        Revoked = "revoked",
        /// It ended by itself.
        Expired = "expired",
    }
}
