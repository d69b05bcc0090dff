//! What sealing makes: leaves, disclosures and look-up hashes, side by side.

use std::{collections::HashSet, ops::Range, sync::Arc};

use deed_record::{Account, RECORDED_PLACEHOLDER, RecordError, RecordId, Skeleton};
use foldhash::fast::RandomState;

use super::stamp_of;
use crate::{
    journal::Frame,
    key::{each_key, event_of},
    sequencer::content_of,
};

/// Records sealed but for their time, in one arena.
#[derive(Default)]
pub(crate) struct Batch {
    pub(super) leaves: Vec<u8>,
    pub(super) blobs: Vec<u8>,
    pub(super) hashes: Vec<u64>,
    pub(crate) items: Vec<Item>,
    pub(crate) names: Vec<SealedName>,
    /// Whose names those are.
    pub(super) named: HashSet<Account, RandomState>,
}

/// One record of a batch.
pub(crate) struct Item {
    pub(super) leaf: Range<usize>,
    /// Where in the leaf the time goes.
    pub(super) stamp: usize,
    pub(super) blob: Range<usize>,
    pub(super) hashes: Range<usize>,
    pub(crate) id: RecordId,
    /// See [`event_of`](crate::key::event_of).
    pub(crate) event: Option<RecordId>,
    /// Set where the sender or the source named the record, so that it may have come before.
    pub(crate) named: Option<Named>,
}

impl Item {
    /// Whether a source named it, and not its sender.
    pub(crate) fn is_imported(&self) -> bool {
        self.named.is_some_and(|named| named.imported)
    }
}

/// What tells a record that came before from another of the same name.
#[derive(Clone, Copy)]
pub(crate) struct Named {
    /// Keyed digest of what was sent, as sealed in `content`.
    pub(crate) content: [u8; 32],
    /// That of the same with the defaults that it states: what earlier versions sealed.
    pub(crate) as_sent: Option<[u8; 32]>,
    /// Whether the source named it: other content is then kept beside, not refused.
    pub(crate) imported: bool,
}

/// What an account is called, sealed.
pub(crate) struct SealedName {
    pub(crate) account: Account,
    pub(crate) blob: Arc<[u8]>,
}

impl Batch {
    /// Room for what `bytes` of records become, about.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Batch {
            leaves: Vec::with_capacity(bytes + bytes / 2),
            blobs: Vec::with_capacity(bytes / 2),
            ..Batch::default()
        }
    }

    /// Adds what was sealed before and put aside in `frame`: all of it, or nothing.
    ///
    /// # Errors
    /// It is not what [`Spool::append`](crate::Spool::append) puts aside.
    pub(crate) fn add_sealed(&mut self, frame: &Frame) -> Result<(), RecordError> {
        let mut records = Vec::with_capacity(frame.entries.len());
        for entry in &frame.entries {
            let record = Skeleton::parse(&entry.leaf)?;
            let is_aside = record.recorded == RECORDED_PLACEHOLDER && record.spooled.is_some();
            match (stamp_of(&entry.leaf), content_of(&entry.leaf)) {
                (Some(stamp), Some(content)) if is_aside => records.push((entry, record, stamp, content)),
                _ => return Err(RecordError::new("", "it is no record that was put into a spool")),
            }
        }
        for (entry, record, stamp, content) in records {
            let (leaf, blob, hashes) = (self.leaves.len(), self.blobs.len(), self.hashes.len());
            self.leaves.extend_from_slice(&entry.leaf);
            self.blobs.extend_from_slice(&entry.blob);
            each_key(&record, &mut |key| self.hashes.push(key.hash()));
            self.items.push(Item {
                leaf: leaf..self.leaves.len(),
                stamp,
                blob: blob..self.blobs.len(),
                hashes: hashes..self.hashes.len(),
                id: record.id,
                event: event_of(&record),
                named: Some(Named { content, as_sent: None, imported: false }),
            });
        }
        for name in &frame.names {
            let account = Account(name.account);
            if self.named.insert(account) {
                self.names.push(SealedName { account, blob: name.blob.as_slice().into() });
            }
        }
        Ok(())
    }

    pub(crate) fn leaf(&self, item: &Item) -> &[u8] {
        &self.leaves[item.leaf.clone()]
    }

    pub(crate) fn blob(&self, item: &Item) -> &[u8] {
        &self.blobs[item.blob.clone()]
    }

    pub(crate) fn hashes(&self, item: &Item) -> &[u64] {
        &self.hashes[item.hashes.clone()]
    }

    /// Writes the time it was recorded into the leaf at `at` of the batch.
    pub(crate) fn stamp(&mut self, at: usize, recorded: &[u8; 27]) {
        let item = &self.items[at];
        let from = item.leaf.start + item.stamp;
        self.leaves[from..from + recorded.len()].copy_from_slice(recorded);
    }

    /// Bytes it will take in the journal, roughly.
    pub(crate) fn weight(&self) -> usize {
        self.leaves.len() + self.blobs.len() + self.items.len() * 8
    }
}
