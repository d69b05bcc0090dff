//! Reports: questions about everything that is on record, answered for somebody who has to judge or to prove it.
//!
//! A report is a pure function of evidence that somebody else gathered: plain figures in, a plain structure out that
//! goes to JSON as it is. How it looks is said once, as a [`Page`] of figures, charts and tables, and written from
//! there as [text](text()) or as one [HTML](html()) file. `docs/reports.md` says what each figure counts.
//!
//! Parts always add up to their whole, and what is not known is a part of its own.

mod agents;
mod catalogue;
mod chart;
mod controls;
mod html;
mod page;
mod recertification;
mod share;
mod shared;
mod standing;
mod text;
mod third_party;
mod usage;
mod visibility;

use deed_record::{PrincipalType, Timestamp};
use serde::{Deserialize, Serialize};

pub use agents::{Agent, AgentInstance, Agents, CredentialCounts, DecisionCounts, ForWhom, ToolUse};
pub use catalogue::{CONTROLS, Control, Measure};
pub use controls::{ControlRow, ControlStatus, Controls, Figures, Period, RuleCount, Shown, controls};
pub use html::html;
pub use page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone};
pub use recertification::{Certified, GrantUse, Recertification, Suggestion, SuggestionCounts, grant_use};
pub use share::share;
pub use shared::{Several, Shared, SharedBy};
pub use standing::{Age, Ends, Standing, StandingPrivilege, StandingRight};
pub use text::text;
pub use third_party::{Call, ContractTerms, Engagement, PartyShare, Right, ThirdParty};
pub use usage::{InUse, ScopeUse, Usage, Used, may_give};
pub use visibility::{
    Attributed, Combination, IdentityGap, IdentityVisibility, Link, SystemVisibility, Tally, Visibility,
};

/// Each report there is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportName {
    /// What share of identities and actions is fully attributable (G4).
    Visibility,
    /// What is granted against what is used, with what to keep, narrow or remove (G2).
    Recertification,
    /// Privilege that does not end (G2).
    Standing,
    /// Credentials and accounts behind which several stand (I12).
    Shared,
    /// Who acts from outside, and within which contract (I8).
    ThirdParty,
    /// What each agent is, for whom it acts, and what became of it (I5).
    Agents,
    /// Which controls the evidence shows to work or to fail (G6).
    Controls,
}

impl ReportName {
    /// Every report, in the order of the documentation.
    pub const ALL: &[ReportName] = &[
        ReportName::Visibility,
        ReportName::Recertification,
        ReportName::Standing,
        ReportName::Shared,
        ReportName::ThirdParty,
        ReportName::Agents,
        ReportName::Controls,
    ];

    /// As it is asked for.
    pub const fn as_str(self) -> &'static str {
        match self {
            ReportName::Visibility => "visibility",
            ReportName::Recertification => "recertification",
            ReportName::Standing => "standing",
            ReportName::Shared => "shared",
            ReportName::ThirdParty => "third-party",
            ReportName::Agents => "agents",
            ReportName::Controls => "controls",
        }
    }

    /// The report of that name.
    pub fn parse(name: &str) -> Option<Self> {
        ReportName::ALL.iter().copied().find(|report| report.as_str() == name)
    }

    /// The page of the report that `json` is.
    ///
    /// # Errors
    /// It is none of this name.
    pub fn page(self, json: &[u8]) -> serde_json::Result<Page> {
        Ok(match self {
            ReportName::Visibility => serde_json::from_slice::<Visibility>(json)?.page(),
            ReportName::Recertification => serde_json::from_slice::<Recertification>(json)?.page(),
            ReportName::Standing => serde_json::from_slice::<StandingPrivilege>(json)?.page(),
            ReportName::Shared => serde_json::from_slice::<Shared>(json)?.page(),
            ReportName::ThirdParty => serde_json::from_slice::<ThirdParty>(json)?.page(),
            ReportName::Agents => serde_json::from_slice::<Agents>(json)?.page(),
            ReportName::Controls => serde_json::from_slice::<Controls>(json)?.page(),
        })
    }
}

/// What a report was made from: whoever reads it can get the same again, and prove what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covered {
    /// Origin of the log.
    pub log: String,
    /// Records of it that were looked at: all below this leaf.
    pub records: u64,
    /// Leaves that the newest signed checkpoint covers.
    pub checkpoint_size: u64,
    /// Its root, in hex.
    pub checkpoint_root: Option<String>,
    /// When it was signed.
    pub checkpoint_time: Option<Timestamp>,
    /// Whose records; `null` for those of every tenant.
    pub tenant: Option<String>,
    /// Of what happened at or after this time; `null` from the beginning.
    pub since: Option<Timestamp>,
    /// Of what happened before this time; `null` to the end.
    pub until: Option<Timestamp>,
    /// When the report was made.
    pub made: Timestamp,
}

/// Somebody as reports name them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The inventory's key; else the name as it was sent, else the account.
    pub key: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// Whose record it is.
    pub tenant: String,
    /// Whether the inventory has it.
    pub declared: bool,
    /// Who answers for it, as the inventory says.
    pub owner: Option<String>,
    /// On whose behalf it exists, as the inventory says.
    pub sponsor: Option<String>,
    /// The organisation that runs it, where it is not ours.
    pub vendor: Option<String>,
    /// Accounts that are known to be the same.
    pub accounts: u64,
}

impl Covered {
    /// The same in lines for people.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let span = match (self.since, self.until) {
            (None, None) => "everything that was recorded".to_owned(),
            (Some(since), None) => format!("what happened from {} on", second(since)),
            (None, Some(until)) => format!("what happened before {}", second(until)),
            (Some(since), Some(until)) => {
                format!("what happened from {} to before {}", second(since), second(until))
            }
        };
        let tenant = self.tenant.as_ref().map_or("every tenant".to_owned(), |name| format!("tenant {name}"));
        let signed = match self.checkpoint_time {
            Some(time) => {
                format!("checkpoint over {} records, signed {}", grouped(self.checkpoint_size), second(time))
            }
            None => "no signed checkpoint yet".to_owned(),
        };
        let root = self.checkpoint_root.as_ref().map(|root| format!(", root {root}")).unwrap_or_default();
        vec![
            ("covers", format!("{span}; {tenant}")),
            ("log", format!("{}: {} records", self.log, grouped(self.records))),
            ("proof", format!("{signed}{root}")),
            ("made", second(self.made)),
        ]
    }
}

/// A time for people, to the second.
pub fn second(time: Timestamp) -> String {
    let text = time.to_string();
    format!("{} {}Z", &text[..10], &text[11..19])
}

/// `number` with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}
