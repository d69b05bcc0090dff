//! What a decision saw, as text: compact JSON whose members are sorted, read again for a replay.

use std::borrow::Cow;

use deed_record::{PrincipalType, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::request::{ApprovalFacts, CredentialFacts, Facts, Request, Target, Who};

/// The version of this form.
const VERSION: u32 = 1;

/// Everything that a decision depended on.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen<'a> {
    #[serde(borrow)]
    action: Cow<'a, str>,
    #[serde(borrow)]
    context: Context<'a>,
    #[serde(borrow)]
    pub(crate) policy_set: Cow<'a, str>,
    #[serde(borrow)]
    principal: Party<'a>,
    /// Arguments that could not be mapped.
    pub(crate) refused: Vec<String>,
    #[serde(borrow)]
    resource: Thing<'a>,
    v: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Context<'a> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    approval: Option<Approval<'a>>,
    /// Those that a policy mentions.
    #[serde(borrow)]
    arguments: &'a RawValue,
    chain_depth: u32,
    #[serde(borrow)]
    classification: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    credential: Option<Credential<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    environment: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    initiator: Option<Party<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    task: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tenant: Cow<'a, str>,
    time: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Approval<'a> {
    #[serde(borrow)]
    by: Party<'a>,
    time: Timestamp,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credential<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    age_seconds: Option<i64>,
    delegated: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(borrow)]
    scopes: Vec<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Party<'a> {
    #[serde(borrow)]
    environments: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    owner: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    sponsor: Option<Cow<'a, str>>,
    r#type: PrincipalType,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    vendor: Option<Cow<'a, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Thing<'a> {
    #[serde(borrow)]
    Resource(Resource<'a>),
    #[serde(borrow)]
    Tool(Tool<'a>),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource<'a> {
    #[serde(borrow)]
    classification: Cow<'a, str>,
    #[serde(borrow)]
    restricted_fields: Vec<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tool<'a> {
    #[serde(borrow)]
    classification: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    restricted_fields: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    server: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    version: Option<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    /// What a policy set sees of a request.
    pub(crate) fn new(
        request: &Request<'a>,
        arguments: &'a RawValue,
        policy_set: &'a str,
        refused: Vec<String>,
    ) -> Self {
        let Facts { chain_depth, time, ref initiator, ref credential, ref approval, .. } = request.context;
        let context = Context {
            approval: approval
                .as_ref()
                .map(|approval| Approval { by: (&approval.by).into(), time: approval.time }),
            arguments,
            chain_depth,
            classification: request.context.classification.into(),
            credential: credential.as_ref().map(|credential| Credential {
                age_seconds: credential.age_seconds,
                delegated: credential.delegated,
                expires: credential.expires,
                scopes: cows(&credential.scopes),
            }),
            environment: request.context.environment.map(Cow::from),
            initiator: initiator.as_ref().map(Party::from),
            task: request.context.task.map(Cow::from),
            tenant: request.context.tenant.into(),
            time,
        };
        let resource = match &request.resource {
            Target::Tool { server, name, version, classification, restricted_fields } => Thing::Tool(Tool {
                classification: (*classification).into(),
                name: (*name).into(),
                restricted_fields: cows(restricted_fields),
                server: (*server).into(),
                version: version.map(Cow::from),
            }),
            Target::Resource { uri, kind, classification, restricted_fields } => Thing::Resource(Resource {
                classification: (*classification).into(),
                restricted_fields: cows(restricted_fields),
                r#type: kind.map(Cow::from),
                uri: (*uri).into(),
            }),
        };
        Seen {
            action: request.action.into(),
            context,
            policy_set: policy_set.into(),
            principal: (&request.principal).into(),
            refused,
            resource,
            v: VERSION,
        }
    }

    /// Reads what was written.
    pub(crate) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let seen: Seen<'a> = serde_json::from_str(text)?;
        if seen.v == VERSION {
            return Ok(seen);
        }
        let message = format!("version {} is not known here: use a newer deed", seen.v);
        Err(serde::de::Error::custom(message))
    }

    /// The request again.
    pub(crate) fn request(&self) -> Request<'_> {
        let Context { chain_depth, time, ref initiator, ref credential, ref approval, .. } = self.context;
        let context = Facts {
            initiator: initiator.as_ref().map(Party::who),
            chain_depth,
            arguments: Some(self.context.arguments),
            classification: &self.context.classification,
            environment: self.context.environment.as_deref(),
            tenant: &self.context.tenant,
            time,
            task: self.context.task.as_deref(),
            credential: credential.as_ref().map(|credential| CredentialFacts {
                scopes: strs(&credential.scopes),
                expires: credential.expires,
                age_seconds: credential.age_seconds,
                delegated: credential.delegated,
            }),
            approval: approval
                .as_ref()
                .map(|approval| ApprovalFacts { by: approval.by.who(), time: approval.time }),
        };
        let resource = match &self.resource {
            Thing::Tool(tool) => Target::Tool {
                server: &tool.server,
                name: &tool.name,
                version: tool.version.as_deref(),
                classification: &tool.classification,
                restricted_fields: strs(&tool.restricted_fields),
            },
            Thing::Resource(resource) => Target::Resource {
                uri: &resource.uri,
                kind: resource.r#type.as_deref(),
                classification: &resource.classification,
                restricted_fields: strs(&resource.restricted_fields),
            },
        };
        Request { principal: self.principal.who(), action: &self.action, resource, context }
    }
}

impl<'a> From<&Who<'a>> for Party<'a> {
    fn from(who: &Who<'a>) -> Self {
        Party {
            environments: cows(&who.environments),
            id: who.id.into(),
            owner: who.owner.map(Cow::from),
            sponsor: who.sponsor.map(Cow::from),
            r#type: who.kind,
            vendor: who.vendor.map(Cow::from),
        }
    }
}

impl Party<'_> {
    fn who(&self) -> Who<'_> {
        Who {
            kind: self.r#type,
            id: &self.id,
            owner: self.owner.as_deref(),
            sponsor: self.sponsor.as_deref(),
            vendor: self.vendor.as_deref(),
            environments: strs(&self.environments),
        }
    }
}

fn cows<'a>(texts: &[&'a str]) -> Vec<Cow<'a, str>> {
    texts.iter().map(|text| Cow::Borrowed(*text)).collect()
}

fn strs<'s>(texts: &'s [Cow<'_, str>]) -> Vec<&'s str> {
    texts.iter().map(|text| &**text).collect()
}
