//! Outcomes that could not be recorded, and are tried again.

use std::{
    collections::VecDeque,
    future::pending,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;

use super::{TOGETHER, record};
use crate::{
    ending,
    intent::Conclusion,
    recorder::{Recorder, Road},
    sweep::LONGEST_ACTION,
};

/// How long nothing is tried after the first time, and at most: twice as long each time that nothing can be recorded.
pub(super) const PAUSE: Duration = Duration::from_millis(250);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long one is tried: later, whoever holds the store has said that it is unknown.
const LONGEST: Duration = Duration::from_micros(LONGEST_ACTION.unsigned_abs());
/// How many wait at a time, and with how many bytes of results; then longer ones than these wait as length and digest.
const MOST: usize = 16_384;
const MOST_BYTES: usize = 64 << 20;
const SHORT: usize = 256;

/// See the module.
#[derive(Default)]
pub(super) struct Late {
    /// Each with the time since when it waits.
    pub(super) waiting: VecDeque<(Instant, Conclusion)>,
    /// Of their results.
    bytes: usize,
    pause: Duration,
    next: Option<Instant>,
}

impl Late {
    pub(super) fn add(&mut self, conclusion: Conclusion) {
        self.wait(Instant::now(), conclusion);
        if self.waiting.len() > MOST
            && let Some((_, oldest)) = self.take()
        {
            give_up(&oldest, "too many outcomes wait to be recorded");
        }
        self.pause = self.pause.max(PAUSE);
        self.next.get_or_insert_with(|| Instant::now() + PAUSE);
    }

    /// Returns once something is to be tried again.
    pub(super) async fn is_due(&self) {
        match self.next {
            Some(next) => sleep_until(next.into()).await,
            None => pending().await,
        }
    }

    /// Nobody waits much longer.
    pub(super) fn hurry(&mut self) {
        self.next = self.next.map(|next| next.min(Instant::now() + PAUSE));
    }

    /// Tries those again that wait for longest; as long as none can be recorded, ever less often, up to `pause` apart.
    pub(super) async fn try_again<R: Road>(&mut self, recorder: &Recorder<R>, pause: Duration) {
        let mut tried = Vec::new();
        let mut since = VecDeque::new();
        while tried.len() < TOGETHER
            && let Some((began, conclusion)) = self.take()
        {
            since.push_back((began, conclusion.action));
            tried.push(conclusion);
        }
        let count = tried.len();
        let refused = record(recorder, tried).await;
        self.pause = if refused.len() < count { PAUSE } else { (2 * self.pause).min(pause) };
        for (conclusion, error) in refused {
            // They come back in order.
            while since.front().is_some_and(|(_, action)| *action != conclusion.action) {
                since.pop_front();
            }
            match since.pop_front() {
                Some((began, _)) if began.elapsed() < LONGEST => self.wait(began, conclusion),
                _ => give_up(&conclusion, &error.to_string()),
            }
        }
        self.next = (!self.waiting.is_empty()).then(|| Instant::now() + self.pause);
    }

    fn wait(&mut self, since: Instant, mut conclusion: Conclusion) {
        if self.bytes + length(&conclusion) > MOST_BYTES && length(&conclusion) > SHORT {
            conclusion.result = conclusion.result.map(|result| ending::kept(&result, false).into_owned());
        }
        self.bytes += length(&conclusion);
        self.waiting.push_back((since, conclusion));
    }

    fn take(&mut self) -> Option<(Instant, Conclusion)> {
        let taken = self.waiting.pop_front()?;
        self.bytes -= length(&taken.1);
        Some(taken)
    }
}

fn length(conclusion: &Conclusion) -> usize {
    conclusion.result.as_ref().map_or(0, |result| result.get().len())
}

fn give_up(conclusion: &Conclusion, why: &str) {
    tracing::error!(why, action = %conclusion.action, "an outcome is given up that could not be recorded; it will be unknown");
}
