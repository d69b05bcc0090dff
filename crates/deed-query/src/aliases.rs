//! The table `aliases`: what accounts are called, opened for each query and kept nowhere.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, StringViewBuilder},
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef},
};
use datafusion::{
    catalog::{Session, TableProvider},
    common::{DataFusionError, Result, plan_err},
    dataframe::DataFrame,
    execution::{SendableRecordBatchStream, SessionState, TaskContext},
    logical_expr::{Expr, TableProviderFilterPushDown, TableType},
    physical_expr::expressions::col,
    physical_plan::{
        ExecutionPlan, coalesce_partitions::CoalescePartitionsExec, projection::ProjectionExec,
        stream::RecordBatchStreamAdapter,
    },
};
use deed_ledger::{Ledger, LedgerError};
use futures::{StreamExt, TryStreamExt};

use crate::{
    scan::scan_by,
    step::{Step, StepExec},
};

/// `aliases` as one query may see it.
pub(crate) struct Aliases {
    ledger: Ledger,
    schema: SchemaRef,
}

/// What can be known of an account without opening its name.
const SEALED: &[&str] = &["tenant", "account", "principal"];

impl Aliases {
    pub(crate) fn new(ledger: Ledger) -> Self {
        let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
        let sealed = SEALED.iter().map(|name| text(name, false));
        let schema =
            Schema::new(sealed.chain([text("alias", false), text("name", true)]).collect::<Vec<_>>());
        Aliases { ledger, schema: Arc::new(schema) }
    }
}

impl fmt::Debug for Aliases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Aliases")
    }
}

impl TableProvider for Aliases {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let sealed =
            |filter: &&Expr| filter.column_refs().iter().all(|column| SEALED.contains(&column.name()));
        Ok(filters
            .iter()
            .map(|filter| {
                if sealed(filter) {
                    TableProviderFilterPushDown::Exact
                } else {
                    TableProviderFilterPushDown::Unsupported
                }
            })
            .collect())
    }

    scan_by!(Aliases);
}

impl Aliases {
    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(state) = state.as_any().downcast_ref::<SessionState>() else {
            return plan_err!("`aliases` needs a session of its own");
        };
        // In the order of leaves: names of one pack are kept together.
        let accounts = "SELECT tenant, key AS account, key AS principal, last_leaf FROM principals";
        let mut accounts = DataFrame::new(state.clone(), state.create_logical_plan(accounts).await?);
        for filter in filters {
            accounts = accounts.filter(filter.clone())?;
        }
        let accounts =
            accounts.sort_by(vec![datafusion::prelude::col("last_leaf")])?.create_physical_plan().await?;
        let (ledger, schema) = (self.ledger.clone(), self.schema.clone());
        let accounts = Arc::new(CoalescePartitionsExec::new(accounts));
        let named = Arc::new(StepExec::over(Names { ledger, schema: schema.clone() }, accounts, schema));
        let Some(projection) = projection else { return Ok(named) };
        let kept = projection.iter().map(|at| {
            let name = self.schema.field(*at).name().clone();
            Ok((col(&name, &self.schema)?, name))
        });
        Ok(Arc::new(ProjectionExec::try_new(kept.collect::<Result<Vec<_>>>()?, named)?))
    }
}

/// Adds to accounts what they are called; accounts without a name that can be opened fall out.
struct Names {
    ledger: Ledger,
    schema: SchemaRef,
}

impl Step for Names {
    fn name(&self) -> &'static str {
        "NamesExec"
    }

    fn run(
        &self,
        accounts: Option<SendableRecordBatchStream>,
        _: usize,
        _: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let Some(accounts) = accounts else { return plan_err!("`aliases` needs accounts") };
        let (ledger, schema) = (self.ledger.clone(), self.schema.clone());
        let named = accounts.and_then(move |batch| {
            let (ledger, schema) = (ledger.clone(), schema.clone());
            async move {
                // Opening names reads the store.
                let opened = tokio::task::spawn_blocking(move || names(&ledger, &batch, schema)).await;
                opened.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), named.boxed())))
    }
}

fn names(ledger: &Ledger, accounts: &RecordBatch, schema: SchemaRef) -> Result<RecordBatch> {
    let storage = |error: LedgerError| DataFusionError::External(Box::new(error));
    let text = |at: usize| accounts.column(at).as_string_view();
    let (tenants, keys, principals) = (text(0), text(1), text(2));
    let leaves = accounts.column(3).as_primitive::<Int64Type>();
    let mut columns: [StringViewBuilder; 5] = Default::default();
    let mut opened: Option<(i64, BTreeMap<String, deed_ledger::Name>)> = None;
    for row in 0..accounts.num_rows() {
        let leaf = leaves.value(row);
        if opened.as_ref().is_none_or(|(of, _)| *of != leaf) {
            let names = ledger.names(leaf.unsigned_abs()).map_err(storage)?;
            opened =
                Some((leaf, names.into_iter().map(|(account, name)| (account.to_string(), name)).collect()));
        }
        let Some(name) = opened.as_ref().and_then(|(_, names)| names.get(keys.value(row))) else { continue };
        let values = [
            Some(tenants.value(row)),
            Some(keys.value(row)),
            Some(principals.value(row)),
            Some(name.key.as_str()),
            name.name.as_deref(),
        ];
        for (column, value) in columns.iter_mut().zip(values) {
            column.append_option(value);
        }
    }
    let columns = columns.into_iter().map(|mut column| Arc::new(column.finish()) as ArrayRef).collect();
    Ok(RecordBatch::try_new(schema, columns)?)
}
