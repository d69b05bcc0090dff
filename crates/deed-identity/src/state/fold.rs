//! Folding one record into the state.

use std::borrow::Cow;

use deed_record::{Account, Basis, Credential, Kind, Outcome, Party, Ruling, Skeleton, Status, StepType};

use crate::strings::{Strings, Sym};

use super::{
    State,
    entry::{AccountEntry, CredentialEntry, Holder, Place, Rank, Role},
    given::{GrantEntry, LinkEntry, SourceEntry, TriedEntry},
    keys::{CredentialKey, GrantKey, Mark, SourceKey, TriedKey},
    turns::{self, Turn},
    used::{AllSeen, Seen, SeenBy, Used, UsedAs, has_room},
};

/// What Deed itself saw, in counts by system.
const DEED: &str = "deed";

/// One record on its way into the state.
#[derive(Clone, Copy)]
pub(super) struct Said<'r> {
    pub(super) record: &'r Skeleton<'r>,
    pub(super) mark: Mark,
    pub(super) rank: Rank,
    pub(super) tenant: Sym,
    pub(super) system: Sym,
    /// It is an action of its own, no part of another one.
    pub(super) acts: bool,
    /// By which instance, device and task whoever acted did.
    seen: Shown,
    /// From where, as a log tells.
    turn: Option<Turn>,
}

/// By which instance, device and task somebody acted.
type Shown = [Option<Seen>; SeenBy::ALL.len()];

impl State {
    /// Takes in what `record` says.
    pub fn fold(&mut self, record: &Skeleton<'_>) {
        self.records += 1;
        let system = match (record.basis, &record.source) {
            (Basis::Enforced, _) => DEED,
            (_, Some(source)) => &source.system,
            (_, None) => &record.submitter,
        };
        let mark = Mark::of(record);
        let acts = record.kind.is_action()
            && record.kind != Kind::Outcome
            && record.action.is_none_or(|action| action == record.id);
        let said = Said {
            record,
            mark,
            seen: record.executor.as_ref().map_or([None; _], |party| shown(record, party, mark)),
            turn: Turn::of(record, system).filter(|_| record.basis != Basis::Reported && acts),
            rank: match record.basis {
                Basis::Enforced => Rank::Enforced,
                Basis::Imported => Rank::Logged,
                Basis::Reported => Rank::Told,
            },
            tenant: self.strings.sym(&record.tenant),
            system: self.strings.sym(system),
            acts,
        };
        self.source(said);
        self.people(said);
        self.acts(said);
        self.links(said);
        self.uses(said);
        self.changes(said);
        self.withdraws(said);
    }

    /// The system that tells; of a gap, the one that it is about.
    fn source(&mut self, said: Said<'_>) {
        let record = said.record;
        let is_gap = record.kind == Kind::Gap;
        let about = record.source.as_ref().filter(|_| is_gap).map(|source| &*source.system);
        let system = about.map_or(said.system, |about| self.strings.sym(about));
        let key = SourceKey::of(&record.tenant, self.strings.word(system));
        let start = SourceEntry {
            tenant: said.tenant,
            system,
            // That something is missing is Deed's word, not that of the system.
            rank: if is_gap { Rank::Told } else { said.rank },
            records: 0,
            first: said.mark,
            last: said.mark,
            gaps: 0,
            last_gap: None,
        };
        if let Some(entry) = self.sources.entry(key, || start) {
            entry.merge(&SourceEntry {
                records: 1,
                gaps: u64::from(is_gap),
                last_gap: is_gap.then_some(said.mark),
                ..start
            });
        }
    }

    /// Everybody whom it names.
    fn people(&mut self, said: Said<'_>) {
        let record = said.record;
        for party in record.parties() {
            let Some(account) = party.account else { continue };
            let new = || AccountEntry::new(said.tenant, said.mark);
            if let Some(entry) = self.accounts.entry(account, new) {
                entry.tenant = self.strings.least(entry.tenant, said.tenant);
                entry.see(party.kind, said.rank, said.mark);
            }
        }
        if !said.acts {
            return;
        }
        let status = record.outcome.as_ref().map(|outcome| outcome.status);
        let in_vain =
            is_refused(record) || matches!(status, Some(Status::Denied | Status::Failure | Status::TimedOut));
        let environment = self.strings.sym(record.environment.as_deref().unwrap_or_default());
        let place = Place { system: said.system, environment, initiated: 0, executed: 0 };
        for (party, place) in [
            (&record.initiator, Place { initiated: 1, ..place }),
            (&record.executor, Place { executed: 1, ..place }),
        ] {
            let Some(account) = party.as_ref().and_then(|party| party.account) else { continue };
            if let Some(entry) = self.accounts.entry(account, || AccountEntry::new(said.tenant, said.mark)) {
                entry.count(place, &self.strings);
                entry.acted(said.mark, in_vain);
            }
        }
    }

    /// What whoever acted used, by which instance, device and task, and how that ended.
    fn acts(&mut self, said: Said<'_>) {
        let record = said.record;
        let ends = said.acts || record.kind == Kind::Outcome;
        let Some(party) = record.executor.as_ref().filter(|_| ends) else { return };
        let Some(account) = party.account else { return };
        let status = record.outcome.as_ref().map(|outcome| outcome.status);
        let refused = is_refused(record);
        let denied = status == Some(Status::Denied);
        let failed = matches!(status, Some(Status::Failure | Status::TimedOut));
        // Whether there is room for the account has no say in it: that depends on what else came by now.
        let in_vain = failed || record.outcome.as_ref().is_some_and(says_error);
        if said.acts && (refused || denied || in_vain) || in_vain && said.tells_of_what() {
            self.in_vain(said, account, in_vain);
        }
        let Some(entry) = self.accounts.entry(account, || AccountEntry::new(said.tenant, said.mark)) else {
            return;
        };
        entry.denied += u64::from(denied);
        entry.failed += u64::from(failed);
        if !said.acts {
            return;
        }
        saw(&mut entry.seen, &said.seen);
        if refused || denied {
            return;
        }
        let Some((what, named_as)) = said.used() else { return };
        let what = Strings::cut(&what);
        // What there is no room for takes no room among the words either.
        if has_room(&entry.used, (what, named_as), &self.strings) {
            let what = self.strings.sym(what);
            let used = Used { what, named_as, count: 1, first: said.mark.0, last: said.mark.0 };
            entry.used(used, &self.strings);
        } else {
            entry.more_used = true;
        }
    }

    /// What `account` tried in vain.
    fn in_vain(&mut self, said: Said<'_>, account: Account, failed: bool) {
        let record = said.record;
        let Some(what) = said.tool().or_else(|| said.used().map(|(what, _)| what)) else { return };
        let resource = record.resource.as_ref().map_or("", |resource| &*resource.uri);
        let key = TriedKey::of(account, &what, resource, record.time);
        let check = record.kind == Kind::Step && record.step_type == Some(StepType::PolicyCheck);
        let entry = TriedEntry {
            tenant: said.tenant,
            account,
            what: Strings::cut(&what).into(),
            resource: Strings::cut(resource).into(),
            denied: u32::from(!failed && !check),
            checked: u32::from(!failed && check),
            failed: u32::from(failed),
            first: said.mark,
            last: said.mark,
        };
        self.tried.add(key, entry, TriedEntry::merge);
    }

    /// Who acted for whom: each of the chain for the one before.
    fn links(&mut self, said: Said<'_>) {
        let record = said.record;
        if !said.acts {
            return;
        }
        let hops = record.chain.iter().flatten().map(|hop| &hop.principal);
        let line = record.initiator.iter().chain(hops).chain(&record.executor);
        let mut before: Option<Account> = None;
        for account in line.map(|party| party.account) {
            if let (Some(from), Some(to)) = (before, account)
                && from != to
            {
                self.link(
                    (from, to),
                    LinkEntry { rank: said.rank, count: 1, first: said.mark, last: said.mark },
                );
            }
            // Who acted for somebody unknown acted for nobody that can be named.
            before = account;
        }
    }

    fn link(&mut self, pair: (Account, Account), said: LinkEntry) {
        let mut new = false;
        let start = LinkEntry { count: 0, ..said };
        let entry = self.links.entry(pair, || {
            new = true;
            start
        });
        if let Some(entry) = entry {
            entry.merge(&said);
            if new {
                self.index.links.entry(pair.0).or_default().push(pair);
                self.index.links.entry(pair.1).or_default().push(pair);
            }
        }
    }

    /// Credentials and grants that it was done with.
    fn uses(&mut self, said: Said<'_>) {
        let record = said.record;
        if !record.kind.is_action() {
            return;
        }
        let uses = u64::from(said.acts);
        // One action is one use, in however many places it names the credential.
        let mut counted: Vec<CredentialKey> = Vec::new();
        if let Some(credential) = &record.credential
            && let Some(key) = self.described(said, credential)
        {
            self.used(said, key, record.executor.as_ref(), &said.seen, uses);
            counted.extend(credential.names().map(|name| CredentialKey::of(&record.tenant, name)));
            if let Some(upstream) = &credential.upstream {
                let onward = CredentialKey::of(&record.tenant, upstream);
                self.used(said, onward, record.executor.as_ref(), &said.seen, uses);
                self.derived(said, onward, key);
                counted.push(onward);
            }
        }
        for hop in record.chain.iter().flatten() {
            if let Some(name) = &hop.credential {
                let key = CredentialKey::of(&record.tenant, name);
                let again = counted.contains(&key);
                let seen = shown(record, &hop.principal, said.mark);
                self.used(said, key, Some(&hop.principal), &seen, if again { 0 } else { uses });
                counted.push(key);
            }
        }
        if let Some(grant) = record.grant
            && said.acts
            && let Some(entry) =
                self.grants.entry(GrantKey::of_record(grant), || GrantEntry::new(said.tenant))
        {
            entry.tenant = self.strings.least(entry.tenant, said.tenant);
            entry.use_at(said.mark, 1);
        }
    }

    fn used(&mut self, said: Said<'_>, key: CredentialKey, by: Option<&Party<'_>>, shown: &Shown, uses: u64) {
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant)) {
            entry.use_at(said.mark, uses);
            saw(&mut entry.seen, shown);
            if let Some(turn) = said.turn {
                turns::add(&mut entry.turns, turn);
            }
        }
        self.held(said, key, by.and_then(|party| party.account), Role::Used);
    }

    /// Takes in what `credential` is; its first name, under which it is filed.
    pub(super) fn described(&mut self, said: Said<'_>, credential: &Credential<'_>) -> Option<CredentialKey> {
        let tenant = &said.record.tenant;
        let mut names = credential.names();
        let key = CredentialKey::of(tenant, names.next()?);
        let kind = credential.kind.as_deref().map_or(Sym::default(), |kind| self.strings.sym(kind));
        let issuer = credential.issuer.as_deref().map_or(Sym::default(), |issuer| self.strings.sym(issuer));
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant)) {
            entry.kind = self.strings.least(entry.kind, kind);
            entry.issuer = self.strings.least(entry.issuer, issuer);
            entry.expires = credential.expires.map_or(entry.expires, |expires| entry.expires.max(expires));
            // How old it is, nobody is believed who only sends records of its use.
            let firm = credential.issued.filter(|_| said.rank > Rank::Told);
            entry.made_at(firm.unwrap_or_default());
        }
        for name in names {
            let other = CredentialKey::of(tenant, name);
            for (one, also) in [(key, other), (other, key)] {
                if one != also
                    && let Some(entry) = self.credentials.entry(one, || CredentialEntry::new(said.tenant))
                {
                    entry.known_as(also);
                }
            }
        }
        if let Some(parent) = &credential.parent {
            self.derived(said, key, CredentialKey::of(tenant, parent));
        }
        Some(key)
    }

    pub(super) fn derived(&mut self, said: Said<'_>, key: CredentialKey, parent: CredentialKey) {
        if key == parent {
            return;
        }
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant)) {
            let before = entry.parent;
            entry.derive(said.rank, parent);
            if before.map(|(_, key)| key) != entry.parent.map(|(_, key)| key) {
                self.index.children.entry(parent).or_default().push(key);
            }
        }
    }

    pub(super) fn held(&mut self, said: Said<'_>, key: CredentialKey, account: Option<Account>, role: Role) {
        let Some(account) = account else { return };
        let holder = Holder { account, role, rank: said.rank, system: said.system, first: said.mark };
        if let Some(entry) = self.credentials.entry(key, || CredentialEntry::new(said.tenant))
            && entry.hold(holder, &self.strings)
        {
            self.index.credentials.entry(account).or_default().push(key);
        }
    }
}

impl<'r> Said<'r> {
    /// The tool that was called, as `server/name`.
    fn tool(&self) -> Option<Cow<'r, str>> {
        let tool = self.record.tool.as_ref()?;
        Some(match &tool.server {
            Some(server) => Cow::Owned(format!("{server}/{}", tool.name)),
            None => Cow::Borrowed(&*tool.name),
        })
    }

    /// Whether it tells of an end, and what it was the end of. That something was denied is told where it was tried.
    fn tells_of_what(&self) -> bool {
        let record = self.record;
        let named = record.tool.is_some() || record.resource.is_some() || record.permission.is_some();
        named && record.kind == Kind::Outcome
    }

    /// What was used: the permission, else the tool, else the operation.
    fn used(&self) -> Option<(Cow<'r, str>, UsedAs)> {
        let permission =
            self.record.permission.as_deref().map(|used| (Cow::Borrowed(used), UsedAs::Permission));
        let operation = self.record.operation.as_deref().map(|used| (Cow::Borrowed(used), UsedAs::Operation));
        permission.or_else(|| Some((self.tool()?, UsedAs::Tool))).or(operation)
    }
}

/// Whether it was decided that it was not to be.
fn is_refused(record: &Skeleton<'_>) -> bool {
    record.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::Deny)
}

/// Whether nobody knows what came of it, and the server said so by an error of its own: to whoever tries, it was in vain.
fn says_error(outcome: &Outcome<'_>) -> bool {
    outcome.status == Status::Unknown
        && outcome.code.as_deref().is_some_and(|code| code.starts_with("http_5"))
}

/// By which instance, device and task `party` acted in `record`.
fn shown(record: &Skeleton<'_>, party: &Party<'_>, mark: Mark) -> Shown {
    let device = record.personal.as_ref().and_then(|personal| personal.device);
    let names = [
        (SeenBy::Instance, party.instance.as_ref().map(|instance| instance.as_bytes())),
        (SeenBy::Device, device.as_ref().map(|device| &device.0[..])),
        (SeenBy::Task, record.task.as_ref().map(|task| task.as_bytes())),
    ];
    names.map(|(by, name)| name.map(|name| Seen::of(by, party.account, name, mark)))
}

fn saw(seen: &mut Option<Box<AllSeen>>, shown: &Shown) {
    for shown in shown.iter().flatten() {
        seen.get_or_insert_default().add(*shown);
    }
}
