//! What was used against what was held and granted.

use deed_review::{Class, Explanation, Scope};
use serde_json::{Value, json};

use crate::{
    store::{Store, at},
    story::{ACTION, GRANT, ISSUE, changed, etl, without},
};

fn explained(records: &[Value]) -> Explanation {
    Store::of(records).explain(ACTION)
}

fn grant(scopes: Value, resource: &str) -> Vec<Value> {
    let terms = json!({ "subject": etl(), "scopes": scopes, "expires": at("12:00") });
    changed(GRANT, json!({ "terms": terms, "resource": { "uri": resource } }))
}

fn held(scopes: Value) -> Vec<Value> {
    changed(ISSUE, json!({ "credential": { "id": "lease-77", "expires": at("11:00"), "scopes": scopes } }))
}

#[test]
fn exact_and_trailing_star() {
    let of = |scopes| explained(&held(scopes)).verdict.scope.value;
    assert_eq!(of(json!(["db:schema:alter"])), Scope::In);
    assert_eq!(of(json!(["db:*"])), Scope::In);
    assert_eq!(of(json!(["*"])), Scope::In);
    assert_eq!(of(json!(["db:read", "db:schema:alter"])), Scope::In);
    for other in ["db:schema", "db:schema:alter:x", "db:*:alter", "DB:SCHEMA:ALTER", "db:schema:alte?"] {
        assert_eq!(of(json!([other])), Scope::Out, "{other}");
    }
}

#[test]
fn beyond_the_credential_is_a_failure_of_control() {
    let answer = explained(&held(json!(["db:read"])));
    assert_eq!((answer.verdict.scope.value, answer.verdict.class), (Scope::Out, Class::ControlFailure));
    assert_eq!(answer.findings[0].rule, "outside-scope");
}

#[test]
fn beyond_the_grant_alone_is_abuse() {
    for records in [grant(json!(["db:read"]), "db:orders/*"), grant(json!(["db:schema:*"]), "db:other/*")] {
        let answer = explained(&records);
        assert_eq!(
            (answer.verdict.scope.value, answer.verdict.class),
            (Scope::Out, Class::Abuse),
            "{:?}",
            answer.verdict
        );
        assert!(answer.findings[0].reason.contains("granted"));
    }
}

#[test]
fn an_operation_alone_can_only_confirm() {
    let of = |operation: &str| {
        explained(&changed(ACTION, json!({ "permission": null, "operation": operation }))).verdict.scope.value
    };
    assert_eq!(of("db:schema:alter"), Scope::In);
    assert_eq!(of("ALTER TABLE"), Scope::Unverified);
}

#[test]
fn what_is_not_recorded_is_unverified() {
    let of = |more| explained(&changed(ACTION, more)).verdict.scope.value;
    assert_eq!(of(json!({ "permission": null, "operation": null })), Scope::Unverified);
    assert_eq!(of(json!({ "resource": null })), Scope::Unverified);
    let answer = explained(&without(&[ISSUE, GRANT]));
    assert_eq!(answer.verdict.scope.value, Scope::Unverified);
    assert!(answer.verdict.scope.reasons[0].contains("no record says"));
}

#[test]
fn the_issuer_knows_better_than_the_user_what_is_held() {
    let claimed = json!({ "credential": { "id": "lease-77", "scopes": ["*"] } });
    let mut records = held(json!(["db:read"]));
    records[4] = crate::store::with(&records[4], claimed.clone());
    assert_eq!(explained(&records).verdict.scope.value, Scope::Out);
    // Where nobody else says, the user's own word is taken, and named as such.
    let mut records = without(&[ISSUE]);
    records[3] = crate::store::with(&records[3], claimed);
    let answer = explained(&records);
    assert_eq!(answer.verdict.scope.value, Scope::In);
    assert!(answer.verdict.scope.reasons[0].contains("postgres:orders-1"), "{:?}", answer.verdict.scope);
}
