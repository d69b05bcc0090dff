//! One pack: every record is read once; that serves its disclosures, its keys in the index and its row.

use std::{ops::Range, time::Instant};

use deed_record::{PrincipalType, Skeleton};
use deed_seal::{
    sd,
    verify::{Problem, ProblemKind},
};

use super::{Leaves, PackRows, RowsCheck, derived::Took, problem};
use crate::{
    PACK_LEAVES,
    blob::{self, BlobError},
    key::each_key,
    keys::Keys,
    vault::{self, Vault, VaultError},
};

/// Records read before what they say is checked: enough to hash their disclosures side by side, few enough
/// to stay in a processor's cache.
const GROUP: usize = 64;

/// What was found, of one pack or of all.
#[derive(Default)]
pub(super) struct Found {
    pub(super) problems: Vec<Problem>,
    pub(super) disclosures: u64,
    /// Records with disclosures whose data key is not here.
    pub(super) locked: u64,
    pub(super) took: Took,
}

impl Found {
    pub(super) fn append(&mut self, mut other: Found) {
        self.problems.append(&mut other.problems);
        self.disclosures += other.disclosures;
        self.locked += other.locked;
        self.took.disclosures += other.took.disclosures;
        self.took.rows += other.took.rows;
    }
}

/// A sum over a multiset of index entries: two runs with the same entries have the same sum, and any
/// difference shows but for one case in 2^64.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Sum {
    entries: u64,
    mixed: u64,
}

impl Sum {
    pub(super) fn add(&mut self, hash: u64, leaf: u64) {
        let mut mixed = hash ^ leaf.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.entries += 1;
        self.mixed = self.mixed.wrapping_add(mixed ^ mixed >> 31);
    }

    pub(super) fn merge(&mut self, other: Sum) {
        self.entries += other.entries;
        self.mixed = self.mixed.wrapping_add(other.mixed);
    }
}

/// The check of one pack.
pub(super) struct PackCheck<'c> {
    leaves: &'c Leaves,
    keys: Option<&'c Keys>,
    number: u64,
    path: String,
    vault: Option<Vault>,
    rows: Option<Box<dyn PackRows + 'c>>,
    sum: Sum,
    seen: u64,
    found: Found,
}

impl<'c> PackCheck<'c> {
    pub(super) fn new(
        leaves: &'c Leaves,
        keys: Option<&'c Keys>,
        number: u64,
        rows: Option<&'c (dyn RowsCheck + 'c)>,
    ) -> Self {
        let path = vault::path_of(number);
        let mut found = Found::default();
        let started = Instant::now();
        let vault = open_vault(leaves, number, &path, &mut found);
        found.took.disclosures = started.elapsed();
        let rows = rows.map(|rows| rows.pack(number));
        found.took.rows = started.elapsed() - found.took.disclosures;
        let (sum, seen) = (Sum::default(), 0);
        PackCheck { leaves, keys, number, path, vault, rows, sum, seen, found }
    }

    /// The entries of a bundle.
    pub(super) fn bundle(&mut self, first: u64, entries: &[&[u8]]) {
        let mut since = Instant::now();
        let mut lap = || {
            let now = Instant::now();
            now - std::mem::replace(&mut since, now)
        };
        let at = (first - self.number * PACK_LEAVES) as usize;
        let store = &**self.leaves.store();
        let blobs = self.vault.as_ref().and_then(|vault| vault.blobs(store, at, at + entries.len()).ok());
        let blob = |at: usize| {
            let ((start, bytes), vault) = (blobs.as_ref()?, self.vault.as_ref()?);
            vault.cut(at, *start, bytes)
        };
        for (from, group) in (0..).step_by(GROUP).zip(entries.chunks(GROUP)) {
            let group: Vec<_> = (at + from..).zip(group).map(|(at, leaf)| (*leaf, blob(at))).collect();
            let (path, kept) = (&self.path, self.vault.is_some());
            let mut reader = Reader { path, kept, keys: self.keys, found: &mut self.found };
            let records = reader.read(first + from as u64, &group);
            add_keys(&records, &mut self.sum);
            self.seen += group.len() as u64;
            self.found.took.disclosures += lap();
            if let Some(rows) = &mut self.rows {
                records.iter().for_each(|(index, record)| rows.leaf(*index, record));
                self.found.took.rows += lap();
            }
        }
    }

    /// The pack's number, what its index run must hold, and what was found. Without all its leaves nothing
    /// can be said of the index run.
    pub(super) fn end(mut self) -> (u64, Option<Sum>, Found) {
        if let Some(rows) = self.rows {
            let ending = Instant::now();
            rows.end();
            self.found.took.rows += ending.elapsed();
        }
        (self.number, (self.seen == PACK_LEAVES).then_some(self.sum), self.found)
    }
}

/// Adds what `records` are looked up by.
fn add_keys(records: &[(u64, Skeleton<'_>)], sum: &mut Sum) {
    let mut hashes = Vec::with_capacity(32);
    for (index, record) in records {
        hashes.clear();
        each_key(record, &mut |key| hashes.push(key.hash()));
        hashes.sort_unstable();
        hashes.dedup();
        hashes.iter().for_each(|hash| sum.add(*hash, *index));
    }
}

fn open_vault(leaves: &Leaves, number: u64, path: &str, found: &mut Found) -> Option<Vault> {
    let mut report = |kind, what: String| found.problems.push(problem(kind, path, what));
    let store = &**leaves.store();
    match Vault::open(store, number) {
        Ok(vault) => {
            if let Ok(size) = store.size(path)
                && size != vault.size()
            {
                let what = format!("it has {size} bytes, its table says {}", vault.size());
                report(ProblemKind::Violated, what);
            }
            return Some(vault);
        }
        Err(VaultError::Store(error)) if error.is_missing() => {
            report(ProblemKind::Unverified, "the disclosures of this pack are missing".to_owned());
        }
        Err(error) => report(ProblemKind::Violated, error.to_string()),
    }
    None
}

/// Reads leaves, and holds the disclosures sealed with them against their digests.
pub(super) struct Reader<'r> {
    /// Where the disclosures are.
    pub(super) path: &'r str,
    /// Whether they are there at all.
    pub(super) kept: bool,
    pub(super) keys: Option<&'r Keys>,
    pub(super) found: &'r mut Found,
}

impl Reader<'_> {
    /// The records of leaves from `first` on, with their indexes. Beside each leaf stand its sealed
    /// disclosures, if they can be read.
    pub(super) fn read<'l>(
        &mut self,
        first: u64,
        leaves: &[(&'l [u8], Option<&[u8]>)],
    ) -> Vec<(u64, Skeleton<'l>)> {
        let mut records = Vec::with_capacity(leaves.len());
        let (mut plain, mut opened) = (Vec::new(), Vec::new());
        for (index, (leaf, sealed)) in (first..).zip(leaves) {
            match Skeleton::parse(leaf) {
                Ok(record) => {
                    let place = records.len();
                    if sealed.is_none() && self.kept {
                        self.report(ProblemKind::Violated, index, "its disclosures cannot be read");
                    }
                    let range = sealed.and_then(|sealed| self.open(index, &record, sealed, &mut plain));
                    opened.extend(range.map(|range| (place, range)));
                    records.push((index, record));
                }
                Err(error) => self.report(ProblemKind::Violated, index, &format!("no record: {error}")),
            }
        }
        let opened: Vec<_> = opened.into_iter().map(|(place, range)| (place, &plain[range])).collect();
        self.compare(&records, &opened);
        records
    }

    /// Opens the disclosures of a record, onto `plain`.
    fn open(
        &mut self,
        index: u64,
        record: &Skeleton<'_>,
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        if sealed.is_empty() {
            match committed(record).count() {
                0 => {}
                count => {
                    let what = format!("{count} disclosures are missing");
                    self.report(ProblemKind::Unverified, index, &what);
                }
            }
            return None;
        }
        if sealed.get(..16).and_then(|named| self.is_data_key_of(named, record)) == Some(false) {
            self.report(
                ProblemKind::Violated,
                index,
                "its disclosures name another data key than that of the record",
            );
            return None;
        }
        let opened = self.keys.map(|keys| blob::open_onto(keys, &record.id.0, sealed, plain));
        match opened {
            Some(Ok(range)) => return Some(range),
            None | Some(Err(BlobError::NoKey)) => self.found.locked += 1,
            Some(Err(error)) => self.report(ProblemKind::Violated, index, &error.to_string()),
        }
        None
    }

    /// Whether the disclosures of `record` may be sealed under the data key `named`; `None` where its tenant's key is not
    /// here. That an erased key is missing must not hide that another one is named.
    fn is_data_key_of(&self, named: &[u8], record: &Skeleton<'_>) -> Option<bool> {
        let tenant = self.keys?.known_tenant(&record.tenant).ok().flatten()?;
        let person = [&record.initiator, &record.executor]
            .into_iter()
            .flatten()
            .find(|party| party.kind == PrincipalType::Human && party.account.is_some())
            .and_then(|party| party.account);
        tenant.has_been_data_key_of(named, person.as_ref(), record.retention.as_deref())
    }

    /// Holds opened disclosures against the digests in their records.
    fn compare(&mut self, records: &[(u64, Skeleton<'_>)], opened: &[(usize, &[u8])]) {
        let mut each = Vec::with_capacity(4 * opened.len());
        for (place, plain) in opened {
            let (index, record) = &records[*place];
            let before = each.len();
            let whole = blob::each_json(plain, &mut |json| each.push((*place, json)));
            let (count, committed) = (each.len() - before, committed(record).count());
            self.found.disclosures += count as u64;
            if whole.is_none() {
                self.report(ProblemKind::Violated, *index, "its disclosures make no sense");
            } else if count < committed {
                let what = format!("{} of {committed} disclosures are missing", committed - count);
                self.report(ProblemKind::Unverified, *index, &what);
            }
        }
        let digests = sd::digests_of_json(&each.iter().map(|(_, json)| *json).collect::<Vec<_>>());
        for ((place, _), digest) in each.into_iter().zip(digests) {
            let (index, record) = &records[place];
            let text = sd::digest_text(&digest);
            if !committed(record).any(|digest| digest.as_bytes() == text) {
                let what = "a disclosure is not the one that was committed to";
                self.report(ProblemKind::Violated, *index, what);
            }
        }
    }

    fn report(&mut self, kind: ProblemKind, index: u64, what: &str) {
        self.found.problems.push(problem(kind, self.path, format!("leaf {index}: {what}")));
    }
}

/// The digests in a record.
fn committed<'r>(record: &'r Skeleton<'_>) -> impl Iterator<Item = &'r str> {
    record.disclose.0.values().flat_map(|digests| digests.all()).map(|digest| &**digest)
}
