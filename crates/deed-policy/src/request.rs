//! What is asked: may this one do that to this, under these circumstances?

use std::borrow::Cow;

use deed_record::{PrincipalType, Timestamp};
use serde_json::value::RawValue;

/// The classification of what nobody listed.
pub const UNCLASSIFIED: &str = "unclassified";

/// One question to a policy set.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Who acts: the executor.
    pub principal: Who<'a>,
    /// The operation: `tools/call`, `resources/read`, `prompts/get`, `run`, or another one's own name.
    ///
    /// A name that no schema declares is decided too: by the policies that do not ask for an action in their
    /// scope.
    pub action: &'a str,
    /// What is acted on.
    pub resource: Target<'a>,
    /// Everything else.
    pub context: Facts<'a>,
}

/// Somebody.
#[derive(Clone, Debug)]
pub struct Who<'a> {
    /// What they are.
    pub kind: PrincipalType,
    /// A declared alias without its type, or the stable key.
    pub id: &'a str,
    /// Who answers for them.
    pub owner: Option<&'a str>,
    /// The person on whose behalf they exist.
    pub sponsor: Option<&'a str>,
    /// Whose they are, if not our own.
    pub vendor: Option<&'a str>,
    /// Where they are meant to be active.
    pub environments: Vec<&'a str>,
}

/// What is acted on.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// A tool of a server.
    Tool {
        /// The server.
        server: &'a str,
        /// The tool.
        name: &'a str,
        /// Its version.
        version: Option<&'a str>,
        /// How sensitive it is.
        classification: &'a str,
        /// Fields that need a reason to be seen.
        restricted_fields: Vec<&'a str>,
    },
    /// Anything with a URI.
    Resource {
        /// The URI.
        uri: &'a str,
        /// What it is, such as `table`.
        kind: Option<&'a str>,
        /// How sensitive it is.
        classification: &'a str,
        /// Fields that need a reason to be seen.
        restricted_fields: Vec<&'a str>,
    },
}

/// The circumstances.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Who asked for it.
    pub initiator: Option<Who<'a>>,
    /// How many stand between who asked and who acts.
    pub chain_depth: u32,
    /// The arguments, exactly as they were sent; an object.
    pub arguments: Option<&'a RawValue>,
    /// How sensitive what is touched is; [`UNCLASSIFIED`] where nobody said.
    pub classification: &'a str,
    /// Where it happens.
    pub environment: Option<&'a str>,
    /// Whose it is.
    pub tenant: &'a str,
    /// When. Policies see milliseconds.
    pub time: Timestamp,
    /// The task it is a part of.
    pub task: Option<&'a str>,
    /// What was shown.
    pub credential: Option<CredentialFacts<'a>>,
    /// Somebody who approved exactly this. Whoever asks has checked that: with it, forbids that carry
    /// `@effect("step_up")` no longer count.
    pub approval: Option<ApprovalFacts<'a>>,
}

/// What a policy may know of a credential.
#[derive(Clone, Debug, Default)]
pub struct CredentialFacts<'a> {
    /// What it is good for.
    pub scopes: Vec<&'a str>,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// How long ago it was issued.
    pub age_seconds: Option<i64>,
    /// Whether it came from another one.
    pub delegated: bool,
}

/// What a policy may know of an approval.
#[derive(Clone, Debug)]
pub struct ApprovalFacts<'a> {
    /// Who approved.
    pub by: Who<'a>,
    /// When.
    pub time: Timestamp,
}

impl<'a> Who<'a> {
    /// Somebody of whom no more is known.
    pub fn new(kind: PrincipalType, id: &'a str) -> Self {
        Who { kind, id, owner: None, sponsor: None, vendor: None, environments: Vec::new() }
    }
}

impl<'a> Target<'a> {
    /// A tool of which no more is known.
    pub fn tool(server: &'a str, name: &'a str) -> Self {
        let classification = UNCLASSIFIED;
        Target::Tool { server, name, version: None, classification, restricted_fields: Vec::new() }
    }

    /// A resource of which no more is known.
    pub fn resource(uri: &'a str) -> Self {
        Target::Resource { uri, kind: None, classification: UNCLASSIFIED, restricted_fields: Vec::new() }
    }

    /// The id that policies use: `server/name`, or the URI.
    pub fn id(&self) -> Cow<'a, str> {
        match self {
            Target::Tool { server, name, .. } => Cow::Owned(format!("{server}/{name}")),
            Target::Resource { uri, .. } => Cow::Borrowed(uri),
        }
    }
}

impl Facts<'_> {
    /// Nothing but a time, in the tenant `default`.
    pub fn at(time: Timestamp) -> Self {
        Facts {
            initiator: None,
            chain_depth: 0,
            arguments: None,
            classification: UNCLASSIFIED,
            environment: None,
            tenant: "default",
            time,
            task: None,
            credential: None,
            approval: None,
        }
    }
}
