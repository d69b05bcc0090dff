//! Credentials: issued, used, renewed, rotated, revoked, expired; and where they come from.

use deed_record::{Change, Kind};
use deed_review::{Authority, Class, Edge, Severity};
use serde_json::{Value, json};

use crate::{
    order::placeless,
    store::{Store, at, id, record, with},
    story::{ACTION, GRANT, ISSUE, ann, changed, etl, story},
};

fn change(n: u64, clock: &str, by: &str, change: &str) -> Value {
    record(
        n,
        Kind::Credential,
        clock,
        by,
        json!({ "credential": { "id": "lease-77" }, "terms": { "change": change } }),
    )
}

fn authority(records: &[Value]) -> Authority {
    Store::of(records).explain(ACTION).verdict.authority.value
}

#[test]
fn used_after_revocation() {
    let mut records = story();
    // Imported last, although it happened first: event time decides.
    records.push(change(20, "10:10", "vault:prod", "revoked"));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(
        (answer.verdict.authority.value, answer.verdict.class),
        (Authority::Revoked, Class::ControlFailure)
    );
    assert_eq!(answer.findings[0].rule, "used-after-revocation");
    assert_eq!(answer.findings[0].severity, Severity::High);
    let with = answer.credential.expect("a credential");
    assert_eq!(with.revoked, Some(at("10:10").parse().expect("valid")));
    assert_eq!(
        with.lifecycle.iter().map(|event| event.change).collect::<Vec<_>>(),
        [Some(Change::Issued), Some(Change::Revoked)]
    );
}

#[test]
fn revoked_only_afterwards() {
    let mut records = story();
    records.push(change(20, "10:30", "vault:prod", "revoked"));
    records.push(change(21, "10:20", "vault:prod", "revoked"));
    assert_eq!(authority(&records), Authority::Approved);
}

#[test]
fn revoked_as_an_effect_of_an_observed_call() {
    let mut records = story();
    let effect =
        json!({ "kind": "credential", "credential": { "id": "lease-77" }, "terms": { "change": "revoked" } });
    records.push(record(20, Kind::Observation, "10:10", "vault:prod", json!({ "effects": [effect] })));
    assert_eq!(authority(&records), Authority::Revoked);
}

#[test]
fn only_a_word_as_firm_takes_a_revocation_back() {
    let mut records = story();
    records.push(change(20, "10:10", "vault:prod", "revoked"));
    records.push(change(21, "10:15", "etl-job", "renewed"));
    assert_eq!(authority(&records), Authority::Revoked);
    records.push(change(22, "10:16", "vault:prod", "renewed"));
    assert_eq!(authority(&records), Authority::Approved);
}

#[test]
fn used_after_expiry() {
    let answer = Store::of(&changed(ACTION, json!({ "time": at("11:00") }))).explain(ACTION);
    assert_eq!(
        (answer.verdict.authority.value, answer.verdict.class),
        (Authority::Expired, Class::ControlFailure)
    );
    assert_eq!(answer.findings[0].rule, "used-after-expiry");
    // A renewal by the issuer moves the end, one by the user does not.
    let renewed = |by: &str| {
        let credential = json!({ "id": "lease-77", "expires": at("11:30") });
        record(
            20,
            Kind::Credential,
            "10:50",
            by,
            json!({ "credential": credential, "terms": { "change": "renewed" } }),
        )
    };
    for (by, expected) in [("vault:prod", Authority::Approved), ("etl-job", Authority::Expired)] {
        let mut records = changed(ACTION, json!({ "time": at("11:00") }));
        records.push(renewed(by));
        assert_eq!(authority(&records), expected, "{by}");
    }
}

#[test]
fn what_was_stopped_is_no_failure_of_control() {
    let mut records = changed(ACTION, json!({ "outcome": { "status": "denied", "code": "28000" } }));
    records.push(change(20, "10:10", "vault:prod", "revoked"));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(
        (answer.verdict.authority.value, answer.verdict.class),
        (Authority::Revoked, Class::Unverified)
    );
    assert_eq!(answer.findings[0].severity, Severity::Medium);
}

#[test]
fn a_grant_ends_too() {
    let mut records = story();
    records.push(record(
        20,
        Kind::Grant,
        "10:10",
        "vault:prod",
        json!({ "grant": id(GRANT), "terms": { "change": "revoked" } }),
    ));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(answer.verdict.authority.value, Authority::Revoked);
    assert!(answer.verdict.authority.reasons[0].starts_with("the grant was revoked"), "{:?}", answer.verdict);
    let terms = json!({ "subject": etl(), "scopes": ["db:schema:*"], "expires": at("10:15") });
    assert_eq!(authority(&changed(GRANT, json!({ "terms": terms }))), Authority::Expired);
}

#[test]
fn a_rotation_shows_that_the_old_one_was_used() {
    let mut records = story();
    records.push(change(20, "10:10", "vault:prod", "rotated"));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(answer.verdict.authority.value, Authority::Approved);
    let with = answer.credential.expect("a credential");
    assert_eq!(with.rotated, Some(at("10:10").parse().expect("valid")));
    assert!(with.how.contains("the old one was used"), "{}", with.how);
}

#[test]
fn the_same_name_from_another_issuer_is_another_credential() {
    let mut records = changed(ACTION, json!({ "credential": { "id": "lease-77", "issuer": "vault" } }));
    let other =
        json!({ "credential": { "id": "lease-77", "issuer": "okta" }, "terms": { "change": "revoked" } });
    records.push(record(20, Kind::Credential, "10:10", "okta:acme", other));
    assert_eq!(authority(&records), Authority::Approved);
}

#[test]
fn a_credential_is_found_under_each_of_its_names() {
    let mut records = changed(
        ISSUE,
        json!({
            "credential": { "id": "lease-77", "fingerprint": "sha256:ab", "issued": at("10:00"), "scopes": ["db:schema:*"] },
        }),
    );
    let revoked = json!({ "credential": { "fingerprint": "sha256:ab" }, "terms": { "change": "revoked" } });
    records.push(record(20, Kind::Credential, "10:10", "vault:prod", revoked));
    assert_eq!(authority(&records), Authority::Revoked);
}

/// Ann's key gets `ASIA1` (role release), which gets `ASIA2` (role deploy), which deletes a bucket.
fn roles() -> Vec<Value> {
    let release = json!({ "key": "aws:role/release", "type": "service_account" });
    let deploy = json!({ "key": "aws:role/deploy", "type": "service_account" });
    let issue = |n: u64, clock: &str, who: &Value, with: &str, new: &str| {
        let effect = json!({ "kind": "credential", "credential": { "id": new, "parent": with, "type": "temporary_key" }, "terms": { "change": "issued" } });
        record(
            n,
            Kind::Observation,
            clock,
            "cloudtrail:1",
            json!({
                "executor": who, "operation": "sts:AssumeRole", "credential": { "id": with }, "effects": [effect],
            }),
        )
    };
    vec![
        issue(1, "10:00", &ann(), "AKIA0", "ASIA1"),
        issue(2, "10:05", &release, "ASIA1", "ASIA2"),
        record(
            ACTION,
            Kind::Observation,
            "10:20",
            "cloudtrail:1",
            json!({
                "executor": deploy, "operation": "s3:DeleteBucket", "credential": { "id": "ASIA2" },
                "resource": { "uri": "arn:aws:s3:::ledger" }, "outcome": { "status": "success" },
            }),
        ),
    ]
}

#[test]
fn who_asked_is_inferred_through_assumed_roles() {
    let answer = Store::of(&roles()).explain(ACTION);
    assert_eq!((answer.initiator.key.as_deref(), answer.initiator.edge), (Some("okta:ann"), Edge::Inferred));
    assert_eq!(answer.initiator.records, [1, 2].map(id));
    let reasons = answer.verdict.attribution.reasons.join("; ");
    assert!(reasons.contains(&id(1).to_string()), "{reasons}");
    let hops: Vec<_> = answer
        .chain
        .iter()
        .map(|hop| (hop.principal.key.as_deref(), hop.credential.as_deref(), hop.edge))
        .collect();
    assert_eq!(hops, [(Some("aws:role/release"), Some("ASIA1"), Edge::Inferred)]);
    assert_eq!(answer.credential.expect("a credential").parents, ["ASIA1", "AKIA0"]);
}

/// Somebody logs in to Vault and reads a database's credential; an account acts in the database. Last, the lease is taken back.
fn leased(revoked: &str) -> Vec<Value> {
    let entity = json!({ "key": "vault:entity/7d2e", "type": "unknown" });
    let issue = |n: u64, clock: &str, with: Value, new: Value| {
        let effect = json!({ "kind": "credential", "credential": new, "terms": { "change": "issued" } });
        let more = json!({ "executor": entity, "credential": with, "effects": [effect] });
        record(n, Kind::Observation, clock, "vault", more)
    };
    let token = json!({ "id": "accessor-1", "type": "vault_token" });
    let lease = json!({ "id": "database/creds/ro/4oU0b", "fingerprint": "sha256:0f", "parent": "accessor-1", "type": "lease" });
    let ended = json!({ "kind": "credential", "credential": { "id": "database/creds/ro/4oU0b", "type": "lease" }, "terms": { "change": "revoked" } });
    vec![
        issue(1, "09:00", token.clone(), token.clone()),
        issue(2, "10:00", token, lease),
        record(
            ACTION,
            Kind::Observation,
            "10:20",
            "postgres:orders-1",
            json!({
                "executor": { "key": "postgres:v-ro-x8Kd02nV", "type": "unknown" }, "operation": "SELECT",
                "credential": { "fingerprint": "sha256:0f", "type": "database_user" }, "outcome": { "status": "success" },
            }),
        ),
        record(6, Kind::Observation, revoked, "vault", json!({ "effects": [ended] })),
    ]
}

#[test]
fn who_had_a_database_user_made_is_found_behind_it() {
    let mut records = leased("10:30");
    let answer = placeless(Store::of(&records).explain(ACTION));
    assert_eq!(
        (answer.initiator.key.as_deref(), answer.initiator.edge),
        (Some("vault:entity/7d2e"), Edge::Inferred)
    );
    assert_eq!(answer.initiator.records, [1, 2].map(id));
    // It is one somebody who logged in and who asked: nothing was handed on.
    assert_eq!((answer.executor.key.as_deref(), answer.chain.len()), (Some("postgres:v-ro-x8Kd02nV"), 0));
    assert!(answer.executor.also.is_empty());
    assert_eq!(answer.verdict.authority.value, Authority::Unverified);
    records.reverse();
    assert_eq!(placeless(Store::of(&records).explain(ACTION)), answer);
    // Before it was made, and after the lease was taken back by the name that only Vault has for it.
    let mut early = leased("10:30");
    early[2] = with(&early[2], json!({ "time": at("09:30") }));
    assert_eq!(Store::of(&early).explain(ACTION).initiator.edge, Edge::Missing);
    assert_eq!(Store::of(&leased("10:10")).explain(ACTION).verdict.authority.value, Authority::Revoked);
}

#[test]
fn a_revoked_parent_stands_against_approval() {
    let mut records = roles();
    records.push(record(
        20,
        Kind::Credential,
        "10:10",
        "cloudtrail:1",
        json!({ "credential": { "id": "AKIA0" }, "terms": { "change": "revoked" } }),
    ));
    let answer = Store::of(&records).explain(ACTION);
    assert!(
        answer.verdict.authority.reasons.iter().any(|reason| reason.contains("derived from")),
        "{:?}",
        answer.verdict
    );
}

#[test]
fn records_that_disagree_on_the_issue_leave_who_asked_missing() {
    let mut records = roles();
    let dora = json!({ "key": "okta:dora", "type": "human" });
    records.push(with(
        &records[1],
        json!({ "id": id(20), "executor": dora, "source": { "system": "cloudtrail:2" } }),
    ));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(answer.initiator.edge, Edge::Missing);
    assert!(answer.initiator.how.contains("disagree"), "{}", answer.initiator.how);
    // A party's own word does not outweigh what a system logged.
    records[3] = with(&records[3], json!({ "basis": "reported", "submitter": "dora", "source": null }));
    assert_eq!(Store::of(&records).explain(ACTION).initiator.key.as_deref(), Some("okta:ann"));
}

#[test]
fn an_issue_after_the_use_tells_nothing() {
    let mut records = roles();
    records[1] = with(&records[1], json!({ "time": at("10:30") }));
    let answer = Store::of(&records).explain(ACTION);
    assert_eq!(answer.initiator.edge, Edge::Missing);
}

#[test]
fn parents_that_go_in_a_circle_end() {
    let issued = |n: u64, id: &str, parent: &str| {
        let credential = json!({ "id": id, "parent": parent });
        record(
            n,
            Kind::Credential,
            "10:00",
            "vault:prod",
            json!({ "credential": credential, "terms": { "change": "issued" } }),
        )
    };
    let mut records = vec![issued(1, "a", "b"), issued(2, "b", "c"), issued(3, "c", "a")];
    records.push(record(
        ACTION,
        Kind::Observation,
        "10:20",
        "app:1",
        json!({ "executor": etl(), "credential": { "id": "a" } }),
    ));
    assert_eq!(Store::of(&records).explain(ACTION).credential.expect("a credential").parents, ["b", "c"]);
    // A long line of them is followed so far and no further, and that is said.
    let mut long: Vec<Value> =
        (0..40).map(|n| issued(n + 100, &format!("k{n}"), &format!("k{}", n + 1))).collect();
    long.push(record(
        ACTION,
        Kind::Observation,
        "10:20",
        "app:1",
        json!({ "executor": etl(), "credential": { "id": "k0" } }),
    ));
    let answer = Store::of(&long).explain(ACTION);
    assert!(!answer.evidence.complete);
    assert_eq!(answer.credential.expect("a credential").parents.len(), 7);
}

#[test]
fn what_may_be_an_after_effect_is_a_low_finding() {
    let party = |key: &str, kind: &str| json!({ "key": key, "type": kind });
    let disabled = json!({ "kind": "principal", "terms": { "change": "revoked", "subject": party("entra:bob", "human") } });
    let left = json!({ "kind": "grant", "resource": { "uri": "github:acme" }, "terms": { "change": "revoked", "subject": party("github:dave", "unknown") } });
    let of = |by: &str, effect: &Value, clock: &str, action: Value| {
        let removed = record(1, Kind::Observation, "09:00", by, json!({ "effects": [effect] }));
        let found =
            Store::of(&[removed, record(9, Kind::Observation, clock, by, action)]).explain(9).findings;
        assert_eq!(found.len(), 1, "{found:?}");
        (found[0].severity, found[0].reason.clone())
    };
    let for_bob =
        json!({ "executor": party("entra:app", "workload"), "initiator": party("entra:bob", "human") });
    let (severity, reason) = of("entra:t", &disabled, "09:59", for_bob.clone());
    assert!(severity == Severity::Low && reason.contains("may hold for an hour"), "{reason}");
    assert_eq!(of("entra:t", &disabled, "10:01", for_bob.clone()).0, Severity::High);
    // One log says which directory it is of, and the other does not.
    let mut unsaid = record(1, Kind::Observation, "09:00", "entra:t", json!({ "effects": [disabled] }));
    unsaid["source"]["system"] = json!("entra");
    let acted = record(9, Kind::Observation, "12:00", "entra:t", for_bob);
    assert_eq!(Store::of(&[unsaid, acted]).explain(9).findings.len(), 1);
    let push = |credential: Value| {
        let resource = json!({ "uri": "github:acme/api" });
        json!({ "executor": party("github:dave", "unknown"), "credential": credential, "resource": resource })
    };
    let (severity, reason) = of("github:acme", &left, "12:00", push(json!({ "type": "ssh_key" })));
    assert!(severity == Severity::Low && reason.contains("nothing tells with what"), "{reason}");
    assert_eq!(of("github:acme", &left, "12:00", push(json!({ "id": "github:token/5" }))).0, Severity::High);
}

/// A workload reads a key of AWS from Vault, which has AWS make it with a key of its own. Last, the lease is taken back.
fn leased_key(made: &str) -> Vec<Value> {
    let user = json!({ "key": "aws:user/vault-ci-1", "type": "unknown" });
    let root = json!({ "key": "aws:user/vault-root", "type": "unknown" });
    let ci = json!({ "key": "vault:ci", "type": "service_account" });
    let key = json!({ "id": "AKIA1", "type": "access_key" });
    let issued = |credential: Value| json!({ "kind": "credential", "credential": credential, "terms": { "change": "issued" } });
    let lease = json!({ "id": "aws/creds/ci/9y", "fingerprint": "sha256:0f", "parent": "accessor-1", "type": "lease" });
    let lent =
        json!({ "id": "AKIA1", "fingerprint": "sha256:0f", "parent": "accessor-1", "type": "access_key" });
    let ended = json!({ "kind": "credential", "credential": { "id": "aws/creds/ci/9y", "type": "lease" }, "terms": { "change": "revoked" } });
    let token = json!({ "id": "accessor-1", "type": "vault_token" });
    vec![
        record(
            1,
            Kind::Observation,
            made,
            "cloudtrail:1",
            json!({ "executor": root, "operation": "iam:CreateAccessKey", "credential": { "id": "AKIAROOT", "type": "access_key" },
                    "effects": [{ "kind": "credential", "credential": key, "terms": { "change": "issued", "subject": user } }] }),
        ),
        record(
            2,
            Kind::Observation,
            "10:00",
            "vault:prod",
            json!({ "executor": ci, "credential": token, "effects": [issued(lease), issued(lent)] }),
        ),
        record(3, Kind::Observation, "10:20", "cloudtrail:1", json!({ "executor": user, "credential": key })),
        record(4, Kind::Observation, "10:30", "vault:prod", json!({ "effects": [ended] })),
        record(5, Kind::Observation, "10:40", "cloudtrail:1", json!({ "executor": user, "credential": key })),
    ]
}

#[test]
fn a_key_that_is_lent_is_of_whoever_asked_for_it_and_ends_with_its_lease() {
    for (made, turned) in [("09:59", false), ("10:01", false), ("09:59", true)] {
        let mut records = leased_key(made);
        if turned {
            records.reverse();
        }
        let store = Store::of(&records);
        let answer = store.explain(3);
        let asked = &answer.initiator;
        assert_eq!((asked.key.as_deref(), asked.edge), (Some("vault:ci"), Edge::Inferred), "{}", asked.how);
        assert!(
            answer.findings.iter().all(|finding| finding.rule != "revoked-credential"),
            "{:?}",
            answer.findings
        );
        let rules: Vec<String> = store.explain(5).findings.into_iter().map(|finding| finding.rule).collect();
        assert!(rules.iter().any(|rule| rule.contains("revo")), "{rules:?}");
    }
}
