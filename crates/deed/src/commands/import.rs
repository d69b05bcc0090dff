//! `deed import`: other systems' logs, however many, however large, however broken.
//!
//! A thread of its own reads and maps; batches go to the server a few at a time. Nothing but those
//! batches and what is told about skipped files is held.

mod reading;
mod summary;

use std::{sync::Arc, time::Instant};

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

use crate::{
    access::{Access, Need},
    cli::{Global, Import},
    commands::records::{Sent, send_each},
    exit::{Code, Failure, Outcome},
    hint::Hint,
    output::Output,
    progress::Progress,
    stop::Stop,
};
use reading::{Batch, Read};
use summary::Summary;

/// Batches that are on their way at a time.
const UNDER_WAY: usize = 3;

/// A batch and what became of each of its records.
type Answered = (Arc<Batch>, Vec<Sent>);

pub(crate) async fn run(global: &Global, import: Import, output: Output, stop: &Stop) -> Outcome {
    let access = Access::open(global, Need::Make)?;
    let hint = Hint::of(global);
    access.finish(import_all(&access, import, &hint, output, stop).await).await
}

async fn import_all(access: &Access, import: Import, hint: &Hint, output: Output, stop: &Stop) -> Outcome {
    let mut summary = Summary::begin(import.source.as_str(), output)?;
    let started = Instant::now();
    let result = pump(access, &import, &mut summary, stop).await;
    let failure = result.err();
    summary.finish(started.elapsed(), &import.paths, hint, failure.is_some() || stop.is_asked())?;
    match failure {
        Some(failure) => Err(failure
            .doing("import")
            .detail("what was recorded stays; run it again to go on, nothing is recorded twice")),
        None if stop.is_asked() => Err(Failure::new("interrupted")
            .detail("what was recorded stays; run it again to go on, nothing is recorded twice")),
        None if summary.accepted() == 0 => Err(Failure::silent(Code::Failed)),
        None => Ok(()),
    }
}

/// Moves everything from the files to the server.
async fn pump(access: &Access, import: &Import, summary: &mut Summary, stop: &Stop) -> Outcome {
    let (found, mut reads) = mpsc::channel(2);
    let (source, paths, asked) = (import.source, import.paths.clone(), stop.clone());
    let reader = std::thread::spawn(move || reading::read_all(source, &paths, &asked, &found));
    let progress = Progress::spinner();
    let mut under_way: JoinSet<Result<Answered, Failure>> = JoinSet::new();
    loop {
        let read = tokio::select! {
            // What was sent is looked at first, so that no more is read than is taken.
            biased;
            Some(done) = under_way.join_next() => {
                take(summary, done)?;
                progress.tell(|| summary.line());
                continue;
            }
            () = stop.asked() => break,
            read = reads.recv(), if under_way.len() < UNDER_WAY => read,
        };
        match read {
            Some(Read::Batch(batch)) => {
                let (access, batch, again) = (access.clone(), Arc::new(batch), import.again);
                under_way.spawn(async move {
                    let sent = send_each(&access, &batch.texts(), again).await?;
                    Ok((batch, sent))
                });
            }
            Some(Read::Rejected(rejected)) => summary.rejected(rejected)?,
            Some(Read::Skipped(path, why)) => summary.skipped(path, why),
            Some(Read::File(source)) => summary.file(source),
            None => break,
        }
    }
    while let Some(done) = under_way.join_next().await {
        take(summary, done)?;
    }
    // A reader that was told to stop may hang on a pipe; it ends with the process.
    if stop.is_asked() { Ok(()) } else { reader.join().map_err(|_| Failure::new("the reading thread died")) }
}

type Done = Result<Result<Answered, Failure>, JoinError>;

fn take(summary: &mut Summary, done: Done) -> Outcome {
    let (batch, sent) = done.map_err(|error| Failure::new(error.to_string()))??;
    summary.sent(&batch, sent)
}

/// Where an event stood.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// The file, as messages call it.
    pub(crate) file: Arc<str>,
    /// Its line, from 1; 0 where there are none.
    pub(crate) line: u64,
}

/// An event that was not taken.
#[derive(Debug)]
pub(crate) struct RejectedEvent {
    pub(crate) place: Place,
    pub(crate) error: String,
}
