//! `GET /v1/findings`: what deserves a look about actions and identities, newest first.

use std::collections::{BTreeMap, HashMap, HashSet};

use deed_identity::{GrantKey, State};
use deed_ledger::{Key, LedgerError};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::{
    IdentityFinding, Severity, Subject, every_rule,
    explanation::{Finding, Suppressed},
    review::Flagged,
    tuning::Matter,
};
use serde::{Deserialize, Serialize};

use super::Reviewed;
use crate::{
    evidence::LedgerEvidence,
    identity::{DeclaredIn, credential_names},
    tuning::Hiding,
};

/// Findings of a page, unless asked for otherwise.
pub(crate) const DEFAULT_LIMIT: usize = 100;
/// Most findings of a page.
pub(crate) const MOST_FINDINGS: usize = 10_000;

/// Which findings are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindingQuery {
    /// Whose.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// Of this rule.
    #[serde(default)]
    pub(crate) rule: Option<String>,
    /// At least as grave.
    #[serde(default)]
    pub(crate) severity: Option<Severity>,
    /// About actions at or after this time.
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    /// About actions before this time.
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
    /// About who asked or acted, by key or alias.
    #[serde(default)]
    pub(crate) principal: Option<String>,
    /// Those that are suppressed, too.
    #[serde(default)]
    pub(crate) suppressed: bool,
    /// Most findings.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    /// Findings to leave out: a page's `next`.
    #[serde(default)]
    pub(crate) after: Option<usize>,
}

/// What deserves a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingList {
    /// How many there are of each rule, on all pages.
    pub counts: BTreeMap<String, u64>,
    /// How many of what is asked for are suppressed.
    #[serde(default)]
    pub suppressed: u64,
    /// The findings, newest action first, then by severity.
    pub findings: Vec<FindingRow>,
    /// `after` of the next page; `null` where this is the last.
    pub next: Option<usize>,
    /// Records of the log that this is from.
    pub records: u64,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingRow {
    /// The rule.
    pub rule: String,
    /// How much it matters.
    pub severity: Severity,
    /// The action it is about; of a finding about an identity, the record that shows it best.
    pub action_id: RecordId,
    /// When that happened.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: String,
    /// Who acted, or whom it is about: the inventory's key, else the name as it was sent, else the account; `null`
    /// where nobody is known.
    pub principal: Option<String>,
    /// The credential that a finding about an identity is about, or the first record of the grant.
    pub subject: Option<String>,
    /// Who else it concerns: everybody who shares what is one's own.
    #[serde(default)]
    pub others: Vec<String>,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The controls that it bears on (G6).
    pub controls: Vec<String>,
    /// By what it is suppressed, while it is.
    #[serde(default)]
    pub suppressed: Option<Suppressed>,
}

/// What was found, of whatever sort.
#[derive(Clone, Copy)]
enum Item<'f> {
    Action(RecordId, &'f Flagged, &'f Finding),
    Identity(&'f str, &'f IdentityFinding),
}

impl<'f> Item<'f> {
    fn finding(self) -> &'f Finding {
        match self {
            Item::Action(_, _, finding) => finding,
            Item::Identity(_, found) => &found.finding,
        }
    }

    /// What it is sorted by, the greatest first.
    fn order(self) -> (Timestamp, RecordId) {
        match self {
            Item::Action(id, flagged, _) => (flagged.time, id),
            Item::Identity(_, found) => (found.time, found.record),
        }
    }

    fn tenant(self) -> &'f str {
        match self {
            Item::Action(_, flagged, _) => &flagged.tenant,
            Item::Identity(tenant, _) => tenant,
        }
    }

    fn matter(self) -> Matter<'f> {
        match self {
            Item::Action(id, flagged, finding) => flagged.matter(id, finding),
            Item::Identity(_, found) => found.matter(),
        }
    }

    fn is_about(self, accounts: &HashSet<Account>) -> bool {
        match self {
            Item::Action(_, flagged, _) => {
                [flagged.initiator, flagged.executor].into_iter().flatten().any(|who| accounts.contains(&who))
            }
            Item::Identity(_, found) => {
                found.account.iter().chain(&found.others).any(|who| accounts.contains(who))
            }
        }
    }
}

/// What there is to list.
#[derive(Clone, Copy)]
pub(crate) struct Everything<'f> {
    pub(crate) reviewed: &'f Reviewed,
    /// What was found about identities, each with its tenant.
    pub(crate) identities: &'f [(String, IdentityFinding)],
}

/// The findings that `query` wants of `everything`; `principal` is every account that it means, where it means somebody.
///
/// # Errors
/// A name cannot be read.
pub(crate) fn list(
    evidence: &LedgerEvidence<'_>,
    everything: Everything<'_>,
    state: &State,
    hiding: &Hiding<'_>,
    query: &FindingQuery,
    principal: Option<&HashSet<Account>>,
    declared: &dyn Fn(&str) -> Result<DeclaredIn, LedgerError>,
) -> Result<FindingList, LedgerError> {
    let Everything { reviewed, identities } = everything;
    let actions = reviewed.review.flagged().flat_map(|(id, flagged)| {
        flagged.findings.iter().map(move |finding| Item::Action(id, flagged, finding))
    });
    let identities = identities.iter().map(|(tenant, found)| Item::Identity(tenant, found));
    let all: Vec<Item<'_>> = actions
        .chain(identities)
        .filter(|item| {
            let (finding, time) = (item.finding(), item.order().0);
            query.tenant.as_deref().is_none_or(|tenant| tenant == item.tenant())
                && query.rule.as_deref().is_none_or(|rule| rule == finding.rule)
                && query.severity.is_none_or(|least| finding.severity >= least)
                && query.since.is_none_or(|since| time >= since)
                && query.until.is_none_or(|until| time < until)
                && principal.is_none_or(|accounts| item.is_about(accounts))
        })
        .collect();
    let mut suppressed = 0;
    let mut shown = Vec::with_capacity(all.len());
    for item in all {
        let (tenant, rule) = (item.tenant(), &item.finding().rule);
        let is_hidden = hiding.may_hide(tenant, rule)? && hiding.of(tenant, &item.matter())?.is_some();
        suppressed += u64::from(is_hidden);
        if !is_hidden || query.suppressed {
            shown.push(item);
        }
    }
    let mut all = shown;
    // Stable: of one action the gravest stays first.
    all.sort_by_key(|item| std::cmp::Reverse(item.order()));
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for item in &all {
        *counts.entry(item.finding().rule.clone()).or_default() += 1;
    }
    let from = query.after.unwrap_or(0).min(all.len());
    let to = all.len().min(from + query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_FINDINGS));
    let mut writer =
        Writer { evidence, state, declared, hiding, tenants: HashMap::new(), known: HashMap::new() };
    let findings =
        all[from..to].iter().map(|item| writer.row(*item)).collect::<Result<Vec<_>, LedgerError>>()?;
    Ok(FindingList {
        counts,
        suppressed,
        findings,
        next: (to < all.len()).then_some(to),
        records: reviewed.leaves,
    })
}

/// A finding about an identity of `tenant` as a row.
///
/// # Errors
/// A name cannot be read.
pub(crate) fn identity_row(
    evidence: &LedgerEvidence<'_>,
    state: &State,
    tenant: &str,
    found: &IdentityFinding,
    hiding: &Hiding<'_>,
    declared: &dyn Fn(&str) -> Result<DeclaredIn, LedgerError>,
) -> Result<FindingRow, LedgerError> {
    let (tenants, known) = (HashMap::new(), HashMap::new());
    Writer { evidence, state, declared, hiding, tenants, known }.row(Item::Identity(tenant, found))
}

/// Writes rows, with what accounts and credentials are called.
struct Writer<'n> {
    evidence: &'n LedgerEvidence<'n>,
    state: &'n State,
    declared: &'n dyn Fn(&str) -> Result<DeclaredIn, LedgerError>,
    hiding: &'n Hiding<'n>,
    tenants: HashMap<String, DeclaredIn>,
    known: HashMap<Account, String>,
}

impl Writer<'_> {
    fn row(&mut self, item: Item<'_>) -> Result<FindingRow, LedgerError> {
        let (finding, tenant, (time, id)) = (item.finding(), item.tenant(), item.order());
        let (principal, subject, others) = match item {
            Item::Action(_, flagged, _) => {
                (flagged.executor.map(|who| self.name(tenant, who, id)).transpose()?, None, Vec::new())
            }
            Item::Identity(_, found) => (
                found.account.map(|who| self.name_of(tenant, who)).transpose()?,
                found.subject.map(|subject| self.subject(tenant, subject)).transpose()?.flatten(),
                found
                    .others
                    .iter()
                    .map(|who| self.name_of(tenant, *who))
                    .collect::<Result<_, LedgerError>>()?,
            ),
        };
        Ok(FindingRow {
            rule: finding.rule.clone(),
            severity: finding.severity,
            action_id: id,
            time,
            tenant: tenant.to_owned(),
            principal,
            subject,
            others,
            reason: finding.reason.clone(),
            remedy: every_rule().find(|rule| rule.name == finding.rule).map(|rule| rule.remedy.to_owned()),
            controls: finding.controls.clone(),
            suppressed: self.hiding.shown(tenant, &item.matter())?,
        })
    }

    /// What a credential is called, or the first record that tells of a grant.
    fn subject(&self, tenant: &str, subject: Subject) -> Result<Option<String>, LedgerError> {
        match subject {
            Subject::Credential(key) => match self.state.credential(key) {
                Some(facts) => Ok(credential_names(self.evidence, tenant, &facts)?.into_iter().next()),
                None => Ok(None),
            },
            Subject::Grant(key) => Ok(self.grant(key)),
        }
    }

    fn grant(&self, key: GrantKey) -> Option<String> {
        let grant = self.state.grant(key)?;
        let told = grant.changes.iter().map(|change| (change.first, change.record)).min();
        told.map(|(_, record)| record.to_string())
    }

    /// What `account` is called, which some record names.
    fn name_of(&mut self, tenant: &str, account: Account) -> Result<String, LedgerError> {
        match self.state.account(account) {
            Some(facts) => self.name(tenant, account, facts.first_record),
            None => Ok(account.to_string()),
        }
    }

    /// What `account` is called, which the record `id` names.
    fn name(&mut self, tenant: &str, account: Account, id: RecordId) -> Result<String, LedgerError> {
        if let Some(known) = self.known.get(&account) {
            return Ok(known.clone());
        }
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.to_owned(), (self.declared)(tenant)?);
        }
        let principal = self.tenants.get(tenant).and_then(|declared| declared.key_of(account));
        let name = match principal {
            Some(key) => key.to_owned(),
            None => self.sent(account, id)?.unwrap_or_else(|| account.to_string()),
        };
        self.known.insert(account, name.clone());
        Ok(name)
    }

    fn sent(&self, account: Account, id: RecordId) -> Result<Option<String>, LedgerError> {
        let ledger = self.evidence.ledger();
        let Some(index) = ledger.lookup(&Key::Id(id), 1, None)?.first().copied() else { return Ok(None) };
        let names = ledger.names(index)?;
        Ok(names.into_iter().find(|(named, _)| *named == account).map(|(_, name)| name.key))
    }
}
