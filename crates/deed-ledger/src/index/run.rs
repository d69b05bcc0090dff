//! One sorted run.
//!
//! ```text
//! header 64, little-endian: "deedrun8", first pack u64, one past the last pack u64, keys u64,
//!        entries u64, bucket bits u32, ids u32, directory offset u64, 0 u32, CRC-32C of bytes 0..60
//! buckets: keys in order; for each the hash bits below the bucket's, big-endian, then its leaves
//!        (offsets from the run's first leaf) as varints of (difference << 1 | more follow)
//! directory: for each bucket its offset u32 and the CRC-32C of its bytes, then the end
//! CRC-32C of the directory
//! filter over the keys, and its CRC-32C
//! ```
//! A look-up reads one bucket of some forty keys; that of a key which the filter does not know, nothing.

use std::ops::Range;

use super::{
    FOLDER, IndexError,
    filter::{BLOCK, Filter},
};
use crate::{
    PACK_LEAVES,
    key::{HASH_BITS, is_id},
    store::Store,
};

/// Its number grows when records are looked up by more: runs of an earlier one are built again.
pub(crate) const MAGIC: &[u8; 8] = b"deedrun8";
const HEADER: usize = 64;
/// Keys a bucket holds on average, as a power of two.
const BUCKET_KEYS: u32 = 6;
/// Bytes of a bucket in the directory.
const PLACE: usize = 8;

/// A key's hash and a leaf it leads to, as an offset from the run's first leaf.
pub(crate) type Entry = (u64, u32);

/// An open run: what says where a key is, for the rest stays in the store.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) path: String,
    pub(crate) packs: Range<u64>,
    keys: u64,
    ids: u32,
    bucket_bits: u32,
    directory: u64,
    /// `None` where it was let go of.
    guide: Option<Guide>,
}

/// What need not be read again for a look-up.
#[derive(Clone, Debug)]
struct Guide {
    /// The directory as it is stored.
    directory: Vec<u8>,
    filter: Filter,
}

pub(super) fn path_of(packs: &Range<u64>) -> String {
    format!("{FOLDER}/{:06}-{:06}.run", packs.start, packs.end - 1)
}

pub(crate) fn packs_of(path: &str) -> Option<Range<u64>> {
    let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?.strip_suffix(".run")?;
    let (first, last) = name.split_once('-')?;
    let packs = first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?;
    (packs.start < packs.end && path_of(&packs) == path).then_some(packs)
}

/// The bytes of a run over `entries`, which are sorted.
pub(crate) fn encode(packs: Range<u64>, entries: impl Iterator<Item = Entry> + Clone) -> Vec<u8> {
    let (mut keys, mut ids, mut count) = (0_u64, 0_u32, 0_u64);
    let mut last: Option<Entry> = None;
    for entry in entries.clone() {
        let is_new = last.is_none_or(|(hash, _)| hash != entry.0);
        keys += u64::from(is_new);
        ids += u32::from(is_new && is_id(entry.0));
        count += u64::from(last != Some(entry));
        last = Some(entry);
    }
    let mut filter = Filter::with_room(ids.into(), keys - u64::from(ids));
    let bucket_bits = (64 - keys.leading_zeros()).saturating_sub(BUCKET_KEYS).min(24);
    let suffix = suffix_bytes(bucket_bits);

    let mut out = vec![0; HEADER];
    let mut directory: Vec<(u32, u32)> = Vec::with_capacity((1 << bucket_bits) + 1);
    let mut start = HEADER;
    let mut entries = entries.peekable();
    for bucket in 0_u64..1 << bucket_bits {
        while let Some((hash, offset)) =
            entries.next_if(|(hash, _)| hash >> (HASH_BITS - bucket_bits) == bucket)
        {
            filter.add(hash);
            out.extend_from_slice(&hash.to_be_bytes()[8 - suffix..]);
            let mut before = 0;
            let mut now = offset;
            loop {
                // A record may name a key twice; once is enough.
                let mut next = entries.next_if(|(other, _)| *other == hash);
                while next.is_some_and(|(_, other)| other == now) {
                    next = entries.next_if(|(other, _)| *other == hash);
                }
                put_varint(&mut out, u64::from(now - before) << 1 | u64::from(next.is_some()));
                let Some((_, after)) = next else { break };
                before = now;
                now = after;
            }
        }
        directory.push((start as u32, crc32c::crc32c(&out[start..])));
        start = out.len();
    }
    let directory_at = out.len() as u64;
    for (offset, crc) in &directory {
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
    }
    out.extend_from_slice(&(start as u32).to_le_bytes());
    let crc = crc32c::crc32c(&out[directory_at as usize..]);
    out.extend_from_slice(&crc.to_le_bytes());
    let filter_at = out.len();
    out.extend(filter.bytes());
    let crc = crc32c::crc32c(&out[filter_at..]);
    out.extend_from_slice(&crc.to_le_bytes());

    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&packs.start.to_le_bytes());
    out[16..24].copy_from_slice(&packs.end.to_le_bytes());
    out[24..32].copy_from_slice(&keys.to_le_bytes());
    out[32..40].copy_from_slice(&count.to_le_bytes());
    out[40..44].copy_from_slice(&bucket_bits.to_le_bytes());
    out[44..48].copy_from_slice(&ids.to_le_bytes());
    out[48..56].copy_from_slice(&directory_at.to_le_bytes());
    let crc = crc32c::crc32c(&out[..60]);
    out[60..64].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Bytes that hold the hash bits below the bucket's.
const fn suffix_bytes(bucket_bits: u32) -> usize {
    (HASH_BITS - bucket_bits).div_ceil(8) as usize
}

impl Run {
    pub(crate) fn open(store: &dyn Store, path: &str) -> Result<Self, IndexError> {
        let damaged = |at| IndexError::Damaged { path: path.to_owned(), at };
        let size = store.size(path)?;
        if size < (HEADER + 12) as u64 {
            return Err(damaged(size));
        }
        let header = store.read_range(path, 0..HEADER as u64)?;
        let mut run = Run::parse_header(path, &header, size).ok_or_else(|| damaged(0))?;
        let mut directory = store.read_range(path, run.directory..size)?;
        let filter = directory.split_off((run.filter_at() - run.directory) as usize);
        checked(&directory).ok_or_else(|| damaged(run.directory))?;
        let filter = Filter::parse(checked(&filter).ok_or_else(|| damaged(run.filter_at()))?);
        run.guide = Some(Guide { directory, filter });
        Ok(run)
    }

    /// Where the filter begins.
    fn filter_at(&self) -> u64 {
        self.directory + ((PLACE as u64) << self.bucket_bits) + 8
    }

    /// The same without what it keeps in memory: all is looked for in the store.
    pub(crate) fn without_guide(&self) -> Self {
        Run { path: self.path.clone(), packs: self.packs.clone(), guide: None, ..*self }
    }

    /// Bytes that it keeps in memory.
    pub(crate) fn guide_size(&self) -> usize {
        self.guide.as_ref().map_or(0, |guide| guide.directory.len() + guide.filter.size())
    }

    /// Whether a look-up of `hash` may find something; if not, nothing need be read.
    pub(crate) fn may_hold(&self, hash: u64) -> bool {
        self.guide.as_ref().is_none_or(|guide| guide.filter.may_hold(hash))
    }

    fn parse_header(path: &str, header: &[u8], size: u64) -> Option<Self> {
        let u64_at =
            |at: usize| header.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        let u32_at =
            |at: usize| header.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
        if header.get(..8)? != MAGIC || u32_at(60)? != crc32c::crc32c(&header[..60]) {
            return None;
        }
        let run = Run {
            path: path.to_owned(),
            packs: u64_at(8)?..u64_at(16)?,
            keys: u64_at(24)?,
            ids: u32_at(44)?,
            bucket_bits: u32_at(40)?,
            directory: u64_at(48)?,
            guide: None,
        };
        let others = run.keys.checked_sub(run.ids.into())?;
        let filter =
            (Filter::blocks(run.ids.into(), others) as u64).checked_mul(BLOCK as u64)?.checked_add(4)?;
        let sane = Some(&run.packs) == packs_of(path).as_ref()
            && run.bucket_bits <= 24
            && run.directory.checked_add(((PLACE as u64) << run.bucket_bits) + 8)?.checked_add(filter)
                == Some(size);
        sane.then_some(run)
    }

    /// The leaves of `hash`, as offsets from the run's first leaf, rising.
    pub(crate) fn leaves(&self, store: &dyn Store, hash: u64) -> Result<Vec<u32>, IndexError> {
        let at = (hash >> (HASH_BITS - self.bucket_bits)) as usize * PLACE;
        let entry = self.directory + at as u64;
        // Its place, and where the next one begins.
        let place = match &self.guide {
            Some(guide) => guide.directory.get(at..).and_then(|rest| rest.first_chunk().copied()),
            None => store.read_range(&self.path, entry..entry + PLACE as u64 + 4)?.first_chunk().copied(),
        };
        let place: [u8; PLACE + 4] = place.ok_or_else(|| self.damaged(entry))?;
        let u32_at = |at: usize| u32::from_le_bytes([place[at], place[at + 1], place[at + 2], place[at + 3]]);
        let (from, crc, to) = (u64::from(u32_at(0)), u32_at(4), u64::from(u32_at(PLACE)));
        if from > to || to > self.directory {
            return Err(self.damaged(entry));
        }
        let bytes = store.read_range(&self.path, from..to)?;
        if crc32c::crc32c(&bytes) != crc {
            return Err(self.damaged(from));
        }
        let mut found = Vec::new();
        let wanted = &hash.to_be_bytes()[8 - suffix_bytes(self.bucket_bits)..];
        each_in_bucket(&bytes, suffix_bytes(self.bucket_bits), &mut |suffix, offset| {
            if suffix == wanted {
                found.push(offset);
            }
        })
        .ok_or_else(|| self.damaged(from))?;
        Ok(found)
    }

    /// Calls `each` with every entry, in order, with `bytes` the whole object: for verifying, and before merging. They
    /// rise, their leaves are those of the run's packs, and the filter knows of each key.
    ///
    /// # Errors
    /// Any byte that is not what was written.
    pub(crate) fn each_entry(&self, bytes: &[u8], each: &mut dyn FnMut(Entry)) -> Result<(), IndexError> {
        let directory = usize::try_from(self.directory).map_err(|_| self.damaged(0))?;
        let filter_at = usize::try_from(self.filter_at()).map_err(|_| self.damaged(0))?;
        let parts = (bytes.get(..HEADER), bytes.get(directory..filter_at), bytes.get(filter_at..));
        let (Some(header), Some(table), Some(filter)) = parts else {
            return Err(self.damaged(bytes.len() as u64));
        };
        if Run::parse_header(&self.path, header, bytes.len() as u64).is_none() {
            return Err(self.damaged(0));
        }
        if checked(table).is_none() {
            return Err(self.damaged(self.directory));
        }
        let filter = checked(filter).ok_or_else(|| self.damaged(self.filter_at()))?;
        // What the right ids make is what was written.
        let mut made = Filter::with_room(self.ids.into(), self.keys - u64::from(self.ids));
        let leaves = (self.packs.end - self.packs.start).saturating_mul(PACK_LEAVES);
        let mut last = None;
        let mut entries = self.entries(bytes);
        loop {
            let at = entries.at;
            match entries.step() {
                None => return Err(self.damaged(at as u64)),
                Some(None) => break,
                // Checksums say that these are the bytes that were written, not that they were written well.
                Some(Some(entry)) if last.is_none_or(|last| last < entry) && u64::from(entry.1) < leaves => {
                    made.add(entry.0);
                    last = Some(entry);
                    each(entry);
                }
                Some(Some(_)) => return Err(self.damaged(at as u64)),
            }
        }
        if made != Filter::parse(filter) {
            return Err(self.damaged(self.filter_at()));
        }
        Ok(())
    }

    /// Its entries, in order, with `bytes` the whole object. It ends where they make no sense: look at each of them first.
    pub(crate) fn entries<'b>(&self, bytes: &'b [u8]) -> Entries<'b> {
        Entries {
            bytes,
            directory: self.directory as usize,
            bucket_bits: self.bucket_bits,
            bucket: 0,
            at: HEADER,
            end: HEADER,
            entry: (0, 0),
            more: false,
        }
    }

    fn damaged(&self, at: u64) -> IndexError {
        IndexError::Damaged { path: self.path.clone(), at }
    }
}

/// Entries of a run, read where they stand.
#[derive(Clone)]
pub(crate) struct Entries<'b> {
    bytes: &'b [u8],
    directory: usize,
    bucket_bits: u32,
    /// The next bucket.
    bucket: usize,
    /// The next byte of this one, and where it ends.
    at: usize,
    end: usize,
    entry: Entry,
    /// Whether the key has more leaves.
    more: bool,
}

impl Entries<'_> {
    /// The next entry, if there is one; `None` if the bytes make no sense.
    fn step(&mut self) -> Option<Option<Entry>> {
        while !self.more && self.at == self.end {
            if self.bucket == 1 << self.bucket_bits {
                return Some(None);
            }
            let u32_at = |at: usize| {
                self.bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
            };
            let entry = self.directory + self.bucket * PLACE;
            let (from, crc, to) = (u32_at(entry)?, u32_at(entry + 4)?, u32_at(entry + PLACE)?);
            (self.at, self.end) = (from as usize, to as usize);
            let data = self.bytes.get(..self.directory)?.get(self.at..self.end)?;
            if crc32c::crc32c(data) != crc {
                return None;
            }
            self.bucket += 1;
        }
        let mut rest = self.bytes.get(self.at..self.end)?;
        if !self.more {
            let (suffix, after) = rest.split_at_checked(suffix_bytes(self.bucket_bits))?;
            rest = after;
            let high = (self.bucket as u64 - 1) << (HASH_BITS - self.bucket_bits);
            let below = (1_u64 << (HASH_BITS - self.bucket_bits)) - 1;
            let low = suffix.iter().fold(0_u64, |all, byte| all << 8 | u64::from(*byte));
            self.entry = (high | low & below, 0);
        }
        let value = take_varint(&mut rest)?;
        self.entry.1 = u32::try_from(u64::from(self.entry.1).checked_add(value >> 1)?).ok()?;
        self.more = value & 1 == 1;
        self.at = self.end - rest.len();
        Some(Some(self.entry))
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;
    fn next(&mut self) -> Option<Entry> {
        self.step().flatten()
    }
}

/// What stands before the CRC-32C that ends `bytes`, if it is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (data, crc) = bytes.split_last_chunk::<4>()?;
    (crc32c::crc32c(data) == u32::from_le_bytes(*crc)).then_some(data)
}

/// Calls `each` with every suffix and leaf of a bucket; `None` if its bytes make no sense.
fn each_in_bucket(mut bytes: &[u8], suffix_len: usize, each: &mut dyn FnMut(&[u8], u32)) -> Option<()> {
    while !bytes.is_empty() {
        let (suffix, rest) = bytes.split_at_checked(suffix_len)?;
        bytes = rest;
        let mut offset = 0_u64;
        loop {
            let value = take_varint(&mut bytes)?;
            offset = offset.checked_add(value >> 1)?;
            each(suffix, u32::try_from(offset).ok()?);
            if value & 1 == 0 {
                break;
            }
        }
    }
    Some(())
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..35).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use proptest::prelude::*;

    #[test]
    fn entries_rise_and_stay_in_their_packs() {
        for bad in [&[(7, 5), (7, 5)][..], &[(7, 5), (7, 70_000)], &[(7, u32::MAX)]] {
            let store = MemoryStore::default();
            let path = path_of(&(0..1));
            // What `encode` would not write, for it writes an entry once.
            let mut bytes = encode(0..1, [(7, 5), (7, 6)].into_iter());
            let filter = bytes.split_off(
                Run::parse_header(&path, &bytes, bytes.len() as u64).expect("a run").filter_at() as usize,
            );
            let (mut bucket, mut before) = (bytes[HEADER..HEADER + 6].to_vec(), 0);
            for (at, (_, leaf)) in bad.iter().enumerate() {
                put_varint(&mut bucket, u64::from(leaf - before) << 1 | u64::from(at + 1 < bad.len()));
                before = *leaf;
            }
            let directory = HEADER + bucket.len();
            bytes.truncate(HEADER);
            bytes.extend_from_slice(&bucket);
            bytes.extend_from_slice(&(HEADER as u32).to_le_bytes());
            bytes.extend_from_slice(&crc32c::crc32c(&bucket).to_le_bytes());
            bytes.extend_from_slice(&(directory as u32).to_le_bytes());
            let crc = crc32c::crc32c(&bytes[directory..]);
            bytes.extend_from_slice(&crc.to_le_bytes());
            bytes.extend_from_slice(&filter);
            bytes[48..56].copy_from_slice(&(directory as u64).to_le_bytes());
            let crc = crc32c::crc32c(&bytes[..60]);
            bytes[60..64].copy_from_slice(&crc.to_le_bytes());
            store.replace(&path, &bytes).expect("stored");
            let run = Run::open(&store, &path).expect("opens");
            assert!(
                matches!(run.each_entry(&bytes, &mut |_| {}), Err(IndexError::Damaged { .. })),
                "{bad:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_run_gives_back_its_entries(mut entries in prop::collection::vec((0_u64..1 << 48, 0_u32..1 << 17), 0..2000), twins in 0_usize..50) {
            for at in 0..twins.min(entries.len()) {
                let other = entries[(at * 7) % entries.len()].0;
                entries[at].0 = other;
            }
            entries.sort_unstable();
            let store = MemoryStore::default();
            let path = path_of(&(3..5));
            let bytes = encode(3..5, entries.iter().copied());
            store.replace(&path, &bytes).expect("stored");
            let run = Run::open(&store, &path).expect("opens");
            let mut all = Vec::new();
            run.each_entry(&bytes, &mut |entry| all.push(entry)).expect("reads");
            entries.dedup();
            prop_assert_eq!(&all, &entries);
            for (hash, _) in entries.iter().take(50) {
                let expected: Vec<u32> = entries.iter().filter(|(other, _)| other == hash).map(|(_, offset)| *offset).collect();
                prop_assert_eq!(run.leaves(&store, *hash).expect("reads"), expected);
            }
            prop_assert_eq!(run.leaves(&store, 12345).expect("reads").is_empty(), !entries.iter().any(|(hash, _)| *hash == 12345));
        }

        #[test]
        fn a_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let entries: Vec<Entry> = (0..500_u32).map(|n| (u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16, n)).collect();
            let mut sorted = entries;
            sorted.sort_unstable();
            let store = MemoryStore::default();
            let path = path_of(&(0..1));
            let mut bytes = encode(0..1, sorted.iter().copied());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            store.replace(&path, &bytes).expect("stored");
            let noticed = match Run::open(&store, &path) {
                Err(_) => true,
                Ok(run) => run.each_entry(&bytes, &mut |_| {}).is_err(),
            };
            prop_assert!(noticed, "byte {at} of {}", bytes.len());
        }
    }
}
