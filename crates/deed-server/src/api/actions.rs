//! `GET /v1/actions…` and `GET /v1/traces/{trace_id}`.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use deed_record::{RecordId, TraceId};
use deed_review::{ActionRow, Evidence, ExplainError, Explanation, action_row};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    api::{Named, Params, json},
    app::App,
    auth::{Caller, Reading},
    engine::{AskError, Engine},
    find::{Filter, MOST_ACTIONS},
    problem::{Kind, Problem},
};

/// Lists actions.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Params(mut filter): Params<Filter>,
) -> Result<Response, Problem> {
    filter.tenant = tenant_of(&caller, filter.tenant)?;
    if let Some(limit) = filter.limit.filter(|limit| !(1..=MOST_ACTIONS).contains(limit)) {
        let detail = format!("query string: limit: expected 1 to {MOST_ACTIONS}, found {limit}");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let page = app.ask(move |engine| Ok(engine.find(&filter, caller.tenant())?)).await?;
    json(&page)
}

/// The tenant that is asked about: the caller's own, if it is bound to one.
pub(crate) fn tenant_of(caller: &Caller, asked: Option<String>) -> Result<Option<String>, Problem> {
    match (caller.tenant(), asked) {
        (Some(bound), Some(asked)) if bound != asked => Err(Problem::new(
            Kind::Tenant,
            format!("the token is bound to tenant `{bound}`, the request names `{}`", asked.escape_debug()),
        )),
        (Some(bound), _) => Ok(Some(bound.to_owned())),
        (None, asked) => Ok(asked),
    }
}

/// One action and the sealed records that tell about it.
#[derive(Serialize)]
struct OneAction {
    action: ActionRow,
    records: Vec<SealedRecord>,
}

#[derive(Serialize)]
struct SealedRecord {
    log: String,
    index: u64,
    leaf_hash: String,
    /// The sealed bytes, as they are.
    record: Box<RawValue>,
}

/// One action, by the id of any of its records.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(id): Named<RecordId>,
) -> Result<Response, Problem> {
    let answer = app.ask(move |engine| {
        let explanation = explained(engine, &caller, id)?;
        let evidence = engine.evidence(caller.tenant());
        let broken = |what: &str| Problem::new(Kind::Internal, format!("record `{id}` {what}"));
        let action = evidence.by_id(explanation.action.id)?.ok_or_else(|| broken("is gone"))?;
        let records = explanation.evidence.records.into_iter().map(|record| {
            let sealed = engine.ledger().leaf(record.index)?;
            let text = String::from_utf8(sealed.leaf.to_vec()).map_err(|_| broken("is not UTF-8"))?;
            let raw = RawValue::from_string(text).map_err(|_| broken("is not JSON"))?;
            Ok(SealedRecord {
                log: record.log,
                index: record.index,
                leaf_hash: record.leaf_hash,
                record: raw,
            })
        });
        Ok(OneAction {
            action: action_row(&evidence, &action)?,
            records: records.collect::<Result<_, Problem>>()?,
        })
    });
    json(&answer.await?)
}

/// The whole chain of one action.
pub(crate) async fn explain(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(id): Named<RecordId>,
) -> Result<Response, Problem> {
    json(&app.ask(move |engine| explained(engine, &caller, id)).await?)
}

fn explained(engine: &Engine, caller: &Caller, id: RecordId) -> Result<Explanation, Problem> {
    let found = engine.explain(id, caller.tenant())?;
    found.ok_or_else(|| Problem::new(Kind::NotFound, format!("no record `{id}`")))
}

/// What came of a request, an approval, a grant or a credential.
pub(crate) async fn led_to(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(id): Named<RecordId>,
) -> Result<Response, Problem> {
    let found = app.ask(move |engine| Ok(engine.led_to(id, caller.tenant())?)).await?;
    json(&found.ok_or_else(|| Problem::new(Kind::NotFound, format!("no record `{id}`")))?)
}

/// Every step of a trace.
pub(crate) async fn trace(
    State(app): State<Arc<App>>,
    Reading(caller): Reading,
    Named(trace): Named<TraceId>,
) -> Result<Response, Problem> {
    let found = app.ask(move |engine| Ok(engine.trace(trace, caller.tenant())?)).await?;
    json(&found.ok_or_else(|| Problem::new(Kind::NotFound, format!("no record of trace `{trace}`")))?)
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            ExplainError::Evidence(error) => error.into(),
            ExplainError::NoAction { .. } => Problem::new(Kind::NotFound, error.to_string()),
            other => Problem::new(Kind::Internal, other.to_string()),
        }
    }
}
