//! Decisions: AuthZEN for other programs, published policies, and what only the socket may do.

use deed_ledger::Sender;
use deed_server::settings::Settings;
use serde_json::{Value, json};

use crate::support::{Answer, Running, call, open, options, post};

const POLICIES: &str = r#"
@id("rest") permit (principal, action, resource);
@id("no-prod") forbid (principal, action, resource == Deed::Resource::"service:orders")
  when { context has arguments && context.arguments has target && context.arguments.target == "prod" };
@id("ask") @effect("step_up") forbid (principal, action, resource == Deed::Resource::"service:payments");
"#;

async fn publish(running: &Running, text: &str) -> Answer {
    let body = json!({ "files": { "a.cedar": text }, "by": "os:ann" }).to_string();
    call(running.http(), post("/v1/policies", "application/json", body)).await
}

async fn ask(running: &Running, body: &Value) -> Answer {
    call(running.http(), post("/access/v1/evaluation", "application/json", body.to_string())).await
}

fn question(service: &str, arguments: &Value) -> Value {
    json!({
        "subject": { "type": "agent", "id": "release-bot" },
        "action": { "name": "deploy" },
        "resource": { "type": "service", "id": service },
        "context": { "arguments": arguments, "deed": { "initiator": { "type": "user", "id": "ann" } } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_asks_and_says_later_how_it_ended() {
    let running = Running::start().await;
    assert_eq!(publish(&running, POLICIES).await.status, 200);
    let allowed = ask(&running, &question("orders", &json!({ "target": "test" }))).await.json();
    assert_eq!(allowed["decision"], true, "{allowed}");
    let id = allowed["context"]["deed"]["action_id"].as_str().unwrap();
    running
        .record(&format!(
            r#"{{"kind":"outcome","action":"{id}","time":"2026-11-20T10:00:01Z","executor":{{"key":"agent:release-bot","type":"agent"}},"outcome":{{"status":"success"}}}}"#
        ))
        .await;
    let explained = running.get(&format!("/v1/actions/{id}/explain")).await.json();
    assert_eq!(explained["action"]["basis"], "reported");
    assert_eq!(explained["executor"]["key"], "agent:release-bot");
    assert_eq!(explained["initiator"]["type"], "human");
    assert_eq!(explained["outcome"]["status"], "success");

    let denied = ask(&running, &question("orders", &json!({ "target": "prod" }))).await.json();
    assert_eq!((&denied["decision"], &denied["context"]["deed"]["effect"]), (&json!(false), &json!("deny")));
    assert!(denied["context"]["reason_admin"]["en"].as_str().unwrap().contains("no-prod"), "{denied}");
    let id = denied["context"]["deed"]["action_id"].as_str().unwrap();
    let explained = running.get(&format!("/v1/actions/{id}/explain")).await.json();
    assert_eq!(explained["outcome"]["status"], "denied");
    let replayed = running.get(&format!("/v1/decisions/{id}/replay")).await.json();
    assert_eq!(replayed["same"], true, "{replayed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_up_is_approved_and_asked_again() {
    let running = Running::start().await;
    publish(&running, POLICIES).await;
    let asked = question("payments", &json!({ "version": "1.4.0" }));
    let waits = ask(&running, &asked).await.json();
    assert_eq!((&waits["decision"], &waits["context"]["deed"]["effect"]), (&json!(false), &json!("step_up")));
    let id = waits["context"]["deed"]["approval_id"].as_str().unwrap();
    let reply = |by: &str| json!({ "approved": true, "by": { "type": "human", "key": by } }).to_string();
    let path = format!("/v1/approvals/{id}");
    let own = call(running.http(), post(&path, "application/json", reply("user:ann"))).await;
    assert_eq!(own.status, 403, "{}", own.text());
    let approved = call(running.http(), post(&path, "application/json", reply("human:bob"))).await;
    assert_eq!(approved.status, 200, "{}", approved.text());
    assert_eq!(ask(&running, &asked).await.json()["decision"], true);
    assert_eq!(ask(&running, &asked).await.json()["decision"], false, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_is_the_human_of_that_name() {
    let running = Running::start().await;
    publish(
        &running,
        r#"@id("rest") permit (principal, action, resource);
        @id("not-ann") forbid (principal == Deed::Human::"ann", action, resource == Deed::Resource::"service:orders");
        @id("ask") @effect("step_up") forbid (principal, action, resource == Deed::Resource::"service:payments");"#,
    )
    .await;
    let as_user = |id: &str, service: &str| {
        let mut asked = question(service, &json!({}));
        asked["subject"] = json!({ "type": "user", "id": id });
        asked
    };
    for id in ["ann", "user:ann", "human:ann"] {
        assert_eq!(ask(&running, &as_user(id, "orders")).await.json()["decision"], false, "{id}");
        assert_eq!(ask(&running, &as_user(id, "mail")).await.json()["decision"], true, "{id}");
    }
    assert_eq!(ask(&running, &as_user("bob", "orders")).await.json()["decision"], true);
    // Nobody approves their own.
    let waits = ask(&running, &question("payments", &json!({}))).await.json();
    let path = format!("/v1/approvals/{}", waits["context"]["deed"]["approval_id"].as_str().unwrap());
    for by in ["human:ann", "user:ann", "human:Ann", "ann"] {
        let reply = json!({ "approved": true, "by": { "type": "human", "key": by } }).to_string();
        let own = call(running.http(), post(&path, "application/json", reply)).await;
        assert_eq!((own.status, own.problem()), (403, "not-theirs".to_owned()), "{by}");
    }
    // Whoever is suspended by either word is so, until it is lifted by either.
    for (word, other) in [("human:ann", "user:ann"), ("user:ann", "human:ann")] {
        let say = |what: &str, suspended: bool| {
            let said = json!({ "what": what, "suspended": suspended, "by": { "type": "human", "key": "human:bob" } });
            call(running.http(), post("/v1/suspensions", "application/json", said.to_string()))
        };
        let said = say(word, true).await.json();
        assert_eq!((&said["suspended"], &said["known"]), (&json!(["human:ann"]), &json!(true)), "{said}");
        let stopped = ask(&running, &as_user("ann", "mail")).await;
        assert!(stopped.text().contains("is suspended"), "{}", stopped.text());
        assert_eq!(say(other, false).await.json()["before"], true);
        assert_eq!(ask(&running, &as_user("ann", "mail")).await.json()["decision"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_tenants_records_know_as_a_credential_is_suspended_as_one() {
    let running = Running::start().await;
    running
        .record(
            r#"{"kind":"observation","time":"2026-11-20T10:00:00Z","tenant":"acme","executor":{"key":"agent:coder","type":"agent"},"credential":{"jti":"0193-acme","type":"bearer"}}"#,
        )
        .await;
    let asked = || {
        let mut asked = question("orders", &json!({}));
        asked["context"]["deed"]["credential"] = json!({ "jti": "0193-acme" });
        asked
    };
    assert_eq!(ask(&running, &asked()).await.json()["decision"], true);
    for (what, known) in [("0193-acme", true), ("agent:coder", true), ("0193-nobody", false)] {
        // Who says so is said as in an answer to a step-up.
        for by in [
            json!({ "type": "human", "key": "human:bob" }),
            json!({ "type": "human", "name": "bob" }),
            json!("human:bob"),
        ] {
            let said = json!({ "what": what, "suspended": true, "by": by });
            let said =
                call(running.http(), post("/v1/suspensions", "application/json", said.to_string())).await;
            assert_eq!(said.json()["known"], known, "{}", said.text());
        }
    }
    let stopped = ask(&running, &asked()).await.text();
    assert!(stopped.contains("the credential") && stopped.contains("is suspended"), "{stopped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_enforces_is_told_what_must_be_done_besides() {
    let running = Running::start().await;
    let masked = r#"@id("rest") @mask("result.tax_id") @capture("summary") permit (principal, action, resource)
        unless { resource == Deed::Resource::"service:orders" };"#;
    assert_eq!(publish(&running, masked).await.status, 200);
    let told = json!(["mask:result.tax_id", "capture:summary"]);
    let mut asked = question("mail", &json!({}));
    assert_eq!(ask(&running, &asked).await.json()["context"]["deed"]["obligations"], told);
    asked["context"]["deed"]["dry_run"] = json!(true);
    assert_eq!(ask(&running, &asked).await.json()["context"]["deed"]["obligations"], told);
    let both = json!({
        "subject": asked["subject"], "action": asked["action"],
        "evaluations": [{ "resource": asked["resource"] }, { "resource": question("orders", &json!({}))["resource"] }],
    });
    let both = call(running.http(), post("/access/v1/evaluations", "application/json", both.to_string()))
        .await
        .json();
    assert_eq!(both["evaluations"][0]["context"]["deed"]["obligations"], told, "{both}");
    assert!(both["evaluations"][1]["context"]["deed"].get("obligations").is_none(), "{both}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asked_cannot_answer_under_another_name() {
    let running = Running::start().await;
    assert_eq!(publish(&running, POLICIES).await.status, 200);
    let mut asked = question("payments", &json!({}));
    asked["context"]["deed"]["initiator"] = json!({ "type": "user", "id": "oidc:idp.example/ann" });
    let asked = ask(&running, &asked).await.json();
    let id = asked["context"]["deed"]["approval_id"].as_str().unwrap();
    let answer = async |by: Value| {
        let yes = json!({ "approved": true, "by": by }).to_string();
        call(running.http(), post(&format!("/v1/approvals/{id}"), "application/json", yes)).await.status
    };
    for own in
        ["human:oidc:idp.example/ann", "human:OIDC:idp.example/ann", "human:oidc:idp.example/\u{ff41}nn"]
    {
        assert_eq!(answer(json!(own)).await, 403, "{own}");
    }
    for unseen in [
        "human:b\u{200b}ob",
        "human:bob\0",
        "human:bob\u{fe0f}",
        "human: bob",
        "human:\u{3000}bob",
        "human:bob\u{a0}",
    ] {
        assert_eq!(answer(json!(unseen)).await, 400, "{unseen:?}");
        assert_eq!(answer(json!({ "type": "human", "name": unseen })).await, 400, "{unseen:?}");
        let said =
            json!({ "what": "agent:coder", "suspended": true, "by": { "type": "human", "key": unseen } });
        let said = call(running.http(), post("/v1/suspensions", "application/json", said.to_string())).await;
        assert_eq!(said.status, 400, "{unseen:?}");
        assert!(unseen.parse::<deed_gateway::Who>().is_err(), "{unseen:?}");
    }
    assert_eq!(answer(json!("human:oidc:idp.example/bob")).await, 200);
    let explained = running.get(&format!("/v1/actions/{id}/explain")).await.json();
    assert!(explained["approvals"].to_string().contains("\"oidc:idp.example/bob\""), "{explained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_holds_however_the_name_is_written() {
    let running = Running::start().await;
    for (stopped, kind, id) in [
        ("agent:y", "agent", "Y"),
        ("agent: Z\u{a0}", "agent", "z"),
        ("Agent:Q", "Agent", "q"),
        ("human:ren\u{e9}", "user", "rene\u{301}"),
    ] {
        let asked = || {
            let mut asked = question("orders", &json!({}));
            asked["subject"] = json!({ "type": kind, "id": id });
            asked
        };
        assert_eq!(ask(&running, &asked()).await.json()["decision"], true, "{id}");
        let say = |suspended: bool| {
            let said = json!({ "what": stopped, "suspended": suspended, "by": { "type": "human", "key": "human:bob" } });
            call(running.http(), post("/v1/suspensions", "application/json", said.to_string()))
        };
        assert_eq!(say(true).await.status, 200);
        let answer = ask(&running, &asked()).await.text();
        assert!(answer.contains("is suspended"), "{stopped:?} {answer}");
        assert_eq!(say(false).await.json()["before"], true, "{stopped:?}");
        assert_eq!(ask(&running, &asked()).await.json()["decision"], true, "{id}");
    }
    for id in [" y", "y\u{3000}", "agent: y", "y\u{200b}"] {
        let mut asked = question("orders", &json!({}));
        asked["subject"] = json!({ "type": "agent", "id": id });
        let answer = ask(&running, &asked).await;
        assert_eq!((answer.status, answer.problem()), (400, "bad-request".to_owned()), "{id:?}");
        asked["subject"] = json!({ "type": "agent", "id": "x" });
        asked["context"]["deed"]["initiator"] = json!({ "type": "human", "id": id });
        assert_eq!(ask(&running, &asked).await.status, 400, "{id:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_tried_leaves_no_record() {
    let running = Running::start().await;
    let mut asked = question("orders", &json!({}));
    asked["context"]["deed"]["dry_run"] = json!(true);
    let answer = ask(&running, &asked).await.json();
    assert_eq!(answer["decision"], true);
    assert!(answer["context"]["deed"].get("action_id").is_none(), "{answer}");
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_questions_share_what_they_have_in_common() {
    let running = Running::start().await;
    publish(&running, POLICIES).await;
    let services = |semantic: &str| {
        json!({
            "subject": { "type": "agent", "id": "release-bot" }, "action": { "name": "deploy" },
            "context": { "arguments": { "target": "prod" } },
            "evaluations": [
                { "resource": { "type": "service", "id": "web" } },
                { "resource": { "type": "service", "id": "orders" } },
                { "resource": { "type": "service", "id": "mail" } },
            ],
            "options": { "evaluations_semantic": semantic },
        })
    };
    for (semantic, decisions) in [
        ("execute_all", vec![true, false, true]),
        ("deny_on_first_deny", vec![true, false]),
        ("permit_on_first_permit", vec![true]),
    ] {
        let body = services(semantic).to_string();
        let answer =
            call(running.http(), post("/access/v1/evaluations", "application/json", body)).await.json();
        let found: Vec<bool> = answer["evaluations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["decision"].as_bool().unwrap())
            .collect();
        assert_eq!(found, decisions, "{semantic}");
    }
    let configuration = running.get("/.well-known/authzen-configuration").await.json();
    let at = format!("http://{}/access/v1/evaluation", running.http());
    assert_eq!(configuration["access_evaluation_endpoint"], at);

    // Behind a proxy that ends TLS, it is where people find it.
    let folder = tempfile::tempdir().unwrap();
    let secret = format!("whsec_{}", "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=");
    let file = folder.path().join("secret");
    std::fs::write(&file, secret).unwrap();
    let settings = format!(
        "[approvals]\nsecret_file = \"{}\"\npublic_url = \"https://deed.example/\"\n",
        file.display()
    );
    let running = Running::with(Settings::parse(&settings).unwrap()).await;
    let configuration = running.get("/.well-known/authzen-configuration").await.json();
    assert_eq!(configuration["policy_decision_point"], "https://deed.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_questions_are_refused_and_named() {
    let running = Running::start().await;
    for (body, says) in [
        (json!({}), "subject"),
        (json!({ "subject": { "type": "agent", "id": "a" }, "action": { "name": "x" } }), "resource"),
        (
            json!({ "subject": { "type": "agent", "id": "" }, "action": { "name": "x" }, "resource": { "type": "t", "id": "r" } }),
            "subject.id",
        ),
        (json!({ "subject": { "type": "agent" } }), "id"),
        (
            json!({ "subject": { "type": "agent", "id": "a" }, "action": { "name": "x" }, "resource": { "type": "t", "id": "r" }, "context": { "deed": { "colour": 1 } } }),
            "colour",
        ),
    ] {
        let answer = ask(&running, &body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_no_record_can_hold_is_the_callers_mistake_and_is_recorded() {
    let running = Running::start().await;
    let many: serde_json::Map<String, Value> = (0..1500).map(|n| (n.to_string(), json!(n))).collect();
    let mut long = question("orders", &json!({}));
    long["action"]["name"] = "x".repeat(70_000).into();
    let twice = question("orders", &json!({ "amount": 5 })).to_string();
    let twice = twice.replace(r#""amount":5"#, r#""amount":5,"amount":500"#);
    for body in [question("orders", &many.into()).to_string(), long.to_string(), twice] {
        let refused = call(running.http(), post("/access/v1/evaluation", "application/json", body)).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (422, "record-refused".to_owned()),
            "{}",
            refused.text()
        );
    }
    let found = running.get("/v1/actions?executor=agent:release-bot").await.text();
    assert_eq!(found.matches("\"status\":\"denied\"").count(), 3, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_socket_says_what_was_enforced() {
    let running = Running::start().await;
    for path in ["/v1/intents", "/v1/waits", "/v1/listings", "/v1/outcomes"] {
        let answer = call(running.http(), post(path, "application/json", "{}".to_owned())).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    let wrong = publish(&running, "permit (principal, action, resource);").await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("a.cedar:1:"), "{}", wrong.text());
    assert_eq!(running.size(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_set_that_cannot_be_used_denies_and_can_be_replaced() {
    let running = Running::start().await;
    let record = json!({
        "kind": "policy", "time": "2026-11-20T10:00:00Z", "basis": "enforced", "resource": { "uri": "deed:policy-set" },
        "artifact": { "name": "policy set", "digest": format!("sha256:{}", "0".repeat(64)) },
        "disclose": { "files": { "a.cedar": "this is no policy" } },
    });
    let ours = Sender { tenant: Some("default".into()), name: "deed:policy".into(), ours: true };
    let ledger = running.server.engine().ledger();
    for recorded in ledger.begin(record.to_string().as_bytes(), &ours).unwrap().wait().unwrap() {
        recorded.unwrap();
    }
    let Running { server, dir } = running;
    server.shutdown().await.unwrap();
    let server = open(dir.path(), Settings::default(), options()).await;
    let running = Running { server, dir };
    let denied = ask(&running, &question("orders", &json!({}))).await.json();
    assert_eq!(denied["decision"], false, "{denied}");
    let health = running.get("/v1/health").await;
    assert!(health.text().contains("everything is denied: the policy set in force"), "{}", health.text());
    assert_eq!(publish(&running, POLICIES).await.status, 200);
    assert_eq!(ask(&running, &question("orders", &json!({}))).await.json()["decision"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_set_with_a_secret_is_refused_with_the_place_and_never_recorded() {
    let running = Running::start().await;
    assert_eq!(publish(&running, POLICIES).await.status, 200);
    let size = running.size();
    let token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";
    let with = format!(
        "@id(\"rest\") permit (principal, action, resource)\n  when {{ context has arguments && context.arguments has key && context.arguments.key == \"{token}\" }};"
    );
    let refused = publish(&running, &with).await;
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("a.cedar:2:"), "{}", refused.text());
    assert!(!refused.text().contains(token), "{}", refused.text());
    assert_eq!(running.size(), size);
    // What was in force is so still, after a restart too.
    let Running { server, dir } = running;
    server.shutdown().await.unwrap();
    let running = Running { server: open(dir.path(), Settings::default(), options()).await, dir };
    assert_eq!(ask(&running, &question("orders", &json!({}))).await.json()["decision"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_policy_sets_that_are_published_at_once_the_last_one_recorded_is_in_force() {
    let running = Running::start().await;
    let texts: Vec<String> =
        (0..8).map(|n| format!("@id(\"rest{n}\") permit (principal, action, resource);")).collect();
    let answers = futures::future::join_all(texts.iter().map(|text| publish(&running, text))).await;
    let (mut sets, mut replaced) = (Vec::new(), Vec::new());
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let told = answer.json();
        sets.push((
            told["receipt"]["index"].as_u64().unwrap(),
            told["policy_set"].as_str().unwrap().to_owned(),
        ));
        replaced.push(told["replaced"].as_str().unwrap().to_owned());
    }
    sets.sort();
    let (_, last) = sets.pop().unwrap();
    assert!(!replaced.contains(&last) && sets.iter().all(|(_, set)| replaced.contains(set)));
    let asked = ask(&running, &question("orders", &json!({}))).await.json();
    let id = asked["context"]["deed"]["action_id"].as_str().unwrap();
    let explained = running.get(&format!("/v1/actions/{id}/explain")).await.json();
    assert_eq!(explained["decision"]["policy_set"], json!(last));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_write_about_policies_and_suspensions_changes_nothing() {
    let running = Running::start().await;
    publish(&running, POLICIES).await;
    let suspended = json!({ "what": "agent:release-bot", "suspended": true, "by": { "type": "human", "key": "human:ann" } });
    let suspend = post("/v1/suspensions", "application/json", suspended.to_string());
    assert_eq!(call(running.http(), suspend).await.status, 200);
    let observation = |uri: &str, operation: &str| {
        format!(
            r#"{{"kind":"observation","time":"2026-11-20T10:00:00Z","operation":"{operation}","executor":{{"key":"agent:release-bot","type":"agent"}},"resource":{{"uri":"{uri}"}},"terms":{{"subject":{{"key":"agent:release-bot","type":"agent"}}}}}}"#
        )
    };
    running.record(&observation("deed:policy-set", "policy publish")).await;
    running.record(&observation("deed:suspension", "resume")).await;
    let Running { server, dir } = running;
    server.shutdown().await.unwrap();
    let server = open(dir.path(), Settings::default(), options()).await;
    let running = Running { server, dir };
    let health = running.get("/v1/health").await;
    assert!(health.text().contains("3 policies in force"), "{}", health.text());
    let denied = ask(&running, &question("orders", &json!({}))).await.text();
    assert!(denied.contains("is suspended"), "{denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_no_question() {
    let running = Running::start().await;
    let list = json!([{ "type": "agent", "id": "a" }, { "name": "x" }, { "type": "t", "id": "i" }]);
    let refused = ask(&running, &list).await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("expected an object"), "{}", refused.text());
}
