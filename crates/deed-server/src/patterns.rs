//! Patterns of a store: every leaf is read once, the newest first, and what it holds counted.

use std::{
    collections::{BTreeMap, HashSet},
    time::Instant,
};

use deed_ledger::{LedgerError, PACK_LEAVES, Readers};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::{
    Evidence,
    patterns::{Naming, PatternList, Patterns, Wanted},
};
use serde::Deserialize;

use crate::{evidence::LedgerEvidence, findings::Reviewed, identity::Names, tuning::Hiding};

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

/// The rules by which actions were found worth a look.
pub(crate) type Flagged = BTreeMap<RecordId, Vec<String>>;

/// Those of all that was reviewed, without what is suppressed.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn flagged(reviewed: &Reviewed, hiding: &Hiding<'_>) -> Result<Flagged, LedgerError> {
    let mut rules = Flagged::new();
    for (id, found) in reviewed.review.flagged() {
        for finding in &found.findings {
            if hiding.of(&found.tenant, &found.matter(id, finding))?.is_none() {
                rules.entry(id).or_default().push(finding.rule.clone());
            }
        }
    }
    Ok(rules)
}

/// The patterns that `query` wants, of as many records as can be read until `end`, the newest; `accounts` is every account of
/// its principal, where it means somebody.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn patterns(
    evidence: &LedgerEvidence<'_>,
    flagged: &Flagged,
    query: &PatternQuery,
    accounts: Option<HashSet<Account>>,
    end: Instant,
) -> Result<PatternList, LedgerError> {
    let wanted = Wanted { tenant: query.tenant.clone(), since: query.since, until: query.until, accounts };
    let mut patterns = Patterns::of(wanted);
    let snapshot = evidence.ledger().snapshot();
    let mut from = snapshot.size();
    while from > 0 && Instant::now() < end {
        let to = from;
        from = (from - 1) / PACK_LEAVES * PACK_LEAVES;
        snapshot.records(from..to, Readers::Two, &mut |_, record| {
            patterns.see(record);
            Ok::<_, LedgerError>(())
        })?;
    }
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_PATTERNS);
    let told = patterns.tell(limit, &mut ByLog { evidence, names: Names::new(evidence) }, flagged)?;
    Ok(PatternList { records: snapshot.size(), ..told })
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
