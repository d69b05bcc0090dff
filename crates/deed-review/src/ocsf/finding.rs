//! Findings as Detection Findings.

use deed_record::Account;
use serde_json::{Value, json};

use super::{Called, Telling, class, parts};
use crate::{IdentityFinding, Severity, Subject, every_rule, explanation::Finding};

impl Telling<'_> {
    /// About an action. The same evidence gives the same finding under the same name.
    pub(super) fn finding(&self, finding: &Finding) -> Value {
        let uid = format!("{}/{}", self.record.id, finding.rule);
        let mut event = self.detection(finding, uid, json!([self.resource()]));
        event["unmapped"]["integrity"] = self.integrity();
        self.decided(&mut event);
        event
    }

    /// About an identity: the record is the one that shows it best.
    pub(super) fn identity_finding(&self, tenant: &str, found: &IdentityFinding, called: &Called) -> Value {
        let rule = &found.finding.rule;
        let uid = format!("{rule}/{}", found.key(tenant));
        let somebody = |account: &Account, name: Option<&String>| json!({ "uid": account.to_string(), "name": name.filter(|_| self.names), "type": "principal" });
        let whom = found.account.iter().map(|account| somebody(account, called.principal.as_ref()));
        let others = found.others.iter().filter(|other| Some(**other) != found.account);
        let subject = found.subject.iter().map(|subject| {
            let kind = match subject {
                Subject::Credential(_) => "credential",
                Subject::Grant(_) => "grant",
            };
            json!({ "uid": called.subject, "type": kind })
        });
        let named = subject.filter(|_| called.subject.is_some());
        let what = found.resource.iter().map(|uri| json!({ "uid": uri, "name": uri, "type": "resource" }));
        let about = whom.chain(others.map(|other| somebody(other, None))).chain(named).chain(what);
        let mut event = self.detection(&found.finding, uid, about.collect());
        event["unmapped"]["integrity"] = self.integrity();
        event
    }

    fn detection(&self, finding: &Finding, uid: String, resources: Value) -> Value {
        let (class, activity) = (class::FINDING, class::CREATE);
        let (about, done) = class::of(self.record);
        let (severity_id, severity) = match finding.severity {
            Severity::Low => (2, "Low"),
            Severity::Medium => (3, "Medium"),
            Severity::High => (4, "High"),
        };
        let status =
            if finding.suppressed.is_some() { (super::SUPPRESSED, "Suppressed") } else { (1, "New") };
        let rule = every_rule().find(|rule| rule.name == finding.rule);
        json!({
            "activity_id": activity.0, "activity_name": activity.1,
            "class_uid": class.uid, "class_name": class.name,
            "category_uid": class.category.0, "category_name": class.category.1,
            "type_uid": class.uid * 100 + activity.0, "type_name": format!("{}: {}", class.name, activity.1),
            "time": parts::millis(self.record.time),
            "severity_id": severity_id, "severity": severity,
            "status_id": status.0, "status": status.1, "is_alert": finding.suppressed.is_none(),
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
            "resources": resources,
            "evidences": [{ "actor": self.actor(), "api": self.api(), "src_endpoint": self.src_endpoint() }],
            "enrichments": self.enrichments(),
            "unmapped": { "controls": finding.controls },
        })
    }
}
