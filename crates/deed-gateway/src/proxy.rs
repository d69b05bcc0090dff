//! The way to servers elsewhere: directly, or through the proxy that the environment names.

use std::{
    env,
    error::Error,
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, Uri};
use hyper_util::{
    client::legacy::connect::{HttpConnector, proxy::Tunnel},
    rt::TokioIo,
};
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

/// How long a proxy may take to reach a server.
const REACHING: Duration = Duration::from_secs(10);

type Stream = TokioIo<TcpStream>;
type Failed = Box<dyn Error + Send + Sync>;

/// Connects to servers. Those of `https` URLs are reached through the proxy of `$HTTPS_PROXY`, else `$ALL_PROXY`, where there is
/// one and `$NO_PROXY` does not except them; TLS goes through it from end to end. This machine is never behind a proxy.
#[derive(Clone, Debug)]
pub struct Connector {
    direct: HttpConnector,
    proxy: Option<Arc<Proxy>>,
}

impl Connector {
    /// By `direct`, or through the proxy that the environment names now.
    pub fn new(mut direct: HttpConnector) -> Self {
        direct.enforce_http(false);
        Connector { direct, proxy: Proxy::of_environment().map(Arc::new) }
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, Failed>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.direct.poll_ready(context).map_err(Failed::from)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.clone().filter(|proxy| proxy.leads_to(&to)) else {
            let connecting = self.direct.call(to);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        let direct = self.direct.clone();
        Box::pin(async move {
            let Address { at, shows } =
                proxy.address.as_ref().map_err(|why| io::Error::other(why.clone()))?;
            let mut tunnel = Tunnel::new(at.clone(), direct);
            if let Some(shows) = shows {
                tunnel = tunnel.with_auth(shows.clone());
            }
            let failed = |why: &dyn Error| io::Error::other(format!("through the proxy {at}: {why}"));
            match timeout(REACHING, tunnel.call(to)).await {
                Ok(reached) => Ok(reached.map_err(|error| failed(innermost(&error)))?),
                Err(late) => Err(failed(&late).into()),
            }
        })
    }
}

fn innermost<'e>(error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// A proxy, and what is reached without it.
#[derive(Debug)]
struct Proxy {
    /// Or why it cannot be used: nothing goes past it for that.
    address: Result<Address, String>,
    except: Vec<Except>,
}

#[derive(Debug)]
struct Address {
    at: Uri,
    /// INVARIANT D9: never shown.
    shows: Option<HeaderValue>,
}

/// What is reached without a proxy.
#[derive(PartialEq, Eq, Debug)]
enum Except {
    Everything,
    /// A host, and all below it.
    Domain(String),
    /// Addresses that begin with so many bits.
    Network(IpAddr, u8),
}

impl Proxy {
    fn of_environment() -> Option<Self> {
        let set = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| env::var(name).ok());
            values.find(|value| !value.trim().is_empty())
        };
        let proxy = set(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?;
        Some(Proxy::new(proxy.trim(), &set(&["no_proxy", "NO_PROXY"]).unwrap_or_default()))
    }

    fn new(proxy: &str, except: &str) -> Self {
        let address = Address::parse(proxy);
        let address = address.ok_or_else(|| {
            "the proxy that the environment names (HTTPS_PROXY, ALL_PROXY) cannot be used: expected http://HOST:PORT"
                .to_owned()
        });
        Proxy { address, except: except.split(',').filter_map(|one| Except::parse(one.trim())).collect() }
    }

    fn leads_to(&self, to: &Uri) -> bool {
        let Some(host) = to.host().filter(|_| to.scheme_str() == Some("https")) else { return false };
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address = host.parse::<IpAddr>().ok();
        let is_here = host == "localhost"
            || host.ends_with(".localhost")
            || address.is_some_and(|address| address.to_canonical().is_loopback());
        !is_here && !self.except.iter().any(|except| except.covers(&host, address))
    }
}

impl Address {
    fn parse(text: &str) -> Option<Self> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
            Some(_) => return None,
            None => text,
        };
        let (shown, at) =
            rest.trim_end_matches('/').rsplit_once('@').map_or((None, rest), |(shown, at)| (Some(shown), at));
        let at: Uri = format!("http://{}", at.trim_end_matches('/')).parse().ok()?;
        let shows = match shown {
            Some(shown) => {
                let (user, password) = shown.split_once(':').unwrap_or((shown, ""));
                let plain = [unescaped(user)?, b":".to_vec(), unescaped(password)?].concat();
                let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(plain))).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        at.host().is_some_and(|host| !host.is_empty()).then_some(Address { at, shows })
    }
}

/// `text` with what stands there as `%XX` (RFC 3986).
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut pieces = text.split('%');
    let mut plain = pieces.next()?.as_bytes().to_vec();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        plain.push(u8::from_str_radix(code, 16).ok()?);
        plain.extend_from_slice(rest.as_bytes());
    }
    Some(plain)
}

impl Except {
    /// A host, `*`, an address, or `ADDRESS/BITS`; nothing of what says nothing.
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Except::Everything);
        }
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        if let Ok(address) = address.trim_matches(['[', ']']).parse::<IpAddr>() {
            let most = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(most), |bits| bits.parse().ok()).filter(|bits| *bits <= most)?;
            return Some(Except::Network(address, bits));
        }
        let domain = text.trim_start_matches("*.").trim_start_matches('.').trim_end_matches('.');
        (!domain.is_empty()).then(|| Except::Domain(domain.to_ascii_lowercase()))
    }

    fn covers(&self, host: &str, address: Option<IpAddr>) -> bool {
        match self {
            Except::Everything => true,
            Except::Domain(domain) => {
                host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            Except::Network(network, bits) => {
                address.is_some_and(|address| begins_alike(address, *network, *bits))
            }
        }
    }
}

/// Whether two addresses of one sort have their first `bits` in common.
fn begins_alike(one: IpAddr, other: IpAddr, bits: u8) -> bool {
    let differ = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return false,
    };
    differ >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_through_a_proxy_is_elsewhere_and_not_excepted() {
        let proxy = Proxy::new(
            "http://proxy.example:3128",
            "corp.example, .dev.example,*.test, 10.0.0.0/8,192.0.2.7, fd00::/8",
        );
        for through in [
            "https://idp.example/",
            "https://notcorp.example/",
            "https://192.0.2.8/",
            "https://[2001:db8::1]/",
            "https://11.0.0.1/",
        ] {
            assert!(proxy.leads_to(&through.parse().expect("a URL")), "{through}");
        }
        for direct in [
            "http://idp.example/",
            "https://localhost:1/",
            "https://a.localhost/",
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "https://corp.example/",
            "https://A.CORP.example./",
            "https://x.dev.example/",
            "https://a.test/",
            "https://10.9.8.7/",
            "https://192.0.2.7/",
            "https://[fd00::7]/",
        ] {
            assert!(!proxy.leads_to(&direct.parse().expect("a URL")), "{direct}");
        }
        assert!(!Proxy::new("proxy:1", "*").leads_to(&"https://idp.example/".parse().expect("a URL")));
    }

    #[test]
    fn a_proxy_is_a_host_and_perhaps_somebody_whom_it_knows() {
        let address = |text: &str| {
            let Address { at, shows } = Address::parse(text)?;
            Some((at.to_string(), shows.map(|shows| shows.to_str().expect("text").to_owned())))
        };
        let basic = |plain: &str| Some(format!("Basic {}", STANDARD.encode(plain)));
        for (text, expected) in [
            ("http://proxy.example:3128/", Some(("http://proxy.example:3128/", None))),
            ("proxy.example:3128", Some(("http://proxy.example:3128/", None))),
            ("HTTP://ann:p%40ss@proxy.example:8080", Some(("http://proxy.example:8080/", basic("ann:p@ss")))),
            ("http://ann@[::1]:8080", Some(("http://[::1]:8080/", basic("ann:")))),
            ("socks5://proxy.example", None),
            ("https://proxy.example", None),
            ("http://ann:%zz@proxy.example", None),
            ("http://", None),
        ] {
            let expected = expected.map(|(at, shows)| (at.to_owned(), shows));
            assert_eq!(address(text), expected, "{text}");
        }
        let shown = format!("{:?}", Proxy::new("http://ann:secret-word@proxy.example", ""));
        assert!(
            !shown.contains("secret-word") && !shown.contains(&STANDARD.encode("ann:secret-word")),
            "{shown}"
        );
    }
}
