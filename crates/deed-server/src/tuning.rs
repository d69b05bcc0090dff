//! What tenants make of rules (`deed_review::tuning`): read from the log by look-ups, and written to it.
//!
//! Nothing beside the log says what is in force. Its records are few and are found by what they are about, so that a
//! question reads those that came since the last one, and never the history.

mod hiding;
mod list;
mod write;

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
};

use deed_gateway::is_ours;
use deed_ledger::{Key, Ledger, LedgerError};
use deed_review::tuning::{RESOURCE, Tuning};

pub use list::{SuppressionEnd, SuppressionList, SuppressionRow, ThresholdRow, ThresholdsInForce};
pub use write::{EndSent, SuppressionSent, ThresholdsSent};

pub(crate) use hiding::Hiding;
pub(crate) use list::{note_reading, reason, reasons, suppressions, thresholds};
pub(crate) use write::{TuneError, suppress, tune, unsuppress};

/// Tenants whose tuning is kept; with more, all are read again.
const MOST_TENANTS: usize = 64;

/// What is in force for each tenant, as far as the log went when it was asked.
#[derive(Default)]
pub(crate) struct Tunings {
    kept: Mutex<HashMap<String, (u64, Arc<Tuning>)>>,
}

impl Tunings {
    /// What the records of `tenant` come to by now.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn of(&self, ledger: &Ledger, tenant: &str) -> Result<Arc<Tuning>, LedgerError> {
        let size = ledger.size();
        let (from, mut tuning) = self.lock().get(tenant).cloned().unwrap_or_default();
        if from == size {
            return Ok(tuning);
        }
        ledger.lookup_each(&Key::Resource { tenant, uri: RESOURCE }, None, &mut |index, record| {
            if index < from {
                return ControlFlow::Break(());
            }
            // Others may write about it, and change nothing by that.
            if is_ours(record) {
                Arc::make_mut(&mut tuning).fold(record);
            }
            ControlFlow::Continue(())
        })?;
        let mut kept = self.lock();
        if kept.len() >= MOST_TENANTS && !kept.contains_key(tenant) {
            kept.clear();
        }
        kept.insert(tenant.to_owned(), (size, tuning.clone()));
        Ok(tuning)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u64, Arc<Tuning>)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
