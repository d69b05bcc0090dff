//! `POST /v1/approvals/{id}/webhook`: a human's answer that comes as a signed message from elsewhere.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use deed_gateway::{Reply, Who};
use deed_ledger::now;
use deed_record::RecordId;
use http::HeaderMap;
use http_body_util::{BodyExt, Limited};
use tokio::time::timeout;

use crate::{
    api::{Named, decisions::answer},
    app::App,
    problem::{Kind, Problem},
};

/// An answer is shorter than this, in bytes: it is read before anybody is known to have sent it.
const LONGEST: usize = 64 << 10;
/// How long it may take to come.
const ARRIVING: Duration = Duration::from_secs(10);

/// Answers a step-up, where the message is signed with a secret of this server. Who may answer is decided as for
/// everybody: the signature says only that the sender may speak for people.
pub(crate) async fn reply(
    State(app): State<Arc<App>>,
    Named(id): Named<RecordId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let Some(webhook) = &app.webhook else {
        return Err(Problem::new(
            Kind::NotFound,
            "no answers come by webhook here: see `[approvals]` in `deed.toml`",
        ));
    };
    let slow = |_| Problem::new(Kind::Slow, "the body did not arrive in time");
    let body = timeout(ARRIVING, Limited::new(body, LONGEST).collect()).await.map_err(slow)?;
    let too_large =
        |_| Problem::new(Kind::TooLarge, format!("the body broke off, or is larger than {LONGEST} bytes"));
    let body = body.map_err(too_large)?.to_bytes();
    let message = webhook.verify(&headers, &body, now())?;
    let wrong = |error: serde_json::Error| Problem::new(Kind::BadRequest, format!("the body: {error}"));
    let reply: Reply = serde_json::from_slice(&body).map_err(wrong)?;
    // INVARIANT D8: an answer is for one step-up. The address is not signed, so that the body has to say for which.
    if reply.id.is_none() {
        let why = format!("the body: `id` is missing, the id of what it answers: `\"id\": \"{id}\"`");
        return Err(Problem::new(Kind::BadRequest, why));
    }
    let by = known(reply.by, &message);
    answer(&app, id, &Reply { by, ..reply }).await
}

/// Who answers; through which message is their instance.
fn known(by: Who, message: &str) -> Who {
    Who { instance: Some(format!("webhook/{message}")), ..by }
}
