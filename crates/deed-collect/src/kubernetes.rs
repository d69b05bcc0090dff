//! Kubernetes audit events (`audit.k8s.io/v1`), plain and as the clouds wrap them.
//!
//! Read are events one by one or in an `EventList`, log entries of Google Kubernetes Engine, diagnostic
//! records of Azure Kubernetes Service, and deliveries of CloudWatch Logs, where Amazon's clusters log. The
//! table of what becomes what stands in `docs/collectors.md`.

mod call;
mod effects;
mod gke;
mod who;

use deed_record::{Decision, IMPERSONATION, Outcome, PersonalSent, Ruling, Status, StepType, TermsSent};
use serde_json::Value;

use crate::{
    json, parse,
    shared::{self, own, text},
};
use call::{Call, Stage};

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "kubernetes/7";

/// The records of one event, or of each event in one delivery of CloudWatch Logs.
///
/// What is around an event is taken off it and tells which cluster it is of. What the mapping does not
/// understand is recorded all the same, as what it is.
///
/// # Errors
/// One for each that is no event: not a JSON object, or without an id or a time. The error names the field and
/// completes "line 3, …".
pub fn map(document: &str) -> Vec<Result<String, String>> {
    let document = document.trim();
    let value = match parse::object(document) {
        Ok(value) => value,
        Err(error) => return vec![Err(error)],
    };
    if let Some(list) = messages(&value) {
        let cluster = eks_cluster(&value);
        let each = list.iter().enumerate().map(|(at, event)| {
            message(event, cluster.as_deref()).map_err(|error| format!("message {at}, {error}"))
        });
        return each.collect();
    }
    vec![one(&value, document)]
}

/// The messages of CloudWatch Logs: `logEvents` of a subscription, `events` of `filter-log-events`.
fn messages(value: &Value) -> Option<&Vec<Value>> {
    let list = value.get("logEvents").or_else(|| value.get("events"))?.as_array()?;
    (value.get("auditID").is_none() && list.iter().all(|event| event.get("message").is_some()))
        .then_some(list)
}

/// `ACCOUNT/CLUSTER`, where the log group is that of a cluster: `/aws/eks/CLUSTER/cluster`.
fn eks_cluster(value: &Value) -> Option<String> {
    let group = text(value, &["logGroup"])?.strip_prefix("/aws/eks/")?.strip_suffix("/cluster")?;
    Some(match text(value, &["owner"]) {
        Some(account) => format!("{account}/{group}"),
        None => group.to_owned(),
    })
}

fn message(event: &Value, cluster: Option<&str>) -> Result<String, String> {
    let Some(inner) = text(event, &["message"]) else {
        return Err("field `message`: expected the text of an event".to_owned());
    };
    plain(&parse::object(inner)?, inner.trim(), cluster)
}

fn one(value: &Value, document: &str) -> Result<String, String> {
    if value.get("protoPayload").is_some() {
        return record(&gke::read(value)?, document);
    }
    // Azure: the event is a string, and the resource tells the cluster.
    if value.get("auditID").is_none()
        && let Some(log) = value.get("properties").and_then(|properties| properties.get("log"))
    {
        return azure(value, log);
    }
    plain(value, document, None)
}

fn azure(value: &Value, log: &Value) -> Result<String, String> {
    let Some(inner) = log.as_str().filter(|_| is_audit(value)) else {
        return Err("field `properties.log`: expected an event of the category `kube-audit`".to_owned());
    };
    // …/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/…/managedClusters/CLUSTER, in any case.
    let id = text(value, &["resourceId"]).map(str::to_ascii_lowercase);
    let cluster = id.as_deref().and_then(|id| {
        let parts: Vec<&str> = id.trim_matches('/').split('/').collect();
        match parts[..] {
            [_, subscription, _, group, _, _, _, cluster] => {
                Some(format!("{subscription}/{group}/{cluster}"))
            }
            _ => None,
        }
    });
    let event = parse::object(inner).map_err(|error| format!("field `properties.log`: {error}"))?;
    plain(&event, inner.trim(), cluster.as_deref())
}

/// Clusters log their other components in the same way.
fn is_audit(value: &Value) -> bool {
    text(value, &["category"]).is_none_or(|category| category.starts_with("kube-audit"))
}

fn plain(value: &Value, event: &str, cluster: Option<&str>) -> Result<String, String> {
    record(&Call::read(value, cluster)?, event)
}

fn record(call: &Call<'_>, event: &str) -> Result<String, String> {
    let parties = who::parties(call);
    let event_id = match call.stage {
        Stage::Final => call.id.clone(),
        Stage::Earlier(stage) => format!("{}/{stage}", call.id),
    };
    let mut submission = shared::observed(call.time, MAPPING, call.system(), event_id);
    // All stages of a call are one action: that of the last one, which need not have come yet.
    submission.action_event = call.is_earlier().then(|| own(&call.id));
    submission.chain = (!parties.chain.is_empty()).then_some(parties.chain);
    submission.credential = parties.credential;
    submission.decision = decision(call);
    submission.effects = effects::effects(call);
    submission.executor = Some(parties.executor);
    submission.operation = call.operation().map(json::text);
    submission.outcome = outcome(call);
    submission.permission = call.operation().filter(|_| call.object.is_some()).map(json::text);
    submission.personal = personal(call);
    submission.resource = call.resource();
    submission.terms = parties.impersonated.map(|subject| TermsSent {
        role: Some(IMPERSONATION.into()),
        subject: Some(subject),
        ..TermsSent::default()
    });
    // Whether it would be admitted is all that was asked.
    submission.step_type = call.is_rehearsal().then_some(StepType::PolicyCheck);
    shared::record(&submission, event)
}

/// What the API server's authorizer said, and by which role it allowed it.
fn decision(call: &Call<'_>) -> Option<Decision<'static>> {
    let effect = match call.decision? {
        "allow" => Ruling::Allow,
        "forbid" | "deny" => Ruling::Deny,
        _ => return None,
    };
    Some(Decision {
        effect,
        engine: None,
        errors: Vec::new(),
        obligations: Vec::new(),
        policies: call.reason.map(roles).unwrap_or_default(),
        policy_set: None,
    })
}

/// `RBAC: allowed by RoleBinding "b/ns" of Role "r" to User "u"`: the binding and the role, never the user.
fn roles(reason: &str) -> Vec<deed_record::Text<'static>> {
    let named = |word: &str| {
        let (_, rest) = reason.split_once(&format!(" {word} \""))?;
        let (name, _) = rest.split_once('"')?;
        Some(json::text(format!("{word}/{name}")))
    };
    ["ClusterRoleBinding", "RoleBinding", "ClusterRole", "Role"].into_iter().filter_map(named).collect()
}

fn outcome(call: &Call<'_>) -> Option<Outcome<'static>> {
    let (status, code) = match (&call.ended, call.stage) {
        (Some(ended), Stage::Final) => (ended.status, ended.code.clone()),
        // The answer has begun: a refusal is one already, anything else has not ended.
        (Some(ended), Stage::Earlier(_)) if ended.status == Status::Success => {
            (Status::Unknown, ended.code.clone())
        }
        (Some(ended), Stage::Earlier(_)) => (ended.status, ended.code.clone()),
        (None, _) if call.decision.is_some_and(|decision| decision == "forbid") => (Status::Denied, None),
        (None, _) => return None,
    };
    let duration_ms = call.duration_ms.filter(|_| !call.is_earlier());
    Some(Outcome { code: code.map(json::text), duration_ms, ..Outcome::of(status) })
}

fn personal(call: &Call<'_>) -> Option<PersonalSent<'static>> {
    call.address.map(|address| PersonalSent { address: Some(own(address)), device: None })
}
