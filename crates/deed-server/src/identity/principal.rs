//! `GET /v1/principals/{key}`: who somebody is, and how each part of that is known.

use std::collections::{BTreeMap, BTreeSet};

use deed_identity::{
    Basis, ChangeFacts, CredentialFacts, GrantFacts, GrantKey, HolderFacts, Joined, Rank, Role, Standing,
    State,
};
use deed_ledger::{Key, LedgerError, now};
use deed_record::{Account, Kind, PrincipalType, RecordId, Skeleton, Terms, Timestamp};
use deed_review::report::{InUse, Usage};
use serde::{Deserialize, Serialize};

use super::{
    DeclaredIn, Followed, nameless,
    names::{Names, credential_names, record, shown_name},
    suspended::{SuspensionRow, suspensions},
};
use crate::{
    evidence::{LedgerEvidence, parse},
    force::TENANT,
};

/// Credentials and grants that are listed, the last used first.
const MOST_LISTED: usize = 100;
/// Links that are listed, the most used first.
const MOST_LINKS: usize = 50;
/// Approvals that are looked for of one request.
const MOST_APPROVALS: usize = 16;

/// One principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrincipalAnswer {
    /// The inventory's key; else the account it is called by, which stays when its name is erased.
    pub key: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// What people call it.
    pub name: Option<String>,
    /// Whose it is.
    pub tenant: String,
    /// The organisation that runs it, where it is not ours.
    pub vendor: Option<String>,
    /// Whether the inventory has it.
    pub declared: bool,
    /// Who answers for it, as the inventory says.
    pub owner: Option<String>,
    /// On whose behalf it exists, as the inventory says.
    pub sponsor: Option<String>,
    /// What became of its accounts: made, altered, suspended or removed (`revoked`), let on again; by when that happened last.
    pub changes: Vec<ChangeRow>,
    /// Since when Deed stopped it at its own doors, and what ended that; in the order of time.
    #[serde(default)]
    pub suspensions: Vec<SuspensionRow>,
    /// Every account that is known to be the same.
    pub aliases: Vec<AliasRow>,
    /// Credentials that it was given, used, or had issued; the last used first.
    pub credentials: Vec<CredentialRow>,
    /// How many those are.
    pub credentials_total: u64,
    /// Grants that it was given.
    pub grants: Vec<GrantRow>,
    /// How many those are.
    pub grants_total: u64,
    /// What it did and asked for.
    pub actions: Actions,
    /// When a record named it first.
    pub first_seen: Option<Timestamp>,
    /// When a record named it last.
    pub last_seen: Option<Timestamp>,
    /// For whom it acted.
    pub acted_for: Vec<LinkRow>,
    /// Who acted for it.
    pub acted_through: Vec<LinkRow>,
    /// Joins that evidence would give, and that are refused since they contradict something.
    pub conflicts: Vec<ConflictRow>,
    /// What could not be resolved.
    pub unresolved: Vec<String>,
    /// Records of the log that this is from.
    pub records: u64,
}

/// One account of a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasRow {
    /// As it was sent, `system:name`; `null` where the name was erased.
    pub alias: Option<String>,
    /// As it is sealed.
    pub account: Account,
    /// The system that gives the name its meaning.
    pub system: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// What records say it is.
    #[serde(rename = "type")]
    pub kind: PrincipalType,
    /// `recorded` (records name it, nothing is joined), `declared`, `proven` or `learned`.
    pub basis: String,
    /// The credential that shows it.
    pub credential: Option<String>,
    /// The records that show it.
    pub evidence: Vec<RecordId>,
    /// When a record named it first; `null` where none did.
    pub first_seen: Option<Timestamp>,
    /// When a record named it last.
    pub last_seen: Option<Timestamp>,
}

/// One credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRow {
    /// Its name: fingerprint, the issuer's id or jti. A password or a second factor has none.
    pub credential: Option<String>,
    /// Every name that is known.
    pub names: Vec<String>,
    /// `bearer`, `access_key`, …
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// `given`, `used` or, where others hold it, `asked` (it had the credential issued).
    pub role: String,
    /// `active`, `expired`, `rotated`, `revoked` or `unknown`.
    pub state: String,
    /// It is stopped at Deed's own doors, which revokes nothing at its issuer.
    #[serde(default)]
    pub suspended: bool,
    /// When it was issued.
    pub issued: Option<Timestamp>,
    /// When it ends or ended.
    pub expires: Option<Timestamp>,
    /// When it was first used.
    pub first_used: Option<Timestamp>,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
    /// The last record that used it.
    pub last_record: Option<RecordId>,
    /// Actions that were done with it.
    pub uses: u64,
    /// What became of it, by when that happened last.
    pub changes: Vec<ChangeRow>,
    /// More than one account used it.
    pub shared: bool,
}

/// What became of an account, a credential or a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeRow {
    /// What happened.
    pub change: String,
    /// When it happened first.
    pub time: Timestamp,
    /// When it happened last: of what can happen again, the latest of all tells what holds. An earlier server does not say.
    #[serde(default)]
    pub last: Option<Timestamp>,
    /// How often it was said.
    pub count: u32,
    /// `enforced`, `imported` or `reported`.
    pub basis: String,
    /// The first record that says so.
    pub record: RecordId,
}

/// One grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantRow {
    /// The first record that tells of it.
    pub record: RecordId,
    /// The role.
    pub role: Option<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// What it is about.
    pub resource: Option<String>,
    /// `active`, `expired`, `revoked` or `unknown`.
    pub state: String,
    /// Who gave it.
    pub by: Option<String>,
    /// When it ends or ended; `null` where it stands.
    pub expires: Option<Timestamp>,
    /// The request it answers.
    pub request: Option<RecordId>,
    /// Answers to that request.
    pub approvals: Vec<RecordId>,
    /// Actions that name it.
    pub uses: u64,
    /// The last of them.
    pub last_used: Option<Timestamp>,
    /// When it was last seen in use: an action names it, or its holder used one of its scopes.
    pub in_use: Option<Timestamp>,
    /// Nothing tells whether it is used: what its holder did is not named as its scopes are.
    pub use_unknown: bool,
    /// What became of it.
    pub changes: Vec<ChangeRow>,
}

/// Counts of actions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actions {
    /// That it did.
    pub executed: u64,
    /// That it asked for.
    pub initiated: u64,
    /// The same by system and environment.
    pub by: Vec<PlaceRow>,
}

/// Actions in one system and environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceRow {
    /// The system whose log tells; `deed` where Deed itself does; else the sender.
    pub system: String,
    /// The environment.
    pub environment: Option<String>,
    /// That it did.
    pub executed: u64,
    /// That it asked for.
    pub initiated: u64,
}

/// Somebody who acted for somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRow {
    /// Who: an alias, else the account.
    pub principal: String,
    /// As it is sealed.
    pub account: Account,
    /// `proven`, `learned` (another system's log) or `asserted` (a sender).
    pub basis: String,
    /// `chain`: actions name both; `credential`: one had it issued to the other.
    pub by: String,
    /// Actions, or credentials.
    pub count: u64,
    /// Of credentials, those that were used.
    pub used: u64,
    /// When that was first.
    pub first: Timestamp,
    /// When that was last.
    pub last: Timestamp,
    /// Records that show it.
    pub evidence: Vec<RecordId>,
}

/// A join that is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRow {
    /// The account of this principal.
    pub account: Account,
    /// The other one: an alias, else the account.
    pub with: String,
    /// Why.
    pub why: String,
    /// The records that would show it.
    pub evidence: Vec<RecordId>,
}

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

    /// Credentials, how many there are, and who acted by those that were issued to somebody else.
    fn credentials(
        &mut self,
        unresolved: &mut Vec<String>,
    ) -> Result<(Vec<CredentialRow>, u64, Vec<Acted>), LedgerError> {
        let mut all: BTreeMap<_, CredentialFacts> = BTreeMap::new();
        for account in &self.inside {
            for key in self.state.credentials_of(*account) {
                if let Some(facts) = self.state.credential(key) {
                    all.insert(facts.key, facts);
                }
            }
        }
        let (mut unused, mut unissued) = (0_u64, 0_u64);
        let mut acted: BTreeMap<(bool, Account), Acted> = BTreeMap::new();
        for facts in all.values() {
            let issued = issued(facts).is_some();
            unused += u64::from(issued && facts.uses == 0);
            unissued += u64::from(!issued && facts.uses > 0);
            self.acted(facts, &mut acted);
        }
        if unused > 0 {
            unresolved
                .push(format!("what became of {unused} credentials that were issued and never seen in use"));
        }
        if unissued > 0 {
            unresolved.push(format!(
                "where {unissued} credentials come from that were used: no record issues them"
            ));
        }
        let mut nameless = Vec::new();
        for account in &self.inside {
            let (rows, more) = nameless::of(self.evidence, *account)?;
            nameless.extend(rows);
            if more {
                unresolved.push(format!(
                    "passwords and second factors of `{account}`: only the newest records that tell of it were read"
                ));
            }
        }
        let total = (all.len() + nameless.len()) as u64;
        let mut listed: Vec<CredentialFacts> = all.into_values().collect();
        let last = |facts: &CredentialFacts| {
            facts.last_used.map(|(time, _)| time).or(issued(facts).map(|(time, _)| time))
        };
        listed.sort_by_key(|facts| (std::cmp::Reverse(last(facts)), facts.key));
        listed.truncate(MOST_LISTED);
        let mut rows: Vec<CredentialRow> =
            listed.iter().map(|facts| self.credential(facts)).collect::<Result<_, _>>()?;
        rows.extend(nameless);
        rows.sort_by_key(|row| std::cmp::Reverse(row.last_used.or(row.issued)));
        rows.truncate(MOST_LISTED);
        Ok((rows, total, acted.into_values().collect()))
    }

    fn credential(&self, facts: &CredentialFacts) -> Result<CredentialRow, LedgerError> {
        let own = |role: Role| {
            facts.holders.iter().any(|holder| holder.role == role && self.inside.contains(&holder.account))
        };
        let role = [(Role::Used, "used"), (Role::Given, "given"), (Role::Asked, "asked")];
        let names = credential_names(self.evidence, self.tenant, facts)?;
        Ok(CredentialRow {
            credential: shown_name(&names).cloned(),
            names,
            kind: facts.kind.clone(),
            issuer: facts.issuer.clone(),
            role: role.into_iter().find(|(role, _)| own(*role)).map_or("used", |(_, word)| word).to_owned(),
            state: facts.standing(self.now).as_str().to_owned(),
            suspended: facts.is_suspended(self.now),
            issued: issued(facts).map(|(time, _)| time),
            expires: facts.expires,
            first_used: facts.first_used.map(|(time, _)| time),
            last_used: facts.last_used.map(|(time, _)| time),
            last_record: facts.last_used.map(|(_, record)| record),
            uses: facts.uses,
            changes: changes(&facts.changes),
            shared: self.state.is_shared(facts, &self.inside),
        })
    }

    /// Whoever had a credential issued to somebody else let them act for itself, or acted as them.
    fn acted(&self, facts: &CredentialFacts, acted: &mut BTreeMap<(bool, Account), Acted>) {
        let Some((time, record)) = issued(facts) else { return };
        let asked = facts.holders.iter().filter(|holder| holder.role == Role::Asked);
        let held: Vec<&HolderFacts> =
            facts.holders.iter().filter(|holder| holder.role != Role::Asked).collect();
        // One credential counts once between two principals, however many accounts those have.
        let mut between: BTreeMap<(bool, Account), (&HolderFacts, Option<&HolderFacts>)> = BTreeMap::new();
        for asked in asked {
            for holder in held.iter().copied().filter(|holder| holder.account != asked.account) {
                let outward = self.inside.contains(&asked.account);
                if outward == self.inside.contains(&holder.account) {
                    continue;
                }
                let other = if outward { holder.account } else { asked.account };
                let (_, used) = between.entry((outward, other)).or_insert((asked, None));
                if holder.role == Role::Used && used.is_none_or(|used| used.rank < holder.rank) {
                    *used = Some(holder);
                }
            }
        }
        for ((outward, other), (asked, used)) in between {
            let rank = used.map_or(asked.rank, |used| used.rank.min(asked.rank));
            let evidence: Vec<RecordId> =
                std::iter::once(record).chain(used.map(|used| used.record)).collect();
            let last = facts.last_used.map_or(time, |(last, _)| last.max(time));
            let new = Acted {
                outward,
                other,
                rank,
                count: 0,
                used: 0,
                first: time,
                last,
                evidence: evidence.clone(),
            };
            let entry = acted.entry((outward, other)).or_insert(new);
            entry.count += 1;
            entry.used += u64::from(used.is_some());
            entry.first = entry.first.min(time);
            entry.last = entry.last.max(last);
            // A use beside the issue shows more.
            if (evidence.len(), rank) > (entry.evidence.len(), entry.rank) {
                entry.evidence = evidence;
                entry.rank = rank;
            }
        }
    }

    fn links(&mut self, acted: Vec<Acted>) -> Result<(Vec<LinkRow>, Vec<LinkRow>), LedgerError> {
        let mut rows: Vec<(bool, LinkRow)> = Vec::new();
        for account in self.inside.clone() {
            for link in self.state.links_of(account) {
                let outward = self.inside.contains(&link.from);
                if outward == self.inside.contains(&link.to) {
                    continue;
                }
                let other = if outward { link.to } else { link.from };
                let row = LinkRow {
                    principal: self.called(other)?,
                    account: other,
                    basis: basis(link.rank).to_owned(),
                    by: "chain".to_owned(),
                    count: link.count,
                    used: link.count,
                    first: link.first.0,
                    last: link.last.0,
                    evidence: vec![link.first.1],
                };
                rows.push((outward, row));
            }
        }
        for acted in acted {
            let row = LinkRow {
                principal: self.called(acted.other)?,
                account: acted.other,
                basis: basis(acted.rank).to_owned(),
                by: "credential".to_owned(),
                count: acted.count,
                used: acted.used,
                first: acted.first,
                last: acted.last,
                evidence: acted.evidence,
            };
            rows.push((acted.outward, row));
        }
        rows.sort_by(|(_, a), (_, b)| (b.count, &a.principal, &a.by).cmp(&(a.count, &b.principal, &b.by)));
        let (mut through, mut on_behalf): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|(outward, _)| *outward);
        through.truncate(MOST_LINKS);
        on_behalf.truncate(MOST_LINKS);
        let plain = |rows: Vec<(bool, LinkRow)>| rows.into_iter().map(|(_, row)| row).collect();
        Ok((plain(on_behalf), plain(through)))
    }

    fn grants(&self, joined: &Joined) -> Result<(Vec<GrantRow>, u64), LedgerError> {
        let mut all: Vec<GrantFacts> =
            self.inside.iter().flat_map(|account| self.state.grants_of(*account)).collect();
        let last = |facts: &GrantFacts| facts.changes.iter().map(|change| change.last).max();
        all.sort_by_key(|facts| (std::cmp::Reverse(last(facts)), facts.key));
        let total = all.len() as u64;
        all.truncate(MOST_LISTED);
        let accounts = self.inside.iter().filter_map(|account| self.state.account(*account));
        let usage = Usage::of(joined.kind, accounts, None, None);
        let rows = all.iter().filter_map(|facts| self.grant(facts, &usage).transpose());
        Ok((rows.collect::<Result<_, _>>()?, total))
    }

    fn grant(&self, facts: &GrantFacts, usage: &Usage) -> Result<Option<GrantRow>, LedgerError> {
        let given = facts.changes.iter().min_by_key(|change| (change.first, change.record));
        let Some(first) = given.map(|change| change.record) else { return Ok(None) };
        let Some(sealed) = record(self.evidence, first)? else { return Ok(None) };
        let skeleton = parse(&sealed)?;
        let effect = skeleton.effects.iter().flatten().find(|effect| {
            effect.kind == Kind::Grant && GrantKey::of_effect(self.tenant, effect) == facts.key
        });
        let terms = effect.map_or(skeleton.terms.as_ref(), |effect| effect.terms.as_ref());
        let resource = effect.map_or(skeleton.resource.as_ref(), |effect| effect.resource.as_ref());
        let by = terms.and_then(|terms| terms.by.as_ref()).or(skeleton.executor.as_ref());
        let mut names = Names::new(self.evidence);
        let by = match by.and_then(|party| party.account) {
            Some(account) => {
                Some(names.at(account, sealed.index)?.map_or(account.to_string(), |name| name.key))
            }
            None => None,
        };
        let in_use = usage.in_use(facts);
        let (mut role, mut scopes) = gives(terms);
        if role.is_none() && scopes.is_empty() && resource.is_none() {
            (role, scopes) = self.asked_for(&skeleton)?;
        }
        Ok(Some(GrantRow {
            record: first,
            role,
            scopes,
            resource: resource.map(|resource| resource.uri.to_string()),
            state: Standing::at(self.now, &facts.changes, facts.expires).as_str().to_owned(),
            by,
            expires: facts.expires,
            request: skeleton.request,
            approvals: self.approvals(&skeleton)?,
            uses: facts.uses,
            last_used: facts.last_used.map(|(time, _)| time),
            in_use: if let InUse::Last(last) = in_use { Some(last) } else { None },
            use_unknown: in_use == InUse::Unknown,
            changes: changes(&facts.changes),
        }))
    }

    /// What its request asked for: some logs say only of the request what was given on it.
    fn asked_for(&self, grant: &Skeleton<'_>) -> Result<(Option<String>, Vec<String>), LedgerError> {
        let ledger = self.evidence.ledger();
        let Some(request) = grant.request else { return Ok((None, Vec::new())) };
        for key in [Key::Id(request), Key::Ref(request)] {
            for index in ledger.lookup(&key, MOST_APPROVALS, None)? {
                let sealed = ledger.leaf(index)?;
                let skeleton = parse(&sealed)?;
                let own = (skeleton.kind, skeleton.terms.as_ref());
                let effects =
                    skeleton.effects.iter().flatten().map(|effect| (effect.kind, effect.terms.as_ref()));
                let mut asked =
                    std::iter::once(own).chain(effects).filter(|(kind, _)| *kind == Kind::Request);
                if let Some((_, terms)) = asked.next().filter(|_| *skeleton.tenant == *grant.tenant) {
                    return Ok(gives(terms));
                }
            }
        }
        Ok((None, Vec::new()))
    }

    /// Answers that the grant names, or that its request got.
    fn approvals(&self, grant: &Skeleton<'_>) -> Result<Vec<RecordId>, LedgerError> {
        let mut ids: BTreeSet<RecordId> = grant.approvals.iter().flatten().copied().collect();
        let ledger = self.evidence.ledger();
        if let Some(request) = grant.request {
            for index in ledger.lookup(&Key::Ref(request), MOST_APPROVALS, None)? {
                let sealed = ledger.leaf(index)?;
                let skeleton = parse(&sealed)?;
                if skeleton.kind == Kind::Approval && *skeleton.tenant == *grant.tenant {
                    ids.insert(skeleton.id);
                }
            }
        }
        Ok(ids.into_iter().collect())
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

/// Credentials that one had issued to another.
struct Acted {
    /// From the principal that is asked about to others.
    outward: bool,
    other: Account,
    rank: Rank,
    count: u64,
    used: u64,
    first: Timestamp,
    last: Timestamp,
    evidence: Vec<RecordId>,
}

/// When it was first issued, and the record that says so.
fn issued(facts: &CredentialFacts) -> Option<(Timestamp, RecordId)> {
    use deed_record::Change::{Issued, Renewed, Rotated};
    let begins = facts.changes.iter().filter(|change| matches!(change.change, Issued | Renewed | Rotated));
    begins.map(|change| (change.first, change.record)).min()
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

/// The role and the scopes that `terms` name.
fn gives(terms: Option<&Terms<'_>>) -> (Option<String>, Vec<String>) {
    let role = terms.and_then(|terms| terms.role.as_ref()).map(|role| role.to_string());
    let scopes = terms.iter().flat_map(|terms| &terms.scopes).map(|scope| scope.to_string());
    (role, scopes.collect())
}
