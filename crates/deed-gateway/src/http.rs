//! The door over Streamable HTTP, of both eras: one endpoint for each server.
//!
//! # A request, from top to bottom
//!
//! 1. [`Endpoint::take`] sees to it that what was begun ends although the client leaves (`attended`).
//! 2. `headers` and body must say the same; `sessions` know whose connection it is (2025-11-25).
//! 3. `exchange` has it decided on and recorded, and sends it `upstream`.
//! 4. `answers` pass on what comes back, as it comes: `events` one by one. `streams` know whose it is, and still do when a stream is
//!    taken up again.

mod answers;
mod attended;
pub(crate) mod events;
mod exchange;
pub(crate) mod headers;
pub(crate) mod params;
mod sessions;
mod step_up;
mod streams;
pub(crate) mod upstream;

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use deed_record::Status;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio::sync::oneshot;

use crate::{
    conclusions::Conclusions,
    door::{Caller, Door, Learned},
    guard::Guard,
    message::{self, Message},
    point::DecisionPoint,
    recorder::{Nowhere, Recorder, Unavailable},
    refusal,
};
use attended::Attended;
use exchange::Exchange;
use sessions::{Session, Sessions};
use step_up::HeldCalls;
pub use upstream::Upstream;

/// The body of a reply.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;
/// What a client hears.
pub type Reply = Response<Body>;

/// One server's endpoint.
pub struct Endpoint {
    server: Arc<str>,
    upstream: Upstream,
    point: Arc<DecisionPoint>,
    /// How long a request waits for a human.
    patience: Duration,
    lanes: Mutex<HashMap<String, Lane>>,
    learned: Learned,
    sessions: Sessions,
    held: HeldCalls,
    /// Where people find this server, as `https://deed.example`; else where its clients do.
    home: Option<String>,
}

/// How the records of a tenant are written.
#[derive(Clone)]
struct Lane {
    recorder: Recorder<Nowhere>,
    conclusions: Arc<Conclusions>,
}

impl Endpoint {
    /// An endpoint for `server`, which is `upstream`; `point` decides, and a human may answer within `patience`, at
    /// `home`.
    pub fn new(
        server: &str,
        upstream: Upstream,
        point: Arc<DecisionPoint>,
        patience: Duration,
        home: Option<String>,
    ) -> Arc<Self> {
        Arc::new(Endpoint {
            server: server.into(),
            upstream,
            point,
            patience,
            lanes: Mutex::default(),
            learned: Learned::default(),
            sessions: Sessions::default(),
            held: HeldCalls::default(),
            home,
        })
    }

    /// Answers a request of `caller`, whose records are `tenant`'s.
    pub async fn take(self: &Arc<Self>, caller: Caller, tenant: &str, request: Request<Bytes>) -> Reply {
        let (reply, heard) = oneshot::channel();
        let (endpoint, lane) = (self.clone(), self.lane(tenant));
        let caller = Caller { tenant: tenant.to_owned(), ..caller };
        let _call = self.point.call();
        let work = async move { endpoint.work(caller, lane, request, Listener(Some(reply))).await };
        let heard = Attended { work: Some(Box::pin(work)), heard }.await;
        heard.unwrap_or_else(|_| nothing(StatusCode::INTERNAL_SERVER_ERROR))
    }

    /// Refuses what nobody looked into: whoever sent it, or from where, was not let in. That is recorded.
    pub async fn refuse(
        &self,
        caller: Caller,
        tenant: &str,
        sort: &str,
        why: &str,
        status: StatusCode,
    ) -> Reply {
        let text = match self.passing(caller, &self.lane(tenant)) {
            Ok(guard) => guard.refuse(None, "unread", sort, refusal::INVALID_REQUEST, why).await,
            Err(error) => message::error(None, refusal::UNAVAILABLE, error.why(), None),
        };
        json(status, text)
    }

    /// As [`Endpoint::refuse`], without a record: for floods of strangers.
    pub fn turn_away(why: &str, status: StatusCode) -> Reply {
        json(status, message::error(None, refusal::INVALID_REQUEST, why, None))
    }

    /// Waits until the ends of what was done are recorded, but no longer than `patience`.
    pub async fn finish(&self, patience: Duration) {
        self.upstream.finish(patience).await;
        let lanes: Vec<Lane> =
            self.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            lane.conclusions.finish(patience).await;
        }
    }

    fn lane(&self, tenant: &str) -> Lane {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(tenant) {
            return lane.clone();
        }
        let recorder = Recorder::here(self.point.clone(), tenant);
        let lane = Lane { conclusions: Arc::new(Conclusions::new(recorder.clone())), recorder };
        lanes.insert(tenant.to_owned(), lane.clone());
        lane
    }

    /// For a request that belongs to no session.
    fn passing(&self, caller: Caller, lane: &Lane) -> Result<Guard<Nowhere>, Unavailable> {
        let door = Door::passing(self.server.clone(), caller, self.learned.clone())?;
        Ok(self.guard(door, lane))
    }

    fn guard(&self, door: Door, lane: &Lane) -> Guard<Nowhere> {
        let mut guard = Guard::new(door, lane.recorder.clone(), lane.conclusions.clone(), self.patience);
        guard.secrets = self.upstream.secrets();
        guard
    }

    async fn work(&self, caller: Caller, lane: Lane, request: Request<Bytes>, mut listener: Listener) {
        let (parts, body) = request.into_parts();
        let message = match parts.method {
            Method::POST => Some(Message::read(&body)),
            _ => None,
        };
        let is_modern = match &message {
            Some(Ok(Message::Request { params, .. })) => headers::is_modern(*params),
            _ => false,
        };
        let guard = match self.passing(caller.clone(), &lane) {
            Ok(guard) => guard,
            Err(why) => {
                let text = message::error(None, refusal::UNAVAILABLE, why.why(), None);
                return listener.say(json(StatusCode::SERVICE_UNAVAILABLE, text));
            }
        };
        // A request of 2026-07-28 belongs to no session, whatever its headers say.
        let session = match parts.headers.get(headers::SESSION).filter(|_| !is_modern) {
            Some(id) => match Box::pin(self.session_of(id, &caller, &lane)).await {
                Some(session) => Some(session),
                None => {
                    let id = match &message {
                        Some(Ok(Message::Request { id, .. })) => Some(id),
                        _ => None,
                    };
                    let why = "Session not found: begin another one";
                    let text =
                        guard.refuse(id, "unread", "unknown_session", refusal::INVALID_REQUEST, why).await;
                    return listener.say(json(StatusCode::NOT_FOUND, text));
                }
            },
            None => None,
        };
        let mut guard = match &session {
            Some(session) => self.guard(session.door.of(caller), &lane),
            None => guard,
        };
        let ambient = parts.headers.get(headers::TRACE).and_then(|trace| trace.to_str().ok());
        guard.door = guard.door.within(ambient);
        let calls = session.as_ref().map(|session| session.calls.clone()).unwrap_or_default();
        let headers = parts.headers;
        // Its own steps take it over from each other.
        let exchange = Box::new(Exchange {
            endpoint: self,
            guard,
            session,
            calls,
            headers,
            is_modern,
            listener,
            origin: None,
            is_taken_up: false,
            is_unclear: false,
        });
        match message {
            Some(message) => exchange.post(&body, message).await,
            None => match parts.method {
                Method::GET => Box::pin(exchange.open_stream()).await,
                Method::DELETE => Box::pin(exchange.end_session()).await,
                _ => Box::pin(exchange.other_method()).await,
            },
        }
    }

    /// The session `id` of `caller`, if its server still knows it.
    async fn session_of(&self, id: &HeaderValue, caller: &Caller, lane: &Lane) -> Option<Arc<Session>> {
        let session = self.sessions.of(id, caller)?;
        if !self.upstream.has_ended(id) {
            return Some(session);
        }
        let guard = self.guard(session.door.clone(), lane);
        self.end_session(id, &guard, Status::Unknown).await;
        None
    }

    /// The session is over, and what has no answer yet gets none.
    async fn end_session(&self, id: &HeaderValue, guard: &Guard<Nowhere>, status: Status) {
        let Some(session) = self.sessions.end(id) else { return };
        for pending in session.calls.abandon() {
            guard.end(&pending, status, Some("session_ended".into()), None).await;
        }
    }
}

/// The client, as long as it waits for a reply.
struct Listener(Option<oneshot::Sender<Reply>>);

impl Listener {
    fn say(&mut self, reply: Reply) {
        if let Some(listener) = self.0.take()
            && listener.send(reply).is_err()
        {
            tracing::debug!("the client left before it was answered");
        }
    }

    /// Whether it left.
    fn is_gone(&self) -> bool {
        self.0.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    /// Waits until it leaves; for ever once it was answered.
    async fn gone(&mut self) {
        match &mut self.0 {
            Some(listener) => listener.closed().await,
            None => std::future::pending().await,
        }
    }
}

fn reply(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()).boxed_unsync());
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

fn nothing(status: StatusCode) -> Reply {
    reply(status, HeaderMap::new(), Bytes::new())
}

fn json(status: StatusCode, text: String) -> Reply {
    let mut reply = reply(status, HeaderMap::new(), text);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
