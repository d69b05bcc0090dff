//! Whose a task is that a call became, as the log says after a restart.
//!
//! The end of such a call is about the task, by a name that only this store can make of its id: whoever can read records learns
//! no id by which a server would tell of the task.

use std::{borrow::Cow, ops::ControlFlow, time::Duration};

use deed_ledger::{Key, Ledger, LedgerError, now};
use deed_record::{Kind, Party, RecordId, Ruling, Skeleton, Status};
use serde_json::json;
use tokio::{task::spawn_blocking, time::timeout};

use super::{DecisionPoint, door, is_ours};
use crate::{
    door::Caller,
    guard::Pending,
    intent::{Conclusion, Intent, Who},
    recorder::Unavailable,
    restore::People,
    tasks::Task,
    write,
};

/// How clients without a token are called that say themselves what they are.
const CLAIMED: &str = "mcp-client:";

impl DecisionPoint {
    /// The tasks `ids` of `server`, as far as the log knows them: `None` of each that is not `caller`'s.
    ///
    /// # Errors
    /// The log cannot be read in time.
    pub(crate) async fn tasks(
        &self,
        tenant: &str,
        server: &str,
        ids: Vec<String>,
        caller: &Caller,
    ) -> Result<Vec<(String, Option<Task>)>, Unavailable> {
        let masks = self.in_force().policy.masks();
        let (ledger, caller) = (self.ledger.clone(), caller.clone());
        let (tenant, server) = (tenant.to_owned(), server.to_owned());
        let read = spawn_blocking(move || {
            let mut found = Vec::new();
            for id in ids {
                if let Some(task) = task(&ledger, (&tenant, &server), &id, &caller, &masks)? {
                    found.push((id, task));
                }
            }
            Ok::<_, LedgerError>(found)
        });
        let late = |_| Unavailable::new("the log does not say in time whose a task is");
        let read = timeout(self.deadline, read).await.map_err(late)?;
        read.map_err(|e| Unavailable::new(e.to_string()))?.map_err(|e| Unavailable::new(e.to_string()))
    }

    /// `conclusions` with the resources that stand for the tasks which calls have become, in place of their ids.
    pub(super) fn with_tasks<'c>(
        &self,
        conclusions: &'c [Conclusion],
        tenant: &str,
    ) -> Result<Cow<'c, [Conclusion]>, Unavailable> {
        let mut named = Cow::Borrowed(conclusions);
        if conclusions.iter().any(|conclusion| conclusion.task.is_some()) {
            for conclusion in named.to_mut() {
                let Some(id) = &conclusion.task else { continue };
                let uri = resource(&self.ledger, tenant, &conclusion.server, id);
                conclusion.task = uri.map_err(|error| Unavailable::new(error.to_string()))?;
            }
        }
        Ok(named)
    }
}

/// The resource that stands for the task `id` of `server`; `None` where nothing of `tenant` was ever recorded.
fn resource(ledger: &Ledger, tenant: &str, server: &str, id: &str) -> Result<Option<String>, LedgerError> {
    let keyed = ledger.keyed(tenant, "task", json!([server, id]).to_string().as_bytes(), false)?;
    let name = |keyed: [u8; 32]| keyed.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(keyed.map(|keyed| format!("mcp-task:{server}/{}", name(keyed))))
}

/// The task `id`, where the log knows it; `None` in its place where it is not `caller`'s.
fn task(
    ledger: &Ledger,
    (tenant, server): (&str, &str),
    id: &str,
    caller: &Caller,
    masks: &[String],
) -> Result<Option<Option<Task>>, LedgerError> {
    let Some(uri) = resource(ledger, tenant, server, id)? else { return Ok(None) };
    let is_its_end = |record: &Skeleton<'_>| {
        record.kind == Kind::Outcome && is_ours(record) && *record.submitter == *door(server)
    };
    let mut call = None;
    ledger.lookup_each(&Key::Resource { tenant, uri: &uri }, None, &mut |_, record| {
        call = record.action.filter(|_| is_its_end(record));
        if call.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    let Some(leaf) = call.map(|call| leaf_of(ledger, call)).transpose()?.flatten() else { return Ok(None) };
    let sealed = ledger.leaf(leaf)?;
    let record = sealed.skeleton().map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
    if record.kind != Kind::Intent || !is_ours(&record) || *record.tenant != *tenant {
        return Ok(None);
    }
    let Some(place) = People::of(ledger, leaf)?.place(&record) else { return Ok(None) };
    if !is_of(ledger, tenant, &record, place.executor.key.as_deref(), caller)? {
        return Ok(Some(None));
    }
    let intent = Intent {
        name: record.tool.as_ref().map(|tool| tool.name.to_string()),
        ..Intent::bare(record.id, server, record.operation.as_deref().unwrap_or_default(), place)
    };
    // What a human had to approve was decided anew, and says so elsewhere.
    let decision = record.decision.as_ref().filter(|decision| decision.effect == Ruling::Allow);
    let mask = match decision {
        Some(decision) => write::obligations_of(Some(decision)).mask,
        None => masks.to_vec(),
    };
    let age = u64::try_from(now().0 - record.time.0).map_or(Duration::ZERO, Duration::from_micros);
    let call = Pending::recalled(intent, mask, age);
    Ok(Some(Some(Task { call, is_over: is_over(ledger, record.id)? })))
}

/// Whether it is recorded already that `call` ended otherwise than well.
fn is_over(ledger: &Ledger, call: RecordId) -> Result<bool, LedgerError> {
    let mut is_over = false;
    ledger.lookup_each(&Key::Ref(call), None, &mut |_, record| {
        let end = record.outcome.as_ref().filter(|_| record.kind == Kind::Outcome && is_ours(record));
        is_over |= end.is_some_and(|end| end.status != Status::Success);
        if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(is_over)
}

fn leaf_of(ledger: &Ledger, id: RecordId) -> Result<Option<u64>, LedgerError> {
    Ok(ledger.lookup(&Key::Id(id), 1, None)?.first().copied())
}

/// Whether `record` tells of a call of `caller`; `executor` is what its executor is called.
fn is_of(
    ledger: &Ledger,
    tenant: &str,
    record: &Skeleton<'_>,
    executor: Option<&str>,
    caller: &Caller,
) -> Result<bool, LedgerError> {
    let is = |party: &Option<Party<'_>>, who: &Option<Who>| {
        let key = who.as_ref().and_then(|who| who.key.as_deref()).filter(|key| !key.is_empty());
        let account = key.map(|key| ledger.account(tenant, key)).transpose()?.flatten();
        Ok::<_, LedgerError>(party.as_ref().and_then(|party| party.account) == account)
    };
    let is_executor = match &caller.executor {
        Some(_) => is(&record.executor, &caller.executor)?,
        None => executor.is_none_or(|key| key.starts_with(CLAIMED)),
    };
    // What the server was shown in its place says nothing of who came.
    let shown = record.credential.as_ref().is_some_and(|shown| shown.names().next().is_some());
    let shows_as_much = shown == caller.credential.is_some();
    Ok(is_executor && shows_as_much && is(&record.initiator, &caller.initiator)?)
}
