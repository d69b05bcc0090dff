//! Events of GitHub's audit log: exports, the API's answers, and what is streamed.
//!
//! Field names are those of the audit log of an organisation and of an enterprise. The table of what becomes
//! what stands in `docs/collectors.md`.

mod effects;
mod event;
mod who;

use deed_record::{Outcome, PersonalSent, Status};

use crate::{
    json, parse,
    shared::{self, own},
};
use event::Event;

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "github/8";

/// The record of one event.
///
/// # Errors
/// Only for what is no event: not a JSON object, or without `action` or a time. The error names the field and
/// completes "line 3, …".
pub fn map(document: &str) -> Result<String, String> {
    let document = document.trim();
    let value = parse::object(document)?;
    let event = Event::read(&value, document)?;
    let mut submission = shared::observed(event.time, MAPPING, event.system(), event.id.clone());
    let (initiator, executor) = who::parties(&event);
    submission.credential = who::credential(&event);
    submission.effects = effects::effects(&event);
    submission.environment = event.environment().map(own);
    submission.executor = Some(executor);
    submission.initiator = initiator.or_else(|| effects::asker(&event));
    submission.operation = Some(own(event.action));
    submission.outcome = Some(outcome(&event));
    submission.personal = personal(&event);
    submission.request = effects::request(&event);
    submission.resource = event.resource();
    submission.session = event.word("workflow_run_id").map(|run| json::text(format!("workflow_run/{run}")));
    shared::record(&submission, document)
}

/// The log tells of what was done; only some events are about what was not.
fn outcome(event: &Event<'_>) -> Outcome<'static> {
    let ended = match event.text("conclusion") {
        Some("success" | "neutral" | "skipped") => Some(Status::Success),
        Some("failure" | "startup_failure" | "action_required" | "stale") => Some(Status::Failure),
        Some("cancelled") => Some(Status::Cancelled),
        Some("timed_out") => Some(Status::TimedOut),
        _ => None,
    };
    let status = ended.unwrap_or(match event.action {
        "protected_branch.rejected_ref_update"
        | "user.failed_login"
        | "user.two_factor_challenge_failure"
        | "org.sso_response_failure"
        | "business.sso_response_failure"
        | "repository_secret_scanning_push_protection.block"
        | "secret_scanning_push_protection.block" => Status::Denied,
        action if action.ends_with("_failed") || action.ends_with(".failed") => Status::Failure,
        _ => Status::Success,
    });
    let code = event.text("conclusion").filter(|_| ended.is_some()).map(own);
    Outcome { code, ..Outcome::of(status) }
}

fn personal(event: &Event<'_>) -> Option<PersonalSent<'static>> {
    event.text("actor_ip").map(|address| PersonalSent { address: Some(own(address)), device: None })
}
