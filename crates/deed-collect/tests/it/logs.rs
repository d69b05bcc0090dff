//! OTLP log records.

use deed_collect::otlp;
use deed_record::{Kind, PrincipalType, Ruling, Status, StepType};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use serde_json::{Value, json};

use crate::{
    otlp::{TRACE, attributes, members, payload},
    parse,
};

/// The records of log records of service `claude-code`.
fn logs(logs: Vec<Value>) -> Vec<Result<String, String>> {
    let request = json!({"resourceLogs": [{"resource": {"attributes": attributes(&json!({"service.name": "claude-code"}))}, "scopeLogs": [{"logRecords": logs}]}]});
    let request = otlp::decode_json::<ExportLogsServiceRequest>(request.to_string().as_bytes());
    request.expect("a request").records()
}

#[test]
fn log_events_of_agents_are_steps_and_actions() {
    let log = |name: &str, more: Value| {
        let mut all = json!({"event.name": name, "session.id": "s-1", "user.id": "device", "user.account_uuid": "acc-1", "prompt.id": "p-1"});
        for (key, value) in more.as_object().expect("an object") {
            all[key] = value.clone();
        }
        logs(vec![json!({"observedTimeUnixNano": "1795219965993099798", "body": {"stringValue": format!("claude_code.{name}")}, "attributes": attributes(&all)})])
            .remove(0).expect("maps")
    };
    let text = log("user_prompt", json!({"prompt": "tidy up"}));
    let record = parse(&text);
    assert_eq!(
        (record.kind, record.task.as_deref(), record.session.as_deref()),
        (Kind::Task, Some("p-1"), Some("s-1"))
    );
    assert_eq!(payload(&record, "prompt"), Some("\"tidy up\""));
    assert_eq!(record.initiator.and_then(|i| i.key).as_deref(), Some("enduser:claude-code/acc-1"));

    let text =
        log("tool_decision", json!({"tool_name": "Bash", "decision": "reject", "source": "user_reject"}));
    let record = parse(&text);
    assert_eq!(
        (record.kind, record.step_type, record.decision.map(|d| d.effect)),
        (Kind::Step, Some(StepType::PolicyCheck), Some(Ruling::Deny))
    );

    let text = log(
        "tool_result",
        json!({"tool_name": "Bash", "success": "false", "error_type": "x", "duration_ms": "41", "tool_parameters": "{\"bash_command\":\"ls\"}"}),
    );
    let record = parse(&text);
    assert_eq!((record.kind, record.step_type), (Kind::Observation, Some(StepType::Tool)));
    assert_eq!(record.outcome.as_ref().map(|o| (o.status, o.duration_ms)), Some((Status::Failure, Some(41))));
    assert_eq!(
        record.executor.as_ref().map(|e| (e.key.as_deref(), e.kind)),
        Some((Some("otlp:claude-code"), PrincipalType::Agent))
    );
    assert_eq!(members(&record, "arguments"), [("bash_command", "\"ls\"")]);
    assert_eq!(payload(&record, "body"), Some("\"claude_code.tool_result\""));
    assert_eq!(parse(&log("api_request", json!({"model": "m"}))).step_type, Some(StepType::Reasoning));
}

#[test]
fn log_records_belong_to_their_span() {
    let plain = json!({"timeUnixNano": "1795219965993099798", "severityNumber": 17, "body": {"stringValue": "boom"}, "traceId": TRACE, "spanId": "00f067aa0ba902b7"});
    let message = json!({"timeUnixNano": "1795219965993099798", "eventName": "gen_ai.choice", "traceId": TRACE, "spanId": "00f067aa0ba902b7",
        "body": {"kvlistValue": {"values": [{"key": "index", "value": {"intValue": "0"}}]}}});
    let found = logs(vec![
        plain.clone(),
        message,
        plain,
        json!({"body": {"stringValue": "when?"}}),
        json!({"timeUnixNano": "5", "traceId": "01"}),
    ]);
    let text = found[0].as_ref().expect("maps");
    let record = parse(text);
    assert_eq!(
        (record.kind, record.operation.as_deref(), record.outcome.as_ref()),
        (Kind::Step, Some("log"), None)
    );
    assert_eq!(
        (record.span_id, record.parent_span_id.map(|s| s.to_string()).as_deref()),
        (None, Some("00f067aa0ba902b7"))
    );
    let choice = found[1].as_ref().expect("maps");
    assert_eq!(parse(choice).step_type, Some(StepType::Reasoning));
    assert_eq!(payload(&parse(choice), "body"), Some(r#"[{"index":0}]"#));
    // The same record twice is one; its id is made of its bytes.
    assert_eq!(found[0], found[2]);
    assert_ne!(
        record.source.and_then(|s| s.event_id),
        parse(choice).source.as_ref().and_then(|s| s.event_id.clone())
    );
    assert_eq!(
        found[3].as_ref().expect_err("no time"),
        "log record 3, field `timeUnixNano`: missing, and `observedTimeUnixNano` too"
    );
    assert_eq!(
        found[4].as_ref().expect_err("half an id"),
        "log record 4, field `traceId`: expected 16 bytes, found 1"
    );
}

#[test]
fn tool_calls_of_coding_agents_say_who_let_them_through() {
    let log = |name: &str, all: Value| {
        logs(vec![
            json!({"timeUnixNano": "1795219965993099798", "eventName": name, "attributes": attributes(&all)}),
        ])
        .remove(0)
        .expect("maps")
    };
    // Claude Code, Codex and Gemini CLI, with the names that each has for the same.
    for (name, all, server, tool, ruling, by, status, call) in [
        (
            "claude_code.tool_result",
            json!({"tool_name": "mcp__files__write_file", "tool_use_id": "toolu_1", "success": "true", "duration_ms": "12",
                "decision_type": "accept", "decision_source": "user_temporary", "tool_input": "{\"path\":\"/etc/motd\"}"}),
            Some("files"),
            "write_file",
            Some(Ruling::Allow),
            Some("user_temporary"),
            Some(Status::Success),
            Some("\"toolu_1\""),
        ),
        (
            "claude_code.tool_result",
            json!({"tool_name": "mcp_tool", "success": "false", "error": "no such file", "error_type": "Error:ENOENT",
                "tool_parameters": "{\"mcp_server_name\":\"files\",\"mcp_tool_name\":\"read_file\"}"}),
            Some("files"),
            "read_file",
            None,
            None,
            Some(Status::Failure),
            None,
        ),
        (
            "claude_code.tool_decision",
            json!({"tool_name": "Bash", "tool_use_id": "toolu_2", "decision": "reject", "source": "user_reject"}),
            None,
            "Bash",
            Some(Ruling::Deny),
            Some("user_reject"),
            None,
            Some("\"toolu_2\""),
        ),
        (
            "codex.tool_decision",
            json!({"tool_name": "shell", "call_id": "call_1", "decision": "approved_for_session", "source": "user"}),
            None,
            "shell",
            Some(Ruling::Allow),
            Some("user"),
            None,
            Some("\"call_1\""),
        ),
        (
            "codex.tool_result",
            json!({"tool_name": "shell", "call_id": "call_1", "success": "true", "duration_ms": "41", "mcp_server": "",
                "arguments": "{\"command\":[\"ls\"]}", "output": "README.md", "conversation.id": "c-1", "user.account_id": "acc"}),
            None,
            "shell",
            None,
            None,
            Some(Status::Success),
            Some("\"call_1\""),
        ),
        (
            "gemini_cli.tool_call",
            json!({"function_name": "run_shell_command", "function_args": "{\"command\":\"rm -rf build\"}", "decision": "reject",
                "success": false, "duration_ms": 5, "prompt_id": "p-7", "error_type": "execution_denied"}),
            None,
            "run_shell_command",
            Some(Ruling::Deny),
            None,
            Some(Status::Denied),
            None,
        ),
        (
            "gemini_cli.tool_call",
            json!({"function_name": "edit", "mcp_server_name": "fs", "decision": "auto_accept", "success": true}),
            Some("fs"),
            "edit",
            Some(Ruling::Allow),
            None,
            Some(Status::Success),
            None,
        ),
    ] {
        let text = log(name, all);
        let record = parse(&text);
        let called = record.tool.as_ref().expect("a tool");
        assert_eq!((called.server.as_deref(), &*called.name), (server, tool), "{text}");
        assert_eq!(record.decision.as_ref().map(|decision| decision.effect), ruling, "{text}");
        let policies =
            record.decision.as_ref().map(|d| d.policies.iter().map(|p| p.to_string()).collect::<Vec<_>>());
        assert_eq!(policies.unwrap_or_default(), by.into_iter().collect::<Vec<_>>(), "{text}");
        assert_eq!(record.outcome.as_ref().map(|outcome| outcome.status), status, "{text}");
        assert_eq!(payload(&record, "call_id"), call, "{text}");
        let is_call = name.ends_with("result") || name.ends_with("call");
        assert_eq!(record.kind, if is_call { Kind::Observation } else { Kind::Step });
        assert_eq!(record.step_type, Some(if is_call { StepType::Tool } else { StepType::PolicyCheck }));
    }
    let text = log(
        "codex.tool_result",
        json!({"tool_name": "shell", "arguments": "{\"command\":[\"ls\"]}", "output": "README.md",
        "conversation.id": "c-1", "user.account_id": "acc", "env": "staging"}),
    );
    let record = parse(&text);
    assert_eq!(members(&record, "arguments"), [("command", "[\"ls\"]")]);
    assert_eq!(payload(&record, "result"), Some("\"README.md\""));
    assert_eq!((record.session.as_deref(), record.environment.as_deref()), (Some("c-1"), Some("staging")));
    assert_eq!(record.initiator.and_then(|i| i.key).as_deref(), Some("enduser:claude-code/acc"));
}
