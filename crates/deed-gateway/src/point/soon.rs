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

/// Those who wait for a record to become durable, and the calls under way that they are a part of.
#[derive(Default)]
pub(super) struct Waiters {
    waiting: AtomicUsize,
    calls: AtomicUsize,
}

impl Waiters {
    /// A call is under way until what this returns is dropped.
    pub(super) fn call(&self) -> Counted<'_> {
        Counted::among(&self.calls)
    }

    /// Whether somebody who came to wait now would wait alone, and had better look than sleep.
    pub(super) fn are_none(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0 && self.leave_a_core()
    }

    /// Waits for `durable`. Whoever waits alone looks for a moment whether it is there, again and again, instead of
    /// sleeping: to be woken takes about half as long as the sync itself. Other tasks go on between two looks. Where
    /// several wait, or another call is with its server, there is always something else to do, and nobody looks.
    pub(super) async fn wait<T>(&self, durable: impl Future<Output = T>) -> T {
        let mut durable = pin!(durable);
        let _waiting = Counted::among(&self.waiting);
        let alone = || self.waiting.load(Ordering::Relaxed) == 1 && self.leave_a_core();
        let until = Instant::now() + LOOKING;
        while alone() && Instant::now() < until {
            if let Poll::Ready(done) = durable.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done;
            }
            yield_now().await;
        }
        durable.await
    }

    /// Whether what they wait for goes on while one of them looks.
    fn leave_a_core(&self) -> bool {
        self.calls.load(Ordering::Relaxed) <= 1 && *IS_WORTH_IT
    }
}

/// One of them; no more once dropped.
pub(crate) struct Counted<'c>(&'c AtomicUsize);

impl<'c> Counted<'c> {
    fn among(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
