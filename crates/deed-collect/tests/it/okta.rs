//! Okta System Log events.

use deed_collect::okta;
use deed_record::{Answer, Change, EffectSent, Kind, PrincipalType, Ruling, Status, StepType, Submission};
use serde_json::{Value, json};

use crate::{OKTA, parse};

fn fixture(uuid: &str) -> String {
    let events: Vec<Value> = serde_json::from_str(OKTA).expect("JSON");
    let event = events.into_iter().find(|event| event["uuid"] == uuid).expect("an event");
    okta::map(&event.to_string()).expect("maps")
}

fn one<'r, 'a>(record: &'r Submission<'a>) -> &'r EffectSent<'a> {
    match record.effects.as_deref() {
        Some([effect]) => effect,
        other => panic!("one effect, found {other:?}"),
    }
}

#[test]
fn a_token_is_issued_by_a_person_and_used_by_who_knows_whom() {
    let text = fixture("o-1");
    let record = parse(&text);
    let executor = record.executor.as_ref().expect("an action");
    assert_eq!((executor.key.as_deref(), executor.kind), (Some("okta:00u1ann"), PrincipalType::Human));
    assert_eq!(record.initiator, record.executor);
    let with = record.credential.as_ref().expect("a session");
    assert_eq!(
        (with.kind.as_deref(), with.id.as_deref(), with.parent.as_deref()),
        (Some("session"), Some("sess-1"), Some("root-1"))
    );
    let effect = one(&record);
    let issued = effect.credential.as_ref().expect("a token");
    assert_eq!((issued.id.as_deref(), issued.kind.as_deref()), (Some("00T1"), Some("api_token")));
    assert_eq!(effect.terms.as_ref().and_then(|terms| terms.change), Some(Change::Issued));
    let personal = record.personal.as_ref().expect("a device");
    assert_eq!(
        (personal.address.as_deref(), personal.device.as_deref()),
        (Some("192.0.2.10"), Some("d7hash"))
    );
    // People are named in what can be redacted only.
    assert!(!record.session.as_deref().unwrap_or_default().contains('@'));

    let text = fixture("o-2");
    let record = parse(&text);
    assert_eq!(record.credential.as_ref().and_then(|c| c.id.as_deref()), Some("00T1"));
    assert_eq!(record.executor.as_ref().map(|e| e.kind), Some(PrincipalType::Unknown));
    assert_eq!(record.initiator, None);
    let terms = one(&record).terms.as_ref().expect("terms");
    assert_eq!(
        (terms.change, terms.role.as_deref(), terms.subject.as_ref().and_then(|s| s.key.as_deref())),
        (Some(Change::Issued), Some("okta:UserGroup/00g1"), Some("okta:00u2bob"))
    );
}

#[test]
fn tokens_of_applications_name_the_user_they_are_for() {
    let text = fixture("o-3");
    let record = parse(&text);
    assert_eq!(record.executor.as_ref().map(|e| e.kind), Some(PrincipalType::Workload));
    assert_eq!(record.initiator.as_ref().and_then(|i| i.key.as_deref()), Some("okta:00u1ann"));
    let issued = one(&record).credential.as_ref().expect("a token");
    assert_eq!((issued.id.as_deref(), issued.kind.as_deref()), (Some("AT.abc123"), Some("access_token")));
    assert_eq!(issued.scopes.len(), 2);
}

#[test]
fn policies_requests_and_answers() {
    let text = fixture("o-4");
    let record = parse(&text);
    let decision = record.decision.expect("decided");
    assert_eq!((decision.effect, decision.policies.len()), (Ruling::StepUp, 2));
    assert_eq!(record.step_type, Some(StepType::PolicyCheck));
    // A reason in words stays in the event.
    assert_eq!(record.outcome.map(|o| o.code.map(|c| c.to_string())), Some(Some("CHALLENGE".to_owned())));

    let (asked, answered) = (fixture("o-5"), fixture("o-6"));
    let (asked, answered) = (parse(&asked), parse(&answered));
    assert!(asked.request.is_some() && asked.request == answered.request);
    assert_eq!(one(&asked).kind, Kind::Request);
    let answer = one(&answered);
    assert_eq!(
        (answer.kind, answer.terms.as_ref().and_then(|terms| terms.answer)),
        (Kind::Approval, Some(Answer::Approved))
    );
}

#[test]
fn keys_accounts_and_refusals() {
    let text = fixture("o-7");
    let record = parse(&text);
    let issued = one(&record).credential.as_ref().expect("a secret");
    assert_eq!((issued.id.as_deref(), issued.kind.as_deref()), (Some("ocs1"), Some("client_secret")));

    let text = fixture("o-8");
    let record = parse(&text);
    let effect = one(&record);
    assert_eq!(
        (effect.kind, effect.terms.as_ref().and_then(|terms| terms.change)),
        (Kind::Principal, Some(Change::Revoked))
    );

    let text = fixture("o-9");
    let record = parse(&text);
    assert_eq!(record.effects, None);
    assert_eq!(
        record.outcome.map(|o| (o.status, o.code.map(|c| c.to_string()))),
        Some((Status::Denied, Some("INVALID_CREDENTIALS".to_owned())))
    );
}

#[test]
fn what_okta_does_not_know_is_left_out() {
    let event = |kind: &str| {
        let event = json!({
            "uuid": "1", "published": "2026-11-20T09:00:00Z", "eventType": kind, "outcome": {"result": "SUCCESS"},
            "actor": {"id": "0oa1", "type": "PublicClientApp", "displayName": "unknown"},
            "authenticationContext": {"externalSessionId": "unknown", "rootSessionId": "unknown"},
            "transaction": {"id": "unknown", "detail": {"requestApiTokenId": "unknown"}},
            "client": {"ipAddress": "192.0.2.1", "userAgent": {"rawUserAgent": "UNKNOWN"}},
            "debugContext": {"debugData": {"dtHash": "-"}},
            "target": [{"id": "unknown", "type": "access_token"}],
        });
        serde_json::from_str::<Value>(&okta::map(&event.to_string()).expect("maps")).expect("JSON")
    };
    for kind in ["app.oauth2.as.token.grant.access_token", "user.session.start", "user.session.end"] {
        let record = event(kind);
        for member in ["credential", "session"] {
            assert_eq!(record[member], Value::Null, "{kind}");
        }
        assert_eq!(record["personal"], json!({"address": "192.0.2.1"}), "{kind}");
        // A token was given out, of which only the sort is known; of a session nothing is.
        let issued = &record["effects"][0]["credential"];
        assert_eq!((&issued["id"], issued.is_null()), (&Value::Null, kind.starts_with("user.")), "{kind}");
    }
}

#[test]
fn events_in_other_shapes_are_the_same_event() {
    let event: Value = serde_json::from_str::<Vec<Value>>(OKTA).expect("JSON").remove(0);
    let plain = okta::map(&event.to_string()).expect("maps");
    for wrapped in [
        json!({"version": "0", "id": "eb-1", "detail-type": "SystemLog", "source": "aws.partner/okta.com/x/y", "time": "2026-11-20T09:00:01Z", "detail": event}),
        json!({"time": 1795165200, "event": event}),
    ] {
        assert_eq!(okta::map(&wrapped.to_string()).expect("maps"), plain);
    }
    // Stores that lower the names of the first level.
    let lowered: serde_json::Map<String, Value> = event
        .as_object()
        .expect("an object")
        .iter()
        .map(|(name, v)| (name.to_lowercase(), v.clone()))
        .collect();
    let lowered = okta::map(&Value::Object(lowered).to_string()).expect("maps");
    let (lowered, plain) = (parse(&lowered), parse(&plain));
    assert_eq!(
        (lowered.operation, lowered.credential, lowered.effects),
        (plain.operation, plain.credential, plain.effects)
    );
}

#[test]
fn what_is_no_event_is_refused() {
    for (event, error) in [
        (json!({"published": "2026-11-20T09:00:00Z"}), "field `uuid`: missing"),
        (json!({"uuid": "", "published": "2026-11-20T09:00:00Z"}), "field `uuid`: empty"),
        (json!({"uuid": "1"}), "field `published`: missing"),
        (
            json!({"uuid": "1", "published": 7}),
            "field `published`: expected an RFC 3339 time, found a number",
        ),
        (json!([]), "expected an object, found a list"),
    ] {
        assert_eq!(okta::map(&event.to_string()).expect_err("no event"), error);
    }
    // An event of which nothing is understood is recorded all the same.
    let text = okta::map(
        &json!({"uuid": "1", "published": "2026-11-20T09:00:00Z", "actor": 7, "target": {}}).to_string(),
    );
    let text = text.expect("maps");
    assert_eq!(parse(&text).executor.map(|e| e.kind), Some(PrincipalType::Unknown));
}

#[test]
fn what_is_locked_for_a_while_is_not_taken_away() {
    let changed = |kind: &str| {
        let text = json!({
            "uuid": "1", "published": "2026-11-20T08:00:00Z", "eventType": kind, "outcome": { "result": "SUCCESS" },
            "actor": { "id": "00u1", "type": "User" }, "target": [{ "id": "00u5", "type": "User" }],
        });
        let text = okta::map(&text.to_string()).expect("maps");
        let record = parse(&text);
        let effect = one(&record);
        (effect.kind, effect.terms.as_ref().and_then(|terms| terms.change).expect("a change"))
    };
    assert_eq!(changed("user.account.lock"), (Kind::Principal, Change::Altered));
    assert_eq!(changed("user.account.unlock"), (Kind::Principal, Change::Altered));
    assert_eq!(changed("user.lifecycle.suspend"), (Kind::Principal, Change::Revoked));
    assert_eq!(changed("user.lifecycle.unsuspend"), (Kind::Principal, Change::Renewed));
}
