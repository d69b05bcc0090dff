//! Outcomes on their way into the log, behind the answers they are about.

mod late;

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{sleep, timeout},
};

use self::late::{LONGEST_PAUSE, Late, PAUSE};
use crate::{
    guard::Questions,
    intent::Conclusion,
    recorder::{Recorder, Road, Unavailable},
};

/// Outcomes that wait.
const WAITING: usize = 1024;
/// Outcomes that are recorded together, and how long the first of them waits for others: each then costs less.
const TOGETHER: usize = 256;
const GATHERING: Duration = Duration::from_millis(5);

/// Records outcomes in the background.
pub(crate) struct Conclusions {
    /// Gone once no more are taken.
    waiting: Mutex<Option<mpsc::Sender<Conclusion>>>,
    work: Mutex<Option<JoinHandle<()>>>,
    /// What ends at the latest with this.
    pub(crate) questions: Questions,
}

impl Conclusions {
    pub(crate) fn new<R: Road>(recorder: Recorder<R>) -> Self {
        let (waiting, conclusions) = mpsc::channel(WAITING);
        let work = tokio::spawn(record_all(recorder, conclusions));
        let questions = Questions::default();
        Conclusions { waiting: Mutex::new(Some(waiting)), work: Mutex::new(Some(work)), questions }
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
        let unanswered = async {
            for unanswered in self.questions.end() {
                self.add(unanswered).await;
            }
        };
        if timeout(patience, unanswered).await.is_err() {
            tracing::warn!("the ends of some questions could not be recorded in time; they will be unknown");
        }
        drop(self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take());
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(work) = work else { return };
        if timeout(patience, work).await.is_err() {
            tracing::warn!("some outcomes could not be recorded in time; they will be unknown");
        }
    }
}

async fn record_all<R: Road>(recorder: Recorder<R>, mut conclusions: mpsc::Receiver<Conclusion>) {
    let (mut gathered, mut late) = (Vec::new(), Late::default());
    loop {
        tokio::select! {
            biased;
            () = late.is_due() => late.try_again(&recorder, LONGEST_PAUSE).await,
            count = conclusions.recv_many(&mut gathered, TOGETHER) => {
                if count == 0 {
                    break;
                }
                if gathered.len() < TOGETHER && !conclusions.is_closed() {
                    sleep(GATHERING).await;
                    while gathered.len() < TOGETHER
                        && let Ok(another) = conclusions.try_recv()
                    {
                        gathered.push(another);
                    }
                }
                for (conclusion, error) in record(&recorder, std::mem::take(&mut gathered)).await {
                    tracing::warn!(%error, action = %conclusion.action, "an outcome waits to be recorded");
                    late.add(conclusion);
                }
            }
        }
    }
    late.hurry();
    while !late.waiting.is_empty() {
        late.is_due().await;
        late.try_again(&recorder, PAUSE).await;
    }
}

/// Records `conclusions`; which of them could not be, and why.
async fn record<R: Road>(
    recorder: &Recorder<R>,
    conclusions: Vec<Conclusion>,
) -> Vec<(Conclusion, Unavailable)> {
    if recorder.conclude_all(&conclusions).await.is_ok() {
        return Vec::new();
    }
    // What keeps one of them out need not keep out the others.
    let each: Vec<_> = conclusions.iter().map(|conclusion| recorder.conclude(conclusion)).collect();
    let recorded = join_all(each).await;
    conclusions.into_iter().zip(recorded).filter_map(|(one, recorded)| Some((one, recorded.err()?))).collect()
}
