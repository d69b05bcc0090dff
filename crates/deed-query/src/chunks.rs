//! Rows of leaves that no Parquet file covers, built when asked for and kept for the next time.

use std::{
    collections::HashMap,
    ops::{ControlFlow, Range},
    sync::{Arc, Mutex},
};

use arrow::array::{Array, RecordBatch};
use deed_ledger::{LedgerError, Snapshot};

use crate::{
    columns::{BadLeaf, CHUNK, RowBuilder},
    tables::lock,
};

/// Sealed leaves that do not change.
pub(crate) trait Leaves: Send + Sync {
    /// Calls `each` with the index and exact bytes of the leaves of `range`, in order, until it breaks.
    ///
    /// # Errors
    /// They cannot be read.
    fn scan(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), LedgerError>;
}

impl Leaves for Snapshot {
    fn scan(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        Snapshot::scan(self, range, each)
    }
}

/// Why leaves did not become rows.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowsError {
    /// A leaf is no record.
    #[error(transparent)]
    Leaf(#[from] BadLeaf),
    /// The leaves cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There are fewer leaves than there should be.
    #[error("leaf {0} is missing")]
    Missing(u64),
}

/// The rows of the leaves of `range`.
///
/// # Errors
/// Every leaf becomes a row, or it is said which did not.
pub(crate) fn rows(leaves: &dyn Leaves, range: Range<u64>) -> Result<RecordBatch, RowsError> {
    let mut builder = RowBuilder::default();
    let mut bad = None;
    leaves.scan(range.clone(), &mut |index, leaf| match builder.push(index, leaf) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            bad = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = bad {
        return Err(error.into());
    }
    let built = range.start + builder.len() as u64;
    if built != range.end {
        return Err(RowsError::Missing(built));
    }
    Ok(builder.finish())
}

/// Rows by chunk: leaves `CHUNK * n` and on. The least recently used chunk makes room for the next.
pub(crate) struct Chunks {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    chunks: HashMap<u64, Entry>,
    bytes: usize,
    uses: u64,
}

struct Entry {
    rows: Arc<Mutex<Grown>>,
    bytes: usize,
    used: u64,
}

/// A chunk as far as it was built.
#[derive(Default)]
struct Grown {
    batches: Vec<RecordBatch>,
    rows: usize,
}

/// A growing chunk in more pieces than this is built anew in one.
const PIECES: usize = 8;

impl Chunks {
    /// Keeps rows of about `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Chunks { limit, kept: Mutex::default() }
    }

    /// The first `count` rows of chunk `number`.
    ///
    /// # Errors
    /// As [`rows`].
    pub(crate) fn get(
        &self,
        leaves: &dyn Leaves,
        number: u64,
        count: usize,
    ) -> Result<Vec<RecordBatch>, RowsError> {
        let first = number * CHUNK as u64;
        let chunk = self.entry(number);
        // Held while building, so that two who want the same rows build them once.
        let mut grown = lock(&chunk);
        if grown.rows < count {
            let end = first + count as u64;
            if grown.batches.len() < PIECES {
                let more = rows(leaves, first + grown.rows as u64..end)?;
                grown.batches.push(more);
            } else {
                grown.batches = vec![rows(leaves, first..end)?];
            }
            grown.rows = count;
            let bytes = grown.batches.iter().map(weight).sum();
            self.weigh(number, &chunk, bytes);
        }
        Ok(head(&grown.batches, count))
    }

    /// Forgets the rows of `leaves`.
    pub(crate) fn forget(&self, leaves: Range<u64>) {
        let kept = &mut *lock(&self.kept);
        for number in leaves.start / CHUNK as u64..leaves.end.div_ceil(CHUNK as u64) {
            if let Some(entry) = kept.chunks.remove(&number) {
                kept.bytes -= entry.bytes;
            }
        }
    }

    fn entry(&self, number: u64) -> Arc<Mutex<Grown>> {
        let mut kept = lock(&self.kept);
        kept.uses += 1;
        let used = kept.uses;
        let entry =
            kept.chunks.entry(number).or_insert_with(|| Entry { rows: Arc::default(), bytes: 0, used });
        entry.used = used;
        entry.rows.clone()
    }

    fn weigh(&self, number: u64, chunk: &Arc<Mutex<Grown>>, bytes: usize) {
        let kept = &mut *lock(&self.kept);
        // It may have been forgotten meanwhile.
        let Some(entry) = kept.chunks.get_mut(&number).filter(|entry| Arc::ptr_eq(&entry.rows, chunk)) else {
            return;
        };
        let before = std::mem::replace(&mut entry.bytes, bytes);
        kept.bytes = kept.bytes - before + bytes;
        while kept.bytes > self.limit {
            let oldest = kept.chunks.iter().min_by_key(|(_, entry)| entry.used).map(|(number, _)| *number);
            let Some(gone) = oldest.and_then(|number| kept.chunks.remove(&number)) else { break };
            kept.bytes -= gone.bytes;
        }
    }
}

/// Bytes that a batch keeps for itself: columns without a value share theirs with all others.
fn weight(batch: &RecordBatch) -> usize {
    let own = batch.columns().iter().filter(|column| column.null_count() < column.len());
    own.map(|column| column.get_array_memory_size()).sum()
}

/// The first `count` rows.
fn head(batches: &[RecordBatch], mut count: usize) -> Vec<RecordBatch> {
    let mut head = Vec::with_capacity(batches.len());
    for batch in batches {
        if count == 0 {
            break;
        }
        let rows = batch.num_rows().min(count);
        head.push(if rows == batch.num_rows() { batch.clone() } else { batch.slice(0, rows) });
        count -= rows;
    }
    head
}
