//! Questions: lists, single actions, explanations, traces.

use serde_json::Value;

use crate::support::{Running, array, call, get, observation, post};

const INTENT: &str = "0193a7b0-0000-7000-8000-0000000000a1";
const OUTCOME: &str = "0193a7b0-0000-7000-8000-0000000000a2";
const REQUEST: &str = "0193a7b0-0000-7000-8000-0000000000b1";
const APPROVAL: &str = "0193a7b0-0000-7000-8000-0000000000b2";
const GRANT: &str = "0193a7b0-0000-7000-8000-0000000000b3";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A request, its approval and grant, an intent that relies on them, its outcome.
fn story() -> String {
    format!(
        r#"[
        {{"kind":"request","id":"{REQUEST}","time":"2026-11-20T09:00:00Z","terms":{{"by":{{"key":"svc:db-job","type":"service_account"}},"role":"schema-admin"}}}},
        {{"kind":"approval","id":"{APPROVAL}","time":"2026-11-20T09:10:00Z","request":"{REQUEST}","terms":{{"by":{{"key":"human:bob","type":"human","name":"Bob"}},"answer":"approved"}}}},
        {{"kind":"grant","id":"{GRANT}","time":"2026-11-20T09:11:00Z","request":"{REQUEST}","terms":{{"subject":{{"key":"svc:db-job","type":"service_account"}},"role":"schema-admin","scopes":["db:alter"],"expires":"2026-11-20T12:00:00Z","change":"issued"}}}},
        {{"kind":"intent","id":"{INTENT}","time":"2026-11-20T10:00:00Z","trace_id":"{TRACE}","span_id":"00f067aa0ba902b7","initiator":{{"key":"human:ann","type":"human","name":"Ann"}},"executor":{{"key":"svc:db-job","type":"service_account"}},"request":"{REQUEST}","approvals":["{APPROVAL}"],"grant":"{GRANT}","permission":"db:alter","operation":"db/alter","resource":{{"uri":"db:/orders"}},"decision":{{"effect":"allow","policy_set":"sha256:3f2a91c4","policies":["alter"]}},"disclose":{{"arguments":{{"sql":"ALTER TABLE orders"}}}}}},
        {{"kind":"outcome","id":"{OUTCOME}","action":"{INTENT}","time":"2026-11-20T10:00:01Z","executor":{{"key":"svc:db-job","type":"service_account"}},"outcome":{{"status":"failure","code":"42501","duration_ms":41}}}}
        ]"#
    )
}

async fn ids(running: &Running, query: &str) -> Vec<String> {
    let answer = running.get(&format!("/v1/actions?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    let page = answer.json();
    page["actions"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_explained_by_any_of_its_records() {
    let running = Running::start().await;
    running.record(&story()).await;
    for id in [INTENT, OUTCOME] {
        let explanation = running.get(&format!("/v1/actions/{id}/explain")).await.json();
        assert_eq!(explanation["action"]["id"], INTENT);
        assert_eq!(explanation["initiator"]["key"], "human:ann");
        assert_eq!(explanation["initiator"]["name"], "Ann");
        assert_eq!(explanation["executor"]["key"], "svc:db-job");
        assert_eq!(explanation["request"]["id"], REQUEST);
        assert_eq!(explanation["approvals"][0]["id"], APPROVAL);
        assert_eq!(explanation["grant"]["id"], GRANT);
        assert_eq!(explanation["outcome"]["status"], "failure");
        assert_eq!(explanation["disclosable"], serde_json::json!(["arguments.sql", "initiator.name"]));
        assert_eq!(explanation["evidence"]["index"], 3);

        let one = running.get(&format!("/v1/actions/{id}")).await.json();
        assert_eq!(one["action"]["id"], INTENT);
        assert_eq!(one["action"]["status"], "failure");
        let records = one["records"].as_array().unwrap();
        let indexes: Vec<u64> = records.iter().map(|record| record["index"].as_u64().unwrap()).collect();
        assert_eq!(indexes, [0, 1, 2, 3, 4]);
        for record in records {
            // The sealed bytes as they are: they hash to the leaf.
            let leaf = running.server.engine().ledger().leaf(record["index"].as_u64().unwrap()).unwrap();
            assert_eq!(record["leaf_hash"], deed_seal::hash::leaf_hash(&leaf.leaf).to_string());
            assert_eq!(record["record"], serde_json::from_slice::<Value>(&leaf.leaf).unwrap());
        }
    }
    // A grant is part of no action.
    let answer = running.get(&format!("/v1/actions/{GRANT}/explain")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_shows_its_steps() {
    let running = Running::start().await;
    running.record(&story()).await;
    let trace = running.get(&format!("/v1/traces/{TRACE}")).await.json();
    assert_eq!(trace["trace_id"], TRACE);
    assert_eq!(trace["steps"].as_array().unwrap().len(), 1);
    assert_eq!(trace["steps"][0]["id"], INTENT);
    assert_eq!(trace["steps"][0]["outcome"]["status"], "failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_finds_and_leaves_out() {
    let running = Running::start().await;
    running.record(&story()).await;
    let others = running.record(&array(&[observation(1, "agent:a"), observation(2, "agent:b")])).await;
    let [first, second] = [&*others[0], &*others[1]];
    assert_eq!(ids(&running, "").await, [second, first, INTENT]);
    let fingerprint = format!("sha256:{:064x}", 2);
    for (query, expected) in [
        (&*format!("trace={TRACE}"), &[INTENT][..]),
        ("initiator=human:ann", &[second, first, INTENT]),
        ("initiator=human:bob", &[]),
        ("executor=agent:b", &[second]),
        ("principal=svc:db-job", &[INTENT]),
        ("principal=human:ann", &[second, first, INTENT]),
        (&format!("credential={fingerprint}"), &[second]),
        ("tool=tickets/create", &[second, first]),
        ("tool=create", &[second, first]),
        ("tool=tickets", &[]),
        ("tool=files/create", &[]),
        ("resource=ticket:/1", &[first]),
        ("resource=db:/orders", &[INTENT]),
        ("effect=allow", &[INTENT]),
        ("effect=deny", &[]),
        ("status=failure", &[INTENT]),
        ("status=success", &[second, first]),
        ("since=2026-11-20T10:00:00Z", &[second, first, INTENT]),
        ("since=2026-11-20T10:00:00.000001Z", &[]),
        ("until=2026-11-20T10:00:00Z", &[]),
        ("text=ORDERS", &[INTENT]),
        ("text=db:alt", &[INTENT]),
        ("text=nowhere", &[]),
        ("tenant=default", &[second, first, INTENT]),
        ("tenant=acme", &[]),
        ("tenant=acme&executor=agent:b", &[]),
        ("executor=agent:b&text=orders", &[]),
        ("executor=agent:b&status=success&tool=tickets/create", &[second]),
    ] {
        assert_eq!(ids(&running, query).await, expected, "{query}");
    }
    // People are found by account too.
    let explanation = running.get(&format!("/v1/actions/{second}/explain")).await.json();
    let account = explanation["executor"]["account"].as_str().unwrap();
    assert_eq!(ids(&running, &format!("executor={account}")).await, [second]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_follow_each_other() {
    let running = Running::start().await;
    let mut all = Vec::new();
    for start in (0..700).step_by(350) {
        let records: Vec<String> = (start..start + 350).map(|n| observation(n + 1, "agent:a")).collect();
        all.extend(running.record(&array(&records)).await);
    }
    all.reverse();
    // By the index, by looking at everything, and by several keys at once.
    for filter in ["executor=agent:a", "tool=tickets/create", "principal=human:ann"] {
        let (mut found, mut before) = (Vec::new(), String::new());
        loop {
            let page = running.get(&format!("/v1/actions?limit=99&{filter}{before}")).await.json();
            let rows = page["actions"].as_array().unwrap();
            found.extend(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            match page["next"].as_u64() {
                Some(next) => {
                    assert_eq!((&page["stopped"], rows.len()), (&Value::from("limit"), 99));
                    before = format!("&before={next}");
                }
                None => {
                    assert_eq!(page["stopped"], Value::Null);
                    break;
                }
            }
        }
        assert_eq!(found, all, "{filter}");
    }
    let all = running.get("/v1/actions?limit=1000").await.json();
    assert_eq!(all["actions"].as_array().unwrap().len(), 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_reading_replaces_the_one_before() {
    let running = Running::start().await;
    let event = |system: &str, more: &str, operation: &str| {
        format!(
            r#"{{"kind":"observation","basis":"imported","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"{operation}"{more},"source":{{"system":"{system}","event_id":"e1","collector":"x/1"}}}}"#
        )
    };
    let first = running.record(&event("x", "", "read wrongly")).await.remove(0);
    assert_eq!(ids(&running, "").await, std::slice::from_ref(&first));
    let correction = event("x", &format!(r#","id":"{INTENT}","supersedes":"{first}""#), "read well");
    running.record(&correction).await;
    assert_eq!(ids(&running, "").await, [INTENT]);
    // On a page of its own, too.
    assert_eq!(ids(&running, "before=1").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_thousands_use_does_not_hide_its_revocation() {
    let running = Running::start().await;
    running.record(&story()).await;
    let revoked = format!(
        r#"{{"kind":"grant","time":"2026-11-20T09:30:00Z","action":null,"grant":"{GRANT}","terms":{{"change":"revoked","subject":{{"key":"svc:db-job","type":"service_account"}}}}}}"#
    )
    .replace("\"action\":null,", "");
    running.record(&revoked).await;
    let using = observation(7, "svc:db-job").replacen('{', &format!(r#"{{"grant":"{GRANT}","#), 1);
    running.record(&array(&vec![using; 400])).await;
    let explanation = running.get(&format!("/v1/actions/{INTENT}/explain")).await.json();
    assert_eq!(explanation["evidence"]["complete"], true);
    assert_eq!(explanation["grant"]["revoked"], "2026-11-20T09:30:00.000000Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn head_answers_as_get_does() {
    let running = Running::start().await;
    let mut request = get("/healthz");
    *request.method_mut() = http::Method::HEAD;
    let answer = call(running.http(), request).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = call(running.http(), post("/v1/records", "application/json", "[]")).await;
    assert_eq!(answer.json()["receipts"], serde_json::json!([]));
}
