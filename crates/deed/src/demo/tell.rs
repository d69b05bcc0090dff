//! Telling the story: every line is an answer of the store.

use std::collections::BTreeMap;

use deed_record::{RecordId, Status, TraceId};
use deed_review::{
    ActionRow, Class, Explanation, Scope,
    explanation::{Approval, Grant, Who},
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    access::Access,
    client::Request,
    commands::{explain, find, trace},
    exit::Failure,
    output::{Output, clean, count},
};

/// A story, for programs.
#[derive(Debug, serde::Serialize)]
pub(super) struct Story {
    pub(super) name: &'static str,
    /// What is seen there, if it is offered at the end.
    #[serde(skip)]
    pub(super) about: Option<&'static str>,
    pub(super) trace_id: Option<TraceId>,
    pub(super) action_id: RecordId,
}

/// What the store says about what was played.
pub(super) struct Told {
    pub(super) stories: Vec<Story>,
    /// The lines, for people.
    pub(super) lines: Vec<String>,
    /// The action that does not add up.
    pub(super) odd: Explanation,
    /// The exact sealed bytes of that action's record.
    pub(super) sealed: Vec<u8>,
}

/// Asks the store for everything that is told.
///
/// # Errors
/// It does not answer, or does not hold what was played.
pub(super) async fn ask(access: &Access, output: Output) -> Result<Told, Failure> {
    let actions = find::page(access, "limit=1000").await?.actions;
    let mut lines = Vec::new();
    let agents = agents(access, &actions, output, &mut lines).await?;
    let cloud = cloud(access, &actions, output, &mut lines).await?;
    let (migration, odd) = migration(access, &actions, output, &mut lines).await?;
    let sealed = sealed(access, odd.action.id).await?;
    Ok(Told { stories: vec![agents, cloud, migration], lines, odd, sealed })
}

fn missing(what: &str) -> Failure {
    Failure::new(format!("the store holds no {what}, although it was just recorded"))
}

// === A real agent ===

async fn agents(
    access: &Access,
    actions: &[ActionRow],
    output: Output,
    lines: &mut Vec<String>,
) -> Result<Story, Failure> {
    lines.push(format!("{}  real agents, received over OTLP", output.strong("1")));
    let mut traces: BTreeMap<TraceId, Vec<&ActionRow>> = BTreeMap::new();
    for row in actions.iter().filter(|row| row.tool.is_some()) {
        if let Some(id) = row.trace_id {
            traces.entry(id).or_default().push(row);
        }
    }
    let mut story = None;
    for (id, rows) in traces {
        let trace = trace::read(trace::answer(access, id).await?)?;
        let mut tools: Vec<&str> = rows.iter().filter_map(|row| row.tool.as_deref()).collect();
        tools.sort_unstable();
        tools.dedup();
        let mut agents: Vec<String> = trace
            .steps
            .iter()
            .filter_map(|step| step.executor.as_ref())
            .map(|who| short(&called(who)))
            .collect();
        agents.sort_unstable();
        agents.dedup();
        let gaps = if trace.gaps.is_empty() {
            String::new()
        } else {
            format!(", {}", count(trace.gaps.len() as u64, "gap"))
        };
        lines.push(format!(
            "   {} called {}: {}{gaps}",
            clean(&agents.join(" with ")),
            clean(&tools.join(", ")),
            count(trace.steps.len() as u64, "step")
        ));
        story = rows
            .last()
            .map(|row| Story {
                name: "agent",
                about: Some("an agent, step by step"),
                trace_id: Some(id),
                action_id: row.id,
            })
            .or(story);
    }
    story.ok_or_else(|| missing("agent's trace"))
}

// === A real cloud ===

async fn cloud(
    access: &Access,
    actions: &[ActionRow],
    output: Output,
    lines: &mut Vec<String>,
) -> Result<Story, Failure> {
    let imported: Vec<&ActionRow> = actions.iter().filter(|row| row.trace_id.is_none()).collect();
    lines.push(format!(
        "{}  a real CloudTrail file: {}",
        output.strong("2"),
        count(imported.len() as u64, "event")
    ));
    let telling = imported.iter().find(|row| row.status == Some(Status::Denied)).or(imported.first());
    let row = telling.ok_or_else(|| missing("CloudTrail event"))?;
    let answer = explain::read(explain::answer(access, row.id).await?)?;
    let who = |name: &Option<String>, key: &Option<String>| {
        name.clone().or(key.clone()).unwrap_or_else(|| "nobody known".to_owned())
    };
    lines.push(format!(
        "   {} by {}: {}",
        clean(answer.action.operation.as_deref().unwrap_or("something")),
        clean(&short(&who(&answer.executor.name, &answer.executor.key))),
        answer.outcome.status.as_str().replace('_', " "),
    ));
    lines.push(format!(
        "   behind it {}: {}, {}",
        clean(&short(&who(&answer.initiator.name, &answer.initiator.key))),
        answer.initiator.edge,
        clean(&answer.initiator.how),
    ));
    Ok(Story {
        name: "cloudtrail",
        about: Some("who was behind that role"),
        trace_id: None,
        action_id: row.id,
    })
}

/// The telling end of a long name.
fn short(name: &str) -> String {
    name.rsplit(['/', ':']).find(|part| !part.is_empty()).unwrap_or(name).to_owned()
}

// === Request, approval, grant, commands ===

async fn migration(
    access: &Access,
    actions: &[ActionRow],
    output: Output,
    lines: &mut Vec<String>,
) -> Result<(Story, Explanation), Failure> {
    lines.push(format!("{}  a database migration, from request to last command", output.strong("3")));
    let mut odd = None;
    let mut steps = Vec::new();
    // Newest first: read from its end.
    for row in actions
        .iter()
        .rev()
        .filter(|row| row.trace_id.is_some() && row.operation.is_some() && row.tool.is_none())
    {
        let answer = explain::read(explain::answer(access, row.id).await?)?;
        if answer.grant.is_none() {
            continue;
        }
        if answer.verdict.scope.value == Scope::Out {
            odd = Some(answer.clone());
        }
        steps.push(answer);
    }
    let odd = odd.ok_or_else(|| missing("action that does not add up"))?;
    lines.extend(rights(&odd));
    lines.extend(steps.iter().map(|step| command(step, output)));
    let trace_id = odd.action.trace_id;
    Ok((
        Story {
            name: "migration",
            about: Some("the migration, step by step"),
            trace_id,
            action_id: odd.action.id,
        },
        odd,
    ))
}

fn rights(answer: &Explanation) -> Vec<String> {
    let clock = |time: deed_record::Timestamp| time.to_string()[11..19].to_owned();
    let mut lines = Vec::new();
    if let Some(request) = &answer.request {
        let asks = request.by.as_ref().or(request.subject.as_ref()).map_or("somebody".to_owned(), called);
        lines.push(format!(
            "   {}  {asks} asks for role {}",
            clock(request.time),
            request.role.as_deref().unwrap_or("-")
        ));
    }
    for Approval { time, by, answer, .. } in &answer.approvals {
        let said = answer.map_or("answers", |answer| answer.as_str());
        lines.push(format!(
            "   {}  {}: {said}",
            clock(*time),
            by.as_ref().map_or("somebody".to_owned(), called)
        ));
    }
    if let Some(Grant { time, subject, scopes, expires, .. }) = &answer.grant {
        let until = expires.map_or("for good".to_owned(), |end| format!("until {}", clock(end)));
        let whom = subject.as_ref().map_or("somebody".to_owned(), called);
        lines.push(format!("   {}  granted to {whom}: {}, {until}", clock(*time), scopes.join(", ")));
    }
    if let Some(with) = &answer.credential {
        for event in &with.lifecycle {
            let name = with
                .id
                .as_deref()
                .or(with.jti.as_deref())
                .or(with.fingerprint.as_deref())
                .unwrap_or("a credential");
            lines.push(format!(
                "   {}  {name} {}",
                clock(event.time),
                event.change.map_or("described", |change| change.as_str())
            ));
        }
    }
    lines.into_iter().map(|line| clean(&line).into_owned()).collect()
}

fn called(who: &Who) -> String {
    who.name.clone().or(who.key.clone()).unwrap_or_else(|| "somebody".to_owned())
}

fn command(answer: &Explanation, output: Output) -> String {
    let action = &answer.action;
    let resource = action.resource.as_ref().map(|resource| short(&resource.uri)).unwrap_or_default();
    let what = format!("{} {resource}", action.operation.as_deref().unwrap_or("something"));
    let class = answer.verdict.class.as_str().replace('_', " ");
    let verdict = match answer.verdict.class {
        Class::Authorised => output.good(&class),
        Class::Unverified => output.doubtful(&class),
        Class::ControlFailure | Class::Abuse => {
            output.bad(&format!("{}  < does not add up", class.to_uppercase()))
        }
    };
    format!(
        "   {}  {:<26} {:<9} {verdict}",
        &action.time.to_string()[11..19],
        clean(&what),
        answer.outcome.status.as_str()
    )
}

// === The sealed record ===

/// The exact sealed bytes of a record.
async fn sealed(access: &Access, id: RecordId) -> Result<Vec<u8>, Failure> {
    #[derive(Deserialize)]
    struct One {
        records: Vec<Sealed>,
    }
    #[derive(Deserialize)]
    struct Sealed {
        record: Box<RawValue>,
    }
    #[derive(Deserialize)]
    struct Id {
        id: RecordId,
    }
    let one: One = access.call(&Request::get(format!("/v1/actions/{id}"))).await?.json()?;
    let texts = one.records.iter().map(|sealed| sealed.record.get());
    let own =
        texts.into_iter().find(|text| serde_json::from_str::<Id>(text).is_ok_and(|record| record.id == id));
    own.map(|text| text.as_bytes().to_vec()).ok_or_else(|| missing("such record"))
}
