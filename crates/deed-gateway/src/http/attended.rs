//! Work that goes on although whoever waited for its reply left.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::Handle,
    sync::oneshot::{self, error::RecvError},
};

use super::Reply;

/// The reply that `work` gives `heard`. As long as somebody waits for it the work is done by whoever waits; what is left of it
/// then, or once nobody waits any more, is done by a task of its own. Most work ends with its reply, and never is one.
pub(super) struct Attended {
    /// Until it is done.
    pub(super) work: Option<BoxFuture<'static, ()>>,
    pub(super) heard: oneshot::Receiver<Reply>,
}

impl Future for Attended {
    /// No reply where the work panicked.
    type Output = Result<Reply, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(work) = &mut self.work {
            // As in a task of its own: whoever waits hears that there is no reply.
            let worked = AssertUnwindSafe(work).catch_unwind().poll_unpin(context);
            if !matches!(worked, Poll::Pending) {
                self.work = None;
            }
        }
        self.heard.poll_unpin(context)
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(work)),
            Err(_) => tracing::warn!("what was begun was not ended: nothing runs any more"),
        }
    }
}
