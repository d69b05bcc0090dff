//! What humans are asked, and what they answer.

use std::{
    collections::HashSet,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use deed_ledger::{AppendError, fresh_id, now};
use deed_record::{PrincipalType, RecordId, Ruling, SpanId, Timestamp, TraceId, Written};
use serde_json::{Map, Value, json, value::to_raw_value};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{DecisionPoint, decided_before, door};
use crate::{
    approvals::{
        Approval, Became, Replied, Reply, ReplyError, StepUp, Waiting, binding, has_part, may_answer,
    },
    catalog::{News, Version},
    door::random,
    intent::{Answer, Intent, Place, Refused, Who},
    names::meant,
    recorder::Unavailable,
    request::Ruled,
    restore,
    write::{denial, human as write, intent},
};

/// Viewers of step-ups that are remembered.
const MOST_VIEWED: usize = 10_000;

impl DecisionPoint {
    /// Waits for a human to answer the step-up `id`, but no longer than `patience`. An approval is used up by
    /// the one who hears of it first; asked again, because the answer was lost, it gives the same answer.
    ///
    /// # Errors
    /// What follows from the answer could not be recorded: nothing may be done.
    pub async fn wait(&self, waits: &Answer, patience: Duration) -> Result<Answer, Unavailable> {
        let until = tokio::time::Instant::now() + patience;
        self.restore().await?;
        self.approvals.wait(waits.id, patience);
        loop {
            // Asked for before the look, so that no answer falls between.
            let answered = self.approvals.answered.notified();
            // One at a time: asked twice at once, it is decided on once.
            let clearing = self.clearing.lock().await;
            match self.approvals.take(waits.id, now()) {
                Became::Approved(step_up, approval) => {
                    let answer = self.clear(waits, &step_up, &approval).await?;
                    self.approvals.decided(waits.id, &answer);
                    return Ok(answer);
                }
                Became::Decided(answer) => return Ok(*answer),
                Became::Refused(reason) => {
                    return Ok(Answer { effect: Ruling::Deny, reason, ..waits.clone() });
                }
                Became::Waiting => {}
            }
            drop(clearing);
            if tokio::time::timeout_at(until, answered).await.is_err() {
                return Ok(waits.clone());
            }
        }
    }

    /// Whether the command `id` can go on only once it is told again: it was asked before this process began, and something was
    /// taken out of it for the record.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn wants_command(&self, id: RecordId) -> Result<bool, Unavailable> {
        self.restore().await?;
        Ok(self.approvals.lacking(id).is_some())
    }

    /// Takes `command` for that of `id`, if it is the very one that was asked (INVARIANT D8): what an approval is bound to tells.
    ///
    /// # Errors
    /// The log or the tenant's key cannot be read.
    pub async fn tell_command(&self, id: RecordId, command: &[String]) -> Result<(), Unavailable> {
        self.restore().await?;
        let Some(step_up) = self.approvals.lacking(id) else { return Ok(()) };
        let kept = step_up.intent.arguments.as_deref().map(|arguments| serde_json::from_str(arguments.get()));
        let Some(Ok(mut arguments)) = kept else { return Ok(()) };
        let arguments: &mut Map<String, Value> = &mut arguments;
        arguments.insert("command".into(), command.into());
        let broken = |error: &dyn std::fmt::Display| Unavailable::new(error.to_string());
        let arguments = to_raw_value(arguments).map_err(|error| broken(&error))?;
        let intent = Intent { arguments: Some(arguments), ..step_up.intent.clone() };
        let binding =
            binding(&self.ledger, &intent, None, &step_up.tenant).map_err(|error| broken(&error))?;
        if binding.is_some_and(|binding| step_up.is_bound_to(&binding)) {
            self.approvals.made_whole(id, intent);
        }
        Ok(())
    }

    /// Decides again, with an approval at hand, and records that (INVARIANT D1, D8).
    async fn clear(
        &self,
        waits: &Answer,
        step_up: &StepUp,
        approval: &Approval,
    ) -> Result<Answer, Unavailable> {
        let now = now();
        if let Some(Intent { refused: Some(Refused { why, .. }), .. }) =
            self.stopped(&step_up.intent, &step_up.tenant)?
        {
            self.lapse(step_up, "suspended", now).await?;
            return Ok(Answer { effect: Ruling::Deny, reason: why, ..waits.clone() });
        }
        if let Err(why) = self.still_counts(step_up, approval)? {
            self.lapse(step_up, "approver", now).await?;
            return Ok(Answer { effect: Ruling::Deny, reason: why, ..waits.clone() });
        }
        let Some(ruled) = self.decide(&step_up.intent, Some(approval), &step_up.tenant, now) else {
            return Err(Unavailable::new("policy is not asked about it any more"));
        };
        let id = self.once(&step_up.tenant, "cleared", &approval.record.to_string())?;
        let cleared = write::cleared(step_up, id, approval.record, &ruled, now);
        match self.append(&[cleared], door(&step_up.intent.server), &step_up.tenant).await {
            // Whoever waited gave up before it was durable: what was decided then holds.
            Err(AppendError::Conflict { first, .. }) => return self.cleared_before(waits, first).await,
            appended => appended?,
        };
        let Ruled { decided, policy_set, restricted } = ruled;
        let effect = if decided.effect == Ruling::Allow { Ruling::Allow } else { Ruling::Deny };
        Ok(Answer {
            effect,
            reason: decided.reason,
            policies: decided.policies,
            policy_set: Some(policy_set),
            obligations: decided.obligations,
            restricted,
            ..waits.clone()
        })
    }

    /// The decision in leaf `index`, that followed the approval of what `waits`.
    async fn cleared_before(&self, waits: &Answer, index: u64) -> Result<Answer, Unavailable> {
        let sealed = self.sealed(index).await?;
        let record = sealed.skeleton().map_err(|error| Unavailable::new(error.to_string()))?;
        let decided = decided_before(&record, waits.id, self.ledger.origin(), index);
        let effect = if decided.effect == Ruling::Allow { Ruling::Allow } else { Ruling::Deny };
        Ok(Answer { effect, index: waits.index, spooled: waits.spooled, ..decided })
    }

    /// Records that `step_up` is not done, once.
    async fn lapse(&self, step_up: &StepUp, code: &str, now: Timestamp) -> Result<(), Unavailable> {
        let id = self.once(&step_up.tenant, "lapsed", &step_up.intent.id.to_string())?;
        let lapsed = write::lapsed(step_up, id, code, now);
        Ok(self.append_once(&[lapsed], door(&step_up.intent.server), &step_up.tenant).await?)
    }

    /// The id of what is recorded once for `what`. Nobody else can make it, and so record something else by it.
    pub(super) fn once(
        &self,
        tenant: &str,
        purpose: &'static str,
        what: &str,
    ) -> Result<RecordId, Unavailable> {
        let keyed = self.ledger.keyed(tenant, purpose, what.as_bytes(), false);
        match keyed.map_err(|error| Unavailable::new(error.to_string()))? {
            Some(digest) => Ok(RecordId::v8(&digest)),
            // Nothing was ever recorded there.
            None => Ok(fresh_id()?),
        }
    }

    /// As [`DecisionPoint::append`], of records with ids from [`DecisionPoint::once`]: one that is there was told in other words.
    pub(super) async fn append_once(
        &self,
        records: &[Written<'_>],
        name: String,
        tenant: &str,
    ) -> Result<(), AppendError> {
        match self.append(records, name, tenant).await {
            Ok(_) | Err(AppendError::Conflict { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Whether whoever gave `approval` is one whom the policy set in force asks, and has a say; else why not.
    fn still_counts(&self, step_up: &StepUp, approval: &Approval) -> Result<Result<(), String>, Unavailable> {
        let by = approval.by.key.as_deref().unwrap_or_default();
        if let Some(why) = self.silenced(by, &step_up.tenant)? {
            return Ok(Err(format!("{why}, who approved it")));
        }
        let asked = self.asked_now(step_up.clone());
        Ok(may_answer(&asked, &approval.by, &self.in_force().inventory).map_err(|error| error.to_string()))
    }

    /// `step_up`, for those to answer whom the policy set in force asks.
    fn asked_now(&self, step_up: StepUp) -> StepUp {
        let asks = self.decide(&step_up.intent, None, &step_up.tenant, now());
        step_up.asked_by(asks)
    }

    /// Lets wait again what waited when the process before this one ended; once.
    ///
    /// # Errors
    /// The log cannot be read. What is not known to be approved is not done.
    async fn restore(&self) -> Result<(), Unavailable> {
        let read = async || {
            let (ledger, began) = (self.ledger.clone(), self.began);
            let found = spawn_blocking(move || restore::find(&ledger, began, now())).await;
            let broken = |error: &dyn std::fmt::Display| Unavailable::new(error.to_string());
            for step_up in found.map_err(|error| broken(&error))?.map_err(|error| broken(&error))? {
                if !self.approvals.add(step_up) {
                    tracing::warn!("more step-ups waited than can be approved; the newest are left out");
                }
            }
            Ok(())
        };
        self.restored.get_or_try_init(read).await.copied()
    }

    /// An approval that was given for just what `binding` is of, and is used up by it.
    pub(super) async fn approved(
        &self,
        binding: &str,
        asks: &Ruled,
        tenant: &str,
        now: Timestamp,
    ) -> Result<Option<Approval>, Unavailable> {
        self.restore().await?;
        let asks = (&*asks.decided.policies, &*asks.decided.approvers);
        let has_say = |by: &Who| {
            let key = by.key.as_deref().unwrap_or_default();
            matches!(self.silenced(key, tenant), Ok(None))
        };
        Ok(self.approvals.take_like(binding, asks, &self.in_force().inventory, &has_say, now))
    }

    /// What an approval of `intent` is bound to. A tool is what its approved definition says, whether the door has seen that
    /// or not: of any other definition it would be held.
    pub(super) fn bound(&self, intent: &Intent, tenant: &str) -> Result<Option<String>, Unavailable> {
        let pin = intent.name.as_deref().and_then(|name| self.catalog.known(tenant, &intent.server, name));
        let pinned = pin.and_then(|pin| pin.approved).map(|version| version.digest);
        let definition = pinned.as_deref().or(intent.definition.as_deref());
        binding(&self.ledger, intent, definition, tenant).map_err(|error| Unavailable::new(error.to_string()))
    }

    /// The step-ups that wait for a human, for `viewer` to see; those of `tenant` alone, if it is one.
    ///
    /// INVARIANT D10: they show arguments, so that it is recorded first who sees them; once for each viewer.
    ///
    /// # Errors
    /// That could not be recorded: nothing is shown.
    pub async fn waiting(&self, viewer: &str, tenant: Option<&str>) -> Result<Vec<Waiting>, Unavailable> {
        self.restore().await?;
        let now = now();
        let mut waiting = self.approvals.list(tenant, now);
        for one in &mut waiting {
            let Some(step_up) = self.approvals.answerable(one.id, now) else { continue };
            let step_up = self.asked_now(step_up);
            let asked = step_up.shown();
            (one.approvers, one.policies) = (asked.approvers, asked.policies);
            if self.viewed().contains(&(one.id, viewer.to_owned())) {
                continue;
            }
            let access = write::access(&step_up, viewer, now);
            self.append(&[access], "deed:approvals".into(), &step_up.tenant).await?;
            let mut viewed = self.viewed();
            // What is forgotten is recorded again.
            if viewed.len() >= MOST_VIEWED {
                viewed.clear();
            }
            viewed.insert((one.id, viewer.to_owned()));
        }
        Ok(waiting)
    }

    /// From now on `told` hears of every step-up that begins to wait, without its arguments (D10). Whoever comes
    /// second is not told.
    pub fn tell_of_step_ups(&self, told: mpsc::Sender<Waiting>) {
        if self.told.set(told).is_err() {
            tracing::warn!("somebody else is told of step-ups already");
        }
    }

    /// Tells of a step-up, without waiting for anybody: a decision is not held up by it.
    pub(super) fn tell(&self, waits: Waiting) {
        let Some(told) = self.told.get() else { return };
        if let Err(error) = told.try_send(Waiting { arguments: None, ..waits }) {
            tracing::warn!(%error, "nobody is told that something waits for an approval");
        }
    }

    fn viewed(&self) -> MutexGuard<'_, HashSet<(RecordId, String)>> {
        self.viewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A human answers a step-up, or approves a tool whose definition changed: recorded, and then it counts.
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub async fn reply(&self, id: RecordId, reply: &Reply) -> Result<Replied, ReplyError> {
        self.restore().await?;
        let inventory = self.in_force().inventory;
        let mut reply = reply.clone();
        reply.by.key = meant(&inventory, &reply.by);
        let reply = &reply;
        let Some(step_up) = self.approvals.answerable(id, now()) else {
            let record = self.reply_tool(id, reply).await?;
            return Ok(Replied { record, waits: None });
        };
        let step_up = self.asked_now(step_up);
        may_answer(&step_up, &reply.by, &inventory)?;
        let Intent { server, place, .. } = &step_up.intent;
        self.refuse_silenced(reply, id, Some(place), (server, &step_up.tenant)).await?;
        let record = self.once(&step_up.tenant, "approval", &said(id, reply))?;
        let now = now();
        let own = has_part(&step_up, &reply.by, &inventory);
        let mut records = vec![write::approval(&step_up, reply, record, own, now)];
        if !reply.approved {
            let lapsed = self.once(&step_up.tenant, "lapsed", &id.to_string())?;
            records.push(write::lapsed(&step_up, lapsed, "refused", now));
        }
        self.append_once(&records, door(&step_up.intent.server), &step_up.tenant).await?;
        let by = reply.by.key.clone().unwrap_or_default();
        let why = match &reply.reason {
            Some(reason) => format!("`{by}` refused it: {reason}"),
            None => format!("`{by}` refused it"),
        };
        let approval = Approval { record, by: reply.by.clone(), time: now };
        match self.approvals.answer(id, reply.approved, approval, why) {
            true => Ok(Replied { record, waits: Some(step_up.is_waited_for(now)) }),
            false => Err(ReplyError::Unknown(id)),
        }
    }

    /// Refuses the answer of somebody who is suspended, and records that; `server` and `tenant` are those of what was asked.
    async fn refuse_silenced(
        &self,
        reply: &Reply,
        id: RecordId,
        asked: Option<&Place>,
        (server, tenant): (&str, &str),
    ) -> Result<(), ReplyError> {
        let key = reply.by.key.as_deref().unwrap_or_default();
        let Some(why) = self.silenced(key, tenant)? else { return Ok(()) };
        let record = fresh_id()?;
        let trace = asked.map_or(TraceId(record.0), |place| place.trace_id);
        let place = Place {
            executor: reply.by.clone(),
            parent_span_id: asked.map(|place| place.span_id),
            ..Place::of_nobody(trace, SpanId(random()?))
        };
        let refused = Intent {
            uri: Some(format!("deed:approval/{id}")),
            refused: Some(Refused { code: "suspended".into(), why: why.clone() }),
            ..Intent::bare(record, server, "approval", place)
        };
        let now = now();
        let records = [intent(&refused, None, None, None, now), denial(&refused, None, now)];
        self.append(&records, door(server), tenant).await?;
        Err(ReplyError::NotTheirs(why))
    }

    /// A human approves, or refuses, what a tool has become.
    async fn reply_tool(&self, id: RecordId, reply: &Reply) -> Result<RecordId, ReplyError> {
        if reply.by.kind != PrincipalType::Human || reply.by.key.as_deref().is_none_or(str::is_empty) {
            return Err(ReplyError::NotTheirs(
                "a human must answer: `by`, on the command line --as human:NAME".into(),
            ));
        }
        let (ledger, catalog) = (self.ledger.clone(), self.catalog.clone());
        let read = spawn_blocking(move || catalog.held_by(&ledger, id)).await;
        let broken = |error: &dyn std::fmt::Display| Unavailable::new(error.to_string());
        let held = read.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        let Some(held) = held else { return Err(ReplyError::Unknown(id)) };
        self.refuse_silenced(reply, id, None, (&held.server, &held.tenant)).await?;
        let said = said(id, reply);
        let approval = self.once(&held.tenant, "approval", &said)?;
        let issued = self.once(&held.tenant, "approved tool", &said)?;
        let records = write::tool_approval(&held, reply, approval, issued, now());
        self.append_once(&records, door(&held.server), &held.tenant).await?;
        if reply.approved {
            let version = Version { record: issued, digest: held.digest };
            self.catalog.note(&held.tenant, &held.server, &held.name, News::First, version);
        }
        Ok(approval)
    }
}

/// What somebody answers to `id`: said again, in the same words, it is the same answer.
fn said(id: RecordId, reply: &Reply) -> String {
    json!([id, reply.approved, reply.by.key, reply.reason]).to_string()
}
