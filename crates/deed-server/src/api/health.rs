//! Whether the server lives, works, and what it does; and what describes it.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use deed_ledger::Health;
use http::StatusCode;
use serde_json::json as object;

use crate::{
    api::{json, with_type},
    app::App,
    auth::{Anybody, Reading},
    metrics,
    problem::Problem,
    webhook::Delivery,
};

/// The description of the API (OpenAPI 3.1).
pub(crate) const OPENAPI: &str = include_str!("../../openapi.json");

/// The process lives.
pub(crate) async fn live() -> Response {
    with_type("ok\n", "text/plain; charset=utf-8")
}

/// Whether records can be taken, and if not, why. Whoever shows no token where one is needed hears
/// which check failed, and no more.
pub(crate) async fn ready(
    State(app): State<Arc<App>>,
    Anybody(caller): Anybody,
) -> Result<Response, Problem> {
    let health = app.ask(|engine| Ok(engine.health())).await?;
    let status = if health.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = match caller {
        Some(_) => json(&health)?,
        None => {
            let checks: Vec<_> =
                health.checks.iter().map(|check| object!({ "name": check.name, "ok": check.ok })).collect();
            json(&object!({ "ok": health.ok, "checks": checks }))?
        }
    };
    Ok((status, body).into_response())
}

/// The same with what is served, always with status 200.
pub(crate) async fn health(State(app): State<Arc<App>>, _: Reading) -> Result<Response, Problem> {
    let Health { mut ok, mut checks } = app.ask(|engine| Ok(engine.health())).await?;
    // Whoever is away takes no findings and sends no events, an inventory or the clock may be wrong; records are taken all the
    // same, so that readiness does not ask.
    let (delivery, signals) = (app.delivery.as_ref().map(Delivery::health), app.signals.health());
    for check in
        [app.engine.inventory_check(), app.engine.ledger().clock()].into_iter().chain(delivery).chain(signals)
    {
        ok &= check.ok;
        checks.push(check);
    }
    let ledger = app.engine.ledger();
    json(&object!({
        "ok": ok,
        "checks": checks,
        "version": env!("CARGO_PKG_VERSION"),
        "origin": ledger.origin(),
        "sql": cfg!(feature = "sql"),
        "counters": ledger.counters(),
    }))
}

/// Numbers for a monitoring system.
pub(crate) async fn numbers(State(app): State<Arc<App>>, _: Reading) -> Result<Response, Problem> {
    let ready = app.ask(|engine| Ok(engine.health().ok)).await?;
    let spool = app.ask(|engine| Ok(engine.decisions().spool().map(|spool| spool.state()))).await?;
    let delivery = app.delivery.as_ref().map(Delivery::state);
    let counters = app.engine.ledger().counters();
    let text = app.metrics.text(&counters, spool.as_ref(), delivery.as_ref(), &app.signals.states(), ready);
    Ok(with_type(text, metrics::CONTENT_TYPE))
}

/// JSON Schema of records as they are sent.
pub(crate) async fn schema(_: Reading) -> Response {
    with_type(deed_record::schema::SUBMISSION, "application/schema+json")
}

/// What the API is.
pub(crate) async fn openapi(_: Reading) -> Response {
    with_type(OPENAPI, "application/json")
}
