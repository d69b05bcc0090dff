//! `GET /v1/blast`: who is behind what a credential led to, what was found about it, and what is to be revoked.

use bytes::Bytes;
use http::Request;
use serde_json::{Value, json};

use crate::support::{Running, call, post};

/// Event `number` as the log of `system` has it.
fn logged(number: u64, more: Value) -> Value {
    let mut record = json!({
        "kind": "observation", "basis": "imported",
        "source": { "system": "cloudtrail:1", "event_id": format!("event-{number}") },
        "time": format!("2026-11-20T10:{:02}:00Z", number),
        "outcome": { "status": "success" },
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

fn party(key: &str, kind: &str) -> Value {
    json!({ "key": key, "type": kind })
}

/// `by` has the key `id` made for `subject`.
fn made(number: u64, by: Value, id: &str, subject: Value) -> Value {
    let key = json!({ "id": id, "type": "access_key" });
    let terms = json!({ "change": "issued", "subject": subject });
    let effects = json!([{ "kind": "credential", "credential": key, "terms": terms }]);
    logged(number, json!({ "executor": by, "operation": "iam:CreateAccessKey", "effects": effects }))
}

/// Somebody says `change` of the key `id`.
fn said(number: u64, id: &str, change: &str) -> Value {
    let effects =
        json!([{ "kind": "credential", "credential": { "id": id }, "terms": { "change": change } }]);
    let by = party("aws:admin", "unknown");
    logged(number, json!({ "executor": by, "operation": "iam:Change", "effects": effects }))
}

fn used(number: u64, id: &str, by: Value, operation: &str) -> Value {
    let resource = json!({ "uri": format!("s3:bucket/{number}") });
    let credential = json!({ "id": id });
    logged(
        number,
        json!({ "executor": by, "operation": operation, "credential": credential, "resource": resource }),
    )
}

fn with_end(mut record: Value, expires: &str) -> Value {
    record["credential"]["expires"] = expires.into();
    record
}

async fn with(records: &[Value]) -> Running {
    let server = Running::start().await;
    for record in records {
        server.record(&record.to_string()).await;
    }
    server
}

async fn blast(server: &Running, query: &str) -> Value {
    server.get(&format!("/v1/blast/{query}")).await.json()
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_action_says_who_is_behind_it_and_what_was_found() {
    let ci = || party("aws:ci", "service_account");
    let server = with(&[
        made(0, party("sso:ann", "human"), "AKIA1", ci()),
        used(1, "AKIA1", ci(), "s3:GetObject"),
        said(2, "AKIA1", "rotated"),
        used(3, "AKIA1", ci(), "s3:PutObject"),
    ])
    .await;
    let answer = blast(&server, "AKIA1").await;
    let actions = answer["actions"].as_array().unwrap();
    assert_eq!(actions.len(), 2, "{answer:#}");
    for row in actions {
        let id = row["id"].as_str().unwrap();
        let explained = server.get(&format!("/v1/actions/{id}/explain")).await.json();
        assert_eq!(row["initiator"], explained["initiator"]["key"], "{row:#}");
        assert_eq!((&row["initiator"], &row["initiator_edge"]), (&"sso:ann".into(), &"inferred".into()));
        assert_eq!(row["class"], explained["verdict"]["class"]);
        assert_eq!(row["authority"], explained["verdict"]["authority"]["value"]);
        let found: Vec<&Value> =
            explained["findings"].as_array().unwrap().iter().map(|f| &f["rule"]).collect();
        assert_eq!(row["rules"].as_array().unwrap().iter().collect::<Vec<_>>(), found);
    }
    assert_eq!(actions[1]["rules"], json!(["used-after-rotation"]));
    let review = &answer["review"];
    assert_eq!((&review["found"], &review["judged"], &review["nobody"]), (&1.into(), &2.into(), &0.into()));
    assert_eq!(
        (names(&review["humans"]), names(&review["rules"])),
        (vec!["sso:ann"], vec!["used-after-rotation"])
    );
    assert_eq!((&review["humans"][0]["count"], &review["reviewed"]), (&2.into(), &review["records"]));
    assert_eq!(names(&review["authority"]), ["unverified"]);
}

#[tokio::test]
async fn where_no_person_is_known_who_answers_for_it_is_named_as_that() {
    let server = with(&[used(1, "AKIA1", party("aws:ci", "service_account"), "s3:GetObject")]).await;
    let inventory = "[[principal]]\nkey = \"ci\"\ntype = \"service_account\"\naliases = [\"aws:ci\"]\nowner = \"human:dana\"\n";
    let put = Request::put("/v1/inventory").header("content-type", "application/toml");
    let put = call(server.http(), put.body(Bytes::from(inventory).into()).unwrap()).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let review = blast(&server, "AKIA1").await["review"].clone();
    assert_eq!((&review["nobody"], names(&review["humans"]).len()), (&1.into(), 0), "{review:#}");
    assert_eq!(names(&review["owners"]), ["human:dana"]);
}

#[tokio::test]
async fn what_is_past_deed_has_its_human_and_counts_as_never_approved() {
    let ci = || party("aws:ci", "service_account");
    let server =
        with(&[made(0, party("sso:ann", "human"), "AKIA1", ci()), used(1, "AKIA1", ci(), "s3:GetObject")])
            .await;
    let inventory =
        "[[principal]]\nkey = \"ci\"\ntype = \"service_account\"\naliases = [\"aws:ci\"]\ngoverned = true\n";
    let put = Request::put("/v1/inventory").header("content-type", "application/toml");
    let put = call(server.http(), put.body(Bytes::from(inventory).into()).unwrap()).await;
    assert_eq!(put.status, 200, "{}", put.text());
    let answer = blast(&server, "AKIA1").await;
    assert_eq!(answer["review"]["never_approved"], 1, "{answer:#}");
    assert_eq!(answer["bypasses"][0]["initiator"], "sso:ann");
    assert_eq!(answer["actions"][0]["rules"], json!(["bypass"]));
    assert_eq!(answer["actions"][0]["authority"], "bypassed");
}

/// `by`, with the key `id`, has `change` said of the account `of`.
fn account(number: u64, by: &str, id: &str, change: &str, of: &str) -> Value {
    let terms = json!({ "change": change, "subject": party(of, "unknown") });
    let effects = json!([{ "kind": "principal", "terms": terms }]);
    let credential = json!({ "id": id, "type": "access_key" });
    let by = party(by, "unknown");
    logged(number, json!({ "executor": by, "credential": credential, "effects": effects }))
}

fn operations(answer: &Value) -> Vec<&str> {
    answer["downstream"].as_array().unwrap().iter().map(|row| row["operation"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_was_made_anew_under_the_same_name_is_another() {
    let tmp = || party("aws:tmp", "unknown");
    let server = with(&[
        account(0, "aws:ci", "EVIL", "issued", "aws:tmp"),
        used(1, "TMP1", tmp(), "s3:DeleteBucket"),
        account(2, "aws:admin", "ADMIN", "revoked", "aws:tmp"),
        account(3, "aws:admin", "ADMIN", "issued", "aws:tmp"),
        used(4, "TMP2", tmp(), "s3:GetObject"),
    ])
    .await;
    let answer = blast(&server, "EVIL").await;
    assert_eq!(operations(&answer), ["s3:DeleteBucket"], "{answer:#}");
}

#[tokio::test]
async fn what_is_done_with_a_password_that_was_set_with_it_came_from_it() {
    let bob = || party("aws:bob", "unknown");
    let password = |number: u64, by: &str, id: &str| {
        let terms = json!({ "change": "rotated", "subject": bob() });
        let effects = json!([{ "kind": "credential", "credential": { "type": "password" }, "terms": terms }]);
        let credential = json!({ "id": id, "type": "access_key" });
        let by = party(by, "unknown");
        logged(number, json!({ "executor": by, "credential": credential, "effects": effects }))
    };
    let session = |number: u64, id: &str, begun: u64| {
        let mut record = used(number, id, bob(), &format!("s3:Act{number}"));
        let issued = format!("2026-11-20T10:{begun:02}:00Z");
        record["credential"] = json!({ "id": id, "type": "temporary_key", "issued": issued });
        record
    };
    let server = with(&[
        session(1, "BEFORE", 0),
        password(2, "aws:ci", "EVIL"),
        logged(3, json!({ "executor": bob(), "operation": "signin:ConsoleLogin" })),
        session(4, "CONSOLE", 3),
        session(5, "BEFORE", 0),
        used(6, "OWN", bob(), "s3:Own"),
        password(7, "aws:admin", "ADMIN"),
        session(9, "LATER", 8),
    ])
    .await;
    let answer = blast(&server, "EVIL").await;
    assert_eq!(operations(&answer), ["signin:ConsoleLogin", "s3:Act4"], "{answer:#}");
    // The password is a credential, whose name is that of whoever has it, and ended when it was set again.
    let password = &answer["ended"][0];
    assert_eq!((&password["name"], &password["type"]), (&json!("password of aws:bob"), &json!("password")));
    assert_eq!((&password["state"], &password["holder"]), (&json!("rotated"), &json!("aws:bob")));
    assert_eq!((&password["parent"], &password["uses"]), (&json!("EVIL"), &json!(1)));
    assert_eq!(answer["downstream"][0]["credential"], "password of aws:bob");
    let console = answer["revoke"].as_array().unwrap().iter().find(|known| known["name"] == "CONSOLE");
    assert_eq!(console.unwrap()["parent"], "password of aws:bob", "{answer:#}");
    assert_eq!(
        (&answer["changed"][0]["what"], &answer["changed"][0]["type"]),
        (&json!("password"), &json!("password"))
    );
    let revoke = blast(&server, "ADMIN").await["revoke"].clone();
    assert_eq!(names(&revoke), ["ADMIN", "LATER", "password of aws:bob"], "{revoke:#}");
    let bob = server.get("/v1/principals/aws:bob").await.json();
    let password =
        bob["credentials"].as_array().unwrap().iter().find(|row| row["type"] == "password").unwrap();
    assert_eq!(
        (&password["credential"], &password["state"]),
        (&Value::Null, &json!("active")),
        "{password:#}"
    );
}

#[tokio::test]
async fn a_key_that_works_after_its_end_is_to_be_revoked() {
    let ci = || party("aws:ci", "service_account");
    let server = with(&[
        made(0, ci(), "OLD", ci()),
        said(1, "OLD", "rotated"),
        made(0, ci(), "WORKS", ci()),
        said(2, "WORKS", "revoked"),
        used(3, "WORKS", ci(), "s3:GetObject"),
        // Said again later: it did not work after that, and did after the first.
        said(4, "WORKS", "revoked"),
        // The end is the first moment at which it holds no more.
        with_end(used(3, "ENDED", ci(), "s3:GetObject"), "2026-11-20T10:03:00Z"),
        made(0, ci(), "DEAD", ci()),
        used(1, "DEAD", ci(), "s3:GetObject"),
        said(2, "DEAD", "revoked"),
    ])
    .await;
    let revoke =
        |answer: &Value| (names(&answer["revoke"]).join(" "), answer["revoke"][0]["why"].to_string());
    let (name, why) = revoke(&blast(&server, "WORKS").await);
    assert_eq!(name, "WORKS");
    assert!(why.contains("worked 2026-11-20 10:03") && why.contains("was revoked 2026-11-20 10:02"), "{why}");
    let (name, why) = revoke(&blast(&server, "OLD").await);
    assert!(name == "OLD" && why.contains("replaced"), "{name} {why}");
    let (name, why) = revoke(&blast(&server, "ENDED").await);
    assert!(name == "ENDED" && why.contains("was expired 2026-11-20 10:03"), "{name} {why}");
    let dead = blast(&server, "DEAD").await;
    assert_eq!((names(&dead["revoke"]).len(), &dead["counts"]["active"]), (0, &0.into()));
}

#[tokio::test]
async fn what_is_revoked_all_at_once_is_revoked_for_everybody_who_asks() {
    let role = || party("aws:role", "service_account");
    let session = |id: &str| json!({ "id": id, "type": "temporary_key" });
    let opened = |number: u64, id: &str| {
        let terms = json!({ "change": "issued", "subject": role() });
        let effects = json!([{ "kind": "credential", "credential": session(id), "terms": terms }]);
        logged(
            number,
            json!({ "executor": party("aws:ann", "unknown"), "operation": "sts:AssumeRole", "effects": effects }),
        )
    };
    let acted = |number: u64, id: &str| {
        let mut record = used(number, id, role(), "s3:GetObject");
        record["credential"] = session(id);
        record
    };
    let terms = json!({ "change": "revoked", "subject": role(), "not_before": "2026-11-20T10:02:30Z" });
    let effects =
        json!([{ "kind": "credential", "credential": { "type": "temporary_key" }, "terms": terms }]);
    let all = logged(
        3,
        json!({ "executor": party("aws:admin", "unknown"), "operation": "iam:PutRolePolicy", "effects": effects }),
    );
    let records =
        [opened(0, "DEAD"), acted(1, "DEAD"), opened(0, "WORKS"), all, acted(4, "WORKS"), opened(5, "NEW")];
    let server = with(&records).await;
    let holder = server.get("/v1/principals/aws:role").await.json();
    let state = |id: &str| {
        let rows = holder["credentials"].as_array().unwrap().iter();
        rows.clone().find(|row| row["credential"] == id).unwrap()["state"].clone()
    };
    for (id, stands, due) in [("DEAD", "revoked", false), ("WORKS", "revoked", true), ("NEW", "active", true)]
    {
        let answer = blast(&server, id).await;
        assert_eq!((&answer["credential"]["state"], &state(id)), (&stands.into(), &stands.into()), "{id}");
        assert_eq!(!names(&answer["revoke"]).is_empty(), due, "{id}: {answer:#}");
    }
    let answer = blast(&server, "WORKS").await;
    let action = server
        .get(&format!("/v1/actions/{}/explain", answer["actions"][0]["id"].as_str().unwrap()))
        .await
        .json();
    assert_eq!(action["credential"]["revoked"], "2026-11-20T10:03:00.000000Z", "{action:#}");
    assert!(answer["actions"][0]["rules"].to_string().contains("used-after-revocation"), "{answer:#}");
}

#[tokio::test]
async fn what_deed_suspends_is_still_to_be_revoked_by_its_issuer() {
    let server = with(&[used(1, "AKIA1", party("aws:ci", "unknown"), "a")]).await;
    let by = party("human:op", "human");
    let body = json!({ "what": "AKIA1", "suspended": true, "credential": true, "by": by });
    let request = post("/v1/suspensions", "application/json", body.to_string());
    assert_eq!(call(server.http(), request).await.status, 200);
    let answer = blast(&server, "AKIA1").await;
    assert_eq!(
        (names(&answer["revoke"]), &answer["credential"]["state"]),
        (vec!["AKIA1"], &"unknown".into())
    );
    assert!(answer["revoke"][0]["why"].to_string().contains("suspended"), "{answer:#}");
}

#[tokio::test]
async fn a_key_of_several_is_nobodys_whatever_comes_first() {
    let (one, two) = (
        used(1, "SHARED", party("aws:one", "unknown"), "a"),
        used(2, "SHARED", party("aws:two", "unknown"), "b"),
    );
    for records in [[one.clone(), two.clone()], [two, one]] {
        let answer = blast(&with(&records).await, "SHARED").await;
        assert_eq!(answer["credential"]["holder"], Value::Null);
        assert_eq!(answer["credential"]["holders"], json!(["aws:one", "aws:two"]));
    }
}

#[tokio::test]
async fn an_action_that_names_a_key_twice_used_it_once() {
    let ci = || party("aws:ci", "service_account");
    let mut twice = used(1, "AKIA1", ci(), "get");
    twice["chain"] = json!([{ "principal": party("aws:role", "unknown"), "credential": "AKIA1" }]);
    let server = with(&[twice, used(2, "AKIA1", ci(), "get")]).await;
    assert_eq!(blast(&server, "AKIA1").await["credential"]["uses"], 2);
    let answer = server.get("/v1/principals/aws:ci").await.json();
    assert_eq!(answer["credentials"][0]["uses"], 2, "{answer:#}");
}

#[tokio::test]
async fn a_grant_is_in_use_where_its_holder_uses_it() {
    let given = |number: u64, scope: &str| {
        let terms = json!({ "change": "issued", "scopes": [scope], "subject": party("svc:a", "workload") });
        let mut record = logged(number, json!({ "executor": party("vault", "workload"), "terms": terms }));
        record["kind"] = "grant".into();
        record
    };
    let mut act = used(5, "K", party("svc:a", "workload"), "GetObject");
    act["permission"] = "s3:GetObject".into();
    let server = with(&[
        given(1, "s3:GetObject"),
        given(2, "s3:PutObject"),
        given(3, "arn:aws:iam::aws:policy/AdministratorAccess"),
        act,
    ])
    .await;
    let answer = server.get("/v1/principals/svc:a").await.json();
    let of = |scope: &str| {
        let rows = answer["grants"].as_array().unwrap();
        let row = rows.iter().find(|row| row["scopes"][0] == scope).unwrap();
        (row["in_use"].as_str().map(|time| time[..16].to_owned()), row["use_unknown"] == true)
    };
    assert_eq!(of("s3:GetObject"), (Some("2026-11-20T10:05".to_owned()), false), "{answer:#}");
    assert_eq!(of("s3:PutObject"), (None, false));
    assert_eq!(of("arn:aws:iam::aws:policy/AdministratorAccess"), (None, true));
    let report = server.get("/v1/reports/standing").await.json();
    let rights = report["identities"][0]["rights"].as_array().unwrap();
    let in_use: Vec<bool> = rights.iter().map(|right| !right["last_used"].is_null()).collect();
    let unknown: Vec<&Value> = rights.iter().map(|right| &right["use_unknown"]).collect();
    assert_eq!(
        (in_use, unknown),
        (vec![true, false, false], vec![&false.into(), &false.into(), &true.into()])
    );
}

#[tokio::test]
async fn what_came_from_what_does_not_depend_on_what_came_first() {
    let admin = || party("aws:admin", "unknown");
    let backup = || party("aws:backup", "unknown");
    let with_key = |mut record: Value, id: &str| {
        record["credential"] = json!({ "id": id, "type": "access_key" });
        record
    };
    let user = |number: u64| {
        let effects = json!([{ "kind": "principal", "terms": { "change": "issued", "subject": backup() } }]);
        with_key(logged(number, json!({ "executor": admin(), "effects": effects })), "LEAKED")
    };
    let both = |number: u64| {
        let mut record = used(number, "ONE", backup(), "s3:Both");
        record["credential"] = json!({ "id": "ONE", "jti": "OTHER" });
        record
    };
    let records = [
        user(1),
        with_key(made(2, admin(), "FIRST", backup()), "LEAKED"),
        with_key(made(3, backup(), "SECOND", backup()), "FIRST"),
        with_key(made(4, backup(), "THIRD", backup()), "SECOND"),
        with_key(made(5, backup(), "ONE", backup()), "THIRD"),
        with_key(made(6, backup(), "OTHER", backup()), "FIRST"),
        both(7),
        used(8, "SECOND", backup(), "s3:Get"),
        used(9, "THIRD", backup(), "s3:Delete"),
    ];
    let told = |answer: &Value| {
        let revoke = answer["revoke"].as_array().unwrap();
        let row = |known: &Value| {
            format!("{} {} {} {}", known["name"], known["depth"], known["parent"], known["uses"])
        };
        let acted = |hit: &Value| format!("{} {} {}", hit["operation"], hit["credential"], hit["depth"]);
        let downstream = answer["downstream"].as_array().unwrap().iter().map(acted);
        revoke.iter().map(row).chain(downstream).collect::<Vec<String>>()
    };
    let first = told(&blast(&with(&records).await, "LEAKED").await);
    assert!(first.contains(&r#""SECOND" 1 "FIRST" 2"#.to_owned()), "{first:#?}");
    for order in 1..6 {
        let mut turned: Vec<Value> = records.to_vec();
        turned.rotate_left(order * 2 % records.len());
        if order % 2 == 1 {
            turned.reverse();
        }
        assert_eq!(told(&blast(&with(&turned).await, "LEAKED").await), first, "order {order}");
    }
}
