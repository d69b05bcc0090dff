//! Documents of issuers, fetched: within a bound of time and size, and from nowhere but where it was said.

use std::{sync::OnceLock, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

/// How long a document may take, from the first packet to the last.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest document that is read, in bytes.
const LARGEST: usize = 512 << 10;

/// Fetches documents.
pub(super) struct Fetcher {
    plain: Client<HttpConnector, Empty<Bytes>>,
    /// Made when it is needed first, for reading the certificates of the system takes a while.
    tls: OnceLock<Result<Tls, String>>,
}

type Tls = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

fn tls() -> Result<Tls, String> {
    let roots = HttpsConnectorBuilder::new().with_native_roots();
    let roots = roots.map_err(|error| format!("the certificates of this system cannot be read: {error}"))?;
    Ok(Client::builder(TokioExecutor::new()).build(roots.https_only().enable_http1().build()))
}

impl Fetcher {
    pub(super) fn new() -> Self {
        Fetcher { plain: Client::builder(TokioExecutor::new()).build_http(), tls: OnceLock::new() }
    }

    /// The document at `url`. Redirects are not followed: they could lead anywhere.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn get(&self, url: &str) -> Result<String, String> {
        match timeout(PATIENCE, self.ask(url)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
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
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
