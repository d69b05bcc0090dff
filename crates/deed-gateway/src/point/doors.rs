//! Doors in other processes of this machine. Where such a process is gone, nobody will say any more how what was let through
//! there has ended (INVARIANT D11).

use std::{
    collections::HashMap,
    ops::ControlFlow,
    sync::{Mutex, MutexGuard, PoisonError},
};

use deed_ledger::{Key, LedgerError, now};
use deed_record::{Kind, RecordId, Ruling, Status, Timestamp};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};

use super::{DecisionPoint, is_ours};
use crate::{
    intent::{Answer, Intent},
    recorder::Unavailable,
    sweep::LONGEST_ACTION,
};

/// What is under way at doors in other processes.
#[derive(Default)]
pub(super) struct Doors(Mutex<HashMap<RecordId, UnderWay>>);

struct UnderWay {
    process: Pid,
    since: Timestamp,
    /// Whether the process was gone when it was looked for last. What it told before it went may be on its way still.
    is_gone: bool,
}

impl Doors {
    fn lock(&self) -> MutexGuard<'_, HashMap<RecordId, UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From before it is decided on: the process may go meanwhile.
    fn begin(&self, action: RecordId, process: Option<Pid>) {
        if let Some(process) = process {
            self.lock().insert(action, UnderWay { process, since: now(), is_gone: false });
        }
    }

    /// Nothing was let through, as far as the door has heard, or it has ended.
    pub(super) fn end(&self, action: RecordId) {
        self.lock().remove(&action);
    }

    /// What processes have left that are gone for two looks. One that is there goes on, whoever it is: its number may be
    /// another's by now, and then what it left ends later, as anything does.
    fn left(&self) -> Vec<RecordId> {
        let mut under_way = self.lock();
        let oldest = now().0 - LONGEST_ACTION;
        under_way.retain(|_, action| action.since.0 > oldest);
        let mut left = Vec::new();
        for (id, action) in under_way.iter_mut() {
            let was_gone = action.is_gone;
            action.is_gone = test_kill_process(action.process) == Err(Errno::SRCH);
            if was_gone && action.is_gone {
                left.push(*id);
            }
        }
        left
    }
}

impl DecisionPoint {
    /// As [`DecisionPoint::intend`], for a door in `process`, where the system says which that is.
    ///
    /// # Errors
    /// As there.
    pub async fn intend_for(
        &self,
        process: Option<Pid>,
        intent: &Intent,
        tenant: &str,
    ) -> Result<Answer, Unavailable> {
        self.doors.begin(intent.id, process);
        let answer = self.intend(intent, tenant).await;
        self.follow(intent.id, &answer);
        answer
    }

    /// As [`DecisionPoint::wait`], for a door in `process`.
    ///
    /// # Errors
    /// As there.
    pub async fn wait_for(
        &self,
        process: Option<Pid>,
        waits: &Answer,
        patience: std::time::Duration,
    ) -> Result<Answer, Unavailable> {
        self.doors.begin(waits.id, process);
        let answer = self.wait(waits, patience).await;
        self.follow(waits.id, &answer);
        answer
    }

    fn follow(&self, action: RecordId, answer: &Result<Answer, Unavailable>) {
        let may_be_let_through = answer.as_ref().is_ok_and(|answer| answer.effect == Ruling::Allow);
        if !may_be_let_through {
            self.doors.end(action);
        }
    }

    /// Ends what was let through at doors whose processes are gone: nobody knows what came of it. An end that is told all the
    /// same supersedes that. How many; to be asked again and again, by a thread that may wait.
    ///
    /// # Errors
    /// The log cannot be read or written: they are ended when it is asked next.
    pub fn end_what_was_left(&self) -> Result<u64, Unavailable> {
        let mut ended = 0;
        for action in self.doors.left() {
            let found = self.is_open(action).map_err(|error| Unavailable::new(error.to_string()))?;
            match found {
                Some((leaf, true)) => {
                    self.end_open(leaf, Status::Unknown)?;
                    ended += 1;
                }
                Some((_, false)) => {}
                // It may wait in the spool.
                None => continue,
            }
            self.doors.end(action);
        }
        Ok(ended)
    }

    /// The leaf of intent `action`, and whether it was let through and has no end.
    pub(super) fn is_open(&self, action: RecordId) -> Result<Option<(u64, bool)>, LedgerError> {
        let Some(leaf) = self.ledger.lookup(&Key::Id(action), 1, None)?.first().copied() else {
            return Ok(None);
        };
        let sealed = self.ledger.leaf(leaf)?;
        let record =
            sealed.skeleton().map_err(|error| LedgerError::Broken(format!("leaf {leaf}: {error}")))?;
        let (mut is_cleared, mut is_ended) = (false, false);
        self.ledger.lookup_each(&Key::Ref(action), None, &mut |_, record| {
            is_cleared |= record.kind == Kind::Step && is_ours(record);
            is_ended |= record.kind == Kind::Outcome;
            ControlFlow::Continue(())
        })?;
        let effect = record.decision.as_ref().map_or(Ruling::Allow, |decision| decision.effect);
        let is_let_through = effect == Ruling::Allow || effect == Ruling::StepUp && is_cleared;
        Ok(Some((leaf, is_ours(&record) && is_let_through && !is_ended)))
    }
}
