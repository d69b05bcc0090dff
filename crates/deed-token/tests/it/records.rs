//! What is sealed about tokens.

use deed_record::{Change, Status};
use deed_token::{ExchangeError, record};

use crate::support::{Ask, NOW, TICKETS, World, at};

#[test]
fn issues_renewals_and_revocations_are_records_without_the_token() {
    let mut world = World::new();
    let planner = world.planner("&deed_may_act=agent:coder&deed_task=release");
    let coder = world.ask(Ask::new(planner.text(), "coder", &format!("resource={TICKETS}"))).unwrap();
    let again = world.ask(Ask::new(coder.text(), "coder", "")).unwrap();
    let by = world.trust.actor(
        &crate::support::assertion("planner", NOW, serde_json::json!({})),
        at(NOW),
        &world.used,
    );
    let revoked = record::revocation(coder.own.terms(), &world.issuer, by.unwrap().principal(), at(NOW));
    let records = [
        (planner.grant.record(&world.issuer, &planner.text), Change::Issued),
        (coder.grant.record(&world.issuer, &coder.text), Change::Issued),
        (again.grant.record(&world.issuer, &again.text), Change::Renewed),
        (revoked, Change::Revoked),
    ];
    for (record, change) in &records {
        record.check(true).unwrap();
        let text = serde_json::to_string(record).unwrap();
        assert_eq!(record.terms.as_ref().unwrap().change, Some(*change));
        for token in [&planner, &coder, &again] {
            assert!(!text.contains(token.text()), "{text}");
        }
    }
    let text = serde_json::to_value(&records[1].0).unwrap();
    assert_eq!(text["initiator"]["key"], "oidc:idp.example/realms/acme/ann");
    assert_eq!(text["executor"]["key"], "agent:coder");
    assert_eq!(text["chain"][0]["principal"]["key"], "agent:planner");
    assert_eq!(text["credential"]["parent"], planner.jti());
    assert_eq!(text["credential"]["fingerprint"], coder.own.fingerprint().to_string());
    assert_eq!((&text["resource"]["uri"], &text["task"]), (&TICKETS.into(), &"release".into()));
    let first = serde_json::to_value(&records[0].0).unwrap();
    assert_eq!(first["credential"]["parent"], planner.grant.credentials()[0].to_string());
}

#[test]
fn refusals_are_records_with_what_was_verified() {
    let world = World::new();
    let actor = world.trust.actor(
        &crate::support::assertion("planner", NOW, serde_json::json!({})),
        at(NOW),
        &world.used,
    );
    let error = ExchangeError::Scope("hunter2".into());
    for actor in [None, Some(actor.unwrap())] {
        let record = record::refusal(&error, None, actor.as_ref(), at(NOW));
        record.check(true).unwrap();
        assert_eq!(record.outcome.as_ref().unwrap().status, Status::Denied);
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains("invalid_scope") && !text.contains("hunter2"));
    }
}
