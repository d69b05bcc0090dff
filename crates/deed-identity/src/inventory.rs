//! The inventory, checked and ready to be asked.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use deed_record::{PrincipalType, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{file, pattern::Pattern, window::ChangeWindow};

/// The inventory's file in a data directory.
pub const FILE: &str = "inventory.toml";

/// The classification of what nobody listed.
pub const UNCLASSIFIED: &str = "unclassified";

/// `name` with our own word for what AuthZEN calls a user: `user:ann` is `human:ann`.
pub fn principal_name(name: &str) -> Cow<'_, str> {
    match name.strip_prefix("user:") {
        Some(user) => Cow::Owned(format!("human:{user}")),
        None => Cow::Borrowed(name),
    }
}

/// What `inventory.toml` says. Without the file, the default: nothing.
#[derive(Clone, Debug)]
pub struct Inventory {
    principals: Vec<Principal>,
    /// From every key and alias to the place in `principals`.
    by_name: HashMap<String, usize>,
    /// From exact URIs to the place in `resources`.
    by_uri: HashMap<String, usize>,
    /// The most particular pattern first.
    resources: Vec<Resource>,
    sources: BTreeMap<String, Source>,
    /// Whether any resource is controlled.
    controls: bool,
    /// Whether anybody's clearance is bounded, so that it matters how something is classified.
    clears: bool,
    digest: String,
}

/// `[[principal]]`: somebody, with all their names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Principal {
    /// The stable key; where none was given, the first alias.
    pub key: String,
    /// What they are; never `unknown`.
    pub kind: PrincipalType,
    /// What people call them.
    pub name: Option<String>,
    /// What systems call them, such as `agent:release-bot` or `spiffe://acme/release`.
    pub aliases: Vec<String>,
    /// Who answers for them.
    pub owner: Option<String>,
    /// The person on whose behalf they exist.
    pub sponsor: Option<String>,
    /// Whose they are, if not our own: marks partner activity, whatever the type.
    pub vendor: Option<String>,
    /// Where they are meant to be active.
    pub environments: Vec<String>,
    /// Groups it is in: those that `@approver("group")` of a policy names.
    pub groups: Vec<String>,
    /// Names that are not theirs, although evidence may say so: takes a learned join back.
    pub not_same: Vec<String>,
    /// Whether all that it does is to come through Deed: what another system logs of it without an intent went past.
    pub governed: bool,
    /// What a third party was engaged for (I8).
    pub contract: Option<Contract>,
    /// Classifications of what they may act upon, and see; anything, where nobody said.
    pub clearance: Vec<String>,
}

/// `contract = { … }` of a principal: the boundary within which somebody from outside may act.
///
/// Each list holds texts, or texts that end in `*` and cover whatever begins like them; an empty one bounds nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Contract {
    /// Permissions it may use.
    pub scopes: Vec<String>,
    /// URIs of resources it may act upon.
    pub resources: Vec<String>,
    /// The first moment at which it is over.
    pub until: Option<Timestamp>,
}

/// `[[resource]]`: something that is acted on, and how careful to be with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resource {
    pattern: Pattern,
    /// What it is, such as `table`.
    pub kind: Option<String>,
    /// How sensitive it is; [`UNCLASSIFIED`] where nothing was said.
    pub classification: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Fields that need a reason to be seen.
    pub restricted_fields: Vec<String>,
    /// Who may approve what is done to it, by key or alias; empty where nobody said.
    pub approvers: Vec<String>,
    /// When it may be changed; at any time, where nobody said.
    pub change_windows: Vec<ChangeWindow>,
}

/// `[[source]]`: a system whose log is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The system, such as `cloudtrail:111122223333`.
    pub system: String,
    /// What its silence proves.
    pub complete_for: Vec<Coverage>,
}

/// What the log of a source is complete for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Whatever is done there is in its log.
    Actions,
    /// Whatever right is given there is in its log.
    Grants,
    /// Whatever request is answered there is in its log.
    Approvals,
}

/// Why the inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// The file cannot be read.
    #[error("failed to read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something in it is wrong.
    #[error("`{path}`, line {line}: {message}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what was expected.
        message: String,
    },
}

impl Inventory {
    /// Reads `inventory.toml` in `dir`; the default where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or holds what is not known or not allowed.
    pub fn load(dir: &Path) -> Result<Self, InventoryError> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => file::read(&text).map_err(|(line, message)| wrong(path, line, message)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Inventory::default()),
            Err(source) => Err(InventoryError::Io { path, source }),
        }
    }

    /// Reads the text of an inventory.
    ///
    /// # Errors
    /// It holds what is not known or not allowed; names the line.
    pub fn parse(text: &str) -> Result<Self, InventoryError> {
        file::read(text).map_err(|(line, message)| wrong(PathBuf::from(FILE), line, message))
    }

    /// `sha256:` and the SHA-256 of the file's text, in hex. The empty inventory's is that of no text.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The same of a text, whether or not it is an inventory.
    pub fn digest_of(text: &str) -> String {
        digest(text)
    }

    /// Who goes by that key or alias, whichever word it has for a human (see [`principal_name`]).
    pub fn principal(&self, alias: &str) -> Option<&Principal> {
        let at = self.by_name.get(alias).or_else(|| self.by_name.get(&*principal_name(alias)));
        at.map(|at| &self.principals[*at])
    }

    /// What is said about a resource: by its very URI, else by the pattern that covers it with the longest
    /// literal prefix. In a pattern, each `*` stands for any characters, none and `/` among them.
    pub fn resource(&self, uri: &str) -> Option<&Resource> {
        match self.by_uri.get(uri) {
            Some(at) => Some(&self.resources[*at]),
            None => self.resources.iter().find(|resource| resource.pattern.covers(uri)),
        }
    }

    /// The same, where something follows from it for actions: it is said who may approve what is done to it, when it may be
    /// changed, or what of it is restricted; or how it is classified, and somebody's clearance is bounded.
    pub fn controlled(&self, uri: &str) -> Option<&Resource> {
        // Most inventories say nothing of the kind.
        let matters = |resource: &&Resource| {
            resource.is_controlled() || self.clears && resource.classification != UNCLASSIFIED
        };
        (self.controls || self.clears).then(|| self.resource(uri)).flatten().filter(matters)
    }

    /// What is said about a source.
    pub fn source(&self, system: &str) -> Option<&Source> {
        self.sources.get(system)
    }

    /// Everybody, in the order of the file.
    pub fn principals(&self) -> &[Principal] {
        &self.principals
    }

    /// Everything, the most particular pattern first.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Every source, by name.
    pub fn sources(&self) -> impl Iterator<Item = &Source> {
        self.sources.values()
    }

    /// Puts together what was checked: no name stands twice, no pattern and no system either.
    pub(crate) fn new(
        text: &str,
        principals: Vec<Principal>,
        mut resources: Vec<Resource>,
        sources: BTreeMap<String, Source>,
    ) -> Self {
        let mut by_name = HashMap::new();
        for (at, principal) in principals.iter().enumerate() {
            by_name.insert(principal.key.clone(), at);
            by_name.extend(principal.aliases.iter().map(|alias| (alias.clone(), at)));
        }
        // What somebody is called in so many words goes before what they are called in others.
        for (at, principal) in principals.iter().enumerate() {
            for name in std::iter::once(&principal.key).chain(&principal.aliases) {
                by_name.entry(principal_name(name).into_owned()).or_insert(at);
            }
        }
        // Stable: of two that say as much, the first in the file.
        resources.sort_by(|a, b| b.pattern.compare(&a.pattern));
        let by_uri = resources
            .iter()
            .enumerate()
            .filter(|(_, resource)| !resource.matches().contains('*'))
            .map(|(at, resource)| (resource.matches().to_owned(), at))
            .collect();
        let controls = resources.iter().any(Resource::is_controlled);
        let clears = principals.iter().any(|principal| !principal.clearance.is_empty());
        Inventory { principals, by_name, by_uri, resources, sources, controls, clears, digest: digest(text) }
    }
}

impl Default for Inventory {
    fn default() -> Self {
        Inventory::new("", Vec::new(), Vec::new(), BTreeMap::new())
    }
}

impl Principal {
    /// The name that policies use: the first alias of the form `type:name` for its type, without the type;
    /// else the key.
    pub fn policy_name(&self) -> &str {
        let of_type = |alias: &'_ String| -> Option<usize> {
            let name = alias.strip_prefix(self.kind.as_str())?.strip_prefix(':')?;
            (!name.is_empty()).then_some(alias.len() - name.len())
        };
        self.aliases.iter().find_map(|alias| of_type(alias).map(|start| &alias[start..])).unwrap_or(&self.key)
    }
}

impl Resource {
    /// The URI or pattern, as written.
    pub fn matches(&self) -> &str {
        self.pattern.as_str()
    }

    pub(crate) fn new(
        pattern: String,
        kind: Option<String>,
        classification: Option<String>,
        owner: Option<String>,
        restricted_fields: Vec<String>,
    ) -> Self {
        let classification = classification.unwrap_or_else(|| UNCLASSIFIED.to_owned());
        Resource {
            pattern: Pattern::new(pattern),
            kind,
            classification,
            owner,
            restricted_fields,
            approvers: Vec::new(),
            change_windows: Vec::new(),
        }
    }

    pub(crate) fn controlled_by(self, approvers: Vec<String>, change_windows: Vec<ChangeWindow>) -> Self {
        Resource { approvers, change_windows, ..self }
    }

    fn is_controlled(&self) -> bool {
        !self.approvers.is_empty() || !self.change_windows.is_empty() || !self.restricted_fields.is_empty()
    }
}

fn wrong(path: PathBuf, line: usize, message: String) -> InventoryError {
    InventoryError::Wrong { path, line, message }
}

fn digest(text: &str) -> String {
    let mut out = String::from("sha256:");
    for byte in Sha256::digest(text.as_bytes()) {
        for digit in [byte >> 4, byte & 15] {
            out.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    out
}
