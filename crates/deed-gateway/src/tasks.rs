//! Calls that have become tasks (MCP 2025-11-25, Tasks; 2026-07-28, the tasks extension): their results come later, by requests
//! of their own. They are for whoever made the call, and policy keeps the same of them from the caller.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::{
    door::{Caller, Party},
    guard::Pending,
    message::{self, may_hold, text_of},
};

/// Tasks that are remembered; of older ones, the log says whose they are.
const MOST: usize = 4096;
/// What a server says in its own words of how a task is.
const WORDS: &str = "statusMessage";

/// The tasks of a server, by their ids.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<Known>);

#[derive(Default)]
struct Known {
    tasks: HashMap<String, Begun>,
    /// From the first on.
    order: VecDeque<String>,
}

struct Begun {
    whose: Party,
    task: Task,
}

/// A task that a call has become.
pub(crate) struct Task {
    /// The call, with what is masked of its result.
    pub(crate) call: Pending,
    /// Whether the call is told to have ended otherwise than well.
    pub(crate) is_over: bool,
}

/// What names a task: an object may do so in several ways.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Members<'a> {
    #[serde(borrow)]
    task_id: Option<&'a RawValue>,
    #[serde(borrow)]
    task: Option<&'a RawValue>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/related-task")]
    related: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    tasks: &'a RawValue,
}

impl Tasks {
    /// Notes the task that `call` of `caller` has become, where `result` says so; its id.
    pub(crate) fn learn(&self, result: &RawValue, caller: &Caller, call: &Pending) -> Option<String> {
        let begun = begun(result);
        for id in &begun {
            self.note(id.clone(), caller, Task { call: call.without_payload(), is_over: false });
        }
        begun.into_iter().next()
    }

    /// Notes that the task `id` is what a call of `caller` has become.
    pub(crate) fn note(&self, id: String, caller: &Caller, task: Task) {
        let mut known = self.known();
        if known.order.len() == MOST
            && !known.tasks.contains_key(&id)
            && let Some(oldest) = known.order.pop_front()
        {
            known.tasks.remove(&oldest);
        }
        if known.tasks.insert(id.clone(), Begun { whose: caller.party(), task }).is_none() {
            known.order.push_back(id);
        }
    }

    /// What is masked of the task `id`; `None` where nobody remembers it.
    pub(crate) fn mask_of(&self, id: &str) -> Option<Vec<String>> {
        self.known().tasks.get(id).map(|begun| begun.task.call.mask.clone())
    }

    /// The call that the task `id` was, and which did not end well; once.
    pub(crate) fn end(&self, id: &str) -> Option<Pending> {
        let mut known = self.known();
        let task = known.tasks.get_mut(id).map(|begun| &mut begun.task).filter(|task| !task.is_over)?;
        task.is_over = true;
        Some(task.call.clone())
    }

    /// Whether the task `id` is `caller`'s; `None` where nobody remembers it.
    pub(crate) fn is_of(&self, id: &str, caller: &Caller) -> Option<bool> {
        self.known().tasks.get(id).map(|begun| begun.whose == caller.party())
    }

    /// Whether any of the tasks `ids` is somebody else's than `caller`'s. Where callers are told apart, that is also one of which
    /// nobody remembers whose it is.
    pub(crate) fn is_of_another(&self, ids: &[String], caller: &Caller) -> bool {
        ids.iter().any(|id| !self.is_of(id, caller).unwrap_or(!caller.by_token))
    }

    /// `text`, a message with `result`, the answer to a list, without the tasks of others, and without what the server says in its
    /// own words of those of which something is masked, or may be (`masks`); `None` where there is none of that.
    pub(crate) fn own(&self, text: &str, result: &RawValue, caller: &Caller, masks: bool) -> Option<String> {
        let List { tasks: list } = serde_json::from_str(result.get()).ok()?;
        // What is no list shows nobody whose it is.
        let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(list.get()) else {
            return Some(message::edited(text, vec![(list.get(), "[]".into())]));
        };
        let mut is_cut = false;
        let own = all.iter().filter_map(|task| {
            let id = id_in(task);
            let is_theirs = id.as_ref().and_then(|id| self.is_of(id, caller)).unwrap_or(!caller.by_token);
            let mask = id.and_then(|id| self.mask_of(&id));
            let is_masked = mask.map_or(masks, |mask| !mask.is_empty());
            let words = if is_masked { sober(task) } else { None };
            is_cut |= !is_theirs || words.is_some();
            is_theirs.then(|| words.unwrap_or_else(|| task.get().to_owned()))
        });
        let own = own.collect::<Vec<_>>().join(",");
        is_cut.then(|| message::edited(text, vec![(list.get(), format!("[{own}]"))]))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that the parameters of a request name: servers go by this member alone.
pub(crate) fn asked_for(params: Option<&RawValue>) -> Option<String> {
    id_in(params?)
}

/// The tasks in an answer to a list.
pub(crate) fn listed(result: &RawValue) -> Vec<String> {
    let list = serde_json::from_str::<List<'_>>(result.get()).ok();
    let tasks = list.and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.tasks.get()).ok());
    tasks.iter().flatten().filter_map(|task| id_in(task)).collect()
}

/// The tasks that a message is about, or a part of, in whatever way it says so.
pub(crate) fn told_of(said: &RawValue) -> Vec<String> {
    let Some(members) = members(said) else { return Vec::new() };
    let related = || id_in(self::members(members.meta?)?.related?);
    begun(said).into_iter().chain(related()).collect()
}

/// Whether `result` says that a call has become a task, or how a task is.
pub(crate) fn is_task(result: &RawValue) -> bool {
    !begun(result).is_empty()
}

/// `said`, which says how a task is, without what the server says of it in its own words, unless the result stands there too,
/// by whose values those are looked through; `None` where there is none of that.
pub(crate) fn sober(said: &RawValue) -> Option<String> {
    if !may_hold(said, WORDS) {
        return None;
    }
    let mut value: Value = serde_json::from_str(said.get()).ok()?;
    let within = value.get_mut("task").is_some_and(without_words);
    (without_words(&mut value) || within).then(|| value.to_string())
}

fn without_words(task: &mut Value) -> bool {
    let Some(task) = task.as_object_mut().filter(|task| !task.contains_key("result")) else { return false };
    task.remove(WORDS).is_some()
}

/// The task that a result says a call has become, in the ways of 2025-11-25 and of 2026-07-28.
fn begun(result: &RawValue) -> Vec<String> {
    let Some(Members { task_id, task, .. }) = members(result) else { return Vec::new() };
    let nested = task.and_then(id_in);
    nested.into_iter().chain(text_of(task_id).map(|id| id.to_string())).collect()
}

fn id_in(task: &RawValue) -> Option<String> {
    text_of(members(task)?.task_id).map(|id| id.to_string())
}

fn members(said: &RawValue) -> Option<Members<'_>> {
    serde_json::from_str(said.get()).ok().filter(|_| said.get().starts_with('{'))
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
        tasks.learn(&raw(r#"{"resultType":"task","task":{},"taskId":"b"}"#), &coder, &call(&[]));
        let planner = of_bot("agent:planner");
        let is_of_another = |said: &str, caller: &Caller| tasks.is_of_another(&told_of(&raw(said)), caller);
        let meta = r#"{"io.modelcontextprotocol/related-task":{"taskId":"a"}}"#;
        for about in [
            r#"{"taskId":"a"}"#.to_owned(),
            r#"{"taskId":"a","task":{"ttl":1}}"#.into(),
            r#"{"taskId":"a","task":{"taskId":"b"}}"#.into(),
            r#"{"taskId":7,"task":{"t\u0061skId":"a"}}"#.into(),
            format!(r#"{{"message":"sure?","_meta":{meta}}}"#),
            format!(r#"{{"task":{{}},"taskId":{{}},"_meta":{meta}}}"#),
        ] {
            assert!(!is_of_another(&about, &coder) && is_of_another(&about, &planner), "{about}");
        }
        assert!(!is_of_another(r#"{"level":"info","data":"taskId"}"#, &planner));
        // A request is about what its server goes by, whatever stands beside that.
        for asks in [r#"{"taskId":"a","task":{"ttl":1}}"#, r#"{"task":{"taskId":"b"},"t\u0061skId":"a"}"#] {
            assert_eq!(asked_for(Some(&raw(asks))).as_deref(), Some("a"), "{asks}");
        }
        assert_eq!(asked_for(Some(&raw(r#"{"task":{"taskId":"b"}}"#))), None);
        // Nobody is shown others' in a list; of those that nobody remembers it depends on whether callers are told apart.
        let shown = |listed: &str, caller: &Caller| {
            let text = format!(r#"{{"id":1,"result":{listed}}}"#);
            let result: &RawValue = serde_json::from_str(&text[17..text.len() - 1]).expect("JSON");
            tasks.own(&text, result, caller, false).map(|text| text[17..text.len() - 1].to_owned())
        };
        let listed = r#"{"tasks":[{"taskId":"a"}, {"taskId":"old","n":1.50},{"taskId":"b"}],"n":1}"#;
        assert_eq!(shown(listed, &coder), None);
        let old = r#"{"tasks":[{"taskId":"old","n":1.50}],"n":1}"#;
        assert_eq!(shown(listed, &planner).as_deref(), Some(old));
        let with_token = Caller { by_token: true, ..planner };
        assert_eq!(shown(listed, &with_token).as_deref(), Some(r#"{"tasks":[],"n":1}"#));
        assert_eq!(shown(r#"{"tasks":{"0":{}}}"#, &with_token).as_deref(), Some(r#"{"tasks":[]}"#));
        // Nor what the server says in its own words of one of which something is masked.
        let words = r#"{"tasks":[{"taskId":"a","statusMessage":"5"},{"taskId":"b","statusMessage":"6"}]}"#;
        let left = r#"{"tasks":[{"taskId":"a"},{"taskId":"b","statusMessage":"6"}]}"#;
        assert_eq!(shown(words, &coder).as_deref(), Some(left));
        let of = |id: &str| tasks.mask_of(id);
        assert_eq!(of("a").as_deref(), Some(&mask[..]));
        assert_eq!(of("b"), Some(Vec::new()));
        assert_eq!(of("c"), None);
        for at in 0..MOST {
            tasks.learn(&raw(&format!(r#"{{"task":{{"taskId":"t{at}"}}}}"#)), &coder, &call(&[]));
        }
        assert_eq!(of("a"), None);
        assert_eq!(tasks.known().order.len(), MOST);
    }
}
