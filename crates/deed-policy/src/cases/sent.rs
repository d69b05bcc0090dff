//! A case as it is written.

use std::fmt;

use deed_record::{PrincipalType, Ruling, Timestamp};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use crate::{
    decided::Decided,
    request::{ApprovalFacts, CredentialFacts, Facts, Request, Target, UNCLASSIFIED, Who},
};

/// When a case happens that does not say so: a Thursday at noon.
const NOON: &str = "2026-01-01T12:00:00Z";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    #[serde(default)]
    pub(super) name: Option<String>,
    pub(super) request: SentRequest,
    pub(super) expect: Ruling,
    #[serde(default)]
    policies: Option<Vec<String>>,
    #[serde(default)]
    mask: Option<Vec<String>>,
    /// Whether an error is expected. Without it, an error never is: it could hide behind any deny.
    #[serde(default)]
    errors: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SentRequest {
    principal: Party,
    action: String,
    resource: Thing,
    #[serde(default)]
    context: Context,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Context {
    initiator: Option<Party>,
    chain_depth: u32,
    arguments: Option<Box<RawValue>>,
    classification: Option<String>,
    environment: Option<String>,
    tenant: Option<String>,
    time: Option<Timestamp>,
    task: Option<String>,
    credential: Option<Credential>,
    approval: Option<Approval>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Credential {
    scopes: Vec<String>,
    expires: Option<Timestamp>,
    age_seconds: Option<i64>,
    delegated: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval {
    by: Party,
    time: Timestamp,
}

/// `tool` or `uri`, and what is known of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "ThingMembers")]
struct Thing {
    /// Server and name.
    tool: Option<(String, String)>,
    members: ThingMembers,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThingMembers {
    tool: Option<String>,
    uri: Option<String>,
    version: Option<String>,
    r#type: Option<String>,
    classification: Option<String>,
    #[serde(default)]
    restricted_fields: Vec<String>,
}

impl TryFrom<ThingMembers> for Thing {
    type Error = String;

    fn try_from(members: ThingMembers) -> Result<Self, String> {
        let tool = match (&members.tool, &members.uri) {
            (Some(tool), None) if members.r#type.is_none() => {
                let (server, name) = tool.split_once('/').ok_or("expected `server/name` in `tool`")?;
                Some((server.to_owned(), name.to_owned()))
            }
            (None, Some(_)) if members.version.is_none() => None,
            _ => {
                return Err(
                    "expected `tool` (with `version`, perhaps) or `uri` (with `type`, perhaps)".to_owned()
                );
            }
        };
        Ok(Thing { tool, members })
    }
}

/// Somebody: `agent:release-bot`, or an object with more.
#[derive(Clone, Debug)]
struct Party {
    kind: PrincipalType,
    members: PartyMembers,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PartyMembers {
    /// `agent:release-bot`.
    id: String,
    owner: Option<String>,
    sponsor: Option<String>,
    vendor: Option<String>,
    environments: Vec<String>,
}

impl<'de> Deserialize<'de> for Party {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = PartyMembers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`type:name`, or an object with it in `id`")
            }
            fn visit_str<E: de::Error>(self, id: &str) -> Result<PartyMembers, E> {
                Ok(PartyMembers { id: id.to_owned(), ..PartyMembers::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<PartyMembers, A::Error> {
                PartyMembers::deserialize(MapAccessDeserializer::new(map))
            }
        }
        let mut members = deserializer.deserialize_any(Either)?;
        let parts = members.id.split_once(':').filter(|(_, name)| !name.is_empty());
        let (kind, name) =
            parts.ok_or_else(|| de::Error::custom("expected a name such as `agent:release-bot`"))?;
        let (kind, name) = (kind.parse().map_err(de::Error::custom)?, name.to_owned());
        members.id = name;
        Ok(Party { kind, members })
    }
}

impl Sent {
    /// What is not as expected.
    pub(super) fn wrong(&self, decided: &Decided) -> Option<String> {
        let Decided { effect, policies, errors, obligations, reason, .. } = decided;
        let differs = |name: &str, expected: &Option<Vec<String>>, found: &[String]| {
            let mut expected = expected.clone()?;
            expected.sort();
            let lists = [&*expected, found].map(|list| format!("[{}]", list.join(", ")));
            (expected != found).then(|| format!("expected {name} {}, found {}: {reason}", lists[0], lists[1]))
        };
        if *effect != self.expect {
            return Some(format!("expected {}, decided {effect}: {reason}", self.expect));
        }
        if errors.is_empty() == self.errors {
            let (expected, found) = if self.errors { ("an", "none") } else { ("no", "one") };
            return Some(format!("expected {expected} error, there is {found}: {reason}"));
        }
        differs("policies", &self.policies, policies)
            .or_else(|| differs("mask", &self.mask, &obligations.mask))
    }
}

impl SentRequest {
    pub(super) fn as_asked(&self) -> Request<'_> {
        let context = &self.context;
        let (of_resource, of_context) = (&self.resource.members.classification, &context.classification);
        let either = of_context.as_deref().or(of_resource.as_deref()).unwrap_or(UNCLASSIFIED);
        let facts = Facts {
            initiator: context.initiator.as_ref().map(Party::who),
            chain_depth: context.chain_depth,
            arguments: context.arguments.as_deref(),
            classification: either,
            environment: context.environment.as_deref(),
            tenant: context.tenant.as_deref().unwrap_or("default"),
            time: context.time.or_else(|| NOON.parse().ok()).unwrap_or_default(),
            task: context.task.as_deref(),
            credential: context.credential.as_ref().map(|credential| CredentialFacts {
                scopes: strs(&credential.scopes),
                expires: credential.expires,
                age_seconds: credential.age_seconds,
                delegated: credential.delegated,
            }),
            approval: context
                .approval
                .as_ref()
                .map(|approval| ApprovalFacts { by: approval.by.who(), time: approval.time }),
        };
        let resource = self.resource.target(of_resource.as_deref().unwrap_or(either));
        Request { principal: self.principal.who(), action: &self.action, resource, context: facts }
    }
}

impl Thing {
    fn target<'a>(&'a self, classification: &'a str) -> Target<'a> {
        let ThingMembers { uri, version, r#type, restricted_fields, .. } = &self.members;
        let restricted_fields = strs(restricted_fields);
        match &self.tool {
            Some((server, name)) => {
                Target::Tool { server, name, version: version.as_deref(), classification, restricted_fields }
            }
            None => {
                let uri = uri.as_deref().unwrap_or_default();
                Target::Resource { uri, kind: r#type.as_deref(), classification, restricted_fields }
            }
        }
    }
}

impl Party {
    fn who(&self) -> Who<'_> {
        let PartyMembers { id, owner, sponsor, vendor, environments } = &self.members;
        Who {
            kind: self.kind,
            id,
            owner: owner.as_deref(),
            sponsor: sponsor.as_deref(),
            vendor: vendor.as_deref(),
            environments: strs(environments),
        }
    }
}

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}
