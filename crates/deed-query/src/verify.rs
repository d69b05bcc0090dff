//! Holds Parquet rows against the sealed leaves.
//!
//! The leaves of a pack are made rows and encoded again. Where the bytes of a column are those of the
//! file, that is all there is to see. Where they are not, because of a change or of another version of
//! the encoder, the column is decoded and compared row by row. Statistics and filters are compared too:
//! a query that trusts wrong ones passes rows over.

use std::{
    collections::BTreeMap,
    ops::{ControlFlow, Range},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::array::{Array, RecordBatch};
use bytes::Bytes;
use deed_ledger::{
    LedgerError, PACK_LEAVES,
    store::Store,
    verify::{Leaves as PackedLeaves, Rows, RowsReport},
};
use deed_seal::{
    tile::bundle_entries,
    verify::{Problem, ProblemKind},
};
use parquet::{
    bloom_filter::Sbbf,
    errors::ParquetError,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        page_index::offset_index::PageLocation,
        reader::ChunkReader,
    },
};
use sha2::{Digest, Sha256};

use crate::{
    chunks::{Leaves, RowsError, rows},
    columns::{CHUNK, COLUMNS},
    files::{self, StoredFile},
    manifest::{FOLDER, File, Manifest, PATH},
    tables::lock,
};

/// Checks every Parquet file of a store, on all cores.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyRows;

impl Rows for VerifyRows {
    fn verify(&self, store: &Arc<dyn Store>, leaves: &PackedLeaves) -> RowsReport {
        let check = Check { store, leaves, problems: Mutex::default() };
        let manifest = check.manifest();
        let origin = manifest.as_ref().map_or("", |manifest| &manifest.origin).to_owned();
        let mut covered = Vec::new();
        let mut groups = Vec::new();
        for (path, size) in check.files(manifest.as_ref()) {
            if path == PATH {
                covered.push(path);
                continue;
            }
            // A file of another version, or of somebody else: whoever accounts for files says so.
            let Some((first, last)) = File::packs_of(&path) else { continue };
            if let Some(open) = check.open(&path, size, (first, last), manifest.as_ref()) {
                let open = Arc::new(open);
                groups.extend((first..=last).map(|pack| (open.clone(), pack)));
            }
            covered.push(path);
        }
        let (next, rows) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = || {
            while let Some((file, pack)) = groups.get(next.fetch_add(1, Ordering::Relaxed)) {
                rows.fetch_add(check.group(file, *pack, &origin), Ordering::Relaxed);
            }
        };
        std::thread::scope(|scope| {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut problems = check.problems.into_inner().unwrap_or_default();
        problems.sort_by(|a, b| (&a.place, &a.what).cmp(&(&b.place, &b.what)));
        RowsReport { rows: rows.into_inner() as u64, covered, problems }
    }
}

impl Leaves for PackedLeaves {
    fn scan(
        &self,
        range: Range<u64>,
        each: &mut dyn FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let mut index = range.start;
        while index < range.end {
            let pack = index / PACK_LEAVES;
            let missing = || LedgerError::NotFound(format!("pack {pack}"));
            let before = ((index % PACK_LEAVES) / 256) as usize;
            for bundle in self.bundles(pack).ok_or_else(missing)?.skip(before) {
                let bundle = bundle?;
                let entries = bundle_entries(&bundle)
                    .map_err(|error| LedgerError::Broken(format!("pack {pack}: {error}")))?;
                for leaf in entries.into_iter().skip((index % 256) as usize) {
                    if index == range.end || each(index, leaf).is_break() {
                        return Ok(());
                    }
                    index += 1;
                }
            }
        }
        Ok(())
    }
}

struct Check<'c> {
    store: &'c Arc<dyn Store>,
    leaves: &'c PackedLeaves,
    problems: Mutex<Vec<Problem>>,
}

/// A file that can be read.
struct Open {
    path: String,
    file: StoredFile,
    metadata: Arc<ParquetMetaData>,
    first_pack: u64,
}

impl Check<'_> {
    fn report(&self, kind: ProblemKind, place: &str, what: String) {
        lock(&self.problems).push(Problem { kind, place: place.to_owned(), what });
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
    fn files(&self, manifest: Option<&Manifest>) -> BTreeMap<String, u64> {
        let there: BTreeMap<String, u64> = match self.store.list(FOLDER) {
            Ok(objects) => objects.into_iter().map(|object| (object.path, object.size)).collect(),
            Err(error) => {
                self.report(ProblemKind::Unverified, FOLDER, error.to_string());
                BTreeMap::new()
            }
        };
        for file in manifest
            .iter()
            .flat_map(|manifest| &manifest.files)
            .filter(|file| !there.contains_key(&file.path))
        {
            self.report(
                ProblemKind::Unverified,
                &file.path,
                "listed and missing; derive it again with `deed rebuild`".into(),
            );
        }
        there
    }

    /// Reads the footer and holds the file against its entry in the manifest.
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
        if let Some(listed) = listed {
            match self.store.read(path) {
                Ok(bytes) if hex(&Sha256::digest(&bytes)) != listed.sha256 => {
                    self.report(
                        ProblemKind::Violated,
                        path,
                        "its bytes are not those that the manifest lists".into(),
                    );
                }
                Ok(_) => {}
                Err(error) if error.is_missing() => return None,
                Err(error) => self.report(ProblemKind::Unverified, path, error.to_string()),
            }
        }
        let file = StoredFile::new(self.store.clone(), path, size);
        let leaves = format!("leaves {} to {}", first_pack * PACK_LEAVES, (last_pack + 1) * PACK_LEAVES - 1);
        let metadata = match files::read_metadata(&file) {
            Ok(metadata) => Arc::new(metadata),
            Err(error) => {
                self.report(ProblemKind::Violated, path, format!("{leaves}: cannot be read: {error}"));
                return None;
            }
        };
        let groups = metadata.row_groups();
        if groups.len() as u64 != last_pack - first_pack + 1
            || groups.iter().any(|group| group.num_rows() != PACK_LEAVES as i64)
        {
            self.report(
                ProblemKind::Violated,
                path,
                format!("{leaves}: has not one row group of {PACK_LEAVES} rows for each pack"),
            );
            return None;
        }
        Some(Open { path: path.to_owned(), file, metadata, first_pack })
    }

    /// Compares one row group with the leaves of `pack`; how many rows that were.
    fn group(&self, open: &Open, pack: u64, origin: &str) -> usize {
        let first = pack * PACK_LEAVES;
        let chunks = (0..PACK_LEAVES).step_by(CHUNK).map(|at| first + at..first + at + CHUNK as u64);
        let made: Result<Vec<_>, RowsError> = chunks.map(|range| rows(self.leaves, range)).collect();
        let batches = match made {
            Ok(batches) => batches,
            Err(error) => {
                self.report(
                    ProblemKind::Unverified,
                    &open.path,
                    format!(
                        "leaves {first} to {}: nothing to compare with: {error}",
                        first + PACK_LEAVES - 1
                    ),
                );
                return 0;
            }
        };
        match Derived::new(origin, pack, &batches)
            .and_then(|derived| self.columns(open, pack, &batches, &derived))
        {
            Ok(()) => {}
            Err(error) => self.report(
                ProblemKind::Violated,
                &open.path,
                format!("leaves {first} to {}: cannot be compared: {error}", first + PACK_LEAVES - 1),
            ),
        }
        batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn columns(
        &self,
        open: &Open,
        pack: u64,
        batches: &[RecordBatch],
        derived: &Derived,
    ) -> Result<(), ParquetError> {
        let at = (pack - open.first_pack) as usize;
        let group = open.metadata.row_group(at);
        let schema = open.metadata.file_metadata().schema_descr();
        if schema.root_schema() != derived.metadata.file_metadata().schema_descr().root_schema() {
            let what = format!(
                "leaves {} to {}: its columns are not those of `records`",
                pack * PACK_LEAVES,
                (pack + 1) * PACK_LEAVES - 1
            );
            self.report(ProblemKind::Violated, &open.path, what);
            return Ok(());
        }
        // By column of the table; nested ones have several here.
        let mut changed: BTreeMap<usize, bool> = BTreeMap::new();
        for leaf in 0..group.num_columns() {
            let (theirs, ours) = (group.column(leaf), derived.metadata.row_group(0).column(leaf));
            let same_bytes = same_bytes(&open.file, theirs, &derived.bytes, ours)?;
            let same_index = derived.describes(&open.file, &open.metadata, at, leaf, same_bytes)?;
            if !same_bytes || !same_index {
                *changed.entry(schema.get_column_root_idx(leaf)).or_default() |= !same_index;
            }
        }
        for (column, index_differs) in changed {
            let name = COLUMNS[column].name;
            if let Some((leaf, what)) = first_difference(open, at, column, pack * PACK_LEAVES, batches) {
                self.report(
                    ProblemKind::Violated,
                    &open.path,
                    format!("leaf {leaf}, column `{name}`: {what}"),
                );
            } else if index_differs
                && open.metadata.file_metadata().created_by() == derived.metadata.file_metadata().created_by()
            {
                let what = format!(
                    "leaves {} to {}, column `{name}`: its statistics or filters are not those of its rows",
                    pack * PACK_LEAVES,
                    (pack + 1) * PACK_LEAVES - 1
                );
                self.report(ProblemKind::Violated, &open.path, what);
            }
        }
        Ok(())
    }
}

/// The leaves of a pack, encoded again.
struct Derived {
    bytes: Bytes,
    metadata: ParquetMetaData,
}

impl Derived {
    fn new(origin: &str, pack: u64, batches: &[RecordBatch]) -> Result<Self, ParquetError> {
        let bytes = Bytes::from(files::write_pack(origin, pack, batches)?);
        let metadata = files::read_metadata(&bytes)?;
        Ok(Derived { bytes, metadata })
    }

    /// Whether what stands in `file` about a column, besides its rows, is what stands here.
    fn describes(
        &self,
        file: &StoredFile,
        metadata: &ParquetMetaData,
        at: usize,
        column: usize,
        same_bytes: bool,
    ) -> Result<bool, ParquetError> {
        let (theirs, ours) =
            (metadata.row_group(at).column(column), self.metadata.row_group(0).column(column));
        let filter = |filter: Option<Sbbf>| -> Result<Option<Vec<u8>>, ParquetError> {
            let Some(filter) = filter else { return Ok(None) };
            let mut bytes = Vec::new();
            filter.write(&mut bytes)?;
            Ok(Some(bytes))
        };
        let filters = filter(Sbbf::read_from_column_chunk(theirs, file)?)?
            == filter(Sbbf::read_from_column_chunk(ours, &self.bytes)?)?;
        let bounds = |metadata: &ParquetMetaData, group: usize| {
            metadata.column_index().map(|index| index[group][column].clone())
        };
        let pages = |metadata: &ParquetMetaData, group: usize| {
            let start = metadata.row_group(group).column(column).byte_range().0;
            let index = metadata.offset_index()?[group].get(column)?;
            let place = |page: &PageLocation| {
                (
                    page.offset.unsigned_abs().checked_sub(start),
                    page.compressed_page_size,
                    page.first_row_index,
                )
            };
            Some(index.page_locations().iter().map(place).collect::<Vec<_>>())
        };
        Ok(filters
            && theirs.statistics() == ours.statistics()
            && theirs.num_values() == ours.num_values()
            && bounds(metadata, at) == bounds(&self.metadata, 0)
            // Another encoder cuts other pages.
            && (!same_bytes || pages(metadata, at) == pages(&self.metadata, 0)))
    }
}

fn same_bytes(
    file: &StoredFile,
    theirs: &ColumnChunkMetaData,
    derived: &Bytes,
    ours: &ColumnChunkMetaData,
) -> Result<bool, ParquetError> {
    let ((their_start, their_length), (our_start, our_length)) = (theirs.byte_range(), ours.byte_range());
    if their_length != our_length
        || theirs.column_type() != ours.column_type()
        || theirs.compression() != ours.compression()
    {
        return Ok(false);
    }
    Ok(file.get_bytes(their_start, their_length as usize)?
        == derived.get_bytes(our_start, our_length as usize)?)
}

/// The first row of a column of the table that is not as derived: its leaf, and what is the matter.
fn first_difference(
    open: &Open,
    at: usize,
    column: usize,
    first: u64,
    batches: &[RecordBatch],
) -> Option<(u64, String)> {
    let unreadable = |leaf: u64, error: &dyn std::fmt::Display| {
        let last = (leaf / CHUNK as u64 + 1) * CHUNK as u64 - 1;
        (leaf, format!("cannot be decoded from here on, up to leaf {last} at least ({error})"))
    };
    let read = match files::read_group(&open.file, &open.metadata, at, Some(column)) {
        Ok(read) => read,
        Err(error) => return Some(unreadable(first, &error)),
    };
    let mut leaf = first;
    let mut expected = batches.iter();
    for batch in read {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Some(unreadable(leaf, &error)),
        };
        let Some(ours) = expected.next() else {
            return Some((leaf, "has more rows than the pack has leaves".into()));
        };
        let (theirs, ours) = (batch.column(0), ours.column(column));
        if theirs.len() != ours.len() {
            return Some((leaf, "its rows are cut in another way".into()));
        }
        if theirs != ours {
            let row =
                (0..ours.len()).find(|row| theirs.slice(*row, 1) != ours.slice(*row, 1)).unwrap_or_default();
            return Some((leaf + row as u64, "is not what the sealed record says".into()));
        }
        leaf += ours.len() as u64;
    }
    (leaf != first + PACK_LEAVES).then(|| (leaf, "has fewer rows than the pack has leaves".into()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
