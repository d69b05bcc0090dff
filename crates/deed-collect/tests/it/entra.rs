//! Microsoft Entra ID.

use std::collections::BTreeMap;

use deed_collect::{Source, entra, records};
use deed_record::{Answer, Change, Kind, PrincipalType, Ruling, Status, Timestamp};
use serde_json::json;

use crate::{ENTRA, parse};

/// Records of the fixture by the id of their event.
fn all() -> BTreeMap<String, String> {
    let found = records(Source::Entra, ENTRA.as_bytes()).map(|mapped| mapped.expect("maps").record);
    found
        .map(|text| {
            let id = parse(&text).source.and_then(|source| source.event_id).expect("an id").to_string();
            (id, text)
        })
        .collect()
}

fn time(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[test]
fn an_id_of_zeros_is_nobody_and_no_credential() {
    const NONE: &str = "00000000-0000-0000-0000-000000000000";
    let signs_in = |who: &str, id: &str| {
        let mut event = json!({"id": "x", "createdDateTime": "2026-11-20T09:00:00Z", "appId": "app-1",
                               "servicePrincipalCredentialKeyId": NONE, "userDisplayName": "root"});
        event[who] = id.into();
        entra::map(&event.to_string()).expect("maps")
    };
    let text = signs_in("userId", NONE);
    let record = parse(&text);
    let executor = record.executor.expect("an action");
    assert_eq!((executor.key, executor.kind), (None, PrincipalType::Unknown));
    assert_eq!((record.initiator, record.credential), (None, None));
    let text = signs_in("servicePrincipalId", "mi-1");
    let record = parse(&text);
    assert_eq!(record.executor.and_then(|executor| executor.key).as_deref(), Some("entra:mi-1"));
    assert_eq!(record.credential, None);
}

#[test]
fn agents_act_with_what_their_blueprint_holds() {
    let all = all();
    assert_eq!(all.len(), 12, "answers of Graph and Azure's lists are taken apart");
    let record = parse(&all["e-1"]);
    let executor = record.executor.as_ref().expect("an action");
    assert_eq!((executor.key.as_deref(), executor.kind), (Some("entra:sp-1"), PrincipalType::Agent));
    let chain = record.chain.as_deref().expect("a blueprint");
    assert_eq!(
        (chain[0].principal.key.as_deref(), chain[0].credential.as_deref()),
        (Some("entra:blueprint-1"), Some("key-1"))
    );
    let effects = record.effects.as_deref().expect("a token");
    let token = effects[0].credential.as_ref().expect("a token");
    assert_eq!((token.id.as_deref(), token.parent.as_deref()), (Some("uti-1"), Some("key-1")));

    // On behalf of somebody: they asked, the agent acts.
    let record = parse(&all["e-2"]);
    assert_eq!(record.executor.as_ref().and_then(|e| e.key.as_deref()), Some("entra:sp-1"));
    assert_eq!(record.executor.as_ref().map(|e| e.kind), Some(PrincipalType::Agent));
    let initiator = record.initiator.as_ref().expect("a user");
    assert_eq!((initiator.key.as_deref(), initiator.kind), (Some("entra:user-1"), PrincipalType::Human));
    let decision = record.decision.as_ref().expect("conditional access");
    assert_eq!((decision.effect, decision.policies.len()), (Ruling::Allow, 1));

    // An agent's own user account.
    let text = entra::map(&json!({"id": "x", "createdDateTime": "2026-11-20T09:00:00Z", "userId": "u-9",
        "agent": {"agentType": "agentIDuser", "agentSubjectType": "agentIDuser", "agentSubjectParentId": "sp-1"}}).to_string());
    let text = text.expect("maps");
    let record = parse(&text);
    let executor = record.executor.expect("an action");
    assert_eq!((executor.key.as_deref(), executor.kind), (Some("entra:u-9"), PrincipalType::Agent));
    assert_eq!(record.chain.map(|chain| chain[0].principal.kind), Some(PrincipalType::Agent));
}

#[test]
fn what_stands_for_many_sign_ins_says_so() {
    let all = all();
    let record = parse(&all["e-3"]);
    assert_eq!(record.operation.as_deref(), Some("signIn/managedIdentity/summary"));
    assert!(record.executor.and_then(|e| e.instance).is_some_and(|id| id.ends_with("virtualMachines/build")));
    assert_eq!(parse(&all["e-1"]).operation.as_deref(), Some("signIn/servicePrincipal"));
}

#[test]
fn keys_are_told_by_what_changed() {
    let all = all();
    let record = parse(&all["e-4"]);
    let changes: Vec<_> = record
        .effects
        .as_deref()
        .expect("keys")
        .iter()
        .map(|effect| {
            let credential = effect.credential.as_ref().expect("a key");
            (
                credential.id.as_deref(),
                credential.kind.as_deref(),
                effect.terms.as_ref().and_then(|t| t.change),
            )
        })
        .collect();
    assert_eq!(
        changes,
        [
            (Some("key-1"), Some("client_secret"), Some(Change::Issued)),
            (Some("key-0"), Some("certificate"), Some(Change::Revoked)),
        ]
    );
    assert_eq!(record.operation.as_deref(), Some("Update application – Certificates and secrets management"));
    assert_eq!(record.initiator, record.executor);
}

#[test]
fn permissions_name_who_gets_them() {
    let all = all();
    for (id, subject, scopes) in
        [("e-5", "entra:sp-1", &["Mail.Read"][..]), ("e-6", "entra:sp-1", &["User.Read", "Mail.Send"])]
    {
        let record = parse(&all[id]);
        let effect = &record.effects.as_deref().expect("a grant")[0];
        let terms = effect.terms.as_ref().expect("terms");
        assert_eq!(effect.kind, Kind::Grant, "{id}");
        assert_eq!(terms.subject.as_ref().and_then(|s| s.key.as_deref()), Some(subject), "{id}");
        assert_eq!(terms.scopes.iter().map(|scope| &**scope).collect::<Vec<_>>(), scopes, "{id}");
    }
    assert_eq!(parse(&all["e-5"]).executor.and_then(|e| e.key).as_deref(), Some("entra:sp-9"));
}

#[test]
fn roles_for_a_time_are_asked_for_approved_and_given() {
    let all = all();
    let [asked, approved, given] = ["e-7", "e-8", "e-9"].map(|id| parse(&all[id]));
    assert!(asked.request.is_some() && asked.request == approved.request && asked.request == given.request);
    let of = |record: &deed_record::Submission<'_>| {
        let effect = &record.effects.as_deref().expect("an effect")[0];
        let terms = effect.terms.clone().expect("terms");
        assert_eq!(terms.role.as_deref(), Some("Global Reader"));
        (effect.kind, terms.change, terms.answer, terms.expires)
    };
    assert_eq!(of(&asked), (Kind::Request, Some(Change::Requested), None, time("2026-11-20T17:06:00Z")));
    assert_eq!(of(&approved), (Kind::Approval, None, Some(Answer::Approved), None));
    assert_eq!(of(&given), (Kind::Grant, Some(Change::Issued), None, time("2026-11-20T17:08:00Z")));
}

#[test]
fn stopped_accounts_failures_and_calls() {
    let all = all();
    let record = parse(&all["e-10"]);
    let effect = &record.effects.as_deref().expect("an effect")[0];
    assert_eq!(
        (effect.kind, effect.terms.as_ref().and_then(|t| t.change)),
        (Kind::Principal, Some(Change::Revoked))
    );
    let record = parse(&all["e-11"]);
    assert_eq!((record.effects.is_none(), record.outcome.map(|o| o.status)), (true, Some(Status::Failure)));
    let record = parse(&all["g-1"]);
    assert_eq!(record.operation.as_deref(), Some("graph/DELETE"));
    assert_eq!(record.credential.as_ref().and_then(|c| c.id.as_deref()), Some("uti-1"));
    assert_eq!(record.outcome.map(|o| (o.status, o.duration_ms)), Some((Status::Denied, Some(31))));
    assert_eq!(
        record.resource.map(|r| r.uri.to_string()).as_deref(),
        Some("https://graph.microsoft.com/v1.0/applications/appobj-1")
    );
    assert_eq!(record.source.map(|s| s.system.to_string()).as_deref(), Some("entra:tenant-1"));
}

#[test]
fn what_is_no_event_is_refused() {
    for (event, error) in [
        (json!({"createdDateTime": "2026-11-20T09:00:00Z"}), "field `id`: missing"),
        (json!({"id": "1"}), "field `createdDateTime`: missing"),
        (
            json!({"id": "1", "activityDateTime": "then"}),
            "field `activityDateTime`: expected an RFC 3339 time",
        ),
    ] {
        let found = entra::map(&event.to_string()).expect_err("no event");
        assert!(found.starts_with(error), "{found}");
    }
    // In an envelope the bytes are the id.
    let event =
        json!({"time": "2026-11-20T09:00:00Z", "category": "AuditLogs", "properties": {}}).to_string();
    let (once, again) = (entra::map(&event).expect("maps"), entra::map(&event).expect("maps"));
    assert_eq!(once, again);
    assert!(parse(&once).source.and_then(|s| s.event_id).is_some_and(|id| id.starts_with("sha256/")));
}
