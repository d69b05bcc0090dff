//! A real server on free ports, and a plain HTTP client.

use std::{net::SocketAddr, path::Path};

use bytes::Bytes;
use deed_server::{
    Engine, EngineOptions, ServeOptions, Server, serve,
    settings::{Limits, Settings},
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use crate::openapi;

/// A server on a store of its own.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) dir: TempDir,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Running::with(Settings::default()).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Running { server: open(dir.path(), settings, options()).await, dir }
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.server.addresses().http.unwrap()
    }

    pub(crate) fn otlp(&self) -> SocketAddr {
        self.server.addresses().otlp_http.unwrap()
    }

    pub(crate) fn size(&self) -> u64 {
        self.server.engine().ledger().size()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        call(self.http(), get(path)).await
    }

    pub(crate) async fn append(&self, body: &str) -> Answer {
        call(self.http(), post("/v1/records", "application/json", body.to_owned())).await
    }

    /// Appends what must be taken; the ids.
    pub(crate) async fn record(&self, body: &str) -> Vec<String> {
        let answer = self.append(body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let receipts = answer.json()["receipts"].as_array().unwrap().clone();
        receipts.iter().map(|receipt| receipt["id"].as_str().unwrap().to_owned()).collect()
    }
}

/// Small limits, so that tests need no large bodies.
pub(crate) fn small() -> Settings {
    Settings { limits: Limits { body_bytes: 1 << 20, ..Limits::default() }, ..Settings::default() }
}

pub(crate) fn options() -> ServeOptions {
    let free = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    ServeOptions { listen: free, otlp_grpc: free, otlp_http: free, socket: true }
}

pub(crate) fn engine(dir: &Path, settings: Settings) -> Engine {
    let ledger = deed_ledger::Options { journal_file_bytes: 16 << 20, ..deed_ledger::Options::default() };
    Engine::open(dir, EngineOptions { ledger, settings: Some(settings), ..EngineOptions::default() })
        .expect("the store opens")
}

pub(crate) async fn open(dir: &Path, settings: Settings, options: ServeOptions) -> Server {
    serve(engine(dir, settings), options).await.expect("the server starts")
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The last part of a problem's type, checking that it is one.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json", "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        problem["type"].as_str().unwrap().strip_prefix("tag:deed,2026:").unwrap().to_owned()
    }
}

pub(crate) type Plain = Request<Full<Bytes>>;

pub(crate) fn get(path: &str) -> Plain {
    Request::get(path).body(Full::default()).unwrap()
}

pub(crate) fn post(path: &str, content_type: &str, body: impl Into<Bytes>) -> Plain {
    Request::post(path).header(header::CONTENT_TYPE, content_type).body(Full::new(body.into())).unwrap()
}

/// The same with another header.
pub(crate) fn with(mut request: Plain, name: &'static str, value: &str) -> Plain {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// The same, shown with a token.
pub(crate) fn by(token: &str, request: Plain) -> Plain {
    with(request, "authorization", &format!("Bearer {token}"))
}

/// Sends one request on a connection of its own and holds the answer to the document.
pub(crate) async fn call(address: SocketAddr, request: Plain) -> Answer {
    try_call(address, request).await.expect("an answer")
}

pub(crate) async fn try_call(
    address: SocketAddr,
    mut request: Plain,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    if !request.headers().contains_key(header::HOST) {
        request.headers_mut().insert(header::HOST, address.to_string().parse()?);
    }
    exchange(stream, request).await
}

pub(crate) async fn call_unix(path: &Path, mut request: Plain) -> Answer {
    let stream = UnixStream::connect(path).await.expect("somebody listens");
    request.headers_mut().insert(header::HOST, "whatever".parse().unwrap());
    exchange(stream, request).await.expect("an answer")
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Plain,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (method, path): (Method, String) = (request.method().clone(), request.uri().to_string());
    let response = sender.send_request(request).await?;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    let status: StatusCode = parts.status;
    openapi::check(&method, &path, status, &parts.headers, &body);
    Ok(Answer { status: status.as_u16(), headers: parts.headers, body })
}

/// `bytes` in gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An observation with a few members to look up by.
pub(crate) fn observation(trace: u64, agent: &str) -> String {
    format!(
        r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","trace_id":"{trace:032x}","initiator":{{"key":"human:ann","type":"human","name":"Ann"}},"executor":{{"key":"{agent}","type":"agent"}},"credential":{{"fingerprint":"sha256:{trace:064x}","scopes":["tickets:write"]}},"tool":{{"server":"tickets","name":"create"}},"operation":"tools/call","permission":"tickets:write","resource":{{"uri":"ticket:/{trace}"}},"outcome":{{"status":"success"}},"disclose":{{"arguments":{{"title":"t{trace}"}}}}}}"#
    )
}

pub(crate) fn array(records: &[String]) -> String {
    format!("[{}]", records.join(","))
}
