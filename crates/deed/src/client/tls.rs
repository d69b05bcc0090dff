//! TLS to a server: with the certificates that this machine trusts, and a reason where a server is not trusted.

use std::{
    error::Error,
    fmt, io,
    sync::{Mutex, PoisonError},
};

use deed_gateway::proxy;
use deed_record::Timestamp;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use rustls::{CertificateError, Error as TlsError};
use tokio::net::TcpStream;
use tower::Service;

use super::CallError;

/// A connection.
pub(super) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// Makes connections. The certificates of the system, or of `$SSL_CERT_FILE`, are read when the first is made.
#[derive(Debug, Default)]
pub(super) struct Connector(Mutex<Option<HttpsConnector<proxy::Connector>>>);

impl Connector {
    /// Connects to `host`, with or without a port.
    ///
    /// # Errors
    /// Nobody answers, or it is not known that this is the server.
    pub(super) async fn connect(&self, host: &str) -> Result<Stream, CallError> {
        let url = format!("https://{host}/").parse().map_err(|_| {
            let why = format!("`{host}` is no name of a host");
            CallError::Untrusted(Untrusted { why, what_to_do: String::new() })
        })?;
        let mut connector = self.get().map_err(|error| {
            CallError::Untrusted(Untrusted {
                why: format!("there are no certificates to know servers by: {error}"),
                what_to_do: "name a PEM file with those that are trusted: SSL_CERT_FILE=ca.pem".to_owned(),
            })
        })?;
        connector.call(url).await.map_err(|error| failed(host, &*error))
    }

    fn get(&self) -> io::Result<HttpsConnector<proxy::Connector>> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connector) = &*made {
            return Ok(connector.clone());
        }
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        let roots = HttpsConnectorBuilder::new().with_native_roots()?;
        let connector = roots.https_only().enable_http1().wrap_connector(proxy::Connector::new(http));
        Ok(made.insert(connector).clone())
    }
}

/// Why a server is not trusted, and what to do.
#[derive(Debug)]
pub(crate) struct Untrusted {
    why: String,
    what_to_do: String,
}

impl Untrusted {
    /// Both, a line each.
    pub(crate) fn details(&self) -> Vec<String> {
        [&self.why, &self.what_to_do].into_iter().filter(|line| !line.is_empty()).cloned().collect()
    }
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.details().join("; "))
    }
}

/// What a failure to connect amounts to.
fn failed(host: &str, error: &(dyn Error + 'static)) -> CallError {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(why) = error.downcast_ref::<TlsError>() {
            return of_tls(host, why);
        }
        // An `io::Error` shows the source of what it holds, not that itself.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    let innermost = innermost(error);
    match innermost.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::UnexpectedEof) => {
            CallError::Broken("the server ended the connection before TLS began".to_owned())
        }
        Some(kind) => CallError::Unreachable(io::Error::new(kind, innermost.to_string())),
        None => CallError::Unreachable(io::Error::other(innermost.to_string())),
    }
}

fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// What rustls says, in words for people.
fn of_tls(host: &str, error: &TlsError) -> CallError {
    let own = "look at it: openssl s_client -connect HOST:PORT -showcerts";
    let (why, what_to_do) = match error {
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer) => (
            format!("the certificate of `{host}` was issued by nobody whom this machine trusts"),
            "if that is meant to be, name a PEM file with its issuer's certificate: SSL_CERT_FILE=ca.pem"
                .to_owned(),
        ),
        TlsError::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }) => {
            (format!("the certificate is not for `{host}`, but for {}", presented.join(", ")), own.to_owned())
        }
        TlsError::InvalidCertificate(CertificateError::NotValidForName) => {
            (format!("the certificate is not for `{host}`"), own.to_owned())
        }
        TlsError::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => (
            format!("the certificate of `{host}` expired at {}", time(not_after.as_secs())),
            "have it renewed; or is this machine's clock wrong?".to_owned(),
        ),
        TlsError::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => (
            format!("the certificate of `{host}` is not valid before {}", time(not_before.as_secs())),
            "is this machine's clock wrong?".to_owned(),
        ),
        TlsError::InvalidCertificate(other) => {
            (format!("the certificate of `{host}` is not to be trusted: {other}"), own.to_owned())
        }
        TlsError::InvalidMessage(_) => {
            (format!("`{host}` does not speak TLS"), "is it an http:// server, or another port?".to_owned())
        }
        other => (format!("TLS to `{host}` failed: {other}"), own.to_owned()),
    };
    CallError::Untrusted(Untrusted { why, what_to_do })
}

fn time(seconds: u64) -> Timestamp {
    Timestamp(i64::try_from(seconds).unwrap_or_default().saturating_mul(1_000_000))
}
