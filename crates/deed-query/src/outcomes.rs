//! Joins actions with their outcomes: a few by look-ups, many by the join that was planned for it.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, StringViewBuilder},
    datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType},
};
use datafusion::{
    common::{DataFusionError, Result},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{
        ExecutionPlan, ExecutionPlanProperties, execute_stream, stream::RecordBatchStreamAdapter,
    },
};
use deed_ledger::{Key, Ledger, LedgerError};
use deed_record::{Kind, RecordId, Skeleton, Status, Timestamp};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::OnceCell;

use crate::{
    actions::OUTCOME,
    records::Records,
    step::{Step, StepExec},
};

/// Up to this many actions are looked up one by one.
const FEW: usize = 512;

/// An action that more records than this name is left to the join.
const REFERENCES: usize = 4096;

/// Runs `few` as far as it takes to see whether they are few; if they are not, runs `many`.
pub(crate) struct Outcomes {
    inner: Arc<Inner>,
}

struct Inner {
    records: Arc<Records>,
    ledger: Ledger,
    /// The actions, with what outcomes are found by.
    few: Arc<dyn ExecutionPlan>,
    /// The actions, joined.
    many: Arc<dyn ExecutionPlan>,
    wanted: SchemaRef,
    /// The actions with their outcomes where they are few. Decided once for all partitions.
    found: OnceCell<Option<Vec<RecordBatch>>>,
}

impl Outcomes {
    // Both plans are finished: nobody outside is to optimise them again, so they are no inputs of the step.
    pub(crate) fn step(
        records: Arc<Records>,
        ledger: Ledger,
        few: Arc<dyn ExecutionPlan>,
        many: Arc<dyn ExecutionPlan>,
        wanted: SchemaRef,
    ) -> StepExec {
        let partitions = many.output_partitioning().partition_count();
        let found = OnceCell::new();
        let inner = Arc::new(Inner { records, ledger, few, many, wanted: wanted.clone(), found });
        StepExec::source(Outcomes { inner }, wanted, partitions)
    }
}

impl Step for Outcomes {
    fn name(&self) -> &'static str {
        "OutcomesExec"
    }

    fn detail(&self) -> String {
        format!("few={FEW}")
    }

    fn run(
        &self,
        _: Option<SendableRecordBatchStream>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let inner = self.inner.clone();
        let rows = async move {
            let found = inner.found.get_or_try_init(|| inner.find(context.clone())).await?;
            Ok::<_, DataFusionError>(match found {
                Some(batches) if partition == 0 => stream::iter(batches.clone()).map(Ok).boxed(),
                Some(_) => stream::empty().boxed(),
                None => inner.many.execute(partition, context)?.boxed(),
            })
        };
        let rows = stream::once(rows).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.inner.wanted.clone(), rows)))
    }
}

impl Inner {
    async fn find(&self, context: Arc<TaskContext>) -> Result<Option<Vec<RecordBatch>>> {
        let mut actions = execute_stream(self.few.clone(), context)?;
        let mut few = Vec::new();
        let mut rows = 0;
        while let Some(batch) = actions.next().await {
            let batch = batch?;
            rows += batch.num_rows();
            if rows > FEW {
                return Ok(None);
            }
            few.push(batch);
        }
        let (ledger, size, wanted) = (self.ledger.clone(), self.records.view.size, self.wanted.clone());
        // Look-ups read the store.
        let looked_up = tokio::task::spawn_blocking(move || {
            let joined = few.iter().map(|batch| join(&ledger, size, batch, &wanted));
            joined.collect::<Result<Option<Vec<_>>>>()
        });
        looked_up.await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
    }
}

/// How an action ended, as far as one record says. The greatest wins.
struct Ending {
    weight: (bool, bool, Timestamp, RecordId),
    status: Status,
    code: Option<String>,
    duration_ms: Option<i64>,
    leaf: u64,
    retry_of: Option<RecordId>,
    compensates: Option<RecordId>,
}

/// The actions of `batch` with their outcomes; `None` if that is better done by a join.
fn join(ledger: &Ledger, size: u64, batch: &RecordBatch, wanted: &SchemaRef) -> Result<Option<RecordBatch>> {
    let damaged = |what: String| DataFusionError::Execution(what);
    let column =
        |name: &str| batch.column_by_name(name).ok_or_else(|| damaged(format!("`actions` lacks `{name}`")));
    let ids = column("id")?.as_string_view();
    let tenants = column("tenant")?.as_string_view();
    let times = column("time")?.as_primitive::<TimestampMicrosecondType>();
    let statuses = column("outcome_status")?.as_string_view();
    let mut endings = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let id: RecordId = ids.value(row).parse().map_err(damaged)?;
        let own = (!statuses.is_null(row))
            .then(|| (statuses.value(row) != "unknown", false, Timestamp(times.value(row)), id));
        let Some(other) = latest(ledger, size, id, tenants.value(row))? else { return Ok(None) };
        endings.push(other.filter(|other| own.is_none_or(|own| other.weight > own)));
    }
    let mut columns = Vec::with_capacity(wanted.fields().len());
    for field in wanted.fields() {
        let own = column(field.name())?;
        columns.push(if OUTCOME.contains(&field.name().as_str()) {
            ended(field.name(), own, &endings)
        } else {
            own.clone()
        });
    }
    Ok(Some(RecordBatch::try_new(wanted.clone(), columns)?))
}

/// What the records say that name the action `id`. The inner `None` where they say nothing, the outer
/// where there are too many.
fn latest(ledger: &Ledger, size: u64, id: RecordId, tenant: &str) -> Result<Option<Option<Ending>>> {
    let storage = |error: LedgerError| DataFusionError::External(Box::new(error));
    let references = ledger.lookup(&Key::Ref(id), REFERENCES, Some(size)).map_err(storage)?;
    if references.len() == REFERENCES {
        return Ok(None);
    }
    let mut latest: Option<Ending> = None;
    for leaf in references {
        let sealed = ledger.leaf(leaf).map_err(storage)?;
        let says =
            sealed.skeleton().map_err(|error| DataFusionError::Execution(format!("leaf {leaf}: {error}")))?;
        if let Some(ending) = ending(leaf, &says, id, tenant)
            && latest.as_ref().is_none_or(|latest| ending.weight > latest.weight)
        {
            latest = Some(ending);
        }
    }
    Ok(Some(latest))
}

fn ending(leaf: u64, says: &Skeleton<'_>, action: RecordId, tenant: &str) -> Option<Ending> {
    let about = says.action == Some(action)
        && &*says.tenant == tenant
        && matches!(says.kind, Kind::Outcome | Kind::Observation);
    let outcome = says.outcome.as_ref().filter(|_| about)?;
    Some(Ending {
        weight: (outcome.status != Status::Unknown, says.kind == Kind::Outcome, says.time, says.id),
        status: outcome.status,
        code: outcome.code.as_deref().map(str::to_owned),
        duration_ms: outcome.duration_ms,
        leaf,
        retry_of: outcome.retry_of,
        compensates: outcome.compensates,
    })
}

/// The column `name` with what `endings` say in place of what the actions say themselves.
fn ended(name: &str, own: &ArrayRef, endings: &[Option<Ending>]) -> ArrayRef {
    let texts = |pick: &dyn Fn(&Ending) -> Option<String>| -> ArrayRef {
        let own: &StringViewArray = own.as_string_view();
        let mut builder = StringViewBuilder::new();
        for (row, ending) in endings.iter().enumerate() {
            match ending {
                Some(ending) => builder.append_option(pick(ending)),
                None => builder.append_option((!own.is_null(row)).then(|| own.value(row))),
            }
        }
        Arc::new(builder.finish())
    };
    let numbers = |pick: &dyn Fn(&Ending) -> Option<i64>| -> ArrayRef {
        let own: &Int64Array = own.as_primitive::<Int64Type>();
        let value = |(row, ending): (usize, &Option<Ending>)| match ending {
            Some(ending) => pick(ending),
            None => (!own.is_null(row)).then(|| own.value(row)),
        };
        Arc::new(endings.iter().enumerate().map(value).collect::<Int64Array>())
    };
    match name {
        "outcome_code" => texts(&|ending| ending.code.clone()),
        "duration_ms" => numbers(&|ending| ending.duration_ms),
        "outcome_leaf_index" => numbers(&|ending| i64::try_from(ending.leaf).ok()),
        "retry_of" => texts(&|ending| ending.retry_of.map(|id| id.to_string())),
        "compensates" => texts(&|ending| ending.compensates.map(|id| id.to_string())),
        _ => texts(&|ending| Some(ending.status.as_str().to_owned())),
    }
}
