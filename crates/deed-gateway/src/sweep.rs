//! Intents that nobody ended: whoever forwarded them was killed, or never heard of them again (INVARIANT D11).

use std::collections::{HashMap, HashSet};

use deed_ledger::{Ledger, LedgerError, now};
use deed_record::{Kind, RecordId, Ruling, Skeleton, Status};

use crate::point::{is_ours, of_run};

/// Who says of what nobody ended that it ended.
pub(crate) const SWEEPER: &str = "deed:mcp";
/// How long an action may take before its end is recorded as unknown. An end that comes later supersedes that.
pub(crate) const LONGEST_ACTION: i64 = 60 * 60 * 1_000_000;
/// Leaves that are looked at together.
const CHUNK: u64 = 1 << 16;
/// No more leaves than these are looked at, from the end of the log.
const MOST_LEAVES: u64 = 2_000_000;

/// An intent without an end.
pub(crate) struct Open {
    pub(crate) leaf: u64,
    /// `unknown` where it was let through, `denied` where it still waited for a human.
    pub(crate) status: Status,
}

/// An intent.
struct Begun {
    leaf: u64,
    recorded: i64,
    effect: Ruling,
    is_run: bool,
}

/// Which intents are looked at.
#[derive(Clone, Copy, Debug)]
pub enum Sweep {
    /// Those below this leaf: of a process before this one.
    Below(u64),
    /// Those that are under way for longer than anything may take.
    Late,
}

/// Looks for intents without an end, as far back as an action may take.
///
/// # Errors
/// The log cannot be read.
pub(crate) fn find(ledger: &Ledger, which: Sweep) -> Result<Vec<Open>, LedgerError> {
    let snapshot = ledger.snapshot();
    let (size, until) = match which {
        Sweep::Below(size) => (size.min(snapshot.size()), None),
        Sweep::Late => (snapshot.size(), Some(now().0 - LONGEST_ACTION)),
    };
    let (mut begun, mut ended, mut cleared) = (HashMap::new(), HashSet::new(), HashSet::new());
    let (mut end, mut oldest) = (size, None);
    // From the end, for what is ended stands before its end.
    while end > 0 && size - end < MOST_LEAVES {
        let start = end.saturating_sub(CHUNK);
        let mut is_recent = false;
        snapshot.scan(start..end, &mut |leaf, bytes| {
            if let Some(record) = ours(bytes) {
                let recorded = record.recorded.0;
                let is_looked_for = record.kind != Kind::Intent || until.is_none_or(|until| recorded < until);
                if is_looked_for {
                    look(leaf, &record, &mut begun, &mut ended, &mut cleared);
                }
                let oldest = *oldest.get_or_insert(until.unwrap_or(recorded) - LONGEST_ACTION);
                is_recent |= recorded >= oldest;
            }
            std::ops::ControlFlow::Continue(())
        })?;
        if !is_recent && oldest.is_some() {
            break;
        }
        end = start;
    }
    let still = now().0 - LONGEST_ACTION;
    let open = begun.into_iter().filter(|(id, _)| !ended.contains(id)).filter_map(|(id, begun)| {
        let waited = begun.effect == Ruling::StepUp && !cleared.contains(&id);
        // A command of another machine waits on, though this process began after it.
        let waits_on = waited && begun.is_run && begun.recorded > still && matches!(which, Sweep::Below(_));
        let status = if waited { Status::Denied } else { Status::Unknown };
        (!waits_on).then_some(Open { leaf: begun.leaf, status })
    });
    let mut open: Vec<Open> = open.collect();
    open.sort_unstable_by_key(|open| open.leaf);
    Ok(open)
}

/// The record, if it is of a decision point or about what one decided.
fn ours(bytes: &[u8]) -> Option<Skeleton<'_>> {
    let is_outcome = || memchr::memmem::find(bytes, b"\"kind\":\"outcome\"").is_some();
    let is_ours = memchr::memmem::find(bytes, b"\"submitter\":\"deed:").is_some() || is_outcome();
    if is_ours { Skeleton::parse(bytes).ok() } else { None }
}

fn look(
    leaf: u64,
    record: &Skeleton<'_>,
    begun: &mut HashMap<RecordId, Begun>,
    ended: &mut HashSet<RecordId>,
    cleared: &mut HashSet<RecordId>,
) {
    match (record.kind, record.action) {
        // An application's own intents are for itself to end.
        (Kind::Intent, _) if is_ours(record) => {
            let effect = record.decision.as_ref().map_or(Ruling::Allow, |decision| decision.effect);
            let is_run = of_run(&record.submitter).is_some();
            begun.insert(record.id, Begun { leaf, recorded: record.recorded.0, effect, is_run });
        }
        (Kind::Outcome, Some(action)) => {
            ended.insert(action);
        }
        (Kind::Step, Some(action)) => {
            cleared.insert(action);
        }
        _ => {}
    }
}
