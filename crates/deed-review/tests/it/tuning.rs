//! What suppressions and thresholds come to, whatever the order of their records.

use deed_identity::CredentialKey;
use deed_record::{Account, Kind, Timestamp};
use deed_review::{
    Evidence, Threshold, Thresholds,
    tuning::{Covers, Matter, Same, Standing, Tuning},
};
use serde_json::{Value, json};

use crate::store::{Store, account, at, id, record};

struct Nobody;

impl Same for Nobody {
    fn somebody(&self, _: Account, _: Account) -> bool {
        false
    }

    fn credential(&self, key: CredentialKey) -> CredentialKey {
        key
    }
}

fn time(text: &str) -> Timestamp {
    at(text).parse().expect("a time")
}

fn given(n: u64, when: &str, until: &str, scopes: Value) -> Value {
    let terms = json!({ "change": "issued", "scopes": scopes, "expires": at(until) });
    record(n, Kind::Exception, when, "deed:findings", json!({ "terms": terms }))
}

fn ended(n: u64, when: &str, of: u64) -> Value {
    let more = json!({ "exception": id(of), "terms": { "change": "revoked" } });
    record(n, Kind::Exception, when, "deed:findings", more)
}

fn tuned(n: u64, when: &str, scopes: Value) -> Value {
    record(n, Kind::Policy, when, "deed:findings", json!({ "terms": { "scopes": scopes } }))
}

/// What `records` come to, told in that order.
fn fold<'r>(records: impl Iterator<Item = &'r Value>) -> Tuning {
    let all: Vec<Value> = records.cloned().collect();
    let store = Store::of(&all);
    let mut tuning = Tuning::default();
    for record in &all {
        let id = record["id"].as_str().expect("an id").parse().expect("an id");
        let found = store.by_id(id).expect("readable").expect("there");
        tuning.fold(&found.sealed.skeleton().expect("readable"));
    }
    tuning
}

#[test]
fn the_order_of_records_does_not_matter() {
    let records = [
        given(1, "10:00", "18:00", json!(["finding:bypass"])),
        ended(2, "12:00", 1),
        ended(3, "13:00", 1),
        tuned(4, "10:00", json!(["static-key-days=180", "storm-tries=20"])),
        tuned(5, "11:00", json!(["storm-tries=30"])),
    ];
    let whole = fold(records.iter());
    for start in 0..records.len() {
        let turned = (0..records.len()).map(|at| &records[(start + at) % records.len()]);
        assert_eq!(fold(turned), whole);
    }
    assert_eq!(fold(records.iter().rev()), whole);
    let standing = |when: &str| whole.suppression(id(1), time(when)).expect("there").1;
    assert_eq!(standing("11:59"), Standing::InForce);
    // The first end counts; what was over stays what it was.
    assert!(matches!(standing("12:00"), Standing::Ended(end) if end.record == id(2)));
    assert!(matches!(standing("19:00"), Standing::Ended(_)));
    let thresholds = whole.thresholds();
    assert_eq!(thresholds, Thresholds { storm_tries: 30, ..Thresholds::default() });
    assert_eq!(whole.tuned().expect("tuned").record, id(5));
}

#[test]
fn all_that_is_said_must_hold() {
    let bob = account("app:bob");
    let matter = Matter {
        rule: "bypass",
        record: id(7),
        accounts: vec![bob],
        credentials: vec![CredentialKey::of("acme", "AKIA1")],
        resource: Some("s3:prod/a"),
    };
    let plain = Covers { rule: "bypass".into(), ..Covers::default() };
    let has = |covers: Covers| covers.has("acme", &matter, &Nobody);
    assert!(has(plain.clone()));
    assert!(!has(Covers { rule: "orphan".into(), ..plain.clone() }));
    let resource = |uri: &str| Covers { resource: Some(uri.into()), ..plain.clone() };
    assert!(has(resource("s3:prod/*")) && has(resource("s3:prod/a")) && !has(resource("s3:prod/")));
    let credential = |name: &str| Covers { credential: Some(name.into()), ..plain.clone() };
    assert!(has(credential("AKIA1")) && !has(credential("AKIA2")));
    assert!(has(Covers { principal: Some(bob), action: Some(id(7)), ..resource("s3:*") }));
    assert!(!has(Covers { principal: Some(account("app:ann")), ..plain.clone() }));
    assert!(!has(Covers { action: Some(id(8)), ..plain }));
}

#[test]
fn it_ends_by_itself_and_what_cannot_be_read_covers_nothing() {
    let matter =
        Matter { rule: "bypass", record: id(7), accounts: vec![], credentials: vec![], resource: None };
    let hides = |records: &[Value], when: &str| {
        fold(records.iter()).hides("acme", &matter, time(when), &Nobody).map(|given| given.id)
    };
    let long = [
        given(1, "10:00", "12:00", json!(["finding:bypass"])),
        given(2, "10:00", "14:00", json!(["finding:bypass"])),
    ];
    assert_eq!(hides(&long, "11:00"), Some(id(2)));
    assert_eq!(hides(&long, "13:59"), Some(id(2)));
    assert_eq!(hides(&long, "14:00"), None);
    assert_eq!(hides(&[given(1, "10:00", "12:00", json!(["finding:bypass", "action:soon"]))], "11:00"), None);
    assert_eq!(hides(&[given(1, "10:00", "12:00", json!([]))], "11:00"), None);
    let endless = json!({ "terms": { "change": "issued", "scopes": ["finding:bypass"] } });
    assert_eq!(hides(&[record(1, Kind::Exception, "10:00", "deed:findings", endless)], "11:00"), None);
}

#[test]
fn a_threshold_has_one_name_and_a_range() {
    for threshold in Threshold::ALL {
        assert_eq!(Threshold::named(threshold.as_str()), Some(*threshold));
        let mut all = Thresholds::default();
        assert!(threshold.range().contains(&threshold.of(&all)));
        threshold.set(&mut all, 7);
        assert_eq!(threshold.of(&all), 7);
    }
    assert_eq!(Threshold::named("standing_days"), None);
}
