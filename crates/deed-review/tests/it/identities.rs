//! Findings about identities: what they name, and where a privilege begins.

use deed_identity::{CredentialKey, GrantKey, State};
use deed_record::Kind;
use deed_review::{IdentityFinding, Severity, Subject, Thresholds, identity_findings};
use serde_json::{Value, json};

use crate::store::{Store, account, at, id, record};

const NOW: &str = "2026-12-31 09:00";

fn of<'f>(found: &'f [IdentityFinding], rule: &str) -> Vec<&'f IdentityFinding> {
    found.iter().filter(|found| found.finding.rule == rule).collect()
}

fn bot() -> Value {
    json!({ "key": "app:bot", "type": "agent" })
}

fn grant(n: u64, role: &str, scopes: &[&str], subject: Value) -> Value {
    let terms = json!({ "change": "issued", "role": role, "scopes": scopes, "subject": subject });
    record(n, Kind::Grant, "09:00", "iam:1", json!({ "terms": terms }))
}

#[test]
fn a_privilege_is_known_by_its_name() {
    for (role, scopes, is_one) in [
        ("AdministratorAccess", &[][..], true),
        ("cluster-admin", &[], true),
        ("roles/owner", &[], true),
        ("AmazonS3FullAccess", &[], true),
        ("reader", &["*"], true),
        ("reader", &["*:*"], true),
        ("reader", &["db:read", "files:admin"], true),
        ("readmine", &["db:*", "files:/*"], false),
        ("coowner", &[], false),
        ("", &["orders:write"], false),
    ] {
        let found = Store::of(&[grant(1, role, scopes, bot())]).identity_findings(NOW);
        assert_eq!(of(&found, "standing-privilege").len(), usize::from(is_one), "{role} {scopes:?}");
    }
}

#[test]
fn a_finding_names_whom_and_what_it_is_about() {
    let human = json!({ "key": "okta:ann", "type": "human" });
    let found =
        Store::of(&[grant(1, "admin", &[], bot()), grant(2, "admin", &[], human)]).identity_findings(NOW);
    let standing = of(&found, "standing-privilege");
    let told: Vec<_> = standing
        .iter()
        .map(|found| (found.account, found.subject, found.finding.severity, found.record))
        .collect();
    let grant = |n: u64| Some(Subject::Grant(GrantKey::of_record(id(n))));
    assert_eq!(
        told,
        [
            (Some(account("app:bot")), grant(1), Severity::High, id(1)),
            (Some(account("okta:ann")), grant(2), Severity::Medium, id(2)),
        ],
        "{standing:#?}"
    );
    assert_eq!(
        standing[0].finding.reason,
        "`admin` stands for 60 days and has no end; whether it was used is not known, for no action names this grant"
    );
}

#[test]
fn who_shares_a_credential_is_named() {
    let used = |n: u64, key: &str| {
        let who = json!({ "key": key, "type": "agent" });
        record(
            n,
            Kind::Observation,
            "10:00",
            "app:1",
            json!({ "executor": who, "credential": { "id": "k1" } }),
        )
    };
    let found =
        Store::of(&[used(1, "app:bot"), used(2, "app:other"), used(3, "app:bot")]).identity_findings(NOW);
    let [shared] = &of(&found, "shared-account")[..] else { panic!("{found:#?}") };
    let mut both = vec![account("app:bot"), account("app:other")];
    both.sort_unstable();
    assert_eq!(shared.others, both);
    assert_eq!(shared.subject, Some(Subject::Credential(CredentialKey::of("acme", "k1"))));
    assert_eq!(shared.record, id(3));
}

#[test]
fn thresholds_are_the_callers() {
    let mut state = State::default();
    let store = Store::of(&[grant(1, "admin", &[], bot())]);
    state.fold(&store.newest_leaf().sealed.skeleton().expect("readable"));
    let now = at("2026-11-03 09:00").parse().expect("a time");
    let days = |standing_days| {
        let long = Thresholds { standing_days, ..Thresholds::default() };
        identity_findings(&state, &store, "acme", now, &long).len()
    };
    assert_eq!((days(2), days(3)), (1, 0));
    // Another tenant's is another's.
    assert_eq!(identity_findings(&state, &store, "other", now, &Thresholds::default()).len(), 0);
}
