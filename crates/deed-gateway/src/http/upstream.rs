//! The server behind an endpoint, spoken to over HTTP. No message goes there without a permit.

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    guard::Permit,
    onward::{Lapsed, Onward},
};

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request: less than common servers keep theirs.
const IDLE: Duration = Duration::from_secs(4);
/// Connections kept for the next request.
const MOST_IDLE: usize = 1024;

/// A server's answer, of which the body is still to come.
pub(super) type Answer = Response<hyper::body::Incoming>;

/// A server that speaks MCP over Streamable HTTP.
pub struct Upstream {
    url: Uri,
    /// Deed's own credentials there, and whatever else the settings say.
    headers: HeaderMap,
    client: Connections,
    /// How long it may be silent.
    pub(super) patience: Duration,
}

enum Connections {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Secure(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
}

/// Why there was no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The server cannot be reached: it never heard of it.
    Unreachable,
    /// The connection broke, or no answer came in time: nobody knows what became of it.
    Broken(&'static str),
    /// The caller's token there does not hold: it was sent nothing.
    Withheld,
}

impl From<Lapsed> for NoAnswer {
    fn from(_: Lapsed) -> Self {
        NoAnswer::Withheld
    }
}

impl Upstream {
    /// The server at `url`, which hears `headers` with each request and may be silent for `patience`.
    ///
    /// # Errors
    /// The certificates of this machine, by which a server is known, cannot be read.
    pub fn new(url: Uri, headers: HeaderMap, patience: Duration) -> io::Result<Self> {
        let mut plain = HttpConnector::new();
        plain.set_nodelay(true);
        plain.set_connect_timeout(Some(CONNECTING));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).pool_max_idle_per_host(MOST_IDLE);
        let client = if url.scheme_str() == Some("https") {
            plain.enforce_http(false);
            let secure = HttpsConnectorBuilder::new().with_native_roots()?;
            Connections::Secure(builder.build(secure.https_only().enable_http1().wrap_connector(plain)))
        } else {
            Connections::Plain(builder.build(plain))
        };
        Ok(Upstream { url, headers, client, patience })
    }

    /// Sends `body` by right of `permit`, which is used up (INVARIANT D1), with what goes `onward` of the caller.
    pub(super) async fn send(
        &self,
        permit: Permit,
        onward: &Onward,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        permit.use_up();
        let authorization = onward.authorization()?;
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        let answering = async {
            match &self.client {
                Connections::Plain(client) => client.request(request).await,
                Connections::Secure(client) => client.request(request).await,
            }
        };
        match tokio::time::timeout(self.patience, answering).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) if error.is_connect() => {
                tracing::warn!(%error, url = %self.url, "the server cannot be reached");
                Err(NoAnswer::Unreachable)
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, url = %self.url, "the connection to the server broke");
                Err(NoAnswer::Broken("connection_ended"))
            }
            Err(_) => Err(NoAnswer::Broken("no_answer")),
        }
    }
}
