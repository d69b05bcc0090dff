//! The right that an action relies on, as an explanation shows it: with everything that it came from.

use crate::{
    authority::Given,
    case::Rec,
    credential::Level,
    explanation::{Grant, Parent, Relation},
    names::Names,
    verdict::Links,
    view::{ids, list, owned, resource},
    words::{Edge, beside},
};

/// The grant, or the token that stands for one.
pub(crate) fn given(grant: &Given<'_>, links: &Links<'_>, names: &Names) -> Grant {
    let (rec, terms, moment) = (&grant.claim.rec.is, grant.claim.terms, links.case.time());
    let scopes = if grant.standing.scopes.is_empty() {
        terms.map_or(&[][..], |terms| &terms.scopes)
    } else {
        grant.standing.scopes
    };
    let begins = terms.and_then(|terms| terms.not_before).unwrap_or(rec.time);
    let expires = grant.standing.expires.or(grant.claim.expires());
    let until = match expires {
        Some(end) => format!("to {}", beside(end, moment)),
        None => "no end".to_owned(),
    };
    let derivation = grant.is_token().then(|| Derivation::of(grant, links));
    let by = match &derivation {
        // Whose token the one before was; of the first, the person for whom it was issued.
        Some(derivation) => derivation.giver.or(rec.initiator.as_ref()),
        None => terms.and_then(|terms| terms.by.as_ref()).or(rec.executor.as_ref()),
    };
    Grant {
        id: rec.id,
        kind: rec.kind,
        relation: derivation.as_ref().map(|derivation| derivation.relation),
        time: rec.time,
        by: by.map(|party| names.who(party)),
        subject: terms.and_then(|terms| terms.subject.as_ref()).map(|party| names.who(party)),
        role: terms.and_then(|terms| owned(&terms.role)),
        scopes: list(scopes),
        resource: grant.claim.resource.map(resource),
        not_before: terms.and_then(|terms| terms.not_before),
        expires,
        revoked: grant.standing.revoked.map(|claim| claim.time()),
        request: rec.request,
        parents: derivation.map(|_| parents(links, names)).unwrap_or_default(),
        edge: grant.edge,
        how: format!("since {}, {until}; {}", beside(begins, moment), grant.how),
        records: ids(records(grant)),
    }
}

/// The grant and the records that changed it.
pub(crate) fn records<'c>(grant: &Given<'c>) -> Vec<&'c Rec<'c>> {
    let ends = [grant.standing.revoked, grant.standing.ended].into_iter().flatten().map(|claim| claim.rec);
    let also =
        grant.standing.scopes_by.into_iter().chain(ends).filter(|rec| rec.is.id != grant.claim.rec.is.id);
    std::iter::once(grant.claim.rec).chain(also).collect()
}

/// The records by which Deed issued the tokens that the one which was shown was derived from.
pub(crate) fn derived_from<'c>(links: &Links<'c>) -> Vec<&'c Rec<'c>> {
    let tokens = links.rights.grant.iter().filter(|grant| grant.is_token());
    let levels = tokens.flat_map(|_| links.lineage.levels.iter().skip(1));
    levels.filter_map(|level| token_of(level)).collect()
}

/// How a token came to be, and from whom.
struct Derivation<'c> {
    relation: Relation,
    giver: Option<&'c deed_record::Party<'c>>,
}

impl<'c> Derivation<'c> {
    fn of(grant: &Given<'c>, links: &Links<'c>) -> Self {
        let subject = |rec: &'c Rec<'c>| rec.is.executor.as_ref();
        let before = links.lineage.levels.get(1).and_then(token_of).and_then(subject);
        let account = |party: Option<&deed_record::Party<'_>>| party.and_then(|party| party.account);
        let relation = match before {
            None => Relation::First,
            Some(_) if account(before) == account(subject(grant.claim.rec)) => Relation::Renewal,
            Some(_) => Relation::HandOff,
        };
        Derivation { relation, giver: before }
    }
}

/// The record by which Deed issued the token of `level`.
fn token_of<'c>(level: &Level<'c>) -> Option<&'c Rec<'c>> {
    level.claims.iter().find(|claim| claim.is_token_of_ours()).map(|claim| claim.rec)
}

/// Everything above the token that was shown, up to what was exchanged for the first.
fn parents(links: &Links<'_>, names: &Names) -> Vec<Parent> {
    let moment = links.case.time();
    let mut below = links.lineage.own().and_then(token_of);
    let mut parents = Vec::new();
    for level in links.lineage.levels.iter().skip(1) {
        let Some(issued) = token_of(level) else {
            let Some(first) = below else { break };
            // What the first token was given for: Deed verified it then, and keeps its hash alone.
            let how = format!(
                "Deed verified it {}, and issued the first token for it",
                beside(first.is.time, moment)
            );
            parents.push(Parent {
                credential: level.names.first().cloned().unwrap_or_default(),
                record: None,
                subject: first.is.initiator.as_ref().map(|party| names.who(party)),
                scopes: Vec::new(),
                issued: None,
                expires: None,
                revoked: level.standing.revoked.map(|claim| claim.time()),
                edge: Edge::Proven,
                how,
            });
            break;
        };
        let credential = issued.is.credential.as_ref();
        let expires = credential.and_then(|credential| credential.expires);
        let until = expires.map(|end| format!(", to {}", beside(end, moment))).unwrap_or_default();
        parents.push(Parent {
            credential: credential
                .and_then(|credential| credential.jti.as_ref())
                .map_or_else(|| level.names.first().cloned().unwrap_or_default(), |jti| jti.to_string()),
            record: Some(issued.is.id),
            subject: issued.is.executor.as_ref().map(|party| names.who(party)),
            scopes: credential.map(|credential| list(&credential.scopes)).unwrap_or_default(),
            issued: Some(issued.is.time),
            expires,
            revoked: level.standing.revoked.map(|claim| claim.time()),
            edge: Edge::Proven,
            how: format!("Deed issued it {}{until}", beside(issued.is.time, moment)),
        });
        below = Some(issued);
    }
    parents
}
