//! What a span or log record is about, by whichever convention it follows.

use std::borrow::Cow;

use deed_record::{Decision, Kind, Ruling, StepType};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use serde::Deserialize;

use super::attributes::{Seen, Slot, text_of};
use crate::json;

/// What somebody did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Deed {
    /// An agent or a workflow was given something to do.
    Task,
    /// A model thought or answered.
    Model,
    /// A tool was called.
    Tool,
    /// Something was read: a resource, a prompt template, what a retrieval found.
    Read,
    /// Something was changed that is no tool: an agent made, a memory written.
    Change,
    /// A guardrail or a permission was consulted.
    Check,
    /// Anything else.
    Plain,
}

impl Deed {
    /// What is recorded of it.
    pub(super) fn kind(self) -> Kind {
        match self {
            Deed::Task => Kind::Task,
            Deed::Tool | Deed::Read | Deed::Change => Kind::Observation,
            Deed::Model | Deed::Check | Deed::Plain => Kind::Step,
        }
    }

    /// What sort of step it is (T9).
    pub(super) fn step_type(self) -> Option<StepType> {
        match self {
            Deed::Model => Some(StepType::Reasoning),
            Deed::Tool => Some(StepType::Tool),
            Deed::Read => Some(StepType::DataRead),
            Deed::Check => Some(StepType::PolicyCheck),
            Deed::Task | Deed::Change | Deed::Plain => None,
        }
    }

    /// Whether it is an agent's, so that whoever does it is one.
    pub(super) fn is_of_agent(self) -> bool {
        matches!(self, Deed::Task | Deed::Tool | Deed::Change)
    }
}

/// The deed of a span called `name`, and the operation it goes by.
///
/// Where a span follows several conventions the order is MCP, GenAI, OpenInference, OpenLLMetry. The
/// operation is the convention's own word; those of OpenInference and OpenLLMetry are given as the
/// GenAI word for the same.
pub(super) fn of_span<'a>(seen: &Seen<'a>, name: &'a str, is_root: bool) -> (Deed, Cow<'a, str>) {
    if let Some(method) = seen.text(Slot::McpMethod) {
        return (of_mcp(&method), method);
    }
    if let Some(operation) = seen.text(Slot::Operation) {
        return (of_operation(seen, &operation), operation);
    }
    if let Some(kind) = seen.text(Slot::OpenInference) {
        let (deed, word) = match &*kind {
            "LLM" => (Deed::Model, "chat"),
            "TOOL" => (Deed::Tool, "execute_tool"),
            "AGENT" => (Deed::Task, "invoke_agent"),
            "RETRIEVER" => (Deed::Read, "retrieval"),
            "GUARDRAIL" => (Deed::Check, "guardrail"),
            "EMBEDDING" => (Deed::Plain, "embeddings"),
            // The beginning of a request to the application.
            "CHAIN" if is_root => (Deed::Task, "invoke_workflow"),
            _ => (Deed::Plain, name),
        };
        return (deed, Cow::Borrowed(word));
    }
    if let Some(kind) = seen.text(Slot::Traceloop) {
        let (deed, word) = match &*kind {
            "tool" => (Deed::Tool, "execute_tool"),
            "agent" => (Deed::Task, "invoke_agent"),
            "workflow" => (Deed::Task, "invoke_workflow"),
            _ => (Deed::Plain, name),
        };
        return (deed, Cow::Borrowed(word));
    }
    if let Some(kind) = seen.text(Slot::RequestType) {
        return match &*kind {
            "chat" => (Deed::Model, Cow::Borrowed("chat")),
            "completion" => (Deed::Model, Cow::Borrowed("text_completion")),
            _ => (Deed::Plain, kind),
        };
    }
    match name {
        "claude_code.interaction" => return (Deed::Task, Cow::Borrowed(name)),
        "claude_code.llm_request" => return (Deed::Model, Cow::Borrowed(name)),
        "claude_code.tool" | "claude_code.tool.execution" => return (Deed::Tool, Cow::Borrowed(name)),
        "claude_code.tool.blocked_on_user" => return (Deed::Check, Cow::Borrowed(name)),
        _ => {}
    }
    // The first releases of the conventions had no operation: a system and a model were all.
    if seen.has(Slot::ProviderEarly) {
        return (Deed::Model, Cow::Borrowed("chat"));
    }
    (Deed::Plain, Cow::Borrowed(if name.is_empty() { "span" } else { name }))
}

/// What a policy decides in MCP is an action; the rest of the protocol is not.
fn of_mcp(method: &str) -> Deed {
    match method {
        "tools/call" => Deed::Tool,
        "resources/read" | "prompts/get" => Deed::Read,
        "sampling/createMessage" => Deed::Model,
        _ => Deed::Plain,
    }
}

fn of_operation(seen: &Seen<'_>, operation: &str) -> Deed {
    match operation {
        // A tool that only fetches what grounds an answer.
        "execute_tool" if seen.text(Slot::ToolType).as_deref() == Some("datastore") => Deed::Read,
        "execute_tool" => Deed::Tool,
        "invoke_agent" | "invoke_workflow" => Deed::Task,
        "chat" | "text_completion" | "generate_content" | "llm_request" => Deed::Model,
        "retrieval" | "vector_db_retrieve" | "search_memory" => Deed::Read,
        "create_agent" => Deed::Change,
        // create_, update_, upsert_ and delete_ of memories and their stores.
        memory if memory.contains("_memory") => Deed::Change,
        _ => Deed::Plain,
    }
}

/// The deed of a log record whose event is called `name`.
pub(super) fn of_log(name: &str) -> Deed {
    match name {
        "gen_ai.choice" | "gen_ai.assistant.message" | "gen_ai.client.inference.operation.details" => {
            return Deed::Model;
        }
        _ => {}
    }
    // Coding agents: `claude_code.tool_result`, `codex.tool_decision`, `gemini_cli.tool_call`, with or
    // without the name of the program.
    match name.rsplit('.').next().unwrap_or(name) {
        "user_prompt" => Deed::Task,
        "tool_result" | "tool_call" => Deed::Tool,
        "tool_decision" => Deed::Check,
        "api_request" | "api_response" | "api_error" | "api_refusal" => Deed::Model,
        _ => Deed::Plain,
    }
}

/// What a coding agent's permissions said of a call, or its user, and which of them it was. An agent says so of
/// the question, and some of the call again.
pub(super) fn decision<'a>(seen: &Seen<'a>, deed: Deed) -> Option<Decision<'a>> {
    if !matches!(deed, Deed::Check | Deed::Tool) {
        return None;
    }
    let effect = match &*seen.text(Slot::Decision)? {
        "accept" | "accepted" | "allow" | "auto_accept" | "modify" => Ruling::Allow,
        said if said.starts_with("approved") => Ruling::Allow,
        "reject" | "rejected" | "denied" | "deny" | "abort" | "timed_out" => Ruling::Deny,
        _ => return None,
    };
    let policies = seen.text(Slot::DecisionSource).map(json::text).into_iter().collect();
    Some(Decision {
        effect,
        engine: None,
        errors: Vec::new(),
        obligations: Vec::new(),
        policies,
        policy_set: None,
    })
}

/// The name and the server of the tool called `name`. One that a coding agent reaches over MCP goes by its own: of
/// `mcp__SERVER__TOOL`, or of what its parameters say.
pub(super) fn tool<'a>(
    seen: &Seen<'a>,
    name: Cow<'a, str>,
    attributes: &[KeyValue],
) -> (Cow<'a, str>, Option<Cow<'a, str>>) {
    #[derive(Deserialize)]
    struct Parameters {
        mcp_server_name: String,
        mcp_tool_name: String,
    }
    let said = seen.text(Slot::ToolServer);
    if let Some((server, tool)) = over_mcp(&name) {
        return (Cow::Owned(tool.to_owned()), said.or_else(|| Some(Cow::Owned(server.to_owned()))));
    }
    let parameters = text_of(attributes, "tool_parameters").filter(|text| text.contains("\"mcp_tool_name\""));
    let parameters = parameters.and_then(|text| serde_json::from_str::<Parameters>(text).ok());
    match parameters.filter(|parameters| !parameters.mcp_tool_name.is_empty()) {
        Some(its) => (Cow::Owned(its.mcp_tool_name), said.or(Some(Cow::Owned(its.mcp_server_name)))),
        None => (name, said),
    }
}

/// The server and the tool in `mcp__SERVER__TOOL`.
pub(super) fn over_mcp(name: &str) -> Option<(&str, &str)> {
    let (server, tool) = name.strip_prefix("mcp__")?.split_once("__")?;
    (!server.is_empty() && !tool.is_empty()).then_some((server, tool))
}

/// Who offers the model, by the name that the newest conventions have for it.
///
/// Up to 1.36 it stood in `gen_ai.system`, from 1.37 in `gen_ai.provider.name`; instrumentations that
/// write both mean the one that belongs to their `schema_url`.
pub(super) fn provider<'a>(seen: &Seen<'a>, schema_url: &str) -> Option<Cow<'a, str>> {
    let (early, latest) = (seen.text(Slot::ProviderEarly), seen.text(Slot::ProviderLatest));
    let said = if is_early(schema_url) { early.or(latest) } else { latest.or(early) }?;
    Some(match &*said {
        "az.ai.openai" | "azure.ai.openai" => Cow::Borrowed("azure.ai.openai"),
        "az.ai.inference" | "azure.ai.inference" => Cow::Borrowed("azure.ai.inference"),
        "vertex_ai" => Cow::Borrowed("gcp.vertex_ai"),
        "gemini" => Cow::Borrowed("gcp.gemini"),
        "xai" => Cow::Borrowed("x_ai"),
        _ => said,
    })
}

/// Whether `https://opentelemetry.io/schemas/1.30.0` is of the first generation of the conventions.
fn is_early(schema_url: &str) -> bool {
    let version = schema_url.rsplit('/').next().unwrap_or_default();
    let mut numbers = version.split(['.', '-']).map(|part| part.parse::<u32>().ok());
    matches!((numbers.next().flatten(), numbers.next().flatten()), (Some(0), _) | (Some(1), Some(0..=36)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_urls_tell_generations_apart() {
        for (url, early) in [
            ("https://opentelemetry.io/schemas/1.28.0", true),
            ("https://opentelemetry.io/schemas/1.36.0", true),
            ("https://opentelemetry.io/schemas/1.37.0", false),
            ("https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev", false),
            ("", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_early(url), early, "{url}");
        }
    }
}
