//! What share of identities and actions is fully attributable (G4).

use std::collections::BTreeMap;

use deed_identity::State;
use deed_ledger::LedgerError;
use deed_record::{PrincipalType, RecordId};
use deed_review::{
    ExplainError, judge,
    report::{IdentityGap, IdentityVisibility, Tally, Visibility},
};
use serde::Deserialize;

use super::{
    ReportQuery, covered, patience,
    people::{People, is_owned},
    rows::{SYSTEM, rows, when},
};
use crate::{app::App, evidence::LedgerEvidence, problem::Problem};

/// Actions that are judged at most: half a millisecond each.
pub(super) const SAMPLE: usize = 20_000;

#[derive(Deserialize)]
struct Total {
    system: String,
    actions: u64,
}

#[derive(Deserialize)]
struct Chosen {
    id: RecordId,
    system: String,
}

/// The report.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(super) async fn make(app: &App, query: ReportQuery) -> Result<Visibility, Problem> {
    let condition = when(&query);
    let totals =
        format!("SELECT {SYSTEM} AS system, count(*) AS actions FROM actions WHERE {condition} GROUP BY 1");
    let totals: Vec<Total> = rows(app, &query, &totals).await?;
    // Ids end in random digits, or in those of a digest: which actions are judged does not depend on what they are.
    let chosen = format!(
        "SELECT id, {SYSTEM} AS system FROM actions WHERE {condition} ORDER BY right(id, 12), id LIMIT {SAMPLE}"
    );
    let chosen: Vec<Chosen> = rows(app, &query, &chosen).await?;
    let patience = patience(app);
    app.ask(move |engine| {
        let evidence = engine.evidence(query.tenant.as_deref());
        let tally = judge_all(&evidence, &chosen)?;
        let followed = engine.followed(patience)?;
        let people = People::of(engine, &followed.state, query.tenant.as_deref())?;
        let totals = totals.into_iter().map(|total| (total.system, total.actions)).collect();
        Ok(tally.report(
            covered(engine, &query, followed.leaves),
            totals,
            identities(&people, &followed.state, &query),
            followed.state.left_out(),
        ))
    })
    .await
}

/// Judges every action of `chosen`, on as many threads as there are cores.
fn judge_all(evidence: &LedgerEvidence<'_>, chosen: &[Chosen]) -> Result<Tally, ExplainError<LedgerError>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
    let part = chosen.len().div_ceil(threads).max(1);
    let judge_part = |part: &[Chosen]| {
        let mut tally = Tally::default();
        for action in part {
            if let Some(judged) = judge(evidence, action.id)? {
                tally.add(&action.system, &judged);
            }
        }
        Ok(tally)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = chosen.chunks(part).map(|part| scope.spawn(move || judge_part(part))).collect();
        let mut all = Tally::default();
        for thread in running {
            let stopped = || LedgerError::Broken("a thread that judged actions panicked".to_owned());
            all.merge(thread.join().map_err(|_| ExplainError::Evidence(stopped()))??);
        }
        Ok(all)
    })
}

/// Identities by type, and what is not known of them.
fn identities(people: &People, state: &State, query: &ReportQuery) -> Vec<IdentityVisibility> {
    let mut by: BTreeMap<PrincipalType, IdentityVisibility> = BTreeMap::new();
    for who in people.each() {
        let facts: Vec<_> = who.accounts().filter_map(|account| state.account(account)).collect();
        // Whom the inventory has and no record names is no identity of these records.
        if !facts.iter().any(|facts| query.meets(facts.first_seen, facts.last_seen)) {
            continue;
        }
        let gaps = [
            (IdentityGap::Type, who.joined.kind == PrincipalType::Unknown),
            (IdentityGap::Owner, !is_owned(people, who)),
            (IdentityGap::Shared, who.is_shared(state)),
            (IdentityGap::Conflict, who.joined.refused.iter().any(|refused| refused.why.is_conflict())),
        ];
        let of = by.entry(who.joined.kind).or_insert_with(|| IdentityVisibility {
            kind: who.joined.kind,
            identities: 0,
            attributable: 0,
            missing: BTreeMap::new(),
        });
        of.identities += 1;
        of.attributable += u64::from(gaps.iter().all(|(_, missing)| !missing));
        for (gap, _) in gaps.into_iter().filter(|(_, missing)| *missing) {
            *of.missing.entry(gap).or_default() += 1;
        }
    }
    let mut all: Vec<IdentityVisibility> = by.into_values().collect();
    all.sort_by_key(|of| std::cmp::Reverse(of.identities));
    all
}
