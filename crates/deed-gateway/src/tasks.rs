//! Calls that have become tasks (MCP 2025-11-25, Tasks; 2026-07-28, the tasks extension): their results come later, by requests
//! of their own. They are for whoever made the call, and policy keeps the same of them from the caller.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    door::{Caller, Party},
    guard::Pending,
    message,
};

/// Tasks that are remembered; of older ones, everything that any policy masks is kept back.
const MOST: usize = 4096;

/// The tasks of a server, by their ids.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Known>);

#[derive(Default)]
struct Known {
    tasks: HashMap<String, Begun>,
    /// From the first on.
    order: VecDeque<String>,
}

/// A task that a call has become.
struct Begun {
    whose: Party,
    /// The call, with what is masked of its result.
    call: Pending,
    /// Whether the call is told to have ended otherwise than well.
    is_over: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Named {
    task_id: Option<String>,
    task: Option<Task>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Task {
    task_id: String,
}

/// A message that says of which task it is a part.
#[derive(Deserialize)]
struct Related {
    #[serde(rename = "_meta")]
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "io.modelcontextprotocol/related-task")]
    task: Task,
}

impl Tasks {
    /// Notes the task that `call` of `caller` has become, where `result` says so.
    pub(crate) fn learn(&self, result: &RawValue, caller: &Caller, call: &Pending) {
        if memchr::memmem::find(result.get().as_bytes(), b"\"taskId\"").is_none() {
            return;
        }
        let Some(id) = id_in(result) else { return };
        let mut known = self.known();
        if known.order.len() == MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.tasks.remove(&oldest);
        }
        let begun = Begun { whose: caller.party(), call: call.without_payload(), is_over: false };
        if known.tasks.insert(id.clone(), begun).is_none() {
            known.order.push_back(id);
        }
    }

    /// What is masked of the task that `params` name; `None` where no task is named, or nobody remembers it.
    pub(crate) fn mask_of(&self, params: Option<&RawValue>) -> Option<Vec<String>> {
        let id = told_of(params?)?;
        self.known().tasks.get(&id).map(|task| task.call.mask.clone())
    }

    /// The call that the task which `params` name was, and which did not end well; once.
    pub(crate) fn end(&self, params: &RawValue) -> Option<Pending> {
        let id = id_in(params)?;
        let mut known = self.known();
        let task = known.tasks.get_mut(&id).filter(|task| !task.is_over)?;
        task.is_over = true;
        Some(task.call.clone())
    }

    /// Whether the task that `params` name is known to be of somebody else than `caller`.
    pub(crate) fn is_of_another(&self, params: Option<&RawValue>, caller: &Caller) -> bool {
        let Some(id) = params.and_then(told_of) else { return false };
        self.known().tasks.get(&id).is_some_and(|task| task.whose != caller.party())
    }

    /// `text`, a message with `result`, the answer to a list, without the tasks of others; `None` where there is none of them.
    /// Where `caller` shows who they are, tasks of which nobody remembers whose they are count as others'.
    pub(crate) fn without_others(&self, text: &str, result: &RawValue, caller: &Caller) -> Option<String> {
        #[derive(Deserialize)]
        struct List<'a> {
            #[serde(borrow)]
            tasks: &'a RawValue,
        }
        let List { tasks: list } = serde_json::from_str(result.get()).ok()?;
        let all: Vec<&RawValue> = serde_json::from_str(list.get()).ok()?;
        let (known, party) = (self.known(), caller.party());
        let is_theirs = |task: &&&RawValue| match id_in(task).and_then(|id| known.tasks.get(&id)) {
            Some(task) => task.whose == party,
            None => caller.credential.is_none(),
        };
        let own: Vec<&str> = all.iter().filter(is_theirs).map(|task| task.get()).collect();
        let has_others = own.len() < all.len();
        has_others.then(|| message::edited(text, vec![(list.get(), format!("[{}]", own.join(",")))]))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `result` says that a call has become a task.
pub(crate) fn is_task(result: &RawValue) -> bool {
    id_in(result).is_some()
}

/// The task that a message is about, or a part of.
fn told_of(said: &RawValue) -> Option<String> {
    let related = || Some(serde_json::from_str::<Related>(said.get()).ok()?.meta.task.task_id);
    memchr::memmem::find(said.get().as_bytes(), b"taskId").and_then(|_| id_in(said).or_else(related))
}

fn id_in(said: &RawValue) -> Option<String> {
    let named: Named = serde_json::from_str(said.get()).ok()?;
    named.task.map(|task| task.task_id).or(named.task_id)
}

#[cfg(test)]
mod tests {
    use deed_record::{RecordId, SpanId, TraceId};

    use super::*;
    use crate::intent::{Intent, Place};

    #[test]
    fn what_is_masked_of_a_call_is_masked_of_its_task() {
        let tasks = Tasks::default();
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        let mask = ["result.pin".to_owned()];
        let of_bot = |name: &str| Caller { executor: name.parse().ok(), ..Caller::default() };
        let coder = of_bot("agent:coder");
        let call = |mask: &[String]| {
            let place = Place::of_nobody(TraceId([7; 16]), SpanId([7; 8]));
            let intent = Intent::bare(RecordId([7; 16]), "files", "tools/call", place);
            let mut call = Pending::new(intent);
            call.mask = mask.to_vec();
            call
        };
        tasks.learn(&raw(r#"{"task":{"taskId":"a","status":"working"}}"#), &coder, &call(&mask));
        tasks.learn(&raw(r#"{"resultType":"task","taskId":"b","status":"working"}"#), &coder, &call(&[]));
        let asked = raw(r#"{"taskId":"a"}"#);
        assert!(!tasks.is_of_another(Some(&asked), &coder));
        assert!(tasks.is_of_another(Some(&asked), &of_bot("agent:planner")));
        let part =
            raw(r#"{"message":"sure?","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"a"}}}"#);
        assert!(!tasks.is_of_another(Some(&part), &coder));
        assert!(tasks.is_of_another(Some(&part), &of_bot("agent:planner")));
        assert!(!tasks.is_of_another(Some(&raw(r#"{"level":"info","data":"taskId"}"#)), &coder));
        // Nobody is shown others' in a list; of those that nobody remembers it depends on whether callers are told apart.
        let listed = r#"{"id":1,"result":{"tasks":[{"taskId":"a"}, {"taskId":"old"},{"taskId":"b"}]}}"#;
        let result = raw(r#"{"tasks":[{"taskId":"a"}, {"taskId":"old"},{"taskId":"b"}]}"#);
        let shown = |caller: &Caller| {
            let start = listed.find(r#"{"tasks""#).expect("it is there");
            let result: &RawValue =
                serde_json::from_str(&listed[start..start + result.get().len()]).expect("JSON");
            tasks.without_others(listed, result, caller)
        };
        assert_eq!(shown(&coder), None);
        let old = r#"{"id":1,"result":{"tasks":[{"taskId":"old"}]}}"#;
        assert_eq!(shown(&of_bot("agent:planner")).as_deref(), Some(old));
        let with_token = Caller { credential: Some(raw("{}")), ..of_bot("agent:planner") };
        assert_eq!(shown(&with_token).as_deref(), Some(r#"{"id":1,"result":{"tasks":[]}}"#));
        let of = |text: &str| tasks.mask_of(Some(&raw(text)));
        assert_eq!(of(r#"{"taskId":"a"}"#).as_deref(), Some(&mask[..]));
        assert_eq!(of(r#"{"taskId":"b"}"#), Some(Vec::new()));
        assert_eq!(of(r#"{"taskId":"c"}"#), None);
        for at in 0..MOST {
            tasks.learn(&raw(&format!(r#"{{"task":{{"taskId":"t{at}"}}}}"#)), &coder, &call(&[]));
        }
        assert_eq!(of(r#"{"taskId":"a"}"#), None);
        assert_eq!(tasks.known().order.len(), MOST);
    }
}
