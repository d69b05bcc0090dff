//! What the people and machines of an answer are called.
//!
//! Names come from the inventory, else from disclosures, which may be erased: they label an answer and never
//! decide one (D14).

use std::collections::{BTreeMap, BTreeSet};

use deed_record::{Account, Party, PrincipalType};

use crate::{Declared, Evidence, ExplainError, Name, case::Rec, explanation::Who};

/// The names of everybody in some records.
#[derive(Default)]
pub(crate) struct Names {
    said: BTreeMap<Account, Name>,
    declared: BTreeMap<Account, Declared>,
}

impl Names {
    /// The names in `records`; where they differ, the first record that gives one decides.
    pub(crate) fn of<'r, 'c: 'r, E: Evidence>(
        evidence: &E,
        records: impl IntoIterator<Item = &'r Rec<'c>>,
    ) -> Result<Self, ExplainError<E::Error>> {
        let mut names = Names::default();
        let mut seen: BTreeSet<Account> = BTreeSet::new();
        for rec in records {
            let accounts = || rec.is.parties().filter_map(|party| party.account);
            if accounts().any(|account| !names.said.contains_key(&account)) {
                for (account, name) in evidence.names(rec.found).map_err(ExplainError::Evidence)? {
                    names.said.entry(account).or_insert(name);
                }
            }
            for account in accounts().filter(|account| seen.insert(*account)) {
                let declared = evidence.declared(&rec.is.tenant, account).map_err(ExplainError::Evidence)?;
                names.declared.extend(declared.map(|declared| (account, declared)));
            }
        }
        Ok(names)
    }

    /// The key in clear, else the account.
    pub(crate) fn key(&self, party: &Party<'_>) -> Option<String> {
        let account = party.account?;
        Some(self.said.get(&account).map_or_else(|| account.to_string(), |name| name.key.clone()))
    }

    /// What people call it: what was declared goes before what a sender says.
    pub(crate) fn name(&self, party: &Party<'_>) -> Option<String> {
        let declared = self.declared(party).and_then(|declared| declared.name.clone());
        declared.or_else(|| self.said.get(&party.account?)?.name.clone())
    }

    /// What the inventory says of it.
    pub(crate) fn declared(&self, party: &Party<'_>) -> Option<&Declared> {
        self.declared.get(&party.account?)
    }

    /// What it is: what was declared goes before what records say.
    fn kind(&self, party: &Party<'_>) -> PrincipalType {
        let declared = self.declared(party).map(|declared| declared.kind);
        declared.filter(|kind| *kind != PrincipalType::Unknown).unwrap_or(party.kind)
    }

    /// Everything about a party.
    pub(crate) fn who(&self, party: &Party<'_>) -> Who {
        Who {
            key: self.key(party),
            kind: self.kind(party),
            name: self.name(party),
            principal: self.declared(party).map(|declared| declared.key.clone()),
            account: party.account,
            instance: party.instance.as_ref().map(|text| text.to_string()),
            vendor: party
                .vendor
                .as_ref()
                .map(|text| text.to_string())
                .or_else(|| self.declared(party)?.vendor.clone()),
        }
    }

    /// The same of somebody that no record names.
    pub(crate) fn nobody() -> Who {
        Who {
            key: None,
            kind: PrincipalType::Unknown,
            name: None,
            principal: None,
            account: None,
            instance: None,
            vendor: None,
        }
    }
}
