//! Step-ups that wait for a human (P5).
//!
//! INVARIANT D8: an approval is for one step-up, and so for its exact arguments, used once, in time, given by
//! somebody who neither asked nor executes. What nobody approves is not done.

mod reply;

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use deed_identity::Inventory;
use deed_ledger::{Ledger, LedgerError, now};
use deed_policy::Approver;
use deed_record::{RecordId, Ruling, Status, Timestamp, secret};
use deed_seal::hash::Hash;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::Notify;

pub use self::reply::{Replied, Reply, ReplyError};
pub(crate) use self::reply::{has_part, may_answer, said_by};
use crate::{
    intent::{Answer, Intent, Who},
    listing::sorted,
    request::Ruled,
    secrets::Hidden,
    term::TermEnd,
};

/// How long a step-up may be answered.
pub(crate) const ANSWERABLE: Duration = Duration::from_secs(60 * 60);
/// How long an approval may be used, once given.
pub(crate) const USABLE: Duration = Duration::from_secs(15 * 60);
/// How long those may take who wait in several questions, between two of them.
const ASKS_AGAIN: Duration = Duration::from_secs(3);
/// Step-ups that are kept at a time; more are refused, for nobody could look at them.
const MOST: usize = 1000;

/// A step-up, as those see it who may answer it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// The intent that waits.
    pub id: RecordId,
    /// Since when.
    pub time: Timestamp,
    /// Until when it may be answered.
    pub expires: Timestamp,
    /// Who asked.
    #[serde(default)]
    pub initiator: Option<Who>,
    /// Who would act.
    pub executor: Who,
    /// The server.
    pub server: String,
    /// The method.
    pub method: String,
    /// The tool, prompt or resource.
    pub target: String,
    /// What it would be called with; secrets as fingerprints (D9).
    #[serde(default)]
    pub arguments: Option<Box<RawValue>>,
    /// Ids of the policies that ask.
    pub policies: Vec<String>,
    /// Who may answer, in words: `anybody`, `self`, `group NAME`.
    pub approvers: Vec<String>,
}

/// A step-up.
#[derive(Clone, Debug)]
pub(crate) struct StepUp {
    pub(crate) intent: Intent,
    pub(crate) tenant: String,
    pub(crate) approvers: Vec<Approver>,
    pub(crate) policies: Vec<String>,
    /// What an approval is bound to, see [`binding`].
    binding: String,
    pub(crate) time: Timestamp,
    state: State,
    /// Until when somebody is known to wait for it.
    waited_for: Timestamp,
    asker: Asker,
}

/// Whether whoever asked can go on with a step-up. Where not, an approval is good for the same call when that is made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asker {
    /// They can.
    GoesOn,
    /// It is from a process before this one, and what waited for it is gone, or its arguments are known without their secrets
    /// alone.
    IsPast,
    /// They said that they wait no longer.
    GaveUp,
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    Approved(Approval),
    /// Whoever waited for it has it, and nobody else gets it; with the decision that followed, once that is recorded.
    Taken(Approval, Option<Box<Answer>>),
    Refused(String),
    /// Its approval was used by this action, of which nobody knows what came: a process before this one ended meanwhile.
    Spent(RecordId),
}

/// An approval that may be used, once.
#[derive(Clone, Debug)]
pub(crate) struct Approval {
    pub(crate) record: RecordId,
    pub(crate) by: Who,
    pub(crate) time: Timestamp,
}

/// What became of a step-up.
#[derive(Clone, Debug)]
pub(crate) enum Became {
    /// It was approved; this use of it is the only one.
    Approved(Box<StepUp>, Approval),
    /// It was approved and decided on: whoever waits did not hear that, and asks again.
    Decided(Box<Answer>),
    /// It was refused, and why.
    Refused(String),
    /// Nobody has answered.
    Waiting,
}

/// Every step-up that can still be answered or used.
#[derive(Default)]
pub(crate) struct Approvals {
    waiting: Mutex<BTreeMap<RecordId, StepUp>>,
    pub(crate) answered: Notify,
}

impl StepUp {
    pub(crate) fn new(
        intent: &Intent,
        tenant: &str,
        approvers: Vec<Approver>,
        policies: Vec<String>,
        binding: String,
        time: Timestamp,
    ) -> Self {
        StepUp {
            binding,
            intent: intent.clone(),
            tenant: tenant.to_owned(),
            approvers,
            policies,
            time,
            state: State::Waiting,
            waited_for: Timestamp(0),
            asker: Asker::GoesOn,
        }
    }

    /// The same, of a process before this one; with the approval that it was given.
    pub(crate) fn restored(self, approval: Option<Approval>, asker: Asker) -> Self {
        StepUp { state: approval.map_or(State::Waiting, State::Approved), asker, ..self }
    }

    /// The same, of a process before this one, which may have ended before whoever waits heard `decided`: they are told again.
    pub(crate) fn told_again(self, approval: Approval, decided: Answer) -> Self {
        StepUp { state: State::Taken(approval, Some(Box::new(decided))), ..self }
    }

    /// The same, of a process before this one, where `action` used its approval and has no end.
    pub(crate) fn spent_on(self, action: RecordId) -> Self {
        StepUp { state: State::Spent(action), ..self }
    }

    /// The same, where `asks` is what the policy set in force says of it without an approval: whoever that asks must answer.
    pub(crate) fn asked_by(self, asks: Option<Ruled>) -> Self {
        match asks {
            Some(Ruled { decided, .. }) if decided.effect == Ruling::StepUp => {
                StepUp { approvers: decided.approvers, policies: decided.policies, ..self }
            }
            _ => self,
        }
    }

    /// Whether an approval is bound to `binding`.
    pub(crate) fn is_bound_to(&self, binding: &str) -> bool {
        self.binding == binding
    }

    /// Whether somebody waits for it at `now`.
    pub(crate) fn is_waited_for(&self, now: Timestamp) -> bool {
        self.waited_for > now && self.asker == Asker::GoesOn
    }

    pub(crate) fn ends(&self) -> Timestamp {
        match &self.state {
            State::Approved(approval) | State::Taken(approval, _) => later(approval.time, USABLE),
            State::Waiting | State::Refused(_) => later(self.time, ANSWERABLE),
            State::Spent(_) => later(self.time, ANSWERABLE + USABLE),
        }
    }

    pub(crate) fn shown(&self) -> Waiting {
        let intent = &self.intent;
        let target = match (&intent.name, &intent.uri) {
            (Some(name), _) => format!("{}/{name}", intent.server),
            (None, Some(uri)) => uri.clone(),
            (None, None) => intent.server.clone(),
        };
        Waiting {
            id: intent.id,
            time: self.time,
            expires: self.ends(),
            initiator: intent.place.initiator.clone(),
            executor: intent.place.executor.clone(),
            server: intent.server.clone(),
            method: intent.method.clone(),
            target,
            arguments: intent.arguments.as_deref().and_then(without_secrets),
            policies: self.policies.clone(),
            approvers: self.approvers.iter().map(in_words).collect(),
        }
    }
}

impl Approvals {
    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<RecordId, StepUp>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `step_up` wait; whether there was room.
    pub(crate) fn add(&self, step_up: StepUp) -> bool {
        let mut all = self.lock();
        let now = now();
        all.retain(|_, step_up| step_up.ends() > now);
        let is_open = |step_up: &&StepUp| !matches!(step_up.state, State::Taken(..) | State::Spent(_));
        if all.values().filter(is_open).count() >= MOST {
            return false;
        }
        all.insert(step_up.intent.id, step_up);
        true
    }

    /// Those of `tenant`, or of all, that wait, oldest first.
    pub(crate) fn list(&self, tenant: Option<&str>, now: Timestamp) -> Vec<Waiting> {
        let all = self.lock();
        let is_shown = |step_up: &&StepUp| {
            let is_theirs = tenant.is_none_or(|tenant| step_up.tenant == tenant);
            is_theirs && matches!(step_up.state, State::Waiting) && step_up.ends() > now
        };
        all.values().filter(is_shown).map(StepUp::shown).collect()
    }

    /// The step-up `id`, if it can be answered.
    pub(crate) fn answerable(&self, id: RecordId, now: Timestamp) -> Option<StepUp> {
        let all = self.lock();
        all.get(&id)
            .filter(|step_up| matches!(step_up.state, State::Waiting) && step_up.ends() > now)
            .cloned()
    }

    /// Notes the answer that is recorded as `approval`; false where somebody else was faster.
    pub(crate) fn answer(&self, id: RecordId, approved: bool, approval: Approval, why: String) -> bool {
        let is_noted = match self.lock().get_mut(&id) {
            Some(step_up) if matches!(step_up.state, State::Waiting) => {
                step_up.state = if approved { State::Approved(approval) } else { State::Refused(why) };
                true
            }
            _ => false,
        };
        self.answered.notify_waiters();
        is_noted
    }

    /// Somebody waits for `id`, for as long as `patience`.
    pub(crate) fn wait(&self, id: RecordId, patience: Duration) {
        if let Some(step_up) = self.lock().get_mut(&id) {
            step_up.waited_for = later(now(), patience + ASKS_AGAIN);
        }
    }

    /// The step-up `id` of a command, where nobody can go on with it for what is missing of it.
    pub(crate) fn lacking(&self, id: RecordId) -> Option<StepUp> {
        let all = self.lock();
        let lacks = |step_up: &&StepUp| {
            let is_open = matches!(step_up.state, State::Waiting | State::Approved(_));
            step_up.asker == Asker::IsPast && step_up.intent.run.is_some() && is_open
        };
        all.get(&id).filter(lacks).cloned()
    }

    /// Step-up `id` is `intent`, all of which is known: whoever waits for it goes on.
    pub(crate) fn made_whole(&self, id: RecordId, intent: Intent) {
        if let Some(step_up) = self.lock().get_mut(&id) {
            step_up.intent = intent;
            step_up.asker = Asker::GoesOn;
        }
    }

    /// Nobody wants `id` any more: it can no longer be answered.
    pub(crate) fn withdraw(&self, id: RecordId) {
        let mut all = self.lock();
        if all.get(&id).is_some_and(|step_up| matches!(step_up.state, State::Waiting)) {
            all.remove(&id);
        }
    }

    /// Whoever asked for `id` waits no longer, and does not go on with it whatever is answered.
    pub(crate) fn give_up(&self, id: RecordId) {
        if let Some(step_up) = self.lock().get_mut(&id) {
            step_up.asker = Asker::GaveUp;
        }
    }

    /// What became of step-up `id`. One that was approved is used up by this, for everybody but whoever waits for `id`: until
    /// they have heard the decision, they may ask again.
    pub(crate) fn take(&self, id: RecordId, now: Timestamp) -> Became {
        let mut all = self.lock();
        let Some(step_up) = all.get_mut(&id) else {
            return Became::Refused("it can no longer be approved; ask anew".into());
        };
        if step_up.ends() <= now {
            all.remove(&id);
            return Became::Refused("nobody approved it in time".into());
        }
        match step_up.state.clone() {
            State::Waiting => Became::Waiting,
            State::Refused(why) => Became::Refused(why),
            State::Spent(action) => {
                Became::Refused(format!("its approval was used up by action `{action}`; ask anew"))
            }
            State::Approved(_) if step_up.asker == Asker::IsPast => Became::Waiting,
            State::Approved(_) if step_up.asker == Asker::GaveUp => {
                Became::Refused("nobody approved it while it was waited for; ask anew".into())
            }
            State::Taken(_, Some(answer)) => Became::Decided(answer),
            State::Approved(approval) | State::Taken(approval, None) => {
                step_up.state = State::Taken(approval.clone(), None);
                Became::Approved(Box::new(step_up.clone()), approval)
            }
        }
    }

    /// Notes the decision that followed the approval of step-up `id`, to be told again.
    pub(crate) fn decided(&self, id: RecordId, answer: &Answer) {
        if let Some(StepUp { state: State::Taken(_, decided), .. }) = self.lock().get_mut(&id) {
            *decided = Some(Box::new(answer.clone()));
        }
    }

    /// An approval that nobody has used, for the same call by the same ones: used up by this. The policies that ask must
    /// still be those that asked, for the same approvers, and whoever approved must still be one and have a say (`has_say`).
    pub(crate) fn take_like(
        &self,
        binding: &str,
        asks: (&[String], &[Approver]),
        inventory: &Inventory,
        has_say: &dyn Fn(&Who) -> bool,
        now: Timestamp,
    ) -> Option<Approval> {
        let is_good = |step_up: &StepUp| match &step_up.state {
            State::Approved(approval) => {
                step_up.binding == binding
                    && (&*step_up.policies, &*step_up.approvers) == asks
                    && step_up.ends() > now
                    && may_answer(step_up, &approval.by, inventory).is_ok()
                    && has_say(&approval.by)
            }
            State::Waiting | State::Taken(..) | State::Refused(_) | State::Spent(_) => false,
        };
        let mut all = self.lock();
        let id = all.iter().find(|(_, step_up)| is_good(step_up)).map(|(id, _)| *id)?;
        match all.remove(&id)?.state {
            State::Approved(approval) => Some(approval),
            State::Waiting | State::Taken(..) | State::Refused(_) | State::Spent(_) => None,
        }
    }

    /// The action of a process before this one that used up an approval for the same call, and has no end from then.
    pub(crate) fn spent_on(&self, binding: &str, now: Timestamp) -> Option<RecordId> {
        self.lock().values().rev().find_map(|step_up| match step_up.state {
            State::Spent(action) if step_up.binding == binding && step_up.ends() > now => Some(action),
            _ => None,
        })
    }
}

/// The code of a call that nobody approved for as long as it waited.
pub const NOT_IN_TIME: &str = "not_approved_in_time";

/// Whether nobody can approve any more what ended so: the client called it off, or its credential holds no longer.
pub(crate) fn is_off(status: Status, code: Option<&str>) -> bool {
    status == Status::Cancelled || status == Status::Denied && code.is_some_and(TermEnd::is_code)
}

/// What an approval is bound to: who, what, with which arguments, of a tool of which `definition`. A digest under the key of
/// the tenant, for arguments may hold what somebody could guess (D9); without one, for this process alone.
///
/// # Errors
/// The tenant's key cannot be read.
pub(crate) fn binding(
    ledger: &Ledger,
    intent: &Intent,
    definition: Option<&str>,
    tenant: &str,
) -> Result<Option<String>, LedgerError> {
    let who = |who: &Who| json!([who.kind.as_str(), who.key]);
    let arguments: Option<Value> =
        intent.arguments.as_ref().and_then(|arguments| serde_json::from_str(arguments.get()).ok());
    let bound = json!([
        "deed step-up",
        tenant,
        intent.server,
        intent.method,
        intent.name,
        intent.uri,
        definition,
        who(&intent.place.executor),
        intent.place.initiator.as_ref().map(who),
        arguments,
    ]);
    let digest = Hash::of(sorted(&bound).as_bytes());
    let keyed = ledger.account(tenant, &format!("deed-step-up:{digest}"))?;
    Ok(keyed.map(|keyed| format!("{:032x}", u128::from_be_bytes(keyed.0))))
}

/// `arguments` as a human may see them.
fn without_secrets(arguments: &RawValue) -> Option<Box<RawValue>> {
    let clean = secret::excise(arguments.get(), &Hidden).ok()?;
    RawValue::from_string(clean.text.into_owned()).ok()
}

/// An approver as it is shown and kept, the other way round.
pub(crate) fn of_words(words: &str) -> Option<Approver> {
    match words {
        "self" => Some(Approver::SelfApproval),
        "anybody" => Some(Approver::Anybody),
        words => words.strip_prefix("group ").map(|group| Approver::Group(group.to_owned())),
    }
}

pub(crate) fn in_words(approver: &Approver) -> String {
    match approver {
        Approver::Group(group) => format!("group {group}"),
        Approver::SelfApproval => "self".into(),
        Approver::Anybody => "anybody".into(),
    }
}

pub(crate) fn later(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}
