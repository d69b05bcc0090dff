//! What a door tells the decision point, and what it hears: the same over a socket as within one process.

use std::str::FromStr;

use deed_ledger::fresh_id;
use deed_policy::{Capture, Obligations};
use deed_record::{
    Credential, PrincipalType, RecordError, RecordId, Ruling, SpanId, Status, Timestamp, TraceId,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{approvals::said_by, door::random, ending, recorder::Unavailable, run::Run};

/// Why something is refused that no record can hold, in a word.
const UNRECORDABLE: &str = "unrecordable";
/// Names are not kept longer where they are cut, in characters.
const LONGEST_CUT: usize = 256;

/// The server of what an application asks about that is of no server.
pub const NO_SERVER: &str = "authzen";

/// Something that a client wants to be done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Intent {
    /// The id of the record it becomes, made by the door: asking twice decides once.
    pub id: RecordId,
    /// The server it is for, by the name of its settings.
    pub server: String,
    /// The method, as the client wrote it.
    pub method: String,
    /// The tool or prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The resource to be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The arguments, or all parameters of what has none: the exact text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Box<RawValue>>,
    /// Digest of the tool's definition, where the door has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The task it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The credential that was shown, as records have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Box<RawValue>>,
    /// The record of the grant that the credential stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<RecordId>,
    /// Names of all credentials that the shown one was derived from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lineage: Vec<String>,
    /// Id of the token that the server is shown for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// The application that asks and enforces by itself, where Deed does not stand in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_by: Option<String>,
    /// What is particular to a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// Whose it is, where a door of this machine knows by a token that was verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Where it stands.
    pub place: Place,
    /// Why the door itself refuses it: it is recorded all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// What was not done before, because it could not be recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
    /// When whoever asks from elsewhere gives up: recorded later, it would say that something was let through that nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What was not done while nothing could be recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Missed {
    /// The first.
    pub from: Timestamp,
    /// The last.
    pub to: Timestamp,
    /// How many.
    pub count: u64,
    /// How many were done all the same, for they waited in the spool meanwhile.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spooled: u64,
    /// Why the last could not be recorded.
    pub why: String,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Intent {
    /// An intent that application `by` asks about, with nothing said of it yet; its executor is unknown.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn reported(by: &str, trace: Option<TraceId>) -> Result<Self, Unavailable> {
        let id = fresh_id()?;
        let place = Place::of_nobody(trace.unwrap_or(TraceId(id.0)), SpanId(random()?));
        Ok(Intent { reported_by: Some(by.to_owned()), ..Intent::bare(id, "", "", place) })
    }

    /// An intent that names nothing and shows nothing.
    pub fn bare(id: RecordId, server: &str, method: &str, place: Place) -> Self {
        Intent {
            id,
            server: server.to_owned(),
            method: method.to_owned(),
            name: None,
            uri: None,
            arguments: None,
            definition: None,
            task: None,
            credential: None,
            grant: None,
            lineage: Vec::new(),
            upstream: None,
            reported_by: None,
            run: None,
            tenant: None,
            place,
            refused: None,
            missed: None,
            until: None,
        }
    }

    /// The same, refused because no record can hold it, for the reason `why`: with its arguments as length and digest, and no
    /// more of its names than fits.
    pub(crate) fn unrecordable(&self, why: &RecordError) -> Self {
        let cut = |text: &str| match text.char_indices().nth(LONGEST_CUT) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        let arguments =
            self.arguments.as_deref().map(|arguments| ending::kept(arguments, false).into_owned());
        let field = if why.field.is_empty() { String::new() } else { format!("`{}`: ", why.field) };
        let why = format!("it cannot be recorded as it was sent: {field}{}", why.message);
        Intent {
            server: cut(&self.server),
            method: cut(&self.method),
            name: self.name.as_deref().map(cut),
            uri: self.uri.as_deref().map(cut),
            arguments,
            task: self.task.as_deref().map(cut),
            upstream: None,
            refused: Some(Refused { code: UNRECORDABLE.into(), why }),
            ..self.clone()
        }
    }

    /// Whether it is refused as [`Intent::unrecordable`] says.
    pub(crate) fn is_unrecordable(&self) -> bool {
        self.refused.as_ref().is_some_and(|refused| refused.code == UNRECORDABLE)
    }

    /// The credential that was shown, if it is one.
    pub(crate) fn credential(&self) -> Option<Credential<'_>> {
        serde_json::from_str(self.credential.as_ref()?.get()).ok()
    }
}

impl Place {
    /// Where an action stands of which nobody knows whose it is.
    pub fn of_nobody(trace_id: TraceId, span_id: SpanId) -> Self {
        Place {
            trace_id,
            span_id,
            parent_span_id: None,
            session: None,
            initiator: None,
            executor: Who::unknown(),
            chain: Vec::new(),
        }
    }
}

/// Where an action stands, and who it is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The trace: the client's, or one for the whole connection.
    pub trace_id: TraceId,
    /// Its own span.
    pub span_id: SpanId,
    /// The client's span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<SpanId>,
    /// The connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Who asked, as far as anybody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<Who>,
    /// Who acts.
    pub executor: Who,
    /// Who stands between them, from the initiator on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Who>,
}

/// Somebody, as a door knows them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Who {
    /// What they are.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// `system:native-id`, or an alias of the inventory such as `agent:release-bot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What people call them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which of its many: a run, a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
}

impl Who {
    /// Nobody knows who.
    pub fn unknown() -> Self {
        Who { kind: PrincipalType::Unknown, key: None, name: None, instance: None }
    }
}

impl FromStr for Who {
    type Err = String;

    /// Reads `TYPE:NAME`, such as `agent:release-bot`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').ok_or("expected TYPE:NAME, such as agent:release-bot")?;
        if name.is_empty() {
            return Err("the name is empty".into());
        }
        let (key, name) = (Some(text.to_owned()), Some(name.to_owned()));
        Who { kind: kind.parse()?, key, name, instance: None }.visible()
    }
}

/// Why a door refuses something by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// In a word, for the record: `malformed`, `unknown_method`, …
    pub code: String,
    /// In a sentence, without a value of the message (D9).
    pub why: String,
}

/// A human stops somebody or something, or lets it go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// A key, an alias of the inventory, or a credential's fingerprint, id or jti.
    pub what: String,
    /// Whether `what` is a credential.
    #[serde(default)]
    pub credential: bool,
    /// Whether it is stopped, or goes on.
    pub suspended: bool,
    /// Who says so, in whatever form whoever answers a step-up may say it.
    #[serde(deserialize_with = "said_by")]
    pub by: Who,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was decided, and where that is recorded.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// The record.
    pub id: RecordId,
    /// The log it is in.
    pub log: String,
    /// Its leaf; none yet for what waits in the spool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u64>,
    /// When it was put into the spool, where the log could not take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spooled: Option<Timestamp>,
    /// The decision.
    pub effect: Ruling,
    /// In a sentence, for whoever asked.
    pub reason: String,
    /// Whether it was refused because no record can hold it; what does fit is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unrecordable: bool,
    /// Ids of the policies that determined it.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Digest of the policy set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_set: Option<String>,
    /// What must be done besides.
    #[serde(default)]
    pub obligations: Obligations,
    /// Fields that the inventory calls restricted: whichever of them the caller gets is recorded by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restricted: Vec<String>,
}

/// How an action ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conclusion {
    /// The id of the record it becomes, made by whoever concludes: told twice, it is recorded once. Without one, each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<RecordId>,
    /// The intent.
    pub action: RecordId,
    /// As in [`Intent::tenant`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The server it was for.
    pub server: String,
    /// The method.
    pub method: String,
    /// The tool or the prompt that it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The resource that it was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Where it stands.
    pub place: Place,
    /// When it ended.
    pub time: Timestamp,
    /// How.
    pub status: Status,
    /// The server's own code, or in a word why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// The result or error: the exact text, or its length and digest where it is too long to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Box<RawValue>>,
    /// The action that this one undid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensates: Option<RecordId>,
    /// Restricted fields that stood in what the caller got.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The task that the call has become: its id, and in the log the resource that stands for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// How much of a payload is kept, as far as a record is concerned.
pub(crate) fn keeps_payload(obligations: &Obligations) -> bool {
    obligations.capture != Some(Capture::Summary)
}

/// The tools that a server offers, as a door saw them in an answer to `tools/list`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The server.
    pub server: String,
    /// Who asked.
    pub place: Place,
    /// The credential that was shown, as records have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Box<RawValue>>,
    /// What it offers.
    pub tools: Vec<Listed>,
}

/// A tool, as its server describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// `sha256:` and the digest of its definition.
    pub digest: String,
    /// Its definition, as the server wrote it.
    pub definition: Box<RawValue>,
}

/// What of a listing the caller may see.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shown {
    /// Tools that this caller may not use.
    pub hidden: Vec<String>,
    /// Whether other callers may see others.
    pub personal: bool,
}
