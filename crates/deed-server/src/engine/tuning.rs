//! What tenants make of rules.

use std::time::Duration;

use deed_gateway::Who;
use deed_ledger::{LedgerError, Receipt};
use deed_record::RecordId;
use deed_review::tuning::Matter;

use super::Engine;
use crate::{
    findings::ReviewError,
    tuning::{
        EndSent, SuppressionList, SuppressionSent, ThresholdsInForce, ThresholdsSent, TuneError, suppress,
        suppressions, thresholds, tune, unsuppress,
    },
};

impl Engine {
    /// Suppresses findings of `tenant` for a time; the record of it.
    ///
    /// # Errors
    /// See [`TuneError`]; nothing is suppressed.
    pub(crate) fn suppress(
        &self,
        tenant: &str,
        sent: &SuppressionSent,
        by: &Who,
    ) -> Result<Receipt, TuneError> {
        suppress(self.ledger(), &self.inner.joins, &self.inner.tunings, tenant, sent, by)
    }

    /// Ends suppression `id` of `tenant`; the record of it.
    ///
    /// # Errors
    /// See [`TuneError`]; it is in force as it was.
    pub(crate) fn unsuppress(
        &self,
        tenant: &str,
        id: RecordId,
        sent: &EndSent,
        by: &Who,
    ) -> Result<Receipt, TuneError> {
        unsuppress(self.ledger(), &self.inner.tunings, tenant, id, sent, by)
    }

    /// The suppressions of `tenant`, and how much each hides.
    ///
    /// # Errors
    /// The store cannot be read, or what was recorded is not reviewed within `patience`.
    pub(crate) fn suppressions(
        &self,
        tenant: &str,
        patience: Duration,
    ) -> Result<SuppressionList, ReviewError> {
        let reviewed = self.inner.findings.now(patience)?;
        let followed = self.inner.identities.now(patience)?;
        let about = self.inner.findings.about_identities(&followed)?;
        let hiding = self.inner.findings.hiding(Some(&followed));
        let theirs = reviewed.review.flagged().filter(|(_, flagged)| flagged.tenant == tenant);
        let actions = theirs
            .flat_map(|(id, flagged)| flagged.findings.iter().map(move |found| flagged.matter(id, found)));
        let identities = about.iter().filter(|(of, _)| of == tenant).map(|(_, found)| found.matter());
        let matters: Vec<Matter<'_>> = actions.chain(identities).collect();
        let (ledger, joins, tunings) = (self.ledger(), &self.inner.joins, &self.inner.tunings);
        let suppressions = suppressions(ledger, joins, tunings, tenant, &hiding, &matters)?;
        Ok(SuppressionList { suppressions, records: reviewed.leaves })
    }

    /// The thresholds in force for `tenant`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn thresholds(&self, tenant: &str) -> Result<ThresholdsInForce, LedgerError> {
        thresholds(self.ledger(), &self.inner.joins, &self.inner.tunings, tenant)
    }

    /// Sets the thresholds of `tenant`; the record of it.
    ///
    /// # Errors
    /// See [`TuneError`]; what was in force still is.
    pub(crate) fn tune(&self, tenant: &str, sent: &ThresholdsSent, by: &Who) -> Result<Receipt, TuneError> {
        tune(self.ledger(), &self.inner.tunings, tenant, sent, by)
    }
}
