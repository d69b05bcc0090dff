//! OTLP 1.x receivers: what an exporter sends becomes records, each on its own.
//!
//! A span or log record that cannot be one is counted in `partial_success`; the rest is durable when
//! the answer is given. Sent again, an export adds nothing (D12), so that a client may always retry.

pub(crate) mod grpc;
pub(crate) mod http;
mod status;

pub(crate) use status::Status;

use std::sync::Arc;

use deed_collect::otlp::{Export, Request};
use deed_ledger::AppendError;

use crate::{
    app::App,
    auth::Caller,
    problem::{Kind, Problem},
};

/// How many refused items a partial success describes.
const MOST_DESCRIBED: usize = 5;

/// What became of an export.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    /// Items that were refused.
    pub(crate) rejected: i64,
    /// Why, if any were.
    pub(crate) message: String,
}

/// Records what `decode` gives; runs it on the blocking pool.
///
/// # Errors
/// Nothing was recorded: what was sent cannot be read, or recording is unavailable.
pub(crate) async fn export<R: Export + Send + 'static>(
    app: &App,
    caller: Arc<Caller>,
    decode: impl FnOnce() -> Result<Request<R>, Problem> + Send + 'static,
) -> Result<Exported, Problem> {
    let recorded = app.record(app.seal(false, move |ledger| {
        let items = decode()?.records();
        let total = items.len();
        let mut records = Vec::with_capacity(total);
        let mut refused = Refused::default();
        for item in items {
            match item {
                Ok(record) => records.push(record),
                Err(error) => refused.add(error),
            }
        }
        let pending = ledger.begin_each(records, &caller.sender).map_err(Problem::from)?;
        Ok::<_, Problem>((pending, (refused, total)))
    }));
    let (answers, (mut refused, total)) = recorded.await?;
    for answer in answers {
        match answer {
            Ok(_) => {}
            // A client that tries again loses nothing; one that hears of a partial success must not.
            Err(error @ AppendError::Unavailable(_)) => return Err(error.into()),
            Err(error) => refused.add(error.to_string()),
        }
    }
    app.metrics.rejected(refused.count);
    Ok(Exported {
        rejected: i64::try_from(refused.count).unwrap_or(i64::MAX),
        message: refused.describe(R::ITEM, total),
    })
}

#[derive(Default)]
struct Refused {
    count: u64,
    described: Vec<String>,
}

impl Refused {
    fn add(&mut self, error: String) {
        self.count += 1;
        if self.described.len() < MOST_DESCRIBED {
            self.described.push(error);
        }
    }

    fn describe(&self, item: &str, total: usize) -> String {
        if self.count == 0 {
            return String::new();
        }
        let more = if self.count > self.described.len() as u64 { "; …" } else { "" };
        format!("{} of {total} {item}s were refused: {}{more}", self.count, self.described.join("; "))
    }
}

/// The signals that Deed has no records for.
const OTHER_SIGNALS: &str =
    "metrics are not recorded; set `OTEL_METRICS_EXPORTER=none`, or send them elsewhere";

fn other_signal() -> Problem {
    Problem::new(Kind::NotFound, OTHER_SIGNALS)
}
