//! Holds Parquet rows against the sealed leaves.
//!
//! Every column of a file is decoded and compared with the rows that the leaves give; statistics, page
//! index and filters are compared with those rows too: a query that trusts wrong ones passes rows over.
//! Encoding the rows again and comparing bytes would take ten times as long. Bytes that change nothing of
//! what is read are covered by the digest in the manifest.

mod described;
mod extent;
mod pack;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex, atomic::AtomicU64},
};

use deed_ledger::{
    PACK_LEAVES,
    store::Store,
    verify::{PackRows, Rows, RowsCheck, RowsReport},
};
use deed_seal::{
    hash::Hash,
    verify::{Problem, ProblemKind},
};
use parquet::{
    arrow::{ArrowSchemaConverter, arrow_reader::ArrowReaderMetadata},
    errors::ParquetError,
    file::metadata::SortingColumn,
    schema::types::SchemaDescriptor,
};
use sha2::{Digest, Sha256};

use crate::{
    columns::schema,
    facts::Facts,
    files::{self, StoredFile},
    manifest::{FOLDER, File, Manifest, PATH},
    tables::lock,
};

use pack::PackCheck;

/// Checks every Parquet file of a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyRows;

impl Rows for VerifyRows {
    fn begin<'s>(&self, store: &'s Arc<dyn Store>) -> Box<dyn RowsCheck + 's> {
        Box::new(Check::new(store))
    }
}

/// One check of all files.
struct Check<'c> {
    store: &'c Arc<dyn Store>,
    files: Vec<Open>,
    covered: Vec<String>,
    rows: AtomicU64,
    looked_at: Mutex<BTreeSet<u64>>,
    /// By pack, where all of its leaves could be read.
    facts: Mutex<BTreeMap<u64, Facts>>,
    problems: Mutex<Vec<Problem>>,
}

/// A file that can be read, of one row group for each pack.
struct Open {
    path: String,
    file: StoredFile,
    metadata: ArrowReaderMetadata,
    first_pack: u64,
    last_pack: u64,
    /// As the manifest lists it.
    listed: Option<Arc<File>>,
}

impl Open {
    /// `leaves 65536 to 131071`.
    fn leaves(first_pack: u64, last_pack: u64) -> String {
        format!("leaves {} to {}", first_pack * PACK_LEAVES, (last_pack + 1) * PACK_LEAVES - 1)
    }
}

impl RowsCheck for Check<'_> {
    fn pack(&self, number: u64) -> Box<dyn PackRows + '_> {
        lock(&self.looked_at).insert(number);
        let files = self.files.iter().filter(|file| (file.first_pack..=file.last_pack).contains(&number));
        // Whoever has the first pack of a file looks at its bytes too.
        files.clone().filter(|file| file.first_pack == number).for_each(|file| self.digest(file));
        Box::new(PackCheck::new(self, number, files))
    }

    fn end(self: Box<Self>) -> RowsReport {
        let looked_at = std::mem::take(&mut *lock(&self.looked_at));
        for file in &self.files {
            for pack in (file.first_pack..=file.last_pack).filter(|pack| !looked_at.contains(pack)) {
                self.nothing_to_compare_with(file, pack, &format!("pack {pack} cannot be read"));
            }
            if !looked_at.contains(&file.first_pack) {
                self.digest(file);
            }
            self.entry(file);
        }
        let mut problems = self.problems.into_inner().unwrap_or_default();
        problems.sort_by(|a, b| (&a.place, &a.what).cmp(&(&b.place, &b.what)));
        RowsReport { rows: self.rows.into_inner(), covered: self.covered, problems }
    }
}

impl<'c> Check<'c> {
    fn new(store: &'c Arc<dyn Store>) -> Self {
        let mut check = Check {
            store,
            files: Vec::new(),
            covered: Vec::new(),
            rows: AtomicU64::new(0),
            looked_at: Mutex::default(),
            facts: Mutex::default(),
            problems: Mutex::default(),
        };
        let manifest = check.manifest();
        for (path, size) in check.present(manifest.as_ref()) {
            // A file of another version, or of somebody else: whoever accounts for files says so.
            match File::packs_of(&path) {
                Some(packs) => check.files.extend(check.open(&path, size, packs, manifest.as_ref())),
                None if path == PATH => {}
                None => continue,
            }
            check.covered.push(path);
        }
        check
    }

    fn report(&self, kind: ProblemKind, place: &str, what: String) {
        lock(&self.problems).push(Problem { kind, place: place.to_owned(), what });
    }

    fn nothing_to_compare_with(&self, file: &Open, pack: u64, why: &str) {
        let what = format!("{}: nothing to compare with: {why}", Open::leaves(pack, pack));
        self.report(ProblemKind::Unverified, &file.path, what);
    }

    fn manifest(&self) -> Option<Manifest> {
        match Manifest::read(&**self.store) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.report(ProblemKind::Violated, PATH, error.to_string());
                None
            }
        }
    }

    /// Everything in the folder. What is listed and not there is reported.
    fn present(&self, manifest: Option<&Manifest>) -> BTreeMap<String, u64> {
        let there: BTreeMap<String, u64> = match self.store.list(FOLDER) {
            Ok(objects) => objects.into_iter().map(|object| (object.path, object.size)).collect(),
            Err(error) => {
                self.report(ProblemKind::Unverified, FOLDER, error.to_string());
                BTreeMap::new()
            }
        };
        let listed = manifest.iter().flat_map(|manifest| &manifest.files);
        for file in listed.filter(|file| !there.contains_key(&file.path)) {
            let what = "listed and missing; derive it again with `deed rebuild`";
            self.report(ProblemKind::Unverified, &file.path, what.into());
        }
        there
    }

    /// Reads the footer of a file.
    fn open(
        &self,
        path: &str,
        size: u64,
        (first_pack, last_pack): (u64, u64),
        manifest: Option<&Manifest>,
    ) -> Option<Open> {
        let listed = manifest.and_then(|manifest| {
            let retired = manifest.retired.iter().map(|retired| &retired.file);
            manifest.files.iter().chain(retired).find(|file| file.path == path)
        });
        // Replaced and swept while we looked.
        if listed.is_some() && self.store.size(path).is_err_and(|error| error.is_missing()) {
            return None;
        }
        let file = StoredFile::new(self.store.clone(), path, size);
        let wrong = |what: &str| {
            let leaves = Open::leaves(first_pack, last_pack);
            self.report(ProblemKind::Violated, path, format!("{leaves}: {what}"));
        };
        let metadata = files::read_metadata(&file).and_then(|metadata| files::typed(Arc::new(metadata)));
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => {
                wrong(&format!("cannot be read: {error}"));
                return None;
            }
        };
        let groups = metadata.metadata().row_groups();
        if groups.len() as u64 != last_pack - first_pack + 1
            || groups.iter().any(|group| group.num_rows() != PACK_LEAVES as i64)
        {
            wrong(&format!("has not one row group of {PACK_LEAVES} rows for each pack"));
            return None;
        }
        if metadata.parquet_schema().root_schema() != COLUMNS.root_schema() {
            wrong("its columns are not those of `records`");
            return None;
        }
        let by_leaf = SortingColumn { column_idx: 0, descending: false, nulls_first: false };
        if groups
            .iter()
            .filter_map(|group| group.sorting_columns())
            .any(|order| order.as_slice() != std::slice::from_ref(&by_leaf))
        {
            wrong("its rows are not in the order that it says");
        }
        let listed = listed.cloned();
        Some(Open { path: path.to_owned(), file, metadata, first_pack, last_pack, listed })
    }

    /// Remembers what the leaves of `pack` are like.
    fn saw(&self, pack: u64, facts: Facts) {
        lock(&self.facts).insert(pack, facts);
    }

    /// Holds what the manifest says of a file's rows against them: queries pass files over for it.
    fn entry(&self, file: &Open) {
        let Some(listed) = &file.listed else { return };
        let facts = lock(&self.facts);
        let seen: Vec<Facts> =
            (file.first_pack..=file.last_pack).filter_map(|pack| facts.get(&pack).copied()).collect();
        let complete = seen.len() as u64 == file.last_pack - file.first_pack + 1;
        if complete && seen.into_iter().reduce(Facts::and) != Some(Facts::listed(listed)) {
            let what = format!("what it says of `{}` is not so: queries may pass its rows over", file.path);
            self.report(ProblemKind::Violated, PATH, what);
        }
    }

    /// Holds the bytes of a file against the manifest.
    fn digest(&self, file: &Open) {
        const PIECE: u64 = 1 << 20;
        let Some(listed) = &file.listed else { return };
        let mut digest = Sha256::new();
        let size = parquet::file::reader::Length::len(&file.file);
        for from in (0..size).step_by(PIECE as usize) {
            match self.store.read_range(&file.path, from..size.min(from + PIECE)) {
                Ok(bytes) => digest.update(&bytes),
                Err(error) => return self.report(ProblemKind::Unverified, &file.path, error.to_string()),
            }
        }
        if Hash(digest.finalize().into()).to_string() != listed.sha256 {
            let what = "its bytes are not those that the manifest lists";
            self.report(ProblemKind::Violated, &file.path, what.into());
        }
    }
}

/// The columns of a file as they should be.
static COLUMNS: LazyLock<SchemaDescriptor> = LazyLock::new(|| {
    let converted: Result<_, ParquetError> = ArrowSchemaConverter::new().convert(&schema());
    #[expect(clippy::unwrap_used, reason = "every file is written with these columns")]
    converted.unwrap()
});
