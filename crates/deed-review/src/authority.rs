//! By what right: the request, the answers to it, and the grant.

use std::{cmp::Reverse, collections::BTreeSet};

use deed_record::{Account, Basis, Change, Kind, Party, RecordId, Text, Timestamp};

use crate::{
    approvals::{Answered, answers},
    case::{Case, Rec},
    claim::{Claim, Standing, subject},
    credential::Lineage,
    held::{Held, takes_back},
    outcome::Ended,
    scope::Bearing,
    who::People,
    words::Edge,
};

/// The right that an action relies on, as far as records tell.
pub(crate) struct Rights<'c> {
    pub(crate) request: Option<Asked<'c>>,
    pub(crate) grant: Option<Given<'c>>,
    /// How many rights whoever acted held of which nothing tells that they are for something else: more than one party's
    /// word.
    pub(crate) held: usize,
    /// By event time.
    pub(crate) answers: Vec<Answered<'c>>,
    /// Ids of requests, grants and approvals that are named and not in the log, with what names them.
    pub(crate) absent: Vec<(&'static str, RecordId)>,
}

/// A request.
pub(crate) struct Asked<'c> {
    /// What names it: its record's id, or the one that other systems' events have in common.
    pub(crate) id: RecordId,
    pub(crate) claim: Claim<'c>,
    /// Whether a record of the action names it, or a grant that one names.
    pub(crate) named: bool,
    pub(crate) edge: Edge,
    pub(crate) how: String,
}

/// A grant, or a token that Deed itself issued: that gives the right by itself.
pub(crate) struct Given<'c> {
    pub(crate) claim: Claim<'c>,
    /// What stood of it when the action happened.
    pub(crate) standing: Standing<'c>,
    /// Whether it was given to somebody that the action is attributed to.
    pub(crate) belongs: bool,
    /// Whether it is more than one party's word.
    pub(crate) firm: bool,
    /// Whether a record names it, or what it came with; else it is only known that whoever acted held it.
    pub(crate) named: bool,
    pub(crate) edge: Edge,
    pub(crate) how: String,
}

impl Given<'_> {
    /// Whether it is a token that Deed issued, rather than a grant.
    pub(crate) fn is_token(&self) -> bool {
        self.claim.is_token_of_ours()
    }
}

impl<'c> Rights<'c> {
    /// The rights that the records of `case` join to the action.
    pub(crate) fn of(
        case: &'c Case<'c>,
        lineage: &Lineage<'c>,
        people: &People<'c>,
        ended: &Ended<'c>,
    ) -> Self {
        let grant = grant(case, lineage, people);
        let request = request(case, lineage, grant.as_ref());
        // An answer needs no other answer.
        let carries = request.as_ref().filter(|_| !is_about_rights(case));
        let answers = answers(case, people, ended, carries, grant.as_ref());
        let of_action = || case.of_action().map(|rec| &rec.is);
        let grants = of_action().filter_map(|rec| rec.grant).map(|id| ("grant", id));
        let of_grant = grant.as_ref().and_then(|grant| grant.claim.rec.is.request);
        let requests = of_action().filter_map(|rec| rec.request).chain(of_grant);
        let is_here = |id: &RecordId| asked(case, *id).is_some() || is_request(case, *id);
        let requests = requests.filter(|id| !is_here(id)).map(|id| ("request", id));
        let approvals =
            of_action().flat_map(|rec| rec.approvals.iter().flatten()).map(|id| ("approvals", *id));
        let absent: BTreeSet<_> =
            grants.chain(requests).chain(approvals).filter(|(_, id)| case.absent.contains(id)).collect();
        let held = held(case);
        Rights { request, grant, held, answers, absent: absent.into_iter().collect() }
    }
}

// === Grant ===

fn grant<'c>(case: &'c Case<'c>, lineage: &Lineage<'c>, people: &People<'c>) -> Option<Given<'c>> {
    let moment = case.time();
    let issuing = || {
        lineage.own().into_iter().flat_map(move |level| level.issued_before(moment)).map(|claim| claim.rec)
    };
    let about = is_about_rights(case);
    let by_action: BTreeSet<RecordId> =
        case.of_action().filter(|_| !about).filter_map(|rec| rec.is.grant).collect();
    let by_issue: BTreeSet<RecordId> =
        issuing().flat_map(|rec| rec.is.grant.into_iter().chain([rec.is.id])).collect();
    let firmly: BTreeSet<RecordId> = issuing()
        .filter(|rec| rec.firm())
        .flat_map(|rec| rec.is.grant.into_iter().chain([rec.is.id]))
        .collect();
    let by_told: BTreeSet<RecordId> = case.told().filter_map(|rec| rec.is.grant).collect();
    let requests: BTreeSet<RecordId> =
        case.of_action().chain(case.told()).chain(issuing()).filter_map(|rec| rec.is.request).collect();
    let own: BTreeSet<RecordId> = case.of_action().chain(case.told()).map(|rec| rec.is.id).collect();
    let accounts = people.accounts();
    // What gives a right on the request is a part of the giving, and no use of what was given.
    let gives = case.of_action().any(|rec| rec.claims(Kind::Grant).next().is_some());
    let ties = |claim: &Claim<'c>| {
        let id = claim.rec.is.id;
        let given = !matches!(claim.change(), Some(Change::Revoked | Change::Expired));
        if by_action.contains(&id) {
            Some(Tie::Action)
        } else if !given || own.contains(&id) {
            // What the action itself gives is what it did, not its right to do so.
            None
        } else if by_told.contains(&id) {
            Some(Tie::Told)
        } else if by_issue.contains(&id) {
            Some(Tie::Credential)
        } else {
            let same = claim.rec.is.request.filter(|request| requests.contains(request));
            let held = case.beside.rights.contains(&id) && subject(claim) == acting(case);
            same.filter(|_| !gives && !about).map(|_| Tie::Request).or(held.then_some(Tie::Held))
        }
    };
    let claims = || case.records.iter().flat_map(|rec| rec.claims(Kind::Grant));
    let asked_for = || case.records.iter().flat_map(|rec| rec.claims(Kind::Request));
    let tokens = case.records.iter().flat_map(|rec| rec.claims(Kind::Credential));
    let tokens = tokens.filter(Claim::is_token_of_ours);
    let given = claims().chain(tokens).filter_map(|claim| {
        let tie = ties(&claim)?;
        let changes = claims().chain(asked_for()).filter(|other| {
            let bears = changes(other, &claim) || takes_back(other, &claim) || ends_request(other, &claim);
            bears && !own.contains(&other.rec.is.id)
        });
        let mut about: Vec<Claim<'c>> = std::iter::once(claim).chain(changes).collect();
        // A token is taken away by its name. One that was not shown gives nothing here.
        let shown =
            lineage.own().filter(|level| level.claims.iter().any(|own| own.rec.is.id == claim.rec.is.id));
        if let Some(level) = shown.filter(|_| claim.is_token_of_ours()) {
            about.clone_from(&level.claims);
        }
        about.sort_by_key(|claim| (claim.time(), claim.rec.is.id));
        let standing = match tie {
            Tie::Held => {
                let held = Held::at(moment, claim, claims());
                held.filter(|held| held.bears(&case.head().is) == Bearing::Covers)?.standing
            }
            _ => Standing::at(moment, &about),
        };
        let subject = subject(&claim);
        let belongs = match subject {
            Some(_) if claim.is_token_of_ours() && shown.is_none() => false,
            Some(account) => accounts.contains(&account),
            // It says to nobody: only the issuer's own word ties it to what was used.
            None => firmly.contains(&claim.rec.is.id),
        };
        let also = claims().any(|other| same_grant(&claim, &other));
        let (edge, how) = match tie {
            Tie::Credential | Tie::Held => (Edge::Inferred, tie.words()),
            _ if claim.rec.is.basis == Basis::Enforced => (Edge::Proven, tie.words()),
            _ if also => (Edge::Corroborated, tie.words()),
            _ => (Edge::Asserted, tie.words()),
        };
        let how = format!("{how}, {}", claim.rec.said_by());
        Some((
            tie,
            Given {
                claim,
                standing,
                belongs,
                firm: claim.rec.firm() || also,
                named: tie != Tie::Held,
                edge,
                how,
            },
        ))
    });
    // Of several: the one named most directly, given to the right one, still in force, firmest, newest.
    let best = given.min_by_key(|(tie, grant)| {
        let rec = grant.claim.rec;
        let over = grant.standing.revoked.is_some() || grant.standing.is_over(moment);
        (*tie, !grant.belongs, over, !grant.firm, Reverse(rec.is.time), rec.is.id)
    });
    best.map(|(_, grant)| grant)
}

fn acting(case: &Case<'_>) -> Option<Account> {
    case.head().is.executor.as_ref().and_then(|party| party.account)
}

/// Rights that whoever acted held, under any of their names, but for those that are known to be for something else.
fn held(case: &Case<'_>) -> usize {
    let (Some(acting), head) = (acting(case), &case.head().is) else { return 0 };
    let others = || case.records.iter().filter(|rec| !case.family.contains(&rec.is.id));
    let claims = || others().flat_map(|rec| rec.claims(Kind::Grant));
    let theirs = claims()
        .filter(|claim| claim.rec.firm() && subject(claim).is_some_and(|whose| case.is_same(whose, acting)));
    let held = theirs.filter_map(|claim| Held::at(head.time, claim, claims()));
    held.filter(|held| held.bears(head) != Bearing::Apart).count()
}

/// What ties a grant to the action, closest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tie {
    Action,
    Told,
    Credential,
    Request,
    Held,
}

impl Tie {
    const fn words(self) -> &'static str {
        match self {
            Tie::Action => "named by the action",
            Tie::Told => "named by what another system logged of the call",
            Tie::Credential => "named where the credential was issued",
            Tie::Request => "given on the request that the action names",
            Tie::Held => "given to whoever acted; in force, and it covers this",
        }
    }
}

/// Whether `later` is a change of `grant`. A grant that merely names another one relies on it; so does an
/// observed call, unless what it changed is a grant to the same account.
pub(crate) fn changes(later: &Claim<'_>, grant: &Claim<'_>) -> bool {
    let ends_or_extends = matches!(
        later.change(),
        Some(Change::Renewed | Change::Rotated | Change::Altered | Change::Revoked | Change::Expired)
    );
    let same_subject = match subject(later) {
        Some(account) => subject(grant) == Some(account),
        None => later.rec.is.kind == Kind::Grant,
    };
    later.rec.is.grant == Some(grant.rec.is.id) && ends_or_extends && same_subject
}

/// Whether `later` ends, or lets go on, all that was given on the request on which `grant` was given, as a log tells that
/// names no grant and nobody to whom it was given.
fn ends_request(later: &Claim<'_>, grant: &Claim<'_>) -> bool {
    let ends = matches!(later.change(), Some(Change::Revoked | Change::Expired | Change::Renewed));
    let role = later.terms.and_then(|terms| terms.role.as_ref());
    let (rec, given) = (&later.rec.is, &grant.rec.is);
    ends && rec.id != given.id
        && rec.kind == Kind::Observation
        && rec.request.is_some()
        && rec.request == given.request
        && rec.grant.is_none()
        && subject(later).is_none()
        && later.time() > grant.time()
        && (role.is_none() || role == grant.terms.and_then(|terms| terms.role.as_ref()))
}

/// Whether two systems tell of the same grant: of the same request or one naming the other, to the same
/// account, of the same role and scopes.
fn same_grant(one: &Claim<'_>, other: &Claim<'_>) -> bool {
    let (a, b) = (&one.rec.is, &other.rec.is);
    let (Some(mine), Some(theirs)) = (one.terms, other.terms) else {
        return false;
    };
    let related =
        a.request.is_some() && a.request == b.request || b.grant == Some(a.id) || a.grant == Some(b.id);
    let scopes = |scopes: &[Text<'_>]| scopes.iter().map(|scope| scope.to_string()).collect::<BTreeSet<_>>();
    let given = !matches!(other.change(), Some(Change::Revoked | Change::Expired));
    one.rec.voice() != other.rec.voice()
        && related
        && given
        && subject(one).is_some()
        && subject(one) == subject(other)
        && mine.role == theirs.role
        && scopes(&mine.scopes) == scopes(&theirs.scopes)
        && one.resource.map(|resource| &resource.uri) == other.resource.map(|resource| &resource.uri)
        && mine.expires == theirs.expires
}

// === Request ===

const BY_GRANT: &str = "named by the grant";

fn request<'c>(case: &'c Case<'c>, lineage: &Lineage<'c>, grant: Option<&Given<'c>>) -> Option<Asked<'c>> {
    let moment = case.time();
    let by_action = case.of_action().filter(|_| !only_ends(case)).filter_map(|rec| rec.is.request);
    let by_grant = grant.and_then(|grant| grant.claim.rec.is.request);
    let issuing = lineage
        .own()
        .into_iter()
        .flat_map(|level| level.issued_before(moment))
        .filter_map(|claim| claim.rec.is.request);
    let named = by_action.map(|id| (id, "named by the action"));
    let by_told = case.told().filter_map(|rec| rec.is.request);
    let by_grant = || {
        let asked = first_of(case, by_grant.map(|id| (id, BY_GRANT)).into_iter())?;
        let inferred = grant.is_some_and(|grant| !grant.named);
        Some(if inferred { Asked { named: false, edge: Edge::Inferred, ..asked } } else { asked })
    };
    first_of(case, named.chain(by_told.map(|id| (id, Tie::Told.words()))))
        .or_else(by_grant)
        .or_else(|| first_of(case, issuing.map(|id| (id, Tie::Credential.words()))))
}

/// Whether a right is what the action is about, and nothing else: it asks for one, answers whoever asked, or ends one. What
/// was given on the requests that it names, before or later, is then nothing that it was done by.
fn is_about_rights<'c>(case: &'c Case<'c>) -> bool {
    // What is issued on an answer is done by it.
    let says = changed(case, Kind::Request).chain(changed(case, Kind::Approval)).next().is_some()
        && changed(case, Kind::Credential).next().is_none();
    let asks = changed(case, Kind::Request).all(|change| ends(change) || asks(change));
    only_ends(case) || says && asks && changed(case, Kind::Grant).all(ends)
}

/// Whether all that the action does to rights and requests is to end them.
fn only_ends<'c>(case: &'c Case<'c>) -> bool {
    let rights = || changed(case, Kind::Request).chain(changed(case, Kind::Grant));
    rights().next().is_some() && rights().all(ends)
}

/// What the action changes of that kind.
fn changed<'c>(case: &'c Case<'c>, kind: Kind) -> impl Iterator<Item = Option<Change>> + 'c {
    case.of_action().flat_map(move |rec| rec.claims(kind)).map(|claim| claim.change())
}

/// Whether something is asked for, or asked for anew.
fn asks(change: Option<Change>) -> bool {
    matches!(change, Some(Change::Requested | Change::Renewed))
}

fn ends(change: Option<Change>) -> bool {
    matches!(change, Some(Change::Revoked | Change::Expired))
}

/// Whether the action is by which `id` was asked for.
pub(crate) fn is_request(case: &Case<'_>, id: RecordId) -> bool {
    let named = case.of_action().filter(|rec| rec.is.request == Some(id));
    named.flat_map(|rec| rec.claims(Kind::Request)).any(|claim| asks(claim.change()))
}

/// The request behind the action, whoever the right that was given on it belongs to.
pub(crate) fn requested<'c>(case: &'c Case<'c>, lineage: &Lineage<'c>) -> Option<Asked<'c>> {
    let of_grant = |rec: &Rec<'c>| case.get(rec.is.grant?)?.is.request;
    let issuing = || lineage.own().into_iter().flat_map(|level| level.issued_before(case.time()));
    let of_action = || case.of_action().filter(|_| !is_about_rights(case));
    let by_action = of_action().filter_map(|rec| rec.is.request).map(|id| (id, "named by the action"));
    let by_told = case.told().filter_map(|rec| rec.is.request).map(|id| (id, Tie::Told.words()));
    let by_grant = of_action().filter_map(of_grant).map(|id| (id, BY_GRANT));
    let by_issue = issuing().filter_map(|claim| claim.rec.is.request.or_else(|| of_grant(claim.rec)));
    let by_issue = by_issue.map(|id| (id, Tie::Credential.words()));
    first_of(case, by_action.chain(by_told).chain(by_grant).chain(by_issue))
}

/// The first of the `named` requests that is known.
fn first_of<'c>(
    case: &'c Case<'c>,
    mut named: impl Iterator<Item = (RecordId, &'static str)>,
) -> Option<Asked<'c>> {
    let (id, claim, how) = named.find_map(|(id, how)| Some((id, asked(case, id)?, how)))?;
    let edge = match claim.rec.is.basis {
        Basis::Enforced => Edge::Proven,
        _ if how == Tie::Credential.words() => Edge::Inferred,
        _ => Edge::Asserted,
    };
    Some(Asked { id, claim, named: true, edge, how: format!("{how}, {}", claim.rec.said_by()) })
}

/// The request that `id` names: the record of that id, else another system's event that tells of it. Such an
/// event has an id of its own, and shares `id` with all that name the request; the action is never its own.
fn asked<'c>(case: &'c Case<'c>, id: RecordId) -> Option<Claim<'c>> {
    if let Some(rec) = case.get(id) {
        return rec.claims(Kind::Request).next();
    }
    let own: BTreeSet<RecordId> = case.of_action().map(|rec| rec.is.id).collect();
    let telling = case.records.iter().filter(|rec| rec.is.request == Some(id) && !own.contains(&rec.is.id));
    let first = telling
        .filter(|rec| rec.is.kind == Kind::Observation)
        .flat_map(|rec| rec.claims(Kind::Request))
        .filter(|claim| claim.change() == Some(Change::Requested))
        .min_by_key(|claim| (claim.time(), claim.rec.is.id));
    // Whoever asked anew last asked for what was done since.
    let anew = asked_anew(case, id).filter(|claim| claim.time() <= case.time());
    anew.filter(|claim| !own.contains(&claim.rec.is.id))
        .max_by_key(|claim| (claim.time(), claim.rec.is.id))
        .or(first)
}

/// What tells that the request `id` was asked anew, as a job that is run again.
fn asked_anew<'c>(case: &'c Case<'c>, id: RecordId) -> impl Iterator<Item = Claim<'c>> {
    let telling = case.records.iter().filter(move |rec| rec.is.request == Some(id));
    let observed = telling.filter(|rec| rec.is.kind == Kind::Observation);
    let claims = observed.flat_map(|rec| rec.claims(Kind::Request));
    claims.filter(|claim| claim.change() == Some(Change::Renewed))
}

impl<'c> Asked<'c> {
    /// Whether an answer of that time is one to this asking: what came before it was asked anew, and what came of asking
    /// anew since, is not.
    pub(crate) fn is_answered_at(&self, case: &Case<'_>, time: Timestamp) -> bool {
        let asked = self.claim.time();
        let is_anew = self.claim.change() == Some(Change::Renewed);
        let again = asked_anew(case, self.id).map(|claim| claim.time()).filter(|again| *again > asked).min();
        !(is_anew && time < asked) && again.is_none_or(|again| time < again)
    }

    /// Whether `system` has it in its own log.
    pub(crate) fn is_of(&self, case: &Case<'_>, system: &str) -> bool {
        let telling = |rec: &&Rec<'_>| rec.is.id == self.id || rec.is.request == Some(self.id);
        let asking = |rec: &&Rec<'_>| rec.claims(Kind::Request).next().is_some();
        let logged = |rec: &Rec<'_>| rec.is.basis == Basis::Imported && rec.voice() == system;
        case.records.iter().filter(telling).filter(asking).any(logged)
    }

    /// Whoever asked, by any of the ways a record says so.
    pub(crate) fn askers(&self) -> impl Iterator<Item = &'c Party<'c>> + use<'c> {
        let rec = self.claim.rec;
        let by = self.claim.terms.and_then(|terms| terms.by.as_ref());
        rec.is
            .initiator
            .iter()
            .chain(by)
            .chain(rec.is.executor.iter())
            .filter(|party| party.account.is_some())
    }
}
