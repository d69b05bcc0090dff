//! How it ended.

use deed_record::{Outcome, Status};

use super::Event;
use crate::authority::text;

/// `None` only where neither a code nor a result says anything.
pub(super) fn outcome(event: Event<'_>) -> Option<Outcome<'static>> {
    let is = event.0;
    let success = is.flag(&["status", "success"]).or_else(|| is.flag(&["success"]));
    let error = is.any(&["error", "exitError"]).or_else(|| is.text(&["status", "error"]));
    let http = is.number(&["response_code"]).or_else(|| is.number(&["status_code"])).filter(|code| *code > 0);
    let exit = is.number(&["exitCode"]).or_else(|| is.number(&["return_code"]));
    // The last letter of a code says how grave it is; warnings are of what was not let through.
    let letter = event.code().bytes().next_back().map(|letter| letter.to_ascii_uppercase());
    let refused = error.is_some_and(is_refusal);
    let status = match (http, exit, letter) {
        (Some(401 | 403), ..) => Status::Denied,
        (Some(400..), ..) => Status::Failure,
        _ if refused => Status::Denied,
        (_, _, Some(b'W')) if success != Some(true) => Status::Denied,
        (_, _, Some(b'E')) => Status::Failure,
        (_, Some(exit), _) if exit != 0 => Status::Failure,
        _ if success == Some(false) || error.is_some() => Status::Failure,
        (_, _, Some(b'I')) => Status::Success,
        _ if success == Some(true) || exit == Some(0) || http.is_some() => Status::Success,
        _ => return None,
    };
    let code = match (http, exit) {
        (Some(http), _) => Some(http.to_string()),
        (_, Some(exit)) if exit != 0 => Some(exit.to_string()),
        _ => Some(event.code().to_owned()).filter(|code| !code.is_empty() && status != Status::Success),
    };
    Some(Outcome { code: code.map(text), duration_ms: duration(event), ..Outcome::of(status) })
}

fn is_refusal(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    ["access denied", "permission denied", "is not authorized", "not allowed", "access to "]
        .iter()
        .any(|words| error.contains(words))
        && !error.contains("timed out")
}

/// How long a session lasted, which its end says.
fn duration(event: Event<'_>) -> Option<i64> {
    let (start, stop) = (event.0.time(&["session_start"])?, event.0.time(&["session_stop"])?);
    Some((stop.0 - start.0) / 1000).filter(|ms| *ms >= 0)
}
