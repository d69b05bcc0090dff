//! A policy set: parsed, validated and immutable.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt, fs,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use cedar_policy::EntityUid;
use sha2::{Digest, Sha256};

use crate::{
    annotations::Meaning,
    arguments::folded,
    decide,
    decided::{Decided, ReplayError},
    engine::{Engine, Opinion},
    nesting,
    problem::{LoadError, Place, Problem},
    read::{self, EXTENSION},
    request::Request,
    schema, secrets,
    seen::Seen,
    types::{Fields, Ty},
    vocabulary::Mentions,
};

/// The engine that decides, as records name it.
pub const ENGINE: &str = "cedar-policy/4.14.1";

/// The id of the only policy of the starter set.
const STARTER: &str = "starter";

/// Largest policy file.
const MOST_BYTES: u64 = 1 << 20;

/// Policies in force together. Immutable; a clone is the same set, and any number of threads may ask it.
#[derive(Clone)]
pub struct PolicySet(Arc<Inner>);

struct Inner {
    files: BTreeMap<String, String>,
    digest: String,
    starter: bool,
    known: HashMap<String, Known>,
    actions: Actions,
    /// The tools that its policies name, by what their names are to those to whom letter case is nothing.
    tools: OnceLock<HashMap<String, Vec<String>>>,
    /// One engine for every thread, as far as they go; parsed when its first thread comes.
    engines: [OnceLock<Result<Engine, String>>; ENGINES],
}

/// What is known of a policy besides its text.
pub(crate) struct Known {
    pub(crate) meaning: Meaning,
    pub(crate) arguments: Fields,
    pub(crate) mentions: Mentions,
}

/// Each declared action with the groups it is in.
pub(crate) type Actions = BTreeMap<String, Vec<EntityUid>>;

/// More threads than these share engines.
const ENGINES: usize = 16;

impl PolicySet {
    /// The built-in set that is in force until one is published: everything allowed, by the policy `starter`.
    pub fn starter() -> PolicySet {
        static STARTER_SET: OnceLock<PolicySet> = OnceLock::new();
        let files =
            || BTreeMap::from([("starter.cedar".to_owned(), include_str!("starter.cedar").to_owned())]);
        let made = STARTER_SET.get_or_init(|| match PolicySet::new(files(), true) {
            Ok(set) => set,
            // A test loads it. Should it ever fail, nothing is allowed: fail closed.
            Err(_) => PolicySet::nothing(files()),
        });
        made.clone()
    }

    /// Reads a policy folder: all its `*.cedar`, and `schema.cedarschema` where there is one. Other files, and
    /// folders in it, are not looked at.
    ///
    /// # Errors
    /// Every problem that was found, with its place. A policy set is valid as a whole or not at all.
    pub fn load(dir: &Path) -> Result<PolicySet, LoadError> {
        let mut problems = Vec::new();
        let mut files = BTreeMap::new();
        for (name, text) in read_folder(dir)? {
            match text {
                Ok(text) => {
                    files.insert(name, text);
                }
                Err(message) => problems.push(Place { file: &name, text: "" }.problem(0, None, message)),
            }
        }
        if !problems.is_empty() {
            return Err(LoadError { problems });
        }
        let set = PolicySet::of_files(files)?;
        set.without_secrets()?;
        Ok(set)
    }

    /// Whether it can be recorded as it is: no record keeps a secret (INVARIANT D9), and a set without a piece of it
    /// is another set. What is in the log already is not asked again, so that nothing stops it from deciding.
    ///
    /// # Errors
    /// The first place in each file where something looks like a secret.
    pub fn without_secrets(&self) -> Result<(), LoadError> {
        let found = |(file, text): (&String, &String)| {
            let at = secrets::first(file, text)?;
            let problem =
                Place { file, text }.problem(at, None, "looks like a secret, which no record may keep");
            Some(problem.with_help("a policy can do without it: compare with an id, an issuer or a digest"))
        };
        let problems: Vec<Problem> = self.files().iter().filter_map(found).collect();
        if problems.is_empty() { Ok(()) } else { Err(LoadError { problems }) }
    }

    /// The same from texts by the names of their files.
    ///
    /// # Errors
    /// Every problem that was found, with its place; a file that is neither `*.cedar` nor `schema.cedarschema`
    /// is one.
    pub fn of_files(files: BTreeMap<String, String>) -> Result<PolicySet, LoadError> {
        PolicySet::new(files, false)
    }

    /// `sha256:` and a SHA-256 in hex. It is over a fixed text that names the encoding, and then each file's name
    /// and text in the order of names; each of these is preceded by its length in bytes, in eight bytes, the
    /// highest first. What engine read them stands beside it in records.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// The texts it was made of, by the names of their files.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.0.files
    }

    /// The ids of its policies, sorted.
    pub fn policies(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.0.known.keys().map(String::as_str).collect();
        ids.sort_unstable();
        ids
    }

    /// Whether the policy `id` mentions the argument at `path`, or everything around it.
    pub fn looks_at(&self, id: &str, path: &[&str]) -> bool {
        let Some(known) = self.0.known.get(id) else { return false };
        let (mut fields, mut last) = (Some(&known.arguments), None);
        for name in path {
            last = fields.and_then(|fields| fields.get(*name));
            fields = last.and_then(|ty| match ty {
                Ty::Record(fields) => Some(fields),
                _ => None,
            });
        }
        last.is_some()
    }

    /// The tools of `server` that its policies name, `Deed::Tool::"SERVER/NAME"`, and that are called `name`, letter case aside.
    pub fn tools_alike(&self, server: &str, name: &str) -> Vec<&str> {
        let tools = self.0.tools.get_or_init(|| tools_in(&self.0.files));
        let alike = tools.get(&folded(&format!("{server}/{name}"))).into_iter().flatten();
        alike.filter_map(|tool| tool.strip_prefix(server)?.strip_prefix('/')).collect()
    }

    /// Every path that some policy masks, in order.
    pub fn masks(&self) -> Vec<String> {
        let of = |known: &Known| match &known.meaning {
            Meaning::Permit { mask, .. } => mask.clone(),
            Meaning::Forbid | Meaning::StepUp(_) => BTreeSet::new(),
        };
        self.0.known.values().flat_map(of).collect::<BTreeSet<String>>().into_iter().collect()
    }

    /// Whether it is the built-in set, so that nobody has decided anything yet.
    pub fn is_starter(&self) -> bool {
        self.0.starter
    }

    /// Decides. Never fails: what cannot be decided is denied, and says why.
    pub fn decide(&self, request: &Request<'_>) -> Decided {
        self.decide_again(request, Vec::new())
    }

    /// Whether there may be arguments with which `request` is let through, or a human asked. Conditions that look at arguments
    /// are not weighed: such a permit is taken for one that allows it, such a forbid for one that does not forbid it.
    pub fn may_allow(&self, request: &Request<'_>) -> bool {
        self.engine().as_ref().map_or(true, |engine| engine.may_allow(request))
    }

    /// Decides again what was decided before, from what that decision saw: [`Decided::seen`].
    ///
    /// # Errors
    /// It is not what a decision saw, or another policy set decided.
    pub fn replay(&self, seen: &str) -> Result<Decided, ReplayError> {
        let seen = Seen::read(seen)?;
        if seen.policy_set != self.digest() {
            let recorded = seen.policy_set.clone().into_owned();
            return Err(ReplayError::OtherPolicySet { recorded, this: self.digest().to_owned() });
        }
        Ok(self.decide_again(&seen.request(), seen.refused.clone()))
    }

    fn decide_again(&self, request: &Request<'_>, refused: Vec<String>) -> Decided {
        let opinion = match self.engine() {
            Ok(engine) => engine.ask(request, refused),
            // INVARIANT D13: without an engine there is no decision, so it is a deny.
            Err(error) => Opinion { errors: vec![error.clone()], refused, ..Opinion::default() },
        };
        decide::conclude(opinion, request, &self.0.known, self.digest(), self.is_starter())
    }

    /// The engine of this thread. All it is made of was read before, so that it can be made.
    fn engine(&self) -> &Result<Engine, String> {
        let engines = &self.0.engines;
        let own = engines[thread_number() % ENGINES].get();
        // Until it has one of its own it shares the first: nobody waits for policies to be read once more.
        own.unwrap_or_else(|| engines[0].get_or_init(|| self.0.read_again()))
    }

    /// Makes the engines of `threads` threads, so that they need share none. It takes as long as reading the set
    /// that many times: for a thread of its own.
    pub fn make_ready(&self, threads: usize) {
        for engine in self.0.engines.iter().take(threads) {
            engine.get_or_init(|| self.0.read_again());
        }
    }

    /// A set that cannot be used, for `why`: everything is denied.
    pub fn unusable(why: String) -> PolicySet {
        let set = PolicySet::nothing(BTreeMap::new());
        // INVARIANT: nobody has asked it yet.
        let _is_first = set.0.engines[0].set(Err(why)).is_ok();
        set
    }

    /// Why the set cannot be used; `None` where it can.
    pub fn problem(&self) -> Option<&str> {
        self.engine().as_ref().err().map(String::as_str)
    }

    fn new(files: BTreeMap<String, String>, starter: bool) -> Result<PolicySet, LoadError> {
        let unknown = files.keys().filter(|name| !name.ends_with(EXTENSION) && *name != schema::FILE);
        let problems: Vec<Problem> = unknown.map(|name| unexpected(name)).collect();
        if !problems.is_empty() {
            return Err(LoadError { problems });
        }
        let read = nesting::on_large_stack(|| read::policies(&files))
            .unwrap_or_else(|error| Err(vec![Place { file: "*.cedar", text: "" }.problem(0, None, error)]));
        let (policies, names) = read.map_err(|problems| LoadError { problems })?;
        let mut known = HashMap::with_capacity(policies.len());
        for authored in policies {
            let id = (authored.policy.id().as_ref() as &str).to_owned();
            let read::Authored { meaning, arguments, mentions, .. } = authored;
            known.insert(id, Known { meaning, arguments, mentions });
        }
        let digest = digest(&files);
        let starter = starter && known.contains_key(STARTER);
        let engines = [const { OnceLock::new() }; ENGINES];
        let (actions, tools) = (names.actions, OnceLock::new());
        Ok(PolicySet(Arc::new(Inner { files, digest, starter, known, actions, tools, engines })))
    }

    /// No policy: everything is denied.
    fn nothing(files: BTreeMap<String, String>) -> PolicySet {
        let (known, actions, digest) = (HashMap::new(), Actions::new(), digest(&files));
        let engines = [const { OnceLock::new() }; ENGINES];
        let tools = OnceLock::new();
        PolicySet(Arc::new(Inner { files, digest, starter: false, known, actions, tools, engines }))
    }
}

impl Inner {
    fn read_again(&self) -> Result<Engine, String> {
        let read = || {
            let mut policies = Vec::with_capacity(self.known.len());
            for (_, text) in self.files.iter().filter(|(name, _)| name.ends_with(EXTENSION)) {
                policies.extend(read::again(text).ok_or("the policies cannot be read again")?);
            }
            Engine::new(policies, &self.known, &self.actions)
        };
        nesting::on_large_stack(read)?
    }
}

impl fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicySet")
            .field("digest", &self.0.digest)
            .field("policies", &self.policies())
            .finish()
    }
}

/// The tools that policies name, as they stand in their texts.
fn tools_in(files: &BTreeMap<String, String>) -> HashMap<String, Vec<String>> {
    const NAMED: &str = "Deed::Tool::\"";
    let mut tools = HashMap::<String, Vec<String>>::new();
    for (_, text) in files.iter().filter(|(name, _)| name.ends_with(EXTENSION)) {
        for (at, _) in text.match_indices(NAMED) {
            let Some((tool, _)) = text[at + NAMED.len()..].split_once('"') else { continue };
            let alike = tools.entry(folded(tool)).or_default();
            if !alike.iter().any(|known| known == tool) {
                alike.push(tool.to_owned());
            }
        }
    }
    tools
}

fn unexpected(name: &str) -> Problem {
    let problem = Place { file: name, text: "" }.problem(0, None, "not a file of a policy set");
    problem.with_help(format!("policies are in `*{EXTENSION}`, further names in `{}`", schema::FILE))
}

/// The files of a folder that make a policy set, each with its text or why it cannot be read.
type Texts = Vec<(String, Result<String, String>)>;

fn read_folder(dir: &Path) -> Result<Texts, LoadError> {
    let folder = dir.display().to_string();
    let failed = |error: std::io::Error| {
        let place = Place { file: &folder, text: "" };
        LoadError { problems: vec![place.problem(0, None, format!("failed to read the folder: {error}"))] }
    };
    let mut texts = Texts::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = name.ends_with(EXTENSION) || name == schema::FILE;
        if wanted && !name.starts_with('.') && !path.is_dir() {
            texts.push((name, read_text(&path)));
        }
    }
    texts.sort();
    Ok(texts)
}

fn read_text(path: &Path) -> Result<String, String> {
    let length = fs::metadata(path).map_err(|error| format!("failed to read it: {error}"))?.len();
    if length > MOST_BYTES {
        return Err(format!("it has {length} bytes; {MOST_BYTES} is the most: make several files of it"));
    }
    let bytes = fs::read(path).map_err(|error| format!("failed to read it: {error}"))?;
    String::from_utf8(bytes)
        .map_err(|error| format!("byte {} is not UTF-8", error.utf8_error().valid_up_to()))
}

fn digest(files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    };
    add("deed policy set v1");
    for (name, text) in files {
        add(name);
        add(text);
    }
    let digits = hash.finalize().iter().flat_map(|byte| [byte >> 4, byte & 15]).collect::<Vec<u8>>();
    let digits = digits.into_iter().filter_map(|digit| char::from_digit(u32::from(digit), 16));
    "sha256:".chars().chain(digits).collect()
}

/// A number of this thread's own, counted from 0.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static NUMBER: Cell<Option<usize>> = const { Cell::new(None) });
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let new = NEXT.fetch_add(1, Ordering::Relaxed);
            number.set(Some(new));
            new
        })
    })
}
