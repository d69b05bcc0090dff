//! Security events of Shared Signals transmitters: pushed and polled, over real HTTP, with real keys.

mod transmitter;

use std::time::Duration;

use deed_server::settings::Settings;
use http::header;
use serde_json::{Value, json};
use tokio::time::sleep;

use self::transmitter::{AUDIENCE, Key, TOKEN, Transmitter};
use crate::support::{Answer, Plain, Running, by, call, engine, get, open, options, post, with};

const SET: &str = "application/secevent+jwt";

/// A server that listens to `transmitter`; `how` it does.
async fn start(transmitter: &Transmitter, how: &str) -> Running {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ssf.token"), format!("{TOKEN}\n")).unwrap();
    Running { server: open(dir.path(), settings(transmitter, how), options()).await, dir }
}

fn settings(transmitter: &Transmitter, how: &str) -> Settings {
    let text = format!(
        "[ssf.okta]\nissuer = \"{}\"\naudience = \"{AUDIENCE}\"\nsystem = \"okta\"\ntoken_file = \"ssf.token\"\n{how}\n",
        transmitter.url
    );
    Settings::parse(&text).unwrap()
}

fn polled(transmitter: &Transmitter) -> String {
    format!("poll = \"{}\"", transmitter.url.replace("/tenant/1/", "/poll"))
}

fn request(set: impl Into<bytes::Bytes>) -> Plain {
    by(TOKEN, post("/v1/ssf/okta", SET, set))
}

async fn push(running: &Running, request: Plain) -> Answer {
    call(running.http(), request).await
}

#[track_caller]
fn is_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status, answer.json()["err"].as_str()), (status, Some(code)), "{}", answer.text());
    assert_eq!(answer.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(answer.header(header::CONTENT_LANGUAGE), "en");
}

/// What somebody did with the session `id`, as Okta's log tells it, ten seconds after it was revoked.
fn used(id: &str) -> String {
    json!({
        "kind": "observation", "basis": "imported", "time": "2026-09-21T14:15:10Z", "operation": "application.user_membership.add",
        "source": { "system": "okta", "event_id": format!("use-{id}"), "collector": "okta/1" },
        "executor": { "type": "human", "key": "okta:00u1" }, "outcome": { "status": "success" },
        "credential": { "type": "session", "id": id, "issuer": "okta" },
    })
    .to_string()
}

async fn findings(running: &Running) -> Vec<(String, String)> {
    let answer = running.get("/v1/findings?rule=used-after-revocation").await.json();
    let rows = answer["findings"].as_array().unwrap().iter();
    rows.map(|row| (row["action_id"].as_str().unwrap().to_owned(), row["rule"].as_str().unwrap().to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pushed_revocation_is_recorded_and_what_is_done_after_it_found() {
    let transmitter = Transmitter::start().await;
    let running = start(&transmitter, "push = true").await;
    let size = running.size();
    let set = transmitter.revoked("j-1", "sess-1");
    let answer = push(&running, request(set.clone())).await;
    assert_eq!((answer.status, answer.text()), (202, String::new()));
    assert_eq!(running.size(), size + 1);
    // Sent again it is acknowledged again, and recorded once.
    assert_eq!(push(&running, request(format!("{set}\r\n"))).await.status, 202);
    assert_eq!(running.size(), size + 1);

    let leaf = running.server.engine().ledger().leaf(size).unwrap();
    let record = leaf.skeleton().unwrap();
    assert_eq!(&*record.submitter, "deed:ssf/okta");
    assert_eq!(record.operation.as_deref(), Some("caep:session-revoked"));

    // The order in which they arrive does not matter.
    let later = running.record(&used("sess-1")).await;
    let early = running.record(&used("sess-2")).await;
    running.record(&used("sess-3")).await;
    assert_eq!(push(&running, request(transmitter.revoked("j-2", "sess-2"))).await.status, 202);
    let found = findings(&running).await;
    let mut expected: Vec<_> =
        [later, early].iter().map(|ids| (ids[0].clone(), "used-after-revocation".to_owned())).collect();
    expected.sort();
    let mut sorted = found.clone();
    sorted.sort();
    assert_eq!(sorted, expected);

    let health = running.get("/v1/health").await.json();
    let check = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "ssf").unwrap();
    assert_eq!(check["ok"], true, "{check}");
    let metrics = running.get("/metrics").await.text();
    assert!(metrics.contains("deed_ssf_events_total{transmitter=\"okta\"} 3"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_transmitters_own_event_for_us_is_refused() {
    let transmitter = Transmitter::start().await;
    let running = start(&transmitter, "push = true").await;
    let size = running.size();
    let subject = json!({ "format": "opaque", "id": "s" });
    let claims = |more: Value| {
        let mut claims = transmitter.claims("j", "caep/event-type/session-revoked", &subject);
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    let key = &transmitter.key;
    let good = key.set(&claims(json!({})));
    let typed = |typ: &str| json!({ "alg": "RS256", "typ": typ, "kid": "k1" });
    let (head, signature) = good.rsplit_once('.').unwrap();
    let payload = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    let (header_part, _) = head.split_once('.').unwrap();
    let other = payload(&key.set(&claims(json!({ "jti": "other" }))));
    let none = key.sign(&json!({ "alg": "none", "typ": "secevent+jwt" }), &claims(json!({})));
    let unsigned = format!("{}.", none.rsplit_once('.').unwrap().0);
    for (set, code) in [
        (Key::new().set(&claims(json!({}))), "invalid_key"),
        (
            key.sign(&json!({ "alg": "RS256", "typ": "secevent+jwt", "kid": "k9" }), &claims(json!({}))),
            "invalid_key",
        ),
        (
            key.sign(&json!({ "alg": "HS256", "typ": "secevent+jwt", "kid": "k1" }), &claims(json!({}))),
            "invalid_key",
        ),
        (none, "invalid_key"),
        (unsigned, "invalid_key"),
        (format!("{header_part}.{other}.{signature}"), "invalid_key"),
        (key.set(&claims(json!({ "aud": "https://elsewhere.example" }))), "invalid_audience"),
        (key.set(&claims(json!({ "iss": "https://elsewhere.example" }))), "invalid_issuer"),
        (key.sign(&typed("JWT"), &claims(json!({}))), "invalid_request"),
        (key.sign(&json!({ "alg": "RS256", "kid": "k1" }), &claims(json!({}))), "invalid_request"),
        (key.set(&claims(json!({ "jti": 7 }))), "invalid_request"),
        (key.set(&claims(json!({ "events": {} }))), "invalid_request"),
        ("hunter2".to_owned(), "invalid_request"),
        (String::new(), "invalid_request"),
    ] {
        let answer = push(&running, request(set)).await;
        is_refused(&answer, 400, code);
        assert!(!answer.text().contains("hunter2"));
    }
    is_refused(&push(&running, request(&b"\xff\xfe"[..])).await, 400, "invalid_request");
    is_refused(&push(&running, request(vec![b'a'; 17 << 10])).await, 400, "invalid_request");
    assert_eq!(push(&running, request(vec![b'a'; 1 << 20])).await.status, 413);
    let typeless = by(TOKEN, post("/v1/ssf/okta", "application/jwt", good.clone()));
    is_refused(&push(&running, typeless).await, 400, "invalid_request");
    for request in [
        post("/v1/ssf/okta", SET, good.clone()),
        by("another-another-another-another-", post("/v1/ssf/okta", SET, good.clone())),
        with(post("/v1/ssf/okta", SET, good.clone()), "authorization", TOKEN),
    ] {
        let answer = push(&running, request).await;
        is_refused(&answer, 401, "authentication_failed");
        assert_eq!(answer.header(header::WWW_AUTHENTICATE), "Bearer");
    }
    assert_eq!(push(&running, by(TOKEN, post("/v1/ssf/nobody", SET, good.clone()))).await.status, 404);
    assert_eq!(running.size(), size, "nothing of it was recorded");
    assert_eq!(push(&running, request(good)).await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_key_cannot_be_had_is_neither_taken_nor_refused() {
    let transmitter = Transmitter::start().await;
    // Its document cannot be had.
    let running = start(&transmitter, "push = true\njwks_uri = \"http://127.0.0.1:9/jwks\"").await;
    let answer = push(&running, request(transmitter.revoked("j", "s"))).await;
    assert_eq!((answer.status, answer.problem()), (503, "recorder-unavailable".to_owned()));
    let health = running.get("/v1/health").await.json();
    let check = health["checks"].as_array().unwrap().iter().find(|check| check["name"] == "ssf").unwrap();
    assert_eq!(check["ok"], false);
}

/// Waits until `is_done`.
async fn until(mut is_done: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if is_done() {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come");
}

#[tokio::test(flavor = "multi_thread")]
async fn polled_events_are_acknowledged_when_they_are_durable() {
    let transmitter = Transmitter::start().await;
    transmitter.put("j-1", transmitter.revoked("j-1", "sess-1"));
    transmitter.put(
        "bad",
        Key::new().set(&transmitter.claims("bad", "caep/event-type/session-revoked", &json!({}))),
    );
    transmitter.go_down(true);
    let running = start(&transmitter, &polled(&transmitter)).await;
    transmitter.watch(running.server.engine().ledger().clone());
    // Away, and back.
    until(|| transmitter.heard().2 > 1).await;
    assert_eq!(running.size(), 0);
    transmitter.go_down(false);
    until(|| transmitter.heard().0.len() == 1).await;
    let (acked, errs, _) = transmitter.heard();
    assert_eq!(acked, ["j-1"]);
    assert_eq!(errs.into_iter().collect::<Vec<_>>(), [("bad".to_owned(), "invalid_key".to_owned())]);
    assert_eq!(running.size(), 1);
    // What comes while it waits is heard at once.
    transmitter.put("j-2", transmitter.revoked("j-2", "sess-2"));
    until(|| transmitter.heard().0.len() == 2).await;
    assert_eq!(running.size(), 2);
    let action = running.record(&used("sess-2")).await;
    assert_eq!(findings(&running).await.first().map(|(id, _)| id.clone()), action.into_iter().next());
    // It is no door for pushing, and it stops although it waits for an answer.
    assert_eq!(push(&running, request(transmitter.revoked("j-3", "s"))).await.status, 404);
    running.server.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_and_not_acknowledged_comes_again_and_is_recorded_once() {
    let transmitter = Transmitter::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ssf.token"), TOKEN).unwrap();
    let set = transmitter.revoked("j-1", "sess-1");
    // Pushed before, as by a stream that was changed, and the acknowledgement was lost.
    let server = open(dir.path(), settings(&transmitter, "push = true"), options()).await;
    let address = server.addresses().http.unwrap();
    assert_eq!(call(address, request(set.clone())).await.status, 202);
    server.shutdown().await.unwrap();
    transmitter.put("j-1", set);
    let server = open(dir.path(), settings(&transmitter, &polled(&transmitter)), options()).await;
    until(|| transmitter.heard().0 == ["j-1"]).await;
    assert_eq!(server.engine().ledger().size(), 1);
    let health = call(server.addresses().http.unwrap(), get("/v1/health")).await.json();
    assert_eq!(health["ok"], true, "{health}");
    server.shutdown().await.unwrap();
}

/// Whether something is allowed that Ann asks for.
async fn is_allowed(running: &Running) -> bool {
    let question = json!({
        "subject": { "type": "agent", "id": "release-bot" }, "action": { "name": "deploy" },
        "resource": { "type": "service", "id": "payments" },
        "context": { "deed": { "initiator": { "type": "user", "id": "ann" } } },
    });
    let asked = post("/access/v1/evaluation", "application/json", question.to_string());
    call(running.http(), asked).await.json()["decision"] == true
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disabled_elsewhere_is_stopped_here() {
    let transmitter = Transmitter::start().await;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ssf.token"), TOKEN).unwrap();
    let inventory =
        "[[principal]]\nkey = \"ann\"\ntype = \"human\"\naliases = [\"user:ann\", \"okta:00u1\"]\n";
    std::fs::write(dir.path().join("inventory.toml"), inventory).unwrap();
    let settings = settings(&transmitter, "push = true\nenforce = true");
    let running = Running { server: open(dir.path(), settings, options()).await, dir };
    let user = json!({ "format": "iss_sub", "iss": transmitter.url, "sub": "00u1" });
    let of = |jti: &str, kind: &str| {
        transmitter.key.set(&transmitter.claims(jti, &format!("risc/event-type/{kind}"), &user))
    };
    let disabled = of("j-1", "account-disabled");
    assert!(is_allowed(&running).await);
    assert_eq!(push(&running, request(disabled.clone())).await.status, 202);
    assert!(!is_allowed(&running).await);
    assert_eq!(push(&running, request(of("j-2", "account-enabled"))).await.status, 202);
    assert!(is_allowed(&running).await);
    // What was heard before decides nothing again.
    assert_eq!(push(&running, request(disabled)).await.status, 202);
    assert!(is_allowed(&running).await);
    // All sessions of somebody say nothing of those that come next.
    let revoked = transmitter.claims("j-3", "caep/event-type/session-revoked", &user);
    assert_eq!(push(&running, request(transmitter.key.set(&revoked))).await.status, 202);
    assert!(is_allowed(&running).await);
    assert_eq!(push(&running, request(of("j-4", "credential-compromise"))).await.status, 202);
    assert!(!is_allowed(&running).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_token_does_not_start() {
    let transmitter = Transmitter::start().await;
    for (file, says) in
        [(None, "failed to read"), (Some("hunter2"), "characters"), (Some("\n"), "characters")]
    {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = file {
            std::fs::write(dir.path().join("ssf.token"), text).unwrap();
        }
        let engine = engine(dir.path(), settings(&transmitter, "push = true"));
        let error = deed_server::serve(engine, options()).await.err().expect("refused").to_string();
        assert!(
            error.contains(says) && error.contains("[ssf.okta]") && !error.contains("hunter2"),
            "{error}"
        );
    }
}
