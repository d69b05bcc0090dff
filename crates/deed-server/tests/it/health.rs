//! Health, metrics and descriptions.

use std::time::{Duration, Instant};

use http::header;

use crate::support::{Running, call, get, observation, post};

#[tokio::test(flavor = "multi_thread")]
async fn a_good_server_says_so() {
    let running = Running::start().await;
    let live = running.get("/healthz").await;
    assert_eq!((live.status, live.text().as_str()), (200, "ok\n"));
    let ready = running.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert_eq!(ready.json()["ok"], true);
    running.record(&observation(1, "agent:a")).await;
    let health = running.get("/v1/health").await.json();
    assert_eq!((&health["ok"], &health["counters"]["records"]), (&true.into(), &1.into()));
    let names: Vec<&str> =
        health["checks"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in ["journal", "packs", "checkpoint", "folder", "disk"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_taken_away_is_noticed() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    // The server may be writing into it: a second time it cannot.
    while std::fs::remove_dir_all(running.dir.path()).is_err() {}
    let failing = |answer: crate::support::Answer| {
        assert_eq!(answer.status, 503);
        let checks = answer.json()["checks"].as_array().unwrap().clone();
        let bad = checks.iter().filter(|check| check["ok"] == false);
        bad.map(|check| {
            (check["name"].as_str().unwrap().to_owned(), check["detail"].as_str().unwrap().to_owned())
        })
        .collect::<Vec<_>>()
    };
    let reasons = failing(running.get("/readyz").await);
    assert!(
        reasons.iter().any(|(name, detail)| name == "folder" && detail.contains("put it back")),
        "{reasons:?}"
    );

    // Nothing is acknowledged that nobody could find again.
    let answer = running.append(&observation(2, "agent:a")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "recorder-unavailable"));
    assert_eq!(answer.header(header::RETRY_AFTER), "5");
    assert!(
        answer.json()["detail"].as_str().unwrap().starts_with("recorder unavailable: "),
        "{}",
        answer.text()
    );
    // OTLP clients are told to try again.
    let export = post("/v1/traces", "application/json", crate::otlp::SPAN);
    let answer = call(running.otlp(), export).await;
    assert_eq!((answer.status, answer.header(header::RETRY_AFTER)), (503, "5"));
    assert_eq!(answer.json()["code"], 14);
    assert!(running.get("/metrics").await.text().contains("\ndeed_ready 0\n"));
    assert_eq!(running.get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_moved_takes_nothing_until_it_is_back() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    let (dir, elsewhere) = (running.dir.path(), running.dir.path().with_extension("moved"));
    std::fs::rename(dir, &elsewhere).unwrap();
    let answer = running.append(&observation(2, "agent:a")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "recorder-unavailable"));
    assert_eq!(running.get("/readyz").await.status, 503);
    std::fs::rename(&elsewhere, dir).unwrap();
    running.record(&observation(2, "agent:a")).await;
    assert_eq!(running.size(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_open_metrics() {
    let running = Running::start().await;
    running.record(&observation(1, "agent:a")).await;
    running.append("{").await;
    let answer = running.get("/metrics").await;
    assert_eq!(
        answer.header(header::CONTENT_TYPE),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    for line in [
        "deed_records_total 1",
        "deed_ready 1",
        "deed_log_leaves 1",
        "deed_append_duration_seconds_count 1",
        r#"deed_http_requests_total{method="post",route="/v1/records",status="200"} 1"#,
        r#"deed_http_requests_total{method="post",route="/v1/records",status="400"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    // Each family is declared once, before its samples, and every sample belongs to one.
    let mut families: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.split(' ').next().unwrap();
            assert!(!families.contains(&name), "{name} twice");
            families.push(name);
        } else {
            let name = line.trim_start_matches("# HELP ").trim_start_matches("# UNIT ");
            assert!(name.starts_with(families.last().unwrap()), "{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_describes_itself() {
    let running = Running::start().await;
    let openapi = running.get("/openapi.json").await;
    assert_eq!(openapi.json()["openapi"], "3.1.0");
    let schema = running.get("/v1/schema").await;
    assert_eq!(schema.header(header::CONTENT_TYPE), "application/schema+json");
    assert_eq!(schema.text(), deed_record::schema::SUBMISSION);
    assert_eq!(call(running.otlp(), get("/")).await.status, 404);
}

#[test]
fn every_problem_is_in_the_documentation() {
    let documentation = include_str!("../../../../docs/api.md");
    for kind in deed_server::ProblemKind::ALL {
        let name = kind.uri().rsplit(':').next().unwrap();
        let row = format!("| {} | `{name}` |", kind.status().as_u16());
        assert!(documentation.contains(&row), "docs/api.md lacks: {row}");
    }
    let document: serde_json::Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    for path in document["paths"].as_object().unwrap().keys() {
        let shown = path.replace("/tile/{path}", "/tile/…");
        assert!(documentation.contains(&format!("{shown}`")), "docs/api.md lacks {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inventory_that_is_wrong_is_told() {
    let running = Running::start().await;
    let check = async || {
        let health = running.get("/v1/health").await.json();
        let checks = health["checks"].as_array().unwrap().clone();
        checks.into_iter().find(|check| check["name"] == "inventory").expect("it is looked at")
    };
    assert_eq!(check().await["ok"], true);
    let file = running.dir.path().join("inventory.toml");
    for (text, ok) in [("[[principal]]\ntype = \"robot\"\n", false), ("", true)] {
        std::fs::write(&file, text).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while check().await["ok"] != ok {
            assert!(Instant::now() < until, "{}", check().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(running.get("/readyz").await.status, 200, "records are taken all the same");
}
