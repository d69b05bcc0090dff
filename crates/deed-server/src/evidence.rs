//! The ledger as a source of evidence for `deed-review`.

use std::sync::Arc;

use deed_identity::Coverage;
use deed_ledger::{BlobError, Key, Ledger, LedgerError, day, hour};
use deed_record::{Account, RecordId, Right, Sealed, Skeleton, Timestamp, TraceId, Tried};
use deed_review::{Controlled, Declared, Evidence, Found, Name, explanation::Suppressed, tuning::Matter};
use deed_seal::hash::leaf_hash;

use crate::{
    joins::Joins,
    tuning::{Hiding, Tunings},
};

/// What one caller may see of a ledger.
#[derive(Clone, Copy)]
pub struct LedgerEvidence<'l> {
    ledger: &'l Ledger,
    /// The only tenant whose records are shown.
    tenant: Option<&'l str>,
    origin: &'l Arc<str>,
    joins: &'l Joins,
    tunings: &'l Tunings,
}

impl<'l> LedgerEvidence<'l> {
    pub(crate) fn new(
        ledger: &'l Ledger,
        origin: &'l Arc<str>,
        joins: &'l Joins,
        tunings: &'l Tunings,
        tenant: Option<&'l str>,
    ) -> Self {
        LedgerEvidence { ledger, tenant, origin, joins, tunings }
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

    /// The newest leaves of `key` that may be shown, at most `limit`.
    fn shown(&self, key: &Key<'_>, limit: usize) -> Result<Vec<Found>, LedgerError> {
        let mut shown = Vec::new();
        let mut before = None;
        loop {
            let batch = self.ledger.lookup(key, limit, before)?;
            let last = batch.len() < limit;
            before = batch.last().copied();
            for index in batch {
                let found = self.found(index)?;
                if self.shows(&parse(&found.sealed)?) {
                    shown.push(found);
                }
                if shown.len() == limit {
                    return Ok(shown);
                }
            }
            if last {
                return Ok(shown);
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
        self.shown(&Key::Ref(id), limit)
    }

    fn by_redoing(&self, id: RecordId, limit: usize) -> Result<Vec<Found>, LedgerError> {
        // An action is relied on by what undid it or tried it again, and by nothing else.
        self.shown(&Key::Reliance(id), limit)
    }

    fn by_credential(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::CredentialChange { tenant, name }, limit)
    }

    fn by_use(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Credential { tenant, name }, limit)
    }

    fn by_call(&self, tenant: &str, name: &str, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::CredentialCall { tenant, name }, limit)
    }

    fn calls(&self, account: Account, time: Timestamp, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Calling { account, hour: hour(time) }, limit)
    }

    fn tried(
        &self,
        tried: Tried,
        account: Account,
        uri: &str,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<Found>, LedgerError> {
        let of = |day: i64, limit: usize| self.shown(&Key::Tried { tried, account, uri, day }, limit);
        let mut found = of(day(time), limit)?;
        // Denials of the day before are among those of the day.
        if tried != Tried::Denied && found.len() < limit {
            found.extend(of(day(time) - 1, limit - found.len())?);
        }
        Ok(found)
    }

    fn given(
        &self,
        tenant: &str,
        right: Right<'_>,
        time: Timestamp,
        limit: usize,
    ) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Given { tenant, right, day: day(time) }, limit)
    }

    fn opened(&self, tenant: &str, uri: &str, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Opened { tenant, uri }, limit)
    }

    fn by_resource(&self, tenant: &str, uri: &str, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Resource { tenant, uri }, limit)
    }

    fn every_account(&self, tenant: &str, account: Account) -> Result<Vec<Account>, LedgerError> {
        self.joins.accounts_of(self.ledger, tenant, account)
    }

    fn controlled(&self, tenant: &str, uri: &str) -> Result<Option<Controlled>, LedgerError> {
        self.joins.controlled(self.ledger, tenant, uri)
    }

    fn by_executor(&self, account: Account, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Executor(account), limit)
    }

    fn by_entitled(&self, account: Account, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Entitled(account), limit)
    }

    fn by_trace(&self, trace: TraceId, limit: usize) -> Result<Vec<Found>, LedgerError> {
        self.shown(&Key::Trace(trace), limit)
    }

    fn names(&self, found: &Found) -> Result<Vec<(Account, Name)>, LedgerError> {
        let names = self.ledger.names(found.sealed.index)?;
        Ok(names
            .into_iter()
            .map(|(account, name)| (account, Name { key: name.key, name: name.name }))
            .collect())
    }

    fn declared(&self, tenant: &str, account: Account) -> Result<Option<Declared>, LedgerError> {
        self.joins.declared(self.ledger, tenant, account)
    }

    fn complete_for(&self, coverage: Coverage) -> Result<Vec<String>, LedgerError> {
        Ok(self.joins.complete_for(coverage))
    }

    fn suppressed(&self, tenant: &str, matter: &Matter<'_>) -> Result<Option<Suppressed>, LedgerError> {
        Hiding::new(self.ledger, self.joins, self.tunings, None).shown(tenant, matter)
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
