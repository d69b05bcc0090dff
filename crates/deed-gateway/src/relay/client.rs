//! What the client sends: decided on side by side, forwarded in order.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    sync::Arc,
};

use deed_record::Status;
use futures::{
    StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};
use serde_json::value::RawValue;
use tokio::{io::AsyncBufRead, sync::mpsc};

use super::{Deciding, Forward, LONGEST, Relay, lock, take};
use crate::{
    ending::{BY_CLIENT, CONNECTION_ENDED},
    guard::{Allowed, Asked, Held, Pending, Permit},
    lines::{Line, Lines},
    message::{Id, Message},
    method,
    recorder::Road,
    refusal,
};

/// Messages of the client that are being decided on at a time.
const UNDER_WAY: usize = 64;
/// Requests without an answer at a time.
const MOST_PENDING: usize = 4096;
/// Ids that are kept from other requests, for they were called off and not answered since.
const MOST_CALLED_OFF: usize = 65_536;

/// What becomes of a message of the client.
enum Step {
    Forward(Forward),
    /// A human must answer first; others need not wait for that.
    Wait(Box<Held>),
    Reply(String),
    Nothing,
}

impl<R: Road> Relay<R> {
    pub(super) async fn read_client(
        self: Arc<Self>,
        stream: impl AsyncBufRead + Unpin,
        to_client: mpsc::Sender<String>,
        to_server: mpsc::Sender<Forward>,
    ) -> io::Result<()> {
        let mut steps: FuturesOrdered<Pin<Box<dyn Future<Output = Step> + Send>>> = FuturesOrdered::new();
        let mut held = FuturesUnordered::new();
        let mut lines = Lines::new(stream, LONGEST);
        let (mut at_end, mut ends) = (false, pin!(self.ends()));
        loop {
            let step = tokio::select! {
                biased;
                Some(step) = steps.next() => step,
                Some(step) = held.next() => step,
                () = &mut ends, if !at_end => {
                    at_end = true;
                    continue;
                }
                line = lines.next(), if !at_end && steps.len() < UNDER_WAY => {
                    match line? {
                        Some(line) => steps.push_back(Box::pin(self.clone().client_line(line))),
                        None => at_end = true,
                    }
                    continue;
                }
                else => return Ok(()),
            };
            let sent = match step {
                Step::Forward(forward) => to_server.send(forward).await.is_ok(),
                Step::Reply(text) => self.tell(&to_client, text).await,
                Step::Wait(waits) => {
                    held.push(self.wait(waits));
                    true
                }
                Step::Nothing => true,
            };
            // What is under way is seen to its end all the same.
            at_end |= !sent;
        }
    }

    /// One message of the client.
    async fn client_line(self: Arc<Self>, line: Line) -> Step {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong { bytes, .. } => {
                let why = format!("{bytes} bytes; a message has at most {LONGEST}");
                return self.refuse(None, "malformed", "too_long", refusal::INVALID_REQUEST, &why).await;
            }
        };
        let text = str::from_utf8(&line).unwrap_or_default();
        match Message::read(&line) {
            Err(malformed) => {
                self.refuse(malformed.id.as_ref(), "malformed", "malformed", malformed.code, &malformed.why)
                    .await
            }
            Ok(Message::Request { id, method, params }) => self.request(text, id, &method, params).await,
            Ok(Message::Notification { method, params }) => self.notice(text, &method, params).await,
            Ok(Message::Response { id, outcome }) => {
                // Only what the server asked can be answered.
                match id.and_then(|id| take(&self.asked, &id)) {
                    Some(pending) => {
                        self.guard.conclude(&pending, outcome).await;
                        Step::Forward(Forward { text: text.to_owned(), by: Permit::Answer })
                    }
                    None => Step::Nothing,
                }
            }
        }
    }

    async fn request(&self, text: &str, id: Id, method: &str, params: Option<&RawValue>) -> Step {
        // An answer says no more than the id: which of two requests it is for, nobody could tell.
        let is_new = !lock(&self.pending).contains_key(&id)
            && !lock(&self.called_off).contains(&id)
            && lock(&self.deciding).insert(id.clone(), Deciding::default()).is_none();
        if !is_new {
            let why = "a request of this id has no answer yet";
            return self.refuse(Some(&id), method, "duplicate_id", refusal::INVALID_REQUEST, why).await;
        }
        let step = self.decide(text, &id, method, params).await;
        if !matches!(step, Step::Wait(_)) {
            lock(&self.deciding).remove(&id);
        }
        step
    }

    async fn decide(&self, text: &str, id: &Id, method: &str, params: Option<&RawValue>) -> Step {
        if lock(&self.pending).len() >= MOST_PENDING {
            let why = "too many requests have no answer yet";
            return self.refuse(Some(id), method, "too_many", refusal::INVALID_REQUEST, why).await;
        }
        let asked = self.guard.ask(text, id, method, params).await;
        self.step(id, asked).await
    }

    async fn step(&self, id: &Id, asked: Asked) -> Step {
        let Allowed { text, pending, recorded } = match asked {
            Asked::Go(allowed) => *allowed,
            Asked::Held(held) => return Step::Wait(held),
            Asked::Reply(text) => return Step::Reply(text),
        };
        // Called off while it was decided on: the server never hears of it.
        if lock(&self.deciding).get(id).is_some_and(|deciding| deciding.is_off) {
            return self.call_off(&pending, BY_CLIENT).await;
        }
        if self.is_ending() {
            return self.call_off(&pending, CONNECTION_ENDED).await;
        }
        lock(&self.pending).insert(id.clone(), pending);
        Step::Forward(Forward { text, by: Permit::Recorded(recorded) })
    }

    /// Waits for a human.
    async fn wait(&self, held: Box<Held>) -> Step {
        let (id, pending) = (held.id.clone(), Pending::new(held.intent.clone()));
        let waits = lock(&self.deciding).get(&id).map(|deciding| deciding.waits.clone()).unwrap_or_default();
        let step = tokio::select! {
            asked = self.guard.wait(*held) => self.step(&id, asked).await,
            // Nobody is to approve what nobody wants any more.
            () = waits.notified() => self.call_off(&pending, BY_CLIENT).await,
            () = self.ends() => self.call_off(&pending, CONNECTION_ENDED).await,
        };
        lock(&self.deciding).remove(&id);
        step
    }

    /// It was never forwarded, and will not be.
    async fn call_off(&self, pending: &Pending, code: &str) -> Step {
        self.guard.end(pending, Status::Cancelled, Some(code.into()), None).await;
        Step::Nothing
    }

    async fn notice(&self, text: &str, method: &str, params: Option<&RawValue>) -> Step {
        if !method::is_client_notification(method) {
            let why = "nobody here knows this notification";
            return match self.refuse(None, method, "unknown_method", refusal::METHOD_NOT_FOUND, why).await {
                // Nobody waits for an answer to a notification.
                Step::Reply(_) => Step::Nothing,
                step => step,
            };
        }
        if method == method::CANCELLED
            && let Some(id) = params.and_then(method::cancelled_id)
        {
            if let Some(deciding) = lock(&self.deciding).get_mut(&id) {
                deciding.is_off = true;
                deciding.waits.notify_one();
                return Step::Nothing;
            }
            let Some(pending) = take(&self.pending, &id) else { return Step::Nothing };
            self.guard.end(&pending, Status::Cancelled, Some(BY_CLIENT.into()), None).await;
            self.may_be_answered(id);
        }
        Step::Forward(Forward { text: text.to_owned(), by: Permit::Notice })
    }

    /// Keeps the id of what was called off from other requests.
    fn may_be_answered(&self, id: Id) {
        let mut called_off = lock(&self.called_off);
        let one = if called_off.len() < MOST_CALLED_OFF { None } else { called_off.iter().next().cloned() };
        if let Some(one) = one {
            called_off.remove(&one);
        }
        called_off.insert(id);
    }

    /// Refuses a message, having recorded that.
    async fn refuse(&self, id: Option<&Id>, method: &str, sort: &str, code: i64, why: &str) -> Step {
        Step::Reply(self.guard.refuse(id, method, sort, code, why).await)
    }
}
