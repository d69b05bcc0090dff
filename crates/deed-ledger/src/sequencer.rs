//! The one thread that orders: it takes sealed batches, gives each record its leaf index and time,
//! makes them durable together, and only then says so.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use deed_record::{RecordId, Timestamp};
use deed_seal::hash::{Hash, leaf_hashes};
use futures::channel::oneshot;

#[cfg(test)]
mod crashes;

use crate::{
    LedgerError, PACK_LEAVES, Table,
    append::{AppendError, Placed},
    journal::{FrameBuilder, Journal, JournalError, Spare},
    key::{Key, event_of},
    sealer::{Batch, Item},
    shared::Shared,
    signing::now,
};

/// One frame holds no more bytes than this, unless a batch that must not be parted is larger.
const FRAME_BYTES: usize = 8 << 20;
/// Sealed batches that wait for the sequencer take no more memory than this.
const QUEUE_BYTES: usize = 64 << 20;
/// So many complete packs may wait in memory for the store.
pub(crate) const MOST_WAITING: usize = 2;
/// How long a sender waits for room before it is told that recording is unavailable.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a batch that is in no hurry waits for one that is, to become durable by the same sync.
const LINGER: Duration = Duration::from_millis(20);
/// How long the sequencer looks for a batch that it was told to expect, before it sleeps after all.
const EXPECTING: Duration = Duration::from_micros(200);

/// Whether somebody waits for records to be durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Somebody does.
    Hurried,
    /// Nobody does: they are to cost no sync of their own where anything else is recorded soon, and are durable a moment later
    /// where not.
    AtLeisure,
}

/// A sealed batch on its way into the log.
pub(crate) struct Job {
    pub(crate) batch: Batch,
    /// Named records were looked for in all leaves below this already, and not found.
    pub(crate) searched: u64,
    /// All of it becomes durable together, or nothing.
    pub(crate) whole: bool,
    pub(crate) pace: Pace,
    pub(crate) reply: oneshot::Sender<Placements>,
}

/// What became of a batch: where its records are, in order, and why the rest, if any, was not taken.
#[derive(Default)]
pub(crate) struct Placements {
    pub(crate) placed: Vec<Placed>,
    pub(crate) then: Option<AppendError>,
}

/// Where batches wait. Senders block here, with a deadline, when the log cannot keep up.
#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<QueueState>,
    filled: Condvar,
    room: Condvar,
    /// Batches that are neither answered nor waiting: for the metrics.
    pub(crate) depth: AtomicU64,
    /// Batches in a hurry, ever.
    hurries: AtomicU64,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    bytes: usize,
    closed: Option<String>,
    /// Batches among `jobs` that are in a hurry.
    hurried: usize,
    /// Until when the others wait.
    due: Option<Instant>,
    /// How the sequencer waits for jobs, while it does.
    idle: Option<Idle>,
    /// Whether it was woken for a batch that is still being sealed.
    expects: bool,
    /// Senders that wait for room.
    waiting: usize,
}

/// How the sequencer waits for jobs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Idle {
    /// It looks again within [`LINGER`] by itself.
    Napping,
    /// Until it is woken.
    Asleep,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether [`Queue::push`] would not wait, if nobody else pushes first.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        state.closed.is_some() || state.bytes < QUEUE_BYTES
    }

    /// Wakes the sequencer for a batch in a hurry that comes in a moment: what it takes to wake is over when it comes.
    pub(crate) fn expect(&self) {
        let mut state = self.lock();
        if state.idle.take().is_some() {
            state.expects = true;
            drop(state);
            self.filled.notify_one();
        }
    }

    /// Hands `job` over, waiting for room if need be.
    pub(crate) fn push(&self, job: Job) -> Result<(), AppendError> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(why) = &state.closed {
                return Err(AppendError::Unavailable(why.clone()));
            }
            if state.bytes < QUEUE_BYTES {
                state.bytes += job.batch.weight();
                // What lingers wakes the sequencer only where it would not look in time.
                let wakes = match job.pace {
                    Pace::Hurried => {
                        state.hurried += 1;
                        self.hurries.fetch_add(1, Ordering::Release);
                        state.idle.take().is_some()
                    }
                    Pace::AtLeisure => {
                        state.due.get_or_insert_with(|| Instant::now() + LINGER);
                        state.idle.take_if(|idle| *idle == Idle::Asleep).is_some()
                    }
                };
                state.jobs.push_back(job);
                self.depth.store(state.jobs.len() as u64, Ordering::Relaxed);
                // Whoever is woken needs the lock at once.
                drop(state);
                if wakes {
                    self.filled.notify_one();
                }
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(AppendError::Unavailable(
                    "the log cannot keep up with what is sent; try again".into(),
                ));
            }
            state.waiting += 1;
            state = self.room.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }

    /// Takes no more batches; those that wait are still answered.
    pub(crate) fn close(&self, why: &str) {
        let mut state = self.lock();
        state.closed.get_or_insert_with(|| why.to_owned());
        self.filled.notify_all();
        self.room.notify_all();
    }

    /// Closes, and forgets what waits: its senders hear that recording is unavailable.
    fn abandon(&self, why: &str) {
        self.close(why);
        let mut state = self.lock();
        state.jobs.clear();
        (state.hurried, state.due) = (0, None);
    }

    /// The next batches, up to a frame's worth; `None` when closed and empty.
    fn take(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        // Where something was recorded just now, something else soon is.
        let mut nap = Some(LINGER);
        while state.hurried == 0 {
            if std::mem::take(&mut state.expects) {
                let (before, until) = (self.hurries.load(Ordering::Acquire), Instant::now() + EXPECTING);
                drop(state);
                while self.hurries.load(Ordering::Acquire) == before && Instant::now() < until {
                    std::thread::yield_now();
                }
                state = self.lock();
                continue;
            }
            let left = state.due.map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                None if state.closed.is_some() => return None,
                Some(left) if left.is_zero() || state.closed.is_some() => break,
                _ => {}
            }
            let most = left.or_else(|| nap.take());
            state.idle = Some(if most.is_some() { Idle::Napping } else { Idle::Asleep });
            state = match most {
                Some(most) => self.filled.wait_timeout(state, most).unwrap_or_else(PoisonError::into_inner).0,
                None => self.filled.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.idle = None;
        }
        // Whoever was expected is here.
        state.expects = false;
        let mut jobs = Vec::new();
        let mut bytes = 0;
        while bytes < FRAME_BYTES
            && let Some(job) = state.jobs.pop_front()
        {
            bytes += job.batch.weight();
            state.hurried -= usize::from(job.pace == Pace::Hurried);
            jobs.push(job);
        }
        if state.jobs.is_empty() {
            state.due = None;
        }
        state.bytes = state.bytes.saturating_sub(bytes);
        self.depth.store(state.jobs.len() as u64, Ordering::Relaxed);
        let is_awaited = state.waiting > 0;
        drop(state);
        if is_awaited {
            self.room.notify_all();
        }
        Some(jobs)
    }
}

/// Runs until the queue is closed and empty.
pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    journal: Journal,
    frame: FrameBuilder,
    /// At work on the journal file after the next.
    making: Option<JoinHandle<std::io::Result<Spare>>>,
    spare_asked: bool,
}

/// What one frame will add to the log.
#[derive(Default)]
struct Group {
    /// Job and item.
    leaves: Vec<(usize, usize)>,
    /// Named records of this frame: where they will be, and their content.
    ids: Table<RecordId, Earlier>,
}

impl Drop for Sequencer {
    /// However the thread ends, nobody waits for it in vain, and nothing of it writes on.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.fail("the thread that writes the log panicked");
        }
        self.shared.queue.abandon("the sequencer has stopped");
        drop(self.making.take().map(JoinHandle::join));
    }
}

impl Sequencer {
    pub(crate) fn new(shared: Arc<Shared>, journal: Journal) -> Self {
        Sequencer { shared, journal, frame: FrameBuilder::new(), making: None, spare_asked: false }
    }

    pub(crate) fn run(mut self) {
        while let Some(mut jobs) = self.shared.queue.take() {
            self.take_spare();
            self.journal.release(self.shared.log.with_tail(|tail| tail.first()));

            let answers = self.place(&mut jobs);
            for (job, answer) in jobs.into_iter().zip(answers) {
                // A sender that no longer listens has its record all the same.
                if job.reply.send(answer).is_err() {
                    self.shared.counters.unheard.fetch_add(1, Ordering::Relaxed);
                }
            }
            self.prepare_spare();
        }
    }

    fn take_spare(&mut self) {
        if let Some(Ok(made)) = self.making.take_if(|making| making.is_finished()).map(JoinHandle::join) {
            match made {
                Ok(spare) => self.journal.add_spare(spare),
                Err(error) => tracing::warn!(%error, "failed to make a journal file ahead of need"),
            }
        }
        self.spare_asked &= self.journal.wants_spare();
    }

    /// Has the next journal file made while this thread goes on.
    fn prepare_spare(&mut self) {
        if !self.spare_asked && self.journal.wants_spare() {
            self.spare_asked = true;
            let maker = self.journal.spare_maker();
            self.making = Some(std::thread::spawn(move || maker.make()));
        }
    }

    /// Places every record of `jobs`, frame by frame.
    fn place(&mut self, jobs: &mut [Job]) -> Vec<Placements> {
        let mut answers: Vec<Placements> = jobs.iter().map(|_| Placements::default()).collect();
        let mut at = (0, 0);
        let mut done = self.may_write();
        while at.0 < jobs.len() && done.is_ok() {
            let from = at;
            done = self.place_frame(jobs, &mut at, &mut answers);
            if done.is_err() {
                // Nothing of this frame is in the log.
                at = from;
                answers[from.0].placed.truncate(from.1);
            }
        }
        if let Err(error) = done {
            answers[at.0..].iter_mut().for_each(|answer| answer.then = Some(error.clone()));
            answers[at.0 + 1..].iter_mut().for_each(|answer| answer.placed.clear());
        }
        answers
    }

    /// One frame: from `at` on, as many records as fit.
    fn place_frame(
        &mut self,
        jobs: &mut [Job],
        at: &mut (usize, usize),
        answers: &mut [Placements],
    ) -> Result<(), AppendError> {
        let (first, last_recorded) = self.shared.log.with_tail(|tail| (tail.size(), tail.last_recorded));
        // A clock that was set back must not make `recorded` go back.
        let recorded = now().0.max(last_recorded);
        let stamp = Timestamp(recorded).to_text();
        let mut group = Group::default();
        self.frame.start(first);
        let started = *at;
        'frame: while at.0 < jobs.len() {
            let Job { whole, batch, .. } = &jobs[at.0];
            if *whole && !self.frame.is_empty() && self.frame.len() + batch.weight() > FRAME_BYTES {
                break;
            }
            while at.1 < jobs[at.0].batch.items.len() {
                if self.frame.len() > FRAME_BYTES && !jobs[at.0].whole {
                    break 'frame;
                }
                let (job, item) = *at;
                let placed = match self.came_before(&jobs[job], &jobs[job].batch.items[item], &group)? {
                    Some(placed) => placed,
                    None => {
                        jobs[job].batch.stamp(item, &stamp);
                        let batch = &jobs[job].batch;
                        let leaf = batch.leaf(&batch.items[item]);
                        self.frame.leaf(leaf, batch.blob(&batch.items[item]));
                        let index = first + group.leaves.len() as u64;
                        group.leaves.push((job, item));
                        let Item { id, event, named, .. } = &batch.items[item];
                        if let Some(named) = named {
                            let earlier = Earlier { id: *id, index, content: Some(named.content) };
                            for id in [Some(*id), *event].into_iter().flatten() {
                                group.ids.insert(id, earlier);
                            }
                        }
                        Placed::New(index)
                    }
                };
                answers[job].placed.push(placed);
                at.1 += 1;
            }
            *at = (at.0 + 1, 0);
        }
        if self.frame.is_empty() {
            return Ok(());
        }
        let named = started.0..(at.0 + usize::from(at.1 > 0)).min(jobs.len());
        for job in &jobs[named.clone()] {
            for name in &job.batch.names {
                self.frame.name(&name.account.0, &name.blob);
            }
        }
        self.shared.writing(|| self.journal.commit(&mut self.frame)).map_err(|error| {
            if let JournalError::Broken(why) = &error {
                // INVARIANT D2: the state of the disk is unknown; nothing more is taken.
                self.shared.fail(why);
                self.shared.queue.close(why);
            }
            AppendError::Unavailable(error.to_string())
        })?;
        self.publish(jobs, &group, named, recorded).map_err(|error| {
            self.shared.fail(&error.to_string());
            AppendError::Unavailable(error.to_string())
        })
    }

    /// Durable leaves become visible.
    fn publish(
        &self,
        jobs: &[Job],
        group: &Group,
        named: std::ops::Range<usize>,
        recorded: i64,
    ) -> Result<(), LedgerError> {
        let placed: Vec<(&Batch, &Item)> = group
            .leaves
            .iter()
            .map(|(job, item)| (&jobs[*job].batch, &jobs[*job].batch.items[*item]))
            .collect();
        let hashes = leaf_hashes(&placed.iter().map(|(batch, item)| batch.leaf(item)).collect::<Vec<_>>());
        let mut tail = self.shared.log.tail.write().unwrap_or_else(PoisonError::into_inner);
        let packs = tail.waiting();
        for job in &jobs[named] {
            for name in &job.batch.names {
                tail.name(name.account.0, &name.blob);
            }
        }
        for ((batch, item), hash) in placed.iter().zip(hashes) {
            tail.push(batch.leaf(item), hash, batch.blob(item), batch.hashes(item))
                .map_err(|e| LedgerError::Broken(e.to_string()))?;
        }
        tail.last_recorded = recorded;
        let is_full = tail.waiting() > packs;
        drop(tail);
        self.shared.counters.records.fetch_add(group.leaves.len() as u64, Ordering::Relaxed);
        self.shared.counters.commits.fetch_add(1, Ordering::Relaxed);
        // Waking threads that have nothing to do costs more than a small commit.
        if is_full || self.shared.signer_waits.load(Ordering::Acquire) {
            self.shared.notify();
        }
        Ok(())
    }

    /// Whether a named record is in the log, or in this very frame, already.
    fn came_before(&self, job: &Job, item: &Item, group: &Group) -> Result<Option<Placed>, LedgerError> {
        let Some(named) = &item.named else { return Ok(None) };
        let judge = |Earlier { id, index, content }: Earlier| {
            let is_same = content.is_some() && (content == Some(named.content) || content == named.as_sent);
            if is_same { Placed::Duplicate(index, id) } else { Placed::Conflict(index, id) }
        };
        for id in [Some(item.id), item.event].into_iter().flatten() {
            if let Some(earlier) = group.ids.get(&id) {
                return Ok(Some(judge(*earlier)));
            }
            // Leaves that went into packs since the sender searched them are few, and rare.
            if let Some(earlier) = self.shared.find_id(id, job.searched)? {
                return Ok(Some(judge(earlier)));
            }
        }
        Ok(None)
    }

    /// Nothing is taken once writing has stopped; while too many packs wait for the store, this waits.
    fn may_write(&self) -> Result<(), AppendError> {
        if let Some(why) = self.shared.failure() {
            return Err(AppendError::Unavailable(why.to_owned()));
        }
        let waited = self
            .shared
            .wait_until(PATIENCE, || self.shared.log.with_tail(|tail| tail.waiting()) < MOST_WAITING);
        if waited {
            return Ok(());
        }
        let why = self.shared.packing_error().unwrap_or_else(|| "the store is too slow".into());
        Err(AppendError::Unavailable(format!("packs cannot be written: {why}")))
    }
}

/// A record of the same name that is in the log.
#[derive(Clone, Copy)]
pub(crate) struct Earlier {
    id: RecordId,
    index: u64,
    content: Option<[u8; 32]>,
}

/// The keyed digest sealed in a leaf's `content`.
pub(crate) fn content_of(leaf: &[u8]) -> Option<[u8; 32]> {
    let at = memchr::memmem::find(leaf, b"\"content\":\"")? + 11;
    let digits = std::str::from_utf8(leaf.get(at..at + 64)?).ok()?;
    digits.parse::<Hash>().ok().map(|hash| hash.0)
}

impl Shared {
    /// The record of that id among leaves at or above `from`, and its content digest.
    pub(crate) fn find_id(&self, id: RecordId, from: u64) -> Result<Option<Earlier>, LedgerError> {
        let key = Key::Id(id);
        let mut candidates = self.log.with_tail(|tail| tail.candidates(key.hash()));
        let packed = self.log.with_tail(|tail| tail.first());
        if from < packed {
            let first_pack = from / PACK_LEAVES;
            self.index.candidates(key.hash(), packed, &mut |leaf| {
                candidates.push(leaf);
                leaf / PACK_LEAVES >= first_pack
            })?;
        }
        for index in candidates.into_iter().filter(|index| *index >= from) {
            let leaf = self.log.leaf(index)?;
            // A stranger with the same 48 bits has another id.
            let skeleton = deed_record::Skeleton::parse(&leaf)
                .map_err(|e| LedgerError::Broken(format!("leaf {index} is no record: {e}")))?;
            if skeleton.id == id || event_of(&skeleton) == Some(id) {
                return Ok(Some(Earlier { id: skeleton.id, index, content: content_of(&leaf) }));
            }
        }
        Ok(None)
    }

    /// Whether a record of that id is in a pack, below leaf `packed`.
    pub(crate) fn find_packed(&self, id: RecordId, packed: u64) -> Result<bool, LedgerError> {
        let mut found = false;
        self.index.candidates(Key::Id(id).hash(), packed, &mut |_| {
            found = true;
            false
        })?;
        Ok(found)
    }
}
