//! A program's side of Streamable HTTP, of both eras: what a server behind a URL would answer.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc;

use super::{
    Program,
    process::{Piece, Pieces, Process, Unsent},
};
use crate::{
    guard::Permit,
    http::{
        events, headers,
        upstream::{Answer, Body, Lost, NoAnswer},
    },
    message::{self, Id, Message},
    method, refusal,
};

/// The method that begins a session (MCP 2025-11-25).
const INITIALIZE: &str = "initialize";
/// JSON-RPC errors that stand behind HTTP status 400 (MCP 2026-07-28, Streamable HTTP).
const BAD_REQUESTS: [i64; 5] = [-32700, refusal::INVALID_REQUEST, headers::MISMATCH, -32021, -32022];

impl Program {
    /// Answers a request by right of `permit`, which is used up once the server is sent anything (INVARIANT D1).
    pub(crate) async fn answer(
        self: &Arc<Self>,
        permit: Permit,
        method: Method,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Answer, NoAnswer> {
        let session = headers.get(headers::SESSION).and_then(|id| id.to_str().ok());
        let process = session.and_then(|id| self.process(id));
        match (method, session, process) {
            (Method::POST, None, _) => self.post(permit, body).await,
            (Method::POST, Some(_), Some(process)) => post_in(&process, permit, body).await,
            (Method::GET, Some(_), Some(process)) => match process.listen() {
                Some(pieces) => Ok(streamed(stream_of(pieces))),
                None => Ok(status(StatusCode::NOT_FOUND)),
            },
            (Method::DELETE, Some(_), Some(process)) => {
                process.end();
                Ok(status(StatusCode::NO_CONTENT))
            }
            (_, Some(_), None) => Ok(status(StatusCode::NOT_FOUND)),
            _ => Ok(status(StatusCode::METHOD_NOT_ALLOWED)),
        }
    }

    fn process(&self, session: &str) -> Option<Arc<Process>> {
        self.sessions().get(session).filter(|process| !process.is_over()).cloned()
    }

    /// A message that belongs to no session.
    async fn post(self: &Arc<Self>, permit: Permit, body: &[u8]) -> Result<Answer, NoAnswer> {
        let text = str::from_utf8(body).unwrap_or_default();
        let Ok(Message::Request { id, method, params }) = Message::read(body) else {
            return Ok(status(StatusCode::BAD_REQUEST));
        };
        if headers::is_modern(params) {
            let process = self.shared().await.map_err(NoAnswer::NotStarted)?;
            let mut pieces = process.ask(permit, text, id.clone()).await?;
            return first(&mut pieces).await.map(|first| answered(first, pieces, true));
        }
        if &*method != INITIALIZE {
            let why = "Bad Request: no session; begin one with `initialize`";
            let text = message::error(Some(&id), refusal::INVALID_REQUEST, why, None);
            return Ok(json(StatusCode::BAD_REQUEST, text));
        }
        self.begin(permit, text, id).await
    }

    /// Begins a session: it is one once the server has agreed.
    async fn begin(self: &Arc<Self>, permit: Permit, text: &str, id: Id) -> Result<Answer, NoAnswer> {
        let (session, process) = self.session().await.map_err(NoAnswer::NotStarted)?;
        let begins = Begins(Some(process.clone()));
        let mut pieces = process.ask(permit, text, id).await?;
        let first = first(&mut pieces).await?;
        if let Piece::Answer(text) = &first
            && message::error_code(text).is_some()
        {
            return Ok(answered(first, pieces, false));
        }
        begins.well();
        let mut answer = answered(first, pieces, false);
        // INVARIANT: hex digits are a value.
        if let Ok(id) = HeaderValue::try_from(session) {
            answer.headers_mut().insert(headers::SESSION, id);
        }
        Ok(answer)
    }
}

/// A process that is of no use before it has agreed to a session.
struct Begins(Option<Arc<Process>>);

impl Begins {
    fn well(mut self) {
        self.0 = None;
    }
}

impl Drop for Begins {
    fn drop(&mut self) {
        if let Some(process) = &self.0 {
            process.end();
        }
    }
}

/// A message of a session.
async fn post_in(process: &Arc<Process>, permit: Permit, body: &[u8]) -> Result<Answer, NoAnswer> {
    let text = str::from_utf8(body).unwrap_or_default();
    let is_sent = match Message::read(body) {
        Ok(Message::Request { id, .. }) => {
            let mut pieces = process.ask(permit, text, id).await?;
            return first(&mut pieces).await.map(|first| answered(first, pieces, false));
        }
        Ok(Message::Notification { method, params }) => {
            match params.filter(|_| &*method == method::CANCELLED).and_then(method::cancelled_id) {
                Some(id) => process.call_off(permit, text, &id).await,
                None => process.tell(permit, text).await,
            }
        }
        Ok(Message::Response { .. }) => process.tell(permit, text).await,
        Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
    };
    Ok(status(if is_sent { StatusCode::ACCEPTED } else { StatusCode::NOT_FOUND }))
}

/// The first that the server says, by which it is known how it answers.
async fn first(pieces: &mut Pieces) -> Result<Piece, NoAnswer> {
    match pieces.next().await {
        Some(Piece::Unread(why)) => Err(NoAnswer::Broken(why)),
        Some(piece) => Ok(piece),
        None => Err(NoAnswer::Broken("server_ended")),
    }
}

/// Whole, where the first that was said is the answer; else as it comes.
fn answered(first: Piece, pieces: Pieces, is_modern: bool) -> Answer {
    match first {
        Piece::Answer(text) => {
            let status = match message::error_code(&text).filter(|_| is_modern) {
                Some(refusal::METHOD_NOT_FOUND) => StatusCode::NOT_FOUND,
                Some(code) if BAD_REQUESTS.contains(&code) => StatusCode::BAD_REQUEST,
                _ => StatusCode::OK,
            };
            json(status, text)
        }
        Piece::Message(text) => {
            let begun = stream::iter([Ok(frame(&text))]);
            let rest = stream::unfold(Some(pieces), |pieces| async {
                let mut pieces = pieces?;
                match pieces.next().await {
                    Some(Piece::Message(text)) => Some((Ok(frame(&text)), Some(pieces))),
                    Some(Piece::Answer(text)) => Some((Ok(frame(&text)), None)),
                    Some(Piece::Unread(why)) => Some((Err(Lost::Unread(why)), None)),
                    Some(Piece::End) => None,
                    None => Some((Err(Lost::Server), None)),
                }
            });
            streamed(BodyExt::boxed_unsync(StreamBody::new(futures::StreamExt::chain(begun, rest))))
        }
        // Called off, and nobody waits for more; what cannot be read is no first piece.
        Piece::End | Piece::Unread(_) => status(StatusCode::ACCEPTED),
    }
}

/// What belongs to no request, as it comes.
fn stream_of(pieces: mpsc::Receiver<Piece>) -> Body {
    let frames = stream::unfold(pieces, |mut pieces| async {
        match pieces.recv().await {
            Some(Piece::Message(text) | Piece::Answer(text)) => Some((Ok(frame(&text)), pieces)),
            Some(Piece::End | Piece::Unread(_)) | None => None,
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

fn frame(text: &str) -> Frame<Bytes> {
    Frame::data(events::event_of(text))
}

fn streamed(body: Body) -> Answer {
    let mut answer = Response::new(body);
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    answer
}

fn json(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn status(status: StatusCode) -> Answer {
    let mut answer = json(status, String::new());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

impl From<Unsent> for NoAnswer {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Over => NoAnswer::Broken("server_ended"),
            Unsent::Full => NoAnswer::NotStarted("too many of its requests have no answer yet".into()),
        }
    }
}
