//! `deed principal`, `deed blast`: who somebody is, and what a credential led to.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use serde_json::{Value, json};

use crate::support::Home;

const ROLE: &str = "aws:arn:aws:iam::1:role/release";

/// Event `number` as the log of `system` has it.
fn logged(number: u64, system: &str, more: Value) -> Value {
    let mut record = json!({
        "kind": "observation", "basis": "imported", "environment": "prod",
        "source": { "system": system, "event_id": format!("event-{number}") },
        "time": format!("2026-11-20T10:{:02}:{:02}Z", number / 60 % 60, number % 60),
        "outcome": { "status": "success" },
        "disclose": { "original": { "number": number } },
    });
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

fn uses(name: &str, executor: Value, operation: &str, resource: &str) -> Value {
    json!({ "credential": { "id": name }, "executor": executor, "operation": operation, "resource": { "uri": resource } })
}

/// `by` has `name` issued to `subject`, with credential `with`.
fn issues(by: Value, with: &str, name: &str, subject: Value) -> Value {
    json!({
        "credential": { "id": with }, "executor": by, "operation": "sts:AssumeRole",
        "effects": [{ "kind": "credential", "credential": { "id": name, "parent": with, "type": "temporary_key" },
                      "terms": { "change": "issued", "subject": subject } }],
    })
}

fn role() -> Value {
    json!({ "key": ROLE, "type": "service_account" })
}

fn user() -> Value {
    json!({ "key": "aws:arn:aws:iam::1:user/ci", "type": "unknown" })
}

fn append(home: &Home, records: &[Value]) {
    let all: String = records.iter().map(|record| record.to_string() + "\n").collect();
    home.run_with_input(["append", "-"], all.as_bytes()).good();
}

/// A key, a session of a role that came from it, and that session in the log of another system.
fn chain(home: &Home) {
    append(
        home,
        &[
            logged(1, "cloudtrail:1", issues(user(), "AKIA1", "ASIA1", role())),
            logged(2, "cloudtrail:1", uses("ASIA1", role(), "s3:GetObject", "arn:aws:s3:::data/a")),
            logged(
                3,
                "kubernetes:eks",
                uses("ASIA1", json!({ "key": "k8s:eks/release", "type": "unknown" }), "get", "k8s:/secrets"),
            ),
            // In circles.
            logged(4, "cloudtrail:1", issues(role(), "ASIA1", "ASIA2", role())),
            logged(5, "cloudtrail:1", issues(role(), "ASIA2", "ASIA1", role())),
            logged(6, "cloudtrail:1", uses("ASIA2", role(), "s3:GetObject", "arn:aws:s3:::data/a")),
        ],
    );
}

fn principal(home: &Home, key: &str) -> Value {
    home.run(["principal", "--json", key]).good().json()
}

fn aliases(answer: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rows = answer["aliases"].as_array().unwrap().iter();
    rows.map(|row| (text(&row["alias"]), text(&row["basis"]))).collect()
}

#[test]
fn the_same_key_in_two_systems_joins_and_the_inventory_takes_back() {
    let home = Home::new();
    chain(&home);
    let answer = principal(&home, "k8s:eks/release");
    let joined = aliases(&answer);
    assert_eq!(joined.keys().collect::<Vec<_>>(), [ROLE, "k8s:eks/release"], "{answer:#}");
    assert!(joined.values().any(|basis| basis == "learned"), "{joined:?}");
    let learned = answer["aliases"].as_array().unwrap().iter().find(|row| row["basis"] == "learned").unwrap();
    assert_eq!(learned["evidence"].as_array().unwrap().len(), 2);
    assert_eq!((&answer["type"], &answer["owner"]), (&"service_account".into(), &Value::Null));
    for same in [ROLE, answer["aliases"][0]["account"].as_str().unwrap()] {
        assert_eq!(principal(&home, same), answer, "{same}");
    }
    let credentials: BTreeSet<&str> = answer["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["credential"].as_str().unwrap())
        .collect();
    assert_eq!(credentials, BTreeSet::from(["ASIA1", "ASIA2"]));
    let places = answer["actions"]["by"].as_array().unwrap();
    assert_eq!(places.iter().map(|place| place["executed"].as_u64().unwrap()).sum::<u64>(), 5);
    assert_eq!(answer["acted_for"][0]["principal"], "aws:arn:aws:iam::1:user/ci", "{answer:#}");
    assert_eq!(
        (&answer["acted_for"][0]["basis"], &answer["acted_for"][0]["used"]),
        (&"learned".into(), &1.into())
    );
    assert_eq!(principal(&home, "aws:arn:aws:iam::1:user/ci")["acted_through"][0]["principal"], ROLE);

    home.write(
        "store/inventory.toml",
        format!(
            "[[principal]]\nkey = \"release-bot\"\ntype = \"agent\"\nname = \"Release bot\"\nowner = \"human:ann\"\n\
             sponsor = \"human:bob\"\naliases = [\"agent:release-bot\", \"{ROLE}\"]\n"
        ),
    );
    for name in ["release-bot", "agent:release-bot", ROLE, "k8s:eks/release"] {
        let answer = principal(&home, name);
        assert_eq!((&answer["key"], &answer["type"]), (&"release-bot".into(), &"agent".into()), "{name}");
        assert_eq!((&answer["owner"], &answer["sponsor"]), (&"human:ann".into(), &"human:bob".into()));
        let joined = aliases(&answer);
        assert_eq!((&*joined[ROLE], &*joined["agent:release-bot"]), ("declared", "declared"), "{joined:?}");
        assert_eq!(joined["k8s:eks/release"], "learned");
    }
    let inventory = std::fs::read_to_string(home.path("store/inventory.toml")).unwrap();
    home.write("store/inventory.toml", inventory + "not_same = [\"k8s:eks/release\"]\n");
    let answer = principal(&home, "release-bot");
    assert!(!aliases(&answer).contains_key("k8s:eks/release"), "{answer:#}");
    let unresolved = answer["unresolved"].to_string();
    assert!(unresolved.contains("k8s:eks/release") && unresolved.contains("not the same"), "{unresolved}");
    assert_eq!(principal(&home, "k8s:eks/release")["declared"], false);

    let text = home.run(["principal", "-v", "release-bot"]).good().out;
    for word in ["release-bot (Release bot)", "human:ann", ROLE, "declared", "ASIA1", "deed find --principal"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    home.run(["principal", "nobody:here"]).bad(3, &["nobody is known as `nobody:here`"]);
}

#[test]
fn a_person_and_an_agent_with_one_key_are_a_conflict() {
    let home = Home::new();
    let person = json!({ "key": "aws:arn:aws:iam::1:user/ann", "type": "human" });
    append(
        &home,
        &[
            logged(1, "cloudtrail:1", uses("AKIA1", person, "s3:GetObject", "arn:aws:s3:::data/a")),
            logged(
                2,
                "agents:1",
                uses("AKIA1", json!({ "key": "agent:coder", "type": "agent" }), "get", "x:/1"),
            ),
        ],
    );
    let answer = principal(&home, "agent:coder");
    assert_eq!(aliases(&answer).len(), 1);
    assert_eq!(answer["conflicts"][0]["with"], "aws:arn:aws:iam::1:user/ann", "{answer:#}");
    assert_eq!(answer["conflicts"][0]["evidence"].as_array().unwrap().len(), 2);
    assert_eq!(answer["credentials"][0]["shared"], true);
    assert!(home.run(["principal", "agent:coder"]).good().out.contains("not joined with"));
}

#[test]
fn what_is_corrected_counts_no_more_and_rebuilding_changes_nothing() {
    let home = Home::new();
    let key = |name: &str| uses("ASIA1", json!({ "key": name, "type": "unknown" }), "get", "k8s:/secrets");
    let wrong = logged(3, "kubernetes:eks", key("k8s:eks/wrong"));
    append(&home, &[logged(2, "cloudtrail:1", uses("ASIA1", role(), "s3:GetObject", "x:/1")), wrong]);
    assert_eq!(aliases(&principal(&home, ROLE)).len(), 2);
    let id = home.run(["find", "--json", "--executor", "k8s:eks/wrong"]).good().json_lines()[0]["id"].clone();
    let mut corrected = logged(3, "kubernetes:eks", key("k8s:eks/right"));
    corrected["supersedes"] = id;
    corrected["id"] = "019f92a4-7c00-7000-8000-0000000000aa".into();
    append(&home, &[corrected]);
    let answer = principal(&home, ROLE);
    assert_eq!(aliases(&answer).keys().collect::<Vec<_>>(), [ROLE, "k8s:eks/right"], "{answer:#}");
    home.run(["principal", "k8s:eks/wrong"]).bad(3, &["nobody is known"]);
    let rebuilt = home.run(["rebuild", "--json"]).good().json();
    let identities =
        rebuilt["rebuilt"].as_array().unwrap().iter().find(|part| part["name"] == "identities").unwrap();
    assert_eq!((&identities["same"], &rebuilt["same"]), (&true.into(), &true.into()), "{rebuilt:#}");
    assert_eq!(principal(&home, ROLE), answer);
    let kept = home.path("store/identity/state");
    assert!(kept.exists());
    home.run(["verify"]).good();
    // What is damaged is folded again, and is said.
    let mut bytes = std::fs::read(&kept).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&kept, bytes).unwrap();
    assert_eq!(principal(&home, ROLE), answer);
    let rebuilt = home.run(["rebuild", "--json"]).good().json();
    assert_eq!(rebuilt["same"], false, "{rebuilt:#}");
    assert_eq!(home.run(["rebuild", "--json"]).good().json()["same"], true);
}

#[test]
fn a_key_leads_to_everything_that_came_from_it() {
    let home = Home::new();
    chain(&home);
    let made = json!({ "key": "aws:arn:aws:iam::1:user/backdoor", "type": "unknown" });
    append(
        &home,
        &[
            logged(
                7,
                "cloudtrail:1",
                json!({
                    "credential": { "id": "ASIA2" }, "executor": role(), "operation": "iam:CreateUser",
                    "effects": [{ "kind": "principal", "terms": { "change": "issued", "subject": made } }],
                }),
            ),
            logged(
                8,
                "cloudtrail:1",
                uses("AKIA-BACKDOOR", made.clone(), "s3:DeleteBucket", "arn:aws:s3:::data"),
            ),
            // Before it was made, and somebody else's.
            logged(0, "cloudtrail:1", uses("AKIA-OTHER", made, "s3:ListBuckets", "arn:aws:s3:::data")),
            logged(9, "cloudtrail:1", uses("AKIA-STRANGER", user(), "s3:ListBuckets", "arn:aws:s3:::data")),
            logged(
                10,
                "cloudtrail:1",
                json!({
                    "executor": user(), "operation": "iam:Revoke",
                    "effects": [{ "kind": "credential", "credential": { "id": "ASIA2" }, "terms": { "change": "revoked" } }],
                }),
            ),
        ],
    );
    let answer = home.run(["blast", "--json", "AKIA1"]).good().json();
    let times = |list: &str| -> Vec<String> {
        answer[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["time"].as_str().unwrap()[17..19].to_owned())
            .collect()
    };
    assert_eq!(times("actions"), ["01"]);
    assert_eq!(times("downstream"), ["02", "03", "04", "05", "06", "07", "08"], "{answer:#}");
    assert_eq!(answer["credential"]["names"], json!(["AKIA1"]));
    let names = |list: &str| -> BTreeSet<String> {
        answer[list].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("revoke"), ["AKIA1", "ASIA1", "AKIA-BACKDOOR"].map(str::to_owned).into());
    assert_eq!(names("ended"), ["ASIA2".to_owned()].into());
    assert_eq!(names("systems"), ["cloudtrail:1", "kubernetes:eks"].map(str::to_owned).into());
    assert_eq!((&answer["counts"]["principals"], &answer["counts"]["bypassed"]), (&1.into(), &0.into()));
    assert_eq!(answer["counts"]["unverified"], 8, "{answer:#}");
    assert!(answer["bypasses"].as_array().unwrap().is_empty());
    // By the record of an action that used it, and a page at a time.
    let id = answer["actions"][0]["id"].as_str().unwrap();
    assert_eq!(home.run(["blast", "--json", id]).good().json()["counts"], answer["counts"]);
    let page = home.run(["blast", "--json", "--limit", "3", "AKIA1"]).good().json();
    assert_eq!((page["downstream"].as_array().unwrap().len(), &page["next"]), (3, &3.into()));
    assert_eq!(page["counts"], answer["counts"]);
    let text = home.run(["blast", "AKIA1"]).good().out;
    for word in [
        "revoke now",
        "behind it",
        "0 never approved",
        "no right known",
        "ASIA1",
        "touched most",
        "arn:aws:s3:::data/a",
        "s3:DeleteBucket",
        "suspend --credential AKIA1",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    home.run(["blast", "AKIA-NOBODY"]).bad(3, &["no record", "AKIA-NOBODY"]);
    home.run(["blast", "--tenant", "other", "AKIA1"]).bad(3, &["no record"]);
}

/// A leaked secret of one service principal; its token adds a secret to another, which signs in with it. The log of what was
/// changed names no credential, and the id of the call where that was logged, too.
#[test]
fn what_a_directory_logs_of_a_call_is_of_the_token_it_was_made_with() {
    let event = |number: u64, category: &str, properties: Value| {
        let time = format!("2026-11-20T10:{:02}:{:02}Z", number / 60, number % 60);
        let mut event =
            json!({ "time": time, "tenantId": "t-1", "category": category, "properties": properties });
        event["properties"]["id"] = json!(format!("e-{number}"));
        event
    };
    let signs_in = |number: u64, who: &str, secret: &str, token: &str| {
        let properties = json!({
            "servicePrincipalId": who, "servicePrincipalCredentialKeyId": secret, "uniqueTokenIdentifier": token,
            "signInEventTypes": ["servicePrincipal"], "status": { "errorCode": 0 }, "correlationId": format!("s-{number}"),
        });
        event(number, "ServicePrincipalSignInLogs", properties)
    };
    let calls = |number: u64, who: &str, token: &str, method: &str| {
        let properties = json!({
            "requestId": format!("call-{number}"), "servicePrincipalId": who, "signInActivityId": token,
            "requestMethod": method, "requestUri": "https://graph.microsoft.com/v1.0/x", "responseStatusCode": 200,
        });
        event(number, "MicrosoftGraphActivityLogs", properties)
    };
    let audited = |number: u64, who: &str, correlation: &str, what: &str, target: Value| {
        let properties = json!({
            "activityDisplayName": what, "result": "success", "correlationId": correlation,
            "initiatedBy": { "app": { "servicePrincipalId": who } }, "targetResources": [target],
        });
        event(number, "AuditLogs", properties)
    };
    let adds = |secret: &str| {
        let keys = json!([format!("[KeyIdentifier={secret},KeyType=Password,KeyUsage=Verify]")]).to_string();
        let modified = json!([{ "displayName": "KeyDescription", "oldValue": "[]", "newValue": keys }]);
        json!({ "type": "ServicePrincipal", "id": "sp-2", "modifiedProperties": modified })
    };
    let group = json!({ "type": "User", "id": "u-1", "modifiedProperties": [
        { "displayName": "Group.ObjectID", "newValue": "\"g-1\"" },
    ] });
    let mut records = vec![
        audited(1, "sp-1", "unseen-1", "Add member to group", group.clone()),
        signs_in(2, "sp-1", "secret-1", "token-1"),
        calls(3, "sp-1", "token-1", "POST"),
        audited(4, "sp-1", "call-3", "Add service principal credentials", adds("secret-2")),
        // Somebody else's call has another id.
        audited(5, "sp-9", "call-3", "Add service principal credentials", adds("secret-9")),
        signs_in(6, "sp-2", "secret-2", "token-2"),
        calls(7, "sp-2", "token-2", "GET"),
        audited(8, "sp-2", "unseen-2", "Add member to group", group),
    ];
    let mut told = Vec::new();
    for _ in 0..2 {
        let home = Home::new();
        let log = home.write("entra.json", json!({ "records": records }).to_string());
        home.run(["import", "entra", log.to_str().unwrap()]).good();
        let answer = home.run(["blast", "--json", "secret-1"]).good().json();
        let texts = |list: &str, member: &str| -> Vec<String> {
            let rows = answer[list].as_array().unwrap().iter();
            rows.map(|row| row[member].as_str().unwrap_or("-").to_owned()).collect()
        };
        assert_eq!(texts("revoke", "name"), ["secret-1", "token-1", "secret-2", "token-2"], "{answer:#}");
        assert_eq!(answer["revoke"][2]["parent"], "token-1");
        assert_eq!(texts("changed", "what"), ["token-1", "secret-2", "token-2"]);
        // The call and what was logged of it are one action.
        assert_eq!(texts("downstream", "operation"), ["graph/POST", "signIn/servicePrincipal", "graph/GET"]);
        // What was done on a call that nobody logged; not what was done before.
        assert_eq!(
            (&answer["counts"]["unnamed"], texts("unnamed", "what")),
            (&1.into(), vec!["entra:Group/g-1".into()])
        );
        let text = home.run(["blast", "secret-1"]).good().out;
        assert!(text.contains("besides") && text.contains("with what is not told"), "{text}");
        told.push(answer["counts"].clone());
        records.reverse();
    }
    assert_eq!(told[0], told[1], "whatever comes first");
}

/// A key that is stopped at Deed's doors goes on working everywhere else.
#[test]
fn whether_somebody_was_suspended_is_said() {
    let home = Home::with_migration();
    let who = "k8s:prod/orders/orders-migrator";
    let said = |command: &str, before: bool, words: &str| {
        let ran = home.run([command, who]).good();
        assert!(ran.err.contains(words), "{ran:?}");
        let again = home.run([command, who, "--json"]).good().json();
        assert_eq!(again["before"], before, "{again}");
    };
    said("resume", false, "nothing was suspended by that name");
    said("suspend", true, "");
    assert!(home.run(["suspend", who]).good().err.contains("suspended already"));
    said("resume", false, "");
}

#[test]
fn what_is_suspended_here_is_not_revoked_by_that() {
    let home = Home::new();
    let used = json!({
        "kind": "observation", "basis": "imported", "time": "2026-11-20T10:00:00Z",
        "source": { "system": "cloudtrail:1", "event_id": "event-1" }, "outcome": { "status": "success" },
        "executor": { "key": "aws:user/etl", "type": "service_account" },
        "credential": { "id": "AKIA1", "type": "access_key" }, "operation": "s3:GetObject",
    });
    home.run_with_input(["append", "-"], used.to_string().as_bytes()).good();
    let stands = || {
        let told = home.run(["principal", "--json", "aws:user/etl"]).good().json();
        let key = &told["credentials"][0];
        (key["state"].as_str().unwrap().to_owned(), key["suspended"].as_bool().unwrap())
    };
    let before = ("unknown".to_owned(), false);
    assert_eq!(stands(), before);
    home.run(["suspend", "--credential", "AKIA1", "--reason", "leaked"]).good();
    assert_eq!(stands(), ("unknown".to_owned(), true));
    let text = home.run(["principal", "aws:user/etl"]).good().out;
    assert!(text.contains("AKIA1   access_key, unknown, suspended here,"), "{text}");
    home.run(["resume", "--credential", "AKIA1"]).good();
    assert_eq!(stands(), before);
}

/// What the real samples hold, read without Deed: keys that were given out, who had them, who used them.
#[test]
fn real_sessions_are_followed_and_none_is_made_up() {
    let Some(samples) = std::env::var_os("DEED_DATA_SAMPLES") else {
        return println!("skipped: DEED_DATA_SAMPLES is not set");
    };
    let folder = PathBuf::from(samples).join("cloudtrail");
    let home = Home::new();
    home.run(["import", "cloudtrail", folder.to_str().unwrap()]).good();
    let mut issued: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut used: BTreeMap<String, u64> = BTreeMap::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|end| end != "json") {
            continue;
        }
        let events: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for event in events {
            if let Some(key) = event["userIdentity"]["accessKeyId"].as_str() {
                *used.entry(key.to_owned()).or_default() += 1;
            }
            let key = event["responseElements"]["credentials"]["accessKeyId"].as_str();
            if let (Some(key), Some(role)) = (key, event["requestParameters"]["roleArn"].as_str()) {
                let by = event["userIdentity"]["arn"].as_str().unwrap();
                issued.insert(key.to_owned(), (format!("aws:{by}"), format!("aws:{role}")));
            }
        }
    }
    assert_eq!((issued.len(), issued.keys().filter(|key| used.contains_key(*key)).count()), (8, 4));
    for (by, role) in issued.values().collect::<BTreeSet<_>>() {
        let keys: Vec<&String> =
            issued.iter().filter(|(_, pair)| (&pair.0, &pair.1) == (by, role)).map(|(key, _)| key).collect();
        let answer = principal(&home, by);
        assert_eq!(
            answer["aliases"].as_array().unwrap().len(),
            1,
            "whoever assumes a role is not that role: {answer:#}"
        );
        let links = answer["acted_through"].as_array().unwrap();
        let link =
            links.iter().find(|link| link["principal"] == **role && link["by"] == "credential").unwrap();
        assert_eq!(link["count"], keys.len(), "{link:#}");
        let seen = keys.iter().filter(|key| used.contains_key(**key)).count();
        assert_eq!((&link["used"], &link["basis"]), (&seen.into(), &"learned".into()), "{link:#}");
        assert_eq!(link["evidence"].as_array().unwrap().len(), 2, "the issue, and a use: {link:#}");
        let answer = principal(&home, role);
        assert!(answer["unresolved"].to_string().contains("never seen in use"), "{answer:#}");
        for row in answer["credentials"].as_array().unwrap() {
            let key = row["credential"].as_str().unwrap();
            assert_eq!(row["uses"], used.get(key).copied().unwrap_or(0), "{key}");
        }
    }
    // A long-lived key, and what it opened.
    let (key, (_, role)) = issued.iter().find(|(key, _)| used.contains_key(*key)).unwrap();
    let session = home.run(["blast", "--json", key]).good().json();
    assert_eq!(session["counts"]["actions"], used[key]);
    assert_eq!(session["credential"]["holder"], **role);
    for (key, uses) in &used {
        assert_eq!(home.run(["blast", "--json", key]).good().json()["counts"]["actions"], *uses, "{key}");
    }
    assert_eq!(home.run(["rebuild", "--json"]).good().json()["same"], true);
}

#[test]
fn who_had_a_database_user_made_is_behind_it() {
    const LEASE: &str = "database/creds/orders-ro/4oU0b";
    const USER: &str = "v-kubernet-orders-r-x8Kd02nVq1ZtB7pLm4Ts-1795169100";
    const ENTITY: &str = "vault:entity/7d2e3179-f69b-450c-7179-ac8ee8bd8ca9";
    let documentation = include_str!("../../../../docs/collectors.md");
    let section = documentation.split("\n## Mapping files").nth(1).unwrap();
    let blocks: Vec<&str> = section.split("```").skip(1).step_by(2).skip(6).take(2).collect();
    let [mapping, rows] = [blocks[0], blocks[1]].map(|block| block.split_once('\n').unwrap().1);
    assert!(rows.contains(USER));
    let entry = |number: u64, time: &str, path: &str, response: Value| {
        let hashed = |digit: &str| format!("hmac-sha256:{}", digit.repeat(64));
        let auth = json!({
            "accessor": hashed("a"), "client_token": hashed("b"), "display_name": "kubernetes-shop-release-bot",
            "entity_id": ENTITY.rsplit('/').next(), "policies": ["orders"],
        });
        let request = json!({ "id": format!("r-{number}"), "operation": "update", "path": path, "mount_type": "database" });
        json!({ "time": time, "type": "response", "auth": auth, "request": request, "response": response })
            .to_string()
    };
    let made =
        json!({ "mount_type": "database", "secret": { "lease_id": LEASE }, "data": { "username": USER } });
    let vault = [
        entry(1, "2026-11-20T10:00:00Z", "database/creds/orders-ro", made),
        entry(2, "2026-11-20T10:30:00Z", &format!("sys/leases/revoke/{LEASE}"), json!({})),
    ];
    for database_first in [false, true] {
        let home = Home::new();
        let (mapping, rows) = (home.write("orders.toml", mapping), home.write("orders.csv", rows));
        let vault = home.write("vault.log", vault.join("\n"));
        let mut imports = [
            vec!["import", "vault", vault.to_str().unwrap()],
            vec!["import", "--mapping", mapping.to_str().unwrap(), rows.to_str().unwrap()],
        ];
        if database_first {
            imports.reverse();
        }
        imports.iter().for_each(|import| drop(home.run(import.clone()).good()));
        let found = home.run(["find", "--json", "--resource", "db:orders/public.customers"]).good().json();
        let explained = home.run(["explain", "--json", found["id"].as_str().unwrap()]).good().json();
        assert_eq!(
            (&explained["initiator"]["key"], &explained["initiator"]["edge"]),
            (&ENTITY.into(), &"inferred".into()),
            "{explained:#}"
        );
        // The lease held; it is by the name of the lease that it ends.
        assert_eq!(explained["verdict"]["authority"]["value"], "unverified");
        let account = format!("postgres:orders/{USER}");
        let row = &principal(&home, &account)["acted_for"][0];
        assert_eq!(
            (&row["principal"], &row["basis"], &row["used"]),
            (&ENTITY.into(), &"learned".into(), &1.into())
        );
        assert_eq!(row["evidence"].as_array().unwrap().len(), 2);
        assert_eq!(principal(&home, ENTITY)["acted_through"][0]["principal"], account.as_str());
        let blast = home.run(["blast", "--json", LEASE]).good().json();
        let led_to = blast["actions"].as_array().unwrap();
        assert!(led_to.iter().any(|action| action["id"] == found["id"]), "{blast:#}");
    }
}
