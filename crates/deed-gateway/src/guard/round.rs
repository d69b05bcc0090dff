//! What a server of 2026-07-28 asks of the client: in the result of a call, which is then made again with the answers (MCP, multi
//! round-trip requests).

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use deed_record::{Status, Text};
use deed_seal::hash::Hash;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{Guard, Pending, Stopped};
use crate::{
    ending::INPUT_REQUIRED,
    intent::{Conclusion, Intent, Who},
    listing::sorted,
    mask::{self, Masked},
    message::{self, Id, may_hold, text_of},
    recorder::Road,
    refusal,
};

/// Calls whose questions are remembered; older ones nobody will answer.
const MOST: usize = 4096;

/// Questions that have no answer yet.
#[derive(Default)]
pub(crate) struct Questions(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By the call that they are part of: each with the name that the server gave it.
    asked: HashMap<String, Vec<(String, Pending)>>,
    /// From the first on.
    order: VecDeque<String>,
}

impl Questions {
    /// Notes what was asked, and gives what nobody will answer any more: what the same call asked before, or what the first
    /// of too many did.
    fn add(&self, call: String, asked: Vec<(String, Pending)>) -> Vec<(String, Pending)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = known.asked.insert(call.clone(), asked) {
            return before;
        }
        known.order.push_back(call);
        let first = if known.order.len() > MOST { known.order.pop_front() } else { None };
        first.and_then(|first| known.asked.remove(&first)).unwrap_or_default()
    }

    /// All of them, which nobody will answer any more.
    pub(crate) fn end(&self) -> Vec<Conclusion> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.order.clear();
        let asked = known.asked.drain().flat_map(|(_, asked)| asked);
        asked.map(|(_, question)| unanswered(&question)).collect()
    }

    fn take(&self, call: &str) -> Vec<(String, Pending)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(asked) = known.asked.remove(call) else { return Vec::new() };
        known.order.retain(|other| other != call);
        asked
    }
}

/// A result that asks for input.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asks<'a> {
    #[serde(borrow, default)]
    result_type: Option<&'a RawValue>,
    #[serde(borrow, default)]
    input_requests: Option<&'a RawValue>,
    #[serde(borrow, default)]
    request_state: Option<&'a RawValue>,
}

/// One question.
#[derive(Deserialize)]
struct Question<'a> {
    #[serde(borrow)]
    method: Text<'a>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// A call that is made again with answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answers<'a> {
    #[serde(borrow, default)]
    input_responses: BTreeMap<String, &'a RawValue>,
    #[serde(borrow, default)]
    request_state: Option<&'a RawValue>,
}

impl<R: Road> Guard<R> {
    /// Has what `result` asks of the client recorded, before the client hears it.
    ///
    /// # Errors
    /// It is not to be passed on: what the client hears.
    pub(super) async fn asks_for_input(
        &self,
        id: &Id,
        pending: &Pending,
        result: &RawValue,
    ) -> Result<(), String> {
        let asks = serde_json::from_str::<Asks<'_>>(result.get()).ok();
        let Some(asks) =
            asks.filter(|asks| text_of(asks.result_type).is_some_and(|sort| *sort == *INPUT_REQUIRED))
        else {
            return Ok(());
        };
        let questions = asks.input_requests.map(questions).unwrap_or_default();
        let mut asked = Vec::with_capacity(questions.len());
        for (name, question) in &questions {
            let is_object = question.get().starts_with('{');
            let question = serde_json::from_str::<Question<'_>>(question.get()).ok().filter(|_| is_object);
            let method = question.as_ref().map_or("malformed", |question| &question.method);
            let params = question.as_ref().and_then(|question| question.params);
            let params = params.and_then(|params| seen(params, pending));
            match self.server_asks(method, params.as_deref(), Some(&pending.intent.place)).await {
                Ok(question) => asked.push((name.clone(), question.without_payload())),
                Err(why) => {
                    self.unanswered(asked).await;
                    return Err(not_passed_on(id, method, &why));
                }
            }
        }
        if !asked.is_empty() {
            let before = self.conclusions.questions.add(call(&pending.intent, asks.request_state), asked);
            self.unanswered(before).await;
        }
        Ok(())
    }

    /// Records what the client answers to what was asked of it, where `params` make such a call again as `intent`.
    pub(super) async fn answers_input(&self, intent: &Intent, params: Option<&RawValue>) {
        let Some(params) = params.filter(|params| may_hold(params, "inputResponses")) else { return };
        let Ok(answers) = serde_json::from_str::<Answers<'_>>(params.get()) else { return };
        let mut asked = self.conclusions.questions.take(&call(intent, answers.request_state));
        for (name, question) in &asked {
            if let Some(answer) = answers.input_responses.get(name) {
                self.conclude(question, Ok(answer)).await;
            }
        }
        asked.retain(|(name, _)| !answers.input_responses.contains_key(name));
        self.unanswered(asked).await;
    }

    /// Records that nobody answers `asked`.
    async fn unanswered(&self, asked: Vec<(String, Pending)>) {
        for (_, question) in asked {
            self.conclusions.add(unanswered(&question)).await;
        }
    }
}

/// What is asked, by the names that the server gives it: of what is no object, as if it were one question, for there are clients
/// that read lists alike.
fn questions(asked: &RawValue) -> BTreeMap<String, &RawValue> {
    serde_json::from_str(asked.get()).unwrap_or_else(|_| BTreeMap::from([(String::new(), asked)]))
}

fn unanswered(question: &Pending) -> Conclusion {
    question.ended(Status::Cancelled, Some("unanswered".into()))
}

/// Which call it is, each time that it is made: by whom, what, and in what state; where the server gave none, with which
/// arguments.
fn call(intent: &Intent, state: Option<&RawValue>) -> String {
    let who = |who: &Who| json!([who.kind.as_str(), who.key]);
    let value = |text: &RawValue| serde_json::from_str::<Value>(text.get()).unwrap_or_default();
    let call = json!([
        intent.method,
        intent.name,
        intent.uri,
        intent.arguments.as_deref().filter(|_| state.is_none()).map(value),
        who(&intent.place.executor),
        intent.place.initiator.as_ref().map(who),
        state.map(value),
    ]);
    Hash::of(sorted(&call).as_bytes()).to_string()
}

/// What the client hears of a question, as it is recorded: without what policy keeps from it.
fn seen(params: &RawValue, pending: &Pending) -> Option<Box<RawValue>> {
    if !pending.is_masked() {
        return Some(params.to_owned());
    }
    match mask::mask(params.get(), &pending.mask) {
        Masked::Untouched => Some(params.to_owned()),
        Masked::Without(without, _) => RawValue::from_string(without).ok(),
        Masked::Withheld => None,
    }
}

fn not_passed_on(id: &Id, method: &str, why: &Stopped) -> String {
    let (code, why) = match why {
        Stopped::Refused(answer) => (refusal::DENIED, answer.reason.clone()),
        Stopped::Unrecorded(why) => (refusal::UNAVAILABLE, why.to_string()),
    };
    tracing::warn!(why, method, "what a server asked for in a result was not passed on");
    message::error(Some(id), code, &format!("what the server asks for was not passed on: {why}"), None)
}
