//! The scenes, one after another, and what is told of each.

use std::time::Duration;

use deed_gateway::{HeldTool, Waiting, Who};
use deed_record::{RecordId, Ruling, Status};
use deed_review::{Explanation, explanation};
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::{
    Stage,
    agent::{Agent, Exchanged, exchange},
    away::Away,
    must, sealed,
};
use crate::{
    client::{Request, Response},
    demo::{tell::Story, vendors::TAX_ID},
    exit::{Failure, Outcome},
    output::clean,
};

const ASSISTANT: &str = "agent:assistant";
const CLERK: &str = "agent:clerk";

/// What Ann gives the assistant, and what that passes on.
pub(super) const SCOPES: &str = "tools/call tickets:write vendors:read vendors:write secrets:read";
const NARROWER: &str = "tools/call tickets:write vendors:write";

/// What was told so far.
#[derive(Default)]
pub(super) struct Telling {
    pub(super) stories: Vec<Story>,
    pub(super) lines: Vec<String>,
    pub(super) secrets: Vec<String>,
}

/// What waits for a human.
#[derive(Deserialize)]
struct Waits {
    approvals: Vec<Waiting>,
    tools: Vec<HeldTool>,
}

impl Telling {
    /// What was tried, and what came of it.
    pub(super) fn tell(&mut self, what: &str, came: &str) {
        self.lines.push(format!("   {what:<34} {}", clean(came)));
    }

    pub(super) fn story(&mut self, name: &'static str, about: Option<&'static str>, of: &Explanation) {
        let trace_id = of.action.trace_id;
        self.stories.push(Story { name, about, trace_id, action_id: of.action.id });
    }

    /// Ann's token and the agent's word become one token that says both; with it, a secret is read (T4).
    pub(super) async fn first_token(
        &mut self,
        stage: &Stage<'_>,
        ann: &str,
        trace: &str,
    ) -> Result<Agent, Failure> {
        let issued = exchange(&stage.client, stage.keys, ann, ASSISTANT, SCOPES, Some(CLERK)).await?;
        let Exchanged::Token(token) = issued else {
            return Err(Failure::new("the token service refused the first token"));
        };
        self.tell("Ann's sign-in, assistant's key", "one token says both, for five minutes");
        self.secrets.push(token.clone());
        let assistant = stage.agent(token, trace);
        assistant.tools().await?;
        let read = assistant.call("secret_read", json!({ "name": "vendor-db" })).await?;
        let password = read.found["password"].as_str().unwrap_or_default().to_owned();
        must(!read.is_refused && !password.is_empty(), "the assistant was given the password")?;
        self.secrets.push(password);
        stage.newest("secret_read", Status::Success).await?;
        self.tell("assistant reads a password", "given; a fingerprint in the record");
        Ok(assistant)
    }

    /// A field that the agent is not to see (T5).
    pub(super) async fn restricted(&mut self, stage: &Stage<'_>, assistant: &Agent) -> Outcome {
        let heard = assistant.call("vendor_lookup", json!({ "vendor": "Initech" })).await?;
        let is_kept_back = heard.found.get("tax_id").is_none_or(|value| value != TAX_ID);
        must(
            !heard.is_refused && is_kept_back && !heard.text.contains(TAX_ID),
            "the tax number was kept back",
        )?;
        let found = stage.newest("vendor_lookup", Status::Success).await?;
        let code = found.outcome.code.clone().unwrap_or_default();
        must(code.starts_with("masked_"), "the record says that a field was kept back")?;
        self.secrets.push(TAX_ID.to_owned());
        let shown = heard.found.as_object().into_iter().flatten();
        let shown: Vec<String> = shown
            .filter(|(name, _)| !matches!(name.as_str(), "name" | "tax_id"))
            .map(|(name, value)| format!("{name} {}", value.as_str().unwrap_or_default()))
            .collect();
        self.tell("assistant looks a vendor up", &format!("{}; tax_id kept back", shown.join(", ")));
        self.story("restricted", None, &found);
        Ok(())
    }

    /// Another agent goes on, with what it was given and no more; Ann stays on what it does (I10).
    pub(super) async fn hand_off(&mut self, stage: &Stage<'_>, assistant: &Agent) -> Result<Agent, Failure> {
        let Stage { client, keys, .. } = stage;
        let wider = exchange(client, keys, &assistant.token, CLERK, "tools/call vendors:admin", None).await?;
        let Exchanged::Refused(error) = wider else {
            return Err(Failure::new("a hand-off gave more than its parent had"));
        };
        sealed::holds(stage.access, "refusal of the wider token", |record| {
            record["kind"] == "credential"
                && record["outcome"]["status"] == "denied"
                && record["outcome"]["code"] == error.as_str()
        })
        .await?;
        self.tell("clerk takes over, and wants more", &format!("refused: {error}"));
        let narrow = exchange(client, keys, &assistant.token, CLERK, NARROWER, None).await?;
        let Exchanged::Token(token) = narrow else {
            return Err(Failure::new("the token service refused the hand-off"));
        };
        self.secrets.push(token.clone());
        let clerk = stage.agent(token, &assistant.trace);
        let done = clerk.call("ticket_create", json!({ "title": "Initech" })).await?;
        must(!done.is_refused, "the ticket was opened")?;
        let found = stage.newest("ticket_create", Status::Success).await?;
        let between: Vec<&str> = found.chain.iter().filter_map(|hop| hop.principal.key.as_deref()).collect();
        must(
            is_ann(&found.initiator) && between.contains(&ASSISTANT),
            "Ann and the assistant stand behind it",
        )?;
        must(found.executor.key.as_deref() == Some(CLERK), "the clerk did it")?;
        self.tell("clerk, with less, opens a ticket", "done; for Ann, through assistant");
        self.story("delegation", Some("the agents, step by step"), &found);
        Ok(clerk)
    }

    /// A call that waits until somebody else has agreed.
    pub(super) async fn step_up(&mut self, stage: &Stage<'_>, clerk: &Agent) -> Outcome {
        let before = wiped(stage).await?;
        let call = clerk.call("wipe", json!({ "vendor": "Initech" }));
        let (heard, refused) = tokio::try_join!(call, approve_wipe(stage))?;
        let after = wiped(stage).await?;
        must(
            !heard.is_refused && (before, after) == (0, 1),
            "the vendor was wiped once, after the approval",
        )?;
        let found = stage.newest("wipe", Status::Success).await?;
        must(approver(&found) == Some("human:bob"), "Bob approved it")?;
        let asked = found.decision.as_ref().filter(|decision| decision.effect == Ruling::StepUp);
        let policies = asked.map(|decision| decision.policies.join(", ")).unwrap_or_default();
        must(!policies.is_empty(), "a policy asked for a human")?;
        self.tell("clerk wipes a vendor", &format!("waits, by {policies}"));
        self.tell("Ann approves, for whom it is", &format!("refused: {refused}"));
        self.tell("Bob approves", &format!("done: {after} wiped, {before} before"));
        self.story("step-up", None, &found);
        Ok(())
    }

    /// A tool that became another one.
    pub(super) async fn changed_tool(&mut self, stage: &Stage<'_>, assistant: &Agent) -> Outcome {
        stage.vendors.update().await?;
        let held = held_tool(stage, assistant).await?;
        let lookup = || assistant.call("vendor_lookup", json!({ "vendor": "Initech" }));
        must(lookup().await?.is_refused, "a tool that changed is not called")?;
        let found = stage.newest("vendor_lookup", Status::Denied).await?;
        self.tell("an update changes vendor_lookup", "held: not called before a human agrees");
        reply(stage, held, "human:bob").await?.good()?;
        must(!lookup().await?.is_refused, "the tool is called again once it was approved")?;
        self.tell("Bob approves the difference", "it is called again");
        self.story("changed-tool", None, &found);
        Ok(())
    }

    /// Nothing can be recorded: nothing is done.
    pub(super) async fn outage(&mut self, stage: &Stage<'_>, clerk: &Agent) -> Outcome {
        let before = stage.vendors.effects().await?;
        let ticket = || clerk.call("ticket_create", json!({ "title": "Globex" }));
        let away = match Away::take(stage.dir) {
            Ok(away) => away,
            Err(error) => {
                self.tell("a ticket, while the store is away", &format!("not tried here: {error}"));
                return Ok(());
            }
        };
        let heard = ticket().await;
        let during = stage.vendors.effects().await;
        drop(away);
        let (heard, during) = (heard?, during?);
        must(heard.is_refused && heard.text.contains("recorder"), "the call was refused")?;
        must(during == before, "the server did nothing")?;
        self.tell("a ticket, while the store is away", "refused; the server did nothing");
        must(!ticket().await?.is_refused, "the ticket was opened afterwards")?;
        must(stage.vendors.effects().await?.len() == before.len() + 1, "one ticket was opened")?;
        sealed::holds(stage.access, "gap", |record| record["kind"] == "gap").await?;
        let found = stage.newest("ticket_create", Status::Success).await?;
        self.tell("a ticket, once it is back", "done; the log says what it missed");
        self.story("outage", None, &found);
        Ok(())
    }
}

// === People ===

fn is_ann(who: &explanation::Initiator) -> bool {
    who.key.as_deref().is_some_and(|key| key == "human:ann" || key == "oidc:idp.example/ann")
}

async fn waits(stage: &Stage<'_>) -> Result<Waits, Failure> {
    stage.access.call(&Request::get("/v1/approvals")).await?.json()
}

/// A human's yes to what waits.
async fn reply(stage: &Stage<'_>, id: RecordId, by: &str) -> Result<Response, Failure> {
    let by: Who = by.parse().map_err(Failure::new)?;
    let body = json!({ "approved": true, "by": by, "reason": "part of the story" });
    let request = Request::post(format!("/v1/approvals/{id}"), "application/json", body.to_string());
    stage.access.call(&request).await
}

/// Ann approves what waits, which is refused, and then Bob does; why Ann may not.
async fn approve_wipe(stage: &Stage<'_>) -> Result<&'static str, Failure> {
    let id = waiting(stage, "tools/call").await?;
    let anns = reply(stage, id, "human:ann").await?;
    let said = String::from_utf8_lossy(&anns.body);
    let is_refused = anns.status == StatusCode::FORBIDDEN && said.contains("somebody else must answer");
    must(is_refused, "Ann may not approve it")?;
    must(wiped(stage).await? == 0, "nothing was wiped before somebody else approved it")?;
    reply(stage, id, "human:bob").await?.good()?;
    Ok("somebody else must")
}

/// Bob approves what waits.
pub(super) async fn bob_approves(stage: &Stage<'_>, method: &str) -> Outcome {
    reply(stage, waiting(stage, method).await?, "human:bob").await?.good().map(drop)
}

/// What of that method waits for a human.
async fn waiting(stage: &Stage<'_>, method: &str) -> Result<RecordId, Failure> {
    const TRIES: u32 = 200;
    for _ in 0..TRIES {
        let found = waits(stage).await?.approvals.into_iter().find(|waiting| waiting.method == method);
        if let Some(found) = found {
            return Ok(found.id);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Failure::new("nothing waits for a human, although it must"))
}

/// By whose approval it was done.
pub(super) fn approver(found: &Explanation) -> Option<&str> {
    let counts = found.approvals.iter().find(|approval| approval.counts);
    counts.and_then(|approval| approval.by.as_ref()).and_then(|by| by.key.as_deref())
}

/// The tool that waits for a human, once it is listed again.
async fn held_tool(stage: &Stage<'_>, assistant: &Agent) -> Result<RecordId, Failure> {
    assistant.tools().await?;
    let held = waits(stage).await?.tools.into_iter().find(|tool| tool.name == "vendor_lookup");
    held.map(|tool| tool.id).ok_or_else(|| Failure::new("the changed tool is not held"))
}

/// How many vendors the server really wiped.
async fn wiped(stage: &Stage<'_>) -> Result<usize, Failure> {
    Ok(stage.vendors.effects().await?.iter().filter(|effect| effect.starts_with("wipe ")).count())
}
