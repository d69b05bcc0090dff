//! Thousands of like tasks as one line each (G7): patterns, how often, first and last seen, and the odd ones out.
//!
//! A *task* is everything of one trace, else of one `task` name, else a single action. Tasks are of one pattern where
//! the same principals did the same things to the same sorts of resources, and the same was decided about them.
//!
//! INVARIANT D6: what comes out is a function of the set of records. Beyond the bounds whole tasks are left out, by a
//! digest of what they are called, so that which ones does not depend on the order either.

mod shape;
mod tell;

use std::collections::{BTreeMap, HashMap, HashSet};

use deed_identity::CredentialKey;
use deed_record::{Account, Kind, PrincipalType, RecordId, Ruling, Skeleton, Status, Timestamp, TraceId};

pub use tell::{Naming, Odd, Pattern, PatternList, Why};

/// Tasks that are kept.
const MOST_TASKS: usize = 500_000;
/// Actions of all of them that are kept.
const MOST_ACTIONS: usize = 2_000_000;
/// No more than one task in so many, as a power of two, is looked for.
const SPARSEST: u32 = 32;

/// Which actions are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Whose.
    pub tenant: Option<String>,
    /// They happened then or later.
    pub since: Option<Timestamp>,
    /// They happened before that.
    pub until: Option<Timestamp>,
    /// Only tasks in which one of these acted or asked.
    pub accounts: Option<HashSet<Account>>,
}

/// What records come to, as far as they were seen.
#[derive(Default)]
pub struct Patterns {
    wanted: Wanted,
    tasks: HashMap<Digest, Task>,
    actions: HashMap<RecordId, Action>,
    /// How actions ended, where a record of its own says so.
    endings: HashMap<RecordId, Ending>,
    superseded: HashSet<RecordId>,
    steps: shape::Steps,
    /// Records that were seen.
    read: u64,
    /// One task in so many is kept, as a power of two.
    level: u32,
    bounds: Bounds,
}

/// What a task is called, as a digest.
type Digest = [u8; 16];

struct Task {
    tenant: String,
    trace: Option<TraceId>,
    /// Whether somebody who is wanted has a part in it.
    wanted: bool,
}

struct Action {
    task: Digest,
    step: u32,
    time: Timestamp,
    effect: Option<Ruling>,
    own: Ending,
}

/// How an action ended: the latest word that is not `unknown`.
type Ending = Option<(bool, Timestamp, Status)>;

#[derive(Clone, Copy)]
struct Bounds {
    tasks: usize,
    actions: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { tasks: MOST_TASKS, actions: MOST_ACTIONS }
    }
}

impl Patterns {
    /// Patterns of what is wanted.
    pub fn of(wanted: Wanted) -> Self {
        Patterns { wanted, ..Patterns::default() }
    }

    /// The same, keeping at most so many tasks and actions.
    #[must_use]
    pub fn bounded(mut self, tasks: usize, actions: usize) -> Self {
        self.bounds = Bounds { tasks, actions };
        self
    }

    /// Sees a record.
    pub fn see(&mut self, rec: &Skeleton<'_>) {
        self.read += 1;
        if self.wanted.tenant.as_deref().is_some_and(|tenant| tenant != &*rec.tenant) {
            return;
        }
        self.superseded.extend(rec.supersedes.filter(|_| rec.kind.is_action()));
        let ending =
            rec.outcome.as_ref().map(|outcome| (outcome.status != Status::Unknown, rec.time, outcome.status));
        if let Some(action) = rec.action.filter(|action| *action != rec.id) {
            if ending.is_some() && rec.kind.is_action() && self.endings.len() < self.bounds.actions * 2 {
                let known = self.endings.entry(action).or_default();
                *known = (*known).max(ending);
            }
            return;
        }
        let acts = matches!(rec.kind, Kind::Intent | Kind::Observation | Kind::Step);
        let timely = self.wanted.since.is_none_or(|since| rec.time >= since)
            && self.wanted.until.is_none_or(|until| rec.time < until);
        if !acts || !timely {
            return;
        }
        let digest = task_of(rec);
        if !self.is_kept(&digest) {
            return;
        }
        let wanted = self.wanted.accounts.as_ref().is_none_or(|wanted| {
            let parties = [rec.executor.as_ref(), rec.initiator.as_ref()];
            parties.into_iter().flatten().filter_map(|party| party.account).any(|one| wanted.contains(&one))
        });
        let task = self.tasks.entry(digest).or_insert_with(|| Task {
            tenant: rec.tenant.to_string(),
            trace: rec.trace_id,
            wanted: false,
        });
        task.wanted |= wanted;
        let effect = rec.decision.as_ref().map(|decision| decision.effect);
        let action =
            Action { task: digest, step: self.steps.number(rec), time: rec.time, effect, own: ending };
        self.actions.insert(rec.id, action);
        while (self.tasks.len() > self.bounds.tasks || self.actions.len() > self.bounds.actions)
            && self.level < SPARSEST
        {
            self.thin_out();
        }
    }

    /// Keeps half of the tasks.
    fn thin_out(&mut self) {
        self.level += 1;
        let level = self.level;
        self.tasks.retain(|digest, _| is_at(level, digest));
        self.actions.retain(|_, action| is_at(level, &action.task));
    }

    fn is_kept(&self, digest: &Digest) -> bool {
        is_at(self.level, digest)
    }

    /// The patterns, the most frequent first, at most `limit`.
    ///
    /// `flagged` has the rules by which actions were found worth a look.
    ///
    /// # Errors
    /// Whatever `naming` fails with.
    pub fn tell<N: Naming>(
        self,
        limit: usize,
        naming: &mut N,
        flagged: &BTreeMap<RecordId, Vec<String>>,
    ) -> Result<PatternList, N::Error> {
        tell::tell(self, limit, naming, flagged)
    }
}

/// Whether a task is among one in two to the power of `level`.
fn is_at(level: u32, digest: &Digest) -> bool {
    let [a, b, c, d, ..] = *digest;
    u32::from_le_bytes([a, b, c, d]).trailing_zeros() >= level
}

fn task_of(rec: &Skeleton<'_>) -> Digest {
    // A tenant has no such name.
    let of = |sort: &str, name: &str| CredentialKey::of(&format!("{}\0{sort}", rec.tenant), name).to_bytes();
    match (rec.trace_id, rec.task.as_deref()) {
        (Some(trace), _) => of("trace", &trace.to_string()),
        (None, Some(task)) => of("task", task),
        (None, None) => of("action", &rec.id.to_string()),
    }
}

/// Whoever did something, as sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Actor {
    account: Option<Account>,
    kind: PrincipalType,
}
