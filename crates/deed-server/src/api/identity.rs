//! `GET /v1/principals/{key}` and `GET /v1/blast/{credential}`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use serde::Deserialize;

use crate::{
    api::{Named, Params, actions::tenant_of, json, tuning::may_read_reasons},
    app::App,
    auth::Reading,
    identity::{BlastQuery, IdentityError, suspension_reasons},
    problem::{Kind, Problem},
};

/// How long a request waits for what is not folded yet; whoever asked then asks again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose principal is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose {
    #[serde(default)]
    tenant: Option<String>,
    /// With the reasons of suspensions: that they are read is recorded.
    #[serde(default)]
    reasons: bool,
}

/// Who somebody is.
pub(crate) async fn principal(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(key): Named<String>,
    Params(Whose { tenant, reasons }): Params<Whose>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&caller, tenant)?.unwrap_or_else(|| "default".to_owned());
    if reasons {
        may_read_reasons(&caller)?;
    }
    let patience = PATIENCE.min(app.limits.read * 2 / 3);
    let missing = format!("nobody is known as `{}` in tenant `{tenant}`", key.escape_debug());
    let found = app.ask(move |engine| {
        let mut found = engine.principal(&tenant, &key, patience)?;
        if let Some(answer) = found.as_mut().filter(|_| reasons) {
            let rows = &mut answer.suspensions;
            suspension_reasons(engine.ledger(), &tenant, rows, &caller.sender.name)?;
        }
        Ok(found)
    });
    let found = found.await?;
    json(&found.ok_or_else(|| Problem::new(Kind::NotFound, missing))?)
}

/// Everything that one credential led to.
pub(crate) async fn blast(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(credential): Named<String>,
    Params(query): Params<BlastQuery>,
) -> Result<Response, Problem> {
    let tenant = tenant_of(&caller, query.tenant.clone())?.unwrap_or_else(|| "default".to_owned());
    let missing =
        format!("no record of tenant `{tenant}` names the credential `{}`", credential.escape_debug());
    let found = app.ask(move |engine| Ok(engine.blast(&tenant, &credential, &query)?)).await?;
    json(&found.ok_or_else(|| Problem::new(Kind::NotFound, missing))?)
}

impl From<IdentityError> for Problem {
    fn from(error: IdentityError) -> Self {
        let kind = match error {
            IdentityError::Behind { .. } => Kind::Busy,
            IdentityError::Failed(_) => Kind::Internal,
            IdentityError::Ledger(error) => return error.into(),
        };
        Problem::new(kind, error.to_string())
    }
}
