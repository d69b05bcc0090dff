//! Opening a store: what is on the disk must continue what was signed, or nothing is served.
//!
//! A store is made in one order: the keys, the folders, and last the checkpoint over no leaves, signed and
//! durable before anything is recorded. So a store without `log/checkpoint` was never used, or has lost it;
//! and one with it has had all of its keys. Nothing that is missing is made again, and nothing is written
//! before what is there was found whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use deed_record::{Skeleton, Timestamp};
use deed_seal::hash::{Hash, leaf_hashes};

use crate::{
    LedgerError, PACK_LEAVES, PackError,
    background::keep_a_pack,
    index::{self, Index},
    journal::{self, Disk, Frame, Journal, JournalDamage, Recovered, Torn},
    key::each_key,
    keys::{self, KeyError, Keys, Known, random},
    lock::{Lock, LockError},
    pack::{self, Pack},
    shared::Shared,
    signing::{CHECKPOINT, CheckpointSigner, KEPT, SignedCheckpoint},
    store::{LocalStore, Store, StoreError, make_folder},
    tail::Tail,
    tenants::Tenants,
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
    /// Something was recorded, or signed, and the checkpoint is gone.
    #[error(
        "`{CHECKPOINT}` is missing, but the store has been used, for there is `{0}`; keep this copy, and restore the checkpoint from a backup"
    )]
    NoCheckpoint(String),
    /// Leaves that a signed checkpoint covers are gone.
    #[error(
        "the store holds {have} leaves, but a checkpoint over {signed} was signed{place}: it was rolled back or lost its end; keep this copy and compare with a backup"
    )]
    RolledBack {
        /// Leaves there are.
        have: u64,
        /// Leaves that were signed.
        signed: u64,
        /// Where what was read ends, and something else stands; else empty.
        place: String,
    },
    /// Leaves are not those that were signed.
    #[error(
        "the leaves do not give the root that was signed at size {size}: something was changed; find it with `deed verify`"
    )]
    Changed {
        /// Size of the checkpoint.
        size: u64,
    },
    /// A pack is missing.
    #[error("`{0}` is missing, and what came after it is there; restore it from a backup")]
    MissingPack(String),
    /// Anything else.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl OpenError {
    /// Whether what is there was checked and is wrong.
    pub fn is_violation(&self) -> bool {
        match self {
            OpenError::Journal(error) => !matches!(error, JournalDamage::Io { .. }),
            OpenError::RolledBack { .. } | OpenError::Changed { .. } => true,
            OpenError::Keys(error) | OpenError::Ledger(LedgerError::Key(error)) => error.is_damage(),
            OpenError::Ledger(error) => {
                matches!(error, LedgerError::Broken(_) | LedgerError::Pack(PackError::Damaged { .. }))
            }
            OpenError::NoCheckpoint(_)
            | OpenError::MissingPack(_)
            | OpenError::Held(_)
            | OpenError::Folder { .. } => false,
        }
    }

    /// Whether something is missing without which the rest cannot be checked.
    pub fn is_missing(&self) -> bool {
        match self {
            OpenError::NoCheckpoint(_) | OpenError::MissingPack(_) => true,
            OpenError::Keys(error) | OpenError::Ledger(LedgerError::Key(error)) => error.is_missing(),
            _ => false,
        }
    }
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
    let known = match was_made(dir)? {
        true => Some(Known::read(&LocalStore::read_only(dir))?),
        false => None,
    };
    let mut keys = match &known {
        Some(known) => Keys::open(dir, known)?,
        None => Keys::make(dir)?,
    };
    for name in FOLDERS {
        make_folder(&std::path::absolute(dir.join(name)).map_err(folder)?).map_err(folder)?;
    }
    let store = Arc::new(LocalStore::open(dir, FOLDERS).map_err(folder)?);
    if known.is_some_and(|known| known.has_lost()) {
        keys.begin_epoch(&*store)?;
    }
    let (shared, journal) = open_on(keys, store, Arc::new(journal::folder(dir)?), options)?;
    Ok(Opened { shared, journal, lock })
}

/// Whether the store in `dir` was made, to the end.
fn was_made(dir: &Path) -> Result<bool, OpenError> {
    let folder = |source| OpenError::Folder { dir: dir.to_owned(), source };
    if dir.join(CHECKPOINT).try_exists().map_err(folder)? {
        return Ok(true);
    }
    for name in [pack::FOLDER, vault::FOLDER, index::FOLDER, KEPT.trim_end_matches('/'), journal::FOLDER] {
        let mut entries = match fs::read_dir(dir.join(name)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(folder(error)),
        };
        if let Some(entry) = entries.next() {
            let file = entry.map_err(folder)?.file_name();
            return Err(OpenError::NoCheckpoint(format!("{name}/{}", file.to_string_lossy())));
        }
    }
    // A key in it was made to record something with.
    if keys::are_used(dir)? {
        return Err(OpenError::NoCheckpoint("keys/keys.redb".into()));
    }
    Ok(false)
}

/// Opens what is in `store` and goes on with the journal on `disk`.
pub(crate) fn open_on(
    keys: Keys,
    store: Arc<dyn Store>,
    disk: Arc<dyn Disk>,
    options: &Options,
) -> Result<(Shared, Journal), OpenError> {
    let origin: Arc<str> = keys
        .text(keys::ORIGIN, || match &options.origin {
            Some(origin) => Ok(origin.clone()),
            None => Ok(format!("deed-{}", &Hash(random::<32>()?).to_string()[..12])),
        })?
        .into();
    let signer = CheckpointSigner::open(&keys, &origin)?;
    let tenants = Tenants::open(store.clone())?;

    let roots = pack_roots(&*store, &origin)?;
    let packs = roots.len() as u64;
    let opened = Journal::open(disk, options.journal_file_bytes, packs * PACK_LEAVES);
    if let Err(JournalDamage::Hole { expected, found, .. }) = &opened
        && *expected == packs * PACK_LEAVES
        && once_packed(&*store, *expected, *found).map_err(LedgerError::from)? > *expected
    {
        return Err(OpenError::MissingPack(pack::path_of(packs)));
    }
    let Recovered { mut journal, frames, torn } = opened?;
    let log = Log::new(store.clone(), origin, Tail::new(packs, 0), roots);
    let last_recorded = last_recorded(&log, packs)?;
    fill_tail(&log, frames, last_recorded)?;

    let signed = match signer.stored(&*store)? {
        Some(signed) => signed,
        None if packs > 0 => return Err(OpenError::NoCheckpoint(pack::path_of(packs - 1))),
        None if !journal.is_new() => return Err(OpenError::NoCheckpoint(journal::FOLDER.into())),
        None => signer.sign(&log, 0, None)?,
    };
    // INVARIANT D2, D3: what was signed is there, as it was signed.
    still_holds(&log, &signed, torn.as_ref()).map_err(|error| match &error {
        OpenError::RolledBack { signed, .. } if log.size() == packs * PACK_LEAVES => {
            match once_packed(&*store, packs * PACK_LEAVES, *signed) {
                Ok(packed) if packed > packs * PACK_LEAVES => OpenError::MissingPack(pack::path_of(packs)),
                _ => error,
            }
        }
        _ => error,
    })?;
    let kept = signer.last_kept(&*store)?;
    if let Some(kept) = kept.as_ref().filter(|kept| kept.size > signed.size) {
        still_holds(&log, kept, torn.as_ref())?;
    }
    journal.settle()?;
    // A stop between signing the first checkpoint over a pack and keeping it.
    keep_a_pack(&*store, &signed, kept.as_ref())?;
    if let Some(Torn { file, at, .. }) = torn.as_ref().filter(|torn| torn.begun) {
        let leaves = log.size();
        tracing::warn!(
            file,
            at,
            leaves,
            "the journal ends in a frame that is not whole, as a stop in the middle of a write leaves it; it is dropped: no checkpoint covers it"
        );
    }
    keys.list_in(tenants)?;
    // A full disk can still be read: what is written down less of is made up for, as after a stop in between.
    if let Err(error) = keys.note_data_keys(&*store) {
        tracing::warn!(%error, "how many data keys there are is written down with the next checkpoint");
    }
    let (index, missing) = Index::open(store, packs).map_err(LedgerError::from)?;
    let shared = Shared::new(log, index, keys, signer, Some(signed));
    for number in missing {
        derive_run(&shared, number)?;
    }
    shared.index.merge().map_err(LedgerError::from)?;
    Ok((shared, journal))
}

/// Whether `log` goes on from `signed`.
fn still_holds(log: &Log, signed: &SignedCheckpoint, torn: Option<&Torn>) -> Result<(), OpenError> {
    if signed.size > log.size() {
        let place = torn.map_or_else(String::new, |Torn { file, at, .. }| {
            format!(", and what stands at byte {at} of `journal/{file}` is not what was written")
        });
        return Err(OpenError::RolledBack { have: log.size(), signed: signed.size, place });
    }
    if log.root(signed.size)? != signed.root {
        return Err(OpenError::Changed { size: signed.size });
    }
    Ok(())
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

/// Where the packs ended, of which those from leaf `packed` on are gone, where the journal goes on at leaf `found` only:
/// the disclosures of a pack are written before it, and the journal lets go of its leaves after it.
pub(crate) fn once_packed(store: &dyn Store, packed: u64, found: u64) -> Result<u64, StoreError> {
    let there: Vec<u64> = store
        .list(&format!("{}/", vault::FOLDER))?
        .iter()
        .filter_map(|object| vault::number_of(&object.path))
        .collect();
    let mut number = packed / PACK_LEAVES;
    while number * PACK_LEAVES < found && there.contains(&number) {
        number += 1;
    }
    Ok(number * PACK_LEAVES)
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
