//! The inventory over the API: read, changed, refused; and patterns and what came of a record, which go by it.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Plain, Running, array, call, get, post, with};

const FILE: &str = "[[principal]]\nkey = \"release-bot\"\ntype = \"agent\"\naliases = [\"agent:release-bot\", \"aws:role/release\"]\n";

fn put(content_type: &str, body: impl Into<bytes::Bytes>) -> Plain {
    let mut request = post("/v1/inventory?by=human:ann", content_type, body);
    *request.method_mut() = Method::PUT;
    request
}

#[tokio::test]
async fn it_is_read_changed_and_recorded() {
    let running = Running::start().await;
    let empty = running.get("/v1/inventory").await;
    assert_eq!((empty.status, &empty.json()["principal"]), (200, &json!([])));
    let tag = empty.headers["etag"].to_str().unwrap().to_owned();

    let changed = call(running.http(), with(put("application/toml", FILE), "if-match", &tag)).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    assert_eq!(changed.json()["principals"], 1);
    let file = running.dir.path().join("inventory.toml");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), FILE);
    // In force at once, and on record: who, what, and what it was before.
    let record = changed.json()["receipt"]["id"].as_str().unwrap().to_owned();
    let found =
        running.server.engine().ledger().leaf(changed.json()["receipt"]["index"].as_u64().unwrap()).unwrap();
    let sealed: Value = serde_json::from_slice(&found.leaf).unwrap();
    assert_eq!(
        (&sealed["kind"], &sealed["operation"]),
        (&json!("policy"), &json!("inventory put")),
        "{record}"
    );
    assert_eq!(sealed["artifact"]["digest"], changed.json()["digest"]);

    let read = running.get("/v1/inventory").await;
    assert_eq!(read.json()["principal"][0]["aliases"][1], "aws:role/release");
    let text = call(running.http(), with(get("/v1/inventory"), "accept", "application/toml")).await;
    assert_eq!(text.text(), FILE);
    // The same again is no change; over what is no more it is refused.
    let again = call(running.http(), put("application/toml", FILE)).await;
    assert_eq!(again.json()["receipt"], Value::Null);
    let late = call(running.http(), with(put("application/toml", ""), "if-match", &tag)).await;
    assert_eq!(late.status, 412, "{}", late.text());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), FILE);
}

#[tokio::test]
async fn json_comes_to_the_same_file() {
    let running = Running::start().await;
    let sent = json!({
        "principal": [{ "type": "third_party", "aliases": ["github:initech"], "vendor": "Initech \"&\" sons", "owner": null,
                        "contract": { "scopes": ["tickets:*"], "until": "2027-01-01T00:00:00Z" } }],
        "resource": [{ "match": "db:*", "classification": "restricted", "approvers": ["human:carol"],
                       "change_windows": ["Sat 22:00-02:00", "2026-11-03T10:00:00Z/2026-11-03T12:00:00Z"] }],
        "source": [{ "system": "jira:acme", "complete_for": ["approvals"] }],
    });
    let changed = call(running.http(), put("application/json", sent.to_string())).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let read = running.get("/v1/inventory").await.json();
    assert_eq!(read["principal"][0]["vendor"], sent["principal"][0]["vendor"]);
    assert_eq!(read["principal"][0]["contract"], sent["principal"][0]["contract"]);
    assert_eq!(read["resource"][0], sent["resource"][0]);
    // What was read may be sent again.
    let same = call(running.http(), put("application/json", read.to_string())).await;
    assert_eq!(same.json()["digest"], read["digest"]);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let running = Running::start().await;
    let cases = [
        ("application/toml", "[[principal]]\ntype = \"robot\"\n".to_owned(), "line 2"),
        ("application/toml", "[[principal]]\ntype = \"agent\"\nnmae = \"x\"\n".to_owned(), "line 3"),
        ("application/json", json!({ "principal": [{ "type": "robot" }] }).to_string(), "type = \"robot\""),
        ("application/json", json!({ "principal": "all" }).to_string(), "principal = \"all\""),
        ("application/json", json!([]).to_string(), "expected an object"),
        ("application/json", json!({ "principals": [] }).to_string(), "principals"),
    ];
    let size = running.size();
    for (content_type, body, says) in cases {
        let answer = call(running.http(), put(content_type, body.clone())).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        assert!(answer.text().contains(&says.replace('"', "\\\"")), "{body}: {}", answer.text());
    }
    assert!(!running.dir.path().join("inventory.toml").exists());
    assert_eq!(running.size(), size);
    assert_eq!(call(running.http(), put("application/xml", "")).await.status, 415);
    assert_eq!(call(running.http(), put("application/json", "{")).await.status, 400);
}

#[tokio::test]
async fn patterns_name_principals_by_it() {
    let running = Running::start().await;
    assert_eq!(call(running.http(), put("application/toml", FILE)).await.status, 200);
    for n in 0..30 {
        let key = if n % 2 == 0 { "agent:release-bot" } else { "aws:role/release" };
        let record = json!({
            "kind": "observation", "time": format!("2026-11-20T10:00:{n:02}Z"), "operation": "s3:GetObject",
            "executor": { "key": key, "type": "agent" }, "resource": { "uri": format!("arn:aws:s3:::data/{n}") },
            "outcome": { "status": if n == 7 { "denied" } else { "success" } },
        });
        running.record(&record.to_string()).await;
    }
    let answer = running.get("/v1/patterns").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let patterns = answer.json();
    assert_eq!((&patterns["total"], &patterns["tasks"]), (&json!(1), &json!(30)), "{patterns:#}");
    let only = &patterns["patterns"][0];
    assert_eq!(only["pattern"], "release-bot: s3:GetObject arn:aws:s3:::data/…");
    assert_eq!(only["odd"][0]["why"], json!([{ "outcome": "denied" }]), "{only:#}");
    let none = running.get("/v1/patterns?principal=agent:other").await.json();
    assert_eq!(none["total"], 0);
    let some =
        running.get("/v1/patterns?principal=agent:release-bot&since=2026-11-20T10:00:10Z").await.json();
    assert_eq!(some["tasks"], 20);
    assert_eq!(running.get("/v1/patterns?limit=0").await.status, 400);
}

#[tokio::test]
async fn what_came_of_a_request_is_told() {
    let running = Running::start().await;
    let ann = json!({ "key": "okta:ann", "type": "human" });
    let etl = json!({ "key": "k8s:sa/etl", "type": "service_account" });
    let request = json!({ "kind": "request", "time": "2026-11-20T09:00:00Z", "initiator": ann,
                          "terms": { "change": "requested", "role": "ddl", "subject": etl } });
    let request = running.record(&request.to_string()).await.remove(0);
    let grant = json!({ "kind": "grant", "time": "2026-11-20T09:10:00Z", "request": request, "executor": ann,
                        "terms": { "change": "issued", "role": "ddl", "scopes": ["db:*"], "subject": etl } });
    let grant = running.record(&grant.to_string()).await.remove(0);
    let act = json!({ "kind": "observation", "time": "2026-11-20T10:00:00Z", "executor": etl, "permission": "db:alter",
                      "grant": grant, "outcome": { "status": "success" } });
    let act = running.record(&act.to_string()).await.remove(0);
    let answer = running.get(&format!("/v1/records/{request}/led-to")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let led = answer.json();
    assert_eq!((&led["grants"][0]["id"], &led["actions"][0]["id"]), (&json!(grant), &json!(act)), "{led:#}");
    assert_eq!(led["actions"][0]["who"], "k8s:sa/etl");
    let nobody = "/v1/records/0193a7c2-5e1f-7b43-9c1d-2f6a8e90b1c4/led-to";
    assert_eq!(running.get(nobody).await.status, 404);
}

#[tokio::test]
async fn actions_are_found_by_any_name_of_the_inventory() {
    let running = Running::start().await;
    let acts = |who: &str| {
        json!({ "kind": "observation", "time": "2026-11-20T10:00:00Z", "executor": { "key": who, "type": "workload" } })
            .to_string()
    };
    running.append(&array(&["agent:release-bot", "aws:role/release", "aws:role/other"].map(acts))).await;
    let found = async |query: &str| {
        let answer = running.get(&format!("/v1/actions?{query}")).await;
        answer.json()["actions"].as_array().unwrap().len()
    };
    assert_eq!(found("executor=release-bot").await, 0);
    assert_eq!(call(running.http(), put("application/toml", FILE)).await.status, 200);
    for name in ["release-bot", "agent:release-bot", "aws:role/release"] {
        for part in ["executor", "principal"] {
            assert_eq!(found(&format!("{part}={name}")).await, 2, "{part} {name}");
        }
        assert_eq!(found(&format!("initiator={name}")).await, 0, "{name}");
        let lines = running.get(&format!("/v1/ocsf?principal={name}")).await.text();
        assert_eq!(lines.lines().filter(|line| line.starts_with('{')).count(), 2, "{lines}");
    }
    assert_eq!(found("executor=aws:role/other").await, 1);
}
