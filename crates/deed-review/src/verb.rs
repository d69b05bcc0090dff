//! What an operation does to what it acts upon, as far as its name tells.

use deed_record::{Change, Effect, Kind, Skeleton, StepType};

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
            "clone",
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
            "alter",
            "apply",
            "associate",
            "attach",
            "authorize",
            "change",
            "close",
            "deploy",
            "disable",
            "disassociate",
            "edit",
            "enable",
            "merge",
            "migrate",
            "modify",
            "move",
            "patch",
            "promote",
            "put",
            "reboot",
            "rename",
            "replace",
            "resize",
            "restart",
            "restore",
            "rollback",
            "rotate",
            "scale",
            "set",
            "stop",
            "tag",
            "update",
            "write",
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
const EITHER: &[&str] = &["close", "open", "run", "start", "stop"];

/// What is changed by whatever runs, starts or stops it: `RunInstances`, `StopDBCluster`.
const RUNNING: &[&str] =
    &["cluster", "container", "containers", "db", "instance", "instances", "service", "task", "tasks"];

impl Verb {
    /// By the first word of the tool's name, else of the operation's own, else by that of the permission.
    pub(crate) fn of(record: &Skeleton<'_>) -> Option<Self> {
        known(record).map(|(verb, ..)| verb)
    }
}

/// Whether what `record` tells of changes what it acts upon; `None` where nothing tells.
pub(crate) fn changes(record: &Skeleton<'_>) -> Option<bool> {
    match record.step_type {
        Some(StepType::Rollback) => return Some(true),
        Some(StepType::Reasoning | StepType::DataRead | StepType::PolicyCheck) => return Some(false),
        _ => {}
    }
    if is_upkeep(record) {
        return Some(false);
    }
    // Whoever is given a session changes nothing: what a credential is issued by may, such as `CreateAccessKey`.
    let issues = |effect: &Effect<'_>| {
        let change = effect.terms.as_ref().and_then(|terms| terms.change);
        effect.kind == Kind::Credential && matches!(change, Some(Change::Issued | Change::Renewed))
    };
    let effects = record.effects.iter().flatten().any(|effect| !issues(effect));
    if effects || record.artifact.is_some() {
        return Some(true);
    }
    let (verb, word, next) = known(record)?;
    let told = !EITHER.contains(&word) || RUNNING.contains(&&*next);
    told.then_some(verb != Verb::Read)
}

/// Whether a cluster is asked something, or keeps itself alive, by what it calls the writing of an object: a review, an
/// event, a lease, the status of a node, a short-lived token.
fn is_upkeep(record: &Skeleton<'_>) -> bool {
    let system = record.source.as_ref().map_or("", |source| &*source.system);
    let kind = record.operation.as_deref().and_then(|operation| operation.split_once(' '));
    let Some((_, kind)) = kind.filter(|_| system.split(':').next() == Some("kubernetes")) else {
        return false;
    };
    let (whole, part) = kind.split_once('/').map_or((kind, ""), |(whole, part)| (whole, part));
    let name = whole.split('.').next().unwrap_or(whole);
    name.ends_with("reviews")
        || matches!(
            (name, part),
            ("events" | "leases", _) | ("nodes", "status") | ("serviceaccounts", "token")
        )
}

/// The first of the names that begins with a known word, that word and the next one.
fn known(record: &Skeleton<'_>) -> Option<(Verb, &'static str, String)> {
    let names =
        [record.tool.as_ref().map(|tool| &*tool.name), last(&record.operation), last(&record.permission)];
    names.into_iter().flatten().find_map(|name| {
        let (first, rest) = first_word(name);
        let next = first_word(rest.trim_start_matches(|c: char| !c.is_alphabetic())).0;
        VERBS.iter().find_map(|(verb, words)| {
            words.iter().find(|word| ***word == *first).map(|word| (*verb, *word, next.clone()))
        })
    })
}

/// Where the verb of `s3:DeleteBucket`, `repo.create` or `create pods/exec` begins.
fn last<'t>(name: &'t Option<deed_record::Text<'_>>) -> Option<&'t str> {
    let name = name.as_deref()?.split(' ').next()?;
    name.rsplit(['/', '.', ':']).next()
}

/// The first word of `deleteUser`, `delete_user`, `Delete user` or `DBCluster`, in lower case, and what follows it.
fn first_word(name: &str) -> (String, &str) {
    let after = |at: usize| name.get(at..).and_then(|rest| rest.chars().next());
    let mut before = None;
    for (at, c) in name.char_indices() {
        let next = after(at + c.len_utf8());
        let hump = c.is_uppercase()
            && before.is_some_and(|before: char| {
                before.is_lowercase() || before.is_uppercase() && next.is_some_and(char::is_lowercase)
            });
        if !c.is_alphabetic() || hump {
            let (word, rest) = name.split_at(at);
            return (word.to_lowercase(), rest);
        }
        before = Some(c);
    }
    (name.to_lowercase(), "")
}
