//! Calls of Microsoft Graph (`MicrosoftGraphActivityLogs`).

use deed_record::{Credential, Outcome, PrincipalType, Status};

use super::{Event, SYSTEM, Said, party};
use crate::authority::{self, nobody, text};

pub(super) fn said(event: Event<'_>) -> Said {
    let is = event.is;
    let user = party::id(is, &["userId"]).map(|id| party::of_object(PrincipalType::Human, id, None));
    let service = party::service(event);
    // Where a user is named the application acts for them.
    let (executor, initiator) = match (user, service) {
        (user, Some(service)) => (service, user),
        (Some(user), None) => (user.clone(), Some(user)),
        (None, None) => (nobody(), None),
    };
    let scopes: Vec<_> = is
        .any(&["scopes", "roles"])
        .map(|list| list.split_whitespace().map(text).collect())
        .unwrap_or_default();
    let token = party::id(is, &["signInActivityId"]).map(|id| Credential {
        issued: is.time(&["tokenIssuedAt"]),
        scopes,
        ..authority::credential("token", Some(id), SYSTEM)
    });
    let method = is.text(&["requestMethod"]).unwrap_or("call");
    let uri = is.text(&["requestUri"]).map(|uri| uri.split('?').next().unwrap_or(uri));
    let status = is.number(&["responseStatusCode"]);
    Said {
        chain: Vec::new(),
        credential: token,
        decision: None,
        effects: Vec::new(),
        executor,
        initiator,
        operation: format!("graph/{method}"),
        outcome: status.map(|code| Outcome {
            code: Some(text(code.to_string())),
            duration_ms: is
                .number(&["durationMs"])
                .or_else(|| event.outer.number(&["durationMs"]))
                .filter(|ms| (0..1 << 53).contains(ms)),
            ..Outcome::of(match code {
                401 | 403 => Status::Denied,
                408 | 504 => Status::TimedOut,
                200..=399 => Status::Success,
                _ => Status::Failure,
            })
        }),
        permission: None,
        request: None,
        resource: uri
            .filter(|uri| authority::is_impersonal(uri))
            .map(|uri| authority::resource(uri.to_owned(), "microsoft.graph")),
    }
}
