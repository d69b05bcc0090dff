//! What several parts of an answer name: tools, resources, people.

use deed_record::{Account, PrincipalType};
use serde::{Deserialize, Serialize};

/// A tool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Tool {
    /// The server that offers it.
    pub server: Option<String>,
    /// Its name on its server.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// Digest of its definition.
    pub digest: Option<String>,
}

/// A resource.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resource {
    /// Its name.
    pub uri: String,
    /// `table`, `ticket`, `bucket`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// `public`, `internal`, `restricted`, …
    pub classification: Option<String>,
}

/// A released artifact.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Artifact {
    /// Its name.
    pub name: String,
    /// Its digest.
    pub digest: Option<String>,
    /// Whose signature on it was verified.
    pub signer: Option<String>,
}

/// Another system, and its own id of the event.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Source {
    /// The system.
    pub system: String,
    /// Its id of the event.
    pub event_id: Option<String>,
    /// The collector and the version of its mapping.
    pub collector: Option<String>,
}

/// Somebody.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Who {
    /// The key as it was sent; the account where the name was erased; `null` where nobody knows.
    pub key: Option<String>,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// What people call it: the inventory, else whoever sent the record.
    pub name: Option<String>,
    /// Its key in the inventory, where one of its names there is this key.
    pub principal: Option<String>,
    /// The account, as sealed.
    pub account: Option<Account>,
    /// Which of its many.
    pub instance: Option<String>,
    /// The organisation that runs it, where it is not ours.
    pub vendor: Option<String>,
}
