//! What Deed's own steps of a plan have in common, so that each says only what it does.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use datafusion::{
    common::{Result, Statistics, stats::Precision, tree_node::TreeNodeRecursion},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, StatisticsArgs,
        execution_plan::{Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions},
    },
};

/// What a step does.
pub(crate) trait Step: Send + Sync + 'static {
    /// Its name in `EXPLAIN`.
    fn name(&self) -> &'static str;

    /// What `EXPLAIN` says besides.
    fn detail(&self) -> String {
        String::new()
    }

    /// How many rows come of a partition, or of all.
    fn rows(&self, _partition: Option<usize>) -> Precision<usize> {
        Precision::Absent
    }

    /// The rows of `partition`, made of those of `input` where there is one.
    fn run(
        &self,
        input: Option<SendableRecordBatchStream>,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream>;
}

/// A step in its place.
#[derive(Clone)]
pub(crate) struct StepExec {
    step: Arc<dyn Step>,
    input: Option<Arc<dyn ExecutionPlan>>,
    distribution: Distribution,
    properties: Arc<PlanProperties>,
}

impl StepExec {
    /// One that makes rows of `schema` out of nothing that is planned here.
    pub(crate) fn source(step: impl Step, schema: SchemaRef, partitions: usize) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        StepExec {
            step: Arc::new(step),
            input: None,
            distribution: Distribution::UnspecifiedDistribution,
            properties: Arc::new(properties),
        }
    }

    /// One that makes rows of `schema` out of all those of `input`.
    pub(crate) fn over(step: impl Step, input: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        // Otherwise an optimiser takes the coalescing away, and all but the first partition with it.
        let distribution = Distribution::SinglePartition;
        StepExec { input: Some(input), distribution, ..Self::source(step, schema, 1) }
    }

    /// One that lets the rows of `input` pass.
    pub(crate) fn along(step: impl Step, input: Arc<dyn ExecutionPlan>) -> Self {
        StepExec {
            step: Arc::new(step),
            properties: input.properties().clone(),
            input: Some(input),
            distribution: Distribution::UnspecifiedDistribution,
        }
    }
}

impl fmt::Debug for StepExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.step.name()).field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for StepExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step.detail().as_str() {
            "" => f.write_str(self.step.name()),
            detail => write!(f, "{}: {detail}", self.step.name()),
        }
    }
}

impl ExecutionPlan for StepExec {
    fn name(&self) -> &str {
        self.step.name()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.input.iter().collect()
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        self.input.iter().map(|_| self.distribution.clone()).collect()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(StepExec { input: children.pop(), ..StepExec::clone(&self) }))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Keep))
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        let known = Statistics::new_unknown(&self.schema());
        Ok(Arc::new(Statistics { num_rows: self.step.rows(args.partition()), ..known }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.input.as_ref().map(|input| input.execute(partition, context.clone())).transpose()?;
        self.step.run(input, partition, context)
    }
}
