//! Gathers what a report is made of: figures by SQL, identities and findings from what is kept of them. What they come
//! to is `deed_review::report`'s to say.
//!
//! Nothing here reads all records one by one: figures over actions are sums in SQL, and what is asked of identities is
//! folded already. Only `visibility` judges actions, and those are at most [`visibility::SAMPLE`].

mod agents;
mod controls;
mod opened;
mod people;
mod recertification;
mod rows;
mod shared;
mod standing;
mod third_party;
mod visibility;

use std::{collections::BTreeMap, time::Duration};

use deed_ledger::{LedgerError, now};
use deed_record::{Account, RecordId, Timestamp};
use deed_review::{
    IdentityFinding,
    report::{Covered, ReportName},
    review::{Flagged, Review},
    tuning::Matter,
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    engine::Engine,
    problem::{Kind, Problem},
    tuning::Hiding,
};

/// How long identities and findings are waited for that are not folded yet.
const PATIENCE: Duration = Duration::from_secs(20);
/// Rows of a report, unless asked for otherwise.
const DEFAULT_LIMIT: usize = 1000;
/// Most rows of a report.
pub(crate) const MOST_ROWS: usize = 200_000;

/// What a report is to cover.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportQuery {
    /// Whose records; of every tenant where none is named.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// Of what happened at or after this time.
    #[serde(default)]
    pub(crate) since: Option<Timestamp>,
    /// Of what happened before this time.
    #[serde(default)]
    pub(crate) until: Option<Timestamp>,
    /// The change before and after which controls are compared.
    #[serde(default)]
    pub(crate) change: Option<Timestamp>,
    /// Most rows.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    /// `json`, `text` or `html`.
    #[serde(default)]
    pub(crate) format: Option<String>,
}

impl ReportQuery {
    fn limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_ROWS)
    }

    /// Whether something that happened at `time` is covered.
    fn covers(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
    }

    /// Whether any of what happened from `first` to `last` may be covered.
    fn meets(&self, first: Timestamp, last: Timestamp) -> bool {
        self.since.is_none_or(|since| last >= since) && self.until.is_none_or(|until| first < until)
    }

    /// What was flagged of what is covered.
    fn flagged<'r>(&'r self, review: &'r Review) -> impl Iterator<Item = (RecordId, &'r Flagged)> {
        review.flagged().filter(|(_, flagged)| {
            self.covers(flagged.time) && self.tenant.as_ref().is_none_or(|tenant| *tenant == flagged.tenant)
        })
    }

    /// What was found about identities, each with its tenant, as far as it is covered.
    fn about<'r>(
        &'r self,
        found: &'r [(String, IdentityFinding)],
    ) -> impl Iterator<Item = &'r (String, IdentityFinding)> {
        let theirs = |of: &String| self.tenant.as_ref().is_none_or(|tenant| tenant == of);
        found.iter().filter(move |(tenant, found)| theirs(tenant) && self.covers(found.time))
    }
}

/// The report of that name, as JSON.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(crate) async fn make(app: &App, name: ReportName, query: ReportQuery) -> Result<Vec<u8>, Problem> {
    match name {
        ReportName::Visibility => written(&visibility::make(app, query).await?),
        ReportName::Recertification => written(&recertification::make(app, query).await?),
        ReportName::Standing => written(&standing::make(app, query).await?),
        ReportName::Shared => written(&shared::make(app, query).await?),
        ReportName::ThirdParty => written(&third_party::make(app, query).await?),
        ReportName::Agents => written(&agents::make(app, query).await?),
        ReportName::Controls => written(&controls::make(app, query).await?),
    }
}

fn written<T: Serialize>(report: &T) -> Result<Vec<u8>, Problem> {
    serde_json::to_vec(report).map_err(|error| Problem::new(Kind::Internal, error.to_string()))
}

fn patience(app: &App) -> Duration {
    PATIENCE.min(app.limits.read * 2 / 3)
}

/// What the report is made from: `records` of the log were looked at.
fn covered(engine: &Engine, query: &ReportQuery, records: u64) -> Covered {
    let signed = engine.ledger().checkpoint();
    Covered {
        log: engine.ledger().origin().to_owned(),
        records,
        checkpoint_size: signed.as_ref().map_or(0, |signed| signed.size),
        checkpoint_root: signed.as_ref().map(|signed| signed.root.to_string()),
        checkpoint_time: signed.as_ref().map(|signed| signed.time),
        tenant: query.tenant.clone(),
        since: query.since,
        until: query.until,
        made: now(),
    }
}

/// Findings about what each account did, and about who it is, by rule.
fn findings_by_account(
    review: &Review,
    about: &[(String, IdentityFinding)],
    hiding: &Hiding<'_>,
    query: &ReportQuery,
) -> Result<BTreeMap<Account, BTreeMap<String, u64>>, LedgerError> {
    let mut by: BTreeMap<Account, BTreeMap<String, u64>> = BTreeMap::new();
    each_finding(review, about, query, &mut |tenant, account, _, matter| {
        if let Some(account) = account
            && hiding.of(tenant, matter)?.is_none()
        {
            *by.entry(account).or_default().entry(matter.rule.to_owned()).or_default() += 1;
        }
        Ok(())
    })?;
    Ok(by)
}

/// Takes a finding: whose it is, who acted or whom it is about, when, and what it is.
type Each<'e> = dyn FnMut(&str, Option<Account>, Timestamp, &Matter<'_>) -> Result<(), LedgerError> + 'e;

/// Every finding that is covered: whose it is, who acted or whom it is about, when, and what it is.
fn each_finding(
    review: &Review,
    about: &[(String, IdentityFinding)],
    query: &ReportQuery,
    each: &mut Each<'_>,
) -> Result<(), LedgerError> {
    for (id, flagged) in query.flagged(review) {
        for finding in &flagged.findings {
            each(&flagged.tenant, flagged.executor, flagged.time, &flagged.matter(id, finding))?;
        }
    }
    query
        .about(about)
        .try_for_each(|(tenant, found)| each(tenant, found.account, found.time, &found.matter()))
}
