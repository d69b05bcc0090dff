//! `POST /v1/rebuild`: everything derived, thrown away and derived again (INVARIANT D5).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, HttpBody},
    extract::State,
    response::Response,
};
use bytes::Bytes;
use hyper::body::Frame;
use serde_json::json;
use tokio::{sync::oneshot, task::spawn_blocking};

use crate::{api::with_type, app::App, auth::Operating};

/// Answers at once, and says what was done when it is done: that takes as long as the history is.
pub(crate) async fn rebuild(State(app): State<Arc<App>>, _: Operating) -> Response {
    let (done, result) = oneshot::channel();
    let engine = app.engine.clone();
    // Whoever asked may be gone by then; what was rebuilt stays rebuilt.
    drop(spawn_blocking(move || {
        let answer = match engine.rebuild() {
            Ok(rebuilt) => json!({ "same": rebuilt.iter().all(|part| part.same), "rebuilt": rebuilt }),
            Err(error) => {
                tracing::error!(%error, "rebuilding failed");
                json!({ "error": error.to_string() })
            }
        };
        let _unheard = done.send(answer.to_string().into());
    }));
    with_type(Body::new(Later(Some(result))), "application/json")
}

/// A body that is there when it is there.
struct Later(Option<oneshot::Receiver<Bytes>>);

impl HttpBody for Later {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(result) = &mut self.0 else { return Poll::Ready(None) };
        let answer = ready!(Pin::new(result).poll(context));
        self.0 = None;
        let broken = |_| io::Error::other("rebuilding broke off");
        Poll::Ready(Some(answer.map(Frame::data).map_err(broken)))
    }
}
