//! Checking a store from its files, without holding it and without trusting what wrote it.
//!
//! 1. *The log*: every leaf hashed from its entry bundle, every tile recomputed, the root held against
//!    the signed checkpoint, and every kept checkpoint against the same tree. The leaves that are not in
//!    packs yet come from the journal.
//! 2. *Disclosures*: every one opened and its digest found in the sealed record.
//! 3. *The index*: every run recomputed from the leaves.
//! 4. *Rows*, by whoever derives them ([`Rows`]).
//! 5. *Files*: each one was covered above, or is named in `unchecked` with the reason; one that is
//!    neither is a problem.
//!
//! The first four share one pass: a bundle is read and unpacked once, and its records parsed once.

mod derived;
mod files;
mod records;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deed_record::{Skeleton, Timestamp};
use deed_seal::{
    checkpoint::Checkpoint,
    hash::Hash,
    note::{MAX_NOTE, VerifierKey},
    tile::{TILE_WIDTH, TilePath, bundle_encode, bundle_entries, tile_root},
    verify::{Against, Kept, Problem, ProblemKind, Tiles, Unchecked, verify},
};

use derived::Derived;
use files::Present;
pub use report::{Checked, StoreReport};

use crate::{
    JournalDamage, LedgerError, PACK_LEAVES, PackError, journal,
    journal::Frame,
    key_epochs::Epoch,
    keys::{self, KeyError, Keys, Known},
    open,
    pack::{self, Pack},
    signing::{CHECKPOINT, CheckpointSigner, KEPT, kept_path},
    store::{LocalStore, Store, StoreError},
    tenants,
};

/// What lists the rows that queries read.
const ROWS_MANIFEST: &str = "parquet/records/manifest.json";

/// What a store is held against.
#[derive(Default)]
pub struct VerifyOptions<'a> {
    /// Public keys that were obtained elsewhere; none: the store's own.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints that were kept elsewhere.
    pub since: Vec<Kept>,
    /// Checks the rows derived from the leaves.
    pub rows: Option<&'a dyn Rows>,
    /// Called now and then with the number of leaves that were looked at since the last call.
    pub progress: Option<&'a (dyn Fn(u64) + Sync)>,
}

/// Checks what was derived from the leaves by somebody else: Parquet rows.
pub trait Rows: Sync {
    /// Begins to check every row that is in `store`.
    fn begin<'s>(&self, store: &'s Arc<dyn Store>) -> Box<dyn RowsCheck + 's>;
}

/// One check of all rows.
pub trait RowsCheck: Sync {
    /// Whoever holds the rows of pack `number` against its leaves. Packs are checked on many threads.
    fn pack(&self, number: u64) -> Box<dyn PackRows + '_>;

    /// There are no more packs: what was found.
    fn end(self: Box<Self>) -> RowsReport;
}

/// Holds the rows of one pack against its leaves.
pub trait PackRows {
    /// The next leaf, by its index, and what it says. Those that cannot be read do not come.
    fn leaf(&mut self, index: u64, says: &Skeleton<'_>);

    /// There are no more.
    fn end(self: Box<Self>);
}

/// What a [`RowsCheck`] found.
#[derive(Debug, Default)]
pub struct RowsReport {
    /// Rows that were compared.
    pub rows: u64,
    /// Objects that are covered by that.
    pub covered: Vec<String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Why a store cannot be looked at, at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no store.
    #[error("`{0}` is no store: it has no `log/checkpoint` and no packs")]
    NoStore(String),
    /// It cannot be read.
    #[error("failed to read the store: {0}")]
    Unreadable(String),
}

/// Checks the store in `dir`. It may be in use: what was there when this began is checked.
///
/// # Errors
/// There is no store, or its folder cannot be read. Everything else is in the report.
pub fn verify_store(dir: &Path, options: &VerifyOptions<'_>) -> Result<StoreReport, VerifyError> {
    let unreadable = |error: &dyn std::fmt::Display| VerifyError::Unreadable(error.to_string());
    if !dir.join(CHECKPOINT).exists() && !dir.join(pack::FOLDER).is_dir() {
        return Err(VerifyError::NoStore(dir.display().to_string()));
    }
    let store: Arc<dyn Store> = Arc::new(LocalStore::read_only(dir));
    // Before the keys: one that is made meanwhile is there before it is written down.
    let known = Known::read(&*store);
    let keys = read_keys(dir, known.as_ref().ok().map(|known| &*known.epochs));
    let mut report = StoreReport::default();
    let held = match (&known, &keys) {
        (Err(error), _) => {
            let place = if let KeyError::Noted { file, .. } = error { file } else { tenants::PATH };
            Some(problem(kind_of(error), place, error.to_string()))
        }
        (Ok(known), Ok(keys)) => {
            let error = keys.hold_against(known).err();
            error.map(|error| problem(kind_of(&error), "keys/keys.redb", error.to_string()))
        }
        (Ok(_), Err(_)) => None,
    };
    report.problems.extend(held);
    if let Err(error) = &keys {
        report.without_keys = true;
        // The log proves itself in a copy without keys; one that has some of them has lost the others.
        if error.is_damage() || dir.join("keys").is_dir() {
            report.problems.push(problem(kind_of(error), "keys/keys.redb", error.to_string()));
        }
    }
    let started = Instant::now();

    let own_keys = match keys.as_ref().map(own_verifier_keys) {
        Ok(Ok(own)) => own,
        Ok(Err(error)) => {
            let kind = match &error {
                LedgerError::Key(error) => kind_of(error),
                _ => ProblemKind::Unverified,
            };
            report.problems.push(problem(kind, "keys", error.to_string()));
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    report.kept_elsewhere = !options.keys.is_empty() || !options.since.is_empty();
    let verifier_keys = if options.keys.is_empty() { &own_keys } else { &options.keys };
    let present = files::list(dir).map_err(|e| unreadable(&e))?;
    let leaves = Leaves::open(dir, store.clone(), &mut report.problems).map_err(|e| unreadable(&e))?;

    let mut since = options.since.clone();
    let mut kept = Vec::new();
    for object in store.list(KEPT).map_err(|e| unreadable(&e))? {
        match store.read_at_most(&object.path, MAX_NOTE as u64) {
            Ok(note) => {
                // What cannot be read as one is found below.
                if let Ok((checkpoint, _)) = Checkpoint::open_unverified(&note) {
                    if object.path != kept_path(checkpoint.size) {
                        let what = format!("is over {} leaves, and not what it is called", checkpoint.size);
                        report.violated(&object.path, what);
                    }
                    kept.push(checkpoint.size);
                }
                since.push(Kept { name: object.path, note });
            }
            Err(error) => report.unverified(&object.path, error.to_string()),
        }
    }
    all_kept(kept, &leaves, &mut report);
    let opened = started.elapsed();
    let rows = options.rows.map(|rows| rows.begin(&store));
    let begun = started.elapsed() - opened;
    let derived = Derived::new(&leaves, keys.as_ref().ok(), rows);
    let look = |number| derived.pack(number);
    let against = Against {
        keys: verifier_keys,
        since: &since,
        progress: options.progress,
        look: Some(&look),
        ..Against::default()
    };
    let log = verify(&leaves, &against);
    let took = derived.took();
    let hashing = log.busy.saturating_sub(took.disclosures + took.rows);
    report.merkle = opened + hashing / u32::try_from(cores()).unwrap_or(1);
    report.take_log(log, &leaves);
    // Whoever gives keys of their own is told too that the store's are damaged: nobody can go on with it.
    if report.size.is_some() && !all_signed(&*store, &own_keys) {
        let what = "not every one of these keys signed `log/checkpoint`: a seed is not what it was, or somebody else signed; restore it from your backup of `keys/`";
        report.violated("keys", what.to_owned());
    }
    // A frame that a crash cut short was never signed; one that was signed has been changed.
    if let (Some(signed), Some(torn)) = (report.size, &leaves.torn)
        && leaves.size() < signed
    {
        let what = format!(
            "byte {}: what stands here is not what was written; leaves {} to {} cannot be read",
            torn.at,
            leaves.size(),
            signed - 1
        );
        report.violated(&format!("journal/{}", torn.file), what);
    }
    let rows = derived.finish(&mut report);
    report.rows += begun;
    report.checked.rows = rows.rows;
    if options.rows.is_some() {
        rows_missing(&present, rows.rows, leaves.packs.len() as u64, &mut report);
    }
    report.problems.extend(rows.problems);
    let settings = fs::read_to_string(dir.join("deed.toml")).unwrap_or_default();
    files::account_for(&present, &leaves, &rows.covered, options.rows.is_some(), &settings, &mut report);
    report.total = started.elapsed();
    Ok(report)
}

/// Whether each of `keys` signed the newest checkpoint; of one that cannot be read the log tells.
fn all_signed(store: &dyn Store, keys: &[VerifierKey]) -> bool {
    let note = store
        .read_at_most(CHECKPOINT, MAX_NOTE as u64)
        .ok()
        .and_then(|note| Some(Checkpoint::open_unverified(&note).ok()?.1));
    note.is_none_or(|note| keys.iter().all(|key| note.verify(std::slice::from_ref(key)).is_ok()))
}

/// Says what there should be of rows and is not: they are derived, so that nothing is lost with them.
fn rows_missing(present: &[Present], rows: u64, packs: u64, report: &mut StoreReport) {
    let has_manifest = present.iter().any(|present| present.path == ROWS_MANIFEST);
    let why = if rows == 0 && packs > 0 {
        format!("there are no rows of {packs} packs, so none were checked; `deed rebuild` derives them again")
    } else if rows > 0 && !has_manifest {
        "is missing, so queries do not find the rows that are there; `deed rebuild` derives them again"
            .to_owned()
    } else {
        return;
    };
    let place = if rows == 0 { "parquet" } else { ROWS_MANIFEST };
    report.unchecked.push(Unchecked { place: place.to_owned(), why });
}

/// Names what is missing of the checkpoints that are kept, by the sizes of those that are there.
///
/// The first checkpoint over each pack is kept when it is signed; a stop just then leaves the newest out until the store
/// is opened. One may be the first over several packs, where a log grows that fast: when its leaves were recorded tells.
fn all_kept(mut kept: Vec<u64>, leaves: &Leaves, report: &mut StoreReport) {
    kept.sort_unstable();
    let mut found = |from: u64, to: Option<u64>, is_missing: bool| {
        let place = KEPT.trim_end_matches('/').to_owned();
        let sizes = to.map_or_else(|| format!("from {from} on"), |to| format!("from {from} to {to}"));
        let what = format!("no checkpoint of a size {sizes} is kept");
        if is_missing {
            let what = format!("{what}, and one was signed; restore it from a backup");
            report.problems.push(problem(ProblemKind::Unverified, &place, what));
        } else {
            let why = format!("{what}: all of that came within moments, or it was taken away");
            report.unchecked.push(Unchecked { place, why });
        }
    };
    let packs = leaves.packed() / PACK_LEAVES;
    let mut before = 0;
    for pack in kept.iter().map(|size| size / PACK_LEAVES) {
        if pack > before + 1 {
            let from = (before + 1) * PACK_LEAVES;
            found(from, Some(pack * PACK_LEAVES - 1), leaves.took_long(from - 1, pack * PACK_LEAVES - 1));
        }
        before = before.max(pack);
    }
    if before < packs {
        let from = (before + 1) * PACK_LEAVES;
        found(from, None, before + 1 < packs || leaves.took_long(from - 1, leaves.size() - 1));
    }
}

/// The public keys of the store's own signing keys.
fn own_verifier_keys(keys: &Keys) -> Result<Vec<VerifierKey>, LedgerError> {
    let origin: Arc<str> = keys.text(keys::ORIGIN, || Err(KeyError::Random))?.into();
    Ok(CheckpointSigner::open(keys, &origin)?.verifier_keys())
}

/// The leaves of a store that nobody here holds: packs, and the end of the journal.
pub struct Leaves {
    store: Arc<dyn Store>,
    packs: BTreeMap<u64, Pack>,
    /// Leaves below this are in packs, or were in such as are missing.
    packed: u64,
    /// Files of the journal of which nothing is needed any more.
    spent: Vec<String>,
    blank: Vec<String>,
    /// Leaves from `packed` on, with their sealed disclosures.
    tail: Vec<journal::Entry>,
    /// Where the journal stops making sense.
    torn: Option<journal::Torn>,
    hashes: Vec<Hash>,
    damaged: Mutex<Damaged>,
}

/// Bundles that do not match their checksum, by their index in the log.
#[derive(Default)]
struct Damaged {
    bundles: BTreeSet<u64>,
    problems: Vec<Problem>,
}

impl Leaves {
    fn open(dir: &Path, store: Arc<dyn Store>, problems: &mut Vec<Problem>) -> Result<Self, StoreError> {
        let mut packs = BTreeMap::new();
        for object in store.list(&format!("{}/", pack::FOLDER))? {
            let Some(number) = pack::number_of(&object.path) else { continue };
            match Pack::open_any_origin(&*store, number) {
                Ok(pack) => drop(packs.insert(number, pack)),
                Err(error) => problems.push(problem(ProblemKind::Violated, &object.path, error.to_string())),
            }
        }
        let mut packed = packs.keys().next_back().map_or(0, |last| last + 1) * PACK_LEAVES;
        let mut tail = read_tail(dir, packed);
        let goes_on = match &tail {
            Err(JournalDamage::Hole { expected, found, .. }) if *expected == packed => *found,
            Ok(read) if read.frames.is_empty() => signed_size(&*store),
            _ => packed,
        };
        let once_packed = open::once_packed(&*store, packed, goes_on)?;
        if once_packed > packed {
            packed = once_packed;
            tail = read_tail(dir, packed);
        }
        let journal::ReadOnly { frames, torn, spent, blank } = tail.unwrap_or_else(|error| {
            let what = error.to_string();
            let about = format!("journal `{}` ", error.file());
            let what = what.strip_prefix(&about).unwrap_or(&what).to_owned();
            problems.push(problem(ProblemKind::Violated, &format!("journal/{}", error.file()), what));
            journal::ReadOnly::default()
        });
        let tail = collect_tail(frames, packed);
        for number in (0..packed / PACK_LEAVES).filter(|number| !packs.contains_key(number)) {
            let path = pack::path_of(number);
            if !problems.iter().any(|problem| problem.place == path) {
                problems.push(problem(ProblemKind::Unverified, &path, "is missing".to_owned()));
            }
        }
        let hashes = deed_seal::hash::leaf_hashes(&tail.iter().map(|entry| &entry.leaf).collect::<Vec<_>>());
        Ok(Leaves { store, packs, packed, spent, blank, tail, torn, hashes, damaged: Mutex::default() })
    }

    /// Leaves in packs: below this.
    pub fn packed(&self) -> u64 {
        self.packed
    }

    /// Whether nothing that is in the file `name` of the journal is needed any more.
    fn is_spent(&self, name: &str) -> bool {
        self.spent.iter().any(|spent| spent == name)
    }

    /// Whether the journal file `name` has no header that makes sense.
    fn is_blank(&self, name: &str) -> bool {
        self.blank.iter().any(|blank| blank == name)
    }

    /// Whether there are leaves that pack `number`, not written yet, will hold.
    fn are_due(&self, number: u64) -> bool {
        number.saturating_mul(PACK_LEAVES) < self.size()
    }

    /// All leaves.
    pub fn size(&self) -> u64 {
        self.packed() + self.tail.len() as u64
    }

    /// Whether leaf `last` was recorded so long after leaf `first` that something was signed in between.
    fn took_long(&self, first: u64, last: u64) -> bool {
        const LONG: i64 = 60_000_000;
        let times = self.recorded(first).zip(self.recorded(last));
        times.is_some_and(|(first, last)| last.0.saturating_sub(first.0) > LONG)
    }

    /// When a leaf was recorded, if it can be read.
    fn recorded(&self, index: u64) -> Option<Timestamp> {
        let time = |leaf: &[u8]| Skeleton::parse(leaf).ok().map(|record| record.recorded);
        let Some(pack) = self.packs.get(&(index / PACK_LEAVES)) else {
            let at = usize::try_from(index.checked_sub(self.packed())?).ok()?;
            return time(&self.tail.get(at)?.leaf);
        };
        let bundle = pack.bundle(&*self.store, (index / TILE_WIDTH % 256) as usize).ok()?;
        let entries = bundle_entries(&bundle).ok()?;
        time(entries.get((index % TILE_WIDTH) as usize)?)
    }

    /// The exact bytes of the 65,536 leaves of pack `number`, in order, as 256 entry bundles.
    ///
    /// # Errors
    /// The pack is damaged.
    pub fn bundles(&self, number: u64) -> Option<impl Iterator<Item = Result<Vec<u8>, PackError>>> {
        let pack = self.packs.get(&number)?;
        Some((0..256).map(|at| pack.bundle(&*self.store, at)))
    }

    /// A bundle from a pack. One whose checksum fails is a violation by itself; what still unpacks is
    /// held against the tiles all the same, for that names the leaf.
    fn packed_bundle(&self, pack: &Pack, index: u64) -> Result<Vec<u8>, PackError> {
        let at = (index % 256) as usize;
        let error = match pack.bundle(&*self.store, at) {
            Err(error @ PackError::Damaged { .. }) => error,
            result => return result,
        };
        let what =
            format!("leaves {} to {}: {error}", index * TILE_WIDTH, index * TILE_WIDTH + TILE_WIDTH - 1);
        let mut damaged = self.damaged();
        damaged.bundles.insert(index);
        damaged.problems.push(problem(ProblemKind::Violated, pack.path(), what));
        drop(damaged);
        pack.damaged_bundle(&*self.store, at).ok_or(error)
    }

    /// What was found damaged while reading.
    pub(crate) fn take_damaged(&self) -> Vec<Problem> {
        std::mem::take(&mut self.damaged().problems)
    }

    /// Whether bundle `index` was found damaged.
    fn is_damaged(&self, index: u64) -> bool {
        self.damaged().bundles.contains(&index)
    }

    fn damaged(&self) -> MutexGuard<'_, Damaged> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn packs(&self) -> &BTreeMap<u64, Pack> {
        &self.packs
    }

    pub(crate) fn tail(&self) -> &[journal::Entry] {
        &self.tail
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    fn tail_tile(&self, from: u64, width: usize) -> Option<&[Hash]> {
        let at = usize::try_from(from.checked_sub(self.packed())?).ok()?;
        self.hashes.get(at..at.checked_add(width)?)
    }

    /// Hashes of a tile above the packs, made of their roots: such tiles are not stored.
    fn upper_tile(&self, level: u8, index: u64, width: u64) -> Option<Vec<Hash>> {
        let span = 1_u64.checked_shl(8 * u32::from(level - 2))?;
        (0..width)
            .map(|at| {
                let first = index.checked_mul(TILE_WIDTH)?.checked_add(at)?.checked_mul(span)?;
                let roots: Option<Vec<Hash>> = (first..first.checked_add(span)?)
                    .map(|number| self.packs.get(&number).map(Pack::root))
                    .collect();
                roots.map(|roots| tile_root(&roots))
            })
            .collect()
    }
}

impl Tiles for Leaves {
    type Error = PackError;

    fn get(&self, path: &TilePath) -> Result<Option<Vec<u8>>, PackError> {
        let width = path.width();
        let bytes_of = |hashes: &[Hash]| hashes.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>();
        let cut = |mut bytes: Vec<u8>| {
            bytes.truncate(usize::from(width) * 32);
            bytes
        };
        match *path {
            TilePath::Entries { index, .. } => {
                if let Some(pack) = self.packs.get(&(index / 256)) {
                    return self.packed_bundle(pack, index).map(Some);
                }
                let entries = (index * TILE_WIDTH)
                    .checked_sub(self.packed())
                    .and_then(|from| self.tail.get(from as usize..from as usize + usize::from(width)));
                Ok(entries.and_then(|entries| {
                    bundle_encode(entries.iter().map(|entry| entry.leaf.as_slice())).ok()
                }))
            }
            TilePath::Hashes { level: 0, index, .. } => match self.packs.get(&(index / 256)) {
                Some(pack) => pack.tile_0(&*self.store, (index % 256) as usize).map(|bytes| Some(cut(bytes))),
                None => Ok(self.tail_tile(index * TILE_WIDTH, usize::from(width)).map(bytes_of)),
            },
            TilePath::Hashes { level: 1, index, .. } => match self.packs.get(&index) {
                Some(pack) => pack.tile_1(&*self.store).map(|bytes| Some(cut(bytes))),
                None => {
                    let leaves = usize::from(width) * TILE_WIDTH as usize;
                    Ok(self.tail_tile(index * PACK_LEAVES, leaves).map(|hashes| {
                        bytes_of(&hashes.chunks_exact(TILE_WIDTH as usize).map(tile_root).collect::<Vec<_>>())
                    }))
                }
            },
            TilePath::Hashes { level, index, .. } => {
                Ok(self.upper_tile(level, index, u64::from(width)).map(|hashes| bytes_of(&hashes)))
            }
        }
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, PackError> {
        match self.store.read_at_most(CHECKPOINT, MAX_NOTE as u64) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Leaves that the checkpoint says there are; 0 where it cannot be read, which is said elsewhere.
fn signed_size(store: &dyn Store) -> u64 {
    let checkpoint = store
        .read_at_most(CHECKPOINT, MAX_NOTE as u64)
        .ok()
        .and_then(|note| Checkpoint::open_unverified(&note).ok());
    checkpoint.map_or(0, |(checkpoint, _)| checkpoint.size)
}

/// The keys. What a holder just writes may look damaged: then a second look finds it whole.
fn read_keys(dir: &Path, epochs: Option<&[Epoch]>) -> Result<Keys, KeyError> {
    let mut tries = 0;
    loop {
        match Keys::open_existing(dir, epochs) {
            Err(error) if error.is_damage() && tries < 3 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

/// Frames with leaves from `packed` on. A store in use moves leaves into packs while we look: then a
/// second look finds them there.
fn read_tail(dir: &Path, packed: u64) -> Result<journal::ReadOnly, JournalDamage> {
    let mut tries = 0;
    loop {
        match journal::read_only(dir, packed) {
            Err(_) if tries < 3 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
            result => return result,
        }
    }
}

fn collect_tail(frames: Vec<Frame>, packed: u64) -> Vec<journal::Entry> {
    let mut tail = Vec::new();
    for frame in frames {
        let next = packed + tail.len() as u64;
        let skip = next.saturating_sub(frame.first) as usize;
        tail.extend(frame.entries.into_iter().skip(skip));
    }
    tail
}

/// How many threads check a store.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn problem(kind: ProblemKind, place: &str, what: String) -> Problem {
    Problem { kind, place: place.to_owned(), what }
}

/// What is damaged is violated; what is missing, or cannot be read, is unverified.
fn kind_of(error: &KeyError) -> ProblemKind {
    if error.is_damage() { ProblemKind::Violated } else { ProblemKind::Unverified }
}
