//! A connection over two streams of lines, as stdio is: one message a line, many requests under way at once.
//!
//! What the client sends is decided on side by side and forwarded in order: no server sees a later message
//! before an earlier one. Answers pass at once; how a request ended is recorded behind them.

use std::{
    collections::HashMap,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use deed_record::{Ruling, Status};
use futures::{
    StreamExt,
    stream::{FuturesOrdered, FuturesUnordered},
};
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufRead, AsyncWrite, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};

use crate::{
    conclusions::Conclusions,
    door::{Door, now},
    ending,
    intent::{Answer, Conclusion, Intent, Listing, keeps_payload},
    lines::{self, Line},
    listing,
    mask::{self, Masked},
    message::{self, Id, Message},
    method,
    recorder::{RecordedIntent, Recorder, Road, Unavailable, Verdict},
    refusal, trace,
};

/// The longest message, in bytes.
pub const LONGEST: usize = 64 << 20;
/// Messages of the client that are being decided on at a time.
const UNDER_WAY: usize = 64;
/// Requests without an answer at a time.
const MOST_PENDING: usize = 4096;
/// Messages that wait to be written.
const QUEUE: usize = 64;
/// How long the last outcomes may take to be recorded when a connection ends.
const CLOSING: Duration = Duration::from_secs(5);

/// What the server may be sent. Nothing else goes there.
struct Forward {
    text: String,
    by: Permit,
}

/// By what right a message is forwarded (INVARIANT D1).
enum Permit {
    /// It asks for something, and that is recorded.
    Recorded(RecordedIntent),
    /// It asks for nothing: one of the notifications that the protocol knows.
    Notice,
    /// It answers what the server asked, which is recorded.
    Answer,
}

impl Forward {
    /// The text, on its way. The permit is used up.
    fn let_go(self) -> String {
        if let Permit::Recorded(recorded) = self.by {
            tracing::trace!(intent = %recorded.id(), "forwarded");
        }
        self.text
    }
}

/// What becomes of a message of the client.
enum Step {
    Forward(Forward),
    /// A human must answer first; others need not wait for that.
    Wait(Box<Held>),
    Reply(String),
    Nothing,
}

/// A request that has no answer yet.
struct Pending {
    intent: Intent,
    /// Whether payloads are kept whole.
    whole: bool,
    /// Fields of the result that the caller must not see.
    mask: Vec<String>,
    since: Instant,
}

/// A request that a human must approve.
struct Held {
    text: String,
    id: Id,
    intent: Intent,
    answer: Answer,
}

/// A client and a server, with a door between them.
pub struct Relay<R: Road> {
    door: Door,
    recorder: Recorder<R>,
    /// How long a request waits for a human.
    patience: Duration,
    conclusions: Conclusions,
    /// What the client asked.
    pending: Mutex<HashMap<Id, Pending>>,
    /// Ids of requests that are being decided on, and whether the client no longer wants them.
    deciding: Mutex<HashMap<Id, bool>>,
    /// What the server asked.
    asked: Mutex<HashMap<Id, Pending>>,
}

impl<R: Road> Relay<R> {
    /// A relay through `door`, recording by `recorder`; what a human must approve waits for `patience`.
    pub fn new(door: Door, recorder: Recorder<R>, patience: Duration) -> Arc<Self> {
        Arc::new(Relay {
            door,
            patience,
            conclusions: Conclusions::new(recorder.clone()),
            recorder,
            pending: Mutex::default(),
            deciding: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// Relays until either side ends; the client's end closes `server_in`, whose server then may still answer.
    ///
    /// # Errors
    /// A stream broke.
    pub async fn run(
        self: Arc<Self>,
        client_in: impl AsyncBufRead + Unpin + Send + 'static,
        client_out: impl AsyncWrite + Unpin + Send + 'static,
        server_out: impl AsyncBufRead + Unpin + Send,
        server_in: impl AsyncWrite + Unpin + Send + 'static,
    ) -> io::Result<()> {
        let (to_client, replies) = mpsc::channel::<String>(QUEUE);
        let (to_server, forwards) = mpsc::channel::<Forward>(QUEUE);
        let writing = tokio::spawn(write_all(replies, client_out, |text| text));
        let forwarding = tokio::spawn(write_all(forwards, server_in, Forward::let_go));
        let reading = tokio::spawn(self.clone().read_client(client_in, to_client.clone(), to_server));
        // The server's end is the end: whatever was asked stays without an answer.
        let answered = self.read_server(server_out, to_client).await;
        reading.abort();
        forwarding.abort();
        self.abandon().await;
        // The client may be gone, and then it is not told.
        drop(timeout(CLOSING, writing).await);
        self.conclusions.finish(CLOSING).await;
        answered
    }

    async fn read_client(
        self: Arc<Self>,
        mut stream: impl AsyncBufRead + Unpin,
        to_client: mpsc::Sender<String>,
        to_server: mpsc::Sender<Forward>,
    ) -> io::Result<()> {
        let mut steps: FuturesOrdered<Pin<Box<dyn Future<Output = Step> + Send>>> = FuturesOrdered::new();
        let mut held = FuturesUnordered::new();
        let mut at_end = false;
        loop {
            let step = tokio::select! {
                biased;
                Some(step) = steps.next() => step,
                Some(step) = held.next() => step,
                line = lines::next(&mut stream, LONGEST), if !at_end && steps.len() < UNDER_WAY => {
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
                Step::Reply(text) => to_client.send(text).await.is_ok(),
                Step::Wait(waits) => {
                    held.push(self.wait(waits));
                    true
                }
                Step::Nothing => true,
            };
            if !sent {
                return Ok(());
            }
        }
    }

    /// One message of the client.
    async fn client_line(self: Arc<Self>, line: Line) -> Step {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong(bytes) => {
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
                        self.conclude(pending, outcome).await;
                        Step::Forward(Forward { text: text.to_owned(), by: Permit::Answer })
                    }
                    None => Step::Nothing,
                }
            }
        }
    }

    async fn request(&self, text: &str, id: Id, method: &str, params: Option<&RawValue>) -> Step {
        let is_new = !lock(&self.pending).contains_key(&id)
            && lock(&self.deciding).insert(id.clone(), false).is_none();
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
        if method::class(method).is_none() {
            let why = "nobody here knows this method";
            return self.refuse(Some(id), method, "unknown_method", refusal::METHOD_NOT_FOUND, why).await;
        }
        if lock(&self.pending).len() >= MOST_PENDING {
            let why = "too many requests have no answer yet";
            return self.refuse(Some(id), method, "too_many", refusal::INVALID_REQUEST, why).await;
        }
        let intent = match self.door.intent(method, params) {
            Ok(intent) => intent,
            Err(why) => return Step::Reply(refusal::unavailable(id, None, method, &why, params)),
        };
        match self.recorder.intend(&intent).await {
            Ok(Verdict::Go(recorded)) => self.go(text, id, params, intent, recorded).await,
            Ok(Verdict::Stop(answer)) if answer.effect == Ruling::StepUp && !self.patience.is_zero() => {
                Step::Wait(Box::new(Held { text: text.to_owned(), id: id.clone(), intent, answer }))
            }
            Ok(Verdict::Stop(answer)) => self.stop(id, params, intent, &answer).await,
            Err(why) => Step::Reply(refusal::unavailable(id, Some(&intent), method, &why, params)),
        }
    }

    async fn go(
        &self,
        text: &str,
        id: &Id,
        params: Option<&RawValue>,
        intent: Intent,
        recorded: RecordedIntent,
    ) -> Step {
        let place = &intent.place;
        let text = match place.parent_span_id {
            Some(_) => text.to_owned(),
            None => trace::with_trace(text, params, place.trace_id, place.span_id),
        };
        let obligations = &recorded.answer().obligations;
        let (whole, mask) = (keeps_payload(obligations), obligations.mask.clone());
        let pending = Pending { intent, whole, mask, since: Instant::now() };
        // Called off while it was decided on: the server never hears of it.
        if lock(&self.deciding).get(id).copied().unwrap_or_default() {
            self.end(&pending, Status::Cancelled, Some("client".into()), None).await;
            return Step::Nothing;
        }
        lock(&self.pending).insert(id.clone(), pending);
        Step::Forward(Forward { text, by: Permit::Recorded(recorded) })
    }

    /// What is not done ends here. Whatever else stops it, the decision point has said so already.
    async fn stop(&self, id: &Id, params: Option<&RawValue>, intent: Intent, answer: &Answer) -> Step {
        let reply = refusal::denied(id, &intent, answer, params);
        if answer.effect == Ruling::StepUp {
            let pending = Pending { intent, whole: true, mask: Vec::new(), since: Instant::now() };
            self.end(&pending, Status::Denied, Some("not_approved_in_time".into()), None).await;
        }
        Step::Reply(reply)
    }

    /// Waits for a human.
    async fn wait(&self, held: Box<Held>) -> Step {
        let Held { text, id, intent, answer } = *held;
        let verdict = self.recorder.wait(&answer, self.patience).await;
        let Ok(Message::Request { params, .. }) = Message::read(text.as_bytes()) else {
            return Step::Nothing;
        };
        let step = match verdict {
            Ok(Verdict::Go(recorded)) => self.go(&text, &id, params, intent, recorded).await,
            Ok(Verdict::Stop(answer)) => self.stop(&id, params, intent, &answer).await,
            Err(why) => Step::Reply(refusal::unavailable(&id, Some(&intent), &intent.method, &why, params)),
        };
        lock(&self.deciding).remove(&id);
        step
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
            && let Some(id) = params.and_then(cancelled_id)
        {
            if let Some(is_off) = lock(&self.deciding).get_mut(&id) {
                *is_off = true;
                return Step::Nothing;
            }
            let Some(pending) = take(&self.pending, &id) else { return Step::Nothing };
            self.end(&pending, Status::Cancelled, Some("client".into()), None).await;
        }
        Step::Forward(Forward { text: text.to_owned(), by: Permit::Notice })
    }

    /// Refuses a message, having recorded that.
    async fn refuse(&self, id: Option<&Id>, method: &str, sort: &str, code: i64, why: &str) -> Step {
        let refused = match self.door.refusal(method, sort, why) {
            Ok(intent) => self.recorder.intend(&intent).await,
            Err(error) => Err(error),
        };
        Step::Reply(match refused {
            Ok(_) => message::error(id, code, why, None),
            Err(error) => message::error(id, code, &format!("{why}; {error}"), None),
        })
    }

    async fn read_server(
        &self,
        mut stream: impl AsyncBufRead + Unpin,
        to_client: mpsc::Sender<String>,
    ) -> io::Result<()> {
        while let Some(line) = lines::next(&mut stream, LONGEST).await? {
            let Line::Whole(line) = line else {
                // Which request it answers is not known; that one ends as `unknown`.
                tracing::warn!("a message of the server is too long and was dropped");
                continue;
            };
            let text = match Message::read(&line) {
                Err(malformed) => {
                    tracing::warn!(
                        why = malformed.why,
                        "what the server wrote is no message and was dropped"
                    );
                    continue;
                }
                Ok(Message::Response { id: Some(id), outcome }) => match take(&self.pending, &id) {
                    Some(pending) => {
                        self.answered(str::from_utf8(&line).unwrap_or_default(), &id, pending, outcome).await
                    }
                    // Nobody asked, or nobody waits any more.
                    None => continue,
                },
                Ok(Message::Response { id: None, .. } | Message::Notification { .. }) => text_of(&line),
                Ok(Message::Request { id, method, params }) => {
                    match self.server_asks(&id, &method, params).await {
                        Ok(()) => text_of(&line),
                        Err(why) => {
                            tracing::warn!(%why, method = &*method, "a request of the server was not passed on");
                            continue;
                        }
                    }
                }
            };
            if to_client.send(text).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What the client hears of an answer; all of it, unless policy says otherwise.
    async fn answered(
        &self,
        text: &str,
        id: &Id,
        pending: Pending,
        outcome: Result<&RawValue, &RawValue>,
    ) -> String {
        let heard = match outcome {
            Ok(result) if pending.intent.method == method::TOOL_LIST => {
                self.listed(text, id, &pending, result).await
            }
            Ok(result) if !pending.mask.is_empty() => return self.masked(text, id, pending, result).await,
            _ => text.to_owned(),
        };
        self.conclude(pending, outcome).await;
        heard
    }

    /// An answer to `tools/list`: what is new in it is pinned or held, and nobody sees what they may not use.
    async fn listed(&self, text: &str, id: &Id, pending: &Pending, result: &RawValue) -> String {
        let tools = listing::tools(result);
        for tool in &tools {
            self.door.learn_definition(tool.name.clone(), tool.digest.clone());
        }
        let listing =
            Listing { server: self.door.server().to_owned(), place: pending.intent.place.clone(), tools };
        match self.recorder.catalog(&listing).await {
            Ok(shown) if shown.hidden.is_empty() && !shown.personal => text.to_owned(),
            Ok(shown) => listing::without_hidden(text, result, &shown),
            Err(why) => refusal::unavailable(id, Some(&pending.intent), method::TOOL_LIST, &why, None),
        }
    }

    /// A result without what policy keeps from the caller (T5).
    async fn masked(&self, text: &str, id: &Id, pending: Pending, result: &RawValue) -> String {
        let (heard, status, code, kept) = match mask::mask(result.get(), &pending.mask) {
            Masked::Untouched => {
                self.conclude(pending, Ok(result)).await;
                return text.to_owned();
            }
            Masked::Without(result, fields) => {
                let (status, code) = ending::of_text(&result);
                (message::result(id, &result), status, code.or(Some(format!("masked_{fields}"))), result)
            }
            Masked::Withheld => {
                let said = refusal::withheld(id, &pending.intent);
                (said, Status::Denied, Some("withheld".to_owned()), "null".to_owned())
            }
        };
        // The record holds what the caller got: what was blocked is nowhere.
        let kept =
            RawValue::from_string(kept).ok().map(|kept| ending::kept(&kept, pending.whole).into_owned());
        self.end(&pending, status, code, kept).await;
        heard
    }

    /// What the server asks of the client is recorded before the client hears it.
    async fn server_asks(&self, id: &Id, method: &str, params: Option<&RawValue>) -> Result<(), Unavailable> {
        let intent = if method::is_server_request(method) {
            self.door.server_intent(method, params)?
        } else {
            self.door.refusal(method, "unknown_method", "nobody here knows this request of the server")?
        };
        match self.recorder.intend(&intent).await? {
            Verdict::Go(_) => {
                let pending = Pending { intent, whole: true, mask: Vec::new(), since: Instant::now() };
                lock(&self.asked).insert(id.clone(), pending);
                Ok(())
            }
            Verdict::Stop(answer) => Err(Unavailable::new(answer.reason)),
        }
    }

    async fn conclude(&self, pending: Pending, outcome: Result<&RawValue, &RawValue>) {
        let (status, code) = ending::of(outcome);
        let payload = outcome.unwrap_or_else(|error| error);
        let kept = ending::kept(payload, pending.whole).into_owned();
        self.end(&pending, status, code, Some(kept)).await;
    }

    /// INVARIANT D11: whatever was asked ends.
    async fn end(
        &self,
        pending: &Pending,
        status: Status,
        code: Option<String>,
        result: Option<Box<RawValue>>,
    ) {
        let Pending { intent, since, .. } = pending;
        let conclusion = Conclusion {
            action: intent.id,
            server: intent.server.clone(),
            method: intent.method.clone(),
            place: intent.place.clone(),
            time: now(),
            status,
            code,
            duration_ms: i64::try_from(since.elapsed().as_millis()).ok(),
            result,
        };
        self.conclusions.add(conclusion).await;
    }

    /// The connection ended: nobody knows what became of what was asked.
    async fn abandon(&self) {
        for table in [&self.pending, &self.asked] {
            let unanswered = std::mem::take(&mut *lock(table));
            for pending in unanswered.into_values() {
                self.end(&pending, Status::Unknown, Some("connection_ended".into()), None).await;
            }
        }
    }
}

fn lock<T>(table: &Mutex<T>) -> MutexGuard<'_, T> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(table: &Mutex<HashMap<Id, Pending>>, id: &Id) -> Option<Pending> {
    lock(table).remove(id)
}

fn cancelled_id(params: &RawValue) -> Option<Id> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Cancelled {
        request_id: Id,
    }
    serde_json::from_str::<Cancelled>(params.get()).ok().map(|cancelled| cancelled.request_id)
}

/// A line that was read as a message, and so is UTF-8.
fn text_of(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}

/// Writes what comes, a line each.
async fn write_all<T>(
    mut messages: mpsc::Receiver<T>,
    mut stream: impl AsyncWrite + Unpin,
    text: fn(T) -> String,
) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        let mut line = text(message);
        line.push('\n');
        stream.write_all(line.as_bytes()).await?;
        if messages.is_empty() {
            stream.flush().await?;
        }
    }
    stream.shutdown().await
}
