//! The secret keys of a store, in `keys/`: private to its owner, never on the shared object store.
//!
//! | file | what |
//! |---|---|
//! | `origin` | the log's name |
//! | `ed25519.seed`, `ml-dsa-44.seed` | signing keys of the log, 32 bytes as hex |
//! | `keys.redb` | a pseudonym key per tenant; a data key per tenant, person concerned and retention class |
//!
//! Destroying a data key makes every disclosure sealed under it unreadable, in backups too. Whoever does so begins an epoch,
//! see [`crate::key_epochs`].
//!
//! Those of the log are made with the store, and never again: other keys in the place of lost ones would go unnoticed.
//! Which tenants have one is listed beside the log, see [`crate::tenants`], and how many data keys there are, see
//! [`crate::data_keys`].

mod database;
mod tenant;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey},
    rand,
};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use zeroize::Zeroizing;

pub(crate) use tenant::TenantKey;

use database::{copy_of, make_database, wait_for};

use crate::{
    Table, data_keys,
    key_epochs::{self, Epoch},
    store::{Store, StoreError},
    tenants::{self, KeyCheck, Tenants},
};

const TENANTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tenants");
const DATA_KEYS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("data_keys");

const DATABASE: &str = "keys.redb";
pub(crate) const ED25519: &str = "ed25519.seed";
pub(crate) const ML_DSA: &str = "ml-dsa-44.seed";
pub(crate) const ORIGIN: &str = "origin";

/// Data keys kept at hand; the rest is read again when needed.
const CACHED: usize = 65_536;
/// The retention class of what names none.
pub(crate) const NO_RETENTION: &str = "default";

/// Names a data key: keyed hash of tenant, person concerned and retention class.
pub(crate) type DataKeyId = [u8; 16];

/// Why a key could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key file cannot be read or made.
    #[error("failed to use key file `{file}`: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A store that was made lacks a key file.
    #[error(
        "key file `keys/{0}` is missing, and no other can take its place; restore it from your backup of `keys/`"
    )]
    Missing(&'static str),
    /// A key file does not hold what it should.
    #[error("key file `{file}` does not hold {expected}; restore it from your backup of `keys/`")]
    Malformed {
        /// The file.
        file: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// The key database is not what was written.
    #[error("`keys/keys.redb` is damaged: {0}; restore it from your backup of `keys/`")]
    Damaged(String),
    /// The key of a tenant is not among the keys: they are of an earlier time.
    #[error(
        "`keys/keys.redb` lacks the key of tenant `{0}`, of which records are in the log: it is of an earlier time, and another key would make everybody in it somebody else; restore the newest backup of `keys/`"
    )]
    Forgotten(String),
    /// The key of a tenant is another one.
    #[error(
        "`keys/keys.redb` has another key of tenant `{0}` than its records were made with: it belongs to another store; restore the backup of this store's `keys/`"
    )]
    Foreign(String),
    /// There are fewer data keys than there were: they are of an earlier time.
    #[error(
        "`keys/keys.redb` has {have} data keys, and there were {were}: it is of an earlier time, and what was sealed with the others stays closed; restore the newest backup of `keys/`. Where there is none, remove `log/data-keys`: those payloads and names are lost then"
    )]
    Fewer {
        /// How many there are.
        have: u64,
        /// How many there were.
        were: u64,
    },
    /// What is noted of keys beside the log is not what was written.
    #[error("`{file}` is damaged: it is not {what} that was written; restore it from a backup")]
    Noted {
        /// The file.
        file: &'static str,
        /// What it should be.
        what: &'static str,
    },
    /// What is written of keys beside the log cannot be read or written.
    #[error("failed to use what is written of keys beside the log: {0}")]
    TenantList(#[from] StoreError),
    /// The key database failed.
    #[error("failed to use `keys/keys.redb`: {0}")]
    Database(String),
    /// The system gives no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

impl KeyError {
    /// Whether a key is there and is not what was written.
    pub(crate) fn is_damage(&self) -> bool {
        matches!(
            self,
            KeyError::Damaged(_) | KeyError::Malformed { .. } | KeyError::Foreign(_) | KeyError::Noted { .. }
        )
    }

    /// Whether a key is not there that once was.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, KeyError::Missing(_) | KeyError::Forgotten(_) | KeyError::Fewer { .. })
    }
}

/// What is written beside the log of the keys that there were.
#[derive(Default)]
pub(crate) struct Known {
    tenants: BTreeMap<String, KeyCheck>,
    /// How many data keys.
    data_keys: u64,
    pub(crate) epochs: Vec<Epoch>,
}

impl Known {
    /// What `store` says; nothing, where nothing was recorded yet.
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub(crate) fn read(store: &dyn Store) -> Result<Self, KeyError> {
        Ok(Known {
            tenants: tenants::read(store)?,
            data_keys: data_keys::read(store)?,
            epochs: key_epochs::read(store)?,
        })
    }

    /// Whether somebody accepted that data keys are lost, and removed what says how many there were. A stop before that was
    /// written for the first time looks the same.
    pub(crate) fn has_lost(&self) -> bool {
        self.data_keys == 0 && !self.tenants.is_empty()
    }
}

/// All keys of one store.
pub(crate) struct Keys {
    folder: PathBuf,
    /// `None` where it could not be opened again after the disk had failed.
    database: RwLock<Option<Database>>,
    /// Key files that are not there are made.
    making: bool,
    /// Where it is written down which tenants have a key; `None` where none is made.
    listed: OnceLock<Tenants>,
    /// `None` where they cannot be read: then no data key is made.
    epochs: Option<Arc<[Epoch]>>,
    tenants: RwLock<Table<String, Arc<TenantKey>>>,
    data_keys: RwLock<Table<DataKeyId, Arc<LessSafeKey>>>,
    /// How many data keys there are, and how many are written down.
    made: AtomicU64,
    noted: AtomicU64,
    /// Data keys that are asked for and not made yet.
    wanted: Mutex<Vec<DataKeyId>>,
    /// Held while data keys are being made.
    writing: Mutex<()>,
}

impl Keys {
    /// Makes the keys of a store in `dir` that nothing was recorded in yet. What a maker that was killed
    /// left is used.
    pub(crate) fn make(dir: &Path) -> Result<Self, KeyError> {
        let folder = dir.join("keys");
        crate::store::make_folder(&folder).map_err(failed(&folder))?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).map_err(failed(&folder))?;
        let path = folder.join(DATABASE);
        if !path.try_exists().map_err(failed(&path))? {
            make_database(&folder, &path)?;
        }
        Keys::open_in(folder, true, &Known::default())
    }

    /// Opens the keys of a store that was made, in which there were those that are `known`. Nothing is written before all
    /// of them are known to be there and the database to be whole.
    pub(crate) fn open(dir: &Path, known: &Known) -> Result<Self, KeyError> {
        let folder = dir.join("keys");
        for file in [ORIGIN, ED25519, ML_DSA, DATABASE] {
            let path = folder.join(file);
            if !path.try_exists().map_err(failed(&path))? {
                return Err(KeyError::Missing(file));
            }
        }
        Keys::open_in(folder, false, known)
    }

    /// From now on data keys are made under names that none had before. Nothing may have been sealed by these keys yet.
    ///
    /// # Errors
    /// It cannot be written down in `store`.
    pub(crate) fn begin_epoch(&mut self, store: &dyn Store) -> Result<(), KeyError> {
        let before = self.epochs.as_deref().unwrap_or_default().to_vec();
        self.epochs = Some(key_epochs::begin(store, before)?.into());
        self.tenants = RwLock::default();
        Ok(())
    }

    fn open_in(folder: PathBuf, making: bool, known: &Known) -> Result<Self, KeyError> {
        let path = folder.join(DATABASE);
        wait_for(&path)?;
        Keys::with(folder.clone(), copy_of(&path)?, false, None).hold_against(known)?;
        // Ours, or that of a process that was killed after it made a key file and before its name was durable.
        fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed(&folder))?;
        let database = Database::open(&path).map_err(|e| KeyError::Database(e.to_string()))?;
        Ok(Keys::with(folder, database, making, Some(&known.epochs)))
    }

    /// Opens the keys of a store that is there already, making nothing; a holder may be using them. `epochs` are those of the
    /// store, where they can be read.
    pub(crate) fn open_existing(dir: &Path, epochs: Option<&[Epoch]>) -> Result<Self, KeyError> {
        let folder = dir.join("keys");
        let database = copy_of(&folder.join(DATABASE))?;
        Ok(Keys::with(folder, database, false, epochs))
    }

    fn with(folder: PathBuf, database: Database, making: bool, epochs: Option<&[Epoch]>) -> Self {
        Keys {
            folder,
            database: RwLock::new(Some(database)),
            making,
            listed: OnceLock::new(),
            epochs: epochs.map(Arc::from),
            tenants: RwLock::default(),
            data_keys: RwLock::default(),
            made: AtomicU64::default(),
            noted: AtomicU64::default(),
            wanted: Mutex::default(),
            writing: Mutex::default(),
        }
    }

    /// From now on writes down in `tenants` which of them have a key.
    ///
    /// # Errors
    /// They cannot be read, or the list cannot be written.
    pub(crate) fn list_in(&self, tenants: Tenants) -> Result<(), KeyError> {
        let names = self.with_database(|database| {
            let all = database.begin_read()?.open_table(TENANTS)?;
            let names = all.iter()?.map(|entry| Ok(entry?.0.value().to_owned()));
            names.collect::<Result<Vec<String>, redb::Error>>()
        })?;
        let there = names.iter().filter_map(|name| self.known_tenant(name).transpose());
        let there = there.collect::<Result<Vec<_>, _>>()?;
        // A stop between making a key and writing that down; a store that was made before there was a list.
        tenants.add(there.iter().map(|key| (key.name.clone(), key.check())).collect())?;
        there.iter().for_each(|key| key.is_listed.store(true, Ordering::Release));
        self.made.store(self.count_data_keys()?, Ordering::Release);
        self.listed.get_or_init(|| tenants);
        Ok(())
    }

    /// Writes down in `store` how many data keys there are, where that is not written yet. One caller at a time.
    ///
    /// # Errors
    /// It cannot be counted or written.
    pub(crate) fn note_data_keys(&self, store: &dyn Store) -> Result<(), KeyError> {
        let made = self.made.load(Ordering::Acquire);
        if made > self.noted.load(Ordering::Acquire) {
            data_keys::write(store, made)?;
            self.noted.store(made, Ordering::Release);
        }
        Ok(())
    }

    fn count_data_keys(&self) -> Result<u64, KeyError> {
        self.with_database(|database| Ok(database.begin_read()?.open_table(DATA_KEYS)?.len()?))
    }

    /// Whether the keys that are `known` are there.
    ///
    /// # Errors
    /// [`KeyError::Forgotten`] or [`KeyError::Foreign`] with the first tenant whose key is not, [`KeyError::Fewer`].
    pub(crate) fn hold_against(&self, known: &Known) -> Result<(), KeyError> {
        for (tenant, check) in &known.tenants {
            match self.known_tenant(tenant)? {
                None => return Err(KeyError::Forgotten(tenant.clone())),
                Some(key) if key.check() != *check => return Err(KeyError::Foreign(tenant.clone())),
                Some(_) => {}
            }
        }
        match self.count_data_keys()? {
            have if have < known.data_keys => Err(KeyError::Fewer { have, were: known.data_keys }),
            _ => Ok(()),
        }
    }

    /// A 32-byte seed kept in `name`.
    pub(crate) fn seed(&self, name: &'static str) -> Result<Zeroizing<[u8; 32]>, KeyError> {
        let malformed = || KeyError::Malformed { file: name.to_owned(), expected: "64 hex digits" };
        let text = Zeroizing::new(self.text(name, || {
            let seed = Zeroizing::new(random::<32>()?);
            Ok(deed_seal::hash::Hash(*seed).to_string())
        })?);
        text.parse::<deed_seal::hash::Hash>().map(|hash| Zeroizing::new(hash.0)).map_err(|_| malformed())
    }

    /// The one line kept in `name`; where a store is being made, what `make` gives if there is none.
    pub(crate) fn text(
        &self,
        name: &'static str,
        make: impl FnOnce() -> Result<String, KeyError>,
    ) -> Result<String, KeyError> {
        let path = self.folder.join(name);
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => {
                Err(KeyError::Malformed { file: name.to_owned(), expected: "a line of text" })
            }
            Ok(text) => Ok(text.trim_end().to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.making => {
                Err(KeyError::Missing(name))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = make()?;
                let write = || -> io::Result<()> {
                    let part = self.folder.join(format!("{name}.part"));
                    let mut file =
                        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
                    file.write_all(text.as_bytes())?;
                    file.write_all(b"\n")?;
                    file.sync_all()?;
                    fs::rename(&part, &path)?;
                    fs::File::open(&self.folder)?.sync_all()
                };
                write().map_err(failed(&path))?;
                Ok(text)
            }
            Err(error) => Err(failed(&path)(error)),
        }
    }

    /// The pseudonym key of `tenant`, made on first use; where keys are listed, it is in the list.
    pub(crate) fn tenant(&self, tenant: &str) -> Result<Arc<TenantKey>, KeyError> {
        let key = match self.known_tenant(tenant)? {
            Some(key) => key,
            None => self.make_tenant(tenant)?,
        };
        if let Some(tenants) = self.listed.get().filter(|_| !key.is_listed.load(Ordering::Acquire)) {
            tenants.add(vec![(tenant.to_owned(), key.check())])?;
            key.is_listed.store(true, Ordering::Release);
        }
        Ok(key)
    }

    fn make_tenant(&self, tenant: &str) -> Result<Arc<TenantKey>, KeyError> {
        let fresh = Zeroizing::new(random::<32>()?);
        self.write(|transaction| {
            let mut table = transaction.open_table(TENANTS)?;
            if table.get(tenant)?.is_none() {
                table.insert(tenant, fresh.as_slice())?;
            }
            Ok(())
        })?;
        self.known_tenant(tenant)?.ok_or_else(|| KeyError::Database("a key just written is not there".into()))
    }

    /// The pseudonym key of `tenant`, if it has one.
    pub(crate) fn known_tenant(&self, tenant: &str) -> Result<Option<Arc<TenantKey>>, KeyError> {
        if let Some(key) = self.tenants.read().unwrap_or_else(PoisonError::into_inner).get(tenant) {
            return Ok(Some(key.clone()));
        }
        let Some(bytes) = self.read(TENANTS, tenant)? else { return Ok(None) };
        let key = Arc::new(TenantKey::new(tenant, &bytes, self.epochs.clone())?);
        self.tenants.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned(), key.clone());
        Ok(Some(key))
    }

    /// Those of `ids` that are not there.
    pub(crate) fn missing(&self, ids: &[DataKeyId]) -> Result<Vec<DataKeyId>, KeyError> {
        let mut missing = Vec::new();
        for id in ids {
            if self.data_key(id)?.is_none() {
                missing.push(*id);
            }
        }
        Ok(missing)
    }

    /// Makes those of `ids` that are not there yet, durably. Those who ask while others' keys are being
    /// written share the next step.
    pub(crate) fn ensure(&self, ids: &[DataKeyId]) -> Result<(), KeyError> {
        let missing = self.missing(ids)?;
        if missing.is_empty() {
            return Ok(());
        }
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&missing);
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wanted = std::mem::take(&mut *self.wanted.lock().unwrap_or_else(PoisonError::into_inner));
        // Whoever wrote before may have written ours: or may have failed to.
        wanted.extend_from_slice(&self.missing(&missing)?);
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut fresh = Zeroizing::new(vec![0_u8; wanted.len() * 32]);
        rand::fill(&mut fresh).map_err(|_| KeyError::Random)?;
        let made = Cell::new(0);
        self.write(|transaction| {
            let mut table = transaction.open_table(DATA_KEYS)?;
            for (id, key) in wanted.iter().zip(fresh.chunks_exact(32)) {
                if table.get(id.as_slice())?.is_none() {
                    table.insert(id.as_slice(), key)?;
                }
            }
            made.set(table.len()?);
            Ok(())
        })?;
        self.made.store(made.get(), Ordering::Release);
        Ok(())
    }

    /// The data key `id`; `None` if it was never made or has been destroyed.
    pub(crate) fn data_key(&self, id: &DataKeyId) -> Result<Option<Arc<LessSafeKey>>, KeyError> {
        if let Some(key) = self.data_keys.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return Ok(Some(key.clone()));
        }
        let Some(bytes) = self.read(DATA_KEYS, id.as_slice())? else { return Ok(None) };
        let key = UnboundKey::new(&AES_256_GCM_SIV, &bytes)
            .map_err(|_| KeyError::Malformed { file: "keys.redb".into(), expected: "a 32-byte data key" })?;
        let key = Arc::new(LessSafeKey::new(key));
        let mut cache = self.data_keys.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(*id, key.clone());
        Ok(Some(key))
    }

    fn read<K: redb::Key + 'static>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        key: K::SelfType<'_>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, KeyError> {
        self.with_database(|database| {
            let transaction = database.begin_read()?;
            let found = transaction.open_table(table)?.get(&key)?;
            Ok(found.map(|value| Zeroizing::new(value.value().to_vec())))
        })
    }

    fn write(
        &self,
        change: impl Fn(&redb::WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), KeyError> {
        self.with_database(|database| {
            let transaction = database.begin_write()?;
            change(&transaction)?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// What `work` gives. Once a disk failed, if only because it was full, the database refuses everything until it is
    /// opened again: that is tried, so that nobody has to be there when there is room again.
    fn with_database<T>(&self, work: impl Fn(&Database) -> Result<T, redb::Error>) -> Result<T, KeyError> {
        let failed = |error: redb::Error| KeyError::Database(error.to_string());
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        match database.as_ref().map(&work) {
            None | Some(Err(redb::Error::PreviousIo)) => {}
            Some(worked) => return worked.map_err(failed),
        }
        drop(database);
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        // It is locked by whoever has it open.
        *database = None;
        let again = Database::open(self.folder.join(DATABASE)).map_err(|error| failed(error.into()))?;
        let worked = work(&again).map_err(failed);
        *database = Some(again);
        worked
    }
}

/// Whether the store in `dir` has a key of a tenant or a person: something may have been recorded with it.
/// Nothing is written.
pub(crate) fn are_used(dir: &Path) -> Result<bool, KeyError> {
    let path = dir.join("keys").join(DATABASE);
    if !path.try_exists().map_err(failed(&path))? {
        return Ok(false);
    }
    wait_for(&path)?;
    let database = copy_of(&path)?;
    let look = || -> Result<_, redb::Error> {
        let transaction = database.begin_read()?;
        let none =
            transaction.open_table(TENANTS)?.is_empty()? && transaction.open_table(DATA_KEYS)?.is_empty()?;
        Ok(!none)
    };
    look().map_err(|e| KeyError::Database(e.to_string()))
}

/// Random bytes for what is no key (salts, nonces, ids), drawn from the system many at a time.
pub(crate) fn random_from_pool<const N: usize>() -> Result<[u8; N], KeyError> {
    const POOL: usize = 4096;
    thread_local! {
        static LEFT: RefCell<Zeroizing<Vec<u8>>> = RefCell::default();
    }
    LEFT.with_borrow_mut(|left| {
        if left.len() < N {
            left.resize(POOL, 0);
            if rand::fill(left).is_err() {
                left.clear();
                return Err(KeyError::Random);
            }
        }
        let rest = left.len() - N;
        let mut bytes = [0; N];
        bytes.copy_from_slice(&left[rest..]);
        left.truncate(rest);
        Ok(bytes)
    })
}

/// Random bytes from the system's generator.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let file = path.display().to_string();
    move |source| KeyError::Io { file, source }
}
