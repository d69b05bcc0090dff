//! The table `records`: Parquet files and, for the leaves they do not cover, rows made on the way.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ColumnStatistics, DataFusionError, Result, ScalarValue, Statistics, stats::Precision},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
    },
    execution::{SendableRecordBatchStream, TaskContext, object_store::ObjectStoreUrl},
    logical_expr::{Expr, Operator, TableType},
    object_store::ObjectMeta,
    physical_expr::{
        PhysicalExpr,
        expressions::{binary, col, lit},
    },
    physical_plan::{
        ExecutionPlan, filter::FilterExec, projection::ProjectionExec, stream::RecordBatchStreamAdapter,
        union::UnionExec,
    },
};
use deed_ledger::PACK_LEAVES;
use deed_record::Timestamp;

use crate::{
    chunks::{Chunks, Leaves, rows},
    columns::{CHUNK, schema},
    manifest::{File, Manifest},
    scan::scan_by,
    step::{Step, StepExec},
};

/// Chunks are kept for leaves this close to the end; whoever reads further back does it rarely.
const KEPT_LEAVES: u64 = 3 * PACK_LEAVES;

/// What one query sees: files and leaves at one size, whatever happens meanwhile.
pub(crate) struct View {
    /// The files. Holding it keeps them from being deleted.
    pub(crate) manifest: Arc<Manifest>,
    /// The leaves, taken after the manifest, so that they reach at least as far.
    pub(crate) leaves: Arc<dyn Leaves>,
    /// How many leaves.
    pub(crate) size: u64,
    /// Rows of leaves that were needed before.
    pub(crate) chunks: Arc<Chunks>,
}

impl View {
    /// Ranges of leaves that no file covers.
    fn uncovered(&self) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let mut next = 0;
        for file in &self.manifest.files {
            if next < file.first_leaf {
                ranges.push(next..file.first_leaf);
            }
            next = file.last_leaf + 1;
        }
        if next < self.size {
            ranges.push(next..self.size);
        }
        ranges
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} leaves, {} in files)", self.size, self.manifest.rows)
    }
}

/// `records` as one query, and one tenant, may see it.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) view: Arc<View>,
    pub(crate) tenant: Option<String>,
}

impl TableProvider for Records {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    scan_by!(Records);
}

impl Records {
    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let asked = projection.cloned().unwrap_or_else(|| (0..schema().fields().len()).collect());
        let Some(tenant) = &self.tenant else { return self.scan_all(state, asked, limit) };
        // The filter is part of the table: no query text can get around it.
        let tenant_at = schema().index_of("tenant")?;
        let mut columns = asked.clone();
        if !columns.contains(&tenant_at) {
            columns.push(tenant_at);
        }
        let all = self.scan_all(state, columns, None)?;
        let ours = lit(ScalarValue::Utf8View(Some(tenant.clone())));
        let predicate = binary(col("tenant", &all.schema())?, Operator::Eq, ours, &all.schema())?;
        let filtered: Arc<dyn ExecutionPlan> = Arc::new(FilterExec::try_new(predicate, all)?);
        if asked.len() == filtered.schema().fields().len() {
            return Ok(filtered);
        }
        let named = |at: usize| -> Result<(Arc<dyn PhysicalExpr>, String)> {
            let name = filtered.schema().field(at).name().clone();
            Ok((col(&name, &filtered.schema())?, name))
        };
        let kept = (0..asked.len()).map(named).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(ProjectionExec::try_new(kept, filtered)?))
    }

    /// The newest rows come first: whoever asks for any few gets those.
    fn scan_all(
        &self,
        state: &dyn Session,
        columns: Vec<usize>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let partitions = state.config().target_partitions();
        let mut inputs: Vec<Arc<dyn ExecutionPlan>> = Vec::new();
        let uncovered = self.view.uncovered();
        if !uncovered.is_empty() || self.view.manifest.files.is_empty() {
            let leaves = Uncovered::step(self.view.clone(), &uncovered, columns.clone(), partitions)?;
            inputs.push(Arc::new(leaves));
        }
        if !self.view.manifest.files.is_empty() {
            let files: Vec<_> = self.view.manifest.files.iter().rev().map(partitioned).collect();
            let groups = FileGroup::new(files).split_files(partitions);
            let source = ParquetSource::new(schema())
                .with_table_parquet_options(state.default_table_options().parquet);
            let url = ObjectStoreUrl::parse(STORE_URL)?;
            let config = FileScanConfigBuilder::new(url, Arc::new(source))
                .with_file_groups(groups)
                .with_statistics(statistics(self.view.manifest.rows))
                .with_projection_indices(Some(columns))?
                .with_limit(limit);
            inputs.push(DataSourceExec::from_data_source(config.build()));
        }
        UnionExec::try_new(inputs)
    }
}

/// Where DataFusion finds the ledger's store.
pub(crate) const STORE_URL: &str = "deed://store/";

fn partitioned(file: &Arc<File>) -> PartitionedFile {
    let written = arrow::temporal_conversions::timestamp_us_to_datetime(file.written.0);
    let mut part = PartitionedFile::new_from_meta(ObjectMeta {
        location: file.path.as_str().into(),
        // Footers are cached by name, size and this.
        last_modified: written.unwrap_or_default().and_utc(),
        size: file.bytes,
        e_tag: Some(file.sha256.clone()),
        version: None,
    });
    let mut known = statistics(file.rows);
    let bounds = |[least, greatest]: [ScalarValue; 2]| ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: Precision::Exact(least),
        max_value: Precision::Exact(greatest),
        ..ColumnStatistics::new_unknown()
    };
    let time = |time: Timestamp| ScalarValue::TimestampMicrosecond(Some(time.0), Some("UTC".into()));
    let leaf = |leaf: u64| ScalarValue::Int64(i64::try_from(leaf).ok());
    for (name, bound) in [
        ("leaf_index", [leaf(file.first_leaf), leaf(file.last_leaf)]),
        ("time", file.time.map(time)),
        ("recorded", file.recorded.map(time)),
    ] {
        if let Ok(at) = schema().index_of(name) {
            known.column_statistics[at] = bounds(bound);
        }
    }
    part.statistics = Some(Arc::new(known));
    // As long as somebody reads the file, it is not deleted.
    part.with_extension(file.clone())
}

fn statistics(rows: u64) -> Statistics {
    Statistics { num_rows: Precision::Exact(rows as usize), ..Statistics::new_unknown(&schema()) }
}

/// Reads leaves as rows.
struct Uncovered {
    view: Arc<View>,
    /// For each partition chunks and how many of their first rows.
    pieces: Vec<Vec<(u64, usize)>>,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl Uncovered {
    fn step(
        view: Arc<View>,
        ranges: &[Range<u64>],
        columns: Vec<usize>,
        partitions: usize,
    ) -> Result<StepExec> {
        let mut all = Vec::new();
        for range in ranges.iter().rev() {
            // Files begin and end at packs, packs at chunks: only the end of the log is in mid-chunk.
            let chunks = range.start / CHUNK as u64..range.end.div_ceil(CHUNK as u64);
            all.extend(
                chunks
                    .rev()
                    .map(|chunk| (chunk, (range.end - chunk * CHUNK as u64).min(CHUNK as u64) as usize)),
            );
        }
        let partitions = partitions.clamp(1, all.len().max(1));
        let mut pieces = vec![Vec::new(); partitions];
        for (at, piece) in all.into_iter().enumerate() {
            pieces[at % partitions].push(piece);
        }
        let schema = Arc::new(schema().project(&columns)?);
        let step = Uncovered { view, pieces, columns, schema: schema.clone() };
        Ok(StepExec::source(step, schema, partitions))
    }
}

impl Step for Uncovered {
    fn name(&self) -> &'static str {
        "LeavesExec"
    }

    fn detail(&self) -> String {
        let rows: usize = self.pieces.iter().flatten().map(|(_, rows)| rows).sum();
        format!("partitions={}, rows={rows}", self.pieces.len())
    }

    fn rows(&self, partition: Option<usize>) -> Precision<usize> {
        let rows = |pieces: &Vec<(u64, usize)>| pieces.iter().map(|(_, rows)| rows).sum::<usize>();
        Precision::Exact(match partition {
            Some(partition) => self.pieces.get(partition).map_or(0, rows),
            None => self.pieces.iter().map(rows).sum(),
        })
    }

    fn run(
        &self,
        _: Option<SendableRecordBatchStream>,
        partition: usize,
        _: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let pieces = self.pieces.get(partition).cloned().unwrap_or_default();
        let (view, columns, schema) = (self.view.clone(), self.columns.clone(), self.schema.clone());
        let make = move |(chunk, count): (u64, usize)| -> Vec<Result<RecordBatch>> {
            match read(&view, chunk, count, &columns, &schema) {
                Ok(batches) => batches.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            }
        };
        let batches = futures::stream::iter(pieces.into_iter().flat_map(make));
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches)))
    }
}

fn read(
    view: &View,
    chunk: u64,
    count: usize,
    columns: &[usize],
    projected: &SchemaRef,
) -> Result<Vec<RecordBatch>> {
    if columns.is_empty() {
        // Only counted.
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        return Ok(vec![RecordBatch::try_new_with_options(projected.clone(), Vec::new(), &options)?]);
    }
    let first = chunk * CHUNK as u64;
    let batches = if first + KEPT_LEAVES >= view.size {
        view.chunks.get(&*view.leaves, chunk, count)
    } else {
        rows(&*view.leaves, first..first + count as u64).map(|batch| vec![batch])
    };
    let batches = batches.map_err(|error| DataFusionError::External(Box::new(error)))?;
    batches.iter().map(|batch| Ok(batch.project(columns)?)).collect()
}
