//! What is said of a principal, as the API and the program show it.

use deed_record::{Account, PrincipalType, RecordId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::identity::suspended::SuspensionRow;

/// One principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalAnswer {
    /// The inventory's key; else the account it is called by, which stays when its name is erased.
    pub key: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// What people call it.
    pub name: Option<String>,
    /// Whose it is.
    pub tenant: String,
    /// The organisation that runs it, where it is not ours.
    pub vendor: Option<String>,
    /// Whether the inventory has it.
    pub declared: bool,
    /// Who answers for it, as the inventory says.
    pub owner: Option<String>,
    /// On whose behalf it exists, as the inventory says.
    pub sponsor: Option<String>,
    /// What became of its accounts: made, altered, suspended or removed (`revoked`), let on again; by when that happened last.
    pub changes: Vec<ChangeRow>,
    /// Since when Deed stopped it at its own doors, and what ended that; in the order of time.
    #[serde(default)]
    pub suspensions: Vec<SuspensionRow>,
    /// Every account that is known to be the same.
    pub aliases: Vec<AliasRow>,
    /// Credentials that it was given, used, or had issued; the last used first.
    pub credentials: Vec<CredentialRow>,
    /// How many those are.
    pub credentials_total: u64,
    /// Grants that it was given.
    pub grants: Vec<GrantRow>,
    /// How many those are.
    pub grants_total: u64,
    /// What it did and asked for.
    pub actions: Actions,
    /// When a record named it first.
    pub first_seen: Option<Timestamp>,
    /// When a record named it last.
    pub last_seen: Option<Timestamp>,
    /// For whom it acted.
    pub acted_for: Vec<LinkRow>,
    /// Who acted for it.
    pub acted_through: Vec<LinkRow>,
    /// Joins that evidence would give, and that are refused since they contradict something.
    pub conflicts: Vec<ConflictRow>,
    /// What could not be resolved.
    pub unresolved: Vec<String>,
    /// Records of the log that this is from.
    pub records: u64,
}

/// One account of a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRow {
    /// As it was sent, `system:name`; `null` where the name was erased.
    pub alias: Option<String>,
    /// As it is sealed.
    pub account: Account,
    /// The system that gives the name its meaning.
    pub system: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// What records say it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// `recorded` (records name it, nothing is joined), `declared`, `proven` or `learned`.
    pub basis: String,
    /// The credential that shows it.
    pub credential: Option<String>,
    /// The records that show it.
    pub evidence: Vec<RecordId>,
    /// When a record named it first; `null` where none did.
    pub first_seen: Option<Timestamp>,
    /// When a record named it last.
    pub last_seen: Option<Timestamp>,
}

/// One credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRow {
    /// Its name: fingerprint, the issuer's id or jti. A password or a second factor has none.
    pub credential: Option<String>,
    /// Every name that is known.
    pub names: Vec<String>,
    /// `bearer`, `access_key`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// `given`, `used` or, where others hold it, `asked` (it had the credential issued).
    pub role: String,
    /// `active`, `expired`, `rotated`, `revoked` or `unknown`.
    pub state: String,
    /// It is stopped at Deed's own doors, which revokes nothing at its issuer.
    #[serde(default)]
    pub suspended: bool,
    /// When it was issued.
    pub issued: Option<Timestamp>,
    /// When it ends or ended.
    pub expires: Option<Timestamp>,
    /// When it was first used.
    pub first_used: Option<Timestamp>,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
    /// The last record that used it.
    pub last_record: Option<RecordId>,
    /// Actions that were done with it.
    pub uses: u64,
    /// What became of it, by when that happened last.
    pub changes: Vec<ChangeRow>,
    /// More than one account used it.
    pub shared: bool,
}

/// What became of an account, a credential or a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// What happened.
    pub change: String,
    /// When it happened first.
    pub time: Timestamp,
    /// When it happened last: of what can happen again, the latest of all tells what holds. An earlier server does not say.
    #[serde(default)]
    pub last: Option<Timestamp>,
    /// How often it was said.
    pub count: u32,
    /// `enforced`, `imported` or `reported`.
    pub basis: String,
    /// The first record that says so.
    pub record: RecordId,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRow {
    /// The first record that tells of it.
    pub record: RecordId,
    /// The role.
    pub role: Option<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// What it is about.
    pub resource: Option<String>,
    /// `active`, `expired`, `revoked` or `unknown`.
    pub state: String,
    /// Who gave it.
    pub by: Option<String>,
    /// When it ends or ended; `null` where it stands.
    pub expires: Option<Timestamp>,
    /// The request it answers.
    pub request: Option<RecordId>,
    /// Answers to that request.
    pub approvals: Vec<RecordId>,
    /// Actions that name it.
    pub uses: u64,
    /// The last of them.
    pub last_used: Option<Timestamp>,
    /// When it was last seen in use: an action names it, or its holder used one of its scopes.
    pub in_use: Option<Timestamp>,
    /// Nothing tells whether it is used: what its holder did is not named as its scopes are.
    pub use_unknown: bool,
    /// What became of it.
    pub changes: Vec<ChangeRow>,
}

/// Counts of actions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// That it did.
    pub executed: u64,
    /// That it asked for.
    pub initiated: u64,
    /// The same by system and environment.
    pub by: Vec<PlaceRow>,
}

/// Actions in one system and environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceRow {
    /// The system whose log tells; `deed` where Deed itself does; else the sender.
    pub system: String,
    /// The environment.
    pub environment: Option<String>,
    /// That it did.
    pub executed: u64,
    /// That it asked for.
    pub initiated: u64,
}

/// Somebody who acted for somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {
    /// Who: an alias, else the account.
    pub principal: String,
    /// As it is sealed.
    pub account: Account,
    /// `proven`, `learned` (another system's log) or `asserted` (a sender).
    pub basis: String,
    /// `chain`: actions name both; `credential`: one had it issued to the other.
    pub by: String,
    /// Actions, or credentials.
    pub count: u64,
    /// Of credentials, those that were used.
    pub used: u64,
    /// When that was first.
    pub first: Timestamp,
    /// When that was last.
    pub last: Timestamp,
    /// Records that show it.
    pub evidence: Vec<RecordId>,
}

/// A join that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// The account of this principal.
    pub account: Account,
    /// The other one: an alias, else the account.
    pub with: String,
    /// Why.
    pub why: String,
    /// The records that would show it.
    pub evidence: Vec<RecordId>,
}
