//! Putting an explanation together.

use std::collections::{BTreeMap, BTreeSet};

use deed_identity::CredentialKey;
use deed_record::{Basis, Credential, RecordId};

use crate::{
    Checkpoint, Evidence, ExplainError, Explanation,
    authority::is_request,
    case::{Case, Rec, Shelf},
    explanation::{EvidenceList, EvidenceRecord, Finding, MOST_COUNTERPARTS, Missing},
    gather::{MOST_RECORDS, gather},
    given,
    names::Names,
    tuning::Matter,
    verdict::Links,
    view,
    weigh::weigh,
    withdrawn,
    words::Edge,
};

/// Explains the action that record `id` belongs to; `None` where there is no such record.
///
/// # Errors
/// The evidence cannot be read, or the record is part of no action.
pub fn explain<E: Evidence>(
    evidence: &E,
    id: RecordId,
    at: &Checkpoint,
) -> Result<Option<Explanation>, ExplainError<E::Error>> {
    let shelf = Shelf::new(MOST_RECORDS);
    let Some(case) = gather(evidence, &shelf, id)? else {
        return Ok(None);
    };
    let links = Links::of(&case);
    let used = used(&links);
    let newest_first = used.iter().rev().copied();
    let names = Names::of(evidence, std::iter::once(case.head()).chain(newest_first))?;
    let mut disclosable = BTreeSet::new();
    let (verdict, mut findings) = weigh(evidence, &links)?;
    mark(evidence, &links, &mut findings).map_err(ExplainError::Evidence)?;
    for rec in case.of_action().chain(case.told()) {
        disclosable.extend(evidence.disclosable(rec.found).map_err(ExplainError::Evidence)?);
    }
    Ok(Some(Explanation {
        action: view::action(&case),
        initiator: view::initiator(&links, &names),
        executor: view::executor(&links, &names),
        chain: view::chain(&links, &names),
        request: links.rights.request.as_ref().map(|request| view::asked(request, &case, &names)),
        approvals: links.rights.answers.iter().map(|answer| view::answered(answer, &case, &names)).collect(),
        grant: links.rights.grant.as_ref().map(|grant| given::given(grant, &links, &names)),
        credential: view::credential(&links),
        decision: view::decision(&links),
        outcome: view::outcome(&links),
        counterparts: case.counterparts.iter().take(MOST_COUNTERPARTS).map(view::counterpart).collect(),
        more_counterparts: case.counterparts.len().saturating_sub(MOST_COUNTERPARTS),
        verdict,
        findings,
        missing: missing(&links),
        disclosable: disclosable.into_iter().collect(),
        evidence: evidence_list(&case, &used, at),
    }))
}

/// Says of each finding by what it is suppressed now, if it is.
fn mark<E: Evidence>(evidence: &E, links: &Links<'_>, findings: &mut [Finding]) -> Result<(), E::Error> {
    let head = &links.case.head().is;
    let names = head.credential.iter().flat_map(Credential::names);
    let credentials: Vec<CredentialKey> = names.map(|name| CredentialKey::of(&head.tenant, name)).collect();
    let people = [links.people.initiator.account(), links.people.executor.account()];
    for finding in findings {
        let matter = Matter {
            rule: &finding.rule,
            record: head.id,
            accounts: people.into_iter().flatten().collect(),
            credentials: credentials.clone(),
            resource: head.resource.as_ref().map(|resource| &*resource.uri),
        };
        finding.suppressed = evidence.suppressed(&head.tenant, &matter)?;
    }
    Ok(())
}

/// Records that the answer rests on, by event time.
fn used<'l, 'c>(links: &'l Links<'c>) -> Vec<&'l Rec<'c>> {
    let case = links.case;
    let mut all: Vec<&Rec<'c>> = case.of_action().chain(case.told()).collect();
    all.extend(case.records.iter().filter(|rec| {
        let own = |id: &RecordId| case.family.contains(id) || case.told.contains(id);
        let same_event = rec.is.conflicts_with.as_ref().is_some_and(own);
        case.superseded.contains(&rec.is.id) && own(&rec.is.id) || same_event
    }));
    all.extend(case.head().is.conflicts_with.and_then(|id| case.get(id)));
    all.extend(&links.people.initiator.records);
    all.extend(&links.people.executor.records);
    all.extend(links.people.chain.iter().flat_map(|hop| &hop.records));
    all.extend(&links.lineage.records);
    all.extend(links.lineage.own().into_iter().flat_map(|level| &level.claims).map(|claim| claim.rec));
    all.extend(links.lineage.levels.iter().filter_map(|level| level.standing.revoked).map(|claim| claim.rec));
    all.extend(links.suspended());
    all.extend(withdrawn::of(links).map(|taken| taken.rec));
    all.extend(links.rights.request.iter().map(|request| request.claim.rec));
    all.extend(links.rights.grant.iter().flat_map(given::records));
    all.extend(given::derived_from(links));
    all.extend(links.ended.undone_by.iter().chain(&links.ended.retried_by).map(|later| later.rec));
    all.extend(links.rights.answers.iter().map(|answer| answer.claim.rec));
    let by_time: BTreeMap<_, _> = all.into_iter().map(|rec| ((rec.is.time, rec.is.id), rec)).collect();
    by_time.into_values().collect()
}

/// Every link that no record gives, in the order of the explanation.
fn missing(links: &Links<'_>) -> Vec<Missing> {
    let named = |link: &str| {
        links
            .rights
            .absent
            .iter()
            .find(|(what, _)| *what == link)
            .map(|(_, id)| format!("{id} is named and is not in this log"))
    };
    let mut missing = Vec::new();
    let mut add = |link: &str, reason: String| missing.push(Missing { link: link.to_owned(), reason });
    for (link, somebody) in [("initiator", &links.people.initiator), ("executor", &links.people.executor)] {
        if somebody.edge == Edge::Missing {
            add(link, somebody.how.clone());
        }
    }
    let own = links.case.of_action().filter_map(|rec| rec.is.request).any(|id| is_request(links.case, id));
    if links.rights.request.is_none() && !own {
        add("request", named("request").unwrap_or_else(|| "no record names a request".to_owned()));
    }
    // Where policy asked for nobody, nobody is missing.
    let needed = !links.decided.needs_nobody() && links.rights.answers.is_empty();
    if let Some(reason) = named("approvals").or_else(|| needed.then(|| "no record approves it".to_owned())) {
        add("approvals", reason);
    }
    if links.rights.grant.is_none() {
        let other =
            links.case.of_action().find_map(|rec| rec.is.grant).filter(|id| links.case.get(*id).is_some());
        let reason = named("grant").or_else(|| other.map(|id| format!("{id} is named, and is no grant")));
        add(
            "grant",
            reason.unwrap_or_else(|| match &links.warrant {
                Ok(_) => "no grant is named: the decision gave the right".to_owned(),
                Err(_) => match links.rights.held {
                    0 => "no record gives the right to do it".to_owned(),
                    1 => "whoever acted held a right; whether it covers this is not known".to_owned(),
                    held => format!("whoever acted held {held} rights; whether one covers this is not known"),
                },
            }),
        );
    }
    if links.lineage.edge == Edge::Missing {
        add("credential", links.lineage.how.clone());
    }
    let decided = links.case.of_action().any(|rec| rec.is.decision.is_some());
    if !decided {
        let observed = links.case.head().is.basis != Basis::Enforced;
        let reason = if observed {
            "observed only: Deed was not in the path"
        } else {
            "policy is not asked about it: it is recorded, and passes"
        };
        add("decision", reason.to_owned());
    }
    if links.ended.stands.is_none() {
        add("outcome", links.ended.how.clone());
    }
    missing
}

fn evidence_list(case: &Case<'_>, used: &[&Rec<'_>], at: &Checkpoint) -> EvidenceList {
    let head = case.head();
    EvidenceList {
        log: head.found.log.to_string(),
        index: head.found.sealed.index,
        leaf_hash: hex(&head.found.leaf_hash),
        checkpoint_size: at.size,
        checkpoint_time: at.time,
        complete: case.cut.is_empty(),
        records: used
            .iter()
            .map(|rec| EvidenceRecord {
                id: rec.is.id,
                kind: rec.is.kind,
                log: rec.found.log.to_string(),
                index: rec.found.sealed.index,
                leaf_hash: hex(&rec.found.leaf_hash),
            })
            .collect(),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
