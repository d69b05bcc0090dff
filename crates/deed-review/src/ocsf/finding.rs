//! Findings as Detection Findings.

use serde_json::{Value, json};

use super::{Telling, class, parts};
use crate::{RULES, Severity, explanation::Finding};

impl Telling<'_> {
    pub(super) fn finding(&self, finding: &Finding) -> Value {
        let (class, activity) = (class::FINDING, class::CREATE);
        let (about, done) = class::of(self.record);
        let (severity_id, severity) = match finding.severity {
            Severity::Low => (2, "Low"),
            Severity::Medium => (3, "Medium"),
            Severity::High => (4, "High"),
        };
        let rule = RULES.iter().find(|rule| rule.name == finding.rule);
        // The same evidence gives the same finding under the same name.
        let uid = format!("{}/{}", self.record.id, finding.rule);
        let mut event = json!({
            "activity_id": activity.0, "activity_name": activity.1,
            "class_uid": class.uid, "class_name": class.name,
            "category_uid": class.category.0, "category_name": class.category.1,
            "type_uid": class.uid * 100 + activity.0, "type_name": format!("{}: {}", class.name, activity.1),
            "time": parts::millis(self.record.time),
            "severity_id": severity_id, "severity": severity,
            "status_id": 1, "status": "New", "is_alert": true,
            "message": finding.reason,
            "metadata": self.metadata(uid.clone(), false),
            "finding_info": {
                "uid": uid, "title": finding.rule, "desc": finding.reason,
                "created_time": parts::millis(self.record.recorded),
                "types": [finding.rule],
                "analytic": { "type_id": 1, "type": "Rule", "uid": finding.rule, "name": finding.rule,
                              "desc": rule.map(|rule| rule.means), "version": super::PRODUCT.1 },
                "related_events": [{ "uid": self.record.id, "type_uid": about.uid * 100 + done.0 }],
            },
            "remediation": rule.map(|rule| json!({ "desc": rule.remedy })),
            "resources": [self.resource()],
            "evidences": [{ "actor": self.actor(), "api": self.api(), "src_endpoint": self.src_endpoint() }],
            "enrichments": self.enrichments(),
            "unmapped": { "controls": finding.controls, "integrity": self.integrity() },
        });
        self.decided(&mut event);
        event
    }
}
