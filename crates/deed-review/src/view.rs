//! Links as an explanation shows them.

use std::collections::BTreeSet;

use deed_record::{Basis, Change, PrincipalType, RecordId, Status, Text};

use crate::{
    approvals::{Answered, Worth},
    authority::Asked,
    case::{Case, Rec, Standing, Tie},
    claim::subject,
    decided::asked_by,
    explanation::{
        Action, Again, Also, Approval, Artifact, Counterpart, Credential, Decision, Ending, Executor, Hop,
        Initiator, Later, LifecycleEvent, Outcome, Request, Resource, Source, Tool,
    },
    names::Names,
    verdict::Links,
    withdrawn::{self, Taken},
    words::{Edge, beside},
};

pub(crate) fn ids<'r, 'c: 'r>(records: impl IntoIterator<Item = &'r Rec<'c>>) -> Vec<RecordId> {
    let ids: BTreeSet<_> = records.into_iter().map(|rec| (rec.is.time, rec.is.id)).collect();
    ids.into_iter().map(|(_, id)| id).collect()
}

pub(crate) fn owned(text: &Option<Text<'_>>) -> Option<String> {
    text.as_ref().map(|text| text.to_string())
}

pub(crate) fn list(texts: &[Text<'_>]) -> Vec<String> {
    texts.iter().map(|text| text.to_string()).collect()
}

pub(crate) fn action(case: &Case<'_>) -> Action {
    let rec = &case.head().is;
    let conflicts = case.records.iter().filter(|other| {
        other.is.conflicts_with.is_some_and(|id| case.family.contains(&id))
            || rec.conflicts_with == Some(other.is.id)
    });
    Action {
        id: rec.id,
        kind: rec.kind,
        step_type: rec.step_type,
        time: rec.time,
        recorded: rec.recorded,
        spooled: rec.spooled,
        tenant: rec.tenant.to_string(),
        environment: owned(&rec.environment),
        trace_id: rec.trace_id,
        span_id: rec.span_id,
        parent_span_id: rec.parent_span_id,
        session: owned(&rec.session),
        task: owned(&rec.task),
        tool: rec.tool.as_ref().map(tool),
        operation: owned(&rec.operation),
        permission: owned(&rec.permission),
        resource: rec.resource.as_ref().map(resource),
        artifact: rec.artifact.as_ref().map(|artifact| Artifact {
            name: artifact.name.to_string(),
            digest: owned(&artifact.digest),
            signer: owned(&artifact.signer),
        }),
        address: rec.personal.and_then(|personal| personal.address),
        device: rec.personal.and_then(|personal| personal.device),
        basis: rec.basis,
        source: rec.source.as_ref().map(|source| Source {
            system: source.system.to_string(),
            event_id: owned(&source.event_id),
            collector: owned(&source.collector),
        }),
        submitter: rec.submitter.to_string(),
        supersedes: ids(case.records.iter().filter(|other| {
            case.superseded.contains(&other.is.id)
                && case.family.contains(&other.is.id)
                && other.is.action == rec.action
        })),
        conflicts: ids(conflicts.filter(|other| other.is.id != rec.id)),
    }
}

pub(crate) fn tool(tool: &deed_record::Tool<'_>) -> Tool {
    Tool {
        server: owned(&tool.server),
        name: tool.name.to_string(),
        version: owned(&tool.version),
        digest: owned(&tool.digest),
    }
}

pub(crate) fn resource(resource: &deed_record::Resource<'_>) -> Resource {
    Resource {
        uri: resource.uri.to_string(),
        kind: owned(&resource.kind),
        classification: owned(&resource.classification),
    }
}

pub(crate) fn initiator(links: &Links<'_>, names: &Names) -> Initiator {
    let somebody = &links.people.initiator;
    let who = somebody.party.map_or_else(Names::nobody, |party| names.who(party));
    Initiator {
        key: who.key,
        kind: who.kind,
        name: who.name,
        principal: who.principal,
        account: who.account,
        edge: somebody.edge,
        how: somebody.how.clone(),
        records: ids(somebody.records.iter().copied()),
    }
}

pub(crate) fn executor(links: &Links<'_>, names: &Names) -> Executor {
    let somebody = &links.people.executor;
    let declared = somebody.party.and_then(|party| names.declared(party));
    let who = somebody.party.map_or_else(Names::nobody, |party| names.who(party));
    Executor {
        key: who.key,
        kind: who.kind,
        name: who.name,
        principal: who.principal,
        account: who.account,
        instance: who.instance,
        vendor: who.vendor,
        owner: declared.and_then(|declared| declared.owner.clone()),
        sponsor: declared.and_then(|declared| declared.sponsor.clone()),
        also: also(links, names),
        impersonated: links.case.head().is.impersonated().map(|party| names.who(party)),
        edge: somebody.edge,
        how: somebody.how.clone(),
        records: ids(somebody.records.iter().copied()),
    }
}

/// Whom the credential was issued to, where that is another account than the one that acted. A person is no machine,
/// two principals of the inventory are not one, and a credential of several tells nobody apart.
fn also(links: &Links<'_>, names: &Names) -> Vec<Also> {
    let case = links.case;
    let Some(acting) = links.people.executor.party else { return Vec::new() };
    let (Some(account), Some(own)) = (acting.account, links.lineage.own()) else { return Vec::new() };
    let issued = || own.issued_before(case.time()).filter(|claim| claim.rec.firm());
    let holders: BTreeSet<_> = issued().filter_map(subject).collect();
    let Some(holder) = holders.first().filter(|holder| holders.len() == 1 && **holder != account) else {
        return Vec::new();
    };
    let given: Vec<_> = issued().filter(|claim| subject(claim) == Some(*holder)).collect();
    let party = given.iter().find_map(|claim| claim.terms?.subject.as_ref());
    let (Some(party), Some(first)) = (party, given.first()) else { return Vec::new() };
    let is_known = |kind: PrincipalType| kind != PrincipalType::Unknown;
    let person = |kind: PrincipalType| kind == PrincipalType::Human;
    let (holder, acts) = (case.kind(party), case.kind(acting));
    let other_sort = is_known(holder) && is_known(acts) && person(holder) != person(acts);
    let declared = case.declared(party).zip(case.declared(acting));
    if other_sort || declared.is_some_and(|(one, other)| one.key != other.key) || !case.head().firm() {
        return Vec::new();
    }
    let enforced = |rec: &Rec<'_>| rec.is.basis == Basis::Enforced;
    let edge = if enforced(case.head()) && enforced(first.rec) { Edge::Proven } else { Edge::Inferred };
    let how = format!(
        "the credential was issued to it {}, {}",
        beside(first.time(), case.time()),
        first.rec.said_by()
    );
    vec![Also { principal: names.who(party), edge, how, records: ids(given.iter().map(|claim| claim.rec)) }]
}

pub(crate) fn chain(links: &Links<'_>, names: &Names) -> Vec<Hop> {
    let hops = links.people.chain.iter().map(|hop| Hop {
        principal: names.who(hop.party),
        credential: hop.credential.clone(),
        delegation: hop.delegation,
        scope: hop.scope.clone(),
        edge: hop.edge,
        how: hop.how.clone(),
        records: ids(hop.records.iter().copied()),
    });
    hops.collect()
}

pub(crate) fn asked(request: &Asked<'_>, case: &Case<'_>, names: &Names) -> Request {
    let (rec, terms) = (&request.claim.rec.is, request.claim.terms);
    Request {
        id: rec.id,
        time: rec.time,
        by: request.askers().next().map(|party| names.who(party)),
        subject: terms.and_then(|terms| terms.subject.as_ref()).map(|party| names.who(party)),
        role: terms.and_then(|terms| owned(&terms.role)),
        scopes: terms.map(|terms| list(&terms.scopes)).unwrap_or_default(),
        resource: request.claim.resource.map(resource),
        expires: terms.and_then(|terms| terms.expires),
        edge: request.edge,
        how: format!("{}; {}", beside(rec.time, case.time()), request.how),
        records: vec![rec.id],
    }
}

pub(crate) fn answered(answer: &Answered<'_>, case: &Case<'_>, names: &Names) -> Approval {
    let (rec, terms) = (&answer.claim.rec.is, answer.claim.terms);
    Approval {
        id: rec.id,
        time: rec.time,
        by: answer.by.map(|party| names.who(party)),
        answer: terms.and_then(|terms| terms.answer),
        request: rec.request,
        action: rec.action,
        expires: terms.and_then(|terms| terms.expires),
        counts: answer.worth == Worth::Counts,
        edge: answer.edge,
        how: answer.how(case.time()),
        records: vec![rec.id],
    }
}

pub(crate) fn credential(links: &Links<'_>) -> Option<Credential> {
    let (_, used) = links.lineage.used?;
    let moment = links.case.time();
    let own = links.lineage.own();
    let claims = || own.into_iter().flat_map(|level| &level.claims);
    let described = || claims().filter_map(|claim| claim.credential);
    let issue = own.and_then(|level| level.issued_before(moment).last());
    let issued =
        issue.map(|claim| claim.credential.and_then(|credential| credential.issued).unwrap_or(claim.time()));
    let issued = issued.or(used.issued).or_else(|| described().find_map(|credential| credential.issued));
    let expires = links.lineage.expires();
    let parents: Vec<String> =
        links.lineage.levels.iter().skip(1).filter_map(|level| level.names.first().cloned()).collect();
    let said = |field: fn(&deed_record::Credential<'_>) -> Option<String>| {
        field(used).or_else(|| described().find_map(field))
    };
    let mut life: Vec<String> = Vec::new();
    life.extend(issued.map(|time| format!("issued {}", beside(time, moment))));
    life.extend(expires.map(|time| format!("valid to {}", beside(time, moment))));
    let end = own.and_then(|level| level.standing.revoked);
    life.extend(end.map(|claim| format!("{} {}", claim.taken_away(), beside(claim.time(), moment))));
    let taken = withdrawn::of(links).and_then(Taken::end_of_credential).map(|rec| rec.is.time);
    let taken = taken.filter(|_| end.is_none());
    life.extend(taken.map(|time| format!("revoked {}", beside(time, moment))));
    let revoked = end.map(|claim| claim.time()).or(taken);
    // What became of it later has no bearing, and is what somebody who looks back asks next.
    let later = claims().find(|claim| claim.change() == Some(Change::Revoked) && claim.time() >= moment);
    life.extend(
        later
            .filter(|_| revoked.is_none())
            .map(|claim| format!("{} only afterwards, {}", claim.taken_away(), beside(claim.time(), moment))),
    );
    let rotated = own.and_then(|level| level.standing.rotated).map(|claim| claim.time());
    life.extend(rotated.map(|time| format!("replaced {}, the old one was used", beside(time, moment))));
    if issued.is_none() && expires.is_none() {
        life.push("no record tells when it was issued or ends".to_owned());
    }
    Some(Credential {
        fingerprint: said(|credential| owned(&credential.fingerprint)),
        id: said(|credential| owned(&credential.id)),
        jti: said(|credential| owned(&credential.jti)),
        kind: said(|credential| owned(&credential.kind)),
        issuer: said(|credential| owned(&credential.issuer)),
        scopes: links.lineage.scopes().map(|(_, scopes)| list(scopes)).unwrap_or_default(),
        issued,
        expires,
        revoked,
        rotated,
        parent: parents.first().cloned().or_else(|| owned(&used.parent)),
        parents,
        upstream: owned(&used.upstream),
        lifecycle: claims()
            .map(|claim| LifecycleEvent {
                time: claim.time(),
                change: claim.change(),
                record: claim.rec.is.id,
            })
            .collect(),
        edge: links.lineage.edge,
        how: format!("{}; {}", life.join(", "), links.lineage.how),
        records: ids(links.lineage.records.iter().copied().chain(claims().map(|claim| claim.rec))),
    })
}

pub(crate) fn decision(links: &Links<'_>) -> Option<Decision> {
    let (rec, decision) = links.decided.first?;
    let then = links.decided.then;
    Some(Decision {
        effect: decision.effect,
        policy_set: owned(&decision.policy_set),
        policies: list(&decision.policies),
        errors: list(&decision.errors),
        obligations: list(&then.map_or(decision, |(_, then)| then).obligations),
        engine: owned(&decision.engine),
        then: then.map(|(rec, then)| Again {
            time: rec.is.time,
            effect: then.effect,
            policy_set: owned(&then.policy_set),
            policies: list(&then.policies),
            record: rec.is.id,
        }),
        edge: match rec.is.basis == Basis::Enforced || asked_by(rec).is_some() {
            true => Edge::Proven,
            false => Edge::Asserted,
        },
        how: match asked_by(rec) {
            Some(asker) => format!("Deed, asked by {asker}, which enforces by itself"),
            None => rec.said_by(),
        },
        records: ids(std::iter::once(rec).chain(then.map(|(rec, _)| rec))),
    })
}

pub(crate) fn outcome(links: &Links<'_>) -> Outcome {
    let ended = &links.ended;
    let outcome = ended.stands.map(|(_, outcome)| outcome);
    let agreeing = ended.said.iter().filter(|(_, other)| other.status == ended.status()).map(|(rec, _)| *rec);
    // What became of parts stands with them, unless nobody knows more.
    let by_parts = ended.stands.is_some_and(|(rec, _)| links.case.is_of_part(rec));
    Outcome {
        status: outcome.map_or(Status::Unknown, |outcome| outcome.status),
        code: outcome.and_then(|outcome| owned(&outcome.code)),
        duration_ms: outcome.and_then(|outcome| outcome.duration_ms),
        time: ended.stands.map(|(rec, _)| rec.is.time),
        compensates: outcome.and_then(|outcome| outcome.compensates),
        retry_of: outcome.and_then(|outcome| outcome.retry_of),
        undone_by: ended.undone_by.iter().map(later).collect(),
        retried_by: ended.retried_by.iter().map(later).collect(),
        said: ended
            .said
            .iter()
            .filter(|(rec, _)| by_parts || !links.case.is_of_part(rec))
            .map(|(rec, outcome)| Ending {
                id: rec.is.id,
                time: rec.is.time,
                status: outcome.status,
                code: owned(&outcome.code),
            })
            .collect(),
        edge: ended.edge,
        how: ended.how.clone(),
        records: ids(agreeing),
    }
}

pub(crate) fn counterpart(other: &crate::case::Counterpart) -> Counterpart {
    let tie = match other.tie {
        Tie::Span => "it is a part of the call's own span",
        Tie::TokenAndName => {
            "it shows the token that Deed showed, or what was made with it, for the same call"
        }
        Tie::Token => "it shows the token that Deed showed, or what was made with it",
        Tie::Alike => "the same credential, operation and resource, within minutes",
    };
    let (joined, edge, how) = match other.standing {
        Standing::Joined | Standing::Part => (true, Edge::Corroborated, tie.to_owned()),
        Standing::Likely => (false, Edge::Inferred, tie.to_owned()),
        Standing::Ambiguous(fit) => {
            (false, Edge::Missing, format!("ambiguous: {fit} records fit equally well ({tie})"))
        }
    };
    Counterpart {
        record: other.record,
        kind: other.kind,
        time: other.time,
        system: other.system.clone(),
        operation: other.operation.clone(),
        resource: other.resource.clone(),
        status: other.status,
        joined,
        part: other.standing == Standing::Part,
        edge,
        how,
    }
}

fn later(later: &crate::outcome::Later<'_>) -> Later {
    Later {
        action: later.action,
        time: later.rec.is.time,
        status: later.status,
        edge: later.edge,
        how: later.how.clone(),
        record: later.rec.is.id,
    }
}
