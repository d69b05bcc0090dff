//! Derives Parquet from finished packs, one thread, as they come.
//!
//! What fails is said in the tables' health and tried again, later each time; the ledger never waits
//! for it, and queries read leaves meanwhile.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Condvar, Mutex, PoisonError, Weak},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use deed_ledger::{PACK_LEAVES, Snapshot, now, store::StoreError};
use deed_seal::hash::Hash;
use parquet::errors::ParquetError;

use crate::{
    chunks::RowsError,
    columns::CHUNK,
    facts::Facts,
    files::{self, StoredFile},
    manifest::{FOLDER, File, Manifest, ManifestError, PATH, Retired},
    tables::{State, lock},
};

/// Packs that make one file: small enough to write from memory, large enough for Spark and Trino.
const JOINED: u64 = 16;

/// Files are not joined beyond this many bytes.
const LARGEST: u64 = 256 << 20;

/// How often the follower looks whether there is something to do.
const PAUSE: Duration = Duration::from_millis(200);

/// Why Parquet could not be derived.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeriveError {
    #[error(transparent)]
    Rows(#[from] RowsError),
    #[error("{path}: {source}")]
    Parquet { path: String, source: ParquetError },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// What is wrong at the moment.
#[derive(Default)]
pub(crate) struct Trouble {
    /// The manifest cannot be used: nothing is derived until `deed rebuild`.
    pub(crate) manifest: Option<String>,
    /// Files that are not as listed.
    files: Vec<String>,
    /// What failed, and when it is tried again.
    failed: BTreeMap<Work, Failure>,
}

struct Failure {
    error: String,
    times: u32,
    again: Instant,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.manifest {
            return write!(f, "{error}; queries read leaves instead, mend it with `deed rebuild`");
        }
        let files = self.files.iter().map(|file| format!("{file}; mend it with `deed rebuild`"));
        let failed = self.failed.values().map(|failure| {
            let seconds = failure.again.saturating_duration_since(Instant::now()).as_secs();
            format!("{}; trying again in {seconds} s", failure.error)
        });
        let mut all = files.chain(failed);
        let Some(first) = all.next() else { return Ok(()) };
        match all.count() {
            0 => f.write_str(&first),
            more => write!(f, "{first} (and {more} more)"),
        }
    }
}

/// Something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Compare the folder with the manifest.
    Inspect,
    /// Derive the file of a pack.
    Pack(u64),
    /// Join the files from this pack on.
    Join(u64),
    /// Delete what was replaced.
    Sweep,
}

/// The thread. Stops when dropped.
pub(crate) struct Follower {
    stop: Arc<Stop>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    bell: Condvar,
}

impl Stop {
    /// Waits; whether to stop.
    fn wait(&self, pause: Duration) -> bool {
        let asked = lock(&self.asked);
        let waited = self.bell.wait_timeout_while(asked, pause, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Follower {
    /// Starts it.
    pub(crate) fn start(state: Arc<State>) -> io::Result<Self> {
        let stop = Arc::new(Stop::default());
        let stopping = stop.clone();
        let thread = std::thread::Builder::new().name("tables".into()).spawn(move || {
            let mut writer = Writer::new(&state);
            let mut pause = Duration::ZERO;
            while !stopping.wait(pause) {
                pause = if writer.turn() { Duration::ZERO } else { PAUSE };
            }
        })?;
        Ok(Follower { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Stops it when it is done with the file it is at.
    pub(crate) fn stop(&self) {
        *lock(&self.stop.asked) = true;
        self.stop.bell.notify_all();
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that derives Parquet panicked");
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes and deletes Parquet files.
pub(crate) struct Writer<'s> {
    state: &'s State,
    inspected: bool,
    /// Files that were replaced in this process, as long as a query may read them.
    pins: BTreeMap<String, Weak<File>>,
    /// Chunks before this leaf were built ahead.
    ahead: u64,
}

impl<'s> Writer<'s> {
    pub(crate) fn new(state: &'s State) -> Self {
        Writer { state, inspected: false, pins: BTreeMap::new(), ahead: 0 }
    }

    /// Does the next thing there is to do; whether there may be more.
    fn turn(&mut self) -> bool {
        if lock(&self.state.trouble).manifest.is_some() {
            return false;
        }
        let snapshot = self.state.ledger.snapshot();
        // What there is to do is seen under the lock it is done under: a rebuild may have done it meanwhile.
        let writing = lock(&self.state.writing);
        let Some(work) = self.next(&snapshot) else {
            drop(writing);
            self.build_ahead(&snapshot);
            return false;
        };
        let result = self.do_work(work, &snapshot);
        drop(writing);
        let failed = &mut lock(&self.state.trouble).failed;
        match result {
            Ok(()) => {
                failed.remove(&work);
            }
            Err(error) => {
                let error = error.to_string();
                tracing::warn!(%error, ?work, "deriving Parquet failed");
                let times = failed.get(&work).map_or(0, |failure| failure.times + 1);
                let again = Instant::now() + Duration::from_secs(1 << times.min(6));
                failed.insert(work, Failure { error, times, again });
            }
        }
        true
    }

    /// Forgets and deletes every file. The caller holds `writing`.
    pub(crate) fn start_over(&mut self) -> Result<(), DeriveError> {
        let store = self.state.ledger.store();
        self.state.publish(Manifest::empty(self.state.ledger.origin()))?;
        for object in store.list(FOLDER)?.into_iter().filter(|object| object.path != PATH) {
            store.delete(&object.path)?;
        }
        *lock(&self.state.trouble) = Trouble::default();
        Ok(())
    }

    /// Derives every finished pack and joins what can be joined; how many packs. The caller holds
    /// `writing`.
    pub(crate) fn derive_all(&mut self) -> Result<u64, DeriveError> {
        let snapshot = self.state.ledger.snapshot();
        let mut packs = 0;
        for pack in missing_packs(&self.state.live(), snapshot.packed() / PACK_LEAVES) {
            self.derive(pack, &snapshot)?;
            packs += 1;
        }
        for first in joinable(&self.state.live()) {
            self.join(first)?;
        }
        Ok(packs)
    }

    fn next(&self, snapshot: &Snapshot) -> Option<Work> {
        if !self.inspected && self.is_due(Work::Inspect) {
            return Some(Work::Inspect);
        }
        let live = self.state.live();
        let missing = missing_packs(&live, snapshot.packed() / PACK_LEAVES).into_iter().map(Work::Pack);
        let joinable = joinable(&live).into_iter().map(Work::Join);
        let stale = live.retired.iter().any(|retired| self.is_stale(retired)).then_some(Work::Sweep);
        missing.chain(joinable).chain(stale).find(|work| self.is_due(*work))
    }

    fn is_due(&self, work: Work) -> bool {
        lock(&self.state.trouble).failed.get(&work).is_none_or(|failure| failure.again <= Instant::now())
    }

    fn do_work(&mut self, work: Work, snapshot: &Snapshot) -> Result<(), DeriveError> {
        match work {
            Work::Inspect => self.inspect(),
            Work::Pack(pack) => self.derive(pack, snapshot),
            Work::Join(first) => self.join(first),
            Work::Sweep => self.sweep(),
        }
    }

    /// Compares the folder with the manifest: what is missing is derived again, what is not listed
    /// was left by a write that did not finish or by another version, what is damaged is reported.
    fn inspect(&mut self) -> Result<(), DeriveError> {
        let store = self.state.ledger.store();
        let there: BTreeMap<String, u64> =
            store.list(FOLDER)?.into_iter().map(|object| (object.path, object.size)).collect();
        let mut manifest = Manifest::clone(&self.state.live());
        let listed = manifest.files.len();
        manifest.files.retain(|file| there.contains_key(&file.path));
        let lost = listed - manifest.files.len();
        if lost > 0 {
            tracing::warn!(lost, "Parquet files are missing and derived again");
            manifest.rows = manifest.files.iter().map(|file| file.rows).sum();
            self.state.publish(manifest.clone())?;
        }
        let wrong = manifest.files.iter().filter(|file| there.get(&file.path) != Some(&file.bytes));
        lock(&self.state.trouble).files =
            wrong.map(|file| format!("`{}` is not {} bytes long as listed", file.path, file.bytes)).collect();
        let known = |path: &str| {
            path == PATH
                || manifest.files.iter().any(|file| file.path == path)
                || manifest.retired.iter().any(|old| old.file.path == path)
        };
        for path in there.keys().filter(|path| path.ends_with(".parquet") && !known(path)) {
            store.delete(path)?;
        }
        self.inspected = true;
        Ok(())
    }

    /// Writes the file of one pack.
    fn derive(&mut self, pack: u64, snapshot: &Snapshot) -> Result<(), DeriveError> {
        let first = pack * PACK_LEAVES;
        let chunks = first / CHUNK as u64..(first + PACK_LEAVES) / CHUNK as u64;
        let mut batches = Vec::new();
        for chunk in chunks {
            if first + 2 * PACK_LEAVES > snapshot.size() {
                batches.extend(self.state.chunks.get(snapshot, chunk, CHUNK)?);
            } else {
                let leaf = chunk * CHUNK as u64;
                batches.push(crate::chunks::rows(snapshot, leaf..leaf + CHUNK as u64)?);
            }
        }
        let path = File::path_of(pack, pack);
        let bytes = files::write_pack(self.state.ledger.origin(), pack, &batches)
            .map_err(|source| DeriveError::Parquet { path: path.clone(), source })?;
        let facts = facts_of(batches.iter().map(Facts::of), &path)?;
        let file = self.store(path, &bytes, (pack, pack), facts)?;
        self.list(file)?;
        self.state.chunks.forget(first..first + PACK_LEAVES);
        Ok(())
    }

    /// Puts [`JOINED`] files of one pack each together.
    fn join(&mut self, first: u64) -> Result<(), DeriveError> {
        let live = self.state.live();
        let last = first + JOINED - 1;
        let path = File::path_of(first, last);
        let old: Vec<_> =
            live.files.iter().filter(|file| (first..=last).contains(&file.first_pack)).collect();
        let store = self.state.ledger.store();
        let readers: Vec<_> =
            old.iter().map(|file| StoredFile::new(store.clone(), &file.path, file.bytes)).collect();
        let bytes = files::join(self.state.ledger.origin(), first..=last, &readers)
            .map_err(|source| DeriveError::Parquet { path: path.clone(), source })?;
        let facts = facts_of(old.iter().map(|file| Facts::listed(file)), &path)?;
        let file = self.store(path, &bytes, (first, last), facts)?;
        for file in &old {
            self.pins.insert(file.path.clone(), Arc::downgrade(file));
        }
        self.list(file)
    }

    /// Deletes files that were replaced long enough ago and that nobody here reads.
    fn sweep(&mut self) -> Result<(), DeriveError> {
        let mut manifest = Manifest::clone(&self.state.live());
        for retired in manifest.retired.iter().filter(|retired| self.is_stale(retired)) {
            self.state.ledger.store().delete(&retired.file.path)?;
        }
        manifest.retired.retain(|retired| !self.is_stale(retired));
        self.state.publish(manifest)?;
        Ok(())
    }

    fn is_stale(&self, retired: &Retired) -> bool {
        let grace = i64::try_from(self.state.options.grace.as_micros()).unwrap_or(i64::MAX);
        let read = self.pins.get(&retired.file.path).is_some_and(|file| file.strong_count() > 0);
        !read && retired.at.0.saturating_add(grace) <= now().0
    }

    /// Writes a file that no manifest lists yet.
    fn store(
        &self,
        path: String,
        bytes: &[u8],
        (first_pack, last_pack): (u64, u64),
        facts: Facts,
    ) -> Result<File, DeriveError> {
        let store = self.state.ledger.store();
        match store.create(&path, &[bytes]) {
            // Left by an attempt that was not listed.
            Err(StoreError::Exists(_)) => {
                store.delete(&path)?;
                store.create(&path, &[bytes])?;
            }
            other => other?,
        }
        let rows = (last_pack - first_pack + 1) * PACK_LEAVES;
        let first_leaf = first_pack * PACK_LEAVES;
        let sha256 = Hash::of(bytes).to_string();
        let Facts { time, recorded, outcomes, corrections } = facts;
        Ok(File {
            path,
            first_pack,
            last_pack,
            first_leaf,
            last_leaf: first_leaf + rows - 1,
            rows,
            bytes: bytes.len() as u64,
            sha256,
            written: now(),
            time,
            recorded,
            outcomes,
            corrections,
        })
    }

    fn list(&self, file: File) -> Result<(), DeriveError> {
        let mut manifest = Manifest::clone(&self.state.live());
        manifest.add(file, now());
        Ok(self.state.publish(manifest)?)
    }

    /// Turns leaves that are not in a pack yet into rows, so that queries and the pack's file find them.
    fn build_ahead(&mut self, snapshot: &Snapshot) {
        self.ahead = self.ahead.max(snapshot.packed());
        while self.ahead + CHUNK as u64 <= snapshot.size() {
            // What is wrong with a leaf is said by whoever needs its row.
            if self.state.chunks.get(snapshot, self.ahead / CHUNK as u64, CHUNK).is_err() {
                return;
            }
            self.ahead += CHUNK as u64;
        }
    }
}

fn facts_of(parts: impl Iterator<Item = Facts>, path: &str) -> Result<Facts, DeriveError> {
    parts.reduce(Facts::and).ok_or_else(|| DeriveError::Parquet {
        path: path.to_owned(),
        source: ParquetError::General("there are no rows".into()),
    })
}

/// Finished packs that no file covers.
pub(crate) fn missing_packs(manifest: &Manifest, packs: u64) -> Vec<u64> {
    let held = manifest.packs();
    (0..packs).filter(|pack| !held.contains(pack)).collect()
}

/// Where [`JOINED`] packs begin that have a file each.
fn joinable(manifest: &Manifest) -> Vec<u64> {
    let mut single: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for file in manifest.files.iter().filter(|file| file.first_pack == file.last_pack) {
        let (files, bytes) = single.entry(file.first_pack / JOINED).or_default();
        *files += 1;
        *bytes += file.bytes;
    }
    single
        .into_iter()
        .filter(|(_, (files, bytes))| *files == JOINED && *bytes <= LARGEST)
        .map(|(group, _)| group * JOINED)
        .collect()
}
