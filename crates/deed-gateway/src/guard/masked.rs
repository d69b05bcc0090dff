//! What policy keeps from the caller (T5): in answers, and in whatever else the server says of what is under way.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::value::RawValue;

use super::{Guard, Pending};
use crate::{
    ending,
    mask::{self, Masked},
    message::{self, Id},
    method::{CANCELLED, TASK_NOTICE, TOOL_LIST},
    recorder::Road,
    refusal, tasks,
};

impl<R: Road> Guard<R> {
    /// An answer without what policy keeps from the caller.
    pub(super) async fn masked(
        &self,
        text: &str,
        id: &Id,
        pending: Pending,
        outcome: Result<&RawValue, &RawValue>,
    ) -> String {
        let said = outcome.unwrap_or_else(|error| error);
        let (heard, status, code, kept) = match mask::mask_aside(said.get(), &pending.mask).await {
            Masked::Untouched => {
                self.conclude(&pending, outcome).await;
                return message::alone(text.to_owned());
            }
            Masked::Without(without, fields) => {
                let (status, code) = match outcome {
                    Ok(_) => ending::of_text(&pending.intent.method, &without),
                    Err(error) => ending::of(Err(error)),
                };
                let heard = message::alone(message::edited(text, vec![(said.get(), without.clone())]));
                (heard, status, code.or(Some(format!("masked_{fields}"))), without)
            }
            Masked::Withheld => {
                let heard = refusal::withheld(id, &pending.intent, said);
                // What was done is not denied: only its answer is.
                let (status, _) = ending::of_request(&pending.intent.method, outcome);
                (heard, status, Some("withheld".to_owned()), "null".to_owned())
            }
        };
        // The record holds what the caller got: what was blocked is nowhere.
        let fields = mask::standing(&kept, &pending.restricted);
        let kept =
            RawValue::from_string(kept).ok().map(|kept| ending::kept(&kept, pending.whole).into_owned());
        self.end_with(&pending, status, code, kept, fields).await;
        heard
    }

    /// What the client hears of an answer that was recorded before, and is told again.
    pub(crate) async fn again(
        &self,
        text: &str,
        id: &Id,
        pending: &Pending,
        outcome: Result<&RawValue, &RawValue>,
    ) -> String {
        let cut = self.sober_tasks(text, pending, outcome);
        let (text, outcome) = message::or_cut(text, outcome, cut.as_deref());
        if let Ok(result) = outcome
            && pending.intent.method == TOOL_LIST
        {
            return Box::pin(self.listed(text, id, pending, result)).await;
        }
        if pending.mask.is_empty() {
            return text.to_owned();
        }
        let said = outcome.unwrap_or_else(|error| error);
        match mask::mask(said.get(), &pending.mask) {
            Masked::Untouched => message::alone(text.to_owned()),
            Masked::Without(without, _) => message::alone(message::edited(text, vec![(said.get(), without)])),
            Masked::Withheld => refusal::withheld(id, &pending.intent, said),
        }
    }

    /// What the client hears of `text`, which answers nothing, and in which the server says `said`, as a notification of
    /// `method` where it is one: nothing where that is of a task of somebody else, or may hold what is `masked` of what is under
    /// way, and cannot be cut.
    pub(crate) fn beside<'t>(
        &self,
        text: &'t str,
        method: Option<&str>,
        said: Option<&RawValue>,
        mut masked: BTreeSet<String>,
    ) -> Option<Cow<'t, str>> {
        let tasks = said.map(tasks::told_of).unwrap_or_default();
        if self.door.tasks().is_of_another(&tasks, self.door.caller()) {
            tracing::warn!(
                server = self.door.server(),
                "the server told one caller of another's task: it was not passed on"
            );
            return None;
        }
        masked.extend(tasks.iter().filter_map(|id| self.door.tasks().mask_of(id)).flatten());
        let (Some(said), false) = (said, masked.is_empty()) else { return Some(Cow::Borrowed(text)) };
        let sober = sober(method, said);
        let masked =
            sober.map_or(Masked::Withheld, |said| match mask::mask(&said, &Vec::from_iter(masked)) {
                Masked::Untouched => Masked::Without(said.into_owned(), 0),
                masked => masked,
            });
        if let Masked::Without(without, _) = masked {
            return Some(Cow::Owned(message::alone(message::edited(text, vec![(said.get(), without)]))));
        }
        tracing::warn!(
            server = self.door.server(),
            "the server said something beside an answer that may hold a masked field: it was not passed on"
        );
        None
    }
}

/// The parameters of a notification without the words that its server is free to choose: what is masked is known by its
/// values only once the result is there, and may stand in them before. `None` where nothing else is told.
fn sober<'s>(method: Option<&str>, said: &'s RawValue) -> Option<Cow<'s, str>> {
    let is_kept: fn(&str) -> bool = match method {
        Some("notifications/message") => return None,
        Some("notifications/progress") => |name| matches!(name, "progressToken" | "progress" | "total"),
        Some(CANCELLED) => |name| name == "requestId",
        Some(method) if method.starts_with(TASK_NOTICE) => {
            return Some(tasks::sober(said).map_or(Cow::Borrowed(said.get()), Cow::Owned));
        }
        _ => return Some(Cow::Borrowed(said.get())),
    };
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(said.get()).ok()?;
    members.retain(|name, _| is_kept(name));
    serde_json::to_string(&members).ok().map(Cow::Owned)
}

impl Pending {
    /// What is kept from the caller of any of `under_way`.
    pub(crate) fn masked<'p>(under_way: impl Iterator<Item = &'p Self>) -> BTreeSet<String> {
        under_way.flat_map(|pending| &pending.mask).cloned().collect()
    }
}
