//! Any records about a few accounts, credentials, grants and systems.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::records::{enforced, gap, issues, logged, party, told, uses};

/// What is said besides: how it was used, by what, and how it ended.
fn any_use() -> impl Strategy<Value = Value> {
    let permission = prop::option::of((0..60_u8).prop_map(|n| format!("p:{n}")));
    let instance = prop::option::of((0..12_u8).prop_map(|n| format!("run-{n}")));
    let device = prop::option::of((0..12_u8).prop_map(|n| format!("psdn:{n:032x}")));
    let task = prop::option::of(prop::sample::select(vec!["T-1", "T-2"]));
    let status = prop::option::of(prop::sample::select(vec!["success", "denied", "failure", "timed_out"]));
    (permission, instance, device, task, status).prop_map(|(permission, instance, device, task, status)| {
        let mut more = json!({});
        if let Some(permission) = permission {
            more["permission"] = permission.into();
        }
        if let Some(instance) = instance {
            more["instance"] = instance.into();
        }
        if let Some(device) = device {
            more["personal"] = json!({ "device": device, "address": device });
        }
        if let Some(task) = task {
            more["task"] = task.into();
        }
        if let Some(status) = status {
            more["outcome"] = json!({ "status": status });
        }
        more
    })
}

/// `record`, with what `more` says of its use.
fn used(mut record: Value, more: Value) -> Value {
    let Value::Object(more) = more else { return record };
    for (name, value) in more {
        match &*name {
            "instance" => record["executor"]["instance"] = value,
            _ => record[&name] = value,
        }
    }
    record
}

pub(crate) fn any_record() -> impl Strategy<Value = Value> {
    let name = prop::sample::select(vec!["ann", "bot", "role", "other", "vendor"]);
    let kind = prop::sample::select(vec!["human", "agent", "service_account", "third_party", "unknown"]);
    let key = prop::sample::select(vec!["k1", "k2", "k3", "k4"]);
    let change = prop::sample::select(vec!["issued", "revoked", "rotated", "renewed", "expired", "altered"]);
    let system = prop::sample::select(vec!["aws", "k8s", "okta"]);
    let who = (name.clone(), kind.clone(), name.clone(), kind);
    (0..6000_u32, who, (key.clone(), key), change, system, 0..17_u8, any_use()).prop_map(
        |(number, (executor, kind, other, other_kind), (key, second), change, system, sort, more)| {
            let (executor, other) = (party(executor, kind), party(other, other_kind));
            match sort {
                0 => used(logged(number, system, uses(key, executor)), more),
                1 => logged(number, system, issues(executor, key, second, other)),
                2 => used(told(number, system, uses(key, executor)), more),
                3 => used(enforced(number, json!({
                    "kind": "intent", "executor": executor, "initiator": other, "environment": system,
                    "tool": { "server": system, "name": key }, "credential": { "jti": key, "upstream": second },
                })), more),
                4 => enforced(number, json!({
                    "kind": "grant", "resource": { "uri": second },
                    "terms": { "change": change, "role": key, "subject": executor, "by": other },
                })),
                5 => logged(number, system, json!({
                    "executor": executor,
                    "effects": [{ "kind": "grant", "terms": { "change": change, "scopes": [key], "subject": other } }],
                })),
                6 => used(logged(number, system, json!({
                    "executor": executor, "credential": { "id": key, "fingerprint": second }, "operation": change,
                    "chain": [{ "principal": other, "credential": second }],
                })), more),
                7 => enforced(number, json!({
                    "kind": "outcome", "action": "0193a700-0000-8000-8000-000000000001", "executor": executor,
                    "outcome": { "status": if system == "aws" { "denied" } else { "failure" } },
                })),
                8 => logged(number, system, json!({
                    "executor": executor, "effects": [{ "kind": "principal", "terms": { "change": change, "subject": other } }],
                })),
                9 => gap(number, system),
                12 => logged(number, system, json!({
                    "executor": executor, "resource": { "uri": key },
                    "effects": [{ "kind": "grant", "resource": { "uri": "*" }, "terms": { "change": change, "role": "r", "subject": other } }],
                })),
                13 => logged(number, system, json!({
                    "executor": executor, "resource": { "uri": key },
                    "effects": [
                        { "kind": "grant", "resource": { "uri": "*" }, "terms": { "change": "altered", "role": "r", "subject": other } },
                        { "kind": "grant", "resource": { "uri": key }, "terms": { "change": change, "role": "r" } },
                    ],
                })),
                14 => logged(number, system, json!({
                    "executor": executor, "resource": { "uri": key, "type": "lock" },
                    "effects": [{ "kind": "principal", "terms": { "change": change, "subject": other } }],
                })),
                15 => logged(number, system, json!({
                    "executor": executor,
                    "effects": [{ "kind": "principal", "resource": { "uri": key, "type": "lock" }, "terms": { "change": "renewed" } }],
                })),
                16 => logged(number, system, json!({
                    "kind": "grant", "executor": executor, "request": "0193a700-0000-8000-8000-000000000002",
                    "terms": { "change": change, "scopes": [key], "subject": other },
                })),
                10 => enforced(number, json!({
                    "kind": "grant", "grant": "0193a700-0000-8000-8000-000000000001", "approvals": ["0193a700-0000-8000-8000-000000000002"],
                    "terms": { "change": change, "scopes": [key, second], "subject": executor },
                })),
                _ => enforced(number, json!({
                    "kind": "credential", "credential": { "id": key, "parent": second, "issued": "2026-10-01T10:00:00.000000Z" }, "executor": executor,
                    "terms": { "change": change, "subject": other, "expires": "2026-11-01T11:00:00.000000Z" },
                })),
            }
        },
    )
}
