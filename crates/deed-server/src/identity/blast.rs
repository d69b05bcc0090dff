//! `GET /v1/blast/{credential}`: everything that one credential led to, across systems.
//!
//! *Gathering* (`gather`) follows the look-up index from the credential to what was done with it, to credentials
//! that came from it and principals that were made with it, and so on, each once. *Telling* counts all of it, and
//! writes out one page. *Reviewing* (`review`) says what was found about it, and judges what is listed.

mod gather;
mod past;
mod paths;
mod review;
mod stands;
mod tell;

use deed_record::{Kind, PrincipalType, RecordId, Ruling, Status, Timestamp};
use deed_review::{Authority, Class, Edge};
use serde::{Deserialize, Serialize};

pub(crate) use tell::{Asked, blast};

/// Rows of a page, unless asked for otherwise.
pub(crate) const DEFAULT_LIMIT: usize = 1000;
/// Most rows of each list of a page.
pub(crate) const MOST_ROWS: usize = 10_000;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlastQuery {
    /// Whose credential it is.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// Most rows of each list.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    /// Rows of each list to leave out: a page's `next`.
    #[serde(default)]
    pub(crate) after: Option<usize>,
}

/// Everything that one credential led to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blast {
    /// The credential.
    pub credential: BlastCredential,
    /// How much there is of everything, on all pages.
    pub counts: Counts,
    /// Who is behind it, and by what right it was done.
    #[serde(default)]
    pub review: BlastReview,
    /// When it, or what came from it, was first used.
    pub first_use: Option<Timestamp>,
    /// When it, or what came from it, was last used.
    pub last_use: Option<Timestamp>,
    /// Who acted, who did most first.
    pub who: Vec<Tally>,
    /// Credentials to revoke now, the one asked for first: those that nothing says ended, and those that still worked.
    pub revoke: Vec<BlastCredential>,
    /// Every other credential that came from it.
    pub ended: Vec<BlastCredential>,
    /// What was acted upon, most often first.
    pub touched: Vec<Tally>,
    /// What was done, most often first.
    pub operations: Vec<Tally>,
    /// The systems that tell of it.
    pub systems: Vec<Tally>,
    /// What it changed in authority: credentials, grants and principals, in the order of time.
    pub changed: Vec<Changed>,
    /// What those who acted changed in authority without a word on which credential they did it with, since they first used
    /// one of these: it may be of it.
    #[serde(default)]
    pub unnamed: Vec<Changed>,
    /// Actions with the credential itself, in the order of time.
    pub actions: Vec<BlastRow>,
    /// Actions of what came from it, in the order of time.
    pub downstream: Vec<BlastRow>,
    /// Those of both that went past Deed.
    pub bypasses: Vec<Bypass>,
    /// `after` of the next page; `null` where this is the last.
    pub next: Option<usize>,
    /// What was not followed, in words.
    pub cut: Vec<String>,
}

/// A credential of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlastCredential {
    /// Its name, as it was asked for or as records have it; of a password or a second factor, which has none, whose it is.
    pub name: String,
    /// Every name that it goes by.
    pub names: Vec<String>,
    /// `access_key`, `bearer`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// To whom it was issued, or who used it: an alias, else the account; `null` where that is not one principal.
    pub holder: Option<String>,
    /// Everybody whom that may be, eight at most.
    #[serde(default)]
    pub holders: Vec<String>,
    /// `active`, `expired`, `rotated`, `revoked` or `unknown`.
    pub state: String,
    /// When it was issued.
    pub issued: Option<Timestamp>,
    /// When it ends or ended.
    pub expires: Option<Timestamp>,
    /// Steps from the one that was asked for.
    pub depth: u32,
    /// What it came from.
    pub parent: Option<String>,
    /// The record that issued it.
    pub record: Option<RecordId>,
    /// Why it is to be revoked, of one that was ended or replaced.
    pub why: Option<String>,
    /// Actions.
    pub uses: u64,
    /// The first of them.
    pub first_used: Option<Timestamp>,
    /// The last of them.
    pub last_used: Option<Timestamp>,
}

/// How much there is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Actions with the credential itself.
    pub actions: u64,
    /// Actions of what came from it.
    pub downstream: u64,
    /// Actions of either that did not succeed.
    pub failed: u64,
    /// Credentials that came from it.
    pub credentials: u64,
    /// Of all these and itself, those that nothing says ended.
    pub active: u64,
    /// Principals that were made with it.
    pub principals: u64,
    /// Changes of authority.
    pub changed: u64,
    /// What else those who acted did in the same systems since then, where nothing tells with which credential.
    #[serde(default)]
    pub unnamed: u64,
    /// Actions that went past Deed.
    pub bypassed: u64,
    /// Actions that Deed decided on, or that match one.
    pub decided: u64,
    /// Actions of which that cannot be said, and why not.
    pub unverified: u64,
    /// Why, most frequent first.
    pub unverified_why: Vec<Tally>,
}

/// Who is behind what was done, and by what right it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlastReview {
    /// Records of the log that rules have looked at.
    pub reviewed: u64,
    /// Records of the log.
    pub records: u64,
    /// Actions with findings, on all pages.
    pub found: u64,
    /// The rules, most frequent first; one action may be found by several.
    pub rules: Vec<Tally>,
    /// Actions of which rules found that nobody had given a right to them, or approved it, on all pages.
    pub never_approved: u64,
    /// Actions of this page that were judged as `explain` does it.
    pub judged: u64,
    /// Of those that were judged, whom they were done for: people alone.
    pub humans: Vec<Tally>,
    /// Those behind which no person is known.
    pub nobody: u64,
    /// Of those, whom the inventory has as answering for whoever acted: nobody who asked for it.
    #[serde(default)]
    pub owners: Vec<Tally>,
    /// Those that were judged, by class.
    pub classes: Vec<Tally>,
    /// Those that were judged, by authority.
    pub authority: Vec<Tally>,
}

/// How often something is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// What.
    pub name: String,
    /// How often.
    pub count: u64,
    /// When it was there last.
    pub last: Option<Timestamp>,
}

/// One action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlastRow {
    /// The action.
    pub id: RecordId,
    /// `intent`, `observation`, …
    pub kind: Kind,
    /// When it happened.
    pub time: Timestamp,
    /// The credential it was done with; of a principal that was made, none.
    pub credential: Option<String>,
    /// Steps from the one that was asked for.
    pub depth: u32,
    /// Who asked: as `explain` knows or infers it where that was judged, else as the record says.
    pub initiator: Option<String>,
    /// Their key in the inventory.
    pub initiator_principal: Option<String>,
    /// What they are, where that was judged.
    pub initiator_type: Option<PrincipalType>,
    /// How well that is known, where it was judged.
    pub initiator_edge: Option<Edge>,
    /// Who acted.
    pub executor: Option<String>,
    /// `server/name`, or the name alone.
    pub tool: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// What was acted upon.
    pub resource: Option<String>,
    /// The system whose log tells; `deed` where Deed itself does; else the sender.
    pub system: String,
    /// The environment.
    pub environment: Option<String>,
    /// What a policy decided.
    pub effect: Option<Ruling>,
    /// How it ended.
    pub status: Option<Status>,
    /// What it amounts to, where that was judged.
    pub class: Option<Class>,
    /// By what right, where that was judged.
    pub authority: Option<Authority>,
    /// The rules that found it worth a look.
    #[serde(default)]
    pub rules: Vec<String>,
}

/// An action of a governed identity that Deed did not decide on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bypass {
    /// The action.
    pub id: RecordId,
    /// When it happened.
    pub time: Timestamp,
    /// Who asked, as in [`BlastRow`].
    pub initiator: Option<String>,
    /// How well that is known, where it was judged.
    pub initiator_edge: Option<Edge>,
    /// Who acted.
    pub executor: Option<String>,
    /// The operation.
    pub operation: Option<String>,
    /// What was acted upon.
    pub resource: Option<String>,
    /// The system whose log tells.
    pub system: String,
    /// Why it is one.
    pub why: String,
}

/// A change of authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The record that tells.
    pub record: RecordId,
    /// When.
    pub time: Timestamp,
    /// `credential`, `grant`, `principal`, …
    pub kind: Kind,
    /// What happened to it.
    pub change: Option<String>,
    /// A credential's name, else its type; a role, scopes, a resource.
    pub what: Option<String>,
    /// The type of the credential that it is about.
    #[serde(rename = "type", default)]
    pub credential_type: Option<String>,
    /// Whom it is about: an alias, else the account.
    pub subject: Option<String>,
}
