//! `deed approvals`, `deed approve`, `deed refuse`: what waits for a human, and the human's answer.

use deed_gateway::{HeldTool, Waiting, Who};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use crate::{
    access::{Access, Need},
    cli::{Global, Reply},
    client::Request,
    exit::{Code, Failure, Outcome},
    hint::Hint,
    output::{Output, clean},
    values,
};

#[derive(Deserialize, Serialize)]
struct Approvals {
    approvals: Vec<Waiting>,
    /// Tools whose definition changed.
    tools: Vec<HeldTool>,
}

pub(crate) async fn list(global: &Global, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let answer = access.call(&Request::get("/v1/approvals").urgently()).await;
    let listed = answer.and_then(|answer| answer.json::<Approvals>());
    let listed = access.finish(listed).await?;
    if output.json {
        return output.document(&listed);
    }
    let Approvals { approvals, tools } = listed;
    if approvals.is_empty() && tools.is_empty() {
        return output.print("nothing waits for an approval\n");
    }
    for waiting in &approvals {
        output.print(&shown(waiting, output))?;
    }
    for tool in &tools {
        output.print(&changed(tool, output))?;
    }
    let hint = Hint::of(global);
    output.print(&format!(
        "\n  next  {}\n        {}\n",
        hint.deed("approve ID --reason \"…\" --as human:NAME"),
        hint.deed("refuse ID --reason \"…\"")
    ))
}

fn shown(waiting: &Waiting, output: Output) -> String {
    let name = |who: &Who| clean(who.key.as_deref().unwrap_or("somebody")).into_owned();
    let asked = waiting.initiator.as_ref().map(|who| format!(", for {}", name(who))).unwrap_or_default();
    let arguments = waiting.arguments.as_ref().map_or("-", |arguments| arguments.get());
    format!(
        "{}\n  {} wants {}{asked}\n  with      {}\n  policy    {}; may be answered by {} until {}\n",
        output.strong(&waiting.id.to_string()),
        name(&waiting.executor),
        clean(&waiting.target),
        clean(arguments),
        waiting.policies.join(", "),
        waiting.approvers.join(" and "),
        waiting.expires,
    )
}

/// A tool whose definition changed, with the difference.
fn changed(tool: &HeldTool, output: Output) -> String {
    let lines = |definition: &Option<Box<RawValue>>| -> Vec<String> {
        let value: Option<Value> =
            definition.as_ref().and_then(|definition| serde_json::from_str(definition.get()).ok());
        let text = value.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_default();
        text.lines().map(|line| clean(line).into_owned()).collect()
    };
    let mut shown = format!(
        "{}\n  tool {}/{} is not what was approved; it is not called until somebody approves the difference\n",
        output.strong(&tool.id.to_string()),
        clean(&tool.server),
        clean(&tool.name)
    );
    for (sign, line) in difference(&lines(&tool.was), &lines(&tool.is)) {
        let line = format!("    {sign} {line}");
        let line = match sign {
            '+' => output.good(&line),
            '-' => output.bad(&line),
            _ => line,
        };
        shown.push_str(&format!("{line}\n"));
    }
    shown
}

/// The lines of `was` and `is`: `-` gone, `+` new, ` ` both. By the longest run that they have in common.
fn difference<'l>(was: &'l [String], is: &'l [String]) -> Vec<(char, &'l str)> {
    let mut common = vec![vec![0_usize; is.len() + 1]; was.len() + 1];
    for i in (0..was.len()).rev() {
        for j in (0..is.len()).rev() {
            common[i][j] = match was[i] == is[j] {
                true => common[i + 1][j + 1] + 1,
                false => common[i + 1][j].max(common[i][j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < was.len() || j < is.len() {
        if i < was.len() && j < is.len() && was[i] == is[j] {
            lines.push((' ', was[i].as_str()));
            (i, j) = (i + 1, j + 1);
        } else if j == is.len() || (i < was.len() && common[i + 1][j] >= common[i][j + 1]) {
            lines.push(('-', was[i].as_str()));
            i += 1;
        } else {
            lines.push(('+', is[j].as_str()));
            j += 1;
        }
    }
    lines
}

#[derive(Deserialize, Serialize)]
struct Answered {
    approval_id: String,
    action_id: String,
    approved: bool,
    /// Whether somebody waits for it just now; nobody does for a tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waits: Option<bool>,
}

pub(crate) async fn reply(global: &Global, approved: bool, reply: Reply, output: Output) -> Outcome {
    let access = Access::open(global, Need::Existing)?;
    let by = reply.by.unwrap_or_else(values::system_who);
    let body = json!({ "approved": approved, "by": by, "reason": reply.reason });
    let path = format!("/v1/approvals/{}", reply.id);
    let answer = access.call(&Request::post(path, "application/json", body.to_string()).urgently()).await;
    let answered = answer.and_then(|answer| {
        let is_theirs = answer.status != http::StatusCode::FORBIDDEN;
        let failed = |failure: Failure| if is_theirs { failure } else { failure.code(Code::Denied) };
        answer.json::<Answered>().map_err(failed)
    });
    let doing = if approved { "approve" } else { "refuse" };
    let answered = access.finish(answered).await.map_err(|failure| failure.doing(doing))?;
    if output.json {
        return output.document(&answered);
    }
    let said = if answered.approved { "approved" } else { "refused" };
    let nobody_waits = answered.approved && answered.waits == Some(false);
    let again = if nobody_waits {
        "nobody waits for it just now: the same call, made again within 15 minutes, goes on\n"
    } else {
        ""
    };
    output.print(&format!(
        "{said} {}, recorded as {}\n{again}\n  next  {}\n",
        answered.action_id,
        answered.approval_id,
        Hint::of(global).deed(&format!("explain {}", answered.action_id))
    ))
}
