//! Opening a store: what is on the disk must continue what was signed, or nothing is served.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use deed_record::{Skeleton, Timestamp};
use deed_seal::hash::{Hash, leaf_hashes};

use crate::{
    LedgerError, PACK_LEAVES, PackError,
    index::{self, Index},
    journal::{self, Disk, Frame, Journal, JournalDamage},
    key::each_key,
    keys::{KeyError, Keys, random},
    lock::{Lock, LockError},
    pack::{self, Pack},
    shared::Shared,
    signing::CheckpointSigner,
    store::{LocalStore, Store, make_folder},
    tail::Tail,
    tree::Log,
    vault,
};

/// How a ledger is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The log's name, used when the store is made; `None` makes one.
    pub origin: Option<String>,
    /// A busy log is signed once in this time. At most a second, less the time signing takes.
    pub checkpoint_interval: Duration,
    /// Size of a journal file in bytes.
    pub journal_file_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            origin: None,
            checkpoint_interval: Duration::from_millis(400),
            journal_file_bytes: 64 << 20,
        }
    }
}

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds it.
    #[error("the store is held by another process ({0})")]
    Held(String),
    /// The folder cannot be used.
    #[error("failed to use the data directory `{dir}`: {source}")]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeyError),
    /// The journal is damaged.
    #[error(transparent)]
    Journal(#[from] JournalDamage),
    /// Leaves that a signed checkpoint covers are gone.
    #[error(
        "the store holds {have} leaves, but a checkpoint over {signed} was signed: it was rolled back or lost its end; keep this copy and compare with a backup"
    )]
    RolledBack {
        /// Leaves there are.
        have: u64,
        /// Leaves that were signed.
        signed: u64,
    },
    /// Leaves are not those that were signed.
    #[error(
        "the leaves do not give the root that was signed at size {size}: something was changed; find it with `deed verify`"
    )]
    Changed {
        /// Size of the checkpoint.
        size: u64,
    },
    /// A pack in the middle is missing.
    #[error("`{0}` is missing while later packs are there; restore it from a backup")]
    MissingPack(String),
    /// Anything else.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A store that was opened, its threads not running yet.
pub(crate) struct Opened {
    pub(crate) shared: Shared,
    pub(crate) journal: Journal,
    pub(crate) lock: Lock,
}

pub(crate) const FOLDERS: &[&str] = &["log", "log/checkpoints", pack::FOLDER, vault::FOLDER, index::FOLDER];

/// Takes the store in `dir`, making it if it is not there.
pub(crate) fn open(dir: &Path, options: &Options) -> Result<Opened, OpenError> {
    let folder = |source| OpenError::Folder { dir: dir.to_owned(), source };
    make_folder(&std::path::absolute(dir).map_err(folder)?).map_err(folder)?;
    let lock = Lock::take(dir).map_err(|error| match error {
        LockError::Held(holder) => OpenError::Held(holder),
        LockError::Io(source) => folder(source),
    })?;
    let keys = Keys::open(dir)?;
    for name in FOLDERS {
        make_folder(&std::path::absolute(dir.join(name)).map_err(folder)?).map_err(folder)?;
    }
    let store = Arc::new(LocalStore::open(dir, FOLDERS).map_err(folder)?);
    let (shared, journal) = open_on(keys, store, Arc::new(journal::folder(dir)?), options)?;
    Ok(Opened { shared, journal, lock })
}

/// Opens what is in `store` and goes on with the journal on `disk`.
pub(crate) fn open_on(
    keys: Keys,
    store: Arc<dyn Store>,
    disk: Arc<dyn Disk>,
    options: &Options,
) -> Result<(Shared, Journal), OpenError> {
    let origin: Arc<str> = keys
        .text("origin", || match &options.origin {
            Some(origin) => Ok(origin.clone()),
            None => Ok(format!("deed-{}", &Hash(random::<32>()?).to_string()[..12])),
        })?
        .into();
    let signer = CheckpointSigner::open(&keys, &origin)?;

    let roots = pack_roots(&*store, &origin)?;
    let packs = roots.len() as u64;
    let recovered = Journal::open(disk, options.journal_file_bytes, packs * PACK_LEAVES)?;
    if let Some(torn) = recovered.torn.as_ref().filter(|torn| torn.begun) {
        let (file, at) = (&torn.file, torn.at);
        tracing::warn!(
            file,
            at,
            "dropped the end of the journal: a stop cut it short before it was acknowledged"
        );
    }
    let log = Log::new(store.clone(), origin, Tail::new(packs, 0), roots);
    let last_recorded = last_recorded(&log, packs)?;
    fill_tail(&log, recovered.frames, last_recorded)?;

    let stored = signer.stored(&*store)?;
    if let Some(signed) = &stored {
        // INVARIANT D2, D3: what was signed is there, as it was signed.
        if signed.size > log.size() {
            return Err(OpenError::RolledBack { have: log.size(), signed: signed.size });
        }
        if log.root(signed.size)? != signed.root {
            return Err(OpenError::Changed { size: signed.size });
        }
    } else if log.size() > 0 && packs > 0 {
        // A pack is always signed soon after: a log with packs and no checkpoint has lost it.
        return Err(LedgerError::Broken(
            "the store has packs but no `log/checkpoint`; restore it from a backup".into(),
        )
        .into());
    }
    let (index, missing) = Index::open(store, packs).map_err(LedgerError::from)?;
    let shared = Shared::new(log, index, keys, signer, stored);
    for number in missing {
        derive_run(&shared, number)?;
    }
    shared.index.merge().map_err(LedgerError::from)?;
    Ok((shared, recovered.journal))
}

fn pack_roots(store: &dyn Store, origin: &str) -> Result<Vec<Hash>, OpenError> {
    let mut numbers: Vec<u64> = store
        .list(&format!("{}/", pack::FOLDER))
        .map_err(LedgerError::from)?
        .iter()
        .filter_map(|object| pack::number_of(&object.path))
        .collect();
    numbers.sort_unstable();
    let mut roots = Vec::with_capacity(numbers.len());
    for (expected, number) in (0..).zip(numbers) {
        if number != expected {
            return Err(OpenError::MissingPack(pack::path_of(expected)));
        }
        roots.push(Pack::open(store, number, origin).map_err(LedgerError::from)?.root());
    }
    Ok(roots)
}

/// `recorded` of the last leaf in packs, so that it never decreases across a restart.
fn last_recorded(log: &Log, packs: u64) -> Result<i64, OpenError> {
    if packs == 0 {
        return Ok(0);
    }
    let index = packs * PACK_LEAVES - 1;
    let leaf = {
        let bundle = log.bundle(index / 256)?;
        bundle.leaf(255).map(<[u8]>::to_vec).unwrap_or_default()
    };
    let skeleton = Skeleton::parse(&leaf).map_err(|e| not_a_record(index, &e))?;
    Ok(skeleton.recorded.0)
}

fn not_a_record(index: u64, error: &deed_record::RecordError) -> LedgerError {
    LedgerError::Broken(format!("leaf {index} is no record: {error}"))
}

fn fill_tail(log: &Log, frames: Vec<Frame>, last_recorded: i64) -> Result<(), OpenError> {
    let mut tail = log.tail.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    tail.last_recorded = last_recorded;
    let mut hashes = Vec::new();
    for frame in frames {
        let skip = tail.size().saturating_sub(frame.first) as usize;
        for (account, blob) in frame.names.iter().map(|name| (name.account, &name.blob)) {
            tail.name(account, blob);
        }
        let new = frame.entries.get(skip..).unwrap_or_default();
        let leaf_hashes = leaf_hashes(&new.iter().map(|entry| &entry.leaf).collect::<Vec<_>>());
        for (entry, leaf_hash) in new.iter().zip(leaf_hashes) {
            let index = tail.size();
            let skeleton = Skeleton::parse(&entry.leaf).map_err(|e| not_a_record(index, &e))?;
            hashes.clear();
            each_key(&skeleton, &mut |key| hashes.push(key.hash()));
            tail.last_recorded = tail.last_recorded.max(skeleton.recorded.0);
            tail.push(&entry.leaf, leaf_hash, &entry.blob, &hashes)
                .map_err(|e| LedgerError::Broken(e.to_string()))?;
        }
    }
    debug_assert!(tail.last_recorded >= Timestamp(0).0);
    Ok(())
}

/// Builds the index run of one pack from its leaves.
pub(crate) fn derive_run(shared: &Shared, number: u64) -> Result<(), LedgerError> {
    let pack = shared.log.pack(number)?;
    let entries = entries_of(&shared.log, &pack, number)?;
    shared.index.add(number, &mut { entries })?;
    Ok(())
}

/// The index entries of one pack, in the order of its leaves.
pub(crate) fn entries_of(log: &Log, pack: &Pack, number: u64) -> Result<Vec<index::Entry>, LedgerError> {
    let mut entries = Vec::new();
    let mut offset = 0;
    for at in 0..256 {
        let bytes = pack.bundle(&*log.store, at)?;
        let leaves = deed_seal::tile::bundle_entries(&bytes).map_err(|e| PackError::Damaged {
            path: pack.path().to_owned(),
            at: 0,
            what: format!("entry bundle {at}: {e}"),
        })?;
        for leaf in leaves {
            let skeleton = Skeleton::parse(leaf)
                .map_err(|e| not_a_record(number * PACK_LEAVES + u64::from(offset), &e))?;
            each_key(&skeleton, &mut |key| entries.push((key.hash(), offset)));
            offset += 1;
        }
    }
    Ok(entries)
}
