//! A look at rows on their way from one operator to the next, where the next may make much of little.
//!
//! Operators ask the memory pool for what they collect. They do not ask for the batch they are making, which is
//! small as long as rows are: but a join or a window repeats one row thousands of times, `unnest` repeats it for
//! every item of a list, and whoever filters collects thousands of rows into one batch. What that could come to
//! is asked of the pool here.

use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TreeNode},
    },
    execution::{SendableRecordBatchStream, TaskContext, memory_pool::MemoryConsumer},
    physical_plan::{
        ExecutionPlan,
        execution_plan::{ChildrenPropertiesMode, ReplaceChildrenOptions},
        stream::RecordBatchStreamAdapter,
        unnest::UnnestExec,
        windows::{BoundedWindowAggExec, WindowAggExec},
    },
};
use futures::{StreamExt, TryStreamExt};

use crate::{
    allowance::BATCH,
    step::{Step, StepExec},
    weight,
};

/// Rows that take no more than this are asked for of nobody: as much is lost in any operator.
const ORDINARY: u64 = 16 << 20;

/// `plan` with a look at what comes into each of its operators.
pub(crate) fn watched(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let watched = plan.transform_up(|plan| {
        let next = Next::of(&*plan);
        let look = |input: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
            Arc::new(StepExec::along(next.clone(), input.clone()))
        };
        let inputs: Vec<_> = plan.children().into_iter().map(look).collect();
        if inputs.is_empty() {
            return Ok(Transformed::no(plan));
        }
        let same = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep);
        plan.replace_children(inputs, same).map(Transformed::yes)
    })?;
    Ok(watched.data)
}

/// What the next operator does with rows.
#[derive(Clone, Debug)]
enum Next {
    /// Passes them on, or collects them into batches.
    Passes,
    /// Repeats a row as often as it likes.
    Repeats,
    /// Keeps all of them, and repeats what is in them.
    Keeps,
    /// Repeats a row for each item of these columns.
    Unnests(Vec<usize>),
}

impl Next {
    fn of(plan: &dyn ExecutionPlan) -> Self {
        if let Some(unnest) = plan.downcast_ref::<UnnestExec>() {
            let lists = unnest.list_column_indices().iter();
            Next::Unnests(lists.map(|list| list.index_in_input_schema).collect())
        } else if plan.is::<WindowAggExec>() || plan.is::<BoundedWindowAggExec>() {
            Next::Keeps
        } else if plan.name().contains("Join") {
            Next::Repeats
        } else {
            Next::Passes
        }
    }
}

impl Step for Next {
    fn name(&self) -> &'static str {
        "WatchExec"
    }

    fn run(
        &self,
        input: Option<SendableRecordBatchStream>,
        _: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(input) = input else { return datafusion::common::plan_err!("nothing to watch") };
        let schema = input.schema();
        let pool = context.memory_pool();
        let (asked, kept) =
            (MemoryConsumer::new("rows").register(pool), MemoryConsumer::new("rows").register(pool));
        let (next, mut recent) = (self.clone(), Recent::default());
        let seen = input.and_then(move |batch| {
            let could = match &next {
                Next::Passes => Ok(recent.with(&batch)),
                Next::Repeats => Ok(repeated(&batch)),
                Next::Keeps => kept.try_grow(weight_of(&batch) as usize).map(|()| repeated(&batch)),
                Next::Unnests(lists) => Ok(unnested(&batch, lists)),
            };
            let could = could.and_then(|could| asked.try_resize(could.saturating_sub(ORDINARY) as usize));
            std::future::ready(could.map(|()| batch))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, seen.boxed())))
    }
}

/// The rows that may be in one batch with those that come next.
#[derive(Default)]
struct Recent {
    rows: usize,
    bytes: u64,
}

impl Recent {
    fn with(&mut self, batch: &RecordBatch) -> u64 {
        if self.rows >= BATCH {
            *self = Recent::default();
        }
        self.rows += batch.num_rows();
        self.bytes += weight_of(batch);
        self.bytes
    }
}

/// Bytes of a batch, or a little more where that is found faster.
fn weight_of(batch: &RecordBatch) -> u64 {
    const QUICK: usize = 4 << 20;
    match batch.get_array_memory_size() {
        most if most <= QUICK => most as u64,
        _ => weight::of_rows(batch).iter().sum(),
    }
}

/// Bytes of a batch that has nothing but the largest row.
fn repeated(batch: &RecordBatch) -> u64 {
    let largest = weight::of_rows(batch).into_iter().max().unwrap_or_default();
    largest.saturating_mul(BATCH as u64)
}

/// Bytes of what becomes of a batch or of its worst row, whichever is more.
fn unnested(batch: &RecordBatch, lists: &[usize]) -> u64 {
    let mut items = vec![1; batch.num_rows()];
    for list in lists {
        for (row, count) in weight::items(batch.column(*list)).into_iter().enumerate() {
            items[row] = count.max(items[row]);
        }
    }
    let rest: Vec<_> = (0..batch.num_columns()).filter(|column| !lists.contains(column)).collect();
    let Ok(rest) = batch.project(&rest) else { return u64::MAX };
    let rest = weight::of_rows(&rest);
    let worst = items.iter().zip(&rest).map(|(items, bytes)| items.saturating_mul(*bytes)).max();
    let full = rest.iter().max().map(|bytes| bytes.saturating_mul(BATCH as u64));
    worst.max(full).unwrap_or_default()
}
