//! Walking from a right to what was done with it.
//!
//! Where a record names the one before it, that is its word. Where only a credential's name joins them, or an action was
//! done by whom a grant was given to, in its time and within it, that is `inferred`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, VecDeque},
};

use deed_record::{Account, Basis, Credential, Kind, RecordId};

use super::{Beginning, Came, LedTo, MOST_WALKED};
use crate::{
    Evidence, ExplainError, Found,
    case::Rec,
    claim::{Claim, subject},
    gather::{MOST_NAMING, Search},
    held::{Held, given_by},
    names::Names,
    scope::Bearing,
    words::Edge,
};

/// How far credentials that were derived from one another are followed.
const MOST_DERIVED: usize = 64;

/// What came of record `id`; `None` where there is no such record.
///
/// # Errors
/// The evidence cannot be read.
pub fn led_to<E: Evidence>(evidence: &E, id: RecordId) -> Result<Option<LedTo>, ExplainError<E::Error>> {
    let Some(found) = evidence.by_id(id).map_err(ExplainError::Evidence)? else { return Ok(None) };
    let rec = Rec::read(&found)?;
    let names = Names::of(evidence, [&rec])?;
    let asked = Beginning {
        id,
        kind: rec.is.kind,
        time: rec.is.time,
        tenant: rec.is.tenant.to_string(),
        what: what(&rec),
        who: who(&rec, &names),
    };
    let mut walk = Walk {
        evidence,
        tenant: asked.tenant.clone(),
        search: Search::new(evidence),
        came: BTreeMap::new(),
        rights: BTreeSet::new(),
        credentials: BTreeSet::new(),
        todo: VecDeque::new(),
        read: 0,
        complete: true,
    };
    let request = walk.begin(&rec);
    walk.go()?;
    walk.came.remove(&id);
    let mut led = LedTo {
        record: asked,
        request,
        approvals: Vec::new(),
        grants: Vec::new(),
        credentials: Vec::new(),
        actions: Vec::new(),
        complete: walk.complete,
    };
    let mut came: Vec<(Sort, Came)> = walk.came.into_values().collect();
    came.sort_by_key(|(_, came)| (came.time, came.id));
    for (sort, came) in came {
        match sort {
            Sort::Approval => led.approvals.push(came),
            Sort::Grant => led.grants.push(came),
            Sort::Credential => led.credentials.push(came),
            Sort::Action => led.actions.push(came),
        }
    }
    Ok(Some(led))
}

/// What a record is a step of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Action,
    Credential,
    Grant,
    Approval,
}

/// Where to look next.
enum Next {
    /// Whatever names this record: a request, an approval or a grant.
    Named(RecordId),
    /// Whatever the credential of that name was used for, and the record that tells of it.
    Used(String, RecordId),
    /// Whatever the receiver of a grant did in its time and within it.
    Within(RecordId, Account),
}

struct Walk<'e, E> {
    evidence: &'e E,
    tenant: String,
    search: Search<'e, E>,
    /// What came, the best known link of each.
    came: BTreeMap<RecordId, (Sort, Came)>,
    rights: BTreeSet<RecordId>,
    credentials: BTreeSet<String>,
    todo: VecDeque<Next>,
    read: usize,
    complete: bool,
}

impl<E: Evidence> Walk<'_, E> {
    /// Goes on from what was asked about; the request that it rests on, where that is another record.
    fn begin(&mut self, rec: &Rec<'_>) -> Option<RecordId> {
        self.onward(rec);
        let answers = rec.claims(Kind::Approval).next().is_some();
        let shared = rec.claims(Kind::Request).next().is_some();
        // What an answer allowed came of the request; other systems' events of a request share its id.
        let request = rec.is.request.filter(|_| answers || shared);
        request.into_iter().for_each(|request| self.right(request));
        rec.is.request
    }

    fn right(&mut self, id: RecordId) {
        if self.rights.insert(id) {
            self.todo.push_back(Next::Named(id));
        }
    }

    /// Where `rec` itself leads.
    fn onward(&mut self, rec: &Rec<'_>) {
        self.right(rec.is.id);
        let receivers: BTreeSet<Account> =
            rec.claims(Kind::Grant).filter_map(|claim| subject(&claim)).collect();
        self.todo.extend(receivers.into_iter().map(|account| Next::Within(rec.is.id, account)));
        let issued = rec.claims(Kind::Credential).filter(Claim::issues).filter_map(|claim| claim.credential);
        let names: Vec<String> = issued.flat_map(Credential::names).map(str::to_owned).collect();
        for name in names {
            if self.credentials.len() >= MOST_DERIVED {
                self.complete = false;
            } else if self.credentials.insert(name.clone()) {
                self.todo.push_back(Next::Used(name, rec.is.id));
            }
        }
    }

    fn go(&mut self) -> Result<(), ExplainError<E::Error>> {
        while let Some(next) = self.todo.pop_front() {
            if self.read >= MOST_WALKED {
                self.complete = false;
                return Ok(());
            }
            match next {
                Next::Named(id) => self.named(id)?,
                Next::Used(name, from) => self.used(&name, from)?,
                Next::Within(grant, account) => self.within(grant, account)?,
            }
        }
        Ok(())
    }

    fn named(&mut self, id: RecordId) -> Result<(), ExplainError<E::Error>> {
        let names = self.evidence.by_ref(id, MOST_NAMING).map_err(ExplainError::Evidence)?;
        let relies = self.evidence.by_redoing(id, MOST_NAMING).map_err(ExplainError::Evidence)?;
        for found in self.counted(names)?.into_iter().chain(self.counted(relies)?) {
            let rec = Rec::read(&found)?;
            let approvals = rec.is.approvals.iter().flatten().copied();
            let relied_on =
                [rec.is.request, rec.is.grant, rec.is.exception, rec.is.action].into_iter().flatten();
            if relied_on.chain(approvals).any(|named| named == id) {
                let edge = if rec.is.basis == Basis::Enforced { Edge::Proven } else { Edge::Asserted };
                self.take(&rec, edge, format!("it names {id}, {}", rec.said_by()), id)?;
            }
        }
        Ok(())
    }

    fn used(&mut self, name: &str, from: RecordId) -> Result<(), ExplainError<E::Error>> {
        let found = self.evidence.by_use(&self.tenant, name, MOST_NAMING).map_err(ExplainError::Evidence)?;
        for found in self.counted(found)? {
            let rec = Rec::read(&found)?;
            let of_it = |credential: &Credential<'_>| {
                let names = credential.names().chain(credential.upstream.as_deref());
                names.chain(credential.parent.as_deref()).any(|known| known == name)
            };
            let claims = || rec.claims(Kind::Credential).filter_map(|claim| claim.credential);
            let own = rec.is.kind != Kind::Credential && rec.is.credential.as_ref().is_some_and(of_it);
            let derived = claims().any(|made| made.parent.as_deref() == Some(name));
            if own || derived {
                let how = if derived { "derived from" } else { "done with" };
                self.take(&rec, Edge::Inferred, format!("{how} {name}, {}", rec.said_by()), from)?;
            }
        }
        Ok(())
    }

    fn within(&mut self, grant: RecordId, account: Account) -> Result<(), ExplainError<E::Error>> {
        let Some(given) = self.by_id(grant)? else { return Ok(()) };
        let given = Rec::read(&given)?;
        let told = self.evidence.by_entitled(account, MOST_NAMING).map_err(ExplainError::Evidence)?;
        let naming = self.evidence.by_ref(grant, MOST_NAMING).map_err(ExplainError::Evidence)?;
        let mut told = [self.counted(told)?, self.counted(naming)?].concat();
        if let Some(thing) = given.claims(Kind::Grant).find_map(|claim| given_by(&claim)) {
            let about = self.evidence.by_resource(&self.tenant, thing, MOST_NAMING);
            told.extend(self.counted(about.map_err(ExplainError::Evidence)?)?);
        }
        let told: Vec<Rec<'_>> = told.iter().map(Rec::read).collect::<Result<_, _>>()?;
        let claims = || told.iter().flat_map(|rec| rec.claims(Kind::Grant));
        let rights: Vec<Claim<'_>> =
            given.claims(Kind::Grant).filter(|claim| subject(claim) == Some(account)).collect();
        let found = self.evidence.by_executor(account, MOST_NAMING).map_err(ExplainError::Evidence)?;
        for found in self.counted(found)? {
            let rec = Rec::read(&found)?;
            let mut held = rights.iter().filter_map(|right| Held::at(rec.is.time, *right, claims()));
            let is_within = held.any(|held| held.bears(&rec.is) == Bearing::Covers);
            if rec.is.id != grant && rec.is.kind.is_action() && is_within {
                let how = "done by whom it was given to, in its time and within it".to_owned();
                self.take(&rec, Edge::Inferred, how, grant)?;
            }
        }
        Ok(())
    }

    /// The records of `found` that are of this tenant.
    fn counted(&mut self, found: Vec<Found>) -> Result<Vec<Found>, ExplainError<E::Error>> {
        self.complete &= found.len() < MOST_NAMING;
        self.read += found.len();
        let mut ours = Vec::with_capacity(found.len());
        for found in found {
            if *Rec::read(&found)?.is.tenant == *self.tenant {
                ours.push(found);
            }
        }
        Ok(ours)
    }

    /// Notes a record that came of `from`, and goes on from it.
    fn take(
        &mut self,
        rec: &Rec<'_>,
        edge: Edge,
        how: String,
        from: RecordId,
    ) -> Result<(), ExplainError<E::Error>> {
        let claims = |kind| rec.claims(kind).next().is_some();
        let sort = match rec.is.kind {
            _ if claims(Kind::Grant) => Sort::Grant,
            _ if claims(Kind::Approval) => Sort::Approval,
            _ if rec.claims(Kind::Credential).any(|claim| claim.issues()) => Sort::Credential,
            kind if kind.is_action() => Sort::Action,
            _ => return Ok(()),
        };
        self.onward(rec);
        if sort != Sort::Action {
            return self.note(sort, rec, edge, how, from);
        }
        // One call that two systems tell of is one action.
        let id = rec.is.action.unwrap_or(rec.is.id);
        let action = if id == rec.is.id { None } else { self.by_id(id)? };
        if let Some(action) = action {
            let action = Rec::read(&action)?;
            return self.note_action(&action, edge, how, from);
        }
        self.note_action(rec, edge, how, from)
    }

    fn note_action(
        &mut self,
        rec: &Rec<'_>,
        edge: Edge,
        how: String,
        from: RecordId,
    ) -> Result<(), ExplainError<E::Error>> {
        let call = self.search.call(&rec.is)?.joined.into_iter().next();
        match call {
            Some((_, found)) => self.note(Sort::Action, &Rec::read(&found)?, edge, how, from),
            None => self.note(Sort::Action, rec, edge, how, from),
        }
    }

    fn by_id(&self, id: RecordId) -> Result<Option<Found>, ExplainError<E::Error>> {
        self.evidence.by_id(id).map_err(ExplainError::Evidence)
    }

    fn note(
        &mut self,
        sort: Sort,
        rec: &Rec<'_>,
        edge: Edge,
        how: String,
        from: RecordId,
    ) -> Result<(), ExplainError<E::Error>> {
        let known = self.came.get(&rec.is.id);
        // What is known best is told, of equals the same whatever came first.
        let is_better = |(_, known): &(Sort, Came)| {
            (Reverse(known.edge), &known.how, known.from) <= (Reverse(edge), &how, from)
        };
        if known.is_some_and(is_better) {
            return Ok(());
        }
        let names = Names::of(self.evidence, [rec])?;
        let came = Came {
            id: rec.is.id,
            kind: rec.is.kind,
            time: rec.is.time,
            what: what(rec),
            who: who(rec, &names),
            status: rec.is.outcome.as_ref().map(|outcome| outcome.status),
            edge,
            how,
            from,
        };
        self.came.insert(rec.is.id, (sort, came));
        Ok(())
    }
}

/// What a record says, in a few words.
fn what(rec: &Rec<'_>) -> String {
    let rights = [Kind::Request, Kind::Approval, Kind::Grant];
    let claim = rights.into_iter().find_map(|kind| rec.claims(kind).next());
    let credential = rec.claims(Kind::Credential).find_map(|claim| claim.credential?.names().next());
    let answer = claim.and_then(|claim| claim.terms?.answer).map(|answer| answer.as_str().to_owned());
    let role = claim.and_then(|claim| claim.terms?.role.as_deref()).map(|role| format!("role {role}"));
    let scopes = claim.map(|claim| claim.scopes().iter().map(|scope| scope.to_string()).collect::<Vec<_>>());
    let scopes = scopes.filter(|scopes| !scopes.is_empty()).map(|scopes| scopes.join(", "));
    let tool = rec.is.tool.as_ref().map(|tool| tool.name.to_string());
    let done = tool.or_else(|| rec.is.operation.as_ref().map(|operation| operation.to_string()));
    let resource = claim.and_then(|claim| claim.resource).or(rec.is.resource.as_ref());
    let words = [answer, role, scopes, credential.map(str::to_owned).filter(|_| claim.is_none())];
    let mut words: Vec<String> = words.into_iter().flatten().collect();
    if words.is_empty() {
        words.extend(done);
    }
    words.extend(resource.map(|resource| resource.uri.to_string()));
    if words.is_empty() { rec.is.kind.to_string() } else { words.join("  ") }
}

/// Who answered, received, holds or acted.
fn who(rec: &Rec<'_>, names: &Names) -> Option<String> {
    let party = |kind: Kind, giver: bool| {
        let terms = rec.claims(kind).find_map(|claim| claim.terms)?;
        if giver { terms.by.as_ref() } else { terms.subject.as_ref() }
    };
    let party = party(Kind::Approval, true)
        .or_else(|| party(Kind::Grant, false))
        .or_else(|| party(Kind::Credential, false))
        .or(rec.is.initiator.as_ref().filter(|_| !rec.is.kind.is_action()))
        .or(rec.is.executor.as_ref());
    party.and_then(|party| names.key(party))
}
