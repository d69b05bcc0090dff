//! `GET /v1/principals/{key}`.

use deed_record::Timestamp;
use serde_json::{Value, json};

use crate::support::{Running, array, call, get, post};

/// Record `n` of GitHub's log about what ann did.
fn logged(n: u32, more: &Value) -> String {
    let mut record = json!({
        "kind": "observation", "basis": "imported", "time": format!("2026-11-20T10:00:0{n}Z"), "executor": ann(),
        "source": { "system": "github:acme", "event_id": n.to_string() },
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record.to_string()
}

fn ann() -> Value {
    json!({ "key": "github:ann", "type": "unknown" })
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_was_suspended_is_told_to_be() {
    let running = Running::start().await;
    let effect = |change: &str| {
        let terms = json!({ "change": change, "subject": ann() });
        json!({ "effects": [{ "kind": "principal", "terms": terms }] })
    };
    running.append(&array(&[logged(1, &effect("issued")), logged(2, &effect("revoked"))])).await;
    let answer = call(running.http(), get("/v1/principals/github:ann")).await.json();
    let changes: Vec<_> =
        answer["changes"].as_array().unwrap().iter().map(|c| (&c["change"], &c["basis"])).collect();
    assert_eq!(changes, [(&json!("issued"), &json!("imported")), (&json!("revoked"), &json!("imported"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_somebody_last_stands_last() {
    let running = Running::start().await;
    let effect = |change: &str| {
        let terms = json!({ "change": change, "subject": ann() });
        json!({ "effects": [{ "kind": "principal", "terms": terms }] })
    };
    let told = ["revoked", "renewed", "revoked"];
    let told = told.iter().zip(1..).map(|(change, n)| logged(n, &effect(change)));
    running.append(&array(&told.collect::<Vec<_>>())).await;
    let answer = call(running.http(), get("/v1/principals/github:ann")).await.json();
    let row = |at: usize| {
        let row = &answer["changes"][at];
        (row["change"].clone(), row["time"].clone(), row["last"].clone(), row["count"].clone())
    };
    let time = |n: u32| json!(format!("2026-11-20T10:00:0{n}.000000Z"));
    assert_eq!(row(0), (json!("renewed"), time(2), time(2), json!(1)));
    assert_eq!(row(1), (json!("revoked"), time(1), time(3), json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_of_an_earlier_server_is_understood() {
    let running = Running::start().await;
    let terms = json!({ "change": "revoked", "subject": ann() });
    let told =
        json!({ "credential": { "id": "key-1" }, "effects": [{ "kind": "principal", "terms": terms }] });
    running.append(&array(&[logged(1, &told)])).await;
    /// The answer without `members`, wherever they stand.
    fn without(members: &[&str], value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| without(members, item)),
            Value::Object(object) => {
                object.retain(|name, _| !members.contains(&name.as_str()));
                object.values_mut().for_each(|value| without(members, value));
            }
            _ => {}
        }
    }
    let mut answer = call(running.http(), get("/v1/principals/github:ann")).await.json();
    assert_eq!(
        (&answer["credentials_total"], &answer["changes"][0]["change"]),
        (&json!(1), &json!("revoked"))
    );
    without(&["last", "suspensions", "suspended"], &mut answer);
    let answer: deed_server::PrincipalAnswer = serde_json::from_value(answer).unwrap();
    assert_eq!(answer.changes[0].last, None);

    let mut answer = call(running.http(), get("/v1/blast/key-1")).await.json();
    assert_eq!(answer["actions"].as_array().unwrap().len(), 1);
    without(&["review", "holders", "rules"], &mut answer);
    serde_json::from_value::<deed_server::Blast>(answer).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_calls_who_acted_as_its_own_record_does() {
    let named = |n: u32, name: &str| {
        logged(n, &json!({ "executor": { "key": "github:ann", "type": "unknown", "name": name } }))
    };
    for order in [[1, 2], [2, 1]] {
        let running = Running::start().await;
        let mut ids = std::collections::BTreeMap::new();
        for n in order {
            ids.extend(
                running.record(&array(&[named(n, &format!("name {n}"))])).await.pop().map(|id| (n, id)),
            );
        }
        for (n, id) in ids {
            let explained = call(running.http(), get(&format!("/v1/actions/{id}/explain"))).await.json();
            assert_eq!(explained["executor"]["name"], json!(format!("name {n}")), "{order:?}");
        }
        let answer = call(running.http(), get("/v1/principals/github:ann")).await.json();
        assert_eq!(answer["name"], "name 1", "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_has_its_names_whichever_was_known_first() {
    let running = Running::start().await;
    let changed = |change: &str| {
        json!({ "effects": [{
            "kind": "credential", "credential": { "id": "github:token/555" },
            "terms": { "change": change, "subject": ann() },
        }] })
    };
    let fingerprint = format!("sha256:{}", "a1".repeat(32));
    let both = json!({ "id": "github:token/555", "fingerprint": fingerprint });
    let records = [
        logged(1, &changed("requested")),
        logged(2, &changed("issued")),
        logged(3, &json!({ "credential": both })),
    ];
    running.append(&array(&records)).await;
    let answer = call(running.http(), get("/v1/principals/github:ann")).await;
    let credential = &answer.json()["credentials"][0];
    assert_eq!(credential["credential"], "github:token/555", "{}", answer.text());
    assert_eq!(credential["names"], json!(["github:token/555", fingerprint]));
}

#[tokio::test(flavor = "multi_thread")]
async fn since_when_somebody_is_suspended_and_what_they_do_elsewhere() {
    let running = Running::start().await;
    let suspends = |suspended: bool, reason: &str| {
        let by = json!({ "type": "human", "key": "human:ann" });
        let said = json!({ "what": "github:bot", "suspended": suspended, "by": by, "reason": reason });
        post("/v1/suspensions", "application/json", said.to_string())
    };
    let acts = |n: u32, time: Timestamp| {
        json!({ "kind": "observation", "basis": "imported", "time": time, "operation": "git.push",
                "executor": { "key": "github:bot", "type": "unknown" }, "outcome": { "status": "success" },
                "source": { "system": "github:acme", "event_id": n.to_string() } })
        .to_string()
    };
    let found = async || {
        let found = running.get("/v1/findings?rule=acted-while-suspended").await.json();
        found["findings"].as_array().unwrap().clone()
    };
    // Imported before anybody was suspended, and done afterwards.
    let later = |seconds: i64| Timestamp(deed_ledger::now().0 + seconds * 1_000_000);
    running.append(&array(&[acts(1, later(0)), acts(2, later(3600))])).await;
    assert!(found().await.is_empty());
    assert_eq!(call(running.http(), suspends(true, "incident 77")).await.status, 200);
    let held = found().await;
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0]["severity"], "high");
    let answer = call(running.http(), get("/v1/principals/github:bot")).await.json();
    let [suspension] = &answer["suspensions"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!((&suspension["by"], &suspension["lifted"]), (&json!("human:ann"), &Value::Null));
    assert_eq!(suspension["reason"], Value::Null, "a reason is a payload");
    assert_eq!(call(running.http(), suspends(false, "cleared")).await.status, 200);
    assert!(found().await.is_empty(), "it was let go on before it acted");
    let answer = call(running.http(), get("/v1/principals/github:bot?reasons=true")).await.json();
    let [suspension] = &answer["suspensions"].as_array().unwrap()[..] else { panic!("{answer}") };
    let reasons = (&suspension["reason"], &suspension["lifted"]["reason"]);
    assert_eq!(reasons, (&json!("incident 77"), &json!("cleared")));
    assert_eq!(suspension["lifted"]["by"], "human:ann");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_suspended_for_everybody_is_so_in_every_tenant() {
    let running = Running::start().await;
    let of_acme = json!({ "tenant": "acme", "executor": { "key": "github:bot", "type": "unknown" } });
    running.append(&array(&[logged(1, &of_acme)])).await;
    let suspends = async |suspended: bool| {
        let by = json!({ "type": "human", "key": "human:ann" });
        let said = json!({ "what": "github:bot", "suspended": suspended, "by": by, "reason": "incident 77" });
        let request = post("/v1/suspensions", "application/json", said.to_string());
        assert_eq!(call(running.http(), request).await.status, 200);
    };
    let told = async |path: &str| {
        let answer = running.get(&format!("/v1/principals/github:bot?{path}")).await.json();
        answer["suspensions"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
    };
    assert!(told("tenant=acme").await.is_empty());
    suspends(true).await;
    let [row] = &told("tenant=acme&reasons=true").await[..] else { panic!() };
    assert_eq!((&row["everywhere"], &row["lifted"]), (&json!(true), &Value::Null));
    assert_eq!(
        (&row["by"], &row["reason"]),
        (&Value::Null, &Value::Null),
        "that is for the other tenant to see"
    );
    suspends(false).await;
    let [row] = &told("tenant=acme").await[..] else { panic!() };
    assert!(row["lifted"]["time"].is_string() && row["lifted"]["by"].is_null(), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_says_whether_anybody_goes_by_that_name() {
    let running = Running::start().await;
    running.append(&array(&[logged(1, &json!({}))])).await;
    let stop = async |what: &str, suspended: bool| {
        let by = json!({ "type": "human", "key": "human:bob" });
        let said = json!({ "what": what, "suspended": suspended, "by": by }).to_string();
        let answer = call(running.http(), post("/v1/suspensions", "application/json", said)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    assert_eq!(
        stop("github:ann", true).await,
        json!({ "suspended": ["github:ann"], "known": true, "before": false })
    );
    // That it was suspended makes nobody known.
    for before in [false, true] {
        assert_eq!(
            stop("zzz", true).await,
            json!({ "suspended": ["zzz"], "known": false, "before": before })
        );
    }
    for before in [true, false] {
        assert_eq!(stop("zzz", false).await, json!({ "resumed": ["zzz"], "known": false, "before": before }));
    }
}
