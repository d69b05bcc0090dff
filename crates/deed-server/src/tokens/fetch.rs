//! Documents of issuers, fetched: within a bound of time and size, and from nowhere but where it was said.

use std::time::Duration;

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
    /// Without the certificates of the system there is no TLS.
    tls: Result<Client<HttpsConnector<HttpConnector>, Empty<Bytes>>, String>,
}

impl Fetcher {
    pub(super) fn new() -> Self {
        let builder = || Client::builder(TokioExecutor::new());
        let tls = HttpsConnectorBuilder::new().with_native_roots();
        let tls = tls.map(|connector| builder().build(connector.https_only().enable_http1().build()));
        Fetcher {
            plain: builder().build_http(),
            tls: tls.map_err(|error| format!("the certificates of this system cannot be read: {error}")),
        }
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
        let asked = match &self.tls {
            _ if is_plain => self.plain.request(request).await,
            Ok(client) => client.request(request).await,
            Err(why) => return Err(why.clone()),
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
