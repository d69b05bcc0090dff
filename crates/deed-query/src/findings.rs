//! The table `findings`: rows that somebody else keeps, asked for when a query names the table.

use std::{fmt, sync::Arc};

use arrow::{
    array::{
        ArrayRef, ListBuilder, RecordBatch, StringBuilder, StringViewBuilder, TimestampMicrosecondBuilder,
    },
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
};
use datafusion::{
    catalog::TableProvider,
    common::{DataFusionError, Result},
    datasource::MemTable,
};
use deed_record::{Account, RecordId, Timestamp};

/// A finding, as a row of the table.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule.
    pub rule: String,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// When what it is about happened.
    pub time: Timestamp,
    /// Whose it is.
    pub tenant: String,
    /// The action that it is about; of a finding about an identity, the record that shows it best.
    pub action: RecordId,
    /// Account of who acted, or whom it is about.
    pub principal: Option<Account>,
    /// Why.
    pub reason: String,
    /// The controls that it bears on.
    pub controls: Vec<String>,
    /// The record by which it is suppressed, while it is.
    pub suppressed_by: Option<RecordId>,
}

/// Who knows what was found.
pub trait Findings: fmt::Debug + Send + Sync {
    /// Everything that was found up to now in what belongs to `tenant`, or to anybody. Called on a thread that may wait.
    ///
    /// # Errors
    /// Why it cannot be told now, for who asked.
    fn all(&self, tenant: Option<&str>) -> Result<Vec<Finding>, String>;
}

/// The table, as `tenant` may see it; without `known` it is empty.
pub(crate) async fn table(
    known: Option<Arc<dyn Findings>>,
    tenant: Option<String>,
) -> Result<Arc<dyn TableProvider>> {
    let asked = tokio::task::spawn_blocking(move || known.map(|known| known.all(tenant.as_deref()))).await;
    let found = asked.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
    let found = found.transpose().map_err(DataFusionError::Execution)?.unwrap_or_default();
    Ok(Arc::new(MemTable::try_new(schema(), vec![vec![rows(&found)?]])?))
}

fn schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8View, nullable);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("rule", false),
        text("severity", false),
        Field::new("time", time, false),
        text("tenant", false),
        text("action_id", false),
        text("principal", true),
        text("reason", false),
        Field::new("controls", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), false),
        text("suppressed_by", true),
    ]))
}

fn rows(found: &[Finding]) -> Result<RecordBatch> {
    let text = |of: &dyn Fn(&Finding) -> Option<String>| {
        let mut column = StringViewBuilder::new();
        found.iter().for_each(|finding| column.append_option(of(finding)));
        Arc::new(column.finish()) as ArrayRef
    };
    let mut times = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut controls = ListBuilder::new(StringBuilder::new());
    for finding in found {
        times.append_value(finding.time.0);
        finding.controls.iter().for_each(|control| controls.values().append_value(control));
        controls.append(true);
    }
    Ok(RecordBatch::try_new(
        schema(),
        vec![
            text(&|finding| Some(finding.rule.clone())),
            text(&|finding| Some(finding.severity.clone())),
            Arc::new(times.finish()),
            text(&|finding| Some(finding.tenant.clone())),
            text(&|finding| Some(finding.action.to_string())),
            text(&|finding| finding.principal.map(|account| account.to_string())),
            text(&|finding| Some(finding.reason.clone())),
            Arc::new(controls.finish()),
            text(&|finding| finding.suppressed_by.map(|id| id.to_string())),
        ],
    )?)
}
