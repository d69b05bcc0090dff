//! `GET /v1/principals/{key}`: who somebody is, and how each part of that is known.

mod credentials;
mod grants;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use deed_identity::{Basis, ChangeFacts, Joined, Rank, State};
use deed_ledger::{LedgerError, now};
use deed_record::{Account, PrincipalType, Timestamp};

use self::rows::{Actions, AliasRow, ConflictRow, PlaceRow};
pub use self::rows::{ChangeRow, PrincipalAnswer};
pub(crate) use self::rows::{CredentialRow, GrantRow};
use super::{
    DeclaredIn, Followed,
    names::{Names, credential_names},
    suspended::{SuspensionRow, suspensions},
};
use crate::{evidence::LedgerEvidence, force::TENANT};

/// Credentials and grants that are listed, the last used first.
const MOST_LISTED: usize = 100;

/// The principal that `account` of `tenant` is of; `None` where neither records nor the inventory know it.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn principal(
    evidence: &LedgerEvidence<'_>,
    followed: &Followed,
    declared: &DeclaredIn,
    tenant: &str,
    account: Account,
) -> Result<Option<PrincipalAnswer>, LedgerError> {
    let state = &followed.state;
    let joined = state.principal(account, declared);
    let seen =
        joined.members.iter().any(|member| state.tenant_of(member.account).is_some_and(|of| of == tenant));
    if !seen && joined.declared.is_none() {
        return Ok(None);
    }
    let inside = joined.members.iter().map(|member| member.account).collect();
    let mut writer = Writer { evidence, state, tenant, inside, names: Names::new(evidence), now: now() };
    writer.answer(&joined, declared, followed.leaves).map(Some)
}

struct Writer<'w> {
    evidence: &'w LedgerEvidence<'w>,
    state: &'w State,
    tenant: &'w str,
    /// The accounts of the principal.
    inside: BTreeSet<Account>,
    names: Names<'w>,
    now: Timestamp,
}

impl Writer<'_> {
    fn answer(
        &mut self,
        joined: &Joined,
        declared: &DeclaredIn,
        records: u64,
    ) -> Result<PrincipalAnswer, LedgerError> {
        let known = joined.declared.and_then(|at| declared.principal(at));
        let mut unresolved = Vec::new();
        let aliases = self.aliases(joined, known)?;
        let suspensions = self.suspensions(&aliases, known)?;
        let (credentials, total, acted) = self.credentials(&mut unresolved)?;
        let (grants, grants_total) = self.grants(joined)?;
        let (acted_for, acted_through) = self.links(acted)?;
        let facts = || joined.members.iter().filter_map(|member| self.state.account(member.account));
        let kinds: BTreeSet<PrincipalType> = facts().flat_map(|facts| facts.kinds).collect();
        let became: Vec<ChangeFacts> = facts().flat_map(|facts| facts.changes).collect();
        if joined.kind == PrincipalType::Unknown {
            unresolved.push(if kinds.is_empty() {
                "what it is: no record says, and the inventory does not have it".to_owned()
            } else {
                let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
                format!("what it is: records say {}", kinds.join(" and "))
            });
        }
        for (what, said) in [
            ("who answers for it", known.and_then(|known| known.owner.as_ref())),
            ("on whose behalf it exists", known.and_then(|known| known.sponsor.as_ref())),
        ] {
            if said.is_none() && joined.kind != PrincipalType::Human {
                unresolved.push(format!("{what}: the inventory does not say"));
            }
        }
        let mut conflicts = Vec::new();
        for refused in &joined.refused {
            let (own, other) = if self.inside.contains(&refused.one) {
                (refused.one, refused.other)
            } else {
                (refused.other, refused.one)
            };
            let with = self.called(other)?;
            if refused.why.is_conflict() {
                let (why, evidence) = (refused.why.as_str().to_owned(), refused.evidence.clone());
                conflicts.push(ConflictRow { account: own, with, why, evidence });
            } else {
                unresolved.push(format!("whether `{with}` is the same: {}", refused.why.as_str()));
            }
        }
        if joined.cut {
            unresolved.push(format!("more than {} accounts: the rest is not followed", joined.members.len()));
        }
        unresolved.extend(self.state.left_out());
        let head = joined.members.first().map(|member| member.account);
        let key = known.map(|known| known.key.clone()).or_else(|| head.map(|head| head.to_string()));
        Ok(PrincipalAnswer {
            key: key.unwrap_or_default(),
            kind: joined.kind,
            name: known
                .and_then(|known| known.name.clone())
                .or_else(|| aliases.iter().find_map(|alias| alias.name.clone())),
            tenant: self.tenant.to_owned(),
            vendor: known.and_then(|known| known.vendor.clone()),
            declared: known.is_some(),
            owner: known.and_then(|known| known.owner.clone()),
            sponsor: known.and_then(|known| known.sponsor.clone()),
            changes: changes(&became),
            suspensions,
            aliases,
            credentials,
            credentials_total: total,
            grants,
            grants_total,
            actions: self.actions(joined),
            first_seen: facts().map(|facts| facts.first_seen).min(),
            last_seen: facts().map(|facts| facts.last_seen).max(),
            acted_for,
            acted_through,
            conflicts,
            unresolved,
            records,
        })
    }

    /// Its suspensions, under whichever of its names.
    fn suspensions(
        &mut self,
        aliases: &[AliasRow],
        known: Option<&deed_identity::Principal>,
    ) -> Result<Vec<SuspensionRow>, LedgerError> {
        let ledger = self.evidence.ledger();
        let mut in_default = BTreeSet::new();
        // The suspensions of `default` hold for all; its own accounts are among `inside`.
        if self.tenant != TENANT {
            let names = aliases.iter().filter_map(|row| row.alias.as_deref());
            for name in names.chain(known.map(|known| &*known.key)) {
                in_default.extend(ledger.account(TENANT, name)?);
            }
        }
        suspensions(ledger, &mut self.names, (self.tenant, &self.inside), &in_default)
    }

    fn aliases(
        &mut self,
        joined: &Joined,
        known: Option<&deed_identity::Principal>,
    ) -> Result<Vec<AliasRow>, LedgerError> {
        // The inventory has names in clear, also of accounts that no record names.
        let ledger = self.evidence.ledger();
        let mut clear: BTreeMap<Account, &str> = BTreeMap::new();
        for name in known.iter().flat_map(|known| std::iter::once(&known.key).chain(&known.aliases)) {
            if let Some(account) = ledger.account(self.tenant, name)? {
                clear.insert(account, name);
            }
        }
        let mut rows = Vec::new();
        for member in &joined.members {
            let facts = self.state.account(member.account);
            let name = match &facts {
                Some(facts) => self.names.of(member.account, facts.first_record)?,
                None => None,
            };
            let declared = clear.get(&member.account).map(|name| (*name).to_owned());
            // The bare key of the inventory is no alias unless a record uses it.
            let is_key = known.is_some_and(|known| declared.as_ref() == Some(&known.key));
            if facts.is_none() && is_key && !declared.as_ref().is_some_and(|name| name.contains(':')) {
                continue;
            }
            let alias = name.as_ref().map(|name| name.key.clone()).or(declared);
            let credential = match member.credential.and_then(|key| self.state.credential(key)) {
                Some(facts) => credential_names(self.evidence, self.tenant, &facts)?.into_iter().next(),
                None => None,
            };
            rows.push(AliasRow {
                system: alias.as_deref().map(|alias| deed_record::Alias::parse(alias).system.to_owned()),
                alias,
                account: member.account,
                name: name.and_then(|name| name.name),
                kind: facts.as_ref().map_or(PrincipalType::Unknown, |facts| facts.kind),
                basis: member.basis.as_str().to_owned(),
                credential,
                evidence: match (&facts, member.basis) {
                    (Some(facts), Basis::Recorded | Basis::Declared) => vec![facts.first_record],
                    _ => member.evidence.clone(),
                },
                first_seen: facts.as_ref().map(|facts| facts.first_seen),
                last_seen: facts.as_ref().map(|facts| facts.last_seen),
            });
        }
        Ok(rows)
    }

    fn actions(&self, joined: &Joined) -> Actions {
        let mut actions = Actions::default();
        let mut places: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        for facts in joined.members.iter().filter_map(|member| self.state.account(member.account)) {
            actions.executed += facts.executed;
            actions.initiated += facts.initiated;
            for place in facts.places {
                let (executed, initiated) = places.entry((place.system, place.environment)).or_default();
                *executed += place.executed;
                *initiated += place.initiated;
            }
        }
        let row = |((system, environment), (executed, initiated)): ((String, String), (u64, u64))| PlaceRow {
            system,
            environment: Some(environment).filter(|environment| !environment.is_empty()),
            executed,
            initiated,
        };
        actions.by = places.into_iter().map(row).collect();
        actions
    }

    /// What an account is called: its alias, else as it is sealed.
    fn called(&mut self, account: Account) -> Result<String, LedgerError> {
        let name = match self.state.account(account) {
            Some(facts) => self.names.of(account, facts.first_record)?,
            None => None,
        };
        Ok(name.map_or_else(|| account.to_string(), |name| name.key))
    }
}

fn basis(rank: Rank) -> &'static str {
    match rank {
        Rank::Enforced => "proven",
        Rank::Logged => "learned",
        Rank::Told => "asserted",
    }
}

fn changes(changes: &[ChangeFacts]) -> Vec<ChangeRow> {
    let said = |rank| match rank {
        Rank::Enforced => "enforced",
        Rank::Logged => "imported",
        Rank::Told => "reported",
    };
    let row = |change: &ChangeFacts| ChangeRow {
        change: change.change.as_str().to_owned(),
        time: change.first,
        last: Some(change.last),
        count: change.count,
        basis: said(change.rank).to_owned(),
        record: change.record,
    };
    let mut rows: Vec<ChangeRow> = changes.iter().map(row).collect();
    rows.sort_by_key(|row| (row.last, row.time, row.record));
    rows
}
