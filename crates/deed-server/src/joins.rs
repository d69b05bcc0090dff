//! Whom the inventory knows by an account: accounts are keyed hashes of names, so each name that somebody declared
//! is hashed once and kept.

use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use deed_gateway::DecisionPoint;
use deed_identity::{Coverage, Inventory, Principal, Resource, UNCLASSIFIED};
use deed_ledger::{Ledger, LedgerError};
use deed_record::Account;
use deed_review::{Controlled, Declared, review::Known};

use crate::identity::DeclaredIn;

/// Tenants whose accounts are kept; with more, all are hashed again.
const MOST_TENANTS: usize = 64;

/// The inventory in force, by account.
pub(crate) struct Joins {
    decisions: Arc<DecisionPoint>,
    known: Mutex<Hashed>,
}

/// What was hashed of one state of the inventory.
#[derive(Default)]
struct Hashed {
    inventory: Arc<Inventory>,
    /// From each account of a tenant to the place in the inventory's principals.
    tenants: HashMap<String, Arc<HashMap<Account, usize>>>,
}

impl Joins {
    /// The inventory that `decisions` has in force, whenever it is asked.
    pub(crate) fn new(decisions: Arc<DecisionPoint>) -> Self {
        Joins { decisions, known: Mutex::default() }
    }

    /// Whom the inventory knows by that account of `tenant`.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(crate) fn declared(
        &self,
        ledger: &Ledger,
        tenant: &str,
        account: Account,
    ) -> Result<Option<Declared>, LedgerError> {
        let inventory = self.decisions.in_force().inventory;
        if inventory.principals().is_empty() {
            return Ok(None);
        }
        let accounts = self.accounts(ledger, tenant, &inventory)?;
        Ok(declared_as(&inventory, &accounts, account))
    }

    /// What is declared now, for whoever asks for each of many records.
    pub(crate) fn now<'j>(&'j self, ledger: &'j Ledger) -> DeclaredNow<'j> {
        let inventory = self.decisions.in_force().inventory;
        DeclaredNow { joins: self, ledger, inventory, tenants: RefCell::default() }
    }

    /// Whether both accounts of `tenant` are of one principal of the inventory.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(crate) fn is_same(
        &self,
        ledger: &Ledger,
        tenant: &str,
        one: Account,
        other: Account,
    ) -> Result<bool, LedgerError> {
        let inventory = self.decisions.in_force().inventory;
        if inventory.principals().is_empty() {
            return Ok(false);
        }
        let accounts = self.accounts(ledger, tenant, &inventory)?;
        let at = accounts.get(&one);
        Ok(at.is_some() && at == accounts.get(&other))
    }

    /// Every account of whoever has that account; the account alone, of who is not declared.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(crate) fn accounts_of(
        &self,
        ledger: &Ledger,
        tenant: &str,
        account: Account,
    ) -> Result<Vec<Account>, LedgerError> {
        let inventory = self.decisions.in_force().inventory;
        if inventory.principals().is_empty() {
            return Ok(vec![account]);
        }
        let accounts = self.accounts(ledger, tenant, &inventory)?;
        let principal = accounts.get(&account).and_then(|at| inventory.principals().get(*at));
        principal.map_or_else(|| Ok(vec![account]), |principal| named(ledger, tenant, principal))
    }

    /// What the inventory says of the resource `uri`, where actions are held against that.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(crate) fn controlled(
        &self,
        ledger: &Ledger,
        tenant: &str,
        uri: &str,
    ) -> Result<Option<Controlled>, LedgerError> {
        let inventory = self.decisions.in_force().inventory;
        let Some(resource) = inventory.controlled(uri) else { return Ok(None) };
        let mut approvers = BTreeSet::new();
        for name in &resource.approvers {
            match inventory.principal(name) {
                Some(principal) => approvers.extend(named(ledger, tenant, principal)?),
                None => approvers.extend(ledger.account(tenant, name)?),
            }
        }
        Ok(Some(Controlled {
            matches: resource.matches().to_owned(),
            approvers: (!resource.approvers.is_empty()).then_some(approvers),
            change_windows: resource.change_windows.clone(),
            restricted_fields: resource.restricted_fields.clone(),
            classification: Some(resource.classification.clone()).filter(|said| said != UNCLASSIFIED),
        }))
    }

    /// Digest of the inventory in force.
    pub(crate) fn inventory_digest(&self) -> String {
        self.decisions.in_force().inventory.digest().to_owned()
    }

    /// Whether the inventory calls the log of `system` complete for `coverage`.
    pub(crate) fn is_complete_for(&self, system: &str, coverage: Coverage) -> bool {
        let inventory = self.decisions.in_force().inventory;
        inventory.source(system).is_some_and(|source| source.complete_for.contains(&coverage))
    }

    /// Systems whose log the inventory calls complete for `coverage`.
    pub(crate) fn complete_for(&self, coverage: Coverage) -> Vec<String> {
        let inventory = self.decisions.in_force().inventory;
        let complete = inventory.sources().filter(|source| source.complete_for.contains(&coverage));
        complete.map(|source| source.system.clone()).collect()
    }

    /// The inventory in force by the accounts of `tenant`, as joins ask for it.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(crate) fn declared_in(&self, ledger: &Ledger, tenant: &str) -> Result<DeclaredIn, LedgerError> {
        let inventory = self.decisions.in_force().inventory;
        let accounts = self.accounts(ledger, tenant, &inventory)?;
        DeclaredIn::new(ledger, tenant, inventory, accounts)
    }

    fn accounts(
        &self,
        ledger: &Ledger,
        tenant: &str,
        inventory: &Arc<Inventory>,
    ) -> Result<Arc<HashMap<Account, usize>>, LedgerError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.inventory, inventory) || known.tenants.len() > MOST_TENANTS {
            *known = Hashed { inventory: inventory.clone(), tenants: HashMap::new() };
        }
        if let Some(accounts) = known.tenants.get(tenant) {
            return Ok(accounts.clone());
        }
        let mut accounts = HashMap::new();
        for (at, principal) in inventory.principals().iter().enumerate() {
            for name in std::iter::once(&principal.key).chain(&principal.aliases) {
                // A tenant that never recorded anything has no accounts.
                let Some(account) = ledger.account(tenant, name)? else { return Ok(Arc::default()) };
                accounts.insert(account, at);
            }
        }
        let accounts = Arc::new(accounts);
        known.tenants.insert(tenant.to_owned(), accounts.clone());
        Ok(accounts)
    }
}

/// The inventory at one moment.
pub(crate) struct DeclaredNow<'j> {
    joins: &'j Joins,
    ledger: &'j Ledger,
    inventory: Arc<Inventory>,
    tenants: RefCell<HashMap<String, Arc<HashMap<Account, usize>>>>,
}

impl DeclaredNow<'_> {
    /// Who has which account of `tenant`.
    fn accounts(&self, tenant: &str) -> Arc<HashMap<Account, usize>> {
        let mut tenants = self.tenants.borrow_mut();
        if let Some(accounts) = tenants.get(tenant) {
            return accounts.clone();
        }
        // A tenant whose key cannot be read has no names to declare.
        let accounts = self.joins.accounts(self.ledger, tenant, &self.inventory).unwrap_or_default();
        tenants.insert(tenant.to_owned(), accounts.clone());
        accounts
    }
}

impl Known for DeclaredNow<'_> {
    fn declared(&self, tenant: &str, account: Account) -> Option<Declared> {
        if self.inventory.principals().is_empty() {
            return None;
        }
        declared_as(&self.inventory, &self.accounts(tenant), account)
    }

    fn controlled(&self, uri: &str) -> Option<Resource> {
        self.inventory.controlled(uri).cloned()
    }

    fn every_account(&self, tenant: &str, account: Account) -> Vec<Account> {
        let accounts = self.accounts(tenant);
        let Some(principal) = accounts.get(&account) else { return vec![account] };
        accounts.iter().filter(|(_, at)| *at == principal).map(|(account, _)| *account).collect()
    }

    fn logs_every_grant(&self, system: &str) -> bool {
        let source = self.inventory.source(system);
        source.is_some_and(|source| source.complete_for.contains(&Coverage::Grants))
    }
}

fn declared_as(
    inventory: &Inventory,
    accounts: &HashMap<Account, usize>,
    account: Account,
) -> Option<Declared> {
    let principal = accounts.get(&account).and_then(|at| inventory.principals().get(*at))?;
    Some(Declared {
        key: principal.key.clone(),
        name: principal.name.clone(),
        owner: principal.owner.clone(),
        sponsor: principal.sponsor.clone(),
        vendor: principal.vendor.clone(),
        kind: principal.kind,
        environments: principal.environments.clone(),
        governed: principal.governed,
        contract: principal.contract.clone(),
        clearance: principal.clearance.clone(),
    })
}

/// The accounts of `principal` in `tenant`, under all its names.
fn named(ledger: &Ledger, tenant: &str, principal: &Principal) -> Result<Vec<Account>, LedgerError> {
    let names: BTreeSet<&String> = std::iter::once(&principal.key).chain(&principal.aliases).collect();
    names.into_iter().filter_map(|name| ledger.account(tenant, name).transpose()).collect()
}
