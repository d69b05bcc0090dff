//! The token service: `POST /oauth/token`, `/oauth/revoke`, `/oauth/introspect`, and what clients read first.
//!
//! Clients authenticate themselves by OAuth's own means, so that no handler here asks the gate for a right.
//! Only whoever is let in anyway may ask about tokens without an assertion.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use deed_token::{ErrorCode, metadata::AuthorizationServer, request::LARGEST_REQUEST};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json as object;

use crate::{
    api::{Named, json},
    app::App,
    auth::Anybody,
    body::{Received, media_type},
    problem::{Kind, Problem, RETRY_AFTER},
    settings::Right,
    tokens::{Asking, Reply, Tokens, proof_in},
};

/// Exchanges a token (RFC 8693).
pub(crate) async fn token(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tokens = service(&app)?;
    let proof = proof_in(&headers).map(|proof| proof.map(str::to_owned));
    Ok(match form(&app, &headers, body).await? {
        Ok(form) => reply(tokens.exchange(form, proof).await),
        Err(refusal) => refusal,
    })
}

/// Revokes a token (RFC 7009).
pub(crate) async fn revoke(
    State(app): State<Arc<App>>,
    Anybody(caller): Anybody,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tokens = service(&app)?;
    let owner = caller.and_then(|caller| caller.owner().map(str::to_owned));
    let asking = owner.map_or(Asking::Anybody, Asking::Owner);
    Ok(match form(&app, &headers, body).await? {
        Ok(form) => reply(tokens.revoke(form, asking).await),
        Err(refusal) => refusal,
    })
}

/// Says what a token is (RFC 7662).
pub(crate) async fn introspect(
    State(app): State<Arc<App>>,
    Anybody(caller): Anybody,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tokens = service(&app)?;
    let reader = caller.filter(|caller| caller.require(Right::Read).is_ok());
    let asking = reader.map_or(Asking::Anybody, |caller| Asking::Reader(caller.tenant().map(str::to_owned)));
    Ok(match form(&app, &headers, body).await? {
        Ok(form) => reply(tokens.introspect(form, asking).await),
        Err(refusal) => refusal,
    })
}

/// Where the token service is, and what it can (RFC 8414).
pub(crate) async fn metadata(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    json::<AuthorizationServer>(&service(&app)?.metadata())
}

/// The keys that sign tokens (RFC 7517).
pub(crate) async fn jwks(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let tokens = service(&app)?.clone();
    json(&app.ask(move |_| Ok(tokens.jwks())).await?)
}

/// Whose tokens an MCP server takes (RFC 9728).
pub(crate) async fn resource(
    State(app): State<Arc<App>>,
    Named(server): Named<String>,
) -> Result<Response, Problem> {
    let tokens = service(&app)?;
    if !app.engine.settings().mcp.contains_key(&server) {
        return Err(Problem::new(Kind::NotFound, "no MCP server is called so"));
    }
    json(&tokens.resource_metadata(&server))
}

fn service(app: &App) -> Result<&Arc<Tokens>, Problem> {
    app.engine.tokens().ok_or_else(|| {
        Problem::new(Kind::NotFound, "this server issues no tokens; `[tokens]` in deed.toml turns that on")
    })
}

/// The form that was sent, or how that is refused.
async fn form(app: &App, headers: &HeaderMap, body: Body) -> Result<Result<String, Response>, Problem> {
    let refuse = |why: &str| {
        let code = ErrorCode::InvalidRequest;
        Ok(Err(reply(Reply { status: StatusCode::BAD_REQUEST, body: code.body(why) })))
    };
    if media_type(headers).as_deref() != Some("application/x-www-form-urlencoded") {
        return refuse("expected a form (application/x-www-form-urlencoded)");
    }
    let body = Received::read_at_most(LARGEST_REQUEST, app, headers, body).await?.plain()?;
    match String::from_utf8(body) {
        Ok(form) => Ok(Ok(form)),
        Err(_) => refuse("the form is no UTF-8"),
    }
}

/// Nobody keeps what may hold a token (RFC 6749, section 5.1).
fn reply(reply: Reply) -> Response {
    let body = object!(reply.body).to_string();
    let mut response = (reply.status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match reply.status {
        StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        // RFC 9110, section 15.5.2; clients authenticate themselves in the body.
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}
