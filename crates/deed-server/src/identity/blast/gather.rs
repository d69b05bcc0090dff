//! Following the index from a credential to everything that came from it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    ops::ControlFlow,
};

use deed_identity::{CredentialKey, State};
use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Basis, Change, Credential, Kind, RecordId, Skeleton, Status, Timestamp, TraceId};

use crate::evidence::LedgerEvidence;

/// Actions that are gathered.
const MOST_ACTIONS: usize = 1_000_000;
/// Credentials and principals that are followed.
const MOST_FOLLOWED: usize = 10_000;

/// What one credential led to.
#[derive(Default)]
pub(super) struct Gathered {
    /// The credential that was asked for is the first.
    pub(super) credentials: Vec<Known>,
    pub(super) made: Vec<Made>,
    pub(super) hits: Vec<Hit>,
    pub(super) changes: Vec<ChangedAt>,
    pub(super) texts: Texts,
    pub(super) cut: BTreeSet<&'static str>,
    /// Credentials that Deed itself issued or was shown.
    pub(super) at_deed: HashSet<usize>,
}

/// A credential on the way.
#[derive(Default)]
pub(super) struct Known {
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

/// A principal that was made with one of the credentials, or whose password was set with one.
#[derive(Clone, Copy)]
pub(super) struct Made {
    pub(super) account: Account,
    pub(super) depth: u32,
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
}

struct Gatherer<'g> {
    evidence: &'g LedgerEvidence<'g>,
    tenant: &'g str,
    found: Gathered,
    by_name: HashMap<String, usize>,
    made: HashSet<(Account, Timestamp, bool)>,
    /// Leaves that were looked at already.
    seen: HashSet<u64>,
    todo: VecDeque<Todo>,
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
        made: HashSet::new(),
        seen: HashSet::new(),
        todo: VecDeque::new(),
    };
    let first = gatherer.known(names.iter().map(String::as_str), None, 0);
    debug_assert_eq!(first, Some(0));
    // Breadth first: what is nearest is followed even where not everything can be.
    while let Some(todo) = gatherer.todo.pop_front() {
        match todo {
            Todo::Name(at, name) => gatherer.follow(at, &name)?,
            Todo::Account(at) => gatherer.follow_made(at)?,
        }
    }
    let found = gatherer.finish();
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
    /// The credential of these names, new or known.
    fn known<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str>,
        parent: Option<usize>,
        depth: u32,
    ) -> Option<usize> {
        let names: Vec<&str> = names.collect();
        let at = names.iter().find_map(|name| self.by_name.get(*name)).copied();
        let at = match at {
            Some(at) => at,
            None if self.found.credentials.len() + self.made.len() >= MOST_FOLLOWED => {
                self.found.cut.insert(
                    "more than 10,000 credentials and principals came from it: the rest is not followed",
                );
                return None;
            }
            None if names.is_empty() => return None,
            None => {
                self.found.credentials.push(Known { parent, depth, ..Known::default() });
                self.found.credentials.len() - 1
            }
        };
        for name in names {
            if self.by_name.insert(name.to_owned(), at).is_none() {
                self.found.credentials[at].names.insert(name.to_owned());
                self.todo.push_back(Todo::Name(at, name.to_owned()));
            }
        }
        Some(at)
    }

    fn follow(&mut self, at: usize, name: &str) -> Result<(), LedgerError> {
        let key = Key::Credential { tenant: self.tenant, name };
        // Borrowed apart: looking at a record may find more to follow.
        let ledger = self.evidence.ledger();
        ledger.lookup_each(&key, None, &mut |leaf, record| {
            self.look(at, leaf, record);
            self.go_on()
        })
    }

    fn follow_made(&mut self, at: usize) -> Result<(), LedgerError> {
        let Made { account, depth, since, by_password } = self.found.made[at];
        let (until, issued) = if by_password {
            self.set_again(account, since)?
        } else {
            (self.made_again(account, since)?, BTreeSet::new())
        };
        let ledger = self.evidence.ledger();
        ledger.lookup_each(&Key::Executor(account), None, &mut |leaf, record| {
            let is_it = record.time >= since && until.is_none_or(|until| record.time < until);
            let is_it = is_it && (!by_password || is_opened(record, since, &issued));
            if is_it && is_head(record) && self.seen.insert(leaf) {
                // What it acts with is followed too: whatever was issued by that came from here.
                let with = record.credential.as_ref();
                let at = with.and_then(|with| self.known(with.names(), None, depth));
                self.hit(leaf, record, at, depth);
                if let (Some(at), Some(with)) = (at, with) {
                    self.used(at, leaf, record);
                    self.describe(at, with);
                    self.rest(at, leaf, record);
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
            for effect in record.effects.iter().flatten().filter(|effect| effect.kind == Kind::Credential) {
                let subject = effect.terms.as_ref().and_then(|terms| terms.subject.as_ref());
                let theirs = subject.and_then(|party| party.account) == Some(account);
                let Some(credential) = effect.credential.as_ref().filter(|_| theirs) else { continue };
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
        let depth = self.found.credentials[at].depth;
        let names = self.found.credentials[at].names.clone();
        let own = record.credential.as_ref();
        if let Some(own) = own.filter(|own| is_this(&names, own)) {
            self.describe(at, own);
            if record.basis == Basis::Enforced {
                self.found.at_deed.insert(at);
            }
            if record.kind == Kind::Credential {
                self.changed(at, leaf, record, own, record.terms.as_ref());
            } else if is_head(record) && self.seen.insert(leaf) {
                self.used(at, leaf, record);
                self.hit(leaf, record, Some(at), depth);
            }
            // Another name of the same.
            self.known(own.names(), None, depth);
            self.rest(at, leaf, record);
        } else if let Some(own) = own
            && [&own.parent, &own.upstream].into_iter().flatten().any(|name| names.contains(&**name))
        {
            if own.parent.as_ref().is_some_and(|parent| names.contains(&**parent)) {
                // Derived from it: found, described and followed under its own name.
                self.known(own.names(), Some(at), depth + 1);
            } else if is_head(record) && self.seen.insert(leaf) {
                // What Deed showed upstream in place of another: this very action.
                self.used(at, leaf, record);
                self.hit(leaf, record, Some(at), depth);
                self.found.at_deed.insert(at);
            }
        } else if record
            .chain
            .iter()
            .flatten()
            .any(|hop| hop.credential.as_ref().is_some_and(|name| names.contains(&**name)))
            && is_head(record)
            && self.seen.insert(leaf)
        {
            // Somebody further down acted on what this one handed on.
            self.hit(leaf, record, Some(at), depth + 1);
            if let Some(hit) = self.found.hits.last_mut() {
                hit.handed_on = true;
            }
        }
        for effect in record.effects.iter().flatten() {
            let Some(credential) = &effect.credential else { continue };
            if effect.kind != Kind::Credential {
                continue;
            }
            if is_this(&names, credential) {
                self.describe(at, credential);
                self.changed(at, leaf, record, credential, effect.terms.as_ref());
                self.known(credential.names(), None, depth);
            } else if credential.parent.as_ref().is_some_and(|parent| names.contains(&**parent)) {
                self.known(credential.names(), Some(at), depth + 1);
            }
        }
    }

    /// What an action with credential `at` brought about.
    fn rest(&mut self, at: usize, leaf: u64, record: &Skeleton<'_>) {
        if !record.kind.is_action() {
            return;
        }
        let depth = self.found.credentials[at].depth;
        if let Some(upstream) = record.credential.as_ref().and_then(|own| own.upstream.as_ref()) {
            self.known([&**upstream].into_iter(), Some(at), depth + 1);
        }
        let mut changed = false;
        for effect in record.effects.iter().flatten() {
            changed = true;
            let terms = effect.terms.as_ref();
            let change = terms.and_then(|terms| terms.change);
            let begins = change == Some(Change::Issued);
            let subject = terms.and_then(|terms| terms.subject.as_ref()).and_then(|party| party.account);
            match effect.kind {
                Kind::Credential
                    if effect.credential.as_ref().is_some_and(is_password)
                        && matches!(change, Some(Change::Issued | Change::Rotated)) =>
                {
                    self.comes(subject, depth + 1, record.time, true);
                }
                Kind::Credential if begins => {
                    if let Some(credential) = &effect.credential {
                        self.known(credential.names(), Some(at), depth + 1);
                    }
                }
                Kind::Principal if begins => self.comes(subject, depth + 1, record.time, false),
                _ => {}
            }
        }
        if changed {
            self.found.changes.push(ChangedAt { time: record.time, id: record.id, leaf });
        }
    }

    /// Somebody is followed from then on.
    fn comes(&mut self, account: Option<Account>, depth: u32, since: Timestamp, by_password: bool) {
        if let Some(account) = account
            && self.found.credentials.len() + self.made.len() < MOST_FOLLOWED
            && self.made.insert((account, since, by_password))
        {
            self.found.made.push(Made { account, depth, since, by_password });
            self.todo.push_back(Todo::Account(self.found.made.len() - 1));
        }
    }

    fn hit(&mut self, leaf: u64, record: &Skeleton<'_>, credential: Option<usize>, depth: u32) {
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
            depth,
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
    }

    /// Takes who acted with credential `at` itself.
    fn used(&mut self, at: usize, leaf: u64, record: &Skeleton<'_>) {
        if let Some(executor) = record.executor.as_ref().and_then(|party| party.account) {
            self.found.credentials[at].users.entry(executor).or_insert(leaf);
        }
    }

    fn describe(&mut self, at: usize, credential: &Credential<'_>) {
        let known = &mut self.found.credentials[at];
        let text = |old: &mut Option<String>, new: Option<&str>| {
            if old.is_none() {
                *old = new.map(str::to_owned);
            }
        };
        text(&mut known.kind, credential.kind.as_deref());
        text(&mut known.issuer, credential.issuer.as_deref());
        known.expires = known.expires.max(credential.expires);
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
                    let said = (record.time, record.id);
                    known.issued = Some(known.issued.map_or(said, |issued| issued.min(said)));
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

    /// Puts everything in order; how many leaves told of it.
    fn finish(mut self) -> (usize, Gathered) {
        let found = &mut self.found;
        // Corrected readings of an event give way to the one that corrects them.
        let corrected: HashSet<RecordId> =
            found.hits.iter().filter(|hit| hit.event != 0).filter_map(|hit| hit.supersedes).collect();
        found.hits.retain(|hit| !corrected.contains(&hit.id));
        found.changes.retain(|change| !corrected.contains(&change.id));
        // A further view of an action that is here itself is no other action.
        let ids: HashSet<RecordId> = found.hits.iter().map(|hit| hit.id).collect();
        found.hits.retain(|hit| hit.part_of.is_none_or(|action| !ids.contains(&action)));
        found.hits.sort_unstable_by_key(|hit| (hit.time, hit.id));
        found.changes.sort_unstable_by_key(|change| (change.time, change.id));
        found.changes.dedup_by_key(|change| change.id);
        let told = found.hits.len()
            + found
                .credentials
                .iter()
                .filter(|known| known.issued.is_some() || !known.ended.is_empty() || known.kind.is_some())
                .count();
        (told, self.found)
    }
}

/// Whether it is the password of an account, which has no name of its own.
fn is_password(credential: &Credential<'_>) -> bool {
    credential.kind.as_deref() == Some("password") && credential.names().next().is_none()
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
