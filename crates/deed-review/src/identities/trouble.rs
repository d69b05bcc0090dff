//! What went wrong again and again, and what is missing.

use super::{IdentityFinding, Look, count};
use crate::{
    Rule,
    words::{Severity, moment},
};

pub(super) const RETRY_STORM: Rule = Rule {
    name: "retry-storm",
    means: "the same was tried in vain many times within minutes",
    remedy: "stop whoever does it (`deed suspend`), then read why it fails",
    controls: &["DE.CM-09", "SC-5", "ASI08"],
};
pub(super) const SOURCE_GAP: Rule = Rule {
    name: "source-gap",
    means: "records are missing: Deed itself says that it could not record for a time",
    remedy: "look at what the systems behind logged meanwhile; mend what stood in the way",
    controls: &["DE.CM-09", "AU-5", "AU-12"],
};

/// Tries are counted within ten minutes of the clock, in microseconds.
const STRETCH: i64 = 600_000_000;

impl Look<'_> {
    pub(super) fn tried(&mut self) {
        for tried in self.state.tried(self.tenant) {
            let number = tried.denied + tried.failed;
            if number < u64::from(self.thresholds.storm_tries) {
                continue;
            }
            let on = tried.resource.as_ref().map_or_else(String::new, |resource| format!(" on `{resource}`"));
            let reason = format!(
                "`{}`{on} was tried in vain {number} times from {} to {}: {} denied, {} failed",
                tried.what,
                moment(tried.first.0),
                moment(tried.last.0),
                tried.denied,
                tried.failed
            );
            let account = Some(self.who(tried.account).head);
            self.find(IdentityFinding {
                account,
                resource: tried.resource.clone(),
                occurrence: format!("{}{on} {}", tried.what, tried.first.0.0 / STRETCH),
                ..IdentityFinding::new(&RETRY_STORM, Severity::Medium, reason, tried.last)
            });
        }
    }

    pub(super) fn sources(&mut self) {
        for source in self.state.sources(self.tenant) {
            let Some(last) = source.last_gap else { continue };
            let gaps = count(source.gaps as i64, "gap");
            let reason = format!("{gaps} in what `{}` tells, the last at {}", source.system, moment(last.0));
            let found = IdentityFinding::new(&SOURCE_GAP, Severity::Medium, reason, last);
            self.find(IdentityFinding { occurrence: format!("{} {}", source.system, last.0), ..found });
        }
    }
}
