//! `GET /v1/findings`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use deed_review::every_rule;

use crate::{
    api::{Params, actions::tenant_of, json},
    app::App,
    auth::Reading,
    findings::{FindingQuery, ReviewError},
    problem::{Kind, Problem},
};

/// How long a request waits for what is not reviewed yet; whoever asked then asks again.
const PATIENCE: Duration = Duration::from_secs(20);

/// What deserves a look.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Params(mut query): Params<FindingQuery>,
) -> Result<Response, Problem> {
    query.tenant = tenant_of(&caller, query.tenant)?;
    if let Some(rule) = &query.rule
        && !every_rule().any(|known| known.name == rule)
    {
        let known: Vec<&str> = every_rule().map(|rule| rule.name).collect();
        let detail =
            format!("query string: rule: there is no `{}`; {}", rule.escape_debug(), known.join(", "));
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let patience = PATIENCE.min(app.limits.read * 2 / 3);
    json(&app.ask(move |engine| Ok(engine.findings(&query, patience)?)).await?)
}

impl From<ReviewError> for Problem {
    fn from(error: ReviewError) -> Self {
        let kind = match error {
            ReviewError::Behind { .. } => Kind::Busy,
            ReviewError::Failed(_) | ReviewError::Judging(_) => Kind::Internal,
            ReviewError::Identity(error) => return error.into(),
            ReviewError::Ledger(error) => return error.into(),
        };
        Problem::new(kind, error.to_string())
    }
}
