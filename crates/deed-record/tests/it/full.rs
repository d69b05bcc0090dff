//! Records with every member filled. Written without `..`, so that a new member must be added here.

use std::borrow::Cow;

use deed_record::{
    Account, Answer, Artifact, Basis, ChainHop, Change, Commitments, Credential, Decision, Digests,
    Disclosable, Disclose, Effect, EffectSent, Hop, Kind, Outcome, Party, Personal, PersonalSent, Principal,
    PrincipalType, Pseudonym, RecordId, Resource, Ruling, SecretSeen, Skeleton, Source, SpanId, Status,
    StepType, Submission, Terms, TermsSent, Text, Timestamp, Tool, TraceId, Utf16Ordered, V,
};

fn text(text: &'static str) -> Option<Text<'static>> {
    Some(text.into())
}

fn id(last: u8) -> Option<RecordId> {
    let mut bytes = *b"\x01\x93\xa7\x00\x12\x34\x7a\xbc\x8d\xef\x00\x11\x22\x33\x44\x00";
    bytes[15] = last;
    Some(RecordId(bytes))
}

fn time(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp(1_795_168_800_123_456 + seconds * 1_000_000))
}

fn credential() -> Option<Credential<'static>> {
    Some(Credential {
        expires: time(3600),
        fingerprint: text("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
        id: text("ASIAIOSFODNN7EXAMPLE"),
        issued: time(-60),
        issuer: text("https://issuer.acme.example"),
        jti: text("4f6c1c1e"),
        parent: text("AKIAIOSFODNN7EXAMPLE"),
        scopes: vec!["tickets:read".into(), "tickets:write".into()],
        kind: text("bearer"),
        upstream: text("0193a704-1004-7abc-8def-001122330004"),
    })
}

fn resource() -> Option<Resource<'static>> {
    Some(Resource { classification: text("internal"), kind: text("ticket"), uri: "ticket:/4711".into() })
}

fn principal() -> Principal<'static> {
    Principal {
        instance: text("run-88"),
        key: text("aws:arn:aws:iam::111122223333:role/release"),
        name: text("Release bot"),
        kind: PrincipalType::Agent,
        vendor: text("Initech"),
    }
}

fn terms_sent() -> Option<TermsSent<'static>> {
    Some(TermsSent {
        answer: Some(Answer::Approved),
        by: Some(principal()),
        change: Some(Change::Issued),
        expires: time(7200),
        not_before: time(0),
        role: text("schema-migrator"),
        scopes: vec!["db:alter".into()],
        subject: Some(principal()),
    })
}

fn artifact() -> Option<Artifact<'static>> {
    Some(Artifact {
        digest: text("sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"),
        name: "release.tar".into(),
        signer: text("ci@acme.example"),
    })
}

fn decision() -> Option<Decision<'static>> {
    Some(Decision {
        effect: Ruling::StepUp,
        engine: text("cedar 4.14.1"),
        errors: vec!["no attribute `x`".into()],
        obligations: vec!["mask result.tax_id".into()],
        policies: vec!["no-deletes".into()],
        policy_set: text("sha256:3f2a91c4"),
    })
}

fn outcome() -> Option<Outcome<'static>> {
    Some(Outcome {
        code: text("204"),
        compensates: id(3),
        duration_ms: Some(41),
        fields: vec!["tax_id".into()],
        retry_of: id(4),
        status: Status::RolledBack,
    })
}

fn source() -> Option<Source<'static>> {
    Some(Source {
        collector: text("cloudtrail/1"),
        event_id: text("7f3a0c1e"),
        system: "cloudtrail:111122223333".into(),
    })
}

fn tool() -> Option<Tool<'static>> {
    Some(Tool {
        digest: text("sha256:abababababababababababababababababababababababababababababababab"),
        name: "create".into(),
        server: text("tickets"),
        version: text("1.4.0"),
    })
}

/// A record as sent, with everything that one may hold.
pub(crate) fn submission() -> Submission<'static> {
    Submission {
        action: id(1),
        action_event: text("7f3a0c1f"),
        approvals: Some(vec![id(2).expect("an id")]),
        artifact: artifact(),
        basis: Some(Basis::Imported),
        chain: Some(vec![ChainHop {
            credential: text("4f6c1c1e"),
            delegation: id(5),
            principal: principal(),
            scope: vec!["tickets:write".into()],
        }]),
        credential: credential(),
        decision: decision(),
        disclose: Disclose(vec![
            (
                "arguments".into(),
                Disclosable::Members(vec![
                    ("title".into(), Cow::Borrowed(r#""Disk full""#)),
                    ("tags".into(), Cow::Borrowed(r#"[ 1, {"a":1.50} ]"#)),
                ]),
            ),
            ("event".into(), Disclosable::Whole(Cow::Borrowed(r#"{"eventName": "CreateTicket"}"#))),
        ]),
        effects: Some(vec![EffectSent {
            credential: credential(),
            kind: Kind::Credential,
            resource: resource(),
            terms: terms_sent(),
        }]),
        environment: text("prod"),
        exception: id(6),
        executor: Some(principal()),
        grant: id(7),
        id: id(8),
        initiator: Some(principal()),
        kind: Kind::Observation,
        operation: text("tools/call"),
        outcome: outcome(),
        parent_span_id: Some(SpanId([1; 8])),
        permission: text("tickets:write"),
        personal: Some(PersonalSent { address: text("192.0.2.7"), device: text("aws-cli/2.15") }),
        request: id(9),
        resource: resource(),
        retention: text("short"),
        session: text("session-1"),
        source: source(),
        span_id: Some(SpanId([2; 8])),
        step_type: Some(StepType::Tool),
        supersedes: id(10),
        task: text("triage"),
        tenant: text("acme"),
        terms: terms_sent(),
        time: time(0).expect("a time"),
        tool: tool(),
        trace_id: Some(TraceId([3; 16])),
    }
}

fn party() -> Party<'static> {
    Party {
        account: Some(Account([0x5a; 16])),
        instance: text("run-88"),
        kind: PrincipalType::Agent,
        vendor: text("Initech"),
    }
}

fn terms() -> Option<Terms<'static>> {
    Some(Terms {
        answer: Some(Answer::Approved),
        by: Some(party()),
        change: Some(Change::Issued),
        expires: time(7200),
        not_before: time(0),
        role: text("schema-migrator"),
        scopes: vec!["db:alter".into()],
        subject: Some(party()),
    })
}

fn digest() -> Text<'static> {
    "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0".into()
}

/// A record as sealed, with everything that one may hold.
pub(crate) fn skeleton() -> Skeleton<'static> {
    Skeleton {
        action: id(1),
        approvals: Some(vec![id(2).expect("an id")]),
        artifact: artifact(),
        basis: Basis::Imported,
        chain: Some(vec![Hop {
            credential: text("4f6c1c1e"),
            delegation: id(5),
            principal: party(),
            scope: vec!["tickets:write".into()],
        }]),
        conflicts_with: id(11),
        content: text("0c4c2c6669f8b04f0c4c2c6669f8b04f0c4c2c6669f8b04f0c4c2c6669f8b04f"),
        credential: credential(),
        decision: decision(),
        disclose: Commitments(
            [
                (Utf16Ordered("_sd".into()), Digests::Whole(vec![digest()])),
                (Utf16Ordered("arguments".into()), Digests::Members(vec![digest(), digest()])),
            ]
            .into(),
        ),
        effects: Some(vec![Effect {
            credential: credential(),
            kind: Kind::Credential,
            resource: resource(),
            terms: terms(),
        }]),
        environment: text("prod"),
        exception: id(6),
        executor: Some(party()),
        grant: id(7),
        id: id(8).expect("an id"),
        initiator: Some(party()),
        kind: Kind::Observation,
        operation: text("tools/call"),
        outcome: outcome(),
        parent_span_id: Some(SpanId([1; 8])),
        permission: text("tickets:write"),
        personal: Some(Personal { address: Some(Pseudonym([1; 16])), device: Some(Pseudonym([2; 16])) }),
        recorded: time(1).expect("a time"),
        request: id(9),
        resource: resource(),
        retention: text("short"),
        secrets: Some(vec![SecretSeen {
            field: "disclose.arguments.password".into(),
            fingerprint: "hmac-sha256:0c4c2c6669f8b04f0c4c2c6669f8b04f0c4c2c6669f8b04f0c4c2c6669f8b04f"
                .into(),
        }]),
        session: text("session-1"),
        source: source(),
        span_id: Some(SpanId([2; 8])),
        spooled: time(0),
        step_type: Some(StepType::Tool),
        submitter: "collector".into(),
        supersedes: id(10),
        task: text("triage"),
        tenant: "acme".into(),
        terms: terms(),
        time: time(0).expect("a time"),
        tool: tool(),
        trace_id: Some(TraceId([3; 16])),
        v: V,
    }
}
