//! Spans and log records and their records.

use deed_collect::otlp;
use deed_record::{Basis, Disclosable, Kind, PrincipalType, Status, StepType, Submission};
use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use serde_json::{Value, json};

use crate::{AGENTS_JSON, AGENTS_PB, parse};

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Attributes as OTLP/JSON has them.
pub(crate) fn attributes(members: &Value) -> Value {
    let one = |value: &Value| match value {
        Value::String(text) => json!({"stringValue": text}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        Value::Bool(flag) => json!({"boolValue": flag}),
        other => other.clone(),
    };
    members
        .as_object()
        .expect("an object")
        .iter()
        .map(|(key, value)| json!({"key": key, "value": one(value)}))
        .collect()
}

/// A span under `parent` (`""` for a root) with attributes and whatever else.
fn span(id: &str, parent: &str, name: &str, members: Value, more: Value) -> Value {
    let mut span = json!({
        "traceId": TRACE, "spanId": id, "parentSpanId": parent, "name": name, "kind": 1,
        "startTimeUnixNano": "1795219965993099798", "endTimeUnixNano": "1795219966026311324", "attributes": attributes(&members),
    });
    for (key, value) in more.as_object().expect("an object") {
        span[key] = value.clone();
    }
    span
}

fn export(resource: Value, schema_url: &str, spans: Vec<Value>) -> Vec<Result<String, String>> {
    let request = json!({"resourceSpans": [{
        "resource": {"attributes": attributes(&resource)},
        "scopeSpans": [{"scope": {"name": "test"}, "schemaUrl": schema_url, "spans": spans}],
    }]});
    let request = otlp::decode_json::<ExportTraceServiceRequest>(request.to_string().as_bytes());
    request.expect("a request").records()
}

/// The record of one span of service `shop`.
fn one(name: &str, members: Value, more: Value) -> String {
    let resource = json!({"service.name": "shop", "service.namespace": "acme", "service.instance.id": "i-1", "deployment.environment.name": "prod"});
    export(resource, "", vec![span("00f067aa0ba902b7", "00f067aa0ba902b8", name, members, more)])
        .remove(0)
        .expect("maps")
}

pub(crate) fn payload<'a>(record: &'a Submission<'_>, name: &str) -> Option<&'a str> {
    match record.disclose.get(name)? {
        Disclosable::Whole(text) => Some(text),
        Disclosable::Members(_) => panic!("`{name}` is taken apart"),
    }
}

pub(crate) fn members<'a>(record: &'a Submission<'_>, name: &str) -> Vec<(&'a str, &'a str)> {
    match record.disclose.get(name) {
        Some(Disclosable::Members(members)) => {
            members.iter().map(|(name, value)| (&**name, &**value)).collect()
        }
        other => panic!("`{name}` is not taken apart: {other:?}"),
    }
}

#[test]
fn the_fixture_gives_the_same_from_both_forms() {
    let from_json = otlp::decode_json::<ExportTraceServiceRequest>(AGENTS_JSON.as_bytes()).expect("JSON");
    let from_pb = otlp::decode_protobuf::<ExportTraceServiceRequest>(AGENTS_PB).expect("protobuf");
    assert_eq!(from_json.records(), from_pb.records());
    let texts: Vec<String> = from_pb.records().into_iter().map(|r| r.expect("maps")).collect();
    let records: Vec<_> = texts.iter().map(|text| parse(text)).collect();
    let seen: Vec<_> =
        records.iter().map(|r| (r.kind, r.step_type, r.operation.as_deref().unwrap_or_default())).collect();
    assert_eq!(
        seen,
        [
            (Kind::Step, Some(StepType::Reasoning), "chat"),
            (Kind::Observation, Some(StepType::Tool), "execute_tool"),
            (Kind::Step, Some(StepType::Reasoning), "chat"),
            (Kind::Task, None, "invoke_agent"),
            (Kind::Task, None, "invoke_workflow"),
        ]
    );
    let call = &records[1];
    assert_eq!(call.basis, Some(Basis::Reported));
    assert_eq!(call.tool.as_ref().map(|t| &*t.name), Some("get_invoice"));
    assert_eq!(members(call, "arguments"), [("invoice_id", "\"INV-9\"")]);
    assert_eq!(members(call, "result"), [("total", "1")]);
    assert_eq!(call.outcome.as_ref().map(|o| (o.status, o.duration_ms)), Some((Status::Success, Some(7))));
    let source = call.source.as_ref().expect("a source");
    assert_eq!(
        (&*source.system, source.event_id.as_deref(), source.collector.as_deref()),
        ("otlp:feas-agents-otel", Some("3ec175232ad7a83a93696feb0c337d39/9e182a89b2234f6e"), Some("otlp/5"))
    );
    let agent = records[3].executor.as_ref().expect("an action");
    assert_eq!(
        (agent.key.as_deref(), agent.kind, agent.name.as_deref()),
        (Some("otlp:feas-agents-otel/triage"), PrincipalType::Agent, Some("triage"))
    );
    assert_eq!(records[0].resource.as_ref().map(|r| &*r.uri), Some("model:openai/gpt-4.1"));
    assert!(payload(&records[0], "prompt").is_some_and(|p| p.starts_with('[')));
    assert_eq!(records[4].task.as_deref(), Some("Agent Workflow"));
    assert_eq!(records[4].parent_span_id, None);
}

#[test]
fn a_span_says_where_and_for_whom() {
    let text = one(
        "execute_tool pay",
        json!({
            "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "pay", "gen_ai.agent.id": "asst_1", "gen_ai.agent.name": "Cashier",
            "gen_ai.conversation.id": "conv-1", "session.id": "s-1", "enduser.id": "ann", "gen_ai.workflow.name": "checkout",
        }),
        json!({}),
    );
    let record = parse(&text);
    let executor = record.executor.expect("an action");
    assert_eq!(executor.key.as_deref(), Some("otlp:acme/shop/asst_1"));
    assert_eq!(
        (executor.name.as_deref(), executor.instance.as_deref(), executor.kind),
        (Some("Cashier"), Some("i-1"), PrincipalType::Agent)
    );
    let initiator = record.initiator.expect("somebody asked");
    assert_eq!(
        (initiator.key.as_deref(), initiator.kind),
        (Some("enduser:acme/shop/ann"), PrincipalType::Unknown)
    );
    assert_eq!(
        (record.environment.as_deref(), record.session.as_deref(), record.task.as_deref()),
        (Some("prod"), Some("conv-1"), Some("checkout"))
    );
    assert_eq!(record.trace_id.map(|t| t.to_string()).as_deref(), Some(TRACE));
    assert_eq!(record.parent_span_id.map(|t| t.to_string()).as_deref(), Some("00f067aa0ba902b8"));
    assert_eq!(record.time.to_string(), "2026-11-21T00:12:45.993099Z");
    assert_eq!(record.permission, None);
}

#[test]
fn a_tool_without_a_name_of_its_own_is_the_target_in_the_name_of_the_span() {
    let cases = [
        ("execute_tool search2", json!({"gen_ai.operation.name": "execute_tool"}), "search2"),
        (
            "execute_tool search2",
            json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "s"}),
            "s",
        ),
        ("tools/call echo", json!({"mcp.method.name": "tools/call"}), "echo"),
        ("execute_tool ", json!({"gen_ai.operation.name": "execute_tool"}), "execute_tool "),
        ("search", json!({"gen_ai.operation.name": "execute_tool"}), "search"),
    ];
    for (name, attributes, tool) in cases {
        let text = one(name, attributes, json!({}));
        assert_eq!(&*parse(&text).tool.expect("it is a call").name, tool, "{name}");
    }
}

#[test]
fn every_convention_says_what_was_done() {
    use Kind::{Observation, Step, Task};
    use StepType::{DataRead, PolicyCheck, Reasoning, Retry, SecurityEvent, Tool};
    for (name, attributes, kind, step_type, operation) in [
        // GenAI, latest and earliest.
        (
            "chat m",
            json!({"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai"}),
            Step,
            Some(Reasoning),
            "chat",
        ),
        ("x", json!({"gen_ai.system": "openai", "gen_ai.request.model": "m"}), Step, Some(Reasoning), "chat"),
        ("x", json!({"gen_ai.operation.name": "execute_tool"}), Observation, Some(Tool), "execute_tool"),
        (
            "x",
            json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.type": "datastore"}),
            Observation,
            Some(DataRead),
            "execute_tool",
        ),
        ("x", json!({"gen_ai.operation.name": "invoke_agent"}), Task, None, "invoke_agent"),
        ("x", json!({"gen_ai.operation.name": "create_agent"}), Observation, None, "create_agent"),
        ("x", json!({"gen_ai.operation.name": "retrieval"}), Observation, Some(DataRead), "retrieval"),
        ("x", json!({"gen_ai.operation.name": "delete_memory"}), Observation, None, "delete_memory"),
        ("x", json!({"gen_ai.operation.name": "embeddings"}), Step, None, "embeddings"),
        ("x", json!({"gen_ai.operation.name": "levitate"}), Step, None, "levitate"),
        // MCP.
        (
            "tools/call e",
            json!({"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool"}),
            Observation,
            Some(Tool),
            "tools/call",
        ),
        (
            "x",
            json!({"mcp.method.name": "resources/read", "mcp.resource.uri": "file:///a"}),
            Observation,
            Some(DataRead),
            "resources/read",
        ),
        (
            "x",
            json!({"mcp.method.name": "prompts/get", "gen_ai.prompt.name": "p"}),
            Observation,
            Some(DataRead),
            "prompts/get",
        ),
        ("x", json!({"mcp.method.name": "tools/list"}), Step, None, "tools/list"),
        // OpenInference.
        ("x", json!({"openinference.span.kind": "LLM"}), Step, Some(Reasoning), "chat"),
        (
            "x",
            json!({"openinference.span.kind": "TOOL", "tool.name": "t"}),
            Observation,
            Some(Tool),
            "execute_tool",
        ),
        ("x", json!({"openinference.span.kind": "AGENT"}), Task, None, "invoke_agent"),
        ("x", json!({"openinference.span.kind": "RETRIEVER"}), Observation, Some(DataRead), "retrieval"),
        ("x", json!({"openinference.span.kind": "GUARDRAIL"}), Step, Some(PolicyCheck), "guardrail"),
        ("turn", json!({"openinference.span.kind": "CHAIN"}), Step, None, "turn"),
        // OpenLLMetry.
        (
            "x",
            json!({"traceloop.span.kind": "tool", "traceloop.entity.name": "t"}),
            Observation,
            Some(Tool),
            "execute_tool",
        ),
        ("x", json!({"traceloop.span.kind": "workflow"}), Task, None, "invoke_workflow"),
        ("plan", json!({"traceloop.span.kind": "task"}), Step, None, "plan"),
        ("x", json!({"llm.request.type": "completion"}), Step, Some(Reasoning), "text_completion"),
        // A coding agent's own.
        ("claude_code.tool", json!({"tool_name": "Bash"}), Observation, Some(Tool), "claude_code.tool"),
        // None.
        ("GET /x", json!({}), Step, None, "GET /x"),
        ("GET /x", json!({"http.request.resend_count": 2}), Step, Some(Retry), "GET /x"),
        ("alert", json!({"security_rule.name": "r"}), Step, Some(SecurityEvent), "alert"),
        ("", json!({}), Step, None, "span"),
    ] {
        let text = one(name, attributes.clone(), json!({}));
        let record = parse(&text);
        assert_eq!(
            (record.kind, record.step_type, record.operation.as_deref()),
            (kind, step_type, Some(operation)),
            "{name} {attributes}"
        );
    }
}

#[test]
fn schema_urls_say_which_name_of_the_provider_counts() {
    let attributes = json!({"gen_ai.operation.name": "chat", "gen_ai.system": "az.ai.openai", "gen_ai.provider.name": "openai", "gen_ai.request.model": "m"});
    let uri = |schema: &str| {
        let text = export(
            json!({"service.name": "s"}),
            schema,
            vec![span("00f067aa0ba902b7", "", "x", attributes.clone(), json!({}))],
        )
        .remove(0)
        .expect("maps");
        parse(&text).resource.map(|r| r.uri.to_string())
    };
    assert_eq!(uri("https://opentelemetry.io/schemas/1.30.0").as_deref(), Some("model:azure.ai.openai/m"));
    assert_eq!(
        uri("https://opentelemetry.io/schemas/gen-ai-dev/1.42.0-dev").as_deref(),
        Some("model:openai/m")
    );
    assert_eq!(uri("").as_deref(), Some("model:openai/m"));
}

#[test]
fn one_call_is_one_action_however_many_layers_report_it() {
    let call = |id, parent, kind, attributes| {
        span(id, parent, "MCP send tools/call echo", attributes, json!({"kind": kind}))
    };
    let wire = || json!({"mcp.method.name": "tools/call"});
    let found = export(
        json!({"service.name": "agent"}),
        "",
        vec![
            call("0000000000000003", "0000000000000002", 3, wire()),
            call(
                "0000000000000002",
                "0000000000000001",
                3,
                json!({"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "echo"}),
            ),
            span(
                "0000000000000001",
                "00000000000000ff",
                "execute_tool echo",
                json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "echo"}),
                json!({}),
            ),
            // Another tool inside it is another action.
            call(
                "0000000000000004",
                "0000000000000001",
                3,
                json!({"mcp.method.name": "tools/call", "gen_ai.tool.name": "other"}),
            ),
            // The server's view of the first.
            call("0000000000000005", "0000000000000003", 2, wire()),
            // All that is known of a call is the server's word.
            call("0000000000000006", "", 2, wire()),
            // The outer span came with another export.
            call("0000000000000007", "0000000000000099", 3, wire()),
        ],
    );
    let texts: Vec<String> = found.into_iter().map(|r| r.expect("maps")).collect();
    let kinds: Vec<_> = texts.iter().map(|text| parse(text).kind).collect();
    use Kind::{Observation, Step};
    assert_eq!(kinds, [Step, Step, Observation, Observation, Step, Observation, Observation]);
    let asked = parse(&texts[5]);
    assert_eq!(
        asked.executor.as_ref().map(|e| (e.key.clone(), e.kind)),
        Some((None, PrincipalType::Unknown))
    );
    let tool = asked.tool.expect("a tool");
    assert_eq!((&*tool.name, tool.server.as_deref()), ("echo", Some("agent")));
    let serving = parse(&texts[4]);
    assert_eq!(serving.executor.and_then(|e| e.key).as_deref(), Some("otlp:agent"));
}

#[test]
fn outcomes_say_what_the_span_says() {
    let outcome = |attributes: Value, more: Value| {
        let text = one("x", attributes, more);
        let outcome = parse(&text).outcome.expect("a span has one");
        (outcome.status, outcome.code.map(|c| c.to_string()), outcome.duration_ms)
    };
    let ms = Some(33);
    assert_eq!(outcome(json!({}), json!({})), (Status::Success, None, ms));
    assert_eq!(outcome(json!({}), json!({"endTimeUnixNano": "0"})), (Status::Unknown, None, None));
    assert_eq!(
        outcome(json!({"error.type": "tool_error"}), json!({"status": {"code": 2}})),
        (Status::Failure, Some("tool_error".into()), ms)
    );
    assert_eq!(
        outcome(json!({"rpc.response.status_code": "-32601"}), json!({})),
        (Status::Failure, Some("-32601".into()), ms)
    );
    assert_eq!(outcome(json!({"http.response.status_code": 200}), json!({})), (Status::Success, None, ms));
    assert_eq!(
        outcome(json!({"http.response.status_code": 200}), json!({"status": {"code": 2}})),
        (Status::Failure, None, ms)
    );
    assert_eq!(
        outcome(json!({"http.response.status_code": 403}), json!({})),
        (Status::Denied, Some("403".into()), ms)
    );
    assert_eq!(
        outcome(json!({"error.type": "builtins.TimeoutError"}), json!({"status": {"code": 2}})).0,
        Status::TimedOut
    );
    assert_eq!(
        outcome(json!({"error.type": "asyncio.CancelledError"}), json!({"status": {"code": 2}})).0,
        Status::Cancelled
    );
    assert_eq!(
        outcome(json!({"error.type": "PERMISSION_DENIED"}), json!({"status": {"code": 2}})).0,
        Status::Denied
    );
    let exception = json!({"status": {"code": 2, "message": "no such file"}, "events": [{"name": "exception", "attributes": attributes(&json!({"exception.type": "OSError"}))}]});
    assert_eq!(outcome(json!({}), exception.clone()), (Status::Failure, Some("OSError".into()), ms));
    let text = one("x", json!({}), exception);
    assert_eq!(payload(&parse(&text), "error"), Some("\"no such file\""));
}

#[test]
fn payloads_of_every_generation_have_the_same_names() {
    let text = one(
        "x",
        json!({"gen_ai.system": "openai", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "hi", "gen_ai.completion.0.content": "ho"}),
        json!({}),
    );
    let record = parse(&text);
    let prompt: Value = serde_json::from_str(payload(&record, "prompt").expect("a prompt")).expect("JSON");
    assert_eq!(prompt, json!([{"0.role": "user", "0.content": "hi"}]));
    assert_eq!(payload(&record, "output"), Some(r#"[{"0.content":"ho"}]"#));

    let events = json!({"events": [
        {"name": "gen_ai.content.prompt", "attributes": attributes(&json!({"gen_ai.prompt": "[{\"role\":\"user\"}]"}))},
        {"name": "gen_ai.user.message", "attributes": attributes(&json!({"content": "hi"}))},
        {"name": "gen_ai.choice", "attributes": attributes(&json!({"index": 0}))},
    ]});
    let text = one("x", json!({"gen_ai.system": "openai"}), events);
    let record = parse(&text);
    assert_eq!(payload(&record, "prompt"), Some(r#"[{"role":"user"}]"#));
    assert_eq!(
        payload(&record, "messages"),
        Some(r#"[{"gen_ai.user.message":{"content":"hi"}},{"gen_ai.choice":{"index":0}}]"#)
    );

    // Structured, as the newest instrumentations record them.
    let structured = json!({"kvlistValue": {"values": [{"key": "city", "value": {"stringValue": "Ulm"}}, {"key": "n", "value": {"intValue": "9007199254740993"}}]}});
    let text = one(
        "x",
        json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.call.arguments": structured, "gen_ai.tool.call.result": "sunny"}),
        json!({}),
    );
    let record = parse(&text);
    assert_eq!(members(&record, "arguments"), [("city", "\"Ulm\""), ("n", "\"9007199254740993\"")]);
    assert_eq!(payload(&record, "result"), Some("\"sunny\""));

    // What goes into a tool are its arguments, whatever the convention calls it.
    let text = one(
        "x",
        json!({"openinference.span.kind": "TOOL", "input.value": "{\"a\":1}", "output.value": "{\"b\":[2]}"}),
        json!({}),
    );
    let record = parse(&text);
    assert_eq!(
        (members(&record, "arguments"), members(&record, "result")),
        (vec![("a", "1")], vec![("b", "[2]")])
    );
    let text = one("x", json!({"openinference.span.kind": "AGENT", "input.value": "{\"a\":1}"}), json!({}));
    assert_eq!(payload(&parse(&text), "prompt"), Some(r#""{\"a\":1}""#));
}

#[test]
fn an_unnamed_service_is_nobody() {
    for resource in [json!({}), json!({"service.name": "unknown_service:python"})] {
        let text =
            export(resource, "", vec![span("00f067aa0ba902b7", "", "x", json!({"user.id": "7"}), json!({}))])
                .remove(0)
                .expect("maps");
        let record = parse(&text);
        assert_eq!(record.executor.map(|e| (e.key, e.kind)), Some((None, PrincipalType::Unknown)));
        assert_eq!(record.initiator.and_then(|i| i.key).as_deref(), Some("enduser:7"));
    }
}

#[test]
fn a_span_that_cannot_be_one_is_refused_alone() {
    let good = || span("00f067aa0ba902b7", "", "x", json!({}), json!({}));
    let found = export(
        json!({"service.name": "s"}),
        "",
        vec![
            good(),
            span("0000000000000000", "", "x", json!({}), json!({})),
            span("00f067aa", "", "x", json!({}), json!({})),
            span("00f067aa0ba902b7", "", "x", json!({}), json!({"traceId": ""})),
            span("00f067aa0ba902b7", "0001", "x", json!({}), json!({})),
            span("00f067aa0ba902b7", "0000000000000000", "x", json!({}), json!({})),
            span("00f067aa0ba902b7", "", "x", json!({}), json!({"startTimeUnixNano": "0"})),
            span("00f067aa0ba902b7", "", "x", json!({}), json!({"endTimeUnixNano": "5"})),
            good(),
            span(
                "00f067aa0ba902b7",
                "",
                "x",
                json!({}),
                json!({"startTimeUnixNano": u64::MAX.to_string(), "endTimeUnixNano": "0"}),
            ),
        ],
    );
    let errors: Vec<_> =
        found.iter().enumerate().filter_map(|(n, r)| r.as_ref().err().map(|e| (n, e.as_str()))).collect();
    assert_eq!(
        errors,
        [
            (1, "span 1, field `spanId`: expected 8 bytes that are not all zero"),
            (2, "span 2, field `spanId`: expected 8 bytes, found 4"),
            (3, "span 3, field `traceId`: expected 16 bytes, found 0"),
            (4, "span 4, field `parentSpanId`: expected 8 bytes, found 2"),
            (6, "span 6, field `startTimeUnixNano`: missing"),
            (7, "span 7, field `endTimeUnixNano`: before the start"),
            (9, "span 9, field `startTimeUnixNano`: expected a time before 2200, in nanoseconds since 1970"),
        ]
    );
    // Deeper than JSON readers go, as protobuf may carry it.
    let text = one(
        "x",
        json!({"a": (0..9).fold(json!({"stringValue": "x"}), |inner, _| json!({"arrayValue": {"values": [inner]}}))}),
        json!({}),
    );
    parse(&text);
}

/// Why items of `sent` have no record, in their order; `body` gives the same from a file.
fn errors(sent: Vec<Result<String, String>>, body: &[u8]) -> Vec<Option<String>> {
    let errors: Vec<_> = sent.into_iter().map(Result::err).collect();
    let read: Vec<_> = deed_collect::records(deed_collect::Source::Otlp, body)
        .map(|record| record.err().map(|rejected| rejected.error))
        .collect();
    assert_eq!(read, errors);
    errors
}

#[test]
fn a_span_that_nests_too_deep_costs_itself_only() {
    let nested = |levels: usize| {
        format!(
            "{}{}{}",
            r#"{"arrayValue":{"values":["#.repeat(levels),
            r#"{"stringValue":"\"]}"}"#,
            "]}}".repeat(levels)
        )
    };
    let span = |id: &str, value: &str| {
        format!(
            r#"{{"traceId":"4bf92f3577b34da6a3ce929d0e0e4736","spanId":"{id}","name":"x","startTimeUnixNano":"1","endTimeUnixNano":"2","attributes":[{{"key":"a","value":{value}}}]}}"#
        )
    };
    for levels in [40, 43, 2_000] {
        let (good, deep) = (nested(2), nested(levels));
        let spans = [("00f067aa0ba902b1", &good), ("00f067aa0ba902b2", &deep), ("00f067aa0ba902b3", &good)]
            .map(|(id, value)| span(id, value));
        let request =
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","));
        let sent = otlp::decode_json::<ExportTraceServiceRequest>(request.as_bytes()).expect("an export");
        let errors = errors(sent.records(), request.as_bytes());
        let Some([None, Some(error), None]) = errors.first_chunk() else { panic!("{levels}: {errors:?}") };
        assert!(error.starts_with("span 1, ") && error.contains("deeper than"), "{error}");
    }
    // What is only broken is no export, however deep.
    let broken = format!(r#"{{"resourceSpans":{}"#, "[".repeat(300));
    assert!(otlp::decode_json::<ExportTraceServiceRequest>(broken.as_bytes()).is_err());
}

/// A message as field `number` of another one.
fn field(number: u8, message: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend_from_slice(message);
    out
}

/// An attribute in protobuf with lists in lists.
fn nested(levels: usize) -> Vec<u8> {
    // From the inside out: each level copies what is in it no more than once.
    let text = field(1, b"x");
    let mut lengths = vec![text.len()];
    let size = |length: usize| prost::encoding::encoded_len_varint(length as u64) + 1 + length;
    for _ in 0..levels * 2 {
        lengths.push(size(lengths[lengths.len() - 1]));
    }
    let mut value = Vec::new();
    for (at, length) in lengths[..levels * 2].iter().rev().enumerate() {
        // An `AnyValue` holds a list in field 5, a list its values in field 1.
        value.push(if at % 2 == 0 { 5 << 3 | 2 } else { 1 << 3 | 2 });
        prost::encoding::encode_varint(*length as u64, &mut value);
    }
    value.extend_from_slice(&text);
    [field(1, b"a"), field(2, &value)].concat()
}

/// An export in protobuf of items with one attribute each, which is field `number` of them.
fn in_protobuf(head: &[u8], number: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let item = |attribute: &Vec<u8>| field(2, &[head, &field(number, attribute)].concat());
    let items: Vec<u8> = attributes.iter().flat_map(item).collect();
    field(1, &field(2, &items))
}

#[test]
fn in_protobuf_too_an_item_that_cannot_be_read_costs_itself_only() {
    let span = [&field(1, &[7; 16])[..], &field(2, &[7; 8]), &[0x39, 1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let log = [0x09, 1, 0, 0, 0, 0, 0, 0, 0];
    let no_text = [field(1, b"\xff"), field(2, &field(1, b"x"))].concat();
    for (bad, why) in [
        (nested(30), "nested deeper than 24"),
        (nested(47), "deeper than"),
        (nested(48), "deeper than the 100 levels"),
        (nested(100_000), "deeper than the 100 levels"),
        (no_text, "not UTF-8"),
    ] {
        let good = nested(2);
        let attributes = [good.clone(), bad.clone(), good.clone()];
        let (spans, logs) = (in_protobuf(&span, 9, &attributes), in_protobuf(&log, 6, &attributes));
        let of_spans = otlp::decode_protobuf::<ExportTraceServiceRequest>(&spans).expect("spans").records();
        let of_logs = otlp::decode_protobuf::<ExportLogsServiceRequest>(&logs).expect("logs").records();
        for (body, records, item) in [(spans, of_spans, "span"), (logs, of_logs, "log record")] {
            let errors = errors(records, &body);
            let [None, Some(error), None] = &errors[..] else { panic!("{why}: {errors:?}") };
            assert!(error.starts_with(&format!("{item} 1, ")) && error.contains(why), "{error}");
        }
        // Where all share it, all are refused, and those of the other resource are not.
        let resource = |attributes: &[u8]| field(1, &field(1, attributes));
        let of = |attributes: &[u8], items: &[u8]| field(1, &[resource(attributes), items.to_vec()].concat());
        let items = field(2, &field(2, &span));
        let both = [of(&bad, &[&items[..], &items].concat()), of(&good, &items)].concat();
        let sent = otlp::decode_protobuf::<ExportTraceServiceRequest>(&both).expect("spans").records();
        assert!(matches!(&sent[..], [Err(_), Err(_), Ok(_)]), "{why}: {sent:?}");
    }
    // Alone in its export it is named as well; what is of another signal or broken is no export of this one.
    let alone = in_protobuf(&span, 9, &[nested(48)]);
    assert_eq!(
        otlp::decode_protobuf::<ExportTraceServiceRequest>(&alone).expect("a span").records().len(),
        1
    );
    for other in [in_protobuf(&log, 6, &[nested(2)]), alone[..alone.len() - 1].to_vec(), b"\x0a\xff".to_vec()]
    {
        assert!(otlp::decode_protobuf::<ExportTraceServiceRequest>(&other).is_err());
    }
}

#[test]
fn a_text_that_was_cut_within_a_character_costs_nothing() {
    let tool = |id: &str, text: &str| {
        let attributes = json!({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "t", "gen_ai.tool.call.arguments": text});
        span(id, "", "execute_tool t", attributes, json!({}))
    };
    let spans = [
        tool("00f067aa0ba902b1", "whole"),
        tool("00f067aa0ba902b2", "CUT"),
        tool("00f067aa0ba902b3", "\u{1f600}"),
    ];
    let body = json!({"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": spans}]}]}).to_string();
    let body = body.replace("CUT", "done \\ud83d");
    let records = otlp::decode_json::<ExportTraceServiceRequest>(body.as_bytes()).expect("reads").records();
    let records: Vec<String> = records.into_iter().map(|record| record.expect("a record")).collect();
    assert_eq!(records.len(), 3);
    assert!(records[1].contains("done \u{fffd}") && records[2].contains('\u{1f600}'), "{records:?}");
}
