//! `POST /v1/workloads`: which workload shows a token to a door of this machine.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use http::HeaderMap;
use serde::Deserialize;

use crate::{
    api::json,
    app::App,
    auth::Enforcing,
    body::Received,
    problem::{Kind, Problem},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    token: String,
}

/// Verifies a token against the issuers of the settings. Nothing is recorded: whoever asks records what it is shown
/// for.
pub(crate) async fn know(
    State(app): State<Arc<App>>,
    _: Enforcing,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Shown { token } = Received::read(&app, &headers, body).await?.json()?;
    let none = || Problem::new(Kind::NotFound, "no issuer is trusted here: see `[[issuer]]` in `deed.toml`");
    let tokens = app.engine.tokens().ok_or_else(none)?;
    let workload = tokens.workload(&token).await;
    json(&workload.map_err(|why| Problem::new(Kind::Unauthenticated, why))?)
}
