//! Counting what was gathered, and writing out one page of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use deed_identity::{Declarations, Standing};
use deed_ledger::{Key, LedgerError, now};
use deed_record::{Account, Basis, Change, Kind, Party, RecordId, Status, Timestamp};
use deed_review::Evidence;

use super::{
    Blast, BlastCredential, BlastRow, Bypass, Changed, Counts, DEFAULT_LIMIT, MOST_ROWS, Tally,
    gather::{Gathered, Hit, Known, gather, system},
};
use crate::{
    evidence::{LedgerEvidence, parse},
    identity::{BlastQuery, DeclaredIn, names::Names},
};

/// How many of each tally are told.
const MOST_TALLIED: usize = 20;
/// Changes and credentials that are told.
const MOST_TOLD: usize = 1000;
/// Records of one action that are looked at for its outcome.
const MOST_ENDINGS: usize = 16;
/// How long after the intent the other system may have logged what came of it, in microseconds.
const MATCHES_WITHIN: i64 = 3_600_000_000;
/// Clocks of two systems differ by so much, in microseconds.
const CLOCKS: i64 = 300_000_000;

const UNGOVERNED: &str = "who acted is not in the inventory";
const NOT_AT_DEED: &str = "the inventory does not have who acted as governed, and nothing tells that the credential is for use through Deed";
const GOVERNED: &str = "who acted is to act through Deed alone, and Deed decided on nothing that fits";
const FOR_DEED: &str = "the inventory has who acted, Deed issued the credential or was shown it, and it decided on nothing that fits";
const ONLY_TOLD: &str = "only the sender of the record tells of it";

/// Everything that `credential` led to; `None` where no record names it.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn blast(
    evidence: &LedgerEvidence<'_>,
    declared: &DeclaredIn,
    tenant: &str,
    credential: &str,
    query: &BlastQuery,
) -> Result<Option<Blast>, LedgerError> {
    let names = names_of(evidence, tenant, credential)?;
    let Some(found) = gather(evidence, tenant, &names)? else { return Ok(None) };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_ROWS);
    let mut teller = Teller { evidence, found: &found, names: Names::new(evidence), asked: credential };
    teller.tell(declared, query.after.unwrap_or(0), limit)
}

/// The names of what was asked for: a credential's own, or that which a record issued, changed or used.
fn names_of(
    evidence: &LedgerEvidence<'_>,
    tenant: &str,
    asked: &str,
) -> Result<BTreeSet<String>, LedgerError> {
    if let Ok(id) = asked.parse::<RecordId>()
        && let Some(found) = evidence.by_id(id)?
    {
        let record = parse(&found.sealed)?;
        let issued = record.effects.iter().flatten().find_map(|effect| effect.credential.as_ref());
        let own = record.credential.as_ref().filter(|own| own.names().next().is_some());
        if let Some(credential) = own.or(issued).filter(|_| *record.tenant == *tenant) {
            return Ok(credential.names().map(str::to_owned).collect());
        }
    }
    Ok(BTreeSet::from([asked.to_owned()]))
}

struct Teller<'t> {
    evidence: &'t LedgerEvidence<'t>,
    found: &'t Gathered,
    names: Names<'t>,
    asked: &'t str,
}

/// Whether Deed decided on an action.
enum Passed {
    Decided,
    Bypassed(&'static str),
    Unverified(&'static str),
}

impl Teller<'_> {
    fn tell(
        &mut self,
        declared: &DeclaredIn,
        after: usize,
        limit: usize,
    ) -> Result<Option<Blast>, LedgerError> {
        let found = self.found;
        let (actions, downstream): (Vec<&Hit>, Vec<&Hit>) =
            found.hits.iter().partition(|hit| hit.credential == Some(0) && hit.depth == 0);
        let mut uses: HashMap<usize, (u64, Timestamp, Timestamp)> = HashMap::new();
        for hit in &found.hits {
            if let Some(at) = hit.credential {
                let entry = uses.entry(at).or_insert((0, hit.time, hit.time));
                *entry = (entry.0 + 1, entry.1.min(hit.time), entry.2.max(hit.time));
            }
        }
        let mut credentials = Vec::new();
        for (at, known) in found.credentials.iter().enumerate() {
            credentials.push(self.credential(known, uses.get(&at).copied())?);
        }
        let (mut revoke, mut ended): (Vec<BlastCredential>, Vec<BlastCredential>) = credentials
            .iter()
            .cloned()
            .partition(|credential| matches!(&*credential.state, "active" | "unknown"));
        let mut counts = Counts {
            actions: actions.len() as u64,
            downstream: downstream.len() as u64,
            failed: found.hits.iter().filter(|hit| is_failed(hit)).count() as u64,
            credentials: found.credentials.len() as u64 - 1,
            active: revoke.len() as u64,
            principals: found.made.len() as u64,
            changed: found.changes.len() as u64,
            ..Counts::default()
        };
        let by_use =
            |credential: &BlastCredential| (credential.depth, std::cmp::Reverse(credential.last_used));
        revoke.sort_by_key(by_use);
        ended.sort_by_key(by_use);
        let mut cut: Vec<String> = found.cut.iter().map(|what| (*what).to_owned()).collect();
        for (what, list) in [("credentials to revoke", &mut revoke), ("credentials that ended", &mut ended)] {
            if list.len() > MOST_TOLD {
                cut.push(format!("{} {what} are not listed", list.len() - MOST_TOLD));
                list.truncate(MOST_TOLD);
            }
        }
        let bypasses = self.bypasses(declared, &mut counts, limit, &mut cut)?;
        let page = |hits: &[&Hit]| {
            hits.iter().skip(after).take(limit).map(|hit| (*hit).clone()).collect::<Vec<Hit>>()
        };
        let (first, second) = (page(&actions), page(&downstream));
        let more = actions.len().max(downstream.len()) > after.saturating_add(limit);
        // The first is the one that was asked for.
        let Some(credential) = credentials.into_iter().next() else { return Ok(None) };
        Ok(Some(Blast {
            credential,
            counts,
            first_use: found.hits.first().map(|hit| hit.time),
            last_use: found.hits.last().map(|hit| hit.time),
            who: self.who()?,
            revoke,
            ended,
            touched: self.tally(|hit| hit.resource),
            operations: self.tally(|hit| hit.operation),
            systems: self.tally(|hit| hit.system),
            changed: self.changed(&mut cut)?,
            actions: self.rows(&first)?,
            downstream: self.rows(&second)?,
            bypasses,
            next: more.then_some(after.saturating_add(limit)).filter(|_| limit > 0),
            cut,
        }))
    }

    fn credential(
        &mut self,
        known: &Known,
        uses: Option<(u64, Timestamp, Timestamp)>,
    ) -> Result<BlastCredential, LedgerError> {
        let holder = match known.holder {
            Some((account, leaf)) => Some(self.called(account, leaf)?),
            None => None,
        };
        Ok(BlastCredential {
            name: self.name_of(known),
            names: known.names.iter().cloned().collect(),
            kind: known.kind.clone(),
            issuer: known.issuer.clone(),
            holder,
            state: standing(known).as_str().to_owned(),
            issued: known.issued.map(|(time, _)| time),
            expires: known.expires,
            depth: known.depth,
            parent: known
                .parent
                .and_then(|at| self.found.credentials.get(at))
                .map(|parent| self.name_of(parent)),
            record: known.issued.map(|(_, record)| record),
            uses: uses.map_or(0, |(uses, ..)| uses),
            first_used: uses.map(|(_, first, _)| first),
            last_used: uses.map(|(.., last)| last),
        })
    }

    /// As it was asked for; else by an id, which says more to people than a fingerprint.
    fn name_of(&self, known: &Known) -> String {
        let asked = known.names.iter().find(|name| *name == self.asked);
        let id = known.names.iter().find(|name| !name.starts_with("sha256:"));
        asked.or(id).or(known.names.first()).cloned().unwrap_or_default()
    }

    fn who(&mut self) -> Result<Vec<Tally>, LedgerError> {
        let mut all: HashMap<Account, (u64, Timestamp, u64)> = HashMap::new();
        for hit in &self.found.hits {
            if let Some(account) = hit.executor {
                let entry = all.entry(account).or_insert((0, hit.time, hit.leaf));
                entry.0 += 1;
                entry.1 = entry.1.max(hit.time);
            }
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_unstable_by_key(|(account, (count, ..))| (std::cmp::Reverse(*count), *account));
        all.truncate(MOST_TALLIED);
        let told = all.into_iter().map(|(account, (count, last, leaf))| {
            Ok(Tally { name: self.called(account, leaf)?, count, last: Some(last) })
        });
        told.collect()
    }

    fn tally(&self, of: impl Fn(&Hit) -> u32) -> Vec<Tally> {
        let mut all: HashMap<u32, (u64, Timestamp)> = HashMap::new();
        for hit in &self.found.hits {
            let entry = all.entry(of(hit)).or_insert((0, hit.time));
            *entry = (entry.0 + 1, entry.1.max(hit.time));
        }
        let mut told: Vec<Tally> = all
            .into_iter()
            .filter_map(|(word, (count, last))| {
                Some(Tally { name: self.found.texts.word(word)?.to_owned(), count, last: Some(last) })
            })
            .collect();
        told.sort_unstable_by(|a, b| (b.count, &a.name).cmp(&(a.count, &b.name)));
        told.truncate(MOST_TALLIED);
        told
    }

    fn changed(&mut self, cut: &mut Vec<String>) -> Result<Vec<Changed>, LedgerError> {
        let mut told = Vec::new();
        for change in &self.found.changes {
            if told.len() >= MOST_TOLD {
                cut.push(format!("only the first {MOST_TOLD} changes of authority are listed"));
                break;
            }
            let sealed = self.evidence.ledger().leaf(change.leaf)?;
            let record = parse(&sealed)?;
            for effect in record.effects.iter().flatten() {
                let terms = effect.terms.as_ref();
                let credential = effect.credential.as_ref().and_then(|credential| credential.names().next());
                let scopes =
                    terms.map(|terms| terms.scopes.iter().map(|s| &**s).collect::<Vec<_>>().join(" "));
                let what = credential
                    .map(str::to_owned)
                    .or(scopes.filter(|scopes| !scopes.is_empty()))
                    .or(terms.and_then(|terms| terms.role.as_ref()).map(|role| role.to_string()))
                    .or(effect.resource.as_ref().map(|resource| resource.uri.to_string()));
                let subject = terms.and_then(|terms| terms.subject.as_ref());
                told.push(Changed {
                    record: record.id,
                    time: record.time,
                    kind: effect.kind,
                    change: terms.and_then(|terms| terms.change).map(|change| change.as_str().to_owned()),
                    what,
                    subject: self.party(subject, change.leaf)?,
                });
            }
        }
        Ok(told)
    }

    fn rows(&mut self, hits: &[Hit]) -> Result<Vec<BlastRow>, LedgerError> {
        hits.iter().map(|hit| self.row(hit)).collect()
    }

    fn row(&mut self, hit: &Hit) -> Result<BlastRow, LedgerError> {
        let sealed = self.evidence.ledger().leaf(hit.leaf)?;
        let record = parse(&sealed)?;
        let status = match hit.status {
            None if hit.kind == Kind::Intent => self.ended(hit.id)?,
            status => status,
        };
        let credential = hit.credential.and_then(|at| self.found.credentials.get(at));
        Ok(BlastRow {
            id: hit.id,
            kind: hit.kind,
            time: hit.time,
            credential: credential.map(|known| self.name_of(known)),
            depth: hit.depth,
            initiator: self.party(record.initiator.as_ref(), hit.leaf)?,
            executor: self.party(record.executor.as_ref(), hit.leaf)?,
            tool: record.tool.as_ref().map(|tool| match &tool.server {
                Some(server) => format!("{server}/{}", tool.name),
                None => tool.name.to_string(),
            }),
            operation: record.operation.as_ref().map(|operation| operation.to_string()),
            resource: record.resource.as_ref().map(|resource| resource.uri.to_string()),
            system: system(&record).to_owned(),
            environment: record.environment.as_ref().map(|environment| environment.to_string()),
            effect: record.decision.as_ref().map(|decision| decision.effect),
            status,
        })
    }

    /// How an intent ended: a real end before `unknown`.
    fn ended(&self, id: RecordId) -> Result<Option<Status>, LedgerError> {
        let mut ended = None;
        for index in self.evidence.ledger().lookup(&Key::Ref(id), MOST_ENDINGS, None)? {
            let sealed = self.evidence.ledger().leaf(index)?;
            let record = parse(&sealed)?;
            if record.action == Some(id)
                && let Some(outcome) = &record.outcome
                && ended.is_none_or(|status| status == Status::Unknown)
            {
                ended = Some(outcome.status);
            }
        }
        Ok(ended)
    }

    /// Actions that should have come through Deed, and on which Deed did not decide.
    fn bypasses(
        &mut self,
        declared: &DeclaredIn,
        counts: &mut Counts,
        limit: usize,
        cut: &mut Vec<String>,
    ) -> Result<Vec<Bypass>, LedgerError> {
        let found = self.found;
        // When Deed decided on something that was done with each credential.
        let mut intents: HashMap<usize, Vec<i64>> = HashMap::new();
        let decided = found.hits.iter().filter(|hit| hit.basis == Basis::Enforced);
        let traces: HashSet<_> = decided.clone().filter_map(|hit| hit.trace).collect();
        for hit in decided {
            if let Some(at) = hit.credential {
                intents.entry(at).or_default().push(hit.time.0);
            }
        }
        let (mut told, mut why): (Vec<Bypass>, BTreeMap<&str, u64>) = (Vec::new(), BTreeMap::new());
        for hit in &found.hits {
            let passed = if hit.basis == Basis::Enforced {
                Passed::Decided
            } else if hit.basis == Basis::Reported {
                Passed::Unverified(ONLY_TOLD)
            } else if hit.trace.is_some_and(|trace| traces.contains(&trace)) || found.answers(&intents, hit) {
                Passed::Decided
            } else {
                let known = hit
                    .executor
                    .and_then(|account| declared.of(account))
                    .and_then(|at| declared.principal(at));
                let at_deed = hit.credential.is_some_and(|at| found.at_deed.contains(&at));
                match known {
                    None => Passed::Unverified(UNGOVERNED),
                    Some(known) if known.governed => Passed::Bypassed(GOVERNED),
                    Some(_) if at_deed => Passed::Bypassed(FOR_DEED),
                    Some(_) => Passed::Unverified(NOT_AT_DEED),
                }
            };
            match passed {
                Passed::Decided => counts.decided += 1,
                Passed::Unverified(reason) => {
                    counts.unverified += 1;
                    *why.entry(reason).or_default() += 1;
                }
                Passed::Bypassed(why) => {
                    counts.bypassed += 1;
                    if told.len() < limit {
                        let row = self.row(hit)?;
                        told.push(Bypass {
                            id: hit.id,
                            time: hit.time,
                            executor: row.executor,
                            operation: row.operation,
                            resource: row.resource,
                            system: row.system,
                            why: why.to_owned(),
                        });
                    }
                }
            }
        }
        if counts.bypassed as usize > told.len() {
            cut.push(format!("only the first {} bypasses are listed", told.len()));
        }
        let mut why: Vec<Tally> =
            why.into_iter().map(|(name, count)| Tally { name: name.to_owned(), count, last: None }).collect();
        why.sort_by(|a, b| (b.count, &a.name).cmp(&(a.count, &b.name)));
        counts.unverified_why = why;
        Ok(told)
    }

    fn party(&mut self, party: Option<&Party<'_>>, leaf: u64) -> Result<Option<String>, LedgerError> {
        match party.and_then(|party| party.account) {
            Some(account) => self.called(account, leaf).map(Some),
            None => Ok(None),
        }
    }

    /// What an account is called that leaf `leaf` names: its alias, else as it is sealed.
    fn called(&mut self, account: Account, leaf: u64) -> Result<String, LedgerError> {
        Ok(self.names.at(account, leaf)?.map_or_else(|| account.to_string(), |name| name.key))
    }
}

impl Gathered {
    /// Whether Deed decided on something with this credential, or with what it came from, about then.
    fn answers(&self, intents: &HashMap<usize, Vec<i64>>, hit: &Hit) -> bool {
        // Hits are in the order of time, and so are these.
        let near = |times: &Vec<i64>| {
            let first = times.partition_point(|time| *time < hit.time.0 - MATCHES_WITHIN);
            times.get(first).is_some_and(|time| *time <= hit.time.0 + CLOCKS)
        };
        let mut at = hit.credential;
        // What a credential came from was found before it.
        for _ in 0..self.credentials.len() {
            let Some(credential) = at else { return false };
            if intents.get(&credential).is_some_and(near) {
                return true;
            }
            at = self.credentials.get(credential).and_then(|known| known.parent);
        }
        false
    }
}

fn is_failed(hit: &Hit) -> bool {
    matches!(hit.status, Some(Status::Failure | Status::Denied | Status::Cancelled | Status::TimedOut))
}

/// What stands of a credential now, by event time.
fn standing(known: &Known) -> Standing {
    let ended = |change: Change| {
        known.ended.get(&change).is_some_and(|ended| known.begun.is_none_or(|begun| begun <= *ended))
    };
    if ended(Change::Revoked) {
        Standing::Revoked
    } else if ended(Change::Expired) || known.expires.is_some_and(|expires| expires <= now()) {
        Standing::Expired
    } else if ended(Change::Rotated) {
        Standing::Rotated
    } else if known.begun.is_some() {
        Standing::Active
    } else {
        Standing::Unknown
    }
}
