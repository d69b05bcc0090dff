//! Credentials and accounts behind which several stand (I12): from what is kept of identities.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deed_identity::{CredentialFacts, Role, SeenBy, SeenFacts, State};
use deed_ledger::LedgerError;
use deed_record::{Account, PrincipalType};
use deed_review::report::{Several, Shared, SharedBy};

use super::{
    ReportQuery, covered, patience,
    people::{Called, People},
};
use crate::{
    app::App,
    evidence::LedgerEvidence,
    identity::{credential_names, shown_name},
    problem::Problem,
};

/// Principals that are named behind one credential or account.
const MOST_NAMED: usize = 50;

/// A row, before anybody is named.
struct Behind {
    row: SharedBy,
    accounts: BTreeSet<Account>,
    own: Option<Account>,
    credential: Option<Box<CredentialFacts>>,
}

/// The report.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(super) async fn make(app: &App, query: ReportQuery) -> Result<Shared, Problem> {
    let patience = patience(app);
    app.ask(move |engine| {
        let followed = engine.followed(patience)?;
        let state = &followed.state;
        let people = People::of(engine, state, query.tenant.as_deref())?;
        // From each account to the principal that it is of.
        let whose: HashMap<Account, usize> = people
            .each()
            .enumerate()
            .flat_map(|(at, who)| who.accounts().map(move |account| (account, at)))
            .collect();
        let (mut credentials, credentials_used, askers) = credentials(state, &people, &whose, &query);
        let (mut accounts, accounts_active) = accounts(state, &people, &whose, &askers, &query);
        let (credentials_total, accounts_total) = (credentials.len() as u64, accounts.len() as u64);
        let evidence = engine.evidence(query.tenant.as_deref());
        let mut called = Called::new(&people, state, &evidence);
        let mut named = |rows: &mut Vec<Behind>| {
            rows.sort_by_key(|behind| std::cmp::Reverse(behind.row.weight()));
            rows.truncate(query.limit());
            rows.drain(..)
                .map(|row| name(row, &evidence, &mut called))
                .collect::<Result<Vec<_>, LedgerError>>()
        };
        Ok(Shared {
            report: "shared".to_owned(),
            credentials: named(&mut credentials)?,
            credentials_total,
            credentials_used,
            accounts: named(&mut accounts)?,
            accounts_total,
            accounts_active,
            covered: covered(engine, &query, followed.leaves),
            left_out: state.left_out(),
        })
    })
    .await
}

/// Who had credentials issued to an account.
type Askers = HashMap<Account, BTreeSet<Account>>;

/// One account of each principal among `accounts`.
fn principals(
    accounts: impl IntoIterator<Item = Account>,
    whose: &HashMap<Account, usize>,
) -> BTreeSet<Account> {
    let mut one: BTreeMap<Result<usize, Account>, Account> = BTreeMap::new();
    for account in accounts {
        one.entry(whose.get(&account).copied().ok_or(account)).or_insert(account);
    }
    one.into_values().collect()
}

/// Credentials that several used, how many were used at all, and who had any issued to whom.
fn credentials(
    state: &State,
    people: &People,
    whose: &HashMap<Account, usize>,
    query: &ReportQuery,
) -> (Vec<Behind>, u64, Askers) {
    let (mut rows, mut used, mut askers) = (Vec::new(), 0, Askers::new());
    for tenant in people.tenants() {
        for facts in state.credentials(tenant) {
            let of = |role: Role| facts.holders.iter().filter(move |holder| holder.role == role);
            for holder in of(Role::Given).chain(of(Role::Used)) {
                let others =
                    of(Role::Asked).map(|asked| asked.account).filter(|asked| *asked != holder.account);
                let mut others = others.peekable();
                if others.peek().is_some() {
                    askers.entry(holder.account).or_default().extend(others);
                }
            }
            let (Some((first, _)), Some((last, _))) = (facts.first_used, facts.last_used) else { continue };
            if !query.meets(first, last) {
                continue;
            }
            used += 1;
            let used_by = state.users(&facts).into_iter().map(|held| held.account);
            let users = principals(used_by, whose);
            let [instances, devices, tasks] = seen(&facts.seen);
            if users.len() < 2
                && !facts.more_holders
                && ![instances, devices, tasks].iter().any(|of| of.is_several())
            {
                continue;
            }
            let several = users.len() > 1 || facts.more_holders;
            let mut incomplete = Vec::new();
            if facts.more_holders {
                incomplete.push("more accounts used it than are kept".to_owned());
            }
            if users.is_empty() {
                incomplete.push("no record of its use says who acted".to_owned());
            } else if !several && (devices.is_several() || tasks.is_several() || instances.is_several()) {
                incomplete.push(
                    "it stands for one account: who of those behind it acted is not recorded".to_owned(),
                );
            }
            let row = SharedBy {
                what: String::new(),
                kind: facts.kind.clone().unwrap_or_else(|| "unknown".to_owned()),
                tenant: tenant.to_owned(),
                principals: Vec::new(),
                principals_total: users.len() as u64,
                instances,
                devices,
                tasks,
                actions: facts.uses,
                attributed: if several && !facts.more_holders { facts.uses } else { 0 },
                last: Some(last),
                incomplete,
            };
            rows.push(Behind { row, accounts: users, own: None, credential: Some(Box::new(facts)) });
        }
    }
    (rows, used, askers)
}

/// Accounts of machines through which several act, and how many acted at all.
fn accounts(
    state: &State,
    people: &People,
    whose: &HashMap<Account, usize>,
    askers: &Askers,
    query: &ReportQuery,
) -> (Vec<Behind>, u64) {
    let (mut rows, mut active) = (Vec::new(), 0);
    for who in people.each() {
        for account in who.accounts() {
            let Some(facts) = state.account(account) else { continue };
            let machine = !matches!(facts.kind, PrincipalType::Human | PrincipalType::Unknown);
            if !machine || facts.executed == 0 || !query.meets(facts.first_seen, facts.last_seen) {
                continue;
            }
            active += 1;
            let links: Vec<_> =
                state.links_of(account).into_iter().filter(|link| link.to == account).collect();
            let named = links.iter().map(|link| link.from);
            let behind = principals(named.chain(askers.get(&account).into_iter().flatten().copied()), whose);
            let [instances, devices, tasks] = seen(&facts.seen);
            if behind.len() < 2 && !devices.is_several() && !instances.is_several() {
                continue;
            }
            let attributed = links.iter().map(|link| link.count).sum::<u64>().min(facts.executed);
            let mut incomplete = Vec::new();
            if attributed < facts.executed {
                let rest = facts.executed - attributed;
                incomplete.push(match askers.contains_key(&account) {
                    true => format!(
                        "on whose behalf {rest} actions were done is not recorded; whoever had its credentials issued may have"
                    ),
                    false => format!("on whose behalf {rest} actions were done is not recorded"),
                });
            }
            let row = SharedBy {
                what: String::new(),
                kind: facts.kind.as_str().to_owned(),
                tenant: who.tenant.clone(),
                principals: Vec::new(),
                principals_total: behind.len() as u64,
                instances,
                devices,
                tasks,
                actions: facts.executed,
                attributed,
                last: facts.last_acted.map(|(time, _)| time),
                incomplete,
            };
            rows.push(Behind { row, accounts: behind, own: Some(account), credential: None });
        }
    }
    (rows, active)
}

/// Instances, devices and tasks.
fn seen(all: &[SeenFacts]) -> [Several; 3] {
    [SeenBy::Instance, SeenBy::Device, SeenBy::Task].map(|by| {
        let facts = all.iter().find(|facts| facts.by == by);
        facts.map_or(Several::default(), |facts| Several {
            seen: facts.each.len() as u64,
            more: facts.more,
            overlap: facts.overlap(),
        })
    })
}

fn name(
    behind: Behind,
    evidence: &LedgerEvidence<'_>,
    called: &mut Called<'_>,
) -> Result<SharedBy, LedgerError> {
    let mut row = behind.row;
    if let Some(account) = behind.own {
        row.what = called.account(&row.tenant, account)?;
    }
    if let Some(facts) = behind.credential {
        let names = credential_names(evidence, &row.tenant, &facts)?;
        row.what =
            shown_name(&names).cloned().unwrap_or_else(|| "a credential whose records name none".to_owned());
    }
    for account in behind.accounts.into_iter().take(MOST_NAMED) {
        row.principals.push(called.account(&row.tenant, account)?);
    }
    row.principals.sort_unstable();
    Ok(row)
}
