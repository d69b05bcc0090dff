//! Vault's audit entries and their records.

use deed_collect::{Source, records, vault};
use serde_json::{Value, json};

use crate::{VAULT, value_of};

fn all() -> Vec<Value> {
    records(Source::Vault, VAULT.as_bytes()).map(|found| value_of(&found.expect("maps").record)).collect()
}

/// The fixture's record of this event.
fn of(event_id: &str) -> Value {
    let mut found = all().into_iter().filter(|record| record["source"]["event_id"] == event_id);
    found.next().unwrap_or_else(|| panic!("no {event_id}"))
}

fn hmac(letter: &str) -> String {
    format!("hmac-sha256:{}", letter.repeat(64))
}

#[test]
fn a_request_and_its_response_are_one_action() {
    let (asked, answered) = (of("r-1/request"), of("r-1"));
    assert_eq!((&asked["action_event"], &answered["action_event"]), (&json!("r-1"), &Value::Null));
    assert_eq!((&asked["outcome"], &answered["outcome"]), (&Value::Null, &json!({"status": "success"})));
    assert_eq!(answered["operation"], "kv:read");
    assert_eq!(answered["resource"], json!({"type": "kv", "uri": "vault:secret/data/db"}));
    assert_eq!(of("r-3")["resource"]["uri"], "vault:team/database/creds/orders-ro");
    // Finer times are cut.
    assert_eq!(asked["time"], "2026-11-20T10:00:00.123456Z");
}

#[test]
fn an_entry_names_who_called_with_what_and_by_which_policy() {
    let call = of("r-1");
    assert_eq!(
        call["executor"],
        json!({"key": "vault:entity/7d2e3179-f69b-450c-7179-ac8ee8bd8ca9", "name": "kubernetes-shop-release-bot", "type": "service_account"})
    );
    assert_eq!(
        call["credential"],
        json!({"fingerprint": hmac("b"), "id": hmac("a"),
               "issued": "2026-11-20T09:59:30.000000Z", "scopes": ["default", "release"], "type": "vault_token"})
    );
    assert_eq!(
        (&call["permission"], &call["decision"]),
        (&json!("release"), &json!({"effect": "allow", "policies": ["release"]}))
    );
    assert_eq!(call["personal"], json!({"address": "10.0.3.9"}));

    for event in ["r-4/request", "r-4"] {
        let refused = of(event);
        assert_eq!(refused["outcome"], json!({"code": "permission denied", "status": "denied"}), "{event}");
        assert_eq!((&refused["decision"]["effect"], &refused["effects"]), (&json!("deny"), &Value::Null));
    }
    // An error may quote what was sent: it stands in the event only.
    assert_eq!(of("r-15")["outcome"], json!({"status": "failure"}));
    // A login has nobody behind it before it is answered.
    assert_eq!(of("r-2/request")["executor"], json!({"type": "unknown"}));
}

#[test]
fn tokens_and_leases_come_and_go() {
    let effect = |event: &str| {
        let effects = of(event)["effects"].as_array().cloned().unwrap_or_default();
        assert_eq!(effects.len(), 1, "{event}");
        effects[0].clone()
    };
    let login = effect("r-2");
    assert_eq!(
        (&login["terms"]["change"], &login["credential"]["fingerprint"]),
        (&json!("issued"), &json!(hmac("b")))
    );
    assert_eq!(
        (&login["credential"]["parent"], &login["terms"]["expires"]),
        (&Value::Null, &json!("2026-11-20T10:59:30.000000Z"))
    );
    assert_eq!(login["terms"]["subject"]["key"], "vault:entity/7d2e3179-f69b-450c-7179-ac8ee8bd8ca9");

    let child = effect("r-5");
    assert_eq!(
        (&child["credential"]["fingerprint"], &child["credential"]["parent"]),
        (&json!(hmac("d")), &json!(hmac("b")))
    );
    assert_eq!(child["credential"]["expires"], "2026-11-20T10:10:00.123456Z");
    let renewed = &effect("r-6")["terms"];
    assert_eq!(
        (&renewed["change"], &renewed["expires"]),
        (&json!("renewed"), &json!("2026-11-20T12:00:00.123456Z"))
    );
    let revoked = effect("r-7");
    assert_eq!(
        (&revoked["terms"]["change"], &revoked["credential"]["id"]),
        (&json!("revoked"), &json!(hmac("c")))
    );

    let lease = "database/creds/orders-ro/4oU0b";
    let issued = effect("r-3");
    assert_eq!(
        (&issued["credential"]["id"], &issued["credential"]["parent"]),
        (&json!(lease), &json!(hmac("b")))
    );
    let ended = effect("r-8");
    assert_eq!((&ended["credential"]["id"], &ended["terms"]["change"]), (&json!(lease), &json!("revoked")));

    let wrapping = effect("r-12");
    assert_eq!(
        (&wrapping["credential"]["type"], &wrapping["credential"]["fingerprint"]),
        (&json!("wrapping_token"), &json!(hmac("e")))
    );
    let secret_id = effect("r-13");
    assert_eq!(
        (&secret_id["credential"]["type"], &secret_id["credential"]["fingerprint"]),
        (&json!("secret_id"), &json!(hmac("9")))
    );
}

#[test]
fn an_account_that_was_made_for_the_caller_is_known_by_its_name() {
    let lease = |entries: &str| {
        let all =
            records(Source::Vault, entries.as_bytes()).map(|found| value_of(&found.expect("maps").record));
        let mut issues = all.filter(|record| record["source"]["event_id"] == "r-3");
        issues.next().expect("a lease")["effects"][0].clone()
    };
    let username = |path: &str, name: &str| {
        VAULT
            .replace("database/creds/orders-ro\"", path)
            .replace(&format!("hmac-sha256:{}", "4".repeat(64)), name)
    };
    let made =
        lease(&username("database/creds/orders-ro\"", "v-kubernet-orders-r-x8Kd02nVq1ZtB7pLm4Ts-1795169100"));
    // As the mapping file of `docs/collectors.md` gives it for the database's log. Whose account it is there, nobody here can say.
    assert_eq!(
        (&made["credential"]["fingerprint"], &made["credential"]["id"], &made["terms"]["subject"]),
        (
            &json!("sha256:cd2a4f8ea45effd262fbe5da3c46ae4a35f7fff786686ad71ebaa85c2fdffee1"),
            &json!("database/creds/orders-ro/4oU0b"),
            &Value::Null
        )
    );
    // Not by an HMAC, not an account that others have too, not by a name that could be guessed.
    for entries in [
        VAULT.to_owned(),
        username("database/static-creds/orders-ro\"", "orders-read-only-application"),
        username("database/creds/orders-ro\"", "ann"),
    ] {
        let lease = lease(&entries);
        assert_eq!(lease["credential"]["fingerprint"], Value::Null);
        assert!(lease["terms"]["subject"]["key"].is_string());
    }
}

#[test]
fn rotations_secrets_and_policies() {
    for (event, kind, change, id) in [
        ("r-9", "credential", "rotated", json!("vault:database/rotate-role/orders")),
        ("r-10", "credential", "issued", json!("vault:secret/data/new")),
        ("r-11", "grant", "altered", Value::Null),
    ] {
        let effect = &of(event)["effects"][0];
        assert_eq!((&effect["kind"], &effect["terms"]["change"]), (&json!(kind), &json!(change)), "{event}");
        assert_eq!(effect["credential"]["id"], id, "{event}");
    }
    assert_eq!(of("r-11")["effects"][0]["terms"]["scopes"], json!(["release"]));
}

#[test]
fn an_entity_is_removed_by_its_id() {
    let of = |operation: &str, path: &str, data: Value| {
        let entry = json!({"time": "2026-11-20T10:00:00Z", "type": "response",
                           "request": {"id": "1", "operation": operation, "path": path, "data": data}});
        value_of(&vault::map(&entry.to_string()).expect("maps"))["effects"].take()
    };
    let path = "identity/entity/id/7d2e";
    for (operation, data, change) in [
        ("delete", Value::Null, "revoked"),
        ("update", json!({"disabled": true}), "revoked"),
        ("update", json!({"disabled": false}), "renewed"),
    ] {
        let effect = &of(operation, path, data)[0];
        assert_eq!((&effect["kind"], &effect["terms"]["change"]), (&json!("principal"), &json!(change)));
        assert_eq!(effect["terms"]["subject"]["key"], "vault:entity/7d2e");
    }
    assert_eq!(of("update", path, json!({"metadata": {}})), Value::Null);
    assert_eq!(of("read", path, Value::Null), Value::Null);
    assert_eq!(of("delete", "identity/entity/name/ann", Value::Null), Value::Null);
}

#[test]
fn a_token_in_clear_is_known_by_its_digest() {
    let token = of("r-14")["credential"]["fingerprint"].as_str().expect("a digest").to_owned();
    assert!(token.starts_with("sha256:") && token.len() == 71, "{token}");
}

#[test]
fn an_orphan_has_no_parent() {
    let parent = |path: &str, data: Value, orphan: bool| {
        let token = |letter: &str| json!({"client_token": hmac(letter), "display_name": "approle"});
        let mut made = token("d");
        made["orphan"] = json!(orphan);
        let entry = json!({"time": "2026-11-20T10:00:00Z", "type": "response", "auth": token("b"),
                           "request": {"id": "1", "operation": "update", "path": path, "data": data},
                           "response": {"auth": made}});
        let record = value_of(&vault::map(&entry.to_string()).expect("maps"));
        record["effects"][0]["credential"]["parent"].clone()
    };
    assert_eq!(parent("auth/token/create", json!({}), false), json!(hmac("b")));
    assert_eq!(parent("auth/token/create", json!({"no_parent": true}), false), Value::Null);
    assert_eq!(parent("auth/token/create-orphan", json!({}), false), Value::Null);
    assert_eq!(parent("auth/token/create/ci", json!({}), true), Value::Null);
}

#[test]
fn a_person_in_a_path_is_not_sealed() {
    for (path, uri) in [
        ("auth/userpass/login/ann", "vault:auth/userpass/login"),
        ("auth/corp/ldap/users/ann", "vault:auth/corp/ldap/users"),
        ("secret/data/users/db", "vault:secret/data/users/db"),
        ("auth/approle/login", "vault:auth/approle/login"),
    ] {
        let entry =
            json!({"time": "2026-11-20T10:00:00Z", "type": "request", "request": {"id": "1", "path": path}});
        let record = value_of(&vault::map(&entry.to_string()).expect("maps"));
        assert_eq!(record["resource"]["uri"], uri);
    }
}

#[test]
fn what_has_no_request_id_is_known_by_its_text() {
    let records = all();
    let health = records.iter().find(|record| record["operation"] == "system:read").expect("there");
    let id = health["source"]["event_id"].as_str().expect("an id");
    assert!(id.starts_with("sha256:"), "{id}");
    assert_eq!(health["action_event"], Value::Null);
    for (entry, error) in [
        (json!({"time": "2026-11-20T10:00:00Z"}), "field `type`: missing"),
        (
            json!({"time": "2026-11-20T10:00:00Z", "type": "x"}),
            "field `type`: expected `request` or `response`",
        ),
        (json!({"type": "request"}), "field `time`: missing"),
        (json!({"type": "request", "time": 1}), "field `time`: expected an RFC 3339 time, found a number"),
    ] {
        assert_eq!(vault::map(&entry.to_string()), Err(error.to_owned()));
    }
}

#[test]
fn a_token_that_nobody_named_is_known_by_its_accessor() {
    let of = |auth: Value| {
        let entry = json!({"time": "2026-11-20T10:00:00Z", "type": "request", "auth": auth,
                           "request": {"id": "1", "operation": "read", "path": "secret/data/x"}});
        value_of(&vault::map(&entry.to_string()).expect("maps"))["executor"]["key"].clone()
    };
    assert_eq!(of(json!({"display_name": "token", "accessor": "a-1"})), "vault:token/a-1");
    assert_eq!(of(json!({"display_name": "token"})), Value::Null);
    assert_eq!(of(json!({"display_name": "token", "accessor": "a-1", "entity_id": "e"})), "vault:entity/e");
}

#[test]
fn no_path_names_a_person_by_address() {
    let of = |path: &str| {
        let entry = json!({"time": "2026-11-20T10:00:00Z", "type": "request",
                           "request": {"id": "1", "operation": "read", "path": path}});
        value_of(&vault::map(&entry.to_string()).expect("maps"))["resource"]["uri"].clone()
    };
    assert_eq!(of("identity/entity/name/jane.doe@corp.example/x"), "vault:identity/entity/name/");
    assert_eq!(of("identity/entity/name/jane%40corp.example"), "vault:identity/entity/name/");
    for path in ["secret/data/pkg@1.2.3", "secret/@scope/x", "pki/sa@p.iam.gserviceaccount.com"] {
        assert_eq!(of(path), format!("vault:{path}"));
    }
}

#[test]
fn a_key_of_aws_is_one_with_its_lease() {
    let read = |path: &str, key: &str| {
        let entry = json!({"time": "2026-11-20T10:00:00Z", "type": "response", "auth": {"accessor": "a-1", "display_name": "ci"},
                           "request": {"id": "1", "operation": "read", "path": path},
                           "response": {"secret": {"lease_id": format!("{path}/9y")}, "data": {"access_key": key}}});
        value_of(&vault::map(&entry.to_string()).expect("maps"))["effects"].clone()
    };
    for (path, id, kind) in [
        ("aws/creds/deploy", "AKIAIOSFODNN7EXAMPLE", "access_key"),
        ("corp/aws/sts/deploy", "ASIAIOSFODNN7EXAMPLE", "temporary_key"),
    ] {
        let effects = read(path, id);
        let (lease, key) = (&effects[0]["credential"], &effects[1]["credential"]);
        assert_eq!((&lease["id"], &lease["type"]), (&json!(format!("{path}/9y")), &json!("lease")));
        // As CloudTrail has it.
        assert_eq!((&key["id"], &key["type"]), (&json!(id), &json!(kind)));
        assert!(key["fingerprint"].is_string() && key["fingerprint"] == lease["fingerprint"], "{effects:#}");
        assert_eq!((&key["parent"], &lease["parent"]), (&json!("a-1"), &json!("a-1")));
        assert_eq!(effects[1]["terms"], json!({"change": "issued"}));
    }
    // What the HMAC alone tells is joined to nothing, and other engines have keys of their own.
    assert_eq!(
        read("aws/creds/deploy", &format!("hmac-sha256:{}", "0".repeat(64))).as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(read("kv/data/deploy", "AKIAIOSFODNN7EXAMPLE").as_array().map(Vec::len), Some(1));
}
