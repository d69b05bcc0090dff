//! What accounts and credentials are called: read from the records that name them, and kept for one answer.

use std::collections::{BTreeSet, HashMap};

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
    let used = facts.first_used.map(|(_, id)| id).into_iter();
    let ids = used.chain(facts.changes.iter().map(|change| change.record));
    let mut read = BTreeSet::new();
    let mut names = BTreeSet::new();
    for id in ids.chain(facts.holders.iter().map(|holder| holder.record)) {
        // A record of its issue may have another name than those of its use.
        if names.len() >= facts.names.len() {
            break;
        }
        if read.insert(id)
            && let Some(sealed) = record(evidence, id)?
        {
            names.extend(names_in(&parse(&sealed)?, tenant, &facts.names));
        }
    }
    Ok(names.into_iter().collect())
}

/// The name that people know a credential by: an id says more than a fingerprint.
pub(crate) fn shown_name(names: &[String]) -> Option<&String> {
    names.iter().find(|name| !name.starts_with("sha256:")).or(names.first())
}

/// What `record` calls the credential of which `keys` are the names.
fn names_in(record: &Skeleton<'_>, tenant: &str, keys: &[CredentialKey]) -> Vec<String> {
    let credentials: Vec<&Credential<'_>> = record
        .credential
        .iter()
        .chain(record.effects.iter().flatten().filter_map(|effect| effect.credential.as_ref()))
        .collect();
    let is = |name: &str| keys.contains(&CredentialKey::of(tenant, name));
    for credential in &credentials {
        if credential.names().any(is) {
            return credential.names().map(str::to_owned).collect();
        }
    }
    let further = credentials.iter().flat_map(|credential| [&credential.upstream, &credential.parent]);
    let hops = record.chain.iter().flatten().map(|hop| &hop.credential);
    further.chain(hops).flatten().filter(|name| is(name)).map(|name| name.to_string()).take(1).collect()
}
