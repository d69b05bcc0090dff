//! Where evidence comes from.

use std::{collections::BTreeSet, fmt, sync::Arc};

use deed_identity::{ChangeWindow, Contract, Coverage};
use deed_record::{
    Account, Kind, PrincipalType, RecordError, RecordId, Right, Sealed, Timestamp, TraceId, Tried,
};

use crate::{explanation::Suppressed, tuning::Matter};

/// A reader of sealed records, implemented over a ledger.
///
/// Look-ups return at most `limit` records, in any order, each at most once; a look-up that returns
/// `limit` of them is taken to have been cut, and nothing is then called `approved`. Records of other
/// tenants may be among them and are left aside; better not to count them, lest they crowd out others.
pub trait Evidence {
    /// Why a look-up failed.
    type Error;

    /// The record of that id.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_id(&self, id: RecordId) -> Result<Option<Found>, Self::Error>;

    /// Records that name `id`: in `action`, `request`, `approvals`, `grant`, `exception`, `supersedes`,
    /// `conflicts_with`, or as the delegation of a hop.
    ///
    /// Actions that merely rely on it (name it in `request`, `approvals`, `grant` or `exception`) may be
    /// left out. For a right that thousands of actions use they should be, or they crowd out its
    /// revocation.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_ref(&self, id: RecordId, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Records that rely on `id`: ends of actions which say that they undid it or tried it again, in `compensates` or
    /// `retry_of`; actions that name it in `request`, `approvals`, `grant` or `exception`.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_redoing(&self, id: RecordId, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Records that issue, renew, rotate, revoke or otherwise change the credential which goes by
    /// `name` (fingerprint, issuer's id or jti).
    ///
    /// Records that merely use it may be left out, and should be, as for [`Evidence::by_ref`].
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_credential(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Records that use the credential which goes by `name`, or were shown it, or say something about it.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_use(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Calls that Deed decided on, and that showed the credential which goes by `name`, to Deed or behind it
    /// ([`Skeleton::shown`]).
    ///
    /// [`Skeleton::shown`]: deed_record::Skeleton::shown
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_call(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Calls that Deed decided on, made by `account` in the hour of `time` (UTC; [`Skeleton::calling`]).
    ///
    /// [`Skeleton::calling`]: deed_record::Skeleton::calling
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn calls(&self, account: Account, time: Timestamp, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Records about the resource `uri`.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_resource(&self, tenant: &str, uri: &str, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Records of what that account did.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_executor(&self, account: Account, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Records that give that account a right, change it or take it away ([`Skeleton::entitles`]).
    ///
    /// [`Skeleton::entitles`]: deed_record::Skeleton::entitles
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_entitled(&self, account: Account, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Records of a trace, whatever their tenant.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn by_trace(&self, trace: TraceId, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// What the accounts of that record are called; erased ones are absent.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn names(&self, found: &Found) -> Result<Vec<(Account, Name)>, Self::Error>;

    /// Whom the inventory knows by that account of `tenant`; `None` where nobody is declared.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn declared(&self, tenant: &str, account: Account) -> Result<Option<Declared>, Self::Error>;

    /// What the inventory says of the resource `uri`, where actions are held against that.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn controlled(&self, tenant: &str, uri: &str) -> Result<Option<Controlled>, Self::Error>;

    /// Every account of whoever the inventory knows by `account`; that account alone, of who is not declared.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn every_account(&self, tenant: &str, account: Account) -> Result<Vec<Account>, Self::Error>;

    /// Records which say that this became of what `account` tried with the resource or tool `uri` ([`Skeleton::tried`]), of the
    /// day of `time` (UTC) and the day before.
    ///
    /// [`Skeleton::tried`]: deed_record::Skeleton::tried
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn tried(
        &self,
        tried: Tried,
        account: Account,
        uri: &str,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<Found>, Self::Error>;

    /// Records of the same days that give or change `right` ([`Skeleton::gives`]).
    ///
    /// [`Skeleton::gives`]: deed_record::Skeleton::gives
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn given(
        &self,
        tenant: &str,
        right: Right<'_>,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<Found>, Self::Error>;

    /// Records that give a right on the resource `uri`, and do not say to whom ([`Skeleton::opens`]).
    ///
    /// [`Skeleton::opens`]: deed_record::Skeleton::opens
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn opened(&self, tenant: &str, uri: &str, limit: usize) -> Result<Vec<Found>, Self::Error>;

    /// Systems whose log is declared complete for `coverage`: what it does not say did not happen there.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn complete_for(&self, coverage: Coverage) -> Result<Vec<String>, Self::Error>;

    /// Names of that record's disclosures (`arguments.title`, `prompt`), never their values.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn disclosable(&self, found: &Found) -> Result<Vec<String>, Self::Error>;

    /// By what a finding of `tenant` is suppressed now. It labels the finding, and changes no verdict.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn suppressed(&self, _tenant: &str, _matter: &Matter<'_>) -> Result<Option<Suppressed>, Self::Error> {
        Ok(None)
    }
}

/// A sealed record and where it stands.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its index and its exact bytes.
    pub sealed: Sealed,
    /// Origin of the log it is in.
    pub log: Arc<str>,
    /// Its RFC 6962 leaf hash.
    pub leaf_hash: [u8; 32],
}

/// What somebody is called in clear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    /// The key as it was sent: `system:native-id`.
    pub key: String,
    /// What people call it.
    pub name: Option<String>,
}

/// Somebody as the inventory declares them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declared {
    /// The stable key: the same for every name that systems have for them.
    pub key: String,
    /// What they are.
    pub kind: PrincipalType,
    /// What people call them.
    pub name: Option<String>,
    /// Who answers for them.
    pub owner: Option<String>,
    /// The person on whose behalf they exist.
    pub sponsor: Option<String>,
    /// Whose they are, if not our own.
    pub vendor: Option<String>,
    /// Where they are meant to be active; anywhere, where nothing is said.
    pub environments: Vec<String>,
    /// Whether all that they do is to come through Deed.
    pub governed: bool,
    /// What they were engaged for.
    pub contract: Option<Contract>,
    /// Classifications of what they may act upon, and see; anything, where nobody said.
    pub clearance: Vec<String>,
}

/// A resource of which the inventory declares something that actions are held against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Controlled {
    /// Its URI, or the pattern that covers it, as the inventory has it.
    pub matches: String,
    /// Every account of those who may approve; `None` where nobody said.
    pub approvers: Option<BTreeSet<Account>>,
    /// When it may be changed; at any time, where nothing is said.
    pub change_windows: Vec<ChangeWindow>,
    /// Fields of it that are restricted.
    pub restricted_fields: Vec<String>,
    /// How sensitive it is, where somebody said.
    pub classification: Option<String>,
}

/// The newest signed checkpoint of the log: what an explanation can be proved against.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Checkpoint {
    /// Leaves that it covers.
    pub size: u64,
    /// When it was signed.
    pub time: Option<Timestamp>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError<E> {
    /// The evidence could not be read.
    #[error("failed to read the evidence: {0}")]
    Evidence(E),
    /// A leaf is no record that this program can read.
    #[error(
        "leaf {index} of `{log}` is no record that this program reads: {error}; check the store with `deed verify`"
    )]
    Unreadable {
        /// Origin of the log.
        log: Arc<str>,
        /// The leaf.
        index: u64,
        /// What is wrong with it.
        error: RecordError,
    },
    /// The record belongs to no action that is known here.
    #[error("`{id}` is a record of kind `{kind}`, {}", no_action(.names))]
    NoAction {
        /// The record.
        id: RecordId,
        /// What it is about.
        kind: Kind,
        /// The action that it names and that is not in the log.
        names: Option<RecordId>,
    },
}

fn no_action(names: &Option<RecordId>) -> impl fmt::Display + use<> {
    match names {
        Some(action) => format!("of action `{action}`, which is not in this log"),
        None => "which is part of no action; ask for the id of an action, `deed find` lists them".to_owned(),
    }
}
