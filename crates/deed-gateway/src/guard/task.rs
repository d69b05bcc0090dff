//! Tasks that calls have become: whose each is, what of it is kept from its caller, and how it ended.

use deed_record::Status;
use serde_json::value::RawValue;

use super::{Guard, Pending};
use crate::{ending, message, method, recorder::Road, tasks};

impl<R: Road> Guard<R> {
    /// Whether the task that `params` name is the caller's, or may be: callers that nobody tells apart share those of which nobody
    /// knows whose they are.
    pub(super) async fn is_own_task(&self, params: Option<&RawValue>) -> bool {
        let Some(id) = tasks::asked_for(params) else { return false };
        let ids = [id];
        !self.recall(&ids).await && !self.door.tasks().is_of_another(&ids, self.door.caller())
    }

    /// Has the log say whose the tasks `ids` are, as far as nobody remembers that; whether any is known to be somebody else's.
    pub(super) async fn recall(&self, ids: &[String]) -> bool {
        let (tasks, caller) = (self.door.tasks(), self.door.caller());
        let unknown = ids.iter().filter(|id| tasks.is_of(id, caller).is_none());
        let unknown: Vec<String> = unknown.cloned().collect();
        if unknown.is_empty() {
            return false;
        }
        let found = self.recorder.tasks(self.door.server(), unknown, caller).await;
        let mut is_of_another = false;
        for (id, task) in found {
            match task {
                Some(task) => tasks.note(id, caller, task),
                None => is_of_another = true,
            }
        }
        is_of_another
    }

    /// What a server tells beside answers, as far as it says how a task ended.
    pub(crate) async fn noticed(&self, method: &str, params: Option<&RawValue>) {
        // How somebody else's ended is for their log, and theirs to learn.
        if method.starts_with(method::TASK_NOTICE) && self.is_own_task(params).await {
            self.task_ended(params, params).await;
        }
    }

    /// The call that the task which `named` names was: where the server `said` that it did not succeed, that is how the call
    /// ended. What was recorded of it when it became a task stays beside that.
    pub(super) async fn task_ended(&self, named: Option<&RawValue>, said: Option<&RawValue>) {
        let (Some(id), Some(said)) = (tasks::asked_for(named), said) else { return };
        let (status, code) = ending::of(Ok(said));
        if status == Status::Success {
            return;
        }
        if let Some(call) = self.door.tasks().end(&id) {
            self.end(&call, status, code, None).await;
        }
    }

    /// An answer without the tasks of others, where it lists tasks, and without what the server says in its own words of a task of
    /// which something is masked, as long as nobody knows the values; `None` where there is nothing of that.
    pub(super) fn sober_tasks(
        &self,
        text: &str,
        pending: &Pending,
        outcome: Result<&RawValue, &RawValue>,
    ) -> Option<String> {
        let result = outcome.ok()?;
        if pending.intent.method == method::TASK_LIST {
            return self.door.tasks().own(text, result, self.door.caller(), pending.is_masked());
        }
        let sober = if pending.is_masked() && tasks::is_task(result) { tasks::sober(result) } else { None };
        sober.map(|sober| message::edited(text, vec![(result.get(), sober)]))
    }
}
