//! `POST /v1/sql`.

use http::header;
use serde_json::json;

use crate::support::{Answer, Running, array, call, observation, post};

async fn ask(running: &Running, query: &str) -> Answer {
    call(running.http(), post("/v1/sql", "application/json", json!({ "query": query }).to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_there_as_soon_as_they_are_acknowledged() {
    let running = Running::start().await;
    for n in 1..=3_u64 {
        running.record(&observation(n, "agent:a")).await;
        let answer = ask(&running, "SELECT count(*) AS n FROM records").await;
        assert_eq!(answer.json(), json!([{ "n": n }]));
    }
    let answer = call(
        running.http(),
        post("/v1/sql", "text/plain; charset=utf-8", "SELECT count(*) AS n FROM actions"),
    )
    .await;
    assert_eq!(answer.json(), json!([{ "n": 3 }]));
    assert_eq!(ask(&running, "SELECT * FROM records WHERE tool_name = 'nothing'").await.json(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_comes_under_its_name() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    for (format, media_type, begins) in [
        ("json", "application/json", &b"[{\"tool_name\":\"create\"}]"[..]),
        ("ndjson", "application/x-ndjson", b"{\"tool_name\":\"create\"}\n"),
        ("csv", "text/csv; charset=utf-8; header=present", b"tool_name\ncreate\n"),
        ("table", "text/plain; charset=utf-8", b""),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
    ] {
        let body = json!({ "query": "SELECT tool_name FROM records", "format": format }).to_string();
        let answer = call(running.http(), post("/v1/sql", "application/json", body)).await;
        assert_eq!((answer.status, answer.header(header::CONTENT_TYPE)), (200, media_type));
        assert!(answer.body.starts_with(begins), "{format}: {}", answer.text());
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reading_is_possible() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    for query in [
        "DELETE FROM records",
        "DROP TABLE records",
        "INSERT INTO records VALUES (1)",
        "SELECT nothing FROM records",
        "SELEC",
        "",
    ] {
        let answer = ask(&running, query).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "query-refused"), "{query}");
    }
    for (content_type, body, problem) in [
        ("application/json", "{", "not-json"),
        ("application/json", "{}", "bad-request"),
        ("application/json", r#"{"query":"SELECT 1","format":"xml"}"#, "bad-request"),
        ("application/json", r#"{"query":"SELECT 1","width":7}"#, "bad-request"),
        ("application/sql", "SELECT 1", "unsupported-media-type"),
    ] {
        assert_eq!(
            call(running.http(), post("/v1/sql", content_type, body)).await.problem(),
            problem,
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_comes_whole() {
    let running = Running::start().await;
    for start in (0..4000_u64).step_by(1000) {
        let records: Vec<String> = (start..start + 1000).map(|n| observation(n + 1, "agent:a")).collect();
        running.record(&array(&records)).await;
    }
    let answer = ask(&running, "SELECT * FROM records ORDER BY leaf_index").await;
    let rows = answer.json();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 4000);
    assert!(rows.iter().enumerate().all(|(at, row)| row["leaf_index"] == at));
    assert!(answer.body.len() > 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_tells_of_the_tables() {
    let running = Running::start().await;
    let health = running.get("/v1/health").await.json();
    assert_eq!(health["sql"], true);
    assert!(health["checks"].as_array().unwrap().iter().any(|check| check["name"] == "tables"), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_derived_is_derived_again() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    let answer = call(running.http(), post("/v1/rebuild", "application/json", String::new())).await.json();
    assert_eq!(answer["same"], true, "{answer}");
    let names: Vec<_> = answer["rebuilt"].as_array().unwrap().iter().map(|part| &part["name"]).collect();
    assert_eq!(names, ["index", "identities", "findings", "records"]);
    assert_eq!(ask(&running, "SELECT count(*) AS n FROM records").await.json(), json!([{ "n": 1 }]));
}
