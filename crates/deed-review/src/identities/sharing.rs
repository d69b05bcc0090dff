//! What several use that is one's own.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deed_identity::{Address, CredentialFacts, InTurns, Rank, SeenBy, SeenFacts};
use deed_record::{Account, PrincipalType, RecordId, Timestamp};

use super::{IdentityFinding, Look, Subject, count};
use crate::{
    Rule,
    words::{Severity, moment},
};

pub(super) const SHARED_ACCOUNT: Rule = Rule {
    name: "shared-account",
    means: "one credential was used by several principals, or from several instances, devices or addresses in turns",
    remedy: "give each of them a credential of its own, then revoke this one",
    controls: &["NHI9:2025", "PR.AA-01", "IA-2(5)", "AC-2(9)"],
};

/// Principals that may come from the same two addresses in turns and be told apart from a network: what holds one copied
/// key may hold another.
const MOST_BY_ONE_WAY: usize = 2;

/// A credential that was used from two addresses in turns.
pub(super) struct Turned {
    addresses: (Address, Address),
    /// Who used it.
    by: Vec<Account>,
    /// Where nothing else is found of it.
    finding: Option<IdentityFinding>,
}

impl Look<'_> {
    pub(super) fn shared(&mut self, credential: &CredentialFacts) {
        let mut by: BTreeMap<Account, RecordId> = BTreeMap::new();
        let mut firm = false;
        for held in self.state.users(credential) {
            firm |= held.rank > Rank::Told;
            by.entry(self.who(held.account).head).or_insert(held.record);
        }
        let Some(last) = credential.last_used else { return };
        if let Some(turns) = &credential.in_turns {
            let by = by.keys().copied().filter(|_| firm).collect();
            self.turned.push(Turned { addresses: turns.addresses, by, finding: None });
        }
        if by.len() > 1 {
            let more = if credential.more_holders { ", and more" } else { "" };
            // A sender may name anybody: whoever is told of may have used nothing.
            let (severity, told) =
                if firm { (Severity::High, "") } else { (Severity::Medium, ", as senders alone say") };
            let reason = format!("{}{more} used it{told}", count(by.len() as i64, "principal"));
            let others: Vec<Account> = by.keys().copied().collect();
            self.found_shared(credential, severity, reason, last, others);
            return;
        }
        if !firm {
            return;
        }
        // A person may have two devices; that a machine is in two places at a time is worth a look.
        let Some((account, _)) = by.pop_first() else { return };
        let machine = matches!(
            self.who(account).kind,
            PrincipalType::Agent | PrincipalType::Workload | PrincipalType::ServiceAccount
        );
        let apart = |seen: &&SeenFacts| seen.by != SeenBy::Task && seen.overlap();
        if let Some(seen) = credential.seen.iter().find(apart).filter(|_| machine) {
            let many = if seen.more { "more than " } else { "" };
            let number = count(seen.each.len() as i64, seen.by.as_str());
            let reason = format!("{many}{number} used it in turns");
            self.found_shared(credential, Severity::Medium, reason, last, vec![account]);
        } else if let (Some(InTurns { from, to, .. }), Some(turned)) =
            (credential.in_turns.filter(|_| machine), self.turned.last_mut())
        {
            let reason = format!("two addresses used it in turns, from {} to {}", moment(from), moment(to));
            turned.finding = Some(shared(credential, Severity::Medium, reason, last, vec![account]));
        }
    }

    /// Findings of what was used from two addresses in turns. Two addresses from which ever so many principals come in turns
    /// are the ways out of one network, or into one system, and tell nothing of any of them.
    pub(super) fn turned(&mut self) {
        let mut by: HashMap<(Address, Address), BTreeSet<Account>> = HashMap::new();
        for turned in &self.turned {
            by.entry(turned.addresses).or_default().extend(&turned.by);
        }
        for turned in std::mem::take(&mut self.turned) {
            let few = by.get(&turned.addresses).is_some_and(|by| by.len() <= MOST_BY_ONE_WAY);
            if let Some(finding) = turned.finding.filter(|_| few) {
                self.find(finding);
            }
        }
    }

    fn found_shared(
        &mut self,
        credential: &CredentialFacts,
        severity: Severity,
        reason: String,
        last: (Timestamp, RecordId),
        others: Vec<Account>,
    ) {
        self.find(shared(credential, severity, reason, last, others));
    }
}

fn shared(
    credential: &CredentialFacts,
    severity: Severity,
    reason: String,
    last: (Timestamp, RecordId),
    others: Vec<Account>,
) -> IdentityFinding {
    IdentityFinding {
        account: others.first().copied(),
        subject: Some(Subject::Credential(credential.key)),
        occurrence: String::new(),
        others,
        ..IdentityFinding::new(&SHARED_ACCOUNT, severity, reason, last)
    }
}
