//! The inventory by account, as joins ask for it.

use std::{collections::HashMap, sync::Arc};

use deed_identity::{Declarations, Inventory, Principal};
use deed_ledger::{Ledger, LedgerError};
use deed_record::{Account, PrincipalType};

/// The inventory in force, by the accounts of one tenant.
pub(crate) struct DeclaredIn {
    inventory: Arc<Inventory>,
    of: Arc<HashMap<Account, usize>>,
    accounts: HashMap<usize, Vec<Account>>,
    not_same: HashMap<usize, Vec<Account>>,
}

impl DeclaredIn {
    /// `of` leads from each account of `tenant` to the place in the principals of `inventory`.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(crate) fn new(
        ledger: &Ledger,
        tenant: &str,
        inventory: Arc<Inventory>,
        of: Arc<HashMap<Account, usize>>,
    ) -> Result<Self, LedgerError> {
        let mut accounts: HashMap<usize, Vec<Account>> = HashMap::new();
        for (account, principal) in &*of {
            accounts.entry(*principal).or_default().push(*account);
        }
        accounts.values_mut().for_each(|accounts| accounts.sort_unstable());
        let mut not_same: HashMap<usize, Vec<Account>> = HashMap::new();
        for (at, principal) in inventory.principals().iter().enumerate() {
            for name in &principal.not_same {
                not_same.entry(at).or_default().extend(ledger.account(tenant, name)?);
            }
        }
        Ok(DeclaredIn { inventory, of, accounts, not_same })
    }

    /// The key of whoever has that account.
    pub(crate) fn key_of(&self, account: Account) -> Option<&str> {
        self.principal(*self.of.get(&account)?).map(|principal| &*principal.key)
    }

    /// Every account of whoever has that account; the account alone, of who is not declared.
    pub(crate) fn accounts_of(&self, account: Account) -> Vec<Account> {
        let all = self.of.get(&account).and_then(|at| self.accounts.get(at)).cloned().unwrap_or_default();
        if all.is_empty() { vec![account] } else { all }
    }

    /// Whether anybody is declared with who answers for them.
    pub(crate) fn names_owners(&self) -> bool {
        self.inventory.principals().iter().any(|principal| principal.owner.is_some())
    }

    /// Every account of whoever is declared.
    pub(crate) fn all_accounts(&self) -> impl Iterator<Item = Account> {
        self.of.keys().copied()
    }

    /// What is declared of a principal.
    pub(crate) fn principal(&self, at: usize) -> Option<&Principal> {
        self.inventory.principals().get(at)
    }
}

impl Declarations for DeclaredIn {
    fn of(&self, account: Account) -> Option<usize> {
        self.of.get(&account).copied()
    }

    fn accounts(&self, principal: usize) -> Vec<Account> {
        self.accounts.get(&principal).cloned().unwrap_or_default()
    }

    fn kind(&self, principal: usize) -> PrincipalType {
        self.principal(principal).map_or(PrincipalType::Unknown, |principal| principal.kind)
    }

    fn not_same(&self, principal: usize) -> Vec<Account> {
        self.not_same.get(&principal).cloned().unwrap_or_default()
    }
}
