//! The members of a record that a mapping file may speak of.

use deed_record::{Answer, Change, Kind, PrincipalType, Ruling, Status, StepType};

use super::value::Origin;

/// One member, and where its value comes from.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// `executor.key`: a path in the record, or in an effect.
    pub(super) member: String,
    pub(super) sort: Sort,
    pub(super) from: Origin,
}

/// What values a member takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sort {
    Text,
    /// One of these.
    Word(fn() -> Vec<&'static str>),
    Time,
    /// A whole number that is not negative.
    Whole,
    List,
    /// The digest of what must not be read, or of a name.
    Fingerprint,
    /// The id of a request in the system that knows it.
    Request,
}

/// The sort of a member of the record; `None` where there is none of that name.
pub(super) fn of_record(member: &str) -> Option<Sort> {
    if let Some(name) = member.strip_prefix("disclose.") {
        let fits = |b: u8| b.is_ascii_lowercase() || b == b'_';
        return (name != deed_record::WHOLE && !name.is_empty() && name.bytes().all(fits))
            .then_some(Sort::Text);
    }
    Some(match member {
        "event_id" | "operation" | "permission" | "session" | "task" | "environment" => Sort::Text,
        "tool.name" | "tool.server" | "tool.version" => Sort::Text,
        "artifact.name" | "artifact.digest" | "artifact.signer" => Sort::Text,
        "personal.address" | "personal.device" | "outcome.code" => Sort::Text,
        "kind" => Sort::Word(|| words(&[Kind::Observation, Kind::Step, Kind::Task], Kind::as_str)),
        "time" => Sort::Time,
        "step_type" => Sort::Word(|| words(StepType::ALL, StepType::as_str)),
        "request" => Sort::Request,
        "outcome.status" => Sort::Word(|| words(Status::ALL, Status::as_str)),
        "outcome.duration_ms" => Sort::Whole,
        "decision.effect" => Sort::Word(|| words(Ruling::ALL, Ruling::as_str)),
        "decision.policies" | "outcome.fields" => Sort::List,
        _ => match member.split_once('.')? {
            ("executor" | "initiator", rest) => of_principal(rest)?,
            ("resource", rest) => of_resource(rest)?,
            ("credential", rest) => of_credential(rest)?,
            _ => return None,
        },
    })
}

/// The sort of a member of an effect.
pub(super) fn of_effect(member: &str) -> Option<Sort> {
    Some(match member {
        "kind" => Sort::Word(|| {
            Kind::ALL.iter().filter(|kind| kind.is_authority()).map(|kind| kind.as_str()).collect()
        }),
        "change" => Sort::Word(|| words(Change::ALL, Change::as_str)),
        "answer" => Sort::Word(|| words(Answer::ALL, Answer::as_str)),
        "role" => Sort::Text,
        "scopes" => Sort::List,
        "expires" | "not_before" => Sort::Time,
        _ => match member.split_once('.')? {
            ("subject" | "by", rest) => of_principal(rest)?,
            ("resource", rest) => of_resource(rest)?,
            ("credential", rest) => of_credential(rest)?,
            _ => return None,
        },
    })
}

fn of_principal(member: &str) -> Option<Sort> {
    match member {
        "key" | "name" | "instance" | "vendor" => Some(Sort::Text),
        "type" => Some(Sort::Word(|| words(PrincipalType::ALL, PrincipalType::as_str))),
        _ => None,
    }
}

fn of_resource(member: &str) -> Option<Sort> {
    matches!(member, "uri" | "type" | "classification").then_some(Sort::Text)
}

fn of_credential(member: &str) -> Option<Sort> {
    match member {
        "id" | "type" | "issuer" | "jti" | "parent" => Some(Sort::Text),
        "fingerprint" => Some(Sort::Fingerprint),
        "issued" | "expires" => Some(Sort::Time),
        "scopes" => Some(Sort::List),
        _ => None,
    }
}

fn words<T: Copy>(all: &[T], as_str: fn(T) -> &'static str) -> Vec<&'static str> {
    all.iter().map(|word| as_str(*word)).collect()
}

/// "expected one of `a`, `b`".
pub(super) fn one_of(words: &[&str]) -> String {
    format!("expected one of `{}`", words.join("`, `"))
}
