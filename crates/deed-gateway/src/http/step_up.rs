//! A human must approve first: what a client hears that can show its user a URL (MCP, URL mode elicitation).
//!
//! Since 2026-07-28 that is an `input_required`; the client asks again once its user has seen the URL, and then the
//! call goes on that was held. In 2025-11-25 it is an error, after which the client makes the call again. The URL
//! says who may answer and how; seeing it approves nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use deed_record::{RecordId, Text};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    door::{Caller, random},
    guard::Held,
    intent::Intent,
    message::{self, Id},
};

/// The key under which the client's user answers.
const KEY: &str = "deed_approval";
/// JSON-RPC error code: the client is to show a URL (MCP 2025-11-25, URL mode elicitation).
const URL_NEEDED: i64 = -32042;
/// How long a call is held for its client to come again.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// Calls that are held at a time.
const MOST: usize = 1000;

/// Calls whose clients were shown a URL.
#[derive(Default)]
pub(super) struct HeldCalls {
    all: Mutex<HashMap<String, (Instant, Caller, Held)>>,
}

impl HeldCalls {
    /// Holds a call of `caller`; the state by which it is found again, once.
    ///
    /// # Errors
    /// Too many are held, or the system gives no random bytes: the call comes back.
    pub(super) fn keep(&self, caller: Caller, held: Held) -> Result<String, Box<Held>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (since, _, _)| since.elapsed() < LONGEST);
        let Some(state) = random::<16>().ok().filter(|_| all.len() < MOST) else {
            return Err(Box::new(held));
        };
        let state = format!("{:032x}", u128::from_be_bytes(state));
        all.insert(state.clone(), (Instant::now(), caller, held));
        Ok(state)
    }

    /// The call that is held under `state`, if `caller` made it and asks for the same again.
    pub(super) fn take(&self, state: &str, caller: &Caller, asks: &Intent) -> Option<Held> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let is_theirs = |(since, who, held): &(Instant, Caller, Held)| {
            since.elapsed() < LONGEST && who.is_like(caller) && is_same(&held.intent, asks)
        };
        if !all.get(state).is_some_and(is_theirs) {
            return None;
        }
        all.remove(state).map(|(_, _, held)| held)
    }
}

fn is_same(held: &Intent, asks: &Intent) -> bool {
    let value =
        |intent: &Intent| -> Option<Value> { serde_json::from_str(intent.arguments.as_ref()?.get()).ok() };
    (&held.method, &held.name, &held.uri) == (&asks.method, &asks.name, &asks.uri)
        && value(held) == value(asks)
}

/// What a client's user answered, and to what.
pub(super) struct Came {
    pub(super) state: String,
    /// Whether the user has seen it and goes on.
    pub(super) accepted: bool,
}

/// The answer of a client that was shown a URL of Deed's.
pub(super) fn came_again(params: Option<&RawValue>) -> Option<Came> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Params<'a> {
        #[serde(borrow)]
        input_responses: Responses<'a>,
        #[serde(borrow)]
        request_state: Text<'a>,
    }
    #[derive(Deserialize)]
    struct Responses<'a> {
        #[serde(borrow)]
        deed_approval: Response<'a>,
    }
    #[derive(Deserialize)]
    struct Response<'a> {
        #[serde(borrow)]
        action: Text<'a>,
    }
    let params: Params<'_> = serde_json::from_str(params?.get()).ok()?;
    let accepted = &*params.input_responses.deed_approval.action == "accept";
    Some(Came { state: params.request_state.to_string(), accepted })
}

/// What a client of 2026-07-28 hears.
pub(super) fn input_required(id: &Id, action: RecordId, url: &str, state: &str) -> String {
    let elicitation = json!({
        "method": "elicitation/create",
        "params": { "mode": "url", "message": message_of(action), "url": url },
    });
    let result = json!({ "resultType": "input_required", "inputRequests": { KEY: elicitation }, "requestState": state });
    message::result(id, &result.to_string())
}

/// What a client of 2025-11-25 hears.
pub(super) fn url_needed(id: &Id, action: RecordId, url: &str) -> String {
    let text = message_of(action);
    let elicitation = json!({ "mode": "url", "elicitationId": action, "message": text, "url": url });
    let data = json!({ "elicitations": [elicitation] }).to_string();
    message::error(Some(id), URL_NEEDED, &text, Some(&data))
}

fn message_of(action: RecordId) -> String {
    format!("A human must approve this first. The page says who may, and how; action {action}.")
}
