//! `POST /v1/ssf/{name}`: a security event that its transmitter pushes (RFC 8935).

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use deed_token::LARGEST_TOKEN;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json as object;

use crate::{
    api::{Named, with_type},
    app::App,
    body::{Received, media_type},
    problem::{Kind, Problem},
    ssf::Refused,
};

/// A SET is not larger than any other token; what is around it may be.
const LARGEST: usize = LARGEST_TOKEN + 1024;

/// Takes an event, and acknowledges it once it is durable. The transmitter shows what was agreed upon with it, so that
/// no right is asked of the gate.
pub(crate) async fn push(
    State(app): State<Arc<App>>,
    Named(name): Named<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Some(transmitter) = app.signals.pushing(&name) else {
        let why = "no transmitter of that name pushes events here: see `[ssf.NAME]` in `deed.toml`";
        return Err(Problem::new(Kind::NotFound, why));
    };
    if !transmitter.is_shown(&headers) {
        let why = "`Authorization` is not what was agreed upon with this transmitter";
        let mut answer = refusal(StatusCode::UNAUTHORIZED, "authentication_failed", why);
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        return Ok(answer);
    }
    if media_type(&headers).as_deref() != Some("application/secevent+jwt") {
        let why = "expected the content type `application/secevent+jwt`";
        return Ok(refusal(StatusCode::BAD_REQUEST, "invalid_request", why));
    }
    let token = Received::read_at_most(LARGEST, &app, &headers, body).await?.plain()?;
    match transmitter.take(token).await {
        Ok(()) => Ok(StatusCode::ACCEPTED.into_response()),
        Err(Refused::Wrong(code, why)) => Ok(refusal(StatusCode::BAD_REQUEST, code, &why)),
        Err(Refused::Later(why)) => Err(Problem::new(Kind::Unavailable, why)),
    }
}

/// RFC 8935, section 2.3.
fn refusal(status: StatusCode, code: &str, why: &str) -> Response {
    let body = object!({ "err": code, "description": why }).to_string();
    let mut answer = (status, with_type(body, "application/json")).into_response();
    answer.headers_mut().insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
    answer
}
