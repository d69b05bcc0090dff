//! CloudTrail events and their records.

use deed_collect::{Source, cloudtrail, records};
use deed_record::{Basis, Change, Disclosable, Kind, PrincipalType, Status, StepType};
use serde_json::{Value, json};

use crate::{CLOUDTRAIL, parse, value_of};

/// The record of the fixture's only event of this name and sort of caller.
pub(crate) fn fixture(name: &str, caller: &str) -> String {
    let events: Vec<Value> = serde_json::from_str(CLOUDTRAIL).expect("JSON");
    let mut found = events.iter().filter(|e| e["eventName"] == name && e["userIdentity"]["type"] == caller);
    let event = found.next().unwrap_or_else(|| panic!("no {name} by {caller}"));
    assert!(found.next().is_none());
    cloudtrail::map(&event.to_string()).expect("maps")
}

pub(crate) fn map(event: Value) -> String {
    cloudtrail::map(&event.to_string()).expect("maps")
}

#[test]
fn every_event_of_the_fixture_has_a_record() {
    let records: Vec<_> =
        records(Source::CloudTrail, CLOUDTRAIL.as_bytes()).map(|r| r.expect("maps")).collect();
    assert_eq!(records.len(), 12);
    assert_eq!((records[0].line, records[11].line > 300), (2, true));
    for mapped in &records {
        let record = parse(&mapped.record);
        assert_eq!((record.kind, record.basis), (Kind::Observation, Some(Basis::Imported)));
        // The event is kept exactly as it stands in the file.
        let Some(Disclosable::Whole(event)) = record.disclose.get("event") else { panic!("no event") };
        assert!(CLOUDTRAIL.contains(&**event));
        assert_eq!(record.disclose.0.len(), 1);
    }
}

#[test]
fn a_text_that_was_cut_within_a_character_costs_no_event() {
    let event = |id: &str, agent: &str| {
        format!(
            r#"{{"eventID":"{id}","eventTime":"2026-11-01T10:00:00Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","userAgent":"{agent}","sourceIPAddress":"192.0.2.1","requestParameters":{{"bucketName":"b-{agent}","key":"k"}}}}"#
        )
    };
    let file = format!(r#"{{"Records":[{},{}]}}"#, event("1", "cut \\ud83d"), event("2", "\\ud83d\\ude00"));
    let records: Vec<_> = records(Source::CloudTrail, file.as_bytes()).map(|r| r.expect("maps")).collect();
    assert_eq!(records.len(), 2);
    let record = parse(&records[0].record);
    assert_eq!(record.resource.expect("an object").uri, "arn:aws:s3:::b-cut \u{fffd}".into());
    // The event stays as it is.
    let Some(Disclosable::Whole(kept)) = record.disclose.get("event") else { panic!("no event") };
    assert_eq!(&**kept, event("1", "cut \\ud83d"));
    assert!(records[1].record.contains("arn:aws:s3:::b-😀"));
}

#[test]
fn an_aggregated_event_is_none() {
    let aggregated = json!({
        "eventVersion": "1.0", "accountId": "111122223333", "eventId": "1", "eventCategory": "Aggregated",
        "eventType": "AwsAggregatedEvent", "eventSource": "s3.amazonaws.com",
        "timeWindow": {"windowStart": "2026-11-21T12:00:00Z", "windowEnd": "2026-11-21T12:05:00Z", "windowSize": "PT5M"},
        "summary": {"primaryDimension": {"dimension": "eventName", "statistics": [{"name": "GetObject", "value": 512}]}},
    });
    let error = cloudtrail::map(&aggregated.to_string()).expect_err("tells of no single event");
    assert!(error.contains("aggregated event"), "{error}");
}

#[test]
fn an_assumed_role_is_issued_a_key() {
    let text = fixture("AssumeRole", "IAMUser");
    let record = parse(&text);
    assert_eq!(record.time.to_string(), "2024-07-30T21:31:15.000000Z");
    assert_eq!(record.operation.as_deref(), Some("sts:AssumeRole"));
    assert_eq!(record.permission, record.operation);
    let source = record.source.expect("imported");
    assert_eq!(
        (&*source.system, source.collector.as_deref()),
        ("cloudtrail:457448411975", Some("cloudtrail/8"))
    );
    let executor = record.executor.expect("an action");
    assert_eq!(executor.key.as_deref(), Some("aws:arn:aws:iam::457448411975:user/christophe"));
    // A user of IAM may be a program.
    assert_eq!((executor.kind, executor.name.as_deref()), (PrincipalType::Unknown, Some("christophe")));
    assert_eq!(record.initiator, None);
    let credential = record.credential.expect("a key");
    assert_eq!(
        (credential.id.as_deref(), credential.kind.as_deref()),
        (Some("AKIAWOGXN38MFN92ING5"), Some("access_key"))
    );
    let resource = record.resource.expect("the role");
    assert_eq!(&*resource.uri, "arn:aws:iam::457448411975:role/stratus-red-team-ec2-get-password-data-role");
    assert_eq!(resource.kind.as_deref(), Some("AWS::IAM::Role"));
    assert_eq!(record.outcome.map(|o| o.status), Some(Status::Success));
    assert_eq!(
        record.personal.and_then(|p| p.address).map(|a| a.to_string()),
        Some("200.249.253.51".to_owned())
    );

    let effects = record.effects.expect("a key was issued");
    let [effect] = &effects[..] else { panic!("one effect") };
    assert_eq!(effect.kind, Kind::Credential);
    let issued = effect.credential.as_ref().expect("the key");
    assert_eq!(issued.id.as_deref(), Some("ASIA7RQR64ZW9JXKWPUO"));
    assert_eq!(issued.kind.as_deref(), Some("temporary_key"));
    assert_eq!(issued.parent.as_deref(), Some("AKIAWOGXN38MFN92ING5"));
    assert_eq!(issued.expires.map(|t| t.to_string()).as_deref(), Some("2024-07-30T21:46:15.000000Z"));
    let terms = effect.terms.as_ref().expect("for whom");
    assert_eq!((terms.change, terms.expires), (Some(Change::Issued), issued.expires));
    let subject = terms.subject.as_ref().expect("the role");
    assert_eq!(subject.instance.as_deref(), Some("aws-go-sdk-1722375070115152000"));
    // The same account and instance as in the calls that the key is used for.
    let used = fixture("GetPasswordData", "AssumedRole");
    let user = parse(&used).executor.expect("an action");
    assert_eq!((subject.key.clone(), subject.instance.clone()), (user.key, user.instance));
}

#[test]
fn a_refusal_is_denied_and_changes_nothing() {
    let text = fixture("GetPasswordData", "AssumedRole");
    let record = parse(&text);
    let outcome = record.outcome.expect("it failed");
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (Status::Denied, Some("Client.UnauthorizedOperation"))
    );
    assert_eq!(record.executor.map(|e| e.kind), Some(PrincipalType::ServiceAccount));
    assert_eq!(record.session.as_deref(), Some("AROAMLQ9F6KHQ07JKA0WY:aws-go-sdk-1722375070115152000"));
    assert_eq!(
        record
            .resource
            .map(|r| r.uri.to_string())
            .as_deref()
            .map(|u| u.ends_with("instance/i-i2jnm5swa59p4fxg")),
        Some(true)
    );
    let credential = record.credential.expect("a key");
    assert_eq!(credential.issued.map(|t| t.to_string()).as_deref(), Some("2024-07-30T21:31:15.000000Z"));

    let create = json!({
        "eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventSource": "iam.amazonaws.com", "eventType": "AwsApiCall",
        "eventName": "AttachUserPolicy", "recipientAccountId": "1", "errorCode": "AccessDenied",
        "requestParameters": {"userName": "x", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
    });
    assert_eq!(parse(&map(create)).effects, None);
}

#[test]
fn changes_of_authority_are_effects() {
    for (name, kind, change, subject) in [
        (
            "CreateAccessKey",
            Kind::Credential,
            Change::Issued,
            Some("aws:arn:aws:iam::946986569305:user/stratus-red-team-backdoor-u-user"),
        ),
        (
            "AttachRolePolicy",
            Kind::Grant,
            Change::Issued,
            Some("aws:arn:aws:iam::609418236337:role/stratus-red-team-malicious-iam-role"),
        ),
        (
            "CreateUser",
            Kind::Principal,
            Change::Issued,
            Some("aws:arn:aws:iam::229654561268:user/malicious-iam-user"),
        ),
        ("UpdateAssumeRolePolicy", Kind::Grant, Change::Altered, None),
        ("AddPermission20150331v2", Kind::Grant, Change::Issued, Some("aws:*")),
        (
            "GetFederationToken",
            Kind::Credential,
            Change::Issued,
            Some("aws:arn:aws:sts::742491224508:federated-user/stratus_red_team"),
        ),
    ] {
        let text = fixture(name, "IAMUser");
        let effects = parse(&text).effects.unwrap_or_else(|| panic!("{name} has no effect"));
        let [effect] = &effects[..] else { panic!("{name}: one effect") };
        let terms = effect.terms.as_ref().expect("terms");
        assert_eq!((effect.kind, terms.change), (kind, Some(change)), "{name}");
        assert_eq!(terms.subject.as_ref().and_then(|s| s.key.as_deref()), subject, "{name}");
    }
    let text = fixture("AttachRolePolicy", "IAMUser");
    let effects = parse(&text).effects.expect("a grant");
    assert_eq!(
        &*effects[0].terms.as_ref().expect("terms").scopes[0],
        "arn:aws:iam::aws:policy/AdministratorAccess"
    );
    for name in ["ConsoleLogin", "DeleteTrail"] {
        assert_eq!(parse(&fixture(name, "IAMUser")).effects, None, "{name}");
    }
    assert_eq!(
        parse(&fixture("AddPermission20150331v2", "IAMUser")).permission.as_deref(),
        Some("lambda:AddPermission")
    );
}

#[test]
fn what_was_to_be_deleted_may_be_taken_back() {
    for (service, name, id) in
        [("secretsmanager", "RestoreSecret", "secretId"), ("kms", "CancelKeyDeletion", "keyId")]
    {
        let text = map(json!({
            "eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventSource": format!("{service}.amazonaws.com"),
            "eventName": name, "eventType": "AwsApiCall", "requestParameters": {id: "x"},
        }));
        let effects = parse(&text).effects.expect("a credential");
        assert_eq!(effects[0].terms.as_ref().and_then(|terms| terms.change), Some(Change::Renewed), "{name}");
    }
}

#[test]
fn open_sessions_of_a_role_are_revoked_by_a_policy_of_that_name() {
    let of = |name: &str, policy: &str, document: &str| {
        let text = map(json!({
            "eventID": "1", "eventTime": "2026-11-22T21:00:00Z", "eventSource": "iam.amazonaws.com", "eventName": name,
            "eventType": "AwsApiCall", "recipientAccountId": "111122223333",
            "requestParameters": {"roleName": "rr", "policyName": policy, "policyDocument": document},
        }));
        let effects: Value = serde_json::from_str::<Value>(&text).expect("JSON")["effects"].take();
        assert_eq!(effects[0]["kind"], "grant");
        effects[1].clone()
    };
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],
        "Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-11-22T20:59:58.123Z"}}}]}"#;
    let revoked = of("PutRolePolicy", "AWSRevokeOlderSessions", document);
    assert_eq!(revoked["kind"], "credential");
    assert_eq!(revoked["credential"], json!({"issuer": "sts.amazonaws.com", "type": "temporary_key"}));
    let terms = &revoked["terms"];
    assert_eq!(
        (&terms["change"], &terms["not_before"]),
        (&json!("revoked"), &json!("2026-11-22T20:59:58.123000Z"))
    );
    assert_eq!(terms["subject"]["key"], "aws:arn:aws:iam::111122223333:role/rr");
    // A document that cannot be read leaves the time of the call.
    let terms = &of("PutRolePolicy", "AWSRevokeOlderSessions", "{")["terms"];
    assert_eq!((&terms["change"], &terms["not_before"]), (&json!("revoked"), &Value::Null));
    assert_eq!(of("DeleteRolePolicy", "AWSRevokeOlderSessions", "")["terms"]["change"], "renewed");
    assert_eq!(of("PutRolePolicy", "other", document), Value::Null);
}

#[test]
fn what_was_only_tried_out_is_cancelled() {
    let text = map(json!({
        "eventID": "1", "eventTime": "2026-11-22T21:00:00Z", "eventSource": "ec2.amazonaws.com",
        "eventName": "RunInstances", "eventType": "AwsApiCall", "errorCode": "Client.DryRunOperation",
    }));
    let outcome = parse(&text).outcome.expect("an end");
    assert_eq!(
        (outcome.status, outcome.code.as_deref()),
        (Status::Cancelled, Some("Client.DryRunOperation"))
    );
}

/// The effects of a call of IAM or another service.
fn effects_of(service: &str, name: &str, parameters: Value) -> Value {
    let text = map(json!({
        "eventID": "1", "eventTime": "2026-11-22T21:00:00Z", "eventSource": format!("{service}.amazonaws.com"),
        "eventName": name, "eventType": "AwsApiCall", "recipientAccountId": "111122223333",
        "requestParameters": parameters,
    }));
    serde_json::from_str::<Value>(&text).expect("JSON")["effects"].take()
}

#[test]
fn only_a_policy_that_denies_all_to_older_sessions_revokes_them() {
    let put = |statement: Value| {
        let document = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
        let policy =
            json!({"roleName": "rr", "policyName": "AWSRevokeOlderSessions", "policyDocument": document});
        effects_of("iam", "PutRolePolicy", policy)[1]["terms"]["change"].take()
    };
    let older = json!({"aws:TokenIssueTime": "2026-11-22T20:59:58Z"});
    let statement = |effect: &str, action: &str, condition: Value| json!({"Effect": effect, "Action": action, "Resource": "*", "Condition": condition});
    assert_eq!(put(statement("Deny", "*", json!({"DateLessThan": older}))), "revoked");
    for other in [
        statement("Allow", "*", json!({"DateLessThan": older})),
        statement("Deny", "iam:*", json!({"DateLessThan": older})),
        statement("Deny", "*", json!({"DateLessThan": older, "StringEquals": {"aws:userid": "AROA1:ann"}})),
        statement("Deny", "*", json!({"StringEquals": {"aws:userid": "AROA1:ann"}})),
    ] {
        // What stood under this name before is gone, too.
        assert_eq!(put(other.clone()), "renewed", "{other}");
    }
}

#[test]
fn what_only_denies_gives_no_right() {
    let attach =
        |arn: &str| effects_of("iam", "AttachUserPolicy", json!({"userName": "ann", "policyArn": arn}));
    assert_eq!(attach("arn:aws:iam::aws:policy/AWSDenyAll"), Value::Null);
    assert_eq!(attach("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"), Value::Null);
    assert_eq!(attach("arn:aws:iam::111122223333:policy/AWSDenyAll")[0]["terms"]["change"], "issued");
    let put = |effects: &[&str]| {
        let all: Vec<Value> =
            effects.iter().map(|effect| json!({"Effect": effect, "Action": "s3:*"})).collect();
        let document = json!({"Statement": all}).to_string();
        let policy = json!({"userName": "ann", "policyName": "x", "policyDocument": document});
        effects_of("iam", "PutUserPolicy", policy)[0]["terms"]["change"].take()
    };
    assert_eq!((put(&["Deny"]), put(&["Deny", "Allow"])), (json!("revoked"), json!("altered")));
}

#[test]
fn what_a_group_or_an_organisation_may_do_is_altered_for_whoever_is_in_it() {
    let effects = effects_of("iam", "PutGroupPolicy", json!({"groupName": "devs", "policyName": "x"}));
    assert_eq!(effects[0]["terms"]["subject"]["key"], "aws:arn:aws:iam::111122223333:group/devs");
    assert_eq!(
        effects[1]["terms"],
        json!({"change": "altered", "role": "arn:aws:iam::111122223333:group/devs"})
    );
    let policy = json!({"policyId": "p-1", "targetId": "111122223333"});
    let effects = effects_of("organizations", "DetachPolicy", policy);
    assert_eq!(effects[0]["terms"], json!({"change": "altered", "scopes": ["p-1"]}));
    assert_eq!(effects[0]["resource"], json!({"uri": "cloudtrail:111122223333"}));
    for of_many in [json!({"policyId": "p-1", "targetId": "ou-ab12-c3"}), json!({"policyId": "p-1"})] {
        assert_eq!(effects_of("organizations", "UpdatePolicy", of_many)[0]["resource"]["uri"], "cloudtrail");
    }
}

#[test]
fn a_key_is_taken_away_from_whom_the_request_names_or_who_asks() {
    let delete = |parameters: Value| {
        let text = map(json!({
            "eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventSource": "iam.amazonaws.com", "eventType": "AwsApiCall",
            "eventName": "UpdateAccessKey", "recipientAccountId": "111122223333", "requestParameters": parameters,
            "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ann", "userName": "ann", "accountId": "111122223333"},
        }));
        let effects = parse(&text).effects.expect("an effect");
        let terms = effects[0].terms.clone().expect("terms");
        (terms.change.expect("a change"), terms.subject.and_then(|s| s.key).expect("a subject").to_string())
    };
    assert_eq!(
        delete(json!({"userName": "bob", "accessKeyId": "AKIA1", "status": "Inactive"})),
        (Change::Revoked, "aws:arn:aws:iam::111122223333:user/bob".to_owned())
    );
    assert_eq!(
        delete(json!({"accessKeyId": "AKIA1", "status": "Active"})),
        (Change::Renewed, "aws:arn:aws:iam::111122223333:user/ann".to_owned())
    );
}

#[test]
fn a_sign_in_says_how_it_ended_in_its_answer() {
    let record = fixture("ConsoleLogin", "IAMUser");
    let record = parse(&record);
    assert_eq!(record.outcome.map(|o| o.status), Some(Status::Success));
    // No policy of IAM guards it.
    assert_eq!((record.operation.as_deref(), record.permission), (Some("signin:ConsoleLogin"), None));
    let failed = map(json!({
        "eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin",
        "eventType": "AwsConsoleSignIn", "errorMessage": "Failed authentication", "responseElements": {"ConsoleLogin": "Failure"},
        "userIdentity": {"type": "IAMUser", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS", "accountId": "1", "principalId": "AIDA1", "accessKeyId": ""},
    }));
    let failed = parse(&failed);
    assert_eq!(failed.outcome.map(|o| o.status), Some(Status::Denied));
    assert_eq!(failed.executor.and_then(|e| e.key).as_deref(), Some("aws:AIDA1"));
    assert_eq!(failed.credential, None);
}

#[test]
fn other_sorts_of_events_are_recorded_as_what_they_are() {
    let insight = map(json!({
        "eventID": "i", "eventTime": "2024-08-01T13:29:57Z", "eventType": "AwsCloudTrailInsight", "recipientAccountId": "1",
        "insightDetails": {"state": "Start", "eventSource": "iam.amazonaws.com", "eventName": "AttachUserPolicy"},
    }));
    let insight = parse(&insight);
    assert_eq!(
        (insight.step_type, insight.operation.as_deref()),
        (Some(StepType::SecurityEvent), Some("AwsCloudTrailInsight"))
    );
    assert_eq!((insight.permission, insight.outcome, insight.effects), (None, None, None));

    let rotation = map(json!({
        "eventID": "r", "eventTime": "2024-08-01T13:29:57Z", "eventType": "AwsServiceEvent", "eventSource": "secretsmanager.amazonaws.com",
        "eventName": "RotationSucceeded", "recipientAccountId": "1", "userIdentity": {"accountId": "1", "invokedBy": "secretsmanager.amazonaws.com"},
        "additionalEventData": {"SecretId": "arn:aws:secretsmanager:eu-west-1:1:secret:db-AbCdEf"},
    }));
    let effects = parse(&rotation).effects.expect("rotated");
    assert_eq!(effects[0].terms.as_ref().and_then(|t| t.change), Some(Change::Rotated));

    let unheard = map(
        json!({"eventID": "u", "eventTime": "2031-08-01T13:29:57Z", "eventType": "AwsTelepathy", "shape": [[[]]]}),
    );
    assert_eq!(parse(&unheard).operation.as_deref(), Some("AwsTelepathy"));
    assert_eq!(parse(&map(json!({"eventID": "u", "eventTime": "2031-08-01T13:29:57Z"}))).operation, None);
}

#[test]
fn resources_are_named_alike_whatever_names_them() {
    let resource = |service: &str, name: &str, parameters: Value| {
        let text = map(json!({
            "eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventSource": format!("{service}.amazonaws.com"), "eventName": name,
            "eventType": "AwsApiCall", "recipientAccountId": "111122223333", "awsRegion": "eu-west-1", "requestParameters": parameters,
        }));
        parse(&text).resource.map(|r| (r.uri.to_string(), r.kind.map(|k| k.to_string()).unwrap_or_default()))
    };
    for (service, name, parameters, uri, kind) in [
        ("s3", "DeleteBucket", json!({"bucketName": "ledger"}), "arn:aws:s3:::ledger", "AWS::S3::Bucket"),
        (
            "iam",
            "CreateUser",
            json!({"userName": "jane.doe@corp.example"}),
            "arn:aws:iam::111122223333:user/",
            "AWS::IAM::User",
        ),
        (
            "ec2",
            "StopInstances",
            json!({"instancesSet": {"items": [{"instanceId": "i-1"}]}}),
            "arn:aws:ec2:eu-west-1:111122223333:instance/i-1",
            "AWS::EC2::Instance",
        ),
        (
            "secretsmanager",
            "GetSecretValue",
            json!({"secretId": "arn:aws:secretsmanager:eu-west-1:1:secret:x"}),
            "arn:aws:secretsmanager:eu-west-1:1:secret:x",
            "AWS::SecretsManager::Secret",
        ),
        (
            "kms",
            "Decrypt",
            json!({"keyId": "alias/app"}),
            "arn:aws:kms:eu-west-1:111122223333:alias/app",
            "AWS::KMS::Alias",
        ),
        (
            "ssm",
            "GetParameter",
            json!({"name": "/app/db"}),
            "arn:aws:ssm:eu-west-1:111122223333:parameter/app/db",
            "AWS::SSM::Parameter",
        ),
        (
            "ssm",
            "GetParameters",
            json!({"names": ["db", "x"]}),
            "arn:aws:ssm:eu-west-1:111122223333:parameter/db",
            "AWS::SSM::Parameter",
        ),
        (
            "lambda",
            "Invoke",
            json!({"functionName": "f"}),
            "arn:aws:lambda:eu-west-1:111122223333:function:f",
            "AWS::Lambda::Function",
        ),
        (
            "sqs",
            "SendMessage",
            json!({"queueUrl": "https://sqs.eu-west-1.amazonaws.com/1/q"}),
            "https://sqs.eu-west-1.amazonaws.com/1/q",
            "AWS::SQS::Queue",
        ),
        (
            "glue",
            "GetTags",
            json!({"resourceArn": "arn:aws:iam::1:role/x"}),
            "arn:aws:iam::1:role/x",
            "AWS::IAM::Role",
        ),
    ] {
        assert_eq!(
            resource(service, name, parameters),
            Some((uri.to_owned(), kind.to_owned())),
            "{service}:{name}"
        );
    }
    assert_eq!(resource("glue", "GetTags", json!({"resourceArn": "not one"})), None);
    assert_eq!(resource("s3", "ListBuckets", json!(null)), None);
}

#[test]
fn what_is_around_an_event_is_taken_off() {
    let event = r#"{"eventID":"1", "eventTime":"2024-08-01T13:29:57Z"}"#;
    let of_lookup = json!({"EventId": "1", "Username": "ann", "CloudTrailEvent": event}).to_string();
    let of_bridge =
        format!(r#"{{"version":"0","id":"x","detail-type":"AWS API Call via CloudTrail","detail":{event}}}"#);
    let of_logs = json!({"id": "7", "timestamp": 1, "message": event}).to_string();
    for text in [event, &of_lookup, &of_bridge, &of_logs] {
        let record = cloudtrail::map(text).expect("maps");
        let record = parse(&record);
        let Some(Disclosable::Whole(kept)) = record.disclose.get("event") else { panic!("no event") };
        assert_eq!(kept, event);
    }
}

#[test]
fn a_delivery_of_cloudwatch_logs_is_a_list_of_events() {
    let message = |id: u8| json!({"id": "7", "message": format!(r#"{{"eventID":"{id}","eventTime":"2024-08-01T13:29:57Z"}}"#)});
    for list in ["logEvents", "events"] {
        let delivery = json!({"messageType": "DATA_MESSAGE", "owner": "1", list: [message(1), message(2)]});
        let found: Vec<_> = records(Source::CloudTrail, delivery.to_string().as_bytes()).collect();
        let ids: Vec<_> = found
            .iter()
            .map(|mapped| parse(&mapped.as_ref().expect("maps").record).source.expect("imported").event_id)
            .map(|id| id.expect("an id").to_string())
            .collect();
        assert_eq!(ids, ["1", "2"]);
    }
}

/// A call with these members besides.
fn call(name: &str, more: Value) -> Value {
    let mut event = json!({
        "eventID": "1", "eventTime": "2026-11-22T21:00:00Z", "eventSource": "sts.amazonaws.com", "eventName": name,
        "eventType": "AwsApiCall", "recipientAccountId": "111122223333",
        "userIdentity": {"type": "AssumedRole", "arn": "arn:aws-cn:sts::111122223333:assumed-role/ops/s",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws-cn:iam::111122223333:role/ops"}}},
    });
    let Value::Object(more) = more else { panic!("an object") };
    event.as_object_mut().expect("an object").extend(more);
    serde_json::from_str(&map(event)).expect("JSON")
}

#[test]
fn the_root_of_another_account_is_nobody_who_asked_for_its_key() {
    let target = |target: &str| {
        let mut record = call(
            "AssumeRoot",
            json!({
                "requestParameters": {"targetPrincipal": target},
                "responseElements": {"credentials": {"accessKeyId": "ASIAROOT"}},
            }),
        );
        (record["effects"][0]["terms"]["subject"]["key"].take(), record["executor"]["key"].take())
    };
    let role = json!("aws:arn:aws-cn:iam::111122223333:role/ops");
    let root = json!("aws:arn:aws-cn:iam::222222222222:root");
    assert_eq!(target("222222222222"), (root.clone(), role.clone()));
    assert_eq!(target("arn:aws-cn:iam::222222222222:root"), (root, role));
}

#[test]
fn the_console_says_who_switched_to_a_role() {
    let asked = |from: &str| {
        call("SwitchRole", json!({"additionalEventData": {"SwitchFrom": from}}))["initiator"]["key"].take()
    };
    assert_eq!(asked("arn:aws:iam::111122223333:user/ann"), "aws:arn:aws:iam::111122223333:user/ann");
    assert_eq!(
        asked("arn:aws:sts::111122223333:assumed-role/dev/x"),
        "aws:arn:aws:iam::111122223333:role/dev"
    );
    assert_eq!(asked("somebody"), Value::Null);
}

#[test]
fn an_addendum_belongs_to_the_action_of_the_event_that_it_corrects() {
    let of = |original: &str| {
        call(
            "GetCallerIdentity",
            json!({"addendum": {"reason": "UPDATED_DATA", "originalEventID": original}}),
        )["action_event"]
            .take()
    };
    assert_eq!(of("0"), "0");
    // It cannot be a part of itself.
    assert_eq!(of("1"), Value::Null);
}

#[test]
fn what_is_no_event_is_refused_by_field() {
    for (event, error) in [
        (r#"{"eventTime":"2024-08-01T13:29:57Z"}"#, "field `eventID`: missing"),
        (
            r#"{"eventID":7,"eventTime":"2024-08-01T13:29:57Z"}"#,
            "field `eventID`: expected a string, found a number",
        ),
        (r#"{"eventID":"","eventTime":"2024-08-01T13:29:57Z"}"#, "field `eventID`: empty"),
        (r#"{"eventID":"1"}"#, "field `eventTime`: missing"),
        (
            r#"{"eventID":"1","eventTime":"yesterday"}"#,
            "field `eventTime`: expected an RFC 3339 time such as 2026-11-20T10:00:00Z, found `yesterday`",
        ),
        (
            r#"{"eventID":"1","eventTime":1722518997}"#,
            "field `eventTime`: expected an RFC 3339 time, found a number",
        ),
        (
            r#"{"eventID":"1","eventTime":"9999-12-31T23:59:59Z"}"#,
            "field `eventTime`: expected a time from 1970 to 2199, found `9999-12-31T23:59:59.000000Z`",
        ),
        (
            r#"{"eventID":"1","eventTime":"0001-01-01T00:00:00Z"}"#,
            "field `eventTime`: expected a time from 1970 to 2199, found `0001-01-01T00:00:00.000000Z`",
        ),
        ("[1]", "expected an object, found a list"),
        ("\"x\"", "expected an object, found a string"),
    ] {
        assert_eq!(cloudtrail::map(event), Err(error.to_owned()), "{event}");
    }
    for text in ["", "{", "{\"eventID\":\"1\"} x", "nonsense"] {
        assert!(cloudtrail::map(text).expect_err("no JSON").starts_with("not JSON: "), "{text}");
    }
}

#[test]
fn a_signing_certificate_is_a_credential_of_its_user() {
    let of = |action: &str, asked: Value, answer: Value| {
        let event = json!({
            "eventID": "1", "eventTime": "2026-11-20T10:00:00Z", "eventSource": "iam.amazonaws.com", "eventName": action,
            "userIdentity": {"type": "IAMUser", "arn": "arn:aws:iam::1:user/adm", "accountId": "1"},
            "requestParameters": asked, "responseElements": answer,
        });
        let record = value_of(&cloudtrail::map(&event.to_string()).expect("maps"));
        let effect = &record["effects"][0];
        (
            effect["credential"]["type"].clone(),
            effect["credential"]["id"].clone(),
            effect["terms"]["change"].clone(),
        )
    };
    let told = |change: &str| (json!("signing_certificate"), json!("C1"), json!(change));
    let certificate = json!({"certificate": {"certificateId": "C1"}});
    assert_eq!(of("UploadSigningCertificate", json!({"userName": "bk"}), certificate), told("issued"));
    let named = |status: &str| json!({"userName": "bk", "certificateId": "C1", "status": status});
    assert_eq!(of("UpdateSigningCertificate", named("Inactive"), Value::Null), told("revoked"));
    assert_eq!(of("UpdateSigningCertificate", named("Active"), Value::Null), told("renewed"));
    assert_eq!(of("DeleteSigningCertificate", named("Active"), Value::Null), told("revoked"));
}
