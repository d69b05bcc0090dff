//! What each agent is, for whom it acts, and what became of that (I5).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deed_identity::{Role, Standing, State};
use deed_ledger::{LedgerError, now};
use deed_record::{Account, PrincipalType, Timestamp};
use deed_review::report::{Agent, AgentInstance, Agents, CredentialCounts, DecisionCounts, ForWhom, ToolUse};
use serde::Deserialize;

use super::{
    ReportQuery, covered, findings_by_account, patience,
    people::{Called, People, Somebody},
    rows::{MOST_LISTED, list, rows, when},
};
use crate::{app::App, problem::Problem};

/// Names of one sort that are listed of an agent.
const MOST_NAMED: usize = 50;

#[derive(Deserialize)]
struct Did {
    executor: Account,
    actions: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    allowed: u64,
    denied: u64,
    stepped_up: u64,
    for_nobody: u64,
    without_instance: u64,
}

#[derive(Deserialize)]
struct Call {
    executor: Account,
    what: Option<String>,
    actions: u64,
    denied: u64,
}

#[derive(Deserialize)]
struct Ran {
    executor: Account,
    instance: String,
    actions: u64,
    first: Timestamp,
    last: Timestamp,
}

#[derive(Deserialize)]
struct Asked {
    executor: Account,
    initiator: Account,
    actions: u64,
}

/// What the records say of agents' actions, by account.
#[derive(Default)]
struct Rows {
    did: HashMap<Account, Did>,
    called: HashMap<Account, Vec<Call>>,
    ran: HashMap<Account, Vec<Ran>>,
    asked: HashMap<Account, Vec<Asked>>,
    /// There were too many agents to name each.
    is_cut: bool,
}

/// The report.
///
/// # Errors
/// The store cannot be read, or it takes too long.
pub(super) async fn make(app: &App, query: ReportQuery) -> Result<Agents, Problem> {
    let patience = patience(app);
    let asked = query.clone();
    let agents: Vec<Account> = app
        .ask(move |engine| {
            let followed = engine.followed(patience)?;
            let people = People::of(engine, &followed.state, asked.tenant.as_deref())?;
            Ok(people.each().filter(|who| is_agent(who)).flat_map(Somebody::accounts).collect())
        })
        .await?;
    let rows = gather(app, &query, &agents).await?;
    app.ask(move |engine| {
        let reviewed = engine.reviewed().now(patience)?;
        let followed = engine.followed(patience)?;
        let state = &followed.state;
        let people = People::of(engine, state, query.tenant.as_deref())?;
        let evidence = engine.evidence(query.tenant.as_deref());
        let mut called = Called::new(&people, state, &evidence);
        let about = engine.reviewed().about_identities(&followed)?;
        let findings = findings_by_account(
            &reviewed.review,
            &about,
            &engine.reviewed().hiding(Some(&followed)),
            &query,
        )?;
        let mut all: Vec<(u64, &Somebody)> = people
            .each()
            .filter(|who| is_agent(who) && who.is_seen(state))
            .map(|who| (who.accounts().filter_map(|account| rows.did.get(&account)).map(|did| did.actions).sum(), who))
            .collect();
        all.sort_by_key(|(actions, who)| (std::cmp::Reverse(*actions), who.accounts().next()));
        let total = all.len() as u64;
        all.truncate(query.limit());
        let mut agents = Vec::new();
        for (actions, who) in all {
            agents.push(agent(who, actions, &rows, state, &findings, &mut called)?);
        }
        let mut left_out = state.left_out();
        if rows.is_cut {
            left_out.push(
                "there are more agents than a query can list: figures are of actions whose record says that an agent acted"
                    .to_owned(),
            );
        }
        Ok(Agents::new(covered(engine, &query, followed.leaves), agents, total, left_out))
    })
    .await
}

fn is_agent(who: &Somebody) -> bool {
    who.joined.kind == PrincipalType::Agent
}

async fn gather(app: &App, query: &ReportQuery, agents: &[Account]) -> Result<Rows, Problem> {
    let is_cut = agents.len() > MOST_LISTED;
    let whose =
        if is_cut { "executor_type = 'agent'".to_owned() } else { format!("executor IN {}", list(agents)) };
    let condition = format!("executor IS NOT NULL AND {whose} AND {}", when(query));
    let did = format!(
        "SELECT executor, count(*) AS actions, min(time) AS first, max(time) AS last,
                count(*) FILTER (WHERE decision_effect = 'allow') AS allowed,
                count(*) FILTER (WHERE decision_effect = 'deny') AS denied,
                count(*) FILTER (WHERE decision_effect = 'step_up') AS stepped_up,
                count(*) FILTER (WHERE initiator IS NULL) AS for_nobody,
                count(*) FILTER (WHERE executor_instance IS NULL) AS without_instance
         FROM actions WHERE {condition} GROUP BY executor"
    );
    let called = format!(
        "SELECT executor, coalesce(concat_ws('/', tool_server, tool_name), '') AS tool, operation, count(*) AS actions,
                count(*) FILTER (WHERE decision_effect = 'deny') AS denied
         FROM actions WHERE {condition} GROUP BY 1, 2, 3"
    );
    let called = format!(
        "SELECT executor, CASE WHEN tool = '' THEN operation ELSE tool END AS what, sum(actions) AS actions,
                sum(denied) AS denied
         FROM ({called}) GROUP BY 1, 2"
    );
    let ran = format!(
        "SELECT executor, executor_instance AS instance, count(*) AS actions, min(time) AS first, max(time) AS last
         FROM actions WHERE {condition} AND executor_instance IS NOT NULL GROUP BY 1, 2"
    );
    let asked = format!(
        "SELECT executor, initiator, count(*) AS actions FROM actions
         WHERE {condition} AND initiator IS NOT NULL GROUP BY 1, 2"
    );
    let mut all = Rows { is_cut, ..Rows::default() };
    all.did = rows::<Did>(app, query, &did).await?.into_iter().map(|did| (did.executor, did)).collect();
    for call in rows::<Call>(app, query, &called).await? {
        all.called.entry(call.executor).or_default().push(call);
    }
    for run in rows::<Ran>(app, query, &ran).await? {
        all.ran.entry(run.executor).or_default().push(run);
    }
    for ask in rows::<Asked>(app, query, &asked).await? {
        all.asked.entry(ask.executor).or_default().push(ask);
    }
    Ok(all)
}

fn agent(
    who: &Somebody,
    actions: u64,
    rows: &Rows,
    state: &State,
    found: &BTreeMap<Account, BTreeMap<String, u64>>,
    called: &mut Called<'_>,
) -> Result<Agent, LedgerError> {
    let did = || who.accounts().filter_map(|account| rows.did.get(&account));
    let sum = |of: fn(&Did) -> u64| did().map(of).sum::<u64>();
    let (allowed, denied, stepped_up) =
        (sum(|did| did.allowed), sum(|did| did.denied), sum(|did| did.stepped_up));
    let mut instances: BTreeMap<&str, AgentInstance> = BTreeMap::new();
    for run in who.accounts().filter_map(|account| rows.ran.get(&account)).flatten() {
        let new =
            || AgentInstance { instance: run.instance.clone(), actions: 0, first: run.first, last: run.last };
        let instance = instances.entry(&run.instance).or_insert_with(new);
        instance.actions += run.actions;
        instance.first = instance.first.min(run.first);
        instance.last = instance.last.max(run.last);
    }
    let instances_total = instances.len() as u64;
    let mut instances: Vec<AgentInstance> = instances.into_values().collect();
    instances.sort_by(|a, b| (b.actions, &a.instance).cmp(&(a.actions, &b.instance)));
    instances.truncate(MOST_NAMED);
    let mut asked: BTreeMap<String, u64> = BTreeMap::new();
    for ask in who.accounts().filter_map(|account| rows.asked.get(&account)).flatten() {
        *asked.entry(called.account(&who.tenant, ask.initiator)?).or_default() += ask.actions;
    }
    let mut acted_for: Vec<ForWhom> =
        asked.into_iter().map(|(principal, actions)| ForWhom { principal, actions }).collect();
    acted_for.sort_by(|a, b| (b.actions, &a.principal).cmp(&(a.actions, &b.principal)));
    acted_for.truncate(MOST_NAMED);
    let mut tools: BTreeMap<String, ToolUse> = BTreeMap::new();
    for call in who.accounts().filter_map(|account| rows.called.get(&account)).flatten() {
        let what = call.what.clone().unwrap_or_else(|| "nothing named".to_owned());
        let tool = tools.entry(what.clone()).or_insert(ToolUse { what, actions: 0, denied: 0 });
        tool.actions += call.actions;
        tool.denied += call.denied;
    }
    let mut tools: Vec<ToolUse> = tools.into_values().collect();
    tools.sort_by(|a, b| (b.actions, &a.what).cmp(&(a.actions, &b.what)));
    tools.truncate(MOST_NAMED);
    let mut findings: BTreeMap<String, u64> = BTreeMap::new();
    for (rule, number) in who.accounts().filter_map(|account| found.get(&account)).flatten() {
        *findings.entry(rule.clone()).or_default() += number;
    }
    Ok(Agent {
        identity: called.identity(who)?,
        actions,
        first: did().filter_map(|did| did.first).min(),
        last: did().filter_map(|did| did.last).max(),
        decisions: DecisionCounts {
            allowed,
            denied,
            stepped_up,
            undecided: actions.saturating_sub(allowed + denied + stepped_up),
        },
        instances_total,
        instances,
        without_instance: sum(|did| did.without_instance),
        acted_for,
        for_nobody: sum(|did| did.for_nobody),
        tools,
        credentials: credentials(who, state),
        findings,
    })
}

/// The credentials that it was given or used.
fn credentials(who: &Somebody, state: &State) -> CredentialCounts {
    let own: BTreeSet<Account> = who.accounts().collect();
    let mut keys = BTreeSet::new();
    let mut counts = CredentialCounts::default();
    for key in who.accounts().flat_map(|account| state.credentials_of(account)) {
        let Some(facts) = state.credential(key) else { continue };
        let holds = |role: Role| {
            facts.holders.iter().any(|holder| holder.role == role && own.contains(&holder.account))
        };
        if !(holds(Role::Used) || holds(Role::Given)) || !keys.insert(facts.key) {
            continue;
        }
        let active = Standing::at(now(), &facts.changes, facts.expires) == Standing::Active;
        counts.total += 1;
        counts.active += u64::from(active);
        counts.without_end += u64::from(active && facts.expires.is_none());
        counts.shared += u64::from(state.is_shared(&facts, &own));
    }
    counts
}
