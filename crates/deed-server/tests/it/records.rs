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
async fn a_line_that_is_no_json_stands_alone_too() {
    let running = Running::start().await;
    let mut body =
        [observation(1, "agent:a"), "{oops".into(), observation(2, "agent:a")].join("\n").into_bytes();
    body.extend_from_slice(b"\n{\"a\":\"\xff\"}\n");
    body.extend_from_slice(observation(3, "agent:a").as_bytes());
    let answer = call(running.http(), post("/v1/records?each=true", "application/x-ndjson", body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let receipts = answer.json()["receipts"].as_array().unwrap().clone();
    let indexes: Vec<_> = receipts.iter().map(|receipt| receipt["index"].as_u64()).collect();
    assert_eq!(indexes, [Some(0), None, Some(1), None, Some(2)], "{}", answer.text());
    for at in [1, 3] {
        let error = &receipts[at]["error"];
        assert_eq!(
            (error["status"].as_u64(), error["index"].as_u64()),
            (Some(400), Some(at as u64)),
            "{error}"
        );
    }
    assert_eq!(running.size(), 3);
    // Nothing tells where the next record of a broken list begins.
    let broken =
        post("/v1/records?each=true", "application/json", format!("[{},", observation(4, "agent:a")));
    assert_eq!((call(running.http(), broken).await.status, running.size()), (400, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_lines_cost_no_more_than_they_are_long() {
    let running = Running::with(small()).await;
    // Each of these could begin a record that ends megabytes later.
    let body = "{}x\n".to_owned() + &"[\n".repeat(100_000);
    let answer = call(running.http(), post("/v1/records?each=true", "application/x-ndjson", body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["receipts"].as_array().unwrap().len(), 100_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_read_again_by_a_newer_mapping() {
    let running = Running::start().await;
    let event = |system: &str, version: u32, operation: &str, raw: &str| {
        format!(
            r#"{{"kind":"observation","basis":"imported","time":"2026-11-20T10:00:00Z","executor":{{"type":"unknown"}},"operation":"{operation}","source":{{"system":"{system}","event_id":"e1","collector":"x/{version}"}},"disclose":{{"event":{{"raw":"{raw}"}}}}}}"#
        )
    };
    let send = async |how: &str, body: String| {
        let path = format!("/v1/records?{how}=true");
        let answer = call(running.http(), post(&path, "application/x-ndjson", body)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["receipts"][0].clone()
    };
    let listed = async || {
        let page = running.get("/v1/actions").await.json();
        let rows = page["actions"].as_array().unwrap().clone();
        rows.iter().map(|row| row["operation"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = send("each", event("s", 1, "read wrongly", "r")).await;
    // Not asked for, and by the same mapping: nothing new (D12).
    for receipt in [
        send("each", event("s", 2, "read well", "r")).await,
        send("again", event("s", 1, "read wrongly", "r")).await,
    ] {
        assert_eq!((&receipt["id"], &receipt["duplicate"]), (&first["id"], &json!(true)));
    }
    let second = send("again", event("s", 2, "read well", "r")).await;
    assert_eq!((&second["index"], second.get("duplicate")), (&json!(1), None));
    assert_eq!(listed().await, ["read well"]);
    // Again: there before. A third mapping corrects the second, an older one nothing.
    assert_eq!(send("again", event("s", 2, "read well", "r")).await["duplicate"], true);
    assert_eq!(send("again", event("s", 3, "read better", "r")).await["index"], 2);
    assert_eq!(send("again", event("s", 2, "read well", "r")).await["duplicate"], true);
    assert_eq!((listed().await, running.size()), (vec!["read better".to_owned()], 3));
    let ledger = running.server.engine().ledger();
    let supersedes =
        |index| ledger.leaf(index).unwrap().skeleton().unwrap().supersedes.map(|id| id.to_string());
    assert_eq!(supersedes(1).as_deref(), first["id"].as_str());
    assert_eq!(supersedes(2).as_deref(), second["id"].as_str());
    let explained =
        running.get(&format!("/v1/actions/{}/explain", first["id"].as_str().unwrap())).await.json();
    assert_eq!(explained["action"]["operation"], "read better");
    // What was never there is recorded as ever; another mapping's version says nothing.
    assert_eq!(send("again", event("t", 2, "new", "r")).await["index"], 3);
    let other = event("s", 9, "strange", "r").replace("x/9", "y/9");
    assert_eq!(send("again", other).await["duplicate"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenant_s_record_is_not_told_of() {
    use std::collections::BTreeSet;

    use deed_seal::hash::Hash;
    use deed_server::settings::{Right, Settings, Token};

    use crate::support::{by, open, options};

    let secret = |tenant: &str| format!("{tenant}-0123456789abcdef0123456789abcdef");
    let token = |tenant: &str| Token {
        name: tenant.into(),
        hash: Hash::of(secret(tenant).as_bytes()).0,
        tenant: Some(tenant.into()),
        rights: BTreeSet::from([Right::Write]),
    };
    let settings = Settings { tokens: vec![token("acme"), token("globex")], ..Settings::default() };
    let dir = tempfile::tempdir().unwrap();
    let options = deed_server::ServeOptions { listen: Some("0.0.0.0:0".parse().unwrap()), ..options() };
    let running = Running { server: open(dir.path(), settings, options).await, dir };
    let named =
        |n| observation(n, "agent:a").replacen('{', r#"{"id":"0193a7b0-0000-7000-8000-000000000001","#, 1);
    let send = async |tenant: &str, how: &str, body: String| {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], running.http().port()));
        call(address, by(&secret(tenant), post(&format!("/v1/records{how}"), "application/json", body))).await
    };
    assert_eq!(send("acme", "", named(1)).await.status, 200);
    // Its own record is named to a tenant.
    assert_eq!(send("acme", "", named(2)).await.json()["first"], 0);
    for how in ["", "?each=true"] {
        let answer = send("globex", how, named(2)).await;
        assert!(!answer.text().contains("leaf") && !answer.text().contains("first"), "{}", answer.text());
        assert!(answer.text().contains("409"), "{}", answer.text());
    }
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
