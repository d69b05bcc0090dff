//! What a [`State`](super::State) tells about one account, credential, grant, hand-over or source.

use deed_record::{Account, Change, PrincipalType, RecordId, Timestamp};

use super::{CredentialKey, GrantKey, InTurns, Rank, Role, SeenBy, UsedAs};

/// How many entries there are of each sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sizes {
    /// Accounts.
    pub accounts: u64,
    /// Names of credentials.
    pub credentials: u64,
    /// Grants.
    pub grants: u64,
    /// Pairs of accounts.
    pub links: u64,
}

/// What is known of an account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountFacts {
    /// What it is; `unknown` also where records give it several types.
    pub kind: PrincipalType,
    /// Every type that it was given, where those are several.
    pub kinds: Vec<PrincipalType>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// The first record that names it.
    pub first_record: RecordId,
    /// The last one.
    pub last_record: RecordId,
    /// Actions that it asked for.
    pub initiated: u64,
    /// Actions that it did.
    pub executed: u64,
    /// Of those, how many were denied, as their outcomes say.
    pub denied: u64,
    /// How many failed or timed out, as their outcomes say.
    pub failed: u64,
    /// The last action that it did or asked for.
    pub last_acted: Option<(Timestamp, RecordId)>,
    /// The last of them that was neither denied nor failed, as its record says.
    pub last_done: Option<(Timestamp, RecordId)>,
    /// What it used, by name; the least by name where there is too much.
    pub used: Vec<UsedFacts>,
    /// It used more than is listed.
    pub more_used: bool,
    /// The distinct instances, devices and tasks that it acted by.
    pub seen: Vec<SeenFacts>,
    /// What became of it: made, altered, renewed, revoked (removed, suspended, locked).
    pub changes: Vec<ChangeFacts>,
    /// Actions by system and environment, by name.
    pub places: Vec<PlaceFacts>,
}

impl AccountFacts {
    /// Whether it is known to be somebody who acts: by its type, or because it acted, or was made, suspended or removed as
    /// accounts are. A group, a team, an account as a whole or everybody holds rights and never acts itself; records give
    /// it no type.
    pub fn is_known_to_act(&self) -> bool {
        let acted = self.executed > 0 || self.initiated > 0;
        self.kind != PrincipalType::Unknown || !self.kinds.is_empty() || acted || !self.changes.is_empty()
    }
}

/// Something that an account used, itself and not merely tried: what its records say was denied is not counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsedFacts {
    /// The permission; else the tool, as `server/name`; else the operation. Cut after 200 bytes.
    pub what: String,
    /// Which of these it is.
    pub named_as: UsedAs,
    /// Actions.
    pub count: u64,
    /// When it was used first.
    pub first: Timestamp,
    /// When it was used last.
    pub last: Timestamp,
}

/// Distinct instances, devices or tasks that somebody, or a credential, acted by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SeenFacts {
    /// What is told apart.
    pub by: SeenBy,
    /// First and last time of each, and the first record that shows it; eight at most.
    pub each: Vec<(Timestamp, Timestamp, RecordId)>,
    /// There are more than are kept.
    pub more: bool,
}

impl SeenFacts {
    /// Whether two of them were at work in turns: each was seen before the other was seen for the last time.
    pub fn overlap(&self) -> bool {
        self.each.iter().enumerate().any(|(at, (first, last, _))| {
            self.each[at + 1..].iter().any(|(other, end, _)| first < end && other < last)
        })
    }
}

/// Actions of one account in one system and environment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlaceFacts {
    /// The system whose log tells; `deed` where Deed itself does; else who sent the record.
    pub system: String,
    /// The environment; empty where records say none.
    pub environment: String,
    /// Actions that it asked for.
    pub initiated: u64,
    /// Actions that it did.
    pub executed: u64,
}

/// What is known of a credential, under all the names that belong together.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialFacts {
    /// One of its names, the least.
    pub key: CredentialKey,
    /// All of them, in order.
    pub names: Vec<CredentialKey>,
    /// Whose it is.
    pub tenant: String,
    /// `bearer`, `access_key`, …
    pub kind: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// What it was derived from.
    pub parent: Option<CredentialKey>,
    /// When it was made, as records that name it say; the records of its issue are in `changes`.
    pub issued: Option<Timestamp>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// Actions that were done with it.
    pub uses: u64,
    /// The first of them.
    pub first_used: Option<(Timestamp, RecordId)>,
    /// The last of them.
    pub last_used: Option<(Timestamp, RecordId)>,
    /// What became of it.
    pub changes: Vec<ChangeFacts>,
    /// Who had to do with it.
    pub holders: Vec<HolderFacts>,
    /// More accounts had to do with it than are listed.
    pub more_holders: bool,
    /// The distinct instances, devices and tasks that acted with it.
    pub seen: Vec<SeenFacts>,
    /// Two addresses from which it was used in turns lately, as logs tell.
    pub in_turns: Option<InTurns>,
    /// That it ended with what was taken as a whole from whoever holds it: one of `changes`.
    pub withdrawn: Option<ChangeFacts>,
}

/// Types of credentials that stand until somebody takes them away: long-lived secrets by their nature.
const STATIC: &[&str] = &[
    "access_key",
    "api_key",
    "api_token",
    "certificate",
    "client_secret",
    "deploy_key",
    "fine_grained_personal_access_token",
    "password",
    "personal_access_token",
    "secret",
    "service_account_key",
    "service_specific_credential",
    "signing_certificate",
    "ssh_key",
    "ssh_public_key",
];

/// Whether credentials of that type stand until somebody takes them away.
pub fn is_static_type(kind: &str) -> bool {
    STATIC.contains(&kind)
}

impl CredentialFacts {
    /// Whether it is of a type that stands until somebody takes it away, such as `access_key`; `None` where no record
    /// says what it is.
    pub fn is_static(&self) -> Option<bool> {
        self.kind.as_deref().map(is_static_type)
    }

    /// What stands of it at `now`. That Deed stopped it at its own doors is no word of whoever issued it.
    pub fn standing(&self, now: Timestamp) -> Standing {
        Standing::at(now, &self.said(false), self.expires)
    }

    /// Whether Deed stops it at its own doors at `now`, though it did not issue it.
    pub fn is_suspended(&self, now: Timestamp) -> bool {
        Standing::at(now, &self.said(true), None) == Standing::Revoked
    }

    /// What became of it by suspensions, or otherwise.
    fn said(&self, by_suspensions: bool) -> Vec<ChangeFacts> {
        let at_deed = |change: &ChangeFacts, of: &[Change]| {
            change.rank == Rank::Enforced && of.contains(&change.change)
        };
        let is_ours = self.changes.iter().any(|change| at_deed(change, &[Change::Issued]));
        let is_suspension =
            |change: &ChangeFacts| !is_ours && at_deed(change, &[Change::Revoked, Change::Renewed]);
        self.changes.iter().filter(|change| is_suspension(change) == by_suspensions).cloned().collect()
    }

    /// When it was made: the first issue that records tell of, or an earlier time that those who name it say.
    pub fn first_issued(&self) -> Option<Timestamp> {
        self.when(Change::Issued).map(|(first, _)| first).into_iter().chain(self.issued).min()
    }

    /// When its secret was last made anew: issued, renewed or rotated.
    pub fn last_renewed(&self) -> Option<Timestamp> {
        let changes = [Change::Issued, Change::Renewed, Change::Rotated];
        let said = changes.into_iter().filter_map(|change| self.when(change)).map(|(_, last)| last);
        said.chain(self.issued).max()
    }

    /// The longest time, in microseconds, that it is known to have been in use after it was made.
    pub fn longest_in_use(&self) -> Option<i64> {
        Some(self.last_used?.0.0 - self.first_issued()?.0)
    }

    /// First and last time of a change.
    pub fn when(&self, change: Change) -> Option<(Timestamp, Timestamp)> {
        when(&self.changes, change)
    }
}

fn when(changes: &[ChangeFacts], change: Change) -> Option<(Timestamp, Timestamp)> {
    let of = || changes.iter().filter(|entry| entry.change == change);
    Some((of().map(|entry| entry.first).min()?, of().map(|entry| entry.last).max()?))
}

/// What became of a credential or a grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangeFacts {
    /// What happened to it.
    pub change: Change,
    /// How good the word is.
    pub rank: Rank,
    /// How often it was said.
    pub count: u32,
    /// When it happened first.
    pub first: Timestamp,
    /// When it happened last.
    pub last: Timestamp,
    /// The first record that says so.
    pub record: RecordId,
}

impl ChangeFacts {
    /// Whether it is an end.
    pub(super) fn ends(&self) -> bool {
        is_end(self.change)
    }
}

/// Whether what became of something is that it ended.
pub(super) fn is_end(change: Change) -> bool {
    matches!(change, Change::Revoked | Change::Expired)
}

/// An account that had to do with a credential.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HolderFacts {
    /// The account.
    pub account: Account,
    /// What it had to do with it.
    pub role: Role,
    /// How good the word is.
    pub rank: Rank,
    /// Whose word it is.
    pub system: String,
    /// The first record that says so.
    pub record: RecordId,
}

/// What is known of a grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrantFacts {
    /// The grant.
    pub key: GrantKey,
    /// Whose it is.
    pub tenant: String,
    /// To whom it was given.
    pub subject: Option<Account>,
    /// Who gave it.
    pub by: Option<Account>,
    /// The role, as the last record that tells what it gives says. Words are cut after 200 bytes.
    pub role: Option<String>,
    /// The scopes, by name; the least by name where there are too many.
    pub scopes: Vec<String>,
    /// There are more scopes than are listed.
    pub more_scopes: bool,
    /// What it is bound to.
    pub resource: Option<String>,
    /// A record that gave it names the request that it answers.
    pub names_request: bool,
    /// A record that gave it names an approval.
    pub names_approval: bool,
    /// The system whose log holds the first record that gave it.
    pub given_in: Option<String>,
    /// When it ends; `None` where it stands until somebody takes it back.
    pub expires: Option<Timestamp>,
    /// Actions that name it.
    pub uses: u64,
    /// The first of them.
    pub first_used: Option<(Timestamp, RecordId)>,
    /// The last of them.
    pub last_used: Option<(Timestamp, RecordId)>,
    /// What became of it.
    pub changes: Vec<ChangeFacts>,
}

impl GrantFacts {
    /// Whether all that is known of it is that it ended.
    pub(super) fn only_ended(&self) -> bool {
        self.changes.iter().all(ChangeFacts::ends)
    }

    /// When it was given, and the first record that says so.
    pub fn given(&self) -> Option<(Timestamp, RecordId)> {
        let given = self.changes.iter().filter(|entry| entry.change == Change::Issued);
        given.map(|entry| (entry.first, entry.record)).min()
    }
}

/// What one system's records came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFacts {
    /// Whose records.
    pub tenant: String,
    /// The system whose log tells; `deed` where Deed itself does; else who sent the records.
    pub system: String,
    /// How good its word is at best.
    pub rank: Rank,
    /// Records.
    pub records: u64,
    /// The first of them.
    pub first: (Timestamp, RecordId),
    /// The last of them.
    pub last: (Timestamp, RecordId),
    /// Of them, records of kind `gap`: something that should have been recorded was not.
    pub gaps: u64,
    /// The last of those.
    pub last_gap: Option<(Timestamp, RecordId)>,
}

/// Something that one account tried in vain, again and again, within ten minutes of the clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TriedFacts {
    /// Whose.
    pub tenant: String,
    /// Who tried.
    pub account: Account,
    /// The tool, as `server/name`; else the permission; else the operation. Cut after 200 bytes.
    pub what: String,
    /// What it was tried on, cut likewise.
    pub resource: Option<String>,
    /// How often it was denied.
    pub denied: u64,
    /// How often it failed or took too long.
    pub failed: u64,
    /// The first time.
    pub first: (Timestamp, RecordId),
    /// The last time.
    pub last: (Timestamp, RecordId),
}

/// One account acted for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkFacts {
    /// For whom.
    pub from: Account,
    /// Who acted.
    pub to: Account,
    /// How good the best word is.
    pub rank: Rank,
    /// Actions.
    pub count: u64,
    /// The first of them.
    pub first: (Timestamp, RecordId),
    /// The last of them.
    pub last: (Timestamp, RecordId),
}

/// What stands of a credential or a grant at a moment, by event time alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// It was given, and nothing says that it ended.
    Active,
    /// Its time was over.
    Expired,
    /// It was replaced by another.
    Rotated,
    /// It was taken away.
    Revoked,
    /// No record tells that it was given, nor that it ended.
    Unknown,
}

impl Standing {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Standing::Active => "active",
            Standing::Expired => "expired",
            Standing::Rotated => "rotated",
            Standing::Revoked => "revoked",
            Standing::Unknown => "unknown",
        }
    }

    /// What stands at `now` of something that became of `changes` and ends at `expires`.
    ///
    /// Bad news counts whoever brings it; only a later word at least as firm takes it back.
    pub fn at(now: Timestamp, changes: &[ChangeFacts], expires: Option<Timestamp>) -> Self {
        let ended = |change: Change| {
            changes.iter().filter(|entry| entry.change == change && entry.first <= now).any(|end| {
                !changes.iter().any(|begin| {
                    matches!(begin.change, Change::Issued | Change::Renewed)
                        && begin.last <= now
                        && begin.last > end.last
                        && (begin.rank > Rank::Told || end.rank == Rank::Told)
                })
            })
        };
        if ended(Change::Revoked) {
            Standing::Revoked
        } else if ended(Change::Expired) || expires.is_some_and(|expires| expires <= now) {
            Standing::Expired
        } else if ended(Change::Rotated) {
            Standing::Rotated
        } else if changes.iter().any(|entry| entry.change != Change::Requested && entry.first <= now) {
            Standing::Active
        } else {
            Standing::Unknown
        }
    }
}
