//! The server behind an endpoint: at a URL, or a program. No message goes there without a permit.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, PoisonError, RwLock},
    thread::ThreadId,
    time::Duration,
};

use bytes::Bytes;
use deed_record::Status;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use crate::{
    ending::{BY_CLIENT, CONNECTION_ENDED},
    guard::Permit,
    onward::{Lapsed, Onward},
    proxy,
    secrets::Secrets,
    stdio::Program,
};

/// How long a connection may take to come about.
const CONNECTING: Duration = Duration::from_secs(10);
/// How long a connection is kept for the next request: less than common servers keep theirs.
const IDLE: Duration = Duration::from_secs(4);
/// Connections kept for the next request.
const MOST_IDLE: usize = 1024;

/// A server's answer, of which the body is still to come.
pub(crate) type Answer = Response<Body>;
/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, Lost>;

/// Why a body broke off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lost {
    /// The connection broke.
    Connection,
    /// The server itself ended.
    Server,
    /// It answered, and nobody can read what: in a word why.
    Unread(&'static str),
}

/// A server that speaks MCP.
pub struct Upstream {
    reached: Reached,
    /// How long it may be silent.
    pub(super) patience: Duration,
}

/// How a server is reached.
enum Reached {
    /// Over Streamable HTTP.
    Url(Box<Url>),
    /// Over the standard input and output of its processes.
    Program(Arc<Program>),
}

struct Url {
    url: Uri,
    /// Deed's own credentials there, and whatever else the settings say.
    headers: HeaderMap,
    connector: Connector,
    /// One for each thread that serves clients: whoever asks and whoever reads the answer then share a core.
    clients: RwLock<HashMap<ThreadId, Connections>>,
}

enum Connector {
    Plain(HttpConnector),
    Secure(HttpsConnector<proxy::Connector>),
}

#[derive(Clone)]
enum Connections {
    Plain(Client<HttpConnector, Full<Bytes>>),
    Secure(Client<HttpsConnector<proxy::Connector>, Full<Bytes>>),
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    /// The server cannot be reached: it never heard of it.
    Unreachable,
    /// It cannot be started: it never heard of it.
    NotStarted(String),
    /// The connection broke, or no answer came in time: nobody knows what became of it.
    Broken(&'static str),
    /// The caller's token there does not hold: it was sent nothing.
    Withheld,
}

impl NoAnswer {
    /// How what was to be done ends: status, and in a word why.
    pub(super) fn ends(&self) -> (Status, &'static str) {
        match self {
            NoAnswer::Unreachable => (Status::Failure, "unreachable"),
            NoAnswer::NotStarted(_) => (Status::Failure, "not_started"),
            NoAnswer::Broken(BY_CLIENT) => (Status::Cancelled, BY_CLIENT),
            NoAnswer::Broken(code) => (Status::Unknown, code),
            NoAnswer::Withheld => (Status::Denied, "upstream_token"),
        }
    }
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
        let connector = if url.scheme_str() == Some("https") {
            let secure = HttpsConnectorBuilder::new().with_native_roots()?;
            let way = proxy::Connector::new(plain);
            Connector::Secure(secure.https_only().enable_http1().wrap_connector(way))
        } else {
            Connector::Plain(plain)
        };
        let url = Url { url, headers, connector, clients: RwLock::default() };
        Ok(Upstream { reached: Reached::Url(Box::new(url)), patience })
    }

    /// The server that `program` starts, and that may be silent for `patience`.
    pub fn program(program: Arc<Program>, patience: Duration) -> Self {
        Upstream { reached: Reached::Program(program), patience }
    }

    /// Sends `body` by right of `permit`, which is used up (INVARIANT D1), with what goes `onward` of the caller.
    pub(super) async fn send(
        &self,
        permit: Permit,
        onward: &Onward,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        let authorization = onward.authorization()?;
        let answering = async {
            match &self.reached {
                Reached::Url(url) => {
                    permit.use_up();
                    url.send(authorization, method, headers, body).await
                }
                Reached::Program(program) => program.answer(permit, method, &headers, &body).await,
            }
        };
        match tokio::time::timeout(self.patience, answering).await {
            Ok(answered) => answered,
            Err(_) => Err(NoAnswer::Broken("no_answer")),
        }
    }

    /// Whether it has forgotten session `id`, so that nothing needs to be sent to learn that.
    pub(super) fn has_ended(&self, id: &HeaderValue) -> bool {
        match &self.reached {
            Reached::Url(_) => false,
            Reached::Program(program) => id.to_str().map_or(true, |id| program.has_ended(id)),
        }
    }

    /// What no record may hold of what it says.
    pub(super) fn secrets(&self) -> Option<Arc<Secrets>> {
        match &self.reached {
            Reached::Url(_) => None,
            Reached::Program(program) => Some(program.secrets().clone()),
        }
    }

    /// Ends what was started, and waits for that, but no longer than `patience`.
    pub(super) async fn finish(&self, patience: Duration) {
        if let Reached::Program(program) = &self.reached {
            program.finish(patience).await;
        }
    }
}

impl Connector {
    fn client(&self) -> Connections {
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_idle_timeout(IDLE).pool_timer(TokioTimer::new()).pool_max_idle_per_host(MOST_IDLE);
        match self {
            Connector::Plain(connector) => Connections::Plain(builder.build(connector.clone())),
            Connector::Secure(connector) => Connections::Secure(builder.build(connector.clone())),
        }
    }
}

impl Url {
    /// The connections of this thread.
    fn client(&self) -> Connections {
        let thread = std::thread::current().id();
        let known = self.clients.read().unwrap_or_else(PoisonError::into_inner).get(&thread).cloned();
        known.unwrap_or_else(|| {
            let mut clients = self.clients.write().unwrap_or_else(PoisonError::into_inner);
            clients.entry(thread).or_insert_with(|| self.connector.client()).clone()
        })
    }

    async fn send(
        &self,
        authorization: Option<&HeaderValue>,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, NoAnswer> {
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.url.clone();
        *request.headers_mut() = headers;
        let answered = match self.client() {
            Connections::Plain(client) => client.request(request).await,
            Connections::Secure(client) => client.request(request).await,
        };
        match answered {
            Ok(answer) => Ok(answer.map(|body| body.map_err(|_| Lost::Connection).boxed_unsync())),
            Err(error) if error.is_connect() => {
                tracing::warn!(%error, url = %self.url, "the server cannot be reached");
                Err(NoAnswer::Unreachable)
            }
            Err(error) => {
                tracing::warn!(%error, url = %self.url, "the connection to the server broke");
                Err(NoAnswer::Broken(CONNECTION_ENDED))
            }
        }
    }
}
