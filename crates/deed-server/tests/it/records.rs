//! `POST /v1/records`: what is taken, and how.

use serde_json::json;

use crate::support::{Running, array, call, call_unix, gzip, observation, post, small, with};

#[tokio::test(flavor = "multi_thread")]
async fn arrays_lines_and_gzip_are_taken() {
    let running = Running::start().await;
    let records: Vec<String> = (1..=3).map(|n| observation(n, "agent:a")).collect();
    for (content_type, body) in [
        ("application/json", array(&records)),
        ("application/json; charset=utf-8", array(&records)),
        ("application/x-ndjson", records.join("\n") + "\n"),
        ("application/jsonl", records.join("\r\n")),
        ("application/json", records[0].clone()),
        ("application/json", "[]".into()),
        ("application/x-ndjson", String::new()),
    ] {
        let before = running.size();
        let plain = call(running.http(), post("/v1/records", content_type, body.clone())).await;
        assert_eq!(plain.status, 200, "{}", plain.text());
        let receipts = plain.json()["receipts"].as_array().unwrap().len() as u64;
        assert_eq!(running.size(), before + receipts, "{content_type}");
        let packed =
            with(post("/v1/records", content_type, gzip(body.as_bytes())), "content-encoding", "gzip");
        let packed = call(running.http(), packed).await;
        assert_eq!(packed.status, 200, "{}", packed.text());
        assert_eq!(running.size(), before + 2 * receipts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_tell_where_each_stands() {
    let running = Running::start().await;
    let body = array(&[observation(1, "agent:a"), observation(2, "agent:a")]);
    let answer = running.append(&body).await.json();
    assert_eq!(answer["receipts"][0]["index"], 0);
    assert_eq!(answer["receipts"][1]["index"], 1);
    assert_eq!(answer["receipts"][0]["log"], running.server.engine().ledger().origin());
    assert!(answer["receipts"][0].get("duplicate").is_none());

    let named =
        observation(3, "agent:a").replacen('{', r#"{"id":"0193a7b0-0000-7000-8000-000000000001","#, 1);
    running.record(&named).await;
    let again = running.append(&named).await.json();
    assert_eq!(
        again["receipts"],
        json!([{ "id": "0193a7b0-0000-7000-8000-000000000001", "log": answer["receipts"][0]["log"], "index": 2, "duplicate": true }])
    );
    assert_eq!(running.size(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_on_its_own() {
    let running = Running::start().await;
    let bad = observation(2, "agent:a").replace("\"success\"", "\"splendid\"");
    let body = [observation(1, "agent:a"), bad.clone(), observation(3, "agent:a")].join("\n");
    let request = || post("/v1/records?each=true", "application/x-ndjson", body.clone());
    let answer = call(running.http(), request()).await;
    assert_eq!(answer.status, 200);
    let receipts = answer.json()["receipts"].clone();
    assert_eq!(receipts[0]["index"], 0);
    assert_eq!(receipts[1]["error"]["status"], 422);
    assert_eq!(receipts[1]["error"]["index"], 1);
    assert_eq!(receipts[1]["error"]["field"], "outcome.status");
    assert_eq!(receipts[2]["index"], 1);
    assert_eq!(running.size(), 2);
    // Without `each` the bad one keeps the others out.
    let answer = call(running.http(), post("/v1/records", "application/x-ndjson", body)).await;
    assert_eq!((answer.status, running.size()), (422, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sender_is_sealed() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    let socket = running.server.addresses().socket.clone().unwrap();
    let answer = call_unix(&socket, post("/v1/records", "application/json", observation(2, "agent:a"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let ledger = running.server.engine().ledger();
    let submitter = |index| ledger.leaf(index).unwrap().skeleton().unwrap().submitter.to_string();
    assert_eq!(submitter(0), "local");
    assert_eq!(submitter(1), format!("local:uid-{}", rustix::process::getuid().as_raw()));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_flight_share_commits() {
    let running = Running::with(small()).await;
    let sends = (0..64).map(|n| {
        let request = post("/v1/records", "application/json", observation(n + 1, "agent:a"));
        tokio::spawn(call(running.http(), request))
    });
    for send in sends.collect::<Vec<_>>() {
        assert_eq!(send.await.unwrap().status, 200);
    }
    assert_eq!(running.size(), 64);
}
