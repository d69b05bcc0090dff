//! Entries of Cloud Logging with the audit log of Google Kubernetes Engine.

use deed_record::Status;
use serde_json::Value;

use super::call::{Call, Ended, Object, Stage};
use crate::shared::{self, text};

/// Reads a `LogEntry` whose `protoPayload` is an `AuditLog`.
pub(super) fn read(value: &Value) -> Result<Call<'_>, String> {
    let payload = |path: &[&str]| text(value, &[&["protoPayload"], path].concat());
    let insert_id = text(value, &["insertId"]).ok_or("field `insertId`: missing")?;
    let time = match text(value, &["timestamp"]) {
        Some(time) => shared::time("timestamp", time)?,
        None => return Err("field `timestamp`: missing".to_owned()),
    };
    // A call that takes long is logged when it comes in and when it is over, as one operation.
    let marked = |name: &str| shared::at(value, &["operation", name]).and_then(Value::as_bool) == Some(true);
    let operation = text(value, &["operation", "id"]);
    let (id, stage) = match operation {
        Some(id) if marked("last") => (id, Stage::Final),
        Some(id) if marked("first") => (id, Stage::Earlier("first")),
        _ => (insert_id, Stage::Final),
    };
    let method = payload(&["methodName"]);
    let object = payload(&["resourceName"]).and_then(object);
    let permission = shared::at(value, &["protoPayload", "authorizationInfo"]).and_then(|all| all.get(0));
    let granted = permission.and_then(|info| info.get("granted")).and_then(Value::as_bool);
    let label = |name: &str| text(value, &["labels", name]);
    Ok(Call {
        id: id.to_owned(),
        stage,
        time,
        duration_ms: None,
        cluster: cluster(value),
        // `io.k8s.core.v1.pods.exec.create`
        verb: method.and_then(|method| method.rsplit('.').next()),
        object,
        path: payload(&["resourceName"]).filter(|_| object.is_none()),
        dry_run: false,
        user: None,
        user_name: payload(&["authenticationInfo", "principalEmail"])
            .or_else(|| payload(&["authenticationInfo", "principalSubject"])),
        acted_as: None,
        delegation: delegation(value),
        decision: label("authorization.k8s.io/decision")
            .or_else(|| granted.map(|granted| if granted { "allow" } else { "forbid" })),
        reason: label("authorization.k8s.io/reason"),
        ended: ended(value),
        address: payload(&["requestMetadata", "callerIp"])
            .or_else(|| payload(&["requestMetadata", "callerIP"])),
        annotations: value.get("labels"),
        request: shared::at(value, &["protoPayload", "request"]),
        response: shared::at(value, &["protoPayload", "response"]),
    })
}

/// `PROJECT/LOCATION/CLUSTER`.
fn cluster(value: &Value) -> Option<String> {
    let label = |name: &str| text(value, &["resource", "labels", name]);
    let name = label("cluster_name")?;
    let before = [label("project_id"), label("location")];
    Some(before.into_iter().flatten().chain([name]).collect::<Vec<_>>().join("/"))
}

/// `core/v1/namespaces/default/pods/NAME/exec`, `rbac.authorization.k8s.io/v1/clusterroles/NAME`.
fn object(name: &str) -> Option<Object<'_>> {
    let mut parts = name.split('/');
    let group = parts.next().filter(|group| !group.is_empty() && *group != "core");
    // Without a version it is a path such as `healthz`.
    parts.next().filter(|version| version.starts_with('v'))?;
    let rest: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let (namespace, rest) = match &rest[..] {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && *rest != ["status"] => {
            (Some(*namespace), rest)
        }
        rest => (None, rest),
    };
    let [resource, rest @ ..] = rest else { return None };
    let subresource = rest.get(1).copied();
    Some(Object { group, resource, namespace, name: rest.first().copied(), subresource })
}

fn delegation(value: &Value) -> Vec<&str> {
    let all = shared::at(value, &["protoPayload", "authenticationInfo", "serviceAccountDelegationInfo"]);
    let each = all.and_then(Value::as_array).into_iter().flatten();
    each.filter_map(|info| {
        text(info, &["firstPartyPrincipal", "principalEmail"]).or_else(|| text(info, &["principalSubject"]))
    })
    .collect()
}

/// `status` is a `google.rpc.Status`, and left out or empty where all went well.
fn ended(value: &Value) -> Option<Ended> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let code = shared::at(value, &["protoPayload", "status", "code"]).and_then(Value::as_u64).unwrap_or(0);
    let status = match code {
        0 => return Some(Ended { status: Status::Success, code: None }),
        1 => Status::Cancelled,
        4 => Status::TimedOut,
        7 | 16 => Status::Denied,
        _ => Status::Failure,
    };
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    Some(Ended { status, code: Some(name.map_or_else(|| code.to_string(), |name| (*name).to_owned())) })
}
