//! A record as it is sealed.
//!
//! The canonical bytes of a [`Skeleton`] are the leaf of the log. They are fixed for ever: a member
//! may be added in a later version (`v`), none may change its meaning. Fixtures in
//! `tests/golden` hold every reader to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Account, Answer, Artifact, Basis, Change, Credential, Decision, Kind, Outcome, PrincipalType, Pseudonym,
    RecordError, RecordId, Resource, SecretSeen, Source, SpanId, StepType, Text, Timestamp, Tool, TraceId,
    canonical, object::objects,
};

/// Version of the sealed format.
pub const V: u8 = 1;

/// What stands for `recorded` until the sequencer stamps it; as long as any time.
pub const RECORDED_PLACEHOLDER: Timestamp = Timestamp(0);

/// The sealed form of a record: everything a verdict needs (D14), nothing that may be erased.
///
/// Fields are declared in the order of their names, so that serialising gives RFC 8785.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Skeleton<'a> {
    /// The action it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<RecordId>,
    /// The approvals it relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvals: Option<Vec<RecordId>>,
    /// What was released.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact<'a>>,
    /// How it is known.
    pub basis: Basis,
    /// Every hop between initiator and executor.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Vec<Hop<'a>>>,
    /// The first record of the same event, whose original bytes were others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<RecordId>,
    /// Keyed digest of what was sent, 64 hex digits; only where the sender or the source named the
    /// record, so that the same name with other content is noticed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Text<'a>>,
    /// The credential.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential<'a>>,
    /// What a policy decided.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision<'a>>,
    /// Commitments to the payloads.
    #[serde(borrow, default, skip_serializing_if = "Commitments::is_empty")]
    pub disclose: Commitments<'a>,
    /// What the event changed in authority.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub effects: Option<Vec<Effect<'a>>>,
    /// `prod`, `test`, …
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Text<'a>>,
    /// The exception it relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<RecordId>,
    /// Who acted.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<Party<'a>>,
    /// The grant it relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<RecordId>,
    /// Its id.
    pub id: RecordId,
    /// Who asked.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub initiator: Option<Party<'a>>,
    /// What it is about.
    pub kind: Kind,
    /// The operation.
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
    /// Personal values, as pseudonyms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<Personal>,
    /// When Deed took it; never decreases along a log.
    pub recorded: Timestamp,
    /// The request it answers or relies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RecordId>,
    /// What was acted upon.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource<'a>>,
    /// Retention class of the payloads, where it is not `default`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Text<'a>>,
    /// Secrets that stood in the input.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<Vec<SecretSeen<'a>>>,
    /// The session it belongs to.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Text<'a>>,
    /// Where an imported event comes from.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source<'a>>,
    /// This step's span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span_id: Option<SpanId>,
    /// When Deed made it durable in a spool, where the log could not be written at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spooled: Option<Timestamp>,
    /// What sort of step it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_type: Option<StepType>,
    /// Who sent it: the authenticated sender.
    #[serde(borrow)]
    pub submitter: Text<'a>,
    /// The observation that this one corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<RecordId>,
    /// The task it is part of.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Text<'a>>,
    /// Whose record it is.
    #[serde(borrow)]
    pub tenant: Text<'a>,
    /// The terms of a record about authority.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms<'a>>,
    /// When it happened, as the source says.
    pub time: Timestamp,
    /// The tool that was called.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Tool<'a>>,
    /// The trace it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// Version of the sealed format: [`V`].
    pub v: u8,
}

impl<'a> Skeleton<'a> {
    /// Reads sealed bytes.
    ///
    /// # Errors
    /// They are not a record of a version this program knows.
    pub fn parse(leaf: &'a [u8]) -> Result<Self, RecordError> {
        let version = |v: i64| RecordError::new("v", format!("sealed format {v}; this program reads {V}"));
        // Whether it is UTF-8 is asked once, not for every text in it.
        let read = match std::str::from_utf8(leaf) {
            Ok(text) => canonical::read(text).map_or_else(|| serde_json::from_str(text), Ok),
            Err(_) => serde_json::from_slice(leaf),
        };
        match read {
            Ok(skeleton) if skeleton.v == V => Ok(skeleton),
            Ok(skeleton) => Err(version(skeleton.v.into())),
            // A member that a later version added is not the trouble.
            Err(error) => Err(match serde_json::from_slice(leaf) {
                Ok(Version { v }) if v != i64::from(V) => version(v),
                _ => RecordError::new("", crate::read::reason(&error)),
            }),
        }
    }

    /// The sealed bytes (RFC 8785), appended to `out`.
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        // Structs of strings, integers and lists: nothing in them can fail to serialise.
        if let Err(error) = canonical::write(self, out) {
            unreachable!("a skeleton serialises: {error}");
        }
    }

    /// The action this record belongs to: the one it names, else itself.
    pub fn action_id(&self) -> RecordId {
        self.action.unwrap_or(self.id)
    }

    /// Everybody it names.
    pub fn parties(&self) -> impl Iterator<Item = &Party<'a>> {
        let terms = self.terms.iter().chain(self.effects.iter().flatten().filter_map(|e| e.terms.as_ref()));
        self.initiator
            .iter()
            .chain(self.executor.iter())
            .chain(self.chain.iter().flatten().map(|hop| &hop.principal))
            .chain(terms.flat_map(|terms| terms.by.iter().chain(terms.subject.iter())))
    }
}

/// What every version of the sealed format has.
#[derive(Deserialize)]
struct Version {
    v: i64,
}

/// Sealed bytes kept beside what they say.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// Leaf index in its log.
    pub index: u64,
    /// The exact sealed bytes.
    pub leaf: std::sync::Arc<[u8]>,
}

impl Sealed {
    /// What the bytes say.
    ///
    /// # Errors
    /// As [`Skeleton::parse`].
    pub fn skeleton(&self) -> Result<Skeleton<'_>, RecordError> {
        Skeleton::parse(&self.leaf)
    }
}

/// Somebody, as sealed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Party<'a> {
    /// Who; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
    /// Which of its many.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Text<'a>>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// The organisation that runs it, where it is not ours.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Text<'a>>,
}

/// One hop between initiator and executor, as sealed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Hop<'a> {
    /// The credential this hop acted with.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Text<'a>>,
    /// The record by which it was given its part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<RecordId>,
    /// Who.
    #[serde(borrow)]
    pub principal: Party<'a>,
    /// Scopes it held.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<Text<'a>>,
}

/// Personal values, as sealed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Personal {
    /// A network address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Pseudonym>,
    /// A device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Pseudonym>,
}

/// The terms of a record about authority, as sealed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Terms<'a> {
    /// How a request was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Who gave, answered or changed it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Party<'a>>,
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
    /// Whom it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Party<'a>>,
}

/// One change of authority, as sealed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Effect<'a> {
    /// The credential it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential<'a>>,
    /// What was changed.
    pub kind: Kind,
    /// The resource it is about.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<Resource<'a>>,
    /// How it was changed.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Terms<'a>>,
}

objects! { Skeleton<'a>, Party<'a>, Hop<'a>, Personal, Terms<'a>, Effect<'a> }

/// Commitments to the payloads: an SD-JWT payload (RFC 9901) in the shape of what was sent.
///
/// `_sd` holds the digests of members that were committed to whole; every other member is an object
/// that holds only the `_sd` of its first-level members. Hash algorithm: SHA-256, the default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Commitments<'a>(pub BTreeMap<Utf16Ordered<'a>, Digests<'a>>);

pub use commitments::{Digests, Utf16Ordered};

impl Commitments<'_> {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

mod commitments {
    use std::{cmp::Ordering, collections::BTreeMap};

    use serde::{
        Deserialize, Deserializer, Serialize, Serializer,
        de::{Error, MapAccess, SeqAccess, Visitor},
        ser::SerializeMap,
    };

    use super::Commitments;
    use crate::{Text, error::shown_name};

    impl<'de: 'a, 'a> Deserialize<'de> for Commitments<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Members;
            impl<'de> Visitor<'de> for Members {
                type Value = Commitments<'de>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut members = BTreeMap::new();
                    while let Some((name, digests)) = map.next_entry::<Utf16Ordered<'de>, _>()? {
                        // INVARIANT D13: a map would keep the last of two members of one name, other
                        // readers the first.
                        if members.contains_key(&name) {
                            let name = shown_name(&name.0);
                            return Err(A::Error::custom(format!("the member {name} stands twice")));
                        }
                        members.insert(name, digests);
                    }
                    Ok(Commitments(members))
                }
            }
            deserializer.deserialize_map(Members)
        }
    }

    /// A name, ordered by UTF-16 code units (RFC 8785, section 3.2.3).
    #[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
    #[serde(transparent)]
    pub struct Utf16Ordered<'a>(#[serde(borrow)] pub Text<'a>);

    impl Ord for Utf16Ordered<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            self.0.encode_utf16().cmp(other.0.encode_utf16())
        }
    }

    impl PartialOrd for Utf16Ordered<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }

    /// Digests of disclosures, base64url without padding.
    #[derive(Clone, PartialEq, Eq, Debug)]
    pub enum Digests<'a> {
        /// Under the name `_sd` itself.
        Whole(Vec<Text<'a>>),
        /// Under any other name: `{"_sd": […]}`.
        Members(Vec<Text<'a>>),
    }

    impl<'a> Digests<'a> {
        /// The digests, whatever they stand under.
        pub fn all(&self) -> &[Text<'a>] {
            match self {
                Digests::Whole(digests) | Digests::Members(digests) => digests,
            }
        }
    }

    impl Serialize for Digests<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Digests::Whole(digests) => digests.serialize(serializer),
                Digests::Members(digests) => {
                    let mut map = serializer.serialize_map(Some(1))?;
                    map.serialize_entry("_sd", digests)?;
                    map.end()
                }
            }
        }
    }

    impl<'de: 'a, 'a> Deserialize<'de> for Digests<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Either;
            impl<'de> Visitor<'de> for Either {
                type Value = Digests<'de>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a list of digests, or an object that holds one")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                    let mut digests = Vec::new();
                    while let Some(digest) = seq.next_element()? {
                        digests.push(digest);
                    }
                    Ok(Digests::Whole(digests))
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut digests = None;
                    while let Some(name) = map.next_key::<Text<'de>>()? {
                        if &*name != "_sd" || digests.is_some() {
                            return Err(A::Error::custom("expected exactly one member `_sd`"));
                        }
                        digests = Some(map.next_value()?);
                    }
                    digests.map(Digests::Members).ok_or_else(|| A::Error::missing_field("_sd"))
                }
            }
            deserializer.deserialize_any(Either)
        }
    }
}
