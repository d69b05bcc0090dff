//! Counting what was gathered, and writing out one page of it.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap, HashSet},
    time::Duration,
};

use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Kind, Party, RecordId, Status, Timestamp};
use deed_review::Evidence;

use super::{
    Blast, BlastCredential, BlastRow, Changed, Counts, DEFAULT_LIMIT, MOST_ROWS, Tally,
    gather::{ChangedAt, Gathered, Hit, Known, gather, system},
    review::{self, Found, Judged},
    stands::standing,
};
use crate::{
    evidence::{LedgerEvidence, parse},
    findings::Findings,
    identity::{BlastQuery, DeclaredIn, Identities, IdentityError, names::Names},
};

/// How many of each tally are told.
const MOST_TALLIED: usize = 20;
/// Changes and credentials that are told.
const MOST_TOLD: usize = 1000;
/// Records of one action that are looked at for its outcome.
const MOST_ENDINGS: usize = 16;
/// How long it waits until all records are folded.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked for, and whose it is.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'q> {
    pub(crate) tenant: &'q str,
    pub(crate) credential: &'q str,
    pub(crate) query: &'q BlastQuery,
}

/// Everything that one credential led to; `None` where no record names it.
///
/// # Errors
/// The store cannot be read.
pub(crate) fn blast(
    evidence: &LedgerEvidence<'_>,
    identities: &Identities,
    declared: &DeclaredIn,
    findings: &Findings,
    Asked { tenant, credential, query }: Asked<'_>,
) -> Result<Option<Blast>, LedgerError> {
    let names = names_of(evidence, tenant, credential)?;
    let Some(mut found) = gather(evidence, tenant, &names)? else { return Ok(None) };
    match identities.now(PATIENCE) {
        Ok(followed) => found.withdraw(&followed.state, tenant),
        Err(IdentityError::Ledger(error)) => return Err(error),
        // Whoever contains a leak is told what is known.
        Err(_) => {
            found.withdraw(&identities.as_it_is().state, tenant);
            found.cut.insert(
                "not all records are folded: sessions that were revoked all at once may count as active",
            );
        }
    }
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).min(MOST_ROWS);
    let mut teller = Teller {
        evidence,
        found: &found,
        review: review::found(findings, tenant, &found, evidence.ledger().size())?,
        judged: HashMap::new(),
        names: Names::new(evidence),
        asked: credential,
    };
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

pub(super) struct Teller<'t> {
    evidence: &'t LedgerEvidence<'t>,
    pub(super) found: &'t Gathered,
    pub(super) review: Found,
    judged: HashMap<RecordId, Judged>,
    names: Names<'t>,
    asked: &'t str,
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
        let mut uses: HashMap<usize, Vec<&Hit>> = HashMap::new();
        for hit in &found.hits {
            if let Some(at) = hit.credential {
                uses.entry(at).or_default().push(hit);
            }
        }
        let (mut revoke, mut ended, mut first) = (Vec::new(), Vec::new(), None);
        for (at, known) in found.credentials.iter().enumerate() {
            let uses = uses.get(&at).map_or(&[][..], Vec::as_slice);
            let (is_due, why) = self.to_revoke(known, uses)?;
            let told = self.credential(known, declared, why, uses)?;
            // The first is the one that was asked for.
            first.get_or_insert_with(|| told.clone());
            if is_due { &mut revoke } else { &mut ended }.push(told);
        }
        let mut counts = Counts {
            actions: actions.len() as u64,
            downstream: downstream.len() as u64,
            failed: found.hits.iter().filter(|hit| is_failed(hit)).count() as u64,
            credentials: found.credentials.len() as u64 - 1,
            active: revoke.len() as u64,
            principals: found
                .made
                .iter()
                .filter(|made| !made.by_password)
                .map(|made| made.account)
                .collect::<BTreeSet<_>>()
                .len() as u64,
            changed: found.changes.len() as u64,
            unnamed: found.unnamed.actions,
            ..Counts::default()
        };
        let by_use = |credential: &BlastCredential| {
            (credential.depth, Reverse(credential.last_used), credential.name.clone())
        };
        revoke.sort_by_cached_key(by_use);
        ended.sort_by_cached_key(by_use);
        let mut cut: Vec<String> = found.cut.iter().map(|what| (*what).to_owned()).collect();
        for (what, list) in [("credentials to revoke", &mut revoke), ("credentials that ended", &mut ended)] {
            if list.len() > MOST_TOLD {
                cut.push(format!("{} {what} are not listed", list.len() - MOST_TOLD));
                list.truncate(MOST_TOLD);
            }
        }
        let past = self.past(declared, &mut counts);
        if past.len() > limit {
            cut.push(format!("only the first {limit} bypasses are listed"));
        }
        let page = |hits: &[&Hit]| {
            hits.iter().skip(after).take(limit).map(|hit| (*hit).clone()).collect::<Vec<Hit>>()
        };
        let (first_page, second_page) = (page(&actions), page(&downstream));
        let more = actions.len().max(downstream.len()) > after.saturating_add(limit);
        let Some(credential) = first else { return Ok(None) };
        // What is graver first, then in the order of time.
        let mut listed: Vec<&Hit> = first_page.iter().chain(&second_page).collect();
        listed.sort_by_key(|hit| (hit.time, hit.id));
        let mut seen = HashSet::new();
        let to_judge = past.iter().take(limit).map(|(hit, _)| hit.id).chain(listed.iter().map(|hit| hit.id));
        let to_judge: Vec<RecordId> = to_judge.filter(|id| seen.insert(*id)).collect();
        self.judged = review::judge(self.evidence, &to_judge)?;
        let bypasses = past.iter().take(limit).map(|(hit, why)| self.bypass(hit, why));
        let bypasses = bypasses.collect::<Result<_, LedgerError>>()?;
        Ok(Some(Blast {
            credential,
            counts,
            review: review::review(&self.review, &self.judged),
            first_use: found.hits.first().map(|hit| hit.time),
            last_use: found.hits.last().map(|hit| hit.time),
            who: self.who()?,
            revoke,
            ended,
            touched: self.tally(|hit| hit.resource),
            operations: self.tally(|hit| hit.operation),
            systems: self.tally(|hit| hit.system),
            changed: self.changed(&found.changes, &mut cut)?,
            unnamed: self.changed(&found.unnamed.changes, &mut cut)?,
            actions: self.rows(&first_page)?,
            downstream: self.rows(&second_page)?,
            bypasses,
            next: more.then_some(after.saturating_add(limit)).filter(|_| limit > 0),
            cut,
        }))
    }

    fn credential(
        &mut self,
        known: &Known,
        declared: &DeclaredIn,
        why: Option<String>,
        uses: &[&Hit],
    ) -> Result<BlastCredential, LedgerError> {
        let holders = self.holders(known, declared)?;
        Ok(BlastCredential {
            name: self.name_of(known)?,
            names: known.names.iter().cloned().collect(),
            kind: known.kind.clone(),
            issuer: known.issuer.clone(),
            holder: holders.first().filter(|_| holders.len() == 1).cloned(),
            holders,
            why,
            state: standing(known).as_str().to_owned(),
            issued: known.issued.map(|(time, _)| time),
            expires: known.expires,
            depth: known.depth,
            parent: known
                .parent
                .and_then(|at| self.found.credentials.get(at))
                .map(|parent| self.name_of(parent))
                .transpose()?,
            record: known.issued.map(|(_, record)| record),
            uses: uses.len() as u64,
            first_used: uses.first().map(|hit| hit.time),
            last_used: uses.last().map(|hit| hit.time),
        })
    }

    /// As it was asked for; else by an id, which says more to people than a fingerprint; else by whose it is.
    fn name_of(&mut self, known: &Known) -> Result<String, LedgerError> {
        let asked = known.names.iter().find(|name| *name == self.asked);
        let id = known.names.iter().find(|name| !name.starts_with("sha256:"));
        if let Some(name) = asked.or(id).or(known.names.first()) {
            return Ok(name.clone());
        }
        let Some((account, leaf)) = known.subjects.first_key_value() else { return Ok(String::new()) };
        let kind = known.kind.as_deref().unwrap_or("credential");
        Ok(format!("{kind} of {}", self.called(*account, *leaf)?))
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
        all.sort_unstable_by_key(|(account, (count, last, _))| (Reverse(*count), Reverse(*last), *account));
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

    fn changed(&mut self, changes: &[ChangedAt], cut: &mut Vec<String>) -> Result<Vec<Changed>, LedgerError> {
        let mut told = Vec::new();
        for change in changes {
            if told.len() >= MOST_TOLD {
                cut.push(format!("only the first {MOST_TOLD} changes of authority are listed"));
                break;
            }
            let sealed = self.evidence.ledger().leaf(change.leaf)?;
            let record = parse(&sealed)?;
            for effect in record.effects.iter().flatten() {
                let terms = effect.terms.as_ref();
                let credential = effect.credential.as_ref();
                let credential_type = credential.and_then(|credential| credential.kind.as_deref());
                let scopes =
                    terms.map(|terms| terms.scopes.iter().map(|s| &**s).collect::<Vec<_>>().join(" "));
                let what = credential
                    .and_then(|credential| credential.names().next().or(credential_type))
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
                    credential_type: credential_type.map(str::to_owned),
                    subject: self.party(subject, change.leaf)?,
                });
            }
        }
        Ok(told)
    }

    fn rows(&mut self, hits: &[Hit]) -> Result<Vec<BlastRow>, LedgerError> {
        hits.iter().map(|hit| self.row(hit)).collect()
    }

    pub(super) fn row(&mut self, hit: &Hit) -> Result<BlastRow, LedgerError> {
        let sealed = self.evidence.ledger().leaf(hit.leaf)?;
        let record = parse(&sealed)?;
        let status = match hit.status {
            None if hit.kind == Kind::Intent => self.ended(hit.id)?,
            status => status,
        };
        let credential = hit.credential.and_then(|at| self.found.credentials.get(at));
        let credential = credential.map(|known| self.name_of(known)).transpose()?;
        let said = self.party(record.initiator.as_ref(), hit.leaf)?;
        let judged = self.judged.get(&hit.id);
        Ok(BlastRow {
            id: hit.id,
            kind: hit.kind,
            time: hit.time,
            credential,
            depth: hit.depth,
            initiator: judged.map_or(said, |judged| judged.initiator.clone()),
            initiator_principal: judged.and_then(|judged| judged.principal.clone()),
            initiator_type: judged.map(|judged| judged.kind),
            initiator_edge: judged.map(|judged| judged.edge),
            class: judged.map(|judged| judged.class),
            authority: judged.map(|judged| judged.authority),
            rules: self.review.rules.get(&hit.id).cloned().unwrap_or_default(),
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
    pub(super) fn ended(&self, id: RecordId) -> Result<Option<Status>, LedgerError> {
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

    fn party(&mut self, party: Option<&Party<'_>>, leaf: u64) -> Result<Option<String>, LedgerError> {
        match party.and_then(|party| party.account) {
            Some(account) => self.called(account, leaf).map(Some),
            None => Ok(None),
        }
    }

    /// What an account is called that leaf `leaf` names: its alias, else as it is sealed.
    pub(super) fn called(&mut self, account: Account, leaf: u64) -> Result<String, LedgerError> {
        Ok(self.names.at(account, leaf)?.map_or_else(|| account.to_string(), |name| name.key))
    }
}

fn is_failed(hit: &Hit) -> bool {
    matches!(hit.status, Some(Status::Failure | Status::Denied | Status::Cancelled | Status::TimedOut))
}
