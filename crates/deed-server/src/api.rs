//! The API: one handler for each endpoint of `docs/api.md`.

pub(crate) mod actions;
pub(crate) mod authzen;
pub(crate) mod chunks;
pub(crate) mod decisions;
pub(crate) mod findings;
pub(crate) mod health;
pub(crate) mod identity;
pub(crate) mod inventory;
pub(crate) mod log;
pub(crate) mod oauth;
pub(crate) mod ocsf;
pub(crate) mod patterns;
pub(crate) mod rebuild;
pub(crate) mod records;
pub(crate) mod reports;
pub(crate) mod runs;
#[cfg(feature = "sql")]
pub(crate) mod sql;
pub(crate) mod ssf;
pub(crate) mod tuning;
pub(crate) mod webhook;
pub(crate) mod workloads;

use axum::{
    extract::{FromRequestParts, Path, Query, rejection::QueryRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header, request::Parts};
use serde::{Serialize, de::DeserializeOwned};

use crate::problem::{Kind, Problem};

/// What stands in for SQL where it was left out.
#[cfg(not(feature = "sql"))]
pub(crate) mod sql {
    use crate::{
        auth::Reading,
        problem::{Kind, Problem},
    };

    pub(crate) async fn query(_: Reading) -> Problem {
        Problem::new(
            Kind::NotBuilt,
            "this build leaves SQL out; `cargo build --release -p deed` makes one that has it",
        )
    }
}

/// Answers with `value` as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(with_type(body, "application/json"))
}

/// Answers with `body` as `media_type`.
pub(crate) fn with_type(body: impl IntoResponse, media_type: &'static str) -> Response {
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// The query string, read strictly.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Params(params)),
            Err(error) => {
                Err(Problem::new(Kind::BadRequest, format!("query string: {}", wrong_param(&error))))
            }
        }
    }
}

/// Which parameter of a query string is wrong, and what was expected. No value is in it (D9).
fn wrong_param(error: &QueryRejection) -> String {
    let why = reason(error);
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let Some((name, why)) = why.split_once(": ").filter(|(name, _)| is_name(name)) else { return why };
    let why = match why {
        "invalid digit found in string"
        | "cannot parse integer from empty string"
        | "number too large to fit in target type"
        | "number too small to fit in target type" => "expected a whole number, such as 100",
        "provided string was not `true` or `false`" => "expected `true` or `false`",
        why => why,
    };
    format!("`{name}`: {why}")
}

/// A segment of the path that names something.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(name)) => Ok(Named(name)),
            Err(error) => Err(Problem::new(Kind::BadRequest, format!("path: {}", reason(&error)))),
        }
    }
}

/// The innermost reason: what axum says around it tells a client nothing.
fn reason(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Where nothing is.
pub(crate) async fn not_found(uri: http::Uri) -> Problem {
    let path: String = uri.path().chars().take(120).flat_map(char::escape_debug).collect();
    Problem::new(Kind::NotFound, format!("nothing is at `{path}`; `/openapi.json` lists what there is"))
}

/// Where something is, but not by that method.
pub(crate) async fn method_not_allowed(method: http::Method) -> Problem {
    let method: String = method.as_str().chars().take(20).flat_map(char::escape_debug).collect();
    Problem::new(
        Kind::Method,
        format!("`{method}` is not what is done with it; `/openapi.json` lists what is"),
    )
}
