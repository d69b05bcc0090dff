//! Figures over actions, by SQL.

#[cfg(feature = "sql")]
use deed_query::{Format, Formatter, SqlOptions};
use deed_record::{Account, Timestamp};
#[cfg(feature = "sql")]
use serde::de::DeserializeOwned;

use super::ReportQuery;
use crate::{
    app::App,
    problem::{Kind, Problem},
};

/// The system whose log tells of a record; `deed` where Deed itself does; else who sent it.
pub(super) const SYSTEM: &str = "CASE WHEN basis = 'enforced' THEN 'deed' WHEN source_system IS NOT NULL THEN source_system ELSE submitter END";
/// Accounts that a query may list; what it may hold in quotes is bounded.
pub(super) const MOST_LISTED: usize = 300;

/// The rows of a query.
///
/// # Errors
/// It cannot be answered, or not in time.
#[cfg(feature = "sql")]
pub(super) async fn rows<T: DeserializeOwned>(
    app: &App,
    asked: &ReportQuery,
    query: &str,
) -> Result<Vec<T>, Problem> {
    let options =
        SqlOptions { tenant: asked.tenant.clone(), timeout: app.limits.read, ..SqlOptions::default() };
    let rows = app.engine.tables().sql(query, &options).await?;
    let schema = rows.schema().clone();
    let batches = rows.collect().await?;
    let mut text = Vec::new();
    let mut formatter = Formatter::new(Format::Json, &schema, &mut text, None)?;
    batches.iter().try_for_each(|batch| formatter.write(batch))?;
    formatter.finish()?;
    serde_json::from_slice(&text).map_err(|error| {
        Problem::new(Kind::Internal, format!("rows of a report are not as expected: {error}"))
    })
}

/// What stands in for SQL where it was left out.
///
/// # Errors
/// Always that.
#[cfg(not(feature = "sql"))]
pub(super) async fn rows<T>(_: &App, _: &ReportQuery, _: &str) -> Result<Vec<T>, Problem> {
    let why = "this report needs SQL, which this build leaves out; `cargo build --release -p deed` makes one that has it";
    Err(Problem::new(Kind::NotBuilt, why))
}

/// What is covered, as a condition that is true of everything where nothing was said.
pub(super) fn when(asked: &ReportQuery) -> String {
    let mut condition = "true".to_owned();
    for (sign, time) in [(">=", asked.since), ("<", asked.until)] {
        if let Some(time) = time {
            condition.push_str(&format!(" AND time {sign} {}", moment(time)));
        }
    }
    condition
}

/// A time as SQL has it.
pub(super) fn moment(time: Timestamp) -> String {
    format!("TIMESTAMP '{time}'")
}

/// A list of texts, in parentheses; one that holds the empty text alone where it is empty.
pub(super) fn texts<'t>(texts: impl Iterator<Item = &'t String>) -> String {
    let words: Vec<String> = texts.map(|text| format!("'{}'", text.replace('\'', "''"))).collect();
    if words.is_empty() { "('')".to_owned() } else { format!("({})", words.join(", ")) }
}

/// A list of accounts, in parentheses; one that holds nobody where it is empty.
pub(super) fn list(accounts: &[Account]) -> String {
    let words: Vec<String> =
        accounts.iter().take(MOST_LISTED).map(|account| format!("'{account}'")).collect();
    if words.is_empty() { "('')".to_owned() } else { format!("({})", words.join(", ")) }
}
