//! An MCP server over standard input and output, of both eras, that says more than it is asked: to try with how what one
//! process says finds whom it concerns.
//!
//!     talking_server said.log
//!
//! Each call has a thread of its own. What becomes of the calls is written to the file that is named.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{BufRead, Write},
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// What the server asked, and who waits for the answer.
static ASKED: Mutex<Option<HashMap<i64, mpsc::SyncSender<Value>>>> = Mutex::new(None);
static LAST: AtomicI64 = AtomicI64::new(0);
/// Requests whose subscriptions are open.
static SUBSCRIBED: Mutex<Vec<Value>> = Mutex::new(Vec::new());

fn main() -> std::io::Result<()> {
    let said = std::env::args().nth(1).unwrap_or_else(|| "said.log".into());
    if let Ok(word) = std::env::var("TALKING_DIES") {
        eprintln!("not today: {word}");
        end(3);
    }
    for line in std::io::stdin().lock().lines() {
        let Ok(message) = serde_json::from_str::<Value>(&line?) else { continue };
        let said = said.clone();
        match (message["method"].as_str(), message.get("id").cloned()) {
            (Some("notifications/cancelled"), _) => {
                note(&said, &format!("cancelled {}", message["params"]["requestId"]))
            }
            (Some(method), None) => note(&said, method),
            (Some(_), Some(id)) => drop(thread::spawn(move || answer(&message, &id, &said))),
            (None, Some(id)) => heard(id.as_i64().unwrap_or_default(), message),
            (None, None) => {}
        }
    }
    note(&said, "end of input");
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "it holds nothing that must be let go of")]
fn end(code: i32) -> ! {
    std::process::exit(code)
}

fn note(said: &str, what: &str) {
    let file = OpenOptions::new().create(true).append(true).open(said);
    if let Ok(mut file) = file
        && let Err(error) = writeln!(file, "{what}")
    {
        eprintln!("{error}");
    }
}

fn say(message: &Value) {
    let mut stdout = std::io::stdout().lock();
    if writeln!(stdout, "{message}").and_then(|()| stdout.flush()).is_err() {
        end(1);
    }
}

fn heard(id: i64, message: Value) {
    let asked = ASKED.lock().expect("no thread panics").as_mut().and_then(|asked| asked.remove(&id));
    if let Some(asked) = asked {
        asked.send(message).expect("the call waits");
    }
}

/// Asks the client, and waits for its answer.
fn ask(method: &str, params: &Value) -> Value {
    let id = LAST.fetch_add(1, Ordering::SeqCst) + 1;
    let (sender, answer) = mpsc::sync_channel(1);
    ASKED.lock().expect("no thread panics").get_or_insert_default().insert(id, sender);
    say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
    answer.recv().expect("the client answers")
}

fn answer(message: &Value, id: &Value, said: &str) {
    let params = &message["params"];
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({
            "protocolVersion": "2025-11-25",
            "capabilities": { "tools": {}, "logging": {} },
            "serverInfo": { "name": "talking", "version": "1.0.0" },
        }),
        "server/discover" => json!({
            "resultType": "complete",
            "supportedVersions": ["2026-07-28"],
            "capabilities": { "tools": {}, "logging": {} },
            "serverInfo": { "name": "talking", "version": "1.0.0" },
        }),
        "ping" => json!({}),
        "tools/list" => {
            let what = json!({ "type": "string", "x-mcp-header": "What" });
            let say =
                json!({ "name": "say", "inputSchema": { "type": "object", "properties": { "what": what } } });
            json!({ "tools": [{ "name": "pid", "inputSchema": { "type": "object" } }, say] })
        }
        "subscriptions/listen" => {
            SUBSCRIBED.lock().expect("no thread panics").push(id.clone());
            return notify(
                "notifications/subscriptions/acknowledged",
                json!({ "notifications": {} }),
                Some(id),
            );
        }
        "tools/call" if params["name"] == "garble" => return garble(id, params),
        "tools/call" => call(params, said),
        _ => {
            let error = json!({ "code": -32601, "message": "Method not found" });
            return say(&json!({ "jsonrpc": "2.0", "id": id, "error": error }));
        }
    };
    say(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
}

/// An answer that is no JSON: half of a character; after some progress, where that is wanted.
fn garble(id: &Value, params: &Value) {
    if let Some(token) = params["_meta"].get("progressToken") {
        notify("notifications/progress", json!({ "progressToken": token, "progress": 1 }), None);
    }
    let mut stdout = std::io::stdout().lock();
    let answer =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[],\"name\":\"\\udce9\"}}}}");
    if writeln!(stdout, "{answer}").and_then(|()| stdout.flush()).is_err() {
        end(1);
    }
}

fn notify(method: &str, mut params: Value, subscription: Option<&Value>) {
    if let Some(id) = subscription {
        params["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": id });
    }
    say(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
}

fn call(params: &Value, said: &str) -> Value {
    let arguments = &params["arguments"];
    let word = |name: &str| arguments[name].as_str().unwrap_or_default().to_owned();
    let text = match params["name"].as_str().unwrap_or_default() {
        "pid" => std::process::id().to_string(),
        "say" => {
            note(said, &word("what"));
            word("what")
        }
        "hold" => {
            note(said, "holds");
            wait_for(&word("until"));
            "held".into()
        }
        "tell" => {
            let token = &params["_meta"]["progressToken"];
            for progress in [1, 2] {
                notify(
                    "notifications/progress",
                    json!({ "progressToken": token, "progress": progress }),
                    None,
                );
            }
            wait_for(&word("until"));
            word("what")
        }
        "log" => {
            notify("notifications/message", json!({ "level": "info", "data": word("what") }), None);
            "logged".into()
        }
        "update" => {
            for id in SUBSCRIBED.lock().expect("no thread panics").iter() {
                notify("notifications/resources/updated", json!({ "uri": word("uri") }), Some(id));
            }
            "updated".into()
        }
        "ask" => {
            let message = word("what");
            ask("elicitation/create", &json!({ "message": message }))["result"]["content"]["name"].to_string()
        }
        "later" => {
            let what = word("what");
            thread::spawn(move || {
                thread::sleep(Duration::from_millis(50));
                notify("notifications/message", json!({ "level": "info", "data": what }), None);
            });
            "later".into()
        }
        "env" => {
            let value = std::env::var(word("name")).unwrap_or_else(|_| "nothing".into());
            eprintln!("{} is {value}", word("name"));
            value
        }
        "die" => end(9),
        name => format!("there is no tool {name}"),
    };
    json!({ "content": [{ "type": "text", "text": text }] })
}

/// Waits until that file is there.
fn wait_for(path: &str) {
    while !path.is_empty() && !Path::new(path).exists() {
        thread::sleep(Duration::from_millis(5));
    }
}
