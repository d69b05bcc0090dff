//! Reading, within a bound, every record that may bear on one action.
//!
//! Gathering is generous and judges nothing beyond what it needs to know where to look next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
    sync::Arc,
};

use deed_identity::Coverage;
use deed_record::{Account, Basis, Credential, Kind, RecordId, Ruling, Skeleton, Timestamp, TraceId};

mod above;
mod before;
mod beside;
mod calls;
mod counterpart;
mod denied;
mod entitled;
mod place;
mod session;
mod spans;
mod task;
mod tool;

pub(crate) use above::may_inherit;
pub(crate) use beside::{CALL, SKEW};
pub(crate) use calls::{may_be_eluded, may_elude};
pub(crate) use counterpart::{Search, may_be_seen};
pub(crate) use denied::{WITHIN, gave_itself, gives_to};
pub(crate) use task::says;
pub(crate) use tool::is_definition;

use entitled::Entitled;

use crate::{
    Controlled, Declared, Evidence, ExplainError, Found,
    case::{Beside, Case, Counterpart, Rec, Shelf, Standing, corrects},
    claim::Claim,
};

/// Most records that are read about one action.
pub const MOST_RECORDS: usize = 2000;

/// Most records that one look-up may bring; more, and the answer says that it was cut.
pub const MOST_NAMING: usize = 256;

/// How far up credentials that were derived from one another are followed.
const MOST_PARENTS: usize = 8;

/// Grants and requests that are followed.
const MOST_RIGHTS: usize = 32;

/// Later actions that undid an action or tried it again, as far as they are looked for.
const MOST_LATER: usize = 32;

/// Names that one credential can go by, and corrections of one event, that are followed.
const MOST_ALIKE: usize = 8;

/// Gathers what bears on the action that record `id` belongs to; `None` where there is no such record.
pub(crate) fn gather<'c, E: Evidence>(
    evidence: &E,
    shelf: &'c Shelf,
    id: RecordId,
) -> Result<Option<Case<'c>>, ExplainError<E::Error>> {
    gather_with(evidence, shelf, id, true)
}

/// The same of what one system says of it, without what others logged of the same call.
pub(crate) fn gather_alone<'c, E: Evidence>(
    evidence: &E,
    shelf: &'c Shelf,
    id: RecordId,
) -> Result<Option<Case<'c>>, ExplainError<E::Error>> {
    gather_with(evidence, shelf, id, false)
}

fn gather_with<'c, E: Evidence>(
    evidence: &E,
    shelf: &'c Shelf,
    id: RecordId,
    others: bool,
) -> Result<Option<Case<'c>>, ExplainError<E::Error>> {
    let mut reader = Reader::new(evidence, shelf);
    let Some(asked) = reader.get(id)? else {
        return Ok(None);
    };
    let action = reader.action_of(asked)?;
    let mut family = reader.family(action)?;
    if others {
        reader.counterparts(&mut family)?;
    }
    let credentials = reader.credentials(&family)?;
    let entitled = reader.rights(&family)?;
    reader.named(&family)?;
    reader.later(&family)?;
    let above = above::look(&mut reader, &family)?;
    let declared = reader.declared()?;
    let controlled = reader.controlled(&family)?;
    let complete = reader.complete()?;
    let mut beside = beside::look(&mut reader, &family, &declared)?;
    (beside.rights, beside.rights_cut) = (entitled.covering, entitled.cut);
    beside.rights_open = entitled.open;
    beside.above = above;
    beside.session = session::look(&mut reader, &family, &credentials)?;
    let of_task = task::look(&mut reader, &family)?;
    (beside.tasks, beside.passed) = (of_task.tasks, of_task.passed);
    beside.denied = denied::look(&mut reader, &family, &credentials)?;
    if beside.denied.is_none() {
        beside.likely_denied = calls::denied(&mut reader, &family)?;
    }
    beside.held_tool = tool::look(&mut reader, &family)?;
    beside.first_seen = before::look(&mut reader, &family)?;
    Ok(Some(reader.into_case(family, credentials, declared, controlled, complete, beside)))
}

struct Reader<'c, 'e, E> {
    evidence: &'e E,
    shelf: &'c Shelf,
    /// That of the first record read; no other tenant's records are kept.
    tenant: Option<String>,
    records: Vec<Rec<'c>>,
    /// Where in `records` a leaf is; `None` for one of another tenant.
    leaves: HashMap<(Arc<str>, u64), Option<usize>>,
    ids: HashMap<RecordId, usize>,
    /// What `by_ref` gave of the ids that were asked for.
    asked: BTreeMap<RecordId, Vec<usize>>,
    /// What was read last of a trace.
    trace: Option<(TraceId, Rc<[Found]>)>,
    /// Records that issued the credential which was used.
    issued: BTreeSet<usize>,
    absent: BTreeSet<RecordId>,
    cut: BTreeSet<&'static str>,
}

/// The ids that an action goes by.
struct Family {
    head: RecordId,
    /// Own ids, those of corrected readings, and those of records that belong to it.
    ids: BTreeSet<RecordId>,
    superseded: BTreeSet<RecordId>,
    /// Ids of what other systems logged of the same call.
    told: BTreeSet<RecordId>,
    /// Those among them that tell of a part of it.
    parts: BTreeSet<RecordId>,
    counterparts: Vec<Counterpart>,
}

impl<'c, 'e, E: Evidence> Reader<'c, 'e, E> {
    fn new(evidence: &'e E, shelf: &'c Shelf) -> Self {
        Reader {
            evidence,
            shelf,
            tenant: None,
            records: Vec::new(),
            leaves: HashMap::new(),
            ids: HashMap::new(),
            asked: BTreeMap::new(),
            trace: None,
            issued: BTreeSet::new(),
            absent: BTreeSet::new(),
            cut: BTreeSet::new(),
        }
    }

    /// The records of `trace`, read once for all who look into it; as many as [`counterpart::MOST_IN_TRACE`] may be cut.
    fn in_trace(&mut self, trace: TraceId) -> Result<Rc<[Found]>, ExplainError<E::Error>> {
        if let Some((_, found)) = self.trace.as_ref().filter(|(known, _)| *known == trace) {
            return Ok(found.clone());
        }
        let found =
            self.evidence.by_trace(trace, counterpart::MOST_IN_TRACE).map_err(ExplainError::Evidence)?;
        let found: Rc<[Found]> = found.into();
        self.trace = Some((trace, found.clone()));
        Ok(found)
    }

    /// The action that record `asked` belongs to.
    fn action_of(&mut self, asked: usize) -> Result<usize, ExplainError<E::Error>> {
        let mut at = asked;
        let mut seen = BTreeSet::new();
        while let Some(up) = self.records[at].is.action {
            seen.insert(self.records[at].is.id);
            match self.get(up)? {
                // Records that name each other in a circle: the same one for every one of them.
                Some(next) if seen.contains(&self.records[next].is.id) => {
                    return Ok(seen.first().and_then(|id| self.ids.get(id)).copied().unwrap_or(at));
                }
                Some(next) if self.records[next].is.kind.is_action() => at = next,
                _ => break,
            }
        }
        let rec = &self.records[at].is;
        if rec.kind.is_action() {
            return Ok(at);
        }
        let asked = &self.records[asked].is;
        Err(ExplainError::NoAction { id: asked.id, kind: asked.kind, names: asked.action })
    }

    /// Every id that the action goes by, and the reading of it that stands.
    fn family(&mut self, action: usize) -> Result<Family, ExplainError<E::Error>> {
        let mut own = BTreeSet::from([self.records[action].is.id]);
        // Down to the first reading of the event.
        let mut at = action;
        while let Some(earlier) = self.records[at].is.supersedes
            && own.len() < MOST_ALIKE
            && let Some(earlier) = self.get(earlier)?
            && corrects(&self.records[at].is, &self.records[earlier].is)
            && own.insert(self.records[earlier].is.id)
        {
            at = earlier;
        }
        // Up to every later one, and to what belongs to any of them.
        let mut ids = own.clone();
        let mut todo: Vec<RecordId> = own.iter().copied().collect();
        while let Some(id) = todo.pop() {
            if ids.len() > MOST_NAMING {
                self.cut.insert("records that belong to this action");
                break;
            }
            for naming in self.naming(id, "records that name this action")? {
                let rec = &self.records[naming].is;
                if rec.supersedes == Some(id) && own.contains(&id) && self.is_correction(rec) {
                    own.insert(rec.id);
                } else if rec.action != Some(id) || !rec.kind.is_action() || rec.kind == Kind::Outcome {
                    continue;
                }
                if ids.insert(rec.id) {
                    todo.push(rec.id);
                }
            }
        }
        let corrected = self.records.iter().map(|rec| &rec.is).filter(|rec| self.is_correction(rec));
        let mut superseded: BTreeSet<RecordId> = corrected.filter_map(|rec| rec.supersedes).collect();
        // Of two corrections of one reading the newer mapping stands, whichever came first.
        let standing = own.iter().filter_map(|id| self.ids.get(id)).map(|at| &self.records[*at].is);
        let head = standing.max_by_key(|rec| (!superseded.contains(&rec.id), mapping_version(rec), rec.id));
        let head = head.map_or(self.records[action].is.id, |rec| rec.id);
        superseded.extend(own);
        superseded.remove(&head);
        let (told, parts) = (BTreeSet::new(), BTreeSet::new());
        Ok(Family { head, ids, superseded, told, parts, counterparts: Vec::new() })
    }

    /// Takes in what other systems logged of the same call. Where `family` is such a record itself, it becomes that of
    /// the call which Deed let through.
    fn counterparts(&mut self, family: &mut Family) -> Result<(), ExplainError<E::Error>> {
        let Some(head) = self.head(family).cloned() else {
            return Ok(());
        };
        let mut search = Search::new(self.evidence);
        let intent = if head.kind == Kind::Intent {
            Some(head)
        } else {
            let counterparts = search.call(&head)?;
            family.counterparts = counterparts.told;
            let call =
                counterparts.joined.into_iter().next().map(|(_, found)| self.keep(found)).transpose()?;
            let Some(call) = call.flatten() else { return Ok(()) };
            *family = self.family(call)?;
            Some(self.records[call].is.clone())
        };
        let Some(intent) = intent.filter(|intent| intent.basis == Basis::Enforced) else { return Ok(()) };
        let counterparts = search.sightings(&intent)?;
        family.counterparts = counterparts.told;
        for (standing, found) in counterparts.joined {
            let Some(seen) = self.keep(found)? else { continue };
            let theirs = self.family(seen)?;
            family.parts.extend(theirs.ids.iter().filter(|_| standing == Standing::Part));
            family.told.extend(theirs.ids);
            family.superseded.extend(theirs.superseded);
        }
        Ok(())
    }

    /// Whether `later` may correct the record that it says it supersedes.
    fn is_correction(&self, later: &Skeleton<'_>) -> bool {
        let earlier = later.supersedes.and_then(|id| self.ids.get(&id)).map(|at| &self.records[*at].is);
        earlier.is_some_and(|earlier| corrects(later, earlier))
    }

    /// Records that change the credential that was used, the one it was derived from, and so on up.
    fn credentials(&mut self, family: &Family) -> Result<Vec<BTreeSet<String>>, ExplainError<E::Error>> {
        let used = self
            .of_action(family)
            .into_iter()
            .filter_map(|at| self.records[at].is.credential.as_ref())
            .find(|credential| credential.names().next().is_some());
        let Some(used) = used else {
            return Ok(Vec::new());
        };
        let mut names: BTreeSet<String> = used.names().map(str::to_owned).collect();
        let mut parent = used.parent.as_ref().map(|name| name.to_string());
        let mut levels: Vec<BTreeSet<String>> = Vec::new();
        while !names.is_empty() && levels.len() < MOST_PARENTS {
            let mut todo: Vec<String> = names.iter().cloned().collect();
            let mut asked = BTreeSet::new();
            while let Some(name) = todo.pop() {
                if asked.len() == MOST_ALIKE || !asked.insert(name.clone()) {
                    continue;
                }
                let tenant = self.tenant.as_deref().unwrap_or_default();
                let found = self
                    .evidence
                    .by_credential(tenant, &name, MOST_NAMING)
                    .map_err(ExplainError::Evidence)?;
                for at in self.keep_all(found, "records that change the credential")? {
                    let claims =
                        self.records[at].claims(Kind::Credential).filter_map(|claim| claim.credential);
                    for known_as in claims
                        .filter(|credential| credential.names().any(|n| n == name))
                        .flat_map(Credential::names)
                    {
                        if names.len() < MOST_ALIKE && names.insert(known_as.to_owned()) {
                            todo.push(known_as.to_owned());
                        }
                    }
                }
            }
            let (issued, above) = self.issued(&names);
            if levels.is_empty() {
                self.issued.extend(issued);
            }
            // What the issuer says goes before what the user of the credential says.
            let said = parent.take().map(|name| BTreeSet::from([name])).unwrap_or_default();
            let mut above = if above.is_empty() { said } else { above };
            levels.push(names);
            // Credentials that were derived from each other in a circle are followed once.
            above.retain(|name| !levels.iter().any(|level| level.contains(name)));
            names = above;
        }
        if !names.is_empty() {
            self.cut.insert("credentials that this one was derived from");
        }
        Ok(levels)
    }

    /// Records that issued the credential of these names, and the names of what it was derived from, by
    /// the weightiest of them that says so.
    fn issued(&self, names: &BTreeSet<String>) -> (Vec<usize>, BTreeSet<String>) {
        let mut issued: Vec<(usize, Claim<'_>)> = Vec::new();
        for (at, rec) in self.records.iter().enumerate() {
            let claims = rec.claims(Kind::Credential).filter(Claim::issues);
            issued.extend(
                claims
                    .filter(|claim| claim.credential.is_some_and(|c| c.names().any(|n| names.contains(n))))
                    .map(|claim| (at, claim)),
            );
        }
        // Whoever says what it was derived from knows better than who only says with what it was asked for.
        let unsaid =
            |claim: &Claim<'_>| claim.credential.is_none_or(|credential| credential.parent.is_none());
        issued.sort_by_key(|(_, claim)| (!claim.rec.firm(), unsaid(claim), claim.rec.weight()));
        let above = issued.iter().find_map(|(_, claim)| parent_of(claim, names)).unwrap_or_default();
        (issued.into_iter().map(|(at, _)| at).collect(), above)
    }

    /// Grants, requests and approvals that the action relies on, and what became of them. Where no record names a grant,
    /// those that whoever acted held, and that cover it.
    fn rights(&mut self, family: &Family) -> Result<Entitled, ExplainError<E::Error>> {
        let mut relying = self.of_action(family);
        relying.extend(self.issued.iter().copied());
        relying.extend(family.told.iter().filter_map(|id| self.ids.get(id)));
        let mut grants: BTreeSet<RecordId> =
            relying.iter().filter_map(|at| self.records[*at].is.grant).collect();
        grants.extend(
            relying
                .iter()
                .map(|at| &self.records[*at])
                .filter(|rec| rec.claims(Kind::Grant).next().is_some())
                .map(|rec| rec.is.id),
        );
        let mut requests: BTreeSet<RecordId> =
            relying.iter().filter_map(|at| self.records[*at].is.request).collect();
        self.follow(&mut grants, &mut requests)?;
        let mut entitled = entitled::look(self, family)?;
        if grants.is_empty() {
            self.follow(&mut entitled.covering.clone(), &mut requests)?;
        } else {
            entitled.covering.clear();
        }
        Ok(entitled)
    }

    /// From grants to their requests, and from requests to their grants.
    fn follow(
        &mut self,
        grants: &mut BTreeSet<RecordId>,
        requests: &mut BTreeSet<RecordId>,
    ) -> Result<(), ExplainError<E::Error>> {
        // Each is asked once.
        loop {
            let before = grants.len() + requests.len();
            for grant in grants.clone() {
                let Some(at) = self.get(grant)? else { continue };
                requests.extend(self.records[at].is.request);
                self.naming(grant, "records that name the grant")?;
            }
            for request in requests.clone() {
                // Its answers tell even where the request itself is not here.
                self.get(request)?;
                for at in self.naming(request, "records that name the request")? {
                    let rec = &self.records[at];
                    if rec.is.request == Some(request) && rec.claims(Kind::Grant).next().is_some() {
                        grants.insert(rec.is.id);
                    }
                }
            }
            let after = grants.len() + requests.len();
            if after > MOST_RIGHTS {
                self.cut.insert("grants and requests that may bear on this action");
                return Ok(());
            }
            if after == before {
                return Ok(());
            }
        }
    }

    /// Records that the action, its rights and its chain name by id.
    fn named(&mut self, family: &Family) -> Result<(), ExplainError<E::Error>> {
        let mut named: BTreeSet<RecordId> = BTreeSet::new();
        for rec in &self.records {
            let bears = rec.is.kind != Kind::Approval && !family.superseded.contains(&rec.is.id);
            named.extend(rec.is.approvals.iter().flatten().filter(|_| bears));
        }
        for at in self.of_action(family) {
            let rec = &self.records[at].is;
            named.extend(rec.chain.iter().flatten().filter_map(|hop| hop.delegation));
            named.extend(rec.exception);
            named.extend(rec.conflicts_with);
        }
        for id in named {
            self.get(id)?;
        }
        Ok(())
    }

    /// Ends of actions that undid this one, or tried it again. They tell what became of it and decide nothing:
    /// that there may be more is no gap in the answer.
    fn later(&mut self, family: &Family) -> Result<(), ExplainError<E::Error>> {
        let own = std::iter::once(family.head).chain(family.superseded.iter().copied());
        for id in own.take(MOST_ALIKE).collect::<Vec<_>>() {
            for found in self.evidence.by_redoing(id, MOST_LATER).map_err(ExplainError::Evidence)? {
                if !self.shelf.is_full() {
                    self.keep(found)?;
                }
            }
        }
        Ok(())
    }

    /// Whom the inventory knows by the accounts in these records.
    fn declared(&self) -> Result<BTreeMap<Account, Declared>, ExplainError<E::Error>> {
        let tenant = self.tenant.as_deref().unwrap_or_default();
        let accounts: BTreeSet<Account> =
            self.records.iter().flat_map(|rec| rec.is.parties()).filter_map(|party| party.account).collect();
        let mut declared = BTreeMap::new();
        for account in accounts {
            let known = self.evidence.declared(tenant, account).map_err(ExplainError::Evidence)?;
            declared.extend(known.map(|known| (account, known)));
        }
        Ok(declared)
    }

    /// What the inventory says of what was acted upon.
    fn controlled(&self, family: &Family) -> Result<Option<Controlled>, ExplainError<E::Error>> {
        let Some((head, uri)) = self.head(family).and_then(|head| Some((head, head.acted_upon()?))) else {
            return Ok(None);
        };
        self.evidence.controlled(&head.tenant, &uri).map_err(ExplainError::Evidence)
    }

    /// Systems whose silence proves something.
    fn complete(&self) -> Result<BTreeMap<Coverage, Vec<String>>, ExplainError<E::Error>> {
        let asked = [Coverage::Grants, Coverage::Approvals].into_iter().map(|coverage| {
            Ok((coverage, self.evidence.complete_for(coverage).map_err(ExplainError::Evidence)?))
        });
        asked.collect()
    }

    fn into_case(
        mut self,
        family: Family,
        credentials: Vec<BTreeSet<String>>,
        declared: BTreeMap<Account, Declared>,
        controlled: Option<Controlled>,
        complete: BTreeMap<Coverage, Vec<String>>,
        beside: Beside,
    ) -> Case<'c> {
        let released = self.released(&family);
        self.records.sort_by_key(|rec| (rec.is.time, rec.is.id));
        Case {
            released,
            records: self.records,
            head: family.head,
            family: family.ids,
            superseded: family.superseded,
            told: family.told,
            parts: family.parts,
            counterparts: family.counterparts,
            credentials,
            declared,
            controlled,
            complete,
            beside,
            absent: self.absent,
            cut: self.cut,
        }
    }

    /// The head and the records that belong to the action, the head first, the others by time.
    fn of_action(&self, family: &Family) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.records.len())
            .filter(|at| {
                let rec = &self.records[*at].is;
                rec.id == family.head
                    || rec.kind.is_action()
                        && rec.action.is_some_and(|id| family.ids.contains(&id))
                        && !family.superseded.contains(&rec.id)
            })
            .collect();
        all.sort_by_key(|at| {
            let rec = &self.records[*at].is;
            (rec.id != family.head, rec.time, rec.id)
        });
        all
    }

    /// When Deed let the action go on that it had held back until a human answered; `None` of any other.
    fn released(&self, family: &Family) -> Option<Timestamp> {
        let decided = |rec: &Skeleton<'_>| rec.decision.as_ref().map(|decision| decision.effect);
        let held =
            |head: &&Skeleton<'_>| head.basis == Basis::Enforced && decided(head) == Some(Ruling::StepUp);
        let head = self.head(family).filter(held)?;
        let again = self.of_action(family).into_iter().map(|at| &self.records[at].is);
        let again =
            again.filter(|rec| rec.id != head.id && rec.basis == Basis::Enforced && rec.decision.is_some());
        let last = again.max_by_key(|rec| (rec.time, rec.id))?;
        (decided(last) == Some(Ruling::Allow)).then_some(last.time)
    }

    /// The record that the answer is about, where it was kept.
    fn head(&self, family: &Family) -> Option<&Skeleton<'c>> {
        self.ids.get(&family.head).map(|at| &self.records[*at].is)
    }

    /// The record `id`, if it is of this tenant.
    fn get(&mut self, id: RecordId) -> Result<Option<usize>, ExplainError<E::Error>> {
        if let Some(at) = self.ids.get(&id) {
            return Ok(Some(*at));
        }
        if self.absent.contains(&id) {
            return Ok(None);
        }
        let kept = match self.evidence.by_id(id).map_err(ExplainError::Evidence)? {
            Some(found) => self.keep(found)?,
            None => None,
        };
        if kept.is_none() && !self.shelf.is_full() {
            self.absent.insert(id);
        }
        Ok(kept)
    }

    /// Records that name `id`; `what` says in plural what they are, should they be too many.
    fn naming(&mut self, id: RecordId, what: &'static str) -> Result<Vec<usize>, ExplainError<E::Error>> {
        if let Some(asked) = self.asked.get(&id) {
            return Ok(asked.clone());
        }
        if self.shelf.is_full() {
            return Ok(Vec::new());
        }
        let found = self.evidence.by_ref(id, MOST_NAMING).map_err(ExplainError::Evidence)?;
        let kept = self.keep_all(found, what)?;
        self.asked.insert(id, kept.clone());
        Ok(kept)
    }

    fn keep_all(
        &mut self,
        found: Vec<Found>,
        what: &'static str,
    ) -> Result<Vec<usize>, ExplainError<E::Error>> {
        if found.len() >= MOST_NAMING {
            self.cut.insert(what);
        }
        let mut kept = Vec::with_capacity(found.len());
        for found in found {
            kept.extend(self.keep(found)?);
        }
        Ok(kept)
    }

    /// Parses and keeps a record, once; `None` where it is another tenant's or there is no room.
    fn keep(&mut self, found: Found) -> Result<Option<usize>, ExplainError<E::Error>> {
        let leaf = (found.log.clone(), found.sealed.index);
        if let Some(known) = self.leaves.get(&leaf) {
            return Ok(*known);
        }
        let Some(found) = self.shelf.keep(found) else {
            self.cut.insert("records that bear on this action");
            return Ok(None);
        };
        let rec = Rec::read(found)?;
        let tenant = self.tenant.get_or_insert_with(|| rec.is.tenant.to_string());
        let kept = (*rec.is.tenant == **tenant).then_some(self.records.len());
        if kept.is_some() {
            self.ids.insert(rec.is.id, self.records.len());
            self.records.push(rec);
        }
        self.leaves.insert(leaf, kept);
        Ok(kept)
    }
}

/// The number at the end of the collector's name, `cloudtrail/2`.
fn mapping_version(rec: &Skeleton<'_>) -> u64 {
    let collector = rec.source.as_ref().and_then(|source| source.collector.as_deref());
    collector.and_then(|name| name.rsplit('/').next()).and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Names of the credential from which the one called `names` was derived, as `issued` says.
fn parent_of(issued: &Claim<'_>, names: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    if let Some(parent) = issued.credential.and_then(|credential| credential.parent.as_ref()) {
        return Some(BTreeSet::from([parent.to_string()]));
    }
    // Whoever calls the issuer does so with a credential of its own.
    let calling: BTreeSet<String> =
        issued.rec.is.credential.iter().flat_map(Credential::names).map(str::to_owned).collect();
    (!calling.is_empty() && calling.is_disjoint(names)).then_some(calling)
}
