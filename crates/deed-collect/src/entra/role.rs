//! Roles, groups, permissions of applications, and what Privileged Identity Management (PIM) does with them.

use deed_record::{
    Answer, Change, EffectSent, Kind, Principal, PrincipalType, RecordId, Resource, TermsSent, Text,
    Timestamp,
};

use super::{
    SYSTEM,
    audit::{Audit, of_target},
    party,
};
use crate::{
    authority::{self, text},
    cloudtrail::time,
};

/// The request of PIM that an event is about.
pub(super) fn request(audit: Audit<'_>) -> Option<RecordId> {
    let id = audit.target(&["Request"])?.text(&["id"])?;
    Some(authority::request_id(SYSTEM, id))
}

/// `by` is who did it.
pub(super) fn effect(audit: Audit<'_>, by: Option<Principal<'static>>) -> Option<EffectSent<'static>> {
    permission(audit)
        .or_else(|| consent(audit))
        .or_else(|| role(audit, by.clone()))
        .or_else(|| member(audit, by))
}

/// Permissions that an application has itself, and applications that somebody may use.
fn permission(audit: Audit<'_>) -> Option<EffectSent<'static>> {
    let operation = audit.operation.to_ascii_lowercase();
    let change = change_of(&operation)?;
    if operation.contains("delegated permission grant") || operation.contains("oauth2permissiongrant") {
        let scopes = audit.property("DelegatedPermissionGrant.Scope");
        let scopes = scopes.iter().flat_map(|scopes| scopes.split_whitespace()).map(text).collect();
        return grant(change, by_property(audit), scopes, audit.targets().next().and_then(of_target));
    }
    if !operation.contains("app role assignment") {
        return None;
    }
    let subject = by_property(audit).or_else(|| audit.target(&["User", "Group"]).and_then(party::of_target));
    let scopes = audit.property("AppRole.Value").or_else(|| audit.property("AppRole.DisplayName"));
    let resource = audit.target(&["ServicePrincipal"]).and_then(of_target);
    grant(change, subject, scopes.map(text).into_iter().collect(), resource)
}

/// Who gets a permission, where modified properties name them.
fn by_property(audit: Audit<'_>) -> Option<Principal<'static>> {
    [
        ("ServicePrincipal.ObjectID", "ServicePrincipal.DisplayName", PrincipalType::Workload),
        ("User.ObjectID", "User.DisplayName", PrincipalType::Human),
        ("Group.ObjectID", "Group.DisplayName", PrincipalType::Unknown),
    ]
    .into_iter()
    .find_map(|(id, name, kind)| {
        Some(party::of_object(kind, &audit.property(id)?, audit.property(name).as_deref()))
    })
}

/// Consent that somebody gave to an application.
fn consent(audit: Audit<'_>) -> Option<EffectSent<'static>> {
    let change = match audit.operation {
        "Consent to application" => Change::Issued,
        "Revoke consent" | "Remove consent to application" => Change::Revoked,
        _ => return None,
    };
    let permissions = audit.property("ConsentAction.Permissions").unwrap_or_default();
    // What was there before stands before the arrow.
    let given = permissions.rsplit("=>").next().unwrap_or_default();
    let scopes = given
        .split("Scope:")
        .skip(1)
        .flat_map(|rest| rest.split([',', ']']).next().unwrap_or_default().split_whitespace())
        .map(text)
        .collect();
    let subject = audit.target(&["ServicePrincipal"]).or_else(|| audit.targets().next());
    grant(change, subject.and_then(party::of_target), scopes, None)
}

/// Roles of the directory, for good, for a time, or to be had on demand.
fn role(audit: Audit<'_>, by: Option<Principal<'static>>) -> Option<EffectSent<'static>> {
    let operation = audit.operation.to_ascii_lowercase();
    let is_elevation = operation.starts_with("user has elevated their access");
    let is_of_role = operation.contains("member to role")
        || operation.contains("member from role")
        || operation.contains("role assignment") && !operation.contains("app role")
        || operation.contains("in pim")
        || operation.contains("(pim");
    if !is_of_role && !is_elevation {
        return None;
    }
    let subject = audit.target(&["User", "ServicePrincipal", "Group"]).and_then(party::of_target);
    let role = audit.target(&["Role"]);
    let named = audit
        .property("Role.DisplayName")
        .or_else(|| role?.text(&["displayName"]).map(str::to_owned))
        .or_else(|| audit.property("Role.WellKnownObjectName"))
        .or_else(|| is_elevation.then(|| "User Access Administrator".to_owned()));
    let eligible = operation.contains("eligible");
    let terms = TermsSent {
        expires: moment(audit, &["ExpirationTime", "EndTime", "ExpirationDateTime"]),
        not_before: moment(audit, &["StartTime", "StartDateTime"]),
        role: named.map(|role| text(if eligible { format!("eligible:{role}") } else { role })),
        scopes: audit.detail("Scope").map(text).into_iter().collect(),
        subject: subject.or_else(|| by.clone().filter(|_| is_elevation)),
        ..TermsSent::default()
    };
    let says = |word: &str| operation.contains(word);
    let (kind, terms) = if says("denied") || says("rejected") {
        (Kind::Approval, TermsSent { answer: Some(Answer::Refused), by, ..terms })
    } else if says("approved") {
        (Kind::Approval, TermsSent { answer: Some(Answer::Approved), by, ..terms })
    } else if says("approval requested") || says("requested") {
        (Kind::Request, TermsSent { change: Some(Change::Requested), by, ..terms })
    } else if says("canceled") || says("cancelled") {
        (Kind::Request, TermsSent { change: Some(Change::Revoked), by, ..terms })
    } else {
        let change = if says("expired") {
            Change::Expired
        } else if says("renew") || says("extend") {
            Change::Renewed
        } else if is_elevation {
            Change::Issued
        } else {
            change_of(&operation)?
        };
        (Kind::Grant, TermsSent { change: Some(change), by, ..terms })
    };
    Some(EffectSent { resource: role.and_then(of_target), ..authority::effect(kind, terms) })
}

/// Members of groups and owners of things.
fn member(audit: Audit<'_>, by: Option<Principal<'static>>) -> Option<EffectSent<'static>> {
    let operation = audit.operation.to_ascii_lowercase();
    let change = change_of(&operation)?;
    let (resource, role) =
        if operation.ends_with("member to group") || operation.ends_with("member from group") {
            let id = audit.property("Group.ObjectID");
            let group = id.map(|id| authority::resource(format!("{SYSTEM}:Group/{id}"), "Group"));
            let group = group.or_else(|| audit.target(&["Group"]).and_then(of_target));
            let role = group.as_ref().map(|group| group.uri.clone());
            (group, role)
        } else if operation.contains("owner to ") || operation.contains("owner from ") {
            let owned = ["Application", "ServicePrincipal", "Group"].iter().find_map(|kind| {
                let id = audit.property(&format!("{kind}.ObjectID"))?;
                Some(authority::resource(format!("{SYSTEM}:{kind}/{id}"), kind))
            });
            (owned, Some("owner".into()))
        } else {
            return None;
        };
    let subject = audit.target(&["User", "ServicePrincipal"]).or_else(|| audit.targets().next());
    let terms = TermsSent {
        by,
        change: Some(change),
        role,
        subject: subject.and_then(party::of_target),
        ..TermsSent::default()
    };
    Some(EffectSent { resource, ..authority::effect(Kind::Grant, terms) })
}

fn change_of(operation: &str) -> Option<Change> {
    let first = operation.split(' ').next().unwrap_or_default();
    Some(match first {
        "add" | "added" => Change::Issued,
        "remove" | "removed" | "delete" => Change::Revoked,
        "update" => Change::Altered,
        _ => return None,
    })
}

/// A time among the details, in one of the ways in which they are written.
fn moment(audit: Audit<'_>, names: &[&str]) -> Option<Timestamp> {
    names.iter().find_map(|name| time::inside_event(audit.detail(name)?).filter(|time| time.is_of_event()))
}

fn grant(
    change: Change,
    subject: Option<Principal<'static>>,
    scopes: Vec<Text<'static>>,
    resource: Option<Resource<'static>>,
) -> Option<EffectSent<'static>> {
    let terms = TermsSent { change: Some(change), scopes, subject, ..TermsSent::default() };
    Some(EffectSent { resource, ..authority::effect(Kind::Grant, terms) })
}
