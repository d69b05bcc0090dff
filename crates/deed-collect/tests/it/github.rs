//! Events of GitHub's audit log and their records.

use deed_collect::{Source, github, records};
use serde_json::{Value, json};

use crate::{GITHUB, value_of};

/// The fixture's record of this event.
fn of(event_id: &str) -> Value {
    let found =
        records(Source::GitHub, GITHUB.as_bytes()).map(|found| value_of(&found.expect("maps").record));
    let mut found = found.filter(|record| record["source"]["event_id"] == event_id);
    found.next().unwrap_or_else(|| panic!("no {event_id}"))
}

#[test]
fn a_token_has_the_fingerprint_that_deed_gives_it() {
    let push = of("d-1");
    // The SHA-256 of `ghp_a1B2…`, which GitHub writes in base64.
    let fingerprint = "sha256:4a15b04cb7d210f268a833cbc41da641367d9d633855742f33185b1041b3b2fe";
    assert_eq!(
        push["credential"],
        json!({"fingerprint": fingerprint, "id": "github:token/4711", "issuer": "github.com",
               "scopes": ["repo", "workflow"], "type": "personal_access_token"})
    );
    assert_eq!(push["executor"], json!({"key": "github:ann", "name": "ann", "type": "unknown"}));
    assert_eq!(
        (&push["operation"], &push["time"]),
        (&json!("git.push"), &json!("2026-11-20T10:00:00.123000Z"))
    );
    assert_eq!(push["resource"], json!({"type": "repository", "uri": "github:acme/shop"}));
    assert_eq!(push["source"]["system"], "github:acme");
    assert_eq!(push["personal"], json!({"address": "203.0.113.5"}), "a user agent is no device");
}

#[test]
fn an_application_acts_for_the_user_who_authorised_it() {
    let update = of("d-8");
    assert_eq!(update["initiator"]["key"], "github:ann");
    assert_eq!(
        update["executor"],
        json!({"key": "github:apps/77", "name": "Initech Deploy", "type": "third_party"})
    );
    // What is no digest is no fingerprint.
    assert_eq!(update["credential"], json!({"issuer": "github.com", "type": "oauth_token"}));
    assert_eq!(of("d-7")["executor"]["type"], "workload");
    assert_eq!(of("d-7")["credential"]["type"], "github_app_token");
}

#[test]
fn what_an_event_is_about_is_not_what_the_actor_showed() {
    let of = |event: Value| value_of(&github::map(&event.to_string()).expect("maps"));
    let about = |action: &str, shown: Value| {
        let mut event = json!({"action": action, "@timestamp": 1795168800123_i64, "actor": "boss", "user": "ann",
                               "org": "acme", "token_id": 555, "token_scopes": "repo"});
        event.as_object_mut().expect("an object").extend(shown.as_object().expect("an object").clone());
        of(event)
    };
    for action in ["personal_access_token.access_granted", "org_credential_authorization.revoke"] {
        let granted = about(action, json!({}));
        assert_eq!(granted["credential"], Value::Null, "{action}");
        assert_eq!(granted["effects"][0]["credential"]["id"], "github:token/555", "{action}");
    }
    let hash = "ShWwTLfSEPJoqDPLxB2mQTZ9nWM4VXQvMxhbEEGzsv4=";
    let shown =
        json!({"hashed_token": hash, "programmatic_access_type": "Fine-grained personal access token"});
    let revoked = about("personal_access_token.access_revoked", shown);
    assert!(revoked["credential"]["fingerprint"].is_string());
    assert_eq!(revoked["credential"]["id"], Value::Null);

    // The application that got a token did not act when it got it.
    let app = json!({"programmatic_access_type": "OAuth access token", "oauth_application_id": 77});
    let created = about("oauth_access.create", app);
    assert_eq!((&created["executor"]["key"], &created["initiator"]), (&json!("github:boss"), &Value::Null));
    let effect = &created["effects"][0];
    assert_eq!(effect["terms"]["subject"]["key"], "github:apps/77");
    assert_eq!(effect["credential"]["id"], "github:token/555");
}

#[test]
fn changes_of_authority_are_effects() {
    for (event, kind, change, id, subject) in [
        ("d-2", "credential", "issued", json!("github:token/815"), json!("github:ann")),
        ("d-3", "credential", "revoked", json!("github:token/815"), json!("github:ann")),
        ("d-4", "grant", "issued", Value::Null, json!("github:bob")),
        (
            "d-5",
            "credential",
            "issued",
            json!("github:acme/shop/environments/prod/actions/secrets/DEPLOY_KEY"),
            Value::Null,
        ),
        ("d-9", "grant", "issued", Value::Null, json!("github:apps/Initech Bot")),
        ("d-12", "credential", "issued", json!("github:key/31"), Value::Null),
    ] {
        let effect = &of(event)["effects"][0];
        assert_eq!((&effect["kind"], &effect["terms"]["change"]), (&json!(kind), &json!(change)), "{event}");
        assert_eq!(
            (&effect["credential"]["id"], &effect["terms"]["subject"]["key"]),
            (&id, &subject),
            "{event}"
        );
    }
    let approval = of("d-6");
    assert_eq!((&approval["environment"], &approval["session"]), (&json!("prod"), &json!("workflow_run/55")));
    let terms = &approval["effects"][0]["terms"];
    assert_eq!((&terms["answer"], &terms["by"]["key"]), (&json!("approved"), &json!("github:carol")));
    assert_eq!(of("d-10")["effects"], Value::Null);
}

#[test]
fn an_event_says_how_it_ended_where_it_was_stopped() {
    assert_eq!(of("d-10")["outcome"]["status"], "success");
    assert_eq!(of("d-11")["outcome"]["status"], "denied");
    assert_eq!(of("d-13")["outcome"], json!({"code": "failure", "status": "failure"}));
}

#[test]
fn an_event_without_an_id_is_known_by_its_text() {
    let last = records(Source::GitHub, GITHUB.as_bytes()).last().expect("there").expect("maps").record;
    let last = value_of(&last);
    assert!(last["source"]["event_id"].as_str().is_some_and(|id| id.starts_with("sha256:")));
    assert_eq!(last["time"], "2026-11-20T10:00:13.500000Z");
    assert_eq!(last["effects"][0]["terms"]["change"], "revoked");
    for (event, error) in [
        (json!({"@timestamp": 1}), "field `action`: missing"),
        (json!({"action": "x"}), "field `@timestamp`: missing"),
        (json!({"action": "x", "@timestamp": 1e300}), "field `@timestamp`: expected milliseconds since 1970"),
        (json!({"action": "x", "created_at": []}), "field `created_at`: expected a time, found a list"),
        (json!({"action": 7}), "field `action`: expected a text, found a number"),
    ] {
        assert_eq!(github::map(&event.to_string()), Err(error.to_owned()));
    }
}

#[test]
fn a_run_is_joined_to_what_was_approved_of_it() {
    let run = |action: &str, more: Value| {
        let mut event = json!({ "action": action, "@timestamp": 1_794_300_000_000_i64, "_document_id": action,
                                "actor": "ann", "org": "acme", "repo": "acme/web", "workflow_run_id": 77 });
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        value_of(&github::map(&event.to_string()).expect("maps"))
    };
    let created = run("workflows.created_workflow_run", json!({}));
    let approved =
        run("workflows.approve_workflow_job", json!({ "actor": "bob", "environment_name": "prod" }));
    let again = run("workflows.rerun_workflow_run", json!({ "actor": "eve", "run_attempt": 2 }));
    assert_eq!((&again["request"], &again["executor"]["key"]), (&created["request"], &json!("github:eve")));
    let effect = &again["effects"][0];
    assert_eq!((&effect["kind"], &effect["terms"]["change"]), (&json!("request"), &json!("renewed")));
    let refused = run("workflows.reject_workflow_job", json!({ "actor": "bob" }));
    let completed = run("workflows.completed_workflow_run", json!({ "conclusion": "success" }));
    let request = &created["request"];
    assert!(request.is_string(), "{created}");
    assert_eq!(
        (&approved["request"], &refused["request"], &completed["request"]),
        (request, request, request)
    );
    assert_eq!(created["effects"][0]["kind"], "request");
    assert_eq!(created["effects"][0]["terms"]["by"]["key"], "github:ann");
    assert_eq!(approved["effects"][0]["terms"]["answer"], "approved");
    assert!(completed["effects"].is_null());
    // A run that failed may have failed before anybody was asked; and another run is another request.
    let failed = run("workflows.completed_workflow_run", json!({ "conclusion": "failure" }));
    assert!(failed["request"].is_null(), "{failed}");
    let other = run("workflows.created_workflow_run", json!({ "workflow_run_id": 78 }));
    assert_ne!(&other["request"], request);
    let elsewhere = run("workflows.created_workflow_run", json!({ "org": "other", "repo": "other/web" }));
    assert_ne!(&elsewhere["request"], request);
}

#[test]
fn a_role_given_anew_replaces_the_one_before() {
    let event = json!({"action": "org.update_member", "@timestamp": 1795168800123_i64, "actor": "carol", "org": "acme",
                       "user": "dave", "permission": "admin", "old_permission": "read"});
    let record = value_of(&github::map(&event.to_string()).expect("maps"));
    let told = |at: usize| {
        let terms = &record["effects"][at]["terms"];
        (terms["change"].clone(), terms["role"].clone(), terms["subject"]["key"].clone())
    };
    assert_eq!(told(0), (json!("revoked"), Value::Null, json!("github:dave")));
    assert_eq!(told(1), (json!("issued"), json!("admin"), json!("github:dave")));
}

#[test]
fn whoever_lets_a_token_in_approves_what_its_maker_asked_for() {
    let of = |action: &str, actor: &str| {
        let event = json!({"action": action, "@timestamp": 1795168800123_i64, "actor": actor, "org": "acme",
                           "user": "dave", "token_id": 8});
        value_of(&github::map(&event.to_string()).expect("maps"))
    };
    let asked = of("personal_access_token.request_created", "dave");
    let granted = of("personal_access_token.access_granted", "carol");
    assert_eq!((&asked["request"], asked["request"].is_string()), (&granted["request"], true));
    assert_eq!(
        (&granted["initiator"]["key"], &granted["executor"]["key"]),
        (&json!("github:dave"), &json!("github:carol"))
    );
    let approval = &granted["effects"][1]["terms"];
    assert_eq!((&approval["answer"], &approval["by"]["key"]), (&json!("approved"), &json!("github:carol")));
    assert_eq!(of("personal_access_token.access_granted", "dave")["initiator"], Value::Null);
}

#[test]
fn what_everybody_may_read_is_public_and_who_comes_back_is_a_member_again() {
    let map = |event: Value| value_of(&deed_collect::github::map(&event.to_string()).expect("maps"));
    let event = |action: &str| json!({"@timestamp": 1795176000000_i64, "_document_id": "1", "action": action, "actor": "bob", "org": "acme"});
    let mut clone = event("git.clone");
    clone["repo"] = json!("acme/oss");
    assert_eq!(map(clone.clone())["resource"]["classification"], Value::Null);
    clone["repository_public"] = json!(true);
    assert_eq!(map(clone)["resource"]["classification"], "public");
    let mut restored = event("org.restore_member");
    restored["user"] = json!("ann");
    assert_eq!(map(restored)["effects"][0]["terms"]["change"], "renewed");
}

#[test]
fn who_pays_no_more_may_be_a_member_still() {
    let role = |action: &str| {
        let event = json!({"action": action, "@timestamp": 1795168800123_i64, "actor": "boss", "user": "ann", "org": "acme"});
        let record = value_of(&github::map(&event.to_string()).expect("maps"));
        assert_eq!(record["effects"][0]["resource"]["uri"], record["source"]["system"], "{action}");
        record["effects"][0]["terms"]["role"].clone()
    };
    assert_eq!(role("org.remove_billing_manager"), "billing_manager");
    assert_eq!(role("org.remove_member"), Value::Null);
}

#[test]
fn a_key_is_known_by_its_fingerprint() {
    let of = |event: Value| value_of(&github::map(&event.to_string()).expect("maps"));
    let event = |action: &str, more: Value| {
        let mut event =
            json!({"action": action, "@timestamp": 1795168800123_i64, "actor": "mallory", "org": "acme"});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        of(event)
    };
    let written = "SHA256:oVkwcIXwSc+fPzoGgHZH7miFHMuKgNGqLChKtPuyjBs";
    let digest = "sha256:a159307085f049cf9f3f3a06807647ee68851ccb8a80d1aa2c284ab4fbb28c1b";
    let made = |more: Value| event("deploy_key.create", more)["effects"][0]["credential"].clone();
    let key = made(json!({"repo": "acme/pay", "deploy_key_fingerprint": written}));
    assert_eq!(
        (&key["id"], &key["fingerprint"], &key["type"]),
        (&json!(format!("github:key/{written}")), &json!(digest), &json!("deploy_key"))
    );
    // Its number names it too, where there is one.
    let key = made(json!({"repo": "acme/pay", "public_key_id": 31, "fingerprint": written}));
    assert_eq!((&key["id"], &key["fingerprint"]), (&json!("github:key/31"), &json!(digest)));
    let key = made(json!({"fingerprint": "43:51:43:a1:b5:fc:8b:b7:0a:3a:a9:b1:0f:66:73:a8"}));
    assert_eq!(
        (&key["id"], &key["fingerprint"]),
        (&json!("github:key/43:51:43:a1:b5:fc:8b:b7:0a:3a:a9:b1:0f:66:73:a8"), &Value::Null)
    );
    // What is done with it is done with the same key; what makes it is done with something else.
    let push = event(
        "git.push",
        json!({"repo": "acme/pay", "deploy_key_fingerprint": written, "programmatic_access_type": "Deploy key"}),
    );
    assert_eq!(
        push["credential"],
        json!({"fingerprint": digest, "issuer": "github.com", "type": "deploy_key"})
    );
    assert_eq!(
        event("deploy_key.create", json!({"deploy_key_fingerprint": written}))["credential"],
        Value::Null
    );
}
