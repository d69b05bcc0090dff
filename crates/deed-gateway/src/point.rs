//! The decision point: it decides, and has said so durably before it answers.

use std::{
    collections::HashSet,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use deed_identity::Inventory;
use deed_ledger::{AppendError, Key, Ledger, LedgerError, Pending, Receipt, Sender};
use deed_policy::{Approver, PolicySet};
use deed_record::{PrincipalType, RecordId, Ruling, Timestamp};
use tokio::{task::spawn_blocking, time::timeout};

use crate::{
    approvals::{Approval, Approvals, Became, Reply, ReplyError, StepUp, Waiting, may_answer},
    catalog::{Catalog, HeldTool, News, Pin, Version},
    door::{fresh_id, now},
    intent::{Answer, Conclusion, Intent, Listing, Refused, Shown, Suspension},
    method::{self, Class, TOOL_CALL},
    recorder::Unavailable,
    request::{self, Ruled},
    suspensions::{Stopped, Suspensions},
    sweep::{self, Sweep},
    write,
};

/// Viewers of step-ups that are remembered.
const MOST_VIEWED: usize = 10_000;

/// Decides on intents and records them, for every door of this process and for doors elsewhere.
pub struct DecisionPoint {
    ledger: Ledger,
    force: RwLock<InForce>,
    catalog: Arc<Catalog>,
    suspensions: Suspensions,
    approvals: Approvals,
    /// Who has seen the arguments of which step-up.
    viewed: Mutex<HashSet<(RecordId, String)>>,
    /// How long a record may take to become durable.
    deadline: Duration,
    /// Device and number of the data directory.
    folder: Option<(u64, u64)>,
}

/// By what it decides.
#[derive(Clone)]
pub struct InForce {
    /// The policy set.
    pub policy: Arc<PolicySet>,
    /// What people declared.
    pub inventory: Arc<Inventory>,
}

impl Default for InForce {
    /// The starter set, and nothing declared.
    fn default() -> Self {
        InForce { policy: Arc::new(PolicySet::starter()), inventory: Arc::default() }
    }
}

impl DecisionPoint {
    /// A decision point over `ledger`.
    pub fn new(ledger: Ledger, force: InForce, deadline: Duration) -> Self {
        DecisionPoint {
            folder: folder_of(&ledger),
            ledger,
            force: RwLock::new(force),
            catalog: Arc::default(),
            approvals: Approvals::default(),
            viewed: Mutex::default(),
            suspensions: Suspensions::default(),
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

    /// Decides on `intent` and records it; a denied one together with its outcome.
    ///
    /// INVARIANT D1: nobody hears `allow` before the record is durable. Asked twice with one id, it gives the
    /// recorded decision again.
    ///
    /// # Errors
    /// It could not be recorded in time: nothing may be done.
    pub async fn intend(&self, intent: &Intent, tenant: &str) -> Result<Answer, Unavailable> {
        let now = now();
        let held = match self.stopped(intent, tenant)? {
            Some(stopped) => Some(stopped),
            None => self.held(intent, tenant).await?,
        };
        let intent = held.as_ref().unwrap_or(intent);
        let mut ruled = self.decide(intent, None, tenant, now);
        let asks_human = |ruled: &Option<Ruled>| {
            ruled.as_ref().is_some_and(|ruled| ruled.decided.effect == Ruling::StepUp)
        };
        // Somebody may have approved just this after the client had given up waiting.
        let approval = match asks_human(&ruled) {
            true => self.approvals.take_like(intent, tenant, now),
            false => None,
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
        let mut body = write::intent(intent, ruled.as_ref(), approved, tenant, now);
        if effect == Ruling::Deny {
            body.push(b'\n');
            body.extend(write::denial(intent, ruled.as_ref(), tenant, now));
        }
        if let Some(missed) = &intent.missed {
            body.push(b'\n');
            body.extend(write::gap(missed, &intent.server, tenant, now));
        }
        let sender = match &intent.reported_by {
            Some(by) => format!("deed:authzen/{by}"),
            None => door(&intent.server),
        };
        let receipts = match self.append(body, sender, tenant).await {
            Err(AppendError::Conflict { id, first, .. }) if id == intent.id => {
                return self.recorded(id, first).await;
            }
            recorded => recorded.map_err(Unavailable::from)?,
        };
        let receipt =
            receipts.into_iter().next().ok_or_else(|| Unavailable::new("the log gave no receipt"))?;
        if let Some(Ruled { decided, .. }) = ruled.as_ref().filter(|_| effect == Ruling::StepUp) {
            let (approvers, policies) = (decided.approvers.clone(), decided.policies.clone());
            if !self.approvals.add(StepUp::new(intent, tenant, approvers, policies, now)) {
                tracing::warn!("too many step-ups wait for an approval; another one cannot be approved");
            }
        }
        Ok(answer(intent, receipt, effect, ruled))
    }

    /// What policy says of `intent`, and why; nothing is recorded, and nothing may be done on it.
    pub fn consider(&self, intent: &Intent, tenant: &str) -> (Ruling, String) {
        match self.decide(intent, None, tenant, now()) {
            Some(Ruled { decided, .. }) => (decided.effect, decided.reason),
            None => (Ruling::Deny, "policy is not asked about it".into()),
        }
    }

    /// Waits for a human to answer the step-up `id`, but no longer than `patience`. An approval is used up by
    /// the one who hears of it first.
    ///
    /// # Errors
    /// What follows from the answer could not be recorded: nothing may be done.
    pub async fn wait(&self, waits: &Answer, patience: Duration) -> Result<Answer, Unavailable> {
        let until = tokio::time::Instant::now() + patience;
        loop {
            // Asked for before the look, so that no answer falls between.
            let answered = self.approvals.answered.notified();
            match self.approvals.take(waits.id, now()) {
                Became::Approved(step_up, approval) => return self.clear(waits, &step_up, &approval).await,
                Became::Refused(reason) => {
                    return Ok(Answer { effect: Ruling::Deny, reason, ..waits.clone() });
                }
                Became::Waiting => {}
            }
            if tokio::time::timeout_at(until, answered).await.is_err() {
                return Ok(waits.clone());
            }
        }
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
            let body = write::lapsed(step_up, "suspended", now);
            self.append(body, door(&step_up.intent.server), &step_up.tenant).await?;
            return Ok(Answer { effect: Ruling::Deny, reason: why, ..waits.clone() });
        }
        let Some(ruled) = self.decide(&step_up.intent, Some(approval), &step_up.tenant, now) else {
            return Err(Unavailable::new("policy is not asked about it any more"));
        };
        let body = write::cleared(step_up, approval.record, &ruled, now);
        self.append(body, door(&step_up.intent.server), &step_up.tenant).await?;
        let Ruled { decided, policy_set } = ruled;
        let effect = if decided.effect == Ruling::Allow { Ruling::Allow } else { Ruling::Deny };
        Ok(Answer {
            effect,
            reason: decided.reason,
            policies: decided.policies,
            policy_set: Some(policy_set),
            obligations: decided.obligations,
            ..waits.clone()
        })
    }

    /// The step-ups that wait for a human, for `viewer` to see.
    ///
    /// INVARIANT D10: they show arguments, so that it is recorded first who sees them; once for each viewer.
    ///
    /// # Errors
    /// That could not be recorded: nothing is shown.
    pub async fn waiting(&self, viewer: &str) -> Result<Vec<Waiting>, Unavailable> {
        let now = now();
        let waiting = self.approvals.list(now);
        for one in &waiting {
            if self.viewed().contains(&(one.id, viewer.to_owned())) {
                continue;
            }
            let Some(step_up) = self.approvals.answerable(one.id, now) else { continue };
            let body = write::access(&step_up, viewer, now);
            self.append(body, "deed:approvals".into(), &step_up.tenant).await?;
            let mut viewed = self.viewed();
            // What is forgotten is recorded again.
            if viewed.len() >= MOST_VIEWED {
                viewed.clear();
            }
            viewed.insert((one.id, viewer.to_owned()));
        }
        Ok(waiting)
    }

    fn viewed(&self) -> MutexGuard<'_, HashSet<(RecordId, String)>> {
        self.viewed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A human answers a step-up, or approves a tool whose definition changed: recorded, and then it counts.
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub async fn reply(&self, id: RecordId, reply: &Reply) -> Result<RecordId, ReplyError> {
        let Some(step_up) = self.approvals.answerable(id, now()) else {
            return self.reply_tool(id, reply).await;
        };
        may_answer(&step_up, &reply.by, &self.in_force().inventory)?;
        let record = fresh_id()?;
        let now = now();
        let own = step_up.approvers.contains(&Approver::SelfApproval);
        let mut body = write::approval(&step_up, reply, record, own, now);
        if !reply.approved {
            body.push(b'\n');
            body.extend(write::lapsed(&step_up, "refused", now));
        }
        self.append(body, door(&step_up.intent.server), &step_up.tenant).await.map_err(Unavailable::from)?;
        let by = reply.by.key.clone().unwrap_or_default();
        let why = match &reply.reason {
            Some(reason) => format!("`{by}` refused it: {reason}"),
            None => format!("`{by}` refused it"),
        };
        let approval = Approval { record, by: reply.by.clone(), time: now };
        match self.approvals.answer(id, reply.approved, approval, why) {
            true => Ok(record),
            false => Err(ReplyError::Unknown(id)),
        }
    }

    /// A human approves, or refuses, what a tool has become.
    async fn reply_tool(&self, id: RecordId, reply: &Reply) -> Result<RecordId, ReplyError> {
        if reply.by.kind != PrincipalType::Human || reply.by.key.as_deref().is_none_or(str::is_empty) {
            return Err(ReplyError::NotTheirs("a human must answer: --as human:NAME".into()));
        }
        let (ledger, catalog) = (self.ledger.clone(), self.catalog.clone());
        let read = spawn_blocking(move || catalog.held_by(&ledger, id)).await;
        let broken = |error: &dyn std::fmt::Display| Unavailable::new(error.to_string());
        let held = read.map_err(|error| broken(&error))?.map_err(|error| broken(&error))?;
        let Some(held) = held else { return Err(ReplyError::Unknown(id)) };
        let (approval, issued) = (fresh_id()?, fresh_id()?);
        let body = write::tool_approval(&held, reply, approval, issued, now());
        self.append(body, door(&held.server), &held.tenant).await.map_err(Unavailable::from)?;
        if reply.approved {
            let version = Version { record: issued, digest: held.digest };
            self.catalog.note(&held.tenant, &held.server, &held.name, News::First, version);
        }
        Ok(approval)
    }

    /// Tools that wait for somebody to look at what they have become, as far as any were seen.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn held_tools(&self) -> Result<Vec<HeldTool>, LedgerError> {
        self.catalog.held(&self.ledger)
    }

    /// Notes what a server offers, and says what of it `listing`'s caller may see.
    ///
    /// # Errors
    /// What is new about a tool could not be recorded in time.
    pub async fn catalog(&self, listing: &Listing, tenant: &str) -> Result<Shown, Unavailable> {
        let mut news = Vec::new();
        for tool in &listing.tools {
            let pin = self.pin(tenant, &listing.server, &tool.name).await?;
            if let Some(new) = pin.news(&tool.digest) {
                news.push((tool, new, fresh_id()?));
            }
        }
        if !news.is_empty() {
            let records =
                news.iter().map(|(tool, new, id)| write::tool(listing, tool, *new, *id, tenant, now()));
            let body = records.collect::<Vec<_>>().join(&b'\n');
            self.append(body, door(&listing.server), tenant).await?;
            for (tool, new, record) in news {
                let version = Version { record, digest: tool.digest.clone() };
                self.catalog.note(tenant, &listing.server, &tool.name, new, version);
            }
        }
        Ok(self.shown(listing, tenant))
    }

    /// What policy lets the caller use, as far as that is known without arguments.
    fn shown(&self, listing: &Listing, tenant: &str) -> Shown {
        let InForce { policy, inventory } = self.in_force();
        if policy.is_starter() {
            return Shown::default();
        }
        let hidden = listing.tools.iter().filter(|tool| {
            request::hides(&policy, &inventory, &listing.server, &tool.name, &listing.place, tenant, now())
        });
        Shown { hidden: hidden.map(|tool| tool.name.clone()).collect(), personal: true }
    }

    async fn pin(&self, tenant: &str, server: &str, name: &str) -> Result<Pin, Unavailable> {
        if let Some(pin) = self.catalog.known(tenant, server, name) {
            return Ok(pin);
        }
        let (catalog, ledger) = (self.catalog.clone(), self.ledger.clone());
        let (tenant, server, name) = (tenant.to_owned(), server.to_owned(), name.to_owned());
        let read =
            timeout(self.deadline, spawn_blocking(move || catalog.pin(&ledger, &tenant, &server, &name)));
        let late = |_| Unavailable::new("the log does not say in time which tools are approved");
        read.await
            .map_err(late)?
            .map_err(|e| Unavailable::new(e.to_string()))?
            .map_err(|e| Unavailable::new(e.to_string()))
    }

    /// Stops somebody or something at every door, or lets it go on; what that concerns: all names of a principal
    /// that the inventory knows.
    ///
    /// # Errors
    /// It could not be recorded, and does not hold.
    pub async fn suspend(&self, said: &Suspension, tenant: &str) -> Result<Vec<String>, Unavailable> {
        let broken = |error: LedgerError| Unavailable::new(error.to_string());
        self.suspensions.load(&self.ledger, tenant).map_err(broken)?;
        let InForce { inventory, .. } = self.in_force();
        let known = inventory.principal(&said.what).filter(|_| !said.credential);
        // What records know as a credential is one.
        let key = Key::Credential { tenant, name: &said.what };
        let credential = said.credential
            || (known.is_none() && !self.ledger.lookup(&key, 1, None).map_err(broken)?.is_empty());
        let said = &Suspension { credential, ..said.clone() };
        let names: Vec<String> = match known {
            Some(known) => std::iter::once(&known.key).chain(&known.aliases).cloned().collect(),
            None => vec![said.what.clone()],
        };
        let now = now();
        let records = names.iter().map(|name| write::suspension(said, name, tenant, now));
        let body = records.collect::<Vec<_>>().join(&b'\n');
        self.append(body, "deed:suspension".into(), tenant).await?;
        for name in &names {
            let about = match said.credential {
                true => Some(Stopped::Credential(tenant.to_owned(), name.clone())),
                false => {
                    let account = self.ledger.account(tenant, name).map_err(broken)?;
                    account.map(|account| Stopped::Account(tenant.to_owned(), account))
                }
            };
            if let Some(about) = about {
                self.suspensions.note(about, said.suspended);
            }
        }
        Ok(names)
    }

    /// `intent` as one that is refused, where somebody who has a part in it is suspended.
    fn stopped(&self, intent: &Intent, tenant: &str) -> Result<Option<Intent>, Unavailable> {
        let stops = self.suspensions.stops(&self.ledger, intent, tenant);
        let why = stops.map_err(|error| Unavailable::new(error.to_string()))?;
        Ok(why
            .filter(|_| intent.refused.is_none())
            .map(|why| Intent { refused: Some(Refused { code: "suspended".into(), why }), ..intent.clone() }))
    }

    /// `intent` as one that is refused, where the definition of its tool waits to be approved.
    async fn held(&self, intent: &Intent, tenant: &str) -> Result<Option<Intent>, Unavailable> {
        let Some(name) =
            intent.name.as_deref().filter(|_| intent.method == TOOL_CALL && intent.refused.is_none())
        else {
            return Ok(None);
        };
        let pin = self.pin(tenant, &intent.server, name).await?;
        let Some(held) = pin.holds(intent.definition.as_deref()) else { return Ok(None) };
        let why = format!(
            "The definition of the tool changed since it was approved; somebody must look at the difference first: deed approve {}",
            held.record
        );
        Ok(Some(Intent { refused: Some(Refused { code: "tool_changed".into(), why }), ..intent.clone() }))
    }

    /// Records how an action ended. Said twice, it is recorded once or twice: both then say the same.
    ///
    /// # Errors
    /// It could not be recorded in time.
    pub async fn conclude(&self, conclusion: &Conclusion, tenant: &str) -> Result<(), Unavailable> {
        let body = write::outcome(conclusion, tenant);
        self.append(body, door(&conclusion.server), tenant).await?;
        Ok(())
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
            let sealed = self.ledger.leaf(open.leaf).map_err(broken)?;
            let record = sealed.skeleton().map_err(|error| Unavailable::new(error.to_string()))?;
            let body = write::ended(&record, open.status, now());
            let tenant = Some(record.tenant.to_string());
            let sender = Sender { tenant, name: "deed:mcp".into(), ours: true };
            for recorded in self.ledger.begin(&body, &sender)?.wait()? {
                recorded?;
            }
            ended += 1;
        }
        Ok(ended)
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
        let is_decided =
            intent.reported_by.is_some() || method::class(&intent.method) == Some(Class::Decided);
        if intent.refused.is_some() || !is_decided {
            return None;
        }
        let InForce { policy, inventory } = self.in_force();
        Some(request::decide(&policy, &inventory, intent, approval, tenant, now))
    }

    async fn append(&self, body: Vec<u8>, name: String, tenant: &str) -> Result<Vec<Receipt>, AppendError> {
        let sender = Sender { tenant: Some(tenant.to_owned()), name, ours: true };
        // A store that was moved or deleted still takes records, where nobody will look for them.
        if folder_of(&self.ledger) != self.folder {
            let dir = self.ledger.dir().display();
            return Err(AppendError::Unavailable(format!(
                "`{dir}` is not the folder that was opened any more"
            )));
        }
        let appended = timeout(self.deadline, async {
            let pending = match self.ledger.begin_at_once(&body, &sender)? {
                Some(pending) => pending,
                None => self.begin_waiting(body, sender).await?,
            };
            pending.await?.into_iter().collect()
        });
        match appended.await {
            Ok(receipts) => receipts,
            Err(_) => Err(AppendError::Unavailable(format!(
                "no answer from the disk within {} ms",
                self.deadline.as_millis()
            ))),
        }
    }

    /// For what has to wait: for keys of somebody new, or for room.
    async fn begin_waiting(&self, body: Vec<u8>, sender: Sender) -> Result<Pending, AppendError> {
        let ledger = self.ledger.clone();
        let begun = spawn_blocking(move || ledger.begin(&body, &sender)).await;
        begun.map_err(|error| AppendError::Unavailable(error.to_string()))?
    }

    /// The decision in leaf `index`, given before to whoever asks again.
    async fn recorded(&self, id: RecordId, index: u64) -> Result<Answer, Unavailable> {
        let ledger = self.ledger.clone();
        let log = ledger.origin().to_owned();
        let read = spawn_blocking(move || ledger.leaf(index)).await;
        let broken = |why: String| Unavailable::new(format!("leaf {index}: {why}"));
        let sealed =
            read.map_err(|e| broken(e.to_string()))?.map_err(|e: LedgerError| broken(e.to_string()))?;
        let record = sealed.skeleton().map_err(|e| broken(e.to_string()))?;
        if record.kind != deed_record::Kind::Intent || record.id != id {
            return Err(broken("the id stands for another record".into()));
        }
        let decision = record.decision;
        Ok(Answer {
            id,
            log,
            index,
            effect: decision.as_ref().map_or(Ruling::Allow, |decision| decision.effect),
            reason: "decided before".into(),
            policies: decision
                .iter()
                .flat_map(|decision| &decision.policies)
                .map(ToString::to_string)
                .collect(),
            policy_set: decision
                .as_ref()
                .and_then(|decision| decision.policy_set.as_ref())
                .map(ToString::to_string),
            obligations: write::obligations_of(decision.as_ref()),
        })
    }
}

/// What the name of the data directory stands for now.
fn folder_of(ledger: &Ledger) -> Option<(u64, u64)> {
    std::fs::metadata(ledger.dir()).ok().map(|folder| (folder.dev(), folder.ino()))
}

/// Whose word the records of a server's door are.
fn door(server: &str) -> String {
    format!("deed:mcp/{server}")
}

fn answer(intent: &Intent, receipt: Receipt, effect: Ruling, decided: Option<Ruled>) -> Answer {
    let mut answer = Answer {
        id: receipt.id,
        log: receipt.log.to_string(),
        index: receipt.index,
        effect,
        reason: intent.refused.as_ref().map(|refused| refused.why.clone()).unwrap_or_default(),
        policies: Vec::new(),
        policy_set: None,
        obligations: Default::default(),
    };
    if let Some(Ruled { decided, policy_set }) = decided {
        answer.reason = decided.reason;
        answer.policies = decided.policies;
        answer.policy_set = Some(policy_set);
        answer.obligations = decided.obligations;
    }
    answer
}
