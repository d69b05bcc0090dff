//! Stands at a door: has what passes decided on and recorded, whatever it comes over.

mod masked;
mod round;
mod task;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use deed_ledger::{fresh_id, now};
use deed_record::{Ruling, Status};
use serde_json::value::RawValue;

use crate::{
    approvals::NOT_IN_TIME,
    conclusions::Conclusions,
    door::Door,
    ending,
    http::params::Mirrored,
    intent::{Answer, Conclusion, Intent, Listing, Place, keeps_payload},
    listing, mask,
    message::{self, Id},
    method,
    recorder::{Nowhere, RecordedIntent, Recorder, Road, Unavailable, Verdict},
    refusal,
    secrets::Secrets,
    tasks,
    term::TermEnd,
    trace,
};

pub(crate) use self::round::Questions;

/// See the module.
pub(crate) struct Guard<R: Road> {
    pub(crate) door: Door,
    recorder: Recorder<R>,
    conclusions: Arc<Conclusions>,
    /// How long a request waits for a human.
    patience: Duration,
    /// What the server was started with, and no record may hold.
    pub(crate) secrets: Option<Arc<Secrets>>,
}

/// A request that has no answer yet.
#[derive(Clone)]
pub(crate) struct Pending {
    pub(crate) intent: Intent,
    /// Whether payloads are kept whole.
    whole: bool,
    /// Fields of the result that the caller must not see.
    pub(crate) mask: Vec<String>,
    /// Fields that the inventory calls restricted.
    restricted: Vec<String>,
    /// The task that it has become.
    task: Option<String>,
    since: Instant,
}

impl Pending {
    pub(crate) fn new(intent: Intent) -> Self {
        let (whole, since) = (true, Instant::now());
        Pending { intent, whole, mask: Vec::new(), restricted: Vec::new(), task: None, since }
    }

    /// One that became a task, `age` ago, as the log has it.
    pub(crate) fn recalled(intent: Intent, mask: Vec<String>, age: Duration) -> Self {
        let now = Instant::now();
        Pending { mask, since: now.checked_sub(age).unwrap_or(now), ..Pending::new(intent) }
    }

    /// What its end is recorded by, and what is masked of it.
    pub(crate) fn without_payload(&self) -> Self {
        let Intent { id, server, method, name, uri, place, .. } = &self.intent;
        let bare = Intent::bare(*id, server, method, place.clone());
        let intent = Intent { name: name.clone(), uri: uri.clone(), ..bare };
        Pending { intent, mask: self.mask.clone(), restricted: Vec::new(), task: None, ..*self }
    }

    /// Its end, now.
    pub(crate) fn ended(&self, status: Status, code: Option<String>) -> Conclusion {
        let Intent { id, server, method, name, uri, place, .. } = &self.intent;
        Conclusion {
            // Without random bytes nothing is recorded either.
            id: fresh_id().ok(),
            action: *id,
            tenant: None,
            server: server.clone(),
            method: method.clone(),
            name: name.clone(),
            uri: uri.clone(),
            place: place.clone(),
            time: now(),
            status,
            code,
            duration_ms: i64::try_from(self.since.elapsed().as_millis()).ok(),
            result: None,
            compensates: None,
            fields: Vec::new(),
            task: self.task.clone(),
        }
    }

    /// Whether policy keeps something of the answer from the caller.
    pub(crate) fn is_masked(&self) -> bool {
        !self.mask.is_empty()
    }
}

/// By what right something is forwarded (INVARIANT D1).
#[derive(Debug)]
pub(crate) enum Permit {
    /// It asks for something, and that is recorded.
    Recorded(RecordedIntent),
    /// It asks for nothing: one of the notifications that the protocol knows.
    Notice,
    /// It answers what the server asked, which is recorded.
    Answer,
}

impl Permit {
    /// It serves once.
    pub(crate) fn use_up(self) {
        if let Permit::Recorded(recorded) = self {
            tracing::trace!(intent = %recorded.id(), "forwarded");
        }
    }
}

/// What becomes of a request.
pub(crate) enum Asked {
    /// It may be done, and is to be forwarded.
    Go(Box<Allowed>),
    /// A human must answer first.
    Held(Box<Held>),
    /// It may not; what the client hears.
    Reply(String),
}

/// Why something is not done.
pub(crate) enum Stopped {
    /// It may not be done.
    Refused(Answer),
    /// It could not be recorded.
    Unrecorded(Unavailable),
}

/// A request on its way to the server.
pub(crate) struct Allowed {
    /// What the server is sent.
    pub(crate) text: String,
    pub(crate) pending: Pending,
    pub(crate) recorded: RecordedIntent,
}

/// A request that a human must approve.
pub(crate) struct Held {
    pub(crate) text: String,
    pub(crate) id: Id,
    pub(crate) intent: Intent,
    pub(crate) answer: Answer,
}

impl Guard<Nowhere> {
    /// Returns once somebody who has a part in what is under way is suspended (T12).
    pub(crate) async fn suspended(&self, pending: &Pending) {
        self.recorder.suspended(&pending.intent).await;
    }

    /// The arguments of a tool that headers repeat, as far as any definition of it was seen.
    pub(crate) async fn mirrored(&self, name: &str) -> Arc<[Mirrored]> {
        if let Some(known) = self.door.mirrored(name) {
            return known;
        }
        match self.recorder.definition(self.door.server(), name).await {
            Some(definition) => self.door.learn_mirrored(name, &definition),
            None => Arc::default(),
        }
    }
}

impl<R: Road> Guard<R> {
    pub(crate) fn new(
        door: Door,
        recorder: Recorder<R>,
        conclusions: Arc<Conclusions>,
        patience: Duration,
    ) -> Self {
        Guard { door, recorder, conclusions, patience, secrets: None }
    }

    /// Whether a client asks for what may be asked for; if so, has it decided on and recorded.
    pub(crate) async fn ask(&self, text: &str, id: &Id, method: &str, params: Option<&RawValue>) -> Asked {
        let refused = if method::class(method).is_none() {
            Some(("unknown_method", refusal::METHOD_NOT_FOUND, "nobody here knows this method"))
        } else if let Some(why) = method::wrong(method, params) {
            Some(("malformed", refusal::INVALID_PARAMS, why))
        } else if method::names_task(method) && !Box::pin(self.is_own_task(params)).await {
            // The server may not tell its callers apart, and whose task it is no policy is asked.
            Some(("others_task", refusal::INVALID_PARAMS, "no such task of yours"))
        } else {
            None
        };
        if let Some((sort, code, why)) = refused {
            // On the heap: what is seldom must not make the future of every call larger.
            return Asked::Reply(Box::pin(self.refuse(Some(id), method, sort, code, why)).await);
        }
        let intent = match self.door.intent(method, params) {
            Ok(intent) => intent,
            Err(why) => return Asked::Reply(refusal::unavailable(id, None, method, &why, params)),
        };
        self.answers_input(&intent, params).await;
        match self.recorder.intend(&intent).await {
            Ok(Verdict::Go(recorded)) => self.go(text, params, intent, recorded),
            Ok(Verdict::Stop(answer)) if answer.effect == Ruling::StepUp && !self.patience.is_zero() => {
                Asked::Held(Box::new(Held { text: text.to_owned(), id: id.clone(), intent, answer }))
            }
            Ok(Verdict::Stop(answer)) => self.stop(id, params, intent, &answer).await,
            Err(why) => Asked::Reply(refusal::unavailable(id, Some(&intent), method, &why, params)),
        }
    }

    /// Has something recorded that is no message: opening a stream, ending a session.
    ///
    /// # Errors
    /// It is not to be done; why.
    pub(crate) async fn ask_plainly(&self, method: &str) -> Result<(Pending, RecordedIntent), Stopped> {
        let intent = self.door.intent(method, None).map_err(Stopped::Unrecorded)?;
        match self.recorder.intend(&intent).await.map_err(Stopped::Unrecorded)? {
            Verdict::Go(recorded) => Ok((Pending::new(intent), recorded)),
            Verdict::Stop(answer) => Err(Stopped::Refused(answer)),
        }
    }

    /// Waits for a human, as long as the credential holds that it was asked with.
    pub(crate) async fn wait(&self, held: Held) -> Asked {
        let Held { text, id, intent, answer } = held;
        let params = message::params_of(&text);
        let verdict = tokio::select! {
            biased;
            end = self.door.caller().term.lapsed() => return self.lapsed(end, &id, params, intent, answer).await,
            verdict = self.recorder.wait(&answer, self.patience) => verdict,
        };
        match verdict {
            Ok(Verdict::Go(recorded)) => self.go(&text, params, intent, recorded),
            Ok(Verdict::Stop(answer)) => self.stop(&id, params, intent, &answer).await,
            Err(why) => Asked::Reply(refusal::unavailable(&id, Some(&intent), &intent.method, &why, params)),
        }
    }

    /// What waited for a human, and whose credential holds no longer, is not done, whoever approves it.
    async fn lapsed(
        &self,
        end: TermEnd,
        id: &Id,
        params: Option<&RawValue>,
        intent: Intent,
        answer: Answer,
    ) -> Asked {
        let code = end.code();
        let reason = format!("While it waited, {}.", end.told());
        let denied =
            Answer { effect: Ruling::Deny, reason, policies: Vec::new(), policy_set: None, ..answer };
        let reply = refusal::denied(id, &intent, &denied, params);
        self.end(&Pending::new(intent), Status::Denied, Some(code.into()), None).await;
        Asked::Reply(reply)
    }

    /// What is not done ends here. Whatever else stops it, the decision point has said so already.
    async fn stop(&self, id: &Id, params: Option<&RawValue>, intent: Intent, answer: &Answer) -> Asked {
        let reply = refusal::denied(id, &intent, answer, params);
        if answer.effect == Ruling::StepUp {
            let code = Some(NOT_IN_TIME.into());
            self.end(&Pending::new(intent), Status::Denied, code, None).await;
        }
        Asked::Reply(reply)
    }

    /// Refuses a message, having recorded that: what the client hears.
    pub(crate) async fn refuse(
        &self,
        id: Option<&Id>,
        method: &str,
        sort: &str,
        code: i64,
        why: &str,
    ) -> String {
        let refused = match self.door.refusal(method, sort, why) {
            Ok(intent) => self.recorder.intend(&intent).await,
            Err(error) => Err(error),
        };
        match refused {
            Ok(_) => message::error(id, code, why, None),
            Err(error) => message::error(id, code, &format!("{why}; {error}"), None),
        }
    }

    /// Records what is neither passed on nor answered.
    ///
    /// # Errors
    /// It could not be recorded.
    pub(crate) async fn note(&self, method: &str, sort: &str, why: &str) -> Result<(), Unavailable> {
        self.recorder.intend(&self.door.refusal(method, sort, why)?).await.map(drop)
    }

    /// As [`Guard::note`], of what the server asks.
    ///
    /// # Errors
    /// As [`Guard::note`].
    pub(crate) async fn note_server(&self, method: &str, sort: &str, why: &str) -> Result<(), Unavailable> {
        self.recorder.intend(&self.door.server_refusal(method, sort, why)?).await.map(drop)
    }

    /// What the client hears of an answer; all of it, unless policy says otherwise.
    pub(crate) async fn answered(
        &self,
        text: &str,
        id: &Id,
        pending: Pending,
        outcome: Result<&RawValue, &RawValue>,
    ) -> String {
        let mut pending = pending;
        if let Ok(result) = outcome {
            match &*pending.intent.method {
                method::TOOL_CALL => {
                    pending.task = self.door.tasks().learn(result, self.door.caller(), &pending);
                }
                method::TASK_LIST => drop(Box::pin(self.recall(&tasks::listed(result))).await),
                _ => {}
            }
        }
        let cut = self.sober_tasks(text, &pending, outcome);
        let (text, outcome) = message::or_cut(text, outcome, cut.as_deref());
        if let Ok(result) = outcome
            && ending::asks_for_input(result)
            && let Err(heard) = Box::pin(self.asks_for_input(id, &pending, result)).await
        {
            // The record holds what the caller got.
            let (status, _) = ending::of_request(&pending.intent.method, outcome);
            self.end(&pending, status, Some("withheld".into()), None).await;
            return heard;
        }
        if method::names_task(&pending.intent.method) {
            self.task_ended(pending.intent.arguments.as_deref(), outcome.ok()).await;
        }
        let heard = match outcome {
            Ok(result) if pending.intent.method == method::TOOL_LIST => {
                Box::pin(self.listed(text, id, &pending, result)).await
            }
            _ if !pending.mask.is_empty() => return Box::pin(self.masked(text, id, pending, outcome)).await,
            _ => text.to_owned(),
        };
        self.conclude(&pending, outcome).await;
        heard
    }

    /// An answer to `tools/list`: what is new in it is pinned or held, and nobody sees what they may not use.
    async fn listed(&self, text: &str, id: &Id, pending: &Pending, result: &RawValue) -> String {
        let tools = listing::tools(result);
        self.door.learn_definitions(&tools);
        let (place, credential) = (pending.intent.place.clone(), self.door.caller().credential.clone());
        let listing = Listing { server: self.door.server().to_owned(), place, credential, tools };
        let shown = self.recorder.catalog(&listing).await;
        let shown = shown.map(|shown| self.door.caller().allowance.narrow(shown, &listing));
        match shown {
            Ok(shown) if shown.hidden.is_empty() && !shown.personal => text.to_owned(),
            Ok(shown) => listing::without_hidden(text, result, &shown),
            Err(why) => refusal::unavailable(id, Some(&pending.intent), method::TOOL_LIST, &why, None),
        }
    }

    /// What the server asks of the client, as a part of the call at `of` where it says of which, is recorded before the client
    /// hears it.
    ///
    /// # Errors
    /// It is not to be passed on.
    pub(crate) async fn server_asks(
        &self,
        method: &str,
        params: Option<&RawValue>,
        of: Option<&Place>,
    ) -> Result<Pending, Stopped> {
        let intent = if method::is_server_request(method) {
            self.door.server_intent(method, params)
        } else {
            let why = "nobody here knows this request of the server";
            self.door.server_refusal(method, "unknown_method", why)
        };
        let mut intent = intent.map_err(Stopped::Unrecorded)?;
        if let Some(call) = of {
            (intent.place.trace_id, intent.place.parent_span_id) = (call.trace_id, Some(call.span_id));
        }
        intent.arguments = intent.arguments.map(|arguments| self.without_secrets(arguments));
        match self.recorder.intend(&intent).await.map_err(Stopped::Unrecorded)? {
            Verdict::Go(_) => Ok(Pending::new(intent)),
            Verdict::Stop(answer) => Err(Stopped::Refused(answer)),
        }
    }

    /// Records how a request ended, as its answer tells.
    pub(crate) async fn conclude(&self, pending: &Pending, outcome: Result<&RawValue, &RawValue>) {
        let (status, code) = ending::of_request(&pending.intent.method, outcome);
        let payload = outcome.unwrap_or_else(|error| error);
        let kept = ending::kept(payload, pending.whole).into_owned();
        let fields = outcome.map(|result| mask::standing(result.get(), &pending.restricted));
        self.end_with(pending, status, code, Some(kept), fields.unwrap_or_default()).await;
    }

    /// INVARIANT D11: whatever was asked ends.
    pub(crate) async fn end(
        &self,
        pending: &Pending,
        status: Status,
        code: Option<String>,
        result: Option<Box<RawValue>>,
    ) {
        self.end_with(pending, status, code, result, Vec::new()).await;
    }

    /// As [`Guard::end`]; `fields` are the restricted ones that the caller got.
    async fn end_with(
        &self,
        pending: &Pending,
        status: Status,
        code: Option<String>,
        result: Option<Box<RawValue>>,
        fields: Vec<String>,
    ) {
        let result = result.map(|result| self.without_secrets(result));
        self.conclusions.add(Conclusion { result, fields, ..pending.ended(status, code) }).await;
    }

    /// INVARIANT D9: what a server was started with is in no record, whatever it says.
    fn without_secrets(&self, payload: Box<RawValue>) -> Box<RawValue> {
        match &self.secrets {
            Some(secrets) => secrets.hide_in(payload),
            None => payload,
        }
    }

    /// What the server is sent of a request that was let through.
    fn go(&self, text: &str, params: Option<&RawValue>, intent: Intent, recorded: RecordedIntent) -> Asked {
        let place = &intent.place;
        let text = match place.parent_span_id {
            Some(_) => text.to_owned(),
            None => trace::with_trace(text, params, place.trace_id, place.span_id),
        };
        let Answer { obligations, restricted, .. } = recorded.answer();
        let (whole, restricted) = (keeps_payload(obligations), restricted.clone());
        let task = if method::names_task(&intent.method) { tasks::asked_for(params) } else { None };
        let of_task = task.and_then(|id| self.door.tasks().mask_of(&id));
        let mask = of_task.unwrap_or_else(|| obligations.mask.clone());
        let pending = Pending { intent, whole, mask, restricted, task: None, since: Instant::now() };
        Asked::Go(Box::new(Allowed { text, pending, recorded }))
    }
}
