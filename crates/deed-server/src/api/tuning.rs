//! `/v1/findings/suppressions` and `/v1/findings/thresholds`.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use deed_gateway::Who;
use deed_record::{PrincipalType, RecordId};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::json as object;

use crate::{
    api::{Named, Params, actions::tenant_of, json},
    app::App,
    auth::{Caller, Operating, Reading},
    body::Received,
    force::TENANT,
    problem::{Kind, Problem},
    tuning::{EndSent, SuppressionSent, ThresholdsSent, TuneError, reasons},
};

/// How long a request waits for what is not reviewed yet; whoever asked then asks again.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whose, and what of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(default)]
    tenant: Option<String>,
    /// With the reasons: that they are read is recorded.
    #[serde(default)]
    reasons: bool,
}

/// Whose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Whose {
    #[serde(default)]
    tenant: Option<String>,
}

fn tenant(caller: &Caller, asked: Option<String>) -> Result<String, Problem> {
    Ok(tenant_of(caller, asked)?.unwrap_or_else(|| TENANT.to_owned()))
}

/// Whoever says so, else whoever the connection is.
fn who(caller: &Caller, by: Option<Who>) -> Result<Who, Problem> {
    let key = caller.sender.name.clone();
    match by.map(Who::visible) {
        Some(by) => by.map_err(|why| Problem::new(Kind::BadRequest, format!("`by`: {why}"))),
        None => Ok(Who { kind: PrincipalType::Human, key: Some(key), name: None, instance: None }),
    }
}

/// Whether `caller` may read reasons, which are payloads.
pub(crate) fn may_read_reasons(caller: &Caller) -> Result<(), Problem> {
    let detail =
        "a token allows no reading of payloads, which reasons are: that is done on the store's machine";
    match caller.token_name() {
        Some(_) => Err(Problem::new(Kind::Forbidden, detail)),
        None => Ok(()),
    }
}

/// Lists suppressions.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Params(Asked { tenant: asked, reasons: with_reasons }): Params<Asked>,
) -> Result<Response, Problem> {
    let tenant = tenant(&caller, asked)?;
    if with_reasons {
        may_read_reasons(&caller)?;
    }
    let patience = PATIENCE.min(app.limits.read * 2 / 3);
    let listed = app.ask(move |engine| {
        let mut listed = engine.suppressions(&tenant, patience)?;
        if with_reasons {
            reasons(engine.ledger(), &tenant, &mut listed.suppressions, &caller.sender.name)?;
        }
        Ok(listed)
    });
    json(&listed.await?)
}

/// Suppresses findings for a time.
pub(crate) async fn suppress(
    State(app): State<Arc<App>>,
    _: Operating,
    Reading(caller): Reading,
    Params(Whose { tenant: asked }): Params<Whose>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tenant = tenant(&caller, asked)?;
    let sent: SuppressionSent = Received::read(&app, &headers, body).await?.json()?;
    let by = who(&caller, sent.by.clone())?;
    let receipt = app.ask(move |engine| Ok(engine.suppress(&tenant, &sent, &by)?)).await?;
    json(&object!({ "id": receipt.id, "receipt": receipt }))
}

/// Ends a suppression.
pub(crate) async fn unsuppress(
    State(app): State<Arc<App>>,
    _: Operating,
    Reading(caller): Reading,
    Named(id): Named<RecordId>,
    Params(Whose { tenant: asked }): Params<Whose>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tenant = tenant(&caller, asked)?;
    let body = Received::read(&app, &headers, body).await?;
    let sent: EndSent = if body.is_empty() { EndSent::default() } else { body.json()? };
    let by = who(&caller, sent.by.clone())?;
    let receipt = app.ask(move |engine| Ok(engine.unsuppress(&tenant, id, &sent, &by)?)).await?;
    json(&object!({ "id": id, "receipt": receipt }))
}

/// The thresholds in force.
pub(crate) async fn thresholds(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Params(Whose { tenant: asked }): Params<Whose>,
) -> Result<Response, Problem> {
    let tenant = tenant(&caller, asked)?;
    json(&app.ask(move |engine| Ok(engine.thresholds(&tenant)?)).await?)
}

/// Sets them.
pub(crate) async fn tune(
    State(app): State<Arc<App>>,
    _: Operating,
    Reading(caller): Reading,
    Params(Whose { tenant: asked }): Params<Whose>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let tenant = tenant(&caller, asked)?;
    let sent: ThresholdsSent = Received::read(&app, &headers, body).await?.json()?;
    let by = who(&caller, sent.by.clone())?;
    let in_force = app.ask(move |engine| {
        engine.tune(&tenant, &sent, &by)?;
        Ok(engine.thresholds(&tenant)?)
    });
    json(&in_force.await?)
}

impl From<TuneError> for Problem {
    fn from(error: TuneError) -> Self {
        let kind = match error {
            TuneError::Wrong(..) => Kind::BadRequest,
            TuneError::Unknown(_) => Kind::NotFound,
            TuneError::Changed => Kind::Precondition,
            TuneError::Unrecorded(error) => return error.into(),
            TuneError::Ledger(error) => return error.into(),
        };
        Problem::new(kind, error.to_string())
    }
}
