//! Identities that nobody uses, and that nobody answers for.

use std::collections::BTreeSet;

use deed_identity::{AccountFacts, Coverage, CredentialFacts, HolderFacts, Joined, Rank, Role, Standing};
use deed_record::{Account, Alias, Change, PrincipalType, RecordId, Timestamp};

use super::{DAY, HOUR, IdentityFinding, Look, Who, count, days, is_open};
use crate::{
    Rule,
    words::{Severity, moment},
};

pub(super) const DORMANT_IDENTITY: Rule = Rule {
    name: "dormant-identity",
    means: "it did nothing for long, and still holds credentials or grants",
    remedy: "ask its owner; then take away what it holds",
    controls: &["NHI1:2025", "PR.AA-01", "AC-2(3)"],
};
pub(super) const ORPHAN: Rule = Rule {
    name: "orphan",
    means: "a machine acts, and who answers for it is gone, or was never named",
    remedy: "name an owner in the inventory, or take away what it holds",
    controls: &["NHI1:2025", "GV.RR-02", "AC-2(1)"],
};

pub(super) const OFFBOARDED_IDENTITY: Rule = Rule {
    name: "offboarded-identity",
    means: "a person was removed from the directory that has them, and an account of theirs elsewhere acts on",
    remedy: "take away that account and what it holds (`deed principal`); have whoever leaves lose all of them at once",
    controls: &["NHI1:2025", "PR.AA-01", "AC-2(3)"],
};

/// Systems that say who is there: who is gone from them is gone, whatever accounts are left elsewhere.
const DIRECTORIES: &[&str] = &["okta", "entra"];
/// Where people sign in whom a directory has: no log tells that they are gone from there, and whoever works there is there.
const SIGN_ONS: &[&str] = &["identity-center"];
/// What Deed itself calls people.
const OWN: &[&str] = &["deed", "human", "user"];

impl Look<'_> {
    pub(super) fn dormant(&mut self, joined: &Joined, who: Who) {
        let accounts: Vec<(Account, AccountFacts)> = joined
            .members
            .iter()
            .filter_map(|member| Some((member.account, self.state.account(member.account)?)))
            .collect();
        let mut systems: BTreeSet<String> = BTreeSet::new();
        let mut last: Option<(Timestamp, RecordId)> = None;
        let (mut keys, mut grants) = (0, 0);
        for (account, facts) in &accounts {
            systems.extend(facts.places.iter().map(|place| place.system.clone()));
            last = last.max(facts.last_acted);
            for key in self.state.credentials_of(*account) {
                let Some(credential) = self.state.credential(key) else { continue };
                let held = credential.holders.iter().find(|held| {
                    held.account == *account && held.role == Role::Given && held.rank > Rank::Told
                });
                let Some(held) = held else { continue };
                last = last.max(credential.last_used);
                if Standing::at(self.now, &credential.changes, credential.expires) == Standing::Active {
                    keys += 1;
                    systems.insert(held.system.clone());
                }
            }
            let open =
                self.state.grants_of(*account).into_iter().filter(|grant| {
                    Standing::at(self.now, &grant.changes, grant.expires) == Standing::Active
                });
            grants += open.count() as i64;
        }
        // Of who never acted nothing tells since when it could have.
        let Some(last) = last.filter(|_| keys + grants > 0 && !systems.is_empty()) else { return };
        if accounts.iter().any(|(_, facts)| !is_open(&facts.changes, None, self.now)) {
            return;
        }
        // Silence proves something where a log is complete, and only as long as it went on telling.
        let mut until = self.now;
        for system in &systems {
            let complete = system == "deed" || self.directory.is_complete_for(system, Coverage::Actions);
            match self.sources.get(system).filter(|_| complete) {
                Some(told) => until = until.min(*told),
                None => return,
            }
        }
        // Who acted under this name before it was made anew, or let on again, may have been another.
        let begun = accounts.iter().flat_map(|(_, facts)| &facts.changes);
        let begun = begun.filter(|became| matches!(became.change, Change::Issued | Change::Renewed));
        let since = begun.map(|became| became.last).chain([last.0]).max().unwrap_or(last.0);
        let silent = until.0 - since.0;
        if silent < i64::from(self.thresholds.dormant_days) * DAY {
            return;
        }
        let holds: Vec<String> = [(keys, "credential"), (grants, "grant")]
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| count(number, what))
            .collect();
        let reason = format!("it did nothing for {}, and holds {}", days(silent), holds.join(" and "));
        self.find(IdentityFinding {
            account: Some(who.head),
            ..IdentityFinding::new(&DORMANT_IDENTITY, Severity::Medium, reason, last)
        });
    }

    pub(super) fn orphan(&mut self, joined: &Joined, who: Who) {
        let machine = matches!(
            who.kind,
            PrincipalType::Agent | PrincipalType::Workload | PrincipalType::ServiceAccount
        );
        let facts = joined.members.iter().filter_map(|member| self.state.account(member.account));
        let acts = |facts: &AccountFacts| facts.executed > 0 && facts.first_seen <= self.now;
        let facts: Vec<AccountFacts> = facts.filter(acts).collect();
        let Some(acted) = facts.iter().filter_map(|facts| facts.last_acted).max().filter(|_| machine) else {
            return;
        };
        let owner = self.declared(who).and_then(|known| known.owner.clone());
        let found = match owner {
            None if self.directory.names_owners() => {
                let accounts = joined.members.iter().map(|member| member.account);
                // What the inventory has is somebody's, whatever it is.
                if who.declared.is_none() && accounts.clone().all(|account| self.is_of_others(account)) {
                    return;
                }
                let reason = "the inventory names nobody who answers for it".to_owned();
                let found = IdentityFinding::new(&ORPHAN, Severity::Low, reason, acted);
                IdentityFinding { occurrence: String::new(), ..found }
            }
            None => return,
            Some(owner) => {
                let Some((gone, record)) = self.gone(&owner) else { return };
                let since =
                    format!("`{owner}`, who answers for it, was removed or suspended at {}", moment(gone));
                let found = if acted.0 > gone {
                    let reason = format!("{since}, and it acted since");
                    IdentityFinding::new(&ORPHAN, Severity::High, reason, acted)
                } else {
                    IdentityFinding::new(&ORPHAN, Severity::Medium, since, (gone, record))
                };
                IdentityFinding { occurrence: gone.to_string(), ..found }
            }
        };
        self.find(IdentityFinding { account: Some(who.head), ..found });
    }

    /// Whether nobody can be named who answers for it: a part of a cluster, a service of the provider's, or a role in which
    /// people, or such a service, do all that is done.
    fn is_of_others(&mut self, account: Account) -> bool {
        let Some(facts) = self.state.account(account).filter(|facts| facts.executed > 0) else { return true };
        if self.is_of_system(account, &facts) {
            return true;
        }
        if facts.kind != PrincipalType::ServiceAccount || self.holds_lasting(account) {
            return false;
        }
        let links = self.state.links_of(account).into_iter();
        let links = links.filter(|link| link.to == account && link.rank > Rank::Told);
        let by_others = links.filter(|link| {
            let from = self.state.account(link.from);
            let person = self.who(link.from).kind == PrincipalType::Human;
            person || from.is_some_and(|from| self.is_of_system(link.from, &from))
        });
        by_others.map(|link| link.count).sum::<u64>() >= facts.executed
    }

    /// Whether it is a part of the system that tells of it: what a cluster calls a workload are its nodes and its control
    /// plane; what acts in a cloud's log without any credential is a service of the cloud.
    fn is_of_system(&self, account: Account, facts: &AccountFacts) -> bool {
        let all_of =
            |sort: &str| facts.places.iter().all(|place| place.system.split(':').next() == Some(sort));
        let shows = || self.held_by(account).next().is_some();
        facts.kind == PrincipalType::Workload && (all_of("kubernetes") || all_of("cloudtrail") && !shows())
    }

    /// Whether it was given, or used, a credential that stands until somebody takes it away.
    fn holds_lasting(&self, account: Account) -> bool {
        self.held_by(account).any(|credential| credential.is_static() == Some(true))
    }

    /// What it was given, or used.
    fn held_by(&self, account: Account) -> impl Iterator<Item = CredentialFacts> {
        let all = self.state.credentials_of(account).into_iter().filter_map(|key| self.state.credential(key));
        let own = move |held: &HolderFacts| held.account == account && held.role != Role::Asked;
        all.filter(move |credential| credential.holders.iter().any(own))
    }

    /// A person who is gone from the directory, and of whom the inventory has an account elsewhere that acts.
    pub(super) fn offboarded(&mut self, joined: &Joined, who: Who) {
        let known = self.declared(who).filter(|_| who.kind == PrincipalType::Human);
        let Some(key) = known.map(|known| known.key.clone()) else { return };
        let accounts = self.accounts_of(&key);
        let in_directory =
            accounts.iter().any(|(system, _, facts)| DIRECTORIES.contains(system) && facts.is_some());
        let Some((gone, _)) = self.gone(&key).filter(|_| in_directory) else { return };
        // Work at Deed, or where a directory signs people in, shows that they are there.
        let aside = [DIRECTORIES, OWN, SIGN_ONS].concat();
        let aside = accounts.iter().filter(|(system, ..)| aside.contains(system));
        let aside: BTreeSet<Account> = aside.filter_map(|(_, account, _)| *account).collect();
        let elsewhere = joined.members.iter().map(|member| member.account);
        let elsewhere = elsewhere.filter(|account| !aside.contains(account));
        let acting = elsewhere.filter_map(|account| self.state.account(account));
        let acting = acting.filter(|facts| facts.executed > 0);
        let Some(last) = acting.filter_map(|facts| facts.last_done).max() else { return };
        let since = last.0.0 - gone.0;
        if since <= 0 || last.0 > self.now {
            return;
        }
        let hours = self.thresholds.token_hours;
        let (severity, late) = match since <= i64::from(hours) * HOUR {
            true => (Severity::Low, format!("; what was opened before may hold for {hours} hours")),
            false => (Severity::High, String::new()),
        };
        let reason = format!(
            "`{key}` was removed or suspended in the directory at {}, and an account of theirs elsewhere acted at {}{late}",
            moment(gone),
            moment(last.0)
        );
        self.find(IdentityFinding {
            account: Some(who.head),
            occurrence: gone.to_string(),
            ..IdentityFinding::new(&OFFBOARDED_IDENTITY, severity, reason, last)
        });
    }

    /// Every account that the inventory has for somebody, by the system that has it, and what is known of it.
    fn accounts_of<'n>(&'n self, name: &'n str) -> Vec<(&'n str, Option<Account>, Option<AccountFacts>)> {
        let directory = self.directory;
        let known = directory.account(name).and_then(|account| directory.of(account));
        let names = match known.and_then(|at| directory.principal(at)) {
            Some(known) => std::iter::once(&known.key).chain(&known.aliases).map(String::as_str).collect(),
            None => vec![name],
        };
        let account = |name: &str| {
            let account = directory.account(name);
            (account, account.and_then(|account| self.state.account(account)))
        };
        let all = names.into_iter().map(|name| (Alias::parse(name).system, account(name)));
        all.map(|(system, (account, facts))| (system, account, facts)).collect()
    }

    /// Since when somebody is gone: removed from the directory that has them, or where no record knows one, everywhere;
    /// and not back, nor at work there since.
    fn gone(&self, name: &str) -> Option<(Timestamp, RecordId)> {
        let accounts = self.accounts_of(name);
        let removed = |facts: &AccountFacts| {
            let firm = facts.changes.iter().filter(|entry| {
                entry.change == Change::Revoked && entry.rank > Rank::Told && entry.first <= self.now
            });
            let is_removed = Standing::at(self.now, &facts.changes, None) == Standing::Revoked;
            firm.map(|entry| (entry.last, entry.record)).max().filter(|_| is_removed)
        };
        let told = |systems: &'static [&'static str]| {
            let of = accounts.iter().filter(move |(system, ..)| systems.contains(system));
            of.filter_map(|(.., facts)| facts.as_ref())
        };
        let here = told(OWN).filter(|facts| removed(facts).is_some());
        let mut there: Vec<&AccountFacts> = told(DIRECTORIES).chain(here).collect();
        if there.is_empty() {
            let others = accounts.iter().filter(|(system, ..)| !OWN.contains(system));
            there = others.map(|(.., facts)| facts.as_ref()).collect::<Option<_>>()?;
        }
        let all: Option<Vec<_>> = there.iter().map(|facts| removed(facts)).collect();
        let (gone, record) = all?.into_iter().max()?;
        // What was tried in vain shows nobody who is back.
        let at_work = there.into_iter().chain(told(OWN)).chain(told(SIGN_ONS));
        let mut done = at_work.filter_map(|facts| facts.last_done);
        (!done.any(|(done, _)| done > gone)).then_some((gone, record))
    }
}
