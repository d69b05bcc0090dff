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
    Allowance, Caller, Who,
    http::{Endpoint, Reply, Upstream},
};
use deed_record::PrincipalType;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};

use crate::{
    api::Named,
    app::App,
    auth::{Admission, Caller as Admitted},
    body::Received,
    engine::Engine,
    force::TENANT,
    problem::{self, Kind, Problem},
    settings::{McpServer, Right},
    strangers::Strangers,
    tokens::{Challenge, Presented, Tokens},
};

/// The MCP servers of this gateway.
pub(crate) struct Gateway {
    servers: BTreeMap<String, Served>,
    strangers: Strangers,
}

struct Served {
    endpoint: Arc<Endpoint>,
    /// Who comes, where no token says so.
    caller: Caller,
    requires_token: Option<bool>,
}

impl Gateway {
    /// The servers of `engine`'s settings.
    ///
    /// # Errors
    /// A file with a header's value cannot be read, or the system's certificates cannot.
    pub(crate) fn new(engine: &Engine) -> io::Result<Self> {
        let settings = engine.settings();
        let public = settings.approvals.as_ref().and_then(|approvals| approvals.public_url.as_ref());
        let issuer = settings.token_service.as_ref().map(|tokens| tokens.issuer.clone());
        let home = public.map(|url| url.to_string().trim_end_matches('/').to_owned()).or(issuer);
        let served = |(name, server): (&String, &McpServer)| {
            let McpServer { url, headers, silence, wait, executor, initiator, require_token } = server;
            let headers = headers
                .iter()
                .map(|(name, file)| header_of(name, file))
                .collect::<io::Result<HeaderMap>>()?;
            let upstream = Upstream::new(url.clone(), headers, *silence)?;
            let endpoint = Endpoint::new(name, upstream, engine.decision_point(), *wait, home.clone());
            let caller =
                Caller { initiator: initiator.clone(), executor: executor.clone(), ..Caller::default() };
            Ok((name.clone(), Served { endpoint, caller, requires_token: *require_token }))
        };
        let servers = engine.settings().mcp.iter().map(served).collect::<io::Result<_>>()?;
        Ok(Gateway { servers, strangers: Strangers::default() })
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
    let (caller, tenant) = match served.admit(&app, &server, &parts).await {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(served.turn_away(&app, refusal).await.map(Body::new)),
    };
    let received = Received::read(&app, &parts.headers, body).await?;
    let body = received.plain()?;
    let request = http::Request::from_parts(parts, body.into());
    Ok(served.endpoint.take(caller, &tenant, request).await.map(Body::new))
}

/// Somebody who is not let in.
struct TurnedAway {
    /// Why, in a word and in a sentence.
    sort: &'static str,
    why: String,
    status: StatusCode,
    /// What the client can do about it.
    headers: HeaderMap,
}

impl Served {
    /// Who comes, and whose records are made.
    async fn admit(&self, app: &App, server: &str, parts: &Parts) -> Result<(Caller, String), TurnedAway> {
        let admitted = match parts.extensions.get::<Admission>() {
            Some(Admission(admitted)) => admitted.clone(),
            // INVARIANT: every listener asks the gate first (`serve::connection`).
            None => Err(Problem::new(Kind::Internal, "the request passed no gate")),
        };
        same_origin(&parts.headers).map_err(TurnedAway::from)?;
        let tokens = app.engine.tokens();
        let shows_token = parts.headers.contains_key(header::AUTHORIZATION);
        match (admitted, tokens) {
            (Ok(caller), _) if caller.token_name().is_some() => Ok(self.of_gate(&caller)?),
            // A token that is none of the settings' may be one that was issued.
            (Err(problem), Some(tokens)) if problem.kind() == Kind::Unauthenticated => {
                Ok(self.of_token(tokens, server, parts).await?)
            }
            (Ok(_), Some(tokens)) if shows_token || self.requires_token.unwrap_or(true) => {
                Ok(self.of_token(tokens, server, parts).await?)
            }
            (Ok(_), None) if self.requires_token == Some(true) => {
                Err(Problem::new(Kind::Unauthenticated, "a token is needed").into())
            }
            (Ok(caller), _) => Ok(self.of_gate(&caller)?),
            (Err(problem), _) => Err(problem.into()),
        }
    }

    /// Whoever needs no token, or has one of the settings.
    fn of_gate(&self, admitted: &Admitted) -> Result<(Caller, String), Problem> {
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

    /// Whoever shows a token that was issued for this server: it says who acts, and for whom.
    async fn of_token(
        &self,
        tokens: &Arc<Tokens>,
        server: &str,
        parts: &Parts,
    ) -> Result<(Caller, String), Challenge> {
        let resource = tokens.resource_of(server);
        let presented = tokens.verify(&parts.headers, &parts.method, &resource, &resource).await?;
        let Presented {
            initiator, executor, chain, credential, grant, lineage, task, details, tenant, ..
        } = presented;
        let details = serde_json::to_value(&details).unwrap_or_default();
        let allowance = Allowance::of(&details, &resource);
        let (executor, credential) = (Some(executor), Some(credential));
        Ok((Caller { initiator, executor, chain, credential, grant, lineage, task, allowance }, tenant))
    }

    /// Whoever is not let in is recorded too, and knows nothing more afterwards.
    async fn turn_away(&self, app: &App, refusal: TurnedAway) -> Reply {
        let TurnedAway { sort, why, status, headers } = refusal;
        let mut reply = match app.gateway.strangers.admit() {
            true => self.endpoint.refuse(Caller::default(), TENANT, sort, &why, status).await,
            false => Endpoint::turn_away(&why, status),
        };
        reply.headers_mut().extend(headers);
        reply
    }
}

impl From<Problem> for TurnedAway {
    fn from(problem: Problem) -> Self {
        let (sort, status) = match problem.kind() {
            Kind::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED),
            Kind::ForeignSite | Kind::Misdirected => ("foreign_site", StatusCode::FORBIDDEN),
            Kind::Forbidden => ("forbidden", StatusCode::FORBIDDEN),
            kind => ("not_let_in", kind.status()),
        };
        let mut headers = HeaderMap::new();
        problem::add_headers(problem.kind(), &mut headers);
        TurnedAway { sort, why: problem.detail().to_owned(), status, headers }
    }
}

impl From<Challenge> for TurnedAway {
    fn from(challenge: Challenge) -> Self {
        TurnedAway {
            sort: challenge.error().unwrap_or("unauthenticated"),
            why: challenge.why().to_owned(),
            status: challenge.status(),
            headers: challenge.headers(),
        }
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
