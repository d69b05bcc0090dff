//! The rest of a request body that nobody read.
//!
//! A server that answers early and closes makes the client's system throw the answer away, with the
//! bytes that were still on their way (RFC 9112, section 9.6). An exporter that gets no answer to what
//! is too large would send it again for ever.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// How much of a body is read for nothing, in bytes.
const MOST: usize = 256 << 20;
/// And for how long.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that is shared with [`Rest`].
struct Shared(Arc<Mutex<Incoming>>);

/// What is left of a body once a handler is done with it.
pub(super) struct Rest(Option<Shared>);

/// Puts a shared body into `request`. Streams of HTTP/2 end well by themselves.
pub(super) fn split(request: Request<Incoming>) -> (Request<Body>, Rest) {
    if request.version() > Version::HTTP_11 || request.body().is_end_stream() {
        return (request.map(Body::new), Rest(None));
    }
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    (Request::from_parts(parts, Body::new(Shared(body.clone()))), Rest(Some(Shared(body))))
}

impl Rest {
    /// Reads on, within bounds.
    pub(super) async fn drain(self) {
        let Some(mut body) = self.0 else { return };
        let mut read = 0;
        let drained = timeout(PATIENCE, async {
            while read < MOST
                && let Some(Ok(frame)) = body.frame().await
            {
                read += frame.data_ref().map_or(0, Bytes::len);
            }
        });
        if drained.await.is_err() {
            tracing::debug!(read, "gave up on the rest of a body");
        }
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Never waited for: the handler and the drain take turns.
        Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
