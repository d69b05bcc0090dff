//! The credentials of a principal, and who acted by those that were issued to somebody else.

use std::collections::BTreeMap;

use deed_identity::{CredentialFacts, HolderFacts, Rank, Role};
use deed_ledger::LedgerError;
use deed_record::{Account, RecordId, Timestamp};

use super::{
    MOST_LISTED, Writer, basis, changes,
    rows::{CredentialRow, LinkRow},
};
use crate::identity::{
    nameless,
    names::{credential_names, shown_name},
};

/// Links that are listed, the most used first.
const MOST_LINKS: usize = 50;

impl Writer<'_> {
    /// Credentials, how many there are, and who acted by those that were issued to somebody else.
    pub(super) fn credentials(
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

    pub(super) fn links(&mut self, acted: Vec<Acted>) -> Result<(Vec<LinkRow>, Vec<LinkRow>), LedgerError> {
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
}

/// Credentials that one had issued to another.
pub(super) struct Acted {
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
