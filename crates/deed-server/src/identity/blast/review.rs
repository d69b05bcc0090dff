//! What was found about everything that a credential led to, and what single actions of it are judged to be.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use deed_ledger::LedgerError;
use deed_record::{PrincipalType, RecordId, Timestamp};
use deed_review::{Authority, Checkpoint, Class, Edge, ExplainError, NEVER_APPROVED, explain};

use super::{BlastReview, Tally, gather::Gathered};
use crate::{evidence::LedgerEvidence, findings::Findings};

/// Actions that are judged however long it takes.
const FIRST_JUDGED: usize = 64;
/// How long others are judged: a key that leaked cannot wait.
const JUDGING: Duration = Duration::from_millis(250);
/// How long findings are waited for; what is not reviewed by then is said.
const REVIEWING: Duration = Duration::from_secs(5);

/// What was found about the actions of one answer.
pub(super) struct Found {
    /// By which rules, of each action with findings.
    pub(super) rules: HashMap<RecordId, Vec<String>>,
    reviewed: u64,
    /// Leaves that there were when that was asked.
    records: u64,
}

/// What one action is judged to be.
pub(super) struct Judged {
    pub(super) initiator: Option<String>,
    pub(super) principal: Option<String>,
    pub(super) kind: PrincipalType,
    pub(super) edge: Edge,
    pub(super) class: Class,
    pub(super) authority: Authority,
    /// Whom the inventory names as the owner of whoever acted.
    owner: Option<String>,
    time: Timestamp,
}

/// What was found about everything that was `gathered`, without what is suppressed.
pub(super) fn found(
    findings: &Findings,
    tenant: &str,
    gathered: &Gathered,
    records: u64,
) -> Result<Found, LedgerError> {
    // What another record tells of an action, and changed authority, is found by itself.
    let told = gathered.changes.iter().map(|change| change.id);
    let ids: BTreeSet<RecordId> = gathered.hits.iter().map(|hit| hit.id).chain(told).collect();
    let (flagged, reviewed) = findings.of(ids.into_iter(), REVIEWING);
    let hiding = findings.hiding(None);
    let mut rules: HashMap<RecordId, Vec<String>> = HashMap::new();
    for (id, flagged) in flagged {
        for finding in &flagged.findings {
            let may = hiding.may_hide(tenant, &finding.rule)?;
            if !may || hiding.of(tenant, &flagged.matter(id, finding))?.is_none() {
                rules.entry(id).or_default().push(finding.rule.clone());
            }
        }
    }
    Ok(Found { rules, reviewed: reviewed.min(records), records })
}

/// Judges `actions` in this order, as far as there is time.
pub(super) fn judge(
    evidence: &LedgerEvidence<'_>,
    actions: &[RecordId],
) -> Result<HashMap<RecordId, Judged>, LedgerError> {
    let (begun, next) = (Instant::now(), AtomicUsize::new(0));
    let some = || -> Result<Vec<(RecordId, Judged)>, LedgerError> {
        let mut judged = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(id) = actions.get(at) else { return Ok(judged) };
            if at >= FIRST_JUDGED && begun.elapsed() > JUDGING {
                return Ok(judged);
            }
            judged.extend(judge_one(evidence, *id)?.map(|one| (*id, one)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        let mut all = HashMap::new();
        for thread in running {
            let stopped = |_| LedgerError::Broken("a thread that judged actions panicked".to_owned());
            all.extend(thread.join().map_err(stopped)??);
        }
        Ok(all)
    })
}

/// `None` where what is recorded of it makes no action.
fn judge_one(evidence: &LedgerEvidence<'_>, id: RecordId) -> Result<Option<Judged>, LedgerError> {
    let answer = match explain(evidence, id, &Checkpoint::default()) {
        Ok(Some(answer)) => answer,
        Ok(None) | Err(ExplainError::NoAction { .. }) => return Ok(None),
        Err(ExplainError::Evidence(error)) => return Err(error),
        Err(error) => return Err(LedgerError::Broken(error.to_string())),
    };
    let who = answer.initiator;
    Ok(Some(Judged {
        initiator: who.key.or(who.account.map(|account| account.to_string())),
        principal: who.principal,
        kind: who.kind,
        edge: who.edge,
        class: answer.verdict.class,
        authority: answer.verdict.authority.value,
        owner: answer.executor.owner,
        time: answer.action.time,
    }))
}

/// Who is behind it, and by what right it was done.
pub(super) fn review(found: &Found, judged: &HashMap<RecordId, Judged>) -> BlastReview {
    let mut of = BlastReview {
        reviewed: found.reviewed,
        records: found.records,
        found: found.rules.len() as u64,
        judged: judged.len() as u64,
        ..BlastReview::default()
    };
    let never: HashSet<&str> = NEVER_APPROVED.iter().map(|rule| rule.name).collect();
    let by_rule = found.rules.values().flatten().map(|rule| (rule.clone(), None));
    of.rules = tallied(by_rule);
    let is_never = |rules: &&Vec<String>| rules.iter().any(|rule| never.contains(rule.as_str()));
    of.never_approved = found.rules.values().filter(is_never).count() as u64;
    of.classes = tallied(judged.values().map(|one| (one.class.to_string(), None)));
    of.authority = tallied(judged.values().map(|one| (one.authority.to_string(), None)));
    let people = judged.values().filter(|one| one.kind == PrincipalType::Human);
    of.humans = tallied(
        people.filter_map(|one| Some((one.principal.clone().or(one.initiator.clone())?, Some(one.time)))),
    );
    let without = judged.values().filter(|one| one.kind != PrincipalType::Human);
    of.owners = tallied(without.filter_map(|one| Some((one.owner.clone()?, Some(one.time)))));
    of.nobody = of.judged - of.humans.iter().map(|human| human.count).sum::<u64>();
    of
}

/// How often each is there, most often first.
fn tallied(all: impl Iterator<Item = (String, Option<Timestamp>)>) -> Vec<Tally> {
    let mut by: BTreeMap<String, (u64, Option<Timestamp>)> = BTreeMap::new();
    for (name, time) in all {
        let entry = by.entry(name).or_default();
        *entry = (entry.0 + 1, entry.1.max(time));
    }
    let mut all: Vec<Tally> =
        by.into_iter().map(|(name, (count, last))| Tally { name, count, last }).collect();
    // Stable: those that are there as often stay by name.
    all.sort_by_key(|tally| std::cmp::Reverse(tally.count));
    all
}
