//! Other tokens than those of agents with keys: workloads' JWT-SVIDs, and transaction tokens.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use deed_ledger::Key;
use deed_record::Change;
use deed_token::SigningKey;
use serde_json::{Value, json};

use super::world::{Ask, TICKETS, World, ann, seconds};

const WORKLOAD: &str = "spiffe://acme.example/ns/ci/sa/builder";

/// A key as SPIRE makes them, and the bundle with it.
fn authority() -> (SigningKey, Value) {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
    let key = SigningKey::es256(pkcs8.as_ref()).unwrap();
    let mut jwk = key.public().to_jwk();
    jwk["use"] = json!("jwt-svid");
    jwk.as_object_mut().unwrap().remove("alg");
    let bundle = json!({ "keys": [jwk], "spiffe_sequence": 1 });
    (key, bundle)
}

fn svid(key: &SigningKey, audience: &str) -> String {
    let kid = json!(key.public().thumbprint().to_string());
    let claims = json!({ "sub": WORKLOAD, "aud": [audience], "exp": seconds() + 60 });
    key.sign("JWT", &[("kid", kid)], &claims).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_is_who_its_svid_says() {
    let (key, bundle) = authority();
    let world = World::beside(&bundle.to_string()).await;
    let person = ann(json!({}));
    let ask = |svid: &str| Ask::of(&person, "coder").by(svid).with(&format!("resource={TICKETS}"));
    let good = svid(&key, "https://deed.example");
    let token = world.token(ask(&good)).await;
    assert_eq!(world.introspect(&token).await["act"], json!({ "sub": WORKLOAD, "deed_type": "workload" }));
    // It has no id, and may be shown again.
    assert_eq!(world.ask(ask(&good)).await.status, 200);
    let (stranger, _) = authority();
    for bad in [svid(&key, "https://other.example"), svid(&stranger, "https://deed.example")] {
        assert_eq!(world.ask(ask(&bad)).await.json()["error"], "invalid_client");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_token_is_issued_where_that_is_turned_on_and_recorded() {
    let world = World::start().await;
    let token = world.token(Ask::of(&ann(json!({})), "coder").with(&format!("resource={TICKETS}"))).await;
    let more = "requested_token_type=urn:ietf:params:oauth:token-type:txn_token&scope=tickets:read";
    let answer = world.ask(Ask::of(&token, "coder").with(more)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["token_type"], "N_A");
    let engine = &base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let payload = answer["access_token"].as_str().unwrap().split('.').nth(1).unwrap().to_owned();
    let claims: Value = serde_json::from_slice(&base64::Engine::decode(engine, payload).unwrap()).unwrap();
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!("acme.internal"), &json!("tickets:read")));

    let ledger = world.server.engine().ledger();
    let name = claims["txn"].as_str().unwrap();
    let leaf = ledger.lookup(&Key::Credential { tenant: "acme", name }, 1, None).unwrap()[0];
    let sealed = ledger.leaf(leaf).unwrap();
    let record = sealed.skeleton().unwrap();
    let credential = record.credential.unwrap();
    assert_eq!(record.terms.unwrap().change, Some(Change::Issued));
    assert_eq!(credential.kind.as_deref(), Some("txn_token"));
    assert_eq!(credential.parent.as_deref(), claims["deed"]["parent"].as_str());
    // It is no access token, and is exchanged for nothing.
    let again = world.ask(Ask::of(answer["access_token"].as_str().unwrap(), "coder")).await;
    assert_eq!(again.json()["error"], "invalid_request");
}
