//! Members that read the same in a submission and in a sealed record.
//!
//! Fields are declared in the order of their names: serialising a struct then gives canonical JSON
//! (RFC 8785) at no further cost. A test holds every struct to it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::{
    RecordId, Ruling, Status, Text, Timestamp, hex,
    object::{list, objects, small_integer},
};

macro_rules! trace_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                let wrong = || {
                    format!("expected {} lower-case hex digits, not all zero, {}", $bytes * 2, crate::error::found(text))
                };
                let bytes = hex::decode(text.as_bytes()).filter(|bytes| *bytes != [0; $bytes]);
                bytes.map($name).ok_or_else(wrong)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut text = [0; $bytes * 2];
                hex::encode(&self.0, &mut text);
                serializer.serialize_str(std::str::from_utf8(&text).unwrap_or_default())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Text::deserialize(deserializer)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

trace_id! {
    /// W3C Trace Context `trace-id`.
    TraceId, 16
}

trace_id! {
    /// W3C Trace Context `parent-id` / `span-id`.
    SpanId, 8
}

/// A credential, by anything but its secret.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Credential<'a> {
    /// When it stops being valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Digest of the secret with the name of the hash, `sha256:` and 64 hex digits where Deed made it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Text<'a>>,
    /// The issuing system's own identifier where that is no secret (an access key id).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Text<'a>>,
    /// When it was issued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    /// Who issued it (`iss`).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Text<'a>>,
    /// JWT id (RFC 7519).
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<Text<'a>>,
    /// Fingerprint, id or jti of the credential it was derived from.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Text<'a>>,
    /// Scopes it holds.
    #[serde(borrow, default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<Text<'a>>,
    /// `bearer`, `access_key`, `temporary_key`, `jwt-svid`, …
    #[serde(borrow, default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text<'a>>,
    /// What went onward in its place: id or jti of the credential that was shown to the system behind.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Text<'a>>,
}

impl Credential<'_> {
    /// Every name it goes by: fingerprint, the issuer's id, jti. What went onward is another one.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.fingerprint, &self.id, &self.jti].into_iter().flatten().map(|name| &**name)
    }
}

/// The tool that was called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Tool<'a> {
    /// Digest of its definition.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Text<'a>>,
    /// Its name on its server.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// The server that offers it.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Text<'a>>,
    /// Its version.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Text<'a>>,
}

/// What was acted upon.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Resource<'a> {
    /// `public`, `internal`, `restricted`, …
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub classification: Option<Text<'a>>,
    /// `table`, `ticket`, `bucket`, …
    #[serde(borrow, default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Text<'a>>,
    /// Its name; people in it are replaced by their account before sealing.
    #[serde(borrow)]
    pub uri: Text<'a>,
}

/// What was released (P9).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Artifact<'a> {
    /// `sha256:…`
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Text<'a>>,
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Whose signature on it was verified.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<Text<'a>>,
}

/// What a policy decided, and from what (P2).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Decision<'a> {
    /// The decision.
    pub effect: Ruling,
    /// Version of the engine that decided.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<Text<'a>>,
    /// Evaluation errors.
    #[serde(borrow, default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Text<'a>>,
    /// What must be done besides.
    #[serde(borrow, default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<Text<'a>>,
    /// Ids of the policies that determined it.
    #[serde(borrow, default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Text<'a>>,
    /// Digest of the policy set.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub policy_set: Option<Text<'a>>,
}

/// How an action ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Outcome<'a> {
    /// The system's own code: a status, an error name.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Text<'a>>,
    /// The action that this one undid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compensates: Option<RecordId>,
    /// How long it took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "small_integer")]
    pub duration_ms: Option<i64>,
    /// Restricted fields that stood in what was given out: their names, as far as somebody looked.
    #[serde(borrow, default, deserialize_with = "list", skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Text<'a>>,
    /// The action that this one tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<RecordId>,
    /// How it ended.
    pub status: Status,
}

impl Outcome<'_> {
    /// How it ended, and nothing else.
    pub const fn of(status: Status) -> Self {
        Outcome {
            code: None,
            compensates: None,
            duration_ms: None,
            fields: Vec::new(),
            retry_of: None,
            status,
        }
    }
}

/// Where an imported event comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Source<'a> {
    /// The collector and the version of its mapping, `cloudtrail/1`.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<Text<'a>>,
    /// The system's own id of the event.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event_id: Option<Text<'a>>,
    /// The system, `cloudtrail:111122223333`.
    #[serde(borrow)]
    pub system: Text<'a>,
}

/// A secret that stood in the input and does not stand in the record (D9).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct SecretSeen<'a> {
    /// Where it stood, as a dotted path.
    #[serde(borrow)]
    pub field: Text<'a>,
    /// Its fingerprint.
    #[serde(borrow)]
    pub fingerprint: Text<'a>,
}

objects! {
    Credential<'a>, Tool<'a>, Resource<'a>, Artifact<'a>, Decision<'a>, Outcome<'a>, Source<'a>, SecretSeen<'a>,
}
