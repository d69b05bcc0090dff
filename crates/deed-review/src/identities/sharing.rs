//! What several use that is one's own.

use std::collections::BTreeMap;

use deed_identity::{CredentialFacts, Rank, Role, SeenBy, SeenFacts};
use deed_record::{Account, PrincipalType, RecordId, Timestamp};

use super::{IdentityFinding, Look, Subject, count};
use crate::{Rule, words::Severity};

pub(super) const SHARED_ACCOUNT: Rule = Rule {
    name: "shared-account",
    means: "one credential was used by several principals, or from several instances or devices in turns",
    remedy: "give each of them a credential of its own, then revoke this one",
    controls: &["NHI9:2025", "PR.AA-01", "IA-2(5)", "AC-2(9)"],
};

impl Look<'_> {
    pub(super) fn shared(&mut self, credential: &CredentialFacts) {
        // Only a log tells who used it; a sender may name anybody.
        let used = credential.holders.iter().filter(|held| held.role == Role::Used && held.rank > Rank::Told);
        let mut by: BTreeMap<Account, RecordId> = BTreeMap::new();
        let used: Vec<(Account, RecordId)> = used.map(|held| (held.account, held.record)).collect();
        // Who acted through another, as one chain of one act says, shared nothing with them.
        let apart = used.iter().enumerate().filter(|(at, (account, record))| {
            let links = self.state.links_of(*account);
            !used[..*at].iter().any(|(other, theirs)| {
                theirs == record || links.iter().any(|link| link.from == *other || link.to == *other)
            })
        });
        let apart: Vec<(Account, RecordId)> = apart.map(|(_, used)| *used).collect();
        for (account, record) in apart {
            by.entry(self.who(account).head).or_insert(record);
        }
        let Some(last) = credential.last_used else { return };
        if by.len() > 1 {
            let more = if credential.more_holders { ", and more" } else { "" };
            let reason = format!("{}{more} used it", count(by.len() as i64, "principal"));
            let others: Vec<Account> = by.keys().copied().collect();
            self.found_shared(credential, Severity::High, reason, last, others);
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
        self.find(IdentityFinding {
            account: others.first().copied(),
            subject: Some(Subject::Credential(credential.key)),
            occurrence: String::new(),
            others,
            ..IdentityFinding::new(&SHARED_ACCOUNT, severity, reason, last)
        });
    }
}
