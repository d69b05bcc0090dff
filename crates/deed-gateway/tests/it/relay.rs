//! What passes, what does not, and what is recorded of it.

use serde_json::{Value, json};

use crate::support::{Between, answer, call, of_kind, records};

#[tokio::test]
async fn the_record_is_durable_before_the_server_hears() {
    let mut between = Between::with("");
    between.client.send(&call(1, "read", r#"{"path":"/a"}"#)).await;
    let heard = between.server.hear().await;
    let recorded = records(&between.ledger);
    assert_eq!(heard["params"]["arguments"]["path"], "/a");
    assert_eq!(recorded.len(), 1);
    assert_eq!((&recorded[0]["kind"], &recorded[0]["basis"]), (&"intent".into(), &"enforced".into()));
    let parent = heard["params"]["_meta"]["traceparent"].as_str().expect("a trace is made");
    assert_eq!(
        parent,
        format!(
            "00-{}-{}-01",
            recorded[0]["trace_id"].as_str().unwrap(),
            recorded[0]["span_id"].as_str().unwrap()
        )
    );

    between.server.send(&answer(1, "hello")).await;
    assert_eq!(between.client.text().await.as_deref(), Some(&*answer(1, "hello")), "answers pass unchanged");
    let recorded = between.end().await;
    let outcomes = of_kind(&recorded, "outcome");
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0]["action"], recorded[0]["id"]);
    assert_eq!(outcomes[0]["outcome"]["status"], "success");
}

#[tokio::test]
async fn an_answer_behind_a_byte_order_mark_is_no_message_and_the_client_hears_so() {
    let mut between = Between::with("");
    between.client.send(&call(1, "read", "{}")).await;
    between.server.hear().await;
    between.server.send(&format!("\u{feff}{}", answer(1, "hello"))).await;
    assert_eq!(between.client.hear().await["error"]["code"], -31502);
    let recorded = between.end().await;
    let ended = &of_kind(&recorded, "outcome")[0]["outcome"];
    assert_eq!((&ended["status"], &ended["code"]), (&"unknown".into(), &"malformed".into()));
}

#[tokio::test]
async fn ends_of_what_fails_say_what_was_tried() {
    let mut between = Between::with_people("", "human:ann", "agent:clerk");
    for id in 1..=5 {
        between.client.send(&call(id, "deploy", "{}")).await;
        between.server.hear().await;
        let failed = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[],"isError":true}}}}"#);
        between.server.send(&failed).await;
        between.client.hear().await;
    }
    between.client.send(&call(6, "deploy", "{}")).await;
    between.server.hear().await;
    between.server.send(&answer(6, "done")).await;
    between.client.hear().await;
    let mut recorded = between.end().await;
    let tool = serde_json::json!({ "name": "deploy", "server": "files" });
    let outcomes = of_kind(&recorded, "outcome");
    assert_eq!(outcomes.iter().filter(|outcome| outcome["tool"] == tool).count(), 5);
    assert!(outcomes[5]["tool"].is_null(), "that of what went well says no more than it must");
    // So that what was tried in vain is counted, whichever record comes first.
    for _ in 0..2 {
        recorded.reverse();
        let mut state = deed_identity::State::default();
        for record in &recorded {
            let leaf = serde_json::to_vec(record).expect("JSON");
            state.fold(&deed_record::Skeleton::parse(&leaf).expect("a record"));
        }
        let tried: Vec<_> = state.tried("default").collect();
        let counted: Vec<_> = tried.iter().map(|tried| (&*tried.what, tried.failed, tried.denied)).collect();
        // Ten minutes of the clock may end in between.
        assert!(counted.iter().all(|(what, _, denied)| *what == "files/deploy" && *denied == 0));
        assert_eq!(counted.iter().map(|(_, failed, _)| *failed).sum::<u64>(), 5);
    }
}

#[tokio::test]
async fn a_trace_of_the_client_is_honoured() {
    let mut between = Between::with("");
    let meta = r#""_meta":{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;
    let sent =
        format!(r#"{{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{{"name":"read",{meta}}}}}"#);
    between.client.send(&sent).await;
    assert_eq!(between.server.text().await.as_deref(), Some(&*sent), "nothing is added to it");
    let recorded = between.end().await;
    assert_eq!(recorded[0]["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(recorded[0]["parent_span_id"], "00f067aa0ba902b7");
}

#[tokio::test]
async fn what_policy_denies_never_reaches_the_server() {
    let mut between = Between::with(
        r#"@id("rest") permit (principal, action, resource);
           @id("no-wipe") forbid (principal, action == Deed::Action::"tools/call", resource == Deed::Tool::"files/wipe");"#,
    );
    between.client.send(&call(1, "wipe", "{}")).await;
    let refusal = between.client.hear().await;
    assert_eq!(refusal["result"]["isError"], true);
    let text = refusal["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("no-wipe") && text.contains("files/wipe"), "{text}");
    between.client.send(&call(2, "read", "{}")).await;
    assert_eq!(between.server.hear().await["id"], 2, "the wipe was not sent");
    let recorded = between.end().await;
    assert_eq!(recorded[0]["decision"]["effect"], "deny");
    assert_eq!(recorded[0]["decision"]["policies"], serde_json::json!(["no-wipe"]));
    assert!(text.contains(recorded[0]["id"].as_str().unwrap()), "{text}");
    let denied =
        of_kind(&recorded, "outcome").into_iter().find(|outcome| outcome["action"] == recorded[0]["id"]);
    assert_eq!(denied.unwrap()["outcome"]["status"], "denied");
}

#[tokio::test]
async fn what_two_parsers_could_read_differently_is_refused_and_recorded() {
    let mut between = Between::with("");
    for (sent, code) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"read","name":"wipe"}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call""#, -32700),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":{"name":"wipe"}}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/wipe_everything"}"#, -32601),
    ] {
        between.client.send(sent).await;
        assert_eq!(between.client.hear().await["error"]["code"], code, "{sent}");
    }
    assert!(between.server.is_silent().await);
    let recorded = between.end().await;
    assert_eq!(of_kind(&recorded, "intent").len(), 5);
    assert!(of_kind(&recorded, "outcome").iter().all(|outcome| outcome["outcome"]["status"] == "denied"));
}

#[tokio::test]
async fn an_id_under_way_is_not_used_again() {
    let mut between = Between::with("");
    between.client.send(&call(7, "read", "{}")).await;
    between.server.hear().await;
    between.client.send(&call(7, "wipe", "{}")).await;
    assert_eq!(between.client.hear().await["error"]["code"], -32600);
    between.server.send(&answer(7, "first")).await;
    assert_eq!(between.client.hear().await["result"]["content"][0]["text"], "first");
    assert_eq!(of_kind(&between.end().await, "intent").len(), 2);
}

#[tokio::test]
async fn messages_arrive_in_the_order_they_were_sent() {
    let mut between = Between::with("");
    between.client.send(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"clientInfo":{"name":"claude","version":"1"}}}"#).await;
    between.client.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    for id in 1..200 {
        between.client.send(&call(id, "read", &format!("{{\"n\":{id}}}"))).await;
    }
    assert_eq!(between.server.hear().await["method"], "initialize");
    assert_eq!(between.server.hear().await["method"], "notifications/initialized");
    for id in 1..200 {
        assert_eq!(between.server.hear().await["id"], id);
        between.server.send(&answer(id, "done")).await;
    }
    for id in 1..200 {
        assert_eq!(between.client.hear().await["id"], id);
    }
    let recorded = between.end().await;
    assert_eq!(of_kind(&recorded, "intent").len(), 200);
    let ended = of_kind(&recorded, "outcome");
    assert_eq!(ended.iter().filter(|outcome| outcome["outcome"]["status"] == "success").count(), 199);
    // Whoever said how they are called is who acts; initialize itself is answered by nobody.
    assert!(of_kind(&recorded, "intent").iter().all(|intent| intent["executor"]["type"] == "agent"));
    assert_eq!(ended.iter().filter(|outcome| outcome["outcome"]["status"] == "unknown").count(), 1);
}

#[tokio::test]
async fn a_cancelled_call_ends_as_cancelled() {
    let mut between = Between::with("");
    between.client.send(&call(1, "slow", "{}")).await;
    between.server.hear().await;
    between
        .client
        .send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#)
        .await;
    assert_eq!(between.server.hear().await["method"], "notifications/cancelled");
    between.server.send(&answer(1, "too late")).await;
    assert!(between.client.is_silent().await, "nobody waits for it");
    let recorded = between.end().await;
    let ended = of_kind(&recorded, "outcome");
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0]["outcome"]["status"], "cancelled");
}

#[tokio::test]
async fn what_a_server_leaves_unanswered_is_unknown() {
    let mut between = Between::with("");
    between.client.send(&call(1, "read", "{}")).await;
    between.server.hear().await;
    let recorded = between.server_ends().await;
    let ended = of_kind(&recorded, "outcome");
    assert_eq!(ended[0]["outcome"]["status"], "unknown");
    assert_eq!(ended[0]["action"], recorded[0]["id"]);
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_refused_and_nobody_waits_for_it() {
    let mut between = Between::with("");
    let long = "x".repeat(deed_gateway::relay::LONGEST);
    for (id, answer) in [
        (1, format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"content":"{long}"}}}}"#)),
        (2, format!(r#"{{"result":{{"content":"{long}"}},"jsonrpc":"2.0","id":2}}"#)),
    ] {
        between.client.send(&call(id, "read", "{}")).await;
        between.server.hear().await;
        between.server.send(&answer).await;
        let refusal = between.client.hear().await;
        assert_eq!((&refusal["id"], &refusal["error"]["code"]), (&id.into(), &deed_gateway::UPSTREAM.into()));
    }
    let recorded = between.end().await;
    let ended: Vec<_> = of_kind(&recorded, "outcome").iter().map(|one| one["outcome"].clone()).collect();
    assert!(ended.len() == 2 && ended.iter().all(|one| one["code"] == "too_long"), "{ended:?}");
    // What it did nobody knows (D11).
    assert!(ended.iter().all(|one| one["status"] == "unknown"), "{ended:?}");
}

#[tokio::test]
async fn what_the_server_asks_is_recorded_before_the_client_hears() {
    let mut between = Between::with("");
    between
        .server
        .send(r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"Which branch?","requestedSchema":{"type":"object"}}}"#)
        .await;
    assert_eq!(between.client.hear().await["method"], "elicitation/create");
    assert_eq!(records(&between.ledger)[0]["operation"], "elicitation/create");
    between
        .client
        .send(r#"{"jsonrpc":"2.0","id":1,"result":{"action":"accept","content":{"branch":"main"}}}"#)
        .await;
    assert_eq!(between.server.hear().await["result"]["action"], "accept");
    // An answer to what nobody asked goes nowhere.
    between.client.send(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#).await;
    assert!(between.server.is_silent().await);
    let recorded = between.end().await;
    assert_eq!(of_kind(&recorded, "outcome").len(), 1);
}

/// A server of 2026-07-28 asks in the result of a call, which is then made again with the answers.
#[tokio::test]
async fn what_a_result_asks_for_is_recorded_before_the_client_hears() {
    let mut between = Between::with("");
    between.client.send(&call(1, "read", "{}")).await;
    between.server.hear().await;
    let asks = json!({ "resultType": "input_required", "requestState": "abc", "inputRequests": {
        "branch": { "method": "elicitation/create", "params": { "mode": "form", "message": "Which branch?" } },
        "roots": { "method": "roots/list" },
    } });
    between.server.send(&json!({ "jsonrpc": "2.0", "id": 1, "result": asks }).to_string()).await;
    assert_eq!(between.client.hear().await["result"], asks, "it passes as it came");
    let asked = records(&between.ledger);
    let asked = of_kind(&asked, "intent");
    assert_eq!(
        asked[1..].iter().map(|intent| &intent["operation"]).collect::<Vec<_>>(),
        ["elicitation/create", "roots/list"]
    );
    let of_call = |intent: &Value| (intent["trace_id"].clone(), intent["parent_span_id"].clone());
    assert_eq!(of_call(asked[1]), (asked[0]["trace_id"].clone(), asked[0]["span_id"].clone()));

    // Made again in another state, it answers nothing.
    for (id, state) in [(2, "of another"), (3, "abc")] {
        let again = json!({ "name": "read", "arguments": {}, "requestState": state, "inputResponses": {
            "branch": { "action": "accept", "content": { "branch": "main" } },
        } });
        between
            .client
            .send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": again }).to_string())
            .await;
        between.server.hear().await;
        between.server.send(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#)).await;
        between.client.hear().await;
    }
    // What nobody here knows is not passed on, nor what is no object of questions.
    for asked in [json!({ "a": { "method": "files/read" } }), json!([{ "method": "roots/list" }])] {
        between.client.send(&call(4, "read", "{}")).await;
        between.server.hear().await;
        let asks = json!({ "resultType": "input_required", "inputRequests": asked });
        between.server.send(&json!({ "jsonrpc": "2.0", "id": 4, "result": asks }).to_string()).await;
        assert_eq!(between.client.hear().await["error"]["code"], deed_gateway::DENIED);
    }
    // What nobody ever answers ends with the connection.
    between.client.send(&call(5, "read", "{}")).await;
    between.server.hear().await;
    let asks =
        json!({ "resultType": "input_required", "inputRequests": { "a": { "method": "roots/list" } } });
    between.server.send(&json!({ "jsonrpc": "2.0", "id": 5, "result": asks }).to_string()).await;
    between.client.hear().await;

    let recorded = between.end().await;
    let ended = |intent: &Value| -> Vec<Value> {
        of_kind(&recorded, "outcome")
            .iter()
            .filter(|end| end["action"] == intent["id"])
            .map(|end| json!([end["outcome"]["status"], end["outcome"]["code"]]))
            .collect()
    };
    let ends: Vec<_> = of_kind(&recorded, "intent")
        .into_iter()
        .map(|intent| json!([intent["operation"], ended(intent)]))
        .collect();
    assert_eq!(
        Value::from(ends),
        json!([
            ["tools/call", [["success", "input_required"]]],
            ["elicitation/create", [["success", null]]],
            ["roots/list", [["cancelled", "unanswered"]]],
            ["tools/call", [["success", null]]],
            ["tools/call", [["success", null]]],
            ["tools/call", [["success", "withheld"]]],
            ["files/read", [["denied", "unknown_method"]]],
            ["tools/call", [["success", "withheld"]]],
            ["malformed", [["denied", "unknown_method"]]],
            ["tools/call", [["success", "input_required"]]],
            ["roots/list", [["cancelled", "unanswered"]]],
        ])
    );
}

#[tokio::test]
async fn nothing_is_forwarded_when_nothing_can_be_recorded() {
    let mut between = Between::with("");
    between.client.send(&call(1, "read", "{}")).await;
    between.server.hear().await;
    between.ledger.close().expect("closed");
    between.client.send(&call(2, "wipe", "{}")).await;
    let refusal = between.client.hear().await;
    let text = refusal["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("Not done: the recorder cannot write"), "{text}");
    between
        .client
        .send(r#"{"jsonrpc":"2.0","id":3,"method":"resources/read","params":{"uri":"file:///a"}}"#)
        .await;
    assert_eq!(between.client.hear().await["error"]["code"], deed_gateway::UNAVAILABLE);
    assert!(between.server.is_silent().await);
}

#[tokio::test]
async fn secrets_in_arguments_reach_the_server_and_no_record() {
    let mut between = Between::with("");
    let secret = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    between.client.send(&call(1, "push", &format!(r#"{{"token":"{secret}"}}"#))).await;
    assert_eq!(between.server.hear().await["params"]["arguments"]["token"], secret);
    let ledger = between.ledger.clone();
    between.end().await;
    let opened = ledger.disclosures(0).expect("disclosures");
    assert!(opened.iter().any(|one| one.name == "token"));
    assert!(opened.iter().all(|one| !String::from_utf8_lossy(&one.json).contains(secret)));
}
