//! Servers that Deed starts: real processes, and several clients before each.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use deed_gateway::stdio::Command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::*;

/// A gateway before a program, and a folder for what that writes.
struct Programs {
    running: Running,
    dir: tempfile::TempDir,
}

fn example(name: &str) -> String {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples").join(name).display().to_string()
}

fn program(command: Command, processes: u32, idle: Duration) -> McpServer {
    let behind = Behind::Program { command, processes, idle, line: 7 };
    McpServer { behind, ..server("http://127.0.0.1:1/") }
}

impl Programs {
    async fn start() -> Self {
        Programs::with(32, Duration::from_secs(600), |_, _| {}).await
    }

    async fn with(processes: u32, idle: Duration, change: impl FnOnce(&mut Command, &Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command {
            program: example("talking_server"),
            arguments: vec![dir.path().join("said").display().to_string()],
            folder: None,
            env: BTreeMap::new(),
            env_files: BTreeMap::new(),
        };
        change(&mut command, dir.path());
        let mut settings = Settings::default();
        settings.mcp.insert("files".into(), program(command, processes, idle));
        Programs { running: Running::with(settings).await, dir }
    }

    async fn call(&self, request: Plain) -> Answer {
        call(self.running.http(), request).await
    }

    /// Begins a session; its id.
    async fn begin(&self) -> String {
        let answer = self.call(legacy(&initialize())).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["id"], "begin");
        answer.header("mcp-session-id").to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What the server has written, once `line` is in it.
    async fn said(&self, line: &str) -> String {
        let mut said = String::new();
        eventually(|| {
            said = std::fs::read_to_string(self.file("said")).unwrap_or_default();
            said.lines().any(|one| one == line)
        })
        .await;
        said
    }

    async fn records(&self, outcomes: usize) -> Vec<Value> {
        super::records(&self.running, outcomes).await
    }
}

async fn eventually(mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < until, "it never came about");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn initialize() -> Value {
    let params =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "tester" } });
    json!({ "jsonrpc": "2.0", "id": "begin", "method": "initialize", "params": params })
}

fn asks(id: impl Into<Value>, name: &str, arguments: Value) -> Value {
    let params = json!({ "name": name, "arguments": arguments });
    json!({ "jsonrpc": "2.0", "id": id.into(), "method": "tools/call", "params": params })
}

fn within(session: &str, message: &Value) -> Plain {
    with(legacy(message), "mcp-session-id", session)
}

fn text(answer: &Value) -> String {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

fn is_alive(pid: &str) -> bool {
    Path::new("/proc").join(pid).join("stat").exists()
        && !std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default().contains(") Z ")
}

fn kill(pid: &str) {
    let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_small_server_of_the_project_is_called_over_http() {
    let dir = tempfile::tempdir().unwrap();
    let effects = dir.path().join("effects");
    let command = Command {
        program: "./files_server".into(),
        arguments: vec![effects.display().to_string()],
        folder: Some(Path::new(&example("files_server")).parent().unwrap().to_owned()),
        env: BTreeMap::new(),
        env_files: BTreeMap::new(),
    };
    let mut settings = Settings::default();
    settings.mcp.insert("files".into(), program(command, 4, Duration::from_secs(600)));
    let running = Running::with(settings).await;
    let mut call_of_2026 = modern(asks(1, "write", json!({ "path": "a" })));
    assert_eq!(text(&call(running.http(), call_of_2026).await.json()), "write a: done");
    let body = json!({ "files": { "a.cedar": "@id(\"rest\") permit (principal, action, resource) unless { resource == Deed::Tool::\"files/wipe\" };" }, "by": "os:ann" });
    let published = post("/v1/policies", "application/json", body.to_string());
    assert_eq!(call(running.http(), published).await.status, 200);
    call_of_2026 = modern(asks(2, "wipe", json!({ "path": "a" })));
    assert_eq!(call(running.http(), call_of_2026).await.json()["result"]["isError"], true);
    assert_eq!(std::fs::read_to_string(&effects).unwrap(), "write a\n");
    let records = super::records(&running, 2).await;
    assert_eq!(statuses(&records)[0].0, "success");
    assert_eq!(statuses(&records)[1], ("denied".into(), "policy".into()));
    assert!(of_kind(&records, "intent").iter().all(|intent| intent["basis"] == "enforced"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_session_has_a_process_of_its_own_and_2026_shares_one() {
    let programs = Programs::start().await;
    let (one, two) = (programs.begin().await, programs.begin().await);
    let mut pids = Vec::new();
    for session in [&one, &one, &two] {
        pids.push(text(&programs.call(within(session, &asks(1, "pid", json!({})))).await.json()));
    }
    for _ in 0..2 {
        pids.push(text(&programs.call(modern(asks(1, "pid", json!({})))).await.json()));
    }
    assert!(pids[0] == pids[1] && pids[0] != pids[2] && pids[3] == pids[4] && pids[3] != pids[0], "{pids:?}");
    let mut ends = with(get("/mcp/files"), "mcp-session-id", &one);
    *ends.method_mut() = http::Method::DELETE;
    assert_eq!(programs.call(ends).await.status, 204);
    eventually(|| !is_alive(&pids[0])).await;
    assert!(is_alive(&pids[2]));
    assert_eq!(programs.call(within(&one, &asks(2, "pid", json!({})))).await.status, 404);
    // Without a session there is nothing of 2025-11-25 but `initialize`.
    assert_eq!(programs.call(legacy(&asks(3, "pid", json!({})))).await.status, 400);
    assert_eq!(programs.call(get("/mcp/files")).await.status, 405);
    // With the server, its processes end.
    let (second, shared) = (pids[2].clone(), pids[3].clone());
    programs.running.server.shutdown().await.unwrap();
    assert!(!is_alive(&second) && !is_alive(&shared));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_share_a_process_hear_only_what_is_theirs() {
    let programs = Programs::start().await;
    let address = programs.running.http();
    let go_on = programs.file("go on");
    // The same ids at the same time.
    let clients = ["one", "two", "three"].map(|name| {
        let mut message = asks(7, "tell", json!({ "what": name, "until": go_on }));
        message["params"]["_meta"]["progressToken"] = json!(name);
        let request = modern(message);
        async move { (name, begin(address, request).await.into_body()) }
    });
    let mut streams = futures::future::join_all(clients).await;
    for (name, body) in &mut streams {
        let first = next(body).await;
        assert!(
            first.contains("notifications/progress") && first.contains(&format!("\"{name}\"")),
            "{first}"
        );
    }
    std::fs::write(&go_on, "").unwrap();
    for (name, body) in streams {
        let rest = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        assert!(rest.contains("\"id\":7") && rest.contains(&format!("\"text\":\"{name}\"")), "{rest}");
        let others = ["one", "two", "three"].into_iter().filter(|other| *other != name);
        assert!(others.into_iter().all(|other| !rest.contains(other)), "{rest}");
    }
    assert!(statuses(&programs.records(3).await).iter().all(|(status, _)| status == "success"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_message_that_may_be_anothers_is_nobodys() {
    let programs = Programs::start().await;
    let address = programs.running.http();
    let wants_log = |id: u64, name: &str, arguments: Value| {
        let mut message = asks(id, name, arguments);
        message["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!("debug");
        modern(message)
    };
    let alone = programs.call(wants_log(1, "log", json!({ "what": "for me alone" }))).await;
    assert!(alone.text().contains("for me alone") && alone.text().contains("logged"), "{}", alone.text());
    let quiet = programs.call(modern(asks(2, "log", json!({ "what": "not asked for" })))).await;
    assert_eq!(text(&quiet.json()), "logged");
    let go_on = programs.file("go on");
    let other = tokio::spawn(begin(address, wants_log(3, "hold", json!({ "until": go_on }))));
    programs.said("holds").await;
    let unclear = programs.call(wants_log(4, "log", json!({ "what": "whose?" }))).await;
    assert_eq!(text(&unclear.json()), "logged");
    std::fs::write(&go_on, "").unwrap();
    let other = other.await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&other).contains("whose?"));
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_have_the_ids_that_their_clients_gave_them() {
    let programs = Programs::start().await;
    let listen = json!({ "jsonrpc": "2.0", "id": "sub", "method": "subscriptions/listen", "params": {} });
    let mut stream = begin(programs.running.http(), modern(listen)).await.into_body();
    let acknowledged = next(&mut stream).await;
    assert!(acknowledged.contains("acknowledged") && acknowledged.contains("\"sub\""), "{acknowledged}");
    programs.call(modern(asks("sub", "update", json!({ "uri": "a:b" })))).await;
    let updated = next(&mut stream).await;
    assert!(updated.contains("a:b") && updated.contains("\"sub\""), "{updated}");
    drop(stream);
    // Whoever leaves has called it off, and the server is told under the name it knows.
    let said = programs.said("cancelled 1").await;
    assert!(!said.contains("sub"), "{said}");
    let records = programs.records(2).await;
    assert!(statuses(&records).contains(&("cancelled".into(), "client".into())), "{records:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_asks_reaches_the_client_of_that_session() {
    let programs = Programs::start().await;
    let (mine, other) = (programs.begin().await, programs.begin().await);
    let mut heard_by_other =
        begin(programs.running.http(), with(get("/mcp/files"), "mcp-session-id", &other)).await;
    let asked =
        begin(programs.running.http(), within(&mine, &asks(1, "ask", json!({ "what": "who?" })))).await;
    let mut stream = asked.into_body();
    let question = next(&mut stream).await;
    assert!(question.contains("elicitation/create") && question.contains("who?"), "{question}");
    let answer =
        json!({ "jsonrpc": "2.0", "id": 1, "result": { "action": "accept", "content": { "name": "Ann" } } });
    // Nobody else can answer it.
    assert_eq!(programs.call(within(&other, &answer)).await.status, 202);
    assert_eq!(programs.call(within(&mine, &answer)).await.status, 202);
    assert!(next(&mut stream).await.contains("\\\"Ann\\\""));
    // What belongs to no request comes on the stream that was opened for it, of that session alone.
    let mut listens = begin(programs.running.http(), with(get("/mcp/files"), "mcp-session-id", &mine)).await;
    programs.call(within(&mine, &asks(2, "later", json!({ "what": "mine" })))).await;
    assert!(next(listens.body_mut()).await.contains("mine"));
    programs.call(within(&other, &asks(2, "later", json!({ "what": "others" })))).await;
    assert!(next(heard_by_other.body_mut()).await.contains("others"));
    let records = programs.records(5).await;
    let asked = records
        .iter()
        .find(|record| record["operation"] == "elicitation/create" && record["kind"] == "intent");
    assert_eq!(asked.expect("it is recorded")["executor"]["type"], "workload");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_calls_off_the_server_hears_by_its_own_name() {
    let programs = Programs::start().await;
    let session = programs.begin().await;
    let go_on = programs.file("go on");
    let hold = within(&session, &asks("mine", "hold", json!({ "until": go_on })));
    let held = tokio::spawn(call(programs.running.http(), hold));
    programs.said("holds").await;
    let off =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "mine" } });
    assert_eq!(programs.call(within(&session, &off)).await.status, 202);
    // `initialize` was the first.
    programs.said("cancelled 2").await;
    held.await.unwrap();
    let records = programs.records(2).await;
    assert!(statuses(&records).contains(&("cancelled".into(), "client".into())), "{records:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_answer_did_that_nobody_can_read_is_not_known() {
    let programs = Programs::start().await;
    let garbled = programs.call(modern(asks(1, "garble", json!({})))).await;
    assert_eq!(garbled.json()["error"]["code"], -31502, "{}", garbled.text());
    let mut told = asks(2, "garble", json!({}));
    told["params"]["_meta"]["progressToken"] = json!(1);
    let told = programs.call(modern(told)).await;
    assert!(told.text().contains("progress") && told.text().contains("-31502"), "{}", told.text());
    let unknown = || ("unknown".to_owned(), "malformed".to_owned());
    assert_eq!(statuses(&programs.records(2).await), [unknown(), unknown()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_leaves_nothing_open_and_another_takes_its_place() {
    let programs = Programs::start().await;
    let never = programs.file("never");
    let session = programs.begin().await;
    let of_session = text(&programs.call(within(&session, &asks(1, "pid", json!({})))).await.json());
    let shared = text(&programs.call(modern(asks(1, "pid", json!({})))).await.json());
    let silent =
        tokio::spawn(call(programs.running.http(), modern(asks(2, "hold", json!({ "until": never })))));
    programs.said("holds").await;
    let mut told = asks(3, "tell", json!({ "until": never }));
    told["params"]["_meta"]["progressToken"] = json!(1);
    let mut told = begin(programs.running.http(), modern(told)).await.into_body();
    assert!(next(&mut told).await.contains("progress"));
    kill(&shared);
    let silent = silent.await.unwrap();
    assert_eq!(silent.json()["error"]["code"], -31502, "{}", silent.text());
    let rest = String::from_utf8(told.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    assert!(rest.contains("-31502") && rest.contains("\"id\":3"), "{rest}");
    let again = text(&programs.call(modern(asks(4, "pid", json!({})))).await.json());
    assert_ne!(again, shared);
    // A session is what its process knew: its client begins another one.
    kill(&of_session);
    eventually(|| !is_alive(&of_session)).await;
    let mut gone = 0;
    while gone != 404 {
        gone = programs.call(within(&session, &asks(5, "pid", json!({})))).await.status;
    }
    let begun = programs.begin().await;
    assert_eq!(programs.call(within(&begun, &asks(6, "pid", json!({})))).await.status, 200);
    let records = programs.records(9).await;
    let unknown = statuses(&records).into_iter().filter(|(status, _)| status == "unknown").count();
    assert_eq!(unknown, 2, "{:?}", statuses(&records));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_is_named_with_its_line() {
    let programs = Programs::with(4, Duration::from_secs(600), |command, _| {
        command.program = "/nowhere/server".into();
        command.env.insert("API_KEY".into(), "hunter2-hunter2-hunter2".into());
    })
    .await;
    let answer = programs.call(modern(asks(1, "pid", json!({})))).await;
    assert!(
        answer.json()["error"]["message"].as_str().unwrap().contains("/nowhere/server"),
        "{}",
        answer.text()
    );
    assert_eq!(statuses(&programs.records(1).await)[0], ("failure".into(), "not_started".into()));
    let ready = programs.running.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(
        ready.text().contains("`deed.toml`, line 7") && !ready.text().contains("hunter2"),
        "{}",
        ready.text()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_ends_at_once_is_not_started_over_and_over() {
    let programs = Programs::with(4, Duration::from_secs(600), |command, _| {
        command.env.insert("TALKING_DIES".into(), "always".into());
    })
    .await;
    let mut said = String::new();
    for id in 0..3 {
        said = programs.call(modern(asks(id, "pid", json!({})))).await.text();
        eventually(|| programs.running.server.engine().health().checks.iter().any(|check| !check.ok)).await;
    }
    assert!(said.contains("it is tried again in"), "{said}");
    assert!(programs.running.get("/readyz").await.text().contains("ended before it answered"));
    let failed = programs.records(3).await;
    assert!(statuses(&failed).iter().all(|(status, _)| status != "success"), "{failed:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_session_that_nobody_listens_to_makes_room() {
    let programs = Programs::with(2, Duration::from_secs(600), |_, _| {}).await;
    let (one, two) = (programs.begin().await, programs.begin().await);
    // Somebody waits in the first.
    let stream = begin(programs.running.http(), with(get("/mcp/files"), "mcp-session-id", &one)).await;
    let three = programs.begin().await;
    for (session, status) in [(&one, 200), (&two, 404), (&three, 200)] {
        assert_eq!(programs.call(within(session, &asks(1, "pid", json!({})))).await.status, status);
    }
    let other = begin(programs.running.http(), with(get("/mcp/files"), "mcp-session-id", &three)).await;
    let full = programs.call(legacy(&initialize())).await;
    assert!(full.text().contains("2 processes of it run already"), "{}", full.text());
    drop((stream, other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_nobody_uses_ends() {
    let programs = Programs::with(4, Duration::from_millis(200), |_, _| {}).await;
    let session = programs.begin().await;
    programs.said("end of input").await;
    assert_eq!(programs.call(within(&session, &asks(1, "pid", json!({})))).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_headers_repeat_are_held_against_the_body() {
    let Programs { running, dir } = Programs::start().await;
    let says = |header: Option<&str>| {
        let request = modern(asks(1, "say", json!({ "what": header.unwrap_or("nothing") })));
        match header {
            Some("another") => with(request, "mcp-param-what", "this"),
            Some(header) => with(request, "mcp-param-what", header),
            None => request,
        }
    };
    // Nobody has listed it yet.
    assert_eq!(call(running.http(), says(None)).await.status, 200);
    let list = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    assert_eq!(call(running.http(), modern(list)).await.status, 200);
    for (header, status) in [(None, 400), (Some("another"), 400), (Some("that"), 200)] {
        let answer = call(running.http(), says(header)).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(status == 200 || answer.json()["error"]["code"] == -32020, "{}", answer.text());
    }
    // What was listed once is known for as long as the log is.
    let settings = running.server.engine().settings().clone();
    running.server.shutdown().await.unwrap();
    let running = Running { server: open(running.dir.path(), settings, options()).await, dir: running.dir };
    assert_eq!(call(running.http(), says(None)).await.status, 400);
    assert_eq!(call(running.http(), says(Some("that"))).await.status, 200);
    let said = std::fs::read_to_string(dir.path().join("said")).unwrap();
    let said: Vec<&str> = said.lines().filter(|line| *line != "end of input").collect();
    assert_eq!(said, ["nothing", "that", "that"]);
    let records = super::records(&running, 7).await;
    let refused = statuses(&records).into_iter().filter(|(_, code)| code == "header_mismatch").count();
    assert_eq!(refused, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_was_started_with_is_in_no_record() {
    let secret = "correct-horse-battery-staple-4711";
    let programs = Programs::with(4, Duration::from_secs(600), |command, dir| {
        let file = dir.join("secret");
        std::fs::write(&file, format!("{secret}\n")).unwrap();
        command.env_files.insert("WORDS".into(), file);
    })
    .await;
    let answer = programs.call(modern(asks(1, "env", json!({ "name": "WORDS" })))).await;
    assert_eq!(text(&answer.json()), secret, "the client hears what the server says");
    // Deed's own environment is not the server's.
    let own = programs.call(modern(asks(2, "env", json!({ "name": "CARGO_MANIFEST_DIR" })))).await;
    assert_eq!(text(&own.json()), "nothing");
    programs.records(2).await;
    let dir = programs.running.dir;
    programs.running.server.shutdown().await.unwrap();
    let mut folders = vec![dir.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                assert!(memchr::memmem::find(&bytes, secret.as_bytes()).is_none(), "{}", path.display());
            }
        }
    }
}
