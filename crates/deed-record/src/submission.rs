//! A record as it is sent: the JSON that clients, collectors and the gateway write.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    Answer, Artifact, Basis, Change, Credential, Decision, Disclose, Kind, Outcome, PrincipalType,
    RecordError, RecordId, Resource, Source, SpanId, StepType, Text, Timestamp, Tool, TraceId, digest,
    object::{list, objects},
};

/// A record as a client sends it (`POST /v1/records`, `deed append`); see [`Skeleton`] for what is
/// sealed in its place.
///
/// Unknown members, members that stand twice and values of the wrong type are refused; `null` is
/// the same as leaving a member out.
///
/// [`Skeleton`]: crate::Skeleton
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Submission<'a> {
    /// The action (intent or observation) that this outcome, approval or later observation belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RecordId>,
    /// Where `action` is absent: the source's own id of the event whose record is the action. What several events
    /// of one system say of one action is joined so in any order: the id of a record follows from its
    /// tenant, system and event id, and is there before the record is. The event itself, where several records tell
    /// of it: the first that comes is the action, and those with other original bytes belong to it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub action_event: Option<Text<'a>>,
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
    /// The terms of a request, approval, grant, credential, exception, tool or principal record; of an action with `role`
    /// `impersonation`, in whose name (`subject`) whoever acted did so.
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
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
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
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
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
    #[serde(borrow, default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<Text<'a>>,
}

/// Personal values in clear.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct PersonalSent<'a> {
    /// A network address.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Text<'a>>,
    /// A device: its id. A user agent is none: one machine has many programs.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Text<'a>>,
}

/// The terms of a record about authority: who gets what from whom, until when, and the answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
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
    #[serde(borrow, default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Text<'a>>,
    /// Whom it is about: who gets the grant, holds the credential, is described.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Principal<'a>>,
}

/// One change of authority that an event brought about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct EffectSent<'a> {
    /// The credential it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential<'a>>,
    /// What was changed: a kind of authority, see [`Kind::is_authority`].
    pub kind: Kind,
    /// The resource it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource<'a>>,
    /// How it was changed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<TermsSent<'a>>,
}

objects! { Submission<'a>, Principal<'a>, ChainHop<'a>, PersonalSent<'a>, TermsSent<'a>, EffectSent<'a> }

/// What [`is_label`] asks for.
const LABEL: &str = "expected 1 to 64 letters, digits, `-`, `_` or `.`, the first no `.`";

/// Whether `name` can name a tenant or a retention class: they name keys and folders.
pub fn is_label(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !name.starts_with('.')
}

impl<'a> Submission<'a> {
    /// A record that says nothing yet but what it is about and when.
    pub fn new(kind: Kind, time: Timestamp) -> Self {
        Submission {
            action: None,
            action_event: None,
            approvals: None,
            artifact: None,
            basis: None,
            chain: None,
            credential: None,
            decision: None,
            disclose: Disclose::default(),
            effects: None,
            environment: None,
            exception: None,
            executor: None,
            grant: None,
            id: None,
            initiator: None,
            kind,
            operation: None,
            outcome: None,
            parent_span_id: None,
            permission: None,
            personal: None,
            request: None,
            resource: None,
            retention: None,
            session: None,
            source: None,
            span_id: None,
            step_type: None,
            supersedes: None,
            task: None,
            tenant: None,
            terms: None,
            time,
            tool: None,
            trace_id: None,
        }
    }

    /// What no type can say: members that a kind needs, and what only Deed itself may claim.
    ///
    /// # Errors
    /// Names the member.
    pub fn check(&self, ours: bool) -> Result<(), RecordError> {
        self.check_claims(ours)?;
        self.check_presence()?;
        self.check_values()
    }

    fn check_claims(&self, ours: bool) -> Result<(), RecordError> {
        if !ours && self.kind.is_ours() {
            return refuse("kind", &format!("only Deed itself records `{}`", self.kind));
        }
        if !ours && self.basis == Some(Basis::Enforced) {
            return refuse("basis", "only Deed itself says `enforced`; send `reported`, or leave it out");
        }
        Ok(())
    }

    fn check_presence(&self) -> Result<(), RecordError> {
        if self.kind.is_action() && self.executor.is_none() {
            return refuse(
                "executor",
                "missing; an action has one, `{\"type\":\"unknown\"}` where nobody knows",
            );
        }
        if self.basis == Some(Basis::Imported) && self.source.is_none() {
            return refuse("source", "missing; an imported record says where it comes from");
        }
        self.check_action_event()?;
        match self.kind {
            Kind::Outcome if self.action.is_none() => {
                refuse("action", "missing; an outcome names the action it belongs to")
            }
            Kind::Outcome if self.outcome.is_none() => {
                refuse("outcome", "missing; an outcome says how the action ended")
            }
            Kind::Approval if self.action.is_none() && self.request.is_none() => {
                refuse("action", "missing; an approval names the `action` or the `request` it answers")
            }
            Kind::Credential if self.credential.is_none() => {
                refuse("credential", "missing; a credential record says which")
            }
            Kind::Credential if self.credential.as_ref().is_some_and(|with| !names_one(with)) => refuse(
                "credential",
                "names none; send its `fingerprint`, `id` or `jti`, or at least its `type`",
            ),
            Kind::Tool if self.tool.is_none() => refuse("tool", "missing; a tool record says which"),
            _ => Ok(()),
        }
    }

    /// An action that is named by its event is one of the same source.
    fn check_action_event(&self) -> Result<(), RecordError> {
        match (self.action_event.as_deref(), &self.source) {
            (Some(_), None) => {
                refuse("action_event", "without a `source`, which names the system of the event")
            }
            (Some(""), _) => refuse("action_event", "empty; leave it out where nobody knows"),
            _ => Ok(()),
        }
    }

    /// Whether the event that this record tells of is the action itself, and others may tell of it too.
    pub fn is_told_again(&self) -> bool {
        let own = self.source.as_ref().and_then(|source| source.event_id.as_ref());
        self.action.is_none() && self.action_event.is_some() && self.action_event.as_ref() == own
    }

    fn check_values(&self) -> Result<(), RecordError> {
        if !self.time.is_of_event() {
            return refuse("time", &format!("expected a time from 1970 to 2199, found `{}`", self.time));
        }
        self.check_itself()?;
        if self.outcome.as_ref().and_then(|outcome| outcome.duration_ms).is_some_and(|ms| ms < 0) {
            return refuse("outcome.duration_ms", "expected 0 or more, found a negative number");
        }
        for (field, digest) in [
            ("artifact.digest", self.artifact.as_ref().and_then(|artifact| artifact.digest.as_deref())),
            ("tool.digest", self.tool.as_ref().and_then(|tool| tool.digest.as_deref())),
        ] {
            if digest.is_some_and(|digest| !digest::is_digest(digest)) {
                return refuse(field, digest::FORM);
            }
        }
        for (field, label) in [("tenant", &self.tenant), ("retention", &self.retention)] {
            if label.as_deref().is_some_and(|label| !is_label(label)) {
                return refuse(field, LABEL);
            }
        }
        let mut fault = Ok(());
        self.each_principal(&mut |at, principal| {
            if principal.key.as_deref().is_some_and(str::is_empty) {
                fault = refuse(&format!("{at}.key"), "empty; leave it out where nobody knows");
            }
            // It is kept as a disclosure of this name, and RFC 9901 allows a name once.
            if principal.name.is_some() && self.disclose.get(&format!("{at}.name")).is_some() {
                fault = refuse(&format!("disclose.{at}.name"), "the name is taken by that of the principal");
            }
        });
        fault?;
        for (name, value) in self.personal.iter().flat_map(PersonalSent::named) {
            if value.is_some() && self.disclose.get(&format!("personal.{name}")).is_some() {
                return refuse(
                    &format!("disclose.personal.{name}"),
                    "the name is taken by the personal value",
                );
            }
        }
        for (at, effect) in self.effects.iter().flatten().enumerate() {
            if !effect.kind.is_authority() {
                return refuse(
                    &format!("effects[{at}].kind"),
                    &format!("`{}` is no kind of authority", effect.kind),
                );
            }
            check_credential(effect.credential.as_ref(), format_args!("effects[{at}].credential"))?;
        }
        check_credential(self.credential.as_ref(), format_args!("credential"))
    }

    /// Nothing corrects, repeats or undoes itself.
    fn check_itself(&self) -> Result<(), RecordError> {
        let outcome = self.outcome.as_ref();
        for (field, other) in [
            ("supersedes", self.supersedes),
            ("outcome.retry_of", outcome.and_then(|outcome| outcome.retry_of)),
            ("outcome.compensates", outcome.and_then(|outcome| outcome.compensates)),
        ] {
            if self.id.is_some() && self.id == other {
                return refuse(field, "the record itself; expected the id of an earlier one");
            }
        }
        Ok(())
    }

    /// Calls `each` with everybody it names, and where.
    pub fn each_principal<'s>(&'s self, each: &mut dyn FnMut(fmt::Arguments<'_>, &'s Principal<'a>)) {
        if let Some(initiator) = &self.initiator {
            each(format_args!("initiator"), initiator);
        }
        if let Some(executor) = &self.executor {
            each(format_args!("executor"), executor);
        }
        for (at, hop) in self.chain.iter().flatten().enumerate() {
            each(format_args!("chain[{at}].principal"), &hop.principal);
        }
        if let Some(terms) = &self.terms {
            terms.each_principal(format_args!("terms"), each);
        }
        for (at, effect) in self.effects.iter().flatten().enumerate() {
            if let Some(terms) = &effect.terms {
                terms.each_principal(format_args!("effects[{at}].terms"), each);
            }
        }
    }
}

impl<'a> TermsSent<'a> {
    fn each_principal<'s>(
        &'s self,
        at: fmt::Arguments<'_>,
        each: &mut dyn FnMut(fmt::Arguments<'_>, &'s Principal<'a>),
    ) {
        if let Some(by) = &self.by {
            each(format_args!("{at}.by"), by);
        }
        if let Some(subject) = &self.subject {
            each(format_args!("{at}.subject"), subject);
        }
    }
}

impl<'a> PersonalSent<'a> {
    fn named(&self) -> [(&'static str, &Option<Text<'a>>); 2] {
        [("address", &self.address), ("device", &self.device)]
    }
}

fn check_credential(credential: Option<&Credential<'_>>, at: fmt::Arguments<'_>) -> Result<(), RecordError> {
    let Some(credential) = credential else { return Ok(()) };
    for (name, value) in [
        ("fingerprint", &credential.fingerprint),
        ("id", &credential.id),
        ("jti", &credential.jti),
        ("upstream", &credential.upstream),
    ] {
        if value.as_deref().is_some_and(str::is_empty) {
            return refuse(&format!("{at}.{name}"), "empty; leave it out where nobody knows");
        }
    }
    // INVARIANT D9: what is no digest may be the credential itself.
    if credential.fingerprint.as_deref().is_some_and(|fingerprint| !digest::is_digest(fingerprint)) {
        return refuse(&format!("{at}.fingerprint"), &format!("{}, never the secret itself", digest::FORM));
    }
    Ok(())
}

/// Whether a credential record says which credential it is about.
fn names_one(credential: &Credential<'_>) -> bool {
    credential.names().next().is_some() || credential.kind.is_some()
}

fn refuse(field: &str, message: &str) -> Result<(), RecordError> {
    Err(RecordError::new(field, message))
}
