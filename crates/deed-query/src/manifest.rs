//! The list of Parquet files that make up `records`, replaced as a whole.
//!
//! Whoever reads the files from outside starts here and sees one state: files that are being written,
//! or were replaced by a joined one, are not listed.

use std::{collections::BTreeSet, sync::Arc};

use deed_ledger::{
    PACK_LEAVES,
    store::{Store, StoreError},
};
use deed_record::Timestamp;
use serde::{Deserialize, Serialize};

use crate::columns::SCHEMA_VERSION;

/// Where everything about `records` is.
pub(crate) const FOLDER: &str = "parquet/records/";

/// The list.
pub(crate) const PATH: &str = "parquet/records/manifest.json";

/// What the list says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The log the rows come from.
    pub origin: String,
    /// Version of the table ([`SCHEMA_VERSION`]).
    pub schema: u32,
    /// Rows in all files together.
    pub rows: u64,
    /// The files, by leaf; no leaf is in two of them.
    pub files: Vec<Arc<File>>,
    /// Files that were replaced, and stay for a while for readers that began before.
    pub retired: Vec<Retired>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Its name in the store.
    pub path: String,
    /// First pack; each pack is one row group.
    pub first_pack: u64,
    /// Last pack.
    pub last_pack: u64,
    /// First leaf.
    pub first_leaf: u64,
    /// Last leaf.
    pub last_leaf: u64,
    /// Rows.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file, in hex.
    pub sha256: String,
    /// When it was written.
    pub written: Timestamp,
    /// Least and greatest `time`.
    pub time: [Timestamp; 2],
    /// Least and greatest `recorded`.
    pub recorded: [Timestamp; 2],
    /// Rows that say how another record's action ended.
    pub outcomes: u64,
    /// Rows that correct another record.
    pub corrections: u64,
}

/// A file that was replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retired {
    /// The file.
    pub file: Arc<File>,
    /// When.
    pub at: Timestamp,
}

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is damaged.
    #[error("`{PATH}`: {0}")]
    Damaged(String),
}

impl Manifest {
    /// A list of nothing.
    pub(crate) fn empty(origin: &str) -> Self {
        Manifest {
            origin: origin.to_owned(),
            schema: SCHEMA_VERSION,
            rows: 0,
            files: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// The list in `store`; `None` if there is none, or one of another version of the table.
    ///
    /// # Errors
    /// It is damaged, or belongs to another log.
    pub fn load(store: &dyn Store, origin: &str) -> Result<Option<Self>, ManifestError> {
        match Self::read(store)? {
            Some(manifest) if manifest.origin != origin => Err(ManifestError::Damaged(format!(
                "belongs to log `{}`, not to `{origin}`",
                manifest.origin
            ))),
            manifest => Ok(manifest),
        }
    }

    /// The list in `store`, whatever log it belongs to; `None` as in [`Manifest::load`].
    ///
    /// # Errors
    /// It is damaged.
    pub(crate) fn read(store: &dyn Store) -> Result<Option<Self>, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }
        let bytes = match store.read(PATH) {
            Ok(bytes) => bytes,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let damaged = |error: serde_json::Error| ManifestError::Damaged(error.to_string());
        let Version { schema } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if schema != SCHEMA_VERSION {
            return Ok(None);
        }
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(damaged)?;
        manifest.check().map_err(ManifestError::Damaged)?;
        Ok(Some(manifest))
    }

    /// Puts it in force, durably and all at once.
    ///
    /// # Errors
    /// The store failed: the old list is in force.
    pub(crate) fn publish(&self, store: &dyn Store) -> Result<(), ManifestError> {
        let text =
            serde_json::to_vec_pretty(self).map_err(|error| ManifestError::Damaged(error.to_string()))?;
        Ok(store.replace(PATH, &text)?)
    }

    /// The packs it covers.
    pub(crate) fn packs(&self) -> BTreeSet<u64> {
        self.files.iter().flat_map(|file| file.first_pack..=file.last_pack).collect()
    }

    /// Adds `file` in place of the files it covers.
    pub(crate) fn add(&mut self, file: File, at: Timestamp) {
        let covered =
            |other: &Arc<File>| file.first_pack <= other.first_pack && other.last_pack <= file.last_pack;
        let replaced = self.files.extract_if(.., |other| covered(other));
        self.retired.extend(replaced.map(|file| Retired { file, at }));
        self.files.push(Arc::new(file));
        self.files.sort_by_key(|file| file.first_pack);
        self.rows = self.files.iter().map(|file| file.rows).sum();
    }

    fn check(&self) -> Result<(), String> {
        let mut next = 0;
        for file in &self.files {
            // Names are made of pack numbers, which are small: a name that fits bounds the rest.
            let whole = File::packs_of(&file.path) == Some((file.first_pack, file.last_pack))
                && file.first_leaf == file.first_pack * PACK_LEAVES
                && file.last_leaf == file.last_pack * PACK_LEAVES + PACK_LEAVES - 1
                && file.rows == file.last_leaf + 1 - file.first_leaf;
            if file.first_pack < next || !whole {
                return Err(format!("`{}` is listed with leaves that do not fit", file.path));
            }
            next = file.last_pack + 1;
        }
        if self.rows != self.files.iter().map(|file| file.rows).sum::<u64>() {
            return Err("its rows are not those of its files".into());
        }
        Ok(())
    }
}

impl File {
    /// The packs of a file of this version by its name.
    pub(crate) fn packs_of(path: &str) -> Option<(u64, u64)> {
        let name = path.strip_prefix(FOLDER)?.strip_suffix(&format!(".v{SCHEMA_VERSION}.parquet"))?;
        let (first, last) = name.split_once('-')?;
        let number = |digits: &str| digits.parse::<u32>().ok().map(u64::from);
        let (first, last) = (number(first)?, number(last)?);
        (first <= last && path == Self::path_of(first, last)).then_some((first, last))
    }

    /// The name of the file of these packs.
    pub(crate) fn path_of(first_pack: u64, last_pack: u64) -> String {
        format!("{FOLDER}{first_pack:06}-{last_pack:06}.v{SCHEMA_VERSION}.parquet")
    }
}
