//! A record as it is sent: the JSON that clients, collectors and the gateway write.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Answer, Artifact, Basis, Change, Credential, Decision, Disclose, Kind, Outcome, PrincipalType,
    RecordError, RecordId, Resource, Source, SpanId, StepType, Text, Timestamp, Tool, TraceId,
};

/// A record as a client sends it (`POST /v1/records`, `deed append`); see [`Skeleton`] for what is
/// sealed in its place.
///
/// Unknown members, members that stand twice and values of the wrong type are refused.
///
/// [`Skeleton`]: crate::Skeleton
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission<'a> {
    /// The action (intent or observation) that this outcome, approval or later observation belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RecordId>,
    /// The approvals it relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Vec<RecordId>>,
    /// What was released.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact<'a>>,
    /// How it is known; `reported` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// Every hop between initiator and executor, in order.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Vec<ChainHop<'a>>>,
    /// The credential that was used, or that this record is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential<'a>>,
    /// What a policy decided.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision<'a>>,
    /// Payloads, committed to and kept apart.
    #[serde(borrow, default, skip_serializing_if = "Disclose::is_empty")]
    pub disclose: Disclose<'a>,
    /// What the event changed in authority.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Vec<EffectSent<'a>>>,
    /// `prod`, `test`, …
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Text<'a>>,
    /// The exception it relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<RecordId>,
    /// Who acted. Required for actions.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Principal<'a>>,
    /// The grant it relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<RecordId>,
    /// The sender's own id: makes sending it again harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RecordId>,
    /// Who asked.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<Principal<'a>>,
    /// What the record is about. Required.
    pub kind: Kind,
    /// The operation: `tools/call`, `s3:DeleteBucket`, a command's name.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<Text<'a>>,
    /// How it ended.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome<'a>>,
    /// The span that this one is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<SpanId>,
    /// The permission that was used.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<Text<'a>>,
    /// Personal values that verdicts compare; sealed as pseudonyms.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<PersonalSent<'a>>,
    /// The request it answers or relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RecordId>,
    /// What was acted upon.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource<'a>>,
    /// Retention class of the payloads; `default` unless said.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Text<'a>>,
    /// The session it belongs to, where there is no trace.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Text<'a>>,
    /// Where an imported event comes from.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source<'a>>,
    /// This step's span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<SpanId>,
    /// What sort of step it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_type: Option<StepType>,
    /// The observation that this one corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<RecordId>,
    /// The task it is part of, by the sender's name for it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Text<'a>>,
    /// Whose record it is; the token's tenant, else `default`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<Text<'a>>,
    /// The terms of a request, approval, grant, credential, exception, tool or principal record.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<TermsSent<'a>>,
    /// When it happened, as the sender says. Required.
    pub time: Timestamp,
    /// The tool that was called.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool<'a>>,
    /// The trace it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
}

/// Somebody, in clear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal<'a> {
    /// Which of its many: a run, a pod, a process.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Text<'a>>,
    /// `system:native-id`, see [`Alias`](crate::Alias). Absent where nobody knows.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Text<'a>>,
    /// What people call it; never sealed, kept with the key as a disclosure.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Text<'a>>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// The organisation that runs it, where it is not ours.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Text<'a>>,
}

/// One hop between initiator and executor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainHop<'a> {
    /// Fingerprint, id or jti of the credential this hop acted with.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Text<'a>>,
    /// The record by which it was given its part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<RecordId>,
    /// Who.
    #[serde(borrow)]
    pub principal: Principal<'a>,
    /// Scopes it held.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<Text<'a>>,
}

/// Personal values in clear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonalSent<'a> {
    /// A network address.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Text<'a>>,
    /// A device: its id, its user agent.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Text<'a>>,
}

/// The terms of a record about authority: who gets what from whom, until when, and the answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsSent<'a> {
    /// How a request was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Who gave, answered or changed it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Principal<'a>>,
    /// What happened to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// When it ends; absent means that it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The role it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Text<'a>>,
    /// The scopes it is about.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Text<'a>>,
    /// Whom it is about: who gets the grant, holds the credential, is described.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Principal<'a>>,
}

/// One change of authority that an event brought about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EffectSent<'a> {
    /// The credential it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential<'a>>,
    /// What was changed: `credential`, `grant`, `request`, `approval`, `principal`, `policy`, `tool`.
    pub kind: Kind,
    /// The resource it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource<'a>>,
    /// How it was changed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<TermsSent<'a>>,
}

/// The records of a request body: a JSON array, or one record after another (NDJSON).
///
/// Only cuts the input; each piece is the exact text of one record.
///
/// # Errors
/// Not UTF-8, not JSON: names the record and the byte or column.
pub fn split_records(body: &[u8]) -> Result<Vec<&str>, RecordError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        let index = body[..at].iter().filter(|byte| **byte == b'\n').count();
        RecordError::new("", format!("byte {at} is not UTF-8; records are JSON in UTF-8")).at(index)
    })?;
    if text.trim_start().starts_with('[') {
        let items: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|e| RecordError::new("", json_error(&e)))?;
        return Ok(items.into_iter().map(RawValue::get).collect());
    }
    let mut records = Vec::new();
    for item in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let item = item.map_err(|e| RecordError::new("", json_error(&e)).at(records.len()))?;
        records.push(item.get());
    }
    Ok(records)
}

/// Reads and checks the text of one record, as [`split_records`] cut it.
///
/// `ours` is true only for what Deed itself writes; see [`Submission::check`].
///
/// # Errors
/// Names the member and what was expected there.
pub fn parse_one(text: &str, ours: bool) -> Result<Submission<'_>, RecordError> {
    let submission: Submission<'_> =
        serde_json::from_str(text).map_err(|error| explain_refusal(text, &error))?;
    submission.check(ours)?;
    Ok(submission)
}

/// Reads a whole body; every record must be good.
///
/// # Errors
/// That of the first record that is not.
pub fn parse_records(body: &[u8], ours: bool) -> Result<Vec<Submission<'_>>, RecordError> {
    split_records(body)?
        .into_iter()
        .enumerate()
        .map(|(index, text)| parse_one(text, ours).map_err(|e| e.at(index)))
        .collect()
}

/// The fast path does not track where it is; only a record that failed is read again with care.
fn explain_refusal(text: &str, first: &serde_json::Error) -> RecordError {
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, Submission<'_>>(&mut reader) {
        Err(error) => {
            let path = error.path().to_string();
            let field = if path == "." { String::new() } else { path };
            RecordError::new(field, json_error(error.inner()))
        }
        // What follows the record, or a fault only the whole reading sees.
        Ok(_) => RecordError::new("", json_error(first)),
    }
}

/// serde's message without the value it stumbled over: that may be a secret (D9).
fn json_error(error: &serde_json::Error) -> String {
    let message = error.to_string();
    for prefix in ["invalid type: string ", "invalid value: string "] {
        if let Some(rest) = message.strip_prefix(prefix)
            && let Some(at) = rest.rfind(", expected ")
        {
            return format!("{prefix}…{}", &rest[at..]);
        }
    }
    message
}

impl Submission<'_> {
    /// What no type can say: members that a kind needs, and what only Deed itself may claim.
    ///
    /// # Errors
    /// Names the member.
    pub fn check(&self, ours: bool) -> Result<(), RecordError> {
        let refuse = |field: &str, message: &str| Err(RecordError::new(field, message));
        if !ours && self.kind.is_ours() {
            return Err(RecordError::new("kind", format!("only Deed itself records `{}`", self.kind)));
        }
        if !ours && self.basis == Some(Basis::Enforced) {
            return refuse("basis", "only Deed itself says `enforced`; send `reported`, or leave it out");
        }
        if self.kind.is_action() && self.executor.is_none() {
            return refuse("executor", "missing; an action has one, `{\"type\":\"unknown\"}` where nobody knows");
        }
        if self.basis == Some(Basis::Imported) && self.source.is_none() {
            return refuse("source", "missing; an imported record says where it comes from");
        }
        match self.kind {
            Kind::Outcome if self.action.is_none() => {
                return refuse("action", "missing; an outcome names the action it belongs to");
            }
            Kind::Outcome if self.outcome.is_none() => {
                return refuse("outcome", "missing; an outcome says how the action ended");
            }
            Kind::Approval if self.action.is_none() && self.request.is_none() => {
                return refuse("action", "missing; an approval names the `action` or the `request` it answers");
            }
            Kind::Credential if self.credential.is_none() => {
                return refuse("credential", "missing; a credential record says which");
            }
            Kind::Tool if self.tool.is_none() => {
                return refuse("tool", "missing; a tool record says which");
            }
            _ => {}
        }
        if let Some(tenant) = &self.tenant
            && !is_tenant(tenant)
        {
            return refuse("tenant", "expected 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        if let Some(class) = &self.retention
            && !is_tenant(class)
        {
            return refuse("retention", "expected 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        for (field, principal) in self.principals() {
            if principal.key.as_deref().is_some_and(str::is_empty) {
                return refuse(&format!("{field}.key"), "empty; leave it out where nobody knows");
            }
        }
        let credentials = self.effects.iter().flatten().filter_map(|effect| effect.credential.as_ref());
        for credential in self.credential.iter().chain(credentials) {
            if credential.names().any(str::is_empty) {
                return refuse("credential", "empty fingerprint, id or jti; leave it out where nobody knows");
            }
        }
        Ok(())
    }

    /// Everybody it names, with where.
    pub fn principals(&self) -> Vec<(String, &Principal<'_>)> {
        fn of_terms<'s, 'a>(at: &str, terms: Option<&'s TermsSent<'a>>, all: &mut Vec<(String, &'s Principal<'a>)>) {
            let Some(terms) = terms else { return };
            all.extend(terms.by.iter().map(|p| (format!("{at}.by"), p)));
            all.extend(terms.subject.iter().map(|p| (format!("{at}.subject"), p)));
        }
        let mut all = Vec::new();
        all.extend(self.initiator.iter().map(|p| ("initiator".to_owned(), p)));
        all.extend(self.executor.iter().map(|p| ("executor".to_owned(), p)));
        for (at, hop) in self.chain.iter().flatten().enumerate() {
            all.push((format!("chain[{at}].principal"), &hop.principal));
        }
        of_terms("terms", self.terms.as_ref(), &mut all);
        for (at, effect) in self.effects.iter().flatten().enumerate() {
            let mut path = String::new();
            // Writing to a `String` cannot fail.
            let _infallible = write!(path, "effects[{at}].terms");
            of_terms(&path, effect.terms.as_ref(), &mut all);
        }
        all
    }
}

/// Tenants and retention classes name keys and folders.
fn is_tenant(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with('.')
}
