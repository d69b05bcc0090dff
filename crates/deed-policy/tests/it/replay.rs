//! A decision is derived again from what it saw.

use deed_policy::{ApprovalFacts, CredentialFacts, PolicySet, ReplayError, Request, Target, Who};
use deed_record::{PrincipalType, Ruling};

use crate::support::{ALL, raw, request, set};

const POLICIES: &str = "\
@id(\"limit\") @effect(\"step_up\") forbid (principal, action, resource)
when { context.arguments has amount && context.arguments.amount > 100 };
@id(\"path\") forbid (principal, action, resource)
when { context.arguments has file.path && context.arguments.file.path like \"/etc/*\" };
@id(\"hours\") forbid (principal, action, resource) when { context.clock.hour < 6 };
";

fn whole() -> Request<'static> {
    let mut request = request();
    let who = Who {
        owner: Some("human:a\"nn"),
        sponsor: Some("human:bob"),
        vendor: Some("Init\u{e9}ch"),
        environments: vec!["prod"],
        ..Who::new(PrincipalType::Workload, "spiffe://acme/\n")
    };
    request.principal = who.clone();
    request.context.initiator = Some(who.clone());
    request.context.arguments = Some(raw(
        "{ \"amount\": 7, \"password\": \"hunter2-hunter2\", \"file\": { \"path\": \"/tmp/\\u00e9\", \"x\": 1 } }",
    ));
    request.context.environment = Some("prod");
    request.context.task = Some("t");
    request.context.credential = Some(CredentialFacts {
        scopes: vec!["b", "a"],
        expires: Some(request.context.time),
        age_seconds: Some(5),
        delegated: true,
    });
    request.context.approval = Some(ApprovalFacts { by: who, time: request.context.time });
    request
}

#[test]
fn the_same_set_decides_the_same_again() {
    let policies = set(&format!("{ALL}{POLICIES}"));
    let mut requests = vec![request(), whole()];
    let mut resource = whole();
    resource.resource = Target::Resource {
        uri: "x:/y",
        kind: Some("table"),
        classification: "restricted",
        restricted_fields: vec!["f"],
    };
    requests.push(resource);
    let mut high = request();
    high.context.arguments = Some(raw("{\"amount\":9007199254740993}"));
    requests.push(high);
    let mut twice = request();
    twice.context.arguments = Some(raw("{\"amount\":1,\"amount\":2,\"file\":5}"));
    requests.push(twice);
    let mut effects = Vec::new();
    for request in &requests {
        let decided = policies.decide(request);
        assert_eq!(policies.replay(&decided.seen).unwrap(), decided);
        // Another process reads the set from the files that were published.
        let again = PolicySet::of_files(policies.files().clone()).unwrap();
        assert_eq!(again.replay(&decided.seen).unwrap(), decided);
        effects.push(decided.effect);
    }
    use Ruling::{Allow, Deny, StepUp};
    assert_eq!(effects, [Allow, Allow, Allow, StepUp, Deny]);
    assert_eq!(policies.decide(&requests[4]).errors.len(), 2);
}

#[test]
fn what_was_seen_is_canonical_and_no_more_than_needed() {
    let policies = set(&format!("{ALL}{POLICIES}"));
    let decided = policies.decide(&whole());
    assert!(!decided.seen.contains("hunter2"), "{}", decided.seen);
    assert!(
        decided.seen.contains("\"arguments\":{\"amount\":7,\"file\":{\"path\":\"/tmp/é\"}}"),
        "{}",
        decided.seen
    );
    assert_eq!(
        serde_json_canonicalizer::to_string(
            &serde_json::from_str::<serde_json::Value>(&decided.seen).unwrap()
        )
        .unwrap(),
        decided.seen
    );
    let small =
        set("@id(\"x\") permit (principal, action, resource == Deed::Tool::\"a/b\");").decide(&request());
    let expected = format!(
        "{{\"action\":\"tools/call\",\"context\":{{\"arguments\":{{}},\"chain_depth\":0,\
         \"classification\":\"unclassified\",\"tenant\":\"default\",\"time\":\"2026-11-20T10:15:30.123456Z\"}},\
         \"policy_set\":\"{}\",\"principal\":{{\"environments\":[],\"id\":\"release-bot\",\"type\":\"agent\"}},\
         \"refused\":[],\"resource\":{{\"tool\":{{\"classification\":\"unclassified\",\"name\":\"write\",\
         \"restricted_fields\":[],\"server\":\"files\"}}}},\"v\":1}}",
        set("@id(\"x\") permit (principal, action, resource == Deed::Tool::\"a/b\");").digest()
    );
    assert_eq!(small.seen, expected);
}

#[test]
fn another_set_or_text_is_refused() {
    let policies = set(ALL);
    let seen = policies.decide(&request()).seen;
    let starter = PolicySet::starter();
    assert!(matches!(starter.replay(&seen), Err(ReplayError::OtherPolicySet { .. })));
    let newer = seen.replace("\"v\":1", "\"v\":2");
    let more = seen.replace("\"v\":1", "\"v\":1,\"w\":1");
    for text in ["", "{}", &newer, &more] {
        assert!(matches!(policies.replay(text), Err(ReplayError::Unreadable(_))), "{text}");
    }
}
