//! The gateway over Streamable HTTP: a real server behind it, and clients of both eras before it.

mod program;
mod spool;
mod upstream;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use bytes::Bytes;
use deed_server::settings::{Behind, McpServer, Right, Settings, Token};
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use self::upstream::Upstream;
use crate::support::{Answer, Plain, Running, by, call, get, open, options, post, with};

/// A gateway before a server.
struct Gateway {
    running: Running,
    upstream: Upstream,
}

impl Gateway {
    async fn start() -> Self {
        Gateway::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let upstream = Upstream::start().await;
        let mut settings = Settings::default();
        settings.mcp.insert("files".into(), server(&upstream.url));
        change(&mut settings);
        Gateway { running: Running::with(settings).await, upstream }
    }

    async fn post(&self, message: &Value) -> Answer {
        call(self.running.http(), legacy(message)).await
    }

    async fn publish(&self, text: &str) {
        let body = json!({ "files": { "a.cedar": text }, "by": "os:ann" }).to_string();
        let published = call(self.running.http(), post("/v1/policies", "application/json", body)).await;
        assert_eq!(published.status, 200, "{}", published.text());
    }

    async fn records(&self, outcomes: usize) -> Vec<Value> {
        records(&self.running, outcomes).await
    }
}

/// The records of the log, once as many outcomes are there as expected.
async fn records(running: &Running, outcomes: usize) -> Vec<Value> {
    let ledger = running.server.engine().ledger();
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let size = ledger.snapshot().size();
        let records: Vec<Value> =
            (0..size).map(|leaf| serde_json::from_slice(&ledger.leaf(leaf).unwrap().leaf).unwrap()).collect();
        if of_kind(&records, "outcome").len() >= outcomes {
            return records;
        }
        assert!(Instant::now() < until, "no {outcomes} outcomes: {records:#?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn server(url: &str) -> McpServer {
    McpServer {
        behind: Behind::Url { url: url.parse().unwrap(), headers: BTreeMap::new(), token: None },
        executor: None,
        initiator: None,
        silence: Duration::from_secs(20),
        wait: Duration::ZERO,
        require_token: None,
    }
}

fn of_kind<'r>(records: &'r [Value], kind: &str) -> Vec<&'r Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

/// How the one call ended.
fn ended(records: &[Value]) -> (String, String) {
    let outcomes = of_kind(records, "outcome");
    let [outcome] = outcomes[..] else { panic!("{outcomes:#?}") };
    let text = |member: &str| outcome["outcome"][member].as_str().unwrap_or_default().to_owned();
    (text("status"), text("code"))
}

fn tool(id: u64, name: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": name, "arguments": {} } })
}

/// A request of 2025-11-25, in the session of the test server or in none.
fn legacy(message: &Value) -> Plain {
    let request = post("/mcp/files", "application/json", message.to_string());
    with(request, "accept", "application/json, text/event-stream")
}

fn in_session(request: Plain) -> Plain {
    with(request, "mcp-session-id", "one-session")
}

/// A request of 2026-07-28.
fn modern(mut message: Value) -> Plain {
    let meta = &mut message["params"]["_meta"];
    meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    meta["io.modelcontextprotocol/clientInfo"] = json!({ "name": "tester", "version": "1" });
    meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let mut request = with(legacy(&message), "mcp-protocol-version", "2026-07-28");
    request = with(request, "mcp-method", message["method"].as_str().unwrap());
    match message["params"]["name"].as_str() {
        Some(name) => with(request, "mcp-name", name),
        None => request,
    }
}

/// An answer whose body is still to come.
async fn begin(address: SocketAddr, mut request: Plain) -> http::Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    request.headers_mut().insert(header::HOST, address.to_string().parse().unwrap());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

async fn next(body: &mut Incoming) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("in time");
    String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
}

/// The message of the last event.
fn last_event(answer: &Answer) -> Value {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).next_back().unwrap();
    serde_json::from_str(data).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_either_era_is_recorded_before_it_is_made() {
    let gateway = Gateway::start().await;
    let answer = call(gateway.running.http(), modern(tool(1, "write"))).await;
    assert_eq!(answer.json()["result"]["content"][0]["text"], "written");
    let answer = gateway.post(&tool(2, "write")).await;
    assert_eq!(answer.json()["id"], 2);
    let records = gateway.records(2).await;
    let intents = of_kind(&records, "intent");
    assert!(intents.iter().all(|intent| intent["basis"] == "enforced"));
    assert_eq!(intents[0]["executor"]["type"], "agent", "what the client calls itself");
    assert_eq!(intents[1]["executor"]["type"], "unknown");
    assert_ne!(intents[0]["trace_id"], intents[1]["trace_id"]);
    let trace = gateway.upstream.headers()["traceparent"].to_str().unwrap().to_owned();
    assert!(trace.contains(intents[1]["trace_id"].as_str().unwrap()));
    assert!(of_kind(&records, "outcome").iter().all(|outcome| outcome["outcome"]["status"] == "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_hears_no_credential_of_the_client_but_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3cret-of-deed\n").unwrap();
    let token = "0123456789abcdef0123456789abcdef-client";
    let gateway = Gateway::with(|settings| {
        let Behind::Url { headers, .. } = &mut settings.mcp.get_mut("files").unwrap().behind else {
            panic!()
        };
        headers.insert("authorization".into(), file);
        settings.tokens.push(mcp_token("agent-7", token));
    })
    .await;
    let request = with(by(token, modern(tool(1, "write"))), "cookie", "a=b");
    assert_eq!(call(gateway.running.http(), request).await.status, 200);
    let headers = gateway.upstream.headers();
    assert_eq!(headers["authorization"], "Bearer s3cret-of-deed");
    assert!(!headers.contains_key("cookie") && !headers.contains_key("origin"));
    assert!(headers["host"].to_str().unwrap().starts_with("127.0.0.1:"));
    let explained = gateway.running.get("/v1/actions").await.text();
    assert!(explained.contains("token:agent-7"), "{explained}");
    // A token without the right, and one that nobody knows.
    let stranger =
        call(gateway.running.http(), by("nobody-knows-this-token-0123456789abc", modern(tool(2, "write"))))
            .await;
    assert_eq!((stranger.status, stranger.header("www-authenticate")), (401, "Bearer"));
    assert_eq!(gateway.upstream.called(), ["write"]);
    let records = gateway.records(2).await;
    assert_eq!(of_kind(&records, "intent")[1]["decision"]["effect"], "deny");
}

fn mcp_token(name: &str, token: &str) -> Token {
    let hash = deed_seal::hash::Hash::of(token.as_bytes()).0;
    Token { name: name.into(), hash, tenant: None, rights: BTreeSet::from([Right::Mcp]) }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_say_something_else_are_refused() {
    let gateway = Gateway::start().await;
    for (name, value) in
        [("mcp-name", "read"), ("mcp-method", "tools/list"), ("mcp-protocol-version", "2025-11-25")]
    {
        let answer = call(gateway.running.http(), with(modern(tool(1, "write")), name, value)).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32020)), "{name}");
        assert_eq!(answer.json()["id"], 1);
    }
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","name":"write"}}"#;
    let answer = call(gateway.running.http(), post("/mcp/files", "application/json", twice)).await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &json!(-32600)));
    assert_eq!(call(gateway.running.http(), post("/mcp/files", "text/plain", "{}")).await.status, 415);
    assert_eq!(call(gateway.running.http(), get("/mcp/nobody")).await.status, 404);
    assert!(gateway.upstream.called().is_empty());
    let records = gateway.records(5).await;
    assert!(of_kind(&records, "intent").iter().all(|intent| intent["decision"]["effect"] == "deny"));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_sites_are_refused_and_recorded() {
    let gateway = Gateway::start().await;
    for (name, value) in [("host", "evil.example"), ("origin", "http://evil.example")] {
        let answer = call(gateway.running.http(), with(modern(tool(1, "write")), name, value)).await;
        assert_eq!(answer.status, 403, "{name}");
    }
    let own = format!("http://{}", gateway.running.http());
    assert_eq!(
        call(gateway.running.http(), with(modern(tool(1, "write")), "origin", &own)).await.status,
        200
    );
    let records = gateway.records(3).await;
    assert_eq!(of_kind(&records, "intent")[0]["decision"]["effect"], "deny");
    assert_eq!(gateway.upstream.called(), ["write"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_its_callers_own() {
    let (one, two) = ("one-0123456789abcdef0123456789abcdef", "two-0123456789abcdef0123456789abcdef");
    let gateway = Gateway::with(|settings| {
        settings.tokens.extend([mcp_token("one", one), mcp_token("two", two)]);
    })
    .await;
    let address = gateway.running.http();
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "clientInfo": { "name": "tester" } } });
    let answer = call(address, by(one, legacy(&begun))).await;
    assert_eq!(answer.header("mcp-session-id"), "one-session");
    let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
    assert_eq!(call(address, by(one, in_session(legacy(&initialized)))).await.status, 202);
    assert_eq!(call(address, by(one, in_session(legacy(&tool(1, "write"))))).await.status, 200);
    assert_eq!(call(address, by(two, in_session(legacy(&tool(1, "write"))))).await.status, 404);
    let unknown = with(by(one, legacy(&tool(1, "write"))), "mcp-session-id", "another");
    assert_eq!(call(address, unknown).await.status, 404);
    let mut ends = get("/mcp/files");
    *ends.method_mut() = http::Method::DELETE;
    assert_eq!(call(address, by(one, in_session(ends))).await.status, 200);
    assert_eq!(call(address, by(one, in_session(legacy(&tool(2, "write"))))).await.status, 404);
    assert_eq!(gateway.upstream.called(), ["write"]);
    let records = gateway.records(6).await;
    let sessions: Vec<&Value> = of_kind(&records, "intent")
        .iter()
        .filter(|i| i["decision"].is_null() || i["decision"]["effect"] == "allow")
        .map(|i| &i["session"])
        .collect();
    assert!(sessions.len() == 3 && sessions.iter().all(|session| *session == sessions[0]), "{sessions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_task_nobody_hears_but_whose_it_is() {
    let (one, two) = ("one-0123456789abcdef0123456789abcdef", "two-0123456789abcdef0123456789abcdef");
    let gateway = Gateway::with(|settings| {
        settings.tokens.extend([mcp_token("one", one), mcp_token("two", two)]);
    })
    .await;
    let address = gateway.running.http();
    let begun = call(address, by(one, legacy(&tool(1, "later")))).await.text();
    assert!(begun.contains("t-1"), "{begun}");
    let heard = call(address, by(one, legacy(&tool(2, "tell")))).await.text();
    assert_eq!((heard.matches("DE-4711").count(), heard.matches("told").count()), (3, 1), "{heard}");
    let heard = call(address, by(two, legacy(&tool(1, "tell")))).await.text();
    assert_eq!((heard.matches("DE-4711").count(), heard.matches("told").count()), (0, 1), "{heard}");
    // The server hears that its question went nowhere.
    let answered = || {
        let requests = gateway.upstream.seen.requests.lock().unwrap();
        let answers = requests.iter().filter(|(_, _, body)| body["id"] == 9 && body.get("error").is_some());
        answers.map(|(_, _, body)| body["error"]["code"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(answered(), [json!(-31403)]);
    for method in ["tasks/get", "tasks/result", "tasks/cancel", "tasks/update"] {
        for params in [
            r#"{"taskId":"t-1"}"#,
            r#"{"taskId":"t-1","task":{"ttl":60000}}"#,
            r#"{"taskId":"t-1","task":{"taskId":"t-2"}}"#,
            r#"{"task":{},"t\u0061skId":"t-1"}"#,
            // Nobody can be shown to have begun it.
            r#"{"taskId":"t-9"}"#,
        ] {
            let asks = format!(r#"{{"jsonrpc":"2.0","id":5,"method":"{method}","params":{params}}}"#);
            let asks = post("/mcp/files", "application/json", asks);
            let refused = call(address, by(two, asks)).await.json();
            assert_eq!(refused["error"]["message"], "no such task of yours", "{method} {params}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_task_is_outlives_a_restart() {
    let (one, two) = ("one-0123456789abcdef0123456789abcdef", "two-0123456789abcdef0123456789abcdef");
    let upstream = Upstream::start().await;
    let settings = || {
        let mut settings = Settings::default();
        settings.mcp.insert("files".into(), server(&upstream.url));
        settings.tokens.extend([mcp_token("one", one), mcp_token("two", two)]);
        settings
    };
    let running = Running::with(settings()).await;
    call(running.http(), by(one, legacy(&tool(1, "later")))).await;
    let action = of_kind(&records(&running, 1).await, "intent")[0]["id"].clone();
    let Running { server, dir } = running;
    server.shutdown().await.unwrap();
    let running = Running { server: open(dir.path(), settings(), options()).await, dir };
    let address = running.http();
    let asks = |method: &str| {
        legacy(&json!({ "jsonrpc": "2.0", "id": 5, "method": method, "params": { "taskId": "t-1" } }))
    };
    for method in ["tasks/get", "tasks/cancel"] {
        let refused = call(address, by(two, asks(method))).await.json();
        assert_eq!(refused["error"]["message"], "no such task of yours", "{method}");
    }
    let list = json!({ "jsonrpc": "2.0", "id": 6, "method": "tasks/list", "params": {} });
    let listed =
        async |who: &str| call(address, by(who, legacy(&list))).await.json()["result"]["tasks"].clone();
    assert_eq!(listed(two).await, json!([]));
    assert_eq!(listed(one).await[0]["taskId"], "t-1");
    for _ in 0..2 {
        let got = call(address, by(one, asks("tasks/get"))).await.json();
        assert_eq!(got["result"]["status"], "failed", "{got}");
    }
    // How it ended goes to the call that began it, and the request that asked has ended well.
    let records = records(&running, 8).await;
    let said = of_kind(&records, "outcome").into_iter().filter(|outcome| outcome["action"] == action);
    let said: Vec<_> = said.map(|outcome| outcome["outcome"]["status"].clone()).collect();
    assert_eq!(said, ["success", "failure"]);
    let asked = of_kind(&records, "intent").into_iter().rfind(|intent| intent["operation"] == "tasks/get");
    let asked = asked.map(|intent| intent["id"].clone()).unwrap();
    let ended = of_kind(&records, "outcome").into_iter().find(|outcome| outcome["action"] == asked).unwrap();
    let (status, code) = (&ended["outcome"]["status"], &ended["outcome"]["code"]);
    assert_eq!((status, code), (&json!("success"), &json!("task_failed")));
    // Nobody learns from a record by what name the server knows the task.
    assert!(!json!(records).to_string().contains("t-1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_task_ended_is_recorded_where_it_was_begun() {
    let (one, two) = ("one-0123456789abcdef0123456789abcdef", "two-0123456789abcdef0123456789abcdef");
    let gateway = Gateway::with(|settings| {
        settings.tokens.extend([mcp_token("one", one), mcp_token("two", two)]);
    })
    .await;
    let address = gateway.running.http();
    call(address, by(one, legacy(&tool(1, "later")))).await;
    for (who, tells, outcomes) in [(two, 1, 1), (one, 2, 2)] {
        call(address, by(who, legacy(&tool(2, "tell")))).await;
        let records = gateway.records(tells + outcomes).await;
        let action = of_kind(&records, "intent")[0]["id"].clone();
        let said = of_kind(&records, "outcome").into_iter().filter(|outcome| outcome["action"] == action);
        assert_eq!(said.count(), outcomes, "{records:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_task_fails_is_told_as_failed_once_that_is_known() {
    let asks = |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 2, "method": method, "params": params });
    let named = json!({ "taskId": "t-1" });
    // As the TypeScript SDK asks.
    let with_ttl = json!({ "taskId": "t-1", "task": { "ttl": 60000 } });
    for (learns, code) in [
        (asks("tasks/get", named.clone()), "task_failed"),
        (asks("tasks/result", named), "is_error"),
        (asks("tasks/result", with_ttl), "is_error"),
        (tool(2, "tell"), "task_failed"),
    ] {
        let gateway = Gateway::start().await;
        gateway.post(&tool(1, "later")).await;
        let records = gateway.records(1).await;
        assert_eq!(ended(&records), ("success".into(), "".into()));
        let action = of_kind(&records, "intent")[0]["id"].clone();
        // However often it is told, it is recorded once.
        for _ in 0..2 {
            gateway.post(&learns).await;
        }
        let records = gateway.records(4).await;
        let outcomes = of_kind(&records, "outcome").into_iter().filter(|outcome| outcome["action"] == action);
        let said: Vec<_> = outcomes.map(|outcome| outcome["outcome"]["status"].clone()).collect();
        assert_eq!(said, ["success", "failure"], "{learns}");
        let path = format!("/v1/actions/{}", action.as_str().unwrap());
        let explained = gateway.running.get(&format!("{path}/explain")).await.json();
        let found = (&explained["outcome"]["status"], &explained["outcome"]["code"]);
        assert_eq!(found, (&json!("failure"), &json!(code)), "{learns}: {explained}");
        let listed = gateway.running.get("/v1/actions").await.text();
        let line = listed.lines().find(|line| line.contains(action.as_str().unwrap()));
        assert!(line.is_some_and(|line| line.contains("failure")), "{listed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_asks_for_a_task_is_refused_with_an_error() {
    let gateway = Gateway::start().await;
    gateway.publish("@id(\"none\") forbid (principal, action, resource);").await;
    let mut asks = tool(1, "later");
    assert_eq!(gateway.post(&asks).await.json()["result"]["isError"], true);
    asks["params"]["task"] = json!({ "ttl": 60000 });
    let refused = gateway.post(&asks).await.json();
    assert_eq!(refused["error"]["code"], -31403, "{refused}");
    assert_eq!(refused["error"]["data"]["policies"], json!(["none"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_or_asked_is_accepted_recorded_and_goes_no_further() {
    let gateway = Gateway::start().await;
    let says = json!({ "jsonrpc": "2.0", "method": "notifications/other", "params": {} });
    let answers = json!({ "jsonrpc": "2.0", "id": 7, "result": {} });
    for message in [&says, &answers] {
        let answer = gateway.post(message).await;
        assert_eq!((answer.status, &*answer.text()), (202, ""));
    }
    // What could be read in two ways is refused as ever.
    let twice = says.to_string().replace("\"params\"", "\"method\":\"notifications/cancelled\",\"params\"");
    let twice = post("/mcp/files", "application/json", twice);
    assert_eq!(call(gateway.running.http(), twice).await.status, 400);
    assert!(gateway.upstream.seen.requests.lock().unwrap().is_empty());
    let records = gateway.records(3).await;
    let codes: Vec<&str> =
        of_kind(&records, "outcome").iter().map(|o| o["outcome"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["unknown_method", "unasked", "malformed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_pass_as_they_come() {
    let gateway = Gateway::start().await;
    let answer = begin(gateway.running.http(), modern(tool(1, "stream"))).await;
    assert_eq!(answer.headers()["x-accel-buffering"], "no");
    let mut body = answer.into_body();
    assert!(next(&mut body).await.contains("notifications/progress"));
    // Only now does the server go on.
    gateway.upstream.seen.go_on.notify_one();
    assert!(next(&mut body).await.contains("streamed"));
    assert_eq!(ended(&gateway.records(1).await).0, "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_cancels_since_2026() {
    let gateway = Gateway::start().await;
    drop(begin(gateway.running.http(), modern(tool(1, "silent"))).await);
    assert_eq!(ended(&gateway.records(1).await), ("cancelled".into(), "client".into()));
    let until = Instant::now() + Duration::from_secs(20);
    while !gateway.upstream.seen.left.load(Ordering::SeqCst) {
        assert!(Instant::now() < until, "the server was not told");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_at_any_moment_leaves_nothing_open() {
    let gateway = Gateway::start().await;
    for _ in 0..20 {
        drop(begin(gateway.running.http(), modern(tool(1, "chatter"))).await);
    }
    let records = gateway.records(20).await;
    assert!(of_kind(&records, "outcome").iter().all(|outcome| outcome["outcome"]["status"] == "cancelled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_added_where_it_would_change_the_era() {
    let gateway = Gateway::start().await;
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    call(gateway.running.http(), legacy(&begun)).await;
    call(gateway.running.http(), in_session(legacy(&tool(1, "write")))).await;
    let requests = gateway.upstream.seen.requests.lock().unwrap();
    assert!(requests[0].2["params"].get("_meta").is_none(), "{}", requests[0].2);
    assert!(requests[1].2["params"]["_meta"]["traceparent"].is_string(), "{}", requests[1].2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_before_2026_still_gets_the_end_recorded() {
    let gateway = Gateway::start().await;
    let mut body = begin(gateway.running.http(), legacy(&tool(1, "stream"))).await.into_body();
    next(&mut body).await;
    drop(body);
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.upstream.seen.go_on.notify_one();
    assert_eq!(ended(&gateway.records(1).await).0, "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_taken_up_again_is_masked_and_recorded_once() {
    let gateway = Gateway::start().await;
    gateway.publish("@id(\"rest\") @mask(\"result.tax_id\") permit (principal, action, resource);").await;
    let address = gateway.running.http();
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    call(address, legacy(&begun)).await;
    let polled = call(address, in_session(legacy(&tool(1, "poll")))).await;
    assert!(polled.text().contains("retry: 5"), "{}", polled.text());
    for _ in 0..2 {
        let resumed = call(address, with(in_session(get("/mcp/files")), "last-event-id", "1")).await;
        let heard = last_event(&resumed);
        assert_eq!(heard["result"]["structuredContent"]["name"], "Initech");
        assert!(!resumed.text().contains("DE-4711"), "{}", resumed.text());
        assert!(resumed.text().contains("id: 2"));
    }
    let records = gateway.records(4).await;
    let call_of = |record: &&&Value| record["operation"] == "tools/call";
    let calls: Vec<_> = of_kind(&records, "intent").into_iter().collect();
    let intent = calls.iter().find(call_of).unwrap();
    let outcomes: Vec<_> = of_kind(&records, "outcome")
        .into_iter()
        .filter(|outcome| outcome["action"] == intent["id"])
        .collect();
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["outcome"]["status"], "success");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_withheld_stays_withheld_when_a_stream_is_taken_up_again() {
    let gateway = Gateway::start().await;
    gateway.publish(MASKED_TWO).await;
    let address = gateway.running.http();
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    call(address, legacy(&begun)).await;
    let resume =
        |event: &'static str| call(address, with(in_session(get("/mcp/files")), "last-event-id", event));
    let is_masked = |answer: &Answer| {
        assert_eq!(last_event(answer)["result"]["structuredContent"]["name"], "Initech");
        assert!(!answer.text().contains("4711"), "{}", answer.text());
    };
    is_masked(&call(address, in_session(legacy(&tool(1, "kept")))).await);
    for event in ["kept-0", "kept-1", "kept-0"] {
        is_masked(&resume(event).await);
    }
    assert_eq!(resume("kept-2").await.text(), "");

    // Its id is another call's by now, of which nothing is masked.
    call(address, in_session(legacy(&tool(1, "poll")))).await;
    is_masked(&resume("1").await);
    let written = call(address, in_session(legacy(&tool(1, "write")))).await;
    assert!(written.text().contains("written"), "{}", written.text());
    is_masked(&resume("kept-0").await);
    is_masked(&resume("1").await);
    let mut under_way = begin(address, in_session(legacy(&tool(1, "stream")))).await.into_body();
    assert!(next(&mut under_way).await.contains("progress"));
    is_masked(&resume("kept-0").await);
    is_masked(&resume("1").await);
    gateway.upstream.seen.go_on.notify_one();
    assert!(next(&mut under_way).await.contains("streamed"), "its own answer");

    // What nobody heard here may be anybody's.
    for event in ["kept-7", "other", ""] {
        let refused = resume(event).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!(-32600)), "{event}");
    }
    let elsewhere = call(address, with(get("/mcp/files"), "last-event-id", "kept-0")).await;
    assert_eq!(elsewhere.status, 400, "{}", elsewhere.text());
    let codes = statuses(&gateway.records(17).await);
    assert_eq!(codes.iter().filter(|(_, code)| code == "unknown_event").count(), 4, "{codes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_told_again_shows_no_more_than_before() {
    let gateway = Gateway::start().await;
    gateway
        .publish(
            "@id(\"rest\") permit (principal, action, resource);\n\
         @id(\"no-wipe\") forbid (principal, action, resource == Deed::Tool::\"files/wipe\");",
        )
        .await;
    let address = gateway.running.http();
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    call(address, legacy(&begun)).await;
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "cursor": "kept" } });
    let listed = call(address, in_session(legacy(&list))).await;
    let again = call(address, with(in_session(get("/mcp/files")), "last-event-id", "list-0")).await;
    for answer in [listed, again] {
        assert_eq!(last_event(&answer)["result"]["tools"], json!([{ "name": "write" }]), "{}", answer.text());
    }
}

const MASKED_TWO: &str = "@id(\"rest\") permit (principal, action, resource) unless\n\
    { resource == Deed::Tool::\"files/kept\" || resource == Deed::Tool::\"files/poll\" };\n\
    @id(\"kept\") @mask(\"result.tax_id\") permit (principal, action, resource == Deed::Tool::\"files/kept\");\n\
    @id(\"poll\") @mask(\"result.tax_id\") permit (principal, action, resource == Deed::Tool::\"files/poll\");";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_masked_does_not_stand_beside_the_messages_of_a_stream() {
    let gateway = Gateway::start().await;
    gateway.publish("@id(\"rest\") @mask(\"result.tax_id\") permit (principal, action, resource);").await;
    let address = gateway.running.http();
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    call(address, legacy(&begun)).await;
    let answer = call(address, in_session(legacy(&tool(1, "aside")))).await;
    assert_eq!(last_event(&answer)["result"]["structuredContent"]["name"], "Initech");
    assert!(answer.text().starts_with(":\n\nevent: other\nid: 1\n"), "{}", answer.text());
    assert!(!answer.text().to_lowercase().contains("4711"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_asks_is_answered_by_who_was_asked() {
    let gateway = Gateway::start().await;
    let address = gateway.running.http();
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    call(address, legacy(&begun)).await;
    let mut body = begin(address, in_session(legacy(&tool(1, "ask")))).await.into_body();
    assert!(next(&mut body).await.contains("elicitation/create"));
    let answer = |id: u64| json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept" } });
    assert_eq!(call(address, in_session(legacy(&answer(7)))).await.status, 202, "nobody asked");
    assert_eq!(call(address, in_session(legacy(&answer(0)))).await.status, 202);
    assert_eq!(call(address, in_session(legacy(&answer(0)))).await.status, 202, "once");
    assert!(next(&mut body).await.contains("asked"));
    let records = gateway.records(4).await;
    let asked: Vec<_> =
        of_kind(&records, "intent").into_iter().filter(|i| i["operation"] == "elicitation/create").collect();
    assert_eq!(asked[0]["executor"]["type"], "workload");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_requests_of_one_id_at_once_one_is_let_through() {
    let gateway = Gateway::start().await;
    let address = gateway.running.http();
    let begun = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {} });
    call(address, legacy(&begun)).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..12 {
        asked.spawn(async move { begin(address, in_session(legacy(&tool(1, "stream")))).await });
    }
    let answers = asked.join_all().await;
    let (let_through, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status() == 200);
    assert_eq!((let_through.len(), refused.len()), (1, 11));
    assert!(refused.iter().all(|answer| answer.status() == 400));
    assert_eq!(gateway.upstream.called(), ["stream"]);
    gateway.upstream.seen.go_on.notify_one();
    for mut answer in let_through {
        assert!(next(answer.body_mut()).await.contains("progress"));
        assert!(next(answer.body_mut()).await.contains("streamed"));
    }
    gateway.records(13).await;
    // Once it has its answer, the id is free.
    assert_eq!(call(address, in_session(legacy(&tool(1, "write")))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_of_2026_asks_is_recorded_as_asked_by_it() {
    let gateway = Gateway::start().await;
    let mut body = begin(gateway.running.http(), modern(tool(1, "ask"))).await.into_body();
    gateway.upstream.seen.go_on.notify_one();
    let heard = next(&mut body).await;
    assert!(heard.contains("asked") && !heard.contains("elicitation/create"), "{heard}");
    let records = gateway.records(2).await;
    let intents = of_kind(&records, "intent");
    let asked = intents.iter().find(|intent| intent["operation"] == "elicitation/create").unwrap();
    assert_eq!(asked["executor"]["type"], "workload");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_policy_denies_and_masks() {
    let gateway = Gateway::start().await;
    gateway
        .publish(
            "@id(\"rest\") @mask(\"result.tax_id\") permit (principal, action, resource);\n\
             @id(\"no-write\") forbid (principal, action, resource == Deed::Tool::\"files/write\");",
        )
        .await;
    let denied = call(gateway.running.http(), modern(tool(1, "write"))).await;
    assert_eq!((denied.status, &denied.json()["result"]["isError"]), (200, &json!(true)));
    assert!(denied.text().contains("no-write"));
    let masked = call(gateway.running.http(), modern(tool(2, "vendor"))).await;
    assert!(masked.text().contains("Initech") && !masked.text().contains("DE-4711"), "{}", masked.text());
    assert_eq!(gateway.upstream.called(), ["vendor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_read_are_recorded() {
    let gateway = Gateway::start().await;
    let address = gateway.running.http();
    let gzip = with(legacy(&tool(1, "write")), "content-encoding", "gzip");
    let unknown = with(legacy(&tool(1, "write")), "content-encoding", "br");
    for (request, status) in [(gzip, 400), (unknown, 415)] {
        let refused = call(address, request).await;
        assert_eq!(
            (refused.status, &refused.json()["jsonrpc"]),
            (status, &json!("2.0")),
            "{}",
            refused.text()
        );
    }
    let records = gateway.records(2).await;
    let codes = of_kind(&records, "outcome").into_iter().map(|outcome| outcome["outcome"]["code"].clone());
    assert_eq!(codes.collect::<Vec<_>>(), ["unread", "unread"]);
    assert!(gateway.upstream.called().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn restricted_fields_that_nobody_masked_are_found() {
    let gateway = Gateway::start().await;
    let inventory =
        "[[resource]]\nmatch = \"mcp:files/vendor\"\nrestricted_fields = [\"tax_id\", \"iban\"]\n";
    let mut put = post("/v1/inventory?by=human:ann", "application/toml", inventory);
    *put.method_mut() = http::Method::PUT;
    assert_eq!(call(gateway.running.http(), put).await.status, 200);
    let given = call(gateway.running.http(), modern(tool(1, "vendor"))).await;
    assert!(given.text().contains("DE-4711"), "{}", given.text());
    let outcome = of_kind(&gateway.records(1).await, "outcome")[0].clone();
    assert_eq!(outcome["outcome"]["fields"], json!(["tax_id"]), "{outcome}");

    gateway.publish("@id(\"rest\") @mask(\"result.tax_id\") permit (principal, action, resource);").await;
    call(gateway.running.http(), modern(tool(2, "vendor"))).await;
    let masked = of_kind(&gateway.records(2).await, "outcome")[1].clone();
    assert_eq!(masked["outcome"]["fields"], Value::Null, "{masked}");

    let found = gateway.running.get("/v1/findings?rule=restricted-field-read").await.json();
    assert_eq!(found["findings"].as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(found["findings"][0]["action_id"], outcome["action"], "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_misbehave() {
    let gateway = Gateway::with(|settings| {
        settings.mcp.get_mut("files").unwrap().silence = Duration::from_secs(1);
        let mut nobody = server("http://127.0.0.1:1/mcp");
        nobody.silence = Duration::from_secs(5);
        settings.mcp.insert("gone".into(), nobody);
    })
    .await;
    let address = gateway.running.http();
    for (n, (name, status, code)) in [
        // What an answer did that nobody can read is not known (D11), nor what was done before a server failed.
        ("huge", "unknown", "too_long"),
        ("forbid", "failure", "http_401"),
        ("other", "unknown", "malformed"),
        ("fail", "unknown", "http_503"),
        ("nothing", "failure", "-32602"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = call(address, modern(tool(1, name))).await;
        let expected = match name {
            "forbid" => 502,
            "fail" => 503,
            _ => 200,
        };
        assert_eq!(answer.status, expected, "{name}: {}", answer.text());
        assert!(answer.json()["error"]["code"].is_i64());
        let records = gateway.records(n + 1).await;
        let outcome = of_kind(&records, "outcome")[n];
        assert_eq!(
            (&outcome["outcome"]["status"], &outcome["outcome"]["code"]),
            (&json!(status), &json!(code))
        );
    }
    // Silent for longer than it may be: what became of it nobody knows.
    let silent = call(address, modern(tool(1, "silent"))).await;
    assert_eq!(last_event(&silent)["error"]["code"], -31502);
    let records = gateway.records(6).await;
    assert_eq!(of_kind(&records, "outcome")[5]["outcome"]["status"], "unknown");
    let request = modern(tool(1, "write"));
    let (mut parts, body) = request.into_parts();
    parts.uri = "/mcp/gone".parse().unwrap();
    let gone = call(address, Request::<Full<Bytes>>::from_parts(parts, body)).await;
    assert_eq!((gone.status, &gone.json()["error"]["code"]), (200, &json!(-31502)));
    let records = gateway.records(7).await;
    assert_eq!(of_kind(&records, "outcome")[6]["outcome"]["code"], "unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_not_done() {
    let upstream = Upstream::start().await;
    let mut settings = Settings::default();
    settings.mcp.insert("files".into(), server(&upstream.url));
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let running = open(&store, settings, options()).await;
    let address = running.addresses().http.unwrap();
    assert_eq!(call(address, modern(tool(1, "write"))).await.status, 200);
    std::fs::rename(&store, dir.path().join("moved")).unwrap();
    let refused = call(address, modern(tool(2, "write"))).await;
    assert!(refused.text().contains("recorder cannot write"), "{}", refused.text());
    let listed =
        call(address, modern(json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/list", "params": {} })))
            .await;
    assert_eq!((listed.status, &listed.json()["error"]["code"]), (200, &json!(-31503)));
    assert_eq!(upstream.called(), ["write"]);
}

const ASK_FIRST: &str = "@id(\"rest\") permit (principal, action, resource);\n\
    @id(\"ask-first\") @effect(\"step_up\") forbid (principal, action, resource == Deed::Tool::\"files/write\");";

/// A request of a client that can show its user a URL, with what its user answered to `state`.
fn showing(id: u64, answers: Option<(&str, &str)>) -> Plain {
    let mut message = tool(id, "write");
    if let Some((action, state)) = answers {
        message["params"]["inputResponses"] = json!({ "deed_approval": { "action": action } });
        message["params"]["requestState"] = json!(state);
    }
    let request = modern(message.clone());
    let (parts, _) = request.into_parts();
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": { "elicitation": { "url": {} } },
    });
    Request::from_parts(parts, Full::from(message.to_string()))
}

impl Gateway {
    /// A human approves the action.
    async fn approve(&self, action: &str) {
        let path = format!("/v1/approvals/{action}");
        let reply = json!({ "approved": true, "by": { "type": "human", "key": "human:bob" } }).to_string();
        let approved = call(self.running.http(), post(&path, "application/json", reply)).await;
        assert_eq!(approved.status, 200, "{}", approved.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_shows_urls_comes_again_once_somebody_approved() {
    let gateway = Gateway::with(|settings| {
        settings.mcp.get_mut("files").unwrap().wait = Duration::from_secs(10);
    })
    .await;
    gateway.publish(ASK_FIRST).await;
    let address = gateway.running.http();
    let asked = call(address, showing(1, None)).await.json();
    assert_eq!(asked["result"]["resultType"], "input_required", "{asked}");
    let (shown, state) =
        (&asked["result"]["inputRequests"]["deed_approval"]["params"], &asked["result"]["requestState"]);
    let (url, state) = (shown["url"].as_str().unwrap(), state.as_str().unwrap());
    let path = url.strip_prefix(&format!("http://{address}")).unwrap();
    let page = call(address, get(path)).await;
    let action = path.rsplit('/').next().unwrap();
    assert!(page.text().contains(&format!("deed approve {action}")));
    assert!(!page.text().contains("write"), "it tells nothing of the action");

    // With other arguments, another state, or as somebody else it is another call.
    let mut other = tool(2, "write");
    other["params"]["arguments"] = json!({ "path": "/etc" });
    other["params"]["inputResponses"] = json!({ "deed_approval": { "action": "accept" } });
    other["params"]["requestState"] = json!(state);
    for wrong in [modern(other), showing(2, Some(("accept", "0123456789abcdef")))] {
        let refused = call(address, wrong).await;
        assert_eq!((refused.status, &refused.json()["error"]["code"]), (400, &json!(-32602)));
    }
    gateway.approve(action).await;
    let answer = call(address, showing(3, Some(("accept", state)))).await.json();
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(3), &json!("written")));
    assert_eq!(call(address, showing(4, Some(("accept", state)))).await.status, 400, "once");
    assert_eq!(gateway.upstream.called(), ["write"]);
    let sent = gateway.upstream.seen.requests.lock().unwrap()[0].2.clone();
    assert_eq!((&sent["id"], sent["params"].get("inputResponses")), (&json!(3), None));
    // One call was made, three were refused.
    gateway.records(4).await;
    let explained = gateway.running.get(&format!("/v1/actions/{action}/explain")).await.json();
    assert_eq!(explained["approvals"].as_array().map(Vec::len), Some(1), "{explained}");
    assert_eq!(explained["outcome"]["status"], "success");

    let asked = call(address, showing(5, None)).await.json();
    let declined =
        call(address, showing(6, Some(("decline", asked["result"]["requestState"].as_str().unwrap())))).await;
    assert_eq!(declined.json()["error"]["code"], -31403);
    assert_eq!(gateway.upstream.called(), ["write"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_2025_that_shows_urls_calls_again() {
    let gateway = Gateway::with(|settings| {
        settings.mcp.get_mut("files").unwrap().wait = Duration::from_secs(10);
    })
    .await;
    gateway.publish(ASK_FIRST).await;
    let address = gateway.running.http();
    let begun = json!({
        "jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": { "capabilities": { "elicitation": { "url": {} } }, "clientInfo": { "name": "tester" } },
    });
    call(address, legacy(&begun)).await;
    let asked = call(address, in_session(legacy(&tool(1, "write")))).await.json();
    assert_eq!(asked["error"]["code"], -32042, "{asked}");
    let shown = &asked["error"]["data"]["elicitations"][0];
    let action = shown["elicitationId"].as_str().unwrap();
    assert!(shown["mode"] == "url" && shown["url"].as_str().unwrap().ends_with(action));
    gateway.approve(action).await;
    let answer = call(address, in_session(legacy(&tool(2, "write")))).await.json();
    assert_eq!(answer["result"]["content"][0]["text"], "written", "{answer}");
    let again = call(address, in_session(legacy(&tool(3, "write")))).await.json();
    assert_eq!(again["error"]["code"], -32042, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_for_a_human_can_be_called_off() {
    let gateway = Gateway::with(|settings| {
        settings.mcp.get_mut("files").unwrap().wait = Duration::from_secs(20);
    })
    .await;
    gateway.publish(ASK_FIRST).await;
    let address = gateway.running.http();
    let begun =
        json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "capabilities": {} } });
    call(address, legacy(&begun)).await;
    let held = tokio::spawn(call(address, in_session(legacy(&tool(1, "write")))));
    let waiting =
        async || call(address, get("/v1/approvals")).await.json()["approvals"].as_array().map_or(0, Vec::len);
    while waiting().await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let off = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 1 } });
    assert_eq!(call(address, in_session(legacy(&off))).await.status, 202);
    let since = Instant::now();
    assert_eq!(held.await.unwrap().status, 202);
    assert!(since.elapsed() < Duration::from_secs(10), "it does not wait on");
    let outcomes = gateway.records(2).await;
    assert!(statuses(&outcomes).contains(&("cancelled".into(), "client".into())), "{outcomes:#?}");
    assert_eq!(waiting().await, 0);
    assert!(gateway.upstream.called().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_on_record() {
    let gateway = Gateway::start().await;
    for (n, method) in ["PUT", "PATCH", "OPTIONS", "HEAD", "BREW"].into_iter().enumerate() {
        let mut request = legacy(&tool(1, "write"));
        *request.method_mut() = method.parse().unwrap();
        let answer = call(gateway.running.http(), request).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "DELETE, GET, POST"), "{method}");
        let records = gateway.records(n + 1).await;
        assert_eq!(of_kind(&records, "outcome")[n]["outcome"]["code"], "method", "{method}");
    }
    assert!(gateway.upstream.seen.requests.lock().unwrap().is_empty());
}

/// How calls ended.
fn statuses(records: &[Value]) -> Vec<(String, String)> {
    let of =
        |outcome: &Value, member: &str| outcome["outcome"][member].as_str().unwrap_or_default().to_owned();
    of_kind(records, "outcome").iter().map(|outcome| (of(outcome, "status"), of(outcome, "code"))).collect()
}

/// INVARIANT D11: what the server says just when somebody is suspended is dealt with to its end.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_while_somebody_is_suspended_has_an_end() {
    let gateway = Gateway::with(|settings| {
        settings.mcp.get_mut("files").unwrap().executor = Some("agent:bot".parse().unwrap());
    })
    .await;
    let address = gateway.running.http();
    let suspend = async |suspended: bool| {
        let body = json!({ "what": "agent:bot", "suspended": suspended, "by": { "type": "human", "key": "human:ann" } });
        let request = post("/v1/suspensions", "application/json", body.to_string());
        assert_eq!(call(address, request).await.status, 200);
    };
    // The answer comes before, while and after that is recorded.
    const TIMES: usize = 96;
    for n in 0..TIMES {
        let list =
            json!({ "jsonrpc": "2.0", "id": n, "method": "tools/list", "params": { "cursor": "late" } });
        let body = begin(address, modern(list)).await.into_body();
        let answer = async {
            tokio::time::sleep(Duration::from_millis(n as u64 % 24)).await;
            gateway.upstream.seen.go_on.notify_one();
        };
        let (_, _, heard) = tokio::join!(suspend(true), answer, body.collect());
        heard.unwrap();
        suspend(false).await;
        // What nobody heard is not waited for by the next.
        tokio::time::timeout(Duration::from_millis(1), gateway.upstream.seen.go_on.notified()).await.ok();
    }
    let recorded = gateway.records(TIMES).await;
    let ends = |intent: &Value| {
        of_kind(&recorded, "outcome").iter().filter(|outcome| outcome["action"] == intent["id"]).count()
    };
    let lists = of_kind(&recorded, "intent");
    assert_eq!(lists.len(), TIMES);
    assert!(lists.iter().all(|intent| ends(intent) == 1), "{recorded:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_somebody_who_is_suspended_ends() {
    let gateway = Gateway::with(|settings| {
        settings.mcp.get_mut("files").unwrap().executor = Some("agent:bot".parse().unwrap());
    })
    .await;
    let address = gateway.running.http();
    let mut body = begin(address, modern(tool(1, "stream"))).await.into_body();
    next(&mut body).await;
    let suspension = |what: &str| json!({ "what": what, "suspended": true, "by": { "type": "human", "key": "human:ann" }, "reason": "incident 77" });
    for what in ["agent:other", "agent:bot"] {
        let request = post("/v1/suspensions", "application/json", suspension(what).to_string());
        assert_eq!(call(address, request).await.status, 200);
    }
    // What the server did of it nobody can tell, and the client hears so.
    let told = tokio::time::timeout(Duration::from_secs(20), next(&mut body)).await.expect("in time");
    assert!(told.contains("\"id\":1") && told.contains("-31502") && told.contains("suspended"), "{told}");
    let ended = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("in time");
    assert!(ended.is_none(), "{ended:?}");
    assert_eq!(self::ended(&gateway.records(1).await), ("unknown".into(), "suspended".into()));
    let refused = call(address, modern(tool(2, "write"))).await;
    assert!(refused.text().contains("is suspended"), "{}", refused.text());
    assert!(gateway.upstream.called().iter().all(|name| name == "stream"));
}
