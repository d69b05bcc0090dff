//! Judging what was found worth it.

use std::collections::{BTreeSet, HashSet};

use deed_identity::CredentialKey;
use deed_record::{Account, Basis, Credential, Kind, RecordId, Skeleton, Timestamp, Tried};

use super::{Affected, Flagged, Look, Review, screen::span_key};
use crate::{
    ExplainError, Judged,
    case::Rec,
    gather::{MOST_NAMING, SKEW, Search, WITHIN, may_be_eluded, may_elude},
    judge,
    rules::{BYPASS, DENIED_THEN_DONE, Rule},
};

/// What came of a look.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Done {
    /// An action was judged; `None` where there is none of that id.
    Judged(RecordId, Option<Box<Judged>>),
    /// These actions are to be judged.
    Leads(BTreeSet<RecordId>),
}

/// Looks: judges an action, or finds every action that is to be judged.
///
/// # Errors
/// The evidence cannot be read.
pub fn work<E: Affected>(evidence: &E, look: &Look) -> Result<Done, ExplainError<E::Error>> {
    if let Look::Action(id) = look {
        return Ok(Done::Judged(*id, judge(evidence, *id)?.map(Box::new)));
    }
    if let Look::Beside(id) | Look::Denied(id) | Look::Right(id) | Look::Tool(id) = look {
        let Some(found) = evidence.by_id(*id).map_err(ExplainError::Evidence)? else {
            return Ok(Done::Leads(BTreeSet::new()));
        };
        let rec = Rec::read(&found)?.is;
        return Ok(Done::Leads(match look {
            Look::Denied(_) => done_since(evidence, &rec)?,
            Look::Right(_) => acted_since(evidence, &rec)?,
            Look::Tool(_) => called_since(evidence, &rec)?,
            _ => Search::new(evidence).neighbours(&rec)?,
        }));
    }
    let mut actions: BTreeSet<RecordId> = BTreeSet::new();
    // Credentials that were derived from each other in a circle are followed once.
    let mut seen: HashSet<Look> = HashSet::from([look.clone()]);
    let mut todo = vec![look.clone()];
    while let Some(look) = todo.pop() {
        let mut further: BTreeSet<Look> = BTreeSet::new();
        let visited = evidence.every(&look, &mut |rec| lead(&look, rec, &mut actions, &mut further));
        visited.map_err(ExplainError::Evidence)?;
        todo.extend(further.into_iter().filter(|look| seen.insert(look.clone())));
    }
    Ok(Done::Leads(actions))
}

/// What whoever was denied in `rec`, under any name, did there in the time for which it is remembered.
fn done_since<E: Affected>(
    evidence: &E,
    rec: &Skeleton<'_>,
) -> Result<BTreeSet<RecordId>, ExplainError<E::Error>> {
    let mut actions = BTreeSet::new();
    let Some((Tried::Denied, account, uri)) = rec.tried() else { return Ok(actions) };
    let denied = rec.time;
    let accounts = evidence.every_account(&rec.tenant, account).map_err(ExplainError::Evidence)?;
    if may_be_eluded(rec) {
        let mut shortly = |done: &Skeleton<'_>| {
            if (0..=SKEW).contains(&(done.time.0 - denied.0)) && may_elude(done) {
                actions.insert(done.action_id());
            }
        };
        for account in accounts.iter().filter(|own| **own != account) {
            evidence.acted(*account, &mut shortly).map_err(ExplainError::Evidence)?;
        }
    }
    let mut after = |done: &Skeleton<'_>| {
        if (1..=WITHIN).contains(&(done.time.0 - denied.0)) {
            actions.insert(done.action_id());
        }
    };
    for account in accounts {
        for day in [denied, Timestamp(denied.0 + WITHIN)] {
            evidence.done(account, &uri, day, &mut after).map_err(ExplainError::Evidence)?;
        }
    }
    Ok(actions)
}

/// What whoever's rights `rec` tells of did since then, as other systems logged it.
fn acted_since<E: Affected>(
    evidence: &E,
    rec: &Skeleton<'_>,
) -> Result<BTreeSet<RecordId>, ExplainError<E::Error>> {
    let mut actions = BTreeSet::new();
    let mut whose: BTreeSet<Account> = rec.entitles().collect();
    if let Some(grant) = rec.grant
        && let Some(found) = evidence.by_id(grant).map_err(ExplainError::Evidence)?
    {
        whose.extend(Rec::read(&found)?.is.entitles());
    }
    let of_nobody = |effect: &&deed_record::Effect<'_>| {
        let subject = effect.terms.as_ref().and_then(|terms| terms.subject.as_ref());
        effect.kind == Kind::Grant && subject.is_none()
    };
    let removed = rec.effects.iter().flatten().filter(of_nobody);
    let removed = removed.filter_map(|effect| effect.resource.as_ref()).map(|thing| &*thing.uri);
    for thing in removed.chain(rec.lifts()).collect::<Vec<_>>() {
        let about = evidence.by_resource(&rec.tenant, thing, MOST_NAMING);
        for found in about.map_err(ExplainError::Evidence)? {
            whose.extend(Rec::read(&found)?.is.entitles());
        }
    }
    let mut since = |done: &Skeleton<'_>| {
        // That somebody was suspended is held against whatever is told of them, that nothing gave a right against logs.
        if done.time >= rec.time && (done.basis == Basis::Imported || rec.stops().is_some()) {
            actions.insert(done.action_id());
            // Until the action itself comes, what belongs to it stands alone.
            actions.extend(Some(done.id).filter(|_| done.kind != Kind::Outcome));
        }
    };
    for account in whose {
        for account in evidence.every_account(&rec.tenant, account).map_err(ExplainError::Evidence)? {
            evidence.acted(account, &mut since).map_err(ExplainError::Evidence)?;
        }
    }
    for withdrawal in rec.withdrawals() {
        evidence.asked(withdrawal.account, &mut since).map_err(ExplainError::Evidence)?;
    }
    Ok(actions)
}

/// Calls of the tool that `rec` tells of, after it.
fn called_since<E: Affected>(
    evidence: &E,
    rec: &Skeleton<'_>,
) -> Result<BTreeSet<RecordId>, ExplainError<E::Error>> {
    let mut actions = BTreeSet::new();
    let Some(tool) = &rec.tool else { return Ok(actions) };
    let server = tool.server.as_deref().unwrap_or_default();
    let called = evidence.called(&rec.tenant, server, &tool.name, &mut |call| {
        if call.time >= rec.time {
            actions.insert(call.action_id());
        }
    });
    called.map_err(ExplainError::Evidence)?;
    Ok(actions)
}

impl Review {
    /// The next thing to look at; it is the caller's until [`Review::put`] or [`Review::again`].
    pub fn take(&mut self) -> Option<Look> {
        let look = self.looks.pop_first()?;
        self.crossed &= self.taken > 0;
        self.taken += 1;
        Some(look)
    }

    /// Puts back what could not be looked at.
    pub fn again(&mut self, look: Look) {
        self.taken -= 1;
        self.looks.insert(look);
    }

    /// Takes what came of a look that was taken.
    pub fn put(&mut self, done: Done) {
        self.taken -= 1;
        match done {
            Done::Leads(actions) => self.looks.extend(actions.into_iter().map(Look::Action)),
            Done::Judged(id, None) => {
                self.awaited.insert(id);
            }
            Done::Judged(_, Some(judged)) => {
                for id in &judged.also {
                    self.unflag(*id);
                    // One judgement is of all parts of a call.
                    if !self.crossed {
                        self.looks.remove(&Look::Action(*id));
                    }
                }
                let found = |rule: &Rule| judged.findings.iter().any(|finding| finding.rule == rule.name);
                let (eludes, bypasses) = (found(&DENIED_THEN_DONE), found(&BYPASS));
                let place = (judged.time, judged.action);
                let kept = [(eludes, &mut self.eluding), (eludes || bypasses, &mut self.past)];
                for (is_found, places) in kept {
                    if is_found {
                        places.insert(place)
                    } else {
                        places.remove(&place)
                    };
                }
                let passed =
                    judged.passed.iter().map(|(trace, span)| span_key(&judged.tenant, *trace, *span));
                self.passed.extend(passed);
                if let Some(call) = judged.waits_for {
                    self.waiting.entry(call).or_default().insert(judged.action);
                }
                // A span may come that stands above it, and names who asked.
                self.unmatched.extend(judged.below.map(|trace| trace.0));
                if judged.findings.is_empty() {
                    self.unflag(judged.action);
                    return;
                }
                let open = judged.span.map(|(trace, span)| span_key(&judged.tenant, trace, span));
                self.open.extend(open);
                // A call may come that it tells of.
                if let Some((trace, names)) = &judged.seen {
                    let names = names.iter().map(|name| CredentialKey::of(&judged.tenant, name).to_bytes());
                    self.unmatched.extend(names.chain(trace.map(|trace| trace.0)));
                }
                let onward = judged.onward.as_deref();
                self.open.extend(onward.map(|name| CredentialKey::of(&judged.tenant, name).to_bytes()));
                let Judged {
                    action, time, tenant, initiator, executor, credentials, resource, findings, ..
                } = *judged;
                let flagged = Flagged { time, tenant, initiator, executor, credentials, resource, findings };
                self.flag(action, flagged);
            }
        }
    }

    /// Looks at everything that is to be looked at; how many looks that were.
    ///
    /// # Errors
    /// The evidence cannot be read; what was not looked at is still to be.
    pub fn settle<E: Affected>(&mut self, evidence: &E) -> Result<u64, ExplainError<E::Error>> {
        let mut looks = 0;
        while let Some(look) = self.take() {
            match work(evidence, &look) {
                Ok(done) => self.put(done),
                Err(error) => {
                    self.again(look);
                    return Err(error);
                }
            }
            looks += 1;
        }
        Ok(looks)
    }
}

/// Where a record that `look` led to leads on: to its action, to rights that rest on it, to credentials that came
/// from it.
fn lead(look: &Look, rec: &Skeleton<'_>, actions: &mut BTreeSet<RecordId>, further: &mut BTreeSet<Look>) {
    if rec.kind.is_action() {
        actions.insert(rec.action_id());
    } else {
        actions.extend(rec.action);
    }
    let mut changed = |credential: &Credential<'_>| {
        let tenant = || rec.tenant.to_string();
        let names =
            credential.names().map(|name| Look::Credential { tenant: tenant(), name: name.to_owned() });
        further.extend(names);
    };
    let own = rec.credential.as_ref().filter(|_| rec.kind == Kind::Credential);
    let effects = rec.effects.iter().flatten().filter_map(|effect| effect.credential.as_ref());
    match look {
        Look::Credential { name, .. } => {
            let calling = rec.credential.iter().any(|used| used.names().any(|used| used == name));
            let derived = |credential: &&Credential<'_>| {
                calling
                    || credential.parent.as_deref() == Some(name)
                    || credential.names().any(|own| own == name)
            };
            own.into_iter().chain(effects).filter(derived).for_each(&mut changed);
        }
        Look::Relying(_) => {
            own.into_iter().chain(effects).for_each(&mut changed);
            if matches!(rec.kind, Kind::Grant | Kind::Request | Kind::Approval) || rec.effects.is_some() {
                further.insert(Look::Relying(rec.id));
            }
        }
        Look::Trace(_)
        | Look::Action(_)
        | Look::Beside(_)
        | Look::Denied(_)
        | Look::Tool(_)
        | Look::Right(_) => {}
    }
}
