//! What reports are gathered from.

use std::{sync::RwLockReadGuard, time::Duration};

use deed_identity::Coverage;
use deed_ledger::LedgerError;

use super::Engine;
use crate::identity::{DeclaredIn, Followed, IdentityError};

impl Engine {
    /// Everything that is in the log by now, folded: whoever holds it keeps the fold from going on. Where findings are
    /// held as well, they are asked for first: a review waits for the fold.
    ///
    /// # Errors
    /// It takes longer than `patience`, or cannot be done.
    pub(crate) fn followed(
        &self,
        patience: Duration,
    ) -> Result<RwLockReadGuard<'_, Followed>, IdentityError> {
        self.inner.identities.now(patience)
    }

    /// Systems whose log the inventory calls complete for `coverage`.
    pub(crate) fn complete_for(&self, coverage: Coverage) -> Vec<String> {
        self.inner.joins.complete_for(coverage)
    }

    /// The inventory in force by the accounts of `tenant`.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(crate) fn declared_in(&self, tenant: &str) -> Result<DeclaredIn, LedgerError> {
        self.inner.joins.declared_in(self.ledger(), tenant)
    }
}
