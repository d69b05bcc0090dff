//! The log itself, as C2SP tlog-tiles has it, and its keys.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use deed_ledger::LedgerError;
use deed_seal::tile::TilePath;
use http::{HeaderValue, Uri, header};

use crate::{
    api::{json, with_type},
    app::App,
    auth::{LogReading, Reading},
    problem::{Kind, Problem},
};

/// The latest signed checkpoint.
pub(crate) async fn checkpoint(State(app): State<Arc<App>>, _: LogReading) -> Result<Response, Problem> {
    let Some(signed) = app.engine.ledger().checkpoint() else {
        return Err(Problem::new(Kind::NotFound, "nothing was recorded yet, so nothing is signed"));
    };
    let response = with_type(signed.note.clone(), "text/plain; charset=utf-8");
    Ok(cached(&app, response, Lifetime::None))
}

/// A tile or an entry bundle.
pub(crate) async fn tile(State(app): State<Arc<App>>, _: LogReading, uri: Uri) -> Result<Response, Problem> {
    let missing = || Problem::new(Kind::NotFound, "no such tile, or not yet");
    let path: TilePath = uri.path().trim_start_matches('/').parse().map_err(|_| missing())?;
    let bytes = app
        .ask(move |engine| match engine.ledger().tile(&path) {
            Err(LedgerError::NotFound(_)) => Err(missing()),
            other => Ok(other?),
        })
        .await?;
    // Partial tiles never change either, but are soon of no use.
    let lifetime = if path.is_partial() { Lifetime::Short } else { Lifetime::Forever };
    Ok(cached(&app, with_type(bytes, "application/octet-stream"), lifetime))
}

/// How long an answer may be kept.
enum Lifetime {
    None,
    Short,
    Forever,
}

fn cached(app: &App, mut response: Response, lifetime: Lifetime) -> Response {
    // What needs a token is nothing for a cache that others share.
    let value = match (lifetime, app.gate.has_public_log()) {
        (Lifetime::None, _) => "no-cache",
        (Lifetime::Short, true) => "public, max-age=60, immutable",
        (Lifetime::Short, false) => "private, max-age=60, immutable",
        (Lifetime::Forever, true) => "public, max-age=31536000, immutable",
        (Lifetime::Forever, false) => "private, max-age=31536000, immutable",
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
    response
}

/// Public keys of the log.
pub(crate) async fn keys(State(app): State<Arc<App>>, _: Reading) -> Result<Response, Problem> {
    json(&app.engine.keys())
}
