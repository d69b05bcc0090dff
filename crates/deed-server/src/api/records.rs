//! `POST /v1/records`.

use std::sync::Arc;

use axum::{body::Body, extract::State, response::Response};
use deed_ledger::{AppendError, Ledger, Pending, Receipt};
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
    let (answers, ()) = app.record(begin(&app, &caller, received, how.each)).await?;
    if how.each {
        return json(&Receipts { receipts: answers.into_iter().map(Answer::from).collect() });
    }
    let receipts: Vec<Receipt> = answers.into_iter().collect::<Result<_, _>>()?;
    json(&Receipts { receipts })
}

/// Seals what was received and hands it to the ledger.
async fn begin(
    app: &App,
    caller: &Arc<Caller>,
    received: Received,
    each: bool,
) -> Result<(Pending, ()), Problem> {
    if !each
        && let Some(body) = received.small()
        && let Some(pending) =
            app.engine.ledger().begin_at_once(body, &caller.sender).map_err(|error| refused(error, body))?
    {
        return Ok((pending, ()));
    }
    let caller = caller.clone();
    let small = received.small().is_some();
    let seal = move |ledger: &Ledger| {
        let body = received.plain()?;
        let pending = ledger.begin(&body, &caller.sender, each).map_err(|error| refused(error, &body))?;
        Ok::<_, Problem>((pending, ()))
    };
    app.seal(small, seal).await
}

#[derive(Serialize)]
struct Receipts<T> {
    receipts: Vec<T>,
}

/// What became of one record: its receipt, or an object with the member `error`.
enum Answer {
    Recorded(Receipt),
    Refused(Box<Problem>),
}

impl From<Result<Receipt, AppendError>> for Answer {
    fn from(result: Result<Receipt, AppendError>) -> Self {
        match result {
            Ok(receipt) => Answer::Recorded(receipt),
            Err(error) => Answer::Refused(Box::new(error.into())),
        }
    }
}

impl Serialize for Answer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Refused<'a> {
            error: &'a Problem,
        }
        match self {
            Answer::Recorded(receipt) => receipt.serialize(serializer),
            Answer::Refused(error) => Refused { error }.serialize(serializer),
        }
    }
}

/// A body that is no JSON at all is another error than a record that is wrong.
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
