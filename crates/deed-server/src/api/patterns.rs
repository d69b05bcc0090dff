//! `GET /v1/patterns`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};

use crate::{
    api::{Params, actions::tenant_of, json},
    app::App,
    auth::Reading,
    patterns::{MOST_PATTERNS, PatternQuery},
    problem::{Kind, Problem},
};

/// How long a request waits for what is not reviewed yet; whoever asked then asks again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done over and over, and what is unlike it.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Params(mut query): Params<PatternQuery>,
) -> Result<Response, Problem> {
    query.tenant = tenant_of(&caller, query.tenant)?;
    if let Some(limit) = query.limit.filter(|limit| !(1..=MOST_PATTERNS).contains(limit)) {
        let detail = format!("query string: limit: expected 1 to {MOST_PATTERNS}, found {limit}");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let patience = PATIENCE.min(app.limits.read / 3);
    json(&app.ask(move |engine| Ok(engine.patterns(&query, patience)?)).await?)
}
