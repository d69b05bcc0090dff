//! `GET /v1/findings`: what deserves a look, newest first.

use std::collections::{BTreeMap, HashMap, HashSet};

use deed_ledger::{Key, LedgerError};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::{RULES, Severity, review::Flagged};
use serde::{Deserialize, Serialize};

use super::Reviewed;
use crate::{evidence::LedgerEvidence, identity::DeclaredIn};

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
    /// The action it is about.
    pub action_id: RecordId,
    /// When that happened.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: String,
    /// Who acted: the inventory's key, else the name as it was sent, else the account; `null` where nobody is known.
    pub principal: Option<String>,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The controls that it bears on (G6).
    pub controls: Vec<String>,
}

/// The findings that `query` wants; `principal` is every account that it means, where it means somebody.
///
/// # Errors
/// A name cannot be read.
pub(crate) fn list(
    evidence: &LedgerEvidence<'_>,
    reviewed: &Reviewed,
    query: &FindingQuery,
    principal: Option<&HashSet<Account>>,
    declared: &dyn Fn(&str) -> Result<DeclaredIn, LedgerError>,
) -> Result<FindingList, LedgerError> {
    let mut wanted: Vec<(RecordId, &Flagged)> = reviewed
        .review
        .flagged()
        .filter(|(_, flagged)| {
            let of_them = |accounts: &HashSet<Account>| {
                [flagged.initiator, flagged.executor].into_iter().flatten().any(|who| accounts.contains(&who))
            };
            query.tenant.as_deref().is_none_or(|tenant| tenant == flagged.tenant)
                && query.since.is_none_or(|since| flagged.time >= since)
                && query.until.is_none_or(|until| flagged.time < until)
                && principal.is_none_or(of_them)
        })
        .collect();
    wanted.sort_by_key(|(id, flagged)| std::cmp::Reverse((flagged.time, *id)));
    let is_wanted = |finding: &&deed_review::explanation::Finding| {
        query.rule.as_deref().is_none_or(|rule| rule == finding.rule)
            && query.severity.is_none_or(|least| finding.severity >= least)
    };
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut all = Vec::new();
    for (id, flagged) in wanted {
        for finding in flagged.findings.iter().filter(is_wanted) {
            *counts.entry(finding.rule.clone()).or_default() += 1;
            all.push((id, flagged, finding));
        }
    }
    let from = query.after.unwrap_or(0).min(all.len());
    let to = all.len().min(from + query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_FINDINGS));
    let mut names = Names { evidence, declared, tenants: HashMap::new(), known: HashMap::new() };
    let rows = all[from..to].iter().map(|(id, flagged, finding)| {
        Ok(FindingRow {
            rule: finding.rule.clone(),
            severity: finding.severity,
            action_id: *id,
            time: flagged.time,
            tenant: flagged.tenant.clone(),
            principal: flagged.executor.map(|who| names.of(&flagged.tenant, who, *id)).transpose()?,
            reason: finding.reason.clone(),
            remedy: RULES.iter().find(|rule| rule.name == finding.rule).map(|rule| rule.remedy.to_owned()),
            controls: finding.controls.clone(),
        })
    });
    let findings = rows.collect::<Result<Vec<_>, LedgerError>>()?;
    Ok(FindingList { counts, findings, next: (to < all.len()).then_some(to), records: reviewed.leaves })
}

/// What accounts are called.
struct Names<'n> {
    evidence: &'n LedgerEvidence<'n>,
    declared: &'n dyn Fn(&str) -> Result<DeclaredIn, LedgerError>,
    tenants: HashMap<String, DeclaredIn>,
    known: HashMap<Account, String>,
}

impl Names<'_> {
    /// What `account` is called, which the records of action `id` name.
    fn of(&mut self, tenant: &str, account: Account, id: RecordId) -> Result<String, LedgerError> {
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
