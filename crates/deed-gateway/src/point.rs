//! The decision point: it decides, and has said so durably before it answers.

mod doors;
mod human;
mod soon;
mod spool;
mod stops;
mod tasks;
mod tools;

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use deed_identity::Inventory;
use deed_ledger::{AppendError, Ledger, LedgerError, Pace, Pending, Receipt, Sender, now};
use deed_policy::{Obligations, PolicySet};
use deed_record::{Kind, RecordId, Ruling, Sealed, Skeleton, Status, Timestamp, Written};
use tokio::{
    sync::{OnceCell, mpsc},
    task::spawn_blocking,
    time::timeout,
};

use self::{
    doors::Doors,
    soon::{Counted, Waiters},
    spool::{Aside, Durable, joined},
};
use crate::{
    approvals::{Approval, Approvals, StepUp, Waiting},
    catalog::Catalog,
    intent::{Answer, Conclusion, Intent},
    method::{self, Class},
    recorder::Unavailable,
    request::{self, Ruled},
    restore,
    suspensions::Suspensions,
    sweep::{self, Sweep},
    write,
};

/// How long a decision is given again to whoever asks from elsewhere, in microseconds.
const AGAIN: i64 = 60_000_000;

/// How the names of those begin whose word is Deed's own.
const OURS: &str = "deed:";

/// Whether a record is Deed's own word: others may write about the same things, and decide nothing by it.
pub fn is_ours(record: &Skeleton<'_>) -> bool {
    record.submitter.starts_with(OURS)
}

/// Decides on intents and records them, for every door of this process and for doors elsewhere.
pub struct DecisionPoint {
    ledger: Ledger,
    force: RwLock<InForce>,
    catalog: Arc<Catalog>,
    suspensions: Suspensions,
    approvals: Approvals,
    /// Held while an approval is used.
    clearing: tokio::sync::Mutex<()>,
    /// Whether those of the process before this one are among them.
    restored: OnceCell<()>,
    /// How many leaves there were when this process began.
    began: u64,
    /// Who has seen the arguments of which step-up.
    viewed: Mutex<HashSet<(RecordId, String)>>,
    /// How long a record may take to become durable.
    deadline: Duration,
    /// What is under way elsewhere on this machine.
    doors: Doors,
    /// Who waits for a record now, and for the reply to a call.
    waiters: Waiters,
    /// Who is told that a step-up waits.
    told: OnceLock<mpsc::Sender<Waiting>>,
    /// Where the tier `low` waits while nothing can be recorded.
    aside: Option<Aside>,
}

/// A policy set that is read when it is asked first: most commands decide nothing.
pub type Published = LazyLock<PolicySet, Box<dyn FnOnce() -> PolicySet + Send>>;

/// By what it decides.
#[derive(Clone)]
pub struct InForce {
    /// The policy set.
    pub policy: Arc<Published>,
    /// What people declared.
    pub inventory: Arc<Inventory>,
}

impl Default for InForce {
    /// The starter set, and nothing declared.
    fn default() -> Self {
        InForce::of(PolicySet::starter)
    }
}

impl InForce {
    /// What `read` gives, and nothing declared.
    pub fn of(read: impl FnOnce() -> PolicySet + Send + 'static) -> Self {
        InForce { policy: Arc::new(LazyLock::new(Box::new(read))), inventory: Arc::default() }
    }
}

impl DecisionPoint {
    /// A decision point over `ledger`.
    pub fn new(ledger: Ledger, force: InForce, deadline: Duration) -> Self {
        DecisionPoint {
            began: ledger.size(),
            restored: OnceCell::new(),
            ledger,
            force: RwLock::new(force),
            catalog: Arc::default(),
            approvals: Approvals::default(),
            clearing: tokio::sync::Mutex::default(),
            viewed: Mutex::default(),
            suspensions: Suspensions::default(),
            doors: Doors::default(),
            waiters: Waiters::default(),
            told: OnceLock::new(),
            aside: None,
            deadline,
        }
    }

    /// By what it decides now.
    pub fn in_force(&self) -> InForce {
        self.force.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on decides by what `change` makes of what is in force.
    pub fn change(&self, change: impl FnOnce(&mut InForce)) {
        change(&mut self.force.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// A call came, whose client waits until what this returns is dropped.
    pub(crate) fn call(&self) -> Counted<'_> {
        self.waiters.call()
    }

    /// Decides on `intent` and records it; a denied one together with its outcome.
    ///
    /// INVARIANT D1: nobody hears `allow` before the record is durable, in the log or in the spool. Asked twice with one id, it gives the
    /// recorded decision again.
    ///
    /// # Errors
    /// It could not be recorded in time: nothing may be done.
    pub async fn intend(&self, intent: &Intent, tenant: &str) -> Result<Answer, Unavailable> {
        let now = now();
        let patience = self.patience_for(intent, now)?;
        if self.waiters.are_none() {
            self.ledger.expect();
        }
        let held = match self.stopped(intent, tenant)? {
            Some(stopped) => Some(stopped),
            None => self.held(intent, tenant).await?,
        };
        let intent = held.as_ref().unwrap_or(intent);
        let mut ruled = self.decide(intent, None, tenant, now);
        let unsigned = self.unsigned(intent, ruled.as_ref());
        if unsigned.is_some() {
            ruled = None;
        }
        let intent = unsigned.as_ref().unwrap_or(intent);
        let asks_human = |ruled: &Option<Ruled>| {
            ruled.as_ref().is_some_and(|ruled| ruled.decided.effect == Ruling::StepUp)
        };
        // Somebody may have approved just this after the client had given up waiting.
        let binding = if asks_human(&ruled) { self.bound(intent, tenant)? } else { None };
        let approval = match (&ruled, &binding) {
            (Some(ruled), Some(binding)) => self.approved(binding, ruled, tenant, now).await?,
            _ => None,
        };
        if let Some(approval) = &approval {
            ruled = self.decide(intent, Some(approval), tenant, now);
        }
        let effect = match (&intent.refused, &ruled) {
            (Some(_), _) => Ruling::Deny,
            (None, Some(ruled)) => ruled.decided.effect,
            (None, None) => Ruling::Allow,
        };
        let approved = approval.as_ref().map(|approval| approval.record);
        let asked = ruled.as_ref().filter(|_| asks_human(&ruled)).zip(binding.as_deref());
        let spent = asked.and_then(|(_, binding)| self.approvals.spent_on(binding, now));
        let step_up = asked.map(|(ruled, binding)| restore::kept(binding, &ruled.decided.approvers));
        let sender = match (&intent.reported_by, &intent.run) {
            (Some(by), _) => format!("deed:authzen/{by}"),
            (None, Some(run)) => commands(run.by.as_deref()),
            (None, None) => door(&intent.server),
        };
        let (appended, aside) = {
            let mut records = vec![write::intent(intent, ruled.as_ref(), approved, step_up.as_deref(), now)];
            if effect == Ruling::Deny {
                records.push(write::denial(intent, ruled.as_ref(), now));
            }
            if intent.run.as_ref().is_some_and(|run| run.proven) {
                records.extend(write::shown(intent, tenant, now));
            }
            let aside = self.may_spool(ruled.as_ref(), approved.is_some()).then(|| joined(&records));
            records.extend(intent.missed.as_ref().map(|missed| write::gap(missed, &intent.server, now)));
            (self.append_by(&records, Pace::Hurried, sender.clone(), tenant, patience), aside)
        };
        // What is recorded with it may be in the log before it: the same gap, the same credential.
        let receipt = appended.await.and_then(|each| {
            let none = || Err(AppendError::Unavailable("the log gave no receipt".into()));
            each.into_iter().next().unwrap_or_else(none)
        });
        let durable = match receipt {
            Err(AppendError::Conflict { first, .. }) => {
                return self.recorded(intent, tenant, first).await;
            }
            // What it holds fits into no record: that it was asked and refused does.
            Err(AppendError::Refused(why)) if !intent.is_unrecordable() => {
                return Box::pin(self.intend(&intent.unrecordable(&why), tenant)).await;
            }
            Err(refused) => {
                let sender = Sender { tenant: Some(tenant.to_owned()), name: sender, ours: true };
                self.spool_intent(intent.id, aside, sender, refused).await?
            }
            Ok(receipt) => Durable::Sealed(receipt),
        };
        if let Some(Ruled { decided, .. }) = ruled.as_ref().filter(|_| effect == Ruling::StepUp) {
            let (approvers, policies) = (decided.approvers.clone(), decided.policies.clone());
            // The first record of a tenant makes its key.
            let binding = match binding {
                Some(binding) => binding,
                None => self.bound(intent, tenant)?.unwrap_or_default(),
            };
            let step_up = StepUp::new(intent, tenant, approvers, policies, binding, now);
            let shown = step_up.shown();
            match self.approvals.add(step_up) {
                true => self.tell(shown),
                false => {
                    tracing::warn!("too many step-ups wait for an approval; another one cannot be approved")
                }
            }
        }
        let mut answer = answer(intent, self.ledger.origin(), durable, effect, ruled);
        // INVARIANT D8: whether the call was made nobody can tell, so that its approval is not good for another one.
        if let Some(action) = spent {
            answer.reason.push_str(&format!(
                "; an approval of the same call was used up by action `{action}`, of which nobody knows what came"
            ));
        }
        // Which call it was may be known to the door; else everything that any call's result must not hold is kept back.
        if method::is_of_task(&intent.method) {
            answer.obligations.mask = self.in_force().policy.masks();
        }
        Ok(answer)
    }

    /// What policy says of `intent`, why, and what must be done besides; nothing is recorded, and nothing may be done on it.
    pub fn consider(&self, intent: &Intent, tenant: &str) -> (Ruling, String, Obligations) {
        match self.decide(intent, None, tenant, now()) {
            Some(Ruled { decided, .. }) => (decided.effect, decided.reason, decided.obligations),
            None => (Ruling::Deny, "policy is not asked about it".into(), Obligations::default()),
        }
    }

    /// Records how actions at one door ended, all of them or none. Told twice, what has an id is recorded once.
    ///
    /// # Errors
    /// It could not be recorded in time.
    pub async fn conclude(&self, conclusions: &[Conclusion], tenant: &str) -> Result<(), Unavailable> {
        let Some(first) = conclusions.first() else { return Ok(()) };
        let conclusions = &*self.with_tasks(conclusions, tenant)?;
        let appended = {
            let records: Vec<_> = conclusions.iter().map(write::outcome).collect();
            // Nobody waits for it: the sync of what is asked next makes it durable.
            self.append_by(&records, Pace::AtLeisure, door(&first.server), tenant, self.deadline)
        };
        match appended.await.and_then(all) {
            Ok(_) => self.are_concluded(conclusions),
            Err(refused) => {
                let sender = spool::ours(door(&first.server), tenant);
                self.spool_outcomes(conclusions, sender, refused).await?;
            }
        }
        Ok(())
    }

    /// Records how a command of another machine ended, which has an id: what is told first counts, and it is recorded once. `by` is the token that it was asked for with, as in [`Run`](crate::Run).
    ///
    /// # Errors
    /// It could not be recorded in time; or another end is recorded already.
    pub async fn conclude_once(
        &self,
        conclusion: &Conclusion,
        by: Option<&str>,
        tenant: &str,
    ) -> Result<(), EndError> {
        let told = std::slice::from_ref(conclusion);
        // Whoever tells of it waits for the answer, so that it is not left for the next sync.
        match self.append(&[write::outcome(conclusion)], commands(by), tenant).await {
            Ok(_) => self.are_concluded(told),
            Err(AppendError::Conflict { first, .. }) => {
                let is_same = |record: &Skeleton<'_>| {
                    let end = record.outcome.as_ref();
                    record.action == Some(conclusion.action)
                        && end.is_some_and(|end| {
                            (end.status, end.code.as_deref())
                                == (conclusion.status, conclusion.code.as_deref())
                        })
                };
                let sealed = self.sealed(first).await?;
                if !sealed.skeleton().is_ok_and(|record| is_same(&record)) {
                    return Err(EndError::Another);
                }
            }
            Err(refused) => {
                let sender = spool::ours(commands(by), tenant);
                self.spool_outcomes(told, sender, refused).await?;
            }
        }
        Ok(())
    }

    /// As [`DecisionPoint::conclude_once`], of a command that was not let run for as long as whoever asked waited: from then on they
    /// do not go on with it, whatever is answered. An approval is good for the same command when it is asked for again.
    ///
    /// # Errors
    /// As there; what was let through meanwhile has another end.
    pub async fn give_up(
        &self,
        conclusion: &Conclusion,
        by: Option<&str>,
        tenant: &str,
    ) -> Result<(), EndError> {
        {
            // Either it is let through before, or not at all.
            let _clearing = self.clearing.lock().await;
            self.approvals.give_up(conclusion.action);
        }
        let found = self.is_open(conclusion.action).map_err(|error| Unavailable::new(error.to_string()))?;
        match found {
            Some((_, true)) => Err(EndError::Another),
            _ => self.conclude_once(conclusion, by, tenant).await,
        }
    }

    /// Ends what a process before this one has left open, and what has been under way for longer than anything
    /// may take. For a thread of its own: it reads as far back as an action may last.
    ///
    /// # Errors
    /// The log cannot be read or written.
    pub fn end_what_is_open(&self, which: Sweep) -> Result<u64, Unavailable> {
        let broken = |error: LedgerError| Unavailable::new(error.to_string());
        let mut ended = 0;
        for open in sweep::find(&self.ledger, which).map_err(broken)? {
            self.end_open(open.leaf, open.status)?;
            ended += 1;
        }
        Ok(ended)
    }

    /// Ends the intent in leaf `leaf`.
    fn end_open(&self, leaf: u64, status: Status) -> Result<(), Unavailable> {
        let sealed = self.ledger.leaf(leaf).map_err(|error| Unavailable::new(error.to_string()))?;
        let record = sealed.skeleton().map_err(|error| Unavailable::new(error.to_string()))?;
        let body = joined(&[write::ended(&record, status, now())]);
        let tenant = Some(record.tenant.to_string());
        let sender = Sender { tenant, name: sweep::SWEEPER.into(), ours: true };
        for recorded in self.ledger.begin(&body, &sender)?.wait()? {
            recorded?;
        }
        Ok(())
    }

    /// What policy says of it; `None` where policy is not asked.
    fn decide(
        &self,
        intent: &Intent,
        approval: Option<&Approval>,
        tenant: &str,
        now: Timestamp,
    ) -> Option<Ruled> {
        // What an application asks about is always decided on, whatever it is called.
        let is_decided = intent.reported_by.is_some()
            || intent.run.is_some()
            || method::class(&intent.method) == Some(Class::Decided);
        if intent.refused.is_some() || !is_decided {
            return None;
        }
        let InForce { policy, inventory } = self.in_force();
        Some(request::decide(&policy, &inventory, intent, approval, tenant, now))
    }

    /// Appends `records`, all of them or none, as the word of `name`.
    fn append(
        &self,
        records: &[Written<'_>],
        name: String,
        tenant: &str,
    ) -> impl Future<Output = Result<Vec<Receipt>, AppendError>> + Send + use<'_> {
        let appended = self.append_by(records, Pace::Hurried, name, tenant, self.deadline);
        async move { appended.await.and_then(all) }
    }

    /// How long the record of `intent` may take: no longer than whoever asks waits.
    fn patience_for(&self, intent: &Intent, now: Timestamp) -> Result<Duration, Unavailable> {
        let Some(until) = intent.until else { return Ok(self.deadline) };
        let left = u64::try_from(until.0 - now.0).ok().filter(|left| *left > 0);
        let left = left.ok_or_else(|| Unavailable::new("whoever asked has given up by now"))?;
        Ok(self.deadline.min(Duration::from_micros(left)))
    }

    /// As [`DecisionPoint::append`], with what became of each: of one with an id, another may be there. They are sealed at
    /// once: what is waited for holds none of them.
    fn append_by(
        &self,
        records: &[Written<'_>],
        pace: Pace,
        name: String,
        tenant: &str,
        patience: Duration,
    ) -> impl Future<Output = Each> + Send + use<'_> {
        let sender = Sender { tenant: Some(tenant.to_owned()), name, ours: true };
        let begun = self.begin(records, &sender, pace);
        async move {
            let appended = timeout(patience, async {
                let pending = match begun? {
                    Begun::Pending(pending) => pending,
                    Begun::Waits(body) => self.begin_waiting(body, sender).await?,
                };
                match pace {
                    Pace::Hurried => self.waiters.wait(pending).await,
                    Pace::AtLeisure => pending.await,
                }
            });
            match appended.await {
                Ok(each) => each,
                Err(_) => Err(AppendError::Unavailable(format!(
                    "no answer from the disk within {} ms",
                    patience.as_millis()
                ))),
            }
        }
    }

    fn begin(&self, records: &[Written<'_>], sender: &Sender, pace: Pace) -> Result<Begun, AppendError> {
        let pending = self.ledger.begin_written(records, sender, pace)?;
        Ok(pending.map_or_else(|| Begun::Waits(joined(records)), Begun::Pending))
    }

    /// For what has to wait: for keys of somebody new, or for room.
    async fn begin_waiting(&self, body: Vec<u8>, sender: Sender) -> Result<Pending, AppendError> {
        let ledger = self.ledger.clone();
        let begun = spawn_blocking(move || ledger.begin(&body, &sender)).await;
        begun.map_err(|error| AppendError::Unavailable(error.to_string()))?
    }

    /// The decision in leaf `index`, given before to whoever asks again.
    async fn recorded(&self, intent: &Intent, tenant: &str, index: u64) -> Result<Answer, Unavailable> {
        let id = intent.id;
        let broken = |why: String| Unavailable::new(format!("leaf {index}: {why}"));
        let sealed = self.sealed(index).await?;
        let record = sealed.skeleton().map_err(|e| broken(e.to_string()))?;
        // What anybody else appended under that id is no decision of Deed's.
        let is_it = record.kind == Kind::Intent && is_ours(&record) && *record.tenant == *tenant;
        if !is_it || record.id != id {
            return Err(broken("the id stands for another record".into()));
        }
        // Whoever asks from elsewhere asks again at once, or not at all: an old decision lets nothing new through.
        if intent.until.is_some() && now().0 - record.recorded.0 > AGAIN {
            return Err(Unavailable::new("it was decided on before, and for too long; ask anew"));
        }
        Ok(decided_before(&record, id, self.ledger.origin(), index))
    }

    async fn sealed(&self, index: u64) -> Result<Sealed, Unavailable> {
        let ledger = self.ledger.clone();
        let broken = |why: String| Unavailable::new(format!("leaf {index}: {why}"));
        let read = spawn_blocking(move || ledger.leaf(index)).await;
        read.map_err(|e| broken(e.to_string()))?.map_err(|e: LedgerError| broken(e.to_string()))
    }
}

/// The decision on the intent `id` in leaf `index`, as `record` has it.
pub(crate) fn decided_before(record: &Skeleton<'_>, id: RecordId, log: &str, index: u64) -> Answer {
    let decision = record.decision.as_ref();
    Answer {
        id,
        log: log.to_owned(),
        index: Some(index),
        spooled: record.spooled,
        effect: decision.map_or(Ruling::Allow, |decision| decision.effect),
        reason: "decided before".into(),
        unrecordable: false,
        policies: decision.iter().flat_map(|decision| &decision.policies).map(ToString::to_string).collect(),
        policy_set: decision.and_then(|decision| decision.policy_set.as_ref()).map(ToString::to_string),
        obligations: write::obligations_of(decision),
        restricted: Vec::new(),
    }
}

/// Why the end of a command is not recorded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EndError {
    /// What was told first counts.
    #[error("another end of it is recorded already")]
    Another,
    /// It could not be recorded.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What became of each record, or why nothing was recorded.
type Each = Result<Vec<Result<Receipt, AppendError>>, AppendError>;

/// The receipts, where there is one for each.
fn all(each: Vec<Result<Receipt, AppendError>>) -> Result<Vec<Receipt>, AppendError> {
    each.into_iter().collect()
}

/// Records on their way into the log.
enum Begun {
    /// They are sealed.
    Pending(Pending),
    /// Sealing them has to wait; their text.
    Waits(Vec<u8>),
}

/// Whose word the records of a door are: a server's, or that of commands, which have none.
fn door(server: &str) -> String {
    match server {
        "" => commands(None),
        server => format!("{OURS}mcp/{server}"),
    }
}

/// Whose word the records of commands are: with the token that one was asked for with.
fn commands(by: Option<&str>) -> String {
    match by {
        Some(by) => format!("{OURS}run/{by}"),
        None => format!("{OURS}run"),
    }
}

/// The token that a command was asked for with, if the records of `submitter` are those of commands.
pub(crate) fn of_run(submitter: &str) -> Option<Option<&str>> {
    match submitter.strip_prefix(OURS)?.strip_prefix("run")? {
        "" => Some(None),
        rest => rest.strip_prefix('/').map(Some),
    }
}

fn answer(intent: &Intent, log: &str, durable: Durable, effect: Ruling, decided: Option<Ruled>) -> Answer {
    let (index, spooled) = match durable {
        Durable::Sealed(receipt) => (Some(receipt.index), None),
        Durable::Spooled(spooled) => (None, Some(spooled.time())),
    };
    let mut answer = Answer {
        id: intent.id,
        log: log.to_owned(),
        index,
        spooled,
        effect,
        reason: intent.refused.as_ref().map(|refused| refused.why.clone()).unwrap_or_default(),
        unrecordable: intent.is_unrecordable(),
        policies: Vec::new(),
        policy_set: None,
        obligations: Default::default(),
        restricted: Vec::new(),
    };
    if let Some(Ruled { decided, policy_set, restricted }) = decided {
        answer.restricted = restricted;
        answer.reason = decided.reason;
        answer.policies = decided.policies;
        answer.policy_set = Some(policy_set);
        answer.obligations = decided.obligations;
    }
    answer
}
