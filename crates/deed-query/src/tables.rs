//! The tables of one ledger.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use deed_ledger::{Check, Ledger, PACK_LEAVES};

use crate::{
    QueryError,
    chunks::Chunks,
    digest::digest,
    follow::{Follower, Trouble, Writer},
    manifest::{Manifest, ManifestError},
    records::View,
    sql::Engine,
};

/// How the tables are run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Memory of all queries together, in bytes.
    pub memory: usize,
    /// Disk that queries may use besides, in bytes; it is in `tmp/sql` of the data directory.
    pub spill: u64,
    /// Queries that run at once; others wait, and give up after a while.
    pub concurrent: usize,
    /// Memory for rows of leaves that are not in Parquet yet, in bytes.
    pub recent_rows: usize,
    /// How long a Parquet file that was replaced stays for readers from outside.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            memory: 256 << 20,
            spill: 4 << 30,
            concurrent: 4,
            recent_rows: 128 << 20,
            grace: Duration::from_secs(600),
        }
    }
}

/// How far Parquet is behind the packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Lag {
    /// Packs that are finished.
    pub packs: u64,
    /// Those that Parquet does not hold yet.
    pub behind: u64,
}

/// What [`Tables::rebuild`] did.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Rebuilt {
    /// Packs that were derived.
    pub packs: u64,
    /// Rows in Parquet now.
    pub rows: u64,
    /// SHA-256 over a canonical dump of the rows that were there before as well, in hex.
    pub digest: String,
    /// Whether it was the same before (D5).
    pub same: bool,
    /// Why the rows that were there before could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// SQL over one ledger. Clones share it.
///
/// Close it before the ledger: its thread writes to the ledger's store.
#[derive(Clone)]
pub struct Tables {
    pub(crate) state: Arc<State>,
    pub(crate) engine: Arc<Engine>,
    follower: Arc<Follower>,
}

/// What queries and the follower share.
pub(crate) struct State {
    pub(crate) ledger: Ledger,
    pub(crate) options: Options,
    /// The files in force. Replaced only by whoever holds `writing`.
    live: RwLock<Arc<Manifest>>,
    pub(crate) chunks: Arc<Chunks>,
    pub(crate) trouble: Mutex<Trouble>,
    /// Held while files are written or deleted.
    pub(crate) writing: Mutex<()>,
}

impl Tables {
    /// Opens the tables of `ledger`. Returns at once: Parquet that is missing is derived by a thread of
    /// its own, and queries read leaves until it is there.
    ///
    /// # Errors
    /// Threads or the folder for temporary files cannot be made.
    pub fn open(ledger: Ledger, options: Options) -> Result<Self, QueryError> {
        let failed =
            |what: &str, error: &dyn std::fmt::Display| QueryError::Failed(format!("{what}: {error}"));
        let spill =
            spill_folder(ledger.dir()).map_err(|error| failed("`tmp/sql` in the data directory", &error))?;
        let mut trouble = Trouble::default();
        let live = match Manifest::load(&**ledger.store(), ledger.origin()) {
            Ok(manifest) => manifest,
            Err(error) => {
                trouble.manifest = Some(error.to_string());
                None
            }
        };
        let live = live.unwrap_or_else(|| Manifest::empty(ledger.origin()));
        let engine = Engine::new(&options, ledger.store().clone(), &spill)?;
        let state = Arc::new(State {
            chunks: Arc::new(Chunks::new(options.recent_rows)),
            ledger,
            options,
            live: RwLock::new(Arc::new(live)),
            trouble: Mutex::new(trouble),
            writing: Mutex::new(()),
        });
        let follower = Follower::start(state.clone()).map_err(|error| failed("a thread", &error))?;
        Ok(Tables { state, engine: Arc::new(engine), follower: Arc::new(follower) })
    }

    /// How far Parquet is behind the packs.
    pub fn lag(&self) -> Lag {
        let packs = self.state.ledger.snapshot().packed() / PACK_LEAVES;
        let held = self.state.live().rows / PACK_LEAVES;
        Lag { packs, behind: packs.saturating_sub(held) }
    }

    /// Whether Parquet can be derived, and if not, why. Queries are answered all the same.
    pub fn health(&self) -> Check {
        let lag = self.lag();
        let trouble = lock(&self.state.trouble).to_string();
        let progress = format!("{} of {} packs in Parquet", lag.packs - lag.behind, lag.packs);
        match trouble.as_str() {
            "" => Check { name: "tables", ok: true, detail: progress },
            trouble => Check { name: "tables", ok: false, detail: format!("{trouble}; {progress}") },
        }
    }

    /// The Parquet files in force.
    pub fn manifest(&self) -> Arc<Manifest> {
        self.state.live()
    }

    /// Throws away every Parquet file and derives them again. Queries read leaves meanwhile; those that are
    /// at a file just then end with an error.
    ///
    /// # Errors
    /// It cannot be done; what is there is still right, and tried again.
    pub fn rebuild(&self) -> Result<Rebuilt, QueryError> {
        let failed = |error: &dyn std::fmt::Display| QueryError::Failed(error.to_string());
        let store = self.state.ledger.store();
        let _writing = lock(&self.state.writing);
        let before = self.state.live();
        // What could be compared: the packs from the first on that Parquet held.
        let held = (0..).take_while(|pack| before.packs().contains(pack)).count() as u64 * PACK_LEAVES;
        let damaged = lock(&self.state.trouble).manifest.clone();
        let old = match damaged {
            None => digest(store, &before, held).map_err(|error| error.to_string()),
            Some(error) => Err(error),
        };
        let mut writer = Writer::new(&self.state);
        writer.start_over().map_err(|error| failed(&error))?;
        let derived = writer.derive_all().map_err(|error| failed(&error))?;
        let live = self.state.live();
        let new = digest(store, &live, held).map_err(|error| failed(&error))?;
        let rows = live.rows;
        Ok(Rebuilt { packs: derived, rows, same: old.as_ref() == Ok(&new), digest: new, problem: old.err() })
    }

    /// Stops deriving. Queries that run end with an error. Dropping the last clone does the same.
    pub fn close(self) {
        self.follower.stop();
        self.engine.close();
    }
}

impl State {
    /// The files in force.
    pub(crate) fn live(&self) -> Arc<Manifest> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts `manifest` in force. The caller holds `writing`.
    pub(crate) fn publish(&self, manifest: Manifest) -> Result<(), ManifestError> {
        manifest.publish(&**self.ledger.store())?;
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(manifest);
        Ok(())
    }

    /// Everything at one size.
    pub(crate) fn view(&self) -> View {
        // The manifest first: the leaves then reach at least as far.
        let manifest = self.live();
        let leaves = self.ledger.snapshot();
        View { manifest, size: leaves.size(), leaves: Arc::new(leaves), chunks: self.chunks.clone() }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty folder for what queries spill; what a killed process left there goes.
fn spill_folder(dir: &Path) -> std::io::Result<PathBuf> {
    let folder = dir.join("tmp").join("sql");
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(&folder)?;
    Ok(folder)
}
