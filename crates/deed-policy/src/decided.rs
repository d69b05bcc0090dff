//! What is answered.

use deed_record::Ruling;
use serde::{Deserialize, Serialize};

/// The answer to a [`Request`](crate::Request), with everything a record must say about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decided {
    /// The decision.
    pub effect: Ruling,
    /// The authors' `@id`s of the policies that determined it, sorted. None where no policy allows it, and
    /// where an error decided.
    pub policies: Vec<String>,
    /// What could not be evaluated, or not be mapped: by itself a reason to deny. Names policies and
    /// arguments, never a value.
    pub errors: Vec<String>,
    /// What must be done besides. Only an allowed action has any.
    pub obligations: Obligations,
    /// Who must approve; for a step-up only. One approval must satisfy each of these.
    pub approvers: Vec<Approver>,
    /// Everything the decision depended on, as compact JSON with sorted members: for the record's disclosure,
    /// and for [`PolicySet::replay`](crate::PolicySet::replay). Of the arguments it holds those that a policy
    /// mentions. Integers are exact up to 64 bits.
    pub seen: String,
    /// One sentence for a person: which policies decided, or that none allows it.
    pub reason: String,
}

/// What the one who enforces must do besides, joined over all permits that determined the decision.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Obligations {
    /// Paths of the result that must not reach the caller, from `@mask`; sorted.
    pub mask: Vec<String>,
    /// How much of the payloads to keep, from `@capture`; the larger of several.
    pub capture: Option<Capture>,
    /// How much depends on its record, from `@tier`: only where every one of them says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
}

/// How much depends on a record, where an author says that it is less than usual.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// It may be done against a spool, where there is one, while the recorder is away.
    Low,
}

/// How much of the payloads to keep.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capture {
    /// A summary.
    Summary,
    /// All of it.
    Full,
}

/// Whom a step-up asks. Where several policies ask, an approval must satisfy each.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Approver {
    /// Somebody of a group, who neither asked nor executes: `@approver("group")`.
    Group(String),
    /// Anybody, the one who asked among them; the approval is marked as such: `@approver("self")`.
    #[serde(rename = "self")]
    SelfApproval,
    /// Anybody who neither asked nor executes: no `@approver`.
    Anybody,
}

impl Obligations {
    /// One text for each, as records keep them: `mask:result.path`, `capture:full`,
    /// `tier:low`.
    pub fn to_texts(&self) -> Vec<String> {
        let capture = self.capture.map(|capture| format!("capture:{}", capture.as_str()));
        let tier = self.tier.map(|tier| format!("tier:{}", tier.as_str()));
        self.mask.iter().map(|path| format!("mask:{path}")).chain(capture).chain(tier).collect()
    }
}

impl Capture {
    /// The word of the annotation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Capture::Summary => "summary",
            Capture::Full => "full",
        }
    }
}

impl Tier {
    /// The word of the annotation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Tier::Low => "low",
        }
    }
}

/// Why a recorded decision cannot be derived again.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is not what a decision saw.
    #[error("failed to read what the decision saw: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// Another policy set decided.
    #[error(
        "the decision was made by policy set `{recorded}`, this one is `{this}`: replay it with that one"
    )]
    OtherPolicySet {
        /// The digest of the set that decided.
        recorded: String,
        /// The digest of this set.
        this: String,
    },
}
