//! A tool server that costs next to nothing, of both eras of MCP, and a plain forwarder: what one more hop costs.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use deed_policy::PolicySet;
use deed_record::{Ruling, Text};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

use super::policies;
use crate::Outcome;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// What it answers to `tools/call`.
pub(super) const ANSWER: &str = "pong";
/// Its one tool.
pub(super) const TOOL: &str = "echo";

/// Serves as the tool server until it is ended.
pub(crate) fn serve() -> Outcome {
    run(async |request| {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(match parts.method {
            Method::POST => message(&body),
            Method::DELETE => nothing(StatusCode::OK),
            _ => nothing(StatusCode::METHOD_NOT_ALLOWED),
        })
    })
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Text<'a>,
}

fn message(body: &[u8]) -> Response<Full<Bytes>> {
    let Ok(Envelope { id, method }) = serde_json::from_slice(body) else {
        return nothing(StatusCode::BAD_REQUEST);
    };
    let Some(id) = id else { return nothing(StatusCode::ACCEPTED) };
    let information = r#""serverInfo":{"name":"bench","version":"1"}"#;
    let result = match &*method {
        "tools/call" => {
            format!(r#"{{"resultType":"complete","content":[{{"type":"text","text":"{ANSWER}"}}]}}"#)
        }
        "initialize" => {
            format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{{"tools":{{}}}},{information}}}"#)
        }
        "server/discover" => format!(
            r#"{{"resultType":"complete","supportedVersions":["2026-07-28","2025-11-25"],"capabilities":{{"tools":{{}}}},"ttlMs":3600000,"cacheScope":"public",{information}}}"#
        ),
        "tools/list" => format!(
            r#"{{"resultType":"complete","ttlMs":3600000,"cacheScope":"public","tools":[{{"name":"{TOOL}","description":"Answers.","inputSchema":{{"type":"object","properties":{{"path":{{"type":"string"}},"amount":{{"type":"integer"}}}}}}}}]}}"#
        ),
        "resources/list" => r#"{"resultType":"complete","resources":[]}"#.to_owned(),
        "resources/templates/list" => r#"{"resultType":"complete","resourceTemplates":[]}"#.to_owned(),
        "prompts/list" => r#"{"resultType":"complete","prompts":[]}"#.to_owned(),
        _ => "{}".to_owned(),
    };
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    let mut response = Response::new(Full::from(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if &*method == "initialize" {
        // It keeps nothing of a session, but those who call it are to do all that one asks for.
        headers.insert(SESSION, HeaderValue::from_static("0123456789abcdef0123456789abcdef"));
    }
    response
}

fn nothing(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// Passes requests on to the server at `url` until it is ended; if `decides`, asks policies about each first.
pub(crate) fn forward(url: &Uri, decides: bool) -> Outcome {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_max_idle_per_host(1024);
    let client: Client<HttpConnector, Full<Bytes>> = builder.build(connector);
    let set = if decides { Some(policies::set()?) } else { None };
    let shared = Arc::new((url.clone(), client, set));
    run(move |request| {
        let shared = shared.clone();
        async move {
            let (url, client, set) = &*shared;
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            if set.as_ref().is_some_and(|set| !may(set, &body)) {
                return Ok(nothing(StatusCode::FORBIDDEN).map(Either::Left));
            }
            let mut request = Request::new(Full::new(body));
            *request.method_mut() = parts.method;
            *request.uri_mut() = url.clone();
            *request.headers_mut() = passing(&parts.headers);
            let (parts, body) = client.request(request).await?.into_parts();
            let mut response = Response::new(Either::Right(body));
            *response.status_mut() = parts.status;
            *response.headers_mut() = passing(&parts.headers);
            Ok(response)
        }
    })
}

fn passing(headers: &HeaderMap) -> HeaderMap {
    let belongs = |name: &HeaderName| {
        name.as_str().starts_with("mcp-") || *name == header::ACCEPT || *name == header::CONTENT_TYPE
    };
    headers
        .iter()
        .filter(|(name, _)| belongs(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn may(set: &PolicySet, body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        method: Text<'a>,
        #[serde(borrow)]
        params: Option<Params<'a>>,
    }
    #[derive(Deserialize, Default)]
    struct Params<'a> {
        #[serde(borrow, default)]
        name: Option<Text<'a>>,
        #[serde(borrow, default)]
        arguments: Option<&'a RawValue>,
    }
    let Ok(Message { method, params }) = serde_json::from_slice(body) else { return false };
    let Params { name, arguments } = params.unwrap_or_default();
    let name = name.as_deref().unwrap_or_default();
    &*method != "tools/call" || set.decide(&policies::request(name, arguments)).effect == Ruling::Allow
}

/// Serves HTTP/1.1 on a free port of loopback, which is printed, on all processors.
#[expect(clippy::print_stdout, reason = "who started it reads the address")]
fn run<F, A, B>(answer: F) -> Outcome
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Result<Response<B>, Failure>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Failure>> + Send + 'static,
{
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        println!("http {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = answer.clone();
            tokio::spawn(async move {
                let served = service_fn(|request| {
                    let answering = answer(request);
                    async move {
                        Ok::<_, Infallible>(
                            answering.await.map(|r| r.map(Either::Left)).unwrap_or_else(broken),
                        )
                    }
                });
                // A client that leaves in the middle is nobody's fault.
                drop(http1::Builder::new().serve_connection(TokioIo::new(stream), served).await);
            });
        }
    })
}

fn broken<B>(why: Failure) -> Response<Either<B, Full<Bytes>>> {
    let mut response = Response::new(Either::Right(Full::from(why.to_string())));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
