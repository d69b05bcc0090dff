//! Security event tokens.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_collect::{Source, records, source, ssf};
use deed_record::{Kind, StepType, Submission};
use serde_json::{Value, json};

use crate::{SSF, parse};

fn event(jti: &str) -> &'static str {
    let name = format!("\"jti\": \"{jti}\"");
    SSF.lines().find(|line| line.contains(&name)).expect("an event")
}

/// `revoked credential session sess-1 of okta:00u1`.
fn effects(record: &Submission<'_>) -> String {
    let mut out = Vec::new();
    for effect in record.effects.iter().flatten() {
        let terms = effect.terms.as_ref().expect("terms");
        let mut text = format!("{} {}", terms.change.expect("a change"), effect.kind);
        if let Some(credential) = &effect.credential {
            write!(text, " {}", credential.kind.as_deref().expect("a type")).expect("text");
            credential.names().for_each(|name| write!(text, " {name}").expect("text"));
        }
        if let Some(key) = terms.subject.as_ref().and_then(|subject| subject.key.as_deref()) {
            write!(text, " of {key}").expect("text");
        }
        out.push(text);
    }
    out.join("; ")
}

/// What becomes of every example, in their order.
const EXPECTED: [(&str, &str, &str); 35] = [
    ("s-01", "caep:session-revoked", "revoked credential session sess-1|16008.16"),
    ("s-02", "caep:session-revoked", "revoked credential session sess-2 of oidc:idp.example/7421//5d1c"),
    ("s-03", "caep:session-revoked", "revoked credential session of oidc:idp.example/7421//ann@example.com"),
    ("s-04", "caep:token-claims-change", "altered credential jwt tok-1"),
    ("s-05", "caep:token-claims-change", "altered credential jwt tok-1"),
    ("s-06", "caep:token-claims-change", "altered credential saml_assertion _assert-1"),
    (
        "s-07",
        "caep:credential-change",
        "issued credential fido2-roaming of oidc:idp.example/7421//ann@example.com",
    ),
    (
        "s-08",
        "caep:credential-change",
        "revoked credential x509 CN=Example CA#0a:1b of oidc:idp.example/7421//5d1c",
    ),
    ("s-09", "caep:credential-change", "rotated credential password of oidc:idp.example/7421//5d1c"),
    ("s-10", "caep:credential-change", "revoked credential jwt tok-1"),
    ("s-11", "caep:assurance-level-change", ""),
    ("s-12", "caep:assurance-level-change", ""),
    ("s-13", "caep:device-compliance-change", ""),
    ("s-14", "caep:session-established", ""),
    ("s-15", "caep:session-established", "issued credential session sess-3 of email:Ann@example.com"),
    ("s-16", "caep:session-presented", ""),
    ("s-17", "caep:risk-level-change", ""),
    ("s-18", "risc:account-enabled", "renewed principal of email:foo@example.com"),
    ("s-19", "risc:account-disabled", "revoked principal of tel:+12065550199"),
    ("s-20", "caep:token-claims-change", "altered credential token of email:Ann@example.com"),
    ("s-21", "caep:token-claims-change", ""),
    ("s-22", "ssf:verification", ""),
    ("s-23", "ssf:stream-updated", ""),
    ("s-24", "caep:risk-level-change", ""),
    ("s-25", "risc:account-credential-change-required", ""),
    ("s-26", "risc:account-purged", "revoked principal of acct:ann@example.com"),
    (
        "s-27",
        "risc:account-disabled",
        "revoked principal of email:ann@example.com; revoked principal of did:example:123; \
         revoked principal of urn:uuid:4e851e98-83c4-4743-a5da-150ecb53042f",
    ),
    ("s-28", "risc:identifier-changed", "altered principal of email:Ann@example.com"),
    ("s-29", "risc:identifier-recycled", "altered principal of tel:+12065550100"),
    ("s-30", "risc:credential-compromise", ""),
    ("s-31", "risc:recovery-activated", ""),
    ("s-32", "risc:sessions-revoked", "revoked credential session of ssf:idp.example/7421/acct-7"),
    (
        "s-33",
        "oauth:token-revoked",
        "revoked credential refresh_token sha256:27528d765a84236fb306d4e12c8e33e8c94f423e4befbb36817ddc3097850a8d",
    ),
    ("s-34", "oauth:tokens-revoked", "revoked credential token of oidc:accounts.example//1024"),
    ("s-35", "https://vendor.example/event-type/coffee-spilled", ""),
];

#[test]
fn every_example_is_recorded_with_what_it_changed() {
    let found: Vec<_> =
        records(Source::Ssf, SSF.as_bytes()).map(|found| found.expect("maps").record).collect();
    assert_eq!(found.len(), SSF.lines().count());
    for (text, (jti, operation, changed)) in found.iter().zip(EXPECTED) {
        let record = parse(text);
        assert_eq!(record.kind, Kind::Observation);
        let source = record.source.as_ref().expect("a source");
        assert_eq!(
            (&*source.system, source.event_id.as_deref(), record.operation.as_deref()),
            ("ssf:idp.example/7421", Some(jti), Some(operation))
        );
        assert_eq!(effects(&record), changed, "{jti}");
        // Nobody is named in what can never be taken out.
        let mut sealed: Value = serde_json::from_str(text).expect("JSON");
        sealed.as_object_mut().expect("an object").remove("disclose");
        sealed.as_object_mut().expect("an object").remove("effects");
        sealed.as_object_mut().expect("an object").remove("executor");
        assert!(!sealed.to_string().contains('@'), "{sealed}");
    }
    assert_eq!(found.len(), EXPECTED.len());
}

#[test]
fn who_when_and_where_are_as_the_event_says() {
    let text = ssf::map(event("s-02")).expect("maps");
    let record = parse(&text);
    assert_eq!(record.time.to_string(), "2026-09-21T14:15:00.000000Z");
    assert_eq!(record.executor.as_ref().and_then(|who| who.key.as_deref()), Some("ssf:idp.example/7421"));
    assert_eq!(record.session.as_deref(), Some("sess-2"));
    assert_eq!(
        record.trace_id.map(|trace| trace.to_string()).as_deref(),
        Some("7d1f0c3ae52b4f6f9a4be0b8c2d71e55")
    );
    assert!(
        text.contains("two places at once: C1"),
        "what its transmitter gave as reason stays in the event"
    );

    let text = ssf::map(event("s-03")).expect("maps");
    assert_eq!(parse(&text).personal.and_then(|personal| personal.device).as_deref(), Some("dev-9"));
    let text = ssf::map(event("s-07")).expect("maps");
    let key = parse(&text).executor.and_then(|who| who.key).map(|key| key.to_string());
    assert_eq!(key.as_deref(), Some("oidc:idp.example/7421//ann@example.com"));
    let text = ssf::map(event("s-17")).expect("maps");
    assert_eq!(parse(&text).step_type, Some(StepType::SecurityEvent));
    let text = ssf::map(event("s-24")).expect("maps");
    assert_eq!(parse(&text).personal.and_then(|personal| personal.address).as_deref(), Some("192.0.2.75"));
    // `toe`, `iat`, milliseconds as in drafts.
    for (jti, time) in [
        ("s-32", "2026-09-21T14:13:20.000000Z"),
        ("s-18", "2026-09-21T14:16:10.000000Z"),
        ("s-35", "2026-09-21T14:15:00.123000Z"),
    ] {
        assert_eq!(parse(&ssf::map(event(jti)).expect("maps")).time.to_string(), time, "{jti}");
    }
}

#[test]
fn the_transmitters_own_accounts_are_those_of_its_log() {
    let of = |jti: &str| {
        let signal = ssf::signal(event(jti), Some("okta")).expect("maps");
        let record = parse(&signal.record);
        (effects(&record), signal.is_known)
    };
    assert_eq!(of("s-02"), ("revoked credential session sess-2 of okta:5d1c".to_owned(), true));
    assert_eq!(of("s-32").0, "revoked credential session of okta:acct-7");
    // Another issuer's are not.
    assert_eq!(of("s-34").0, "revoked credential token of oidc:accounts.example//1024");
    assert_eq!(of("s-35"), (String::new(), false));
}

#[test]
fn a_file_may_hold_tokens() {
    let token = |claims: &str| format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
    let lines: Vec<String> = SSF.lines().map(token).collect();
    let text = format!("\n{}\neyJ.!.x\neyJhbGciOiJub25lIn0\n", lines.join("\r\n\n"));
    assert_eq!(source::guess(text.as_bytes(), "x"), Some(Source::Ssf));
    let found: Vec<_> = records(Source::Ssf, text.as_bytes()).collect();
    let plain: Vec<_> = records(Source::Ssf, SSF.as_bytes()).flatten().map(|found| found.record).collect();
    assert_eq!(found.iter().flatten().map(|found| found.record.clone()).collect::<Vec<_>>(), plain);
    let errors: Vec<_> = found.iter().filter_map(|found| found.as_ref().err()).collect();
    assert_eq!(errors.iter().map(|error| error.line).collect::<Vec<_>>(), [71, 72]);
    assert!(errors.iter().all(|error| error.error.contains("three parts in base64url")), "{errors:?}");
    assert_eq!(source::guess(SSF.as_bytes(), "x"), Some(Source::Ssf));
}

#[test]
fn what_is_no_event_is_refused_by_the_field() {
    let set: Value = serde_json::from_str(event("s-18")).expect("JSON");
    for (name, value, says) in [
        ("jti", json!(null), "field `jti`"),
        ("iss", json!(""), "field `iss`"),
        ("iat", json!("1790000170"), "field `iat`: expected seconds"),
        ("events", json!({}), "field `events`"),
        ("events", json!([]), "field `events`"),
        (
            "events",
            json!({"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {},
                   "https://schemas.openid.net/secevent/risc/event-type/account-disabled": {}}),
            "field `events`: expected one event, found several",
        ),
    ] {
        let mut set = set.clone();
        set[name] = value;
        let error = ssf::map(&set.to_string()).expect_err("refused");
        assert!(error.starts_with(says), "{error}");
    }
    let mut set = set.clone();
    set.as_object_mut().expect("an object").remove("iat");
    assert_eq!(ssf::map(&set.to_string()), Err("field `iat`: missing".to_owned()));
}
