//! The members of every structure of a sealed record, in the order of their names.
//!
//! The structures themselves leave none out, or this does not compile; in another order, or under another
//! name, records are still read, but slowly, and a test says so.

use super::reader::{Canonical, Rest};
use crate::{
    Artifact, Credential, Decision, Effect, Hop, Outcome, Party, Personal, Resource, SecretSeen, Skeleton,
    Source, Terms, Tool,
};

/// A `required` member stands always, an `optional` one sometimes, a `filled` one when it is not empty.
macro_rules! members {
    ($($name:ident $(<$life:lifetime>)? { $($when:ident $field:ident $(as $literal:literal)?),* $(,)? })*) => {$(
        impl<'a> Canonical<'a> for $name $(<$life>)? {
            fn read(rest: &mut Rest<'a>) -> Option<Self> {
                if !rest.take("{") {
                    return None;
                }
                let mut first = true;
                $(let $field = rest.member(&mut first, members!(@literal $field $($literal)?))?;)*
                rest.take("}").then_some(())?;
                Some($name { $($field: members!(@$when $field)),* })
            }
        }
    )*};
    (@literal $field:ident) => { concat!(",\"", stringify!($field), "\":") };
    (@literal $field:ident $literal:literal) => { concat!(",\"", $literal, "\":") };
    (@required $field:ident) => { $field? };
    (@optional $field:ident) => { $field };
    (@filled $field:ident) => { $field.unwrap_or_default() };
}

members! {
    Skeleton<'a> {
        optional action,
        optional approvals,
        optional artifact,
        required basis,
        optional chain,
        optional conflicts_with,
        optional content,
        optional credential,
        optional decision,
        filled disclose,
        optional effects,
        optional environment,
        optional exception,
        optional executor,
        optional grant,
        required id,
        optional initiator,
        required kind,
        optional operation,
        optional outcome,
        optional parent_span_id,
        optional permission,
        optional personal,
        required recorded,
        optional request,
        optional resource,
        optional retention,
        optional secrets,
        optional session,
        optional source,
        optional span_id,
        optional spooled,
        optional step_type,
        required submitter,
        optional supersedes,
        optional task,
        required tenant,
        optional terms,
        required time,
        optional tool,
        optional trace_id,
        required v,
    }
    Party<'a> {
        optional account,
        optional instance,
        required kind as "type",
        optional vendor,
    }
    Hop<'a> {
        optional credential,
        optional delegation,
        required principal,
        filled scope,
    }
    Personal {
        optional address,
        optional device,
    }
    Terms<'a> {
        optional answer,
        optional by,
        optional change,
        optional expires,
        optional not_before,
        optional role,
        filled scopes,
        optional subject,
    }
    Effect<'a> {
        optional credential,
        required kind,
        optional resource,
        optional terms,
    }
    Credential<'a> {
        optional expires,
        optional fingerprint,
        optional id,
        optional issued,
        optional issuer,
        optional jti,
        optional parent,
        filled scopes,
        optional kind as "type",
        optional upstream,
    }
    Tool<'a> {
        optional digest,
        required name,
        optional server,
        optional version,
    }
    Resource<'a> {
        optional classification,
        optional kind as "type",
        required uri,
    }
    Artifact<'a> {
        optional digest,
        required name,
        optional signer,
    }
    Decision<'a> {
        required effect,
        optional engine,
        filled errors,
        filled obligations,
        filled policies,
        optional policy_set,
    }
    Outcome<'a> {
        optional code,
        optional compensates,
        optional duration_ms,
        filled fields,
        optional retry_of,
        required status,
    }
    Source<'a> {
        optional collector,
        optional event_id,
        required system,
    }
    SecretSeen<'a> {
        required field,
        required fingerprint,
    }
}
