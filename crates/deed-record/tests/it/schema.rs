//! The published schema says what the parser does.

use std::sync::LazyLock;

use deed_record::{parse_one, schema};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{checker::validate, full};

static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(schema::SUBMISSION).expect("the schema is JSON"));

fn full_record() -> Value {
    serde_json::to_value(full::submission()).expect("a record is JSON")
}

/// Whether the parser and the schema take `record`; they must agree.
fn is_taken(record: &Value) -> bool {
    let text = record.to_string();
    let parsed = parse_one(&text, false).map(|_| ()).map_err(|e| e.to_string());
    let valid = validate(&SCHEMA, &SCHEMA, record);
    assert_eq!(parsed.is_ok(), valid.is_ok(), "{text}\nparser: {parsed:?}\nschema: {valid:?}");
    parsed.is_ok()
}

#[test]
fn every_member_of_a_record_is_in_the_schema_and_the_reverse() {
    let (schema, record) = (&*SCHEMA, full_record());
    // Nothing but what is listed may stand in a record, so that the one direction is its validity …
    validate(schema, schema, &record).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(unlisted(schema, schema, "$"), Vec::<String>::new());
    // … and the other that a full one leaves nothing out.
    assert_eq!(absent(schema, schema, &record, "$"), Vec::<String>::new());
}

/// Objects of the schema that leave open what stands in them. Payloads are anybody's.
fn unlisted(root: &Value, schema: &Value, at: &str) -> Vec<String> {
    if at == "$.disclose" {
        return Vec::new();
    }
    let mut open = Vec::new();
    for_each_member(root, schema, at, &mut |_, inner, at| open.extend(unlisted(root, inner, at)));
    if resolved(root, schema).get("properties").is_some()
        && schema_member(root, schema, "additionalProperties") != false
    {
        open.push(at.to_owned());
    }
    open
}

/// Members of the schema that `value` does not have.
fn absent(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if at == "$.disclose" {
        return Vec::new();
    }
    let mut missing = Vec::new();
    for_each_member(root, schema, at, &mut |name, inner, at| {
        let value = value.get(0).unwrap_or(value);
        match value.get(name) {
            Some(value) => missing.extend(absent(root, inner, value, at)),
            None => missing.push(at.to_owned()),
        }
    });
    missing
}

fn for_each_member(root: &Value, schema: &Value, at: &str, each: &mut dyn FnMut(&str, &Value, &str)) {
    let schema = resolved(root, schema);
    let object = schema.get("items").map_or(schema, |items| resolved(root, items));
    for (name, inner) in object.get("properties").and_then(Value::as_object).into_iter().flatten() {
        each(name, inner, &format!("{at}.{name}"));
    }
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => &root["$defs"][reference.trim_start_matches("#/$defs/")],
        None => schema,
    }
}

fn schema_member<'s>(root: &'s Value, schema: &'s Value, keyword: &str) -> &'s Value {
    &resolved(root, schema)[keyword]
}

#[test]
fn every_member_is_described() {
    fn undescribed(schema: &Value, at: &str, missing: &mut Vec<String>) {
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}.{name}");
            if inner["description"].as_str().is_none_or(str::is_empty) {
                missing.push(at.clone());
            }
            undescribed(inner, &at, missing);
            undescribed(&inner["items"], &at, missing);
        }
    }
    let schema = &*SCHEMA;
    let mut missing = Vec::new();
    undescribed(schema, "$", &mut missing);
    for (name, inner) in schema["$defs"].as_object().expect("definitions") {
        undescribed(inner, name, &mut missing);
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn parser_and_schema_refuse_the_same() {
    let good =
        json!({ "kind": "observation", "time": "2026-11-20T10:00:00Z", "executor": { "type": "unknown" } });
    assert!(is_taken(&good));
    let id = "0193a700-1234-7abc-8def-001122334455";
    for (change, expected) in [
        (json!({ "colour": 1 }), false),
        (json!({ "kind": "deed" }), false),
        (json!({ "kind": null }), false),
        (json!({ "kind": { "task": null } }), false),
        (json!({ "time": null }), false),
        (json!({ "time": "yesterday" }), false),
        (json!({ "time": "2026-11-20 10:00:00Z" }), false),
        (json!({ "time": "2026-02-30T10:00:00Z" }), false),
        (json!({ "time": "0001-01-01T00:00:00Z" }), false),
        (json!({ "time": "1969-12-31T23:59:59Z" }), false),
        (json!({ "time": "1970-01-01T00:00:00Z" }), true),
        (json!({ "time": "2199-12-31T23:59:59Z" }), true),
        (json!({ "time": "2200-01-01T00:00:00Z" }), false),
        (json!({ "time": "9999-12-31T23:59:59Z" }), false),
        (
            json!({ "terms": { "expires": "9999-12-31T23:59:59Z", "not_before": "0001-01-01T00:00:00Z" } }),
            true,
        ),
        (json!({ "credential": { "expires": "9999-12-31T23:59:59Z" } }), true),
        (json!({ "basis": "enforced" }), false),
        (json!({ "kind": "gap" }), false),
        (json!({ "kind": "policy" }), false),
        (json!({ "effects": [{ "kind": "policy" }] }), true),
        (json!({ "time": "2026-11-20t12:00:00.123456789+02:00" }), true),
        (json!({ "time": 1 }), false),
        (json!({ "executor": null }), false),
        (json!({ "executor": ["human", null, null, "human", null] }), false),
        (json!({ "executor": { "key": "ann" } }), false),
        (json!({ "executor": { "type": "robot" } }), false),
        (json!({ "executor": { "type": "agent", "key": "" } }), false),
        (json!({ "executor": { "type": "agent", "key": "a", "name": null, "vendor": null } }), true),
        (json!({ "kind": "request", "executor": null }), true),
        (json!({ "kind": "outcome" }), false),
        (json!({ "kind": "outcome", "action": id }), false),
        (json!({ "kind": "outcome", "action": id, "outcome": { "status": "success" } }), true),
        (json!({ "kind": "outcome", "action": id, "outcome": { "status": "fine" } }), false),
        (json!({ "kind": "approval" }), false),
        (json!({ "kind": "approval", "request": id }), true),
        (json!({ "kind": "approval", "action": id, "request": null }), true),
        (json!({ "kind": "approval", "action": null, "request": null }), false),
        (json!({ "kind": "credential" }), false),
        (json!({ "kind": "credential", "credential": {} }), false),
        (json!({ "kind": "credential", "credential": { "jti": null, "scopes": ["x"] } }), false),
        (json!({ "kind": "credential", "credential": { "jti": "4f6c" } }), true),
        (json!({ "kind": "credential", "credential": { "type": "password" } }), true),
        (json!({ "credential": {} }), true),
        (json!({ "credential": { "fingerprint": "hunter2hunter2" } }), false),
        (json!({ "credential": { "fingerprint": "sha256:xyz" } }), false),
        (json!({ "credential": { "fingerprint": "5a".repeat(32) } }), false),
        (json!({ "credential": { "fingerprint": "sha256:".to_owned() + &"5a".repeat(32) } }), true),
        (json!({ "credential": { "fingerprint": "hmac-sha256:".to_owned() + &"5A".repeat(32) } }), true),
        (
            json!({ "credential": { "fingerprint": "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8" } }),
            true,
        ),
        (json!({ "credential": { "fingerprint": (["5A"; 20].join(":")) } }), true),
        (json!({ "credential": { "fingerprint": (["5A"; 21].join(":")) } }), false),
        (
            json!({ "credential": { "fingerprint": "urn:ietf:params:oauth:jwk-thumbprint:sha-256:NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" } }),
            true,
        ),
        (json!({ "artifact": { "name": "x", "digest": "zz" } }), false),
        (json!({ "artifact": { "name": "x", "digest": "sha512:".to_owned() + &"0a".repeat(64) } }), true),
        (json!({ "tool": { "name": "x", "digest": "sha256:zz" } }), false),
        (json!({ "kind": "credential", "credential": { "jti": "" } }), false),
        (json!({ "kind": "tool" }), false),
        (json!({ "kind": "tool", "tool": { "name": "create" } }), true),
        (json!({ "basis": "imported" }), false),
        (json!({ "basis": "imported", "source": { "system": "okta" } }), true),
        (json!({ "basis": "imported", "source": null }), false),
        (json!({ "action": "4711" }), false),
        (json!({ "action": "0193A700-1234-7ABC-8DEF-001122334455" }), true),
        (json!({ "action": "0193a70012347abc8def001122334455" }), false),
        (json!({ "action_event": "e1" }), false),
        (json!({ "action_event": "e1", "source": { "system": "vault", "event_id": "e2" } }), true),
        (json!({ "action_event": "", "source": { "system": "vault" } }), false),
        (json!({ "approvals": [id, null] }), false),
        (json!({ "approvals": [] }), true),
        (json!({ "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736" }), true),
        (json!({ "trace_id": "4BF92F3577B34DA6A3CE929D0E0E4736" }), false),
        (json!({ "trace_id": "00000000000000000000000000000000" }), false),
        (json!({ "span_id": "0000000000000000" }), false),
        (json!({ "parent_span_id": "00f067aa0ba902b7" }), true),
        (json!({ "tenant": "acme-1.eu" }), true),
        (json!({ "tenant": "" }), false),
        (json!({ "tenant": "../x" }), false),
        (json!({ "tenant": "a".repeat(65) }), false),
        (json!({ "retention": "30 days" }), false),
        (json!({ "outcome": { "status": "success", "duration_ms": 9_007_199_254_740_992_i64 } }), true),
        (json!({ "outcome": { "status": "success", "duration_ms": 9_007_199_254_740_993_i64 } }), false),
        (json!({ "outcome": { "status": "success", "duration_ms": u64::MAX } }), false),
        (json!({ "outcome": { "status": "success", "duration_ms": 1.5 } }), false),
        (json!({ "outcome": { "status": "success", "duration_ms": 41.0 } }), true),
        (json!({ "outcome": { "status": "success", "duration_ms": 1e16 } }), false),
        (json!({ "outcome": { "status": "success", "duration_ms": 0 } }), true),
        (json!({ "outcome": { "status": "success", "duration_ms": -1 } }), false),
        (json!({ "outcome": { "status": "success", "duration_ms": -1.0 } }), false),
        (json!({ "outcome": { "status": "success", "duration_ms": "41" } }), false),
        (json!({ "credential": { "scopes": null } }), true),
        (json!({ "credential": { "scopes": "all" } }), false),
        (json!({ "credential": { "scopes": [1] } }), false),
        (json!({ "effects": [{ "kind": "grant" }] }), true),
        (json!({ "effects": [{ "kind": "task" }] }), false),
        (json!({ "effects": [{ "kind": "credential", "credential": { "id": "" } }] }), false),
        (json!({ "effects": [null] }), false),
        (json!({ "chain": [{ "principal": null }] }), false),
        (json!({ "chain": [{ "principal": { "type": "human" }, "scope": null }] }), true),
        (json!({ "disclose": null }), true),
        (json!({ "disclose": [] }), false),
        (json!({ "disclose": { "a": { "b": 1 }, "c": 1, "event": { "_sd": 1 }, "d": null } }), true),
        (json!({ "disclose": { "_sd": 1 } }), false),
        (json!({ "disclose": { "a": { "...": 1 } } }), false),
        (json!({ "disclose": { "a": [{ "_sd": 1 }] } }), true),
    ] {
        let mut record = good.clone();
        for (name, value) in change.as_object().expect("an object") {
            record[name] = value.clone();
        }
        assert_eq!(is_taken(&record), expected, "{change}");
    }
}

/// Every place of `value`, as JSON Pointers.
fn places(value: &Value, at: &str) -> Vec<String> {
    let mut all = vec![at.to_owned()];
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                all.extend(places(value, &format!("{at}/{name}")));
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                all.extend(places(value, &format!("{at}/{index}")));
            }
        }
        _ => {}
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn parser_and_schema_agree_on_damaged_records(
        place in any::<prop::sample::Index>(),
        damage in prop::sample::select(vec![
            json!(null), json!(true), json!(7), json!(-1), json!(1.5), json!(""), json!("x"), json!([]), json!({}),
            json!(["x"]), json!({ "x": 1 }), json!({ "type": "human" }), json!("2026-11-20T10:00:00Z"), json!("success"),
            json!("0193a700-1234-7abc-8def-001122334455"), json!({ "type": "human", "key": "", "x": 1 }), json!("task"),
        ]),
        kind in prop::sample::select(deed_record::Kind::ALL),
        gone in any::<bool>(),
    ) {
        let mut record = full_record();
        record["kind"] = json!(kind);
        let all = places(&record, "");
        let at = &all[place.index(all.len())];
        match at.rsplit_once('/') {
            Some((parent, name)) if gone && record.pointer(parent).is_some_and(Value::is_object) => {
                record.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").remove(name);
            }
            _ => *record.pointer_mut(at).expect("a place") = damage,
        }
        if record.is_object() {
            is_taken(&record);
        }
    }
}
