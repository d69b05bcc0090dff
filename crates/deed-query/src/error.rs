//! Why a query was not answered, in words for whoever asked.

use datafusion::{arrow::error::ArrowError, common::DataFusionError, parquet::errors::ParquetError};

use crate::{allowance::TIME_UP, chunks::RowsError};

/// Why a query was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The query is no valid SQL, or names what is not there.
    #[error("{0}")]
    Invalid(String),
    /// The query asks for something that tables do not do here.
    #[error("{0}")]
    Refused(String),
    /// The answer is too long.
    #[error("the answer has more than {limit} rows; add `LIMIT`, a narrower `WHERE`, or aggregate")]
    TooManyRows {
        /// Rows an answer may have.
        limit: usize,
    },
    /// It took too long.
    #[error(
        "the query was stopped after {seconds} s, the most that one may take (`limits.read_seconds` in `deed.toml`); narrow it down, by `time` or `leaf_index` for instance"
    )]
    Timeout {
        /// How long it had.
        seconds: u64,
    },
    /// It needs too much memory or disk.
    #[error(
        "the query needs more than the {megabytes} MiB of memory, or the disk, that queries have; narrow it down or select fewer columns"
    )]
    Memory {
        /// What all queries have together.
        megabytes: usize,
    },
    /// Too many queries run already.
    #[error("{running} queries are running already; try again in a moment")]
    Busy {
        /// How many may run at once.
        running: usize,
    },
    /// The tables cannot be read, or the engine failed: not the query's fault.
    #[error("failed to run the query: {0}")]
    Failed(String),
}

impl QueryError {
    /// Whether another query would be the cure, rather than somebody looking at the store.
    pub fn is_about_the_query(&self) -> bool {
        !matches!(self, QueryError::Busy { .. } | QueryError::Failed(_))
    }

    /// The same, of a query that had `seconds`.
    pub(crate) fn of_seconds(self, seconds: u64) -> Self {
        match self {
            QueryError::Timeout { .. } => QueryError::Timeout { seconds },
            error => error,
        }
    }

    /// What DataFusion says, without its inner life.
    pub(crate) fn from_engine(error: &DataFusionError, megabytes: usize) -> Self {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => QueryError::Memory { megabytes },
            DataFusionError::SQL(error, _) => {
                QueryError::Invalid(first_line(&error.to_string(), &["sql parser error: "]))
            }
            DataFusionError::Plan(message) => {
                // What follows are the attempts, each with its own error.
                let message = message.split(", errors: ").next().unwrap_or(message);
                QueryError::Invalid(first_line(message, &["Internal error: "]))
            }
            DataFusionError::SchemaError(error, _) => {
                QueryError::Invalid(first_line(&error.to_string(), &[]))
            }
            DataFusionError::NotImplemented(message) => QueryError::Refused(first_line(message, &[])),
            // Whoever asked knows how long it had.
            DataFusionError::Execution(message) if message == TIME_UP => QueryError::Timeout { seconds: 0 },
            DataFusionError::Execution(message) => QueryError::Invalid(first_line(message, &[])),
            DataFusionError::ArrowError(error, _) => match &**error {
                ArrowError::ExternalError(error) => from_storage(&**error, megabytes),
                ArrowError::MemoryError(_) => QueryError::Memory { megabytes },
                ArrowError::IoError(message, _) if message.contains("spilling") => {
                    QueryError::Memory { megabytes }
                }
                // A cast or a calculation that a value does not allow.
                error => QueryError::Invalid(first_line(&error.to_string(), &[])),
            },
            DataFusionError::ParquetError(error) => from_parquet(error, megabytes),
            DataFusionError::External(error) => from_storage(&**error, megabytes),
            DataFusionError::ObjectStore(error) => QueryError::Failed(first_line(&deepest(&**error), &[])),
            DataFusionError::Collection(errors) => errors.first().map_or_else(
                || QueryError::Failed("unknown".into()),
                |first| Self::from_engine(first, megabytes),
            ),
            error => QueryError::Failed(first_line(
                &error.to_string(),
                &["Internal error: ", "Configuration error: "],
            )),
        }
    }
}

fn from_storage(error: &(dyn std::error::Error + Send + Sync + 'static), megabytes: usize) -> QueryError {
    if let Some(error) = error.downcast_ref::<RowsError>() {
        return QueryError::Failed(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<DataFusionError>() {
        return QueryError::from_engine(error, megabytes);
    }
    if let Some(error) = error.downcast_ref::<ParquetError>() {
        return from_parquet(error, megabytes);
    }
    QueryError::Failed(first_line(&deepest(error), &[]))
}

fn from_parquet(error: &ParquetError, megabytes: usize) -> QueryError {
    match error {
        ParquetError::External(error) => from_storage(&**error, megabytes),
        error => QueryError::Failed(format!(
            "a Parquet file is damaged ({}); find it with `deed verify`, mend it with `deed rebuild`",
            first_line(&error.to_string(), &["Parquet error: "])
        )),
    }
}

/// What went wrong at the bottom: layers above only say that something did.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// One line, without the words that every message of its kind begins with, of bounded length.
fn first_line(message: &str, prefixes: &[&str]) -> String {
    const LONGEST: usize = 400;
    let mut line = message.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
    for prefix in prefixes {
        line = line.strip_prefix(prefix).unwrap_or(line);
    }
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}
