//! Following the index from a credential to everything that came from it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    mem,
    ops::ControlFlow,
};

use deed_identity::{CredentialKey, State};
use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Basis, Change, Credential, Kind, RecordId, Skeleton, Status, Timestamp, TraceId};

mod call;
mod finish;
mod nameless;
mod unnamed;

use super::paths::Paths;
use crate::{evidence::LedgerEvidence, identity::nameless::given_to};
use call::Call;
use nameless::{Issue, Nameless, PASSWORD, is_password, is_set_anew};
pub(super) use unnamed::Unnamed;

/// Actions that are gathered.
const MOST_ACTIONS: usize = 1_000_000;
/// Credentials and principals that are followed.
const MOST_FOLLOWED: usize = 10_000;

/// What one credential led to.
#[derive(Default)]
pub(super) struct Gathered {
    /// The credential that was asked for is the first; the others are in the order of their names.
    pub(super) credentials: Vec<Known>,
    pub(super) made: Vec<Made>,
    pub(super) hits: Vec<Hit>,
    pub(super) changes: Vec<ChangedAt>,
    pub(super) texts: Texts,
    pub(super) cut: BTreeSet<&'static str>,
    /// What else whoever acted did, and nobody tells with what.
    pub(super) unnamed: Unnamed,
    /// Credentials that Deed itself issued or was shown.
    pub(super) at_deed: HashSet<usize>,
}

/// A credential on the way.
#[derive(Default)]
pub(super) struct Known {
    /// A password or a second factor has none: it is that of whom it was issued to.
    pub(super) names: BTreeSet<String>,
    pub(super) depth: u32,
    pub(super) parent: Option<usize>,
    pub(super) kind: Option<String>,
    pub(super) issuer: Option<String>,
    pub(super) expires: Option<Timestamp>,
    pub(super) issued: Option<(Timestamp, RecordId)>,
    /// The last word that it began, and every one that it ended.
    pub(super) begun: Option<Timestamp>,
    pub(super) ended: BTreeSet<(Timestamp, Change)>,
    /// The last word on whether Deed's own doors stop it: its issuer knows nothing of that.
    pub(super) suspended: Option<(Timestamp, bool)>,
    /// To whom it was issued, and who used it; each with a leaf that names them.
    pub(super) subjects: BTreeMap<Account, u64>,
    pub(super) users: BTreeMap<Account, u64>,
}

impl Known {
    /// Whether it is the password of an account, which ends when it is set again.
    pub(super) fn is_password(&self) -> bool {
        self.names.is_empty() && self.kind.as_deref() == Some(PASSWORD)
    }

    fn describe(&mut self, kind: Option<&str>, issuer: Option<&str>, expires: Option<Timestamp>) {
        // Whichever record comes first, what they differ in is told the same.
        let least = |old: &mut Option<String>, new: Option<&str>| {
            if let Some(new) = new
                && old.as_deref().is_none_or(|old| new < old)
            {
                *old = Some(new.to_owned());
            }
        };
        least(&mut self.kind, kind);
        least(&mut self.issuer, issuer);
        self.expires = self.expires.max(expires);
    }

    fn is_issued(&mut self, said: (Timestamp, RecordId)) {
        self.issued = Some(self.issued.map_or(said, |issued| issued.min(said)));
    }

    /// Takes in what was said of it under another name.
    fn merge(&mut self, other: Known) {
        self.describe(other.kind.as_deref(), other.issuer.as_deref(), other.expires);
        other.issued.into_iter().for_each(|said| self.is_issued(said));
        self.names.extend(other.names);
        self.begun = self.begun.max(other.begun);
        self.ended.extend(other.ended);
        self.suspended = self.suspended.max(other.suspended);
        self.subjects.extend(other.subjects);
        self.users.extend(other.users);
    }
}

/// A principal that was made with one of the credentials, or whose password was set with one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Made {
    pub(super) account: Account,
    pub(super) since: Timestamp,
    /// Only its password was set: what is done with that came from here.
    pub(super) by_password: bool,
}

/// One action.
#[derive(Clone)]
pub(super) struct Hit {
    pub(super) time: Timestamp,
    pub(super) id: RecordId,
    pub(super) leaf: u64,
    /// Which credential it was done with, where that has a name.
    pub(super) credential: Option<usize>,
    pub(super) depth: u32,
    /// Whether it was only handed on there.
    pub(super) handed_on: bool,
    pub(super) executor: Option<Account>,
    pub(super) system: u32,
    pub(super) operation: u32,
    pub(super) resource: u32,
    pub(super) status: Option<Status>,
    pub(super) basis: Basis,
    pub(super) kind: Kind,
    pub(super) trace: Option<TraceId>,
    /// The action that it belongs to, where that is another record.
    pub(super) part_of: Option<RecordId>,
    event: u32,
    supersedes: Option<RecordId>,
}

/// A leaf that tells of a change of authority.
pub(super) struct ChangedAt {
    pub(super) time: Timestamp,
    pub(super) id: RecordId,
    pub(super) leaf: u64,
}

/// Words of many actions, each kept once; number 0 is none.
pub(super) struct Texts {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Default for Texts {
    fn default() -> Self {
        Texts { words: vec![String::new()], numbers: HashMap::new() }
    }
}

impl Texts {
    fn number(&mut self, word: Option<&str>) -> u32 {
        let Some(word) = word.filter(|word| !word.is_empty()) else { return 0 };
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.words.len() as u32;
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }

    pub(super) fn word(&self, number: u32) -> Option<&str> {
        self.words.get(number as usize).map(String::as_str).filter(|word| !word.is_empty())
    }
}

enum Todo {
    Name(usize, String),
    Account(usize),
    Call(Call),
}

struct Gatherer<'g> {
    evidence: &'g LedgerEvidence<'g>,
    tenant: &'g str,
    found: Gathered,
    by_name: HashMap<String, usize>,
    /// Of credentials that turned out to be one, which of them stands for it.
    same: HashMap<usize, usize>,
    made: HashMap<Made, usize>,
    nameless: BTreeMap<Nameless, Issue>,
    paths: Paths,
    /// Which hit a leaf is.
    seen: HashMap<u64, usize>,
    /// Leaves that tell of calls of which the same log may tell more.
    calls: HashSet<u64>,
    /// By what else a hit was come upon than by the credential that it was done with.
    beside: HashMap<usize, BTreeSet<Beside>>,
    todo: VecDeque<Todo>,
}

/// What an action has to do with what is followed, where that is not the credential that it was done with: what counts
/// most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Beside {
    /// Deed showed this credential upstream in place of another.
    Upstream(usize),
    /// One who was made with it did it, and showed none.
    Made(usize),
    /// This credential was handed on there.
    HandedOn(usize),
}

/// Everything that the credential of `tenant` with any of these names led to; `None` where no record names it.
pub(super) fn gather(
    evidence: &LedgerEvidence<'_>,
    tenant: &str,
    names: &BTreeSet<String>,
) -> Result<Option<Gathered>, LedgerError> {
    let mut gatherer = Gatherer {
        evidence,
        tenant,
        found: Gathered::default(),
        by_name: HashMap::new(),
        same: HashMap::new(),
        made: HashMap::new(),
        nameless: BTreeMap::new(),
        paths: Paths::default(),
        seen: HashMap::new(),
        calls: HashSet::new(),
        beside: HashMap::new(),
        todo: VecDeque::new(),
    };
    let first = gatherer.known(names.iter().map(String::as_str));
    debug_assert_eq!(first, Some(0));
    // Breadth first: what is nearest is followed even where not everything can be.
    while let Some(todo) = gatherer.todo.pop_front() {
        match todo {
            Todo::Name(at, name) => gatherer.follow(at, &name)?,
            Todo::Account(at) => gatherer.follow_made(at)?,
            Todo::Call(call) => gatherer.follow_call(&call)?,
        }
    }
    gatherer.look_for_unnamed()?;
    let found = gatherer.finish()?;
    Ok((found.0 > 0).then_some(found.1))
}

impl Gathered {
    /// Takes in which credentials of `tenant` ended with what was taken as a whole from whoever holds them.
    pub(super) fn withdraw(&mut self, state: &State, tenant: &str) {
        for known in &mut self.credentials {
            let keys = known.names.iter().map(|name| CredentialKey::of(tenant, name));
            let taken = keys.filter_map(|key| state.credential(key)?.withdrawn);
            known.ended.extend(taken.map(|taken| (taken.last, taken.change)));
        }
    }
}

impl Gatherer<'_> {
    /// The credential of these names, new or known. What goes by names of several is one.
    fn known<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Option<usize> {
        let names: Vec<&str> = names.collect();
        let known: BTreeSet<usize> =
            names.iter().filter_map(|name| self.by_name.get(*name)).map(|at| self.one(*at)).collect();
        let at = match known.first() {
            Some(at) => *at,
            None if self.found.credentials.len() + self.made.len() >= MOST_FOLLOWED => {
                self.found.cut.insert(
                    "more than 10,000 credentials and principals came from it: the rest is not followed",
                );
                return None;
            }
            None if names.is_empty() => return None,
            None => {
                self.found.credentials.push(Known::default());
                self.found.credentials.len() - 1
            }
        };
        for other in known.into_iter().skip(1) {
            let merged = mem::take(&mut self.found.credentials[other]);
            self.found.credentials[at].merge(merged);
            self.same.insert(other, at);
        }
        for name in names {
            if self.by_name.insert(name.to_owned(), at).is_none() {
                self.found.credentials[at].names.insert(name.to_owned());
                self.todo.push_back(Todo::Name(at, name.to_owned()));
            }
        }
        Some(at)
    }

    /// What stands for the credential that was found as number `at`.
    fn one(&self, mut at: usize) -> usize {
        while let Some(other) = self.same.get(&at) {
            at = *other;
        }
        at
    }

    /// A credential of these names came from credential `parent`, as a record says.
    fn came<'n>(&mut self, names: impl Iterator<Item = &'n str>, parent: usize, record: &Skeleton<'_>) {
        if let Some(at) = self.known(names) {
            self.paths.came(at, parent, (record.time, record.id));
        }
    }

    fn follow(&mut self, at: usize, name: &str) -> Result<(), LedgerError> {
        let key = Key::Credential { tenant: self.tenant, name };
        // Borrowed apart: looking at a record may find more to follow.
        let ledger = self.evidence.ledger();
        ledger.lookup_each(&key, None, &mut |leaf, record| {
            self.look(self.one(at), leaf, record);
            self.go_on()
        })
    }

    fn follow_made(&mut self, at: usize) -> Result<(), LedgerError> {
        let Made { account, since, by_password } = self.found.made[at];
        let (until, issued) = if by_password {
            self.set_again(account, since)?
        } else {
            (self.made_again(account, since)?, BTreeSet::new())
        };
        let ledger = self.evidence.ledger();
        ledger.lookup_each(&Key::Executor(account), None, &mut |leaf, record| {
            let is_it = record.time >= since && until.is_none_or(|until| record.time < until);
            let is_it = is_it && (!by_password || is_opened(record, since, &issued));
            if is_it && is_head(record) {
                // What it acts with is followed too: whatever was issued by that came from here.
                let with = record.credential.as_ref();
                match with.and_then(|with| Some((self.known(with.names())?, with))) {
                    Some((credential, with)) => {
                        self.paths.acted(at, credential);
                        self.hit(leaf, record, Some(credential));
                        self.used(credential, leaf, record);
                        self.describe(credential, with);
                        self.rest(credential, leaf, record);
                    }
                    None => self.hit_beside(leaf, record, Beside::Made(at)),
                }
            }
            self.go_on()
        })
    }

    /// When somebody else was made under the name of whoever was made at `since`, after that one was removed.
    fn made_again(&self, account: Account, since: Timestamp) -> Result<Option<Timestamp>, LedgerError> {
        let (mut made, mut removed) = (BTreeSet::new(), None);
        self.evidence.ledger().lookup_each(&Key::Entitled(account), None, &mut |_, record| {
            let changes = record.effects.iter().flatten().filter(|effect| effect.kind == Kind::Principal);
            for terms in changes.filter_map(|effect| effect.terms.as_ref()) {
                let theirs = terms.subject.as_ref().and_then(|party| party.account) == Some(account);
                match terms.change.filter(|_| theirs && record.time > since) {
                    Some(Change::Issued) => {
                        made.insert(record.time);
                    }
                    Some(Change::Revoked) => {
                        removed = Some(removed.map_or(record.time, |at: Timestamp| at.min(record.time)));
                    }
                    _ => {}
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(removed.and_then(|removed| made.range(removed..).next().copied()))
    }

    /// When the password of `account`, set at `since`, was set again or taken away, and what was issued to it by name: a
    /// password opened none of that.
    fn set_again(
        &self,
        account: Account,
        since: Timestamp,
    ) -> Result<(Option<Timestamp>, BTreeSet<String>), LedgerError> {
        let (mut again, mut issued) = (BTreeSet::new(), BTreeSet::new());
        self.evidence.ledger().lookup_each(&Key::Party(account), None, &mut |_, record| {
            for (credential, _) in given_to(record, account) {
                if is_password(credential) && record.time > since {
                    again.insert(record.time);
                }
                issued.extend(credential.names().map(str::to_owned));
            }
            ControlFlow::Continue(())
        })?;
        Ok((again.first().copied(), issued))
    }

    fn go_on(&mut self) -> ControlFlow<()> {
        if self.found.hits.len() < MOST_ACTIONS {
            return ControlFlow::Continue(());
        }
        self.found.cut.insert("more than 1,000,000 actions: the rest is not counted");
        ControlFlow::Break(())
    }

    /// Takes what a record says that names credential `at`, in whatever place.
    fn look(&mut self, at: usize, leaf: u64, record: &Skeleton<'_>) {
        if !self.evidence.shows(record) {
            return;
        }
        let is_this = |names: &BTreeSet<String>, credential: &Credential<'_>| {
            credential.names().any(|name| names.contains(name))
        };
        let names = self.found.credentials[at].names.clone();
        let own = record.credential.as_ref();
        if let Some(own) = own.filter(|own| is_this(&names, own)) {
            // Another name of the same.
            let at = self.known(own.names()).unwrap_or(at);
            self.describe(at, own);
            if record.basis == Basis::Enforced {
                self.found.at_deed.insert(at);
            }
            if record.kind == Kind::Credential {
                self.changed(at, leaf, record, own, record.terms.as_ref());
            } else if is_head(record) {
                self.used(at, leaf, record);
                self.hit(leaf, record, Some(at));
            }
            self.rest(at, leaf, record);
        } else if let Some(own) = own
            && [&own.parent, &own.upstream].into_iter().flatten().any(|name| names.contains(&**name))
        {
            if own.parent.as_ref().is_some_and(|parent| names.contains(&**parent)) {
                // Derived from it: found, described and followed under its own name.
                self.came(own.names(), at, record);
            } else if is_head(record) {
                // What Deed showed upstream in place of another: this very action.
                self.used(at, leaf, record);
                self.hit_beside(leaf, record, Beside::Upstream(at));
                self.found.at_deed.insert(at);
            }
        } else if record
            .chain
            .iter()
            .flatten()
            .any(|hop| hop.credential.as_ref().is_some_and(|name| names.contains(&**name)))
            && is_head(record)
        {
            // Somebody further down acted on what this one handed on.
            self.hit_beside(leaf, record, Beside::HandedOn(at));
        }
        for effect in record.effects.iter().flatten() {
            let Some(credential) = &effect.credential else { continue };
            if effect.kind != Kind::Credential {
                continue;
            }
            if is_this(&names, credential) {
                let at = self.known(credential.names()).unwrap_or(at);
                self.describe(at, credential);
                self.changed(at, leaf, record, credential, effect.terms.as_ref());
            } else if credential.parent.as_ref().is_some_and(|parent| names.contains(&**parent)) {
                self.came(credential.names(), at, record);
            }
        }
    }

    /// What an action with credential `at` brought about.
    fn rest(&mut self, at: usize, leaf: u64, record: &Skeleton<'_>) {
        if !record.kind.is_action() {
            return;
        }
        if let Some(upstream) = record.credential.as_ref().and_then(|own| own.upstream.as_ref()) {
            self.came([&**upstream].into_iter(), at, record);
        }
        let mut changed = false;
        for effect in record.effects.iter().flatten() {
            changed = true;
            let terms = effect.terms.as_ref();
            let change = terms.and_then(|terms| terms.change);
            let begins = change == Some(Change::Issued);
            let subject = terms.and_then(|terms| terms.subject.as_ref()).and_then(|party| party.account);
            match (effect.kind, &effect.credential) {
                (Kind::Credential, Some(credential)) if begins || is_set_anew(credential, change) => {
                    if credential.names().next().is_some() {
                        self.came(credential.names(), at, record);
                    } else if let Some(account) = subject {
                        self.issued_nameless(at, leaf, record, credential, account);
                    }
                }
                (Kind::Principal, _) if begins => self.comes(at, subject, record.time, false),
                _ => {}
            }
        }
        if changed {
            self.found.changes.push(ChangedAt { time: record.time, id: record.id, leaf });
        }
    }

    /// Somebody is followed from then on.
    fn comes(&mut self, at: usize, account: Option<Account>, since: Timestamp, by_password: bool) {
        let Some(account) = account else { return };
        let made = Made { account, since, by_password };
        let known = match self.made.get(&made) {
            Some(known) => *known,
            None if self.found.credentials.len() + self.made.len() >= MOST_FOLLOWED => return,
            None => {
                let new = self.found.made.len();
                self.found.made.push(made);
                self.made.insert(made, new);
                self.todo.push_back(Todo::Account(new));
                new
            }
        };
        self.paths.made(known, at);
    }

    /// Takes an action that was come upon by something else than what it was done with.
    fn hit_beside(&mut self, leaf: u64, record: &Skeleton<'_>, beside: Beside) {
        let hit = self.hit(leaf, record, None);
        self.beside.entry(hit).or_default().insert(beside);
    }

    /// Takes an action, once, however often it is come upon; with `credential`, where that is what it was done with.
    fn hit(&mut self, leaf: u64, record: &Skeleton<'_>, credential: Option<usize>) -> usize {
        if let Some(known) = self.seen.get(&leaf) {
            let hit = &mut self.found.hits[*known];
            hit.credential = hit.credential.or(credential);
            return *known;
        }
        self.seen.insert(leaf, self.found.hits.len());
        // Every call of a tool is the same operation.
        let does = record.tool.as_ref().map(|tool| match &tool.server {
            Some(server) => Cow::Owned(format!("{server}/{}", tool.name)),
            None => Cow::Borrowed(&*tool.name),
        });
        let does = does.or(record.operation.as_deref().map(Cow::Borrowed));
        let texts = &mut self.found.texts;
        let executor = record.executor.as_ref().and_then(|party| party.account);
        let hit = Hit {
            time: record.time,
            id: record.id,
            leaf,
            credential,
            depth: 0,
            handed_on: false,
            executor,
            system: texts.number(Some(system(record))),
            operation: texts.number(does.as_deref()),
            resource: texts.number(record.resource.as_ref().map(|resource| &*resource.uri)),
            status: record.outcome.as_ref().map(|outcome| outcome.status),
            basis: record.basis,
            kind: record.kind,
            trace: record.trace_id,
            part_of: record.action.filter(|action| *action != record.id),
            event: texts.number(
                record.supersedes.and(record.source.as_ref()).and_then(|source| source.event_id.as_deref()),
            ),
            supersedes: record.supersedes,
        };
        self.found.hits.push(hit);
        self.found.hits.len() - 1
    }

    /// Takes who acted with credential `at` itself.
    fn used(&mut self, at: usize, leaf: u64, record: &Skeleton<'_>) {
        if let Some(executor) = record.executor.as_ref().and_then(|party| party.account) {
            self.found.credentials[at].users.entry(executor).or_insert(leaf);
            self.calls(at, leaf, record, executor);
        }
    }

    fn describe(&mut self, at: usize, credential: &Credential<'_>) {
        let (kind, issuer) = (credential.kind.as_deref(), credential.issuer.as_deref());
        self.found.credentials[at].describe(kind, issuer, credential.expires);
    }

    /// Takes what became of credential `at`.
    fn changed(
        &mut self,
        at: usize,
        leaf: u64,
        record: &Skeleton<'_>,
        credential: &Credential<'_>,
        terms: Option<&deed_record::Terms<'_>>,
    ) {
        if record.basis == Basis::Enforced {
            self.found.at_deed.insert(at);
        }
        let known = &mut self.found.credentials[at];
        let stops = match record.operation.as_deref().filter(|_| record.basis == Basis::Enforced) {
            Some("suspend") => Some(true),
            Some("resume") => Some(false),
            _ => None,
        };
        if let Some(stops) = stops {
            known.suspended = known.suspended.max(Some((record.time, stops)));
            return;
        }
        known.expires = known.expires.max(terms.and_then(|terms| terms.expires)).max(credential.expires);
        match terms.and_then(|terms| terms.change) {
            Some(change @ (Change::Issued | Change::Renewed)) => {
                known.begun = known.begun.max(Some(record.time));
                if change == Change::Issued {
                    known.is_issued((record.time, record.id));
                }
                let subject = terms.and_then(|terms| terms.subject.as_ref()).and_then(|party| party.account);
                if let Some(subject) = subject {
                    known.subjects.entry(subject).or_insert(leaf);
                }
            }
            Some(change @ (Change::Revoked | Change::Expired | Change::Rotated)) => {
                known.ended.insert((record.time, change));
            }
            _ => {}
        }
    }
}

/// Whether it was done with a password that was set at `since`: a sign-in that shows nothing else, or a session that was
/// opened since then, where no record of its issue is among `issued`.
fn is_opened(record: &Skeleton<'_>, since: Timestamp, issued: &BTreeSet<String>) -> bool {
    let Some(with) = record.credential.as_ref().filter(|with| with.names().next().is_some()) else {
        return record.kind == Kind::Observation;
    };
    let is_session = with.kind.as_deref().is_some_and(|kind| !deed_identity::is_static_type(kind));
    is_session
        && with.issued.is_some_and(|begun| begun >= since)
        && !with.names().any(|name| issued.contains(name))
}

/// Whether it is an action of its own: an end of one is none.
fn is_head(record: &Skeleton<'_>) -> bool {
    record.kind.is_action() && record.kind != Kind::Outcome
}

/// Whose word a record is.
pub(super) fn system<'r>(record: &'r Skeleton<'_>) -> &'r str {
    match (record.basis, &record.source) {
        (Basis::Enforced, _) => "deed",
        (_, Some(source)) => &source.system,
        (_, None) => &record.submitter,
    }
}
