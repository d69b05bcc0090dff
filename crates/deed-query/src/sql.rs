//! Running one query: read only, on threads of its own, within limits of time, memory and rows.

use std::{
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    common::DataFusionError,
    execution::{
        SessionState, SessionStateBuilder,
        context::SQLOptions,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::FairSpillPool,
        runtime_env::RuntimeEnvBuilder,
    },
    logical_expr::registry::FunctionRegistry,
    physical_plan::execute_stream,
    prelude::SessionConfig,
    sql::{parser::Statement as AnyStatement, sqlparser::ast::Statement},
};
use deed_ledger::{Ledger, store::Store};
use futures::{Stream, StreamExt, future::BoxFuture};
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Semaphore, mpsc, oneshot},
    task::AbortHandle,
    time::{Instant, Sleep, sleep_until, timeout_at},
};

use crate::{
    Options, QueryError, Tables,
    actions::TopFirst,
    allowance::{Allowance, BATCH},
    catalog::{self, CATALOG, SCHEMA},
    edges,
    findings::Findings,
    functions,
    layers::Layers,
    limits::{STACK, Size, check_names, check_text},
    object::ReadOnly,
    records::{STORE_URL, View},
};

/// Memory for the footers of Parquet files, in bytes.
const FOOTERS: usize = 64 << 20;

/// Who asks, and what the answer may cost.
#[derive(Clone, Debug)]
pub struct SqlOptions {
    /// Shows rows of this tenant only.
    pub tenant: Option<String>,
    /// How long the query may take until its last row is there.
    pub timeout: Duration,
    /// Rows an answer may have.
    pub rows: usize,
    /// What the table `findings` has; nothing without.
    pub findings: Option<Arc<dyn Findings>>,
}

impl Default for SqlOptions {
    fn default() -> Self {
        SqlOptions { tenant: None, timeout: Duration::from_secs(30), rows: 1_000_000, findings: None }
    }
}

impl Tables {
    /// Answers one `SELECT` (or `SHOW TABLES`, `DESCRIBE`, `EXPLAIN`). The answer sees the ledger as it
    /// is when the query begins, and nothing that comes later.
    ///
    /// Runs on threads of its own; the caller's must be those of a tokio runtime with a clock.
    ///
    /// # Errors
    /// Why there is no answer. Further errors come in place of rows.
    pub async fn sql(&self, query: &str, options: &SqlOptions) -> Result<Rows, QueryError> {
        let deadline = Instant::now() + options.timeout;
        let late = || QueryError::Timeout { seconds: options.timeout.as_secs() };
        check_text(query)?;
        let engine = &self.engine;
        let permit = timeout_at(deadline, engine.turns.clone().acquire_owned());
        let permit = permit.await.map_err(|_| QueryError::Busy { running: engine.concurrent })?;
        let permit = permit.map_err(|_| QueryError::Failed("the tables are closed".into()))?;
        let (schema, answered) = oneshot::channel();
        let (batches, rows) = mpsc::channel(2);
        let run = Run {
            view: Arc::new(self.state.view()),
            ledger: self.state.ledger.clone(),
            tenant: options.tenant.clone(),
            query: query.to_owned(),
            rows: options.rows,
            findings: options.findings.clone(),
            deadline: deadline.into_std(),
            megabytes: engine.megabytes,
        };
        let run = engine.session.run(run, schema, batches);
        let task = engine.spawn(async move {
            run.await;
            drop(permit);
        })?;
        let mut rows = Rows {
            schema: Arc::new(arrow::datatypes::Schema::empty()),
            batches: rows,
            deadline: Box::pin(sleep_until(deadline)),
            seconds: options.timeout.as_secs(),
            task: task.clone(),
        };
        match timeout_at(deadline, answered).await {
            Err(_) => Err(late()),
            // The task ended without a word: it panicked, or the engine was closed.
            Ok(Err(_)) => Err(QueryError::Failed("the query engine stopped".into())),
            Ok(Ok(answer)) => {
                rows.schema = answer.map_err(|error| error.of_seconds(rows.seconds))?;
                Ok(rows)
            }
        }
    }
}

/// The rows of an answer, as they come. Dropping it stops the query.
#[derive(Debug)]
pub struct Rows {
    schema: SchemaRef,
    batches: mpsc::Receiver<Result<RecordBatch, QueryError>>,
    deadline: Pin<Box<Sleep>>,
    seconds: u64,
    task: AbortHandle,
}

impl Rows {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// All rows.
    ///
    /// # Errors
    /// That of the stream.
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut all = Vec::new();
        while let Some(batch) = self.next().await {
            all.push(batch?);
        }
        Ok(all)
    }
}

impl Stream for Rows {
    type Item = Result<RecordBatch, QueryError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(batch) = self.batches.poll_recv(context) {
            return Poll::Ready(batch.map(|batch| batch.map_err(|error| error.of_seconds(self.seconds))));
        }
        // Watched here and not on the query's threads, which may be busy.
        if self.deadline.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.task.abort();
        self.batches.close();
        while self.batches.try_recv().is_ok() {}
        Poll::Ready(Some(Err(QueryError::Timeout { seconds: self.seconds })))
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all queries share.
pub(crate) struct Engine {
    runtime: Mutex<Option<Runtime>>,
    session: Box<dyn Session>,
    turns: Arc<Semaphore>,
    concurrent: usize,
    megabytes: usize,
}

impl Engine {
    /// Starts the threads that run queries.
    pub(crate) fn new(options: &Options, store: Arc<dyn Store>, spill: &Path) -> Result<Self, QueryError> {
        let megabytes = options.memory >> 20;
        let failed = |error: DataFusionError| QueryError::from_engine(&error, megabytes);
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![spill.to_owned()]))
            .with_max_temp_directory_size(options.spill);
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(options.memory)))
            .with_disk_manager_builder(disk)
            .with_metadata_cache_limit(FOOTERS)
            .build_arc()
            .map_err(failed)?;
        let url = datafusion::execution::object_store::ObjectStoreUrl::parse(STORE_URL).map_err(failed)?;
        environment.register_object_store(url.as_ref(), Arc::new(ReadOnly(store)));
        let mut state = SessionStateBuilder::new()
            .with_config(config(cores.min(8)))
            .with_runtime_env(environment)
            .with_default_features()
            .with_table_functions(Default::default())
            .with_table_factories(Default::default())
            .with_file_formats(Vec::new())
            .with_scalar_functions(functions::scalar())
            .with_higher_order_functions(Vec::new())
            .with_analyzer_rule(Arc::new(Layers))
            .with_optimizer_rule(Arc::new(TopFirst))
            .build();
        state.register_function_rewrite(Arc::new(functions::Guard)).map_err(failed)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(cores.max(2))
            .max_blocking_threads(cores * 4)
            .thread_name("sql")
            .thread_stack_size(STACK)
            .enable_time()
            .build()
            .map_err(|error| QueryError::Failed(format!("failed to start threads: {error}")))?;
        let concurrent = options.concurrent.max(1);
        Ok(Engine {
            runtime: Mutex::new(Some(runtime)),
            session: Box::new(state),
            turns: Arc::new(Semaphore::new(concurrent)),
            concurrent,
            megabytes,
        })
    }

    /// Ends every query.
    pub(crate) fn close(&self) {
        self.turns.close();
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            runtime.shutdown_background();
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> Result<AbortHandle, QueryError> {
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = runtime.as_ref().ok_or_else(|| QueryError::Failed("the tables are closed".into()))?;
        Ok(runtime.spawn(task).abort_handle())
    }
}

impl Drop for Engine {
    // A runtime must not be dropped by a thread of another one.
    fn drop(&mut self) {
        self.close();
    }
}

fn config(partitions: usize) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(partitions)
        .with_batch_size(BATCH)
        .with_information_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false);
    let options = config.options_mut();
    options.execution.enable_recursive_ctes = false;
    // Most queries want few of the rows and many of the columns.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    config
}

/// What every query begins with. Whoever holds tables need not be shown to the compiler as holding all of DataFusion: that
/// they may be sent between threads is then proved here alone (see [`scan`](crate::scan)).
trait Session: Send + Sync {
    /// Runs a query to its end: its columns, or why there are none, then its rows.
    fn run(
        &self,
        run: Run,
        schema: oneshot::Sender<Result<SchemaRef, QueryError>>,
        batches: mpsc::Sender<Result<RecordBatch, QueryError>>,
    ) -> BoxFuture<'static, ()>;
}

impl Session for SessionState {
    fn run(
        &self,
        run: Run,
        schema: oneshot::Sender<Result<SchemaRef, QueryError>>,
        batches: mpsc::Sender<Result<RecordBatch, QueryError>>,
    ) -> BoxFuture<'static, ()> {
        Box::pin(run.run(self.clone(), schema, batches))
    }
}

/// One query on its way.
struct Run {
    view: Arc<View>,
    ledger: Ledger,
    tenant: Option<String>,
    query: String,
    rows: usize,
    findings: Option<Arc<dyn Findings>>,
    deadline: std::time::Instant,
    megabytes: usize,
}

impl Run {
    async fn run(
        self,
        state: SessionState,
        schema: oneshot::Sender<Result<SchemaRef, QueryError>>,
        batches: mpsc::Sender<Result<RecordBatch, QueryError>>,
    ) {
        let (limit, megabytes) = (self.rows, self.megabytes);
        let mut stream = match self.begin(state).await {
            Ok(stream) => stream,
            Err(error) => {
                // Nobody may be waiting any more.
                let _unheard = schema.send(Err(error));
                return;
            }
        };
        let _unheard = schema.send(Ok(stream.schema()));
        let mut left = limit;
        while let Some(batch) = stream.next().await {
            let answer = match batch {
                Ok(batch) if batch.num_rows() <= left => {
                    left -= batch.num_rows();
                    Ok(batch)
                }
                Ok(_) => Err(QueryError::TooManyRows { limit }),
                Err(error) => Err(QueryError::from_engine(&error, megabytes)),
            };
            let failed = answer.is_err();
            if batches.send(answer).await.is_err() || failed {
                return;
            }
        }
    }

    async fn begin(
        self,
        state: SessionState,
    ) -> Result<datafusion::execution::SendableRecordBatchStream, QueryError> {
        let failed = |error: DataFusionError| QueryError::from_engine(&error, self.megabytes);
        let statement = state
            .sql_to_statement(&self.query, &state.config_options().sql_parser.dialect)
            .map_err(failed)?;
        check(&statement, self.tenant.is_some())?;
        let mut state = catalog::session(&state, self.view, self.ledger, self.tenant, self.findings);
        let plan = state.statement_to_plan(statement).await.map_err(failed)?;
        // A second look, at what the statement became.
        let read_only =
            SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        read_only.verify_plan(&plan).map_err(failed)?;
        let size = Size::of(&plan).map_err(failed)?;
        size.check()?;
        Allowance::give(&mut state, self.deadline, size.sharing);
        // Functions see the options as they are now, and the time that it is.
        state.mark_start_execution();
        let plan = state.optimize(&plan).map_err(failed)?;
        // What was one value before may now stand in many places.
        Size::of(&plan).map_err(failed)?.check()?;
        let physical = state.query_planner().create_physical_plan(&plan, &state).await.map_err(failed)?;
        let watched = edges::watched(physical).map_err(failed)?;
        execute_stream(watched, state.task_ctx()).map_err(failed)
    }
}

/// Lets through what reads.
fn check(statement: &AnyStatement, tenant: bool) -> Result<(), QueryError> {
    let refused = |what: &str| {
        Err(QueryError::Refused(format!(
            "{what} is not possible: the tables can only be read, with `SELECT`, `SHOW TABLES`, `DESCRIBE` or `EXPLAIN`"
        )))
    };
    match statement {
        AnyStatement::Statement(statement) => match &**statement {
            Statement::Query(query) => check_names(query),
            Statement::ShowTables { .. } | Statement::ShowColumns { .. } | Statement::ExplainTable { .. } => {
                Ok(())
            }
            other => refused(&first_word(&other.to_string())),
        },
        // Plans show how much there is of what others may see.
        AnyStatement::Explain(_) if tenant => {
            Err(QueryError::Refused("`EXPLAIN` is for those who may see every tenant".into()))
        }
        AnyStatement::Explain(explain) => check(&explain.statement, tenant),
        AnyStatement::CreateExternalTable(_) => refused("`CREATE EXTERNAL TABLE`"),
        AnyStatement::CopyTo(_) => refused("`COPY`"),
        AnyStatement::Reset(_) => refused("`RESET`"),
    }
}

fn first_word(statement: &str) -> String {
    format!("`{}`", statement.split_whitespace().next().unwrap_or_default())
}
