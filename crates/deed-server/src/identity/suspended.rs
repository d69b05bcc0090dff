//! Since when somebody is stopped at Deed's own doors, by whom and why, and who let them go on.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use deed_ledger::{Key, Ledger, LedgerError};
use deed_record::{Account, RecordId, Timestamp};
use serde::{Deserialize, Serialize};

use super::names::Names;
use crate::force::TENANT;
use crate::tuning::{TuneError, note_reading, reason};

/// Suspensions that are listed, the newest.
const MOST_LISTED: usize = 100;

/// A suspension by Deed (`deed suspend`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspensionRow {
    /// Since when.
    pub since: Timestamp,
    /// For every tenant: it was suspended in `default`. By whom and why is for that tenant to see.
    #[serde(default)]
    pub everywhere: bool,
    /// Who did it.
    pub by: Option<String>,
    /// Why; only where reasons are asked for, whose reading is recorded.
    pub reason: Option<String>,
    /// The record of it; of several names the first.
    pub record: RecordId,
    /// What ended it; `null` while it is in force.
    pub lifted: Option<LiftedRow>,
}

/// The end of a suspension (`deed resume`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiftedRow {
    /// When.
    pub time: Timestamp,
    /// Who did it.
    pub by: Option<String>,
    /// Why; as that of the suspension.
    pub reason: Option<String>,
    /// The record of it.
    pub record: RecordId,
}

/// One word on whoever is asked about.
struct Said {
    account: Account,
    record: RecordId,
    by: Option<Account>,
    leaf: u64,
}

/// Every suspension of whoever has these accounts of `tenant`, or, of another tenant, those of `default`, whose suspensions
/// hold for all; by time.
///
/// # Errors
/// The store cannot be read.
pub(super) fn suspensions(
    ledger: &Ledger,
    names: &mut Names<'_>,
    (tenant, accounts): (&str, &BTreeSet<Account>),
    in_default: &BTreeSet<Account>,
) -> Result<Vec<SuspensionRow>, LedgerError> {
    // All names of somebody are suspended at one time, each by a record of its own.
    let mut said: BTreeMap<(Timestamp, bool), Vec<Said>> = BTreeMap::new();
    let of_default = in_default.iter().map(|account| (account, TENANT));
    for (account, tenant) in accounts.iter().map(|account| (account, tenant)).chain(of_default) {
        ledger.lookup_each(&Key::Entitled(*account), None, &mut |leaf, record| {
            if let Some((_, stops)) = record.stops().filter(|(whose, _)| whose == account)
                && *record.tenant == *tenant
            {
                let by = record.terms.as_ref().and_then(|terms| terms.by.as_ref());
                let by = by.and_then(|party| party.account);
                let one = Said { account: *account, record: record.id, by, leaf };
                said.entry((record.time, stops)).or_default().push(one);
            }
            ControlFlow::Continue(())
        })?;
    }
    let mut rows: Vec<(SuspensionRow, BTreeSet<Account>)> = Vec::new();
    for ((time, stops), mut all) in said {
        all.sort_by_key(|one| one.record);
        let Some(first) = all.first() else { continue };
        let everywhere = in_default.contains(&first.account);
        let by = first.by.filter(|_| !everywhere);
        let name = by.map(|by| names.at(by, first.leaf)).transpose()?.flatten();
        let (by, record) = (name.map(|name| name.key), first.record);
        let about: BTreeSet<Account> = all.iter().map(|one| one.account).collect();
        if stops {
            let row = SuspensionRow { since: time, everywhere, by, reason: None, record, lifted: None };
            rows.push((row, about));
            continue;
        }
        let open = rows.iter_mut().filter(|(row, whose)| row.lifted.is_none() && !whose.is_disjoint(&about));
        for (row, _) in open {
            row.lifted = Some(LiftedRow { time, by: by.clone(), reason: None, record });
        }
    }
    let older = rows.len().saturating_sub(MOST_LISTED);
    Ok(rows.into_iter().skip(older).map(|(row, _)| row).collect())
}

/// Puts the reasons into `rows`, for `by` to see.
///
/// INVARIANT D10: that they are read is recorded before they are shown.
///
/// # Errors
/// That cannot be recorded, or the log cannot be read.
pub(crate) fn suspension_reasons(
    ledger: &Ledger,
    tenant: &str,
    rows: &mut [SuspensionRow],
    by: &str,
) -> Result<(), TuneError> {
    let mut rows: Vec<_> = rows.iter_mut().filter(|row| !row.everywhere).collect();
    let ids = rows
        .iter()
        .flat_map(|row| std::iter::once(row.record).chain(row.lifted.iter().map(|end| end.record)));
    note_reading(ledger, tenant, ids.collect(), "deed:suspension", by)?;
    for row in &mut rows {
        row.reason = reason(ledger, row.record)?;
        if let Some(end) = &mut row.lifted {
            end.reason = reason(ledger, end.record)?;
        }
    }
    Ok(())
}
