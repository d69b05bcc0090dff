//! What deserves a look about an identity over time, rather than about one action.
//!
//! Each rule is a pure function of what records say of identities ([`State`]), of the inventory, and of a moment. It
//! does not depend on the order of records (D6) nor on what can be redacted (D14). It speaks only where the evidence
//! is there: that a source is silent proves nothing unless the inventory says that its log is complete.

mod lasting;
mod people;
mod sessions;
mod sharing;
mod thresholds;
mod trouble;

use std::collections::HashMap;

use deed_identity::{
    ChangeFacts, Coverage, CredentialKey, Declarations, GrantKey, Joined, Principal, Rank, Standing, State,
};
use deed_record::{Account, Change, RecordId, Timestamp};

use crate::{Rule, explain::hex, explanation::Finding, tuning::Matter, words::Severity};

pub use thresholds::{Threshold, Thresholds};

/// Every rule about identities, in the order of the catalogue.
pub const IDENTITY_RULES: &[Rule] = &[
    lasting::STANDING_PRIVILEGE,
    lasting::LONG_LIVED_STATIC_KEY,
    lasting::PERSISTENT_TOKEN,
    sharing::SHARED_ACCOUNT,
    people::DORMANT_IDENTITY,
    people::ORPHAN,
    people::OFFBOARDED_IDENTITY,
    trouble::RETRY_STORM,
    trouble::SOURCE_GAP,
    sessions::SESSION_START_END_ONLY,
];

/// Whether findings of that rule tell of what stands at a moment, rather than of what happened: they are counted at a
/// moment, and come at no rate.
pub fn is_standing(rule: &str) -> bool {
    let standing = [
        lasting::STANDING_PRIVILEGE,
        lasting::LONG_LIVED_STATIC_KEY,
        people::DORMANT_IDENTITY,
        people::ORPHAN,
    ];
    standing.iter().any(|standing| standing.name == rule)
}

/// What the inventory declares, for one tenant.
pub trait Directory: Declarations {
    /// What is declared of a principal.
    fn principal(&self, at: usize) -> Option<&Principal>;
    /// The account of that name; `None` where nobody can have it.
    fn account(&self, name: &str) -> Option<Account>;
    /// Whether the inventory declares anybody with an owner.
    fn names_owners(&self) -> bool;
    /// Whether the log of `system` is declared complete for `coverage`.
    fn is_complete_for(&self, system: &str, coverage: Coverage) -> bool;
}

/// A finding about an identity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdentityFinding {
    /// What was found.
    pub finding: Finding,
    /// The record that shows it best.
    pub record: RecordId,
    /// When that happened.
    pub time: Timestamp,
    /// Whom it is about: the account that the principal is called by; nobody, where it is about a source.
    pub account: Option<Account>,
    /// The credential or grant that it is about.
    pub subject: Option<Subject>,
    /// What was tried, or may be used, where it is about that.
    pub resource: Option<String>,
    /// What tells it from another one of the same rule about the same: when it began, so that it is known again for as
    /// long as it is the same.
    pub occurrence: String,
    /// The others whom it concerns: of something shared, who shares it.
    pub others: Vec<Account>,
}

/// What a finding about an identity is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// A credential.
    Credential(CredentialKey),
    /// A grant.
    Grant(GrantKey),
}

/// What deserves a look about the identities of `tenant` at `now`: the newest first, then by severity.
pub fn identity_findings(
    state: &State,
    directory: &dyn Directory,
    tenant: &str,
    now: Timestamp,
    thresholds: &Thresholds,
) -> Vec<IdentityFinding> {
    let mut look = Look {
        state,
        directory,
        tenant,
        now,
        thresholds,
        sources: state.sources(tenant).into_iter().map(|source| (source.system, source.last.0)).collect(),
        joined: HashMap::new(),
        turned: Vec::new(),
        found: Vec::new(),
    };
    look.grants();
    look.credentials();
    look.principals();
    look.tried();
    look.sources();
    let mut found = look.found;
    found.sort_by(|one, other| {
        let order = |found: &IdentityFinding| {
            (found.time, found.finding.severity, found.record, found.finding.rule.clone(), found.subject)
        };
        order(other).cmp(&order(one))
    });
    found
}

/// One look at everything that is known.
struct Look<'l> {
    state: &'l State,
    directory: &'l dyn Directory,
    tenant: &'l str,
    now: Timestamp,
    thresholds: &'l Thresholds,
    /// When each system told something last.
    sources: HashMap<String, Timestamp>,
    /// The principal of an account that was asked for.
    joined: HashMap<Account, Who>,
    /// Credentials that were used from two addresses in turns.
    turned: Vec<sharing::Turned>,
    found: Vec<IdentityFinding>,
}

/// Who has an account.
#[derive(Clone, Copy)]
struct Who {
    /// The account it is called by.
    head: Account,
    declared: Option<usize>,
    kind: deed_record::PrincipalType,
}

impl Who {
    fn of(joined: &Joined, account: Account) -> Self {
        let head = joined.members.first().map_or(account, |member| member.account);
        Who { head, declared: joined.declared, kind: joined.kind }
    }
}

impl Look<'_> {
    fn grants(&mut self) {
        for grant in self.state.grants(self.tenant) {
            self.standing(&grant);
        }
    }

    fn credentials(&mut self) {
        for credential in self.state.credentials(self.tenant) {
            self.static_key(&credential);
            self.token(&credential);
            self.shared(&credential);
            self.session(&credential);
        }
        self.turned();
    }

    fn principals(&mut self) {
        for joined in self.state.principals(self.tenant, self.directory) {
            let Some(account) = joined.members.first().map(|member| member.account) else { continue };
            let who = Who::of(&joined, account);
            self.dormant(&joined, who);
            self.orphan(&joined, who);
            self.offboarded(&joined, who);
        }
    }

    fn who(&mut self, account: Account) -> Who {
        if let Some(known) = self.joined.get(&account) {
            return *known;
        }
        let joined = self.state.principal(account, self.directory);
        let who = Who::of(&joined, account);
        self.joined.insert(account, who);
        who
    }

    fn declared(&self, who: Who) -> Option<&Principal> {
        self.directory.principal(who.declared?)
    }

    fn find(&mut self, found: IdentityFinding) {
        self.found.push(found);
    }
}

impl IdentityFinding {
    /// What it is called within `tenant`, as 32 hex digits: the same for as long as it is the same.
    pub fn key(&self, tenant: &str) -> String {
        let subject = match self.subject {
            Some(Subject::Credential(key)) => hex(&key.to_bytes()),
            Some(Subject::Grant(key)) => hex(&key.to_bytes()),
            None => self.account.map(|account| account.to_string()).unwrap_or_default(),
        };
        let said = format!("{}\0{subject}\0{}", self.finding.rule, self.occurrence);
        // A tenant has no such name.
        hex(&CredentialKey::of(&format!("{tenant}\0finding"), &said).to_bytes())
    }

    /// As far as a suppression asks.
    pub fn matter(&self) -> Matter<'_> {
        let credential = match self.subject {
            Some(Subject::Credential(key)) => Some(key),
            _ => None,
        };
        Matter {
            rule: &self.finding.rule,
            record: self.record,
            accounts: self.account.iter().chain(&self.others).copied().collect(),
            credentials: credential.into_iter().collect(),
            resource: self.resource.as_deref(),
        }
    }

    fn new(rule: &Rule, severity: Severity, reason: String, shown: (Timestamp, RecordId)) -> Self {
        let finding = rule.finding(severity, reason);
        IdentityFinding {
            finding,
            record: shown.1,
            time: shown.0,
            account: None,
            subject: None,
            resource: None,
            occurrence: shown.0.to_string(),
            others: Vec::new(),
        }
    }
}

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// So many of something, in words.
fn days(micros: i64) -> String {
    count(micros / DAY, "day")
}

fn count(number: i64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// The last of these changes that a log or Deed itself tells of, and what tells.
fn last_firm(changes: &[ChangeFacts], wanted: &[Change]) -> Option<Timestamp> {
    let firm = changes.iter().filter(|entry| entry.rank > Rank::Told && wanted.contains(&entry.change));
    firm.map(|entry| entry.last).max()
}

/// Whether somebody may still use it: given, or used, and nothing says that it ended.
fn is_open(changes: &[ChangeFacts], expires: Option<Timestamp>, now: Timestamp) -> bool {
    matches!(Standing::at(now, changes, expires), Standing::Active | Standing::Unknown)
}
