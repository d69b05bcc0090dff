//! What an operator declared low-risk goes on while the recorder is away: against a bounded spool, and never silently
//! (P7).

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use deed_ledger::{AppendError, Part, Receipt, Sender, Spool, Spooled, Told, fresh_id, now};
use deed_policy::Tier;
use deed_record::{Kind, RecordId, Ruling, Skeleton, Written};
use tokio::{task::spawn_blocking, time::timeout};

use super::{DecisionPoint, OURS};
use crate::{
    approvals::{NOT_IN_TIME, is_off},
    intent::{Conclusion, Missed},
    recorder::Unavailable,
    request::Ruled,
    sweep::LONGEST_ACTION,
    write,
};

/// Where an intent is durable (INVARIANT D1).
pub(super) enum Durable {
    /// In the log.
    Sealed(Receipt),
    /// In the spool.
    Spooled(Spooled),
}

/// The spool, and the actions of this process whose intents went there.
pub(super) struct Aside {
    spool: Arc<Spool>,
    /// Those that have not ended yet.
    under_way: Mutex<HashMap<RecordId, Spooled>>,
}

impl Aside {
    fn spooled(&self, action: RecordId) -> Option<Spooled> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).get(&action).copied()
    }

    fn began(&self, action: RecordId, spooled: Spooled) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = spooled.time().0 - LONGEST_ACTION;
        under_way.retain(|_, spooled| spooled.time().0 > oldest);
        under_way.insert(action, spooled);
    }

    fn ended(&self, action: RecordId) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&action);
    }
}

impl DecisionPoint {
    /// The same, with a spool for what policy says is of the tier `low`.
    #[must_use]
    pub fn with_spool(self, spool: Option<Spool>) -> Self {
        let aside = spool.map(|spool| Aside { spool: Arc::new(spool), under_way: Mutex::default() });
        DecisionPoint { aside, ..self }
    }

    /// The spool, where there is one.
    pub fn spool(&self) -> Option<&Spool> {
        self.aside.as_ref().map(|aside| &*aside.spool)
    }

    /// Whether what was decided may go on against the spool. What is not decided, masked, or lifted by a human is
    /// never.
    pub(super) fn may_spool(&self, ruled: Option<&Ruled>, is_approved: bool) -> bool {
        let is_low = |Ruled { decided, .. }: &Ruled| {
            decided.effect == Ruling::Allow
                && decided.obligations.tier == Some(Tier::Low)
                && decided.obligations.mask.is_empty()
        };
        self.aside.is_some() && !is_approved && ruled.is_some_and(is_low)
    }

    /// Puts the intent `id`, that the log does not take for the reason of `refused`, into the spool. `body` is there
    /// where that is allowed.
    pub(super) async fn spool_intent(
        &self,
        id: RecordId,
        body: Option<Vec<u8>>,
        sender: Sender,
        refused: AppendError,
    ) -> Result<Durable, Unavailable> {
        let (Some(aside), Some(body), AppendError::Unavailable(why)) = (&self.aside, body, &refused) else {
            return Err(refused.into());
        };
        // Asked twice, it is there once.
        if let Some(spooled) = aside.spooled(id) {
            return Ok(Durable::Spooled(spooled));
        }
        let spooled = self.put_aside(aside, body, sender, Part::Intent, why).await?;
        aside.began(id, spooled);
        Ok(Durable::Spooled(spooled))
    }

    /// The ends of actions whose intents are in the spool go there too, where the log does not take them: all of them
    /// or none. `sender` is whose word they are.
    pub(super) async fn spool_outcomes(
        &self,
        conclusions: &[Conclusion],
        sender: Sender,
        refused: AppendError,
    ) -> Result<(), Unavailable> {
        let (Some(aside), AppendError::Unavailable(why)) = (&self.aside, &refused) else {
            return Err(refused.into());
        };
        if conclusions.iter().any(|conclusion| aside.spooled(conclusion.action).is_none()) {
            return Err(refused.into());
        }
        // What has no id of its own would not be known again in the log.
        let mut named = conclusions.to_vec();
        for conclusion in named.iter_mut().filter(|conclusion| conclusion.id.is_none()) {
            conclusion.id = Some(fresh_id()?);
        }
        let body = joined(&named.iter().map(write::outcome).collect::<Vec<_>>());
        self.put_aside(aside, body, sender, Part::Outcome, why).await?;
        self.are_concluded(conclusions);
        Ok(())
    }

    /// These actions have ended, and that is durable.
    pub(super) fn are_concluded(&self, conclusions: &[Conclusion]) {
        let off = conclusions.iter().filter(|ended| is_off(ended.status, ended.code.as_deref()));
        off.for_each(|conclusion| self.approvals.withdraw(conclusion.action));
        let given_up = conclusions.iter().filter(|ended| ended.code.as_deref() == Some(NOT_IN_TIME));
        given_up.for_each(|conclusion| self.approvals.give_up(conclusion.action));
        conclusions.iter().for_each(|conclusion| self.doors.end(conclusion.action));
        let Some(aside) = &self.aside else { return };
        conclusions.iter().for_each(|conclusion| aside.ended(conclusion.action));
    }

    async fn put_aside(
        &self,
        aside: &Aside,
        body: Vec<u8>,
        sender: Sender,
        part: Part,
        why: &str,
    ) -> Result<Spooled, Unavailable> {
        let (spool, reason) = (aside.spool.clone(), why.to_owned());
        let put = spawn_blocking(move || spool.append(&body, &sender, part, &reason));
        let both = |spool: String| Unavailable::new(format!("{why}; {spool}"));
        match timeout(self.deadline, put).await {
            Ok(Ok(spooled)) => spooled.map_err(|error| both(Unavailable::from(error).why().to_owned())),
            Ok(Err(error)) => Err(both(error.to_string())),
            Err(_) => Err(both(format!("no answer from the spool within {} ms", self.deadline.as_millis()))),
        }
    }

    /// Somebody wanted to stop something, and it could not be recorded: nothing goes on until something can.
    pub(super) fn halt_spool(&self) {
        if let Some(aside) = &self.aside {
            aside.spool.halt("a suspension could not be recorded: nothing goes on until something can be");
        }
    }

    /// Appends what waits in the spool to the log, if the log takes it; how many records. For a thread that may wait.
    ///
    /// # Errors
    /// The log takes nothing, or the spool cannot be read: what was not appended still waits.
    pub fn drain(&self) -> Result<u64, Unavailable> {
        let Some(aside) = self.aside.as_ref().filter(|aside| !aside.spool.is_idle()) else { return Ok(0) };
        if !self.ledger.is_in_place() {
            return Err(Unavailable::new("the data directory is not in its place"));
        }
        Ok(aside.spool.drain(&gaps)?)
    }
}

/// What is said of a gap in which `records` waited: once for each tenant, in the same words each time.
fn gaps(records: &[Skeleton<'_>]) -> Told {
    let mut gaps: BTreeMap<&str, (RecordId, Missed)> = BTreeMap::new();
    for record in records.iter().filter(|record| record.kind == Kind::Intent) {
        let time = record.spooled.unwrap_or_else(now);
        let missed = Missed {
            from: time,
            to: time,
            count: 0,
            spooled: 0,
            why: "the recorder was unavailable, and these waited in the spool".into(),
        };
        let (_, missed) = gaps.entry(&record.tenant).or_insert((record.id, missed));
        missed.to = missed.to.max(time);
        missed.spooled += 1;
    }
    let told = gaps.into_iter().map(|(tenant, (first, missed))| {
        (joined(&[write::spool_gap(&missed, first, tenant)]), ours(format!("{OURS}spool"), tenant))
    });
    told.collect()
}

/// The text of `records`, a line each.
pub(super) fn joined(records: &[Written<'_>]) -> Vec<u8> {
    records.iter().map(Written::text).collect::<Vec<_>>().join("\n").into_bytes()
}

pub(super) fn ours(name: String, tenant: &str) -> Sender {
    Sender { tenant: Some(tenant.to_owned()), name, ours: true }
}
