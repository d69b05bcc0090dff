//! Which tenants have a pseudonym key, written down beside the log: `log/tenants`.
//!
//! Keys are kept and backed up apart. A backup that is older than a tenant lacks its key, and one of another store has
//! another: with either the same person would become another account, for good, in records that nobody can change. So what
//! is there when a store is opened is held against this list.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{keys::KeyError, noted::Noted, store::Store};

/// Where the list is.
pub(crate) const PATH: &str = "log/tenants";

/// A line `CHECK TENANT` for each, by name.
const NOTED: Noted = Noted { path: PATH, head: "deed-tenants/1", what: "the list" };

/// What tells one pseudonym key from another and gives nothing of it away.
pub(crate) type KeyCheck = [u8; 16];

/// The list.
pub(crate) struct Tenants {
    store: Arc<dyn Store>,
    known: Mutex<BTreeMap<String, KeyCheck>>,
}

impl Tenants {
    /// Reads it; a store of which nothing was recorded yet has none.
    ///
    /// # Errors
    /// It cannot be read, or is no such list.
    pub(crate) fn open(store: Arc<dyn Store>) -> Result<Self, KeyError> {
        let known = Mutex::new(read(&*store)?);
        Ok(Tenants { store, known })
    }

    /// Adds those of `tenants` that are not there yet, durably.
    ///
    /// # Errors
    /// It cannot be written: nothing may be recorded of them.
    pub(crate) fn add(&self, tenants: Vec<(String, KeyCheck)>) -> Result<(), KeyError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = known.clone();
        all.extend(tenants);
        if all.len() == known.len() {
            return Ok(());
        }
        let mut text = String::new();
        for (tenant, check) in &all {
            text.push_str(&format!("{:032x} {tenant}\n", u128::from_be_bytes(*check)));
        }
        NOTED.write(&*self.store, &text)?;
        *known = all;
        Ok(())
    }
}

/// The list in `store`, by tenant; empty where there is none.
///
/// # Errors
/// It cannot be read, or is no such list.
pub(crate) fn read(store: &dyn Store) -> Result<BTreeMap<String, KeyCheck>, KeyError> {
    let line = |line: &str| {
        let (check, tenant) = line.split_once(' ').filter(|(check, _)| check.len() == 32)?;
        let check = u128::from_str_radix(check, 16).ok()?.to_be_bytes();
        Some((tenant.to_owned(), check))
    };
    Ok(NOTED.read(store, |lines| lines.lines().map(line).collect())?.unwrap_or_default())
}
