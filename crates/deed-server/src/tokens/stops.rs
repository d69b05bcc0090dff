//! Who and what is suspended, as far as tokens are concerned (T12): the same records that every door heeds.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deed_ledger::{Key, Ledger, LedgerError};
use deed_record::{Account, Credential, Kind};

use crate::force::TENANT;

/// The resource that records of suspensions are about, and the operation of one that suspends.
const RESOURCE: &str = "deed:suspension";
const SUSPEND: &str = "suspend";
/// How long what was read is good without looking whether there is something new.
const BETWEEN: Duration = Duration::from_millis(250);
/// Records that are read at a time.
const PAGE: usize = 1000;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Stopped {
    Account(Account),
    Credential(String),
}

/// What is suspended, by tenant.
#[derive(Default)]
pub(super) struct Stops {
    tenants: Mutex<HashMap<String, Read>>,
}

struct Read {
    looked: Instant,
    /// The newest record that was read.
    newest: Option<u64>,
    stopped: Arc<HashSet<Stopped>>,
}

impl Stops {
    /// What of `principals` (keys) and `credentials` (fingerprints, ids) is suspended, in words. What is
    /// suspended for everybody's tenant is so for all of them.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn find<'k>(
        &self,
        ledger: &Ledger,
        tenant: &str,
        principals: impl IntoIterator<Item = &'k str> + Clone,
        credentials: impl IntoIterator<Item = &'k str> + Clone,
    ) -> Result<Option<String>, LedgerError> {
        for tenant in [TENANT, tenant].into_iter().take(if tenant == TENANT { 1 } else { 2 }) {
            let stopped = self.of(ledger, tenant)?;
            if stopped.is_empty() {
                continue;
            }
            for key in principals.clone() {
                if let Some(account) = ledger.account(tenant, key)?
                    && stopped.contains(&Stopped::Account(account))
                {
                    return Ok(Some(key.to_owned()));
                }
            }
            for name in credentials.clone() {
                if stopped.contains(&Stopped::Credential(name.to_owned())) {
                    return Ok(Some(name.to_owned()));
                }
            }
        }
        Ok(None)
    }

    /// Looks again at the next question.
    pub(super) fn look_again(&self) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn of(&self, ledger: &Ledger, tenant: &str) -> Result<Arc<HashSet<Stopped>>, LedgerError> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = tenants.get(tenant)
            && read.looked.elapsed() < BETWEEN
        {
            return Ok(read.stopped.clone());
        }
        let newest = ledger.lookup(&Key::Resource { tenant, uri: RESOURCE }, 1, None)?.first().copied();
        let stopped = match tenants.get(tenant) {
            Some(read) if read.newest == newest => read.stopped.clone(),
            _ => Arc::new(read(ledger, tenant)?),
        };
        let read = Read { looked: Instant::now(), newest, stopped: stopped.clone() };
        tenants.insert(tenant.to_owned(), read);
        Ok(stopped)
    }
}

fn read(ledger: &Ledger, tenant: &str) -> Result<HashSet<Stopped>, LedgerError> {
    let key = Key::Resource { tenant, uri: RESOURCE };
    let (mut stopped, mut seen, mut before) = (HashSet::new(), HashSet::new(), None);
    loop {
        let leaves = ledger.lookup(&key, PAGE, before)?;
        for leaf in &leaves {
            let sealed = ledger.leaf(*leaf)?;
            let record = sealed.skeleton();
            let record = record.map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
            // An application may write about suspensions; it suspends nobody.
            if !record.submitter.starts_with("deed:") {
                continue;
            }
            let about = match record.kind {
                Kind::Credential => record
                    .credential
                    .iter()
                    .flat_map(Credential::names)
                    .next()
                    .map(|name| Stopped::Credential(name.to_owned())),
                _ => {
                    let subject = record.terms.and_then(|terms| terms.subject);
                    subject.and_then(|subject| subject.account).map(Stopped::Account)
                }
            };
            // Newest first: what was said last counts.
            if let Some(about) = about.filter(|about| seen.insert(about.clone()))
                && record.operation.as_deref() == Some(SUSPEND)
            {
                stopped.insert(about);
            }
        }
        match leaves.last() {
            Some(last) if leaves.len() == PAGE => before = Some(*last),
            _ => return Ok(stopped),
        }
    }
}
