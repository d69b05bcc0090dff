//! Rows on their way to a client.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use deed_query::{Format, FormatError, Formatter, QueryError, Rows, SqlOptions};
use futures::StreamExt;
use tokio::{runtime::Handle, sync::mpsc, task::spawn_blocking, time::timeout};

use super::Query;
use crate::{
    api::{chunks::Chunks, with_type},
    app::App,
    findings::Table,
    problem::{Kind, Problem},
};

/// What is sent at a time, in bytes. An error that comes before the first is a status of its own; after
/// it the answer breaks off, so that nobody takes a part for the whole.
const CHUNK: usize = 256 << 10;
/// A client that takes nothing for so long is given up: its query holds a place that others want.
const STALLED: Duration = Duration::from_secs(30);

pub(super) async fn answer(app: &App, query: Query) -> Result<Response, Problem> {
    let format = match &query.format {
        Some(name) => name
            .parse::<Format>()
            .map_err(|error| Problem::new(Kind::BadRequest, format!("format: {error}")))?,
        None => Format::Json,
    };
    let options = SqlOptions {
        tenant: query.tenant,
        timeout: app.limits.read,
        findings: Some(Arc::new(Table(app.engine.clone()))),
        ..SqlOptions::default()
    };
    let rows = app.engine.tables().sql(&query.query, &options).await?;
    let (chunks, mut rest) = mpsc::channel(2);
    let runtime = Handle::current();
    // Its end is heard by the end of its chunks.
    drop(spawn_blocking(move || {
        if let Err(problem) = write(rows, format, &runtime, &chunks) {
            let _unheard = runtime.block_on(chunks.send(Err(problem)));
        }
    }));
    let first = match rest.recv().await {
        Some(first) => first?,
        None => Bytes::new(),
    };
    Ok(with_type(Body::new(Chunks::new(first, rest)), format.media_type()))
}

/// Writes `rows` in `format`, on a thread that may block.
fn write(
    mut rows: Rows,
    format: Format,
    runtime: &Handle,
    chunks: &mpsc::Sender<Result<Bytes, Problem>>,
) -> Result<(), Problem> {
    let written = Buffer::default();
    let send = |least: usize| match written.take(least) {
        Some(chunk) => match runtime.block_on(timeout(STALLED, chunks.send(Ok(chunk)))) {
            Ok(Ok(())) => Ok(()),
            // Nobody hears this.
            _ => Err(Problem::new(Kind::Busy, "the client stopped reading")),
        },
        None => Ok(()),
    };
    let mut formatter = Formatter::new(format, rows.schema(), written.clone(), None)?;
    while let Some(batch) = runtime.block_on(rows.next()) {
        formatter.write(&batch?)?;
        send(CHUNK)?;
    }
    formatter.finish()?;
    send(1)
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        let kind = match error {
            QueryError::Busy { .. } => Kind::Busy,
            _ if error.is_about_the_query() => Kind::Query,
            _ => Kind::Internal,
        };
        if kind == Kind::Internal {
            tracing::error!(%error, "a query failed");
        }
        Problem::new(kind, error.to_string())
    }
}

impl From<FormatError> for Problem {
    fn from(error: FormatError) -> Self {
        Problem::new(Kind::Query, error.to_string())
    }
}

/// What the formatter wrote and nobody took yet.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// Everything, if it is at least so many bytes.
    fn take(&self, least: usize) -> Option<Bytes> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (bytes.len() >= least).then(|| std::mem::take(&mut *bytes).into())
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
