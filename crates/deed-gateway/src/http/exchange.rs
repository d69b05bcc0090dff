//! One HTTP request of a client: what it asks is decided on, recorded, and sent to the server.

use std::sync::Arc;

use bytes::Bytes;
use deed_record::Status;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::value::RawValue;

use super::{
    Endpoint, Listener,
    headers::{self, MISMATCH},
    json, nothing, params,
    sessions::{Calls, Session, Taken},
    step_up::{self, Came},
    streams::{Origin, Place},
    upstream::{Answer, NoAnswer},
};
use crate::{
    ending::BY_CLIENT,
    guard::{Allowed, Asked, Guard, Held, Pending, Permit, Stopped},
    message::{self, Id, Malformed, Message},
    method,
    recorder::Nowhere,
    refusal,
};

/// The method that begins a session (MCP 2025-11-25).
const INITIALIZE: &str = "initialize";

pub(super) struct Exchange<'e> {
    pub(super) endpoint: &'e Endpoint,
    pub(super) guard: Guard<Nowhere>,
    /// The session it belongs to.
    pub(super) session: Option<Arc<Session>>,
    /// What has no answer yet: of the session, else of this request.
    pub(super) calls: Arc<Calls>,
    pub(super) headers: HeaderMap,
    /// Whether it is of 2026-07-28 or later.
    pub(super) is_modern: bool,
    pub(super) listener: Listener,
    /// The request that is answered, once it was sent.
    pub(super) origin: Origin,
    /// Whether its stream was taken up again: then the server may tell again what it told before.
    pub(super) is_taken_up: bool,
    /// Whether it may be the stream of another request.
    pub(super) is_unclear: bool,
}

impl Exchange<'_> {
    /// A message of the client.
    pub(super) async fn post(mut self: Box<Self>, body: &[u8], message: Result<Message<'_>, Malformed>) {
        if headers::media_type(&self.headers) != "application/json" {
            let why = "the content type must be `application/json`";
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return self.refuse(None, "unread", "media_type", refusal::INVALID_REQUEST, why, status).await;
        }
        // Whatever could be read is UTF-8.
        let text = str::from_utf8(body).unwrap_or_default();
        match message {
            Err(Malformed { code, why, id }) => {
                let status = StatusCode::BAD_REQUEST;
                self.refuse(id.as_ref(), "malformed", "malformed", code, &why, status).await;
            }
            Ok(Message::Request { id, method, params }) => self.request(text, id, &method, params).await,
            Ok(Message::Notification { method, params }) => self.notice(text, &method, params).await,
            Ok(Message::Response { id, outcome }) => self.answer(text, id, outcome).await,
        }
    }

    async fn request(mut self: Box<Self>, text: &str, id: Id, method: &str, params: Option<&RawValue>) {
        if let Err(why) = self.agree(method, params).await {
            let status = StatusCode::BAD_REQUEST;
            return self.refuse(Some(&id), method, "header_mismatch", MISMATCH, &why, status).await;
        }
        let taken = match self.calls.take_id(&id) {
            Ok(taken) => taken,
            Err(why) => {
                let (status, code) = (StatusCode::BAD_REQUEST, refusal::INVALID_REQUEST);
                return self.refuse(Some(&id), method, "no_room", code, why, status).await;
            }
        };
        if method == INITIALIZE
            && self.session.is_none()
            && let Ok(door) = self.guard.door.lasting()
        {
            self.guard.door = door;
        }
        let mut asked = match step_up::came_again(params).filter(|_| self.is_modern) {
            Some(came) => match Box::pin(self.came_again(came, &id, method, params)).await {
                Some(held) => Box::pin(self.taken_up(held)).await,
                None => return,
            },
            None => match self.guard.ask(text, &id, method, params).await {
                Asked::Held(held) if self.guard.door.shows_urls() => match self.show_url(held, &id).await {
                    Some(held) => Asked::Held(held),
                    None => return,
                },
                asked => asked,
            },
        };
        if let Asked::Held(held) = asked {
            match Box::pin(self.wait(*held, &taken)).await {
                Some(answered) => asked = answered,
                None => return,
            }
        }
        match asked {
            Asked::Go(mut allowed) => {
                // There are servers that tell the eras by whether there is any `_meta`: it is added to only where
                // it is sure which era it is. The trace stands in the headers too.
                if !self.is_modern && (self.session.is_none() || headers::claims_modern(&self.headers)) {
                    text.clone_into(&mut allowed.text);
                }
                self.go(taken, id, *allowed).await;
            }
            Asked::Reply(text) => {
                let status = self.status_of(&text);
                self.listener.say(json(status, text));
            }
            // It was waited for.
            Asked::Held(_) => {}
        }
    }

    /// Whether headers and body say the same.
    async fn agree(&self, method: &str, params: Option<&RawValue>) -> Result<(), String> {
        headers::check(&self.headers, method, params)?;
        match headers::named(params).filter(|_| self.is_modern && method == method::TOOL_CALL) {
            Some(tool) => params::check(&self.headers, &self.guard.mirrored(&tool).await, params),
            None => Ok(()),
        }
    }

    /// Has the client show its user where a human can approve; the call, where it must wait here after all.
    async fn show_url(&mut self, held: Box<Held>, id: &Id) -> Option<Box<Held>> {
        let host = self.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let home = self.endpoint.home.clone().or(host.map(|host| format!("http://{host}")));
        let Some(home) = home else { return Some(held) };
        let action = held.intent.id;
        let url = format!("{home}/approvals/{action}");
        if !self.is_modern {
            let (pending, code) = (Pending::new(held.intent), Some("url_shown".into()));
            self.guard.end(&pending, Status::Denied, code, None).await;
            self.listener.say(json(StatusCode::OK, step_up::url_needed(id, action, &url)));
            return None;
        }
        let caller = self.guard.door.caller().clone();
        match self.endpoint.held.keep(caller, *held) {
            Ok(state) => {
                let text = step_up::input_required(id, action, &url, &state);
                self.listener.say(json(StatusCode::OK, text));
                None
            }
            Err(held) => Some(held),
        }
    }

    /// A client that was shown where a human can approve: the call that was held for it, under its new id.
    async fn came_again(
        &mut self,
        came: Came,
        id: &Id,
        method: &str,
        params: Option<&RawValue>,
    ) -> Option<Box<Held>> {
        let asks = self.guard.door.intent(method, params);
        let caller = self.guard.door.caller();
        let held = asks.ok().and_then(|asks| self.endpoint.held.take(&came.state, caller, &asks));
        let Some(Held { text, intent, answer, .. }) = held else {
            let why = "the request state is not known, has expired, was used, or is of another request";
            let status = StatusCode::BAD_REQUEST;
            self.refuse(Some(id), method, "unknown_state", refusal::INVALID_PARAMS, why, status).await;
            return None;
        };
        if !came.accepted {
            let pending = Pending::new(intent);
            self.guard.end(&pending, Status::Cancelled, Some("declined".into()), None).await;
            let text =
                message::error(Some(id), refusal::DENIED, "not done: whoever was asked declined", None);
            self.listener.say(json(StatusCode::OK, text));
            return None;
        }
        let text = message::with_id(&text, id).unwrap_or_default();
        Some(Box::new(Held { text, id: id.clone(), intent, answer }))
    }

    /// What becomes of a call that was held. Where the client shows another credential by now, or the server is shown another
    /// token, it is asked for anew: its record names the earlier one. An approval that came meanwhile is good for it.
    async fn taken_up(&self, held: Box<Held>) -> Asked {
        let caller = self.guard.door.caller();
        if held.intent.upstream.as_deref() == caller.onward.id()
            && held.intent.credential.as_deref().map(RawValue::get)
                == caller.credential.as_deref().map(RawValue::get)
        {
            return Asked::Held(held);
        }
        let Held { text, id, intent, .. } = *held;
        let params = message::params_of(&text);
        let asked = self.guard.ask(&text, &id, &intent.method, params).await;
        self.guard.end(&Pending::new(intent), Status::Cancelled, Some("asked_again".into()), None).await;
        asked
    }

    /// Waits for a human. Whoever leaves meanwhile, or calls it off, wants it no longer.
    async fn wait(&mut self, held: Held, taken: &Taken) -> Option<Asked> {
        let pending = Pending::new(held.intent.clone());
        tokio::select! {
            asked = self.guard.wait(held) => return Some(asked),
            () = self.listener.gone() => {}
            () = taken.is_called_off() => {}
        }
        self.called_off(&pending).await;
        None
    }

    /// The client wants it no longer, and the server has not heard of it.
    async fn called_off(&mut self, pending: &Pending) {
        self.guard.end(pending, Status::Cancelled, Some(BY_CLIENT.into()), None).await;
        self.listener.say(nothing(StatusCode::ACCEPTED));
    }

    /// Sends what was let through.
    async fn go(mut self: Box<Self>, taken: Taken, id: Id, allowed: Allowed) {
        let Allowed { text, pending, recorded } = allowed;
        if self.is_modern && self.listener.is_gone() {
            return self.guard.end(&pending, Status::Cancelled, Some(BY_CLIENT.into()), None).await;
        }
        let mut headers = self.onward();
        let place = &pending.intent.place;
        headers::trace(&mut headers, place.trace_id, place.span_id);
        self.origin = match self.calls.begin(taken, pending) {
            Ok(sent) => Some(sent),
            Err(pending) => return self.called_off(&pending).await,
        };
        let permit = Permit::Recorded(recorded);
        let onward = self.guard.door.caller().onward.clone();
        let sent = self.endpoint.upstream.send(permit, &onward, Method::POST, headers, text.into());
        // Whoever of 2026-07-28 closes the connection cancels; before, that meant nothing.
        let answer = tokio::select! {
            answer = sent => Some(answer),
            () = self.listener.gone(), if self.is_modern => None,
        };
        match answer {
            Some(Ok(answer)) => self.answered(id, answer).await,
            Some(Err(why)) => self.unanswered(&id, why).await,
            None => self.end(Status::Cancelled, BY_CLIENT).await,
        }
    }

    async fn answered(mut self: Box<Self>, id: Id, answer: Answer) {
        // Only the answer to `initialize` may begin a session, and its door lasts.
        if self.session.is_none()
            && !self.is_modern
            && let Some(session) = answer.headers().get(headers::SESSION)
            && self.guard.door.session().is_some()
        {
            let (door, calls) = (self.guard.door.clone(), self.calls.clone());
            let gone = self.endpoint.sessions.begin(session.clone(), door, calls);
            for pending in gone.iter().flat_map(|session| session.calls.abandon()) {
                self.guard.end(&pending, Status::Unknown, Some("session_ended".into()), None).await;
            }
            self.session = self.endpoint.sessions.of(session, self.guard.door.caller());
        }
        self.pass_on(Some(id), answer).await;
    }

    async fn unanswered(&mut self, id: &Id, why: NoAnswer) {
        let text = match &why {
            NoAnswer::Unreachable => "the server cannot be reached".into(),
            NoAnswer::NotStarted(why) => format!("the server cannot be started: {why}"),
            NoAnswer::Broken("server_ended") => "the server ended before it answered".into(),
            NoAnswer::Broken(why @ (refusal::MALFORMED | refusal::TOO_LONG)) => refusal::unread(why),
            NoAnswer::Broken(_) => "the server gave no answer".into(),
            NoAnswer::Withheld => "the token for the server holds no more".into(),
        };
        let (status, code) = why.ends();
        self.end(status, code).await;
        self.say_upstream(id, &text);
    }

    async fn notice(mut self: Box<Self>, text: &str, method: &str, params: Option<&RawValue>) {
        if !method::is_client_notification(method) {
            let why = "nobody here knows this notification";
            return self.swallow(method, "unknown_method", why).await;
        }
        if method == method::CANCELLED
            && let Some(id) = params.and_then(method::cancelled_id)
            && let Some(pending) = self.calls.take_any(&id)
        {
            self.guard.end(&pending, Status::Cancelled, Some(BY_CLIENT.into()), None).await;
        } else if method == method::CANCELLED
            && let Some(id) = params.and_then(method::cancelled_id)
            && self.calls.call_off(&id)
        {
            return self.listener.say(nothing(StatusCode::ACCEPTED));
        }
        self.pass(Permit::Notice, Method::POST, text).await;
    }

    /// An answer of the client. Only what the server asked can be answered.
    async fn answer(mut self: Box<Self>, text: &str, id: Option<Id>, outcome: Result<&RawValue, &RawValue>) {
        match id.and_then(|id| self.calls.take_asked(&id)) {
            Some(pending) => {
                self.guard.conclude(&pending, outcome).await;
                self.pass(Permit::Answer, Method::POST, text).await;
            }
            None => self.swallow("response", "unasked", "an answer to what nobody asked").await,
        }
    }

    /// Says what a server says that accepts a message and does nothing on it (MCP, Streamable HTTP, Sending Messages). It is
    /// recorded as refused, and goes no further.
    async fn swallow(&mut self, method: &str, sort: &str, why: &str) {
        let reply = match self.guard.note(method, sort, why).await {
            Ok(()) => nothing(StatusCode::ACCEPTED),
            Err(error) => {
                let text = message::error(None, refusal::UNAVAILABLE, &error.to_string(), None);
                json(StatusCode::SERVICE_UNAVAILABLE, text)
            }
        };
        self.listener.say(reply);
    }

    /// Opens the stream on which a server of 2025-11-25 speaks first, or takes up one that broke.
    pub(super) async fn open_stream(mut self: Box<Self>) {
        if self.headers.contains_key(headers::LAST_EVENT) && !self.take_up() {
            let (status, code) = (StatusCode::BAD_REQUEST, refusal::INVALID_REQUEST);
            let why = "nobody has heard this event in this session, or it was too long ago: its stream cannot be taken up again";
            return self.refuse(None, Method::GET.as_str(), "unknown_event", code, why, status).await;
        }
        let Some((pending, recorded)) = self.plainly(Method::GET).await else { return };
        let permit = Permit::Recorded(recorded);
        let onward = self.guard.door.caller().onward.clone();
        let sent = self.endpoint.upstream.send(permit, &onward, Method::GET, self.onward(), Bytes::new());
        let answer = tokio::select! {
            answer = sent => answer,
            () = self.listener.gone() => Err(NoAnswer::Broken(BY_CLIENT)),
        };
        match answer {
            Ok(answer) => self.pass_stream_on(pending, answer).await,
            Err(why) => self.not_plainly(pending, why).await,
        }
    }

    /// Goes on with the stream of the one event that is named; whether anybody can tell which that is.
    fn take_up(&mut self) -> bool {
        let mut named = self.headers.get_all(headers::LAST_EVENT).iter();
        let (Some(event), None) = (named.next(), named.next()) else { return false };
        let place = str::from_utf8(event.as_bytes()).ok().and_then(|event| self.calls.place(event));
        let Some(Place { origin, is_unclear }) = place else { return false };
        (self.origin, self.is_unclear, self.is_taken_up) = (origin, is_unclear, true);
        true
    }

    /// Ends a session (MCP 2025-11-25).
    pub(super) async fn end_session(mut self: Box<Self>) {
        let Some((pending, recorded)) = self.plainly(Method::DELETE).await else { return };
        let permit = Permit::Recorded(recorded);
        let onward = &self.guard.door.caller().onward;
        let sent =
            self.endpoint.upstream.send(permit, onward, Method::DELETE, self.onward(), Bytes::new()).await;
        match sent {
            Ok(answer) => {
                if answer.status().is_success()
                    && let Some(session) = &self.session
                {
                    self.endpoint.end_session(&session.id, &self.guard, Status::Cancelled).await;
                }
                self.pass_status_on(Some(pending), answer).await;
            }
            Err(why) => self.not_plainly(pending, why).await,
        }
    }

    /// Whatever else HTTP can ask: a server of MCP knows nothing of it, and hears nothing.
    pub(super) async fn other_method(mut self: Box<Self>) {
        let why = "expected POST, GET or DELETE";
        let text = self.guard.refuse(None, "unread", "method", refusal::INVALID_REQUEST, why).await;
        let mut reply = json(StatusCode::METHOD_NOT_ALLOWED, text);
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("DELETE, GET, POST"));
        self.listener.say(reply);
    }

    async fn plainly(&mut self, method: Method) -> Option<(Pending, crate::recorder::RecordedIntent)> {
        let (status, text) = match self.guard.ask_plainly(method.as_str()).await {
            Ok(asked) => return Some(asked),
            Err(Stopped::Refused(answer)) => {
                (StatusCode::FORBIDDEN, message::error(None, refusal::DENIED, &answer.reason, None))
            }
            Err(Stopped::Unrecorded(why)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                message::error(None, refusal::UNAVAILABLE, &why.to_string(), None),
            ),
        };
        self.listener.say(json(status, text));
        None
    }

    async fn not_plainly(&mut self, pending: Pending, why: NoAnswer) {
        let (status, code) = why.ends();
        self.guard.end(&pending, status, Some(code.into()), None).await;
        let text = message::error(None, refusal::UPSTREAM, "the server gave no answer", None);
        self.listener.say(json(StatusCode::BAD_GATEWAY, text));
    }

    /// Sends what asks for nothing.
    async fn pass(&mut self, permit: Permit, method: Method, text: &str) {
        let body = Bytes::copy_from_slice(text.as_bytes());
        let onward = &self.guard.door.caller().onward;
        match self.endpoint.upstream.send(permit, onward, method, self.onward(), body).await {
            Ok(answer) => self.pass_status_on(None, answer).await,
            Err(_) => {
                let text = message::error(None, refusal::UPSTREAM, "the server gave no answer", None);
                self.listener.say(json(StatusCode::BAD_GATEWAY, text));
            }
        }
    }

    pub(super) fn onward(&self) -> HeaderMap {
        let mut onward = headers::onward(&self.headers, self.session.as_ref().map(|session| &session.id));
        if !self.is_taken_up {
            onward.remove(headers::LAST_EVENT);
        }
        onward
    }

    /// Refuses a message, having recorded that.
    async fn refuse(
        &mut self,
        id: Option<&Id>,
        method: &str,
        sort: &str,
        code: i64,
        why: &str,
        status: StatusCode,
    ) {
        let text = Box::pin(self.guard.refuse(id, method, sort, code, why)).await;
        self.listener.say(json(status, text));
    }

    /// The status of what Deed itself answers.
    fn status_of(&self, text: &str) -> StatusCode {
        match message::error_code(text) {
            // Since 2026-07-28; before, HTTP and JSON-RPC knew nothing of each other.
            Some(refusal::METHOD_NOT_FOUND) if self.is_modern => StatusCode::NOT_FOUND,
            // There are clients that read no JSON-RPC error behind a status of 500 and more.
            _ => StatusCode::OK,
        }
    }
}
