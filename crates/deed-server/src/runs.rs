//! Commands of other machines (P9): who asks, what they may say of themselves, and what the decision point is asked.
//!
//! INVARIANT D1 holds here as at the socket: `allow` is answered once it is recorded. What differs is who is believed. Over
//! the socket it is the owner's own process that says who acts; here it is a token of a CI system, which this server
//! verifies, or a token of the settings, whose holder only claims who acts.

mod comer;
mod ticket;

use deed_gateway::{Intent, Place, RUN, Refused, Run, RunAsked, fresh_span};
use deed_ledger::{Ledger, LedgerError, fresh_id};
use deed_record::{RecordId, SpanId, Timestamp, TraceId};
use serde_json::value::to_raw_value;

pub(crate) use self::{
    comer::{Comer, Stranger},
    ticket::{Allows, Ticket},
};
use crate::{
    app::App,
    problem::{Kind, Problem},
};

/// How long a command may take to be recorded from when it asked, in microseconds: less than whoever asks waits, so that
/// what was given up is not recorded as let through.
const GOOD_FOR: i64 = 4_000_000;
/// The longest URI, name of an artifact, and name of somebody, in bytes.
const LONGEST: usize = 2048;
/// The fewest and most characters of a nonce.
const NONCE: std::ops::RangeInclusive<usize> = 16..=128;

/// The action that a command undoes.
pub(crate) struct Undone {
    id: RecordId,
    trace: Option<TraceId>,
}

impl Undone {
    /// The action of which `id` is a record, in `tenant`.
    ///
    /// # Errors
    /// There is none, or the store cannot be read.
    pub(crate) async fn find(app: &App, id: RecordId, tenant: &str) -> Result<Self, Problem> {
        let of_tenant = tenant.to_owned();
        let explained = app.ask(move |engine| {
            let explained = engine.explain(id, Some(&of_tenant));
            explained.map_err(|error| Problem::new(Kind::Internal, error.to_string()))
        });
        let none = || Problem::new(Kind::NotFound, format!("there is no action `{id}` to be undone"));
        let explained = explained.await?.ok_or_else(none)?;
        Ok(Undone { id: explained.action.id, trace: explained.action.trace_id })
    }
}

/// Whether what is asked can be recorded, and is of one reading.
///
/// # Errors
/// Which member is wrong, and what was expected.
pub(crate) fn check(asked: &RunAsked) -> Result<(), Problem> {
    let wrong = |what: &str, why: &str| Err(Problem::new(Kind::BadRequest, format!("`{what}`: {why}")));
    if !NONCE.contains(&asked.nonce.len()) || !asked.nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong("nonce", "expected 16 to 128 characters of chance");
    }
    if let Err(why) = Run::check_operation(&asked.action) {
        return wrong("action", why);
    }
    if let Err(why) = Run::check_resource(&asked.resource) {
        return wrong("resource", why);
    }
    if asked.command.is_empty() {
        return wrong("command", "expected the command line, found nothing");
    }
    let artifact = asked.artifact.iter();
    let named = artifact.clone().map(|released| &released.name).chain([&asked.resource]);
    if named.chain(&asked.executor).chain(&asked.initiator).any(|name| name.len() > LONGEST) {
        return wrong("resource", "it, an artifact's name or somebody's is longer than 2048 bytes");
    }
    let digests = artifact.flat_map(|released| [Some(&released.digest), released.signer.as_ref()]);
    let is_digest = |text: &String| {
        text.strip_prefix("sha256:").is_some_and(|hex| hex.parse::<deed_seal::hash::Hash>().is_ok())
    };
    match digests.flatten().all(is_digest) {
        true => Ok(()),
        false => wrong("artifact", "expected digests as `sha256:` and 64 lower-case hex digits"),
    }
}

/// What the decision point is asked for `comer`.
///
/// The id is made here, of who asks and of all that is asked, under a key of this store: nobody chooses it, so that nobody
/// asks under the id of another action; and the same question asked again, because its answer was lost, is the same one.
///
/// # Errors
/// Somebody claims what only a token says, or the store's keys cannot be used.
pub(crate) async fn intent(
    app: &App,
    comer: &Comer,
    asked: &RunAsked,
    undone: Option<Undone>,
    arrived: Timestamp,
) -> Result<Intent, Problem> {
    let failed = |error: &dyn std::fmt::Display| Problem::new(Kind::Internal, error.to_string());
    let question = serde_json::to_vec(&(comer.name(), asked)).map_err(|error| failed(&error))?;
    let tenant = comer.tenant.clone();
    let digest = app.ask(move |engine| keyed(engine.ledger(), &tenant, "run", &question)).await?;
    let id = RecordId::v8(&digest);
    let mut span = [0; 8];
    span.copy_from_slice(&digest[16..24]);
    let run = Run {
        operation: asked.action.clone(),
        artifact: asked.artifact.clone(),
        proven: comer.workload().is_some(),
        compensates: undone.as_ref().map(|undone| undone.id),
        by: comer.token().map(str::to_owned),
    };
    let arguments = run.arguments(&asked.command, comer.workload().map(|workload| &workload.claims))?;
    let (executor, initiator) = comer.who(asked)?;
    let (trace_id, parent_span_id) = match (asked.trace_id, undone.and_then(|undone| undone.trace)) {
        (Some(named), _) => (named, asked.parent_span_id),
        (None, Some(of_undone)) => (of_undone, None),
        (None, None) => (TraceId(id.0), None),
    };
    let place = Place {
        trace_id,
        span_id: SpanId(span),
        parent_span_id,
        session: None,
        initiator,
        executor,
        chain: Vec::new(),
    };
    let credential = comer.workload().map(|workload| to_raw_value(&workload.credential()));
    let credential = credential.transpose().map_err(|error| failed(&error))?;
    let until = Some(Timestamp(arrived.0.saturating_add(GOOD_FOR)));
    let intent = Intent::of_run(run, &asked.resource, arguments, place)?;
    Ok(Intent { id, credential, until, ..intent })
}

/// What is recorded of somebody who showed a token that is not believed: that they came, and why not.
///
/// # Errors
/// The system gives no random bytes.
pub(crate) fn refused(why: &str) -> Result<Intent, Problem> {
    let id = fresh_id()?;
    let place = Place::of_nobody(TraceId(id.0), fresh_span()?);
    let run = Run { operation: RUN.to_owned(), artifact: None, proven: false, compensates: None, by: None };
    let refused = Refused { code: "token".to_owned(), why: why.to_owned() };
    Ok(Intent { run: Some(run), refused: Some(refused), ..Intent::bare(id, "", RUN, place) })
}

/// The id of the record of how `action` ended: one for each, and nobody else's to take.
///
/// # Errors
/// The store's keys cannot be used.
pub(crate) async fn outcome_id(app: &App, action: RecordId, tenant: &str) -> Result<RecordId, Problem> {
    let tenant = tenant.to_owned();
    let digest = app.ask(move |engine| keyed(engine.ledger(), &tenant, "run outcome", &action.0)).await?;
    Ok(RecordId::v8(&digest))
}

fn keyed(ledger: &Ledger, tenant: &str, purpose: &'static str, message: &[u8]) -> Result<[u8; 32], Problem> {
    let tag = ledger.keyed(tenant, purpose, message, true)?;
    tag.ok_or_else(|| LedgerError::NotFound("the tenant's key".to_owned()).into())
}
