//! Patterns of a store: every leaf is read once, and what it holds counted.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::ControlFlow,
};

use deed_ledger::{Key, LedgerError};
use deed_record::{Account, RecordId, Skeleton, Timestamp};
use deed_review::patterns::{PatternList, Patterns, Wanted};
use serde::Deserialize;

use crate::{evidence::LedgerEvidence, findings::Reviewed};

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
    let mut broken = None;
    snapshot.scan(0..snapshot.size(), &mut |index, leaf| match Skeleton::parse(leaf) {
        Ok(record) => {
            patterns.see(&record);
            ControlFlow::Continue(())
        }
        Err(error) => {
            broken = Some(LedgerError::Broken(format!("leaf {index} is no record: {error}")));
            ControlFlow::Break(())
        }
    })?;
    if let Some(broken) = broken {
        return Err(broken);
    }
    let rules = |found: &deed_review::review::Flagged| {
        found.findings.iter().map(|finding| finding.rule.clone()).collect::<Vec<_>>()
    };
    let flagged: BTreeMap<RecordId, Vec<String>> =
        reviewed.review.flagged().map(|(id, found)| (id, rules(found))).collect();
    let mut names: HashMap<(String, Account), String> = HashMap::new();
    let who = |tenant: &str, account: Account, record: RecordId| -> Result<String, LedgerError> {
        if let Some(name) = names.get(&(tenant.to_owned(), account)) {
            return Ok(name.clone());
        }
        let name = name(evidence, tenant, account, record)?;
        names.insert((tenant.to_owned(), account), name.clone());
        Ok(name)
    };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_PATTERNS);
    patterns.tell(limit, who, &flagged)
}

/// The inventory's key, else the name as it was sent, else the account.
fn name(
    evidence: &LedgerEvidence<'_>,
    tenant: &str,
    account: Account,
    record: RecordId,
) -> Result<String, LedgerError> {
    use deed_review::Evidence;
    if let Some(declared) = evidence.declared(tenant, account)? {
        return Ok(declared.key);
    }
    let ledger = evidence.ledger();
    let names = match ledger.lookup(&Key::Id(record), 1, None)?.first() {
        Some(index) => ledger.names(*index)?,
        None => Default::default(),
    };
    let named = names.into_iter().find(|(of, _)| *of == account).map(|(_, name)| name.key);
    Ok(named.unwrap_or_else(|| account.to_string()))
}
