//! `GET /v1/principals/{key}`.

use serde_json::{Value, json};

use crate::support::{Running, array, call, get};

/// Record `n` of GitHub's log about what ann did.
fn logged(n: u32, more: &Value) -> String {
    let mut record = json!({
        "kind": "observation", "basis": "imported", "time": format!("2026-11-20T10:00:0{n}Z"), "executor": ann(),
        "source": { "system": "github:acme", "event_id": n.to_string() },
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record.to_string()
}

fn ann() -> Value {
    json!({ "key": "github:ann", "type": "unknown" })
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_was_suspended_is_told_to_be() {
    let running = Running::start().await;
    let effect = |change: &str| {
        let terms = json!({ "change": change, "subject": ann() });
        json!({ "effects": [{ "kind": "principal", "terms": terms }] })
    };
    running.append(&array(&[logged(1, &effect("issued")), logged(2, &effect("revoked"))])).await;
    let answer = call(running.http(), get("/v1/principals/github:ann")).await.json();
    let changes: Vec<_> =
        answer["changes"].as_array().unwrap().iter().map(|c| (&c["change"], &c["basis"])).collect();
    assert_eq!(changes, [(&json!("issued"), &json!("imported")), (&json!("revoked"), &json!("imported"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_has_its_names_whichever_was_known_first() {
    let running = Running::start().await;
    let changed = |change: &str| {
        json!({ "effects": [{
            "kind": "credential", "credential": { "id": "github:token/555" },
            "terms": { "change": change, "subject": ann() },
        }] })
    };
    let fingerprint = format!("sha256:{}", "a1".repeat(32));
    let both = json!({ "id": "github:token/555", "fingerprint": fingerprint });
    let records = [
        logged(1, &changed("requested")),
        logged(2, &changed("issued")),
        logged(3, &json!({ "credential": both })),
    ];
    running.append(&array(&records)).await;
    let answer = call(running.http(), get("/v1/principals/github:ann")).await;
    let credential = &answer.json()["credentials"][0];
    assert_eq!(credential["credential"], "github:token/555", "{}", answer.text());
    assert_eq!(credential["names"], json!(["github:token/555", fingerprint]));
}
