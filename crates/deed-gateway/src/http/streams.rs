//! Streams that can be taken up again (MCP 2025-11-25, Resumability and Redelivery): which request each is of.
//!
//! A server tells again what it told, to whoever names an event. An id does not say whose answer that is, for ids come again; the
//! stream does: an event was on the stream of one request, and what follows it there is that request's.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use deed_record::RecordId;
use deed_seal::hash::Hash;

use crate::{guard::Pending, message::Id};

/// Events of one stream from which it can be taken up again: the last ones.
const MOST_EVENTS: usize = 1024;
/// Streams that can be taken up again although their requests are answered: those that were used last.
const MOST_ANSWERED: usize = 256;

/// A request that was sent.
pub(super) struct Sent {
    pub(super) id: Id,
    /// What is kept from the caller of its answer, and how that is recorded.
    pub(super) pending: Pending,
    /// Whether it ended without an answer.
    is_given_up: AtomicBool,
}

impl Sent {
    pub(super) fn new(id: Id, pending: &Pending) -> Arc<Self> {
        Arc::new(Sent { id, pending: pending.without_payload(), is_given_up: AtomicBool::new(false) })
    }

    /// It ended without an answer: one that comes later is told nobody.
    pub(super) fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }
}

/// The request that a stream is of; `None` where the client opened it by itself.
pub(super) type Origin = Option<Arc<Sent>>;

/// The streams of a session, by their events.
#[derive(Default)]
pub(super) struct Streams {
    /// By the digests of their ids.
    events: HashMap<Hash, Place>,
    /// By the actions that their requests are.
    streams: HashMap<Option<RecordId>, Stream>,
    used: u64,
}

/// Where an event stands.
#[derive(Clone)]
pub(super) struct Place {
    /// The stream that it was on last.
    pub(super) origin: Origin,
    /// Whether it was on others too: there are servers that number each stream anew, and nobody knows which one they mean.
    pub(super) is_unclear: bool,
}

#[derive(Default)]
struct Stream {
    origin: Origin,
    /// From the oldest on.
    events: VecDeque<Hash>,
    used: u64,
}

impl Streams {
    /// Notes where `event` stands. Streams of what has no answer yet, as `is_pending` says, are kept.
    pub(super) fn note(&mut self, event: &str, mut place: Place, is_pending: impl Fn(&Sent) -> bool) {
        let key = key(&place.origin);
        if self.streams.len() > MOST_ANSWERED && !self.streams.contains_key(&key) {
            self.make_room(is_pending);
        }
        self.used += 1;
        let stream = self.streams.entry(key).or_default();
        (stream.origin, stream.used) = (place.origin.clone(), self.used);
        let event = Hash::of(event.as_bytes());
        let before = self.events.get(&event).map(|place| (self::key(&place.origin) == key, place.is_unclear));
        place.is_unclear |= before.is_some_and(|(is_same, is_unclear)| is_unclear || !is_same);
        self.events.insert(event, place);
        if before.is_some_and(|(is_same, _)| is_same) {
            return;
        }
        stream.events.push_back(event);
        let oldest = if stream.events.len() > MOST_EVENTS { stream.events.pop_front() } else { None };
        self.forget(key, oldest);
    }

    /// Where `event` stands; `None` where nobody heard it here, or too long ago.
    pub(super) fn place(&self, event: &str) -> Option<Place> {
        self.events.get(&Hash::of(event.as_bytes())).cloned()
    }

    fn make_room(&mut self, is_pending: impl Fn(&Sent) -> bool) {
        let is_answered = |stream: &&Stream| stream.origin.as_ref().is_some_and(|sent| !is_pending(sent));
        let answered = self.streams.values().filter(is_answered);
        let mut answered: Vec<_> = answered.map(|stream| (stream.used, key(&stream.origin))).collect();
        answered.sort_unstable_by_key(|(used, _)| *used);
        let too_many = (answered.len() + 1).saturating_sub(MOST_ANSWERED);
        for (_, key) in &answered[..too_many] {
            let events = self.streams.remove(key).map(|stream| stream.events);
            self.forget(*key, events.into_iter().flatten());
        }
    }

    /// Forgets `events`, as far as they still stand on the stream `key`.
    fn forget(&mut self, key: Option<RecordId>, events: impl IntoIterator<Item = Hash>) {
        for event in events {
            if self.events.get(&event).is_some_and(|place| self::key(&place.origin) == key) {
                self.events.remove(&event);
            }
        }
    }
}

fn key(origin: &Origin) -> Option<RecordId> {
    origin.as_ref().map(|sent| sent.pending.intent.id)
}

#[cfg(test)]
mod tests {
    use deed_record::{SpanId, TraceId};

    use super::*;
    use crate::intent::{Intent, Place as At};

    fn sent(n: u16) -> Origin {
        let mut action = RecordId([0; 16]);
        action.0[..2].copy_from_slice(&n.to_be_bytes());
        let at = At::of_nobody(TraceId([7; 16]), SpanId([7; 8]));
        let pending = Pending::new(Intent::bare(action, "files", "tools/call", at));
        Some(Sent::new(Id::Number(1), &pending))
    }

    fn is_of(streams: &Streams, event: &str, origin: &Origin) -> bool {
        streams.place(event).is_some_and(|place| key(&place.origin) == key(origin) && !place.is_unclear)
    }

    fn on(origin: &Origin) -> Place {
        Place { origin: origin.clone(), is_unclear: false }
    }

    #[test]
    fn what_was_used_last_can_be_taken_up_again() {
        let mut streams = Streams::default();
        let (waits, first) = (sent(u16::MAX), sent(0));
        let is_pending = |other: &Sent| key(&waits) == Some(other.pending.intent.id);
        streams.note("waits", on(&waits), is_pending);
        streams.note("alone", on(&None), is_pending);
        for n in 0..=MOST_ANSWERED {
            let origin = sent(u16::try_from(n).unwrap());
            streams.note(&format!("a{n}"), on(&origin), is_pending);
            streams.note(&format!("b{n}"), on(&origin), is_pending);
            streams.note("a0", on(&first), is_pending);
        }
        assert!(is_of(&streams, "waits", &waits) && is_of(&streams, "alone", &None));
        assert!(is_of(&streams, "a0", &first) && is_of(&streams, "b0", &first));
        assert!(streams.place("a1").is_none() && streams.place("b1").is_none());
        assert!(is_of(&streams, "a2", &sent(2)));
        for n in 0..MOST_EVENTS {
            streams.note(&format!("c{n}"), on(&first), is_pending);
        }
        assert!(streams.place("a0").is_none() && is_of(&streams, "c0", &first));
        assert_eq!(
            streams.events.len(),
            streams.streams.values().map(|stream| stream.events.len()).sum::<usize>()
        );
    }

    #[test]
    fn an_event_of_several_streams_is_unclear() {
        let mut streams = Streams::default();
        let (one, other) = (sent(1), sent(2));
        streams.note("1", on(&one), |_| true);
        streams.note("1", on(&one), |_| true);
        assert!(is_of(&streams, "1", &one));
        streams.note("1", on(&other), |_| true);
        let place = streams.place("1").unwrap();
        assert!(place.is_unclear && key(&place.origin) == key(&other));
    }
}
