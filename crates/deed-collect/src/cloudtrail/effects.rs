//! What a call changed in authority: credentials, grants and principals.
//!
//! Only what succeeded changed anything. An event that is not listed here has no effects; adding it
//! needs a new version of the mapping.

use deed_record::{
    Change, Credential, EffectSent, Kind, Principal, PrincipalType, Resource, TermsSent, Text,
};

use super::{
    document,
    event::Event,
    identity::{self, access_key, of_arn, type_of_arn},
    resource, time,
};
use crate::json;

/// The effects of `event`; `None` where there are none.
pub(super) fn effects(event: &Event) -> Option<Vec<EffectSent<'static>>> {
    // A rotation is reported as a service event, which has no error where it succeeded.
    let rotated = event.service() == "secretsmanager" && event.action() == "RotationSucceeded"
        || event.service() == "kms" && event.action() == "RotateKey";
    if !event.succeeded() && !rotated {
        return None;
    }
    let effect = match event.service() {
        "sts" => session(event),
        "iam" => iam_credential(event).or_else(|| iam_grant(event)).or_else(|| iam_principal(event)),
        "secretsmanager" => secret(event),
        "kms" => key(event),
        "lambda" | "s3" => resource_policy(event),
        "organizations" => organization_policy(event),
        _ => None,
    }?;
    Some(std::iter::once(effect).chain(older_sessions(event)).chain(of_members(event)).collect())
}

/// The name that IAM's console gives to the inline policy by which it revokes the open sessions of a role.
const REVOKES_SESSIONS: &str = "AWSRevokeOlderSessions";

/// Sessions of a role that were opened before the policy which denies them everything, or let go on without it.
fn older_sessions(event: &Event) -> Option<EffectSent<'static>> {
    event.asked("policyName").filter(|name| *name == REVOKES_SESSIONS)?;
    let (change, not_before) = match (event.service(), event.action(), document::asked(event)) {
        ("iam", "DeleteRolePolicy", _) => (Change::Renewed, None),
        ("iam", "PutRolePolicy", None) => (Change::Revoked, None),
        // What stood under this name stands no more.
        ("iam", "PutRolePolicy", Some(document)) => match document::denied_before(&document) {
            Some(before) => (Change::Revoked, Some(before)),
            None => (Change::Renewed, None),
        },
        _ => return None,
    };
    Some(EffectSent {
        credential: Some(Credential {
            issuer: Some("sts.amazonaws.com".into()),
            kind: Some("temporary_key".into()),
            ..Credential::default()
        }),
        kind: Kind::Credential,
        resource: None,
        terms: Some(TermsSent {
            change: Some(change),
            not_before,
            subject: role(event),
            ..TermsSent::default()
        }),
    })
}

/// What a group has was changed, for all its members.
fn of_members(event: &Event) -> Option<EffectSent<'static>> {
    if event.service() != "iam" || !event.action().ends_with("GroupPolicy") {
        return None;
    }
    let group = event.iam_arn("group", event.asked("groupName")?);
    grant(Change::Altered, None, Some(group), Vec::new(), None)
}

/// AssumeRole, AssumeRoleWithSAML, AssumeRoleWithWebIdentity, AssumeRoot, GetSessionToken,
/// GetFederationToken: whatever gave out a temporary key.
fn session(event: &Event) -> Option<EffectSent<'static>> {
    let key = event.text(&["responseElements", "credentials", "accessKeyId"])?;
    let expires = event.text(&["responseElements", "credentials", "expiration"]).and_then(time::inside_event);
    let parent = event.text(&["userIdentity", "accessKeyId"]);
    let assumed = event.text(&["responseElements", "assumedRoleUser", "arn"]);
    let role = event.asked("roleArn").map(str::to_owned).or_else(|| identity::role_of_session(assumed?));
    let root = event.asked("targetPrincipal").filter(|_| event.action() == "AssumeRoot");
    let subject = match (&role, event.text(&["responseElements", "federatedUser", "arn"])) {
        (Some(role), _) => Principal {
            instance: event
                .asked("roleSessionName")
                .or_else(|| assumed?.rsplit('/').next())
                .filter(|name| !identity::is_personal_name(Some(role), name))
                .map(|name| json::text(name.to_owned())),
            ..of_arn(role, PrincipalType::ServiceAccount, role.rsplit('/').next())
        },
        (None, Some(arn)) => of_arn(arn, PrincipalType::Unknown, event.asked("name")),
        (None, None) => match root {
            Some(target) => identity::root(event, target),
            None => identity::executor(event),
        },
    };
    Some(EffectSent {
        credential: Some(Credential {
            expires,
            issued: Some(event.time),
            parent: parent.map(|parent| json::text(parent.to_owned())),
            ..access_key(key)
        }),
        kind: Kind::Credential,
        resource: None,
        terms: Some(TermsSent {
            change: Some(Change::Issued),
            expires,
            role: role.map(json::text),
            subject: Some(subject),
            ..TermsSent::default()
        }),
    })
}

/// Keys, passwords and second factors of IAM users. Where the request names no user it is the caller's.
fn iam_credential(event: &Event) -> Option<EffectSent<'static>> {
    let issued = Some(event.time);
    let asked_id = |name: &str| event.asked(name).map(|id| json::text(id.to_owned()));
    let key = |id: Option<&str>| id.map(access_key);
    let other = |kind: &'static str, id: Option<Text<'static>>| {
        Some(Credential {
            id,
            issuer: Some("iam.amazonaws.com".into()),
            kind: Some(kind.into()),
            ..Credential::default()
        })
    };
    let new = |credential: Option<Credential<'static>>| credential.map(|c| Credential { issued, ..c });
    let service_id = |at: &[&str]| event.text(at).map(|id| json::text(id.to_owned()));
    let (change, credential) = match event.action() {
        "CreateAccessKey" => {
            (Change::Issued, new(key(event.text(&["responseElements", "accessKey", "accessKeyId"]))))
        }
        "DeleteAccessKey" => (Change::Revoked, key(event.asked("accessKeyId"))),
        "UpdateAccessKey" => match event.asked("status") {
            Some("Inactive" | "Expired") => (Change::Revoked, key(event.asked("accessKeyId"))),
            Some("Active") => (Change::Renewed, key(event.asked("accessKeyId"))),
            _ => (Change::Altered, key(event.asked("accessKeyId"))),
        },
        "CreateLoginProfile" => (Change::Issued, new(other("password", None))),
        "UpdateLoginProfile" | "ChangePassword" => (Change::Rotated, new(other("password", None))),
        "DeleteLoginProfile" => (Change::Revoked, other("password", None)),
        "EnableMFADevice" => (Change::Issued, new(other("mfa", None))),
        "DeactivateMFADevice" => (Change::Revoked, other("mfa", None)),
        "UploadSSHPublicKey" => {
            let id = service_id(&["responseElements", "sSHPublicKey", "sSHPublicKeyId"]);
            (Change::Issued, new(other("ssh_public_key", id)))
        }
        "DeleteSSHPublicKey" => (Change::Revoked, other("ssh_public_key", asked_id("sSHPublicKeyId"))),
        "UploadSigningCertificate" => {
            let id = service_id(&["responseElements", "certificate", "certificateId"]);
            (Change::Issued, new(other("signing_certificate", id)))
        }
        "UpdateSigningCertificate" => {
            let change = match event.asked("status") {
                Some("Inactive") => Change::Revoked,
                Some("Active") => Change::Renewed,
                _ => Change::Altered,
            };
            (change, other("signing_certificate", asked_id("certificateId")))
        }
        "DeleteSigningCertificate" => {
            (Change::Revoked, other("signing_certificate", asked_id("certificateId")))
        }
        "CreateServiceSpecificCredential" => {
            let id =
                service_id(&["responseElements", "serviceSpecificCredential", "serviceSpecificCredentialId"]);
            (Change::Issued, new(other("service_specific", id)))
        }
        "ResetServiceSpecificCredential" => {
            (Change::Rotated, new(other("service_specific", asked_id("serviceSpecificCredentialId"))))
        }
        "DeleteServiceSpecificCredential" => {
            (Change::Revoked, other("service_specific", asked_id("serviceSpecificCredentialId")))
        }
        _ => return None,
    };
    let subject = user(event).unwrap_or_else(|| identity::executor(event));
    Some(EffectSent {
        credential: Some(credential?),
        kind: Kind::Credential,
        resource: None,
        terms: Some(TermsSent { change: Some(change), subject: Some(subject), ..TermsSent::default() }),
    })
}

/// Policies put on users, roles and groups; members of groups; who may assume a role.
fn iam_grant(event: &Event) -> Option<EffectSent<'static>> {
    let policy = |name: &str| event.asked(name).map(|arn| json::text(arn.to_owned()));
    let inline = || event.asked("policyName").map(|name| json::text(format!("inline:{name}")));
    let (change, scope) = match event.action() {
        // What only denies gives no right.
        "AttachUserPolicy" | "AttachRolePolicy" | "AttachGroupPolicy"
            if event.asked("policyArn").is_some_and(document::only_denies) =>
        {
            return None;
        }
        "AttachUserPolicy" | "AttachRolePolicy" | "AttachGroupPolicy" => {
            (Change::Issued, policy("policyArn"))
        }
        "DetachUserPolicy" | "DetachRolePolicy" | "DetachGroupPolicy" => {
            (Change::Revoked, policy("policyArn"))
        }
        // It takes the place of what the policy of this name gave before.
        "PutUserPolicy" | "PutRolePolicy" | "PutGroupPolicy"
            if document::asked(event).is_some_and(|document| document::denies(&document)) =>
        {
            (Change::Revoked, inline())
        }
        // A Put may make the policy or replace it, and the event does not say which.
        "PutUserPolicy" | "PutRolePolicy" | "PutGroupPolicy" => (Change::Altered, inline()),
        "DeleteUserPolicy" | "DeleteRolePolicy" | "DeleteGroupPolicy" => (Change::Revoked, inline()),
        "PutUserPermissionsBoundary" | "PutRolePermissionsBoundary" => {
            (Change::Altered, policy("permissionsBoundary"))
        }
        "DeleteUserPermissionsBoundary" | "DeleteRolePermissionsBoundary" => (Change::Altered, None),
        "AddUserToGroup" | "RemoveUserFromGroup" => {
            let change = if event.action() == "AddUserToGroup" { Change::Issued } else { Change::Revoked };
            let group = event.asked("groupName").map(|name| event.iam_arn("group", name));
            return grant(change, user(event), group, Vec::new(), None);
        }
        "UpdateAssumeRolePolicy" => {
            let arn = event.iam_arn("role", event.asked("roleName")?);
            let role = resource::of_arn(&arn, None);
            return grant(Change::Altered, None, Some(arn), Vec::new(), Some(role));
        }
        "CreatePolicyVersion" | "SetDefaultPolicyVersion" | "DeletePolicy" => {
            let change = if event.action() == "DeletePolicy" { Change::Revoked } else { Change::Altered };
            let arn = event.asked("policyArn")?;
            return grant(
                change,
                None,
                None,
                vec![json::text(arn.to_owned())],
                Some(resource::of_arn(arn, None)),
            );
        }
        _ => return None,
    };
    let subject = user(event).or_else(|| role(event)).or_else(|| {
        let arn = event.iam_arn("group", event.asked("groupName")?);
        Some(of_arn(&arn, PrincipalType::Unknown, event.asked("groupName")))
    });
    grant(change, subject, None, scope.into_iter().collect(), None)
}

/// Users and roles that came or went.
fn iam_principal(event: &Event) -> Option<EffectSent<'static>> {
    let (change, subject) = match event.action() {
        "CreateUser" => (Change::Issued, user(event)?),
        "DeleteUser" => (Change::Revoked, user(event)?),
        "CreateRole" | "CreateServiceLinkedRole" => (Change::Issued, role(event)?),
        "DeleteRole" | "DeleteServiceLinkedRole" => (Change::Revoked, role(event)?),
        _ => return None,
    };
    Some(EffectSent {
        credential: None,
        kind: Kind::Principal,
        resource: None,
        terms: Some(TermsSent { change: Some(change), subject: Some(subject), ..TermsSent::default() }),
    })
}

/// Secrets of Secrets Manager, known by their ARN.
fn secret(event: &Event) -> Option<EffectSent<'static>> {
    let change = match event.action() {
        "CreateSecret" => Change::Issued,
        "RotateSecret" | "RotationSucceeded" | "PutSecretValue" => Change::Rotated,
        "DeleteSecret" => Change::Revoked,
        "RestoreSecret" => Change::Renewed,
        _ => return None,
    };
    let id = event
        .text(&["responseElements", "arn"])
        .or_else(|| event.text(&["responseElements", "aRN"]))
        .or_else(|| event.text(&["additionalEventData", "SecretId"]))
        .or_else(|| event.asked("secretId"))?;
    held(event, change, "secret", id)
}

/// Keys of KMS, their rotation and their grants.
fn key(event: &Event) -> Option<EffectSent<'static>> {
    let id = event
        .text(&["serviceEventDetails", "keyId"])
        .or_else(|| event.asked("keyId"))
        .or_else(|| event.text(&["responseElements", "keyId"]));
    match event.action() {
        "RotateKey" | "RotateKeyOnDemand" => held(event, Change::Rotated, "kms_key", id?),
        "ScheduleKeyDeletion" => held(event, Change::Revoked, "kms_key", id?),
        "CancelKeyDeletion" => held(event, Change::Renewed, "kms_key", id?),
        "CreateGrant" => {
            let to = event.asked("granteePrincipal");
            let operations = event.get(&["requestParameters", "operations"]).and_then(|list| list.as_array());
            let scopes = operations.into_iter().flatten().filter_map(|name| name.as_str());
            let scopes = scopes.map(|name| json::text(format!("kms:{name}"))).collect();
            let subject = to.map(|arn| of_arn(arn, type_of_arn(arn), None));
            grant(Change::Issued, subject, None, scopes, resource::resource(event))
        }
        "RevokeGrant" | "RetireGrant" => {
            grant(Change::Revoked, None, None, Vec::new(), resource::resource(event))
        }
        "PutKeyPolicy" => grant(Change::Altered, None, None, Vec::new(), resource::resource(event)),
        _ => None,
    }
}

/// Who else may use a function or a bucket.
fn resource_policy(event: &Event) -> Option<EffectSent<'static>> {
    let resource = resource::resource(event);
    match (event.service(), event.action()) {
        ("lambda", "AddPermission") => {
            let to = event.asked("principal").map(|to| match to {
                // An account may be named by its number alone.
                account if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) => of_arn(
                    &format!("arn:{}:iam::{account}:root", event.partition()),
                    PrincipalType::Unknown,
                    None,
                ),
                to => of_arn(to, type_of_arn(to), None),
            });
            let scopes = event.asked("action").map(|action| json::text(action.to_owned()));
            grant(Change::Issued, to, None, scopes.into_iter().collect(), resource)
        }
        ("lambda", "RemovePermission") => grant(Change::Revoked, None, None, Vec::new(), resource),
        ("s3", "PutBucketPolicy" | "PutBucketAcl" | "DeleteBucketPolicy") => {
            grant(Change::Altered, None, None, Vec::new(), resource)
        }
        _ => None,
    }
}

/// What a whole organisation, or a part of it, lets its accounts do at most. The log of the management account tells, and
/// another account is bound: that is what the grant is on.
fn organization_policy(event: &Event) -> Option<EffectSent<'static>> {
    let change = match event.action() {
        "AttachPolicy" | "DetachPolicy" | "UpdatePolicy" | "EnablePolicyType" | "DisablePolicyType" => {
            Change::Altered
        }
        "DeletePolicy" => Change::Revoked,
        _ => return None,
    };
    let policy = event.asked("policyId").or_else(|| event.asked("policyType"))?;
    let account =
        event.asked("targetId").filter(|to| to.len() == 12 && to.bytes().all(|b| b.is_ascii_digit()));
    let bound = account.map_or_else(|| "cloudtrail".to_owned(), |account| format!("cloudtrail:{account}"));
    let bound = Resource { classification: None, kind: None, uri: json::text(bound) };
    grant(change, None, None, vec![json::text(policy.to_owned())], Some(bound))
}

fn grant(
    change: Change,
    subject: Option<Principal<'static>>,
    role: Option<String>,
    scopes: Vec<Text<'static>>,
    resource: Option<Resource<'static>>,
) -> Option<EffectSent<'static>> {
    Some(EffectSent {
        credential: None,
        kind: Kind::Grant,
        resource,
        terms: Some(TermsSent {
            change: Some(change),
            role: role.map(json::text),
            scopes,
            subject,
            ..TermsSent::default()
        }),
    })
}

/// A credential that AWS keeps and knows by name.
fn held(event: &Event, change: Change, kind: &'static str, id: &str) -> Option<EffectSent<'static>> {
    Some(EffectSent {
        credential: Some(Credential {
            id: Some(json::text(id.to_owned())),
            issued: matches!(change, Change::Issued | Change::Rotated).then_some(event.time),
            kind: Some(kind.into()),
            ..Credential::default()
        }),
        kind: Kind::Credential,
        resource: resource::resource(event),
        terms: Some(TermsSent { change: Some(change), ..TermsSent::default() }),
    })
}

/// The IAM user that a request is about.
fn user(event: &Event) -> Option<Principal<'static>> {
    let name = event.asked("userName").or_else(|| event.text(&["responseElements", "user", "userName"]))?;
    let arn = event.text(&["responseElements", "user", "arn"]).map(str::to_owned);
    Some(of_arn(&arn.unwrap_or_else(|| event.iam_arn("user", name)), PrincipalType::Unknown, Some(name)))
}

/// The IAM role that a request is about.
fn role(event: &Event) -> Option<Principal<'static>> {
    let name = event.asked("roleName").or_else(|| event.text(&["responseElements", "role", "roleName"]))?;
    let arn = event.text(&["responseElements", "role", "arn"]).map(str::to_owned);
    Some(of_arn(
        &arn.unwrap_or_else(|| event.iam_arn("role", name)),
        PrincipalType::ServiceAccount,
        Some(name),
    ))
}
