//! Who and what is suspended, as far as tokens are concerned (T12): the same records that every door heeds.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use deed_gateway::{SUSPENSIONS, Stopped, suspended};
use deed_ledger::{Key, Ledger, LedgerError};

use crate::force::TENANT;

/// How long what was read is good without looking whether there is something new.
const BETWEEN: Duration = Duration::from_millis(250);

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
                    && stopped.contains(&Stopped::Account(tenant.to_owned(), account))
                {
                    return Ok(Some(key.to_owned()));
                }
            }
            for name in credentials.clone() {
                if stopped.contains(&Stopped::Credential(tenant.to_owned(), name.to_owned())) {
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
        let newest = ledger.lookup(&Key::Resource { tenant, uri: SUSPENSIONS }, 1, None)?.first().copied();
        let stopped = match tenants.get(tenant) {
            Some(read) if read.newest == newest => read.stopped.clone(),
            _ => Arc::new(suspended(ledger, tenant)?),
        };
        let read = Read { looked: Instant::now(), newest, stopped: stopped.clone() };
        tenants.insert(tenant.to_owned(), read);
        Ok(stopped)
    }
}
