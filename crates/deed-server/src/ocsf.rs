//! Records as OCSF events, in the order of the log: what is there, and what comes.
//!
//! An action is told where the last thing is said of how it ended, so that an export holds it once. Whoever follows
//! hears of it again when its outcome comes later, under the same `metadata.uid`.

use std::{
    ops::{ControlFlow, Range},
    time::{Duration, Instant},
};

use deed_ledger::{Key, LedgerError};
use deed_record::{Kind, RecordId, Skeleton, Timestamp, TraceId};
use deed_review::{
    Evidence, ExplainError,
    ocsf::{Told, tell, tell_record},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    engine::{AskError, Engine},
    evidence::{LedgerEvidence, parse},
    find::{Filter, Wanted},
    force::TENANT,
    problem::Problem,
};

/// Events of a page, unless asked for otherwise.
const DEFAULT_LIMIT: usize = 1000;
/// Most events of a page.
pub(crate) const MOST_EVENTS: usize = 10_000;
/// How long making one page goes on.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the last page waits for what is not folded of identities.
const FOLDING: Duration = Duration::from_secs(15);
/// Leaves that are read at a time.
const STRIDE: u64 = 256;

/// Which events are asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OcsfQuery {
    /// These actions or records, ids with commas between.
    pub(crate) id: Option<String>,
    /// Part of this trace.
    pub(crate) trace: Option<TraceId>,
    /// They had a part in it: a key as it was sent, or an account.
    pub(crate) principal: Option<String>,
    /// It happened then or later.
    pub(crate) since: Option<Timestamp>,
    /// It happened before that.
    pub(crate) until: Option<Timestamp>,
    /// Whose.
    pub(crate) tenant: Option<String>,
    /// Findings alone.
    #[serde(default)]
    pub(crate) findings: bool,
    /// Findings that are suppressed, too.
    #[serde(default)]
    pub(crate) suppressed: bool,
    /// With what people and machines are called.
    #[serde(default)]
    pub(crate) names: bool,
    /// Most events of a page.
    pub(crate) limit: Option<usize>,
    /// The leaf to go on from: a page's `deed-next`.
    #[serde(default)]
    pub(crate) after: u64,
    /// What came since `after`, actions of which the outcome came since among it.
    #[serde(default)]
    pub(crate) live: bool,
    /// With `live`: findings about identities that arose since. A page's `deed-found`.
    pub(crate) found: Option<Timestamp>,
    /// The answer goes on for as long as records come.
    #[serde(default)]
    pub(crate) follow: bool,
}

/// Some events, one a line.
#[derive(Default)]
pub(crate) struct OcsfPage {
    pub(crate) lines: Vec<u8>,
    events: usize,
    /// The leaf to go on from.
    pub(crate) next: u64,
    /// Whether that is the end of the log.
    pub(crate) is_last: bool,
    /// When it was looked which findings about identities there are, where it was.
    pub(crate) found: Option<Timestamp>,
}

/// The records `ids` as events; the first that is not there, where one is not.
pub(crate) fn of_ids(
    engine: &Engine,
    ids: &[RecordId],
    query: &OcsfQuery,
    tenant: Option<&str>,
) -> Result<Result<OcsfPage, RecordId>, AskError> {
    let evidence = engine.evidence(tenant);
    let mut page = OcsfPage { is_last: true, ..OcsfPage::default() };
    for id in ids {
        match tell(&evidence, *id, &engine.checkpoint(), query.names)? {
            Some(told) => page.put(&told, query),
            None => return Ok(Err(*id)),
        }
    }
    Ok(Ok(page))
}

/// One page of the events that `query` wants.
pub(crate) fn page(engine: &Engine, query: &OcsfQuery, tenant: Option<&str>) -> Result<OcsfPage, Problem> {
    let mut page = records(engine, query, tenant)?;
    if page.is_last && query.trace.is_none() {
        page.identities(engine, query, tenant)?;
    }
    Ok(page)
}

fn records(engine: &Engine, query: &OcsfQuery, tenant: Option<&str>) -> Result<OcsfPage, AskError> {
    let filter = Filter {
        trace: query.trace,
        principal: query.principal.clone(),
        since: query.since,
        until: query.until,
        tenant: query.tenant.clone(),
        ..Filter::default()
    };
    let evidence = engine.evidence(tenant);
    let size = engine.ledger().size();
    let mut page = OcsfPage { next: query.after.min(size), ..OcsfPage::default() };
    let Some(wanted) = Wanted::of(&evidence, &filter)? else {
        return Ok(OcsfPage { next: size, is_last: true, ..page });
    };
    let mut walk = Walk {
        engine,
        evidence: &evidence,
        wanted: &wanted,
        query,
        size,
        end: Instant::now() + PATIENCE,
        page: &mut page,
    };
    let keys = wanted.keys();
    match keys.is_empty() || query.live {
        true => walk.scan()?,
        false => walk.follow(&keys)?,
    }
    Ok(page)
}

struct Walk<'w> {
    engine: &'w Engine,
    evidence: &'w LedgerEvidence<'w>,
    wanted: &'w Wanted<'w>,
    query: &'w OcsfQuery,
    /// Leaves that there were when it began.
    size: u64,
    end: Instant,
    page: &'w mut OcsfPage,
}

impl Walk<'_> {
    /// Tells of every record from where the page begins, in their order.
    fn scan(&mut self) -> Result<(), AskError> {
        let snapshot = self.evidence.ledger().snapshot();
        while self.page.next < self.size {
            let range: Range<u64> = self.page.next..self.size.min(self.page.next + STRIDE);
            let mut leaves = Vec::new();
            snapshot
                .scan(range, &mut |index, leaf| {
                    leaves.push((index, leaf.to_vec()));
                    ControlFlow::Continue(())
                })
                .map_err(ExplainError::Evidence)?;
            for (index, leaf) in leaves {
                let broken = |e| LedgerError::Broken(format!("leaf {index} is no record: {e}"));
                let record = Skeleton::parse(&leaf).map_err(|error| ExplainError::Evidence(broken(error)))?;
                if let Some(id) = self.told_here(index, &record)? {
                    self.tell(id, record.kind.is_action())?;
                }
                self.page.next = index + 1;
                if self.is_full() {
                    return Ok(());
                }
            }
        }
        self.page.is_last = true;
        Ok(())
    }

    /// Tells of the records that `keys` lead to, in the order of the log.
    fn follow(&mut self, keys: &[Key<'_>]) -> Result<(), AskError> {
        let from = self.page.next;
        let mut indexes = Vec::new();
        for key in keys {
            let mut each = |index: u64, _: &Skeleton<'_>| {
                let there = index >= from;
                indexes.extend(there.then_some(index));
                if there { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            self.evidence.ledger().lookup_each(key, None, &mut each).map_err(ExplainError::Evidence)?;
        }
        indexes.sort_unstable();
        indexes.dedup();
        for index in indexes {
            let found = self.evidence.found(index).map_err(ExplainError::Evidence)?;
            let record = parse(&found.sealed).map_err(ExplainError::Evidence)?;
            let is_told = match record.kind.is_action() {
                true => self.wanted.is_action(&record).map_err(ExplainError::Evidence)?,
                false => true,
            };
            if is_told && self.evidence.shows(&record) && self.wanted.has(&record) {
                self.tell(record.id, record.kind.is_action())?;
            }
            self.page.next = index + 1;
            if self.is_full() {
                return Ok(());
            }
        }
        self.page.next = self.size.max(from);
        self.page.is_last = true;
        Ok(())
    }

    /// What is told in the place of leaf `index`, if anything is.
    fn told_here(&self, index: u64, record: &Skeleton<'_>) -> Result<Option<RecordId>, AskError> {
        if !self.evidence.shows(record) {
            return Ok(None);
        }
        if !record.kind.is_action() {
            return Ok(self.wanted.has(record).then_some(record.id));
        }
        let action = record.action_id();
        let head = match record.kind {
            Kind::Outcome => self.evidence.by_id(action).map_err(ExplainError::Evidence)?,
            _ => None,
        };
        let is_wanted = match &head {
            Some(head) => self.is_action(&parse(&head.sealed).map_err(ExplainError::Evidence)?)?,
            // An outcome of what is not there is told alone.
            None => self.wanted.has(record) && (record.kind == Kind::Outcome || self.is_action(record)?),
        };
        if !is_wanted || self.is_ended_after(index, action)? {
            return Ok(None);
        }
        Ok(Some(if head.is_some() { action } else { record.id }))
    }

    fn is_action(&self, record: &Skeleton<'_>) -> Result<bool, AskError> {
        Ok(self.wanted.has(record) && self.wanted.is_action(record).map_err(ExplainError::Evidence)?)
    }

    /// Whether a leaf behind `index`, of those that there were, says how `action` ended.
    fn is_ended_after(&self, index: u64, action: RecordId) -> Result<bool, AskError> {
        let mut ended = false;
        let mut each = |at: u64, record: &Skeleton<'_>| {
            ended |= at > index && record.kind == Kind::Outcome && record.action == Some(action);
            if ended || at <= index { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let below = Some(self.size);
        let looked = self.evidence.ledger().lookup_each(&Key::Ref(action), below, &mut each);
        looked.map_err(ExplainError::Evidence)?;
        Ok(ended)
    }

    fn tell(&mut self, id: RecordId, is_action: bool) -> Result<(), AskError> {
        let told = match is_action {
            true => tell(self.evidence, id, &self.engine.checkpoint(), self.query.names)?,
            false if self.query.findings => None,
            false => tell_record(self.evidence, id, self.query.names)?,
        };
        if let Some(told) = told {
            self.page.put(&told, self.query);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        let limit = self.query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_EVENTS);
        self.page.events >= limit || Instant::now() >= self.end
    }
}

impl OcsfPage {
    /// Findings about identities, behind all records: what there is, or of a `live` page what arose since.
    fn identities(
        &mut self,
        engine: &Engine,
        query: &OcsfQuery,
        tenant: Option<&str>,
    ) -> Result<(), Problem> {
        let (standing, since) = match (query.live, query.found) {
            (false, _) => (Some(engine.standing(FOLDING)?), Timestamp(i64::MIN)),
            (true, Some(since)) => (engine.standing_lately(), since),
            (true, None) => return Ok(()),
        };
        // Without a look, all that arises is after the last one.
        self.found = standing.as_ref().map(|standing| standing.at).or(query.found);
        let Some(standing) = standing else { return Ok(()) };
        let about = match &query.principal {
            Some(key) => Some(engine.known_as(query.tenant.as_deref().unwrap_or(TENANT), key)?),
            None => None,
        };
        for (of, found) in standing.after(since) {
            let theirs = [tenant, query.tenant.as_deref()].into_iter().flatten().all(|tenant| tenant == of);
            let mut people = found.account.iter().chain(&found.others);
            let is_wanted = theirs
                && query.since.is_none_or(|since| found.time >= since)
                && query.until.is_none_or(|until| found.time < until)
                && about.as_ref().is_none_or(|about| people.any(|who| about.contains(who)));
            if !is_wanted {
                continue;
            }
            let event = engine.tell_identity(of, found, query.names)?;
            event
                .iter()
                .filter(|event| query.suppressed || !is_suppressed(event))
                .for_each(|event| self.line(event));
        }
        Ok(())
    }

    fn put(&mut self, told: &Told, query: &OcsfQuery) {
        let event = (!query.findings).then_some(&told.event);
        let findings = told.findings.iter().filter(|found| query.suppressed || !is_suppressed(found));
        event.into_iter().chain(findings).for_each(|event| self.line(event));
    }

    fn line(&mut self, event: &Value) {
        self.lines.extend_from_slice(event.to_string().as_bytes());
        self.lines.push(b'\n');
        self.events += 1;
    }
}

/// Whether a Detection Finding is one that is suppressed.
fn is_suppressed(event: &Value) -> bool {
    event["status_id"] == deed_review::ocsf::SUPPRESSED
}
