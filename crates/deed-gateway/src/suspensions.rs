//! Who and what is stopped, wherever Deed enforces (T12).
//!
//! Each suspension and each end of one is a record about the resource [`RESOURCE`]; what is in force is what they
//! come to, read when the store is opened.

use std::{
    collections::HashSet,
    iter::once,
    sync::{PoisonError, RwLock},
};

use deed_identity::principal_name;
use deed_ledger::{Key, Ledger, LedgerError};
use deed_record::{Account, Credential, Kind, Skeleton};
use tokio::sync::watch;

use crate::{intent::Intent, names::plain, point::is_ours};

/// What records of suspensions are about.
pub const RESOURCE: &str = "deed:suspension";
/// The operation of a record that suspends.
pub(crate) const SUSPEND: &str = "suspend";
/// The operation of a record that ends a suspension.
pub(crate) const RESUME: &str = "resume";
/// What is suspended for this tenant is so for all of them: it is the one of those who are bound to none.
const EVERYBODY: &str = "default";
/// Records that are read at a time.
const PAGE: usize = 1000;

/// Somebody or something that can be stopped, with its tenant.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stopped {
    /// A principal, by one of its accounts.
    Account(String, Account),
    /// A credential, by one of its names; what was derived from it is stopped too.
    Credential(String, String),
}

/// What is in force, read from the log for each tenant when it is asked about first.
#[derive(Default)]
pub(crate) struct Suspensions {
    stopped: RwLock<HashSet<Stopped>>,
    loaded: RwLock<HashSet<String>>,
    /// Counts what was suspended, for those whose action is long under way.
    changes: watch::Sender<u64>,
}

impl Suspensions {
    /// Reads what the log says is in force for `tenant`, once.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn load(&self, ledger: &Ledger, tenant: &str) -> Result<(), LedgerError> {
        if self.loaded.read().unwrap_or_else(PoisonError::into_inner).contains(tenant) {
            return Ok(());
        }
        for about in suspended(ledger, tenant)? {
            self.note(about, true);
        }
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned());
        Ok(())
    }

    /// From now on `about` is stopped, or not.
    pub(crate) fn note(&self, about: Stopped, stops: bool) {
        let mut all = self.stopped.write().unwrap_or_else(PoisonError::into_inner);
        if stops {
            self.changes.send_modify(|changes| *changes += 1);
            all.insert(about);
        } else {
            all.remove(&about);
        }
    }

    /// Whether `about` is stopped, of a tenant that was loaded.
    pub(crate) fn holds(&self, about: &Stopped) -> bool {
        self.stopped.read().unwrap_or_else(PoisonError::into_inner).contains(about)
    }

    /// Changes whenever somebody or something is suspended.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Who or what of `intent` is stopped, in words.
    pub(crate) fn stops(
        &self,
        ledger: &Ledger,
        intent: &Intent,
        tenant: &str,
    ) -> Result<Option<String>, LedgerError> {
        self.look(ledger, tenant, |all, tenant| stops_of(all, ledger, intent, tenant))
    }

    /// Whether somebody who goes by `key` is stopped, in words.
    pub(crate) fn stops_one(
        &self,
        ledger: &Ledger,
        key: &str,
        tenant: &str,
    ) -> Result<Option<String>, LedgerError> {
        self.look(ledger, tenant, |all, tenant| stops_key(all, ledger, key, tenant))
    }

    /// What `find` finds among what is stopped for `tenant`, or for everybody.
    fn look(
        &self,
        ledger: &Ledger,
        tenant: &str,
        find: impl Fn(&HashSet<Stopped>, &str) -> Result<Option<String>, LedgerError>,
    ) -> Result<Option<String>, LedgerError> {
        self.load(ledger, tenant)?;
        self.load(ledger, EVERYBODY)?;
        let all = self.stopped.read().unwrap_or_else(PoisonError::into_inner);
        if all.is_empty() {
            return Ok(None);
        }
        let tenants = [tenant, EVERYBODY].into_iter().take(if tenant == EVERYBODY { 1 } else { 2 });
        for tenant in tenants {
            if let Some(why) = find(&all, tenant)? {
                return Ok(Some(why));
            }
        }
        Ok(None)
    }
}

/// Who or what of `intent` is among those of `tenant` in `all`, in words.
fn stops_of(
    all: &HashSet<Stopped>,
    ledger: &Ledger,
    intent: &Intent,
    tenant: &str,
) -> Result<Option<String>, LedgerError> {
    let place = &intent.place;
    for who in once(&place.executor).chain(&place.initiator).chain(&place.chain) {
        for key in who.keys() {
            if let Some(why) = stops_key(all, ledger, &key, tenant)? {
                return Ok(Some(why));
            }
        }
    }
    let credential = intent.credential();
    let shown =
        credential.iter().flat_map(|credential| credential.names().chain(credential.parent.as_deref()));
    let names = shown.chain(intent.lineage.iter().map(String::as_str));
    for name in names {
        if all.contains(&Stopped::Credential(tenant.to_owned(), name.to_owned())) {
            return Ok(Some("the credential, or the one that it was derived from, is suspended".into()));
        }
    }
    Ok(None)
}

fn stops_key(
    all: &HashSet<Stopped>,
    ledger: &Ledger,
    key: &str,
    tenant: &str,
) -> Result<Option<String>, LedgerError> {
    for name in said_of(key) {
        if let Some(account) = ledger.account(tenant, &name)?
            && all.contains(&Stopped::Account(tenant.to_owned(), account))
        {
            return Ok(Some(format!("`{key}` is suspended")));
        }
    }
    Ok(None)
}

/// What a suspension may call whoever goes by `key`: that, and the plain form of it, by either word for a human.
pub(crate) fn said_of(key: &str) -> Vec<String> {
    let key = principal_name(key);
    let names = once(key.clone().into_owned()).chain(Some(plain(&key)).filter(|plain| *plain != key));
    names.flat_map(|name| once(name.clone()).chain(as_user(&name))).collect()
}

/// What records may call the human `name` by AuthZEN's word: what was said of that name holds for them.
pub(crate) fn as_user(name: &str) -> Option<String> {
    name.strip_prefix("human:").map(|human| format!("user:{human}"))
}

/// Whether `record` says that somebody or something is suspended, or no more.
pub(crate) fn is_suspension(record: &Skeleton<'_>) -> bool {
    is_ours(record) && record.resource.as_ref().is_some_and(|about| *about.uri == *RESOURCE)
}

/// What the log says is suspended for `tenant`.
///
/// # Errors
/// The log cannot be read.
pub fn suspended(ledger: &Ledger, tenant: &str) -> Result<HashSet<Stopped>, LedgerError> {
    let key = Key::Resource { tenant, uri: RESOURCE };
    let (mut stopped, mut seen, mut before) = (HashSet::new(), HashSet::new(), None);
    loop {
        let leaves = ledger.lookup(&key, PAGE, before)?;
        for leaf in &leaves {
            let sealed = ledger.leaf(*leaf)?;
            let record = sealed.skeleton();
            let record = record.map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
            if !is_ours(&record) {
                continue;
            }
            let stops = record.operation.as_deref() == Some(SUSPEND);
            let about = match record.kind {
                Kind::Credential => record
                    .credential
                    .iter()
                    .flat_map(Credential::names)
                    .next()
                    .map(|name| Stopped::Credential(tenant.to_owned(), name.to_owned())),
                _ => record
                    .terms
                    .and_then(|terms| terms.subject)
                    .and_then(|subject| subject.account)
                    .map(|account| Stopped::Account(tenant.to_owned(), account)),
            };
            // Newest first: what was said last counts.
            if let Some(about) = about.filter(|about| seen.insert(about.clone()))
                && stops
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
