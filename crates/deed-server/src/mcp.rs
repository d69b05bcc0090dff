//! `/mcp/{server}`: the gateway's door over Streamable HTTP.
//!
//! Who comes is said by a token, or by the settings where none is needed; what they do is `deed_gateway::http`'s.

use std::{collections::BTreeMap, fs, io, path::Path, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    response::Response,
};
use deed_gateway::{
    Caller, Who,
    http::{Endpoint, Reply, Upstream},
};
use deed_record::PrincipalType;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::{
    api::Named,
    app::App,
    auth::{Admission, Caller as Admitted},
    body::Received,
    engine::Engine,
    force::TENANT,
    problem::{Kind, Problem},
    settings::{McpServer, Right},
};

/// The MCP servers of this gateway.
pub(crate) struct Gateway {
    servers: BTreeMap<String, Served>,
}

struct Served {
    endpoint: Arc<Endpoint>,
    /// Who comes, where no token says so.
    caller: Caller,
}

impl Gateway {
    /// The servers of `engine`'s settings.
    ///
    /// # Errors
    /// A file with a header's value cannot be read, or the system's certificates cannot.
    pub(crate) fn new(engine: &Engine) -> io::Result<Self> {
        let served = |(name, server): (&String, &McpServer)| {
            let McpServer { url, headers, silence, wait, executor, initiator } = server;
            let headers = headers
                .iter()
                .map(|(name, file)| header_of(name, file))
                .collect::<io::Result<HeaderMap>>()?;
            let upstream = Upstream::new(url.clone(), headers, *silence)?;
            let endpoint = Endpoint::new(name, upstream, engine.decision_point(), *wait);
            let caller =
                Caller { initiator: initiator.clone(), executor: executor.clone(), ..Caller::default() };
            Ok((name.clone(), Served { endpoint, caller }))
        };
        let servers = engine.settings().mcp.iter().map(served).collect::<io::Result<_>>()?;
        Ok(Gateway { servers })
    }

    /// Waits until the ends of what was done are recorded, but no longer than `patience`.
    pub(crate) async fn finish(&self, patience: Duration) {
        for served in self.servers.values() {
            served.endpoint.finish(patience).await;
        }
    }
}

/// A header whose value stands in `file`, with `Bearer` before a bare token.
fn header_of(name: &str, file: &Path) -> io::Result<(HeaderName, HeaderValue)> {
    let wrong = |what: &str| io::Error::other(format!("`{}`: {what}", file.display()));
    let text = fs::read_to_string(file).map_err(|error| wrong(&error.to_string()))?;
    let text = match text.trim() {
        "" => return Err(wrong("expected the value of a header, found nothing")),
        token if name == "authorization" && !token.contains(' ') => format!("Bearer {token}"),
        value => value.to_owned(),
    };
    let name = HeaderName::try_from(name).map_err(|_| wrong("not the name of a header"))?;
    let mut value = HeaderValue::try_from(text).map_err(|_| wrong("not the value of a header"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// A request of an MCP client.
pub(crate) async fn take(
    State(app): State<Arc<App>>,
    Named(server): Named<String>,
    request: Request,
) -> Result<Response, Problem> {
    let Some(served) = app.gateway.servers.get(&server) else {
        // Whoever was not let in does not learn which servers there are.
        let Some(Admission(Ok(_))) = request.extensions().get::<Admission>() else {
            return Err(Problem::new(Kind::Unauthenticated, "a token is needed"));
        };
        let why = format!("no server `{server}`; `[mcp.{server}]` in `deed.toml` would name one");
        return Err(Problem::new(Kind::NotFound, why));
    };
    let (parts, body) = request.into_parts();
    let admission = parts.extensions.get::<Admission>().cloned();
    let admitted = match admission {
        Some(Admission(admitted)) => admitted.and_then(|caller| served.caller_of(&caller)),
        // INVARIANT: every listener asks the gate first (`serve::connection`).
        None => Err(Problem::new(Kind::Internal, "the request passed no gate")),
    };
    let admitted = admitted.and_then(|admitted| same_origin(&parts.headers).map(|()| admitted));
    let (caller, tenant) = match admitted {
        Ok(admitted) => admitted,
        Err(problem) => return Ok(served.turn_away(&problem).await.map(Body::new)),
    };
    let received = Received::read(&app, &parts.headers, body).await?;
    let body = received.plain()?;
    let request = http::Request::from_parts(parts, body.into());
    Ok(served.endpoint.take(caller, &tenant, request).await.map(Body::new))
}

impl Served {
    /// Who comes, and whose records are made.
    fn caller_of(&self, admitted: &Admitted) -> Result<(Caller, String), Problem> {
        admitted.require(Right::Mcp)?;
        let mut caller = self.caller.clone();
        if let Some(name) = admitted.token_name() {
            // Whoever holds a token is who the token is for, whatever the settings or the client say.
            caller.executor = Some(Who {
                kind: PrincipalType::ServiceAccount,
                key: Some(format!("token:{name}")),
                name: Some(name.to_owned()),
                instance: None,
            });
        }
        Ok((caller, admitted.tenant().unwrap_or(TENANT).to_owned()))
    }

    /// Whoever is not let in is recorded too, and knows nothing more afterwards.
    async fn turn_away(&self, problem: &Problem) -> Reply {
        let (sort, status) = match problem.kind() {
            Kind::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Kind::ForeignSite | Kind::Misdirected => ("foreign_site", StatusCode::FORBIDDEN),
            Kind::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            kind => ("not_let_in", kind.status()),
        };
        let mut reply = self.endpoint.refuse(Caller::default(), TENANT, sort, problem.detail(), status).await;
        if status == StatusCode::UNAUTHORIZED {
            reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        reply
    }
}

/// Pages of other sites may not speak to it (MCP, Streamable HTTP, Security). On loopback the gate has seen to
/// that already.
fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let own = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://")));
    match own.is_some() && own == host {
        true => Ok(()),
        false => Err(Problem::new(Kind::ForeignSite, "a page of another origin sent this")),
    }
}
