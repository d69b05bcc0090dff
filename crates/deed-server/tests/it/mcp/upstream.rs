//! An MCP server over Streamable HTTP, of both eras, that does as the tests need.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    response::{IntoResponse, Response},
    routing::post,
};
use futures::{StreamExt, stream};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Notify};

/// What the server has seen, and what it waits for.
#[derive(Default)]
pub(crate) struct Seen {
    /// Every request: method, headers, body.
    pub(crate) requests: Mutex<Vec<(Method, HeaderMap, Value)>>,
    /// The server goes on once told to.
    pub(crate) go_on: Notify,
    /// What follows an event on its stream.
    kept: Mutex<BTreeMap<String, Vec<String>>>,
    /// The client of a call that is never answered went away.
    pub(crate) left: AtomicBool,
}

pub(crate) struct Upstream {
    pub(crate) url: String,
    pub(crate) seen: Arc<Seen>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let router = Router::new()
            .route("/mcp", post(message).get(open_stream).delete(async || StatusCode::OK))
            .with_state(seen.clone());
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Upstream { url, seen }
    }

    /// Names of the tools that were really called.
    pub(crate) fn called(&self) -> Vec<String> {
        let requests = self.seen.requests.lock().unwrap();
        let names = requests.iter().filter(|(_, _, body)| body["method"] == "tools/call");
        names.map(|(_, _, body)| body["params"]["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The headers of the last request.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.seen.requests.lock().unwrap().last().unwrap().1.clone()
    }
}

async fn message(State(seen): State<Arc<Seen>>, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    seen.requests.lock().unwrap().push((Method::POST, headers, message.clone()));
    let id = &message["id"];
    let answer = |result: Value| json!({ "jsonrpc": "2.0", "id": id, "result": result });
    match (message["method"].as_str(), message["params"]["name"].as_str()) {
        (Some("initialize"), _) => {
            let mut response = json_of(&answer(json!({ "protocolVersion": "2025-11-25" })));
            response.headers_mut().insert("mcp-session-id", "one-session".parse().unwrap());
            response
        }
        (Some("tools/call"), Some("write")) => json_of(&answer(text("written"))),
        (Some("tools/call"), Some("vendor")) => events([event(None, &answer(vendor()))]),
        // Repeats it where no message is.
        (Some("tools/call"), Some("aside")) => events([
            ": DE-4711\n\nevent: DE-4711\nid: 1\ndata: \n\n".to_owned(),
            event(Some("vendor-de4711"), &answer(vendor())),
        ]),
        (Some("tools/call"), Some("stream")) => {
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": 1, "progress": 1 } });
            let last = event(None, &answer(text("streamed")));
            let wait = async move {
                seen.go_on.notified().await;
                last
            };
            events_of(stream::iter([event(None, &progress)]).chain(stream::once(wait)))
        }
        // Offers something new each time, once told to.
        (Some("tools/list"), _) if message["params"]["cursor"] == "late" => {
            let last = event(None, &answer(json!({ "tools": [{ "name": format!("tool-{id}") }] })));
            events_of(stream::once(async move {
                seen.go_on.notified().await;
                last
            }))
        }
        (Some("tools/call"), Some("later")) => {
            json_of(&answer(json!({ "task": { "taskId": "t-1", "status": "working" } })))
        }
        (Some("tasks/get"), _) => json_of(&answer(json!({ "taskId": "t-1", "status": "failed" }))),
        (Some("tasks/list"), _) => {
            json_of(&answer(json!({ "tasks": [{ "taskId": "t-1", "status": "working" }] })))
        }
        (Some("tasks/result"), _) => json_of(&answer(json!({ "content": [], "isError": true }))),
        // Tells whoever calls how the task is.
        (Some("tools/call"), Some("tell")) => {
            let part = json!({ "io.modelcontextprotocol/related-task": { "taskId": "t-1" } });
            let says = [
                json!({ "method": "notifications/tasks/status", "params": { "taskId": "t-1", "status": "failed", "statusMessage": "DE-4711" } }),
                json!({ "method": "notifications/message", "params": { "level": "info", "data": "DE-4711", "_meta": part } }),
                json!({ "id": 9, "method": "elicitation/create", "params": { "message": "DE-4711?", "_meta": part } }),
            ];
            let says = says.map(|mut message| {
                message["jsonrpc"] = json!("2.0");
                event(None, &message)
            });
            events(says.into_iter().chain([event(None, &answer(text("told")))]))
        }
        (Some("tools/call"), Some("silent")) => {
            let left = Left(seen);
            events_of(stream::once(async move {
                std::future::pending::<()>().await;
                drop(left);
                String::new()
            }))
        }
        // Says something all the time, and never answers.
        (Some("tools/call"), Some("chatter")) => {
            let says = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": {} });
            let says = event(None, &says);
            events_of(stream::unfold((), move |()| {
                let says = says.clone();
                async move {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                    Some((says, ()))
                }
            }))
        }
        (Some("tools/call"), Some("poll")) => events(["id: 1\nretry: 5\ndata: \n\n".to_owned()]),
        // Can be taken up again.
        (Some("tools/call"), Some("kept")) => {
            let says = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": "DE-4711" } });
            seen.keep("kept", [says, answer(vendor())])
        }
        (Some("tools/list"), _) if message["params"]["cursor"] == "kept" => {
            seen.keep("list", [answer(json!({ "tools": [{ "name": "wipe" }, { "name": "write" }] }))])
        }
        (Some("tools/call"), Some("ask")) => {
            let asks = json!({ "jsonrpc": "2.0", "id": 0, "method": "elicitation/create", "params": { "message": "sure?" } });
            let last = event(None, &answer(text("asked")));
            let wait = async move {
                seen.go_on.notified().await;
                last
            };
            events_of(stream::iter([event(None, &asks)]).chain(stream::once(wait)))
        }
        (Some("tools/call"), Some("huge")) => {
            let piece = Bytes::from(vec![b'x'; 1 << 20]);
            let pieces = stream::iter(vec![Ok::<_, Infallible>(piece); 66]);
            let body = Body::from_stream(pieces);
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        (Some("tools/call"), Some("forbid")) => StatusCode::UNAUTHORIZED.into_response(),
        (Some("tools/call"), Some("fail")) => {
            (StatusCode::SERVICE_UNAVAILABLE, "<h1>come back later</h1>").into_response()
        }
        (Some("tools/call"), Some("other")) => {
            json_of(&json!({ "jsonrpc": "2.0", "id": "another", "result": {} }))
        }
        // Notifications, and answers of the client.
        (Some("notifications/initialized"), _) => StatusCode::ACCEPTED.into_response(),
        (None, _) => {
            seen.go_on.notify_one();
            StatusCode::ACCEPTED.into_response()
        }
        _ => json_of(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": -32602, "message": "no" } })),
    }
}

/// The stream of a session. With `Last-Event-ID` it gives the answer that the poll was for.
async fn open_stream(State(seen): State<Arc<Seen>>, headers: HeaderMap) -> Response {
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap().to_owned());
    seen.requests.lock().unwrap().push((Method::GET, headers, Value::Null));
    let Some(last) = last else { return events_of(stream::pending()) };
    if let Some(kept) = seen.kept.lock().unwrap().get(&last) {
        return events(kept.clone());
    }
    let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": vendor() });
    events([event(Some("2"), &answer)])
}

impl Seen {
    /// Says `messages` on a stream, of which each event can be named to hear again what follows it.
    fn keep<const N: usize>(&self, stream: &str, messages: [Value; N]) -> Response {
        let said: Vec<String> = std::iter::once(format!("id: {stream}-0\ndata: \n\n"))
            .chain((1..).zip(&messages).map(|(n, message)| event(Some(&format!("{stream}-{n}")), message)))
            .collect();
        let mut kept = self.kept.lock().unwrap();
        for n in 0..said.len() {
            kept.insert(format!("{stream}-{n}"), said[n + 1..].to_vec());
        }
        events(said)
    }
}

struct Left(Arc<Seen>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.left.store(true, Ordering::SeqCst);
    }
}

fn text(text: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": text }] })
}

fn vendor() -> Value {
    let vendor = json!({ "name": "Initech", "tax_id": "DE-4711" });
    json!({ "content": [{ "type": "text", "text": vendor.to_string() }], "structuredContent": vendor })
}

fn event(id: Option<&str>, message: &Value) -> String {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!("event: message\n{id}data: {message}\n\n")
}

fn json_of(message: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], message.to_string()).into_response()
}

fn events(all: impl IntoIterator<Item = String>) -> Response {
    events_of(stream::iter(all.into_iter().collect::<Vec<_>>()))
}

fn events_of(all: impl stream::Stream<Item = String> + Send + 'static) -> Response {
    let body = Body::from_stream(all.map(Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}
