//! AWS CloudTrail events.
//!
//! Field names are those of the CloudTrail record contents and `userIdentity` reference, versions 1.00
//! to 1.11. The table of what becomes what stands in `docs/collectors.md`.

mod document;
mod effects;
pub(crate) mod event;
pub(crate) mod identity;
mod permission;
mod resource;
pub(crate) mod time;

use std::net::IpAddr;

use deed_record::{Basis, Kind, Outcome, PersonalSent, Source, Status, StepType, Submission, WHOLE};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{json, parse};
use event::Event;

/// The collector and the version of its mapping, as `source.collector` of its records says.
pub const MAPPING: &str = "cloudtrail/8";

/// What lists of events are called: in files, in answers of `lookup-events`, in what CloudWatch Logs delivers and answers.
pub(crate) const LISTS: &[&str] = &["Records", "Events", "records", "logEvents", "events"];

/// The record of one event: a management, data, network activity, sign-in, service or Insights event.
///
/// An event of `lookup-events` (`CloudTrailEvent`), EventBridge (`detail`) or CloudWatch Logs (`message`) is taken out of what
/// is around it first. What the mapping does not understand is recorded all the same, as what it is.
///
/// # Errors
/// Only for what is no event: not a JSON object, without `eventID` or `eventTime`, or an aggregated one, which sums up others.
/// The error names the field and completes "line 3, …".
pub fn map(event_text: &str) -> Result<String, String> {
    // Few events come wrapped, and looking inside the others would be reading them twice.
    if !["\"CloudTrailEvent\"", "\"detail\"", "\"message\""].iter().any(|name| event_text.contains(name)) {
        return map_event(event_text.trim());
    }
    match serde_json::from_str(event_text) {
        Ok(
            Envelope { event_id: None, inner: Some(text), .. }
            | Envelope { event_id: None, message: Some(text), .. },
        ) => map_event(text.trim()),
        Ok(Envelope { event_id: None, detail: Some(detail), .. }) => map_event(detail.get()),
        _ => map_event(event_text.trim()),
    }
}

/// What other tools put around an event. Anything that does not fit is left to the event itself.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "eventID")]
    event_id: Option<serde::de::IgnoredAny>,
    /// The event as a string of JSON: what `lookup-events` gives.
    #[serde(rename = "CloudTrailEvent")]
    inner: Option<String>,
    /// The same: what CloudWatch Logs delivers.
    message: Option<String>,
    /// The event: what EventBridge delivers.
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

fn map_event(text: &str) -> Result<String, String> {
    let event = Event::new(parse::object(text)?)?;
    let parties = identity::parties(&event);
    // An addendum tells anew of an event that was delivered before.
    let addendum = event.text(&["addendum", "originalEventID"]).filter(|original| *original != event.id);
    let permission = event.is_request().then(|| permission::of(&event)).flatten().map(json::text);
    let submission = Submission {
        action_event: addendum.map(json::text),
        basis: Some(Basis::Imported),
        chain: (!parties.chain.is_empty()).then_some(parties.chain),
        credential: parties.credential,
        effects: effects::effects(&event),
        executor: Some(parties.executor),
        initiator: parties.initiator,
        operation: event.operation().map(json::text),
        outcome: outcome(&event),
        permission,
        personal: personal(&event),
        resource: resource::resource(&event),
        session: parties.session.map(json::text),
        source: Some(Source {
            collector: Some(MAPPING.into()),
            event_id: Some(json::text(event.id.as_str())),
            system: json::text(event.system()),
        }),
        step_type: (event.text(&["eventType"]) == Some("AwsCloudTrailInsight"))
            .then_some(StepType::SecurityEvent),
        ..Submission::new(Kind::Observation, event.time)
    };
    let mut disclose = json::Json::with_capacity(text.len() + 16);
    disclose.name(WHOLE);
    disclose.raw(text);
    json::record(&submission, &disclose)
}

/// How the call ended; `None` where the event reports no call.
fn outcome(event: &Event) -> Option<Outcome<'_>> {
    let code = event.text(&["errorCode"]);
    // A sign-in says how it ended in its response, and gives a message without a code.
    let answer = event.name().and_then(|name| event.text(&["responseElements", name]));
    let (code, status) = match (code, answer) {
        (Some(code), _) if is_refusal(code) => (Some(code), Status::Denied),
        // It would have been done.
        (Some(code), _) if code.ends_with(REHEARSED) => (Some(code), Status::Cancelled),
        (Some(code), _) => (Some(code), Status::Failure),
        (None, Some("Failure")) => (None, Status::Denied),
        (None, _) if event.text(&["errorMessage"]).is_some() => (None, Status::Failure),
        (None, _) if event.is_call() => (None, Status::Success),
        (None, _) => return None,
    };
    Some(Outcome { code: code.map(json::text), ..Outcome::of(status) })
}

/// How a call ends that was to be tried and not done, and that nothing stood against.
const REHEARSED: &str = "DryRunOperation";

/// Whether an error code says that the caller was not let through, as opposed to not served. Services
/// spell it in many ways: `AccessDenied`, `AccessDeniedException`, `Client.UnauthorizedOperation`,
/// `VpceAccessDenied`, `NotAuthorized`, `Forbidden`.
fn is_refusal(code: &str) -> bool {
    ["AccessDenied", "Unauthorized", "NotAuthorized", "Forbidden"].iter().any(|word| code.contains(word))
}

/// From where the caller came. A service that calls on somebody's behalf stands there by its name, and through a VPC endpoint
/// a machine has another address than elsewhere; both tell of no other place.
fn personal(event: &Event) -> Option<PersonalSent<'_>> {
    let through_endpoint = event.text(&["vpcEndpointId"]).is_some();
    let address = event.text(&["sourceIPAddress"]).filter(|_| !through_endpoint);
    let address = address.filter(|address| address.parse::<IpAddr>().is_ok())?;
    Some(PersonalSent { address: Some(json::text(address)), device: None })
}
