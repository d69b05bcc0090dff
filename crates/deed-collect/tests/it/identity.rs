//! Who acts and who asks in CloudTrail events.

use deed_record::PrincipalType;
use serde_json::{Value, json};

use crate::{
    cloudtrail::{fixture, map},
    parse,
};

/// An event with `userIdentity` and nothing else of note.
fn by(identity: Value) -> String {
    map(json!({
        "eventID": "1", "eventTime": "2024-08-01T13:29:57Z", "eventSource": "s3.amazonaws.com",
        "eventName": "DeleteBucket", "eventType": "AwsApiCall", "recipientAccountId": "111122223333",
        "awsRegion": "eu-west-1", "userIdentity": identity,
    }))
}

#[test]
fn a_person_behind_a_role_is_asked_for_by_name_and_never_sealed() {
    let text = fixture("EnableSerialConsoleAccess", "AssumedRole");
    let record = parse(&text);
    let initiator = record.initiator.expect("Identity Center says who");
    assert_eq!(
        (initiator.key.as_deref(), initiator.kind),
        (Some("identity-center:randomca0L529zwNAY@gmail.com"), PrincipalType::Human)
    );
    let executor = record.executor.expect("an action");
    assert_eq!(executor.instance, None);
    assert_eq!(record.session.as_deref(), Some("AROAEMHZD694LU95MUYOP:2024-11-26T15:14:58Z"));

    // The name that a federated user's company gave the session: theirs, but nobody vouches for it.
    let text = by(json!({
        "type": "AssumedRole", "principalId": "AROA1:ann@example.com", "arn": "arn:aws:sts::111122223333:assumed-role/ops/ann@example.com",
        "accessKeyId": "ASIA1", "accountId": "111122223333",
        "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/team/ops", "userName": "ops"}},
    }));
    let record = parse(&text);
    assert_eq!(record.initiator, None);
    assert_eq!(record.session, None);
    let executor = record.executor.expect("an action");
    assert_eq!(
        (executor.key.as_deref(), executor.instance),
        (Some("aws:arn:aws:iam::111122223333:role/ops"), None)
    );
}

#[test]
fn a_path_makes_nobody_another() {
    let team = "arn:aws:iam::111122223333:role/team/eu/ops";
    let key = |identity: Value| {
        let text = by(identity);
        parse(&text).executor.expect("an action").key.expect("a key").to_string()
    };
    let session = json!({
        "type": "AssumedRole", "principalId": "AROA1:ci", "arn": "arn:aws:sts::111122223333:assumed-role/ops/ci",
        "accountId": "111122223333", "sessionContext": {"sessionIssuer": {"arn": team, "userName": "ops"}},
    });
    assert_eq!(key(session), "aws:arn:aws:iam::111122223333:role/ops");
    let user = "arn:aws:iam::111122223333:user/team/ann";
    let user = key(json!({"type": "IAMUser", "arn": user, "userName": "ann"}));
    assert_eq!(user, "aws:arn:aws:iam::111122223333:user/ann");
}

#[test]
fn every_type_of_caller_has_a_key() {
    let account = "111122223333";
    for (identity, key, kind) in [
        (
            json!({"type": "Root", "arn": "arn:aws:iam::111122223333:root", "principalId": account}),
            Some("aws:arn:aws:iam::111122223333:root"),
            PrincipalType::Unknown,
        ),
        (
            json!({"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}),
            Some("aws:autoscaling.amazonaws.com"),
            PrincipalType::Workload,
        ),
        (
            json!({"type": "AWSAccount", "principalId": "AROA7:build", "accountId": account}),
            Some("aws:AROA7"),
            PrincipalType::Unknown,
        ),
        (
            json!({"type": "Role", "arn": "arn:aws:iam::111122223333:role/r"}),
            Some("aws:arn:aws:iam::111122223333:role/r"),
            PrincipalType::ServiceAccount,
        ),
        (
            json!({"type": "AssumedRole", "arn": "arn:aws-cn:sts::111122223333:assumed-role/r/s", "principalId": "AROA1:s"}),
            Some("aws:arn:aws-cn:iam::111122223333:role/r"),
            PrincipalType::ServiceAccount,
        ),
        (
            json!({"type": "FederatedUser", "arn": "arn:aws:sts::111122223333:federated-user/f"}),
            Some("aws:arn:aws:sts::111122223333:federated-user/f"),
            PrincipalType::Unknown,
        ),
        (
            json!({"type": "WebIdentityUser", "identityProvider": "arn:aws:iam::1:oidc-provider/token.actions.githubusercontent.com", "userName": "repo:acme/app:ref:refs/heads/main"}),
            Some("oidc:token.actions.githubusercontent.com/repo:acme/app:ref:refs/heads/main"),
            PrincipalType::Workload,
        ),
        (
            json!({"type": "WebIdentityUser", "identityProvider": "accounts.google.com", "userName": "1"}),
            Some("oidc:accounts.google.com/1"),
            PrincipalType::Unknown,
        ),
        (
            json!({"type": "SAMLUser", "identityProvider": "SGVsbG8=", "userName": "ann", "principalId": "SGVsbG8=:ann"}),
            Some("saml:SGVsbG8=/ann"),
            PrincipalType::Unknown,
        ),
        (
            json!({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "u-1", "identityStoreArn": "arn:aws:identitystore::1:identitystore/d-9"}, "credentialId": "c1"}),
            Some("identity-center:d-9/u-1"),
            PrincipalType::Human,
        ),
        (json!({"type": "Directory", "principalId": "d-1"}), Some("aws:d-1"), PrincipalType::Unknown),
        (json!({"type": "Unknown", "principalId": "X"}), Some("aws:X"), PrincipalType::Unknown),
        (
            json!({"accountId": account, "invokedBy": "AWS Internal"}),
            Some("aws:AWS Internal"),
            PrincipalType::Workload,
        ),
        (json!({"type": "IAMUser"}), None, PrincipalType::Unknown),
        (json!({}), None, PrincipalType::Unknown),
        (json!(null), None, PrincipalType::Unknown),
        (json!("odd"), None, PrincipalType::Unknown),
    ] {
        let text = by(identity.clone());
        let executor = parse(&text).executor.expect("an action");
        assert_eq!((executor.key.as_deref(), executor.kind), (key, kind), "{identity}");
    }
}

#[test]
fn whoever_signs_in_through_identity_center_is_one_with_its_user() {
    let signed_in = |role: &str| {
        let event = json!({
            "eventID": "1", "eventTime": "2026-11-17T08:02:00Z", "eventSource": "sts.amazonaws.com",
            "eventName": "AssumeRoleWithSAML", "eventType": "AwsApiCall",
            "userIdentity": {"type": "SAMLUser", "identityProvider": "abc=", "userName": "carol@acme.example"},
            "requestParameters": {"roleArn": role, "roleSessionName": "carol@acme.example"},
        });
        let text = map(event);
        let executor = parse(&text).executor.expect("an action");
        (executor.key.map(|key| key.to_string()), executor.kind)
    };
    let reserved = "arn:aws:iam::1:role/aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Dev_0a1b";
    assert_eq!(
        signed_in(reserved),
        (Some("identity-center:carol@acme.example".to_owned()), PrincipalType::Human)
    );
    // The name of a session is chosen by whoever opens it.
    assert_eq!(
        signed_in("arn:aws:iam::1:role/dev"),
        (Some("saml:abc=/carol@acme.example".to_owned()), PrincipalType::Unknown)
    );
}

/// Who asked, who stands between and who acted in an event with `identity`.
fn people(identity: Value) -> (Option<String>, Vec<String>, Option<String>) {
    let text = by(identity);
    let record = parse(&text);
    let key = |principal: deed_record::Principal<'_>| principal.key.map(|key| key.to_string());
    let hops = record.chain.into_iter().flatten();
    // What was shown is the credential of whoever acted, and of nobody else.
    let chain = hops.inspect(|hop| assert_eq!(hop.credential, None)).filter_map(|hop| key(hop.principal));
    let chain = chain.collect();
    (record.initiator.and_then(key), chain, record.executor.and_then(key))
}

#[test]
fn a_service_that_makes_a_call_is_not_who_asked_for_it() {
    let (ann, role) = ("aws:arn:aws:iam::111122223333:user/ann", "aws:arn:aws:iam::111122223333:role/r");
    let called = |identity: Value, initiator: Option<&str>, chain: &[&str], executor: &str| {
        let expected = (
            initiator.map(str::to_owned),
            chain.iter().map(ToString::to_string).collect(),
            Some(executor.to_owned()),
        );
        assert_eq!(people(identity.clone()), expected, "{identity}");
    };
    // A forward access session: who called the service asked, and the key is theirs.
    let user = json!({
        "type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ann", "userName": "ann", "accessKeyId": "ASIA1",
        "invokedBy": "cloudformation.amazonaws.com",
    });
    called(user, Some(ann), &["aws:cloudformation.amazonaws.com"], ann);
    let direct = json!({"type": "IAMUser", "arn": "arn:aws:iam::111122223333:user/ann", "userName": "ann"});
    called(direct, None, &[], ann);
    // Who opened the session of a root user is not in the event.
    let root = |context: Value| {
        json!({
            "type": "Root", "arn": "arn:aws:iam::111122223333:root", "sessionContext": context, "invokedBy": "s3.amazonaws.com",
        })
    };
    let key = "aws:arn:aws:iam::111122223333:root";
    called(root(json!({})), Some(key), &["aws:s3.amazonaws.com"], key);
    called(root(json!({"assumedRoot": "true"})), None, &[], key);
    // Of a federated user's rights a part of the user's.
    let federated = json!({
        "type": "FederatedUser", "arn": "arn:aws:sts::111122223333:federated-user/f", "invokedBy": "s3.amazonaws.com",
        "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:user/ann"}},
    });
    called(federated, None, &[ann, "aws:s3.amazonaws.com"], "aws:arn:aws:sts::111122223333:federated-user/f");
    let session = |role: &str, name: &str, service: &str| {
        json!({
            "type": "AssumedRole", "principalId": format!("AROA1:{name}"), "invokedBy": service,
            "sessionContext": {"sessionIssuer": {"arn": format!("arn:aws:iam::111122223333:role/{role}")}},
        })
    };
    // A session of any role may be the service's own or that of whoever called it.
    called(session("r", "ci", "cloudformation.amazonaws.com"), None, &[], role);
    let sso = "aws-reserved/sso.amazonaws.com/eu-central-1/AWSReservedSSO_Dev_0a1b";
    called(
        session(sso, "carol@acme.example", "kms.amazonaws.com"),
        Some("identity-center:carol@acme.example"),
        &["aws:kms.amazonaws.com"],
        "aws:arn:aws:iam::111122223333:role/AWSReservedSSO_Dev_0a1b",
    );
    // A service-linked role is its service's, whoever makes the call with it.
    let linked = "aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling";
    let key = "aws:arn:aws:iam::111122223333:role/AWSServiceRoleForAutoScaling";
    let service = Some("aws:autoscaling.amazonaws.com");
    called(session(linked, "AutoScaling", "autoscaling.amazonaws.com"), service, &[], key);
    called(session(linked, "AutoScaling", "ec2.amazonaws.com"), service, &["aws:ec2.amazonaws.com"], key);
    // Nobody is said to have asked a service that acts by itself, or one that comes with another account's rights.
    let service = json!({"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"});
    called(service, None, &[], "aws:autoscaling.amazonaws.com");
    let other = json!({"type": "AWSAccount", "principalId": "AROA7:build", "accountId": "444455556666", "invokedBy": "s3.amazonaws.com"});
    called(other, None, &[], "aws:AROA7");
}

#[test]
fn a_provider_with_delegated_rights_is_a_third_party() {
    let text = by(json!({
        "type": "AssumedRole", "principalId": "AROA1:carol@acme.example", "accountId": "111122223333",
        "accessKeyId": "ASIA1", "invokedByDelegate": {"accountId": "444455556666"},
        "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::111122223333:role/Admin"}},
    }));
    let record = parse(&text);
    let provider = record.initiator.expect("the event says who");
    assert_eq!(
        (provider.key.as_deref(), provider.kind, provider.vendor.as_deref()),
        (Some("aws:444455556666"), PrincipalType::ThirdParty, Some("aws:444455556666"))
    );
    let executor = record.executor.expect("an action");
    assert_eq!(
        (executor.key.as_deref(), executor.vendor),
        (Some("aws:arn:aws:iam::111122223333:role/Admin"), None)
    );
}

#[test]
fn who_asked_is_taken_from_the_event_or_left_out() {
    let role = |context: Value, more: Value| {
        let mut identity = json!({
            "type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/r/s", "principalId": "AROA1:s", "sessionContext": context,
        });
        for (name, value) in more.as_object().expect("an object") {
            identity[name] = value.clone();
        }
        let (initiator, chain, _) = people(identity);
        (initiator, chain)
    };
    let service = || vec!["aws:cloudformation.amazonaws.com".to_owned()];
    assert_eq!(role(json!({}), json!({})), (None, vec![]));
    assert_eq!(
        role(json!({"sourceIdentity": "ann"}), json!({})).0.as_deref(),
        Some("aws:source-identity/ann")
    );
    // Whether somebody called the service, or it assumed the role itself, is not said.
    assert_eq!(role(json!({}), json!({"invokedBy": "cloudformation.amazonaws.com"})), (None, vec![]));
    // For whom the service worked is known: it is a hop between.
    let both = role(json!({"sourceIdentity": "ann"}), json!({"invokedBy": "cloudformation.amazonaws.com"}));
    assert_eq!(both, (Some("aws:source-identity/ann".to_owned()), service()));
    assert_eq!(role(json!({"webIdFederationData": {}}), json!({})), (None, vec![]));
    let eks = "arn:aws:iam::1:oidc-provider/oidc.eks.eu-west-1.amazonaws.com/id/E";
    let web = json!({"webIdFederationData": {"federatedProvider": eks, "attributes": {
        "oidc.eks.eu-west-1.amazonaws.com/id/E:aud": "sts.amazonaws.com", "oidc.eks.eu-west-1.amazonaws.com/id/E:sub": "system:serviceaccount:ns:app"}}});
    assert_eq!(
        role(web, json!({})).0.as_deref(),
        Some("oidc:oidc.eks.eu-west-1.amazonaws.com/id/E/system:serviceaccount:ns:app")
    );

    // A federated user holds part of a user's rights.
    let text = fixture("GetCallerIdentity", "FederatedUser");
    let chain = parse(&text).chain.expect("a hop");
    assert_eq!(
        chain[0].principal.key.as_deref(),
        Some("aws:arn:aws:iam::742491224508:user/stratus-red-team-user-federation-user")
    );
}
