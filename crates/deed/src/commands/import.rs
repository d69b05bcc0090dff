//! `deed import`: other systems' logs, however many, however large, however broken.
//!
//! A thread of its own reads and maps; batches go to the server a few at a time. Nothing but those
//! batches and what is told about skipped files is held.

mod follow;
mod position;
mod reading;
mod summary;
mod tail;

use std::{sync::Arc, time::Instant};

use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
};

use crate::{
    access::{self, Access, Need, Place},
    cli::{Global, Import},
    commands::records::{Sent, send_each},
    exit::{Code, Failure, Outcome},
    hint::Hint,
    inputs,
    output::{Output, shell_word},
    progress::Progress,
    stop::Stop,
};
use position::Positions;
use reading::{Batch, Read, Reads};
use summary::Summary;

/// Batches that are on their way at a time.
const UNDER_WAY: usize = 3;

/// A batch and what became of each of its records.
type Answered = (Arc<Batch>, Vec<Sent>);

pub(crate) async fn run(global: &Global, mut import: Import, output: Output, stop: &Stop) -> Outcome {
    let reads = Reads::of(&mut import)?;
    let access = Access::open(global, Need::Make)?;
    let hint = Hint::of(global);
    if import.follow {
        let positions = positions(global, &import)?;
        return access.finish(follow_all(&access, import, reads, positions, &hint, output, stop).await).await;
    }
    access.finish(import_all(&access, import, reads, &hint, output, stop).await).await
}

/// Where it is kept how far files are followed: in the data directory of this machine, whatever they are sent to.
fn positions(global: &Global, import: &Import) -> Result<Positions, Failure> {
    if import.paths.iter().any(|path| inputs::is_stdin(path)) {
        return Err(Failure::usage("standard input cannot be followed: it is read to its end in any case"));
    }
    let target = match access::place(global)? {
        Place::Server(url, _) => url,
        Place::Store(_) => String::new(),
    };
    let store = access::store_dir(global)?;
    Positions::open(&store, &target, &import.source.as_str()).map_err(|error| {
        Failure::new(format!("failed to keep positions in `{}`", store.display())).detail(error.to_string())
    })
}

/// Follows files until somebody asks to stop, which is how it ends.
async fn follow_all(
    access: &Access,
    import: Import,
    reads: Reads,
    positions: Positions,
    hint: &Hint,
    output: Output,
    stop: &Stop,
) -> Outcome {
    let asked = format!("{} --follow", reads.name());
    let mut summary = Summary::begin(reads.name(), asked, output)?;
    let started = Instant::now();
    let result = follow::follow(access, &import, reads.clone(), positions, &mut summary, stop).await;
    summary.finish(started.elapsed(), &import.paths, hint, result.is_err())?;
    result.map_err(|failure| {
        failure
            .doing("import")
            .detail("what was recorded stays; run it again to go on, nothing is recorded twice")
    })
}

async fn import_all(
    access: &Access,
    import: Import,
    reads: Reads,
    hint: &Hint,
    output: Output,
    stop: &Stop,
) -> Outcome {
    let asked = match &import.mapping {
        Some(file) => format!("--mapping {}", shell_word(&file.to_string_lossy())),
        None => reads.name().to_owned(),
    };
    let mut summary = Summary::begin(reads.name(), asked, output)?;
    let started = Instant::now();
    let result = pump(access, &import, reads, &mut summary, stop).await;
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
async fn pump(
    access: &Access,
    import: &Import,
    reads_as: Reads,
    summary: &mut Summary,
    stop: &Stop,
) -> Outcome {
    let (found, mut reads) = mpsc::channel(2);
    let (paths, asked) = (import.paths.clone(), stop.clone());
    let reader = std::thread::spawn(move || reading::read_all(reads_as, &paths, &asked, &found));
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
            Some(Read::File(system)) => summary.file(system),
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
pub(crate) struct Spot {
    /// The file, as messages call it.
    pub(crate) file: Arc<str>,
    /// Its line, from 1; 0 where there are none.
    pub(crate) line: u64,
}

/// An event that was not taken.
#[derive(Debug)]
pub(crate) struct RejectedEvent {
    pub(crate) place: Spot,
    pub(crate) error: String,
}
