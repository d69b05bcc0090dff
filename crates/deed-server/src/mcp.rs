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
    Allowance, Caller, Onward, Refused, Who,
    http::{Endpoint, Reply, Upstream},
};
use deed_record::PrincipalType;
use deed_token::{Comer, ExchangeError, principal::Hop};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};

use crate::{
    api::Named,
    app::App,
    auth::{Admission, Caller as AtGate},
    body::Received,
    engine::Engine,
    force::TENANT,
    problem::{self, Kind, Problem},
    settings::{Behind, McpServer, Right},
    strangers::Strangers,
    tokens::{Challenge, Kept, NotShown, Presented, Tokens},
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
    /// The tokens that it is shown, one for each caller.
    shown: Option<Kept>,
}

/// Somebody who is let in.
struct Admitted {
    caller: Caller,
    /// Whose records are made.
    tenant: String,
    /// What the server behind may be shown of them; `None` where nobody says who they are.
    comer: Option<Comer>,
}

impl Gateway {
    /// The servers of `engine`'s settings.
    ///
    /// # Errors
    /// A file with a header's value cannot be read, or the system's certificates cannot.
    pub(crate) fn new(engine: &Engine) -> io::Result<Self> {
        let settings = engine.settings();
        let home = settings.home();
        let served = |(name, server): (&String, &McpServer)| {
            let McpServer { behind, silence, wait, executor, initiator, require_token } = server;
            let (upstream, shown) = match behind {
                Behind::Url { url, headers, token } => {
                    let headers = headers.iter().map(|(name, file)| header_of(name, file));
                    let headers = headers.collect::<io::Result<HeaderMap>>()?;
                    let shown = token.as_ref().map(|token| Kept::new(token.clone(), *wait));
                    (Upstream::new(url.clone(), headers, *silence)?, shown)
                }
                Behind::Program { .. } => {
                    let program = engine.program(name).ok_or_else(|| io::Error::other("no such program"))?;
                    (Upstream::program(program, *silence), None)
                }
            };
            let endpoint = Endpoint::new(name, upstream, engine.decision_point(), *wait, home.clone());
            let caller =
                Caller { initiator: initiator.clone(), executor: executor.clone(), ..Caller::default() };
            Ok((name.clone(), Served { endpoint, caller, requires_token: *require_token, shown }))
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
    let Admitted { mut caller, tenant, comer } = match served.admit(&app, &server, &parts).await {
        Ok(admitted) => admitted,
        Err(refusal) => return Ok(served.turn_away(&app, refusal).await.map(Body::new)),
    };
    let received = Received::read(&app, &parts.headers, body).await;
    let body = match received.and_then(Received::plain) {
        Ok(body) => body,
        Err(problem) => {
            let unread = TurnedAway { sort: "unread", ..problem.into() };
            return Ok(served.refuse(caller, &tenant, unread).await.map(Body::new));
        }
    };
    caller.onward = match served.onward(&app, &server, &caller, comer).await {
        Ok(onward) => onward,
        Err(refusal) => return Ok(served.refuse(caller, &tenant, refusal.into()).await.map(Body::new)),
    };
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
    async fn admit(&self, app: &App, server: &str, parts: &Parts) -> Result<Admitted, TurnedAway> {
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
    fn of_gate(&self, admitted: &AtGate) -> Result<Admitted, Problem> {
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
            caller.by_token = true;
        }
        let tenant = admitted.tenant().unwrap_or(TENANT).to_owned();
        let comer = comer_of(&caller, &tenant);
        Ok(Admitted { caller, tenant, comer })
    }

    /// Whoever shows a token that was issued for this server: it says who acts, and for whom.
    async fn of_token(
        &self,
        tokens: &Arc<Tokens>,
        server: &str,
        parts: &Parts,
    ) -> Result<Admitted, Challenge> {
        let resource = tokens.resource_of(server);
        let presented = tokens.verify(&parts.headers, &parts.method, &resource, &resource).await?;
        let term = tokens.term(&presented);
        let Presented {
            initiator,
            executor,
            chain,
            credential,
            grant,
            lineage,
            task,
            details,
            tenant,
            comer,
            ..
        } = presented;
        let details = serde_json::to_value(&details).unwrap_or_default();
        let allowance = Allowance::of(&details, &resource);
        let (executor, credential) = (Some(executor), Some(credential));
        let onward = Onward::Nothing;
        let caller = Caller {
            initiator,
            executor,
            chain,
            credential,
            grant,
            lineage,
            task,
            allowance,
            onward,
            term,
            by_token: true,
            ..Caller::default()
        };
        Ok(Admitted { caller, tenant, comer: Some(comer) })
    }

    /// What the server behind is shown for `caller`, where it takes tokens. Where none can be had, what the caller asks
    /// for is refused as everything is that cannot be done, and recorded.
    async fn onward(
        &self,
        app: &App,
        server: &str,
        caller: &Caller,
        comer: Option<Comer>,
    ) -> Result<Onward, Challenge> {
        let Some(kept) = &self.shown else { return Ok(Onward::Nothing) };
        let withheld = |why: String| Onward::Withheld(Refused { code: "no_upstream_token".into(), why });
        let Some(tokens) = app.engine.tokens() else {
            return Ok(withheld("the server takes a token, and there is no token service".to_owned()));
        };
        let Some(comer) = comer else {
            let why = format!(
                "the server takes a token, and nobody says whose: show one, or set `as` in `[mcp.{server}]`"
            );
            return Ok(withheld(why));
        };
        match tokens.show(kept, comer).await {
            Ok(token) => Ok(Onward::Token(token)),
            Err(NotShown::Refused(ExchangeError::Nothing)) if caller.credential.is_some() => {
                Err(Challenge::scope(&tokens.resource_of(server), &kept.scope()))
            }
            Err(NotShown::Refused(error)) => Ok(withheld(format!("no token for the server: {error}"))),
            Err(NotShown::Unavailable(why)) => Ok(withheld(format!("no token for the server: {why}"))),
        }
    }

    /// Whoever is not let in is recorded too, and knows nothing more afterwards.
    async fn turn_away(&self, app: &App, refusal: TurnedAway) -> Reply {
        if app.gateway.strangers.admit() {
            return self.refuse(Caller::default(), TENANT, refusal).await;
        }
        let mut reply = Endpoint::turn_away(&refusal.why, refusal.status);
        reply.headers_mut().extend(refusal.headers);
        reply
    }

    /// Refuses what nobody looked into, and records that.
    async fn refuse(&self, caller: Caller, tenant: &str, refusal: TurnedAway) -> Reply {
        let TurnedAway { sort, why, status, headers } = refusal;
        let mut reply = self.endpoint.refuse(caller, tenant, sort, &why, status).await;
        reply.headers_mut().extend(headers);
        reply
    }
}

/// What the server behind may be shown of whoever shows no token of an issuer: who they are, as the settings say.
fn comer_of(caller: &Caller, tenant: &str) -> Option<Comer> {
    let hop = |who: &Who| Some(Hop { key: who.key.clone()?, kind: who.kind });
    let executor = hop(caller.executor.as_ref()?)?;
    Some(match caller.initiator.as_ref().and_then(hop) {
        Some(initiator) => Comer::other(initiator, vec![executor], tenant),
        None => Comer::other(executor, Vec::new(), tenant),
    })
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
