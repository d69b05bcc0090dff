//! Secrets in other systems' events do not survive on their way into the ledger (D9).

use deed_collect::{Source, records};
use deed_record::secret::{Fingerprints, excise};
use serde_json::json;

use crate::{CLOUDTRAIL, KUBERNETES, KUBERNETES_GKE, OKTA, SSF, VAULT};

/// Fingerprints that tell nothing, as of a tenant whose key nobody has.
struct Blank;

impl Fingerprints for Blank {
    fn of_token(&self, _: &[u8]) -> String {
        format!("sha256:{}", "0".repeat(64))
    }

    fn of_password(&self, _: &[u8]) -> String {
        format!("hmac-sha256:{}", "0".repeat(64))
    }
}

/// What the ledger seals and keeps of a record.
fn kept(record: &str) -> String {
    excise(record, &Blank).expect("a record").text.into_owned()
}

#[test]
fn session_tokens_of_cloudtrail() {
    assert!(CLOUDTRAIL.matches("IQoJb3JpZ2luX2Vj").count() >= 2, "the fixture holds tokens");
    for mapped in records(Source::CloudTrail, CLOUDTRAIL.as_bytes()) {
        let text = kept(&mapped.expect("maps").record);
        assert!(!text.contains("IQoJb3JpZ2luX2Vj"), "{text}");
    }
}

#[test]
fn what_kubernetes_and_vault_keep() {
    for (source, text) in
        [(Source::Kubernetes, KUBERNETES), (Source::Kubernetes, KUBERNETES_GKE), (Source::Vault, VAULT)]
    {
        // `hunter2` in clear, and in the base64 of a Secret.
        let secrets = ["aHVudGVyMi", "hunter2-hunter2", "hunter2-user", "hvs.CAESI", "c2lnbmF0dXJl"];
        assert!(secrets.iter().any(|secret| text.contains(secret)), "the fixture holds secrets");
        for mapped in records(source, text.as_bytes()).flatten() {
            let text = kept(&mapped.record);
            assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
        }
    }
}

#[test]
fn client_secrets_of_okta() {
    let secret = "q1w2e3r4t5y6u7i8o9p0q1w2e3r4t5y6";
    assert!(OKTA.contains(secret));
    for mapped in records(Source::Okta, OKTA.as_bytes()) {
        let text = kept(&mapped.expect("maps").record);
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn tokens_that_security_events_name() {
    let secrets = ["hunter2-hunter2", "Xk3v9q2m7Lw8Rt5z"];
    assert!(secrets.iter().all(|secret| SSF.contains(secret)));
    for mapped in records(Source::Ssf, SSF.as_bytes()) {
        let text = kept(&mapped.expect("maps").record);
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

#[test]
fn secrets_in_spans() {
    let string = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let span = json!({
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7", "name": "x",
        "startTimeUnixNano": "1795219965993099798", "endTimeUnixNano": "1795219966026311324",
        "status": {"code": 2, "message": "401 for Authorization: Bearer hunter2.hunter2.hunter2"},
        "attributes": [
            string("gen_ai.operation.name", "execute_tool"),
            string("gen_ai.tool.call.arguments", r#"{"password":"hunter2-hunter2","city":"Ulm"}"#),
            string("gen_ai.tool.call.result", "connected to postgres://app:hunter2@db/app"),
            string("api_key", "hunter2hunter2hunter2"),
            {"key": "http.request.header.authorization", "value": {"arrayValue": {"values": [{"stringValue": "Bearer hunter2hunter2hunter2"}]}}},
        ],
    });
    let request = json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).to_string();
    let found: Vec<_> = records(Source::Otlp, request.as_bytes()).map(|r| r.expect("maps").record).collect();
    assert_eq!(found.len(), 1);
    assert!(found[0].matches("hunter2").count() > 8);
    let text = kept(&found[0]);
    assert!(!text.contains("hunter2"), "{text}");
    assert!(text.contains("Ulm"));
}
