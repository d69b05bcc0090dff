//! Disclosures at rest: one object for each pack, apart from it, with rights, keys and retention of
//! its own. Losing or destroying one loses payloads and names, never a proof.
//!
//! ```text
//! header 32, little-endian: "deeddisc", bytes of names u32, leaves u32, first leaf u64, names u32,
//!        CRC-32C of the tables u32
//! offset table: the end of each leaf's blob u32, counted from the first
//! names: account 16, length u32, sealed name; for each
//! blobs
//! ```
//! The object is rewritten when a disclosure is redacted; nothing that is sealed names its bytes.

use crate::{
    PACK_LEAVES,
    store::{Store, StoreError},
};

const MAGIC: &[u8; 8] = b"deeddisc";
const HEADER: usize = 32;
const TABLE: usize = PACK_LEAVES as usize * 4;
pub(crate) const FOLDER: &str = "disclosures";

/// Why disclosures cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The bytes are not what was written.
    #[error("`{path}` is damaged: {what}")]
    Damaged {
        /// The object.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The object that holds the disclosures of pack `number`.
pub(crate) fn path_of(number: u64) -> String {
    format!("{FOLDER}/{number:06}.disclosures")
}

/// The number of the pack whose disclosures are at `path`.
pub(crate) fn number_of(path: &str) -> Option<u64> {
    let number = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".disclosures")?.parse().ok()?;
    (path_of(number) == path).then_some(number)
}

/// The bytes of the object, in parts.
pub(crate) fn encode<'b>(number: u64, blobs: &[&'b [u8]], names: &[([u8; 16], &'b [u8])]) -> Vec<Vec<u8>> {
    let mut table = Vec::with_capacity(TABLE);
    let mut end = 0_u32;
    for blob in blobs {
        end += blob.len() as u32;
        table.extend_from_slice(&end.to_le_bytes());
    }
    let mut named = Vec::new();
    for (account, blob) in names {
        named.extend_from_slice(account);
        named.extend_from_slice(&(blob.len() as u32).to_le_bytes());
        named.extend_from_slice(blob);
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(&table), &named);
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&(named.len() as u32).to_le_bytes());
    header.extend_from_slice(&(blobs.len() as u32).to_le_bytes());
    header.extend_from_slice(&(number * PACK_LEAVES).to_le_bytes());
    header.extend_from_slice(&(names.len() as u32).to_le_bytes());
    header.extend_from_slice(&crc.to_le_bytes());
    vec![header, table, named, blobs.concat()]
}

/// The tables of one object: where each blob is, and the sealed names.
#[derive(Debug)]
pub(crate) struct Vault {
    path: String,
    ends: Vec<u32>,
    pub(crate) names: Vec<([u8; 16], Vec<u8>)>,
    blobs: u64,
}

impl Vault {
    pub(crate) fn open(store: &dyn Store, number: u64) -> Result<Self, VaultError> {
        let path = path_of(number);
        let damaged = |what: &str| VaultError::Damaged { path: path.clone(), what: what.to_owned() };
        let header = store.read_range(&path, 0..HEADER as u64)?;
        let u32_at =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let first = u64::from(u32_at(16)) | u64::from(u32_at(20)) << 32;
        let named_length = u64::from(u32_at(8));
        if &header[..8] != MAGIC || first != number * PACK_LEAVES || u64::from(u32_at(12)) != PACK_LEAVES {
            return Err(damaged("the header is not that of this pack"));
        }
        let blobs = (HEADER + TABLE) as u64 + named_length;
        let tables = store.read_range(&path, HEADER as u64..blobs)?;
        if crc32c::crc32c(&tables) != u32_at(28) {
            return Err(damaged("the tables do not match their checksum"));
        }
        let (table, mut named) = tables.split_at(TABLE);
        let ends: Vec<u32> =
            table.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        if !ends.is_sorted() {
            return Err(damaged("the offset table makes no sense"));
        }
        let mut names = Vec::new();
        for _ in 0..u32_at(24) {
            let mut one = || -> Option<([u8; 16], Vec<u8>)> {
                let (account, rest) = named.split_at_checked(16)?;
                let (length, rest) = rest.split_at_checked(4)?;
                let (blob, rest) =
                    rest.split_at_checked(u32::from_le_bytes(length.try_into().ok()?) as usize)?;
                named = rest;
                Some((account.try_into().ok()?, blob.to_vec()))
            };
            names.push(one().ok_or_else(|| damaged("the names make no sense"))?);
        }
        Ok(Vault { path, ends, names, blobs })
    }

    /// The sealed disclosures of the leaf at `at` within the pack.
    pub(crate) fn blob(&self, store: &dyn Store, at: usize) -> Result<Vec<u8>, StoreError> {
        let from = if at == 0 { 0 } else { self.ends[at - 1] };
        store.read_range(&self.path, self.blobs + u64::from(from)..self.blobs + u64::from(self.ends[at]))
    }

    /// The sealed disclosures of leaves `from..to` in one piece, and where in the blobs it starts.
    pub(crate) fn blobs(
        &self,
        store: &dyn Store,
        from: usize,
        to: usize,
    ) -> Result<(u32, Vec<u8>), StoreError> {
        let start = if from == 0 { 0 } else { self.ends[from - 1] };
        let end = if to == 0 { 0 } else { self.ends[to - 1] };
        let bytes =
            store.read_range(&self.path, self.blobs + u64::from(start)..self.blobs + u64::from(end))?;
        Ok((start, bytes))
    }

    /// The part of such a piece that belongs to the leaf at `at`.
    pub(crate) fn cut<'b>(&self, at: usize, start: u32, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let from = if at == 0 { 0 } else { *self.ends.get(at - 1)? };
        let to = *self.ends.get(at)?;
        bytes.get(from.checked_sub(start)? as usize..to.checked_sub(start)? as usize)
    }

    /// The object's size, as its tables have it.
    pub(crate) fn size(&self) -> u64 {
        self.blobs + u64::from(self.ends.last().copied().unwrap_or(0))
    }
}
