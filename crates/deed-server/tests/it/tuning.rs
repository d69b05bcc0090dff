//! Suppressions and thresholds over the API: a token reads those of its tenant, and writes none.

use std::collections::BTreeSet;

use deed_record::Timestamp;
use deed_seal::hash::Hash;
use deed_server::settings::{Right, Settings, Token};
use http::Method;
use serde_json::{Value, json};

use crate::support::{Plain, Running, by, call, get, post};

const ACME: &str = "acme-0123456789abcdef0123456789abcdefg";
const SUPPRESSIONS: &str = "/v1/findings/suppressions";
const THRESHOLDS: &str = "/v1/findings/thresholds";

async fn running() -> Running {
    let token = Token {
        name: "acme".into(),
        hash: Hash::of(ACME.as_bytes()).0,
        tenant: Some("acme".into()),
        rights: BTreeSet::from([Right::Read, Right::Write]),
    };
    Running::with(Settings { tokens: vec![token], ..Settings::default() }).await
}

/// So many days from now.
fn until(days: i64) -> Timestamp {
    Timestamp(deed_ledger::now().0 + days * 86_400_000_000)
}

fn suppress(tenant: &str, more: Value) -> Plain {
    let mut sent = json!({ "rule": "bypass", "reason": "Migration", "until": until(30) });
    for (name, value) in more.as_object().unwrap() {
        sent[name] = value.clone();
    }
    post(&format!("{SUPPRESSIONS}?tenant={tenant}"), "application/json", sent.to_string())
}

fn put(sent: &Value) -> Plain {
    let mut request = post(&format!("{THRESHOLDS}?tenant=acme"), "application/json", sent.to_string());
    *request.method_mut() = Method::PUT;
    request
}

fn delete(id: &str) -> Plain {
    let mut request = post(&format!("{SUPPRESSIONS}/{id}?tenant=acme"), "application/json", "{}");
    *request.method_mut() = Method::DELETE;
    request
}

#[tokio::test]
async fn a_token_reads_what_is_suppressed_for_its_tenant_and_changes_nothing() {
    let running = running().await;
    let given = call(running.http(), suppress("acme", json!({ "principal": "agent:bot" }))).await;
    assert_eq!(given.status, 200, "{}", given.text());
    let other = call(running.http(), suppress("default", json!({}))).await;
    assert_eq!(other.status, 200, "{}", other.text());
    let theirs = call(running.http(), by(ACME, get(SUPPRESSIONS))).await.json();
    let rows = theirs["suppressions"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["id"]), (1, &given.json()["id"]), "{theirs}");
    assert_eq!((&rows[0]["principal"], &rows[0]["state"]), (&json!("agent:bot"), &json!("in_force")));
    let foreign = call(running.http(), by(ACME, get(&format!("{SUPPRESSIONS}?tenant=default")))).await;
    assert_eq!(foreign.status, 403);
    let id = given.json()["id"].as_str().unwrap().to_owned();
    let reasons = get(&format!("{SUPPRESSIONS}?reasons=true"));
    for refused in
        [suppress("acme", json!({})), delete(&id), put(&json!({ "thresholds": {}, "reason": "x" })), reasons]
    {
        assert_eq!(call(running.http(), by(ACME, refused)).await.status, 403);
    }
    assert_eq!(call(running.http(), delete(&id)).await.status, 200);
    assert_eq!(call(running.http(), delete(&id)).await.status, 404);
    let left = call(running.http(), by(ACME, get(SUPPRESSIONS))).await.json();
    assert_eq!(left["suppressions"][0]["state"], "ended");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let running = Running::start().await;
    for (wrong, says) in [
        (json!({ "rule": "bypas" }), "did you mean `bypass`?"),
        (json!({ "rule": "no-such-rule" }), "known are"),
        (json!({ "reason": "" }), "field `reason`"),
        (json!({ "until": until(-1) }), "a time to come"),
        (json!({ "until": until(400) }), "a year at most"),
        (json!({ "credential": " " }), "field `credential`"),
        (json!({ "because": "x" }), "because"),
    ] {
        let answer = call(running.http(), suppress("acme", wrong.clone())).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.text().contains(says), "{wrong}: {}", answer.text());
    }
    assert_eq!(running.size(), 0, "nothing was recorded");
    let set = |thresholds: Value| json!({ "thresholds": thresholds, "reason": "Agreed" });
    for wrong in [json!({ "storm-tries": 1 }), json!({ "standing-days": 0 }), json!({ "days": 1 })] {
        assert_eq!(call(running.http(), put(&set(wrong))).await.status, 400);
    }
    let first = call(running.http(), put(&set(json!({ "storm-tries": 20 })))).await;
    assert_eq!(
        (first.status, &first.json()["thresholds"]["storm-tries"]["value"]),
        (200, &json!(20)),
        "{}",
        first.text()
    );
    // The whole is put: what is not named is as it is by default. Over what is no more it is refused.
    let second = call(running.http(), put(&set(json!({ "dormant-days": 30 })))).await.json();
    assert_eq!(second["thresholds"]["storm-tries"]["value"], 10);
    let mut late = set(json!({}));
    late["over"] = first.json()["record"].clone();
    assert_eq!(call(running.http(), put(&late)).await.status, 412);
    let read = running.get(&format!("{THRESHOLDS}?tenant=acme")).await.json();
    assert_eq!(read["record"], second["record"]);
    assert_eq!(running.get(THRESHOLDS).await.json()["record"], Value::Null);
}
