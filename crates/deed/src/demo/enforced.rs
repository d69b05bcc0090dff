//! Agents behind the gateway: real tokens, a real MCP server, and everything that is refused on the way.
//!
//! What is told was heard by the agents, and holds against two others: the store, and the server's own list of what
//! it really did.

mod agent;
mod away;
mod release;
mod scenes;
mod sealed;
pub(super) mod setting;

use std::{path::Path, sync::Arc, time::Duration};

use deed_policy::PolicySet;
use deed_record::Status;
use deed_review::Explanation;

use self::{agent::Agent, setting::Keys};
use super::{tell::Story, vendors::Vendors};
use crate::{
    access::Access,
    client::{Client, query_value},
    commands::{explain, find, policy},
    exit::{Failure, Outcome},
    output::Output,
};

/// What was played, and what the store says about it.
pub(super) struct Enforced {
    pub(super) stories: Vec<Story>,
    /// The lines, for people.
    pub(super) lines: Vec<String>,
    /// The action that somebody else approved.
    pub(super) approved: Explanation,
    /// Tokens and a password, to be looked for in the store.
    pub(super) secrets: Vec<String>,
}

/// Where it is played.
pub(super) struct Stage<'s> {
    pub(super) access: &'s Access,
    /// An HTTP client, as agents have one.
    pub(super) client: Arc<Client>,
    pub(super) dir: &'s Path,
    pub(super) keys: &'s Keys,
    pub(super) vendors: &'s Vendors,
    pub(super) output: Output,
}

/// Plays it all.
///
/// # Errors
/// Something does not answer, or went otherwise than it must.
pub(super) async fn play(stage: Stage<'_>) -> Result<Enforced, Failure> {
    let set = PolicySet::load(&setting::folder(stage.dir)).map_err(|error| {
        Failure::new("failed to read the policies").detail(format!("{:?}", error.problems))
    })?;
    policy::put_in_force(stage.access, &set).await?;
    let trace = crate::output::hex(&super::random::<16>()?);
    let mut told = scenes::Telling::default();
    told.lines.push(format!(
        "{}  agents behind the gateway; the demo plays Ann's identity provider",
        stage.output.strong("4")
    ));
    let ann = stage.keys.ann()?;
    let assistant = told.first_token(&stage, &ann, &trace).await?;
    told.restricted(&stage, &assistant).await?;
    let clerk = told.hand_off(&stage, &assistant).await?;
    told.step_up(&stage, &clerk).await?;
    told.changed_tool(&stage, &assistant).await?;
    told.release(&stage).await?;
    told.outage(&stage, &clerk).await?;
    // By now a signed checkpoint covers it.
    let approved = stage.newest("wipe", Status::Success).await?;
    told.secrets.push(ann);
    let scenes::Telling { stories, lines, secrets } = told;
    Ok(Enforced { stories, lines, approved, secrets })
}

// === Holding what was heard against the store ===

impl Stage<'_> {
    /// What the store says about the newest call of `tool` that ended so.
    ///
    /// # Errors
    /// It knows of none: how a call ended is recorded soon after it was answered.
    async fn newest(&self, tool: &str, status: Status) -> Result<Explanation, Failure> {
        self.newest_of("tool", &format!("vendors/{tool}"), status).await
    }

    async fn newest_of(&self, what: &str, name: &str, status: Status) -> Result<Explanation, Failure> {
        const TRIES: u32 = 100;
        let query = format!("limit=1&{what}={}&status={status}", query_value(name));
        for _ in 0..TRIES {
            if let Some(row) = find::page(self.access, &query).await?.actions.first() {
                return explain::read(explain::answer(self.access, row.id).await?);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(Failure::new(format!("the store holds no `{name}` that ended with `{status}`")))
    }

    fn agent(&self, token: String, trace: &str) -> Agent {
        Agent { client: self.client.clone(), token, trace: trace.to_owned() }
    }
}

/// Fails the story where it went otherwise than it is told.
fn must(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(Failure::new(format!("the story went wrong: it is not so that {what}"))) }
}
