//! Findings for whoever is told of them as they arise.

use std::{sync::Arc, time::Duration};

use deed_ledger::LedgerError;
use deed_record::RecordId;
use deed_review::{IdentityFinding, ocsf};
use serde_json::Value;

use super::{AskError, Engine};
use crate::{
    findings::{FindingRow, ReviewError, Standing, identity_row},
    tuning::Hiding,
};

impl Engine {
    /// What deserves a look about identities now.
    ///
    /// # Errors
    /// Identities are not folded within `patience`, or the store cannot be read.
    pub(crate) fn standing(&self, patience: Duration) -> Result<Arc<Standing>, ReviewError> {
        let followed = self.inner.identities.now(patience)?;
        Ok(self.inner.findings.standing(&followed)?)
    }

    /// The same as of lately: at most once a minute, and a twentieth of the time.
    pub(crate) fn standing_lately(&self) -> Option<Arc<Standing>> {
        self.inner.findings.standing_lately()
    }

    /// Whether `rule` makes a finding of action `id`, as far as that is reviewed.
    pub(crate) fn is_found(&self, id: RecordId, rule: &str) -> bool {
        self.inner.findings.is_found(id, rule)
    }

    /// What `does` makes of which findings are suppressed now.
    pub(crate) fn hiding_now<T>(&self, does: impl FnOnce(&Hiding<'_>) -> T) -> T {
        let followed = self.inner.identities.as_it_is();
        does(&self.inner.findings.hiding(Some(&followed)))
    }

    /// A finding about an identity of `tenant`, with what everything is called.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn identity_row(
        &self,
        tenant: &str,
        found: &IdentityFinding,
    ) -> Result<FindingRow, LedgerError> {
        let followed = self.inner.identities.as_it_is();
        let declared = |tenant: &str| self.inner.joins.declared_in(self.ledger(), tenant);
        let hiding = self.inner.findings.hiding(Some(&followed));
        identity_row(&self.evidence(Some(tenant)), &followed.state, tenant, found, &hiding, &declared)
    }

    /// The same as an OCSF event; `None` where the record that shows it is not there.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn tell_identity(
        &self,
        tenant: &str,
        found: &IdentityFinding,
        names: bool,
    ) -> Result<Option<Value>, AskError> {
        let row = self.identity_row(tenant, found).map_err(AskError::Evidence)?;
        let called = ocsf::Called { principal: row.principal, subject: row.subject };
        let mut marked = found.clone();
        marked.finding.suppressed = row.suppressed;
        ocsf::tell_identity(&self.evidence(Some(tenant)), tenant, &marked, &called, names)
    }
}
