//! What the people and machines of an answer are called.
//!
//! Names come from disclosures and may be erased: they label an answer and never decide one (D14).

use std::collections::BTreeMap;

use deed_record::{Account, Party, PrincipalType};

use crate::{Evidence, ExplainError, Name, case::Rec, explanation::Who};

/// The names of everybody in some records.
#[derive(Default)]
pub(crate) struct Names(BTreeMap<Account, Name>);

impl Names {
    /// The names in `records`; where they differ, the first record that gives one decides.
    pub(crate) fn of<'r, 'c: 'r, E: Evidence>(
        evidence: &E,
        records: impl IntoIterator<Item = &'r Rec<'c>>,
    ) -> Result<Self, ExplainError<E::Error>> {
        let mut names = Names::default();
        for rec in records {
            let unnamed =
                |party: &Party<'_>| party.account.is_some_and(|account| !names.0.contains_key(&account));
            if rec.is.parties().any(unnamed) {
                for (account, name) in evidence.names(rec.found).map_err(ExplainError::Evidence)? {
                    names.0.entry(account).or_insert(name);
                }
            }
        }
        Ok(names)
    }

    /// The key in clear, else the account.
    pub(crate) fn key(&self, party: &Party<'_>) -> Option<String> {
        let account = party.account?;
        Some(self.0.get(&account).map_or_else(|| account.to_string(), |name| name.key.clone()))
    }

    /// What people call it.
    pub(crate) fn name(&self, party: &Party<'_>) -> Option<String> {
        self.0.get(&party.account?)?.name.clone()
    }

    /// Everything about a party.
    pub(crate) fn who(&self, party: &Party<'_>) -> Who {
        Who {
            key: self.key(party),
            kind: party.kind,
            name: self.name(party),
            account: party.account,
            instance: party.instance.as_ref().map(|text| text.to_string()),
            vendor: party.vendor.as_ref().map(|text| text.to_string()),
        }
    }

    /// The same of somebody that no record names.
    pub(crate) fn nobody() -> Who {
        Who {
            key: None,
            kind: PrincipalType::Unknown,
            name: None,
            account: None,
            instance: None,
            vendor: None,
        }
    }
}
