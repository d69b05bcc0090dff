//! The table `actions`: intents and observations, each with how it ended.
//!
//! An action is an intent, or an observation that belongs to none. How it ended is said by an outcome, by
//! a later observation or by itself: what is real wins over `unknown`, an outcome over an observation,
//! the later over the earlier. That does not depend on the order in which records arrived (D6).

use std::{collections::BTreeSet, fmt, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Result, plan_err, tree_node::Transformed},
    dataframe::DataFrame,
    datasource::{provider_as_source, source_as_provider},
    execution::SessionState,
    logical_expr::{
        Expr, JoinType, LogicalPlan, SortExpr, TableProviderFilterPushDown, TableType,
        logical_plan::{Sort, TableScan},
    },
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule},
    physical_plan::ExecutionPlan,
};
use deed_ledger::Ledger;

use crate::{columns::schema, outcomes::Outcomes, records::Records, scan::scan_by};

/// What an action has from the record that says how it ended.
pub(crate) const OUTCOME: &[&str] =
    &["outcome_status", "outcome_code", "duration_ms", "outcome_leaf_index", "retry_of", "compensates"];

/// What outcomes are found by and weighed with.
pub(crate) const KEYS: &[&str] = &["id", "tenant", "kind", "time"];

/// Up to this many outcomes are kept in memory to be joined; more are sorted, on disk if need be.
const IN_MEMORY: u64 = 500_000;

/// `actions` as one query may see it.
#[derive(Clone)]
pub(crate) struct Actions {
    records: Arc<Records>,
    ledger: Ledger,
    /// Only the first of these are wanted.
    top: Option<(Vec<SortExpr>, usize)>,
}

impl Actions {
    pub(crate) fn new(records: Arc<Records>, ledger: Ledger) -> Self {
        Actions { records, ledger, top: None }
    }
}

impl fmt::Debug for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Actions").field("records", &self.records).field("top", &self.top).finish()
    }
}

impl TableProvider for Actions {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let early = |filter: &&Expr| {
            if is_early(filter) {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(early).collect())
    }

    scan_by!(Actions);
}

impl Actions {
    async fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(state) = state.as_any().downcast_ref::<SessionState>() else {
            return plan_err!("`actions` needs a session of its own");
        };
        let wanted = match projection {
            Some(projection) => Arc::new(schema().project(projection)?),
            None => schema(),
        };
        let plan = Plan { actions: self, wanted, filters, limit };
        if plan.wanted.fields().iter().all(|field| !OUTCOME.contains(&field.name().as_str())) {
            let actions = plan.actions(state, Vec::new()).await?;
            return actions.select(plan.columns())?.create_physical_plan().await;
        }
        let few = plan.actions(state, [KEYS, OUTCOME].concat()).await?.create_physical_plan().await?;
        let many = plan.joined(state).await?.create_physical_plan().await?;
        let (records, ledger) = (self.records.clone(), self.ledger.clone());
        Ok(Arc::new(Outcomes::step(records, ledger, few, many, plan.wanted)))
    }
}

/// Whether a filter is about the action itself, and not about how it ended.
fn is_early(filter: &Expr) -> bool {
    filter.column_refs().iter().all(|column| !OUTCOME.contains(&column.name()))
}

/// One scan.
struct Plan<'s> {
    actions: &'s Actions,
    wanted: Arc<Schema>,
    filters: &'s [Expr],
    limit: Option<usize>,
}

impl Plan<'_> {
    fn columns(&self) -> Vec<Expr> {
        self.wanted.fields().iter().map(|field| datafusion::prelude::ident(field.name())).collect()
    }

    /// The columns that the actions themselves need: what is wanted, `more`, and what they are chosen by.
    fn columns_below(&self, more: &[&str]) -> Vec<String> {
        let wanted = self.wanted.fields().iter().map(|field| field.name().as_str());
        let mut names: BTreeSet<_> = wanted.chain(more.iter().copied()).chain(["id", "tenant"]).collect();
        let sorted = self.actions.top.iter().flat_map(|(order, _)| order).map(|sort| &sort.expr);
        for expr in self.filters.iter().chain(sorted) {
            names.extend(expr.column_refs().into_iter().map(|column| column.name()));
        }
        names.into_iter().map(|name| format!("\"{name}\"")).collect()
    }

    /// The actions themselves: the columns that are wanted, and `more`.
    async fn actions(&self, state: &SessionState, more: Vec<&str>) -> Result<DataFrame> {
        let state = with_joins(state, true);
        // What was observed again is not another action: neither a copy of the event with other bytes,
        // nor an observation that was corrected since.
        // Columns that nobody wants would all be planned, again and again.
        let columns = self.columns_below(&more).join(", ");
        let own = format!(
            "SELECT a.* FROM (SELECT supersedes, tenant FROM records WHERE supersedes IS NOT NULL) s
             RIGHT ANTI JOIN (SELECT {columns} FROM records
                              WHERE kind IN ('intent', 'observation') AND action IS NULL AND conflicts_with IS NULL) a
             ON s.supersedes = a.id AND s.tenant = a.tenant"
        );
        let plan = state.create_logical_plan(&own).await?;
        let mut actions = DataFrame::new(state, plan);
        for filter in self.filters {
            actions = actions.filter(filter.clone())?;
        }
        if let Some((order, limit)) = &self.actions.top {
            actions = actions.sort(order.clone())?.limit(0, Some(*limit))?;
        }
        if self.limit.is_some() {
            actions = actions.limit(0, self.limit)?;
        }
        let mut columns = self.columns();
        for name in more {
            if self.wanted.index_of(name).is_err() {
                columns.push(datafusion::prelude::ident(name));
            }
        }
        actions.select(columns)
    }

    /// Every action with its outcome, by a join.
    async fn joined(&self, state: &SessionState) -> Result<DataFrame> {
        let manifest = &self.actions.records.view.manifest;
        let (view, outcomes) =
            (&self.actions.records.view, manifest.files.iter().map(|file| file.outcomes).sum::<u64>());
        let state = with_joins(state, outcomes + view.size.saturating_sub(manifest.rows) <= IN_MEMORY);
        let best = "SELECT tenant AS o_tenant, action AS o_action, kind AS o_kind, time AS o_time, id AS o_id,
                           outcome_status AS o_outcome_status, outcome_code AS o_outcome_code, duration_ms AS o_duration_ms,
                           outcome_leaf_index AS o_outcome_leaf_index, retry_of AS o_retry_of, compensates AS o_compensates
                    FROM (SELECT tenant, action, kind, time, id, outcome_status, outcome_code, duration_ms,
                                 outcome_leaf_index, retry_of, compensates,
                                 row_number() OVER (PARTITION BY tenant, action
                                                       ORDER BY outcome_status <> 'unknown' DESC, kind = 'outcome' DESC, time DESC, id DESC) AS n
                          FROM records
                          WHERE kind IN ('outcome', 'observation') AND action IS NOT NULL AND outcome_status IS NOT NULL)
                    WHERE n = 1";
        let best = DataFrame::new(state.clone(), state.create_logical_plan(best).await?);
        let actions = self.actions(&state, [KEYS, OUTCOME].concat()).await?;
        let joined =
            best.join(actions, JoinType::Right, &["o_action", "o_tenant"], &["id", "tenant"], None)?;
        let wins = joined.parse_sql_expr(
            "o_outcome_status IS NOT NULL AND (outcome_status IS NULL
               OR (outcome_status = 'unknown' AND o_outcome_status <> 'unknown')
               OR ((outcome_status = 'unknown') = (o_outcome_status = 'unknown')
                   AND (o_kind = 'outcome' OR o_time > time OR (o_time = time AND o_id > id))))",
        )?;
        let columns = self.wanted.fields().iter().map(|field| {
            let own = datafusion::prelude::ident(field.name());
            if !OUTCOME.contains(&field.name().as_str()) {
                return Ok(own);
            }
            let other = datafusion::prelude::ident(format!("o_{}", field.name()));
            Ok(datafusion::prelude::when(wins.clone(), other).otherwise(own)?.alias(field.name()))
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        joined.select(columns)
    }
}

/// The session with joins as they are written: what is on the left is small, or both are sorted.
fn with_joins(state: &SessionState, hash: bool) -> SessionState {
    let mut state = state.clone();
    let options = state.config_mut().options_mut();
    options.optimizer.join_reordering = false;
    options.optimizer.prefer_hash_join = hash;
    state
}

/// Of a sorted and limited selection of actions only the first are joined with their outcomes.
#[derive(Debug)]
pub(crate) struct TopFirst;

impl OptimizerRule for TopFirst {
    fn name(&self) -> &str {
        "top_actions_first"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Sort(Sort { expr, input, fetch: Some(limit) }) = plan else {
            return Ok(Transformed::no(plan));
        };
        let order = expr.clone();
        let topped = top(Arc::unwrap_or_clone(input), order, limit)?;
        Ok(topped.update_data(|input| {
            LogicalPlan::Sort(Sort { expr, input: Arc::new(input), fetch: Some(limit) })
        }))
    }
}

/// Tells the scan of `actions` below `plan`, if there is nothing but columns between, what is wanted.
fn top(plan: LogicalPlan, order: Vec<SortExpr>, limit: usize) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(mut projection) => {
            let mut below = Vec::with_capacity(order.len());
            for mut sort in order {
                // Where the projection calculates a column, sorting waits for it.
                let Some(expr) = through(&projection, &sort.expr) else {
                    return Ok(Transformed::no(LogicalPlan::Projection(projection)));
                };
                sort.expr = expr;
                below.push(sort);
            }
            let input = top(LogicalPlan::clone(&projection.input), below, limit)?;
            Ok(input.update_data(|input| {
                projection.input = Arc::new(input);
                LogicalPlan::Projection(projection)
            }))
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            // Names change here; the unqualified ones do not.
            let input = top(LogicalPlan::clone(&alias.input), order, limit)?;
            Ok(input.update_data(|input| {
                alias.input = Arc::new(input);
                LogicalPlan::SubqueryAlias(alias)
            }))
        }
        LogicalPlan::TableScan(scan) => Ok(topped(&scan, order, limit)
            .map_or_else(|| Transformed::no(LogicalPlan::TableScan(scan)), Transformed::yes)),
        other => Ok(Transformed::no(other)),
    }
}

fn through(projection: &datafusion::logical_expr::Projection, expr: &Expr) -> Option<Expr> {
    let Expr::Column(column) = expr else { return None };
    let at = projection.schema.maybe_index_of_column(column)?;
    match projection.expr.get(at)?.clone().unalias() {
        Expr::Column(column) => Some(Expr::Column(column)),
        _ => None,
    }
}

fn topped(scan: &TableScan, order: Vec<SortExpr>, limit: usize) -> Option<LogicalPlan> {
    let provider = source_as_provider(&scan.source).ok()?;
    let actions = provider.downcast_ref::<Actions>().filter(|actions| actions.top.is_none())?;
    let mut own = Vec::with_capacity(order.len());
    for mut sort in order {
        let Expr::Column(column) = &sort.expr else { return None };
        if OUTCOME.contains(&column.name.as_str()) || schema().index_of(&column.name).is_err() {
            return None;
        }
        sort.expr = datafusion::prelude::ident(&column.name);
        own.push(sort);
    }
    let mut scan = scan.clone();
    scan.source = provider_as_source(Arc::new(Actions { top: Some((own, limit)), ..actions.clone() }));
    Some(LogicalPlan::TableScan(scan))
}
