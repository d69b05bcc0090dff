//! What each agent is, for whom it acts, with what, and what became of that (I5).

use std::collections::BTreeMap;

use deed_record::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Covered, Identity, count, grouped,
    page::{Bar, Cell, Chart, Column, Figure, Page, Row, Section, Table, Tone},
    second,
};

/// Agents that are shown to people.
const MOST_SHOWN: usize = 200;
/// Bars of a chart.
const MOST_BARS: usize = 12;
/// Names of one sort that a line has.
const MOST_NAMED: usize = 6;

/// The report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agents {
    /// `agents`.
    pub report: String,
    /// What it was made from.
    pub covered: Covered,
    /// The agents, the busiest first.
    pub agents: Vec<Agent>,
    /// How many there are.
    pub total: u64,
    /// What there was no room for, in words.
    pub left_out: Vec<String>,
}

/// One agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Who.
    pub identity: Identity,
    /// Actions that it did.
    pub actions: u64,
    /// The first of them.
    pub first: Option<Timestamp>,
    /// The last of them.
    pub last: Option<Timestamp>,
    /// What was decided on them at request time.
    pub decisions: DecisionCounts,
    /// How many instances are named: runs, pods, processes.
    pub instances_total: u64,
    /// Those that did most.
    pub instances: Vec<AgentInstance>,
    /// Actions that name no instance.
    pub without_instance: u64,
    /// For whom it acted, as its actions say; those with most first.
    pub acted_for: Vec<ForWhom>,
    /// Actions that do not say who asked.
    pub for_nobody: u64,
    /// What it called, the most called first.
    pub tools: Vec<ToolUse>,
    /// Its credentials, all that were ever seen.
    pub credentials: CredentialCounts,
    /// Findings about its actions, by rule.
    pub findings: BTreeMap<String, u64>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionCounts {
    /// Let through.
    pub allowed: u64,
    /// Denied.
    pub denied: u64,
    /// A human was asked.
    pub stepped_up: u64,
    /// Nobody decided: it was only observed.
    pub undecided: u64,
}

/// One instance of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentInstance {
    /// Its name.
    pub instance: String,
    /// Actions.
    pub actions: u64,
    /// The first.
    pub first: Timestamp,
    /// The last.
    pub last: Timestamp,
}

/// Somebody who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForWhom {
    /// Who: the inventory's key, the name as it was sent, else the account.
    pub principal: String,
    /// Actions.
    pub actions: u64,
}

/// Something that was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// `server/name` of a tool, else the operation.
    pub what: String,
    /// How often.
    pub actions: u64,
    /// How often it was denied.
    pub denied: u64,
}

/// Credentials by how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialCounts {
    /// All.
    pub total: u64,
    /// In force, as far as records tell.
    pub active: u64,
    /// Of those, the ones that have no end.
    pub without_end: u64,
    /// Used by several accounts.
    pub shared: u64,
}

impl Agent {
    fn bypassed(&self) -> u64 {
        self.findings.get("bypass").copied().unwrap_or_default()
    }
}

impl Agents {
    /// The report on `agents`, of which there are `total`.
    pub fn new(covered: Covered, mut agents: Vec<Agent>, total: u64, left_out: Vec<String>) -> Self {
        agents.sort_by(|a, b| (b.actions, &a.identity).cmp(&(a.actions, &b.identity)));
        Agents { report: "agents".to_owned(), covered, agents, total, left_out }
    }

    /// As people see it.
    pub fn page(&self) -> Page {
        let sum = |of: fn(&Agent) -> u64| self.agents.iter().map(of).sum::<u64>();
        let denied = sum(|agent| agent.decisions.denied);
        let bypassed = sum(Agent::bypassed);
        let found = sum(|agent| agent.findings.values().sum());
        let unowned = self.agents.iter().filter(|agent| agent.identity.owner.is_none()).count() as u64;
        let bad = |number: u64, tone| if number == 0 { Tone::Good } else { tone };
        let figures = vec![
            Figure::new(grouped(self.total), "agents are known", Tone::Plain),
            Figure::new(grouped(sum(|agent| agent.actions)), "actions they did", Tone::Plain),
            Figure::new(grouped(denied), "of them were denied", Tone::Plain),
            Figure::new(grouped(sum(|agent| agent.decisions.stepped_up)), "asked a human first", Tone::Plain),
            Figure::new(grouped(bypassed), "went past Deed", bad(bypassed, Tone::Bad)),
            Figure::new(grouped(found), "findings about them", bad(found, Tone::Bad)),
            Figure::new(
                grouped(unowned),
                "agents have no owner in the inventory",
                bad(unowned, Tone::Doubtful),
            ),
        ];
        let mut unknown = self.left_out.clone();
        let nobody = sum(|agent| agent.for_nobody);
        if nobody > 0 {
            unknown.push(format!(
                "for whom {} were done: no record of them says who asked",
                count(nobody, "action")
            ));
        }
        let nameless = sum(|agent| agent.without_instance);
        if nameless > 0 {
            unknown
                .push(format!("which instance did {}: their records name none", count(nameless, "action")));
        }
        let undecided = sum(|agent| agent.decisions.undecided);
        if undecided > 0 {
            unknown.push(format!(
                "whether policy would have allowed {}: they were observed, and nothing decided on them",
                count(undecided, "action")
            ));
        }
        if self.total > self.agents.len() as u64 {
            unknown.push(format!(
                "{} agents did less than those listed",
                grouped(self.total - self.agents.len() as u64)
            ));
        }
        Page {
            title: "Agents".to_owned(),
            question: "Which agents are there, whose are they, for whom do they act, and what became of it?"
                .to_owned(),
            covered: self.covered.clone(),
            figures,
            sections: vec![self.decisions(), self.list()],
            unknown,
        }
    }

    fn decisions(&self) -> Section {
        let bar = |agent: &Agent| {
            let DecisionCounts { allowed, denied, stepped_up, undecided } = agent.decisions;
            Bar {
                label: agent.identity.key.clone(),
                parts: vec![allowed, stepped_up, denied, undecided],
                value: count(agent.actions, "action"),
            }
        };
        Section {
            title: "What was decided on their actions".to_owned(),
            note: "At request time, by policy. Every action stands in exactly one part; one that nothing decided on was \
                   only observed."
                .to_owned(),
            chart: Some(Chart {
                legend: vec![
                    ("allowed".into(), Tone::Good),
                    ("asked a human".into(), Tone::Doubtful),
                    ("denied".into(), Tone::Bad),
                    ("only observed".into(), Tone::Plain),
                ],
                bars: self.agents.iter().take(MOST_BARS).map(bar).collect(),
                whole: false,
            }),
            table: None,
        }
    }

    fn list(&self) -> Section {
        let columns = vec![
            Column::words("agent"),
            Column::words("owner"),
            Column::figures("instances"),
            Column::figures("actions"),
            Column::figures("denied"),
            Column::figures("asked"),
            Column::figures("bypassed"),
            Column::figures("credentials"),
            Column::figures("findings"),
        ];
        Section {
            title: "Each agent".to_owned(),
            note: "Owner and sponsor come from the inventory. Credentials are all that were ever seen of it; the other \
                   figures are of the time that this report covers. Steps and tasks are no actions."
                .to_owned(),
            chart: None,
            table: Some(Table::of(columns, self.agents.iter().map(row).collect(), MOST_SHOWN)),
        }
    }
}

fn row(agent: &Agent) -> Row {
    let or_not = |said: &Option<String>| match said {
        Some(said) => Cell::plain(said),
        None => Cell::toned("not known", Tone::Doubtful),
    };
    let cells = vec![
        Cell::plain(&agent.identity.key),
        or_not(&agent.identity.owner),
        Cell::figure(agent.instances_total, Tone::Plain),
        Cell::figure(agent.actions, Tone::Plain),
        Cell::figure(agent.decisions.denied, Tone::Plain),
        Cell::figure(agent.decisions.stepped_up, Tone::Plain),
        Cell::figure(agent.bypassed(), Tone::Bad),
        Cell::figure(agent.credentials.total, Tone::Plain),
        Cell::figure(agent.findings.values().sum(), Tone::Bad),
    ];
    let mut notes: Vec<String> =
        agent.identity.sponsor.iter().map(|sponsor| format!("exists on behalf of {sponsor}")).collect();
    if let (Some(first), Some(last)) = (agent.first, agent.last) {
        notes.push(format!("active {} to {}", second(first), second(last)));
    }
    let mut asked: Vec<String> = agent
        .acted_for
        .iter()
        .map(|whom| format!("{} ({})", whom.principal, grouped(whom.actions)))
        .collect();
    if agent.for_nobody > 0 {
        asked.push(format!("nobody named ({})", grouped(agent.for_nobody)));
    }
    line("for", asked, &mut notes);
    line("called", agent.tools.iter().map(called).collect(), &mut notes);
    let instances = agent.instances.iter().map(|of| format!("{} ({})", of.instance, grouped(of.actions)));
    line("instances", instances.collect(), &mut notes);
    let CredentialCounts { active, without_end, shared, .. } = agent.credentials;
    let credentials =
        [(active, "in force"), (without_end, "without an end"), (shared, "used by several accounts")];
    let credentials = credentials.into_iter().filter(|(number, _)| *number > 0);
    line(
        "credentials",
        credentials.map(|(number, what)| format!("{} {what}", grouped(number))).collect(),
        &mut notes,
    );
    let findings = agent.findings.iter().map(|(rule, number)| format!("{rule} ({})", grouped(*number)));
    line("findings", findings.collect(), &mut notes);
    Row { cells, notes }
}

fn called(tool: &ToolUse) -> String {
    let denied = if tool.denied > 0 { format!(", {} denied", grouped(tool.denied)) } else { String::new() };
    format!("{} ({}{denied})", tool.what, grouped(tool.actions))
}

/// One note of several things, the first of them named.
pub(super) fn line(label: &str, mut words: Vec<String>, notes: &mut Vec<String>) {
    if words.is_empty() {
        return;
    }
    let more = words.len().saturating_sub(MOST_NAMED);
    words.truncate(MOST_NAMED);
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    notes.push(format!("{label}: {}", words.join(", ")));
}
