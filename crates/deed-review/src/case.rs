//! The records that bear on one action, each parsed once.

use std::{
    cell::{Cell, OnceCell},
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use deed_identity::Coverage;
use deed_record::{
    Account, Basis, Kind, Party, PrincipalType, RecordId, Skeleton, SpanId, Status, Timestamp,
};

use crate::{Controlled, Declared, ExplainError, Found};

/// The classification of what everybody may see.
pub(crate) const PUBLIC: &str = "public";

/// Everything that was gathered about one action, in the order of event time.
///
/// Only records of the action's tenant are in it.
pub(crate) struct Case<'c> {
    /// Sorted by time and id: judging never sees the order of arrival (D6).
    pub(crate) records: Vec<Rec<'c>>,
    /// The record that the answer is about: the last correction where there are some.
    pub(crate) head: RecordId,
    /// When Deed let it go on that had held it back until a human answered.
    pub(crate) released: Option<Timestamp>,
    /// Every id that the action goes by: its own and those of records corrected by or belonging to it.
    pub(crate) family: BTreeSet<RecordId>,
    /// Readings of the same event that were corrected since.
    pub(crate) superseded: BTreeSet<RecordId>,
    /// Names of the credential that was used, of the one it was derived from, and so on.
    pub(crate) credentials: Vec<BTreeSet<String>>,
    /// Whom the inventory knows by these accounts.
    pub(crate) declared: BTreeMap<Account, Declared>,
    /// What the inventory says of what was acted upon.
    pub(crate) controlled: Option<Controlled>,
    /// Systems whose log is declared complete.
    pub(crate) complete: BTreeMap<Coverage, Vec<String>>,
    /// Ids of what other systems logged of the same call.
    pub(crate) told: BTreeSet<RecordId>,
    /// Those among them that tell of a part of it.
    pub(crate) parts: BTreeSet<RecordId>,
    /// What may tell of the same call, what does among it, by time.
    pub(crate) counterparts: Vec<Counterpart>,
    /// What the log holds of the action beside what names it.
    pub(crate) beside: Beside,
    /// Ids that records name and that are not in the log.
    pub(crate) absent: BTreeSet<RecordId>,
    /// What was not read to its end.
    pub(crate) cut: BTreeSet<&'static str>,
}

impl<'c> Case<'c> {
    /// The record of that id.
    pub(crate) fn get(&self, id: RecordId) -> Option<&Rec<'c>> {
        self.records.iter().find(|rec| rec.is.id == id)
    }

    /// The record that the answer is about.
    #[expect(
        clippy::expect_used,
        reason = "gathering puts the head among the records and nothing removes one"
    )]
    pub(crate) fn head(&self) -> &Rec<'c> {
        self.get(self.head).expect("the head was gathered")
    }

    /// Whether both are the same somebody: the same account, or one by the inventory.
    pub(crate) fn is_same(&self, one: Account, other: Account) -> bool {
        let declared = |account| self.declared.get(&account).map(|declared| &*declared.key);
        one == other || declared(one).is_some() && declared(one) == declared(other)
    }

    /// Whom the inventory knows by the account of `party`.
    pub(crate) fn declared(&self, party: &Party<'_>) -> Option<&Declared> {
        self.declared.get(&party.account?)
    }

    /// What `party` is: what the inventory says goes before what records say.
    pub(crate) fn kind(&self, party: &Party<'_>) -> PrincipalType {
        let declared = self.declared(party).map(|declared| declared.kind);
        declared.filter(|kind| *kind != PrincipalType::Unknown).unwrap_or(party.kind)
    }

    /// The systems whose log is complete for `coverage`.
    pub(crate) fn complete(&self, coverage: Coverage) -> &[String] {
        self.complete.get(&coverage).map_or(&[], |systems| systems)
    }

    /// When the action happened: what waited for a human, when it was let go on. What it was done by has to hold then.
    pub(crate) fn time(&self) -> Timestamp {
        self.released.unwrap_or(self.head().is.time)
    }

    /// Records that belong to the action, the head first, without readings that were corrected.
    pub(crate) fn of_action(&self) -> impl Iterator<Item = &Rec<'c>> {
        let others = self.records.iter().filter(|rec| {
            rec.is.id != self.head
                && rec.is.kind.is_action()
                && rec.is.action.is_some_and(|id| self.family.contains(&id))
                && !self.superseded.contains(&rec.is.id)
        });
        std::iter::once(self.head()).chain(others)
    }

    /// Whether `rec` is what another system logged of the same call.
    pub(crate) fn is_told(&self, rec: &Rec<'_>) -> bool {
        let told = |id: &RecordId| self.told.contains(id);
        told(&rec.is.id) || rec.is.kind.is_action() && rec.is.action.as_ref().is_some_and(told)
    }

    /// Whether `rec` is what another system logged of a part of the call: what became of it became not of the whole.
    pub(crate) fn is_of_part(&self, rec: &Rec<'_>) -> bool {
        let part = |id: &RecordId| self.parts.contains(id);
        part(&rec.is.id) || rec.is.kind.is_action() && rec.is.action.as_ref().is_some_and(part)
    }

    /// What other systems logged of the same call, by time, without readings that were corrected.
    pub(crate) fn told(&self) -> impl Iterator<Item = &Rec<'c>> {
        self.records.iter().filter(|rec| self.is_told(rec) && !self.superseded.contains(&rec.is.id))
    }
}

/// A record that may tell of the same call as the action's own: another system's of a call that Deed let through, or
/// Deed's of what another system logged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Counterpart {
    pub(crate) record: RecordId,
    pub(crate) kind: Kind,
    pub(crate) time: Timestamp,
    /// Whose word it is.
    pub(crate) system: String,
    pub(crate) operation: Option<String>,
    pub(crate) resource: Option<String>,
    pub(crate) status: Option<Status>,
    pub(crate) tie: Tie,
    pub(crate) standing: Standing,
}

/// What ties two records of one call, the weakest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Tie {
    /// The same credential, operation and resource, within minutes.
    Alike,
    /// The token that Deed showed, or what was made with it.
    Token,
    /// The same, and the name of what was called.
    TokenAndName,
    /// The trace, and the call's own span.
    Span,
}

/// What a counterpart comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Both are one action.
    Joined,
    /// It is one of several parts of the call.
    Part,
    /// Nothing else fits, and what ties them is no proof.
    Likely,
    /// So many fit equally well.
    Ambiguous(usize),
}

impl Standing {
    /// Whether it is one action with the other.
    pub(crate) fn is_joined(self) -> bool {
        matches!(self, Standing::Joined | Standing::Part)
    }
}

/// Records that are found beside an action, by what they have in common with it.
#[derive(Default)]
pub(crate) struct Beside {
    /// Of a governed principal's action that another system logged: intents at the gateway that fit it.
    pub(crate) intents: BTreeSet<RecordId>,
    /// Where none fits: a call of theirs that it may be of, though nothing can tell.
    pub(crate) possible: PossibleCall,
    /// Tasks that it is part of, of those that say what they mean to do.
    pub(crate) tasks: BTreeSet<RecordId>,
    /// The spans above it by which that is known.
    pub(crate) passed: BTreeSet<SpanId>,
    /// What whoever acted had been denied before, and did on another way.
    pub(crate) denied: Option<RecordId>,
    /// Where nothing shows that: a call they had been denied shortly before, which may have been of the same.
    pub(crate) likely_denied: LikelyDenied,
    /// What gave whoever acted a right that covers it, where no record names one.
    pub(crate) rights: BTreeSet<RecordId>,
    /// Rights of whoever acted were too many to read all.
    pub(crate) rights_cut: bool,
    /// A right was given on what was acted upon, and no record says to whom.
    pub(crate) rights_open: bool,
    /// The definition of the tool that was called, where it waited to be approved.
    pub(crate) held_tool: Option<RecordId>,
    /// Of a credential that was rotated: the first record of the secret that was used.
    pub(crate) first_seen: Option<RecordId>,
    /// Of an action that names nobody who asked: who may have, further up in its trace.
    pub(crate) above: Above,
    /// What else was done in its session and names who asked, the nearest in time of each who is named.
    pub(crate) session: Vec<RecordId>,
    /// There were too many to look at all of them.
    pub(crate) cut: bool,
}

/// A call at the gateway that an action which another system logged may be of, by its time alone.
#[derive(Clone, Copy, Default)]
pub(crate) struct PossibleCall {
    /// The nearest that was under way.
    pub(crate) call: Option<RecordId>,
    /// Nothing tells that it has ended: once that is told, it may prove to have ended before.
    pub(crate) open: bool,
    /// There were more calls than are looked at.
    pub(crate) cut: bool,
}

/// A call that was denied shortly before an action of the same principal, and may have been of the same.
#[derive(Clone, Copy, Default)]
pub(crate) struct LikelyDenied {
    pub(crate) call: Option<RecordId>,
    /// The action may be of this call instead, which was let through.
    pub(crate) unless: PossibleCall,
}

impl Beside {
    /// The call that it may be of, as long as nothing tells that one has ended.
    pub(crate) fn waits_for(&self) -> Option<RecordId> {
        let possible = [self.possible, self.likely_denied.unless];
        possible.into_iter().filter(|possible| possible.open).find_map(|possible| possible.call)
    }
}

impl PossibleCall {
    /// Whether there is one, or may be.
    pub(crate) fn is_any(self) -> bool {
        self.call.is_some() || self.cut
    }
}

/// Spans above an action in its trace.
#[derive(Default)]
pub(crate) struct Above {
    /// Records of the nearest one that names who asked.
    pub(crate) asking: BTreeSet<RecordId>,
    /// One record of each span between that and the action.
    pub(crate) between: BTreeSet<RecordId>,
    /// There are more records in the trace, or spans above the action, than are read.
    pub(crate) cut: bool,
}

/// A record and what it says.
pub(crate) struct Rec<'c> {
    pub(crate) found: &'c Found,
    pub(crate) is: Skeleton<'c>,
}

impl<'c> Rec<'c> {
    /// Reads a record.
    pub(crate) fn read<E>(found: &'c Found) -> Result<Self, ExplainError<E>> {
        let is = found.sealed.skeleton().map_err(|error| ExplainError::Unreadable {
            log: found.log.clone(),
            index: found.sealed.index,
            error,
        })?;
        Ok(Rec { found, is })
    }

    /// The system whose word this is: the source of an imported record, else whoever sent it.
    pub(crate) fn voice(&self) -> &str {
        voice_of(&self.is)
    }

    /// Whose word it is, for people.
    pub(crate) fn said_by(&self) -> String {
        match self.is.basis {
            Basis::Enforced => "Deed".to_owned(),
            Basis::Imported => self.voice().to_owned(),
            Basis::Reported => format!("reported by {}", self.voice()),
        }
    }

    /// Whether it is more than the word of a party: what another system logged, or Deed enforced.
    pub(crate) fn firm(&self) -> bool {
        self.is.basis != Basis::Reported
    }

    /// What sorts records when one of several must be chosen: firm ones first, then the newest.
    pub(crate) fn weight(&self) -> (bool, Reverse<Timestamp>, RecordId) {
        (!self.firm(), Reverse(self.is.time), self.is.id)
    }
}

/// The system whose word `rec` is: the source of an imported record, else whoever sent it.
pub(crate) fn voice_of<'r>(rec: &'r Skeleton<'_>) -> &'r str {
    match (&rec.source, rec.basis) {
        (Some(source), Basis::Imported) => &source.system,
        _ => &rec.submitter,
    }
}

/// Whether `later` may correct `earlier`: another reading of the same event of the same source, or the
/// same sender's word. Nothing corrects what Deed enforced.
pub fn corrects(later: &Skeleton<'_>, earlier: &Skeleton<'_>) -> bool {
    if later.tenant != earlier.tenant || later.kind != earlier.kind || later.basis != earlier.basis {
        return false;
    }
    match (later.basis, &later.source, &earlier.source) {
        (Basis::Imported, Some(later), Some(earlier)) => {
            later.system == earlier.system && later.event_id == earlier.event_id
        }
        (Basis::Reported, _, _) => later.submitter == earlier.submitter,
        _ => false,
    }
}

/// Where gathered records lie while they are parsed in place. Its length is the bound of a gathering.
pub(crate) struct Shelf {
    slots: Box<[OnceCell<Found>]>,
    used: Cell<usize>,
}

impl Shelf {
    /// Room for `most` records.
    pub(crate) fn new(most: usize) -> Self {
        Shelf { slots: (0..most).map(|_| OnceCell::new()).collect(), used: Cell::new(0) }
    }

    /// Whether there is no room left.
    pub(crate) fn is_full(&self) -> bool {
        self.used.get() == self.slots.len()
    }

    /// Keeps a record; `None` when there is no room left.
    pub(crate) fn keep(&self, found: Found) -> Option<&Found> {
        let slot = self.slots.get(self.used.get())?;
        self.used.set(self.used.get() + 1);
        Some(slot.get_or_init(|| found))
    }
}
