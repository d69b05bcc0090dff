//! What an operation does to what it acts upon, as far as its name tells.

use deed_record::{Skeleton, StepType};

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Read,
    Create,
    Update,
    Delete,
}

/// Words that operations begin with, and what they do.
const VERBS: [(Verb, &[&str]); 4] = [
    (
        Verb::Read,
        &[
            "check",
            "describe",
            "download",
            "export",
            "fetch",
            "find",
            "get",
            "head",
            "list",
            "lookup",
            "query",
            "read",
            "retrieval",
            "scan",
            "search",
            "select",
            "show",
            "view",
            "watch",
        ],
    ),
    (
        Verb::Create,
        &[
            "add", "copy", "create", "generate", "import", "insert", "issue", "launch", "new", "open",
            "register", "release", "run", "start", "upload",
        ],
    ),
    (
        Verb::Update,
        &[
            "alter", "apply", "attach", "change", "close", "deploy", "disable", "edit", "enable", "merge",
            "migrate", "modify", "move", "patch", "put", "rename", "replace", "restore", "rollback",
            "rotate", "set", "tag", "update", "write",
        ],
    ),
    (
        Verb::Delete,
        &[
            "delete",
            "deregister",
            "destroy",
            "detach",
            "drop",
            "erase",
            "purge",
            "remove",
            "revoke",
            "terminate",
            "truncate",
            "wipe",
        ],
    ),
];

/// Of those the words that say as well of what changes nothing: `run query`, `open file`.
const EITHER: &[&str] = &["close", "open", "run", "start"];

impl Verb {
    /// By the first word of the tool's name, else of the operation's own, else by that of the permission.
    pub(crate) fn of(record: &Skeleton<'_>) -> Option<Self> {
        known(record).map(|(verb, _)| verb)
    }
}

/// Whether what `record` tells of changes what it acts upon; `None` where nothing tells.
pub(crate) fn changes(record: &Skeleton<'_>) -> Option<bool> {
    if record.effects.as_ref().is_some_and(|effects| !effects.is_empty()) || record.artifact.is_some() {
        return Some(true);
    }
    match record.step_type {
        Some(StepType::Rollback) => return Some(true),
        Some(StepType::Reasoning | StepType::DataRead | StepType::PolicyCheck) => return Some(false),
        _ => {}
    }
    let (verb, word) = known(record)?;
    (!EITHER.contains(&word)).then_some(verb != Verb::Read)
}

/// The first of the names that begins with a known word.
fn known(record: &Skeleton<'_>) -> Option<(Verb, &'static str)> {
    let names =
        [record.tool.as_ref().map(|tool| &*tool.name), last(&record.operation), last(&record.permission)];
    names.into_iter().flatten().find_map(|name| {
        let first = first_word(name);
        VERBS
            .iter()
            .find_map(|(verb, words)| words.iter().find(|word| ***word == *first).map(|word| (*verb, *word)))
    })
}

/// Where the verb of `s3:DeleteBucket`, `repo.create` or `create pods/exec` begins.
fn last<'t>(name: &'t Option<deed_record::Text<'_>>) -> Option<&'t str> {
    let name = name.as_deref()?.split(' ').next()?;
    name.rsplit(['/', '.', ':']).next()
}

/// The first word of `deleteUser`, `delete_user`, `Delete user`, in lower case.
fn first_word(name: &str) -> String {
    let mut word = String::new();
    let mut before = None;
    for c in name.chars() {
        let hump = c.is_uppercase() && before.is_some_and(char::is_lowercase);
        if !c.is_alphabetic() || hump {
            break;
        }
        word.extend(c.to_lowercase());
        before = Some(c);
    }
    word
}
