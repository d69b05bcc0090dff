//! The spool of a store that is held: emptied as soon as that is possible, and never silent.

use std::{io, sync::Arc};

use deed_ledger::{Check, SpoolState, now};

use super::{BETWEEN_LOOKS, Engine};

impl Engine {
    /// Has what is in the spool appended as soon as the log takes it, as long as the store is held.
    pub(super) fn empty_spool(&self) -> Result<(), io::Error> {
        if self.decisions().spool().is_none() {
            return Ok(());
        }
        let waiting = Arc::downgrade(&self.inner);
        let empty = move || {
            let mut said = None;
            loop {
                std::thread::sleep(BETWEEN_LOOKS);
                let Some(inner) = waiting.upgrade() else { return };
                let why = inner.decisions.drain().err();
                if let Some(why) = why.as_ref().filter(|why| said.as_ref() != Some(*why)) {
                    tracing::warn!(%why, "what is in the spool waits on");
                }
                said = why;
            }
        };
        std::thread::Builder::new().name("spool".into()).spawn(empty).map(drop)
    }

    /// What waits in the spool: it is not well while anything does.
    pub(super) fn spool_check(&self) -> Option<Check> {
        let spool = self.decisions().spool()?;
        let SpoolState { records, bytes, oldest, problems, .. } = spool.state();
        let options = spool.options();
        let mut says = vec![match oldest {
            Some(oldest) => format!(
                "in use: {records} records wait in `{}`, {bytes} bytes of {}, the oldest since {oldest} ({} s of {}); they are sealed once the recorder works",
                options.folder.display(),
                options.max_bytes,
                (now().0 - oldest.0).max(0) / 1_000_000,
                options.max_age.as_secs(),
            ),
            None => format!(
                "empty; the tier `low` may go on against `{}` for {} s, up to {} bytes",
                options.folder.display(),
                options.max_age.as_secs(),
                options.max_bytes,
            ),
        }];
        let ok = oldest.is_none() && problems.is_empty();
        says.extend(problems);
        if spool.is_on_the_disk_of_the_store() {
            says.push("it is on the disk of the store, and goes when that goes".into());
        }
        Some(Check { name: "spool", ok, detail: says.join("; ") })
    }
}
