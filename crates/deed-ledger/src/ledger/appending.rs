//! How records are handed over: sealed on the thread that has them, placed by the sequencer, answered when durable.

use std::{
    pin::Pin,
    sync::atomic::Ordering,
    task::{Context, Poll},
};

use deed_record::{RecordId, Written, split_lines, split_records};
use futures::channel::oneshot;

use super::Ledger;
use crate::{
    AppendError, Receipt, Sender,
    append::{Placed, Placing},
    sealer::{Batch, Item, Sealer, Sent, Wait},
    sequencer::{Job, Pace, Placements},
    shared::Shared,
};

/// A receipt or an error for each record, or why nothing was recorded.
type Appended = Result<Vec<Result<Receipt, AppendError>>, AppendError>;

/// An append on its way: a future, or [`Pending::wait`].
pub struct Pending(Pin<Box<dyn Future<Output = Appended> + Send>>);

impl Pending {
    /// Waits until it is durable.
    ///
    /// # Errors
    /// Nothing was recorded.
    pub fn wait(self) -> Appended {
        futures::executor::block_on(self)
    }
}

impl Future for Pending {
    type Output = Appended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Appended> {
        self.0.as_mut().poll(context)
    }
}

impl Ledger {
    /// Seals the records of `body` (a JSON array, or one after another) on this thread and hands them
    /// to the sequencer, all of them or none.
    ///
    /// # Errors
    /// Nothing of `body` was recorded.
    pub fn begin(&self, body: &[u8], sender: &Sender) -> Result<Pending, AppendError> {
        let begun = self.begin_all(body, sender, Wait::Yes)?;
        begun.ok_or_else(|| AppendError::Unavailable("nothing was sealed".into()))
    }

    /// As [`Ledger::begin`], but a record that cannot be taken does not keep the others out. Each of
    /// `records` is the text of one.
    ///
    /// # Errors
    /// Nothing was recorded.
    pub fn begin_each(&self, records: Vec<String>, sender: &Sender) -> Result<Pending, AppendError> {
        let sealer = self.sealer(sender)?;
        let (batch, results) = self.counting(sealer.seal_each(&records))?;
        let refused = results.iter().filter(|result| result.is_err()).count() as u64;
        self.shared().counters.refused.fetch_add(refused, Ordering::Relaxed);
        let again = Again { records, sender: sender.clone() };
        self.hand_over(batch, results, false, Pace::Hurried, Some(again))
    }

    /// Says that a record which somebody waits for comes in a moment, so that whoever writes the log wakes meanwhile. It need
    /// not come. Worth it where nothing else is recorded and another core is idle.
    pub fn expect(&self) {
        self.shared().queue.expect();
    }

    /// As [`Ledger::begin`], for threads that must not wait; `None` where sealing would have to, for the
    /// disk or for room.
    ///
    /// # Errors
    /// Nothing of `body` was recorded.
    pub fn begin_at_once(&self, body: &[u8], sender: &Sender) -> Result<Option<Pending>, AppendError> {
        if !self.shared().queue.has_room() {
            return Ok(None);
        }
        self.begin_all(body, sender, Wait::No)
    }

    /// As [`Ledger::begin_at_once`], for `records` that this process wrote, all of them or none.
    ///
    /// # Errors
    /// None of `records` was recorded.
    pub fn begin_written(
        &self,
        records: &[Written<'_>],
        sender: &Sender,
        pace: Pace,
    ) -> Result<Option<Pending>, AppendError> {
        if !self.shared().queue.has_room() {
            return Ok(None);
        }
        let sent: Vec<Sent<'_>> = records.iter().map(Sent::from).collect();
        let batch = self.counting(self.sealer(sender)?.seal_all(&sent, Wait::No))?;
        let Some(batch) = batch else { return Ok(None) };
        self.hand_over_all(batch, records.iter().map(Written::text), sender, pace).map(Some)
    }

    fn begin_all(&self, body: &[u8], sender: &Sender, wait: Wait) -> Result<Option<Pending>, AppendError> {
        let sealer = self.sealer(sender)?;
        // Nearly everybody sends a record a line. Where that does not go well, the careful reader says why.
        let lines = split_lines(body);
        let sealed = lines.and_then(|lines| Some((sealer.seal_all(&lines, wait).ok()?, lines)));
        let (batch, records) = match sealed {
            Some(sealed) => sealed,
            None => {
                let records = self.counting(split_records(body).map_err(AppendError::from))?;
                (self.counting(sealer.seal_all(&records, wait))?, records)
            }
        };
        let Some(batch) = batch else { return Ok(None) };
        self.hand_over_all(batch, records.into_iter(), sender, Pace::Hurried).map(Some)
    }

    /// Hands over the records of `texts`, which are `batch`, all of them or none.
    fn hand_over_all<'t>(
        &self,
        batch: Batch,
        texts: impl Iterator<Item = &'t str>,
        sender: &Sender,
        pace: Pace,
    ) -> Result<Pending, AppendError> {
        let results = batch.items.iter().map(|_| Ok(())).collect();
        let again = batch
            .items
            .iter()
            .any(Item::is_imported)
            .then(|| Again { records: texts.map(str::to_owned).collect(), sender: sender.clone() });
        self.hand_over(batch, results, true, pace, again)
    }

    fn sealer<'s>(&'s self, sender: &'s Sender) -> Result<Sealer<'s>, AppendError> {
        let shared = self.shared();
        if let Some(why) = shared.failure() {
            return Err(AppendError::Unavailable(why.to_owned()));
        }
        if let Some(why) = self.moved() {
            return Err(AppendError::Unavailable(why));
        }
        Ok(Sealer { keys: &shared.keys, sender, spooled: None })
    }

    fn counting<T>(&self, sealed: Result<T, AppendError>) -> Result<T, AppendError> {
        sealed.inspect_err(|_| {
            self.shared().counters.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    fn hand_over(
        &self,
        batch: Batch,
        results: Vec<Result<(), AppendError>>,
        whole: bool,
        pace: Pace,
        again: Option<Again>,
    ) -> Result<Pending, AppendError> {
        let ids = batch.items.iter().map(Asked::of).collect();
        let placing = place(self.shared(), batch, whole, pace)?;
        Ok(Pending(Box::pin(self.clone().finish(placing, ids, results, again))))
    }

    /// Turns what the sequencer says into receipts.
    async fn finish(
        self,
        placing: Placing,
        ids: Vec<Asked>,
        results: Vec<Result<(), AppendError>>,
        again: Option<Again>,
    ) -> Appended {
        let shared = self.shared();
        let Placements { placed, then } = placing.await;
        if let Some(error) = then.clone().filter(|_| placed.is_empty()) {
            return Err(error);
        }
        let mut placed = placed.into_iter().zip(ids);
        let mut answers = Vec::with_capacity(results.len());
        for (position, result) in results.into_iter().enumerate() {
            let answer = match result {
                Err(error) => Err(error),
                Ok(()) => match placed.next() {
                    Some((placed, asked)) => {
                        // For an event that is the id which it has in the log, whatever its senders call it.
                        let found = placed.earlier().filter(|_| asked.is_imported).unwrap_or(asked.id);
                        match (placed, &again) {
                            // Another id stands for the event, or the event's own: what was sent is kept beside it.
                            (Placed::Conflict(..), Some(Again { records, sender }))
                                if asked.is_imported && (asked.event.is_none() || found != asked.id) =>
                            {
                                self.append_conflicting(&records[position], sender, position, found).await
                            }
                            _ => shared.receipt(position, found, placed),
                        }
                    }
                    None => Err(then.clone().unwrap_or_else(no_answer)),
                },
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    /// Records the event in `record`, at `position` of what was sent, again, beside the first record of it,
    /// `first`, whose original bytes were others.
    async fn append_conflicting(
        &self,
        record: &str,
        sender: &Sender,
        position: usize,
        first: RecordId,
    ) -> Result<Receipt, AppendError> {
        let shared = self.shared();
        let batch = Sealer { keys: &shared.keys, sender, spooled: None }
            .seal_conflicting(record, first)
            .map_err(|e| e.at(position))?;
        let id = batch.items.first().map_or(first, |item| item.id);
        let Placements { placed, then } = place(shared, batch, true, Pace::Hurried)?.await;
        match placed.first() {
            Some(placed) => shared.receipt(position, id, *placed),
            None => Err(then.unwrap_or_else(no_answer)),
        }
    }

    /// Appends what was sealed before; returns when it is durable, with where each of it stands.
    pub(crate) fn append_sealed(&self, batch: Batch) -> Result<Vec<Placed>, AppendError> {
        let Placements { placed, then } =
            futures::executor::block_on(place(self.shared(), batch, true, Pace::Hurried)?);
        match then {
            Some(error) => Err(error),
            None => Ok(placed),
        }
    }

    /// Records `body`, all of it or nothing; returns when it is durable.
    ///
    /// # Errors
    /// Why nothing was recorded.
    pub fn append(&self, body: &[u8], sender: &Sender) -> Result<Vec<Receipt>, AppendError> {
        self.begin(body, sender)?.wait()?.into_iter().collect()
    }

    /// Records what can be recorded of `body`; returns when that is durable.
    ///
    /// # Errors
    /// `body` cannot be read at all, or recording is unavailable.
    pub fn append_each(
        &self,
        body: &[u8],
        sender: &Sender,
    ) -> Result<Vec<Result<Receipt, AppendError>>, AppendError> {
        let records = self.counting(split_records(body).map_err(AppendError::from))?;
        self.begin_each(records.into_iter().map(str::to_owned).collect(), sender)?.wait()
    }
}

/// A record that was handed over.
struct Asked {
    id: RecordId,
    event: Option<RecordId>,
    is_imported: bool,
}

impl Asked {
    fn of(item: &Item) -> Self {
        Asked { id: item.id, event: item.event, is_imported: item.is_imported() }
    }
}

/// What was sent, for an event that has to be sealed again as a conflicting observation.
struct Again {
    records: Vec<String>,
    sender: Sender,
}

fn no_answer() -> AppendError {
    AppendError::Unavailable("the sequencer gave no answer".into())
}

/// Looks for named records among what is in packs, then hands the batch over.
fn place(shared: &Shared, batch: Batch, whole: bool, pace: Pace) -> Result<Placing, AppendError> {
    let searched = shared.log.with_tail(|tail| tail.first());
    // A record found in a pack is known for good; the sequencer then looks only at what came since. A
    // batch in which one is found is searched again there as a whole: that is the rare road.
    let mut found = false;
    let named = batch.items.iter().filter(|item| item.named.is_some());
    for id in named.flat_map(|item| [Some(item.id), item.event]).flatten() {
        if shared.find_packed(id, searched)? {
            found = true;
            break;
        }
    }
    let (reply, answer) = oneshot::channel();
    let searched = if found { 0 } else { searched };
    shared.queue.push(Job { batch, searched, whole, pace, reply })?;
    Ok(Placing(answer))
}

impl Shared {
    fn receipt(&self, position: usize, id: RecordId, placed: Placed) -> Result<Receipt, AppendError> {
        let (index, duplicate) = match placed {
            Placed::New(index) => (index, false),
            Placed::Duplicate(index, _) => (index, true),
            Placed::Conflict(first, _) => return Err(AppendError::Conflict { index: position, id, first }),
        };
        self.counters.duplicates.fetch_add(u64::from(duplicate), Ordering::Relaxed);
        Ok(Receipt { id, log: self.log.origin.clone(), index, duplicate })
    }
}
