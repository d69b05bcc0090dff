//! `POST /v1/records`.

mod each;

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use deed_ledger::{AppendError, Ledger, Pending};
use http::HeaderMap;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use crate::{
    api::{Params, json},
    app::App,
    auth::{Caller, Writing},
    body::{Received, media_type},
    problem::{Kind, Problem},
};

/// What a body of records may be called. A body that is called nothing is taken for JSON.
const MEDIA_TYPES: [&str; 4] =
    ["application/json", "application/x-ndjson", "application/ndjson", "application/jsonl"];

/// Query string of `POST /v1/records`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct How {
    /// A record that cannot be taken does not keep the others out.
    #[serde(default)]
    each: bool,
    /// As `each`; and an event that is there already is corrected where its mapping is newer.
    #[serde(default)]
    again: bool,
}

/// Seals records and answers when they are durable.
pub(crate) async fn append(
    State(app): State<Arc<App>>,
    Writing(caller): Writing,
    Params(how): Params<How>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if let Some(found) = media_type(&headers)
        && !MEDIA_TYPES.contains(&&*found)
    {
        return Err(Problem::new(Kind::MediaType, format!("expected one of `{}`", MEDIA_TYPES.join("`, `"))));
    }
    let received = Received::read(&app, &headers, body).await?;
    if how.each || how.again {
        return json(&Receipts { receipts: each::append(&app, &caller, received, how.again).await? });
    }
    let (answers, ()) = app.record(begin(&app, &caller, received)).await?;
    let mut receipts = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            Ok(receipt) => receipts.push(receipt),
            Err(error) => return Err(told(&app, &caller, error).await),
        }
    }
    json(&Receipts { receipts })
}

/// `error` as `caller` may know it: another tenant's record is nothing to it, and so is where that stands.
async fn told(app: &App, caller: &Caller, error: AppendError) -> Problem {
    let (AppendError::Conflict { index, id, first }, Some(tenant)) = (&error, caller.tenant()) else {
        return error.into();
    };
    let (index, id, first, tenant) = (*index, *id, *first, tenant.to_owned());
    let is_own = app.ask(move |engine| {
        let leaf = engine.ledger().leaf(first)?;
        let is_own = *crate::evidence::parse(&leaf)?.tenant == *tenant;
        Ok(is_own)
    });
    match is_own.await {
        Ok(true) => error.into(),
        Ok(false) => Problem::taken(index, id),
        Err(problem) => problem,
    }
}

/// Seals what was received and hands it to the ledger.
async fn begin(app: &App, caller: &Arc<Caller>, received: Received) -> Result<(Pending, ()), Problem> {
    if let Some(body) = received.small()
        && let Some(pending) =
            app.engine.ledger().begin_at_once(body, &caller.sender).map_err(|error| refused(error, body))?
    {
        return Ok((pending, ()));
    }
    let caller = caller.clone();
    let small = received.small().is_some();
    let seal = move |ledger: &Ledger| {
        let body = received.plain()?;
        let pending = ledger.begin(&body, &caller.sender).map_err(|error| refused(error, &body))?;
        Ok::<_, Problem>((pending, ()))
    };
    app.seal(small, seal).await
}

#[derive(Serialize)]
struct Receipts<T> {
    receipts: Vec<T>,
}

/// Text that is no JSON at all is another error than a record that is wrong.
fn refused(error: AppendError, body: &[u8]) -> Problem {
    match error {
        AppendError::Refused(record) if !is_json(body) => Problem::new(Kind::NotJson, record.to_string()),
        error => error.into(),
    }
}

/// Whether `body` is JSON values one after another. Asked only after something went wrong.
fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok()
        && serde_json::Deserializer::from_slice(body).into_iter::<IgnoredAny>().all(|value| value.is_ok())
}
