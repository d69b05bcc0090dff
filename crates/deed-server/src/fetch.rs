//! Documents of issuers and transmitters, fetched: within a bound of time and size, and from nowhere but where it was
//! said.

mod kept;

use std::{io, sync::OnceLock, time::Duration};

use bytes::Bytes;
use deed_gateway::proxy;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use tokio::time::timeout;

pub(crate) use kept::Kept;

/// How long a document may take, from the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest document that is read, in bytes.
const LARGEST: usize = 512 << 10;

/// Fetches documents.
pub(crate) struct Fetcher {
    plain: Client<HttpConnector, Empty<Bytes>>,
    /// Made when it is needed first, for reading the certificates of the system takes a while.
    tls: OnceLock<Result<Tls, String>>,
}

type Tls = Client<HttpsConnector<proxy::Connector>, Empty<Bytes>>;

fn tls() -> Result<Tls, String> {
    let roots = HttpsConnectorBuilder::new().with_native_roots();
    let roots = roots.map_err(|error| format!("the certificates of this system cannot be read: {error}"))?;
    let connector = roots.https_only().enable_http1().wrap_connector(way());
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// The way to servers elsewhere.
fn way() -> proxy::Connector {
    proxy::Connector::new(HttpConnector::new())
}

/// Sends requests with a body, over TLS or to this machine.
pub(crate) type Sender = Client<HttpsConnector<proxy::Connector>, Full<Bytes>>;

/// # Errors
/// The system's roots of trust cannot be read.
pub(crate) fn sender() -> io::Result<Sender> {
    let roots = HttpsConnectorBuilder::new().with_native_roots()?;
    let connector = roots.https_or_http().enable_http1().wrap_connector(way());
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// What of a discovery document is of use (OpenID Connect Discovery 1.0, section 3; SSF 1.0, section 7.1).
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(crate) fn new() -> Self {
        Fetcher { plain: Client::builder(TokioExecutor::new()).build_http(), tls: OnceLock::new() }
    }

    /// The document at `url`. Redirects are not followed: they could lead anywhere.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn get(&self, url: &str) -> Result<String, String> {
        match timeout(PATIENCE, self.ask(url)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }

    /// Where the document at `url` says that the keys of `issuer` are.
    ///
    /// # Errors
    /// It cannot be had, or is none of that issuer.
    pub(crate) async fn discover(&self, url: &str, issuer: &str) -> Result<String, String> {
        let document = self.get(url).await.map_err(|why| format!("`{url}`: {why}"))?;
        let found: Discovered = serde_json::from_str(&document)
            .map_err(|error| format!("`{url}` is no discovery document: {error}"))?;
        // OpenID Connect Discovery 1.0, section 4.3: else one issuer could have another's keys.
        if found.issuer != issuer {
            return Err(format!("`{url}` is the document of another issuer"));
        }
        // Nobody is led away from TLS.
        let same = found.jwks_uri.starts_with("https://") || issuer.starts_with("http://");
        same.then_some(found.jwks_uri).ok_or_else(|| format!("`jwks_uri` in `{url}` is no https URL"))
    }

    async fn ask(&self, url: &str) -> Result<String, String> {
        let uri: Uri = url.parse().map_err(|_| "it is no URL".to_owned())?;
        let is_plain = uri.scheme_str() == Some("http");
        let request = Request::get(uri).header(header::ACCEPT, "application/json").body(Empty::new());
        let request = request.map_err(|error| error.to_string())?;
        let asked = match is_plain {
            true => self.plain.request(request).await,
            false => self.tls.get_or_init(tls).as_ref().map_err(Clone::clone)?.request(request).await,
        };
        let answer = asked.map_err(|error| innermost(&error))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answered {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?;
        String::from_utf8(body.to_bytes().into()).map_err(|_| "its answer is no UTF-8".to_owned())
    }
}

/// What the system said, not that a request failed.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
