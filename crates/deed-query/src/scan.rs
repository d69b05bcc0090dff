//! How a table answers `TableProvider::scan`.
//!
//! What `#[async_trait]` makes of it holds all of `Expr` and `LogicalPlan` in a future with `where` clauses, and the
//! compiler proves such a future to be `Send` anew for each table, which takes longer than all else in this crate. A
//! future of a plain function is proved once (DataFusion's issue 13814).

/// `scan` in an `impl TableProvider for $table`, by an `async fn plan` of `$table` that takes the same arguments.
macro_rules! scan_by {
    ($table:ident) => {
        fn scan<'table, 'session, 'columns, 'filters, 'scan>(
            &'table self,
            state: &'session dyn Session,
            projection: Option<&'columns Vec<usize>>,
            filters: &'filters [Expr],
            limit: Option<usize>,
        ) -> futures::future::BoxFuture<'scan, Result<Arc<dyn ExecutionPlan>>>
        where
            'table: 'scan,
            'session: 'scan,
            'columns: 'scan,
            'filters: 'scan,
            Self: 'scan,
        {
            fn boxed<'scan>(
                table: &'scan $table,
                state: &'scan dyn Session,
                projection: Option<&'scan Vec<usize>>,
                filters: &'scan [Expr],
                limit: Option<usize>,
            ) -> futures::future::BoxFuture<'scan, Result<Arc<dyn ExecutionPlan>>> {
                Box::pin(table.plan(state, projection, filters, limit))
            }
            boxed(self, state, projection, filters, limit)
        }
    };
}

pub(crate) use scan_by;
