//! Who acts from outside, for what they were engaged, and what they were seen to do (I8).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use deed_identity::Contract;
use deed_ledger::{Key, LedgerError};
use deed_record::{Account, Kind, PrincipalType, RecordId, Timestamp};
use deed_review::{
    report::{Call, ContractTerms, Engagement, PartyShare, Right, ThirdParty},
    review::Flagged,
};
use serde::Deserialize;

use super::{
    ReportQuery, covered, opened, patience,
    people::{Called, People, Somebody},
    rows::{list, rows, texts, when},
};
use crate::{
    app::App,
    engine::Engine,
    evidence::parse,
    identity::{Followed, PrincipalAnswer, principal},
    problem::Problem,
};

/// The rule that finds calls outside of a contract.
const OUTSIDE: &str = "outside-contract";
/// Rights, and sorts of calls, that are listed of somebody.
const MOST_LISTED: usize = 50;

#[derive(Deserialize)]
struct All {
    actions: u64,
    unknown: u64,
}

#[derive(Deserialize)]
struct Did {
    executor: Account,
    /// The session in which it was done, where somebody from outside opened it.
    session: Option<String>,
    /// Who asked for it, where that is somebody from outside and whoever acted is not.
    asked: Option<Account>,
    vendor: Option<String>,
    what: Option<String>,
    calls: u64,
    first: Timestamp,
    last: Timestamp,
}

/// The report.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(super) async fn make(app: &App, query: ReportQuery) -> Result<ThirdParty, Problem> {
    let patience = patience(app);
    let known = outsiders(app, &query).await?;
    let too_many = known.len() > super::rows::MOST_LISTED;
    let opened = opened::by(app, &known).await?;
    let condition = when(&query);
    let all = format!(
        "SELECT count(*) AS actions, count(*) FILTER (WHERE executor IS NULL) AS unknown FROM actions WHERE {condition}"
    );
    let all: Vec<All> = rows(app, &query, &all).await?;
    let did = format!(
        "SELECT executor, session, asked, vendor, CASE WHEN tool = '' THEN operation ELSE tool END AS what,
                sum(calls) AS calls, min(first) AS first, max(last) AS last
         FROM (SELECT executor, CASE WHEN credential IN {sessions} THEN credential END AS session,
                      CASE WHEN coalesce({acted}, false) THEN NULL WHEN {asked} THEN initiator END AS asked,
                      CASE WHEN coalesce({acted}, false) THEN vendor ELSE initiator_vendor END AS vendor,
                      coalesce(concat_ws('/', tool_server, tool_name), '') AS tool, operation,
                      count(*) AS calls, min(time) AS first, max(time) AS last
               FROM actions
               WHERE executor IS NOT NULL AND {condition}
                 AND ({acted} OR {asked} OR credential IN {sessions})
               GROUP BY 1, 2, 3, 4, 5, 6)
         GROUP BY 1, 2, 3, 4, 5",
        acted = by_outsiders(&known),
        asked = for_outsiders(&known),
        sessions = texts(opened.by.keys()),
    );
    let did: Vec<Did> = rows(app, &query, &did).await?;
    app.ask(move |engine| {
        let reviewed = engine.reviewed().now(patience)?;
        let flagged = query.flagged(&reviewed.review);
        let beyond = flagged.filter(|(_, flagged)| flagged.findings.iter().any(|found| found.rule == OUTSIDE));
        let outsiders: HashSet<Account> = known.into_iter().collect();
        let by_whom = |flagged: &Flagged| {
            let from_outside = |account: &Account| outsiders.contains(account);
            let acted = flagged.executor.filter(from_outside);
            let party = acted.or_else(|| flagged.initiator.filter(from_outside)).or(flagged.executor);
            opened.opener(&flagged.credentials).or(party)
        };
        let beyond: Vec<(RecordId, Option<Account>)> =
            beyond.map(|(id, flagged)| (id, by_whom(flagged))).collect();
        drop(reviewed);
        let followed = engine.followed(patience)?;
        let people = People::of(engine, &followed.state, query.tenant.as_deref())?;
        let outside = outside_calls(engine, &beyond)?;
        let mut by: HashMap<Account, Vec<&Did>> = HashMap::new();
        for did in &did {
            let party = opened.opener(&did.session).or(did.asked).unwrap_or(did.executor);
            by.entry(party).or_default().push(did);
        }
        let evidence = engine.evidence(query.tenant.as_deref());
        let mut called = Called::new(&people, &followed.state, &evidence);
        let mut parties = Vec::new();
        for who in people.each() {
            let theirs: Vec<&Did> = who.accounts().filter_map(|account| by.get(&account)).flatten().copied().collect();
            if theirs.is_empty() && !is_outside(&people, who) || parties.len() >= query.limit() {
                continue;
            }
            parties.push(engagement(engine, &followed, &people, who, &theirs, &outside, &mut called)?);
        }
        let total = all.first().map_or(0, |all| all.actions);
        let unknown = all.first().map_or(0, |all| all.unknown);
        let third_party = parties.iter().map(|party| party.calls).sum::<u64>();
        let own = total.saturating_sub(unknown + third_party);
        let mut left_out = followed.state.left_out();
        left_out.extend(opened.left_out());
        if too_many {
            left_out.push(format!(
                "the inventory has more than {} accounts from outside: actions of the rest count where their record marks \
                 them so",
                super::rows::MOST_LISTED
            ));
        }
        let activity = PartyShare { third_party, own, unknown };
        Ok(ThirdParty::new(covered(engine, &query, followed.leaves), activity, parties, left_out))
    })
    .await
}

/// Every account of whoever the inventory or records have as somebody from outside.
///
/// # Errors
/// Identities are not folded in time.
pub(super) async fn outsiders(app: &App, query: &ReportQuery) -> Result<Vec<Account>, Problem> {
    let (patience, tenant) = (patience(app), query.tenant.clone());
    app.ask(move |engine| {
        let followed = engine.followed(patience)?;
        let people = People::of(engine, &followed.state, tenant.as_deref())?;
        let outside = people.each().filter(|who| is_outside(&people, who));
        Ok(outside.flat_map(Somebody::accounts).collect())
    })
    .await
}

/// As a condition: somebody from outside acted.
pub(super) fn by_outsiders(known: &[Account]) -> String {
    format!("(vendor IS NOT NULL OR executor_type = 'third_party' OR executor IN {})", list(known))
}

/// As a condition: somebody from outside asked.
fn for_outsiders(known: &[Account]) -> String {
    format!(
        "(initiator_vendor IS NOT NULL OR initiator_type = 'third_party' OR initiator IN {})",
        list(known)
    )
}

/// Whether the inventory or records have it as somebody from outside.
fn is_outside(people: &People, who: &Somebody) -> bool {
    let declared = people.declared(who);
    who.joined.kind == PrincipalType::ThirdParty
        || declared.is_some_and(|declared| declared.vendor.is_some() || declared.contract.is_some())
}

/// Calls outside of a contract, by who made them and what was called. What is a step of a call is none of its own.
fn outside_calls(
    engine: &Engine,
    beyond: &[(RecordId, Option<Account>)],
) -> Result<HashMap<Account, BTreeMap<String, u64>>, LedgerError> {
    let mut calls: HashMap<Account, BTreeMap<String, u64>> = HashMap::new();
    let mut seen: HashSet<RecordId> = HashSet::new();
    for (id, account) in beyond {
        let Some(account) = account.filter(|_| seen.insert(*id)) else { continue };
        let Some(index) = engine.ledger().lookup(&Key::Id(*id), 1, None)?.first().copied() else { continue };
        let sealed = engine.ledger().leaf(index)?;
        let record = parse(&sealed)?;
        if !matches!(record.kind, Kind::Intent | Kind::Observation) {
            continue;
        }
        let tool = record.tool.as_ref().map(|tool| match &tool.server {
            Some(server) => format!("{server}/{}", tool.name),
            None => tool.name.to_string(),
        });
        let what = tool.or_else(|| record.operation.as_ref().map(|operation| operation.to_string()));
        *calls.entry(account).or_default().entry(named(what)).or_default() += 1;
    }
    Ok(calls)
}

fn named(what: Option<String>) -> String {
    what.unwrap_or_else(|| "nothing named".to_owned())
}

fn engagement(
    engine: &Engine,
    followed: &Followed,
    people: &People,
    who: &Somebody,
    theirs: &[&Did],
    outside: &HashMap<Account, BTreeMap<String, u64>>,
    called: &mut Called<'_>,
) -> Result<Engagement, LedgerError> {
    let declared = people.declared(who);
    let contract = declared.and_then(|declared| declared.contract.as_ref());
    let mut operations: BTreeMap<String, Call> = BTreeMap::new();
    for did in theirs {
        let what = named(did.what.clone());
        let call = operations.entry(what.clone()).or_insert(Call { what, calls: 0, outside: 0 });
        call.calls += did.calls;
    }
    for (what, number) in who.accounts().filter_map(|account| outside.get(&account)).flatten() {
        if let Some(call) = operations.get_mut(what) {
            // What was both observed and intended is one call with two names.
            call.outside = (call.outside + number).min(call.calls);
        }
    }
    let calls = operations.values().map(|call| call.calls).sum::<u64>();
    let other = |did: &&&Did| who.accounts().all(|own| own != did.executor);
    let through = theirs.iter().filter(other).map(|did| did.calls).sum::<u64>();
    let beyond = operations.values().map(|call| call.outside).sum::<u64>();
    let mut operations: Vec<Call> = operations.into_values().collect();
    operations.sort_by(|a, b| (b.outside, b.calls, &a.what).cmp(&(a.outside, a.calls, &b.what)));
    operations.truncate(MOST_LISTED);
    let identity = called.identity(who)?;
    let marked: BTreeSet<&str> = theirs.iter().filter_map(|did| did.vendor.as_deref()).collect();
    let marked = (!marked.is_empty()).then(|| marked.into_iter().collect::<Vec<_>>().join(", "));
    let (rights, rights_total) = rights(engine, followed, people, who)?;
    Ok(Engagement {
        vendor: identity.vendor.clone().or(marked),
        identity,
        contract: contract.map(terms),
        rights,
        rights_total,
        calls,
        through,
        within: if contract.is_some() { calls - beyond } else { 0 },
        outside: beyond,
        unverified: if contract.is_some() { 0 } else { calls - beyond },
        first: theirs.iter().map(|did| did.first).min(),
        last: theirs.iter().map(|did| did.last).max(),
        operations,
    })
}

fn terms(contract: &Contract) -> ContractTerms {
    ContractTerms {
        scopes: contract.scopes.clone(),
        resources: contract.resources.clone(),
        until: contract.until,
    }
}

/// Rights that somebody was given, and how many those are.
fn rights(
    engine: &Engine,
    followed: &Followed,
    people: &People,
    who: &Somebody,
) -> Result<(Vec<Right>, u64), LedgerError> {
    let (Some(account), Some(declared)) = (who.accounts().next(), people.inventory(&who.tenant)) else {
        return Ok((Vec::new(), 0));
    };
    let evidence = engine.evidence(Some(&who.tenant));
    let answer: Option<PrincipalAnswer> = principal(&evidence, followed, declared, &who.tenant, account)?;
    let Some(answer) = answer else { return Ok((Vec::new(), 0)) };
    let right = |grant: &crate::identity::GrantRow| {
        let words: Vec<&str> =
            grant.role.iter().chain(&grant.scopes).chain(&grant.resource).map(String::as_str).collect();
        Right {
            what: words.join(" "),
            state: grant.state.clone(),
            expires: grant.expires,
            by: grant.by.clone(),
            approved: !grant.approvals.is_empty(),
        }
    };
    Ok((answer.grants.iter().take(MOST_LISTED).map(right).collect(), answer.grants_total))
}
