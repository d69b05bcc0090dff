//! Kubernetes audit events and their records.

use deed_collect::{Source, kubernetes, records};
use serde_json::{Value, json};

use crate::{KUBERNETES, KUBERNETES_AKS, KUBERNETES_EKS, KUBERNETES_GKE, KUBERNETES_LIST, value_of};

fn all(text: &str) -> Vec<Value> {
    records(Source::Kubernetes, text.as_bytes())
        .filter_map(|found| found.ok().map(|mapped| value_of(&mapped.record)))
        .collect()
}

/// The fixture's record of this event.
fn of(event_id: &str) -> Value {
    let all = all(KUBERNETES);
    let mut found = all.into_iter().filter(|record| record["source"]["event_id"] == event_id);
    found.next().unwrap_or_else(|| panic!("no {event_id}"))
}

#[test]
fn stages_of_a_call_are_one_action_in_any_order() {
    let (received, done) = (of("a-1/RequestReceived"), of("a-1"));
    assert_eq!((&received["action_event"], &done["action_event"]), (&json!("a-1"), &Value::Null));
    assert_eq!((&received["outcome"], &received["effects"]), (&Value::Null, &Value::Null));
    assert_eq!(done["outcome"], json!({"code": "200", "duration_ms": 41, "status": "success"}));
    assert_eq!(done["time"], "2026-11-20T10:00:00.000000Z");
    // A watch that goes on has been answered and has not ended.
    let started = of("a-2/ResponseStarted");
    assert_eq!((&started["action_event"], &started["outcome"]["status"]), (&json!("a-2"), &json!("unknown")));
    assert_eq!(started["time"], "2026-11-20T10:00:01.000000Z");
    // A panic is an end too.
    let panic = of("a-11");
    assert_eq!((&panic["action_event"], &panic["outcome"]["code"]), (&Value::Null, &json!("Panic")));
    assert_eq!(panic["resource"], json!({"uri": "kubernetes:healthz"}));
}

#[test]
fn a_call_names_who_made_it_with_what_and_why_it_was_let_through() {
    let call = of("a-1");
    assert_eq!(
        call["executor"],
        json!({"key": "kubernetes:system:serviceaccount:shop:release-bot", "name": "system:serviceaccount:shop:release-bot",
               "type": "service_account", "instance": "release-bot-7d9c"})
    );
    assert_eq!(call["credential"], json!({"jti": "5f3f8c2e-0000-4000-8000-000000000001", "type": "bearer"}));
    assert_eq!(
        call["decision"],
        json!({"effect": "allow", "policies": ["RoleBinding/deployers/shop", "Role/deployer"]})
    );
    assert_eq!(
        (&call["operation"], &call["permission"]),
        (&json!("update deployments.apps"), &json!("update deployments.apps"))
    );
    assert_eq!(
        call["resource"],
        json!({"type": "deployments.apps", "uri": "kubernetes:namespaces/shop/deployments.apps/web"})
    );
    // What stands before the last address is what the client said.
    assert_eq!(call["personal"]["address"], "10.0.3.9");

    let refused = of("a-3");
    assert_eq!(refused["outcome"]["status"], "denied");
    assert_eq!(
        (&refused["outcome"]["code"], &refused["decision"]["effect"]),
        (&json!("Forbidden"), &json!("deny"))
    );
    assert_eq!(refused["credential"]["fingerprint"], format!("sha256:{}", "5a".repeat(32)));

    let proxied = of("a-4");
    assert_eq!(proxied["terms"]["subject"]["key"], "kubernetes:ann@example.com");
    assert_eq!(proxied["executor"]["type"], "service_account");
}

#[test]
fn a_caller_from_iam_is_a_hop_that_cloudtrail_knows() {
    let call = of("a-7");
    assert_eq!(
        call["chain"],
        json!([{"credential": "ASIAEXAMPLE00000000A", "principal": {
            "key": "aws:arn:aws:iam::111122223333:role/ops", "name": "ops", "type": "service_account", "instance": "build-7"}}])
    );
    assert_eq!(call["credential"]["id"], "ASIAEXAMPLE00000000A");
    assert_eq!(call["executor"]["key"], "kubernetes:kubernetes-admin");
}

#[test]
fn a_role_binding_that_is_told_anew_leaves_nobody_else_in_it() {
    let event = |verb: &str, response: Value| {
        let event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "auditID": "u-1",
            "stage": "ResponseComplete", "requestURI": "/x", "verb": verb, "user": { "username": "carol" },
            "objectRef": { "resource": "rolebindings", "namespace": "pay", "name": "rb",
                           "apiGroup": "rbac.authorization.k8s.io", "apiVersion": "v1" },
            "responseStatus": { "code": 200 }, "requestReceivedTimestamp": "2026-11-10T10:30:00.000000Z",
            "stageTimestamp": "2026-11-10T10:30:00.000000Z", "responseObject": response,
        });
        let record = all(&event.to_string()).remove(0);
        let terms = |effect: &Value| {
            (
                effect["terms"]["change"].clone(),
                effect["terms"]["subject"]["key"].clone(),
                effect["resource"]["uri"].clone(),
            )
        };
        let effects: Vec<_> = record["effects"].as_array().expect("effects").iter().map(terms).collect();
        (record["resource"]["uri"].clone(), effects)
    };
    let whole = |subjects: Value| {
        json!({ "kind": "RoleBinding", "metadata": { "name": "rb", "namespace": "pay" }, "subjects": subjects,
                "roleRef": { "kind": "Role", "name": "reader" } })
    };
    let app = json!([{ "kind": "ServiceAccount", "name": "app", "namespace": "pay" }]);
    for verb in ["update", "patch"] {
        let (binding, effects) = event(verb, whole(app.clone()));
        let key = json!("kubernetes:system:serviceaccount:pay:app");
        let member = (json!("altered"), key, json!("kubernetes:namespaces/pay/*"));
        assert_eq!(effects, [member, (json!("altered"), Value::Null, binding)]);
    }
    let (binding, effects) = event("update", whole(json!([])));
    assert_eq!(effects, [(json!("revoked"), Value::Null, binding.clone())]);
    // Below that level nobody can tell.
    let (_, effects) = event("patch", json!({ "kind": "RoleBinding" }));
    assert_eq!(effects, [(json!("altered"), Value::Null, binding)]);
    let (_, effects) = event("create", whole(app));
    assert_eq!(effects.len(), 1);
    // One of another namespace has the right in that of the binding.
    let theirs = json!([{ "kind": "ServiceAccount", "name": "app", "namespace": "shop" }]);
    let (_, effects) = event("create", whole(theirs));
    let key = json!("kubernetes:system:serviceaccount:shop:app");
    assert_eq!(effects, [(json!("issued"), key, json!("kubernetes:namespaces/pay/*"))]);
}

#[test]
fn changes_of_authority_are_effects() {
    let token = &of("a-5")["effects"][0];
    assert_eq!((&token["kind"], &token["terms"]["change"]), (&json!("credential"), &json!("issued")));
    assert_eq!(token["credential"]["jti"], "5f3f8c2e-0000-4000-8000-000000000002");
    assert_eq!(token["credential"]["parent"], Value::Null);
    assert_eq!(token["terms"]["expires"], "2026-11-20T11:00:00.000000Z");
    assert_eq!(token["terms"]["subject"]["key"], "kubernetes:system:serviceaccount:shop:release-bot");

    let given = of("a-6");
    assert_eq!(given["resource"]["uri"], "kubernetes:clusterrolebindings.rbac.authorization.k8s.io/bots");
    let subjects: Vec<_> = given["effects"]
        .as_array()
        .expect("two")
        .iter()
        .map(|effect| &effect["terms"]["subject"]["key"])
        .collect();
    assert_eq!(subjects, ["kubernetes:system:serviceaccount:shop:release-bot", "kubernetes:group/devs"]);
    assert_eq!(given["effects"][0]["terms"]["role"], "kubernetes:ClusterRole/edit");
    assert_eq!(given["effects"][0]["resource"]["uri"], "kubernetes:*");

    let taken = &of("a-7")["effects"][0];
    assert_eq!((&taken["kind"], &taken["terms"]["change"]), (&json!("grant"), &json!("revoked")));
    let account = &of("a-8")["effects"][0];
    assert_eq!((&account["kind"], &account["terms"]["change"]), (&json!("principal"), &json!("issued")));
    assert_eq!(account["terms"]["subject"]["key"], "kubernetes:system:serviceaccount:shop:new-bot");
    let secret = &of("a-9")["effects"][0];
    assert_eq!(secret["credential"]["id"], "kubernetes:namespaces/shop/secrets/db");
    assert_eq!(secret["terms"]["change"], "rotated");
    // Neither a refusal nor a rehearsal changes anything.
    for event in ["a-3", "a-10", "a-12"] {
        assert_eq!(of(event)["effects"], Value::Null, "{event}");
    }
}

#[test]
fn what_the_clouds_put_around_an_event_tells_the_cluster() {
    let plain = of("a-1");
    for (text, cluster) in [
        (KUBERNETES_EKS, "111122223333/prod"),
        (KUBERNETES_AKS, "0b1f6471-1bf0-4dda-aec3-cb9272f09590/shop/prod"),
    ] {
        let found: Vec<_> = records(Source::Kubernetes, text.as_bytes()).collect();
        assert_eq!((found.len(), found.iter().filter(|found| found.is_ok()).count()), (3, 2), "{cluster}");
        let record = &all(text)[0];
        assert_eq!(record["source"]["system"], format!("kubernetes:{cluster}"));
        assert_eq!(record["source"]["event_id"], "a-1");
        let key = format!("kubernetes:{cluster}/system:serviceaccount:shop:release-bot");
        assert_eq!(record["executor"]["key"], key);
        // The event alone is kept, as it came: the same bytes as in the cluster's own log.
        assert_eq!(record["disclose"], plain["disclose"]);
    }
    let list = all(KUBERNETES_LIST);
    assert_eq!((list.len(), &list[1]), (2, &plain));
}

#[test]
fn entries_of_cloud_logging() {
    let entries = all(KUBERNETES_GKE);
    assert_eq!(entries.len(), 5);
    let exec = &entries[0];
    assert_eq!(
        exec["source"],
        json!({"collector": "kubernetes/7", "event_id": "g-1", "system": "kubernetes:acme/europe-west1/prod"})
    );
    assert_eq!(exec["operation"], "create pods/exec");
    assert_eq!(exec["resource"]["uri"], "kubernetes:acme/europe-west1/prod/namespaces/shop/pods/web-1/exec");
    assert_eq!(
        exec["decision"]["policies"],
        json!(["ClusterRoleBinding/cluster-admins", "ClusterRole/cluster-admin"])
    );
    assert_eq!(
        (&exec["outcome"]["status"], &exec["personal"]["address"]),
        (&json!("success"), &json!("203.0.113.5"))
    );

    let refused = &entries[1];
    assert_eq!(refused["outcome"], json!({"code": "PERMISSION_DENIED", "status": "denied"}));
    assert_eq!((&refused["decision"]["effect"], &refused["effects"]), (&json!("deny"), &Value::Null));
    assert_eq!(refused["executor"]["type"], "service_account");
    assert_eq!(refused["chain"][0]["principal"]["name"], "ann@example.com");

    // What takes long is logged when it begins and when it is over.
    let ids: Vec<_> = entries[2..4].iter().map(|e| (&e["source"]["event_id"], &e["action_event"])).collect();
    assert_eq!(ids, [(&json!("op-3/first"), &json!("op-3")), (&json!("op-3"), &Value::Null)]);
    assert_eq!(entries[4]["source"]["event_id"], "g-4");
    assert_eq!(entries[4]["effects"][0]["terms"]["change"], "rotated");
}

#[test]
fn what_is_no_event_is_refused_by_field() {
    let refused: Vec<_> =
        records(Source::Kubernetes, KUBERNETES.as_bytes()).filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].line, &*refused[0].error), (14, "field `requestReceivedTimestamp`: missing"));
    for (event, error) in [
        (json!({"kind": "Event", "stage": "Panic"}), "field `auditID`: missing"),
        (json!({"kind": "Pod"}), "field `kind`: expected `Event`, found another kind of object"),
        (
            json!({"auditID": "1", "stageTimestamp": "9999-01-01T00:00:00Z"}),
            "expected a time from 1970 to 2199",
        ),
        (json!({"protoPayload": {}}), "field `insertId`: missing"),
        (json!({"properties": {"log": 1}}), "field `properties.log`: expected an event"),
        (
            json!({"category": "guard", "properties": {"log": "{}"}}),
            "expected an event of the category `kube-audit`",
        ),
        (json!({"logEvents": [{"message": 1}]}), "message 0, field `message`"),
    ] {
        let found = kubernetes::map(&event.to_string());
        assert_eq!(found.len(), 1);
        let told = found[0].as_ref().expect_err("no event");
        assert!(told.contains(error), "{told}");
    }
}

#[test]
fn a_dry_run_is_told_as_one() {
    let event = |uri: &str, sent: Value| {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Request", "auditID": "a-1", "stage": "ResponseComplete",
            "requestURI": uri, "verb": "create", "user": { "username": "ann" },
            "objectRef": { "resource": "deployments", "namespace": "shop", "apiGroup": "apps" },
            "responseStatus": { "code": 201 }, "requestReceivedTimestamp": "2026-11-10T09:10:00.000000Z", "requestObject": sent,
        })
    };
    let step = |uri: &str, sent: Value| all(&event(uri, sent).to_string())[0]["step_type"].clone();
    assert_eq!(step("/apis/apps/v1/namespaces/shop/deployments?dryRun=All&x=1", json!({})), "policy_check");
    assert_eq!(
        step("/apis/apps/v1/namespaces/shop/deployments", json!({ "dryRun": ["All"] })),
        "policy_check"
    );
    assert_eq!(step("/apis/apps/v1/namespaces/shop/deployments?fieldManager=x", json!({})), Value::Null);
}

#[test]
fn an_account_that_is_applied_is_made_by_that() {
    let effects = |verb: &str, code: u16| {
        let event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "u-1",
            "stage": "ResponseComplete", "requestURI": "/x", "verb": verb, "user": { "username": "carol" },
            "objectRef": { "resource": "serviceaccounts", "namespace": "pay", "name": "web", "apiVersion": "v1" },
            "responseStatus": { "code": code }, "requestReceivedTimestamp": "2026-11-10T10:30:00.000000Z",
            "stageTimestamp": "2026-11-10T10:30:00.000000Z",
        });
        all(&event.to_string()).remove(0)["effects"][0]["terms"]["change"].clone()
    };
    assert_eq!(effects("patch", 201), "issued");
    assert_eq!(effects("patch", 200), Value::Null);
    assert_eq!(effects("delete", 200), "revoked");
}

#[test]
fn a_name_that_the_caller_gave_is_nobody_who_asked() {
    let event = json!({
        "kind": "Event", "auditID": "i-1", "stage": "ResponseComplete", "verb": "list",
        "user": {"username": "system:serviceaccount:ci:robot"},
        "impersonatedUser": {"username": "dana", "groups": ["system:masters"]},
        "objectRef": {"resource": "secrets", "namespace": "pay"}, "responseStatus": {"code": 200},
        "requestReceivedTimestamp": "2026-11-20T10:00:00.000000Z",
    });
    let record = all(&event.to_string()).remove(0);
    assert_eq!(record["initiator"], Value::Null);
    assert_eq!(record["executor"]["key"], "kubernetes:system:serviceaccount:ci:robot");
    let dana = json!({"key": "kubernetes:dana", "name": "dana", "type": "unknown"});
    assert_eq!(record["terms"], json!({"role": "impersonation", "subject": dana}));
}
