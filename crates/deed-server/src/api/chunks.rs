//! Bodies that are made as they are sent.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::HttpBody;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

use crate::problem::Problem;

/// A body of chunks; an error breaks it off.
pub(crate) struct Chunks {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, Problem>>,
}

impl Chunks {
    /// `first`, and then whatever comes over the channel.
    pub(crate) fn new(first: Bytes, rest: mpsc::Receiver<Result<Bytes, Problem>>) -> Self {
        Chunks { first: Some(first), rest }
    }
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let broken = |problem: Problem| io::Error::other(problem.detail().to_owned());
        self.rest.poll_recv(context).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data).map_err(broken)))
    }
}
