//! Waiting for what is nearly there.

use std::{
    future::Future,
    pin::pin,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use tokio::task::yield_now;

/// How long whoever waits alone looks: somewhat more than a sync of a fast disk takes.
const LOOKING: Duration = Duration::from_micros(250);

/// With one core, to look would keep from working whoever is looked at.
static IS_WORTH_IT: LazyLock<bool> =
    LazyLock::new(|| available_parallelism().is_ok_and(|cores| cores.get() > 1));

/// Those who wait for a record to become durable.
#[derive(Default)]
pub(super) struct Waiters(AtomicUsize);

impl Waiters {
    /// Whether somebody who came to wait now would wait alone, and had better look than sleep.
    pub(super) fn are_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0 && *IS_WORTH_IT
    }

    /// Waits for `durable`. Whoever waits alone looks for a moment whether it is there, again and again, instead of
    /// sleeping: to be woken takes about half as long as the sync itself. Other tasks go on between two looks. Where
    /// several wait there is always something else to do, and nobody looks.
    pub(super) async fn wait<T>(&self, durable: impl Future<Output = T>) -> T {
        let mut durable = pin!(durable);
        let waiting = Waiting::among(self);
        if waiting.alone && *IS_WORTH_IT {
            let until = Instant::now() + LOOKING;
            while Instant::now() < until && self.0.load(Ordering::Relaxed) == 1 {
                if let Poll::Ready(done) = durable.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    return done;
                }
                yield_now().await;
            }
        }
        durable.await
    }
}

/// One of them; no more once dropped.
struct Waiting<'w> {
    waiters: &'w Waiters,
    alone: bool,
}

impl<'w> Waiting<'w> {
    fn among(waiters: &'w Waiters) -> Self {
        let alone = waiters.0.fetch_add(1, Ordering::Relaxed) == 0;
        Waiting { waiters, alone }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.0.fetch_sub(1, Ordering::Relaxed);
    }
}
