//! Who is stopped, at every door (T12).

use deed_ledger::{Key, LedgerError, now};
use tokio::sync::watch;

use super::{DecisionPoint, InForce};
use crate::{
    intent::{Intent, Refused, Suspension},
    names::to_stop,
    recorder::Unavailable,
    suspensions::{Stopped, as_user, is_suspension, said_of},
    write::human as write,
};

impl DecisionPoint {
    /// Stops somebody or something at every door, or lets it go on; what that concerns: all names of a principal
    /// that the inventory knows.
    ///
    /// # Errors
    /// It could not be recorded, and does not hold; nothing goes on against the spool then.
    pub async fn suspend(&self, said: &Suspension, tenant: &str) -> Result<Vec<String>, Unavailable> {
        let broken = |error: LedgerError| Unavailable::new(error.to_string());
        self.suspensions.load(&self.ledger, tenant).map_err(broken)?;
        let (credential, names) = self.concerned(said, tenant).map_err(broken)?;
        let said = &Suspension { credential, ..said.clone() };
        let now = now();
        let records: Vec<_> = names.iter().map(|name| write::suspension(said, name, now)).collect();
        let recorded = self.append(&records, "deed:suspension".into(), tenant).await;
        recorded.inspect_err(|_| self.halt_spool())?;
        for name in &names {
            if let Some(about) = self.stopped_by(credential, name, tenant).map_err(broken)? {
                self.suspensions.note(about, said.suspended);
            }
        }
        Ok(names)
    }

    /// Whether what `said` names is suspended now, by any of its names.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn is_suspended(&self, said: &Suspension, tenant: &str) -> Result<bool, LedgerError> {
        self.suspensions.load(&self.ledger, tenant)?;
        let (credential, names) = self.concerned(said, tenant)?;
        for name in &names {
            if let Some(about) = self.stopped_by(credential, name, tenant)?
                && self.suspensions.holds(&about)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether `said` names a credential, and all names of what it names.
    fn concerned(&self, said: &Suspension, tenant: &str) -> Result<(bool, Vec<String>), LedgerError> {
        let InForce { inventory, .. } = self.in_force();
        let is_known = !said.credential && inventory.principal(&said.what).is_some();
        // What records know as a credential is one.
        let key = Key::Credential { tenant, name: &said.what };
        let credential = said.credential || (!is_known && !self.ledger.lookup(&key, 1, None)?.is_empty());
        let names = match credential {
            true => vec![said.what.clone()],
            false => self.by_any_word(to_stop(&inventory, &said.what), tenant)?,
        };
        Ok((credential, names))
    }

    /// `names`; a suspension under another word for a human goes with theirs.
    fn by_any_word(&self, names: Vec<String>, tenant: &str) -> Result<Vec<String>, LedgerError> {
        let mut all = Vec::with_capacity(names.len());
        for name in names {
            let other = match as_user(&name) {
                Some(user) => self.stopped_by(false, &user, tenant)?.map(|about| (user, about)),
                None => None,
            };
            let other = other.filter(|(_, about)| self.suspensions.holds(about)).map(|(user, _)| user);
            all.extend(std::iter::once(name).chain(other));
        }
        Ok(all)
    }

    /// What a suspension under `name` stops; `None` of somebody in a tenant that never recorded anything.
    fn stopped_by(&self, credential: bool, name: &str, tenant: &str) -> Result<Option<Stopped>, LedgerError> {
        if credential {
            return Ok(Some(Stopped::Credential(tenant.to_owned(), name.to_owned())));
        }
        let account = self.ledger.account(tenant, name)?;
        Ok(account.map(|account| Stopped::Account(tenant.to_owned(), account)))
    }

    /// Whether `said` names a credential: it says so, or the records of one of `tenants` know a credential of that name, and the
    /// inventory no principal.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn names_credential(&self, said: &Suspension, tenants: &[String]) -> Result<bool, LedgerError> {
        if said.credential || self.in_force().inventory.principal(&said.what).is_some() {
            return Ok(said.credential);
        }
        for tenant in tenants {
            let key = Key::Credential { tenant, name: &said.what };
            if !self.ledger.lookup(&key, 1, None)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether anybody or anything goes by what `said` names, but for being suspended: the inventory says so, or a record of one
    /// of `tenants`.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn knows(&self, said: &Suspension, tenants: &[String]) -> Result<bool, LedgerError> {
        if !said.credential && self.in_force().inventory.principal(&said.what).is_some() {
            return Ok(true);
        }
        for tenant in tenants {
            if self.is_recorded(said, tenant)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a record of `tenant` is about what `said` names.
    fn is_recorded(&self, said: &Suspension, tenant: &str) -> Result<bool, LedgerError> {
        let mut keys = vec![Key::Credential { tenant, name: &said.what }];
        for name in said_of(&said.what).iter().filter(|_| !said.credential) {
            if let Some(account) = self.ledger.account(tenant, name)? {
                keys.extend([Key::Initiator(account), Key::Executor(account), Key::Party(account)]);
            }
        }
        // Records of earlier suspensions name it too; somebody who was suspended oftener than that is taken for known.
        const LOOKED_AT: usize = 16;
        for key in &keys {
            let leaves = self.ledger.lookup(key, LOOKED_AT, None)?;
            for leaf in &leaves {
                let sealed = self.ledger.leaf(*leaf)?;
                let record = sealed.skeleton();
                let record = record.map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
                if !is_suspension(&record) {
                    return Ok(true);
                }
            }
            if leaves.len() == LOOKED_AT {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Changes whenever somebody or something is suspended.
    pub(crate) fn suspensions(&self) -> watch::Receiver<u64> {
        self.suspensions.changes()
    }

    /// Whether somebody who has a part in `intent` is suspended, or nobody can tell.
    pub(crate) fn is_stopped(&self, intent: &Intent, tenant: &str) -> bool {
        !matches!(self.stopped(intent, tenant), Ok(None))
    }

    /// Why whoever goes by `key` has no say now: they are suspended.
    pub(super) fn silenced(&self, key: &str, tenant: &str) -> Result<Option<String>, Unavailable> {
        let why = self.suspensions.stops_one(&self.ledger, key, tenant);
        why.map_err(|error| Unavailable::new(error.to_string()))
    }

    /// `intent` as one that is refused, where somebody who has a part in it is suspended.
    pub(super) fn stopped(&self, intent: &Intent, tenant: &str) -> Result<Option<Intent>, Unavailable> {
        let stops = self.suspensions.stops(&self.ledger, intent, tenant);
        let why = stops.map_err(|error| Unavailable::new(error.to_string()))?;
        Ok(why
            .filter(|_| intent.refused.is_none())
            .map(|why| Intent { refused: Some(Refused { code: "suspended".into(), why }), ..intent.clone() }))
    }
}
