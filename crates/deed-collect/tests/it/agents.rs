//! Calls of coding agents, which spans and log records tell of together: as the documentation of each agent has them.

use deed_collect::{Source, records};
use serde_json::{Value, json};

use crate::{
    otlp::{TRACE, attributes},
    value_of,
};

/// A span of Claude Code: its name, its own id and that of the span around it, and its attributes. Where it failed its
/// status says so; only some spans have one.
fn span(name: &str, id: &str, parent: &str, members: Value) -> Value {
    let mut all = json!({"session.id": "s-1", "user.id": "device", "span.type": name});
    all.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    let failed = all["success"] == false && name.ends_with("execution");
    json!({
        "traceId": TRACE, "spanId": format!("{id:0>16}"), "parentSpanId": format!("{parent:0>16}"),
        "name": format!("claude_code.{name}"), "kind": 1, "startTimeUnixNano": "1795219965993099798",
        "endTimeUnixNano": "1795219966026311324", "attributes": attributes(&all), "status": if failed { json!({"code": 2}) } else { json!({}) },
    })
}

fn log(name: &str, members: Value) -> Value {
    let mut all = json!({"event.name": name});
    all.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
    json!({"observedTimeUnixNano": "1795219965993099798", "attributes": attributes(&all)})
}

fn export(service: &str, spans: Vec<Value>, logs: Vec<Value>) -> Vec<Value> {
    let resource = json!({"attributes": attributes(&json!({"service.name": service}))});
    let spans = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]});
    let logs = json!({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": logs}]}]});
    let both = format!("{spans}\n{logs}\n");
    records(Source::Otlp, both.as_bytes()).map(|found| value_of(&found.expect("maps").record)).collect()
}

fn tool(name: &str, call: &str) -> Value {
    json!({"tool_name": name, "tool_use_id": call, "gen_ai.tool.call.id": call})
}

#[test]
fn a_call_ended_as_its_run_did_and_not_as_the_wait_for_permission() {
    let found = export(
        "claude-code",
        vec![
            span("interaction", "1", "", json!({})),
            // The user said no: there is no run.
            span("tool.blocked_on_user", "21", "2", json!({"decision": "reject", "source": "user_reject"})),
            span("tool", "2", "1", tool("Bash", "toolu_1")),
            span(
                "tool.blocked_on_user",
                "31",
                "3",
                json!({"decision": "accept", "source": "user_temporary"}),
            ),
            span(
                "tool.execution",
                "32",
                "3",
                json!({"tool_use_id": "toolu_2", "success": false, "error": "Error:EACCES", "error_class": "Error_EACCES"}),
            ),
            span("tool", "3", "1", tool("Edit", "toolu_2")),
            span("tool.execution", "42", "4", json!({"tool_use_id": "toolu_3", "success": true})),
            span("tool", "4", "1", tool("Read", "toolu_3")),
            // What became of it comes in another export.
            span("tool", "5", "1", tool("Write", "toolu_4")),
        ],
        vec![],
    );
    let says = |at: usize| {
        let record: &Value = &found[at];
        json!([
            record["kind"],
            record["tool"]["name"],
            record["decision"]["effect"],
            record["outcome"]["status"],
            record["source"]["event_id"],
            record["action_event"]
        ])
    };
    let (call, event) = (|n: u32| format!("call/s-1/toolu_{n}"), |span: &str| format!("{TRACE}/{span:0>16}"));
    assert_eq!(says(1), json!(["step", null, "deny", null, event("21"), call(1)]));
    assert_eq!(says(2), json!(["observation", "Bash", "deny", "denied", call(1), call(1)]));
    assert_eq!(says(3), json!(["step", null, "allow", null, event("31"), call(2)]));
    assert_eq!(says(4), json!(["observation", null, null, "failure", event("32"), call(2)]));
    assert_eq!(says(5), json!(["observation", "Edit", "allow", "failure", call(2), call(2)]));
    assert_eq!(found[5]["outcome"]["code"], "Error_EACCES");
    assert_eq!(says(6), json!(["observation", null, null, "success", event("42"), call(3)]));
    assert_eq!(says(7), json!(["observation", "Read", null, "success", call(3), call(3)]));
    assert_eq!(says(8), json!(["observation", "Write", null, "unknown", call(4), call(4)]));
    assert_eq!(found[5]["outcome"]["duration_ms"], 33, "its own");

    // Earlier releases named the call in no span: then its span does.
    let found = export(
        "claude-code",
        vec![
            span("tool.execution", "22", "2", json!({"success": "false"})),
            span("tool", "2", "1", json!({"tool_name": "Bash"})),
        ],
        vec![],
    );
    assert_eq!((&found[0]["action_event"], &found[1]["action_event"]), (&json!(event("2")), &Value::Null));
    assert_eq!(
        (&found[1]["source"]["event_id"], &found[1]["outcome"]["status"]),
        (&json!(event("2")), &json!("failure"))
    );
}

#[test]
fn spans_and_log_records_tell_of_one_call() {
    let with = |mut members: Value, more: Value| {
        members.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        members
    };
    let of = json!({"session.id": "s-1", "tool_use_id": "toolu_1"});
    let found = export(
        "claude-code",
        vec![span("tool", "2", "1", tool("mcp__tickets__create", "toolu_1"))],
        vec![
            log(
                "tool_decision",
                with(
                    of.clone(),
                    json!({"tool_name": "mcp_tool", "decision": "accept", "source": "config",
                "tool_parameters": "{\"mcp_server_name\":\"tickets\",\"mcp_tool_name\":\"create\"}"}),
                ),
            ),
            log(
                "tool_result",
                with(
                    of,
                    json!({"tool_name": "mcp_tool", "success": "true", "tool_input": "{\"title\":\"x\"}",
                "tool_parameters": "{\"mcp_server_name\":\"tickets\",\"mcp_tool_name\":\"create\"}"}),
                ),
            ),
        ],
    );
    for record in &found {
        assert_eq!(record["tool"], json!({"name": "create", "server": "tickets"}), "{record}");
        assert_eq!(record["action_event"], "call/s-1/toolu_1", "{record}");
    }
    let own = |at: usize| found[at]["source"]["event_id"] == "call/s-1/toolu_1";
    assert!(own(0) && !own(1) && own(2), "the call is one event, the permission another: {found:#?}");
    assert_eq!(found[2]["decision"]["policies"], json!(["config"]));
}

#[test]
fn a_decision_is_that_of_the_call_with_its_id() {
    let codex = |name: &str, call: &str, more: Value| {
        let mut members = json!({"conversation.id": "c-1", "tool_name": "shell", "call_id": call});
        members.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        log(name, members)
    };
    let decided =
        |call, decision| codex("codex.tool_decision", call, json!({"decision": decision, "source": "User"}));
    let ended = |call, success| codex("codex.tool_result", call, json!({"success": success, "output": "…"}));
    let found = export(
        "codex_cli_rs",
        vec![],
        vec![
            decided("c1", "denied"),
            ended("c1", "true"),
            decided("c2", "denied"),
            ended("c2", "false"),
            // Asked again, the user said yes.
            decided("c3", "denied"),
            decided("c3", "approved"),
            ended("c3", "false"),
            ended("c4", "false"),
        ],
    );
    let says = |at: usize| json!([found[at]["decision"]["effect"], found[at]["outcome"]["status"]]);
    assert_eq!(
        [says(1), says(3), says(6), says(7)],
        [
            json!(["deny", "success"]),
            json!(["deny", "denied"]),
            json!(["allow", "failure"]),
            json!([null, "failure"]),
        ]
    );
    for (at, call) in [(0, "call/c-1/c1"), (1, "call/c-1/c1"), (3, "call/c-1/c2")] {
        assert_eq!(found[at]["action_event"], call);
    }
    // The same id in another conversation, or of another program, is another call.
    let apart = export(
        "codex_cli_rs",
        vec![],
        vec![
            log(
                "codex.tool_decision",
                json!({"conversation.id": "c-2", "call_id": "c1", "tool_name": "shell", "decision": "denied"}),
            ),
            ended("c1", "true"),
        ],
    );
    assert_eq!((&apart[1]["decision"], &apart[1]["outcome"]["status"]), (&Value::Null, &json!("success")));
}
