//! Which findings are suppressed at one moment.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
};

use deed_identity::{CredentialKey, State};
use deed_ledger::{Key, Ledger, LedgerError, now};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::{
    explanation::Suppressed,
    tuning::{Matter, Same, Suppression, Tuning},
};

use super::Tunings;
use crate::{identity::DeclaredIn, joins::Joins};

/// Says of findings by what they are suppressed, all at one moment.
pub(crate) struct Hiding<'h> {
    ledger: &'h Ledger,
    joins: &'h Joins,
    tunings: &'h Tunings,
    /// Who is who beyond the inventory; findings about identities need it.
    state: Option<&'h State>,
    at: Timestamp,
    tenants: RefCell<HashMap<String, Rc<Tenant>>>,
    called: RefCell<HashMap<RecordId, Option<String>>>,
}

/// What is in force for one tenant.
struct Tenant {
    tuning: Arc<Tuning>,
    /// The rules of which something is suppressed.
    rules: BTreeSet<String>,
    /// Read when it is needed; `None` where it cannot be.
    declared: OnceCell<Option<DeclaredIn>>,
    /// By what account a principal is called in findings about identities.
    heads: RefCell<HashMap<Account, Option<Account>>>,
}

impl<'h> Hiding<'h> {
    pub(crate) fn new(
        ledger: &'h Ledger,
        joins: &'h Joins,
        tunings: &'h Tunings,
        state: Option<&'h State>,
    ) -> Self {
        let (tenants, called) = (RefCell::default(), RefCell::default());
        Hiding { ledger, joins, tunings, state, at: now(), tenants, called }
    }

    /// The record by which `matter` of `tenant` is suppressed, if it is.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn of(&self, tenant: &str, matter: &Matter<'_>) -> Result<Option<RecordId>, LedgerError> {
        let known = self.tenant(tenant)?;
        if !known.rules.contains(matter.rule) {
            return Ok(None);
        }
        let same = SameIn { hiding: self, tenant, known: &known };
        Ok(known.tuning.hides(tenant, matter, self.at, &same).map(|given| given.id))
    }

    /// Whether a suppression of findings by `rule` is in force for `tenant`: few are, and most need not be asked of more.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn may_hide(&self, tenant: &str, rule: &str) -> Result<bool, LedgerError> {
        Ok(self.tenant(tenant)?.rules.contains(rule))
    }

    /// The same as [`Hiding::of`], as it is shown.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn shown(&self, tenant: &str, matter: &Matter<'_>) -> Result<Option<Suppressed>, LedgerError> {
        let Some(id) = self.of(tenant, matter)? else { return Ok(None) };
        let known = self.tenant(tenant)?;
        let Some((given, _)) = known.tuning.suppression(id, self.at) else { return Ok(None) };
        Ok(Some(Suppressed { record: id, until: given.until, by: self.granter(tenant, given)? }))
    }

    /// Whether the suppression `given` covers `matter`.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) fn covers(
        &self,
        tenant: &str,
        given: &Suppression,
        matter: &Matter<'_>,
    ) -> Result<bool, LedgerError> {
        let known = self.tenant(tenant)?;
        Ok(given.covers.has(tenant, matter, &SameIn { hiding: self, tenant, known: &known }))
    }

    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    fn granter(&self, tenant: &str, given: &Suppression) -> Result<Option<String>, LedgerError> {
        let Some(account) = given.by else { return Ok(None) };
        if let Some(known) = self.called.borrow().get(&given.id) {
            return Ok(known.clone());
        }
        let name = called(self.ledger, self.joins, tenant, account, given.id)?;
        self.called.borrow_mut().insert(given.id, Some(name.clone()));
        Ok(Some(name))
    }

    fn tenant(&self, tenant: &str) -> Result<Rc<Tenant>, LedgerError> {
        if let Some(known) = self.tenants.borrow().get(tenant) {
            return Ok(known.clone());
        }
        let tuning = self.tunings.of(self.ledger, tenant)?;
        let rules = tuning.hidden_rules(self.at).map(str::to_owned).collect();
        let (declared, heads) = (OnceCell::new(), RefCell::default());
        let known = Rc::new(Tenant { tuning, rules, declared, heads });
        self.tenants.borrow_mut().insert(tenant.to_owned(), known.clone());
        Ok(known)
    }
}

/// What `account` is called: the inventory's key, else the name in record `id`, else as it is sealed.
pub(super) fn called(
    ledger: &Ledger,
    joins: &Joins,
    tenant: &str,
    account: Account,
    id: RecordId,
) -> Result<String, LedgerError> {
    if let Some(declared) = joins.declared(ledger, tenant, account)? {
        return Ok(declared.key);
    }
    let names = match ledger.lookup(&Key::Id(id), 1, None)?.first() {
        Some(index) => ledger.names(*index)?,
        None => Vec::new(),
    };
    let name = names.into_iter().find(|(named, _)| *named == account).map(|(_, name)| name.key);
    Ok(name.unwrap_or_else(|| account.to_string()))
}

/// Who is who in one tenant.
struct SameIn<'s> {
    hiding: &'s Hiding<'s>,
    tenant: &'s str,
    known: &'s Tenant,
}

impl Same for SameIn<'_> {
    fn somebody(&self, one: Account, other: Account) -> bool {
        let Hiding { ledger, joins, state, .. } = self.hiding;
        // A tenant whose key cannot be read has nobody declared.
        if joins.is_same(ledger, self.tenant, one, other).unwrap_or(false) {
            return true;
        }
        let Some(state) = state else { return false };
        let declared = self.known.declared.get_or_init(|| joins.declared_in(ledger, self.tenant).ok());
        let Some(declared) = declared else { return false };
        let mut heads = self.known.heads.borrow_mut();
        let head = heads
            .entry(one)
            .or_insert_with(|| state.principal(one, declared).members.first().map(|member| member.account));
        *head == Some(other)
    }

    fn credential(&self, key: CredentialKey) -> CredentialKey {
        self.hiding.state.and_then(|state| state.credential(key)).map_or(key, |facts| facts.key)
    }
}
