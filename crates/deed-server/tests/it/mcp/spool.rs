//! The store goes away under a gateway with a spool, and comes back.

use std::{fs, time::Duration};

use deed_ledger::SpoolOptions;
use deed_server::{Engine, EngineError, EngineOptions, settings::Settings};
use serde_json::{Value, json};

use super::{Gateway, modern, of_kind, tool};
use crate::support::{Answer, call, post};

const POLICIES: &str = r#"
@id("look") @tier("low") permit (principal, action, resource) unless { resource == Deed::Tool::"files/stream" };
@id("rest") permit (principal, action, resource == Deed::Tool::"files/stream");
@id("restricted") forbid (principal, action, resource) when { context.classification == "restricted" };
"#;

fn options(folder: &std::path::Path) -> SpoolOptions {
    SpoolOptions { folder: folder.to_owned(), max_bytes: 1 << 20, max_age: Duration::from_secs(300) }
}

async fn ask(gateway: &Gateway, name: &str) -> Answer {
    call(gateway.running.http(), modern(tool(7, name))).await
}

async fn decide(gateway: &Gateway, name: &str, tool: &str) -> Answer {
    let question = json!({
        "subject": { "type": "agent", "id": name }, "action": { "name": "tools/call" },
        "resource": { "type": "tool", "id": tool },
    });
    call(gateway.running.http(), post("/access/v1/evaluation", "application/json", question.to_string()))
        .await
}

fn check(ready: &Answer, name: &str) -> Value {
    let ready = ready.json();
    let checks = ready["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{ready}")).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_declared_low_goes_on_while_the_store_is_away() {
    let beside = tempfile::tempdir().unwrap();
    let spool = beside.path().join("spool");
    let gateway = Gateway::with(|settings| {
        settings.spool = Some(options(&spool));
        // The tool `stream` says nothing more.
        settings.mcp.get_mut("files").unwrap().silence = Duration::from_secs(1);
    })
    .await;
    gateway.publish(POLICIES).await;
    let dir = gateway.running.dir.path().to_owned();
    fs::write(
        dir.join("inventory.toml"),
        "[[resource]]\nmatch = \"mcp:files/vendor\"\ntype = \"tool\"\nclassification = \"restricted\"\n",
    )
    .unwrap();
    // Known by then: tools and who calls them; and what is declared of them.
    let mut ended = 3;
    while !ask(&gateway, "vendor").await.text().contains("restricted") {
        ended += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for tool in ["write", "stream"] {
        assert_eq!(ask(&gateway, tool).await.status, 200);
    }
    assert_eq!(decide(&gateway, "bot", "files/write").await.json()["decision"], true);
    let ready = gateway.running.get("/readyz").await;
    assert_eq!((ready.status, check(&ready, "spool")["ok"].as_bool()), (200, Some(true)), "{}", ready.text());
    gateway.records(ended).await;
    let (before, calls) = (gateway.running.size(), gateway.upstream.called().len());

    let away = beside.path().join("away");
    fs::rename(&dir, &away).unwrap();
    // Long enough for whoever follows the inventory to look for it.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(ask(&gateway, "write").await.json()["result"]["content"][0]["text"], "written");
    for tool in ["stream", "vendor"] {
        let refused = ask(&gateway, tool).await.text();
        assert!(refused.contains("Not done: the recorder cannot write"), "{tool}: {refused}");
    }
    let decided = decide(&gateway, "bot", "files/write").await.json();
    assert_eq!(decided["decision"], true, "{decided}");
    assert!(decided["context"]["deed"]["spooled"].is_string(), "{decided}");
    let refused = decide(&gateway, "bot", "files/stream").await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "recorder-unavailable"));
    assert_eq!(gateway.upstream.called()[calls..], ["write"]);

    let ready = gateway.running.get("/readyz").await;
    let says = check(&ready, "spool");
    assert_eq!((ready.status, says["ok"].as_bool()), (503, Some(false)));
    let detail = says["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("in use: 3 records wait") && detail.contains(spool.to_str().unwrap()),
        "{detail}"
    );
    let metrics = gateway.running.get("/metrics").await.text();
    assert!(metrics.contains("\ndeed_spool_waiting_records 3\n"), "{metrics}");
    assert!(metrics.contains("\ndeed_spool_records_total 3\n"), "{metrics}");
    assert_eq!(gateway.running.size(), before, "nothing is written to a store that was moved");

    fs::rename(&away, &dir).unwrap();
    while gateway.running.get("/readyz").await.status != 200 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let metrics = gateway.running.get("/metrics").await.text();
    assert!(metrics.contains("\ndeed_spool_waiting_records 0\n"), "{metrics}");
    assert!(metrics.contains("\ndeed_spool_sealed_total 3\n"), "{metrics}");
    let records = gateway.records(ended).await;
    let new = &records[before as usize..];
    let spooled: Vec<&Value> = new.iter().filter(|record| record["spooled"].is_string()).collect();
    assert_eq!(
        (spooled.len(), of_kind(new, "intent").len(), of_kind(new, "gap").len()),
        (3, 2, 1),
        "{new:#?}"
    );
    let id = of_kind(new, "intent")[0]["id"].as_str().unwrap();
    let explained = gateway.running.get(&format!("/v1/actions/{id}/explain")).await.json();
    assert!(explained["action"]["spooled"].is_string(), "{explained}");
    assert_eq!(explained["outcome"]["status"], "success");
    // The decision can be derived again as any other.
    let replayed = gateway.running.get(&format!("/v1/decisions/{id}/replay")).await.json();
    assert_eq!(replayed["same"], true, "{replayed}");
    assert_eq!(ask(&gateway, "stream").await.status, 200);
}

#[test]
fn a_spool_in_the_data_directory_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { spool: Some(options(&dir.path().join("spool"))), ..Settings::default() };
    let opened =
        Engine::open(dir.path(), EngineOptions { settings: Some(settings), ..EngineOptions::default() });
    match opened.err() {
        Some(EngineError::Spool(error)) => {
            assert!(error.to_string().contains("lie one in the other"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}
