//! Everybody whom a report is about.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use deed_identity::{HolderFacts, Joined, Principal, Role, State};
use deed_ledger::LedgerError;
use deed_record::{Account, PrincipalType};
use deed_review::report::Identity;

use crate::{
    engine::Engine,
    evidence::LedgerEvidence,
    identity::{DeclaredIn, Names},
};

/// Everybody of the tenants that are asked about, each once.
pub(super) struct People {
    tenants: BTreeMap<String, DeclaredIn>,
    everybody: Vec<Somebody>,
}

/// One principal.
pub(super) struct Somebody {
    pub(super) tenant: String,
    pub(super) joined: Joined,
}

impl People {
    /// Everybody in `state` of `tenant`, or of every tenant where none is named; and whom the inventory has besides,
    /// where it can only be of one.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub(super) fn of(engine: &Engine, state: &State, tenant: Option<&str>) -> Result<Self, LedgerError> {
        let tenants = tenant.map_or_else(|| state.tenants(), |tenant| vec![tenant.to_owned()]);
        // Whom the inventory has and no record names is of no tenant that is known, where there are several.
        let only_one = tenants.len() == 1;
        let mut people = People { tenants: BTreeMap::new(), everybody: Vec::new() };
        for tenant in tenants {
            let declared = engine.declared_in(&tenant)?;
            let named = state.principals(&tenant, &declared);
            people.everybody.extend(named.map(|joined| Somebody { tenant: tenant.clone(), joined }));
            if only_one {
                people.add_unseen(state, &tenant, &declared);
            }
            people.tenants.insert(tenant, declared);
        }
        Ok(people)
    }

    /// Whom the inventory has and no record names.
    fn add_unseen(&mut self, state: &State, tenant: &str, declared: &DeclaredIn) {
        let mut seen: HashSet<Account> = self.everybody.iter().flat_map(Somebody::accounts).collect();
        let mut accounts: Vec<Account> = declared.all_accounts().collect();
        accounts.sort_unstable();
        for account in accounts {
            if seen.contains(&account) {
                continue;
            }
            let joined = state.principal(account, declared);
            seen.extend(joined.members.iter().map(|member| member.account));
            self.everybody.push(Somebody { tenant: tenant.to_owned(), joined });
        }
    }

    /// Everybody, by tenant and account.
    pub(super) fn each(&self) -> impl Iterator<Item = &Somebody> {
        self.everybody.iter()
    }

    /// The tenants, by name.
    pub(super) fn tenants(&self) -> impl Iterator<Item = &str> {
        self.tenants.keys().map(String::as_str)
    }

    /// What the inventory says of somebody.
    pub(super) fn declared(&self, who: &Somebody) -> Option<&Principal> {
        self.tenants.get(&who.tenant)?.principal(who.joined.declared?)
    }

    /// The inventory by the accounts of `tenant`.
    pub(super) fn inventory(&self, tenant: &str) -> Option<&DeclaredIn> {
        self.tenants.get(tenant)
    }
}

impl Somebody {
    pub(super) fn accounts(&self) -> impl Iterator<Item = Account> {
        self.joined.members.iter().map(|member| member.account)
    }

    /// Whether a record names it at all.
    pub(super) fn is_seen(&self, state: &State) -> bool {
        self.accounts().any(|account| state.account(account).is_some())
    }

    /// Whether several accounts, not all of them its own, used one credential of its.
    pub(super) fn is_shared(&self, state: &State) -> bool {
        let own: BTreeSet<Account> = self.accounts().collect();
        let used_by_others = |account: Account| {
            state.credentials_of(account).into_iter().filter_map(|key| state.credential(key)).any(|facts| {
                let used = |held: &HolderFacts| held.role == Role::Used && own.contains(&held.account);
                facts.holders.iter().any(used) && state.is_shared(&facts, &own)
            })
        };
        own.iter().any(|account| used_by_others(*account))
    }
}

/// What people are called in a report: read from the records that name them, and kept.
pub(super) struct Called<'c> {
    people: &'c People,
    state: &'c State,
    names: Names<'c>,
    known: HashMap<Account, String>,
}

impl<'c> Called<'c> {
    pub(super) fn new(people: &'c People, state: &'c State, evidence: &'c LedgerEvidence<'c>) -> Self {
        Called { people, state, names: Names::new(evidence), known: HashMap::new() }
    }

    /// What an account of `tenant` is called: the inventory's key, the name as it was sent, else as it is sealed.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn account(&mut self, tenant: &str, account: Account) -> Result<String, LedgerError> {
        if let Some(known) = self.known.get(&account) {
            return Ok(known.clone());
        }
        let declared = self.people.inventory(tenant).and_then(|declared| declared.key_of(account));
        let name = match (declared, self.state.account(account)) {
            (Some(key), _) => key.to_owned(),
            (None, Some(facts)) => self
                .names
                .of(account, facts.first_record)?
                .map_or_else(|| account.to_string(), |name| name.key),
            (None, None) => account.to_string(),
        };
        self.known.insert(account, name.clone());
        Ok(name)
    }

    /// Somebody as reports name them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(super) fn identity(&mut self, who: &Somebody) -> Result<Identity, LedgerError> {
        let declared = self.people.declared(who);
        let head = who.joined.members.first().map(|member| member.account);
        let key = match (declared, head) {
            (Some(declared), _) => declared.key.clone(),
            (None, Some(head)) => self.account(&who.tenant, head)?,
            (None, None) => String::new(),
        };
        Ok(Identity {
            key,
            kind: who.joined.kind,
            tenant: who.tenant.clone(),
            declared: declared.is_some(),
            owner: declared.and_then(|declared| declared.owner.clone()),
            sponsor: declared.and_then(|declared| declared.sponsor.clone()),
            vendor: declared.and_then(|declared| declared.vendor.clone()),
            accounts: who.joined.members.len() as u64,
        })
    }
}

/// Whether it answers for itself, or somebody does.
pub(super) fn is_owned(people: &People, who: &Somebody) -> bool {
    who.joined.kind == PrincipalType::Human
        || people.declared(who).is_some_and(|declared| declared.owner.is_some())
}
