//! What a server answers, on its way to the client: whole, or event by event as it comes.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    future::Future,
    pin::{Pin, pin},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use deed_record::Status;
use futures::stream;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::value::RawValue;
use tokio::{sync::mpsc, time::timeout};

use super::{
    Reply,
    events::{self, Broken, Event, Events},
    exchange::Exchange,
    headers, json, reply,
    streams::Place,
    upstream::{Answer, Body},
};
use crate::{
    ending::{BY_CLIENT, CONNECTION_ENDED},
    guard::{Pending, Permit},
    mask,
    message::{self, Id, Message},
    refusal,
    relay::LONGEST,
    term::TermEnd,
};

/// Events that wait to be read by the client.
const QUEUE: usize = 16;
/// The longest answer that is no message, in bytes.
const LONGEST_PLAIN: usize = 64 << 10;

impl Exchange<'_> {
    /// The answer to a message that asks for something.
    pub(super) async fn pass_on(mut self: Box<Self>, id: Option<Id>, answer: Answer) {
        let listens = id.as_ref().is_some_and(|id| self.calls.listens(id)) && answer.status().is_success();
        if headers::media_type(answer.headers()) == "text/event-stream" || listens {
            return Box::pin(self.stream(id, None, answer)).await;
        }
        let (parts, body) = answer.into_parts();
        let Some(id) = id else { return };
        let whole = tokio::select! {
            whole = whole(body, LONGEST, self.endpoint.upstream.patience) => whole,
            () = self.listener.gone(), if self.is_modern => Err(BY_CLIENT),
        };
        let (status, headers) = (parts.status, headers::homeward(&parts.headers));
        match whole {
            Ok(body) => match self.answer_of(&body, &id).await {
                Some(text) => self.listener.say(reply(status, headers, text)),
                None => Box::pin(self.no_message(&id, status, headers)).await,
            },
            Err(BY_CLIENT) => self.end(Status::Cancelled, BY_CLIENT).await,
            Err(refusal::TOO_LONG) => {
                self.end(Status::Unknown, refusal::TOO_LONG).await;
                self.say_upstream(&id, &refusal::unread(refusal::TOO_LONG));
            }
            Err(code) => {
                self.end(Status::Unknown, code).await;
                self.say_upstream(&id, "the server's answer broke off");
            }
        }
    }

    /// What the client hears of a message of the server.
    async fn heard<'t>(&self, text: &'t str) -> Heard<'t> {
        let Exchange { guard, calls, is_modern, .. } = self;
        let passes = Heard { text: Some(Cow::Borrowed(text)), ..Heard::default() };
        match Message::read(text.as_bytes()) {
            // There are servers that give a stream its first id so.
            Err(_) if text.trim() == "{}" => passes,
            Err(malformed) => {
                tracing::warn!(why = malformed.why, "what the server wrote is no message and was dropped");
                Heard::default()
            }
            Ok(Message::Notification { method, params }) => {
                guard.noticed(&method, params).await;
                self.beside(text, Some(&method), params)
            }
            Ok(Message::Response { id: None, outcome }) => {
                self.beside(text, None, Some(outcome.unwrap_or_else(|error| error)))
            }
            Ok(Message::Response { id: Some(id), outcome }) => {
                let heard = match (self.asked(&id), outcome) {
                    (Some(Asked::Pending(pending)), outcome) => {
                        guard.answered(text, &id, pending, outcome).await
                    }
                    (Some(Asked::Told(told)), outcome) => guard.again(text, &id, &told, outcome).await,
                    // Nobody asked.
                    (None, Ok(_)) => return Heard::default(),
                    (None, Err(error)) => {
                        return Heard { answers: Some(id), ..self.beside(text, None, Some(error)) };
                    }
                };
                let heard = if heard == text { Cow::Borrowed(text) } else { Cow::Owned(heard) };
                Heard { text: Some(heard), answers: Some(id), to_server: None }
            }
            Ok(Message::Request { method, .. }) if *is_modern => {
                let why = "since 2026-07-28 servers ask nothing: it was dropped";
                tracing::warn!(method = &*method, "{why}");
                if let Err(error) = Box::pin(guard.note_server(&method, "unknown_method", why)).await {
                    tracing::warn!(%error, "nor was it recorded");
                }
                Heard::default()
            }
            // What it asked already is told again on a stream that was taken up again.
            Ok(Message::Request { id, params, .. }) if calls.is_asked(&id) => self.beside(text, None, params),
            Ok(Message::Request { id, method, params }) => {
                let heard = self.beside(text, None, params);
                let refusal = match &heard.text {
                    None => refusal::kept_back(&id),
                    Some(kept) => {
                        match Box::pin(guard.server_asks(&method, message::params_of(kept), None)).await {
                            Ok(pending) => {
                                calls.server_asked(id, pending);
                                return heard;
                            }
                            Err(why) => refusal::server_asked(&id, &method, &why),
                        }
                    }
                };
                Heard { to_server: Some(refusal), ..Heard::default() }
            }
        }
    }

    /// What an answer under `id` answers; `None` where nobody asked.
    fn asked(&self, id: &Id) -> Option<Asked> {
        let own = self.origin.as_ref().filter(|sent| sent.id == *id);
        let asked = match own {
            Some(sent) => match self.calls.take(sent) {
                Some(pending) => Asked::Pending(pending),
                None if sent.is_given_up() => return None,
                None => Asked::Told(sent.pending.clone()),
            },
            None => Asked::Pending(self.calls.take_any(id)?),
        };
        Some(match own.filter(|_| !self.is_unclear) {
            Some(_) => asked,
            // On a stream that is not its own it may be the answer to an earlier request of that id.
            None => asked.held_to(self.calls.ever_masked()),
        })
    }

    /// Answers the server in place of the client: it waits for that.
    async fn tell_server(&self, text: String) {
        let onward = &self.guard.door.caller().onward;
        let headers = self.onward();
        let sent =
            self.endpoint.upstream.send(Permit::Answer, onward, Method::POST, headers, text.into()).await;
        if sent.is_err() {
            tracing::warn!("a server was not told that its request is not passed on");
        }
    }

    /// Notes whose the stream is that can be taken up again after `event`.
    fn note(&self, event: &Event) {
        if let Some(id) = event.last_id() {
            let place = Place { origin: self.origin.clone(), is_unclear: self.is_unclear };
            self.calls.note_event(id, place);
        }
    }

    /// `event`, without an id that may hold what is masked.
    fn without_telling_id(&self, event: Event) -> Event {
        let Some(id) = event.id.as_deref() else { return event };
        let masked = self.masked();
        let said = event.data.as_deref().and_then(|data| str::from_utf8(data).ok()).unwrap_or("null");
        match !masked.is_empty() && mask::is_told(id, said, &Vec::from_iter(masked)) {
            true => event.without_id(),
            false => event,
        }
    }

    /// What is kept from the caller of all that is no answer.
    fn masked(&self) -> BTreeSet<String> {
        let mut masked = match self.is_taken_up {
            // What is told again may have been withheld, for whatever was under way then.
            true => self.calls.ever_masked(),
            false => self.calls.masked(),
        };
        masked.extend(self.origin.iter().flat_map(|sent| sent.pending.mask.iter().cloned()));
        masked
    }

    /// What the client hears of `text`, which answers nothing, and in which the server says `said`, as a notification of
    /// `method` where it is one.
    fn beside<'t>(&self, text: &'t str, method: Option<&str>, said: Option<&RawValue>) -> Heard<'t> {
        Heard { text: self.guard.beside(text, method, said, self.masked()), ..Heard::default() }
    }

    /// What the client hears of `body`; `None` where it is no answer to request `id`.
    async fn answer_of(&self, body: &[u8], id: &Id) -> Option<Bytes> {
        let text = str::from_utf8(body).ok()?;
        match Message::read(body) {
            Ok(Message::Response { id: None, outcome: Err(error) }) => {
                let pending = self.calls.take(self.origin.as_ref()?)?;
                return Some(self.guard.answered(text, id, pending, Err(error)).await.into());
            }
            Ok(Message::Response { id: Some(answered), .. }) if answered == *id => {
                return self.heard(text).await.text.map(|heard| Bytes::from(heard.into_owned()));
            }
            Ok(_) => return None,
            Err(_) => {}
        }
        // There are servers that write what belongs on a stream as lines.
        let (mut lines, mut is_answered) = (Vec::new(), false);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Heard { text, answers, to_server } = self.heard(line).await;
            is_answered |= answers.as_ref() == Some(id);
            lines.extend(text);
            if let Some(refusal) = to_server {
                Box::pin(self.tell_server(refusal)).await;
            }
        }
        is_answered.then(|| lines.join("\n").into())
    }

    async fn no_message(&mut self, id: &Id, status: StatusCode, headers: HeaderMap) {
        // The server, or whoever stands before it, has said something that nobody here can read: the call may be done.
        let (ended, code) = ended_by(status).unwrap_or((Status::Unknown, refusal::MALFORMED.into()));
        self.end(ended, &code).await;
        let why = match status {
            StatusCode::UNAUTHORIZED => {
                "the server does not accept the credentials that Deed has for it".into()
            }
            _ if status.is_success() => refusal::unread(refusal::MALFORMED),
            _ => format!("the server answered with HTTP status {}", status.as_u16()),
        };
        let text = message::error(Some(id), refusal::UPSTREAM, &why, None);
        let status = match status {
            // The client is not meant: it has no credentials there.
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => StatusCode::BAD_GATEWAY,
            status if status.is_success() || status.is_redirection() => StatusCode::OK,
            status => status,
        };
        let mut reply = json(status, text);
        if let Some(after) = headers.get(header::RETRY_AFTER) {
            reply.headers_mut().insert(header::RETRY_AFTER, after.clone());
        }
        self.listener.say(reply);
    }

    pub(super) fn say_upstream(&mut self, id: &Id, why: &str) {
        let text = message::error(Some(id), refusal::UPSTREAM, why, None);
        // There are clients that read no JSON-RPC error behind a status of 500 and more.
        self.listener.say(json(StatusCode::OK, text));
    }

    /// What was sent here has no answer, and none is waited for.
    pub(super) async fn end(&self, status: Status, code: &str) {
        let Some(sent) = &self.origin else { return };
        if let Some(pending) = self.calls.take(sent) {
            sent.give_up();
            self.guard.end(&pending, status, Some(code.to_owned()), None).await;
        }
    }

    /// The answer to what asks for a stream by itself.
    pub(super) async fn pass_stream_on(mut self: Box<Self>, pending: Pending, answer: Answer) {
        if headers::media_type(answer.headers()) == "text/event-stream" {
            self.stream(None, Some(pending), answer).await;
        } else {
            self.pass_status_on(Some(pending), answer).await;
        }
    }

    /// An answer that is no message.
    pub(super) async fn pass_status_on(&mut self, pending: Option<Pending>, answer: Answer) {
        let (parts, body) = answer.into_parts();
        let mut body = whole(body, LONGEST_PLAIN, self.endpoint.upstream.patience).await.unwrap_or_default();
        if !self.calls.ever_masked().is_empty() {
            // Nobody reads it, and it could say anything.
            body.clear();
        }
        if let Some(pending) = pending {
            let (status, code) = match ended_by(parts.status) {
                None => (Status::Success, None),
                Some((status, code)) => (status, Some(code)),
            };
            self.guard.end(&pending, status, code, None).await;
        }
        let status = match parts.status {
            StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => StatusCode::BAD_GATEWAY,
            status => status,
        };
        self.listener.say(reply(status, headers::homeward(&parts.headers), body));
    }

    /// Passes events on as they come. `id` is the request that they answer; `opened` is the stream itself, where
    /// the client opened it by itself.
    async fn stream(mut self: Box<Self>, id: Option<Id>, opened: Option<Pending>, answer: Answer) {
        let (parts, body) = answer.into_parts();
        // There are servers that write what belongs on a stream as lines.
        let of = match &*headers::media_type(&parts.headers) {
            "text/event-stream" => events::Of::Blocks,
            _ => events::Of::Lines,
        };
        let (to_client, events) = mpsc::channel::<Bytes>(QUEUE);
        self.listener.say(streaming(parts.status, headers::homeward(&parts.headers), events));
        let mut stream = Stream { exchange: &self, to_client, is_left: false, can_resume: false };
        let mut events = Events::new(body, of, LONGEST);
        // What waits for whatever may happen may be silent for ever.
        let is_open = id.as_ref().is_none_or(|id| self.calls.listens(id));
        let under_way = opened.clone().or_else(|| self.calls.look(id.as_ref()?));
        let suspended = async {
            match &under_way {
                Some(pending) => self.guard.suspended(pending).await,
                None => std::future::pending().await,
            }
        };
        let lapsed = async {
            match self.guard.door.caller().term.lapsed().await {
                // What was asked in time may be answered.
                TermEnd::Expired if !is_open => std::future::pending().await,
                end => end.code(),
            }
        };
        let stopped = async {
            tokio::select! {
                () = suspended => "suspended",
                why = lapsed => why,
            }
        };
        let how = stream.run(&mut events, id.as_ref(), is_open, pin!(stopped)).await;
        if let (End::Stopped(why), Some(id)) = (how, &id) {
            stream.stop(&mut events, id, &refusal::stopped(why));
        }
        let can_resume = stream.can_resume && self.session.is_some();
        if let Some(opened) = opened {
            let code = match how {
                End::Left => BY_CLIENT,
                End::Stopped(why) => why,
                _ => "server",
            };
            self.guard.end(&opened, Status::Success, Some(code.into()), None).await;
        }
        if id.is_none() {
            return;
        }
        match how {
            End::Answered => {}
            // The answer may come on another stream, when the client takes this one up again.
            End::Left | End::Over if can_resume => {}
            End::Left => self.end(Status::Cancelled, BY_CLIENT).await,
            End::Stopped(why) if is_open => self.end(Status::Cancelled, why).await,
            // INVARIANT D11: it was let through, and what the server did of it nobody can tell.
            End::Stopped(why) | End::Unread(why) => self.end(Status::Unknown, why).await,
            End::Over => self.end(Status::Unknown, CONNECTION_ENDED).await,
        }
    }
}

/// What an answer answers.
enum Asked {
    /// It has no answer yet.
    Pending(Pending),
    /// It has, or was called off.
    Told(Pending),
}

impl Asked {
    /// The same, of which all that is `masked` is kept from the caller.
    fn held_to(mut self, masked: BTreeSet<String>) -> Self {
        let (Asked::Pending(pending) | Asked::Told(pending)) = &mut self;
        pending.mask = masked.into_iter().collect();
        self
    }
}

/// What the client hears of a message.
#[derive(Default)]
struct Heard<'t> {
    /// The message, if it hears any of it.
    text: Option<Cow<'t, str>>,
    /// The request that it answers.
    answers: Option<Id>,
    /// What the server is told in place of the client.
    to_server: Option<String>,
}

/// How a stream ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// With the answer.
    Answered,
    /// The client left, and nobody waits for the answer.
    Left,
    /// The server ended it, or was silent for too long.
    Over,
    /// An event was too long, or no message: in a word.
    Unread(&'static str),
    /// Somebody who has a part in it was suspended, or the credential holds no longer: in a word.
    Stopped(&'static str),
}

struct Stream<'x, 'e> {
    exchange: &'x Exchange<'e>,
    to_client: mpsc::Sender<Bytes>,
    /// Whether the client left.
    is_left: bool,
    /// Whether events have ids, from which the client may go on.
    can_resume: bool,
}

impl Stream<'_, '_> {
    /// Passes events on until the end, or until `stopped` says why they are not to be. What the server has said by then is
    /// dealt with to its end: what was answered is recorded (INVARIANT D11).
    async fn run(
        &mut self,
        events: &mut Events<Body>,
        id: Option<&Id>,
        is_open: bool,
        mut stopped: Pin<&mut (impl Future<Output = &'static str> + Send)>,
    ) -> End {
        let patience = if is_open { Duration::MAX } else { self.exchange.endpoint.upstream.patience };
        loop {
            // Before 2026-07-28 leaving meant nothing: the end is still to be known, unless it will be told on
            // another stream.
            if self.is_left && (self.exchange.is_modern || is_open || self.can_resume) {
                return End::Left;
            }
            let next = tokio::select! {
                why = stopped.as_mut() => return End::Stopped(why),
                next = timeout(patience, events.next()) => next.unwrap_or(None),
                () = self.to_client.closed(), if !self.is_left => {
                    self.is_left = true;
                    continue;
                }
            };
            let event = match next {
                Some(Ok(event)) => event,
                Some(Err(Broken::Unread(why))) => {
                    self.give_up(events, id, &refusal::unread(why), stopped).await;
                    return End::Unread(why);
                }
                Some(Err(Broken::Server)) => {
                    self.give_up(events, id, "the server ended before it answered", stopped).await;
                    return End::Over;
                }
                Some(Err(Broken::Connection)) | None => {
                    // Where the client can take the stream up again, the answer may come on another.
                    if !(self.can_resume && self.exchange.session.is_some()) {
                        self.give_up(events, id, "the server gave no answer", stopped).await;
                    }
                    return End::Over;
                }
            };
            if event.id.is_some() {
                self.exchange.note(&event);
            }
            let event = self.exchange.without_telling_id(event);
            self.can_resume |= event.id.is_some();
            let text = event.data.as_deref().map(|data| str::from_utf8(data).unwrap_or_default());
            let Heard { text: heard, answers: answered, to_server } = match text {
                Some(text) => self.exchange.heard(text).await,
                None => Heard { text: Some(Cow::Borrowed("")), ..Heard::default() },
            };
            let heard = heard.map(|heard| match heard {
                Cow::Borrowed(_) => event.raw.clone(),
                Cow::Owned(heard) => events.with_data(&event, &heard),
            });
            let telling = async {
                if let Some(refusal) = to_server {
                    Box::pin(self.exchange.tell_server(refusal)).await;
                }
                if let Some(heard) = heard {
                    self.send(heard).await;
                }
            };
            // Who does not listen holds nothing up.
            tokio::select! {
                biased;
                () = telling => {}
                why = stopped.as_mut() => return End::Stopped(why),
            }
            if answered.is_some() && answered.as_ref() == id {
                return End::Answered;
            }
        }
    }

    /// Tells the client that no answer to request `id` will come.
    async fn give_up(
        &mut self,
        events: &mut Events<Body>,
        id: Option<&Id>,
        why: &str,
        stopped: Pin<&mut (impl Future<Output = &'static str> + Send)>,
    ) {
        let Some(id) = id else { return };
        let text = message::error(Some(id), refusal::UPSTREAM, why, None);
        tokio::select! {
            biased;
            () = self.send(events.of_data(&text)) => {}
            _ = stopped => {}
        }
    }

    /// As [`Stream::give_up`], now: a client that reads nothing holds nothing up.
    fn stop(&mut self, events: &mut Events<Body>, id: &Id, why: &str) {
        let text = message::error(Some(id), refusal::UPSTREAM, why, None);
        self.is_left |= self.to_client.try_send(events.of_data(&text)).is_err();
    }

    async fn send(&mut self, bytes: Bytes) {
        if !self.is_left && self.to_client.send(bytes).await.is_err() {
            self.is_left = true;
        }
    }
}

/// How what was asked ended, and its code, by an HTTP status alone; `None` where that says that all is well.
///
/// INVARIANT D11: 5xx is `unknown`. A server that failed, or a proxy that lost it, may have done all of it or a part before;
/// other statuses say that it was not taken on.
fn ended_by(status: StatusCode) -> Option<(Status, String)> {
    let ended = match status {
        status if status.is_success() => return None,
        status if status.is_server_error() => Status::Unknown,
        _ => Status::Failure,
    };
    Some((ended, format!("http_{}", status.as_u16())))
}

/// A body, within a length and from a server that is not silent for longer than `patience`.
async fn whole(mut body: Body, longest: usize, patience: Duration) -> Result<Bytes, &'static str> {
    let mut whole = BytesMut::new();
    loop {
        match timeout(patience, body.frame()).await {
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > longest {
                    return Err(refusal::TOO_LONG);
                }
                whole.extend_from_slice(&data);
            }
            Ok(Some(Err(_))) => return Err(CONNECTION_ENDED),
            Err(_) => return Err("no_answer"),
        }
    }
}

fn streaming(status: StatusCode, mut headers: HeaderMap, events: mpsc::Receiver<Bytes>) -> Reply {
    headers::unbuffered(&mut headers);
    let frames = stream::unfold(events, |mut events| async {
        let bytes = events.recv().await?;
        Some((Ok(Frame::data(bytes)), events))
    });
    let mut reply = Response::new(StreamBody::new(frames).boxed_unsync());
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}
