//! Outcomes on their way into the log, behind the answers they are about.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use crate::{
    intent::Conclusion,
    recorder::{Recorder, Road},
};

/// Outcomes that wait.
const WAITING: usize = 1024;
/// Outcomes that are being recorded at a time.
const UNDER_WAY: usize = 32;
/// How often one is tried while nothing can be recorded, and how long between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(250);

/// Records outcomes in the background.
pub(crate) struct Conclusions {
    /// Gone once no more are taken.
    waiting: Mutex<Option<mpsc::Sender<Conclusion>>>,
    work: Mutex<Option<JoinHandle<()>>>,
}

impl Conclusions {
    pub(crate) fn new<R: Road>(recorder: Recorder<R>) -> Self {
        let (waiting, conclusions) = mpsc::channel(WAITING);
        let work = tokio::spawn(record_all(recorder, conclusions));
        Conclusions { waiting: Mutex::new(Some(waiting)), work: Mutex::new(Some(work)) }
    }

    /// Has `conclusion` recorded. Waits for room where recording cannot keep up.
    pub(crate) async fn add(&self, conclusion: Conclusion) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let added = match waiting {
            Some(waiting) => waiting.send(conclusion).await.is_ok(),
            None => false,
        };
        if !added {
            tracing::warn!("an outcome came too late to be recorded; it will be unknown");
        }
    }

    /// Takes no more, and waits until all are recorded, but no longer than `patience`.
    pub(crate) async fn finish(&self, patience: Duration) {
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(work) = work else { return };
        if timeout(patience, work).await.is_err() {
            tracing::warn!("some outcomes could not be recorded in time; they will be unknown");
        }
    }
}

async fn record_all<R: Road>(recorder: Recorder<R>, mut conclusions: mpsc::Receiver<Conclusion>) {
    let mut under_way = JoinSet::new();
    loop {
        tokio::select! {
            next = conclusions.recv(), if under_way.len() < UNDER_WAY => match next {
                Some(conclusion) => drop(under_way.spawn(record(recorder.clone(), conclusion))),
                None => break,
            },
            Some(_) = under_way.join_next() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

async fn record<R: Road>(recorder: Recorder<R>, conclusion: Conclusion) {
    for _ in 0..TRIES {
        match recorder.conclude(&conclusion).await {
            Ok(()) => return,
            Err(error) => {
                tracing::warn!(%error, action = %conclusion.action, "an outcome waits to be recorded")
            }
        }
        sleep(PAUSE).await;
    }
}
