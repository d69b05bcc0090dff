//! The attributes that mean something to a record, under every name they go by.

use std::{borrow::Cow, sync::LazyLock};

use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};

/// What an attribute says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Slot {
    AgentId,
    AgentName,
    Arguments,
    CallId,
    ClientAddress,
    DataSource,
    Decision,
    DecisionSource,
    Documents,
    DurationMs,
    EntityName,
    Environment,
    Error,
    ErrorCode,
    EventName,
    Input,
    Instance,
    Instructions,
    LogId,
    McpMethod,
    McpResource,
    Model,
    OpenInference,
    Operation,
    Output,
    PromptName,
    ProviderEarly,
    ProviderLatest,
    Query,
    RequestType,
    Resend,
    Result,
    SecurityRule,
    ServerAddress,
    ServerPort,
    ServiceName,
    ServiceNamespace,
    Session,
    Success,
    Task,
    Time,
    ToolName,
    ToolServer,
    ToolType,
    Traceloop,
    UserId,
    UserName,
}

const SLOTS: usize = Slot::UserName as usize + 1;

/// Attribute names in order, what each says, and which to believe where several say it
/// (the lower number). `docs/collectors.md` lists the same.
pub(super) const NAMES: &[(&str, Slot, u8)] = &[
    ("agent.name", Slot::AgentName, 1),
    ("agent_name", Slot::AgentName, 2),
    ("arguments", Slot::Arguments, 5),
    ("call_id", Slot::CallId, 2),
    ("client.address", Slot::ClientAddress, 0),
    ("conversation.id", Slot::Session, 2),
    ("db.collection.name", Slot::DataSource, 1),
    ("decision", Slot::Decision, 0),
    ("decision_source", Slot::DecisionSource, 0),
    ("decision_type", Slot::Decision, 1),
    ("deployment.environment", Slot::Environment, 1),
    ("deployment.environment.name", Slot::Environment, 0),
    ("duration_ms", Slot::DurationMs, 0),
    ("enduser.id", Slot::UserId, 0),
    ("env", Slot::Environment, 2),
    ("error", Slot::Error, 1),
    ("error.message", Slot::Error, 0),
    ("error.type", Slot::ErrorCode, 0),
    ("error_class", Slot::ErrorCode, 7),
    ("error_type", Slot::ErrorCode, 4),
    ("event.name", Slot::EventName, 0),
    ("event.timestamp", Slot::Time, 0),
    ("exception.type", Slot::ErrorCode, 3),
    ("fastmcp.server.name", Slot::ToolServer, 1),
    ("final_result", Slot::Output, 4),
    ("function_args", Slot::Arguments, 6),
    ("function_name", Slot::ToolName, 4),
    ("gen_ai.agent.id", Slot::AgentId, 0),
    ("gen_ai.agent.name", Slot::AgentName, 0),
    ("gen_ai.completion", Slot::Output, 1),
    ("gen_ai.conversation.id", Slot::Session, 0),
    ("gen_ai.data_source.id", Slot::DataSource, 0),
    ("gen_ai.input.messages", Slot::Input, 0),
    ("gen_ai.operation.name", Slot::Operation, 0),
    ("gen_ai.output.messages", Slot::Output, 0),
    ("gen_ai.prompt", Slot::Input, 1),
    ("gen_ai.prompt.name", Slot::PromptName, 0),
    ("gen_ai.provider.name", Slot::ProviderLatest, 0),
    ("gen_ai.request.model", Slot::Model, 1),
    ("gen_ai.response.model", Slot::Model, 0),
    ("gen_ai.retrieval.documents", Slot::Documents, 0),
    ("gen_ai.retrieval.query.text", Slot::Query, 0),
    ("gen_ai.system", Slot::ProviderEarly, 0),
    ("gen_ai.system_instructions", Slot::Instructions, 0),
    ("gen_ai.tool.call.arguments", Slot::Arguments, 0),
    ("gen_ai.tool.call.id", Slot::CallId, 0),
    ("gen_ai.tool.call.result", Slot::Result, 0),
    ("gen_ai.tool.name", Slot::ToolName, 0),
    ("gen_ai.tool.type", Slot::ToolType, 0),
    ("gen_ai.workflow.name", Slot::Task, 0),
    ("http.request.resend_count", Slot::Resend, 0),
    ("http.resend_count", Slot::Resend, 1),
    ("http.response.status_code", Slot::ErrorCode, 5),
    ("http.status_code", Slot::ErrorCode, 6),
    ("input.value", Slot::Input, 2),
    ("langfuse.user.id", Slot::UserId, 4),
    ("llm.model_name", Slot::Model, 2),
    ("llm.provider", Slot::ProviderLatest, 1),
    ("llm.request.type", Slot::RequestType, 0),
    ("llm.system", Slot::ProviderLatest, 2),
    ("log.record.uid", Slot::LogId, 0),
    ("mcp.method.name", Slot::McpMethod, 0),
    ("mcp.request.argument", Slot::Arguments, 2),
    ("mcp.resource.uri", Slot::McpResource, 0),
    ("mcp.response.value", Slot::Result, 2),
    ("mcp.server.name", Slot::ToolServer, 0),
    ("mcp.session.id", Slot::Session, 5),
    ("mcp_server", Slot::ToolServer, 3),
    ("mcp_server_name", Slot::ToolServer, 2),
    ("model", Slot::Model, 3),
    ("openinference.span.kind", Slot::OpenInference, 0),
    ("output", Slot::Result, 5),
    ("output.value", Slot::Output, 2),
    ("prompt", Slot::Input, 4),
    ("prompt.id", Slot::Task, 2),
    ("prompt_id", Slot::Task, 3),
    ("rpc.response.status_code", Slot::ErrorCode, 1),
    ("security_rule.name", Slot::SecurityRule, 0),
    ("security_rule.uuid", Slot::SecurityRule, 1),
    ("server.address", Slot::ServerAddress, 0),
    ("server.port", Slot::ServerPort, 0),
    ("service.instance.id", Slot::Instance, 0),
    ("service.name", Slot::ServiceName, 0),
    ("service.namespace", Slot::ServiceNamespace, 0),
    ("session.id", Slot::Session, 1),
    ("source", Slot::DecisionSource, 1),
    ("success", Slot::Success, 0),
    ("tool.name", Slot::ToolName, 1),
    ("tool_arguments", Slot::Arguments, 1),
    ("tool_input", Slot::Arguments, 3),
    ("tool_name", Slot::ToolName, 3),
    ("tool_parameters", Slot::Arguments, 4),
    ("tool_response", Slot::Result, 1),
    ("tool_use_id", Slot::CallId, 1),
    ("traceloop.association.properties.session_id", Slot::Session, 3),
    ("traceloop.association.properties.user_id", Slot::UserId, 3),
    ("traceloop.entity.input", Slot::Input, 3),
    ("traceloop.entity.name", Slot::EntityName, 0),
    ("traceloop.entity.output", Slot::Output, 3),
    ("traceloop.span.kind", Slot::Traceloop, 0),
    ("traceloop.workflow.name", Slot::Task, 1),
    ("user.account_id", Slot::UserId, 5),
    ("user.account_uuid", Slot::UserId, 1),
    ("user.email", Slot::UserName, 2),
    ("user.full_name", Slot::UserName, 1),
    ("user.id", Slot::UserId, 2),
    ("user.name", Slot::UserName, 0),
];

/// The attributes of a span or log record, of its events and of its resource, by what they say.
#[derive(Clone, Debug)]
pub(super) struct Seen<'a> {
    slots: [Option<(u8, &'a Value)>; SLOTS],
}

impl<'a> Seen<'a> {
    pub(super) fn new() -> Self {
        Seen { slots: [None; SLOTS] }
    }

    /// Takes in `attributes`. What was taken in before stands against the same name.
    pub(super) fn take(&mut self, attributes: &'a [KeyValue]) {
        for attribute in attributes {
            let Some(value) = attribute.value.as_ref().and_then(|value| value.value.as_ref()) else {
                continue;
            };
            let Some((slot, rank)) = slot_of(&attribute.key) else { continue };
            // So short a name is also that of other things, and this value is sealed.
            if attribute.key == "env" && !is_label(value) {
                continue;
            }
            let place = &mut self.slots[slot as usize];
            if place.is_none_or(|(known, _)| rank < known) {
                *place = Some((rank, value));
            }
        }
    }

    /// The value that says `slot`.
    pub(super) fn value(&self, slot: Slot) -> Option<&'a Value> {
        self.slots[slot as usize].map(|(_, value)| value)
    }

    /// The same as text, where it is a non-empty one or a plain value.
    pub(super) fn text(&self, slot: Slot) -> Option<Cow<'a, str>> {
        match self.value(slot)? {
            Value::StringValue(text) if text.is_empty() => None,
            Value::StringValue(text) => Some(Cow::Borrowed(text)),
            Value::IntValue(number) => Some(Cow::Owned(number.to_string())),
            Value::BoolValue(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            _ => None,
        }
    }

    /// The same as a whole number, where it is one or the text of one.
    pub(super) fn number(&self, slot: Slot) -> Option<i64> {
        match self.value(slot)? {
            Value::IntValue(number) => Some(*number),
            Value::StringValue(text) => text.parse().ok(),
            // Truncation is what `as` does, and what a duration in whole milliseconds wants.
            Value::DoubleValue(number) if number.abs() < 9e15 => Some(*number as i64),
            _ => None,
        }
    }

    /// Whether anything says `slot`.
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.slots[slot as usize].is_some()
    }
}

fn is_label(value: &Value) -> bool {
    matches!(value, Value::StringValue(text) if deed_record::is_label(text))
}

fn slot_of(name: &str) -> Option<(Slot, u8)> {
    // Lengths differ more often than not, and cost nothing to compare.
    static BY_LENGTH: LazyLock<Vec<(&str, Slot, u8)>> = LazyLock::new(|| {
        let mut names = NAMES.to_vec();
        names.sort_unstable_by_key(|(name, ..)| (name.len(), *name));
        names
    });
    let order = |known: &str| known.len().cmp(&name.len()).then_with(|| known.cmp(name));
    let at = BY_LENGTH.binary_search_by(|(known, ..)| order(known)).ok()?;
    Some((BY_LENGTH[at].1, BY_LENGTH[at].2))
}

/// The string under `name`.
pub(super) fn text_of<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let value = &attributes.iter().find(|attribute| attribute.key == name)?.value;
    match value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_documented() {
        assert!(NAMES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let documentation = include_str!("../../../../docs/collectors.md");
        for (name, ..) in NAMES {
            assert!(
                documentation.contains(&format!("`{name}`")),
                "docs/collectors.md does not name `{name}`"
            );
        }
    }
}
