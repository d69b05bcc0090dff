//! Teleport audit events.

use std::collections::BTreeMap;

use deed_collect::{Source, records, teleport};
use deed_record::{Answer, Change, Kind, PrincipalType, Status, StepType};
use serde_json::json;

use crate::{TELEPORT, otlp::members, otlp::payload, parse};

fn all() -> BTreeMap<String, String> {
    let found = records(Source::Teleport, TELEPORT.as_bytes()).map(|mapped| mapped.expect("maps").record);
    found
        .map(|text| {
            let id = parse(&text).source.and_then(|source| source.event_id).expect("an id").to_string();
            (id, text)
        })
        .collect()
}

#[test]
fn a_request_its_answer_its_certificate_and_what_was_done_name_each_other() {
    let all = all();
    assert_eq!(all.len(), 11);
    let [asked, answered, given, done] = ["t-1", "t-2", "t-3", "t-4"].map(|id| parse(&all[id]));
    assert!(asked.request.is_some());
    assert!([&answered, &given, &done].iter().all(|record| record.request == asked.request));
    let terms = |record: &deed_record::Submission<'_>, at: usize| {
        let effect = record.effects.as_deref().expect("effects")[at].clone();
        (
            effect.kind,
            effect.terms.map(|terms| (terms.change, terms.answer, terms.role.map(|r| r.to_string()))),
        )
    };
    let role = Some("db-admin".to_owned());
    assert_eq!(terms(&asked, 0), (Kind::Request, Some((Some(Change::Requested), None, role))));
    assert_eq!(terms(&answered, 0), (Kind::Approval, Some((None, Some(Answer::Approved), None))));
    let by = answered.effects.as_deref().and_then(|e| e[0].terms.as_ref()?.by.as_ref()?.key.clone());
    assert_eq!(by.as_deref(), Some("teleport:tele.example.com/bob"));
    assert_eq!(payload(&asked, "reason"), Some("\"disk full\""));

    let effects = given.effects.as_deref().expect("effects");
    let certificate = effects[0].credential.as_ref().expect("a certificate");
    assert_eq!((certificate.kind.as_deref(), certificate.scopes.len()), (Some("user_certificate"), 2));
    assert_eq!(certificate.expires.map(|t| t.to_string()).as_deref(), Some("2026-11-20T17:00:00.000000Z"));
    assert_eq!(effects[1].kind, Kind::Grant);

    // Roles are no scopes that an account of the other side could be held to.
    assert_eq!(done.permission, None);
    assert_eq!(done.resource.as_ref().map(|r| &*r.uri), Some("teleport:database/orders/prod"));
    assert_eq!(payload(&done, "query"), Some("\"delete from orders where id = 1\""));
    assert_eq!(done.executor.as_ref().map(|e| e.kind), Some(PrincipalType::Human));
    assert_eq!(done.initiator, done.executor);
}

#[test]
fn calls_over_mcp_are_an_agents_or_a_bots() {
    let all = all();
    let record = parse(&all["t-5"]);
    assert_eq!((record.operation.as_deref(), record.step_type), (Some("tools/call"), Some(StepType::Tool)));
    let tool = record.tool.as_ref().expect("a tool");
    assert_eq!((tool.server.as_deref(), &*tool.name), (Some("files"), "write_file"));
    // The exact bytes that came.
    assert_eq!(members(&record, "arguments"), [("path", "\"/etc/motd\""), ("size", "1.0")]);
    let executor = record.executor.as_ref().expect("an action");
    assert_eq!((executor.key.as_deref(), executor.kind), (None, PrincipalType::Agent));
    assert_eq!(
        record.initiator.as_ref().and_then(|i| i.key.as_deref()),
        Some("teleport:tele.example.com/ann")
    );

    let record = parse(&all["t-6"]);
    let executor = record.executor.as_ref().expect("an action");
    assert_eq!(
        (executor.key.as_deref(), executor.kind, executor.instance.as_deref()),
        (Some("teleport:tele.example.com/bot-ci"), PrincipalType::Workload, Some("inst-1"))
    );
    assert_eq!(record.outcome.as_ref().map(|o| o.status), Some(Status::Denied));
    assert_eq!(payload(&record, "arguments"), Some("[1]"));
}

#[test]
fn sessions_locks_and_the_rest() {
    let all = all();
    let record = parse(&all["t-7"]);
    assert_eq!(record.outcome.as_ref().and_then(|o| o.duration_ms), Some(1_800_000));
    assert_eq!(record.personal.as_ref().and_then(|p| p.address.as_deref()), Some("192.0.2.30"));
    let effect = |id: &str| {
        let record = parse(&all[id]);
        let effect = record.effects.as_deref().expect("an effect")[0].clone();
        let terms = effect.terms.expect("terms");
        let subject = terms.subject.and_then(|s| s.key).map(|key| key.to_string());
        (effect.kind, terms.change, subject, terms.expires)
    };
    let ann = Some("teleport:tele.example.com/ann".to_owned());
    assert_eq!(effect("t-8"), (Kind::Principal, Some(Change::Revoked), ann, None));
    assert_eq!(effect("t-10"), (Kind::Grant, Some(Change::Altered), None, None));
    let ci = Some("spiffe://tele.example.com/ci".to_owned());
    assert_eq!(effect("t-11"), (Kind::Credential, Some(Change::Issued), ci, None));
    let record = parse(&all["t-9"]);
    assert_eq!(record.resource.as_ref().map(|r| &*r.uri), Some("teleport:kubernetes/prod/web/pods/api-1"));
    assert_eq!(record.outcome.and_then(|o| o.code).as_deref(), Some("200"));
}

#[test]
fn a_lock_that_is_deleted_by_its_name_is_lifted() {
    let event = json!({"uid": "1", "time": "2026-11-20T16:00:00Z", "event": "lock.deleted", "code": "TLK01I", "name": "lk1"});
    let text = teleport::map(&event.to_string()).expect("maps");
    let effect = parse(&text).effects.expect("effects")[0].clone();
    let terms = effect.terms.expect("terms");
    assert_eq!(
        (effect.kind, terms.change, terms.subject.is_none()),
        (Kind::Principal, Some(Change::Renewed), true)
    );
    assert_eq!(effect.resource.map(|lock| lock.uri.to_string()).as_deref(), Some("teleport:lock/lk1"));
}

#[test]
fn a_certificate_renews_the_instance_of_a_bot() {
    let given = |instance: serde_json::Value| {
        let event = json!({"uid": "1", "time": "2026-11-20T09:00:00Z", "event": "cert.create", "cert_type": "user",
                           "identity": {"user": "bot-ci", "bot_instance_id": instance}});
        let text = teleport::map(&event.to_string()).expect("maps");
        let effect = parse(&text).effects.expect("effects")[0].clone();
        let issued = effect.credential.expect("a certificate").issued.is_some();
        (effect.terms.and_then(|terms| terms.change), issued)
    };
    assert_eq!(given(json!("inst-1")), (Some(Change::Renewed), false));
    assert_eq!(given(json!(null)), (Some(Change::Issued), true));
}

#[test]
fn what_was_not_let_through_has_no_effects() {
    let event = |more: serde_json::Value| {
        let mut event =
            json!({"uid": "1", "time": "2026-11-20T09:00:00Z", "event": "user.create", "name": "x"});
        for (name, value) in more.as_object().expect("an object") {
            event[name] = value.clone();
        }
        teleport::map(&event.to_string()).expect("maps")
    };
    for (more, status) in [
        (json!({"code": "T1002I"}), Some(Status::Success)),
        (json!({"code": "T1002W"}), Some(Status::Denied)),
        (json!({"code": "T1002E", "error": "access denied"}), Some(Status::Denied)),
        (json!({"code": "T1002E", "error": "connection reset"}), Some(Status::Failure)),
        (json!({"success": false}), Some(Status::Failure)),
        (json!({"exitCode": "1", "code": "T3002I"}), Some(Status::Failure)),
        (json!({}), None),
    ] {
        let text = event(more.clone());
        let record = parse(&text);
        assert_eq!(record.outcome.as_ref().map(|o| o.status), status, "{more}");
        assert_eq!(record.effects.is_some(), matches!(status, None | Some(Status::Success)), "{more}");
    }
    for (event, error) in [
        (json!({"time": "2026-11-20T09:00:00Z"}), "field `uid`: missing"),
        (json!({"uid": "1"}), "field `time`: missing"),
    ] {
        assert_eq!(teleport::map(&event.to_string()).expect_err("no event"), error);
    }
}
