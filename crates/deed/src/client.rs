//! HTTP/1.1 to one server, over TLS, TCP or a Unix socket.
//!
//! Everything the command line sends may be sent twice: reading changes nothing, and records carry ids.
//! So a request whose answer did not come is simply sent again, by whoever knows how long to be patient.

mod tls;

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT},
};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use crate::exit::Failure;

/// How long a connection may take.
const CONNECTING: Duration = Duration::from_secs(5);

/// How long an answer may take to begin. The server gives up on its own queries before that.
const ANSWERING: Duration = Duration::from_secs(180);

/// The longest answer that is read whole, in bytes, unless the request knows better.
const MAX_ANSWER: usize = 256 << 20;

/// Where a server is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Endpoint {
    road: Road,
    /// What every path there begins with: nothing, or `/…` without a slash at its end.
    prefix: String,
}

/// How a server is reached.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Road {
    /// Host and port, with TLS.
    Tls(String, u16),
    /// Host and port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Endpoint {
    /// Reads `https://HOST[:PORT][/PREFIX][/]`, or the same with `http`.
    ///
    /// # Errors
    /// It is no such URL.
    pub(crate) fn of_url(url: &str) -> Result<Self, Failure> {
        const EXPECTED: &str = "expected a URL such as https://deed.example or http://127.0.0.1:7400";
        let wrong =
            |why: &str| Failure::usage(format!("cannot use the server `{url}`")).detail(why.to_owned());
        let parsed: http::Uri = url.parse().map_err(|_| wrong(EXPECTED))?;
        let (make, port): (fn(String, u16) -> Road, u16) = match parsed.scheme_str() {
            Some("http") => (Road::Tcp, 80),
            Some("https") => (Road::Tls, 443),
            _ => return Err(wrong(EXPECTED)),
        };
        if parsed.query().is_some() {
            return Err(wrong("expected no query"));
        }
        let host =
            parsed.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("the host is missing"))?;
        let road = make(host.trim_matches(['[', ']']).to_owned(), parsed.port_u16().unwrap_or(port));
        Ok(Endpoint { road, prefix: parsed.path().trim_end_matches('/').to_owned() })
    }

    /// Whoever listens at `address`, without TLS.
    pub(crate) fn of_address(address: SocketAddr) -> Self {
        Endpoint { road: Road::Tcp(address.ip().to_string(), address.port()), prefix: String::new() }
    }

    /// Whether whoever stands on the way can read what is sent, and answer in the server's place.
    pub(crate) fn is_open_road(&self) -> bool {
        match &self.road {
            Road::Tcp(host, _) => {
                let is_loopback = host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                !is_loopback && !host.eq_ignore_ascii_case("localhost")
            }
            Road::Tls(..) | Road::Unix(_) => false,
        }
    }

    /// The socket of the store in `dir`.
    pub(crate) fn of_store(dir: &Path) -> Self {
        Endpoint { road: Road::Unix(dir.join("deed.sock")), prefix: String::new() }
    }

    fn host(&self) -> String {
        match &self.road {
            Road::Tls(host, port) | Road::Tcp(host, port) if host.contains(':') => {
                format!("[{host}]:{port}")
            }
            Road::Tls(host, 443) => host.clone(),
            Road::Tls(host, port) | Road::Tcp(host, port) => format!("{host}:{port}"),
            Road::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// A request that may be sent more than once.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: Method,
    path: String,
    content_type: Option<&'static str>,
    body: Bytes,
    headers: HeaderMap,
    /// The longest answer, in bytes.
    most: usize,
    /// Whether somebody waits who must know soon.
    pub(crate) is_urgent: bool,
}

impl Request {
    /// `GET path`.
    pub(crate) fn get(path: impl Into<String>) -> Self {
        Request {
            method: Method::GET,
            path: path.into(),
            content_type: None,
            body: Bytes::new(),
            headers: HeaderMap::new(),
            most: MAX_ANSWER,
            is_urgent: false,
        }
    }

    /// The same, where an answer longer than `most` bytes is none.
    pub(crate) fn at_most(self, most: usize) -> Self {
        Request { most, ..self }
    }

    /// The same, of somebody who must know soon that nobody does it.
    pub(crate) fn urgently(self) -> Self {
        Request { is_urgent: true, ..self }
    }

    /// The same with one more header.
    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// `PUT path` with a body.
    pub(crate) fn put(path: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Request { method: Method::PUT, ..Request::post(path, content_type, body) }
    }

    /// `DELETE path` with a body.
    pub(crate) fn delete(
        path: impl Into<String>,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Request { method: Method::DELETE, ..Request::post(path, content_type, body) }
    }

    /// `POST path` with a body.
    pub(crate) fn post(path: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Request {
            method: Method::POST,
            content_type: Some(content_type),
            body: body.into(),
            ..Request::get(path)
        }
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Response {
    /// How it went.
    pub(crate) status: StatusCode,
    /// What it says about itself.
    pub(crate) headers: HeaderMap,
    /// What it holds; of one that is too long one byte too many.
    pub(crate) body: Bytes,
    /// The most bytes that it may hold.
    most: usize,
}

impl Response {
    /// The body of a good answer.
    ///
    /// # Errors
    /// The server's refusal, in its own words; or the answer is too long.
    pub(crate) fn good(self) -> Result<Bytes, Failure> {
        if !self.status.is_success() {
            return Err(refusal(self.status, &self.body));
        }
        if self.body.len() > self.most {
            return Err(Failure::new(format!("the server's answer is longer than {} bytes", self.most)));
        }
        Ok(self.body)
    }

    /// Whether the server asks to come again later.
    pub(crate) fn is_busy(&self) -> bool {
        self.status == StatusCode::SERVICE_UNAVAILABLE && self.problem().as_deref() == Some("busy")
    }

    /// What a refusal says.
    pub(crate) fn said(&self) -> String {
        said(self.status, &self.body)
    }

    /// What sort of problem a Deed server says it is (`docs/api.md`), if it is one.
    pub(crate) fn problem(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Problem {
            #[serde(rename = "type")]
            kind: String,
        }
        let problem: Problem = serde_json::from_slice(&self.body).ok()?;
        problem.kind.strip_prefix("tag:deed,2026:").map(str::to_owned)
    }

    /// The body of a good answer, read as JSON.
    ///
    /// # Errors
    /// As [`Response::good`]; or it is not what this program expects.
    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<T, Failure> {
        serde_json::from_slice(&self.good()?).map_err(|error| {
            Failure::new("the server's answer is not understood")
                .detail(error.to_string())
                .detail("is it a Deed server, of this version?")
        })
    }
}

/// What the server's problem document (RFC 9457) says, in its own words.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let failure = Failure::refused(status, said(status, body));
    match status {
        StatusCode::UNAUTHORIZED => failure.detail("give a token of this server in $DEED_TOKEN"),
        _ => failure,
    }
}

fn said(status: StatusCode, body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        title: Option<String>,
        detail: Option<String>,
    }
    let problem: Option<Problem> = serde_json::from_slice(body).ok();
    let said = problem.and_then(|problem| problem.detail.or(problem.title));
    said.unwrap_or_else(|| format!("the server answered {status}"))
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nobody listens.
    Unreachable(io::Error),
    /// The connection broke before the answer was whole.
    Broken(String),
    /// No answer in time.
    Slow,
    /// The answer is coded in a way that is not understood, or is not what its coding says.
    Coded(String),
    /// Whoever holds the store says nothing at all; which process that is, where the system says so.
    Hung(Option<i32>),
    /// It is not known that this is the server: trying again would not help.
    Untrusted(tls::Untrusted),
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CallError::Unreachable(error) => write!(f, "nobody answers: {error}"),
            CallError::Broken(why) => write!(f, "the connection broke: {why}"),
            CallError::Slow => write!(f, "no answer within {} s", ANSWERING.as_secs()),
            CallError::Coded(why) => write!(f, "the answer cannot be decoded: {why}"),
            CallError::Hung(process) => f.write_str(&hung(*process)),
            CallError::Untrusted(untrusted) => untrusted.fmt(f),
        }
    }
}

/// That the holder of a store hangs.
pub(crate) fn hung(process: Option<i32>) -> String {
    let process = process.map(|process| format!(" ({process})")).unwrap_or_default();
    format!("the process that holds the store{process} does not answer: it hangs, or was stopped")
}

/// Whether somebody is there.
pub(crate) enum Presence {
    /// They are, or nobody listens.
    There,
    /// Somebody listens, and says nothing; which process, where the system says so.
    Silent(Option<i32>),
}

/// Connections to one server, kept for the next request.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: Endpoint,
    token: Option<HeaderValue>,
    tls: tls::Connector,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// A client that has not connected yet.
    pub(crate) fn new(endpoint: Endpoint, token: Option<HeaderValue>) -> Self {
        Client { endpoint, token, tls: tls::Connector::default(), idle: Mutex::default() }
    }

    /// Sends `request` once and reads the whole answer.
    ///
    /// # Errors
    /// There is no answer; whether the request arrived is not known then.
    pub(crate) async fn send(&self, request: &Request) -> Result<Response, CallError> {
        let (answer, connection) = self.begin(request).await?;
        let (status, headers, most) = (answer.status(), answer.headers().clone(), request.most);
        let coding = Coding::of(&headers)?;
        let read = timeout(ANSWERING, read(answer.into_body(), coding.most(most)));
        let body = read.await.map_err(|_| CallError::Slow)?;
        let body = body.map_err(|error| CallError::Broken(error.to_string()))?;
        if body.len() <= most {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        Ok(Response { status, headers, body: coding.decode(body, most)?.into(), most })
    }

    /// Sends `request` once; the answer's body is read as it comes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub(crate) async fn stream(&self, request: &Request) -> Result<http::Response<Incoming>, CallError> {
        // The connection goes on by itself until the body is read, and is then closed.
        self.begin(request).await.map(|(answer, _)| answer)
    }

    /// Whether somebody listens on the socket of a store.
    pub(crate) async fn is_listened_to(&self) -> bool {
        match &self.endpoint.road {
            Road::Unix(path) => UnixStream::connect(path).await.is_ok(),
            Road::Tls(..) | Road::Tcp(..) => false,
        }
    }

    /// Whether whoever listens on the socket of a store says within `patience` that they are there, on a connection of its own:
    /// whoever is long at work on something does.
    pub(crate) async fn presence(&self, patience: Duration) -> Presence {
        let Road::Unix(path) = &self.endpoint.road else { return Presence::There };
        let stream = match UnixStream::connect(path).await {
            Ok(stream) => stream,
            // So many wait already.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Presence::Silent(None),
            Err(_) => return Presence::There,
        };
        let process = stream.peer_cred().ok().and_then(|peer| peer.pid());
        let asked = http::Request::get("/healthz").header(HOST, self.endpoint.host()).body(Full::default());
        let answered = timeout(patience, async {
            let (mut connection, Ok(asked)) = (converse(stream).await?, asked) else { return Ok(()) };
            let answer = connection.send_request(asked).await;
            answer.map(drop).map_err(|error| CallError::Broken(error.to_string()))
        });
        match answered.await {
            Ok(_) => Presence::There,
            Err(_) => Presence::Silent(process),
        }
    }

    /// Closes the connections that wait for another request.
    pub(crate) fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn begin(
        &self,
        request: &Request,
    ) -> Result<(http::Response<Incoming>, SendRequest<Full<Bytes>>), CallError> {
        let mut connection = self.connection().await?;
        let mut builder = http::Request::builder()
            .method(&request.method)
            .uri(format!("{}{}", self.endpoint.prefix, request.path))
            .header(HOST, self.endpoint.host())
            .header(USER_AGENT, concat!("deed/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*");
        if let Some(content_type) = request.content_type {
            builder = builder.header(CONTENT_TYPE, content_type);
        }
        // A request may show another.
        if let Some(token) = self.token.as_ref().filter(|_| !request.headers.contains_key(AUTHORIZATION)) {
            builder = builder.header(AUTHORIZATION, token);
        }
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let request = builder
            .body(Full::new(request.body.clone()))
            .map_err(|error| CallError::Broken(error.to_string()))?;
        let answer =
            timeout(ANSWERING, connection.send_request(request)).await.map_err(|_| CallError::Slow)?;
        let answer = answer.map_err(|error| CallError::Broken(error.to_string()))?;
        Ok((answer, connection))
    }

    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, CallError> {
        loop {
            let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(mut kept) = kept else { break };
            if kept.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        let slow = |_| CallError::Unreachable(io::ErrorKind::TimedOut.into());
        match &self.endpoint.road {
            Road::Tls(..) => {
                let stream = timeout(CONNECTING, self.tls.connect(&self.endpoint.host())).await;
                handshake(stream.map_err(slow)??).await
            }
            Road::Tcp(host, port) => {
                let stream =
                    timeout(CONNECTING, TcpStream::connect((host.as_str(), *port))).await.map_err(slow)?;
                let stream = stream.map_err(CallError::Unreachable)?;
                // Only slower without it.
                drop(stream.set_nodelay(true));
                converse(stream).await
            }
            Road::Unix(path) => {
                let stream = timeout(CONNECTING, UnixStream::connect(path)).await.map_err(slow)?;
                converse(stream.map_err(CallError::Unreachable)?).await
            }
        }
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) -> Result<SendRequest<Full<Bytes>>, CallError> {
    handshake(TokioIo::new(stream)).await
}

async fn handshake(
    stream: impl Read + Write + Send + Unpin + 'static,
) -> Result<SendRequest<Full<Bytes>>, CallError> {
    let (sender, connection) =
        http1::handshake(stream).await.map_err(|error| CallError::Broken(error.to_string()))?;
    // How a connection ends is told to the request that needed it.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// All that `body` holds; of more than `most` bytes one byte more.
async fn read(mut body: Incoming, most: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = most.saturating_add(1) - bytes.len();
        bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
        if bytes.len() > most {
            break;
        }
    }
    Ok(bytes)
}

/// How an answer is coded (RFC 9110, section 8.4). Static logs may be served as gzip to whoever asks
/// (C2SP tlog-tiles).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Gzip,
}

impl Coding {
    fn of(headers: &HeaderMap) -> Result<Self, CallError> {
        let unknown = |coding: &str| CallError::Coded(format!("it comes as `{coding}`; understood is gzip"));
        let mut coding = Coding::Plain;
        for value in headers.get_all(CONTENT_ENCODING) {
            let value = value.to_str().map_err(|_| unknown("?"))?;
            for name in value.split(',').map(str::trim) {
                match name.to_ascii_lowercase().as_str() {
                    "" | "identity" => {}
                    "gzip" | "x-gzip" if coding == Coding::Plain => coding = Coding::Gzip,
                    _ => return Err(unknown(value)),
                }
            }
        }
        Ok(coding)
    }

    /// The most bytes of something of `most` bytes in this coding.
    fn most(self, most: usize) -> usize {
        match self {
            Coding::Plain => most,
            // What does not become shorter becomes little longer.
            Coding::Gzip => most.saturating_add(most / 1024).saturating_add(1024),
        }
    }

    /// `bytes` without it; of what is longer than `most` one byte more.
    fn decode(self, bytes: Vec<u8>, most: usize) -> Result<Vec<u8>, CallError> {
        if self == Coding::Plain {
            return Ok(bytes);
        }
        let mut plain = Vec::new();
        let decoder = MultiGzDecoder::new(bytes.as_slice()).take((most as u64).saturating_add(1));
        match { decoder }.read_to_end(&mut plain) {
            Ok(_) => Ok(plain),
            Err(error) => Err(CallError::Coded(format!("it is no gzip: {error}"))),
        }
    }
}

/// `text` as part of a query string (RFC 3986, unreserved characters as they are).
pub(crate) fn query_value(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() + 8), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&crate::output::hex(&[byte]).to_ascii_uppercase());
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_http_host_port_and_prefix() {
        let tcp = |host: &str, port| Road::Tcp(host.to_owned(), port);
        let tls = |host: &str, port| Road::Tls(host.to_owned(), port);
        for (url, road, prefix) in [
            ("http://127.0.0.1:7400", tcp("127.0.0.1", 7400), ""),
            ("http://[::1]:7400/", tcp("::1", 7400), ""),
            ("https://deed.example", tls("deed.example", 443), ""),
            ("https://log.example/log/x/", tls("log.example", 443), "/log/x"),
        ] {
            let read = Endpoint::of_url(url).ok();
            assert_eq!(read, Some(Endpoint { road, prefix: prefix.to_owned() }), "{url}");
        }
        for bad in ["127.0.0.1:7400", "http://", "http://h/?a=b", "ftp://h", ""] {
            assert!(Endpoint::of_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_tls_and_this_machine_are_no_open_road() {
        for (url, is_open) in [
            ("https://deed.example", false),
            ("http://localhost:7400", false),
            ("http://127.3.4.5", false),
            ("http://[::1]:7400", false),
            ("http://deed.example", true),
            ("http://10.0.0.1:7400", true),
            ("http://localhost.evil.example", true),
        ] {
            assert!(Endpoint::of_url(url).is_ok_and(|endpoint| endpoint.is_open_road() == is_open), "{url}");
        }
    }

    #[test]
    fn query_values_survive() {
        assert_eq!(query_value("a b&c=ä/1"), "a%20b%26c%3D%C3%A4%2F1");
    }
}
