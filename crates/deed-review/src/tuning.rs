//! What a tenant makes of rules: findings that are suppressed for a time, and what counts as long and as often (P8).
//!
//! Each suppression, each end of one and each set of thresholds is a record of Deed's own about [`RESOURCE`]. What is in
//! force is what those records come to: every operation is a set or a greatest, so that their order does not matter (D6),
//! and all of it stands in members that cannot be redacted (D14).

use std::collections::BTreeMap;

use deed_identity::CredentialKey;
use deed_record::{Account, Change, Kind, RecordId, Skeleton, Timestamp};

use crate::identities::{Threshold, Thresholds};

/// What the records are about, and what they are looked up by.
pub const RESOURCE: &str = "deed:findings";
/// Scopes of a suppression: what it covers, each at most once.
const RULE: &str = "finding:";
const CREDENTIAL: &str = "credential:";
const COVERED: &str = "resource:";
const RECORD: &str = "action:";

/// What the records of one tenant come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tuning {
    given: BTreeMap<RecordId, Suppression>,
    ended: BTreeMap<RecordId, Ended>,
    thresholds: Option<Tuned>,
}

/// Findings of one rule that are left out until a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Suppression {
    /// Its record.
    pub id: RecordId,
    /// Which.
    pub covers: Covers,
    /// Since when.
    pub from: Timestamp,
    /// The first moment at which it is over.
    pub until: Timestamp,
    /// Who granted it.
    pub by: Option<Account>,
}

/// Which findings: those of a rule for which all else holds that is said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Covers {
    /// The rule.
    pub rule: String,
    /// About them.
    pub principal: Option<Account>,
    /// About a credential, or an action that was done with it: fingerprint, the issuer's id or jti.
    pub credential: Option<String>,
    /// About what was done to it; a text that ends in `*` covers whatever begins as it does.
    pub resource: Option<String>,
    /// About this action, or shown by this record.
    pub action: Option<RecordId>,
}

/// The end of a suppression before its time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// Its record.
    pub record: RecordId,
    /// Who ended it.
    pub by: Option<Account>,
}

/// Thresholds that somebody set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tuned {
    /// When.
    pub at: Timestamp,
    /// Its record.
    pub record: RecordId,
    /// Who set them.
    pub by: Option<Account>,
    /// All of them.
    pub thresholds: Thresholds,
}

/// Where a suppression stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It hides what it covers.
    InForce,
    /// Somebody ended it.
    Ended(Ended),
    /// Its time is over.
    Expired,
}

/// A finding, as far as a suppression asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Matter<'m> {
    /// The rule.
    pub rule: &'m str,
    /// The action, or the record that shows it best.
    pub record: RecordId,
    /// Whom it is about.
    pub accounts: Vec<Account>,
    /// The credential that it is about, or that was used.
    pub credentials: Vec<CredentialKey>,
    /// What was acted upon.
    pub resource: Option<&'m str>,
}

/// Who and what goes by several names.
pub trait Same {
    /// Whether both accounts are somebody's.
    fn somebody(&self, one: Account, other: Account) -> bool;

    /// The key by which findings about identities call the credential of `key`.
    fn credential(&self, key: CredentialKey) -> CredentialKey;
}

impl Covers {
    /// As `terms.scopes` of the record; whom it is about is `terms.subject`.
    pub fn scopes(&self) -> Vec<String> {
        let action = self.action.map(|id| id.to_string());
        let parts = [
            (RULE, Some(self.rule.as_str())),
            (CREDENTIAL, self.credential.as_deref()),
            (COVERED, self.resource.as_deref()),
            (RECORD, action.as_deref()),
        ];
        parts.into_iter().filter_map(|(what, text)| Some(format!("{what}{}", text?))).collect()
    }

    fn read(record: &Skeleton<'_>) -> Option<Self> {
        let terms = record.terms.as_ref()?;
        let one = |what: &str| terms.scopes.iter().find_map(|scope| scope.strip_prefix(what));
        Some(Covers {
            rule: one(RULE)?.to_owned(),
            principal: match &terms.subject {
                Some(subject) => Some(subject.account?),
                None => None,
            },
            credential: one(CREDENTIAL).map(str::to_owned),
            resource: one(COVERED).map(str::to_owned),
            // What cannot be read covers nothing, rather than everything.
            action: one(RECORD).map(str::parse).transpose().ok()?,
        })
    }

    /// Whether it covers `matter` of `tenant`.
    pub fn has(&self, tenant: &str, matter: &Matter<'_>, same: &dyn Same) -> bool {
        let is_about =
            |wanted: Account| matter.accounts.iter().any(|who| *who == wanted || same.somebody(wanted, *who));
        let was_used = |name: &str| {
            let key = CredentialKey::of(tenant, name);
            let known = same.credential(key);
            matter.credentials.iter().any(|used| *used == key || *used == known)
        };
        self.rule == matter.rule
            && self.action.is_none_or(|id| id == matter.record)
            && self.credential.as_deref().is_none_or(was_used)
            && self.resource.as_deref().is_none_or(|wanted| {
                matter.resource.is_some_and(|uri| match wanted.strip_suffix('*') {
                    Some(start) => uri.starts_with(start),
                    None => uri == wanted,
                })
            })
            && self.principal.is_none_or(is_about)
    }
}

impl Tuning {
    /// Takes in a record about [`RESOURCE`] that is Deed's own; any other says nothing.
    pub fn fold(&mut self, record: &Skeleton<'_>) {
        let by = record.initiator.as_ref().and_then(|party| party.account);
        match (record.kind, record.exception) {
            (Kind::Exception, Some(id)) => {
                let revoked =
                    record.terms.as_ref().is_some_and(|terms| terms.change == Some(Change::Revoked));
                if revoked {
                    let end = Ended { at: record.time, record: record.id, by };
                    let first = self.ended.entry(id).or_insert(end);
                    *first = end.min(*first);
                }
            }
            (Kind::Exception, None) => {
                let until = record.terms.as_ref().and_then(|terms| terms.expires);
                if let (Some(covers), Some(until)) = (Covers::read(record), until) {
                    let (id, from) = (record.id, record.time);
                    self.given.insert(id, Suppression { id, covers, from, until, by });
                }
            }
            (Kind::Policy, _) => {
                let scopes = record.terms.iter().flat_map(|terms| &terms.scopes);
                let mut thresholds = Thresholds::default();
                for (name, value) in scopes.filter_map(|scope| scope.split_once('=')) {
                    if let (Some(name), Ok(value)) = (Threshold::named(name), value.parse()) {
                        name.set(&mut thresholds, value);
                    }
                }
                let tuned = Tuned { at: record.time, record: record.id, by, thresholds };
                let is_newer = |old: &Tuned| (old.at, old.record) < (tuned.at, tuned.record);
                if self.thresholds.as_ref().is_none_or(is_newer) {
                    self.thresholds = Some(tuned);
                }
            }
            _ => {}
        }
    }

    /// Every suppression that there ever was, by id, and where it stands at `now`.
    pub fn suppressions(&self, now: Timestamp) -> impl Iterator<Item = (&Suppression, Standing)> {
        self.given.values().map(move |given| (given, self.standing(given, now)))
    }

    /// The suppression of that record, and where it stands at `now`.
    pub fn suppression(&self, id: RecordId, now: Timestamp) -> Option<(&Suppression, Standing)> {
        self.given.get(&id).map(|given| (given, self.standing(given, now)))
    }

    fn standing(&self, given: &Suppression, now: Timestamp) -> Standing {
        match self.ended.get(&given.id) {
            Some(ended) if ended.at < given.until && ended.at <= now => Standing::Ended(*ended),
            _ if now >= given.until => Standing::Expired,
            _ => Standing::InForce,
        }
    }

    /// What hides `matter` of `tenant` at `now`: of several the one that does so longest.
    pub fn hides(
        &self,
        tenant: &str,
        matter: &Matter<'_>,
        now: Timestamp,
        same: &dyn Same,
    ) -> Option<&Suppression> {
        let in_force = self.suppressions(now).filter(|(_, standing)| *standing == Standing::InForce);
        let hiding = in_force.map(|(given, _)| given).filter(|given| given.covers.has(tenant, matter, same));
        hiding.max_by_key(|given| (given.until, given.id))
    }

    /// The rules of which something is suppressed at `now`.
    pub fn hidden_rules(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let in_force = self.suppressions(now).filter(|(_, standing)| *standing == Standing::InForce);
        in_force.map(|(given, _)| given.covers.rule.as_str())
    }

    /// The thresholds that somebody set last; `None` where the defaults are in force.
    pub fn tuned(&self) -> Option<&Tuned> {
        self.thresholds.as_ref()
    }

    /// The thresholds in force.
    pub fn thresholds(&self) -> Thresholds {
        self.thresholds.map(|tuned| tuned.thresholds).unwrap_or_default()
    }
}
