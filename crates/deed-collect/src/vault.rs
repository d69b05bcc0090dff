//! Audit devices of HashiCorp Vault and OpenBao.
//!
//! Each line is the request of a call or the response to it. Field names are those of the audit entry schema.
//! The table of what becomes what stands in `docs/collectors.md`.

mod effects;
mod entry;
mod who;

use deed_record::{Decision, Outcome, PersonalSent, Ruling, Status};

use crate::{
    json, parse,
    shared::{self, own},
};
use entry::Entry;

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "vault/7";

/// The record of one entry.
///
/// # Errors
/// Only for what is no entry: not a JSON object, or without `type` or `time`. The error names the field and
/// completes "line 3, …".
pub fn map(document: &str) -> Result<String, String> {
    let document = document.trim();
    let value = parse::object(document)?;
    let entry = Entry::read(&value, document)?;
    let mut submission = shared::observed(entry.time, MAPPING, "vault".to_owned(), entry.event_id());
    // A request and its response are one action: that of the response, which need not have come yet.
    submission.action_event = entry.action_event().map(own);
    submission.credential = who::credential(&entry);
    submission.decision = decision(&entry);
    submission.effects = effects::effects(&entry);
    submission.executor = Some(who::executor(&entry));
    submission.operation = entry.operation().map(json::text);
    submission.outcome = outcome(&entry);
    submission.permission = entry.granting().next().map(own);
    submission.personal = personal(&entry);
    submission.resource = entry.resource();
    shared::record(&submission, document)
}

/// What Vault's policies said, and which of them.
fn decision(entry: &Entry<'_>) -> Option<Decision<'static>> {
    let allowed = entry.allowed().or_else(|| entry.is_refused().then_some(false))?;
    Some(Decision {
        effect: if allowed { Ruling::Allow } else { Ruling::Deny },
        engine: None,
        errors: Vec::new(),
        obligations: Vec::new(),
        policies: shared::some(entry.granting()),
        policy_set: None,
    })
}

/// How the call ended; `None` where the entry is that of a request which was let in.
fn outcome(entry: &Entry<'_>) -> Option<Outcome<'static>> {
    let (status, code) = match entry.error() {
        Some(_) if entry.is_refused() => (Status::Denied, entry.refusal()),
        Some(_) => (Status::Failure, None),
        None if entry.is_response() => (Status::Success, None),
        None => return None,
    };
    let code = code.map(Into::into);
    Some(Outcome { code, ..Outcome::of(status) })
}

fn personal(entry: &Entry<'_>) -> Option<PersonalSent<'static>> {
    let address = entry.request("remote_address")?;
    Some(PersonalSent { address: Some(own(address)), device: None })
}
