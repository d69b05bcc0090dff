//! Security event tokens (SET, RFC 8417) of Shared Signals transmitters.
//!
//! Event types are those of CAEP 1.0, RISC 1.0, the OAuth event types and SSF 1.0 itself; subjects those of RFC 9493
//! and SSF 1.0, section 3. The table of what becomes what stands in `docs/collectors.md`.
//!
//! Nothing here looks at a signature: `deed serve` does before it hands claims on, and a file is what whoever
//! imports it says it is.

mod effects;
mod stops;
mod subject;

use std::{
    collections::BTreeSet,
    io::{BufRead, Read as _},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use deed_record::{Outcome, PersonalSent, Principal, PrincipalType, Status, StepType, Timestamp, TraceId};
use serde_json::Value;

use crate::{
    Mapped, Rejected,
    authority::{self, text},
    input,
    loose::Loose,
    parse, shared,
};
pub use stops::Stop;
use subject::Subject;

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "ssf/2";

/// What one SET came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signal {
    /// JSON of its record.
    pub record: String,
    /// When it happened.
    pub time: Timestamp,
    /// Its `source.system` and `source.event_id`.
    pub source: (String, String),
    /// Whom and what it wants stopped, or let go on.
    pub stops: Vec<Stop>,
    /// The type of its event as records have it: `caep:session-revoked`; of an unknown one the URI.
    pub operation: String,
    /// Whether the type is one that the mapping knows.
    pub is_known: bool,
}

/// The record of one SET, given as its claims.
///
/// # Errors
/// Only for what is no SET: not a JSON object, or without `iss`, `jti`, an event or a time. The error names the
/// field and completes "line 3, …".
pub fn map(claims: &str) -> Result<String, String> {
    Ok(signal(claims, None)?.record)
}

/// As [`map`], with `system` as the name under which the transmitter's own accounts are known: `okta` makes the
/// subject `00u1` of its `iss_sub` and `opaque` identifiers the account `okta:00u1`.
///
/// # Errors
/// As there.
pub fn signal(claims: &str, system: Option<&str>) -> Result<Signal, String> {
    let claims = claims.trim();
    let value = parse::object(claims)?;
    let event = Event::read(Loose(&value), system)?;
    let time = event.time()?;
    let subject = Subject::of(event);
    let effects = effects::effects(event, &subject, time);
    let stops = stops::stops(event, &subject, &effects);
    let mut submission = shared::observed(time, MAPPING, event.source(), event.id()?);
    submission.executor = Some(executor(event, &subject));
    submission.operation = Some(text(event.operation()));
    submission.outcome = (!effects.is_empty()).then(done);
    submission.effects = Some(effects).filter(|effects| !effects.is_empty());
    submission.personal = personal(&subject);
    submission.session = subject.session.clone();
    submission.step_type = step_type(event);
    submission.trace_id = event.set.text(&["txn"]).and_then(|txn| txn.parse::<TraceId>().ok());
    Ok(Signal {
        record: shared::record(&submission, claims)?,
        time,
        stops,
        source: (event.source(), event.id()?),
        operation: event.operation(),
        is_known: event.family.is_some_and(|family| KNOWN.contains(&(family, event.name))),
    })
}

/// The records of SETs in compact form (RFC 7515, section 7.1), one a line.
pub(crate) fn tokens<'a>(
    mut reader: impl BufRead + 'a,
) -> Box<dyn Iterator<Item = Result<Mapped, Rejected>> + 'a> {
    let (mut line, mut is_over) = (0, false);
    Box::new(std::iter::from_fn(move || {
        while !is_over {
            line += 1;
            let mut token = Vec::new();
            let read = reader.by_ref().take(input::LARGEST_EVENT as u64).read_until(b'\n', &mut token);
            let refuse = |error: String| Some(Err(Rejected { line, error }));
            if let Err(error) = read {
                is_over = true;
                return refuse(format!("cannot be read on: {error}"));
            }
            is_over = token.is_empty();
            if token.len() == input::LARGEST_EVENT && !token.ends_with(b"\n") {
                is_over = reader.skip_until(b'\n').is_err();
                return refuse(format!("the token is larger than {} bytes", input::LARGEST_EVENT));
            }
            let token = token.trim_ascii();
            if !token.is_empty() {
                let mapped = claims(token).and_then(|claims| map(&claims));
                return Some(
                    mapped.map(|record| Mapped { record, line }).map_err(|error| Rejected { line, error }),
                );
            }
        }
        None
    }))
}

/// Whether `head` begins with a token in compact form: no JSON begins so.
pub(crate) fn is_token(head: &[u8]) -> bool {
    let line = head.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
    line.starts_with(b"eyJ") && line.iter().filter(|byte| **byte == b'.').count() == 2
}

/// The claims in a token, whoever signed it.
fn claims(token: &[u8]) -> Result<String, String> {
    let wrong = || "expected a JWT in compact form: three parts in base64url, joined by dots".to_owned();
    let mut parts = token.split(|byte| *byte == b'.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|_| wrong())?;
    String::from_utf8(bytes).map_err(|_| "the claims of the JWT are no UTF-8".to_owned())
}

/// What event types begin with, and what records have in its place.
const FAMILIES: [(&str, &str); 4] = [
    ("https://schemas.openid.net/secevent/caep/event-type/", "caep"),
    ("https://schemas.openid.net/secevent/risc/event-type/", "risc"),
    ("https://schemas.openid.net/secevent/ssf/event-type/", "ssf"),
    ("https://schemas.openid.net/secevent/oauth/event-type/", "oauth"),
];

/// Event types that the mapping knows.
const KNOWN: &[(&str, &str)] = &[
    ("caep", "session-revoked"),
    ("caep", "token-claims-change"),
    ("caep", "credential-change"),
    ("caep", "assurance-level-change"),
    ("caep", "device-compliance-change"),
    ("caep", "session-established"),
    ("caep", "session-presented"),
    ("caep", "risk-level-change"),
    ("risc", "account-credential-change-required"),
    ("risc", "account-purged"),
    ("risc", "account-disabled"),
    ("risc", "account-enabled"),
    ("risc", "identifier-changed"),
    ("risc", "identifier-recycled"),
    ("risc", "credential-compromise"),
    ("risc", "opt-in"),
    ("risc", "opt-out-initiated"),
    ("risc", "opt-out-cancelled"),
    ("risc", "opt-out-effective"),
    ("risc", "recovery-activated"),
    ("risc", "recovery-information-changed"),
    ("risc", "sessions-revoked"),
    ("ssf", "verification"),
    ("ssf", "stream-updated"),
    ("oauth", "token-revoked"),
    ("oauth", "tokens-revoked"),
];

/// A SET and the event in it.
#[derive(Clone, Copy)]
struct Event<'v> {
    set: Loose<'v>,
    /// What the event itself says.
    is: Loose<'v>,
    family: Option<&'static str>,
    /// The type within its family; without one the whole URI.
    name: &'v str,
    issuer: &'v str,
    system: Option<&'v str>,
}

impl<'v> Event<'v> {
    fn read(set: Loose<'v>, system: Option<&'v str>) -> Result<Self, String> {
        let issuer = set.text(&["iss"]).ok_or("field `iss`: expected the transmitter's URL")?;
        let events = set.get(&["events"]).and_then(Value::as_object);
        let events = events.ok_or("field `events`: expected an object")?;
        // Several are several names of one type (SSF 1.0, section 4.2.1), or two events, of which one would be lost.
        let typed = events.iter().map(|(uri, is)| (split(uri), is));
        let known = typed.clone().filter(|((family, _), _)| family.is_some());
        let types = known.clone().map(|((_, name), _)| name.replace("sessions-", "session-"));
        if types.collect::<BTreeSet<_>>().len() > 1 {
            return Err("field `events`: expected one event, found several".to_owned());
        }
        let ((family, name), is) =
            known.chain(typed).next().ok_or("field `events`: expected one event, found none")?;
        Ok(Event { set, is: Loose(is), family, name, issuer, system })
    }

    /// `caep:session-revoked`.
    fn operation(&self) -> String {
        match self.family {
            Some(family) => format!("{family}:{}", self.name),
            None => self.name.to_owned(),
        }
    }

    fn is_a(&self, family: &str, name: &str) -> bool {
        self.family == Some(family) && self.name == name
    }

    /// The log that the event is of: `ssf:` and the transmitter.
    fn source(&self) -> String {
        let host = self.issuer.strip_prefix("https://").unwrap_or(self.issuer);
        format!("ssf:{}", host.trim_end_matches('/'))
    }

    /// What the transmitter's own accounts and credentials are known in.
    fn home(&self) -> String {
        self.system.map_or_else(|| self.source(), str::to_owned)
    }

    fn id(&self) -> Result<String, String> {
        self.set.id(&["jti"]).map(|id| id.into_owned())
    }

    /// When it happened: as the event says, else the SET (RFC 8417, section 2.2), else when that was issued.
    fn time(&self) -> Result<Timestamp, String> {
        let said = [self.is.get(&["event_timestamp"]), self.set.get(&["toe"]), self.set.get(&["iat"])];
        let time = said.into_iter().flatten().find_map(numeric_date);
        time.ok_or_else(|| match said[2] {
            Some(_) => "field `iat`: expected seconds since 1970, of a time before 2200".to_owned(),
            None => "field `iat`: missing".to_owned(),
        })
    }
}

fn split(uri: &str) -> (Option<&'static str>, &str) {
    let family = FAMILIES.iter().find_map(|(base, family)| Some((Some(*family), uri.strip_prefix(base)?)));
    family.unwrap_or((None, uri))
}

/// Seconds since 1970, with or without a fraction (RFC 7519, NumericDate). Earlier drafts of CAEP had milliseconds:
/// what would be far in the future as seconds is read as those.
fn numeric_date(value: &Value) -> Option<Timestamp> {
    const MILLISECONDS: f64 = 1e11;
    let number = value.as_f64().filter(|number| (0.0..1e15).contains(number))?;
    let seconds = if number >= MILLISECONDS { number / 1e3 } else { number };
    Some(Timestamp((seconds * 1e6).round() as i64)).filter(|time| time.is_of_event())
}

/// Who brought it about, as far as `initiating_entity` tells.
fn executor(event: Event<'_>, subject: &Subject) -> Principal<'static> {
    match event.is.text(&["initiating_entity"]) {
        Some("user") => subject.accounts.first().cloned().unwrap_or_else(authority::nobody),
        Some("policy" | "system") => {
            authority::principal(PrincipalType::Workload, Some(event.source()), None)
        }
        _ => authority::nobody(),
    }
}

fn done() -> Outcome<'static> {
    Outcome::of(Status::Success)
}

fn personal(subject: &Subject) -> Option<PersonalSent<'static>> {
    let device = subject.device.clone();
    let address = subject.address.clone();
    (address.is_some() || device.is_some()).then_some(PersonalSent { address, device })
}

fn step_type(event: Event<'_>) -> Option<StepType> {
    let noticed = [("caep", "risk-level-change"), ("risc", "credential-compromise")];
    noticed.iter().any(|(family, name)| event.is_a(family, name)).then_some(StepType::SecurityEvent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn times_are_seconds_and_of_old_milliseconds() {
        let micros = |value: Value| numeric_date(&value).map(|time| time.0);
        assert_eq!(micros(json!(1_790_000_000)), Some(1_790_000_000_000_000));
        assert_eq!(micros(json!(1_790_000_000.25)), Some(1_790_000_000_250_000));
        assert_eq!(micros(json!(1_790_000_000_123_i64)), Some(1_790_000_000_123_000));
        for none in [json!(-1), json!(15_203_800_012_i64), json!(1e300), json!("1790000000"), json!(null)] {
            assert_eq!(micros(none.clone()), None, "{none}");
        }
    }

    #[test]
    fn tokens_are_told_from_json() {
        assert!(is_token(b"\n eyJhbGciOiJub25lIn0.e30.\n{"));
        for other in [&b"{\"a\":1}"[..], b"eyJhbGciOiJub25lIn0", b"", b"eyJ.a.b.c"] {
            assert!(!is_token(other));
        }
    }
}
