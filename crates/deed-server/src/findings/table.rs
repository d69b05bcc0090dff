//! What was found, as rows for SQL.

use std::time::Duration;

use deed_query::Finding;
use deed_review::tuning::Matter;

use super::Findings;
use crate::engine::Engine;

/// How long a query waits for what is not reviewed yet.
const PATIENCE: Duration = Duration::from_secs(20);

/// The findings of one store. Holds it only while a query runs.
pub(crate) struct Table(pub(crate) Engine);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

impl deed_query::Findings for Table {
    fn all(&self, tenant: Option<&str>) -> Result<Vec<Finding>, String> {
        self.0.reviewed().rows(tenant)
    }
}

impl Findings {
    fn rows(&self, tenant: Option<&str>) -> Result<Vec<Finding>, String> {
        let reviewed = self.now(PATIENCE).map_err(|error| error.to_string())?;
        let theirs = |of: &str| tenant.is_none_or(|tenant| tenant == of);
        let followed = self.kept.identities.now(PATIENCE).map_err(|error| error.to_string())?;
        let hiding = self.hiding(Some(&followed));
        let by =
            |tenant: &str, matter: &Matter<'_>| hiding.of(tenant, matter).map_err(|error| error.to_string());
        let mut rows = Vec::new();
        for (action, flagged) in reviewed.review.flagged().filter(|(_, flagged)| theirs(&flagged.tenant)) {
            for finding in &flagged.findings {
                rows.push(Finding {
                    rule: finding.rule.clone(),
                    severity: finding.severity.as_str().to_owned(),
                    time: flagged.time,
                    tenant: flagged.tenant.clone(),
                    action,
                    principal: flagged.executor,
                    reason: finding.reason.clone(),
                    controls: finding.controls.clone(),
                    suppressed_by: by(&flagged.tenant, &flagged.matter(action, finding))?,
                });
            }
        }
        drop(reviewed);
        let about = self.about_identities(&followed).map_err(|error| error.to_string())?;
        for (tenant, found) in about.iter().filter(|(of, _)| theirs(of)) {
            rows.push(Finding {
                rule: found.finding.rule.clone(),
                severity: found.finding.severity.as_str().to_owned(),
                time: found.time,
                tenant: tenant.clone(),
                action: found.record,
                principal: found.account,
                reason: found.finding.reason.clone(),
                controls: found.finding.controls.clone(),
                suppressed_by: by(tenant, &found.matter())?,
            });
        }
        Ok(rows)
    }
}
