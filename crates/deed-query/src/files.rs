//! Parquet files: writing one for a pack, joining several, reading them back.
//!
//! A pack is one row group. Row groups are copied as they are when files are joined, so that a row
//! is encoded once. Files use only what Spark, Trino, DuckDB and Polars read alike: page format 1.0,
//! strings, 64-bit integers, microseconds in UTC, lists and structures; no Arrow schema is embedded.

use std::{
    io::Read,
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use arrow::array::RecordBatch;
use bytes::{Buf, Bytes, buf::Reader};
use deed_ledger::{PACK_LEAVES, store::Store};
use parquet::{
    arrow::{
        ArrowWriter, ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
            ParquetRecordBatchReaderBuilder, RowSelection, RowSelectionPolicy,
        },
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, Encoding, ZstdLevel},
    bloom_filter::Sbbf,
    column::writer::ColumnCloseResult,
    errors::{ParquetError, Result},
    file::{
        metadata::{
            ColumnChunkMetaData, KeyValue, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader,
            RowGroupMetaData, SortingColumn,
        },
        properties::WriterProperties,
        reader::{ChunkReader, Length},
        writer::SerializedFileWriter,
    },
};

use crate::columns::{CHUNK, SCHEMA_VERSION, schema};

/// Ids that hardly repeat within a pack: a dictionary of them would hold them all.
const UNIQUE: &[&str] = &["id", "trace_id", "span_id", "parent_span_id", "action", "source_event_id"];

/// Numbers whose steps are smaller than they are.
const STEPPING: &[&str] = &["leaf_index", "outcome_leaf_index", "time", "recorded"];

/// What people look for by its exact value, where the least and greatest of a row group tell nothing.
pub(crate) const FILTERED: &[&str] = &[
    "id",
    "kind",
    "tenant",
    "trace_id",
    "session",
    "task",
    "action",
    "source_system",
    "source_event_id",
    "initiator",
    "executor",
    "vendor",
    "credential",
    "credential_id",
    "request",
    "grant_id",
    "tool_name",
    "operation",
    "resource_uri",
];

/// A file of one row group: the leaves of `pack`.
///
/// # Errors
/// The batches are no rows of `records`.
pub(crate) fn write_pack(origin: &str, pack: u64, batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let properties = properties(origin, pack..=pack)?;
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema(), options)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.into_inner()
}

/// A file with the row groups of `files`, one after another, as they are.
///
/// # Errors
/// One of them cannot be read.
pub(crate) fn join(origin: &str, packs: RangeInclusive<u64>, files: &[StoredFile]) -> Result<Vec<u8>> {
    let properties = Arc::new(properties(origin, packs)?);
    // Grown piece by piece, it would take three times as much for a moment.
    let size = files.iter().map(|file| file.len()).sum::<u64>();
    let mut joined = Some(Vec::with_capacity(usize::try_from(size + size / 16).unwrap_or_default()));
    let mut writer = None;
    for file in files {
        let metadata = read_metadata(file)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            none => none.insert(SerializedFileWriter::new(
                joined.take().unwrap_or_default(),
                metadata.file_metadata().schema_descr().root_schema_ptr(),
                properties.clone(),
            )?),
        };
        for (at, group) in metadata.row_groups().iter().enumerate() {
            let mut copy = writer.next_row_group()?;
            for (column, chunk) in group.columns().iter().enumerate() {
                copy.append_column(
                    file,
                    ColumnCloseResult {
                        bytes_written: chunk.compressed_size().unsigned_abs(),
                        rows_written: group.num_rows().unsigned_abs(),
                        metadata: chunk.clone(),
                        bloom_filter: Sbbf::read_from_column_chunk(chunk, file)?,
                        column_index: metadata.column_index().map(|index| index[at][column].clone()),
                        offset_index: metadata.offset_index().map(|index| index[at][column].clone()),
                    },
                )?;
            }
            copy.close()?;
        }
    }
    writer.ok_or_else(|| ParquetError::General("nothing to join".into()))?.into_inner()
}

/// The footer of a file, page index included.
///
/// # Errors
/// It is no Parquet file.
pub(crate) fn read_metadata<R: ChunkReader>(file: &R) -> Result<ParquetMetaData> {
    ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).parse_and_finish(file)
}

/// A footer beside the types of [`schema`].
///
/// # Errors
/// The file has other columns.
pub(crate) fn typed(metadata: Arc<ParquetMetaData>) -> Result<ArrowReaderMetadata> {
    ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new().with_schema(schema()))
}

/// The rows of row group `at`, in chunks of [`CHUNK`].
///
/// # Errors
/// They cannot be read.
pub(crate) fn read_group(
    file: &StoredFile,
    metadata: &ArrowReaderMetadata,
    at: usize,
) -> Result<ParquetRecordBatchReader> {
    ParquetRecordBatchReaderBuilder::new_with_metadata(file.clone(), metadata.clone())
        .with_row_groups(vec![at])
        .with_batch_size(CHUNK)
        .build()
}

/// Of row group `at` the rows that are selected, of one column of the table.
///
/// # Errors
/// They cannot be read.
pub(crate) fn read_column(
    group: Held,
    metadata: &ArrowReaderMetadata,
    at: usize,
    column: usize,
    rows: RowSelection,
) -> Result<ParquetRecordBatchReader> {
    let mask = ProjectionMask::roots(metadata.parquet_schema(), [column]);
    ParquetRecordBatchReaderBuilder::new_with_metadata(group, metadata.clone())
        .with_projection(mask)
        .with_row_groups(vec![at])
        .with_row_selection(rows)
        .with_row_selection_policy(RowSelectionPolicy::Selectors)
        .with_batch_size(CHUNK)
        .build()
}

/// Where the pages of a column are; `None` if its footer makes no sense.
pub(crate) fn bytes_of(chunk: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
    let end = start.checked_add(chunk.compressed_size())?;
    Some(u64::try_from(start).ok()?..u64::try_from(end).ok()?).filter(|bytes| bytes.start < bytes.end)
}

fn properties(origin: &str, packs: RangeInclusive<u64>) -> Result<WriterProperties> {
    let says = |key: &str, value: String| KeyValue::new(key.to_owned(), value);
    let (first, last) = packs.into_inner();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_data_page_row_count_limit(CHUNK)
        .set_write_batch_size(CHUNK)
        .set_max_row_group_row_count(Some(PACK_LEAVES as usize))
        .set_sorting_columns(Some(vec![SortingColumn {
            column_idx: 0,
            descending: false,
            nulls_first: false,
        }]))
        .set_key_value_metadata(Some(vec![
            says("deed.origin", origin.to_owned()),
            says("deed.schema", SCHEMA_VERSION.to_string()),
            says("deed.packs", format!("{first}-{last}")),
        ]));
    for column in UNIQUE {
        properties = properties
            .set_column_dictionary_enabled((*column).into(), false)
            .set_column_encoding((*column).into(), Encoding::DELTA_BYTE_ARRAY);
    }
    for column in STEPPING {
        properties = properties
            .set_column_dictionary_enabled((*column).into(), false)
            .set_column_encoding((*column).into(), Encoding::DELTA_BINARY_PACKED);
    }
    for column in FILTERED {
        properties = properties
            .set_column_bloom_filter_enabled((*column).into(), true)
            .set_column_bloom_filter_max_ndv((*column).into(), PACK_LEAVES);
    }
    Ok(properties.build())
}

/// An object of a store, read range by range.
#[derive(Clone)]
pub(crate) struct StoredFile {
    store: Arc<dyn Store>,
    path: Arc<str>,
    size: u64,
}

impl StoredFile {
    /// The object `path` of `size` bytes.
    pub(crate) fn new(store: Arc<dyn Store>, path: &str, size: u64) -> Self {
        StoredFile { store, path: path.into(), size }
    }
}

impl Length for StoredFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for StoredFile {
    type T = Reading;

    fn get_read(&self, start: u64) -> Result<Reading> {
        Ok(Reading { file: self.clone(), at: start, ahead: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.store.read_range(&self.path, start..start + length as u64);
        bytes.map(Bytes::from).map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// Reads on from somewhere in a [`StoredFile`].
pub(crate) struct Reading {
    file: StoredFile,
    at: u64,
    ahead: Bytes,
}

impl Read for Reading {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        const AHEAD: u64 = 64 << 10;
        if self.ahead.is_empty() {
            let length = AHEAD.min(self.file.size.saturating_sub(self.at));
            self.ahead = self.file.get_bytes(self.at, length as usize).map_err(std::io::Error::other)?;
            self.at += length;
        }
        let length = into.len().min(self.ahead.len());
        self.ahead.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}

/// The pages of a row group, in memory.
#[derive(Clone)]
pub(crate) struct Held {
    start: u64,
    bytes: Bytes,
}

impl Held {
    /// Reads them.
    ///
    /// # Errors
    /// They cannot be read, or the footer makes no sense.
    pub(crate) fn row_group(file: &StoredFile, group: &RowGroupMetaData) -> Result<Self> {
        let columns: Option<Vec<_>> = group.columns().iter().map(bytes_of).collect();
        let columns = columns.unwrap_or_default();
        let start = columns.iter().map(|bytes| bytes.start).min().unwrap_or_default();
        let end = columns.iter().map(|bytes| bytes.end).max().unwrap_or_default();
        if start >= end || end > file.size {
            return Err(ParquetError::General("its columns are not where its footer says".into()));
        }
        Ok(Held { start, bytes: file.get_bytes(start, (end - start) as usize)? })
    }

    fn from(&self, start: u64) -> Result<Bytes> {
        let outside = || ParquetError::EOF(format!("byte {start} is in no row group"));
        let at = start.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|at| *at <= self.bytes.len()).ok_or_else(outside)?;
        Ok(self.bytes.slice(at..))
    }
}

impl Length for Held {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Held {
    type T = Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = self.from(start)?;
        if bytes.len() < length {
            return Err(ParquetError::EOF(format!("byte {start}: {length} bytes are not there")));
        }
        Ok(bytes.split_to(length))
    }
}
