//! Connections: the gate asked, the router called, and an end when the server stops.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, response::IntoResponse};
use http::{HeaderMap, Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::{sleep, timeout},
};
use tower::Service;

use super::{linger, workers::Workers};
use crate::{
    app::App,
    auth::{Admission, Trust},
    otlp,
    problem::Problem,
};

/// A connection that has sent no whole request head for so long is closed.
const IDLE: Duration = Duration::from_secs(75);
/// How long requests under way may take once the server stops.
const DRAIN: Duration = Duration::from_secs(10);
/// What a stream of HTTP/2 may send before it is read, in bytes: exports are large.
const WINDOW: u32 = 1 << 20;

/// In which words a listener refuses.
#[derive(Clone, Copy)]
pub(super) enum Voice {
    Api,
    Otlp,
    Grpc,
}

impl Voice {
    fn refuse(self, problem: Problem, headers: &HeaderMap) -> Response<Body> {
        match self {
            Voice::Api => problem.into_response(),
            Voice::Otlp => otlp::http::refusal(&problem, headers),
            Voice::Grpc => tonic::Status::from(&problem).into_http(),
        }
    }
}

/// What all listeners share.
#[derive(Clone)]
pub(super) struct Hub {
    pub(super) app: Arc<App>,
    pub(super) workers: Arc<Workers>,
    /// One permit for each connection.
    pub(super) room: Arc<Semaphore>,
    pub(super) stopping: watch::Receiver<bool>,
    /// Dropped by the last connection.
    pub(super) alive: mpsc::Sender<()>,
}

impl Hub {
    /// Accepts until the server stops.
    pub(super) async fn accept_tcp(
        mut self,
        listener: TcpListener,
        router: Router,
        voice: Voice,
        trust: Trust,
    ) {
        while let Some(permit) = self.permit().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut self.stopping) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "a connection stays slow");
                    }
                    let stream = stream.into_std();
                    let stream = || TcpStream::from_std(stream?);
                    self.serve(stream, router.clone(), voice, trust.clone(), permit);
                }
                Err(error) => accept_failed(&error).await,
            }
        }
    }

    /// As [`Hub::accept_tcp`]; the system says who is at the other end.
    pub(super) async fn accept_unix(mut self, listener: UnixListener, router: Router) {
        while let Some(permit) = self.permit().await {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stopped(&mut self.stopping) => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    let peer = stream.peer_cred().ok();
                    let stream = stream.into_std();
                    let stream = || UnixStream::from_std(stream?);
                    self.serve(stream, router.clone(), Voice::Api, Trust::socket(peer), permit);
                }
                Err(error) => accept_failed(&error).await,
            }
        }
    }

    async fn permit(&mut self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            permit = self.room.clone().acquire_owned() => permit.ok(),
            () = stopped(&mut self.stopping) => None,
        }
    }

    /// Has one of the workers serve a connection: `stream` makes it known to that one.
    fn serve<S>(
        &self,
        stream: impl FnOnce() -> io::Result<S> + Send + 'static,
        router: Router,
        voice: Voice,
        trust: Trust,
        permit: OwnedSemaphorePermit,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Hub { app, mut stopping, alive, workers, .. } = self.clone();
        workers.serve(async move {
            let stream = match stream() {
                Ok(stream) => stream,
                Err(error) => return tracing::warn!(%error, "failed to take a connection"),
            };
            let service = service_fn(move |request: Request<Incoming>| {
                let admission = app.gate.admit(&trust, request.version(), request.uri(), request.headers());
                let (mut request, rest) = linger::split(request);
                let mut router = router.clone();
                async move {
                    let admission = match admission {
                        // The gateway records whom it turns away.
                        Err(problem) if request.uri().path().starts_with("/mcp/") => {
                            Ok(Admission(Err(problem)))
                        }
                        admission => admission,
                    };
                    let response = match admission {
                        Ok(admission) => {
                            request.extensions_mut().insert(admission);
                            router.call(request).await?
                        }
                        Err(problem) => voice.refuse(problem, request.headers()),
                    };
                    if response.status().is_client_error() || response.status().is_server_error() {
                        // Beside the answer, not before it: whoever announced too much waits for one.
                        tokio::spawn(rest.drain());
                    }
                    Ok::<_, Infallible>(response)
                }
            });
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE);
            builder
                .http2()
                .timer(TokioTimer::new())
                .keep_alive_interval(IDLE)
                .initial_stream_window_size(WINDOW)
                .initial_connection_window_size(WINDOW * 4);
            let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stopped(&mut stopping) => {
                    connection.as_mut().graceful_shutdown();
                    timeout(DRAIN, connection).await.unwrap_or_else(|_| {
                        tracing::warn!("a request was cut off that took longer than {} s to finish", DRAIN.as_secs());
                        Ok(())
                    })
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke off");
            }
            drop((permit, alive));
        });
    }
}

/// Returns once the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error says that the server was dropped.
    let _dropped = stopping.wait_for(|stop| *stop).await.is_err();
}

/// No descriptors left, or the like: waits, for trying again at once would only burn time.
async fn accept_failed(error: &std::io::Error) {
    tracing::warn!(%error, "failed to accept a connection");
    sleep(Duration::from_millis(100)).await;
}
