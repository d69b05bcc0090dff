//! What accounts and credentials are called: read from the records that name them, and kept for one answer.

use std::collections::HashMap;

use deed_identity::{CredentialFacts, CredentialKey};
use deed_ledger::{Key, LedgerError, Name};
use deed_record::{Account, Credential, RecordId, Sealed, Skeleton};

use crate::evidence::{LedgerEvidence, parse};

/// Names of one answer.
pub(crate) struct Names<'e> {
    evidence: &'e LedgerEvidence<'e>,
    accounts: HashMap<Account, Option<Name>>,
}

impl<'e> Names<'e> {
    pub(crate) fn new(evidence: &'e LedgerEvidence<'e>) -> Self {
        Names { evidence, accounts: HashMap::new() }
    }

    /// What `account` is called, where a record that names it is at hand. `None` where the name was erased.
    pub(crate) fn of(&mut self, account: Account, record: RecordId) -> Result<Option<Name>, LedgerError> {
        if !self.accounts.contains_key(&account) {
            let ledger = self.evidence.ledger();
            let index = ledger.lookup(&Key::Id(record), 1, None)?.first().copied();
            index.map(|index| self.learn(index)).transpose()?;
            self.accounts.entry(account).or_insert(None);
        }
        Ok(self.accounts.get(&account).cloned().flatten())
    }

    /// What `account` is called, which leaf `index` names.
    pub(super) fn at(&mut self, account: Account, index: u64) -> Result<Option<Name>, LedgerError> {
        if !self.accounts.contains_key(&account) {
            self.learn(index)?;
            self.accounts.entry(account).or_insert(None);
        }
        Ok(self.accounts.get(&account).cloned().flatten())
    }

    fn learn(&mut self, index: u64) -> Result<(), LedgerError> {
        for (account, name) in self.evidence.ledger().names(index)? {
            self.accounts.entry(account).or_insert(Some(name));
        }
        Ok(())
    }
}

/// Record `id`, if it is there.
pub(super) fn record(evidence: &LedgerEvidence<'_>, id: RecordId) -> Result<Option<Sealed>, LedgerError> {
    let ledger = evidence.ledger();
    match ledger.lookup(&Key::Id(id), 1, None)?.first() {
        Some(index) => ledger.leaf(*index).map(Some),
        None => Ok(None),
    }
}

/// Every name of the credential that `facts` are about: those that the records which tell of it have.
pub(crate) fn credential_names(
    evidence: &LedgerEvidence<'_>,
    tenant: &str,
    facts: &CredentialFacts,
) -> Result<Vec<String>, LedgerError> {
    let mut ids: Vec<RecordId> = facts.changes.iter().map(|change| change.record).collect();
    ids.extend(facts.holders.iter().map(|holder| holder.record));
    ids.extend(facts.first_used.map(|(_, id)| id));
    // Two tell as much as all.
    ids.truncate(2);
    let mut names: Vec<String> = Vec::new();
    for id in ids {
        let Some(sealed) = record(evidence, id)? else { continue };
        let skeleton = parse(&sealed)?;
        names.extend(names_in(&skeleton, tenant, facts.key));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The name that people know a credential by: an id says more than a fingerprint.
pub(crate) fn shown_name(names: &[String]) -> Option<&String> {
    names.iter().find(|name| !name.starts_with("sha256:")).or(names.first())
}

/// What `record` calls the credential of which `key` is one name.
fn names_in(record: &Skeleton<'_>, tenant: &str, key: CredentialKey) -> Vec<String> {
    let credentials: Vec<&Credential<'_>> = record
        .credential
        .iter()
        .chain(record.effects.iter().flatten().filter_map(|effect| effect.credential.as_ref()))
        .collect();
    let is = |name: &str| CredentialKey::of(tenant, name) == key;
    for credential in &credentials {
        if credential.names().any(is) {
            return credential.names().map(str::to_owned).collect();
        }
    }
    let further = credentials.iter().flat_map(|credential| [&credential.upstream, &credential.parent]);
    let hops = record.chain.iter().flatten().map(|hop| &hop.credential);
    further.chain(hops).flatten().filter(|name| is(name)).map(|name| name.to_string()).take(1).collect()
}
