//! Throwing away what is derived, and deriving it again (INVARIANT D5).

use std::thread;

use deed_ledger::{LedgerError, PACK_LEAVES};

use super::Engine;
use crate::findings::ReviewError;

/// One thing that was derived again.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rebuilt {
    /// `index`, `identities`, `findings` or `records`.
    pub name: &'static str,
    /// Packs whose leaves were read for it.
    pub packs: u64,
    /// Index runs, facts of identities, actions with findings, or rows in Parquet, that there are now.
    pub items: u64,
    /// SHA-256 over a canonical dump, in hex.
    pub digest: String,
    /// Whether the dump was the same before (D5).
    pub same: bool,
    /// Why what was there before could not be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Why something was not derived again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RebuildError {
    /// The index.
    #[error("the index: {0}")]
    Index(LedgerError),
    /// What is known of identities.
    #[error("identities: {0}")]
    Identities(LedgerError),
    /// What deserves a look.
    #[error("findings: {0}")]
    Findings(#[source] ReviewError),
    /// Parquet.
    #[cfg(feature = "sql")]
    #[error("the rows: {0}")]
    Rows(deed_query::QueryError),
    /// The system gives no thread.
    #[error("no thread to work in: {0}")]
    Thread(std::io::Error),
    /// A part gave up without a word.
    #[error("a part of it panicked")]
    Panicked,
}

impl Engine {
    /// Throws away what is derived from the packs, and derives it again. Questions are answered meanwhile.
    ///
    /// # Errors
    /// See [`RebuildError`]; nothing that is sealed was touched.
    pub fn rebuild(&self) -> Result<Vec<Rebuilt>, RebuildError> {
        let folded = self.inner.identities.come().map_err(RebuildError::Identities)?;
        // Each reads every record by itself. Findings go by the identities that there are, which are the same when they are
        // folded again.
        let (identities, findings, index, rows) = thread::scope(|scope| {
            let beside = |name: &str| thread::Builder::new().name(name.to_owned());
            let identities = beside("identities again").spawn_scoped(scope, || self.rebuild_identities());
            let findings = beside("findings again").spawn_scoped(scope, || self.rebuild_findings(folded));
            let (identities, findings) =
                (identities.map_err(RebuildError::Thread)?, findings.map_err(RebuildError::Thread)?);
            let (index, rows) = (self.rebuild_index(), self.rebuild_rows());
            let identities = identities.join().map_err(|_| RebuildError::Panicked)??;
            let findings = findings.join().map_err(|_| RebuildError::Panicked)??;
            Ok::<_, RebuildError>((identities, findings, index?, rows?))
        })?;
        let findings = if identities.same { findings } else { self.rebuild_findings(folded)? };
        Ok([index, identities, findings].into_iter().chain(rows).collect())
    }

    fn rebuild_index(&self) -> Result<Rebuilt, RebuildError> {
        let index = self.ledger().rebuild_index().map_err(RebuildError::Index)?;
        Ok(Rebuilt {
            name: "index",
            packs: index.packs,
            items: index.runs,
            digest: index.digest,
            same: index.same,
            problem: None,
        })
    }

    fn rebuild_identities(&self) -> Result<Rebuilt, RebuildError> {
        let identities = self.inner.identities.refold().map_err(RebuildError::Identities)?;
        Ok(Rebuilt {
            name: "identities",
            packs: identities.leaves / PACK_LEAVES,
            items: identities.entries,
            digest: identities.digest,
            same: identities.same,
            problem: identities.problem,
        })
    }

    fn rebuild_findings(&self, folded: u64) -> Result<Rebuilt, RebuildError> {
        let found = self.inner.findings.again(folded).map_err(RebuildError::Findings)?;
        Ok(Rebuilt {
            name: "findings",
            packs: found.leaves / PACK_LEAVES,
            items: found.actions,
            digest: found.digest,
            same: found.same,
            problem: found.problem,
        })
    }

    #[cfg(feature = "sql")]
    fn rebuild_rows(&self) -> Result<Option<Rebuilt>, RebuildError> {
        let rows = self.tables().rebuild().map_err(RebuildError::Rows)?;
        Ok(Some(Rebuilt {
            name: "records",
            packs: rows.packs,
            items: rows.rows,
            digest: rows.digest,
            same: rows.same,
            problem: rows.problem,
        }))
    }

    #[cfg(not(feature = "sql"))]
    #[expect(clippy::unnecessary_wraps, reason = "with tables it can fail")]
    fn rebuild_rows(&self) -> Result<Option<Rebuilt>, RebuildError> {
        Ok(None)
    }
}
