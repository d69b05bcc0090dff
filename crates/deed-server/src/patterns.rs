//! Patterns of a store: every leaf is read once, and what it holds counted.

use std::collections::{BTreeMap, HashSet};

use deed_ledger::{LedgerError, Readers};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::{
    Evidence,
    patterns::{Naming, PatternList, Patterns, Wanted},
};
use serde::Deserialize;

use crate::{evidence::LedgerEvidence, findings::Reviewed, identity::Names};

/// Patterns of an answer, unless asked for otherwise.
pub(crate) const DEFAULT_LIMIT: usize = 50;
/// Most patterns of an answer.
pub(crate) const MOST_PATTERNS: usize = 1000;

/// Which actions are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatternQuery {
    /// Whose.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// At or after this time.
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    /// Before this time.
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
    /// Of tasks in which they acted or asked, by key or alias.
    #[serde(default)]
    pub(crate) principal: Option<String>,
    /// Most patterns.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
}

/// The patterns that `query` wants; `accounts` is every account of its principal, where it means somebody.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn patterns(
    evidence: &LedgerEvidence<'_>,
    reviewed: &Reviewed,
    query: &PatternQuery,
    accounts: Option<HashSet<Account>>,
) -> Result<PatternList, LedgerError> {
    let wanted = Wanted { tenant: query.tenant.clone(), since: query.since, until: query.until, accounts };
    let mut patterns = Patterns::of(wanted);
    let snapshot = evidence.ledger().snapshot();
    snapshot.records(0..snapshot.size(), Readers::Two, &mut |_, record| {
        patterns.see(record);
        Ok::<_, LedgerError>(())
    })?;
    let rules = |found: &deed_review::review::Flagged| {
        found.findings.iter().map(|finding| finding.rule.clone()).collect::<Vec<_>>()
    };
    let flagged: BTreeMap<RecordId, Vec<String>> =
        reviewed.review.flagged().map(|(id, found)| (id, rules(found))).collect();
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_PATTERNS);
    patterns.tell(limit, &mut ByLog { evidence, names: Names::new(evidence) }, &flagged)
}

/// Names as the inventory has them, else as they were sent.
struct ByLog<'e> {
    evidence: &'e LedgerEvidence<'e>,
    names: Names<'e>,
}

impl Naming for ByLog<'_> {
    type Error = LedgerError;

    fn declared(&mut self, tenant: &str, account: Account) -> Result<Option<String>, LedgerError> {
        Ok(self.evidence.declared(tenant, account)?.map(|declared| declared.key))
    }

    fn called(&mut self, _tenant: &str, account: Account, record: RecordId) -> Result<String, LedgerError> {
        Ok(self.names.of(account, record)?.map_or_else(|| account.to_string(), |name| name.key))
    }
}
