//! The ledger as a source of evidence for `deed-review`.

use std::sync::Arc;

use deed_ledger::{BlobError, Key, Ledger, LedgerError};
use deed_record::{Account, Kind, RecordId, Sealed, Skeleton, TraceId};
use deed_review::{Evidence, Found, Name};
use deed_seal::hash::leaf_hash;

/// Most leaves that one look-up reads to find the few that change something among the many that use it.
const MOST_READ: usize = 512;

/// What one caller may see of a ledger.
#[derive(Clone, Copy)]
pub struct LedgerEvidence<'l> {
    ledger: &'l Ledger,
    /// The only tenant whose records are shown.
    tenant: Option<&'l str>,
    origin: &'l Arc<str>,
}

impl<'l> LedgerEvidence<'l> {
    pub(crate) fn new(ledger: &'l Ledger, origin: &'l Arc<str>, tenant: Option<&'l str>) -> Self {
        LedgerEvidence { ledger, tenant, origin }
    }

    /// The ledger.
    pub(crate) fn ledger(&self) -> &'l Ledger {
        self.ledger
    }

    /// Leaf `index`, whoever's it is.
    pub(crate) fn found(&self, index: u64) -> Result<Found, LedgerError> {
        let sealed = self.ledger.leaf(index)?;
        let leaf_hash = leaf_hash(&sealed.leaf).0;
        Ok(Found { sealed, log: self.origin.clone(), leaf_hash })
    }

    pub(crate) fn shows(&self, record: &Skeleton<'_>) -> bool {
        self.tenant.is_none_or(|tenant| tenant == &*record.tenant)
    }

    /// The newest leaves of `key` that `wanted` holds of, at most `limit`.
    ///
    /// Where so many others stood between them that not all could be read, those fill the answer up to
    /// `limit`: it then counts as cut, as it is.
    fn select(
        &self,
        key: &Key<'_>,
        limit: usize,
        wanted: impl Fn(&Skeleton<'_>) -> bool,
    ) -> Result<Vec<Found>, LedgerError> {
        let mut selected = Vec::new();
        let mut others = Vec::new();
        let mut read = 0;
        let mut before = None;
        loop {
            let batch = self.ledger.lookup(key, limit.min(MOST_READ), before)?;
            let last = batch.len() < limit.min(MOST_READ);
            before = batch.last().copied();
            for index in batch {
                let found = self.found(index)?;
                let record = parse(&found.sealed)?;
                if !self.shows(&record) {
                    continue;
                }
                if wanted(&record) {
                    selected.push(found);
                } else if others.len() < limit {
                    others.push(found);
                }
                if selected.len() == limit {
                    return Ok(selected);
                }
                read += 1;
            }
            if last {
                return Ok(selected);
            }
            if read >= MOST_READ {
                selected.extend(others);
                selected.truncate(limit);
                return Ok(selected);
            }
        }
    }
}

pub(crate) fn parse(sealed: &Sealed) -> Result<Skeleton<'_>, LedgerError> {
    sealed.skeleton().map_err(|e| LedgerError::Broken(format!("leaf {} is no record: {e}", sealed.index)))
}

impl Evidence for LedgerEvidence<'_> {
    type Error = LedgerError;

    fn by_id(&self, id: RecordId) -> Result<Option<Found>, LedgerError> {
        match self.ledger.lookup(&Key::Id(id), 1, None)?.first() {
            Some(index) => {
                let found = self.found(*index)?;
                let shown = self.shows(&parse(&found.sealed)?);
                Ok(shown.then_some(found))
            }
            None => Ok(None),
        }
    }

    fn by_ref(&self, id: RecordId, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.select(&Key::Ref(id), limit, |record| !merely_relies(record, id))
    }

    fn by_credential(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.select(&Key::Credential { tenant, name }, limit, |record| changes_credential(record, name))
    }

    fn by_trace(&self, trace: TraceId, limit: usize) -> Result<Vec<Found>, LedgerError> {
        let indexes = self.ledger.lookup(&Key::Trace(trace), limit, None)?;
        let mut all = Vec::with_capacity(indexes.len());
        for index in indexes {
            let found = self.found(index)?;
            if self.shows(&parse(&found.sealed)?) {
                all.push(found);
            }
        }
        Ok(all)
    }

    fn names(&self, found: &Found) -> Result<Vec<(Account, Name)>, LedgerError> {
        let names = self.ledger.names(found.sealed.index)?;
        Ok(names
            .into_iter()
            .map(|(account, name)| (account, Name { key: name.key, name: name.name }))
            .collect())
    }

    fn disclosable(&self, found: &Found) -> Result<Vec<String>, LedgerError> {
        let opened = match self.ledger.disclosures(found.sealed.index) {
            Ok(opened) => opened,
            // Erased: there is nothing left to ask for.
            Err(LedgerError::Blob(BlobError::NoKey)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let full_name = |group: Option<String>, name: String| match group {
            Some(group) => format!("{group}.{name}"),
            None => name,
        };
        Ok(opened.into_iter().map(|opened| full_name(opened.group, opened.name)).collect())
    }
}

/// Whether an action names `id` only as the right it relies on.
fn merely_relies(record: &Skeleton<'_>, id: RecordId) -> bool {
    let belongs = [record.action, record.supersedes, record.conflicts_with].contains(&Some(id));
    let delegated = record.chain.iter().flatten().any(|hop| hop.delegation == Some(id));
    let changes = record.effects.iter().flatten().next().is_some();
    record.kind.is_action() && !belongs && !delegated && !changes
}

/// Whether a record says something about the credential called `name`, rather than using it.
fn changes_credential(record: &Skeleton<'_>, name: &str) -> bool {
    let own = record.credential.iter().filter(|_| record.kind == Kind::Credential);
    let changed = record.effects.iter().flatten().filter(|effect| effect.kind == Kind::Credential);
    own.chain(changed.filter_map(|effect| effect.credential.as_ref()))
        .any(|credential| credential.names().any(|n| n == name))
}
