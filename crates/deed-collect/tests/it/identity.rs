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

#[test]
fn who_asked_is_taken_from_the_event_or_left_out() {
    let role = |context: Value, more: Value| {
        let mut identity = json!({
            "type": "AssumedRole", "arn": "arn:aws:sts::1:assumed-role/r/s", "principalId": "AROA1:s", "sessionContext": context,
        });
        for (name, value) in more.as_object().expect("an object") {
            identity[name] = value.clone();
        }
        let text = by(identity);
        let record = parse(&text);
        let chain: Vec<_> = record
            .chain
            .into_iter()
            .flatten()
            .filter_map(|hop| hop.principal.key)
            .map(|k| k.to_string())
            .collect();
        (record.initiator.and_then(|i| i.key).map(|k| k.to_string()), chain)
    };
    let service = || vec!["aws:cloudformation.amazonaws.com".to_owned()];
    assert_eq!(role(json!({}), json!({})), (None, vec![]));
    assert_eq!(
        role(json!({"sourceIdentity": "ann"}), json!({})).0.as_deref(),
        Some("aws:source-identity/ann")
    );
    assert_eq!(
        role(json!({}), json!({"invokedBy": "cloudformation.amazonaws.com"})),
        (service().pop(), vec![])
    );
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
