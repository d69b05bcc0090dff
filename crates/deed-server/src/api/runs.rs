//! Commands of other machines: `POST /v1/runs`, and for each `/wait` and `/outcome`.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State, response::Response};
use deed_gateway::{Conclusion, EndError, RunAsked, RunEnded, RunTold, RunWait};
use deed_ledger::now;
use deed_record::{RecordId, Ruling, Status, Timestamp};
use http::HeaderMap;
use serde_json::json;

use crate::{
    api::{Named, json},
    app::App,
    auth::Whoever,
    body::Received,
    force::TENANT,
    problem::{Kind, Problem},
    runs::{self, Allows, Comer, Stranger, Ticket, Undone},
};

/// The longest question or wait, in bytes: a command line may be long.
const LONGEST: usize = 1 << 20;
/// The longest outcome.
const SHORT: usize = 8 << 10;
/// No question waits longer for a human.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Has a command decided on, and answers once that is recorded (INVARIANT D1).
pub(crate) async fn ask(
    State(app): State<Arc<App>>,
    Whoever(admitted): Whoever,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let arrived = now();
    // Nothing is read of somebody who is not let in.
    let comer = match Comer::of(&app, admitted, &headers).await {
        Ok(comer) => comer,
        Err(Stranger::Answered(problem)) => return Err(problem),
        Err(Stranger::Unbelieved(why)) => return Err(turn_away(&app, why).await?),
    };
    let asked: RunAsked = Received::read_at_most(LONGEST, &app, &headers, body).await?.json()?;
    runs::check(&asked)?;
    let undone = match asked.compensates {
        Some(id) => Some(Undone::find(&app, id, &comer.tenant).await?),
        None => None,
    };
    let intent = runs::intent(&app, &comer, &asked, undone, arrived).await?;
    let answer = app.engine.decisions().intend(&intent, &comer.tenant).await?;
    let ticket = Ticket::new(&answer, &intent, &comer.tenant, &asked.nonce, arrived);
    json(&ticket.tell(&app, answer).await?)
}

/// Waits for a human to answer a step-up.
pub(crate) async fn wait(
    State(app): State<Arc<App>>,
    Named(id): Named<RecordId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let ticket = Ticket::of(&app, &headers, id, Allows::Wait).await?;
    let RunWait { seconds, command } = Received::read_at_most(LONGEST, &app, &headers, body).await?.json()?;
    let decisions = app.engine.decisions();
    if !command.is_empty() {
        decisions.tell_command(id, &command).await?;
    }
    let patience = Duration::from_secs(seconds).min(LONGEST_WAIT);
    let answer = decisions.wait(&ticket.waits(), patience).await?;
    let wants_command = answer.effect == Ruling::StepUp && decisions.wants_command(id).await?;
    json(&RunTold { wants_command, ..ticket.tell(&app, answer).await? })
}

/// Records how a command ended that was let run, or that nobody waits for any more.
pub(crate) async fn conclude(
    State(app): State<Arc<App>>,
    Named(id): Named<RecordId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let ticket = Ticket::read(&app, &headers, id).await?;
    let ended: RunEnded = Received::read_at_most(SHORT, &app, &headers, body).await?.json()?;
    check(&ended)?;
    let given_up = ended.is_given_up();
    ticket.is_for(if given_up { Allows::Wait } else { Allows::Outcome })?;
    let record = runs::outcome_id(&app, id, &ticket.tenant).await?;
    let conclusion = Conclusion {
        id: Some(record),
        action: ticket.action,
        tenant: None,
        server: String::new(),
        method: ticket.operation,
        name: None,
        uri: ticket.uri,
        place: ticket.place,
        // It is that machine's clock, and no end is before its beginning or yet to come.
        time: Timestamp(ended.time.0.max(ticket.asked.0).min(now().0)),
        status: ended.status,
        code: Some(ended.code),
        duration_ms: ended.duration_ms,
        result: None,
        // What was not started has undone nothing.
        compensates: ticket.compensates.filter(|_| ended.duration_ms.is_some()),
        fields: Vec::new(),
        task: None,
    };
    let (decisions, by) = (app.engine.decisions(), ticket.by.as_deref());
    let told = match given_up {
        true => decisions.give_up(&conclusion, by, &ticket.tenant).await,
        false => decisions.conclude_once(&conclusion, by, &ticket.tenant).await,
    };
    told.map_err(|error| match error {
        EndError::Another => Problem::new(Kind::Conflict, error.to_string()),
        EndError::Unavailable(error) => error.into(),
    })?;
    json(&json!({ "action_id": id, "id": record }))
}

fn check(ended: &RunEnded) -> Result<(), Problem> {
    let wrong = |what: &str, why: &str| Err(Problem::new(Kind::BadRequest, format!("`{what}`: {why}")));
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if ended.code.is_empty() || ended.code.len() > 64 || !ended.code.chars().all(fits) {
        return wrong("code", "expected 1 to 64 letters, digits, `_`, `-` or spaces, such as an exit code");
    }
    if ended.duration_ms.is_some_and(|took| took < 0) {
        return wrong("duration_ms", "expected a number of milliseconds");
    }
    match ended.status {
        Status::Success | Status::Failure | Status::Cancelled | Status::Unknown => Ok(()),
        Status::Denied if ended.is_given_up() => Ok(()),
        _ => wrong("status", "expected `success`, `failure`, `cancelled` or `unknown`"),
    }
}

/// A token that was shown and is not believed is refused on record, and passed over for nothing weaker.
///
/// # Errors
/// The refusal cannot be recorded.
async fn turn_away(app: &App, why: String) -> Result<Problem, Problem> {
    if app.strangers.admit() {
        app.engine.decisions().intend(&runs::refused(&why)?, TENANT).await?;
    }
    Ok(Problem::new(Kind::Unauthenticated, why))
}
