//! Which controls the evidence shows to work or to fail (G6).

use std::collections::BTreeMap;

use deed_ledger::{LedgerError, now};
use deed_record::Account;
use deed_review::{
    is_standing,
    report::{Controls, Figures, Measure, controls},
    tuning::Matter,
};
use serde::Deserialize;

use super::{
    ReportQuery, covered, each_finding, patience,
    rows::{moment, rows, when},
    third_party,
};
use crate::{app::App, problem::Problem};

#[derive(Deserialize)]
struct Did {
    after: bool,
    actions: u64,
    requested: u64,
    executed: u64,
    credentialed: u64,
    short_lived: u64,
    ended: u64,
    traced: u64,
    decided: u64,
    stopped: u64,
    stepped_up: u64,
    observed: u64,
    delegated: u64,
    outside: u64,
    pinned: u64,
}

#[derive(Deserialize)]
struct Said {
    after: bool,
    kind: String,
    change: Option<String>,
    ends: bool,
    number: u64,
}

#[derive(Deserialize)]
struct Kept {
    after: bool,
    kind: String,
    number: u64,
}

#[derive(Deserialize)]
struct Source {
    after: bool,
    system: String,
}

/// The report.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(super) async fn make(app: &App, query: ReportQuery) -> Result<Controls, Problem> {
    let after = query.change.map_or("false".to_owned(), |change| format!("time >= {}", moment(change)));
    let condition = when(&query);
    let outsiders = third_party::outsiders(app, &query).await?;
    let counted = Counted::gather(app, &query, &outsiders, &after, &condition).await?;
    let patience = patience(app);
    app.ask(move |engine| {
        let reviewed = engine.reviewed().now(patience)?;
        let followed = engine.followed(patience)?;
        let about = engine.reviewed().about_identities(&followed)?;
        let mut found: [BTreeMap<String, u64>; 2] = [BTreeMap::new(), BTreeMap::new()];
        let mut hidden: [BTreeMap<String, u64>; 2] = Default::default();
        let hiding = engine.reviewed().hiding(Some(&followed));
        let mut count = |part: usize, tenant: &str, matter: &Matter<'_>| -> Result<(), LedgerError> {
            let is_hidden = hiding.of(tenant, matter)?.is_some();
            let counts = if is_hidden { &mut hidden[part] } else { &mut found[part] };
            *counts.entry(matter.rule.to_owned()).or_default() += 1;
            Ok(())
        };
        each_finding(&reviewed.review, &about, &query, &mut |tenant, _, time, matter| {
            match query.change {
                // What stands is counted at a moment, below.
                Some(_) if is_standing(matter.rule) => Ok(()),
                change => count(usize::from(change.is_some_and(|change| time >= change)), tenant, matter),
            }
        })?;
        if let Some(change) = query.change {
            let end = query.until.map_or_else(now, |until| until.min(now()));
            for (part, moment) in [change, end].into_iter().enumerate() {
                let stood = engine.reviewed().about_identities_at(&followed, moment)?;
                let theirs = |of: &String| query.tenant.as_ref().is_none_or(|tenant| tenant == of);
                let stood = stood.iter().filter(|(of, found)| theirs(of) && is_standing(&found.finding.rule));
                for (of, found) in stood {
                    count(part, of, &found.matter())?;
                }
            }
        }
        let ([before, after], [hid_before, hid_after]) = (found, hidden);
        let (before, after) = ((before, hid_before), (after, hid_after));
        let covered = covered(engine, &query, reviewed.leaves);
        let parts = [(false, before), (true, after)].map(|(after, (findings, suppressed))| Figures {
            measures: counted.measures(after, covered.checkpoint_size),
            findings,
            suppressed,
        });
        let [before, after] = parts;
        let mut all = both(&before, &after, counted.systems(), covered.checkpoint_size);
        if query.change.is_some() {
            // What stood at the change and stands at the end is one.
            for (all, after) in
                [(&mut all.findings, &after.findings), (&mut all.suppressed, &after.suppressed)]
            {
                all.retain(|rule, _| !is_standing(rule));
                let standing = after.iter().filter(|(rule, _)| is_standing(rule));
                all.extend(standing.map(|(rule, number)| (rule.clone(), *number)));
            }
        }
        let around = query.change.map(|change| (change, &before, &after));
        Ok(controls(covered, &all, around, Vec::new()))
    })
    .await
}

/// What SQL counted, before and after a change.
struct Counted {
    did: Vec<Did>,
    said: Vec<Said>,
    kept: Vec<Kept>,
    sources: Vec<Source>,
}

impl Counted {
    async fn gather(
        app: &App,
        query: &ReportQuery,
        outsiders: &[Account],
        after: &str,
        condition: &str,
    ) -> Result<Self, Problem> {
        let did = format!(
            "SELECT {after} AS after, count(*) AS actions, count(initiator) AS requested, count(executor) AS executed,
                    count(credential) AS credentialed,
                    count(*) FILTER (WHERE credential_expires IS NOT NULL OR ending IS NOT NULL) AS short_lived,
                    count(*) FILTER (WHERE outcome_status <> 'unknown') AS ended,
                    count(*) FILTER (WHERE trace_id IS NOT NULL OR session IS NOT NULL) AS traced,
                    count(decision_effect) AS decided,
                    count(*) FILTER (WHERE decision_effect = 'deny'
                        AND (outcome_status IN ('denied', 'failure', 'cancelled')
                             OR basis = 'enforced' AND coalesce(outcome_status, 'unknown') = 'unknown')) AS stopped,
                    count(*) FILTER (WHERE decision_effect = 'step_up') AS stepped_up,
                    count(*) FILTER (WHERE basis = 'imported') AS observed,
                    count(*) FILTER (WHERE chain_depth > 0) AS delegated,
                    count(*) FILTER (WHERE {}) AS outside,
                    count(tool_digest) AS pinned
             FROM actions LEFT JOIN (
                 SELECT DISTINCT tenant AS whose, credential AS ending FROM authority
                 WHERE kind = 'credential' AND credential IS NOT NULL
                   AND (credential_expires IS NOT NULL OR expires IS NOT NULL)
             ) ON tenant = whose AND credential = ending
             WHERE {condition} GROUP BY 1",
            third_party::by_outsiders(outsiders)
        );
        let said = format!(
            "SELECT {after} AS after, kind, change, expires IS NOT NULL AS ends, count(*) AS number
             FROM authority WHERE {condition} GROUP BY 1, 2, 3, 4"
        );
        let kept = format!(
            "SELECT {after} AS after, kind, count(*) AS number FROM records
             WHERE {condition} AND kind IN ('task', 'review', 'exception', 'access', 'gap') GROUP BY 1, 2"
        );
        let sources = format!(
            "SELECT {after} AS after, source_system AS system FROM records
             WHERE {condition} AND source_system IS NOT NULL GROUP BY 1, 2"
        );
        Ok(Counted {
            did: rows(app, query, &did).await?,
            said: rows(app, query, &said).await?,
            kept: rows(app, query, &kept).await?,
            sources: rows(app, query, &sources).await?,
        })
    }

    /// How many systems there are in all.
    fn systems(&self) -> u64 {
        let systems: std::collections::BTreeSet<&str> =
            self.sources.iter().map(|source| source.system.as_str()).collect();
        systems.len() as u64
    }

    fn measures(&self, after: bool, signed: u64) -> BTreeMap<Measure, u64> {
        let did = |of: fn(&Did) -> u64| self.did.iter().filter(|did| did.after == after).map(of).sum();
        let said = |kind: &str, changes: &[&str]| -> u64 {
            let fits = |said: &&Said| {
                said.after == after
                    && said.kind == kind
                    && (changes.is_empty()
                        || said.change.as_deref().is_some_and(|change| changes.contains(&change)))
            };
            self.said.iter().filter(fits).map(|said| said.number).sum()
        };
        let kept = |kinds: &[&str]| -> u64 {
            let fits = |kept: &&Kept| kept.after == after && kinds.contains(&&*kept.kind);
            self.kept.iter().filter(fits).map(|kept| kept.number).sum()
        };
        let ending = self.said.iter().filter(|said| said.after == after && said.kind == "grant" && said.ends);
        BTreeMap::from([
            (Measure::Actions, did(|did| did.actions)),
            (Measure::Requested, did(|did| did.requested)),
            (Measure::Executed, did(|did| did.executed)),
            (Measure::Credentialed, did(|did| did.credentialed)),
            (Measure::ShortLived, did(|did| did.short_lived)),
            (Measure::Ended, did(|did| did.ended)),
            (Measure::Traced, did(|did| did.traced)),
            (Measure::Decided, did(|did| did.decided)),
            (Measure::Stopped, did(|did| did.stopped)),
            (Measure::SteppedUp, did(|did| did.stepped_up)),
            (Measure::Observed, did(|did| did.observed)),
            (Measure::Delegated, did(|did| did.delegated)),
            (Measure::Outside, did(|did| did.outside)),
            (Measure::Pinned, did(|did| did.pinned)),
            (Measure::Approvals, said("approval", &[])),
            (Measure::Requests, said("request", &[])),
            (Measure::Grants, said("grant", &[])),
            (Measure::TimeBound, ending.map(|said| said.number).sum()),
            (Measure::Issued, said("credential", &["issued"])),
            (Measure::Rotated, said("credential", &["renewed", "rotated"])),
            (Measure::Withdrawn, said("credential", &["revoked", "expired"])),
            (Measure::Published, said("policy", &[])),
            (Measure::Tools, said("tool", &[])),
            (Measure::Tasks, kept(&["task"])),
            (Measure::Reviews, kept(&["review", "exception"])),
            (Measure::Reads, kept(&["access"])),
            (Measure::Gaps, kept(&["gap"])),
            (Measure::Sources, self.sources.iter().filter(|source| source.after == after).count() as u64),
            (Measure::Signed, signed),
        ])
    }
}

/// Both parts together: sums, but for what is counted once in all.
fn both(before: &Figures, after: &Figures, systems: u64, signed: u64) -> Figures {
    let mut all = before.clone();
    for (measure, number) in &after.measures {
        *all.measures.entry(*measure).or_default() += number;
    }
    for (rule, number) in &after.findings {
        *all.findings.entry(rule.clone()).or_default() += number;
    }
    for (rule, number) in &after.suppressed {
        *all.suppressed.entry(rule.clone()).or_default() += number;
    }
    all.measures.insert(Measure::Sources, systems);
    all.measures.insert(Measure::Signed, signed);
    all
}
