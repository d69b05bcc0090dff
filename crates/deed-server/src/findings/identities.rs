//! What deserves a look about identities: computed from what is folded when somebody asks, and kept for a while.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use deed_identity::{Coverage, Declarations, Principal};
use deed_ledger::{Ledger, LedgerError, now};
use deed_record::{Account, PrincipalType, Timestamp};
use deed_review::{Directory, IdentityFinding, identity_findings};

use crate::{
    identity::{DeclaredIn, Followed},
    joins::Joins,
    tuning::Tunings,
};

/// How long what was found is good for while nothing new is recorded, in microseconds: a minute. Nothing that these
/// rules ask is shorter than hours.
const GOOD_FOR: i64 = 60_000_000;

/// Looking takes this part of the time at most, where nobody asks for more: a twentieth.
const PART: u32 = 20;

/// What was found, from what, and when.
pub(crate) struct Standing {
    leaves: u64,
    inventory: String,
    /// When.
    pub(crate) at: Timestamp,
    /// How long that took.
    took: Duration,
    /// Each with its tenant.
    pub(crate) findings: Arc<Vec<(String, IdentityFinding)>>,
    /// When each was found first, by what it is called.
    arose: HashMap<String, Timestamp>,
}

impl Standing {
    /// What deserves a look about the identities of every tenant.
    ///
    /// # Errors
    /// A tenant's key cannot be read.
    pub(super) fn look(
        ledger: &Ledger,
        joins: &Joins,
        tunings: &Tunings,
        followed: &Followed,
        before: Option<&Standing>,
    ) -> Result<Self, LedgerError> {
        let begun = Instant::now();
        let at = now();
        let inventory = joins.inventory_digest();
        let findings = found_at(ledger, joins, tunings, followed, at)?;
        let known = |key: &String| before.and_then(|before| before.arose.get(key)).copied().unwrap_or(at);
        let keys = findings.iter().map(|(tenant, found)| found.key(tenant));
        let arose = keys.map(|key| (known(&key), key)).map(|(since, key)| (key, since)).collect();
        let (leaves, findings) = (followed.leaves, Arc::new(findings));
        Ok(Standing { leaves, inventory, at, took: begun.elapsed(), findings, arose })
    }

    /// Those that were not there yet at `since`.
    pub(crate) fn after(&self, since: Timestamp) -> impl Iterator<Item = &(String, IdentityFinding)> {
        self.findings
            .iter()
            .filter(move |(tenant, found)| self.arose.get(&found.key(tenant)).is_some_and(|at| *at > since))
    }

    /// Whether it is too early to look again.
    pub(super) fn is_lately(&self) -> bool {
        let age = now().0 - self.at.0;
        let most = i64::try_from((self.took * PART).as_micros()).unwrap_or(i64::MAX);
        (0..GOOD_FOR.max(most)).contains(&age)
    }

    /// Whether this still holds.
    pub(super) fn is_good(&self, joins: &Joins, followed: &Followed) -> bool {
        let age = now().0 - self.at.0;
        self.leaves == followed.leaves
            && (0..GOOD_FOR).contains(&age)
            && self.inventory == joins.inventory_digest()
    }
}

/// What deserves a look at that moment about the identities of every tenant, each with its tenant.
///
/// # Errors
/// A tenant's key cannot be read.
pub(super) fn found_at(
    ledger: &Ledger,
    joins: &Joins,
    tunings: &Tunings,
    followed: &Followed,
    at: Timestamp,
) -> Result<Vec<(String, IdentityFinding)>, LedgerError> {
    let state = &followed.state;
    let mut findings = Vec::new();
    for tenant in state.tenants() {
        let declared = joins.declared_in(ledger, &tenant)?;
        let directory = InLedger { ledger, joins, declared: &declared, tenant: &tenant };
        let thresholds = tunings.of(ledger, &tenant)?.thresholds();
        let found = identity_findings(state, &directory, &tenant, at, &thresholds);
        findings.extend(found.into_iter().map(|found| (tenant.clone(), found)));
    }
    Ok(findings)
}

/// What the inventory declares, by the accounts of one tenant.
struct InLedger<'l> {
    ledger: &'l Ledger,
    joins: &'l Joins,
    declared: &'l DeclaredIn,
    tenant: &'l str,
}

impl Declarations for InLedger<'_> {
    fn of(&self, account: Account) -> Option<usize> {
        self.declared.of(account)
    }

    fn accounts(&self, principal: usize) -> Vec<Account> {
        self.declared.accounts(principal)
    }

    fn kind(&self, principal: usize) -> PrincipalType {
        self.declared.kind(principal)
    }

    fn not_same(&self, principal: usize) -> Vec<Account> {
        self.declared.not_same(principal)
    }
}

impl Directory for InLedger<'_> {
    fn principal(&self, at: usize) -> Option<&Principal> {
        self.declared.principal(at)
    }

    fn account(&self, name: &str) -> Option<Account> {
        // A tenant whose key cannot be read has no names.
        self.ledger.account(self.tenant, name).ok().flatten()
    }

    fn names_owners(&self) -> bool {
        self.declared.names_owners()
    }

    fn is_complete_for(&self, system: &str, coverage: Coverage) -> bool {
        self.joins.is_complete_for(system, coverage)
    }
}
