//! What each identity was given, against what it used of it (G2): from what is kept of identities, never from all
//! records.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deed_identity::{Coverage, GrantFacts, Standing as Stands, State};
use deed_ledger::now;
use deed_record::{Account, Timestamp};
use deed_review::report::{Certified, Recertification, SuggestionCounts, Usage, grant_use, may_give};

use super::{
    ReportQuery, covered, patience,
    people::{Called, People, Somebody},
};
use crate::{app::App, problem::Problem};

/// The report.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(super) async fn make(app: &App, query: ReportQuery) -> Result<Recertification, Problem> {
    let complete = app.engine.complete_for(Coverage::Actions);
    let patience = patience(app);
    app.ask(move |engine| {
        let followed = engine.followed(patience)?;
        let state = &followed.state;
        let people = People::of(engine, state, query.tenant.as_deref())?;
        let at = query.until.unwrap_or_else(now);
        let mut given = in_force(state, &people, at);
        let mut all = Vec::new();
        let (mut grants, mut without_grants) = (SuggestionCounts::default(), 0);
        // Who is in a group is not known: what groups hold may be anybody's.
        let mut of_groups: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for who in people.each() {
            let theirs: Vec<GrantFacts> =
                who.accounts().filter_map(|account| given.remove(&account)).flatten().collect();
            if theirs.is_empty() {
                without_grants += u64::from(who.is_seen(state));
                continue;
            }
            let usage = usage(state, who, &query);
            if usage.stands_for_others {
                of_groups.entry(&who.tenant).or_default().extend(scopes(&theirs));
            }
            let judged: Vec<_> = theirs
                .iter()
                .map(|facts| {
                    // Where whatever is done is logged, a right that is not seen in use was not used.
                    let proves = facts.given_in.as_ref().is_some_and(|system| complete.contains(system));
                    grant_use(facts, &usage, proves, None)
                })
                .collect();
            let mut counts = SuggestionCounts::default();
            judged.iter().for_each(|grant| counts.add(grant.suggestion));
            grants.merge(counts);
            all.push((who, usage, theirs, judged, counts));
        }
        let total = all.len() as u64;
        all.sort_by_key(|(who, _, _, _, counts)| {
            let SuggestionCounts { remove, narrow, unverified, .. } = *counts;
            (std::cmp::Reverse((remove, narrow, unverified)), who.accounts().next())
        });
        all.truncate(query.limit());
        let evidence = engine.evidence(query.tenant.as_deref());
        let mut called = Called::new(&people, state, &evidence);
        let mut identities = Vec::new();
        for (who, usage, theirs, mut judged, _) in all {
            for (facts, grant) in theirs.iter().zip(&mut judged) {
                grant.by = facts.by.map(|by| called.account(&who.tenant, by)).transpose()?;
            }
            let acted = who.accounts().filter_map(|account| state.account(account)?.last_acted);
            let acted = acted.map(|(time, _)| time).max();
            let own: BTreeSet<String> = scopes(&theirs).collect();
            let given: Vec<_> = of_groups.get(&*who.tenant).into_iter().chain([&own]).collect();
            identities.push(Certified::new(called.identity(who)?, acted, judged, &usage, &given));
        }
        Ok(Recertification {
            report: "recertification".to_owned(),
            covered: covered(engine, &query, followed.leaves),
            identities,
            total,
            without_grants,
            grants,
            complete,
            left_out: state.left_out(),
        })
    })
    .await
}

fn scopes(grants: &[GrantFacts]) -> impl Iterator<Item = String> {
    grants.iter().flat_map(may_give).map(str::to_owned)
}

/// Grants that stand at `at`, by whom they were given to.
pub(super) fn in_force(state: &State, people: &People, at: Timestamp) -> HashMap<Account, Vec<GrantFacts>> {
    let mut given: HashMap<Account, Vec<GrantFacts>> = HashMap::new();
    for tenant in people.tenants() {
        let standing = |facts: &GrantFacts| Stands::at(at, &facts.changes, facts.expires) == Stands::Active;
        for facts in state.grants(tenant).filter(standing) {
            if let Some(subject) = facts.subject {
                given.entry(subject).or_default().push(facts);
            }
        }
    }
    given
}

/// What somebody used in the time that is covered, under all its accounts.
pub(super) fn usage(state: &State, who: &Somebody, query: &ReportQuery) -> Usage {
    let facts = who.accounts().filter_map(|account| state.account(account));
    Usage::of(who.joined.kind, facts, query.since, query.until)
}
