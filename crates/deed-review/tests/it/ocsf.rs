//! Actions and authority as OCSF events. That the schema takes them, `tests/ocsf/run` shows.

use deed_record::Kind;
use deed_review::{
    Checkpoint,
    ocsf::{Called, Told, tell, tell_identity, tell_record},
};
use serde_json::{Value, json};

use crate::{
    store::{Store, TRACE, account, at, id, record},
    story::{ACTION, APPROVAL, GRANT, ISSUE, ann, changed, etl, story},
};

fn told(records: &[Value], n: u64, names: bool) -> Told {
    tell(&Store::of(records), id(n), &Checkpoint::default(), names).expect("readable").expect("there")
}

fn alone(records: &[Value], n: u64) -> Value {
    tell_record(&Store::of(records), id(n), false).expect("readable").expect("there").event
}

#[test]
fn an_action_has_both_people_its_chain_and_where_it_is_sealed() {
    let told = told(&story(), ACTION, false);
    let event = &told.event;
    assert_eq!((&event["class_uid"], &event["type_uid"]), (&json!(6003), &json!(600_303)), "{event:#}");
    assert_eq!(event["metadata"]["version"], "1.8.0");
    assert_eq!(event["metadata"]["uid"], json!(id(ACTION)));
    assert_eq!(event["metadata"]["correlation_uid"], TRACE);
    assert_eq!(event["metadata"]["sequence"], 4);
    assert_eq!(event["actor"]["user"]["uid"], json!(account("okta:ann")));
    assert_eq!(event["actor"]["user"]["type_id"], 1);
    assert_eq!(event["actor"]["app_uid"], json!(account("k8s:sa/etl")));
    assert_eq!(event["actor"]["session"]["credential_uid"], "lease-77");
    assert_eq!(event["unmapped"]["grant"]["uid"], json!(id(GRANT)));
    assert_eq!(event["unmapped"]["approvals"][0]["uid"], json!(id(APPROVAL)));
    assert_eq!(event["enrichments"][0]["value"], "authorised");
    assert_eq!(event["raw_data_hash"]["value"], event["unmapped"]["integrity"]["leaf_hash"]);
    assert_eq!((&event["status_id"], &event["duration"]), (&json!(1), &json!(182)));
    assert_eq!((&event["action_id"], &event["disposition_id"]), (&json!(3), &json!(17)));
    assert!(told.findings.is_empty(), "{:#?}", told.findings);
}

#[test]
fn names_leave_only_where_they_are_asked_for() {
    let without = told(&story(), ACTION, false).event.to_string();
    for name in ["okta:ann", "Ann", "k8s:sa/etl", "jira:bob", "Bob"] {
        assert!(!without.contains(name), "{name} in {without}");
    }
    let with = told(&story(), ACTION, true).event;
    assert_eq!(
        (&with["actor"]["user"]["name"], &with["actor"]["user"]["full_name"]),
        (&json!("okta:ann"), &json!("Ann"))
    );
    assert_eq!(with["actor"]["app_name"], "etl");
}

#[test]
fn findings_are_events_of_their_own() {
    let late = changed(ACTION, json!({ "time": at("11:30") }));
    let told = told(&late, ACTION, false);
    let [finding] = &told.findings[..] else { panic!("{:#?}", told.findings) };
    assert_eq!((&finding["class_uid"], &finding["severity_id"]), (&json!(2004), &json!(4)));
    let uid = format!("{}/used-after-expiry", id(ACTION));
    assert_eq!((&finding["finding_info"]["uid"], &finding["metadata"]["uid"]), (&json!(uid), &json!(uid)));
    assert_eq!(finding["finding_info"]["related_events"][0]["uid"], json!(id(ACTION)));
    assert!(finding["remediation"]["desc"].as_str().expect("a remedy").contains("end"));
    assert!(!finding["unmapped"]["controls"].as_array().expect("controls").is_empty());
}

#[test]
fn a_decision_says_allowed_or_denied() {
    for (effect, action, disposition) in [("allow", 1, 1), ("deny", 2, 2), ("step_up", 99, 14)] {
        let decision = json!({ "decision": { "effect": effect, "policies": ["no-deletes"], "policy_set": "sha256:00" },
                               "executor": etl(), "initiator": ann(), "operation": "tools/call",
                               "tool": { "server": "files", "name": "deleteFile" } });
        let event = told(&[record(1, Kind::Intent, "10:00", "deed", decision)], 1, false).event;
        assert_eq!((&event["action_id"], &event["disposition_id"]), (&json!(action), &json!(disposition)));
        assert_eq!(event["authorizations"][0]["decision"], effect);
        assert_eq!(event["authorizations"][0]["policy"]["name"], "no-deletes");
        assert_eq!(
            (&event["activity_name"], &event["api"]["group"]["name"]),
            (&json!("Delete"), &json!("tools/call"))
        );
        assert_eq!(event["api"]["service"]["name"], "files");
    }
}

#[test]
fn records_about_authority_have_classes_of_their_own() {
    let class = |n: u64| alone(&story(), n)["type_uid"].clone();
    assert_eq!(class(GRANT), 300_301);
    assert_eq!(class(ISSUE), 300_401);
    assert_eq!(class(APPROVAL), 300_499);
    let effects = |kind: &str, change: &str, more: Value| {
        let effect =
            json!({ "kind": kind, "terms": { "change": change, "subject": ann() }, "credential": more });
        let seen = json!({ "executor": etl(), "operation": "user.change", "effects": [effect] });
        told(&[record(1, Kind::Observation, "10:00", "okta:acme", seen)], 1, false).event["type_uid"].clone()
    };
    assert_eq!(effects("credential", "used", json!({ "id": "k" })), 300_201);
    assert_eq!(effects("credential", "issued", json!({ "id": "s", "type": "session" })), 300_201);
    assert_eq!(effects("credential", "revoked", json!({ "id": "s", "type": "session" })), 300_202);
    assert_eq!(effects("credential", "rotated", json!({ "id": "p", "type": "password" })), 300_103);
    assert_eq!(effects("credential", "revoked", json!({ "id": "k", "type": "api_token" })), 300_404);
    assert_eq!(effects("principal", "revoked", Value::Null), 300_105);
    assert_eq!(effects("grant", "revoked", Value::Null), 300_502);
}

#[test]
fn findings_about_identities_are_events_too() {
    let used = |n: u64, who: &str| {
        let more = json!({ "executor": { "key": who, "type": "agent" }, "credential": { "id": "AKIA1" } });
        record(n, Kind::Observation, "10:00", "cloudtrail:1", more)
    };
    let store = Store::of(&[used(1, "app:one"), used(2, "app:two")]);
    let found = store.identity_findings("2026-11-21 10:00");
    let [shared] = &found[..] else { panic!("{found:#?}") };
    let called = Called { principal: Some("app:one".into()), subject: Some("AKIA1".into()) };
    let told =
        |names| tell_identity(&store, "acme", shared, &called, names).expect("readable").expect("there");
    let event = told(false);
    let uid = format!("shared-account/{}", shared.key("acme"));
    assert_eq!(
        (&event["class_uid"], &event["severity_id"], &event["status_id"]),
        (&json!(2004), &json!(4), &json!(1))
    );
    assert_eq!((&event["finding_info"]["uid"], &event["metadata"]["uid"]), (&json!(uid), &json!(uid)));
    let resources = event["resources"].as_array().expect("resources");
    assert_eq!(resources.iter().filter(|resource| resource["type"] == "principal").count(), 2, "{event:#}");
    assert!(resources.iter().any(|resource| resource["uid"] == "AKIA1" && resource["type"] == "credential"));
    assert!(!event.to_string().contains("app:one") && told(true).to_string().contains("app:one"));
    assert!(
        event["remediation"]["desc"].is_string() && event["unmapped"]["integrity"]["leaf_hash"].is_string()
    );
}
