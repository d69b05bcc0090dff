//! The ledger as others see it.

mod appending;

use std::{
    ops::ControlFlow,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use deed_record::{Account, Alias, Pseudonyms, Sealed, Skeleton};
use deed_seal::{hash::Hash, merkle, tile::TilePath};

pub use self::appending::Pending;
use crate::{
    BlobError, IndexError, Key, KeyError, Name, OpenError, Opened, Options, PACK_LEAVES, PackError,
    RebuiltIndex, SignedCheckpoint, Snapshot, VaultError, background, blob,
    lock::Lock,
    open,
    sealer::derived_id,
    sequencer::Sequencer,
    shared::Shared,
    store::{Store, StoreError},
};

/// Why the ledger cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no such thing.
    #[error("{0} is not in the log")]
    NotFound(String),
    /// A pack is damaged or out of reach.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A disclosure object is damaged or out of reach.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The index is damaged or out of reach.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Disclosures do not open.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// Something that must hold does not.
    #[error("{0}")]
    Broken(String),
}

/// A store this process holds. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    dir: PathBuf,
    /// What the names of it and of [`KEPT`] in it stood for when it was opened: device and number.
    folders: Folders,
    threads: Mutex<Option<Threads>>,
}

/// Joined in this order when the ledger is closed.
struct Threads {
    sequencer: JoinHandle<()>,
    packer: JoinHandle<()>,
    signer: JoinHandle<()>,
    _lock: Lock,
}

impl Ledger {
    /// Opens the store in `dir`, making it if there is none, and holds it until [`Ledger::close`] or
    /// the end of the process.
    ///
    /// # Errors
    /// [`OpenError::Held`] if another process holds it; otherwise what is wrong with it, and where.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        Ledger::start(dir, open::open(dir, &options)?, options.checkpoint_interval)
    }

    /// Starts the threads of an opened store.
    pub(crate) fn start(dir: &Path, opened: open::Opened, interval: Duration) -> Result<Self, OpenError> {
        let open::Opened { shared, journal, lock } = opened;
        let shared = Arc::new(shared);
        let sequencer = Sequencer::new(shared.clone(), journal);
        let (for_packer, for_signer) = (shared.clone(), shared.clone());
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new()
                .name(name.into())
                .spawn(run)
                .map_err(|source| OpenError::Folder { dir: dir.to_owned(), source })
        };
        let threads = Threads {
            sequencer: spawn("sequencer", Box::new(move || sequencer.run()))?,
            packer: spawn("packer", Box::new(move || background::pack_forever(&for_packer)))?,
            signer: spawn("signer", Box::new(move || background::sign_forever(&for_signer, interval)))?,
            _lock: lock,
        };
        Ok(Ledger {
            inner: Arc::new(Inner {
                shared,
                dir: dir.to_owned(),
                folders: folders_of(dir),
                threads: Mutex::new(Some(threads)),
            }),
        })
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Whether the name of the data directory still stands for the folder that was opened. One that was moved or deleted would
    /// still take records, where nobody will look for them: so nothing is recorded until it is back.
    pub fn is_in_place(&self) -> bool {
        folders_of(self.dir()) == self.inner.folders
    }

    /// That it does not, in words.
    pub(crate) fn moved(&self) -> Option<String> {
        let now = folders_of(self.dir());
        let gone = now.iter().zip(&self.inner.folders).position(|(now, then)| now != then)?;
        let gone = match gone.checked_sub(1) {
            None => self.dir().to_owned(),
            Some(kept) => self.dir().join(KEPT[kept]),
        };
        Some(format!("`{}` is not the folder that was opened any more", gone.display()))
    }

    /// The log's name.
    pub fn origin(&self) -> &str {
        &self.shared().log.origin
    }

    /// Leaves that are durable.
    pub fn size(&self) -> u64 {
        self.shared().log.size()
    }

    /// The log as it is now; cheap.
    pub fn snapshot(&self) -> Snapshot {
        let (size, packed) = self.shared().log.with_tail(|tail| (tail.size(), tail.first()));
        Snapshot::new(self.clone(), size, packed)
    }

    /// The leaves `key` leads to, newest first, below `before`, at most `limit`.
    ///
    /// # Errors
    /// The index or a leaf cannot be read.
    pub fn lookup(&self, key: &Key<'_>, limit: usize, before: Option<u64>) -> Result<Vec<u64>, LedgerError> {
        let mut found = Vec::new();
        self.lookup_each(key, before, &mut |index, _| {
            found.push(index);
            if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(found)
    }

    /// Whether the event `event` of the source `system` is in the log, for `tenant`.
    ///
    /// # Errors
    /// The index or a leaf cannot be read.
    pub fn has_event(&self, tenant: &str, system: &str, event: &str) -> Result<bool, LedgerError> {
        let id = derived_id(tenant, system, event, None);
        Ok(!self.lookup(&Key::Id(id), 1, None)?.is_empty())
    }

    /// Calls `each` with the index and the record of the leaves `key` leads to, newest first, below `before`,
    /// until it breaks.
    ///
    /// # Errors
    /// The index or a leaf cannot be read.
    pub fn lookup_each(
        &self,
        key: &Key<'_>,
        before: Option<u64>,
        each: &mut dyn FnMut(u64, &Skeleton<'_>) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let shared = self.shared();
        shared.counters.lookups.fetch_add(1, Ordering::Relaxed);
        let before = before.unwrap_or(u64::MAX);
        let hash = key.hash();
        let (in_tail, first) = shared.log.with_tail(|tail| (tail.candidates(hash), tail.first()));
        // Whether to go on.
        let mut check = |index: u64| -> Result<bool, LedgerError> {
            let leaf = shared.log.leaf(index)?;
            let skeleton = Skeleton::parse(&leaf)
                .map_err(|e| LedgerError::Broken(format!("leaf {index} is no record: {e}")))?;
            Ok(!key.matches(&skeleton) || each(index, &skeleton).is_continue())
        };
        for index in in_tail.into_iter().filter(|index| *index < before) {
            if !check(index)? {
                return Ok(());
            }
        }
        let mut failed = None;
        shared.index.candidates(hash, before.min(first), &mut |index| {
            check(index).unwrap_or_else(|error| {
                failed = Some(error);
                false
            })
        })?;
        failed.map_or(Ok(()), Err)
    }

    /// Leaf `index` and its exact bytes.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`], or the pack cannot be read.
    pub fn leaf(&self, index: u64) -> Result<Sealed, LedgerError> {
        Ok(Sealed { index, leaf: self.shared().log.leaf(index)? })
    }

    /// What the accounts that leaf `index` names are called. Those whose data key was destroyed are
    /// absent. Who acted and who asked are called as this very record calls them: one account may go by several names.
    ///
    /// # Errors
    /// The leaf or its names cannot be read.
    pub fn names(&self, index: u64) -> Result<Vec<(Account, Name)>, LedgerError> {
        let shared = self.shared();
        let leaf = shared.log.leaf(index)?;
        let skeleton = Skeleton::parse(&leaf)
            .map_err(|e| LedgerError::Broken(format!("leaf {index} is no record: {e}")))?;
        let mut wanted: Vec<Account> = skeleton.parties().filter_map(|party| party.account).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let pick = |names: &[([u8; 16], Vec<u8>)]| -> Vec<(Account, Vec<u8>)> {
            names
                .iter()
                .filter(|(account, _)| wanted.contains(&Account(*account)))
                .map(|(account, blob)| (Account(*account), blob.clone()))
                .collect()
        };
        let sealed = match shared.log.with_tail(|tail| tail.names(index).map(pick)) {
            Some(sealed) => sealed,
            None => pick(&shared.log.vault(index / PACK_LEAVES)?.names),
        };
        let mut names = Vec::new();
        for (account, sealed) in sealed {
            match blob::open(&shared.keys, &account.0, &sealed) {
                Ok(plain) => {
                    names.push((account, serde_json::from_slice(&plain).map_err(|_| BlobError::Tampered)?))
                }
                Err(BlobError::NoKey) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.call_as_said(index, &skeleton, &mut names);
        Ok(names)
    }

    /// Puts what leaf `index` itself calls who acted and who asked in place of what they are called elsewhere.
    fn call_as_said(&self, index: u64, skeleton: &Skeleton<'_>, names: &mut [(Account, Name)]) {
        let parties = [("initiator.name", &skeleton.initiator), ("executor.name", &skeleton.executor)];
        // Payloads that were destroyed, are kept elsewhere or are damaged leave what the accounts are called otherwise.
        let Ok(disclosures) = self.disclosures(index) else { return };
        for opened in disclosures.iter().filter(|opened| opened.group.is_none()) {
            let party = parties.iter().find(|(at, _)| *at == opened.name);
            let account = party.and_then(|(_, party)| party.as_ref()?.account);
            if let Some((_, name)) = names.iter_mut().find(|(named, _)| Some(*named) == account)
                && let Ok((_, _, said)) = serde_json::from_slice::<(String, String, String)>(&opened.json)
            {
                name.name = Some(said);
            }
        }
    }

    /// The account that `key` names in `tenant`: an alias, or an account as sealed. `None` if the
    /// tenant has never recorded anything.
    ///
    /// # Errors
    /// The tenant's key cannot be read.
    pub fn account(&self, tenant: &str, key: &str) -> Result<Option<Account>, LedgerError> {
        if let Ok(account) = key.parse() {
            return Ok(Some(account));
        }
        Ok(self.shared().keys.known_tenant(tenant)?.map(|tenant| tenant.account(Alias::parse(key))))
    }

    /// HMAC-SHA256 of `message` under the key of `tenant`: what this store alone can make, and knows again also after a
    /// restart. `purpose` keeps it apart from accounts and from everything else that is made with the key. `None` if the
    /// tenant has never recorded anything, unless the key is to be made then (`making`; for a thread that may wait).
    ///
    /// # Errors
    /// The tenant's key cannot be read, or not be made.
    pub fn keyed(
        &self,
        tenant: &str,
        purpose: &'static str,
        message: &[u8],
        making: bool,
    ) -> Result<Option<[u8; 32]>, LedgerError> {
        let keys = &self.shared().keys;
        let key = if making { Some(keys.tenant(tenant)?) } else { keys.known_tenant(tenant)? };
        Ok(key.map(|key| key.keyed(&[b"purpose", purpose.as_bytes(), message])))
    }

    /// The disclosures of leaf `index`, open. Showing a value to anyone is to be recorded first (D10).
    ///
    /// # Errors
    /// They cannot be read, or were erased ([`BlobError::NoKey`]).
    pub fn disclosures(&self, index: u64) -> Result<Vec<Opened>, LedgerError> {
        let shared = self.shared();
        let leaf = shared.log.leaf(index)?;
        let sealed = match shared.log.with_tail(|tail| tail.blob(index)) {
            Some(sealed) => sealed,
            None => shared
                .log
                .vault(index / PACK_LEAVES)?
                .blob(&*shared.log.store, (index % PACK_LEAVES) as usize)?,
        };
        if sealed.is_empty() {
            return Ok(Vec::new());
        }
        let skeleton = Skeleton::parse(&leaf)
            .map_err(|e| LedgerError::Broken(format!("leaf {index} is no record: {e}")))?;
        let plain = blob::open(&shared.keys, &skeleton.id.0, &sealed)?;
        Ok(blob::disclosures(&plain)?)
    }

    /// The latest signed checkpoint. The first, over no leaves, is signed when the store is made.
    pub fn checkpoint(&self) -> Option<Arc<SignedCheckpoint>> {
        self.shared().checkpoint.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The bytes of a tile or entry bundle (C2SP tlog-tiles), as far as the log has got.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`].
    pub fn tile(&self, path: &TilePath) -> Result<Vec<u8>, LedgerError> {
        self.shared().log.serve(path)
    }

    /// Proof that leaf `index` is in the tree of `size` leaves.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`] if the log has not got that far.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
        if index >= size || size > self.size() {
            return Err(LedgerError::NotFound(format!("leaf {index} at size {size}")));
        }
        merkle::inclusion_proof(index, size, &self.shared().log)
    }

    /// Proof that the tree of `new` leaves continues that of `old`.
    ///
    /// # Errors
    /// [`LedgerError::NotFound`] if the log has not got that far.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, LedgerError> {
        if old > new || new > self.size() {
            return Err(LedgerError::NotFound(format!("size {new} after {old}")));
        }
        merkle::consistency_proof(old, new, &self.shared().log)
    }

    /// Public keys of the log, as C2SP vkeys.
    pub fn verifier_keys(&self) -> Vec<String> {
        self.shared().signer.verifier_keys().iter().map(ToString::to_string).collect()
    }

    /// Where packs and everything derived are.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared().log.store
    }

    /// Throws the index away, run by run, and builds it again from the packs. Look-ups go on meanwhile.
    ///
    /// # Errors
    /// A pack cannot be read, or the store failed; runs that were not reached are as they were.
    pub fn rebuild_index(&self) -> Result<RebuiltIndex, LedgerError> {
        let shared = self.shared();
        shared.index.rebuild(&|number| open::entries_of(&shared.log, &*shared.log.pack(number)?, number))
    }

    /// Waits until a checkpoint covers leaf `index`; whether one does within `patience`.
    pub fn wait_signed(&self, index: u64, patience: Duration) -> bool {
        self.shared().wait_until(patience, || self.checkpoint().is_some_and(|signed| signed.size > index))
    }

    /// Takes no more records, answers those under way, signs a last checkpoint and lets go of the store.
    ///
    /// # Errors
    /// The last checkpoint could not be signed; everything acknowledged is safe in the journal.
    pub fn close(self) -> Result<(), LedgerError> {
        self.inner.close()
    }
}

impl Drop for Inner {
    /// A ledger that nobody holds any more is closed like any other.
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the ledger was not closed well");
        }
    }
}

impl Inner {
    fn close(&self) -> Result<(), LedgerError> {
        let shared = &self.shared;
        let Some(threads) = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        shared.queue.close("the ledger was closed");
        let died = |name: &str| LedgerError::Broken(format!("the {name} thread died"));
        threads.sequencer.join().map_err(|_| died("sequencer"))?;
        background::sign_now(shared);
        shared.closing.store(true, Ordering::Release);
        shared.notify();
        threads.packer.join().map_err(|_| died("packer"))?;
        threads.signer.join().map_err(|_| died("signer"))?;
        match shared.unsigned.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(why) => Err(LedgerError::Broken(why)),
            None => Ok(()),
        }
    }
}

/// Folders without which the store does not open again.
const KEPT: [&str; 2] = ["keys", "log"];

/// Device and number of a folder and of [`KEPT`] in it.
type Folders = [Option<(u64, u64)>; 1 + KEPT.len()];

/// What `dir` and the folders in it stand for now.
fn folders_of(dir: &Path) -> Folders {
    let number = |dir: &Path| std::fs::metadata(dir).ok().map(|folder| (folder.dev(), folder.ino()));
    let [keys, log] = KEPT.map(|name| number(&dir.join(name)));
    [number(dir), keys, log]
}
