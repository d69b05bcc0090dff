//! Who asked, who acted, and everybody between them.

use std::collections::BTreeSet;

use deed_record::{Account, Basis, Kind, Party, PrincipalType, RecordId};

use crate::{
    authority::requested,
    case::{Case, Rec},
    claim::{Claim, subject},
    credential::{Lineage, agreed},
    gather::SKEW,
    words::{Edge, beside},
};

/// How the sender of what the MCP gateway records begins.
const MCP_DOOR: &str = "deed:mcp/";

/// Everybody that an action is attributed to.
pub(crate) struct People<'c> {
    pub(crate) initiator: Somebody<'c>,
    pub(crate) executor: Somebody<'c>,
    /// From the initiator's side.
    pub(crate) chain: Vec<Between<'c>>,
}

/// Somebody, and how that is known.
pub(crate) struct Somebody<'c> {
    /// `None` where no record has the place filled at all.
    pub(crate) party: Option<&'c Party<'c>>,
    pub(crate) edge: Edge,
    pub(crate) how: String,
    /// Further words for the verdict.
    pub(crate) notes: Vec<String>,
    pub(crate) records: Vec<&'c Rec<'c>>,
    /// Everybody that the action's own records name there, where they disagree.
    pub(crate) disputed: Vec<Account>,
    /// What it was done with came of a session that they opened, as logs tell.
    pub(crate) by_session: bool,
}

/// One hop, and how it is known.
pub(crate) struct Between<'c> {
    pub(crate) party: &'c Party<'c>,
    pub(crate) credential: Option<String>,
    pub(crate) delegation: Option<RecordId>,
    pub(crate) scope: Vec<String>,
    pub(crate) edge: Edge,
    pub(crate) how: String,
    pub(crate) records: Vec<&'c Rec<'c>>,
    /// What it was done with came of a session that they opened, as logs tell.
    pub(crate) by_session: bool,
}

impl<'c> People<'c> {
    /// Everybody that the records of `case` attribute the action to.
    pub(crate) fn of(case: &'c Case<'c>, lineage: &Lineage<'c>) -> Self {
        let executor = executor(case, lineage);
        let mut chain = declared_chain(case, lineage);
        if let Some(initiator) = declared_initiator(case, lineage) {
            return People { initiator, executor, chain };
        }
        if let Some(party) = executor.party
            && case.kind(party) == PrincipalType::Human
            && party.account.is_some()
            && chain.is_empty()
        {
            let how = format!("a person acted directly, {}", executor.how);
            let initiator = Somebody {
                party: Some(party),
                edge: executor.edge,
                how,
                notes: Vec::new(),
                records: executor.records.clone(),
                disputed: executor.disputed.clone(),
                by_session: false,
            };
            return People { initiator, executor, chain };
        }
        let (inferred, hops) = inferred_initiator(case, lineage, executor.account());
        let initiator = requester(case, lineage, executor.account());
        let mut initiator = initiator.or_else(|| asked_above(case, executor.account())).unwrap_or(inferred);
        if initiator.edge == Edge::Missing && initiator.disputed.is_empty() {
            initiator = named_in_session(case).unwrap_or(initiator);
        }
        if initiator.edge == Edge::Missing && case.beside.above.cut {
            initiator
                .how
                .push_str("; its trace has more records than are read to look for who asked above it");
        }
        // Of a user of IAM, say, no log tells which it is.
        let untyped = |party: &&Party<'_>| {
            party.account.is_some() && case.kind(party) == PrincipalType::Unknown && chain.is_empty()
        };
        let unsaid = initiator.edge == Edge::Missing && initiator.disputed.is_empty();
        if unsaid && executor.party.as_ref().is_some_and(untyped) {
            initiator
                .how
                .push_str("; if whoever acted is a person, who then asked, the inventory can say so");
        }
        if chain.is_empty() {
            chain = hops;
        }
        People { initiator, executor, chain }
    }

    /// Every account on whose behalf the action was done: asking, acting and between.
    pub(crate) fn accounts(&self) -> BTreeSet<Account> {
        let between = self.chain.iter().filter_map(|hop| hop.party.account);
        between.chain(self.initiator.account()).chain(self.executor.account()).collect()
    }
}

impl<'c> Somebody<'c> {
    pub(crate) fn account(&self) -> Option<Account> {
        self.party.and_then(|party| party.account)
    }

    /// What Deed itself knows: by the `token` that names them and that it issued or verified, else nothing, for
    /// it only wrote down what it was told.
    fn weigh(&mut self, case: &Case<'_>, token: Option<&Claim<'_>>) {
        let enforced = case.head().is.basis == Basis::Enforced;
        let proven = match token {
            Some(token) if enforced && token.is_token_of_ours() => Some("named by a token that Deed issued"),
            Some(_) if enforced => Some("named by a token that Deed verified"),
            _ if verified_at_door(case) => Some("named by a token that Deed verified"),
            _ => None,
        };
        if let Some(how) = proven {
            let told: Vec<String> =
                self.records.iter().filter(|rec| case.is_told(rec)).map(|rec| rec.said_by()).collect();
            self.edge = Edge::Proven;
            self.how = std::iter::once(how.to_owned()).chain(told).collect::<Vec<_>>().join(" and ");
        } else if enforced && self.edge == Edge::Asserted && self.how == "Deed" {
            "Deed was told so; no credential proves it".clone_into(&mut self.how);
        }
    }

    fn missing(how: impl Into<String>) -> Self {
        let how = how.into();
        let (notes, records, disputed) = (Vec::new(), Vec::new(), Vec::new());
        let by_session = false;
        Somebody { party: None, edge: Edge::Missing, how, notes, records, disputed, by_session }
    }
}

fn executor<'c>(case: &'c Case<'c>, lineage: &Lineage<'c>) -> Somebody<'c> {
    let party = |rec: &'c Rec<'c>| rec.is.executor.as_ref();
    let Some(mut somebody) = stated(case, party) else {
        let nobody = Somebody::missing("the record does not say who acted");
        return Somebody { party: case.head().is.executor.as_ref(), ..nobody };
    };
    // INVARIANT: proven only where Deed issued or verified a credential that names this very account.
    let account = somebody.account();
    somebody.weigh(case, ours(case, lineage).find(|claim| subject(claim) == account));
    somebody
}

/// Whether the gateway let it in with a token of somebody else: it takes none that it has not verified.
fn verified_at_door(case: &Case<'_>) -> bool {
    let head = &case.head().is;
    let shown =
        head.credential.as_ref().filter(|shown| shown.fingerprint.is_some() && shown.issuer.is_some());
    head.basis == Basis::Enforced
        && shown.is_some()
        && head.submitter.starts_with(MCP_DOOR)
        && head.grant.is_none()
}

fn declared_initiator<'c>(case: &'c Case<'c>, lineage: &Lineage<'c>) -> Option<Somebody<'c>> {
    let mut somebody = stated(case, |rec| rec.is.initiator.as_ref())?;
    if !somebody.disputed.is_empty() {
        somebody.party = None;
        somebody.edge = Edge::Missing;
        "records of the same event disagree on who asked".clone_into(&mut somebody.how);
        return Some(somebody);
    }
    let account = somebody.account();
    let asked_for =
        |claim: &Claim<'c>| claim.rec.is.initiator.as_ref().and_then(|party| party.account) == account;
    somebody.weigh(case, ours(case, lineage).find(|claim| asked_for(claim)));
    Some(somebody)
}

/// Somebody whom a record of the action names in the place that `party` reads, the head before others.
fn stated<'c>(
    case: &'c Case<'c>,
    party: impl Fn(&'c Rec<'c>) -> Option<&'c Party<'c>>,
) -> Option<Somebody<'c>> {
    let all = || case.of_action().chain(case.told());
    let naming = || all().filter_map(|rec| Some((rec, party(rec)?, party(rec)?.account?)));
    let (_, named, account) = naming().min_by_key(|(rec, ..)| {
        (case.is_told(rec), rec.is.id != case.head, !rec.firm(), rec.is.time, rec.is.id)
    })?;
    let same = |other: Account| case.is_same(other, account);
    let records: Vec<&Rec<'c>> = naming().filter(|(.., other)| same(*other)).map(|(rec, ..)| rec).collect();
    let (edge, how) = agreed(&records);
    let mut notes = Vec::new();
    let mut disputed = Vec::new();
    // Of many parts of a call one is enough to say so.
    let mut noted = BTreeSet::new();
    for (rec, _, other) in naming().filter(|(.., other)| !same(*other)) {
        if case.is_of_part(rec) && !noted.insert((rec.voice(), other)) {
            continue;
        }
        notes.push(format!(
            "record {} ({}) names another account; whether that is the same one under another name is not known",
            rec.is.id,
            rec.said_by()
        ));
        // Another system's accounts are its own, and nobody's word disputes a better one.
        if !case.is_told(rec) && records.iter().all(|better| weighs(rec) >= weighs(better)) {
            disputed.push(other);
        }
    }
    if !disputed.is_empty() {
        disputed.push(account);
    }
    let by_session = false;
    Some(Somebody { party: Some(named), edge, how, notes, records, disputed, by_session })
}

/// How much the word of a record weighs, the least first.
fn weighs(rec: &Rec<'_>) -> u8 {
    match rec.is.basis {
        Basis::Reported => 0,
        Basis::Imported => 1,
        Basis::Enforced => 2,
    }
}

/// Records by which Deed itself issued the credential that was used.
fn ours<'l, 'c>(case: &Case<'c>, lineage: &'l Lineage<'c>) -> impl Iterator<Item = &'l Claim<'c>> {
    let moment = case.time();
    let issued = lineage.own().into_iter().flat_map(move |level| level.issued_before(moment));
    issued.filter(|claim| claim.rec.is.basis == Basis::Enforced)
}

fn declared_chain<'c>(case: &'c Case<'c>, lineage: &Lineage<'c>) -> Vec<Between<'c>> {
    let Some((rec, hops)) = case.of_action().find_map(|rec| rec.is.chain.as_ref().map(|hops| (rec, hops)))
    else {
        return Vec::new();
    };
    let hop = |hop: &'c deed_record::Hop<'c>| {
        let mut records = vec![rec];
        let mut how = rec.said_by();
        let mut edge = if hop.principal.account.is_some() { Edge::Asserted } else { Edge::Missing };
        if let Some(id) = hop.delegation {
            match case.get(id) {
                Some(delegation)
                    if edge == Edge::Asserted && names_delegate(delegation, hop.principal.account) =>
                {
                    records.push(delegation);
                    (edge, how) = agreed(&records);
                    if delegation.is.basis == Basis::Enforced {
                        edge = Edge::Proven;
                    }
                }
                Some(_) => how.push_str("; the delegation record names somebody else"),
                None => how.push_str("; the delegation record is not in this log"),
            }
        }
        if edge == Edge::Missing {
            how = "the record does not say who that was".to_owned();
        }
        let mut between = Between {
            party: &hop.principal,
            credential: hop.credential.as_ref().map(|name| name.to_string()),
            delegation: hop.delegation,
            scope: hop.scope.iter().map(|scope| scope.to_string()).collect(),
            edge,
            how,
            records,
            by_session: false,
        };
        if rec.is.basis == Basis::Enforced && hop.delegation.is_none() {
            between.by_token(case, lineage);
        }
        between
    };
    hops.iter().map(hop).collect()
}

impl<'c> Between<'c> {
    /// What the token says that this hop had from Deed, and handed on.
    fn by_token(&mut self, case: &'c Case<'c>, lineage: &Lineage<'c>) {
        let Some(account) = self.party.account else { return };
        let above = lineage.levels.iter().skip(1).flat_map(|level| &level.claims);
        let held = above.copied().find(|claim| claim.is_token_of_ours() && subject(claim) == Some(account));
        if let Some(held) = held {
            let token = held.credential.and_then(|credential| credential.jti.as_ref());
            self.edge = Edge::Proven;
            self.how =
                format!("had a token from Deed {}, and handed it on", beside(held.time(), case.time()));
            self.credential = token.map(|token| token.to_string());
            self.delegation = Some(held.rec.is.id);
            self.scope = held.scopes().iter().map(|scope| scope.to_string()).collect();
            self.records.push(held.rec);
        } else if ours(case, lineage).any(|claim| claim.is_token_of_ours() && names_hop(claim, account)) {
            self.edge = Edge::Proven;
            self.how = "Deed, which issued the token".to_owned();
        }
    }
}

/// Whether a record names `account` as one of those between who asked and who acts.
fn names_hop(claim: &Claim<'_>, account: Account) -> bool {
    claim.rec.is.chain.iter().flatten().any(|hop| hop.principal.account == Some(account))
}

/// Whether a delegation record gives its part to `account`.
fn names_delegate(delegation: &Rec<'_>, account: Option<Account>) -> bool {
    let terms = delegation
        .is
        .terms
        .iter()
        .chain(delegation.is.effects.iter().flatten().filter_map(|effect| effect.terms.as_ref()));
    account.is_some()
        && terms.filter_map(|terms| terms.subject.as_ref()).any(|party| party.account == account)
}

/// Who asked for the right that the action relies on. A machine that asks for its own has not asked for what it does.
fn requester<'c>(
    case: &'c Case<'c>,
    lineage: &Lineage<'c>,
    executor: Option<Account>,
) -> Option<Somebody<'c>> {
    let request = requested(case, lineage)?;
    let (rec, by) = (request.claim.rec, request.claim.terms.and_then(|terms| terms.by.as_ref()));
    let named = [rec.is.initiator.as_ref(), by].into_iter().flatten().find(|party| party.account.is_some());
    let party = named.or_else(|| had_it_done(case, rec))?;
    let asked = party.account?;
    let mut theirs = [executor, subject(&request.claim)].into_iter().flatten();
    let own = theirs.any(|theirs| case.is_same(theirs, asked));
    if own && case.kind(party) != PrincipalType::Human {
        return None;
    }
    let how = format!("asked for the right {}; {}", beside(rec.is.time, case.time()), request.how);
    let notes = vec![format!("who asked is whoever asked for the right, by record {}", rec.is.id)];
    // That Deed recorded the request does not prove who made it.
    let edge = if request.edge == Edge::Proven { Edge::Asserted } else { request.edge };
    let (records, disputed, by_session) = (vec![rec], Vec::new(), false);
    Some(Somebody { party: Some(party), edge, how, notes, records, disputed, by_session })
}

/// Who asked, as the nearest span above the action says that names somebody. Who acted there acted there alone.
fn asked_above<'c>(case: &'c Case<'c>, executor: Option<Account>) -> Option<Somebody<'c>> {
    let above = &case.beside.above;
    let of = |ids: &'c BTreeSet<RecordId>| case.records.iter().filter(move |rec| ids.contains(&rec.is.id));
    let asking = |rec: &'c Rec<'c>| rec.is.initiator.as_ref().filter(|party| party.account.is_some());
    // Nobody's word disputes a better one.
    let weight = of(&above.asking).map(weighs).max();
    let mut records: Vec<&Rec<'c>> = of(&above.asking).filter(|rec| Some(weighs(rec)) == weight).collect();
    let party = asking(records.first()?)?;
    let account = party.account?;
    // A machine that had itself do it was asked by whoever stands further up, if anybody.
    if executor.is_some_and(|acts| case.is_same(acts, account)) && case.kind(party) != PrincipalType::Human {
        return None;
    }
    let named = records.iter().filter_map(|rec| asking(rec)?.account);
    let disputed: Vec<Account> = named.filter(|other| !case.is_same(*other, account)).collect();
    if !disputed.is_empty() {
        let nobody = Somebody::missing("records of one span above it in the trace disagree on who asked");
        return Some(Somebody { disputed: disputed.into_iter().chain([account]).collect(), ..nobody });
    }
    let rec = records.first()?;
    let how = format!("named by a span above it in the trace, {}", agreed(&records).1);
    let notes =
        vec![format!("who asked is inferred from record {}, a span above it in the same trace", rec.is.id)];
    records.extend(of(&above.between));
    let (edge, by_session) = (Edge::Inferred, false);
    Some(Somebody { party: Some(party), edge, how, notes, records, disputed, by_session })
}

/// Who is behind the session that it was done in, as the log of another system says of something else that was done in it.
fn named_in_session<'c>(case: &'c Case<'c>) -> Option<Somebody<'c>> {
    let named = || case.beside.session.iter().filter_map(|id| case.get(*id));
    let asking = |rec: &'c Rec<'c>| rec.is.initiator.as_ref().filter(|party| party.account.is_some());
    let rec = named().next()?;
    let party = asking(rec)?;
    let account = party.account?;
    let disputed: Vec<Account> = named()
        .filter_map(|rec| asking(rec)?.account)
        .filter(|other| !case.is_same(*other, account))
        .collect();
    if !disputed.is_empty() {
        let nobody = Somebody::missing("records of what else was done in its session disagree on who asked");
        return Some(Somebody { disputed: disputed.into_iter().chain([account]).collect(), ..nobody });
    }
    let records: Vec<&Rec<'c>> = named().collect();
    let how = format!(
        "named with the same credential {}, {}",
        beside(rec.is.time, case.time()),
        agreed(&records).1
    );
    let notes = vec![format!(
        "who asked is inferred from record {}, of something else that was done in the same session",
        rec.is.id
    )];
    let (edge, by_session) = (Edge::Inferred, false);
    Some(Somebody { party: Some(party), edge, how, notes, records, disputed, by_session })
}

/// Whoever had done what `rec` tells of: who asked for it, else who acted. Of a record that is no call but a statement,
/// who acted may be the service that makes it, which asked for nothing.
fn had_it_done<'c>(case: &Case<'c>, rec: &'c Rec<'c>) -> Option<&'c Party<'c>> {
    const SERVICES: [PrincipalType; 3] =
        [PrincipalType::Workload, PrincipalType::ServiceAccount, PrincipalType::Unknown];
    let known = |party: &&Party<'_>| party.account.is_some();
    let acted = rec
        .is
        .executor
        .as_ref()
        .filter(|party| rec.is.kind.is_action() || !SERVICES.contains(&case.kind(party)));
    rec.is.initiator.as_ref().filter(known).or(acted.filter(known))
}

/// Who had the credential issued, going up through credentials that were derived from one another;
/// those passed on the way are hops.
fn inferred_initiator<'c>(
    case: &'c Case<'c>,
    lineage: &Lineage<'c>,
    executor: Option<Account>,
) -> (Somebody<'c>, Vec<Between<'c>>) {
    const UNSAID: &str = "the record does not say who asked";
    let mut moment = case.time();
    let mut records: Vec<&Rec<'c>> = Vec::new();
    let mut hops: Vec<Between<'c>> = Vec::new();
    let mut asker: Option<Asker<'c>> = None;
    let mut by_session = true;
    for level in &lineage.levels {
        let issued: Vec<&Claim<'c>> = level.issued_before(moment).collect();
        // Whoever made a key that stands did not open what is done with it.
        by_session &= issued.iter().any(|claim| claim.rec.firm() && opens_session(claim));
        let firm = issued.iter().any(|claim| claim.rec.firm());
        let weighty = || issued.iter().map(|claim| claim.rec).filter(|rec| rec.firm() == firm);
        let lends = |rec: &Rec<'_>| is_lent(rec, level.names);
        let weighty = || weighty().filter(|rec| !weighty().any(|other| knows_better(other, rec, lends)));
        let mut named = weighty().filter_map(|rec| had_it_done(case, rec).map(|party| (rec, party)));
        let Some((rec, party)) = named.next() else {
            // Who asked the service for it stands further up.
            let Some(rec) = weighty().next() else { break };
            moment = rec.is.time;
            continue;
        };
        if named.any(|(_, other)| other.account != party.account) {
            if asker.is_none() {
                let how = format!("{UNSAID}, and records disagree on who had its credential issued");
                return (Somebody::missing(how), Vec::new());
            }
            break;
        }
        records.push(rec);
        let explicit = rec.is.initiator.as_ref().is_some_and(|party| party.account.is_some());
        // Renewing one's own credential asks for nothing: who asked stands further up.
        if explicit || party.account != executor || case.kind(party) == PrincipalType::Human {
            let credential = level.names.first().map_or("", |name| name);
            let asked = Asker { party, rec, credential, by_session: by_session && rec.firm() };
            // Whoever had one issued with another of their own handed nothing on.
            let between = asker.replace(asked).filter(|between| between.party.account != party.account);
            hops.extend(between.map(|between| between.as_hop(asked.credential)));
        }
        if explicit || case.kind(party) == PrincipalType::Human {
            break;
        }
        moment = rec.is.time;
    }
    hops.reverse();
    let Some(Asker { party, rec, by_session, .. }) = asker else {
        let how = match lineage.own() {
            None => format!("{UNSAID}, nor what it was done with"),
            Some(_) if records.is_empty() => {
                format!("{UNSAID}, and no record tells who had its credential issued")
            }
            Some(_) => format!("{UNSAID}, and whoever acted had its credential issued for itself"),
        };
        return (Somebody::missing(how), Vec::new());
    };
    let how = format!("had the credential issued {}, {}", beside(rec.is.time, case.time()), rec.said_by());
    let notes =
        vec![format!("who asked is inferred from record {}, by which the credential was issued", rec.is.id)];
    let disputed = Vec::new();
    let edge = Edge::Inferred;
    (Somebody { party: Some(party), edge, how, notes, records, disputed, by_session }, hops)
}

/// The type of what is made for one caller, and taken back when the time for which it is lent ends.
const LEASE: &str = "lease";

/// Whether it lends the credential of these names to whoever asked.
fn is_lent(rec: &Rec<'_>, names: &BTreeSet<String>) -> bool {
    rec.claims(Kind::Credential).filter(Claim::issues).filter_map(|claim| claim.credential).any(
        |credential| {
            credential.kind.as_deref() == Some(LEASE) && credential.names().any(|name| names.contains(name))
        },
    )
}

/// Whether `other` tells of the same issue from where it was asked: what a session was asked with is known only to the
/// log of whoever asked, and both the account that asks and the one that answers have a log; and who asked for what is
/// lent is known to the log of whoever lends it, which has it made with rights of its own.
fn knows_better(other: &Rec<'_>, rec: &Rec<'_>, lends: impl Fn(&Rec<'_>) -> bool) -> bool {
    let asked_with =
        |rec: &Rec<'_>| rec.is.credential.as_ref().is_some_and(|with| with.names().next().is_some());
    let observed = |rec: &Rec<'_>| rec.is.kind == Kind::Observation && rec.is.basis == Basis::Imported;
    observed(other)
        && observed(rec)
        && other.voice() != rec.voice()
        && (other.is.time.0 - rec.is.time.0).abs() <= SKEW
        && (asked_with(other) && !asked_with(rec) || lends(other) && !lends(rec))
}

/// Whoever had a credential issued.
#[derive(Clone, Copy)]
struct Asker<'c> {
    party: &'c Party<'c>,
    /// The record that says so.
    rec: &'c Rec<'c>,
    /// What was issued.
    credential: &'c str,
    /// It is a session, and so is all that came of it.
    by_session: bool,
}

/// Whether `claim` tells of a credential that lives no longer than a session.
fn opens_session(claim: &Claim<'_>) -> bool {
    let kind = claim.credential.and_then(|credential| credential.kind.as_deref());
    kind.map(deed_identity::is_static_type) == Some(false)
}

impl<'c> Asker<'c> {
    /// The same as a hop, where somebody else asked for what it acted `with`.
    fn as_hop(self, with: &str) -> Between<'c> {
        Between {
            party: self.party,
            credential: Some(with.to_owned()),
            delegation: None,
            scope: Vec::new(),
            edge: Edge::Inferred,
            how: format!("had credential {} issued, {}", self.credential, self.rec.said_by()),
            records: vec![self.rec],
            by_session: self.by_session,
        }
    }
}
