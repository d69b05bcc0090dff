//! Disclosures against their digests, index runs against the leaves.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use deed_record::Skeleton;
use deed_seal::{
    sd,
    tile::bundle_entries,
    verify::{Problem, ProblemKind, Unchecked},
};

use super::{Leaves, StoreReport, problem};
use crate::{
    PACK_LEAVES,
    blob::{self, BlobError},
    index::{self, Run},
    key::each_key,
    keys::Keys,
    vault::{self, Vault},
};

/// What one worker found.
#[derive(Default)]
struct Found {
    problems: Vec<Problem>,
    disclosures: u64,
    /// Disclosures whose data key is not here.
    locked: u64,
    /// For each pack: number of index entries and an order-independent sum over them.
    sums: HashMap<u64, Sum>,
}

/// A sum over a multiset of index entries: two runs with the same entries have the same sum, and any
/// difference shows but for one case in 2^64.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
struct Sum {
    entries: u64,
    mixed: u64,
}

impl Sum {
    fn add(&mut self, hash: u64, leaf: u64) {
        let mut mixed = hash ^ leaf.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.entries += 1;
        self.mixed = self.mixed.wrapping_add(mixed ^ mixed >> 31);
    }

    fn merge(&mut self, other: Sum) {
        self.entries += other.entries;
        self.mixed = self.mixed.wrapping_add(other.mixed);
    }
}

pub(super) fn verify(leaves: &Leaves, keys: Option<&Keys>, report: &mut StoreReport) {
    let started = Instant::now();
    let numbers: Vec<u64> = leaves.packs().keys().copied().collect();
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Found::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(numbers.len().max(1));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut found = Found::default();
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    verify_pack(leaves, keys, *number, &mut found);
                }
                let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
                all.problems.append(&mut found.problems);
                all.disclosures += found.disclosures;
                all.locked += found.locked;
                all.sums.extend(found.sums);
            });
        }
    });
    let mut found = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (index, entry) in (leaves.packed()..).zip(leaves.tail()) {
        verify_leaf(&entry.leaf, &entry.blob, index, "journal", keys, &mut found, &mut |_| {});
    }
    verify_runs(leaves, &mut found, report);
    found.problems.sort_by(|a, b| (&a.place, &a.what).cmp(&(&b.place, &b.what)));
    report.problems.append(&mut found.problems);
    report.checked.disclosures = found.disclosures;
    if found.locked > 0 {
        report.unchecked.push(Unchecked {
            place: vault::FOLDER.to_owned(),
            why: format!("the disclosures of {} records have no data key here: erased, or this is a copy without `keys/`", found.locked),
        });
    }
    report.disclosures = started.elapsed();
}

fn verify_pack(leaves: &Leaves, keys: Option<&Keys>, number: u64, found: &mut Found) {
    let store = &**leaves.store();
    let path = vault::path_of(number);
    let vault = match Vault::open(store, number) {
        Ok(vault) => Some(vault),
        Err(vault::VaultError::Store(error)) if error.is_missing() => {
            found.problems.push(problem(
                ProblemKind::Unverified,
                &path,
                "the disclosures of this pack are missing".to_owned(),
            ));
            None
        }
        Err(error) => {
            found.problems.push(problem(ProblemKind::Violated, &path, error.to_string()));
            None
        }
    };
    if let (Some(vault), Ok(size)) = (&vault, store.size(&path))
        && size != vault.size()
    {
        found.problems.push(problem(
            ProblemKind::Violated,
            &path,
            format!("it has {size} bytes, its table says {}", vault.size()),
        ));
    }
    let Some(bundles) = leaves.bundles(number) else { return };
    let mut sum = Sum::default();
    let mut leaves_seen = 0;
    for (at, bundle) in bundles.enumerate() {
        // A bundle that does not read was reported with the log.
        let Ok(bundle) = bundle else { continue };
        let Ok(entries) = bundle_entries(&bundle) else { continue };
        let blobs =
            vault.as_ref().and_then(|vault| vault.blobs(store, at * 256, at * 256 + entries.len()).ok());
        for (offset, leaf) in (at * 256..).zip(entries) {
            let index = number * PACK_LEAVES + offset as u64;
            leaves_seen += 1;
            let mut keys_of_leaf = Vec::with_capacity(8);
            let blob = match (&vault, &blobs) {
                (Some(vault), Some((start, bytes))) => vault.cut(offset, *start, bytes),
                _ => None,
            };
            match blob {
                Some(blob) => {
                    verify_leaf(leaf, blob, index, &path, keys, found, &mut |hash| keys_of_leaf.push(hash))
                }
                None => {
                    if vault.is_some() {
                        found.problems.push(problem(
                            ProblemKind::Violated,
                            &path,
                            format!("leaf {index}: its disclosures cannot be read"),
                        ));
                    }
                    if let Ok(skeleton) = Skeleton::parse(leaf) {
                        each_key(&skeleton, &mut |key| keys_of_leaf.push(key.hash()));
                    }
                }
            }
            keys_of_leaf.sort_unstable();
            keys_of_leaf.dedup();
            keys_of_leaf.into_iter().for_each(|hash| sum.add(hash, index));
        }
    }
    // Without all its leaves nothing can be said of its index run.
    if leaves_seen == PACK_LEAVES {
        found.sums.insert(number, sum);
    }
}

fn verify_leaf(
    leaf: &[u8],
    sealed: &[u8],
    index: u64,
    path: &str,
    keys: Option<&Keys>,
    found: &mut Found,
    each: &mut dyn FnMut(u64),
) {
    let violated = |what: String| problem(ProblemKind::Violated, path, format!("leaf {index}: {what}"));
    let skeleton = match Skeleton::parse(leaf) {
        Ok(skeleton) => skeleton,
        Err(error) => {
            found.problems.push(violated(format!("no record: {error}")));
            return;
        }
    };
    each_key(&skeleton, &mut |key| each(key.hash()));
    let committed: usize = skeleton.disclose.0.values().map(|digests| digests.all().len()).sum();
    if sealed.is_empty() {
        if committed > 0 {
            found.problems.push(problem(
                ProblemKind::Unverified,
                path,
                format!("leaf {index}: {committed} disclosures are missing"),
            ));
        }
        return;
    }
    let Some(keys) = keys else {
        found.locked += 1;
        return;
    };
    let plain = match blob::open(keys, &skeleton.id.0, sealed) {
        Ok(plain) => plain,
        Err(BlobError::NoKey) => {
            found.locked += 1;
            return;
        }
        Err(error) => {
            found.problems.push(violated(error.to_string()));
            return;
        }
    };
    let mut opened = 0;
    let whole = blob::each_json(&plain, &mut |json| {
        opened += 1;
        let digest = sd::digest_text(&sd::digest_of_json(json));
        let known = skeleton
            .disclose
            .0
            .values()
            .any(|digests| digests.all().iter().any(|other| other.as_bytes() == digest));
        if !known {
            found.problems.push(violated("a disclosure is not the one that was committed to".to_owned()));
        }
    });
    if whole.is_none() {
        found.problems.push(violated("its disclosures make no sense".to_owned()));
    } else if opened < committed {
        found.problems.push(problem(
            ProblemKind::Unverified,
            path,
            format!("leaf {index}: {} of {committed} disclosures are missing", committed - opened),
        ));
    }
    found.disclosures += opened as u64;
}

/// Every run holds exactly the entries that its packs' leaves give.
fn verify_runs(leaves: &Leaves, found: &mut Found, report: &mut StoreReport) {
    let store = &**leaves.store();
    let Ok(objects) = store.list(&format!("{}/", index::FOLDER)) else { return };
    let mut covered = 0;
    for object in objects {
        let Some(packs) = index::packs_of(&object.path) else { continue };
        if packs.end > leaves.packs().len() as u64 {
            continue;
        }
        covered = covered.max(packs.end);
        let mut expected = Sum::default();
        let known = packs
            .clone()
            .filter_map(|number| found.sums.get(&number))
            .map(|sum| expected.merge(*sum))
            .count() as u64;
        if known < packs.end - packs.start {
            let why = "some of the leaves it is made of cannot be read".to_owned();
            report.unchecked.push(Unchecked { place: object.path, why });
            continue;
        }
        let first = packs.start * PACK_LEAVES;
        let mut sum = Sum::default();
        let mut read = || -> Result<(), index::IndexError> {
            let run = Run::open(store, &object.path)?;
            let bytes = store.read(&object.path)?;
            run.each_entry(&bytes, &mut |(hash, offset)| sum.add(hash, first + u64::from(offset)))
        };
        match read() {
            // Merged away while we looked.
            Err(index::IndexError::Store(error)) if error.is_missing() => continue,
            Err(error) => {
                found.problems.push(problem(ProblemKind::Violated, &object.path, error.to_string()))
            }
            Ok(()) if sum != expected => found.problems.push(problem(
                ProblemKind::Violated,
                &object.path,
                format!(
                    "it does not hold what leaves {first} to {} give; build it again with `deed rebuild`",
                    packs.end * PACK_LEAVES - 1
                ),
            )),
            Ok(()) => {}
        }
        report.checked.runs += 1;
    }
    if covered < leaves.packs().len() as u64 {
        found.problems.push(problem(
            ProblemKind::Unverified,
            index::FOLDER,
            format!("no index run covers packs {covered} and later; build it again with `deed rebuild`"),
        ));
    }
}
