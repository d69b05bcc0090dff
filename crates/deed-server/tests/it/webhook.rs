//! Approvals by webhook: what waits is told, and answers come signed.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use deed_ledger::now;
use deed_server::{Engine, EngineOptions, serve, settings::Settings};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::{Instant, timeout},
};

use crate::support::{Answer, Plain, Running, call, open, options, post, with};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const POLICIES: &str = r#"
@id("rest") permit (principal, action, resource);
@id("ask") @effect("step_up") @approver("payers") forbid (principal, action, resource == Deed::Resource::"service:payments");
"#;

/// A server that tells `url` what waits, with its policy published.
async fn start(url: Option<&str>) -> Running {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("webhook.secret"), format!("{SECRET}\n")).unwrap();
    std::fs::write(
        dir.path().join("inventory.toml"),
        "[[principal]]\nkey = \"bob\"\ntype = \"human\"\naliases = [\"human:bob\"]\ngroups = [\"payers\"]\n",
    )
    .unwrap();
    let told = url.map_or_else(String::new, |url| format!("webhook = \"{url}\"\n"));
    let text = format!(
        "[approvals]\n{told}secret_file = \"webhook.secret\"\npublic_url = \"https://deed.example/\"\n"
    );
    let server = open(dir.path(), Settings::parse(&text).unwrap(), options()).await;
    let running = Running { server, dir };
    let body = json!({ "files": { "a.cedar": POLICIES }, "by": "os:ann" }).to_string();
    let published = call(running.http(), post("/v1/policies", "application/json", body)).await;
    assert_eq!(published.status, 200, "{}", published.text());
    running
}

/// Asks for something that waits; its id, and whether it may be done.
async fn ask(running: &Running) -> (String, bool) {
    let question = json!({
        "subject": { "type": "agent", "id": "release-bot" }, "action": { "name": "pay" },
        "resource": { "type": "service", "id": "payments" },
        "context": { "arguments": { "iban": "CH93-0076" }, "deed": { "initiator": { "type": "user", "id": "ann" } } },
    });
    let body = question.to_string();
    let answer = call(running.http(), post("/access/v1/evaluation", "application/json", body)).await.json();
    let id = answer["context"]["deed"]["action_id"].as_str().unwrap().to_owned();
    (id, answer["decision"] == true)
}

fn sign(id: &str, seconds: i64, body: &str) -> String {
    let secret = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes())))
}

fn seconds() -> i64 {
    now().0 / 1_000_000
}

/// An answer to `action`, signed.
fn message(action: &str, id: &str, body: &Value) -> Plain {
    let mut body = body.clone();
    body["id"] = action.into();
    sent(action, id, &body)
}

fn sent(action: &str, id: &str, body: &Value) -> Plain {
    let (seconds, body) = (seconds(), body.to_string());
    let request = post(&format!("/v1/approvals/{action}/webhook"), "application/json", body.clone());
    let request = with(request, "webhook-id", id);
    let request = with(request, "webhook-timestamp", &seconds.to_string());
    with(request, "webhook-signature", &sign(id, seconds, &body))
}

fn yes(name: &str) -> Value {
    json!({ "approved": true, "by": { "type": "human", "name": name }, "reason": "CHG-12" })
}

async fn send(running: &Running, request: Plain) -> Answer {
    call(running.http(), request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_message_approves_by_the_same_rules() {
    let running = start(None).await;
    let (action, allowed) = ask(&running).await;
    assert!(!allowed);
    // Neither who asked, nor who is not in the group, nor what is no human.
    for (at, by) in ["ann", "carol"].into_iter().enumerate() {
        let answer = send(&running, message(&action, &format!("no-{at}"), &yes(by))).await;
        assert_eq!((answer.status, answer.problem()), (403, "not-theirs".to_owned()), "{by}");
    }
    let robot = json!({ "approved": true, "by": { "type": "agent", "name": "bob" } });
    assert_eq!(send(&running, message(&action, "no-2", &robot)).await.status, 403);
    let nobody = json!({ "approved": true, "by": { "type": "human" } });
    assert_eq!(send(&running, message(&action, "no-3", &nobody)).await.status, 400);
    assert!(!ask(&running).await.1);

    let answer = send(&running, message(&action, "yes", &yes("bob"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["approved"], true);
    assert!(ask(&running).await.1, "it may be done, once");
    assert!(!ask(&running).await.1);
    let explained = running.get(&format!("/v1/actions/{action}/explain")).await.json();
    let approval = &explained["approvals"][0];
    assert_eq!(
        (&approval["by"]["key"], &approval["answer"]),
        (&json!("human:bob"), &json!("approved")),
        "{explained}"
    );
    assert_eq!(send(&running, message(&action, "late", &yes("bob"))).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_now_and_for_this_is_refused() {
    let running = start(None).await;
    let (action, _) = ask(&running).await;
    let good = || message(&action, "m", &yes("bob"));
    let changed = {
        let mut request = message(&action, "m", &yes("bob"));
        *request.body_mut() = yes("eve").to_string().into();
        request
    };
    let stale = {
        let (then, body) = (seconds() - 301, yes("bob").to_string());
        let signature = sign("m", then, &body);
        let request = with(good(), "webhook-timestamp", &then.to_string());
        with(request, "webhook-signature", &signature)
    };
    let unsigned =
        post(&format!("/v1/approvals/{action}/webhook"), "application/json", yes("bob").to_string());
    for bad in [
        changed,
        stale,
        unsigned,
        with(good(), "webhook-id", "n"),
        with(good(), "webhook-signature", "v1,AAAA"),
        with(good(), "webhook-signature", "v2,AAAA"),
    ] {
        let answer = send(&running, bad).await;
        assert_eq!((answer.status, answer.problem()), (401, "unauthenticated".to_owned()));
    }
    assert_eq!(send(&running, message(&action, "x", &json!({ "approved": 1 }))).await.status, 400);
    let large =
        json!({ "approved": true, "by": { "type": "human", "name": "bob" }, "reason": "x".repeat(70_000) });
    assert_eq!(send(&running, message(&action, "y", &large)).await.status, 413);
    assert!(!ask(&running).await.1, "nothing was approved");
    assert_eq!(send(&running, good()).await.status, 200);
    let again = send(&running, good()).await;
    assert_eq!(again.status, 401, "used once: {}", again.text());
    // A server without a secret hears nobody.
    let deaf = Running::start().await;
    assert_eq!(send(&deaf, good()).await.status, 404);
}

/// Hears one HTTP request and answers with `status`: its headers and its body.
async fn hear(listener: &TcpListener, status: &str) -> (Vec<String>, String) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let length = header(&head, "content-length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn header<'h>(head: &'h [String], name: &str) -> &'h str {
    let value =
        |line: &'h String| line.split_once(": ").filter(|(found, _)| found.eq_ignore_ascii_case(name));
    head.iter().find_map(value).map_or("", |(_, value)| value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_answer_is_for_what_it_names_alone() {
    let running = start(None).await;
    let (harmless, _) = ask(&running).await;
    let (other, _) = ask(&running).await;
    let mut yes = yes("bob");
    let unnamed = send(&running, sent(&other, "m1", &yes)).await;
    assert_eq!(unnamed.status, 400, "{}", unnamed.text());
    assert!(unnamed.text().contains("`id` is missing"), "{}", unnamed.text());
    yes["id"] = harmless.as_str().into();
    let moved = send(&running, sent(&other, "m2", &yes)).await;
    assert_eq!(moved.status, 400, "{}", moved.text());
    assert!(!ask(&running).await.1, "nothing was approved");
    assert_eq!(send(&running, sent(&harmless, "m3", &yes)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_elsewhere_are_told_and_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks/deed", listener.local_addr().unwrap());
    let running = start(Some(&url)).await;
    let (action, _) = ask(&running).await;
    let heard = timeout(Duration::from_secs(60), async {
        [hear(&listener, "503 Busy").await, hear(&listener, "204 No Content").await]
    });
    let [(first, one), (second, two)] = heard.await.unwrap();
    assert_eq!(first[0], "POST /hooks/deed HTTP/1.1");
    // The same message, under the same id.
    assert_eq!((header(&first, "webhook-id"), &one), (header(&second, "webhook-id"), &two));
    for (head, body) in [(&first, &one), (&second, &two)] {
        let at = header(head, "webhook-timestamp").parse().unwrap();
        assert_eq!(header(head, "webhook-signature"), sign(header(head, "webhook-id"), at, body));
    }
    let told: Value = serde_json::from_str(&one).unwrap();
    let data = &told["data"];
    assert_eq!(told["type"], "approval.requested");
    assert_eq!((&data["id"], &data["target"]), (&json!(action), &json!("service:payments")));
    assert_eq!(
        (&data["executor"]["key"], &data["initiator"]["key"]),
        (&json!("agent:release-bot"), &json!("human:ann"))
    );
    assert_eq!((&data["policies"], &data["approvers"]), (&json!(["ask"]), &json!(["group payers"])));
    assert_eq!(data["answer"], format!("https://deed.example/v1/approvals/{action}/webhook"));
    assert!(!one.contains("CH93"), "arguments are not told: {one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_slowly_or_not_at_all_delays_nothing() {
    // It takes connections and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = start(Some(&format!("http://{}/", listener.local_addr().unwrap()))).await;
    let began = Instant::now();
    for _ in 0..300 {
        ask(&running).await;
    }
    assert!(began.elapsed() < Duration::from_secs(60), "decisions wait for it");
    let (action, _) = ask(&running).await;
    assert_eq!(send(&running, message(&action, "m", &yes("bob"))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_secret_does_not_start() {
    for (file, says) in [(None, "failed to read"), (Some("hunter2"), "whsec_"), (Some(""), "whsec_")] {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            std::fs::write(dir.path().join("s"), text).unwrap();
        }
        let settings = Settings::parse("[approvals]\nsecret_file = \"s\"\n").unwrap();
        let options_of = EngineOptions { settings: Some(settings), ..EngineOptions::default() };
        let engine = Engine::open(dir.path(), options_of).unwrap();
        let error = serve(engine, options()).await.err().expect("refused").to_string();
        assert!(
            error.contains(says) && error.contains("[approvals]") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
