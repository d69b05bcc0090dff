//! What whoever acted had been denied before, and then did on another way.

use std::{cmp::Reverse, collections::BTreeSet};

use deed_record::{
    Account, Answer, Basis, Change, Credential, Kind, RecordId, Right, Ruling, Skeleton, Timestamp, Tried,
};

use super::{Family, MOST_NAMING, Reader, beside::AT_WORK};
use crate::{
    Evidence, ExplainError, Found,
    case::{Rec, corrects, voice_of},
};

/// How long a denial is remembered, in microseconds: 24 hours.
pub(crate) const WITHIN: i64 = 24 * 60 * 60 * 1_000_000;

/// Denials of one account, on one resource and two days, of which all are looked at; of more, none is.
const MOST_DENIED: usize = 1024;

/// Operations of the protocol, which say nothing of what is done by them.
const PROTOCOL: &[&str] = &["tools/call", "resources/read", "prompts/get", "run"];

/// The last denial before the action of `family`, of the same to the same principal, that nothing took back before it
/// was done on another way.
pub(super) fn look<E: Evidence>(
    reader: &mut Reader<'_, '_, E>,
    family: &Family,
    credentials: &[BTreeSet<String>],
) -> Result<Option<RecordId>, ExplainError<E::Error>> {
    let Some(head) = reader.head(family).cloned() else {
        return Ok(None);
    };
    // What Deed let through, Deed decided anew.
    let Some((Tried::Done, account, uri)) = head.tried().filter(|_| head.basis != Basis::Enforced) else {
        return Ok(None);
    };
    let evidence = reader.evidence;
    let accounts = evidence.every_account(&head.tenant, account).map_err(ExplainError::Evidence)?;
    let mut denied = Vec::new();
    for account in &accounts {
        let found = evidence.tried(Tried::Denied, *account, &uri, head.time, MOST_DENIED);
        let found = found.map_err(ExplainError::Evidence)?;
        if found.len() >= MOST_DENIED {
            return Ok(None);
        }
        denied.extend(found);
    }
    let mut denied: Vec<(Timestamp, RecordId, bool, Found)> = denied
        .into_iter()
        .filter_map(|found| {
            let rec = found.sealed.skeleton().ok()?;
            let own = family.ids.contains(&rec.id) || family.superseded.contains(&rec.id);
            let one = !own && is_before(&rec, head.time) && is_same(&rec, &head);
            let (time, id, elsewhere) = (rec.time, rec.id, is_elsewhere(&rec, &head, credentials));
            one.then_some((time, id, elsewhere, found))
        })
        .collect();
    if denied.is_empty() {
        return Ok(None);
    }
    let systems: BTreeSet<String> = denied.iter().flat_map(|(.., found)| systems_of(found, &head)).collect();
    let Some(given) = last_given(evidence, &accounts, &systems, &uri, &head)? else { return Ok(None) };
    // To give oneself the right is another way, too.
    denied.retain(|(time, _, elsewhere, _)| *elsewhere || given.to_itself.is_some_and(|own| own > *time));
    let given = given.last;
    // Of a tool nothing tells one call from another: this may be one that was let through, still at work.
    if head.resource.is_none() && given.0 >= head.time.0.saturating_sub(AT_WORK) {
        return Ok(None);
    }
    denied.sort_by_key(|(time, id, ..)| Reverse((*time, *id)));
    for (time, id, _, found) in denied {
        if given > time {
            return Ok(None);
        }
        match stands(evidence, &accounts, &found, head.time)? {
            Stands::No => continue,
            Stands::Unknown => return Ok(None),
            Stands::Yes(refusal) => {
                let kept = reader.keep(found)?;
                refusal.map(|refusal| reader.keep(refusal)).transpose()?;
                return Ok(kept.map(|_| id));
            }
        }
    }
    Ok(None)
}

/// Whether `rec` is as much before `moment` as is remembered.
fn is_before(rec: &Skeleton<'_>, moment: Timestamp) -> bool {
    (1..=WITHIN).contains(&(moment.0 - rec.time.0))
}

/// Whether both tell of the same, as far as both tell.
fn is_same(denied: &Skeleton<'_>, done: &Skeleton<'_>) -> bool {
    fn agree<T: PartialEq>(one: Option<T>, other: Option<T>) -> bool {
        one.zip(other).is_none_or(|(one, other)| one == other)
    }
    let tool = |rec: &Skeleton<'_>| {
        let tool = rec.tool.as_ref()?;
        Some((tool.server.as_deref().map(str::to_owned), tool.name.to_string()))
    };
    let operation = |rec: &Skeleton<'_>| {
        rec.operation.as_deref().filter(|name| !PROTOCOL.contains(name)).map(str::to_owned)
    };
    agree(denied.permission.as_deref(), done.permission.as_deref())
        && agree(tool(denied), tool(done))
        && agree(operation(denied), operation(done))
}

/// The systems whose policies decide on what was denied, and on what was done.
fn systems_of(denied: &Found, done: &Skeleton<'_>) -> Vec<String> {
    let denied = denied.sealed.skeleton().ok();
    let sources = [denied.as_ref(), Some(done)].into_iter().flatten().filter_map(|rec| rec.source.as_ref());
    sources.map(|source| source.system.to_string()).collect()
}

/// Whether it was done on another way: in another system, by another name, in a name that was not theirs, or with another
/// credential. `credentials` are
/// those that it was done with, and that these were derived from.
fn is_elsewhere(denied: &Skeleton<'_>, done: &Skeleton<'_>, credentials: &[BTreeSet<String>]) -> bool {
    let account = |rec: &Skeleton<'_>| rec.executor.as_ref().and_then(|party| party.account);
    let name = |rec: &Skeleton<'_>| rec.impersonated().and_then(|party| party.account);
    system(denied) != system(done)
        || account(denied) != account(done)
        || name(done).is_some_and(|given| name(denied) != Some(given))
        || denied.credential.as_ref().zip(done.credential.as_ref()).is_some_and(|(one, other)| {
            let named = one.names().next().is_some() && other.names().next().is_some();
            let shared = one.names().any(|name| other.names().any(|theirs| theirs == name));
            named && !shared && !is_anew(one, other) && !is_made_with(other, one, credentials)
        })
}

/// Whether `made` was made with `own`, and lives no longer than a session: the same way, with a second factor shown.
fn is_made_with(made: &Credential<'_>, own: &Credential<'_>, credentials: &[BTreeSet<String>]) -> bool {
    let is_session = made.kind.as_deref().map(deed_identity::is_static_type) == Some(false);
    let above = || credentials.iter().skip(1);
    is_session && own.names().any(|name| above().any(|names| names.contains(name)))
}

/// Whether one is like the other, and such as are made anew all the time.
fn is_anew(one: &Credential<'_>, other: &Credential<'_>) -> bool {
    let is_short = |credential: &Credential<'_>| {
        let kept = credential.kind.as_deref().map(deed_identity::is_static_type);
        credential.expires.is_some() || kept == Some(false)
    };
    let alike = one.scopes.is_empty() || other.scopes.is_empty() || one.scopes == other.scopes;
    is_short(one) && is_short(other) && one.kind == other.kind && alike
}

/// The system that decided, or where it was done.
fn system<'r>(rec: &'r Skeleton<'_>) -> &'r str {
    let voice = voice_of(rec);
    // Every door of Deed's asks one decision point.
    if rec.basis == Basis::Enforced || voice.starts_with("deed:") { "deed" } else { voice }
}

/// When rights were last given, before an action.
struct LastGiven {
    /// By others than whoever acted, or they were let through.
    last: Timestamp,
    /// By whoever acted, to themselves, as another system logged it.
    to_itself: Option<Timestamp>,
}

/// When one of these was last let, or a right was given or changed, before the action: of theirs, on the resource, of
/// whoever has what was changed in these systems, or of whoever is in them; `None` where that is not known.
fn last_given<E: Evidence>(
    evidence: &E,
    accounts: &[Account],
    systems: &BTreeSet<String>,
    uri: &str,
    head: &Skeleton<'_>,
) -> Result<Option<LastGiven>, ExplainError<E::Error>> {
    let (mut last, mut to_itself) = (Timestamp(i64::MIN), None);
    let theirs = accounts.iter().copied().map(Right::To);
    // What an organisation lets its accounts do is told elsewhere, and on them.
    let of_any = systems.iter().filter_map(|system| system.split_once(':')).map(|(sort, _)| sort);
    let over = systems.iter().map(String::as_str).chain(of_any).collect::<BTreeSet<_>>();
    let rights = theirs.chain([Right::On(uri)]).chain(systems.iter().map(|system| Right::In(system)));
    let rights = rights.chain(over.into_iter().map(Right::On));
    for right in rights {
        let given = evidence.given(&head.tenant, right, head.time, MOST_NAMING);
        let given = given.map_err(ExplainError::Evidence)?;
        let let_through = match right {
            Right::To(account) => {
                let tried = evidence.tried(Tried::Allowed, account, uri, head.time, MOST_NAMING);
                tried.map_err(ExplainError::Evidence)?
            }
            Right::On(_) | Right::In(_) => Vec::new(),
        };
        if given.len() >= MOST_NAMING || let_through.len() >= MOST_NAMING {
            return Ok(None);
        }
        for (found, gives) in
            given.iter().map(|found| (found, true)).chain(let_through.iter().map(|found| (found, false)))
        {
            let rec = Rec::read(found)?.is;
            let theirs = rec.tenant == head.tenant && rec.id != head.id;
            if !theirs || rec.time > head.time {
                continue;
            }
            if !gives || !gave_itself(&rec, accounts) {
                last = last.max(rec.time);
            } else if head.basis == Basis::Imported && rec.time < head.time && gives_to(&rec, accounts) {
                to_itself = to_itself.max(Some(rec.time));
            }
        }
    }
    Ok(Some(LastGiven { last, to_itself }))
}

/// Whether one of these says so themselves.
pub(crate) fn gave_itself(rec: &Skeleton<'_>, accounts: &[Account]) -> bool {
    let by = rec.terms.as_ref().and_then(|terms| terms.by.as_ref());
    let saying = by.or(rec.executor.as_ref()).or(rec.initiator.as_ref());
    saying.and_then(|party| party.account).is_some_and(|account| accounts.contains(&account))
}

/// Whether it gives one of these a right that stands, rather than taking one away. What was asked for, and what ends by
/// itself, is how people come by a right for a time where that is let them.
pub(crate) fn gives_to(rec: &Skeleton<'_>, accounts: &[Account]) -> bool {
    if rec.request.is_some() || rec.approvals.is_some() {
        return false;
    }
    let own = (rec.kind, rec.terms.as_ref());
    let effects = rec.effects.iter().flatten().map(|effect| (effect.kind, effect.terms.as_ref()));
    std::iter::once(own).chain(effects).filter(|(kind, _)| *kind == Kind::Grant).any(|(_, terms)| {
        let taken = terms.and_then(|terms| terms.change);
        let whose = terms.and_then(|terms| terms.subject.as_ref()?.account);
        !matches!(taken, Some(Change::Revoked | Change::Expired))
            && terms.is_none_or(|terms| terms.expires.is_none())
            && whose.is_some_and(|whose| accounts.contains(&whose))
    })
}

/// Whether a denial stood at a moment.
enum Stands {
    No,
    /// Too much is said of it to be read.
    Unknown,
    /// With the refusal of a human that makes it one, where it needs one.
    Yes(Option<Found>),
}

fn stands<E: Evidence>(
    evidence: &E,
    accounts: &[Account],
    found: &Found,
    moment: Timestamp,
) -> Result<Stands, ExplainError<E::Error>> {
    let denied = Rec::read(found)?;
    let naming = evidence.by_ref(denied.is.id, MOST_NAMING).map_err(ExplainError::Evidence)?;
    if naming.len() >= MOST_NAMING {
        return Ok(Stands::Unknown);
    }
    let mut refusal: Option<(Timestamp, RecordId, Found)> = None;
    for found in naming {
        let rec = Rec::read(&found)?;
        if rec.is.supersedes == Some(denied.is.id) && corrects(&rec.is, &denied.is) {
            return Ok(Stands::No);
        }
        if rec.is.action != Some(denied.is.id) || rec.is.tenant != denied.is.tenant || rec.is.time > moment {
            continue;
        }
        let answers: Vec<Answer> = rec
            .claims(Kind::Approval)
            .filter_map(|claim| claim.terms.and_then(|terms| terms.answer))
            .collect();
        if answers.contains(&Answer::Approved) && rec.firm() && !gave_itself(&rec.is, accounts) {
            return Ok(Stands::No);
        }
        let (time, id) = (rec.is.time, rec.is.id);
        if answers.contains(&Answer::Refused)
            && refusal.as_ref().is_none_or(|last| (last.0, last.1) < (time, id))
        {
            refusal = Some((time, id, found));
        }
    }
    let asks = denied.is.decision.as_ref().is_some_and(|decision| decision.effect == Ruling::StepUp);
    Ok(match refusal {
        Some((_, _, refusal)) => Stands::Yes(Some(refusal)),
        None if asks => Stands::No,
        None => Stands::Yes(None),
    })
}
