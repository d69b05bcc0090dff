//! Findings kept up with a log that grows.
//!
//! Judging an action reads every record that bears on it, which is too much for each of millions. So every record is
//! *screened* as it comes: whether it could be an action that a rule speaks about, or could change what a rule says of
//! others. What could is judged, by the same function that explains one action. Screening errs to one side only: it
//! may have a clean action judged, never leave a finding out.
//!
//! INVARIANT D6: an action is judged again whenever a record comes that may bear on it, so that the findings are those
//! of the set of records, whatever their order.

mod before;
mod dump;
mod screen;
mod settle;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
};

use deed_identity::{CredentialKey, Resource};
use deed_record::{Account, RecordId, Skeleton, Timestamp, TraceId, with_and_without_path};
use serde::{Deserialize, Serialize};

use crate::{Declared, Evidence, explanation::Finding, rules::ACTION_WITHOUT_GRANT, tuning::Matter};

pub use settle::{Done, work};

/// What is to be judged, or judged again.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The action that this record belongs to.
    Action(RecordId),
    /// Everything that was done with a credential, or with one that was derived from it.
    Credential {
        /// Whose.
        tenant: String,
        /// Fingerprint, the issuer's id or jti.
        name: String,
    },
    /// Everything that relies on this record.
    Relying(RecordId),
    /// Everything in a trace.
    Trace(TraceId),
    /// The action that this record belongs to, and every one that may be told of in it.
    Beside(RecordId),
    /// What whoever was denied in this record did there in the day after.
    Denied(RecordId),
    /// Calls of the tool that this record tells of, after it.
    Tool(RecordId),
    /// What whoever's rights this record tells of did since then.
    Right(RecordId),
}

/// Evidence that can be read to its end, where judging one action reads within a bound.
pub trait Affected: Evidence {
    /// Every record that `look` leads to, in any order: those that use or name the credential; those that name the
    /// record in any way; those of the trace; the record itself.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn every(&self, look: &Look, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), Self::Error>;

    /// Every call of a tool of which others than Deed tell ([`Skeleton::called`]), in any order.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn called(
        &self,
        tenant: &str,
        server: &str,
        name: &str,
        visit: &mut dyn FnMut(&Skeleton<'_>),
    ) -> Result<(), Self::Error>;

    /// Every record of what `account` did, in any order.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn acted(&self, account: Account, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), Self::Error>;

    /// Every record of what was done for `account`, in any order.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn asked(&self, account: Account, visit: &mut dyn FnMut(&Skeleton<'_>)) -> Result<(), Self::Error>;

    /// Every record of the day of `time` (UTC) which says that `account` did something with the resource `uri`
    /// ([`Skeleton::tried`]), in any order.
    ///
    /// # Errors
    /// The evidence cannot be read.
    fn done(
        &self,
        account: Account,
        uri: &str,
        time: Timestamp,
        visit: &mut dyn FnMut(&Skeleton<'_>),
    ) -> Result<(), Self::Error>;
}

/// What is known of the people and systems that rules ask about, beside the log.
pub trait Known {
    /// Whom the inventory knows by that account of `tenant`.
    fn declared(&self, tenant: &str, account: Account) -> Option<Declared>;

    /// What the inventory says of the resource `uri`, where actions are held against that.
    fn controlled(&self, uri: &str) -> Option<Resource>;

    /// Every account of whoever the inventory knows by `account`; that account alone, of who is not declared.
    fn every_account(&self, tenant: &str, account: Account) -> Vec<Account>;

    /// Whether every grant of that system is in its log.
    fn logs_every_grant(&self, system: &str) -> bool;
}

/// An action that deserves a look.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Flagged {
    /// When it happened.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: String,
    /// Who asked.
    pub initiator: Option<Account>,
    /// Who acted.
    pub executor: Option<Account>,
    /// What the credential that was used is called.
    pub credentials: Vec<String>,
    /// What was acted upon.
    pub resource: Option<String>,
    /// Why.
    pub findings: Vec<Finding>,
}

impl Flagged {
    /// What was acted upon, under every name it has, where nothing gave a right to it.
    fn ungranted(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let without = self.findings.iter().any(|finding| finding.rule == ACTION_WITHOUT_GRANT.name);
        self.resource.as_deref().filter(|_| without).into_iter().flat_map(with_and_without_path)
    }

    /// One of the findings about action `id`, as far as a suppression asks.
    pub fn matter<'f>(&'f self, id: RecordId, finding: &'f Finding) -> Matter<'f> {
        Matter {
            rule: &finding.rule,
            record: id,
            accounts: [self.initiator, self.executor].into_iter().flatten().collect(),
            credentials: self.credentials.iter().map(|name| CredentialKey::of(&self.tenant, name)).collect(),
            resource: self.resource.as_deref(),
        }
    }
}

/// The findings about every action of a log, as far as it was seen.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Review {
    flagged: BTreeMap<RecordId, Flagged>,
    /// Those of them to which nothing gave a right, by what was acted upon: some right may be found for them there.
    ungranted: BTreeMap<String, BTreeSet<RecordId>>,
    /// Actions that were not let through, or that change what may be changed only at times: how they end decides.
    held: HashSet<RecordId>,
    /// Actions that something was said of, and that have not come yet.
    awaited: HashSet<RecordId>,
    /// Traces in which a task says what it means to do.
    tasks: HashSet<Digest>,
    /// Spans in them by which it is known of which task something is: what stands there may come later.
    passed: HashSet<Digest>,
    /// Credentials and traces of what governed principals did, as other systems logged it: an intent may fit.
    unmatched: HashSet<Digest>,
    /// Places of calls that are a finding, or that were not to be: what another system logs of them tells more.
    open: HashSet<Digest>,
    /// What somebody was denied, by resource and by resource, principal and day.
    denied: HashSet<Digest>,
    /// Accounts of whoever was ever suspended or removed, and since when at the earliest.
    stopped: BTreeMap<Account, Timestamp>,
    /// When something was last done, by sixteen bits of what it was done to: not before that to any of these.
    done: BTreeMap<u16, Timestamp>,
    /// Actions of which it was found that they had been denied before, by time.
    eluding: BTreeSet<(Timestamp, RecordId)>,
    /// Actions of which it was found that they went past the gateway, or were done on another way than the one that was denied, by
    /// time: a call may come that they are of.
    past: BTreeSet<(Timestamp, RecordId)>,
    /// What may be of a call of which nothing tells that it has ended, by that call.
    waiting: BTreeMap<RecordId, BTreeSet<RecordId>>,
    /// Of each tool when its definition was pinned, or began to wait to be approved.
    tools: BTreeMap<Digest, BTreeMap<(Timestamp, RecordId), bool>>,
    /// Credentials of which somebody says what they hold, or where they were made.
    bounds: HashMap<CredentialKey, Bounds>,
    /// Credentials that something was done with.
    used: HashSet<u64>,
    /// Rights that somebody named, whether they came yet or not.
    referred: HashSet<u64>,
    /// What is to be judged still.
    looks: BTreeSet<Look>,
    /// Looks that were taken, and of which nothing came yet.
    taken: usize,
    /// A record was seen while looks were taken: what comes of them may not be of it.
    crossed: bool,
}

/// What is said of a credential, as far as screening needs to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Bounds {
    /// Somebody says which scopes it holds.
    scopes: bool,
    /// Deed's token service says so, which holds it to them at the door.
    scopes_at_door: bool,
    /// Deed's token service issued it.
    at_door: bool,
    /// Somebody says in which environment it was made.
    environment: bool,
    /// The earliest end that was ever said.
    ends: Option<Timestamp>,
}

/// Something that records have in common, as a digest.
type Digest = [u8; 16];

impl Review {
    /// Every action that deserves a look, by id.
    pub fn flagged(&self) -> impl Iterator<Item = (RecordId, &Flagged)> {
        self.flagged.iter().map(|(id, flagged)| (*id, flagged))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.flagged.len()
    }

    /// Whether nothing deserves a look.
    pub fn is_empty(&self) -> bool {
        self.flagged.is_empty()
    }

    /// Why action `id` deserves a look; `None` where it does not.
    pub fn of(&self, id: RecordId) -> Option<&Flagged> {
        self.flagged.get(&id)
    }

    /// Notes why action `id` deserves a look, in place of what was noted before.
    fn flag(&mut self, id: RecordId, flagged: Flagged) {
        self.unflag(id);
        for resource in flagged.ungranted() {
            self.ungranted.entry(resource.into_owned()).or_default().insert(id);
        }
        self.flagged.insert(id, flagged);
    }

    /// Forgets why action `id` deserved a look.
    fn unflag(&mut self, id: RecordId) {
        let Some(flagged) = self.flagged.remove(&id) else { return };
        for resource in flagged.ungranted() {
            let Some(there) = self.ungranted.get_mut(&*resource) else { continue };
            there.remove(&id);
            if there.is_empty() {
                self.ungranted.remove(&*resource);
            }
        }
    }

    /// Whether something is to be judged still, or is being judged.
    pub fn is_unsettled(&self) -> bool {
        self.taken > 0 || !self.looks.is_empty()
    }
}
