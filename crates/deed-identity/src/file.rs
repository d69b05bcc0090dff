//! The text of an inventory, read strictly.

use std::collections::BTreeMap;

use deed_record::{PrincipalType, Timestamp, without_path};
use serde::Deserialize;
use toml::{Spanned, value::Datetime};

use crate::{
    inventory::{Contract, Coverage, Inventory, Principal, Resource, Source},
    window::ChangeWindow,
};

/// Reads an inventory, or says on which line, from 1, what is wrong.
pub(crate) fn read(text: &str) -> Result<Inventory, (usize, String)> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let file: File = toml::from_str(text)
        .map_err(|error| (error.span().map_or(1, |span| line_of(span.start)), error.message().to_owned()))?;
    file.check(text).map_err(|(at, message)| (line_of(at), message))
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct File {
    principal: Vec<Spanned<PrincipalTable>>,
    resource: Vec<Spanned<ResourceTable>>,
    source: Vec<Spanned<SourceTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrincipalTable {
    key: Option<Spanned<String>>,
    r#type: Spanned<PrincipalType>,
    name: Option<Spanned<String>>,
    #[serde(default)]
    aliases: Vec<Spanned<String>>,
    owner: Option<Spanned<String>>,
    sponsor: Option<Spanned<String>>,
    vendor: Option<Spanned<String>>,
    #[serde(default)]
    environments: Vec<Spanned<String>>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
    #[serde(default)]
    not_same: Vec<Spanned<String>>,
    #[serde(default)]
    governed: bool,
    contract: Option<ContractTable>,
    clearance: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ContractTable {
    #[serde(default)]
    scopes: Vec<Spanned<String>>,
    #[serde(default)]
    resources: Vec<Spanned<String>>,
    until: Option<Spanned<Datetime>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResourceTable {
    r#match: Spanned<String>,
    r#type: Option<Spanned<String>>,
    classification: Option<Spanned<String>>,
    owner: Option<Spanned<String>>,
    #[serde(default)]
    restricted_fields: Vec<Spanned<String>>,
    approvers: Option<Spanned<Vec<Spanned<String>>>>,
    change_windows: Option<Spanned<Vec<Spanned<String>>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    system: Spanned<String>,
    #[serde(default)]
    complete_for: Vec<Coverage>,
}

/// Where in the file, in bytes, and what is wrong there.
type Wrong = (usize, String);

impl File {
    fn check(self, text: &str) -> Result<Inventory, Wrong> {
        let mut principals: Vec<Principal> = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for table in self.principal {
            let at = table.span().start;
            let (principal, its_names) = table.into_inner().check(at)?;
            for (name, at) in its_names {
                match names.get(&name) {
                    // Its own key may be one of its aliases.
                    Some(other) if *other == principals.len() => {}
                    Some(other) => {
                        let (one, other) = (&principal.key, &principals[*other].key);
                        let message = if one == other {
                            format!("`{name}` is in two tables")
                        } else {
                            format!("`{name}` stands for both `{other}` and `{one}`")
                        };
                        return Err((at, message));
                    }
                    None => {
                        names.insert(name, principals.len());
                    }
                }
            }
            principals.push(principal);
        }
        for (at, principal) in principals.iter_mut().enumerate() {
            // Records have names of IAM without their path.
            let all = std::iter::once(&principal.key).chain(&principal.aliases);
            let also: Vec<String> = all.filter_map(|name| without_path(name)).collect();
            let free = also.into_iter().filter(|name| *names.entry(name.clone()).or_insert(at) == at);
            for name in free.collect::<Vec<_>>() {
                if !principal.aliases.contains(&name) {
                    principal.aliases.push(name);
                }
            }
        }
        let mut resources: Vec<Resource> = Vec::new();
        for table in self.resource {
            let (at, resource) = table.into_inner().check()?;
            if resources.iter().any(|other| other.matches() == resource.matches()) {
                return Err((at, format!("there is another resource `{}`", resource.matches())));
            }
            resources.push(resource);
        }
        let mut sources = BTreeMap::new();
        for table in self.source {
            let SourceTable { system, complete_for } = table.into_inner();
            let at = system.span().start;
            let system = word("the system of a source", system)?;
            let source = Source { system: system.clone(), complete_for };
            if sources.insert(system.clone(), source).is_some() {
                return Err((at, format!("there is another source `{system}`")));
            }
        }
        Ok(Inventory::new(text, principals, resources, sources))
    }
}

impl PrincipalTable {
    /// The principal, and its names with their places.
    fn check(self, at: usize) -> Result<(Principal, Vec<(String, usize)>), Wrong> {
        let kind = *self.r#type.get_ref();
        if kind == PrincipalType::Unknown {
            let expected = "expected `human`, `agent`, `workload`, `service_account` or `third_party`";
            return Err((self.r#type.span().start, format!("the type of a principal: {expected}")));
        }
        let mut names = Vec::new();
        let mut named = |what: &str, text: Spanned<String>| -> Result<String, Wrong> {
            let at = text.span().start;
            let text = word(what, text)?;
            names.push((text.clone(), at));
            Ok(text)
        };
        let key = self.key.map(|key| named("a key", key)).transpose()?;
        let mut aliases: Vec<String> = Vec::new();
        for alias in self.aliases {
            let at = alias.span().start;
            let alias = named("an alias", alias)?;
            if !alias.split_once(':').is_some_and(|(system, name)| !system.is_empty() && !name.is_empty()) {
                let expected = "expected a system and a name such as `agent:release-bot`";
                return Err((at, format!("{expected}, found `{alias}`")));
            }
            if aliases.contains(&alias) {
                return Err((at, format!("the alias `{alias}` stands twice in this list")));
            }
            aliases.push(alias);
        }
        let Some(key) = key.or_else(|| aliases.first().cloned()) else {
            return Err((at, "a principal needs a `key` or one of `aliases`".to_owned()));
        };
        let mut not_same = Vec::new();
        for name in self.not_same {
            let at = name.span().start;
            let name = word("a name in `not_same`", name)?;
            if name == key || aliases.contains(&name) {
                return Err((at, format!("`{name}` is one of its own names: it cannot be somebody else")));
            }
            not_same.push(name);
        }
        let principal = Principal {
            key,
            kind,
            name: line("a name", self.name)?,
            aliases,
            owner: line("an owner", self.owner)?,
            sponsor: line("a sponsor", self.sponsor)?,
            vendor: line("a vendor", self.vendor)?,
            environments: words("an environment", self.environments)?,
            groups: words("a group", self.groups)?,
            not_same,
            governed: self.governed,
            contract: self.contract.map(ContractTable::check).transpose()?,
            clearance: words("a clearance", some("`clearance`", self.clearance)?)?,
        };
        Ok((principal, names))
    }
}

impl ContractTable {
    fn check(self) -> Result<Contract, Wrong> {
        let until = self.until.map(|until| {
            let (at, text) = (until.span().start, until.into_inner().to_string());
            let expected =
                "the end of a contract: expected a time with an offset such as 2027-01-01T00:00:00Z";
            text.parse::<Timestamp>().map_err(|_| (at, format!("{expected}, found `{text}`")))
        });
        Ok(Contract {
            scopes: words("a scope of a contract", self.scopes)?,
            resources: words("a resource of a contract", self.resources)?,
            until: until.transpose()?,
        })
    }
}

impl ResourceTable {
    fn check(self) -> Result<(usize, Resource), Wrong> {
        let at = self.r#match.span().start;
        let pattern = word("a match", self.r#match)?;
        let classification = self.classification.map(|text| word("a classification", text)).transpose()?;
        let kind = self.r#type.map(|text| word("the type of a resource", text)).transpose()?;
        let owner = line("an owner", self.owner)?;
        let fields = words("a restricted field", self.restricted_fields)?;
        let resource = Resource::new(pattern, kind, classification, owner, fields);
        let approvers = words("an approver", some("`approvers`", self.approvers)?)?;
        let windows = some("`change_windows`", self.change_windows)?.into_iter().map(|window| {
            let at = window.span().start;
            let window = window.into_inner();
            ChangeWindow::parse(&window)
                .map_err(|why| (at, format!("a change window: {why}, found `{}`", window.escape_debug())))
        });
        let change_windows = windows.collect::<Result<_, _>>()?;
        Ok((at, resource.controlled_by(approvers, change_windows)))
    }
}

/// A list that says something: an empty one could mean `nobody`, or that nothing is known.
fn some(what: &str, list: Option<Spanned<Vec<Spanned<String>>>>) -> Result<Vec<Spanned<String>>, Wrong> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let at = list.span().start;
    if list.get_ref().is_empty() {
        return Err((at, format!("{what}: expected one at least; leave it out where nothing is to be said")));
    }
    Ok(list.into_inner())
}

/// A text without spaces, or what is wrong with it.
fn word(what: &str, text: Spanned<String>) -> Result<String, Wrong> {
    let found = text.get_ref();
    let plain = !found.is_empty() && !found.chars().any(|c| c.is_whitespace() || c.is_control());
    if plain { Ok(text.into_inner()) } else { Err(refused(what, "without spaces", &text)) }
}

fn words(what: &str, texts: Vec<Spanned<String>>) -> Result<Vec<String>, Wrong> {
    texts.into_iter().map(|text| word(what, text)).collect()
}

/// A text of one line that is not empty, or what is wrong with it.
fn line(what: &str, text: Option<Spanned<String>>) -> Result<Option<String>, Wrong> {
    let Some(text) = text else { return Ok(None) };
    let plain = !text.get_ref().trim().is_empty() && !text.get_ref().chars().any(char::is_control);
    if plain { Ok(Some(text.into_inner())) } else { Err(refused(what, "of one line", &text)) }
}

fn refused(what: &str, form: &str, text: &Spanned<String>) -> Wrong {
    let found = text.get_ref().escape_debug();
    (text.span().start, format!("{what}: expected a text {form}, found `{found}`"))
}
