//! Who is let in: connections that are trusted, tokens, and requests that a browser was tricked into.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use deed_ledger::Sender;
use deed_seal::hash::Hash;
use http::{HeaderMap, HeaderName, Uri, Version, header, request::Parts, uri::Authority};
use rustix::process::Pid;
use tokio::net::unix::UCred;

use crate::{
    problem::{Kind, Problem},
    settings::{Right, Token},
};

/// Tokens shorter than this are refused: their hash could be tried out.
pub(crate) const SHORTEST_TOKEN: usize = 32;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// As the ledger wants it: name and tenant.
    pub(crate) sender: Sender,
    /// The token; `None` for whoever needs none.
    token: Option<Token>,
    /// Whether the file system let them in: a process of the one whose store it is.
    owns: bool,
    /// That process, where the system says which.
    process: Option<Pid>,
}

impl Caller {
    /// Whoever needs no token: everything is allowed.
    fn trusted(name: String, owns: bool) -> Arc<Self> {
        let sender = Sender { tenant: None, name, ours: false };
        Arc::new(Caller { sender, token: None, owns, process: None })
    }

    fn of_token(token: &Token) -> Arc<Self> {
        let sender = Sender { tenant: token.tenant.clone(), name: token.name.clone(), ours: false };
        Arc::new(Caller { sender, token: Some(token.clone()), owns: false, process: None })
    }

    /// The name of its token; `None` where it needs none.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.token.as_ref().map(|token| &*token.name)
    }

    /// The only tenant whose records it may see.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.sender.tenant.as_deref()
    }

    /// Its name, if it is a process of the one whose store it is.
    pub(crate) fn owner(&self) -> Option<&str> {
        self.owns.then_some(&self.sender.name)
    }

    /// Whether it may do `right`.
    ///
    /// # Errors
    /// A 403 that names the right.
    pub(crate) fn require(&self, right: Right) -> Result<(), Problem> {
        match &self.token {
            Some(token) if !token.rights.contains(&right) => Err(Problem::new(
                Kind::Forbidden,
                format!("token `{}` has no right `{}`", token.name, format!("{right:?}").to_lowercase()),
            )),
            _ => Ok(()),
        }
    }
}

/// How a connection came in, and so what is believed of it.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The Unix socket: the system says who it is, and no browser can be tricked into using it.
    Socket(Arc<Caller>),
    /// A loopback address of a server that listens nowhere else.
    Loopback(Arc<Caller>),
    /// Anything else: a token says who it is.
    Token,
}

impl Trust {
    /// The Unix socket, used by `peer`.
    pub(crate) fn socket(peer: Option<UCred>) -> Self {
        let name = peer.map_or("local".into(), |peer| format!("local:uid-{}", peer.uid()));
        let caller = Caller::trusted(name, true);
        let process = peer.and_then(|peer| peer.pid()).and_then(Pid::from_raw);
        Trust::Socket(Arc::new(Caller { process, ..(*caller).clone() }))
    }

    /// A loopback address.
    pub(crate) fn loopback() -> Self {
        Trust::Loopback(Caller::trusted("local".into(), false))
    }
}

/// Whether and as whom a request was let in; put into the request for the extractors below.
#[derive(Clone, Debug)]
pub(crate) struct Admission(pub(crate) Result<Arc<Caller>, Problem>);

/// Looks at every request before anything else does.
pub(crate) struct Gate {
    callers: Vec<([u8; 32], Arc<Caller>)>,
    /// Whether the log may be read without a token.
    public_log: bool,
}

impl Gate {
    pub(crate) fn new(tokens: &[Token], public_log: bool) -> Self {
        Gate {
            callers: tokens.iter().map(|token| (token.hash, Caller::of_token(token))).collect(),
            public_log,
        }
    }

    pub(crate) fn has_public_log(&self) -> bool {
        self.public_log
    }

    /// Who sent the request.
    ///
    /// # Errors
    /// It must not be answered at all: another site's page sent it.
    pub(crate) fn admit(
        &self,
        trust: &Trust,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Admission, Problem> {
        // RFC 9112, section 3.2: whoever stands on the way may have looked at the other one.
        if headers.get_all(header::HOST).iter().count() > 1 {
            return Err(Problem::new(Kind::BadRequest, "the header `Host` is there twice"));
        }
        if let Trust::Loopback(_) = trust {
            refuse_foreign(version, uri, headers)?;
        }
        // A token that is shown is believed or refused, wherever it comes in.
        Ok(Admission(match (headers.get(header::AUTHORIZATION), trust) {
            (Some(value), _) => self.by_token(value.as_bytes()),
            (None, Trust::Socket(caller) | Trust::Loopback(caller)) => Ok(caller.clone()),
            (None, Trust::Token) => Err(Problem::new(
                Kind::Unauthenticated,
                "send `Authorization: Bearer` and a token of this server",
            )),
        }))
    }

    fn by_token(&self, value: &[u8]) -> Result<Arc<Caller>, Problem> {
        let unknown = || Problem::new(Kind::Unauthenticated, "the token is not one of this server's");
        let token = match value.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => token.trim_ascii(),
            _ => return Err(Problem::new(Kind::Unauthenticated, "expected the scheme `Bearer`")),
        };
        let hash = Hash::of(token).0;
        // Every hash is looked at, whole: the time it takes tells nothing.
        let known = self
            .callers
            .iter()
            .filter(|(known, _)| is_same(known, &hash))
            .fold(None, |_, (_, caller)| Some(caller));
        match known {
            Some(caller) if token.len() >= SHORTEST_TOKEN => Ok(caller.clone()),
            Some(_) => Err(Problem::new(
                Kind::Unauthenticated,
                format!(
                    "the token is shorter than {SHORTEST_TOKEN} characters and could be guessed; make another"
                ),
            )),
            None => Err(unknown()),
        }
    }
}

pub(crate) fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b))) == 0
}

/// Refuses what a browser sends on behalf of another site: a name that was made to resolve to this
/// machine (DNS rebinding), or a page elsewhere that posts here.
fn refuse_foreign(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let misdirected = |found: &str| {
        let found: String = found.chars().take(80).flat_map(char::escape_debug).collect();
        Problem::new(
            Kind::Misdirected,
            format!("this server answers to `localhost` and loopback addresses, not to `{found}`"),
        )
    };
    let named = headers.get(header::HOST).map(|host| host.to_str().unwrap_or("?"));
    let host = uri.authority().map(Authority::as_str).or(named);
    match host {
        Some(host) if !is_loopback_name(host) => return Err(misdirected(host)),
        // RFC 9112, section 3.2.
        None if version == Version::HTTP_11 => {
            return Err(Problem::new(Kind::BadRequest, "the header `Host` is missing"));
        }
        _ => {}
    }
    let foreign = || {
        Problem::new(
            Kind::ForeignSite,
            "a page of another origin sent this; open Deed itself, or use a token",
        )
    };
    if let Some(origin) = headers.get(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        if own.is_none() || own != host {
            return Err(foreign());
        }
    }
    match headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes()) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(foreign()),
    }
}

/// Whether `host`, with or without a port, names this machine to itself.
fn is_loopback_name(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<std::net::IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// A caller that may append records.
pub(crate) struct Writing(pub(crate) Arc<Caller>);

/// Somebody on this machine: no token gives that right.
pub(crate) struct Operating;

/// Somebody on this machine who answers for people: no token gives that right.
pub(crate) struct Answering;

/// A door of Deed on this machine, whose word on what was enforced is Deed's own; and the process that it is in.
pub(crate) struct Enforcing(pub(crate) Option<Pid>);

/// A caller that may ask.
pub(crate) struct Reading(pub(crate) Arc<Caller>);

/// A caller that may export telemetry, or why it may not.
pub(crate) struct Exporting(pub(crate) Result<Arc<Caller>, Problem>);

/// A caller that may read the log.
pub(crate) struct LogReading;

/// Whoever comes, or why the gate knows them not.
pub(crate) struct Whoever(pub(crate) Result<Arc<Caller>, Problem>);

/// Whoever it is, if anybody.
pub(crate) struct Anybody(pub(crate) Option<Arc<Caller>>);

fn admission(parts: &Parts) -> Result<Arc<Caller>, Problem> {
    match parts.extensions.get::<Admission>() {
        Some(Admission(admitted)) => admitted.clone(),
        // INVARIANT: every listener asks the gate first (`serve::connection`).
        None => Err(Problem::new(Kind::Internal, "the request passed no gate")),
    }
}

fn with_right(parts: &Parts, right: Right) -> Result<Arc<Caller>, Problem> {
    let caller = admission(parts)?;
    caller.require(right)?;
    Ok(caller)
}

impl<S: Sync> FromRequestParts<S> for Writing {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        with_right(parts, Right::Write).map(Writing)
    }
}

impl<S: Sync> FromRequestParts<S> for Operating {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match &admission(parts)?.token {
            None => Ok(Operating),
            Some(token) => Err(Problem::new(
                Kind::Forbidden,
                format!("token `{}` allows no upkeep of the store: that is done on its machine", token.name),
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Answering {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match &admission(parts)?.token {
            None => Ok(Answering),
            Some(token) => Err(Problem::new(
                Kind::Forbidden,
                format!(
                    "token `{}` answers for nobody: approve or refuse on this server's machine (deed approve), or by a signed message, see `[approvals]` in `deed.toml`",
                    token.name
                ),
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Enforcing {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = admission(parts)?;
        match caller.owns {
            true => Ok(Enforcing(caller.process)),
            false => Err(Problem::new(
                Kind::Forbidden,
                "only Deed itself says what was enforced, over the socket in the data directory",
            )),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Reading {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        with_right(parts, Right::Read).map(Reading)
    }
}

impl<S: Sync> FromRequestParts<S> for Exporting {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Exporting(with_right(parts, Right::Otlp)))
    }
}

impl<S: Sync> FromRequestParts<S> for Whoever {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Whoever(admission(parts)))
    }
}

impl FromRequestParts<Arc<crate::app::App>> for LogReading {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &Arc<crate::app::App>) -> Result<Self, Problem> {
        if app.gate.has_public_log() {
            return Ok(LogReading);
        }
        let caller = with_right(parts, Right::Read)?;
        // The log holds every tenant's records.
        match caller.tenant() {
            Some(tenant) => {
                Err(Problem::new(Kind::Tenant, format!("the log holds more than tenant `{tenant}`")))
            }
            None => Ok(LogReading),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Anybody {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Anybody(admission(parts).ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_loopback_names() {
        for good in ["localhost", "LOCALHOST:7400", "127.0.0.1:7400", "127.3.4.5", "[::1]:7400", "[::1]"] {
            assert!(is_loopback_name(good), "{good}");
        }
        for bad in [
            "evil.example",
            "localhost.evil.example:7400",
            "127.0.0.1.nip.io",
            "10.0.0.1:7400",
            "",
            "[::2]",
            "a b",
        ] {
            assert!(!is_loopback_name(bad), "{bad}");
        }
    }

    #[test]
    fn compares_whole_hashes() {
        let a = [7; 32];
        let mut b = a;
        assert!(is_same(&a, &b));
        b[31] ^= 1;
        assert!(!is_same(&a, &b));
    }
}
