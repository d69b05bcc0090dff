//! `POST /v1/sql`.

mod answer;

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::HeaderMap;
use serde::Deserialize;

use crate::{
    api::actions::tenant_of,
    app::App,
    auth::{Caller, Reading},
    body::{Received, media_type},
    problem::{Kind, Problem},
};

/// A query and how its answer is written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Query {
    query: String,
    #[serde(default)]
    format: Option<String>,
    #[serde(default)]
    tenant: Option<String>,
}

/// Answers one query; rows are sent as they are found.
pub(crate) async fn query(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = read(&app, &caller, &headers, body).await?;
    answer::answer(&app, query).await
}

async fn read(app: &App, caller: &Caller, headers: &HeaderMap, body: Body) -> Result<Query, Problem> {
    let is_json = match media_type(headers).as_deref() {
        Some("application/json") | None => true,
        Some("text/plain") => false,
        Some(_) => return Err(Problem::new(Kind::MediaType, "expected `application/json` or `text/plain`")),
    };
    let body = Received::read(app, headers, body).await?.plain()?;
    let mut query = if is_json {
        serde_json::from_slice::<Query>(&body).map_err(|error| match error.is_data() {
            true => Problem::new(Kind::BadRequest, format!("expected {{\"query\": …}}: {error}")),
            false => Problem::new(Kind::NotJson, error.to_string()),
        })?
    } else {
        let query =
            String::from_utf8(body).map_err(|_| Problem::new(Kind::BadRequest, "the query is not UTF-8"))?;
        Query { query, ..Query::default() }
    };
    query.tenant = tenant_of(caller, query.tenant)?;
    Ok(query)
}
